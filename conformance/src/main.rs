//! External judges of Sockeye. Each one is a program that others wrote, run against Sockeye through
//! its public interface only; what a judge needs is installed here, and what it finds is printed.
//!
//! Called by `cargo xtask conformance`; never published.

#![expect(
    clippy::print_stdout,
    reason = "what a judge says is the product of this program"
)]

mod autobahn;
mod browser;
mod debian;
mod echo;
mod engines;
mod error;
mod faults;
mod inside;
mod javascript;
mod judges;
mod peers;
mod port;
mod process;
mod program;
mod proxies;
mod pypi;
mod python;
mod relay;

use std::process::ExitCode;

use crate::error::Result;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match judge(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {}", sockeye::error::ErrorChain::new(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn judge(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((judge, rest)) if judge == "autobahn" => autobahn::judge(rest).await,
        Some((judge, rest)) if judge == "browser" => browser::judge(rest).await,
        Some((judge, rest)) if judge == "engine" => engines::judge(rest).await,
        Some((judge, rest)) if judge == "faults" => faults::judge(rest).await,
        Some((role, [config])) if role == faults::CLIENT_ROLE => faults::client::run(config).await,
        Some((judge, rest)) if judge == "javascript" => javascript::judge(rest).await,
        Some((judge, rest)) if judge == "peers" => peers::judge(rest).await,
        Some((judge, rest)) if judge == "proxies" => proxies::judge(rest).await,
        Some((other, _)) => Err(format!("no judge is called `{other}`\n\n{USAGE}").into()),
        None => Err(USAGE.into()),
    }
}

const USAGE: &str = "\
usage: conformance JUDGE [OPTIONS]

judges:
  autobahn   the Autobahn Testsuite against a Sockeye server and a Sockeye client; all of it writes
             docs/conformance.md
    --fast               leave out compression, and messages of more than 1 MiB
    --cases 1.*,9.1.1    only these cases
    --role server|client only this role
  engine     the checks of the engine kit on `sockeye-redis`
    --engine NAME        redis, valkey or both (the default)
  faults     kills, freezes and cuts nodes and servers under load, and judges what clients were told
    --program PATH       the program to serve with
    --quick, --full      only the cases of the short or the middle run
    --case F1,F7         only these cases
    --engine NAME        redis, valkey or both (the default)
    --seed SEED          the faults of this seed
    --minutes N          how long the chaos lasts (30)
    --repeat N           each case so often
    --at-once N          so many cases at a time (3 with --quick, else 1)
    --record             few clients, and a text that the tests of the checker read
    --keep               keep the logs of cases that passed, too
  javascript the JavaScript client of topics in Node: its own tests, and against `sockeye serve`
    --program PATH       the program to serve with
  peers      other libraries' clients and servers, and programs; all of them write docs/interop.md
    --only NAME          only peers and programs whose name has this in it; `examples`: only Tomcat's examples
  proxies    the client through tinyproxy and microsocks, to ws: and wss:
  browser    a headless Chromium on the pages that the program gives out
    --program PATH       the sockeye to judge";
