//! The decisions of an application about an opening handshake: which clients are accepted, under which principal, and
//! what is agreed on.
#![cfg(feature = "macros")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Events, Log, Raw, TEXT, log, masked, request, serve, soon};
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use sockeye::endpoint::{
    Configurator, EndpointConfig, Handshake, HandshakeResponse, Properties, Refusal,
};
use sockeye::proto::DeflateConfig;
use sockeye::proto::handshake::OriginPolicy;
use sockeye::transport::Stream;
use sockeye::{
    CloseCode, CloseReason, Endpoint, HandlerResult, Server, Session, endpoint, server_endpoint,
};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// A user as an application knows it.
#[derive(Debug, PartialEq)]
struct Role(&'static str);

/// An endpoint that logs its events.
struct Told(Log);

impl Endpoint for Told {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        self.0.push(format!("open {}", told(session)));
        Ok(())
    }

    async fn on_close(&mut self, session: &Session, _: CloseReason) -> HandlerResult {
        self.0.push(format!("close {}", told(session)));
        Ok(())
    }
}

fn told(session: &Session) -> String {
    let role = session.properties().get::<Role>();
    format!(
        "{} {} {}",
        session.principal().unwrap_or("anonymous"),
        role.map_or("none", |role| role.0),
        session.subprotocol().unwrap_or("-")
    )
}

/// An endpoint that says whenever something of it is called.
fn told_at(path: &str, log: &Log) -> EndpointConfig {
    let log = log.clone();
    endpoint(path, move |handshake| {
        log.push(format!(
            "factory {}",
            handshake.principal().unwrap_or("anonymous")
        ));
        Told(log.clone())
    })
}

/// An endpoint without callbacks.
struct Silent;

impl Endpoint for Silent {}

/// An endpoint whose handshakes `decide` decides of.
fn decided<F>(path: &str, decide: F) -> EndpointConfig
where
    F: Fn(&Handshake, &mut HandshakeResponse) -> Result<(), Refusal> + Send + Sync + 'static,
{
    struct Decide<F>(F);

    impl<F> Configurator for Decide<F>
    where
        F: Fn(&Handshake, &mut HandshakeResponse) -> Result<(), Refusal> + Send + Sync + 'static,
    {
        async fn modify_handshake(
            &self,
            request: &Handshake,
            response: &mut HandshakeResponse,
        ) -> Result<(), Refusal> {
            (self.0)(request, response)
        }
    }

    endpoint(path, |_| Silent).configurator(Decide(decide))
}

struct InOrder(Log);

impl Configurator for InOrder {
    fn check_origin(&self, request: &Handshake, allowed: bool) -> bool {
        self.0.push(format!(
            "origin {} {allowed}",
            request.headers().contains_key("origin")
        ));
        allowed
    }

    fn negotiate_subprotocol<'o>(
        &self,
        _: &Handshake,
        offered: &[&'o str],
        spoken: &[String],
    ) -> Option<&'o str> {
        self.0
            .push(format!("subprotocol {offered:?} of {spoken:?}"));
        // The last one, where the default takes the first.
        offered.last().copied()
    }

    async fn modify_handshake(
        &self,
        request: &Handshake,
        response: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        // The subprotocol that was agreed on is in the response already.
        let agreed = response.headers()["sec-websocket-protocol"].to_str()?;
        self.0.push(format!(
            "modify {} {agreed} {:?}",
            request.uri(),
            request.path_parameter("room")
        ));
        response.set_principal("ann");
        response.properties().insert(Role("admin"));
        Ok(())
    }
}

/// `endpoints.md`, configurator order; `cases.md` d, Session and handshake.
#[tokio::test]
async fn the_hooks_come_in_the_order_of_the_specification_and_what_they_say_is_the_sessions() {
    let (log, mut events) = log();
    let told = told_at("/{room}", &log)
        .subprotocols(["a", "b"])
        .configurator(InOrder(log));
    let addr = serve(Server::builder().endpoint(told)).await;
    let mut peer = Raw::connect(addr).await;
    let fields = format!("Origin: http://{addr}\r\nSec-WebSocket-Protocol: a, b\r\n");
    let answer = peer.request(&request(addr, "/lobby?q", &fields)).await;
    assert_eq!(answer.field("sec-websocket-protocol"), Some("b"));
    peer.close().await;
    for expected in [
        "origin true true",
        "subprotocol [\"a\", \"b\"] of [\"a\", \"b\"]",
        "modify /lobby?q b Some(\"lobby\")",
        "factory ann",
        "open ann admin b",
        "close ann admin b",
    ] {
        assert_eq!(events.next().await, expected);
    }
}

