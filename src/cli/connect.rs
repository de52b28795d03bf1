//! From flags and configuration to a server: what the commands without a mount start with.

use std::sync::Arc;

use crate::auth::{AppId, CredentialStore, TokenSource};
use crate::config::{AppDirs, ConfigFile, DirOverrides, Profile};
use crate::http::HttpClient;
use crate::model::Datasource;
use crate::remote::Remote;
use crate::remote::wsg::{WsgAddress, WsgRemote};

use super::GlobalArgs;
use super::failure::{CliError, ErrorKind};

/// Which server to ask.
#[derive(Debug, Clone, clap::Args)]
pub struct SourceArgs {
    /// Datasource URL, instead of the profile's
    #[arg(long, value_name = "URL", env = "PWFS_DATASOURCE")]
    pub datasource: Option<String>,
}

/// A profile with its server and login.
pub struct Session {
    /// Where files are kept.
    pub dirs: AppDirs,
    /// The profile's name.
    pub profile_name: String,
    /// The profile.
    pub profile: Profile,
    address: WsgAddress,
    http: HttpClient,
    tokens: TokenSource,
}

impl Session {
    /// Reads the configuration. Sends nothing.
    pub fn open(global: &GlobalArgs, source: &SourceArgs) -> Result<Self, CliError> {
        let dirs = AppDirs::new(DirOverrides::from_environment())?;
        let config = ConfigFile::load(&global.config.clone().unwrap_or_else(|| dirs.config_file()))?;
        let profile_name = global.profile.clone().unwrap_or_else(|| config.default_profile());
        let profile = config.profile(&profile_name)?;
        let Some(datasource) = source.datasource.as_ref().or(profile.datasource.as_ref()) else {
            return Err(CliError::new(
                ErrorKind::Config,
                format!("the profile {profile_name:?} names no datasource"),
            )
            .hint("give its URL with --datasource, or as datasource = \"…\" in config.toml"));
        };
        let address = WsgAddress::parse(datasource)?;
        let http = HttpClient::new()?;
        let store = CredentialStore::new(profile.credentials, &dirs.state, &profile_name);
        let app = AppId {
            issuer: profile.issuer.clone(),
            client_id: profile.client_id.clone(),
            scopes: profile.scopes.join(" "),
        };
        let tokens = TokenSource::new(http.clone(), store, app);
        Ok(Self {
            dirs,
            profile_name,
            profile,
            address,
            http,
            tokens,
        })
    }

    /// Connects to the datasource.
    pub async fn remote(&self) -> Result<Arc<dyn Remote>, CliError> {
        let (http, tokens) = (self.http.clone(), self.tokens.clone());
        let options = self.profile.wsg.clone();
        let remote = WsgRemote::connect(http, tokens, self.address.clone(), options).await?;
        Ok(Arc::new(remote))
    }

    /// The datasources of the server.
    pub async fn datasources(&self) -> Result<Vec<Datasource>, CliError> {
        let (http, tokens) = (self.http.clone(), self.tokens.clone());
        Ok(WsgRemote::datasources_of(http, tokens, &self.address, &self.profile.wsg).await?)
    }
}
