//! Where the requests to one server wait for their turn: for a token, for room on the way, and behind who is more urgent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::flow::Flow;
use super::ledger::Process;
use super::shared::{Busy, Shared};
use super::time::Time;
use super::urgency::{Urgency, UrgencyHandle};
use crate::http::{HttpError, Lane};

/// The most small answers on the way at once that nobody waits for, and …
const MOST_METADATA: usize = 32;
/// … the most files.
const MOST_CONTENT: usize = 64;
/// How long a request may wait that nobody waits for: the next round asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);
/// A lock that another process holds is free within microseconds.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// The requests of this process to one server.
pub(super) struct Gate {
    pub(super) server: String,
    /// The most this process asks for in a minute; `None` for no limit.
    per_minute: Option<u32>,
    time: Time,
    state: Mutex<State>,
}

struct State {
    /// `None` where requests are not counted at all.
    ledger: Option<Shared>,
    lanes: [LaneState; 2],
    /// In the order they came.
    waiting: Vec<Waiting>,
    next: u64,
    /// By rank of urgency: who looks after the clock for those behind it, …
    heads: [Option<u64>; 4],
    /// … and when there may be a token.
    blocked: [Option<Blocked>; 4],
    /// What the server asked for, and is not in the ledger yet.
    lesson: Option<Duration>,
    /// What the ledger says of this process is old.
    is_news: bool,
}

pub(super) struct LaneState {
    pub(super) flow: Flow,
    pub(super) breaker: Breaker,
}

struct Waiting {
    id: u64,
    lane: usize,
    urgency: UrgencyHandle,
    notify: Arc<Notify>,
    granted: bool,
}

#[derive(Clone, Copy)]
struct Blocked {
    until: Instant,
    held_until: Instant,
}

/// How long one request waits for its turn.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Patience {
    /// The end of the call of somebody who waits.
    pub(in crate::http) deadline: Instant,
    /// How long such a call may take.
    pub(in crate::http) total: Duration,
    /// The longest pause a server may want that is waited for at all.
    pub(in crate::http) longest_hold: Duration,
}

/// Leave to send one request; room for it is held until it is dropped.
pub(in crate::http) struct Pass {
    gate: Arc<Gate>,
    lane: usize,
    begun: Instant,
}

/// A place in the queue, given up when dropped.
struct Place {
    gate: Arc<Gate>,
    id: u64,
    notify: Arc<Notify>,
}

/// What a look at the queue finds.
enum Turn {
    Now,
    Never(HttpError),
    Later {
        /// When to look again at the latest; `None` until told.
        at: Option<Instant>,
        held: Duration,
        least: Duration,
    },
}

const fn lane_of(lane: Lane) -> Option<usize> {
    match lane {
        Lane::Metadata => Some(0),
        Lane::Content => Some(1),
        Lane::Login => None,
    }
}

impl Gate {
    pub(super) fn new(server: String, per_minute: Option<u32>, ledger: Option<Shared>, time: Time) -> Self {
        let now = Instant::now();
        let lanes = [MOST_METADATA, MOST_CONTENT].map(|most| LaneState {
            flow: Flow::new(most, now),
            breaker: Breaker::default(),
        });
        Self {
            server,
            per_minute,
            time,
            state: Mutex::new(State {
                ledger,
                lanes,
                waiting: Vec::new(),
                next: 0,
                heads: [None; 4],
                blocked: [None; 4],
                lesson: None,
                is_news: false,
            }),
        }
    }

    /// Waits for the turn of a request on `lane`, as urgent as what it is part of; and says by how much that may lengthen
    /// its call. `None` for what does not wait.
    pub(super) async fn admit(
        self: &Arc<Self>,
        lane: Lane,
        patience: Patience,
    ) -> Result<Option<(Pass, Duration)>, HttpError> {
        let Some(lane) = lane_of(lane) else {
            return Ok(None);
        };
        let urgency = UrgencyHandle::current();
        let mut changes = urgency.subscribe();
        let begun = Instant::now();
        let somebody_waited = urgency.get() == Urgency::Interactive;
        let mut until = None;
        let place = self.queue(lane, &urgency);
        loop {
            let now = Instant::now();
            let urgency = *changes.borrow_and_update();
            let bound = if urgency != Urgency::Interactive {
                begun + LONGEST_WAIT
            } else if somebody_waited {
                patience.deadline
            } else {
                // Somebody waits from now on.
                *until.get_or_insert(now + patience.total)
            };
            let at = match self.turn(&place, lane, urgency, now) {
                Turn::Now => {
                    drop(place);
                    let pass = Pass {
                        gate: self.clone(),
                        lane,
                        begun: now,
                    };
                    let longer = if somebody_waited {
                        Duration::ZERO
                    } else {
                        now - begun
                    };
                    return Ok(Some((pass, longer)));
                }
                Turn::Never(error) => return Err(error),
                Turn::Later { held, least, .. } if held > patience.longest_hold => {
                    return Err(self.held(held, least));
                }
                Turn::Later { least, .. } if now >= bound => return Err(self.too_slow(now - begun, least)),
                Turn::Later { at, .. } => at.map_or(bound, |at| at.min(bound)),
            };
            tokio::select! {
                () = place.notify.notified() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(at) => {}
            }
        }
    }

