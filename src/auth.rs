//! Tokens: load, hand out, refresh once for all callers and processes, store safely.
//!
//! Handing out a token is simple until you consider that:
//! 1. a hundred requests may find it ended at once, in several processes, and a refresh token works once;
//! 2. a refresh whose answer is lost loses the login, so nobody's impatience may cut it off;
//! 3. an identity provider that cannot be reached says nothing about the login;
//! 4. a person may log in again, as somebody else too, while a mount runs.
//!
//! [`TokenSource`] answers 1 with one async lock here and the store's file lock between processes, 2 by refreshing in a
//! task that no caller owns and storing before anything is used, 3 by keeping [`AuthError::Unreachable`] apart from
//! [`AuthError::LoginRequired`] to the end, and 4 by comparing the store's stamp and the account.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;
use url::Url;

use crate::http::{HttpClient, HttpError, Secret};

pub mod callback;
pub mod credentials;
pub mod health;
mod keyring;
pub mod kind;
pub mod login;
pub mod oauth;
pub mod renewals;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use credentials::{AppId, Credentials, Identity};
pub use health::{LoginHealth, LoginState};
pub use kind::AuthKind;
pub use store::{CredentialStore, StoreKind};

use health::HealthBoard;
pub use oauth::OauthError;
use oauth::{App, Endpoints, Provider};
use renewals::UnderWay;
use store::{Stamp, StoreLock};

/// Hands out the login's access token; cheap to clone.
#[derive(Clone)]
pub struct TokenSource(Arc<Source>);

enum Source {
    Fixed(Authorization, Identity),
    Login(Box<Login>),
}

/// What a request carries to say who asks. Two of equal header are the same to every server.
#[derive(Debug, Clone)]
pub struct Authorization(Arc<Proof>);

#[derive(Debug)]
struct Proof {
    /// The whole value of the Authorization header.
    header: Secret,
    /// What the gateway must be told of the kind of account (projectwise-api 1.10).
    connection_info: Option<&'static str>,
}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// Only a person can mend it: never logged in, or the refresh token is dead.
    #[error("{0}")]
    LoginRequired(String),
    /// The client secret (`invalid_client`) or the password is refused; a new one heals it without a browser.
    #[error("{0}")]
    SecretRequired(String),
    /// A server has locked the account after too many bad logins. Nothing is sent until there is another login.
    #[error("{0}")]
    LockedOut(String),
    /// The identity provider could not be asked. Never means that the login is over.
    #[error("the identity provider cannot be reached: {0}")]
    Unreachable(#[from] HttpError),
    /// The identity provider answered something that cannot be used.
    #[error("the identity provider's answer cannot be used: {0}")]
    Protocol(String),
    /// The identity provider refuses the request, whoever makes it: for the app's sake, or for its own.
    #[error("the identity provider {}: {words}", .error.verb())]
    Refused {
        /// Which refusal it is.
        error: OauthError,
        /// The provider's words, its code first.
        words: String,
    },
    /// The credential store failed.
    #[error("{0}")]
    Store(String),
}

/// The tokens of a stored login.
struct Login {
    http: HttpClient,
    store: CredentialStore,
    app: AppId,
    /// Held by the one task that renews the token, across its awaits.
    renewing: Arc<tokio::sync::Mutex<()>>,
    health: HealthBoard,
    /// Never held across an await.
    state: parking_lot::Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Held>,
    /// The account this source has handed out tokens of; it never changes.
    account: Option<String>,
    /// The login whose tokens were handed out last; tells it from a new one where no token names an account.
    login: Option<String>,
    failure: Option<Failed>,
    /// A renewed login that could not be stored: the only copy of its refresh token.
    unsaved: Option<Arc<Unsaved>>,
    /// When a rejected token was last replaced.
    replaced: Option<Instant>,
}

struct Held {
    bearer: Authorization,
    record: Credentials,
    rejected: bool,
}

struct Unsaved {
    record: Credentials,
    /// The access token of the stored login it continues. Another one there is a newer login, and stays.
    continues: Secret,
    /// Until it is stored, nobody else may use the old refresh token, which is dead.
    lock: StoreLock,
}

