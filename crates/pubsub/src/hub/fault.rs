//! Defences of the hub that a build with `--cfg sockeye_fault` can switch off: the variable `SOCKEYE_FAULT` names one. The
//! simulation must find each.

/// One defence that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The id that a message names as the one before it is not compared.
    NoChain,
    /// Positions with equal epochs and offsets are equal.
    NoId,
    /// Waiting messages are delivered before the joins of the same reply are attached.
    LiveBeforeReplay,
    /// Messages that were delivered during a flight are not merged into its replay.
    NoMerge,
    /// Generations are not compared, and replies of reads from before a gap count.
    NoGeneration,
}

#[cfg(not(sockeye_fault))]
impl Fault {
    /// Returns false: this build leaves out nothing.
    #[inline(always)]
    pub(super) const fn is_on(self) -> bool {
        false
    }
}

#[cfg(sockeye_fault)]
impl Fault {
    /// Returns whether `SOCKEYE_FAULT` names this fault.
    pub(super) fn is_on(self) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<Fault>> = std::sync::OnceLock::new();
        *CHOSEN.get_or_init(Self::chosen) == Some(self)
    }

    fn chosen() -> Option<Self> {
        match std::env::var("SOCKEYE_FAULT").ok()?.as_str() {
            "no_chain" => Some(Self::NoChain),
            "no_id" => Some(Self::NoId),
            "live_before_replay" => Some(Self::LiveBeforeReplay),
            "no_merge" => Some(Self::NoMerge),
            "no_generation" => Some(Self::NoGeneration),
            // The fault of another crate.
            _ => None,
        }
    }
}
