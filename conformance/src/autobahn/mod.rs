//! The Autobahn Testsuite, the judge of RFC 6455 in both roles: its fuzzing client tries a Sockeye
//! echo server, and its fuzzing server tries a Sockeye client that echoes. Every case has to be OK
//! or INFORMATIONAL, NON-STRICT counts as a fault.

mod peer;
mod suite;
mod verdict;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
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
    let suite = Suite::ready(&folder).await?;
    let mut judged = 0;
    let mut faults = Vec::new();
    for role in plan.roles {
        let trial = Trial::prepare(&suite, &folder, role, &plan.cases)?;
        let verdicts = match role {
            Role::Server => trial.of_server().await?,
            Role::Client => trial.of_client().await?,
        };
        println!("autobahn: {role}: {verdicts}");
        judged += verdicts.len();
        for fault in verdicts.faults() {
            println!("autobahn: {role}: {fault}");
            faults.push(fault);
        }
    }
    println!(
        "autobahn: {} passed, {} failed",
        judged - faults.len(),
        faults.len()
    );
    if faults.is_empty() {
        Ok(())
    } else {
        Err("the Autobahn Testsuite found faults, listed above".into())
    }
}

/// What to judge.
struct Plan {
    cases: Vec<String>,
    roles: Vec<Role>,
}

impl Plan {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut cases = ALL;
        let mut chosen = None;
        let mut roles = vec![Role::Server, Role::Client];
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or(format!("`{argument}` needs a value"))
            };
            match argument.as_str() {
                "--fast" => cases = FAST,
                "--cases" => chosen = Some(value()?.split(',').map(str::to_owned).collect()),
                "--role" => roles = vec![Role::parse(value()?)?],
                other => return Err(format!("the judge autobahn has no option `{other}`").into()),
            }
        }
        Ok(Self {
            cases: chosen.unwrap_or_else(|| cases.iter().map(ToString::to_string).collect()),
            roles,
        })
    }
}

/// The part that Sockeye plays.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Client,
    Server,
}

impl Role {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            other => Err(format!("`{other}` is no role: client or server").into()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// One run of the suite against one role, with a folder of its own.
struct Trial<'a> {
    suite: &'a Suite,
    role: Role,
    cases: &'a [String],
    folder: PathBuf,
}

impl<'a> Trial<'a> {
    fn prepare(suite: &'a Suite, folder: &Path, role: Role, cases: &'a [String]) -> Result<Self> {
        let folder = folder.join(role.to_string());
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .map_err(|error| format!("cannot empty {}: {error}", folder.display()))?;
        }
        judges::make_folder(&folder)?;
        Ok(Self {
            suite,
            role,
            cases,
            folder,
        })
    }

