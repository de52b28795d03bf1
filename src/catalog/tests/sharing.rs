//! Several processes, deleted caches, damaged files, full disks.

use std::os::unix::fs::PermissionsExt;
use std::str::FromStr;

use super::*;

fn files(bench: &Bench) -> Files {
    Files::of(&places(bench.dir.path()), &account())
}

fn plain(number: u8, name: &str) -> Entry {
    Entry::Document(file(number, name))
}

fn sql(path: &Path, text: &str) {
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(text)
        .unwrap();
}

#[test]
fn its_files_are_its_owners_alone() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![], &[]);
    let files = files(&bench);
    for dir in [&files.dir, &files.journal.parent().unwrap().to_owned()] {
        assert_eq!(
            std::fs::metadata(dir).unwrap().permissions().mode() & 0o777,
            0o700
        );
        for found in std::fs::read_dir(dir).unwrap() {
            let found = found.unwrap();
            let mode = found.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{found:?}");
        }
    }
    assert!(files.dir.parent().unwrap().join("CACHEDIR.TAG").exists());
    assert_eq!(bench.catalog.dir(), files.dir);
}

#[test]
fn an_answer_that_was_asked_for_earlier_is_dropped() {
    let mut bench = Bench::new();
    let early = bench.now();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    let Replaced::Superseded(saved) = bench.list_at(early, dir(1), vec![], &[]) else {
        panic!("it was asked for earlier")
    };
    assert_eq!(saved.listing.len(), 1);
    assert_eq!(bench.told(1), [""; 0]);
}

#[test]
fn two_processes_build_on_each_others_listings() {
    let mut one = Bench::new();
    let two = open(one.dir.path()).catalog;
    let Replaced::Kept { commit, .. } = one.list(dir(1), vec![plain(2, "a")], &[]) else {
        panic!("kept")
    };
    assert_eq!(two.since(0).unwrap(), (vec![dir(1)], commit));
    assert_eq!(two.totals(), (10, 1));
    let fetched = Fetched {
        dir: dir(1),
        fetched: one.now(),
        proof: Proof::Compared,
        validator: Some("W/1"),
        departed: &[],
        first: false,
    };
    let mut seen = None;
    let replaced = two
        .replace(&fetched, None, &mut |previous| {
            seen = previous.map(|saved| saved.commit);
            listing(
                vec![plain(2, "a"), plain(3, "b")],
                previous.map(|saved| &*saved.listing),
            )
        })
        .unwrap();
    assert_eq!(seen, Some(commit), "it did not know what the other one kept");
    let Replaced::Kept { commit: second, .. } = replaced else {
        panic!("kept")
    };
    assert!(second > commit);
    let asked = one.now();
    assert!(
        !one.catalog.unchanged(dir(1), commit, asked).unwrap(),
        "another one was kept since"
    );
    assert!(one.catalog.unchanged(dir(1), second, asked).unwrap());
    let saved = two.load(dir(1)).unwrap().unwrap();
    assert_eq!((saved.fetched, saved.validator.as_deref()), (asked, Some("W/1")));
    assert_eq!(one.told(0), ["1/2 a first", "1/3 b add"]);
    // Who knows it is not given it again.
    let fetched = Fetched {
        fetched: one.now(),
        ..fetched
    };
    two.replace(&fetched, Some(second), &mut |previous| {
        assert!(previous.is_none());
        saved.listing.clone()
    })
    .unwrap();
}

