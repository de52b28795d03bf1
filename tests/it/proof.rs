//! Listings are complete or errors, whatever happens between their pages and whatever the server does to their rows;
//! and what is asked cheaply is asked truly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pwfs::demo::knobs::{Ancestor, Knobs, NavNode, NoRights, RevokedFolder, SkipTokenMode};
use pwfs::demo::{Access, DemoOptions, Effect, Fault, RequestKind};
use pwfs::fs::error::FsError;
use pwfs::model::{ByteRange, DocumentId, Entry, FolderId, Guid, ObjectId};
use pwfs::remote::wsg::WsgOptions;
use pwfs::remote::{Answer, Progress, Remote, RemoteError, Subtree, Validator, Whereabouts};
use pwfs::tree::inodes::ROOT;
use pwfs::tree::{OnOutage, TreeConfig};

use crate::harness::{Bench, doc_name, small};

const TOKENS: SkipTokenMode = SkipTokenMode::OptIn;
const SKIP: SkipTokenMode = SkipTokenMode::Ignored;

async fn bench(tokens: SkipTokenMode, page_size: usize) -> Bench {
    let options = DemoOptions {
        knobs: Knobs {
            skip_token: tokens,
            ..Knobs::default()
        },
        ..small()
    };
    let config = TreeConfig {
        on_outage: OnOutage::Fail,
        ..TreeConfig::default()
    };
    let wsg = WsgOptions {
        page_size,
        ..WsgOptions::default()
    };
    Bench::tuned(options, config, wsg).await
}

/// A folder of `count` documents in an order of names that is not the one they were made in.
fn folder_of(bench: &Bench, name: &str, count: usize, random: &mut fastrand::Rng) -> (FolderId, Vec<Guid>) {
    let world = bench.world();
    let folder = world.add_folder(None, name).unwrap();
    let mut numbers: Vec<usize> = (0..count).collect();
    random.shuffle(&mut numbers);
    let mut documents: Vec<(usize, Guid)> = numbers
        .into_iter()
        .map(|number| {
            (
                number,
                world.add_document(folder, &doc_name(number), "x").unwrap(),
            )
        })
        .collect();
    documents.sort_unstable();
    (
        FolderId(folder),
        documents.into_iter().map(|(_, guid)| guid).collect(),
    )
}

async fn ids(bench: &Bench, folder: FolderId) -> Result<BTreeSet<Guid>, RemoteError> {
    let entries = bench.remote.list(folder, &Progress::new()).await?;
    Ok(entries.iter().map(|entry| entry.id().guid()).collect())
}

/// Lists `folder` while `change` happens before the documents' page number `page` (from 0) is answered.
async fn list_while<T>(
    bench: &Bench,
    folder: FolderId,
    page: u32,
    change: impl FnOnce() -> T,
) -> (Result<BTreeSet<Guid>, RemoteError>, T) {
    bench.server.reset_counters();
    bench.server.inject(Fault {
        skip: page,
        ..Fault::on(RequestKind::ListDocuments, Effect::HangAfterAccept).about(folder.0)
    });
    tokio::join!(ids(bench, folder), async {
        bench
            .server
            .wait_for(RequestKind::ListDocuments, u64::from(page) + 1)
            .await;
        let changed = change();
        bench.server.clear_faults();
        changed
    })
}

#[tokio::test]
async fn a_row_deleted_before_the_cursor_takes_no_other_one_with_it() {
    let mut seeds = 0;
    for (tokens, page_size) in [(SKIP, 5), (SKIP, 8), (TOKENS, 5), (TOKENS, 8)] {
        let bench = bench(tokens, page_size).await;
        for seed in 0..50_u64 {
            seeds += 1;
            let mut random = fastrand::Rng::with_seed(seed);
            let count = page_size * random.usize(1..4) + random.usize(1..page_size);
            let (folder, documents) = folder_of(&bench, &format!("Seed {seed}"), count, &mut random);
            let all: BTreeSet<Guid> = documents.iter().copied().collect();
            // Every position in turn: before each page, a row of each earlier one.
            let pages = u32::try_from(count / page_size).unwrap();
            let page = u32::try_from(seed).unwrap() % pages + 1;
            let before = usize::try_from(page).unwrap() * page_size;
            let victims: BTreeSet<Guid> = (0..random.usize(1..3))
                .map(|_| documents[random.usize(..before.min(count))])
                .collect();
            let world = bench.world();
            let (listed, ()) = list_while(&bench, folder, page, || {
                for victim in &victims {
                    world.delete_document(*victim).unwrap();
                }
            })
            .await;
            let listed = listed.unwrap();
            let lost: Vec<&Guid> = all
                .difference(&listed)
                .filter(|guid| !victims.contains(guid))
                .collect();
            assert!(
                lost.is_empty(),
                "seed {seed}, {tokens:?}, pages of {page_size}: {lost:?}"
            );
            assert!(listed.is_subset(&all));
            // And what is said of those that left is true of each.
            let gone: Vec<ObjectId> = all
                .difference(&listed)
                .map(|guid| ObjectId::Document(DocumentId(*guid)))
                .collect();
            for (id, whereabouts) in bench.remote.whereabouts(&gone).await.unwrap() {
                assert!(victims.contains(&id.guid()));
                assert!(matches!(whereabouts, Whereabouts::Deleted), "{whereabouts:?}");
            }
        }
    }
    assert_eq!(seeds, 200);
}

