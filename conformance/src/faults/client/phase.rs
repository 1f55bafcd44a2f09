//! What the run asks of the clients of a process.

/// What the run asks of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Leave and join topics, pause, and lose the connection.
    Busy,
    /// Keep topics and connections. The number counts how often all were to connect again.
    Calm(usize),
    /// End.
    Over,
}

impl Phase {
    /// Takes a word of the run. A word that does not fit changes nothing.
    pub(super) fn take(&mut self, word: &str) {
        *self = match (word, *self) {
            ("calm", Self::Busy) => Self::Calm(0),
            ("reconnect", Self::Calm(times)) => Self::Calm(times + 1),
            ("end", _) => Self::Over,
            (_, phase) => phase,
        }
    }
}
