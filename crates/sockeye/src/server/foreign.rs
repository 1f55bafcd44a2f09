//! A request inside another HTTP server, and the stream that it leaves behind. The other server is built on hyper, as
//! axum's is.

use bytes::Bytes;
use http::{Extensions, Response, request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use super::answer;
use super::rules::Known;
use crate::handshake::{ConnectionInfo, Properties};
use crate::stats::Counters;
use crate::transport::Stream;

/// A request inside another HTTP server, without its body.
pub(crate) struct ForeignRequest {
    /// The head, without extensions.
    pub(super) head: request::Parts,
    pub(crate) facts: Facts,
}

/// What the other server knows of a request, by the request's extensions.
pub(crate) struct Facts {
    pub(crate) info: ConnectionInfo,
    pub(crate) known: Known,
    /// By this the connection is upgraded.
    pub(super) on_upgrade: Option<OnUpgrade>,
}

impl From<request::Parts> for ForeignRequest {
    fn from(mut head: request::Parts) -> Self {
        let facts = Facts::take(&mut head.extensions);
        Self { head, facts }
    }
}

impl Facts {
    /// Takes the facts from a request's extensions. Only hyper's extension is taken away: it serves once.
    pub(super) fn take(extensions: &mut Extensions) -> Self {
        let properties = extensions.get::<Properties>().cloned();
        let info = extensions.get::<ConnectionInfo>().copied();
        Self {
            info: info.unwrap_or_default(),
            known: Known {
                principal: None,
                properties: properties.unwrap_or_default(),
            },
            on_upgrade: extensions.remove::<OnUpgrade>(),
        }
    }
}

/// Returns the answer to a request that no HTTP server of hyper's brought, and logs it.
pub(super) fn not_upgradable(counters: &Counters) -> Box<Response<Bytes>> {
    if let Some(left_out) = counters.log.not_upgradable.admit_now() {
        let text = "cannot upgrade a connection: the request has no extension of hyper's";
        tracing::error!(left_out, "{text}");
    }
    Box::new(answer::internal("this connection cannot be upgraded"))
}

/// Returns the stream below HTTP, and the bytes that were read behind the request. A TCP stream leaves hyper, so that
/// nothing of HTTP is kept, and reads and writes go to the socket. Any other stream stays inside hyper's type.
pub(super) fn into_stream(upgraded: Upgraded) -> (Stream, Bytes) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return (Stream::from(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    // axum's server, and others that find out the version of HTTP, wrap the stream.
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (Stream::from(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => (Stream::new(TokioIo::new(upgraded)), Bytes::new()),
    }
}
