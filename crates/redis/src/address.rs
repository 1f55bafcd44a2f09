//! The address of the server: a URL, and all that it may say. It knows no socket, and never shows a password.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;

/// What a URL says of the server.
///
/// ```text
/// redis://user:password@host:6379/0?prefix=sockeye     valkey:// is the same
/// rediss://user:password@host:6379/0?ca=FILE           with TLS; valkeys:// is the same
/// unix://user:password@/path/to/socket?db=0
/// ```
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Where the server listens.
    pub(crate) place: Place,
    /// The user of the server's ACL. `None` is its user `default`.
    pub(crate) user: Option<Box<str>>,
    pub(crate) password: Option<Password>,
    /// The number of the database. Channels have none: all databases of a server share them.
    pub(crate) database: u32,
    /// What the names of all keys and channels begin with.
    pub(crate) prefix: Arc<str>,
    /// The longest pause before a lost connection is opened again.
    pub(crate) reconnect: Option<Duration>,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp {
        host: Box<str>,
        port: u16,
    },
    Tls {
        host: Box<str>,
        port: u16,
        /// The PEM file of the certificates that are trusted. `None`: those of the system.
        authority: Option<PathBuf>,
    },
    Unix {
        path: PathBuf,
    },
}

/// A password. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(Box<str>);

/// Why a URL does not name a server that the engine can use. The text never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is not a URL.
    #[error("not the URL of a server: {0}; write it as redis://user:password@host:6379/0")]
    Url(String),
    /// The URL has another scheme.
    #[error("cannot use {0}://: expected redis://, rediss://, valkey://, valkeys:// or unix://")]
    Scheme(String),
    /// The URL names sentinels, a cluster, or more than one server.
    #[error("{0} are not supported yet: one standalone server")]
    ManyServers(&'static str),
    /// The URL names no host.
    #[error("the URL has no host; write it as redis://localhost")]
    NoHost,
    /// The URL of a Unix socket names no path.
    #[error("the URL has no path of a socket; write it as unix:///run/redis/redis.sock")]
    NoSocket,
    /// The URL of a Unix socket names a host.
    #[error(
        "a Unix socket has no host, found `{0}`; write the path behind three slashes, as unix:///run/redis.sock"
    )]
    HostOfSocket(String),
    /// This system has no Unix sockets.
    #[error("this system has no Unix sockets; use redis://")]
    NoUnixSockets,
    /// The database is not a number.
    #[error("`{0}` is not the number of a database; write it as redis://localhost/0")]
    Database(String),
    /// A user without a password.
    #[error("the user `{0}` has no password; write it as redis://{0}:password@host")]
    NoPassword(String),
    /// A part of the URL is not UTF-8 after percent-decoding.
    #[error("the {0} in the URL is not UTF-8")]
    NotText(&'static str),
    /// The query has an unknown word.
    #[error("unknown word `{word}` in the URL's query: expected {expected}")]
    Word {
        /// The word.
        word: String,
        /// The words that this kind of URL may have.
        expected: &'static str,
    },
    /// The query has a word twice.
    #[error("the word `{0}` is twice in the URL's query")]
    Twice(&'static str),
    /// The prefix cannot begin the name of a key.
    #[error(
        "the prefix `{0}` cannot be used: it must have 1 to 64 characters, and none of them a brace, a space or a control character"
    )]
    Prefix(String),
    /// The longest pause before a lost connection is opened again is not a time.
    #[error("`{0}` is not a pause: write 10 to 60000 milliseconds, as in reconnect=2000")]
    Reconnect(String),
    /// The file of trusted certificates cannot be used.
    #[error("cannot use {} as trusted certificates: {reason}", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// The details.
        reason: String,
    },
    /// TLS cannot be used on this system.
    #[error("cannot use TLS: {0}")]
    Tls(String),
}

