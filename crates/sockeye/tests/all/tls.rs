//! `wss:` on both sides: what is trusted, what is refused before a byte of HTTP is sent, and how TLS ends.
#![cfg(feature = "tls")]
#![allow(
    clippy::large_futures,
    clippy::unwrap_used,
    reason = "both ends in one future, with certificates that are good"
)]

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use sockeye::client::ConnectError;
use sockeye::endpoint::{Handshake, Incoming, Reply};
use sockeye::server::ServerBuilder;
use sockeye::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sockeye::tls::rustls::server::WebPkiClientVerifier;
use sockeye::tls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig,
};
use sockeye::tls::{self, FileProblem, TlsError};
use sockeye::{
    Client, CloseCode, Endpoint, Error, HandlerResult, Message, Server, Session, endpoint,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

use crate::support::{Raw, Stoppable, serve, soon};

struct Echo;

impl Endpoint for Echo {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        Ok(Reply::from(message))
    }
}

pub(crate) fn echo() -> ServerBuilder {
    Server::builder().endpoint(endpoint("/", |handshake: &Handshake| {
        assert!(handshake.is_secure());
        Echo
    }))
}

/// A certificate authority of the test's own.
pub(crate) struct Authority(pub(crate) CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// The configuration of a client that trusts only this authority.
    pub(crate) fn trusted(&self) -> ClientConfig {
        let file = File::new("ca.pem", &self.0.pem());
        tls::client_config_trusting(&file.0).unwrap()
    }

    pub(crate) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn localhost(&self) -> Identity {
        self.issue(&["localhost", "127.0.0.1"], |_| {})
    }
}

impl Identity {
    pub(crate) fn config(&self) -> ServerConfig {
        let certificate = File::new("cert.pem", &self.certificate);
        let key = File::new("key.pem", &self.key);
        tls::server_config(&certificate.0, &key.0).unwrap()
    }
}

/// A file of this test's own, for as long as it is kept.
pub(crate) struct File(pub(crate) PathBuf);

impl File {
    pub(crate) fn new(name: &str, content: &str) -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{count}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn messages_of_all_sizes_go_both_ways_to_a_name_and_to_an_address() {
    let authority = Authority::new("ours");
    let addr = serve(echo().tls(authority.localhost().config())).await;
    let client = Client::builder().tls(authority.trusted()).build();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("wss://{host}:{}/", addr.port());
        let mut ws = client.connect(url).await.unwrap();
        assert!(ws.opening().unwrap().timings.tls.is_some());
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            let sent = Message::from(vec![size as u8; size]);
            soon(ws.send(sent.clone())).await.unwrap();
            assert_eq!(soon(ws.recv()).await.unwrap(), Some(sent));
        }
        soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    }
}

#[tokio::test]
async fn both_sides_end_with_close_notify() {
    let authority = Authority::new("ours");
    let addr = serve(echo().tls(authority.localhost().config())).await;
    let tcp = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(authority.trusted()));
    let mut peer = soon(connector.connect(name, tcp)).await.unwrap();
    let request = crate::support::request(addr, "/", "");
    let close = crate::support::masked_close(1000, "");
    let both = [request.as_bytes(), &close].concat();
    soon(peer.write_all(&both)).await.unwrap();
    let mut answer = Vec::new();
    // Without close_notify this is an error.
    soon(peer.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.ends_with(&crate::support::unmasked_close(1000, "")));

    let (ws, mut peer) = connected(&authority).await;
    let mut ws = ws.unwrap();
    let closing = async {
        soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    };
    let answering = async {
        let mut close = [0; 8];
        soon(peer.read_exact(&mut close)).await.unwrap();
        let answer = crate::support::unmasked_close(1000, "");
        soon(peer.write_all(&answer)).await.unwrap();
        soon(peer.shutdown()).await.unwrap();
        soon(peer.read_to_end(&mut Vec::new())).await.unwrap();
    };
    tokio::join!(closing, answering);
}

/// RFC 6455 §4.1 and RFC 6066 §3: a server with several names chooses its certificate by this one.
#[tokio::test]
async fn a_client_names_the_urls_host_in_its_client_hello() {
    let (ws, peer) = connected(&Authority::new("ours")).await;
    ws.unwrap();
    assert_eq!(peer.get_ref().1.server_name(), Some("localhost"));
}

