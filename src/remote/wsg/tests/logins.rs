//! Logins that nothing renews, as the server sees them: passwords, and tokens from files.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::*;
use crate::auth::{AuthKind, LoginState, PasswordLogin};

/// Stores a password for the bench's profile, and has its requests carry it.
async fn with_password(bench: &mut Bench, kind: AuthKind) -> CredentialStore {
    let store = CredentialStore::new(StoreKind::File, bench.directory.path(), "basic");
    store_password(&store, kind).await;
    bench.tokens = TokenSource::of_password(store.clone(), kind, Some("anna".to_owned()));
    store
}

async fn store_password(store: &CredentialStore, kind: AuthKind) {
    let login = PasswordLogin::new(kind, "anna", Secret::new("s3cret"), Timestamp::now());
    store.lock().await.unwrap().save_password(&login).await.unwrap();
}

/// How often the password was sent.
fn sent(bench: &Bench) -> usize {
    let all = bench.seen.lock();
    all.iter()
        .filter(|seen| seen.header("authorization").is_some())
        .count()
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_however_many_ask() {
    for refusal in [
        failure("401 Unauthorized", "LoginFailed"),
        reply(
            "302 Found",
            "Location: https://ims.bentley.com/IMS/Account/Login\r\n",
            "",
        ),
        reply("200 OK", "Content-Type: text/html\r\n", "<html>Log in</html>"),
        // One that never took it may mean the password by these, too.
        failure("404 Not Found", "DatasourceNotFound"),
        reply("200 OK", "Content-Type: text/html\r\n", "<html>Welcome</html>"),
    ] {
        let mut bench = Bench::start(move |_: &Seen| refusal.clone()).await;
        let store = with_password(&mut bench, AuthKind::Basic).await;
        let remote = bench.remote(WsgOptions::default());
        let whole = ByteRange { start: 0, end: None };
        for _ in 0..2 {
            let folders = join_all((0..20).map(|_| remote.folder(folder_id()))).await;
            let refused = folders
                .iter()
                .filter(|outcome| matches!(outcome, Err(RemoteError::SecretRequired(words)) if words.contains("password of anna")))
                .count();
            assert!(refused >= 19, "{folders:?}");
            let file = remote.read(document_id(), whole, None).await.err().unwrap();
            assert!(matches!(file, RemoteError::SecretRequired(_)), "{file}");
        }
        assert_eq!(sent(&bench), 1, "{:?}", bench.seen.lock());
        assert_eq!(bench.tokens.health().borrow().state, LoginState::SecretNeeded);
        // Another process knows it, once this one has told.
        crate::auth::renewals::settled().await;
        let elsewhere = TokenSource::of_password(store.clone(), AuthKind::Basic, None);
        elsewhere.authorization().await.unwrap_err();
        // Somebody stores it anew: once more, then.
        store_password(&store, AuthKind::Basic).await;
        remote.folder(folder_id()).await.unwrap_err();
        assert_eq!(sent(&bench), 2);
    }
}

#[tokio::test]
async fn a_password_that_was_taken_is_not_given_up_for_what_may_not_be_about_it() {
    let mut bench = Bench::start(|seen: &Seen| {
        if seen.target.contains("$file") {
            // A stored page without a tag looks like one of the server's.
            return reply("200 OK", "Content-Type: text/html\r\n", "<html>sign in</html>");
        }
        if seen.target.contains("/Document/") {
            return failure("404 Not Found", "DatasourceNotFound");
        }
        instances(&[format!(
            r#"{{"instanceId":"{FOLDER}","className":"Project","properties":{{"Name":"Sub"}}}}"#
        )])
    })
    .await;
    with_password(&mut bench, AuthKind::Basic).await;
    let remote = bench.remote(WsgOptions::default());
    remote.folder(folder_id()).await.unwrap();
    let whole = ByteRange { start: 0, end: None };
    remote.read(document_id(), whole, None).await.err().unwrap();
    remote.folder(folder_id()).await.unwrap();
    let error = remote.document(document_id()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Server(_)), "{error}");
    // It may be about the password after all: a pause.
    let before = sent(&bench);
    remote.folder(folder_id()).await.unwrap_err();
    assert_eq!(sent(&bench), before);
    tokio::time::pause();
    tokio::time::advance(gateway::REFUSED_PAUSE).await;
    tokio::time::resume();
    remote.folder(folder_id()).await.unwrap();
    assert_eq!(bench.tokens.health().borrow().state, LoginState::Good);
}

#[tokio::test]
async fn a_windows_account_says_so_and_the_version_costs_no_password() {
    let mut bench = Bench::start(|_: &Seen| instances(&[])).await;
    with_password(&mut bench, AuthKind::Windows).await;
    bench
        .remote(WsgOptions::default())
        .folder(folder_id())
        .await
        .unwrap_err();
    let seen = bench.seen.lock().clone();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].target.ends_with("/Plugins"));
    assert_eq!(seen[0].header("authorization"), None);
    // printf anna:s3cret | base64
    assert_eq!(
        seen[1].header("authorization").as_deref(),
        Some("Basic YW5uYTpzM2NyZXQ=")
    );
    assert_eq!(
        seen[1].header("mas-connection-info").as_deref(),
        Some("CredentialType=Windows")
    );
}

