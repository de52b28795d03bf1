//! How proved listings are put in place: those that arrive together are committed together.
//!
//! Putting one in place is simple until you consider that:
//! 1. the journal waits for the disk with each commit, some milliseconds, and a walk of five hundred readers brings
//!    hundreds of listings a second;
//! 2. whoever waits for one of them has a deadline, and stands behind all the others;
//! 3. one that cannot be kept must not take the others with it.
//!
//! So what is proved joins a queue, and one thread takes from it all there is, keeps it in one transaction, and then
//! puts each into memory and wakes who waits for it: 1 and 2. Where that fails, each is tried by itself: 3.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Inner;
use crate::catalog::{Catalog, CatalogError, Departure, Fetched, Proof, Replaced};
use crate::clock::Moment;
use crate::model::{DirId, Entry, ObjectId, Timestamp};
use crate::store::listing::Listing;
use crate::store::{Arrival, StoredListing};

/// At most so many entries are committed together: a few tenths of a second, for which other processes that share the
/// catalog, and a person's next listing, have to wait. One folder may have more.
const ENTRIES_TOGETHER: usize = 4096;

/// At most so many listings: the wait for the disk is then a small part of it.
const LISTINGS_TOGETHER: usize = 128;

/// A proved answer of the server.
pub(super) struct Answered {
    /// Every entry.
    pub(super) entries: Vec<Entry>,
    /// How far that is proved.
    pub(super) proof: Proof,
    /// What to ask with the next time.
    pub(super) validator: Option<String>,
    /// What became of entries that are not in it any more.
    pub(super) departed: Vec<(ObjectId, Departure)>,
    /// See [`Fetched::first`].
    pub(super) first: bool,
}

/// When something was asked.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) asked: Moment,
    pub(super) asked_at: Timestamp,
}

/// Proved listings that are not in place yet.
#[derive(Default)]
pub(super) struct Commits(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// A thread takes from it, until it is empty.
    served: bool,
}

struct Waiting {
    dir: DirId,
    answered: Answered,
    times: Asked,
    placed: oneshot::Sender<Arc<StoredListing>>,
}

impl Commits {
    /// Adds one; true where nobody takes from the queue: the caller has to see to that.
    fn join(&self, waiting: Waiting) -> bool {
        let mut queue = self.0.lock();
        queue.waiting.push_back(waiting);
        !std::mem::replace(&mut queue.served, true)
    }

    /// The next ones to be committed together, of as many directories; `None` where there are none, and then nobody
    /// takes from the queue any more.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.0.lock();
        let (mut together, mut dirs, mut entries) = (Vec::new(), HashSet::new(), 0);
        while let Some(next) = queue.waiting.front() {
            entries += next.answered.entries.len();
            let is_full = together.len() >= LISTINGS_TOGETHER || entries > ENTRIES_TOGETHER;
            if !together.is_empty() && (is_full || dirs.contains(&next.dir)) {
                break;
            }
            dirs.insert(next.dir);
            together.extend(queue.waiting.pop_front());
        }
        queue.served = !together.is_empty();
        (!together.is_empty()).then_some(together)
    }
}

/// Ends the service of a queue in whatever way: who still waits in it is told, and the next one is served anew.
struct Service<'a>(&'a Commits);

impl Drop for Service<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.0.lock() = Queue::default();
        }
    }
}

/// A listing on its way from the answer to memory.
struct Draft {
    dir: DirId,
    entries: Vec<Arc<Entry>>,
    departed: Vec<(ObjectId, Departure)>,
    first: bool,
    arrival: Arrival,
    /// What memory has.
    held: Option<Arc<StoredListing>>,
    /// What it takes the place of.
    before: Option<Arc<Listing>>,
    placed: oneshot::Sender<Arc<StoredListing>>,
}

impl Inner {
    /// Puts a proved listing in place: the catalog and the journal, memory, the kernel. `None` where the process ends
    /// before that.
    pub(super) async fn commit(
        self: &Arc<Self>,
        dir: DirId,
        answered: Answered,
        times: Asked,
    ) -> Option<Arc<StoredListing>> {
        let (placed, waits) = oneshot::channel();
        let waiting = Waiting {
            dir,
            answered,
            times,
            placed,
        };
        if self.arrived.join(waiting) {
            let inner = self.clone();
            // It goes on when whoever began it leaves: others wait, too.
            tokio::task::spawn_blocking(move || inner.serve_commits());
        }
        waits.await.ok()
    }