    /// Room on the way, without a turn: for what costs this server nothing. `None` where nobody waits for it and there is no
    /// room.
    pub(super) fn beside(self: &Arc<Self>, lane: Lane) -> Option<Pass> {
        let lane = lane_of(lane)?;
        let is_waited_for = UrgencyHandle::current().get() == Urgency::Interactive;
        let flow = &mut self.state.lock().lanes[lane].flow;
        if !is_waited_for && !flow.has_room() {
            return None;
        }
        flow.begin();
        Some(Pass {
            gate: self.clone(),
            lane,
            begun: Instant::now(),
        })
    }

    fn queue(self: &Arc<Self>, lane: usize, urgency: &UrgencyHandle) -> Place {
        let notify = Arc::new(Notify::new());
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.waiting.push(Waiting {
            id,
            lane,
            urgency: urgency.clone(),
            notify: notify.clone(),
            granted: false,
        });
        Place {
            gate: self.clone(),
            id,
            notify,
        }
    }

    fn turn(&self, place: &Place, lane: usize, urgency: Urgency, now: Instant) -> Turn {
        let mut state = self.state.lock();
        if let Some(error) = state.lanes[lane].breaker.refusal(urgency, now) {
            return Turn::Never(error);
        }
        self.pump(&mut state, now);
        let found = state.waiting.iter().position(|waiting| waiting.id == place.id);
        if let Some(at) = found
            && state.waiting[at].granted
        {
            // The room is the pass's from now on.
            state.waiting.remove(at);
            state.lanes[lane].breaker.sent(now);
            return Turn::Now;
        }
        let blocked = state.blocked[urgency.rank()];
        let left = |until: Option<Instant>| until.map_or(Duration::ZERO, |until| until - now.min(until));
        Turn::Later {
            at: blocked
                .map(|blocked| blocked.until)
                .filter(|_| state.heads[urgency.rank()] == Some(place.id)),
            held: left(blocked.map(|blocked| blocked.held_until)),
            least: left(blocked.map(|blocked| blocked.until)),
        }
    }

    /// Gives everybody their turn whose turn it is, those that go first first.
    fn pump(&self, state: &mut State, now: Instant) {
        self.tell_others(state);
        for urgency in Urgency::ALL {
            let head = self.pump_one(state, urgency, now);
            if head != state.heads[urgency.rank()] {
                state.heads[urgency.rank()] = head;
                let waiting = state.waiting.iter().find(|waiting| Some(waiting.id) == head);
                if let Some(waiting) = waiting {
                    waiting.notify.notify_one();
                }
            }
        }
    }

    /// Those of one urgency; the first that needs a token there is not.
    fn pump_one(&self, state: &mut State, urgency: Urgency, now: Instant) -> Option<u64> {
        let rank = urgency.rank();
        if state.blocked[rank].is_some_and(|blocked| blocked.until <= now) {
            state.blocked[rank] = None;
        }
        for at in 0..state.waiting.len() {
            let waiting = &state.waiting[at];
            if waiting.granted || waiting.urgency.get() != urgency {
                continue;
            }
            let (id, lane) = (waiting.id, waiting.lane);
            // Who waits is never held up by what is on the way.
            if urgency != Urgency::Interactive && !state.lanes[lane].flow.has_room() {
                continue;
            }
            if state.blocked[rank].is_none() {
                state.blocked[rank] = self.take(state, urgency, now);
            }
            if state.blocked[rank].is_some() {
                return Some(id);
            }
            state.lanes[lane].flow.begin();
            state.waiting[at].granted = true;
            state.waiting[at].notify.notify_one();
        }
        None
    }

    fn take(&self, state: &mut State, urgency: Urgency, now: Instant) -> Option<Blocked> {
        let process = self.process(state);
        let ledger = state.ledger.as_mut()?;
        let clock = self.time.now();
        match ledger.with(clock, |ledger| ledger.take(clock, process, urgency)) {
            Ok(Ok(())) => {
                state.is_news = false;
                None
            }
            Ok(Err(wait)) => Some(Blocked {
                until: now + wait.least,
                held_until: now + wait.held,
            }),
            Err(Busy) => Some(Blocked {
                until: now + LOCK_PAUSE,
                held_until: now,
            }),
        }
    }

