//! The closing handshake as a half-close: the end that starts it still receives the peer's messages.

use sockeye::endpoint::{Incoming, Reply};
use sockeye::proto::{Config, Role};
use sockeye::{CloseCode, Connection, Endpoint, HandlerResult, Message, Server, Session, endpoint};

#[tokio::test]
async fn what_the_peer_sends_before_its_close_is_received() -> HandlerResult {
    let (near, far) = tokio::io::duplex(64);
    let mut client = Connection::client(near, Config::new(Role::Client));
    let mut server = Connection::server(far, Config::new(Role::Server));
    let served = tokio::spawn(async move {
        while let Ok(Some(message)) = server.recv().await {
            for _ in 0..3 {
                server.feed(message.clone()).await.expect("no Close came");
            }
        }
        server.close_received().cloned()
    });
    client.feed("hi").await?;
    client.start_closing_handshake(CloseCode::NORMAL, "done")?;
    assert!(client.feed("too late").await.is_err());
    for _ in 0..3 {
        assert_eq!(client.recv().await?, Some(Message::text("hi")));
    }
    assert_eq!(client.recv().await?, None);
    drop(client);
    let reason = served.await?.ok_or("no Close")?;
    assert_eq!(reason.to_string(), "1000 done");
    Ok(())
}

#[tokio::test]
async fn a_code_that_may_not_be_sent_starts_nothing() -> HandlerResult {
    let (near, _far) = tokio::io::duplex(64);
    let mut client = Connection::client(near, Config::new(Role::Client));
    assert!(
        client
            .start_closing_handshake(CloseCode::ABNORMAL, "")
            .is_err()
    );
    client.feed("still open").await?;
    Ok(())
}

/// Answers through the session instead of returning what it answers.
struct Speaker;

impl Endpoint for Speaker {
    async fn on_message<'m>(
        &mut self,
        session: &Session,
        message: Incoming<'m>,
    ) -> HandlerResult<Reply<'m>> {
        if let Incoming::Text(text) = message {
            session.async_remote().send_text(text.into_str())?;
        }
        Ok(Reply::None)
    }
}

#[tokio::test]
async fn what_a_handler_sent_goes_out_before_the_answer_to_a_close_that_came_with_its_message()
-> HandlerResult {
    let server = Server::builder()
        .endpoint(endpoint("/speaker", |_| Speaker))
        .bind("127.0.0.1:0")
        .await?;
    let url = format!("ws://{}/speaker", server.local_addr());
    tokio::spawn(server.serve());
    let mut client = sockeye::connect(&url).await?;
    for number in 0..20 {
        client.feed(number.to_string()).await?;
    }
    client.start_closing_handshake(CloseCode::NORMAL, "")?;
    for number in 0..20 {
        let message = client.recv().await?;
        assert_eq!(message, Some(Message::text(number.to_string())));
    }
    assert_eq!(client.recv().await?, None);
    Ok(())
}