#[tokio::test]
async fn a_row_that_slides_past_the_cursor_unseen_is_missed_and_asked_for() {
    // The one thing pages cannot show: one row before the cursor leaves, and one behind it is renamed to before it.
    let bench = bench(SKIP, 5).await;
    let (folder, guid, documents) = bench.stock("Slide", 17).await;
    let truth = |renamed: &str| -> BTreeSet<String> {
        let mut names: BTreeSet<String> = (0..17).map(doc_name).collect();
        names.remove(&doc_name(0));
        names.remove(&doc_name(15));
        names.insert(renamed.to_owned());
        names
    };
    bench.list(folder.ino).await.unwrap();
    bench.expire();
    bench.server.reset_counters();
    bench.server.inject(Fault {
        skip: 1,
        ..Fault::on(RequestKind::ListDocuments, Effect::HangAfterAccept).about(guid)
    });
    let world = bench.world();
    let (listed, ()) = tokio::join!(bench.list(folder.ino), async {
        bench.server.wait_for(RequestKind::ListDocuments, 2).await;
        world.delete_document(documents[0]).unwrap();
        world.rename_document(documents[15], "aaa.txt").unwrap();
        bench.server.clear_faults();
    });
    let names: BTreeSet<String> = listed.unwrap().into_keys().collect();
    assert_eq!(names, truth("aaa.txt"));
}

/// Everything the simulator can do to an answer that ends by itself.
fn effects() -> Vec<Effect> {
    let refused = |code: u16, id: Option<&str>| Effect::Status {
        code,
        error_id: id.map(str::to_owned),
        retry_after: None,
    };
    vec![
        refused(304, None),
        refused(400, None),
        refused(404, None),
        refused(404, Some("InstanceNotFound")),
        refused(500, None),
        Effect::Truncate { after: 40 },
        Effect::ResetBody { after: 40 },
        Effect::DropConnection,
        Effect::ResetConnection,
        Effect::CloseConnection,
        Effect::Gzip,
        Effect::SecretGzip,
        Effect::HtmlLogin,
        Effect::RedirectToLogin,
        Effect::MalformedJson,
        Effect::JsonNull,
        Effect::EmptyBody,
        Effect::EmptyList,
        Effect::NestedJson { depth: 1000 },
        Effect::WrongContentType { content_type: None },
        Effect::ByteOrderMark,
        Effect::InvalidUtf8,
        Effect::DuplicateKeys,
        Effect::WrongTypes,
        Effect::LoopingSkipToken,
        Effect::RepeatedPage,
        Effect::ExpiredSkipToken,
        Effect::RowLost,
        Effect::RowTwice,
        Effect::RowLeftOut,
        Effect::RowDoubled,
        Effect::ChangedEtag,
    ]
}

