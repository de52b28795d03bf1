//! The directories that inodes were reached through, each kept once however many inodes share it.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::{Directory, MountEntry};

/// Where an inode was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The directory it is an entry of.
    pub(super) parent: Directory,
    /// The mount entry the inode itself goes by: its parent's, except for a chosen folder.
    pub(super) mount: MountEntry,
}

/// All places in use, counted.
#[derive(Debug, Default)]
pub(super) struct Places {
    slots: Vec<Slot>,
    /// Slots nobody uses.
    free: Vec<u32>,
    index: HashTable<u32>,
    /// Keyed anew in each process: the ids are chosen by a server.
    hasher: RandomState,
}

#[derive(Debug)]
struct Slot {
    place: Place,
    /// Inodes that were reached here. Each takes 72 bytes, so the memory ends before the numbers do.
    users: u32,
}

impl Places {
    /// The place of this number, which is in use.
    pub(super) fn get(&self, number: u32) -> Place {
        self.slots[number as usize].place
    }

    /// Counts one more user of `place`; its number.
    pub(super) fn take(&mut self, place: Place) -> u32 {
        let Self {
            slots,
            free,
            index,
            hasher,
        } = self;
        let hash = hasher.hash_one(place);
        if let Some(&number) = index.find(hash, |&number| slots[number as usize].place == place) {
            slots[number as usize].users += 1;
            return number;
        }
        let slot = Slot { place, users: 1 };
        let number = match free.pop() {
            Some(number) => {
                slots[number as usize] = slot;
                number
            }
            None => {
                slots.push(slot);
                u32::try_from(slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        index.insert_unique(hash, number, |&number| {
            hasher.hash_one(slots[number as usize].place)
        });
        number
    }

    /// Takes one user of a place off the count.
    pub(super) fn give_back(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.users -= 1;
        if slot.users > 0 {
            return;
        }
        let hash = self.hasher.hash_one(slot.place);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        if self.index.is_empty() {
            (self.slots, self.free, self.index) = Default::default();
        } else {
            self.free.push(number);
        }
    }

    /// How many places are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.allocation_size()
    }
}
