//! What to do next. Some of it depends on the profile, which the layers that fail do not know.

use std::path::PathBuf;

use crate::auth::login::PORTAL;
use crate::auth::{AuthKind, StoreKind};

/// A step that helps, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Told as it is.
    Text(String),
    /// Sign in (again).
    SignIn,
    /// Sign in after a change in the portal: a token keeps the scopes it was given with.
    SignInAnew,
    /// Give the new Client Secret or password.
    NewSecret,
    /// The guide's row of that name.
    InsufficientPermissions,
    /// Have the app whitelisted.
    Whitelist,
    /// The server does not take the login, and does not tell why.
    NotAccepted,
    /// Mend the credential store.
    Store,
    /// Compare what the portal says of the app.
    CompareApp,
}

/// What a profile adds to hints. The default knows nothing: an app of the usual type, without its Client ID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The global flags by which the profile was named, each with a space before it; empty where none was needed.
    pub flags: String,
    /// How it signs in.
    pub auth: AuthKind,
    /// The app's Client ID, where there is one.
    pub client_id: Option<String>,
    /// The file that holds the proof, where one is read from a file.
    pub token_file: Option<PathBuf>,
    /// Where the login is kept, if that is known.
    pub store: Option<StoreKind>,
}

impl From<String> for Hint {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Hint {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The scope of the guide, and where it is enabled.
pub(super) fn enable_scope() -> String {
    format!("enable the projectwise:read scope on the iTwin app ({PORTAL})")
}

impl Hint {
    /// Its lines, for `account`.
    pub(super) fn lines(&self, account: &Account) -> Vec<String> {
        let has_app = account.auth.has_app();
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::SignIn => vec![account.sign_in("")],
            Self::SignInAnew => vec![account.sign_in(", for a login keeps the scopes it was given")],
            Self::NewSecret => account.new_secret(),
            Self::InsufficientPermissions if has_app => vec![format!(
                "insufficient permissions: {}, and let the server's administrator grant datasource-level permission",
                enable_scope()
            )],
            Self::InsufficientPermissions => vec![
                "insufficient permissions: let the server's administrator grant datasource-level permission"
                    .to_owned(),
            ],
            Self::Whitelist if has_app => vec![account.whitelist()],
            Self::Whitelist => Vec::new(),
            Self::NotAccepted => account.not_accepted(),
            Self::CompareApp => {
                let app = account.client_id.as_deref().unwrap_or("you sign in with");
                vec![format!(
                    "compare type, redirect URI and scopes of the app {app} with those in the portal ({PORTAL})"
                )]
            }
            Self::Store => vec![match account.store {
                Some(StoreKind::Keyring) => format!(
                    "unlock the keyring, or keep the login in a file: `pwfs login{} --credentials file`",
                    account.flags
                ),
                Some(StoreKind::File) | None => format!(
                    "replace the login with `pwfs login{} --credentials file`; where permissions or a full disk are \
                     the cause, mend those first",
                    account.flags
                ),
            }],
        }
    }
}

impl Account {
    fn sign_in(&self, why: &str) -> String {
        match (&self.token_file, self.auth.has_token_file()) {
            (Some(file), true) => format!("put a fresh token into {}", file.display()),
            (None, true) => "put a fresh token into the profile's token_file".to_owned(),
            (_, false) => format!("run `pwfs login{}`{why}", self.flags),
        }
    }

    fn new_secret(&self) -> Vec<String> {
        let flags = &self.flags;
        if self.auth.has_password() {
            return vec![format!("run `pwfs login{flags}` and give the new password")];
        }
        vec![
            format!(
                "give the Client Secret of the app ({PORTAL}) with `pwfs login{flags} --client-secret-file FILE`"
            ),
            "an app of type Native or SPA has no secret: sign in without one".to_owned(),
        ]
    }

    fn whitelist(&self) -> String {
        let whom = "if the app is not whitelisted yet, send its Client ID to the ProjectWise administrator";
        match &self.client_id {
            Some(id) => format!("{whom}: {id}"),
            None => whom.to_owned(),
        }
    }

    fn not_accepted(&self) -> Vec<String> {
        if self.auth.has_app() {
            return vec![
                self.whitelist(),
                "if it is, the account may be unknown there: let the ProjectWise administrator give it a ProjectWise user; \
                 `pwfs whoami` shows who is signed in"
                    .to_owned(),
            ];
        }
        if self.auth.has_password() {
            return vec![format!(
                "check the user name and the password: `pwfs login{}` asks for them again",
                self.flags
            )];
        }
        vec![self.sign_in("")]
    }
}
