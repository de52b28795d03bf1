//! A proof that is shown as it is: a password, or a token somebody else keeps fresh in a file.
//!
//! Nothing here renews. What a server refuses is not sent again until there is another one where it came from, and what
//! no server took yet is tried by one request alone, while the others wait: directories lock accounts after a handful of
//! wrong passwords, and a busy mount would send a hundred at once.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::credentials::Identity;
use super::health::{HealthBoard, LoginHealth, LoginState};
use super::password::{Refusal, StoredPassword};
use super::renewals::UnderWay;
use super::session::FAILURE_REMEMBERED;
use super::store::Stamp;
use super::token_file::TokenFile;
use super::{AuthError, Authorization};

/// A proof and where it comes from.
pub(super) struct Presented {
    origin: Origin,
    health: HealthBoard,
    /// Held by whoever reads the proof, across its awaits.
    loading: tokio::sync::Mutex<()>,
    /// Never held across an await.
    state: parking_lot::Mutex<State>,
    /// Told when a trial is over.
    settled: Notify,
}

/// Where a proof comes from.
pub(super) enum Origin {
    /// It was given, and never changes.
    Given(Authorization, Identity),
    /// The credential store.
    Password(StoredPassword),
    /// A file.
    File(TokenFile),
}

/// A proof as it was read.
pub(super) struct Loaded {
    pub(super) authorization: Authorization,
    pub(super) identity: Identity,
    /// The text that stands for the account in cache keys.
    pub(super) account: Option<String>,
    /// True where the proof itself says whose it is, so that another one can be compared with it.
    pub(super) names_account: bool,
    /// When it ends, where it says so.
    pub(super) ends: Option<Timestamp>,
    /// Tells this login from every other.
    pub(super) login: String,
    /// What a server said against it before this process began.
    pub(super) verdict: Option<Verdict>,
}

/// What a server said against a proof; its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is wrong, or too old.
    Refused(String),
    /// The account is locked.
    LockedOut(String),
}

#[derive(Default)]
struct State {
    current: Option<Held>,
    failure: Option<Failed>,
    /// The account of the first proof, and whether that named it itself.
    account: Option<(Option<String>, bool)>,
    trials: u64,
}

struct Held {
    loaded: Loaded,
    /// The origin when it was read.
    seen: Seen,
    /// When a server took it last.
    proved: Option<Instant>,
    /// The request that tries it, and since when.
    trial: Option<(u64, Instant)>,
}

struct Failed {
    error: AuthError,
    seen: Seen,
    at: Instant,
}

/// Equal where the origin did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Always,
    File(Stamp),
    /// The login, and what other processes learnt of it.
    Store(Stamp, Stamp),
}

/// The right of one request to try a proof; ends with the last copy of its [`Authorization`].
#[derive(Debug)]
pub(super) struct Trial {
    owner: Weak<Presented>,
    number: u64,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented(..)")
    }
}

/// A proof that was taken so recently is shown by everybody at once. Short, so that a password which was changed while a
/// mount lay idle is tried once; a busy mount is never slowed down by it.
pub(super) const PROVED_FOR: Duration = Duration::from_secs(2);

/// A trial without an answer for so long was not refused at the door, where servers look at passwords first; the next one
/// may try, too, so that one slow request holds up nobody for good.
pub(super) const TRIAL_PATIENCE: Duration = Duration::from_secs(10);

enum Next {
    Answer(Result<Authorization, AuthError>),
    Wait(Instant),
    Load,
}