/// A proxy agrees on what the server behind it chooses: it has to wait for that.
#[tokio::test]
async fn the_hook_chooses_the_subprotocol_or_none_among_those_that_were_offered() {
    let (log, mut events) = log();
    struct Chooses;

    impl Configurator for Chooses {
        async fn modify_handshake(
            &self,
            request: &Handshake,
            response: &mut HandshakeResponse,
        ) -> Result<(), Refusal> {
            assert!(request.offered_subprotocols().eq(["a", "b", "c"]));
            assert_eq!(response.subprotocol(), Some("b"));
            tokio::task::yield_now().await;
            match request.query() {
                Some("keep") => {}
                Some("none") => response.set_subprotocol(None),
                chosen => response.set_subprotocol(chosen),
            }
            assert!(matches!(
                (request.query(), response.subprotocol()),
                (Some("keep"), Some("b"))
                    | (Some("none"), None)
                    | (Some("c"), Some("c"))
                    | (Some("d"), Some("d"))
            ));
            // The field itself is not the configurator's.
            let headers = response.headers_mut();
            headers.insert("sec-websocket-protocol", HeaderValue::from_static("z"));
            response.set_principal("ann");
            Ok(())
        }
    }

    let told = told_at("/", &log).subprotocols(["b"]).configurator(Chooses);
    let addr = serve(Server::builder().endpoint(told)).await;
    let fields = "Sec-WebSocket-Protocol: a,b\r\nSec-WebSocket-Protocol: , c\r\n";
    for (asked, agreed) in [("keep", Some("b")), ("none", None), ("c", Some("c"))] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer
            .request(&request(addr, &format!("/?{asked}"), fields))
            .await;
        assert_eq!(answer.field("sec-websocket-protocol"), agreed, "{asked}");
        assert_eq!(events.next().await, "factory ann");
        let opened = format!("open ann none {}", agreed.unwrap_or("-"));
        assert_eq!(events.next().await, opened);
        peer.close().await;
        events.next().await;
    }
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(&request(addr, "/?d", fields)).await;
    let reason = "the client did not offer the subprotocol \"d\"\n";
    assert_eq!((answer.status, &*answer.body), (500, reason));
}

#[tokio::test]
async fn a_refusal_has_any_status_fields_and_body_and_the_connection_ends_behind_it() {
    let refuse = decided("/", |_, _| {
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED)
            .header(WWW_AUTHENTICATE, "Bearer realm=\"a\"")?
            .header(WWW_AUTHENTICATE, "Basic realm=\"b\"")?
            .body("who are you?");
        Err(refusal)
    });
    let addr = serve(Server::builder().endpoint(refuse)).await;
    let mut peer = Raw::connect(addr).await;
    let mut bytes = request(addr, "/", "").into_bytes();
    bytes.extend(masked(TEXT, b"GET / HTTP/1.1\r\n\r\n"));
    peer.write(&bytes).await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, &*answer.body), (401, "who are you?"));
    assert_eq!(answer.head.matches("www-authenticate: ").count(), 2);
    peer.recv_end().await;
}

#[tokio::test]
async fn a_refusal_may_be_any_answer_but_none_that_is_not_final_and_says_how_long_it_is_itself() {
    let answers = decided("/{status}", |request, _| {
        let status: u16 = request.path_parameter("status").unwrap_or("0").parse()?;
        let response = Response::builder()
            .status(status)
            .header("location", "/elsewhere")
            .header("content-length", "5000")
            .header("connection", "keep-alive")
            .body("moved")?;
        Err(Refusal::from_response(response))
    });
    let addr = serve(Server::builder().endpoint(answers)).await;
    for (asked, expected) in [
        (302, 302),
        (503, 503),
        (404, 404),
        (200, 200),
        (101, 500),
        (100, 500),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, &format!("/{asked}"), "")).await;
        assert_eq!((answer.status, &*answer.body), (expected, "moved"));
        assert_eq!(answer.field("location"), Some("/elsewhere"));
        assert_eq!(answer.field("connection"), Some("close"));
        peer.recv_end().await;
    }
}

#[tokio::test]
async fn an_error_of_a_hook_is_500_and_the_client_is_not_told_which() {
    let fails = decided(
        "/",
        |_, _| Err(std::io::Error::other("the password").into()),
    );
    let addr = serve(Server::builder().endpoint(fails)).await;
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(&request(addr, "/", "")).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("password"));
    peer.recv_end().await;
}

/// Waits for the answer of a database: whether the client may connect.
struct Database(Mutex<Option<oneshot::Receiver<bool>>>, Log);

