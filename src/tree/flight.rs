//! Listings on their way: one per directory, whoever waits for it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::TreeError;
use crate::model::DirId;
use crate::remote::{Progress, Urgency, UrgencyHandle, with_urgency};
use crate::store::StoredListing;

/// What a flight comes to.
pub(super) type FlightResult = Result<Arc<StoredListing>, TreeError>;

/// One listing on its way. It runs on its own: who waits for it may leave, and who comes later joins it.
#[derive(Clone)]
pub(super) struct Flight {
    number: u64,
    anew: bool,
    result: Shared<BoxFuture<'static, FlightResult>>,
    progress: Progress,
    urgency: UrgencyHandle,
    /// Since when somebody waits for it.
    wanted: Arc<OnceLock<Instant>>,
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

    /// The flight that lists `dir`: the one under way, or a new one that does `work`, which asks the server if it is
    /// to be `anew`. It is as urgent as the most urgent of those who joined it.
    pub(super) fn join<F>(
        self: &Arc<Self>,
        dir: DirId,
        anew: bool,
        urgency: Urgency,
        runtime: &Handle,
        work: impl FnOnce(Progress) -> F,
    ) -> Flight
    where
        F: Future<Output = FlightResult> + Send + 'static,
    {
        let mut table = self.table.lock();
        if let Some(flight) = table.get(&dir) {
            let flight = flight.clone();
            drop(table);
            flight.wanted_by(urgency);
            return flight;
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
        let handle = UrgencyHandle::new(urgency);
        let task = runtime.spawn(with_urgency(handle.clone(), async move {
            let result = work.await;
            drop(landing);
            result
        }));
        let result = async move {
            task.await
                .unwrap_or_else(|_| Err(TreeError::Unproved("the listing was given up".to_owned())))
        };
        let flight = Flight {
            number,
            anew,
            result: result.boxed().shared(),
            progress,
            urgency: handle,
            wanted: Arc::default(),
        };
        flight.wanted_by(urgency);
        table.insert(dir, flight.clone());
        flight
    }

    /// Whether `dir` is being listed.
    pub(super) fn is_under_way(&self, dir: DirId) -> bool {
        self.table.lock().contains_key(&dir)
    }
}

impl Flight {
    /// True if it asks the server, and began when [`Flights::next_number`] was `number` or later.
    pub(super) const fn is_new(&self, number: u64) -> bool {
        self.anew && self.number >= number
    }

    /// What it comes to.
    pub(super) fn result(&self) -> impl Future<Output = FlightResult> + Send + use<> {
        self.result.clone()
    }

    /// Changes with each page.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Since when somebody has waited for it. What nobody waited for may have stood in a queue for long.
    pub(super) fn wanted_since(&self) -> Instant {
        self.wanted.get().copied().unwrap_or_else(Instant::now)
    }

    fn wanted_by(&self, urgency: Urgency) {
        if urgency == Urgency::Interactive {
            self.wanted.get_or_init(Instant::now);
        }
        self.urgency.raise(urgency);
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
