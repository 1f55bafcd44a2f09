//! Chromium's DevTools (`--remote-debugging-port`). It answers a Ping before the requests that came ahead of it.

use std::fs;

use serde_json::json;
use tokio::process::Command;

use crate::browser::chromium;
use crate::error::Result;
use crate::judges;
use crate::process::{Child, run};

use super::super::install::Tools;
use super::{Kind, Link, Program, listening};

pub(super) async fn start(tools: &Tools) -> Result<Program> {
    let browser = chromium::program().await?;
    // Said as `Chromium 1.2.3.4 built on …`.
    let said = run(Command::new(&browser).args(["--version", "--no-sandbox"])).await?;
    let version = said
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let folder = tools.folder().join("devtools");
    let profile = folder.join("profile");
    if profile.exists() {
        fs::remove_dir_all(&profile)?;
    }
    judges::make_folder(&profile)?;
    let mut command = Command::new(&browser);
    command
        .args(chromium::ARGUMENTS)
        .arg("--remote-debugging-port=0")
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg("about:blank");
    let mut process = Child::spawn(&mut command, &folder)?;
    let found = |line: &str| listening(line, "DevTools listening on ");
    let (address, path) = process.await_stderr("where it listens", found).await?;
    Ok(Program {
        kind: Kind::DevTools,
        version: version.ok_or("Chromium has no version")?.to_owned(),
        address,
        path,
        _process: process,
    })
}

pub(super) async fn talk(link: &mut Link) -> Result<()> {
    // Its Pong comes ahead of the answer, which has to come all the same.
    let request = json!({ "id": 1, "method": "Browser.getVersion" });
    link.send(request.to_string()).await?;
    link.connection.ping(b"?").await?;
    let answer: serde_json::Value = serde_json::from_str(&link.text().await?)?;
    let product = answer["result"]["product"].as_str().unwrap_or_default();
    if !product.ends_with(&link.version) {
        return Err(format!("Browser.getVersion is answered with {answer}").into());
    }
    let created = link
        .call(2, "Target.createTarget", json!({ "url": "about:blank" }))
        .await?;
    let target = &created["targetId"];
    let targets = link.call(3, "Target.getTargets", json!({})).await?;
    let mut infos = targets["targetInfos"].as_array().into_iter().flatten();
    if !infos.any(|info| info["targetId"] == *target) {
        return Err(format!("{target} is not among the targets").into());
    }
    link.call(4, "Target.closeTarget", json!({ "targetId": target }))
        .await?;
    Ok(())
}
