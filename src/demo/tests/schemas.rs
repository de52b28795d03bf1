//! Schemas, classes, users, and repositories of another kind.

use crate::demo::{ACCOUNTS, RequestKind};

use super::client::exchange;
use super::listing::{INCOMING, demo, folder, in_folder};

#[tokio::test]
async fn the_schema_tells_its_classes() {
    let bench = demo().await;
    let schemas = bench.get("/MetaSchema/ECSchemaDef").await.instances();
    let names: Vec<_> = schemas
        .iter()
        .map(|row| row["properties"]["Name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"PW_WSG") && names.contains(&"PW_WSG_Dynamic"));
    let tail = "/MetaSchema/ECClassDef?$filter=SchemaHasClass-backward-ECSchemaDef.Name in ['PW_WSG']";
    let classes = bench.get(tail).await.instances();
    let names: Vec<_> = classes
        .iter()
        .map(|row| row["properties"]["Name"].as_str().unwrap())
        .collect();
    for class in ["Project", "Document", "FlatSet", "SavedSearchDefinition", "User"] {
        assert!(names.contains(&class), "{class}");
    }
    assert!(!names.contains(&"NavNode"));
    let id = "N~3APW_WSG_Dynamic.01.02~3AEnv_152_Drawings";
    let one = bench
        .get(&format!("/MetaSchema/ECClassDef/{id}"))
        .await
        .instances();
    assert_eq!(one[0]["properties"]["Name"], "Env_152_Drawings");
    let policies = bench.get("/Policies/PolicyAssertion").await.instances();
    assert_eq!(policies[0]["properties"]["Name"], "SupportsFileAccessUrl");
    assert_eq!(bench.server.requests().of(RequestKind::Schema), 4);
}

#[tokio::test]
async fn every_class_the_schema_names_can_be_asked_for() {
    let bench = demo().await;
    let tail = "/MetaSchema/ECClassDef?$select=*,SchemaHasClass-backward-ECSchemaDef.Name";
    for row in bench.get(tail).await.instances() {
        let schema = &row["relationshipInstances"][0]["relatedInstance"]["properties"]["Name"];
        let (schema, class) = (
            schema.as_str().unwrap(),
            row["properties"]["Name"].as_str().unwrap(),
        );
        let answer = bench.get(&format!("/{schema}/{class}!poly?$top=2")).await;
        assert_eq!(answer.status, 200, "{schema}/{class}");
        for instance in answer.instances() {
            assert_eq!(
                instance["schemaName"]
                    .as_str()
                    .map(|name| name.starts_with(schema)),
                Some(true)
            );
        }
    }
}

#[tokio::test]
async fn classes_and_schemas_that_are_not_there_are_named() {
    let bench = demo().await;
    bench
        .get("/PW_WSG/AuditTrail")
        .await
        .assert_error(404, "ClassNotFound");
    bench
        .get("/PW_WSG/AuditTrail/1/Document")
        .await
        .assert_error(404, "ClassNotFound");
    bench
        .get("/NoSuchSchema/Thing")
        .await
        .assert_error(404, "SchemaNotFound");
    bench
        .get("/NoSuchSchema/Thing/1/Other")
        .await
        .assert_error(404, "SchemaNotFound");
}

#[tokio::test]
async fn the_current_user_is_the_one_who_asks() {
    let bench = demo().await;
    let rows = bench
        .get("/PW_WSG/User?$filter=IsCurrent eq true&$select=$id")
        .await
        .instances();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["instanceId"], "1042");
    assert!(rows[0]["properties"].as_object().unwrap().is_empty());
    let all = bench.get("/PW_WSG/User").await.ids();
    assert_eq!(
        all.len(),
        ACCOUNTS.iter().filter(|account| account.user.is_some()).count()
    );
}

#[tokio::test]
async fn a_repository_of_another_plug_in_has_other_schemas() {
    let bench = demo().await;
    let ask = async |tail: &str| {
        let head = format!(
            "GET /ws/v2.8/Repositories/{tail} HTTP/1.1\r\nAuthorization: Bearer {}",
            bench.token
        );
        exchange(&bench.server.base_url(), &head, "").await.unwrap()
    };
    let other = "Bentley.IModelHub--demo-hub.example.com";
    ask(&format!("{other}/PW_WSG/Project"))
        .await
        .assert_error(404, "SchemaNotFound");
    ask(&format!("{other}/Navigation/NavNode"))
        .await
        .assert_error(404, "SchemaNotFound");
    assert_eq!(ask(other).await.ids(), [other]);
    ask("Bentley.PW--nowhere~3Anothing/PW_WSG/Project")
        .await
        .assert_error(404, "RepositoryNotFound");
}

#[tokio::test]
async fn the_oldest_versions_write_tags_without_quotes() {
    let bench = demo().await;
    let tail = in_folder(folder(&bench, &INCOMING)).replace(' ', "+");
    for (version, quoted) in [("v2.0", false), ("v2.1", false), ("v2.2", true)] {
        let id = bench.server.repository_id();
        let head = format!(
            "GET /ws/{version}/Repositories/{id}{tail} HTTP/1.1\r\nAuthorization: Bearer {}",
            bench.token
        );
        let answer = exchange(&bench.server.base_url(), &head, "").await.unwrap();
        let tag = answer.instances()[0]["eTag"].as_str().unwrap().to_owned();
        assert_eq!(tag.starts_with('"'), quoted, "{version}");
    }
}

#[tokio::test]
async fn a_large_folder_is_paged_whole_and_changes_show_at_once() {
    let bench = demo().await;
    let world = bench.server.world();
    let guid = world.add_folder(None, "Large").unwrap();
    let expected: Vec<_> = (0..450)
        .map(|number| {
            world
                .add_document(guid, &format!("{number}.txt"), "x")
                .unwrap()
                .to_string()
        })
        .collect();
    let page = async |skip: usize| {
        let tail = format!("{}&$top=100&$skip={skip}", in_folder(guid));
        bench.get(&tail).await.ids()
    };
    let mut rows = Vec::new();
    loop {
        let ids = page(rows.len()).await;
        if ids.is_empty() {
            break;
        }
        rows.extend(ids);
    }
    assert_eq!(rows, expected);
    let before = world.revision();
    world.delete_document(expected[0].parse().unwrap()).unwrap();
    assert_ne!(world.revision(), before);
    assert_eq!(page(0).await[0], expected[1]);
}

#[tokio::test]
async fn aliases_and_days_and_several_columns_are_understood() {
    let bench = demo().await;
    let tail = "/PW_WSG/Project?$filter=Name eq @A&@A='Incoming'";
    assert_eq!(bench.get(tail).await.ids().len(), 1);
    let none = "/PW_WSG/Document?$filter=FileUpdateTime lt 2000-01-01 or CreateTime lt 2000-01-01T00:00:00";
    assert!(bench.get(none).await.ids().is_empty());
    let rows = bench
        .get("/PW_WSG/Document?$orderby=ParentGuid,Name desc")
        .await
        .instances();
    let keys: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |name: &str| row["properties"][name].as_str().unwrap().to_owned();
            (text("ParentGuid"), std::cmp::Reverse(text("Name")))
        })
        .collect();
    assert!(keys.is_sorted());
    for wrong in [
        "$filter=(Name eq 'a'",
        "$filter=Name is 'a'",
        "$orderby=Name up",
        "$filter=geo.intersects(a)",
    ] {
        bench
            .get(&format!("/PW_WSG/Document?{wrong}"))
            .await
            .assert_error(400, "BadRequest");
    }
}
