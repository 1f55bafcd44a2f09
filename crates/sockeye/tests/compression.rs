//! permessage-deflate between Sockeye's client and server over TCP, as both are switched on.

use sockeye::{
    Client, CloseCode, ConnectError, DeflateConfig, Message, Result, Server, WindowBits,
    server_endpoint,
};
use tokio::net::TcpListener;

use support::{raw_server, serve};

mod support;

#[derive(Default)]
struct Echo;

#[server_endpoint("/")]
impl Echo {
    #[on_message]
    fn text<'m>(&self, text: &'m str) -> &'m str {
        text
    }

    #[on_message]
    fn binary<'m>(&self, bytes: &'m [u8]) -> &'m [u8] {
        bytes
    }
}

/// Where an echo serves that compresses as `compression` says.
async fn echo(compression: Option<DeflateConfig>) -> String {
    let mut builder = Server::builder().default_endpoint::<Echo>();
    if let Some(compression) = compression {
        builder = builder.compression(compression);
    }
    format!("ws://{}/", serve(builder).await)
}

fn messages() -> Vec<Message> {
    let noise: Vec<u8> = (0..300_000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    vec![
        Message::from(""),
        Message::from("short"),
        Message::from("compressible ".repeat(10_000)),
        Message::from("ünïcödé ".repeat(20_000)),
        Message::from(noise),
        Message::from(vec![0; 1 << 20]),
        Message::from("compressible ".repeat(10_000)),
    ]
}

#[tokio::test]
async fn messages_of_all_sizes_are_echoed_whatever_is_agreed_on() -> Result {
    let small = DeflateConfig::default()
        .server_max_window_bits(WindowBits::MIN)
        .client_max_window_bits(WindowBits::MIN);
    let takeover = DeflateConfig::default().context_takeover(true);
    for server in [None, Some(DeflateConfig::default()), Some(takeover.clone())] {
        let url = echo(server).await;
        for client in [
            None,
            Some(DeflateConfig::default()),
            Some(takeover.clone()),
            Some(small.clone()),
        ] {
            let mut ws = Client::builder().compression(client).connect(&url).await?;
            for message in messages() {
                ws.send(message.clone()).await?;
                assert_eq!(ws.recv().await?, Some(message));
            }
            ws.close(CloseCode::NORMAL, "").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_bomb_is_refused_and_the_server_goes_on() -> Result {
    let url = echo(Some(DeflateConfig::default())).await;
    let mut ws = Client::builder().connect(&url).await?;
    // A thousandth of it on the wire; the server takes 1 MiB.
    ws.send(vec![0; 15 << 20]).await?;
    assert_eq!(ws.recv().await?, None);
    let code = ws.close_received().map(|reason| reason.code().get());
    assert_eq!(code, Some(1009));
    let mut next = Client::builder().connect(&url).await?;
    next.send("still there").await?;
    assert_eq!(next.recv().await?, Some("still there".into()));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_offer_fails_the_handshake() {
    for answer in [
        // The client asked the server to keep no window.
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=7",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
        let fields = format!("Sec-WebSocket-Extensions: {answer}\r\n");
        let (connected, _raw) =
            tokio::join!(sockeye::connect(&url), raw_server(&listener, &fields, b""));
        assert!(
            matches!(connected, Err(ConnectError::Compression(_))),
            "{answer}: {connected:?}"
        );
    }
}
