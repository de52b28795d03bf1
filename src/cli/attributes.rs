//! Asks for the attributes of all documents below a folder, as far as they are not kept, and keeps them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::completeness::Extent;
use super::crawling;
use super::failure::{CliError, Code, ErrorKind};
use super::interrupt;
use super::output::Printer;
use super::session::Session;
use crate::catalog::CatalogError;
use crate::catalog::attributes::{AttributeStore, AttributeWriter, Edition};
use crate::catalog::snapshot::Snapshot;
use crate::clock::Clock;
use crate::daemon::blocking;
use crate::manifest::{DocumentRow, FolderRow, Plan, Shard, SheetRow, Taker, Terms};
use crate::model::{AttributeSheet, DocumentId, Timestamp};
use crate::remote::{AttributesOfMany, Remote, Urgency, UrgencyHandle, with_urgency};

/// As many documents are asked for at a time, and kept together: a few questions.
const BATCH: usize = 200;

/// As many batches are under way: the pace of requests is kept where they are sent.
const AT_ONCE: usize = 4;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Documents that were asked for now.
    pub(super) asked: u64,
    /// Those whose attributes were known.
    pub(super) known: u64,
    /// What the server did not answer, because it refuses or no longer has it.
    pub(super) unanswered: HashSet<DocumentId>,
}

/// A document whose attributes are not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    document: DocumentId,
    edition: Edition,
}

/// Asks for what is not kept, or was asked for before what `terms` allow; without a deadline. The server is connected to
/// only where there is something to ask.
///
/// # Errors
/// Those of a server that could not be asked, or tells no attributes. What was answered before is kept.
pub(super) async fn gather(
    extent: &Extent,
    terms: Terms,
    shard: Option<Shard>,
    session: &mut Session,
    printer: &Printer,
) -> Result<Gathered, CliError> {
    let _taken = interrupt::take_interrupt();
    tokio::select! {
        gathered = gather_all(extent, terms, shard, session, printer) => gathered,
        _ = tokio::signal::ctrl_c() => Err(crawling::stopped("asked for")),
    }
}

async fn gather_all(
    extent: &Extent,
    terms: Terms,
    shard: Option<Shard>,
    session: &mut Session,
    printer: &Printer,
) -> Result<Gathered, CliError> {
    let (catalog, tops) = (extent.catalog.clone(), extent.tops.clone());
    let found = blocking(move || {
        catalog.snapshot(|snapshot| {
            let plan = Plan::make(snapshot, &tops, &terms)?;
            find(catalog.attributes(), snapshot, &plan, terms, shard)
        })
    });
    let Found { wanted, known } = found.await?;
    let mut gathered = Gathered {
        known,
        ..Gathered::default()
    };
    if wanted.is_empty() {
        return Ok(gathered);
    }
    let remote = extent.server(session).await?;
    let dir = extent.catalog.dir().to_owned();
    let store = blocking(move || AttributeWriter::open(&dir)).await;
    let store = Arc::new(store.map_err(|error| unkept(&error))?);
    let bar = printer.bar("documents");
    let all = wanted.len() as u64;
    bar.set(0, all, String::new());
    let batches: Vec<Vec<Wanted>> = wanted.chunks(BATCH).map(<[Wanted]>::to_vec).collect();
    let mut asking = stream::iter(batches)
        .map(|batch| ask(remote.clone(), store.clone(), batch))
        .buffer_unordered(AT_ONCE);
    while let Some(answered) = asking.next().await {
        let Answered { asked, unanswered } = answered?;
        gathered.asked += asked;
        gathered.unanswered.extend(unanswered);
        bar.set(gathered.asked, all, String::new());
    }
    drop(asking);
    blocking(move || {
        if let Err(error) = store.forget_old(Timestamp::now()) {
            tracing::debug!(%error, "old attributes are not forgotten");
        }
    })
    .await;
    Ok(gathered)
}

/// What is not known of some documents.
pub(super) struct Found {
    pub(super) wanted: Vec<Wanted>,
    known: u64,
}

impl Found {
    /// True if nothing is to be asked for but what was not answered.
    pub(super) fn is_all(&self, unanswered: &HashSet<DocumentId>) -> bool {
        self.wanted
            .iter()
            .all(|wanted| unanswered.contains(&wanted.document))
    }
}

