//! Queries whose answers come in pages, turned into entries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::http::Response;
use crate::model::{Entry, Folder, FolderId};
use crate::remote::Progress;

use super::WsgRemote;
use super::address::ApiVersion;
use super::conditional::Watch;
use super::error::{Failure, bounded};
use super::gateway::{NOT_MODIFIED, failure_of};
use super::paging::{Ask, Learnt, Page, PageMode, Pager, Paging, Room, Row};
use super::query::{Class, Query};
use super::wire::{self, Asked, Instance, NoProperties, NodeProperties, ObjectProperties, UnusableRow};

/// Servers page by SkipToken from this version on (projectwise-api 1.1).
pub(super) const TOKENS_SINCE: ApiVersion = ApiVersion { major: 2, minor: 5 };

/// What was learnt of how this server answers long queries.
#[derive(Debug, Default)]
pub(super) struct Listings {
    projects: Learnt,
    documents: Learnt,
    nodes: Learnt,
    /// The server refuses `$orderby`.
    refuses_order: AtomicBool,
}

/// What the rows of a query must be, and who looks at its answers.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) asked: Asked,
    /// The folder whose children they are, where they are one folder's.
    pub(super) folder: Option<FolderId>,
    /// See [`Pager::at_most`].
    pub(super) at_most: Option<usize>,
    /// See [`Pager::room`].
    pub(super) room: Option<&'a Room>,
    /// Asks whether anything has changed, and notes what to ask with the next time.
    pub(super) watch: Option<&'a Watch>,
}

impl Expected<'_> {
    /// Whatever there is.
    pub(super) const fn all(asked: Asked) -> Self {
        Self {
            asked,
            folder: None,
            at_most: None,
            room: None,
            watch: None,
        }
    }
}

/// How the pages of one listing are asked for.
struct Style {
    mode: PageMode,
    size: usize,
    /// With `$orderby`. Drops to false when the first page is refused for it.
    ordered: AtomicBool,
}

impl Listings {
    /// All rows of `query` as entries; one without an id is an error, and so is a child of another folder than the one
    /// asked for, where one is.
    pub(super) async fn entries(
        &self,
        remote: &WsgRemote,
        query: &Query,
        expected: Expected<'_>,
        progress: &Progress,
    ) -> Result<Vec<Entry>, Failure> {
        let asked_at = Instant::now();
        let convert = |row: Instance<ObjectProperties>| {
            let key = row.id.text();
            let entry = row
                .into_entry(expected.asked, expected.folder)
                .map_err(|row| unusable(&row))?;
            remote.hiding.shown(entry.id(), asked_at);
            // Of what is asked for by id there is no more than one row each.
            let key = match expected.at_most {
                Some(_) => key,
                None => version_key(key, &entry),
            };
            child_row(key, entry, expected.folder)
        };
        self.collect(remote, query, expected, progress, convert).await
    }

    /// The rows of the first page of `query`; two are asked for at most.
    pub(super) async fn first_page(
        &self,
        remote: &WsgRemote,
        query: &Query,
        expected: Expected<'_>,
    ) -> Result<Vec<Entry>, Failure> {
        let style = Style {
            mode: PageMode::Skip,
            size: 2,
            ordered: AtomicBool::new(false),
        };
        let ask = self.pager(query, &style, None, None).first_ask();
        let convert = |row: Instance<ObjectProperties>| {
            let key = row.id.text();
            let entry = row
                .into_entry(expected.asked, expected.folder)
                .map_err(|row| unusable(&row))?;
            child_row(key, entry, expected.folder)
        };
        let page = self.page(remote, query, &style, &ask, None, &convert).await?;
        Ok(page.rows.into_iter().filter_map(|row| row.value).collect())
    }

    /// The URL and the SkipToken header of the first page of `query`, as far as the server is known by now.
    pub(super) fn first_question(&self, remote: &WsgRemote, query: &Query) -> (String, Option<String>) {
        let style = self.style_at(remote, query, remote.gateway.likely_version().api);
        let ask = self.pager(query, &style, None, None).first_ask();
        let ordered = style.ordered.load(Ordering::Relaxed);
        (query.path(ordered, ask.top, ask.skip), ask.token)
    }

