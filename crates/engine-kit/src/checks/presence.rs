//! Checks of presence: members and counts.

use std::collections::BTreeSet;
use std::time::Duration;

use sockeye_pubsub::TopicName;
use sockeye_pubsub::engine::{Member, MemberId, PresenceStore};

use super::failure::{Failure, ensure, ensure_eq};
use super::ground::{Ground, Node};

impl Node {
    fn presence(&self) -> Result<&dyn PresenceStore, Failure> {
        let presence = self.engine.presence();
        presence.ok_or_else(|| Failure::new("the engine has no store for presence"))
    }

    async fn enter(&self, topic: &TopicName, members: &[Member]) -> Result<(), Failure> {
        Ok(self.presence()?.enter(topic, members).await?)
    }

    async fn leave(&self, topic: &TopicName, members: &[Member]) -> Result<(), Failure> {
        let members: Vec<MemberId> = members.iter().map(|member| member.id).collect();
        Ok(self.presence()?.leave(topic, &members).await?)
    }

    /// Returns the members of a topic by their ids.
    async fn members(&self, topic: &TopicName) -> Result<Vec<Member>, Failure> {
        let mut members = self.presence()?.members(topic, 1000).await?;
        members.sort_by_key(|member| member.id);
        Ok(members)
    }
}

/// Makes members with all that a member may have.
fn make(ground: &Ground<'_>, count: usize) -> Vec<Member> {
    let member = |number: usize| Member {
        id: MemberId(ground.id().get()),
        info: (!number.is_multiple_of(3))
            .then(|| format!("{{\"name\":\"{number}\u{e9}\"}}").into()),
        principal: (!number.is_multiple_of(2)).then(|| format!("ann+{number}@example.org").into()),
        since: 1_700_000_000_000 + number as u64,
    };
    let mut members: Vec<Member> = (0..count).map(member).collect();
    members.sort_by_key(|member| member.id);
    members
}

/// Members that entered are listed, with all that they said of themselves.
pub(super) async fn entered_members_are_listed(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let members = make(ground, 5);
    ground.node().enter(&topic, &members[..2]).await?;
    ground.node().enter(&topic, &members[2..]).await?;
    for node in &ground.nodes {
        ensure_eq!(
            node.members(&topic).await?,
            members,
            "the members that {} lists",
            node.info.name
        );
    }
    Ok(())
}

/// Members that left are gone, and the others stay.
pub(super) async fn members_that_left_are_gone(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let members = make(ground, 4);
    ground.node().enter(&topic, &members).await?;
    ground.node().leave(&topic, &members[1..3]).await?;
    let left = [members[0].clone(), members[3].clone()];
    ensure_eq!(
        ground.other().members(&topic).await?,
        left,
        "the members that stayed"
    );
    ground.node().leave(&topic, &members).await?;
    ensure_eq!(
        ground.other().members(&topic).await?,
        [],
        "the members behind the last leave"
    );
    Ok(())
}

/// A member that enters again is replaced: it is listed once, with what it said last.
pub(super) async fn a_member_that_enters_again_is_replaced(
    ground: &Ground<'_>,
) -> Result<(), Failure> {
    let topic = ground.topic();
    let mut members = make(ground, 1);
    ground.node().enter(&topic, &members).await?;
    members[0].info = Some("\"new\"".into());
    ground.node().enter(&topic, &members).await?;
    ensure_eq!(
        ground.other().members(&topic).await?,
        members,
        "a member that entered twice"
    );
    Ok(())
}

/// A list of members is cut at its maximum.
pub(super) async fn lists_are_cut_at_their_maximum(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let members = make(ground, 10);
    ground.node().enter(&topic, &members).await?;
    for (max, expected) in [(0, 0), (3, 3), (10, 10), (11, 10)] {
        let listed = ground.other().presence()?.members(&topic, max).await?;
        ensure_eq!(
            listed.len(),
            expected,
            "a list of at most {max} of ten members"
        );
        let ids: BTreeSet<MemberId> = listed.iter().map(|member| member.id).collect();
        ensure_eq!(ids.len(), expected, "the different members of a list");
        ensure!(
            listed.iter().all(|member| members.contains(member)),
            "a list has members that did not enter"
        );
    }
    Ok(())
}

