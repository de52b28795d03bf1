//! Folders below which everything is asked for together, before their children are listed one by one.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::model::{DirId, FolderId};
use crate::remote::Urgency;
use crate::store::StoredListing;
use crate::tree::{Together, Tree, TreeError};

/// So many rows are taken of one question at most. A row takes about a kilobyte of memory while it is looked at: ten
/// megabytes, and forty with all that are under way. That something is larger costs twenty pages to find out, as much as
/// ten folders by themselves, and folders of ten thousand rows are more than that nearly always.
const MOST: usize = 10_000;

/// As many such questions are under way at once.
const AT_ONCE: usize = 4;

/// So many children that are not known make it worth a question.
const LEAST: usize = 2;

/// A folder that was listed just now, and its children, which wait.
pub(super) struct Plot {
    pub(super) folder: FolderId,
    pub(super) stored: Arc<StoredListing>,
    pub(super) children: Vec<DirId>,
}

/// What became of a question.
pub(super) struct Planted {
    children: Vec<DirId>,
    outcome: Result<Together, TreeError>,
}

impl Plot {
    /// Asks for everything below.
    pub(super) fn plant(self, tree: &Tree) -> BoxFuture<'static, Planted> {
        let tree = tree.clone();
        Box::pin(async move {
            let outcome = tree.plant(self.folder, &self.stored, MOST, Urgency::Bulk).await;
            Planted {
                children: self.children,
                outcome,
            }
        })
    }
}

/// The folders that wait for their turn, and what came of those before.
#[derive(Default)]
pub(super) struct Plots {
    waiting: VecDeque<Plot>,
    /// What questions brought and nobody has looked at yet.
    planted: HashSet<DirId>,
    /// The server does not do it.
    is_in_vain: bool,
}

impl Plots {
    /// Notes a folder that was listed just now; its children, where they need not wait.
    pub(super) fn add(&mut self, plot: Plot) -> Vec<DirId> {
        if self.is_in_vain || plot.children.len() < LEAST {
            return plot.children;
        }
        self.waiting.push_back(plot);
        Vec::new()
    }

    /// The next one to ask for, while so many are under way.
    pub(super) fn next(&mut self, under_way: usize) -> Option<Plot> {
        if under_way < AT_ONCE {
            self.waiting.pop_front()
        } else {
            None
        }
    }

    /// Notes what became of a question; the folders that need not wait any more.
    pub(super) fn note(&mut self, planted: Planted) -> Vec<DirId> {
        let mut freed = planted.children;
        match planted.outcome {
            Ok(Together::Folders(folders)) => self.planted.extend(folders.into_iter().map(DirId::Folder)),
            // Each of them is tried in its turn.
            Ok(Together::TooLarge | Together::Unsettled) => {}
            Ok(Together::NotSupported) => {
                self.is_in_vain = true;
                freed.extend(self.clear());
            }
            // They meet it themselves.
            Err(error) => tracing::debug!(%error, "a subtree could not be asked for"),
        }
        freed
    }

    /// True once for each folder that a question brought.
    pub(super) fn brought(&mut self, dir: DirId) -> bool {
        self.planted.remove(&dir)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everything that waits.
    pub(super) fn clear(&mut self) -> Vec<DirId> {
        self.waiting.drain(..).flat_map(|plot| plot.children).collect()
    }
}
