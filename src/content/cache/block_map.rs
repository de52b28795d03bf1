//! Which blocks of a file have some property: pure data, no I/O.

use std::ops::Range;

/// The length of a block, in bytes: what one checksum covers.
///
/// Large enough that the checksums of a 10 GiB file fit into 40 KiB, small enough that checking one before its
/// first read costs well under a millisecond.
pub(in crate::content) const BLOCK_SIZE: u64 = 1 << 20;

/// The number of a block, counted from the start of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::content) struct BlockIndex(pub(in crate::content) u64);

impl BlockIndex {
    /// The bytes of the block in a file of `total` bytes.
    pub(in crate::content) fn bytes(self, total: u64) -> Range<u64> {
        let start = self.0.saturating_mul(BLOCK_SIZE).min(total);
        start..start.saturating_add(BLOCK_SIZE).min(total)
    }
}

/// How many blocks `total` bytes take.
pub(in crate::content) const fn block_count(total: u64) -> u64 {
    total.div_ceil(BLOCK_SIZE)
}

/// The blocks that hold any of `bytes`.
pub(in crate::content) fn blocks_of(bytes: &Range<u64>) -> impl Iterator<Item = BlockIndex> + use<> {
    let blocks = if bytes.is_empty() {
        0..0
    } else {
        bytes.start / BLOCK_SIZE..block_count(bytes.end)
    };
    blocks.map(BlockIndex)
}

/// A set of the blocks of one file; one bit each.
#[derive(Debug, Default)]
pub(super) struct BlockMap {
    /// Only as long as the highest block needs.
    words: Vec<u64>,
}

impl BlockMap {
    /// True where `block` is in the set.
    pub(super) fn contains(&self, block: BlockIndex) -> bool {
        let (word, bit) = place(block);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Puts `block` into the set; true where it was not in it.
    pub(super) fn insert(&mut self, block: BlockIndex) -> bool {
        let (word, bit) = place(block);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let absent = self.words[word] & bit == 0;
        self.words[word] |= bit;
        absent
    }

    /// Takes `block` out of the set.
    pub(super) fn remove(&mut self, block: BlockIndex) {
        let (word, bit) = place(block);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }
}

fn place(block: BlockIndex) -> (usize, u64) {
    let word = usize::try_from(block.0 / 64).expect("a file has fewer blocks than the machine has addresses");
    (word, 1 << (block.0 % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_block_map_is_a_set_of_blocks(
            blocks in prop::collection::vec((0_u64..300, any::<bool>()), 0..100),
        ) {
            let mut map = BlockMap::default();
            let mut reference = BTreeSet::new();
            for (block, comes) in blocks {
                if comes {
                    prop_assert_eq!(map.insert(BlockIndex(block)), reference.insert(block));
                } else {
                    map.remove(BlockIndex(block));
                    reference.remove(&block);
                }
                for other in 0..300 {
                    prop_assert_eq!(map.contains(BlockIndex(other)), reference.contains(&other));
                }
            }
        }

        #[test]
        fn the_blocks_of_a_range_are_those_that_share_a_byte_with_it(
            start in 0..5 * BLOCK_SIZE, length in 0..3 * BLOCK_SIZE, total in 0..8 * BLOCK_SIZE,
        ) {
            let bytes = start.min(total)..(start + length).min(total);
            let found: BTreeSet<u64> = blocks_of(&bytes).map(|block| block.0).collect();
            for block in 0..block_count(total) {
                let own = BlockIndex(block).bytes(total);
                let shares = own.start.max(bytes.start) < own.end.min(bytes.end);
                prop_assert_eq!(found.contains(&block), shares);
            }
            prop_assert!(found.iter().all(|&block| block < block_count(total)));
        }
    }

    #[test]
    fn blocks_cover_a_file_exactly() {
        for total in [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 5 * BLOCK_SIZE] {
            let mut end = 0;
            for block in 0..block_count(total) {
                let bytes = BlockIndex(block).bytes(total);
                assert_eq!(bytes.start, end);
                assert!(!bytes.is_empty());
                end = bytes.end;
            }
            assert_eq!(end, total);
        }
    }
}
