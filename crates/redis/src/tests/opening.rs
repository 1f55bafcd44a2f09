//! How connections open, what is checked then, and how they end.

use std::future::pending;
use std::time::Duration;

use tokio::time::Instant;

use super::peer::{NO_PERMISSION, Peer, Peers, bulk, hello, list, server};
use super::{Setup, timed};
use crate::commands::Commands;
use crate::connection::{ANSWER_WITHIN, End, Purpose, cmd};
use crate::outcome::CallError;
use crate::script::Script;

const TWO: Duration = Duration::from_secs(2);

/// Opens a connection for commands to a server that answers in this way, and returns the error.
async fn refusal<F: Future<Output = ()>>(url: &str, answer: impl FnOnce(Peer) -> F) -> String {
    let (connector, mut peers) = server(url);
    let answering = async {
        let peer = peers.next().await;
        answer(peer).await;
    };
    let (opened, ()) = tokio::join!(Commands::open(&connector, "node"), answering);
    opened.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_connection_logs_in_chooses_its_database_and_has_a_name() {
    let (connector, mut peers) = server("redis://ann:secret@localhost/3");
    let opening = connector.open(Purpose::Feed, "my node/1", None);
    let answering = async {
        let mut peer = peers.next().await;
        let standalone = hello("valkey", "9.1.2", "standalone");
        peer.expect(&["HELLO", "3", "AUTH", "ann", "secret"], &standalone)
            .await;
        peer.expect(&["SELECT", "3"], "+OK\r\n").await;
        peer.expect(
            &["HELLO", "3", "SETNAME", "sockeye-feed:my-node/1"],
            &standalone,
        )
        .await;
        peer
    };
    let (connection, mut peer) = tokio::join!(opening, answering);
    let connection = connection.unwrap();
    assert!(connection.is_open());
    drop(connection);
    assert_eq!(peer.try_command().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_for_commands_loads_the_scripts_into_a_primary() {
    let setup = Setup::new().await;
    assert!(setup.commands.is_open() && setup.current.now().is_ok());
    let call = cmd(&["GET", "key"]);
    let asking = setup.commands.call(&call, Instant::now() + TWO);
    let mut peer = setup.peer;
    let (answer, _) = tokio::join!(asking, peer.expect(&["GET", "key"], bulk("value")));
    assert_eq!(answer, Ok(redis::Value::BulkString(b"value".to_vec())));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_names_what_to_change() {
    for (url, answer, text) in [
        (
            "redis://ann:secret@localhost",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            "the server refused the user or the password; check both in the URL, and the server's ACL",
        ),
        (
            "redis://localhost",
            "-NOAUTH HELLO must be called with the client already authenticated\r\n",
            "the server wants a password; write it as redis://user:password@host",
        ),
        (
            "redis://localhost",
            "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n",
            "the server is a version before 6.0: Redis 6.2 or Valkey 7.2 or later is needed",
        ),
    ] {
        let refused = refusal(url, async |mut peer: Peer| {
            peer.expect(&["HELLO"], answer).await;
        });
        assert_eq!(refused.await, text);
    }
    let refused = refusal("redis://localhost/9", async |mut peer: Peer| {
        peer.expect(&["HELLO"], hello("redis", "7.0.15", "standalone"))
            .await;
        peer.expect(&["SELECT"], "-ERR DB index is out of range\r\n")
            .await;
    });
    let text = "the server refused HELLO or SELECT: ERR DB index is out of range";
    assert_eq!(refused.await, text);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_used_is_refused_with_the_reason() {
    let refused = refusal("redis://localhost", async |mut peer: Peer| {
        for _ in 0..2 {
            peer.expect(&["HELLO"], hello("redis", "6.0.16", "standalone"))
                .await;
        }
    });
    let text = "the server is Redis 6.0.16: Redis 6.2 or Valkey 7.2 or later is needed";
    assert_eq!(refused.await, text);

    let refused = refusal("redis://localhost", async |mut peer: Peer| {
        peer.greet().await;
        peer.expect(&["ROLE"], list(&[bulk("slave")])).await;
    });
    assert_eq!(
        refused.await,
        "the server is a replica; use the address of its primary"
    );

    let refused = refusal("redis://localhost", async |mut peer: Peer| {
        peer.greet().await;
        peer.expect(&["ROLE"], list(&[bulk("master")])).await;
        for _ in Script::ALL {
            peer.expect(&["SCRIPT", "LOAD"], NO_PERMISSION).await;
        }
    });
    let text = "the server's ACL does not let the user run SCRIPT LOAD (this user has no permissions to run the command); allow the user `~PREFIX:* &PREFIX:* -@all +@connection +@pubsub +@scripting +@read +@write -@dangerous +role +time`, with PREFIX as in the URL";
    assert_eq!(refused.await, text);

    let refused = refusal("redis://localhost", async |mut peer: Peer| {
        peer.greet().await;
        peer.expect(&["ROLE"], list(&[bulk("master")])).await;
        for script in Script::ALL {
            peer.expect(&["SCRIPT", "LOAD"], bulk(script.hash())).await;
        }
        peer.expect(&["INFO"], bulk("maxmemory_policy:volatile-lru\r\n"))
            .await;
    });
    let text = "the server's maxmemory-policy is `volatile-lru`, so it may drop history; run CONFIG SET maxmemory-policy noeviction";
    assert_eq!(refused.await, text);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_is_given_up_after_two_seconds() {
    let (connector, mut peers) = server("redis://ann:secret@localhost:7000");
    let silent = async {
        let _peer = peers.next().await;
        pending::<()>().await;
    };
    let (error, took) = tokio::select! {
        opened = timed(connector.open(Purpose::Feed, "node", None)) => opened,
        () = silent => unreachable!("the server never ends"),
    };
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to localhost:7000: no answer within 2 s"
    );
    assert!(!error.is_mistake());
    assert_eq!(took, TWO);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_in_time_and_the_connection_stays() {
    let mut setup = Setup::new().await;
    let call = cmd(&["GET", "a"]);
    let (answer, took) = timed(setup.commands.call(&call, Instant::now() + ANSWER_WITHIN)).await;
    assert_eq!((answer, took), (Err(CallError::Timeout), TWO));
    // The late answer belongs to the call that has ended, not to the next one.
    setup.peer.expect(&["GET", "a"], bulk("late")).await;
    let call = cmd(&["GET", "b"]);
    let asking = setup.commands.call(&call, Instant::now() + ANSWER_WITHIN);
    let (answer, _) = tokio::join!(asking, setup.peer.expect(&["GET", "b"], bulk("b")));
    assert_eq!(answer, Ok(redis::Value::BulkString(b"b".to_vec())));
    assert!(setup.commands.is_open());
    assert_eq!(setup.commands.last_heard(), Instant::now());
}

#[tokio::test(start_paused = true)]
async fn a_connection_says_when_its_stream_has_ended() {
    let setup = Setup::new().await;
    drop(setup.peer);
    assert_eq!(setup.commands.ended().await, End::Closed);
    let call = setup.current.now();
    let unsent = CallError::Unsent("the link to the server is down");
    assert_eq!(call.map(drop), Err(unsent));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_a_new_connection_has_to_clear_up_ends_the_old_one() {
    for (answer, ends) in [
        (
            "-READONLY You can't write against a read only replica.\r\n",
            true,
        ),
        ("-LOADING Redis is loading the dataset in memory\r\n", true),
        ("-NOSCRIPT No matching script.\r\n", true),
        ("-OOM command not allowed\r\n", false),
    ] {
        let mut setup = Setup::new().await;
        let call = cmd(&["SET", "a", "b"]);
        let asking = setup.commands.call(&call, Instant::now() + ANSWER_WITHIN);
        let (error, _) = tokio::join!(asking, setup.peer.expect(&["SET"], answer));
        let error = error.unwrap_err();
        assert_eq!(setup.commands.is_open(), !ends, "{answer}");
        if ends {
            assert_eq!(setup.commands.ended().await, End::Refused(error));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_stream_is_a_connection_of_its_own() {
    let (connector, mut peers) = server("redis://localhost");
    let greet = async |peers: &mut Peers| {
        let mut peer = peers.next().await;
        peer.greet().await;
        peer
    };
    let (first, peer) = tokio::join!(connector.open(Purpose::Feed, "", None), greet(&mut peers));
    drop(peer);
    assert_eq!(first.unwrap().ended().await, End::Closed);
    let (second, _peer) = tokio::join!(connector.open(Purpose::Feed, "", None), greet(&mut peers));
    assert!(second.unwrap().is_open());
}
