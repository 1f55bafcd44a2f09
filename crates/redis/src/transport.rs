//! Byte streams to the server: TCP, TLS or a Unix socket. It knows nothing of what is said over them.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, Error as TlsError, RootCertStore, crypto,
};

use crate::address::{Address, AddressError, Place};

/// Opens byte streams to one server. Tests have their own.
pub(crate) trait Dial: Send + Sync + 'static {
    /// Opens a stream. The caller bounds the time.
    fn dial(&self) -> Dialing<'_>;
}

/// The future of a stream.
pub(crate) type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<ByteStream>> + Send + 'a>>;

/// A stream to the server.
pub(crate) type ByteStream = Box<dyn Bytewise>;

/// Bytes in and out.
pub(crate) trait Bytewise: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Bytewise for T {}

/// Opens streams to the server of an address.
pub(crate) struct Transport {
    place: Place,
    tls: Option<Tls>,
}

/// What TLS needs.
struct Tls {
    connector: TlsConnector,
    /// The name that the server's certificate must have.
    name: ServerName<'static>,
    /// The file of the certificates that are trusted. `None`: those of the system.
    authority: Option<PathBuf>,
}

impl Transport {
    /// Prepares streams to the server of this address. Reads the file of trusted certificates, if the address names one.
    pub(crate) fn new(address: &Address) -> Result<Self, AddressError> {
        let tls = match &address.place {
            Place::Tls {
                host, authority, ..
            } => Some(Tls::new(host, authority.as_deref())?),
            Place::Tcp { .. } | Place::Unix { .. } => None,
        };
        Ok(Self {
            place: address.place.clone(),
            tls,
        })
    }

    async fn open(&self) -> io::Result<ByteStream> {
        match &self.place {
            Place::Tcp { host, port } | Place::Tls { host, port, .. } => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                stream.set_nodelay(true)?;
                match &self.tls {
                    Some(tls) => tls.secure(stream).await,
                    None => Ok(Box::new(stream)),
                }
            }
            #[cfg(unix)]
            Place::Unix { path } => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Place::Unix { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Dial for Transport {
    fn dial(&self) -> Dialing<'_> {
        Box::pin(self.open())
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.place).finish()
    }
}

impl Tls {
    fn new(host: &str, authority: Option<&Path>) -> Result<Self, AddressError> {
        let failed = |error: &dyn fmt::Display| AddressError::Tls(error.to_string());
        let name = ServerName::try_from(host).map_err(|error| failed(&error))?;
        let provider = crypto::CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(crypto::ring::default_provider()));
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| failed(&error))?;
        let builder = match authority {
            Some(file) => builder.with_root_certificates(trusted(file)?),
            None => {
                use rustls_platform_verifier::BuilderVerifierExt as _;
                let builder = builder.with_platform_verifier();
                builder.map_err(|error| failed(&error))?
            }
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(builder.with_no_client_auth())),
            name: name.to_owned(),
            authority: authority.map(Path::to_owned),
        })
    }

    async fn secure(&self, stream: impl Bytewise) -> io::Result<ByteStream> {
        let stream = self.connector.connect(self.name.clone(), stream).await;
        let stream = stream.map_err(|error| {
            let text = self.explained(&error);
            io::Error::new(error.kind(), format!("TLS failed: {text}"))
        })?;
        Ok(Box::new(stream))
    }

    /// Returns the text of an error, with what to change.
    fn explained(&self, error: &io::Error) -> String {
        use CertificateError as E;
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        let certificate = match tls {
            Some(TlsError::InvalidCertificate(certificate)) => certificate,
            Some(TlsError::InvalidMessage(_)) => {
                return "the server does not speak TLS on this port; without TLS the URL begins with redis://"
                    .to_owned();
            }
            _ => return error.to_string(),
        };
        let remedy = match certificate {
            // A signature is bad if another authority has the same name.
            E::UnknownIssuer | E::BadSignature => return self.untrusted(),
            E::Expired | E::ExpiredContext { .. } => "renew the server's certificate",
            E::NotValidYet | E::NotValidYetContext { .. } => "check this machine's clock",
            E::NotValidForName | E::NotValidForNameContext { .. } => {
                "write a host into the URL that the server's certificate names"
            }
            _ => return error.to_string(),
        };
        format!("{error}; {remedy}")
    }

    /// The text for a certificate whose authority is not trusted.
    fn untrusted(&self) -> String {
        match &self.authority {
            Some(file) => format!(
                "the server's certificate is not by an authority of {}; name the PEM file of its authority by ca=FILE in the URL",
                file.display()
            ),
            None => "the system does not trust the authority of the server's certificate; name the authority's PEM file \
                     by ?ca=FILE in the URL"
                .to_owned(),
        }
    }
}

