//! The members of a room on other nodes, as the events of the room name them. This module does not know topics.

use std::collections::HashSet;

use sockeye::topics::Position;

use super::message::Seen;
use super::name::Name;
use super::seat::Present;

/// The members on other nodes, in the order in which this node learned of them.
#[derive(Debug, Default)]
pub(super) struct Others {
    all: Vec<Other>,
    learning: Learning,
}

/// What this node knows of the room.
#[derive(Debug)]
enum Learning {
    /// It reads the events that the room keeps. These members have left: they may still be present for a moment.
    Begun(HashSet<String>),
    /// It knows the members that no event names, too.
    Done,
}

#[derive(Debug)]
struct Other {
    id: String,
    name: Name,
    key: String,
    /// The position of the last event that named the member. `None` if the room keeps no such event.
    at: Option<Position>,
}

impl Default for Learning {
    fn default() -> Self {
        Self::Begun(HashSet::new())
    }
}

impl Others {
    /// Returns the number of members.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the names, in the order in which this node learned of them.
    pub(super) fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.all.iter().map(|other| other.name.as_str())
    }

    /// Whether a member has a name with this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.all.iter().any(|other| other.key == key)
    }

    /// Returns the ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|other| other.id.as_str())
    }

    /// Removes a member. Returns its name, and the position of the last event that named it.
    pub(super) fn remove(&mut self, id: &str) -> Option<(Name, Option<Position>)> {
        let place = self.all.iter().position(|other| other.id == id)?;
        let other = self.all.remove(place);
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
                self.set(id, &name, Some(at));
            }
            Seen::Left { id } if is_here(&id) => return Some(id),
            Seen::Left { id } => {
                self.all.retain(|other| other.id != id);
                if let Learning::Begun(left) = &mut self.learning {
                    left.insert(id);
                }
            }
            // While many come and go, the list has those that left without an event of their own.
            Seen::People { people, more: 0 } => {
                self.all
                    .retain(|other| people.iter().any(|name| name == other.name.as_str()));
            }
            _ => {}
        }
        None
    }

    /// The events were read for the first time. Adds members that are present although no event names them: they have said
    /// nothing for longer than the room keeps events, so they stand before the others. `before` is a time in milliseconds
    /// since 1970: who came later is named by an event that is on its way.
    pub(super) fn complete(
        &mut self,
        mut present: Vec<Present>,
        before: u64,
        is_here: impl Fn(&str) -> bool,
    ) {
        let learning = std::mem::replace(&mut self.learning, Learning::Done);
        let Learning::Begun(left) = learning else {
            return;
        };
        present.sort_by_key(|member| member.since);
        let named = std::mem::take(&mut self.all);
        for Present { id, name, since } in present {
            let is_named = left.contains(&id) || named.iter().any(|other| other.id == id);
            if let Some(name) = name
                && since < before
                && !is_named
                && !is_here(&id)
            {
                self.set(id, &name, None);
            }
        }
        self.all.extend(named);
    }

    fn set(&mut self, id: String, name: &str, at: Option<Position>) {
        let Ok(name) = Name::parse(name) else {
            return;
        };
        let key = name.key();
        match self.all.iter_mut().find(|other| other.id == id) {
            Some(other) => {
                other.name = name;
                other.key = key;
                other.at = at;
            }
            None => self.all.push(Other { id, name, key, at }),
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

    #[test]
    fn members_that_no_event_names_are_those_that_are_present_and_came_long_ago() {
        let mut others = Others::default();
        let events = [
            r#"{"type":"joined","name":"Ada","id":"1"}"#,
            r#"{"type":"left","name":"Grace","id":"2"}"#,
        ];
        for event in events {
            let at = "AAAAAAAAAAE:0:0".parse().expect("a position");
            others.apply(event, at, |_| false);
        }
        let present = |id: &str, name: Option<&str>, since| Present {
            id: id.to_owned(),
            name: name.map(str::to_owned),
            since,
        };
        let all = vec![
            present("7", Some("Linus"), 60),
            present("1", Some("an old name of Ada"), 10),
            // Who has just left is present for a moment more.
            present("2", Some("Grace"), 20),
            present("3", Some("Alan"), 30),
            // An event that is on its way names it.
            present("4", Some("Edsger"), 100),
            present("5", None, 40),
            present("here", Some("Barbara"), 50),
        ];
        let complete = |others: &mut Others, all: Vec<Present>| {
            others.complete(all, 100, |id| id == "here");
            others.names().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(complete(&mut others, all), ["Alan", "Linus", "Ada"]);
        // That is once: later the events alone tell.
        let later = vec![present("6", Some("Donald"), 0)];
        assert_eq!(complete(&mut others, later), ["Alan", "Linus", "Ada"]);
        assert_eq!(others.remove("3").map(|(_, at)| at), Some(None));
    }
}
