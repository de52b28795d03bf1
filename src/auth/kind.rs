//! The ways in which a profile says who asks: four types of iTwin apps, and the older logins of on-premises servers.

use std::fmt;
use std::str::FromStr;

/// How a profile signs in. Its text form is the key `auth` of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthKind {
    /// A Web App: a browser, and a Client Secret where the portal offered one. The guide's choice.
    #[default]
    Web,
    /// A Desktop/Mobile (Native) app: a browser, no secret.
    Native,
    /// A single-page app: a browser, no secret.
    Spa,
    /// A Service app: Client ID and Secret, nobody at a browser.
    Service,
    /// A ProjectWise account's name and password.
    Basic,
    /// A Windows account's name and password.
    Windows,
    /// A SAML assertion in a file.
    Saml,
    /// A bearer token in a file, kept fresh by someone else.
    Bearer,
}

/// The text names no way to sign in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no way to sign in: web, native, spa, service, basic, windows, saml, bearer")]
pub struct UnknownAuthKind(String);

impl AuthKind {
    /// Every kind with its text form.
    pub const ALL: [(&'static str, Self); 8] = [
        ("web", Self::Web),
        ("native", Self::Native),
        ("spa", Self::Spa),
        ("service", Self::Service),
        ("basic", Self::Basic),
        ("windows", Self::Windows),
        ("saml", Self::Saml),
        ("bearer", Self::Bearer),
    ];

    /// True where there is an iTwin app, with a Client ID, scopes and an identity provider.
    pub const fn has_app(self) -> bool {
        matches!(self, Self::Web | Self::Native | Self::Spa | Self::Service)
    }

    /// True where a person signs in with a browser.
    pub const fn has_browser(self) -> bool {
        matches!(self, Self::Web | Self::Native | Self::Spa)
    }

    /// True where the app may have a Client Secret.
    pub const fn has_secret(self) -> bool {
        matches!(self, Self::Web | Self::Service)
    }

    /// True where a user name and a password are sent.
    pub const fn has_password(self) -> bool {
        matches!(self, Self::Basic | Self::Windows)
    }

    /// True where the proof lies in a file that is read again when it changes.
    pub const fn has_token_file(self) -> bool {
        matches!(self, Self::Saml | Self::Bearer)
    }
}

impl fmt::Display for AuthKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Web => "web",
            Self::Native => "native",
            Self::Spa => "spa",
            Self::Service => "service",
            Self::Basic => "basic",
            Self::Windows => "windows",
            Self::Saml => "saml",
            Self::Bearer => "bearer",
        })
    }
}

impl FromStr for AuthKind {
    type Err = UnknownAuthKind;

    fn from_str(text: &str) -> Result<Self, UnknownAuthKind> {
        Self::ALL
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, kind)| *kind)
            .ok_or_else(|| UnknownAuthKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_back_from_its_text() {
        for (word, kind) in AuthKind::ALL {
            assert_eq!(kind.to_string(), word);
            assert_eq!(word.parse(), Ok(kind));
            // One proof each: an app, a password or a file.
            let proofs = [kind.has_app(), kind.has_password(), kind.has_token_file()];
            assert_eq!(proofs.iter().filter(|has| **has).count(), 1, "{word}");
        }
        assert!("oauth".parse::<AuthKind>().is_err());
    }
}
