//! The account a token stands for, by the token's own claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
}

/// `sub`, or `client_id` for a service application, of a JWT in an Authorization value.
///
/// The signature is not checked: the claim names a cache, it grants nothing.
pub(super) fn subject_of(authorization: &str) -> Option<String> {
    let (_, token) = authorization.split_once(' ')?;
    let payload = token.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&json).ok()?;
    let present = |text: &String| !text.is_empty();
    claims
        .sub
        .filter(present)
        .map(|sub| format!("sub {sub}"))
        .or_else(|| claims.client_id.filter(present).map(|id| format!("client {id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_read_and_anything_else_is_not_a_subject() {
        let jwt = |claims: &str| format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(
            subject_of(&jwt(r#"{"sub":"42","client_id":"c"}"#)).as_deref(),
            Some("sub 42")
        );
        assert_eq!(
            subject_of(&jwt(r#"{"sub":"","client_id":"c"}"#)).as_deref(),
            Some("client c")
        );
        assert_eq!(subject_of(&jwt("{}")), None);
        for text in ["Bearer opaque", "Bearer a.!!.b", "", "Bearer"] {
            assert_eq!(subject_of(text), None, "{text}");
        }
    }
}
