//! Finds the endpoint that answers a path, and the path's parameters.
//!
//! Templates form a trie of segments. At each segment, from left to right, a literal beats a variable. If the branch of
//! the literal has no match, the router tries that of the variable (Jakarta's greedy algorithm would give up). A match
//! visits each node at most once. So its cost is bounded by the templates, never by a peer's path.
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

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use percent_encoding::percent_decode_str;
use sockeye_template::{Segment, Template, TemplateError};
use thiserror::Error;

pub(crate) use self::parameter::{ParameterError, PathParameters};

/// A map from path templates to values.
#[derive(Debug)]
pub(crate) struct Router<T> {
    root: Node,
    routes: Vec<Route<T>>,
    /// The number of segments of the longest template. A path with more segments matches nothing.
    depth: usize,
}

/// The error for a template that was not added.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// Another template already matches exactly the same paths.
    #[error(
        "the path templates `{existing}` and `{new}` match the same paths; change or remove one"
    )]
    Equivalent { existing: String, new: String },
    /// The text is not a template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

#[derive(Debug)]
struct Route<T> {
    template: Template,
    /// The names of the template's variables, from left to right.
    variables: Box<[Arc<str>]>,
    value: T,
}

/// A node of the trie: the segments that may follow a prefix. Variables of different names share a node, because their
/// names are stored in the route.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Arc<str>, Self>,
    variable: Option<Box<Self>>,
    /// The index of the route that ends here.
    route: Option<usize>,
}

impl<T> Router<T> {
    /// A router without routes.
    pub(crate) fn new() -> Self {
        Self {
            root: Node::default(),
            routes: Vec::new(),
            depth: 0,
        }
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// When the text is not a template, or when it differs from a present template at most in the names of its
    /// variables. The router is then unchanged.
    pub(crate) fn insert(&mut self, template: &str, value: T) -> Result<(), RouteError> {
        let template = Template::parse(template)?;
        let mut node = &mut self.root;
        for segment in template.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Variable(_) => node.variable.get_or_insert_default(),
            };
        }
        if let Some(existing) = node.route.and_then(|index| self.routes.get(index)) {
            return Err(RouteError::Equivalent {
                existing: existing.template.as_str().to_owned(),
                new: template.as_str().to_owned(),
            });
        }
        node.route = Some(self.routes.len());
        self.depth = self.depth.max(template.segments().len());
        self.routes.push(Route {
            variables: variables(&template),
            template,
            value,
        });
        Ok(())
    }

    /// The values of all templates, in the order in which they were added.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.routes.iter().map(|route| &route.value)
    }

    /// Returns the value of the best template for a path, and the values of the template's variables. The path is
    /// that of the request, not decoded and without the query.
    pub(crate) fn find(&self, path: &str) -> Option<(&T, PathParameters)> {
        let mut segments = Vec::with_capacity(self.depth);
        for (index, segment) in path.strip_prefix('/')?.split('/').enumerate() {
            if index == self.depth {
                return None;
            }
            segments.push(percent_decode_str(segment).decode_utf8().ok()?);
        }
        let mut values = Vec::new();
        let route = self.routes.get(self.root.find(&segments, &mut values)?)?;
        let parameters = PathParameters::new(route.variables.iter().cloned().zip(values));
        Some((&route.value, parameters))
    }
}

impl Node {
    /// Returns the index of the route for the rest of a path. `values` then also holds the values of its variables.
    /// Without a route `values` is unchanged.
    fn find<'p>(&self, segments: &'p [Cow<'_, str>], values: &mut Vec<&'p str>) -> Option<usize> {
        let Some((segment, rest)) = segments.split_first() else {
            return self.route;
        };
        let segment = segment.as_ref();
        if let Some(node) = self.literals.get(segment)
            && let Some(route) = node.find(rest, values)
        {
            return Some(route);
        }
        if matches!(segment, "" | "." | "..") {
            return None;
        }
        values.push(segment);
        let route = self
            .variable
            .as_ref()
            .and_then(|node| node.find(rest, values));
        if route.is_none() {
            values.pop();
        }
        route
    }
}

fn variables(template: &Template) -> Box<[Arc<str>]> {
    let names = template
        .segments()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Variable(name) => Some(name.clone()),
        });
    names.collect()
}
