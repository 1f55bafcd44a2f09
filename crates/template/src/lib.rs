//! Path templates such as `/chat/{room}`, and a trie that finds the best template for a path.
//!
//! `sockeye` matches the paths of requests against templates, and `sockeye-macros` checks templates at compile time. This
//! crate is a part of `sockeye`, and makes no promise of stability. It knows nothing of requests.

mod template;
mod trie;

pub use self::template::{Segment, Template, TemplateError};
pub use self::trie::{Entry, Equivalent, Trie};
