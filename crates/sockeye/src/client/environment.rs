//! The choice of the proxy for a server: none, the one that the program set, or those that environment variables name,
//! by the rules of curl. Knows nothing of connections.

use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::error::ProxyError;
use super::proxy::Proxy;
use super::target::{Target, bare_host};

/// The rule that chooses the proxy for a server.
#[derive(Clone, Debug, Default)]
pub(super) enum Proxies {
    #[default]
    None,
    One(Proxy),
    Environment(Arc<Environment>),
}

impl Proxies {
    pub(super) fn from_env() -> Self {
        Self::Environment(Arc::new(Environment::read()))
    }

    pub(super) fn choose(&self, target: &Target) -> Result<Option<Proxy>, ProxyError> {
        match self {
            Self::None => Ok(None),
            Self::One(proxy) => Ok(Some(proxy.clone())),
            Self::Environment(environment) => environment.choose(target),
        }
    }
}

/// The values of the variables at the time when they were read.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    /// For `ws:`.
    plain: Option<Named>,
    /// For `wss:`.
    secure: Option<Named>,
    exceptions: Exceptions,
}

/// A proxy, and the variable that it comes from.
#[derive(Clone, Debug)]
struct Named {
    variable: &'static str,
    /// `None` if the value is not a proxy URL. The value is not kept, because it may hold a password.
    proxy: Option<Proxy>,
}

/// The hosts that the client connects to directly: the list of `no_proxy`.
#[derive(Clone, Debug, Default)]
struct Exceptions(String);

/// The variables for `ws:`, in order of precedence. As in curl, `HTTP_PROXY` is not among them: in a CGI program it
/// holds the header field `Proxy` of a request.
const PLAIN: [&str; 5] = [
    "ws_proxy",
    "WS_PROXY",
    "http_proxy",
    "all_proxy",
    "ALL_PROXY",
];
/// The variables for `wss:`.
const SECURE: [&str; 6] = [
    "wss_proxy",
    "WSS_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl Environment {
    fn read() -> Self {
        Self::of(|name| Some(env::var_os(name)?.to_string_lossy().into_owned()))
    }

    /// Reads the variables through `lookup`. An empty variable counts as missing.
    fn of(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            let mut values = names.iter().map(|&name| (name, lookup(name)));
            values.find_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?)))
        };
        let named = |names: &[&'static str]| {
            let (variable, text) = first(names)?;
            let proxy = Proxy::of_environment(&text).ok();
            Some(Named { variable, proxy })
        };
        Self {
            plain: named(&PLAIN),
            secure: named(&SECURE),
            exceptions: first(&EXCEPTIONS)
                .map_or_else(Exceptions::default, |(_, list)| Exceptions(list)),
        }
    }

    /// The proxy for a server; `None` for a direct connection.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Url`] with the name of the variable whose value is not a proxy URL.
    fn choose(&self, target: &Target) -> Result<Option<Proxy>, ProxyError> {
        let named = match target.is_secure() {
            true => &self.secure,
            false => &self.plain,
        };
        let Some(named) = named else {
            return Ok(None);
        };
        if self.exceptions.cover(target.host()) {
            return Ok(None);
        }
        let unusable = || ProxyError::Url(format!("the value of the variable {}", named.variable));
        named.proxy.clone().map(Some).ok_or_else(unusable)
    }
}

impl Exceptions {
    /// Whether the list covers this host. An IPv6 address is in brackets.
    ///
    /// A list that is only `*` covers all hosts; there are no other wildcards. A name covers itself and all names below
    /// it; a dot at either end is ignored. An address covers itself, and with `/BITS` its network. Ports match nothing.
    fn cover(&self, host: &str) -> bool {
        if self.0 == "*" {
            return true;
        }
        let separators = |c: char| c == ',' || c == ' ' || c == '\t';
        let mut entries = self.0.split(separators).filter(|entry| !entry.is_empty());
        match bare_host(host).parse::<IpAddr>() {
            Ok(address) => entries.any(|entry| covers_address(entry, address)),
            Err(_) => {
                let host = without_final_dot(host);
                entries.any(|entry| covers_name(entry, host))
            }
        }
    }
}

