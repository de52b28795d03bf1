//! `$file`.

use crate::demo::knobs::{Knobs, Ranges};
use crate::demo::{DemoOptions, ExpectedDocument};
use crate::model::DocumentKind;

use super::client::{Answer, Bench};

async fn demo() -> Bench {
    Bench::new(DemoOptions::default()).await
}

fn some_file(bench: &Bench) -> (ExpectedDocument, Vec<u8>) {
    let world = bench.server.world();
    let documents = world.documents();
    let document = documents
        .into_iter()
        .find(|d| d.readable && d.size > 10_000)
        .unwrap();
    let bytes = world.content(document.guid).unwrap().to_vec();
    (document, bytes)
}

async fn file(bench: &Bench, document: &ExpectedDocument, headers: &[&str]) -> Answer {
    bench
        .get_with(&format!("/PW_WSG/Document/{}/$file", document.guid), headers)
        .await
}

#[tokio::test]
async fn a_file_comes_whole_with_its_length_and_a_strong_tag() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let answer = file(&bench, &document, &[]).await;
    assert_eq!((answer.status, answer.body == bytes), (200, true));
    assert!(answer.complete());
    assert_eq!(document.listed_size, Some(document.size));
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"'));
    let again = file(&bench, &document, &[&format!("If-None-Match: {tag}")]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test]
async fn ranges_are_answered_with_the_bytes_asked_for() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let length = bytes.len();
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-4195", 100, 4196),
        ("bytes=9000-", 9000, length),
        ("bytes=-500", length - 500, length),
        ("bytes=5000-99999999", 5000, length),
    ] {
        let answer = file(&bench, &document, &[&format!("Range: {range}")]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == bytes[start..end], "{range}");
        let said = format!("bytes {start}-{}/{length}", end - 1);
        assert_eq!(answer.header("content-range"), Some(said.as_str()));
    }
    for range in [
        format!("bytes={length}-"),
        format!("bytes={length}-{}", length + 9),
    ] {
        let answer = file(&bench, &document, &[&format!("Range: {range}")]).await;
        assert_eq!(answer.status, 416, "{range}");
        let said = format!("bytes */{length}");
        assert_eq!(answer.header("content-range"), Some(said.as_str()));
    }
    for malformed in ["bytes=9-3", "bytes=a-b", "lines=1-2", "bytes=0-1,5-9"] {
        let answer = file(&bench, &document, &[&format!("Range: {malformed}")]).await;
        assert_eq!((answer.status, answer.body.len()), (200, length), "{malformed}");
    }
}

#[tokio::test]
async fn if_range_gives_the_range_only_of_the_same_bytes() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let tag = file(&bench, &document, &[])
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let condition = format!("If-Range: {tag}");
    let headers = ["Range: bytes=10-19", condition.as_str()];
    let same = file(&bench, &document, &headers).await;
    assert_eq!((same.status, same.body == bytes[10..20]), (206, true));
    bench
        .server
        .world()
        .new_version(document.guid, vec![7; 30_000])
        .unwrap();
    let changed = file(&bench, &document, &headers).await;
    assert_eq!((changed.status, changed.body), (200, vec![7; 30_000]));
}

#[tokio::test]
async fn a_server_without_ranges_sends_the_whole_file() {
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            ranges: Ranges::Ignored,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    let (document, bytes) = some_file(&bench);
    let answer = file(&bench, &document, &["Range: bytes=10-19"]).await;
    assert_eq!((answer.status, answer.body == bytes), (200, true));
    assert_eq!(answer.header("accept-ranges"), None);
}

#[tokio::test]
async fn what_cannot_be_downloaded_says_why() {
    let bench = demo().await;
    let documents = bench.server.world().documents();
    let one = |kind| documents.iter().find(|d| d.kind == kind).unwrap();
    let placeholder = one(DocumentKind::Placeholder);
    file(&bench, placeholder, &[])
        .await
        .assert_error(404, "FileNotFound");
    let refused = documents
        .iter()
        .find(|d| d.listed && !d.readable && d.file_name.is_some());
    file(&bench, refused.unwrap(), &[])
        .await
        .assert_error(403, "NotEnoughRights");
    let enclosed = documents.iter().find(|d| !d.listed).unwrap();
    file(&bench, enclosed, &[])
        .await
        .assert_error(403, "NotEnoughRights");
    let empty = documents
        .iter()
        .find(|d| d.size == 0 && d.kind == DocumentKind::File)
        .unwrap();
    let answer = file(&bench, empty, &[]).await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.complete()),
        (200, 0, true)
    );
}

#[tokio::test]
async fn a_size_may_be_absent_for_one_document() {
    let sizes = crate::demo::knobs::FileSizeAs::AbsentForOne;
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            filesize_as: sizes,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    let documents = bench.server.world().documents();
    let odd: Vec<_> = documents
        .iter()
        .filter(|d| d.kind == DocumentKind::File && d.listed_size.is_none())
        .collect();
    assert_eq!(odd.len(), 1);
    let rows = bench
        .get(&format!("/PW_WSG/Document/{}", odd[0].guid))
        .await
        .instances();
    assert!(rows[0]["properties"].get("FileSize").is_none());
    assert_eq!(file(&bench, odd[0], &[]).await.body.len() as u64, odd[0].size);
}
