//! `Sec-WebSocket-Extensions`: the grammar of RFC 6455 section 9.1, read and written.
//!
//! An [`Extension`] here obeys the grammar. Knows no extension: an extension's own module defines the meaning of its
//! name, its parameters and their values.

use std::fmt;

use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};

use super::header::{is_token, is_token_byte};

/// One element of an extension list, offered by a client or chosen by a server: a name with parameters, in order.
///
/// Names and values are tokens, so they are written without quotes. A list may hold a name several times: so a client
/// offers alternatives.
///
/// ```
/// use sockeye_proto::handshake::Extension;
///
/// let extension = Extension::new("x-example")?
///     .with_param("level", Some("9"))?
///     .with_param("fast", None)?;
/// assert_eq!(extension.to_string(), "x-example; level=9; fast");
/// assert_eq!(extension.params().next(), Some(("level", Some("9"))));
/// # Ok::<(), sockeye_proto::handshake::NotAToken>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    name: String,
    params: Vec<(String, Option<String>)>,
}

impl Extension {
    /// Creates an extension without parameters.
    ///
    /// # Errors
    ///
    /// [`NotAToken`] if the grammar does not allow the name.
    pub fn new(name: &str) -> Result<Self, NotAToken> {
        Ok(Self {
            name: checked(name)?,
            params: Vec::new(),
        })
    }

    /// Adds a parameter behind the others.
    ///
    /// # Errors
    ///
    /// [`NotAToken`] if the grammar does not allow the name or the value.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Result<Self, NotAToken> {
        self.params
            .push((checked(name)?, value.map(checked).transpose()?));
        Ok(self)
    }

    /// Creates an extension whose name must be a token. All names in this crate are.
    pub(crate) fn from_static(name: &'static str) -> Self {
        debug_assert!(is_token(name.as_bytes()));
        Self {
            name: name.to_owned(),
            params: Vec::new(),
        }
    }

    /// Adds a parameter whose name and value are tokens.
    pub(crate) fn with_static_param(mut self, name: &'static str, value: Option<String>) -> Self {
        debug_assert!(is_token(name.as_bytes()));
        debug_assert!(value.iter().all(|value| is_token(value.as_bytes())));
        self.params.push((name.to_owned(), value));
        self
    }

    /// Returns the extension's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the parameters in the order of the field, each with its value if it has one, unquoted.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (name, value) in &self.params {
            write!(f, "; {name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// An error: a name or value is not a token. It is empty, or has a character that the grammar does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a token: one or more visible ASCII characters, no separators")]
pub struct NotAToken(pub String);

/// An error: the field breaks the grammar. Each role has its own reaction.
#[derive(Debug)]
pub(super) struct BrokenGrammar;

/// Returns the extensions of all `Sec-WebSocket-Extensions` lines, in order; none if there is no such field.
pub(super) fn receive(headers: &HeaderMap) -> Result<Vec<Extension>, BrokenGrammar> {
    let mut extensions = Vec::new();
    let mut lines = headers
        .get_all(SEC_WEBSOCKET_EXTENSIONS)
        .into_iter()
        .peekable();
    let present = lines.peek().is_some();
    // §9.1: several lines are one list, joined by commas. Each line can be read alone: only a quoted string could
    // continue over such a comma, and no value may hold a comma.
    for line in lines {
        receive_line(line.as_bytes(), &mut extensions)?;
    }
    // §9.1: the list has at least one element, so an empty field breaks the grammar.
    if present && extensions.is_empty() {
        return Err(BrokenGrammar);
    }
    Ok(extensions)
}

/// Returns the list as the value of one field.
pub(super) fn send(extensions: &[Extension]) -> String {
    let texts: Vec<String> = extensions.iter().map(Extension::to_string).collect();
    texts.join(", ")
}

/// Reads one line from left to right, in one pass.
fn receive_line(line: &[u8], extensions: &mut Vec<Extension>) -> Result<(), BrokenGrammar> {
    let mut rest = Cursor(line);
    loop {
        rest.skip_whitespace();
        match rest.peek() {
            None => return Ok(()),
            // §9.1 with RFC 2616 §2.1 (now RFC 9110 §5.6.1.2): empty elements of a list are ignored.
            Some(b',') => rest.skip(),
            Some(_) => {
                extensions.push(receive_extension(&mut rest)?);
                match rest.peek() {
                    None | Some(b',') => {}
                    Some(_) => return Err(BrokenGrammar),
                }
            }
        }
    }
}

/// Reads extension-token *( ";" extension-param ), with optional whitespace around each part.
fn receive_extension(rest: &mut Cursor<'_>) -> Result<Extension, BrokenGrammar> {
    let mut extension = Extension {
        name: rest.token()?,
        params: Vec::new(),
    };
    rest.skip_whitespace();
    while rest.skip_if(b';') {
        rest.skip_whitespace();
        let name = rest.token()?;
        rest.skip_whitespace();
        let value = if rest.skip_if(b'=') {
            rest.skip_whitespace();
            let value = if rest.skip_if(b'"') {
                rest.quoted()?
            } else {
                rest.token()?
            };
            rest.skip_whitespace();
            Some(value)
        } else {
            None
        };
        extension.params.push((name, value));
    }
    Ok(extension)
}

/// The unread rest of a line.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn skip(&mut self) {
        self.next();
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.skip();
        }
        found
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.skip();
        }
    }

    fn token(&mut self) -> Result<String, BrokenGrammar> {
        let mut token = String::new();
        while let Some(byte) = self.peek().filter(|&byte| is_token_byte(byte)) {
            token.push(char::from(byte));
            self.skip();
        }
        non_empty(token)
    }

    /// Reads the rest of a quoted string, behind its first quote.
    fn quoted(&mut self) -> Result<String, BrokenGrammar> {
        let mut value = String::new();
        loop {
            let byte = match self.next() {
                Some(b'"') => return non_empty(value),
                Some(b'\\') => self.next(),
                other => other,
            };
            // §9.1: the unescaped text between the quotes is a token, so it has no separator, not even an escaped one.
            match byte {
                Some(byte) if is_token_byte(byte) => value.push(char::from(byte)),
                _ => return Err(BrokenGrammar),
            }
        }
    }
}

fn non_empty(token: String) -> Result<String, BrokenGrammar> {
    if token.is_empty() {
        Err(BrokenGrammar)
    } else {
        Ok(token)
    }
}

fn checked(text: &str) -> Result<String, NotAToken> {
    if is_token(text.as_bytes()) {
        Ok(text.to_owned())
    } else {
        Err(NotAToken(text.to_owned()))
    }
}
