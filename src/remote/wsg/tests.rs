//! The whole client against a raw HTTP server on this machine, identity provider included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::auth::credentials::Tokens;
use crate::auth::{AppId, CredentialStore, Credentials, StoreKind};
use crate::http::{Options, Secret};

mod logins;
mod rows;

const FOLDER: &str = "87d25a9c-e00a-45ce-8946-1854ac221ab3";
const SUBFOLDER: &str = "3c6d1f52-8f0e-4c49-9d7e-5a0a1b6f2d11";
const DOCUMENT: &str = "9d8a7a70-254f-4494-bfe8-9c312e33a662";
const REPOSITORY: &str = "Bentley.PW--acme~3Ads";

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    /// Path and query, below the repository where it is below one; percent signs decoded.
    target: String,
    head: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    fn token(&self) -> usize {
        self.header("authorization")
            .and_then(|value| value.strip_prefix("Bearer t")?.parse().ok())
            .unwrap()
    }
}

type Answer = Arc<dyn Fn(&Seen) -> String + Send + Sync>;

struct Bench {
    base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    refreshes: Arc<AtomicUsize>,
    tokens: TokenSource,
    http: HttpClient,
    directory: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn json(body: &str) -> String {
    reply("200 OK", "Content-Type: application/json\r\n", body)
}

fn instances(rows: &[String]) -> String {
    json(&format!(r#"{{"instances":[{}]}}"#, rows.join(",")))
}

fn failure(status: &str, id: &str) -> String {
    let body = format!(r#"{{"errorId":"{id}","errorMessage":"the words","errorDescription":null}}"#);
    reply(
        status,
        "Content-Type: application/json\r\nMas-Request-Id: req-7\r\n",
        &body,
    )
}

fn document_row(number: usize, more: &str) -> String {
    format!(
        r#"{{"instanceId":"{}","className":"Document","properties":{{"Name":"d{number:04}","FileName":"d{number:04}.dgn"{more}}}}}"#,
        guid(number)
    )
}

fn guid(number: usize) -> String {
    format!("00000000-0000-0000-0000-{number:012x}")
}

impl Bench {
    async fn start(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Self {
        let answer: Answer = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let refreshes = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (log, renewed, issuer) = (Arc::clone(&seen), Arc::clone(&refreshes), base.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                let (renewed, issuer) = (Arc::clone(&renewed), issuer.clone());
                connections.spawn(async move {
                    let mut text = Vec::new();
                    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                        if socket.read_buf(&mut text).await.unwrap() == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8(text).unwrap();
                    let target = head.split(' ').nth(1).unwrap().to_owned();
                    let body = if target.contains("openid-configuration") {
                        json(&format!(
                            r#"{{"issuer":"{issuer}","authorization_endpoint":"{issuer}/a","token_endpoint":"{issuer}/token"}}"#
                        ))
                    } else if target == "/token" {
                        let count = renewed.fetch_add(1, Ordering::SeqCst) + 1;
                        json(&format!(
                            r#"{{"access_token":"t{count}","token_type":"Bearer","expires_in":3600,"refresh_token":"r{count}"}}"#
                        ))
                    } else {
                        let below = format!("/ws/v2.8/Repositories/{REPOSITORY}/");
                        let target = target.strip_prefix(&below).unwrap_or(&target);
                        let target = target.replace("%20", " ").replace("%5B", "[").replace("%5D", "]");
                        let seen = Seen { target, head };
                        log.lock().push(seen.clone());
                        if seen.target.ends_with("/Plugins") {
                            reply("200 OK", "Mas-Server: Bentley-WSG/2.6.8,Bentley-WebAPI/2.8\r\n", "{\"instances\":[]}")
                        } else {
                            answer(&seen)
                        }
                    };
                    // A client that has read enough hangs up.
                    let _ = socket.write_all(body.as_bytes()).await;
                });
            }
        });

        let directory = tempfile::tempdir().unwrap();
        let app = AppId {
            issuer: base.clone(),
            client_id: "app".to_owned(),
            scopes: "s".to_owned(),
        };
        let first = Tokens {
            access: Secret::new("t0"),
            refresh: Some(Secret::new("r0")),
            lifetime: Some(std::time::Duration::from_secs(3600)),
            scopes: None,
        };
        let record = Credentials::new(
            app.clone(),
            "http://localhost/x",
            None,
            first,
            jiff::Timestamp::now(),
        );
        let store = CredentialStore::new(StoreKind::File, directory.path(), "test");
        store.lock().await.unwrap().save(&record).await.unwrap();
        let http = HttpClient::with_options(Options {
            attempts: 1,
            ..Options::default()
        })
        .unwrap();
        Self {
            tokens: TokenSource::new(http.clone(), store, app),
            base,
            seen,
            refreshes,
            http,
            directory,
            _tasks: tasks,
        }
    }

    fn remote(&self, options: WsgOptions) -> WsgRemote {
        let address = WsgAddress::parse(&format!("{}/ws/v2.8/Repositories/{REPOSITORY}", self.base)).unwrap();
        WsgRemote::offline(self.http.clone(), self.tokens.clone(), &address, options).unwrap()
    }

    async fn connect(&self, path: &str) -> Result<WsgRemote, ConnectError> {
        let address = WsgAddress::parse(&format!("{}{path}", self.base)).unwrap();
        WsgRemote::connect(
            self.http.clone(),
            self.tokens.clone(),
            address,
            WsgOptions::default(),
        )
        .await
    }

    fn refreshes(&self) -> usize {
        self.refreshes.load(Ordering::SeqCst)
    }

    /// The requests below the repository.
    fn targets(&self) -> Vec<String> {
        let all = self.seen.lock();
        all.iter()
            .map(|seen| seen.target.clone())
            .filter(|target| !target.starts_with('/'))
            .collect()
    }
}

fn folder_id() -> FolderId {
    FolderId(FOLDER.parse().unwrap())
}

fn document_id() -> DocumentId {
    DocumentId(DOCUMENT.parse().unwrap())
}

fn number_after(target: &str, key: &str) -> Option<usize> {
    let (_, rest) = target.split_once(key)?;
    rest.split('&').next()?.parse().ok()
}

/// A folder with one folder in it and `count` documents, by `$skip` with a cap or by SkipToken.
fn paged(count: usize, cap: usize, by_token: bool) -> impl Fn(&Seen) -> String {
    move |seen: &Seen| {
        let token = seen.header("skiptoken");
        if seen.target.starts_with("PW_WSG/Project?") {
            let first = number_after(&seen.target, "$skip=").unwrap_or(0) == 0;
            let row = format!(
                r#"{{"instanceId":"{SUBFOLDER}","className":"Project","properties":{{"Name":"Sub"}}}}"#
            );
            return instances(if first { std::slice::from_ref(&row) } else { &[] });
        }
        let top = number_after(&seen.target, "$top=").unwrap_or(usize::MAX).min(cap);
        let start = match &token {
            Some(token) if by_token => token.parse().unwrap(),
            _ => number_after(&seen.target, "$skip=").unwrap_or(0),
        };
        let end = (start + top).min(count);
        let rows: Vec<String> = (start.min(end)..end)
            .map(|number| document_row(number, if number == 1 { r#","IsLatest":false"# } else { "" }))
            .collect();
        let next = if by_token && token.is_some() && end < count {
            format!("SkipToken: {end}\r\n")
        } else {
            String::new()
        };
        let body = format!(r#"{{"instances":[{}]}}"#, rows.join(","));
        reply(
            "200 OK",
            &format!("Content-Type: application/json\r\n{next}"),
            &body,
        )
    }
}

#[tokio::test]
async fn a_folder_is_listed_whole_in_every_page_mode_without_superseded_versions() {
    for (cap, by_token) in [(1000, true), (1000, false), (7, false), (7, true)] {
        let bench = Bench::start(paged(45, cap, by_token)).await;
        let remote = bench.remote(WsgOptions {
            page_size: 20,
            ..WsgOptions::default()
        });
        let entries = remote.list(folder_id(), &Progress::new()).await.unwrap();
        assert_eq!(entries.len(), 1 + 45 - 1, "cap {cap}, tokens {by_token}");
        assert!(entries.iter().all(|entry| entry.parent() == Some(folder_id())));
        assert_eq!(remote.capabilities().skip_token == Some(true), by_token);
        let documents = bench
            .targets()
            .iter()
            .filter(|target| target.contains("Document!poly"))
            .count();
        if by_token {
            assert_eq!(documents, 45_usize.div_ceil(cap.min(20)));
        } else if cap == 1000 {
            assert_eq!(documents, 45 / 20 + 1);
        }
    }
}

#[tokio::test]
async fn an_order_the_server_refuses_is_left_out_and_remembered() {
    let inner = paged(3, 1000, false);
    let bench = Bench::start(move |seen: &Seen| {
        if seen.target.contains("$orderby") {
            failure("400 Bad Request", "PropertyNotFound")
        } else {
            inner(seen)
        }
    })
    .await;
    let remote = bench.remote(WsgOptions::default());
    for _ in 0..2 {
        assert_eq!(remote.list(folder_id(), &Progress::new()).await.unwrap().len(), 3);
    }
    let ordered = bench
        .targets()
        .iter()
        .filter(|target| target.contains("$orderby"))
        .count();
    assert_eq!(ordered, 2, "once for each of the two queries");
}

#[tokio::test]
async fn no_failing_answer_is_ever_an_empty_folder() {
    for answer in [
        reply("200 OK", "Content-Type: application/json\r\n", "{}"),
        reply("200 OK", "Content-Type: application/json\r\n", ""),
        reply("200 OK", "Content-Type: text/html\r\n", "<html>hello</html>"),
        reply("204 No Content", "", ""),
        reply("404 Not Found", "Content-Type: text/html\r\n", "<html>IIS</html>"),
        failure("200 OK", "NotEnoughRights"),
        failure("500 Oops", "Whatever"),
        json(r#"{"instances":[{"instanceId":"x","className":"Document"}]}"#),
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{\"instances\":[".to_owned(),
    ] {
        let sent = answer.clone();
        let bench = Bench::start(move |_: &Seen| sent.clone()).await;
        let result = bench
            .remote(WsgOptions::default())
            .list(folder_id(), &Progress::new())
            .await;
        let error = result.expect_err(&answer);
        assert!(
            !matches!(error, RemoteError::NotFound { .. }),
            "{answer}: {error}"
        );
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_request_repeated_once() {
    for refusal in [
        failure("401 Unauthorized", "LoginFailed"),
        reply("401 Unauthorized", "", ""),
        failure("404 Not Found", "DatasourceNotFound"),
        failure("403 Forbidden", "NotEnoughRights"),
        reply(
            "302 Found",
            "Location: https://ims.bentley.com/IMS/Account/Login?x\r\n",
            "",
        ),
        reply(
            "200 OK",
            "Content-Type: text/html\r\n",
            "<html><a href='/IMS/Account/Login?'>Sign in</a>",
        ),
    ] {
        let healed = refusal.clone();
        let bench = Bench::start(move |seen: &Seen| {
            if seen.token() == 0 {
                return healed.clone();
            }
            instances(&[format!(
                r#"{{"instanceId":"{FOLDER}","className":"Project","properties":{{"Name":"A"}}}}"#
            )])
        })
        .await;
        let remote = bench.remote(WsgOptions::default());
        assert_eq!(remote.folder(folder_id()).await.unwrap().name, "A", "{refusal}");
        assert_eq!((bench.refreshes(), bench.targets().len()), (1, 2), "{refusal}");
    }
}

#[tokio::test]
async fn what_stays_refused_is_an_error_after_one_refresh() {
    for (refusal, login) in [
        (failure("401 Unauthorized", "LoginFailed"), true),
        (
            reply("200 OK", "Content-Type: text/html\r\n", "<form>Sign in</form>"),
            true,
        ),
        (failure("403 Forbidden", "NotEnoughRights"), false),
        (failure("404 Not Found", "DatasourceNotFound"), false),
    ] {
        let sent = refusal.clone();
        let bench = Bench::start(move |_: &Seen| sent.clone()).await;
        let error = bench
            .remote(WsgOptions::default())
            .folder(folder_id())
            .await
            .unwrap_err();
        assert_eq!(
            matches!(error, RemoteError::LoginRequired(_)),
            login,
            "{refusal}: {error}"
        );
        assert!(!matches!(error, RemoteError::NotFound { .. }));
        assert_eq!((bench.refreshes(), bench.targets().len()), (1, 2), "{refusal}");
    }
}

#[tokio::test]
async fn many_denied_folders_cost_one_refresh() {
    let bench = Bench::start(|_: &Seen| failure("403 Forbidden", "NotEnoughRights")).await;
    let remote = bench.remote(WsgOptions::default());
    for _ in 0..5 {
        let error = remote.folder(folder_id()).await.unwrap_err();
        assert!(matches!(&error, RemoteError::Denied { .. }), "{error}");
        assert!(
            error.to_string().contains(FOLDER) && error.to_string().contains("req-7"),
            "{error}"
        );
    }
    let listing = remote.list(folder_id(), &Progress::new()).await.unwrap_err();
    assert!(listing.to_string().contains(FOLDER), "{listing}");
    assert_eq!(bench.refreshes(), 1);
}

#[tokio::test]
async fn a_login_refused_with_a_fresh_token_is_not_tried_again_with_it() {
    let bench = Bench::start(|_: &Seen| failure("401 Unauthorized", "LoginFailed")).await;
    let remote = bench.remote(WsgOptions::default());
    for _ in 0..5 {
        let error = remote.folder(folder_id()).await.unwrap_err();
        assert!(matches!(error, RemoteError::LoginRequired(_)), "{error}");
    }
    assert_eq!((bench.refreshes(), bench.targets().len()), (1, 2));
    tokio::time::pause();
    tokio::time::advance(gateway::REFUSED_PAUSE).await;
    tokio::time::resume();
    remote.folder(folder_id()).await.unwrap_err();
    assert!(bench.targets().len() > 2, "after a while it is tried again");
}

#[tokio::test]
async fn a_file_store_that_refuses_is_a_failing_server_and_asked_only_where_allowed() {
    let store =
        Bench::start(|_: &Seen| reply("403 Forbidden", "", "<Error>AuthenticationFailed</Error>")).await;
    let location = format!("Location: {}/blob\r\n", store.base);
    let bench = Bench::start(move |_: &Seen| reply("307 Over There", &location, "")).await;
    for (blob_redirect, asked) in [(BlobRedirect::Refuse, 0), (BlobRedirect::Allow, 2)] {
        let remote = bench.remote(WsgOptions {
            blob_redirect,
            ..WsgOptions::default()
        });
        let whole = ByteRange { start: 0, end: None };
        let error = remote.read(document_id(), whole, None).await.err().unwrap();
        assert_eq!(matches!(error, RemoteError::Server(_)), asked > 0, "{error}");
        assert!(!matches!(error, RemoteError::Denied { .. }), "{error}");
        // A link may have run out on the way: the gateway is asked for another one, once.
        assert_eq!(store.seen.lock().len(), asked);
    }
    assert_eq!(bench.refreshes(), 0);
}

#[tokio::test]
async fn a_child_of_another_folder_fails_the_listing_by_name() {
    let bench = Bench::start(|seen: &Seen| {
        if seen.target.starts_with("PW_WSG/Project?") {
            return instances(&[]);
        }
        let parent = format!(r#","ParentGuid":"{}""#, guid(9));
        instances(&[document_row(1, &parent)])
    })
    .await;
    let remote = bench.remote(WsgOptions::default());
    let error = remote.list(folder_id(), &Progress::new()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol(_)), "{error}");
    assert!(
        error.to_string().contains("d0001") && error.to_string().contains(&guid(9)),
        "{error}"
    );
}

#[tokio::test]
async fn a_class_paged_without_tokens_is_whole_though_another_has_them() {
    let documents = paged(45, 7, false);
    let bench = Bench::start(move |seen: &Seen| {
        if seen.target.starts_with("PW_WSG/Project!poly") {
            let row = format!(r#"{{"instanceId":"{FOLDER}","className":"Project"}}"#);
            let body = format!(r#"{{"instances":[{row}]}}"#);
            return reply(
                "200 OK",
                "Content-Type: application/json\r\nSkipToken: 1\r\n",
                &body,
            );
        }
        documents(seen)
    })
    .await;
    let path = format!("/ws/v2.8/Repositories/{REPOSITORY}");
    let remote = bench.connect(&path).await.unwrap();
    assert_eq!(remote.capabilities().skip_token, Some(true));
    let entries = remote.list(folder_id(), &Progress::new()).await.unwrap();
    assert_eq!(entries.len(), 1 + 45 - 1);
}

#[tokio::test]
async fn a_locked_account_stops_everything_at_once() {
    let bench = Bench::start(|_: &Seen| failure("401 Unauthorized", "TooManyBadLoginAttempts")).await;
    let remote = bench.remote(WsgOptions::default());
    for _ in 0..3 {
        let error = remote.folder(folder_id()).await.unwrap_err();
        assert!(matches!(error, RemoteError::LockedOut(_)), "{error}");
    }
    let whole = ByteRange { start: 0, end: None };
    assert!(matches!(
        remote.read(document_id(), whole, None).await.err(),
        Some(RemoteError::LockedOut(_))
    ));
    assert_eq!((bench.refreshes(), bench.targets().len()), (0, 1));
}

#[tokio::test]
async fn only_the_error_id_makes_an_object_not_found() {
    let bench = Bench::start(|_: &Seen| failure("404 Not Found", "InstanceNotFound")).await;
    let remote = bench.remote(WsgOptions::default());
    assert!(matches!(
        remote.folder(folder_id()).await,
        Err(RemoteError::NotFound { .. })
    ));
    assert!(matches!(
        remote.document(document_id()).await,
        Err(RemoteError::NotFound { .. })
    ));
    let other = Bench::start(|_: &Seen| instances(&[document_row(1, "")])).await;
    let error = other
        .remote(WsgOptions::default())
        .document(document_id())
        .await
        .unwrap_err();
    assert!(
        matches!(error, RemoteError::Protocol(_)),
        "another object than asked for: {error}"
    );
}

#[tokio::test]
async fn roots_come_from_the_navigation_tree_and_keep_what_the_query_does_not_give() {
    let bench = Bench::start(|seen: &Seen| {
        if seen.target.starts_with("Navigation/NavNode") {
            let node = |id: &str, label: &str, class: &str| {
                format!(
                    r#"{{"instanceId":"n-{id}","className":"NavNode","properties":
                       {{"Key_ClassName":"{class}","Key_InstanceId":"{id}","Label":"{label}"}}}}"#
                )
            };
            // As much as there is, whatever `$skip` says.
            return instances(&[
                node(FOLDER, "Known", "Project"),
                node("4711", "Search", "SavedSearchDefinition"),
                node(&guid(7), "Only a label", "Project"),
            ]);
        }
        assert!(seen.target.contains("$id in ["), "{}", seen.target);
        if number_after(&seen.target, "$skip=").is_some_and(|skip| skip > 0) {
            return instances(&[]);
        }
        instances(&[format!(
            r#"{{"instanceId":"{FOLDER}","className":"Project","properties":{{"Name":"Known","IsRichProject":true}}}}"#
        )])
    })
    .await;
    let remote = bench.remote(WsgOptions::default());
    let roots = remote.roots(&Progress::new()).await.unwrap();
    let seen: Vec<_> = roots
        .iter()
        .map(|root| (root.name.as_str(), root.work_area))
        .collect();
    assert_eq!(seen, [("Known", true), ("Only a label", false)]);
}

#[tokio::test]
async fn roots_without_a_navigation_tree_are_the_folders_without_a_parent() {
    let bench = Bench::start(|seen: &Seen| {
        if seen.target.starts_with("Navigation/") {
            return failure("404 Not Found", "SchemaNotFound");
        }
        let row = |number: usize, parent: &str| {
            format!(
                r#"{{"instanceId":"{}","className":"Project","properties":{{"Name":"f{number}"{parent}}}}}"#,
                guid(number)
            )
        };
        let all = [
            row(1, ""),
            row(2, &format!(r#","ParentGuid":"{}""#, guid(1))),
            row(3, r#","ParentGuid":"00000000-0000-0000-0000-000000000000""#),
            row(4, &format!(r#","ParentGuid":"{}""#, guid(99))),
        ];
        let skip = number_after(&seen.target, "$skip=").unwrap_or(0);
        instances(&all[skip.min(4)..])
    })
    .await;
    let remote = bench.remote(WsgOptions::default());
    let roots = remote.roots(&Progress::new()).await.unwrap();
    assert_eq!(
        roots.iter().map(|root| root.name.as_str()).collect::<Vec<_>>(),
        ["f1", "f3", "f4"],
        "and those whose parent may not be seen"
    );
}

#[tokio::test]
async fn nodes_of_which_none_is_a_folder_are_no_empty_root() {
    let bench = Bench::start(|seen: &Seen| {
        if number_after(&seen.target, "$skip=").is_some_and(|skip| skip > 0) {
            return instances(&[]);
        }
        if seen.target.starts_with("Navigation/") {
            let node = r#"{"instanceId":"n","className":"NavNode","properties":{"Key_ClassName":"Group"}}"#;
            return instances(&[node.to_owned()]);
        }
        instances(&[format!(
            r#"{{"instanceId":"{FOLDER}","className":"Project","properties":{{"Name":"A"}}}}"#
        )])
    })
    .await;
    let remote = bench.remote(WsgOptions::default());
    assert_eq!(remote.roots(&Progress::new()).await.unwrap()[0].name, "A");
}

#[tokio::test]
async fn ids_are_looked_up_in_chunks_and_absent_ones_not_answered() {
    let bench = Bench::start(|seen: &Seen| {
        let rows: Vec<String> = (0..120)
            .filter(|number| seen.target.contains(&guid(*number)) && number % 2 == 0)
            .map(|number| document_row(number, r#","IsLatest":"false""#))
            .collect();
        let skip = number_after(&seen.target, "$skip=").unwrap_or(0);
        instances(&rows[skip.min(rows.len())..])
    })
    .await;
    let remote = bench.remote(WsgOptions {
        page_mode: PageMode::SkipToken,
        ..WsgOptions::default()
    });
    let ids: Vec<ObjectId> = (0..120)
        .map(|number| ObjectId::Document(DocumentId(guid(number).parse().unwrap())))
        .collect();
    let found = remote.find(&ids).await.unwrap();
    assert_eq!(found.len(), 60, "superseded versions are found, too");
    assert_eq!(bench.targets().len(), 3);
    assert!(remote.find(&[]).await.unwrap().is_empty());
    assert_eq!(bench.targets().len(), 3);
}

#[tokio::test]
async fn the_account_comes_from_the_server_or_the_token() {
    let bench = Bench::start(|_: &Seen| instances(&[r#"{"instanceId":"42"}"#.to_owned()])).await;
    assert_eq!(
        bench.remote(WsgOptions::default()).account().await.unwrap(),
        "user 42"
    );
    for refusal in [
        failure("404 Not Found", "ClassNotFound"),
        failure("404 Not Found", "InstanceNotFound"),
        failure("403 Forbidden", "NotEnoughRights"),
    ] {
        let bench = Bench::start(move |_: &Seen| refusal.clone()).await;
        let error = bench.remote(WsgOptions::default()).account().await.unwrap_err();
        assert!(
            matches!(error, RemoteError::Protocol(_)),
            "the token is asked, and an opaque one names nobody: {error}"
        );
    }
    let bench = Bench::start(|_: &Seen| failure("500 Oops", "")).await;
    let error = bench.remote(WsgOptions::default()).account().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Server(_)),
        "an outage is not a change of account: {error}"
    );
}

#[tokio::test]
async fn connecting_takes_the_only_projectwise_datasource_and_lists_a_choice() {
    fn repositories(ids: &'static [&'static str]) -> impl Fn(&Seen) -> String {
        move |seen: &Seen| {
            if !seen.target.ends_with("/Repositories/") {
                return instances(&[]);
            }
            let rows: Vec<String> = ids
                .iter()
                .map(|id| format!(r#"{{"instanceId":"{id}"}}"#))
                .collect();
            instances(&rows)
        }
    }
    let one = Bench::start(repositories(&["Other--x", REPOSITORY])).await;
    let remote = one.connect("/ws").await.unwrap();
    assert_eq!(remote.name(), format!("acme:ds at {}/ws", one.base));
    assert!(
        one.targets()[0].starts_with("PW_WSG/Project!poly"),
        "the login is tried"
    );
    let two = Bench::start(repositories(&["pw--a", "Bentley.PW--b"])).await;
    match two.connect("/ws/v2.5").await.err() {
        Some(ConnectError::SeveralDatasources(choices)) => assert_eq!(choices.len(), 2),
        other => panic!("{other:?}"),
    }
    let none = Bench::start(repositories(&["Other--x"])).await;
    assert!(matches!(
        none.connect("/ws").await.err(),
        Some(ConnectError::NoDatasource(_))
    ));
    let refused = Bench::start(|_: &Seen| reply("401 Unauthorized", "", "")).await;
    let path = format!("/ws/v2.8/Repositories/{REPOSITORY}");
    assert!(matches!(
        refused.connect(&path).await.err(),
        Some(ConnectError::Remote(RemoteError::LoginRequired(_)))
    ));
}

async fn bytes_of(content: Content) -> Result<Vec<u8>, RemoteError> {
    content
        .stream
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

fn part(start: u64, end: u64) -> ByteRange {
    ByteRange {
        start,
        end: Some(end),
    }
}

const TEXT: &str = "0123456789";

fn file_server(seen: &Seen) -> String {
    assert_eq!(seen.target, format!("PW_WSG/Document/{DOCUMENT}/$file"));
    assert_eq!(seen.header("accept-encoding").as_deref(), Some("identity"));
    let tag = "ETag: \"v1\"\r\n";
    let stale = seen.header("if-range").is_some_and(|tag| tag != "\"v1\"");
    let range = seen.header("range").filter(|_| !stale);
    let Some(range) = range.and_then(|range| range.strip_prefix("bytes=").map(str::to_owned)) else {
        return reply("200 OK", tag, TEXT);
    };
    let (start, last) = range.split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end = last
        .parse::<usize>()
        .map_or(TEXT.len(), |last| (last + 1).min(TEXT.len()));
    if start >= TEXT.len() {
        return reply("416 Range Not Satisfiable", "Content-Range: bytes */10\r\n", "");
    }
    let headers = format!("{tag}Content-Range: bytes {start}-{}/10\r\n", end - 1);
    reply("206 Partial Content", &headers, &TEXT[start..end])
}

#[tokio::test]
async fn ranges_are_read_and_a_changed_file_comes_whole() {
    let bench = Bench::start(file_server).await;
    let remote = bench.remote(WsgOptions::default());
    for (range, if_range, came, expected) in [
        (part(2, 5), None, part(2, 5), "234"),
        (part(2, 5), Some("\"v1\""), part(2, 5), "234"),
        (part(8, 99), None, part(8, 10), "89"),
        (ByteRange { start: 7, end: None }, None, part(7, 10), "789"),
        (ByteRange { start: 0, end: None }, None, part(0, 10), TEXT),
        (part(2, 5), Some("\"old\""), part(0, 10), TEXT),
        (part(10, 12), None, part(10, 10), ""),
    ] {
        let content = remote.read(document_id(), range, if_range).await.unwrap();
        assert_eq!((content.range, content.total), (came, Some(10)), "{range:?}");
        assert_eq!(bytes_of(content).await.unwrap(), expected.as_bytes(), "{range:?}");
    }
    assert_eq!(remote.capabilities().ranges, Some(true));
    let asked = bench.targets().len();
    let nothing = remote.read(document_id(), part(5, 5), None).await.unwrap();
    assert!(bytes_of(nothing).await.unwrap().is_empty());
    assert_eq!(bench.targets().len(), asked, "nothing is not asked for");
}

#[tokio::test]
async fn a_server_without_ranges_is_noticed_and_its_whole_file_said_to_be_one() {
    let bench = Bench::start(|_: &Seen| reply("200 OK", "ETag: \"v1\"\r\n", TEXT)).await;
    let remote = bench.remote(WsgOptions::default());
    assert_eq!(remote.capabilities().ranges, None);
    let content = remote.read(document_id(), part(2, 5), None).await.unwrap();
    assert_eq!((content.range, content.total), (part(0, 10), Some(10)));
    assert_eq!(content.etag.as_deref(), Some("\"v1\""));
    assert_eq!(remote.capabilities().ranges, Some(false));
}

#[tokio::test]
async fn wrong_ranges_short_bodies_and_compressed_files_are_errors() {
    for answer in [
        reply("206 Partial Content", "Content-Range: bytes 0-2/10\r\n", "012"),
        reply("206 Partial Content", "", "234"),
        reply(
            "206 Partial Content",
            "Content-Range: bytes 2-4/10\r\nContent-Encoding: gzip\r\n",
            "234",
        ),
        reply("200 OK", "Content-Encoding: deflate\r\n", TEXT),
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nConnection: close\r\n\r\n23"
            .to_owned(),
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nConnection: close\r\n\r\n2345"
            .to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n012".to_owned(),
        reply("416 Range Not Satisfiable", "", ""),
        reply("204 No Content", "", ""),
        format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nConnection: close\r\n\r\n{TEXT}"),
        failure("404 Not Found", "FileNotFound"),
        failure("403 Forbidden", "NotEnoughRights"),
    ] {
        let sent = answer.clone();
        let bench = Bench::start(move |_: &Seen| sent.clone()).await;
        let remote = bench.remote(WsgOptions::default());
        let read = async { bytes_of(remote.read(document_id(), part(2, 5), None).await?).await };
        let error = read.await.expect_err(&answer);
        let gone = matches!(error, RemoteError::NotFound { .. });
        assert_eq!(gone, answer.contains("FileNotFound"), "{answer}: {error}");
    }
}

#[tokio::test]
async fn a_login_page_is_no_file_and_a_stored_page_is_one() {
    let page = "<html><a href='https://ims.bentley.com/IMS/Account/Login?'>login</a></html>";
    let html = "Content-Type: text/html\r\n";
    let bench = Bench::start(move |_: &Seen| reply("200 OK", html, page)).await;
    let whole = ByteRange { start: 0, end: None };
    let error = bench
        .remote(WsgOptions::default())
        .read(document_id(), whole, None)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, RemoteError::LoginRequired(_)), "{error}");
    assert_eq!(bench.refreshes(), 1);
    for (headers, body) in [
        (format!("{html}ETag: \"v1\"\r\n"), page),
        (
            format!("{html}Content-Disposition: attachment; filename=\"a.html\"\r\n"),
            page,
        ),
    ] {
        let bench = Bench::start(move |_: &Seen| reply("200 OK", &headers, body)).await;
        let content = bench
            .remote(WsgOptions::default())
            .read(document_id(), whole, None)
            .await
            .unwrap();
        assert_eq!(bytes_of(content).await.unwrap(), body.as_bytes());
        assert_eq!(bench.refreshes(), 0);
    }
    let bench = Bench::start(move |_: &Seen| reply("200 OK", html, "<html>Your proxy is tired</html>")).await;
    let read = bench
        .remote(WsgOptions::default())
        .read(document_id(), whole, None)
        .await;
    assert!(matches!(read.err(), Some(RemoteError::Protocol(_))));
}

#[tokio::test]
async fn json_about_something_else_is_no_file_and_stored_json_is_one() {
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let whole = ByteRange { start: 0, end: None };
    let denied = r#"{"errorId":"NotEnoughRights","errorMessage":"no"}"#;
    for (body, is_denied) in [(r#"{"instances":[]}"#, false), ("", false), (denied, true)] {
        let bench = Bench::start(move |_: &Seen| reply("200 OK", json, body)).await;
        let read = bench
            .remote(WsgOptions::default())
            .read(document_id(), whole, None)
            .await;
        match read.err() {
            Some(RemoteError::Protocol(_)) => assert!(!is_denied),
            Some(RemoteError::Denied { .. }) => assert!(is_denied),
            other => panic!("{body}: {other:?}"),
        }
    }
    let headers = format!("{json}ETag: \"v1\"\r\n");
    let bench = Bench::start(move |_: &Seen| reply("200 OK", &headers, r#"{"a":1}"#)).await;
    let content = bench
        .remote(WsgOptions::default())
        .read(document_id(), whole, None)
        .await
        .unwrap();
    assert_eq!(bytes_of(content).await.unwrap(), br#"{"a":1}"#);
}

#[tokio::test]
async fn only_an_answer_that_says_so_is_an_empty_file() {
    let first = part(0, 1);
    for (headers, proved) in [
        ("", false),
        ("Content-Range: bytes */10\r\n", false),
        ("Content-Range: items */0\r\n", false),
        ("Content-Range: bytes */0\r\n", true),
    ] {
        let bench = Bench::start(move |_: &Seen| reply("416 Range Not Satisfiable", headers, "")).await;
        let remote = bench.remote(WsgOptions::default());
        match remote.read(document_id(), first, None).await {
            Ok(content) => assert_eq!((content.total, proved), (Some(0), true), "{headers}"),
            Err(error) => assert!(
                matches!(error, RemoteError::Protocol(_)) && !proved,
                "{headers}: {error}"
            ),
        }
        assert_eq!(remote.capabilities().ranges, proved.then_some(true), "{headers}");
    }
}

#[tokio::test]
async fn a_file_in_chunks_is_whole_at_their_end_only() {
    for (end, whole) in [("0\r\n\r\n", true), ("", false)] {
        let bench = Bench::start(move |_: &Seen| {
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\na\r\n{TEXT}\r\n{end}"
            )
        })
        .await;
        let remote = bench.remote(WsgOptions::default());
        let content = remote
            .read(document_id(), ByteRange { start: 0, end: None }, None)
            .await
            .unwrap();
        assert_eq!(content.total, None);
        assert_eq!(bytes_of(content).await.is_ok(), whole);
    }
}