impl Presented {
    pub(super) fn new(origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            origin,
            health: HealthBoard::default(),
            loading: tokio::sync::Mutex::default(),
            state: parking_lot::Mutex::default(),
            settled: Notify::new(),
        })
    }

    pub(super) async fn authorization(self: &Arc<Self>) -> Result<Authorization, AuthError> {
        loop {
            let seen = self.origin.seen().await;
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // Before the look at the state: what is settled between the look and the wait is not missed.
            settled.as_mut().enable();
            match self.next(seen) {
                Next::Answer(answer) => return answer,
                // Whichever comes first: then the state is looked at again.
                Next::Wait(until) => drop(tokio::time::timeout_at(until, settled).await),
                Next::Load => self.load(seen).await,
            }
        }
    }

    fn next(self: &Arc<Self>, seen: Seen) -> Next {
        let mut state = self.state.lock();
        if let Some(failed) = &state.failure
            && failed.seen == seen
            && failed.rests()
        {
            return Next::Answer(Err(failed.error.clone()));
        }
        let number = state.trials + 1;
        let State { current, failure, .. } = &mut *state;
        let Some(held) = current.as_mut().filter(|held| held.seen == seen) else {
            return Next::Load;
        };
        if failure.take().is_some() && held.loaded.verdict.is_none() {
            // What was there is back, untouched.
            self.health.clear();
        }
        if let Some(verdict) = &held.loaded.verdict {
            return Next::Answer(Err(self.origin.against(&held.loaded.identity, verdict)));
        }
        let authorization = held.loaded.authorization.clone();
        if held.proved.is_some_and(|at| at.elapsed() < PROVED_FOR) || self.origin.is_given() {
            return Next::Answer(Ok(authorization));
        }
        if let Some((_, began)) = held.trial
            && began.elapsed() < TRIAL_PATIENCE
        {
            return Next::Wait(began + TRIAL_PATIENCE);
        }
        held.trial = Some((number, Instant::now()));
        state.trials = number;
        drop(state);
        let trial = Trial {
            owner: Arc::downgrade(self),
            number,
        };
        Next::Answer(Ok(authorization.on_trial(trial)))
    }

    /// Reads the proof anew, once for all who want it.
    async fn load(&self, seen: Seen) {
        let _turn = self.loading.lock().await;
        {
            let state = self.state.lock();
            let known = |held: &Held| held.seen == seen;
            let failed = |failed: &Failed| failed.seen == seen && failed.rests();
            if state.current.as_ref().is_some_and(known) || state.failure.as_ref().is_some_and(failed) {
                return;
            }
        }
        let outcome = self.origin.load().await;
        let mut state = self.state.lock();
        match outcome.and_then(|loaded| state.admit(loaded)) {
            Ok(mut loaded) => {
                let before = state
                    .current
                    .take()
                    .filter(|held| held.loaded.login == loaded.login);
                let (mut proved, mut trial) = (None, None);
                if let Some(before) = before {
                    // The same one, touched: what is known of it is known still.
                    loaded.verdict = loaded.verdict.or(before.loaded.verdict);
                    (proved, trial) = (before.proved, before.trial);
                }
                match &loaded.verdict {
                    None => self.health.clear(),
                    Some(verdict) => self.note(&loaded.identity, verdict),
                }
                state.failure = None;
                state.current = Some(Held {
                    loaded,
                    seen,
                    proved,
                    trial,
                });
            }
            Err(error) => {
                self.health.note(Err(&error));
                // The health tells it, once.
                tracing::debug!(%error, "no login");
                state.failure = Some(Failed {
                    error,
                    seen,
                    at: Instant::now(),
                });
            }
        }
        drop(state);
        self.settled.notify_waiters();
    }

    /// A server let this proof in.
    pub(super) fn accepted(&self, authorization: &Authorization) {
        let mut state = self.state.lock();
        let Some(held) = state.held(authorization) else {
            return;
        };
        // A verdict stands: an answer that was on its way when the account was locked opens nothing.
        if held.loaded.verdict.is_some() {
            return;
        }
        held.proved = Some(Instant::now());
        if held.trial.take().is_some() {
            drop(state);
            self.settled.notify_waiters();
        }
    }

    /// Whether any server let this proof in.
    pub(super) fn was_accepted(&self, authorization: &Authorization) -> bool {
        let mut state = self.state.lock();
        state
            .held(authorization)
            .is_some_and(|held| held.proved.is_some())
    }

    /// A server spoke against this proof. Must be called within a tokio runtime.
    pub(super) fn judged(self: &Arc<Self>, authorization: &Authorization, verdict: Verdict) -> AuthError {
        let mut state = self.state.lock();
        let Some(held) = state.held(authorization) else {
            // Replaced meanwhile; the next one may fare better.
            return self.origin.against(&Identity::default(), &verdict);
        };
        let error = self.origin.against(&held.loaded.identity, &verdict);
        if held.loaded.verdict.as_ref() != Some(&verdict) {
            self.note(&held.loaded.identity, &verdict);
            let login = held.loaded.login.clone();
            held.loaded.verdict = Some(verdict.clone());
            held.trial = None;
            drop(state);
            self.settled.notify_waiters();
            self.remember(login, verdict);
        }
        error
    }

    /// Has every process know that a password is refused.
    fn remember(self: &Arc<Self>, login: String, verdict: Verdict) {
        if !matches!(self.origin, Origin::Password(_)) {
            return;
        }
        let (locked, words) = match verdict {
            Verdict::Refused(words) => (false, words),
            Verdict::LockedOut(words) => (true, words),
        };
        let refusal = Refusal { login, locked, words };
        let (source, under_way) = (Arc::clone(self), UnderWay::begin());
        // The end of the process waits for it, for a while; its own wait is bounded.
        drop(Handle::current().spawn(async move {
            if let Origin::Password(origin) = &source.origin {
                origin.remember(&refusal).await;
            }
            drop(under_way);
        }));
    }

    fn note(&self, identity: &Identity, verdict: &Verdict) {
        let state = match (verdict, &self.origin) {
            (Verdict::LockedOut(_), _) => LoginState::LockedOut,
            (Verdict::Refused(_), Origin::Password(_)) => LoginState::SecretNeeded,
            (Verdict::Refused(_), Origin::File(_) | Origin::Given(..)) => LoginState::LoginNeeded,
        };
        let error = self.origin.against(identity, verdict);
        self.health.enter_by_server(state, error.to_string());
    }

    pub(super) fn health(&self) -> watch::Receiver<LoginHealth> {
        self.health.subscribe()
    }

    pub(super) async fn identity(&self) -> Result<Identity, AuthError> {
        self.known(|loaded| loaded.identity.clone()).await
    }

    /// The text that stands for the account in cache keys.
    pub(super) async fn account(&self) -> Result<Option<String>, AuthError> {
        self.known(|loaded| loaded.account.clone()).await
    }

    /// When the token ends, where it says so.
    pub(super) async fn ends(&self) -> Result<Option<Timestamp>, AuthError> {
        self.known(|loaded| loaded.ends).await
    }

    async fn known<T>(&self, of: impl Fn(&Loaded) -> T) -> Result<T, AuthError> {
        let seen = self.origin.seen().await;
        self.load(seen).await;
        let state = self.state.lock();
        match (&state.current, &state.failure) {
            (Some(held), failure) if held.seen == seen || failure.is_none() => Ok(of(&held.loaded)),
            (_, Some(failed)) => Err(failed.error.clone()),
            // Loading leaves one of the two.
            (_, None) => Err(AuthError::Protocol("there is no login".to_owned())),
        }
    }

    /// Reads the proof again, if something spoke against the last one and its origin changed since.
    pub(super) async fn look_again(&self) {
        let seen = self.origin.seen().await;
        let changed = {
            let state = self.state.lock();
            let failed = state.failure.as_ref().map(|failed| failed.seen);
            let judged = state
                .current
                .as_ref()
                .filter(|held| held.loaded.verdict.is_some());
            match failed.or(judged.map(|held| held.seen)) {
                Some(before) => before != seen,
                None => false,
            }
        };
        if changed {
            self.load(seen).await;
        }
    }

    pub(super) fn watched(&self) -> Vec<PathBuf> {
        match &self.origin {
            Origin::Given(..) => Vec::new(),
            Origin::Password(origin) => vec![origin.store.stamped()],
            Origin::File(file) => file.path().map(std::path::Path::to_owned).into_iter().collect(),
        }
    }

    fn trial_is_over(&self, number: u64) {
        let mut state = self.state.lock();
        if let Some(held) = &mut state.current
            && held.trial.is_some_and(|(present, _)| present == number)
        {
            held.trial = None;
            drop(state);
            self.settled.notify_waiters();
        }
    }
}

