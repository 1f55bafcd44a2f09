//! What the attributes accept, and what they say about what they refuse: the errors are API.
//!
//! `tests/ui/pass` must compile without a warning and run; `tests/ui/fail` must not compile, with
//! exactly the errors of the `.stderr` files. `TRYBUILD=overwrite` writes those anew: read them
//! before you commit them.

#[test]
fn annotated_endpoints_compile_and_their_mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
