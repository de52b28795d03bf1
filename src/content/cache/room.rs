//! What may be written: room under the cap, room on the disk, and a disk that takes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::time::Instant;

use super::CacheOptions;
use super::account::Account;
use super::count;
use super::eviction::{self, Wanted};
use super::filler::Refusal;
use super::folder::{Folder, Temporary};
use super::index::{Index, Reserved};
use super::live::Live;
use super::upkeep::Task;
use crate::content::ContentKey;
use crate::database::DatabaseError;
use crate::sync::Mutex;

/// How long the disk is left alone after it failed.
///
/// Each try costs a download that is thrown away; a person who makes room sees the cache work again soon.
const DISK_REST: Duration = Duration::from_secs(30);

/// How long no whole document is begun after no room could be made: each try costs a download that is thrown away.
const CROWDED: Duration = Duration::from_secs(5);

/// What is reserved at once for a file that goes on growing, in bytes: one write to the index for sixteen blocks.
const AHEAD: u64 = 16 << 20;

/// How often room is looked for before a write is refused. Others may be faster in taking what was made.
const TRIES: usize = 4;

/// How long one that needs room waits for another that is making some.
const WAIT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) folder: Arc<Folder>,
    pub(super) index: Index,
    pub(super) live: Live,
    options: CacheOptions,
    /// What was reserved in all when that was last seen.
    total: AtomicU64,
    /// Until when the disk is left alone.
    resting: Mutex<Option<Instant>>,
    /// Until when nothing is begun, because no room could be made.
    crowded: Mutex<Option<Instant>>,
    warned: AtomicBool,
    /// Held by who evicts.
    evicting: Mutex<()>,
    tasks: Sender<Task>,
}

impl Room {
    pub(super) fn new(folder: Arc<Folder>, options: CacheOptions, tasks: Sender<Task>) -> Self {
        Self {
            index: Index::new(folder.root()),
            live: Live::new(tasks.clone()),
            folder,
            options,
            total: AtomicU64::new(0),
            resting: Mutex::new(None),
            crowded: Mutex::new(None),
            warned: AtomicBool::new(false),
            evicting: Mutex::default(),
            tasks,
        }
    }

    /// Forgets the left-over files that were `removed`, cleans up, and counts where that is needed. Blocks.
    pub(super) fn begin(&self, removed: &[String]) {
        self.folder.remove_former();
        let known = || {
            if !removed.is_empty() {
                self.index.remove(removed.iter().map(String::as_str))?;
            }
            self.index.totals()
        };
        // A cache that was never written to needs no index yet.
        if !self.index.exists() && self.folder.is_empty() {
            return;
        }
        match known() {
            Ok(totals) => {
                self.total.store(totals.bytes, Ordering::Relaxed);
                if !totals.counted {
                    self.count();
                }
            }
            Err(error) => self.index_failed(&error),
        }
    }

    /// True where a file of `bytes` may be written, although something may have to be evicted for it. False while the disk
    /// is left alone after it failed, and, for more than nothing, for a moment after no room could be made. Asks nobody but
    /// the file system's own counters.
    pub(super) fn has(&self, bytes: u64) -> bool {
        let is_crowded = || self.crowded.lock().is_some_and(|until| Instant::now() < until);
        if self.is_resting() || (bytes > 0 && is_crowded()) {
            return false;
        }
        if bytes > self.options.max_bytes {
            self.warn_once(&format!(
                "{bytes} bytes are more than the cache may hold, which are {}",
                self.options.max_bytes
            ));
            return false;
        }
        let free = match self.folder.free() {
            Ok(free) => free,
            Err(error) => {
                self.disk_failed(&error);
                return false;
            }
        };
        let ours = self.total.load(Ordering::Relaxed);
        let room = free.saturating_add(ours).saturating_sub(self.options.free_floor) >= bytes;
        if !room {
            self.warn_floor(free);
        }
        room
    }

