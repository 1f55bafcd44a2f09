//! The members of a room on other nodes, as the events of the room name them. This module does not know topics.

use sockeye::topics::Position;

use super::message::Seen;
use super::name::Name;

/// The members on other nodes, in the order in which this node learned of them.
#[derive(Debug, Default)]
pub(super) struct Others(Vec<Other>);

#[derive(Debug)]
struct Other {
    id: String,
    name: Name,
    key: String,
    /// The position of the last event that named the member.
    at: Position,
}

impl Others {
    /// Returns the number of members.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the names, in the order in which this node learned of them.
    pub(super) fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(|other| other.name.as_str())
    }

    /// Whether a member has a name with this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|other| other.key == key)
    }

    /// Returns the ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|other| other.id.as_str())
    }

    /// Removes a member. Returns its name, and the position of the last event that named it.
    pub(super) fn remove(&mut self, id: &str) -> Option<(Name, Position)> {
        let place = self.0.iter().position(|other| other.id == id)?;
        let other = self.0.remove(place);
        Some((other.name, other.at))
    }

    /// Applies an event of the room at a position. `is_here` says which ids are members of this node. Returns the id of
    /// such a member if another node says that it has left.
    pub(super) fn apply(
        &mut self,
        event: &str,
        at: Position,
        is_here: impl Fn(&str) -> bool,
    ) -> Option<String> {
        // A later version may have other events.
        match serde_json::from_str(event).ok()? {
            Seen::Joined { name, id }
            | Seen::Renamed { to: name, id }
            | Seen::Message { from: name, id }
                if !is_here(&id) =>
            {
                self.set(id, &name, at);
            }
            Seen::Left { id } if is_here(&id) => return Some(id),
            Seen::Left { id } => self.0.retain(|other| other.id != id),
            // While many come and go, the list has those that left without an event of their own.
            Seen::People { people, more: 0 } => {
                self.0
                    .retain(|other| people.iter().any(|name| name == other.name.as_str()));
            }
            _ => {}
        }
        None
    }

    fn set(&mut self, id: String, name: &str, at: Position) {
        let Ok(name) = Name::parse(name) else {
            return;
        };
        let key = name.key();
        match self.0.iter_mut().find(|other| other.id == id) {
            Some(other) => {
                other.name = name;
                other.key = key;
                other.at = at;
            }
            None => self.0.push(Other { id, name, key, at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_room_tell_who_is_on_other_nodes() {
        let mut others = Others::default();
        let mut after = |events: &[&str]| {
            for event in events {
                let at = "AAAAAAAAAAE:0:0".parse().expect("a position");
                let denied = others.apply(event, at, |id| id == "here");
                assert_eq!(denied, None);
            }
            others.names().map(str::to_owned).collect::<Vec<_>>()
        };
        let joined = [
            r#"{"type":"joined","name":"Ada","id":"1"}"#,
            r#"{"type":"joined","name":"Grace","id":"here"}"#,
            r#"{"type":"message","from":"Linus","text":"hi","time":"","id":"2"}"#,
        ];
        assert_eq!(after(&joined), ["Ada", "Linus"]);
        let renamed = [r#"{"type":"renamed","from":"Ada","to":"Ada L.","id":"1"}"#];
        assert_eq!(after(&renamed), ["Ada L.", "Linus"]);
        // What this version does not know changes nothing.
        assert_eq!(
            after(&["{}", "[", r#"{"type":"waved","id":"1"}"#]),
            ["Ada L.", "Linus"]
        );
        let listed = [r#"{"type":"people","people":["Grace","Linus"]}"#];
        assert_eq!(after(&listed), ["Linus"]);
        let cut = [r#"{"type":"people","people":["Grace"],"more":2}"#];
        assert_eq!(after(&cut), ["Linus"]);
        assert_eq!(
            after(&[r#"{"type":"left","name":"Linus","id":"2"}"#]),
            [""; 0]
        );
    }
}
