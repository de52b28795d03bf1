use std::path::Path;

use super::super::check::Outcome;
use super::*;
use crate::config::Profile;

fn account(auth: AuthKind) -> Account {
    Account {
        name: "default".to_owned(),
        profile: Profile {
            auth,
            client_id: "c".to_owned(),
            ..Profile::default()
        },
        state_dir: Path::new("/nonexistent").to_owned(),
        pace_dir: None,
    }
}

/// What `no_token` makes of an error: outcome, kind, id and words of its first check.
#[track_caller]
fn tells(auth: AuthKind, error: &AuthError, id: Id, kind: Kind, words: &str) {
    let (account, http) = (account(auth), HttpClient::new().unwrap());
    let tokens = TokenSource::fixed(Secret::new("x"));
    let subject = Subject {
        account: &account,
        http: &http,
        tokens: &tokens,
    };
    let checks = no_token(&subject, error);
    let first = &checks[0];
    let text = format!("{} {}", first.finding, first.remedy.join(" "));
    assert_eq!(
        (first.id, first.outcome, first.kind),
        (id, Outcome::Fail, Some(kind)),
        "{text}"
    );
    assert!(text.contains(words), "{text}");
    assert!(!first.remedy.is_empty(), "{text}");
}

#[test]
fn why_there_is_no_token_is_told_under_its_own_name() {
    let words = || "the words".to_owned();
    let web = AuthKind::Web;
    tells(
        web,
        &AuthError::LoginRequired(words()),
        Id::LoginToken,
        Kind::Login,
        "pwfs login",
    );
    tells(
        web,
        &AuthError::SecretRequired(words()),
        Id::LoginSecret,
        Kind::Login,
        "--client-secret-file",
    );
    tells(
        AuthKind::Native,
        &AuthError::SecretRequired(words()),
        Id::LoginSecret,
        Kind::Login,
        "has no secret",
    );
    tells(
        AuthKind::Basic,
        &AuthError::SecretRequired(words()),
        Id::LoginSecret,
        Kind::Login,
        "sign in again",
    );
    let away = |error| AuthError::Unreachable(error);
    tells(
        web,
        &away(HttpError::Unreachable(words())),
        Id::LoginToken,
        Kind::Unreachable,
        "proxy",
    );
    tells(
        web,
        &away(HttpError::TimedOut(words())),
        Id::LoginToken,
        Kind::TryAgain,
        "try again",
    );
    tells(
        AuthKind::Service,
        &AuthError::Refused {
            error: OauthError::InvalidScope,
            words: words(),
        },
        Id::LoginToken,
        Kind::Login,
        "enable the projectwise:read scope",
    );
    tells(
        web,
        &AuthError::Store(words()),
        Id::LoginToken,
        Kind::Failure,
        "keyring",
    );
}

#[test]
fn scopes_are_compared_with_what_was_asked_for() {
    let list = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let of = |asked: &str, granted: Option<&str>| {
        granted_of(&list(asked), granted.map(list).as_deref(), "default")
    };
    let asked = "projectwise:read offline_access";
    assert_eq!(of(asked, Some("projectwise:read")).outcome, Outcome::Pass);
    assert_eq!(of(asked, None).outcome, Outcome::Pass, "a token need not tell");
    let narrowed = of(asked, Some("openid"));
    assert_eq!(narrowed.outcome, Outcome::Warn);
    assert!(
        narrowed.finding.contains("\"projectwise:read\" was not granted"),
        "{narrowed:?}"
    );
    let other = of("itwin-platform offline_access", Some("itwin-platform"));
    assert_eq!(other.outcome, Outcome::Warn);
    assert!(
        other
            .remedy
            .join(" ")
            .contains("--scope \"projectwise:read offline_access\""),
        "{other:?}"
    );
}
