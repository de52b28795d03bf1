//! The root folders: by the navigation tree, else as the folders that are in no other one (projectwise-api 7.4).
//!
//! An empty root has no folder that could be asked whether it is there. So it is asked for in both ways, and of a
//! server that does not even list a datasource.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use crate::model::{Entry, Folder, FolderId, Guid};
use crate::remote::{Progress, RemoteError};

use super::WsgRemote;
use super::error::Failure;
use super::listing::Expected;
use super::query::Query;
use super::wire::Asked;

impl WsgRemote {
    pub(super) async fn root_folders(&self, progress: &Progress) -> Result<Vec<Folder>, RemoteError> {
        if !self.without_nodes.load(Ordering::Relaxed) {
            match self.roots_from_nodes(progress).await {
                Ok(Some(roots)) if !roots.is_empty() => return Ok(roots),
                Ok(_) => {
                    tracing::debug!(
                        "no folder at the top of the navigation tree; listing all folders for the roots"
                    );
                }
                // A page in place of the words may mean the same; if not, the other question fails, too.
                Err(failure) if failure.is_unknown_class() || failure.is_bare_not_found() => {
                    tracing::debug!(error = %failure.error, "no navigation tree; listing all folders for the roots");
                    self.without_nodes.store(true, Ordering::Relaxed);
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        let roots = self.roots_from_all_folders(progress).await?;
        if roots.is_empty() && super::repositories(&self.gateway).await?.is_empty() {
            return Err(Failure::protocol("the server shows no folder, and no datasource either").into());
        }
        Ok(roots)
    }

    /// `None` where the navigation tree has nodes at its top and none of them is a folder: they are groups that
    /// hold the folders, or are named as nobody knows.
    async fn roots_from_nodes(&self, progress: &Progress) -> Result<Option<Vec<Folder>>, Failure> {
        let nodes = self.listings.nodes(self, progress).await?;
        let is_strange = !nodes.is_empty();
        let nodes: Vec<Folder> = nodes.into_iter().flatten().collect();
        if is_strange && nodes.is_empty() {
            return Ok(None);
        }
        let ids: Vec<Guid> = nodes.iter().map(|node| node.id.0).collect();
        let mut known = HashMap::new();
        for entry in self.folders_by_id(&ids).await? {
            if let Entry::Folder(folder) = entry {
                known.insert(folder.id, folder);
            }
        }
        // A folder the query does not give is listed as far as its node tells: it is there.
        let roots = nodes
            .into_iter()
            .map(|node| known.remove(&node.id).unwrap_or(node));
        Ok(Some(roots.collect()))
    }

    async fn roots_from_all_folders(&self, progress: &Progress) -> Result<Vec<Folder>, Failure> {
        let all = self
            .listings
            .entries(
                self,
                &Query::all_folders(),
                Expected::all(Asked::Folders),
                progress,
            )
            .await?;
        let folders: Vec<Folder> = all
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Folder(folder) => Some(folder),
                Entry::Document(_) => None,
            })
            .collect();
        let seen: HashSet<FolderId> = folders.iter().map(|folder| folder.id).collect();
        // A folder whose parent this account may not see can be reached from nowhere but the root.
        let is_root = |folder: &Folder| folder.parent.is_none_or(|parent| !seen.contains(&parent));
        Ok(folders.into_iter().filter(is_root).collect())
    }
}