/// Lists a folder that was listed before, one that was not, and the root, while everything suffers.
async fn suffer(effect: &Effect, tokens: SkipTokenMode) {
    let bench = bench(tokens, 10).await;
    let (known, _, _) = bench.stock("Known", 23).await;
    let (fresh, _, _) = bench.stock("Fresh", 23).await;
    let truth: BTreeSet<String> = (0..23).map(doc_name).collect();
    let names = |listed: Result<BTreeMap<String, _>, FsError>| {
        listed.map(|listed| listed.into_keys().collect::<BTreeSet<String>>())
    };
    assert_eq!(names(bench.list(known.ino).await).unwrap(), truth);
    let root = names(bench.list(ROOT).await).unwrap();
    bench.expire();
    bench.server.inject(Fault::everywhere(effect.clone()));
    if let Ok(listed) = names(bench.list(known.ino).await) {
        assert_eq!(listed, truth, "{effect:?}, {tokens:?}, listed before");
    }
    // Nobody can miss what nobody has seen: a row in the middle of a page, or one that the server's own bookmark skips.
    let unseen =
        *effect == Effect::RowLeftOut || (*effect == Effect::RowLost && tokens == SkipTokenMode::OptIn);
    if !unseen && let Ok(listed) = names(bench.list(fresh.ino).await) {
        assert_eq!(listed, truth, "{effect:?}, {tokens:?}, never listed before");
    }
    if let Ok(listed) = names(bench.list(ROOT).await) {
        assert_eq!(listed, root, "{effect:?}, {tokens:?}, the root");
    }
}

#[tokio::test]
async fn every_fault_of_a_listing_by_skip_ends_in_the_right_one_or_in_an_error() {
    for effect in effects() {
        suffer(&effect, SKIP).await;
    }
}

#[tokio::test]
async fn every_fault_of_a_listing_by_token_ends_in_the_right_one_or_in_an_error() {
    // What spoils an answer whatever page it is, is tried above.
    let paged = |effect: &Effect| {
        matches!(
            effect,
            Effect::LoopingSkipToken
                | Effect::RepeatedPage
                | Effect::ExpiredSkipToken
                | Effect::RowLost
                | Effect::RowTwice
                | Effect::RowLeftOut
                | Effect::RowDoubled
                | Effect::EmptyList
                | Effect::WrongTypes
                | Effect::Truncate { .. }
        )
    };
    for effect in effects().into_iter().filter(paged) {
        suffer(&effect, TOKENS).await;
    }
}

#[tokio::test]
async fn a_root_that_looks_empty_is_asked_for_in_another_way() {
    for nav_node in [NavNode::Served, NavNode::Missing] {
        for effect in [Effect::EmptyList, Effect::WrongTypes, Effect::JsonNull] {
            let bench = bench(TOKENS, 100).await;
            bench.server.turn(|knobs| knobs.nav_node = nav_node);
            // Nobody has seen this root before.
            bench.server.inject(Fault::everywhere(effect.clone()));
            let listed = bench.list(ROOT).await;
            assert!(listed.is_err(), "{nav_node:?} {effect:?}: {listed:?}");
            bench.server.clear_faults();
            bench.pass(Duration::from_secs(301)).await;
            let truth = bench.list(ROOT).await.unwrap();
            assert!(!truth.is_empty());
            bench.expire();
            bench
                .server
                .inject(Fault::on(RequestKind::NavNode, effect.clone()));
            if let Ok(listed) = bench.list(ROOT).await {
                assert_eq!(
                    listed.keys().collect::<Vec<_>>(),
                    truth.keys().collect::<Vec<_>>(),
                    "{nav_node:?} {effect:?}"
                );
            }
        }
    }
}

/// Asks whether `folder` has changed.
async fn ask(bench: &Bench, folder: FolderId, seen: Option<&Validator>) -> (Answer, u64) {
    bench.server.reset_counters();
    let answer = bench
        .remote
        .list_if_changed(folder, seen, &Progress::new())
        .await
        .unwrap();
    (answer, bench.server.requests().total)
}

fn rows(answer: Answer) -> (BTreeSet<Guid>, Option<Validator>) {
    match answer {
        Answer::Rows { entries, validator } => {
            (entries.iter().map(|entry| entry.id().guid()).collect(), validator)
        }
        Answer::Unchanged => panic!("rows were expected"),
    }
}

/// What is known of a folder whose rows came twice.
async fn confirmed(bench: &Bench, folder: FolderId) -> Validator {
    let (answer, _) = ask(bench, folder, None).await;
    let (answer, _) = ask(bench, folder, rows(answer).1.as_ref()).await;
    rows(answer).1.unwrap()
}

/// As a quarter of an hour later.
fn aged(validator: &Validator) -> Validator {
    let (head, rest) = validator.0.split_once("\"since\":").unwrap();
    let (since, tail) = rest.split_once(',').unwrap();
    let since: i64 = since.parse().unwrap();
    Validator(format!("{head}\"since\":{},{tail}", since - 901))
}

