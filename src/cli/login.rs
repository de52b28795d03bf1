//! `login`, `logout`, `whoami`: the person-facing half of OAuth.
//!
//! Nothing is printed here: the commands return reports, and tell and ask through [`Hooks`].

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use url::Url;

use crate::auth::callback::Callback;
use crate::auth::login::{
    DEFAULT_ISSUER, DEFAULT_REDIRECT_URI, DEFAULT_SCOPES, LoginError, LoginNotice, PORTAL, Return, sign_in,
};
use crate::auth::oauth::{App, Endpoints, Provider};
use crate::auth::{AppId, AuthError, CredentialStore, Credentials, StoreKind};
use crate::http::{HttpClient, Secret};

/// Sign in with your own iTwin app
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LoginArgs {
    /// Client ID of your app, from the iTwin Developer Portal
    #[arg(long, value_name = "ID", env = "PWFS_CLIENT_ID")]
    pub client_id: Option<String>,
    /// File that holds the Client Secret, if the app has one (or set `PWFS_CLIENT_SECRET`)
    #[arg(long, value_name = "FILE", env = "PWFS_CLIENT_SECRET_FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Identity provider.
    #[arg(
        long,
        value_name = "URL",
        env = "PWFS_ISSUER",
        help = "Identity provider [default: https://ims.bentley.com]"
    )]
    pub issuer: Option<Url>,
    /// Scopes to ask for, separated by spaces.
    #[arg(
        long,
        value_name = "SCOPES",
        env = "PWFS_SCOPE",
        help = "Scopes to ask for, separated by spaces [default: projectwise:read offline_access]"
    )]
    pub scope: Option<String>,
    /// Redirect URI, exactly as registered.
    #[arg(
        long,
        value_name = "URI",
        env = "PWFS_REDIRECT_URI",
        help = "Redirect URI, exactly as registered [default: http://localhost:3301/signin-callback]"
    )]
    pub redirect_uri: Option<String>,
    /// Print the address to open instead of opening a browser
    #[arg(long, env = "PWFS_NO_BROWSER", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub no_browser: bool,
    /// Where to keep the login
    #[arg(long, value_enum, value_name = "WHERE", env = "PWFS_CREDENTIALS")]
    pub credentials: Option<CredentialsChoice>,
}

/// End the login and forget it
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogoutArgs {}

/// Show who is signed in
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WhoamiArgs {}

/// The choice of `--credentials`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CredentialsChoice {
    /// The keyring if it works, else a file
    Auto,
    /// The keyring of the desktop
    Keyring,
    /// A file that only you can read
    File,
}

/// What the profile knows of its login; all that a flag may leave out.
#[derive(Debug, Clone, Default)]
pub struct SavedLogin {
    /// The Client ID.
    pub client_id: Option<String>,
    /// The identity provider.
    pub issuer: Option<Url>,
    /// The scopes that worked.
    pub scopes: Option<String>,
    /// The redirect URI.
    pub redirect_uri: Option<String>,
    /// Where the login is kept.
    pub credentials: Option<StoreKind>,
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
    /// The address the browser ended at. Read from standard input, terminal or not.
    PastedAddress,
}

/// The way to the person.
pub struct Hooks<'a> {
    /// Tells what to do while the login waits: prints the address, and opens the browser unless `--no-browser`.
    pub notify: &'a mut (dyn FnMut(LoginNotice) + Send),
    /// Asks. `None` where nobody can be asked.
    pub ask: &'a mut (dyn FnMut(Question) -> BoxFuture<'static, io::Result<Option<String>>> + Send),
}

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
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
}

impl From<AuthError> for LoginCommandError {
    fn from(error: AuthError) -> Self {
        Self::Login(LoginError::Auth(error))
    }
}

/// How a login went. The caller keeps `app`, `redirect_uri` and `credentials` in the profile.
#[derive(Debug, Clone, Serialize)]
pub struct LoginReport {
    /// The state after it.
    #[serde(flatten)]
    pub login: WhoamiReport,
    /// The redirect URI that worked.
    pub redirect_uri: String,
    /// False where a new Client Secret was enough.
    pub browser: bool,
    /// What else the person should know.
    pub notes: Vec<String>,
}

/// Who is signed in.
#[derive(Debug, Clone, Serialize)]
pub struct WhoamiReport {
    /// The profile.
    pub profile: String,
    /// The account's name, where the token tells.
    pub name: Option<String>,
    /// The e-mail address, where the token tells.
    pub email: Option<String>,
    /// The account's id, where the token tells.
    pub subject: Option<String>,
    /// The identity provider.
    pub issuer: String,
    /// The Client ID.
    pub client_id: String,
    /// The scopes granted.
    pub scopes: String,
    /// When the present access token ends.
    pub expires: Timestamp,
    /// True where it is renewed without a person.
    pub renews: bool,
    /// `keyring` or `file`.
    pub credentials: String,
    /// The place itself.
    pub stored_in: String,
}

