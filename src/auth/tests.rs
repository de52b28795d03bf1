//! Against a tiny identity provider over raw TCP: it checks PKCE, rotates refresh tokens, and fails as it is told.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{BoxFuture, join_all};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::callback::Callback;
use super::credentials::Tokens;
use super::login::{LoginError, LoginNotice, Return, sign_in};
use super::oauth::{App, Provider};
use super::session::{FAILURE_REMEMBERED, REFUSAL_REMEMBERED, REPLACED_PAUSE, SAVE_PAUSE};
use super::*;
use crate::http::Options;

mod standing;

/// How the token endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// 503 with an HTML page.
    Down,
    /// `invalid_client` unless the secret is `right-s3cret`.
    WantsSecret,
    /// Refreshes give no new refresh token.
    KeepsRefresh,
    /// `unauthorized_client`, whatever is asked.
    Refuses,
}

pub(crate) struct State {
    pub(crate) mood: Mood,
    /// Path and form of each POST.
    pub(crate) posts: Vec<(String, HashMap<String, String>)>,
    /// The refresh token that is good.
    pub(crate) refresh: String,
    challenge: String,
    issued: u32,
    pub(crate) account: String,
    /// Whether the client secret must come in an Authorization header.
    basic_only: bool,
}

/// The identity provider.
pub(crate) struct Idp {
    pub(crate) issuer: Url,
    pub(crate) state: Arc<parking_lot::Mutex<State>>,
    tasks: JoinSet<()>,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let state = Arc::new(parking_lot::Mutex::new(State {
            mood: Mood::Fine,
            posts: Vec::new(),
            refresh: "refresh-s3cret-0".to_owned(),
            challenge: String::new(),
            issued: 0,
            account: "anna".to_owned(),
            basic_only: false,
        }));
        let mut tasks = JoinSet::new();
        let (ours, base) = (Arc::clone(&state), issuer.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve(socket, Arc::clone(&ours), base.clone()));
            }
        });
        Self { issuer, state, tasks }
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.state.lock().mood = mood;
    }

    pub(crate) fn posts(&self, path: &str) -> usize {
        self.state
            .lock()
            .posts
            .iter()
            .filter(|(seen, _)| seen == path)
            .count()
    }

    /// What the provider's page does when the person agrees: the way back, with a code.
    pub(crate) fn agree(&self, page: &Url) -> Url {
        let asked: HashMap<_, _> = page.query_pairs().into_owned().collect();
        assert_eq!(
            (
                asked["response_type"].as_str(),
                asked["code_challenge_method"].as_str()
            ),
            ("code", "S256")
        );
        self.state.lock().challenge.clone_from(&asked["code_challenge"]);
        let mut back = Url::parse(&asked["redirect_uri"]).unwrap();
        back.query_pairs_mut()
            .append_pair("code", "code-s3cret")
            .append_pair("state", &asked["state"]);
        back
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<(String, String, String)> {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let authorization = head.lines().find_map(|line| line.strip_prefix("authorization: "));
                let authorization = authorization.unwrap_or_default().to_owned();
                return Some((
                    head.lines().next().unwrap().to_owned(),
                    authorization,
                    body.to_owned(),
                ));
            }
        }
    }
}

async fn serve(mut socket: TcpStream, state: Arc<parking_lot::Mutex<State>>, base: Url) {
    let Some((line, authorization, body)) = read_request(&mut socket).await else {
        return;
    };
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let (status, answer) = if path == "/.well-known/openid-configuration" {
        let document = serde_json::json!({
            "issuer": base,
            "authorization_endpoint": base.join("authorize").unwrap(),
            "token_endpoint": base.join("token").unwrap(),
            "revocation_endpoint": base.join("revoke").unwrap(),
            "token_endpoint_auth_methods_supported":
                if state.lock().basic_only { vec!["client_secret_basic"] } else { vec![] },
        });
        ("200 OK", document.to_string())
    } else {
        let mut form: HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect();
        form.insert("authorization".to_owned(), authorization);
        let mut state = state.lock();
        state.posts.push((path.clone(), form.clone()));
        if path == "/token" || state.mood == Mood::Down {
            state.token(&form)
        } else {
            ("200 OK", String::new())
        }
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    );
    socket.write_all(text.as_bytes()).await.unwrap();
}

