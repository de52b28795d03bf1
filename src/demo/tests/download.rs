//! `$file`.

use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::demo::knobs::{Knobs, Ranges};
use crate::demo::{DemoOptions, Effect, ExpectedDocument, Fault, RequestKind};
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

fn set(bench: &Bench, name: &str, text: &str) {
    bench.server.turn(|knobs| knobs.set(name, text).unwrap());
}

/// The body of an answer that came in chunks and without a length.
#[track_caller]
fn unchunked(answer: &Answer) -> &[u8] {
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.header("content-length"), None);
    &answer.body
}

fn unpacked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let packed = unchunked(answer);
    let mut out = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut out).unwrap();
    out
}

#[tokio::test]
async fn a_server_may_serve_only_ranges_without_an_end() {
    let bench = demo().await;
    set(&bench, "ranges", "open-ended");
    let (document, bytes) = some_file(&bench);
    let open = file(&bench, &document, &["Range: bytes=9000-"]).await;
    assert_eq!((open.status, open.body == bytes[9000..]), (206, true));
    for closed in ["bytes=0-99", "bytes=-99"] {
        let answer = file(&bench, &document, &[&format!("Range: {closed}")]).await;
        assert_eq!((answer.status, answer.body == bytes), (200, true), "{closed}");
    }
}

#[tokio::test]
async fn a_server_may_refuse_ranges() {
    let bench = demo().await;
    set(&bench, "ranges", "refused");
    let (document, bytes) = some_file(&bench);
    let answer = file(&bench, &document, &["Range: bytes=0-"]).await;
    answer.assert_error(400, "BadRequest");
    assert_eq!(file(&bench, &document, &[]).await.body, bytes);
}

#[tokio::test]
async fn head_is_refused_or_answers_the_headers_of_get() {
    let bench = demo().await;
    let (document, _) = some_file(&bench);
    let paths = [
        format!("/PW_WSG/Document/{}/$file", document.guid),
        "/PW_WSG/Project".to_owned(),
    ];
    for path in &paths {
        let refused = bench.ask("HEAD", path, &[]).await.unwrap();
        assert_eq!(refused.status, 405);
    }
    set(&bench, "head", "allowed");
    for path in &paths {
        let get = bench.get(path).await;
        let head = bench.ask("HEAD", path, &[]).await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-length", "content-type", "etag", "content-disposition"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        assert!(get.complete());
    }
    assert_eq!(bench.server.requests().of(RequestKind::File), 2);
}

#[tokio::test]
async fn files_may_come_without_their_length() {
    let bench = demo().await;
    set(&bench, "chunked", "true");
    let (document, bytes) = some_file(&bench);
    let whole = file(&bench, &document, &[]).await;
    assert!(unchunked(&whole) == bytes);
    let part = file(&bench, &document, &["Range: bytes=10-19"]).await;
    assert_eq!(part.status, 206);
    assert_eq!(unchunked(&part), &bytes[10..20]);
    let cut = Fault::on(RequestKind::File, Effect::Truncate { after: 5000 });
    bench.server.inject(cut.times(1));
    let broken = file(&bench, &document, &[]).await;
    assert!(unchunked(&broken) == &bytes[..5000]);
    assert!(bench.get("/PW_WSG/Project").await.complete());
}

#[tokio::test]
async fn the_tag_of_a_file_may_be_weak_absent_or_never_the_same() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let strong = file(&bench, &document, &[])
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let with = |tag: &str| [format!("If-None-Match: {tag}"), format!("If-Range: {tag}")];

    set(&bench, "file-etag", "weak");
    let answer = file(&bench, &document, &[]).await;
    let weak = answer.header("etag").unwrap();
    assert_eq!(weak, format!("W/{strong}"));
    let [none_match, if_range] = with(weak);
    assert_eq!(file(&bench, &document, &[&none_match]).await.status, 304);
    // A weak tag does not say that the bytes are the same.
    let answer = file(&bench, &document, &[&if_range, "Range: bytes=0-9"]).await;
    assert_eq!((answer.status, answer.body == bytes), (200, true));

    set(&bench, "file-etag", "absent");
    let [none_match, if_range] = with(&strong);
    let answer = file(&bench, &document, &[&none_match]).await;
    assert_eq!((answer.status, answer.header("etag")), (200, None));
    let answer = file(&bench, &document, &[&if_range, "Range: bytes=0-9"]).await;
    assert_eq!(answer.status, 200);
    let answer = file(&bench, &document, &["Range: bytes=0-9"]).await;
    assert_eq!((answer.status, answer.body.len()), (206, 10));

    set(&bench, "file-etag", "changing");
    let first = file(&bench, &document, &[])
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let [none_match, if_range] = with(&first);
    let answer = file(&bench, &document, &[&none_match]).await;
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("etag"), Some(first.as_str()));
    let answer = file(&bench, &document, &[&if_range, "Range: bytes=0-9"]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn without_304_a_file_always_comes() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let tag = file(&bench, &document, &[])
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    set(&bench, "no-304", "true");
    let answer = file(&bench, &document, &[&format!("If-None-Match: {tag}")]).await;
    assert_eq!((answer.status, answer.body == bytes), (200, true));
}

