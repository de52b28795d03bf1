//! Where logins are kept: in the desktop's keyring, or in a file only its owner can read.
//!
//! The kind is chosen once, at login, and never falls back by itself: two stores would replay a refresh token that the
//! other one has used up. Whoever writes holds the profile's [`StoreLock`], across processes; beside it lies a stamp
//! that every write moves, so that a running mount notices a new login without asking the keyring.
//!
//! ```text
//! <state>/credentials/          0700
//!     <profile>.json            0600, kind "file" only: the record
//!     <profile>.stamp           0600, kind "keyring" only: changes with every write
//!     <profile>.refused         0600, a password that a server refused: no process sends it again
//!     <profile>.lock            0600, locked while the record is replaced
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::AuthError;
use super::credentials::Credentials;
use super::keyring::Keyring;
use super::password::{PasswordLogin, Refusal};
use crate::http::HttpError;

/// The kind of a store; its text form is what a profile keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The Secret Service of the desktop.
    Keyring,
    /// A file with mode 0600.
    File,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "keyring",
            Self::File => "file",
        })
    }
}

/// The text names no kind of store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a kind of credential store: keyring, file")]
pub struct UnknownStoreKind(String);

impl FromStr for StoreKind {
    type Err = UnknownStoreKind;

    fn from_str(text: &str) -> Result<Self, UnknownStoreKind> {
        match text {
            "keyring" => Ok(Self::Keyring),
            "file" => Ok(Self::File),
            other => Err(UnknownStoreKind(other.to_owned())),
        }
    }
}

/// The login of one profile. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    place: Place,
    dir: PathBuf,
    /// The profile's name, fit for a file name.
    stem: String,
    profile: String,
}

#[derive(Debug, Clone)]
enum Place {
    Keyring(Keyring),
    File,
}

/// Moves with every write; equal stamps mean an unchanged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<[i128; 6]>);

impl Stamp {
    /// The stamp of what a stat told; `None` for a file that cannot be seen. The time of the last change of mode or owner
    /// counts, too: it may make a file readable.
    pub(super) fn of(meta: Option<&fs::Metadata>) -> Self {
        Self(meta.map(|meta| {
            [
                meta.ino().into(),
                meta.mtime().into(),
                meta.mtime_nsec().into(),
                meta.ctime().into(),
                meta.ctime_nsec().into(),
                meta.size().into(),
            ]
        }))
    }
}

/// The right to write, held by one process at a time; ends when dropped.
#[derive(Debug)]
pub struct StoreLock {
    store: CredentialStore,
    _file: File,
}

/// Outlives a refresh of another process that meets a silent identity provider (30 s).
const LOCK_PATIENCE: Duration = Duration::from_secs(40);

/// Between two tries for the lock. It is held for as long as one request to the identity provider takes.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The extension of what a server said against a password.
const REFUSED: &str = "refused";

/// Far above any record: two tokens of a few KiB.
const RECORD_LIMIT: u64 = 1 << 20;

impl CredentialStore {
    /// The login of `profile`, kept below `state_dir`. Touches nothing yet.
    pub fn new(kind: StoreKind, state_dir: &Path, profile: &str) -> Self {
        Self {
            place: match kind {
                StoreKind::Keyring => Place::Keyring(Keyring::new(profile)),
                StoreKind::File => Place::File,
            },
            dir: state_dir.join("credentials"),
            stem: file_stem(profile),
            profile: profile.to_owned(),
        }
    }

    /// The kind of store it is in.
    pub const fn kind(&self) -> StoreKind {
        match self.place {
            Place::Keyring(_) => StoreKind::Keyring,
            Place::File => StoreKind::File,
        }
    }

    /// The profile whose login it is.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// Reads the login of an app; `None` where there is none, or one of another kind.
    pub async fn load(&self) -> Result<Option<Credentials>, AuthError> {
        match self.bytes().await? {
            Some(json) => Credentials::from_json(&json, &self.describe()),
            None => Ok(None),
        }
    }

