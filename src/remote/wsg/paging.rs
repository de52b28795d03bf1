//! Collects all pages of a query, or fails: a short list is never an answer.
//!
//! Reading pages until one is short is simple until you consider that:
//! 1. whether a server does SkipToken at all is not known before it returned one (projectwise-api 7.6);
//! 2. a server may cap pages below the `$top` asked for, so that a short page proves nothing;
//! 3. rows shift between `$skip` pages while people work, and a row that slid over the border is seen by neither;
//! 4. a broken gateway may hand out the same token, or the same page, for ever;
//! 5. the navigation tree may know no paging at all.
//!
//! [`Pager`] answers 1 by asking for a token on each first page and going on by `$skip` where none comes, 2 with
//! [`Learnt::largest`]: only a page shorter than one this server has already sent is short, and any other is
//! followed by one more request, 3 by overlapping pages by one row, the anchor, and starting again when it is not
//! found, 4 with counts, 5 with [`Paging::Optional`].
//!
//! What paging cannot see, a row *renamed* from behind the anchor to before it while another one left, is the
//! catalog's to prove (design.md 5, proof c).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::remote::Progress;

use super::error::Failure;
use super::support::Support;

/// How pages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PageMode {
    /// By SkipToken where the server does it, else by `$skip`.
    #[default]
    Auto,
    /// By SkipToken, trusting its absence on a page shorter than asked for.
    SkipToken,
    /// By `$skip`, never sending a SkipToken.
    Skip,
}

/// What asks a server to begin paging by token (`InitialSkipToken` of Bentley's client).
const INITIAL_TOKEN: &str = "0";
/// At 500 rows a page: fifty million rows, far more than any datasource holds.
const MOST_PAGES: usize = 100_000;
/// A token may lead to a page without news once (rows that moved); three in a row lead nowhere.
const MOST_IDLE_PAGES: usize = 3;
/// How often a listing whose rows moved starts again.
const RESTARTS: usize = 3;

/// What one request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    /// The SkipToken header.
    pub(super) token: Option<String>,
    /// `$top`.
    pub(super) top: Option<usize>,
    /// `$skip`.
    pub(super) skip: Option<usize>,
}

/// One page as the server sent it.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) rows: Vec<Row<T>>,
    /// The SkipToken header of the answer.
    pub(super) token: Option<String>,
}

/// A row and what tells it from others; `None` for rows that are counted only.
#[derive(Debug)]
pub(super) struct Row<T> {
    pub(super) key: Option<String>,
    pub(super) value: T,
}

/// What a server was seen to do with one class. Shared by all listings.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// The longest page it ever sent: it caps pages at no less.
    largest: AtomicUsize,
    /// It sends everything at once, whatever `$skip` says. Only for [`Paging::Optional`].
    unpaged: AtomicBool,
    /// Whether it pages this class by SkipToken. What it does with another one proves nothing.
    pub(super) tokens: Support,
}

/// Whether a query is known to page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paging {
    /// It takes `$top` and `$skip`.
    Honoured,
    /// It may ignore or refuse them and send everything.
    Optional,
}

/// How many rows some queries together may bring, before it is too much to go on.
///
/// A row that is sent twice, because rows moved and a query began again, counts twice.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicUsize,
    is_full: AtomicBool,
}

impl Room {
    /// Room for `most` rows.
    pub(super) const fn for_rows(most: usize) -> Self {
        Self {
            left: AtomicUsize::new(most),
            is_full: AtomicBool::new(false),
        }
    }

    /// True once more rows came than there is room for.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Takes the rows of a page; false where they are too many.
    fn take(&self, rows: usize) -> bool {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(rows)
            });
        if taken.is_err() {
            self.is_full.store(true, Ordering::Relaxed);
        }
        taken.is_ok()
    }
}

/// How to collect one query.
pub(super) struct Pager<'a> {
    pub(super) mode: PageMode,
    /// Rows a page, at least 2: with one row there is no overlap.
    pub(super) size: usize,
    pub(super) paging: Paging,
    /// As many distinct rows cannot be exceeded: the ids asked for.
    pub(super) at_most: Option<usize>,
    /// Whoever runs out of it fails, and asks for nothing more.
    pub(super) room: Option<&'a Room>,
    pub(super) learnt: &'a Learnt,
}

