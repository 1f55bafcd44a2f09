//! The file of `--topics`: patterns of topics in TOML.
//!
//! ```toml
//! [[topics.pattern]]
//! match = "room/{id}"
//! history = { count = 100, age = "1h" }   # or "latest", or "off"
//! presence = { members = 500 }            # or "count", or "off"
//! clients = "publish"                     # or "subscribe", or "none"
//! owner = "id"                            # only the principal that equals {id}
//! max_message = "64KiB"
//! slow_subscriber = "close"               # or "drop-oldest", or "drop-newest"; without history
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use sockeye::error::ErrorChain;
use sockeye::topics::{
    Clients, History, Policy, Presence, SlowSubscriber, Topics, TopicsBuilder, TopicsError,
};

use crate::size::parse_size;

/// Why a file of topics cannot be used.
#[derive(Debug)]
pub(crate) enum FileError {
    Read(PathBuf, io::Error),
    Parse(PathBuf, Place, String),
    Pattern(PathBuf, TopicsError),
    Builtin(TopicsError),
}

/// A line and a column, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    topics: Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    pattern: Vec<Pattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    r#match: String,
    #[serde(default)]
    history: Kept,
    #[serde(default)]
    presence: Known,
    #[serde(default)]
    clients: Rights,
    owner: Option<String>,
    max_message: Option<Size>,
    slow_subscriber: Option<Drops>,
}

/// What is kept: `"off"`, `"latest"`, `{ latest = "7d" }` or `{ count, age, bytes }`.
#[derive(Debug, Default, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"off\", \"latest\", { ttl = TIME } or { count = N, age = TIME }"
)]
enum Kept {
    #[default]
    #[serde(skip)]
    Nothing,
    Word(KeptWord),
    Latest(Latest),
    Window(Window),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeptWord {
    Off,
    Latest,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latest {
    ttl: Time,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    count: u32,
    age: Time,
    bytes: Option<Size>,
}

/// Which members are known: `"off"`, `"count"` or `{ members = N }`.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged, expecting = "expected \"off\", \"count\" or { members = N }")]
enum Known {
    #[default]
    #[serde(skip)]
    Nothing,
    Word(KnownWord),
    Members(Members),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KnownWord {
    Off,
    Count,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    members: u32,
    #[serde(default)]
    show_principal: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rights {
    #[default]
    None,
    Subscribe,
    Publish,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Drops {
    Close,
    DropOldest,
    DropNewest,
}

/// A span of time as text: `"1h"`, `"90s"`.
#[derive(Clone, Copy, Debug)]
struct Time(Duration);

/// A number of bytes: a number, or text such as `"64KiB"`.
#[derive(Clone, Copy, Debug)]
struct Size(usize);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_duration(&text);
        time.map(Self)
            .map_err(|error| de::Error::custom(format!("not a time: `{text}`: {error}")))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a number of bytes, or a text such as \"64KiB\""
        )]
        enum Written {
            Number(u64),
            Text(String),
        }
        let bytes = match Written::deserialize(deserializer)? {
            Written::Number(bytes) => bytes,
            Written::Text(text) => parse_size(&text).map_err(de::Error::custom)?,
        };
        Ok(Self(usize::try_from(bytes).unwrap_or(usize::MAX)))
    }
}

impl Pattern {
    fn policy(&self) -> Policy {
        let history = match &self.history {
            Kept::Nothing | Kept::Word(KeptWord::Off) => History::off(),
            Kept::Word(KeptWord::Latest) => History::latest(),
            Kept::Latest(latest) => History::latest().ttl(latest.ttl.0),
            Kept::Window(window) => {
                let history = History::window(window.count, window.age.0);
                match window.bytes {
                    Some(bytes) => history.bytes(bytes.0),
                    None => history,
                }
            }
        };
        let presence = match &self.presence {
            Known::Nothing | Known::Word(KnownWord::Off) => Presence::off(),
            Known::Word(KnownWord::Count) => Presence::count(),
            Known::Members(members) if members.show_principal => {
                Presence::members(members.members).show_principal()
            }
            Known::Members(members) => Presence::members(members.members),
        };
        let clients = match self.clients {
            Rights::None => Clients::none(),
            Rights::Subscribe => Clients::subscribe(),
            Rights::Publish => Clients::publish(),
        };
        let mut policy = Policy::new()
            .history(history)
            .presence(presence)
            .clients(clients);
        if let Some(owner) = &self.owner {
            policy = policy.owner(owner.as_str());
        }
        if let Some(bytes) = self.max_message {
            policy = policy.max_message(bytes.0);
        }
        if let Some(drops) = self.slow_subscriber {
            policy = policy.slow_subscriber(match drops {
                Drops::Close => SlowSubscriber::Close,
                Drops::DropOldest => SlowSubscriber::DropOldest,
                Drops::DropNewest => SlowSubscriber::DropNewest,
            });
        }
        policy
    }
}

/// Reads a file, and adds its patterns.
pub(super) fn read(path: &Path, builder: TopicsBuilder) -> Result<Topics, FileError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| FileError::Read(path.to_owned(), error))?;
    let file: File = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let place = Place::of(&text, at);
        FileError::Parse(path.to_owned(), place, error.message().to_owned())
    })?;
    let patterns = file.topics.pattern.iter();
    let builder = patterns.fold(builder, |builder, pattern| {
        builder.pattern(&pattern.r#match, pattern.policy())
    });
    let built = builder.build();
    built.map_err(|error| FileError::Pattern(path.to_owned(), error))
}

