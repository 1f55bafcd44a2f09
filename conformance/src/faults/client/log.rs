//! The log of a process of clients.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::faults::clock;
use crate::faults::line::{Line, Noted};

/// The log of a process. Its times never fall.
pub(super) struct Log {
    inner: Mutex<Inner>,
}

struct Inner {
    file: BufWriter<File>,
    last: u64,
}

impl Log {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let inner = Inner {
            file: BufWriter::new(file),
            last: 0,
        };
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Notes an event of a client now.
    pub(super) fn note(&self, client: usize, noted: Noted) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last = clock::now().max(inner.last);
        let line = Line {
            time: inner.last,
            client,
            noted,
        };
        Ok(writeln!(inner.file, "{line}")?)
    }

    /// Writes what is still in memory.
    pub(super) fn finish(&self) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(inner.file.flush()?)
    }
}
