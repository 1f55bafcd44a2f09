//! A script in a page of the program: `/echo` and `/push` through the browser's own `WebSocket`.

use serde_json::{Value, json};

use crate::error::Result;

use super::Tally;
use super::chromium::Chromium;

/// Runs the script; each of its checks is counted.
pub(super) async fn try_in_page(
    chromium: &mut Chromium,
    url: &str,
    tally: &mut Tally,
) -> Result<()> {
    let window = chromium.open_window().await?;
    window.goto(url).await?;
    let sockets = url.trim_end_matches('/').replacen("http", "ws", 1);
    let checks = window.execute_async(SCRIPT, vec![json!(sockets)]).await?;
    count(&checks, tally)
}

/// Counts the checks of a script: a list of `{ name, fault }`.
pub(super) fn count(checks: &Value, tally: &mut Tally) -> Result<()> {
    let checks = checks
        .as_array()
        .ok_or("the page script returned no list")?;
    for check in checks {
        let name = check
            .get("name")
            .and_then(Value::as_str)
            .ok_or("a check of the page script has no name")?;
        match check.get("fault").and_then(Value::as_str) {
            Some(fault) => tally.failed(name, fault),
            None => tally.passed(name),
        }
    }
    Ok(())
}

const SCRIPT: &str = include_str!("endpoints.js");
