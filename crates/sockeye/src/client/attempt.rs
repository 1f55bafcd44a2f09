//! One attempt to open a connection: the transport to the server, TLS over it, then the opening handshake.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};

use http::Response;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use sockeye_proto::handshake::{Accepted, ClientHandshake, Extension, ResponseError};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::error::ProxyError;
use super::exchange::{self, Answered, HttpError, drive_until};
use super::proxy::Proxy;
use super::route::{Route, host_for_proxy};
use super::target::Target;
use super::{AttemptStep, Client, ConnectError, redirect};
use crate::connection::{Compression, Connection, Opening, Timings, client_machine};
use crate::deadline::{InputDeadline, timeout};
use crate::sync::Arc;
#[cfg(feature = "tls")]
use crate::tls::{self, rustls};
use crate::transport::Stream;

impl Client {
    pub(super) async fn attempt(&self, target: &Target) -> Result<Connection, ConnectError> {
        if target.uri.is_secure() && cfg!(not(feature = "tls")) {
            return Err(ConnectError::TlsUnsupported);
        }
        let handshake = self.handshake(target)?;
        let mut timings = Timings::default();
        let late = |_| ConnectError::ConnectTimeout(self.connect_timeout);
        let finding = timeout(self.connect_timeout, self.find_route(target, &mut timings));
        let started = Instant::now();
        let route = Box::pin(finding).await.map_err(late)??;
        let left = self.connect_timeout.saturating_sub(started.elapsed());
        // Held until the handshake is over, or the attempt is dropped.
        let mut turn = match &self.turns {
            Some(turns) => {
                let allowance = self.connect_timeout.saturating_add(self.handshake_timeout);
                Some(turns.wait(route.peers(target), allowance).await)
            }
            None => None,
        };
        let reaching = timeout(left, self.reach(target, route, &mut timings));
        let stream = Box::pin(reaching).await.map_err(late)??;
        if let (Some(turn), Ok(address)) = (&mut turn, stream.peer_addr()) {
            turn.keep(address);
        }
        let mut deadline = pin!(InputDeadline::after(self.handshake_timeout));
        let started = Instant::now();
        let securing = self.secure(stream, target);
        let stream = self.in_time(deadline.as_mut(), securing).await??;
        timings.tls = target.uri.is_secure().then(|| started.elapsed());
        if let Some(took) = timings.tls {
            let step = AttemptStep::Secured(target.bare_host());
            self.observer.step(step, took);
        }
        self.shake_hands(stream, target, &handshake, deadline, timings)
            .await
    }