struct Failed {
    error: AuthError,
    /// The store before the attempt that failed.
    stamp: Stamp,
    at: Instant,
}

/// What is known without asking anybody.
enum AtHand {
    /// This is the answer.
    Answer(Result<Authorization, AuthError>),
    /// Good still, and worth renewing now.
    Due(Authorization),
    /// Somebody must be asked.
    Nothing,
}

/// For so long a failure is the answer to all: the kernel repeats a failed call at once, up to three times (design 2.7).
const FAILURE_REMEMBERED: Duration = Duration::from_secs(2);

/// A provider that refuses the refresh itself (`unauthorized_client`, say) waits for its administrator, not for us. Short
/// enough that a mount is back a minute after the app was mended, long enough that a busy one is no nuisance meanwhile.
const REFUSAL_REMEMBERED: Duration = Duration::from_secs(60);

/// A server that refuses every token (a wrong audience, say) must not cost a refresh for each request.
const REPLACED_PAUSE: Duration = Duration::from_secs(5);

/// Between two tries to store a renewed login that nobody asks for. Shorter than a `pwfs login` waits for the lock, and
/// long enough that a keyring that asks for its password each time is no nuisance.
const SAVE_PAUSE: Duration = Duration::from_secs(30);

impl TokenSource {
    /// Hands out the tokens of the login in `store`, which must be one of `app`.
    pub fn new(http: HttpClient, store: CredentialStore, app: AppId) -> Self {
        Self(Arc::new(Source::Login(Box::new(Login {
            http,
            store,
            app,
            renewing: Arc::default(),
            health: HealthBoard::default(),
            state: parking_lot::Mutex::default(),
        }))))
    }

    /// Hands out `token` for ever.
    pub fn fixed(token: Secret) -> Self {
        Self(Arc::new(Source::Fixed(
            Authorization::bearer(&token),
            credentials::identity(&token),
        )))
    }

    /// A token that has not ended, as far as known. In the last minute of one, another is fetched ahead.
    ///
    /// Must be called within a tokio runtime. May be dropped at any time; a refresh that has begun goes on.
    pub async fn authorization(&self) -> Result<Authorization, AuthError> {
        let login = match &*self.0 {
            Source::Fixed(bearer, _) => return Ok(bearer.clone()),
            Source::Login(login) => login,
        };
        match login.at_hand() {
            AtHand::Answer(answer) => return answer,
            AtHand::Due(bearer) => {
                if let Ok(turn) = Arc::clone(&login.renewing).try_lock_owned() {
                    // Nobody waits for it: what it brings or fails with is found in the state. Its waits are bounded.
                    drop(self.spawn_renewal(turn));
                }
                return Ok(bearer);
            }
            AtHand::Nothing => {}
        }
        let turn = Arc::clone(&login.renewing).lock_owned().await;
        // Whoever had the turn before may have brought what we wait for.
        match login.at_hand() {
            AtHand::Answer(answer) => return answer,
            AtHand::Due(bearer) => return Ok(bearer),
            AtHand::Nothing => {}
        }
        self.spawn_renewal(turn)
            .await
            .unwrap_or_else(|error| Err(AuthError::Protocol(format!("the refresh broke off: {error}"))))
    }

    /// Says that a server refused `bearer`: the next [`TokenSource::authorization`] gets another one, once for all callers.
    ///
    /// Without effect for a token that is no longer the current one, within 5 s of such a replacement (a server that
    /// refuses brand-new tokens is not healed by more of them), and while a failed renewal rests.
    pub fn reject(&self, bearer: &Authorization) {
        let Source::Login(login) = &*self.0 else { return };
        let mut state = login.state.lock();
        let resting = state
            .failure
            .as_ref()
            .is_some_and(|failed| failed.rests(&login.store));
        if resting || state.replaced.is_some_and(|at| at.elapsed() < REPLACED_PAUSE) {
            return;
        }
        if let Some(held) = &mut state.current
            && held.bearer.is(bearer)
        {
            held.rejected = true;
        }
    }

