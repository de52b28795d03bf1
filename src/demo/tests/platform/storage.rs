//! `/storage` and the signed URLs it gives.

use std::collections::BTreeSet;

use super::*;

/// The items of one listing, page after page until one is empty or short.
async fn all(bench: &Bench, path: &str, name: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = path.to_owned();
    loop {
        let page = Bench::good(&bench.platform(&path).await);
        let items = page[name].as_array().unwrap().clone();
        let count = items.len();
        rows.extend(items);
        if count < 100 {
            return rows;
        }
        let next = page["_links"]["next"]["href"].as_str().unwrap();
        next.strip_prefix(&bench.server.base_url())
            .unwrap()
            .clone_into(&mut path);
    }
}

async fn top(bench: &Bench) -> String {
    format!("/storage/?iTwinId={}", bridge(bench).await)
}

/// The top-level item of this name.
async fn named(bench: &Bench, name: &str) -> Value {
    let items = all(bench, &top(bench).await, "items").await;
    items
        .into_iter()
        .find(|item| item["displayName"] == name)
        .unwrap()
}

fn id(item: &Value) -> &str {
    item["id"].as_str().unwrap()
}

#[tokio::test]
async fn the_top_level_tells_the_root_folder() {
    let bench = turned(|_| {}).await;
    let page = Bench::good(&bench.platform(&top(&bench).await).await);
    let root = page["_links"]["folder"]["href"].as_str().unwrap().to_owned();
    let (_, root) = root.rsplit_once('/').unwrap();
    assert!(root.parse::<Guid>().is_err(), "ids are opaque: {root}");
    let items = Bench::good(&bench.platform(&format!("/storage/folders/{root}/list")).await);
    assert_eq!(items["items"], page["items"]);
    assert!(items["_links"].get("folder").is_none());
    let folder = Bench::good(&bench.platform(&format!("/storage/folders/{root}")).await);
    assert_eq!(folder["folder"]["displayName"], "Leven Estuary Crossing");
    assert_eq!(folder["folder"]["path"], "");
    let old = top(&bench).await.replace("iTwinId", "projectId");
    assert_eq!(Bench::good(&bench.platform(&old).await)["items"], page["items"]);
}

#[tokio::test]
async fn files_and_folders_apart_make_up_the_list() {
    let bench = turned(|_| {}).await;
    let handover = named(&bench, "Handover").await;
    let base = format!("/storage/folders/{}", id(&handover));
    let ids = |rows: &[Value]| -> BTreeSet<String> { rows.iter().map(|row| id(row).to_owned()).collect() };
    let items = all(&bench, &format!("{base}/list"), "items").await;
    let folders = all(&bench, &format!("{base}/folders"), "folders").await;
    let files = all(&bench, &format!("{base}/files"), "files").await;
    assert!(
        folders
            .iter()
            .all(|row| row["type"] == "folder" && row.get("size").is_none())
    );
    assert!(
        files
            .iter()
            .all(|row| row["type"] == "file" && row["size"].is_u64())
    );
    assert!(!folders.is_empty() && !files.is_empty());
    assert_eq!(&ids(&folders) | &ids(&files), ids(&items));
    assert!(items.iter().all(|row| row["parentFolderId"] == handover["id"]));
    let paths: Vec<&str> = folders.iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["Handover/Photographs"]);
}

#[tokio::test]
async fn pages_have_neighbours_even_where_there_is_nothing() {
    let bench = turned(|_| {}).await;
    let empty = named(&bench, "Nothing Yet").await;
    let path = format!("/storage/folders/{}/list", id(&empty));
    let page = Bench::good(&bench.platform(&path).await);
    assert!(page["items"].as_array().unwrap().is_empty());
    let links = &page["_links"];
    assert_eq!(links["prev"], links["self"]);
    let base = bench.server.base_url();
    assert_eq!(links["next"]["href"], format!("{base}{path}?$top=100&$skip=100"));
    // A folder of exactly one page: only the empty second one shows the end.
    let handover = named(&bench, "Handover").await;
    let inside = all(
        &bench,
        &format!("/storage/folders/{}/folders", id(&handover)),
        "folders",
    )
    .await;
    let path = format!("/storage/folders/{}/files", id(&inside[0]));
    let first = Bench::good(&bench.platform(&path).await);
    assert_eq!(first["files"].as_array().unwrap().len(), 100);
    assert_eq!(all(&bench, &path, "files").await.len(), 100);
}

