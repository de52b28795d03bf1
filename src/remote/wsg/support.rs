//! What a server was seen to support.

use std::sync::atomic::{AtomicU8, Ordering};

/// Whether a server supports one thing: not known until it was seen.
#[derive(Debug, Default)]
pub(super) struct Support(AtomicU8);

impl Support {
    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;

    pub(super) fn known(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            Self::YES => Some(true),
            Self::NO => Some(false),
            _ => None,
        }
    }

    /// It was seen to work.
    pub(super) fn proved(&self) {
        self.0.store(Self::YES, Ordering::Relaxed);
    }

    /// It was asked for and did not come. What worked before weighs more: it may depend on the object.
    pub(super) fn missed(&self) {
        let _ = self
            .0
            .compare_exchange(Self::UNKNOWN, Self::NO, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_once_is_supported_for_good() {
        let support = Support::default();
        assert_eq!(support.known(), None);
        support.missed();
        assert_eq!(support.known(), Some(false));
        support.proved();
        support.missed();
        assert_eq!(support.known(), Some(true));
    }
}
