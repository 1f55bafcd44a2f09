//! The members of a room on other nodes, as the events of the room name them. This module does not know topics.

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

    /// Applies an event of the room. `is_here` says which ids are members of this node.
    pub(super) fn apply(&mut self, event: &str, is_here: impl Fn(&str) -> bool) {
        // A later version may have other events.
        let Ok(event) = serde_json::from_str(event) else {
            return;
        };
        match event {
            Seen::Joined { name, id }
            | Seen::Renamed { to: name, id }
            | Seen::Message { from: name, id }
                if !is_here(&id) =>
            {
                self.set(id, &name);
            }
            Seen::Left { id } => self.0.retain(|other| other.id != id),
            // While many come and go, the list has those that left without an event of their own.
            Seen::People { people, more: 0 } => {
                self.0
                    .retain(|other| people.iter().any(|name| name == other.name.as_str()));
            }
            _ => {}
        }
    }

    fn set(&mut self, id: String, name: &str) {
        let Ok(name) = Name::parse(name) else {
            return;
        };
        let key = name.key();
        match self.0.iter_mut().find(|other| other.id == id) {
            Some(other) => {
                other.name = name;
                other.key = key;
            }
            None => self.0.push(Other { id, name, key }),
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
                others.apply(event, |id| id == "here");
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
