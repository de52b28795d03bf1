//! The entries this process has open, and when they were used last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

use super::entry::Entry;
use super::index;
use super::upkeep::Task;
use crate::content::ContentKey;
use crate::sync::{Mutex, RwLock};

/// Entries kept open, so that a warm read is one `pread`; far below the usual limit of 1024 descriptors.
const KEPT: usize = 256;

/// See the module.
pub(super) struct Live {
    /// Those used last, kept open although nobody may be reading them.
    kept: RwLock<HashMap<ContentKey, Arc<Entry>>>,
    /// All that anybody here has open, by the name of their files: nobody opens one twice.
    all: Mutex<HashMap<String, Weak<Entry>>>,
    /// Uses of entries that are not open any more.
    past: Mutex<Vec<(String, u64)>>,
    /// True where the thread knows that there is something to note.
    noted: AtomicBool,
    tasks: Sender<Task>,
}

impl std::fmt::Debug for Live {
    /// Not the entries, which lead back here.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Live {
    pub(super) fn new(tasks: Sender<Task>) -> Self {
        Self {
            kept: RwLock::default(),
            all: Mutex::default(),
            past: Mutex::default(),
            noted: AtomicBool::new(false),
            tasks,
        }
    }

    /// The entry of `key`, if it is among those used last.
    pub(super) fn kept(&self, key: &ContentKey) -> Option<Arc<Entry>> {
        self.kept.read().get(key).cloned()
    }

    /// The entry whose files have this name, if anybody has it open.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Entry>> {
        self.all.lock().get(name).and_then(Weak::upgrade)
    }

    /// Keeps an entry open; returns the one of the same file that is open already where there is one.
    pub(super) fn keep(&self, entry: Entry) -> Arc<Entry> {
        let entry = {
            let mut all = self.all.lock();
            let there = all.get(&entry.paths.name).and_then(Weak::upgrade);
            match there.filter(|there| !there.is_dead() && there.is_of_same_file(&entry)) {
                Some(there) => there,
                None => {
                    // Now and then, so that it costs nothing on the whole.
                    if all.len() == all.capacity() {
                        all.retain(|_, entry| entry.strong_count() > 0);
                    }
                    let entry = Arc::new(entry);
                    all.insert(entry.paths.name.clone(), Arc::downgrade(&entry));
                    entry
                }
            }
        };
        self.used(&entry);
        let mut kept = self.kept.write();
        kept.insert(entry.key.clone(), entry.clone());
        if kept.len() > KEPT
            && let Some(oldest) = kept.values().min_by_key(|entry| entry.last_used()).cloned()
        {
            kept.remove(&oldest.key);
            drop(kept);
            self.remember(&oldest);
        }
        entry
    }

    /// Lets go of an entry that is bad.
    pub(super) fn drop_bad(&self, entry: &Entry) {
        let mut kept = self.kept.write();
        if kept
            .get(&entry.key)
            .is_some_and(|kept| std::ptr::eq(Arc::as_ptr(kept), entry))
        {
            kept.remove(&entry.key);
        }
    }

    /// Closes the entry of this name, unless somebody is using it; false where that is so.
    pub(super) fn close(&self, name: &str) -> bool {
        let Some(entry) = self.named(name) else {
            return true;
        };
        let mut kept = self.kept.write();
        // This one and the kept one: nobody can get a third while both maps are held.
        let all = self.all.lock();
        let own = if kept.get(&entry.key).is_some_and(|kept| Arc::ptr_eq(kept, &entry)) {
            2
        } else {
            1
        };
        if Arc::strong_count(&entry) > own {
            return false;
        }
        if own == 2 {
            kept.remove(&entry.key);
        }
        drop(all);
        drop(kept);
        self.remember(&entry);
        true
    }

    /// Keeps nothing open any more.
    pub(super) fn close_all(&self) {
        let kept = std::mem::take(&mut *self.kept.write());
        for entry in kept.values() {
            self.remember(entry);
        }
    }

    /// Entries that are open now; those used longest ago first.
    pub(super) fn by_use(&self) -> Vec<Arc<Entry>> {
        let mut open: Vec<Arc<Entry>> = self.all.lock().values().filter_map(Weak::upgrade).collect();
        open.sort_by_key(|entry| entry.last_used());
        open
    }

    /// Notes that an entry is used now. Costs a look at the clock.
    pub(super) fn used(&self, entry: &Entry) {
        entry.touch(index::now());
        if !self.noted.swap(true, Ordering::Relaxed) {
            // The thread ends with the cache, and then nobody reads.
            let _ = self.tasks.send(Task::NoteUses);
        }
    }

    /// What was used since this was last asked, and when, in milliseconds since 1970.
    pub(super) fn take_uses(&self) -> Vec<(String, u64)> {
        self.noted.store(false, Ordering::Relaxed);
        let mut uses = std::mem::take(&mut *self.past.lock());
        for entry in self.by_use() {
            if let Some(used) = entry.take_use() {
                uses.push((entry.paths.name.clone(), used));
            }
        }
        uses
    }

    fn remember(&self, entry: &Entry) {
        if let Some(used) = entry.take_use() {
            self.past.lock().push((entry.paths.name.clone(), used));
        }
    }
}