#[tokio::test]
async fn an_unchanged_folder_costs_two_questions_and_no_row() {
    for tokens in [TOKENS, SKIP] {
        let bench = bench(tokens, 50).await;
        let mut random = fastrand::Rng::with_seed(1);
        // What a server caps pages at is not known before it has sent one.
        let (large, _) = folder_of(&bench, "Large", 60, &mut random);
        for name in ["A", "B", "C"] {
            bench.world().add_folder(Some(large.0), name).unwrap();
        }
        let (folder, documents) = folder_of(&bench, "Folder", 12, &mut random);
        bench.world().add_folder(Some(folder.0), "Below").unwrap();
        let (answer, _) = ask(&bench, large, None).await;
        assert_eq!(rows(answer).1, None, "a tag tells of one page");
        let (answer, requests) = ask(&bench, folder, None).await;
        let (all, seen) = rows(answer);
        assert_eq!((all.len(), requests), (13, 2), "{tokens:?}");
        // An answer may have lost a row on its way, and has the tag of the whole one.
        let (answer, requests) = ask(&bench, folder, seen.as_ref()).await;
        let (again, seen) = rows(answer);
        assert_eq!((&again, requests), (&all, 2));
        let seen = seen.unwrap();
        let (answer, requests) = ask(&bench, folder, Some(&seen)).await;
        assert!(matches!(answer, Answer::Unchanged), "{answer:?}");
        assert_eq!(requests, 2);

        // One part changed: the other one is asked for again, so that no listing is of two moments.
        bench.world().delete_document(documents[3]).unwrap();
        let (answer, requests) = ask(&bench, folder, Some(&seen)).await;
        let (left, _) = rows(answer);
        assert_eq!((left.len(), requests), (12, 3));
        assert!(!left.contains(&documents[3]));

        // Another way of asking is another answer.
        bench.world().undelete(documents[3]).unwrap();
        let state = tempfile::tempdir().unwrap();
        let other = crate::harness::connect(&bench.server, state.path()).await;
        let answer = other
            .list_if_changed(folder, Some(&seen), &Progress::new())
            .await
            .unwrap();
        assert_eq!(rows(answer).0, all);

        bench.server.turn(|knobs| knobs.no_304 = true);
        let (answer, _) = ask(&bench, folder, Some(&seen)).await;
        assert_eq!(
            rows(answer),
            (all, None),
            "a server without tags gives nothing to ask with"
        );
    }
}

#[tokio::test]
async fn a_server_that_says_unchanged_to_everything_is_found_out() {
    let bench = bench(TOKENS, 50).await;
    let mut random = fastrand::Rng::with_seed(1);
    let (folder, documents) = folder_of(&bench, "Folder", 12, &mut random);
    let seen = confirmed(&bench, folder).await;
    bench.server.inject(Fault::everywhere(Effect::FalseNotModified));
    bench.world().delete_document(documents[0]).unwrap();
    let (answer, _) = ask(&bench, folder, Some(&seen)).await;
    assert!(matches!(answer, Answer::Unchanged), "nobody can know yet");
    // After a quarter of an hour nobody is believed any more.
    let (answer, requests) = ask(&bench, folder, Some(&aged(&seen))).await;
    let (left, validator) = rows(answer);
    assert_eq!(left.len(), 11);
    assert_eq!(validator, None, "and this server never again");
    assert_eq!(requests, 3, "one question shows what its tags are worth");
    let (answer, requests) = ask(&bench, folder, Some(&seen)).await;
    assert_eq!((rows(answer).0.len(), requests), (11, 2));
}

#[tokio::test]
async fn an_honest_server_is_believed_again_after_it_was_asked_for_everything() {
    let bench = bench(TOKENS, 50).await;
    let mut random = fastrand::Rng::with_seed(1);
    let (folder, documents) = folder_of(&bench, "Folder", 12, &mut random);
    let seen = confirmed(&bench, folder).await;
    bench.world().delete_document(documents[0]).unwrap();
    let (answer, requests) = ask(&bench, folder, Some(&aged(&seen))).await;
    let seen = rows(answer).1.unwrap();
    assert_eq!(requests, 3, "the old tag is tried once");
    bench.world().delete_document(documents[1]).unwrap();
    let (answer, requests) = ask(&bench, folder, Some(&aged(&seen))).await;
    let seen = rows(answer).1.unwrap();
    assert_eq!(requests, 2, "and not again so soon");
    let (answer, _) = ask(&bench, folder, Some(&seen)).await;
    let seen = rows(answer).1.unwrap();
    let (answer, _) = ask(&bench, folder, Some(&seen)).await;
    assert!(matches!(answer, Answer::Unchanged));
    let (answer, requests) = ask(&bench, folder, Some(&aged(&seen))).await;
    assert_eq!((rows(answer).0.len(), requests), (10, 2));
}

