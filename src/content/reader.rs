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

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::cache::ContentCache;
use super::download::{Download, Outcome, State, Transfers};
use super::entry::{self, Entry};
use super::map::Defect;
use super::patience::Patience;
use super::{ContentError, ContentKey, measure, uncached};
use crate::remote::Remote;

/// How long a failure answers its own repeats. The kernel's come within milliseconds; a person's next try does not.
const FAILURE_MEMORY: Duration = Duration::from_secs(2);

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
    shared: Arc<Shared>,
}

/// What all clones of a reader, and its downloads, share.
pub(super) struct Shared {
    pub(super) cache: Arc<ContentCache>,
    pub(super) remote: Arc<dyn Remote>,
    table: Mutex<Table>,
    /// Keys whose bytes were adopted by another: what they promise is known not to exist.
    refuted: moka::sync::Cache<ContentKey, ContentError>,
    pub(super) probes: measure::Probes,
    pub(super) transfers: Transfers,
    hits: AtomicU64,
    uncached: AtomicU64,
    waiting: AtomicU64,
}

/// What is on its way, and what just failed.
#[derive(Default)]
struct Table {
    running: HashMap<ContentKey, Arc<Download>>,
    /// Small: cleared of what is older than [`FAILURE_MEMORY`] with every new failure.
    failures: HashMap<ContentKey, Failure>,
}

struct Failure {
    error: ContentError,
    until: Instant,
    /// [`State::pulse`] of a download that was given up waiting for: once that moves, waiting is worth it again.
    pulse: Option<u64>,
}

/// Where the bytes of a read come from.
enum Source {
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
        let _waiting = Waiting::new(&shared.waiting);
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
                (Some(Served::NotYet), Some((error, Some(pulse))))
                    if state.is_some_and(|state| state.pulse == pulse) =>
                {
                    return Some(Err(error));
                }
                (Some(Served::NotYet | Served::NoDisk), _) => return None,
                (None, Some((error, _))) => return Some(Err(error)),
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

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Finds where the bytes are, or will be; starts the download where nobody did.
    fn source(&self, request: &ReadRequest) -> Result<Source, ContentError> {
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
        let running = Running {
            shared: shared.clone(),
            download: download.clone(),
            ended: false,
        };
        shared.cache.handle().spawn(running.run());
        Ok(Source::Download(download))
    }

    /// The length of the document, from wherever a read would find its bytes.
    pub(super) async fn length_by_download(
        &self,
        key: &ContentKey,
        patience: &mut Patience,
    ) -> Result<u64, ContentError> {
        let request = ReadRequest {
            key: key.clone(),
            size: None,
            offset: u64::MAX - 1,
            len: 1,
            fetch: FetchPolicy::Allow,
        };
        match self.source(&request)? {
            Source::Entry(entry) => Ok(entry.map().total),
            Source::PastTheCache => uncached::length(&*self.shared.remote, key.document, patience).await,
            Source::Download(download) => {
                // A range where no file has bytes is served, empty, once the length is known.
                match self.shared.wait(&download, &request, patience).await {
                    Some(done) => done.map(|_| download.state().total.unwrap_or(0)),
                    None => uncached::length(&*self.shared.remote, key.document, patience).await,
                }
            }
        }
    }

    /// The length, where it is here already.
    pub(super) fn known_length(&self, key: &ContentKey) -> Option<Result<u64, ContentError>> {
        if let Some(entry) = self.shared.cache.look_up(key) {
            return Some(Ok(entry.map().total));
        }
        let table = self.shared.table.lock();
        if let Some(total) = table.running.get(key).and_then(|download| download.state().total) {
            return Some(Ok(total));
        }
        table.failure(key).map(|failure| Err(failure.error.clone()))
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
    async fn wait(
        &self,
        download: &Download,
        request: &ReadRequest,
        patience: &mut Patience,
    ) -> Option<Result<Bytes, ContentError>> {
        let mut progress = download.subscribe();
        loop {
            let (served, pulse) = {
                let state = progress.borrow_and_update();
                (serve(&state, request), state.pulse)
            };
            match served {
                Served::Done(done) => return Some(done),
                Served::NoDisk => return None,
                Served::NotYet => {}
            }
            patience.note(pulse);
            // The sender is in `download`, which is borrowed: the channel cannot be closed.
            if tokio::time::timeout_at(patience.deadline(), progress.changed())
                .await
                .is_err()
            {
                let pulse = progress.borrow().pulse;
                if !patience.note(pulse) || patience.is_over() {
                    let error = ContentError::TimedOut;
                    self.table.lock().fail(&request.key, &error, Some(pulse));
                    return Some(Err(error));
                }
            }
        }
    }

    pub(super) fn remember_failure(&self, key: &ContentKey, error: &ContentError) {
        self.table.lock().fail(key, error, None);
    }
}

impl Table {
    /// What is known of a key: the download on its way, and the last failure with the pulse it was seen at.
    fn ask(&self, key: &ContentKey) -> (Option<Arc<Download>>, Option<(ContentError, Option<u64>)>) {
        let failure = self
            .failure(key)
            .map(|failure| (failure.error.clone(), failure.pulse));
        (self.running.get(key).cloned(), failure)
    }

    fn failure(&self, key: &ContentKey) -> Option<&Failure> {
        self.failures
            .get(key)
            .filter(|failure| Instant::now() < failure.until)
    }

    fn fail(&mut self, key: &ContentKey, error: &ContentError, pulse: Option<u64>) {
        let now = Instant::now();
        self.failures.retain(|_, failure| now < failure.until);
        let failure = Failure {
            error: error.clone(),
            until: now + FAILURE_MEMORY,
            pulse,
        };
        self.failures.insert(key.clone(), failure);
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
        {
            let mut table = self.shared.table.lock();
            let keys: Vec<ContentKey> = table
                .running
                .extract_if(|_, download| Arc::ptr_eq(download, &self.download))
                .map(|(key, _)| key)
                .collect();
            match &outcome {
                Outcome::Failed(error) => keys.iter().for_each(|key| table.fail(key, error, None)),
                Outcome::Complete | Outcome::NoDisk => {}
            }
        }
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
