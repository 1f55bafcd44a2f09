//! A scripted server: a test reads the commands that the crate sends, and writes the answers.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;

use crate::address::Address;
use crate::connection::Connector;
use crate::script::Script;
use crate::transport::{Dial, Dialing};

/// Opens streams to a test, which gets the other ends.
#[derive(Debug)]
pub(crate) struct TestDial(mpsc::Sender<Peer>);

/// The other ends of the streams that were opened.
#[derive(Debug)]
pub(crate) struct Peers(mpsc::Receiver<Peer>);

/// The server's end of one stream.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: DuplexStream,
    /// What was read and is no whole command yet.
    unread: Vec<u8>,
}

impl Dial for TestDial {
    fn dial(&self) -> Dialing<'_> {
        Box::pin(async move {
            let (ours, stream) = duplex(1 << 20);
            let sent = self.0.send(Peer::of(stream)).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(Box::new(ours) as _)
        })
    }
}

/// Makes a connector for a URL whose server is the test.
pub(crate) fn server(url: &str) -> (Connector, Peers) {
    let (dial, peers) = dial();
    let address = Address::parse(url).unwrap();
    let connector = Connector::new(&address, dial);
    (connector, peers)
}

/// Opens streams to the test.
pub(crate) fn dial() -> (Arc<TestDial>, Peers) {
    let (dialed, peers) = mpsc::channel(16);
    (Arc::new(TestDial(dialed)), Peers(peers))
}

impl Peers {
    /// Waits for the next stream.
    pub(crate) async fn next(&mut self) -> Peer {
        self.try_next().await.unwrap()
    }

    /// As [`next`](Self::next). `None` if no stream is opened any more.
    pub(crate) async fn try_next(&mut self) -> Option<Peer> {
        self.0.recv().await
    }
}

impl Peer {
    /// Makes the server's end of a stream.
    pub(crate) fn of(stream: DuplexStream) -> Self {
        let unread = Vec::new();
        Self { stream, unread }
    }

    /// Waits for the next command: its words. Bytes that are not text are replaced.
    pub(crate) async fn command(&mut self) -> Vec<String> {
        self.try_command().await.expect("the stream ended")
    }

    /// As [`command`](Self::command). `None` at the end of the stream.
    pub(crate) async fn try_command(&mut self) -> Option<Vec<String>> {
        loop {
            if let Some((words, len)) = parse(&self.unread) {
                self.unread.drain(..len);
                return Some(words);
            }
            if self.stream.read_buf(&mut self.unread).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// Writes the bytes of an answer, or of a part.
    pub(crate) async fn answer(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Expects a command that begins with these words, and answers it.
    pub(crate) async fn expect(&mut self, words: &[&str], answer: impl AsRef<[u8]>) -> Vec<String> {
        let command = self.command().await;
        assert_eq!(
            command.get(..words.len()),
            Some(&*owned(words)),
            "of {command:?}"
        );
        self.answer(answer).await;
        command
    }

    /// Expects a call of a script, and answers it. Returns the keys and the arguments.
    pub(crate) async fn expect_script(
        &mut self,
        script: Script,
        answer: impl AsRef<[u8]>,
    ) -> (Vec<String>, Vec<String>) {
        let mut command = self.expect(&["EVALSHA", script.hash()], answer).await;
        let keys: usize = command[2].parse().unwrap();
        let arguments = command.split_off(3 + keys);
        (command.split_off(3), arguments)
    }

    /// Answers what a connection begins with, as Redis 7.0 does.
    pub(crate) async fn greet(&mut self) {
        self.expect(&["HELLO", "3"], hello("redis", "7.0.15", "standalone"))
            .await;
        self.expect(
            &["HELLO", "3", "SETNAME"],
            hello("redis", "7.0.15", "standalone"),
        )
        .await;
    }

    /// Answers what a connection for commands begins with, as a primary does whose user may not run INFO.
    pub(crate) async fn greet_commands(&mut self) {
        self.greet().await;
        self.expect(
            &["ROLE"],
            list(&[bulk("master"), ":0\r\n".into(), list(&[])]),
        )
        .await;
        for script in Script::ALL {
            self.expect(&["SCRIPT", "LOAD", script.text()], bulk(script.hash()))
                .await;
        }
        self.expect(&["INFO", "memory"], NO_PERMISSION).await;
    }
}

/// The answer of a server whose ACL refuses a command.
pub(crate) const NO_PERMISSION: &str =
    "-NOPERM this user has no permissions to run the command\r\n";

/// The answer to HELLO.
pub(crate) fn hello(server: &str, version: &str, mode: &str) -> String {
    let fields = [
        ("server", server),
        ("version", version),
        ("mode", mode),
        ("role", "master"),
    ];
    let fields = fields.map(|(name, value)| bulk(name) + &bulk(value));
    format!("%{}\r\n{}", fields.len(), fields.concat())
}

/// The bytes of a text.
pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// The bytes of a list.
pub(crate) fn list(items: &[String]) -> String {
    format!("*{}\r\n{}", items.len(), items.concat())
}

/// The bytes of a list of texts.
pub(crate) fn texts(texts: &[&str]) -> String {
    list(&texts.iter().map(|text| bulk(text)).collect::<Vec<_>>())
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Reads a command at the beginning of these bytes: its words, and its length.
fn parse(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let end = at.checked_add(
            bytes
                .get(*at..)?
                .windows(2)
                .position(|two| two == b"\r\n")?,
        )?;
        let number = std::str::from_utf8(&bytes[*at + 1..end])
            .unwrap()
            .parse()
            .unwrap();
        *at = end + 2;
        Some(number)
    };
    let words: usize = number(&mut at)?;
    let words = (0..words).map(|_| {
        let len: usize = number(&mut at)?;
        let word = bytes.get(at..at + len)?;
        bytes.get(at + len..at + len + 2)?;
        at += len + 2;
        Some(String::from_utf8_lossy(word).into_owned())
    });
    let words = words.collect::<Option<Vec<_>>>()?;
    Some((words, at))
}
