//! The checks of permessage-deflate: all sets of its four parameters, demanded by either end.

use std::fmt;

use sockeye::Message;
use sockeye::proto::{DeflateConfig, WindowBits};

use crate::error::Result;

use super::check::{Link, Pair, Tried, expect, text};
use super::peer::Role;
use super::puppet::{Event, encode};
use super::tap::{CLOSE, Frame, From};

/// What one end demands of the compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: u8,
    client_max_window_bits: u8,
}

/// The peer demands every set in turn; Sockeye takes what comes.
pub(super) async fn peer_demands(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tally = Tally::default();
    for set in Set::all() {
        let lenient = DeflateConfig::default().context_takeover(true).threshold(0);
        let by = pair.peers();
        match pair.open(lenient, &set.to_string()).await? {
            Ok(link) => tally.judge(pair, link, set, by).await?,
            Err(why) => {
                tally.tried.cannot.insert(why);
            }
        }
    }
    tally.finish(pair.peer.agreements_as(pair.role)[0])
}

/// Sockeye demands every set in turn, of the peer as it is by itself.
pub(super) async fn sockeye_demands(pair: &mut Pair<'_>) -> Result<Tried> {
    let mut tally = Tally::default();
    let expected = pair.peer.agreements_as(pair.role)[1];
    for set in Set::all() {
        let by = pair.sockeye();
        match pair.open(set.config()?, "on").await? {
            Ok(link) => tally.judge(pair, link, set, by).await?,
            Err(why) => {
                tally.tried.cannot.insert(why);
            }
        }
        // A library that does not compress need not be asked again and again.
        if expected == 0 && tally.tried.passed == 0 {
            break;
        }
    }
    tally.finish(expected)
}

#[derive(Default)]
struct Tally {
    tried: Tried,
}

impl Tally {
    async fn judge(&mut self, pair: &mut Pair<'_>, link: Link, set: Set, by: From) -> Result<()> {
        let outcome = self.try_link(pair, link, set, by).await;
        outcome.map_err(|error| {
            format!("with {set}: {}", sockeye::error::ErrorChain::new(&*error)).into()
        })
    }

    async fn try_link(
        &mut self,
        pair: &mut Pair<'_>,
        mut link: Link,
        set: Set,
        by: From,
    ) -> Result<()> {
        let Some(answer) = link.wire.answer() else {
            let declined = match pair.role {
                Role::Client => "the peer declines sets, or does not compress",
                Role::Server => "the peer offers no compression",
            };
            self.tried.cannot.insert(declined.to_owned());
            return pair.finish(link).await;
        };
        let offer = link.wire.offer().unwrap_or_default();
        if by == From::Server && !set.is_open_to(&offer) {
            let bound = "the peer does not let the server choose its window";
            self.tried.cannot.insert(bound.to_owned());
            return pair.finish(link).await;
        }
        if !set.check(&answer, by)? {
            let taken =
                "its server does not do what Sockeye asks of its window; Sockeye takes that";
            self.tried.cannot.insert(taken.to_owned());
        }
        // The same again, which a kept context makes short; and what is longer than any window.
        let long: String = (0..9000_u32).map(|n| format!("{:x} ", n * n)).collect();
        for message in [text(600), text(600), long, text(30)] {
            let event = Event::Text(message.clone());
            let command = format!("text {}", encode(message.as_bytes()));
            pair.puppet.command(&command).await?;
            expect(&link.sockeye.event().await?, &event)?;
            link.sockeye.send(Message::text(message)).await?;
            expect(&pair.puppet.event().await?, &event)?;
        }
        let frames = link.wire.frames();
        let compresses = |from: From| {
            let is_so =
                |frame: &Frame| frame.from == from && frame.opcode < CLOSE && frame.is_compressed;
            frames.iter().any(is_so)
        };
        if !compresses(pair.sockeye()) {
            return Err("Sockeye compressed nothing".into());
        }
        if pair.peer.compresses && !compresses(pair.peers()) {
            return Err("the peer compressed nothing".into());
        }
        pair.finish(link).await?;
        self.tried.passed += 1;
        Ok(())
    }

    fn finish(mut self, expected: usize) -> Result<Tried> {
        if self.tried.passed != expected {
            return Err(format!(
                "{} sets are agreed on, not {expected}: {}",
                self.tried.passed,
                Vec::from_iter(self.tried.cannot).join("; ")
            )
            .into());
        }
        self.tried.agreed = Some(expected);
        Ok(self.tried)
    }
}

