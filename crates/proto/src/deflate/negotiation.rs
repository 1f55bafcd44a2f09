//! The negotiation of permessage-deflate (RFC 7692 §5, §7.1): the offers, the answer, and the agreed parameters.

use std::fmt;

use crate::handshake::Extension;

/// The size of a compression window, as the base-2 logarithm of its bytes: 8 to 15 (§7.1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// The smallest window: 256 bytes.
    pub const MIN: Self = Self(8);
    /// The largest window: 32,768 bytes. It is DEFLATE's limit, and the default.
    pub const MAX: Self = Self(15);

    /// Creates the size of a window of `2^bits` bytes; `None` unless `bits` is in 8 to 15.
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            8..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// Returns the logarithm.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// §7.1.2: a decimal number without leading zeros, from 8 to 15.
    fn parse(value: &str) -> Option<Self> {
        match value.as_bytes() {
            [digit @ b'8'..=b'9'] => Self::new(digit - b'0'),
            [b'1', digit @ b'0'..=b'5'] => Self::new(10 + digit - b'0'),
            _ => None,
        }
    }
}

impl Default for WindowBits {
    fn default() -> Self {
        Self::MAX
    }
}

impl fmt::Display for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowBits({})", self.0)
    }
}

/// The parameters of permessage-deflate that both ends have agreed on.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DeflateParams {
    /// The server starts each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client starts each message with an empty window.
    pub client_no_context_takeover: bool,
    /// The server's window.
    pub server_max_window_bits: WindowBits,
    /// The client's window.
    pub client_max_window_bits: WindowBits,
    /// Whether the server asked the client to keep no window although the client had not offered that. The client may
    /// ignore it.
    pub(crate) client_is_in_doubt: bool,
}

/// Compares the agreed parameters, without `client_is_in_doubt`, which only the server has.
impl PartialEq for DeflateParams {
    fn eq(&self, other: &Self) -> bool {
        self.server_no_context_takeover == other.server_no_context_takeover
            && self.client_no_context_takeover == other.client_no_context_takeover
            && self.server_max_window_bits == other.server_max_window_bits
            && self.client_max_window_bits == other.client_max_window_bits
    }
}

impl Eq for DeflateParams {}

/// The settings of permessage-deflate for one end, and its requests to the other end.
///
/// A server agrees on parameters by its settings. For a client the settings of the server's window are only requests.
/// The client also accepts an answer with which the server keeps its window, or has a larger one. It then holds a copy
/// of that window, at most 32 KiB.
///
/// ```
/// use sockeye_proto::{DeflateConfig, handshake::Extension};
///
/// let config = DeflateConfig::default();
/// assert_eq!(config.offer().to_string(), "permessage-deflate; server_no_context_takeover; \
///     client_no_context_takeover; client_max_window_bits");
/// let (params, answer) = config.answer(&[config.offer()]).unwrap();
/// assert_eq!(config.accept(&[answer]), Ok(Some(params)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// Whether the server starts each message with an empty window. The default is on. A client asks for it, and also
    /// accepts a server that ignores the request.
    ///
    /// Off compresses better, and both ends keep the window's content of earlier messages. That is at most 32 KiB for
    /// each idle connection, and some 300 KiB more while messages are sent.
    pub server_no_context_takeover: bool,
    /// Whether the client starts each message with an empty window, so that the server keeps no window for it. The
    /// default is on.
    ///
    /// Some clients ignore it in an answer, such as Python's Tornado. Unless the client offers it, the server keeps the
    /// client's window, at most 32 KiB, until four messages of the client refer to no earlier message. If the client's
    /// messages do refer to earlier ones, the server keeps the window for good.
    pub client_no_context_takeover: bool,
    /// The largest window of the server. A client also accepts a server that ignores the request. The default is 15.
    pub server_max_window_bits: WindowBits,
    /// The largest window of the client. The default is 15.
    pub client_max_window_bits: WindowBits,
    /// The length in bytes below which messages are sent uncompressed. The default is 128.
    pub threshold: usize,
    /// The effort, from 1 (least) to 9. The default is 4.
    pub level: u8,
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
            threshold: 128,
            level: 4,
        }
    }
}

