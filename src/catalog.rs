//! The catalog: every proved listing on disk, so that it outlives the process, and the journal of what changed.
//!
//! Keeping listings is simple until you consider that:
//! 1. a process may be killed, and a disk may fill up, between any two writes;
//! 2. several mounts and commands of one account use the same catalog at once;
//! 3. the cache may be deleted at any time, while pipelines remember how far they read the journal;
//! 4. the wall clock may jump.
//!
//! One SQLite database holds the listings; each is replaced in one transaction: 1. Whoever writes takes the write lock
//! first and builds on what is there then, not on what it remembers; an answer asked for earlier than the one that is there
//! is dropped: 2. The journal is a database of its own among the state, with a note of what it told of every object; its
//! rows are the difference between that and the new listing, so that neither a crash between the two databases nor a
//! deleted cache loses or repeats a change: 3. Ages are kept as [`Stamp`]s: 4.
//!
//! Everything here blocks; call it where blocking is allowed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Stamp;
pub use crate::database::DatabaseError as CatalogError;
use crate::model::{ContentTag, DirId, DocumentId, Entry, FolderId, Guid, ObjectId, Timestamp};
pub use crate::store::Proof;
use crate::store::Residue;
use crate::store::listing::{Listing, Row};

pub mod attributes;
mod codec;
mod difference;
mod events;
mod gone;
mod headers;
pub mod journal;
mod label;
mod memory;
mod place;
pub mod reading;
mod rights;
mod rows;
mod schema;
pub mod snapshot;
mod store;
mod told;

use attributes::AttributeStore;
use journal::Journal;
use place::Files;
use snapshot::Snapshot;
use store::Store;

/// Whose catalog it is. No two accounts share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogId {
    /// The identity provider, or the kind of login where there is none.
    pub issuer: String,
    /// The account the server sees (`Remote::account`).
    pub account: String,
    /// Server and datasource (`Remote::name`).
    pub datasource: String,
}

/// Where catalogs and journals are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The cache directory of pwfs; the catalog is below it.
    pub cache: PathBuf,
    /// The state directory of pwfs; the journal is below it.
    pub state: PathBuf,
}

/// A directory in the catalog: a folder, the datasource's roots, or one choice of folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirKey([u8; 16]);

/// What became of an entry that left a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It is in another folder now; `None` where the server does not say in which.
    Moved(Option<FolderId>),
    /// It is in this folder and no longer its active version.
    Superseded,
    /// The server says that it does not exist.
    Deleted,
    /// The server refuses it.
    Denied,
    /// The server does not answer it. Whether it was deleted or hidden, it does not say.
    Unknown,
}

/// A listing as it is kept.
#[derive(Debug)]
pub struct SavedListing {
    /// The listing.
    pub listing: Arc<Listing>,
    /// When the server was asked for it, or last said that it is unchanged.
    pub fetched: Stamp,
    /// How far it is proved.
    pub proof: Proof,
    /// What the server gave to ask "has it changed" with.
    pub validator: Option<String>,
    /// The number of the write; a later one has a higher number, over the whole catalog.
    pub commit: u64,
    /// The child folders that were listed themselves.
    pub below: Vec<(FolderId, Residue)>,
}

/// A proved answer of the server, to be kept.
#[derive(Clone)]
pub struct Fetched<'a> {
    /// Which directory.
    pub dir: DirKey,
    /// When it was asked for.
    pub fetched: Stamp,
    /// How far it is proved.
    pub proof: Proof,
    /// See [`SavedListing::validator`].
    pub validator: Option<&'a str>,
    /// What became of entries that are not in it any more.
    pub departed: &'a [(ObjectId, Departure)],
    /// Only where no listing of it is kept: one that is counts as later, whatever its age.
    pub first: bool,
}

