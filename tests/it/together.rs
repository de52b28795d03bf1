//! Crawls of a server that says what is below a folder: few questions, and exactly what single listings give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pwfs::demo::knobs::{Ancestor, SkipTokenMode};
use pwfs::demo::{Access, Effect, Fault, RequestKind};
use pwfs::model::{DirId, DocumentId, Entry, FolderId, Guid, ObjectId};
use pwfs::refresh::crawl::{Age, CrawlProgress, CrawlReport, Top, crawl};
use pwfs::remote::{Progress, Remote, Urgency};
use pwfs::store::StoredListing;
use pwfs::tree::inodes::{Directory, MountEntry};
use pwfs::tree::{Lead, Together, TreeError};
use tokio::sync::watch;

use crate::harness::{Bench, doc_name};

/// A folder `Top` of `shelves`, each with `boxes` of so many documents, and every folder of it.
struct Library {
    bench: Bench,
    top: FolderId,
    folders: Vec<FolderId>,
}

impl Library {
    async fn new(shelves: usize, boxes: usize, documents: usize) -> Self {
        let bench = Bench::new().await;
        // As many rows as are asked for.
        bench.server.turn(|knobs| knobs.max_top = 1000);
        let world = bench.world();
        let top = world.add_folder(None, "Top").unwrap();
        let mut folders = vec![top];
        for shelf in 0..shelves {
            let shelf = world.add_folder(Some(top), &format!("shelf-{shelf}")).unwrap();
            folders.push(shelf);
            for number in 0..boxes {
                let inside = world.add_folder(Some(shelf), &format!("box-{number}")).unwrap();
                for document in 0..documents {
                    world.add_document(inside, &doc_name(document), "x").unwrap();
                }
                folders.push(inside);
            }
        }
        let folders = folders.into_iter().map(FolderId).collect();
        Self {
            bench,
            top: FolderId(top),
            folders,
        }
    }

    fn turn(&self, ancestor: Ancestor, tokens: SkipTokenMode) {
        self.bench.server.turn(|knobs| {
            knobs.ancestor = ancestor;
            knobs.skip_token = tokens;
        });
    }

    /// Crawls; how many requests that took.
    async fn crawl(&self) -> (CrawlReport, u64) {
        self.bench.server.reset_counters();
        let (tell, _) = watch::channel(CrawlProgress::default());
        let tops = [Top {
            dir: DirId::Folder(self.top),
            name: "Top".to_owned(),
        }];
        let report = crawl(self.bench.fs.tree(), &tops, Age::OfAnswers, 16, &tell).await;
        (report, self.bench.server.requests().total)
    }

    fn held(&self, folder: FolderId) -> Option<Arc<StoredListing>> {
        self.bench.fs.tree().held(Directory {
            mount: MountEntry::WHOLE,
            id: DirId::Folder(folder),
        })
    }

    /// The folders that listings lead to, from `top` on.
    fn seen(&self, top: FolderId) -> BTreeSet<FolderId> {
        let (mut seen, mut queue) = (BTreeSet::new(), vec![top]);
        while let Some(folder) = queue.pop() {
            seen.insert(folder);
            let Some(held) = self.held(folder) else { continue };
            queue.extend(held.listing.entries().filter_map(|entry| match &**entry {
                Entry::Folder(folder) => Some(folder.id),
                Entry::Document(_) => None,
            }));
        }
        seen
    }

    /// Every listing that is held is, entry for entry, what the server lists now.
    async fn check(&self) {
        for &folder in &self.folders {
            let held = self
                .held(folder)
                .unwrap_or_else(|| panic!("{folder} is not listed"));
            let held = held
                .listing
                .entries()
                .map(|entry| (entry.id(), Entry::clone(entry)));
            let listed = self.bench.remote.list(folder, &Progress::new()).await.unwrap();
            let listed = listed.into_iter().map(|entry| (entry.id(), entry));
            let (held, listed) = (
                held.collect::<BTreeMap<_, _>>(),
                listed.collect::<BTreeMap<_, _>>(),
            );
            assert_eq!(held, listed, "{folder}");
        }
    }
}

#[tokio::test]
async fn a_crawl_of_a_server_that_says_what_is_below_costs_a_handful_of_questions() {
    for ancestor in [Ancestor::Both, Ancestor::Equals] {
        let library = Library::new(12, 12, 3).await;
        library.turn(ancestor, SkipTokenMode::OptIn);
        let (report, requests) = library.crawl().await;
        assert!(report.is_complete(), "{:?}", report.failures);
        let folders = library.folders.len() as u64;
        let progress = report.progress;
        assert_eq!((progress.done, progress.together), (folders, folders - 1));
        assert_eq!((progress.listings, progress.skipped), (1, 0));
        assert_eq!(progress.documents, 12 * 12 * 3);
        // The top itself; a folder that is not there, in each spelling until one works; a page of folders, twice, and one
        // of documents; one of the folders to compare with.
        let tries = if ancestor == Ancestor::Both { 1 } else { 2 };
        assert_eq!(requests, 2 + tries + 3 + 2, "{ancestor:?}");
        library.check().await;
        let (again, requests) = library.crawl().await;
        assert_eq!(
            (again.progress.skipped, requests),
            (folders, 0),
            "it is all fresh"
        );
    }
}