#[tokio::test]
async fn tags_that_change_for_no_reason_cost_rows_and_nothing_else() {
    let bench = bench(TOKENS, 50).await;
    let mut random = fastrand::Rng::with_seed(1);
    let (folder, _) = folder_of(&bench, "Folder", 12, &mut random);
    bench.server.inject(Fault::everywhere(Effect::ChangedEtag));
    let mut seen = None;
    for _ in 0..3 {
        let (answer, requests) = ask(&bench, folder, seen.as_ref()).await;
        let (all, validator) = rows(answer);
        assert_eq!((all.len(), requests), (12, 2));
        seen = Some(validator.unwrap());
    }
}

/// A project of some depth, and how many entries are below it.
fn project(bench: &Bench) -> (FolderId, BTreeSet<Guid>) {
    let world = bench.world();
    let top = world.add_folder(None, "Project").unwrap();
    let mut all = BTreeSet::new();
    for shelf in 0..4 {
        let shelf_guid = world.add_folder(Some(top), &format!("Shelf {shelf}")).unwrap();
        all.insert(shelf_guid);
        for folder in 0..3 {
            let guid = world
                .add_folder(Some(shelf_guid), &format!("Folder {folder}"))
                .unwrap();
            all.insert(guid);
            for number in 0..shelf * 3 {
                let document = world.add_document(guid, &doc_name(number), "x").unwrap();
                // An old version is in the folder, and not listed in it.
                all.insert(world.new_version(document, "y").unwrap());
            }
        }
    }
    (FolderId(top), all)
}

/// What is below `top`, which is listed first: few questions for more than a listing of its own.
async fn subtree(bench: &Bench, top: FolderId, most: usize) -> Result<Subtree, RemoteError> {
    let progress = Progress::new();
    let children = bench.remote.list(top, &progress).await?;
    let children: Vec<ObjectId> = children.iter().map(Entry::id).collect();
    bench.remote.subtree(top, &children, most, &progress).await
}

