//! Serves byte ranges of one content of a document: from disk, from a download on its way, or past a broken disk.
//!
//! Simple until you consider that:
//! 1. ten processes open the same drawing at once, and it must be fetched once;
//! 2. a caller may wait ten seconds, the document may take ten minutes;
//! 3. the kernel repeats a failed read up to three times, and a person waits for all of them;
//! 4. what was promised as the length of a file must be its length.
//!
//! Files of up to 256 KiB, and those whose length nobody knows, come whole and front to back (a [`Download`]); of larger
//! ones comes what is read (a [`Transfer`]). The [`Table`] holds at most one of either per key (1), whose work belongs to
//! nobody who waits (2), and for two seconds what failed of it (3). No byte is served of a file whose known length is not
//! the one the caller was told (4).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::cache::{self, ContentCache, Defect, Entry};
use super::download::{Download, Outcome, State};
use super::fetch::counters::Counters;
use super::fetch::plan::{PROBE, Plan};
use super::fetch::pool::Pool;
use super::fetch::transfer::{Got, Transfer};
use super::patience::Patience;
use super::table::{Running, Table};
use super::{ContentError, ContentKey, measure, uncached};
use crate::remote::{Remote, RemoteError, Shortcut, Urgency, UrgencyHandle};
use crate::sync::Mutex;

/// Keys remembered as refuted; whoever still holds one is told so without a request.
const REFUTED_KEYS: u64 = 4096;

/// Contents whose reads are remembered, to tell a copy from a look; a few hundred bytes each.
const PATTERNS: u64 = 4096;

/// How long they are, after the last read.
const PATTERN_MEMORY: Duration = Duration::from_secs(60);

/// How long a way to a file is taken before the server is asked for one again, however long the way itself is good: by then
/// it may have been closed to this account.
const WAY_MEMORY: Duration = Duration::from_secs(60);

/// How long an entry that another process fills is left to that. It tells about once a second what it has.
const ELSEWHERE: Duration = Duration::from_secs(2);

/// Superseded contents that are known to be marked; one that is forgotten is marked once more.
const STANDING_KEYS: u64 = 1024;

/// How often one read looks for its bytes again after what it found was damaged, or had moved on.
const ATTEMPTS: usize = 4;

/// What a reader is to do beside reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReaderOptions {
    /// Whether the SHA-256 of each document is computed and kept once all of it is here.
    pub sha256: bool,
}

/// Whether a read may start a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchPolicy {
    /// Fetch what is missing.
    Allow,
    /// Serve what is here, or on its way already: for superseded versions, thumbnailers, indexers.
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

impl ReadRequest {
    /// What it reads of a file of `total` bytes.
    pub(super) fn within(&self, total: u64) -> Range<u64> {
        self.offset.min(total)..self.offset.saturating_add(self.len.into()).min(total)
    }

    /// What it reads, as far as is known.
    fn range(&self) -> Range<u64> {
        self.within(self.size.unwrap_or(u64::MAX))
    }
}

/// What a reader did since it was made, and what it does now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReaderStats {
    /// Reads served from what was here.
    pub hits: u64,
    /// Bytes served from what was here: those that did not have to be fetched.
    pub bytes_saved: u64,
    /// Reads served past the cache, because the disk does not take it or another process fills the entry.
    pub uncached: u64,
    /// Fetches begun: of whole documents, and of what somebody reads of one.
    pub downloads: u64,
    /// Requests for bytes of documents.
    pub requests: u64,
    /// Bytes of documents that came from the server.
    pub bytes_fetched: u64,
    /// Bytes a second that came lately.
    pub rate: u64,
    /// Requests that bytes are awaited from.
    pub in_flight: u64,
    /// Bytes that are in memory and not on disk yet.
    pub buffered: u64,
    /// Reads that are waiting.
    pub waiting: u64,
    /// The one that has waited longest.
    pub longest: Option<LongestWait>,
}

