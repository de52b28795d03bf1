//! Who hears of a listing that took the place of another one: the kernel, for every directory that shows it.

use super::Inner;
use super::inodes::{Directory, InodeNo, MountEntry, ROOT_DIRECTORY};
use crate::model::DirId;
use crate::store::listing::{Difference, Listing};

impl Inner {
    /// Tells the kernel that it may hold anything of `dir`: nobody knows what it was told.
    pub(super) fn announce_anew(&self, dir: DirId) {
        for ino in self.held_inodes(dir) {
            self.invalidations.add(ino, |drops| drops.listing = true);
        }
    }

    /// The inodes under which the kernel may hold `dir`.
    pub(super) fn held_inodes(&self, dir: DirId) -> Vec<InodeNo> {
        let inodes = self
            .reached(dir)
            .into_iter()
            .map(|directory| self.directory_ino(directory));
        inodes.filter(|&ino| self.inodes.holds(ino)).collect()
    }

    /// Tells the kernel, through the set, what of `dir` is no longer as it was told.
    pub(super) fn announce(&self, dir: DirId, old: &Listing, new: &Listing) {
        let difference = Difference::between(old, new);
        if difference == Difference::default() {
            return;
        }
        for directory in self.reached(dir) {
            let ino = self.directory_ino(directory);
            if !self.inodes.holds(ino) {
                continue;
            }
            for &id in &difference.attributes {
                if let Some(row) = new.find(id) {
                    let inode = self.resolve(directory, row);
                    if self.inodes.holds(inode.ino) {
                        self.inodes.update(&inode);
                        self.invalidations.add(inode.ino, |drops| drops.attributes = true);
                    }
                }
            }
            if old.generation != new.generation {
                self.invalidations.add(ino, |drops| {
                    drops.listing = true;
                    drops.names.extend(difference.names.iter().cloned());
                });
            }
        }
    }

    /// Every directory that shows `dir`: one for each mount entry it can be reached by.
    pub(super) fn reached(&self, dir: DirId) -> Vec<Directory> {
        if dir == DirId::Root {
            return vec![ROOT_DIRECTORY];
        }
        if self.config.chosen.is_empty() {
            return vec![Directory {
                mount: MountEntry::WHOLE,
                id: dir,
            }];
        }
        self.config
            .chosen
            .iter()
            .map(|chosen| Directory {
                mount: MountEntry(chosen.folder.id.0),
                id: dir,
            })
            .collect()
    }
}
