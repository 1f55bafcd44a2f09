//! The end of sessions, at both ends: an endpoint at the server whose client speaks bytes, and one at the client whose
//! server does. First comes Tomcat's TestClose, a test for each of its rows. Then come the closing tests of the Jakarta
//! TCK, between two endpoints, and the order in which errors and closes are reported.

use std::sync::Arc;

use crate::support::end::{At, BOTH, Far};
use crate::support::{BINARY, CLOSE, Events, Log, TEXT, log, serve, soon};
use sockeye::endpoint::{Incoming, Reply};
use sockeye::error::SendError;
use sockeye::{
    Client, CloseCode, CloseReason, Endpoint, Error, HandlerResult, Server, Session, endpoint,
};
use tokio::sync::{Notify, mpsc};

/// Logs its events, and does what its messages ask for.
#[derive(Clone)]
struct Probe {
    log: Log,
    gate: Arc<Notify>,
    sessions: mpsc::Sender<Session>,
    fails: Fails,
}

/// The callback that returns an error.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Never,
    OnOpen,
    OnClose,
}

impl Endpoint for Probe {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        self.sessions.send(session.clone()).await?;
        match self.fails {
            Fails::OnOpen => Err("on_open".into()),
            _ => Ok(()),
        }
    }

    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        let Incoming::Text(text) = message else {
            return Ok(Reply::from(message));
        };
        match &*text {
            "fail" => return Err("on_message".into()),
            "close" => session.close(CloseCode::try_from(4000)?, "as told")?,
            "block" | "send" => {
                self.log.push("in the handler");
                self.gate.notified().await;
                for _ in 0..10 {
                    if &*text != "send" || session.basic_remote().send_text("x").await.is_err() {
                        break;
                    }
                }
                self.log.push("done");
                return Ok(Reply::None);
            }
            "flood" => {
                self.log.push("in the handler");
                self.gate.notified().await;
                let refused = loop {
                    if let Err(error) = session.basic_remote().send_text("x").await {
                        break error;
                    }
                };
                self.log.push(format!("sends answer {refused:?}"));
                let by_the_other = session.async_remote().send_text("x").err();
                self.log.push(format!("sends answer {by_the_other:?}"));
                self.log.push("done");
                return Ok(Reply::None);
            }
            _ => {}
        }
        Ok(Reply::from(Incoming::Text(text)))
    }

    async fn on_close(&mut self, _: &Session, reason: CloseReason) -> HandlerResult {
        self.log.push(format!("close {reason}"));
        match self.fails {
            Fails::OnClose => Err("on_close".into()),
            _ => Ok(()),
        }
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.log
            .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
    }
}

/// A session and its peer.
struct Opened {
    at: At,
    peer: Far,
    session: Session,
    events: Events,
    gate: Arc<Notify>,
}

impl Opened {
    async fn new(at: At) -> Self {
        Self::failing(at, Fails::Never).await
    }

    /// Opens a session whose messages may have at most 5 bytes.
    async fn failing(at: At, fails: Fails) -> Self {
        let (log, events) = log();
        let (opened, mut sessions) = mpsc::channel(1);
        let gate = Arc::new(Notify::new());
        let probe = Probe {
            log,
            gate: Arc::clone(&gate),
            sessions: opened,
            fails,
        };
        let peer = Far::of(at, |config| config.max_message(5), probe).await;
        let session = soon(sessions.recv()).await.expect("it is open");
        Self {
            at,
            peer,
            session,
            events,
            gate,
        }
    }

    async fn expect(&mut self, event: &str) {
        assert_eq!(
            self.events.next().await,
            event,
            "at the {:?}'s end",
            self.at
        );
    }

