//! Certificates that are not good: what each client says of them, and that one that takes any takes all.
#![cfg(feature = "tls")]
#![allow(
    clippy::large_futures,
    clippy::unwrap_used,
    reason = "both ends in one future, with files that are good"
)]

use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use sockeye::client::{ConnectError, Proxy};
use sockeye::reconnect::{Interruption, ReconnectEvent};
use sockeye::tls::rustls::pki_types::CertificateDer;
use sockeye::tls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use sockeye::tls::rustls::sign::CertifiedKey;
use sockeye::tls::rustls::{self, ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use sockeye::tls::{self, FileProblem, TlsError};
use sockeye::{Client, CloseCode, blocking};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{serve, soon};
use crate::tls::{Authority, File, Identity, echo};

/// A TLS server that ends each connection behind the handshake. Gives its port.
async fn secured(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut rest = Vec::new();
            // A reset would overtake the alert.
            let _ = match acceptor.accept(tcp).into_fallible().await {
                Ok(mut tls) => tls.read_to_end(&mut rest).await,
                Err((_, mut tcp)) => tcp.read_to_end(&mut rest).await,
            };
        }
    });
    port
}

/// Returns the error of the three clients, which is the same.
async fn said(trusted: ClientConfig, url: &str) -> String {
    let client = Client::builder().tls(trusted.clone()).build();
    let error = soon(client.connect(url)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error:?}");
    assert!(!error.is_transient(), "{error}");

    // A failure that stays is not tried again.
    let mut again = client.reconnecting(url).unwrap();
    let event = loop {
        match soon(again.next()).await.unwrap() {
            ReconnectEvent::Connecting { .. } => {}
            event => break event,
        }
    };
    let ReconnectEvent::Ended {
        why: Some(Interruption::Connect(why)),
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(without_clock(&why), without_clock(&error));

    let url = url.to_owned();
    let client = blocking::Client::builder().tls(trusted).build();
    let connecting = tokio::task::spawn_blocking(move || client.connect(&url).unwrap_err());
    let without_runtime = soon(connecting).await.unwrap();
    assert!(
        matches!(without_runtime, ConnectError::Tls(_)),
        "{without_runtime:?}"
    );
    assert_eq!(without_clock(&without_runtime), without_clock(&error));
    error.to_string()
}

/// The text of an error, without the time that the machine's clock says in it: that goes on between two errors.
fn without_clock(error: &ConnectError) -> String {
    let text = error.to_string();
    let Some((before, behind)) = text.split_once("clock says ") else {
        return text;
    };
    let (_, behind) = behind.split_once(';').expect("a remedy");
    format!("{before}clock says …;{behind}")
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_with_a_remedy_by_all_clients() {
    let authority = Authority::new("ours");
    let trusted = authority.trusted();
    let localhost = |change: &dyn Fn(&mut CertificateParams)| {
        authority.issue(&["localhost"], |params| change(params))
    };
    for (identity, start, remedy) in [
        (
            localhost(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "the peer's certificate is that of an authority (CA:TRUE)",
            "issue one with CA:FALSE",
        ),
        (
            localhost(&|params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }),
            "the peer's certificate expired on Fri, 01 Jan 2021 00:00:00 GMT",
            "renew the certificate",
        ),
        (
            localhost(&|params| {
                params.not_before = date_time_ymd(3000, 1, 1);
                params.not_after = date_time_ymd(3001, 1, 1);
            }),
            "the peer's certificate is not valid before Wed, 01 Jan 3000 00:00:00 GMT",
            "set the clock",
        ),
        (
            authority.issue(&["other.example", "*.example"], |_| {}),
            "the peer's certificate is not for localhost but for other.example, *.example;",
            "connect to such a name",
        ),
        (
            authority.issue(&[], |_| {}),
            "the peer's certificate is not for localhost, and has no names",
            "issue one with subjectAltName",
        ),
        (
            localhost(&|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "the peer's certificate is not for this purpose",
            "extendedKeyUsage serverAuth",
        ),
        (
            Authority::new("a stranger").localhost(),
            "the peer's certificate is not issued by a trusted authority",
            "trust the authority's certificate",
        ),
    ] {
        let port = secured(identity.config()).await;
        let said = said(trusted.clone(), &format!("wss://localhost:{port}/")).await;
        let start = format!("the TLS handshake failed: {start}");
        assert!(said.starts_with(&start), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_of_plain_openssl_is_told_from_one_of_an_unknown_authority() {
    // `openssl req -x509` makes an authority of itself. Trusted itself, it still is no server's.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let file = File::new("own.pem", &certificate);
    let key = key.serialize_pem();
    let port = secured(Identity { certificate, key }.config()).await;
    let trusted = tls::client_config_trusting(&file.0).unwrap();
    let said = said(trusted, &format!("wss://localhost:{port}/")).await;
    assert!(said.contains("(CA:TRUE)"), "{said}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_says_so_to_a_client_without_one() {
    let authority = Authority::new("ours");
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let verifier = verifier.build().unwrap();
    let localhost = Arc::new(Fixed::of(&authority.localhost()));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::clone(&localhost) as Arc<dyn ResolvesServerCert>);
        let port = secured(config).await;
        let said = said(authority.trusted(), &format!("wss://localhost:{port}/")).await;
        let asked = said.contains("it asks for a certificate of this side")
            || said.contains("the peer asks for a certificate of this side");
        assert!(asked, "{version:?}: {said}");
    }
}

#[tokio::test]
async fn a_proxys_certificate_is_explained_too() {
    let authority = Authority::new("ours");
    let port = secured(Authority::new("a stranger").localhost().config()).await;
    let proxy: Proxy = format!("https://localhost:{port}").parse().unwrap();
    let client = Client::builder()
        .tls(authority.trusted())
        .proxy(proxy.clone())
        .build();
    let error = soon(client.connect("ws://host.invalid/"))
        .await
        .unwrap_err();
    let said = sockeye::error::ErrorChain::new(&error).to_string();
    let expected = "cannot secure the connection to the proxy: the TLS handshake failed: the peer's certificate is not \
                    issued by a trusted authority";
    assert!(said.starts_with(expected), "{said}");
    let client = blocking::Client::builder()
        .tls(authority.trusted())
        .proxy(proxy)
        .build();
    let connecting =
        tokio::task::spawn_blocking(move || client.connect("ws://host.invalid/").unwrap_err());
    let error = soon(connecting).await.unwrap();
    assert_eq!(sockeye::error::ErrorChain::new(&error).to_string(), said);
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with_a_bad_certificate() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-x\r\n",
        b"",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let _ = tcp.read(&mut [0; 4096]).await;
                let _ = tcp.write_all(answer).await;
            }
        });
        let client = Client::builder()
            .tls(Authority::new("ours").trusted())
            .build();
        let url = format!("wss://localhost:{port}/");
        let said = soon(client.connect(&url)).await.unwrap_err().to_string();
        assert!(said.contains("speak TLS on this port"), "{said}");
    }
}

/// Shows this chain, whatever it is, and knows what clients offered.
#[derive(Debug)]
struct Fixed {
    key: Arc<CertifiedKey>,
    offered: Mutex<Vec<SignatureScheme>>,
}

impl Fixed {
    fn new(certificate: CertificateDer<'static>, key: &str) -> Self {
        use rustls::pki_types::pem::PemObject;
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        Self {
            key: Arc::new(CertifiedKey::new(vec![certificate], key)),
            offered: Mutex::default(),
        }
    }

    fn of(identity: &Identity) -> Self {
        use rustls::pki_types::pem::PemObject;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
        Self::new(certificate.unwrap(), &identity.key)
    }
}

impl ResolvesServerCert for Fixed {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        *self.offered.lock().unwrap() = hello.signature_schemes().to_vec();
        Some(Arc::clone(&self.key))
    }
}

