//! The desktop's keyring (Secret Service over D-Bus), on a thread of its own and never waited for without end.

use std::sync::Arc;
use std::time::Duration;

use keyring_core::api::CredentialStoreApi as _;
use keyring_core::{Entry, Error};
use tokio::sync::{Semaphore, oneshot};
use zbus_secret_service_keyring_store::Store;
use zeroize::Zeroizing;

use super::AuthError;

/// What the entries are filed under.
const SERVICE: &str = "pwfs";

/// A keyring that is locked asks the person, maybe on a screen nobody sees.
const PATIENCE: Duration = Duration::from_secs(5);

/// One profile's entry in the keyring.
#[derive(Debug, Clone)]
pub(super) struct Keyring {
    profile: String,
    /// One call at a time: one that hangs does not gather a crowd of threads behind it.
    turn: Arc<Semaphore>,
}

impl Keyring {
    pub(super) fn new(profile: &str) -> Self {
        Self {
            profile: profile.to_owned(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// What is stored, if anything.
    pub(super) async fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, AuthError> {
        self.call(|entry| match entry.get_secret() {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Stores `json` in place of what was there.
    pub(super) async fn save(&self, json: Zeroizing<String>) -> Result<(), AuthError> {
        self.call(move |entry| entry.set_secret(json.as_bytes())).await
    }

    /// Forgets what is stored.
    pub(super) async fn delete(&self) -> Result<(), AuthError> {
        self.call(|entry| match entry.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }

    /// Runs `verb` over a new connection: one kept from before a restart of the keyring would stay broken.
    async fn call<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, AuthError> {
        let silent = || {
            AuthError::Store(format!(
                "the keyring did not answer within {} s; it may be locked: unlock it, or log in with --credentials file",
                PATIENCE.as_secs()
            ))
        };
        let turn = Arc::clone(&self.turn).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, turn).await else {
            return Err(silent());
        };
        let (answer, answered) = oneshot::channel();
        let profile = self.profile.clone();
        let work = move || {
            let result = Store::new()
                .and_then(|store| store.build(SERVICE, &profile, None))
                .and_then(|entry| verb(&entry));
            drop(turn);
            // Nobody listens any more after the time-out; then the outcome matters to nobody either.
            drop(answer.send(result));
        };
        std::thread::Builder::new()
            .name("keyring".to_owned())
            .spawn(work)
            .map_err(|error| AuthError::Store(format!("no thread for the keyring: {error}")))?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result.map_err(|error| told(&error)),
            Ok(Err(_)) => Err(AuthError::Store("the keyring call broke off".to_owned())),
            Err(_) => Err(silent()),
        }
    }
}

/// The crate's own texts may quote what was stored; these never do.
fn told(error: &Error) -> AuthError {
    let why = match error {
        Error::PlatformFailure(cause) => format!("it is not available: {cause}"),
        Error::NoStorageAccess(cause) => format!("it gives no access: {cause}"),
        Error::Ambiguous(entries) => format!("it holds {} entries where one was written", entries.len()),
        Error::TooLong(_, limit) => format!("it takes at most {limit} characters"),
        Error::NotSupportedByStore(what) => format!("it cannot do this: {what}"),
        // The enum is open, and the rest are breaches of its own rules.
        _ => "its answer cannot be used".to_owned(),
    };
    AuthError::Store(format!("the keyring cannot be used, {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run it where a keyring is, for instance:
    /// `dbus-run-session -- sh -c 'echo -n x | gnome-keyring-daemon --unlock --components=secrets && cargo test --lib keyring -- --ignored'`
    #[tokio::test]
    #[ignore = "needs an unlocked Secret Service on the session bus"]
    async fn a_login_is_kept_in_the_keyring() {
        let keyring = Keyring::new("pwfs-test");
        keyring.delete().await.unwrap();
        assert!(keyring.load().await.unwrap().is_none());
        for text in ["first", "second"] {
            keyring.save(Zeroizing::new(text.to_owned())).await.unwrap();
            assert_eq!(keyring.load().await.unwrap().unwrap().as_slice(), text.as_bytes());
        }
        keyring.delete().await.unwrap();
        assert!(keyring.load().await.unwrap().is_none());
    }

    #[tokio::test]
    #[ignore = "needs a machine without a session bus"]
    async fn a_missing_keyring_is_an_error_in_words() {
        let error = Keyring::new("pwfs-test").load().await.unwrap_err();
        assert!(
            error.to_string().starts_with("the keyring cannot be used"),
            "{error}"
        );
    }
}
