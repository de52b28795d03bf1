//! What was told after a row of the journal, to know how things were at that row: what was told of an object is known as of now.

use std::collections::HashMap;

use crate::catalog::reading::{Passage, Place, Reading};
use crate::catalog::{CatalogError, DirKey};
use crate::model::ObjectId;

/// Every way into a folder or out of it, from some row on.
pub(super) struct Later {
    /// In order.
    of: HashMap<(DirKey, ObjectId), Vec<Way>>,
    /// Folders that left a folder at any time.
    left: HashMap<DirKey, Vec<ObjectId>>,
}

struct Way {
    sequence: u64,
    is_in: bool,
    name: String,
}

impl Later {
    /// Reads everything after `sequence`.
    pub(super) fn read(reading: &Reading<'_>, sequence: u64) -> Result<Self, CatalogError> {
        let mut later = Self {
            of: HashMap::new(),
            left: HashMap::new(),
        };
        for passage in reading.passages(sequence)? {
            let Passage {
                sequence,
                dir,
                id,
                name,
                is_in,
            } = passage;
            if !is_in {
                later.left.entry(dir).or_default().push(id);
            }
            let ways = later.of.entry((dir, id)).or_default();
            ways.push(Way {
                sequence,
                is_in,
                name,
            });
        }
        Ok(later)
    }

    /// What was in `dir` at the row `sequence` and has no row of its own later that puts it there; `now` is in it as of now.
    ///
    /// Folders that left since are here too: what is told of them then follows from their being here.
    pub(super) fn then(&self, dir: DirKey, sequence: u64, now: Vec<Place>) -> Vec<Place> {
        let next = |id| {
            let ways = self.of.get(&(dir, id))?;
            ways.iter().find(|way| way.sequence > sequence)
        };
        let mut then: Vec<Place> = now
            .into_iter()
            .filter(|place| match place.id {
                ObjectId::Folder(_) => next(place.id).is_none_or(|way| !way.is_in),
                ObjectId::Document(_) => next(place.id).is_none(),
            })
            .collect();
        for id in self.left.get(&dir).into_iter().flatten() {
            if let Some(way) = next(*id)
                && !way.is_in
                && !then.iter().any(|place| place.id == *id)
            {
                then.push(Place {
                    parent: dir,
                    id: *id,
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