    /// Checks that the transport ends in order, the server first, and that no further event comes.
    async fn expect_end(mut self, code: u16) {
        if self.at == At::Client {
            self.peer.fin().await;
        }
        self.peer.recv_end().await;
        drop(self.peer);
        let reason = soon(self.session.closed()).await;
        assert_eq!(reason.code().get(), code, "at the {:?}'s end", self.at);
        assert!(self.events.is_empty(), "at the {:?}'s end", self.at);
    }
}

/// The way in which a peer leaves.
#[derive(Clone, Copy)]
enum End {
    Fin,
    Rst,
}

/// Runs a row of TestClose. `handler` is what the endpoint's handler does meanwhile, `code` is the code with which the
/// peer closes before it leaves, and `expected` are the codes that `on_close` may get. `on_close` is called once, and
/// `on_error` never; Tomcat calls it for a reset too.
async fn testclose(handler: Option<&str>, code: Option<u16>, end: End, expected: &[u16]) {
    for at in BOTH {
        let mut opened = Opened::new(at).await;
        if let Some(handler) = handler {
            opened.peer.send(TEXT, handler.as_bytes()).await;
            opened.expect("in the handler").await;
        }
        if let Some(code) = code {
            opened.peer.send_close(code, "").await;
        }
        let Opened {
            mut peer,
            session,
            mut events,
            gate,
            ..
        } = opened;
        let left = match end {
            End::Fin => {
                peer.fin().await;
                Some(peer)
            }
            End::Rst => {
                peer.rst();
                None
            }
        };
        if handler.is_some() {
            gate.notify_one();
            if handler == Some("flood") {
                assert_eq!(events.next().await, "sends answer Closed", "{at:?}");
                assert_eq!(events.next().await, "sends answer Some(Closed)", "{at:?}");
            }
            assert_eq!(events.next().await, "done", "{at:?}");
        }
        let told = events.next().await;
        let code = told
            .strip_prefix("close ")
            .and_then(|told| told.get(..4))
            .and_then(|code| code.parse().ok());
        assert!(
            code.is_some_and(|code| expected.contains(&code)),
            "{at:?}: {told}"
        );
        drop(left);
        soon(session.closed()).await;
        assert!(events.is_empty(), "{at:?}");
    }
}

#[tokio::test]
async fn testclose_fin() {
    testclose(None, None, End::Fin, &[1006]).await;
}

#[tokio::test]
async fn testclose_rst() {
    testclose(None, None, End::Rst, &[1006]).await;
}

#[tokio::test]
async fn testclose_close_1001_then_fin() {
    testclose(None, Some(1001), End::Fin, &[1001]).await;
}

#[tokio::test]
async fn testclose_close_1001_then_rst() {
    testclose(None, Some(1001), End::Rst, &[1001, 1006]).await;
}

#[tokio::test]
async fn testclose_close_3500_then_fin() {
    testclose(None, Some(3500), End::Fin, &[3500]).await;
}

#[tokio::test]
async fn testclose_fin_while_the_handler_blocks() {
    testclose(Some("block"), None, End::Fin, &[1006]).await;
}

#[tokio::test]
async fn testclose_rst_while_the_handler_blocks() {
    testclose(Some("block"), None, End::Rst, &[1006]).await;
}

#[tokio::test]
async fn testclose_fin_while_the_handler_sends() {
    testclose(Some("flood"), None, End::Fin, &[1006]).await;
}

#[tokio::test]
async fn testclose_rst_while_the_handler_sends() {
    testclose(Some("flood"), None, End::Rst, &[1006]).await;
}

/// Tomcat tells 1006: here the peer's Close takes effect when the handler is done.
#[tokio::test]
async fn testclose_close_1000_then_fin_while_the_handler_sends() {
    testclose(Some("send"), Some(1000), End::Fin, &[1000, 1006]).await;
}

#[tokio::test]
async fn testclose_close_1000_then_rst_while_the_handler_sends() {
    testclose(Some("send"), Some(1000), End::Rst, &[1000, 1006]).await;
}

