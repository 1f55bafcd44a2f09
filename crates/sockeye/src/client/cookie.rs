//! Cookies: what is asked of the jar that a caller brings. RFC 6265 is the jar's to know.

use std::fmt::Debug;

use http::HeaderValue;

/// A jar of cookies, as a crate like `cookie_store` has one: which are sent to a server, and what its
/// answers set.
///
/// URLs are given with the scheme `http` or `https`, which is how cookies know them (RFC 6265 §5.4).
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use http::HeaderValue;
/// use sockeye::{Client, CookieJar};
///
/// /// Of one server, which sets one cookie.
/// #[derive(Debug, Default)]
/// struct Session(Mutex<Option<HeaderValue>>);
///
/// impl CookieJar for Session {
///     fn cookies(&self, _url: &str) -> Option<HeaderValue> {
///         self.0.lock().ok()?.clone()
///     }
///
///     fn store(&self, _url: &str, set_cookie: &HeaderValue) {
///         let pair = set_cookie.as_bytes().split(|byte| *byte == b';').next();
///         if let Ok(mut jar) = self.0.lock() {
///             *jar = pair.and_then(|pair| HeaderValue::from_bytes(pair).ok());
///         }
///     }
/// }
///
/// let client = Client::builder().cookies(Arc::new(Session::default()));
/// ```
pub trait CookieJar: Debug + Send + Sync {
    /// The value of the field `Cookie` for a request to `url`; `None` to send none.
    fn cookies(&self, url: &str) -> Option<HeaderValue>;

    /// Takes one value of `Set-Cookie` from an answer of `url`, whatever its status is.
    fn store(&self, url: &str, set_cookie: &HeaderValue);
}
