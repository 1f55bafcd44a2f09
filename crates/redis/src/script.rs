//! The scripts that run on the server, by their hashes. The `Script` of the `redis` crate is not used: it loads a missing
//! script by itself and repeats the call, which changes the order of publishes.

use std::fmt;
use std::sync::LazyLock;

use redis::{Cmd, RedisWrite as _};
use sha1::{Digest as _, Sha1};

use crate::fault::Fault;

/// A script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Orders, stores and sends a message of a topic with history.
    Publish,
    /// Reads stored messages.
    CatchUp,
    /// Lengthens the life of keys.
    Keep,
    /// Counts a beat and sends it to the feed.
    Beat,
    /// Renews a lease and lists the live nodes.
    Lease,
}

impl Script {
    /// All scripts.
    pub(crate) const ALL: [Self; 5] = [
        Self::Publish,
        Self::CatchUp,
        Self::Keep,
        Self::Beat,
        Self::Lease,
    ];

    /// Returns the text.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Publish if Fault::ScriptOrder.is_on() => sent_before_stored(),
            Self::Publish => PUBLISH,
            Self::CatchUp => include_str!("scripts/catch_up.lua"),
            Self::Keep => include_str!("scripts/keep.lua"),
            Self::Beat => include_str!("scripts/beat.lua"),
            Self::Lease => include_str!("scripts/lease.lua"),
        }
    }

    /// Returns the hash by which a server knows the text: SHA-1 in hexadecimal digits.
    pub(crate) fn hash(self) -> &'static str {
        static HASHES: LazyLock<[String; 5]> = LazyLock::new(|| Script::ALL.map(hash_of));
        // The order of `ALL` is that of the variants.
        HASHES.get(self as usize).map_or("", String::as_str)
    }

    /// Begins a call with these keys. The caller adds the arguments, which have about `bytes` bytes together.
    pub(crate) fn call(self, keys: &[&dyn fmt::Display], bytes: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(3 + keys.len() + 10, bytes + keys.len() * KEY + 64);
        cmd.arg("EVALSHA").arg(self.hash()).arg(keys.len());
        for key in keys {
            cmd.write_arg_fmt(key);
        }
        cmd
    }
}

fn hash_of(script: Script) -> String {
    let hash = Sha1::digest(script.text());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

const PUBLISH: &str = include_str!("scripts/publish.lua");

/// Returns the script of a publish without its order. In that order a message that finds no memory is nowhere.
fn sent_before_stored() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let message =
            "'1 ' .. epoch .. ':' .. offset .. ':' .. ARGV[6] .. ' ' .. before .. '\\n' .. ARGV[7]";
        let store = "  redis.call('XADD'";
        let send = format!("  redis.call('PUBLISH', KEYS[3], {message})\n{store}");
        PUBLISH.replace(store, &send)
    });
    &TEXT
}

/// The bytes that a key has about.
const KEY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_script_is_that_of_its_text() {
        for (index, script) in Script::ALL.into_iter().enumerate() {
            assert_eq!(script as usize, index);
            assert_eq!(script.hash(), hash_of(script));
            assert_eq!(script.hash().len(), 40);
        }
    }

    #[test]
    fn the_script_without_its_order_is_another_one() {
        let sent = sent_before_stored();
        let (sends, stores) = (sent.find("PUBLISH', KEYS[3]"), sent.find("'XADD'"));
        assert!(sends.is_some() && sends < stores);
    }

    #[test]
    fn a_call_names_the_hash_the_number_of_keys_and_the_keys() {
        let mut cmd = Script::Beat.call(&[&"a", &"b"], 0);
        cmd.arg(7);
        let hash = Script::Beat.hash();
        let bytes = format!(
            "*6\r\n$7\r\nEVALSHA\r\n$40\r\n{hash}\r\n$1\r\n2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\n7\r\n"
        );
        assert_eq!(cmd.get_packed_command(), bytes.as_bytes());
    }
}
