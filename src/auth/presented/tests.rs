//! Proofs as requests get them; what a server says is said here.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::task::JoinSet;

use super::*;
use crate::auth::{AuthKind, CredentialStore, PasswordLogin, StoreKind, TokenSource, renewals};
use crate::http::Secret;

type Crowd = JoinSet<Result<Authorization, AuthError>>;

fn store(dir: &Path) -> CredentialStore {
    CredentialStore::new(StoreKind::File, dir, "p")
}

async fn keep(store: &CredentialStore, username: &str, password: &str) -> PasswordLogin {
    let password = Secret::new(password);
    let login = PasswordLogin::new(AuthKind::Basic, username, password, Timestamp::now());
    store.lock().await.unwrap().save_password(&login).await.unwrap();
    login
}

/// A source of the password in `dir`, which is stored first.
async fn source(dir: &Path) -> TokenSource {
    keep(&store(dir), "anna", "s3cret").await;
    TokenSource::of_password(store(dir), AuthKind::Basic, Some("anna".to_owned()))
}

/// So many that ask at once.
fn crowd(tokens: &TokenSource, count: usize) -> Crowd {
    let mut crowd = JoinSet::new();
    for _ in 0..count {
        let tokens = tokens.clone();
        crowd.spawn(async move { tokens.authorization().await });
    }
    crowd
}

async fn next(crowd: &mut Crowd) -> Result<Authorization, AuthError> {
    crowd.join_next().await.unwrap().unwrap()
}

/// How many of the rest get something to show.
async fn served(mut crowd: Crowd) -> usize {
    let mut served = 0;
    while let Some(outcome) = crowd.join_next().await {
        match outcome.unwrap() {
            Ok(_) => served += 1,
            Err(error) => assert!(!error.to_string().contains("s3cret"), "{error}"),
        }
    }
    served
}

async fn pass(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

fn state(tokens: &TokenSource) -> LoginState {
    tokens.health().borrow().state
}

fn jwt(account: &str, number: u32) -> String {
    let payload = format!(r#"{{"sub":"{account}","email":"{account}@example.com","jti":"{number}"}}"#);
    format!("e30.{}.s3cret", URL_SAFE_NO_PAD.encode(payload))
}

/// Replaces a file as careful programs do.
fn replace(path: &Path, content: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, content).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_shown_by_one_of_fifty() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = source(dir.path()).await;
    let mut crowd = crowd(&tokens, 50);
    let first = next(&mut crowd).await.unwrap();
    let error = tokens.refused(&first, "status 401");
    assert!(
        matches!(&error, AuthError::SecretRequired(words) if words.contains("password of anna")),
        "{error}"
    );
    assert_eq!(served(crowd).await, 0);
    assert_eq!(state(&tokens), LoginState::SecretNeeded);
    // Whoever asks, and however often.
    pass(Duration::from_secs(3600)).await;
    tokens.look_again().await;
    assert_eq!(served(self::crowd(&tokens, 5)).await, 0);
}

#[tokio::test]
async fn a_password_that_was_taken_is_shown_by_all_until_it_rests() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = source(dir.path()).await;
    let mut all = crowd(&tokens, 50);
    let first = next(&mut all).await.unwrap();
    assert!(!tokens.was_accepted(&first));
    tokens.accepted(&first);
    assert!(tokens.was_accepted(&first));
    assert_eq!(served(all).await, 49);
    // Idle for a while: it may have been changed meanwhile.
    pass(PROVED_FOR).await;
    let mut all = crowd(&tokens, 50);
    let again = next(&mut all).await.unwrap();
    tokens.refused(&again, "status 401");
    assert_eq!(served(all).await, 0);
}

#[tokio::test]
async fn a_trial_that_is_given_up_passes_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = source(dir.path()).await;
    let mut crowd = crowd(&tokens, 3);
    for _ in 0..3 {
        // The network failed: nothing was learnt.
        drop(next(&mut crowd).await.unwrap());
    }
    let kept = tokens.authorization().await.unwrap();
    let copy = kept.clone();
    drop(kept);
    let mut waiting = Box::pin(tokens.authorization());
    assert!(
        tokio::time::timeout(Duration::from_millis(20), &mut waiting)
            .await
            .is_err(),
        "a copy keeps the right"
    );
    drop(copy);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_refused_password_is_shown_by_no_other_process() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = source(dir.path()).await;
    let running = TokenSource::of_password(store(dir.path()), AuthKind::Basic, None);
    running.accepted(&running.authorization().await.unwrap());
    let first = tokens.authorization().await.unwrap();
    tokens.refused(&first, "status 401: LoginFailed");
    renewals::settled().await;
    let elsewhere = TokenSource::of_password(store(dir.path()), AuthKind::Basic, None);
    for other in [&running, &elsewhere] {
        let error = other.authorization().await.unwrap_err();
        assert!(
            matches!(&error, AuthError::SecretRequired(words) if words.contains("LoginFailed")),
            "{error}"
        );
    }
    assert_eq!(state(&elsewhere), LoginState::SecretNeeded);
    assert_eq!(
        elsewhere.account().await.unwrap().as_deref(),
        Some("basic anna"),
        "whose it is, is known all the same"
    );
    // The same password, stored anew by a person, is another try for both.
    keep(&store(dir.path()), "anna", "s3cret").await;
    let mut seen = tokens.health();
    seen.mark_unchanged();
    tokens.look_again().await;
    assert!(seen.has_changed().unwrap() && state(&tokens) == LoginState::Good);
    tokens.authorization().await.unwrap();
    elsewhere.authorization().await.unwrap();
}

