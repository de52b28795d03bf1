//! Bytes that say where they are from: any eight of them, at a known place, name document, version and offset.
//!
//! A file is a row of eight-byte words. Word number `n` of version `v` of a document is
//!
//! | byte | 0, 1, 2 | 3 | 4, 5, 6, 7 |
//! |---|---|---|---|
//! | holds | the first three bytes of its GUID | `v` | `n`, big-endian |
//!
//! so a person sees the first six digits of the GUID all over a hex dump, and a checker needs neither the file nor
//! a table. In scale worlds the first three bytes of every document's GUID are unlike any other document's.

use bytes::Bytes;

/// Bytes of a word.
const WORD: u64 = 8;
/// The same, for slices.
const WORD_BYTES: usize = 8;
/// The longest file whose words can be numbered, in bytes: 32 GiB.
pub const LONGEST: u64 = WORD << 32;

/// Whose bytes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The first three bytes of the document's GUID.
    pub document: [u8; 3],
    /// The version, counted from 0, by its last eight bits.
    pub version: u8,
}

/// Bytes that are not what their origin would have there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the byte at {at} is not of this origin (but of {found:?})")]
pub struct Mismatch {
    /// Where the first wrong byte is in the file.
    pub at: u64,
    /// Whose bytes are there instead, at their right place; `None` where they are nobody's.
    pub found: Option<Origin>,
}

impl Origin {
    /// The bytes from `start` up to `end` of a file of this origin.
    pub fn bytes(self, start: u64, end: u64) -> Bytes {
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let skip = usize::try_from(start % WORD).unwrap_or(0);
        // Whole words, so that the loop has no special first and last one.
        let mut out = vec![0; (length + skip).next_multiple_of(WORD_BYTES)];
        for (place, number) in out.chunks_exact_mut(WORD_BYTES).zip(start / WORD..) {
            place.copy_from_slice(&self.word(number));
        }
        Bytes::from(out).slice(skip..skip + length)
    }

    /// Word number `number`, which counts on from 0 behind [`LONGEST`].
    fn word(self, number: u64) -> [u8; WORD_BYTES] {
        let [a, b, c] = self.document;
        let head = u64::from(u32::from_be_bytes([a, b, c, self.version])) << 32;
        (head | (number & 0xffff_ffff)).to_be_bytes()
    }

    /// Tells whose bytes these are; `offset` is where they were read. `None` where they are not of this kind.
    pub fn of(bytes: [u8; 8], offset: u64) -> Option<Self> {
        let skip = usize::try_from(offset % WORD).ok()?;
        // The bytes before a word boundary belong behind those after it: they are of the word before.
        let at = |place: usize| bytes[(place + 8 - skip) % 8];
        let origin = Self {
            document: [at(0), at(1), at(2)],
            version: at(3),
        };
        let expected = origin.bytes(offset, offset + WORD);
        (expected[..] == bytes).then_some(origin)
    }

    /// Compares bytes read at `offset`, of any length and alignment, with what this origin has there.
    ///
    /// # Errors
    ///
    /// The first byte that differs, and whose it is if that can be told.
    pub fn check(self, bytes: &[u8], offset: u64) -> Result<(), Mismatch> {
        let skip = usize::try_from(offset % WORD).unwrap_or(0);
        let ahead = (WORD_BYTES - skip) % WORD_BYTES;
        let (head, rest) = bytes.split_at(ahead.min(bytes.len()));
        let words = rest.chunks_exact(WORD_BYTES);
        let tail = words.remainder();
        let first = offset.div_ceil(WORD);
        let last = first + count(words.len());
        let head_differs = (!head.is_empty())
            .then(|| differs(head, &self.word(offset / WORD)[skip..]))
            .flatten();
        let wrong = head_differs
            .or_else(|| {
                let (index, word) = words
                    .zip(first..)
                    .position(|(word, number)| word != self.word(number))
                    .map(|index| (index, &rest[index * WORD_BYTES..][..WORD_BYTES]))?;
                let inside = differs(word, &self.word(first + count(index)))?;
                Some(head.len() + index * WORD_BYTES + inside)
            })
            .or_else(|| differs(tail, &self.word(last)).map(|place| bytes.len() - tail.len() + place));
        wrong.map_or(Ok(()), |place| {
            Err(Mismatch {
                at: offset + count(place),
                found: owner(bytes, place, offset),
            })
        })
    }
}