impl Configurator for Database {
    async fn modify_handshake(
        &self,
        _: &Handshake,
        _: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        /// Logs its own drop.
        struct Asking(Log);
        impl Drop for Asking {
            fn drop(&mut self) {
                self.0.push("done");
            }
        }

        let _asking = Asking(self.1.clone());
        let answer = self.0.lock().expect("no panic").take();
        self.1.push("asked");
        match answer.expect("asked once").await {
            Ok(true) => Ok(()),
            _ => Err(Refusal::new(StatusCode::FORBIDDEN)),
        }
    }
}

fn database(path: &str) -> (EndpointConfig, oneshot::Sender<bool>, Events) {
    let (log, events) = log();
    let (answer, answered) = oneshot::channel();
    let gate = Database(Mutex::new(Some(answered)), log);
    (
        endpoint(path, |_| Silent).configurator(gate),
        answer,
        events,
    )
}

#[tokio::test]
async fn a_hook_may_wait_and_other_connections_open_meanwhile() {
    for (says, expected) in [(true, 101), (false, 403)] {
        let (gate, answer, mut events) = database("/gate");
        let builder = Server::builder()
            .endpoint(gate)
            .endpoint(endpoint("/other", |_| Silent));
        let addr = serve(builder).await;
        let mut peer = Raw::connect(addr).await;
        peer.write(request(addr, "/gate", "").as_bytes()).await;
        assert_eq!(events.next().await, "asked");
        Raw::open(addr, "/other").await.close().await;
        answer.send(says).unwrap();
        assert_eq!(peer.answer().await.status, expected);
        assert_eq!(events.next().await, "done");
    }
}

#[tokio::test]
async fn a_hook_is_dropped_when_its_client_goes_away() {
    let (gate, _answer, mut events) = database("/");
    let addr = serve(Server::builder().endpoint(gate)).await;
    let mut peer = Raw::connect(addr).await;
    peer.write(request(addr, "/", "").as_bytes()).await;
    assert_eq!(events.next().await, "asked");
    peer.rst();
    assert_eq!(events.next().await, "done");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_takes_longer_than_the_handshake_timeout_is_dropped_and_the_client_told_503() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let (gate, _answer, mut events) = database("/");
    let builder = Server::builder().endpoint(gate).handshake_timeout(TIMEOUT);
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr();
    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn(server.serve_stream(Stream::new(near)));
    let mut peer = Raw::new(far);
    let begun = Instant::now();
    let answer = peer.request(&request(addr, "/", "")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(events.next().await, "asked");
    assert_eq!(events.next().await, "done");
    peer.recv_end().await;
}

struct Panics;

impl Configurator for Panics {
    fn check_origin(&self, request: &Handshake, _: bool) -> bool {
        assert_ne!(request.query(), Some("origin"));
        true
    }

    fn negotiate_subprotocol<'o>(
        &self,
        request: &Handshake,
        _: &[&'o str],
        _: &[String],
    ) -> Option<&'o str> {
        assert_ne!(request.query(), Some("subprotocol"));
        None
    }

    async fn modify_handshake(
        &self,
        request: &Handshake,
        _: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        assert_ne!(request.query(), Some("at-once"));
        tokio::task::yield_now().await;
        assert_ne!(request.query(), Some("later"));
        Ok(())
    }
}

#[tokio::test]
async fn a_hook_that_panics_refuses_with_500_and_touches_no_other_connection() {
    let addr =
        serve(Server::builder().endpoint(endpoint("/", |_| Silent).configurator(Panics))).await;
    let other = Raw::open(addr, "/").await;
    for query in ["origin", "subprotocol", "at-once", "later"] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer
            .request(&request(addr, &format!("/?{query}"), ""))
            .await;
        assert_eq!(answer.status, 500, "{query}");
        peer.recv_end().await;
    }
    other.close().await;
    Raw::open(addr, "/").await.close().await;
}

#[tokio::test]
async fn fields_that_a_hook_adds_arrive_and_those_that_make_the_answer_cannot_be_changed() {
    let adds = decided("/", |_, response| {
        let headers = response.headers_mut();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert("content-length", HeaderValue::from_static("7"));
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("mine"));
        headers.insert("sec-websocket-extensions", HeaderValue::from_static("x"));
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        Ok(())
    });
    let addr = serve(Server::builder().endpoint(adds)).await;
    let mut peer = Raw::connect(addr).await;
    let answer = peer.request(&request(addr, "/", "")).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.head.matches("set-cookie: ").count(), 2);
    assert_eq!(answer.field("connection"), Some("Upgrade"));
    assert_eq!(
        answer.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    for absent in [
        "content-length",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
    ] {
        assert_eq!(answer.field(absent), None, "{absent}");
    }
    peer.close().await;
}