impl State {
    fn token(&mut self, form: &HashMap<String, String>) -> (&'static str, String) {
        let error = |code: &str| {
            (
                "400 Bad Request",
                format!(r#"{{"error":"{code}","error_description":"no"}}"#),
            )
        };
        match self.mood {
            Mood::Down => return ("503 Down", "<html>s3cret</html>".to_owned()),
            Mood::WantsSecret
                if form
                    .get("client_secret")
                    .is_none_or(|secret| secret != "right-s3cret") =>
            {
                return error("invalid_client");
            }
            Mood::Refuses => return error("unauthorized_client"),
            Mood::Fine | Mood::WantsSecret | Mood::KeepsRefresh => {}
        }
        let proven = match form["grant_type"].as_str() {
            "authorization_code" => {
                let hash = Sha256::digest(form["code_verifier"].as_bytes());
                form["code"] == "code-s3cret" && URL_SAFE_NO_PAD.encode(hash) == self.challenge
            }
            "refresh_token" => form["refresh_token"] == self.refresh,
            "client_credentials" => form["client_secret"] == "right-s3cret",
            other => panic!("{other}"),
        };
        if !proven {
            return error("invalid_grant");
        }
        self.issued += 1;
        let mut answer = serde_json::json!({
            "access_token": jwt(&self.account, self.issued),
            "token_type": "Bearer",
            "expires_in": 3600,
        });
        if self.mood != Mood::KeepsRefresh {
            self.refresh = format!("refresh-s3cret-{}", self.issued);
            answer["refresh_token"] = self.refresh.clone().into();
        }
        ("200 OK", answer.to_string())
    }
}

fn jwt(account: &str, number: u32) -> String {
    let payload =
        format!(r#"{{"sub":"{account}","email":"{account}@example.com","name":"A","jti":"{number}"}}"#);
    format!("e30.{}.s3cret", URL_SAFE_NO_PAD.encode(payload))
}

fn http() -> HttpClient {
    HttpClient::with_options(Options {
        first_backoff: Duration::from_millis(1),
        ..Options::default()
    })
    .unwrap()
}

fn app_id(idp: &Idp) -> AppId {
    AppId {
        issuer: idp.issuer.as_str().trim_end_matches('/').to_owned(),
        client_id: "app".to_owned(),
        scopes: "projectwise:read offline_access".to_owned(),
    }
}

fn app(idp: &Idp, redirect_uri: &str) -> App {
    App {
        issuer: idp.issuer.clone(),
        client_id: "app".to_owned(),
        client_secret: None,
        redirect_uri: redirect_uri.to_owned(),
    }
}

/// A login whose access token began so many seconds ago and lives an hour.
fn record(idp: &Idp, began: i64, refresh: Option<&str>) -> Credentials {
    let tokens = Tokens {
        access: Secret::new(jwt("anna", 0)),
        refresh: refresh.map(Secret::new),
        lifetime: Some(Duration::from_secs(3600)),
        scopes: None,
    };
    let then = Timestamp::now() - SignedDuration::from_secs(began);
    Credentials::new(
        app_id(idp),
        "http://localhost:3301/signin-callback",
        None,
        tokens,
        then,
    )
}

const ENDED: i64 = 7200;
const DUE: i64 = 3570;
const FRESH: i64 = 10;

async fn stored(dir: &Path, record: &Credentials) -> CredentialStore {
    let store = CredentialStore::new(StoreKind::File, dir, "test");
    store.lock().await.unwrap().save(record).await.unwrap();
    store
}

fn source(idp: &Idp, store: &CredentialStore) -> TokenSource {
    TokenSource::new(http(), store.clone(), app_id(idp))
}

/// Lets the time pass for which failures and replacements are remembered.
async fn a_while() {
    tokio::time::pause();
    tokio::time::advance(REPLACED_PAUSE + FAILURE_REMEMBERED).await;
    tokio::time::resume();
}

/// Sends `line` with the query of `url` as a browser would, and gives the answer.
async fn visit(method: &str, url: &Url) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", url.port().unwrap()))
        .await
        .unwrap();
    let target = &url[url::Position::BeforePath..];
    socket
        .write_all(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Logs in with a "browser" that does `browse` with the provider's page.
async fn log_in<F>(
    idp: &Idp,
    scopes: &str,
    browse: impl Fn(Url) -> F,
) -> (Result<Credentials, LoginError>, Vec<String>)
where
    F: Future<Output = Vec<String>>,
{
    let callback = Callback::bind("http://localhost:0/signin-callback")
        .await
        .unwrap();
    let (opened, mut pages) = tokio::sync::mpsc::unbounded_channel();
    let mut notify = move |notice| match notice {
        LoginNotice::Open(page) => opened.send(page).unwrap(),
        LoginNotice::WithoutOfflineAccess => {}
    };
    let http = http();
    let login = async move {
        let app = app(idp, "http://localhost:0/signin-callback");
        let result = sign_in(&http, app, scopes, Return::Loopback(callback), &mut notify).await;
        drop(notify);
        result
    };
    let browser = async {
        let mut answers = Vec::new();
        while let Some(page) = pages.recv().await {
            answers.extend(browse(page).await);
        }
        answers
    };
    tokio::join!(login, browser)
}

#[tokio::test]
async fn a_login_that_shall_last_asks_for_consent() {
    let idp = &Idp::start().await;
    let http = http();
    let provider = Provider::discover(&http, app(idp, "http://localhost:3301/signin-callback"))
        .await
        .unwrap();
    for (scopes, prompt) in [
        ("projectwise:read offline_access", Some("consent")),
        ("projectwise:read", None),
    ] {
        let page = provider.begin(scopes).url;
        let asked = page.query_pairs().find(|(name, _)| name == "prompt");
        assert_eq!(asked.as_ref().map(|(_, value)| value.as_ref()), prompt, "{page}");
    }
}

#[tokio::test]
async fn a_login_comes_back_through_the_loopback_callback() {
    let idp = &Idp::start().await;
    let (result, answers) = log_in(idp, "projectwise:read offline_access", |page| async move {
        let back = idp.agree(&page);
        let mut wrong_state = back.clone();
        wrong_state.set_query(Some("code=evil&state=guessed"));
        let mut wrong_path = back.clone();
        wrong_path.set_path("/favicon.ico");
        vec![
            visit("GET", &wrong_path).await,
            visit("GET", &wrong_state).await,
            visit("POST", &back).await,
            visit("GET", &back).await,
        ]
    })
    .await;
    let record = result.unwrap();
    assert_eq!(record.identity.email.as_deref(), Some("anna@example.com"));
    assert_eq!(record.refresh.as_ref().unwrap().expose(), "refresh-s3cret-1");
    for foreign in &answers[..3] {
        assert!(foreign.starts_with("HTTP/1.1 404"), "{foreign}");
    }
    let page = &answers[3];
    assert!(
        page.contains("Signed in") && page.contains("default-src 'none'") && page.contains("replaceState"),
        "{page}"
    );
    assert!(!page.contains("code-s3cret"));
    assert_eq!(idp.posts("/token"), 1);
    assert!(!format!("{record:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_refusal_in_the_browser_is_told_in_both_places() {
    let idp = &Idp::start().await;
    let (result, answers) = log_in(idp, "projectwise:read", |page| async move {
        let mut back = idp.agree(&page);
        let state = back
            .query_pairs()
            .find(|(key, _)| key == "state")
            .unwrap()
            .1
            .into_owned();
        back.query_pairs_mut()
            .clear()
            .append_pair("error", "access_denied")
            .append_pair("state", &state);
        vec![visit("GET", &back).await]
    })
    .await;
    assert!(matches!(result, Err(LoginError::Denied(_))), "{result:?}");
    assert!(answers[0].contains("Not signed in"), "{}", answers[0]);
}

#[tokio::test]
async fn a_refused_scope_is_tried_once_without_offline_access() {
    let idp = &Idp::start().await;
    let refuse = |page: &Url| {
        let mut back = idp.agree(page);
        let state = back
            .query_pairs()
            .find(|(key, _)| key == "state")
            .unwrap()
            .1
            .into_owned();
        back.query_pairs_mut()
            .clear()
            .append_pair("error", "invalid_scope")
            .append_pair("state", &state);
        back
    };
    let (result, answers) = log_in(idp, "projectwise:read offline_access", |page| async move {
        let offline = page.query().unwrap().contains("offline_access");
        vec![visit("GET", &if offline { refuse(&page) } else { idp.agree(&page) }).await]
    })
    .await;
    assert_eq!(
        (result.unwrap().app.scopes.as_str(), answers.len()),
        ("projectwise:read", 2)
    );

    let (result, answers) = log_in(idp, "projectwise:read offline_access", |page| async move {
        vec![visit("GET", &refuse(&page)).await]
    })
    .await;
    assert_eq!(answers.len(), 2);
    let error = result.unwrap_err();
    assert!(matches!(error, LoginError::InvalidScope { .. }), "{error}");
    assert!(error.to_string().contains("\"projectwise:read\""), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let Err(error) = Callback::bind(&format!("http://localhost:{port}/signin-callback")).await else {
        panic!("the port is taken");
    };
    assert!(error.to_string().contains(&format!("port {port}")), "{error}");
    assert!(Callback::bind("https://app.example.com/callback").await.is_err());
}

#[tokio::test]
async fn no_other_program_can_listen_beside_the_callback() {
    let callback = Callback::bind("http://localhost:0/signin-callback")
        .await
        .unwrap();
    let port = callback.redirect_uri().port().unwrap();
    for address in ["127.0.0.1", "::1"] {
        // Where there is no IPv6, nobody else can listen there either.
        assert!(TcpListener::bind((address, port)).await.is_err(), "{address}");
    }
}

#[tokio::test]
async fn a_provider_that_wants_basic_authentication_gets_it() {
    let idp = Idp::start().await;
    idp.state.lock().basic_only = true;
    let dir = tempfile::tempdir().unwrap();
    let mut login = record(&idp, ENDED, Some("refresh-s3cret-0"));
    login.client_secret = Some(Secret::new("a:b"));
    source(&idp, &stored(dir.path(), &login).await)
        .authorization()
        .await
        .unwrap();
    let posts = idp.state.lock().posts.clone();
    assert_eq!(posts[0].1["authorization"], "Basic YXBwOmElM0Fi", "app:a%3Ab");
    assert!(!posts[0].1.contains_key("client_secret"));
}

#[tokio::test]
async fn an_address_pasted_by_hand_must_belong_to_the_login() {
    let idp = &Idp::start().await;
    let registered = "https://app.example.com/callback";
    for belongs in [true, false] {
        let page = Arc::new(parking_lot::Mutex::new(None));
        let seen = Arc::clone(&page);
        let mut notify = move |notice| {
            if let LoginNotice::Open(page) = notice {
                *seen.lock() = Some(page);
            }
        };
        let mut paste = || -> BoxFuture<'static, std::io::Result<String>> {
            let back = idp.agree(page.lock().as_ref().unwrap());
            let text = if belongs {
                format!(" {back}\n")
            } else {
                format!("{registered}?code=1&state=other")
            };
            Box::pin(async { Ok(text) })
        };
        let way_back = Return::Paste(&mut paste);
        let result = sign_in(
            &http(),
            app(idp, registered),
            "projectwise:read",
            way_back,
            &mut notify,
        )
        .await;
        match result {
            Ok(record) => assert!(belongs && record.redirect_uri == registered),
            Err(error) => assert!(!belongs && matches!(error, LoginError::ForeignReply), "{error}"),
        }
    }
    assert_eq!(idp.posts("/token"), 1);
}

#[tokio::test]
async fn fifty_callers_and_two_processes_cost_one_refresh() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    // Two sources share nothing but the store, as two processes do.
    let (here, there) = (
        source(&idp, &store),
        source(&idp, &CredentialStore::new(StoreKind::File, dir.path(), "test")),
    );
    let calls = (0..50).map(|n| {
        if n % 2 == 0 {
            here.authorization()
        } else {
            there.authorization()
        }
    });
    let bearers = join_all(calls).await;
    for bearer in &bearers {
        assert!(bearer.as_ref().unwrap().is(bearers[0].as_ref().unwrap()));
    }
    assert_eq!(idp.posts("/token"), 1);
    let kept = store.load().await.unwrap().unwrap();
    assert_eq!(
        kept.refresh.unwrap().expose(),
        "refresh-s3cret-1",
        "the rotated token is stored"
    );
    assert_eq!(
        bearers[0].as_ref().unwrap().header().expose(),
        format!("Bearer {}", jwt("anna", 1))
    );
    assert!(!format!("{bearers:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_cut_off_the_refresh() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let mut impatient = Box::pin(tokens.authorization());
    assert!(futures_util::poll!(&mut impatient).is_pending());
    drop(impatient);
    tokens.authorization().await.unwrap();
    assert_eq!(idp.posts("/token"), 1);
}

#[tokio::test]
async fn a_refresh_without_a_new_refresh_token_keeps_the_old_one() {
    let idp = Idp::start().await;
    idp.mood(Mood::KeepsRefresh);
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    source(&idp, &store).authorization().await.unwrap();
    assert_eq!(
        store.load().await.unwrap().unwrap().refresh.unwrap().expose(),
        "refresh-s3cret-0"
    );
}

#[tokio::test]
async fn a_renewed_login_that_cannot_be_stored_is_neither_used_nor_lost() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let obstacle = dir.path().join("credentials/test.new");
    std::fs::create_dir(&obstacle).unwrap();
    let error = tokens.authorization().await.unwrap_err();
    assert!(matches!(error, AuthError::Store(_)), "{error}");
    // Nobody else gets at the refresh token that is dead by now.
    let mut other = Box::pin(store.lock());
    assert!(futures_util::poll!(&mut other).is_pending());
    tokio::time::timeout(Duration::from_millis(60), &mut other)
        .await
        .unwrap_err();
    std::fs::remove_dir(&obstacle).unwrap();
    a_while().await;
    tokens.authorization().await.unwrap();
    drop(other.await.unwrap());
    assert_eq!(idp.posts("/token"), 1, "the refresh token is not used twice");
    assert_eq!(
        store.load().await.unwrap().unwrap().refresh.unwrap().expose(),
        "refresh-s3cret-1"
    );
}

#[tokio::test]
async fn a_renewed_login_is_stored_in_the_end_even_if_nobody_asks() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let obstacle = dir.path().join("credentials/test.new");
    std::fs::create_dir(&obstacle).unwrap();
    tokens.authorization().await.unwrap_err();
    std::fs::remove_dir(&obstacle).unwrap();
    // The task that tries again has begun to wait when its spawner is done with this thread.
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(SAVE_PAUSE).await;
    tokio::time::resume();
    drop(store.lock().await.unwrap());
    let kept = store.load().await.unwrap().unwrap();
    assert_eq!(kept.refresh.unwrap().expose(), "refresh-s3cret-1");
}

#[tokio::test]
async fn a_renewal_that_could_not_be_stored_never_replaces_a_newer_login() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let obstacle = dir.path().join("credentials/test.new");
    std::fs::create_dir(&obstacle).unwrap();
    tokens.authorization().await.unwrap_err();
    std::fs::remove_dir(&obstacle).unwrap();
    // Put there by someone who knows no lock.
    let mut newer = record(&idp, FRESH, Some("newer-s3cret"));
    newer.access = Secret::new(jwt("anna", 77));
    let json = newer.to_json().unwrap();
    std::fs::write(dir.path().join("credentials/test.json"), json.as_bytes()).unwrap();
    a_while().await;
    let bearer = tokens.authorization().await.unwrap();
    assert_eq!(bearer.header().expose(), format!("Bearer {}", jwt("anna", 77)));
    let kept = store.load().await.unwrap().unwrap();
    assert_eq!(kept.refresh.unwrap().expose(), "newer-s3cret");
    drop(store.lock().await.unwrap());
}

#[tokio::test]
async fn the_end_of_a_process_waits_for_a_renewal_under_way() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let mut impatient = Box::pin(tokens.authorization());
    assert!(futures_util::poll!(&mut impatient).is_pending());
    drop(impatient);
    renewals::settled().await;
    let kept = store.load().await.unwrap().unwrap();
    assert_eq!(kept.refresh.unwrap().expose(), "refresh-s3cret-1");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_holds_up_no_other_process() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut idp = Idp::start().await;
    idp.issuer = Url::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let (asked, bearer) = (silent.accept(), tokens.authorization());
    tokio::select! {
        socket = asked => {
            // It has the question of where its endpoints are, and keeps it.
            let _socket = socket.unwrap();
            tokio::time::timeout(Duration::from_secs(5), store.lock()).await.unwrap().unwrap();
        }
        _ = bearer => panic!("nobody answers"),
    }
}

#[tokio::test]
async fn tokens_that_name_nobody_are_followed_through_renewals_only() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let opaque = |access: &str| Tokens {
        access: Secret::new(access),
        refresh: Some(Secret::new("refresh-s3cret-0")),
        lifetime: Some(Duration::from_secs(3600)),
        scopes: None,
    };
    let login = |access: &str| {
        Credentials::new(
            app_id(&idp),
            "http://localhost:3301/signin-callback",
            None,
            opaque(access),
            Timestamp::now(),
        )
    };
    let mut ours = login("first");
    let store = stored(dir.path(), &ours).await;
    let tokens = source(&idp, &store);
    let first = tokens.authorization().await.unwrap();
    // Another process renews the same login.
    ours.renew(opaque("second"), Timestamp::now());
    stored(dir.path(), &ours).await;
    tokens.reject(&first);
    let second = tokens.authorization().await.unwrap();
    assert_eq!(second.header().expose(), "Bearer second");
    // Somebody logs in; nobody knows who.
    stored(dir.path(), &login("third")).await;
    a_while().await;
    tokens.reject(&second);
    let error = tokens.authorization().await.unwrap_err();
    assert!(
        matches!(&error, AuthError::LoginRequired(text) if text.contains("mount again")),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_ends_at_once_costs_no_refresh_for_each_request() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens {
        access: Secret::new(jwt("anna", 0)),
        refresh: Some(Secret::new("refresh-s3cret-0")),
        lifetime: Some(Duration::ZERO),
        scopes: None,
    };
    let login = Credentials::new(
        app_id(&idp),
        "http://localhost:3301/signin-callback",
        None,
        tokens,
        Timestamp::now(),
    );
    let store = stored(dir.path(), &login).await;
    source(&idp, &store).authorization().await.unwrap();
    assert_eq!(idp.posts("/token"), 0);
}

#[tokio::test]
async fn a_dead_refresh_token_needs_a_login_and_the_login_wakes_the_source() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("used-up"))).await;
    let tokens = source(&idp, &store);
    for _ in 0..3 {
        let error = tokens.authorization().await.unwrap_err();
        assert!(matches!(error, AuthError::LoginRequired(_)), "{error}");
        a_while().await;
    }
    assert_eq!(idp.posts("/token"), 1, "nobody is asked again before a login");
    stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    tokens.authorization().await.unwrap();
}