    /// Reads a user's name and password; `None` where there is none, or a login of another kind.
    pub async fn load_password(&self) -> Result<Option<PasswordLogin>, AuthError> {
        match self.bytes().await? {
            Some(json) => PasswordLogin::from_json(&json, &self.describe()),
            None => Ok(None),
        }
    }

    /// Whether anything is stored, readable or not.
    pub async fn holds_something(&self) -> bool {
        !matches!(self.bytes().await, Ok(None))
    }

    /// What a server said against a password that is or was stored here.
    pub(super) async fn refusal(&self) -> Option<Refusal> {
        let path = self.file(REFUSED);
        // A mark that cannot be read costs one attempt with the password, as if there were none.
        let json = blocking(move || read_record(&path)).await.ok()??;
        serde_json::from_slice(&json).ok()
    }

    /// Finds out whether the store can be read. What it holds may be damaged: a new login replaces that.
    pub async fn reach(&self) -> Result<(), AuthError> {
        self.bytes().await.map(drop)
    }

    async fn bytes(&self) -> Result<Option<Zeroizing<Vec<u8>>>, AuthError> {
        match &self.place {
            Place::Keyring(keyring) => keyring.load().await,
            Place::File => {
                let path = self.record();
                blocking(move || read_record(&path)).await
            }
        }
    }

    /// Waits for the right to write, at most 40 s.
    pub async fn lock(&self) -> Result<StoreLock, AuthError> {
        let (dir, path) = (self.dir.clone(), self.file("lock"));
        let file = blocking(move || {
            private_dir(&dir)?;
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)
                .map_err(|error| told("opened", &path, &error))
        })
        .await?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            // Never blocks; the blocking form could not be given up again.
            match file.try_lock() {
                Ok(()) => {
                    return Ok(StoreLock {
                        store: self.clone(),
                        _file: file,
                    });
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(LOCK_POLL).await;
                }
                Err(TryLockError::WouldBlock) => {
                    // Whoever holds it waits for the identity provider, so this is an outage and not a broken store.
                    let text = format!(
                        "another pwfs has been renewing the login of profile {:?} for more than {} s",
                        self.profile,
                        LOCK_PATIENCE.as_secs()
                    );
                    return Err(AuthError::Unreachable(HttpError::TimedOut(text)));
                }
                Err(TryLockError::Error(error)) => return Err(told("locked", &self.file("lock"), &error)),
            }
        }
    }

    /// What to compare to notice a write. One stat of a local file, hence not async.
    pub fn stamp(&self) -> Stamp {
        let path = self.stamped();
        // A file that cannot be seen counts as absent: the load that follows tells why.
        Stamp::of(fs::metadata(path).ok().as_ref())
    }

    /// What to compare to notice that another process was refused.
    pub(super) fn refusal_stamp(&self) -> Stamp {
        Stamp::of(fs::metadata(self.file(REFUSED)).ok().as_ref())
    }

    /// The file that every write replaces; maybe there is none yet.
    pub(super) fn stamped(&self) -> PathBuf {
        match self.place {
            Place::Keyring(_) => self.file("stamp"),
            Place::File => self.record(),
        }
    }

    /// Where the login is, in words.
    pub fn describe(&self) -> String {
        match self.place {
            Place::Keyring(_) => format!("the keyring (pwfs, {})", self.profile),
            Place::File => self.record().display().to_string(),
        }
    }

    /// The file the login is in; `None` where it is in the keyring.
    pub fn record_file(&self) -> Option<PathBuf> {
        match self.place {
            Place::Keyring(_) => None,
            Place::File => Some(self.record()),
        }
    }

    fn record(&self) -> PathBuf {
        self.file("json")
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.stem))
    }
}

impl StoreLock {
    /// Replaces the login: wholly, and on the disk, or not at all.
    pub async fn save(&self, credentials: &Credentials) -> Result<(), AuthError> {
        self.put(credentials.to_json()?).await
    }

    /// Replaces the login by one with a password, in the same way.
    pub async fn save_password(&self, login: &PasswordLogin) -> Result<(), AuthError> {
        self.put(login.to_json()?).await
    }