/// Bug 58624 of Tomcat's: one `on_close`, no `on_error`, and the peer is answered.
#[tokio::test]
async fn testclose_normal_close_bug_58624() {
    for at in BOTH {
        let mut opened = Opened::new(at).await;
        opened.peer.send_close(1000, "").await;
        assert_eq!(opened.peer.recv_close().await, (1000, String::new()));
        opened.expect("close 1000").await;
        opened.expect_end(1000).await;
    }
}

/// The TCK's server. It sends two texts in `on_open`, and closes when it is told to. In some tests it sends a text just
/// before the close, in others it tries to send one after it.
struct Tck {
    log: Log,
    sends_before: bool,
    sends_after: bool,
}

impl Endpoint for Tck {
    async fn on_open(&mut self, session: &Session) -> HandlerResult {
        session.basic_remote().send_text("one").await?;
        session.basic_remote().send_text("two").await?;
        Ok(())
    }

    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        if self.sends_before {
            session.basic_remote().send_text("bye").await?;
        }
        match message {
            Incoming::Text(text) if &*text == "close" => session.close(CloseCode::NORMAL, "")?,
            _ => session.close(CloseCode::MESSAGE_TOO_BIG, "TCKCloseNowWithReason")?,
        }
        self.log.push(format!("open {}", session.is_open()));
        Ok(Reply::None)
    }

    async fn on_close(&mut self, session: &Session, reason: CloseReason) -> HandlerResult {
        self.log
            .push(format!("close {reason}, open {}", session.is_open()));
        if self.sends_after {
            let sent = session.basic_remote().send_text("too late").await;
            assert_eq!(sent, Err(SendError::Closed));
            let queued = session.async_remote().send_text("too late").map(drop);
            assert_eq!(queued, Err(SendError::Closed));
        }
        Ok(())
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.log
            .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
    }
}

/// The TCK's client, which tells all.
struct TckClient {
    log: Log,
    fails: Fails,
}

impl Endpoint for TckClient {
    async fn on_message<'m>(
        &mut self,
        _: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        if let Incoming::Text(text) = message {
            self.log.push(&*text);
        }
        Ok(Reply::None)
    }

    async fn on_close(&mut self, session: &Session, reason: CloseReason) -> HandlerResult {
        self.log
            .push(format!("close {reason}, open {}", session.is_open()));
        match self.fails {
            Fails::OnClose => Err("on_close".into()),
            _ => Ok(()),
        }
    }

    async fn on_error(&mut self, _: &Session, error: &Error) {
        self.log
            .push(format!("error {}", sockeye::error::ErrorChain::new(error)));
    }
}

/// Runs a close of the TCK. The client says `says`, or closes; `told` is the reason that both ends report. Four tests
/// differ in the text that the server sends just before or just after the close.
async fn tck_close(says: Option<&str>, told: &str, fails: Fails) {
    for (sends_before, sends_after) in [(false, false), (false, true), (true, false), (true, true)]
    {
        let (servers, mut server) = log();
        let made = endpoint("/", move |_| Tck {
            log: servers.clone(),
            sends_before,
            sends_after,
        });
        let addr = serve(Server::builder().endpoint(made)).await;
        let (log, mut client) = log();
        let endpoint = TckClient { log, fails };
        let opener = Client::new();
        let connecting = opener.connect_endpoint(format!("ws://{addr}/"), endpoint);
        let session = connecting.await.expect("a connection");
        assert_eq!(client.next().await, "one");
        assert_eq!(client.next().await, "two");
        match says {
            None => session
                .close(CloseCode::NORMAL, "")
                .expect("it may be sent"),
            Some(says) => {
                session
                    .basic_remote()
                    .send_text(says)
                    .await
                    .expect("it is open");
                if sends_before {
                    assert_eq!(client.next().await, "bye");
                }
                assert_eq!(server.next().await, "open false");
            }
        }
        let told = format!("close {told}, open false");
        assert_eq!(client.next().await, told);
        if fails == Fails::OnClose {
            assert_eq!(client.next().await, "error a handler failed: on_close");
        }
        assert_eq!(server.next().await, told);
        soon(session.closed()).await;
        assert!(!session.is_open());
        assert!(client.is_empty() && server.is_empty());
    }
}

