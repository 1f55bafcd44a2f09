//! Foreign libraries, the judges of whether Sockeye gets on with others: its server with their clients,
//! its client with their servers.
//!
//! ```text
//!            commands, events                                        calls, events
//!   check ◀──────────────────▶ puppet ◀── TCP ──▶ tap ◀── TCP ──▶ Sockeye ◀──────────────────▶ check
//!                                                  └── what was on the wire ──────────────────▶ check
//! ```
//!
//! - A [`puppet`] is a small program around a foreign library. It decides nothing: it does what a line on
//!   its stdin says, and tells on stdout what its library told it. It is a client or a server.
//! - [`sockeye`] is the other end, in this process, with the public interface and the same verbs.
//! - The [`tap`] between them reads the wire, so that neither end is asked what it sent: what was agreed
//!   on, which frames went, with which bits.
//! - A [`check`] is written once, over the two ends and the tap, whatever the library and the role.
//! - The [`examples`] of Tomcat are no puppets: they are as they are, and have checks of their own.
//! - So do the [`programs`]: servers that are applications, each with a protocol of its own.
//!
//! What passed goes to `docs/interop.md`, with the versions. A puppet says itself what its library has no way
//! to do; that becomes a footnote.

mod check;
mod deflate;
mod examples;
mod install;
mod page;
mod peer;
mod programs;
mod puppet;
mod sockeye;
mod tap;
mod tomcat;

use tokio::process::Command;

use crate::error::Result;
use crate::judges;
use crate::process::run;

use self::check::{CHECKS, Cell, Pair};
use self::install::Tools;
use self::page::Row;
use self::peer::PEERS;
use self::puppet::Puppet;
use self::tap::Tap;

/// Runs the judge as the command line asks: with `--only NAME` one peer or program, `examples` for those of Tomcat,
/// and then nothing is written.
pub(crate) async fn judge(arguments: &[String]) -> Result<()> {
    let only = match arguments {
        [] => None,
        [option, name] if option == "--only" => Some(name.as_str()),
        _ => return Err("the judge peers has the option `--only NAME` and no other".into()),
    };
    let folder = judges::folder("peers")?;
    let tools = Tools::ready(&folder).await?;
    let mut rows = Vec::new();
    for peer in PEERS {
        if only.is_none_or(|name| peer.name.contains(name)) {
            rows.extend(try_peer(peer, &tools).await?);
        }
    }
    if only.is_none() {
        let version = run(Command::new("curl").arg("--version")).await;
        rows.push(page::curl_row(&version.unwrap_or_default()));
    }
    let examples = match only {
        None | Some("examples") => examples::try_all(&tools).await?,
        Some(_) => Vec::new(),
    };
    let programs = programs::try_all(&tools, only).await?;
    if rows.is_empty() && examples.is_empty() && programs.is_empty() {
        return Err("no peer is called so".into());
    }
    let count = |is_so: fn(&Cell) -> bool| {
        let rows = rows.iter().chain(&examples).chain(&programs);
        let cells = rows.flat_map(|row| &row.cells);
        cells.filter(|cell| is_so(cell)).count()
    };
    let failed = count(|cell| cell.fault.is_some());
    let passed = count(|cell| cell.fault.is_none() && cell.tried.passed > 0);
    let untried = count(|cell| cell.fault.is_none() && cell.tried.passed == 0);
    println!("{}", page::tables(&rows, &examples, &programs)?);
    println!("peers: {passed} passed, {failed} failed, {untried} could not be tried");
    if only.is_none() {
        page::write(&rows, &examples, &programs)?;
    }
    match failed {
        0 => Ok(()),
        _ => Err("Sockeye and its peers disagree, as said above".into()),
    }
}

/// All checks of one peer, a row for each role that Sockeye plays.
async fn try_peer(peer: &peer::Peer, tools: &Tools) -> Result<Vec<Row>> {
    let tap = Tap::start().await?;
    let stderr = tools.folder().join(format!("{}.stderr", peer.name));
    let mut puppet = Puppet::start(&mut peer.command(tools), stderr).await?;
    let version = puppet.version().await?;
    let nginx = match peer.through {
        Some(peer::Proxy::Nginx) => Some(tools.nginx(tap.address()).await?),
        None => None,
    };
    let mut rows = Vec::new();
    for &role in peer.roles {
        let mut row = Row::new(peer, &version, role, nginx.as_ref());
        for check in CHECKS {
            let mut pair = Pair::new(peer, role, &mut puppet, &tap, nginx.as_ref());
            let cell = (check.run)(&mut pair).await;
            println!("peers: {}: {}: {cell}", row.name, check.name);
            row.cells.push(cell);
        }
        rows.push(row);
    }
    Ok(rows)
}
