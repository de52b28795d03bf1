//! A tree among others: several processes share one catalog, and one of them leads.
//!
//! The tree knows no leader. It asks a [`Lead`], where it was given one, before it asks the server; it tells what it
//! wrote to the catalog; and it takes over what another process wrote.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::flight::{Flight, FlightResult};
use super::{Inner, Tree, TreeError};
use crate::catalog::{Catalog, DirKey};
use crate::model::{DirId, FolderId};
use crate::remote::{Progress, RemoteError, Urgency};

/// Who lists folders in a tree's place: the leader of its catalog, while that is another process.
#[async_trait]
pub trait Lead: Send + Sync {
    /// Has `folder` listed and kept in the catalog, no older than `max_age`; `None` takes any age, zero wants the server
    /// to be asked after this call. Whoever waits is told by `progress` that it moves.
    ///
    /// `None` where nobody else leads, or who does is silent: the tree then asks the server itself. It comes to that
    /// within a few seconds, so that nobody waits for a leader that hangs.
    async fn list(
        &self,
        folder: FolderId,
        max_age: Option<Duration>,
        progress: &Progress,
    ) -> Option<Result<(), TreeError>>;

    /// True while it is another process that leads.
    fn is_another(&self) -> bool;
}

/// What a tree wrote to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// A listing was kept.
    Kept {
        /// Its number.
        commit: u64,
        /// Which directory.
        dir: DirKey,
    },
    /// A listing was found unchanged; its number stays.
    Renewed {
        /// Which directory.
        dir: DirKey,
    },
}

/// How many writes are remembered for a listener that is behind. One that is further behind reads the catalog anew.
pub(super) const WRITES_REMEMBERED: usize = 1024;

impl Tree {
    /// Where listings are kept; `None` where they are in memory only.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.0.catalog.as_ref()
    }

    /// The newest write to the catalog when this tree began, which knew nothing then.
    pub fn first_seen(&self) -> u64 {
        self.0.first_seen
    }

    /// Has folders listed by `lead` from now on, where it does; by this tree alone with `None`.
    pub fn follow(&self, lead: Option<Arc<dyn Lead>>) {
        *self.0.lead.lock() = lead;
    }

    /// Hears of everything this tree writes to the catalog from now on, after its own memory has it.
    pub fn writes(&self) -> broadcast::Receiver<Written> {
        self.0.written.subscribe()
    }

    /// Takes over what other processes wrote of these directories, into memory and the kernel. What neither has is left
    /// alone: it is read when it is asked for.
    pub async fn adopt(&self, dirs: Vec<DirKey>) {
        self.0
            .on_disk(move |inner| {
                for dir in dirs.into_iter().filter_map(|key| inner.dir_of(key)) {
                    if inner.matters(dir) {
                        inner.adopt(dir);
                    }
                }
            })
            .await;
    }

    /// Lists `folder` for another process, as [`Lead::list`] says; the number it is kept under, if it could be kept.
    ///
    /// It has no deadline of its own: whoever asks has one, and may cease to wait at any time.
    pub async fn list_for(
        &self,
        folder: FolderId,
        max_age: Option<Duration>,
        urgency: Urgency,
        progress: &Progress,
    ) -> Result<Option<u64>, TreeError> {
        let dir = DirId::Folder(folder);
        if max_age == Some(Duration::ZERO) {
            self.forget_trouble(dir);
            let anew = self.0.flights.next_number();
            loop {
                let flight = self.flight(dir, true, urgency);
                let stored = flight.land(progress).await?;
                if flight.is_new(anew) {
                    return Ok(stored.arrival.commit);
                }
            }
        }
        self.0.recall(dir).await;
        if let Some(stored) = self.0.store.get(dir)
            && max_age.is_none_or(|max| self.0.clock.now().since(stored.arrival.fetched) <= max)
        {
            return Ok(stored.arrival.commit);
        }
        if let Some(denial) = self.denial(dir) {
            return Err(denial.into());
        }
        if let Some(failure) = self.recent_failure(dir) {
            return Err(failure);
        }
        Ok(self
            .flight(dir, false, urgency)
            .land(progress)
            .await?
            .arrival
            .commit)
    }
}

impl Flight {
    /// Waits to the end, passing on that it moves.
    async fn land(&self, told: &Progress) -> FlightResult {
        let mut moves = self.moves();
        let mut seen = *moves.borrow_and_update();
        let result = self.result();
        tokio::pin!(result);
        loop {
            tokio::select! {
                biased;
                result = &mut result => return result,
                Ok(()) = moves.changed() => {
                    let now = *moves.borrow_and_update();
                    told.page(usize::try_from(now.saturating_sub(seen)).unwrap_or(usize::MAX));
                    seen = now;
                }
            }
        }
    }
}

impl Inner {
    /// Has `dir` listed by the leader. `None` where this tree has to ask the server itself.
    pub(super) async fn by_leader(
        self: &Arc<Self>,
        dir: DirId,
        anew: bool,
        progress: &Progress,
    ) -> Option<FlightResult> {
        // Each mount shows roots of its own choice, so it lists them itself.
        let DirId::Folder(folder) = dir else {
            return None;
        };
        let lead = self.lead.lock().clone()?;
        let max_age = if anew {
            Some(Duration::ZERO)
        } else {
            self.config.metadata_ttl
        };
        let asked = self.clock.now();
        match lead.list(folder, max_age, progress).await? {
            Ok(()) => {
                let stored = self.on_disk(move |inner| inner.adopt(dir)).await??;
                // The catalog has the last word: a leader whose disk is full has listed and could not keep.
                let fetched = stored.arrival.fetched;
                let serves = max_age.is_none_or(|max| asked.since(fetched) <= max);
                serves.then_some(Ok(stored))
            }
            // Its login is over; ours may be another one.
            Err(TreeError::Remote(RemoteError::LoginRequired(_) | RemoteError::SecretRequired(_))) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// True while another process lists in this tree's place.
    pub(super) fn is_led(&self) -> bool {
        let lead = self.lead.lock();
        lead.as_ref().is_some_and(|lead| lead.is_another())
    }

    /// Tells of what was written. Nobody may be listening.
    pub(super) fn tell(&self, written: Written) {
        let _ = self.written.send(written);
    }

    /// The directory of a key; `None` for the root of another mount, as far as that can be told.
    fn dir_of(&self, key: DirKey) -> Option<DirId> {
        match key {
            key if key == self.root_key => Some(DirId::Root),
            DirKey::ROOTS => None,
            key => Some(DirId::Folder(FolderId(key.guid()))),
        }
    }

    /// True if memory has `dir`, or the kernel may.
    fn matters(&self, dir: DirId) -> bool {
        // The kernel was told only of what was in memory once, and that left a residue.
        self.store.get(dir).is_some()
            || (self.store.residue(dir).is_some() && !self.held_inodes(dir).is_empty())
    }
}
