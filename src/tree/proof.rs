//! Proof that a listing is complete, beyond what its paging proves.
//!
//! A server may answer 200 with too few rows, or none: a page shifted under a delete, a right revoked quietly, a
//! gateway with a bad day. So what was there and is not now is asked for by id, and an answer that empties or
//! decimates a folder must be given twice. Until then the last proved listing stands.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::model::{DirId, Entry, ObjectId};
use crate::remote::{Progress, Remote, RemoteError};

use crate::store::listing::Listing;

/// What became of an entry that left a listing; what the journal will tell pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It is in another folder now.
    Moved,
    /// It is in this folder and no longer its active version.
    Superseded,
    /// The server no longer answers it. Whether it was deleted or hidden, the server does not say.
    Gone,
}

/// A listing and what became of the entries that left it.
#[derive(Debug)]
pub(super) struct Proved {
    /// The entries, complete.
    pub(super) entries: Vec<Entry>,
    /// Entries that were there and are not now.
    pub(super) departed: Vec<(ObjectId, Departure)>,
}

/// Why there is no proved listing.
#[derive(Debug, Clone)]
pub(super) enum ProofError {
    /// The server failed to answer.
    Remote(RemoteError),
    /// The server keeps contradicting itself.
    Short(String),
}

impl From<RemoteError> for ProofError {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

/// How many contradictory listings in a row are an error. A page that shifted is right the second time; three are a
/// server that cannot be trusted now.
const ATTEMPTS: usize = 3;

/// More than this share of the entries gone at once is asked twice: half, and more than twenty.
const DECIMATED_MIN: usize = 20;

/// Lists `dir` until the answer is proved against `held`, the listing before.
///
/// `confirm_after` is how long the server gets before an emptied folder is asked again.
pub(super) async fn prove(
    remote: &dyn Remote,
    dir: DirId,
    held: Option<&Listing>,
    confirm_after: Duration,
    progress: &Progress,
) -> Result<Proved, ProofError> {
    let mut contradiction = String::new();
    for _ in 0..ATTEMPTS {
        let entries = list(remote, dir, progress).await?;
        let present = ids(&entries);
        let missing: Vec<ObjectId> = held
            .map(|held| {
                held.entries()
                    .map(|entry| entry.id())
                    .filter(|id| !present.contains(id))
                    .collect()
            })
            .unwrap_or_default();

        if must_be_confirmed(held, entries.len(), missing.len()) {
            if let DirId::Folder(folder) = dir {
                remote.folder(folder).await?;
            }
            progress.page(0);
            tokio::time::sleep(confirm_after).await;
            let again = list(remote, dir, progress).await?;
            if ids(&again) != present {
                contradiction = format!("{} entries, then {}", entries.len(), again.len());
                continue;
            }
        }

        match departures(remote, dir, &missing).await? {
            Ok(departed) => return Ok(Proved { entries, departed }),
            Err(still_there) => {
                contradiction = format!("{} is in the folder and not in its listing", still_there.guid());
            }
        }
        progress.page(0);
    }
    Err(ProofError::Short(contradiction))
}

async fn list(remote: &dyn Remote, dir: DirId, progress: &Progress) -> Result<Vec<Entry>, RemoteError> {
    match dir {
        DirId::Root => Ok(remote
            .roots(progress)
            .await?
            .into_iter()
            .map(Entry::Folder)
            .collect()),
        DirId::Folder(folder) => remote.list(folder, progress).await,
    }
}

fn ids(entries: &[Entry]) -> HashSet<ObjectId> {
    entries.iter().map(Entry::id).collect()
}

/// True for an answer that is too little to be believed at once.
///
/// A folder that was proved empty before and still is takes nothing from anyone.
fn must_be_confirmed(held: Option<&Listing>, now: usize, missing: usize) -> bool {
    let before = held.map_or(usize::MAX, Listing::len);
    (now == 0 && before > 0) || (missing > DECIMATED_MIN && missing > before / 2)
}

/// Asks what became of `missing`; the inner error names one that should have been listed.
async fn departures(
    remote: &dyn Remote,
    dir: DirId,
    missing: &[ObjectId],
) -> Result<Result<Vec<(ObjectId, Departure)>, ObjectId>, RemoteError> {
    if missing.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let answered: HashMap<ObjectId, Entry> = remote
        .find(missing)
        .await?
        .into_iter()
        .map(|entry| (entry.id(), entry))
        .collect();
    let mut departed = Vec::with_capacity(missing.len());
    for &id in missing {
        let departure = match answered.get(&id) {
            None => Departure::Gone,
            Some(Entry::Document(document)) if !document.active => Departure::Superseded,
            Some(entry) if is_in(entry, dir) => return Ok(Err(id)),
            Some(_) => Departure::Moved,
        };
        departed.push((id, departure));
    }
    Ok(Ok(departed))
}

/// Whether `entry` says it is in `dir`.
///
/// One that names no parent is in the root if it is a folder. A document that names none could be anywhere; it is
/// taken to be here, so that a doubt ends in an error and never in a silent loss.
fn is_in(entry: &Entry, dir: DirId) -> bool {
    match (entry.parent(), dir) {
        (Some(parent), DirId::Folder(folder)) => parent == folder,
        (None, DirId::Root) => true,
        (Some(_), DirId::Root) => false,
        (None, DirId::Folder(_)) => matches!(entry, Entry::Document(_)),
    }
}
