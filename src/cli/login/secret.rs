//! Where a secret comes from: a file, the environment, systemd, a person. Never an argument: those are for all to see.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::http::Secret;

use super::LoginCommandError;

/// One of the secrets, and its names.
#[derive(Clone, Copy)]
pub(super) struct SecretKind {
    /// In words.
    pub(super) what: &'static str,
    variable: &'static str,
    /// systemd's credential (systemd.exec(5), `LoadCredential=`).
    credential: &'static str,
    /// Whether blanks at its ends belong to it.
    keeps_blanks: bool,
}

pub(super) const CLIENT_SECRET: SecretKind = SecretKind {
    what: "the Client Secret",
    variable: "PWFS_CLIENT_SECRET",
    credential: "pwfs-client-secret",
    keeps_blanks: false,
};

pub(super) const PASSWORD: SecretKind = SecretKind {
    what: "the password",
    variable: "PWFS_PASSWORD",
    credential: "pwfs-password",
    keeps_blanks: true,
};

/// Far above any secret, and small enough for a file that was named by mistake.
const LIMIT: u64 = 64 << 10;

impl SecretKind {
    /// The secret a person gave to `setup`, else that in `file`; where none is named, in the environment, else among
    /// systemd's credentials.
    pub(super) async fn given(
        self,
        answered: Option<&Secret>,
        file: Option<&Path>,
    ) -> Result<Option<Secret>, LoginCommandError> {
        if let Some(answered) = answered {
            return Ok(self.typed(answered.expose()));
        }
        let environment = |name: &str| std::env::var_os(name);
        self.found(file, environment).await
    }

    async fn found(
        self,
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Secret>, LoginCommandError> {
        if let Some(path) = file {
            return self.read(path).await.map(Some);
        }
        if let Some(text) = environment(self.variable) {
            let text = text
                .into_string()
                .map_err(|_| LoginCommandError::Usage(format!("{} is no text", self.variable)))?;
            return self.checked(&text).map(Some);
        }
        let Some(directory) = environment("CREDENTIALS_DIRECTORY") else {
            return Ok(None);
        };
        let path = PathBuf::from(directory).join(self.credential);
        match tokio::fs::try_exists(&path).await {
            Ok(false) => Ok(None),
            Ok(true) | Err(_) => self.read(&path).await.map(Some),
        }
    }

    /// What a person typed; `None` where they left it empty.
    pub(super) fn typed(self, text: &str) -> Option<Secret> {
        self.checked(text).ok()
    }

    async fn read(self, path: &Path) -> Result<Secret, LoginCommandError> {
        use tokio::io::AsyncReadExt as _;
        let failed = |source| LoginCommandError::Input {
            what: path.display().to_string(),
            source,
        };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let mut text = zeroize::Zeroizing::new(String::new());
        file.take(LIMIT).read_to_string(&mut text).await.map_err(failed)?;
        self.checked(&text)
    }

    fn checked(self, text: &str) -> Result<Secret, LoginCommandError> {
        let secret = if self.keeps_blanks {
            text.trim_end_matches(['\r', '\n'])
        } else {
            text.trim()
        };
        if secret.is_empty() {
            return Err(LoginCommandError::Usage(format!(
                "{} that was given is empty",
                self.what
            )));
        }
        Ok(Secret::new(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_goes_before_the_environment_and_that_before_systemd() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, " from a file \r\n").unwrap();
        let credential = dir.path().join("pwfs-password");
        std::fs::write(&credential, "from systemd\n").unwrap();
        let environment = |set: bool| {
            let directory = dir.path().as_os_str().to_owned();
            move |name: &str| match name {
                "PWFS_PASSWORD" if set => Some("from the environment".into()),
                "CREDENTIALS_DIRECTORY" => Some(directory.clone()),
                _ => None,
            }
        };
        for (file, set, expected) in [
            (Some(&file), true, " from a file "),
            (None, true, "from the environment"),
            (None, false, "from systemd"),
        ] {
            let found = PASSWORD.found(file.map(PathBuf::as_path), environment(set)).await;
            assert_eq!(found.unwrap().unwrap().expose(), expected);
        }
        // No such credential among those of the unit.
        let found = CLIENT_SECRET.found(None, environment(true)).await;
        assert!(found.unwrap().is_none());
        let found = CLIENT_SECRET.found(Some(&file), environment(true)).await;
        assert_eq!(found.unwrap().unwrap().expose(), "from a file");
    }

    #[tokio::test]
    async fn an_empty_secret_is_refused_and_one_that_is_not_there_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "\n").unwrap();
        let error = PASSWORD.found(Some(&file), |_| None).await.unwrap_err();
        assert!(error.to_string().contains("the password that was given is empty"));
        std::fs::remove_file(&file).unwrap();
        let error = PASSWORD.found(Some(&file), |_| None).await.unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
}
