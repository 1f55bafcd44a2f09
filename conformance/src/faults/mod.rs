//! The bench of faults: it kills, freezes and cuts nodes and servers under load, and judges what clients were told by what the
//! engine stored.

mod case;
mod cases;
pub(crate) mod client;
mod clock;
mod crew;
mod drive;
mod engine;
mod evidence;
mod hit;
mod line;
mod listener;
mod node;
mod options;
mod party;
mod proof;
mod publisher;
mod reader;
mod recording;
mod report;
mod scenes;
mod topics;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sockeye_engine_kit::schedule::Seed;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::case::{Case, Ground, Run};
pub(crate) use self::crew::CLIENT_ROLE;
use self::crew::JavaScript;
use self::drive::{Tools, drive};
use self::options::Options;
use self::scenes::{Scene, Stage};
use crate::engines::program::{Brand, Program};
use crate::error::Result;
use crate::{javascript, judges};

/// Runs the bench as the command line asks.
pub(crate) async fn judge(arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let cases = chosen(&options)?;
    let folder = judges::folder("javascript")?;
    let javascript = JavaScript {
        node: javascript::node(&folder).await?,
        client: javascript::client()?.join("sockeye.js"),
    };
    let mut plans: Vec<Plan> = Vec::new();
    let mut engines: Vec<Option<Brand>> = options.engines.iter().copied().map(Some).collect();
    let needs_none =
        |plot: &Plot| matches!(plot, Plot::Case(case) if case.ground == Ground::Memory);
    if cases.iter().all(needs_none) {
        engines = vec![None];
    }
    for brand in engines {
        let engine = match brand {
            Some(brand) => Some(Program::ready(brand).await?),
            None => None,
        };
        let tools = Tools {
            program: options.program.clone(),
            javascript: javascript.clone(),
            engine,
        };
        for number in 0..options.repeat {
            let seed = options.seed.unwrap_or_else(Seed::draw);
            let name = brand.map_or("memory".to_owned(), |brand| brand.to_string());
            let fits = |plot: &&Plot| brand.is_none_or(|brand| plot.fits(brand));
            plans.extend(cases.iter().filter(fits).map(|case| Plan {
                plot: *case,
                seed,
                name: format!("{}-{name}-{number}", case.id()),
                tools: tools.clone(),
            }));
        }
    }
    run_all(plans, Arc::new(options)).await
}

/// A case that is to run.
struct Plan {
    plot: Plot,
    seed: Seed,
    name: String,
    tools: Tools,
}

/// What happens: a case under load, or a scene.
#[derive(Clone, Copy)]
enum Plot {
    Case(Case),
    Scene(Scene),
}

impl Plot {
    fn all() -> Vec<Self> {
        let cases = cases::all().into_iter().map(Self::Case);
        let scenes = scenes::all().into_iter().map(Self::Scene);
        cases.chain(scenes).collect()
    }

    fn id(&self) -> &'static str {
        match self {
            Self::Case(case) => case.id,
            Self::Scene(scene) => scene.id,
        }
    }

    /// Whether it can happen on this server.
    fn fits(&self, brand: Brand) -> bool {
        match self {
            Self::Case(_) => true,
            Self::Scene(scene) => scene.brands.contains(&brand),
        }
    }

    fn run(&self) -> Run {
        match self {
            Self::Case(case) => case.run,
            Self::Scene(scene) => scene.run,
        }
    }
}

fn chosen(options: &Options) -> Result<Vec<Plot>> {
    let all = Plot::all();
    if options.cases.is_empty() {
        let of_run = all.into_iter().filter(|plot| plot.run() <= options.run);
        return Ok(of_run.collect());
    }
    let find = |id: &String| {
        let found = all.iter().find(|plot| plot.id() == *id).copied();
        found.ok_or_else(|| format!("no case is called `{id}`").into())
    };
    options.cases.iter().map(find).collect()
}

async fn run_all(plans: Vec<Plan>, options: Arc<Options>) -> Result<()> {
    let permits = Arc::new(Semaphore::new(options.at_once));
    let mut running = JoinSet::new();
    for plan in plans {
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let options = Arc::clone(&options);
        running.spawn(async move {
            let is_good = run(&plan, &options).await;
            drop(permit);
            is_good
        });
    }
    let mut counts = [0; 2];
    while let Some(is_good) = running.join_next().await {
        counts[usize::from(is_good?)] += 1;
    }
    let [failed, passed] = counts;
    println!("faults: {passed} passed, {failed} failed");
    match failed {
        0 => Ok(()),
        _ => Err("cases failed, listed above".into()),
    }
}

/// Runs a case, and says what came out. Returns whether it passed.
async fn run(plan: &Plan, options: &Options) -> bool {
    let Plan {
        plot, seed, name, ..
    } = plan;
    let outcome = async {
        let folder = judges::output("faults")?.join(seed.to_string()).join(name);
        let case = match plot {
            Plot::Case(case) => case,
            Plot::Scene(scene) => return play(scene, plan, options, folder).await,
        };
        let evidence = drive(
            case,
            (options.length(), options.size(case)),
            mixed(*seed, case.id),
            &plan.tools,
            &folder,
        )
        .await?;
        if options.record {
            judges::write(&folder.join("recording.txt"), recording::text(&evidence)?)?;
        }
        let verdict = report::judge(case, &evidence);
        let (events, messages) = evidence.counts();
        let heading = format!(
            "{name}, seed {seed}: {}; {events} events of {} clients, {messages} messages, {} entries",
            case.title,
            evidence.clients.len(),
            evidence.found.stored.len(),
        );
        if verdict.is_good() {
            println!("{heading}: ok");
            if let Some(measured) = proof::longest_ghost(&evidence) {
                println!("{name}: {measured}");
            }
            if !options.keep && !options.record {
                remove(&folder)?;
            }
            return Ok(());
        }
        Err(verdict.write(&heading, &evidence, &folder)?.into())
    };
    let outcome: Result<()> = outcome.await;
    if let Err(error) = &outcome {
        println!("{name}, seed {seed}: FAILED: {error}");
    }
    outcome.is_ok()
}

/// Plays a scene. The error says what is not as it must be.
async fn play(scene: &Scene, plan: &Plan, options: &Options, folder: PathBuf) -> Result<()> {
    let Plan { name, tools, .. } = plan;
    println!("{name}: {}", scene.title);
    judges::make_folder(&folder)?;
    let stage = Stage {
        program: tools.program.clone(),
        engine: tools.engine.clone().ok_or("a scene needs a server")?,
        folder: folder.clone(),
    };
    (scene.play)(stage).await?;
    println!("{name}: {}: ok", scene.title);
    if !options.keep {
        remove(&folder)?;
    }
    Ok(())
}

/// The seed of one case of a run.
fn mixed(seed: Seed, id: &str) -> Seed {
    let mixed = id.bytes().fold(seed.0, |mixed, byte| {
        (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Seed(mixed)
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder)
        .map_err(|error| format!("cannot remove {}: {error}", folder.display()).into())
}