/// How a logout went.
#[derive(Debug, Clone, Serialize)]
pub struct LogoutReport {
    /// The profile.
    pub profile: String,
    /// False where there was nothing to end.
    pub was_signed_in: bool,
    /// True where the identity provider ended the login too.
    pub revoked: bool,
    /// What else the person should know.
    pub notes: Vec<String>,
}

/// Signs in, and stores the login.
pub async fn login(
    args: &LoginArgs,
    context: &Context<'_>,
    hooks: Hooks<'_>,
) -> Result<LoginReport, LoginCommandError> {
    let Hooks { notify, ask } = hooks;
    let saved = context.saved;
    let client_id = match args.client_id.clone().or_else(|| saved.client_id.clone()) {
        Some(id) => id,
        None => question(ask, Question::ClientId, "the Client ID")
            .await?
            .unwrap_or_default(),
    };
    let client_id = client_id.trim().to_owned();
    if client_id.is_empty() {
        return Err(LoginCommandError::Usage(format!(
            "a login needs the Client ID of your app: register one at {PORTAL} and give it with --client-id"
        )));
    }
    let issuer = match args.issuer.clone().or_else(|| saved.issuer.clone()) {
        Some(issuer) => issuer,
        None => Url::parse(DEFAULT_ISSUER)
            .map_err(|error| LoginCommandError::Usage(format!("the issuer {DEFAULT_ISSUER}: {error}")))?,
    };
    let choose = |flag: &Option<String>, kept: &Option<String>, default: &str| {
        flag.clone()
            .or_else(|| kept.clone())
            .unwrap_or_else(|| default.to_owned())
    };
    let scopes = choose(&args.scope, &saved.scopes, DEFAULT_SCOPES);
    let redirect_uri = choose(&args.redirect_uri, &saved.redirect_uri, DEFAULT_REDIRECT_URI);
    let id = AppId {
        issuer: issuer.as_str().trim_end_matches('/').to_owned(),
        client_id: client_id.clone(),
        scopes: scopes.clone(),
    };

    let mut notes = Vec::new();
    let (mut store, may_change) = choose_store(args, context, &mut notes).await?;
    let before = store.load().await.unwrap_or_else(|error| {
        // A login that cannot be read is what this command replaces.
        notes.push(error.to_string());
        None
    });
    let before = before.filter(|record| record.app.issuer == id.issuer && record.app.client_id == client_id);

    let given = given_secret(args).await?;
    let kept = before.as_ref().and_then(|record| record.client_secret.clone());
    let secret = match (&given, &kept) {
        (Some(secret), _) | (None, Some(secret)) => Some(secret.clone()),
        // An app that signed in before without a secret has none.
        (None, None) if before.is_some() => None,
        (None, None) => question(ask, Question::ClientSecret, "the Client Secret")
            .await?
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .map(Secret::new),
    };
    let app = App {
        issuer,
        client_id,
        client_secret: secret,
        redirect_uri: redirect_uri.clone(),
    };

    let is_new = match (&given, &kept) {
        (Some(given), Some(kept)) => given.expose() != kept.expose(),
        (Some(_), None) => true,
        (None, _) => false,
    };
    if is_new
        && before.as_ref().is_some_and(|record| record.app.matches(&id))
        && let Some(record) = with_new_secret(context, &store, &app).await?
    {
        return Ok(LoginReport {
            login: WhoamiReport::new(&store, &record),
            redirect_uri,
            browser: false,
            notes,
        });
    }

    let way_back = match Url::parse(&redirect_uri) {
        Ok(url) if url.scheme() == "http" => Some(Callback::bind(&redirect_uri).await?),
        Ok(_) => None,
        Err(error) => {
            return Err(LoginCommandError::Usage(format!(
                "the redirect URI {redirect_uri:?}: {error}"
            )));
        }
    };
    let mut paste = || -> BoxFuture<'static, io::Result<String>> {
        let asked = ask(Question::PastedAddress);
        Box::pin(async move { asked.await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()) })
    };
    let way_back = match way_back {
        Some(callback) => Return::Loopback(callback),
        None => Return::Paste(&mut paste),
    };
    let record = sign_in(context.http, app, &scopes, way_back, notify).await?;

    if let Err(error) = store.lock().await?.save(&record).await {
        if !may_change || store.kind() == StoreKind::File {
            return Err(error.into());
        }
        notes.push(format!("{error}; the login is kept in a file instead"));
        store = CredentialStore::new(StoreKind::File, context.state_dir, context.profile);
        store.lock().await?.save(&record).await?;
    }
    forget_elsewhere(context, store.kind(), &mut notes).await;
    if record.refresh.is_none() {
        notes.push("the app got no refresh token: this login ends when its access token does".to_owned());
    }
    Ok(LoginReport {
        login: WhoamiReport::new(&store, &record),
        redirect_uri: record.redirect_uri.clone(),
        browser: true,
        notes,
    })
}

