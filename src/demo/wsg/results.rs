//! What listings found, kept for their next pages.
//!
//! A folder of 100 000 documents asked for in pages of 100 is evaluated once, not a thousand times: as long as
//! nothing in the datasource changes, the same listing by the same account finds the same rows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::demo::knobs::Knobs;
use crate::demo::seed::mix;
use crate::model::Guid;

/// Rows kept in all, 16 bytes each: 64 MiB.
const ROWS: usize = 4 << 20;
/// Listings kept.
const LISTINGS: usize = 64;

/// The cache of one gateway.
pub(in crate::demo) struct Results {
    kept: Mutex<VecDeque<Kept>>,
    shuffles: AtomicU64,
}

struct Kept {
    key: String,
    revision: u64,
    knobs: Knobs,
    rows: Arc<Vec<Guid>>,
}

impl Results {
    pub(in crate::demo) fn new() -> Self {
        Self {
            kept: Mutex::new(VecDeque::new()),
            shuffles: AtomicU64::new(0),
        }
    }

    /// Puts rows in an order of their own, another one every time.
    pub(super) fn shuffle(&self, rows: &mut [Guid]) {
        let number = self.shuffles.fetch_add(1, Ordering::Relaxed);
        fastrand::Rng::with_seed(mix(number + 1)).shuffle(rows);
    }

    /// What this listing found, if the datasource and the server's settings are still the same.
    pub(super) fn get(&self, key: &str, revision: u64, knobs: &Knobs) -> Option<Arc<Vec<Guid>>> {
        let mut kept = self.kept.lock();
        let place = kept
            .iter()
            .position(|one| one.revision == revision && one.key == key && one.knobs == *knobs)?;
        // The last one used is the last one to go.
        let one = kept.remove(place)?;
        let rows = Arc::clone(&one.rows);
        kept.push_back(one);
        Some(rows)
    }

    pub(super) fn put(&self, key: String, revision: u64, knobs: &Knobs, rows: &Arc<Vec<Guid>>) {
        if rows.len() > ROWS {
            return;
        }
        let mut kept = self.kept.lock();
        // What was found before a change is never asked for again.
        kept.retain(|one| one.revision == revision && (one.key != key || one.knobs != *knobs));
        kept.push_back(Kept {
            key,
            revision,
            knobs: knobs.clone(),
            rows: Arc::clone(rows),
        });
        while kept.len() > LISTINGS || kept.iter().map(|one| one.rows.len()).sum::<usize>() > ROWS {
            kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Arc<Vec<Guid>> {
        Arc::new(vec![Guid::from_bytes([7; 16]); count])
    }

    #[test]
    fn a_result_is_found_until_something_changes() {
        let (results, knobs) = (Results::new(), Knobs::default());
        results.put("a".to_owned(), 1, &knobs, &rows(3));
        assert_eq!(results.get("a", 1, &knobs), Some(rows(3)));
        assert_eq!(results.get("b", 1, &knobs), None);
        assert_eq!(results.get("a", 2, &knobs), None);
        let turned = Knobs {
            name_case: true,
            ..Knobs::default()
        };
        assert_eq!(results.get("a", 1, &turned), None);
    }

    #[test]
    fn the_oldest_go_first_and_memory_is_bounded() {
        let (results, knobs) = (Results::new(), Knobs::default());
        for number in 0..LISTINGS {
            results.put(number.to_string(), 1, &knobs, &rows(1));
        }
        assert!(results.get("0", 1, &knobs).is_some());
        results.put("more".to_owned(), 1, &knobs, &rows(1));
        assert!(results.get("0", 1, &knobs).is_some());
        assert!(results.get("1", 1, &knobs).is_none());
        results.put("large".to_owned(), 1, &knobs, &rows(ROWS));
        assert!(results.get("0", 1, &knobs).is_none());
        results.put("too large".to_owned(), 1, &knobs, &rows(ROWS + 1));
        assert!(results.get("too large", 1, &knobs).is_none());
    }
}
