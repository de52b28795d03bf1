//! How a directory is asked for, and what its answers and refusals mean.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::commit::{Answered, Asked};
use super::flight::FlightResult;
use super::inodes::{Directory, Inode, InodeNo, MountEntry, ROOT, Target, Version};
use super::lapse::Lapse;
use super::proof::{self, ProofError, ProvedAnswer};
use super::{ChosenFolder, FAILURE_MEMORY, Inner, TreeError, dir_object, unlisted_mtime};
use crate::catalog::Proof;
use crate::clock::Moment;
use crate::model::{ContentTag, DirId, Document, Entry, Folder, FolderId, ObjectId, Timestamp};
use crate::remote::{Progress, RemoteError, Urgency, UrgencyHandle, Validator};
use crate::store::listing::{Listing, Row};

impl Inner {
    /// Asks the leader or the server for `dir`, proves the answer and puts it in place.
    pub(super) async fn fetch(self: &Arc<Self>, dir: DirId, anew: bool, progress: &Progress) -> FlightResult {
        self.recall(dir).await;
        if let Some(led) = self.by_leader(dir, anew, progress).await {
            match &led {
                Ok(_) => {
                    self.unanswered.store(false, Ordering::Relaxed);
                    self.failures.lock().remove(&dir);
                }
                Err(error) => self.remember(dir, error),
            }
            return led;
        }
        match self.by_itself(dir, progress).await {
            Ok(placed) => placed.ok_or_else(|| TreeError::Unproved("the listing was given up".to_owned())),
            Err(error) => Err(self.failed(dir, error).await),
        }
    }

    /// Asks the server for `dir` and puts its answer in place; `None` where it was given up.
    async fn by_itself(
        self: &Arc<Self>,
        dir: DirId,
        progress: &Progress,
    ) -> Result<Option<Arc<super::StoredListing>>, ProofError> {
        let times = self.now();
        let answer = self.ask(dir, false, progress).await?;
        self.unanswered.store(false, Ordering::Relaxed);
        self.failures.lock().remove(&dir);
        if let Some(answered) = answer {
            return Ok(ticking(self.commit(dir, answered, times), progress).await);
        }
        // Where another process kept one since, that is as good.
        let renewing = self.on_disk(move |inner| inner.renew(dir, None, times).or_else(|| inner.adopt(dir)));
        let renewed = ticking(renewing, progress).await.flatten();
        if renewed
            .as_ref()
            .is_some_and(|renewed| renewed.arrival.fetched >= times.asked)
        {
            return Ok(renewed);
        }
        // What is unchanged is not in the catalog any more, such as after that was deleted: it is asked for whole, so that
        // it can be kept.
        let times = self.now();
        match self.ask(dir, true, progress).await? {
            Some(answered) => Ok(ticking(self.commit(dir, answered, times), progress).await),
            None => Ok(renewed),
        }
    }

    fn now(&self) -> Asked {
        Asked {
            asked: self.clock.now(),
            asked_at: Timestamp::now(),
        }
    }

    /// Notes a failure, for those who ask next and for support.
    async fn failed(self: &Arc<Self>, dir: DirId, error: ProofError) -> TreeError {
        let error = match error {
            ProofError::Remote(error) => TreeError::Remote(error),
            ProofError::Short(detail) => TreeError::Unproved(detail),
        };
        self.remember(dir, &error);
        let refused = matches!(error, TreeError::Remote(RemoteError::Denied { .. }));
        let text = error.to_string();
        self.on_disk(move |inner| inner.note_trouble(dir_object(dir), text, refused))
            .await;
        error
    }