/// Ends the login, at the identity provider too where that can be done, and forgets it.
pub async fn logout(_args: &LogoutArgs, context: &Context<'_>) -> Result<LogoutReport, LoginCommandError> {
    let store = saved_store(context);
    let lock = store.lock().await?;
    let mut report = LogoutReport {
        profile: context.profile.to_owned(),
        was_signed_in: true,
        revoked: false,
        notes: Vec::new(),
    };
    match store.load().await {
        Ok(None) => report.was_signed_in = false,
        Ok(Some(record)) => match revoke(context, &record).await {
            Ok(revoked) => report.revoked = revoked,
            Err(error) => report.notes.push(format!(
                "the login is forgotten here, but the identity provider could not be told: {error}"
            )),
        },
        // What cannot be read can be forgotten all the same.
        Err(error) => report.notes.push(error.to_string()),
    }
    lock.delete().await?;
    Ok(report)
}

/// Tells who is signed in, from the store alone.
pub async fn whoami(_args: &WhoamiArgs, context: &Context<'_>) -> Result<WhoamiReport, LoginCommandError> {
    let store = saved_store(context);
    match store.load().await? {
        Some(record) => Ok(WhoamiReport::new(&store, &record)),
        None => {
            Err(AuthError::LoginRequired(format!("profile {:?} is not logged in", context.profile)).into())
        }
    }
}

impl WhoamiReport {
    fn new(store: &CredentialStore, record: &Credentials) -> Self {
        Self {
            profile: store.profile().to_owned(),
            name: record.identity.name.clone(),
            email: record.identity.email.clone(),
            subject: record.identity.subject.clone(),
            issuer: record.app.issuer.clone(),
            client_id: record.app.client_id.clone(),
            scopes: record.app.scopes.clone(),
            expires: record.expires,
            renews: record.refresh.is_some(),
            credentials: store.kind().to_string(),
            stored_in: store.describe(),
        }
    }

    /// The report for people, several lines. It holds text of servers: escape it for a terminal.
    pub fn text(&self) -> String {
        let who = match (&self.name, &self.email, &self.subject) {
            (Some(name), Some(email), _) => format!("{name} <{email}>"),
            (Some(only), None, _) | (None, Some(only), _) | (None, None, Some(only)) => only.clone(),
            (None, None, None) => "an account the token does not name".to_owned(),
        };
        let mut text = format!("Signed in as {who}\n");
        let ends = if self.renews {
            "renews itself"
        } else {
            "ends, and needs a new login,"
        };
        // Writing to a String cannot fail.
        write!(
            text,
            "  profile    {}\n  provider   {}\n  app        {}\n  scopes     {}\n  token      {ends} at {}\n  kept in    {}",
            self.profile,
            self.issuer,
            self.client_id,
            self.scopes,
            self.expires.strftime("%Y-%m-%d %H:%M UTC"),
            self.stored_in
        )
        .expect("writing to a String cannot fail");
        text
    }
}

