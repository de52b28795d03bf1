//! Serves byte ranges of one content of a document: from disk, from a download on its way, or past a broken disk.
//!
//! Simple until you consider that:
//! 1. ten processes open the same drawing at once, and it must be fetched once;
//! 2. a caller may wait ten seconds, the document may take ten minutes;
//! 3. the kernel repeats a failed read up to three times, and a person waits for all of them;
//! 4. what was promised as the length of a file must be its length.
//!
//! The [`Table`] holds at most one download per key (1), which is a task of its own (2), and for two seconds how the
//! last one failed (3). No byte is served of a file whose known length is not the one the caller was told (4).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::cache::ContentCache;
use super::download::{Download, Outcome, State, Transfers};
use super::entry::{self, Entry};
use super::map::Defect;
use super::patience::Patience;
use super::table::Table;
use super::{ContentError, ContentKey, measure, uncached};
use crate::remote::{Remote, Urgency, UrgencyHandle, with_urgency};

/// Keys remembered as refuted; whoever still holds one is told so without a request.
const REFUTED_KEYS: u64 = 4096;

/// How often one read looks for its bytes again after what it found was damaged.
const ATTEMPTS: usize = 3;

/// Whether a read may start a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchPolicy {
    /// Fetch what is missing.
    Allow,
    /// Serve what is complete, or on its way already: for superseded versions, thumbnailers, indexers.
    CacheOnly,
}

/// One read.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// Of which content.
    pub key: ContentKey,
    /// The length of the file as the caller was told, in bytes; `None` where nobody knows it yet.
    pub size: Option<u64>,
    /// The first byte.
    pub offset: u64,
    /// How many bytes. Fewer are returned only at the end of the file.
    pub len: u32,
    /// Whether it may start a download.
    pub fetch: FetchPolicy,
}

/// What a reader did since it was made, and what it does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReaderStats {
    /// Reads served from complete entries.
    pub hits: u64,
    /// Reads served past the cache, because the disk does not take it.
    pub uncached: u64,
    /// Downloads started.
    pub downloads: u64,
    /// Bytes of documents that came from the server.
    pub bytes_fetched: u64,
    /// Downloads that are running.
    pub in_flight: u64,
    /// Reads that are waiting.
    pub waiting: u64,
}

/// Reads documents of one server through the cache. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    pub(super) shared: Arc<Shared>,
}

/// What all clones of a reader, and its downloads, share.
pub(super) struct Shared {
    pub(super) cache: Arc<ContentCache>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) table: Mutex<Table>,
    /// Keys whose bytes were adopted by another: what they promise is known not to exist.
    refuted: moka::sync::Cache<ContentKey, ContentError>,
    pub(super) probes: measure::Probes,
    pub(super) transfers: Transfers,
    hits: AtomicU64,
    uncached: AtomicU64,
    waiting: AtomicU64,
}

/// Where the bytes of a read come from.
pub(super) enum Source {
    Entry(Arc<Entry>),
    Download(Arc<Download>),
    PastTheCache,
}

/// What a download can say of a range now.
enum Served {
    Done(Result<Bytes, ContentError>),
    NoDisk,
    NotYet,
}

impl Reader {
    /// Reads documents of `remote` through `cache`.
    pub fn new(cache: Arc<ContentCache>, remote: Arc<dyn Remote>) -> Self {
        Self {
            shared: Arc::new(Shared {
                cache,
                remote,
                table: Mutex::default(),
                refuted: moka::sync::Cache::new(REFUTED_KEYS),
                probes: measure::Probes::default(),
                transfers: Transfers::default(),
                hits: AtomicU64::new(0),
                uncached: AtomicU64::new(0),
                waiting: AtomicU64::new(0),
            }),
        }
    }

    /// Reads a range, which is all there unless it passes the end of the file.
    ///
    /// Ready on the first poll where the bytes are on disk. Waits at most 10 s without progress of the document, and
    /// 10 min while its bytes arrive; dropping the future ends the wait and not the download.
    pub async fn read(&self, request: ReadRequest) -> Result<Bytes, ContentError> {
        if let Some(done) = self.read_now(&request) {
            return done;
        }
        let shared = &*self.shared;
        // What is fetched ahead keeps nobody waiting.
        let is_waited_for = UrgencyHandle::current().get() == Urgency::Interactive;
        let _waiting = is_waited_for.then(|| Waiting::new(&shared.waiting));
        let mut patience = Patience::begin();
        for _ in 0..ATTEMPTS {
            match self.source(&request)? {
                Source::Entry(entry) => match shared.read_entry(&entry, &request) {
                    Ok(done) => return done,
                    Err(defect) => shared.cache.discard(&request.key, &entry, &defect),
                },
                Source::Download(download) => {
                    if let Some(done) = shared.wait(&download, &request, &mut patience).await {
                        return done;
                    }
                    break;
                }
                Source::PastTheCache => break,
            }
        }
        match request.fetch {
            FetchPolicy::Allow => {}
            FetchPolicy::CacheOnly => return Err(ContentError::NotCached),
        }
        shared.uncached.fetch_add(1, Ordering::Relaxed);
        let read = uncached::read(&*shared.remote, &shared.cache, &request, &mut patience).await;
        if let Err(error) = &read {
            shared.table.lock().fail(&request.key, error, None);
        }
        read
    }

