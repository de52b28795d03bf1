//! The tokens of an app: kept in the store, renewed once for all callers and processes.
//!
//! A login through a browser is renewed with its refresh token, a service (`service.rs`) with its secret; all else is
//! the same for both. What the gateway says of a token comes back here ([`Session::refused`] and its neighbours), so
//! that the health of the login is that of the whole way, and not of the identity provider alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;

use super::credentials::{AppId, Credentials, Identity};
use super::health::{HealthBoard, LoginHealth, LoginState};
use super::kind::AuthKind;
use super::renewals::UnderWay;
use super::store::{CredentialStore, Stamp, StoreLock};
use super::{AuthError, Authorization, OauthError, service};
use crate::http::{HttpClient, Secret};

mod renewal;

use renewal::keep_saving;

/// The tokens of a stored login.
pub(super) struct Session {
    http: HttpClient,
    store: CredentialStore,
    app: AppId,
    kind: AuthKind,
    /// Held by the one task that renews the token, across its awaits.
    pub(super) renewing: Arc<tokio::sync::Mutex<()>>,
    health: HealthBoard,
    /// Never held across an await.
    pub(super) state: parking_lot::Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) current: Option<Held>,
    /// The account this source has handed out tokens of; it never changes.
    account: Option<String>,
    /// The login whose tokens were handed out last; tells it from a new one where no token names an account.
    login: Option<String>,
    failure: Option<Failed>,
    /// A renewed login that could not be stored: the only copy of its refresh token.
    unsaved: Option<Arc<Unsaved>>,
    /// When a rejected token was last replaced.
    replaced: Option<Instant>,
    /// A server that refused even a fresh token.
    turned_away: Option<TurnedAway>,
    /// A server that locked the account: nothing is handed out any more.
    locked: Option<TurnedAway>,
}

pub(super) struct Held {
    bearer: Authorization,
    pub(super) record: Credentials,
    rejected: bool,
    /// It was rejected, and could not be replaced: handed out for want of another, and no sign that the login works.
    doubted: bool,
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

/// What a server holds against a login.
#[derive(Clone)]
struct TurnedAway {
    words: String,
    /// The login it is about; another one may fare better.
    login: Option<String>,
    /// The store when it was last looked at.
    stamp: Stamp,
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
pub(super) const FAILURE_REMEMBERED: Duration = Duration::from_secs(2);

/// A provider that refuses the refresh itself (`unauthorized_client`, say) waits for its administrator, not for us. Short
/// enough that a mount is back a minute after the app was mended, long enough that a busy one is no nuisance meanwhile.
pub(super) const REFUSAL_REMEMBERED: Duration = Duration::from_secs(60);

/// A server that refuses every token (a wrong audience, say) must not cost a refresh for each request.
pub(super) const REPLACED_PAUSE: Duration = Duration::from_secs(5);

/// Between two tries to store a renewed login that nobody asks for. Shorter than a `pwfs login` waits for the lock, and
/// long enough that a keyring that asks for its password each time is no nuisance.
pub(super) const SAVE_PAUSE: Duration = Duration::from_secs(30);

impl Session {
    pub(super) fn new(http: HttpClient, store: CredentialStore, mut app: AppId, kind: AuthKind) -> Self {
        if kind == AuthKind::Service {
            // As its login asked for them.
            app.scopes = service::service_scopes(&app.scopes);
        }
        Self {
            http,
            store,
            app,
            kind,
            renewing: Arc::default(),
            health: HealthBoard::default(),
            state: parking_lot::Mutex::default(),
        }
    }

    pub(super) async fn authorization(self: &Arc<Self>) -> Result<Authorization, AuthError> {
        self.check_lock().await?;
        match self.at_hand() {
            AtHand::Answer(answer) => return answer,
            AtHand::Due(bearer) => {
                if let Ok(turn) = Arc::clone(&self.renewing).try_lock_owned() {
                    // Nobody waits for it: what it brings or fails with is found in the state. Its waits are bounded.
                    drop(self.spawn_renewal(turn));
                }
                return Ok(bearer);
            }
            AtHand::Nothing => {}
        }
        let turn = Arc::clone(&self.renewing).lock_owned().await;
        // Whoever had the turn before may have brought what we wait for.
        match self.at_hand() {
            AtHand::Answer(answer) => return answer,
            AtHand::Due(bearer) => return Ok(bearer),
            AtHand::Nothing => {}
        }
        self.spawn_renewal(turn)
            .await
            .unwrap_or_else(|error| Err(AuthError::Protocol(format!("the refresh broke off: {error}"))))
    }

    /// Has `bearer` replaced with the next [`Session::authorization`], once for all callers.
    pub(super) fn reject(&self, bearer: &Authorization) {
        let mut state = self.state.lock();
        let resting = state
            .failure
            .as_ref()
            .is_some_and(|failed| failed.rests(&self.store));
        if resting || state.replaced.is_some_and(|at| at.elapsed() < REPLACED_PAUSE) {
            return;
        }
        if let Some(held) = &mut state.current
            && held.bearer.is(bearer)
        {
            held.rejected = true;
        }
    }

