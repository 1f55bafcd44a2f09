//! The code that the attributes accept, and the errors for code that they refuse: the errors are part of the API.
//!
//! `tests/ui/pass` must compile without a warning, and run. `tests/ui/fail` must not compile, and its errors must equal
//! the `.stderr` files. `TRYBUILD=overwrite` writes these files again: read them before you commit them.

#[test]
fn annotated_endpoints_compile_and_their_mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
