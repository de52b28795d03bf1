//! All that is on its way of one content, and who waits for it.
//!
//! A [`Transfer`] lives as long as one of its streams does. Readers join it: what they want is started where nothing
//! brings it, and they wait until it is here. What a stream meets that concerns the whole content (another file, another
//! length, a disk that is full) ends the transfer for all; what concerns its own range is for those who wait for that.
//!
//! Locks are taken in this order: the table, a transfer's state, its plan.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use super::lane::{Lane, Orders};
use super::plan::{Flow, PROBE, Plan, Start, Step, Want};
use super::stream::Stream;
use crate::content::cache::{BLOCK_SIZE, BlockIndex, Defect, Entry, Filler, Refusal, blocks_of};
use crate::content::download::{Begun, Download};
use crate::content::patience::Patience;
use crate::content::reader::{FetchPolicy, ReadRequest, Shared};
use crate::content::table::Running;
use crate::content::{ContentError, ContentKey};
use crate::remote::{Shortcut, Urgency, UrgencyHandle};
use crate::sync::Mutex;

/// How often one read has something fetched that is gone again before it could be read.
const TRIES: usize = 3;

/// See the module.
pub(in crate::content) struct Transfer {
    pub(super) key: ContentKey,
    pub(super) total: u64,
    plan: Arc<Mutex<Plan>>,
    state: Mutex<State>,
    changed: watch::Sender<Pulse>,
    filler: OnceCell<Arc<Filler>>,
    /// Where the server has its file, as one answer has shown.
    pub(super) shortcut: Arc<Shortcut>,
}

/// Moves with every change.
#[derive(Debug, Clone, Copy, Default)]
struct Pulse {
    count: u64,
    /// When the server last gave a sign of life.
    alive: Option<Instant>,
}

struct State {
    lanes: Vec<Lane>,
    next: u64,
    entry: Option<Arc<Entry>>,
    etag: Option<Arc<str>>,
    /// When somebody last read of this content.
    read_at: Instant,
    saved_at: Instant,
    ended: Option<Ending>,
}

/// How a transfer ended.
#[derive(Debug, Clone)]
pub(in crate::content) enum Ending {
    /// All is here, or nothing is on its way any more, or somebody else brings it: look again.
    Over,
    /// The disk does not take it, or another process fills the entry: read past the cache.
    NoDisk,
    /// It failed, the same for everybody.
    Failed(ContentError),
}

/// What a read came to.
pub(in crate::content) enum Got {
    /// Its bytes, or why not.
    Done(Result<Bytes, ContentError>),
    /// They are, or will be, somewhere else.
    LookAgain,
    /// Not through the cache.
    NoDisk,
}

/// What a reader finds.
enum Joined {
    Coming,
    NotHere,
    TriedEnough,
    Ended(Ending),
}

impl Transfer {
    /// A transfer without a stream; `entry` is what is here of the content.
    pub(in crate::content) fn new(
        key: ContentKey,
        total: u64,
        plan: Arc<Mutex<Plan>>,
        entry: Option<Arc<Entry>>,
        etag: Option<Arc<str>>,
        shortcut: Arc<Shortcut>,
    ) -> Self {
        let now = Instant::now();
        Self {
            key,
            total,
            plan,
            state: Mutex::new(State {
                lanes: Vec::new(),
                next: 0,
                entry,
                etag,
                read_at: now,
                saved_at: now,
                ended: None,
            }),
            changed: watch::Sender::default(),
            filler: OnceCell::new(),
            shortcut,
        }
    }

    /// Waits until the range of `request` is here.
    pub(in crate::content) async fn read(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        request: &ReadRequest,
        patience: &mut Patience,
    ) -> Got {
        let got = self.wait(shared, request, patience).await;
        self.retire(shared);
        got
    }

