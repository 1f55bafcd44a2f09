//! What clients ask a server, request by request: the server tells it by its command `MONITOR`.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::error::Result;

/// Keeps the requests of all clients of a server, until it is dropped.
pub(crate) struct Monitor {
    requests: Arc<Mutex<Vec<Request>>>,
    reading: AbortHandle,
}

/// A request of a client. What scripts do is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The address of the client's end of its connection.
    pub(crate) client: String,
    pub(crate) words: Vec<String>,
}

impl Monitor {
    /// Logs in with these words, and begins to keep requests.
    pub(super) async fn start(address: &str, login: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(format!("{login}\r\nMONITOR\r\n").as_bytes())
            .await?;
        let mut lines = BufReader::new(stream).lines();
        for _ in 0..2 {
            match lines.next_line().await? {
                Some(line) if line == "+OK" => {}
                line => return Err(format!("the server does not tell requests: {line:?}").into()),
            }
        }
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let kept = Arc::clone(&requests);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(Request::read(&line));
            }
        });
        Ok(Self {
            requests,
            reading: reading.abort_handle(),
        })
    }

    /// Takes the requests since the last call.
    pub(crate) fn take(&self) -> Vec<Request> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *requests)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Request {
    /// Reads a line: `+TIME [DATABASE CLIENT] "WORD" "WORD"`. `None` for a script's own requests.
    fn read(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once(" [")?;
        let (place, rest) = rest.split_once("] ")?;
        let (_, client) = place.split_once(' ')?;
        let request = Self {
            client: client.to_owned(),
            words: words(rest),
        };
        (client != "lua").then_some(request)
    }
}

/// Reads quoted words. Bytes that are escaped stay so, but for a quote and a backslash.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, &mut word) {
            ('"', None) => word = Some(String::new()),
            ('"', Some(_)) => words.extend(word.take()),
            (_, None) => {}
            ('\\', Some(word)) => match characters.next() {
                Some(escaped @ ('"' | '\\')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
                None => {}
            },
            (character, Some(word)) => word.push(character),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_request_of_a_client_or_of_a_script() {
        let line = r#"+1339518083.107412 [0 127.0.0.1:60866] "EVALSHA" "a\"b\\" "1" "\x00 c""#;
        let request = Request::read(line).unwrap();
        assert_eq!(request.client, "127.0.0.1:60866");
        assert_eq!(request.words, ["EVALSHA", "a\"b\\", "1", "\\x00 c"]);
        assert_eq!(Request::read(r#"+1.1 [0 lua] "get" "a""#), None);
        assert_eq!(Request::read("+OK"), None);
    }
}
