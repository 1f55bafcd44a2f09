//! Servers and containers.

use std::io;

use axum_core::body::Body;
use axum_core::response::IntoResponse;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use sockeye::axum::{WebSocketUpgrade, WebSocketUpgradeRejection};
use sockeye::endpoint::{
    EndpointConfig, Handshake, HandshakeResponse, InvalidSessionId, OpenSessions, Refusal,
    SessionId,
};
use sockeye::error::BoxError;
use sockeye::server::{
    AcceptError, Acceptor, AcceptorBuilder, BindError, Container, DeploymentError, Responding,
    ResponseBody, ServerBuilder, ServerHandle, Stats, Upgrading,
};
use sockeye::tls::{TlsError, rustls};
use sockeye::transport::Stream;
use sockeye::{Client, Connection, Server, Session};

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
    let _: Option<OpenSessions> = handle.open_sessions("/chat/{room}");
    let _: Vec<Session> = handle.sessions();
    let id: Result<SessionId, InvalidSessionId> = "0".parse();
    let Ok(id) = id else { return };
    let _: Option<Session> = handle.session(id);
    let _: io::Result<()> = server.serve().await;
}

/// Names what an acceptor is made of and returns.
pub async fn acceptor(stream: Stream, mut request: Request<Bytes>) {
    let builder: AcceptorBuilder = Acceptor::builder().on_request(|request, response| {
        let _: &Handshake = request;
        let _: &mut HandshakeResponse = response;
        Ok::<(), Refusal>(())
    });
    let acceptor: Acceptor = builder.build();
    let accepted: Result<Connection, AcceptError> = acceptor.accept(stream).await;
    match accepted {
        Ok(connection) => {
            let _: Option<&Handshake> = connection.request();
        }
        Err(AcceptError::Refused(response)) => drop::<Box<Response<Bytes>>>(response),
        Err(AcceptError::Io(error)) => drop::<io::Error>(error),
        Err(AcceptError::NotUpgraded(error)) => drop::<BoxError>(error),
        Err(error) => {
            let _: Option<StatusCode> = error.status();
        }
    }
    let (response, upgrading): (Response<ResponseBody>, Upgrading) = acceptor.upgrade(&mut request);
    drop(response);
    let _: Result<Connection, AcceptError> = upgrading.await;
}

/// Names what the extractor for axum returns.
pub async fn axum(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    container: &Container,
) {
    match upgrade {
        Ok(upgrade) => {
            let _: Option<&str> = upgrade.selected_protocol();
            let upgrade: WebSocketUpgrade = upgrade.on_failed_upgrade(drop::<AcceptError>);
            let response: Response<Body> = upgrade.endpoint(container).await;
            drop(response);
        }
        Err(rejection) => {
            let _: StatusCode = rejection.status();
            let _: Response<Body> = rejection.into_response();
        }
    }
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
