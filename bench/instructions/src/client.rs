//! A client in memory that costs next to nothing: it hands out what was prepared, one batch for each read,
//! and checks by its length what is written. Knows of WebSocket no more than the headers of frames.
//!
//! ```text
//!   Asking ──request is read──▶ Answered ──101──▶ Talking ──all is echoed──▶ Closing ──Close, shut──▶ Ended
//!                                   └──101──▶ Listening
//! ```
//!
//! A read that follows a batch finds nothing, once, as on a socket that was emptied: the server goes to rest,
//! and is woken for the next batch. There is none before everything is echoed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};

use crate::Result;
use crate::script::Script;

pub(crate) struct Client {
    script: Arc<Script>,
    audience: Option<Arc<Audience>>,
    stage: Stage,
    /// How many messages are still to be said.
    left: usize,
    /// How many batches were said, and how much of the request or of the next one.
    said: usize,
    offset: usize,
    owed: Owed,
    /// Whether a read has found nothing since the last batch.
    rested: bool,
    /// Who is to be told that there is something to read.
    reader: Option<Waker>,
    over: Option<oneshot::Sender<Result<()>>>,
}

enum Stage {
    Asking,
    Answered(Vec<u8>),
    Talking,
    Listening,
    Closing(Vec<u8>),
    Ended,
}

/// What is still to come back for what was said.
enum Owed {
    Bytes(usize),
    Frames(usize),
}

/// Clients that are told the same.
#[derive(Debug)]
pub(crate) struct Audience {
    clients: usize,
    frame_len: usize,
    heard: AtomicUsize,
    all_heard: Notify,
}

impl Client {
    /// A client that says so many messages and closes, and where it tells that this is done, or what went
    /// wrong.
    pub(crate) fn talking(
        script: &Arc<Script>,
        messages: u64,
    ) -> (Self, oneshot::Receiver<Result<()>>) {
        let (over, done) = oneshot::channel();
        let mut client = Self::new(script, None);
        client.left = usize::try_from(messages).unwrap_or(usize::MAX);
        client.over = Some(over);
        (client, done)
    }

    /// As [`talking`](Self::talking), of a client whose opening handshake is done.
    pub(crate) fn open(
        script: &Arc<Script>,
        messages: u64,
    ) -> (Self, oneshot::Receiver<Result<()>>) {
        let (mut client, done) = Self::talking(script, messages);
        client.stage = Stage::Talking;
        (client, done)
    }

    /// A client that says nothing.
    pub(crate) fn listening(script: &Arc<Script>, audience: &Arc<Audience>) -> Self {
        Self::new(script, Some(Arc::clone(audience)))
    }

    fn new(script: &Arc<Script>, audience: Option<Arc<Audience>>) -> Self {
        Self {
            script: Arc::clone(script),
            audience,
            stage: Stage::Asking,
            left: 0,
            said: 0,
            offset: 0,
            owed: Owed::Bytes(0),
            rested: false,
            reader: None,
            over: None,
        }
    }

    /// What the server reads next; nothing for now, or nothing ever.
    fn say(&mut self, room: usize) -> Said<'_> {
        match &mut self.stage {
            Stage::Asking => {
                // The server may look at the first byte alone.
                let request = self.script.request.as_bytes();
                let start = self.offset;
                let end = request.len().min(start + room);
                self.offset = end;
                if end == request.len() {
                    self.offset = 0;
                    self.stage = Stage::Answered(Vec::new());
                }
                Said::Bytes(&request[start..end])
            }
            Stage::Talking if self.owed.is_paid() => {
                if !self.rested {
                    self.rested = true;
                    return Said::NothingYet { wake: true };
                }
                if self.left == 0 {
                    self.stage = Stage::Closing(Vec::new());
                    return Said::Bytes(&self.script.close);
                }
                let batch = self.script.batch(self.said);
                let start = self.offset;
                let end = batch.bytes.len().min(start + room);
                if end < batch.bytes.len() {
                    self.offset = end;
                } else {
                    let Some(left) = self.left.checked_sub(batch.messages) else {
                        return Said::Fault("the count ends within a batch");
                    };
                    self.left = left;
                    self.offset = 0;
                    self.said += 1;
                    self.rested = false;
                    self.owed = if self.script.compressed {
                        Owed::Frames(batch.messages)
                    } else {
                        Owed::Bytes(batch.reply_bytes)
                    };
                }
                Said::Bytes(&batch.bytes[start..end])
            }
            Stage::Ended => Said::Bytes(&[]),
            _ => Said::NothingYet { wake: false },
        }
    }

    /// Takes what the server writes.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        match &mut self.stage {
            Stage::Talking => {
                self.owed.pay(bytes)?;
                if self.owed.is_paid() {
                    self.wake();
                }
            }
            Stage::Listening => {
                if let Some(audience) = &self.audience {
                    audience.hear(bytes)?;
                }
            }
            Stage::Answered(answer) => {
                answer.extend_from_slice(bytes);
                if answer.ends_with(b"\r\n\r\n") {
                    self.script.check_answer(answer)?;
                    self.stage = if self.audience.is_some() {
                        Stage::Listening
                    } else {
                        Stage::Talking
                    };
                    self.wake();
                }
            }
            Stage::Closing(close) => close.extend_from_slice(bytes),
            Stage::Asking | Stage::Ended => {
                return Err("the server writes bytes without a request");
            }
        }
        Ok(())
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn fail(&mut self, fault: &str) -> io::Error {
        if let Some(over) = self.over.take() {
            let _ = over.send(Err(fault.to_owned()));
        }
        io::Error::other(fault.to_owned())
    }
}

