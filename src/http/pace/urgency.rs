//! Who waits for an answer, and how an answer that nobody waited for becomes one that somebody does.

use std::sync::Arc;

use tokio::sync::watch;

tokio::task_local! {
    static CURRENT: UrgencyHandle;
}

/// Who waits for an answer; later ones go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Somebody who knows that it takes its time: a crawl, a copy of everything.
    Bulk,
    /// Nobody: what is known is kept fresh.
    Background,
    /// Nobody yet: somebody is likely to ask for it next.
    Prefetch,
    /// A program that stands still until it comes.
    Interactive,
}

impl Urgency {
    /// All of them, those that go first first.
    pub const ALL: [Self; 4] = [Self::Interactive, Self::Prefetch, Self::Background, Self::Bulk];

    /// Its place in [`Urgency::ALL`].
    pub(super) const fn rank(self) -> usize {
        match self {
            Self::Interactive => 0,
            Self::Prefetch => 1,
            Self::Background => 2,
            Self::Bulk => 3,
        }
    }
}

/// The urgency of some work, which may rise while its requests wait. Clones are the same handle.
#[derive(Debug, Clone)]
pub struct UrgencyHandle(Arc<watch::Sender<Urgency>>);

impl UrgencyHandle {
    /// Work of this urgency.
    pub fn new(urgency: Urgency) -> Self {
        Self(Arc::new(watch::Sender::new(urgency)))
    }

    /// How urgent it is now.
    pub fn get(&self) -> Urgency {
        *self.0.borrow()
    }

    /// Makes it at least as urgent as `to`, for the requests of it that wait already, too.
    pub fn raise(&self, to: Urgency) {
        self.0.send_if_modified(|urgency| {
            let rises = to > *urgency;
            if rises {
                *urgency = to;
            }
            rises
        });
    }

    /// The one of the work this runs in. Where nobody said how urgent it is, somebody waits.
    pub fn current() -> Self {
        CURRENT
            .try_with(Self::clone)
            .unwrap_or_else(|_| Self::new(Urgency::Interactive))
    }

    /// Waits until it is at least as urgent as `to`.
    pub async fn reaches(&self, to: Urgency) {
        // The handle itself keeps the sender alive.
        let _ = self.subscribe().wait_for(|urgency| *urgency >= to).await;
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Urgency> {
        self.0.subscribe()
    }
}

/// Runs `future` with the urgency of `handle`. What it spawns is not part of it.
pub async fn with_urgency<F: Future>(handle: UrgencyHandle, future: F) -> F::Output {
    CURRENT.scope(handle, future).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn urgency_belongs_to_the_work_and_only_rises() {
        assert_eq!(UrgencyHandle::current().get(), Urgency::Interactive);
        let handle = UrgencyHandle::new(Urgency::Background);
        with_urgency(handle.clone(), async {
            assert_eq!(UrgencyHandle::current().get(), Urgency::Background);
            handle.raise(Urgency::Bulk);
            assert_eq!(UrgencyHandle::current().get(), Urgency::Background);
            handle.raise(Urgency::Interactive);
            assert_eq!(UrgencyHandle::current().get(), Urgency::Interactive);
        })
        .await;
        assert!(Urgency::ALL.is_sorted_by(|first, second| first > second));
    }
}
