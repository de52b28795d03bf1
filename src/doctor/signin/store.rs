//! What is kept of the login, and whether it is private.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::auth::login::PORTAL;
use crate::auth::{CredentialStore, Credentials, StoreKind};

use super::super::check::{Check, Id, Kind};
use super::super::{blocking, remedy};
use super::Subject;

/// What the credential store holds.
pub(super) struct Stored {
    pub(super) check: Check,
    /// False where nothing could be read: then nothing is known of the login.
    pub(super) is_readable: bool,
    /// The login of an app.
    pub(super) record: Option<Credentials>,
}

/// Looks at the store, and reads it.
pub(super) async fn look(subject: &Subject<'_>) -> Stored {
    let id = Id::LoginStore;
    if subject.auth().has_token_file() {
        let path = subject.account.profile.token_file.clone().unwrap_or_default();
        return Stored {
            check: blocking(move || token_file(&path)).await,
            is_readable: true,
            record: None,
        };
    }
    let account = subject.account;
    let store = CredentialStore::new(account.profile.credentials, &account.state_dir, &account.name);
    // Reading closes a file that others could read: its mode must be seen before.
    let file = store.record_file();
    let mode = match file.clone() {
        Some(path) => blocking(move || mode_of(&path)).await,
        None => None,
    };
    let loaded = if subject.auth().has_app() {
        store.load().await
    } else {
        store.reach().await.map(|()| None)
    };
    let (place, is_readable) = (store.describe(), loaded.is_ok());
    let (check, record) = match loaded {
        Err(error) => {
            let check = Check::fail(id, Kind::Failure, error.to_string());
            let check = match store.kind() {
                StoreKind::Keyring => check
                    .remedy("unlock the keyring (sign in to the desktop)")
                    .remedy(format!(
                        "or keep the login in a file: {} --credentials file",
                        remedy::login(&account.name)
                    )),
                StoreKind::File => check.remedy(remedy::sign_in_again(&account.name)),
            };
            (check, None)
        }
        Ok(record) => (
            place_of(&place, file.as_deref(), mode, &account.name, record.as_ref()),
            record,
        ),
    };
    Stored {
        check: check.detail("store", store.kind().to_string()),
        is_readable,
        record,
    }
}

fn mode_of(path: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(metadata.permissions().mode() & 0o7777)
}

/// The store was read: is it private, and can a renewal be written?
fn place_of(
    place: &str,
    file: Option<&Path>,
    mode: Option<u32>,
    profile: &str,
    record: Option<&Credentials>,
) -> Check {
    let id = Id::LoginStore;
    let Some(file) = file else {
        return Check::pass(id, format!("{place} answers"));
    };
    let Some(mode) = mode else {
        return Check::pass(id, format!("nothing is kept at {place} yet"));
    };
    let octal = format!("{mode:04o}");
    if mode & 0o077 != 0 {
        let mut check = Check::fail(
            id,
            Kind::Login,
            format!("others could read the login in {place} (its mode was {octal}; pwfs has closed it now)"),
        )
        .remedy(format!(
            "whoever could read it may have copied the login: end it and sign in again: {0}, then {1}",
            remedy::command(profile, "logout"),
            remedy::login(profile)
        ));
        if record.is_some_and(|record| record.client_secret.is_some()) {
            check = check.remedy(format!(
                "treat the Client Secret like a password: rotate it at {PORTAL} at once"
            ));
        }
        return check.detail("mode", octal);
    }
    let directory = file.parent().unwrap_or(file);
    if rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err() {
        return Check::fail(
            id,
            Kind::Failure,
            format!(
                "nothing can be written to {}: a renewed login would be lost",
                directory.display()
            ),
        )
        .remedy(format!(
            "make it this user's own: chmod u+w '{}'",
            directory.display()
        ))
        .detail("mode", octal);
    }
    Check::pass(id, format!("{place} (its mode is {octal})")).detail("mode", octal)
}

