//! Looking around: what is listed, named and attributed.

use std::collections::BTreeSet;

use pwfs::demo::DemoOptions;
use pwfs::demo::knobs::{Knobs, Ranges, SkipTokenMode};
use pwfs::model::DocumentKind;
use pwfs::tree::TreeConfig;

use crate::harness::{Bench, small};

/// The documents a truthful tree shows.
async fn check_whole_tree(options: DemoOptions) {
    let bench = Bench::with(options, TreeConfig::default()).await;
    let files = bench.walk().await;
    let seen: BTreeSet<_> = files.values().map(|attr| bench.guid(attr)).collect();
    let world = bench.world();
    let expected: BTreeSet<_> = world
        .documents()
        .into_iter()
        .filter(|d| d.listed && d.active && d.kind == DocumentKind::File)
        .map(|d| d.guid)
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(files.len(), expected.len(), "each under one name");
    for attr in files.values() {
        let document = world.document(bench.guid(attr)).unwrap();
        if document.readable {
            assert_eq!(
                bench.read(attr).await.unwrap(),
                world.content(document.guid).unwrap()
            );
        }
    }
}

#[tokio::test]
async fn the_tree_is_the_world_with_skip_tokens() {
    check_whole_tree(small()).await;
}

#[tokio::test]
async fn the_tree_is_the_world_by_skip_and_without_ranges() {
    check_whole_tree(DemoOptions {
        knobs: Knobs {
            skip_token: SkipTokenMode::Ignored,
            page_size: 7,
            ranges: Ranges::Ignored,
            ..Knobs::default()
        },
        ..small()
    })
    .await;
}
