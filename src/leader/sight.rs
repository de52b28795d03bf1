//! How far into the catalog's writes this process has seen.

use tokio::task::spawn_blocking;

use crate::catalog::{Catalog, DirKey};
use crate::tree::Tree;

/// The newest write that this process's memory and kernel take into account.
pub(super) struct Sight {
    catalog: Catalog,
    tree: Tree,
    seen: u64,
}

impl Sight {
    /// As far as the tree saw when it began.
    pub(super) fn new(catalog: Catalog, tree: Tree) -> Self {
        let seen = tree.first_seen();
        Self { catalog, tree, seen }
    }

    /// What it looks into.
    pub(super) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The number of the newest.
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Notes a write of our own, which needs no taking over. False where others came between: look into the catalog.
    pub(super) const fn own(&mut self, commit: u64) -> bool {
        if commit == self.seen + 1 {
            self.seen = commit;
        }
        commit <= self.seen
    }

    /// Takes over all that was written since, by whoever; returns what that was.
    pub(super) async fn catch_up(&mut self) -> Vec<DirKey> {
        let (catalog, seen) = (self.catalog.clone(), self.seen);
        let found = spawn_blocking(move || catalog.since(seen)).await;
        match found {
            Ok(Ok((dirs, head))) => {
                self.tree.adopt(dirs.clone()).await;
                self.seen = self.seen.max(head);
                dirs
            }
            // The next write has it looked at again.
            Ok(Err(error)) => {
                tracing::debug!(%error, "what others kept cannot be read");
                Vec::new()
            }
            // A panic was reported where it happened.
            Err(_) => Vec::new(),
        }
    }
}