/// Opens `url` in the person's browser, without waiting for it; false where there is no opener.
pub fn open_browser(url: &Url) -> bool {
    use std::process::{Command, Stdio};
    let opener = Command::new("xdg-open")
        .arg(url.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match opener {
        Ok(mut child) => {
            // Some openers live as long as the browser does. The thread only collects the child's end.
            std::thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}

type Ask<'a> = &'a mut (dyn FnMut(Question) -> BoxFuture<'static, io::Result<Option<String>>> + Send);

async fn question(ask: Ask<'_>, question: Question, what: &str) -> Result<Option<String>, LoginCommandError> {
    ask(question).await.map_err(|source| LoginCommandError::Input {
        what: what.to_owned(),
        source,
    })
}

/// The secret of the file or the environment. Never of an argument: those are for all to see.
async fn given_secret(args: &LoginArgs) -> Result<Option<Secret>, LoginCommandError> {
    let text = match &args.client_secret_file {
        Some(path) => tokio::fs::read_to_string(path)
            .await
            .map_err(|source| LoginCommandError::Input {
                what: path.display().to_string(),
                source,
            })?,
        None => match environment_secret() {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    let secret = text.trim();
    if secret.is_empty() {
        return Err(LoginCommandError::Usage(
            "the Client Secret that was given is empty".to_owned(),
        ));
    }
    Ok(Some(Secret::new(secret)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line is where the environment is read"
)]
fn environment_secret() -> Option<String> {
    std::env::var("PWFS_CLIENT_SECRET").ok()
}

fn saved_store(context: &Context<'_>) -> CredentialStore {
    // Where no login has recorded a kind, there is none in the keyring either.
    let kind = context.saved.credentials.unwrap_or(StoreKind::File);
    CredentialStore::new(kind, context.state_dir, context.profile)
}

/// The store for a new login, and whether another may be taken if it fails.
async fn choose_store(
    args: &LoginArgs,
    context: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<(CredentialStore, bool), LoginCommandError> {
    let make = |kind| CredentialStore::new(kind, context.state_dir, context.profile);
    match (args.credentials, context.saved.credentials) {
        (Some(CredentialsChoice::File), _) | (None, Some(StoreKind::File)) => {
            Ok((make(StoreKind::File), false))
        }
        (Some(CredentialsChoice::Keyring), _) | (None, Some(StoreKind::Keyring)) => {
            let store = make(StoreKind::Keyring);
            // Before the browser opens rather than after.
            store.reach().await?;
            Ok((store, false))
        }
        (Some(CredentialsChoice::Auto), _) | (None, None) => {
            let store = make(StoreKind::Keyring);
            match store.reach().await {
                Ok(()) => Ok((store, true)),
                Err(error) => {
                    notes.push(format!("{error}; the login is kept in a file instead"));
                    Ok((make(StoreKind::File), true))
                }
            }
        }
    }
}

/// Renews the stored login with a new Client Secret; `None` where only the browser helps.
async fn with_new_secret(
    context: &Context<'_>,
    store: &CredentialStore,
    app: &App,
) -> Result<Option<Credentials>, LoginCommandError> {
    // Before the lock: others do not wait for a provider that is slow to say where its endpoints are.
    let endpoints = Endpoints::find(context.http, &app.issuer).await?;
    let lock = store.lock().await?;
    let Some(mut record) = store.load().await? else {
        return Ok(None);
    };
    let Some(refresh) = &record.refresh else {
        return Ok(None);
    };
    // The refresh may use up the token that is stored: a store that takes nothing must be known before.
    lock.save(&record).await?;
    let mut app = app.clone();
    app.redirect_uri.clone_from(&record.redirect_uri);
    let provider = Provider::new(context.http, endpoints, app)?;
    let now = Timestamp::now();
    match provider.refresh(refresh).await {
        Ok(tokens) => {
            record.client_secret.clone_from(&provider.app().client_secret);
            record.renew(tokens, now);
            if let Err(error) = lock.save(&record).await {
                tracing::warn!(%error, "the renewed login could not be stored; trying once more");
                lock.save(&record).await?;
            }
            Ok(Some(record))
        }
        Err(AuthError::LoginRequired(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One profile, one store: an old login elsewhere would replay a refresh token that is used up.
async fn forget_elsewhere(context: &Context<'_>, kept: StoreKind, notes: &mut Vec<String>) {
    let other = match (kept, context.saved.credentials) {
        (StoreKind::Keyring, _) => StoreKind::File,
        (StoreKind::File, Some(StoreKind::Keyring)) => StoreKind::Keyring,
        // No login was ever recorded there, and asking a keyring that does not work costs seconds.
        (StoreKind::File, Some(StoreKind::File) | None) => return,
    };
    let other = CredentialStore::new(other, context.state_dir, context.profile);
    let forgotten = async { other.lock().await?.delete().await };
    if let Err(error) = forgotten.await {
        notes.push(format!(
            "an older login may remain in {}: {error}",
            other.describe()
        ));
    }
}

async fn revoke(context: &Context<'_>, record: &Credentials) -> Result<bool, AuthError> {
    let Some(refresh) = &record.refresh else {
        return Ok(false);
    };
    let issuer = Url::parse(&record.app.issuer)
        .map_err(|error| AuthError::Store(format!("the stored login names no identity provider: {error}")))?;
    let app = App {
        issuer,
        client_id: record.app.client_id.clone(),
        client_secret: record.client_secret.clone(),
        redirect_uri: record.redirect_uri.clone(),
    };
    Provider::discover(context.http, app).await?.revoke(refresh).await
}

pub mod terminal;

#[cfg(test)]
mod tests;
