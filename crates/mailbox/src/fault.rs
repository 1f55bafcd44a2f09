//! Faults that a build with `--cfg sockeye_fault` can switch on: the variable `SOCKEYE_FAULT` names one. The random test of
//! channels must find each. A model of loom finds the first one too.

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A publish sets no bit of a member whose driver runs.
    ForgottenBit,
    /// A reader clears the bit of a channel although its log holds more.
    EarlyClear,
}

#[cfg(not(sockeye_fault))]
impl Fault {
    /// Returns false: this build has no faults.
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
            "forgotten_bit" => Some(Self::ForgottenBit),
            "early_clear" => Some(Self::EarlyClear),
            // The fault of another crate.
            _ => None,
        }
    }
}
