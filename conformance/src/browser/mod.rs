//! A real browser, the judge of the pages of `sockeye serve`. Two people chat in two windows of a headless Chromium, and
//! draw and play in two others. Two more chat through links that break, and two through nodes that are killed. A script in the
//! page tests the echo and the push. Another tests Sockeye inside axum's server and inside hyper's.

mod chat;
pub(crate) mod chromium;
mod endpoints;
mod inside;
mod log;
mod play;
mod resume;
mod scale;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::Result;
use crate::judges;
use crate::program::Program;

use self::chromium::Chromium;

/// Runs the judge as the command line asks.
pub(crate) async fn judge(arguments: &[String]) -> Result<()> {
    let [option, path] = arguments else {
        return Err("the judge browser needs `--program PATH`, the sockeye to judge".into());
    };
    if option != "--program" {
        return Err(format!("the judge browser has no option `{option}`").into());
    }
    let folder = judges::folder("browser")?;
    let mut program = Program::serve(path, &folder).await?;
    let mut chromium = Chromium::start(&folder).await?;
    let mut tally = Tally::default();
    let mut outcome = try_all(&mut chromium, program.url(), &mut tally).await;
    if outcome.is_ok() {
        outcome = resume::try_links(&mut chromium, path, &folder, &mut tally).await;
    }
    if outcome.is_ok() {
        outcome = scale::try_nodes(&mut chromium, path, &folder, &mut tally).await;
    }
    // Windows outlive their driver unless they are closed.
    chromium.close_windows().await;
    program.check_running()?;
    if let Err(error) = outcome {
        tally.failed(
            "the run",
            &sockeye::error::ErrorChain::new(&*error).to_string(),
        );
    }
    println!("browser: {} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 {
        Ok(())
    } else {
        Err("the browser found faults, listed above".into())
    }
}

async fn try_all(chromium: &mut Chromium, url: &str, tally: &mut Tally) -> Result<()> {
    endpoints::try_in_page(chromium, url, tally).await?;
    inside::try_servers(chromium, tally).await?;
    play::try_pages(chromium, url, tally).await?;
    chat::try_two_people(chromium, url, tally).await
}

/// What passed and what failed so far, each said as it happens.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn passed(&mut self, check: &str) {
        println!("browser: {check}: ok");
        self.passed += 1;
    }

    fn failed(&mut self, check: &str, fault: &str) {
        println!("browser: {check}: FAILED: {fault}");
        self.failed += 1;
    }
}

/// Asks again and again until the answer is yes; the error says `what` did not come about.
async fn until<F>(what: &str, mut is_so: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<bool>>,
{
    let deadline = Instant::now() + LIMIT;
    while !is_so().await? {
        if Instant::now() >= deadline {
            return Err(format!("after {LIMIT:?} still not: {what}").into());
        }
        sleep(POLL).await;
    }
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
