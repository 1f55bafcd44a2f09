//! The parameters of a path: the values of a template's variables. A session keeps them.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::error::BoxError;

/// The parameters of a path, from left to right. For `/chat/{room}` and `/chat/rust%20fans` there is one parameter
/// `room` with the value `rust fans`.
///
/// Values are percent-decoded and never empty. The peer chooses them: a value may hold any character, `/` included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathParameters {
    // An idle session keeps this field: two words, and no allocation without parameters. The route shares the names.
    entries: Box<[(Arc<str>, Box<str>)]>,
}

/// The error for a path parameter that a callback cannot get.
#[derive(Debug, Error)]
pub(crate) enum ParameterError {
    /// The endpoint's path template has no such variable.
    #[error("the path that this session was opened at has no parameter `{name}`")]
    Missing { name: String },
    /// The value cannot be parsed as the type.
    #[error("the path parameter `{name}` has the value {value:?}, which is not valid")]
    Malformed {
        name: String,
        value: String,
        source: BoxError,
    },
}

impl PathParameters {
    pub(super) fn new<'v>(entries: impl Iterator<Item = (Arc<str>, Cow<'v, str>)>) -> Self {
        Self {
            entries: entries.map(|(name, value)| (name, value.into())).collect(),
        }
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// All parameters, in the order of the template.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the value of a parameter for a callback.
    ///
    /// # Errors
    ///
    /// When there is no such parameter.
    pub(crate) fn text(&self, name: &str) -> Result<&str, ParameterError> {
        self.get(name).ok_or_else(|| ParameterError::Missing {
            name: name.to_owned(),
        })
    }

    /// Returns the value of a parameter, parsed as a type of the callback's choice.
    ///
    /// # Errors
    ///
    /// When there is no such parameter, or when its value does not parse.
    pub(crate) fn parse<T>(&self, name: &str) -> Result<T, ParameterError>
    where
        T: FromStr,
        T::Err: Into<BoxError>,
    {
        let value = self.text(name)?;
        value
            .parse()
            .map_err(|error: T::Err| ParameterError::Malformed {
                name: name.to_owned(),
                value: value.to_owned(),
                source: error.into(),
            })
    }
}
