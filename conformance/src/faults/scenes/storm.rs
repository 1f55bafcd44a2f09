//! F16: a node with 5,000 clients dies, and all of them come to two other nodes within one second. Each takes up its topic
//! where it was, and asks who is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::topics::{History, Policy, Presence};
use sockeye::{Client, CloseCode, Topics};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::embedded::started;
use super::talk::{self, Heard, Talk};
use super::{Scene, Stage, TOPICS, until};
use crate::engines::monitor::Request;
use crate::engines::program::Brand;
use crate::engines::server::Server;
use crate::error::Result;
use crate::faults::case::Run;

pub(super) const SCENE: Scene = Scene {
    id: "F16",
    title: "5,000 clients return to 500 topics within one second",
    run: Run::Full,
    brands: &Brand::ALL,
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> Result<()> {
    let server = stage.server(&[]).await?;
    let url = Server::url(server.address(), None);
    let mut dies = stage.node("dies", "node-0", TOPICS, &url).await?;
    let one = stage.node("one", "node-1", TOPICS, &url).await?;
    let other = stage.node("other", "node-2", TOPICS, &url).await?;
    let word = watch::Sender::new(Word::Enter);
    let crowd = Arc::new(Crowd {
        client: talk::many(),
        first: dies.address(),
        others: [one.address(), other.address()],
        word: word.subscribe(),
        entering: Semaphore::new(ENTERING),
        entered: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(live(number, Arc::clone(&crowd)));
    }
    let all = |count: &AtomicUsize| count.load(Ordering::Relaxed) == CLIENTS;
    until("all clients subscribe", || all(&crowd.entered)).await?;
    dies.kill().await?;
    publish(&url).await?;
    let monitor = server.monitor().await?;
    word.send_replace(Word::Return);
    let answered = until("all clients are answered", || all(&crowd.answered)).await;
    // An answer that comes twice comes soon.
    sleep(MOMENT).await;
    word.send_replace(Word::Over);
    let mut outcomes = Vec::new();
    while let Some(ended) = clients.join_next().await {
        outcomes.push(ended??);
    }
    let text = summary(&outcomes);
    println!("F16: {text}");
    answered.map_err(|error| format!("{error}: {text}"))?;
    for outcome in &outcomes {
        outcome.judge()?;
    }
    judge_reads(&monitor.take())
}

/// Publishes messages to all topics, from a node of its own.
async fn publish(url: &str) -> Result<()> {
    let policy = Policy::new()
        .history(History::window(100, Duration::from_secs(60)))
        .presence(Presence::members(500));
    let topics = Topics::builder().pattern("present/{id}", policy);
    let topics = started(topics, url).await?;
    for number in 0..TOPIC_COUNT {
        for n in 0..MISSED {
            topics.publish(topic(number), n.to_string()).await?;
        }
    }
    Ok(topics.stop(PATIENCE).await?)
}

/// Each topic has as many clients at one node as at the other.
fn topic(client: usize) -> String {
    format!("present/{}", client % TOPIC_COUNT)
}

/// What all clients share.
struct Crowd {
    client: Client,
    first: String,
    others: [String; 2],
    word: watch::Receiver<Word>,
    entering: Semaphore,
    entered: AtomicUsize,
    answered: AtomicUsize,
}

/// What the scene tells the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Enter,
    Return,
    Over,
}

/// What a client was told when it returned.
#[derive(Debug, Default)]
struct Outcome {
    /// The attempts to return that ended.
    lost: usize,
    /// The Close after which a client does not come back.
    end: Option<u16>,
    subscribed: Option<Answered>,
    listed: Option<Answered>,
    /// The bodies of the messages.
    missed: Vec<String>,
}

/// The answer to a request.
#[derive(Debug)]
struct Answered {
    after: Duration,
    header: Value,
    /// How often it came.
    times: usize,
}

/// The life of a client.
async fn live(number: usize, crowd: Arc<Crowd>) -> Result<Outcome> {
    let topic = topic(number);
    let position = {
        let entering = crowd.entering.acquire().await;
        let mut talk = Talk::open(&crowd.client, &crowd.first).await?;
        let member = json!({ "client": number });
        let position = talk.subscribe(&topic, Some(member)).await?["at"].clone();
        crowd.entered.fetch_add(1, Ordering::Relaxed);
        drop(entering);
        while let Heard::Frame(..) = talk.next().await? {}
        position
    };
    let mut word = crowd.word.clone();
    let is_told = |told: &Word| *told != Word::Enter;
    word.wait_for(is_told).await?;
    sleep(RETURN.mul_f64(number as f64 / CLIENTS as f64)).await;
    let node = &crowd.others[number / TOPIC_COUNT % 2];
    let mut outcome = Outcome::default();
    while *word.borrow() != Word::Over {
        if let Ok(talk) = Talk::open(&crowd.client, node).await {
            let mut request = json!({ "sub": topic, "ref": SUB, "member": { "client": number } });
            request["at"] = position.clone();
            outcome.resume(talk, request, &crowd).await?;
        }
        if outcome.end.is_some() || *word.borrow() == Word::Over {
            break;
        }
        outcome.lost += 1;
        sleep(PAUSE).await;
    }
    Ok(outcome)
}

impl Outcome {
    /// Takes up the topic on a new connection, and stays until the scene is over or the connection ends.
    async fn resume(&mut self, mut talk: Talk, request: Value, crowd: &Crowd) -> Result<()> {
        (self.subscribed, self.listed) = (None, None);
        self.missed.clear();
        let topic = request["sub"].clone();
        let mut word = crowd.word.clone();
        let mut asked = Instant::now();
        talk.ask(request).await;
        loop {
            let heard = tokio::select! {
                _ = word.wait_for(|word| *word == Word::Over) => return Ok(()),
                heard = talk.next() => heard?,
            };
            let (header, body) = match heard {
                Heard::Frame(header, body) => (header, body),
                Heard::End(code) => {
                    let code = code.and_then(|code| CloseCode::try_from(code).ok());
                    let is_final = code.is_some_and(|code| !code.is_transient());
                    self.end = code.filter(|_| is_final).map(CloseCode::get);
                    return Ok(());
                }
            };
            let reference = [&header["ok"], &header["err"]]
                .into_iter()
                .find_map(Value::as_u64);
            match reference {
                Some(SUB) => {
                    let is_first = note(&mut self.subscribed, asked, header);
                    if is_first && self.is_live() {
                        asked = Instant::now();
                        talk.ask(json!({ "who": topic, "ref": WHO, "max": 100 }))
                            .await;
                    } else if is_first {
                        crowd.answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Some(WHO) => {
                    let is_first = note(&mut self.listed, asked, header);
                    let answered = &crowd.answered;
                    answered.fetch_add(usize::from(is_first), Ordering::Relaxed);
                }
                _ if header["m"] == topic => self.missed.push(body),
                _ => {}
            }
        }
    }

    /// Whether the subscription came about.
    fn is_live(&self) -> bool {
        let subscribed = self.subscribed.as_ref();
        subscribed.is_some_and(|answered| answered.header["ok"] == SUB)
    }

    /// Whether the node had no time for a request: the client is to ask again later.
    fn is_put_off(&self) -> bool {
        let mut answers = [&self.subscribed, &self.listed].into_iter().flatten();
        answers.any(|answered| answered.header["code"] == "unavailable")
    }

    /// What is not as it must be.
    fn judge(&self) -> Result<()> {
        let wanted: Vec<String> = (0..MISSED).map(|n| n.to_string()).collect();
        let is_recovered = |answered: &Answered| answered.header["recovered"] == true;
        let mut answers = [&self.subscribed, &self.listed].into_iter().flatten();
        let fault = if self.end.is_some() {
            "a client was closed for good"
        } else if answers.clone().any(|answered| answered.times != 1) {
            "a request was answered twice"
        } else if answers.clone().any(|answered| answered.after > ANSWER) {
            "an answer came too late"
        } else if !self.is_live() && !self.is_put_off() {
            "a subscription was refused"
        } else if self.is_live() && self.missed != wanted {
            "the replay is not what was missed"
        } else if self.is_live() && !self.subscribed.as_ref().is_some_and(is_recovered) {
            "a position was not recovered"
        } else if answers.next_back().is_none_or(|it| it.header["ok"] != WHO) && !self.is_put_off()
        {
            "the members were not listed"
        } else {
            return Ok(());
        };
        Err(format!("{fault}: {self:?}").into())
    }
}

/// Notes an answer. Returns whether it is the first one.
fn note(place: &mut Option<Answered>, asked: Instant, header: Value) -> bool {
    if let Some(answered) = place {
        answered.times += 1;
        return false;
    }
    *place = Some(Answered {
        after: asked.elapsed(),
        header,
        times: 1,
    });
    true
}

/// Each node reads each topic once at most. All topics are read, or else nothing was counted.
fn judge_reads(requests: &[Request]) -> Result<()> {
    let mut reads: HashMap<(&str, &str), usize> = HashMap::new();
    for request in requests {
        let words: Vec<&str> = request.words.iter().map(String::as_str).collect();
        if let [call, _, "2", key, _, "top" | "recent" | "after", ..] = words[..]
            && call.eq_ignore_ascii_case("EVALSHA")
        {
            *reads.entry((&request.client, key)).or_default() += 1;
        }
    }
    let most = reads.iter().max_by_key(|(_, times)| **times);
    println!(
        "F16: {} topics of nodes were read, one at most {most:?}",
        reads.len()
    );
    match most {
        Some((_, 1)) if reads.len() == 2 * TOPIC_COUNT => Ok(()),
        Some((_, 1)) => Err(format!("{} topics were read", reads.len()).into()),
        most => Err(format!("a node read a topic more than once: {most:?}").into()),
    }
}

fn summary(outcomes: &[Outcome]) -> String {
    let slowest = |answered: fn(&Outcome) -> Option<&Answered>| {
        let times = outcomes.iter().filter_map(answered).map(|it| it.after);
        times.max().unwrap_or_default()
    };
    let count = |is_so: fn(&Outcome) -> bool| outcomes.iter().filter(|it| is_so(it)).count();
    format!(
        "{} live, {} put off, {} attempts lost; the slowest subscription took {:?}, the slowest list {:?}",
        count(Outcome::is_live),
        count(Outcome::is_put_off),
        outcomes.iter().map(|outcome| outcome.lost).sum::<usize>(),
        slowest(|outcome| outcome.subscribed.as_ref()),
        slowest(|outcome| outcome.listed.as_ref()),
    )
}

const CLIENTS: usize = 5_000;
const TOPIC_COUNT: usize = 500;
/// The messages of each topic that all clients miss.
const MISSED: usize = 3;
/// The references of the two requests.
const SUB: u64 = 1;
const WHO: u64 = 2;
/// The clients that connect at a time before the storm.
const ENTERING: usize = 100;
/// The time in which all clients return.
const RETURN: Duration = Duration::from_secs(1);
/// The time of an answer: twice what is promised, for a loaded machine.
const ANSWER: Duration = Duration::from_secs(20);
/// The pause before a client comes again.
const PAUSE: Duration = Duration::from_millis(500);
const MOMENT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(header: Value) -> Option<Answered> {
        Some(Answered {
            after: Duration::from_secs(1),
            header,
            times: 1,
        })
    }

    fn outcome() -> Outcome {
        Outcome {
            lost: 1,
            end: None,
            subscribed: answered(json!({ "ok": SUB, "recovered": true })),
            listed: answered(json!({ "ok": WHO })),
            missed: (0..MISSED).map(|n| n.to_string()).collect(),
        }
    }

    fn fault(change: impl FnOnce(&mut Outcome)) -> Option<String> {
        let mut outcome = outcome();
        change(&mut outcome);
        let error = outcome.judge().err()?.to_string();
        Some(error.split(':').next().unwrap_or_default().to_owned())
    }

    #[test]
    fn each_way_in_which_a_return_may_go_wrong_has_its_fault() {
        let unavailable = || answered(json!({ "err": 1, "code": "unavailable" }));
        assert_eq!(fault(|_| {}), None);
        assert_eq!(fault(|it| it.listed = unavailable()), None);
        let is_put_off = |it: &mut Outcome| {
            (it.subscribed, it.listed) = (unavailable(), None);
            it.missed.clear();
        };
        assert_eq!(fault(is_put_off), None);
        let of = |change: fn(&mut Outcome)| fault(change).unwrap_or_default();
        assert_eq!(of(|it| it.end = Some(1008)), "a client was closed for good");
        let twice = |place: &mut Option<Answered>| place.as_mut().unwrap().times = 2;
        assert_eq!(
            fault(|it| twice(&mut it.listed)).unwrap(),
            "a request was answered twice"
        );
        let late = |it: &mut Outcome| it.subscribed.as_mut().unwrap().after = 2 * ANSWER;
        assert_eq!(of(late), "an answer came too late");
        let denied =
            |it: &mut Outcome| it.subscribed = answered(json!({ "err": 1, "code": "denied" }));
        assert_eq!(of(denied), "a subscription was refused");
        assert_eq!(of(|it| it.subscribed = None), "a subscription was refused");
        let lost = |it: &mut Outcome| {
            it.subscribed = answered(json!({ "ok": SUB, "recovered": false }));
        };
        assert_eq!(of(lost), "a position was not recovered");
        assert_eq!(
            of(|it| it.missed.truncate(2)),
            "the replay is not what was missed"
        );
        let denied = |it: &mut Outcome| it.listed = answered(json!({ "err": 2, "code": "denied" }));
        assert_eq!(of(denied), "the members were not listed");
        assert_eq!(of(|it| it.listed = None), "the members were not listed");
    }

    #[test]
    fn each_node_may_read_each_topic_once() {
        let read = |client: usize, topic: usize| Request {
            client: client.to_string(),
            words: ["evalsha", "0", "2", &topic.to_string(), "s", "after"]
                .map(str::to_owned)
                .to_vec(),
        };
        let topics = 0..TOPIC_COUNT;
        let mut requests: Vec<Request> = topics.flat_map(|it| [read(1, it), read(2, it)]).collect();
        assert!(judge_reads(&requests).is_ok());
        let last = requests.pop().unwrap();
        assert!(judge_reads(&requests).is_err(), "a topic was not read");
        requests.extend([last.clone(), last]);
        assert!(judge_reads(&requests).is_err(), "a topic was read twice");
    }
}