fn below(subtree: Subtree) -> Vec<Entry> {
    match subtree {
        Subtree::Rows(rows) => rows,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_subtree_is_everything_that_single_listings_show() {
    for tokens in [TOKENS, SKIP] {
        for ancestor in [Ancestor::Both, Ancestor::Dash, Ancestor::Equals] {
            let bench = bench(tokens, 20).await;
            bench.server.turn(|knobs| knobs.ancestor = ancestor);
            let (top, all) = project(&bench);
            for round in 0..2 {
                bench.server.reset_counters();
                let rows = below(subtree(&bench, top, 1000).await.unwrap());
                let found: BTreeSet<Guid> = rows.iter().map(|row| row.id().guid()).collect();
                assert_eq!(found, all, "{ancestor:?} {tokens:?}");
                let requests = bench.server.requests().total;
                assert!(
                    requests < 2 * 17,
                    "{requests} in round {round}, single listings cost 34"
                );
                if round == 1 {
                    // The folder's own, one page of folders, the pages of documents and old versions.
                    assert!(requests <= 12, "{requests}");
                }
                // Whole entries, or nobody could tell by them that a folder is unchanged.
                let mut listed = vec![top];
                while let Some(folder) = listed.pop() {
                    let single = bench.remote.list(folder, &Progress::new()).await.unwrap();
                    let together = rows.iter().filter(|row| row.parent() == Some(folder));
                    let sorted = |mut rows: Vec<Entry>| {
                        rows.sort_by_key(|row| row.id().guid());
                        rows
                    };
                    assert_eq!(sorted(together.cloned().collect()), sorted(single.clone()));
                    listed.extend(single.iter().filter_map(|entry| match entry {
                        Entry::Folder(folder) => Some(folder.id),
                        Entry::Document(_) => None,
                    }));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_subtree_that_is_larger_than_wanted_is_read_no_further() {
    for tokens in [TOKENS, SKIP] {
        let bench = bench(tokens, 5).await;
        let (top, all) = project(&bench);
        // Where it is known how to ask, nothing else is.
        let _ = below(subtree(&bench, top, 1000).await.unwrap());
        let children = bench.remote.list(top, &Progress::new()).await.unwrap();
        let children: Vec<ObjectId> = children.iter().map(Entry::id).collect();
        for most in [0, 1, 20, all.len() - 1] {
            bench.server.reset_counters();
            let answer = bench
                .remote
                .subtree(top, &children, most, &Progress::new())
                .await
                .unwrap();
            assert!(matches!(answer, Subtree::TooLarge), "{most}: {answer:?}");
            // A full page each for one too many, and the one that was on its way.
            let requests = usize::try_from(bench.server.requests().total).unwrap();
            assert!(requests <= most / 4 + 7, "{requests} for {most} rows");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_what_is_below_is_asked_once() {
    for ancestor in [Ancestor::Ignored, Ancestor::Refused] {
        let bench = bench(TOKENS, 20).await;
        bench.server.turn(|knobs| knobs.ancestor = ancestor);
        let (top, _) = project(&bench);
        bench.server.reset_counters();
        let answer = subtree(&bench, top, 1000).await.unwrap();
        assert!(matches!(answer, Subtree::NotSupported), "{ancestor:?}");
        let requests = bench.server.requests().total;
        assert_eq!(requests, 2 + 2, "its own listing, and one try for each spelling");
        let again = bench
            .remote
            .subtree(top, &[], 1000, &Progress::new())
            .await
            .unwrap();
        assert!(matches!(again, Subtree::NotSupported));
        assert_eq!(bench.server.requests().total, requests);
    }
}

#[tokio::test]
async fn many_who_ask_at_once_find_out_together_how_to_ask() {
    let bench = bench(TOKENS, 500).await;
    bench.server.turn(|knobs| knobs.ancestor = Ancestor::Equals);
    let (top, all) = project(&bench);
    let children = bench.remote.list(top, &Progress::new()).await.unwrap();
    let children: Vec<ObjectId> = children.iter().map(Entry::id).collect();
    bench.server.reset_counters();
    let progress = Progress::new();
    let ask = || bench.remote.subtree(top, &children, 1000, &progress);
    let answers = tokio::join!(ask(), ask(), ask(), ask());
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(below(answer.unwrap()).len(), all.len());
    }
    // The spelling that is ignored, the other one, a folder of the answer to compare with; and for each the folders, twice,
    // and two pages of documents.
    assert_eq!(bench.server.requests().total, 1 + 1 + 2 + 4 * (2 + 2));
}

#[tokio::test]
async fn a_subtree_that_does_not_fit_the_listing_is_none_this_time() {
    let bench = bench(TOKENS, 20).await;
    let (top, all) = project(&bench);
    let other = bench.world().add_folder(None, "Other").unwrap();
    bench.world().add_document(other, "a.txt", "x").unwrap();
    // What was listed before somebody added a folder.
    let stale = bench.remote.list(top, &Progress::new()).await.unwrap();
    let stale: Vec<ObjectId> = stale.iter().map(Entry::id).collect();
    let new = bench.world().add_folder(Some(top.0), "New").unwrap();
    for round in 0..5 {
        let answer = bench
            .remote
            .subtree(top, &stale, 1000, &Progress::new())
            .await
            .unwrap();
        assert!(
            !matches!(answer, Subtree::Rows(_) | Subtree::TooLarge),
            "{answer:?}"
        );
        // A server that was seen to do it is not given up for that.
        if round == 0 {
            assert!(matches!(answer, Subtree::Unsettled));
            let rows = below(subtree(&bench, top, 1000).await.unwrap());
            assert_eq!(rows.len(), all.len() + 1);
            assert!(rows.iter().any(|row| row.id().guid() == new));
        }
        assert!(matches!(answer, Subtree::Unsettled));
    }
}

#[tokio::test]
async fn a_folder_that_leaves_while_a_subtree_is_told_never_makes_a_short_one() {
    let bench = bench(TOKENS, 500).await;
    let (top, _) = project(&bench);
    let world = bench.world();
    let known = below(subtree(&bench, top, 1000).await.unwrap());
    let there = world.add_folder(None, "Elsewhere").unwrap();
    // A folder of documents, deep below, that has a folder, too.
    let leaving = known
        .iter()
        .find_map(|row| match row {
            Entry::Folder(folder) if folder.name == "Folder 2" => Some(folder.id),
            _ => None,
        })
        .unwrap();
    world.add_document(leaving.0, "both.txt", "x").unwrap();
    world.add_folder(Some(leaving.0), "Inside").unwrap();
    let children = bench.remote.list(top, &Progress::new()).await.unwrap();
    let children: Vec<ObjectId> = children.iter().map(Entry::id).collect();
    bench.server.reset_counters();
    let fault = Fault::on(RequestKind::ListDocuments, Effect::HangAfterAccept);
    bench.server.inject(fault.about(top.0));
    let progress = Progress::new();
    let asked = bench.remote.subtree(top, &children, 1000, &progress);
    let moving = async {
        bench.server.wait_for(RequestKind::ListDocuments, 1).await;
        bench.server.wait_for(RequestKind::ListProjects, 1).await;
        // Its folders are told, and its documents are not.
        world.move_folder(leaving.0, Some(there)).unwrap();
        bench.server.clear_faults();
    };
    let (answer, ()) = tokio::join!(asked, moving);
    let rows = below(answer.unwrap());
    let of_it = |row: &&Entry| row.parent() == Some(leaving) || row.id().guid() == leaving.0;
    assert_eq!(rows.iter().find(of_it), None, "it was asked for again");
}

#[tokio::test]
async fn a_failing_server_says_nothing_of_its_subtrees() {
    let bench = bench(TOKENS, 20).await;
    let (top, all) = project(&bench);
    let children = bench.remote.list(top, &Progress::new()).await.unwrap();
    let children: Vec<ObjectId> = children.iter().map(Entry::id).collect();
    bench
        .server
        .inject(Fault::status(RequestKind::ListDocuments, 503));
    let progress = Progress::new();
    let asked = bench.remote.subtree(top, &children, 1000, &progress).await;
    let failure = asked.unwrap_err();
    assert!(failure.is_outage(), "{failure}");
    bench.server.clear_faults();
    assert_eq!(below(subtree(&bench, top, 1000).await.unwrap()).len(), all.len());
}

fn document(guid: Guid) -> ObjectId {
    ObjectId::Document(DocumentId(guid))
}

async fn whereabouts(bench: &Bench, guid: Guid) -> Whereabouts {
    let mut all = bench.remote.whereabouts(&[document(guid)]).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0).1
}

#[tokio::test]
async fn a_deleted_document_a_hidden_one_and_a_moved_one_are_told_apart() {
    for no_rights in [NoRights::Forbidden, NoRights::Unauthorized] {
        let bench = bench(TOKENS, 20).await;
        bench.server.turn(|knobs| knobs.no_rights = no_rights);
        let mut random = fastrand::Rng::with_seed(1);
        let (_, documents) = folder_of(&bench, "Here", 5, &mut random);
        let (there, _) = folder_of(&bench, "There", 0, &mut random);
        let world = bench.world();
        world.delete_document(documents[0]).unwrap();
        world.set_access(documents[1], Access::Hidden).unwrap();
        world.move_document(documents[2], there.0).unwrap();
        let at = whereabouts(&bench, documents[0]).await;
        assert!(matches!(at, Whereabouts::Deleted), "{at:?}");
        let at = whereabouts(&bench, documents[1]).await;
        assert!(matches!(at, Whereabouts::Denied), "{no_rights:?} {at:?}");
        match whereabouts(&bench, documents[2]).await {
            Whereabouts::Known(entry) => assert_eq!(entry.parent(), Some(there)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_bare_404_is_no_answer_and_a_failure_is_an_error() {
    let bench = bench(TOKENS, 20).await;
    let mut random = fastrand::Rng::with_seed(1);
    let (_, documents) = folder_of(&bench, "Here", 3, &mut random);
    bench.world().delete_document(documents[0]).unwrap();
    bench.server.inject(Fault::status(RequestKind::Object, 404));
    let at = whereabouts(&bench, documents[0]).await;
    assert!(matches!(at, Whereabouts::Unanswered), "{at:?}");
    for kind in [RequestKind::Object, RequestKind::FindIds] {
        bench.server.clear_faults();
        bench.server.inject(Fault::status(kind, 500));
        let all = bench.remote.whereabouts(&[document(documents[0])]).await;
        assert!(all.is_err(), "{all:?}");
    }
    bench.server.clear_faults();
    for id in ["NoClientLicense", "DatasourceNotFound", "LoginFailed"] {
        let fault = bench.server.inject(Fault::error(RequestKind::Object, id));
        let all = bench.remote.whereabouts(&[document(documents[0])]).await;
        assert!(all.is_err(), "{id}: {all:?}");
        bench.server.clear_fault(fault);
    }
}

#[tokio::test]
async fn a_server_that_hides_what_it_refuses_is_never_taken_to_have_deleted_it() {
    let bench = bench(TOKENS, 20).await;
    bench.server.turn(|knobs| {
        knobs.no_rights = NoRights::NotFound;
        knobs.revoked_folder = RevokedFolder::NotFound;
    });
    let mut random = fastrand::Rng::with_seed(1);
    let (folder, documents) = folder_of(&bench, "Here", 5, &mut random);
    let world = bench.world();
    world.set_access(documents[0], Access::SeeOnly).unwrap();
    world.set_access(documents[1], Access::Hidden).unwrap();
    world.delete_document(documents[2]).unwrap();
    let whole = ByteRange { start: 0, end: None };
    let read = bench.remote.read(DocumentId(documents[0]), whole, None).await;
    assert!(matches!(read, Err(RemoteError::NotFound { .. })));
    // It lists what it does not find: from now on its word for "not there" is worth nothing.
    assert!(ids(&bench, folder).await.unwrap().contains(&documents[0]));
    for number in [1, 2] {
        let at = whereabouts(&bench, documents[number]).await;
        assert!(matches!(at, Whereabouts::Unanswered), "{number}: {at:?}");
    }
}

#[tokio::test]
async fn a_server_that_was_seen_to_hide_is_known_by_that_after_a_restart() {
    let mut bench = bench(TOKENS, 20).await;
    bench.server.turn(|knobs| knobs.no_rights = NoRights::NotFound);
    let (folder, _, documents) = bench.stock("Hidden", 3).await;
    let world = bench.world();
    world.set_access(documents[0], Access::SeeOnly).unwrap();
    let whole = ByteRange { start: 0, end: None };
    let read = bench.remote.read(DocumentId(documents[0]), whole, None).await;
    assert!(matches!(read, Err(RemoteError::NotFound { .. })));
    bench.list(folder.ino).await.unwrap();
    // The next listing keeps what the last one taught.
    bench.expire();
    bench.list(folder.ino).await.unwrap();

    bench.remount().await;
    world.delete_document(documents[1]).unwrap();
    let at = whereabouts(&bench, documents[1]).await;
    assert!(matches!(at, Whereabouts::Unanswered), "{at:?}");
}

#[tokio::test]
async fn the_single_questions_of_one_call_are_bounded() {
    let bench = bench(TOKENS, 200).await;
    let mut random = fastrand::Rng::with_seed(1);
    let (folder, documents) = folder_of(&bench, "Here", 120, &mut random);
    assert_eq!(ids(&bench, folder).await.unwrap().len(), 120);
    for guid in &documents {
        bench.world().delete_document(*guid).unwrap();
    }
    bench.server.reset_counters();
    let asked: Vec<ObjectId> = documents.iter().copied().map(document).collect();
    let all = bench.remote.whereabouts(&asked).await.unwrap();
    assert_eq!(bench.asked(RequestKind::Object), 100);
    assert_eq!(all.iter().map(|(id, _)| *id).collect::<Vec<_>>(), asked);
    let deleted = all
        .iter()
        .filter(|(_, at)| matches!(at, Whereabouts::Deleted))
        .count();
    assert_eq!(deleted, 100);
}

#[tokio::test]
async fn the_questions_that_are_told_are_those_that_are_asked() {
    for tokens in [TOKENS, SKIP] {
        let bench = bench(tokens, 20).await;
        let mut random = fastrand::Rng::with_seed(1);
        let (folder, _) = folder_of(&bench, "Here", 25, &mut random);
        // What is not known of the server yet is known after the first listing.
        ids(&bench, folder).await.unwrap();
        let told = bench.remote.questions(folder);
        bench.server.reset_counters();
        ids(&bench, folder).await.unwrap();
        let asked: Vec<String> = bench
            .server
            .request_log()
            .into_iter()
            .map(|request| request.target)
            .collect();
        assert_eq!(told.len(), 2);
        for question in &told {
            let url = question.strip_prefix("GET ").unwrap();
            let url = url.split(' ').next().unwrap();
            let target = url.strip_prefix(&bench.server.base_url()).unwrap();
            assert!(
                asked.iter().any(|asked| asked == target),
                "{target} is not among {asked:?}"
            );
        }
    }
}
