//! Reading: the pages of stored messages, the newest positions, and longer lives.

use std::time::Duration;

use sockeye_pubsub::engine::{Catchup, EngineError, EngineErrorKind, Since, WasPublished};
use sockeye_pubsub::{Epoch, History, MessageId, Position, TopicName};

use super::Setup;
use super::peer::{Peer, bulk, list, texts};
use crate::outcome::CallError;
use crate::read;
use crate::script::Script;

fn topic() -> TopicName {
    TopicName::new("room/42").unwrap()
}

/// A window of 10 messages with 8 bytes together.
fn window() -> History {
    History::window(10, Duration::from_secs(60)).bytes(8)
}

/// The position of the message with this offset; its id is 100 more.
fn at(offset: u64) -> Position {
    let start = Position::start(Epoch::new(1));
    match offset {
        0 => start,
        offset => Position {
            offset,
            id: Some(MessageId::new(100 + offset)),
            ..start
        },
    }
}

/// The text of the id at an offset.
fn id(offset: u64) -> String {
    at(offset).id.map_or("0".to_owned(), |id| id.to_string())
}

/// The answer of the script with entries behind an offset, up to another. Each body has two bytes.
fn page(kind: &str, top: u64, before: u64, last: u64) -> String {
    let mut items = vec![bulk(kind), bulk(&at(top).to_string())];
    items.extend([bulk(&before.to_string()), bulk(&id(before))]);
    items.extend((before + 1..=last).map(|offset| {
        let words = [
            &*offset.to_string(),
            &id(offset),
            &id(offset - 1),
            "5",
            "\0ab",
        ];
        texts(&words)
    }));
    list(&items)
}

fn no_entries(kind: &str, top: u64) -> String {
    texts(&[kind, &at(top).to_string()])
}

/// Reads with these answers of the server. Returns the answer, and the arguments of each call.
async fn read(
    since: Since,
    history: History,
    answers: &[String],
) -> (Result<Catchup, EngineError>, Vec<Vec<String>>) {
    let setup = &mut Setup::new().await;
    let topic = topic();
    let reading = read::catch_up(&setup.commands, &setup.layout, &topic, since, history);
    let answering = async |peer: &mut Peer| {
        let mut calls = Vec::new();
        for answer in answers {
            let (keys, arguments) = peer.expect_script(Script::CatchUp, answer).await;
            assert_eq!(keys, ["sockeye:{70}:m:room/42", "sockeye:{70}:s:room/42"]);
            calls.push(arguments);
        }
        calls
    };
    tokio::join!(reading, answering(&mut setup.peer))
}