/// The members of one topic are none of another.
pub(super) async fn members_of_topics_are_apart(ground: &Ground<'_>) -> Result<(), Failure> {
    let (first, second) = (ground.topic(), ground.topic());
    let members = make(ground, 2);
    ground.node().enter(&first, &members[..1]).await?;
    ground.node().enter(&second, &members[1..]).await?;
    ground.node().leave(&first, &members).await?;
    ensure_eq!(
        ground.node().members(&first).await?,
        [],
        "the members of the first topic"
    );
    ensure_eq!(
        ground.node().members(&second).await?,
        members[1..],
        "the members of the second topic"
    );
    Ok(())
}

/// A count is what its node wrote last. The counts of all nodes add up.
pub(super) async fn counts_add_up(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    ensure_eq!(
        ground.node().presence()?.count(&topic).await?,
        0,
        "the count of a new topic"
    );
    let mut sum = 0;
    for (node, count) in ground.nodes.iter().zip([5, 7]) {
        node.presence()?.set_count(&topic, 3).await?;
        node.presence()?.set_count(&topic, count).await?;
        sum += count;
    }
    for node in &ground.nodes {
        ensure_eq!(
            node.presence()?.count(&topic).await?,
            sum,
            "the count at {}",
            node.info.name
        );
    }
    ground.node().presence()?.set_count(&topic, 0).await?;
    let left = ground.other().presence()?.count(&topic).await?;
    ensure_eq!(left, sum - 5, "the count without the first node");
    Ok(())
}

/// Each node lists the members of all nodes. A member leaves only at its own node.
pub(super) async fn members_of_all_nodes_are_listed(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let members = make(ground, 4);
    let (first, second) = members.split_at(2);
    ground.node().enter(&topic, first).await?;
    ground.other().enter(&topic, second).await?;
    for node in &ground.nodes {
        ensure_eq!(
            node.members(&topic).await?,
            members,
            "the members that {} lists",
            node.info.name
        );
    }
    ground.node().leave(&topic, &members).await?;
    ensure_eq!(
        ground.node().members(&topic).await?,
        second,
        "the members when those of the first node have left"
    );
    Ok(())
}

/// A node that stops takes its members and its count away.
pub(super) async fn a_stopped_node_leaves_no_members(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let members = make(ground, 4);
    let (first, second) = members.split_at(2);
    ground.node().enter(&topic, first).await?;
    ground.other().enter(&topic, second).await?;
    ground.node().presence()?.set_count(&topic, 2).await?;
    ground.other().presence()?.set_count(&topic, 2).await?;
    ground.other().engine.stop(Duration::from_secs(1)).await?;
    ground.backend.quiet().await;
    ensure_eq!(
        ground.node().members(&topic).await?,
        first,
        "the members without a stopped node"
    );
    let count = ground.node().presence()?.count(&topic).await?;
    ensure_eq!(count, 2, "the count without a stopped node");
    Ok(())
}

/// The members and the count of a node that was killed are gone 20 s later. Those of other nodes stay.
pub(super) async fn a_killed_node_leaves_no_members(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let members = make(ground, 4);
    let (first, second) = members.split_at(2);
    ground.node().enter(&topic, first).await?;
    ground.other().enter(&topic, second).await?;
    ground.node().presence()?.set_count(&topic, 2).await?;
    ground.other().presence()?.set_count(&topic, 2).await?;
    ground.backend.kill(ground.other().info.id).await;
    ground.backend.pass(Duration::from_secs(20)).await;
    ensure_eq!(
        ground.node().members(&topic).await?,
        first,
        "the members without a killed node"
    );
    let count = ground.node().presence()?.count(&topic).await?;
    ensure_eq!(count, 2, "the count without a killed node");
    Ok(())
}

/// Members of a live node stay, however long nothing happens.
pub(super) async fn members_of_a_live_node_stay(ground: &Ground<'_>) -> Result<(), Failure> {
    let topic = ground.topic();
    let members = make(ground, 2);
    ground.node().enter(&topic, &members).await?;
    ground
        .backend
        .pass(Duration::from_secs(2 * 24 * 3600))
        .await;
    ensure_eq!(
        ground.other().members(&topic).await?,
        members,
        "the members after two days"
    );
    Ok(())
}