#[tokio::test]
async fn a_large_folder_is_complete_in_pages_of_a_hundred() {
    let bench = turned(|_| {}).await;
    let reports = named(&bench, "Progress Reports").await;
    let rows = all(
        &bench,
        &format!("/storage/folders/{}/list", id(&reports)),
        "items",
    )
    .await;
    let names: BTreeSet<&str> = rows
        .iter()
        .map(|row| row["displayName"].as_str().unwrap())
        .collect();
    assert_eq!((names.len(), rows.len()), (237, 237));
    assert!(names.contains("Weekly Report 237.pdf"));
}

#[tokio::test]
async fn times_have_seven_digits_and_either_zone() {
    let bench = turned(|_| {}).await;
    let reports = named(&bench, "Progress Reports").await;
    let rows = all(
        &bench,
        &format!("/storage/folders/{}/list", id(&reports)),
        "items",
    )
    .await;
    let mut zones = BTreeSet::new();
    for row in &rows {
        let text = row["lastModifiedDateTime"].as_str().unwrap();
        let (_, fraction) = text.split_once('.').unwrap();
        zones.insert(fraction[7..].to_owned());
        assert!(fraction[..7].chars().all(|digit| digit.is_ascii_digit()));
        text.parse::<crate::model::Timestamp>().unwrap();
    }
    assert_eq!(zones, BTreeSet::from(["Z".to_owned(), "+00:00".to_owned()]));
}

#[tokio::test]
async fn a_download_is_a_signed_address_that_takes_no_login() {
    let bench = turned(|_| {}).await;
    for name in ["Tender Drawings.pdf", "upload.log"] {
        let file = named(&bench, name).await;
        let path = format!("/storage/files/{}", id(&file));
        assert_eq!(Bench::good(&bench.platform(&path).await)["file"], file);
        let accept = "Accept: application/vnd.bentley.itwin-platform.v1+octet-stream";
        let answer = bench.platform_with(&format!("{path}/download"), &[accept]).await;
        assert_eq!(answer.status, 302);
        let base = bench.server.base_url();
        let place = answer
            .header("Location")
            .unwrap()
            .strip_prefix(&base)
            .unwrap()
            .to_owned();
        let get = async |place: &str, header: &str| {
            exchange(&base, &format!("GET {place} HTTP/1.1{header}"), "")
                .await
                .unwrap()
        };
        let blob = get(&place, "").await;
        assert_eq!(blob.status, 200);
        assert_eq!(
            u64::try_from(blob.body.len()).unwrap(),
            file["size"].as_u64().unwrap()
        );
        assert_eq!(blob.header("ETag"), None);
        let with_login = get(&place, &format!("\r\nAuthorization: Bearer {}", bench.token)).await;
        assert_eq!(with_login.status, 403);
        assert!(String::from_utf8_lossy(&with_login.body).contains("<Code>AuthenticationFailed</Code>"));
        let forged = place.replace("se=2", "se=3");
        assert_eq!(get(&forged, "").await.status, 403);
        assert_eq!(get(place.split('?').next().unwrap(), "").await.status, 403);
    }
    let drawings = named(&bench, "Tender Drawings.pdf").await;
    assert_eq!(drawings["size"], 3_145_739);
    assert_eq!(bench.server.requests().of(RequestKind::Blob), 8);
}

#[tokio::test]
async fn a_signed_address_ends() {
    let bench = turned(|knobs| knobs.blob_lifetime = Duration::from_secs(90)).await;
    let file = named(&bench, "readme.txt").await;
    let answer = bench
        .platform(&format!("/storage/files/{}/download", id(&file)))
        .await;
    let base = bench.server.base_url();
    let place = answer
        .header("Location")
        .unwrap()
        .strip_prefix(&base)
        .unwrap()
        .to_owned();
    let head = format!("GET {place} HTTP/1.1");
    assert_eq!(exchange(&base, &head, "").await.unwrap().status, 200);
    bench.server.advance_clock(Duration::from_secs(91));
    assert_eq!(exchange(&base, &head, "").await.unwrap().status, 403);
}

