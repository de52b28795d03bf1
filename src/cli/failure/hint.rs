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
    /// Compare the Client ID, and what the app is registered for.
    CompareId,
    /// The same as [`Hint::CompareApp`], where the identity provider showed a page of its own and nothing came back (RFC 6749, 4.1.2.1).
    ErrorPage,
    /// Have the account unlocked.
    Unlock,
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

/// The commands that ask for a profile; each is told with the flags that name it.
const OF_A_PROFILE: [&str; 5] = ["login", "whoami", "datasources", "folders", "tree"];

impl Hint {
    /// Its lines, for `account`.
    pub(super) fn lines(&self, account: &Account) -> Vec<String> {
        let mut lines = self.told(account);
        for line in &mut lines {
            for command in OF_A_PROFILE {
                let plain = format!("`pwfs {command}");
                *line = line.replace(&plain, &format!("{plain}{}", account.flags));
            }
        }
        lines
    }

    fn told(&self, account: &Account) -> Vec<String> {
        let has_app = account.auth.has_app();
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::SignIn => vec![account.sign_in("")],
            Self::SignInAnew => vec![account.sign_in(", for a login keeps the scopes it was given")],
            Self::NewSecret if account.auth.has_password() => one("run `pwfs login` and give the new password"),
            Self::NewSecret => vec![
                format!(
                    "give the Client Secret of the app ({PORTAL}) with `pwfs login --client-secret-file FILE`"
                ),
                "an app of type Native or SPA has no secret: sign in without one".to_owned(),
            ],
            Self::InsufficientPermissions if has_app => vec![format!(
                "insufficient permissions: {}, and let the server's administrator grant datasource-level permission",
                enable_scope()
            )],
            Self::InsufficientPermissions => {
                one("insufficient permissions: let the server's administrator grant datasource-level permission")
            }
            Self::Whitelist if has_app => vec![account.whitelist()],
            Self::Whitelist => Vec::new(),
            Self::NotAccepted if has_app => vec![
                account.whitelist(),
                "if it is, the account may be unknown there: let the ProjectWise administrator give it a ProjectWise user; \
                 `pwfs whoami` shows who is signed in"
                    .to_owned(),
            ],
            Self::NotAccepted if account.auth.has_password() => {
                one("check the user name and the password: `pwfs login` asks for them again")
            }
            Self::NotAccepted => vec![account.sign_in("")],
            Self::CompareApp => vec![format!(
                "compare type, redirect URI and scopes of the app {} with those in the portal ({PORTAL})",
                account.app()
            )],
            Self::CompareId => vec![format!(
                "compare the Client ID of the app {} with that in the portal ({PORTAL}), and see that it is registered for \
                 the iTwins API",
                account.app()
            )],
            Self::ErrorPage => vec![format!(
                "if the browser showed an error instead of a sign-in, compare Client ID and redirect URI of the app {} with \
                 those in the portal ({PORTAL}): they must be the same to the letter",
                account.app()
            )],
            Self::Unlock => {
                one("ask the ProjectWise administrator to unlock the account, then run `pwfs login`")
            }
            Self::Store => one(match account.store {
                Some(StoreKind::Keyring) => {
                    "unlock the keyring, or keep the login in a file: `pwfs login --credentials file`"
                }
                Some(StoreKind::File) | None => {
                    "replace the login with `pwfs login --credentials file`; where permissions or a full disk are the \
                     cause, mend those first"
                }
            }),
        }
    }
}

impl Account {
    fn app(&self) -> &str {
        self.client_id.as_deref().unwrap_or("you sign in with")
    }

    fn sign_in(&self, why: &str) -> String {
        match (&self.token_file, self.auth.has_token_file()) {
            (Some(file), true) => format!("put a fresh token into {}", file.display()),
            (None, true) => "put a fresh token into the profile's token_file".to_owned(),
            (_, false) => format!("run `pwfs login`{why}"),
        }
    }

    fn whitelist(&self) -> String {
        let whom = "if the app is not whitelisted yet, send its Client ID to the ProjectWise administrator";
        match &self.client_id {
            Some(id) => format!("{whom}: {id}"),
            None => whom.to_owned(),
        }
    }
}
