//! The login, as far as it can be looked at without a person: the app at the identity provider, what is stored, the token.
//!
//! `provider` asks for the app, `store` looks at what is kept, and here the token is had and looked at. Three rules bound what is sent:
//! 1. no refresh token is used but where the login is due for a renewal, or a server refuses its token;
//! 2. a Client Secret is tried with a refresh token that never existed: the provider looks at the secret first
//!    (RFC 6749, 5.2), and nothing is used up;
//! 3. the app is asked for with `prompt=none` (OpenID Connect Core, 3.1.2.1), which shows nobody a page.

use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use crate::auth::login::PORTAL;
use crate::auth::oauth::{App, Endpoints, Provider};
use crate::auth::{
    AppId, AuthError, AuthKind, Authorization, Credentials, OauthError, TokenClaims, TokenSource,
};
use crate::daemon::connect::Account;
use crate::http::{HttpClient, HttpError, Secret};

use super::check::{Chart, Check, Id, Kind};
use super::remedy;

mod provider;
mod store;

use store::Stored;

/// What signing in came to.
#[derive(Default)]
pub(super) struct SignedIn {
    /// What requests carry.
    pub(super) authorization: Option<Authorization>,
    /// What the token says of itself.
    pub(super) claims: Option<TokenClaims>,
    /// Who signed in, for people.
    pub(super) who: Option<String>,
    /// True where the token can be renewed without a person.
    pub(super) renews: bool,
    /// True where it was renewed in this run.
    pub(super) is_new: bool,
    /// Requests sent.
    pub(super) requests: u32,
}

/// What is looked at.
pub(super) struct Subject<'a> {
    pub(super) account: &'a Account,
    /// With the doctor's own short waits.
    pub(super) http: &'a HttpClient,
    /// With a mount's patience: a renewal must not be cut off.
    pub(super) tokens: &'a TokenSource,
}

/// An identity provider that is silent is asked for as long as a person at a terminal waits for one answer. The renewal
/// itself goes on.
const TOKEN_PATIENCE: Duration = Duration::from_secs(15);

impl Subject<'_> {
    fn auth(&self) -> AuthKind {
        self.account.profile.auth
    }

    fn name(&self) -> &str {
        &self.account.name
    }

    fn app_id(&self) -> AppId {
        let profile = &self.account.profile;
        AppId {
            issuer: profile.issuer.clone(),
            client_id: profile.client_id.clone(),
            scopes: profile.scopes.join(" "),
        }
    }
}

/// Looks at everything between the identity provider and the token.
pub(super) async fn examine(subject: &Subject<'_>, chart: &mut Chart) -> SignedIn {
    let mut signed_in = SignedIn::default();
    let (provider, stored) = tokio::join!(provider::ask(subject, chart), store::look(subject));
    signed_in.requests += provider.requests;
    let Stored {
        check,
        is_readable,
        record,
    } = stored;
    chart.extend(provider.checks);
    chart.add(check);
    chart.add(provider::redirect(subject, provider.redirect).await);
    chart.add(match chart.trouble(Id::ConfigKeys) {
        Some(trouble) => Check::waits(Id::LoginRecord, trouble),
        None if !is_readable => Check::waits(Id::LoginRecord, Id::LoginStore),
        // One that others could read is as good as any other, until it is ended.
        None => store::login(subject, record.as_ref()),
    });
    take_token(subject, chart, record.as_ref(), &mut signed_in).await;
    let secret = look_at_secret(
        subject,
        chart,
        record.as_ref(),
        provider.endpoints,
        &mut signed_in,
    )
    .await;
    if let Some(secret) = secret {
        chart.add(secret);
    }
    chart.add(scopes(subject, chart, &signed_in, provider.scopes));
    signed_in
}

