//! How old an answer may be, what a refresh costs, and that a reader of a directory sees one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use pwfs::demo::knobs::{Knobs, SkipTokenMode, VersionGuids};
use pwfs::demo::{DemoOptions, Effect, Fault, RequestKind};
use pwfs::fs::Attr;
use pwfs::model::Guid;
use pwfs::remote::wsg::WsgOptions;
use pwfs::store::listing::DirCookie;
use pwfs::tree::inodes::{InodeNo, ROOT};
use pwfs::tree::{OnOutage, TreeConfig};
use tokio::runtime::Handle;

use crate::harness::{Bench, doc_name, small};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn names(bench: &Bench, ino: InodeNo) -> BTreeSet<String> {
    bench.list(ino).await.unwrap().into_keys().collect()
}

/// The file names of the active documents the world has in a folder.
fn truth(bench: &Bench, folder: Guid) -> BTreeSet<String> {
    bench
        .world()
        .documents()
        .into_iter()
        .filter(|document| document.folder_guid == folder && document.active)
        .filter_map(|document| document.file_name)
        .collect()
}

/// An outage of one folder's documents.
fn outage(folder: Guid) -> Fault {
    Fault::status(RequestKind::ListDocuments, 404).about(folder)
}

#[tokio::test]
async fn a_change_is_seen_when_metadata_ttl_is_over_and_not_before() {
    let bench = Bench::new().await;
    let (folder, guid, documents) = bench.stock("Fresh", 3).await;
    bench.list_twice(folder.ino).await;
    let before = names(&bench, folder.ino).await;
    let world = bench.world();
    world.add_document(guid, "added.txt", "added").unwrap();
    world.delete_document(documents[0]).unwrap();
    world.rename_document(documents[1], "renamed.txt").unwrap();
    bench.server.reset_counters();

    bench.clock.advance(Duration::from_secs(299));
    assert_eq!(names(&bench, folder.ino).await, before);
    assert!(bench.lookup(folder.ino, "added.txt").await.unwrap().is_none());
    assert_eq!(bench.server.requests().total, 0);

    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.lookup(folder.ino, "added.txt").await.unwrap().is_some());
    assert!(bench.lookup(folder.ino, &doc_name(0)).await.unwrap().is_none());
    assert!(bench.lookup(folder.ino, &doc_name(1)).await.unwrap().is_none());
    assert_eq!(names(&bench, folder.ino).await, truth(&bench, guid));
    assert_eq!(bench.asked(RequestKind::ListDocuments), 1);
}

#[tokio::test]
async fn the_age_counts_from_the_question_and_not_from_the_answer() {
    let bench = Bench::new().await;
    let (folder, guid, _) = bench.stock("Fresh", 2).await;
    bench.server.reset_counters();
    bench
        .server
        .inject(Fault::everywhere(Effect::HangAfterAccept).about(guid));
    let (listed, ()) = tokio::join!(bench.list(folder.ino), async {
        bench.server.wait_for(RequestKind::ListDocuments, 1).await;
        bench.clock.advance(Duration::from_secs(200));
        bench.server.clear_faults();
    });
    assert_eq!(listed.unwrap().len(), 2);
    bench.server.reset_counters();
    bench.clock.advance(Duration::from_secs(99));
    names(&bench, folder.ino).await;
    assert_eq!(bench.server.requests().total, 0);
    bench.clock.advance(Duration::from_secs(1));
    names(&bench, folder.ino).await;
    assert_eq!(bench.asked(RequestKind::ListDocuments), 1);
}

#[tokio::test]
async fn fifty_callers_share_one_refresh() {
    let bench = Bench::new().await;
    let (folder, guid, _) = bench.stock("Fresh", 3).await;
    bench.list_twice(folder.ino).await;
    bench.world().add_document(guid, "added.txt", "added").unwrap();
    bench.expire();
    bench.server.reset_counters();
    let hold = bench
        .server
        .inject(Fault::everywhere(Effect::HangAfterAccept).about(guid));
    let callers = join_all((0..50).map(|number| {
        let bench = &bench;
        async move {
            if number % 2 == 0 {
                names(bench, folder.ino).await.contains("added.txt")
            } else {
                bench.lookup(folder.ino, "added.txt").await.unwrap().is_some()
            }
        }
    }));
    let (seen, ()) = tokio::join!(callers, async {
        bench.server.wait_for(RequestKind::ListDocuments, 1).await;
        bench.server.clear_fault(hold);
    });
    assert!(seen.into_iter().all(|new| new), "all waited for the refresh");
    assert_eq!(bench.asked(RequestKind::ListDocuments), 1);
    // Unchanged, it is asked for once more beside what changed: rows of two moments make no listing.
    assert_eq!(bench.asked(RequestKind::ListProjects), 2);
}

