//! RFC 6455 §10.2: the origins that may open a connection.

use http::request::Parts;
use http::{Request, StatusCode};
use sockeye_proto::handshake::{Forbidden, Origin, OriginPolicy, OriginProblem, host_is_loopback};

fn request(host: &str, origins: &[&str]) -> Parts {
    let mut request = Request::get("/chat").header("Host", host);
    for origin in origins {
        request = request.header("Origin", *origin);
    }
    request.body(()).unwrap().into_parts().0
}

fn same_host(origin: &str, host: &str, secure: bool) -> bool {
    OriginPolicy::SameHost
        .check(&request(host, &[origin]), secure)
        .is_ok()
}

fn list(origins: &[&str]) -> OriginPolicy {
    OriginPolicy::List(origins.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn same_host_is_the_default() {
    assert_eq!(OriginPolicy::default(), OriginPolicy::SameHost);
}

#[test]
fn an_absent_origin_is_allowed() {
    for policy in [OriginPolicy::SameHost, OriginPolicy::Any, list(&[])] {
        assert_eq!(policy.check(&request("h", &[]), false), Ok(()));
    }
}

#[test]
fn a_page_of_the_same_host_and_port_is_allowed_whatever_the_case() {
    for (origin, host) in [
        ("http://h.example", "h.example"),
        ("http://h.example", "H.Example:80"),
        ("http://h.example:80", "h.example"),
        ("HTTP://H.example:8080", "h.example:8080"),
        ("http://[0:0::1]:8080", "[::1]:8080"),
        ("https://h.example:8443", "h.example:8443"),
    ] {
        assert!(same_host(origin, host, false), "{origin} {host}");
    }
    assert!(same_host("https://h.example", "h.example", true));
    assert!(same_host("https://h.example", "h.example:443", true));
}

#[test]
fn a_page_of_another_host_or_port_is_refused() {
    for (origin, host) in [
        ("http://evil.example", "h.example"),
        ("http://h.example.evil.example", "h.example"),
        ("http://evil.h.example", "h.example"),
        ("http://h.example:81", "h.example"),
        ("http://h.example", "h.example:81"),
        ("http://h.example:8080", "h.example:8081"),
        ("https://h.example", "h.example:80"),
        ("http://127.0.0.1", "localhost"),
    ] {
        assert!(!same_host(origin, host, false), "{origin} {host}");
    }
}

#[test]
fn a_page_without_tls_is_refused_by_a_server_with_tls() {
    assert!(!same_host("http://h.example", "h.example", true));
}

#[test]
fn an_https_page_is_allowed_behind_a_proxy_that_ends_tls() {
    assert!(same_host("https://h.example", "h.example", false));
    assert!(!same_host("https://h.example:444", "h.example", false));
}

#[test]
fn null_several_origins_and_what_is_none_are_refused() {
    for policy in [OriginPolicy::SameHost, list(&["http://h"])] {
        for origins in [
            &["null"][..],
            &[""],
            &["h"],
            &["http://"],
            &["http://h/"],
            &["http://h http://h"],
            &["http://user@h"],
            &["://h"],
            &["1http://h"],
            &["http://h", "http://h"],
        ] {
            let refused = policy.check(&request("h", origins), false);
            assert_eq!(refused, Err(Forbidden::Origin), "{origins:?}");
        }
    }
}

#[test]
fn a_page_of_no_web_server_is_on_no_host() {
    assert!(!same_host("app://h:8080", "h:8080", false));
}

#[test]
fn a_list_allows_what_it_lists_and_nothing_else() {
    let policy = list(&["https://a.example", "http://B.example:80", "app://xyz"]);
    let allows = |origin: &str| policy.check(&request("h", &[origin]), false).is_ok();
    assert!(allows("https://a.example"));
    assert!(allows("https://A.example:443"));
    assert!(allows("http://b.example"));
    assert!(allows("app://xyz"));
    assert!(!allows("http://a.example"));
    assert!(!allows("https://b.example"));
    assert!(!allows("https://a.example:444"));
    assert!(!allows("http://h"));
}

#[test]
fn a_list_beside_the_same_host_allows_both_and_nothing_else() {
    let dev = "http://localhost:3000".parse().unwrap();
    let policy = OriginPolicy::SameHostOr(vec![dev]);
    for (origin, expected) in [
        ("http://h.example", Ok(())),
        ("http://localhost:3000", Ok(())),
        ("http://localhost:3001", Err(Forbidden::Origin)),
        ("null", Err(Forbidden::Origin)),
    ] {
        let checked = policy.check(&request("h.example", &[origin]), false);
        assert_eq!(checked, expected, "{origin}");
    }
}

#[test]
fn any_allows_whatever_comes() {
    for origin in ["https://evil.example", "null", "?"] {
        let request = request("h", &[origin]);
        assert_eq!(OriginPolicy::Any.check(&request, true), Ok(()));
    }
}

#[test]
fn an_absolute_target_is_what_the_origin_is_compared_with() {
    let mut absolute = request("other.example", &["http://h.example"]);
    absolute.uri = "ws://h.example/chat".parse().unwrap();
    assert_eq!(OriginPolicy::SameHost.check(&absolute, false), Ok(()));
}

#[test]
fn a_request_without_host_has_no_same_host() {
    let mut request = request("h", &["http://h"]);
    request.headers.remove("host");
    let refused = OriginPolicy::SameHost.check(&request, false);
    assert_eq!(refused, Err(Forbidden::Origin));
}

#[test]
fn a_refused_origin_or_host_is_answered_with_403_and_a_reason() {
    for (error, section) in [
        (Forbidden::Origin, "RFC 6455 §10.2"),
        (Forbidden::Host, "RFC 6455 §4.2.2"),
    ] {
        assert_eq!(error.section(), section);
        let response = error.to_response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.body(), &format!("{error}\n"));
        assert_eq!(response.headers()["connection"], "close");
    }
}

#[test]
fn text_that_no_browser_sends_as_an_origin_cannot_be_listed_and_the_error_says_why() {
    for (problem, texts) in [
        (
            OriginProblem::Host,
            &[
                "https://.example.com",
                "https://a..example.com",
                "https://.",
                "https://a.example,b.example",
                "https://a.example, https://b.example",
                "https://a.example;b.example",
                "https://ex%61mple.com",
                "http://127.1",
                "http://127.0.0.1.",
                "http://127.0.0.01",
                "http://0x7f.0.0.1",
                "http://127.0.0.0x1",
                "http://2130706433",
                "http://256.0.0.1",
            ][..],
        ),
        (OriginProblem::International, &["https://bücher.example"]),
        (
            OriginProblem::Null,
            &["null", "NULL", "file://", "file://h"],
        ),
        (
            OriginProblem::Path,
            &[
                "https://h.example/",
                "https://h.example:444/",
                "https://h.example/chat",
                "https://h.example?",
                "https://h.example#top",
                "https://h.example\\",
            ],
        ),
        (OriginProblem::Port, &["http://localhost:0"]),
        (
            OriginProblem::Scheme,
            &[
                "",
                "h.example",
                "localhost:3000",
                "//h.example",
                "mailto:x@h.example",
                "ws://h.example",
                "WSS://h.example",
            ],
        ),
        (
            OriginProblem::Syntax,
            &[
                "://h.example",
                "https://",
                "https://:443",
                "https://h.example:65536",
                "https://h.example:x",
                " https://h.example",
                "https://h.example ",
                "https://[::1",
                "https://[fe80::1%25eth0]",
            ],
        ),
        (
            OriginProblem::UserInfo,
            &["https://user:secret@h.example", "https://@h.example/"],
        ),
        (
            OriginProblem::Wildcard,
            &[
                "*",
                "*://h.example",
                "https://*",
                "https://*.example.com",
                "https://www.*.com",
                "https://h.example:*",
                "chrome-extension://*",
            ],
        ),
    ] {
        for text in texts {
            let error = text.parse::<Origin>().unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
            let said = error.to_string();
            assert!(said.ends_with(&problem.to_string()), "{said}");
            assert!(!format!("{said} {error:?}").contains("secret"), "{said}");
        }
    }
}

#[test]
fn text_that_a_browser_sends_as_an_origin_can_be_listed_and_is_found() {
    for (text, sent) in [
        ("https://h.example", "https://h.example"),
        ("HTTPS://H.Example", "https://h.example"),
        ("https://h.example:443", "https://h.example"),
        ("https://h.example:0443", "https://h.example"),
        ("http://h.example:80", "http://h.example"),
        ("https://h.example:80", "https://h.example:80"),
        ("https://h.example.", "https://h.example."),
        ("https://my_host-1:8443", "https://my_host-1:8443"),
        (
            "https://xn--bcher-kva.example",
            "https://xn--bcher-kva.example",
        ),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("http://[::ffff:1.2.3.4]", "http://[::ffff:102:304]"),
        ("https://1.example", "https://1.example"),
        ("https://0xyz", "https://0xyz"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ] {
        let list = OriginPolicy::List(vec![text.parse().unwrap()]);
        let request = request("other.example", &[sent]);
        assert_eq!(list.check(&request, true), Ok(()), "{text}");
    }
    // Browsers take the two for different origins.
    let list = OriginPolicy::List(vec!["https://h.example".parse().unwrap()]);
    let with_dot = request("other.example", &["https://h.example."]);
    assert_eq!(list.check(&with_dot, true), Err(Forbidden::Origin));
}

#[test]
fn loopback_names_are_those_that_dns_cannot_rebind() {
    for host in [
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "chat.localhost",
        "127.0.0.1",
        "127.255.0.3:80",
        "[::1]",
        "[::1]:8080",
        "[::ffff:127.0.0.1]",
    ] {
        assert!(host_is_loopback(host), "{host}");
    }
    for host in [
        "",
        "example.com",
        "localhost.example.com",
        "notlocalhost",
        "127.0.0.1.example.com",
        "128.0.0.1",
        "0.0.0.0",
        "127.1",
        "[::]",
        "::1",
        "[::ffff:10.0.0.1]",
        "localhost:99999",
        "user@localhost",
    ] {
        assert!(!host_is_loopback(host), "{host}");
    }
}
