//! The downloads on their way, one per key, and the failures that answer their own repeats.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::download::{Download, Outcome};
use super::{ContentError, ContentKey};
use crate::remote::Urgency;

/// How long a failure answers its own repeats. The kernel's come within milliseconds; a person's next try does not.
const FAILURE_MEMORY: Duration = Duration::from_secs(2);

/// What is on its way, and what just failed.
#[derive(Default)]
pub(super) struct Table {
    pub(super) running: HashMap<ContentKey, Arc<Download>>,
    /// Small: cleared of what is older than [`FAILURE_MEMORY`] with every new failure.
    failures: HashMap<ContentKey, Failure>,
}

#[derive(Clone)]
pub(super) struct Failure {
    pub(super) error: ContentError,
    until: Instant,
    /// `State::pulse` of a download that was given up waiting for: once that moves, waiting is worth it again.
    pub(super) pulse: Option<u64>,
}

impl Table {
    /// What is known of a key: the download on its way, and the last failure.
    pub(super) fn ask(&self, key: &ContentKey) -> (Option<Arc<Download>>, Option<Failure>) {
        (self.running.get(key).cloned(), self.failure(key).cloned())
    }

    /// Takes a download off, under all its keys; a failure of it is remembered.
    pub(super) fn end(&mut self, download: &Arc<Download>, outcome: &Outcome) {
        let keys: Vec<ContentKey> = self
            .running
            .extract_if(|_, running| Arc::ptr_eq(running, download))
            .map(|(key, _)| key)
            .collect();
        match outcome {
            // What failed while nobody waited for it is tried anew by the first who does: what is fetched ahead is given up
            // sooner than what somebody needs.
            Outcome::Failed(error) if download.urgency.get() == Urgency::Interactive => {
                for key in &keys {
                    self.fail(key, error, None);
                }
            }
            Outcome::Failed(_) | Outcome::Complete | Outcome::NoDisk => {}
        }
    }

    /// The failure that still answers for `key`.
    pub(super) fn failure(&self, key: &ContentKey) -> Option<&Failure> {
        self.failures
            .get(key)
            .filter(|failure| Instant::now() < failure.until)
    }

    /// Forgets all failures.
    pub(super) fn forget_failures(&mut self) {
        self.failures.clear();
    }

    /// Remembers a failure, and at which pulse a waiter gave up.
    pub(super) fn fail(&mut self, key: &ContentKey, error: &ContentError, pulse: Option<u64>) {
        let now = Instant::now();
        self.failures.retain(|_, failure| now < failure.until);
        let failure = Failure {
            error: error.clone(),
            until: now + FAILURE_MEMORY,
            pulse,
        };
        self.failures.insert(key.clone(), failure);
    }
}
