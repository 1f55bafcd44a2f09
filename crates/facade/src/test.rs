//! The help for tests.

use bytes::Bytes;
use http::{Response, StatusCode};
use sockeye::client::ConnectError;
use sockeye::endpoint::EndpointConfig;
use sockeye::server::{Container, DeploymentError};
use sockeye::test::{Peer, Refused, Script, ScriptError, TestPeer, TestRequest, TestServer};
use sockeye::{Connection, Session};
use tokio::io::DuplexStream;

/// Names what an endpoint under test returns.
pub async fn sessions_under_test(endpoint: EndpointConfig) {
    let server: Result<TestServer, DeploymentError> = TestServer::new(endpoint);
    let Ok(server) = server else { return };
    let _: &Container = server.container();
    let request: TestRequest = server.get("/");
    let opened: Result<TestPeer, Refused> = request.open().await;
    match opened {
        Ok(peer) => {
            let _: &Session = peer.session();
            let _: &Response<()> = peer.answer();
            let _: Connection<DuplexStream> = peer.into_inner();
        }
        Err(refused) => {
            let _: StatusCode = refused.status();
            let _: &Response<Bytes> = refused.response();
        }
    }
}

/// Names what a script returns.
pub async fn scripts() {
    let script: Script = Script::new().accept(Peer::new());
    let _: Result<Connection, ConnectError> = script.connect().await;
    let _: Result<(), ScriptError> = script.verify().await;
}
