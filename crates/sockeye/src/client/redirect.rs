//! Redirects (RFC 9110 section 15.4): the target of a redirect, and the header fields that a client sends there.

use http::header::{ACCEPT_LANGUAGE, HeaderName, LOCATION, ORIGIN, USER_AGENT};
use http::{Response, StatusCode};

use super::error::{ConnectError, ConnectErrorForLog};
use super::observer::Observer;
use super::target::Target;

/// The number of redirects that a client still follows for one connection.
pub(crate) struct Redirects<'c> {
    limit: u32,
    left: u32,
    observer: &'c Observer,
}

impl<'c> Redirects<'c> {
    pub(crate) fn new(limit: u32, observer: &'c Observer) -> Self {
        Self {
            limit,
            left: limit,
            observer,
        }
    }

    /// Returns the next target after an attempt failed with `error`.
    ///
    /// # Errors
    ///
    /// `error` itself when it is no redirect; else the reason why the client does not follow it.
    pub(crate) fn follow(
        &mut self,
        from: &Target,
        error: ConnectError,
    ) -> Result<Target, ConnectError> {
        match error.status() {
            Some(status) => self.observer.refused(from.host(), status),
            None => self
                .observer
                .failed(from.host(), &ConnectErrorForLog(&error)),
        }
        let response = match error {
            ConnectError::Refused(response) if self.limit > 0 => response,
            error => return Err(error),
        };
        let Some(next) = follow(from, &response)? else {
            return Err(ConnectError::Refused(response));
        };
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(ConnectError::TooManyRedirects(self.limit))?;
        self.observer.redirected(next.host(), next.port());
        Ok(next)
    }
}

/// The target of a redirect; `None` when the answer is no redirect, or its target is not a WebSocket URL.
fn follow<B>(from: &Target, answer: &Response<B>) -> Result<Option<Target>, ConnectError> {
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&answer.status()) {
        return Ok(None);
    }
    let location = answer.headers().get(LOCATION);
    let Some(location) = location.and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Ok(mut url) = from.url.join(location) else {
        return Ok(None);
    };
    // RFC 9110 §10.2.2: a fragment is for the program that shows the resource.
    url.set_fragment(None);
    let Ok(mut target) = Target::parse_any_scheme(url.as_str()) else {
        return Ok(None);
    };
    if from.uri.is_secure() && !target.uri.is_secure() {
        return Err(ConnectError::InsecureRedirect(target.uri.to_string()));
    }
    target.headers.clone_from(&from.headers);
    // A target stays foreign when a further redirect leads back: a foreign server may have chosen that redirect.
    target.is_foreign = from.is_foreign || target.origin() != from.origin();
    Ok(Some(target))
}

/// Whether the client sends a field of the caller to another origin too. All other fields may hold secrets.
pub(super) fn crosses_origins(name: &HeaderName) -> bool {
    [ACCEPT_LANGUAGE, ORIGIN, USER_AGENT].contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(from: &str, status: u16, location: &str) -> Result<Option<Target>, ConnectError> {
        let answer = Response::builder()
            .status(status)
            .header(LOCATION, location)
            .body(())
            .unwrap();
        follow(&Target::parse(from).unwrap(), &answer)
    }

    #[test]
    fn a_location_is_resolved_and_a_scheme_of_http_stands_for_one_of_websockets() {
        for (location, url, is_foreign) in [
            ("/b?c", "wss://host/b?c", false),
            ("c#part", "wss://host/a/c", false),
            ("https://host:443/", "wss://host/", false),
            ("wss://host:444/", "wss://host:444/", true),
            ("//other/x", "wss://other/x", true),
        ] {
            for status in [301, 302, 303, 307, 308] {
                let target = followed("wss://host/a/b", status, location);
                let target = target.unwrap().unwrap();
                assert_eq!(target.uri.to_string(), url);
                assert_eq!(target.is_foreign, is_foreign, "{location}");
            }
        }
    }

    #[test]
    fn other_statuses_and_other_schemes_are_no_redirects() {
        for (status, location) in [
            (300, "/b"),
            (304, "/b"),
            (403, "/b"),
            (301, "ftp://host/"),
            (301, "mailto:x@host"),
            (301, "ws://"),
        ] {
            let target = followed("ws://host/", status, location);
            assert!(target.unwrap().is_none(), "{status} {location}");
        }
    }

    #[test]
    fn encryption_is_not_given_up() {
        for location in ["ws://host/", "http://host/"] {
            let refused = followed("wss://host/", 301, location);
            assert!(matches!(refused, Err(ConnectError::InsecureRedirect(_))));
        }
        assert!(
            followed("ws://host/", 301, "wss://host/")
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_way_back_to_the_first_origin_is_foreign_still() {
        let there = followed("ws://one/", 302, "ws://two/").unwrap().unwrap();
        let answer = Response::builder()
            .status(302)
            .header(LOCATION, "ws://one/");
        let back = follow(&there, &answer.body(()).unwrap()).unwrap().unwrap();
        assert!(back.is_foreign);
    }
}