impl Set {
    /// All there are, the least demanding first.
    fn all() -> impl Iterator<Item = Self> {
        (0..4 * 8 * 8_u16).map(|number| {
            let bits = |from: u16| 15 - u8::try_from((number >> from) & 7).unwrap_or(7);
            Self {
                server_no_context_takeover: number & 1 != 0,
                client_no_context_takeover: number & 2 != 0,
                server_max_window_bits: bits(2),
                client_max_window_bits: bits(5),
            }
        })
    }

    fn config(self) -> Result<DeflateConfig> {
        let bits = |bits| WindowBits::new(bits).ok_or("no window is so large");
        let mut config = DeflateConfig::default()
            .server_max_window_bits(bits(self.server_max_window_bits)?)
            .client_max_window_bits(bits(self.client_max_window_bits)?)
            .threshold(0);
        config.server_no_context_takeover = self.server_no_context_takeover;
        config.client_no_context_takeover = self.client_no_context_takeover;
        Ok(config)
    }

    /// Whether a server may demand this of who makes that offer: RFC 7692 §7.1.2.2, a client's window is chosen
    /// only for one that says it can have it chosen.
    fn is_open_to(self, offer: &str) -> bool {
        self.client_max_window_bits == 15 || offer.contains("client_max_window_bits")
    }

    /// Whether the answer on the wire gives what was demanded (RFC 7692 §7.1). What a server does not give, the
    /// client can do without. What a client does not give is an error.
    fn check(self, answer: &str, by: From) -> Result<bool> {
        let agreed = Self::parse(answer).ok_or(format!("what is `{answer}`?"))?;
        match by {
            // What a client says of itself is a hint.
            From::Client => Ok(agreed.server_no_context_takeover
                >= self.server_no_context_takeover
                && agreed.server_max_window_bits <= self.server_max_window_bits),
            From::Server if agreed == self => Ok(true),
            From::Server => Err(format!("the answer is `{answer}`").into()),
        }
    }

    fn parse(answer: &str) -> Option<Self> {
        let mut parts = answer.split(';').map(str::trim);
        if parts.next()? != "permessage-deflate" {
            return None;
        }
        let mut set = Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        };
        for part in parts {
            match part.split_once('=').unwrap_or((part, "")) {
                ("server_no_context_takeover", "") => set.server_no_context_takeover = true,
                ("client_no_context_takeover", "") => set.client_no_context_takeover = true,
                ("server_max_window_bits", bits) => {
                    set.server_max_window_bits = bits.parse().ok()?
                }
                ("client_max_window_bits", bits) => {
                    set.client_max_window_bits = bits.parse().ok()?
                }
                _ => return None,
            }
        }
        Some(set)
    }
}

/// As puppets read it.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{},{},{}",
            u8::from(self.server_no_context_takeover),
            u8::from(self.client_no_context_takeover),
            self.server_max_window_bits,
            self.client_max_window_bits
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sets_differ() {
        let words: std::collections::BTreeSet<_> = Set::all().map(|set| set.to_string()).collect();
        assert_eq!(words.len(), 256);
        assert!(words.contains("0,0,8,8") && words.contains("1,1,15,15"));
    }

    #[test]
    fn an_answer_that_ignores_a_demand_is_told_apart() {
        let set = Set::parse("permessage-deflate; server_max_window_bits=9").unwrap();
        let same = "permessage-deflate; server_max_window_bits=9";
        let less = "permessage-deflate; server_max_window_bits=8; server_no_context_takeover";
        for by in [From::Client, From::Server] {
            assert!(set.check(same, by).unwrap());
            assert!(set.check("permessage-bzip2", by).is_err());
        }
        assert!(set.check(less, From::Client).unwrap());
        assert!(set.check(less, From::Server).is_err());
        assert!(!set.check("permessage-deflate", From::Client).unwrap());
        assert!(set.check("permessage-deflate", From::Server).is_err());
    }

    #[test]
    fn a_window_is_chosen_only_for_a_client_that_says_so() {
        let set = |bits| {
            Set::parse(&format!(
                "permessage-deflate; client_max_window_bits={bits}"
            ))
        };
        let (largest, less) = (set(15).unwrap(), set(14).unwrap());
        assert!(largest.is_open_to("permessage-deflate"));
        assert!(!less.is_open_to("permessage-deflate"));
        assert!(less.is_open_to("permessage-deflate; client_max_window_bits"));
    }
}