    fn serve_commits(&self) {
        let _service = Service(&self.arrived);
        while let Some(together) = self.arrived.next() {
            let _alone = self.commits.lock();
            let mut drafts: Vec<Draft> = together
                .into_iter()
                .filter_map(|waiting| self.draft(waiting))
                .collect();
            if drafts.is_empty() {
                continue;
            }
            let replaced = match &self.catalog {
                Some(catalog) => self.keep(catalog, &mut drafts),
                None => drafts.iter().map(|_| None).collect(),
            };
            let is_kept = |replaced: &Option<Replaced>| matches!(replaced, Some(Replaced::Kept { .. }));
            if let Some(catalog) = self.catalog.as_ref().filter(|_| replaced.iter().any(is_kept)) {
                self.keep_lessons(catalog);
            }
            for (draft, replaced) in drafts.into_iter().zip(replaced) {
                self.place(draft, replaced);
            }
        }
    }

    /// `None` where it is to be the first of its directory and is not: whoever waits has the one that is.
    fn draft(&self, waiting: Waiting) -> Option<Draft> {
        let Waiting {
            dir,
            answered,
            times,
            placed,
        } = waiting;
        let held = self.store.get(dir);
        if let Some(held) = held.as_ref().filter(|_| answered.first) {
            let _ = placed.send(held.clone());
            return None;
        }
        let entries: Vec<Arc<Entry>> = answered.entries.into_iter().map(Arc::new).collect();
        self.drop_amendments(&entries);
        Some(Draft {
            dir,
            entries,
            departed: answered.departed,
            first: answered.first,
            arrival: Arrival {
                fetched: times.asked,
                fetched_at: times.asked_at,
                landed: self.clock.now(),
                proof: answered.proof,
                validator: answered.validator,
                commit: None,
            },
            before: held.as_ref().map(|held| held.listing.clone()),
            held,
            placed,
        })
    }

    /// Keeps them all in the catalog, or as many as it takes; `None` for those it does not. `commits` is held.
    fn keep(&self, catalog: &Catalog, drafts: &mut [Draft]) -> Vec<Option<Replaced>> {
        match self.keep_together(catalog, drafts) {
            Ok(replaced) => replaced.into_iter().map(Some).collect(),
            Err(CatalogError::Closed) => drafts.iter().map(|_| None).collect(),
            Err(error) if drafts.len() == 1 => {
                self.catalog_failed(&error);
                vec![None]
            }
            // One of them may be to blame.
            Err(_) => drafts
                .chunks_mut(1)
                .flat_map(|draft| self.keep(catalog, draft))
                .collect(),
        }
    }

    fn keep_together(&self, catalog: &Catalog, drafts: &mut [Draft]) -> Result<Vec<Replaced>, CatalogError> {
        let mut befores: Vec<_> = drafts.iter().map(|draft| draft.before.clone()).collect();
        let answers: Vec<_> = drafts
            .iter()
            .map(|draft| {
                let fetched = Fetched {
                    dir: self.key(draft.dir),
                    fetched: self.clock.stamp(draft.arrival.fetched, draft.arrival.fetched_at),
                    proof: draft.arrival.proof,
                    validator: draft.arrival.validator.as_deref(),
                    departed: &draft.departed,
                    first: draft.first,
                };
                (fetched, draft.held.as_ref().and_then(|held| held.arrival.commit))
            })
            .collect();
        let replaced = catalog.replace_all(&answers, &mut |index, saved| {
            let (draft, before) = (&drafts[index], &mut befores[index]);
            // What could not be kept is newer than what was.
            let unkept = draft
                .held
                .as_ref()
                .is_some_and(|held| held.arrival.commit.is_none());
            if let Some(saved) = saved.filter(|_| !unkept) {
                *before = Some(saved.listing.clone());
            }
            draft.build(self, before.as_deref())
        });
        drop(answers);
        for (draft, before) in drafts.iter_mut().zip(befores) {
            draft.before = before;
        }
        replaced
    }

