//! Prices, and notes to one user. A topic of a price keeps its latest value: a page gets it at once, and a slow page gets
//! only the newest. The notes of a user are a private topic with a history. A job publishes the prices. An HTTP request
//! publishes a note.
//!
//! ```sh
//! cargo run --example ticker --features json,topics-wire
//! sockeye connect --topics price/ACME ws://127.0.0.1:8080/live
//! sockeye connect --topics user/ann/orders --retry 'ws://127.0.0.1:8080/live?ticket=ann-ticket'
//! curl -d '{"id":"o-1","what":"a kite"}' http://127.0.0.1:8080/orders/ann
//! ```
//!
//! Its page, ticker.html, is at http://127.0.0.1:8080/.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use sockeye::endpoint::{Configurator, Handshake, HandshakeResponse, Json, Refusal};
use sockeye::server::ServerBuilder;
use sockeye::topics::{Clients, History, Policy, PublishError, TopicsError};
use sockeye::{Endpoint, Server, Topics, endpoint};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A price at a moment.
#[derive(Serialize)]
pub(crate) struct Tick {
    pub(crate) symbol: &'static str,
    pub(crate) price: f64,
}

/// An order that was paid.
#[derive(Deserialize, Serialize)]
struct Order {
    id: String,
    what: String,
}

/// The endpoint of the subprotocol. Clients subscribe by themselves, so it has nothing to do.
struct Live;

impl Endpoint for Live {}

/// Knows clients by their tickets. A client without one is anonymous, and sees prices. An application makes each ticket
/// when a user has logged in, and accepts it once.
struct Tickets;

impl Configurator for Tickets {
    async fn modify_handshake(
        &self,
        request: &Handshake,
        response: &mut HandshakeResponse,
    ) -> Result<(), Refusal> {
        let mut pairs = request.query().unwrap_or_default().split('&');
        match pairs.find_map(|pair| pair.strip_prefix("ticket=")) {
            None => {}
            Some("ann-ticket") => response.set_principal("ann"),
            Some("bob-ticket") => response.set_principal("bob"),
            Some(_) => return Err(Refusal::new(StatusCode::UNAUTHORIZED)),
        }
        Ok(())
    }
}

pub(crate) fn topics() -> Result<Topics, TopicsError> {
    let prices = Policy::new()
        .history(History::latest())
        .clients(Clients::subscribe());
    // Only the client whose principal is {who} may subscribe.
    let private = Policy::new()
        .history(History::window(200, DAY))
        .owner("who")
        .clients(Clients::subscribe());
    Topics::builder()
        .pattern("price/{symbol}", prices)
        .pattern("user/{who}/**", private)
        .strict()
        .build()
}

/// The job: publishes each price. It does not wait for the outcome, because the next price replaces this one.
pub(crate) fn publish_tick(topics: &Topics, tick: &Tick) -> Result<(), PublishError> {
    let topic = format!("price/{}", tick.symbol);
    topics.publish_object(topic, Json(tick)).queue()?;
    Ok(())
}

/// The HTTP handler: `POST /orders/{user}` notifies the user. A request that is repeated within 5 minutes has the same key,
/// and so the user gets one note.
async fn order_paid(topics: &Topics, user: &str, body: &[u8]) -> StatusCode {
    let Ok(order) = serde_json::from_slice::<Order>(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let topic = format!("user/{user}/orders");
    let note = topics.publish_object(topic, Json(&order));
    match note.key(order.id.as_str()).await {
        Ok(_) => StatusCode::ACCEPTED,
        // The client repeats the request: with the key that is safe, also if the note was published.
        Err(PublishError::Engine(_)) => StatusCode::SERVICE_UNAVAILABLE,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

async fn http(topics: Topics, request: Request<Bytes>) -> Response<Bytes> {
    let mut response = Response::default();
    let path = request.uri().path();
    if let Some(user) = path.strip_prefix("/orders/") {
        *response.status_mut() = match *request.method() {
            Method::POST => order_paid(&topics, user, request.body()).await,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        return response;
    }
    let (kind, content) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("ticker.html")),
        "/sockeye.js" => (
            "text/javascript",
            include_str!("../../../clients/js/sockeye.js"),
        ),
        _ => {
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    *response.body_mut() = Bytes::from_static(content.as_bytes());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(crate) fn server(topics: &Topics) -> ServerBuilder {
    let live = endpoint("/live", |_handshake| Live).topics();
    let of_http = topics.clone();
    Server::builder()
        .topics(topics.clone())
        .endpoint(live.configurator(Tickets))
        .http(move |request| http(of_http.clone(), request))
}

#[tokio::main]
async fn main() -> sockeye::Result {
    let topics = topics()?;
    let server = server(&topics).bind("127.0.0.1:8080").await?;
    tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        for n in 0_u32.. {
            second.tick().await;
            let price = 100.0 + f64::from(n % 60);
            let tick = Tick {
                symbol: "ACME",
                price,
            };
            if let Err(error) = publish_tick(&topics, &tick) {
                tracing::warn!(%error, "a price was not published");
            }
        }
    });
    Ok(server.serve().await?)
}