/// What became of a [`Fetched`].
#[derive(Debug)]
pub enum Replaced {
    /// It is kept under this number.
    Kept {
        /// See [`SavedListing::commit`].
        commit: u64,
        /// The listing that was built.
        listing: Arc<Listing>,
        /// Folders that something moved into and that were listed before: they are to be listed anew.
        look: Vec<FolderId>,
    },
    /// Another process kept one that was asked for later, or any where this was to be the first.
    Superseded(SavedListing),
}

/// Something the catalog knows about an object, for `explain`.
#[derive(Debug)]
pub struct Sighting {
    /// The directory that lists it.
    pub dir: DirKey,
    /// Its row; `None` for what is listed and shown nowhere.
    pub row: Option<Row>,
    /// The whole entry.
    pub entry: Arc<Entry>,
}

/// The last failure to list a folder or to read a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at: Timestamp,
    /// In words, without secrets.
    pub text: String,
    /// True for a refusal (403, or 404 while listed).
    pub refused: bool,
}

/// How much a catalog keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Directories whose listing is kept.
    pub listings: u64,
    /// Entries in them.
    pub entries: u64,
    /// When the folder that was not asked for the longest time was.
    pub oldest: Option<Stamp>,
    /// Objects that could not be listed or read the last time.
    pub failing: u64,
    /// Objects the server refuses.
    pub refused: u64,
}

/// An opened catalog, and what there is to say of it.
pub struct Opened {
    /// The catalog.
    pub catalog: Catalog,
    /// Where a damaged catalog or journal was put aside; to be said once.
    pub set_aside: Vec<PathBuf>,
}

/// The catalog and journal of one account; cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Store>);

impl Catalog {
    /// Opens the catalog of `id`, making, migrating or rebuilding its databases.
    ///
    /// A damaged database is set aside and made anew.
    pub fn open(places: &Places, id: &CatalogId) -> Result<Opened, CatalogError> {
        let store = Store::open(&Files::of(places, id), id)?;
        let set_aside = store.take_aside();
        Ok(Opened {
            catalog: Self(Arc::new(store)),
            set_aside,
        })
    }

    /// Where the journal of `id` is, for [`Journal::read_only`].
    pub fn journal_path(places: &Places, id: &CatalogId) -> PathBuf {
        Files::of(places, id).journal
    }

    /// Opens for reading what another process keeps: the catalog in `dir`, and its journal. What writes fails.
    pub fn read_only(dir: &Path, journal: &Path) -> Result<Self, CatalogError> {
        Ok(Self(Arc::new(Store::reading(dir, journal)?)))
    }

    /// Every catalog and journal below these places that can be opened for reading.
    pub fn all(places: &Places) -> Vec<Self> {
        let dirs = std::fs::read_dir(places.cache.join(place::CATALOGS));
        let dirs = dirs.into_iter().flatten().flatten().map(|entry| entry.path());
        dirs.filter_map(|dir| {
            let name = dir.file_name()?.to_string_lossy().into_owned();
            Self::read_only(&dir, &place::journal_of(&places.state, &name)).ok()
        })
        .collect()
    }

    /// Whose it is.
    pub fn about(&self) -> Result<CatalogId, CatalogError> {
        self.0.about()
    }

    /// How much is kept. Counts: not for a call that must be quick.
    pub fn inventory(&self) -> Result<Inventory, CatalogError> {
        self.0.inventory()
    }

    /// Keeps a proved answer: [`Catalog::replace_all`] of one.
    pub fn replace(
        &self,
        fetched: &Fetched<'_>,
        known: Option<u64>,
        build: &mut dyn FnMut(Option<&SavedListing>) -> Arc<Listing>,
    ) -> Result<Replaced, CatalogError> {
        let mut replaced = self
            .0
            .replace_all(&[(fetched.clone(), known)], &mut |_, saved| build(saved))?;
        Ok(replaced.remove(0))
    }

