//! Pages of a listing: `$top`/`$skip`, or `SkipToken` headers over a snapshot (fact sheet 1.7).

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use crate::demo::seed::mix;
use crate::model::Guid;

/// Snapshots kept for clients in the middle of paging; an older token answers 400.
const SNAPSHOTS: usize = 512;

/// The rows a token goes on with: what the first page's query found, so pages never shift.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) rows: Arc<Vec<Guid>>,
    pub(super) next: usize,
}

/// Hands out tokens and remembers what they stand for.
pub(in crate::demo) struct SkipTokens {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    last: u64,
    snapshots: VecDeque<(String, Snapshot)>,
}

impl SkipTokens {
    pub(in crate::demo) fn new() -> Self {
        Self {
            known: Mutex::new(Known::default()),
        }
    }

    /// A token that goes on with this snapshot; it may be used more than once, as a retried request does.
    pub(super) fn issue(&self, snapshot: Snapshot) -> String {
        let mut known = self.known.lock();
        known.last += 1;
        let token = URL_SAFE_NO_PAD.encode(mix(known.last).to_be_bytes());
        if known.snapshots.len() == SNAPSHOTS {
            known.snapshots.pop_front();
        }
        known.snapshots.push_back((token.clone(), snapshot));
        token
    }

    pub(super) fn redeem(&self, token: &str) -> Option<Snapshot> {
        let known = self.known.lock();
        let found = known.snapshots.iter().rev().find(|(other, _)| other == token);
        found.map(|(_, snapshot)| snapshot.clone())
    }
}
