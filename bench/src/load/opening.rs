//! The opening handshake (RFC 6455 §4.1) as the load makes it, and what it demands of the response.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use crate::Result;
use crate::server::Setting;

/// A request, and what has to come of it.
#[derive(Debug)]
pub(crate) struct Opening {
    request: String,
    /// Whether compression is offered, and whether contexts are to be kept.
    takeover: Option<bool>,
}

impl Opening {
    pub(crate) fn new(addr: SocketAddr, path: &str, setting: &Setting) -> Self {
        let takeover = setting.deflate.map(|_| setting.takeover);
        let offer = match takeover {
            None => "",
            Some(true) => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            Some(false) => {
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover\r\n"
            }
        };
        let subprotocol = match setting.subprotocol {
            true => "Sec-WebSocket-Protocol: sockeye.topics.v0\r\n",
            false => "",
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}{subprotocol}\r\n"
        );
        Self { request, takeover }
    }

    pub(crate) fn request(&self) -> &[u8] {
        self.request.as_bytes()
    }

    /// Whether the response is complete. Nothing may come behind it, since nothing was sent.
    pub(super) fn receive(&self, bytes: &[u8]) -> Result<bool> {
        match self.end_of_head(bytes)? {
            None => Ok(false),
            Some(end) if end == bytes.len() => Ok(true),
            Some(end) => {
                let more = bytes.len() - end;
                Err(format!("{more} bytes came before anything was sent"))
            }
        }
    }

    /// Where the response ends, once it is complete. Messages of the server may follow.
    pub(crate) fn end_of_head(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return match bytes.len() {
                0..MAX_HEAD => Ok(None),
                _ => Err("the head of the response has no end".to_owned()),
            };
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        self.check(&head)
            .map_err(|why| format!("the response {why}:\n{head}"))?;
        Ok(Some(end + 4))
    }

    /// Opens a connection, waiting for the response.
    pub(crate) fn open(&self, transport: &mut (impl Read + Write)) -> Result<()> {
        transport
            .write_all(self.request())
            .and_then(|()| transport.flush())
            .map_err(|error| format!("cannot write the request: {error}"))?;
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        while !self.receive(&head)? {
            match transport.read(&mut buffer) {
                Ok(0) => return Err("the server ended a connection instead of opening it".into()),
                Ok(read) => head.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot read the response: {error}")),
            }
        }
        Ok(())
    }

    fn check(&self, head: &str) -> Result<(), &'static str> {
        if !head.starts_with("HTTP/1.1 101") {
            return Err("is not 101");
        }
        let values = |wanted: &'static str| {
            let fields = head.lines().filter_map(|line| line.split_once(':'));
            let own = fields.filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
            own.map(|(_, value)| value.trim())
        };
        if !values("Sec-WebSocket-Accept").eq([ACCEPT]) {
            return Err("does not accept the key");
        }
        let extensions: Vec<&str> = values("Sec-WebSocket-Extensions")
            .flat_map(|value| value.split(';'))
            .map(str::trim)
            .collect();
        let has = |wanted| extensions.contains(&wanted);
        match self.takeover {
            None if extensions.is_empty() => Ok(()),
            None => Err("has an extension that was not offered"),
            Some(_) if !has("permessage-deflate") => Err("does not agree to compress"),
            Some(true) if has("server_no_context_takeover") => Err("gives up the server's context"),
            Some(false) if !has("server_no_context_takeover") => {
                Err("does not give up the server's context")
            }
            Some(_) => Ok(()),
        }
    }
}

/// The example of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MAX_HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(deflate: Option<u32>, takeover: bool) -> Opening {
        let setting = Setting {
            deflate,
            takeover,
            ..Setting::default()
        };
        Opening::new(([127, 0, 0, 1], 80).into(), "/", &setting)
    }

    fn response(more: &str) -> Vec<u8> {
        let head = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept:";
        format!("{head} {ACCEPT}\r\n{more}\r\n").into_bytes()
    }

    #[test]
    fn a_response_is_waited_for_to_its_last_byte() {
        let (opening, response) = (opening(None, false), response(""));
        for end in 0..response.len() {
            assert_eq!(opening.receive(&response[..end]), Ok(false));
        }
        assert_eq!(opening.receive(&response), Ok(true));
        assert!(
            opening
                .receive(&[&response[..], b"\x89\0"].concat())
                .is_err()
        );
    }

    #[test]
    fn a_response_that_does_not_accept_is_a_fault() {
        let opening = opening(None, false);
        let wrong = |old, new| {
            let text = String::from_utf8(response("")).unwrap().replace(old, new);
            opening.receive(text.as_bytes()).is_err()
        };
        assert!(wrong("101", "200"));
        assert!(wrong("s3p", "s3q"));
    }

    #[test]
    fn what_is_agreed_has_to_be_what_was_asked_for() {
        let agreed = |more: &str, deflate, takeover| {
            let field = format!("Sec-WebSocket-Extensions: {more}\r\n");
            opening(deflate, takeover).receive(&response(&field)) == Ok(true)
        };
        let kept = "permessage-deflate; server_max_window_bits=15";
        let given_up = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";
        assert!(!agreed(kept, None, false));
        assert!(agreed(kept, Some(6), true));
        assert!(!agreed(kept, Some(6), false));
        assert!(agreed(given_up, Some(6), false));
        assert!(!agreed(given_up, Some(6), true));
        assert_ne!(opening(Some(6), true).receive(&response("")), Ok(true));
    }
}
