//! Paths and deployment, from the request's line to the endpoint: the cases of the Jakarta TCK and of Tomcat, by
//! their names there. Single templates and the specification's examples are tested with the router.
#![cfg(feature = "macros")]
#![allow(
    clippy::too_many_arguments,
    reason = "a case of the TCK has eleven parameters"
)]

use crate::support::label::label;
use crate::support::{Log, Raw, TEXT, log, request, serve};
use sockeye::server::{BindError, ServerBuilder};
use sockeye::{CloseReason, Error, HandlerResult, Server, server_endpoint};

/// Returns the first message of the endpoint at `target`, or the status of the refusal.
async fn answers(addr: std::net::SocketAddr, target: &str) -> String {
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(&request(addr, target, "")).await;
    match answer.status {
        101 => peer.recv_text().await,
        refused => refused.to_string(),
    }
}

/// TCK urimatching, 15 cases: all 14 endpoints are deployed together, in this order and in the other.
#[tokio::test]
async fn tck_urimatching() {
    const TEMPLATES: [&str; 14] = [
        "/a",
        "/{a}",
        "/c/d",
        "/c/{d}",
        "/{c}/d",
        "/{c}/{d}",
        "/a/c/d",
        "/a/c/{d}",
        "/a/{c}/d",
        "/a/{c}/{d}",
        "/{a}/c/d",
        "/{a}/c/{d}",
        "/{a}/{c}/d",
        "/{a}/{c}/{d}",
    ];
    let deploy = ServerBuilder::endpoint;
    let forwards = TEMPLATES
        .into_iter()
        .map(label)
        .fold(Server::builder(), deploy);
    let backwards = TEMPLATES.into_iter().rev().map(label);
    let backwards = backwards.fold(Server::builder(), deploy);
    for addr in [serve(forwards).await, serve(backwards).await] {
        for (path, expected) in [
            ("/a", "/a"),
            ("/c", "/{a} a=c"),
            ("/c/d", "/c/d"),
            ("/c/one", "/c/{d} d=one"),
            ("/one/d", "/{c}/d c=one"),
            ("/one/two", "/{c}/{d} c=one d=two"),
            ("/a/c/d", "/a/c/d"),
            ("/a/c/three", "/a/c/{d} d=three"),
            ("/a/two/d", "/a/{c}/d c=two"),
            ("/a/one/two", "/a/{c}/{d} c=one d=two"),
            ("/two/c/d", "/{a}/c/d a=two"),
            ("/one/c/two", "/{a}/c/{d} a=one d=two"),
            ("/one/two/d", "/{a}/{c}/d a=one c=two"),
            ("/one/two/three", "/{a}/{c}/{d} a=one c=two d=three"),
            ("/a/c/d/e", "404"),
        ] {
            assert_eq!(answers(addr, path).await, expected, "{path}");
        }
    }
}

/// TCK handshakerequest: a variable's value may look like a field, and a query keeps what stands twice.
#[tokio::test]
async fn tck_handshakerequest_path_and_query() {
    let builder = Server::builder().endpoint(label("/TCKTestServerPathParam/{param1}/{param2}"));
    let addr = serve(builder).await;
    assert_eq!(
        answers(addr, "/TCKTestServerPathParam/test1/test2=xyz").await,
        "/TCKTestServerPathParam/{param1}/{param2} param1=test1 param2=test2=xyz"
    );
    assert_eq!(
        answers(
            addr,
            "/TCKTestServerPathParam/a/b?first=x&second=a&second=b"
        )
        .await,
        "/TCKTestServerPathParam/{param1}/{param2} param1=a param2=b ?first=x&second=a&second=b"
    );
}

