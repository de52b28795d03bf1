//! Single looks at a gateway, for `pwfs doctor`: one request each, whose refusal is an answer like any other.
//!
//! Nothing here renews a login, repeats a request or follows pages: what a mount does to get on would hide what is to be
//! seen. Every request is a GET, and each is counted.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::address::{VersionPath, VersionScheme, WsgAddress};
use super::error::{Failure, bounded};
use super::gateway::{
    OLDEST, Version, failure_of, looks_like_a_page, server_version, settle, with_connection,
};
use super::listing::{TOKENS_SINCE, read_rows};
use super::query::{self, IDS_PER_QUERY, Query, QueryStyle};
use super::wire::{Asked, Instance, NoProperties, NodeProperties, ObjectProperties, RepositoryProperties};
use super::{PageMode, WsgOptions, file};
use crate::auth::Authorization;
use crate::http::{HttpClient, Lane, Request, Response, Streaming};
use crate::model::{Datasource, DocumentId, Entry, Folder, FolderId, Guid};

mod seen;

pub use seen::{Seen, Sort};

/// One gateway, to be looked at.
pub struct WsgProbe {
    http: HttpClient,
    server: String,
    asked: Option<VersionPath>,
    style: QueryStyle,
    pages: PageMode,
    page_size: usize,
    version: OnceLock<Version>,
    repository: OnceLock<String>,
    requests: AtomicU32,
}

/// What answers at the address.
#[derive(Debug, Clone)]
pub struct GatewaySeen {
    /// How it answered.
    pub seen: Seen,
    /// The products and versions it names in a header, as it wrote them.
    pub products: Option<String>,
    /// The Web API it is spoken to by, as in its URLs (`v2.8`); `None` where it is no gateway.
    pub api: Option<String>,
}

/// One page of folders or documents.
#[derive(Debug, Clone)]
pub struct PageSeen {
    /// How it was answered.
    pub seen: Seen,
    /// What the rows hold.
    pub entries: Vec<Entry>,
    /// How many rows were asked for.
    pub top: usize,
    /// True if the answer names a next page by `SkipToken`; `None` where none was asked for.
    pub token: Option<bool>,
    /// The names of the properties the rows have.
    pub properties: BTreeSet<String>,
    /// True if the answer came compressed.
    pub compressed: bool,
}

/// How a file is given out.
#[derive(Debug, Clone)]
pub struct FileSeen {
    /// How it was answered.
    pub seen: Seen,
    /// Whether the one byte asked for came alone; `None` where nothing was sent.
    pub range: Option<bool>,
    /// The host of the file store the gateway sends to.
    pub redirect: Option<String>,
    /// True where it has a tag that versions can be told apart by.
    pub etag: bool,
}

/// A page of documents that is surely worth one request, and of which one is surely small.
const DOCUMENTS: usize = 25;
/// One row would not show whether a second one is kept back.
const FOLDERS: usize = 2;
/// Folders of one name in one place are rare; more than this prove nothing.
const NAMESAKES: usize = 10;
/// Far above a page of rows.
const PAGE_LIMIT: u64 = 32 << 20;

impl WsgProbe {
    /// Looks at the gateway of `address` over `http`, whose time-outs are the only ones. Sends nothing yet.
    pub fn new(http: HttpClient, address: &WsgAddress, options: &WsgOptions) -> Self {
        let fixed = options.api_version.map(|version| VersionPath {
            scheme: VersionScheme::Api,
            version,
        });
        let repository = OnceLock::new();
        if let Some(id) = &address.repository {
            // A new one is empty.
            let _ = repository.set(query::segment(id));
        }
        Self {
            http,
            server: address.server().to_owned(),
            asked: fixed.or(address.version),
            style: options.query_style,
            pages: options.page_mode,
            page_size: options.page_size.max(2),
            version: OnceLock::new(),
            repository,
            requests: AtomicU32::new(0),
        }
    }

    /// How many requests were sent so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Rows of a page, as the profile wants them.
    pub const fn page_size(&self) -> usize {
        self.page_size
    }

    /// Chooses the datasource, where the address names none.
    pub fn choose(&self, repository: &str) {
        // The first choice stays: the address's own.
        let _ = self.repository.set(query::segment(repository));
    }

    /// The address at which a gateway tells its version, for a look at the way there.
    pub fn door(&self) -> Option<Url> {
        self.url_at(self.asked.unwrap_or(OLDEST_PATH), "Plugins").ok()
    }

