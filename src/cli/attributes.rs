//! Asks for the attributes of all documents below a folder, as far as they are not kept, and keeps them.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::completeness::Extent;
use super::crawling;
use super::failure::{CliError, Code, ErrorKind};
use super::interrupt;
use super::output::Printer;
use crate::catalog::attributes::{AttributeStore, Edition};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::{Clock, Stamp};
use crate::daemon::blocking;
use crate::manifest::{DocumentRow, FolderRow, Plan, Shard, Taker, Terms, Top};
use crate::model::{DocumentId, Timestamp};
use crate::remote::{AttributesOfMany, Remote, Urgency, UrgencyHandle, with_urgency};

/// As many documents are asked for at a time, and kept together: a few questions.
const BATCH: usize = 200;

/// As many batches are under way: the pace of requests is kept where they are sent.
const AT_ONCE: usize = 4;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Documents there are.
    pub(super) documents: u64,
    /// Those that were asked for now.
    pub(super) asked: u64,
    /// Of these: what the server did not answer, because it refuses or no longer has it.
    pub(super) unanswered: u64,
}

/// A document whose attributes are not known.
struct Wanted {
    document: DocumentId,
    edition: Edition,
}

/// Asks for what is not kept, or was asked for before what `terms` allow. Without a deadline.
///
/// # Errors
/// Those of a server that could not be asked, or tells no attributes. What was answered before is kept.
pub(super) async fn gather(
    extent: &Extent,
    terms: Terms,
    shard: Option<Shard>,
    remote: Arc<dyn Remote>,
    printer: &Printer,
) -> Result<Gathered, CliError> {
    let (catalog, tops) = (extent.catalog.clone(), extent.tops.clone());
    let found = blocking(move || find(&catalog, &tops, terms, shard)).await?;
    let Found {
        store,
        wanted,
        documents,
    } = found;
    let store = Arc::new(store);
    let bar = printer.bar("documents");
    let known = wanted.len() as u64;
    let mut gathered = Gathered {
        documents,
        ..Gathered::default()
    };
    bar.set(0, known, String::new());
    let mut batches = wanted.into_iter();
    let batches = std::iter::from_fn(move || {
        let batch: Vec<Wanted> = batches.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    });
    let asking = stream::iter(batches)
        .map(|batch| ask(remote.clone(), store.clone(), batch))
        .buffer_unordered(AT_ONCE)
        .try_for_each(|answered| {
            gathered.asked += answered.asked;
            gathered.unanswered += answered.unanswered;
            bar.set(gathered.asked, known, String::new());
            std::future::ready(Ok(()))
        });
    interrupt::take_interrupt();
    tokio::select! {
        outcome = asking => outcome?,
        _ = tokio::signal::ctrl_c() => return Err(crawling::stopped("asked for")),
    }
    Ok(gathered)
}

/// What is wanted, and where it is kept.
struct Found {
    store: AttributeStore,
    wanted: Vec<Wanted>,
    documents: u64,
}

fn find(catalog: &Catalog, tops: &[Top], terms: Terms, shard: Option<Shard>) -> Result<Found, CatalogError> {
    let store = AttributeStore::open(catalog.dir())?;
    store.forget_old(Timestamp::now())?;
    catalog.snapshot(|snapshot| {
        let plan = Plan::make(snapshot, tops, &terms)?;
        let mut finder = Finder {
            store: &store,
            clock: Clock::default(),
            terms,
            shard,
            wanted: Vec::new(),
            documents: 0,
        };
        plan.tell::<CatalogError>(snapshot, &mut finder)?;
        let Finder {
            wanted, documents, ..
        } = finder;
        Ok(Found {
            store: AttributeStore::open(catalog.dir())?,
            wanted,
            documents,
        })
    })
}

struct Finder<'a> {
    store: &'a AttributeStore,
    clock: Clock,
    terms: Terms,
    shard: Option<Shard>,
    wanted: Vec<Wanted>,
    documents: u64,
}

impl Taker<CatalogError> for Finder<'_> {
    fn folder(&mut self, _: FolderRow) -> Result<(), CatalogError> {
        Ok(())
    }

    fn document(&mut self, row: DocumentRow) -> Result<(), CatalogError> {
        if self.shard.is_some_and(|shard| !shard.has(row.guid)) {
            return Ok(());
        }
        self.documents += 1;
        // What is refused is not asked for; of what the catalog does not know yet nothing can be kept.
        let Some(document) = row.document.filter(|_| row.readable) else {
            return Ok(());
        };
        let kept = self.store.of(&document)?;
        let is_old = |asked: &Stamp| (self.terms.since).is_some_and(|since| self.clock.moment(asked) < since);
        if kept.is_none_or(|kept| is_old(&kept.asked)) {
            self.wanted.push(Wanted {
                document: document.id,
                edition: Edition::of(&document),
            });
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
struct Answered {
    asked: u64,
    unanswered: u64,
}

async fn ask(
    remote: Arc<dyn Remote>,
    store: Arc<AttributeStore>,
    batch: Vec<Wanted>,
) -> Result<Answered, CliError> {
    let ids: Vec<DocumentId> = batch.iter().map(|wanted| wanted.document).collect();
    let clock = Clock::default();
    let asked = clock.stamp(clock.now(), Timestamp::now());
    let asking = with_urgency(UrgencyHandle::new(Urgency::Bulk), remote.attributes_of(&ids));
    let AttributesOfMany::Sheets(mut told) = asking.await? else {
        return Err(CliError::new(
            ErrorKind::Failure,
            "this server does not tell the attributes of documents",
        )
        .code(Code::AttributesNotTold)
        .hint("leave --attributes out"));
    };
    let mut answers = Vec::with_capacity(told.len());
    told.sort_unstable_by_key(|(document, _)| *document);
    for wanted in &batch {
        if let Ok(at) = told.binary_search_by_key(&wanted.document, |(document, _)| *document) {
            answers.push((wanted.document, wanted.edition, std::mem::take(&mut told[at].1)));
        }
    }
    let count = Answered {
        asked: batch.len() as u64,
        unanswered: (batch.len() - answers.len()) as u64,
    };
    blocking(move || store.keep(&asked, &answers)).await?;
    Ok(count)
}