fn covers_name(entry: &str, host: &str) -> bool {
    let entry = without_final_dot(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    let Some(start) = host.len().checked_sub(entry.len()) else {
        return false;
    };
    // A host is ASCII here, so any index is between characters.
    let (below, end) = host.split_at_checked(start).unwrap_or_default();
    !entry.is_empty()
        && end.eq_ignore_ascii_case(entry)
        && (below.is_empty() || below.ends_with('.'))
}

fn covers_address(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        None => (entry, None),
        Some((network, bits)) => match bits.parse::<u32>() {
            // curl takes /0 for the single address.
            Ok(0) => (network, None),
            Ok(bits) => (network, Some(bits)),
            Err(_) => return false,
        },
    };
    match address {
        IpAddr::V4(address) => network.parse::<Ipv4Addr>().is_ok_and(|network| {
            let differing = address.to_bits() ^ network.to_bits();
            bits.unwrap_or(u32::BITS) <= differing.leading_zeros()
        }),
        IpAddr::V6(address) => network.parse::<Ipv6Addr>().is_ok_and(|network| {
            let differing = address.to_bits() ^ network.to_bits();
            bits.unwrap_or(u128::BITS) <= differing.leading_zeros()
        }),
    }
}

fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy for a URL with these variables, as `host:port`.
    fn chosen(variables: &[(&str, &str)], url: &str) -> Result<Option<String>, ProxyError> {
        let environment = Environment::of(|name| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| (*value).to_owned())
        });
        let target = Target::parse(url).unwrap();
        let proxy = environment.choose(&target)?;
        Ok(proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())))
    }

    #[test]
    fn a_variable_of_the_scheme_comes_before_the_one_for_all_and_lower_case_before_upper_case() {
        let (ws, wss) = ("ws://host/", "wss://host/");
        for (variables, url, proxy) in [
            (&[][..], ws, None),
            (&[("http_proxy", "p:1")], ws, Some("p:1")),
            (&[("http_proxy", "p:1")], wss, None),
            (&[("https_proxy", "p:1")], ws, None),
            (&[("https_proxy", "p:1")], wss, Some("p:1")),
            // Counts only in lower case.
            (&[("HTTP_PROXY", "p:1")], ws, None),
            (
                &[("HTTP_PROXY", "p:1"), ("ALL_PROXY", "q:2")],
                ws,
                Some("q:2"),
            ),
            (&[("HTTPS_PROXY", "p:1")], wss, Some("p:1")),
            (
                &[("https_proxy", "p:1"), ("HTTPS_PROXY", "q:2")],
                wss,
                Some("p:1"),
            ),
            (&[("all_proxy", "p:1")], ws, Some("p:1")),
            (&[("ALL_PROXY", "p:1")], wss, Some("p:1")),
            (
                &[("all_proxy", "p:1"), ("ALL_PROXY", "q:2")],
                ws,
                Some("p:1"),
            ),
            (
                &[("http_proxy", "p:1"), ("all_proxy", "q:2")],
                ws,
                Some("p:1"),
            ),
            (
                &[("http_proxy", "p:1"), ("all_proxy", "q:2")],
                wss,
                Some("q:2"),
            ),
            // The variables of the WebSocket schemes.
            (
                &[("ws_proxy", "p:1"), ("http_proxy", "q:2")],
                ws,
                Some("p:1"),
            ),
            (
                &[("WS_PROXY", "p:1"), ("http_proxy", "q:2")],
                ws,
                Some("p:1"),
            ),
            (
                &[("wss_proxy", "p:1"), ("https_proxy", "q:2")],
                wss,
                Some("p:1"),
            ),
            (
                &[("WSS_PROXY", "p:1"), ("https_proxy", "q:2")],
                wss,
                Some("p:1"),
            ),
            (&[("ws_proxy", "p:1")], wss, None),
            // An empty variable counts as missing.
            (&[("http_proxy", "")], ws, None),
            (&[("http_proxy", ""), ("ALL_PROXY", "q:2")], ws, Some("q:2")),
            (
                &[("https_proxy", ""), ("HTTPS_PROXY", "q:2")],
                wss,
                Some("q:2"),
            ),
        ] {
            let found = chosen(variables, url).unwrap();
            assert_eq!(found.as_deref(), proxy, "{variables:?} {url}");
        }
    }

    #[test]
    fn hosts_of_no_proxy_are_reached_directly_and_these_are_the_answers_of_curl() {
        for (list, host, is_direct) in [
            ("", "localhost", false),
            ("example.com", "example.com", true),
            ("example.com", "www.example.com", true),
            ("example.com", "nonexample.com", false),
            ("www.example.com", "example.com", false),
            ("com", "example.com", true),
            (".example.com", "example.com", true),
            (".example.com", "www.example.com", true),
            ("example.com.", "example.com", true),
            ("example.com", "example.com.", true),
            ("EXAMPLE.com", "example.COM", true),
            (".", "example.com", false),
            // `*` is the only wildcard.
            ("*", "example.com", true),
            ("*", "10.1.2.3", true),
            ("*,x", "example.com", false),
            ("x,*", "example.com", false),
            (" * ", "example.com", false),
            ("*.local", "printer.local", false),
            (".local", "printer.local", true),
            ("local", "printer.local", true),
            // There are no ports.
            ("example.com:80", "example.com", false),
            ("example.com:8080", "example.com", false),
            ("10.1.2.3:80", "10.1.2.3", false),
            ("a,example.com", "example.com", true),
            ("a,,example.com", "example.com", true),
            ("a , example.com ", "example.com", true),
            ("a example.com", "example.com", true),
            ("a;example.com", "example.com", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/15", "10.1.2.3", true),
            ("10.0.0.0/16", "10.1.2.3", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.0.0.0/0", "10.1.2.3", false),
            ("10.0.0.0/0", "10.0.0.0", true),
            ("10.", "10.1.2.3", false),
            (".2.3", "10.1.2.3", false),
            // Names are not resolved for the list.
            ("127.0.0.1", "localhost", false),
            ("::1", "[::1]", true),
            ("0:0::1", "[::1]", true),
            ("[::1]", "[::1]", false),
            ("fe80::/10", "[fe80::1]", true),
            ("fe80::/10", "[fec0::1]", false),
            ("::1/128", "[::1]", true),
            ("::1/129", "[::1]", false),
            ("ü,example.com", "example.com", true),
            ("ü", "example.com", false),
        ] {
            for name in ["no_proxy", "NO_PROXY"] {
                let variables = [("ALL_PROXY", "p:1"), (name, list)];
                let found = chosen(&variables, &format!("wss://{host}:8443/")).unwrap();
                assert_eq!(found.is_none(), is_direct, "{name}={list} {host}");
            }
        }
        let both = [("ALL_PROXY", "p:1"), ("no_proxy", "b"), ("NO_PROXY", "a")];
        assert!(chosen(&both, "ws://a/").unwrap().is_some());
        let both = [("ALL_PROXY", "p:1"), ("no_proxy", ""), ("NO_PROXY", "a")];
        assert!(chosen(&both, "ws://a/").unwrap().is_none());
    }

    #[test]
    fn a_proxy_without_a_port_has_the_one_that_curl_takes() {
        for (text, proxy) in [
            ("p", "p:1080"),
            ("http://p", "p:1080"),
            ("http://p/", "p:1080"),
            ("http://p:80", "p:80"),
            ("p:80", "p:80"),
            ("http://u:w@p:80/", "p:80"),
            ("https://p", "p:443"),
            ("https://p:443", "p:443"),
            ("socks5://p", "p:1080"),
            ("socks5h://[::1]:9", "::1:9"),
            ("HTTP://u:w@p:3128/", "p:3128"),
        ] {
            let found = chosen(&[("ALL_PROXY", text)], "ws://host/").unwrap();
            assert_eq!(found.as_deref(), Some(proxy), "{text}");
        }
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_named_without_its_value_where_it_would_be_used() {
        for text in [
            "ftp://u:secret@p",
            "socks4://u:secret@p",
            "http://u:secret@",
            "://",
        ] {
            let variables = [("https_proxy", text), ("no_proxy", "direct")];
            let error = chosen(&variables, "wss://host/").unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("the variable https_proxy"), "{said}");
            assert!(!said.contains("secret"), "{said}");
            assert_eq!(chosen(&variables, "wss://direct/").unwrap(), None);
            assert_eq!(chosen(&variables, "ws://host/").unwrap(), None);
        }
        let lookup = |name: &str| (name == "ALL_PROXY").then(|| "http://u:secret@p".to_owned());
        let environment = Environment::of(lookup);
        assert!(!format!("{environment:?}").contains("secret"));
    }
}
