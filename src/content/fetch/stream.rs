//! One request on its way into the blocks of an entry.
//!
//! Simple until you consider that:
//! 1. the server may answer something else: the whole, another file, another length, nothing;
//! 2. who reads may stop, and what is not read must stay at the server's end and not fill the disk;
//! 3. a connection breaks in the middle of a block;
//! 4. memory is shared with every other stream.
//!
//! The head of the answer is judged before its first byte is taken (1). A stream goes as far as its [`Orders`] allow and
//! then leaves the bytes in the connection, until it may go on or nobody has come for a while (2). After a break it goes
//! on where it stood, once, with `If-Range` (3). It holds room in the pool for one block, from its first byte until it
//! is written (4).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use super::lane::{Lane, Orders};
use super::plan::Flow;
use super::pool::Reservation;
use super::transfer::{Ending, Transfer};
use crate::content::cache::{BLOCK_SIZE, BlockIndex, Filler, Refusal};
use crate::content::download::{Begun, HEAD, PROGRESS_PER_RESUME, SILENCE};
use crate::content::reader::{Shared, other_length};
use crate::content::{ContentError, same_etag};
use crate::model::ByteRange;
use crate::remote::{Content, RemoteError, UrgencyHandle, with_urgency};

/// How long a look at a file waits for a read that goes on behind it. The next read of a copy comes within milliseconds.
const FOLLOWED: Duration = Duration::from_millis(300);

/// How long a stream waits for its reader, in whose way it must not run on. A reader that comes later costs a request.
const IDLE: Duration = Duration::from_secs(5);

/// Blocks after which what was written is made known to other processes, and outlives this one.
const SAVE_AFTER: u64 = 16;

/// See the module.
pub(super) struct Stream {
    shared: Arc<Shared>,
    transfer: Arc<Transfer>,
    flow: Flow,
    orders: watch::Receiver<Orders>,
    urgency: UrgencyHandle,
    /// The next byte to come.
    position: u64,
    /// Where a break may be followed by another try.
    resumable_from: u64,
    room: Option<Reservation>,
    /// The answer, and what came of it and may not be taken yet.
    content: Option<Content>,
    held: Bytes,
    /// The tag of the file the answer is of.
    etag: Option<Arc<str>>,
    /// The hash of all up to `position`, of a stream from the start.
    hasher: Option<Sha256>,
    left: bool,
}

/// Why a stream ends before its end.
enum Stop {
    /// Nobody wants it any more.
    Idle,
    /// What it was to bring cannot be had.
    Failed(ContentError),
    /// Nothing of this content can be had this way.
    Ends(Ending),
    /// A download of the whole goes on.
    HandOver(Option<Begun>),
}

impl From<RemoteError> for Stop {
    /// What the server says of the document, or of the login, is no matter of a range.
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::NotFound { .. }
            | RemoteError::Denied { .. }
            | RemoteError::LoginRequired(_)
            | RemoteError::SecretRequired(_)
            | RemoteError::LockedOut(_) => Self::Ends(Ending::Failed(error.into())),
            RemoteError::Throttled { .. }
            | RemoteError::Unreachable(_)
            | RemoteError::TimedOut(_)
            | RemoteError::Server(_)
            | RemoteError::Protocol(_) => Self::Failed(error.into()),
        }
    }
}

impl Stream {
    pub(super) fn new(
        shared: Arc<Shared>,
        transfer: Arc<Transfer>,
        flow: Flow,
        orders: watch::Receiver<Orders>,
        urgency: UrgencyHandle,
    ) -> Self {
        let hasher = (shared.options.sha256 && flow.position == 0).then(Sha256::new);
        Self {
            shared,
            transfer,
            flow,
            orders,
            urgency,
            position: flow.position,
            resumable_from: 0,
            room: None,
            content: None,
            held: Bytes::new(),
            etag: None,
            hasher,
            left: false,
        }
    }

    /// Runs it as a task of its own, which belongs to nobody who waits.
    pub(super) fn spawn(self) {
        let runtime = self.shared.cache.runtime().clone();
        runtime.spawn(self.run());
    }

