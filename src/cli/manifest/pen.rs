//! A second thread that writes the rows which the first one reads: each is about half of the work of a manifest.

use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use super::sheet::Sheet;
use crate::catalog::CatalogError;
use crate::cli::attributes::KeptSince;
use crate::cli::failure::{CliError, ErrorKind};
use crate::content::Digests;
use crate::manifest::{DocumentRow, FolderRow, Row};

/// So many rows are handed over at once: handing over costs as much as reading a row or two.
const BATCH: usize = 256;

/// So many batches may wait for the one who writes, at some 200 KiB each.
const WAITING: usize = 4;

/// A row on its way from one thread to the other.
#[expect(clippy::large_enum_variant, reason = "nearly all rows are documents")]
enum Read {
    Folder(FolderRow),
    Document(DocumentRow),
}

/// What is known of documents beside what is read of them.
pub(super) struct Known<'a> {
    /// The checksums of their contents.
    pub(super) digests: Digests,
    /// The attributes of their environments, where they are wanted.
    pub(super) attributes: Option<KeptSince<'a>>,
}

/// Why no more is read.
pub(super) enum Ended {
    /// This went wrong.
    Failed(CliError),
    /// The other thread writes no more, and says why.
    Unwritten,
}

impl From<CatalogError> for Ended {
    fn from(error: CatalogError) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes rows, and has them written.
pub(super) struct Pen<'scope> {
    batch: Vec<Read>,
    rows: SyncSender<Vec<Read>>,
    thread: ScopedJoinHandle<'scope, Result<u64, CliError>>,
}

impl<'scope> Pen<'scope> {
    /// Begins to write to `sheet`, with what is `known`.
    pub(super) fn new<'env>(
        scope: &'scope Scope<'scope, 'env>,
        sheet: &'env mut Sheet,
        known: &'env Known<'env>,
    ) -> Result<Self, CliError> {
        let (rows, read) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("manifest".to_owned())
            .spawn_scoped(scope, move || write(&read, sheet, known))
            .map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
        Ok(Self {
            batch: Vec::with_capacity(BATCH),
            rows,
            thread,
        })
    }

    /// Has a folder written.
    pub(super) fn folder(&mut self, folder: FolderRow) -> Result<(), Ended> {
        self.take(Read::Folder(folder))
    }

    /// Has a document written.
    pub(super) fn document(&mut self, document: DocumentRow) -> Result<(), Ended> {
        self.take(Read::Document(document))
    }

    fn take(&mut self, row: Read) -> Result<(), Ended> {
        self.batch.push(row);
        if self.batch.len() < BATCH {
            return Ok(());
        }
        self.hand_over()
    }

    fn hand_over(&mut self) -> Result<(), Ended> {
        let batch = mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.rows.send(batch).map_err(|_| Ended::Unwritten)
    }

    /// Waits until everything that was taken is written; `told` is what came of reading it. With how many documents have
    /// no attributes where these are wanted.
    pub(super) fn finish<T>(mut self, told: Result<T, Ended>) -> Result<(T, u64), CliError> {
        // What was read before something failed is written: a later run goes on with it.
        let handed_over = self.hand_over();
        drop(self.rows);
        let written = match self.thread.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // It ended reading, too.
        let without_attributes = written?;
        match handed_over.and(told) {
            Ok(told) => Ok((told, without_attributes)),
            Err(Ended::Failed(error)) => Err(error),
            Err(Ended::Unwritten) => Err(CliError::new(ErrorKind::Failure, "rows were not written")),
        }
    }
}

/// Returns how many documents have no attributes.
fn write(read: &Receiver<Vec<Read>>, sheet: &mut Sheet, known: &Known<'_>) -> Result<u64, CliError> {
    let mut without_attributes = 0;
    while let Ok(batch) = read.recv() {
        for row in batch {
            match row {
                Read::Folder(folder) => sheet.row(&Row::Folder(&folder))?,
                Read::Document(mut document) => {
                    if let Some(tag) = &document.tag {
                        document.sha256 = known.digests.of(document.guid, tag);
                    }
                    document.attributes = known.attributes.as_ref().and_then(|kept| kept.of(&document));
                    without_attributes += u64::from(document.attributes.is_none());
                    sheet.row(&Row::Document(&document))?;
                }
            }
        }
    }
    Ok(without_attributes)
}
