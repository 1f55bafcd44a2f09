//! The Autobahn Testsuite, the judge of RFC 6455 and RFC 7692 in both roles. Its fuzzing client tests a Sockeye echo
//! server. Its fuzzing server tests a Sockeye client that echoes, once as a connection and once as the browser's object.
//! Every case has to be OK or INFORMATIONAL; NON-STRICT counts as a fault.
//!
//! One process of the suite uses one core, and compression keeps it busy for minutes. So the cases are
//! run in batches, as many at a time as there are cores. A run of all of them in all roles writes what
//! it found to `docs/conformance.md`.

mod page;
mod peer;
mod suite;
mod verdict;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::error::Result;
use crate::judges;
use crate::port;
use crate::process::Child;

use self::suite::Suite;
use self::verdict::Verdicts;

/// Runs the judge as the command line asks.
pub(crate) async fn judge(arguments: &[String]) -> Result<()> {
    let plan = Plan::parse(arguments)?;
    let folder = judges::folder("autobahn")?;
    let suite = Arc::new(Suite::ready(&folder).await?);
    let results = run_batches(&plan, &suite, &folder).await?;
    let mut faults = 0;
    for (role, result) in &results {
        println!("autobahn: {role}: {}", result.verdicts);
        for fault in result.verdicts.faults() {
            println!("autobahn: {role}: {fault}");
            faults += 1;
        }
    }
    let judged: usize = results.values().map(|result| result.verdicts.len()).sum();
    println!("autobahn: {} passed, {faults} failed", judged - faults);
    if plan.is_complete {
        page::write(&results)?;
    }
    if faults == 0 {
        Ok(())
    } else {
        Err("the Autobahn Testsuite found faults, listed above".into())
    }
}

/// Runs each batch in each role, and puts together what was found on each role.
async fn run_batches(
    plan: &Plan,
    suite: &Arc<Suite>,
    folder: &Path,
) -> Result<BTreeMap<Role, Findings>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let free = Arc::new(Semaphore::new(cores));
    let mut running: JoinSet<Result<_>> = JoinSet::new();
    for cases in &plan.batches {
        for &role in &plan.roles {
            let trial = Trial::prepare(suite, folder, role, cases)?;
            let free = Arc::clone(&free);
            running.spawn(async move {
                let _core = free.acquire_owned().await?;
                let findings = match role {
                    Role::Server => trial.of_server().await?,
                    Role::Client | Role::Object => trial.of_client(role).await?,
                };
                println!("autobahn: {role}: {}: {}", trial.name, findings.verdicts);
                Ok((role, findings))
            });
        }
    }
    let mut results: BTreeMap<Role, Findings> = BTreeMap::new();
    // An error drops the set, and with it the batches that still run, and their processes.
    while let Some(batch) = running.join_next().await {
        let (role, findings): (Role, Findings) = batch??;
        match results.entry(role) {
            Entry::Occupied(mut found) => found.get_mut().verdicts.add(findings.verdicts),
            Entry::Vacant(place) => {
                place.insert(findings);
            }
        }
    }
    Ok(results)
}

/// What to judge.
struct Plan {
    /// Patterns of cases, which one process of the suite runs.
    batches: Vec<Vec<String>>,
    roles: Vec<Role>,
    /// Whether that is all there is.
    is_complete: bool,
}

impl Plan {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut batches = ALL;
        let mut chosen = None;
        let mut roles = vec![Role::Server, Role::Client, Role::Object];
        let mut arguments_left = arguments.iter();
        while let Some(argument) = arguments_left.next() {
            let mut value = || {
                arguments_left
                    .next()
                    .ok_or(format!("`{argument}` needs a value"))
            };
            match argument.as_str() {
                "--fast" => batches = FAST,
                "--cases" => chosen = Some(value()?.split(',').map(str::to_owned).collect()),
                "--role" => roles = vec![Role::parse(value()?)?],
                other => return Err(format!("the judge autobahn has no option `{other}`").into()),
            }
        }
        let owned = |batch: &&[&str]| batch.iter().map(ToString::to_string).collect();
        Ok(Self {
            batches: match chosen {
                Some(cases) => vec![cases],
                None => batches.iter().map(owned).collect(),
            },
            roles,
            is_complete: arguments.is_empty(),
        })
    }
}