impl Address {
    /// Reads a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let scheme = Scheme::of(text)?;
        if has_list(text) {
            return Err(AddressError::ManyServers("lists of servers"));
        }
        let url = Url::parse(&with_host(scheme, text));
        let url = url.map_err(|error| AddressError::Url(error.to_string()))?;
        let words = Words::of(scheme, &url)?;
        let (user, password) = login(&url)?;
        let database = match scheme {
            Scheme::Unix => words.database.as_deref().unwrap_or_default(),
            Scheme::Tcp | Scheme::Tls => url.path().trim_start_matches('/'),
        };
        Ok(Self {
            place: place(scheme, &url, words.authority)?,
            user,
            password,
            database: number_of_database(database)?,
            prefix: words.prefix.map_or_else(|| "sockeye".into(), Into::into),
            reconnect: words.reconnect.map(pause).transpose()?,
        })
    }
}

impl fmt::Display for Address {
    /// Shows where the server listens, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.place, f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("place", &self.place)
            .field("user", &self.user)
            .field("password", &self.password)
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .field("reconnect", &self.reconnect)
            .finish()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } | Self::Tls { host, port, .. } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix { path } => write!(f, "{}", path.display()),
        }
    }
}

impl Password {
    /// Returns the password, to be sent to the server.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The kind of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Tcp,
    Tls,
    Unix,
}

impl Scheme {
    fn of(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(AddressError::Url("it has no `://`".to_owned()));
        };
        match &*scheme.to_ascii_lowercase() {
            "redis" | "valkey" => Ok(Self::Tcp),
            "rediss" | "valkeys" => Ok(Self::Tls),
            "unix" if cfg!(unix) => Ok(Self::Unix),
            "unix" => Err(AddressError::NoUnixSockets),
            other if other.contains("sentinel") => Err(AddressError::ManyServers("sentinels")),
            other if other.contains("cluster") => Err(AddressError::ManyServers("clusters")),
            // A text without a scheme may have a password here.
            other if other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err(AddressError::Scheme(other.to_owned()))
            }
            _ => Err(AddressError::Url("it has no scheme".to_owned())),
        }
    }

    /// Returns the words that the query may have.
    fn words(self) -> &'static str {
        match self {
            Self::Tcp => "`prefix` or `reconnect`",
            Self::Tls => "`prefix`, `reconnect` or `ca`",
            Self::Unix => "`prefix`, `reconnect` or `db`",
        }
    }
}

/// What the query says.
#[derive(Default)]
struct Words {
    prefix: Option<String>,
    reconnect: Option<String>,
    authority: Option<String>,
    database: Option<String>,
}

impl Words {
    fn of(scheme: Scheme, url: &Url) -> Result<Self, AddressError> {
        let mut words = Self::default();
        for (word, value) in url.query_pairs() {
            let (name, place) = match (&*word, scheme) {
                ("prefix", _) => ("prefix", &mut words.prefix),
                ("reconnect", _) => ("reconnect", &mut words.reconnect),
                ("ca", Scheme::Tls) => ("ca", &mut words.authority),
                ("db", Scheme::Unix) => ("db", &mut words.database),
                _ => {
                    return Err(AddressError::Word {
                        word: word.into_owned(),
                        expected: scheme.words(),
                    });
                }
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(AddressError::Twice(name));
            }
        }
        match words.prefix {
            Some(prefix) if !is_prefix(&prefix) => Err(AddressError::Prefix(prefix)),
            _ => Ok(words),
        }
    }
}

fn pause(text: String) -> Result<Duration, AddressError> {
    let millis = text.parse::<u64>().ok();
    let millis = millis.filter(|millis| (10..=60_000).contains(millis));
    millis
        .map(Duration::from_millis)
        .ok_or(AddressError::Reconnect(text))
}

fn is_prefix(prefix: &str) -> bool {
    let is_plain = |c: char| !matches!(c, '{' | '}') && !c.is_whitespace() && !c.is_control();
    (1..=64).contains(&prefix.chars().count()) && prefix.chars().all(is_plain)
}

/// Returns whether the text names more than one server. `Url` takes such a list for a host, or for a wrong port.
fn has_list(text: &str) -> bool {
    authority(text)
        .rsplit('@')
        .next()
        .is_some_and(|hosts| hosts.contains(','))
}

