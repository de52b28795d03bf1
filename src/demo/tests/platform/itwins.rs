//! `/itwins`.

use std::collections::BTreeSet;

use super::*;

const PROJECTS: &str = "/itwins/?subClass=Project";

fn rows(page: &Value) -> Vec<Value> {
    page["iTwins"].as_array().unwrap().clone()
}

fn field(page: &Value, name: &str) -> Vec<String> {
    let rows = rows(page);
    rows.iter()
        .map(|row| row[name].as_str().unwrap().to_owned())
        .collect()
}

/// Follows the links from the first page on; rows of every page.
async fn walk(bench: &Bench, first: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut path = first.to_owned();
    loop {
        let page = Bench::good(&bench.platform(&path).await);
        pages.push(rows(&page));
        let Some(next) = page["_links"]["next"]["href"].as_str() else {
            return pages;
        };
        next.strip_prefix(&bench.server.base_url())
            .unwrap()
            .clone_into(&mut path);
    }
}

#[tokio::test]
async fn projects_of_the_caller_come_in_pages_of_a_hundred() {
    let bench = turned(|_| {}).await;
    let pages = walk(&bench, PROJECTS).await;
    assert!(pages.len() >= 2, "{}", pages.len());
    assert_eq!(pages[0].len(), 100);
    let all: Vec<&Value> = pages.iter().flatten().collect();
    let ids: BTreeSet<&str> = all.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all.len());
    assert!(
        all.iter()
            .all(|row| row["subClass"] == "Project" && row["status"] != "Inactive")
    );
    let bridge = bridge(&bench).await.to_string();
    let one = all.iter().find(|row| row["id"] == bridge.as_str()).unwrap();
    assert_eq!(one["displayName"], "Leven Estuary Crossing");
}

#[tokio::test]
async fn only_members_see_an_itwin() {
    let engineer = walk(&turned(|_| {}).await, "/itwins?includeInactive=true")
        .await
        .concat();
    let bench = signed_in(email(1)).await;
    let inspector = walk(&bench, "/itwins?includeInactive=true").await.concat();
    assert!(!inspector.is_empty() && inspector.len() < engineer.len());
    let ids: BTreeSet<&str> = inspector.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let others = engineer
        .iter()
        .find(|row| !ids.contains(row["id"].as_str().unwrap()));
    let id = others.unwrap()["id"].as_str().unwrap();
    let answer = bench.platform(&format!("/itwins/{id}")).await;
    assert_refused(&answer, 404, "iTwinNotFound", None);
    let answer = bench.platform(&format!("/itwins/{id}/repositories")).await;
    assert_refused(&answer, 404, "ItwinNotFound", None);
}

#[tokio::test]
async fn links_lead_back_and_forth_and_keep_the_question() {
    let bench = turned(|_| {}).await;
    let page = Bench::good(&bench.platform("/itwins?subClass=Project&$top=10&$skip=20").await);
    let base = bench.server.base_url();
    let link = |name: &str| page["_links"][name]["href"].as_str().unwrap().to_owned();
    let expected = |skip: u64| format!("{base}/itwins?subClass=Project&$skip={skip}&$top=10");
    assert_eq!(
        [link("prev"), link("self"), link("next")],
        [expected(10), expected(20), expected(30)]
    );
    let first = Bench::good(&bench.platform("/itwins?$top=5").await);
    assert!(first["_links"].get("prev").is_none());
}

#[tokio::test]
async fn every_filter_leaves_what_it_says() {
    let bench = turned(|_| {}).await;
    let get = async |tail: &str| Bench::good(&bench.platform(&format!("/itwins?$top=1000&{tail}")).await);
    let all = get("includeInactive=true").await;
    let active = get("").await;
    let count = |page: &Value| rows(page).len();
    let inactive = get("status=Inactive").await;
    assert!(count(&inactive) > 0);
    assert_eq!(count(&active) + count(&inactive), count(&all));
    assert!(
        field(&get("status=trial").await, "status")
            .iter()
            .all(|status| status == "Trial")
    );
    let assets = get("class=Thing&subClass=Asset").await;
    assert!(count(&assets) > 0 && field(&assets, "class").iter().all(|class| class == "Thing"));
    assert_eq!(count(&get("class=Account").await), 0);
    let name = "displayName=leven%20estuary%20crossing";
    assert_eq!(field(&get(name).await, "displayName"), ["Leven Estuary Crossing"]);
    let number = &field(&active, "number")[3];
    assert_eq!(
        field(&get(&format!("number={number}")).await, "number"),
        std::slice::from_ref(number)
    );
    let found = field(&get("$search=estuary").await, "displayName");
    assert_eq!(found.len(), 2, "{found:?}");
    let filter = "$filter=displayName%20eq%20'Harbour%20Tunnel'%20and%20status%20eq%20'Active'";
    assert_eq!(field(&get(filter).await, "displayName"), ["Harbour Tunnel"]);
    let parent = &field(&active, "parentId")[0];
    assert_eq!(count(&get(&format!("parentId={parent}")).await), count(&active));
    assert_eq!(
        count(&get("iTwinAccountId=00000000-0000-0000-0000-000000000001").await),
        0
    );
    let sorted = field(&get("$orderby=displayName%20desc").await, "displayName");
    let mut expected = sorted.clone();
    expected.sort_by_key(|name| std::cmp::Reverse(name.to_lowercase()));
    assert_eq!(sorted, expected);
    let few = get("$select=id,displayName").await;
    let keys: Vec<&String> = few["iTwins"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["displayName", "id"]);
}