    /// A server took `bearer`: whatever servers held against the login is over.
    pub(super) fn accepted(&self, bearer: &Authorization) {
        if !self.health.is_of_a_server() {
            return;
        }
        let mut state = self.state.lock();
        if state.locked.is_none() && state.current.as_ref().is_some_and(|held| held.bearer.is(bearer)) {
            state.turned_away = None;
            self.health.clear();
        }
    }

    /// A server refused `bearer`, which is as good as any the login can give.
    pub(super) fn refused(&self, bearer: &Authorization, words: &str) -> AuthError {
        let error = AuthError::LoginRequired(format!("the server refuses a fresh token ({words})"));
        let mut state = self.state.lock();
        // A token that ended and cannot be renewed is refused, of course: what stops the renewal is to be mended.
        if let Some(Failed {
            error: known @ (AuthError::LoginRequired(_) | AuthError::SecretRequired(_)),
            ..
        }) = &state.failure
        {
            return known.clone();
        }
        if state.current.as_ref().is_some_and(|held| held.bearer.is(bearer)) {
            state.turned_away = Some(self.turned_away(&state, words));
            self.health
                .enter_by_server(LoginState::LoginNeeded, error.to_string());
        }
        error
    }

    /// A server locked the account: nothing is handed out until there is another login.
    pub(super) fn locked_out(&self, words: &str) {
        let mut state = self.state.lock();
        if state.locked.is_none() {
            state.locked = Some(self.turned_away(&state, words));
            self.health
                .enter_by_server(LoginState::LockedOut, words.to_owned());
        }
    }

    fn turned_away(&self, state: &State, words: &str) -> TurnedAway {
        TurnedAway {
            words: words.to_owned(),
            login: state.login.clone(),
            stamp: self.store.stamp(),
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<LoginHealth> {
        self.health.subscribe()
    }

    pub(super) async fn identity(&self) -> Result<Identity, AuthError> {
        if let Some(held) = &self.state.lock().current {
            return Ok(held.record.identity.clone());
        }
        Ok(self.stored().await?.identity)
    }

    pub(super) async fn ends(&self) -> Result<Timestamp, AuthError> {
        if let Some(held) = &self.state.lock().current {
            return Ok(held.record.expires);
        }
        Ok(self.stored().await?.expires)
    }

    /// Tries again what failed, if the store changed since.
    pub(super) async fn look_again(self: &Arc<Self>) {
        let changed = {
            let state = self.state.lock();
            let past = |turned: &Option<TurnedAway>| {
                turned
                    .as_ref()
                    .is_some_and(|turned| turned.stamp != self.store.stamp())
            };
            let failure = &state.failure;
            past(&state.locked)
                || past(&state.turned_away)
                || failure.as_ref().is_some_and(|failed| failed.is_past(&self.store))
        };
        if changed {
            // How it went is found in the state and the health.
            drop(self.authorization().await);
        }
    }

    pub(super) fn watched(&self) -> Vec<PathBuf> {
        vec![self.store.stamped()]
    }

    /// Fails while a server has locked the account, until the store holds another login. A token that was merely renewed,
    /// here or by another process, is none.
    async fn check_lock(&self) -> Result<(), AuthError> {
        let Some(locked) = self.state.lock().locked.clone() else {
            return Ok(());
        };
        let stamp = self.store.stamp();
        if stamp != locked.stamp
            && let Ok(Some(record)) = self.store.load().await
        {
            let mut state = self.state.lock();
            if locked.login.as_ref() != Some(&record.login) {
                state.locked = None;
                // The token in hand is one of the login that was locked.
                state.current = None;
                self.health.clear();
                return Ok(());
            }
            if let Some(locked) = &mut state.locked {
                locked.stamp = stamp;
            }
        }
        Err(AuthError::LockedOut(locked.words))
    }

    fn spawn_renewal(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
    ) -> tokio::task::JoinHandle<Result<Authorization, AuthError>> {
        let (session, under_way) = (Arc::clone(self), UnderWay::begin());
        Handle::current().spawn(async move {
            let owed = session.owes_a_save();
            let result = session.renew().await;
            drop((turn, under_way));
            if !owed && session.owes_a_save() {
                // Ends when it is stored, at the latest with the runtime.
                drop(Handle::current().spawn(keep_saving(session)));
            }
            result
        })
    }

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
            .is_some_and(|failed| failed.is_past(&self.store))
            || state
                .turned_away
                .as_ref()
                .is_some_and(|turned| turned.stamp != self.store.stamp());
        if let Some(held) = &state.current
            && !held.rejected
            && !is_mended
            && now < held.record.expires
        {
            let bearer = held.bearer.clone();
            let settled = state.unsaved.is_none() && (now < held.record.due() || !self.renews(&held.record));
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
            | AuthError::Store(_)
            | AuthError::LockedOut(_) => false,
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
            | AuthError::Store(_)
            | AuthError::LockedOut(_) => self.at.elapsed() < FAILURE_REMEMBERED,
            // A new login may be one of another app, which the provider does not refuse.
            AuthError::Protocol(_) | AuthError::Refused { .. } => {
                self.at.elapsed() < REFUSAL_REMEMBERED && self.stamp == store.stamp()
            }
        }
    }
}
