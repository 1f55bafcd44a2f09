//! Finds the endpoint that answers a path, and the path's parameters.
//!
//! The templates and the search are those of [`sockeye_template`].
//!
//! The router compares the *decoded* path. It splits the path at its slashes and then percent-decodes each segment,
//! so `%2F` is a character of a segment and never splits one. A segment matches nothing if it is empty, if it is `.`
//! or `..` in any encoding, or if it does not decode to UTF-8. The empty segment after a trailing slash matches a
//! template's trailing slash. The router rewrites no path: it routes a path unchanged or not at all.
//!
//! A catch-all such as `{*rest}` matches one segment or more, and the path may end with a slash. It is the least specific:
//! any literal or variable at its place goes before it. Its value is the decoded segments with the slashes between them.
//! So it matches no segment that has an encoded slash, because the value could not tell that slash from the others: the
//! value of `/..%2F..` would leave a directory that the path itself does not leave.
//!
//! **Authorise by the matched route, never by the request's raw target.** `/admin` and `/%61dmin` are one endpoint. A
//! guard that compares raw paths sees two, and lets the second through (Tomcat's CVE-2026-76183). The matched route and
//! its [`PathParameters`] are the only normalised form of a path, so a guard must decide by them.
//!
//! This module must not know HTTP, sessions or endpoints: it maps paths to values.

mod parameter;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
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
        let path = path.strip_prefix('/')?;
        let mut segments = Vec::with_capacity(self.templates.depth());
        for (index, segment) in path.split('/').enumerate() {
            if index == self.templates.depth() {
                if !self.templates.has_catch_all() {
                    return None;
                }
                // Stands for all further segments. No template has a segment here.
                segments.push(Cow::Borrowed("/"));
                break;
            }
            segments.push(decode(segment)?);
        }
        let segments = segments.iter().map(AsRef::as_ref);
        let from = match self.templates.has_catch_all() {
            true => rest_begins_at(path),
            false => 0,
        };
        let found = self.templates.find_from(segments.clone(), from)?;
        let route = self.templates.get(found)?;
        let template = route.template();
        let values = template.values(segments);
        let values = values.map(|(name, value)| (Arc::clone(name), Cow::Borrowed(value)));
        let catch_all = template.catch_all();
        let rest = catch_all.map(|(name, from)| (Arc::clone(name), Cow::Owned(rest(path, from))));
        Some((route.value(), PathParameters::new(values.chain(rest))))
    }
}

/// Decodes a segment of a path; `None` if it is not UTF-8.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

/// Returns the index of the first segment from which on a catch-all may stand for all segments.
fn rest_begins_at(path: &str) -> usize {
    let fits = |(index, segment): (usize, &str), is_last: bool| {
        let is_trailing_slash = is_last && segment.is_empty() && index > 0;
        let decoded = decode(segment);
        let is_plain =
            |text: Cow<'_, str>| !matches!(&*text, "" | "." | "..") && !text.contains('/');
        is_trailing_slash || decoded.is_some_and(is_plain)
    };
    let mut begins_at = 0;
    let mut segments = path.split('/').enumerate().peekable();
    while let Some((index, segment)) = segments.next() {
        if !fits((index, segment), segments.peek().is_none()) {
            begins_at = index + 1;
        }
    }
    begins_at
}

/// Returns the decoded segments from this index on, with the slashes between them.
fn rest(path: &str, from: usize) -> String {
    let segments = path.split('/').skip(from).map(decode);
    let segments: Vec<Cow<'_, str>> = segments.flatten().collect();
    segments.join("/")
}