impl DeflateConfig {
    /// Sets whether both ends keep their windows from message to message.
    pub fn context_takeover(mut self, kept: bool) -> Self {
        self.server_no_context_takeover = !kept;
        self.client_no_context_takeover = !kept;
        self
    }

    /// Sets [`server_max_window_bits`](Self::server_max_window_bits).
    pub fn server_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.server_max_window_bits = bits;
        self
    }

    /// Sets [`client_max_window_bits`](Self::client_max_window_bits).
    pub fn client_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.client_max_window_bits = bits;
        self
    }

    /// Sets [`threshold`](Self::threshold).
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Sets [`level`](Self::level). A value outside of 1 to 9 becomes the nearest value inside.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    /// Returns the client's offer. It always says that the client understands a limit on its window.
    pub fn offer(&self) -> Extension {
        let mut offer = DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: self.client_max_window_bits,
            client_is_in_doubt: false,
        }
        .element(false);
        if self.client_max_window_bits == WindowBits::MAX {
            offer = with(offer, CLIENT_BITS, None);
        }
        offer
    }

    /// Returns the agreed parameters, and the server's answer to a client's offers. It accepts the first offer that it
    /// can meet (§5). `None` declines all offers, and messages are sent uncompressed.
    pub fn answer(&self, offers: &[Extension]) -> Option<(DeflateParams, Extension)> {
        let mut offers = offers.iter().filter(|offer| offer.name() == NAME);
        offers.find_map(|offer| {
            let offer = Element::parse(offer)?;
            let params = self.agree(&offer)?;
            // §7.1.2.1: the answer to an offered limit has a limit too, even if it is the default.
            let limited = offer.server_max_window_bits.is_some();
            Some((params, params.element(limited)))
        })
    }

    fn agree(&self, offer: &Element) -> Option<DeflateParams> {
        // §7.1.2.1: without a value the offer is invalid.
        let server_bits = match offer.server_max_window_bits {
            Some(None) => return None,
            Some(Some(bits)) => bits,
            None => WindowBits::MAX,
        };
        // §7.1.2.2: the client's window is limited only if the client said that it understands that. A value is a hint
        // that the client will use no larger window.
        let client_bits = match offer.client_max_window_bits {
            Some(hint) => hint.unwrap_or_default().min(self.client_max_window_bits),
            None => WindowBits::MAX,
        };
        Some(DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover
                || offer.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || offer.client_no_context_takeover,
            server_max_window_bits: server_bits.min(self.server_max_window_bits),
            client_max_window_bits: client_bits,
            client_is_in_doubt: self.client_no_context_takeover
                && !offer.client_no_context_takeover,
        })
    }

    /// Checks the server's answer to the client's [`offer`](Self::offer). Returns the agreed parameters, or `None` if
    /// the server does not compress.
    ///
    /// # Errors
    ///
    /// [`InvalidAnswer`] if the answer is invalid. The client must fail the connection then (§5, §7).
    pub fn accept(&self, chosen: &[Extension]) -> Result<Option<DeflateParams>, InvalidAnswer> {
        let mut elements = chosen.iter().filter(|element| element.name() == NAME);
        let Some(element) = elements.next() else {
            return Ok(None);
        };
        if elements.next().is_some() {
            return Err(InvalidAnswer("permessage-deflate occurs twice"));
        }
        let answer = Element::parse(element).ok_or(InvalidAnswer("a parameter is invalid"))?;
        // §7: a client rejects an answer with a configuration that it does not support. This client supports every
        // window of the server, kept or not, so its own limits are only requests. Tornado and libwebsockets drop
        // `server_no_context_takeover`, Undertow drops `server_max_window_bits`, Boost.Beast answers 9 bits to an offer
        // of 8.
        let server_bits = match answer.server_max_window_bits {
            Some(None) => return Err(InvalidAnswer("server_max_window_bits has no value")),
            Some(Some(bits)) => bits,
            None => WindowBits::MAX,
        };
        // §7.1.2.2: in an answer this parameter has a value. The client always offers it.
        let client_bits = match answer.client_max_window_bits {
            Some(None) => return Err(InvalidAnswer("client_max_window_bits has no value")),
            Some(Some(bits)) => bits.min(self.client_max_window_bits),
            None => self.client_max_window_bits,
        };
        Ok(Some(DeflateParams {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || answer.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            client_is_in_doubt: false,
        }))
    }
}

