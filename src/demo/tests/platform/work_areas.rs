//! `/workarea/v1`.

use crate::demo::knobs::WorkAreas;

use super::*;

async fn path(bench: &Bench) -> String {
    format!("/workarea/v1/projects/{}/connections", bridge(bench).await)
}

/// The id of the active project of this name.
async fn itwin(bench: &Bench, name: &str) -> String {
    let name = name.replace(' ', "%20");
    let page = Bench::good(&bench.platform(&format!("/itwins?displayName={name}")).await);
    page["iTwins"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_connection_leads_to_the_folder_in_one_address() {
    let bench = turned(|knobs| knobs.work_area_page = 10).await;
    let page = Bench::good(
        &bench
            .platform_with(&path(&bench).await, &["Accept: application/json"])
            .await,
    );
    assert_eq!(page["nextPageToken"], Value::Null);
    let items = page["items"].as_array().unwrap();
    let world = bench.server.world();
    let project = world.folder_at(&["Leven Estuary Crossing"]).unwrap();
    let area = world
        .folder_at(&["Leven Estuary Crossing", "07 Temporary Works"])
        .unwrap();
    let datasource = bench
        .server
        .datasource_url()
        .replace("/Repositories/", "/repositories/");
    for (item, (folder, primary)) in items.iter().zip([(project, true), (area, false)]) {
        assert_eq!(item["url"], format!("{datasource}/PW_WSG/Project/{folder}"));
        assert_eq!(item["isPrimary"], primary);
        // It is a real address: the gateway answers it.
        let url = item["url"].as_str().unwrap();
        let answer = bench
            .platform_with(url.strip_prefix(&bench.server.base_url()).unwrap(), &[])
            .await;
        assert_eq!(answer.ids(), [folder.to_string()]);
    }
    assert_eq!(items.len(), 2);
}

#[tokio::test]
async fn the_address_names_the_version_the_gateway_speaks() {
    let bench = turned(|knobs| knobs.api = 5).await;
    let page = Bench::good(&bench.platform(&path(&bench).await).await);
    assert!(page["items"][0]["url"].as_str().unwrap().contains("/ws/v2.5/"));
    bench.server.turn(|knobs| knobs.service_version = true);
    let page = Bench::good(&bench.platform(&path(&bench).await).await);
    assert!(page["items"][0]["url"].as_str().unwrap().contains("/ws/sv1.1/"));
}

#[tokio::test]
async fn connections_come_in_pages_with_a_token() {
    let bench = turned(|_| {}).await;
    let path = path(&bench).await;
    let first = Bench::good(&bench.platform(&path).await);
    assert_eq!(first["items"].as_array().unwrap().len(), 1);
    let token = first["nextPageToken"].as_str().unwrap();
    let second = Bench::good(&bench.platform(&format!("{path}?continuationToken={token}")).await);
    assert_ne!(first["items"], second["items"]);
    assert_eq!(second["nextPageToken"], Value::Null);
    let other = itwin(&bench, "Harbour Tunnel").await;
    for (project, token) in [(bridge(&bench).await.to_string(), "nonsense"), (other, token)] {
        let path = format!("/workarea/v1/projects/{project}/connections?continuationToken={token}");
        let answer = bench.platform(&path).await;
        assert_refused(&answer, 422, "InvalidWorkAreaRequest", Some("InvalidParameter"));
    }
}

#[tokio::test]
async fn the_envelope_is_one_of_four() {
    let bench = turned(|_| {}).await;
    let path = path(&bench).await;
    let ask = async |envelope| {
        bench.server.turn(|knobs| knobs.work_areas = envelope);
        bench.platform(&path).await
    };
    let items = Bench::good(&ask(WorkAreas::Items).await);
    let value = Bench::good(&ask(WorkAreas::Value).await);
    assert_eq!(items["items"], value["value"]);
    let next = value["@odata.nextLink"].as_str().unwrap();
    let second = bench
        .platform(next.strip_prefix(&bench.server.base_url()).unwrap())
        .await;
    let second = Bench::good(&second);
    assert_eq!(second["value"].as_array().unwrap().len(), 1);
    assert!(second.get("@odata.nextLink").is_none());
    let connections = Bench::good(&ask(WorkAreas::Connections).await);
    let connection = &connections["connections"][0];
    for (small, capital) in [("url", "Url"), ("displayName", "DisplayName"), ("id", "Id")] {
        assert_eq!(connection[capital], items["items"][0][small]);
        assert!(connection.get(small).is_none());
    }
    assert!(connections["nextPageToken"].is_string());
    assert_refused(
        &ask(WorkAreas::Refused).await,
        403,
        "InsufficientPermissions",
        None,
    );
}

#[tokio::test]
async fn projects_have_none_or_one_or_one_elsewhere() {
    let bench = turned(|_| {}).await;
    let connections = async |id: &str| {
        let answer = bench
            .platform(&format!("/workarea/v1/projects/{id}/connections"))
            .await;
        Bench::good(&answer)["items"].as_array().unwrap().clone()
    };
    let shared = itwin(&bench, "Leven Estuary Crossing 07 Temporary Works").await;
    let shared = connections(&shared).await;
    let world = bench.server.world();
    let area = world
        .folder_at(&["Leven Estuary Crossing", "07 Temporary Works"])
        .unwrap();
    assert!(shared[0]["url"].as_str().unwrap().ends_with(&area.to_string()));
    let elsewhere = connections(&itwin(&bench, "Harbour Tunnel").await).await;
    assert!(
        elsewhere[0]["url"]
            .as_str()
            .unwrap()
            .starts_with("https://northbank-pw-ws.invalid/ws/")
    );
    let page = Bench::good(&bench.platform("/itwins?subClass=Project&$skip=50&$top=1").await);
    let plain = page["iTwins"][0]["id"].as_str().unwrap();
    assert!(connections(plain).await.is_empty());
}

#[tokio::test]
async fn what_is_no_project_of_the_caller_is_not_found() {
    let bench = turned(|_| {}).await;
    let asset = Bench::good(&bench.platform("/itwins?subClass=Asset").await);
    let asset = asset["iTwins"][0]["id"].as_str().unwrap();
    for (id, code) in [
        (asset, "ProjectNotFound"),
        ("00000000-0000-0000-0000-000000000001", "iTwinNotFound"),
        ("nonsense", "iTwinNotFound"),
    ] {
        let answer = bench
            .platform(&format!("/workarea/v1/projects/{id}/connections"))
            .await;
        assert_refused(&answer, 404, code, None);
    }
}

#[tokio::test]
async fn a_member_sees_connections_whatever_the_datasource_says() {
    let bench = signed_in(email(3)).await;
    let page = Bench::good(&bench.platform("/itwins?$search=Leven%20Estuary").await);
    let id = page["iTwins"][0]["id"].as_str().unwrap();
    let answer = bench
        .platform(&format!("/workarea/v1/projects/{id}/connections"))
        .await;
    assert!(!Bench::good(&answer)["items"].as_array().unwrap().is_empty());
}
