//! A datasource that changes.

use serde_json::{Value, json};

use crate::demo::knobs::{Knobs, VersionGuids};
use crate::demo::{DemoOptions, ExpectedDocument, InPlace};
use crate::model::Guid;

use super::client::{Bench, exchange};

const FOLDER: [&str; 2] = ["Leven Estuary Crossing", "00 General"];

async fn rows(bench: &Bench, folder: Guid) -> Vec<Value> {
    bench
        .get(&format!("/PW_WSG/Project/{folder}/Document!poly"))
        .await
        .instances()
}

async fn bytes(bench: &Bench, guid: Guid) -> Vec<u8> {
    bench.get(&format!("/PW_WSG/Document/{guid}/$file")).await.body
}

fn report(bench: &Bench) -> ExpectedDocument {
    let world = bench.server.world();
    let path = [FOLDER[0], FOLDER[1], "LEC-GEN-RPT-0002.pdf"];
    world.document(world.document_at(&path).unwrap()).unwrap()
}

/// Makes a version and returns (the document before, the active GUID, the superseded GUID).
async fn version(bench: &Bench) -> (ExpectedDocument, Guid, Guid) {
    let before = report(bench);
    let old_bytes = bytes(bench, before.guid).await;
    let active = bench
        .server
        .world()
        .new_version(before.guid, "second edition")
        .unwrap();
    let mut same = rows(bench, before.folder_guid).await;
    same.retain(|row| row["properties"]["FileName"] == "LEC-GEN-RPT-0002.pdf");
    assert_eq!(same.len(), 2);
    let by_state = |latest: bool| {
        same.iter()
            .find(|row| row["properties"]["IsLatest"] == latest)
            .unwrap()
            .clone()
    };
    let (new, old) = (by_state(true), by_state(false));
    assert_eq!(new["instanceId"], active.to_string());
    assert_eq!(new["properties"]["Version"], "A");
    assert_eq!(old["properties"]["Version"], "");
    let superseded: Guid = old["instanceId"].as_str().unwrap().parse().unwrap();
    assert_eq!(bytes(bench, active).await, b"second edition");
    assert!(bytes(bench, superseded).await == old_bytes);
    (before, active, superseded)
}

#[tokio::test]
async fn a_new_version_may_keep_the_guid_of_the_active_document() {
    let bench = Bench::new(DemoOptions::default()).await;
    let (before, active, superseded) = version(&bench).await;
    assert_eq!(active, before.guid);
    assert_ne!(superseded, before.guid);
}

#[tokio::test]
async fn a_new_version_may_have_a_new_guid() {
    let version_guids = VersionGuids::New;
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            version_guids,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    let (before, active, superseded) = version(&bench).await;
    assert_eq!(superseded, before.guid);
    assert_ne!(active, before.guid);
}

#[tokio::test]
async fn version_labels_go_from_blank_to_a_and_beyond_z() {
    let bench = Bench::new(DemoOptions::default()).await;
    let guid = report(&bench).guid;
    let mut labels = Vec::new();
    for _ in 0..28 {
        bench.server.world().new_version(guid, "x").unwrap();
        labels.push(report(&bench).version);
    }
    assert_eq!(
        [&labels[0], &labels[25], &labels[26], &labels[27]],
        ["A", "Z", "AA", "AB"]
    );
}

#[tokio::test]
async fn a_file_replaced_in_place_shows_in_the_listing_or_only_in_its_tag() {
    let bench = Bench::new(DemoOptions::default()).await;
    let before = report(&bench);
    let world = bench.server.world();
    let row = async || {
        let tail = format!("/PW_WSG/Document/{}", before.guid);
        bench.get(&tail).await.instances()[0]["properties"].clone()
    };
    let tag = async || {
        let tail = format!("/PW_WSG/Document/{}/$file", before.guid);
        bench.get(&tail).await.header("etag").unwrap().to_owned()
    };
    let (first_row, first_tag) = (row().await, tag().await);
    world
        .replace_in_place(before.guid, "silently other", InPlace::SameTag)
        .unwrap();
    assert_eq!(row().await, first_row);
    let second_tag = tag().await;
    assert_ne!(second_tag, first_tag);
    assert_eq!(bytes(&bench, before.guid).await, b"silently other");
    assert_eq!(report(&bench).listed_size, before.listed_size);
    assert_eq!(report(&bench).size, 14);

    world
        .replace_in_place(before.guid, "openly", InPlace::Listed)
        .unwrap();
    assert_ne!(row().await["FileUpdateTime"], first_row["FileUpdateTime"]);
    assert_ne!(tag().await, second_tag);
    assert_eq!(report(&bench).listed_size, Some(6));
}