    /// Keeps what a server said against the password.
    pub(super) async fn mark(&self, refusal: &Refusal) -> Result<(), AuthError> {
        let json = serde_json::to_vec(refusal)
            .map_err(|error| AuthError::Store(format!("a refusal cannot be written: {error}")))?;
        let (path, dir) = (self.store.file(REFUSED), self.store.dir.clone());
        blocking(move || replace(&dir, &path, &json)).await
    }

    async fn put(&self, json: Zeroizing<String>) -> Result<(), AuthError> {
        let store = &self.store;
        match &store.place {
            Place::Keyring(keyring) => {
                keyring.save(json).await?;
                self.move_stamp().await
            }
            Place::File => {
                let (path, dir) = (store.record(), store.dir.clone());
                blocking(move || replace(&dir, &path, json.as_bytes())).await
            }
        }
    }

    /// Forgets the login.
    pub async fn delete(&self) -> Result<(), AuthError> {
        let mark = self.store.file(REFUSED);
        blocking(move || remove(&mark)).await?;
        match &self.store.place {
            Place::Keyring(keyring) => {
                keyring.delete().await?;
                self.move_stamp().await
            }
            Place::File => {
                let path = self.store.record();
                blocking(move || remove(&path)).await
            }
        }
    }

    async fn move_stamp(&self) -> Result<(), AuthError> {
        let (path, dir) = (self.store.file("stamp"), self.store.dir.clone());
        // A new inode moves the stamp by itself; the content is for people.
        let text = format!("{}\n", jiff::Timestamp::now());
        blocking(move || replace(&dir, &path, text.as_bytes())).await
    }
}

/// Profile names become file names without loss: what is not plain is written as `%` and two hex digits.
fn file_stem(profile: &str) -> String {
    use fmt::Write as _;
    let mut stem = String::with_capacity(profile.len());
    for byte in profile.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            stem.push(char::from(byte));
        } else {
            write!(stem, "%{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    stem
}

/// Runs disk work where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
) -> Result<T, AuthError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| AuthError::Store(format!("the disk work broke off: {error}")))?
}

fn told(verb: &str, path: &Path, error: &io::Error) -> AuthError {
    AuthError::Store(format!("{} cannot be {verb}: {error}", path.display()))
}

/// Makes `dir` as 0700, or closes one that is open to others. Blocks.
pub fn private_dir(dir: &Path) -> Result<(), AuthError> {
    let outcome = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    outcome.map_err(|error| told("made", dir, &error))?;
    let mode = fs::metadata(dir)
        .map_err(|error| told("seen", dir, &error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(|error| told("closed to others", dir, &error))?;
    }
    Ok(())
}

fn read_record(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, AuthError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told("read", path, &error)),
    };
    let mode = file
        .metadata()
        .map_err(|error| told("read", path, &error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others could read the login; closing it");
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|error| told("closed to others", path, &error))?;
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(RECORD_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| told("read", path, &error))?;
    Ok(Some(bytes))
}