    async fn run(mut self) {
        let shared = self.shared.clone();
        let stopped = {
            let _in_flight = shared.counters.begin();
            let stopped = self.work().await;
            let keeps = matches!(&stopped, Ok(()) | Err(Stop::Idle | Stop::Failed(_)));
            if keeps && self.keep_rest().await.is_err() {
                Err(Stop::Ends(Ending::NoDisk))
            } else {
                stopped
            }
        };
        // The connection, and the room it held.
        self.room = None;
        match stopped {
            Ok(()) | Err(Stop::Idle) => self.leave(None),
            Err(Stop::Failed(error)) => {
                tracing::debug!(key = %self.transfer.key, position = self.position, %error, "a part cannot be fetched");
                self.leave(Some(&error));
            }
            Err(Stop::Ends(ending)) => {
                self.transfer.end(&shared, ending);
                self.leave(None);
            }
            Err(Stop::HandOver(content)) => {
                self.transfer.hand_over(&shared, content);
                self.leave(None);
            }
        }
    }

    fn leave(&mut self, failure: Option<&ContentError>) {
        self.left = true;
        self.content = None;
        self.transfer.leave(&self.shared, self.flow.id, failure);
    }

    async fn work(&mut self) -> Result<(), Stop> {
        self.open().await?;
        loop {
            let error = match self.pump().await {
                Err(Stop::Failed(ContentError::Remote(error))) => error,
                other => return other,
            };
            if self.position < self.resumable_from {
                return Err(error.into());
            }
            tracing::debug!(key = %self.transfer.key, position = self.position, %error, "a stream broke and is resumed");
            self.resumable_from = self.position + PROGRESS_PER_RESUME;
            self.open().await?;
        }
    }

    /// Asks for what is still to come, and judges the head of the answer.
    async fn open(&mut self) -> Result<(), Stop> {
        self.held = Bytes::new();
        self.content = None;
        let known = self
            .transfer
            .etag()
            .or_else(|| self.shared.cache.etag(&self.transfer.key));
        let strong = known.as_deref().filter(|etag| !etag.starts_with("W/"));
        let ranged = self.position > 0 || !self.flow.open;
        if ranged
            && (self.shared.ranges() == Some(false) || self.position > self.flow.position && strong.is_none())
        {
            return Err(Stop::HandOver(None));
        }
        let end = self.orders.borrow().end;
        let range = ByteRange {
            start: self.position,
            end: (!self.flow.open).then_some(end),
        };
        self.shared.counters.requests.fetch_add(1, Ordering::Relaxed);
        let asked = self.shared.remote.read_part(
            self.transfer.key.document,
            range,
            strong.filter(|_| ranged),
            &self.transfer.shortcut,
        );
        let asked = timeout(HEAD, with_urgency(self.urgency.clone(), asked));
        let mut orders = self.orders.clone();
        let answered = tokio::select! {
            answered = asked => answered,
            _ = orders.wait_for(|orders| orders.cancelled) => return Err(Stop::Idle),
        };
        let content = match answered {
            Ok(Ok(content)) => content,
            // Some gateways refuse any range: the whole tells.
            Ok(Err(RemoteError::Protocol(words))) if ranged && self.shared.ranges().is_none() => {
                tracing::debug!(%words, "a range was refused");
                self.shared.ranges_refused.store(true, Ordering::Relaxed);
                return Err(Stop::HandOver(None));
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let words = format!("the file did not begin to come for {HEAD:?}");
                return Err(RemoteError::TimedOut(words.into()).into());
            }
        };
        self.transfer
            .change(self.flow.id, |lane| lane.tries_range = false);
        self.transfer.beat();
        let content = self.judge(content)?;
        self.etag = content.etag.as_deref().map(Into::into);
        self.content = Some(content);
        Ok(())
    }

    /// Looks whether an answer is of the file and range that were asked for.
    fn judge(&self, content: Content) -> Result<Content, Stop> {
        let whole = content.range.start == 0;
        let etag: Option<Arc<str>> = content.etag.as_deref().map(Into::into);
        let hand_over = |content: Content| {
            // Its bytes begin anew: what came before is not part of it.
            let begun = (whole && self.position == 0).then_some(Begun { content, counted: 0 });
            Err(Stop::HandOver(begun))
        };
        // What is known by now, and not when this was asked: another stream may have had the first answer, of another file.
        if let Some(etag) = &etag
            && !same_etag(&self.known_etag(etag), etag)
        {
            // It was replaced before, and its listing has not moved: more likely each answer has a tag of its own.
            if self.transfer.key.tag.revision > 0 {
                self.shared.untagged.store(true, Ordering::Relaxed);
            }
            let etag = Some(etag.clone());
            return Err(Stop::Ends(Ending::Failed(ContentError::ReplacedInPlace { etag })));
        }
        let Some(etag) = etag else {
            // Nothing would tell whether two answers are of one file.
            self.shared.untagged.store(true, Ordering::Relaxed);
            return hand_over(content);
        };
        match content.total {
            Some(total) if total != self.transfer.total && !whole => {
                let error = other_length(self.transfer.total, total, Some(etag));
                return Err(Stop::Ends(Ending::Failed(error)));
            }
            Some(total) if total == self.transfer.total => {}
            Some(_) | None if whole => return hand_over(content),
            Some(_) | None => {}
        }
        if content.range.start == self.position {
            return Ok(content);
        }
        if whole {
            return Err(Stop::HandOver(Some(Begun { content, counted: 0 })));
        }
        let words = format!(
            "the file was asked for from byte {}, and came from byte {}",
            self.position, content.range.start
        );
        Err(RemoteError::Protocol(words.into()).into())
    }

