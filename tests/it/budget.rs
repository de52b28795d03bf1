//! What things cost, in requests.

use std::ffi::OsStr;

use futures_util::future::join_all;
use pwfs::demo::knobs::{Knobs, Ranges, SkipTokenMode};
use pwfs::demo::{DemoOptions, RequestKind};
use pwfs::fs::{Attr, Kind, Lookup};
use pwfs::remote::wsg::{PageMode, WsgOptions};
use pwfs::tree::TreeConfig;
use pwfs::tree::inodes::ROOT;

use crate::harness::{Bench, bytes_of, doc_name, small, until};

/// Rows a page in this file; one below is needed for each page but the first, which overlaps the one before.
const PAGE: usize = 10;

async fn paged(skip_token: bool, page_mode: PageMode) -> Bench {
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
        page_size: PAGE,
        page_mode,
        ..WsgOptions::default()
    };
    Bench::tuned(options, TreeConfig::default(), wsg).await
}

/// Requests of the first listing of a folder of `count` documents: for folders, and for documents.
async fn cost_of_listing(bench: &Bench, count: usize) -> (u64, u64) {
    let (folder, _, _) = bench.stock(&format!("Cold {count}"), count).await;
    bench.server.reset_counters();
    assert_eq!(bench.list(folder.ino).await.unwrap().len(), count);
    let requests = bench.server.requests();
    let kinds = (
        requests.of(RequestKind::ListProjects),
        requests.of(RequestKind::ListDocuments),
    );
    if count > 0 {
        assert_eq!(requests.total, kinds.0 + kinds.1, "nothing else: {requests:?}");
    }
    kinds
}

#[tokio::test]
async fn a_cold_list_by_skip_costs_a_page_for_each_full_one_and_one_more() {
    let bench = paged(false, PageMode::Auto).await;
    // What a server caps pages at is not known before it has sent one.
    cost_of_listing(&bench, 25).await;
    for count in [1, 9, 10, 11, 19, 20, 21, 29, 30, 47] {
        let pages = (count / PAGE + 1) as u64;
        let (folders, documents) = cost_of_listing(&bench, count).await;
        assert_eq!(documents, pages, "{count} documents");
        assert_eq!(folders, 1, "{count} documents");
    }
}

#[tokio::test]
async fn a_cold_list_by_skip_token_costs_its_pages() {
    for mode in [PageMode::Auto, PageMode::SkipToken] {
        let bench = paged(true, mode).await;
        for count in [1_usize, 9, 10, 11, 19, 20, 21, 47] {
            // A full page without a token might be of a query that does not page by token.
            let pages = (count.div_ceil(PAGE) + usize::from(count == PAGE)) as u64;
            let (folders, documents) = cost_of_listing(&bench, count).await;
            assert_eq!((folders, documents), (1, pages), "{count} documents");
        }
    }
}

#[tokio::test]
async fn an_empty_folder_is_asked_twice_and_its_own_answer_once() {
    let bench = paged(true, PageMode::Auto).await;
    assert_eq!(cost_of_listing(&bench, 0).await, (2, 2));
    assert_eq!(bench.asked(RequestKind::Object), 1);
    assert_eq!(bench.server.requests().total, 5);
}

#[tokio::test]
async fn the_root_costs_its_nodes_and_their_properties() {
    let bench = Bench::new().await;
    bench.server.reset_counters();
    assert!(!bench.list(ROOT).await.unwrap().is_empty());
    // Nothing says how many nodes a page of the navigation tree may have: its end is asked for.
    assert_eq!(bench.asked(RequestKind::NavNode), 2);
    bench.expire();
    bench.server.reset_counters();
    assert!(!bench.list(ROOT).await.unwrap().is_empty());
    let requests = bench.server.requests();
    assert_eq!(requests.of(RequestKind::NavNode), 2, "{requests:?}");
    assert_eq!(requests.of(RequestKind::FindIds), 1, "{requests:?}");
    assert_eq!(requests.total, 3, "{requests:?}");
}

