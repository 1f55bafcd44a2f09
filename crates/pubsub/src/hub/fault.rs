//! Defences of the hub that a build for tests can switch off, by `--cfg sockeye_fault="…"`. The simulation must find each.

/// The id that a message names as the one before it is not compared.
pub(super) const NO_CHAIN: bool = cfg!(sockeye_fault = "no_chain");
/// Positions with equal epochs and offsets are equal.
pub(super) const NO_ID: bool = cfg!(sockeye_fault = "no_id");
/// Waiting messages are delivered before the joins of the same reply are attached.
pub(super) const LIVE_BEFORE_REPLAY: bool = cfg!(sockeye_fault = "live_before_replay");
/// Messages that were delivered during a flight are not merged into its replay.
pub(super) const NO_MERGE: bool = cfg!(sockeye_fault = "no_merge");
/// Generations are not compared, and replies of reads from before a gap count.
pub(super) const NO_GENERATION: bool = cfg!(sockeye_fault = "no_generation");