fn token_file(path: &Path) -> Check {
    let id = Id::LoginStore;
    let shown = path.display();
    let Some(mode) = mode_of(path) else {
        return Check::waits(id, Id::ConfigKeys);
    };
    let octal = format!("{mode:04o}");
    let is_open = mode & 0o077 != 0;
    if !is_open {
        return Check::pass(id, format!("{shown} (its mode is {octal})")).detail("mode", octal);
    }
    Check::warn(
        id,
        format!("others can read the token in {shown} (its mode is {octal})"),
    )
    .remedy(format!("chmod go-rwx '{shown}', and have its writer keep it so"))
    .detail("mode", octal)
}

/// Whether somebody has signed in with the profile's app.
pub(super) fn login(subject: &Subject<'_>, record: Option<&Credentials>) -> Check {
    let id = Id::LoginRecord;
    let name = subject.name();
    if !subject.auth().has_browser() {
        // What they keep is a secret or a password, whose use is looked at next.
        return Check::not_needed(
            id,
            format!("nobody signs in by hand where auth is {}", subject.auth()),
        );
    }
    let Some(record) = record else {
        return Check::fail(
            id,
            Kind::Login,
            format!("nobody has signed in with profile {name:?} yet"),
        )
        .remedy(format!("run `{}`", remedy::login(name)));
    };
    let app = subject.app_id();
    if !app.matches(&record.app) {
        let what = if app.client_id != record.app.client_id {
            format!("another app ({})", record.app.client_id)
        } else if app.issuer.trim_end_matches('/') != record.app.issuer.trim_end_matches('/') {
            format!("another identity provider ({})", record.app.issuer)
        } else {
            format!("other scopes ({})", record.app.scopes)
        };
        return Check::fail(
            id,
            Kind::Login,
            format!("the stored login is one of {what} than the profile's"),
        )
        .remedy(remedy::sign_in_again(name));
    }
    let who = who(record).unwrap_or_else(|| "somebody the token does not name".to_owned());
    Check::pass(id, format!("{who} has signed in"))
        .detail("account", short_name(record))
        .detail("scopes", record.app.scopes.as_str())
}

fn who(record: &Credentials) -> Option<String> {
    let identity = &record.identity;
    match (&identity.name, &identity.email) {
        (Some(name), Some(email)) => Some(format!("{name} <{email}>")),
        (Some(only), None) | (None, Some(only)) => Some(only.clone()),
        (None, None) => identity.subject.clone(),
    }
}

/// The account, in one word.
pub(super) fn short_name(record: &Credentials) -> Option<String> {
    let identity = &record.identity;
    identity.email.clone().or_else(|| identity.subject.clone())
}

#[cfg(test)]
mod tests {
    use super::super::super::check::Outcome;
    use super::*;
    use std::fs;

    #[track_caller]
    fn is(check: &Check, outcome: Outcome, words: &str) {
        let text = format!("{} {}", check.finding, check.remedy.join(" "));
        assert_eq!(check.outcome, outcome, "{text}");
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn a_login_that_others_could_read_is_told_of_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("default.json");
        let place = |mode| place_of("FILE", Some(&file), mode, "default", None);
        is(&place(Some(0o600)), Outcome::Pass, "0600");
        is(&place(Some(0o644)), Outcome::Fail, "pwfs logout, then pwfs login");
        is(&place(Some(0o640)), Outcome::Fail, "0640");
        is(&place(None), Outcome::Pass, "nothing is kept");
        is(
            &place_of("the keyring", None, None, "default", None),
            Outcome::Pass,
            "answers",
        );
        let work = place_of("FILE", Some(&file), Some(0o604), "work", None);
        is(
            &work,
            Outcome::Fail,
            "pwfs --profile work logout, then pwfs --profile work login",
        );
    }

    #[test]
    fn a_token_file_that_others_read_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "x").unwrap();
        for (mode, outcome) in [(0o600, Outcome::Pass), (0o644, Outcome::Warn)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            is(&token_file(&file), outcome, &format!("{mode:04o}"));
        }
        assert_eq!(
            token_file(&dir.path().join("not-there")).waits_for,
            Some(Id::ConfigKeys)
        );
    }
}