    /// Whether the login works, as the last attempt to use it told.
    pub fn health(&self) -> watch::Receiver<LoginHealth> {
        match &*self.0 {
            Source::Fixed(..) => HealthBoard::default().subscribe(),
            Source::Login(login) => login.health.subscribe(),
        }
    }

    /// Who is logged in, as far as the token tells. Asks the store at most, never the network.
    pub async fn identity(&self) -> Result<Identity, AuthError> {
        let login = match &*self.0 {
            Source::Fixed(_, identity) => return Ok(identity.clone()),
            Source::Login(login) => login,
        };
        if let Some(held) = &login.state.lock().current {
            return Ok(held.record.identity.clone());
        }
        Ok(login.stored().await?.identity)
    }

    fn spawn_renewal(
        &self,
        turn: OwnedMutexGuard<()>,
    ) -> tokio::task::JoinHandle<Result<Authorization, AuthError>> {
        let (source, under_way) = (Arc::clone(&self.0), UnderWay::begin());
        Handle::current().spawn(async move {
            let login = match &*source {
                Source::Fixed(bearer, _) => return Ok(bearer.clone()),
                Source::Login(login) => login,
            };
            let owed = login.owes_a_save();
            let result = login.renew().await;
            drop((turn, under_way));
            if !owed && login.owes_a_save() {
                // Ends when it is stored, at the latest with the runtime.
                drop(Handle::current().spawn(keep_saving(Arc::clone(&source))));
            }
            result
        })
    }
}

/// Tries again until the renewed login is stored, whether or not anybody asks for a token: the store's lock is held, and
/// the only live refresh token is in memory.
async fn keep_saving(source: Arc<Source>) {
    let Source::Login(login) = &*source else { return };
    while login.owes_a_save() {
        tokio::time::sleep(SAVE_PAUSE).await;
        let _turn = login.renewing.lock().await;
        if login.owes_a_save() {
            let _under_way = UnderWay::begin();
            // How it went is found in the state.
            drop(login.renew().await);
        }
    }
}

impl Authorization {
    /// An access token of the identity provider.
    pub(crate) fn bearer(token: &Secret) -> Self {
        Self(Arc::new(Proof {
            header: Secret::new(format!("Bearer {}", token.expose())),
            connection_info: None,
        }))
    }

    /// The Authorization header's value.
    pub fn header(&self) -> Secret {
        self.0.header.clone()
    }

    /// The value of the gateway's `Mas-Connection-Info` header, for accounts that need it.
    pub fn connection_info(&self) -> Option<&'static str> {
        self.0.connection_info
    }

    /// True if a server cannot tell the two apart.
    pub fn is(&self, other: &Self) -> bool {
        self.0.header.expose() == other.0.header.expose()
    }

    fn carries(&self, token: &Secret) -> bool {
        self.is(&Self::bearer(token))
    }
}

impl Login {
    fn at_hand(&self) -> AtHand {
        let now = Timestamp::now();
        let state = self.state.lock();
        // A failed refresh ahead of time changes nothing yet, but is not repeated at once.
        let resting = state
            .failure
            .as_ref()
            .is_some_and(|failed| failed.rests(&self.store));
        // What failed may have been mended by a person: a login stored since then goes before the token in hand.
        let is_mended = state
            .failure
            .as_ref()
            .is_some_and(|failed| failed.is_past(&self.store));
        if let Some(held) = &state.current
            && !held.rejected
            && !is_mended
            && now < held.record.expires
        {
            let bearer = held.bearer.clone();
            let settled =
                state.unsaved.is_none() && (now < held.record.due() || held.record.refresh.is_none());
            return if settled || resting {
                AtHand::Answer(Ok(bearer))
            } else {
                AtHand::Due(bearer)
            };
        }
        match &state.failure {
            Some(failed) if resting => AtHand::Answer(Err(failed.error.clone())),
            Some(_) | None => AtHand::Nothing,
        }
    }

