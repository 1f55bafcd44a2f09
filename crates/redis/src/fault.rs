//! Defences of the engine that a build with `--cfg sockeye_fault` can switch off: the variable `SOCKEYE_FAULT` names one. The
//! fault bench must find each.

/// One defence that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The count of a beat is not compared with the one before.
    NoCountedBeat,
    /// The end of a feed ends no generation.
    FeedGenerationIgnored,
    /// A publish has no deadline: the server takes a message that comes late.
    NoDeadline,
    /// The script of a publish sends the message before it stores it.
    ScriptOrder,
}

#[cfg(not(sockeye_fault))]
impl Fault {
    /// Returns false: this build leaves out nothing.
    #[inline(always)]
    pub(crate) const fn is_on(self) -> bool {
        false
    }
}

#[cfg(sockeye_fault)]
impl Fault {
    /// Returns whether `SOCKEYE_FAULT` names this fault.
    pub(crate) fn is_on(self) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<Fault>> = std::sync::OnceLock::new();
        *CHOSEN.get_or_init(Self::chosen) == Some(self)
    }

    fn chosen() -> Option<Self> {
        match std::env::var("SOCKEYE_FAULT").ok()?.as_str() {
            "no_counted_beat" => Some(Self::NoCountedBeat),
            "feed_generation_ignored" => Some(Self::FeedGenerationIgnored),
            "no_deadline" => Some(Self::NoDeadline),
            "script_order" => Some(Self::ScriptOrder),
            // The fault of another crate.
            _ => None,
        }
    }
}
