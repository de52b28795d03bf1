//! Listings that nobody waits for: what the refresher, a crawl and a walker's next level ask for.

use std::sync::Arc;
use std::time::Duration;

use super::usage::Usage;
use super::{Inner, Tree, TreeError};
use crate::catalog::DirKey;
use crate::clock::{Clock, Moment};
use crate::model::DirId;
use crate::remote::Urgency;
use crate::store::StoredListing;
use crate::store::listing::Difference;

/// A listing that is young enough, and what it took.
#[derive(Debug, Clone)]
pub struct Freshened {
    /// The listing.
    pub stored: Arc<StoredListing>,
    /// True if the server was asked.
    pub asked: bool,
    /// True if the answer was another one than the listing before.
    pub changed: bool,
}

impl Tree {
    /// The listing of `dir`, listed anew if it is older than `most`; a caller who wants it meanwhile has it raised to
    /// their own urgency.
    ///
    /// Waits as long as it takes: for the budget, and for the tries of a listing, each of which has an end.
    ///
    /// # Errors
    /// A refusal that is remembered, or why the listing failed. Nothing stands in for it.
    pub async fn freshen(
        &self,
        dir: DirId,
        most: Duration,
        urgency: Urgency,
    ) -> Result<Freshened, TreeError> {
        self.0.recall(dir).await;
        let held = self.0.store.get(dir);
        let _let_go = (urgency <= Urgency::Background).then(|| LetGo(&self.0, dir));
        if let Some(stored) = held
            .as_ref()
            .filter(|stored| self.0.clock.now().since(stored.arrival.fetched) <= most)
        {
            return Ok(Freshened {
                stored: stored.clone(),
                asked: false,
                changed: false,
            });
        }
        if let Some(denial) = self.denial(dir) {
            return Err(denial.into());
        }
        let stored = self.flight(dir, false, urgency).result().await?;
        let changed = held.is_none_or(|held| {
            !Arc::ptr_eq(&held.listing, &stored.listing)
                && Difference::between(&held.listing, &stored.listing) != Difference::default()
        });
        Ok(Freshened {
            stored,
            asked: true,
            changed,
        })
    }

    /// When the server was last asked for what memory holds of `dir`.
    pub fn fetched(&self, dir: DirId) -> Option<Moment> {
        self.0.store.get(dir).map(|stored| stored.arrival.fetched)
    }

    /// Which membership memory holds of `dir`.
    pub fn generation(&self, dir: DirId) -> Option<u16> {
        self.0.store.get(dir).map(|stored| stored.listing.generation)
    }

    /// What was asked for lately.
    pub fn usage(&self) -> &Usage {
        &self.0.usage
    }

    /// The clock its ages are told by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// No answer is older while the server answers; `None` where any age will do.
    pub fn metadata_ttl(&self) -> Option<Duration> {
        self.0.config.metadata_ttl
    }

    /// How long a refusal is remembered.
    pub fn permission_ttl(&self) -> Duration {
        self.0.config.permission_ttl
    }

    /// What the mount's own root is in the catalog.
    pub fn root_key(&self) -> DirKey {
        self.0.root_key
    }

    /// Ends when what failed a moment ago was forgotten since the last time: the network or the login came back.
    pub async fn forgave(&self) {
        self.0.forgave.notified().await;
    }
}

/// Lets a listing that nobody asked for make room where the kernel knows nothing of its directory: a crawl or the refresher
/// would else fill memory with what is kept elsewhere.
struct LetGo<'a>(&'a Inner, DirId);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        let Self(inner, dir) = *self;
        if inner.config.release_forgotten && dir != DirId::Root && inner.held_inodes(dir).is_empty() {
            inner.store.release(dir);
        }
    }
}