    /// Reads a range that needs no waiting: on disk, arrived already, or known to fail.
    pub fn read_now(&self, request: &ReadRequest) -> Option<Result<Bytes, ContentError>> {
        let at_end = request.size.is_some_and(|size| request.offset >= size);
        if at_end || request.len == 0 {
            return Some(Ok(Bytes::new()));
        }
        let shared = &*self.shared;
        let opened = shared.cache.opened(&request.key);
        if opened.is_none() {
            let (download, failure) = shared.table.lock().ask(&request.key);
            let state = download.map(|download| download.state());
            let served = state.as_ref().map(|state| serve(state, request));
            match (served, failure) {
                (Some(Served::Done(done)), _) => return Some(done),
                // A caller gave up on this very state of the download: its repeats need not wait again.
                (Some(Served::NotYet), Some(failure))
                    if failure.pulse.is_some() && failure.pulse == state.map(|state| state.pulse) =>
                {
                    return Some(Err(failure.error));
                }
                (Some(Served::NotYet | Served::NoDisk), _) => return None,
                (None, Some(failure)) => return Some(Err(failure.error)),
                (None, None) => {}
            }
        }
        let entry = opened.or_else(|| shared.cache.look_up(&request.key))?;
        match shared.read_entry(&entry, request) {
            Ok(done) => Some(done),
            Err(defect) => {
                shared.cache.discard(&request.key, &entry, &defect);
                None
            }
        }
    }

    /// Forgets what failed a moment ago: what was missing then has come.
    pub fn forget_failures(&self) {
        self.shared.table.lock().forget_failures();
    }

    /// Lets `new` have the bytes that turned out not to be those of `old`.
    ///
    /// Call it with the corrected key after [`ContentError::LengthDiffers`]: reads of `new` then cost no second
    /// download, and reads of `old` none at all. False where there are no such bytes (any more); reads of `new` then fetch them.
    pub fn adopt(&self, old: &ContentKey, new: &ContentKey) -> bool {
        let mut table = self.shared.table.lock();
        let Some(download) = table.running.get(old).cloned() else {
            return false;
        };
        if old.document != new.document || old == new {
            return false;
        }
        let Some(refuted) = download.adopt(new) else {
            return false;
        };
        self.shared.refuted.insert(old.clone(), refuted);
        table.running.insert(new.clone(), download);
        true
    }

    /// Learns the length in bytes of a document whose listing states none.
    ///
    /// From the cache, else from the answer to a request for one byte, else from a whole download. Waits as long as
    /// [`Reader::read`] does.
    pub async fn measure(&self, key: &ContentKey) -> Result<u64, ContentError> {
        let _waiting = Waiting::new(&self.shared.waiting);
        measure::measure(self, key).await
    }

    /// What it did and does.
    pub fn stats(&self) -> ReaderStats {
        let shared = &*self.shared;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ReaderStats {
            hits: get(&shared.hits),
            uncached: get(&shared.uncached),
            downloads: get(&shared.transfers.started),
            bytes_fetched: get(&shared.transfers.bytes),
            in_flight: get(&shared.transfers.in_flight),
            waiting: get(&shared.waiting),
        }
    }

