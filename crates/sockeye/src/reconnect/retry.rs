//! The decision whether and when to connect again. The time and a random number are arguments.

use std::time::{Duration, Instant, SystemTime};

use http::header::{DATE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use sockeye_proto::CloseReason;

use crate::client::{ConnectError, ProxyError};
use crate::error::Error;
#[cfg(feature = "tls")]
use crate::tls::TlsError;

/// The rule whether and when to connect again: exponential backoff with full jitter and a cap.
///
/// The pause after the n-th failure in a row is random, between zero and `first_pause` times 2ⁿ⁻¹, at most
/// `longest_pause`. So many clients of one server do not come back at the same time. A connection that lasts for
/// `stable_after` ends the row.
///
/// There is no further attempt after a failure that is not [transient](Interruption::is_transient).
/// [`Reconnecting`](super::Reconnecting) uses this type, and so can a program with a loop of its own.
///
/// ```
/// use std::time::{Duration, Instant, SystemTime};
/// use sockeye::Error;
/// use sockeye::reconnect::{Interruption, Retry};
///
/// let mut retry = Retry::default().longest_pause(Duration::from_secs(10));
/// let (now, date) = (Instant::now(), SystemTime::now());
/// retry.connected(now);
/// let lost = Interruption::Lost(Error::UnexpectedEnd);
/// assert_eq!(retry.after(&lost, now, date, 0.5), Some(Duration::from_millis(250)));
/// assert_eq!(retry.after(&lost, now, date, 0.5), Some(Duration::from_millis(500)));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Retry {
    first_pause: Duration,
    longest_pause: Duration,
    stable_after: Duration,
    limit: u32,
    failures: u32,
    connected_at: Option<Instant>,
}

/// The reason why a [`Reconnecting`](super::Reconnecting) client has no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Interruption {
    /// The peer closed the connection with this reason.
    Closed(CloseReason),
    /// The attempt to connect failed.
    Connect(ConnectError),
    /// The connection failed with this error.
    Lost(Error),
    /// The peer does not speak the subprotocol that the client needs, or broke a rule of it. The client closed the
    /// connection with this reason.
    Subprotocol(CloseReason),
}

impl Default for Retry {
    /// Pauses of at most 0.5 s, 1 s, 2 s and so on up to 20 s, for any number of failures. A connection is stable after
    /// 10 s.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(20),
            stable_after: Duration::from_secs(10),
            limit: u32::MAX,
            failures: 0,
            connected_at: None,
        }
    }
}

impl Retry {
    /// Sets the upper bound of the random pause after the first failure. The default is 500 ms.
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// Sets the longest pause after any failure. The default is 20 s.
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Sets the time after which a connection is stable: the failures before it no longer count. The default is 10 s.
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable_after = time;
        self
    }

    /// Sets the most attempts that follow one another without success, after the one that failed first. By default there
    /// is no limit. With 0 there is no further attempt.
    pub fn limit(mut self, failures: u32) -> Self {
        self.limit = failures;
        self
    }

    /// The number of failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Records that a connection is open.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// Returns the pause before the next attempt; `None` for no further attempt.
    ///
    /// `now` and `date` are the same moment, by the monotonic clock and by the wall clock. `random` is at least 0 and
    /// below 1.
    ///
    /// A `Retry-After` field of the server or the proxy (RFC 9110 §10.2.3) sets the shortest pause. It holds seconds
    /// or a date, and counts for at most five minutes. A date is compared with the `Date` field of the same response,
    /// so a wrong local clock does not matter. Without such a field it is compared with `date`. A date in the past,
    /// and a value of another form, change nothing.
    pub fn after(
        &mut self,
        why: &Interruption,
        now: Instant,
        date: SystemTime,
        random: f64,
    ) -> Option<Duration> {
        let lasted = self.connected_at.take();
        let lasted = lasted.map(|at| now.saturating_duration_since(at));
        if lasted.is_some_and(|lasted| lasted >= self.stable_after) {
            self.failures = 0;
        }
        if !why.is_transient() || self.failures >= self.limit {
            return None;
        }
        // Beyond 2^31 any pause is at its cap.
        let factor = 1_u32 << self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let longest = self.first_pause.saturating_mul(factor);
        let longest = longest.min(self.longest_pause);
        let pause = longest.mul_f64(random.clamp(0.0, 1.0));
        Some(pause.max(asked_pause(why, date)))
    }
}