    /// The tag that all answers must have: `etag` where this one is the first.
    fn known_etag(&self, etag: &Arc<str>) -> Arc<str> {
        let (transfer, cache) = (&self.transfer, &self.shared.cache);
        transfer
            .etag()
            .unwrap_or_else(|| cache.first_etag(&transfer.key, etag))
    }

    /// Moves bytes into blocks until the end, or until it is to stop.
    async fn pump(&mut self) -> Result<(), Stop> {
        loop {
            let orders = *self.orders.borrow_and_update();
            if orders.cancelled {
                return Err(Stop::Idle);
            }
            if orders.hand_over {
                return Err(Stop::HandOver(self.take_whole()));
            }
            if self.position >= orders.end {
                return Ok(());
            }
            if self.position >= orders.limit {
                self.pause(orders).await?;
                continue;
            }
            let Some(mut bytes) = self.next(orders).await? else {
                // A part that ends early says so in its head; what is left is asked for by who wants it.
                return Ok(());
            };
            self.take(&mut bytes, orders).await?;
            self.held = bytes;
        }
    }

    /// Leaves the bytes in the connection until it may go on.
    async fn pause(&mut self, orders: Orders) -> Result<(), Stop> {
        let patience = if orders.probes { FOLLOWED } else { IDLE };
        let begun = tokio::time::Instant::now();
        loop {
            let until = self.transfer.read_at().max(begun) + patience;
            match timeout_at(until, self.orders.changed()).await {
                Ok(_) => return Ok(()),
                Err(_) if self.transfer.read_at() + patience > until => {}
                Err(_) => return Err(Stop::Idle),
            }
        }
    }

    /// The next bytes of the answer; `None` where it ends as it said it would.
    async fn next(&mut self, orders: Orders) -> Result<Option<Bytes>, Stop> {
        if self.held.has_remaining() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        let Some(content) = &mut self.content else {
            return Err(RemoteError::Protocol("there is no answer".into()).into());
        };
        let came = tokio::select! {
            came = timeout(SILENCE, content.stream.next()) => came,
            _ = self.orders.wait_for(|orders| orders.cancelled) => return Err(Stop::Idle),
        };
        match came {
            Ok(Some(Ok(bytes))) => {
                self.transfer.beat();
                Ok(Some(bytes))
            }
            Ok(Some(Err(error))) => Err(Stop::Failed(error.into())),
            Ok(None) => {
                let told = content.range.end.unwrap_or(self.transfer.total).min(orders.end);
                if self.position >= told && self.position < orders.end {
                    return Ok(None);
                }
                let words = format!("the file ended after {} of {told} bytes", self.position);
                Err(Stop::Failed(RemoteError::Protocol(words.into()).into()))
            }
            Err(_) => {
                let words = format!("no byte came for {SILENCE:?}");
                Err(Stop::Failed(RemoteError::TimedOut(words.into()).into()))
            }
        }
    }

