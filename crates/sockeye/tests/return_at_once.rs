//! 5,000 clients of topics whose connections break at the same moment. A binary of its own: it takes 10,000 descriptors.
#![cfg(all(unix, feature = "topics-wire"))]

use std::time::{Duration, Instant};

use sockeye::reconnect::topics::{Recovery, TopicClient, TopicEvent};
use sockeye::reconnect::{ReconnectEvent, Retry};
use sockeye::topics::{Clients, History, Policy};
use sockeye::{Client, Server, Session, Topics, server_endpoint};
use tokio::sync::mpsc;
use tokio::time::timeout;

const CLIENTS: usize = 5_000;
const TOPIC: &str = "kept/1";
/// What is published while the clients have no connection.
const MISSED: [&str; 3] = ["one", "two", "three"];
/// The promise is 10 s. A machine that does other things too gets twice that.
const ANSWERED: Duration = Duration::from_secs(20);
/// The time after which the test counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Desk;

#[server_endpoint("/topics", topics)]
impl Desk {
    /// Breaks the connections of all other sessions.
    #[on_message]
    fn cut(&self, session: &Session, _: &str) -> &'static str {
        let sessions = session.open_sessions().to_vec();
        let others = sessions.iter().filter(|other| other.id() != session.id());
        others.for_each(Session::abort);
        "cut"
    }
}

/// What a client reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// The first subscription is live.
    Live,
    /// It has an answer for its second subscription: the subscription itself, or that it is unavailable now.
    Answered {
        is_unavailable: bool,
        attempts: usize,
    },
    /// It has all messages.
    Done,
}

/// Follows one client until it has all messages, each once and in order.
async fn follow(mut client: TopicClient, reports: mpsc::Sender<Report>) {
    let report = |report| reports.try_send(report).expect("the test waits");
    client.subscribe(TOPIC).expect("a topic");
    let mut is_live = false;
    let mut is_answered = false;
    let mut attempts = 0;
    let mut messages = Vec::new();
    while messages.len() < MISSED.len() {
        let event = client.next().await.expect("the client is not over");
        match event {
            TopicEvent::Subscribed { recovery, .. } if !is_live => {
                assert_eq!(recovery, Recovery::Fresh);
                is_live = true;
                report(Report::Live);
            }
            TopicEvent::Subscribed { recovery, .. } => {
                let Recovery::Recovered { missed } = recovery else {
                    panic!("the history has all messages: {recovery:?}");
                };
                assert!(missed <= MISSED.len());
                if !is_answered {
                    report(Report::Answered {
                        is_unavailable: false,
                        attempts,
                    });
                }
                is_answered = true;
            }
            TopicEvent::Delayed { .. } => {
                if is_live && !is_answered {
                    is_answered = true;
                    report(Report::Answered {
                        is_unavailable: true,
                        attempts,
                    });
                }
            }
            TopicEvent::Message { message, .. } => {
                messages.push(message.as_text().expect("a text").to_owned());
            }
            TopicEvent::Connection(ReconnectEvent::Connecting { .. }) if is_live => attempts += 1,
            TopicEvent::Connection(
                ReconnectEvent::Connecting { .. }
                | ReconnectEvent::Opened
                | ReconnectEvent::Interrupted { .. },
            ) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(messages, MISSED);
    report(Report::Done);
    // The connection stays open until all have their messages.
    reports.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_clients_that_return_at_once_are_answered_and_get_what_they_missed() {
    let limit = rlimit::increase_nofile_limit(20_000).expect("a limit");
    let needed = 2 * CLIENTS as u64 + 200;
    assert!(
        limit >= needed,
        "it takes {needed} descriptors, and may have {limit}"
    );
    let policy = Policy::new()
        .history(History::window(1000, Duration::from_secs(3600)))
        .clients(Clients::subscribe());
    let topics = Topics::builder().pattern("kept/{id}", policy);
    let topics = topics.build().expect("a pattern");
    let server = Server::builder()
        .topics(topics.clone())
        .max_connections(limit as usize)
        .default_endpoint::<Desk>();
    let server = server.bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/topics", server.local_addr());
    tokio::spawn(server.serve());
    let mut cutter = sockeye::connect(&*url).await.expect("the server is up");

    // Each client has three reports.
    let (reports, mut reported) = mpsc::channel(3 * CLIENTS);
    for _ in 0..CLIENTS {
        let retry = Retry::default().first_pause(Duration::from_millis(1));
        let client = Client::new()
            .reconnecting(&*url)
            .expect("a URL")
            .retry(retry);
        tokio::spawn(follow(client.topics(), reports.clone()));
    }
    drop(reports);
    let mut next = async || reported.recv().await.expect("no client has failed");
    for _ in 0..CLIENTS {
        let report = timeout(PATIENCE, next()).await.expect("a report");
        assert_eq!(report, Report::Live);
    }

    cutter.send("cut").await.expect("it is open");
    cutter.recv().await.expect("no error").expect("an answer");
    let cut = Instant::now();
    for message in MISSED {
        topics.publish(TOPIC, message).await.expect("it is kept");
    }
    let (mut answered, mut unavailable, mut most, mut done) = (0, 0, 0, 0);
    while answered < CLIENTS {
        let left = ANSWERED.saturating_sub(cut.elapsed());
        let report = timeout(left, next()).await;
        match report.unwrap_or_else(|_| panic!("{answered} clients have an answer")) {
            Report::Answered {
                is_unavailable,
                attempts,
            } => {
                answered += 1;
                unavailable += usize::from(is_unavailable);
                most = most.max(attempts);
            }
            Report::Done => done += 1,
            Report::Live => panic!("it was live before"),
        }
    }
    println!(
        "{answered} answers after {:?}, {unavailable} of them `unavailable`; {most} attempts at most",
        cut.elapsed()
    );
    while done < CLIENTS {
        let report = timeout(PATIENCE, next()).await.expect("a report");
        assert_eq!(report, Report::Done);
        done += 1;
    }
    assert_eq!(topics.subscribers(TOPIC), CLIENTS);
}
