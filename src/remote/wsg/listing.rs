//! Queries whose answers come in pages, turned into entries.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use crate::http::Response;
use crate::model::{Entry, Folder, FolderId};
use crate::remote::Progress;

use super::WsgRemote;
use super::address::ApiVersion;
use super::error::Failure;
use super::gateway::failure_of;
use super::paging::{Ask, Learnt, Page, PageMode, Pager, Paging, Row};
use super::query::{Class, Query};
use super::support::Support;
use super::wire::{self, Asked, Instance, NoProperties, NodeProperties, ObjectProperties, UnusableRow};

/// Servers page by SkipToken from this version on (projectwise-api 1.1).
const TOKENS_SINCE: ApiVersion = ApiVersion { major: 2, minor: 5 };

/// What was learnt of how this server answers long queries.
#[derive(Debug, Default)]
pub(super) struct Listings {
    pub(super) tokens: Support,
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
    /// All rows of `query` as entries; a row of a strange class is left out, one without an id is an error.
    pub(super) async fn entries(
        &self,
        remote: &WsgRemote,
        query: &Query,
        asked: Asked,
        folder: Option<FolderId>,
        at_most: Option<usize>,
        progress: &Progress,
    ) -> Result<Vec<Entry>, Failure> {
        let convert = |row: Instance<ObjectProperties>| row.into_entry(asked, folder);
        self.collect(remote, query, at_most, progress, convert).await
    }

    /// The folders among the nodes at the top of the navigation tree.
    pub(super) async fn nodes(
        &self,
        remote: &WsgRemote,
        progress: &Progress,
    ) -> Result<Vec<Folder>, Failure> {
        let convert = |row: Instance<NodeProperties>| row.into_folder();
        self.collect(remote, &Query::root_nodes(), None, progress, convert)
            .await
    }

    /// Asks for one folder, to see whether the answer brings a SkipToken.
    pub(super) async fn try_paging(&self, remote: &WsgRemote) -> Result<(), Failure> {
        let style = self.style(remote, &Query::all_folders()).await?;
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
            .page(remote, &Query::all_folders(), &style, &ask, &|_: Instance<
                NoProperties,
            >| {
                Ok(None)
            })
            .await?;
        // A lone folder without a token shows nothing.
        if page.token.is_some_and(|token| !token.is_empty()) {
            self.tokens.proved();
        }
        Ok(())
    }

    async fn collect<P, T>(
        &self,
        remote: &WsgRemote,
        query: &Query,
        at_most: Option<usize>,
        progress: &Progress,
        convert: impl Fn(Instance<P>) -> Result<Option<T>, UnusableRow> + Send + Sync,
    ) -> Result<Vec<T>, Failure>
    where
        P: for<'de> Deserialize<'de> + Send,
        T: Send,
    {
        let style = self.style(remote, query).await?;
        let (learnt, paging) = match query.class {
            Class::Project => (&self.projects, Paging::Honoured),
            Class::Document => (&self.documents, Paging::Honoured),
            Class::NavNode => (&self.nodes, Paging::Optional),
        };
        let pager = Pager {
            mode: style.mode,
            size: style.size,
            paging,
            at_most,
            learnt,
            tokens: &self.tokens,
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
            PageMode::Auto => self.tokens.known() == Some(true),
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
        convert: &(impl Fn(Instance<P>) -> Result<Option<T>, UnusableRow> + Send + Sync),
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
                convert(instance)
                    .map(|value| Row { key, value })
                    .map_err(|error| Failure::protocol(error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Page { rows, token })
    }
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
