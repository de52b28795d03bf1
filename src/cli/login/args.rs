//! What may be said to `login`, `logout` and `whoami`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use url::Url;

use crate::auth::AuthKind;
use crate::http::Secret;

/// What may be said to `login`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LoginArgs {
    /// Client ID of your app, from the iTwin Developer Portal
    #[arg(long, value_name = "ID", env = "PWFS_CLIENT_ID")]
    pub client_id: Option<String>,
    /// File that holds the Client Secret, if the app has one (or set `PWFS_CLIENT_SECRET`, or give systemd the
    /// credential `pwfs-client-secret`)
    #[arg(long, value_name = "FILE", env = "PWFS_CLIENT_SECRET_FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Identity provider.
    #[arg(
        long,
        value_name = "URL",
        env = "PWFS_ISSUER",
        help = "Identity provider [default: https://ims.bentley.com]"
    )]
    pub issuer: Option<Url>,
    /// Scopes to ask for, separated by spaces.
    #[arg(
        long,
        value_name = "SCOPES",
        env = "PWFS_SCOPE",
        help = "Scopes to ask for, separated by spaces [default: projectwise:read offline_access; of a service \
                projectwise:read]"
    )]
    pub scope: Option<String>,
    /// Redirect URI, exactly as registered.
    #[arg(
        long,
        value_name = "URI",
        env = "PWFS_REDIRECT_URI",
        help = "Redirect URI, exactly as registered [default: http://localhost:3301/signin-callback]"
    )]
    pub redirect_uri: Option<String>,
    /// Print the address to open instead of opening a browser
    #[arg(long, env = "PWFS_NO_BROWSER", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub no_browser: bool,
    /// Type of the app, as registered [default: web]
    #[arg(long, value_enum, value_name = "TYPE", env = "PWFS_APP_TYPE")]
    pub app_type: Option<AppTypeChoice>,
    /// The app is a Service: Client ID and Secret sign in by themselves, without a browser
    #[arg(long, env = "PWFS_SERVICE", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub service: bool,
    /// Sign in with a ProjectWise account of this name and its password, on a server of your own
    #[arg(long, value_name = "NAME", env = "PWFS_USERNAME")]
    pub username: Option<String>,
    /// The name is that of a Windows account, DOMAIN\name
    #[arg(long, env = "PWFS_WINDOWS", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub windows: bool,
    /// File that holds the password (or set `PWFS_PASSWORD`, or give systemd the credential `pwfs-password`)
    #[arg(long, value_name = "FILE", env = "PWFS_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Sign in with the SAML assertion in a file, which is read again when it changes
    #[arg(long, value_name = "FILE", env = "PWFS_SAML_FILE")]
    pub saml_file: Option<PathBuf>,
    /// Sign in with the bearer token in a file, which is read again when it changes
    #[arg(long, value_name = "FILE", env = "PWFS_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Datasource URL to keep in the profile; a password or the token of a file is tried there, once
    #[arg(long, value_name = "URL", env = "PWFS_DATASOURCE")]
    pub datasource: Option<String>,
    /// The Client Secret or password itself, where `setup` has asked for it: goes before every other source. Empty where
    /// the person gave none; then nobody is asked again.
    #[arg(skip)]
    pub answered: Option<Secret>,
    /// Where to keep the login
    #[arg(long, value_enum, value_name = "WHERE", env = "PWFS_CREDENTIALS")]
    pub credentials: Option<CredentialsChoice>,
}

impl LoginArgs {
    /// True where the secret need not be asked for: a file is named for it, or the environment has it.
    pub fn has_secret_source(&self) -> bool {
        let is_set = |name| std::env::var_os(name).is_some();
        self.client_secret_file.is_some()
            || self.password_file.is_some()
            || ["PWFS_CLIENT_SECRET", "PWFS_PASSWORD"].into_iter().any(is_set)
    }

    /// The way to sign in that the flags name by themselves.
    pub fn named_kind(&self) -> Option<AuthKind> {
        let app_type = self.app_type.map(AuthKind::from);
        let file = |given: bool, kind| given.then_some(kind);
        let password = if self.windows {
            AuthKind::Windows
        } else {
            AuthKind::Basic
        };
        app_type
            .or(file(self.service, AuthKind::Service))
            .or(file(self.windows || self.username.is_some(), password))
            .or(file(self.saml_file.is_some(), AuthKind::Saml))
            .or(file(self.token_file.is_some(), AuthKind::Bearer))
    }
}

impl From<AppTypeChoice> for AuthKind {
    fn from(choice: AppTypeChoice) -> Self {
        match choice {
            AppTypeChoice::Web => Self::Web,
            AppTypeChoice::Native => Self::Native,
            AppTypeChoice::Spa => Self::Spa,
        }
    }
}

/// What may be said to `logout`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogoutArgs {}

/// What may be said to `whoami`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WhoamiArgs {}

/// The choice of `--credentials`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CredentialsChoice {
    /// The keyring if it works, else a file
    Auto,
    /// The keyring of the desktop
    Keyring,
    /// A file that only you can read
    File,
}

/// The choice of `--app-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AppTypeChoice {
    /// A Web App, with a Client Secret if the portal offered one
    Web,
    /// A Desktop/Mobile app, without a secret
    Native,
    /// A single-page app, without a secret
    Spa,
}
