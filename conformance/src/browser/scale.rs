//! Two people chat through two nodes that share a Redis server. One node is killed: the page of that node goes on at the
//! other node, and says how much it missed. Then the server is killed and loses its data: both pages say that messages are
//! missing.

use std::path::{Path, PathBuf};

use crate::engines::program::{Brand, Program as Engine};
use crate::engines::server::{Data, Server};
use crate::error::Result;
use crate::judges;
use crate::program::Program;
use crate::relay::{Links, Relay};

use super::chat::Person;
use super::chromium::Chromium;
use super::log::{self, AWAY, MISSING, SAID};
use super::{Tally, until};

/// Tries it with a server and two programs of its own, which it kills; leaves screenshots.
pub(super) async fn try_nodes(
    chromium: &mut Chromium,
    path: &str,
    folder: &Path,
    tally: &mut Tally,
) -> Result<()> {
    let folder = folder.join("scale");
    let mut world = World::start(path, folder).await?;
    let ada = Person {
        name: "Ada",
        window: chromium.open_window().await?,
    };
    let grace = Person {
        name: "Grace",
        window: chromium.open_window().await?,
    };
    let tried = async {
        try_room(&ada, &grace, &world, tally).await?;
        try_killed_node(&ada, &grace, &mut world, tally).await?;
        try_return(&ada, &grace, &world, tally).await?;
        try_emptied_server(&ada, &grace, &mut world, tally).await
    }
    .await;
    if tried.is_err() {
        log::picture(&ada.window, "fault-scale-ada").await?;
        log::picture(&grace.window, "fault-scale-grace").await?;
    }
    tried
}

/// Two nodes on one server. A relay before each stands for a load balancer.
struct World {
    path: String,
    folder: PathBuf,
    server: Server,
    one: Option<Program>,
    two: Program,
    relays: [Relay; 2],
}

impl World {
    async fn start(path: &str, folder: PathBuf) -> Result<Self> {
        let engine = Engine::ready(Brand::Redis).await?;
        let data = folder.join("engine");
        judges::make_folder(&data)?;
        let server = Server::start(&engine, &data, &[]).await?;
        let one = start_node(path, &folder, "one", &server).await?;
        let two = start_node(path, &folder, "two", &server).await?;
        let relays = [
            Relay::start(one.url()).await?,
            Relay::start(two.url()).await?,
        ];
        Ok(Self {
            path: path.to_owned(),
            folder,
            server,
            one: Some(one),
            two,
            relays,
        })
    }

    async fn kill_one(&mut self) -> Result<()> {
        let one = self.one.take().ok_or("node one does not run")?;
        one.kill().await
    }

    /// Starts node one again. Its relay still leads to node two.
    async fn start_one_again(&mut self) -> Result<()> {
        let one = start_node(&self.path, &self.folder, "one", &self.server).await?;
        self.one = Some(one);
        Ok(())
    }

    /// Moves the pages of a relay to node one, as a load balancer does that sheds connections.
    fn move_to_one(&self, relay: &Relay) -> Result<()> {
        let one = self.one.as_ref().ok_or("node one does not run")?;
        relay.point_at(one.url());
        relay.reset(Links::All);
        Ok(())
    }
}

async fn start_node(path: &str, folder: &Path, name: &str, server: &Server) -> Result<Program> {
    let folder = folder.join(name);
    judges::make_folder(&folder)?;
    let url = Server::url(server.address(), None);
    Program::serve_with(path, &["--redis", &url, "--node", name], &folder).await
}

async fn try_room(ada: &Person, grace: &Person, world: &World, tally: &mut Tally) -> Result<()> {
    for (person, relay) in [ada, grace].into_iter().zip(&world.relays) {
        let url = format!("{}?room={ROOM}&name={}", relay.url(), person.name);
        person.window.goto(&url).await?;
        person.sees("state", "open").await?;
        person.say(&format!("{} is here", person.name)).await?;
    }
    for person in [ada, grace] {
        has_said(person, &["Ada is here", "Grace is here"]).await?;
        lists_both(person).await?;
    }
    tally.passed("a room is on two nodes");
    Ok(())
}