#[tokio::test]
async fn a_client_that_takes_any_certificate_takes_what_is_no_certificate_at_all() {
    let authority = Authority::new("ours");
    let stranger = Authority::new("a stranger").localhost();
    let expired = authority.issue(&["other.example"], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    for shown in [
        Fixed::of(&stranger),
        Fixed::of(&expired),
        // The key of another certificate; and nothing that rustls could read, as it is with old versions of X.509
        // and extensions that are malformed.
        Fixed::new(authority.0.der().clone(), &stranger.key),
        Fixed::new(
            CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]),
            &stranger.key,
        ),
    ] {
        let shown = Arc::new(shown);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
            let addr = serve(echo().tls(config)).await;
            let url = format!("wss://localhost:{}/", addr.port());
            let any = tls::ClientOptions::default().dangerously_accept_any_certificate();
            let any = any.build().unwrap();
            let client = Client::builder().tls(any.clone()).build();
            let mut ws = soon(client.connect(&url)).await.unwrap();
            soon(ws.close(CloseCode::NORMAL, "")).await.unwrap();
            let client = blocking::Client::builder().tls(any).build();
            let talk = tokio::task::spawn_blocking(move || {
                let mut ws = client.connect(&url).unwrap();
                ws.close(CloseCode::NORMAL, "").unwrap();
            });
            soon(talk).await.unwrap();
        }
        // A server whose key fits no other one answers no client that does not offer these.
        let offered = shown.offered.lock().unwrap();
        for scheme in [
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
        ] {
            assert!(offered.contains(&scheme), "{offered:?}");
        }
    }
}

#[test]
fn a_key_with_a_password_is_told_as_such() {
    let identity = Authority::new("ours").localhost();
    let certificate = File::new("cert.pem", &identity.certificate);
    for text in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
         MIGb\n-----END RSA PRIVATE KEY-----\n",
    ] {
        let key = File::new("key.pem", text);
        let options = tls::ClientOptions::default().identity(&certificate.0, &key.0);
        for error in [
            tls::server_config(&certificate.0, &key.0).map(drop),
            options.build().map(drop),
        ] {
            let error = error.unwrap_err();
            let is_encrypted = matches!(
                error,
                TlsError::File {
                    problem: FileProblem::Encrypted,
                    ..
                }
            );
            assert!(is_encrypted, "{error:?}");
            let said = sockeye::error::ErrorChain::new(&error).to_string();
            assert!(said.contains(": the private key is encrypted"), "{said}");
        }
    }
}

#[test]
fn a_root_that_cannot_be_trusted_is_told_with_its_file() {
    let root = File::new(
        "root.pem",
        "-----BEGIN CERTIFICATE-----\nMAMBAgM=\n-----END CERTIFICATE-----\n",
    );
    let error = tls::client_config_trusting(&root.0).unwrap_err();
    let expected = format!(
        "cannot use {}: the certificate is malformed; issue a new certificate",
        root.0.display()
    );
    assert_eq!(
        sockeye::error::ErrorChain::new(&error).to_string(),
        expected
    );
}
