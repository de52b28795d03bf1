//! The superblock: which inode is which remote object, and every directory's listing with its freshness.
//!
//! Keeping a remote tree is simple until you consider that:
//! 1. a listing costs many round trips, and ten callers may want it at once;
//! 2. a caller must be answered in time although the server is slow, and the work must not be lost with it;
//! 3. the server may be away, or refuse, and neither is the same as "nothing there";
//! 4. the kernel remembers what it was told, longer than it should.
//!
//! One flight per directory answers 1 and 2: it runs on its own, callers wait for it as long as they may, and
//! who comes later joins it. [`TreeError`] keeps 3 apart all the way up; only a proved listing makes a name absent.
//! [`Invalidations`] and [`Lapses`] answer 4.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::catalog::{Catalog, DirKey};
use crate::clock::{Clock, Moment};
use crate::model::{
    ContentTag, DirId, Document, DocumentId, Entry, Folder, FolderId, Guid, ObjectId, Timestamp,
};
use crate::remote::{Progress, Remote, RemoteError, Urgency};
use crate::store::listing::{Placeholders, Row};
use crate::store::{MetadataStore, StoredListing};

mod ahead;
mod announce;
mod commit;
mod flight;
mod freshen;
pub mod inodes;
pub mod invalidation;
mod keep;
mod known;
pub mod lapse;
mod led;
mod proof;
mod relist;
mod subtree;
mod told;
pub mod usage;
mod walk;

pub use ahead::Reading;
use commit::Commits;
use flight::{Flight, FlightResult, Flights};
pub use freshen::Freshened;
use inodes::{Directory, Inode, InodeNo, InodeTable, ROOT_DIRECTORY, Target};
use invalidation::Invalidations;
pub use keep::Kept;
use lapse::{Lapse, Lapses};
pub use led::{Lead, Written};
pub use subtree::{HeldFolder, Together};
use usage::Usage;
use walk::Walks;

/// What to answer while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOutage {
    /// The last proved listing, up to `max_stale` old.
    #[default]
    Stale,
    /// An error.
    Fail,
}

/// A folder the mount shows at its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenFolder {
    /// The folder as it was found when it was chosen; the name is the one to show.
    pub folder: Folder,
}

/// The tree's rules.
#[derive(Debug, Clone)]
pub struct TreeConfig {
    /// The folders to show; empty for the datasource's root folders.
    pub chosen: Vec<ChosenFolder>,
    /// No answer is older while the server answers; `None` takes any age.
    pub metadata_ttl: Option<Duration>,
    /// What to answer while the server is away.
    pub on_outage: OnOutage,
    /// The oldest listing an outage may be bridged with.
    pub max_stale: Duration,
    /// How long a refusal is remembered.
    pub permission_ttl: Duration,
    /// How long an emptied folder is given before it is asked again.
    pub confirm_after: Duration,
    /// How long a caller waits for a refresh, and for the next page of a first listing.
    pub deadline: Duration,
    /// How long a caller waits for a first listing whose pages keep coming.
    pub first_listing_deadline: Duration,
    /// How to show what has no file.
    pub placeholders: Placeholders,
    /// About how much memory the listings may take, in bytes.
    pub memory: u64,
    /// Whether a listing makes room as soon as the kernel forgets its directory. For a tree whose listings are kept
    /// elsewhere, too: its memory then follows what the kernel's own caches may take.
    pub release_forgotten: bool,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            chosen: Vec::new(),
            metadata_ttl: Some(Duration::from_mins(5)),
            on_outage: OnOutage::Stale,
            max_stale: Duration::from_hours(7 * 24),
            permission_ttl: Duration::from_mins(5),
            confirm_after: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            first_listing_deadline: Duration::from_mins(2),
            placeholders: Placeholders::Hide,
            // Some ninety thousand entries: more than the folders in use, and little beside what a desktop's other
            // programs take. What makes room is not lost.
            memory: 64 << 20,
            release_forgotten: false,
        }
    }
}

/// Why the tree has no answer. Never means that something does not exist.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TreeError {
    /// The server failed, refuses or is away.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The caller's time is up; the work goes on and the next call joins it.
    #[error("the listing did not arrive in time; it is still being fetched")]
    TimedOut,
    /// The server contradicts itself.
    #[error("the server's listing cannot be proved complete: {0}")]
    Unproved(String),
    /// The object has left its folder.
    #[error("it is no longer in its folder")]
    Gone,
}