/// Why a round of pages came to nothing.
enum Broken {
    /// Rows moved between two pages.
    Moved,
    /// For good.
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Pager<'_> {
    /// What is asked first.
    pub(super) fn first_ask(&self) -> Ask {
        Ask {
            token: (self.mode != PageMode::Skip).then(|| INITIAL_TOKEN.to_owned()),
            top: match self.paging {
                Paging::Honoured => Some(self.size),
                Paging::Optional => None,
            },
            skip: None,
        }
    }

    /// All rows, in the server's order, each key once: of rows with one key the last one seen counts.
    ///
    /// # Errors
    /// The first failure of `fetch`, or a protocol failure where the pages contradict themselves or there is no room.
    pub(super) async fn collect<T, F, P>(&self, progress: &Progress, mut fetch: F) -> Result<Vec<T>, Failure>
    where
        F: FnMut(Ask) -> P,
        P: Future<Output = Result<Page<T>, Failure>>,
    {
        for _ in 0..=RESTARTS {
            match self.round(progress, &mut fetch).await {
                Ok(rows) => return Ok(rows.values),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Moved) => tracing::debug!("rows moved between two pages; listing again"),
            }
        }
        Err(Failure::protocol(format!(
            "the rows of a listing moved between its pages {} times in a row",
            RESTARTS + 1
        )))
    }

    /// Takes a page, if there is room for it.
    fn admit<T>(&self, page: Page<T>) -> Result<Page<T>, Failure> {
        if self.room.is_some_and(|room| !room.take(page.rows.len())) {
            return Err(Failure::protocol(
                "a listing has more rows than there is room for",
            ));
        }
        Ok(page)
    }

    async fn round<T, F, P>(&self, progress: &Progress, fetch: &mut F) -> Result<Rows<T>, Broken>
    where
        F: FnMut(Ask) -> P,
        P: Future<Output = Result<Page<T>, Failure>>,
    {
        let ask = self.first_ask();
        let first_top = ask.top;
        let first = self.admit(fetch(ask).await?)?;
        progress.page(first.rows.len());
        let has_token = first.token.as_ref().is_some_and(|token| !token.is_empty());
        match self.mode {
            PageMode::Auto | PageMode::SkipToken if has_token => {
                self.learnt.tokens.proved();
                self.by_token(progress, fetch, first, first_top).await
            }
            // A full page without a token may be the last, or one of a query the server does not page by token.
            PageMode::Auto | PageMode::SkipToken
                if self.learnt.tokens.known() == Some(true) && first.rows.len() < self.size =>
            {
                Ok(Rows::from_page(first))
            }
            // Trusted with a short page; a full one from a server that never sent a token proves nothing.
            PageMode::SkipToken if first.rows.len() < self.size => Ok(Rows::from_page(first)),
            PageMode::Auto | PageMode::SkipToken | PageMode::Skip => {
                self.by_skip(progress, fetch, first).await
            }
        }
    }

    async fn by_token<T, F, P>(
        &self,
        progress: &Progress,
        fetch: &mut F,
        first: Page<T>,
        top: Option<usize>,
    ) -> Result<Rows<T>, Broken>
    where
        F: FnMut(Ask) -> P,
        P: Future<Output = Result<Page<T>, Failure>>,
    {
        let mut rows = Rows::new();
        let mut seen = HashSet::new();
        let mut idle = 0;
        let mut page = first;
        loop {
            let before = rows.values.len();
            page.rows.into_iter().for_each(|row| rows.put(row));
            let Some(token) = page.token.filter(|token| !token.is_empty()) else {
                return Ok(rows);
            };
            idle = if rows.values.len() == before { idle + 1 } else { 0 };
            if idle >= MOST_IDLE_PAGES {
                return Err(Failure::protocol("the pages of a listing go on without new rows").into());
            }
            if !seen.insert(token.clone()) {
                return Err(Failure::protocol("a listing's SkipToken leads in a circle").into());
            }
            if seen.len() > MOST_PAGES {
                return Err(Failure::protocol("a listing has no end").into());
            }
            let ask = Ask {
                token: Some(token),
                top,
                skip: None,
            };
            page = self.admit(fetch(ask.clone()).await?)?;
            // Some servers end so. A gateway that lost its place answers the same, so it must say it twice.
            if page.rows.is_empty() && page.token.as_ref().is_none_or(String::is_empty) {
                page = self.admit(fetch(ask).await?)?;
            }
            progress.page(page.rows.len());
        }
    }

    async fn by_skip<T, F, P>(
        &self,
        progress: &Progress,
        fetch: &mut F,
        first: Page<T>,
    ) -> Result<Rows<T>, Broken>
    where
        F: FnMut(Ask) -> P,
        P: Future<Output = Result<Page<T>, Failure>>,
    {
        let first_keys: Vec<Option<String>> = match self.paging {
            Paging::Honoured => Vec::new(),
            Paging::Optional => first.rows.iter().map(|row| row.key.clone()).collect(),
        };
        // Rows received, repeated ones included: what `$skip` counts.
        let mut received = first.rows.len();
        let mut ended = match self.paging {
            Paging::Honoured => self.is_last(received, self.size),
            Paging::Optional => received == 0 || self.learnt.unpaged.load(Ordering::Relaxed),
        };
        let mut anchor = first.rows.last().and_then(|row| row.key.clone());
        let mut rows = Rows::from_page(first);
        for _ in 0..MOST_PAGES {
            if ended || self.at_most.is_some_and(|most| rows.by_key.len() >= most) {
                return Ok(rows);
            }
            // One row is no anchor: a page of one row looks like the end under any cap.
            let overlap = usize::from(received > 1);
            let top = self.size + overlap;
            let answer = fetch(Ask {
                token: None,
                top: Some(top),
                skip: Some(received - overlap),
            })
            .await;
            let page = match answer {
                Err(failure) if self.paging == Paging::Optional && failure.is_bad_query() => {
                    self.learnt.unpaged.store(true, Ordering::Relaxed);
                    return Ok(rows);
                }
                other => self.admit(other?)?,
            };
            let count = page.rows.len();
            progress.page(count.saturating_sub(overlap));
            // The same rows from their beginning, not from the anchor: `$skip` means nothing here.
            if count > 0
                && received == first_keys.len()
                && first_keys
                    .iter()
                    .zip(&page.rows)
                    .all(|(key, row)| *key == row.key)
            {
                self.learnt.unpaged.store(true, Ordering::Relaxed);
                return Ok(rows);
            }
            if overlap == 0 {
                if count > 0 {
                    return Err(Broken::Moved);
                }
                // Nothing behind a lone row, if it still is the first: else the others slid before it meanwhile.
                let again = fetch(Ask {
                    token: None,
                    top: Some(self.size),
                    skip: Some(0),
                })
                .await?;
                let is_first = again.rows.first().is_some_and(|row| row.key == anchor);
                return if is_first { Ok(rows) } else { Err(Broken::Moved) };
            }
            if page.rows.first().is_none_or(|row| row.key != anchor) {
                return Err(Broken::Moved);
            }
            ended = count == overlap || self.is_last(count, top);
            received += count - overlap;
            let next_anchor = page.rows.last().and_then(|row| row.key.clone());
            let mut at_anchor = true;
            let mut this_page = HashSet::new();
            for row in page.rows {
                // A server may repeat a row on the spot (a join); only one met again further on has moved.
                at_anchor = at_anchor && row.key == anchor;
                if let Some(key) = row.key.as_ref().filter(|_| !at_anchor)
                    && !this_page.contains(key)
                {
                    if rows.by_key.contains_key(key) {
                        return Err(Broken::Moved);
                    }
                    this_page.insert(key.clone());
                }
                rows.put(row);
            }
            anchor = next_anchor;
        }
        Err(Failure::protocol("a listing has no end").into())
    }

    /// Whether a page of `rows` proves the end, where `top` were asked for; remembers its length.
    fn is_last(&self, rows: usize, top: usize) -> bool {
        let largest = self.learnt.largest.fetch_max(rows, Ordering::Relaxed);
        if rows >= top.min(self.size) {
            self.learnt.tokens.missed();
        }
        rows == 0 || (rows < top && rows < largest)
    }
}

/// Rows in order of first appearance.
struct Rows<T> {
    values: Vec<T>,
    by_key: HashMap<String, usize>,
}

impl<T> Rows<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            by_key: HashMap::new(),
        }
    }

    fn from_page(page: Page<T>) -> Self {
        let mut rows = Self::new();
        page.rows.into_iter().for_each(|row| rows.put(row));
        rows
    }

    fn put(&mut self, row: Row<T>) {
        let Some(key) = row.key else {
            return;
        };
        if let Some(at) = self.by_key.get(&key) {
            self.values[*at] = row.value;
        } else {
            self.by_key.insert(key, self.values.len());
            self.values.push(row.value);
        }
    }
}

#[cfg(test)]
mod tests;
