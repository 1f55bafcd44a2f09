//! TLS for the servers that do not bring their own: a certificate that no client checks.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};

use crate::Result;

/// Ring for all: what is compared is not the cryptography.
pub(super) fn config() -> Result<ServerConfig> {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_no_client_auth();
            builder.with_single_cert(vec![cert.der().clone()], key)
        })
        .map_err(|error| error.to_string())
}

pub(super) fn acceptor() -> Result<TlsAcceptor> {
    Ok(TlsAcceptor::from(Arc::new(config()?)))
}