    /// Remembers a refusal, or for a moment another failure, for those who ask next.
    fn remember(&self, dir: DirId, error: &TreeError) {
        match error {
            TreeError::Remote(refusal @ RemoteError::Denied { .. }) => {
                self.refuse(dir_object(dir), refusal.clone());
            }
            // What failed before anybody waited answers nobody: a person's own question may find the server back.
            _ if UrgencyHandle::current().get() < Urgency::Interactive => {}
            TreeError::Remote(_) | TreeError::TimedOut | TreeError::Unproved(_) | TreeError::Gone => {
                let until = self.clock.now().plus(FAILURE_MEMORY);
                self.failures.lock().insert(dir, (until, error.clone()));
            }
        }
    }

    /// The server's proved answer; `None` if what is held is unchanged, which is not asked where it is to be `whole`.
    async fn ask(
        self: &Arc<Self>,
        dir: DirId,
        whole: bool,
        progress: &Progress,
    ) -> Result<Option<Answered>, ProofError> {
        if dir == DirId::Root && !self.config.chosen.is_empty() {
            return Ok(Some(Answered {
                entries: self.chosen_entries().await.map_err(ProofError::Remote)?,
                proof: Proof::Compared,
                validator: None,
                departed: Vec::new(),
                first: false,
            }));
        }
        let held = self.store.get(dir);
        let expected = match &self.catalog {
            Some(_) => self
                .on_disk(move |inner| inner.expected(dir))
                .await
                .unwrap_or_default(),
            None => Vec::new(),
        };
        // What could not be kept is asked for whole, so that it can be.
        let seen = held
            .as_ref()
            .filter(|held| !whole && (held.arrival.commit.is_some() || self.catalog.is_none()))
            .and_then(|held| held.arrival.validator.clone())
            .map(Validator);
        let known = proof::Known {
            held: held.as_ref().map(|held| &*held.listing),
            expected: &expected,
            seen: seen.as_ref(),
        };
        match proof::prove(&*self.remote, dir, known, self.config.confirm_after, progress).await? {
            ProvedAnswer::Unchanged => Ok(None),
            ProvedAnswer::Rows(proved) => {
                for (object, departure) in &proved.departed {
                    tracing::debug!(?dir, ?object, ?departure, "left its folder");
                }
                Ok(Some(Answered {
                    entries: proved.entries,
                    proof: proved.proof,
                    validator: proved.validator.map(|Validator(text)| text),
                    departed: proved.departed,
                    first: false,
                }))
            }
        }
    }

    /// The chosen folders, with their newest attributes; one that may not be seen stays listed.
    async fn chosen_entries(&self) -> Result<Vec<Entry>, RemoteError> {
        let ids: Vec<_> = self
            .config
            .chosen
            .iter()
            .map(|c| ObjectId::Folder(c.folder.id))
            .collect();
        let mut found: HashMap<FolderId, Folder> = HashMap::new();
        for entry in self.remote.find(&ids).await? {
            if let Entry::Folder(folder) = entry {
                found.insert(folder.id, folder);
            }
        }
        let shown = |chosen: &ChosenFolder| {
            let mut folder = found
                .remove(&chosen.folder.id)
                .unwrap_or_else(|| chosen.folder.clone());
            folder.name.clone_from(&chosen.folder.name);
            Entry::Folder(folder)
        };
        Ok(self.config.chosen.iter().map(shown).collect())
    }

    /// Forgets what downloads told of contents that are not listed any more.
    pub(super) fn drop_amendments(&self, entries: &[Arc<Entry>]) {
        let mut amendments = self.amendments.lock();
        if amendments.is_empty() {
            return;
        }
        for entry in entries {
            if let Entry::Document(document) = &**entry
                && amendments
                    .get(&document.id)
                    .is_some_and(|known| known.listed != document.content_tag(0))
            {
                amendments.remove(&document.id);
                self.keep_amendment(document.id, None);
            }
        }
    }

    pub(super) fn directory_ino(&self, directory: Directory) -> InodeNo {
        match directory.id {
            DirId::Root => ROOT,
            DirId::Folder(_) => {
                self.inodes
                    .resolve(directory, Target::Directory(directory, None))
                    .ino
            }
        }
    }