#[tokio::test]
async fn a_subprotocol_that_was_not_offered_is_never_agreed_on() {
    struct Own;
    impl Configurator for Own {
        fn negotiate_subprotocol<'o>(
            &self,
            _: &Handshake,
            _: &[&'o str],
            _: &[String],
        ) -> Option<&'o str> {
            Some("mine")
        }
    }
    let addr = serve(Server::builder().endpoint(endpoint("/", |_| Silent).configurator(Own))).await;
    for (fields, expected) in [
        ("", 500),
        ("Sec-WebSocket-Protocol: theirs\r\n", 500),
        ("Sec-WebSocket-Protocol: theirs, mine\r\n", 101),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, "/", fields)).await;
        assert_eq!(answer.status, expected, "{fields}");
    }
}

/// `cases.md` d: false fails the handshake, and true is taken later.
#[tokio::test]
async fn one_endpoint_has_an_origin_policy_of_its_own_and_its_configurator_the_last_word() {
    struct Toggle(Arc<Mutex<Option<bool>>>);
    impl Configurator for Toggle {
        fn check_origin(&self, _: &Handshake, allowed: bool) -> bool {
            self.0.lock().expect("no panic").unwrap_or(allowed)
        }
    }
    let toggle = Arc::new(Mutex::new(None));
    let builder = Server::builder()
        .endpoint(endpoint("/open", |_| Silent).origins(OriginPolicy::Any))
        .endpoint(endpoint("/strict", |_| Silent))
        .endpoint(endpoint("/toggle", |_| Silent).configurator(Toggle(Arc::clone(&toggle))));
    let addr = serve(builder).await;
    let status = async |target: &str| {
        let mut peer = Raw::connect(addr).await;
        let fields = "Origin: https://elsewhere.example\r\n";
        peer.request(&request(addr, target, fields)).await.status
    };
    assert_eq!(status("/open").await, 101);
    assert_eq!(status("/strict").await, 403);
    assert_eq!(status("/toggle").await, 403);
    *toggle.lock().unwrap() = Some(true);
    assert_eq!(status("/toggle").await, 101);
    *toggle.lock().unwrap() = Some(false);
    assert_eq!(status("/toggle").await, 403);
}

/// `cases.md` d: changes of one run are absent from the next; readable in `on_close`, and after it.
#[tokio::test]
async fn each_session_has_properties_of_its_own_which_stay_readable_after_the_close() {
    #[derive(Default)]
    struct Counter;

    struct Sessions(tokio::sync::mpsc::Sender<Session>);

    impl Endpoint for Sessions {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            assert!(session.properties().insert(1_u64).is_none());
            assert!(session.properties().get::<Properties>().is_none());
            self.0.send(session.clone()).await?;
            Ok(())
        }
    }

    let (sender, mut opened) = tokio::sync::mpsc::channel(1);
    let config = endpoint("/", move |_| Sessions(sender.clone()));
    let addr = serve(Server::builder().endpoint(config)).await;
    for _ in 0..2 {
        let peer = Raw::open(addr, "/").await;
        let session = soon(opened.recv()).await.unwrap();
        peer.close().await;
        soon(session.closed()).await;
        assert_eq!(session.properties().get::<u64>().as_deref(), Some(&1));
        assert!(session.properties().get::<Counter>().is_none());
        assert_eq!(session.principal(), None);
        session.properties().remove::<u64>();
    }
}

/// `cases.md` d, Subprotocols and extensions: none is 0.
#[tokio::test]
async fn a_session_tells_which_extensions_were_agreed_on() {
    struct Extensions(Log);

    impl Endpoint for Extensions {
        async fn on_open(&mut self, session: &Session) -> HandlerResult {
            let all = session.extensions();
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            self.0.push(all.join(", "));
            Ok(())
        }
    }

    let (log, mut events) = log();
    let config = endpoint("/", move |_| Extensions(log.clone()));
    let builder = Server::builder()
        .endpoint(config)
        .compression(DeflateConfig::default());
    let addr = serve(builder).await;
    for (offer, agreed) in [
        ("", ""),
        ("Sec-WebSocket-Extensions: x-unknown\r\n", ""),
        (
            "Sec-WebSocket-Extensions: x-unknown, permessage-deflate; client_max_window_bits=9\r\n",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             client_max_window_bits=9",
        ),
    ] {
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, "/", offer)).await;
        assert_eq!(
            answer.field("sec-websocket-extensions").unwrap_or(""),
            agreed
        );
        assert_eq!(events.next().await, agreed);
    }
}

