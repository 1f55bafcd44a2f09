//! The client that the options describe: its request, its certificates, and the way to the server.

use std::time::Duration;

use sockeye::client::{ClientBuilder, Proxy};
use sockeye::proto::{Config, DeflateConfig, Role};
use sockeye::{Client, tls};
use tokio::sync::mpsc;

use super::credential;
use super::failure::Failure;
use super::reach::{Deflate, ReachOptions};
use super::report;

/// Returns the client. With `--verbose` it sends the events of each opening to `tell`, as lines to be shown. It pings a
/// silent server if `has_pings`.
pub(super) fn client(
    options: &ReachOptions,
    has_pings: bool,
    tell: mpsc::Sender<String>,
) -> Result<Client, Failure> {
    let mut client = Client::builder()
        .config(config(options, has_pings))
        .subprotocols(&options.subprotocol)
        .compression(match options.deflate {
            Deflate::Off => None,
            Deflate::On => Some(DeflateConfig::default()),
            Deflate::Takeover => Some(DeflateConfig::default().context_takeover(true)),
        });
    if options.verbose {
        client = client.on_opening(move |event| {
            // At the end of the program nothing receives the event.
            let _ = tell.try_send(report::event(&event));
        });
    }
    for (name, value) in &options.header {
        client = client.header(name.clone(), value.clone());
    }
    if let Some(origin) = &options.origin {
        client = client.origin(origin.clone());
    }
    client = credential::add(client, options.bearer.as_ref(), options.basic.as_ref())
        .map_err(Failure::Credential)?;
    client = trusting(client, options)?;
    Ok(by_way(client, options)?.build())
}

fn config(options: &ReachOptions, has_pings: bool) -> Config {
    let config = Config::new(Role::Client)
        .max_message(options.max_size)
        .close_timeout(Duration::from_secs(options.close_timeout.into()));
    match has_pings {
        true => config,
        false => config.keep_alive(None),
    }
}

fn trusting(mut client: ClientBuilder, options: &ReachOptions) -> Result<ClientBuilder, Failure> {
    let mut tls = tls::ClientOptions::default();
    if let Some(roots) = &options.cacert {
        tls = tls.roots(roots);
    }
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        tls = tls.identity(cert, key);
    }
    if options.insecure {
        tls = tls.dangerously_accept_any_certificate();
    }
    // Without these options the client reads the system's roots only when it needs them.
    if options.cacert.is_some() || options.cert.is_some() || options.insecure {
        client = client.tls(tls.build().map_err(Failure::Tls)?);
    }
    if let Some(name) = &options.sni {
        client = client.server_name(name);
    }
    Ok(client)
}

fn by_way(mut client: ClientBuilder, options: &ReachOptions) -> Result<ClientBuilder, Failure> {
    client = match options.proxy.as_deref() {
        None => client.proxy_from_env(),
        Some("none") => client,
        Some(url) => client.proxy(url.parse::<Proxy>().map_err(Failure::Proxy)?),
    };
    if let Some(path) = &options.unix {
        client = client.unix(path);
    }
    // The last call for a host counts, so each call has all addresses of its host.
    for (host, _) in &options.resolve {
        let addresses = options.resolve.iter();
        let addresses = addresses.filter(|(other, _)| other.eq_ignore_ascii_case(host));
        client = client.resolve(host, addresses.map(|(_, address)| *address));
    }
    if options.ipv4 {
        client = client.ipv4_only();
    } else if options.ipv6 {
        client = client.ipv6_only();
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: ReachOptions,
    }

    #[test]
    fn a_silent_server_is_pinged_unless_no_ping_is_asked_for() {
        let options = Line::parse_from(["connect"]).options;
        assert!(config(&options, true).keep_alive.is_some());
        assert!(config(&options, false).keep_alive.is_none());
    }
}
