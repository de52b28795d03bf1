//! Filling, reading and evicting beside each other, under many schedules.

use std::sync::LazyLock;
use std::time::Duration;

use super::super::eviction::Wanted;
use super::*;
use crate::sync::checked::{self, check};

/// Blocks of each document.
const BLOCKS: u64 = 2;

/// Room for two documents, and a bit.
const CAP: u64 = 5 << 20;

/// A cache that is checked: without a thread of its own.
pub(in crate::content) fn at_rest(dir: &Path, max_bytes: u64) -> ContentCache {
    let options = CacheOptions {
        free_floor: 0,
        max_bytes,
    };
    let (cache, begin) = ContentCache::at_rest(dir, Tasks::checked(), options).unwrap();
    cache.room.begin(&begin.removed);
    cache
}

/// A directory in memory, where there is one: a schedule takes milliseconds then.
pub(in crate::content) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

impl ContentCache {
    /// Takes what was used longest ago away, as its thread does.
    pub(in crate::content) fn make_room(&self, bytes: u64) {
        self.room.evict(Wanted(bytes));
    }

    /// Looks that what is reserved is what there is, and that nothing of it is left once everything may go.
    #[track_caller]
    pub(in crate::content) fn check_sums(&self) {
        let dir = self.room.folder.root();
        let reserved = || self.room.index.totals().unwrap().bytes;
        let (before, disk) = (reserved(), room::on_disk(dir));
        assert!(disk <= before, "{disk} bytes are taken and {before} reserved");
        let mut totals = self.room.index.totals().unwrap();
        for _ in 0..100 {
            self.make_room(u64::MAX);
            totals = self.room.index.totals().unwrap();
            if totals.entries == 0 {
                break;
            }
            // A task that has done its work still holds what it worked on.
            shuttle::thread::yield_now();
        }
        assert_eq!((totals.bytes, totals.entries), (0, 0), "of {before}");
        assert_eq!(room::on_disk(dir), 0);
        let temporary: Vec<_> = fs::read_dir(self.room.folder.temporary()).unwrap().collect();
        assert!(temporary.is_empty(), "{temporary:?}");
    }
}

/// Made once: it takes longer than a schedule.
static DOCUMENTS: LazyLock<[Arc<Vec<u8>>; 2]> = LazyLock::new(|| {
    [1, 2].map(|seed| Arc::new(content(seed, BLOCK * usize::try_from(BLOCKS).unwrap() - 1000)))
});

fn etag() -> Arc<str> {
    "\"one\"".into()
}

/// Puts every block and reads each back; other processes and evictions may have it otherwise.
fn fill_and_read(cache: &ContentCache, seed: u8, whole: &[u8]) {
    let total = whole.len() as u64;
    let Ok(filler) = cache.create(&key(seed), total, Some(&etag())) else {
        return;
    };
    for block in 0..BLOCKS {
        if filler.put(BlockIndex(block), block_of(whole, block)).is_err() {
            return;
        }
        read(filler.entry(), block, whole);
    }
    let _ = filler.finish(None);
}

/// Reads a block, which is right or not there.
fn read(entry: &Entry, block: u64, whole: &[u8]) -> bool {
    let own = BlockIndex(block).bytes(whole.len() as u64);
    // Bytes of its end: what is read of a hole, or of a block that is half written, has none of them.
    let range = own.end - 4096..own.end;
    let read = entry.read(&range).unwrap();
    let at = |position| usize::try_from(position).unwrap();
    read.is_some_and(|read| {
        assert!(read == whole[at(range.start)..at(range.end)], "other bytes");
        true
    })
}

