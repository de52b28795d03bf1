//! Listings on their way: one per directory, whoever waits for it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::TreeError;
use crate::model::DirId;
use crate::remote::Progress;
use crate::store::StoredListing;

/// What a flight comes to.
pub(super) type FlightResult = Result<Arc<StoredListing>, TreeError>;

/// One listing on its way. It runs on its own: who waits for it may leave, and who comes later joins it.
#[derive(Clone)]
pub(super) struct Flight {
    number: u64,
    result: Shared<BoxFuture<'static, FlightResult>>,
    progress: Progress,
    started: Instant,
}

/// All listings on their way.
#[derive(Default)]
pub(super) struct Flights {
    table: Mutex<HashMap<DirId, Flight>>,
    next: AtomicU64,
}

impl Flights {
    /// The number the next flight gets: every flight with this one or a later one begins after now.
    pub(super) fn next_number(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The flight that lists `dir`: the one under way, or a new one that does `work`.
    pub(super) fn join<F>(
        self: &Arc<Self>,
        dir: DirId,
        runtime: &Handle,
        work: impl FnOnce(Progress) -> F,
    ) -> Flight
    where
        F: Future<Output = FlightResult> + Send + 'static,
    {
        let mut table = self.table.lock();
        if let Some(flight) = table.get(&dir) {
            return flight.clone();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let progress = Progress::new();
        let work = work(progress.clone());
        // Lands however it ends: a flight that panicked must not answer for ever.
        let landing = Landing {
            flights: self.clone(),
            dir,
            number,
        };
        let task = runtime.spawn(async move {
            let result = work.await;
            drop(landing);
            result
        });
        let result = async move {
            task.await
                .unwrap_or_else(|_| Err(TreeError::Unproved("the listing was given up".to_owned())))
        };
        let flight = Flight {
            number,
            result: result.boxed().shared(),
            progress,
            started: Instant::now(),
        };
        table.insert(dir, flight.clone());
        flight
    }
}

impl Flight {
    /// Its number; a later one began later.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// When it began.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Waits until `end` at the latest, and no longer than `idle` without a page.
    pub(super) async fn wait(&self, end: Instant, idle: Duration) -> FlightResult {
        let mut progress = self.progress.subscribe();
        let mut idle_end = Instant::now() + idle;
        loop {
            tokio::select! {
                biased;
                result = self.result.clone() => return result,
                Ok(()) = progress.changed() => idle_end = Instant::now() + idle,
                () = tokio::time::sleep_until(end.min(idle_end)) => return Err(TreeError::TimedOut),
            }
        }
    }
}

/// Takes a flight off the table when its work ends, by whatever way.
struct Landing {
    flights: Arc<Flights>,
    dir: DirId,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut table = self.flights.table.lock();
        if table
            .get(&self.dir)
            .is_some_and(|flight| flight.number == self.number)
        {
            table.remove(&self.dir);
        }
    }
}