    pub(super) fn resolve(&self, directory: Directory, row: &Row) -> Inode {
        let target = match &*row.entry {
            Entry::Document(document) => {
                let tag = row.tag.unwrap_or_else(|| document.content_tag(0));
                Target::File(Version::new(document, tag))
            }
            Entry::Folder(folder) => {
                let mount = match directory.id {
                    DirId::Root if !self.config.chosen.is_empty() => MountEntry(folder.id.0),
                    DirId::Root => MountEntry::WHOLE,
                    DirId::Folder(_) => directory.mount,
                };
                let below = Directory {
                    mount,
                    id: DirId::Folder(folder.id),
                };
                Target::Directory(below, Some(unlisted_mtime(folder)))
            }
        };
        self.inodes.resolve(directory, target)
    }

    /// The content tag of a document: what its listing says, unless a download knew better.
    pub(super) fn tag(&self, document: &Document) -> ContentTag {
        let listed = document.content_tag(0);
        match self.amendments.lock().get(&document.id) {
            Some(amendment) if amendment.listed == listed => amendment.actual,
            Some(_) | None => listed,
        }
    }

    /// Forgets refusals and failures that no longer answer anyone.
    pub(super) fn forget_expired(&self) {
        let now = self.clock.now();
        self.denials.lock().retain(|_, (until, _)| *until > now);
        self.failures.lock().retain(|_, (until, _)| *until > now);
        self.returned.lock().retain(|_, until| *until > now);
    }

    /// What a listing of `dir` shows that it did not show before may be allowed by now, however lately it was refused: it was
    /// moved to where it was refused, and back. So may everything in it, which was refused with it.
    pub(super) fn forget_denials_of_arrivals(&self, dir: DirId, before: Option<&Listing>, now: &Listing) {
        let mut returned = self.returned.lock();
        let before = before.filter(|_| returned.remove(&dir_object(dir)).is_none());
        let was_there = |id| before.is_some_and(|before| before.find(id).is_some());
        self.denials.lock().retain(|id, (until, _)| {
            let stays = was_there(*id) || now.find(*id).is_none();
            if !stays {
                returned.insert(*id, *until);
            }
            stays
        });
    }

    pub(super) fn refuse(&self, id: ObjectId, refusal: RemoteError) {
        let until = self.clock.now().plus(self.config.permission_ttl);
        self.denials.lock().insert(id, (until, refusal));
    }

    /// What the parent's listing says of a directory that was never listed itself.
    pub(super) fn unlisted_mtime(&self, dir: DirId) -> Option<Timestamp> {
        if dir == DirId::Root {
            return Some(self.started);
        }
        self.reached(dir).into_iter().find_map(|directory| {
            let inode = self.inodes.get(self.directory_ino(directory))?;
            inode.unlisted_mtime()
        })
    }

    /// Tells the kernel of the listings it holds that got too old; returns when the next one does.
    pub(super) fn drop_lapsed(&self) -> Option<Moment> {
        let now = self.clock.now();
        for lapse in self.lapses.due(now) {
            let refreshed = self.store.get(lapse.directory.id).and_then(|stored| {
                let until = stored.arrival.fetched.plus(self.config.metadata_ttl?);
                (until > now).then_some(until)
            });
            match refreshed {
                Some(at) => self.lapses.note(Lapse { at, ..lapse }),
                None => {
                    if self.inodes.holds(lapse.ino) {
                        self.invalidations.add(lapse.ino, |drops| drops.listing = true);
                    }
                }
            }
        }
        self.lapses.next()
    }
}

/// Who waits hears so often that the answer is here and only has to be put in place.
const TICK: Duration = Duration::from_secs(1);

/// Waits for `work`, telling `progress` meanwhile: listings queue for being put in place, and that is no silence of the
/// server.
async fn ticking<T>(work: impl Future<Output = T>, progress: &Progress) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(TICK) => progress.page(0),
        }
    }
}