fn threads(works: Vec<Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = works.into_iter().map(shuttle::thread::spawn).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// An entry that is being filled, with all its blocks.
fn filled(cache: &ContentCache) -> Arc<Filler> {
    let whole = &DOCUMENTS[0];
    let filler = cache.create(&key(1), whole.len() as u64, Some(&etag())).unwrap();
    for block in 0..BLOCKS {
        filler.put(BlockIndex(block), block_of(whole, block)).unwrap();
    }
    filler
}

fn reads(entry: &Arc<Entry>, block: u64) -> Box<dyn FnOnce() + Send> {
    let entry = entry.clone();
    Box::new(move || {
        for _ in 0..2 {
            read(&entry, block, &DOCUMENTS[0]);
        }
    })
}

fn evicts(entry: &Arc<Entry>) -> Box<dyn FnOnce() + Send> {
    let entry = entry.clone();
    Box::new(move || {
        entry.evict(&[BlockIndex(0), BlockIndex(1)]).unwrap();
    })
}

/// Who reads a block, and who takes it away.
fn an_eviction_beside_a_read() {
    let dir = directory();
    let cache = Arc::new(at_rest(dir.path(), CAP));
    let filler = filled(&cache);
    threads(vec![reads(filler.entry(), 0), evicts(filler.entry())]);
    drop(filler);
    cache.check_sums();
}

/// Who fills an entry, who reads it, who takes blocks away.
fn an_eviction_beside_a_fill() {
    let dir = directory();
    let cache = Arc::new(at_rest(dir.path(), CAP));
    let filler = filled(&cache);
    let entry = filler.entry().clone();
    let fills: Box<dyn FnOnce() + Send> = Box::new(move || {
        for block in 0..BLOCKS {
            let _ = filler.put(BlockIndex(block), block_of(&DOCUMENTS[0], block));
        }
    });
    threads(vec![reads(&entry, 0), reads(&entry, 1), evicts(&entry), fills]);
    drop(entry);
    cache.check_sums();
}

/// Two processes that fill, read and evict what they share, in a cache that is too small.
fn two_processes() {
    let dir = directory();
    let caches = [(); 2].map(|()| Arc::new(at_rest(dir.path(), CAP)));
    let mut works: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for (at, cache) in caches.iter().enumerate() {
        let cache = cache.clone();
        works.push(Box::new(move || {
            for seed in [at, 1 - at] {
                let whole = &DOCUMENTS[seed];
                let seed = u8::try_from(seed).unwrap();
                fill_and_read(&cache, seed, whole);
                if let Some(entry) = cache.entry(&key(seed)) {
                    for block in 0..BLOCKS {
                        read(&entry, block, whole);
                    }
                }
            }
        }));
    }
    let evicting = caches[0].clone();
    works.push(Box::new(move || evicting.make_room(1)));
    threads(works);
    let [one, other] = caches;
    // What it has open nobody takes away.
    drop(other);
    one.check_sums();
}

/// Several that begin and end to fill one entry, of the same file or of another one.
fn fillers_come_and_go() {
    let dir = directory();
    let cache = Arc::new(at_rest(dir.path(), CAP));
    let whole = DOCUMENTS[0].clone();
    let works = (0..3_u8)
        .map(|at| -> Box<dyn FnOnce() + Send> {
            let (cache, whole) = (cache.clone(), whole.clone());
            Box::new(move || {
                if at == 2 {
                    // The file was replaced in place.
                    let other: Arc<str> = "\"two\"".into();
                    let _ = cache.create(&key(1), whole.len() as u64, Some(&other));
                } else {
                    fill_and_read(&cache, 1, &whole);
                }
            })
        })
        .collect();
    threads(works);
    if let Some(entry) = cache.entry(&key(1))
        && entry.etag() == Some(&etag())
    {
        for block in 0..BLOCKS {
            read(&entry, block, &whole);
        }
    }
    cache.check_sums();
}

#[test]
fn a_read_gives_no_byte_of_a_hole_under_any_schedule() {
    check(1, 600, an_eviction_beside_a_read);
}

#[test]
fn what_is_put_beside_an_eviction_is_right_and_paid_for_under_any_schedule() {
    check(4, 300, an_eviction_beside_a_fill);
}

#[test]
fn two_processes_keep_their_sums_and_bytes_right_under_any_schedule() {
    check(2, 200, two_processes);
}

#[test]
fn who_fills_an_entry_after_another_leaves_right_sums_under_any_schedule() {
    check(3, 200, fillers_come_and_go);
}

#[test]
#[ignore = "minutes: ten thousands of schedules that nobody has seen before"]
fn the_cache_holds_under_many_more_schedules() {
    let each = Duration::from_secs(120);
    for test in [
        an_eviction_beside_a_read,
        an_eviction_beside_a_fill,
        two_processes,
        fillers_come_and_go,
    ] {
        checked::check_for(each, test);
    }
}
