//! Servers and containers.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use sockeye::endpoint::EndpointConfig;
use sockeye::server::{
    BindError, Container, DeploymentError, Responding, ResponseBody, ServerBuilder, ServerHandle,
    Stats,
};
use sockeye::tls::{TlsError, rustls};
use sockeye::{Client, Server};

/// Names what a server is made of and returns.
pub async fn server(endpoint: EndpointConfig) {
    let config: Result<rustls::ServerConfig, TlsError> = sockeye::tls::server_config("a", "b");
    let Ok(config) = config else { return };
    let builder: ServerBuilder = Server::builder().tls(config);
    let server: Result<Server, BindError> = builder.bind("127.0.0.1:0").await;
    let server = match server {
        Ok(server) => server,
        Err(BindError::Deployment(error)) => return drop::<DeploymentError>(error),
        Err(_) => return,
    };
    let handle: ServerHandle = server.handle();
    let _: Result<(), DeploymentError> = handle.add_endpoint(endpoint);
    let _: Stats = handle.stats();
    let _: io::Result<()> = server.serve().await;
}

/// Names what a container is made of and returns.
pub async fn container(request: Request<Bytes>) {
    let container: Result<Container, DeploymentError> = Server::builder().container();
    let Ok(container) = container else { return };
    let _: Stats = container.stats();
    let _: Response<ResponseBody> = container.upgrade(request).await;
    let _: fn(Responding) = drop::<Responding>;
}

/// Shows that `?` converts the errors of servers and clients to `sockeye::Error`.
pub async fn result_of_main() -> sockeye::Result {
    let server = Server::builder().bind("127.0.0.1:0").await?;
    server.serve().await?;
    let container = Server::builder().container()?;
    container.stop().await;
    let config = sockeye::tls::client_config()?;
    let client = Client::builder()
        .proxy("http://proxy".parse()?)
        .tls(config)
        .build();
    client.connect("ws://host/").await?;
    sockeye::browser::WebSocket::new("ws://host/")?;
    let mut ws = sockeye::connect("ws://host/").await?;
    ws.send("hello").await?;
    let (sender, _receiver) = ws.split();
    sender.send("hello").await?;
    Ok(())
}