/// Returns what stands between the scheme and the path.
fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Adds a host to the URL of a Unix socket: `Url` takes no user without a host.
fn with_host(scheme: Scheme, text: &str) -> Cow<'_, str> {
    let authority = authority(text);
    if scheme != Scheme::Unix || !(authority.is_empty() || authority.ends_with('@')) {
        return Cow::Borrowed(text);
    }
    let path = text
        .split_once("://")
        .map_or("", |(_, rest)| &rest[authority.len()..]);
    Cow::Owned(format!("unix://{authority}localhost{path}"))
}

fn login(url: &Url) -> Result<(Option<Box<str>>, Option<Password>), AddressError> {
    let user = decoded("user", url.username())?;
    let password = url.password().map(|text| decoded("password", text));
    match (user.is_empty(), password.transpose()?) {
        (false, None) => Err(AddressError::NoPassword(user)),
        (is_default, password) => Ok((
            (!is_default).then(|| user.into()),
            password.map(|password| Password(password.into())),
        )),
    }
}

fn place(scheme: Scheme, url: &Url, authority: Option<String>) -> Result<Place, AddressError> {
    let host = decoded("host", url.host_str().unwrap_or_default())?;
    if scheme == Scheme::Unix {
        let path = decoded("path", url.path())?;
        return match (&*host, path.len()) {
            (_, 0 | 1) => Err(AddressError::NoSocket),
            ("localhost", _) => Ok(Place::Unix { path: path.into() }),
            _ => Err(AddressError::HostOfSocket(host)),
        };
    }
    // An IPv6 address stands in brackets.
    let host: Box<str> = host.trim_matches(['[', ']']).into();
    let port = url.port().unwrap_or(6379);
    match scheme {
        _ if host.is_empty() => Err(AddressError::NoHost),
        Scheme::Tls => Ok(Place::Tls {
            host,
            port,
            authority: authority.map(PathBuf::from),
        }),
        Scheme::Tcp | Scheme::Unix => Ok(Place::Tcp { host, port }),
    }
}

fn number_of_database(text: &str) -> Result<u32, AddressError> {
    match text {
        "" => Ok(0),
        text => text
            .parse()
            .map_err(|_| AddressError::Database(text.to_owned())),
    }
}

