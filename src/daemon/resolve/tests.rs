//! Against gateways that list what no simulator has: several datasources, twins, none.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::*;
use crate::http::Secret;

/// A gateway at `path` of a port of its own, with these locations; its address.
async fn gateway(path: &'static str, locations: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |uri: axum::http::Uri| async move {
        let within = uri.path().strip_prefix(path).unwrap_or_default();
        let body = if within.starts_with("/v") && within.ends_with("/Plugins") {
            json!({ "instances": [] })
        } else if within.starts_with("/v") && within.ends_with("/Repositories/") {
            let rows = locations.iter().enumerate().map(|(number, location)| {
                json!({
                    "instanceId": format!("Bentley.PW--{number}"),
                    "schemaName": "Repositories", "className": "RepositoryIdentifier",
                    "properties": {
                        "ECPluginID": "Bentley.PW", "Location": location, "DisplayLabel": format!("L{number}") },
                })
            });
            json!({ "instances": rows.collect::<Vec<_>>() })
        } else {
            return Err(axum::http::StatusCode::NOT_FOUND);
        };
        Ok((
            [
                (CONTENT_TYPE.as_str(), "application/json"),
                ("Mas-Server", "Bentley-WSG/2.6,Bentley-WebAPI/2.8"),
            ],
            body.to_string(),
        ))
    };
    let app = Router::new().fallback(answer);
    Handle::current().spawn(async move { axum::serve(listener, app).await });
    base
}

fn servers(own: Option<&str>) -> Servers {
    let link = own.map(|text| DatasourceLink::parse(text).unwrap());
    Servers {
        http: HttpClient::new().unwrap(),
        tokens: TokenSource::fixed(Secret::new("t0ken")),
        options: WsgOptions::default(),
        own: link.map(|link| match link {
            DatasourceLink::Wsg(address) => address,
            DatasourceLink::Pw(link) => panic!("{link}"),
        }),
    }
}

async fn address(servers: &Servers, text: &str) -> Result<String, ConnectionError> {
    let link = DatasourceLink::parse(text).unwrap();
    servers.address(&link).await.map(|address| address.to_string())
}

#[tokio::test]
async fn a_projectwise_link_is_found_in_the_own_servers_list_by_its_location() {
    let base = gateway("/bwsg", &["PW.example.com:Main", "pw.example.com:Other", "x:y:z"]).await;
    let servers = servers(Some(&format!("{base}/bwsg/v2.8/Repositories/Bentley.PW--7")));
    for (text, number) in [
        ("pw://pw.example.com:main/Documents/A", 0),
        (r"pw:\\PW.EXAMPLE.COM:Other\Documents", 1),
        ("Bentley.PW--pw.example.com~3AOther", 1),
    ] {
        // The id is the server's own, whatever could be computed.
        let expected = format!("{base}/bwsg/v2.8/Repositories/Bentley.PW--{number}");
        assert_eq!(address(&servers, text).await.unwrap(), expected, "{text}");
    }
}

#[tokio::test]
async fn a_datasource_that_is_not_there_is_an_error_with_the_choice() {
    let base = gateway("/ws", &["pw.example.com:Main", "pw.example.com:Other"]).await;
    let servers = servers(Some(&format!("{base}/ws")));
    let error = address(&servers, "pw://PW.example.com:Mian").await.unwrap_err();
    let ConnectionError::NoSuchDatasource {
        location, choices, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(location, "PW.example.com:Mian");
    let urls: Vec<&str> = choices.iter().map(|(_, url)| url.as_str()).collect();
    assert_eq!(
        urls,
        [
            format!("{base}/ws/Repositories/Bentley.PW--0"),
            format!("{base}/ws/Repositories/Bentley.PW--1"),
        ]
    );
}

#[tokio::test]
async fn twins_that_differ_in_case_are_told_apart_by_it_and_else_shown_as_a_choice() {
    let base = gateway("/ws", &["h:Main", "h:MAIN"]).await;
    let servers = servers(Some(&base));
    let found = address(&servers, "pw://h:MAIN").await.unwrap();
    assert_eq!(found, format!("{base}/ws/Repositories/Bentley.PW--1"));
    let error = address(&servers, "pw://h:main").await.unwrap_err();
    assert!(
        matches!(&error, ConnectionError::SeveralDatasources { choices, .. } if choices.len() == 2),
        "{error}"
    );
}

#[tokio::test]
async fn a_host_alone_is_asked_where_gateways_usually_are_then_itself() {
    for (path, found) in [("/ws", Some("/ws")), ("", Some("")), ("/elsewhere", None)] {
        let base = gateway(path, &["h:Main"]).await;
        match (address(&servers(None), &base).await, found) {
            (Ok(address), Some(found)) => assert_eq!(address, format!("{base}{found}")),
            (Err(error), None) => {
                let text = error.to_string();
                assert!(text.contains(&format!("Gateway is there: {base}/ws")), "{text}");
            }
            (outcome, _) => panic!("{path}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn an_id_in_another_spelling_is_found_by_its_location() {
    let base = gateway("/ws", &["h:Main", "h:Other"]).await;
    let respelt = async |id: &str| {
        let address = WsgAddress::parse(&format!("{base}/ws/v2.8/Repositories/{id}")).unwrap();
        let found = servers(None).respelt(&address).await;
        found.map(|address| address.map(|address| address.to_string()))
    };
    let expected = format!("{base}/ws/v2.8/Repositories/Bentley.PW--1");
    assert_eq!(respelt("pw--H~3aOTHER").await.unwrap(), Some(expected));
    assert_eq!(respelt("Bentley.PW--1").await.unwrap(), None, "it is right");
    let error = respelt("Bentley.PW--h~3Amian").await.unwrap_err();
    assert!(
        matches!(&error, ConnectionError::NoSuchDatasource { choices, .. } if choices.len() == 2),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_lists_nothing_of_the_links_server_is_not_its_gateway() {
    let base = gateway("/ws", &["other.example.com:Main"]).await;
    let servers = servers(Some(&format!("{base}/ws")));
    let link = match DatasourceLink::parse("pw://pw.example.com:Main").unwrap() {
        DatasourceLink::Pw(link) => link,
        DatasourceLink::Wsg(address) => panic!("{address}"),
    };
    assert!(servers.own_with(&link).await.unwrap().is_none());
}
