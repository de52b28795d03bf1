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
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sha2::Digest;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::cache::{ContentCache, Defect};
use super::reader::Shared;
use super::sink::{Different, Replay, Sink, SinkError};
use super::{ContentError, ContentKey, same_etag};
use crate::model::{ByteRange, DocumentId};
use crate::remote::{Content, RemoteError, Urgency, UrgencyHandle, with_urgency};
use crate::sync::Mutex;

/// Bytes that are written at once: a task switch per network packet would cost more than the write.
const BATCH: usize = 256 << 10;

/// How long bytes wait for others to be written with them; what a reader at the front of a slow line waits more.
const LINGER: Duration = Duration::from_millis(5);

/// Longest silence before a stream counts as broken. Longer than any caller waits (10 s): a server that takes a
/// breath costs one caller an error, but not everybody the download.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// Longest wait for the head of an answer. A gateway may fetch a large file from its own store first, and `http`
/// retries inside of this.
pub(super) const HEAD: Duration = Duration::from_secs(150);

/// Bytes that must arrive between two breaks: a line that drops once an hour still brings large files home, and
/// one that drops at once is not tried for ever.
pub(super) const PROGRESS_PER_RESUME: u64 = 16 << 20;

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
    urgency: UrgencyHandle,
    /// The answer it goes on with, where somebody has asked already.
    begun: Mutex<Option<Begun>>,
}

/// An answer of the whole, some bytes of which were counted already.
pub(super) struct Begun {
    pub(super) content: Content,
    /// How many, in bytes.
    pub(super) counted: u64,
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
    /// A download that [`Download::run`] will do, of the answer that has `begun`, or of one it asks for.
    pub(super) fn new(key: ContentKey, listed: Option<u64>, begun: Option<Begun>, urgency: Urgency) -> Self {
        Self {
            state: watch::Sender::default(),
            owner: Mutex::new(Owner { key, listed }),
            adopted: Notify::new(),
            urgency: UrgencyHandle::new(urgency),
            begun: Mutex::new(begun),
        }
    }

    /// How urgent it is by now.
    pub(super) fn urgency(&self) -> Urgency {
        self.urgency.get()
    }

    /// Makes it at least as urgent as `other`, who waits for it.
    pub(super) fn raise(&self, other: &UrgencyHandle) {
        self.urgency.raise(other.get());
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
    pub(super) async fn run(&self, shared: &Shared) -> Outcome {
        let transferred = {
            let _in_flight = shared.counters.begin();
            self.transfer(shared).await
        };
        match transferred {
            Ok(sink) => self.keep(shared, sink).await,
            Err(Stop::NoDisk) => Outcome::NoDisk,
            Err(Stop::Failed(error)) => Outcome::Failed(error),
        }
    }

    async fn transfer(&self, shared: &Shared) -> Result<Sink, Stop> {
        let cache = &shared.cache;
        let (key, mut sink) = {
            let key = self.owner.lock().key.clone();
            (key, Sink::open(cache, shared.options.sha256).await?)
        };
        self.state
            .send_modify(|state| state.file = Some(sink.temporary.file.clone()));

        let begun = self.begun.lock().take();
        let mut counted = begun.as_ref().map_or(0, |begun| begun.counted);
        let mut content = match begun {
            Some(begun) => begun.content,
            None => self.open(shared, key.document, 0, None).await?,
        };
        if content.range.start != 0 {
            let words = format!(
                "the file was asked for from its start, and came from byte {}",
                content.range.start
            );
            return Err(RemoteError::Protocol(words.into()).into());
        }
        let etag: Option<Arc<str>> = content.etag.as_deref().map(Into::into);
        if let Some(etag) = &etag
            && !same_etag(&cache.first_etag(&key, etag), etag)
        {
            return Err(replaced(Some(etag.clone())));
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
                .pump(&mut content.stream, &mut sink, &mut replay, shared, &mut counted)
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
            (content, replay) = self.resume(shared, key.document, &sink).await?;
        }
    }

    /// Opens the file again where it broke, or from its start.
    async fn resume(
        &self,
        shared: &Shared,
        document: DocumentId,
        sink: &Sink,
    ) -> Result<(Content, Option<Replay>), Stop> {
        let State { etag, total, .. } = self.state();
        let position = sink.checksums.position();
        let strong = etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        let ranged = shared.ranges() != Some(false) && position > 0;

        let mut content = match strong {
            Some(etag) if ranged => self.open(shared, document, position, Some(etag)).await?,
            Some(_) | None => self.open(shared, document, 0, None).await?,
        };
        self.check_same_file(&content, etag.as_deref(), total)?;
        if content.range.start == position && position > 0 {
            if content.etag.is_some() {
                return Ok((content, None));
            }
            // A part without its tag: nothing says that the server looked at If-Range.
            content = self.open(shared, document, 0, None).await?;
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
        shared: &Shared,
        counted: &mut u64,
    ) -> Result<(), Left> {
        let cache = &shared.cache;
        let mut room = None;
        let total = self.state.borrow().total;
        loop {
            let patience = if sink.buffered == 0 { SILENCE } else { LINGER };
            let ended = match timeout(patience, stream.next()).await {
                Ok(Some(Ok(chunk))) => {
                    let known =
                        usize::try_from(*counted).map_or(chunk.len(), |counted| counted.min(chunk.len()));
                    *counted -= known as u64;
                    shared.counters.came(chunk.len() - known);
                    if room.is_none() {
                        room = Some(shared.pool.reserve(BATCH as u64).await);
                    }
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
                    room = None;
                    continue;
                }
            };
            if ended.is_some() || sink.buffered >= BATCH {
                self.flush(sink, cache).await?;
                room = None;
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
    async fn keep(&self, shared: &Shared, sink: Sink) -> Outcome {
        let cache = &shared.cache;
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
            cache.runtime().clone().spawn_blocking(move || {
                let hash = sink.hasher.map(|hasher| hasher.finalize().into());
                cache.commit(&key, &sink.temporary, sink.checksums, etag.clone())?;
                // Where it cannot be kept it is computed when it is next fetched.
                if let Some(hash) = hash
                    && let Ok(filler) = cache.create(&key, delivered, etag.as_ref())
                {
                    let _ = filler.finish(Some(hash));
                }
                Ok::<_, Defect>(())
            })
        };
        match committing.await {
            Ok(Ok(())) => {}
            // Readers of now have the open file; those to come will fetch it again.
            Ok(Err(defect)) => tracing::warn!(%key, %defect, "a fetched document could not be kept"),
            Err(_) => return Outcome::Failed(ContentError::Stopped),
        }
        Outcome::Complete
    }

    async fn open(
        &self,
        shared: &Shared,
        document: DocumentId,
        start: u64,
        if_range: Option<&str>,
    ) -> Result<Content, RemoteError> {
        shared.counters.requests.fetch_add(1, Ordering::Relaxed);
        let range = ByteRange { start, end: None };
        let asked = shared.remote.read(document, range, if_range);
        timeout(HEAD, with_urgency(self.urgency.clone(), asked))
            .await
            .map_err(|_| {
                RemoteError::TimedOut(format!("the file did not begin to come for {HEAD:?}").into())
            })?
    }
}

fn replaced(etag: Option<Arc<str>>) -> Stop {
    Stop::Failed(ContentError::ReplacedInPlace { etag })
}
