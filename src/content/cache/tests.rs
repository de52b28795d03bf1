//! Entries on a real disk.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::block_map::{BLOCK_SIZE, BlockIndex, block_count};
use super::*;
use crate::model::{ContentTag, DocumentId, Guid};

pub(in crate::content) mod schedules;

const BLOCK: usize = 1 << 20;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap()
}

/// A cache that may take `max_bytes`.
fn small(dir: &Path, runtime: &tokio::runtime::Runtime, max_bytes: u64) -> ContentCache {
    let options = CacheOptions {
        free_floor: 0,
        max_bytes,
    };
    ContentCache::open(dir, runtime.handle().clone(), options).unwrap()
}

/// What is not here of an entry: starts and ends.
fn missing(entry: &Entry) -> Vec<(u64, u64)> {
    let missing = entry.missing(&(0..u64::MAX)).into_iter();
    missing.map(|range| (range.start, range.end)).collect()
}

/// Puts all blocks of a content, and ends.
fn fill(cache: &ContentCache, document: u8, whole: &[u8]) -> Result<(), Refusal> {
    let filler = cache.create(&key(document), whole.len() as u64, Some(&"\"one\"".into()))?;
    for block in 0..block_count(whole.len() as u64) {
        filler.put(BlockIndex(block), block_of(whole, block))?;
    }
    filler.finish(None)
}

fn open(dir: &Path, runtime: &tokio::runtime::Runtime) -> ContentCache {
    ContentCache::open(
        dir,
        runtime.handle().clone(),
        CacheOptions {
            free_floor: 0,
            ..CacheOptions::default()
        },
    )
    .unwrap()
}

fn key(document: u8) -> ContentKey {
    ContentKey {
        server: "fake".into(),
        account: "me".into(),
        document: DocumentId(Guid::from_bytes([document; 16])),
        tag: ContentTag {
            size: None,
            stamp: None,
            revision: 0,
        },
    }
}

fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

fn block_of(whole: &[u8], block: u64) -> &[u8] {
    let range = BlockIndex(block).bytes(whole.len() as u64);
    &whole[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

fn create(cache: &ContentCache, key: &ContentKey, whole: &[u8]) -> Arc<Filler> {
    cache
        .create(key, whole.len() as u64, Some(&"\"one\"".into()))
        .unwrap()
}

mod damage;
mod room;
mod tended;

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Read {
        start: usize,
        length: usize,
    },
    Evict(Vec<u64>),
    Save,
    /// Another process begins; this one ended with or without a last word.
    Reopen {
        killed: bool,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..4).prop_map(Step::Put),
        4 => (0..4 * BLOCK, 0..2 * BLOCK).prop_map(|(start, length)| Step::Read { start, length }),
        1 => prop::collection::vec(0_u64..4, 0..3).prop_map(Step::Evict),
        1 => Just(Step::Save),
        1 => any::<bool>().prop_map(|killed| Step::Reopen { killed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A read gives the bytes, or says that they are not here; what is said to be missing is what was not put.
    #[test]
    fn an_entry_is_a_vec_some_blocks_of_which_are_not_here(
        length in 0..4 * BLOCK, steps in prop::collection::vec(any_step(), 1..30),
    ) {
        let runtime = runtime();
        let dir = tempfile::tempdir().unwrap();
        let whole = content(1, length);
        let blocks = block_count(length as u64);
        let mut cache = open(dir.path(), &runtime);
        let mut filler = Some(create(&cache, &key(1), &whole));
        let mut here: std::collections::BTreeSet<u64> = [].into();
        let mut saved = here.clone();
        for step in steps {
            let filling = filler.as_ref().unwrap();
            let entry = filling.entry().clone();
            match step {
                Step::Put(block) if block < blocks => {
                    filling.put(BlockIndex(block), block_of(&whole, block)).unwrap();
                    here.insert(block);
                }
                Step::Put(block) => prop_assert!(filling.put(BlockIndex(block), &[1]).is_err()),
                Step::Read { start, length } => {
                    let start = start.min(whole.len());
                    let end = (start + length).min(whole.len());
                    let range = start as u64..end as u64;
                    let present = block_map::blocks_of(&range).all(|block| here.contains(&block.0));
                    let read = entry.read(&range).unwrap();
                    prop_assert_eq!(read.is_some(), present);
                    if let Some(read) = read {
                        prop_assert!(read == whole[start..end]);
                    }
                    let missing = entry.missing(&range);
                    prop_assert_eq!(missing.is_empty(), present);
                }
                Step::Evict(taken) => {
                    let indices: Vec<_> = taken.iter().map(|&block| BlockIndex(block)).collect();
                    let freed = entry.evict(&indices).unwrap().unwrap();
                    let gone = taken.iter().filter(|&block| here.remove(block));
                    let expected: u64 = gone.map(|&block| block_of(&whole, block).len() as u64).sum();
                    prop_assert_eq!(freed, expected);
                    saved.clone_from(&here);
                }
                Step::Save => {
                    filling.save().unwrap();
                    saved.clone_from(&here);
                }
                Step::Reopen { killed } => {
                    drop(entry);
                    let ended = filler.take().unwrap();
                    if killed {
                        here.clone_from(&saved);
                        ended.die();
                    }
                    drop(ended);
                    saved.clone_from(&here);
                    cache = open(dir.path(), &runtime);
                    filler = Some(create(&cache, &key(1), &whole));
                }
            }
            let missing: Vec<_> = filler.as_ref().unwrap().entry().missing(&(0..u64::MAX));
            let expected: Vec<_> = (0..blocks).filter(|block| !here.contains(block)).collect();
            let found: Vec<_> = missing.iter().flat_map(block_map::blocks_of).map(|block| block.0).collect();
            prop_assert_eq!(found, expected);
        }
        prop_assert_eq!(filler.unwrap().entry().is_complete(), here.len() as u64 == blocks);
    }
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_read_beside_an_eviction_never_gives_a_zero() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), &runtime);
    // No byte of it is zero.
    let whole = vec![7; 4 * BLOCK];
    let filler = create(&cache, &key(1), &whole);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        // Also where this thread fails.
        let ending = Ending(&done);
        let readers: Vec<_> = (0..3)
            .map(|seed| {
                let (entry, done) = (filler.entry().clone(), &done);
                threads.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut read = 0_u64;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let start = random.u64(0..3 * BLOCK_SIZE);
                        let end = start + random.u64(1..BLOCK_SIZE);
                        if let Some(bytes) = entry.read(&(start..end)).unwrap() {
                            assert!(bytes.iter().all(|&byte| byte == 7), "a hole was read");
                            read += 1;
                        }
                    }
                    read
                })
            })
            .collect();
        for round in 0..150 {
            for block in 0..4 {
                filler.put(BlockIndex(block), block_of(&whole, block)).unwrap();
            }
            let taken = [BlockIndex(round % 4), BlockIndex((round + 1) % 4)];
            filler.entry().evict(&taken).unwrap().unwrap();
        }
        drop(ending);
        let read: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(read > 0);
    });
}