#[tokio::test]
async fn an_outage_is_never_the_end_of_a_login() {
    let mut idp = Idp::start().await;
    idp.mood(Mood::Down);
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    for _ in 0..10 {
        let error = tokens.authorization().await.unwrap_err();
        assert!(
            matches!(
                error,
                AuthError::Refused {
                    error: OauthError::Unavailable,
                    ..
                }
            ) && !error.to_string().contains("s3cret"),
            "{error}"
        );
    }
    assert_eq!(idp.posts("/token"), 1, "one attempt for all");
    idp.mood(Mood::Fine);
    a_while().await;
    tokens.authorization().await.unwrap();

    // Nobody listens at all.
    idp.tasks.shutdown().await;
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let error = source(&idp, &store).authorization().await.unwrap_err();
    assert!(matches!(error, AuthError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_token_in_its_last_minute_is_handed_out_while_another_is_fetched() {
    let idp = Idp::start().await;
    idp.mood(Mood::Down);
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let Source::Session(login) = &tokens.0 else {
        panic!("a login")
    };
    let old = tokens.authorization().await.unwrap();
    login.state.lock().current.as_mut().unwrap().record = record(&idp, DUE, Some("refresh-s3cret-0"));
    stored(dir.path(), &record(&idp, DUE, Some("refresh-s3cret-0"))).await;
    // The provider is down: the token that is left goes on.
    assert!(tokens.authorization().await.unwrap().is(&old));
    drop(login.renewing.lock().await);
    assert!(tokens.authorization().await.unwrap().is(&old));
    assert_eq!(idp.posts("/token"), 1);
    idp.mood(Mood::Fine);
    a_while().await;
    assert!(tokens.authorization().await.unwrap().is(&old));
    drop(login.renewing.lock().await);
    assert!(!tokens.authorization().await.unwrap().is(&old));
    assert_eq!(idp.posts("/token"), 2);
}

#[tokio::test]
async fn a_refused_secret_keeps_the_refresh_token_and_a_new_secret_heals() {
    let idp = Idp::start().await;
    idp.mood(Mood::WantsSecret);
    let dir = tempfile::tempdir().unwrap();
    let mut login = record(&idp, ENDED, Some("refresh-s3cret-0"));
    login.client_secret = Some(Secret::new("old-s3cret"));
    let store = stored(dir.path(), &login).await;
    let tokens = source(&idp, &store);
    for _ in 0..2 {
        let error = tokens.authorization().await.unwrap_err();
        assert!(
            matches!(error, AuthError::SecretRequired(_)) && !error.to_string().contains("s3cret"),
            "{error}"
        );
        a_while().await;
    }
    assert_eq!(idp.posts("/token"), 1, "a wrong secret is not sent again");
    let mut kept = store.load().await.unwrap().unwrap();
    assert_eq!(kept.refresh.as_ref().unwrap().expose(), "refresh-s3cret-0");
    kept.client_secret = Some(Secret::new("right-s3cret"));
    stored(dir.path(), &kept).await;
    tokens.authorization().await.unwrap();
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let first = tokens.authorization().await.unwrap();
    assert_eq!(idp.posts("/token"), 0);
    tokens.reject(&first);
    tokens.reject(&first);
    let second = tokens.authorization().await.unwrap();
    assert!(!second.is(&first));
    // The refused one is history, and a server that refuses everything costs no storm.
    tokens.reject(&first);
    tokens.reject(&second);
    assert!(tokens.authorization().await.unwrap().is(&second));
    assert_eq!(idp.posts("/token"), 1);
    a_while().await;
    tokens.reject(&first);
    assert!(tokens.authorization().await.unwrap().is(&second));
    tokens.reject(&second);
    assert!(!tokens.authorization().await.unwrap().is(&second));
    assert_eq!(idp.posts("/token"), 2);
}

#[tokio::test]
async fn a_rejected_token_that_cannot_be_replaced_goes_on_until_it_ends() {
    for (mood, refresh, asked) in [
        // Asked again at most every five seconds.
        (Mood::Down, "refresh-s3cret-0", 2),
        // A dead refresh token and a refused secret are not asked about again.
        (Mood::Fine, "used-up", 1),
        (Mood::WantsSecret, "refresh-s3cret-0", 1),
        (Mood::Refuses, "refresh-s3cret-0", 1),
    ] {
        let idp = Idp::start().await;
        idp.mood(mood);
        let dir = tempfile::tempdir().unwrap();
        let store = stored(dir.path(), &record(&idp, FRESH, Some(refresh))).await;
        let tokens = source(&idp, &store);
        let first = tokens.authorization().await.unwrap();
        for _ in 0..2 {
            for _ in 0..5 {
                tokens.reject(&first);
                // Whoever finds out that there is no other is told so; the next may try this one again.
                let _ = tokens.authorization().await;
                assert!(tokens.authorization().await.unwrap().is(&first), "{mood:?}");
            }
            a_while().await;
        }
        assert_eq!(idp.posts("/token"), asked, "{mood:?}");
        // When it has really ended, there is no going on.
        let Source::Session(login) = &tokens.0 else {
            panic!("a login")
        };
        login.state.lock().current.as_mut().unwrap().record.expires = Timestamp::now();
        if mood == Mood::Down {
            stored(dir.path(), &record(&idp, ENDED, Some(refresh))).await;
        }
        tokens.authorization().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_refused_refresh_rests_for_a_minute_or_until_a_login() {
    let idp = Idp::start().await;
    idp.mood(Mood::Refuses);
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    for _ in 0..3 {
        let error = tokens.authorization().await.unwrap_err();
        assert!(matches!(error, AuthError::Refused { .. }), "{error}");
        a_while().await;
    }
    assert_eq!(idp.posts("/token"), 1);
    tokio::time::pause();
    tokio::time::advance(REFUSAL_REMEMBERED).await;
    tokio::time::resume();
    tokens.authorization().await.unwrap_err();
    assert_eq!(idp.posts("/token"), 2);
    stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    tokens.authorization().await.unwrap();
}

#[tokio::test]
async fn a_login_without_offline_access_ends_with_its_token() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, DUE, None)).await;
    source(&idp, &store).authorization().await.unwrap();
    let store = stored(dir.path(), &record(&idp, ENDED, None)).await;
    let error = source(&idp, &store).authorization().await.unwrap_err();
    assert!(
        matches!(&error, AuthError::LoginRequired(text) if text.contains("offline_access")),
        "{error}"
    );
}

#[tokio::test]
async fn the_login_of_another_app_or_scope_is_not_used() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = CredentialStore::new(StoreKind::File, dir.path(), "test");
    let error = source(&idp, &store).authorization().await.unwrap_err();
    assert!(matches!(error, AuthError::LoginRequired(_)), "{error}");

    let mut other = record(&idp, FRESH, Some("refresh-s3cret-0"));
    other.app.scopes = "offline_access  projectwise:read".to_owned();
    source(&idp, &stored(dir.path(), &other).await)
        .authorization()
        .await
        .unwrap();
    other.app.scopes = "projectwise:read".to_owned();
    let error = source(&idp, &stored(dir.path(), &other).await)
        .authorization()
        .await
        .unwrap_err();
    assert!(matches!(error, AuthError::LoginRequired(_)), "{error}");
    assert_eq!(idp.posts("/token"), 0);
}

#[tokio::test]
async fn another_account_never_slips_into_a_running_mount() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let bearer = tokens.authorization().await.unwrap();
    assert_eq!(tokens.identity().await.unwrap().account(), Some("anna"));
    let mut other = record(&idp, FRESH, Some("refresh-s3cret-0"));
    other.access = Secret::new(jwt("boris", 9));
    other.identity = credentials::identity(&other.access);
    stored(dir.path(), &other).await;
    tokens.reject(&bearer);
    let error = tokens.authorization().await.unwrap_err();
    assert!(
        matches!(&error, AuthError::LoginRequired(text) if text.contains("boris")),
        "{error}"
    );
}

#[tokio::test]
async fn a_provider_that_is_not_secure_is_refused() {
    let app = App {
        issuer: Url::parse("http://ims.example.com").unwrap(),
        client_id: "app".to_owned(),
        client_secret: Some(Secret::new("s3cret")),
        redirect_uri: "http://localhost:3301/signin-callback".to_owned(),
    };
    assert!(!format!("{app:?}").contains("s3cret"));
    let Err(error) = Provider::discover(&http(), app).await else {
        panic!("an open address")
    };
    assert!(matches!(error, AuthError::Protocol(_)), "{error}");
}

#[tokio::test]
async fn a_fixed_token_never_changes() {
    let tokens = TokenSource::fixed(Secret::new(jwt("anna", 1)));
    let bearer = tokens.authorization().await.unwrap();
    tokens.reject(&bearer);
    assert!(tokens.authorization().await.unwrap().is(&bearer));
    assert_eq!(tokens.identity().await.unwrap().account(), Some("anna"));
}