    async fn wait(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        request: &ReadRequest,
        patience: &mut Patience,
    ) -> Got {
        let range = request.within(self.total);
        let mut changes = self.changed.subscribe();
        let (mut want, mut tries) = (None, 0);
        loop {
            let pulse = *changes.borrow_and_update();
            match self.serve(&range) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    if want.is_none() {
                        self.advance(shared, &range);
                    }
                    return Got::Done(Ok(bytes));
                }
                Err(defect) => {
                    self.discard(shared, &defect);
                    return Got::LookAgain;
                }
            }
            if let Some(error) = shared.table.lock().failure(&self.key, &range, Some(pulse.count)) {
                return Got::Done(Err(error));
            }
            match self.join(shared, &range, request.fetch, &mut want, &mut tries) {
                Joined::Coming => {}
                Joined::NotHere => return Got::Done(Err(ContentError::NotCached)),
                Joined::Ended(Ending::Over) => return Got::LookAgain,
                Joined::TriedEnough | Joined::Ended(Ending::NoDisk) => return Got::NoDisk,
                Joined::Ended(Ending::Failed(error)) => return Got::Done(Err(error)),
            }
            // The sender is in `self`: the channel cannot be closed.
            let waited = tokio::time::timeout_at(patience.deadline(), changes.changed()).await;
            let Pulse { count, alive } = *changes.borrow();
            patience.moved(alive);
            if waited.is_err() && patience.is_over() {
                let error = ContentError::TimedOut;
                shared
                    .table
                    .lock()
                    .fail(&self.key, Some(&range), &error, Some(count));
                return Got::Done(Err(error));
            }
        }
    }

    /// The bytes of `range`, where all of them have arrived.
    pub(in crate::content) fn serve(&self, range: &Range<u64>) -> Result<Option<Bytes>, Defect> {
        let pieces: Vec<(BlockIndex, Range<u64>)> = blocks_of(range)
            .map(|block| {
                let own = block.bytes(self.total);
                (block, own.start.max(range.start)..own.end.min(range.end))
            })
            .collect();
        let (in_memory, entry) = {
            let state = self.state.lock();
            let missing = |piece: &Range<u64>| {
                state
                    .entry
                    .as_ref()
                    .is_none_or(|entry| !entry.missing(piece).is_empty())
            };
            let held = |(block, piece): &(BlockIndex, Range<u64>)| {
                state.lanes.iter().any(|lane| lane.has(*block, piece))
            };
            if pieces.iter().any(|piece| !held(piece) && missing(&piece.1)) {
                return Ok(None);
            }
            let bytes = |(block, piece): &(BlockIndex, Range<u64>)| {
                state.lanes.iter().find_map(|lane| lane.bytes(*block, piece))
            };
            (pieces.iter().map(bytes).collect::<Vec<_>>(), state.entry.clone())
        };
        let on_disk = |piece: &Range<u64>| entry.as_ref().map_or(Ok(None), |entry| entry.read(piece));
        if in_memory.iter().all(Option::is_none) {
            return on_disk(range);
        }
        let mut whole = BytesMut::new();
        for ((_, piece), bytes) in pieces.iter().zip(in_memory) {
            let bytes = match bytes {
                Some(bytes) => bytes,
                None => match on_disk(piece)? {
                    Some(bytes) => bytes,
                    None => return Ok(None),
                },
            };
            if pieces.len() == 1 {
                return Ok(Some(bytes));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(Some(whole.freeze()))
    }

    /// Takes note of a read that was served, so that its streams keep ahead of it.
    pub(in crate::content) fn advance(self: &Arc<Self>, shared: &Arc<Shared>, range: &Range<u64>) {
        let want = self.plan.lock().note(range);
        let mut state = self.state.lock();
        state.read_at = Instant::now();
        // A look that went no further is no reason to fetch more; who goes on is.
        if state.ended.is_some() || !want.goes_on() || no_ranges(shared) {
            return;
        }
        let begun = self.act(shared, &mut state, &want);
        drop(state);
        begun.into_iter().for_each(Stream::spawn);
    }

    /// Has `range` fetched where nothing brings it.
    fn join(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        range: &Range<u64>,
        fetch: FetchPolicy,
        want: &mut Option<Want>,
        tries: &mut usize,
    ) -> Joined {
        let mut state = self.state.lock();
        if let Some(ending) = &state.ended {
            return Joined::Ended(ending.clone());
        }
        state.read_at = Instant::now();
        let urgency = UrgencyHandle::current().get();
        for lane in &state.lanes {
            if lane.flow.position < range.end && lane.flow.limit > range.start {
                lane.urgency.raise(urgency);
            }
        }
        if fetch == FetchPolicy::CacheOnly {
            return if self.comes(&state, range) {
                Joined::Coming
            } else {
                Joined::NotHere
            };
        }
        let is_first = want.is_none();
        let noted = want.get_or_insert_with(|| self.plan.lock().note(range));
        if !is_first && self.comes(&state, range) {
            return Joined::Coming;
        }
        if no_ranges(shared) && !Self::looks_only(&state, noted) {
            let handed = state.lanes.iter().find(|lane| lane.flow.open);
            if let Some(lane) = handed {
                lane.orders.send_modify(|orders| orders.hand_over = true);
                return Joined::Coming;
            }
            drop(state);
            self.hand_over(shared, None);
            return Joined::Ended(Ending::Over);
        }
        // The first range that is answered tells whether there are ranges at all: no second one is asked for before.
        if shared.ranges().is_none() && state.lanes.iter().any(|lane| lane.tries_range) {
            return Joined::Coming;
        }
        if *tries >= TRIES {
            return Joined::TriedEnough;
        }
        let begun = self.act(shared, &mut state, noted);
        *tries += usize::from(!begun.is_empty());
        drop(state);
        begun.into_iter().for_each(Stream::spawn);
        Joined::Coming
    }

    /// True where all of `range` is here, or will be by the streams there are.
    fn comes(&self, state: &State, range: &Range<u64>) -> bool {
        blocks_of(range).all(|block| {
            let own = block.bytes(self.total);
            let piece = own.start.max(range.start)..own.end.min(range.end);
            let here = || {
                state
                    .entry
                    .as_ref()
                    .is_some_and(|entry| entry.missing(&piece).is_empty())
            };
            state.lanes.iter().any(|lane| {
                let flow = &lane.flow;
                flow.position < own.end && flow.limit >= piece.end && flow.limit > own.start
                    || lane.has(block, &piece)
            }) || here()
        })
    }

    /// True for the one request that needs no ranges and no end: a first look at the head.
    fn looks_only(state: &State, want: &Want) -> bool {
        state.lanes.is_empty() && want.range.end <= PROBE
    }

    /// Does what the plan says, and returns what is to be started once nothing is locked: a runtime that is stopping
    /// drops a task at once, which then leaves its transfer.
    fn act(self: &Arc<Self>, shared: &Arc<Shared>, state: &mut State, want: &Want) -> Vec<Stream> {
        let flows = |state: &State| state.lanes.iter().map(|lane| lane.flow).collect::<Vec<Flow>>();
        let entry = state.entry.clone();
        let ranges = shared.ranges() == Some(true);
        let steps = {
            let on_disk = |bytes: &Range<u64>| {
                entry
                    .as_ref()
                    .is_some_and(|entry| entry.missing(bytes).is_empty())
            };
            // What is being written is neither on its way any more nor on the disk yet.
            let in_memory = |bytes: &Range<u64>| {
                blocks_of(bytes).all(|block| state.lanes.iter().any(|lane| lane.has(block, bytes)))
            };
            let has = |bytes: &Range<u64>| on_disk(bytes) || in_memory(bytes);
            self.plan.lock().steps(want, &flows(state), ranges, &has)
        };
        let mut begun = Vec::new();
        let current = UrgencyHandle::current().get();
        for step in steps {
            match step {
                Step::Start(start) => begun.push(self.lane(shared, state, &start, want, current)),
                Step::Extend { id, limit } => {
                    if let Some(lane) = state.lanes.iter_mut().find(|lane| lane.flow.id == id) {
                        lane.flow.limit = limit;
                        lane.orders.send_modify(|orders| {
                            orders.limit = limit;
                            orders.probes &= !want.goes_on();
                        });
                    }
                }
                Step::Cut { id } => {
                    if let Some(lane) = state.lanes.iter_mut().find(|lane| lane.flow.id == id) {
                        lane.flow.end = lane.flow.limit;
                        lane.flow.open = false;
                        lane.orders.send_modify(|orders| orders.end = orders.limit);
                    }
                }
            }
        }
        let has_block = |block: BlockIndex| entry.as_ref().is_some_and(|entry| entry.has(block));
        if want.is_random()
            && let Some(start) = self.plan.lock().fill(&flows(state), &has_block)
            && shared.cache.has_room(self.total)
        {
            begun.push(self.lane(shared, state, &start, want, current));
        }
        begun
    }

    fn lane(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        state: &mut State,
        start: &Start,
        want: &Want,
        current: Urgency,
    ) -> Stream {
        let id = state.next;
        state.next += 1;
        let flow = Flow {
            id,
            position: start.range.start,
            limit: start.limit,
            end: start.range.end,
            open: start.open,
            prefetch: start.prefetch,
        };
        let (orders, obeyed) = watch::channel(Orders {
            limit: start.limit,
            end: start.range.end,
            probes: !want.goes_on(),
            hand_over: false,
            cancelled: false,
        });
        let urgency = UrgencyHandle::new(if start.prefetch {
            current.min(Urgency::Prefetch)
        } else {
            current
        });
        state.lanes.push(Lane::new(flow, orders, urgency.clone()));
        Stream::new(shared.clone(), self.clone(), flow, obeyed, urgency)
    }

    /// What to compare answers with: the tag of the file this content is made of.
    pub(super) fn etag(&self) -> Option<Arc<str>> {
        self.state.lock().etag.clone()
    }

    /// When somebody last read of it.
    pub(super) fn read_at(&self) -> Instant {
        self.state.lock().read_at
    }

    /// The right to fill the entry, which is made where there is none.
    pub(super) async fn filler(&self, shared: &Shared, etag: &Arc<str>) -> Result<Arc<Filler>, Ending> {
        let made = self.filler.get_or_try_init(|| async {
            let (cache, key, total) = (shared.cache.clone(), self.key.clone(), self.total);
            let etag = etag.clone();
            let created = shared
                .cache
                .runtime()
                .spawn_blocking(move || cache.create(&key, total, Some(&etag)));
            match created.await {
                Ok(Ok(filler)) => {
                    let mut state = self.state.lock();
                    state.entry = Some(filler.entry().clone());
                    state.etag = filler.entry().etag().cloned().or(state.etag.take());
                    Ok(filler)
                }
                Ok(Err(refusal @ Refusal::Elsewhere(_))) => {
                    tracing::debug!(key = %self.key, %refusal, "read past the cache");
                    shared.elsewhere.insert(self.key.clone(), ());
                    Err(Ending::NoDisk)
                }
                Ok(Err(Refusal::NoRoom | Refusal::Disk(_))) => Err(Ending::NoDisk),
                Err(_) => Err(Ending::Failed(ContentError::Stopped)),
            }
        });
        made.await.cloned()
    }

    /// True where something may have been written.
    pub(super) fn is_filling(&self) -> bool {
        self.filler.initialized()
    }

    /// Notes a sign of life.
    pub(super) fn beat(&self) {
        self.changed.send_modify(|pulse| {
            pulse.count += 1;
            pulse.alive = Some(Instant::now());
        });
    }

    /// Changes the lane of a stream, and wakes who waits.
    pub(super) fn change<T>(&self, id: u64, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let mut state = self.state.lock();
        let changed = state.lanes.iter_mut().find(|lane| lane.flow.id == id).map(change);
        drop(state);
        self.changed.send_modify(|pulse| pulse.count += 1);
        changed
    }

    /// True about once a second: what was written is to be made known.
    pub(super) fn is_time_to_save(&self) -> bool {
        const INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
        let mut state = self.state.lock();
        let is_time = state.saved_at.elapsed() >= INTERVAL;
        if is_time {
            state.saved_at = Instant::now();
        }
        is_time
    }

    /// Takes a stream off. The last one ends the transfer; `failure` is remembered for the range it was to bring.
    pub(super) fn leave(self: &Arc<Self>, shared: &Shared, id: u64, failure: Option<&ContentError>) {
        let mut table = shared.table.lock();
        let mut state = self.state.lock();
        let Some(at) = state.lanes.iter().position(|lane| lane.flow.id == id) else {
            return;
        };
        let lane = state.lanes.remove(at);
        // What failed while nobody waited for it is tried anew by the first who does.
        if let Some(error) = failure
            && lane.urgency.get() == Urgency::Interactive
        {
            let block = lane.flow.position / BLOCK_SIZE;
            let start = BlockIndex(block).bytes(self.total).start;
            table.fail(
                &self.key,
                Some(&(start..lane.flow.limit.max(start + 1))),
                error,
                None,
            );
        }
        if state.lanes.is_empty() && state.ended.is_none() {
            state.ended = Some(Ending::Over);
            table.remove_transfer(&self.key, self);
        }
        drop((state, table));
        self.changed.send_modify(|pulse| pulse.count += 1);
    }

    /// Ends a transfer that has no stream.
    fn retire(self: &Arc<Self>, shared: &Shared) {
        let mut table = shared.table.lock();
        let mut state = self.state.lock();
        if state.lanes.is_empty() && state.ended.is_none() {
            state.ended = Some(Ending::Over);
            table.remove_transfer(&self.key, self);
        }
    }

    /// What moves with every change.
    pub(in crate::content) fn pulse(&self) -> u64 {
        self.changed.borrow().count
    }

    /// Ends all of it.
    pub(super) fn end(self: &Arc<Self>, shared: &Shared, ending: Ending) {
        let mut table = shared.table.lock();
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        if let Ending::Failed(error) = &ending {
            table.fail(&self.key, None, error, None);
        }
        Self::end_locked(&mut state, ending);
        table.remove_transfer(&self.key, self);
        drop((state, table));
        self.changed.send_modify(|pulse| pulse.count += 1);
    }

    fn end_locked(state: &mut State, ending: Ending) {
        state.ended = Some(ending);
        for lane in &state.lanes {
            lane.orders.send_modify(|orders| orders.cancelled = true);
        }
    }

    /// Lets a download of the whole bring what this cannot: from a server without ranges or tags, or of another length.
    /// `begun` is an answer of the whole that it goes on with.
    pub(super) fn hand_over(self: &Arc<Self>, shared: &Arc<Shared>, begun: Option<Begun>) {
        let running = {
            let mut table = shared.table.lock();
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return;
            }
            let urgency = state.lanes.iter().map(|lane| lane.urgency.get()).max();
            Self::end_locked(&mut state, Ending::Over);
            let urgency = urgency.unwrap_or(Urgency::Interactive);
            let download = Arc::new(Download::new(self.key.clone(), Some(self.total), begun, urgency));
            table
                .running
                .insert(self.key.clone(), Running::Download(download.clone()));
            download
        };
        self.changed.send_modify(|pulse| pulse.count += 1);
        shared.start(&running);
    }

    /// Drops an entry that turned out to be bad, and everything with it.
    fn discard(self: &Arc<Self>, shared: &Shared, defect: &Defect) {
        let entry = self.state.lock().entry.clone();
        if let Some(entry) = entry {
            shared.cache.discard(&self.key, &entry, defect);
        }
        self.end(shared, Ending::Over);
    }

    /// Waits until it has ended and its streams have left.
    #[cfg(test)]
    pub(in crate::content) async fn over(&self) {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            {
                let state = self.state.lock();
                if state.ended.is_some() && state.lanes.is_empty() {
                    return;
                }
            }
            changes.changed().await.unwrap();
        }
    }

    /// The length of the whole, in bytes.
    pub(in crate::content) const fn total(&self) -> u64 {
        self.total
    }

    /// The entry, where there is one.
    pub(super) fn entry(&self) -> Option<Arc<Entry>> {
        self.state.lock().entry.clone()
    }
}

/// True where the server is known not to serve ranges.
fn no_ranges(shared: &Shared) -> bool {
    shared.ranges() == Some(false)
}