/// A read that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongestWait {
    /// For which content.
    pub key: ContentKey,
    /// For how long.
    pub since: Duration,
}

/// Reads documents of one server through the cache. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    pub(super) shared: Arc<Shared>,
}

/// What all clones of a reader, and its fetches, share.
pub(super) struct Shared {
    pub(super) cache: Arc<ContentCache>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) options: ReaderOptions,
    pub(super) table: Mutex<Table>,
    /// Keys whose bytes were adopted by another: what they promise is known not to exist.
    refuted: moka::sync::Cache<ContentKey, ContentError>,
    /// How each content is read.
    patterns: moka::sync::Cache<ContentKey, Arc<Mutex<Plan>>>,
    /// Where the server was seen to have each content: reads that come one after the other, each a transfer of its own, take
    /// the same way.
    ways: moka::sync::Cache<ContentKey, Arc<Shortcut>>,
    /// Entries that another process fills.
    pub(super) elsewhere: moka::sync::Cache<ContentKey, ()>,
    /// Contents of superseded versions that are kept longer already.
    pub(super) standing: moka::sync::Cache<ContentKey, ()>,
    pub(super) probes: measure::Probes,
    pub(super) counters: Counters,
    pub(super) pool: Pool,
    /// The server's files have no tags, or new ones with each answer: nothing tells whether two answers are of one file.
    pub(super) untagged: AtomicBool,
    /// The server refuses ranges, instead of answering the whole.
    pub(super) ranges_refused: AtomicBool,
    hits: AtomicU64,
    bytes_saved: AtomicU64,
    uncached: AtomicU64,
}

