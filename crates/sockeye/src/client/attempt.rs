//! One attempt to open a connection: a transport to the server, TLS on it, the handshake over it.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};

use bytes::Bytes;
use http::Response;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http_body_util::Empty;
use sockeye_proto::handshake::{Accepted, ClientHandshake, Extension, ResponseError};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::exchange::{self, beside};
use super::proxy::{Proxy, ProxyError};
use super::target::Target;
use super::{Client, ConnectError, redirect};
use crate::connection::{Compression, Connection, Opening, Timings, client_machine};
use crate::transport::Stream;
#[cfg(feature = "tls")]
use crate::transport::tls;

impl Client {
    pub(super) async fn attempt(&self, target: &Target) -> Result<Connection, ConnectError> {
        if target.uri.is_secure() && cfg!(not(feature = "tls")) {
            return Err(ConnectError::TlsUnsupported);
        }
        let handshake = self.handshake(target)?;
        let mut timings = Timings::default();
        let reaching = timeout(self.connect_timeout, self.reach(target, &mut timings));
        let stream = Box::pin(reaching)
            .await
            .map_err(|_| ConnectError::ConnectTimeout(self.connect_timeout))??;
        let mut deadline = pin!(sleep(self.handshake_timeout));
        let started = Instant::now();
        let securing = self.secure(stream, target);
        let stream = self.in_time(deadline.as_mut(), securing).await??;
        timings.tls = target.uri.is_secure().then(|| started.elapsed());
        self.shake_hands(stream, target, &handshake, deadline, timings)
            .await
    }

    pub(crate) fn handshake(&self, target: &Target) -> Result<ClientHandshake, ConnectError> {
        // RFC 6455 §4.1: 16 bytes chosen at random for each connection.
        let mut handshake = ClientHandshake::new(target.uri.clone(), rand::random())
            .subprotocols(self.subprotocols.iter().cloned())?
            .require_subprotocol(self.require_subprotocol);
        if let Some(compression) = &self.compression {
            handshake = handshake.extensions([compression.offer()]);
        }
        let given = self.headers.iter().map(|(name, value)| (name, value));
        let (mut has_authorization, mut has_cookie) = (false, false);
        for (name, value) in given.chain(&target.headers) {
            if target.is_foreign && !redirect::crosses_origins(name) {
                continue;
            }
            has_authorization |= name == AUTHORIZATION;
            has_cookie |= name == COOKIE;
            handshake = handshake.header(name.clone(), value.clone())?;
        }
        if let Some(value) = &target.authorization
            && !has_authorization
        {
            handshake = handshake.header(AUTHORIZATION, value.clone())?;
        }
        let jar = self.cookies.as_ref().filter(|_| !has_cookie);
        if let Some(mut value) = jar.and_then(|jar| jar.cookies(&target.http_url())) {
            value.set_sensitive(true);
            handshake = handshake.header(COOKIE, value)?;
        }
        Ok(handshake)
    }

    /// A transport to the server, by a proxy where there is one.
    async fn reach(&self, target: &Target, timings: &mut Timings) -> Result<Stream, ConnectError> {
        if let Some(path) = &self.unix {
            let started = Instant::now();
            let stream = super::unix::connect(path).await;
            timings.connect = started.elapsed();
            return stream.map_err(ConnectError::Connect);
        }
        if let Some(proxy) = self.proxies.choose(target)? {
            let (host, port) = (proxy.host(), proxy.port());
            let tcp = self.dialer.connect(host, port, timings).await;
            let tcp = tcp.map_err(ProxyError::Connect)?;
            let started = Instant::now();
            let stream = self.reach_by(&proxy, Stream::from(tcp), target).await?;
            timings.proxy = Some(started.elapsed());
            return Ok(stream);
        }
        let (host, port) = (target.bare_host(), target.uri.port());
        let tcp = self.dialer.connect(host, port, timings).await;
        Ok(Stream::from(tcp.map_err(ConnectError::Connect)?))
    }

    async fn reach_by(
        &self,
        proxy: &Proxy,
        mut stream: Stream,
        target: &Target,
    ) -> Result<Stream, ConnectError> {
        if proxy.is_secure() {
            stream = self.secure_proxy(stream, proxy).await?;
        }
        let port = target.uri.port();
        if !proxy.wants_address() {
            return Ok(proxy.tunnel(stream, target.uri.host(), port).await?);
        }
        let addresses = self.dialer.resolve(target.bare_host(), port).await;
        let addresses = addresses.map_err(ConnectError::Connect)?;
        let Some(address) = addresses.first() else {
            let none = io::Error::from(io::ErrorKind::AddrNotAvailable);
            return Err(ConnectError::Connect(none));
        };
        let host = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Ok(proxy.tunnel(stream, &host, port).await?)
    }

