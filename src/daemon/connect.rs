//! From a profile to a document server: the client, the login's tokens, the datasource.

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::{AppId, CredentialStore, TokenSource};
use crate::config::Profile;
use crate::daemon::health::remedy::remedies;
use crate::daemon::health::{Kept, LoginWatch, Waking};
use crate::fs::login::Login;
use crate::http::{HttpClient, HttpError, Options};
use crate::model::{Datasource, FolderId};
use crate::remote::RemoteError;
use crate::remote::wsg::{AddressError, ConnectError, WsgAddress, WsgRemote};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Neither the command line nor the profile names a datasource.
    #[error("profile {0:?} names no datasource")]
    NoDatasource(String),
    /// What names it cannot be understood.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The HTTP client cannot be made: the system's certificates, above all.
    #[error("the HTTP client cannot be made: {0}")]
    Http(#[from] HttpError),
    /// The server, or the choice of a datasource.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// What a connection is made from.
pub struct Account {
    /// The profile's name.
    pub name: String,
    /// What it says.
    pub profile: Profile,
    /// Where the login is kept, if in a file.
    pub state_dir: PathBuf,
}

impl Account {
    /// A client that reaches the servers as the profile says.
    pub fn http(&self) -> Result<HttpClient, HttpError> {
        HttpClient::with_options(Options {
            network: self.profile.network.clone(),
            ..Options::default()
        })
    }

    /// What hands out the profile's tokens; the one of this process and mount.
    pub fn tokens(&self, http: &HttpClient) -> TokenSource {
        let app = AppId {
            issuer: self.profile.issuer.clone(),
            client_id: self.profile.client_id.clone(),
            scopes: self.profile.scopes.join(" "),
        };
        TokenSource::new(http.clone(), self.store(), app)
    }

    /// Connects to `source`, or to the profile's datasource.
    pub async fn connect(&self, source: Option<&str>) -> Result<Arc<WsgRemote>, ConnectionError> {
        Ok(self.connect_to_stay(source).await?.0)
    }

    /// Connects as [`Account::connect`] does; also returns the tokens, for who looks after the login while it lasts.
    pub async fn connect_to_stay(
        &self,
        source: Option<&str>,
    ) -> Result<(Arc<WsgRemote>, TokenSource), ConnectionError> {
        let http = self.http()?;
        let (address, tokens) = (self.address(source)?, self.tokens(&http));
        let remote = WsgRemote::connect(http, tokens.clone(), address, self.profile.wsg.clone()).await?;
        Ok((Arc::new(remote), tokens))
    }

    /// How the login behind `tokens` is looked after; `sign_in` is the command that makes a new one.
    pub fn login_watch(&self, tokens: &TokenSource, sign_in: &str, notify: bool) -> LoginWatch {
        let profile = &self.profile;
        let kept = match (profile.auth.has_token_file(), &profile.token_file) {
            (true, Some(file)) => Kept::File(file.clone()),
            (true, None) => Kept::Nowhere,
            (false, _) => Kept::Store(self.store(), self.state_dir.clone()),
        };
        LoginWatch {
            login: Login {
                profile: self.name.clone(),
                health: tokens.health(),
                remedies: remedies(profile.auth, sign_in, profile.token_file.as_deref()),
            },
            waking: Waking::new(tokens, kept),
            notify,
        }
    }

    fn store(&self) -> CredentialStore {
        CredentialStore::new(self.profile.credentials, &self.state_dir, &self.name)
    }

    /// All datasources of the server of `source`, or of the profile's datasource, each with the URL that names it.
    pub async fn datasources(
        &self,
        source: Option<&str>,
    ) -> Result<Vec<(Datasource, String)>, ConnectionError> {
        let http = self.http()?;
        let (address, tokens) = (self.address(source)?, self.tokens(&http));
        let found = WsgRemote::datasources_of(http, tokens, &address, &self.profile.wsg).await?;
        let with_url = |datasource: Datasource| {
            let url = address.with_repository(&datasource.id).to_string();
            (datasource, url)
        };
        Ok(found.into_iter().map(with_url).collect())
    }

    /// The folder that the datasource URL itself leads to, as one pasted from a client does.
    pub fn folder(&self, source: Option<&str>) -> Result<Option<FolderId>, ConnectionError> {
        Ok(self.address(source)?.folder)
    }

    fn address(&self, source: Option<&str>) -> Result<WsgAddress, ConnectionError> {
        let text = source
            .or(self.profile.datasource.as_deref())
            .ok_or_else(|| ConnectionError::NoDatasource(self.name.clone()))?;
        Ok(WsgAddress::parse(text)?)
    }
}
