//! Small houses, in order and out of it.

use super::super::testing::{lines, tree};
use super::*;

const FLOORS: &str = "\
| crate | floor | what |
|---|---|---|
| `core` | 0 | bytes |
| `top` | 1 | sockets |

| module | floor |
|---|---|
| `core::mask`, `core::utf8` | 0 |
| `core::frame` | 1 |
| `core::connection` | 2 |
| `core::connection::limit` | 0 |
";
const CORE: &str = "[package]\nname = \"core\"\n";
const TOP: &str = "[package]\nname = \"top\"\n[dependencies]\ncore.workspace = true\n";
const ROOT: &str = "mod mask; pub use self::connection::Connection;";

/// The findings for the house above with these files added or exchanged.
fn found(changes: &[(&str, &str)]) -> Vec<String> {
    let house = [
        (ARCHITECTURE, FLOORS),
        ("crates/core/Cargo.toml", CORE),
        ("crates/core/src/lib.rs", ROOT),
        ("crates/core/src/connection/limit.rs", ""),
        (
            "crates/core/src/connection/mod.rs",
            "use crate::frame::Header; use crate::mask; use self::limit::Limit;",
        ),
        ("crates/core/src/frame.rs", "use crate::{mask::Key, utf8};"),
        ("crates/core/src/mask.rs", ""),
        ("crates/core/src/utf8.rs", ""),
        ("crates/top/Cargo.toml", TOP),
        ("crates/top/src/lib.rs", "use core::Connection;"),
    ];
    lines(&check(&tree(&[&house[..], changes].concat())))
}

#[test]
fn a_house_in_order_has_no_findings() {
    assert_eq!(found(&[]), [""; 0]);
}

#[test]
fn a_use_that_climbs_is_found() {
    assert_eq!(
        found(&[(
            "crates/core/src/mask.rs",
            "//! Head.\nuse crate::frame::Header;"
        )]),
        ["crates/core/src/mask.rs:2: climbs from `mask` (floor 0) to `frame::Header` (floor 1)"]
    );
}

#[test]
fn a_path_in_code_that_climbs_is_found() {
    assert_eq!(
        found(&[(
            "crates/core/src/mask.rs",
            "fn f() -> crate::connection::State { }"
        )])
        .len(),
        1
    );
}

#[test]
fn climbing_by_super_is_found_and_inline_modules_are_counted() {
    assert_eq!(
        found(&[("crates/core/src/mask.rs", "use super::frame::Header;")]).len(),
        1
    );
    assert_eq!(
        found(&[(
            "crates/core/src/mask.rs",
            "mod tests { use super::frame::Header; }"
        )]),
        [""; 0]
    );
    assert_eq!(
        found(&[(
            "crates/core/src/mask.rs",
            "mod tests { use super::super::frame::Header; }"
        )])
        .len(),
        1
    );
}

#[test]
fn climbing_through_a_reexport_is_found() {
    assert_eq!(
        found(&[("crates/core/src/mask.rs", "use crate::Connection;")]),
        [
            "crates/core/src/mask.rs:1: climbs from `mask` (floor 0) to `connection::Connection` (floor 2)"
        ]
    );
}

#[test]
fn a_deeper_module_may_stand_lower_than_its_parent() {
    assert_eq!(
        found(&[(
            "crates/core/src/mask.rs",
            "use crate::connection::limit::Limit;"
        )]),
        [""; 0]
    );
    assert_eq!(
        found(&[(
            "crates/core/src/connection/limit.rs",
            "use crate::frame::Header;"
        )])
        .len(),
        1
    );
}

#[test]
fn a_module_without_a_floor_and_a_floor_without_a_module_are_found() {
    assert_eq!(
        found(&[("crates/core/src/close.rs", "")]),
        ["crates/core/src/close.rs: `core::close` has no floor in ARCHITECTURE.md"]
    );
    let floors = FLOORS.replace("`core::frame`", "`core::frame`, `core::header`");
    assert_eq!(
        found(&[(ARCHITECTURE, &floors)]),
        ["ARCHITECTURE.md:9: no module is called `core::header`"]
    );
}

#[test]
fn a_dependency_that_climbs_is_found_in_every_section() {
    for section in [
        "[dependencies]",
        "[build-dependencies]",
        "[target.'cfg(unix)'.dependencies]",
    ] {
        let manifest = format!("{CORE}{section}\ntop = {{ path = \"../top\" }}\n");
        assert_eq!(
            found(&[("crates/core/Cargo.toml", &manifest)]),
            ["crates/core/Cargo.toml:4: `core` (floor 0) depends on `top` (floor 1)"]
        );
    }
    let manifest = format!("{CORE}[dependencies.top]\nfeatures = []\n");
    assert_eq!(found(&[("crates/core/Cargo.toml", &manifest)]).len(), 1);
}

#[test]
fn tests_may_use_what_shows_them() {
    let manifest = format!("{CORE}[dev-dependencies]\ntop = {{ path = \"../top\" }}\n");
    assert!(found(&[("crates/core/Cargo.toml", &manifest)]).is_empty());
}

#[test]
fn a_package_without_a_floor_and_a_floor_without_a_package_are_found() {
    assert_eq!(
        found(&[("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n")]),
        ["xtask/Cargo.toml: `xtask` has no floor in ARCHITECTURE.md"]
    );
    let floors = FLOORS.replace("| `top` | 1 |", "| `top` | 1 |\n| `attic` | 2 |");
    assert_eq!(
        found(&[(ARCHITECTURE, &floors)]),
        ["ARCHITECTURE.md:5: no package is called `attic`"]
    );
}

#[test]
fn a_package_that_is_a_workspace_of_its_own_has_a_floor_and_a_workspace_alone_has_none() {
    assert_eq!(
        found(&[(
            "fuzz/Cargo.toml",
            "[workspace]\n[package]\nname = \"fuzz\"\n"
        )]),
        ["fuzz/Cargo.toml: `fuzz` has no floor in ARCHITECTURE.md"]
    );
    assert_eq!(
        found(&[("Cargo.toml", "[workspace]\nmembers = []\n")]),
        [""; 0]
    );
}

#[test]
fn tables_that_are_missing_or_broken_are_found() {
    assert_eq!(check(&tree(&[(ARCHITECTURE, "# House\n")])).len(), 2);
    let floors = FLOORS.replace("| `top` | 1 |", "| `top` | first |");
    assert!(
        found(&[(ARCHITECTURE, &floors)])
            .contains(&"ARCHITECTURE.md:4: `first` is no floor".to_owned())
    );
}