#[tokio::test]
async fn an_outage_is_bridged_up_to_max_stale_and_heals() {
    let config = TreeConfig {
        max_stale: DAY,
        ..TreeConfig::default()
    };
    let bench = Bench::with(small(), config).await;
    let (folder, guid, _) = bench.stock("Fresh", 3).await;
    let before = names(&bench, folder.ino).await;
    bench.world().add_document(guid, "added.txt", "added").unwrap();
    let away = bench.server.inject(outage(guid));

    bench.clock.advance(DAY);
    assert_eq!(names(&bench, folder.ino).await, before);
    bench.clock.advance(Duration::from_secs(3));
    let error = bench.list(folder.ino).await.unwrap_err();
    assert_eq!(error.errno(), libc::EIO, "{error}");
    let error = bench.lookup(folder.ino, "added.txt").await.unwrap_err();
    assert_eq!(
        error.errno(),
        libc::EIO,
        "an age too great is no absence: {error}"
    );

    bench.server.clear_fault(away);
    bench.clock.advance(Duration::from_secs(3));
    assert_eq!(names(&bench, folder.ino).await, truth(&bench, guid));
}

#[tokio::test]
async fn a_server_that_is_back_is_asked_within_seconds() {
    let bench = Bench::new().await;
    let (folder, guid, _) = bench.stock("Fresh", 3).await;
    names(&bench, folder.ino).await;
    bench.expire();
    let away = bench.server.inject(outage(guid));
    names(&bench, folder.ino).await;
    bench.world().add_document(guid, "added.txt", "added").unwrap();
    bench.server.clear_fault(away);
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(names(&bench, folder.ino).await, truth(&bench, guid));
}

#[tokio::test]
async fn the_age_of_a_bridged_answer_can_be_read() {
    let bench = Bench::new().await;
    let (folder, guid, _) = bench.stock("Fresh", 3).await;
    let attr = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
    let fetched = bench.xattr(folder.ino, "user.projectwise.fetched_at");
    assert!(fetched.is_some());
    bench.expire();
    let away = bench.server.inject(outage(guid));
    names(&bench, folder.ino).await;
    assert_eq!(bench.xattr(folder.ino, "user.projectwise.fetched_at"), fetched);
    assert_eq!(bench.xattr(attr.ino, "user.projectwise.fetched_at"), fetched);
    bench.server.clear_fault(away);
    bench.clock.advance(Duration::from_secs(2));
    names(&bench, folder.ino).await;
    assert_ne!(bench.xattr(folder.ino, "user.projectwise.fetched_at"), fetched);
}

