//! A write to a transport past the task that owns it. One task writes the messages of a channel to the
//! transports of many sessions whose own tasks are parked.

/// A transport that another task may write to while its driver is parked.
pub trait DirectWrite {
    /// Writes as much as the transport takes at once, and returns how many bytes it took. It never waits, and never ends
    /// the transport. After an error it is 0: the driver meets the error when it writes the rest.
    fn write(&self, bytes: &[u8]) -> usize;
}

/// The transport of a test.
#[cfg(all(test, loom))]
pub(crate) struct Scripted(Box<Script>);

#[cfg(all(test, loom))]
type Script = dyn Fn(&[u8]) -> usize + Send + Sync;

#[cfg(all(test, loom))]
impl Scripted {
    pub(crate) fn new(script: impl Fn(&[u8]) -> usize + Send + Sync + 'static) -> Self {
        Self(Box::new(script))
    }
}

#[cfg(all(test, loom))]
impl DirectWrite for Scripted {
    fn write(&self, bytes: &[u8]) -> usize {
        (self.0)(bytes)
    }
}

#[cfg(all(test, loom))]
impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

/// A transport that takes nothing.
#[cfg(all(test, not(loom)))]
impl DirectWrite for () {
    fn write(&self, _: &[u8]) -> usize {
        0
    }
}
