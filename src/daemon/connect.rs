//! From a profile to a document server: the client, the login's tokens, the datasource.

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::{AppId, AuthKind, CredentialStore, TokenSource};
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
        let profile = &self.profile;
        let store = || CredentialStore::new(profile.credentials, &self.state_dir, &self.name);
        match profile.auth {
            AuthKind::Web | AuthKind::Native | AuthKind::Spa | AuthKind::Service => {
                let app = AppId {
                    issuer: profile.issuer.clone(),
                    client_id: profile.client_id.clone(),
                    scopes: profile.scopes.join(" "),
                };
                TokenSource::of_app(http.clone(), store(), app, profile.auth)
            }
            AuthKind::Basic | AuthKind::Windows => {
                TokenSource::of_password(store(), profile.auth, profile.username.clone())
            }
            AuthKind::Saml | AuthKind::Bearer => {
                TokenSource::of_file(profile.auth, profile.token_file.clone())
            }
        }
    }

    /// Connects to `source`, or to the profile's datasource.
    pub async fn connect(&self, source: Option<&str>) -> Result<Arc<WsgRemote>, ConnectionError> {
        let http = self.http()?;
        let tokens = self.tokens(&http);
        self.connect_as(http, tokens, source).await
    }

    /// The same with a login of the caller's, such as one that is not stored yet. One that the server refuses is sent
    /// once.
    pub async fn connect_as(
        &self,
        http: HttpClient,
        tokens: TokenSource,
        source: Option<&str>,
    ) -> Result<Arc<WsgRemote>, ConnectionError> {
        let address = self.address(source)?;
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
        Ok(WsgAddress::parse(text)?)
    }
}