impl TreeError {
    const fn is_outage(&self) -> bool {
        match self {
            Self::Remote(error) => error.is_outage(),
            Self::TimedOut | Self::Unproved(_) => true,
            Self::Gone => false,
        }
    }
}

/// A directory's listing, as it may be answered now.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The listing and the generations before.
    pub stored: Arc<StoredListing>,
    /// How long the kernel may keep the answer.
    pub ttl: Duration,
    /// True while the server could not be asked and an older listing stands in.
    pub stale: bool,
}

/// What is known of a content beyond what its listing says.
#[derive(Debug, Clone, Copy)]
struct Amendment {
    listed: ContentTag,
    actual: ContentTag,
}

/// How long a failed refresh answers for the next callers: long enough that a directory read in a hundred pieces
/// does not ask a dead server a hundred times, short enough that nobody notices when it is back.
const FAILURE_MEMORY: Duration = Duration::from_secs(2);

/// The shortest time the kernel is told to keep what stands in during an outage.
const STALE_TTL: Duration = Duration::from_secs(1);

/// How long a listing answers after it arrived, however long it took: a directory read in a hundred pieces is one
/// question.
const BURST: Duration = Duration::from_secs(1);

/// How long anyone waits for a server that has not answered since the start: with the moment the start itself waited, a
/// mount without a network shows its root within a second.
const UNANSWERED_PATIENCE: Duration = Duration::from_millis(400);

/// The longest time the kernel is told to keep anything.
const LONGEST_TTL: Duration = Duration::from_hours(1);

/// The tree; cheap to clone.
#[derive(Clone)]
pub struct Tree(Arc<Inner>);

struct Inner {
    /// Itself, for work that outlives a call.
    this: Weak<Self>,
    /// Where listings are kept; `None` where they are in memory only.
    catalog: Option<Catalog>,
    /// What the mount's own root is in the catalog.
    root_key: DirKey,
    /// The newest write that was there before this tree: what came after is another process's, or our own.
    first_seen: u64,
    /// No answer of the server has come since a start that did not wait for one.
    unanswered: AtomicBool,
    /// That the catalog fails was said.
    catalog_has_failed: AtomicBool,
    /// Who lists in our place.
    lead: Mutex<Option<Arc<dyn Lead>>>,
    /// Tells of our own writes to the catalog.
    written: broadcast::Sender<Written>,
    remote: Arc<dyn Remote>,
    runtime: Handle,
    config: TreeConfig,
    clock: Clock,
    store: MetadataStore,
    inodes: InodeTable,
    invalidations: Arc<Invalidations>,
    lapses: Lapses,
    flights: Arc<Flights>,
    failures: Mutex<HashMap<DirId, (Moment, TreeError)>>,
    denials: Mutex<HashMap<ObjectId, (Moment, RemoteError)>>,
    /// What was refused and has come back since, until its refusal would have been forgotten: what it shows then is asked for,
    /// too.
    returned: Mutex<HashMap<ObjectId, Moment>>,
    /// What the server refused the last time, as the catalog has it: to be told when it does not any more.
    refused: Mutex<HashSet<Guid>>,
    amendments: Mutex<HashMap<DocumentId, Amendment>>,
    /// What was learnt of the server, as the catalog has it.
    lessons: Mutex<String>,
    usage: Usage,
    walks: Mutex<Walks>,
    /// Told when failures are forgotten.
    forgave: Notify,
    /// When somebody was last answered from an older listing, because the server could not be asked.
    bridged: Mutex<HashMap<DirId, Moment>>,
    /// Held while a listing takes the place of another: reading what is there, building, storing and announcing are
    /// one step.
    commits: Mutex<()>,
    /// Proved listings that are to be put in place.
    arrived: Commits,
    next_generation: AtomicU16,
    /// The root's mtime before it is listed.
    started: Timestamp,
}

impl Tree {
    /// A tree over `remote` that knows nothing yet and keeps nothing; its work runs on `runtime`.
    pub fn new(remote: Arc<dyn Remote>, runtime: &Handle, config: TreeConfig, clock: Clock) -> Self {
        Self::over(remote, runtime, config, clock, None)
    }

