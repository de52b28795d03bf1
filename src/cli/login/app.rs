//! Signing in with an app: through a browser, or as a service.

use std::io;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use url::Url;

use crate::auth::callback::Callback;
use crate::auth::login::{
    DEFAULT_ISSUER, DEFAULT_REDIRECT_URI, DEFAULT_SCOPES, PORTAL, Return, SERVICE_SCOPES, sign_in,
};
use crate::auth::oauth::{App, Endpoints, Provider};
use crate::auth::{AppId, AuthError, AuthKind, CredentialStore, Credentials, service};
use crate::http::Secret;

use super::place::{choose_store, keep};
use super::secret::CLIENT_SECRET;
use super::{
    Ask, Context, Hooks, LoginArgs, LoginCommandError, LoginReport, Question, WhoamiReport, question,
};

/// Signs in with an app of `kind`, and stores the login.
pub(super) async fn login(
    kind: AuthKind,
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
    let is_service = kind == AuthKind::Service;
    let default_scopes = if is_service {
        SERVICE_SCOPES
    } else {
        DEFAULT_SCOPES
    };
    // The scopes of another kind of app are not this one's.
    let same_kind = saved
        .auth
        .is_some_and(|before| before.has_browser() == kind.has_browser());
    let saved_scopes = saved.scopes.clone().filter(|_| same_kind);
    let scopes = choose(&args.scope, &saved_scopes, default_scopes);
    let redirect_uri = choose(&args.redirect_uri, &saved.redirect_uri, DEFAULT_REDIRECT_URI);
    let id = AppId {
        issuer: issuer.as_str().trim_end_matches('/').to_owned(),
        client_id: client_id.clone(),
        scopes: scopes.clone(),
    };

    let mut notes = Vec::new();
    let (store, may_change) = choose_store(args, context, &mut notes).await?;
    let before = store.load().await.unwrap_or_else(|error| {
        // A login that cannot be read is what this command replaces.
        notes.push(error.to_string());
        None
    });
    let before = before.filter(|record| {
        record.app.issuer == id.issuer
            && record.app.client_id == client_id
            && record.kind.has_browser() == kind.has_browser()
    });
    let ClientSecret { secret, is_new } = client_secret(kind, args, before.as_ref(), ask).await?;
    let app = App {
        issuer,
        client_id,
        client_secret: secret,
        redirect_uri: redirect_uri.clone(),
    };

    if is_service {
        let app = App {
            redirect_uri: String::new(),
            ..app
        };
        let record = service::sign_in(context.http, app, &scopes).await?;
        let store = save(context, store, may_change, &mut notes, &record).await?;
        return Ok(report(&store, &record, false, notes));
    }
    if is_new
        && before.as_ref().is_some_and(|record| record.app.matches(&id))
        && let Some(record) = with_new_secret(context, &store, &app, kind).await?
    {
        return Ok(report(&store, &record, false, notes));
    }

    let callback = match Url::parse(&redirect_uri) {
        Ok(url) if url.scheme() == "http" => Some(Callback::bind(&redirect_uri).await?),
        Ok(_) => None,
        Err(error) => {
            return Err(LoginCommandError::Usage(format!(
                "the redirect URI {redirect_uri:?}: {error}"
            )));
        }
    };
    let wanted = if callback.is_some() {
        Question::AddressFromElsewhere
    } else {
        Question::PastedAddress
    };
    let mut paste = || -> BoxFuture<'static, io::Result<String>> {
        ask(wanted)
            .map(|asked| asked?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()))
            .boxed()
    };
    let way_back = match callback {
        Some(callback) => Return::Either(callback, &mut paste),
        None => Return::Paste(&mut paste),
    };
    let record = sign_in(context.http, app, &scopes, way_back, notify)
        .await?
        .of_kind(kind);
    let store = save(context, store, may_change, &mut notes, &record).await?;
    if record.refresh.is_none() {
        notes.push("the app got no refresh token: this login ends when its access token does".to_owned());
    }
    Ok(report(&store, &record, true, notes))
}

fn report(store: &CredentialStore, record: &Credentials, browser: bool, notes: Vec<String>) -> LoginReport {
    LoginReport {
        login: WhoamiReport::of_app(store, record),
        redirect_uri: record.redirect_uri.clone(),
        browser,
        datasource: None,
        notes,
    }
}

async fn save(
    context: &Context<'_>,
    store: CredentialStore,
    may_change: bool,
    notes: &mut Vec<String>,
    record: &Credentials,
) -> Result<CredentialStore, LoginCommandError> {
    keep(context, store, may_change, notes, |store| {
        let record = record.clone();
        async move { store.lock().await?.save(&record).await }.boxed()
    })
    .await
}

struct ClientSecret {
    secret: Option<Secret>,
    /// It was given, and is another one than before.
    is_new: bool,
}

/// The app's secret: as given, else as kept, else as a person says.
async fn client_secret(
    kind: AuthKind,
    args: &LoginArgs,
    before: Option<&Credentials>,
    ask: Ask<'_>,
) -> Result<ClientSecret, LoginCommandError> {
    if !kind.has_secret() {
        return Ok(ClientSecret {
            secret: None,
            is_new: false,
        });
    }
    let given = CLIENT_SECRET
        .given(args.answered.as_ref(), args.client_secret_file.as_deref())
        .await?;
    let kept = before.and_then(|record| record.client_secret.clone());
    let is_new = match (&given, &kept) {
        (Some(given), Some(kept)) => given.expose() != kept.expose(),
        (Some(_), None) => true,
        (None, _) => false,
    };
    let secret = match (given, kept) {
        (Some(secret), _) | (None, Some(secret)) => Some(secret),
        // An app that signed in before without a secret has none.
        (None, None) if before.is_some() => None,
        (None, None) => question(ask, Question::ClientSecret, CLIENT_SECRET.what)
            .await?
            .and_then(|text| CLIENT_SECRET.typed(&text)),
    };
    if secret.is_none() && kind == AuthKind::Service {
        return Err(LoginCommandError::Usage(
            "a service signs in with its Client Secret: give it with --client-secret-file, PWFS_CLIENT_SECRET or the \
             systemd credential pwfs-client-secret"
                .to_owned(),
        ));
    }
    Ok(ClientSecret { secret, is_new })
}

/// Renews the stored login with a new Client Secret; `None` where only the browser helps.
async fn with_new_secret(
    context: &Context<'_>,
    store: &CredentialStore,
    app: &App,
    kind: AuthKind,
) -> Result<Option<Credentials>, LoginCommandError> {
    // Before the lock: others do not wait for a provider that is slow to say where its endpoints are.
    let endpoints = Endpoints::find(context.http, &app.issuer).await?;
    let lock = store.lock().await?;
    let Some(record) = store.load().await? else {
        return Ok(None);
    };
    let mut record = record.of_kind(kind);
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

/// Ends a login at the identity provider; false where there is nothing to end, or no way to.
pub(super) async fn revoke(context: &Context<'_>, record: &Credentials) -> Result<bool, AuthError> {
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