    /// Takes as much of `bytes` as it may, at most the rest of a block.
    async fn take(&mut self, bytes: &mut Bytes, orders: Orders) -> Result<(), Stop> {
        let block = BlockIndex(self.position / BLOCK_SIZE);
        let own = block.bytes(self.transfer.total);
        let most = own.end.min(orders.limit).min(orders.end) - self.position;
        let now = bytes.split_to(usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len())));
        self.shared.counters.came(now.len());
        if self.room.is_none() {
            self.room = Some(self.shared.pool.reserve(own.end - own.start).await);
        }
        let room = own.end.min(orders.limit) - own.start;
        self.position += now.len() as u64;
        self.transfer
            .change(self.flow.id, |lane| lane.push(block, room, &now));
        if self.position == own.end {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes the block that is complete.
    async fn write(&mut self) -> Result<(), Stop> {
        let Some((block, bytes)) = self.transfer.change(self.flow.id, Lane::begin_writing).flatten() else {
            return Ok(());
        };
        let filler = self.filler().await?;
        let saves = self.transfer.is_time_to_save();
        let hasher = self.hasher.take();
        let written = self.shared.cache.runtime().spawn_blocking(move || {
            filler.put(block, &bytes)?;
            if saves || filler.unsaved() >= SAVE_AFTER {
                filler.save()?;
            }
            let hasher = hasher.map(|mut hasher| {
                hasher.update(&bytes);
                hasher
            });
            Ok::<_, Refusal>((hasher, filler.entry().is_complete()))
        });
        let (hasher, is_complete) = match written.await {
            Ok(Ok(written)) => written,
            Ok(Err(refusal)) => {
                tracing::debug!(key = %self.transfer.key, %refusal, "a block is not kept");
                return Err(Stop::Ends(Ending::NoDisk));
            }
            Err(_) => return Err(Stop::Ends(Ending::Failed(ContentError::Stopped))),
        };
        self.hasher = hasher;
        self.room = None;
        self.transfer.change(self.flow.id, Lane::end_writing);
        if is_complete {
            return self.finish().await;
        }
        Ok(())
    }

    async fn filler(&mut self) -> Result<Arc<Filler>, Stop> {
        let Some(etag) = &self.etag else {
            return Err(Stop::HandOver(None));
        };
        let filler = self
            .transfer
            .filler(&self.shared, etag)
            .await
            .map_err(Stop::Ends)?;
        // Two first answers at once may be of two files.
        if filler.entry().etag().is_some_and(|other| !same_etag(other, etag)) {
            let etag = Some(etag.clone());
            return Err(Stop::Ends(Ending::Failed(ContentError::ReplacedInPlace { etag })));
        }
        Ok(filler)
    }

    /// All is here: the transfer is over.
    async fn finish(&mut self) -> Result<(), Stop> {
        let filler = self.filler().await?;
        let hashed = self
            .hasher
            .take()
            .filter(|_| self.position == self.transfer.total);
        let wants_hash = self.shared.options.sha256;
        let finished = self.shared.cache.runtime().spawn_blocking(move || {
            let hash = match (wants_hash, hashed) {
                (false, _) => None,
                (true, Some(all)) => Some(all.finalize().into()),
                (true, None) => crate::content::hash::of_entry(filler.entry()),
            };
            filler.finish(hash)
        });
        match finished.await {
            Ok(Ok(())) => Err(Stop::Ends(Ending::Over)),
            // Who has it open has it all; it was said.
            Ok(Err(_)) => Err(Stop::Ends(Ending::Over)),
            Err(_) => Err(Stop::Ends(Ending::Failed(ContentError::Stopped))),
        }
    }

    /// Keeps the head of the file, where that is all that came of its first block; and makes known what was written.
    async fn keep_rest(&mut self) -> Result<(), ()> {
        let rest = self
            .transfer
            .change(self.flow.id, Lane::begin_writing_head)
            .flatten();
        if rest.is_none() && !self.transfer.is_filling() {
            return Ok(());
        }
        let Ok(filler) = self.filler().await else {
            return Err(());
        };
        let kept = self.shared.cache.runtime().spawn_blocking(move || {
            if let Some(bytes) = rest {
                filler.put_head(&bytes)?;
            }
            if filler.unsaved() > 0 {
                filler.save()
            } else {
                Ok(())
            }
        });
        let kept = kept.await;
        self.transfer.change(self.flow.id, Lane::end_writing);
        match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }

    /// The answer as it was before any of its bytes was taken; `None` where it is not of the whole.
    fn take_whole(&mut self) -> Option<Begun> {
        let content = self.content.take().filter(|content| content.range.start == 0)?;
        let block = BlockIndex(self.position / BLOCK_SIZE).bytes(self.transfer.total);
        let mut first = Vec::new();
        if block.start > 0 {
            let entry = self.transfer.entry()?;
            for number in 0..block.start / BLOCK_SIZE {
                first.push(
                    entry
                        .read(&BlockIndex(number).bytes(self.transfer.total))
                        .ok()??,
                );
            }
        }
        if self.position > block.start {
            let (_, bytes) = self
                .transfer
                .change(self.flow.id, Lane::take_arriving)
                .flatten()?;
            first.push(bytes);
        }
        first.push(std::mem::take(&mut self.held));
        let first = stream::iter(first.into_iter().map(Ok));
        let content = Content {
            stream: first.chain(content.stream).boxed(),
            ..content
        };
        Some(Begun {
            content,
            counted: self.position,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.left {
            self.room = None;
            self.transfer
                .end(&self.shared, Ending::Failed(ContentError::Stopped));
            self.transfer.leave(&self.shared, self.flow.id, None);
        }
    }
}
