//! When a crawl began: kept in the catalog until it ends, so that one that was cut off is taken up again.

use std::time::Duration;

use super::Top;
use crate::clock::{BootId, Moment, Stamp};
use crate::model::Timestamp;
use crate::tree::Tree;

/// A crawl that was cut off is taken up again within this time; later, everything is listed anew.
const TAKEN_UP_WITHIN: Duration = Duration::from_hours(24);

/// When the crawl began: now, or before it was cut off.
pub(super) struct Beginning {
    pub(super) at: Moment,
    /// Under which name it is kept.
    key: String,
}

impl Beginning {
    pub(super) async fn find(tree: &Tree, tops: &[Top]) -> Self {
        let now = tree.clock().now();
        let mut dirs: Vec<String> = tops
            .iter()
            .map(|top| {
                crate::catalog::key_of(top.dir, tree.root_key())
                    .guid()
                    .to_string()
            })
            .collect();
        dirs.sort_unstable();
        let key = format!("crawl:{}", dirs.join(","));
        let (kept, at) = (key.clone(), Timestamp::now());
        let begun = on_catalog(tree, move |catalog| {
            if let Some(begun) = catalog
                .fact(&kept)?
                .and_then(|text| text.parse::<Timestamp>().ok())
            {
                return Ok(Some(begun));
            }
            catalog.set_fact(&kept, &at.to_string())?;
            Ok(None)
        })
        .await
        .flatten();
        // A moment of another run of the machine, as far as the clock is concerned: it goes by the wall clock.
        let stamp = |wall| Stamp {
            wall,
            boot: BootId([0xff; 16]),
            moment: Duration::ZERO,
        };
        let earlier = begun.map(|wall| tree.clock().moment(&stamp(wall)));
        match earlier.filter(|earlier| now.since(*earlier) < TAKEN_UP_WITHIN) {
            Some(at) => Self { at, key },
            None => {
                if begun.is_some() {
                    let kept = key.clone();
                    on_catalog(tree, move |catalog| catalog.set_fact(&kept, &at.to_string())).await;
                }
                Self { at: now, key }
            }
        }
    }

    /// It came to its end.
    pub(super) async fn forget(&self, tree: &Tree) {
        let key = self.key.clone();
        on_catalog(tree, move |catalog| catalog.set_fact(&key, "")).await;
    }
}

/// Does something with the catalog, where there is one and it works.
async fn on_catalog<T: Send + 'static>(
    tree: &Tree,
    work: impl FnOnce(&crate::catalog::Catalog) -> Result<T, crate::catalog::CatalogError> + Send + 'static,
) -> Option<T> {
    let catalog = tree.catalog()?.clone();
    match tokio::task::spawn_blocking(move || work(&catalog)).await.ok()? {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::debug!(%error, "a crawl cannot be noted; it would begin anew");
            None
        }
    }
}
