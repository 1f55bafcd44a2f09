//! Tunnels through a proxy over a blocking stream. The requests are those of the asynchronous client.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use http::Response;

use super::handshake::exchange;
use super::stream::Stream;
use crate::client::{ConnectError, Observer, Proxy, ProxyError, SocksError, SocksStep};
#[cfg(feature = "tls")]
use crate::tls::TlsError;

/// Asks the proxy at the other end of `stream` for a tunnel to a host. An IPv6 address is in brackets.
pub(super) fn tunnel(
    proxy: &Proxy,
    stream: &mut Stream,
    host: &str,
    port: u16,
    deadline: Instant,
    observer: &Observer,
) -> Result<(), ProxyError> {
    match proxy.is_socks() {
        true => Ok(socks(proxy, stream, host, port, deadline)?),
        false => {
            let authority = format!("{host}:{port}");
            connect(proxy, stream, &authority, deadline, observer)
        }
    }
}

fn connect(
    proxy: &Proxy,
    stream: &mut Stream,
    authority: &str,
    deadline: Instant,
    observer: &Observer,
) -> Result<(), ProxyError> {
    let request = proxy.connect_request(authority)?;
    let answer = exchange(stream, &request, deadline, observer);
    let (answer, rest) = answer.map_err(|error| match error {
        ConnectError::Connect(error) => ProxyError::Connect(error),
        ConnectError::NoResponse => ProxyError::NoResponse,
        ConnectError::TlsExpected => ProxyError::TlsExpected,
        #[cfg(feature = "tls")]
        ConnectError::Tls(error) => ProxyError::Tls(error),
        _ => ProxyError::Head,
    })?;
    if !answer.status().is_success() {
        let response = answer.map(|()| Bytes::from(rest));
        return Err(ProxyError::Refused(Box::<Response<Bytes>>::new(response)));
    }
    match rest.is_empty() {
        true => Ok(()),
        // In TLS and HTTP the client speaks first. So bytes that follow the proxy's answer before that are an error.
        false => Err(ProxyError::TooEarly),
    }
}

fn socks(
    proxy: &Proxy,
    stream: &mut Stream,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<(), SocksError> {
    let mut socks = proxy.ask_socks(host, port)?;
    loop {
        match socks.step() {
            SocksStep::Write(bytes) => stream.write_all_until(&bytes, deadline)?,
            SocksStep::Read(len) => {
                let mut bytes = vec![0; len];
                stream.read_exact_until(&mut bytes, deadline)?;
                socks.receive(&bytes)?;
            }
            SocksStep::Done => return Ok(()),
        }
    }
}

/// Whether an error comes from a passed deadline.
pub(super) fn is_late(error: &ConnectError) -> bool {
    let error = match error {
        ConnectError::Connect(error) | ConnectError::Proxy(ProxyError::Connect(error)) => error,
        ConnectError::Proxy(ProxyError::Socks(SocksError::Io(error))) => error,
        #[cfg(feature = "tls")]
        ConnectError::Tls(TlsError::Io(error))
        | ConnectError::Proxy(ProxyError::Tls(TlsError::Io(error))) => error,
        _ => return false,
    };
    error.kind() == io::ErrorKind::TimedOut
}
