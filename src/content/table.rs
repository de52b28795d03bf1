//! What is on its way, once per content, and the failures that answer their own repeats.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::download::{Download, Outcome};
use super::fetch::transfer::Transfer;
use super::{ContentError, ContentKey};
use crate::remote::Urgency;

/// How long a failure answers its own repeats. The kernel's come within milliseconds; a person's next try does not.
const FAILURE_MEMORY: Duration = Duration::from_secs(2);

/// What is on its way, and what just failed.
#[derive(Default)]
pub(super) struct Table {
    pub(super) running: HashMap<ContentKey, Running>,
    /// Small: cleared of what is older than [`FAILURE_MEMORY`] with every new failure.
    failures: HashMap<ContentKey, Vec<Failure>>,
}

/// How a content comes.
#[derive(Clone)]
pub(super) enum Running {
    /// The whole, front to back.
    Download(Arc<Download>),
    /// What somebody reads of it.
    Transfer(Arc<Transfer>),
}

struct Failure {
    /// What it was to bring; `None` for all of the content.
    range: Option<Range<u64>>,
    error: ContentError,
    until: Instant,
    /// The pulse of what was given up waiting for: once that moves, waiting is worth it again.
    pulse: Option<u64>,
}

impl Table {
    /// What is on its way of `key`.
    pub(super) fn running(&self, key: &ContentKey) -> Option<Running> {
        self.running.get(key).cloned()
    }

    /// The download of the whole.
    pub(super) fn download(&self, key: &ContentKey) -> Option<Arc<Download>> {
        match self.running.get(key)? {
            Running::Download(download) => Some(download.clone()),
            Running::Transfer(_) => None,
        }
    }

    /// Takes a download off, under all its keys; a failure of it is remembered.
    pub(super) fn end(&mut self, download: &Arc<Download>, outcome: &Outcome) {
        let is_it =
            |running: &Running| matches!(running, Running::Download(other) if Arc::ptr_eq(other, download));
        let keys: Vec<ContentKey> = self
            .running
            .extract_if(|_, running| is_it(running))
            .map(|(key, _)| key)
            .collect();
        match outcome {
            // What failed while nobody waited for it is tried anew by the first who does: what is fetched ahead is given up
            // sooner than what somebody needs.
            Outcome::Failed(error) if download.urgency() == Urgency::Interactive => {
                for key in &keys {
                    self.fail(key, None, error, None);
                }
            }
            Outcome::Failed(_) | Outcome::Complete | Outcome::NoDisk => {}
        }
    }

    /// Takes a transfer off, unless something else has taken its place.
    pub(super) fn remove_transfer(&mut self, key: &ContentKey, transfer: &Arc<Transfer>) {
        if matches!(self.running.get(key), Some(Running::Transfer(other)) if Arc::ptr_eq(other, transfer)) {
            self.running.remove(key);
        }
    }

    /// The failure that still answers for `range` of `key`. `pulse` is that of what brings it now, if anything does: who
    /// gave up waiting for it answers only for as long as it has not moved.
    pub(super) fn failure(
        &self,
        key: &ContentKey,
        range: &Range<u64>,
        pulse: Option<u64>,
    ) -> Option<ContentError> {
        let now = Instant::now();
        let answers = |failure: &&Failure| {
            let meets = failure
                .range
                .as_ref()
                .is_none_or(|failed| failed.start < range.end && range.start < failed.end);
            let stands = failure.pulse.is_none() || pulse.is_none() || failure.pulse == pulse;
            now < failure.until && meets && stands
        };
        let failure = self.failures.get(key)?.iter().rev().find(answers)?;
        Some(failure.error.clone())
    }

    /// Forgets all failures.
    pub(super) fn forget_failures(&mut self) {
        self.failures.clear();
    }

    /// Remembers a failure of a range, or of all (`None`), and at which pulse a waiter gave up.
    pub(super) fn fail(
        &mut self,
        key: &ContentKey,
        range: Option<&Range<u64>>,
        error: &ContentError,
        pulse: Option<u64>,
    ) {
        let now = Instant::now();
        self.failures.retain(|_, failures| {
            failures.retain(|failure| now < failure.until);
            !failures.is_empty()
        });
        self.failures.entry(key.clone()).or_default().push(Failure {
            range: range.cloned(),
            error: error.clone(),
            until: now + FAILURE_MEMORY,
            pulse,
        });
    }
}
