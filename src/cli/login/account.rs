//! Signing in with an account of one's own server: a name and its password, or a token that is kept in a file.
//!
//! There is no identity provider to ask, so the datasource is: once, since a wrong password that is repeated locks the
//! account. Where no datasource is known, the login is kept untried, and said to be.

use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use jiff::Timestamp;

use crate::auth::{AuthError, AuthKind, CredentialStore, PasswordLogin, TokenSource};
use crate::daemon::connect::{Account, ConnectionError};
use crate::http::Secret;
use crate::remote::RemoteError;
use crate::remote::wsg::ConnectError;

use super::place::{choose_store, forget, keep, saved_store};
use super::secret::PASSWORD;
use super::{
    Ask, Context, Hooks, LoginArgs, LoginCommandError, LoginReport, Question, WhoamiReport, question,
};

/// Signs in with a name and password, and stores them if the server takes them.
pub(super) async fn with_password(
    kind: AuthKind,
    args: &LoginArgs,
    context: &Context<'_>,
    hooks: Hooks<'_>,
) -> Result<LoginReport, LoginCommandError> {
    let saved = context.saved;
    let usage = |text: &str| Err(LoginCommandError::Usage(text.to_owned()));
    let Some(username) = args.username.as_ref().or(saved.username.as_ref()) else {
        return usage("a login with a password needs the account's name: give it with --username");
    };
    let username = username.trim();
    if username.is_empty() || username.contains(':') || username.chars().any(char::is_control) {
        // A colon ends the name on its way to the server (RFC 7617, 2).
        return usage("an account's name is not empty, and has no colon in it");
    }
    let mut notes = Vec::new();
    if kind == AuthKind::Windows && !username.contains(['\\', '@']) {
        notes.push(format!(
            "{username} names no domain; Windows accounts are most often called DOMAIN\\name"
        ));
    }
    let (store, may_change) = choose_store(args, context, &mut notes).await?;
    let before = store.load_password().await.unwrap_or_else(|error| {
        // A login that cannot be read is what this command replaces.
        notes.push(error.to_string());
        None
    });
    let before = before.filter(|login| login.kind == kind && login.username == username);
    let password = password(args, before, hooks.ask).await?;
    let login = PasswordLogin::new(kind, username, password, Timestamp::now());
    let tokens = TokenSource::given(login.authorization(), login.identity());
    let what = format!("the password of {username}");
    try_once(args, context, tokens, Some(&what), &mut notes).await?;
    let store = keep(context, store, may_change, &mut notes, |store| {
        let login = login.clone();
        async move { store.lock().await?.save_password(&login).await }.boxed()
    })
    .await?;
    Ok(LoginReport {
        login: WhoamiReport::of_password(&store, &login),
        redirect_uri: String::new(),
        browser: false,
        datasource: None,
        notes,
    })
}

/// The password: as given, else as a person says, else as it is stored.
async fn password(
    args: &LoginArgs,
    before: Option<PasswordLogin>,
    ask: Ask<'_>,
) -> Result<Secret, LoginCommandError> {
    if let Some(given) = PASSWORD
        .given(args.answered.as_ref(), args.password_file.as_deref())
        .await?
    {
        return Ok(given);
    }
    let typed = question(ask, Question::Password, PASSWORD.what)
        .await?
        .and_then(|text| PASSWORD.typed(&text));
    // To say the stored one again is how a person says that the account was unlocked.
    typed.or(before.map(|login| login.password)).ok_or_else(|| {
        LoginCommandError::Usage(
            "the account's password is missing: give it with --password-file, PWFS_PASSWORD or the systemd credential \
             pwfs-password"
                .to_owned(),
        )
    })
}