    /// Asks which gateway this is. That needs no login, most often.
    pub async fn gateway(&self, authorization: Option<&Authorization>) -> GatewaySeen {
        let paths = match self.asked {
            Some(path) => vec![path],
            None => vec![
                OLDEST_PATH,
                VersionPath {
                    scheme: VersionScheme::Service,
                    ..OLDEST_PATH
                },
            ],
        };
        let mut last = None;
        for path in paths {
            let answer = match self.url_at(path, "Plugins") {
                Ok(url) => self.get(&url, &[], authorization).await,
                Err(failure) => Err(failure),
            };
            let seen = self.gateway_of(path, answer);
            if seen.api.is_some() || seen.seen.status != 404 {
                return seen;
            }
            last = Some(seen);
        }
        last.unwrap_or_else(|| GatewaySeen {
            seen: Seen::of(&Failure::protocol("nothing was asked")),
            products: None,
            api: None,
        })
    }

    fn gateway_of(&self, path: VersionPath, answer: Result<Response, Failure>) -> GatewaySeen {
        let response = match answer {
            Ok(response) => response,
            Err(failure) => {
                return GatewaySeen {
                    seen: Seen::of(&failure),
                    products: None,
                    api: None,
                };
            }
        };
        let is_data = response.status == 200 && !looks_like_a_page(&response);
        let found = match server_version(&response) {
            Some(api) => Some(settle(path, api)),
            // A proxy may drop headers it does not know; then the URL's own word counts.
            None if is_data && path.version > OLDEST => Some(settle(path, path.version)),
            None => None,
        };
        let (version, seen) = match found {
            Some(Ok(version)) => (Some(version), Seen::answered(response.status)),
            Some(Err(failure)) => (None, Seen::of(&failure)),
            None if is_data => (
                None,
                Seen::of(&Failure::protocol(
                    "it names no version of the Web Services Gateway",
                )),
            ),
            None => (None, Seen::of(&failure_of(&response, "the list of plug-ins"))),
        };
        if let Some(version) = version {
            // Asked twice, it is the same.
            let _ = self.version.set(version);
        }
        let products = ["Mas-Server", "WsgServer", "Server"]
            .iter()
            .find_map(|name| response.header(name))
            .map(bounded);
        GatewaySeen {
            seen,
            products,
            api: version.map(|version| version.path.to_string()),
        }
    }

    /// The list of datasources, with a login or without one.
    pub async fn repositories(&self, authorization: Option<&Authorization>) -> (Seen, Vec<Datasource>) {
        const WHAT: &str = "the list of datasources";
        let answer = self
            .rows::<RepositoryProperties>("Repositories/", &[], authorization, WHAT)
            .await;
        match answer {
            Ok((status, rows)) => (
                Seen::answered(status),
                rows.into_iter().filter_map(Instance::into_datasource).collect(),
            ),
            Err(failure) => (Seen::of(&failure), Vec::new()),
        }
    }

    /// The id of the user the datasource takes the login for.
    pub async fn user(&self, authorization: &Authorization) -> (Seen, Option<String>) {
        const WHAT: &str = "the current user";
        let path = match self.inside(&query::current_user()) {
            Ok(path) => path,
            Err(failure) => return (Seen::of(&failure), None),
        };
        match self
            .rows::<NoProperties>(&path, &[], Some(authorization), WHAT)
            .await
        {
            Ok((status, rows)) => {
                // More than one "current" user is a filter the server ignored.
                let only = <[_; 1]>::try_from(rows).ok();
                let id = only.and_then(|[user]| user.id.text());
                (Seen::answered(status), id.map(|id| bounded(&id)))
            }
            Err(failure) => (Seen::of(&failure), None),
        }
    }

    /// Asks for a class that no schema has: `ClassNotFound` comes after the login was accepted.
    pub async fn no_class(&self, authorization: &Authorization) -> Seen {
        let path = match self.inside(&query::no_class()) {
            Ok(path) => path,
            Err(failure) => return Seen::of(&failure),
        };
        match self
            .rows::<NoProperties>(&path, &[], Some(authorization), "a class that is not there")
            .await
        {
            Ok((status, _)) => Seen::answered(status),
            Err(failure) => Seen::of(&failure),
        }
    }

    /// The first folders of the datasource, of whatever place.
    pub async fn folders(&self, authorization: &Authorization) -> PageSeen {
        self.page(
            &Query::all_folders(),
            FOLDERS,
            Asked::Folders,
            None,
            authorization,
        )
        .await
    }

    /// The first documents of the datasource, of whatever place.
    pub async fn documents(&self, authorization: &Authorization) -> PageSeen {
        self.page(
            &Query::all_documents(),
            DOCUMENTS,
            Asked::Documents,
            None,
            authorization,
        )
        .await
    }

    /// The first page of folders in `folder`.
    pub async fn folders_in(&self, folder: FolderId, authorization: &Authorization) -> PageSeen {
        let query = Query::child_folders(self.style, folder);
        self.page(
            &query,
            self.page_size,
            Asked::Folders,
            Some(folder),
            authorization,
        )
        .await
    }

