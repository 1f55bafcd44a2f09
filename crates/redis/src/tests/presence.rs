//! Presence, leases and beats.

use std::sync::Arc;
use std::time::Duration;

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{Member, MemberId, NodeId, NodeInfo, PresenceStore as _};
use tokio::time::Instant;

use super::Setup;
use super::peer::{Peer, bulk, list, texts};
use crate::incarnation::Incarnation;
use crate::lease::{self, Lease};
use crate::outcome::CallError;
use crate::presence::Presence;
use crate::script::Script;

const MEMBERS: &str = "sockeye:{70}:p:room/42";
const COUNTS: &str = "sockeye:{70}:n:room/42";
/// A node whose lease lasts, and one whose lease is over.
const LIVE: &str = "0000000000000007";
const DEAD: &str = "00000000000000dd";

fn topic() -> TopicName {
    TopicName::new("room/42").unwrap()
}

fn ann() -> Member {
    Member {
        id: MemberId(0xa),
        info: Some("{\"name\": \"Ann\"}".into()),
        principal: Some("ann\"@example.org".into()),
        since: 5,
    }
}

const ANN: &str = r#"{"since":5,"principal":"ann\"@example.org","info":{"name": "Ann"}}"#;

fn presence(setup: &Setup) -> Presence {
    presence_of(setup).0
}

fn presence_of(setup: &Setup) -> (Presence, Arc<Incarnation>) {
    let incarnation = Arc::new(Incarnation::new(setup.node.id));
    let (current, layout) = (Arc::clone(&setup.current), setup.layout.clone());
    let presence = Presence::new(current, layout, Arc::clone(&incarnation));
    (presence, incarnation)
}

/// The name of a member's field.
fn field(node: NodeId, member: u64) -> String {
    format!("{:016x}.{member:016x}", node.0)
}

/// Answers the count that follows each change.
async fn answer_count(peer: &mut Peer, count: u64) {
    let counter = format!("sockeye:{{460}}:beats:{LIVE}");
    peer.expect(&["INCR", &counter], format!(":{count}\r\n"))
        .await;
}

/// Answers the reads that follow each read of members: the time is 1,000,000 ms.
async fn answer_leases(peer: &mut Peer) {
    peer.expect(&["TIME"], texts(&["1000", "0"])).await;
    let lease = |node, end: &str| list(&[bulk(node), format!(",{end}\r\n")]);
    let leases = [lease(LIVE, "1000000"), lease(DEAD, "999999")];
    let words = ["ZRANGE", "sockeye:{460}:nodes", "0", "-1", "WITHSCORES"];
    peer.expect(&words, list(&leases)).await;
}

#[tokio::test(start_paused = true)]
async fn members_are_fields_under_the_node_that_wrote_them() {
    let mut setup = Setup::new().await;
    let presence = presence(&setup);
    let (topic, members) = (topic(), [ann()]);
    let field = format!("{LIVE}.000000000000000a");
    let answering = async |peer: &mut Peer| {
        peer.expect(&["HSET", MEMBERS, &field, ANN], ":1\r\n").await;
        peer.expect(&["EXPIRE", MEMBERS, "86400"], ":1\r\n").await;
        answer_count(peer, 4).await;
    };
    let (entered, ()) = tokio::join!(presence.enter(&topic, &members), answering(&mut setup.peer));
    assert_eq!(entered, Ok(()));
    let ids = [MemberId(0xa)];
    let answering = async |peer: &mut Peer| {
        peer.expect(&["HDEL", MEMBERS, &field], ":1\r\n").await;
        answer_count(peer, 5).await;
    };
    let (left, ()) = tokio::join!(presence.leave(&topic, &ids), answering(&mut setup.peer));
    assert_eq!(left, Ok(()));
    assert_eq!(setup.commands.counted(), 5);
    // The server goes back to its state behind the first change.
    let answering = async |peer: &mut Peer| {
        peer.expect(&["HDEL", MEMBERS, &field], ":1\r\n").await;
        answer_count(peer, 5).await;
    };
    let (left, ()) = tokio::join!(presence.leave(&topic, &ids), answering(&mut setup.peer));
    assert_eq!(left, Ok(()));
    setup.commands.memory_lost().await;
    assert_eq!(setup.commands.counted(), 5);
}

