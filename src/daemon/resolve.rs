//! Finds what a link means: which gateway serves its datasource, under which id, and where in it the link leads.
//!
//! A ProjectWise link names a ProjectWise server, not its gateway, and a gateway's ids are its own: they are looked up in
//! its list and never computed (projectwise-api 1.1). What cannot be found, or is found twice, is
//! an error that shows what there is. Nothing is guessed.

use crate::auth::TokenSource;
use crate::http::HttpClient;
use crate::model::{Datasource, Entry, FolderId};
use crate::remote::link::{DatasourceLink, Place, PwLink, decoded_once, usual_gateway};
use crate::remote::wsg::{ConnectError, WsgAddress, WsgOptions, WsgRemote, is_projectwise};
use crate::remote::{Progress, Remote, RemoteError};

use super::choose::{ChooseError, FolderChoice, FolderPlace, choose};
use super::connect::{ConnectionError, with_urls};

/// The gateways a profile may ask.
pub(super) struct Servers {
    pub(super) http: HttpClient,
    pub(super) tokens: TokenSource,
    pub(super) options: WsgOptions,
    /// That of the profile's own datasource.
    pub(super) own: Option<WsgAddress>,
}

/// A gateway that answered, and its datasources.
pub(super) struct Listed {
    pub(super) server: WsgAddress,
    pub(super) datasources: Vec<Datasource>,
}

impl Servers {
    /// Connects to the datasource at `address`, or to the server's only one.
    pub(super) async fn connect(&self, address: &WsgAddress) -> Result<WsgRemote, ConnectError> {
        let (http, tokens) = (self.http.clone(), self.tokens.clone());
        WsgRemote::connect(http, tokens, address.clone(), self.options.clone()).await
    }

    /// The address of the link's datasource. It is without a repository where the link says no more than the server.
    pub(super) async fn address(&self, link: &DatasourceLink) -> Result<WsgAddress, ConnectionError> {
        match link {
            DatasourceLink::Wsg(address) if !address.is_bare() => Ok(address.clone()),
            DatasourceLink::Wsg(bare) => Ok(self.list(bare).await?.server),
            DatasourceLink::Pw(link) => self.datasource(link).await,
        }
    }

    /// The server of the link, with all its datasources.
    pub(super) async fn listed(&self, link: &DatasourceLink) -> Result<Listed, ConnectionError> {
        match link {
            DatasourceLink::Wsg(address) => self.list(address).await,
            DatasourceLink::Pw(link) => match self.own_with(link).await? {
                Some(listed) => Ok(listed),
                None => self.at_usual_gateway(link).await,
            },
        }
    }