#[tokio::test]
async fn a_stream_that_is_cut_off_is_told_from_one_that_ends() {
    let authority = Authority::new("ours");
    let (ws, mut peer) = connected(&authority).await;
    soon(peer.shutdown()).await.unwrap();
    let error = soon(ws.unwrap().recv()).await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedEnd), "{error:?}");

    let (ws, mut peer) = connected(&authority).await;
    soon(peer.get_mut().0.shutdown()).await.unwrap();
    let error = soon(ws.unwrap().recv()).await.unwrap_err();
    let Error::Io(cut_off) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(cut_off.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(
        sockeye::error::ErrorChain::new(&error).to_string(),
        "the transport failed: the TLS stream was cut off: it ended without close_notify"
    );
}

#[tokio::test]
async fn bytes_that_were_tampered_with_fail_the_connection() {
    let authority = Authority::new("ours");
    let (ws, mut peer) = connected(&authority).await;
    // A record of application data that is not encrypted.
    let record = [&[23, 3, 3, 0, 32][..], &[0; 32]].concat();
    soon(peer.get_mut().0.write_all(&record)).await.unwrap();
    let error = soon(ws.unwrap().recv()).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}

/// A client, and the server's end of it in raw TLS.
async fn connected(
    authority: &Authority,
) -> (
    Result<sockeye::Connection, ConnectError>,
    server::TlsStream<TcpStream>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = Client::builder().tls(authority.trusted()).build();
    let acceptor = TlsAcceptor::from(Arc::new(authority.localhost().config()));
    let serving = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut peer = acceptor.accept(tcp).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(peer.read_buf(&mut request).await.unwrap() > 0);
        }
        let request = String::from_utf8(request).unwrap();
        let answer = crate::support::accept(&request, "");
        peer.write_all(answer.as_bytes()).await.unwrap();
        peer.flush().await.unwrap();
        peer
    };
    let connecting = client.connect(format!("wss://localhost:{port}/"));
    soon(async { tokio::join!(connecting, serving) }).await
}