/// Gets the token that a mount would send, renewing it only where that is due.
async fn take_token(
    subject: &Subject<'_>,
    chart: &mut Chart,
    record: Option<&Credentials>,
    signed_in: &mut SignedIn,
) {
    let id = Id::LoginToken;
    if let Some(trouble) = chart.first_trouble(&[Id::ConfigKeys, Id::LoginRecord]) {
        chart.add(Check::waits(id, trouble));
        return;
    }
    let now = Timestamp::now();
    let is_ended = record.is_some_and(|record| record.expires <= now);
    let wants_provider = subject.auth() == AuthKind::Service || is_ended;
    if wants_provider && let Some(trouble) = chart.trouble(Id::LoginDiscovery) {
        chart.add(Check::waits(id, trouble));
        return;
    }
    let outcome = tokio::time::timeout(TOKEN_PATIENCE, subject.tokens.authorization()).await;
    let authorization = match outcome {
        Ok(Ok(authorization)) => authorization,
        Ok(Err(error)) => {
            if wants_provider {
                signed_in.requests += RENEWAL;
            }
            chart.extend(no_token(subject, &error));
            return;
        }
        Err(_) => {
            signed_in.requests += RENEWAL;
            chart.add(
                Check::fail(
                    id,
                    Kind::TryAgain,
                    "the identity provider does not answer the renewal in time",
                )
                .remedy("try again in a few minutes"),
            );
            return;
        }
    };
    signed_in.is_new = record.is_some_and(|record| !carries(&authorization, &record.access));
    if signed_in.is_new || subject.auth() == AuthKind::Service {
        signed_in.requests += RENEWAL;
    }
    signed_in.claims = TokenClaims::of(&authorization);
    signed_in.who = record.and_then(store::short_name).or_else(|| {
        let claims = signed_in.claims.as_ref();
        claims.and_then(|claims| claims.account.clone())
    });
    signed_in.renews = record.is_some_and(|record| record.refresh.is_some());
    let ends = match (&signed_in.claims, record) {
        (Some(claims), _) if claims.expires.is_some() => claims.expires,
        (_, Some(record)) if !signed_in.is_new => Some(record.expires),
        (_, Some(_) | None) => None,
    };
    signed_in.authorization = Some(authorization);
    chart.add(token(subject, signed_in, ends));
}

/// A renewal is a discovery and a question to the token endpoint.
const RENEWAL: u32 = 2;

fn carries(authorization: &Authorization, access: &Secret) -> bool {
    let header = authorization.header();
    header.expose().strip_prefix("Bearer ") == Some(access.expose())
}

fn token(subject: &Subject<'_>, signed_in: &SignedIn, ends: Option<Timestamp>) -> Check {
    let id = Id::LoginToken;
    let auth = subject.auth();
    if auth.has_password() {
        return Check::pass(id, "a password is kept; the server judges it (access.account)");
    }
    let until = match ends {
        Some(ends) => format!("until {}", ends.strftime("%Y-%m-%d %H:%M UTC")),
        None => "for as long as it does not tell".to_owned(),
    };
    let check = if auth.has_token_file() {
        match ends {
            Some(ends) if ends <= Timestamp::now() => Check::fail(
                id,
                Kind::Login,
                format!("the token in the file has ended ({until})"),
            )
            .remedy("have whoever makes the token write a new one; a mount reads it by itself"),
            Some(_) | None => Check::pass(id, format!("the token in the file is good {until}")),
        }
    } else if signed_in.is_new {
        Check::pass(
            id,
            format!("it was due and has been renewed; the token is good {until}"),
        )
    } else if signed_in.renews || auth == AuthKind::Service {
        Check::pass(id, format!("the token is good {until}, and is renewed by itself"))
    } else {
        Check::warn(
            id,
            format!("the token is good {until}, and cannot be renewed without a person: the app got no refresh token"),
        )
        .remedy(format!(
            "let the app ask for offline_access ({PORTAL}), and sign in with it: {} --scope \"{} offline_access\"",
            remedy::login(subject.name()),
            remedy::SCOPE
        ))
    };
    check
        .detail("expires", ends.map(|ends| ends.to_string()))
        .detail("renews", signed_in.renews)
        .detail("renewed", signed_in.is_new)
}