#[test]
fn one_process_fills_an_entry_and_others_read_what_it_saved() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path(), &runtime), open(dir.path(), &runtime));
    let whole = content(1, 2 * BLOCK + 5);
    let filler = create(&one, &key(1), &whole);
    filler.put(BlockIndex(0), block_of(&whole, 0)).unwrap();

    let Err(Refusal::Elsewhere(Some(entry))) =
        other.create(&key(1), whole.len() as u64, filler.entry().etag())
    else {
        panic!("two fill one entry");
    };
    assert_eq!(entry.read(&(0..10)).unwrap(), None);
    filler.save().unwrap();
    assert_eq!(entry.read(&(0..10)).unwrap().unwrap(), whole[..10]);
    assert_eq!(missing(&entry), [(BLOCK_SIZE, whole.len() as u64)]);
    // Nobody takes away what two have open.
    assert_eq!(entry.evict(&[BlockIndex(0)]).unwrap(), None);
    assert_eq!(filler.entry().evict(&[BlockIndex(0)]).unwrap(), None);
    assert_eq!(entry.read(&(0..10)).unwrap().unwrap(), whole[..10]);

    filler.put(BlockIndex(1), block_of(&whole, 1)).unwrap();
    drop(filler);
    // The next filler knows all that was put before.
    let filler = create(&other, &key(1), &whole);
    assert_eq!(missing(filler.entry()), [(2 * BLOCK_SIZE, whole.len() as u64)]);
    filler.put(BlockIndex(2), block_of(&whole, 2)).unwrap();
    filler.finish(Some([3; 32])).unwrap();
    drop((entry, filler));
    let entry = one.entry(&key(1)).unwrap();
    assert!(entry.is_complete());
    assert_eq!(entry.sha256(), Some([3; 32]));
}

#[test]
fn an_entry_of_another_file_is_thrown_away_and_never_mixed() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), &runtime);
    let whole = content(1, BLOCK + 1);
    let filler = create(&cache, &key(1), &whole);
    filler.put(BlockIndex(0), block_of(&whole, 0)).unwrap();
    drop(filler);
    for (total, etag) in [
        (whole.len() as u64, Some("\"two\"")),
        (BLOCK_SIZE + 2, Some("\"two\"")),
        (BLOCK_SIZE + 2, None),
    ] {
        let filler = cache
            .create(&key(1), total, etag.map(Into::into).as_ref())
            .unwrap();
        assert_eq!(missing(filler.entry()), [(0, total)], "{etag:?}");
        filler
            .put(
                BlockIndex(1),
                block_of(&content(2, usize::try_from(total).unwrap()), 1),
            )
            .unwrap();
    }
    assert_eq!(cache.entry(&key(1)).unwrap().total(), BLOCK_SIZE + 2);
}

#[tokio::test]
async fn the_head_of_a_file_is_kept_until_its_first_block_comes() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let total = bytes.len() as u64;
    let key = key(1);
    let open = || {
        let options = CacheOptions {
            free_floor: 0,
            ..CacheOptions::default()
        };
        ContentCache::open(dir.path(), Handle::current(), options).unwrap()
    };
    let etag = Arc::from("\"one\"");
    {
        let cache = open();
        let filler = cache.create(&key, total, Some(&etag)).unwrap();
        filler.put_head(&bytes[..100_000]).unwrap();
        filler.put_head(&bytes[..50_000]).unwrap();
        assert!(filler.put_head(&bytes[..1 << 20]).is_err());
    }
    let cache = open();
    let entry = cache.entry(&key).unwrap();
    assert_eq!(
        entry.read(&(99_000..100_000)).unwrap().unwrap(),
        bytes[99_000..100_000]
    );
    assert!(entry.missing(&(0..100_000)).is_empty());
    assert_eq!(entry.missing(&(0..100_001)).first(), Some(&(0..1 << 20)));
    assert!(entry.read(&(0..100_001)).unwrap().is_none());
    let filler = cache.create(&key, total, Some(&etag)).unwrap();
    filler.put(BlockIndex(0), &bytes[..1 << 20]).unwrap();
    filler.put_head(&bytes[..200_000]).unwrap();
    assert_eq!(entry.read(&(0..1 << 20)).unwrap().unwrap(), bytes[..1 << 20]);
    drop(filler);
    assert_eq!(entry.evict(&[BlockIndex(0)]).unwrap(), Some(1 << 20));
    assert!(entry.read(&(0..10)).unwrap().is_none());
}
