//! Which made documents have superseded versions, worked out and not stored.
//!
//! The active documents are *slots* 0, 1, 2 …; behind them come the superseded rows. Every seventh slot has one, two
//! or three of them in turn, as one in seven of the bridge project has.

use std::ops::Range;

use super::MOST_ROWS;

/// One slot in so many has superseded versions, …
const EVERY: u32 = 7;
/// … beginning with this one.
const FIRST: u32 = 3;
/// Superseded rows of three such slots: one, two, three.
const TRIPLE: u32 = 6;
/// Where the rows of each of the three begin.
const STARTS: [u32; 3] = [0, 1, 3];

/// The rows of the documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    slots: u32,
    superseded: u32,
}

impl Versions {
    /// At most [`MOST_ROWS`] in all.
    pub(super) fn new(slots: u32) -> Self {
        let versioned = (slots + EVERY - 1 - FIRST) / EVERY;
        let superseded = start(versioned);
        Self {
            slots,
            superseded: superseded.min(MOST_ROWS - slots),
        }
    }

    /// One version of everything.
    pub(super) fn none(slots: u32) -> Self {
        Self { slots, superseded: 0 }
    }

    pub(super) fn slots(self) -> u32 {
        self.slots
    }

    pub(super) fn rows(self) -> u32 {
        self.slots + self.superseded
    }

    /// The superseded rows of a slot, oldest first.
    pub(super) fn superseded(self, slot: u32) -> Range<u32> {
        let range = if slot % EVERY == FIRST {
            let versioned = slot / EVERY;
            start(versioned)..start(versioned + 1)
        } else {
            0..0
        };
        let cut = |row: u32| self.slots + row.min(self.superseded);
        cut(range.start)..cut(range.end)
    }

    /// The number of a slot's active version, counted from 0.
    pub(super) fn newest(self, slot: u32) -> u32 {
        let range = self.superseded(slot);
        range.end - range.start
    }

    /// The slot of a row, and which version it is.
    pub(super) fn place(self, row: u32) -> (u32, u32) {
        let Some(superseded) = row.checked_sub(self.slots) else {
            return (row, self.newest(row));
        };
        let (triple, rest) = (superseded / TRIPLE, superseded % TRIPLE);
        let (third, version) = match rest {
            0 => (0, 0),
            1 | 2 => (1, rest - 1),
            _ => (2, rest - 3),
        };
        ((triple * 3 + third) * EVERY + FIRST, version)
    }
}

/// The first superseded row of the slot that is number `versioned` of those that have any.
fn start(versioned: u32) -> u32 {
    let third = usize::try_from(versioned % 3).expect("below three");
    versioned / 3 * TRIPLE + STARTS[third]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_place_and_every_place_one_row() {
        for slots in [0, 1, 3, 4, 10, 11, 18, 1_000, 4_321] {
            let versions = Versions::new(slots);
            let mut seen = vec![0; versions.rows() as usize];
            for slot in 0..slots {
                for (number, row) in versions.superseded(slot).enumerate() {
                    assert_eq!(versions.place(row), (slot, number as u32));
                    seen[row as usize] += 1;
                }
                assert_eq!(versions.place(slot), (slot, versions.newest(slot)));
                seen[slot as usize] += 1;
            }
            assert!(seen.iter().all(|count| *count == 1), "{slots} slots");
        }
    }

    #[test]
    fn one_in_seven_has_superseded_versions_until_the_guids_run_out() {
        let versions = Versions::new(7_000);
        let versioned = (0..7_000).filter(|slot| versions.newest(*slot) > 0).count();
        assert_eq!(versioned, 1_000);
        assert_eq!(Versions::new(MOST_ROWS).rows(), MOST_ROWS);
        let tight = Versions::new(MOST_ROWS - 5);
        assert_eq!(tight.rows(), MOST_ROWS);
        assert_eq!(tight.place(MOST_ROWS - 1).0, tight.place(MOST_ROWS - 2).0);
    }
}
