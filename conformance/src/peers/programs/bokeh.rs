//! `bokeh serve` with compression, by its own option: a server on Tornado that keeps its window even if the client asks
//! it not to. A message of its protocol is three texts: header, metadata, content.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use crate::error::Result;
use crate::process::{Child, run};
use crate::{judges, port};

use super::super::install::Tools;
use super::{Kind, Link, Program};

pub(super) async fn start(tools: &Tools) -> Result<Program> {
    let said = run(tools.bokeh().arg("--version")).await?;
    let folder = tools.folder().join("bokeh");
    judges::make_folder(&folder)?;
    let address = port::pick_free().await?;
    let mut command = tools.bokeh();
    command
        .args(["serve", "--websocket-compression-level", "6", "--address"])
        .arg(address.ip().to_string())
        .args(["--port", &address.port().to_string()]);
    let mut process = Child::spawn(&mut command, &folder)?;
    port::await_listener(address, &mut process).await?;
    Ok(Program {
        kind: Kind::Bokeh,
        version: said.trim().to_owned(),
        address,
        path: "/ws".to_owned(),
        _process: process,
    })
}

/// The protocol's name, and as the second one a token without a signature, as the page would have it.
pub(super) fn subprotocols() -> Result<[String; 2]> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let token = json!({ "session_id": "sockeye", "session_expiry": now + 300 });
    let token = BASE64_URL_SAFE_NO_PAD.encode(token.to_string());
    Ok(["bokeh".to_owned(), token])
}

pub(super) async fn talk(link: &mut Link) -> Result<()> {
    let (header, _) = receive(link).await?;
    if header["msgtype"] != "ACK" {
        return Err(format!("it begins with {header}").into());
    }
    // Each answer is like the one before: the server's window makes it short.
    for number in 0..5 {
        let id = format!("request {number}");
        for part in [
            json!({ "msgid": id, "msgtype": "SERVER-INFO-REQ" }),
            json!({}),
            json!({}),
        ] {
            link.send(part.to_string()).await?;
        }
        let (header, content) = receive(link).await?;
        let server = &content["version_info"]["server"];
        if header["reqid"] != id || *server != link.version.as_str() {
            return Err(format!("request {number} is answered with {header}, {content}").into());
        }
    }
    match link.compressed() {
        true => Ok(()),
        false => Err("it compressed nothing".into()),
    }
}

async fn receive(link: &mut Link) -> Result<(Value, Value)> {
    let header = serde_json::from_str(&link.text().await?)?;
    link.text().await?;
    let content = serde_json::from_str(&link.text().await?)?;
    Ok((header, content))
}
