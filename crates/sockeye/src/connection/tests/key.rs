//! A client's masking keys (RFC 6455 §5.3, §10.3).

use crate::connection::machine::masking_keys;

#[test]
fn each_key_is_drawn_anew_and_in_all_its_bits() {
    let (mut one, mut other) = (masking_keys(), masking_keys());
    let mut keys: Vec<u32> = Vec::new();
    for _ in 0..64 {
        for source in [&mut one, &mut other] {
            keys.push(u32::from_ne_bytes(source().to_bytes()));
        }
    }
    // By chance, some bit is 0 in all keys, or 1 in all keys, once in 2^122 runs.
    assert_eq!(keys.iter().fold(0, |any, key| any | key), u32::MAX);
    assert_eq!(keys.iter().fold(u32::MAX, |all, key| all & key), 0);
    keys.sort_unstable();
    keys.dedup();
    // Two are equal by chance once in half a million runs, and twice two hardly ever.
    assert!(keys.len() >= 127, "{} of 128", keys.len());
}
