//! Memory for bytes that arrived and are not on disk yet: one pool for the process.
//!
//! Who waits for room holds none: a stream reserves one block, and needs no more to write it and give it back. So
//! waiting always ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most memory of the process for bytes on their way, in bytes.
const PROCESS: u64 = 256 << 20;

/// What is counted, in bytes: a semaphore has 32 bits for one request.
const UNIT: u64 = 4 << 10;

static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(units(PROCESS) as usize)));

/// A reader's part in the pool.
#[derive(Debug, Clone)]
pub(in crate::content) struct Pool {
    room: Arc<Semaphore>,
    /// The most there is, in units.
    most: u32,
    /// What this reader holds, in bytes.
    held: Arc<AtomicU64>,
}

/// Room that is held until this is dropped.
#[derive(Debug)]
pub(in crate::content) struct Reservation {
    held: Arc<AtomicU64>,
    bytes: u64,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A part in the pool of the process.
    pub(in crate::content) fn of_process() -> Self {
        Self::over(ROOM.clone(), units(PROCESS))
    }

    /// A pool of its own.
    #[cfg(test)]
    pub(in crate::content) fn of(bytes: u64) -> Self {
        Self::over(Arc::new(Semaphore::new(units(bytes) as usize)), units(bytes))
    }

    fn over(room: Arc<Semaphore>, most: u32) -> Self {
        Self {
            room,
            most,
            held: Arc::default(),
        }
    }

    /// Waits for room for `bytes`, first come first served. More than there is counts as all of it.
    pub(in crate::content) async fn reserve(&self, bytes: u64) -> Reservation {
        let permit = self
            .room
            .clone()
            .acquire_many_owned(units(bytes).min(self.most))
            .await
            .expect("nobody closes the pool");
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Reservation {
            held: self.held.clone(),
            bytes,
            _permit: permit,
        }
    }

    /// What this reader holds, in bytes.
    pub(in crate::content) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn room_is_waited_for_and_given_back() {
        let pool = Pool::of(1 << 20);
        let first = pool.reserve(1 << 19).await;
        let second = pool.reserve(1 << 19).await;
        assert_eq!(pool.held(), 1 << 20);
        let mut third = Box::pin(pool.reserve(1));
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        let third = third.await;
        drop((second, third));
        assert_eq!(pool.held(), 0);
        // A request that can never be met would wait for ever.
        drop(pool.reserve(1 << 30).await);
        assert_eq!(pool.held(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn never_more_is_held_than_there_is_and_nobody_starves() {
        let pool = Pool::of(1 << 20);
        let works = (0..200_u64).map(|number| {
            let pool = pool.clone();
            tokio::runtime::Handle::current().spawn(async move {
                let held = pool.reserve((number % 5 + 1) << 17).await;
                assert!(pool.held() <= 1 << 20);
                tokio::task::yield_now().await;
                drop(held);
            })
        });
        for work in futures_util::future::join_all(works).await {
            work.unwrap();
        }
        assert_eq!(pool.held(), 0);
    }
}
