//! What clients may do: the rules of the patterns, and then the application's word.

#[cfg(feature = "topics-wire")]
use sockeye_pubsub::Body;
use sockeye_pubsub::{Clients, TopicName};

use super::authorize::{Denied, decided};
use super::handle::Topics;
use super::permission::Permission;
use crate::endpoint::Session;
#[cfg(feature = "topics-wire")]
use crate::proto::Outgoing;

/// Decides whether the client of a session may subscribe.
pub(super) async fn permit_subscribe(
    topics: &Topics,
    session: &Session,
    name: &TopicName,
) -> Result<Permission, Denied> {
    let round = topics.0.hub.outlet().rechecks().round();
    check(topics, session, name, Clients::may_subscribe)?;
    let Some(authority) = &topics.0.authority else {
        return Ok(Permission { until: None, round });
    };
    let topic = topics.topic(name.clone());
    let grant = decided(async { authority.subscribe(session, &topic).await }).await?;
    let until = grant.end();
    Ok(Permission { until, round })
}

/// Decides whether the client of a session may publish a message. Returns the message to publish.
#[cfg(feature = "topics-wire")]
pub(super) async fn permit_publish(
    topics: &Topics,
    session: &Session,
    name: &TopicName,
    body: Body,
) -> Result<Body, Denied> {
    check(topics, session, name, Clients::may_publish)?;
    let Some(authority) = &topics.0.authority else {
        return Ok(body);
    };
    let topic = topics.topic(name.clone());
    let message = Outgoing::from(body);
    let decided = decided(async { authority.publish(session, &topic, message).await }).await;
    decided.map(Body::from)
}

/// Checks what the pattern says.
fn check(
    topics: &Topics,
    session: &Session,
    name: &TopicName,
    may: impl FnOnce(Clients) -> bool,
) -> Result<(), Denied> {
    let Some(matched) = topics.0.patterns.find(name) else {
        return Err(Denied::new("no pattern matches the topic"));
    };
    if !may(matched.rules().clients) {
        return Err(Denied::new("clients may not do this with the topic"));
    }
    if !matched.admits(session.principal()) {
        return Err(Denied::new("the topic belongs to another user"));
    }
    Ok(())
}
