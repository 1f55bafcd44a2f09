//! Foreign proxies, the judges of whether Sockeye's client gets through them: HTTP's CONNECT through tinyproxy,
//! SOCKS5 through microsocks, to servers of `ws:` and `wss:`.
//!
//! A proxy refuses connections without the right password, and a wrong password is tried too. So a connection that
//! reached the server came through the proxy.

mod program;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use sockeye::client::{ClientBuilder, ConnectError, Proxy};
use sockeye::server::ServerBuilder;
use sockeye::{Client, CloseCode, Message, Server, tls};
use tokio::time::timeout;

use crate::echo::Echo;
use crate::error::Result;
use crate::judges;

use self::program::{PASSWORD, Programs, Running, USER};

/// Runs the judge; it has no options.
pub(crate) async fn judge(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        return Err("the judge proxies has no options".into());
    }
    let folder = judges::folder("proxies")?;
    let programs = Programs::ready(&folder).await?;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    judges::write(&cert_file, cert.pem())?;
    judges::write(&key_file, signing_key.serialize_pem())?;
    let plain = serve(Server::builder()).await?;
    let secure = Server::builder().tls(tls::server_config(&cert_file, &key_file)?);
    let secure = serve(secure).await?;
    let client = Client::builder().tls(tls::client_config_trusting(&cert_file)?);

    let mut http = programs.tinyproxy().await?;
    let mut socks = programs.microsocks().await?;
    let mut failed = 0;
    for (name, scheme) in [
        ("tinyproxy", "http"),
        ("microsocks, which is given an address", "socks5"),
        ("microsocks, which is given a name", "socks5h"),
    ] {
        let proxy = match scheme {
            "http" => &mut http,
            _ => &mut socks,
        };
        let urls = [
            format!("ws://localhost:{}/", plain.port()),
            format!("wss://localhost:{}/", secure.port()),
        ];
        for url in urls {
            let tried = timeout(PATIENCE, try_proxy(&client, scheme, proxy, &url)).await;
            let tried = tried.unwrap_or_else(|_| Err("it hangs".into()));
            let kind = url.split(':').next().unwrap_or_default();
            match tried {
                Ok(()) => println!("proxies: {name}: {kind}: passed"),
                Err(error) => {
                    failed += 1;
                    println!(
                        "proxies: {name}: {kind}: {}",
                        sockeye::error::ErrorChain::new(&*error)
                    );
                }
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err("Sockeye does not get through, as said above".into()),
    }
}

/// An echo on a free port.
async fn serve(builder: ServerBuilder) -> Result<SocketAddr> {
    let server = builder.default_endpoint::<Echo>();
    let server = server.bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = server.local_addr();
    tokio::spawn(server.serve());
    Ok(address)
}

async fn try_proxy(
    client: &ClientBuilder,
    scheme: &str,
    proxy: &mut Running,
    url: &str,
) -> Result<()> {
    // `localhost` may have two addresses, and the server listens at one.
    let through = |password: &str| -> Result<Client> {
        let proxy = format!("{scheme}://{USER}:{password}@{}", proxy.address);
        let client = client.clone().ipv4_only().proxy(proxy.parse::<Proxy>()?);
        Ok(client.build())
    };
    let refused = through("wrong")?.connect(url).await;
    if !matches!(refused, Err(ConnectError::Proxy(_))) {
        return Err(format!("a wrong password is not refused: {refused:?}").into());
    }
    let mut ws = through(PASSWORD)?.connect(url).await?;
    for message in [
        Message::from("grüße"),
        Message::from(vec![0xff; LARGE]),
        Message::from(""),
    ] {
        ws.send(&message).await?;
        let echoed = ws.recv().await?;
        if echoed.as_ref() != Some(&message) {
            return Err("a message came back changed".into());
        }
    }
    ws.close(CloseCode::NORMAL, "").await?;
    if ws.close_received().map(|reason| reason.code()) != Some(CloseCode::NORMAL) {
        return Err("the Close was not answered".into());
    }
    proxy.check_running()
}

/// More than any buffer on the way holds.
const LARGE: usize = 1 << 20;
/// What is not done by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);
