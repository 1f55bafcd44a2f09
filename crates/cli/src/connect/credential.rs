//! The client's credentials, from the command line, a file or the environment.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use sockeye::client::ClientBuilder;

/// A secret, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    File(PathBuf),
    Given(String),
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.into()),
            None => Self::Given(text.to_owned()),
        })
    }
}

impl Secret {
    fn read(&self) -> Result<String, CredentialError> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File(path) => match fs::read_to_string(path) {
                // Editors end a file with a line end. Secrets have none.
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Err(CredentialError::File(path.clone(), error)),
            },
        }
    }
}

/// Leaves the secret out.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Given(_) => f.write_str("Given(..)"),
        }
    }
}

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

fn variable(name: &'static str) -> Result<Option<String>, CredentialError> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    let value = value.map(OsString::into_string).transpose();
    value.map_err(|_| CredentialError::Variable(name))
}

/// The reason for which a credential cannot be used.
#[derive(Debug)]
pub(super) enum CredentialError {
    File(PathBuf, io::Error),
    NoColon,
    Token,
    Variable(&'static str),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::NoColon => {
                f.write_str("no colon between user name and password; write USER:PASSWORD")
            }
            Self::Token => f.write_str("the token has characters that a header field cannot hold"),
            Self::Variable(name) => write!(f, "the variable {name} is not UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret: Secret = "s3cret".parse().expect("any text");
        assert_eq!(secret, Secret::Given("s3cret".to_owned()));
        assert!(!format!("{secret:?}").contains("s3cret"));
        let secret: Secret = "@a/token".parse().expect("any text");
        assert_eq!(secret, Secret::File("a/token".into()));
    }
}
