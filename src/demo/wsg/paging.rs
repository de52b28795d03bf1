//! Pages of a listing: `$top`/`$skip`, or `SkipToken` headers over a snapshot (fact sheet 1.7).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use crate::demo::clock::Clock;
use crate::demo::seed::mix;
use crate::model::Guid;

/// Snapshots kept for clients in the middle of paging; an older token answers 400.
const SNAPSHOTS: usize = 512;
/// Rows kept for them in all, 16 bytes each: 128 MiB. Tokens of one listing share their rows.
const ROWS: usize = 8 << 20;

/// The rows a token goes on with: what the first page's query found, so pages never shift.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) rows: Arc<Vec<Guid>>,
    pub(super) next: usize,
    /// Whose token it is and of which listing: it is good for no other.
    pub(super) listing: u64,
}

/// Hands out tokens and remembers what they stand for.
pub(in crate::demo) struct SkipTokens {
    known: Mutex<Known>,
    clock: Clock,
}

#[derive(Default)]
struct Known {
    last: u64,
    snapshots: VecDeque<Issued>,
}

struct Issued {
    token: String,
    at: Instant,
    snapshot: Snapshot,
}

impl SkipTokens {
    pub(in crate::demo) fn new(clock: Clock) -> Self {
        Self {
            known: Mutex::new(Known::default()),
            clock,
        }
    }

    /// A token that goes on with this snapshot; it may be used more than once, as a retried request does.
    pub(super) fn issue(&self, snapshot: Snapshot) -> String {
        let mut known = self.known.lock();
        known.last += 1;
        let token = URL_SAFE_NO_PAD.encode(mix(known.last).to_be_bytes());
        known.snapshots.push_back(Issued {
            token: token.clone(),
            at: self.clock.now(),
            snapshot,
        });
        while known.snapshots.len() > SNAPSHOTS || (known.snapshots.len() > 1 && known.rows() > ROWS) {
            known.snapshots.pop_front();
        }
        token
    }

    /// What a token stands for; `None` where it is unknown, older than `lifetime`, or of another listing.
    pub(super) fn redeem(&self, token: &str, listing: u64, lifetime: Duration) -> Option<Snapshot> {
        let known = self.known.lock();
        let mut all = known.snapshots.iter().rev();
        let found = all.find(|issued| issued.token == token)?;
        let good = found.snapshot.listing == listing
            && self.clock.now().saturating_duration_since(found.at) < lifetime;
        good.then(|| found.snapshot.clone())
    }
}

impl Known {
    /// Rows held; those that pages of one listing share count once, if their tokens follow each other.
    fn rows(&self) -> usize {
        let mut last: Option<&Arc<Vec<Guid>>> = None;
        let mut sum = 0;
        for issued in &self.snapshots {
            let rows = &issued.snapshot.rows;
            if last.is_none_or(|last| !Arc::ptr_eq(last, rows)) {
                sum += rows.len();
            }
            last = Some(rows);
        }
        sum
    }
}