    /// Whether the server still says that nothing has changed since the answer that `watch` was made from.
    pub(super) async fn repeats(
        &self,
        remote: &WsgRemote,
        query: &Query,
        watch: &Watch,
    ) -> Result<bool, Failure> {
        let style = self.style(remote, query).await?;
        let ask = self.pager(query, &style, None, None).first_ask();
        let page: Result<Page<Option<()>>, Failure> = self
            .page(remote, query, &style, &ask, Some(watch), &|_: Instance<
                NoProperties,
            >| {
                Ok(Row {
                    key: None,
                    value: None,
                })
            })
            .await;
        match page {
            Ok(_) => Ok(false),
            Err(_) if watch.is_unmodified() => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    /// The nodes at the top of the navigation tree; `None` for those that are no folders.
    pub(super) async fn nodes(
        &self,
        remote: &WsgRemote,
        progress: &Progress,
    ) -> Result<Vec<Option<Folder>>, Failure> {
        let convert = |row: Instance<NodeProperties>| {
            let key = row.id.text();
            let folder = row.into_folder().map_err(|row| unusable(&row))?;
            Ok(Row {
                key,
                value: Some(folder),
            })
        };
        let expected = Expected::all(Asked::Folders);
        self.collect(remote, &Query::root_nodes(), expected, progress, convert)
            .await
    }

    /// Asks for one folder, to see whether the answer brings a SkipToken; if so, for one document, too.
    ///
    /// # Errors
    /// Those of the first request. The other only spares later ones.
    pub(super) async fn try_paging(&self, remote: &WsgRemote) -> Result<(), Failure> {
        /// What is asked of all documents may take long to answer.
        const PATIENCE: Duration = Duration::from_secs(5);
        self.try_paging_of(remote, &Query::all_folders()).await?;
        if self.projects.tokens.known() == Some(true) {
            let documents = Query::all_documents();
            match tokio::time::timeout(PATIENCE, self.try_paging_of(remote, &documents)).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    tracing::debug!(error = %failure.error, "whether documents come by token is left open");
                }
                Err(_) => tracing::debug!("whether documents come by token is left open: no answer in time"),
            }
        }
        Ok(())
    }

    async fn try_paging_of(&self, remote: &WsgRemote, query: &Query) -> Result<(), Failure> {
        let style = self.style(remote, query).await?;
        let ask = Ask {
            token: (style.mode != PageMode::Skip).then(|| "0".to_owned()),
            top: Some(1),
            skip: None,
        };
        let style = Style {
            ordered: AtomicBool::new(false),
            ..style
        };
        let page: Page<Option<()>> = self
            .page(remote, query, &style, &ask, None, &|_: Instance<NoProperties>| {
                Ok(Row {
                    key: None,
                    value: None,
                })
            })
            .await?;
        // A lone row without a token shows nothing, and one page of all rows is none of several.
        if page.token.is_some_and(|token| !token.is_empty()) {
            self.learnt(query).tokens.proved();
        }
        Ok(())
    }

    const fn learnt(&self, query: &Query) -> &Learnt {
        match query.class {
            Class::Project => &self.projects,
            Class::Document => &self.documents,
            Class::NavNode => &self.nodes,
        }
    }

    /// Whether pages come by token, of whatever class.
    pub(super) fn tokens(&self) -> Option<bool> {
        let known = [&self.documents, &self.projects, &self.nodes].map(|learnt| learnt.tokens.known());
        // One that was seen weighs more than those that were missed.
        known.into_iter().flatten().max()
    }

    async fn collect<P, T>(
        &self,
        remote: &WsgRemote,
        query: &Query,
        expected: Expected<'_>,
        progress: &Progress,
        convert: impl Fn(Instance<P>) -> Result<Row<Option<T>>, Failure> + Send + Sync,
    ) -> Result<Vec<T>, Failure>
    where
        P: for<'de> Deserialize<'de> + Send,
        T: Send,
    {
        let style = self.style(remote, query).await?;
        let (style, convert) = (&style, &convert);
        let rows = self
            .pager(query, style, expected.at_most, expected.room)
            .collect(progress, |ask| async move {
                self.page(remote, query, style, &ask, expected.watch, convert)
                    .await
            })
            .await?;
        Ok(rows.into_iter().flatten().collect())
    }

