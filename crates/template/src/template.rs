//! The grammar of path templates such as `/chat/{room}`, and of topic patterns such as `room/{id}`.
//!
//! Both are segments with a `/` between them. A segment is a literal, or one variable in braces. A path template begins
//! with a `/`, and a topic pattern does not. The last segment may be a catch-all, which stands for one or more segments.
//! A path template writes `{*rest}`, which is a variable too. A topic pattern writes `**`, which has no name. Neither grammar
//! has the other's catch-all: the error names the right one.
//!
//! Literals are written decoded (`/café`, never `/caf%C3%A9`), so that a template has one spelling.

use std::{fmt, sync::Arc};

/// A path template, or a topic pattern, that obeys the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Arc<str>,
    segments: Box<[Segment]>,
    subject: Subject,
}

/// The part of a template between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller that walks a template acts on each"
)]
pub enum Segment {
    /// The text that a path must have here. It is empty only at the end of a path template, for a trailing slash.
    Literal(Arc<str>),
    /// The name of a variable, which matches any one segment that is not empty.
    Variable(Arc<str>),
    /// One or more segments. It is the last segment: `{*name}` in a path template, `**` in a topic pattern, which gives
    /// it no name.
    CatchAll(Option<Arc<str>>),
}

/// The names that a template matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the grammar has a rule for each")]
pub enum Subject {
    /// The paths of requests.
    Path,
    /// The names of topics.
    Topic,
}

/// An error: a text is not a path template, or not a topic pattern. It shows the reason, the position, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    subject: Subject,
    template: String,
    /// The byte at which the mistake begins.
    position: usize,
    mistake: Mistake,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mistake {
    CatchAllBefore,
    CatchAllOfPath,
    CatchAllOfTopic,
    Control,
    DotSegment(String),
    Empty,
    EmptySegment,
    Encoded,
    LeadingSlash,
    NoLeadingSlash,
    NotAName(String),
    PartialVariable(String),
    Query(char),
    RepeatedVariable(String),
    Reserved,
    Star,
}

impl Template {
    /// Parses a path template.
    ///
    /// # Errors
    ///
    /// When the text is not a path template. The error says why, where, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_for(Subject::Path, text)
    }

    /// Parses a topic pattern.
    ///
    /// # Errors
    ///
    /// When the text is not a topic pattern. The error says why, where, and what to write instead.
    pub fn parse_topic(text: &str) -> Result<Self, TemplateError> {
        Self::parse_for(Subject::Topic, text)
    }

    fn parse_for(subject: Subject, text: &str) -> Result<Self, TemplateError> {
        let refuse = |position, mistake| TemplateError {
            subject,
            template: text.to_owned(),
            position,
            mistake,
        };
        let mut start = check_begin(subject, text).map_err(|mistake| refuse(0, mistake))?;
        let mut segments: Vec<Segment> = Vec::new();
        for part in text[start..].split('/') {
            let end = start + part.len();
            let may_be_empty = subject == Subject::Path && end == text.len();
            if part.is_empty() && !may_be_empty {
                return Err(refuse(start, Mistake::EmptySegment));
            }
            let segment = Segment::parse(subject, part)
                .map_err(|(offset, mistake)| refuse(start + offset, mistake))?;
            if let Some(name) = segment.variable()
                && segments
                    .iter()
                    .any(|before| before.variable() == Some(name))
            {
                return Err(refuse(start, Mistake::RepeatedVariable(name.to_string())));
            }
            if let Segment::CatchAll(_) = segment
                && end < text.len()
            {
                return Err(refuse(start, Mistake::CatchAllBefore));
            }
            segments.push(segment);
            start = end + 1;
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
            subject,
        })
    }

    /// Returns the template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the segments. There is at least one; it is empty for `/`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns whether this is a path template or a topic pattern.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Returns the names of the variables, from left to right.
    pub fn variables(&self) -> impl Iterator<Item = &Arc<str>> {
        self.segments.iter().filter_map(Segment::variable)
    }

    /// Returns the names of the variables and their values in a path that this template matches. The path is given by its
    /// segments. The [catch-all](Self::catch_all) is left out.
    pub fn values<'p>(
        &self,
        path: impl Iterator<Item = &'p str>,
    ) -> impl Iterator<Item = (&Arc<str>, &'p str)> {
        let pairs = self.segments.iter().zip(path);
        pairs.filter_map(|(segment, value)| match segment {
            Segment::Variable(name) => Some((name, value)),
            Segment::Literal(_) | Segment::CatchAll(_) => None,
        })
    }

    /// Returns the name of a path template's catch-all, and the number of segments before it.
    pub fn catch_all(&self) -> Option<(&Arc<str>, usize)> {
        match self.segments.split_last()? {
            (Segment::CatchAll(Some(name)), before) => Some((name, before.len())),
            _ => None,
        }
    }
}

