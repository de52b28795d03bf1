//! `login`, `logout`, `whoami`: the person-facing half of signing in.
//!
//! Nothing is printed here: the commands return reports, and tell and ask through [`Hooks`]. `way` finds out which of
//! the eight ways to sign in is meant; `app` goes those with an iTwin app, `account` the others.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use url::Url;

use crate::auth::login::{LoginError, LoginNotice};
use crate::auth::{AuthError, AuthKind, StoreKind};
use crate::config::Profile;
use crate::daemon::connect::{Account, ConnectionError};
use crate::http::HttpClient;

mod account;
mod app;
mod args;
mod place;
mod report;
mod secret;
mod stdin;
pub mod system;
pub mod terminal;
mod way;

#[cfg(test)]
mod tests;

pub use args::{AppTypeChoice, CredentialsChoice, LoginArgs, LogoutArgs, WhoamiArgs};
pub use report::{LoginReport, LogoutReport, WhoamiReport};

use place::saved_store;

/// What the profile knows of its login; all that a flag may leave out.
#[derive(Debug, Clone, Default)]
pub struct SavedLogin {
    /// How it signs in.
    pub auth: Option<AuthKind>,
    /// The Client ID.
    pub client_id: Option<String>,
    /// The identity provider.
    pub issuer: Option<Url>,
    /// The scopes that worked.
    pub scopes: Option<String>,
    /// The redirect URI.
    pub redirect_uri: Option<String>,
    /// The user's name, where a password is sent.
    pub username: Option<String>,
    /// The file the token is read from.
    pub token_file: Option<PathBuf>,
    /// The datasource, where a password or a token is tried.
    pub datasource: Option<String>,
    /// Where the login is kept.
    pub credentials: Option<StoreKind>,
    /// The whole profile: how its server is spoken to.
    pub profile: Profile,
}

impl SavedLogin {
    /// What a profile of the configuration knows.
    pub fn of(profile: &Profile) -> Result<Self, url::ParseError> {
        let has_login = !profile.auth.has_app() || !profile.client_id.is_empty();
        let app = |text: &String| (profile.auth.has_app() && has_login).then(|| text.clone());
        let issuer = app(&profile.issuer).map(|issuer| Url::parse(&issuer));
        Ok(Self {
            auth: Some(profile.auth),
            client_id: app(&profile.client_id),
            issuer: issuer.transpose()?,
            scopes: app(&profile.scopes.join(" ")),
            redirect_uri: app(&profile.redirect_uri),
            username: profile.username.clone(),
            token_file: profile.token_file.clone(),
            datasource: profile.datasource.clone(),
            // Where nothing is kept, no place was decided on.
            credentials: (has_login && !profile.auth.has_token_file()).then_some(profile.credentials),
            profile: profile.clone(),
        })
    }
}

/// Where a command works.
pub struct Context<'a> {
    /// The client to ask with.
    pub http: &'a HttpClient,
    /// The directory of pwfs's state, such as `~/.local/state/pwfs`.
    pub state_dir: &'a Path,
    /// The profile's name.
    pub profile: &'a str,
    /// What the profile says.
    pub saved: &'a SavedLogin,
}

/// What only a person can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The Client ID. Asked on a terminal only.
    ClientId,
    /// The Client Secret, not echoed; empty for an app without one. Asked on a terminal only.
    ClientSecret,
    /// The account's password, not echoed; empty for the one that is stored. Asked on a terminal only.
    Password,
    /// The address the browser ended at. Read from standard input, terminal or not.
    PastedAddress,
    /// The same, while a port of this machine is listened on, too: for a browser on another one. Asked on a terminal
    /// only, and again after an answer that does not fit. Dropping the future takes the question back.
    AddressFromElsewhere,
}

/// The way to the person.
pub struct Hooks<'a> {
    /// Tells what to do while the login waits: prints the address, and opens the browser unless `--no-browser`.
    pub notify: &'a mut (dyn FnMut(LoginNotice) + Send),
    /// Asks. `None` where nobody can be asked.
    pub ask: Ask<'a>,
}