    fn is_resting(&self) -> bool {
        self.resting.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Lets a file take `bytes` more: makes room where there is none. Blocks, for some seconds at most.
    pub(super) fn spend(&self, account: &Account, bytes: u64) -> Result<(), Refusal> {
        for _ in 0..TRIES {
            let wanted = match self.try_spend(account, bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(wanted)) => wanted,
                Err(Lack::Index(error)) => {
                    self.index_failed(&error);
                    return Err(Refusal::NoRoom);
                }
                Err(Lack::Disk(error)) => {
                    self.disk_failed(&error);
                    return Err(Refusal::Disk(error));
                }
                Err(Lack::Uncounted) => {
                    if !self.count_nothing() {
                        let _ = self.tasks.send(Task::Count);
                        return Err(Refusal::NoRoom);
                    }
                    continue;
                }
            };
            if self.is_resting() || self.evict(wanted) == 0 {
                break;
            }
        }
        *self.crowded.lock() = Some(Instant::now() + CROWDED);
        self.warn_once("there is no room, and nothing may be evicted");
        Err(Refusal::NoRoom)
    }

    /// `Some` where so much must be evicted first.
    fn try_spend(&self, account: &Account, bytes: u64) -> Result<Option<Wanted>, Lack> {
        let mut state = account.state.lock();
        let spent = state.spent.saturating_add(bytes);
        let after = account.needed(spent);
        if after <= state.held {
            state.spent = spent;
            return Ok(None);
        }
        let ahead = account.needed(after.saturating_add(AHEAD));
        let free = self.folder.free().map_err(Lack::Disk)?;
        let spare = free.saturating_sub(self.options.free_floor);
        let mut lacking = 0;
        for hold in [ahead, after] {
            // What was held and not spent is still free on the disk.
            let more = hold - state.spent.min(hold);
            if more > spare {
                lacking = more - spare;
                continue;
            }
            match self.index.reserve(&account.about, hold, self.options.max_bytes)? {
                Reserved::Done(total) => {
                    state.held = hold;
                    state.spent = spent;
                    drop(state);
                    self.reserved(total);
                    return Ok(None);
                }
                Reserved::Over(excess) => lacking = excess,
                Reserved::Uncounted => return Err(Lack::Uncounted),
            }
        }
        drop(state);
        if spare.saturating_add(self.total.load(Ordering::Relaxed)) < bytes {
            self.warn_floor(free);
            return Ok(Some(Wanted::NOTHING));
        }
        Ok(Some(Wanted(lacking)))
    }

    fn reserved(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        if total > self.high() {
            let _ = self.tasks.send(Task::MakeRoom);
        }
    }

    /// From here on room is made ahead of time.
    const fn high(&self) -> u64 {
        self.options.max_bytes / 16 * 15
    }

    /// Makes room before somebody waits for it.
    pub(super) fn make_room_ahead(&self) {
        match self.index.totals() {
            Ok(totals) if totals.bytes > self.high() => {
                self.evict(Wanted(totals.bytes - self.options.max_bytes / 8 * 7));
            }
            Ok(_) => {}
            Err(error) => self.index_failed(&error),
        }
    }

    /// Evicts as much as is wanted, as far as that is possible; returns how many bytes that was.
    pub(super) fn evict(&self, wanted: Wanted) -> u64 {
        if wanted == Wanted::NOTHING {
            return 0;
        }
        let Some(_evicting) = self.evicting.try_lock_for(WAIT) else {
            return 0;
        };
        self.note_uses();
        match eviction::evict(self, wanted) {
            Ok(freed) => freed,
            Err(error) => {
                self.index_failed(&error);
                0
            }
        }
    }

    /// Lets what is reserved for a file on its way be that of an entry, which has a map besides.
    pub(super) fn transfer(&self, data: &Temporary, account: &Account) -> io::Result<()> {
        if let Some(own) = data.account() {
            let more = account.most.saturating_sub(own.state.lock().spent);
            if more > 0 {
                self.spend(own, more).map_err(|refusal| match refusal {
                    Refusal::Disk(error) => error,
                    Refusal::NoRoom | Refusal::Elsewhere(_) => io::ErrorKind::QuotaExceeded.into(),
                })?;
            }
        }
        let moved = self.index.arrived(&data.name(), &account.about, account.most);
        moved.map_err(|error| {
            self.index_failed(&error);
            io::Error::from(io::ErrorKind::QuotaExceeded)
        })
    }

