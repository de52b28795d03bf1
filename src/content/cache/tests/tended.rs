//! What commands do with a cache.

use super::super::care::{self as tending, CacheCare};
use super::*;

fn care(dir: &Path) -> CacheCare {
    let options = CacheOptions {
        free_floor: 0,
        ..CacheOptions::default()
    };
    CacheCare::new(dir, options)
}

#[test]
fn the_manual_explains_every_column_of_the_index() {
    let manual = include_str!("../../../../docs/cache.md");
    for (table, columns) in index::columns() {
        let heading = format!("\n### {table}\n");
        let section = manual.split(&heading).nth(1).unwrap_or_else(|| panic!("{table}"));
        let section = section.split("\n### ").next().unwrap();
        for column in columns {
            assert!(section.contains(&format!("`{column}`")), "{table}.{column}");
        }
    }
}

#[test]
fn looking_at_a_cache_that_is_not_there_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none");
    let info = care(&path).info().unwrap();
    assert_eq!((info.bytes, info.entries, info.counting), (0, 0, false));
    assert!(info.free > 0);
    assert_eq!(care(&path).verify(|_| ()).entries, 0);
    assert_eq!(care(&path).gc().unwrap(), tending::Collected::default());
    assert_eq!(care(&path).clear().unwrap(), tending::Cleared::default());
    assert!(!path.exists());
}

#[test]
fn a_check_finds_what_is_bad_names_it_and_removes_it() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), &runtime);
    let whole = content(1, 2 * BLOCK + 1);
    for document in 1..5 {
        fill(&cache, document, &whole).unwrap();
    }
    let paths = |document| cache.room.folder.paths(&key(document));
    let clean = care(dir.path()).verify(|_| ());
    assert_eq!((clean.entries, clean.blocks, clean.damaged.len()), (4, 12, 0));

    let mut bytes = fs::read(paths(1).data).unwrap();
    bytes[BLOCK + 3] ^= 1;
    fs::write(paths(1).data, bytes).unwrap();
    fs::write(paths(2).map, "short").unwrap();
    fs::copy(paths(4).map, paths(3).map).unwrap();
    let mut looked = 0;
    let found = care(dir.path()).verify(|_| looked += 1);
    assert_eq!(
        (looked, found.entries, found.damaged.len()),
        (4, 4, 3),
        "{found:?}"
    );
    assert!(found.damaged.iter().all(|damaged| damaged.removed));
    let first = found
        .damaged
        .iter()
        .find(|damaged| damaged.file == paths(1).data)
        .unwrap();
    assert_eq!(first.document.as_deref(), Some(&*key(1).document.0.to_string()));
    assert_eq!(first.defect, "the checksum of block 1 differs");
    let again = care(dir.path()).verify(|_| ());
    assert_eq!((again.entries, again.damaged.len()), (1, 0));
    assert_eq!(care(dir.path()).info().unwrap().entries, 1);
}

#[test]
fn tidying_up_removes_what_nobody_needs_and_comes_down_to_the_cap() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), &runtime);
    let whole = content(1, 4 * BLOCK);
    for document in 1..4 {
        fill(&cache, document, &whole).unwrap();
    }
    // Killed in the middle: sixteen blocks were reserved, and one was written.
    let large = vec![1; 30 * BLOCK];
    let killed = create(&cache, &key(9), &large);
    killed.put(BlockIndex(0), block_of(&large, 0)).unwrap();
    let lock = killed.entry().filling.lock().lock.take();
    std::mem::forget(killed);
    drop(lock);
    drop(cache);
    let folder = folder::Folder::new(dir.path());
    let [orphan, map] = [7, 8].map(|number: u8| folder.named(format!("{number:064x}")));
    fs::create_dir_all(&orphan.fan).unwrap();
    fs::write(&orphan.data, "alone").unwrap();
    fs::write(&map.map, "alone").unwrap();
    for file in [&orphan.data, &map.map] {
        let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_modified(hour_ago)
            .unwrap();
    }
    fs::create_dir_all(dir.path().join("content-v1/ab")).unwrap();
    fs::write(dir.path().join("tmp-v1/1-1.part"), "left").unwrap();

    let before = care(dir.path()).info().unwrap();
    let collected = care(dir.path()).gc().unwrap();
    assert_eq!(
        (collected.leftovers, collected.orphans, collected.former),
        (1, 2, 1)
    );
    assert_eq!(collected.evicted_bytes, 0);
    assert!(
        collected.bytes + (10 << 20) < before.bytes,
        "{collected:?} {before:?}"
    );
    assert!(!dir.path().join("content-v1").exists());

    let options = CacheOptions {
        free_floor: 0,
        max_bytes: 9 << 20,
    };
    let collected = CacheCare::new(dir.path(), options).gc().unwrap();
    assert!(
        collected.evicted_bytes > 0 && collected.bytes <= 9 << 20,
        "{collected:?}"
    );
}

#[test]
fn emptying_a_cache_leaves_what_is_in_use() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), &runtime);
    let other = open(dir.path(), &runtime);
    for document in 1..4 {
        fill(&other, document, b"some bytes").unwrap();
    }
    let entry = cache.entry(&key(1)).unwrap();
    drop(other);
    let cleared = care(dir.path()).clear().unwrap();
    assert_eq!((cleared.removed, cleared.in_use), (2, 1));
    assert_eq!(entry.read(&(0..10)).unwrap().unwrap(), "some bytes");
    assert!(cache.entry(&key(2)).is_none());
    drop((entry, cache));
    let cleared = care(dir.path()).clear().unwrap();
    assert_eq!((cleared.removed, cleared.in_use, cleared.bytes), (1, 0, 0));
}