#[tokio::test]
async fn a_lock_out_ends_with_another_login_and_not_with_a_touch() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = source(dir.path()).await;
    let first = tokens.authorization().await.unwrap();
    let error = tokens.locked_out(&first, "too many");
    assert!(matches!(error, AuthError::LockedOut(_)));
    // An answer that was on its way.
    tokens.accepted(&first);
    assert_eq!(state(&tokens), LoginState::LockedOut);
    let record = dir.path().join("credentials/p.json");
    replace(&record, &std::fs::read_to_string(&record).unwrap());
    tokens.look_again().await;
    let error = tokens.authorization().await.unwrap_err();
    assert!(matches!(error, AuthError::LockedOut(_)), "{error}");
    keep(&store(dir.path()), "anna", "s3cret").await;
    tokens.authorization().await.unwrap();
    assert_eq!(state(&tokens), LoginState::Good);
}

#[tokio::test]
async fn the_password_of_another_account_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = source(dir.path()).await;
    drop(tokens.authorization().await.unwrap());
    keep(&store(dir.path()), "boris", "s3cret").await;
    let error = tokens.authorization().await.unwrap_err();
    assert!(
        matches!(&error, AuthError::LoginRequired(words) if words.contains("boris")),
        "{error}"
    );
    // Nor by a source whose profile names nobody, once it has shown another.
    let unnamed = TokenSource::of_password(store(dir.path()), AuthKind::Basic, None);
    drop(unnamed.authorization().await.unwrap());
    keep(&store(dir.path()), "anna", "s3cret").await;
    unnamed.authorization().await.unwrap_err();
    tokens.authorization().await.unwrap();
    assert_eq!(state(&tokens), LoginState::Good);

    let windows = TokenSource::of_password(store(dir.path()), AuthKind::Windows, None);
    windows.authorization().await.unwrap_err();
    store(dir.path()).lock().await.unwrap().delete().await.unwrap();
    let error = tokens.authorization().await.unwrap_err();
    assert!(matches!(error, AuthError::LoginRequired(_)), "{error}");
}

#[tokio::test]
async fn a_token_file_is_read_again_when_it_changes_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let tokens = TokenSource::of_file(AuthKind::Bearer, Some(path.clone()));
    assert_eq!(tokens.watched(), std::slice::from_ref(&path));
    let error = tokens.authorization().await.unwrap_err();
    assert!(
        matches!(&error, AuthError::LoginRequired(words) if words.contains(path.to_str().unwrap())),
        "{error}"
    );
    assert_eq!(state(&tokens), LoginState::LoginNeeded);
    replace(&path, &jwt("anna", 1));
    tokens.look_again().await;
    assert_eq!(state(&tokens), LoginState::Good);
    let first = tokens.authorization().await.unwrap();
    tokens.accepted(&first);
    // Rotated by whoever keeps it fresh, while all is well.
    replace(&path, &jwt("anna", 2));
    let second = tokens.authorization().await.unwrap();
    assert!(!second.is(&first) && second.is_vouched());
    tokens.refused(&second, "status 401");
    assert_eq!(state(&tokens), LoginState::LoginNeeded);
    // Touched, and the same: nothing to show again.
    replace(&path, &jwt("anna", 2));
    tokens.look_again().await;
    tokens.authorization().await.unwrap_err();
    assert_eq!(state(&tokens), LoginState::LoginNeeded);
    replace(&path, &jwt("boris", 3));
    let error = tokens.authorization().await.unwrap_err();
    assert!(
        matches!(&error, AuthError::LoginRequired(words) if words.contains("boris@example.com")),
        "{error}"
    );
    replace(&path, &jwt("anna", 4));
    tokens.authorization().await.unwrap();
    assert_eq!(state(&tokens), LoginState::Good);
    assert_eq!(tokens.account().await.unwrap().as_deref(), Some("anna"));
    std::fs::remove_file(&path).unwrap();
    tokens.authorization().await.unwrap_err();
    assert_eq!(state(&tokens), LoginState::LoginNeeded);
}

#[tokio::test]
async fn tokens_that_name_nobody_are_shown_with_a_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let tokens = TokenSource::of_file(AuthKind::Bearer, Some(path.clone()));
    replace(&path, "opaque-1");
    assert!(tokens.authorization().await.unwrap().is_vouched());
    for content in ["opaque-2", &jwt("anna", 1)] {
        replace(&path, content);
        assert!(!tokens.authorization().await.unwrap().is_vouched(), "{content}");
    }
}

#[tokio::test]
async fn what_was_given_is_shown_until_it_is_refused() {
    let tokens = TokenSource::fixed(Secret::new("opaque"));
    let all = crowd(&tokens, 3);
    assert_eq!(served(all).await, 3);
    let shown = tokens.authorization().await.unwrap();
    tokens.refused(&shown, "status 401");
    tokens.authorization().await.unwrap_err();
    assert!(tokens.watched().is_empty() && !tokens.renews());
}
