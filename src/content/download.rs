//! One document on its way to the disk.
//!
//! Simple until you consider that:
//! 1. those who wait may give up, and the bytes are wanted all the same;
//! 2. readers at the front should not wait for the end;
//! 3. a connection breaks in the middle of a large file, on servers with and without `Range`, and meanwhile the
//!    file may have been replaced;
//! 4. the length may turn out to be another than the listing said, after the whole file was fetched;
//! 5. the disk may fill up.
//!
//! A [`Download`] is a task that belongs to no reader (1) and publishes how far it is, by a watermark in its
//! [`State`] (2). After a break it goes on with `If-Range` where the tag proves that the rest is of the same file;
//! else it starts again and compares the checksums of what it had: only a file with the very same beginning goes
//! on, so what results is always one file, the last answer's (3). A file of another length waits for the key that
//! names it (4). A disk that fails ends the download, not the reading (5).

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::cache::ContentCache;
use super::sink::{Different, Replay, Sink, SinkError};
use super::{ContentError, ContentKey, same_etag};
use crate::model::{ByteRange, DocumentId};
use crate::remote::{Content, Remote, RemoteError, UrgencyHandle};

/// Bytes that are written at once: a task switch per network packet would cost more than the write.
const BATCH: usize = 256 << 10;

/// How long bytes wait for others to be written with them; what a reader at the front of a slow line waits more.
const LINGER: Duration = Duration::from_millis(5);

/// Longest silence before a stream counts as broken. Longer than any caller waits (10 s): a server that takes a
/// breath costs one caller an error, but not everybody the download.
const SILENCE: Duration = Duration::from_secs(60);

/// Longest wait for the head of an answer. A gateway may fetch a large file from its own store first, and `http`
/// retries inside of this.
const HEAD: Duration = Duration::from_secs(150);

/// Bytes that must arrive between two breaks: a line that drops once an hour still brings large files home, and
/// one that drops at once is not tried for ever.
const PROGRESS_PER_RESUME: u64 = 16 << 20;

/// How long a file of unexpected length is kept for the key that names it.
const ADOPTION: Duration = Duration::from_secs(60);

/// Bytes between two looks at the room on the disk, for files of unknown length.
const ROOM_CHECK: u64 = 64 << 20;

/// What a download tells those who wait.
#[derive(Clone, Default)]
pub(super) struct State {
    /// Counts the signs of life of the server; nobody is woken for them.
    pub(super) pulse: u64,
    /// When the last one was seen.
    pub(super) alive: Option<Instant>,
    /// Bytes from the start that can be read in `file`.
    pub(super) watermark: u64,
    /// The whole length in bytes: announced, or delivered once all is here.
    pub(super) total: Option<u64>,
    /// The file's tag.
    pub(super) etag: Option<Arc<str>>,
    /// Where the bytes are.
    pub(super) file: Option<Arc<File>>,
    /// How it ended.
    pub(super) outcome: Option<Outcome>,
}

impl State {
    fn beat(&mut self) {
        self.pulse += 1;
        self.alive = Some(Instant::now());
    }
}

/// How a download ended.
#[derive(Clone)]
pub(super) enum Outcome {
    /// All bytes are in the file.
    Complete,
    /// It failed, the same for everybody.
    Failed(ContentError),
    /// The disk does not take it: read without the cache.
    NoDisk,
}

/// Counts across all downloads of a reader.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub(super) started: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) in_flight: AtomicU64,
}

/// The key the bytes will be kept under.
struct Owner {
    key: ContentKey,
    /// The length the listing states.
    listed: Option<u64>,
}

/// One document on its way.
pub(super) struct Download {
    state: watch::Sender<State>,
    owner: Mutex<Owner>,
    adopted: Notify,
    /// Who waits for it; rises with whoever joins.
    pub(super) urgency: UrgencyHandle,
}

/// Why the transfer stopped for good.
enum Stop {
    NoDisk,
    Failed(ContentError),
}

/// Why a stream was left.
enum Left {
    /// Another one may go on.
    Broken(RemoteError),
    Stop(Stop),
}

impl From<Stop> for Left {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<SinkError> for Stop {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Disk => Self::NoDisk,
            SinkError::Stopped => Self::Failed(ContentError::Stopped),
        }
    }
}

impl From<RemoteError> for Stop {
    fn from(error: RemoteError) -> Self {
        Self::Failed(error.into())
    }
}

impl Download {
    /// A download that [`Download::run`] will do, as urgent as what begins it.
    pub(super) fn new(key: ContentKey, listed: Option<u64>) -> Self {
        Self {
            state: watch::Sender::default(),
            owner: Mutex::new(Owner { key, listed }),
            adopted: Notify::new(),
            urgency: UrgencyHandle::new(UrgencyHandle::current().get()),
        }
    }