    /// Brings a new token, from the store or from the identity provider, and remembers how that went.
    async fn renew(&self) -> Result<Authorization, AuthError> {
        // Before anything is read, so that a login stored meanwhile is noticed.
        let stamp = self.store.stamp();
        let outcome = self.renewed().await;
        let mut state = self.state.lock();
        let outcome = outcome.and_then(|record| state.admit(record));
        self.health.note(outcome.as_ref().map(|_| ()));
        match outcome {
            Ok(record) => {
                let bearer = Authorization::bearer(&record.access);
                if state.current.as_ref().is_some_and(|held| held.rejected) {
                    state.replaced = Some(Instant::now());
                }
                if state.account.is_none() {
                    state.account = record.identity.account().map(str::to_owned);
                }
                state.login = Some(record.login.clone());
                state.failure = None;
                state.current = Some(Held {
                    bearer: bearer.clone(),
                    record,
                    rejected: false,
                });
                Ok(bearer)
            }
            Err(error) => {
                if let Some(held) = &mut state.current
                    && held.rejected
                    && Timestamp::now() < held.record.expires
                {
                    // It cannot be replaced now, and one refusal does not prove it dead: the next call may try it again.
                    held.rejected = false;
                    state.replaced = Some(Instant::now());
                }
                tracing::warn!(profile = self.store.profile(), %error, "no new token");
                state.failure = Some(Failed {
                    error: error.clone(),
                    stamp,
                    at: Instant::now(),
                });
                Err(error)
            }
        }
    }

    async fn renewed(&self) -> Result<Credentials, AuthError> {
        let refused = {
            let state = self.state.lock();
            state
                .current
                .as_ref()
                .filter(|held| held.rejected)
                .map(|held| held.bearer.clone())
        };
        let is_refused = |record: &Credentials| {
            refused
                .as_ref()
                .is_some_and(|bearer| bearer.carries(&record.access))
        };
        let is_fresh = |record: &Credentials| Timestamp::now() < record.due() && !is_refused(record);

        let unsaved = self.state.lock().unsaved.clone();
        if let Some(unsaved) = unsaved {
            self.save(&unsaved).await?;
            self.state.lock().unsaved = None;
        }
        // A login that is fine as it is needs no lock: the start of every command.
        let record = self.stored().await?;
        if is_fresh(&record) {
            return Ok(record);
        }
        let unrenewable = |record: Credentials| {
            if Timestamp::now() < record.expires && !is_refused(&record) {
                return Ok(record);
            }
            Err(AuthError::LoginRequired(
                "the login has ended, and cannot be renewed without a person because the app was not given \
                 offline_access"
                    .to_owned(),
            ))
        };
        if record.refresh.is_none() {
            return unrenewable(record);
        }
        // Before the lock: a provider that does not answer must not hold up other processes longer than they wait.
        let endpoints = Endpoints::find(&self.http, &self.issuer()?).await?;
        let lock = self.store.lock().await?;
        // Another process may have been faster.
        let mut record = self.stored().await?;
        if is_fresh(&record) {
            return Ok(record);
        }
        let now = Timestamp::now();
        let Some(refresh) = &record.refresh else {
            return unrenewable(record);
        };
        let provider = Provider::new(&self.http, endpoints, self.registered(&record)?)?;
        let tokens = provider.refresh(refresh).await?;
        let continues = record.access.clone();
        record.renew(tokens, now);
        // The old refresh token may be dead by now: the new one is safe before anything relies on it.
        if let Err(error) = lock.save(&record).await {
            self.state.lock().unsaved = Some(Arc::new(Unsaved {
                record,
                continues,
                lock,
            }));
            return Err(error);
        }
        Ok(record)
    }

    fn owes_a_save(&self) -> bool {
        self.state.lock().unsaved.is_some()
    }