    /// The last steps of one: memory, the kernel, whoever waits. `commits` is held.
    fn place(&self, mut draft: Draft, replaced: Option<Replaced>) {
        let dir = draft.dir;
        let stored = match (replaced, &self.catalog) {
            (Some(Replaced::Superseded(saved)), _) => self.take(dir, saved, draft.held.as_ref()),
            (
                Some(Replaced::Kept {
                    commit,
                    listing,
                    look,
                }),
                Some(catalog),
            ) => {
                draft.arrival.commit = Some(commit);
                self.forget_denials_of_arrivals(dir, draft.before.as_deref(), &listing);
                self.clear_trouble(super::dir_object(dir));
                self.forget_gone(catalog, &draft.departed);
                self.look_at(look);
                self.put(dir, draft.held.as_deref(), listing, draft.arrival)
            }
            (Some(Replaced::Kept { listing, .. }), None) => {
                self.put(dir, draft.held.as_deref(), listing, draft.arrival)
            }
            (None, _) => {
                let listing = draft.build(self, draft.before.as_deref());
                self.forget_denials_of_arrivals(dir, draft.before.as_deref(), &listing);
                self.put(dir, draft.held.as_deref(), listing, draft.arrival)
            }
        };
        // Who asked for it may have ceased to wait.
        let _ = draft.placed.send(stored);
    }
}

impl Draft {
    fn build(&self, inner: &Inner, before: Option<&Listing>) -> Arc<Listing> {
        inner.build(self.dir, self.entries.clone(), before, self.held.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::{Folder, FolderId, Guid};

    fn waiting(number: u8, entries: usize) -> Waiting {
        let folder = FolderId(Guid::from_bytes([number; 16]));
        let entry = Entry::Folder(Folder {
            id: folder,
            parent: None,
            name: String::new(),
            description: String::new(),
            work_area: false,
            created: None,
            updated: None,
            etag: None,
        });
        Waiting {
            dir: DirId::Folder(folder),
            answered: Answered {
                entries: vec![entry; entries],
                proof: Proof::Paged,
                validator: None,
                departed: Vec::new(),
                first: false,
            },
            times: Asked {
                asked: Clock::manual().now(),
                asked_at: Timestamp::UNIX_EPOCH,
            },
            placed: oneshot::channel().0,
        }
    }

    /// How many are taken together, each time.
    fn taken(commits: &Commits) -> Vec<usize> {
        std::iter::from_fn(|| commits.next())
            .map(|together| together.len())
            .collect()
    }

    #[test]
    fn what_waits_is_taken_together_within_bounds_and_no_directory_twice() {
        let commits = Commits::default();
        assert!(commits.join(waiting(1, 3)), "nobody serves it");
        for number in 2..=200 {
            assert!(!commits.join(waiting(number, 3)), "somebody does");
        }
        assert_eq!(taken(&commits), [LISTINGS_TOGETHER, 200 - LISTINGS_TOGETHER]);

        assert!(
            commits.join(waiting(1, ENTRIES_TOGETHER - 1)),
            "nobody does any more"
        );
        for number in 2..=4 {
            commits.join(waiting(number, 1));
        }
        commits.join(waiting(5, ENTRIES_TOGETHER * 2));
        commits.join(waiting(6, 1));
        assert_eq!(taken(&commits), [2, 2, 1, 1], "a large one goes by itself");

        for number in [1, 2, 1, 3, 3] {
            commits.join(waiting(number, 1));
        }
        assert_eq!(taken(&commits), [2, 2, 1]);
    }

    #[test]
    fn who_waits_for_a_service_that_died_is_told_and_the_next_one_is_served() {
        let commits = Commits::default();
        let (placed, mut waits) = oneshot::channel();
        let first = Waiting {
            placed,
            ..waiting(1, 1)
        };
        assert!(commits.join(first));
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _service = Service(&commits);
            panic!("as a bug would");
        }));
        assert!(died.is_err());
        assert!(
            waits
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
        );
        assert!(commits.join(waiting(2, 1)), "it is served anew");
    }
}
