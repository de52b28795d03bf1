//! What an access token says of itself: for a person who looks for a fault, never for a decision of the product.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Authorization;

/// The readable part of an access token (projectwise-api 3). Nothing of it is verified, and nothing of it is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenClaims {
    /// The scopes it was given for; `None` where it does not say.
    pub scopes: Option<Vec<String>>,
    /// The services it is meant for; empty where it does not say.
    pub audience: Vec<String>,
    /// The app it was given to.
    pub client_id: Option<String>,
    /// Whose it is: the e-mail address, else the subject.
    pub account: Option<String>,
    /// When it ends, by the clock of the identity provider.
    pub expires: Option<Timestamp>,
}

/// The payload as providers write it: a list and a text with spaces are both seen.
#[derive(Deserialize)]
struct Payload {
    scope: Option<Value>,
    aud: Option<Value>,
    client_id: Option<String>,
    sub: Option<String>,
    email: Option<String>,
    exp: Option<i64>,
}

impl TokenClaims {
    /// Reads the bearer token of an Authorization; `None` for a password, and for a token that only its provider can
    /// read.
    pub fn of(authorization: &Authorization) -> Option<Self> {
        let header = authorization.header();
        let token = header.expose().strip_prefix("Bearer ")?;
        let payload = token.split('.').nth(1)?;
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
        let payload: Payload = serde_json::from_slice(&json).ok()?;
        Some(Self {
            scopes: payload.scope.as_ref().map(words),
            audience: payload.aud.as_ref().map(words).unwrap_or_default(),
            client_id: payload.client_id,
            account: payload.email.or(payload.sub),
            expires: payload
                .exp
                .and_then(|seconds| Timestamp::from_second(seconds).ok()),
        })
    }

    /// Whether it was given for `scope`; `None` where it does not say.
    pub fn carries(&self, scope: &str) -> Option<bool> {
        let scopes = self.scopes.as_ref()?;
        Some(scopes.iter().any(|given| given == scope))
    }
}

/// The words of a list of texts, or of one text; no words in anything else.
fn words(value: &Value) -> Vec<String> {
    let split = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    match value {
        Value::String(text) => split(text),
        Value::Array(items) => items.iter().filter_map(Value::as_str).flat_map(split).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Secret;

    fn token(payload: &str) -> Authorization {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        Authorization::bearer(&Secret::new(format!("{}.{}.c2ln", part("{}"), part(payload))))
    }

    #[test]
    fn scopes_are_read_as_a_list_and_as_a_text() {
        for payload in [
            r#"{"scope":["projectwise:read","openid"],"aud":"a","exp":1700000000,"client_id":"c","email":"e@x"}"#,
            r#"{"scope":"projectwise:read openid","aud":["a"],"exp":1700000000,"client_id":"c","email":"e@x"}"#,
        ] {
            let claims = TokenClaims::of(&token(payload)).unwrap();
            assert_eq!(claims.carries("projectwise:read"), Some(true));
            assert_eq!(claims.carries("itwin-platform"), Some(false));
            assert_eq!(claims.audience, ["a"]);
            assert_eq!(claims.client_id.as_deref(), Some("c"));
            assert_eq!(claims.account.as_deref(), Some("e@x"));
            assert_eq!(claims.expires.unwrap().as_second(), 1_700_000_000);
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        assert_eq!(
            TokenClaims::of(&Authorization::bearer(&Secret::new("opaque"))),
            None
        );
        assert_eq!(
            TokenClaims::of(&Authorization::bearer(&Secret::new("a.!!!.c"))),
            None
        );
        let claims = TokenClaims::of(&token(r#"{"sub":"s","scope":7}"#)).unwrap();
        assert_eq!(claims.account.as_deref(), Some("s"));
        assert_eq!(TokenClaims::of(&token("{}")).unwrap().carries("x"), None);
    }
}
