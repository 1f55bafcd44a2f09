//! What a connection runs on: one type, whatever carries the bytes. Knows nothing of WebSocket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
pub mod tls;

/// A stream of bytes to a peer.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    // Boxed: its state is some twenty times a socket's.
    #[cfg(feature = "tls")]
    Tls(Box<tls::TlsStream>),
}

impl Stream {
    /// The address of the peer, where the transport has one.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    /// The address of this end, where the transport has one.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }

    /// Whether the bytes are encrypted on their way.
    pub fn is_secure(&self) -> bool {
        match &self.0 {
            Kind::Tcp(_) => false,
            #[cfg(feature = "tls")]
            Kind::Tls(_) => true,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Kind::Tcp(tcp) => tcp,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.get_ref().0,
        }
    }
}

/// Small messages leave when they are written: this sets TCP_NODELAY, as far as the system lets it.
impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        send_at_once(&tcp);
        Self(Kind::Tcp(tcp))
    }
}

fn send_at_once(tcp: &TcpStream) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls)
                .poll_read(cx, buffer)
                .map_err(tls::explain_truncation),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.is_write_vectored(),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn tcp_sends_small_messages_at_once_on_both_sides() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        for tcp in [connected.unwrap(), accepted.unwrap().0] {
            assert!(!tcp.nodelay().unwrap());
            assert!(Stream::from(tcp).tcp().nodelay().unwrap());
        }
    }
}
