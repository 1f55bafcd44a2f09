//! The web pages, which are part of the program file, and `/time`, which the comparison page polls. This module does not
//! know the chat.

use std::future::{Ready, ready};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::time::rfc3339;

/// Returns the service for requests that are not WebSocket handshakes. With `is_shared` other nodes share the chat, and the
/// pages of the drawboard and the game say that they are on this node only.
pub(crate) fn service(
    is_shared: bool,
) -> impl Fn(Request<Bytes>) -> Ready<Response<Bytes>> + Send + Sync + 'static {
    move |request| ready(respond(&request, is_shared))
}

fn respond(request: &Request<Bytes>, is_shared: bool) -> Response<Bytes> {
    let path = request.uri().path();
    if path == "/time" && request.method() == Method::GET {
        return time(SystemTime::now());
    }
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        return if is_endpoint(path) {
            upgrade_required()
        } else {
            text(StatusCode::NOT_FOUND, "no page at this path\n")
        };
    };
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "expected the method GET or HEAD\n",
        );
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    file.response(request, is_shared)
}

/// A file of a page.
struct File {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

impl File {
    fn response(&self, request: &Request<Bytes>, is_shared: bool) -> Response<Bytes> {
        let content = match self.path {
            "/drawboard" | "/snake" if is_shared => {
                self.content.replacen(TITLE_END, NOTE, 1).into()
            }
            _ => Bytes::from_static(self.content.as_bytes()),
        };
        let tag = tag(&content);
        let known = request.headers().get_all(IF_NONE_MATCH).iter();
        let is_known = known
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|known| [tag.as_str(), "*"].contains(&known.trim().trim_start_matches("W/")));
        let mut response = Response::new(Bytes::new());
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = content;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        // Browsers may keep the page, but check each time: the next version of the program has another page.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // The URL of the page names a room and a person. Other sites do not get it.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// Returns the entity tag. It changes only with the content.
fn tag(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// The end of a page's title, and the note behind it that the page is of this node only.
const TITLE_END: &str = "</h1>";
const NOTE: &str = "</h1>\n  <span class=\"pill\">on this node only</span>";

const FILES: [File; 14] = [
    File {
        path: "/",
        kind: "text/html; charset=utf-8",
        content: include_str!("chat.html"),
    },
    File {
        path: "/base.css",
        kind: "text/css; charset=utf-8",
        content: include_str!("base.css"),
    },
    File {
        path: "/chat.css",
        kind: "text/css; charset=utf-8",
        content: include_str!("chat.css"),
    },
    File {
        path: "/chat.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("chat.js"),
    },
    File {
        path: "/icon.svg",
        kind: "image/svg+xml",
        content: include_str!("icon.svg"),
    },
    File {
        path: "/sockeye.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("../../../../clients/js/sockeye.js"),
    },
    File {
        path: "/drawboard",
        kind: "text/html; charset=utf-8",
        content: include_str!("drawboard.html"),
    },
    File {
        path: "/drawboard.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("drawboard.js"),
    },
    File {
        path: "/play.css",
        kind: "text/css; charset=utf-8",
        content: include_str!("play.css"),
    },
    File {
        path: "/play.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("play.js"),
    },
    File {
        path: "/push-or-poll",
        kind: "text/html; charset=utf-8",
        content: include_str!("compare.html"),
    },
    File {
        path: "/compare.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("compare.js"),
    },
    File {
        path: "/snake",
        kind: "text/html; charset=utf-8",
        content: include_str!("snake.html"),
    },
    File {
        path: "/snake.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("snake.js"),
    },
];

/// The content security policy: a page loads only files of this server, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn is_endpoint(path: &str) -> bool {
    let is_room = |room: &str| !room.is_empty() && !room.contains('/');
    matches!(path, "/echo" | "/push" | "/topics")
        || path.strip_prefix("/chat/").is_some_and(is_room)
}

/// Returns the time in the form that `/push` sends.
fn time(now: SystemTime) -> Response<Bytes> {
    let mut response = text(StatusCode::OK, "");
    *response.body_mut() = rfc3339(now).into();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns 426. RFC 9110 §15.5.22: the response names the protocol to upgrade to.
fn upgrade_required() -> Response<Bytes> {
    let mut response = text(
        StatusCode::UPGRADE_REQUIRED,
        "this is a WebSocket endpoint: connect with ws://\n",
    );
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    let version = HeaderValue::from_static("13");
    headers.insert(http::header::SEC_WEBSOCKET_VERSION, version);
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