    const fn pager<'a>(
        &'a self,
        query: &Query,
        style: &Style,
        at_most: Option<usize>,
        room: Option<&'a Room>,
    ) -> Pager<'a> {
        let paging = match query.class {
            Class::Project | Class::Document => Paging::Honoured,
            Class::NavNode => Paging::Optional,
        };
        Pager {
            mode: style.mode,
            size: style.size,
            paging,
            at_most,
            room,
            learnt: self.learnt(query),
        }
    }

    async fn style(&self, remote: &WsgRemote, query: &Query) -> Result<Style, Failure> {
        let api = remote.gateway.version().await?.api;
        Ok(self.style_at(remote, query, api))
    }

    fn style_at(&self, remote: &WsgRemote, query: &Query, api: ApiVersion) -> Style {
        let mode = match remote.options.page_mode {
            PageMode::Auto if api < TOKENS_SINCE => PageMode::Skip,
            mode => mode,
        };
        // A token is the server's own bookmark; only counted pages need an order to be counted in.
        let by_token = match mode {
            PageMode::SkipToken => true,
            PageMode::Auto => self.learnt(query).tokens.known() == Some(true),
            PageMode::Skip => false,
        };
        let ordered = !by_token && query.can_be_ordered() && !self.refuses_order.load(Ordering::Relaxed);
        Style {
            mode,
            size: remote.options.page_size.max(2),
            ordered: AtomicBool::new(ordered),
        }
    }

    async fn page<P, T>(
        &self,
        remote: &WsgRemote,
        query: &Query,
        style: &Style,
        ask: &Ask,
        watch: Option<&Watch>,
        convert: &(impl Fn(Instance<P>) -> Result<Row<Option<T>>, Failure> + Send + Sync),
    ) -> Result<Page<Option<T>>, Failure>
    where
        P: for<'de> Deserialize<'de> + Send,
    {
        let send = |ordered: bool| async move {
            let url = remote.url(&query.path(ordered, ask.top, ask.skip)).await?;
            let mut headers: Vec<_> = ask
                .token
                .iter()
                .map(|token| ("SkipToken", token.clone()))
                .collect();
            let condition = watch.and_then(|watch| watch.condition(&url, ask.token.as_deref()));
            headers.extend(condition.map(|tag| ("If-None-Match", tag)));
            let response = remote.gateway.get(&url, &headers, query.what()).await?;
            if let Some(watch) = watch {
                watch.answered(&url, ask.token.as_deref(), &response);
            }
            Ok::<_, Failure>(response)
        };
        let ordered = style.ordered.load(Ordering::Relaxed);
        let response = match send(ordered).await {
            // Which columns may order is not known (projectwise-api 7.7). Only at the start: pages of two orders do
            // not fit together.
            Err(failure) if failure.is_bad_query() && ordered && ask.skip.is_none() => {
                let response = send(false).await?;
                tracing::debug!(error = %failure.error, "the server refuses $orderby; going on without");
                style.ordered.store(false, Ordering::Relaxed);
                self.refuses_order.store(true, Ordering::Relaxed);
                response
            }
            other => other?,
        };
        if response.status == NOT_MODIFIED {
            return Err(Failure::not_modified());
        }
        let token = response.header("SkipToken").map(|token| token.trim().to_owned());
        let rows = read_rows::<P>(&response, query.what())?
            .into_iter()
            .map(convert)
            .collect::<Result<_, _>>()?;
        Ok(Page { rows, token })
    }
}

/// What tells a row from the others of a listing. Should an old version have the GUID of the active one, it must not take
/// its place.
fn version_key(key: Option<String>, entry: &Entry) -> Option<String> {
    match entry {
        Entry::Document(document) if !document.active => key.map(|key| format!("{key} superseded")),
        Entry::Document(_) | Entry::Folder(_) => key,
    }
}

/// A row of a folder's children, or of whatever was asked for; `None` in it for what is counted and no child.
fn child_row(
    key: Option<String>,
    entry: Entry,
    folder: Option<FolderId>,
) -> Result<Row<Option<Entry>>, Failure> {
    let Some(folder) = folder else {
        return Ok(Row {
            key,
            value: Some(entry),
        });
    };
    match (&entry, entry.parent()) {
        // Left out, it would hide that the rest may be short: the server pages what it was not asked for.
        (_, Some(parent)) if parent != folder => Err(Failure::protocol(format!(
            "the server does not honour the filter: among the children of folder {folder} it lists {:?} of folder \
             {parent}; another query style may help",
            bounded(match &entry {
                Entry::Folder(folder) => &folder.name,
                Entry::Document(document) => &document.name,
            })
        ))),
        // Whoever walked into it would never come out, and would see nothing new.
        (Entry::Folder(child), _) if child.id == folder => {
            tracing::warn!(%folder, "the server lists this folder as a child of itself; it is not shown there");
            Ok(Row { key, value: None })
        }
        (Entry::Document(_) | Entry::Folder(_), _) => Ok(Row {
            key,
            value: Some(entry),
        }),
    }
}

fn unusable(row: &UnusableRow) -> Failure {
    Failure::protocol(row.to_string())
}

/// The instances of an answer; an error body under a good status is the error it says it is.
pub(super) fn read_rows<P: for<'de> Deserialize<'de>>(
    response: &Response,
    what: &str,
) -> Result<Vec<Instance<P>>, Failure> {
    wire::parse(&response.body).map_err(|reason| {
        let said = failure_of(response, what);
        if said.kind.is_some() {
            said
        } else {
            Failure::protocol(format!("{what}: {reason}"))
        }
    })
}
