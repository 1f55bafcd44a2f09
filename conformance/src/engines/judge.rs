//! The judge of engines: the checks of the kit on `sockeye-redis`, with exactly the rights that its documents ask for.

use std::time::Duration;

use sockeye_engine_kit::Capability;
use sockeye_engine_kit::checks::{CHECKS, Check, Outcome};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::backend::ServerBackend;
use super::program::{Brand, Program};
use super::server::Server;
use crate::error::Result;
use crate::judges;

/// Runs the judge as the command line asks.
pub(crate) async fn judge(arguments: &[String]) -> Result<()> {
    let brands = match arguments {
        [] => Brand::ALL.to_vec(),
        [option, value] if option == "--engine" => Brand::chosen(value)?,
        _ => return Err("the judge engine takes only `--engine redis|valkey|both`".into()),
    };
    let mut failed = 0;
    for brand in brands {
        let program = Program::ready(brand).await?;
        let mut groups = JoinSet::new();
        for (number, group) in groups_of_checks().into_iter().enumerate() {
            groups.spawn(run(program.clone(), number, group));
        }
        let mut passed = 0;
        while let Some(counts) = groups.join_next().await {
            let [good, bad] = counts??;
            passed += good;
            failed += bad;
        }
        println!("engine {brand}: {passed} passed, {failed} failed; not run: {NEEDS_DAYS}");
    }
    match failed {
        0 => Ok(()),
        _ => Err("checks failed, listed above".into()),
    }
}

/// Returns the checks in groups that run at the same time, each on a server of its own. The checks that let minutes pass are
/// alone.
fn groups_of_checks() -> Vec<Vec<Check>> {
    let checks = CHECKS.iter().filter(|check| check.name != NEEDS_DAYS);
    let (patient, quick): (Vec<Check>, Vec<Check>) = checks.partition(|check| is_patient(check));
    let mut groups: Vec<Vec<Check>> = patient.into_iter().map(|check| vec![check]).collect();
    groups.push(quick);
    groups
}

fn is_patient(check: &Check) -> bool {
    check.needs.contains(&Capability::Clock)
}

/// Runs checks one after another. Returns how many passed, and how many did not.
async fn run(program: Program, number: usize, checks: Vec<Check>) -> Result<[usize; 2]> {
    let brand = program.brand;
    let folder = judges::folder(&format!("engine/{brand}-{number}"))?;
    let server = Server::start(&program, &folder, &[]).await?;
    let mut backend = match checks.iter().any(is_patient) {
        true => ServerBackend::patient(server),
        false => ServerBackend::new(server),
    };
    let mut counts = [0; 2];
    for check in checks {
        let outcome = timeout(PATIENCE, check.run(&backend)).await;
        backend.check_running()?;
        let fault = match outcome {
            Ok(Outcome::Passed) => None,
            Ok(Outcome::Failed(failure)) => Some(failure.to_string()),
            Ok(Outcome::Skipped(lacked)) => Some(format!("it did not run: it needs {lacked:?}")),
            Err(_) => Some(format!("it did not end in {PATIENCE:?}")),
        };
        counts[usize::from(fault.is_some())] += 1;
        match fault {
            None => println!("engine {brand}: {}: ok", check.name),
            Some(fault) => println!("engine {brand}: {}: FAILED: {fault}", check.name),
        }
    }
    Ok(counts)
}

/// This check lets two days pass. The tests of `sockeye-redis` with a clock of their own have what it asks for.
const NEEDS_DAYS: &str = "members_of_a_live_node_stay";
const PATIENCE: Duration = Duration::from_secs(400);