impl State {
    fn held(&mut self, authorization: &Authorization) -> Option<&mut Held> {
        self.current
            .as_mut()
            .filter(|held| held.loaded.authorization.is(authorization))
    }

    /// Refuses a proof of somebody else than the first one's: their files must not mix. One that does not tell is let
    /// through with a doubt, which the server can settle ([`Authorization::is_vouched`]).
    fn admit(&mut self, loaded: Loaded) -> Result<Loaded, AuthError> {
        let Some((account, named)) = &self.account else {
            self.account = Some((loaded.account.clone(), loaded.names_account));
            return Ok(loaded);
        };
        if !named || !loaded.names_account {
            let authorization = loaded.authorization.in_doubt();
            return Ok(Loaded {
                authorization,
                ..loaded
            });
        }
        if *account == loaded.account {
            return Ok(loaded);
        }
        let who = loaded
            .identity
            .email
            .as_deref()
            .or(loaded.identity.name.as_deref());
        Err(AuthError::LoginRequired(format!(
            "the login is now that of another account ({}); mount again to see its files, or log in as before",
            who.or(loaded.account.as_deref()).unwrap_or("unknown")
        )))
    }
}

impl Failed {
    /// True while reading again would fail in the same way.
    fn rests(&self) -> bool {
        match &self.error {
            AuthError::LoginRequired(_) | AuthError::SecretRequired(_) | AuthError::LockedOut(_) => true,
            AuthError::Unreachable(_)
            | AuthError::Protocol(_)
            | AuthError::Refused { .. }
            | AuthError::Store(_) => self.at.elapsed() < FAILURE_REMEMBERED,
        }
    }
}