type Ask<'a> = &'a mut (dyn FnMut(Question) -> BoxFuture<'static, io::Result<Option<String>>> + Send);

/// Why one of the commands failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginCommandError {
    /// Something is missing or cannot be used as it was given.
    #[error("{0}")]
    Usage(String),
    /// The person could not be asked, or a file not read.
    #[error("{what}: {source}")]
    Input {
        /// What was read.
        what: String,
        /// Why it could not be.
        source: io::Error,
    },
    /// The server does not take the login, which was sent once.
    #[error("{0}")]
    Refused(String),
    /// The login could not be tried.
    #[error(transparent)]
    Trial(ConnectionError),
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
}

impl From<AuthError> for LoginCommandError {
    fn from(error: AuthError) -> Self {
        Self::Login(LoginError::Auth(error))
    }
}

/// Signs in, and stores the login.
pub async fn login(
    args: &LoginArgs,
    context: &Context<'_>,
    hooks: Hooks<'_>,
) -> Result<LoginReport, LoginCommandError> {
    if let Some(source) = &args.datasource {
        // Before anybody is asked for anything: it is kept if all goes well.
        let account = Account {
            name: context.profile.to_owned(),
            profile: context.saved.profile.clone(),
            state_dir: context.state_dir.to_owned(),
            pace_dir: None,
        };
        account.link(Some(source)).map_err(LoginCommandError::Trial)?;
    }
    let kind = way::way(args, context.saved)?;
    let report = match kind {
        AuthKind::Web | AuthKind::Native | AuthKind::Spa | AuthKind::Service => {
            app::login(kind, args, context, hooks).await?
        }
        AuthKind::Basic | AuthKind::Windows => account::with_password(kind, args, context, hooks).await?,
        AuthKind::Saml | AuthKind::Bearer => account::with_file(kind, args, context).await?,
    };
    Ok(LoginReport {
        datasource: args.datasource.clone(),
        ..report
    })
}

/// Ends the login, at the identity provider too where that can be done, and forgets it.
pub async fn logout(_args: &LogoutArgs, context: &Context<'_>) -> Result<LogoutReport, LoginCommandError> {
    let auth = context.saved.auth.unwrap_or_default();
    let mut report = LogoutReport {
        profile: context.profile.to_owned(),
        was_signed_in: false,
        revoked: false,
        token_file: None,
        notes: Vec::new(),
    };
    if auth.has_token_file() {
        let file = context.saved.token_file.as_deref();
        report.token_file = file.map(|path| path.display().to_string());
        return Ok(report);
    }
    let store = saved_store(context);
    let lock = store.lock().await?;
    report.was_signed_in = store.holds_something().await;
    if auth.has_app() {
        match store.load().await {
            Ok(None) => {}
            Ok(Some(record)) => match app::revoke(context, &record).await {
                Ok(revoked) => report.revoked = revoked,
                Err(error) => report.notes.push(format!(
                    "the login is forgotten here, but the identity provider could not be told: {error}"
                )),
            },
            // What cannot be read can be forgotten all the same.
            Err(error) => report.notes.push(error.to_string()),
        }
    }
    lock.delete().await?;
    Ok(report)
}

/// Tells who is signed in, from the store or the token's file alone.
pub async fn whoami(_args: &WhoamiArgs, context: &Context<'_>) -> Result<WhoamiReport, LoginCommandError> {
    let auth = context.saved.auth.unwrap_or_default();
    if auth.has_token_file() {
        return account::whoami_file(context, auth).await;
    }
    let store = saved_store(context);
    let found = if auth.has_password() {
        account::whoami_password(&store, auth).await?
    } else {
        let record = store.load().await?;
        record.map(|record| WhoamiReport::of_app(&store, &record))
    };
    found.ok_or_else(|| {
        AuthError::LoginRequired(format!("profile {:?} is not logged in", context.profile)).into()
    })
}

async fn question(ask: Ask<'_>, question: Question, what: &str) -> Result<Option<String>, LoginCommandError> {
    ask(question).await.map_err(|source| LoginCommandError::Input {
        what: what.to_owned(),
        source,
    })
}