#[tokio::test]
async fn an_annotated_endpoint_has_a_configurator_too() {
    #[derive(Default)]
    struct Whoami;

    #[server_endpoint("/whoami")]
    impl Whoami {
        #[on_message]
        fn asked(&mut self, session: &Session, _: &str) -> Option<String> {
            session.principal().map(str::to_owned)
        }
    }

    struct Named;

    impl Configurator for Named {
        async fn modify_handshake(
            &self,
            request: &Handshake,
            response: &mut HandshakeResponse,
        ) -> Result<(), Refusal> {
            let name = request.query().ok_or(std::fmt::Error)?;
            response.set_principal(name);
            Ok(())
        }
    }

    let config = Whoami::endpoint(|_| Whoami).configurator(Named);
    let addr = serve(Server::builder().endpoint(config)).await;
    let mut peer = Raw::open(addr, "/whoami?bea").await;
    peer.send(TEXT, b"?").await;
    assert_eq!(peer.recv_text().await, "bea");
}

/// Accepts clients with the header field `X-Badge`.
struct Badge;

impl Configurator for Badge {
    async fn modify_handshake(
        &self,
        request: &Handshake,
        response: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        let badge = request.headers().get("x-badge");
        let badge = badge.ok_or_else(|| Refusal::new(StatusCode::FORBIDDEN))?;
        response.set_principal(badge.to_str()?);
        Ok(())
    }
}

/// Greets by the badge.
#[derive(Default)]
struct Guarded;

#[server_endpoint("/guarded", subprotocols = ["greet"], configurator = Badge)]
impl Guarded {
    #[on_message]
    fn who(&self, session: &Session, _: &str) -> String {
        session.principal().unwrap_or("anonymous").to_owned()
    }
}

#[tokio::test]
async fn an_annotated_endpoint_names_its_configurator() {
    let shared = Arc::new(Guarded);
    for builder in [
        Server::builder().default_endpoint::<Guarded>(),
        Server::builder().endpoint(Guarded::endpoint(|_| Guarded)),
        Server::builder().endpoint(Guarded::endpoint(move |_| Arc::clone(&shared))),
    ] {
        let addr = serve(builder).await;
        let refused = request(addr, "/guarded", "");
        let answer = Raw::connect(addr).await.request(&refused).await;
        assert_eq!(answer.status, 403);
        let fields = "X-Badge: ann\r\nSec-WebSocket-Protocol: greet\r\n";
        let mut peer = Raw::connect(addr).await;
        let answer = peer.request(&request(addr, "/guarded", fields)).await;
        assert_eq!(answer.status, 101);
        assert_eq!(answer.field("sec-websocket-protocol"), Some("greet"));
        peer.send(TEXT, b"who am I?").await;
        assert_eq!(peer.recv_text().await, "ann");
    }
    // The configuration goes before the attribute.
    let open = Guarded::endpoint(|_| Guarded).configurator(Everybody);
    let addr = serve(Server::builder().endpoint(open)).await;
    let mut peer = Raw::open(addr, "/guarded").await;
    peer.send(TEXT, b"who am I?").await;
    assert_eq!(peer.recv_text().await, "anonymous");
}

/// Accepts all clients.
struct Everybody;

impl Configurator for Everybody {}

/// The login by which a session came in: dropped when it ends.
struct Login(watch::Receiver<()>);

struct LoggedIn;

impl Endpoint for LoggedIn {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        let login = session.properties().get::<Login>().ok_or("no login")?;
        let (mut login, session) = (login.0.clone(), session.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = login.changed() => {
                    let _ = session.close(CloseCode::POLICY_VIOLATION, "the login ended");
                }
                _ = session.closed() => {}
            }
        });
        Ok(())
    }
}

/// Gives each session the receiver that reports the end of its login.
struct By(watch::Receiver<()>);

impl Configurator for By {
    async fn modify_handshake(
        &self,
        _: &Handshake,
        response: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        response.properties().insert(Login(self.0.clone()));
        Ok(())
    }
}

#[tokio::test]
async fn who_came_in_by_a_login_that_ends_is_closed_with_1008() {
    let (login, logged_in) = watch::channel(());
    let members = endpoint("/members", |_| LoggedIn).configurator(By(logged_in));
    let addr = serve(Server::builder().endpoint(members)).await;
    let mut peer = Raw::open(addr, "/members").await;
    drop(login);
    let close = peer.recv_close().await;
    assert_eq!(close, (1008, "the login ended".to_owned()));
}