impl Interruption {
    /// Returns whether another attempt may succeed.
    ///
    /// After a failed attempt this is [`ConnectError::is_transient`]. A lost connection is transient, unless the peer
    /// broke the protocol. A Close is transient if its code [is](sockeye_proto::CloseCode::is_transient).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Closed(reason) => reason.code().is_transient(),
            Self::Connect(error) => error.is_transient(),
            Self::Lost(error) => !matches!(error, Error::Protocol(_) | Error::Handler(_)),
            Self::Subprotocol(_) => false,
        }
    }
}

impl ConnectError {
    /// Returns whether the same attempt may succeed later.
    ///
    /// It may when the network failed, when the server did not answer, and when it answered with 408, 425, 429, 500,
    /// 502, 503 or 504. The same counts for a proxy. A SOCKS proxy's answer is transient if the proxy failed, or did
    /// not reach the server. All other errors are final: invalid options, an untrusted certificate, an invalid
    /// response or any other status.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Connector(_)
            | Self::ConnectTimeout(_)
            | Self::HandshakeTimeout(_)
            | Self::NoResponse => true,
            Self::Http(error) => !error.is_parse(),
            Self::Proxy(error) => is_transient_by_proxy(error),
            Self::Refused(response) => is_transient(response.status()),
            #[cfg(feature = "tls")]
            Self::Tls(TlsError::Io(_)) => true,
            _ => false,
        }
    }
}

/// Whether the same attempt may succeed later after a proxy's error. A proxy reports a server that is down in its own
/// way.
fn is_transient_by_proxy(error: &ProxyError) -> bool {
    match error {
        ProxyError::Connect(_) | ProxyError::NoResponse => true,
        ProxyError::Socks(error) => error.is_transient(),
        ProxyError::Http(error) => !error.is_parse(),
        ProxyError::Refused(response) => is_transient(response.status()),
        #[cfg(feature = "tls")]
        ProxyError::Tls(TlsError::Io(_)) => true,
        _ => false,
    }
}

fn is_transient(status: StatusCode) -> bool {
    [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

/// The pause that the server or the proxy asked for; zero without a request.
fn asked_pause(why: &Interruption, date: SystemTime) -> Duration {
    let response = match why {
        Interruption::Connect(ConnectError::Refused(response)) => response,
        Interruption::Connect(ConnectError::Proxy(ProxyError::Refused(response))) => response,
        _ => return Duration::ZERO,
    };
    let headers = response.headers();
    // RFC 9110 allows one such field. Of several, the longest pause satisfies all.
    let pauses = texts(headers, RETRY_AFTER).filter_map(|text| pause_of(text, headers, date));
    pauses.max().unwrap_or_default().min(LONGEST_ASKED)
}

/// Parses a pause (RFC 9110 §10.2.3): a date in one of three forms, or digits that are seconds.
fn pause_of(text: &str, headers: &HeaderMap, date: SystemTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows exceeds the longest pause anyway.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let sent = texts(headers, DATE).find_map(|text| httpdate::parse_http_date(text).ok());
    until.duration_since(sent.unwrap_or(date)).ok()
}

fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| Some(value.to_str().ok()?.trim()))
}

