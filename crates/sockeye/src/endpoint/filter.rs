//! Some of an endpoint's open sessions: those whose paths have given parameters, such as one room of a chat.

use sockeye_proto::{Outgoing, PreparedMessage};

use super::codec::{Encoder, encoded};
use super::session::{OpenSessions, Session};
use crate::error::EncodeError;

/// The open sessions of an endpoint whose paths have given parameters, made by
/// [`OpenSessions::with_path_parameter`].
///
/// Each method looks at all open sessions of the endpoint, and compares their parameters.
///
/// ```
/// use sockeye::{Session, server_endpoint};
///
/// #[derive(Default)]
/// struct Chat;
///
/// #[server_endpoint("/chat/{room}")]
/// impl Chat {
///     #[on_message]
///     fn said(&mut self, session: &Session, text: &str, #[path] room: &str) {
///         session.open_sessions().with_path_parameter("room", room).broadcast(text);
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct FilteredSessions<'a> {
    sessions: &'a OpenSessions,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> FilteredSessions<'a> {
    pub(super) fn new(sessions: &'a OpenSessions, name: &'a str, value: &'a str) -> Self {
        Self {
            sessions,
            parameters: vec![(name, value)],
        }
    }

    /// Keeps those of them that have another path parameter with this decoded value as well.
    pub fn with_path_parameter(mut self, name: &'a str, value: &'a str) -> Self {
        self.parameters.push((name, value));
        self
    }

    /// Returns their number.
    pub fn len(&self) -> usize {
        self.to_vec().len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the sessions that are open now.
    pub fn to_vec(&self) -> Vec<Session> {
        let mut sessions = self.sessions.to_vec();
        sessions.retain(|session| self.includes(session));
        sessions
    }

    /// Sends a message to all of them, and returns how many took it.
    ///
    /// It does not wait, and treats a session whose outbox is full as [`OpenSessions::broadcast`] does: by default the
    /// session is closed with 1013. The message is framed and compressed once. All sessions get all broadcasts of the
    /// endpoint in the same order.
    pub fn broadcast(&self, message: impl Into<Outgoing>) -> usize {
        let prepared = PreparedMessage::new(message);
        self.sessions
            .broadcast_to(&prepared, |session| self.includes(session))
    }

    /// Encodes an object once, and sends it to all of them: `broadcast_object(Json(&prices))`. An object may be given by
    /// reference too. Returns the number of sessions that accepted it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the object cannot be encoded. Then nothing is sent.
    pub fn broadcast_object(&self, object: impl Encoder) -> Result<usize, EncodeError> {
        Ok(self.broadcast(encoded(&object)?))
    }

    fn includes(&self, session: &Session) -> bool {
        let has = |(name, value): &(&str, &str)| session.path_parameter(name) == Some(*value);
        self.parameters.iter().all(has)
    }
}
