//! What clients may do: the rules of the patterns, and then the application's word.

use std::time::SystemTime;

use sockeye_pubsub::policy::Rules;
use sockeye_pubsub::{Body, SubscribeError, TopicName};

use super::authorize::{Denied, decided};
use super::handle::Topics;
use crate::endpoint::Session;
use crate::proto::Outgoing;

/// Decides whether the client of a session may subscribe. Returns when the permission ends.
pub(super) async fn permit_subscribe(
    topics: &Topics,
    session: &Session,
    name: &TopicName,
) -> Result<Option<SystemTime>, SubscribeError> {
    let rules = topics.0.rules(name).map_err(SubscribeError::Denied)?;
    check(topics, rules, session, name, rules.clients.may_subscribe())
        .map_err(SubscribeError::Denied)?;
    let Some(authority) = &topics.0.authority else {
        return Ok(None);
    };
    let topic = topics.topic(name.clone());
    let decided = decided(authority.subscribe(session, &topic)).await;
    let grant = decided.map_err(|denied| SubscribeError::Denied(denied.into_text()))?;
    Ok(grant.end())
}

/// Decides whether the client of a session may publish a message. Returns the message to publish.
#[cfg(feature = "topics-wire")]
pub(super) async fn permit_publish(
    topics: &Topics,
    session: &Session,
    name: &TopicName,
    body: Body,
) -> Result<Body, Denied> {
    let rules = topics.0.rules(name).map_err(Denied::new)?;
    check(topics, rules, session, name, rules.clients.may_publish()).map_err(Denied::new)?;
    let Some(authority) = &topics.0.authority else {
        return Ok(body);
    };
    let topic = topics.topic(name.clone());
    let message = Outgoing::from(body);
    let decided = decided(authority.publish(session, &topic, message)).await;
    decided.map(Body::from)
}

/// Checks what the pattern says.
fn check(
    topics: &Topics,
    rules: &Rules,
    session: &Session,
    name: &TopicName,
    may: bool,
) -> Result<(), String> {
    if !may {
        return Err("clients may not do this with the topic".to_owned());
    }
    let Some(owner) = &rules.owner else {
        return Ok(());
    };
    let topic = topics.topic(name.clone());
    let is_owner = session.principal().is_some() && topic.variable(owner) == session.principal();
    if is_owner {
        Ok(())
    } else {
        Err("the topic belongs to another user".to_owned())
    }
}
