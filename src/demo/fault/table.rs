//! The faults in force: which of them strike a request, and what waits for their end.

use axum::http::header::{IF_NONE_MATCH, RANGE};
use axum::http::{HeaderMap, Method};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::demo::seed::mix;
use crate::demo::traffic::RequestKind;
use crate::demo::wsg::SKIP_TOKEN;
use crate::model::Guid;

use super::{Effect, Fault, FaultId};

/// What a fault is matched with.
pub(in crate::demo) struct Arrival<'a> {
    pub(in crate::demo) kind: RequestKind,
    /// The folder or document it is about.
    pub(in crate::demo) subject: Option<Guid>,
    /// `$skip`.
    pub(in crate::demo) skip: Option<u64>,
    pub(in crate::demo) method: &'a Method,
    /// Path and query as sent.
    pub(in crate::demo) target: &'a str,
    pub(in crate::demo) headers: &'a HeaderMap,
    /// Who is logged in; only looked up where [`FaultTable::by_account`] says that it matters.
    pub(in crate::demo) account: Option<&'a str>,
}

impl Arrival<'_> {
    /// True where a later page is asked for by its token.
    fn by_token(&self) -> bool {
        later_token(self.headers).is_some()
    }
}

/// The token of a later page, where one is sent.
pub(super) fn later_token(headers: &HeaderMap) -> Option<&str> {
    let token = headers.get(SKIP_TOKEN)?.to_str().ok()?;
    (!token.is_empty() && token != "0").then_some(token)
}

impl Effect {
    /// True where the effect makes a difference to this request. Others are not counted.
    fn concerns(&self, arrival: &Arrival<'_>) -> bool {
        match self {
            Self::WrongRange { .. }
            | Self::ShiftedBytes { .. }
            | Self::WrongContentRange { .. }
            | Self::NoContentRange
            | Self::IgnoredRange => arrival.headers.contains_key(RANGE),
            Self::RepeatedPage | Self::ExpiredSkipToken => arrival.by_token(),
            Self::RowLost | Self::RowTwice => arrival.by_token() || arrival.skip.is_some_and(|skip| skip > 0),
            Self::FalseNotModified => arrival.headers.contains_key(IF_NONE_MATCH),
            Self::RefuseConnections => false,
            Self::Status { .. }
            | Self::HangAfterAccept
            | Self::HangAfterHeaders
            | Self::StallBody { .. }
            | Self::Truncate { .. }
            | Self::ResetBody { .. }
            | Self::DropConnection
            | Self::ResetConnection
            | Self::CloseConnection
            | Self::Latency(_)
            | Self::SlowHeaders { .. }
            | Self::Trickle { .. }
            | Self::ClockSkew { .. }
            | Self::WrongLength { .. }
            | Self::LyingLength { .. }
            | Self::Gzip
            | Self::SecretGzip
            | Self::HtmlLogin
            | Self::RedirectToLogin
            | Self::MalformedJson
            | Self::JsonNull
            | Self::EmptyBody
            | Self::EmptyList
            | Self::HugeJson { .. }
            | Self::NestedJson { .. }
            | Self::WrongContentType { .. }
            | Self::ByteOrderMark
            | Self::InvalidUtf8
            | Self::DuplicateKeys
            | Self::WrongTypes
            | Self::LoopingSkipToken
            | Self::RowLeftOut
            | Self::RowDoubled
            | Self::ChangedEtag
            | Self::StaleAnswer => true,
        }
    }
}

impl Fault {
    fn is_about(&self, arrival: &Arrival<'_>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&arrival.kind))
            && self.subject.is_none_or(|wanted| arrival.subject == Some(wanted))
            && self
                .path
                .as_ref()
                .is_none_or(|part| arrival.target.contains(part))
            && self
                .method
                .as_ref()
                .is_none_or(|method| method.eq_ignore_ascii_case(arrival.method.as_str()))
            && self.account.as_ref().is_none_or(|wanted| {
                arrival
                    .account
                    .is_some_and(|account| account.eq_ignore_ascii_case(wanted))
            })
            && self.effect.concerns(arrival)
    }
}

/// A fault with its counts.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Entry {
    pub(in crate::demo) id: FaultId,
    pub(in crate::demo) fault: Fault,
    /// Requests that matched while it was in force.
    pub(in crate::demo) matched: u64,
    /// Requests that suffered.
    pub(in crate::demo) struck: u64,
    since: Instant,
    /// Requests of any kind before it.
    before: u64,
}

