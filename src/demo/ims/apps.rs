//! The registered apps, and what an app of each type may do (fact sheet 3).

use std::collections::BTreeSet;
use std::fmt;

use parking_lot::Mutex;

use crate::demo::knobs::{Knobs, OfflineAccess, RedirectMatch};

/// Hosts of this machine, in the spellings a redirect URI may have.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
/// Scopes that are about a person, whom a service has none of.
const IDENTITY_SCOPES: [&str; 4] = ["openid", "email", "profile", "organization"];
/// The scope that gives a refresh token.
pub(super) const OFFLINE_ACCESS: &str = "offline_access";

/// The four types of the developer portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppType {
    /// Desktop or mobile: code with PKCE, no secret, a loopback redirect.
    Native,
    /// In a browser: code with PKCE, no secret, an https or localhost redirect.
    Spa,
    /// Code with a secret; PKCE does no harm.
    Web,
    /// Client credentials with a secret; nobody signs in.
    Service,
}

/// The ways to tokens this IMS offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GrantType {
    Code,
    Refresh,
    ClientCredentials,
}

impl AppType {
    pub(super) fn has_secret(self) -> bool {
        match self {
            Self::Web | Self::Service => true,
            Self::Native | Self::Spa => false,
        }
    }

    pub(super) fn needs_pkce(self) -> bool {
        !self.has_secret()
    }

    pub(super) fn may_use(self, grant: GrantType) -> bool {
        match grant {
            GrantType::Code | GrantType::Refresh => self != Self::Service,
            GrantType::ClientCredentials => self == Self::Service,
        }
    }

    fn may_register(self, uri: &str) -> bool {
        let https = uri.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
        let possible = match self {
            Self::Native => without_port(uri).is_some(),
            Self::Spa | Self::Web => https || without_port(uri).is_some(),
            Self::Service => false,
        };
        // RFC 6749 3.1.2: no fragment.
        possible && !uri.contains('#')
    }

    fn may_ask_for(self, scope: &str) -> bool {
        self != Self::Service || !(scope == OFFLINE_ACCESS || IDENTITY_SCOPES.contains(&scope))
    }
}

/// A registered app.
#[derive(Clone)]
pub struct App {
    /// Its client id.
    pub client_id: String,
    /// What people call it, for the consent page.
    pub name: String,
    /// Its type.
    pub kind: AppType,
    /// There exactly for the types that have one.
    pub secret: Option<String>,
    /// Where codes may be sent.
    pub redirect_uris: BTreeSet<String>,
    /// Where a browser may be sent after signing out.
    pub post_logout_uris: BTreeSet<String>,
    /// The scopes it was granted in the portal; `None`: whatever its type may have.
    pub scopes: Option<Vec<String>>,
    /// The account a service acts as.
    pub acts_as: &'static str,
}

/// Without the secret.
impl fmt::Debug for App {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {}", self.kind, self.client_id)
    }
}

/// An app cannot be registered or changed like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// A secret where the type has none, or none where it needs one.
    #[error("an app of type {0:?} {has} a secret", has = if .0.has_secret() { "needs" } else { "cannot have" })]
    Secret(AppType),
    /// The type does not allow this address.
    #[error("an app of type {0:?} cannot be sent back to {1:?}")]
    RedirectUri(AppType, String),
    /// There is no such app.
    #[error("no app has the client id {0:?}")]
    Unknown(String),
}

impl App {
    /// True where this request may be answered to `uri`.
    pub(super) fn accepts_redirect(&self, uri: &str, knobs: &Knobs) -> bool {
        if self.kind == AppType::Web && knobs.web_needs_https && !uri.starts_with("https://") {
            return false;
        }
        if self.redirect_uris.contains(uri) {
            return true;
        }
        match knobs.redirect_match {
            RedirectMatch::Exact => false,
            RedirectMatch::LoopbackPort => {
                let asked = without_port(uri);
                let mut registered = self.redirect_uris.iter();
                asked.is_some() && registered.any(|known| without_port(known) == asked)
            }
        }
    }

    /// What the app gets of the scopes it asks for; `None` where that is `invalid_scope`.
    pub(super) fn granted(&self, asked: &str, knobs: &Knobs) -> Option<Vec<String>> {
        let mut granted: Vec<String> = Vec::new();
        for scope in asked.split_whitespace() {
            let known = knobs.known_scopes.split_whitespace().any(|one| one == scope);
            let given = match &self.scopes {
                Some(scopes) => scopes.iter().any(|one| one == scope),
                None => true,
            };
            if !(known && given && self.kind.may_ask_for(scope)) {
                return None;
            }
            let ignored = match knobs.offline_access {
                _ if scope != OFFLINE_ACCESS => false,
                OfflineAccess::Granted => false,
                OfflineAccess::Refused => return None,
                OfflineAccess::Ignored => true,
            };
            if !ignored && !granted.iter().any(|one| one == scope) {
                granted.push(scope.to_owned());
            }
        }
        (!granted.is_empty()).then_some(granted)
    }