impl DeflateParams {
    /// Returns these parameters as an element of an extension list, without those with their default.
    pub fn to_extension(&self) -> Extension {
        self.element(false)
    }

    /// Returns these parameters as an element of the extension list, without those with their default. The server's
    /// window is also included if it is `limited`.
    fn element(&self, limited: bool) -> Extension {
        let mut element = Extension::from_static(NAME);
        if self.server_no_context_takeover {
            element = with(element, SERVER_NO_TAKEOVER, None);
        }
        if self.client_no_context_takeover {
            element = with(element, CLIENT_NO_TAKEOVER, None);
        }
        if limited || self.server_max_window_bits < WindowBits::MAX {
            element = with(element, SERVER_BITS, Some(self.server_max_window_bits));
        }
        if self.client_max_window_bits < WindowBits::MAX {
            element = with(element, CLIENT_BITS, Some(self.client_max_window_bits));
        }
        element
    }
}

/// An error: the server's answer does not fit the client's offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer for permessage-deflate is invalid: {0} (RFC 7692 §7.1)")]
pub struct InvalidAnswer(&'static str);

/// An element of the extension list, of which each parameter is valid by itself.
#[derive(Default)]
struct Element {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<Option<WindowBits>>,
    client_max_window_bits: Option<Option<WindowBits>>,
}

impl Element {
    /// §7: returns `None` if a parameter is not defined, occurs twice, or has an invalid value.
    fn parse(extension: &Extension) -> Option<Self> {
        let mut element = Self::default();
        for (name, value) in extension.params() {
            match name {
                SERVER_NO_TAKEOVER => flag(&mut element.server_no_context_takeover, value)?,
                CLIENT_NO_TAKEOVER => flag(&mut element.client_no_context_takeover, value)?,
                SERVER_BITS => bits(&mut element.server_max_window_bits, value)?,
                CLIENT_BITS => bits(&mut element.client_max_window_bits, value)?,
                _ => return None,
            }
        }
        Some(element)
    }
}

/// Sets a parameter that has no value. Returns `None` if there is a value, or if it was set before.
fn flag(flag: &mut bool, value: Option<&str>) -> Option<()> {
    (value.is_none() && !std::mem::replace(flag, true)).then_some(())
}

fn bits(bits: &mut Option<Option<WindowBits>>, value: Option<&str>) -> Option<()> {
    let value = match value {
        Some(value) => Some(WindowBits::parse(value)?),
        None => None,
    };
    bits.replace(value).is_none().then_some(())
}

fn with(element: Extension, name: &'static str, value: Option<WindowBits>) -> Extension {
    element.with_static_param(name, value.map(|bits| bits.to_string()))
}

const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

#[cfg(test)]
mod tests {
    use super::*;

    fn element(text: &str) -> Extension {
        let mut parts = text.split("; ");
        let name = Extension::new(parts.next().unwrap()).unwrap();
        parts.fold(name, |element, part| match part.split_once('=') {
            Some((name, value)) => element.with_param(name, Some(value)).unwrap(),
            None => element.with_param(part, None).unwrap(),
        })
    }

    fn answer(config: &DeflateConfig, offers: &[&str]) -> Option<String> {
        let offers: Vec<_> = offers.iter().map(|offer| element(offer)).collect();
        config.answer(&offers).map(|(_, answer)| answer.to_string())
    }

    fn takeover() -> DeflateConfig {
        DeflateConfig::default().context_takeover(true)
    }

    #[test]
    fn a_browsers_offer_is_answered() {
        let offer = "permessage-deflate; client_max_window_bits";
        assert_eq!(answer(&takeover(), &[offer]).unwrap(), "permessage-deflate");
        assert_eq!(
            answer(&DeflateConfig::default(), &[offer]).unwrap(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        );
    }

    #[test]
    fn what_the_client_asks_of_the_server_is_answered_with_it() {
        let offer = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
        assert_eq!(answer(&takeover(), &[offer]).unwrap(), offer);
        let smaller = takeover().server_max_window_bits(WindowBits::MIN);
        assert_eq!(
            answer(&smaller, &[offer]).unwrap(),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=8"
        );
        // Python's websockets rejects an answer without the limit that it asked for.
        let default = "permessage-deflate; server_max_window_bits=15";
        assert_eq!(answer(&takeover(), &[default]).unwrap(), default);
    }

    #[test]
    fn the_servers_window_may_be_limited_although_the_client_did_not_ask() {
        let config = takeover().server_max_window_bits(WindowBits::new(10).unwrap());
        assert_eq!(
            answer(&config, &["permessage-deflate"]).unwrap(),
            "permessage-deflate; server_max_window_bits=10"
        );
    }

    #[test]
    fn a_client_offers_each_parameter_that_it_is_configured_for() {
        let bits = |bits| WindowBits::new(bits).unwrap();
        let mut server_starts_anew = takeover();
        server_starts_anew.server_no_context_takeover = true;
        let mut client_starts_anew = takeover();
        client_starts_anew.client_no_context_takeover = true;
        for (config, params) in [
            (takeover(), "client_max_window_bits"),
            (
                server_starts_anew,
                "server_no_context_takeover; client_max_window_bits",
            ),
            (
                client_starts_anew,
                "client_no_context_takeover; client_max_window_bits",
            ),
            (
                takeover().server_max_window_bits(bits(10)),
                "server_max_window_bits=10; client_max_window_bits",
            ),
            (
                takeover().client_max_window_bits(bits(9)),
                "client_max_window_bits=9",
            ),
        ] {
            let offer = format!("permessage-deflate; {params}");
            assert_eq!(config.offer().to_string(), offer);
        }
    }

    #[test]
    fn without_a_limit_in_the_answer_a_client_may_use_a_window_of_32768_bytes() {
        let config = takeover().client_max_window_bits(WindowBits::new(9).unwrap());
        let (agreed, answer) = config.answer(&[element("permessage-deflate")]).unwrap();
        assert_eq!(answer.to_string(), "permessage-deflate");
        assert_eq!(agreed.client_max_window_bits, WindowBits::MAX);
    }

    #[test]
    fn a_parameter_that_is_not_defined_declines_an_offer_and_fails_an_answer() {
        for undefined in ["fast", "mux=1", "server_max_window=9", "max_window_bits=9"] {
            let text = format!("permessage-deflate; {undefined}");
            assert_eq!(answer(&takeover(), &[&text]), None, "{undefined}");
            let accepted = takeover().accept(&[element(&text)]);
            assert!(accepted.is_err(), "{undefined}");
        }
    }

    #[test]
    fn the_clients_window_is_limited_only_where_it_understands_that() {
        let config = takeover().client_max_window_bits(WindowBits::new(9).unwrap());
        assert_eq!(
            answer(&config, &["permessage-deflate"]).unwrap(),
            "permessage-deflate"
        );
        for (hint, agreed) in [("", "9"), ("=8", "8"), ("=15", "9")] {
            let offer = format!("permessage-deflate; client_max_window_bits{hint}");
            assert_eq!(
                answer(&config, &[&offer]).unwrap(),
                format!("permessage-deflate; client_max_window_bits={agreed}")
            );
        }
    }

    #[test]
    fn invalid_offers_are_declined_and_the_next_is_looked_at() {
        for bad in [
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "client_max_window_bits=x",
            "client_max_window_bits=+9",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits=9",
            "fast",
        ] {
            let bad = format!("permessage-deflate; {bad}");
            assert_eq!(answer(&takeover(), &[&bad]), None, "{bad}");
            assert_eq!(
                answer(&takeover(), &["x-other", &bad, "permessage-deflate"]).unwrap(),
                "permessage-deflate",
                "{bad}"
            );
        }
    }

    #[test]
    fn what_one_end_answers_the_other_accepts() {
        let bits = [8, 9, 15].map(|bits| WindowBits::new(bits).unwrap());
        for client in bits {
            for server in bits {
                for kept in [true, false] {
                    let ours = takeover().server_max_window_bits(server);
                    let theirs = DeflateConfig::default()
                        .context_takeover(kept)
                        .server_max_window_bits(client)
                        .client_max_window_bits(client);
                    let (agreed, answer) = ours.answer(&[theirs.offer()]).unwrap();
                    assert_eq!(theirs.accept(&[answer]), Ok(Some(agreed)));
                }
            }
        }
    }
}