    /// Sees every step.
    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Where it stands now.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Tells all readers how it ended.
    pub(super) fn end(&self, outcome: Outcome) {
        self.state.send_modify(|state| state.outcome = Some(outcome));
    }

    /// Gives the bytes to `key`, where they are not those of the key they were fetched for.
    ///
    /// Returns what readers of the old key are to be told.
    pub(super) fn adopt(&self, key: &ContentKey) -> Option<ContentError> {
        let State { total, etag, .. } = self.state();
        let mut owner = self.owner.lock();
        let (listed, delivered) = owner
            .listed
            .zip(total)
            .filter(|(listed, total)| listed != total)?;
        *owner = Owner {
            key: key.clone(),
            listed: None,
        };
        drop(owner);
        self.adopted.notify_one();
        Some(ContentError::LengthDiffers {
            listed,
            delivered,
            etag,
        })
    }

    /// Fetches the document to its end and keeps it.
    pub(super) async fn run(
        &self,
        cache: &Arc<ContentCache>,
        remote: &dyn Remote,
        transfers: &Transfers,
    ) -> Outcome {
        let transferred = {
            transfers.started.fetch_add(1, Ordering::Relaxed);
            let _in_flight = InFlight::new(&transfers.in_flight);
            self.transfer(cache, remote, transfers).await
        };
        match transferred {
            Ok(sink) => self.keep(cache, sink).await,
            Err(Stop::NoDisk) => Outcome::NoDisk,
            Err(Stop::Failed(error)) => Outcome::Failed(error),
        }
    }

    async fn transfer(
        &self,
        cache: &Arc<ContentCache>,
        remote: &dyn Remote,
        transfers: &Transfers,
    ) -> Result<Sink, Stop> {
        let (key, mut sink) = {
            let key = self.owner.lock().key.clone();
            (key, Sink::open(cache).await?)
        };
        self.state
            .send_modify(|state| state.file = Some(sink.temporary.file.clone()));

        let mut content = open(remote, key.document, 0, None).await?;
        if content.range.start != 0 {
            let words = format!(
                "the file was asked for from its start, and came from byte {}",
                content.range.start
            );
            return Err(RemoteError::Protocol(words.into()).into());
        }
        let etag: Option<Arc<str>> = content.etag.as_deref().map(Into::into);
        if let Some(etag) = &etag {
            if let Some(known) = cache.etag(&key)
                && !same_etag(&known, etag)
            {
                return Err(replaced(Some(etag.clone())));
            }
            cache.remember_etag(&key, etag);
        }
        self.state.send_modify(|state| {
            state.beat();
            state.total = content.total;
            state.etag.clone_from(&etag);
        });
        if !cache.has_room(content.total.unwrap_or(0)) {
            return Err(Stop::NoDisk);
        }

        let mut replay = None;
        let mut resumable_from = 0;
        loop {
            let error = match self
                .pump(&mut content.stream, &mut sink, &mut replay, cache, transfers)
                .await
            {
                Ok(()) => return Ok(sink),
                Err(Left::Stop(stop)) => return Err(stop),
                Err(Left::Broken(error)) => error,
            };
            let position = sink.checksums.position();
            if position < resumable_from {
                return Err(error.into());
            }
            tracing::debug!(%key, position, %error, "a download broke and is resumed");
            resumable_from = position + PROGRESS_PER_RESUME;
            (content, replay) = self.resume(remote, key.document, &sink).await?;
        }
    }

    /// Opens the file again where it broke, or from its start.
    async fn resume(
        &self,
        remote: &dyn Remote,
        document: DocumentId,
        sink: &Sink,
    ) -> Result<(Content, Option<Replay>), Stop> {
        let State { etag, total, .. } = self.state();
        let position = sink.checksums.position();
        let strong = etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        let ranged = remote.capabilities().ranges != Some(false) && position > 0;

        let mut content = match strong {
            Some(etag) if ranged => open(remote, document, position, Some(etag)).await?,
            Some(_) | None => open(remote, document, 0, None).await?,
        };
        self.check_same_file(&content, etag.as_deref(), total)?;
        if content.range.start == position && position > 0 {
            if content.etag.is_some() {
                return Ok((content, None));
            }
            // A part without its tag: nothing says that the server looked at If-Range.
            content = open(remote, document, 0, None).await?;
            self.check_same_file(&content, etag.as_deref(), total)?;
        }
        if content.range.start != 0 {
            let words = format!(
                "the file was asked for from byte {position}, and came from byte {}",
                content.range.start
            );
            return Err(RemoteError::Protocol(words.into()).into());
        }
        Ok((content, (position > 0).then(|| Replay::new(&sink.checksums))))
    }

    fn check_same_file(&self, content: &Content, etag: Option<&str>, total: Option<u64>) -> Result<(), Stop> {
        let another_tag =
            matches!((etag, content.etag.as_deref()), (Some(old), Some(new)) if !same_etag(old, new));
        let another_length = matches!((total, content.total), (Some(old), Some(new)) if old != new);
        if another_tag || another_length {
            return Err(replaced(content.etag.as_deref().map(Into::into)));
        }
        self.state.send_if_modified(|state| {
            state.beat();
            state.total = state.total.or(content.total);
            false
        });
        Ok(())
    }

