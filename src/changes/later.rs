//! Where folders go after a row of the journal, to know where they were at that row: what was told is known as of now.

use std::collections::{HashMap, HashSet};

use crate::catalog::reading::{Passage, Place, Reading};
use crate::catalog::{CatalogError, DirKey};
use crate::model::{FolderId, ObjectId};

/// Every way of a folder into another one or out of it, from some row on.
#[derive(Default)]
pub(super) struct Later {
    /// Up to which row.
    end: Option<u64>,
    /// Of each folder, in order.
    ways: HashMap<FolderId, Vec<Way>>,
    /// Folders that left a folder at any time.
    left: HashMap<DirKey, HashSet<FolderId>>,
}

struct Way {
    sequence: u64,
    dir: DirKey,
    is_in: bool,
    name: String,
}

impl Later {
    /// Reads on, to the end of `reading`; begins after `sequence`.
    pub(super) fn read_on(&mut self, reading: &Reading<'_>, sequence: u64) -> Result<(), CatalogError> {
        for passage in reading.passages(self.end.unwrap_or(sequence))? {
            let Passage {
                sequence,
                dir,
                folder,
                name,
                is_in,
            } = passage;
            if !is_in {
                self.left.entry(dir).or_default().insert(folder);
            }
            self.ways.entry(folder).or_default().push(Way {
                sequence,
                dir,
                is_in,
                name,
            });
        }
        self.end = Some(reading.head().sequence);
        Ok(())
    }

    /// True if a folder went anywhere with the row `sequence`.
    pub(super) fn has_way_at(&self, folder: FolderId, sequence: u64) -> bool {
        let ways = self.ways.get(&folder).into_iter().flatten();
        ways.into_iter().any(|way| way.sequence == sequence)
    }

    /// The next way of a folder into `dir` or out of it, after a row.
    fn next(&self, folder: FolderId, dir: DirKey, sequence: u64) -> Option<&Way> {
        let ways = self.ways.get(&folder)?;
        ways.iter().find(|way| way.dir == dir && way.sequence > sequence)
    }

    /// The folders that `folder` was in at the row `sequence`; `now` are those it is in as of now.
    pub(super) fn above(&self, folder: FolderId, sequence: u64, now: &[Place]) -> Vec<DirKey> {
        let later = self.ways.get(&folder).into_iter().flatten();
        let mut dirs: Vec<DirKey> = now.iter().map(|place| place.parent).collect();
        dirs.extend(later.filter(|way| way.sequence > sequence).map(|way| way.dir));
        dirs.sort_unstable();
        dirs.dedup();
        dirs.retain(|dir| match self.next(folder, *dir, sequence) {
            Some(way) => !way.is_in,
            None => now.iter().any(|place| place.parent == *dir),
        });
        dirs
    }

    /// The folders that were in `dir` at the row `sequence`; `now` is what is in it as of now.
    ///
    /// What is told later of one that left since follows from its having been there.
    pub(super) fn folders(&self, dir: DirKey, sequence: u64, now: &[Place]) -> Vec<Place> {
        let as_folder = |place: &Place| match place.id {
            ObjectId::Folder(folder) => Some(folder),
            ObjectId::Document(_) => None,
        };
        let mut then: Vec<Place> = now
            .iter()
            .filter(|place| {
                as_folder(place).is_some_and(|folder| {
                    let next = self.next(folder, dir, sequence);
                    next.is_none_or(|way| !way.is_in)
                })
            })
            .cloned()
            .collect();
        for folder in self.left.get(&dir).into_iter().flatten() {
            let id = ObjectId::Folder(*folder);
            if let Some(way) = self.next(*folder, dir, sequence)
                && !way.is_in
                && !then.iter().any(|place| place.id == id)
            {
                then.push(Place {
                    parent: dir,
                    id,
                    name: way.name.clone(),
                    // It is nowhere in here by now.
                    shown: false,
                    tag: None,
                    readable: true,
                });
            }
        }
        then
    }
}
