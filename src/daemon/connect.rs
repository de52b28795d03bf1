//! From a profile to a document server: the client, the login's tokens, the datasource.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::auth::{AppId, AuthKind, CredentialStore, TokenSource};
use crate::config::Profile;
use crate::daemon::health::remedy::remedies;
use crate::daemon::health::{LoginWatch, Waking};
use crate::fs::login::Login;
use crate::http::{HttpClient, HttpError, Options};
use crate::model::{Datasource, DocumentId, FolderId};
use crate::remote::link::{DatasourceLink, LinkError};
use crate::remote::platform::{Platform, PlatformError};
use crate::remote::wsg::{AddressError, ConnectError, WsgAddress, WsgOptions, WsgRemote};
use crate::remote::{Remote, RemoteError};

use super::choose::ChooseError;
use super::resolve::{self, Servers};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Neither the command line nor the profile names a datasource.
    #[error("profile {0:?} names no datasource")]
    NoDatasource(String),
    /// What names it cannot be understood.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The address that follows from it is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The server has several datasources, and nothing says which.
    #[error("{server} has {} ProjectWise datasources; name one of them", .choices.len())]
    SeveralDatasources {
        /// The server.
        server: String,
        /// Each with the URL that names it.
        choices: Vec<(Datasource, String)>,
    },
    /// The server that should have the datasource of a link has others.
    #[error("{server} has no datasource {location:?}")]
    NoSuchDatasource {
        /// The server that was asked.
        server: String,
        /// `server:datasource` of the link.
        location: String,
        /// What it has, each with the URL that names it.
        choices: Vec<(Datasource, String)>,
    },
    /// A link names a ProjectWise server, and where its gateway usually is there is none.
    #[error("no gateway of the ProjectWise server {pw_server} answers at {gateway}")]
    NoGateway {
        /// The server of the link.
        pw_server: String,
        /// Where its gateway was looked for.
        gateway: String,
        /// What came of it.
        #[source]
        error: RemoteError,
    },
    /// The path of a link leads nowhere.
    #[error(transparent)]
    Path(#[from] ChooseError),
    /// The server does not say in which folder the document of a link is.
    #[error("the server does not tell which folder the document {0} is in")]
    Homeless(DocumentId),
    /// The HTTP client cannot be made: the system's certificates, above all.
    #[error("the HTTP client cannot be made: {0}")]
    Http(#[from] HttpError),
    /// The server, or the choice of a datasource.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The iTwin Platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// What a connection is made from.
#[derive(Clone)]
pub struct Account {
    /// The profile's name.
    pub name: String,
    /// What it says.
    pub profile: Profile,
    /// Where the login is kept, if in a file.
    pub state_dir: PathBuf,
    /// Where this user's processes count their requests together: the runtime directory.
    pub pace_dir: Option<PathBuf>,
}

/// A datasource, and where a link to it leads.
pub struct Opened {
    /// The datasource. Its [`WsgRemote::address`] is what a profile may keep.
    pub remote: Arc<WsgRemote>,
    /// Its login, for who looks after it while it lasts.
    pub tokens: TokenSource,
    /// The folder to begin with: the link's own, or that of its document. `None` for the root.
    pub start: Option<FolderId>,
}

/// A client that reaches the servers as `profile` says; what its network's settings name is read with the first request.
/// It counts its requests together with the user's other processes in `pace_dir`.
pub fn client(profile: &Profile, pace_dir: Option<&Path>) -> Result<HttpClient, HttpError> {
    HttpClient::with_options(Options {
        network: profile.network.clone(),
        pace_dir: pace_dir.map(Path::to_owned),
        ..Options::default()
    })
}

impl Account {
    /// Who vouches for the account: the identity provider, or the kind of login where there is none.
    pub fn issuer(&self) -> String {
        if self.profile.auth.has_app() {
            self.profile.issuer.clone()
        } else {
            self.profile.auth.to_string()
        }
    }

    /// A client that reaches the servers as the profile says. Settings that cannot be used are told now, where they are
    /// still known as such.
    pub fn http(&self) -> Result<HttpClient, HttpError> {
        let http = client(&self.profile, self.pace_dir.as_deref())?;
        http.ready()?;
        Ok(http)
    }

    /// What hands out the profile's tokens; the one of this process and mount.
    pub fn tokens(&self, http: &HttpClient) -> TokenSource {
        let profile = &self.profile;
        match profile.auth {
            AuthKind::Web | AuthKind::Native | AuthKind::Spa | AuthKind::Service => {
                let app = AppId {
                    issuer: profile.issuer.clone(),
                    client_id: profile.client_id.clone(),
                    scopes: profile.scopes.join(" "),
                };
                TokenSource::of_app(http.clone(), self.store(), app, profile.auth)
            }
            AuthKind::Basic | AuthKind::Windows => {
                TokenSource::of_password(self.store(), profile.auth, profile.username.clone())
            }
            AuthKind::Saml | AuthKind::Bearer => {
                TokenSource::of_file(profile.auth, profile.token_file.clone())
            }
        }
    }

    /// What `source` names, or else the profile. Asks nobody.
    pub fn link(&self, source: Option<&str>) -> Result<DatasourceLink, ConnectionError> {
        let text = source
            .or(self.profile.datasource.as_deref())
            .ok_or_else(|| ConnectionError::NoDatasource(self.name.clone()))?;
        Ok(match DatasourceLink::parse(text)? {
            DatasourceLink::Wsg(address) => DatasourceLink::Wsg(address.permitted(&self.profile.network)?),
            // Its gateway's address is made, and always https.
            link @ DatasourceLink::Pw(_) => link,
        })
    }

    /// Connects to the datasource of `source`, or of the profile, whatever place in it is meant.
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
        connect_to(&self.servers(http, tokens), &self.link(source)?).await
    }

    /// Connects to the datasource of `source`, or of the profile, and finds the place in it that is meant.
    pub async fn open(&self, source: Option<&str>) -> Result<Opened, ConnectionError> {
        let link = self.link(source)?;
        let http = self.http()?;
        let tokens = self.tokens(&http);
        let remote = connect_to(&self.servers(http, tokens.clone()), &link).await?;
        let start = resolve::start(&link.place(), &*remote as &dyn Remote).await?;
        Ok(Opened {
            remote,
            tokens,
            start,
        })
    }

    /// What listing `folder` of the datasource called `name` would ask, without asking it. Empty where the profile names
    /// another datasource, or a link from which no address follows.
    pub fn questions(&self, name: &str, folder: FolderId) -> Vec<String> {
        let Ok(DatasourceLink::Wsg(address)) = self.link(None) else {
            return Vec::new();
        };
        let Ok(http) = client(&self.profile, None) else {
            return Vec::new();
        };
        let tokens = self.tokens(&http);
        WsgRemote::offline(http, tokens, &address, WsgOptions::default())
            .filter(|remote| remote.name() == name)
            .map_or_else(Vec::new, |remote| remote.questions(folder))
    }

    /// How the login behind `tokens` is looked after; `sign_in` is the command that makes a new one.
    pub fn login_watch(&self, tokens: &TokenSource, sign_in: &str, notify: bool) -> LoginWatch {
        let profile = &self.profile;
        let store = (!profile.auth.has_token_file()).then(|| self.store());
        LoginWatch {
            login: Login {
                profile: self.name.clone(),
                health: tokens.health(),
                remedies: remedies(profile.auth, sign_in, profile.token_file.as_deref()),
            },
            waking: Waking::new(tokens, store),
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
        let tokens = self.tokens(&http);
        let listed = self.servers(http, tokens).listed(&self.link(source)?).await?;
        Ok(with_urls(&listed.server, listed.datasources))
    }

    /// The iTwin Platform, asked with the profile's login.
    pub fn platform(&self) -> Result<Platform, ConnectionError> {
        if !self.profile.auth.has_app() {
            return Err(PlatformError::NoApp.into());
        }
        let http = self.http()?;
        let tokens = self.tokens(&http);
        Ok(Platform::of_issuer(http, tokens, &self.profile.issuer)?)
    }

    fn servers(&self, http: HttpClient, tokens: TokenSource) -> Servers {
        // A profile that names a link says nothing of gateways.
        let own = match self.profile.datasource.as_deref().map(DatasourceLink::parse) {
            Some(Ok(DatasourceLink::Wsg(address))) => address.permitted(&self.profile.network).ok(),
            Some(Ok(DatasourceLink::Pw(_)) | Err(_)) | None => None,
        };
        Servers {
            http,
            tokens,
            options: self.profile.wsg.clone(),
            own,
        }
    }
}

async fn connect_to(servers: &Servers, link: &DatasourceLink) -> Result<Arc<WsgRemote>, ConnectionError> {
    let address = servers.address(link).await?;
    let outcome = match servers.connect(&address).await {
        // It may know the datasource by another spelling of its id, or may never have had it.
        Err(ConnectError::Remote(RemoteError::Server(words))) => match servers.respelt(&address).await? {
            Some(other) => servers.connect(&other).await,
            None => Err(RemoteError::Server(words).into()),
        },
        outcome => outcome,
    };
    match outcome {
        Ok(remote) => Ok(Arc::new(remote)),
        Err(ConnectError::SeveralDatasources(choices)) => Err(ConnectionError::SeveralDatasources {
            server: address.server().to_owned(),
            choices: with_urls(&address, choices),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Each datasource of a server with the URL that names it.
pub(super) fn with_urls(server: &WsgAddress, datasources: Vec<Datasource>) -> Vec<(Datasource, String)> {
    let with_url = |datasource: Datasource| {
        let url = server.with_repository(&datasource.id).to_string();
        (datasource, url)
    };
    datasources.into_iter().map(with_url).collect()
}