#[tokio::test]
async fn an_edit_moves_the_instance_and_not_the_file() {
    let bench = Bench::new(DemoOptions::default()).await;
    let before = report(&bench);
    let tail = format!("/PW_WSG/Document/{}", before.guid);
    let first = bench.get(&tail).await.instances()[0].clone();
    bench
        .server
        .world()
        .edit_description(before.guid, "checked")
        .unwrap();
    let second = bench.get(&tail).await.instances()[0].clone();
    assert_ne!(first["eTag"], second["eTag"]);
    assert_ne!(
        first["properties"]["UpdateTime"],
        second["properties"]["UpdateTime"]
    );
    assert_eq!(
        first["properties"]["FileUpdateTime"],
        second["properties"]["FileUpdateTime"]
    );
    assert_eq!(second["properties"]["Description"], "checked");
}

#[tokio::test]
async fn the_admin_api_changes_the_same_world() {
    let bench = Bench::new(DemoOptions::default()).await;
    let world = bench.server.world();
    let base = bench.server.base_url();
    let admin = async |command: &str, body: Value| {
        let head = format!("POST /admin/{command} HTTP/1.1");
        let answer = exchange(&base, &head, &body.to_string()).await.unwrap();
        assert_eq!(
            answer.status,
            200,
            "{command}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()
    };
    let parent = world.folder_at(&FOLDER[..1]).unwrap().to_string();
    let new = admin("add-folder", json!({ "parent": parent, "name": "New" })).await;
    let folder = new["guid"].as_str().unwrap().to_owned();
    let new = admin(
        "add-document",
        json!({ "folder": folder, "name": "a.pdf", "size": 5000 }),
    );
    let document = new.await["guid"].as_str().unwrap().to_owned();
    let guid: Guid = document.parse().unwrap();
    assert_eq!(world.content(guid).unwrap().len(), 5000);
    admin("rename", json!({ "guid": document, "name": "b.pdf" })).await;
    admin("new-version", json!({ "guid": document, "text": "two" })).await;
    admin(
        "replace",
        json!({ "guid": document, "base64": "dGhyZWU=", "same_tag": true }),
    )
    .await;
    admin("describe", json!({ "guid": document, "text": "d" })).await;
    admin("revoke", json!({ "guid": document })).await;
    let now = world.document(guid).unwrap();
    assert_eq!(
        (now.file_name.as_deref(), now.version.as_str()),
        (Some("b.pdf"), "A")
    );
    assert_eq!((now.size, now.listed_size, now.readable), (5, Some(3), false));
    admin("grant", json!({ "guid": document })).await;
    assert!(world.document(guid).unwrap().readable);
    admin("move", json!({ "guid": document, "folder": parent })).await;
    assert_eq!(world.document(guid).unwrap().folder_guid.to_string(), parent);
    admin("delete", json!({ "guid": document })).await;
    admin("delete", json!({ "guid": folder })).await;
    assert_eq!(world.document(guid), None);
    assert_eq!(world.folder_at(&[FOLDER[0], "New"]), None);

    let fault =
        json!({ "on": "navnode", "times": 1, "effect": { "kind": "status", "code": 503, "retry_after": 2 } });
    admin("faults", fault).await;
    let answer = bench.get("/Navigation/NavNode").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    let log = exchange(&base, "GET /admin/requests HTTP/1.1", "")
        .await
        .unwrap()
        .json();
    assert_eq!(log["by_kind"]["NavNode"], 1);
    let tree = exchange(&base, "GET /admin/tree HTTP/1.1", "")
        .await
        .unwrap()
        .json();
    assert_eq!(tree["folders"].as_array().unwrap().len(), world.folders().len());

    let wrong = exchange(&base, "POST /admin/rename HTTP/1.1", "{\"name\":\"x\"}")
        .await
        .unwrap();
    assert_eq!(
        (wrong.status, &wrong.json()["error"]),
        (400, &json!("the body lacks \"guid\""))
    );
}

#[tokio::test]
async fn folders_move_and_go_with_all_they_hold() {
    let bench = Bench::new(DemoOptions::default()).await;
    let world = bench.server.world();
    let design = world.folder_at(&[FOLDER[0], "03 Design"]).unwrap();
    let deck = world.folder_at(&[FOLDER[0], "03 Design", "Deck"]).unwrap();
    assert!(world.move_folder(design, Some(deck)).is_err());
    world.move_folder(deck, None).unwrap();
    assert_eq!(world.folder_at(&["Deck"]), Some(deck));
    let inside = world.document(
        world
            .documents()
            .iter()
            .find(|d| d.path[0] == "Deck")
            .unwrap()
            .guid,
    );
    world.delete_folder(deck).unwrap();
    assert_eq!(world.document(inside.unwrap().guid), None);
    bench
        .get(&format!("/PW_WSG/Project/{deck}/Document"))
        .await
        .assert_error(404, "InstanceNotFound");
}
