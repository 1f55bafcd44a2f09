//! The client's credentials, from the command line, a file or the environment.

use std::fmt;

use sockeye::client::ClientBuilder;

use crate::secret::{Secret, SecretError, variable};

/// Adds the given credentials to the client: a token, or a user name and password. Without both it adds those of the
/// environment.
pub(super) fn add(
    client: ClientBuilder,
    bearer: Option<&Secret>,
    basic: Option<&Secret>,
) -> Result<ClientBuilder, CredentialError> {
    let read = |secret: Option<&Secret>| secret.map(Secret::read).transpose();
    let (mut token, mut pair) = (read(bearer)?, read(basic)?);
    if token.is_none() && pair.is_none() {
        token = variable("SOCKEYE_BEARER")?;
        pair = variable("SOCKEYE_BASIC")?.filter(|_| token.is_none());
    }
    if let Some(pair) = pair {
        let (user, password) = pair.split_once(':').ok_or(CredentialError::NoColon)?;
        return Ok(client.basic_auth(user, password));
    }
    match token {
        Some(token) => client
            .bearer_auth(&token)
            .map_err(|_| CredentialError::Token),
        None => Ok(client),
    }
}

/// The reason for which a credential cannot be used.
#[derive(Debug)]
pub(super) enum CredentialError {
    NoColon,
    Secret(SecretError),
    Token,
}

impl From<SecretError> for CredentialError {
    fn from(error: SecretError) -> Self {
        Self::Secret(error)
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon => {
                f.write_str("no colon between user name and password; write USER:PASSWORD")
            }
            Self::Secret(error) => error.fmt(f),
            Self::Token => f.write_str("the token has characters that a header field cannot hold"),
        }
    }
}