    /// Finds where the bytes are, or will be; starts the download where nobody did.
    pub(super) fn source(&self, request: &ReadRequest) -> Result<Source, ContentError> {
        let shared = &self.shared;
        if let Some(entry) = shared.cache.look_up(&request.key) {
            return Ok(Source::Entry(entry));
        }
        if let Some(error) = shared.refuted.get(&request.key) {
            return Err(error);
        }
        let room = shared.cache.has_room(request.size.unwrap_or(0));
        let mut table = shared.table.lock();
        // Once more under the lock: a download opens its entry before it leaves the table.
        if let Some(entry) = shared.cache.opened(&request.key) {
            return Ok(Source::Entry(entry));
        }
        if let Some(download) = table.running.get(&request.key) {
            download.urgency.raise(UrgencyHandle::current().get());
            return Ok(Source::Download(download.clone()));
        }
        if let Some(failure) = table.failure(&request.key) {
            return Err(failure.error.clone());
        }
        match request.fetch {
            FetchPolicy::Allow if room => {}
            FetchPolicy::Allow => return Ok(Source::PastTheCache),
            FetchPolicy::CacheOnly => return Err(ContentError::NotCached),
        }
        let download = Arc::new(Download::new(request.key.clone(), request.size));
        table.running.insert(request.key.clone(), download.clone());
        // Before the spawn: a runtime that is stopping drops the task at once, which then leaves the table.
        drop(table);
        let running = Running {
            shared: shared.clone(),
            download: download.clone(),
            ended: false,
        };
        let urgency = download.urgency.clone();
        shared.cache.handle().spawn(with_urgency(urgency, running.run()));
        Ok(Source::Download(download))
    }
}

impl Shared {
    fn read_entry(
        &self,
        entry: &Entry,
        request: &ReadRequest,
    ) -> Result<Result<Bytes, ContentError>, Defect> {
        let total = entry.map().total;
        if let Some(error) = length_differs(request, total, entry.map().etag.as_ref()) {
            return Ok(Err(error));
        }
        let start = request.offset.min(total);
        let end = request.offset.saturating_add(request.len.into()).min(total);
        let bytes = entry.read(&(start..end))?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Ok(Ok(bytes))
    }

    /// Waits for a download to reach the range; `None` where the disk stopped it.
    pub(super) async fn wait(
        &self,
        download: &Download,
        request: &ReadRequest,
        patience: &mut Patience,
    ) -> Option<Result<Bytes, ContentError>> {
        let mut progress = download.subscribe();
        loop {
            // A copy: the download must not wait for our read of its file.
            let state = progress.borrow_and_update().clone();
            let served = serve(&state, request);
            match served {
                Served::Done(done) => return Some(done),
                Served::NoDisk => return None,
                Served::NotYet => {}
            }
            // The sender is in `download`, which is borrowed: the channel cannot be closed.
            let waited = tokio::time::timeout_at(patience.deadline(), progress.changed()).await;
            let State { pulse, alive, .. } = *progress.borrow();
            patience.moved(alive);
            if waited.is_err() && patience.is_over() {
                let error = ContentError::TimedOut;
                self.table.lock().fail(&request.key, &error, Some(pulse));
                return Some(Err(error));
            }
        }
    }
}

/// A download's place in the table; leaves it when it ends, in whatever way.
struct Running {
    shared: Arc<Shared>,
    download: Arc<Download>,
    ended: bool,
}

impl Running {
    async fn run(mut self) {
        let shared = &self.shared;
        let outcome = self
            .download
            .run(&shared.cache, &*shared.remote, &shared.transfers)
            .await;
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.shared.table.lock().end(&self.download, &outcome);
        // Last: who is woken finds the table as it now is.
        self.download.end(outcome);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Failed(ContentError::Stopped));
        }
    }
}

/// Serves what a download has, which is judged before its first byte is.
fn serve(state: &State, request: &ReadRequest) -> Served {
    match &state.outcome {
        Some(Outcome::Failed(error)) => return Served::Done(Err(error.clone())),
        Some(Outcome::NoDisk) => return Served::NoDisk,
        Some(Outcome::Complete) | None => {}
    }
    if let Some(total) = state.total
        && let Some(error) = length_differs(request, total, state.etag.as_ref())
    {
        return Served::Done(Err(error));
    }
    let end = request.offset.saturating_add(request.len.into());
    let end = match request.size.or(state.total) {
        Some(size) => end.min(size),
        None => end,
    };
    if end <= request.offset {
        return Served::Done(Ok(Bytes::new()));
    }
    match &state.file {
        Some(file) if end <= state.watermark => match entry::read_exact(file, &(request.offset..end)) {
            Ok(bytes) => Served::Done(Ok(bytes)),
            Err(error) => {
                tracing::warn!(key = %request.key, %error, "an arriving document cannot be read back");
                Served::NoDisk
            }
        },
        Some(_) | None => Served::NotYet,
    }
}

/// The error for a file whose length is not the one the caller was told.
pub(super) fn length_differs(
    request: &ReadRequest,
    delivered: u64,
    etag: Option<&Arc<str>>,
) -> Option<ContentError> {
    match request.size {
        Some(listed) if listed != delivered => Some(ContentError::LengthDiffers {
            listed,
            delivered,
            etag: etag.cloned(),
        }),
        Some(_) | None => None,
    }
}

/// Counts a waiting reader for as long as it lives.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