    /// Performs the opening handshake on a stream of the caller's.
    pub(super) async fn attempt_over(
        &self,
        stream: Stream,
        target: &Target,
    ) -> Result<Connection, ConnectError> {
        let handshake = self.handshake(target)?;
        let deadline = pin!(InputDeadline::after(self.handshake_timeout));
        let timings = Timings::default();
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

    /// Finds the route to the server, through a proxy where one is set, and resolves its addresses.
    async fn find_route(
        &self,
        target: &Target,
        timings: &mut Timings,
    ) -> Result<Route, ConnectError> {
        if let Some(path) = &self.unix {
            return Ok(Route::Unix(path.clone()));
        }
        let started = Instant::now();
        let (host, port) = (target.bare_host(), target.uri.port());
        let route = match self.proxy_for(target)? {
            None => {
                let addresses = self.addresses_of(host, port).await;
                Route::Direct(addresses.map_err(ConnectError::Connect)?)
            }
            Some(proxy) => {
                let addresses = self.addresses_of(proxy.host(), proxy.port()).await;
                let addresses = addresses.map_err(ProxyError::Connect)?;
                let server = match proxy.wants_address() {
                    true => self.addresses_of(host, port).await,
                    false => Ok(Vec::new()),
                };
                let server = server.map_err(ConnectError::Connect)?;
                Route::Proxy(proxy, addresses, server.first().copied())
            }
        };
        timings.resolve = Some(started.elapsed());
        Ok(route)
    }

    async fn addresses_of(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let started = Instant::now();
        let addresses = self.dialer.resolve(host, port).await?;
        let step = AttemptStep::Resolved(host, &addresses);
        self.observer.step(step, started.elapsed());
        Ok(addresses)
    }

    /// Opens a TCP connection to one of the addresses.
    async fn dial(
        &self,
        addresses: Vec<SocketAddr>,
        timings: &mut Timings,
    ) -> io::Result<TcpStream> {
        let started = Instant::now();
        let tcp = self.dialer.connect(addresses).await;
        timings.connect = started.elapsed();
        let tcp = tcp?;
        if let Ok(address) = tcp.peer_addr() {
            let step = AttemptStep::Connected(&address);
            self.observer.step(step, timings.connect);
        }
        Ok(tcp)
    }

    /// Opens a transport to the server.
    async fn reach(
        &self,
        target: &Target,
        route: Route,
        timings: &mut Timings,
    ) -> Result<Stream, ConnectError> {
        match route {
            Route::Unix(path) => {
                let started = Instant::now();
                let stream = super::unix::connect(&path).await;
                timings.connect = started.elapsed();
                let stream = stream.map_err(ConnectError::Connect)?;
                let path = path.display();
                let step = AttemptStep::Connected(&path);
                self.observer.step(step, timings.connect);
                Ok(stream)
            }
            Route::Direct(addresses) => {
                let tcp = self.dial(addresses, timings).await;
                Ok(Stream::from(tcp.map_err(ConnectError::Connect)?))
            }
            Route::Proxy(proxy, addresses, server) => {
                let tcp = self.dial(addresses, timings).await;
                let tcp = tcp.map_err(ProxyError::Connect)?;
                let started = Instant::now();
                let mut stream = Stream::from(tcp);
                if proxy.is_secure() {
                    stream = self.secure_proxy(stream, &proxy).await?;
                }
                let host = host_for_proxy(server, target);
                let stream = proxy
                    .tunnel(stream, &host, target.uri.port(), &self.observer)
                    .await?;
                let took = started.elapsed();
                timings.proxy = Some(took);
                self.observer
                    .step(AttemptStep::Tunneled(proxy.host()), took);
                Ok(stream)
            }
        }
    }

    async fn secure_proxy(&self, stream: Stream, proxy: &Proxy) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        {
            let started = Instant::now();
            let config = self.tls.as_ref();
            let securing = tls::connect(config, proxy.host(), stream);
            let secured = Box::pin(securing).await.map_err(ProxyError::Tls)?;
            let step = AttemptStep::Secured(proxy.host());
            self.observer.step(step, started.elapsed());
            Ok(secured)
        }
        #[cfg(not(feature = "tls"))]
        {
            let _ = (stream, proxy);
            Err(ConnectError::TlsUnsupported)
        }
    }

    /// Performs the TLS handshake for a `wss:` URL, before the opening handshake. The host name in it lets the server
    /// choose its certificate (RFC 6455 §4.1).
    async fn secure(&self, stream: Stream, target: &Target) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tls")]
        if target.uri.is_secure() {
            let config = self.tls_for(target);
            let name = self.server_name.as_deref().filter(|_| !target.is_foreign);
            let name = name.unwrap_or(target.bare_host());
            let connecting = tls::connect(config.as_ref(), name, stream);
            return Ok(Box::pin(connecting).await?);
        }
        debug_assert!(!target.uri.is_secure(), "refused before");
        Ok(stream)
    }

    /// The TLS configuration for a server; `None` for the system's defaults.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_for(&self, target: &Target) -> Option<Arc<rustls::ClientConfig>> {
        match &self.tls {
            // A client certificate is a credential too: another origin must not get it.
            Some(config) if target.is_foreign => Some(tls::anonymous(config)),
            config => config.clone(),
        }
    }

    /// Waits for one part of the handshake. All parts share one deadline.
    async fn in_time<F: Future>(
        &self,
        deadline: Pin<&mut InputDeadline>,
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
        deadline: Pin<&mut InputDeadline>,
        mut timings: Timings,
    ) -> Result<Connection, ConnectError> {
        let started = Instant::now();
        let asked = handshake.request();
        let asking = exchange::ask(stream, asked.clone(), &self.observer);
        let answered = self.in_time(deadline, asking).await?;
        let Answered {
            response,
            mut connection,
            sender,
        } = answered.map_err(ConnectError::unanswered)?;
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
        let upgraded = drive_until(&mut connection, on_upgrade).await;
        let upgraded = upgraded.map_err(HttpError::new)?;
        let Some((stream, read_ahead)) = exchange::into_transport(upgraded) else {
            return Err(ConnectError::NoResponse);
        };
        let machine = client_machine(self.config.clone(), compression);
        let budget = Arc::clone(&self.budget);
        let connection = Connection::new(stream, machine, &read_ahead, subprotocol, budget);
        self.observer.step(AttemptStep::Accepted, timings.upgrade);
        Ok(connection.with_opening(opening))
    }

    /// The compression that the server's response accepts.
    pub(crate) fn agreed_compression(
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