/// Signs in with the token in a file. Nothing is stored but where it is.
pub(super) async fn with_file(
    kind: AuthKind,
    args: &LoginArgs,
    context: &Context<'_>,
) -> Result<LoginReport, LoginCommandError> {
    let flag = match kind {
        AuthKind::Saml => args.saml_file.as_ref(),
        _ => args.token_file.as_ref(),
    };
    let Some(path) = flag.or(context.saved.token_file.as_ref()) else {
        return Err(LoginCommandError::Usage(
            "a login with a token needs the file it is in: give it with --token-file, or --saml-file"
                .to_owned(),
        ));
    };
    // A mount may run elsewhere. A link in the path stays one: it may be how the token is replaced.
    let path = std::path::absolute(path).map_err(|source| LoginCommandError::Input {
        what: path.display().to_string(),
        source,
    })?;
    let Some(shown) = path.to_str() else {
        return Err(LoginCommandError::Usage(format!(
            "{} cannot be kept in the profile: its name is no text",
            path.display()
        )));
    };
    let mut notes = Vec::new();
    let tokens = TokenSource::of_file(kind, Some(path.clone()));
    let identity = tokens.identity().await.map_err(|error| match error {
        // What is wrong with the file is not mended by another login.
        AuthError::LoginRequired(words) => LoginCommandError::Usage(words),
        error => error.into(),
    })?;
    if let Some(note) = open_to_others(&path).await {
        notes.push(note);
    }
    try_once(args, context, tokens.clone(), None, &mut notes).await?;
    let store = saved_store(context);
    if context.saved.auth.is_some_and(|auth| !auth.has_token_file()) && store.holds_something().await {
        notes.push("the login that was stored before is forgotten".to_owned());
        forget(&store, &mut notes).await;
    }
    Ok(LoginReport {
        login: WhoamiReport {
            expires: tokens.ends().await?,
            ..WhoamiReport::of_file(context.profile, kind, shown, &identity)
        },
        redirect_uri: String::new(),
        browser: false,
        datasource: None,
        notes,
    })
}

/// What to say of a file that others can read; the token in it is as good as a password.
async fn open_to_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = tokio::fs::metadata(path).await.ok()?.permissions().mode();
    (mode & 0o044 != 0).then(|| {
        format!(
            "others can read {} (mode {:04o}); whoever reads it is signed in, too",
            path.display(),
            mode & 0o7777
        )
    })
}

/// Shows the login to the datasource. `what` it is, where the words of a refusal do not say it.
async fn try_once(
    args: &LoginArgs,
    context: &Context<'_>,
    tokens: TokenSource,
    what: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(), LoginCommandError> {
    let saved = context.saved;
    let Some(source) = args.datasource.as_deref().or(saved.datasource.as_deref()) else {
        notes.push(
            "the login was not tried, as no datasource is known: give its URL with --datasource".to_owned(),
        );
        return Ok(());
    };
    let account = Account {
        name: context.profile.to_owned(),
        profile: saved.profile.clone(),
        state_dir: PathBuf::from(context.state_dir),
        // The client is there already.
        pace_dir: None,
    };
    let outcome = account
        .connect_as(context.http.clone(), tokens, Some(source))
        .await;
    match outcome {
        Ok(_) => Ok(()),
        Err(ConnectionError::Connect(ConnectError::Remote(RemoteError::LoginRequired(words)))) => {
            Err(LoginCommandError::Refused(match what {
                Some(what) => format!("{what} is not taken, and not stored: {words}"),
                None => words.to_string(),
            }))
        }
        Err(error) => Err(LoginCommandError::Trial(error)),
    }
}

/// Who the profile's password is of, and whether a server refuses it.
pub(super) async fn whoami_password(
    store: &CredentialStore,
    kind: AuthKind,
) -> Result<Option<WhoamiReport>, LoginCommandError> {
    let Some(login) = store.load_password().await? else {
        return Ok(None);
    };
    let tokens = TokenSource::of_password(store.clone(), kind, None);
    // Reads what servers said, and sends nothing.
    tokens.identity().await?;
    let health = tokens.health().borrow().clone();
    Ok(Some(WhoamiReport {
        refused: (!health.detail.is_empty()).then_some(health.detail),
        ..WhoamiReport::of_password(store, &login)
    }))
}

/// Whose token the profile's file holds.
pub(super) async fn whoami_file(
    context: &Context<'_>,
    kind: AuthKind,
) -> Result<WhoamiReport, LoginCommandError> {
    let path = context.saved.token_file.clone();
    let tokens = TokenSource::of_file(kind, path.clone());
    let identity = tokens.identity().await?;
    let shown = path.map(|path| path.display().to_string()).unwrap_or_default();
    Ok(WhoamiReport {
        expires: tokens.ends().await?,
        ..WhoamiReport::of_file(context.profile, kind, &shown, &identity)
    })
}
