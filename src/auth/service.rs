//! A Service app: nobody signs in, its Client ID and Secret are the login (RFC 6749, 4.4).
//!
//! There is no refresh token: a new access token is asked for with the secret, whenever one is needed.

use jiff::Timestamp;

use super::credentials::{AppId, Credentials, Tokens};
use super::kind::AuthKind;
use super::login::LoginError;
use super::oauth::{App, Provider, TokenRefusal};
use super::{AuthError, OauthError};
use crate::http::HttpClient;

/// Scopes that mean a person, whom a service has none of (projectwise-api 3).
const OF_PERSONS: [&str; 5] = ["offline_access", "openid", "profile", "email", "organization"];

/// Logs a service in for `scopes`, and returns the record to store. Those that mean a person are left out: IMS refuses
/// the whole question for one of them.
pub async fn sign_in(http: &HttpClient, app: App, scopes: &str) -> Result<Credentials, LoginError> {
    let scopes = service_scopes(scopes);
    let provider = Provider::discover(http, app).await?;
    let now = Timestamp::now();
    let tokens = match provider.service_tokens(&scopes).await {
        Ok(tokens) => tokens,
        Err(TokenRefusal::Scope(detail)) => return Err(LoginError::InvalidScope { scopes, detail }),
        Err(TokenRefusal::App(detail)) => return Err(LoginError::UnauthorizedClient(detail)),
        Err(TokenRefusal::Other(error)) => return Err(error.into()),
    };
    let app = provider.app();
    let id = AppId {
        issuer: app.issuer.as_str().trim_end_matches('/').to_owned(),
        client_id: app.client_id.clone(),
        scopes,
    };
    let record = Credentials::new(id, "", app.client_secret.clone(), tokens, now);
    Ok(record.of_kind(AuthKind::Service))
}

/// New tokens for a service that has signed in before.
pub(super) async fn tokens(provider: &Provider, scopes: &str) -> Result<Tokens, AuthError> {
    let answer = provider.service_tokens(&service_scopes(scopes)).await;
    answer.map_err(|refusal| match refusal {
        TokenRefusal::Scope(words) => AuthError::Refused {
            error: OauthError::InvalidScope,
            words,
        },
        TokenRefusal::App(words) => AuthError::Refused {
            error: OauthError::UnauthorizedClient,
            words,
        },
        TokenRefusal::Other(error) => error,
    })
}

/// `scopes` without those that mean a person.
pub(super) fn service_scopes(scopes: &str) -> String {
    let kept: Vec<_> = scopes
        .split_whitespace()
        .filter(|scope| !OF_PERSONS.contains(scope))
        .collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_asks_for_nothing_that_means_a_person() {
        for (asked, sent) in [
            ("projectwise:read", "projectwise:read"),
            (
                "openid projectwise:read  offline_access profile email",
                "projectwise:read",
            ),
            ("a b", "a b"),
        ] {
            assert_eq!(service_scopes(asked), sent);
        }
    }
}
