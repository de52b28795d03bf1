//! How a session comes to its next token: from the store, where another process was faster, or from the provider.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use url::Url;

use super::{Failed, Held, SAVE_PAUSE, Session, State, Unsaved};
use crate::auth::credentials::Credentials;
use crate::auth::kind::AuthKind;
use crate::auth::oauth::{App, Endpoints, Provider};
use crate::auth::renewals::UnderWay;
use crate::auth::{AuthError, Authorization, service};

impl Session {
    /// True where another token can be had without a person.
    pub(super) fn renews(&self, record: &Credentials) -> bool {
        if self.kind == AuthKind::Service {
            record.client_secret.is_some()
        } else {
            record.refresh.is_some()
        }
    }

    /// Brings a new token, from the store or from the identity provider, and remembers how that went.
    pub(super) async fn renew(&self) -> Result<Authorization, AuthError> {
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
                if let Some(turned) = state.turned_away.take()
                    && turned.login.as_ref() != Some(&record.login)
                {
                    // Another login: nothing is known against it.
                    self.health.clear();
                }
                state.login = Some(record.login.clone());
                state.failure = None;
                state.current = Some(Held {
                    bearer: bearer.clone(),
                    record,
                    rejected: false,
                    doubted: false,
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
                    held.doubted = true;
                    state.replaced = Some(Instant::now());
                }
                tracing::debug!(profile = self.store.profile(), %error, "no new token");
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
                .filter(|held| held.rejected || held.doubted)
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
            Err(self.cannot_renew())
        };
        if !self.renews(&record) {
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
        let provider = Provider::new(&self.http, endpoints, self.registered(&record)?)?;
        if self.kind == AuthKind::Service {
            let tokens = service::tokens(&provider, &self.app.scopes).await?;
            record.renew(tokens, now);
            if let Err(error) = lock.save(&record).await {
                // No loss: the secret brings another one at any time.
                tracing::warn!(profile = self.store.profile(), %error, "the service's token is not stored");
            }
            return Ok(record);
        }
        let Some(refresh) = &record.refresh else {
            return unrenewable(record);
        };
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

    fn cannot_renew(&self) -> AuthError {
        if self.kind == AuthKind::Service {
            return AuthError::SecretRequired("the service's Client Secret is not stored".to_owned());
        }
        AuthError::LoginRequired(
            "the login has ended, and cannot be renewed without a person because the app was not given \
             offline_access"
                .to_owned(),
        )
    }

    pub(super) fn owes_a_save(&self) -> bool {
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
    pub(super) async fn stored(&self) -> Result<Credentials, AuthError> {
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
        // Which of the types with a browser it is, is the portal's affair; a service's login is another thing.
        let same_way = record.kind.has_browser() == self.kind.has_browser();
        if same_way && self.app.matches(&record.app) {
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
            // One of a type without a secret is refused for sending any.
            client_secret: record.client_secret.clone().filter(|_| self.kind.has_secret()),
            redirect_uri: record.redirect_uri.clone(),
        })
    }
}

/// Tries again until the renewed login is stored, whether or not anybody asks for a token: the store's lock is held, and
/// the only live refresh token is in memory.
pub(super) async fn keep_saving(session: Arc<Session>) {
    while session.owes_a_save() {
        tokio::time::sleep(SAVE_PAUSE).await;
        let _turn = session.renewing.lock().await;
        if session.owes_a_save() {
            let _under_way = UnderWay::begin();
            // How it went is found in the state.
            drop(session.renew().await);
        }
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