#[tokio::test]
async fn tck_close_and_3_and_6_and_9_the_client_closes() {
    tck_close(None, "1000", Fails::Never).await;
}

#[tokio::test]
async fn tck_close_1_and_4_and_7_and_10_the_server_closes() {
    tck_close(Some("close"), "1000", Fails::Never).await;
}

#[tokio::test]
async fn tck_close_2_and_5_and_8_and_11_the_server_closes_with_a_reason() {
    let told = "1009 TCKCloseNowWithReason";
    tck_close(Some("too big"), told, Fails::Never).await;
}

#[tokio::test]
async fn tck_close_12_the_clients_on_close_fails() {
    tck_close(None, "1000", Fails::OnClose).await;
}

#[tokio::test]
async fn an_error_of_on_message_goes_to_on_error_and_the_session_goes_on() {
    for at in BOTH {
        let mut opened = Opened::new(at).await;
        opened.peer.send(TEXT, b"fail").await;
        opened.expect("error a handler failed: on_message").await;
        opened.peer.send(TEXT, b"again").await;
        assert_eq!(opened.peer.recv_text().await, "again");
        assert!(opened.session.is_open());
    }
}

#[tokio::test]
async fn an_error_of_on_open_goes_to_on_error_then_the_session_closes_1011() {
    for at in BOTH {
        let mut opened = Opened::failing(at, Fails::OnOpen).await;
        let why = "the endpoint failed to open the session";
        assert_eq!(opened.peer.recv_close().await, (1011, why.to_owned()));
        opened.expect("error a handler failed: on_open").await;
        opened.expect(&format!("close 1011 {why}")).await;
        opened.peer.send_close(1011, "").await;
        opened.expect_end(1011).await;
    }
}

#[tokio::test]
async fn an_error_of_on_close_goes_to_on_error() {
    for at in BOTH {
        let mut opened = Opened::failing(at, Fails::OnClose).await;
        opened.peer.send_close(3001, "gone").await;
        assert_eq!(opened.peer.recv_close().await, (3001, "gone".to_owned()));
        opened.expect("close 3001 gone").await;
        opened.expect("error a handler failed: on_close").await;
        opened.expect_end(3001).await;
    }
}

#[tokio::test]
async fn a_returned_message_that_is_not_sent_goes_to_on_error_then_on_close_follows() {
    for at in BOTH {
        let mut opened = Opened::new(at).await;
        opened.peer.send(TEXT, b"close").await;
        assert_eq!(opened.peer.recv_close().await, (4000, "as told".to_owned()));
        opened
            .expect("error the connection is closing or closed")
            .await;
        opened.expect("close 4000 as told").await;
        opened.peer.send_close(4000, "").await;
        opened.expect_end(4000).await;
    }
}

/// The codes 1002, 1007 and 1009. A message that is too big is reported to `on_error` first, as Jakarta's documentation
/// says.
#[tokio::test]
async fn a_broken_rule_closes_with_its_code_which_on_close_is_told() {
    for at in BOTH {
        // Masked where it must not be, or not where it must be.
        let wrong = match at {
            At::Server => crate::support::unmasked(TEXT, b"x"),
            At::Client => crate::support::masked(TEXT, b"x"),
        };
        let mut opened = Opened::new(at).await;
        opened.peer.write(&wrong).await;
        let told = opened.peer.recv_close().await;
        assert_eq!(told.0, 1002);
        assert!(opened.events.next().await.starts_with("close 1002"));
        opened.peer.send_close(1002, "").await;
        opened.expect_end(1002).await;

        let mut opened = Opened::new(at).await;
        opened.peer.send(TEXT, b"\xff").await;
        assert_eq!(opened.peer.recv_close().await.0, 1007);
        assert!(opened.events.next().await.starts_with("close 1007"));
        opened.peer.send_close(1007, "").await;
        opened.expect_end(1007).await;

        let mut opened = Opened::new(at).await;
        opened.peer.send(BINARY, b"12345").await;
        assert_eq!(opened.peer.recv_binary().await, b"12345");
        opened.peer.send(BINARY, b"123456").await;
        assert_eq!(opened.peer.recv_close().await.0, 1009);
        let error = opened.events.next().await;
        assert!(
            error.starts_with("error the peer broke the protocol"),
            "{error}"
        );
        assert!(opened.events.next().await.starts_with("close 1009"));
        opened.peer.send_close(1009, "").await;
        opened.expect_end(1009).await;
    }
}