/// Finds what is not kept of the documents of a plan, or was asked for before what `terms` allow.
pub(super) fn find(
    store: &AttributeStore,
    snapshot: &Snapshot<'_>,
    plan: &Plan,
    terms: Terms,
    shard: Option<Shard>,
) -> Result<Found, CatalogError> {
    let mut finder = Finder {
        kept: KeptSince::new(store, terms),
        shard,
        wanted: BTreeMap::new(),
        known: 0,
    };
    plan.tell::<CatalogError>(snapshot, &mut finder)?;
    Ok(Found {
        wanted: finder.wanted.into_values().collect(),
        known: finder.known,
    })
}

/// What is kept, and not too old.
pub(super) struct KeptSince<'a> {
    store: &'a AttributeStore,
    clock: Clock,
    terms: Terms,
}

impl<'a> KeptSince<'a> {
    pub(super) fn new(store: &'a AttributeStore, terms: Terms) -> Self {
        Self {
            store,
            clock: Clock::default(),
            terms,
        }
    }

    /// The sheets of a document; none of one that is refused.
    pub(super) fn of(&self, row: &DocumentRow) -> Option<Vec<SheetRow>> {
        let document = row.document.as_ref().filter(|_| row.readable)?;
        // What cannot be read is asked for again.
        let kept = self.store.of(document).unwrap_or_else(|error| {
            tracing::debug!(%error, "attributes cannot be read");
            None
        })?;
        let is_young = |since| self.clock.moment(&kept.asked) >= since;
        let is_young = self.terms.since.is_none_or(is_young);
        is_young.then(|| kept.sheets.into_iter().map(SheetRow::from).collect())
    }
}

struct Finder<'a> {
    kept: KeptSince<'a>,
    shard: Option<Shard>,
    /// A document may be in two folders while it moves.
    wanted: BTreeMap<DocumentId, Wanted>,
    known: u64,
}

impl Taker<CatalogError> for Finder<'_> {
    fn folder(&mut self, _: FolderRow) -> Result<(), CatalogError> {
        Ok(())
    }

    fn document(&mut self, row: DocumentRow) -> Result<(), CatalogError> {
        if self.shard.is_some_and(|shard| !shard.has(row.guid)) {
            return Ok(());
        }
        if self.kept.of(&row).is_some() {
            self.known += 1;
            return Ok(());
        }
        // What is refused is not asked for; what the catalog does not know yet could not be kept.
        if let Some(document) = row.document.filter(|_| row.readable) {
            let wanted = Wanted {
                document: document.id,
                edition: Edition::of(&document),
            };
            self.wanted.insert(document.id, wanted);
        }
        Ok(())
    }
}

struct Answered {
    asked: u64,
    unanswered: Vec<DocumentId>,
}

async fn ask(
    remote: Arc<dyn Remote>,
    store: Arc<AttributeWriter>,
    batch: Vec<Wanted>,
) -> Result<Answered, CliError> {
    let ids: Vec<DocumentId> = batch.iter().map(|wanted| wanted.document).collect();
    let clock = Clock::default();
    let asked = clock.stamp(clock.now(), Timestamp::now());
    let asking = with_urgency(UrgencyHandle::new(Urgency::Bulk), remote.attributes_of(&ids));
    let AttributesOfMany::Sheets(told) = asking.await? else {
        return Err(CliError::new(
            ErrorKind::Failure,
            "this server does not tell the attributes of documents",
        )
        .code(Code::AttributesNotTold)
        .hint("leave --attributes out"));
    };
    let mut told: HashMap<DocumentId, Vec<AttributeSheet>> = told.into_iter().collect();
    let (mut answers, mut unanswered) = (Vec::with_capacity(told.len()), Vec::new());
    for Wanted { document, edition } in &batch {
        match told.remove(document) {
            Some(sheets) => answers.push((*document, *edition, sheets)),
            None => unanswered.push(*document),
        }
    }
    let gone = unanswered.clone();
    // What an earlier answer said counts no more either.
    let kept = blocking(move || store.keep(&asked, &answers).and_then(|()| store.forget(&gone)));
    kept.await.map_err(|error| unkept(&error))?;
    Ok(Answered {
        asked: batch.len() as u64,
        unanswered,
    })
}

fn unkept(error: &CatalogError) -> CliError {
    CliError::of(ErrorKind::CannotCreate, error).while_doing("attributes cannot be kept")
}
