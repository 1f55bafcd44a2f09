//! A map from templates to values, which finds the best template for a path.
//!
//! Templates form a trie of segments. At each segment, from left to right, a literal beats a variable, and a variable beats
//! a catch-all. If the branch of the literal has no match, the search tries that of the variable (Jakarta's greedy algorithm would
//! give up). A search visits each node at most once. So its cost is bounded by the templates, never by a peer's path.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::template::{Segment, Template};

/// A map from templates to values.
#[derive(Clone, Debug)]
pub struct Trie<T> {
    root: Node,
    entries: Vec<Entry<T>>,
    /// The number of segments of the longest template.
    depth: usize,
    has_catch_all: bool,
}

/// A template of a trie, and its value.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    template: Template,
    value: T,
}

/// The error for a template that matches the same paths as one that the trie has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivalent {
    /// The template that the trie has.
    pub existing: Template,
    /// The template that was not added.
    pub new: Template,
}

/// A node of the trie: the segments that may follow a prefix. Variables of different names share a node, because their
/// names are stored in the template.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: BTreeMap<Arc<str>, Self>,
    variable: Option<Box<Self>>,
    /// The index of the entry that ends with a catch-all here.
    catch_all: Option<usize>,
    /// The index of the entry that ends here.
    entry: Option<usize>,
}

impl<T> Trie<T> {
    /// Makes a trie without templates.
    pub fn new() -> Self {
        Self {
            root: Node::default(),
            entries: Vec::new(),
            depth: 0,
            has_catch_all: false,
        }
    }

    /// Adds a template. The answer is its index: the number of templates that were added before it.
    ///
    /// # Errors
    ///
    /// When the template differs from a present one at most in the names of its variables. The trie is then unchanged.
    pub fn insert(&mut self, template: Template, value: T) -> Result<usize, Equivalent> {
        let index = self.entries.len();
        let end = self.root.end(template.segments());
        if let Some(existing) = end.and_then(|index| self.entries.get(index)) {
            return Err(Equivalent {
                existing: existing.template.clone(),
                new: template,
            });
        }
        *end = Some(index);
        self.depth = self.depth.max(template.segments().len());
        self.has_catch_all |= matches!(template.segments().last(), Some(Segment::CatchAll(_)));
        self.entries.push(Entry { template, value });
        Ok(index)
    }

    /// Returns the index of the best template for a path, given by its segments. Allocates nothing.
    pub fn find<'p>(&self, segments: impl Iterator<Item = &'p str> + Clone) -> Option<usize> {
        self.find_from(segments, 0)
    }

    /// Does the same as [`find`](Self::find), where a catch-all may stand for segments with this index and above alone.
    pub fn find_from<'p>(
        &self,
        segments: impl Iterator<Item = &'p str> + Clone,
        catch_all_from: usize,
    ) -> Option<usize> {
        self.root.find(segments, catch_all_from)
    }

    /// Returns the template with this index.
    pub fn get(&self, index: usize) -> Option<&Entry<T>> {
        self.entries.get(index)
    }

    /// Returns all templates, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry<T>> {
        self.entries.iter()
    }

    /// Returns the number of segments of the longest template. A catch-all counts as one. A path with more segments
    /// matches no template without a catch-all.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Returns whether a template has a catch-all.
    pub fn has_catch_all(&self) -> bool {
        self.has_catch_all
    }
}

impl<T> Entry<T> {
    /// Returns the template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Returns the value.
    pub fn value(&self) -> &T {
        &self.value
    }
}

impl Node {
    /// Returns the place for the index of a template with these segments behind this node.
    fn end(&mut self, segments: &[Segment]) -> &mut Option<usize> {
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Variable(_) => node.variable.get_or_insert_default(),
                // The grammar has it as the last segment only.
                Segment::CatchAll(_) => return &mut node.catch_all,
            };
        }
        &mut node.entry
    }

    /// Returns the index of the best template for the rest of a path. `barred` is the number of its segments for which no
    /// catch-all may stand.
    fn find<'p>(
        &self,
        mut segments: impl Iterator<Item = &'p str> + Clone,
        barred: usize,
    ) -> Option<usize> {
        let Some(segment) = segments.next() else {
            return self.entry;
        };
        if let Some(node) = self.literals.get(segment)
            && let Some(entry) = node.find(segments.clone(), barred.saturating_sub(1))
        {
            return Some(entry);
        }
        if matches!(segment, "" | "." | "..") {
            return None;
        }
        let of_variable = self.variable.as_ref();
        let of_variable =
            of_variable.and_then(|node| node.find(segments, barred.saturating_sub(1)));
        of_variable.or(self.catch_all.filter(|_| barred == 0))
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Equivalent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.new.subject();
        write!(
            f,
            "the {}s `{}` and `{}` match the same {}; change or remove one",
            subject.template(),
            self.existing.as_str(),
            self.new.as_str(),
            subject.matched()
        )
    }
}

impl std::error::Error for Equivalent {}
