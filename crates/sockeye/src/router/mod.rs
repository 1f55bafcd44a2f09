//! Finds the endpoint that answers a path, and the path's parameters.
//!
//! The templates and the search are those of [`sockeye_template`].
//!
//! The router compares the *decoded* path. It splits the path at its slashes and then percent-decodes each segment,
//! so `%2F` is a character of a segment and never splits one. A segment matches nothing if it is empty, if it is `.`
//! or `..` in any encoding, or if it does not decode to UTF-8. The empty segment after a trailing slash matches a
//! template's trailing slash. The router rewrites no path: it routes a path unchanged or not at all.
//!
//! **Authorise by the matched route, never by the request's raw target.** `/admin` and `/%61dmin` are one endpoint. A
//! guard that compares raw paths sees two, and lets the second through (Tomcat's CVE-2026-76183). The matched route and
//! its [`PathParameters`] are the only normalised form of a path, so a guard must decide by them.
//!
//! This module must not know HTTP, sessions or endpoints: it maps paths to values.

mod parameter;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use sockeye_template::{Equivalent, Template, TemplateError, Trie};
use thiserror::Error;

pub(crate) use self::parameter::{ParameterError, PathParameters};

/// A map from path templates to values.
#[derive(Debug)]
pub(crate) struct Router<T> {
    templates: Trie<T>,
}

/// The error for a template that was not added.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// Another template already matches exactly the same paths.
    #[error(transparent)]
    Equivalent(#[from] Equivalent),
    /// The text is not a template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl<T> Router<T> {
    /// A router without routes.
    pub(crate) fn new() -> Self {
        Self {
            templates: Trie::new(),
        }
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// When the text is not a template, or when it differs from a present template at most in the names of its
    /// variables. The router is then unchanged.
    pub(crate) fn insert(&mut self, template: &str, value: T) -> Result<(), RouteError> {
        self.templates.insert(Template::parse(template)?, value)?;
        Ok(())
    }

    /// The values of all templates, in the order in which they were added.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.templates.iter().map(|route| route.value())
    }

    /// Returns the value of the best template for a path, and the values of the template's variables. The path is
    /// that of the request, not decoded and without the query.
    pub(crate) fn find(&self, path: &str) -> Option<(&T, PathParameters)> {
        let mut segments = Vec::with_capacity(self.templates.depth());
        for (index, segment) in path.strip_prefix('/')?.split('/').enumerate() {
            if index == self.templates.depth() {
                return None;
            }
            segments.push(percent_decode_str(segment).decode_utf8().ok()?);
        }
        let segments = segments.iter().map(AsRef::as_ref);
        let route = self.templates.get(self.templates.find(segments.clone())?)?;
        let values = route.template().values(segments);
        let parameters = values.map(|(name, value)| (Arc::clone(name), value));
        Some((route.value(), PathParameters::new(parameters)))
    }
}