fn decoded(part: &'static str, text: &str) -> Result<String, AddressError> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(Cow::into_owned)
        .map_err(|_| AddressError::NotText(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Address::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_names_the_server_the_login_the_database_and_the_prefix() {
        let address =
            Address::parse("redis://ann:s%40fe,t@redis.example:7000/3?prefix=chat&reconnect=2000")
                .unwrap();
        assert_eq!(
            address.place,
            Place::Tcp {
                host: "redis.example".into(),
                port: 7000
            }
        );
        assert_eq!(address.user.as_deref(), Some("ann"));
        assert_eq!(address.password.unwrap().reveal(), "s@fe,t");
        assert_eq!((address.database, &*address.prefix), (3, "chat"));
        assert_eq!(address.reconnect, Some(Duration::from_secs(2)));
    }

    #[test]
    fn what_a_url_does_not_say_has_a_default() {
        for url in [
            "redis://localhost",
            "valkey://localhost/",
            "REDIS://localhost:6379/0",
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), "localhost:6379");
            assert_eq!((address.user, address.password), (None, None));
            assert_eq!((address.database, &*address.prefix), (0, "sockeye"));
        }
        let address = Address::parse("redis://:secret@[::1]").unwrap();
        assert_eq!(address.to_string(), "[::1]:6379");
        assert_eq!(
            (address.user, address.password.unwrap().reveal()),
            (None, "secret")
        );
    }

    #[test]
    fn two_schemes_have_tls_and_may_name_an_authority() {
        for (url, file) in [
            (
                "rediss://localhost?ca=/etc/our%20ca.pem",
                Some("/etc/our ca.pem"),
            ),
            ("valkeys://localhost", None),
        ] {
            let Place::Tls { authority, .. } = Address::parse(url).unwrap().place else {
                panic!("{url} has no TLS");
            };
            assert_eq!(authority, file.map(PathBuf::from));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_has_a_path_a_login_and_a_database() {
        for (url, user, database) in [
            ("unix:///run/redis.sock", None, 0),
            ("unix://ann:secret@/run/redis.sock?db=2", Some("ann"), 2),
            ("unix://localhost/run/redis.sock", None, 0),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), "/run/redis.sock");
            assert_eq!(
                (address.user.as_deref(), address.database),
                (user, database)
            );
        }
    }

    #[test]
    fn a_refusal_names_what_is_wrong_and_what_to_change() {
        for (url, text) in [
            (
                "localhost:6379",
                "not the URL of a server: it has no `://`; write it as redis://user:password@host:6379/0",
            ),
            (
                "ann:secret@localhost://",
                "not the URL of a server: it has no scheme; write it as redis://user:password@host:6379/0",
            ),
            (
                "redis://localhost:99999",
                "not the URL of a server: invalid port number; write it as redis://user:password@host:6379/0",
            ),
            (
                "http://localhost",
                "cannot use http://: expected redis://, rediss://, valkey://, valkeys:// or unix://",
            ),
            (
                "redis-sentinel://a:26379/mymaster",
                "sentinels are not supported yet: one standalone server",
            ),
            (
                "redis-cluster://a:7000",
                "clusters are not supported yet: one standalone server",
            ),
            (
                "redis://a:1,b:2/0",
                "lists of servers are not supported yet: one standalone server",
            ),
            (
                "redis://ann:secret@a,b",
                "lists of servers are not supported yet: one standalone server",
            ),
            (
                "redis://",
                "the URL has no host; write it as redis://localhost",
            ),
            (
                "redis://localhost/main",
                "`main` is not the number of a database; write it as redis://localhost/0",
            ),
            (
                "redis://ann@localhost",
                "the user `ann` has no password; write it as redis://ann:password@host",
            ),
            (
                "redis://:%FF@localhost",
                "the password in the URL is not UTF-8",
            ),
            (
                "redis://localhost?prefx=chat",
                "unknown word `prefx` in the URL's query: expected `prefix` or `reconnect`",
            ),
            (
                "redis://localhost?ca=ca.pem",
                "unknown word `ca` in the URL's query: expected `prefix` or `reconnect`",
            ),
            (
                "rediss://localhost?db=1",
                "unknown word `db` in the URL's query: expected `prefix`, `reconnect` or `ca`",
            ),
            (
                "redis://localhost?prefix=a&prefix=b",
                "the word `prefix` is twice in the URL's query",
            ),
            (
                "redis://localhost?prefix={chat}",
                "the prefix `{chat}` cannot be used: it must have 1 to 64 characters, and none of them a brace, a space or a control character",
            ),
            (
                "redis://localhost?reconnect=2s",
                "`2s` is not a pause: write 10 to 60000 milliseconds, as in reconnect=2000",
            ),
            (
                "redis://localhost?prefix=",
                "the prefix `` cannot be used: it must have 1 to 64 characters, and none of them a brace, a space or a control character",
            ),
        ] {
            assert_eq!(refusal(url), text, "{url}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_url_of_a_unix_socket_needs_a_path_and_no_host() {
        for (url, text) in [
            (
                "unix://",
                "the URL has no path of a socket; write it as unix:///run/redis/redis.sock",
            ),
            (
                "unix://run/redis.sock",
                "a Unix socket has no host, found `run`; write the path behind three slashes, as unix:///run/redis.sock",
            ),
            (
                "unix:///run/redis.sock?ca=a",
                "unknown word `ca` in the URL's query: expected `prefix`, `reconnect` or `db`",
            ),
        ] {
            assert_eq!(refusal(url), text, "{url}");
        }
    }

    #[test]
    fn no_text_of_an_address_shows_the_password() {
        let address = Address::parse("rediss://ann:secret@localhost/0").unwrap();
        let shown = format!("{address} {address:?} {:?}", address.password);
        assert!(!shown.contains("secret"), "{shown}");
        for url in [
            "redis://ann:secret@localhost:port/0",
            "redis://ann:secret@local host",
            "redis://ann:secret@localhost/x",
            "redis://ann:secret@localhost?word=1",
            "redis://ann:secret@",
            "ann:secret@localhost",
            "secret@localhost://redis",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{url}");
        }
    }
}
