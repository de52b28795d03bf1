//! What became of objects that are not listed any more.
//!
//! A query by ids leaves out what was deleted and what may not be seen alike. Asked for singly, the server has a word
//! for each: `InstanceNotFound`, and 403. But it may say the first of both (projectwise-api 1.8, 7.11); that shows when
//! it does not find what it lists. From then on none of its words is taken for a deletion.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::{Entry, ObjectId};
use crate::remote::{Origin, Remote, RemoteError, Whereabouts};

use super::WsgRemote;
use super::error::Failure;
use super::problem::{ErrorId, Problem};

/// Single questions of one call. A folder that loses more at once was moved or closed as a whole, and which of them
/// was deleted matters less than the minutes it would cost to ask.
const MOST_SINGLE: usize = 100;
/// Enough to hide the latency, few enough to leave the server to its users.
const AT_ONCE: usize = 4;

/// Whether the server says of what it refuses that it is not there.
#[derive(Debug, Default)]
pub(super) struct Hiding {
    seen: AtomicBool,
    suspects: Mutex<HashMap<ObjectId, Instant>>,
    /// Spares every row of every listing the lock.
    any: AtomicBool,
}

/// Objects that were not found and may yet be listed. One is enough to know; the rest may be forgotten.
const MOST_SUSPECTS: usize = 64;

impl Hiding {
    /// True where the server was seen not to find what it lists.
    pub(super) fn is_known(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// It was seen before this process began.
    pub(super) fn learn(&self) {
        self.seen.store(true, Ordering::Relaxed);
    }

    /// The server says that there is no such object.
    pub(super) fn not_found(&self, id: ObjectId) {
        if self.is_known() {
            return;
        }
        let mut suspects = self.suspects.lock();
        if suspects.len() >= MOST_SUSPECTS {
            suspects.clear();
        }
        suspects.insert(id, Instant::now());
        self.any.store(true, Ordering::Relaxed);
    }

    /// The server shows an object in an answer asked for at `asked`.
    pub(super) fn shown(&self, id: ObjectId, asked: Instant) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut suspects = self.suspects.lock();
        // What was asked for before may be older than a deletion.
        if suspects.get(&id).is_some_and(|since| asked > *since) {
            tracing::info!(
                "the server says of what may not be read that it is not there; nothing is called deleted"
            );
            self.seen.store(true, Ordering::Relaxed);
            self.any.store(false, Ordering::Relaxed);
            suspects.clear();
        }
    }
}

/// True where the server says in its own words that there is no such object.
pub(super) const fn says_not_there(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        Some(ErrorId::InstanceNotFound | ErrorId::ObjectNotFound)
    )
}

/// True where the account may not see this one object. No licence, a token without the scope: these are about the login.
fn says_denied(failure: &Failure) -> bool {
    matches!(failure.error, RemoteError::Denied { .. })
        && matches!(
            failure.error.detail().origin(),
            Origin::Wsg(Problem::Said(ErrorId::NotEnoughRights) | Problem::Forbidden)
        )
}

impl WsgRemote {
    pub(super) async fn whereabouts_of(
        &self,
        ids: &[ObjectId],
    ) -> Result<Vec<(ObjectId, Whereabouts)>, RemoteError> {
        let mut known: HashMap<ObjectId, Whereabouts> = self
            .find(ids)
            .await?
            .into_iter()
            .map(|entry| (entry.id(), Whereabouts::Known(Box::new(entry))))
            .collect();
        let mut left: Vec<ObjectId> = ids.iter().filter(|id| !known.contains_key(id)).copied().collect();
        left.sort_unstable();
        left.dedup();
        left.truncate(MOST_SINGLE);
        let singly: Vec<(ObjectId, Whereabouts)> = stream::iter(left)
            .map(|id| async move { Ok::<_, Failure>((id, self.alone(id).await?)) })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        // One of the later answers may have shown what the earlier ones are worth.
        let believed = |whereabouts: Whereabouts| match whereabouts {
            Whereabouts::Deleted if self.hiding.is_known() => Whereabouts::Unanswered,
            other => other,
        };
        known.extend(singly.into_iter().map(|(id, found)| (id, believed(found))));
        let one = |id: &ObjectId| (*id, known.remove(id).unwrap_or(Whereabouts::Unanswered));
        Ok(ids.iter().map(one).collect())
    }

    /// What the server says of one object.
    async fn alone(&self, id: ObjectId) -> Result<Whereabouts, Failure> {
        match self.by_own_id(id).await {
            Ok(entry) => Ok(Whereabouts::Known(Box::new(entry))),
            Err(failure) if says_denied(&failure) => Ok(Whereabouts::Denied),
            Err(failure) if says_not_there(&failure) => Ok(Whereabouts::Deleted),
            // A page in place of the words, or words nobody knows.
            Err(failure) if failure.status == 404 && !failure.kind.is_some_and(is_of_the_server) => {
                Ok(Whereabouts::Unanswered)
            }
            Err(failure) => Err(failure),
        }
    }

    /// One object, asked for by its id.
    pub(super) async fn by_own_id(&self, id: ObjectId) -> Result<Entry, Failure> {
        use super::query;
        use super::wire::Asked;
        let asked_at = Instant::now();
        let (path, asked, what) = match id {
            ObjectId::Folder(folder) => (query::folder(folder), Asked::Folders, format!("folder {folder}")),
            ObjectId::Document(document) => (
                query::document(document),
                Asked::Documents,
                format!("document {document}"),
            ),
        };
        let answer = self.one(&path, asked, id, &what).await;
        match &answer {
            Ok(_) => self.hiding.shown(id, asked_at),
            Err(failure) if says_not_there(failure) => self.hiding.not_found(id),
            Err(_) => {}
        }
        answer
    }
}

/// True for errors that are about the server and no object of it.
const fn is_of_the_server(kind: ErrorId) -> bool {
    !matches!(
        kind,
        ErrorId::InstanceNotFound | ErrorId::ObjectNotFound | ErrorId::FileNotFound
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{FolderId, Guid};

    const ID: ObjectId = ObjectId::Folder(FolderId(Guid::from_bytes([1; 16])));

    #[tokio::test(start_paused = true)]
    async fn a_server_hides_that_lists_later_what_it_did_not_find() {
        let hiding = Hiding::default();
        let before = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        hiding.not_found(ID);
        hiding.shown(ID, before);
        assert!(!hiding.is_known(), "the listing may be older than the deletion");
        tokio::time::advance(Duration::from_millis(1)).await;
        hiding.shown(
            ObjectId::Folder(FolderId(Guid::from_bytes([2; 16]))),
            Instant::now(),
        );
        assert!(!hiding.is_known());
        hiding.shown(ID, Instant::now());
        assert!(hiding.is_known());
    }

    #[tokio::test(start_paused = true)]
    async fn suspects_are_few() {
        let hiding = Hiding::default();
        for number in 0..200 {
            hiding.not_found(ObjectId::Folder(FolderId(Guid::from_bytes([number; 16]))));
            assert!(hiding.suspects.lock().len() <= MOST_SUSPECTS);
        }
    }
}
