//! Fetches what will be read next, as [`super::neighbours`] decides.

use tokio::runtime::Handle;

use super::Filesystem;
use super::caller::Caller;
use super::neighbours::{Candidate, Landed};
use crate::content::{Ahead, ContentError};
use crate::model::{DirId, DocumentId, ObjectId};
use crate::remote::RemoteError;
use crate::tree::inodes::{Directory, Inode, Version};

/// How many documents that were read to their end are remembered until somebody has time for them.
const MOST_WAITING: usize = 1024;

impl Filesystem {
    /// Notes what was read of a document, and fetches its neighbours where that is the third of a row.
    pub(super) fn note_read(
        &self,
        caller: Caller,
        inode: &Inode,
        version: Version,
        offset: u64,
        bytes: usize,
    ) {
        let length = version.tag.size.unwrap_or(0);
        if !self.0.ends.lock().note(version.id, offset, bytes as u64, length) {
            return;
        }
        // Without a runtime nobody can fetch anything.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let finished = Finished {
            caller,
            parent: inode.parent,
            document: version.id,
        };
        let mut waiting = self.0.finished.lock();
        if waiting.len() >= MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(finished);
        drop(waiting);
        let (fs, handle) = (self.clone(), runtime.clone());
        runtime.spawn(async move {
            for parent in fs.runs().await {
                fs.fetch_next(&handle, parent);
            }
        });
    }

    /// Takes note of all that was read to its end, in the order in which it was; returns the folders where that is a run, by
    /// somebody for whom it may be fetched.
    async fn runs(&self) -> Vec<Directory> {
        let fs = self.clone();
        // The first time a listing may be sorted for it.
        let found = tokio::task::spawn_blocking(move || {
            let mut neighbours = fs.0.neighbours.lock();
            let mut found: Vec<(Directory, Caller)> = Vec::new();
            loop {
                // Under the lock of the runs: nobody else steps in between.
                let next = fs.0.finished.lock().pop_front();
                let Some(next) = next else { return found };
                let Some(listed) = fs.0.orders.of(&fs.0.tree, next.parent) else {
                    continue;
                };
                found.retain(|(parent, _)| *parent != next.parent);
                if neighbours.finished(next.parent.id, next.document, &listed) {
                    found.push((next.parent, next.caller));
                }
            }
        });
        let mut runs = Vec::new();
        for (parent, caller) in found.await.unwrap_or_default() {
            if self.0.policy.refuses(caller).await.is_some() {
                self.0.neighbours.lock().stop(parent.id);
            } else {
                runs.push(parent);
            }
        }
        runs
    }

    /// Begins to fetch as many documents as there is room for.
    fn fetch_next(&self, runtime: &Handle, parent: Directory) {
        // What an old listing says may not be so any more; whoever reads next brings it up to date.
        if self.0.tree.freshness(parent).is_none() {
            return;
        }
        let Some(listed) = self.0.orders.of(&self.0.tree, parent) else {
            return;
        };
        loop {
            let next = self.0.neighbours.lock().next(parent.id, &listed);
            let Some(candidate) = next else { return };
            let landing = Landing {
                fs: self.clone(),
                dir: parent.id,
                candidate,
                landed: Landed::Failed,
            };
            let fs = self.clone();
            let handle = runtime.clone();
            runtime.spawn(async move {
                let mut landing = landing;
                landing.landed = fs.fetch_ahead(parent, candidate).await;
                drop(landing);
                fs.fetch_next(&handle, parent);
            });
        }
    }

    async fn fetch_ahead(&self, parent: Directory, candidate: Candidate) -> Landed {
        let id = ObjectId::Document(candidate.document);
        if self.0.tree.refusal(id).is_some() {
            return Landed::Needless;
        }
        // Its version is looked for only now: it may have waited.
        let tag = self.0.tree.held(parent).and_then(|stored| {
            let row = stored.listing.find(id)?;
            self.0.tree.tag(row)
        });
        let Some((tag, length)) = tag.and_then(|tag| Some((tag, tag.size?))) else {
            return Landed::Needless;
        };
        match self
            .0
            .reader
            .prefetch(self.key(candidate.document, tag), length)
            .await
        {
            Ok(Ahead::Fetched) => {
                self.0.tree.grant(id).await;
                Landed::Fetched
            }
            Ok(Ahead::Here) => Landed::Needless,
            Ok(Ahead::NoRoom) => Landed::Failed,
            Err(ContentError::Remote(refusal @ RemoteError::Denied { .. })) => {
                self.0.tree.refuse(id, refusal).await;
                Landed::Needless
            }
            Err(error) => {
                tracing::debug!(document = %candidate.document, %error, "could not be fetched ahead");
                Landed::Failed
            }
        }
    }
}

/// A document that was read to its end.
pub(super) struct Finished {
    caller: Caller,
    parent: Directory,
    document: DocumentId,
}

/// Tells that a document has landed when it is dropped, by whatever end.
struct Landing {
    fs: Filesystem,
    dir: DirId,
    candidate: Candidate,
    landed: Landed,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut neighbours = self.fs.0.neighbours.lock();
        neighbours.landed(self.dir, self.candidate, self.landed);
    }
}
