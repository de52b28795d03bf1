//! What leads from one instance to another: related properties, short paths, nodes, searches; and that hidden rows
//! are at the end of none.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::demo::{Access, RequestKind};
use crate::model::{DocumentKind, Guid};

use super::listing::{INCOMING, demo, folder, in_folder};

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

fn guid_of(row: &Value) -> Guid {
    row["instanceId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn attributes_are_those_of_the_document_and_the_same_every_time() {
    let bench = demo().await;
    let tail = in_folder(folder(&bench, &INCOMING));
    let tail = tail.replace(
        "$select=*",
        "$select=*,DocumentEnvironment-forward-Environment!poly.*",
    );
    let (rows, again) = (
        bench.get(&tail).await.instances(),
        bench.get(&tail).await.instances(),
    );
    assert_eq!(rows, again);
    let mut disciplines = BTreeSet::new();
    for row in &rows {
        assert!(row["properties"]["Name"].is_string());
        let relationship = &row["relationshipInstances"][0];
        assert_eq!(relationship["className"], "DocumentEnvironment");
        assert_eq!(relationship["direction"], "forward");
        let related = &relationship["relatedInstance"];
        assert_eq!(related["schemaName"], "PW_WSG_Dynamic");
        assert!(related["className"].as_str().unwrap().starts_with("Env_15"));
        assert!(related["properties"]["DOC__x002d__STATUS"].is_string());
        disciplines.insert(related["properties"]["DISCIPLINE"].as_str().unwrap().to_owned());
    }
    assert!(disciplines.len() > 1);
    // Of the base class alone there is no instance.
    let bare = bench
        .get(&tail.replace("Environment!poly.", "Environment."))
        .await
        .instances();
    assert_eq!(bare[0]["relationshipInstances"], Value::Array(Vec::new()));
    let one = format!("{tail} and DocumentEnvironment-forward-Environment!poly.DISCIPLINE eq 'Civil'");
    let civil = bench.get(&one).await.instances();
    assert!(!civil.is_empty() && civil.len() < rows.len());
}

#[tokio::test]
async fn relationships_are_followed_over_several_steps() {
    let bench = demo().await;
    let deep = "/PW_WSG/Document!poly?$select=Name,DocumentParent-forward-Project/ProjectParent-forward-Project.Name\
                &$filter=DocumentParent-forward-Project/ProjectParent-forward-Project.Name eq '04 Correspondence'";
    let rows = bench.get(deep).await.instances();
    assert!(!rows.is_empty());
    for row in &rows {
        let parent = &row["relationshipInstances"][0]["relatedInstance"];
        assert_eq!(parent["properties"], Value::Object(serde_json::Map::new()));
        let above = &parent["relationshipInstances"][0]["relatedInstance"];
        assert_eq!(above["properties"]["Name"], "04 Correspondence");
    }
    let backward = "/PW_WSG/Project?$filter=DocumentParent-backward-Document.FileName eq 'Duplicate.pdf'";
    let rows = bench.get(backward).await.instances();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["properties"]["Name"], "10 Names From Migration");
    for wrong in [
        "/PW_WSG/Document?$filter=ProjectParent-forward-Project.Name eq 'x'",
        "/PW_WSG/Document?$select=NoSuch-forward-Project.*",
        "/PW_WSG/Document?$select=DocumentParent-forward-Project.NoSuch",
    ] {
        bench.get(wrong).await.assert_error(404, "PropertyNotFound");
    }
    bench
        .get("/PW_WSG/Document?$select=DocumentParent-sideways-Project.*")
        .await
        .assert_error(400, "BadRequest");
}

#[tokio::test]
async fn relationships_of_the_filter_are_written_when_asked_for() {
    let bench = demo().await;
    let tail = in_folder(folder(&bench, &INCOMING));
    assert!(
        bench.get(&tail).await.instances()[0]
            .get("relationshipInstances")
            .is_none()
    );
    let tail = format!("{tail}&api.selectsettings=IncludeRelationshipsNotInSelect");
    let row = bench.get(&tail).await.instances().remove(0);
    assert_eq!(row["relationshipInstances"][0]["className"], "DocumentParent");
}