#[tokio::test]
async fn what_is_listed_and_fresh_costs_nothing() {
    let bench = Bench::new().await;
    let (folder, _, _) = bench.stock("Warm", 40).await;
    let listed = bench.list(folder.ino).await.unwrap();
    bench.server.reset_counters();
    for piece in [1, 7, 1000] {
        assert_eq!(bench.list_in_pieces(folder.ino, piece).await.unwrap().len(), 40);
    }
    for (name, attr) in &listed {
        assert_eq!(bench.lookup(folder.ino, name).await.unwrap(), Some(*attr));
        assert_eq!(bench.fs.getattr(attr.ino).unwrap().0, *attr);
    }
    assert_eq!(bench.server.requests().total, 0);
}

#[tokio::test]
async fn five_hundred_absent_names_cost_one_listing() {
    let bench = Bench::new().await;
    let (folder, _, _) = bench.stock("Warm", 5).await;
    bench.server.reset_counters();
    for number in 0..500 {
        let name = format!(".git-{number}");
        let found = bench.fs.lookup(folder.ino, OsStr::new(&name)).await.unwrap();
        assert!(matches!(found, Lookup::Absent(ttl) if !ttl.is_zero()));
    }
    let requests = bench.server.requests();
    assert_eq!(requests.total, 2, "{requests:?}");
}

#[tokio::test]
async fn a_path_costs_one_listing_a_level_however_often_it_is_walked() {
    let bench = Bench::new().await;
    bench.server.reset_counters();
    let path = ["Leven Estuary Crossing", "03 Design", "Deck", "Drawings"];
    for _ in 0..20 {
        bench.find(&path).await.unwrap();
    }
    let requests = bench.server.requests();
    // The root's two, and folders and documents of three levels.
    assert_eq!(requests.of(RequestKind::ListProjects), 3, "{requests:?}");
    assert!(requests.of(RequestKind::ListDocuments) <= 6, "{requests:?}");
    assert_eq!(requests.of(RequestKind::File), 0);
}

#[tokio::test]
async fn a_file_read_twice_is_fetched_once() {
    let bench = Bench::new().await;
    let (folder, _, _) = bench.stock("Warm", 2).await;
    let attr = bench.lookup(folder.ino, &doc_name(1)).await.unwrap().unwrap();
    bench.server.reset_counters();
    for _ in 0..2 {
        assert_eq!(bench.read(&attr).await.unwrap(), bytes_of(1, 0));
    }
    // In small pieces, from the end, and past the end.
    for offset in (0..attr.size + 2000).rev().step_by(511) {
        bench.fs.read(attr.ino, offset, 100).await.unwrap();
    }
    assert_eq!(bench.asked(RequestKind::File), 1);
    assert_eq!(bench.server.requests().total, 1);
}

/// The one large file of the demo, and its bytes.
async fn large(bench: &Bench) -> (Attr, Vec<u8>) {
    let path = ["Leven Estuary Crossing", "00 General", "LEC-GEN-RPT-0001.pdf"];
    let attr = bench.find(&path).await.unwrap();
    assert!(attr.size > 8 << 20);
    (attr, bench.world().content(bench.guid(&attr)).unwrap().to_vec())
}

#[tokio::test]
async fn sixty_four_readers_of_one_file_fetch_each_byte_once() {
    for ranges in [true, false] {
        let bench = Bench::with(
            DemoOptions {
                knobs: Knobs {
                    ranges: if ranges { Ranges::Served } else { Ranges::Ignored },
                    ..Knobs::default()
                },
                ..small()
            },
            TreeConfig::default(),
        )
        .await;
        let (attr, truth) = large(&bench).await;
        bench.server.reset_counters();
        // Each at a place of its own, some of them the last bytes of all.
        let step = truth.len() / 64;
        let reads = join_all((0..64).map(|reader| {
            let offset = truth.len() - 1 - reader * step;
            let read = bench.fs.read(attr.ino, offset as u64, 70_000);
            async move { (offset, read.await.unwrap()) }
        }));
        for (offset, bytes) in reads.await {
            let end = (offset + 70_000).min(truth.len());
            assert!(bytes == truth[offset..end], "at {offset}");
        }
        // Backwards through the file: a block each, or all of it where the server has no ranges.
        let most = if ranges { truth.len().div_ceil(1 << 20) } else { 2 };
        until(|| bench.fs.reader().stats().in_flight == 0).await;
        assert!(bench.asked(RequestKind::File) <= most as u64, "ranges {ranges}");
        assert_eq!(bench.server.requests().total, bench.asked(RequestKind::File));
        assert_eq!(bench.fs.reader().stats().bytes_fetched, truth.len() as u64);
    }
}

