//! A server that sends plain bytes, for cases that no real server shows.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
#[cfg(unix)]
use std::time::Duration;

use sockeye_proto::handshake::Key;

/// The connection of one client.
pub(crate) struct Peer(TcpStream);

/// Starts a server that runs this function with its one connection.
pub(crate) fn serve<T: Send + 'static>(
    talk: impl FnOnce(Peer) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("bound"));
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        talk(Peer(stream))
    });
    (url, serving)
}

/// Starts a server that sends this response to one connection. The thread returns the head of the request.
pub(crate) fn serve_once(answer: &[u8]) -> (String, JoinHandle<String>) {
    let answer = answer.to_vec();
    serve(move |mut peer| {
        let head = peer.read_head();
        peer.write(&answer);
        head
    })
}

impl Peer {
    /// Answers the handshake.
    pub(crate) fn open(&mut self) {
        let head = self.read_head();
        let mut lines = head.lines();
        let key = lines.find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let key = Key::parse(key.expect("a key").as_bytes()).expect("a key");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            key.accept()
        );
        self.write(answer.as_bytes());
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("it reads");
    }

    /// Reads the client's next frame, which is short. Returns its first byte and its payload.
    pub(crate) fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let mut start = [0; 6];
        self.0.read_exact(&mut start).expect("a frame");
        let [kind, len, key @ ..] = start;
        let mut payload = vec![0; usize::from(len & 0x7f)];
        self.0.read_exact(&mut payload).expect("a payload");
        let key = key.iter().cycle();
        { payload.iter_mut().zip(key) }.for_each(|(byte, key)| *byte ^= key);
        (kind, payload)
    }

    /// Reads the client's next frame, which is longer than 65,535 bytes. Returns its payload.
    #[cfg(unix)]
    pub(crate) fn read_long_frame(&mut self) -> Vec<u8> {
        let mut start = [0; 14];
        self.0.read_exact(&mut start).expect("a frame");
        let [_, _, len @ .., _, _, _, _] = start;
        let [.., first, second, third, fourth] = start;
        let len = u64::from_be_bytes(len);
        let mut payload = vec![0; usize::try_from(len).expect("it fits")];
        self.0.read_exact(&mut payload).expect("a payload");
        let key = [first, second, third, fourth];
        let key = key.iter().cycle();
        { payload.iter_mut().zip(key) }.for_each(|(byte, key)| *byte ^= key);
        payload
    }

    /// Returns another handle of the same connection, for another thread.
    #[cfg(unix)]
    pub(crate) fn other(&self) -> Self {
        Self(self.0.try_clone().expect("a descriptor"))
    }

    /// Writes until the client is gone, or takes no byte until the timeout.
    #[cfg(unix)]
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Waits until a byte can be read, and does not read it.
    #[cfg(unix)]
    pub(crate) fn wait_for_byte(&self, patience: Duration) -> std::io::Result<()> {
        self.0.set_read_timeout(Some(patience))?;
        let peeked = self.0.peek(&mut [0]);
        self.0.set_read_timeout(None)?;
        peeked.map(|_| ())
    }

    /// Reads until the client is gone.
    pub(crate) fn read_to_end(&mut self) {
        // A killed client resets the connection.
        let _ = self.0.read_to_end(&mut Vec::new());
    }

    pub(crate) fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).expect("a request");
            head.extend(byte);
        }
        String::from_utf8(head).expect("UTF-8")
    }
}
