//! How a directory's listing takes the place of the one before, and who hears of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::flight::FlightResult;
use super::inodes::{Directory, Inode, InodeNo, MountEntry, ROOT, ROOT_DIRECTORY, Target};
use super::lapse::Lapse;
use super::proof::{self, ProofError};
use super::{ChosenFolder, FAILURE_MEMORY, Inner, TreeError, dir_object, unlisted_mtime};
use crate::clock::Moment;
use crate::model::{ContentTag, DirId, Document, Entry, Folder, FolderId, ObjectId, Timestamp};
use crate::names::Place;
use crate::remote::{Progress, RemoteError};
use crate::store::StoredListing;
use crate::store::listing::{Difference, Draft, Listing, Row};

impl Inner {
    /// Asks the server for `dir`, proves the answer and puts it in place.
    pub(super) async fn fetch(&self, dir: DirId, progress: &Progress) -> FlightResult {
        let asked = self.clock.now();
        let asked_at = Timestamp::now();
        let held = self.store.get(dir);
        let entries = if dir == DirId::Root && !self.config.chosen.is_empty() {
            self.chosen_entries().await.map_err(ProofError::Remote)
        } else {
            let held = held.as_ref().map(|stored| &*stored.listing);
            proof::prove(&*self.remote, dir, held, self.config.confirm_after, progress)
                .await
                .map(|proved| {
                    for (object, departure) in &proved.departed {
                        tracing::debug!(?dir, ?object, ?departure, "left its folder");
                        if let ObjectId::Document(document) = object {
                            self.amendments.lock().remove(document);
                        }
                    }
                    proved.entries
                })
        };
        match entries {
            Ok(entries) => {
                self.failures.lock().remove(&dir);
                Ok(self.commit(dir, entries, asked, asked_at))
            }
            Err(error) => {
                let error = match error {
                    ProofError::Remote(error) => TreeError::Remote(error),
                    ProofError::Short(detail) => TreeError::Unproved(detail),
                };
                if let TreeError::Remote(refusal @ RemoteError::Denied { .. }) = &error {
                    self.refuse(dir_object(dir), refusal.clone());
                } else {
                    let until = self.clock.now().plus(FAILURE_MEMORY);
                    self.failures.lock().insert(dir, (until, error.clone()));
                }
                Err(error)
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

    /// Puts a proved listing in place: store and memory first, the kernel last.
    fn commit(
        &self,
        dir: DirId,
        entries: Vec<Entry>,
        asked: Moment,
        asked_at: Timestamp,
    ) -> Arc<StoredListing> {
        let _alone = self.commits.lock();
        let landed = self.clock.now();
        self.replace(
            dir,
            entries.into_iter().map(Arc::new).collect(),
            asked,
            asked_at,
            landed,
        )
    }

    /// Builds the listing of `dir` anew from the entries it has, after something else was learnt of them.
    pub(super) fn rebuild(&self, dir: DirId) {
        let _alone = self.commits.lock();
        if let Some(stored) = self.store.get(dir) {
            let entries = stored.listing.entries().cloned().collect();
            self.replace(dir, entries, stored.fetched, stored.fetched_at, stored.landed);
        }
    }

    /// The one way a listing changes; `commits` is held.
    fn replace(
        &self,
        dir: DirId,
        entries: Vec<Arc<Entry>>,
        fetched: Moment,
        fetched_at: Timestamp,
        landed: Moment,
    ) -> Arc<StoredListing> {
        let previous = self.store.get(dir);
        self.drop_amendments(&entries);
        let now = Timestamp::now();
        let residue = self.store.residue(dir);
        let draft = Draft {
            place: if dir == DirId::Root {
                Place::Root
            } else {
                Place::Folder
            },
            entries,
            previous: previous.as_ref().map(|stored| &*stored.listing),
            residue,
            tag: &|document| self.tag(document),
            placeholders: self.config.placeholders,
            now,
            unlisted_mtime: self.unlisted_mtime(dir).unwrap_or(now),
            generation: self.generation(previous.as_deref()),
        };
        let listing = Listing::build(draft);
        let stored = Arc::new(StoredListing::succeed(
            previous.as_deref(),
            listing,
            fetched,
            fetched_at,
            landed,
        ));
        self.store.put(dir, stored.clone());
        match previous {
            Some(previous) => self.announce(dir, &previous.listing, &stored.listing),
            // It was listed before and had to make room: nobody knows any more what the kernel was told.
            None if residue.is_some() => {
                for ino in self.held_inodes(dir) {
                    self.invalidations.add(ino, |drops| drops.listing = true);
                }
            }
            None => {}
        }
        stored
    }

    /// A generation that no reader of this directory can still have in hand.
    fn generation(&self, previous: Option<&StoredListing>) -> u16 {
        loop {
            let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
            if previous.is_none_or(|previous| !previous.remembers(generation)) {
                return generation;
            }
        }
    }

    /// Forgets what downloads told of contents that are not listed any more.
    fn drop_amendments(&self, entries: &[Arc<Entry>]) {
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
            }
        }
    }

    /// The inodes under which the kernel may hold `dir`.
    fn held_inodes(&self, dir: DirId) -> Vec<InodeNo> {
        let inodes = self
            .reached(dir)
            .into_iter()
            .map(|directory| self.directory_ino(directory));
        inodes.filter(|&ino| self.inodes.holds(ino)).collect()
    }

    /// Tells the kernel, through the set, what of `dir` is no longer as it was told.
    fn announce(&self, dir: DirId, old: &Listing, new: &Listing) {
        let difference = Difference::between(old, new);
        if difference == Difference::default() {
            return;
        }
        for directory in self.reached(dir) {
            let ino = self.directory_ino(directory);
            if !self.inodes.holds(ino) {
                continue;
            }
            for &id in &difference.attributes {
                if let Some(row) = new.find(id) {
                    let inode = self.resolve(directory, row);
                    if self.inodes.holds(inode.ino) {
                        self.inodes.update(&inode);
                        self.invalidations.add(inode.ino, |drops| drops.attributes = true);
                    }
                }
            }
            if old.generation != new.generation {
                self.invalidations.add(ino, |drops| {
                    drops.listing = true;
                    drops.names.extend(difference.names.iter().cloned());
                });
            }
        }
    }

    /// Every directory that shows `dir`: one for each mount entry it can be reached by.
    fn reached(&self, dir: DirId) -> Vec<Directory> {
        if dir == DirId::Root {
            return vec![ROOT_DIRECTORY];
        }
        if self.config.chosen.is_empty() {
            return vec![Directory {
                mount: MountEntry::WHOLE,
                id: dir,
            }];
        }
        self.config
            .chosen
            .iter()
            .map(|chosen| Directory {
                mount: MountEntry(chosen.folder.id.0),
                id: dir,
            })
            .collect()
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

    pub(super) fn resolve(&self, directory: Directory, row: &Row) -> Arc<Inode> {
        let target = match (&*row.entry, row.tag) {
            (Entry::Document(_), Some(tag)) => Target::File(row.entry.clone(), tag),
            (Entry::Folder(folder), _) => {
                let mount = match directory.id {
                    DirId::Root if !self.config.chosen.is_empty() => MountEntry(folder.id.0),
                    DirId::Root => MountEntry::WHOLE,
                    DirId::Folder(_) => directory.mount,
                };
                let below = Directory {
                    mount,
                    id: DirId::Folder(folder.id),
                };
                Target::Directory(below, Some(row.entry.clone()))
            }
            (Entry::Document(document), None) => Target::File(row.entry.clone(), document.content_tag(0)),
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
    }

    pub(super) fn refuse(&self, id: ObjectId, refusal: RemoteError) {
        let until = self.clock.now().plus(self.config.permission_ttl);
        self.denials.lock().insert(id, (until, refusal));
    }

    /// What the parent's listing says of a directory that was never listed itself.
    fn unlisted_mtime(&self, dir: DirId) -> Option<Timestamp> {
        if dir == DirId::Root {
            return Some(self.started);
        }
        self.reached(dir).into_iter().find_map(|directory| {
            let inode = self.inodes.get(self.directory_ino(directory))?;
            inode.folder().map(unlisted_mtime)
        })
    }

    /// Tells the kernel of the listings it holds that got too old; returns when the next one does.
    pub(super) fn drop_lapsed(&self) -> Option<Moment> {
        let now = self.clock.now();
        for lapse in self.lapses.due(now) {
            let refreshed = self.store.get(lapse.directory.id).and_then(|stored| {
                let until = stored.fetched.plus(self.config.metadata_ttl?);
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
