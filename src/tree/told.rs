//! What a mount tells of its listings, from memory alone.

use super::{Tree, TreeConfig};
use crate::catalog::{Catalog, DirKey};
use crate::model::DirId;

impl Tree {
    /// Where listings are kept, and what the top of the mount is there; `None` where they are in memory only.
    pub fn kept(&self) -> Option<(&Catalog, DirKey)> {
        Some((self.0.catalog.as_ref()?, self.0.root_key))
    }

    /// The tree's rules.
    pub fn rules(&self) -> &TreeConfig {
        &self.0.config
    }

    /// True while an older listing of `dir` stands in because the server could not be asked: somebody was answered so,
    /// and none has arrived since.
    pub fn stands_in(&self, dir: DirId) -> bool {
        let Some(since) = self.0.bridged.lock().get(&dir).copied() else {
            return false;
        };
        let held = self.0.store.get(dir);
        self.fresh(dir).is_none() && held.is_some_and(|held| held.arrival.landed <= since)
    }
}