/// Removes a file; none is as good.
fn remove(path: &Path) -> Result<(), AuthError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("removed", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `bytes` beside `path` and renames it there, so that a crash leaves the old or the new file, never half of one.
/// The lock makes the one temporary name safe.
fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), AuthError> {
    let fresh = path.with_extension("new");
    // One left by a crash may be anything, a link included: it is removed, and the new one must be ours.
    remove(&fresh)?;
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| told("written", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::credentials::{AppId, Tokens};
    use crate::http::Secret;

    fn record(access: &str) -> Credentials {
        Credentials::new(
            AppId {
                issuer: "https://ims.example".to_owned(),
                client_id: "app".to_owned(),
                scopes: "a b".to_owned(),
            },
            "http://localhost:3301/signin-callback",
            Some(Secret::new("client-s3cret")),
            Tokens {
                access: Secret::new(access),
                refresh: Some(Secret::new("refresh-s3cret")),
                lifetime: Some(Duration::from_secs(3600)),
                scopes: None,
            },
            jiff::Timestamp::now(),
        )
    }

    #[tokio::test]
    async fn a_login_is_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(StoreKind::File, dir.path(), "my profile");
        assert!(store.load().await.unwrap().is_none());
        let before = store.stamp();
        store
            .lock()
            .await
            .unwrap()
            .save(&record("access-s3cret"))
            .await
            .unwrap();
        assert_ne!(store.stamp(), before);
        let kept = store.load().await.unwrap().unwrap();
        assert_eq!(kept.access.expose(), "access-s3cret");
        assert_eq!(kept.refresh.as_ref().unwrap().expose(), "refresh-s3cret");
        assert_eq!(kept.client_secret.as_ref().unwrap().expose(), "client-s3cret");
        assert!(!format!("{kept:?} {store:?}").contains("s3cret"));

        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("credentials"), 0o700);
        assert_eq!(mode("credentials/my%20profile.json"), 0o600);
        assert_eq!(mode("credentials/my%20profile.lock"), 0o600);
    }

    #[tokio::test]
    async fn a_file_open_to_others_is_closed_when_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(StoreKind::File, dir.path(), "p");
        store.lock().await.unwrap().save(&record("a")).await.unwrap();
        fs::set_permissions(store.record(), Permissions::from_mode(0o644)).unwrap();
        store.load().await.unwrap().unwrap();
        assert_eq!(
            fs::metadata(store.record()).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[tokio::test]
    async fn a_write_that_cannot_be_finished_leaves_the_old_login() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(StoreKind::File, dir.path(), "p");
        let lock = store.lock().await.unwrap();
        lock.save(&record("old")).await.unwrap();
        // A directory where the temporary file should be: not even root can write through that.
        fs::create_dir(store.file("new")).unwrap();
        let error = lock.save(&record("new-s3cret")).await.unwrap_err();
        assert!(
            matches!(error, AuthError::Store(_)) && !error.to_string().contains("s3cret"),
            "{error}"
        );
        assert_eq!(store.load().await.unwrap().unwrap().access.expose(), "old");
        fs::remove_dir(store.file("new")).unwrap();
        // What a crash left behind is no obstacle, and a link there is not written through.
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, store.file("new")).unwrap();
        lock.save(&record("newer")).await.unwrap();
        assert_eq!(store.load().await.unwrap().unwrap().access.expose(), "newer");
        assert_eq!(fs::read_to_string(victim).unwrap(), "untouched");
    }

    #[tokio::test]
    async fn one_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(StoreKind::File, dir.path(), "p");
        let first = store.lock().await.unwrap();
        let other = CredentialStore::new(StoreKind::File, dir.path(), "p");
        let mut second = Box::pin(other.lock());
        assert!(tokio::time::timeout(LOCK_POLL * 3, &mut second).await.is_err());
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_login_is_an_error_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(StoreKind::File, dir.path(), "p");
        drop(store.lock().await.unwrap());
        for damage in [
            r#"{"version":1,"access_token":"s3cret"#,
            r#"{"version":1,"issuer":["s3cret"]}"#,
            r#"{"version":9}"#,
        ] {
            fs::write(store.record(), damage).unwrap();
            let error = store.load().await.unwrap_err();
            assert!(matches!(error, AuthError::Store(_)), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
            // … and no obstacle to the login that replaces it.
            store.reach().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_logout_forgets_the_login() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(StoreKind::File, dir.path(), "p");
        let lock = store.lock().await.unwrap();
        lock.save(&record("a")).await.unwrap();
        lock.delete().await.unwrap();
        lock.delete().await.unwrap();
        assert!(store.load().await.unwrap().is_none());
    }

    #[test]
    fn profile_names_never_meet_in_one_file() {
        assert_eq!(file_stem("work-1"), "work-1");
        assert_eq!(file_stem("../x"), "%2e%2e%2fx");
        assert_ne!(file_stem("a b"), file_stem("a%20b"));
    }
}