/// Why there is no token, under the name of the check it belongs to.
fn no_token(subject: &Subject<'_>, error: &AuthError) -> Vec<Check> {
    let id = Id::LoginToken;
    let name = subject.name();
    match error {
        AuthError::LoginRequired(words) => {
            vec![Check::fail(id, Kind::Login, words.clone()).remedy(remedy::sign_in_again(name))]
        }
        AuthError::LockedOut(words) => {
            vec![Check::fail(id, Kind::Login, words.clone()).remedy(remedy::UNLOCK)]
        }
        AuthError::SecretRequired(words) => {
            vec![wrong_secret(subject, words), Check::waits(id, Id::LoginSecret)]
        }
        AuthError::Unreachable(HttpError::TimedOut(_)) => {
            vec![Check::fail(id, Kind::TryAgain, error.to_string()).remedy("try again in a few minutes")]
        }
        AuthError::Unreachable(_) => vec![
            Check::fail(id, Kind::Unreachable, error.to_string())
                .remedy("check the network, the proxy and the issuer's address (key issuer)"),
        ],
        AuthError::Refused {
            error: OauthError::Unavailable,
            ..
        } => {
            vec![Check::fail(id, Kind::TryAgain, error.to_string()).remedy("try again in a few minutes")]
        }
        AuthError::Refused {
            error: OauthError::InvalidScope,
            ..
        } => vec![
            Check::fail(id, Kind::Login, error.to_string())
                .remedy(remedy::enable_scope())
                .remedy(remedy::sign_in_again(name)),
        ],
        AuthError::Refused { .. } => vec![
            Check::fail(id, Kind::Login, error.to_string())
                .remedy(format!(
                    "compare the app's type and scopes at {PORTAL} with the profile"
                ))
                .remedy(remedy::sign_in_again(name)),
        ],
        AuthError::Protocol(words) => vec![Check::fail(id, Kind::Failure, words.clone()).remedy(
            "check the issuer's address (key issuer); something else may have answered in its place",
        )],
        AuthError::Store(words) => vec![
            Check::fail(id, Kind::Failure, words.clone())
                .remedy("unlock the keyring, or make room on the disk; then try again"),
        ],
    }
}

fn wrong_secret(subject: &Subject<'_>, words: &str) -> Check {
    let check = Check::fail(Id::LoginSecret, Kind::Login, words);
    if subject.auth().has_password() {
        check.remedy(remedy::sign_in_again(subject.name()))
    } else if subject.auth().has_secret() {
        check.remedy(remedy::new_secret(subject.name()))
    } else {
        check.remedy(remedy::new_secret(subject.name())).remedy(format!(
            "an app of type {} has no secret: compare its type at {PORTAL}",
            subject.auth()
        ))
    }
}

