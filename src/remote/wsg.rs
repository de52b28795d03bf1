//! ProjectWise Web Services Gateway (WSG), v2.0 to v2.8.
//!
//! [`WsgRemote`] is one datasource of one server. `gateway` sends, `query` says what, `paging` proves that nothing
//! is missing, `wire` reads, `error` sorts refusals, `file` checks ranges. What differs between servers is seen,
//! remembered for as long as the process lives, and can be fixed by [`WsgOptions`].

use std::sync::atomic::AtomicBool;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::auth::TokenSource;
use crate::http::HttpClient;
use crate::model::{ByteRange, Datasource, Document, DocumentId, Entry, Folder, FolderId, Guid, ObjectId};
use crate::remote::{
    Answer, Attributes, AttributesOfMany, Capabilities, Content, Progress, Remote, RemoteError, Shortcut,
    Subtree, Validator, Whereabouts,
};

mod account;
pub(in crate::remote) mod address;
mod attributes;
mod conditional;
pub(in crate::remote) mod error;
mod file;
mod gateway;
mod lessons;
mod listing;
mod name;
mod open;
mod paging;
pub mod probe;
mod problem;
mod query;
mod roots;
mod subtree;
mod support;
mod whereabouts;
mod wire;

#[cfg(test)]
mod tests;

pub use address::{AddressError, ApiVersion, InvalidVersion, VersionPath, VersionScheme, WsgAddress};
pub use name::DatasourceName;
pub use paging::PageMode;
pub use problem::{ErrorId, Problem};
pub use query::QueryStyle;

use error::Failure;
use gateway::Gateway;
use listing::{Expected, Listings};
use query::Query;
use wire::{Asked, Instance, ObjectProperties, RepositoryProperties};

/// What cannot be known of a server before it is tried, and may be fixed by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsgOptions {
    /// How children are asked for.
    pub query_style: QueryStyle,
    /// How pages are asked for.
    pub page_mode: PageMode,
    /// Rows a page; below 2 counts as 2.
    pub page_size: usize,
    /// Whether parts of files are asked for.
    pub ranges: RangeMode,
    /// Whether the server may send readers on to its blob storage.
    pub blob_redirect: BlobRedirect,
    /// The Web API version; probed where not given.
    pub api_version: Option<ApiVersion>,
}

/// Whether parts of files are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RangeMode {
    /// Asked for; the answer shows whether the server honours it.
    #[default]
    Ask,
    /// Never: each read is of a whole file.
    WholeFiles,
}

/// Whether the server may send readers on to its blob storage (WSG 2.4 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlobRedirect {
    /// The gateway sends the bytes itself. Always works.
    #[default]
    Refuse,
    /// Spares the gateway the bytes; no ProjectWise server was seen to do it (projectwise-api 7.10).
    Allow,
}

impl Default for WsgOptions {
    fn default() -> Self {
        Self {
            query_style: QueryStyle::default(),
            page_mode: PageMode::default(),
            // Between the 100 and 1000 that working scripts use.
            page_size: 500,
            ranges: RangeMode::default(),
            blob_redirect: BlobRedirect::default(),
            api_version: None,
        }
    }
}

/// Why there is no remote.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The server could not be asked.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The URL names no datasource and the server has several.
    #[error("the server has {} ProjectWise datasources; name one of them", .0.len())]
    SeveralDatasources(Vec<Datasource>),
    /// The URL names no datasource and the server shows none.
    #[error("{0} shows no ProjectWise datasource")]
    NoDatasource(String),
}

/// One datasource of one server.
pub struct WsgRemote {
    gateway: Gateway,
    listings: Listings,
    options: WsgOptions,
    address: WsgAddress,
    /// The repository's id as a path segment.
    repository: String,
    name: String,
    ranges: support::Support,
    trust: conditional::Trust,
    hiding: whereabouts::Hiding,
    subtrees: subtree::Subtrees,
    /// `Navigation/NavNode` is not there; the roots come from the list of all folders.
    without_nodes: AtomicBool,
}