impl Segment {
    fn variable(&self) -> Option<&Arc<str>> {
        match self {
            Self::Literal(_) => None,
            Self::Variable(name) => Some(name),
            Self::CatchAll(name) => name.as_ref(),
        }
    }

    /// Parses one segment. An error has the offset of the mistake in the segment.
    fn parse(subject: Subject, part: &str) -> Result<Self, (usize, Mistake)> {
        if part == "." || part == ".." {
            return Err((0, Mistake::DotSegment(part.to_owned())));
        }
        if let Some(name) = part
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            && !name.contains(['{', '}'])
        {
            return Self::parse_variable(subject, name);
        }
        if part.contains(['{', '}']) {
            return Err((0, Mistake::PartialVariable(part.to_owned())));
        }
        match subject {
            Subject::Path if part == "**" => return Err((0, Mistake::CatchAllOfTopic)),
            Subject::Path => check_path_literal(part)?,
            Subject::Topic if part == "**" => return Ok(Self::CatchAll(None)),
            Subject::Topic => check_topic_literal(part)?,
        }
        Ok(Self::Literal(part.into()))
    }

    /// Parses the text between the braces of a variable. An error has the offset of the mistake in the segment.
    fn parse_variable(subject: Subject, text: &str) -> Result<Self, (usize, Mistake)> {
        let of_rest = text.strip_prefix('*');
        let name = of_rest.unwrap_or(text);
        if !is_identifier(name) {
            let offset = if of_rest.is_some() { 2 } else { 1 };
            return Err((offset, Mistake::NotAName(name.to_owned())));
        }
        match (of_rest, subject) {
            (None, _) => Ok(Self::Variable(name.into())),
            (Some(_), Subject::Path) => Ok(Self::CatchAll(Some(name.into()))),
            (Some(_), Subject::Topic) => Err((0, Mistake::CatchAllOfPath)),
        }
    }
}

/// Checks how a template begins. The answer is the byte at which its first segment begins.
fn check_begin(subject: Subject, text: &str) -> Result<usize, Mistake> {
    let has_slash = text.starts_with('/');
    match subject {
        _ if text.is_empty() => Err(Mistake::Empty),
        Subject::Path if !has_slash => Err(Mistake::NoLeadingSlash),
        Subject::Path => Ok(1),
        Subject::Topic if has_slash && text.len() > 1 => Err(Mistake::LeadingSlash),
        Subject::Topic if text.starts_with('$') => Err(Mistake::Reserved),
        Subject::Topic => Ok(0),
    }
}

/// Checks a literal that is compared with decoded segments of paths.
fn check_path_literal(part: &str) -> Result<(), (usize, Mistake)> {
    match part.char_indices().find(|(_, c)| "%?#".contains(*c)) {
        Some((offset, '%')) => Err((offset, Mistake::Encoded)),
        Some((offset, mark)) => Err((offset, Mistake::Query(mark))),
        None => Ok(()),
    }
}

