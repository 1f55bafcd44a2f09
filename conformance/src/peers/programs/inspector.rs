//! Node's inspector (`node --inspect`). It takes no control frame but a Close: a Ping ends the connection, so the
//! keep-alive is off.

use serde_json::json;

use crate::error::Result;
use crate::judges;
use crate::process::{Child, run};

use super::super::check::Tried;
use super::super::install::Tools;
use super::{Kind, Link, Program, listening};

pub(super) async fn start(tools: &Tools) -> Result<Program> {
    let said = run(tools.bare_node().arg("--version")).await?;
    let folder = tools.folder().join("inspector");
    judges::make_folder(&folder)?;
    let mut command = tools.bare_node();
    // An empty program that does not end.
    command.args(["--inspect=127.0.0.1:0", "-e", "setInterval(() => {}, 1e9)"]);
    let mut process = Child::spawn(&mut command, &folder)?;
    let found = |line: &str| listening(line, "Debugger listening on ");
    let (address, path) = process.await_stderr("where it listens", found).await?;
    Ok(Program {
        kind: Kind::Inspector,
        version: said.trim().trim_start_matches('v').to_owned(),
        address,
        path,
        _process: process,
    })
}

pub(super) async fn talk(link: &mut Link) -> Result<()> {
    link.call(1, "Runtime.enable", json!({})).await?;
    for (id, expression, expected) in [
        (2, "6 * 7".to_owned(), json!(42)),
        (3, "'Grüße 😀'".to_owned(), json!("Grüße 😀")),
        (
            4,
            format!("'{}'.length", "x".repeat(200_000)),
            json!(200_000),
        ),
        (
            5,
            "'y'.repeat(1 << 20)".to_owned(),
            json!("y".repeat(1 << 20)),
        ),
    ] {
        let params = json!({ "expression": expression, "returnByValue": true });
        let result = link.call(id, "Runtime.evaluate", params).await?;
        if result["result"]["value"] != expected {
            return Err(format!("expression {id} is not what it should be").into());
        }
    }
    Ok(())
}

/// Says so when a later Node can take a Ping.
pub(super) async fn ping(link: &mut Link) -> Result<Tried> {
    link.connection.ping(b"?").await?;
    // The connection ends, with a reset or without.
    match link.receive().await {
        Ok(Some(message)) => Err(format!("{message:?} came, not the end").into()),
        Ok(None) | Err(_) => {
            let ends = "a Ping ends its connection: the keep-alive has to be off";
            Ok(Tried {
                cannot: [ends.to_owned()].into(),
                ..Tried::default()
            })
        }
    }
}
