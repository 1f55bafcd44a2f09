//! Two people chat, each through a relay. The link of one is held and reset: that page gets what it missed, and says how
//! much. Then the program is killed: both pages say that messages are missing.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::Result;
use crate::judges;
use crate::program::Program;
use crate::relay::{Links, Pace, Relay, Way};

use super::chat::Person;
use super::chromium::Chromium;
use super::log::{AWAY, MISSING, SAID, mentions, people, picture, show, texts};
use super::{Tally, until};

/// Tries it with a program of its own, which it kills; leaves screenshots.
pub(super) async fn try_links(
    chromium: &mut Chromium,
    path: &str,
    folder: &Path,
    tally: &mut Tally,
) -> Result<()> {
    let folder = folder.join("resume");
    judges::make_folder(&folder)?;
    let program = Program::serve(path, &folder).await?;
    let relays = [
        Relay::start(program.url()).await?,
        Relay::start(program.url()).await?,
    ];
    let ada = Person {
        name: "Ada",
        window: chromium.open_window().await?,
    };
    let grace = Person {
        name: "Grace",
        window: chromium.open_window().await?,
    };
    let tried = async {
        for (person, relay) in [&ada, &grace].into_iter().zip(&relays) {
            let url = format!("{}?room={ROOM}&name={}", relay.url(), person.name);
            person.window.goto(&url).await?;
            person.sees("state", "open").await?;
            person.say(&format!("{} is here", person.name)).await?;
        }
        try_history(&grace, tally).await?;
        try_held(&ada, &grace, &relays[0], tally).await?;
        try_killed([&ada, &grace], program, path, &folder, &relays, tally).await
    }
    .await;
    if tried.is_err() {
        picture(&ada.window, "fault-ada").await?;
        picture(&grace.window, "fault-grace").await?;
    }
    tried
}

async fn try_history(late: &Person, tally: &mut Tally) -> Result<()> {
    until("who comes later sees what was said before", || async {
        Ok(texts(&late.window, SAID).await? == ["Ada is here", "Grace is here"])
    })
    .await?;
    tally.passed("who comes later sees what was said before");
    Ok(())
}

async fn try_held(ada: &Person, grace: &Person, relay: &Relay, tally: &mut Tally) -> Result<()> {
    let before = texts(&ada.window, SAID).await?;
    relay.set(Links::All, Way::Both, Pace::Hold);
    let end = Instant::now() + HELD;
    let said: Vec<String> = (1..=MISSED)
        .map(|number| format!("fish {number}"))
        .collect();
    for text in &said {
        grace.say(text).await?;
    }
    grace.sees("log", &format!("fish {MISSED}")).await?;
    sleep_until(end).await;
    if texts(&ada.window, SAID).await? != before {
        return Err("messages came through a held link".into());
    }
    relay.reset(Links::All);
    let note = format!("{MISSED} messages while you were away");
    ada.sees("log", &note).await?;
    let all: Vec<String> = before.into_iter().chain(said).collect();
    until("Ada has all messages, once, in order", || async {
        Ok(texts(&ada.window, SAID).await? == all)
    })
    .await?;
    ada.sees("state", "open").await?;
    show(&ada.window, &note).await?;
    picture(&ada.window, "away").await?;
    let lines = "return getComputedStyle(document.querySelector('.said.more')).borderTopWidth";
    if ada.window.execute(lines, Vec::new()).await? != "0px" {
        return Err("there is a line between the messages of one person".into());
    }
    if mentions(&ada.window, MISSING).await? != 0 {
        return Err("Ada's page says that messages are missing, and none is".into());
    }
    let counted = mentions(&ada.window, AWAY).await?;
    if counted != 1 || mentions(&grace.window, AWAY).await? != 0 {
        return Err(format!("Ada's page counts missed messages {counted} times").into());
    }
    tally.passed(
        "after a held link and a reset a page has all 30 messages, once, in order, and says 30",
    );
    // Both people are there, each once.
    for person in [ada, grace] {
        until("each is here once", || async {
            let mut listed = people(&person.window).await?;
            listed.sort();
            // The server may see the new connection before the end of the old one. Then Ada has a number.
            Ok(listed.len() == 2 && listed[0].starts_with("Ada") && listed[1] == "Grace")
        })
        .await?;
    }
    tally.passed("the list of people is right after the reset");
    Ok(())
}

async fn try_killed(
    people: [&Person; 2],
    program: Program,
    path: &str,
    folder: &Path,
    relays: &[Relay; 2],
    tally: &mut Tally,
) -> Result<()> {
    program.kill().await?;
    for person in people {
        person.sees("state", "reconnecting").await?;
    }
    let program = Program::serve(path, folder).await?;
    for relay in relays {
        relay.point_at(program.url());
    }
    for person in people {
        person.sees("state", "open").await?;
        person.sees("log", MISSING).await?;
    }
    people[1].say("back again").await?;
    for person in people {
        person.sees("log", "back again").await?;
        let (missing, away) = (
            mentions(&person.window, MISSING).await?,
            mentions(&person.window, AWAY).await?,
        );
        let expected = usize::from(person.name == "Ada");
        if (missing, away) != (1, expected) {
            let name = person.name;
            return Err(format!("{name}'s page says {missing} times that messages are missing, and {away} times how many came late").into());
        }
    }
    show(&people[0].window, MISSING).await?;
    picture(&people[0].window, "missing").await?;
    tally.passed(
        "after the program was killed both pages say that messages are missing, and nothing else",
    );
    Ok(())
}

const ROOM: &str = "creek";
const HELD: Duration = Duration::from_secs(10);
const MISSED: usize = 30;
