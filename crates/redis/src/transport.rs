//! Byte streams to the server: TCP, TLS or a Unix socket. It knows nothing of what is said over them.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

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
        })
    }

    async fn secure(&self, stream: impl Bytewise) -> io::Result<ByteStream> {
        let stream = self.connector.connect(self.name.clone(), stream).await;
        let stream =
            stream.map_err(|error| io::Error::new(error.kind(), format!("TLS failed: {error}")))?;
        Ok(Box::new(stream))
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

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
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
    struct File(std::path::PathBuf);

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
    fn server(name: &str) -> (TlsAcceptor, String) {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
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

    #[tokio::test]
    async fn the_file_of_the_url_decides_which_servers_are_trusted() {
        let (acceptor, authority) = server("localhost");
        let (_, other) = server("localhost");
        for (authority, is_trusted) in [(authority, true), (other, false)] {
            let file = File::new(&format!("{is_trusted}.pem"), &authority);
            let tls = Tls::new("localhost", Some(&file.0)).unwrap();
            let (ours, theirs) = duplex(1 << 16);
            let acceptor = acceptor.clone();
            let peer = tokio::spawn(async move {
                let mut stream = acceptor.accept(theirs).await?;
                stream.write_all(b"+PONG\r\n").await?;
                stream.flush().await
            });
            match tls.secure(ours).await {
                Ok(mut stream) => {
                    let mut answer = [0; 7];
                    stream.read_exact(&mut answer).await.unwrap();
                    assert!(is_trusted && &answer == b"+PONG\r\n");
                }
                Err(error) => {
                    assert!(
                        !is_trusted && error.to_string().starts_with("TLS failed: "),
                        "{error}"
                    );
                }
            }
            assert_eq!(peer.await.unwrap().is_ok(), is_trusted);
        }
    }
}