/// Returns the error of a client that trusts `trusted` and connects to a server with this identity, for `localhost`.
async fn refused(trusted: ClientConfig, identity: &Identity) -> TlsError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(identity.config()));
    let serving = async {
        let (tcp, _) = listener.accept().await.unwrap();
        // RFC 6455 §4.1: nothing is sent over a connection that is not secured.
        if let Ok(mut peer) = acceptor.accept(tcp).await {
            let mut sent = Vec::new();
            let _ = peer.read_to_end(&mut sent).await;
            assert_eq!(sent, b"");
        }
    };
    let client = Client::builder().tls(trusted).build();
    let connecting = client.connect(format!("wss://localhost:{port}/"));
    let (connected, ()) = soon(async { tokio::join!(connecting, serving) }).await;
    match connected.unwrap_err() {
        ConnectError::Tls(error) => error,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_and_no_request_is_sent() {
    let authority = Authority::new("ours");
    let stranger = Authority::new("a stranger");
    let certificate_error = |error| match error {
        TlsError::Handshake(rustls::Error::InvalidCertificate(error)) => error,
        error => panic!("{error:?}"),
    };

    let expired = authority.issue(&["localhost"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let error = certificate_error(refused(authority.trusted(), &expired).await);
    assert!(
        matches!(
            error,
            CertificateError::Expired | CertificateError::ExpiredContext { .. }
        ),
        "{error:?}"
    );

    let future = authority.issue(&["localhost"], |params| {
        params.not_before = date_time_ymd(3000, 1, 1);
        params.not_after = date_time_ymd(3001, 1, 1);
    });
    let error = certificate_error(refused(authority.trusted(), &future).await);
    assert!(
        matches!(
            error,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
        ),
        "{error:?}"
    );

    let other = authority.issue(&["example.com"], |_| {});
    let error = certificate_error(refused(authority.trusted(), &other).await);
    assert!(
        matches!(
            error,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ),
        "{error:?}"
    );

    let error = certificate_error(refused(stranger.trusted(), &authority.localhost()).await);
    assert_eq!(error, CertificateError::UnknownIssuer);
    let system = tls::client_config().unwrap();
    let error = certificate_error(refused(system, &authority.localhost()).await);
    assert_eq!(error, CertificateError::UnknownIssuer);

    let key = KeyPair::generate().unwrap();
    let alone = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let alone = Identity {
        certificate: alone.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    let error = certificate_error(refused(authority.trusted(), &alone).await);
    assert_eq!(error, CertificateError::UnknownIssuer);
}

/// Returns the error of a client whose server answers its first message with these bytes, and ends.
async fn answered(bytes: &[u8]) -> TlsError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 16 * 1024];
        let read = tcp.read(&mut hello).await.unwrap();
        // A handshake record, and no HTTP.
        assert_eq!(hello[0], 22);
        assert!(!hello[..read].windows(4).any(|bytes| bytes == b"HTTP"));
        tcp.write_all(bytes).await.unwrap();
        tcp.shutdown().await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    };
    let client = Client::builder()
        .tls(Authority::new("ours").trusted())
        .build();
    let connecting = client.connect(format!("wss://localhost:{port}/"));
    let (connected, ()) = soon(async { tokio::join!(connecting, serving) }).await;
    match connected.unwrap_err() {
        ConnectError::Tls(error) => error,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_server_that_speaks_an_old_tls_or_none_is_told_as_such() {
    // The answer of a server that knows only TLS 1.1 and older: a fatal alert, protocol_version.
    let error = answered(&[21, 3, 2, 0, 2, 2, 70]).await;
    assert!(
        matches!(
            error,
            TlsError::Handshake(rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion
            ))
        ),
        "{error:?}"
    );
    let error = answered(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(
        matches!(error, TlsError::Handshake(rustls::Error::InvalidMessage(_))),
        "{error:?}"
    );
    let error = answered(b"").await;
    assert!(matches!(error, TlsError::Io(_)), "{error:?}");
    assert!(
        error.to_string().starts_with("the TLS handshake failed: "),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_at_the_handshake_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let client = Client::builder()
        .handshake_timeout(Duration::from_millis(10))
        .build();
    let error = soon(client.connect(url)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::HandshakeTimeout(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_callers_own_configuration_is_used_on_both_sides() {
    let authority = Authority::new("ours");
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let identity = authority.localhost();
    let (chain, key) = parsed(&identity);
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let addr = serve(echo().tls(server)).await;
    let url = format!("wss://localhost:{}/", addr.port());

    let person = authority.issue(&["me"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (chain, key) = parsed(&person);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let client = Client::builder().tls(config).build();
    let mut ws = soon(client.connect(&url)).await.unwrap();
    soon(ws.send("hello")).await.unwrap();
    let echoed = soon(ws.recv()).await.unwrap();
    assert_eq!(echoed, Some(Message::from("hello")));

    // A client without a certificate gets an error: in TLS 1.3 it may come as late as the answer.
    let anonymous = Client::builder().tls(authority.trusted()).build();
    assert!(soon(anonymous.connect(&url)).await.is_err());
}

fn parsed(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    use rustls::pki_types::pem::PemObject;
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    (
        chain.collect::<Result<_, _>>().unwrap(),
        PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
    )
}

#[tokio::test]
async fn a_server_takes_in_alpn_what_it_speaks_and_nothing_else() {
    let authority = Authority::new("ours");
    let mut config = authority.localhost().config();
    // The server replaces this list: it speaks HTTP/1.1.
    config.alpn_protocols = vec![b"h2".to_vec()];
    let addr = serve(echo().tls(config)).await;
    for (offered, taken) in [
        (&[][..], true),
        (&[&b"http/1.1"[..]][..], true),
        (&[b"h2", b"http/1.1"], true),
        (&[b"h2"], false),
    ] {
        let mut config = authority.trusted();
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let connected = soon(connecting).await;
        assert_eq!(connected.is_ok(), taken, "{offered:?}");
        if let Ok(peer) = connected {
            let chosen = peer.get_ref().1.alpn_protocol();
            assert_eq!(chosen, (!offered.is_empty()).then_some(&b"http/1.1"[..]));
        }
    }
}

#[tokio::test]
async fn one_deadline_holds_for_tls_and_the_request_together() {
    let authority = Authority::new("ours");
    let builder = echo()
        .tls(authority.localhost().config())
        .handshake_timeout(Duration::from_millis(200));
    let addr = serve(builder).await;
    // Nothing at all; no TLS; TLS, and no request.
    let mut silent = Raw::connect(addr).await;
    let mut plain = Raw::connect(addr).await;
    plain.write(b"GET / HTTP/1.1\r\n\r\n").await;
    let tcp = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(authority.trusted()));
    let mut secured = soon(connector.connect(name, tcp)).await.unwrap();
    silent.recv_end().await;
    let _ = soon(plain.stream.read_to_end(&mut Vec::new())).await;
    let _ = soon(secured.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_tls_handshake() {
    let authority = Authority::new("ours");
    let never = Duration::from_secs(3600);
    let builder = echo()
        .tls(authority.localhost().config())
        .handshake_timeout(never)
        .stop_timeout(never);
    let mut server = Stoppable::serve(builder).await;
    let mut silent = Raw::connect(server.addr).await;
    let client = Client::builder().tls(authority.trusted()).build();
    let url = format!("wss://localhost:{}/", server.addr.port());
    // A later client is connected, so the silent one is accepted too.
    let mut ws = client.connect(url).await.unwrap();
    server.stop();
    assert!(soon(ws.recv()).await.unwrap().is_none());
    soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    server.done().await;
    silent.recv_end().await;
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let authority = Authority::new("ours");
    let Identity { certificate, key } = authority.localhost();
    let certificate = File::new("cert.pem", &certificate);
    let key = File::new("key.pem", &key);
    let other_key = File::new("other.pem", &authority.localhost().key);
    let empty = File::new("empty.pem", "nothing");
    let broken = File::new(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    let problem = |certificate: &Path, key: &Path| match tls::server_config(certificate, key) {
        Err(TlsError::File { path, problem }) => (path, problem),
        other => panic!("{other:?}"),
    };

    let missing = Path::new("no/such/file.pem");
    let (path, found) = problem(missing, &key.0);
    assert_eq!(path, missing);
    assert!(matches!(found, FileProblem::Io(_)), "{found:?}");
    let (path, found) = problem(&empty.0, &key.0);
    assert_eq!(path, empty.0);
    assert!(matches!(found, FileProblem::NoCertificate), "{found:?}");
    let (path, found) = problem(&certificate.0, &empty.0);
    assert_eq!(path, empty.0);
    assert!(matches!(found, FileProblem::NoPrivateKey), "{found:?}");
    let (path, found) = problem(&broken.0, &key.0);
    assert_eq!(path, broken.0);
    assert!(matches!(found, FileProblem::Pem(_)), "{found:?}");
    let error = tls::server_config(&certificate.0, &other_key.0).unwrap_err();
    assert!(matches!(error, TlsError::Config(_)), "{error:?}");
    let error = tls::client_config_trusting(missing).unwrap_err();
    assert_eq!(error.to_string(), "cannot use no/such/file.pem");
}

/// Proxies of both kinds to this server, and one that is secure itself; with what they were asked for.
async fn proxies(authority: &Authority, addr: SocketAddr) -> [(String, JoinHandle<String>); 3] {
    let (http, asked_http) = crate::support::proxy::http_proxy(addr).await;
    let (socks, asked_socks) = crate::support::proxy::socks_proxy(addr).await;
    // TLS in front of a proxy: what comes out of it goes on as it is.
    let (inner, asked_secure) = crate::support::proxy::http_proxy(addr).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secure = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(authority.localhost().config()));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = acceptor.accept(tcp).await.unwrap();
        let mut tcp = TcpStream::connect(inner).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut tls, &mut tcp).await;
    });
    [
        (format!("http://{http}"), asked_http),
        (format!("socks5h://{socks}"), asked_socks),
        (format!("https://localhost:{}", secure.port()), asked_secure),
    ]
}

#[tokio::test]
async fn wss_goes_through_proxies_of_both_kinds_and_through_one_that_is_secure_itself() {
    let authority = Authority::new("ours");
    let addr = serve(echo().tls(authority.localhost().config())).await;
    let url = format!("wss://localhost:{}/", addr.port());
    let client = Client::builder().tls(authority.trusted());
    for (proxy, asked) in proxies(&authority, addr).await {
        let client = client.clone().proxy(proxy.parse().unwrap()).build();
        let mut ws = soon(client.connect(&url)).await.unwrap();
        let sent = Message::from(vec![7; 1 << 20]);
        soon(ws.send(sent.clone())).await.unwrap();
        assert_eq!(soon(ws.recv()).await.unwrap(), Some(sent));
        soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
        let asked = soon(asked).await.unwrap();
        assert!(
            asked.contains(&format!("localhost:{}", addr.port())),
            "{asked}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wss_goes_through_them_without_a_runtime_too() {
    let authority = Authority::new("ours");
    let addr = serve(echo().tls(authority.localhost().config())).await;
    let url = format!("wss://localhost:{}/", addr.port());
    let client = sockeye::blocking::Client::builder().tls(authority.trusted());
    for (proxy, asked) in proxies(&authority, addr).await {
        let client = client.clone().proxy(proxy.parse().unwrap()).build();
        let url = url.clone();
        let talk = tokio::task::spawn_blocking(move || {
            let mut ws = client.connect(&url).unwrap();
            let sent = Message::from(vec![7; 1 << 20]);
            ws.send(sent.clone()).unwrap();
            assert_eq!(ws.recv().unwrap(), Some(sent));
            ws.close(CloseCode::NORMAL, "").unwrap();
        });
        soon(talk).await.unwrap();
        let asked = soon(asked).await.unwrap();
        assert!(
            asked.contains(&format!("localhost:{}", addr.port())),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_is_asked_for() {
    let authority = Authority::new("ours");
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let identity = authority.localhost();
    let certificate = File::new("cert.pem", &identity.certificate);
    let key = File::new("key.pem", &identity.key);
    let chain = rustls::pki_types::pem::PemObject::pem_file_iter(&certificate.0).unwrap();
    let chain: Vec<CertificateDer<'static>> = chain.map(Result::unwrap).collect();
    let private: PrivateKeyDer<'static> =
        rustls::pki_types::pem::PemObject::from_pem_file(&key.0).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, private)
        .unwrap();
    let addr = serve(echo().tls(config)).await;
    let url = format!("wss://localhost:{}/", addr.port());

    let mine = authority.issue(&["me"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let roots = File::new("ca.pem", &authority.0.pem());
    let certificate = File::new("me.pem", &mine.certificate);
    let key = File::new("me.key", &mine.key);
    let trusting = tls::ClientOptions::default().roots(&roots.0);
    let with = trusting.clone().identity(&certificate.0, &key.0);
    let known = Client::builder().tls(with.build().unwrap());
    let client = known.clone().build();
    let mut ws = soon(client.connect(&url)).await.unwrap();
    soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
    let unknown = Client::builder().tls(trusting.build().unwrap()).build();
    assert!(soon(unknown.connect(&url)).await.is_err());

    // To another origin it is not shown, though the server asks for it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(authority.localhost().config()));
    let from = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let redirecting = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = acceptor.accept(tcp).await.unwrap();
        let mut peer = Raw::new(tls);
        peer.head().await.unwrap();
        let answer = format!("HTTP/1.1 307 There\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
        peer.write(answer.as_bytes()).await;
    };
    let following = known.redirects(1).build();
    let (refused, ()) = soon(async { tokio::join!(following.connect(&from), redirecting) }).await;
    assert!(refused.is_err());

    let error = trusting
        .clone()
        .identity(&certificate.0, &certificate.0)
        .build();
    assert!(matches!(
        error,
        Err(TlsError::File {
            problem: FileProblem::NoPrivateKey,
            ..
        })
    ));
    let error = trusting.identity(&certificate.0, "no such file").build();
    assert!(matches!(
        error,
        Err(TlsError::File {
            problem: FileProblem::Io(_),
            ..
        })
    ));
}

#[tokio::test]
async fn a_name_may_be_asked_for_in_place_of_the_hosts_and_any_certificate_taken() {
    let authority = Authority::new("ours");
    let identity = authority.issue(&["chat.example"], |_| {});
    let addr = serve(echo().tls(identity.config())).await;
    let url = format!("wss://127.0.0.1:{}/", addr.port());
    let trusting = Client::builder().tls(authority.trusted());
    let client = trusting.clone().build();
    assert!(soon(client.connect(&url)).await.is_err());
    let named = trusting.server_name("chat.example").build();
    let mut ws = soon(named.connect(&url)).await.unwrap();
    soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();

    let any = tls::ClientOptions::default().dangerously_accept_any_certificate();
    let client = Client::builder().tls(any.build().unwrap()).build();
    let mut ws = soon(client.connect(&url)).await.unwrap();
    soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
}
