//! Asks mounts of other processes how their logins are, by the attributes of their roots.
//!
//! A mount's process may be gone, stopped or of somebody else: every question has an end.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::fs::login::{LOGIN, LOGIN_DETAIL, LOGIN_REMEDY, LOGIN_SINCE, PROFILE};

/// A mount answers these from memory; one that does not by then is stopped, or has lost its threads.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The longest value the kernel hands out (`XATTR_SIZE_MAX`).
const LONGEST_VALUE: usize = 64 * 1024;

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It answers.
    Alive(Told),
    /// Its process is gone.
    Dead,
    /// Its process does not answer in time.
    Silent,
    /// It lets only others in.
    Closed,
}

/// What a mount tells of its login; each absent where it does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The profile.
    pub profile: Option<String>,
    /// The state, as a word: `good`, `login-needed`, `secret-needed`, `locked-out`.
    pub login: Option<String>,
    /// Since when.
    pub since: Option<String>,
    /// The words of whoever refused it.
    pub detail: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Asks all mounts at once, the answers in their order. Blocks for at most about two seconds.
pub fn ask(mountpoints: &[PathBuf]) -> Vec<Found> {
    let end = Instant::now() + ANSWER_TIME;
    let asked: Vec<_> = mountpoints.iter().map(|path| begin(path)).collect();
    asked
        .into_iter()
        .map(|answer| {
            let left = end.saturating_duration_since(Instant::now());
            answer.recv_timeout(left).unwrap_or(Found::Silent)
        })
        .collect()
}

/// The attributes of one mount's root, in the order of `names`; or why it does not tell. Blocks for at most about two
/// seconds.
pub fn attributes<const N: usize>(
    mountpoint: &Path,
    names: [&'static str; N],
) -> Result<[Option<String>; N], Found> {
    let path = mountpoint.to_owned();
    let told = on_a_thread(move || read(&path, names));
    told.recv_timeout(ANSWER_TIME).unwrap_or(Err(Found::Silent))
}

fn begin(path: &Path) -> mpsc::Receiver<Found> {
    let path = path.to_owned();
    on_a_thread(move || asked(&path))
}

/// Asks on a thread of its own, which a mount that never answers keeps.
fn on_a_thread<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (tell, told) = mpsc::channel();
    let asking = std::thread::Builder::new()
        .name("probe".to_owned())
        .spawn(move || {
            // Nobody listens any more if it took too long.
            let _ = tell.send(ask());
        });
    if let Err(error) = asking {
        // The channel is closed, which counts as no answer.
        tracing::warn!(%error, "no thread to ask a mount with");
    }
    told
}

fn asked(path: &Path) -> Found {
    match read(path, [LOGIN, PROFILE, LOGIN_SINCE, LOGIN_DETAIL, LOGIN_REMEDY]) {
        Ok([login, profile, since, detail, remedy]) => Found::Alive(Told {
            profile,
            login,
            since,
            detail,
            remedy,
        }),
        Err(found) => found,
    }
}

fn read<const N: usize>(path: &Path, names: [&'static str; N]) -> Result<[Option<String>; N], Found> {
    let mut buffer = vec![0; LONGEST_VALUE];
    let mut values = [const { None }; N];
    for (name, value) in names.into_iter().zip(&mut values) {
        match rustix::fs::getxattr(path, name, &mut *buffer) {
            Ok(length) => *value = Some(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(Errno::NOTCONN) => return Err(Found::Dead),
            Err(Errno::ACCESS | Errno::PERM) => return Err(Found::Closed),
            // Nothing to tell, or a mount of a version that knows no such attribute.
            Err(_) => {}
        }
    }
    Ok(values)
}