#[tokio::test]
async fn a_signed_address_may_have_a_tag() {
    let bench = turned(|knobs| knobs.storage_etag = true).await;
    let file = named(&bench, "readme.txt").await;
    let answer = bench
        .platform(&format!("/storage/files/{}/download", id(&file)))
        .await;
    let base = bench.server.base_url();
    let place = answer
        .header("Location")
        .unwrap()
        .strip_prefix(&base)
        .unwrap()
        .to_owned();
    let blob = exchange(&base, &format!("GET {place} HTTP/1.1"), "")
        .await
        .unwrap();
    assert!(blob.header("ETag").is_some());
}

#[tokio::test]
async fn the_most_rows_may_be_bounded() {
    let bench = turned(|knobs| knobs.storage_top = 50).await;
    let reports = named(&bench, "Progress Reports").await;
    let path = format!("/storage/folders/{}/files", id(&reports));
    let page = Bench::good(&bench.platform(&path).await);
    assert_eq!(page["files"].as_array().unwrap().len(), 50);
    let answer = bench.platform(&format!("{path}?$top=51")).await;
    assert_refused(&answer, 422, "InvalidStorageRequest", Some("InvalidParameter"));
    bench.server.turn(|knobs| knobs.storage_top = 0);
    let page = Bench::good(&bench.platform(&format!("{path}?$top=500")).await);
    assert_eq!(page["files"].as_array().unwrap().len(), 237);
}

#[tokio::test]
async fn what_is_deleted_lies_in_the_bin_and_nowhere_else() {
    let bench = turned(|_| {}).await;
    let path = format!("/storage/recyclebin?iTwinId={}", bridge(&bench).await);
    let gone = all(&bench, &path, "items").await;
    assert_eq!(gone.len(), 2);
    for item in &gone {
        let path = format!("/storage/files/{}", id(item));
        for path in [path.clone(), format!("{path}/download")] {
            assert_refused(&bench.platform(&path).await, 404, "FileNotFound", None);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_wrong_is_422() {
    let bench = turned(|_| {}).await;
    let folder = named(&bench, "Handover").await;
    let file = named(&bench, "readme.txt").await;
    for (path, code) in [
        ("/storage/files/TYJsnonsense".to_owned(), "FileNotFound"),
        (format!("/storage/files/{}", id(&folder)), "FileNotFound"),
        (format!("/storage/files/{}/download", id(&folder)), "FileNotFound"),
        ("/storage/folders/TYJsnonsense/list".to_owned(), "FolderNotFound"),
        (format!("/storage/folders/{}/list", id(&file)), "FolderNotFound"),
        ("/storage/?iTwinId=nonsense".to_owned(), "iTwinNotFound"),
    ] {
        assert_refused(&bench.platform(&path).await, 404, code, None);
    }
    for path in ["/storage/", "/storage/recyclebin"] {
        let answer = bench.platform(path).await;
        assert_refused(&answer, 422, "InvalidStorageRequest", Some("InvalidParameter"));
    }
}

#[tokio::test]
async fn a_member_without_the_right_reads_no_storage() {
    let bench = signed_in(email(2)).await;
    let page = Bench::good(&bench.platform("/itwins?$search=Leven%20Estuary").await);
    let itwin = page["iTwins"][0]["id"].as_str().unwrap();
    let answer = bench.platform(&format!("/storage/?iTwinId={itwin}")).await;
    assert_refused(&answer, 403, "InsufficientPermissions", None);
}

#[tokio::test]
async fn storage_holds_nothing_of_the_datasource() {
    let bench = turned(|_| {}).await;
    let world = bench.server.world();
    let names: BTreeSet<String> = world
        .documents()
        .into_iter()
        .filter_map(|row| row.file_name)
        .collect();
    let items = all(&bench, &top(&bench).await, "items").await;
    assert!(
        !items
            .iter()
            .any(|item| names.contains(item["displayName"].as_str().unwrap()))
    );
}