    /// A tree over `remote` that begins with what is `kept`, and keeps what it learns there.
    pub fn over(
        remote: Arc<dyn Remote>,
        runtime: &Handle,
        config: TreeConfig,
        clock: Clock,
        kept: Option<Kept>,
    ) -> Self {
        let store = MetadataStore::new(config.memory);
        let (catalog, amendments, first_seen, inodes, lessons, refused) = match kept {
            None => (
                None,
                Vec::new(),
                0,
                InodeTable::default(),
                String::new(),
                HashSet::new(),
            ),
            Some(kept) => {
                let inodes = InodeTable::with_salts(kept.salts);
                inodes.keep_salts(keeping_salts(kept.catalog.clone(), runtime.clone()));
                remote.recall(&kept.lessons);
                (
                    Some(kept.catalog),
                    kept.amendments,
                    kept.head,
                    inodes,
                    kept.lessons,
                    kept.refused,
                )
            }
        };
        let amendments = amendments
            .into_iter()
            .map(|(document, listed, actual)| (document, Amendment { listed, actual }))
            .collect();
        let tree = Self(Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            catalog,
            root_key: root_key(&config.chosen),
            first_seen,
            unanswered: AtomicBool::new(false),
            catalog_has_failed: AtomicBool::new(false),
            lead: Mutex::default(),
            written: broadcast::Sender::new(led::WRITES_REMEMBERED),
            remote,
            runtime: runtime.clone(),
            config,
            clock,
            store,
            inodes,
            invalidations: Arc::default(),
            lapses: Lapses::default(),
            flights: Arc::default(),
            failures: Mutex::default(),
            denials: Mutex::default(),
            returned: Mutex::default(),
            refused: Mutex::new(refused),
            amendments: Mutex::new(amendments),
            lessons: Mutex::new(lessons),
            usage: Usage::default(),
            walks: Mutex::default(),
            forgave: Notify::new(),
            bridged: Mutex::default(),
            commits: Mutex::default(),
            arrived: Commits::default(),
            next_generation: AtomicU16::new(0),
            started: Timestamp::now(),
        }));
        let watched = Arc::downgrade(&tree.0);
        runtime.spawn(async move {
            while let Some(inner) = watched.upgrade() {
                inner.forget_expired();
                let next = inner.drop_lapsed();
                let sleep = next.map_or(LONGEST_TTL, |next| next.since(inner.clock.now()));
                // Short enough that a suspended machine, whose timers stood still, is soon right again.
                let sleep = sleep.clamp(Duration::from_millis(1), Duration::from_secs(5));
                tokio::select! {
                    () = tokio::time::sleep(sleep) => {}
                    () = inner.lapses.sooner() => {}
                }
            }
        });
        tree
    }

    /// What the kernel must be told to drop.
    pub fn invalidations(&self) -> &Arc<Invalidations> {
        &self.0.invalidations
    }

    /// The inode table.
    pub fn inodes(&self) -> &InodeTable {
        &self.0.inodes
    }

    /// Takes back `count` references the kernel had to `ino`.
    pub fn forget(&self, ino: InodeNo, count: u64) {
        let Some(forgotten) = self.0.inodes.forget(ino, count) else {
            return;
        };
        if let Target::Directory(directory, _) = forgotten.target {
            self.0.lapses.forget(ino);
            if self.0.config.release_forgotten {
                self.0.store.release(directory.id);
            }
        }
    }

    /// Drops what was kept for directories the kernel has forgotten since, here and by the catalog. Blocks.
    pub fn settle(&self) {
        self.0.store.settle();
        if let Some(catalog) = &self.0.catalog {
            catalog.release_memory();
        }
    }

    /// The document server.
    pub fn remote(&self) -> &Arc<dyn Remote> {
        &self.0.remote
    }

    /// Bytes and entries known.
    pub fn totals(&self) -> (u64, u64) {
        match &self.0.catalog {
            Some(catalog) => catalog.totals(),
            None => self.0.store.totals(),
        }
    }

    /// The listing of `directory`: fresh, or refreshed first, or standing in during an outage.
    pub async fn list(&self, directory: Directory) -> Result<Listed, TreeError> {
        let dir = directory.id;
        self.0.usage.note(dir, self.0.clock.now());
        if let Some(listed) = self.fresh(dir) {
            return Ok(listed);
        }
        self.0.recall(dir).await;
        if let Some(listed) = self.fresh(dir) {
            return Ok(listed);
        }
        if let Some(denial) = self.denial(dir) {
            return Err(denial.into());
        }
        let failed = self.recent_failure(dir);
        let result = match failed {
            Some(error) => Err(error),
            None => {
                let flight = self.flight(dir, false, Urgency::Interactive);
                self.await_flight(&flight, self.0.store.get(dir).is_some()).await
            }
        };
        match result {
            Ok(stored) => Ok(self.listed(stored)),
            Err(error) => self.bridge(dir, error),
        }
    }

    /// Says that the server was asked and has not answered yet: until it does, callers whose answer can be bridged wait
    /// half a second for a newer one and no longer.
    pub fn presume_away(&self) {
        self.0.unanswered.store(true, Ordering::Relaxed);
    }

    /// Whether there is a listing of `directory`, in memory or in the catalog, that can be answered with during an outage.
    pub async fn is_known(&self, directory: Directory) -> bool {
        self.0.recall(directory.id).await;
        self.0
            .store
            .get(directory.id)
            .is_some_and(|stored| self.0.clock.now().since(stored.arrival.fetched) <= self.0.config.max_stale)
    }

    /// The listing of `directory` as it is held, whatever its age; never waits.
    pub fn held(&self, directory: Directory) -> Option<Arc<StoredListing>> {
        self.0.store.get(directory.id)
    }

    /// Lists `directory` anew, however fresh it is.
    pub async fn relist(&self, directory: Directory) -> Result<Listed, TreeError> {
        self.forget_trouble(directory.id);
        let held = self.0.store.get(directory.id).is_some();
        let anew = self.0.flights.next_number();
        loop {
            let flight = self.flight(directory.id, true, Urgency::Interactive);
            let result = self.await_flight(&flight, held).await;
            // One that was under way may have asked before whatever the caller knows of.
            if flight.is_new(anew) || matches!(result, Err(TreeError::TimedOut)) {
                return result.map(|stored| self.listed(stored));
            }
        }
    }

    /// Forgets that `dir` was refused, or failed: it is to be asked for again.
    fn forget_trouble(&self, dir: DirId) {
        self.0.denials.lock().remove(&dir_object(dir));
        self.0.failures.lock().remove(&dir);
    }

    /// Forgets what failed a moment ago: what was missing then has come.
    pub fn forget_failures(&self) {
        self.0.failures.lock().clear();
        self.0.forgave.notify_one();
    }

    /// How old the listing of `directory` is, and when it was fetched.
    pub fn age(&self, directory: Directory) -> Option<(Duration, Timestamp)> {
        let stored = self.0.store.get(directory.id)?;
        let arrival = &stored.arrival;
        Some((self.0.clock.now().since(arrival.fetched), arrival.fetched_at))
    }

    /// The inode of a row of `directory`.
    pub fn resolve(&self, directory: Directory, row: &Row) -> Inode {
        self.0.resolve(directory, row)
    }

    /// The inode of a directory that was reached before.
    pub fn directory_inode(&self, directory: Directory) -> Inode {
        let ino = self.0.directory_ino(directory);
        self.0.inodes.get(ino).unwrap_or(Inode {
            ino,
            parent: ROOT_DIRECTORY,
            target: Target::Directory(directory, None),
        })
    }

    /// How long what is held of `directory` may still be kept; `None` where that is no longer fresh.
    pub fn freshness(&self, directory: Directory) -> Option<Duration> {
        self.fresh(directory.id).map(|listed| listed.ttl)
    }

    /// A directory's mtime: when its listing last changed.
    pub fn mtime(&self, inode: &Inode) -> Timestamp {
        let Target::Directory(directory, _) = &inode.target else {
            return Timestamp::UNIX_EPOCH;
        };
        match self.0.store.get(directory.id) {
            Some(stored) => stored.listing.changed,
            None => match self.0.store.residue(directory.id) {
                Some(residue) => residue.changed,
                None => inode.unlisted_mtime().unwrap_or(self.0.started),
            },
        }
    }

    /// Notes that the kernel was given the listing of `ino`, so that it is told when that gets too old.
    pub fn note_given(&self, ino: InodeNo, directory: Directory, listed: &Listed) {
        if self.0.config.metadata_ttl.is_some() || listed.stale {
            // Never at once: the kernel must have the listing before it is told to drop it.
            let at = self.0.clock.now().plus(listed.ttl.max(STALE_TTL));
            self.0.lapses.note(Lapse { at, ino, directory });
        }
    }

    /// Whether `tag` is still what the document's listing says; `None` where no listing is held or it is not in it.
    pub fn is_current(&self, inode: &Inode) -> Option<bool> {
        let version = inode.version()?;
        let stored = self.0.store.get(inode.parent.id)?;
        let row = stored.listing.find(ObjectId::Document(version.id))?;
        Some(self.tag(row) == Some(version.tag))
    }

    /// The content tag of a row, with the length if that was learnt since it was listed.
    pub fn tag(&self, row: &Row) -> Option<ContentTag> {
        match (&*row.entry, row.tag) {
            (Entry::Document(document), Some(tag)) if tag.size.is_none() => Some(self.0.tag(document)),
            (Entry::Document(_) | Entry::Folder(_), tag) => tag,
        }
    }

    /// The content tag of a document as the server describes it now, with what downloads told of it.
    pub fn tag_of(&self, document: &Document) -> ContentTag {
        self.0.tag(document)
    }

    /// Says how long a document is whose listing does not. Nobody was told anything else before, so nothing changes.
    pub async fn learn(&self, document: &Document, actual: ContentTag) {
        let (id, listed) = (document.id, document.content_tag(0));
        self.0.amendments.lock().insert(id, Amendment { listed, actual });
        self.0
            .on_disk(move |inner| inner.keep_amendment(id, Some((listed, actual))))
            .await;
    }

    /// The refusal remembered for this object.
    pub fn refusal(&self, id: ObjectId) -> Option<RemoteError> {
        let mut denials = self.0.denials.lock();
        let (until, _) = denials.get(&id)?;
        if *until <= self.0.clock.now() {
            denials.remove(&id);
            return None;
        }
        denials.get(&id).map(|(_, refusal)| refusal.clone())
    }

    /// Remembers that the server refuses this object, for who asks next, and in the catalog.
    pub async fn refuse(&self, id: ObjectId, refusal: RemoteError) {
        let text = refusal.to_string();
        self.0.refuse(id, refusal);
        self.0.refused.lock().insert(id.guid());
        self.0
            .on_disk(move |inner| inner.note_trouble(id, text, true))
            .await;
    }

    /// The server gave what is in this object. Costs nothing where it did so before.
    pub async fn grant(&self, id: ObjectId) {
        if self.0.refused.lock().remove(&id.guid()) {
            self.0.on_disk(move |inner| inner.clear_trouble(id)).await;
        }
    }

    /// Says what a download told of a content and its listing did not: the name then leads to a new inode.
    pub async fn amend(&self, directory: Directory, document: &Document, actual: ContentTag) {
        self.learn(document, actual).await;
        self.0.on_disk(move |inner| inner.rebuild(directory.id)).await;
    }

    /// After the server said that `object` is not there: is it still listed in `directory`?
    ///
    /// A server hides what may not be seen. What is still listed is denied; what is not has gone.
    pub async fn is_listed(&self, directory: Directory, object: ObjectId) -> Result<bool, TreeError> {
        // A proved listing without it has the answer already.
        if let Some(listed) = self.fresh(directory.id)
            && listed.stored.listing.find(object).is_none()
        {
            return Ok(false);
        }
        // Somebody waits who has waited before; a long first listing would be too much.
        match tokio::time::timeout(self.0.config.deadline, self.relist(directory)).await {
            Ok(listed) => Ok(listed?.stored.listing.find(object).is_some()),
            Err(_) => Err(TreeError::TimedOut),
        }
    }

    fn listed(&self, stored: Arc<StoredListing>) -> Listed {
        let now = self.0.clock.now();
        let left = match self.0.config.metadata_ttl {
            None => LONGEST_TTL,
            Some(ttl) => {
                let burst = BURST.min(ttl).saturating_sub(now.since(stored.arrival.landed));
                ttl.saturating_sub(now.since(stored.arrival.fetched)).max(burst)
            }
        };
        Listed {
            stored,
            ttl: left.min(LONGEST_TTL),
            stale: false,
        }
    }

    fn fresh(&self, dir: DirId) -> Option<Listed> {
        let listed = self.listed(self.0.store.get(dir)?);
        (!listed.ttl.is_zero()).then_some(listed)
    }

    /// Answers an outage from the last proved listing, where that is wanted and not too old.
    fn bridge(&self, dir: DirId, error: TreeError) -> Result<Listed, TreeError> {
        if !error.is_outage() || self.0.config.on_outage == OnOutage::Fail {
            return Err(error);
        }
        let Some(stored) = self.0.store.get(dir) else {
            return Err(error);
        };
        let now = self.0.clock.now();
        if now.since(stored.arrival.fetched) > self.0.config.max_stale {
            return Err(error);
        }
        self.0.bridged.lock().insert(dir, now);
        tracing::debug!(?dir, %error, "answering from the last proved listing");
        Ok(Listed {
            stored,
            ttl: STALE_TTL,
            stale: true,
        })
    }

    fn denial(&self, dir: DirId) -> Option<RemoteError> {
        self.refusal(dir_object(dir))
    }

    fn recent_failure(&self, dir: DirId) -> Option<TreeError> {
        let failures = self.0.failures.lock();
        let (until, error) = failures.get(&dir)?;
        (*until > self.0.clock.now()).then(|| error.clone())
    }

    /// The flight that lists `dir`: the one under way, or a new one, as urgent as the most urgent of those who want it.
    /// `anew`: a new one has the server asked, whatever another process may have listed a moment ago.
    fn flight(&self, dir: DirId, anew: bool, urgency: Urgency) -> Flight {
        let inner = self.0.clone();
        let work = move |told: Progress| async move { inner.fetch(dir, anew, &told).await };
        self.0.flights.join(dir, anew, urgency, &self.0.runtime, work)
    }

    /// Waits for a flight as long as its caller may.
    async fn await_flight(&self, flight: &Flight, held: bool) -> FlightResult {
        let (config, now) = (&self.0.config, Instant::now());
        let end = if held && self.0.unanswered.load(Ordering::Relaxed) && config.on_outage == OnOutage::Stale
        {
            now + UNANSWERED_PATIENCE
        } else if held {
            // Something can stand in, so nobody waits for a flight that others have waited for in vain.
            flight.wanted_since().max(now - config.deadline) + config.deadline
        } else {
            now + config.first_listing_deadline
        };
        flight.wait(end, config.deadline).await
    }
}

