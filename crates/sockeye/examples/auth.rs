//! A server that accepts only clients with a token, and answers others with 401. The token is in the field
//! `Authorization`, in the query, or in a subprotocol. The last way is for pages in browsers: they cannot set a field, and
//! a query shows up in logs.
//!
//! ```sh
//! cargo run --example auth
//! sockeye connect -H 'Authorization: Bearer open-sesame' ws://127.0.0.1:8080/me
//! sockeye connect 'ws://127.0.0.1:8080/me?token=open-sesame'
//! ```
//!
//! A page: `new WebSocket("ws://127.0.0.1:8080/me", ["me.v1", "token.open-sesame"])`.

use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use sockeye::endpoint::{Configurator, Handshake, HandshakeResponse, Refusal};
use sockeye::server::ServerBuilder;
use sockeye::{Server, Session, server_endpoint};

/// Answers each message with the user's name and plan.
#[derive(Default)]
struct Me;

#[server_endpoint("/me", subprotocols = ["me.v1"])]
impl Me {
    #[on_message]
    fn asked(&mut self, session: &Session, _question: &str) -> String {
        let plan = session.properties().get::<Plan>();
        let who = session.principal().unwrap_or("anonymous");
        format!("you are {who}, on plan {plan:?}")
    }
}

/// A property of a user; each session has a copy.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Free,
    Paid,
}

/// The users by their tokens. An application asks a database.
struct Users(HashMap<&'static str, (&'static str, Plan)>);

impl Users {
    async fn find(&self, token: &str) -> Option<(&'static str, Plan)> {
        self.0.get(token).copied()
    }
}

/// Accepts the requests of users.
struct Gate(Arc<Users>);

impl Configurator for Gate {
    // A token among the subprotocols is none: `me.v1` is agreed on, by the default, and the token is never
    // sent back.
    async fn modify_handshake(
        &self,
        request: &Handshake,
        response: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        let user = match token(request) {
            Some(token) => self.0.find(token).await,
            None => None,
        };
        let Some((name, plan)) = user else {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED)
                .header(WWW_AUTHENTICATE, "Bearer")?
                .body("a token that is known is needed\n"));
        };
        response.set_principal(name);
        response.properties().insert(plan);
        Ok(())
    }
}

/// The token that a client brings.
fn token(request: &Handshake) -> Option<&str> {
    let field = request.headers().get(AUTHORIZATION);
    if let Some(value) = field {
        return value.to_str().ok()?.strip_prefix("Bearer ");
    }
    if let Some(query) = request.query() {
        let mut pairs = query.split('&');
        return pairs.find_map(|pair| pair.strip_prefix("token="));
    }
    let offered = request.headers().get_all("sec-websocket-protocol");
    let offered = offered.iter().filter_map(|value| value.to_str().ok());
    let mut names = offered.flat_map(|list| list.split(',')).map(str::trim);
    names.find_map(|name| name.strip_prefix("token."))
}

pub(crate) fn server() -> ServerBuilder {
    let users = Users(HashMap::from([
        ("open-sesame", ("ali", Plan::Paid)),
        ("guest", ("guest", Plan::Free)),
    ]));
    let gate = Gate(Arc::new(users));
    Server::builder().endpoint(Me::endpoint(|_handshake| Me).configurator(gate))
}

#[tokio::main]
async fn main() -> sockeye::Result {
    let addr = std::env::args().nth(1);
    let addr = addr.as_deref().unwrap_or("127.0.0.1:8080");
    let server = server().bind(addr).await?;
    #[expect(clippy::print_stdout, reason = "a client needs the address")]
    {
        println!("ws://{}/me?token=open-sesame", server.local_addr());
    }
    server.serve().await?;
    Ok(())
}