#[tokio::test]
async fn a_wrong_parameter_is_422_and_names_itself() {
    let bench = turned(|_| {}).await;
    for (query, target) in [
        ("status=Active&includeInactive=true", "includeInactive"),
        ("subClass=Bridge", "subClass"),
        ("$top=0", "$top"),
        ("$skip=-1", "$skip"),
        ("$orderby=colour", "$orderby"),
        ("$select=colour", "$select"),
        ("$filter=number%20gt%203", "$filter"),
        ("parentId=x", "parentId"),
    ] {
        let answer = bench.platform(&format!("/itwins?{query}")).await;
        assert_refused(&answer, 422, "InvalidiTwinsRequest", Some("InvalidParameter"));
        assert_eq!(answer.json()["error"]["details"][0]["target"], target);
    }
}

#[tokio::test]
async fn paging_silently_stops_at_the_most_to_return() {
    let bench = turned(|_| {}).await;
    let path = "/itwins?$top=20&$skip=20";
    let answer = bench.platform_with(path, &["X-Max-Return: 30"]).await;
    assert_eq!(answer.header("X-Max-Return"), Some("30"));
    let page = Bench::good(&answer);
    assert_eq!(rows(&page).len(), 10);
    assert!(page["_links"].get("next").is_none());
    assert_eq!(bench.platform(path).await.header("X-Max-Return"), Some("1000"));
    for wrong in ["0", "10001", "many"] {
        let answer = bench
            .platform_with(path, &[&format!("X-Max-Return: {wrong}")])
            .await;
        assert_refused(&answer, 422, "InvalidiTwinsRequest", Some("InvalidParameter"));
    }
}

#[tokio::test]
async fn a_preference_for_little_is_honoured() {
    let bench = turned(|_| {}).await;
    let bridge = bridge(&bench).await;
    let path = format!("/itwins/{bridge}");
    let whole = Bench::good(&bench.platform(&path).await);
    assert_eq!(whole["iTwin"]["status"], "Active");
    for path in [path.as_str(), "/itwins?displayName=Leven%20Estuary%20Crossing"] {
        let answer = bench.platform_with(path, &["Prefer: return=minimal"]).await;
        assert_eq!(answer.header("Preference-Applied"), Some("return=minimal"));
        let json = Bench::good(&answer);
        let row = json.get("iTwin").unwrap_or(&json["iTwins"][0]);
        assert_eq!(row["id"], bridge.to_string());
        assert!(row.get("status").is_none());
    }
    let answer = bench
        .platform_with(&path, &["Prefer: return=representation"])
        .await;
    assert_eq!(answer.header("Preference-Applied"), Some("return=representation"));
    assert_eq!(Bench::good(&answer), whole);
}

#[tokio::test]
async fn no_repository_is_one_of_projectwise() {
    let bench = turned(|_| {}).await;
    let path = format!("/itwins/{}/repositories", bridge(&bench).await);
    let classes = |page: &Value| -> Vec<String> {
        let rows = page["repositories"].as_array().unwrap();
        rows.iter()
            .map(|row| row["class"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = classes(&Bench::good(&bench.platform(&path).await));
    assert_eq!(all.len(), 9);
    assert!(!all.iter().any(|class| class.contains("ProjectWise")));
    let one = Bench::good(&bench.platform(&format!("{path}?class=Storage")).await);
    assert_eq!(classes(&one), ["Storage"]);
}

#[tokio::test]
async fn nobody_has_favorites_or_recents() {
    let bench = turned(|_| {}).await;
    for path in ["/itwins/favorites", "/itwins/recents"] {
        assert!(rows(&Bench::good(&bench.platform(path).await)).is_empty());
    }
}
