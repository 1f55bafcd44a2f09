//! F25: a server behind TLS whose certificate is not trusted, has expired, or whose handshake is cut; and one that is trusted.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::time::{Instant, sleep};

use super::{Scene, Stage, TOPICS, display};
use crate::engines::program::Brand;
use crate::engines::server::Server;
use crate::error::Result;
use crate::faults::case::Run;
use crate::faults::node::Node;
use crate::port;
use crate::relay::{Links, Pace, Relay, Way};

pub(super) const SCENE: Scene = Scene {
    id: "F25",
    title: "TLS to the server: certificates that are not trusted, and handshakes that are cut",
    run: Run::Full,
    // The Valkey of PyPI has no TLS.
    brands: &[Brand::Redis],
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> Result<()> {
    let (ours, foreign) = (authority()?, authority()?);
    let trusted = stage.file("ours.pem", &ours.pem())?;
    let untrusted = stage.file("foreign.pem", &foreign.pem())?;
    let (server, address) = tls_server(&stage, &ours).await?;
    let relay = Relay::start(&address).await?;
    let url = |authority: &Path| {
        let reconnect = Some(Duration::from_secs(1));
        let url = Server::url(relay.address(), reconnect).replacen("redis:", "rediss:", 1);
        let url = url.replace("127.0.0.1", "localhost");
        format!("{url}&ca={}", display(authority))
    };
    // At start each trouble ends the program, and says what it is.
    refused(&stage, "untrusted", &url(&untrusted), "certificate").await?;
    relay.set(Links::All, Way::Down, Pace::CutAfter(100));
    refused(&stage, "cut", &url(&trusted), "").await?;
    relay.set(Links::All, Way::Both, Pace::Pass);
    let node = stage.node("node", "node-0", TOPICS, &url(&trusted)).await?;
    said(&node, 0, READY).await?;
    // Later a handshake that is cut is trouble that passes.
    let before = node.said().len();
    relay.reset(Links::All);
    relay.set(Links::All, Way::Down, Pace::CutAfter(100));
    said(&node, before, DOWN).await?;
    said(&node, before, AGAIN).await?;
    relay.set(Links::All, Way::Both, Pace::Pass);
    said(&node, before, READY).await?;
    // The server comes back with a certificate that has expired, and then with a good one.
    certify(&stage, &ours, true)?;
    reload(&stage, &server).await?;
    let before = node.said().len();
    relay.reset(Links::All);
    said(&node, before, DOWN).await?;
    said(&node, before, "expired").await?;
    refused(&stage, "expired", &url(&trusted), "expired").await?;
    certify(&stage, &ours, false)?;
    reload(&stage, &server).await?;
    said(&node, before, READY).await
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = CertificateParams::new(vec![])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Writes a certificate and its key for the server.
fn certify(stage: &Stage, authority: &Authority, has_expired: bool) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    if has_expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let certificate = params.signed_by(&key, authority)?;
    stage.file("certificate.pem", &certificate.pem())?;
    stage.file("key.pem", &key.serialize_pem())?;
    stage.file("authority.pem", &authority.pem())?;
    Ok(())
}

/// Starts a server with a second port, for TLS. Returns the address of that.
async fn tls_server(stage: &Stage, authority: &Authority) -> Result<(Server, String)> {
    certify(stage, authority, false)?;
    let address = port::pick_free().await?;
    let file = |name: &str| display(&stage.folder.join(name));
    let options = [
        format!("tls-port {}", address.port()),
        format!("tls-cert-file {}", file("certificate.pem")),
        format!("tls-key-file {}", file("key.pem")),
        format!("tls-ca-cert-file {}", file("authority.pem")),
        "tls-auth-clients no".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = stage.server(&options).await?;
    Ok((server, address.to_string()))
}

/// Lets the server read its certificate again.
async fn reload(stage: &Stage, server: &Server) -> Result<()> {
    let file = |name: &str| display(&stage.folder.join(name));
    let mut command = redis::cmd("CONFIG");
    command.arg(&["SET", "tls-cert-file", &file("certificate.pem")]);
    server
        .ask(command.arg(&["tls-key-file", &file("key.pem")]))
        .await
}

/// A node does not start on this URL, and its error has these words.
async fn refused(stage: &Stage, folder: &str, url: &str, words: &str) -> Result<()> {
    let Err(error) = stage.node(folder, "node-0", TOPICS, url).await else {
        return Err(format!("{folder}: the node starts").into());
    };
    let error = error.to_string();
    println!("F25 {folder}: {}", error.lines().nth(1).unwrap_or_default());
    match error.contains("has ended") || error.contains("failed") {
        true if error.contains(words) => Ok(()),
        _ => Err(format!("{folder}: expected `{words}`, found: {error}").into()),
    }
}

/// Waits until a node has said these words behind its first lines.
async fn said(node: &Node, before: usize, words: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lines = node.said();
        if lines
            .iter()
            .skip(before)
            .any(|(_, line)| line.contains(words))
        {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let lines: Vec<&str> = lines.iter().map(|(_, line)| &**line).collect();
            let said = lines.join("\n");
            return Err(format!("the node did not say `{words}`:\n{said}").into());
        }
        sleep(POLL).await;
    }
}

const READY: &str = "connected server=";
const DOWN: &str = "lost the server";
const AGAIN: &str = "cannot connect again";
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