/// Tomcat tells an empty one as 1000, and refuses 1012 and 1013.
#[tokio::test]
async fn a_peers_close_is_answered_with_its_code_and_on_close_is_told_it() {
    for at in BOTH {
        for (code, reason) in [
            (1000, ""),
            (1001, "fort"),
            (1012, "restart"),
            (1013, "later"),
            (1014, "gateway"),
            (3500, "Grüße, 世界"),
            (4999, "x"),
        ] {
            let mut opened = Opened::new(at).await;
            opened.peer.send_close(code, reason).await;
            assert_eq!(opened.peer.recv_close().await.0, code);
            let told = format!("close {code} {reason}");
            opened.expect(told.trim_end()).await;
            opened.expect_end(code).await;
        }
        let mut opened = Opened::new(at).await;
        opened.peer.send(CLOSE, b"").await;
        assert_eq!(opened.peer.recv().await, Some((CLOSE, Vec::new())));
        opened.expect("close 1005").await;
        opened.expect_end(1005).await;
    }
}

/// `on_close` means that it is about to end, `closed` that it has.
#[tokio::test]
async fn a_close_of_its_own_leaves_behind_the_batch_and_on_close_comes_before_the_peer_answers() {
    for at in BOTH {
        let mut opened = Opened::new(at).await;
        drop(opened.session.async_remote().send_text("queued").unwrap());
        let code = CloseCode::try_from(4001).unwrap();
        opened.session.close(code, "enough").unwrap();
        assert_eq!(opened.peer.recv_text().await, "queued");
        assert_eq!(opened.peer.recv_close().await, (4001, "enough".to_owned()));
        opened.expect("close 4001 enough").await;
        // The peer has said nothing yet: what it says now changes nothing.
        opened.peer.send(TEXT, b"late").await;
        opened.peer.send_close(1000, "other").await;
        opened.expect_end(4001).await;
    }
}

/// Jakarta has several exceptions for it.
#[tokio::test]
async fn after_the_close_whatever_is_sent_fails_alike_and_closing_is_no_error() {
    for at in BOTH {
        let mut opened = Opened::new(at).await;
        opened.peer.send_close(1000, "").await;
        opened.expect("close 1000").await;
        let session = &opened.session;
        let basic = session.basic_remote();
        assert_eq!(basic.send_text("x").await, Err(SendError::Closed));
        assert_eq!(basic.send_binary(vec![1]).await, Err(SendError::Closed));
        assert_eq!(basic.send_ping(b"").await, Err(SendError::Closed));
        let later = session.async_remote();
        for sent in [
            later.send_text("x"),
            later.send_binary(vec![1]),
            later.send_pong(b""),
        ] {
            assert_eq!(sent.map(drop), Err(SendError::Closed));
        }
        let mut writer = basic.text_writer();
        let written = writer.send_part("x").await;
        assert!(
            matches!(written, Err(Error::Send(SendError::Closed))),
            "{written:?}"
        );
        assert!(!session.is_open());
        session.close(CloseCode::NORMAL, "").unwrap();
    }
}