    /// What the ledger should know and does not.
    fn tell_others(&self, state: &mut State) {
        if state.lesson.is_none() && !state.is_news {
            return;
        }
        let process = self.process(state);
        let lesson = state.lesson;
        let clock = self.time.now();
        let told = match &mut state.ledger {
            None => Ok(()),
            Some(ledger) => ledger.with(clock, |ledger| {
                ledger.note(process, clock);
                if let Some(wanted) = lesson {
                    ledger.refused(clock, wanted);
                }
            }),
        };
        if told.is_ok() {
            state.lesson = None;
            state.is_news = false;
        }
    }

    fn process(&self, state: &State) -> Process {
        let clock = self.time.now();
        let away = state.lanes.iter().filter_map(|lane| lane.breaker.open());
        let longest = away.map(|(since, _)| since.elapsed()).max();
        Process {
            pid: std::process::id(),
            per_minute: self.per_minute,
            at_once: [0, 1].map(|lane: usize| state.lanes[lane].flow.limit()),
            away_since: longest
                .map(|since| clock.saturating_sub(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))),
            seen: clock,
        }
    }

    /// The network is another one: whoever asks next finds out.
    pub(super) fn wake(&self) {
        let mut state = self.state.lock();
        for lane in &mut state.lanes {
            lane.breaker.reset();
        }
        state.is_news = true;
        self.pump(&mut state, Instant::now());
    }

    /// Shows the lanes, and the ledger as it is now, where there is one that can be had.
    pub(super) fn show<T>(
        &self,
        show: impl FnOnce(&[LaneState; 2], Option<(&super::ledger::Ledger, u64)>) -> T,
    ) -> T {
        let mut state = self.state.lock();
        let clock = self.time.now();
        let State { ledger, lanes, .. } = &mut *state;
        match ledger {
            None => show(lanes, None),
            Some(shared) => {
                let seen = shared.with(clock, |ledger| ledger.clone());
                show(lanes, seen.as_ref().ok().map(|ledger| (ledger, clock)))
            }
        }
    }

    fn held(&self, held: Duration, least: Duration) -> HttpError {
        HttpError::Paced {
            words: format!(
                "{}: it asked for fewer requests, and to be left alone for another {} s",
                self.server,
                held.as_secs().max(1)
            ),
            retry_after: least,
        }
    }

    fn too_slow(&self, waited: Duration, least: Duration) -> HttpError {
        let waited = waited.as_secs();
        HttpError::Paced {
            words: format!(
                "{}: more is asked than its pace allows, and the turn of this request did not come within {waited} s; \
                 nothing was sent",
                self.server
            ),
            retry_after: least,
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("server", &self.server)
            .field("per_minute", &self.per_minute)
            .finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        let Some(at) = state.waiting.iter().position(|waiting| waiting.id == self.id) else {
            return;
        };
        let waiting = state.waiting.remove(at);
        if waiting.granted {
            // Its token is lost; the room is not.
            state.lanes[waiting.lane].flow.end();
        }
        // Who is behind it must look after the clock now.
        self.gate.pump(&mut state, Instant::now());
    }
}

impl Pass {
    /// The server answered with `status`, and asked for a pause of `wanted`.
    pub(in crate::http) fn answered(&self, status: u16, wanted: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.gate.state.lock();
        let lane = &mut state.lanes[self.lane];
        let was_open = lane.breaker.open().is_some();
        lane.breaker.answered(now);
        if matches!(status, 429 | 503) {
            lane.flow.strained(self.begun, now);
        } else {
            lane.flow.answered(now - self.begun, now);
        }
        state.is_news |= was_open;
        // A 503 may be a server that is being started; one that says when is a server that is asked too much.
        if status == 429 || (status == 503 && wanted.is_some()) {
            state.lesson = Some(wanted.unwrap_or_default().max(state.lesson.unwrap_or_default()));
            self.gate.pump(&mut state, now);
        }
    }

    /// No answer came.
    pub(in crate::http) fn failed(&self, error: &HttpError) {
        match error {
            HttpError::Unreachable(_) | HttpError::Proxy(_) | HttpError::TimedOut(_) => {}
            // What the settings or certificates are at fault for, and what was an answer.
            HttpError::Tls(_)
            | HttpError::Certificate(_)
            | HttpError::Settings(_)
            | HttpError::Paced { .. }
            | HttpError::TooLarge(_)
            | HttpError::Redirect(_)
            | HttpError::Protocol(_) => return,
        }
        let now = Instant::now();
        let mut state = self.gate.state.lock();
        let lane = &mut state.lanes[self.lane];
        if matches!(error, HttpError::TimedOut(_)) {
            lane.flow.strained(self.begun, now);
        }
        if lane.breaker.failed(self.begun, error, now) {
            tracing::debug!(server = self.gate.server, %error, "the server cannot be reached; only probes are sent");
            // Those that wait fail at once, too.
            for waiting in &state.waiting {
                waiting.notify.notify_one();
            }
            state.is_news = true;
            self.gate.tell_others(&mut state);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        state.lanes[self.lane].flow.end();
        self.gate.pump(&mut state, Instant::now());
    }
}

#[cfg(test)]
mod tests;
