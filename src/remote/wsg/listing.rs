//! Queries whose answers come in pages, turned into entries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::http::Response;
use crate::model::{Entry, Folder, FolderId};
use crate::remote::Progress;

use super::WsgRemote;
use super::address::ApiVersion;
use super::error::{Failure, bounded};
use super::gateway::failure_of;
use super::paging::{Ask, Learnt, Page, PageMode, Pager, Paging, Row};
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

/// How the pages of one listing are asked for.
struct Style {
    mode: PageMode,
    size: usize,
    /// With `$orderby`. Drops to false when the first page is refused for it.
    ordered: AtomicBool,
}

impl Listings {
    /// All rows of `query` as entries; one without an id is an error, and so is a child of another folder than
    /// `folder`, where one is given.
    pub(super) async fn entries(
        &self,
        remote: &WsgRemote,
        query: &Query,
        asked: Asked,
        folder: Option<FolderId>,
        at_most: Option<usize>,
        progress: &Progress,
    ) -> Result<Vec<Entry>, Failure> {
        let convert = |row: Instance<ObjectProperties>| {
            let entry = row.into_entry(asked, folder).map_err(|row| unusable(&row))?;
            match (folder, entry.parent()) {
                // Left out, it would hide that the rest may be short: the server pages what it was not asked for.
                (Some(folder), Some(parent)) if parent != folder => Err(Failure::protocol(format!(
                    "the server does not honour the filter: among the children of folder {folder} it lists {:?} of \
                     folder {parent}; another query style may help",
                    bounded(match &entry {
                        Entry::Folder(folder) => &folder.name,
                        Entry::Document(document) => &document.name,
                    })
                ))),
                _ => Ok(Some(entry)),
            }
        };
        self.collect(remote, query, at_most, progress, convert).await
    }

    /// The nodes at the top of the navigation tree; `None` for those that are no folders.
    pub(super) async fn nodes(
        &self,
        remote: &WsgRemote,
        progress: &Progress,
    ) -> Result<Vec<Option<Folder>>, Failure> {
        let convert =
            |row: Instance<NodeProperties>| row.into_folder().map(Some).map_err(|row| unusable(&row));
        self.collect(remote, &Query::root_nodes(), None, progress, convert)
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
            .page(remote, query, &style, &ask, &|_: Instance<NoProperties>| Ok(None))
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
        at_most: Option<usize>,
        progress: &Progress,
        convert: impl Fn(Instance<P>) -> Result<Option<T>, Failure> + Send + Sync,
    ) -> Result<Vec<T>, Failure>
    where
        P: for<'de> Deserialize<'de> + Send,
        T: Send,
    {
        let style = self.style(remote, query).await?;
        let paging = match query.class {
            Class::Project | Class::Document => Paging::Honoured,
            Class::NavNode => Paging::Optional,
        };
        let pager = Pager {
            mode: style.mode,
            size: style.size,
            paging,
            at_most,
            learnt: self.learnt(query),
        };
        let (style, convert) = (&style, &convert);
        let rows = pager
            .collect(progress, |ask| async move {
                self.page(remote, query, style, &ask, convert).await
            })
            .await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn style(&self, remote: &WsgRemote, query: &Query) -> Result<Style, Failure> {
        let api = remote.gateway.version().await?.api;
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
        Ok(Style {
            mode,
            size: remote.options.page_size.max(2),
            ordered: AtomicBool::new(ordered),
        })
    }

    async fn page<P, T>(
        &self,
        remote: &WsgRemote,
        query: &Query,
        style: &Style,
        ask: &Ask,
        convert: &(impl Fn(Instance<P>) -> Result<Option<T>, Failure> + Send + Sync),
    ) -> Result<Page<Option<T>>, Failure>
    where
        P: for<'de> Deserialize<'de> + Send,
    {
        let headers: Vec<_> = ask
            .token
            .iter()
            .map(|token| ("SkipToken", token.clone()))
            .collect();
        let ordered = style.ordered.load(Ordering::Relaxed);
        let url = remote.url(&query.path(ordered, ask.top, ask.skip)).await?;
        let response = match remote.gateway.get(&url, &headers, query.what()).await {
            // Which columns may order is not known (projectwise-api 7.7). Only at the start: pages of two orders do
            // not fit together.
            Err(failure) if failure.is_bad_query() && ordered && ask.skip.is_none() => {
                let url = remote.url(&query.path(false, ask.top, ask.skip)).await?;
                let response = remote.gateway.get(&url, &headers, query.what()).await?;
                tracing::debug!(error = %failure.error, "the server refuses $orderby; going on without");
                style.ordered.store(false, Ordering::Relaxed);
                self.refuses_order.store(true, Ordering::Relaxed);
                response
            }
            other => other?,
        };
        let token = response.header("SkipToken").map(|token| token.trim().to_owned());
        let rows = read_rows::<P>(&response, query.what())?
            .into_iter()
            .map(|instance| {
                let key = instance.id.text();
                convert(instance).map(|value| Row { key, value })
            })
            .collect::<Result<_, _>>()?;
        Ok(Page { rows, token })
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