#[tokio::test]
async fn a_placeholder_has_no_file_or_nothing_in_it_or_breaks_the_server() {
    let bench = demo().await;
    let documents = bench.server.world().documents();
    let placeholder = documents
        .iter()
        .find(|d| d.kind == DocumentKind::Placeholder)
        .unwrap();
    for (word, status, id) in [("404", 404, "FileNotFound"), ("500", 500, "ServerError")] {
        set(&bench, "placeholder-file", word);
        file(&bench, placeholder, &[]).await.assert_error(status, id);
    }
    set(&bench, "placeholder-file", "empty");
    let answer = file(&bench, placeholder, &[]).await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.complete()),
        (200, 0, true)
    );
}

#[tokio::test]
async fn a_file_says_its_name_and_kind() {
    let bench = demo().await;
    let world = bench.server.world();
    let (document, _) = some_file(&bench);
    let folder = document.folder_guid;
    for (name, kind, said) in [
        (
            "plan 7.pdf",
            "application/pdf",
            "attachment; filename=\"plan 7.pdf\"",
        ),
        (
            "Gründung.dgn",
            "image/vnd.dgn",
            "attachment; filename=\"Gr_ndung.dgn\"; filename*=UTF-8''Gr%C3%BCndung.dgn",
        ),
        (
            "notes",
            "application/octet-stream",
            "attachment; filename=\"notes\"",
        ),
    ] {
        let guid = world.add_document(folder, name, "text").unwrap();
        let answer = bench.get(&format!("/PW_WSG/Document/{guid}/$file")).await;
        assert_eq!(answer.header("content-type"), Some(kind), "{name}");
        assert_eq!(answer.header("content-disposition"), Some(said));
    }
}

#[tokio::test]
async fn answers_are_packed_for_those_who_take_gzip() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let gzip = "Accept-Encoding: gzip, deflate";
    let plain = file(&bench, &document, &[gzip]).await;
    assert_eq!(
        (plain.header("content-encoding"), plain.body == bytes),
        (None, true)
    );
    set(&bench, "compress", "true");
    let whole = file(&bench, &document, &[gzip]).await;
    assert_eq!((whole.status, unpacked(&whole) == bytes), (200, true));
    // The range is one of the file, not of what is sent.
    let part = file(&bench, &document, &[gzip, "Range: bytes=5000-8999"]).await;
    assert_eq!((part.status, unpacked(&part) == bytes[5000..9000]), (206, true));
    let said = format!("bytes 5000-8999/{}", bytes.len());
    assert_eq!(part.header("content-range"), Some(said.as_str()));
    for headers in [
        &[][..],
        &["Accept-Encoding: identity"],
        &["Accept-Encoding: gzip;q=0"],
    ] {
        let answer = file(&bench, &document, headers).await;
        assert_eq!(answer.header("content-encoding"), None);
        assert!(answer.complete() && answer.body == bytes);
    }
    let list = bench.get("/PW_WSG/Project").await;
    assert!(list.complete());
    let packed = bench.get_with("/PW_WSG/Project", &[gzip]).await;
    assert_eq!(unpacked(&packed), list.body);
    let tag = format!("If-None-Match: {}", list.header("etag").unwrap());
    let same = bench.get_with("/PW_WSG/Project", &[gzip, &tag]).await;
    assert_eq!((same.status, same.header("content-encoding")), (304, None));
}
