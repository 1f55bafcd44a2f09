//! Path templates such as `/chat/{room}`, topic patterns such as `room/{id}`, and a trie that finds the best of them.
//!
//! `sockeye` matches the paths of requests and the names of topics, and `sockeye-macros` checks templates at compile time. This
//! crate is a part of `sockeye`, and makes no promise of stability. It knows nothing of requests.

mod template;
mod trie;

pub use self::template::{Segment, Subject, Template, TemplateError};
pub use self::trie::{Entry, Equivalent, Trie};

#[cfg(test)]
mod tests;
