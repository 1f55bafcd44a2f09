//! The case that tests the bench itself: one node that keeps messages in its memory, and no fault.

use crate::faults::case::{Case, Ground, Run, Script};

pub(super) const CASES: &[Case] = &[Case {
    id: "none",
    title: "one node without a server, and no fault",
    run: Run::Quick,
    ground: Ground::Memory,
    is_long: false,
    script: |_, _| Script::default(),
    judge: |evidence| {
        let (_, messages) = evidence.counts();
        match messages {
            0 => vec!["no client got a message".to_owned()],
            _ => Vec::new(),
        }
    },
}];
