//! Runs one case: starts its world, lets the faults happen under load, waits until the world has settled, and gathers the
//! evidence.
//!
//! ```text
//!  load │ faults │ load │ calm until 15 s after the last fault │ mark │ all reconnect, 3 s │ mark │ load, 3 s │ mark
//! ```

use std::path::Path;
use std::time::Duration;

use sockeye_engine_kit::schedule::{Chance, Seed};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::case::{Action, Case, Length, Run, Script};
use super::clock;
use super::crew::{Crew, JavaScript, Size};
use super::evidence::Evidence;
use super::publisher::Load;
use super::world::{Settings, World};
use crate::engines::program::Program;
use crate::error::Result;
use crate::judges;

/// What all cases of a run share.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    /// The sockeye to judge.
    pub(super) program: std::path::PathBuf,
    pub(super) javascript: JavaScript,
    /// The server under the nodes. `None` if only cases without a server run.
    pub(super) engine: Option<Program>,
}

/// Runs a case in a folder of its own.
pub(super) async fn drive(
    case: &Case,
    (length, size): (Length, Size),
    seed: Seed,
    tools: &Tools,
    folder: &Path,
) -> Result<Evidence> {
    judges::make_folder(folder)?;
    let mut chance = Chance::new(seed);
    let script = (case.script)(&mut chance, length);
    println!("{} seed {seed}: {}\n{script}", case.id, case.title);
    let settings = Settings {
        program: &tools.program,
        engine: tools.engine.as_ref(),
        reconnect: (length.run == Run::Quick).then_some(QUICK_RECONNECT),
    };
    let mut world = World::start(case.ground, settings, folder).await?;
    let mut crew = Crew::start(
        &world,
        (size, script.message_padding()),
        &tools.javascript,
        folder,
        &mut chance,
    )?;
    let mut evidence = Evidence {
        begin: clock::now(),
        ..Evidence::default()
    };
    let told = live(case, &script, &mut world, &mut crew, &mut evidence).await;
    // A run that failed half way leaves the logs too.
    let ended = crew.end(&mut evidence).await;
    world.write_info(folder).await?;
    world.testify(&mut evidence);
    evidence.keep_heard();
    evidence.write(folder)?;
    told.and(ended).map(|()| evidence)
}

async fn live(
    case: &Case,
    script: &Script,
    world: &mut World,
    crew: &mut Crew,
    evidence: &mut Evidence,
) -> Result<()> {
    let begin = Instant::now();
    for (time, action) in script.steps() {
        watch_until(world, begin + time).await?;
        let at = begin.elapsed().as_secs_f64();
        println!("{} {at:>7.3} s  {action}", case.id);
        match action {
            Action::Publish(false) => crew.load(Load::None),
            Action::Publish(true) => crew.load(Load::Full),
            Action::Calm => crew.tell("calm").await?,
            action => world.apply(&action).await?,
        }
    }
    if !script.rests() {
        watch_until(world, Instant::now() + LOAD_AFTER).await?;
    }
    crew.load(Load::None);
    crew.tell("calm").await?;
    let last = world.last_fault().unwrap_or_else(clock::now);
    let settle = match world.last_fault() {
        Some(_) => SETTLE,
        None => CALM,
    };
    let left = settle.saturating_sub(Duration::from_millis(clock::now().saturating_sub(last)));
    watch_until(world, Instant::now() + left).await?;
    mark(crew, evidence).await?;
    crew.tell("reconnect").await?;
    watch_until(world, Instant::now() + RETURN).await?;
    mark(crew, evidence).await?;
    crew.load(Load::Full);
    watch_until(world, Instant::now() + LAST_LOAD).await?;
    crew.load(Load::None);
    watch_until(world, Instant::now() + CALM).await?;
    mark(crew, evidence).await
}

/// The run has settled: the observers read, and the checker judges where each client stands.
async fn mark(crew: &Crew, evidence: &mut Evidence) -> Result<()> {
    crew.look().await?;
    // What the observers read has an earlier time than the mark, and what is published next a later one.
    sleep(Duration::from_millis(2)).await;
    evidence.settled.push(clock::now());
    sleep(Duration::from_millis(2)).await;
    Ok(())
}

async fn watch_until(world: &mut World, until: Instant) -> Result<()> {
    let mut looks = interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = sleep_until(until) => return Ok(()),
            _ = looks.tick() => world.look()?,
        }
    }
}

/// The longest pause of a node before it connects to its server again, in a quick run.
const QUICK_RECONNECT: Duration = Duration::from_secs(2);
/// The load behind the last action.
const LOAD_AFTER: Duration = Duration::from_secs(8);
/// The time in which clients come to the newest positions after a fault, and without one.
const SETTLE: Duration = Duration::from_secs(15);
const CALM: Duration = Duration::from_millis(2_500);
/// The time for all clients to return.
const RETURN: Duration = Duration::from_secs(3);
const LAST_LOAD: Duration = Duration::from_secs(1);
const LOOKS: Duration = Duration::from_secs(1);
