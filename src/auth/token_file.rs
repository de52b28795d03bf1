//! A token that somebody else keeps fresh in a file: a bearer token, or a SAML assertion (projectwise-api 1.10).
//!
//! The file is looked at before each use and read again when it changed. What it holds goes to the server as it is; a
//! mistake a person makes with such files (a page saved in place of the assertion, a header in place of the token) is
//! said in words that name the file, and nothing is sent.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::credentials::{ends, identity};
use super::kind::AuthKind;
use super::presented::Loaded;
use super::store::Stamp;
use super::{AuthError, Authorization, saml};
use crate::http::Secret;

/// Where a source finds the token of its profile.
pub(super) struct TokenFile {
    kind: AuthKind,
    path: Option<PathBuf>,
}

/// The most a header can be: the limit of a Windows web server at its widest (http.sys, `MaxFieldLength`).
const HEADER_LIMIT: usize = 65_534;

impl TokenFile {
    /// The file of a profile, if it names one.
    pub(super) const fn new(kind: AuthKind, path: Option<PathBuf>) -> Self {
        Self { kind, path }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What to compare to notice another token. Not on the thread of the caller: the file may lie on a network.
    pub(super) async fn stamp(&self) -> Stamp {
        match &self.path {
            Some(path) => Stamp::of(tokio::fs::metadata(path).await.ok().as_ref()),
            None => Stamp::of(None),
        }
    }

    /// Reads the token.
    pub(super) async fn load(&self) -> Result<Loaded, AuthError> {
        let (kind, path) = (self.kind, self.path.clone());
        let Some(path) = path else {
            return Err(AuthError::LoginRequired(
                "the profile names no token_file".to_owned(),
            ));
        };
        tokio::task::spawn_blocking(move || read(kind, &path))
            .await
            .map_err(|error| AuthError::Store(format!("the disk work broke off: {error}")))?
    }

    /// What is told to whoever asks for a token that was refused.
    pub(super) fn refused(&self, words: &str) -> AuthError {
        let what = noun(self.kind);
        let shown = self
            .path
            .as_deref()
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        AuthError::LoginRequired(format!(
            "the server refuses the {what} in {shown} ({words}); it is not sent again until the file changes"
        ))
    }
}

const fn noun(kind: AuthKind) -> &'static str {
    match kind {
        AuthKind::Saml => "SAML assertion",
        AuthKind::Web
        | AuthKind::Native
        | AuthKind::Spa
        | AuthKind::Service
        | AuthKind::Basic
        | AuthKind::Windows
        | AuthKind::Bearer => "token",
    }
}

