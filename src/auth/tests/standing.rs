//! Services, apps without a secret, and what servers hold against a login.

use super::*;

/// A service whose access token began so many seconds ago and lives an hour.
fn service_record(idp: &Idp, began: i64, secret: &str) -> Credentials {
    let tokens = Tokens {
        access: Secret::new(jwt("the service", 0)),
        refresh: None,
        lifetime: Some(Duration::from_secs(3600)),
        scopes: None,
    };
    let then = Timestamp::now() - SignedDuration::from_secs(began);
    let app = AppId {
        scopes: "projectwise:read".to_owned(),
        ..app_id(idp)
    };
    Credentials::new(app, "", Some(Secret::new(secret)), tokens, then).of_kind(AuthKind::Service)
}

/// Scopes that mean a person are those of a profile written by hand.
fn service_source(idp: &Idp, store: &CredentialStore) -> TokenSource {
    TokenSource::of_app(http(), store.clone(), app_id(idp), AuthKind::Service)
}

#[tokio::test]
async fn a_service_gets_its_next_token_with_its_secret_once_for_all() {
    let idp = Idp::start().await;
    idp.state.lock().account = "the service".to_owned();
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &service_record(&idp, ENDED, "right-s3cret")).await;
    let (here, there) = (service_source(&idp, &store), service_source(&idp, &store));
    let calls = (0..20).map(|n| if n % 2 == 0 { &here } else { &there }.authorization());
    for bearer in join_all(calls).await {
        bearer.unwrap();
    }
    let posts = idp.state.lock().posts.clone();
    assert_eq!(posts.len(), 1);
    let form = &posts[0].1;
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["scope"], "projectwise:read");
    assert!(!form.contains_key("redirect_uri") && !form.contains_key("refresh_token"));
    assert_eq!(
        store.load().await.unwrap().unwrap().access.expose(),
        jwt("the service", 1)
    );
}

#[tokio::test]
async fn a_service_fetches_its_token_ahead_and_goes_on_where_it_cannot_be_stored() {
    let idp = Idp::start().await;
    idp.state.lock().account = "the service".to_owned();
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &service_record(&idp, FRESH, "right-s3cret")).await;
    let tokens = service_source(&idp, &store);
    let old = tokens.authorization().await.unwrap();
    let Source::Session(session) = &tokens.0 else {
        panic!("an app's")
    };
    let due = service_record(&idp, DUE, "right-s3cret");
    session.state.lock().current.as_mut().unwrap().record = due.clone();
    stored(dir.path(), &due).await;
    std::fs::create_dir(dir.path().join("credentials/test.new")).unwrap();
    assert!(tokens.authorization().await.unwrap().is(&old));
    drop(session.renewing.lock().await);
    assert!(!tokens.authorization().await.unwrap().is(&old));
    assert_eq!(idp.posts("/token"), 1);
    drop(store.lock().await.unwrap());
}

#[tokio::test]
async fn a_services_new_secret_heals_without_anybody_asking() {
    let idp = Idp::start().await;
    idp.state.lock().account = "the service".to_owned();
    idp.mood(Mood::WantsSecret);
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &service_record(&idp, ENDED, "old-s3cret")).await;
    let tokens = service_source(&idp, &store);
    for _ in 0..3 {
        let error = tokens.authorization().await.unwrap_err();
        assert!(matches!(error, AuthError::SecretRequired(_)), "{error}");
        a_while().await;
        tokens.look_again().await;
    }
    assert_eq!(idp.posts("/token"), 1, "a wrong secret is not sent again");
    assert_eq!(tokens.health().borrow().state, LoginState::SecretNeeded);
    assert_eq!(tokens.watched(), [dir.path().join("credentials/test.json")]);
    stored(dir.path(), &service_record(&idp, ENDED, "right-s3cret")).await;
    tokens.look_again().await;
    assert_eq!(tokens.health().borrow().state, LoginState::Good);
    assert_eq!(idp.posts("/token"), 2);
    tokens.authorization().await.unwrap();
    assert_eq!(idp.posts("/token"), 2);
}