    fn check(&self) -> Result<(), AppError> {
        if self.secret.as_deref().is_some_and(|text| !text.is_empty()) != self.kind.has_secret() {
            return Err(AppError::Secret(self.kind));
        }
        match self.redirect_uris.iter().find(|uri| !self.kind.may_register(uri)) {
            Some(uri) => Err(AppError::RedirectUri(self.kind, uri.clone())),
            None => Ok(()),
        }
    }
}

/// Host and the rest of a plain-http address of this machine, without its port; `None` for any other address.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) | None => authority,
    };
    LOOPBACK.contains(&host).then_some((host, path))
}

/// The origin of an address, as a browser writes it.
pub(super) fn origin(uri: &str) -> Option<String> {
    let origin = url::Url::parse(uri).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// Every registered app.
pub(super) struct Apps(Mutex<Vec<App>>);

impl Apps {
    pub(super) fn new(apps: Vec<App>) -> Self {
        Self(Mutex::new(apps))
    }

    pub(super) fn get(&self, client_id: &str) -> Option<App> {
        let apps = self.0.lock();
        apps.iter().find(|app| app.client_id == client_id).cloned()
    }

    /// Registers an app, in place of one with the same client id.
    pub(super) fn register(&self, app: App) -> Result<(), AppError> {
        app.check()?;
        let mut apps = self.0.lock();
        apps.retain(|other| other.client_id != app.client_id);
        apps.push(app);
        Ok(())
    }

    /// Adds a redirect URI to every app whose type allows it.
    pub(super) fn register_redirect_uri(&self, uri: &str) {
        for app in self.0.lock().iter_mut() {
            if app.kind.may_register(uri) {
                app.redirect_uris.insert(uri.to_owned());
            }
        }
    }

    pub(super) fn rotate_secret(&self, client_id: &str, secret: &str) -> Result<(), AppError> {
        let mut app = self
            .get(client_id)
            .ok_or_else(|| AppError::Unknown(client_id.to_owned()))?;
        app.secret = Some(secret.to_owned());
        self.register(app)
    }

    /// True where an app in a browser lives at this origin.
    pub(super) fn is_browser_origin(&self, asked: &str) -> bool {
        let apps = self.0.lock();
        let mut browser_apps = apps.iter().filter(|app| app.kind == AppType::Spa);
        browser_apps.any(|app| {
            let mut uris = app.redirect_uris.iter();
            uris.any(|uri| origin(uri).is_some_and(|known| known == asked))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(kind: AppType, secret: Option<&str>, redirect: Option<&str>) -> App {
        App {
            client_id: "one".to_owned(),
            name: "One".to_owned(),
            kind,
            secret: secret.map(str::to_owned),
            redirect_uris: redirect.into_iter().map(str::to_owned).collect(),
            post_logout_uris: BTreeSet::new(),
            scopes: None,
            acts_as: "nobody@example.com",
        }
    }

    #[test]
    fn each_type_has_its_rules_for_secrets_and_addresses() {
        let apps = Apps::new(Vec::new());
        let local = Some("http://127.0.0.1:3301/back");
        let far = Some("https://app.example.com/back");
        for (kind, secret, redirect, good) in [
            (AppType::Native, None, local, true),
            (AppType::Native, None, far, false),
            (AppType::Native, Some("s"), local, false),
            (AppType::Spa, None, far, true),
            (AppType::Spa, None, Some("http://app.example.com/"), false),
            (AppType::Web, Some("s"), local, true),
            (AppType::Web, Some("s"), Some("https://x/#part"), false),
            (AppType::Web, None, far, false),
            (AppType::Service, Some("s"), None, true),
            (AppType::Service, Some("s"), far, false),
        ] {
            let registered = apps.register(app(kind, secret, redirect));
            assert_eq!(registered.is_ok(), good, "{kind:?} {secret:?} {redirect:?}");
        }
    }

    #[test]
    fn a_secret_is_rotated_only_where_there_is_one() {
        let apps = Apps::new(vec![app(AppType::Native, None, None)]);
        assert_eq!(
            apps.rotate_secret("one", "s"),
            Err(AppError::Secret(AppType::Native))
        );
        let unknown = AppError::Unknown("two".to_owned());
        assert_eq!(apps.rotate_secret("two", "s"), Err(unknown));
    }

    #[test]
    fn a_loopback_port_is_free_only_where_the_knob_says_so() {
        let app = app(AppType::Native, None, Some("http://localhost:3301/back"));
        let mut knobs = Knobs::default();
        assert!(!app.accepts_redirect("http://localhost:4000/back", &knobs));
        knobs.redirect_match = RedirectMatch::LoopbackPort;
        assert!(app.accepts_redirect("http://localhost:4000/back", &knobs));
        for other in [
            "http://localhost:4000/elsewhere",
            "http://127.0.0.1:4000/back",
            "https://localhost:4000/back",
            "http://localhost.example.com:3301/back",
            "http://localhost:3301@example.com/back",
        ] {
            assert!(!app.accepts_redirect(other, &knobs), "{other}");
        }
    }
}