    /// Moves bytes from the stream to the disk until the stream ends.
    async fn pump(
        &self,
        stream: &mut BoxStream<'static, Result<Bytes, RemoteError>>,
        sink: &mut Sink,
        replay: &mut Option<Replay>,
        cache: &Arc<ContentCache>,
        transfers: &Transfers,
    ) -> Result<(), Left> {
        let total = self.state.borrow().total;
        loop {
            let patience = if sink.buffered == 0 { SILENCE } else { LINGER };
            let ended = match timeout(patience, stream.next()).await {
                Ok(Some(Ok(chunk))) => {
                    transfers.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                    self.state.send_if_modified(|state| {
                        state.beat();
                        false
                    });
                    let chunk = match replay {
                        Some(replay) => replay.skip(chunk).map_err(|Different| replaced(None))?,
                        None => chunk,
                    };
                    sink.push(chunk);
                    if total.is_some_and(|total| sink.end() > total) {
                        return Err(Left::Stop(
                            RemoteError::Protocol("more bytes came than the server announced".into()).into(),
                        ));
                    }
                    None
                }
                Ok(Some(Err(error))) => Some(Err(error)),
                Ok(None) => Some(Ok(())),
                Err(_) if sink.buffered == 0 => Some(Err(RemoteError::TimedOut(
                    format!("no byte came for {SILENCE:?}").into(),
                ))),
                Err(_) => {
                    self.flush(sink, cache).await?;
                    continue;
                }
            };
            if ended.is_some() || sink.buffered >= BATCH {
                self.flush(sink, cache).await?;
            }
            match ended {
                None => {}
                Some(Err(error)) => return Err(Left::Broken(error)),
                Some(Ok(())) => {
                    let delivered = match replay {
                        Some(replay) if replay.missing() > 0 => replay.seen.position(),
                        Some(_) | None => sink.end(),
                    };
                    return match total {
                        Some(total) if delivered < total => Err(Left::Broken(RemoteError::Protocol(
                            format!("the file ended after {delivered} of {total} bytes").into(),
                        ))),
                        // Without an announced length only the beginning tells that the new answer is too short.
                        None if delivered < sink.end() => Err(Left::Stop(replaced(None))),
                        Some(_) | None => Ok(()),
                    };
                }
            }
        }
    }

    async fn flush(&self, sink: &mut Sink, cache: &Arc<ContentCache>) -> Result<(), Stop> {
        let before = sink.checksums.position();
        sink.write(cache).await?;
        let position = sink.checksums.position();
        if position > before {
            self.state.send_modify(|state| state.watermark = position);
        }
        if position / ROOM_CHECK > before / ROOM_CHECK && !cache.has_room(0) {
            return Err(Stop::NoDisk);
        }
        Ok(())
    }

    /// Makes the file an entry: of its key, or of the one that adopts it.
    async fn keep(&self, cache: &Arc<ContentCache>, sink: Sink) -> Outcome {
        let delivered = sink.checksums.position();
        self.state.send_modify(|state| state.total = Some(delivered));
        let differs = || self.owner.lock().listed.is_some_and(|listed| listed != delivered);
        // Nobody adopts it before it differs, so a stored permit means that it no longer does.
        if differs() && timeout(ADOPTION, self.adopted.notified()).await.is_err() {
            return Outcome::Complete;
        }
        let key = self.owner.lock().key.clone();
        let etag = self.state.borrow().etag.clone();
        let committing = {
            let (cache, key) = (cache.clone(), key.clone());
            cache
                .handle()
                .clone()
                .spawn_blocking(move || cache.commit(&key, &sink.temporary, sink.checksums, etag))
        };
        match committing.await {
            Ok(Ok(())) => {}
            // Readers of now have the open file; those to come will fetch it again.
            Ok(Err(defect)) => tracing::warn!(%key, %defect, "a fetched document could not be kept"),
            Err(_) => return Outcome::Failed(ContentError::Stopped),
        }
        Outcome::Complete
    }
}

fn replaced(etag: Option<Arc<str>>) -> Stop {
    Stop::Failed(ContentError::ReplacedInPlace { etag })
}

async fn open(
    remote: &dyn Remote,
    document: DocumentId,
    start: u64,
    if_range: Option<&str>,
) -> Result<Content, RemoteError> {
    let range = ByteRange { start, end: None };
    timeout(HEAD, remote.read(document, range, if_range))
        .await
        .map_err(|_| RemoteError::TimedOut(format!("the file did not begin to come for {HEAD:?}").into()))?
}

/// Counts a transfer for as long as it lives.
struct InFlight<'a>(&'a AtomicU64);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