    /// Evicts a content after all that can be fetched again.
    pub(super) fn keep_longer(&self, key: &ContentKey) {
        if self.index.exists()
            && let Err(error) = self.index.keep_longer(&self.folder.paths(key).name)
        {
            self.index_failed(&error);
        }
    }

    /// Gives back what is held for a file and not spent.
    pub(super) fn settle(&self, account: &Account) {
        let mut state = account.state.lock();
        let needed = account.needed(state.spent);
        if state.held == needed {
            return;
        }
        match self.index.reserve(&account.about, needed, u64::MAX) {
            Ok(Reserved::Done(total)) => {
                state.held = needed;
                self.total.store(total, Ordering::Relaxed);
            }
            Ok(Reserved::Over(_) | Reserved::Uncounted) => {}
            Err(error) => self.index_failed(&error),
        }
    }

    /// Gives back what blocks took that were taken away.
    pub(super) fn freed(&self, account: &Account, bytes: u64) {
        let mut state = account.state.lock();
        state.spent = state.spent.saturating_sub(bytes);
        // What is spent beside this is not given back. Where nobody fills the file, nothing is known of it but this.
        let given = if state.held == 0 {
            bytes
        } else {
            bytes.min(state.held.saturating_sub(account.needed(state.spent)))
        };
        state.held -= given.min(state.held);
        if let Err(error) = self.index.lower(&account.about.name, given) {
            self.index_failed(&error);
        }
    }

    /// Forgets a file that is gone.
    pub(super) fn gone(&self, name: &str) {
        if self.index.exists()
            && let Err(error) = self.index.remove([name])
        {
            self.index_failed(&error);
        }
    }

    /// Notes what was used.
    pub(super) fn note_uses(&self) {
        let uses = self.live.take_uses();
        // A cache that was deleted is not made again for that.
        if !uses.is_empty()
            && self.index.exists()
            && let Err(error) = self.index.note_uses(&uses)
        {
            tracing::debug!(%error, "what was used could not be noted");
        }
    }

    /// Counts the files anew after the index was lost.
    pub(super) fn count(&self) {
        match count::count(&self.folder, &self.index) {
            Ok(Some(total)) => self.total.store(total, Ordering::Relaxed),
            Ok(None) => {}
            Err(error) => self.index_failed(&error),
        }
    }

    /// Ends the count at once where there is nothing to count.
    fn count_nothing(&self) -> bool {
        self.folder.is_empty() && self.index.all_counted().is_ok()
    }

    fn index_failed(&self, error: &DatabaseError) {
        self.warn_once(&error.to_string());
    }

    /// Leaves the disk alone for a while, and says so once.
    pub(super) fn disk_failed(&self, error: &io::Error) {
        // A refusal of ours, and said already.
        if error.kind() == io::ErrorKind::QuotaExceeded {
            return;
        }
        *self.resting.lock() = Some(Instant::now() + DISK_REST);
        self.warn_once(&error.to_string());
    }

    /// The disk took something: the next failure is worth a word again.
    pub(super) fn works(&self) {
        self.warned.store(false, Ordering::Relaxed);
    }

    fn warn_floor(&self, free: u64) {
        self.warn_once(&format!(
            "{free} bytes are free and {} are to be left so",
            self.options.free_floor
        ));
    }

    fn warn_once(&self, why: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, path = %self.folder.entries().display(), "documents are read without the cache");
        }
    }
}

/// Why nothing can be reserved now.
enum Lack {
    Index(DatabaseError),
    Disk(io::Error),
    Uncounted,
}

impl From<DatabaseError> for Lack {
    fn from(error: DatabaseError) -> Self {
        Self::Index(error)
    }
}
