//! Where the endpoints are, and what the discovery document says of them.

use axum::http::StatusCode;
use serde_json::json;

use crate::demo::knobs::{Discovery, ImsPaths, Knobs};
use crate::demo::reply::Reply;
use crate::demo::traffic::RequestKind;

use super::claims::merge;

/// What the IMS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Discovery,
    Keys,
    Authorize,
    Token,
    UserInfo,
    Revocation,
    Introspection,
    EndSession,
    LoginPage,
}

impl Endpoint {
    const ALL: [Self; 9] = [
        Self::Discovery,
        Self::Keys,
        Self::Authorize,
        Self::Token,
        Self::UserInfo,
        Self::Revocation,
        Self::Introspection,
        Self::EndSession,
        Self::LoginPage,
    ];

    /// Its path. Discovery, authorize and token are certain, the others are not (fact sheet 3).
    fn path(self, paths: ImsPaths) -> &'static str {
        match (self, paths) {
            (Self::Discovery, _) => "/.well-known/openid-configuration",
            (Self::Authorize, _) => "/connect/authorize",
            (Self::Token, _) => "/connect/token",
            (Self::LoginPage, _) => "/IMS/Account/Login",
            (Self::Keys, ImsPaths::Connect) => "/.well-known/openid-configuration/jwks",
            (Self::UserInfo, ImsPaths::Connect) => "/connect/userinfo",
            (Self::Revocation, ImsPaths::Connect) => "/connect/revocation",
            (Self::Introspection, ImsPaths::Connect) => "/connect/introspect",
            (Self::EndSession, ImsPaths::Connect) => "/connect/endsession",
            (Self::Keys, ImsPaths::Ping) => "/pf/JWKS",
            (Self::UserInfo, ImsPaths::Ping) => "/idp/userinfo.openid",
            (Self::Revocation, ImsPaths::Ping) => "/as/revoke_token.oauth2",
            (Self::Introspection, ImsPaths::Ping) => "/as/introspect.oauth2",
            (Self::EndSession, ImsPaths::Ping) => "/idp/startSLO.ping",
        }
    }

    /// The endpoint at a path.
    pub(super) fn at(path: &str, paths: ImsPaths) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path(paths) == path)
    }

    fn kind(self) -> RequestKind {
        match self {
            Self::Discovery | Self::Keys => RequestKind::Discovery,
            Self::Authorize => RequestKind::Authorize,
            Self::Token => RequestKind::Token,
            Self::UserInfo => RequestKind::UserInfo,
            Self::Revocation => RequestKind::Revocation,
            Self::Introspection => RequestKind::Introspection,
            Self::EndSession => RequestKind::EndSession,
            Self::LoginPage => RequestKind::LoginPage,
        }
    }

    /// True for those a script in a browser calls; a browser goes to the others itself.
    pub(super) fn is_for_scripts(self) -> bool {
        match self {
            Self::Discovery | Self::Keys | Self::Token | Self::UserInfo | Self::Revocation => true,
            Self::Authorize | Self::Introspection | Self::EndSession | Self::LoginPage => false,
        }
    }
}

/// What kind of request a path of the IMS is, wherever its endpoints are; `None` for a path it never has.
pub(in crate::demo) fn kind_of(path: &str) -> Option<RequestKind> {
    [ImsPaths::Connect, ImsPaths::Ping]
        .into_iter()
        .find_map(|paths| Endpoint::at(path, paths))
        .map(Endpoint::kind)
}

/// The discovery document.
pub(super) fn discovery(issuer: &str, knobs: &Knobs) -> Reply {
    let at = |endpoint: Endpoint| format!("{issuer}{}", endpoint.path(knobs.ims_paths));
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": at(Endpoint::Authorize),
        "token_endpoint": at(Endpoint::Token),
        "jwks_uri": at(Endpoint::Keys),
    });
    match knobs.discovery {
        Discovery::Missing => return Reply::empty(StatusCode::NOT_FOUND),
        Discovery::Minimal => {}
        Discovery::Full => {
            let scopes: Vec<&str> = knobs.known_scopes.split_whitespace().collect();
            let more = json!({
                "userinfo_endpoint": at(Endpoint::UserInfo),
                "revocation_endpoint": at(Endpoint::Revocation),
                "introspection_endpoint": at(Endpoint::Introspection),
                "end_session_endpoint": at(Endpoint::EndSession),
                "scopes_supported": scopes,
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "none"],
                "code_challenge_methods_supported": ["S256"],
                "prompt_values_supported": ["none", "login", "consent", "select_account"],
                "claims_supported": [
                    "sub", "name", "given_name", "family_name", "preferred_username", "email", "org", "org_name",
                ],
            });
            merge(&mut document, more);
        }
    }
    Reply::json(StatusCode::OK, &document)
}
