//! The grammar of path templates such as `/chat/{room}`: a `/` before each segment, which is a literal or one variable
//! in braces.
//!
//! Literals are written decoded (`/café`, never `/caf%C3%A9`), so that a template has one spelling.

use std::{fmt, sync::Arc};

/// A path template that obeys the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Arc<str>,
    segments: Box<[Segment]>,
}

/// The part of a template between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller that walks a template acts on each"
)]
pub enum Segment {
    /// The text that a path must have here. It is empty only at the end, for a trailing slash.
    Literal(Arc<str>),
    /// The name of a variable, which matches any one segment that is not empty.
    Variable(Arc<str>),
}

/// An error: a text is not a path template. It shows the reason, the position, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    template: String,
    /// The byte at which the mistake begins.
    position: usize,
    mistake: Mistake,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mistake {
    DotSegment(String),
    Empty,
    EmptySegment,
    Encoded,
    NoLeadingSlash,
    NotAName(String),
    PartialVariable(String),
    Query(char),
    RepeatedVariable(String),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// When the text is not a template. The error says why, where, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let refuse = |position, mistake| TemplateError {
            template: text.to_owned(),
            position,
            mistake,
        };
        if text.is_empty() {
            return Err(refuse(0, Mistake::Empty));
        }
        let Some(path) = text.strip_prefix('/') else {
            return Err(refuse(0, Mistake::NoLeadingSlash));
        };

        let mut segments: Vec<Segment> = Vec::new();
        let mut start = 1;
        for part in path.split('/') {
            let end = start + part.len();
            if part.is_empty() && end < text.len() {
                return Err(refuse(start, Mistake::EmptySegment));
            }
            let segment = Segment::parse(part)
                .map_err(|(offset, mistake)| refuse(start + offset, mistake))?;
            if let Segment::Variable(name) = &segment
                && segments.contains(&segment)
            {
                return Err(refuse(start, Mistake::RepeatedVariable(name.to_string())));
            }
            segments.push(segment);
            start = end + 1;
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
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

    /// Returns the names of the variables, from left to right.
    pub fn variables(&self) -> impl Iterator<Item = &Arc<str>> {
        self.segments.iter().filter_map(Segment::variable)
    }

    /// Returns the names of the variables and their values in a path that this template matches. The path is given by its
    /// segments.
    pub fn values<'p>(
        &self,
        path: impl Iterator<Item = &'p str>,
    ) -> impl Iterator<Item = (&Arc<str>, &'p str)> {
        let pairs = self.segments.iter().zip(path);
        pairs.filter_map(|(segment, value)| Some((segment.variable()?, value)))
    }
}

impl Segment {
    fn variable(&self) -> Option<&Arc<str>> {
        match self {
            Self::Literal(_) => None,
            Self::Variable(name) => Some(name),
        }
    }

    /// Parses one segment. An error has the offset of the mistake in the segment.
    fn parse(part: &str) -> Result<Self, (usize, Mistake)> {
        if part == "." || part == ".." {
            return Err((0, Mistake::DotSegment(part.to_owned())));
        }
        if let Some(name) = part
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            && !name.contains(['{', '}'])
        {
            return if is_identifier(name) {
                Ok(Self::Variable(name.into()))
            } else {
                Err((1, Mistake::NotAName(name.to_owned())))
            };
        }
        if part.contains(['{', '}']) {
            return Err((0, Mistake::PartialVariable(part.to_owned())));
        }
        match part.char_indices().find(|(_, c)| "%?#".contains(*c)) {
            Some((offset, '%')) => Err((offset, Mistake::Encoded)),
            Some((offset, mark)) => Err((offset, Mistake::Query(mark))),
            None => Ok(Self::Literal(part.into())),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            template,
            position,
            mistake,
        } = self;
        write!(f, "path template `{template}`, at byte {position}: ")?;
        match mistake {
            Mistake::DotSegment(segment) => write!(
                f,
                "a path with a segment `{segment}` is never routed; write the template without it"
            ),
            Mistake::Empty => write!(f, "the template is empty; write `/` for the root"),
            Mistake::EmptySegment => {
                write!(f, "a segment is empty; write one `/` between two segments")
            }
            Mistake::Encoded => write!(
                f,
                "a template is compared with decoded paths; write the character itself, not its `%` code"
            ),
            Mistake::NoLeadingSlash => write!(f, "a path begins with `/`; write `/{template}`"),
            Mistake::NotAName(name) => write!(
                f,
                "`{name}` does not name a variable; write an identifier between the braces, as in `{{room}}`"
            ),
            Mistake::PartialVariable(segment) => write!(
                f,
                "in `{segment}` braces are only a part of the segment; \
                 make the variable a whole segment, as in `/{{room}}`, or write a literal without braces"
            ),
            Mistake::Query(mark) => write!(
                f,
                "a path ends before `{mark}`; remove it and the text behind it: the handshake has the query"
            ),
            Mistake::RepeatedVariable(name) => write!(
                f,
                "the variable `{name}` occurs a second time; give each variable a name of its own"
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