impl Place {
    /// Returns the place of a byte.
    fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line,
            column: column.chars().count() + 1,
        }
    }
}

impl FileError {
    pub(super) fn builtin(error: TopicsError) -> Self {
        Self::Builtin(error)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => {
                write!(f, "cannot read the topics of {}: {error}", path.display())
            }
            Self::Parse(path, place, message) => {
                let Place { line, column } = place;
                write!(f, "{}:{line}:{column}: {message}", path.display())
            }
            Self::Pattern(path, error) => {
                write!(f, "{}: {}", path.display(), ErrorChain::new(error))
            }
            Self::Builtin(error) => ErrorChain::new(error).fmt(f),
        }
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, (Place, String)> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            (Place::of(text, at), error.message().to_owned())
        })
    }

    #[test]
    fn a_pattern_has_all_settings_in_words() {
        let file = parse(
            r#"
            [[topics.pattern]]
            match = "room/{id}"
            history = { count = 100, age = "1h", bytes = "64KiB" }
            presence = { members = 500 }
            clients = "publish"
            owner = "id"
            max_message = 4096
            slow_subscriber = "drop-oldest"

            [[topics.pattern]]
            match = "price/{symbol}"
            history = "latest"
            presence = "count"
            clients = "subscribe"

            [[topics.pattern]]
            match = "news/**"
            history = { ttl = "7days" }
            "#,
        )
        .unwrap();
        let builder = file
            .topics
            .pattern
            .iter()
            .fold(TopicsBuilder::default(), |builder, pattern| {
                builder.pattern(&pattern.r#match, pattern.policy())
            });
        assert!(builder.build().is_ok());
        assert_eq!(file.topics.pattern.len(), 3);
    }

    #[test]
    fn the_file_of_the_guide_has_patterns_that_fit_beside_those_of_the_chat() {
        let guide = include_str!("../../../../docs/topics.md");
        let blocks = guide.split("```toml").skip(1);
        let mut blocks = blocks.filter_map(|block| block.split("```").next());
        let text = blocks.find(|block| block.contains("[[topics.pattern]]"));
        let file = parse(text.unwrap()).unwrap();
        assert_eq!(file.topics.pattern.len(), 3);
        let rooms = crate::topics::builtin::rooms(TopicsBuilder::default());
        let patterns = file.topics.pattern.iter();
        let builder = patterns.fold(rooms, |builder, pattern| {
            builder.pattern(&pattern.r#match, pattern.policy())
        });
        assert!(builder.build().is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, line, words) in [
            (
                "[[topics.pattern]]\nmach = \"a\"",
                2,
                "unknown field `mach`",
            ),
            (
                "[[topics.pattern]]\nclients = \"all\"",
                2,
                "unknown variant `all`",
            ),
            (
                "[[topics.pattern]]\nmatch = \"a\"\nhistory = 3",
                3,
                "expected \"off\"",
            ),
            ("[topic]\n", 1, "unknown field `topic`"),
            ("[[topics.pattern]\n", 1, ""),
        ] {
            let (place, message) = parse(text).unwrap_err();
            assert_eq!(place.line, line, "{text}: {message}");
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
