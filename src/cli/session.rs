//! What every command starts with: directories, configuration, and the profile it works for.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::{AppDirs, ConfigError, ConfigFile, DirOverrides, Profile, is_profile_name};
use crate::daemon::connect::Account;
use crate::model::{Datasource, FolderId};
use crate::remote::Remote;

use super::GlobalArgs;
use super::core_dump;
use super::failure::{self, CliError, ErrorKind};

/// Which server to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceArgs {
    /// Datasource URL, instead of the profile's
    #[arg(long, value_name = "URL", env = "PWFS_DATASOURCE")]
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
    /// The profile; as new where it is not in the file.
    pub profile: Profile,
    missing: Option<ConfigError>,
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
        let config = ConfigFile::load(&global.config.clone().unwrap_or_else(|| dirs.config_file()))?;
        let profile_name = global.profile.clone().unwrap_or_else(|| config.default_profile());
        if !is_profile_name(&profile_name) {
            // Said before a login is made that could not be kept.
            return Err(CliError::new(
                ErrorKind::Usage,
                format!("{profile_name:?} cannot name a profile; use letters, digits, '-', '_' and '.'"),
            ));
        }
        let (profile, missing) = match config.profile(&profile_name) {
            Ok(profile) => (profile, None),
            Err(missing @ ConfigError::NoProfile { .. }) => (Profile::default(), Some(missing)),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            dirs,
            config,
            profile_name,
            profile,
            missing,
        })
    }

    /// True if the profile is in the file.
    pub const fn exists(&self) -> bool {
        self.missing.is_none()
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
        if let Some(missing) = self.missing {
            return Err(missing.into());
        }
        let account = Account {
            name: self.profile_name,
            profile: self.profile,
            state_dir: self.dirs.state.clone(),
        };
        Ok((account, self.dirs))
    }

    /// Connects to the datasource; and the folder to begin with, where the URL leads to one.
    pub async fn remote(self, source: &SourceArgs) -> Result<(Arc<dyn Remote>, Option<FolderId>), CliError> {
        let (account, _) = self.account()?;
        let folder = account.folder(source.datasource.as_deref())?;
        let remote = account.connect(source.datasource.as_deref()).await?;
        Ok((remote, folder))
    }

    /// The datasources of the server, each with its URL.
    pub async fn datasources(self, source: &SourceArgs) -> Result<Vec<(Datasource, String)>, CliError> {
        let (account, _) = self.account()?;
        Ok(account.datasources(source.datasource.as_deref()).await?)
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