async fn try_killed_node(
    ada: &Person,
    grace: &Person,
    world: &mut World,
    tally: &mut Tally,
) -> Result<()> {
    world.kill_one().await?;
    ada.sees("state", "reconnecting").await?;
    let mut all = log::texts(&ada.window, SAID).await?;
    for number in 1..=MISSED {
        let text = format!("fish {number}");
        grace.say(&text).await?;
        all.push(text);
    }
    has_said(grace, &all).await?;
    world.relays[0].point_at(world.two.url());
    let note = format!("{MISSED} messages while you were away");
    ada.sees("log", &note).await?;
    has_said(ada, &all).await?;
    ada.sees("state", "open").await?;
    log::picture(&ada.window, "scale-away").await?;
    notes(ada, [0, 1]).await?;
    notes(grace, [0, 0]).await?;
    tally.passed("after its node was killed a page has all 7 messages from the other node, once, in order, and says 7");
    world.start_one_again().await?;
    for person in [ada, grace] {
        lists_both(person).await?;
    }
    log::picture(&grace.window, "scale-people").await?;
    tally.passed("the list of people is right after a node was killed");
    Ok(())
}

/// Ada goes back to node one, so that the people are on two nodes again.
async fn try_return(ada: &Person, grace: &Person, world: &World, tally: &mut Tally) -> Result<()> {
    let entries = log::mentions(&ada.window, JOINED).await?;
    world.move_to_one(&world.relays[0])?;
    until("Ada has joined at node one", || async {
        Ok(log::mentions(&ada.window, JOINED).await? > entries)
    })
    .await?;
    for person in [ada, grace] {
        lists_both(person).await?;
    }
    notes(ada, [0, 1]).await?;
    notes(grace, [0, 0]).await?;
    tally.passed("a page that missed nothing says nothing");
    Ok(())
}

async fn try_emptied_server(
    ada: &Person,
    grace: &Person,
    world: &mut World,
    tally: &mut Tally,
) -> Result<()> {
    let mut all = log::texts(&ada.window, SAID).await?;
    world.server.kill().await?;
    grace.say("back again").await?;
    grace.sees("error", "try again").await?;
    log::picture(&grace.window, "scale-refused").await?;
    tally.passed("without the Redis server a page says that the room did not take the message");
    world.server.start_again(Data::Empty).await?;
    for person in [ada, grace] {
        person.sees("log", MISSING).await?;
    }
    // The text that was refused is still in the field.
    grace.click("send").await?;
    ada.sees("log", "back again").await?;
    ada.say("so am I").await?;
    all.extend(["back again", "so am I"].map(str::to_owned));
    for person in [ada, grace] {
        has_said(person, &all).await?;
    }
    for (person, away) in [(ada, 1), (grace, 0)] {
        notes(person, [1, away]).await?;
        lists_both(person).await?;
        person.sees("state", "open").await?;
    }
    for person in [ada, grace] {
        log::show(&person.window, MISSING).await?;
        let name = person.name.to_lowercase();
        log::picture(&person.window, &format!("scale-missing-{name}")).await?;
    }
    tally.passed("after the Redis server lost its data both pages say that messages are missing, and nothing else");
    Ok(())
}

/// Waits until a page shows exactly these messages.
async fn has_said(person: &Person, all: &[impl AsRef<str>]) -> Result<()> {
    let what = format!("{} has all messages, once, in order", person.name);
    until(&what, || async {
        let said = log::texts(&person.window, SAID).await?;
        Ok(said.iter().eq(all.iter().map(AsRef::as_ref)))
    })
    .await
}

/// Waits until a page lists both people, each once. Ada may have a number behind her name: a node that was killed gives
/// its names back late.
async fn lists_both(person: &Person) -> Result<()> {
    let what = format!("{} sees that each is here once", person.name);
    until(&what, || async {
        let mut people = log::people(&person.window).await?;
        people.sort();
        Ok(matches!(&*people, [ada, grace] if ada.starts_with("Ada") && grace == "Grace"))
    })
    .await
}

/// Checks how often a page says that messages are missing, and how many messages came late.
async fn notes(person: &Person, expected: [usize; 2]) -> Result<()> {
    let missing = log::mentions(&person.window, MISSING).await?;
    let away = log::mentions(&person.window, AWAY).await?;
    if [missing, away] == expected {
        return Ok(());
    }
    let name = person.name;
    Err(format!("{name}'s page says {missing} times that messages are missing, and {away} times how many came late").into())
}

const ROOM: &str = "delta";
const MISSED: usize = 7;
const JOINED: &str = "You joined as";