#[tokio::test]
async fn the_absolute_path_names_every_folder() {
    let bench = demo().await;
    let tail = in_folder(folder(&bench, &INCOMING)).replace("$select=*", "$select=*,Path.AbsolutePath");
    let row = bench.get(&tail).await.instances().remove(0);
    let path = row["properties"]["Path"]["AbsolutePath"].as_str().unwrap();
    let name = row["properties"]["Name"].as_str().unwrap();
    assert_eq!(path, format!("{}\\{name}", INCOMING.join("\\")));
}

#[tokio::test]
async fn short_paths_follow_the_relationship_there_is() {
    let bench = demo().await;
    let guid = folder(&bench, &INCOMING);
    let all = bench.get(&in_folder(guid)).await.ids();
    for class in ["Document!poly", "PW_WSG.Document!poly"] {
        assert_eq!(
            bench.get(&format!("/PW_WSG/Project/{guid}/{class}")).await.ids(),
            all
        );
    }
    let up = bench
        .get(&format!("/PW_WSG/Document/{}/Project", all[0]))
        .await
        .ids();
    assert_eq!(up, [guid.to_string()]);
    let attributes = bench
        .get(&format!("/PW_WSG/Document/{}/Environment!poly", all[0]))
        .await;
    assert_eq!(attributes.instances()[0]["schemaName"], "PW_WSG_Dynamic");
    let root = folder(&bench, &INCOMING[..1]);
    let area = bench
        .get(&format!("/PW_WSG/Project/{root}/ProjectType!poly"))
        .await
        .instances();
    assert!(area[0]["className"].as_str().unwrap().starts_with("PrType_"));
    bench
        .get(&format!("/PW_WSG/Project/{guid}/User"))
        .await
        .assert_error(404, "LinkTypeNotFound");
    bench
        .get(&format!("/PW_WSG/Project/{guid}/NoSuch"))
        .await
        .assert_error(404, "ClassNotFound");
    bench
        .get("/PW_WSG/Project/00000000-0000-4000-8000-000000000000/Document")
        .await
        .assert_error(404, "InstanceNotFound");
}

