//! Secrets of the command line: given there, or in a file, or in the environment.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

/// A secret, or the file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
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
    /// Returns the secret itself.
    pub(crate) fn read(&self) -> Result<String, SecretError> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::File(path) => match fs::read_to_string(path) {
                // Editors end a file with a line end. Secrets have none.
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => Err(SecretError::File(path.clone(), error)),
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

/// Returns the secret that a variable of the environment holds. An empty variable holds none.
pub(crate) fn variable(name: &'static str) -> Result<Option<String>, SecretError> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    let value = value.map(OsString::into_string).transpose();
    value.map_err(|_| SecretError::Variable(name))
}

/// The reason for which a secret cannot be read.
#[derive(Debug)]
pub(crate) enum SecretError {
    File(PathBuf, io::Error),
    Variable(&'static str),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
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
