//! The values of conflated channels that one mailbox keeps itself, because it reads no log of theirs, or because a value
//! does not fit into the log. There is at most one for each channel: a newer one takes its place.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use sockeye_proto::PreparedMessage;

use super::log::Log;
use crate::sync::Arc;

/// One value for each of some channels.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    values: BTreeMap<Key, Value>,
    // The channel whose value was taken last.
    last: Key,
}

/// The address of a channel's log. A value keeps its log, so no other log has the address meanwhile.
type Key = usize;

#[derive(Debug)]
struct Value {
    message: PreparedMessage,
    _log: Arc<Log>,
}

impl Latest {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Puts the value of a channel in, in place of its last one.
    pub(crate) fn put(&mut self, log: &Arc<Log>, message: PreparedMessage) {
        let value = Value {
            message,
            _log: Arc::clone(log),
        };
        self.values.insert(key(log), value);
    }

    /// Drops the value of a channel.
    pub(crate) fn forget(&mut self, log: &Arc<Log>) {
        self.values.remove(&key(log));
    }

    /// Takes the next value. Each channel has its turn.
    pub(crate) fn take(&mut self) -> Option<PreparedMessage> {
        let behind = self.values.range((Excluded(self.last), Unbounded)).next();
        let (next, _) = behind.or_else(|| self.values.first_key_value())?;
        self.last = *next;
        let value = self.values.remove(&self.last)?;
        Some(value.message)
    }
}

fn key(log: &Arc<Log>) -> Key {
    Arc::as_ptr(log).addr()
}