#[tokio::test(start_paused = true)]
async fn members_move_from_a_former_name_to_the_present_one() {
    let mut setup = Setup::new().await;
    let (presence, incarnation) = presence_of(&setup);
    incarnation.take_new();
    let (old, new) = (setup.node.id, incarnation.id());
    let topic = topic();
    let (members, ids) = ([ann()], [MemberId(0xa)]);
    let answering = async |peer: &mut Peer| {
        let (old, new) = (field(old, 0xa), field(new, 0xa));
        peer.expect(&["HSET", MEMBERS, &new, ANN], ":1\r\n").await;
        peer.expect(&["HDEL", MEMBERS, &old], ":1\r\n").await;
        peer.expect(&["EXPIRE", MEMBERS], ":1\r\n").await;
        answer_count(peer, 1).await;
        // The leave of a member that was not written again yet.
        peer.expect(&["HDEL", MEMBERS, &old, &new], ":1\r\n").await;
        answer_count(peer, 2).await;
    };
    let changing = async {
        presence.enter(&topic, &members).await?;
        presence.leave(&topic, &ids).await
    };
    let (changed, ()) = tokio::join!(changing, answering(&mut setup.peer));
    assert_eq!(changed, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_count_moves_with_its_node() {
    let mut setup = Setup::new().await;
    let (presence, incarnation) = presence_of(&setup);
    incarnation.take_new();
    let new = format!("{:016x}", incarnation.id().0);
    let topic = topic();
    let answering = async |peer: &mut Peer| {
        peer.expect(&["HSET", COUNTS, &new, "3"], ":1\r\n").await;
        peer.expect(&["HDEL", COUNTS, LIVE], ":1\r\n").await;
        peer.expect(&["EXPIRE", COUNTS], ":1\r\n").await;
        answer_count(peer, 1).await;
        peer.expect(&["HDEL", COUNTS, LIVE, &new], ":1\r\n").await;
        answer_count(peer, 2).await;
    };
    let changing = async {
        presence.set_count(&topic, 3).await?;
        presence.set_count(&topic, 0).await
    };
    let (changed, ()) = tokio::join!(changing, answering(&mut setup.peer));
    assert_eq!(changed, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_a_member_says_has_to_be_json() {
    let setup = Setup::new().await;
    let mut member = ann();
    member.info = Some("}{".into());
    let error = presence(&setup)
        .enter(&topic(), &[member])
        .await
        .unwrap_err();
    assert_eq!(error.text, "what a member says of itself is not JSON");
}

#[tokio::test(start_paused = true)]
async fn members_of_dead_nodes_are_hidden_and_removed() {
    let mut setup = Setup::new().await;
    let presence = presence(&setup);
    let topic = topic();
    let (live, dead) = (
        format!("{LIVE}.000000000000000a"),
        format!("{DEAD}.000000000000000b"),
    );
    let unknown = "0000000000000001.000000000000000c".to_owned();
    let answering = async |peer: &mut Peer| {
        let first = texts(&[&live, ANN, &dead, ANN, "strange", "x", &unknown, ANN]);
        peer.expect(
            &["HSCAN", MEMBERS, "0", "COUNT", "500"],
            list(&[bulk("17"), first]),
        )
        .await;
        answer_leases(peer).await;
        let removed = peer
            .expect(&["HDEL", MEMBERS, &dead, &unknown], ":2\r\n")
            .await;
        assert_eq!(removed.len(), 4);
        // A scan may give a member twice.
        let second = texts(&[&live, ANN, &format!("{LIVE}.000000000000000e"), "no JSON"]);
        peer.expect(&["HSCAN", MEMBERS, "17"], list(&[bulk("0"), second]))
            .await;
        answer_leases(peer).await;
    };
    let (members, ()) = tokio::join!(presence.members(&topic, 10), answering(&mut setup.peer));
    assert_eq!(members, Ok(vec![ann()]));
    assert_eq!(presence.members(&topic, 0).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn counts_of_live_nodes_add_up() {
    let mut setup = Setup::new().await;
    let presence = presence(&setup);
    let topic = topic();
    let answering = async |peer: &mut Peer| {
        peer.expect(&["HSET", COUNTS, LIVE, "3"], ":1\r\n").await;
        peer.expect(&["EXPIRE", COUNTS, "86400"], ":1\r\n").await;
        answer_count(peer, 1).await;
    };
    let (written, ()) = tokio::join!(presence.set_count(&topic, 3), answering(&mut setup.peer));
    assert_eq!(written, Ok(()));
    let answering = async |peer: &mut Peer| {
        let fields = [LIVE, "3", DEAD, "5"].map(bulk);
        peer.expect(&["HGETALL", COUNTS], format!("%2\r\n{}", fields.concat()))
            .await;
        answer_leases(peer).await;
        peer.expect(&["HDEL", COUNTS, DEAD], ":1\r\n").await;
    };
    let (count, ()) = tokio::join!(presence.count(&topic), answering(&mut setup.peer));
    assert_eq!(count, Ok(3));
    let answering = async |peer: &mut Peer| {
        peer.expect(&["HDEL", COUNTS, LIVE], ":1\r\n").await;
        answer_count(peer, 2).await;
    };
    let (left, ()) = tokio::join!(presence.set_count(&topic, 0), answering(&mut setup.peer));
    assert_eq!(left, Ok(()));
}

fn lease(setup: &Setup) -> (Lease, Arc<Incarnation>) {
    let incarnation = Arc::new(Incarnation::new(setup.node.id));
    let lease = Lease::new(
        setup.layout.clone(),
        setup.node.clone(),
        Arc::clone(&incarnation),
        Arc::clone(&setup.clock),
    );
    (lease, incarnation)
}

/// What other nodes know of the node of these tests.
const KNOWN: &str = "000000000000000f 0000000000000007 a b";
const MOVED: &str = "0000000000000001";

/// The answer of the script: a time, whether the node is new, and two nodes.
fn leases(time: u64, is_new: bool) -> String {
    let mut items = vec![
        bulk(&time.to_string()),
        format!(":{}\r\n", u8::from(is_new)),
    ];
    // The first node has two names: it moves from one to the other.
    items.extend([LIVE, KNOWN, MOVED, KNOWN, DEAD, ""].map(bulk));
    list(&items)
}

#[tokio::test(start_paused = true)]
async fn a_renewal_lists_the_live_nodes_and_sets_the_clock() {
    let mut setup = Setup::new().await;
    let (lease, _) = lease(&setup);
    let answering = setup
        .peer
        .expect_script(Script::Lease, leases(5_000_000, true));
    let (renewal, (keys, arguments)) = tokio::join!(lease.renew(&setup.commands), answering);
    assert_eq!(keys, ["sockeye:{460}:nodes", "sockeye:{460}:names"]);
    assert_eq!(arguments, [LIVE, "15000", KNOWN, "60000"]);
    let renewal = renewal.unwrap();
    let unnamed = NodeInfo {
        id: NodeId(0xdd),
        name: "".into(),
        fingerprint: 0,
    };
    assert_eq!(
        (renewal.live, renewal.has_moved),
        (vec![setup.node.clone(), unnamed], false)
    );
    assert_eq!(renewal.incarnations, [1, 7, 0xdd].map(NodeId));
    assert_eq!(setup.clock.at(Instant::now()), Some(5_000_000));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_lease_was_over_takes_a_new_name_and_removes_the_old_one() {
    let mut setup = Setup::new().await;
    let (lease, incarnation) = lease(&setup);
    for is_new in [true, false] {
        let answering = setup.peer.expect_script(Script::Lease, leases(1, is_new));
        let (renewal, _) = tokio::join!(lease.renew(&setup.commands), answering);
        assert!(!renewal.unwrap().has_moved);
    }
    assert_eq!(incarnation.id(), NodeId(7));
    let answering = async |peer: &mut Peer| {
        let (_, late) = peer.expect_script(Script::Lease, leases(1, true)).await;
        let (_, anew) = peer.expect_script(Script::Lease, leases(1, true)).await;
        (late, anew)
    };
    let renewing = lease.renew(&setup.commands);
    let (renewal, (late, anew)) = tokio::join!(renewing, answering(&mut setup.peer));
    assert!(renewal.unwrap().has_moved);
    assert_eq!(late[0], LIVE);
    let name = format!("{:016x}", incarnation.id().0);
    assert_eq!((&*anew[0], &*anew[2]), (&*name, KNOWN));
    assert_ne!(name, LIVE);
    // The members are written again now.
    let giving_up = lease.give_up_former(&setup.commands);
    let (given_up, ()) = tokio::join!(giving_up, answer_removal(&mut setup.peer, &[LIVE]));
    assert_eq!(given_up, Ok(()));
    assert_eq!(incarnation.names().former, []);
    // There is nothing more to give up.
    assert_eq!(lease.give_up_former(&setup.commands).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_takes_the_new_name_that_the_link_wants_once() {
    let mut setup = Setup::new().await;
    let (lease, incarnation) = lease(&setup);
    let mut moved = Vec::new();
    for wants_new in [true, false, true, false] {
        if wants_new {
            lease.want_new_name();
        }
        let answering = setup.peer.expect_script(Script::Lease, leases(1, false));
        let (renewal, _) = tokio::join!(lease.renew(&setup.commands), answering);
        moved.push(renewal.unwrap().has_moved);
    }
    // The first name has written nothing yet, so the first renewal keeps it.
    assert_eq!(moved, [false, false, true, false]);
    assert_eq!(incarnation.names().former, [NodeId(7)]);
}

/// Answers the removal of leases.
async fn answer_removal(peer: &mut Peer, names: &[&str]) {
    for (command, key) in [("ZREM", "nodes"), ("HDEL", "names")] {
        let key = format!("sockeye:{{460}}:{key}");
        let words = [&[command, &*key], names].concat();
        let command = peer.expect(&words, ":1\r\n").await;
        assert_eq!(command.len(), words.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_learns_that_its_lease_was_over_though_an_answer_is_lost() {
    let mut setup = Setup::new().await;
    let (lease, incarnation) = lease(&setup);
    let answering = setup.peer.expect_script(Script::Lease, leases(1, true));
    let (renewal, _) = tokio::join!(lease.renew(&setup.commands), answering);
    assert!(!renewal.unwrap().has_moved);
    // The server gives the new name a lease, and the answer comes too late.
    let answering = setup.peer.expect_script(Script::Lease, leases(1, true));
    let (renewal, _) = tokio::join!(lease.renew(&setup.commands), answering);
    assert_eq!(renewal, Err(CallError::Timeout));
    setup.peer.command().await;
    setup.peer.answer(leases(1, true)).await;
    let name = format!("{:016x}", incarnation.id().0);
    let answering = setup.peer.expect_script(Script::Lease, leases(1, false));
    let (renewal, (_, again)) = tokio::join!(lease.renew(&setup.commands), answering);
    assert!(renewal.unwrap().has_moved);
    assert_eq!(again[0], name);
    let answering = setup.peer.expect_script(Script::Lease, leases(1, false));
    let (renewal, _) = tokio::join!(lease.renew(&setup.commands), answering);
    assert!(!renewal.unwrap().has_moved);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_back() {
    let mut setup = Setup::new().await;
    let (lease, _) = lease(&setup);
    let answering = async |peer: &mut Peer| answer_removal(peer, &[LIVE]).await;
    let (released, ()) = tokio::join!(lease.release(&setup.commands), answering(&mut setup.peer));
    assert_eq!(released, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_beat_is_counted_by_the_server() {
    let mut setup = Setup::new().await;
    let until = Instant::now() + Duration::from_secs(10);
    let beating = lease::beat(&setup.commands, &setup.layout, NodeId(7), 99, until);
    let answering = setup.peer.expect_script(Script::Beat, ":12\r\n");
    let (count, (keys, arguments)) = tokio::join!(beating, answering);
    assert_eq!(count, Ok(12));
    assert_eq!(
        keys,
        ["beats", "b"].map(|kind| format!("sockeye:{{460}}:{kind}:{LIVE}"))
    );
    assert_eq!(arguments, ["99", "600000"]);
}
