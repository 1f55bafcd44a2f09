//! What the fuzz targets do with their input. Each target is a function of bytes that panics where
//! something is wrong; `fuzz_targets/` hands them to libFuzzer, and the tests here run them on the
//! committed seeds.
//!
//! Nothing here depends on the time, on randomness or on an earlier input: time starts anywhere and
//! goes on as the input says, masking keys are counted.

mod compression;
mod differential;
mod end;
mod handshake;
mod round_trip;
mod stream;
mod topics;
mod utf8;
#[path = "../../crates/proto/tests/wire/mod.rs"]
mod wire;

pub use self::compression::{deflate, inflate};
pub use self::differential::differential;
pub use self::handshake::{extension, request, response};
pub use self::round_trip::round_trip;
pub use self::stream::{client_stream, server_stream};
pub use self::topics::wire;
pub use self::utf8::utf8;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    type Target = fn(&[u8]);

    /// Each target with the name of its seeds' folder.
    const TARGETS: [(&str, Target); 11] = [
        ("client_stream", super::client_stream),
        ("deflate", super::deflate),
        ("differential", super::differential),
        ("extension", super::extension),
        ("inflate", super::inflate),
        ("request", super::request),
        ("response", super::response),
        ("round_trip", super::round_trip),
        ("server_stream", super::server_stream),
        ("utf8", super::utf8),
        ("wire", super::wire),
    ];

    #[test]
    fn no_target_finds_anything_in_its_seeds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (name, target) in TARGETS {
            let mut seeds = 0;
            for file in fs::read_dir(root.join("seeds").join(name)).unwrap() {
                target(&fs::read(file.unwrap().path()).unwrap());
                seeds += 1;
            }
            assert!(seeds > 0, "{name} has no seeds");
        }
        let mut named: Vec<_> = fs::read_dir(root.join("fuzz_targets"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        named.sort();
        let known = TARGETS.map(|(name, _)| format!("{name}.rs"));
        assert_eq!(named, known, "a target without a test here");
    }
}