/// Where the bytes of a read come from.
pub(super) enum Source {
    Entry(Arc<Entry>),
    Download(Arc<Download>),
    Transfer(Arc<Transfer>),
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
        Self::with_options(cache, remote, ReaderOptions::default())
    }

    /// As [`Reader::new`], and does what `options` say.
    pub fn with_options(cache: Arc<ContentCache>, remote: Arc<dyn Remote>, options: ReaderOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                cache,
                remote,
                options,
                table: Mutex::default(),
                refuted: moka::sync::Cache::new(REFUTED_KEYS),
                standing: moka::sync::Cache::new(STANDING_KEYS),
                patterns: moka::sync::Cache::builder()
                    .max_capacity(PATTERNS)
                    .time_to_idle(PATTERN_MEMORY)
                    .build(),
                ways: moka::sync::Cache::builder()
                    .max_capacity(PATTERNS)
                    .time_to_live(WAY_MEMORY)
                    .build(),
                elsewhere: moka::sync::Cache::builder()
                    .max_capacity(PATTERNS)
                    .time_to_live(ELSEWHERE)
                    .build(),
                probes: measure::Probes::default(),
                counters: Counters::default(),
                pool: Pool::of_process(),
                untagged: AtomicBool::new(false),
                ranges_refused: AtomicBool::new(false),
                hits: AtomicU64::new(0),
                bytes_saved: AtomicU64::new(0),
                uncached: AtomicU64::new(0),
            }),
        }
    }

    /// Reads a range, which is all there unless it passes the end of the file.
    ///
    /// Ready on the first poll where the bytes are on disk. Waits at most 10 s without progress of the document, and
    /// 10 min while its bytes arrive; dropping the future ends the wait and not the fetch.
    pub async fn read(&self, request: ReadRequest) -> Result<Bytes, ContentError> {
        if let Some(done) = self.read_now(&request) {
            return done;
        }
        let shared = &self.shared;
        // What is fetched ahead keeps nobody waiting.
        let is_waited_for = UrgencyHandle::current().get() == Urgency::Interactive;
        let _waiting = is_waited_for.then(|| shared.counters.wait(&request.key));
        let mut patience = Patience::begin();
        for _ in 0..ATTEMPTS {
            match self.source(&request)? {
                Source::Entry(entry) => match shared.read_entry(&entry, &request) {
                    Ok(Some(done)) => return done,
                    // Evicted meanwhile.
                    Ok(None) => {}
                    Err(defect) => shared.cache.discard(&request.key, &entry, &defect),
                },
                Source::Download(download) => {
                    if let Some(done) = shared.wait(&download, &request, &mut patience).await {
                        return done;
                    }
                    break;
                }
                Source::Transfer(transfer) => match transfer.read(shared, &request, &mut patience).await {
                    Got::Done(done) => return done,
                    Got::LookAgain => {}
                    Got::NoDisk => break,
                },
                Source::PastTheCache => break,
            }
        }
        match request.fetch {
            FetchPolicy::Allow => {}
            FetchPolicy::CacheOnly => return Err(ContentError::NotCached),
        }
        shared.uncached.fetch_add(1, Ordering::Relaxed);
        let read = uncached::read(shared, &request, &mut patience).await;
        if let Err(error) = &read {
            let range = request.range();
            shared.table.lock().fail(&request.key, Some(&range), error, None);
        }
        read
    }

    /// Reads a range that needs no waiting: on disk, arrived already, or known to fail.
    pub fn read_now(&self, request: &ReadRequest) -> Option<Result<Bytes, ContentError>> {
        let at_end = request.size.is_some_and(|size| request.offset >= size);
        if at_end || request.len == 0 {
            return Some(Ok(Bytes::new()));
        }
        let shared = &self.shared;
        let opened = shared.cache.opened(&request.key);
        if let Some(entry) = &opened {
            match shared.hit(entry, request) {
                Ok(None) => {}
                Ok(Some(done)) => return Some(done),
                Err(defect) => {
                    shared.cache.discard(&request.key, entry, &defect);
                    return None;
                }
            }
        }
        let range = request.range();
        let running = shared.table.lock().running(&request.key);
        match running {
            Some(Running::Download(download)) => {
                let state = download.state();
                return match serve(&state, request) {
                    Served::Done(done) => Some(done),
                    // A caller gave up on this very state of the download: its repeats need not wait again.
                    Served::NotYet => shared.given_up(&request.key, &range, state.pulse),
                    Served::NoDisk => None,
                };
            }
            Some(Running::Transfer(transfer)) => {
                return match transfer.serve(&range) {
                    Ok(Some(bytes)) => {
                        transfer.advance(shared, &range);
                        Some(Ok(bytes))
                    }
                    // Who waits deals with it.
                    Err(_) => None,
                    Ok(None) => shared.given_up(&request.key, &range, transfer.pulse()),
                };
            }
            None => {}
        }
        if let Some(error) = shared.table.lock().failure(&request.key, &range, None) {
            return Some(Err(error));
        }
        if opened.is_some() {
            return None;
        }
        let entry = shared.cache.entry(&request.key)?;
        match shared.hit(&entry, request) {
            Ok(done) => done,
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
        let Some(download) = table.download(old) else {
            return false;
        };
        if old.document != new.document || old == new {
            return false;
        }
        let Some(refuted) = download.adopt(new) else {
            return false;
        };
        self.shared.refuted.insert(old.clone(), refuted);
        table.running.insert(new.clone(), Running::Download(download));
        true
    }

    /// Learns the length in bytes of a document whose listing states none.
    ///
    /// From the cache, else from the answer to a request for one byte, else from a whole download. Waits as long as
    /// [`Reader::read`] does.
    pub async fn measure(&self, key: &ContentKey) -> Result<u64, ContentError> {
        let _waiting = self.shared.counters.wait(key);
        measure::measure(self, key).await
    }

    /// The SHA-256 of a content, where it was computed: see [`ReaderOptions::sha256`]. From the disk, never from the
    /// server.
    pub fn sha256(&self, key: &ContentKey) -> Option<[u8; 32]> {
        self.shared.cache.entry(key)?.sha256()
    }

    /// What it did and does.
    pub fn stats(&self) -> ReaderStats {
        let shared = &*self.shared;
        let counters = &shared.counters;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (waiting, longest) = counters.waiting();
        ReaderStats {
            hits: get(&shared.hits),
            bytes_saved: get(&shared.bytes_saved),
            uncached: get(&shared.uncached),
            downloads: get(&counters.started),
            requests: get(&counters.requests),
            bytes_fetched: counters.bytes(),
            rate: counters.rate(),
            in_flight: counters.in_flight(),
            buffered: shared.pool.held(),
            waiting,
            longest: longest.map(|(key, since)| LongestWait { key, since }),
        }
    }

    /// Finds where the bytes are, or will be; starts what brings them where nobody did.
    pub(super) fn source(&self, request: &ReadRequest) -> Result<Source, ContentError> {
        let shared = &self.shared;
        let key = &request.key;
        let entry = shared.cache.entry(key);
        if let Some(entry) = &entry
            && holds(entry, request)
        {
            return Ok(Source::Entry(entry.clone()));
        }
        if let Some(error) = shared.refuted.get(key) {
            return Err(error);
        }
        let range = request.range();
        let in_parts = request.size.filter(|&total| shared.comes_in_parts(&range, total));
        let room = shared.cache.has_room(match in_parts {
            Some(_) => cache::BLOCK_SIZE,
            None => request.size.unwrap_or(0),
        });
        let mut table = shared.table.lock();
        // Once more under the lock: a download opens its entry before it leaves the table.
        // What was made meanwhile counts: a transfer that does not know of it would fetch again what is in it.
        let entry = shared.cache.opened(key).or(entry);
        if let Some(entry) = &entry
            && holds(entry, request)
        {
            return Ok(Source::Entry(entry.clone()));
        }
        match table.running(key) {
            Some(Running::Download(download)) => {
                download.raise(&UrgencyHandle::current());
                return Ok(Source::Download(download));
            }
            Some(Running::Transfer(transfer)) => return Ok(Source::Transfer(transfer)),
            None => {}
        }
        if let Some(error) = table.failure(key, &range, None) {
            return Err(error);
        }
        match request.fetch {
            FetchPolicy::Allow if room && !shared.elsewhere.contains_key(key) => {}
            FetchPolicy::Allow => return Ok(Source::PastTheCache),
            FetchPolicy::CacheOnly => return Err(ContentError::NotCached),
        }
        shared.counters.started.fetch_add(1, Ordering::Relaxed);
        if let Some(total) = in_parts {
            let plan = shared
                .patterns
                .get_with_by_ref(key, || Arc::new(Mutex::new(Plan::new(total))));
            let etag = entry.as_ref().and_then(|entry| entry.etag().cloned());
            let way = shared.ways.get_with_by_ref(key, Arc::default);
            let transfer = Arc::new(Transfer::new(key.clone(), total, plan, entry, etag, way));
            table
                .running
                .insert(key.clone(), Running::Transfer(transfer.clone()));
            return Ok(Source::Transfer(transfer));
        }
        let urgency = UrgencyHandle::current().get();
        let download = Arc::new(Download::new(key.clone(), request.size, None, urgency));
        table
            .running
            .insert(key.clone(), Running::Download(download.clone()));
        // Before the spawn: a runtime that is stopping drops the task at once, which then leaves the table.
        drop(table);
        shared.start(&download);
        Ok(Source::Download(download))
    }
}

