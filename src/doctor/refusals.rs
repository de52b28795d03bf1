//! Remembers a password that was refused, so that no later run tries it again: servers lock accounts for that.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was refused, and by whom. Nothing of the password is in it: only when the store last changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// The credential store as it was.
    pub(super) stamp: String,
    /// The account's name.
    pub(super) account: String,
    /// The server.
    pub(super) server: String,
    /// When.
    pub(super) at: Timestamp,
    /// The server's words.
    pub(super) words: String,
}

/// Where the refusal of one profile is kept.
#[derive(Debug, Clone)]
pub(super) struct Refusals(PathBuf);

impl Refusals {
    pub(super) fn of(state_dir: &Path, profile: &str) -> Self {
        Self(state_dir.join("doctor").join(format!("{profile}.refused.json")))
    }

    /// The refusal of the very password, account and server that would be tried now. Blocks.
    pub(super) fn of_this(&self, stamp: &str, account: &str, server: &str) -> Option<Refusal> {
        let text = fs::read(&self.0).ok()?;
        // One that cannot be read is none.
        let refusal: Refusal = serde_json::from_slice(&text).ok()?;
        let is_this = refusal.stamp == stamp && refusal.account == account && refusal.server == server;
        is_this.then_some(refusal)
    }

    /// Blocks.
    pub(super) fn remember(&self, refusal: &Refusal) -> io::Result<()> {
        if let Some(directory) = self.0.parent() {
            crate::config::create_private_dir(directory).map_err(io::Error::other)?;
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.0)?;
        file.write_all(&serde_json::to_vec(refusal).map_err(io::Error::other)?)
    }

    /// Blocks.
    pub(super) fn forget(&self) {
        // One that stays is compared with what would be tried, and does no harm.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_until_password_account_or_server_change() {
        let dir = tempfile::tempdir().unwrap();
        let refusals = Refusals::of(dir.path(), "work");
        assert_eq!(refusals.of_this("s1", "ann", "h"), None);
        let refusal = Refusal {
            stamp: "s1".to_owned(),
            account: "ann".to_owned(),
            server: "h".to_owned(),
            at: Timestamp::now(),
            words: "LoginFailed".to_owned(),
        };
        refusals.remember(&refusal).unwrap();
        assert_eq!(refusals.of_this("s1", "ann", "h"), Some(refusal));
        for (stamp, account, server) in [("s2", "ann", "h"), ("s1", "bob", "h"), ("s1", "ann", "i")] {
            assert_eq!(refusals.of_this(stamp, account, server), None);
        }
        refusals.forget();
        assert_eq!(refusals.of_this("s1", "ann", "h"), None);
    }
}
