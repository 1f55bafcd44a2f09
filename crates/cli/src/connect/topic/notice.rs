//! The lines on stderr about topics and connections.

use sockeye::reconnect::ReconnectEvent;
use sockeye::reconnect::topics::{Recovery, TopicEvent};

use crate::escape::Escaped;
use crate::time::measured;

/// Returns the line about an event, without the name of the program. `None` if nothing is to be said. A subscription that
/// begins is told only if `is_verbose`.
pub(super) fn of(event: &TopicEvent, is_verbose: bool) -> Option<String> {
    Some(match event {
        TopicEvent::Subscribed {
            topic,
            recovery: Recovery::Recovered { missed },
            ..
        } => {
            let messages = match missed {
                0 => "no message was missed".to_owned(),
                1 => "1 missed message follows".to_owned(),
                missed => format!("{missed} missed messages follow"),
            };
            format!("{}: subscribed again; {messages}", Escaped(topic))
        }
        TopicEvent::Subscribed {
            topic,
            recovery: Recovery::Fresh,
            position,
            ..
        } if is_verbose => {
            let at = position.map_or(String::new(), |at| format!(" at {at}"));
            format!("{}: subscribed{at}", Escaped(topic))
        }
        TopicEvent::Lost { topic, .. } => {
            format!("{}: messages may be missing", Escaped(topic))
        }
        TopicEvent::Delayed {
            topic,
            failure,
            retry,
        } => format!(
            "{}: {}; again in {}",
            Escaped(topic),
            Escaped(&failure.to_string()),
            measured(*retry)
        ),
        TopicEvent::Ended { topic, failure } => format!(
            "{}: the subscription ended: {}",
            Escaped(topic),
            Escaped(&failure.to_string())
        ),
        TopicEvent::Connection(ReconnectEvent::Interrupted { why, pause, .. }) => format!(
            "{}; again in {}",
            Escaped(&why.to_string()),
            measured(*pause)
        ),
        _ => return None,
    })
}