impl WsgRemote {
    /// Finds the datasource, and tries server, version and login.
    ///
    /// Where the URL names no datasource, the server's only ProjectWise one is taken.
    pub async fn connect(
        http: HttpClient,
        tokens: TokenSource,
        address: WsgAddress,
        options: WsgOptions,
    ) -> Result<Self, ConnectError> {
        let gateway = Gateway::new(http, tokens, &address, options.api_version);
        gateway.version().await.map_err(RemoteError::from)?;
        let repository = match &address.repository {
            Some(id) => id.clone(),
            None => only_datasource(repositories(&gateway).await?, address.server())?.id,
        };
        let remote = Self::assemble(gateway, &address, &repository, options);
        remote.try_login_and_paging().await?;
        Ok(remote)
    }

    /// The datasource the address names, without a request: for a start without a network. Server and version are
    /// tried with the first call.
    ///
    /// `None` where the address names no datasource.
    pub fn offline(
        http: HttpClient,
        tokens: TokenSource,
        address: &WsgAddress,
        options: WsgOptions,
    ) -> Option<Self> {
        let repository = address.repository.clone()?;
        let gateway = Gateway::new(http, tokens, address, options.api_version);
        Some(Self::assemble(gateway, address, &repository, options))
    }

    /// All datasources of the server, without choosing one.
    pub async fn datasources_of(
        http: HttpClient,
        tokens: TokenSource,
        address: &WsgAddress,
        options: &WsgOptions,
    ) -> Result<Vec<Datasource>, RemoteError> {
        repositories(&Gateway::new(http, tokens, address, options.api_version)).await
    }

    fn assemble(gateway: Gateway, address: &WsgAddress, repository: &str, options: WsgOptions) -> Self {
        let address = address.with_repository(repository);
        let name = DatasourceName {
            location: address.location().unwrap_or_else(|| repository.to_owned()),
            gateway: address.server().to_owned(),
        };
        Self {
            gateway,
            listings: Listings::default(),
            options,
            address,
            repository: query::segment(repository),
            name: name.to_string(),
            ranges: support::Support::default(),
            trust: conditional::Trust::default(),
            hiding: whereabouts::Hiding::default(),
            subtrees: subtree::Subtrees::default(),
            without_nodes: AtomicBool::new(false),
        }
    }

    /// The address with the datasource chosen, as `config.toml` may keep it.
    pub const fn address(&self) -> &WsgAddress {
        &self.address
    }