/// The part that Sockeye plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Client,
    /// The client's by the browser's object.
    Object,
    Server,
}

impl Role {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "client" => Ok(Self::Client),
            "object" => Ok(Self::Object),
            "server" => Ok(Self::Server),
            other => Err(format!("`{other}` is no role: client, object or server").into()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Object => "object",
            Self::Server => "server",
        })
    }
}

/// What the suite found on one role, and which suite it was.
struct Findings {
    verdicts: Verdicts,
    suite: String,
}

/// One process of the suite against one role, with a folder of its own.
struct Trial {
    suite: Arc<Suite>,
    cases: Vec<String>,
    name: String,
    folder: PathBuf,
}

impl Trial {
    fn prepare(suite: &Arc<Suite>, folder: &Path, role: Role, cases: &[String]) -> Result<Self> {
        let name = cases.first().ok_or("no case to run")?.replace(".*", "");
        let folder = folder.join(role.to_string()).join(&name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .map_err(|error| format!("cannot empty {}: {error}", folder.display()))?;
        }
        judges::make_folder(&folder)?;
        Ok(Self {
            suite: Arc::clone(suite),
            cases: cases.to_vec(),
            name,
            folder,
        })
    }

    async fn of_server(&self) -> Result<Findings> {
        let server = peer::EchoServer::start().await?;
        let spec = json!({
            "outdir": self.folder,
            "servers": [{ "agent": AGENT, "url": format!("ws://{}/", server.address()) }],
            "cases": self.cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        let mut wstest = self.wstest("fuzzingclient", &spec)?;
        let mut heard = String::new();
        let mut last_heard = Instant::now();
        while !wstest.has_ended()? {
            sleep(POLL).await;
            let output = wstest.stdout();
            if output != heard {
                heard = output;
                last_heard = Instant::now();
            } else if last_heard.elapsed() > SILENCE_LIMIT {
                let last = heard.lines().last().unwrap_or_default();
                return Err(
                    format!("the suite says nothing for {SILENCE_LIMIT:?}, after: {last}").into(),
                );
            }
        }
        self.findings(announced_cases(&wstest.stdout()))
    }

    async fn of_client(&self, role: Role) -> Result<Findings> {
        let address = port::pick_free().await?;
        let spec = json!({
            "outdir": self.folder,
            "url": format!("ws://{address}"),
            "cases": self.cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        let mut wstest = self.wstest("fuzzingserver", &spec)?;
        port::await_listener(address, &mut wstest).await?;
        let count: usize = peer::ask(&format!("ws://{address}/getCaseCount"))
            .await?
            .trim()
            .parse()?;
        for case in 1..=count {
            let url = format!("ws://{address}/runCase?case={case}&agent={AGENT}");
            let echoing = async {
                match role {
                    Role::Object => peer::echo_by_object(&url).await,
                    Role::Client | Role::Server => peer::echo(&url).await,
                }
            };
            match timeout(SILENCE_LIMIT, echoing).await {
                Ok(outcome) => outcome.map_err(|error| {
                    format!(
                        "cannot run case number {case}: {}",
                        sockeye::error::ErrorChain::new(&*error)
                    )
                })?,
                Err(_) => {
                    return Err(format!(
                        "case number {case} has not ended after {SILENCE_LIMIT:?}"
                    )
                    .into());
                }
            }
            wstest.check_running()?;
        }
        peer::echo(&format!("ws://{address}/updateReports?agent={AGENT}")).await?;
        self.findings(count)
    }

    fn wstest(&self, mode: &str, spec: &serde_json::Value) -> Result<Child> {
        let path = self.folder.join("spec.json");
        judges::write(&path, spec.to_string())?;
        Child::spawn(
            &mut self.suite.wstest(mode, &self.folder, &path)?,
            &self.folder,
        )
    }

    fn findings(&self, expected: usize) -> Result<Findings> {
        let verdicts = Verdicts::read(&self.folder, AGENT)?;
        if expected == 0 || verdicts.len() != expected {
            return Err(format!(
                "the suite ran {expected} cases and reports on {}",
                verdicts.len()
            )
            .into());
        }
        let report = fs::read_to_string(self.folder.join(verdicts.first_report()))?;
        let suite = suite_version(&report)
            .ok_or("the suite does not say its version")?
            .to_owned();
        Ok(Findings { verdicts, suite })
    }
}

/// How many cases the fuzzing client says that it will run.
fn announced_cases(output: &str) -> usize {
    let announced = output
        .split_once("will run ")
        .and_then(|(_, rest)| rest.split(' ').next());
    announced.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// What the suite calls itself in the handshake, which the report on each case has.
fn suite_version(report: &str) -> Option<&str> {
    let (_, rest) = report.split_once("AutobahnTestSuite/")?;
    let (version, _) = rest.split_once('-')?;
    Some(version)
}

const AGENT: &str = "Sockeye";
/// Messages of up to 16 MiB; compression, a thousand messages a case; and framing, control frames,
/// fragmentation, UTF-8, closing. What takes longest comes first.
#[rustfmt::skip]
const ALL: &[&[&str]] = &[
    &["12.1.*"], &["12.2.*"], &["12.3.*"], &["12.4.*"], &["12.5.*"],
    &["13.1.*"], &["13.2.*"], &["13.3.*"], &["13.4.*"], &["13.5.*"], &["13.6.*"], &["13.7.*"],
    &["9.*"],
    &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
];
/// The same without compression, and without messages of more than 1 MiB.
#[rustfmt::skip]
const FAST: &[&[&str]] = &[
    &["9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.2.2", "9.2.3", "9.5.*", "9.6.*", "9.7.*", "9.8.*"],
    &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
];
const POLL: Duration = Duration::from_millis(100);
/// No case takes longer by itself: the suite gives up its longest after 480 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Plan::parse(&arguments)
    }

    #[test]
    fn both_roles_and_all_cases_are_judged_unless_told_otherwise() {
        let plan = plan(&[]).unwrap();
        assert_eq!(plan.roles, [Role::Server, Role::Client, Role::Object]);
        assert_eq!(plan.batches, ALL);
        assert!(plan.is_complete);
    }

    #[test]
    fn cases_and_role_can_be_chosen() {
        let plan = plan(&["--fast", "--cases", "1.*,9.1.1", "--role", "client"]).unwrap();
        assert_eq!(plan.roles, [Role::Client]);
        assert_eq!(plan.batches, [["1.*", "9.1.1"]]);
        assert!(!plan.is_complete);
    }

    #[test]
    fn an_unknown_option_or_role_is_named() {
        assert!(
            plan(&["--slow"])
                .err()
                .unwrap()
                .to_string()
                .contains("--slow")
        );
        assert!(
            plan(&["--role", "proxy"])
                .err()
                .unwrap()
                .to_string()
                .contains("proxy")
        );
        assert!(
            plan(&["--cases"])
                .err()
                .unwrap()
                .to_string()
                .contains("--cases")
        );
    }

    #[test]
    fn the_suite_says_its_version() {
        let report = r"Upgrade: websocket\r\nUser-Agent: AutobahnTestSuite/25.10.1-0.10.9\r\n";
        assert_eq!(suite_version(report), Some("25.10.1"));
        assert_eq!(suite_version("Upgrade: websocket"), None);
    }

    #[test]
    fn the_fuzzing_client_announces_its_cases() {
        assert_eq!(
            announced_cases("Ok, will run 301 test cases for any clients"),
            301
        );
        assert_eq!(announced_cases("starting"), 0);
    }
}
