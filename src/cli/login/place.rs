//! Where a login is kept: one place for each profile, decided at login.

use futures_util::future::BoxFuture;

use crate::auth::{AuthError, CredentialStore, StoreKind};

use super::{Context, CredentialsChoice, LoginArgs, LoginCommandError};

/// The store the profile names.
pub(super) fn saved_store(context: &Context<'_>) -> CredentialStore {
    // Where no login has recorded a kind, there is none in the keyring either.
    let kind = context.saved.credentials.unwrap_or(StoreKind::File);
    CredentialStore::new(kind, context.state_dir, context.profile)
}

/// The store for a new login, and whether another may be taken if it fails.
pub(super) async fn choose_store(
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

/// Stores a login with `save`, in a file where the keyring fails and another place `may_change` it. Returns the store
/// that has it.
pub(super) async fn keep(
    context: &Context<'_>,
    store: CredentialStore,
    may_change: bool,
    notes: &mut Vec<String>,
    save: impl Fn(CredentialStore) -> BoxFuture<'static, Result<(), AuthError>>,
) -> Result<CredentialStore, LoginCommandError> {
    let kept = match save(store.clone()).await {
        Ok(()) => store,
        Err(error) if may_change && store.kind() == StoreKind::Keyring => {
            notes.push(format!("{error}; the login is kept in a file instead"));
            let file = CredentialStore::new(StoreKind::File, context.state_dir, context.profile);
            save(file.clone()).await?;
            file
        }
        Err(error) => return Err(error.into()),
    };
    forget_elsewhere(context, kept.kind(), notes).await;
    Ok(kept)
}

/// One profile, one store: an old login elsewhere would replay a refresh token that is used up.
async fn forget_elsewhere(context: &Context<'_>, kept: StoreKind, notes: &mut Vec<String>) {
    let other = match (kept, context.saved.credentials) {
        (StoreKind::Keyring, _) => StoreKind::File,
        (StoreKind::File, Some(StoreKind::Keyring)) => StoreKind::Keyring,
        // No login was ever recorded there, and asking a keyring that does not work costs seconds.
        (StoreKind::File, Some(StoreKind::File) | None) => return,
    };
    forget(
        &CredentialStore::new(other, context.state_dir, context.profile),
        notes,
    )
    .await;
}

/// Forgets what `store` holds, and says so where that fails.
pub(super) async fn forget(store: &CredentialStore, notes: &mut Vec<String>) {
    let forgotten = async { store.lock().await?.delete().await };
    if let Err(error) = forgotten.await {
        notes.push(format!(
            "an older login may remain in {}: {error}",
            store.describe()
        ));
    }
}