#[test]
fn what_is_to_be_the_first_listing_loses_to_any_that_is_kept() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    let before = (bench.events(), bench.catalog.load(dir(1)).unwrap().unwrap());
    for (folder, is_kept) in [(1, true), (7, false)] {
        assert_eq!(bench.catalog.knows(dir(folder)).unwrap(), is_kept);
        let fetched = Fetched {
            dir: dir(folder),
            // Later than what is kept.
            fetched: bench.now(),
            proof: Proof::Paged,
            validator: None,
            departed: &[],
            first: true,
        };
        let mut built = 0;
        let replaced = bench.catalog.replace(&fetched, None, &mut |previous| {
            assert!(previous.is_none());
            built += 1;
            listing(vec![plain(3, "b")], None)
        });
        match replaced.unwrap() {
            Replaced::Superseded(saved) => {
                assert!(is_kept && built == 0);
                assert_eq!((saved.commit, saved.fetched), (before.1.commit, before.1.fetched));
                assert_eq!(bench.events(), before.0, "nothing is told");
            }
            Replaced::Kept { .. } => assert!(!is_kept && built == 1),
        }
    }
    assert!(!bench.catalog.knows(dir(8)).unwrap());
    let trouble = Trouble {
        at: Timestamp::now(),
        text: "refused".to_owned(),
        refused: true,
    };
    bench.catalog.note_trouble(dir(8).guid(), Some(&trouble)).unwrap();
    assert!(bench.catalog.knows(dir(8)).unwrap(), "that it failed");
}

#[test]
fn a_refresh_that_finds_nothing_new_writes_no_entry_and_a_change_writes_one() {
    let mut bench = Bench::new();
    let mut entries: Vec<Entry> = (2..200)
        .map(|number| plain(number, &format!("{number}")))
        .collect();
    bench.list(dir(1), entries.clone(), &[]);
    let counting = "CREATE TABLE written (slot); CREATE TRIGGER counting AFTER INSERT ON entries
        BEGIN INSERT INTO written VALUES (new.slot); END";
    let path = files(&bench).catalog;
    sql(&path, counting);
    let written = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection
            .query_row("SELECT count(*) FROM written", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    bench.list(dir(1), entries.clone(), &[]);
    assert_eq!(written(), 0);
    entries[7] = Entry::Document(Document {
        size: Some(11),
        ..file(9, "9")
    });
    bench.list(dir(1), entries, &[]);
    assert_eq!(written(), 1);
}

#[test]
fn a_cache_deleted_under_a_running_process_loses_and_repeats_no_change() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a"), plain(3, "b")], &[]);
    let old = bench.catalog.since(0).unwrap().1;
    std::fs::remove_dir_all(bench.dir.path().join("cache")).unwrap();
    assert!(bench.catalog.load(dir(1)).unwrap().is_none());
    assert_eq!(bench.catalog.told_in(dir(1)).unwrap(), [file_id(2), file_id(3)]);
    bench.list(dir(1), vec![plain(2, "a")], &[(file_id(3), Departure::Deleted)]);
    assert_eq!(bench.told(2), ["1/3 b gone deleted"]);
    let (dirs, new) = bench.catalog.since(old).unwrap();
    assert_eq!(dirs, [dir(1)]);
    assert!(new > old, "numbers go on");
    assert_eq!(bench.catalog.totals(), (10, 1));
}

#[test]
fn a_damaged_catalog_is_put_aside_and_made_anew() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    let path = files(&bench).catalog;
    for round in 0..4 {
        // Closes it: another one is opened elsewhere.
        let elsewhere = tempfile::tempdir().unwrap();
        bench.catalog = open(elsewhere.path()).catalog;
        std::fs::write(&path, "this is no database, whatever its name may say").unwrap();
        let opened = open(bench.dir.path());
        assert_eq!(opened.set_aside.len(), 1, "round {round}");
        assert!(
            opened.set_aside[0]
                .to_string_lossy()
                .contains("catalog.sqlite.damaged-")
        );
        bench.catalog = opened.catalog;
        assert!(bench.catalog.load(dir(1)).unwrap().is_none());
        bench.list(dir(1), vec![plain(2, "a")], &[]);
        assert_eq!(bench.told(1), [""; 0], "the journal was not damaged");
    }
    let aside = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let aside = aside.filter(|found| {
        found
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("damaged")
    });
    assert_eq!(aside.count(), 2, "older ones were removed");
}