/// Reads, and returns where the branch begins, the offsets of its entries, and the top.
async fn whole(since: Since, answers: &[String]) -> (Position, Vec<u64>, Position) {
    let (answer, _) = read(since, window(), answers).await;
    let Ok(Catchup::Whole {
        before,
        entries,
        top,
    }) = answer
    else {
        panic!("not whole: {answer:?}");
    };
    let offsets = entries.iter().map(|entry| entry.position.offset).collect();
    (before, offsets, top)
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_read_has_its_arguments() {
    let (one, epoch) = (id(1), at(0).epoch.to_string());
    for (since, history, expected) in [
        (
            Since::Top,
            window(),
            ["top", "", "", "", "10", "8", "60000"],
        ),
        (
            Since::Recent(0),
            window(),
            ["top", "", "", "", "10", "8", "60000"],
        ),
        (
            Since::Recent(3),
            window(),
            ["recent", "", "", "", "3", "8", "60000"],
        ),
        (
            Since::Recent(99),
            window(),
            ["recent", "", "", "", "10", "8", "60000"],
        ),
        (
            Since::After(at(1)),
            window(),
            ["after", &epoch, "1", &one, "10", "8", "60000"],
        ),
        (
            Since::After(at(0)),
            window(),
            ["after", &epoch, "0", "0", "10", "8", "60000"],
        ),
    ] {
        let (_, calls) = read(since, history, &[page("whole", 1, 1, 1)]).await;
        assert_eq!(calls[0][..7], expected, "{since:?}");
        assert_eq!(calls[0][7], "262144");
        assert!(calls[0][8].parse::<Epoch>().is_ok());
        assert_eq!(calls[0][9..], ["600000"]);
    }
    let latest = History::latest().ttl(Duration::from_secs(5));
    for (since, expected) in [
        (Since::Top, ["top", "", "", ""]),
        (Since::Recent(2), ["latest", "", "", ""]),
        (Since::After(at(1)), ["latest", &epoch, "1", &one]),
    ] {
        let (_, calls) = read(since, latest, &[page("whole", 1, 1, 1)]).await;
        assert_eq!(calls[0][..4], expected, "{since:?}");
        assert_eq!(calls[0][6], "5000");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_of_one_page_leads_from_the_position_to_the_top() {
    let found = whole(Since::After(at(2)), &[page("whole", 5, 2, 5)]).await;
    assert_eq!(found, (at(2), vec![3, 4, 5], at(5)));
    let found = whole(Since::Top, &[page("whole", 5, 5, 5)]).await;
    assert_eq!(found, (at(5), vec![], at(5)));
}

#[tokio::test(start_paused = true)]
async fn pages_are_chained_by_the_position_of_the_last_entry() {
    let answers = [
        page("more", 4, 1, 2),
        page("more", 5, 2, 4),
        page("whole", 5, 4, 5),
    ];
    let (answer, calls) = read(Since::After(at(1)), window(), &answers).await;
    let Ok(Catchup::Whole { entries, top, .. }) = answer else {
        panic!("not whole: {answer:?}");
    };
    assert_eq!((entries.len(), top), (4, at(5)));
    for (call, offset) in calls[1..].iter().zip([2, 4]) {
        assert_eq!(
            call[2..5],
            [offset.to_string(), id(offset), "10".to_owned()]
        );
    }
    // A page with other messages than those behind the last entry is not taken.
    let answers = [page("more", 4, 1, 2), page("whole", 4, 3, 4)];
    let (answer, _) = read(Since::After(at(1)), window(), &answers).await;
    assert_eq!(answer.unwrap_err().kind, EngineErrorKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn a_later_page_that_is_lost_makes_the_whole_read_lost() {
    let lost = Ok(Catchup::Lost { top: at(9) });
    for kind in ["lost", "none"] {
        let answers = [page("more", 4, 1, 2), no_entries(kind, 9)];
        let (answer, _) = read(Since::After(at(1)), window(), &answers).await;
        assert_eq!(answer, lost);
    }
    let (answer, _) = read(Since::After(at(1)), window(), &[no_entries("lost", 9)]).await;
    assert_eq!(answer, lost);
    let (answer, _) = read(Since::Recent(1), window(), &[no_entries("none", 9)]).await;
    assert_eq!(answer, Ok(Catchup::None { top: at(9) }));
}

#[tokio::test(start_paused = true)]
async fn more_bytes_than_the_window_has_are_lost_behind_a_position() {
    let found = whole(Since::After(at(1)), &[page("whole", 5, 1, 5)]).await;
    assert_eq!(found, (at(1), vec![2, 3, 4, 5], at(5)));
    // The third page is not asked for: the bytes are too many.
    let answers = [page("more", 9, 1, 3), page("more", 9, 3, 6)];
    let (answer, _) = read(Since::After(at(1)), window(), &answers).await;
    assert_eq!(answer, Ok(Catchup::Lost { top: at(9) }));
}

#[tokio::test(start_paused = true)]
async fn the_newest_messages_lose_the_oldest_when_others_came_while_they_were_read() {
    // By number: two were asked for.
    let answers = [page("more", 5, 3, 4), page("whole", 6, 4, 6)];
    let found = whole(Since::Recent(2), &answers).await;
    assert_eq!(found, (at(4), vec![5, 6], at(6)));
    // By bytes: four messages have eight.
    let answers = [page("more", 4, 1, 3), page("whole", 6, 3, 6)];
    let found = whole(Since::Recent(9), &answers).await;
    assert_eq!(found, (at(2), vec![3, 4, 5, 6], at(6)));
}

#[tokio::test(start_paused = true)]
async fn a_history_with_a_hole_is_no_answer() {
    let mut hole = page("whole", 5, 2, 5);
    hole = hole.replacen(&id(3), &id(7), 1);
    let (answer, _) = read(Since::After(at(2)), window(), &[hole]).await;
    let error = answer.unwrap_err();
    assert_eq!(error.text, "the server's answer to catch_up cannot be read");
    for strange in [
        ":1\r\n".to_owned(),
        texts(&[]),
        texts(&["whole"]),
        texts(&["whole", "x"]),
        texts(&["other", &at(1).to_string()]),
        texts(&["whole", &at(1).to_string(), "1"]),
        texts(&["whole", &at(1).to_string(), "1", &id(1), "x"]),
    ] {
        let (answer, _) = read(Since::After(at(1)), window(), &[strange]).await;
        assert!(answer.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_history_has_nothing_to_read() {
    let (answer, _) = read(Since::Top, History::off(), &[]).await;
    let error = answer.unwrap_err();
    assert_eq!(
        (error.kind, error.published),
        (EngineErrorKind::Unsupported, WasPublished::No)
    );
}

#[tokio::test(start_paused = true)]
async fn tops_are_asked_for_together_and_come_in_the_order_of_the_topics() {
    let setup = &mut Setup::new().await;
    let topics: Vec<_> = (0..513)
        .map(|n| TopicName::new(n.to_string()).unwrap())
        .collect();
    let asking = read::tops(&setup.commands, &setup.layout, &topics);
    let answering = async |peer: &mut Peer| {
        for (n, _) in topics.iter().enumerate() {
            let command = peer.command().await;
            assert_eq!(
                (&*command[0], &command[2..]),
                ("HMGET", &["e", "o", "i"].map(String::from)[..])
            );
            assert!(command[1].ends_with(&format!(":m:{n}")));
            let answer = match n {
                0 => "*3\r\n$-1\r\n$-1\r\n$-1\r\n".to_owned(),
                n => texts(&[&at(0).epoch.to_string(), &n.to_string(), &id(n as u64)]),
            };
            peer.answer(answer).await;
        }
    };
    let (tops, ()) = tokio::join!(asking, answering(&mut setup.peer));
    let tops = tops.unwrap();
    assert_eq!((tops.len(), tops[0], tops[512]), (513, None, Some(at(512))));
    let asking = read::tops(&setup.commands, &setup.layout, &topics[..1]);
    let (tops, _) = tokio::join!(
        asking,
        setup.peer.expect(&["HMGET"], texts(&["x", "1", "1"]))
    );
    assert_eq!(tops, Err(CallError::Malformed("HMGET")));
}

#[tokio::test(start_paused = true)]
async fn lives_are_lengthened_by_one_call_for_each_partition() {
    let setup = &mut Setup::new().await;
    // Of these, the first and the last are in one partition.
    let topics = ["room/42", "a", "room/42/x"].map(|name| TopicName::new(name).unwrap());
    let life = Duration::from_secs(600);
    let keeping = read::keep(&setup.commands, &setup.layout, &topics, life);
    let answering = async |peer: &mut Peer| {
        let mut kept = Vec::new();
        for _ in 0..3 {
            let (keys, arguments) = peer.expect_script(Script::Keep, ":1\r\n").await;
            assert_eq!(arguments, ["600000"]);
            kept.extend(keys);
        }
        kept.sort();
        kept
    };
    let (done, kept) = tokio::join!(keeping, answering(&mut setup.peer));
    assert_eq!(done, Ok(()));
    let mut names = topics.map(|topic| {
        let name = setup.layout.name(crate::layout::Kind::Meta, &topic);
        name.to_string()
    });
    names.sort();
    assert_eq!(kept, names);
}
