//! The application protocols of TLS (ALPN, RFC 7301), for configurations and for error texts.

use std::fmt;

/// The protocols that this build speaks over TLS, as ALPN names them (RFC 7301 §3.1), the preferred one first. A server
/// and a client have the same list. RFC 6455 begins with HTTP/1.1.
pub(super) fn protocols() -> Vec<Vec<u8>> {
    let built_in: &[&[u8]] = &[b"http/1.1"];
    built_in.iter().map(|name| name.to_vec()).collect()
}

/// Shows the names of the [`protocols`]: "http/1.1".
pub(super) struct ProtocolNames;

impl fmt::Display for ProtocolNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in protocols().iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " or " })?;
            f.write_str(&String::from_utf8_lossy(name))?;
        }
        Ok(())
    }
}