    async fn of_server(&self) -> Result<Verdicts> {
        let server = peer::EchoServer::start().await?;
        let spec = json!({
            "outdir": self.folder,
            "servers": [{ "agent": AGENT, "url": format!("ws://{}/", server.address()) }],
            "cases": self.cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        let mut wstest = self.wstest("fuzzingclient", &spec)?;
        let mut progress = Progress::new(self.role);
        let mut heard = String::new();
        let mut last_heard = Instant::now();
        while !wstest.has_ended()? {
            sleep(POLL).await;
            let output = wstest.stdout();
            if output != heard {
                heard = output;
                last_heard = Instant::now();
                progress.report(
                    heard.matches("Running test case ID").count(),
                    announced_cases(&heard),
                );
            } else if last_heard.elapsed() > SILENCE_LIMIT {
                let last = heard.lines().last().unwrap_or_default();
                return Err(
                    format!("the suite says nothing for {SILENCE_LIMIT:?}, after: {last}").into(),
                );
            }
        }
        self.verdicts(announced_cases(&wstest.stdout()))
    }

    async fn of_client(&self) -> Result<Verdicts> {
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
        let mut progress = Progress::new(self.role);
        for case in 1..=count {
            let url = format!("ws://{address}/runCase?case={case}&agent={AGENT}");
            match timeout(SILENCE_LIMIT, peer::echo(&url)).await {
                Ok(outcome) => {
                    outcome.map_err(|error| format!("cannot run case number {case}: {error}"))?
                }
                Err(_) => {
                    return Err(format!(
                        "case number {case} has not ended after {SILENCE_LIMIT:?}"
                    )
                    .into());
                }
            }
            wstest.check_running()?;
            progress.report(case, count);
        }
        peer::echo(&format!("ws://{address}/updateReports?agent={AGENT}")).await?;
        self.verdicts(count)
    }

    fn wstest(&self, mode: &str, spec: &serde_json::Value) -> Result<Child> {
        let path = self.folder.join("spec.json");
        judges::write(&path, spec.to_string())?;
        Child::spawn(
            &mut self.suite.wstest(mode, &self.folder, &path)?,
            &self.folder,
        )
    }

    fn verdicts(&self, expected: usize) -> Result<Verdicts> {
        let verdicts = Verdicts::read(&self.folder, AGENT)?;
        if expected == 0 || verdicts.len() != expected {
            return Err(format!(
                "the suite ran {expected} cases and reports on {}",
                verdicts.len()
            )
            .into());
        }
        Ok(verdicts)
    }
}

/// How many cases the fuzzing client says that it will run.
fn announced_cases(output: &str) -> usize {
    let announced = output
        .split_once("will run ")
        .and_then(|(_, rest)| rest.split(' ').next());
    announced.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// A line now and then, so that who waits sees how far it is.
struct Progress {
    role: Role,
    reported: usize,
}

impl Progress {
    fn new(role: Role) -> Self {
        Self { role, reported: 0 }
    }

    fn report(&mut self, done: usize, of: usize) {
        if done >= self.reported + PROGRESS_STEP || (done == of && done != self.reported) {
            println!("autobahn: {}: case {done} of {of}", self.role);
            self.reported = done;
        }
    }
}

const AGENT: &str = "Sockeye";
/// Framing, control frames, fragmentation, UTF-8, closing, sizes and times, chopped messages,
/// and compression of messages of 64 B to 4 KiB, for which the suite's Python takes a minute; for all of
/// 12 and 13 it takes over an hour: `--cases 12.*,13.*`.
const ALL: &[&str] = &[
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.1.2", "12.1.3", "12.1.4",
    "12.1.5", "12.2.2", "12.2.3", "12.2.4", "12.2.5", "12.3.2", "12.3.3", "12.3.4", "12.3.5",
    "12.4.2", "12.4.3", "12.4.4", "12.4.5", "12.5.2", "12.5.3", "12.5.4", "12.5.5", "13.1.2",
    "13.1.3", "13.1.4", "13.1.5", "13.2.2", "13.2.3", "13.2.4", "13.2.5", "13.3.2", "13.3.3",
    "13.3.4", "13.3.5", "13.4.2", "13.4.3", "13.4.4", "13.4.5", "13.5.2", "13.5.3", "13.5.4",
    "13.5.5", "13.6.2", "13.6.3", "13.6.4", "13.6.5", "13.7.2", "13.7.3", "13.7.4", "13.7.5",
];
/// The same without messages of more than 1 MiB.
const FAST: &[&str] = &[
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.2.2",
    "9.2.3", "9.5.*", "9.6.*", "9.7.*", "9.8.*", "10.*",
];
const PROGRESS_STEP: usize = 25;
const POLL: Duration = Duration::from_millis(100);
const SILENCE_LIMIT: Duration = Duration::from_secs(120);

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
        assert_eq!(plan.roles, [Role::Server, Role::Client]);
        assert_eq!(plan.cases, ALL);
    }

    #[test]
    fn cases_and_role_can_be_chosen() {
        let plan = plan(&["--fast", "--cases", "1.*,9.1.1", "--role", "client"]).unwrap();
        assert_eq!(plan.roles, [Role::Client]);
        assert_eq!(plan.cases, ["1.*", "9.1.1"]);
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
    fn the_fuzzing_client_announces_its_cases() {
        assert_eq!(
            announced_cases("Ok, will run 301 test cases for any clients"),
            301
        );
        assert_eq!(announced_cases("starting"), 0);
    }
}