#[tokio::test]
async fn nodes_lead_down_as_folders_do() {
    let bench = demo().await;
    let roots = bench.get("/Navigation/NavNode").await.instances();
    let label = |row: &Value| row["properties"]["Label"].as_str().unwrap().to_owned();
    let mut here = roots;
    for name in INCOMING {
        let node = here.iter().find(|row| label(row) == name).unwrap();
        assert_eq!(node["properties"]["HasChildren"], true);
        let id = node["instanceId"].as_str().unwrap();
        let itself = bench.get(&format!("/Navigation/NavNode/{id}")).await.instances();
        assert_eq!(itself[0], *node);
        here = bench
            .get(&format!("/Navigation/NavNode/{id}/NavNode"))
            .await
            .instances();
    }
    let guid = folder(&bench, &INCOMING);
    let documents = bench.get(&in_folder(guid)).await.ids();
    let keys: Vec<_> = here
        .iter()
        .map(|row| row["properties"]["Key_InstanceId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(set(&keys), set(&documents));
    let log = bench.server.request_log();
    assert_eq!(
        (log[log.len() - 2].kind, log[log.len() - 2].subject),
        (RequestKind::NavNode, Some(guid))
    );
    // A document has nothing below it, and a node that is not there is not there.
    let leaf = here[0]["instanceId"].as_str().unwrap();
    assert!(
        bench
            .get(&format!("/Navigation/NavNode/{leaf}/NavNode"))
            .await
            .ids()
            .is_empty()
    );
    for id in ["nonsense", "StandardDisplayItemTypes--PW_WSG.02.04-Project-12"] {
        let tail = format!("/Navigation/NavNode/{id}/NavNode");
        bench.get(&tail).await.assert_error(404, "InstanceNotFound");
    }
}

#[tokio::test]
async fn a_saved_search_finds_what_its_filter_says() {
    let bench = demo().await;
    let searches = bench.get("/PW_WSG/SavedSearchDefinition").await.instances();
    assert_eq!(searches.len(), 3);
    let tail = "/PW_WSG/SavedSearchDefinition/17/?$select=SavedSearchResult-forward-Document!poly.*,*";
    let search = bench.get(tail).await.instances().remove(0);
    assert!(search["properties"]["Name"].is_string());
    let related = search["relationshipInstances"].as_array().unwrap();
    let found: Vec<_> = related
        .iter()
        .map(|one| one["relatedInstance"]["instanceId"].as_str().unwrap().to_owned())
        .collect();
    let world = bench.server.world();
    let expected = world.documents().into_iter().filter(|document| {
        let reachable = world
            .folders()
            .iter()
            .any(|f| f.guid == document.folder_guid && f.listable);
        let drawing = document.file_name.as_deref().is_some_and(|name| {
            name.rsplit_once('.')
                .is_some_and(|(_, extension)| extension == "dxf")
        });
        drawing && document.active && reachable
    });
    assert_eq!(
        set(&found),
        expected.map(|document| document.guid.to_string()).collect()
    );
    assert!(!found.is_empty());
    let by_path = bench
        .get("/PW_WSG/SavedSearchDefinition/17/Document!poly?$top=5")
        .await;
    assert_eq!(by_path.ids(), found[..5]);
    let node = "/Navigation/NavNode/StandardDisplayItemTypes--PW_WSG.02.04-SavedSearchDefinition-17/NavNode";
    assert_eq!(bench.get(&format!("{node}?$top=5")).await.ids().len(), 5);
    let nothing = "/PW_WSG/SavedSearchDefinition/23?$select=SavedSearchResult-forward-Document!poly.*";
    let nothing = bench.get(nothing).await.instances().remove(0);
    assert_eq!(nothing["relationshipInstances"], Value::Array(Vec::new()));
    bench
        .get("/PW_WSG/SavedSearchDefinition/99")
        .await
        .assert_error(404, "InstanceNotFound");
    assert!(bench.server.requests().of(RequestKind::SavedSearch) >= 4);
}

#[tokio::test]
async fn what_is_hidden_is_at_the_end_of_no_way() {
    let bench = demo().await;
    let world = bench.server.world();
    let of_set = world
        .documents()
        .into_iter()
        .find(|document| document.kind == DocumentKind::Set);
    let of_set = of_set.unwrap().guid;
    let members = format!("/PW_WSG/FlatSet/{of_set}/Document!poly");
    let row = bench.get(&members).await.instances().remove(0);
    let (hidden, parent) = (
        guid_of(&row),
        row["properties"]["ParentGuid"].as_str().unwrap().to_owned(),
    );
    let key = parent.replace('-', "--");
    let ways = [
        members,
        format!("/PW_WSG/Project/{parent}/Document!poly"),
        format!("/PW_WSG/Document?$filter=$id in ['{hidden}']"),
        format!("/Navigation/NavNode/StandardDisplayItemTypes--PW_WSG.02.04-Project-{key}/NavNode"),
        format!("/PW_WSG/FlatSet/{of_set}?$select=SetDocument-forward-Document!poly.*"),
        format!("/PW_WSG/Project/{parent}?$select=DocumentParent-backward-Document!poly.*"),
    ];
    let shown = async |tail: &str| {
        let text = String::from_utf8(bench.get(tail).await.body).unwrap();
        text.contains(&hidden.to_string())
    };
    for way in &ways {
        assert!(shown(way).await, "{way}");
    }
    let sets = format!("/PW_WSG/Document/{hidden}?$select=SetDocument-backward-FlatSet.*");
    assert!(
        String::from_utf8(bench.get(&sets).await.body)
            .unwrap()
            .contains(&of_set.to_string())
    );
    world.set_access(hidden, Access::Hidden).unwrap();
    for way in &ways {
        assert!(!shown(way).await, "{way}");
    }
}