/// Fails each message, with `Err` or in making an argument, and says in each callback what its parameters are.
macro_rules! told_in_every_callback {
    ($endpoint:ident, $path:literal, $($name:ident: $type:ty),+) => {
        struct $endpoint(Log);

        #[server_endpoint($path)]
        impl $endpoint {
            #[on_open]
            fn open(&mut self, $(#[path] $name: $type),+) {
                self.0.push(format!("open {:?}", ($($name,)+)));
            }

            #[on_message]
            fn text(&mut self, _: &str, $(#[path] $name: $type),+) -> HandlerResult {
                self.0.push(format!("message {:?}", ($($name,)+)));
                Err("failed".into())
            }

            #[on_error]
            fn error(&mut self, _: &Error, $(#[path] $name: $type),+) {
                self.0.push(format!("error {:?}", ($($name,)+)));
            }

            #[on_close]
            fn close(&mut self, _: CloseReason, $(#[path] $name: $type),+) {
                self.0.push(format!("close {:?}", ($($name,)+)));
            }
        }
    };
}

told_in_every_callback!(
    Strings, "/{p1}/{p2}/{p3}/{p4}/{p5}/{p6}/{p7}/{p8}/{p9}/{p10}/{p11}",
    p1: &str, p2: &str, p3: String, p4: &str, p5: &str, p6: &str, p7: &str, p8: &str, p9: &str,
    p10: &str, p11: String
);
told_in_every_callback!(Different, "/different/{flag}/{letter}", flag: bool, letter: char);
told_in_every_callback!(Full, "/full/{double}/{float}", double: f64, float: f32);
told_in_every_callback!(Single, "/{long}", long: i64);

/// TCK pathparam, 25 cases: five kinds of value, the same in each callback.
#[tokio::test]
async fn tck_pathparam() {
    let (log, mut events) = log();
    let [one, two, three, four] = [(); 4].map(|()| log.clone());
    let builder = Server::builder()
        .endpoint(Strings::endpoint(move |_| Strings(one.clone())))
        .endpoint(Different::endpoint(move |_| Different(two.clone())))
        .endpoint(Full::endpoint(move |_| Full(three.clone())))
        .endpoint(Single::endpoint(move |_| Single(four.clone())));
    let addr = serve(builder).await;
    for (path, values) in [
        (
            "/param1/param2/param3/param4/param5/param6/param7/param8/param9/param10/param11",
            r#"("param1", "param2", "param3", "param4", "param5", "param6", "param7", "param8", "param9", "param10", "param11")"#,
        ),
        ("/different/true/0", "(true, '0')"),
        ("/full/12.34/56.78", "(12.34, 56.78)"),
        ("/1234567890", "(1234567890,)"),
    ] {
        let mut peer = Raw::open(addr, path).await;
        peer.send(TEXT, b"hi").await;
        peer.close().await;
        for callback in ["open", "message", "error", "close"] {
            assert_eq!(events.next().await, format!("{callback} {values}"));
        }
    }
}

/// TCK negdep, paths; Tomcat TestWsServerContainer, duplicates: a fault of one endpoint keeps all from being deployed.
#[tokio::test]
async fn tck_negdep_paths_and_tomcat_duplicates() {
    for (faulty, rival) in [
        ("", None),
        ("/path", Some("/path")),
        ("/a/b/c", Some("/a/b/c")),
        ("/a/b/{var}", Some("/a/b/{var}")),
        ("/a/b/{var1}", Some("/a/b/{var2}")),
    ] {
        // A valid one is deployed before it, and after.
        for valid_first in [true, false] {
            let mut builder = Server::builder();
            if valid_first {
                builder = builder.endpoint(label("/echo"));
            }
            builder = builder.endpoint(label(faulty));
            if let Some(rival) = rival {
                builder = builder.endpoint(label(rival));
            }
            if !valid_first {
                builder = builder.endpoint(label("/echo"));
            }
            // Nothing is bound, so nothing answers.
            let bound = builder.bind("127.0.0.1:0").await;
            assert!(matches!(bound, Err(BindError::Deployment(_))), "{faulty:?}");
        }
    }
}

/// Tomcat TestWsServerContainer: the same class twice. The specification would pass over the second; as with
/// Tomcat it is refused, as the second must be a mistake.
#[tokio::test]
async fn tomcat_the_same_annotated_endpoint_twice_is_refused() {
    #[derive(Default)]
    struct Twice;

    #[server_endpoint("/twice")]
    impl Twice {
        #[on_message]
        fn text(&mut self, _: &str) {}
    }

    let builder = Server::builder()
        .default_endpoint::<Twice>()
        .default_endpoint::<Twice>();
    let error = builder.bind("127.0.0.1:0").await.unwrap_err();
    assert!(error.to_string().contains("/twice"), "{error}");
}
