//! A write to a transport past the task that owns it. One task writes a broadcast to the transports of many sessions
//! whose own tasks are parked.

use std::fmt;
#[cfg(test)]
use std::io;

use sockeye_mailbox::DirectWrite;
use tokio::net::tcp::OwnedWriteHalf;

/// The mailbox of a connection, with the way past its driver.
pub(crate) type Mailbox = sockeye_mailbox::Mailbox<Direct>;
pub(crate) type DriverSide = sockeye_mailbox::DriverSide<Direct>;
pub(crate) type Channel<T, N = ()> = sockeye_mailbox::Channel<Direct, T, N>;
pub(crate) type Ended = sockeye_mailbox::Ended<Direct>;
pub(crate) type Parts = sockeye_mailbox::Parts<Direct>;
pub(crate) type Sending = sockeye_mailbox::Sending<Direct>;

/// Writes as much as a transport takes at once. It never waits, and never ends the transport.
pub(crate) struct Direct(Way);

enum Way {
    Tcp(Option<OwnedWriteHalf>),
    #[cfg(test)]
    Scripted(Box<Script>),
}

/// The transport of a test.
#[cfg(test)]
pub(crate) type Script = dyn Fn(&[u8]) -> io::Result<usize> + Send + Sync;

impl Direct {
    pub(crate) fn tcp(half: OwnedWriteHalf) -> Self {
        Self(Way::Tcp(Some(half)))
    }

    #[cfg(test)]
    pub(crate) fn scripted(
        script: impl Fn(&[u8]) -> io::Result<usize> + Send + Sync + 'static,
    ) -> Self {
        Self(Way::Scripted(Box::new(script)))
    }
}

impl DirectWrite for Direct {
    #[inline]
    fn write(&self, bytes: &[u8]) -> usize {
        let written = match &self.0 {
            Way::Tcp(Some(half)) => half.try_write(bytes),
            Way::Tcp(None) => Ok(0),
            #[cfg(test)]
            Way::Scripted(script) => script(bytes),
        };
        written.unwrap_or(0)
    }
}

impl Drop for Direct {
    /// Dropping tokio's half would end the stream, which its owner still uses.
    fn drop(&mut self) {
        match &mut self.0 {
            Way::Tcp(half) => half.take().into_iter().for_each(OwnedWriteHalf::forget),
            #[cfg(test)]
            Way::Scripted(_) => {}
        }
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Direct")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn letting_go_does_not_end_the_stream() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        let (owner, half) = connected.unwrap().into_split();
        let mut far = accepted.unwrap().0;
        owner.as_ref().writable().await.unwrap();
        let direct = Direct::tcp(half);
        assert_eq!(direct.write(b"a"), 1);
        drop(direct);
        assert_eq!(owner.as_ref().try_write(b"b").unwrap(), 1);
        drop(owner);
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"ab");
    }
}