#[tokio::test]
async fn a_crawl_is_the_same_by_counted_pages_and_where_nothing_is_known_of_what_is_below() {
    for (ancestor, tokens) in [
        (Ancestor::Dash, SkipTokenMode::Ignored),
        (Ancestor::Ignored, SkipTokenMode::OptIn),
        (Ancestor::Refused, SkipTokenMode::OptIn),
    ] {
        let library = Library::new(6, 5, 2).await;
        library.turn(ancestor, tokens);
        let (report, requests) = library.crawl().await;
        assert!(report.is_complete(), "{:?}", report.failures);
        let folders = library.folders.len() as u64;
        if ancestor == Ancestor::Dash {
            assert_eq!(report.progress.together, folders - 1);
            assert!(requests < folders, "{requests}");
        } else {
            assert_eq!((report.progress.together, report.progress.listings), (0, folders));
            assert_eq!(
                requests,
                2 * folders + 2,
                "one try for each spelling, and never again"
            );
        }
        library.check().await;
    }
}

#[tokio::test]
async fn what_is_too_large_to_be_asked_for_together_is_in_parts() {
    // More than ten thousand rows at the top, and far fewer below each shelf.
    let library = Library::new(4, 25, 101).await;
    let (report, requests) = library.crawl().await;
    assert!(report.is_complete(), "{:?}", report.failures);
    let progress = report.progress;
    assert_eq!(progress.together, 4 * 25);
    assert_eq!(progress.listings, 1 + 4);
    // The top and what it is too large for: some twenty pages. Each shelf: its own, a page of folders, twice, and six of
    // documents. And how to ask is found out: tried with the top, and done with the first shelf.
    assert!((60..=70).contains(&requests), "{requests}");
    library.check().await;
}

#[tokio::test]
async fn what_is_empty_or_may_not_be_seen_is_listed_by_itself() {
    let library = Library::new(4, 3, 2).await;
    let world = library.bench.world();
    let empty = world.add_folder(Some(library.top.0), "empty").unwrap();
    let shut = library.folders[1];
    world.set_access(shut.0, Access::SeeOnly).unwrap();
    let (report, _) = library.crawl().await;
    assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
    assert_eq!(report.failures[0].path, "Top/shelf-0");
    assert_eq!(
        report.progress.listings,
        1 + 2,
        "the top, the empty one, the shut one"
    );
    assert_eq!(report.progress.together, 3 + 3 * 3);
    assert_eq!(
        library.held(FolderId(empty)).unwrap().listing.entries().count(),
        0
    );
    assert!(library.held(shut).is_none(), "nothing is known of it");
}

/// The rows of a folder, by name.
fn names(library: &Library, folder: FolderId) -> Vec<String> {
    let held = library.held(folder).unwrap();
    let mut names: Vec<String> = held
        .listing
        .rows()
        .iter()
        .map(|row| row.name.to_string())
        .collect();
    names.sort_unstable();
    names
}

/// Crawls while `change` happens before the question for all documents is answered.
async fn crawl_while(library: &Library, change: impl FnOnce()) -> CrawlReport {
    library.bench.server.inject(Fault {
        // The top's own, and that of the folder that is not there, are not held up.
        skip: 1,
        ..Fault::on(RequestKind::ListDocuments, Effect::HangAfterAccept).about(library.top.0)
    });
    let changing = async {
        library.bench.server.wait_for(RequestKind::ListDocuments, 3).await;
        change();
        library.bench.server.clear_faults();
    };
    let ((report, _), ()) = tokio::join!(library.crawl(), changing);
    report
}

#[tokio::test]
async fn a_folder_that_changes_while_everything_is_asked_for_is_as_it_was_at_some_moment() {
    let library = Library::new(3, 3, 2).await;
    let world = library.bench.world();
    let (shelf, inside) = (library.folders[1], library.folders[2]);
    let report = crawl_while(&library, || {
        // The folders were told already: this one comes with rows of a folder that nobody told of.
        let new = world.add_folder(Some(shelf.0), "new").unwrap();
        world.add_document(new, "n.txt", "x").unwrap();
        world.add_document(inside.0, "late.txt", "x").unwrap();
    })
    .await;
    assert!(report.is_complete(), "{:?}", report.failures);
    assert_eq!(report.progress.together, 3 + 3 * 3 + 1, "it was asked for again");
    assert!(names(&library, inside).contains(&"late.txt".to_owned()));
    assert!(names(&library, shelf).contains(&"new".to_owned()));
    library.check().await;
}

