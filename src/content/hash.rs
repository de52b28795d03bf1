//! SHA-256 of a content that is here.

use sha2::{Digest, Sha256};

use super::cache::{BLOCK_SIZE, BlockIndex, Entry};

/// The hash of all bytes of `entry`; `None` where one is not here (any more). Blocks, for as long as the disk takes.
pub(super) fn of_entry(entry: &Entry) -> Option<[u8; 32]> {
    let mut hasher = Sha256::new();
    for block in 0..entry.total().div_ceil(BLOCK_SIZE) {
        // A defect is found by whoever reads it next.
        let bytes = entry.read(&BlockIndex(block).bytes(entry.total())).ok()??;
        hasher.update(&bytes);
    }
    Some(hasher.finalize().into())
}