#[test]
fn damage_found_in_a_running_process_fails_one_operation_and_is_healed_for_all() {
    let mut bench = Bench::new();
    let other = open(bench.dir.path()).catalog;
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    assert!(other.load(dir(1)).unwrap().is_some());
    sql(&files(&bench).catalog, "UPDATE entries SET guid = x'00'");
    assert!(bench.catalog.load(dir(1)).is_err());
    assert_eq!(bench.catalog.take_set_aside().len(), 1);
    assert!(bench.catalog.take_set_aside().is_empty(), "said once");
    assert!(bench.catalog.load(dir(1)).unwrap().is_none());
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    assert_eq!(
        other.load(dir(1)).unwrap().unwrap().listing.len(),
        1,
        "the other one follows"
    );
    assert!(other.take_set_aside().is_empty());
}

#[test]
fn a_damaged_journal_is_put_aside_and_its_readers_begin_anew() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    let cursor = bench.catalog.journal().head().unwrap();
    let path = files(&bench).journal;
    let elsewhere = tempfile::tempdir().unwrap();
    bench.catalog = open(elsewhere.path()).catalog;
    std::fs::write(&path, [7; 5000]).unwrap();
    let opened = open(bench.dir.path());
    assert_eq!(opened.set_aside.len(), 1);
    bench.catalog = opened.catalog;
    assert_eq!(bench.catalog.journal().since(cursor, 9).unwrap(), Since::Resync);
    assert_eq!(bench.catalog.load(dir(1)).unwrap().unwrap().listing.len(), 1);
}

#[test]
fn many_may_open_a_new_catalog_at_once() {
    let place = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let place = place.path();
            scope.spawn(move || {
                let opened = open(place);
                assert!(opened.set_aside.is_empty());
                opened.catalog.set_fact(&number.to_string(), "x").unwrap();
            });
        }
    });
    let catalog = open(place.path()).catalog;
    for number in 0..6 {
        assert!(catalog.fact(&number.to_string()).unwrap().is_some());
    }
}

#[test]
fn what_is_gone_is_forgotten_with_all_that_nobody_else_lists() {
    let mut bench = Bench::new();
    let sub = |number: u8| Entry::Folder(folder(number, &format!("{number}")));
    bench.list(dir(1), vec![sub(2), sub(3)], &[]);
    bench.list(dir(2), vec![sub(3), sub(4), plain(10, "a")], &[]);
    bench.list(dir(3), vec![plain(11, "b")], &[]);
    bench.list(dir(4), vec![plain(12, "c")], &[]);
    assert_eq!(bench.catalog.forget(folder_id(2)).unwrap(), 2);
    for (number, kept) in [(1, true), (2, false), (3, true), (4, false)] {
        assert_eq!(
            bench.catalog.load(dir(number)).unwrap().is_some(),
            kept,
            "{number}"
        );
    }
    assert_eq!(bench.catalog.totals(), (10, 3));
    assert_eq!(bench.catalog.forget(folder_id(2)).unwrap(), 0);
    assert!(bench.catalog.find(guid(12)).unwrap().is_empty());
}

#[test]
fn a_lost_journal_begins_a_new_epoch_and_still_tells_what_left() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a"), plain(3, "b")], &[]);
    let Replaced::Kept { commit, .. } = bench.list(dir(4), vec![plain(5, "c")], &[]) else {
        panic!("kept")
    };
    let cursor = bench.catalog.journal().head().unwrap();
    let path = files(&bench).journal;
    std::fs::remove_file(&path).unwrap();
    assert_eq!(bench.catalog.journal().since(cursor, 9).unwrap(), Since::Resync);
    bench.list(dir(1), vec![plain(2, "a")], &[(file_id(3), Departure::Deleted)]);
    assert_eq!(
        bench.told(0),
        ["1/2 a first", "1/3 b first", "1/3 b gone deleted"]
    );
    let now = bench.now();
    assert!(bench.catalog.unchanged(dir(4), commit, now).unwrap());
    assert_eq!(bench.told(3), ["4/5 c first"]);
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let bench = Bench::new();
    let files = files(&bench);
    for path in [files.catalog, files.journal] {
        sql(&path, "PRAGMA user_version = 99");
        let opened = Catalog::open(&places(bench.dir.path()), &account());
        assert!(matches!(opened.err(), Some(CatalogError::Newer(found)) if found == path));
        sql(&path, "PRAGMA user_version = 1");
    }
    assert_eq!(open(bench.dir.path()).set_aside, [""; 0].map(PathBuf::from));
}