#[tokio::test]
async fn a_lock_out_stops_a_password_for_every_process_until_it_is_stored_anew() {
    let mut bench = Bench::start(|_: &Seen| failure("401 Unauthorized", "TooManyBadLoginAttempts")).await;
    let store = with_password(&mut bench, AuthKind::Basic).await;
    let remote = bench.remote(WsgOptions::default());
    for _ in 0..3 {
        let error = remote.folder(folder_id()).await.unwrap_err();
        assert!(matches!(error, RemoteError::LockedOut(_)), "{error}");
    }
    assert_eq!(sent(&bench), 1);
    crate::auth::renewals::settled().await;
    bench.tokens = TokenSource::of_password(store.clone(), AuthKind::Basic, None);
    let error = bench
        .remote(WsgOptions::default())
        .folder(folder_id())
        .await
        .unwrap_err();
    assert!(matches!(error, RemoteError::LockedOut(_)), "{error}");
    assert_eq!(bench.tokens.health().borrow().state, LoginState::LockedOut);
    assert_eq!(sent(&bench), 1);
    store_password(&store, AuthKind::Basic).await;
    bench.tokens.look_again().await;
    assert_eq!(bench.tokens.health().borrow().state, LoginState::Good);
    bench
        .remote(WsgOptions::default())
        .folder(folder_id())
        .await
        .unwrap_err();
    assert_eq!(sent(&bench), 2);
}

#[tokio::test]
async fn a_replaced_token_that_names_nobody_is_used_only_if_the_server_sees_the_same_user() {
    // Which user a token is of, by its last letter.
    let mut bench = Bench::start(|seen: &Seen| {
        let user = seen.header("authorization").unwrap().pop().unwrap();
        if seen.target.starts_with("PW_WSG/User") {
            return instances(&[format!(
                r#"{{"instanceId":"user {user}","className":"User","properties":{{}}}}"#
            )]);
        }
        instances(&[format!(
            r#"{{"instanceId":"{FOLDER}","className":"Project","properties":{{"Name":"Sub"}}}}"#
        )])
    })
    .await;
    let file = bench.directory.path().join("token");
    let write = |token: &str| {
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, token).unwrap();
        std::fs::rename(fresh, &file).unwrap();
    };
    write("opaque-1-a");
    bench.tokens = TokenSource::of_file(AuthKind::Bearer, Some(file.clone()));
    let remote = bench.remote(WsgOptions::default());
    assert_eq!(remote.account().await.unwrap(), "user user a");
    write("opaque-2-a");
    for _ in 0..2 {
        remote.folder(folder_id()).await.unwrap();
    }
    let asked = |bench: &Bench| {
        let targets = bench.targets();
        targets
            .iter()
            .filter(|target| target.starts_with("PW_WSG/User"))
            .count()
    };
    assert_eq!(asked(&bench), 2, "once for each token");
    write("opaque-3-b");
    for _ in 0..2 {
        let error = remote.folder(folder_id()).await.unwrap_err();
        assert!(
            matches!(&error, RemoteError::LoginRequired(words) if words.contains("another account")),
            "{error}"
        );
    }
    assert_eq!(asked(&bench), 3);
    assert_eq!(bench.tokens.health().borrow().state, LoginState::LoginNeeded);
    write("opaque-4-a");
    remote.folder(folder_id()).await.unwrap();
}

#[tokio::test]
async fn a_slow_trial_holds_up_the_others_for_a_while_only() {
    let mut bench = Bench::start(|_: &Seen| instances(&[])).await;
    with_password(&mut bench, AuthKind::Basic).await;
    let first = bench.tokens.authorization().await.unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let second = bench.tokens.authorization().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(10));
    assert!(first.is(&second));
}

/// A login of an app as anna; nobody but the bench reads its tokens.
fn login_of_anna(bench: &Bench, number: u32) -> Credentials {
    use base64::Engine as _;
    let payload = format!(r#"{{"sub":"anna","jti":"{number}"}}"#);
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
    let app = AppId {
        issuer: bench.base.clone(),
        client_id: "app".to_owned(),
        scopes: "s".to_owned(),
    };
    let tokens = Tokens {
        access: Secret::new(format!("e30.{payload}.x")),
        refresh: Some(Secret::new("r")),
        lifetime: Some(Duration::from_secs(3600)),
        scopes: None,
    };
    Credentials::new(app, "http://localhost/x", None, tokens, Timestamp::now())
}

#[tokio::test]
async fn a_lock_out_of_an_app_ends_with_a_new_login() {
    let mut bench = Bench::start(|_: &Seen| failure("401 Unauthorized", "TooManyBadLoginAttempts")).await;
    let store = CredentialStore::new(StoreKind::File, bench.directory.path(), "anna");
    let login = login_of_anna(&bench, 1);
    store.lock().await.unwrap().save(&login).await.unwrap();
    bench.tokens = TokenSource::new(bench.http.clone(), store.clone(), login.app.clone());
    let remote = bench.remote(WsgOptions::default());
    for asked in 1..=2 {
        for _ in 0..3 {
            let error = remote.folder(folder_id()).await.unwrap_err();
            assert!(matches!(error, RemoteError::LockedOut(_)), "{error}");
            assert_eq!(bench.targets().len(), asked);
        }
        assert_eq!(bench.tokens.health().borrow().state, LoginState::LockedOut);
        let new = login_of_anna(&bench, 2);
        store.lock().await.unwrap().save(&new).await.unwrap();
    }
    assert_eq!(bench.refreshes(), 0);
}
