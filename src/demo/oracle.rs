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

impl Origin {
    /// The bytes from `start` up to `end` of a file of this origin.
    pub fn bytes(self, start: u64, end: u64) -> Bytes {
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let mut out = Vec::with_capacity(length.saturating_add(16));
        let first = start / WORD;
        let skip = usize::try_from(start % WORD).unwrap_or(0);
        let mut number = first;
        while out.len() < length + skip {
            let place = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
            out.extend_from_slice(&self.document);
            out.push(self.version);
            out.extend_from_slice(&place.to_be_bytes());
            number += 1;
        }
        Bytes::from(out).slice(skip..skip + length)
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
    }
}