#[tokio::test]
async fn a_top_that_changes_while_everything_is_asked_for_is_gone_through_folder_by_folder() {
    let library = Library::new(3, 3, 2).await;
    let world = library.bench.world();
    let mut new = None;
    let report = crawl_while(&library, || {
        new = Some(world.add_document(library.top.0, "new.txt", "x").unwrap());
    })
    .await;
    assert!(report.is_complete(), "{:?}", report.failures);
    let new = ObjectId::Document(DocumentId(new.unwrap()));
    let top = library.held(library.top).unwrap();
    assert!(top.listing.find(new).is_none(), "it came later");
    // The boxes of each shelf still come together.
    assert_eq!(report.progress.listings, 1 + 3);
    assert_eq!(report.progress.together, 3 * 3);
}

#[tokio::test]
async fn what_somebody_lists_meanwhile_stands() {
    let library = Library::new(3, 3, 2).await;
    let shelf = library.folders[1];
    library.bench.server.inject(Fault {
        skip: 1,
        ..Fault::on(RequestKind::ListDocuments, Effect::HangAfterAccept).about(library.top.0)
    });
    let tree = library.bench.fs.tree().clone();
    let meanwhile = async {
        library.bench.server.wait_for(RequestKind::ListDocuments, 3).await;
        let directory = Directory {
            mount: MountEntry::WHOLE,
            id: DirId::Folder(shelf),
        };
        let listed = tree.list(directory).await.unwrap();
        library.bench.server.clear_faults();
        listed.stored
    };
    let ((report, _), listed) = tokio::join!(library.crawl(), meanwhile);
    assert!(report.is_complete(), "{:?}", report.failures);
    let held = library.held(shelf).unwrap();
    assert!(
        Arc::ptr_eq(&held.listing, &listed.listing),
        "it is the one that was listed"
    );
    assert_eq!(held.arrival.fetched, listed.arrival.fetched);
    assert_eq!(report.progress.together, 2 + 3 * 3);
    assert_eq!(report.progress.skipped, 1);
}

#[tokio::test]
async fn an_outage_of_the_question_is_no_failure_of_a_folder() {
    let library = Library::new(3, 3, 2).await;
    // Only what asks for everything fails.
    library.bench.server.inject(Fault {
        skip: 1,
        ..Fault::status(RequestKind::ListProjects, 500).about(library.top.0)
    });
    let (report, _) = library.crawl().await;
    assert!(report.is_complete(), "{:?}", report.failures);
    assert_eq!(report.progress.failed, 0);
    assert_eq!(report.progress.listings, 1 + 3, "the shelves by themselves");
    library.bench.server.clear_faults();
    library.check().await;
}

#[tokio::test]
async fn what_was_planted_is_there_after_a_restart_and_is_told_like_any_other() {
    let mut library = Library::new(3, 3, 2).await;
    let (report, _) = library.crawl().await;
    assert!(report.is_complete());
    library.bench.remount().await;
    let (again, requests) = library.crawl().await;
    assert_eq!(again.progress.skipped, library.folders.len() as u64);
    assert_eq!(requests, 0);
    library.check().await;
    // A document that leaves is asked for by its id, as from any proved listing.
    let inside = library.folders[2];
    let first = library.held(inside).unwrap().listing.rows()[0].entry.id();
    library.bench.world().delete_document(first.guid()).unwrap();
    library.bench.expire();
    let (report, _) = library.crawl().await;
    assert!(report.is_complete());
    assert!(library.held(inside).unwrap().listing.find(first).is_none());
}

/// A library of some form: empty folders, old versions, and some that may not be seen.
async fn random_library(seed: u64) -> (Library, BTreeSet<Guid>) {
    let mut library = Library::new(0, 0, 0).await;
    let world = library.bench.world();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut shut = BTreeSet::new();
    for number in 0..40 {
        // Some are deep, and some are wide.
        let parents = library.folders.len();
        let parent = library.folders[random.usize(..parents).min(random.usize(..parents))];
        let folder = world
            .add_folder(Some(parent.0), &format!("folder-{number}"))
            .unwrap();
        for document in 0..random.usize(..5) {
            let document = world.add_document(folder, &doc_name(document), "x").unwrap();
            if random.u8(..4) == 0 {
                world.new_version(document, "y").unwrap();
            }
        }
        library.folders.push(FolderId(folder));
        if random.u8(..16) == 0 {
            shut.insert(folder);
        }
    }
    for folder in &shut {
        world.set_access(*folder, Access::SeeOnly).unwrap();
    }
    (library, shut)
}

