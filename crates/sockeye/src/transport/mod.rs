//! The transport of a connection: one stream type for TCP, TLS and any other carrier of bytes. Knows nothing of
//! WebSocket.
//!
//! A server serves a [`Stream`] that the caller brings:
//!
//! ```no_run
//! use sockeye::Server;
//! use sockeye::transport::Stream;
//!
//! # async fn example() -> sockeye::Result {
//! let server = Server::builder().bind("127.0.0.1:0").await?;
//! let (near, far) = tokio::io::duplex(64 * 1024);
//! tokio::spawn(server.serve_stream(Stream::new(near)));
//! # drop(far);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::sync::Mutex;

/// A stream of bytes to a peer: TCP, TLS over another stream, or a transport of the caller.
///
/// ```
/// use sockeye::transport::Stream;
///
/// let (near, _far) = tokio::io::duplex(1024);
/// assert!(Stream::new(near).peer_addr().is_err());
/// ```
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    // The owner of the other half writes to the socket too.
    SharedTcp(OwnedReadHalf),
    // Boxed: its state is about twenty times the size of a socket's.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::TlsStream<Stream>>),
    Custom(Box<Custom<dyn Io>>),
}

/// A transport of the caller.
struct Custom<T: ?Sized> {
    is_write_vectored: bool,
    // Never locked. It only makes a transport that is not `Sync` fit: the other kinds are `Sync`.
    io: Mutex<T>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Stream {
    /// Makes a stream over any transport: a Unix socket, a tunnel, memory in a test. Convert a `TcpStream` by `From`
    /// instead: then the stream knows its addresses and is not boxed.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Kind::Custom(Box::new(Custom {
            is_write_vectored: io.is_write_vectored(),
            io: Mutex::new(io),
        })))
    }

    /// The address of the peer, where the transport has one.
    ///
    /// # Errors
    ///
    /// The system's error; [`io::ErrorKind::Unsupported`] when the stream is neither TCP nor TLS over TCP.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp()?.peer_addr()
    }

    /// The local address, where the transport has one.
    ///
    /// # Errors
    ///
    /// The errors of [`peer_addr`](Self::peer_addr).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp()?.local_addr()
    }

    /// Whether the stream is TLS. False for a transport of the caller, whether or not it encrypts.
    pub fn is_secure(&self) -> bool {
        match &self.0 {
            Kind::Tcp(_) | Kind::SharedTcp(_) | Kind::Custom(_) => false,
            #[cfg(feature = "tls")]
            Kind::Tls(_) => true,
        }
    }

    /// A stream of TLS whose handshake is over.
    #[cfg(feature = "tls")]
    pub(crate) fn from_tls(stream: impl Into<tokio_rustls::TlsStream<Self>>) -> Self {
        Self(Kind::Tls(Box::new(stream.into())))
    }

    /// Splits off a second writing half when the stream is TCP. Both the stream and the half can then write. Dropping
    /// the half shuts the socket down for writing; [`OwnedWriteHalf::forget`] prevents that.
    pub(crate) fn shared(self) -> (Self, Option<OwnedWriteHalf>) {
        match self.0 {
            Kind::Tcp(tcp) => {
                let (read, write) = tcp.into_split();
                (Self(Kind::SharedTcp(read)), Some(write))
            }
            kind => (Self(kind), None),
        }
    }

    fn tcp(&self) -> io::Result<&TcpStream> {
        match &self.0 {
            Kind::Tcp(tcp) => Ok(tcp),
            Kind::SharedTcp(tcp) => Ok(tcp.as_ref()),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.get_ref().0.tcp(),
            Kind::Custom(_) => {
                let text = "the transport has no address: it is not TCP";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        }
    }
}