/// Reads the certificates of a PEM file; at least one.
fn trusted(file: &Path) -> Result<RootCertStore, AddressError> {
    let failed = |reason: String| AddressError::Authority {
        file: file.to_owned(),
        reason,
    };
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|error| failed(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        let added = store.add(certificate);
        added.map_err(|error| failed(error.to_string()))?;
    }
    match store.is_empty() {
        true => Err(failed("it holds no certificate".to_owned())),
        false => Ok(store),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
    };
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn refusal(url: &str) -> String {
        let address = Address::parse(url).unwrap();
        Transport::new(&address).unwrap_err().to_string()
    }

    /// A file that is removed with its owner.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, content: &str) -> Self {
            let name = format!("sockeye-redis-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let mut file = std::fs::File::create(&path).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            Self(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_its_name() {
        let file = File::new("empty.pem", "");
        let url = format!("rediss://localhost?ca={}", file.0.display());
        let text = refusal(&url);
        assert!(
            text.ends_with("as trusted certificates: it holds no certificate"),
            "{text}"
        );
        let text = refusal("rediss://localhost?ca=/does/not/exist.pem");
        assert!(
            text.starts_with("cannot use /does/not/exist.pem as trusted"),
            "{text}"
        );
    }

    #[test]
    fn a_host_that_no_certificate_can_hold_is_refused() {
        let text = refusal("rediss://a..b");
        assert!(text.starts_with("cannot use TLS: "), "{text}");
    }

    /// A server of TLS on one end of a pipe, whose certificate is of an authority; the authority's PEM.
    fn server(
        authority: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (TlsAcceptor, String) {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, authority);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        (TlsAcceptor::from(Arc::new(config)), issuer.pem())
    }

    /// Connects to a server that accepts by `acceptor`, and reads what it says.
    async fn connected(tls: &Tls, acceptor: &TlsAcceptor) -> io::Result<[u8; 7]> {
        let (ours, theirs) = duplex(1 << 16);
        let accepting = async {
            let mut stream = acceptor.accept(theirs).await?;
            stream.write_all(b"+PONG\r\n").await?;
            stream.flush().await
        };
        let asking = async {
            let mut answer = [0; 7];
            let mut stream = tls.secure(ours).await?;
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        let (accepted, answer) = tokio::join!(accepting, asking);
        assert_eq!(accepted.is_ok(), answer.is_ok());
        answer
    }

    /// The text of the error of a server whose certificate cannot be used.
    async fn distrust(tls: &Tls, acceptor: &TlsAcceptor) -> String {
        connected(tls, acceptor).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn the_file_of_the_url_decides_which_servers_are_trusted() {
        let (acceptor, authority) = server("ours", |_| {});
        let file = File::new("ours.pem", &authority);
        let tls = Tls::new("localhost", Some(&file.0)).unwrap();
        assert_eq!(&connected(&tls, &acceptor).await.unwrap(), b"+PONG\r\n");
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_trusted_names_where_to_name_its_authority() {
        let (acceptor, authority) = server("ours", |_| {});
        for (other, name) in [("theirs", "unknown"), ("ours", "namesake")] {
            let (_, other) = server(other, |_| {});
            assert_ne!(other, authority);
            let file = File::new(&format!("{name}.pem"), &other);
            let tls = Tls::new("localhost", Some(&file.0)).unwrap();
            let text = format!(
                "TLS failed: the server's certificate is not by an authority of {}; name the PEM file of its authority \
                 by ca=FILE in the URL",
                file.0.display()
            );
            assert_eq!(distrust(&tls, &acceptor).await, text);
        }
        // Without a file the system decides. It does not know the authority of a test either.
        let (_, other) = server("theirs", |_| {});
        let file = File::new("system.pem", &other);
        let mut tls = Tls::new("localhost", Some(&file.0)).unwrap();
        tls.authority = None;
        let text = "TLS failed: the system does not trust the authority of the server's certificate; name the \
                    authority's PEM file by ?ca=FILE in the URL";
        assert_eq!(distrust(&tls, &acceptor).await, text);
    }

    #[tokio::test]
    async fn a_certificate_that_does_not_fit_names_what_to_change() {
        let expires = |params: &mut CertificateParams| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        };
        let (acceptor, authority) = server("ours", expires);
        let file = File::new("expired.pem", &authority);
        let tls = Tls::new("localhost", Some(&file.0)).unwrap();
        let text = distrust(&tls, &acceptor).await;
        assert!(text.contains("expired"), "{text}");
        assert!(text.ends_with("; renew the server's certificate"), "{text}");

        let begins = |params: &mut CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
        let (acceptor, authority) = server("ours", begins);
        let file = File::new("future.pem", &authority);
        let tls = Tls::new("localhost", Some(&file.0)).unwrap();
        let text = distrust(&tls, &acceptor).await;
        assert!(text.ends_with("; check this machine's clock"), "{text}");

        let (acceptor, authority) = server("ours", |_| {});
        let file = File::new("name.pem", &authority);
        let tls = Tls::new("redis.example", Some(&file.0)).unwrap();
        let text = distrust(&tls, &acceptor).await;
        let remedy = "; write a host into the URL that the server's certificate names";
        assert!(text.ends_with(remedy), "{text}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_told_apart() {
        let (_, authority) = server("ours", |_| {});
        let file = File::new("plain.pem", &authority);
        let tls = Tls::new("localhost", Some(&file.0)).unwrap();
        let (ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(b"-ERR Protocol error\r\n").await.unwrap();
        let text = tls.secure(ours).await.err().unwrap().to_string();
        assert!(
            text.ends_with("without TLS the URL begins with redis://"),
            "{text}"
        );
    }
}
