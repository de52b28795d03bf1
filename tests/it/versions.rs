//! One version per inode: who holds the old one reads the old bytes or ESTALE, the name leads to the new one.

use std::collections::BTreeMap;

use pwfs::demo::knobs::{Knobs, Ranges, SkipTokenMode, VersionGuids};
use pwfs::demo::{DemoOptions, Effect, Fault, InPlace, RequestKind};
use pwfs::fs::Attr;
use pwfs::fs::error::FsError;
use pwfs::model::Guid;
use pwfs::tree::TreeConfig;
use pwfs::tree::inodes::InodeNo;

use crate::harness::{Bench, bytes_of, doc_name, small, until};

/// A folder of four documents, on one kind of server.
struct Shelf {
    bench: Bench,
    folder: Attr,
    documents: Vec<Guid>,
    guids: VersionGuids,
    ranges: bool,
}

/// Every kind of server there is.
async fn shelves() -> Vec<Shelf> {
    let mut shelves = Vec::new();
    for guids in [VersionGuids::Keep, VersionGuids::New] {
        for ranges in [true, false] {
            shelves.push(shelf(guids, ranges).await);
        }
    }
    shelves
}

async fn shelf(version_guids: VersionGuids, ranges: bool) -> Shelf {
    let options = DemoOptions {
        knobs: Knobs {
            version_guids,
            ranges: if ranges { Ranges::Served } else { Ranges::Ignored },
            ..Knobs::default()
        },
        ..small()
    };
    let bench = Bench::with(options, TreeConfig::default()).await;
    let (folder, _, documents) = bench.stock("Shelf", 4).await;
    Shelf {
        bench,
        folder,
        documents,
        guids: version_guids,
        ranges,
    }
}

impl Shelf {
    async fn attr(&self, number: usize) -> Attr {
        let found = self.bench.lookup(self.folder.ino, &doc_name(number)).await;
        found.unwrap().unwrap()
    }

    fn said(&self) -> String {
        format!("{:?}, ranges {}", self.guids, self.ranges)
    }

    /// Version `version` of a document, of the same length as the first: only its time tells.
    fn new_version(&self, number: usize, version: u8) -> Guid {
        self.bench
            .world()
            .new_version(self.documents[number], bytes_of(number, version))
            .unwrap()
    }

    /// The name leads to another inode, whose bytes are those of `version`.
    async fn assert_renewed(&self, number: usize, old: &Attr, version: u8) -> Attr {
        let new = self.attr(number).await;
        assert_ne!(new.ino, old.ino, "{}", self.said());
        let bytes = self.bench.read(&new).await.unwrap();
        assert!(bytes == bytes_of(number, version), "{}", self.said());
        let listed = self.bench.list(self.folder.ino).await.unwrap();
        assert_eq!(listed[&doc_name(number)], new);
        assert_eq!(listed.len(), 4);
        new
    }
}

#[track_caller]
fn assert_stale<T>(result: Result<T, FsError>, said: &str) {
    let Err(error) = result else {
        panic!("answered and not ESTALE ({said})");
    };
    assert_eq!(error.errno(), libc::ESTALE, "{error} ({said})");
}

#[tokio::test]
async fn the_old_inode_reads_the_old_bytes_to_their_end_once_they_are_here() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let old = shelf.attr(0).await;
        bench.read(&old).await.unwrap();
        shelf.new_version(0, 1);
        bench.expire();
        let new = shelf.assert_renewed(0, &old, 1).await;
        assert!(new.mtime > old.mtime);
        bench.server.reset_counters();
        assert!(
            bench.read(&old).await.unwrap() == bytes_of(0, 0),
            "{}",
            shelf.said()
        );
        assert!(
            bench.read(&new).await.unwrap() == bytes_of(0, 1),
            "{}",
            shelf.said()
        );
        assert_eq!(bench.server.requests().total, 0);
        // What it is told of itself stays, too.
        assert_eq!(bench.fs.getattr(old.ino).unwrap().0.size, old.size);
        assert_eq!(
            bench.xattr(old.ino, "user.projectwise.is_active").as_deref(),
            Some("0"),
            "{}",
            shelf.said()
        );
        assert_eq!(
            bench.xattr(new.ino, "user.projectwise.is_active").as_deref(),
            Some("1")
        );
    }
}

