//! Cookies: the interface of a jar that the caller provides. The jar implements RFC 6265.

use std::fmt::Debug;

use http::HeaderValue;

/// A jar of cookies, for example that of the crate `cookie_store`. It gives the cookies for a request, and stores those
/// that a response sets.
///
/// The client passes URLs with the scheme `http` or `https`, as RFC 6265 §5.4 defines cookies for these.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use http::HeaderValue;
/// use sockeye::Client;
/// use sockeye::client::CookieJar;
///
/// /// A jar for one server that sets one cookie.
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
/// let client = Client::builder().cookies(Arc::new(Session::default())).build();
/// ```
pub trait CookieJar: Debug + Send + Sync {
    /// Returns the value of the field `Cookie` for a request to `url`; `None` for no field.
    fn cookies(&self, url: &str) -> Option<HeaderValue>;

    /// Stores one `Set-Cookie` value from a response of `url`. Responses of every status count.
    fn store(&self, url: &str, set_cookie: &HeaderValue);
}