/// Whether the Client Secret is still the app's. `None` where it was told of already.
async fn look_at_secret(
    subject: &Subject<'_>,
    chart: &Chart,
    record: Option<&Credentials>,
    provider: Option<(Endpoints, Url)>,
    signed_in: &mut SignedIn,
) -> Option<Check> {
    let id = Id::LoginSecret;
    if chart.trouble(id).is_some() {
        return None;
    }
    if subject.auth() == AuthKind::Service {
        return Some(match chart.trouble(Id::LoginToken) {
            Some(trouble) => Check::waits(id, trouble),
            None => Check::pass(id, "a token was given for it"),
        });
    }
    if !subject.auth().has_browser() {
        return Some(Check::not_needed(id, "this profile has none"));
    }
    if let Some(trouble) = chart.trouble(Id::LoginRecord) {
        return Some(Check::waits(id, trouble));
    }
    let Some(secret) = record.and_then(|record| record.client_secret.clone()) else {
        return Some(Check::not_needed(id, "this app signed in without one"));
    };
    if signed_in.is_new {
        return Some(Check::pass(id, "the login was renewed with it"));
    }
    let Some((endpoints, issuer)) = provider else {
        let trouble = chart.trouble(Id::LoginDiscovery).unwrap_or(Id::LoginDiscovery);
        return Some(Check::waits(id, trouble));
    };
    let profile = &subject.account.profile;
    let app = App {
        issuer,
        client_id: profile.client_id.clone(),
        client_secret: Some(secret),
        redirect_uri: profile.redirect_uri.clone(),
    };
    signed_in.requests += 1;
    let answer = match Provider::new(subject.http, endpoints, app) {
        // Random, so that it is nobody's.
        Ok(provider) => {
            let nobodys = Secret::new(format!("pwfs-doctor-{:032x}", fastrand::u128(..)));
            provider.refresh(&nobodys).await.map(drop)
        }
        Err(error) => Err(error),
    };
    Some(match answer {
        // `invalid_grant`: the app was let in, and only the made-up token was not.
        Err(AuthError::LoginRequired(_)) | Ok(()) => Check::pass(id, "the identity provider accepts it"),
        Err(AuthError::SecretRequired(words)) => wrong_secret(subject, &words),
        Err(error) => Check::pass(
            id,
            format!("whether it is accepted shows at the next renewal only ({error})"),
        )
        .detail("told", false),
    })
}

/// What was granted, against what was asked for.
fn scopes(subject: &Subject<'_>, chart: &Chart, signed_in: &SignedIn, refused: Option<String>) -> Check {
    let id = Id::LoginScopes;
    if !subject.auth().has_app() {
        return Check::not_needed(id, "this profile has no app, and so no scopes");
    }
    let asked = &subject.account.profile.scopes;
    let listed = asked.join(" ");
    if let Some(words) = refused {
        return Check::fail(
            id,
            Kind::Login,
            format!("the app may not ask for the scopes \"{listed}\" ({words})"),
        )
        .remedy(remedy::enable_scope())
        .remedy(remedy::sign_in_again(subject.name()))
        .detail("asked", asked.as_slice());
    }
    if let Some(trouble) = chart.trouble(Id::LoginToken) {
        return Check::waits(id, trouble);
    }
    let granted = signed_in.claims.as_ref().and_then(|claims| claims.scopes.clone());
    granted_of(asked, granted.as_deref(), subject.name())
        .detail("asked", asked.as_slice())
        .detail("granted", granted)
}

/// Scopes that a token need not repeat: they are about tokens and people, not about access.
const OF_THE_LOGIN: [&str; 4] = ["offline_access", "openid", "profile", "email"];

fn granted_of(asked: &[String], granted: Option<&[String]>, profile: &str) -> Check {
    let id = Id::LoginScopes;
    let Some(granted) = granted else {
        return Check::pass(
            id,
            format!(
                "asked for \"{}\"; the token does not tell what it was given for",
                asked.join(" ")
            ),
        );
    };
    let missing: Vec<_> = asked
        .iter()
        .filter(|scope| !OF_THE_LOGIN.contains(&scope.as_str()) && !granted.contains(scope))
        .map(String::as_str)
        .collect();
    let has_guides = granted.iter().any(|scope| scope == remedy::SCOPE);
    if !missing.is_empty() {
        return Check::warn(
            id,
            format!(
                "asked for \"{}\", and \"{}\" was not granted",
                asked.join(" "),
                missing.join(" ")
            ),
        )
        .remedy(remedy::enable_scope())
        .remedy(remedy::sign_in_again(profile));
    }
    if !has_guides {
        return Check::warn(
            id,
            format!(
                "granted \"{}\", as asked; the scope of the guide, {}, is not among them",
                granted.join(" "),
                remedy::SCOPE
            ),
        )
        .remedy(remedy::enable_scope())
        .remedy(format!(
            "sign in with it: {} --scope \"{} offline_access\"",
            remedy::login(profile),
            remedy::SCOPE
        ));
    }
    Check::pass(id, format!("granted \"{}\"", granted.join(" ")))
}

#[cfg(test)]
mod tests;