impl Entry {
    /// True where it may still strike.
    pub(in crate::demo) fn in_force(&self) -> bool {
        let used_up = self.fault.times.is_some_and(|times| self.struck >= times.into());
        let over = self
            .fault
            .lasts
            .is_some_and(|lasts| self.since.elapsed() >= self.fault.from.saturating_add(lasts));
        !used_up && !over
    }

    /// Decides whether a request that it is about suffers, and counts it.
    fn strike(&mut self, total: u64) -> bool {
        let fault = &self.fault;
        let number = total - self.before;
        let open = self.since.elapsed() >= fault.from
            && number > fault.after_requests
            && fault.until_requests.is_none_or(|until| number <= until);
        if !open || !self.in_force() {
            return false;
        }
        self.matched += 1;
        let Some(turn) = self
            .matched
            .checked_sub(fault.skip.into())
            .filter(|turn| *turn > 0)
        else {
            return false;
        };
        if turn % u64::from(fault.every.max(1)) != 0 {
            return false;
        }
        let lucky = fault
            .chance
            .is_some_and(|chance| mix(chance.seed ^ mix(turn)) % 1_000_000 >= u64::from(chance.in_a_million));
        if lucky {
            return false;
        }
        self.struck += 1;
        true
    }
}

/// The faults in force.
pub(in crate::demo) struct FaultTable {
    held: Mutex<Held>,
    cleared: watch::Sender<u64>,
}

#[derive(Default)]
struct Held {
    /// A used-up fault stays until it is cleared: requests may still hang on it.
    entries: Vec<Entry>,
    last: u64,
    /// Requests of any kind.
    total: u64,
}

impl FaultTable {
    pub(in crate::demo) fn new() -> Self {
        Self {
            held: Mutex::new(Held::default()),
            cleared: watch::Sender::new(0),
        }
    }

    pub(in crate::demo) fn inject(&self, fault: Fault) -> FaultId {
        let mut held = self.held.lock();
        held.last += 1;
        let id = FaultId(held.last);
        let before = held.total;
        held.entries.push(Entry {
            id,
            fault,
            matched: 0,
            struck: 0,
            since: Instant::now(),
            before,
        });
        id
    }

    /// Removes one fault; true if it was there.
    pub(in crate::demo) fn clear(&self, id: FaultId) -> bool {
        let mut held = self.held.lock();
        let before = held.entries.len();
        held.entries.retain(|entry| entry.id != id);
        let found = held.entries.len() < before;
        drop(held);
        self.cleared.send_modify(|count| *count += 1);
        found
    }

    pub(in crate::demo) fn clear_all(&self) {
        self.held.lock().entries.clear();
        self.cleared.send_modify(|count| *count += 1);
    }

    /// Every fault that was not cleared, oldest first.
    pub(in crate::demo) fn entries(&self) -> Vec<Entry> {
        self.held.lock().entries.clone()
    }

    /// True where some fault asks who is logged in.
    pub(in crate::demo) fn by_account(&self) -> bool {
        let held = self.held.lock();
        held.entries.iter().any(|entry| entry.fault.account.is_some())
    }

    /// The effects this request suffers: any that leave room for others, then at most one other.
    pub(in crate::demo) fn strike(&self, arrival: &Arrival<'_>) -> Vec<(FaultId, Effect)> {
        let mut struck = Vec::new();
        let mut held = self.held.lock();
        held.total += 1;
        let total = held.total;
        for entry in &mut held.entries {
            if entry.fault.is_about(arrival) && entry.strike(total) {
                struck.push((entry.id, entry.fault.effect.clone()));
                if !entry.fault.effect.leaves_room() {
                    break;
                }
            }
        }
        struck
    }

    /// True where a connection that is being opened is refused.
    pub(in crate::demo) fn refuses_connection(&self) -> bool {
        let mut held = self.held.lock();
        // The request that the connection is for has not arrived yet.
        let total = held.total + 1;
        let mut entries = held.entries.iter_mut();
        entries.any(|entry| entry.fault.effect == Effect::RefuseConnections && entry.strike(total))
    }

    /// Waits until a fault is cleared.
    pub(in crate::demo) async fn until_cleared(&self, id: FaultId) {
        let mut cleared = self.cleared.subscribe();
        while self.held.lock().entries.iter().any(|entry| entry.id == id) {
            if cleared.changed().await.is_err() {
                return;
            }
        }
    }
}
