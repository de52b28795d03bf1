//! What every command starts with: directories, configuration, and the profile it works for.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::{AppDirs, ConfigError, ConfigFile, DirOverrides, Profile, is_profile_name};
use crate::daemon::connect::{self, Account};
use crate::http::{HttpClient, Network};
use crate::model::FolderId;
use crate::remote::Remote;

use super::GlobalArgs;
use super::core_dump;
use super::failure::{self, CliError, ErrorKind};
use super::login::system::SUDO;
use super::network::{self, NetworkArgs};

/// Which server to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceArgs {
    /// Datasource, instead of the profile's: a URL of its gateway at any depth, a pw: link, server:datasource, or a host
    #[arg(long, value_name = "URL|LINK", env = "PWFS_DATASOURCE")]
    pub datasource: Option<String>,
}

/// The configuration, and one profile of it.
pub struct Session {
    /// Where files are kept.
    pub dirs: AppDirs,
    /// The file.
    pub config: ConfigFile,
    /// The profile's name.
    pub profile_name: String,
    /// The profile; as new where it is not in the file. Its network is the one to use, with flags and environment in it:
    /// to be written, it is [`Session::profile_to_keep`].
    pub profile: Profile,
    /// Whether it works for the whole system (`--system`).
    pub system: bool,
    /// Whether the profile was named, and not meant by default.
    pub is_named: bool,
    /// How servers are reached, as the command line and the environment say.
    network: NetworkArgs,
    network_to_keep: Network,
    missing: Option<ConfigError>,
}

/// True where the system keeps this user out.
fn denied(error: &ConfigError) -> bool {
    matches!(error, ConfigError::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
}

impl Session {
    /// Reads the configuration. Sends nothing.
    ///
    /// A profile that is not there is no failure yet: `login` makes it.
    pub fn open(global: &GlobalArgs) -> Result<Self, CliError> {
        // Every command that holds a login begins here.
        if !global.allow_core_dump {
            core_dump::forbid();
        }
        let overrides = DirOverrides::from_environment();
        let dirs = if global.system {
            AppDirs::of_the_system(overrides)
        } else {
            AppDirs::new(overrides)?
        };
        let config = match ConfigFile::load(&global.config.clone().unwrap_or_else(|| dirs.config_file())) {
            Err(error @ ConfigError::Read { .. }) if global.system && denied(&error) => {
                return Err(CliError::of(ErrorKind::Login, &error).hint(SUDO));
            }
            loaded => loaded?,
        };
        let profile_name = global.profile.clone().unwrap_or_else(|| config.default_profile());
        if !is_profile_name(&profile_name) {
            // Said before a login is made that could not be kept.
            return Err(CliError::new(
                ErrorKind::Usage,
                format!("{profile_name:?} cannot name a profile; use letters, digits, '-', '_' and '.'"),
            ));
        }
        let (mut profile, missing) = match config.profile(&profile_name) {
            Ok(profile) => (profile, None),
            Err(missing @ ConfigError::NoProfile { .. }) => (Profile::default(), Some(missing)),
            Err(error) => return Err(error.into()),
        };
        global.network.check()?;
        let network_to_keep = global.network.to_keep(&profile.network);
        profile.network = global
            .network
            .over(&network::of_profile(&profile.network, config.path())?);
        Ok(Self {
            dirs,
            config,
            profile_name,
            profile,
            system: global.system,
            is_named: global.profile.is_some(),
            network: global.network.clone(),
            network_to_keep,
            missing,
        })
    }

    /// The profile as it may be written: of how servers are reached, what the file and the command line say. What the
    /// environment says may be a secret, and holds for one run.
    pub fn profile_to_keep(&self) -> Profile {
        Profile {
            network: self.network_to_keep.clone(),
            ..self.profile.clone()
        }
    }

    /// How servers are reached, as the command line and the environment say.
    pub const fn network_flags(&self) -> &NetworkArgs {
        &self.network
    }

    /// A client that reaches the servers as profile, flags and environment say.
    pub fn http(&self) -> Result<HttpClient, CliError> {
        Ok(connect::client(&self.profile, Some(&self.dirs.runtime))?)
    }

    /// True if the profile is in the file.
    pub const fn exists(&self) -> bool {
        self.missing.is_none()
    }

    /// Works for another profile of the same file from now on; it need not be in the file yet.
    pub fn turn_to(&mut self, name: &str) -> Result<(), CliError> {
        (self.profile, self.missing) = match self.config.profile(name) {
            Ok(profile) => (profile, None),
            Err(missing @ ConfigError::NoProfile { .. }) => (Profile::default(), Some(missing)),
            Err(error) => return Err(error.into()),
        };
        self.network_to_keep = self.network.to_keep(&self.profile.network);
        self.profile.network = self
            .network
            .over(&network::of_profile(&self.profile.network, self.config.path())?);
        name.clone_into(&mut self.profile_name);
        Ok(())
    }

    /// Writes the profile as it is now. Mounts that run find a new login through the credential store.
    pub fn keep(&mut self) -> Result<(), CliError> {
        self.config
            .set_profile(&self.profile_name, &self.profile_to_keep())?;
        self.config.save()?;
        self.missing = None;
        Ok(())
    }

    /// What hints need to know of the profile.
    pub fn hint_account(&self, global: &GlobalArgs) -> failure::Account {
        let profile = &self.profile;
        let mut flags = String::new();
        if global.system {
            flags.push_str(" --system");
        }
        if let Some(config) = &global.config {
            // Writing to a String cannot fail.
            let _ = write!(flags, " --config {}", quoted(&config.to_string_lossy()));
        }
        if let Some(name) = &global.profile {
            let _ = write!(flags, " --profile {}", quoted(name));
        }
        failure::Account {
            flags,
            auth: profile.auth,
            client_id: Some(profile.client_id.clone()).filter(|id| !id.is_empty()),
            token_file: profile.token_file.clone(),
            // A profile that is not there yet has not decided.
            store: self.exists().then_some(profile.credentials),
        }
    }

    /// The profile's account, for commands that need a login.
    pub fn account(self) -> Result<(Account, AppDirs), CliError> {
        let account = self.account_now()?;
        Ok((account, self.dirs))
    }

    /// The same, for as long as the profile stays as it is.
    pub fn account_now(&self) -> Result<Account, CliError> {
        if let Err(error @ ConfigError::NoProfile { .. }) = self.config.profile(&self.profile_name) {
            return Err(error.into());
        }
        Ok(Account {
            name: self.profile_name.clone(),
            profile: self.profile.clone(),
            state_dir: self.dirs.state.clone(),
            pace_dir: Some(self.dirs.runtime.clone()),
        })
    }

    /// Connects to the datasource; and the folder to begin with, where the link leads to one.
    pub async fn remote(self, source: &SourceArgs) -> Result<(Arc<dyn Remote>, Option<FolderId>), CliError> {
        let (account, _) = self.account()?;
        let opened = account.open(source.datasource.as_deref()).await?;
        Ok((opened.remote, opened.start))
    }
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