#[tokio::test]
async fn a_native_app_never_sends_a_secret() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut login = record(&idp, ENDED, Some("refresh-s3cret-0"));
    login.client_secret = Some(Secret::new("s3cret"));
    let store = stored(dir.path(), &login).await;
    for kind in [AuthKind::Native, AuthKind::Spa] {
        let tokens = TokenSource::of_app(http(), store.clone(), app_id(&idp), kind);
        let bearer = tokens.authorization().await.unwrap();
        tokens.reject(&bearer);
        tokens.authorization().await.unwrap();
    }
    let posts = idp.state.lock().posts.clone();
    assert!(posts.len() > 2);
    for (_, form) in posts {
        assert!(!form.contains_key("client_secret") && form["authorization"].is_empty());
    }
    // The login of a service is none of a person.
    let store = stored(dir.path(), &service_record(&idp, FRESH, "right-s3cret")).await;
    source(&idp, &store).authorization().await.unwrap_err();
}

#[tokio::test]
async fn a_lock_out_outlasts_a_renewal_and_ends_with_a_new_login() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut login = record(&idp, FRESH, Some("refresh-s3cret-0"));
    let store = stored(dir.path(), &login).await;
    let tokens = source(&idp, &store);
    let bearer = tokens.authorization().await.unwrap();
    tokens.locked_out(&bearer, "too many");
    tokens.accepted(&bearer);
    let is_locked = async || {
        let locked = matches!(tokens.authorization().await, Err(AuthError::LockedOut(_)));
        assert_eq!(locked, tokens.health().borrow().state == LoginState::LockedOut);
        locked
    };
    assert!(is_locked().await);
    // Another process renews the same login.
    let renewal = Tokens {
        access: Secret::new(jwt("anna", 7)),
        refresh: Some(Secret::new("refresh-s3cret-7")),
        lifetime: Some(Duration::from_secs(3600)),
        scopes: None,
    };
    login.renew(renewal, Timestamp::now());
    stored(dir.path(), &login).await;
    tokens.look_again().await;
    assert!(is_locked().await);
    stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    tokens.look_again().await;
    assert_eq!(tokens.health().borrow().state, LoginState::Good);
    assert!(!is_locked().await);
    assert_eq!(idp.posts("/token"), 0);
}

#[tokio::test]
async fn what_a_server_holds_against_the_login_shows_until_it_takes_it_or_there_is_another() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    let tokens = source(&idp, &store);
    let health = tokens.health();
    let bearer = tokens.authorization().await.unwrap();
    tokens.reject(&bearer);
    let fresh = tokens.authorization().await.unwrap();
    tokens.refused(&fresh, "status 401: the audience is wrong");
    assert_eq!(health.borrow().state, LoginState::LoginNeeded);
    assert!(health.borrow().detail.contains("the audience is wrong"));
    // A renewal by the hour proves nothing.
    a_while().await;
    tokens.reject(&fresh);
    let fresh = tokens.authorization().await.unwrap();
    assert_eq!(health.borrow().state, LoginState::LoginNeeded);
    tokens.accepted(&fresh);
    assert_eq!(health.borrow().state, LoginState::Good);
    tokens.refused(&fresh, "status 401");
    stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    tokens.look_again().await;
    assert_eq!(health.borrow().state, LoginState::Good);
}

#[tokio::test]
async fn records_of_before_are_read_and_records_of_tomorrow_are_not() {
    let idp = Idp::start().await;
    let dir = tempfile::tempdir().unwrap();
    let store = stored(dir.path(), &record(&idp, FRESH, Some("refresh-s3cret-0"))).await;
    let path = dir.path().join("credentials/test.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&json["version"], &json["kind"]), (&1.into(), &"web".into()));
    json.as_object_mut().unwrap().remove("kind");
    std::fs::write(&path, json.to_string()).unwrap();
    let kept = store.load().await.unwrap().unwrap();
    assert_eq!((kept.kind, kept.refresh.is_some()), (AuthKind::Web, true));
    source(&idp, &store).authorization().await.unwrap();

    stored(dir.path(), &service_record(&idp, FRESH, "right-s3cret")).await;
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&json["version"], &json["kind"]), (&2.into(), &"service".into()));
    for (field, value) in [("version", 3.into()), ("kind", "retina".into())] {
        let mut other = json.clone();
        other[field] = value;
        std::fs::write(&path, other.to_string()).unwrap();
        let error = store.load().await.unwrap_err();
        assert!(matches!(error, AuthError::Store(_)), "{error}");
    }
}