#[tokio::test]
async fn a_crawl_by_subtrees_is_what_single_listings_show_whatever_the_form() {
    for seed in 0..12 {
        let (mut library, shut) = random_library(seed).await;
        let tokens = [SkipTokenMode::OptIn, SkipTokenMode::Ignored][usize::try_from(seed % 2).unwrap()];
        let ancestor =
            [Ancestor::Both, Ancestor::Equals, Ancestor::Refused][usize::try_from(seed % 3).unwrap()];
        library.turn(ancestor, tokens);
        let (report, _) = library.crawl().await;
        // What is below a folder that may not be listed is nowhere shown.
        let refused: BTreeSet<DirId> = report.failures.iter().map(|failure| failure.dir).collect();
        let of_shut = |dir: &DirId| matches!(dir, DirId::Folder(folder) if shut.contains(&folder.0));
        assert!(refused.iter().all(of_shut), "{seed}: {:?}", report.failures);
        assert_eq!(
            report.progress.done + report.progress.failed,
            report.progress.known
        );
        let seen: BTreeSet<FolderId> = library.seen(library.top);
        assert_eq!(report.progress.known, seen.len() as u64, "{seed}");
        library
            .folders
            .retain(|folder| seen.contains(folder) && !shut.contains(&folder.0));
        library.check().await;
        if ancestor != Ancestor::Refused {
            assert!(report.progress.together > 0, "{seed}");
        }
    }
}

#[tokio::test]
async fn only_what_is_in_every_property_as_it_was_is_renewed() {
    for tokens in [SkipTokenMode::OptIn, SkipTokenMode::Ignored] {
        let library = Library::new(3, 4, 2).await;
        library.turn(Ancestor::Both, tokens);
        let (report, _) = library.crawl().await;
        assert!(report.is_complete());
        let world = library.bench.world();
        // The top, a shelf and its four boxes, and so on.
        let boxes: Vec<FolderId> = library.folders[2..6].to_vec();
        let document = |folder: FolderId| library.held(folder).unwrap().listing.rows()[0].entry.id().guid();
        world.add_document(boxes[0].0, "new.txt", "x").unwrap();
        world.edit_description(document(boxes[1]), "another").unwrap();
        world.delete_document(document(boxes[2])).unwrap();
        world.rename_folder(library.folders[7].0, "renamed").unwrap();
        let changed: BTreeSet<FolderId> = boxes[..3].iter().copied().chain([library.folders[6]]).collect();
        library.bench.clock.advance(Duration::from_secs(100));
        let tree = library.bench.fs.tree();
        let fresh = tree
            .freshen(DirId::Folder(library.top), Duration::ZERO, Urgency::Background)
            .await
            .unwrap();
        let old = tree.fetched(DirId::Folder(boxes[0])).unwrap();
        library.bench.clock.advance(Duration::from_secs(1));
        library.bench.server.reset_counters();
        let asked = library.folders.clone();
        let most = 1000;
        let outcome = tree
            .sift(library.top, &fresh.stored, asked, most, Urgency::Background)
            .await
            .unwrap();
        let Together::Folders(renewed) = outcome else {
            panic!("{outcome:?}")
        };
        let renewed: BTreeSet<FolderId> = renewed.into_iter().collect();
        let all: BTreeSet<FolderId> = library.folders.iter().copied().collect();
        assert_eq!(renewed, all.difference(&changed).copied().collect());
        for folder in all {
            let fetched = tree.fetched(DirId::Folder(folder)).unwrap();
            let now = library.bench.clock.now();
            assert_eq!(fetched == now, renewed.contains(&folder), "{folder}");
            assert!(renewed.contains(&folder) || fetched == old);
        }
        if tokens == SkipTokenMode::OptIn {
            assert_eq!(library.bench.server.requests().total, 3);
        }
    }
}

/// Another process that leads, and lists nothing.
struct Idle;

#[async_trait::async_trait]
impl Lead for Idle {
    async fn list(&self, _: FolderId, _: Option<Duration>, _: &Progress) -> Option<Result<(), TreeError>> {
        None
    }

    fn is_another(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn who_follows_another_process_asks_for_no_subtree() {
    let library = Library::new(3, 3, 2).await;
    library.bench.fs.tree().follow(Some(Arc::new(Idle)));
    let (report, requests) = library.crawl().await;
    assert!(report.is_complete());
    let folders = library.folders.len() as u64;
    assert_eq!((report.progress.together, requests), (0, 2 * folders));
}