/// Keeps a salt without holding up whoever asked for the inode.
fn keeping_salts(catalog: Catalog, runtime: Handle) -> impl Fn(&str, u32) + Send + Sync {
    move |identity, salt| {
        let (catalog, identity) = (catalog.clone(), identity.to_owned());
        runtime.spawn_blocking(move || {
            if let Err(error) = catalog.set_salt(&identity, salt) {
                tracing::warn!(%error, "an inode number may be another one after a restart");
            }
        });
    }
}

/// What the root of a mount that shows `chosen` is in the catalog.
fn root_key(chosen: &[ChosenFolder]) -> DirKey {
    if chosen.is_empty() {
        return DirKey::ROOTS;
    }
    let folders: Vec<(FolderId, &str)> = chosen
        .iter()
        .map(|chosen| (chosen.folder.id, chosen.folder.name.as_str()))
        .collect();
    DirKey::chosen(&folders)
}

/// The object whose refusal stands for a directory's; the root is nobody's.
const fn dir_object(dir: DirId) -> ObjectId {
    match dir {
        DirId::Root => ObjectId::Folder(FolderId(Guid::from_bytes([0; 16]))),
        DirId::Folder(folder) => ObjectId::Folder(folder),
    }
}

/// The mtime of a directory nobody has listed: the newest time its own properties tell.
fn unlisted_mtime(folder: &Folder) -> Timestamp {
    folder.updated.or(folder.created).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