#[tokio::test]
async fn a_reader_in_the_middle_of_a_download_gets_one_version_to_its_end() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let old = shelf.attr(0).await;
        let stall = Effect::StallBody { after: 2000 };
        let stall = Fault::on(RequestKind::File, stall)
            .about(shelf.documents[0])
            .times(1);
        let stall = bench.server.inject(stall);
        let head = bench.fs.read(old.ino, 0, 1500).await.unwrap();
        shelf.new_version(0, 1);
        bench.expire();
        // The new one is read meanwhile, by another download.
        shelf.assert_renewed(0, &old, 1).await;
        bench.server.clear_fault(stall);
        let tail = bench.fs.read(old.ino, 1500, 1 << 20).await.unwrap();
        assert!([head, tail].concat() == bytes_of(0, 0), "{}", shelf.said());
        assert!(bench.read(&old).await.unwrap() == bytes_of(0, 0));
    }
}

#[tokio::test]
async fn a_download_that_breaks_while_a_version_is_made_never_mixes_the_two() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let old = shelf.attr(0).await;
        // The first answer breaks off, the second is held until the new version is there.
        let file = |effect| Fault::on(RequestKind::File, effect).about(shelf.documents[0]);
        bench
            .server
            .inject(file(Effect::Truncate { after: 2000 }).times(1));
        let hold = bench.server.inject(file(Effect::HangAfterAccept));
        let (read, ()) = tokio::join!(bench.read(&old), async {
            bench.server.wait_for(RequestKind::File, 2).await;
            shelf.new_version(0, 1);
            bench.server.clear_fault(hold);
        });
        match shelf.guids {
            // The GUID is the new version's now: the rest of the old one cannot be had.
            VersionGuids::Keep => assert_stale(read, &shelf.said()),
            VersionGuids::New => assert!(read.unwrap() == bytes_of(0, 0), "{}", shelf.said()),
        }
        bench.expire();
        shelf.assert_renewed(0, &old, 1).await;
        if shelf.guids == VersionGuids::Keep {
            assert_stale(bench.read(&old).await, &shelf.said());
        }
    }
}

#[tokio::test]
async fn an_old_version_that_is_not_here_is_estale_or_its_own_bytes() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let old = shelf.attr(0).await;
        shelf.new_version(0, 1);
        bench.expire();
        shelf.assert_renewed(0, &old, 1).await;
        bench.server.reset_counters();
        match shelf.guids {
            VersionGuids::Keep => {
                assert_stale(bench.read(&old).await, &shelf.said());
                assert_eq!(
                    bench.server.requests().total,
                    0,
                    "what cannot be is not asked for"
                );
            }
            // It kept its GUID, under which its bytes can still be had.
            VersionGuids::New => {
                assert!(
                    bench.read(&old).await.unwrap() == bytes_of(0, 0),
                    "{}",
                    shelf.said()
                );
            }
        }
    }
}

#[tokio::test]
async fn a_longer_version_the_listing_does_not_tell_of_yet_is_never_read_as_the_old_one() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let old = shelf.attr(0).await;
        let longer = [bytes_of(0, 1), b"and more".to_vec()].concat();
        bench
            .world()
            .new_version(shelf.documents[0], longer.clone())
            .unwrap();
        match shelf.guids {
            VersionGuids::Keep => assert_stale(bench.read(&old).await, &shelf.said()),
            VersionGuids::New => assert!(bench.read(&old).await.unwrap() == bytes_of(0, 0)),
        }
        bench.expire();
        let new = shelf.attr(0).await;
        assert_ne!(new.ino, old.ino);
        assert!(bench.read(&new).await.unwrap() == longer, "{}", shelf.said());
    }
}

#[tokio::test]
async fn three_versions_are_three_inodes_each_with_its_bytes() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let mut active = shelf.documents[0];
        let mut held = Vec::new();
        for version in 0..3 {
            let attr = shelf.attr(0).await;
            assert_eq!(bench.guid(&attr), active);
            bench.read(&attr).await.unwrap();
            held.push((attr, version));
            active = bench
                .world()
                .new_version(active, bytes_of(0, version + 1))
                .unwrap();
            bench.expire();
        }
        for (attr, version) in &held {
            assert!(
                bench.read(attr).await.unwrap() == bytes_of(0, *version),
                "{}",
                shelf.said()
            );
        }
        let numbers: std::collections::BTreeSet<_> = held.iter().map(|(attr, _)| attr.ino).collect();
        assert_eq!(numbers.len(), 3);
    }
}

