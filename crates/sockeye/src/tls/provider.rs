//! The cryptography of a configuration.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ConfigBuilder, ConfigSide, WantsVerifier};

use super::rustls;

/// A configuration's builder with the program's default cryptography, or else ring. Without a provider, rustls panics
/// when it finds none or several.
pub(super) fn with_provider<S: ConfigSide>(
    builder: impl FnOnce(Arc<CryptoProvider>) -> ConfigBuilder<S, rustls::WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>, rustls::Error> {
    builder(provider()).with_safe_default_protocol_versions()
}

fn provider() -> Arc<CryptoProvider> {
    let provider = CryptoProvider::get_default().cloned();
    provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}