/// Checks a literal that is compared with segments of topic names, which have no encoding.
fn check_topic_literal(part: &str) -> Result<(), (usize, Mistake)> {
    let mut chars = part.char_indices();
    match chars.find(|(_, c)| *c == '*' || c.is_control()) {
        Some((offset, '*')) => Err((offset, Mistake::Star)),
        Some((offset, _)) => Err((offset, Mistake::Control)),
        None => Ok(()),
    }
}

impl Subject {
    /// Returns the word for a template.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Path => "path template",
            Self::Topic => "topic pattern",
        }
    }

    /// Returns the word for the names that a template matches.
    pub(crate) fn matched(self) -> &'static str {
        match self {
            Self::Path => "paths",
            Self::Topic => "topics",
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            template,
            position,
            mistake,
        } = self;
        let name = subject.template();
        write!(f, "{name} `{template}`, at byte {position}: ")?;
        let slash = match subject {
            Subject::Path => "/",
            Subject::Topic => "",
        };
        match mistake {
            Mistake::CatchAllBefore => match subject {
                Subject::Path => write!(
                    f,
                    "a `{{*variable}}` stands for the rest of a path; write it as the last segment"
                ),
                Subject::Topic => write!(
                    f,
                    "`**` stands for the rest of a topic's name; write it as the last segment"
                ),
            },
            Mistake::CatchAllOfPath => write!(
                f,
                "the rest of a topic's name has no name of its own; write `**` as the last segment"
            ),
            Mistake::CatchAllOfTopic => write!(
                f,
                "`**` is for topics; write `{{*rest}}` as the last segment for the rest of a path"
            ),
            Mistake::Control => write!(
                f,
                "a topic's name has no control characters; write the pattern without it"
            ),
            Mistake::DotSegment(segment) => match subject {
                Subject::Path => write!(
                    f,
                    "a path with a segment `{segment}` is never routed; write the template without it"
                ),
                Subject::Topic => write!(
                    f,
                    "a topic's name has no segment `{segment}`; write the pattern without it"
                ),
            },
            Mistake::Empty => match subject {
                Subject::Path => write!(f, "the template is empty; write `/` for the root"),
                Subject::Topic => write!(f, "the pattern is empty; write `**` for all topics"),
            },
            Mistake::EmptySegment => {
                write!(f, "a segment is empty; write one `/` between two segments")
            }
            Mistake::Encoded => write!(
                f,
                "a template is compared with decoded paths; write the character itself, not its `%` code"
            ),
            Mistake::LeadingSlash => write!(
                f,
                "a topic's name does not begin with `/`; write `{}`",
                template.trim_start_matches('/')
            ),
            Mistake::NoLeadingSlash => write!(f, "a path begins with `/`; write `/{template}`"),
            Mistake::NotAName(name) => write!(
                f,
                "`{name}` does not name a variable; write an identifier between the braces, as in `{{room}}`"
            ),
            Mistake::PartialVariable(segment) => write!(
                f,
                "in `{segment}` braces are only a part of the segment; \
                 make the variable a whole segment, as in `{slash}{{room}}`, or write a literal without braces"
            ),
            Mistake::Query(mark) => write!(
                f,
                "a path ends before `{mark}`; remove it and the text behind it: the handshake has the query"
            ),
            Mistake::RepeatedVariable(name) => write!(
                f,
                "the variable `{name}` occurs a second time; give each variable a name of its own"
            ),
            Mistake::Reserved => write!(
                f,
                "a topic's name does not begin with `$`, which is reserved; write another name"
            ),
            Mistake::Star => write!(
                f,
                "`*` is not a wildcard; write a variable, as in `{{room}}`, or `**` as the last segment"
            ),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Returns whether a variable may have this name. A parameter of a function must be able to have it, so that `#[path]`
/// finds it.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
        && name != "_"
}
