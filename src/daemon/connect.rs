//! From a profile to a document server: the client, the login's tokens, the datasource.

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::{AppId, CredentialStore, TokenSource};
use crate::config::Profile;
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

/// A client that reaches the servers as `profile` says; what its network's settings name is read with the first request.
pub fn client(profile: &Profile) -> Result<HttpClient, HttpError> {
    HttpClient::with_options(Options {
        network: profile.network.clone(),
        ..Options::default()
    })
}

impl Account {
    /// A client that reaches the servers as the profile says. Settings that cannot be used are told now, where they are
    /// still known as such.
    pub fn http(&self) -> Result<HttpClient, HttpError> {
        let http = client(&self.profile)?;
        http.ready()?;
        Ok(http)
    }

    /// What hands out the profile's tokens; the one of this process and mount.
    pub fn tokens(&self, http: &HttpClient) -> TokenSource {
        let app = AppId {
            issuer: self.profile.issuer.clone(),
            client_id: self.profile.client_id.clone(),
            scopes: self.profile.scopes.join(" "),
        };
        let store = CredentialStore::new(self.profile.credentials, &self.state_dir, &self.name);
        TokenSource::new(http.clone(), store, app)
    }

    /// Connects to `source`, or to the profile's datasource.
    pub async fn connect(&self, source: Option<&str>) -> Result<Arc<WsgRemote>, ConnectionError> {
        let http = self.http()?;
        let (address, tokens) = (self.address(source)?, self.tokens(&http));
        Ok(Arc::new(
            WsgRemote::connect(http, tokens, address, self.profile.wsg.clone()).await?,
        ))
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
        Ok(WsgAddress::parse(text)?.permitted(&self.profile.network)?)
    }
}