#[tokio::test]
async fn an_edited_description_keeps_the_inode_and_downloads_nothing() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let before = shelf.attr(0).await;
        bench.read(&before).await.unwrap();
        bench
            .world()
            .edit_description(shelf.documents[0], "Issued for construction")
            .unwrap();
        bench.expire();
        bench.server.reset_counters();
        let after = shelf.attr(0).await;
        assert_eq!(
            (after.ino, after.mtime, after.size),
            (before.ino, before.mtime, before.size)
        );
        assert!(after.ctime > before.ctime, "its properties changed");
        assert!(bench.read(&after).await.unwrap() == bytes_of(0, 0));
        assert_eq!(bench.asked(RequestKind::File), 0);
        assert_eq!(
            bench.xattr(after.ino, "user.projectwise.description").as_deref(),
            Some("Issued for construction")
        );
    }
}

#[tokio::test]
async fn a_file_replaced_in_place_and_listed_is_a_new_inode() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let (cached, uncached) = (shelf.attr(0).await, shelf.attr(1).await);
        bench.read(&cached).await.unwrap();
        for number in [0, 1] {
            bench
                .world()
                .replace_in_place(shelf.documents[number], bytes_of(number, 1), InPlace::Listed)
                .unwrap();
        }
        bench.expire();
        shelf.assert_renewed(0, &cached, 1).await;
        shelf.assert_renewed(1, &uncached, 1).await;
        assert!(bench.read(&cached).await.unwrap() == bytes_of(0, 0));
        assert_stale(bench.read(&uncached).await, &shelf.said());
    }
}

#[tokio::test]
async fn a_file_replaced_without_a_trace_never_mixes_with_what_was_here() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let old = shelf.attr(0).await;
        let file = |effect| Fault::on(RequestKind::File, effect).about(shelf.documents[0]);
        bench
            .server
            .inject(file(Effect::Truncate { after: 2000 }).times(1));
        let hold = bench.server.inject(file(Effect::HangAfterAccept));
        let (read, ()) = tokio::join!(bench.read(&old), async {
            bench.server.wait_for(RequestKind::File, 2).await;
            bench
                .world()
                .replace_in_place(shelf.documents[0], bytes_of(0, 1), InPlace::SameTag)
                .unwrap();
            bench.server.clear_fault(hold);
        });
        assert_stale(read, &shelf.said());
        // At once, and after a refresh that repeats the old tag.
        let new = shelf.assert_renewed(0, &old, 1).await;
        bench.expire();
        assert_eq!(shelf.attr(0).await, new);
        assert_stale(bench.read(&old).await, &shelf.said());
    }
}

#[tokio::test]
async fn a_file_replaced_without_a_trace_by_a_longer_one_is_a_new_inode_of_its_length() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let (cached, uncached) = (shelf.attr(0).await, shelf.attr(1).await);
        bench.read(&cached).await.unwrap();
        let longer = vec![b'x'; 7777];
        for number in [0, 1] {
            bench
                .world()
                .replace_in_place(shelf.documents[number], longer.clone(), InPlace::SameTag)
                .unwrap();
        }
        bench.expire();
        bench.server.reset_counters();
        // Nothing tells of it, and what is here is what this inode stands for.
        assert!(bench.read(&cached).await.unwrap() == bytes_of(0, 0));
        assert_stale(bench.read(&uncached).await, &shelf.said());
        let new = shelf.attr(1).await;
        assert_eq!(new.size, 7777);
        assert!(bench.read(&new).await.unwrap() == longer, "{}", shelf.said());
        assert_eq!(bench.asked(RequestKind::File), 1);
    }
}

#[tokio::test]
async fn a_rename_and_a_move_keep_the_inode_and_the_bytes() {
    for shelf in shelves().await {
        let bench = &shelf.bench;
        let world = bench.world();
        let before = shelf.attr(0).await;
        bench.read(&before).await.unwrap();
        let below = world
            .add_folder(
                Some(world.document(shelf.documents[0]).unwrap().folder_guid),
                "Below",
            )
            .unwrap();
        bench.expire();
        let below_before = bench.find(&["Shelf", "Below"]).await.unwrap();

        world.rename_document(shelf.documents[0], "renamed.txt").unwrap();
        world.rename_folder(below, "Renamed").unwrap();
        bench.expire();
        bench.server.reset_counters();
        let renamed = bench.find(&["Shelf", "renamed.txt"]).await.unwrap();
        assert_eq!(renamed.ino, before.ino);
        assert_eq!(
            bench.find(&["Shelf", "Renamed"]).await.unwrap().ino,
            below_before.ino
        );
        assert!(
            bench
                .lookup(shelf.folder.ino, &doc_name(0))
                .await
                .unwrap()
                .is_none()
        );

        world.move_document(shelf.documents[0], below).unwrap();
        world.move_folder(below, None).unwrap();
        bench.expire();
        let moved = bench.find(&["Renamed", "renamed.txt"]).await.unwrap();
        assert_eq!(moved.ino, before.ino);
        assert_eq!(bench.find(&["Renamed"]).await.unwrap().ino, below_before.ino);
        assert!(bench.read(&moved).await.unwrap() == bytes_of(0, 0));
        assert_eq!(bench.asked(RequestKind::File), 0, "{}", shelf.said());
    }
}