impl Origin {
    async fn seen(&self) -> Seen {
        match self {
            Self::Given(..) => Seen::Always,
            Self::Password(origin) => Seen::Store(origin.store.stamp(), origin.store.refusal_stamp()),
            Self::File(file) => Seen::File(file.stamp().await),
        }
    }

    async fn load(&self) -> Result<Loaded, AuthError> {
        match self {
            Self::Given(authorization, identity) => Ok(Loaded {
                authorization: authorization.clone(),
                account: identity.account().map(str::to_owned),
                names_account: true,
                identity: identity.clone(),
                ends: None,
                login: String::new(),
                verdict: None,
            }),
            Self::Password(origin) => origin.load().await,
            Self::File(file) => file.load().await,
        }
    }

    const fn is_given(&self) -> bool {
        matches!(self, Self::Given(..))
    }

    /// What is told to whoever asks for a proof that a server spoke against.
    fn against(&self, identity: &Identity, verdict: &Verdict) -> AuthError {
        let name = identity.name.as_deref().unwrap_or("this account");
        match (verdict, self) {
            (Verdict::LockedOut(words), _) => AuthError::LockedOut(words.clone()),
            (Verdict::Refused(words), Self::Password(_)) => StoredPassword::refused(name, words),
            (Verdict::Refused(words), Self::File(file)) => file.refused(words),
            (Verdict::Refused(words), Self::Given(..)) => {
                AuthError::LoginRequired(format!("the server refuses the login ({words})"))
            }
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.trial_is_over(self.number);
        }
    }
}

#[cfg(test)]
mod tests;