/// Where two slices first differ, as far as the first one goes.
fn differs(found: &[u8], expected: &[u8]) -> Option<usize> {
    found.iter().zip(expected).position(|(a, b)| a != b)
}

/// Whose the bytes around a wrong place are. One window may lie across the end of what is right, so three are
/// tried: the word of the place, what follows the place, and the last eight bytes.
fn owner(bytes: &[u8], place: usize, offset: u64) -> Option<Origin> {
    let into_word = usize::try_from((offset + count(place)) % WORD).unwrap_or(0);
    let starts = [
        place.checked_sub(into_word),
        Some(place),
        bytes.len().checked_sub(WORD_BYTES),
    ];
    starts.into_iter().flatten().find_map(|start| {
        let window = bytes.get(start..start + WORD_BYTES)?.try_into().ok()?;
        Origin::of(window, offset + count(start))
    })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_eight_bytes_tell_whose_they_are(
            document: [u8; 3], version: u8, offset in 0..LONGEST - 16,
        ) {
            let origin = Origin { document, version };
            let bytes: [u8; 8] = origin.bytes(offset, offset + 8)[..].try_into().unwrap();
            prop_assert_eq!(Origin::of(bytes, offset), Some(origin));
        }

        #[test]
        fn bytes_of_another_place_are_told_apart(
            document: [u8; 3], version: u8, offset in 0..1_u64 << 20, shift in 1..1_u64 << 20,
        ) {
            let origin = Origin { document, version };
            let bytes: [u8; 8] = origin.bytes(offset + shift, offset + shift + 8)[..].try_into().unwrap();
            prop_assert_ne!(Origin::of(bytes, offset), Some(origin));
        }

        #[test]
        fn a_part_is_the_part_of_the_whole(start in 0..500_usize, length in 0..500_usize) {
            let origin = Origin { document: [0xab, 0xcd, 0xef], version: 3 };
            let whole = origin.bytes(0, 1000);
            let part = origin.bytes(start as u64, (start + length) as u64);
            prop_assert_eq!(&whole[start..start + length], &part[..]);
        }

        #[test]
        fn a_check_finds_the_first_wrong_byte_wherever_it_is(
            offset in 0..LONGEST - 4096, length in 0..200_usize, wrong in 0..200_usize,
        ) {
            let origin = Origin { document: [1, 2, 3], version: 9 };
            let mut bytes = origin.bytes(offset, offset + length as u64).to_vec();
            prop_assert_eq!(origin.check(&bytes, offset), Ok(()));
            if wrong < length {
                bytes[wrong] ^= 0x40;
                let mismatch = origin.check(&bytes, offset).unwrap_err();
                prop_assert_eq!(mismatch.at, offset + wrong as u64);
            }
        }

        #[test]
        fn a_check_names_the_version_that_was_mixed_in(
            offset in 0..1_u64 << 30, keep in 0..100_usize, more in 8..100_usize,
        ) {
            let [old, new] = [4, 5].map(|version| Origin { document: [7, 7, 7], version });
            let seam = offset + keep as u64;
            let mut bytes = old.bytes(offset, seam).to_vec();
            bytes.extend_from_slice(&new.bytes(seam, seam + more as u64));
            let mismatch = old.check(&bytes, offset).unwrap_err();
            prop_assert_eq!(mismatch.found, Some(new));
            // The version is one byte of eight; up to seven bytes behind the seam the two are alike.
            prop_assert!((seam..seam + 8).contains(&mismatch.at));
        }
    }
}