#[tokio::test]
async fn a_moved_document_is_read_by_its_old_inode_before_anyone_sees_its_new_place() {
    let shelf = shelf(VersionGuids::Keep, true).await;
    let bench = &shelf.bench;
    let world = bench.world();
    let attr = shelf.attr(0).await;
    let elsewhere = world.add_folder(None, "Elsewhere").unwrap();
    world.move_document(shelf.documents[0], elsewhere).unwrap();
    bench.expire();
    assert!(
        bench
            .lookup(shelf.folder.ino, &doc_name(0))
            .await
            .unwrap()
            .is_none()
    );
    assert!(bench.read(&attr).await.unwrap() == bytes_of(0, 0));
}

fn numbers(tree: &BTreeMap<String, Attr>) -> BTreeMap<&str, InodeNo> {
    tree.iter()
        .map(|(path, attr)| (path.as_str(), attr.ino))
        .collect()
}

#[tokio::test]
async fn inode_numbers_are_the_same_after_a_remount_and_on_another_machine() {
    let mut bench = Bench::new().await;
    let before = bench.walk().await;
    assert!(before.len() > 100);
    bench.remount().await;
    assert_eq!(numbers(&bench.walk().await), numbers(&before));

    // The same seed is the same datasource, seen by a mount that shares nothing.
    let other = Bench::with(
        DemoOptions {
            knobs: Knobs {
                skip_token: SkipTokenMode::Ignored,
                page_size: 11,
                ..Knobs::default()
            },
            ..small()
        },
        TreeConfig::default(),
    )
    .await;
    assert_eq!(numbers(&other.walk().await), numbers(&before));
}

#[tokio::test]
async fn cached_bytes_survive_a_remount_without_a_request() {
    for mut shelf in shelves().await {
        let attr = shelf.attr(0).await;
        shelf.bench.read(&attr).await.unwrap();
        until(|| shelf.bench.fs.reader().stats().in_flight == 0).await;
        shelf.bench.remount().await;
        shelf.folder = shelf.bench.find(&["Shelf"]).await.unwrap();
        let again = shelf.attr(0).await;
        assert_eq!(again, attr);
        shelf.bench.server.reset_counters();
        assert!(shelf.bench.read(&again).await.unwrap() == bytes_of(0, 0));
        assert_eq!(shelf.bench.server.requests().total, 0, "{}", shelf.said());
    }
}

#[tokio::test]
async fn a_version_made_while_unmounted_is_never_read_from_the_old_ones_cache() {
    for mut shelf in shelves().await {
        let old = shelf.attr(0).await;
        shelf.bench.read(&old).await.unwrap();
        shelf.new_version(0, 1);
        shelf.bench.remount().await;
        // What was listed before is as good as it was then.
        shelf.bench.expire();
        shelf.folder = shelf.bench.find(&["Shelf"]).await.unwrap();
        shelf.assert_renewed(0, &old, 1).await;
    }
}

#[tokio::test]
async fn an_old_version_that_is_read_makes_room_after_all_others() {
    let bench = Bench::new().await;
    let (folder, _, documents) = bench.stock("Old", 2).await;
    let old = bench.find(&["Old", &doc_name(0)]).await.unwrap();
    bench.read(&old).await.unwrap();
    bench.world().new_version(documents[0], bytes_of(0, 1)).unwrap();
    bench.expire();
    let new = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
    assert_ne!(new.ino, old.ino);
    let ranks = || {
        let index = rusqlite::Connection::open(bench.dir.path().join("cache/index.sqlite")).unwrap();
        let mut select = index.prepare("SELECT rank FROM files ORDER BY rank").unwrap();
        let ranks = select.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        ranks.map(Result::unwrap).collect::<Vec<_>>()
    };
    until(|| ranks() == [0]).await;
    assert_eq!(
        bench.read(&old).await.unwrap(),
        bytes_of(0, 0),
        "it is still what it was"
    );
    until(|| ranks() == [1]).await;
    bench.read(&new).await.unwrap();
    until(|| ranks() == [0, 1]).await;
}