impl Custom<dyn Io> {
    fn io(&mut self) -> Pin<&mut dyn Io> {
        Pin::new(self.io.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: ?Sized> fmt::Debug for Custom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").finish_non_exhaustive()
    }
}

/// Sets TCP_NODELAY where the system allows it, so that small messages are sent at once.
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
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Kind::SharedTcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls)
                .poll_read(cx, buffer)
                .map_err(explain_truncation),
            Kind::Custom(custom) => custom.io().poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Kind::SharedTcp(tcp) => poll_shared(cx, tcp, |tcp| tcp.try_write(bytes)),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Kind::Custom(custom) => custom.io().poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Kind::SharedTcp(tcp) => poll_shared(cx, tcp, |tcp| tcp.try_write_vectored(slices)),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
            Kind::Custom(custom) => custom.io().poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.is_write_vectored(),
            Kind::SharedTcp(_) => true,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.is_write_vectored(),
            Kind::Custom(custom) => custom.is_write_vectored,
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Kind::SharedTcp(_) => Poll::Ready(Ok(())),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Kind::Custom(custom) => custom.io().poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Kind::SharedTcp(tcp) => {
                Poll::Ready(SockRef::from(tcp.as_ref()).shutdown(Shutdown::Write))
            }
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Kind::Custom(custom) => custom.io().poll_shutdown(cx),
        }
    }
}

/// Explains an end of a TLS stream without `close_notify`. An attacker may have caused it, so it is an error instead of
/// an end (RFC 8446 §6.1).
#[cfg(feature = "tls")]
fn explain_truncation(error: io::Error) -> io::Error {
    const CUT_OFF: &str = "the TLS stream was cut off: it ended without close_notify";
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::UnexpectedEof, CUT_OFF),
        _ => error,
    }
}

/// Writes, or waits until the socket is writable.
#[inline]
fn poll_shared(
    cx: &mut Context<'_>,
    tcp: &OwnedReadHalf,
    write: impl Fn(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    let tcp = tcp.as_ref();
    loop {
        match write(tcp) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(tcp.poll_write_ready(cx))?;
            }
            written => return Poll::Ready(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn tcp_sends_small_messages_at_once_on_both_sides() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        for tcp in [connected.unwrap(), accepted.unwrap().0] {
            assert!(!tcp.nodelay().unwrap());
            assert!(Stream::from(tcp).tcp().unwrap().nodelay().unwrap());
        }
    }

    #[tokio::test]
    async fn a_shared_stream_works_after_the_half_is_forgotten_and_ends_at_a_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        let (mut near, half) = Stream::from(connected.unwrap()).shared();
        let mut far = accepted.unwrap().0;
        let half = half.unwrap();
        near.write_all(b"a").await.unwrap();
        assert_eq!(half.try_write(b"b").unwrap(), 1);
        half.forget();
        let both = [io::IoSlice::new(b"c"), io::IoSlice::new(b"d")];
        assert_eq!(near.write_vectored(&both).await.unwrap(), 2);
        near.flush().await.unwrap();
        near.shutdown().await.unwrap();
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"abcd");
        far.write_all(b"still heard").await.unwrap();
        drop(far);
        came.clear();
        near.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"still heard");
    }

    /// 32 MiB exceed the system's buffers: the writer waits for the reader, and no byte is lost.
    #[tokio::test]
    async fn a_stream_that_is_shared_waits_for_its_peer() {
        const LEN: usize = 32 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        let (mut near, _half) = Stream::from(connected.unwrap()).shared();
        let mut far = accepted.unwrap().0;
        let bytes: Vec<u8> = (0..LEN).map(|at| (at / 251) as u8).collect();
        let mut came = Vec::new();
        let writing = async {
            near.write_all(&bytes).await.unwrap();
            near.shutdown().await.unwrap();
        };
        tokio::join!(writing, async { far.read_to_end(&mut came).await.unwrap() });
        assert!(came == bytes);
    }

    /// Each idle connection holds one stream.
    #[test]
    fn a_custom_transport_makes_the_other_kinds_no_larger() {
        assert_eq!(size_of::<Stream>(), size_of::<TcpStream>());
    }

    #[test]
    fn a_stream_may_be_shared_as_a_socket_may() {
        fn is_shared<T: Send + Sync + Unpin>() {}
        is_shared::<Stream>();
    }

    #[tokio::test]
    async fn a_custom_transport_has_no_address_and_its_error_says_so() {
        let stream = Stream::new(tokio::io::duplex(1).0);
        for error in [stream.peer_addr(), stream.local_addr()].map(Result::unwrap_err) {
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("not TCP"));
        }
        assert!(!stream.is_secure());
    }
}