    /// The datasources of a server. A host that was given alone is asked where gateways usually are, then itself.
    async fn list(&self, server: &WsgAddress) -> Result<Listed, ConnectionError> {
        if !server.is_bare() {
            return Ok(self.list_at(server.clone()).await?);
        }
        match self.list_at(usual_gateway(server)?).await {
            Ok(listed) => Ok(listed),
            // Something answered, and it is no gateway.
            Err(first @ RemoteError::Protocol(_)) => match self.list_at(server.clone()).await {
                Ok(listed) => Ok(listed),
                // What the usual place said is told: the other one was a mere chance.
                Err(_) => Err(first.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn list_at(&self, server: WsgAddress) -> Result<Listed, RemoteError> {
        let (http, tokens) = (self.http.clone(), self.tokens.clone());
        let datasources = WsgRemote::datasources_of(http, tokens, &server, &self.options).await?;
        Ok(Listed { server, datasources })
    }

    /// The profile's own server, if it is the gateway of the link's: it has that datasource, or others of that server.
    async fn own_with(&self, link: &PwLink) -> Result<Option<Listed>, ConnectionError> {
        let Some(own) = &self.own else { return Ok(None) };
        match self.list(own).await {
            Ok(listed) => {
                let server = format!("{}:", link.server.to_lowercase());
                let is_its_gateway = listed
                    .datasources
                    .iter()
                    .any(|datasource| datasource.location.to_lowercase().starts_with(&server));
                Ok(is_its_gateway.then_some(listed))
            }
            // Another server would be asked with the same login, and some lock accounts.
            Err(
                error @ ConnectionError::Remote(
                    RemoteError::LoginRequired(_)
                    | RemoteError::SecretRequired(_)
                    | RemoteError::LockedOut(_),
                ),
            ) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "the profile's own server does not list its datasources");
                Ok(None)
            }
        }
    }

    /// The server that should be the gateway of the link's.
    async fn at_usual_gateway(&self, link: &PwLink) -> Result<Listed, ConnectionError> {
        let gateway = link.usual_gateway()?;
        match self.list_at(gateway.clone()).await {
            Ok(listed) => Ok(listed),
            // Nobody said that there is one: what was tried is part of what went wrong.
            Err(
                error @ (RemoteError::Unreachable(_) | RemoteError::TimedOut(_) | RemoteError::Protocol(_)),
            ) => Err(ConnectionError::NoGateway {
                pw_server: link.server.clone(),
                gateway: gateway.to_string(),
                error,
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn datasource(&self, link: &PwLink) -> Result<WsgAddress, ConnectionError> {
        let listed = match self.own_with(link).await? {
            Some(own) => own,
            None => self.at_usual_gateway(link).await?,
        };
        let location = link.location();
        let found = fitting(&listed.datasources, &location);
        match found.as_slice() {
            [only] => Ok(listed.server.with_repository(&only.id)),
            [] => Err(no_such(listed, location)),
            [_, _, ..] => Err(ConnectionError::SeveralDatasources {
                server: listed.server.server().to_owned(),
                choices: with_urls(&listed.server, found),
            }),
        }
    }

    /// The address that a server lists for a datasource it did not know by this one: ids are its own, and people write
    /// them in any case. `None` where the id is right or the list does not tell; an error where it has no such datasource.
    pub(super) async fn respelt(&self, address: &WsgAddress) -> Result<Option<WsgAddress>, ConnectionError> {
        let (Some(id), Some(location)) = (&address.repository, address.location()) else {
            return Ok(None);
        };
        let Ok(listed) = self.list(address).await else {
            return Ok(None);
        };
        if listed.datasources.iter().any(|datasource| datasource.id == *id) {
            return Ok(None);
        }
        match fitting(&listed.datasources, &location).as_slice() {
            [only] => Ok(Some(listed.server.with_repository(&only.id))),
            _ => Err(no_such(listed, location)),
        }
    }
}

fn no_such(listed: Listed, location: String) -> ConnectionError {
    let all = listed.datasources.into_iter().filter(is_projectwise).collect();
    ConnectionError::NoSuchDatasource {
        server: listed.server.server().to_owned(),
        location,
        choices: with_urls(&listed.server, all),
    }
}

/// The datasources at a location, whatever its case; where there are several, those in its very case.
fn fitting(datasources: &[Datasource], location: &str) -> Vec<Datasource> {
    let lower = location.to_lowercase();
    let found: Vec<Datasource> = datasources
        .iter()
        .filter(|datasource| is_projectwise(datasource) && datasource.location.to_lowercase() == lower)
        .cloned()
        .collect();
    let exact: Vec<Datasource> = found
        .iter()
        .filter(|datasource| datasource.location == location)
        .cloned()
        .collect();
    if exact.is_empty() { found } else { exact }
}

/// The folder to begin with at a place: itself, or the one its document is in.
pub(super) async fn start(place: &Place, remote: &dyn Remote) -> Result<Option<FolderId>, ConnectionError> {
    match place {
        Place::Root => Ok(None),
        // Whether it is there shows when it is listed.
        Place::Folder(id) => Ok(Some(*id)),
        Place::Document(id) => match remote.document(*id).await?.folder {
            Some(folder) => Ok(Some(folder)),
            None => Err(ConnectionError::Homeless(*id)),
        },
        Place::Path(names) => Ok(Some(along(names, remote).await?)),
    }
}

/// The folder at the end of a path, or of its document.
async fn along(names: &[String], remote: &dyn Remote) -> Result<FolderId, ChooseError> {
    let missing = match walk(names, remote).await {
        Err(missing @ ChooseError::NoSuchFolder { .. }) => missing,
        outcome => return outcome,
    };
    // A link that went through two programs may be encoded twice; so may a name look. The name itself goes first.
    let plainer: Vec<String> = names.iter().map(|name| decoded_once(name)).collect();
    if plainer == names {
        return Err(missing);
    }
    match walk(&plainer, remote).await {
        Err(ChooseError::NoSuchFolder { .. }) => Err(missing),
        outcome => outcome,
    }
}

async fn walk(names: &[String], remote: &dyn Remote) -> Result<FolderId, ChooseError> {
    let folder_at = async |names: &[String]| {
        let choice = FolderChoice {
            place: FolderPlace::Path(names.to_vec()),
            alias: None,
        };
        let chosen = choose(remote, &[choice]).await?;
        chosen
            .first()
            .map(|chosen| chosen.folder.id)
            .ok_or(ChooseError::Empty)
    };
    let missing = match folder_at(names).await {
        Err(missing @ ChooseError::NoSuchFolder { .. }) => missing,
        outcome => return outcome,
    };
    // Nothing in a link tells a document from a folder. At the root there are no documents.
    let Some((last, above)) = names.split_last().filter(|(_, above)| !above.is_empty()) else {
        return Err(missing);
    };
    let Ok(folder) = folder_at(above).await else {
        return Err(missing);
    };
    let is_there = remote
        .list(folder, &Progress::new())
        .await?
        .iter()
        .any(|entry| match entry {
            Entry::Document(document) => document.name == *last || document.file_name.as_ref() == Some(last),
            Entry::Folder(_) => false,
        });
    if is_there { Ok(folder) } else { Err(missing) }
}

#[cfg(test)]
mod tests;
