//! CRC-32C per block, computed as the bytes of a file pass by.

use super::block_map::BLOCK_SIZE;

/// The checksums of a file from its start up to some position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::content) struct Checksums {
    /// Of the blocks that are complete.
    complete: Vec<u32>,
    /// Of the block that is not.
    partial: u32,
    /// How many bytes went in.
    position: u64,
}

impl Checksums {
    /// How many bytes went in.
    pub(in crate::content) const fn position(&self) -> u64 {
        self.position
    }

    /// Adds the next bytes of the file.
    pub(in crate::content) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK_SIZE - self.position % BLOCK_SIZE;
            let take = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (now, later) = bytes.split_at(take);
            self.partial = crc32c::crc32c_append(self.partial, now);
            self.position += take as u64;
            if self.position.is_multiple_of(BLOCK_SIZE) {
                self.complete.push(std::mem::take(&mut self.partial));
            }
            bytes = later;
        }
    }

    /// One checksum per block, the last block's included.
    pub(in crate::content) fn finish(mut self) -> Vec<u32> {
        if !self.position.is_multiple_of(BLOCK_SIZE) {
            self.complete.push(self.partial);
        }
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_s_checksum_is_that_of_its_bytes() {
        let bytes = vec![7; 3_000_000];
        let mut checksums = Checksums::default();
        checksums.update(&bytes);
        let expected: Vec<u32> = bytes.chunks(1 << 20).map(crc32c::crc32c).collect();
        assert_eq!(checksums.finish(), expected);
        assert_eq!(Checksums::default().finish(), Vec::<u32>::new());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn how_the_bytes_are_cut_does_not_matter(mut cuts in prop::collection::vec(0_usize..2_200_000, 0..6)) {
            let bytes: Vec<u8> = (0..2_200_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
            let mut whole = Checksums::default();
            whole.update(&bytes);
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut pieces = Checksums::default();
            let mut start = 0;
            for cut in cuts {
                pieces.update(&bytes[start..cut]);
                start = cut;
            }
            prop_assert_eq!(pieces, whole);
        }
    }
}