    /// The first page of documents in `folder`.
    pub async fn documents_in(&self, folder: FolderId, authorization: &Authorization) -> PageSeen {
        let query = Query::documents(self.style, folder);
        self.page(
            &query,
            self.page_size,
            Asked::Documents,
            Some(folder),
            authorization,
        )
        .await
    }

    /// The folders called `name` in `parent`, or at the top.
    pub async fn named(
        &self,
        parent: Option<FolderId>,
        name: &str,
        authorization: &Authorization,
    ) -> (Seen, Vec<Folder>) {
        let query = match parent {
            Some(parent) => Query::child_folders(self.style, parent),
            None => Query::all_folders(),
        }
        .named(name);
        let page = self
            .page(&query, NAMESAKES, Asked::Folders, parent, authorization)
            .await;
        let is_there = |folder: &Folder| folder.name == name && (parent.is_some() || folder.parent.is_none());
        (page.seen.clone(), folders_of(page).filter(is_there).collect())
    }

    /// Those of `ids` that the datasource shows; of more than fifty only the first fifty are asked for.
    pub async fn by_id(&self, ids: &[FolderId], authorization: &Authorization) -> (Seen, Vec<Folder>) {
        let guids: Vec<Guid> = ids.iter().take(IDS_PER_QUERY).map(|id| id.0).collect();
        let query = Query::folders_by_id(&guids);
        let page = self
            .page(&query, guids.len().max(1), Asked::Folders, None, authorization)
            .await;
        (page.seen.clone(), folders_of(page).collect())
    }

    /// The folders at the top of the navigation tree, and whether there may be more of them.
    pub async fn roots(&self, authorization: &Authorization) -> (Seen, Vec<Folder>, bool) {
        const WHAT: &str = "the root folders";
        let top = self.page_size;
        let path = Query::root_nodes().path(false, Some(top), None);
        let path = match self.inside(&path) {
            Ok(path) => path,
            Err(failure) => return (Seen::of(&failure), Vec::new(), false),
        };
        let answer = self
            .rows::<NodeProperties>(&path, &[], Some(authorization), WHAT)
            .await;
        match answer {
            Ok((status, rows)) => {
                let more = rows.len() >= top;
                // A node without a usable id is one that a mount could not show either.
                let found = rows
                    .into_iter()
                    .filter_map(|row| row.into_folder().ok().flatten());
                (Seen::answered(status), found.collect(), more)
            }
            Err(failure) => (Seen::of(&failure), Vec::new(), false),
        }
    }

    /// Asks for the first byte of a file; with `may_redirect`, from wherever the gateway keeps it.
    pub async fn file(
        &self,
        document: DocumentId,
        may_redirect: bool,
        authorization: &Authorization,
    ) -> FileSeen {
        let nothing = |failure: &Failure| FileSeen {
            seen: Seen::of(failure),
            range: None,
            redirect: None,
            etag: false,
        };
        let url = match self
            .inside(&query::file(document))
            .and_then(|path| self.url(&path))
        {
            Ok(url) => url,
            Err(failure) => return nothing(&failure),
        };
        let mut headers = vec![("Range", "bytes=0-0".to_owned())];
        if may_redirect {
            headers.push(("Mas-Allow-Redirect", "true".to_owned()));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        // The body is not read: dropping it ends the connection.
        let streaming = self
            .http
            .open(Request {
                headers: with_connection(&headers, authorization),
                authorization: Some(authorization.header()),
                ..Request::get(Lane::Content, url.clone())
            })
            .await;
        let streaming = match streaming {
            Ok(streaming) => streaming,
            Err(error) => return nothing(&error.into()),
        };
        match streaming.status {
            200 | 206 => FileSeen {
                seen: Seen::answered(streaming.status),
                range: Some(is_one_byte(&streaming)),
                redirect: None,
                etag: streaming.header("ETag").is_some_and(|tag| !tag.is_empty()),
            },
            307 | 308 => FileSeen {
                seen: Seen::answered(streaming.status),
                range: None,
                redirect: streaming
                    .header("Location")
                    .and_then(|location| url.join(location).ok())
                    .and_then(|target| target.host_str().map(str::to_owned)),
                etag: false,
            },
            _ => nothing(&file::failure_of(streaming, "the file of a document").await),
        }
    }

    async fn page(
        &self,
        query: &Query,
        top: usize,
        asked: Asked,
        folder: Option<FolderId>,
        authorization: &Authorization,
    ) -> PageSeen {
        let by_token = self.pages != PageMode::Skip
            && self
                .version
                .get()
                .is_some_and(|version| version.api >= TOKENS_SINCE);
        let mut page = PageSeen {
            seen: Seen::answered(200),
            entries: Vec::new(),
            top,
            token: None,
            properties: BTreeSet::new(),
            compressed: false,
        };
        // Asked for and unpacked here, because the client hides whether an answer came compressed.
        let mut headers = vec![("Accept-Encoding", "gzip".to_owned())];
        if by_token {
            headers.push(("SkipToken", "0".to_owned()));
        }
        let answer = async {
            let path = self.inside(&query.path(false, Some(top), None))?;
            let mut response = self.get(&self.url(&path)?, &headers, Some(authorization)).await?;
            let encoding = response.header("Content-Encoding").unwrap_or_default();
            if encoding.eq_ignore_ascii_case("gzip") {
                page.compressed = true;
                response.body = unpacked(&response.body)?;
            }
            if response.status != 200 || looks_like_a_page(&response) {
                return Err(failure_of(&response, query.what()));
            }
            let rows = read_rows::<ObjectProperties>(&response, query.what())?;
            page.token = by_token.then(|| {
                let token = response.header("SkipToken").unwrap_or_default();
                !token.trim().is_empty()
            });
            page.properties = properties_of(&response.body);
            for row in rows {
                let entry = row
                    .into_entry(asked, folder)
                    .map_err(|row| Failure::protocol(row.to_string()))?;
                page.entries.push(entry);
            }
            Ok(())
        };
        if let Err(failure) = answer.await {
            page.seen = Seen::of(&failure);
        }
        page
    }

    /// The status of a success, and its rows.
    async fn rows<P: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        authorization: Option<&Authorization>,
        what: &str,
    ) -> Result<(u16, Vec<Instance<P>>), Failure> {
        let response = self.get(&self.url(path)?, headers, authorization).await?;
        if response.status != 200 || looks_like_a_page(&response) {
            return Err(failure_of(&response, what));
        }
        Ok((response.status, read_rows(&response, what)?))
    }

