//! Tells the program which compiler built it, and for what: counts differ from one to the other.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").expect("Cargo sets it");
    let said = Command::new(rustc).arg("-V").output().expect("it compiles");
    let said = String::from_utf8(said.stdout).expect("ASCII");
    let release = said.split(' ').nth(1).expect("rustc, and its release");
    let target = std::env::var("TARGET").expect("Cargo sets it");
    println!("cargo::rustc-env=COMPILER={release} {target}");
    println!("cargo::rerun-if-changed=build.rs");
}
