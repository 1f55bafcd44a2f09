//! The state that the tasks of a server share.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use hyper::server::conn::http1;

use super::reception::Reception;
use crate::deadline::InputTimer;
use crate::sync::Arc;
#[cfg(feature = "tls")]
use crate::tls::TlsAcceptor;

/// The future of an HTTP service's answer.
pub(super) type Served = Pin<Box<dyn Future<Output = http::Response<Bytes>> + Send>>;
pub(super) type HttpService = Arc<dyn Fn(http::Request<Bytes>) -> Served + Send + Sync>;

/// The state that the tasks of a server share.
pub(super) struct Shared {
    pub(super) reception: Reception,
    pub(super) http: Option<HttpService>,
    pub(super) head_limits: HeadLimits,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) local_addr: SocketAddr,
    /// Whether the server is bound to one address: then each accepted connection is to `local_addr`.
    pub(super) is_bound_to_one: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("reception", &self.reception)
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

/// The limits of a request's head. RFC 6455 has none, but the input of a peer needs some.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

/// The smallest buffer that hyper accepts.
const MIN_BUFFER: usize = 8 * 1024;

impl HeadLimits {
    /// Returns hyper's settings for a connection with these limits.
    pub(super) fn http(self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(InputTimer)
            .max_buf_size(self.bytes.max(MIN_BUFFER))
            .max_header_size(self.bytes)
            .max_headers(self.fields);
        http
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: 16 * 1024,
            fields: 100,
        }
    }
}
