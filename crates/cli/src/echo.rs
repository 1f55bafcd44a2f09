//! `/echo`: sends every message back as it came.
//!
//! The text `close CODE REASON` closes the connection with that code and that reason, so that a client can be tried with
//! any close. The server accepts the subprotocol `echo.sockeye`, which changes nothing.

use sockeye::endpoint::Reply;
use sockeye::{CloseCode, HandlerResult, Session, server_endpoint};

/// The endpoint of one connection, without state.
#[derive(Debug, Default)]
pub(crate) struct Echo;

#[server_endpoint("/echo", subprotocols = ["echo.sockeye"])]
impl Echo {
    #[on_message]
    fn text<'m>(&self, session: &Session, text: &'m str) -> HandlerResult<Reply<'m>> {
        let Some((code, reason)) = parse_close(text) else {
            return Ok(Reply::Text(text));
        };
        match session.close(code, reason) {
            Ok(()) => Ok(Reply::None),
            Err(refused) => Ok(Reply::Message(format!("cannot close: {refused}").into())),
        }
    }

    #[on_message]
    fn binary<'m>(&self, bytes: &'m [u8]) -> &'m [u8] {
        bytes
    }
}

/// Returns the code and the reason of `close 4001 some reason`. `None` for any other text.
fn parse_close(text: &str) -> Option<(CloseCode, &str)> {
    let rest = text.strip_prefix("close ")?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code: u16 = code.parse().ok()?;
    Some((CloseCode::try_from(code).ok()?, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_command_names_its_code_and_reason() {
        let parsed = |text| parse_close(text).map(|(code, reason)| (code.get(), reason));
        assert_eq!(
            parsed("close 4001 some reason"),
            Some((4001, "some reason"))
        );
        assert_eq!(parsed("close 1000"), Some((1000, "")));
        for text in [
            "close",
            "close x",
            "close 70000 y",
            "closed 1000 z",
            " close 1000",
            "close 99",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }
}