/// The longest pause that a server can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::io;

    use http::Response;
    use sockeye_proto::CloseCode;

    use super::*;
    use crate::client::SocksError;

    fn lost() -> Interruption {
        Interruption::Lost(Error::UnexpectedEnd)
    }

    fn closed(code: u16) -> Interruption {
        let code = CloseCode::try_from(code).unwrap();
        Interruption::Closed(CloseReason::new(code, "").unwrap())
    }

    fn answer(status: u16, retry_after: &str) -> Box<Response<bytes::Bytes>> {
        let response = Response::builder()
            .status(status)
            .header(RETRY_AFTER, retry_after);
        Box::new(response.body(bytes::Bytes::new()).unwrap())
    }

    fn refused(status: u16, retry_after: &str) -> Interruption {
        Interruption::Connect(ConnectError::Refused(answer(status, retry_after)))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_chance_takes_its_part_of_each() {
        let now = Instant::now();
        let mut retry = Retry::default();
        let longest: Vec<_> = (0..8)
            .map(|_| retry.after(&lost(), now, today(), 1.0).unwrap().as_millis())
            .collect();
        assert_eq!(
            longest,
            [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]
        );
        let mut retry = Retry::default();
        assert_eq!(
            retry.after(&lost(), now, today(), 0.0),
            Some(Duration::ZERO)
        );
        assert_eq!(
            retry.after(&lost(), now, today(), 0.25),
            Some(Duration::from_millis(250))
        );
    }

    #[test]
    fn a_row_of_any_length_overflows_nothing() {
        let mut retry = Retry::default()
            .first_pause(Duration::from_secs(u64::MAX))
            .longest_pause(Duration::from_secs(7));
        for _ in 0..100 {
            let pause = retry.after(&lost(), Instant::now(), today(), 1.0);
            assert_eq!(pause, Some(Duration::from_secs(7)));
        }
        assert_eq!(retry.failures(), 100);
    }

    #[test]
    fn only_a_connection_that_stays_ends_the_row() {
        let start = Instant::now();
        let mut retry = Retry::default().stable_after(Duration::from_secs(10));
        for (lasted, failures) in [(0, 1), (9, 2), (10, 1), (9, 2)] {
            retry.connected(start);
            retry.after(&lost(), start + Duration::from_secs(lasted), today(), 1.0);
            assert_eq!(retry.failures(), failures, "after {lasted} s");
        }
    }

    #[test]
    fn so_many_failures_as_the_limit_says_are_followed_by_an_attempt() {
        let now = Instant::now();
        let mut retry = Retry::default().limit(2);
        assert!(retry.after(&lost(), now, today(), 0.5).is_some());
        assert!(retry.after(&lost(), now, today(), 0.5).is_some());
        assert_eq!(retry.after(&lost(), now, today(), 0.5), None);
        assert_eq!(
            Retry::default().limit(0).after(&lost(), now, today(), 0.5),
            None
        );
    }

    #[test]
    fn codes_that_promise_a_way_back_are_transient_and_all_others_final() {
        let codes = include_str!("../../../pubsub/tests/wire/close-codes.json");
        let codes: serde_json::Value = serde_json::from_str(codes).unwrap();
        let again = codes["again"].as_array().unwrap();
        let sendable = (0..=u16::MAX).filter_map(|code| CloseCode::try_from(code).ok());
        for code in sendable {
            let expected = again.contains(&code.get().into());
            assert_eq!(closed(code.get()).is_transient(), expected, "{code}");
        }
    }

    #[test]
    fn failures_that_the_server_or_the_network_may_get_over_are_transient() {
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(refused(status, "").is_transient(), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404, 426, 501] {
            assert!(!refused(status, "").is_transient(), "{status}");
        }
        let io = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for error in [
            ConnectError::Connect(io()),
            ConnectError::Connector("no token".into()),
            ConnectError::ConnectTimeout(Duration::ZERO),
            ConnectError::HandshakeTimeout(Duration::ZERO),
            ConnectError::NoResponse,
            ConnectError::Proxy(ProxyError::Connect(io())),
            ConnectError::Proxy(ProxyError::NoResponse),
            ConnectError::Proxy(ProxyError::Refused(answer(502, ""))),
            ConnectError::Proxy(ProxyError::Socks(SocksError::Refused(4))),
        ] {
            assert!(error.is_transient(), "{error}");
        }
        for error in [
            ConnectError::Proxy(ProxyError::Credentials),
            ConnectError::Proxy(ProxyError::Head),
            ConnectError::Proxy(ProxyError::Refused(answer(407, ""))),
            ConnectError::Proxy(ProxyError::Socks(SocksError::Unauthorized)),
            ConnectError::Proxy(ProxyError::Socks(SocksError::Refused(2))),
            ConnectError::TlsUnsupported,
            ConnectError::TooManyRedirects(3),
            ConnectError::Method(http::Method::POST),
        ] {
            assert!(!error.is_transient(), "{error}");
        }
    }

    #[test]
    fn the_server_may_ask_for_a_longer_pause_but_not_for_any() {
        let now = Instant::now();
        let pause = |asked| Retry::default().after(&refused(503, asked), now, today(), 0.5);
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("0"), Some(Duration::from_millis(250)));
        assert_eq!(pause("86400"), Some(LONGEST_ASKED));
        let by_proxy = ConnectError::Proxy(ProxyError::Refused(answer(503, "7")));
        let by_proxy = Interruption::Connect(by_proxy);
        let pause_by_proxy = Retry::default().after(&by_proxy, now, today(), 0.5);
        assert_eq!(pause_by_proxy, Some(Duration::from_secs(7)));
        // More than any integer holds is more than the longest pause too.
        assert_eq!(pause("99999999999999999999999"), Some(LONGEST_ASKED));
    }

    #[test]
    fn the_server_may_ask_for_a_pause_until_a_date_in_any_of_the_three_forms_of_http() {
        let asked = |text: &str| asked_pause(&refused(503, text), today());
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(asked(form), Duration::from_secs(37), "{form}");
        }
        assert_eq!(asked("Mon, 06 Nov 1995 08:49:37 GMT"), LONGEST_ASKED);
        assert_eq!(asked("Fri, 31 Dec 9999 23:59:59 GMT"), LONGEST_ASKED);
        // The present, and the past.
        for form in [
            "Sun, 06 Nov 1994 08:49:00 GMT",
            "Sun, 06 Nov 1994 08:48:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Thursday, 01-Jan-70 00:00:00 GMT",
        ] {
            assert_eq!(asked(form), Duration::ZERO, "{form}");
        }
    }

    #[test]
    fn a_date_is_compared_with_that_of_the_answer_where_the_answer_has_one() {
        let dated = |date: &str| {
            let mut answer = answer(503, "Sun, 06 Nov 1994 08:49:37 GMT");
            answer.headers_mut().insert(DATE, date.parse().unwrap());
            let refused = Interruption::Connect(ConnectError::Refused(answer));
            asked_pause(&refused, today())
        };
        // The server's clock is seven seconds ahead of this one.
        let pause = dated("Sun, 06 Nov 1994 08:49:07 GMT");
        assert_eq!(pause, Duration::from_secs(30));
        let pause = dated("Sun, 06 Nov 1994 08:50:00 GMT");
        assert_eq!(pause, Duration::ZERO);
        assert_eq!(dated("yesterday"), Duration::from_secs(37));
    }

    #[test]
    fn of_several_pauses_the_longest_counts_and_one_of_another_form_does_not() {
        let mut answer = answer(429, "soon");
        for text in ["5", "Sun, 06 Nov 1994 08:49:37 GMT", "9"] {
            let text = text.parse().unwrap();
            answer.headers_mut().append(RETRY_AFTER, text);
        }
        let several = Interruption::Connect(ConnectError::Refused(answer));
        assert_eq!(asked_pause(&several, today()), Duration::from_secs(37));
        for unknown in [
            "",
            "-1",
            "+7",
            "7.5",
            "7 s",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Feb 2094 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
        ] {
            let pause = asked_pause(&refused(503, unknown), today());
            assert_eq!(pause, Duration::ZERO, "{unknown}");
        }
    }

    /// Sun, 06 Nov 1994 08:49:00 GMT.
    fn today() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_740)
    }
}