/// True where `entry` has what is asked for, or tells that its length is another one.
fn holds(entry: &Entry, request: &ReadRequest) -> bool {
    match request.size {
        None => entry.is_complete(),
        Some(size) if size != entry.total() => true,
        Some(size) => entry.missing(&request.within(size)).is_empty(),
    }
}

impl Shared {
    /// Whether the server serves ranges, as far as that was seen.
    pub(super) fn ranges(&self) -> Option<bool> {
        let seen = self.remote.capabilities().ranges;
        seen.or_else(|| self.ranges_refused.load(Ordering::Relaxed).then_some(false))
    }

    /// Whether a read is answered with parts of the file, and not with a download of the whole.
    ///
    /// Small files come whole. Larger ones come in parts where tags tell that the parts are of one file, and the server
    /// has not shown that it does not serve ranges; the first look at the head needs none.
    fn comes_in_parts(&self, range: &Range<u64>, total: u64) -> bool {
        let looks = range.end <= PROBE;
        total > PROBE && !self.untagged.load(Ordering::Relaxed) && (looks || self.ranges() != Some(false))
    }

    /// The failure of who gave up on what brings `range`, as long as that has not moved.
    fn given_up(
        &self,
        key: &ContentKey,
        range: &Range<u64>,
        pulse: u64,
    ) -> Option<Result<Bytes, ContentError>> {
        let failure = self.table.lock().failure(key, range, Some(pulse));
        failure.map(Err)
    }