/// Run it with a `TMPDIR` on a file system of about 4 MB.
#[test]
#[ignore = "needs a small file system"]
fn a_full_disk_keeps_the_listing_before() {
    let mut bench = Bench::new();
    let ballast = bench.dir.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let entries = |round: u8| {
        (0..200_u8)
            .map(|number| {
                Entry::Document(Document {
                    description: "x".repeat(usize::from(round)),
                    ..file(number, &format!("{number}"))
                })
            })
            .collect::<Vec<_>>()
    };
    let (mut kept, mut failed) = (0, 0);
    for round in 1..250 {
        let listed = listing(entries(round), None);
        let fetched = Fetched {
            dir: dir(round),
            fetched: bench.now(),
            proof: Proof::Compared,
            validator: None,
            departed: &[],
            first: false,
        };
        if bench
            .catalog
            .replace(&fetched, None, &mut |_| listed.clone())
            .is_err()
        {
            failed += 1;
            assert!(bench.catalog.load(dir(round)).unwrap().is_none());
            if failed == 3 {
                break;
            }
        } else {
            kept = round;
        }
    }
    assert_eq!(failed, 3, "it is full");
    bench.catalog = open(bench.dir.path()).catalog;
    for round in 1..=kept {
        assert_eq!(
            bench.catalog.load(dir(round)).unwrap().unwrap().listing.len(),
            200
        );
    }
    std::fs::remove_file(ballast).unwrap();
    bench.list(dir(kept + 1), entries(9), &[]);
    // What they share was first in the first of them.
    assert!(bench.events().len() >= 200);
}

/// A write that fails at a statement in the middle.
#[test]
fn a_write_that_fails_keeps_the_listing_before_and_tells_nothing_twice() {
    let many = || {
        (2..250)
            .map(|number| plain(number, &format!("{number:0>200}")))
            .collect::<Vec<_>>()
    };
    for journal in [false, true] {
        let mut bench = Bench::new();
        bench.list(dir(1), vec![plain(2, "a")], &[]);
        let path = if journal {
            files(&bench).journal
        } else {
            files(&bench).catalog
        };
        let table = if journal { "events" } else { "entries" };
        sql(
            &path,
            &format!(
                "CREATE TRIGGER full AFTER INSERT ON {table} WHEN new.guid = x'{}'
            BEGIN SELECT RAISE(ABORT, 'no room'); END",
                "c8".repeat(16)
            ),
        );
        let fetched = Fetched {
            dir: dir(1),
            fetched: bench.now(),
            proof: Proof::Compared,
            validator: None,
            departed: &[],
            first: false,
        };
        let failed = bench
            .catalog
            .replace(&fetched, None, &mut |_| listing(many(), None));
        assert!(failed.is_err());
        assert_eq!(bench.catalog.load(dir(1)).unwrap().unwrap().listing.len(), 1);
        assert_eq!(bench.told(1), [""; 0]);
        sql(&path, "DROP TRIGGER full");
        bench.list(dir(1), many(), &[]);
        assert_eq!(bench.told(1).len(), 248);
        assert_eq!(bench.catalog.totals(), (2480, 248));
    }
}