/// Reads `path` and makes of it what a request carries. Blocks.
fn read(kind: AuthKind, path: &Path) -> Result<Loaded, AuthError> {
    let what = noun(kind);
    let unfit = |why: String| AuthError::LoginRequired(format!("the {what} file {} {why}", path.display()));
    if !path.is_absolute() {
        return Err(unfit(
            "is not named by its whole path, from the root on".to_owned(),
        ));
    }
    let cannot = |error: std::io::Error| unfit(format!("cannot be read: {error}"));
    // A pipe would be waited for without end.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(unfit("is not a file".to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = HEADER_LIMIT as u64 + 1;
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err(unfit("is empty".to_owned()));
    }
    let (header, identity, ends) = match kind {
        AuthKind::Saml => {
            if !text
                .strip_prefix(b"\xEF\xBB\xBF")
                .unwrap_or(text)
                .starts_with(b"<")
            {
                return Err(unfit("holds no XML".to_owned()));
            }
            let encoded = Zeroizing::new(STANDARD.encode(text));
            (format!("Token {}", encoded.as_str()), saml::identity(text), None)
        }
        AuthKind::Web
        | AuthKind::Native
        | AuthKind::Spa
        | AuthKind::Service
        | AuthKind::Basic
        | AuthKind::Windows
        | AuthKind::Bearer => {
            let printable = text.iter().all(u8::is_ascii_graphic);
            let Some(token) = std::str::from_utf8(text).ok().filter(|_| printable) else {
                return Err(unfit(
                    "holds something else than one token: it has spaces, line breaks or letters that no token has"
                        .to_owned(),
                ));
            };
            let secret = Secret::new(token);
            (format!("Bearer {token}"), identity(&secret), ends(&secret))
        }
    };
    if bytes.len() > HEADER_LIMIT || header.len() > HEADER_LIMIT {
        return Err(unfit(format!(
            "is longer than any server takes ({HEADER_LIMIT} bytes)"
        )));
    }
    let header = Secret::new(header);
    // Stands for the token where it names nobody: the account of an unknown person is that of no other token.
    let digest = format!("{:x}", Sha256::digest(header.expose()));
    let account = identity.account().map(str::to_owned);
    Ok(Loaded {
        authorization: Authorization::new(header, None),
        names_account: account.is_some(),
        account: account.or_else(|| Some(format!("{kind} {digest}"))),
        identity,
        ends,
        login: digest,
        verdict: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: AuthKind, content: &[u8]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, content).unwrap();
        match read(kind, &path) {
            Ok(loaded) => Ok(loaded.authorization.header().expose().to_owned()),
            Err(AuthError::LoginRequired(words)) => {
                assert!(words.contains(path.to_str().unwrap()), "{words}");
                assert!(!words.contains("s3cret"), "{words}");
                Err(words)
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_in_the_file_is_what_is_sent() {
        assert_eq!(
            header(AuthKind::Bearer, b"  a.b.c-_~+/=\r\n"),
            Ok("Bearer a.b.c-_~+/=".to_owned())
        );
        // printf '<a>ü</a>' | base64
        assert_eq!(
            header(AuthKind::Saml, "\n<a>ü</a>\n".as_bytes()),
            Ok("Token PGE+w7w8L2E+".to_owned())
        );
    }

    #[test]
    fn a_file_that_holds_no_token_is_named_and_nothing_is_sent() {
        let long = vec![b'x'; HEADER_LIMIT + 1];
        for (kind, content, why) in [
            (AuthKind::Bearer, b" \n".as_slice(), "is empty"),
            (AuthKind::Bearer, b"Bearer s3cret".as_slice(), "one token"),
            (AuthKind::Bearer, b"s3cret\ns3cret".as_slice(), "one token"),
            (AuthKind::Bearer, b"s3cr\xffet".as_slice(), "one token"),
            (AuthKind::Bearer, long.as_slice(), "longer"),
            (AuthKind::Saml, b"s3cret".as_slice(), "no XML"),
            (AuthKind::Saml, b"".as_slice(), "is empty"),
        ] {
            let words = header(kind, content).unwrap_err();
            assert!(words.contains(why), "{words}");
        }
        // Fits as a file, and not as a header.
        let assertion = [b"<", vec![b'x'; HEADER_LIMIT * 4 / 5].as_slice()].concat();
        assert!(header(AuthKind::Saml, &assertion).unwrap_err().contains("longer"));
        let dir = tempfile::tempdir().unwrap();
        for (path, why) in [
            (dir.path().to_owned(), "not a file"),
            (dir.path().join("none"), "cannot be read"),
            (PathBuf::from("token"), "whole path"),
        ] {
            let error = read(AuthKind::Bearer, &path).err().unwrap();
            assert!(
                matches!(&error, AuthError::LoginRequired(words) if words.contains(why)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_token_that_names_nobody_is_an_account_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut accounts = Vec::new();
        for content in ["opaque-1", "opaque-2", "opaque-1"] {
            std::fs::write(&path, content).unwrap();
            let loaded = read(AuthKind::Bearer, &path).unwrap();
            assert!(!loaded.names_account && loaded.identity.account().is_none());
            accounts.push(loaded.account.unwrap());
        }
        assert_eq!(accounts[0], accounts[2]);
        assert_ne!(accounts[0], accounts[1]);
    }
}