    /// As [`Shared::read_entry`]; what is read of a part of a file keeps what fetches the rest ahead of it.
    fn hit(
        self: &Arc<Self>,
        entry: &Entry,
        request: &ReadRequest,
    ) -> Result<Option<Result<Bytes, ContentError>>, Defect> {
        let read = self.read_entry(entry, request)?;
        if matches!(read, Some(Ok(_))) && !entry.is_complete() {
            let range = request.within(entry.total());
            let running = self.table.lock().running(&request.key);
            match running {
                Some(Running::Transfer(transfer)) => transfer.advance(self, &range),
                Some(Running::Download(_)) | None => {
                    if let Some(plan) = self.patterns.get(&request.key) {
                        plan.lock().note(&range);
                    }
                }
            }
        }
        Ok(read)
    }

    /// Runs a download that is in the table.
    pub(super) fn start(self: &Arc<Self>, download: &Arc<Download>) {
        let task = Task {
            shared: self.clone(),
            download: download.clone(),
            ended: false,
        };
        self.cache.runtime().spawn(task.run());
    }

    /// Reads a range of an entry; `None` where it is not here any more.
    fn read_entry(
        &self,
        entry: &Entry,
        request: &ReadRequest,
    ) -> Result<Option<Result<Bytes, ContentError>>, Defect> {
        let total = entry.total();
        if let Some(error) = length_differs(request, total, entry.etag()) {
            return Ok(Some(Err(error)));
        }
        let start = request.offset.min(total);
        let end = request.offset.saturating_add(request.len.into()).min(total);
        let read = entry.read(&(start..end))?;
        if let Some(bytes) = &read {
            self.hits.fetch_add(1, Ordering::Relaxed);
            self.bytes_saved.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(read.map(Ok))
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
                let range = request.range();
                self.table
                    .lock()
                    .fail(&request.key, Some(&range), &error, Some(pulse));
                return Some(Err(error));
            }
        }
    }
}

/// A download's place in the table; leaves it when it ends, in whatever way.
struct Task {
    shared: Arc<Shared>,
    download: Arc<Download>,
    ended: bool,
}

impl Task {
    async fn run(mut self) {
        let shared = &self.shared;
        let outcome = self.download.run(shared).await;
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.shared.table.lock().end(&self.download, &outcome);
        // Last: who is woken finds the table as it now is.
        self.download.end(outcome);
    }
}

impl Drop for Task {
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
        Some(file) if end <= state.watermark => match cache::read_exact(file, &(request.offset..end)) {
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
    let listed = request.size.filter(|listed| *listed != delivered)?;
    Some(other_length(listed, delivered, etag.cloned()))
}

/// The error for a file of `delivered` bytes that is listed with another number of them.
///
/// Nothing where there is to be something is more likely a server that fails: who believed it would show an empty file,
/// which nobody would ever ask for again.
pub(super) fn other_length(listed: u64, delivered: u64, etag: Option<Arc<str>>) -> ContentError {
    if delivered == 0 {
        let words = format!("nothing came of a file that is listed with {listed} bytes");
        return RemoteError::Protocol(words.into()).into();
    }
    ContentError::LengthDiffers {
        listed,
        delivered,
        etag,
    }
}

#[cfg(test)]
mod tests;