    /// One folder, for two answers: whether the login is good here, and whether pages come by token.
    ///
    /// Spares the first listings the request that would find it out.
    async fn try_login_and_paging(&self) -> Result<(), RemoteError> {
        match self.listings.try_paging(self).await {
            Ok(()) => Ok(()),
            // A server that does not like this query may like the real ones.
            Err(failure) if failure.is_bad_query() || failure.is_unknown_class() => Ok(()),
            Err(failure) => match failure.error {
                // Somebody without rights at the top may still have folders to name.
                RemoteError::Denied { .. } | RemoteError::NotFound { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn url(&self, path: &str) -> Result<url::Url, Failure> {
        self.gateway
            .url(&format!("Repositories/{}/{path}", self.repository))
            .await
    }

    /// The one object of an answer.
    async fn one(&self, path: &str, asked: Asked, id: ObjectId, what: &str) -> Result<Entry, Failure> {
        let url = self.url(path).await?;
        let response = self.gateway.get(&url, &[], what).await?;
        let rows: Vec<Instance<ObjectProperties>> = listing::read_rows(&response, what)?;
        for row in rows {
            match row.into_entry(asked, None) {
                Ok(entry) if entry.id() == id => return Ok(entry),
                Ok(_) => {}
                Err(error) => return Err(Failure::protocol(error.to_string())),
            }
        }
        // No 404 and no object: nothing that could be told from a failing gateway.
        Err(Failure::protocol(format!(
            "the answer for {what} does not hold it"
        )))
    }

    /// The folders among `ids` the server shows, in any order.
    async fn folders_by_id(&self, ids: &[Guid]) -> Result<Vec<Entry>, Failure> {
        self.by_id(ids, Query::folders_by_id, Asked::Folders).await
    }

    async fn by_id(
        &self,
        ids: &[Guid],
        query: fn(&[Guid]) -> Query,
        asked: Asked,
    ) -> Result<Vec<Entry>, Failure> {
        /// Enough to hide the latency of some hundred ids, few enough to leave the server to its users.
        const AT_ONCE: usize = 4;
        let chunks: Vec<Vec<Guid>> = ids.chunks(query::IDS_PER_QUERY).map(<[Guid]>::to_vec).collect();
        let answers: Vec<Vec<Entry>> = stream::iter(chunks)
            .map(|chunk| async move {
                let progress = Progress::new();
                let expected = Expected {
                    at_most: Some(chunk.len()),
                    ..Expected::all(asked)
                };
                self.listings
                    .entries(self, &query(&chunk), expected, &progress)
                    .await
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(answers.into_iter().flatten().collect())
    }
}

async fn repositories(gateway: &Gateway) -> Result<Vec<Datasource>, RemoteError> {
    const WHAT: &str = "the list of datasources";
    let url = gateway.url("Repositories/").await?;
    let response = gateway.get(&url, &[], WHAT).await?;
    let rows: Vec<Instance<RepositoryProperties>> = listing::read_rows(&response, WHAT)?;
    let read = |row: Instance<RepositoryProperties>| {
        row.into_datasource()
            .ok_or_else(|| Failure::protocol(format!("{WHAT} has a row without an id")).into())
    };
    rows.into_iter().map(read).collect()
}

/// True for what pwfs can show; a gateway may serve other products, too.
pub fn is_projectwise(datasource: &Datasource) -> bool {
    ["Bentley.PW", "pw"]
        .iter()
        .any(|plugin| datasource.plugin.eq_ignore_ascii_case(plugin))
}

fn only_datasource(all: Vec<Datasource>, server: &str) -> Result<Datasource, ConnectError> {
    let mut found: Vec<Datasource> = all.into_iter().filter(is_projectwise).collect();
    match found.pop() {
        None => Err(ConnectError::NoDatasource(server.to_owned())),
        Some(only) if found.is_empty() => Ok(only),
        Some(last) => {
            found.push(last);
            Err(ConnectError::SeveralDatasources(found))
        }
    }
}

#[async_trait::async_trait]
impl Remote for WsgRemote {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ranges: match self.options.ranges {
                RangeMode::Ask => self.ranges.known(),
                RangeMode::WholeFiles => Some(false),
            },
            skip_token: match self.options.page_mode {
                PageMode::Auto => self.listings.tokens(),
                PageMode::SkipToken => Some(true),
                PageMode::Skip => Some(false),
            },
        }
    }

    async fn account(&self) -> Result<String, RemoteError> {
        let by_server = self.gateway.user(self.url(&query::current_user()).await?).await?;
        if let Some(id) = by_server {
            return Ok(format!("user {id}"));
        }
        match self.gateway.token_account().await? {
            Some(account) => Ok(format!("token {account}")),
            None => Err(RemoteError::Protocol(
                "neither the server nor the token tells whose login this is".into(),
            )),
        }
    }

    async fn datasources(&self) -> Result<Vec<Datasource>, RemoteError> {
        repositories(&self.gateway).await
    }

    async fn roots(&self, progress: &Progress) -> Result<Vec<Folder>, RemoteError> {
        Ok(self.root_folders(progress).await?)
    }

    async fn list(&self, folder: FolderId, progress: &Progress) -> Result<Vec<Entry>, RemoteError> {
        match self.list_if_changed(folder, None, progress).await? {
            Answer::Rows { entries, .. } => Ok(entries),
            Answer::Unchanged => Err(Failure::not_modified().into()),
        }
    }

    async fn list_if_changed(
        &self,
        folder: FolderId,
        seen: Option<&Validator>,
        progress: &Progress,
    ) -> Result<Answer, RemoteError> {
        let answer = self.children(folder, seen, progress).await;
        if answer.as_ref().is_err_and(whereabouts::says_not_there) {
            self.hiding.not_found(ObjectId::Folder(folder));
        }
        Ok(answer?)
    }

    async fn subtree(
        &self,
        folder: FolderId,
        children: &[ObjectId],
        most: usize,
        progress: &Progress,
    ) -> Result<Subtree, RemoteError> {
        self.subtree_of(folder, children, most, progress).await
    }

    async fn whereabouts(&self, ids: &[ObjectId]) -> Result<Vec<(ObjectId, Whereabouts)>, RemoteError> {
        self.whereabouts_of(ids).await
    }

    fn lessons(&self) -> String {
        self.lessons_learnt()
    }

    fn recall(&self, lessons: &str) {
        self.take_lessons(lessons);
    }

    fn questions(&self, folder: FolderId) -> Vec<String> {
        let style = self.options.query_style;
        [
            Query::child_folders(style, folder),
            Query::documents(style, folder),
        ]
        .iter()
        .map(|query| {
            let (path, token) = self.listings.first_question(self, query);
            let path = format!("Repositories/{}/{path}", self.repository);
            let url = self.gateway.likely_url(&path);
            match token {
                Some(token) => format!("GET {url} (SkipToken: {token})"),
                None => format!("GET {url}"),
            }
        })
        .collect()
    }

    async fn folder(&self, folder: FolderId) -> Result<Folder, RemoteError> {
        match self.by_own_id(ObjectId::Folder(folder)).await? {
            Entry::Folder(found) => Ok(found),
            Entry::Document(_) => Err(RemoteError::Protocol(
                format!("folder {folder} is a document").into(),
            )),
        }
    }

    async fn document(&self, document: DocumentId) -> Result<Document, RemoteError> {
        match self.by_own_id(ObjectId::Document(document)).await? {
            Entry::Document(found) => Ok(found),
            Entry::Folder(_) => Err(RemoteError::Protocol(
                format!("document {document} is a folder").into(),
            )),
        }
    }

    async fn attributes(&self, document: DocumentId) -> Result<Attributes, RemoteError> {
        self.ask_attributes(document).await
    }

    async fn attributes_of(&self, documents: &[DocumentId]) -> Result<AttributesOfMany, RemoteError> {
        self.ask_attributes_of_many(documents).await
    }

    async fn find(&self, ids: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        let mut folders = Vec::new();
        let mut documents = Vec::new();
        let distinct: std::collections::BTreeSet<&ObjectId> = ids.iter().collect();
        for id in distinct {
            match id {
                ObjectId::Folder(FolderId(guid)) => folders.push(*guid),
                ObjectId::Document(DocumentId(guid)) => documents.push(*guid),
            }
        }
        let (mut found, documents) = tokio::try_join!(
            self.folders_by_id(&folders),
            self.by_id(&documents, Query::documents_by_id, Asked::Documents),
        )?;
        found.extend(documents);
        Ok(found)
    }

    async fn read(
        &self,
        document: DocumentId,
        range: ByteRange,
        if_range: Option<&str>,
    ) -> Result<Content, RemoteError> {
        self.open_file(document, range, if_range, None).await
    }

    async fn read_part(
        &self,
        document: DocumentId,
        range: ByteRange,
        if_range: Option<&str>,
        shortcut: &Shortcut,
    ) -> Result<Content, RemoteError> {
        self.open_file(document, range, if_range, Some(shortcut)).await
    }
}