    /// Stores what could not be stored before, unless somebody logged in or out meanwhile.
    async fn save(&self, unsaved: &Unsaved) -> Result<(), AuthError> {
        let continued = match self.store.load().await {
            Ok(Some(kept)) => [&unsaved.continues, &unsaved.record.access]
                .iter()
                .any(|access| access.expose() == kept.access.expose()),
            Ok(None) => false,
            // What cannot be read is no newer login.
            Err(_) => true,
        };
        if continued {
            return unsaved.lock.save(&unsaved.record).await;
        }
        tracing::warn!(
            profile = self.store.profile(),
            "the login was changed while its renewal could not be stored; the renewal is dropped"
        );
        Ok(())
    }

    /// The stored login, if it is one of our app.
    async fn stored(&self) -> Result<Credentials, AuthError> {
        let profile = self.store.profile();
        let Some(record) = self.store.load().await? else {
            let ran = self.state.lock().current.is_some();
            let elsewhere = if ran {
                "; after a login that is kept elsewhere, mount again"
            } else {
                ""
            };
            return Err(AuthError::LoginRequired(format!(
                "profile {profile:?} is not logged in{elsewhere}"
            )));
        };
        if self.app.matches(&record.app) {
            Ok(record)
        } else {
            Err(AuthError::LoginRequired(format!(
                "the login of profile {profile:?} belongs to another app, identity provider or set of scopes; log in \
                 again, or mount again if it was changed under a mount"
            )))
        }
    }

    fn issuer(&self) -> Result<Url, AuthError> {
        Url::parse(&self.app.issuer)
            .map_err(|error| AuthError::Protocol(format!("the issuer {:?}: {error}", self.app.issuer)))
    }

    /// The app as it was registered when `record` was made, which must be one of ours.
    fn registered(&self, record: &Credentials) -> Result<App, AuthError> {
        Ok(App {
            issuer: self.issuer()?,
            client_id: record.app.client_id.clone(),
            client_secret: record.client_secret.clone(),
            redirect_uri: record.redirect_uri.clone(),
        })
    }
}

impl State {
    /// Refuses a login of somebody else than whose tokens were handed out so far: their files must not mix.
    fn admit(&self, record: Credentials) -> Result<Credentials, AuthError> {
        let Some(login) = &self.login else {
            return Ok(record);
        };
        let who = match (&self.account, record.identity.account()) {
            (Some(ours), Some(theirs)) if ours == theirs => return Ok(record),
            (Some(_), Some(theirs)) => record.identity.email.as_deref().unwrap_or(theirs),
            // Nobody is named: then only the very same login, renewed, is certainly the same account.
            (Some(_) | None, None) | (None, Some(_)) if *login == record.login => return Ok(record),
            (Some(_) | None, None) | (None, Some(_)) => "its tokens do not tell which",
        };
        Err(AuthError::LoginRequired(format!(
            "the profile is now logged in as another account ({who}); mount again to see its files, or log in as before"
        )))
    }
}

impl Failed {
    /// True if somebody logged in or out since: what failed may not fail any more.
    fn is_past(&self, store: &CredentialStore) -> bool {
        match &self.error {
            AuthError::Refused {
                error: OauthError::Unavailable,
                ..
            }
            | AuthError::Unreachable(_)
            | AuthError::LockedOut(_)
            | AuthError::Store(_) => false,
            AuthError::LoginRequired(_)
            | AuthError::SecretRequired(_)
            | AuthError::Protocol(_)
            | AuthError::Refused { .. } => self.stamp != store.stamp(),
        }
    }

    /// True while a new attempt would fail in the same way, or has no right to be made yet.
    fn rests(&self, store: &CredentialStore) -> bool {
        match &self.error {
            // Only a person mends these, and they do it by writing to the store.
            AuthError::LoginRequired(_) | AuthError::SecretRequired(_) => self.stamp == store.stamp(),
            AuthError::Refused {
                error: OauthError::Unavailable,
                ..
            }
            | AuthError::Unreachable(_)
            | AuthError::LockedOut(_)
            | AuthError::Store(_) => self.at.elapsed() < FAILURE_REMEMBERED,
            // A new login may be one of another app, which the provider does not refuse.
            AuthError::Protocol(_) | AuthError::Refused { .. } => {
                self.at.elapsed() < REFUSAL_REMEMBERED && self.stamp == store.stamp()
            }
        }
    }
}