    async fn get(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let mut headers = match authorization {
            Some(authorization) => with_connection(headers, authorization),
            None => headers.to_vec(),
        };
        headers.push(("Accept", "application/json".to_owned()));
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(self
            .http
            .send_once(Request {
                headers,
                authorization: authorization.map(Authorization::header),
                ..Request::get(Lane::Content, url.clone())
            })
            .await?)
    }

    /// The path of something in the chosen datasource.
    fn inside(&self, path: &str) -> Result<String, Failure> {
        match self.repository.get() {
            Some(repository) => Ok(format!("Repositories/{repository}/{path}")),
            None => Err(Failure::protocol("no datasource is chosen")),
        }
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let path_of = |version: &Version| version.path;
        let version = self.version.get().map(path_of).or(self.asked);
        self.url_at(version.unwrap_or(OLDEST_PATH), path)
    }

    fn url_at(&self, version: VersionPath, path: &str) -> Result<Url, Failure> {
        Url::parse(&format!("{}/{version}/{path}", self.server))
            .map_err(|error| Failure::protocol(format!("no URL can be made for this server: {error}")))
    }
}

/// What a server of any version answers a probe on.
const OLDEST_PATH: VersionPath = VersionPath {
    scheme: VersionScheme::Api,
    version: OLDEST,
};

fn folders_of(page: PageSeen) -> impl Iterator<Item = Folder> {
    page.entries.into_iter().filter_map(|entry| match entry {
        Entry::Folder(folder) => Some(folder),
        Entry::Document(_) => None,
    })
}

fn is_one_byte(streaming: &Streaming) -> bool {
    streaming.status == 206
        && streaming
            .header("Content-Range")
            .is_some_and(|range| range.trim().starts_with("bytes 0-0/"))
}

fn unpacked(body: &[u8]) -> Result<Bytes, Failure> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body)
        .take(PAGE_LIMIT)
        .read_to_end(&mut plain)
        .map_err(|error| Failure::protocol(format!("the compressed answer is damaged ({error})")))?;
    Ok(plain.into())
}

/// The names of the properties of all rows.
fn properties_of(body: &[u8]) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Rows {
        instances: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        properties: Option<serde_json::Map<String, Value>>,
    }
    let rows = serde_json::from_slice::<Rows>(body).map_or_else(|_| Vec::new(), |rows| rows.instances);
    rows.into_iter()
        .filter_map(|row| row.properties)
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, _)| bounded(&name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_properties_are_those_of_all_rows_without_the_empty_ones() {
        let body =
            br#"{"instances":[{"properties":{"A":1,"B":null}},{"properties":null},{"properties":{"C":""}}]}"#;
        let names: Vec<_> = properties_of(body).into_iter().collect();
        assert_eq!(names, ["A", "C"]);
        assert!(properties_of(b"<html>").is_empty());
    }
}
