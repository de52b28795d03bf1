//! What one file may take, and takes.

use super::index::About;
use crate::sync::Mutex;

/// File systems give room in pieces of this size, in bytes; on most of them.
const PIECE: u64 = 4096;

/// The room of one file. It is in the index before a byte is written.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) about: About,
    /// The most it can ever take: the whole content and its map.
    pub(super) most: u64,
    pub(super) state: Mutex<Spent>,
}

/// How far an account is used.
#[derive(Debug, Default)]
pub(super) struct Spent {
    /// What the index holds for the file.
    pub(super) held: u64,
    /// What the file takes, or is about to. More than it can ever take where something is counted twice: who writes a block
    /// counts it before it is known whether another one writes it, too, or takes it away.
    pub(super) spent: u64,
}

impl Account {
    /// Of a file of which nothing is written; `most` is without bound where its length is not known.
    pub(super) fn new(about: About, most: u64) -> Self {
        Self {
            about,
            most,
            state: Mutex::default(),
        }
    }
}

impl Account {
    /// Knows nothing any more of what the index holds: another one may change it from now on.
    pub(super) fn forget(&self) {
        *self.state.lock() = Spent::default();
    }

    /// What must be held for it while so much is spent.
    pub(super) fn needed(&self, spent: u64) -> u64 {
        spent.min(self.most)
    }

    /// Takes back what the file was to take and does not.
    pub(super) fn refund(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.spent = state.spent.saturating_sub(bytes);
    }
}

/// The room that `bytes` take.
pub(super) const fn room_of(bytes: u64) -> u64 {
    bytes.next_multiple_of(PIECE)
}

/// The room that the file system may need to find the pieces of a file of `bytes`, which it counts as the file's.
///
/// ext4 keeps four runs of pieces in the inode, and 340 more in each piece of its own; a block of ours may be a run or two.
pub(super) const fn room_to_find(bytes: u64) -> u64 {
    if bytes <= 4 * PIECE {
        0
    } else {
        PIECE * (1 + bytes / (128 << 20))
    }
}