#[test]
fn a_reader_that_is_too_far_behind_or_ahead_begins_anew() {
    let mut bench = Bench::new();
    let start = bench.catalog.journal().head().unwrap();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    bench.list(dir(1), vec![plain(2, "a"), plain(3, "b")], &[]);
    let catalog = bench.catalog.clone();
    let journal = catalog.journal();
    let since = |cursor: Cursor| journal.since(cursor, 1).unwrap();
    assert!(matches!(since(start), Since::Events(events) if events.len() == 1));
    assert_eq!(journal.prune(stamp(1002).wall).unwrap(), 1);
    assert_eq!(since(start), Since::Resync);
    let first = Cursor { sequence: 1, ..start };
    assert!(matches!(since(first), Since::Events(events) if events[0].sequence == 2));
    assert_eq!(journal.prune(stamp(2000).wall).unwrap(), 1);
    let head = journal.head().unwrap();
    assert_eq!(head.sequence, 2, "numbers are not given again");
    assert_eq!(since(head), Since::Events(vec![]));
    assert_eq!(since(Cursor { sequence: 3, ..head }), Since::Resync);
    assert_eq!(
        since(Cursor {
            epoch: !head.epoch,
            ..head
        }),
        Since::Resync
    );
    bench.list(dir(1), vec![plain(2, "a"), plain(3, "b"), plain(4, "c")], &[]);
    assert!(matches!(since(head), Since::Events(events) if events[0].sequence == 3));
}

#[test]
fn a_cursor_reads_as_it_is_written() {
    let cursor = Cursor {
        epoch: 0xab,
        sequence: 17,
    };
    assert_eq!(cursor.to_string(), "00000000000000ab.17");
    assert_eq!(Cursor::from_str("00000000000000ab.17"), Ok(cursor));
    for bad in [
        "",
        "ab.17",
        "00000000000000ab.",
        "00000000000000ab.-1",
        "+0000000000000ab.1",
        "00000000000000ab.1.2",
    ] {
        assert!(Cursor::from_str(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_command_reads_the_journal_beside_a_writer_and_without_one() {
    let mut bench = Bench::new();
    let path = Catalog::journal_path(&places(bench.dir.path()), &account());
    assert!(Journal::read_only(&bench.dir.path().join("none")).is_err());
    let reader = Journal::read_only(&path).unwrap();
    let start = reader.head().unwrap();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    assert!(matches!(reader.since(start, 9).unwrap(), Since::Events(events) if events.len() == 1));
    let Bench {
        dir: _kept, catalog, ..
    } = bench;
    drop((catalog, reader));
    let reader = Journal::read_only(&path).unwrap();
    assert!(matches!(reader.since(start, 9).unwrap(), Since::Events(events) if events.len() == 1));
    assert!(reader.prune(Timestamp::now()).is_err(), "it only reads");
}

#[test]
fn the_oldest_and_what_is_below_are_found() {
    let mut bench = Bench::new();
    let sub = |number: u8| Entry::Folder(folder(number, &format!("{number}")));
    bench.list(DirKey::ROOTS, vec![sub(1)], &[]);
    bench.list(dir(1), vec![sub(2), sub(3), plain(9, "a")], &[]);
    bench.list(dir(3), vec![sub(4), sub(1)], &[]);
    let below: Vec<_> = bench.catalog.below(folder_id(1)).unwrap();
    let stamps = [Some(stamp(1002)), None, Some(stamp(1003)), None];
    let expected: Vec<_> = [1, 2, 3, 4].map(folder_id).into_iter().zip(stamps).collect();
    assert_eq!(below, expected);
    let oldest: Vec<_> = bench
        .catalog
        .oldest(1)
        .unwrap()
        .iter()
        .map(|found| found.0)
        .collect();
    assert_eq!(oldest, [folder_id(1)]);
    assert_eq!(bench.catalog.oldest(9).unwrap().len(), 2);
    let saved = bench.catalog.load(DirKey::ROOTS).unwrap().unwrap();
    let listed = bench.catalog.load(dir(1)).unwrap().unwrap();
    assert_eq!(saved.below, [(folder_id(1), listed.listing.residue())]);
    let found = bench.catalog.find(guid(9)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].dir, found[0].row.as_ref().unwrap().slot), (dir(1), 5));
    assert_eq!(bench.catalog.find(guid(1)).unwrap().len(), 2);
}