    async fn secure_proxy(&self, stream: Stream, proxy: &Proxy) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        {
            let config = self.tls.as_ref();
            let securing = tls::connect(config, proxy.host(), stream);
            let secured = Box::pin(securing).await;
            Ok(secured.map_err(ProxyError::Tls)?)
        }
        #[cfg(not(feature = "tls"))]
        {
            let _ = (stream, proxy);
            Err(ConnectError::TlsUnsupported)
        }
    }

    /// RFC 6455 §4.1: the TLS handshake comes first, with the host's name for the server to choose its
    /// certificate by.
    async fn secure(&self, stream: Stream, target: &Target) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        if target.uri.is_secure() {
            // A certificate of this client's is a credential too.
            let config = match &self.tls {
                Some(config) if target.is_foreign => Some(tls::anonymous(config)),
                config => config.clone(),
            };
            let name = self.server_name.as_deref().filter(|_| !target.is_foreign);
            let name = name.unwrap_or(target.bare_host());
            let connecting = tls::connect(config.as_ref(), name, stream);
            return Ok(Box::pin(connecting).await?);
        }
        debug_assert!(!target.uri.is_secure(), "refused before");
        Ok(stream)
    }

    /// One deadline for all of the handshake: what waits for a part of it, or that it is late.
    async fn in_time<F: Future>(
        &self,
        deadline: Pin<&mut Sleep>,
        waiting: F,
    ) -> Result<F::Output, ConnectError> {
        tokio::select! {
            biased;
            output = waiting => Ok(output),
            () = deadline => Err(ConnectError::HandshakeTimeout(self.handshake_timeout)),
        }
    }

    async fn shake_hands(
        &self,
        stream: Stream,
        target: &Target,
        handshake: &ClientHandshake,
        deadline: Pin<&mut Sleep>,
        mut timings: Timings,
    ) -> Result<Connection, ConnectError> {
        let started = Instant::now();
        let (mut sender, connection) = exchange::begin(stream).await?;
        let mut connection = Some(connection);
        let asked = handshake.request();
        let request = asked.clone().map(|()| Empty::<Bytes>::new());
        let response = beside(&mut connection, sender.send_request(request));
        let response = self.in_time(deadline, response).await?;
        let response = response.map_err(ConnectError::unanswered)?;
        timings.upgrade = started.elapsed();
        let (parts, body) = response.into_parts();
        if let Some(jar) = &self.cookies {
            let url = target.http_url();
            let set = parts.headers.get_all(SET_COOKIE).iter();
            set.for_each(|value| jar.store(&url, value));
        }
        let accepted = match handshake.receive(&parts) {
            Ok(accepted) => accepted,
            Err(ResponseError::Refused { .. }) => {
                let start = exchange::start_of(&mut connection, body).await;
                let response = Box::new(Response::from_parts(parts, start));
                return Err(ConnectError::Refused(response));
            }
            Err(error) => return Err(ConnectError::Response(error)),
        };
        let Accepted {
            subprotocol,
            extensions,
            ..
        } = accepted;
        let compression = self.agreed_compression(&extensions)?;
        drop(sender);
        let opening = Opening {
            request: asked,
            response: Response::from_parts(parts.clone(), ()),
            timings,
            deflate: compression.as_ref().map(|agreed| agreed.params),
        };
        let on_upgrade = hyper::upgrade::on(Response::from_parts(parts, body));
        let upgraded = beside(&mut connection, on_upgrade).await?;
        let Some((stream, read_ahead)) = exchange::into_transport(upgraded) else {
            return Err(ConnectError::NoResponse);
        };
        let machine = client_machine(self.config.clone(), compression);
        let connection = Connection::new(stream, machine, &read_ahead, subprotocol);
        Ok(connection.with_opening(opening))
    }

    /// What the server answers about compression.
    fn agreed_compression(
        &self,
        chosen: &[Extension],
    ) -> Result<Option<Compression>, ConnectError> {
        let Some(config) = &self.compression else {
            return Ok(None);
        };
        let params = config.accept(chosen)?;
        Ok(params.map(|params| Compression {
            params,
            config: config.clone(),
            pool: self.deflate_pool.clone(),
        }))
    }
}
