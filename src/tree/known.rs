//! What is kept of an entry, in memory or on the disk: nothing here asks the server.

use std::sync::Arc;

use super::Tree;
use super::inodes::Inode;
use crate::catalog::attributes::KeptAttributes;
use crate::model::{Document, Entry};

impl Tree {
    /// The folder or document behind an inode as it was listed, in the version the inode stands for; `None` where no
    /// listing that is held has it.
    ///
    /// Never asks the server; a listing that made room in memory is looked for in the catalog.
    pub fn entry(&self, inode: &Inode) -> impl Future<Output = Option<Arc<Entry>>> + Send + use<> {
        let (tree, inode) = (self.clone(), *inode);
        async move {
            if let Some(entry) = tree.held_entry(&inode) {
                return Some(entry);
            }
            tree.0.recall(inode.parent.id).await;
            tree.held_entry(&inode)
        }
    }

    /// The attributes of a document's environment, where they are kept. Never asks the server.
    pub fn attributes(
        &self,
        document: &Document,
    ) -> impl Future<Output = Option<KeptAttributes>> + Send + use<> {
        let (tree, document) = (self.clone(), document.clone());
        async move {
            // Nearly always nobody asked for any.
            if !tree.0.catalog.as_ref()?.attributes().is_there() {
                return None;
            }
            let kept = tree.0.on_disk(move |inner| {
                let catalog = inner.catalog.as_ref()?;
                catalog.attributes().of(&document).unwrap_or_else(|error| {
                    tracing::debug!(%error, "attributes cannot be read");
                    None
                })
            });
            kept.await.flatten()
        }
    }

    fn held_entry(&self, inode: &Inode) -> Option<Arc<Entry>> {
        let object = inode.object()?;
        let stored = self.0.store.get(inode.parent.id)?;
        stored.generations().find_map(|listing| {
            let row = listing.find(object)?;
            let of_it = inode
                .version()
                .is_none_or(|version| self.tag(row) == Some(version.tag));
            of_it.then(|| row.entry.clone())
        })
    }
}
