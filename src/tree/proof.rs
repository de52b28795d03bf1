//! Proof that a listing is complete, beyond what its paging proves.
//!
//! A server may answer 200 with too few rows, or none: a page shifted under a delete, a right revoked quietly, a
//! gateway with a bad day. So what was there and is not now is asked for by id, and an answer that empties or
//! decimates a folder must be given twice. Until then the last proved listing stands.

use std::collections::HashSet;
use std::time::Duration;

use crate::catalog::{Departure, Proof};
use crate::model::{DirId, Entry, FolderId, ObjectId};
use crate::remote::{Answer, Progress, Remote, RemoteError, Validator, Whereabouts};
use crate::store::listing::Listing;

/// What is known of a directory before it is listed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known<'a> {
    /// The last proved listing.
    pub(super) held: Option<&'a Listing>,
    /// What is on its way here or from here and was not seen to arrive: where it is must be asked, as if it had been in
    /// the listing before.
    pub(super) expected: &'a [ObjectId],
    /// What the server gave with `held`.
    pub(super) seen: Option<&'a Validator>,
}

/// A proved answer.
#[derive(Debug)]
pub(super) enum ProvedAnswer {
    /// The listing held is as it was.
    Unchanged,
    /// A listing.
    Rows(Proved),
}

/// A listing, and what became of the entries that left it.
#[derive(Debug)]
pub(super) struct Proved {
    /// The entries, complete.
    pub(super) entries: Vec<Entry>,
    /// What to ask with the next time.
    pub(super) validator: Option<Validator>,
    /// How far it is proved.
    pub(super) proof: Proof,
    /// What was there, or was expected, and is not there now.
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

/// Who waits hears so often that the wait before the second question goes on: well within the ten seconds after which
/// a caller takes silence for a hang.
const TICK: Duration = Duration::from_secs(1);

/// Lists `dir` until the answer is proved against what is `known`.
///
/// `confirm_after` is how long the server gets before an emptied folder is asked again. Nothing is held meanwhile.
pub(super) async fn prove(
    remote: &dyn Remote,
    dir: DirId,
    known: Known<'_>,
    confirm_after: Duration,
    progress: &Progress,
) -> Result<ProvedAnswer, ProofError> {
    let before = before(known);
    let mut seen = known.seen.filter(|_| may_be_unchanged(known));
    let mut contradiction = String::new();
    for _ in 0..ATTEMPTS {
        let (mut entries, mut validator) = match list(remote, dir, seen.take(), progress).await? {
            Answer::Unchanged => return Ok(ProvedAnswer::Unchanged),
            Answer::Rows { entries, validator } => (entries, validator),
        };
        let present = ids(&entries);
        let missing: Vec<ObjectId> = before
            .iter()
            .filter(|id| !present.contains(id))
            .copied()
            .collect();
        let mut proof = match known.held {
            None if known.expected.is_empty() => Proof::Paged,
            None | Some(_) => Proof::Compared,
        };

        if must_be_confirmed(known, entries.len(), missing.len()) {
            if let DirId::Folder(folder) = dir {
                remote.folder(folder).await?;
            }
            pause(confirm_after, progress).await;
            let again = match list(remote, dir, None, progress).await? {
                Answer::Rows { entries, validator } => (entries, validator),
                Answer::Unchanged => return Err(out_of_turn()),
            };
            if ids(&again.0) != present {
                contradiction = format!("{} entries, then {}", entries.len(), again.0.len());
                continue;
            }
            // The later of two equal answers has the newer attributes.
            (entries, validator) = again;
            proof = Proof::Confirmed;
        }

        match departures(remote, dir, &missing).await? {
            Ok(departed) => {
                return Ok(ProvedAnswer::Rows(Proved {
                    entries,
                    validator,
                    proof,
                    departed,
                }));
            }
            Err(still_there) => {
                contradiction = format!("{} is in the folder and not in its listing", still_there.guid());
            }
        }
        progress.page(0);
    }
    Err(ProofError::Short(contradiction))
}

/// What was there before, as far as anybody knows; each once.
fn before(known: Known<'_>) -> Vec<ObjectId> {
    let held = known
        .held
        .into_iter()
        .flat_map(Listing::entries)
        .map(|entry| entry.id());
    let mut seen = HashSet::new();
    held.chain(known.expected.iter().copied())
        .filter(|id| seen.insert(*id))
        .collect()
}

/// Whether "it is as it was" can be the whole truth: not while something is said to have moved here that was not here
/// then.
fn may_be_unchanged(known: Known<'_>) -> bool {
    let Some(held) = known.held else {
        return false;
    };
    if known.expected.is_empty() {
        return true;
    }
    let here: HashSet<ObjectId> = held.entries().map(|entry| entry.id()).collect();
    known.expected.iter().all(|id| here.contains(id))
}

async fn list(
    remote: &dyn Remote,
    dir: DirId,
    seen: Option<&Validator>,
    progress: &Progress,
) -> Result<Answer, ProofError> {
    match dir {
        DirId::Root => {
            let roots = remote.roots(progress).await?;
            Ok(Answer::Rows {
                entries: roots.into_iter().map(Entry::Folder).collect(),
                validator: None,
            })
        }
        DirId::Folder(folder) => match remote.list_if_changed(folder, seen, progress).await? {
            Answer::Unchanged if seen.is_none() => Err(out_of_turn()),
            answer => Ok(answer),
        },
    }
}

/// "Unchanged" to a question that did not ask for it.
fn out_of_turn() -> ProofError {
    ProofError::Short("the server says that nothing has changed, and was not asked".to_owned())
}

fn ids(entries: &[Entry]) -> HashSet<ObjectId> {
    entries.iter().map(Entry::id).collect()
}

/// Lets the server get over a hiccup; who waits sees that this goes on.
async fn pause(whole: Duration, progress: &Progress) {
    let mut left = whole;
    while !left.is_zero() {
        progress.page(0);
        let step = left.min(TICK);
        tokio::time::sleep(step).await;
        left -= step;
    }
    progress.page(0);
}

/// True for an answer that is too little to be believed at once.
///
/// A folder that was proved empty before and still is takes nothing from anyone.
fn must_be_confirmed(known: Known<'_>, now: usize, missing: usize) -> bool {
    let before = known.held.map_or(usize::MAX, Listing::len);
    let emptied = now == 0 && (before > 0 || missing > 0);
    emptied || (missing > DECIMATED_MIN && missing > before / 2)
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
    let mut left: HashSet<ObjectId> = missing.iter().copied().collect();
    let mut departed = Vec::with_capacity(missing.len());
    let mut below: Vec<(ObjectId, FolderId)> = Vec::new();
    for (id, whereabouts) in remote.whereabouts(missing).await? {
        if !left.remove(&id) {
            continue;
        }
        let departure = match whereabouts {
            Whereabouts::Known(entry) => match of_known(&entry, dir) {
                Some(departure) => {
                    if let (DirId::Root, Departure::Moved(Some(parent))) = (dir, departure) {
                        below.push((id, parent));
                    }
                    departure
                }
                None => return Ok(Err(id)),
            },
            Whereabouts::Deleted => Departure::Deleted,
            Whereabouts::Denied => Departure::Denied,
            Whereabouts::Unanswered => Departure::Unknown,
        };
        departed.push((id, departure));
    }
    // One the answer passes over was not answered.
    departed.extend(
        missing
            .iter()
            .filter(|id| left.contains(id))
            .map(|id| (*id, Departure::Unknown)),
    );
    match orphan(remote, &below).await? {
        Some(id) => Ok(Err(id)),
        None => Ok(Ok(departed)),
    }
}

/// The first of some former root folders whose new parent nobody can see: it can be reached from nowhere but the root,
/// and so should have been listed there.
async fn orphan(
    remote: &dyn Remote,
    below: &[(ObjectId, FolderId)],
) -> Result<Option<ObjectId>, RemoteError> {
    if below.is_empty() {
        return Ok(None);
    }
    let parents: Vec<ObjectId> = below
        .iter()
        .map(|(_, parent)| ObjectId::Folder(*parent))
        .collect();
    let shown = ids(&remote.find(&parents).await?);
    let hidden = |(_, parent): &&(ObjectId, FolderId)| !shown.contains(&ObjectId::Folder(*parent));
    Ok(below.iter().find(hidden).map(|(id, _)| *id))
}

/// What became of an entry of `dir` that the server knows; `None` where it still is an entry of it.
fn of_known(entry: &Entry, dir: DirId) -> Option<Departure> {
    if !is_in(entry, dir) {
        return Some(Departure::Moved(entry.parent()));
    }
    match entry {
        Entry::Document(document) if !document.active => Some(Departure::Superseded),
        Entry::Document(_) | Entry::Folder(_) => None,
    }
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

#[cfg(test)]
mod tests;
