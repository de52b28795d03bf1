//! GUIDs of made rows: random to the eye, and yet each tells its index, so that no table is needed.
//!
//! The first three bytes are a permutation of the index (a Feistel network over twice twelve bits); the rest is
//! noise that follows from seed, kind and index, so that nothing else is taken for one.

use crate::demo::seed::mix;
use crate::model::Guid;

use super::MOST_ROWS;

const ROUNDS: usize = 4;
/// Half of an index.
const HALF_BITS: u32 = 12;
const HALF: u32 = (1 << HALF_BITS) - 1;

/// What a row is; the numbers only keep the two apart.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Folder = 0x0f01_de25,
    Document = 0x0d0c_0de5,
}

/// Between indexes below 2^24 and GUIDs, both ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    seed: u64,
}

impl Identity {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    pub(super) fn folder(self, index: u32) -> Guid {
        self.guid(Kind::Folder, index)
    }

    pub(super) fn document(self, index: u32) -> Guid {
        self.guid(Kind::Document, index)
    }

    pub(super) fn folder_index(self, guid: Guid) -> Option<u32> {
        self.index(Kind::Folder, guid)
    }

    pub(super) fn document_index(self, guid: Guid) -> Option<u32> {
        self.index(Kind::Document, guid)
    }

    fn guid(self, kind: Kind, index: u32) -> Guid {
        debug_assert!(index < MOST_ROWS, "{index} would share its GUID's beginning");
        let salt = mix(self.seed ^ kind as u64);
        let first = mix(salt ^ mix(u64::from(index)));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[8..].copy_from_slice(&mix(first ^ salt).to_be_bytes());
        let [_, begin @ ..] = permute(salt, index).to_be_bytes();
        bytes[..3].copy_from_slice(&begin);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Guid::from_bytes(bytes)
    }

    fn index(self, kind: Kind, guid: Guid) -> Option<u32> {
        let [a, b, c, ..] = *guid.as_bytes();
        let salt = mix(self.seed ^ kind as u64);
        let index = unpermute(salt, u32::from_be_bytes([0, a, b, c]));
        (self.guid(kind, index) == guid).then_some(index)
    }
}

fn permute(salt: u64, index: u32) -> u32 {
    let (mut left, mut right) = (index >> HALF_BITS & HALF, index & HALF);
    for round in 0..ROUNDS {
        (left, right) = (right, left ^ scramble(salt, round, right));
    }
    left << HALF_BITS | right
}

fn unpermute(salt: u64, value: u32) -> u32 {
    let (mut left, mut right) = (value >> HALF_BITS & HALF, value & HALF);
    for round in (0..ROUNDS).rev() {
        (left, right) = (right ^ scramble(salt, round, left), left);
    }
    left << HALF_BITS | right
}

fn scramble(salt: u64, round: usize, half: u32) -> u32 {
    let noise = mix(salt.rotate_left(16 * u32::try_from(round).unwrap_or(0)) ^ u64::from(half) << 7);
    u32::try_from(noise >> (64 - HALF_BITS)).expect("twelve bits")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_two_documents_begin_alike_and_none_is_a_folder() {
        let identity = Identity::new(7);
        let mut seen = vec![false; 1 << 24];
        for index in (0..MOST_ROWS).step_by(97).chain(0..200_000) {
            let guid = identity.document(index);
            let [a, b, c, ..] = *guid.as_bytes();
            let begin = u32::from_be_bytes([0, a, b, c]);
            // The chain visits some twice; those must be themselves.
            assert_eq!(identity.document_index(guid), Some(index));
            assert_eq!(identity.folder_index(guid), None);
            seen[begin as usize] = true;
        }
        let visited: HashSet<_> = (0..MOST_ROWS).step_by(97).chain(0..200_000).collect();
        assert_eq!(seen.iter().filter(|seen| **seen).count(), visited.len());
    }

    proptest! {
        #[test]
        fn a_guid_is_of_version_4_and_tells_its_index(seed: u64, index in 0..MOST_ROWS) {
            let identity = Identity::new(seed);
            let (folder, document) = (identity.folder(index), identity.document(index));
            prop_assert_eq!(identity.folder_index(folder), Some(index));
            prop_assert_eq!(identity.document_index(document), Some(index));
            for guid in [folder, document] {
                let text = guid.to_string();
                prop_assert_eq!(&text[14..15], "4");
                prop_assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
                prop_assert_eq!(text.to_lowercase(), text);
            }
        }

        #[test]
        fn a_stranger_is_nobody(bytes: [u8; 16]) {
            prop_assert_eq!(Identity::new(1).document_index(Guid::from_bytes(bytes)), None);
        }
    }
}