enum Said<'a> {
    Bytes(&'a [u8]),
    NothingYet { wake: bool },
    Fault(&'static str),
}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.say(buffer.remaining()) {
            Said::Bytes(bytes) => {
                buffer.put_slice(bytes);
                Poll::Ready(Ok(()))
            }
            Said::NothingYet { wake: true } => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Said::NothingYet { wake: false } => {
                this.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Said::Fault(fault) => Poll::Ready(Err(this.fail(fault))),
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.hear(bytes) {
            Ok(()) => Poll::Ready(Ok(bytes.len())),
            Err(fault) => Poll::Ready(Err(this.fail(fault))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Stage::Closing(close) = &this.stage
            && close[..] == CLOSE
            && let Some(over) = this.over.take()
        {
            let _ = over.send(Ok(()));
        }
        this.stage = Stage::Ended;
        this.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.fail("the server went before all was echoed and closed");
    }
}

impl Owed {
    fn is_paid(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Frames(0))
    }

    fn pay(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        match self {
            Self::Bytes(owed) => match owed.checked_sub(bytes.len()) {
                Some(left) => *owed = left,
                None => return Err("more came back than was said"),
            },
            Self::Frames(owed) => match owed.checked_sub(compressed_frames(bytes)?) {
                Some(left) => *owed = left,
                None => return Err("more came back than was said"),
            },
        }
        Ok(())
    }
}

/// How many frames these bytes are: whole ones, each a compressed text (RFC 7692 §6) of less than 64 KiB.
fn compressed_frames(mut bytes: &[u8]) -> Result<usize, &'static str> {
    const FAULT: &str = "what came back is not whole compressed texts";
    let mut frames = 0;
    while let Some((&[first, len], rest)) = bytes.split_first_chunk() {
        let (len, rest) = match len {
            0..126 => (usize::from(len), rest),
            126 => {
                let (len, rest) = rest.split_first_chunk().ok_or(FAULT)?;
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            _ => return Err(FAULT),
        };
        if first != 0xc1 {
            return Err(FAULT);
        }
        bytes = rest.get(len..).ok_or(FAULT)?;
        frames += 1;
    }
    if bytes.is_empty() {
        Ok(frames)
    } else {
        Err(FAULT)
    }
}

impl Audience {
    pub(crate) fn new(clients: usize, frame_len: usize) -> Arc<Self> {
        Arc::new(Self {
            clients,
            frame_len,
            heard: AtomicUsize::new(0),
            all_heard: Notify::new(),
        })
    }

    /// Completes when each has heard one more message.
    pub(crate) async fn all_heard(&self) {
        self.all_heard.notified().await;
    }

    fn hear(&self, bytes: &[u8]) -> Result<(), &'static str> {
        if bytes.len() != self.frame_len {
            return Err("what came is not the one message");
        }
        if self.heard.fetch_add(1, Ordering::Relaxed) + 1 == self.clients {
            self.heard.store(0, Ordering::Relaxed);
            self.all_heard.notify_one();
        }
        Ok(())
    }
}

/// The server's Close with 1000.
const CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];