    /// Keeps proved answers of different directories, all or none: they share the one wait for the disk. What became of
    /// each is in the same order.
    ///
    /// `build` makes the listing of the answer of that index from the one that is kept now, which is given where its
    /// number is not the one that is known (it was kept by another process, or made room in memory). It runs inside the
    /// write transaction: it must not block.
    ///
    /// # Errors
    /// Nothing was kept, and the listings before stand; where the disk is full, for one.
    pub fn replace_all(
        &self,
        answers: &[(Fetched<'_>, Option<u64>)],
        build: &mut dyn FnMut(usize, Option<&SavedListing>) -> Arc<Listing>,
    ) -> Result<Vec<Replaced>, CatalogError> {
        self.0.replace_all(answers, build)
    }

    /// Notes that the server was asked at `fetched` and said that the listing kept under `commit` is unchanged.
    /// Nothing happens where another one was kept since; `false` then.
    pub fn unchanged(&self, dir: DirKey, commit: u64, fetched: Stamp) -> Result<bool, CatalogError> {
        self.0.unchanged(dir, commit, &fetched)
    }

    /// Replaces the rows of a listing after something else was learnt of its entries: age and proof stay.
    pub fn rebuild(
        &self,
        dir: DirKey,
        build: &mut dyn FnMut(&SavedListing) -> Arc<Listing>,
    ) -> Result<Option<u64>, CatalogError> {
        self.0.rebuild(dir, build)
    }

    /// Removes the listing of a folder that is gone, and those of the folders below it that nobody else lists; returns
    /// how many. Without this the totals count them, and [`Catalog::oldest`] names them, for ever.
    ///
    /// Should the folder come back, it is listed as if for the first time.
    pub fn forget(&self, folder: FolderId) -> Result<u64, CatalogError> {
        self.0.forget(folder)
    }

    /// True if there is a listing of `dir`: less than [`Catalog::load`].
    pub fn keeps(&self, dir: DirKey) -> Result<bool, CatalogError> {
        self.0.keeps(dir)
    }

    /// The listing of `dir`.
    pub fn load(&self, dir: DirKey) -> Result<Option<SavedListing>, CatalogError> {
        self.0.load(dir)
    }

    /// True if a listing of `dir` is kept, or it is known to have failed.
    pub fn knows(&self, dir: DirKey) -> Result<bool, CatalogError> {
        self.0.knows(dir)
    }

    /// The directories whose listing was kept after `commit`, by whichever process, and the highest number so far.
    pub fn since(&self, commit: u64) -> Result<(Vec<DirKey>, u64), CatalogError> {
        self.0.since(commit)
    }

    /// What moved into `folder` as far as its former folder told, or out of it, and was not seen to arrive yet: a listing
    /// of it without these leaves the question of where they are.
    pub fn expected(&self, folder: FolderId) -> Result<Vec<ObjectId>, CatalogError> {
        self.journal().expected(DirKey::folder(folder))
    }

    /// What the journal told to be in `dir`: what is not in its next listing has left, whether or not the catalog, which
    /// may have been deleted, knew of it.
    pub fn told_in(&self, dir: DirKey) -> Result<Vec<ObjectId>, CatalogError> {
        self.journal().told_in(dir)
    }

    /// Where this object is listed.
    pub fn find(&self, guid: Guid) -> Result<Vec<Sighting>, CatalogError> {
        self.0.find(guid)
    }

    /// Bytes and entries known, over all listings kept. Does not block: kept up to date in memory, with what this
    /// process writes at once, and with what others do at the next [`Catalog::since`].
    pub fn totals(&self) -> (u64, u64) {
        self.0.totals()
    }

    /// What was seen of the server, or kept for a later start, under `key`.
    pub fn fact(&self, key: &str) -> Result<Option<String>, CatalogError> {
        self.0.fact(key)
    }

    /// Keeps a fact.
    pub fn set_fact(&self, key: &str, value: &str) -> Result<(), CatalogError> {
        self.0.set_fact(key, value)
    }

    /// What downloads told of contents and their listings did not: the listed tag, and the true one.
    pub fn amendments(&self) -> Result<Vec<(DocumentId, ContentTag, ContentTag)>, CatalogError> {
        self.0.amendments()
    }

    /// Keeps an amendment; `None` forgets it.
    pub fn set_amendment(
        &self,
        document: DocumentId,
        amendment: Option<(ContentTag, ContentTag)>,
    ) -> Result<(), CatalogError> {
        self.0.set_amendment(document, amendment)
    }

    /// The identities that lost their first inode number to another one.
    pub fn salts(&self) -> Result<Vec<(String, u32)>, CatalogError> {
        self.0.salts()
    }

    /// Keeps a salt.
    pub fn set_salt(&self, identity: &str, salt: u32) -> Result<(), CatalogError> {
        self.0.set_salt(identity, salt)
    }

    /// Notes that listing or reading `object` failed, or (`None`) works again. A refusal, and its end, is journalled.
    ///
    /// Costs a look where there is nothing to note.
    pub fn note_trouble(&self, object: Guid, trouble: Option<&Trouble>) -> Result<(), CatalogError> {
        self.0.note_trouble(object, trouble)
    }

    /// Every folder that something left for another one, which was not seen to have it yet, with that one.
    pub fn on_their_way(&self) -> Result<Vec<(DirKey, DirKey)>, CatalogError> {
        self.journal().on_their_way()
    }

    /// The objects that the server refused the last time. Reads all that are.
    pub fn refused(&self) -> Result<HashSet<Guid>, CatalogError> {
        self.0.refused()
    }

    /// The last failure of `object`, while it lasts.
    pub fn trouble(&self, object: Guid) -> Result<Option<Trouble>, CatalogError> {
        self.0.trouble(object)
    }

    /// The folders whose listing is oldest, at most `limit`, with when each was last asked for and last changed.
    pub fn oldest(&self, limit: usize) -> Result<Vec<(FolderId, Stamp, Timestamp)>, CatalogError> {
        self.0.oldest(limit)
    }

    /// The folders at or below `top` in the catalog, breadth first; `None` as a stamp for one that is listed by its
    /// parent and was never listed itself.
    pub fn below(&self, top: FolderId) -> Result<Vec<(FolderId, Option<Stamp>)>, CatalogError> {
        self.0.below(top)
    }

    /// Catalog and journal at one moment, for as long as `look` takes; others go on writing meanwhile, and what they write
    /// takes room until it ends.
    pub fn snapshot<T, E: From<CatalogError>>(
        &self,
        look: impl FnOnce(&Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.snapshot(look)
    }

    /// Gives back the memory in which its databases keep parts of their files. Blocks while one is written.
    pub fn release_memory(&self) {
        self.0.release_memory();
    }

    /// Closes its databases: who asks later gets [`CatalogError::Closed`], and no file is made anew.
    pub fn close(&self) {
        self.0.close();
    }

    /// The attributes of documents.
    pub fn attributes(&self) -> &AttributeStore {
        self.0.attributes()
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        self.0.journal()
    }

    /// The directory of its files, for a lock and a socket beside it.
    pub fn dir(&self) -> &Path {
        self.0.dir()
    }

    /// Where a catalog or journal that turned out to be damaged since it was opened was put aside; to be said once.
    pub fn take_set_aside(&self) -> Vec<PathBuf> {
        self.0.take_aside()
    }
}

/// The directory of `id`, where `root` is the key of the mount's own root.
pub const fn key_of(dir: DirId, root: DirKey) -> DirKey {
    match dir {
        DirId::Root => root,
        DirId::Folder(folder) => DirKey::folder(folder),
    }
}

/// Whose it is, in words for support.
fn about(id: &CatalogId) -> [(&'static str, String); 3] {
    [
        ("issuer", id.issuer.clone()),
        ("account", id.account.clone()),
        ("datasource", id.datasource.clone()),
    ]
}

#[cfg(test)]
mod tests;