#[tokio::test]
async fn a_silent_folder_delays_no_other_one() {
    let bench = Bench::new().await;
    let (silent, guid, _) = bench.stock("Silent", 3).await;
    let (other, other_guid, _) = bench.stock("Other", 3).await;
    bench
        .server
        .inject(Fault::everywhere(Effect::HangAfterAccept).about(guid));
    let waiting = Handle::current().spawn({
        let fs = bench.fs.clone();
        async move { fs.lookup(silent.ino, doc_name(0).as_ref()).await }
    });
    bench.server.wait_for(RequestKind::ListDocuments, 1).await;
    assert_eq!(names(&bench, other.ino).await, truth(&bench, other_guid));
    assert!(names(&bench, ROOT).await.contains("Silent"));
    assert!(!waiting.is_finished());
    bench.server.clear_faults();
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_first_listing_whose_pages_keep_coming_is_waited_for_and_a_caller_leaves_after_two_minutes() {
    let options = DemoOptions {
        knobs: Knobs {
            page_size: 5,
            ..Knobs::default()
        },
        ..small()
    };
    let bench = Bench::with(options, TreeConfig::default()).await;
    let (folder, guid, _) = bench.stock("Slow", 80).await;
    bench.server.reset_counters();
    let page = |skip| {
        Fault::on(RequestKind::ListDocuments, Effect::HangAfterAccept)
            .about(guid)
            .after(skip)
    };
    let mut hold = bench.server.inject(page(0));
    let begun = tokio::time::Instant::now();
    let patient = async {
        let listed = bench.list(folder.ino).await;
        (listed, begun.elapsed())
    };
    let ((listed, waited), pages) = tokio::join!(patient, async {
        // Every page takes nine seconds.
        for pages in 1_u64.. {
            bench.server.wait_for(RequestKind::ListDocuments, pages).await;
            bench.pass(Duration::from_secs(9)).await;
            if pages == 14 {
                return pages;
            }
            bench.server.clear_fault(hold);
            hold = bench.server.inject(page(0));
        }
        unreachable!()
    });
    assert_eq!(pages, 14);
    assert!((120..=126).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(listed.unwrap_err().errno(), libc::ETIMEDOUT);
    // The fetch went on, and is joined.
    bench.server.clear_faults();
    assert_eq!(names(&bench, folder.ino).await, truth(&bench, guid));
    assert_eq!(bench.asked(RequestKind::ListDocuments), 16);
}

/// Changes the world after the first page of a listing has left.
async fn list_while(
    bench: &Bench,
    folder: &Attr,
    guid: Guid,
    change: impl FnOnce(),
) -> BTreeMap<String, Attr> {
    bench.server.reset_counters();
    let hold = bench.server.inject(
        Fault::on(RequestKind::ListDocuments, Effect::HangAfterAccept)
            .about(guid)
            .after(1)
            .times(1),
    );
    let (listed, ()) = tokio::join!(bench.list(folder.ino), async {
        bench.server.wait_for(RequestKind::ListDocuments, 2).await;
        change();
        bench.server.clear_fault(hold);
    });
    listed.unwrap()
}

/// What no shift may lose: everything that is there before and after.
async fn check_shifting(skip_token: bool, held: bool) {
    type Change = fn(&Bench, Guid, &[Guid]);
    let changes: [(&str, Change); 5] = [
        ("one of the first page goes", |bench, _, documents| {
            bench.world().delete_document(documents[2]).unwrap();
        }),
        ("three of the first page go", |bench, _, documents| {
            for document in &documents[1..4] {
                bench.world().delete_document(*document).unwrap();
            }
        }),
        ("one comes before the first", |bench, folder, _| {
            bench.world().add_document(folder, "aaa.txt", "new").unwrap();
        }),
        ("the last of the first page goes", |bench, _, documents| {
            bench.world().delete_document(documents[9]).unwrap();
        }),
        ("one of the last page comes first", |bench, _, documents| {
            bench.world().rename_document(documents[28], "aab.txt").unwrap();
        }),
    ];
    for (what, change) in changes {
        let options = DemoOptions {
            knobs: Knobs {
                skip_token: if skip_token {
                    SkipTokenMode::OptIn
                } else {
                    SkipTokenMode::Ignored
                },
                ..Knobs::default()
            },
            ..small()
        };
        let wsg = WsgOptions {
            page_size: 10,
            ..WsgOptions::default()
        };
        let bench = Bench::tuned(options, TreeConfig::default(), wsg).await;
        let (folder, guid, documents) = bench.stock("Shifting", 30).await;
        if held {
            names(&bench, folder.ino).await;
            bench.expire();
        }
        let before: BTreeSet<Guid> = documents.iter().copied().collect();
        let listed = list_while(&bench, &folder, guid, || change(&bench, guid, &documents)).await;
        let seen: Vec<Guid> = listed.values().map(|attr| bench.guid(attr)).collect();
        let world = bench.world();
        let stayed = before.iter().filter(|guid| world.document(**guid).is_some());
        for guid in stayed {
            assert_eq!(
                seen.iter().filter(|other| *other == guid).count(),
                1,
                "{what}: {:?}",
                world.document(*guid)
            );
        }
        // And when the dust has settled it is the world.
        bench.expire();
        assert_eq!(names(&bench, folder.ino).await, truth(&bench, guid), "{what}");
    }
}

#[tokio::test]
async fn a_listing_that_shifts_between_counted_pages_loses_no_row() {
    check_shifting(false, false).await;
    check_shifting(false, true).await;
}

#[tokio::test]
async fn a_listing_that_shifts_between_token_pages_loses_no_row() {
    check_shifting(true, false).await;
    check_shifting(true, true).await;
}

#[tokio::test]
async fn a_row_that_jumps_past_the_pages_while_another_leaves_is_found_by_its_id() {
    let options = DemoOptions {
        knobs: Knobs {
            skip_token: SkipTokenMode::Ignored,
            ..Knobs::default()
        },
        ..small()
    };
    let wsg = WsgOptions {
        page_size: 10,
        ..WsgOptions::default()
    };
    let bench = Bench::tuned(options, TreeConfig::default(), wsg).await;
    let (folder, guid, documents) = bench.stock("Shifting", 30).await;
    names(&bench, folder.ino).await;
    bench.expire();
    // The anchor stays where it was: no page looks wrong.
    let listed = list_while(&bench, &folder, guid, || {
        bench.world().delete_document(documents[4]).unwrap();
        bench.world().rename_document(documents[25], "aaa.txt").unwrap();
    })
    .await;
    let shown: BTreeSet<String> = listed.into_keys().collect();
    assert_eq!(shown, truth(&bench, guid));
    assert!(bench.asked(RequestKind::FindIds) >= 1);
}

#[tokio::test]
async fn a_directory_mtime_moves_with_its_membership_strictly_and_with_nothing_else() {
    let bench = Bench::new().await;
    let (folder, guid, documents) = bench.stock("Moving", 4).await;
    let world = bench.world();
    let mut below = None;
    let mtime = async || {
        names(&bench, folder.ino).await;
        bench.fs.getattr(folder.ino).unwrap().0.mtime
    };
    let mut last = mtime().await;
    assert_eq!(last, folder.mtime, "having been looked at is no change");

    for still in 0..3 {
        match still {
            1 => world.edit_description(documents[1], "other words").unwrap(),
            2 => {
                bench.server.inject(outage(guid));
            }
            _ => {}
        }
        bench.expire();
        assert_eq!(mtime().await, last, "nothing changed ({still})");
    }
    bench.server.clear_faults();
    bench.clock.advance(Duration::from_secs(3));

    for change in 0..8 {
        match change {
            0 => drop(world.add_document(guid, "added.txt", "x").unwrap()),
            1 => world.rename_document(documents[0], "renamed.txt").unwrap(),
            2 => world.delete_document(documents[3]).unwrap(),
            3 => drop(world.new_version(documents[1], "version two").unwrap()),
            4 => below = Some(world.add_folder(Some(guid), "Below").unwrap()),
            5 => world.rename_folder(below.unwrap(), "Below Too").unwrap(),
            6 => world.move_folder(below.unwrap(), None).unwrap(),
            _ => world.move_folder(below.unwrap(), Some(guid)).unwrap(),
        }
        bench.expire();
        let now = mtime().await;
        assert!(now > last, "change {change}: {now} after {last}");
        last = now;
        bench.expire();
        assert_eq!(mtime().await, last);
    }
}

#[tokio::test]
async fn a_directory_read_in_pieces_is_one_snapshot_whatever_happens_meanwhile() {
    for (refreshes, version_guids) in [
        (1, VersionGuids::Keep),
        (3, VersionGuids::New),
        (9, VersionGuids::Keep),
        (9, VersionGuids::New),
    ] {
        let options = DemoOptions {
            knobs: Knobs {
                version_guids,
                ..Knobs::default()
            },
            ..small()
        };
        let bench = Bench::with(options, TreeConfig::default()).await;
        let (folder, guid, mut documents) = bench.stock("Pieces", 40).await;
        let world = bench.world();
        let begun = names(&bench, folder.ino).await;
        let mut cookie = DirCookie::from_offset(0);
        let mut entries = Vec::new();
        let mut changes = 0;
        while bench
            .next_piece(folder.ino, &mut cookie, 3, &mut entries)
            .await
            .unwrap()
        {
            // It ends some time, or the reader would follow what is added for ever.
            for _ in 0..if changes < 60 { refreshes } else { 0 } {
                // From both ends and the middle, ahead of the reader and behind it.
                match changes % 4 {
                    0 => drop(
                        world
                            .add_document(guid, &format!("aaa-{changes:03}.txt"), "x")
                            .unwrap(),
                    ),
                    1 => world.delete_document(documents[39 - changes / 4]).unwrap(),
                    2 => {
                        let number = changes / 4 * 5 % 20;
                        documents[number] = world
                            .new_version(documents[number], format!("version {changes}"))
                            .unwrap();
                    }
                    _ => drop(
                        world
                            .add_document(guid, &format!("zzz-{changes:03}.txt"), "x")
                            .unwrap(),
                    ),
                }
                changes += 1;
                bench.expire();
                names(&bench, folder.ino).await;
            }
        }
        let mut seen = BTreeMap::new();
        for (name, _) in &entries {
            *seen.entry(name.clone()).or_insert(0) += 1;
        }
        let ended = truth(&bench, guid);
        for name in begun.intersection(&ended) {
            assert_eq!(
                seen.get(name),
                Some(&1),
                "{name} with {refreshes} refreshes a piece"
            );
        }
        assert!(seen.values().all(|count| *count == 1), "nothing twice: {seen:?}");
        assert!(begun.difference(&ended).count() > 0 && ended.difference(&begun).count() > 0);
    }
}

#[tokio::test]
async fn a_directory_read_through_three_refreshes_is_exactly_what_it_was() {
    let bench = Bench::new().await;
    let (folder, guid, documents) = bench.stock("Pieces", 12).await;
    let begun = names(&bench, folder.ino).await;
    let mut cookie = DirCookie::from_offset(0);
    let mut entries = Vec::new();
    let mut change = 0;
    while bench
        .next_piece(folder.ino, &mut cookie, 3, &mut entries)
        .await
        .unwrap()
    {
        if change < 3 {
            let name = format!("doc-{:02}-more.txt", 5 * change);
            bench.world().add_document(guid, &name, "x").unwrap();
            bench.world().delete_document(documents[11 - change]).unwrap();
            bench.expire();
            names(&bench, folder.ino).await;
            change += 1;
        }
    }
    let seen: Vec<String> = entries.into_iter().map(|(name, _)| name).collect();
    assert_eq!(seen, begun.into_iter().collect::<Vec<_>>());
    assert_eq!(names(&bench, folder.ino).await, truth(&bench, guid));
}

#[tokio::test]
async fn a_renamed_document_is_not_given_twice_to_one_reader() {
    let bench = Bench::new().await;
    let (folder, _, documents) = bench.stock("Pieces", 12).await;
    let mut cookie = DirCookie::from_offset(0);
    let mut entries = Vec::new();
    let mut round = 0;
    while bench
        .next_piece(folder.ino, &mut cookie, 3, &mut entries)
        .await
        .unwrap()
    {
        // Ten generations: more than are remembered.
        for _ in 0..10 {
            round += 1;
            bench
                .world()
                .rename_document(documents[0], &format!("zzz-{round}.txt"))
                .unwrap();
            bench.expire();
            names(&bench, folder.ino).await;
        }
    }
    let mut inodes: Vec<InodeNo> = entries.iter().map(|(_, attr)| attr.ino).collect();
    assert_eq!(inodes.len(), 12);
    inodes.sort_unstable();
    inodes.dedup();
    assert_eq!(inodes.len(), 12, "each document once");
}

#[tokio::test]
async fn a_listing_of_any_age_is_taken_where_no_ttl_is_set() {
    let config = TreeConfig {
        metadata_ttl: None,
        on_outage: OnOutage::Fail,
        ..TreeConfig::default()
    };
    let bench = Bench::with(small(), config).await;
    let guid = bench.world().add_folder(None, "Archive").unwrap();
    bench.world().add_document(guid, "old.txt", "old").unwrap();
    let folder = bench.find(&["Archive"]).await.unwrap();
    names(&bench, folder.ino).await;
    bench.server.reset_counters();
    bench.server.inject(Fault::everywhere(Effect::DropConnection));
    bench.clock.advance(365 * DAY);
    assert_eq!(names(&bench, folder.ino).await, truth(&bench, guid));
    assert_eq!(bench.server.requests().total, 0);
}
