//! Reads every document below a directory of a mount, so that it is on the disk before anybody needs it.
//!
//! It reads through the mount, as anybody does: the process behind it has the login, the cache and the budget, and what is
//! kept already costs no request.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};

use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::output::{Printer, escape};
use crate::daemon::blocking;

/// As many documents are read at once: enough to hide the way to the server, and few beside the mount's other readers.
const AT_ONCE: usize = 8;

/// How often a person is told how far it is.
const TELL: Duration = Duration::from_millis(250);

/// As many failures are told by name.
const TOLD: usize = 20;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Documents read to their end.
    pub(super) documents: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Those that could not be read, or looked for; in words, at most [`TOLD`].
    pub(super) failures: Vec<String>,
    /// How many could not.
    pub(super) failed: u64,
}

/// A document, and its length as far as it is known.
struct Document {
    path: PathBuf,
    size: u64,
}

#[derive(Debug, Default)]
struct Done {
    documents: AtomicU64,
    bytes: AtomicU64,
}

/// Reads everything below `top`. There is no deadline beside those of each read.
pub(super) async fn read(top: &Path, printer: &Printer) -> Contents {
    let top = top.to_owned();
    let (documents, mut contents) = blocking(move || find(top)).await;
    let total: u64 = documents.iter().map(|document| document.size).sum();
    let (count, done, begun) = (documents.len() as u64, Arc::new(Done::default()), Instant::now());
    let bar = printer.bar("MiB");
    let reading = async {
        let mut reads = stream::iter(documents)
            .map(|document| {
                let done = done.clone();
                blocking(move || read_document(&document, &done).map_err(|error| (document.path, error)))
            })
            .buffer_unordered(AT_ONCE);
        while let Some(read) = reads.next().await {
            if let Err((path, error)) = read {
                contents.fail(&path, &error);
            }
        }
    };
    let showing = async {
        loop {
            let (bytes, documents) = done.so_far();
            // No number before there is one worth telling.
            let rate = mib(bytes)
                .checked_div(begun.elapsed().as_secs())
                .unwrap_or_default();
            let message = format!(", {documents} of {count} documents, {rate} MiB/s");
            bar.set(mib(bytes), mib(total).max(mib(bytes)), message);
            tokio::time::sleep(TELL).await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = showing => {}
    }
    (contents.bytes, contents.documents) = done.so_far();
    contents
}

impl Done {
    fn so_far(&self) -> (u64, u64) {
        (
            self.bytes.load(Ordering::Relaxed),
            self.documents.load(Ordering::Relaxed),
        )
    }
}

impl Contents {
    fn fail(&mut self, path: &Path, error: &io::Error) {
        self.failed += 1;
        if self.failures.len() < TOLD {
            self.failures
                .push(format!("{}: {error}", escape(&path.to_string_lossy())));
        }
    }

    /// An error unless all of it was read.
    pub(super) fn outcome(&self) -> Result<(), CliError> {
        if self.failed == 0 {
            return Ok(());
        }
        let text = format!("{} documents or folders could not be read", self.failed);
        let error = CliError::new(ErrorKind::TryAgain, text)
            .hint("the same command reads what is missing, and fetches nothing twice");
        Err(self.failures.iter().cloned().fold(error, CliError::cause))
    }
}

/// All documents at or below a path, in the order of their names: what lies side by side is fetched ahead together.
fn find(top: PathBuf) -> (Vec<Document>, Contents) {
    let (mut documents, mut contents) = (Vec::new(), Contents::default());
    let mut waiting = vec![top];
    while let Some(path) = waiting.pop() {
        let found = fs::symlink_metadata(&path).and_then(|about| {
            if !about.is_dir() {
                return Ok((Some(about.len()), Vec::new()));
            }
            let inside = fs::read_dir(&path)?.map(|entry| Ok(entry?.path()));
            Ok((None, inside.collect::<io::Result<Vec<_>>>()?))
        });
        match found {
            Ok((Some(size), _)) => documents.push(Document { path, size }),
            Ok((None, mut inside)) => {
                // The last one is taken first.
                inside.sort_unstable_by(|one, other| other.cmp(one));
                waiting.append(&mut inside);
            }
            Err(error) => contents.fail(&path, &error),
        }
    }
    (documents, contents)
}

fn read_document(document: &Document, done: &Done) -> io::Result<()> {
    let mut file = File::open(&document.path)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut piece)? {
            0 => break,
            read => _ = done.bytes.fetch_add(read as u64, Ordering::Relaxed),
        }
    }
    done.documents.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

const fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