#[tokio::test]
async fn attributes_and_numbers_of_the_file_system_cost_nothing() {
    let bench = Bench::new().await;
    let (folder, _, _) = bench.stock("Warm", 3).await;
    let mut attrs: Vec<Attr> = bench.list(folder.ino).await.unwrap().into_values().collect();
    attrs.push(folder);
    // Not even when everything held is too old.
    bench.expire();
    bench.server.reset_counters();
    for attr in &attrs {
        let names = bench.fs.listxattr(attr.ino).await.unwrap();
        assert!(!names.is_empty());
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = std::str::from_utf8(name).unwrap();
            assert!(
                bench.xattr(attr.ino, name).is_some(),
                "{name} is listed and not there"
            );
        }
        for unknown in ["security.selinux", "user.nothing", "system.posix_acl_access"] {
            let error = bench
                .fs
                .getxattr(attr.ino, OsStr::new(unknown))
                .await
                .unwrap_err();
            assert_eq!(error.errno(), libc::ENODATA);
        }
        bench.fs.getattr(attr.ino).unwrap();
    }
    bench.fs.getattr(ROOT).unwrap();
    assert!(bench.fs.statfs().files >= 3);
    assert_eq!(bench.server.requests().total, 0);
}

#[tokio::test]
async fn an_empty_file_is_read_without_a_request() {
    let bench = Bench::new().await;
    let path = ["Leven Estuary Crossing", "00 General", "LEC-GEN-LOG-0000.txt"];
    let attr = bench.find(&path).await.unwrap();
    assert_eq!((attr.kind, attr.size), (Kind::File, 0));
    bench.server.reset_counters();
    assert!(bench.fs.read(attr.ino, 0, 4096).await.unwrap().is_empty());
    assert_eq!(bench.server.requests().total, 0);
}

#[tokio::test]
async fn nothing_a_mount_does_changes_the_server() {
    let bench = Bench::new().await;
    for attr in bench.walk().await.values().take(40) {
        // Some may not be read; none may be written.
        let _refused = bench.read(attr).await;
        let _none = bench.fs.listxattr(attr.ino).await;
    }
    bench.expire();
    bench.walk().await;
    let requests = bench.server.requests();
    assert!(requests.total > 100);
    assert_eq!(requests.mutation_attempts, 0);
    assert_eq!(requests.of(RequestKind::Mutation), 0);
    let log = bench.server.request_log();
    let posts = log.iter().filter(|request| request.method != "GET");
    for post in posts {
        assert!(
            [RequestKind::Token, RequestKind::Revocation].contains(&post.kind)
                || post.target.contains("$query"),
            "{post:?}"
        );
    }
}

#[tokio::test]
async fn a_refresh_of_an_unchanged_folder_costs_one_listing_and_no_download() {
    let bench = Bench::new().await;
    let (folder, _, _) = bench.stock("Warm", 20).await;
    let before = bench.list(folder.ino).await.unwrap();
    for attr in before.values() {
        bench.read(attr).await.unwrap();
    }
    bench.expire();
    bench.server.reset_counters();
    let after = bench.list(folder.ino).await.unwrap();
    assert_eq!(after, before);
    for attr in after.values() {
        bench.read(attr).await.unwrap();
    }
    let requests = bench.server.requests();
    assert_eq!(requests.total, 2, "{requests:?}");
}
