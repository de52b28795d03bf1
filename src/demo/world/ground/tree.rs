//! The shape of a made tree: two numbers a folder, so fifty thousand folders are four hundred kilobytes.
//!
//! Folders are numbered level by level. Fan-out and filling are drawn from the seed: many folders without folders,
//! some with one, a few with dozens; most with a few dozen documents, some with none, a few with thousands.

use std::ops::Range;

use crate::demo::seed::mix;

/// Folders per top folder, about; top folders are as many as this makes, within [`ROOTS`].
const FOLDERS_PER_ROOT: u32 = 1_000;
const ROOTS: Range<u32> = 4..41;

/// Which folder is in which, and how many documents each holds.
pub(super) struct Tree {
    roots: u32,
    /// The first child of each folder, and at the end the number of folders.
    first_child: Vec<u32>,
    /// The first document of each folder, and at the end the number of documents.
    first_slot: Vec<u32>,
    /// The first folder of each level.
    levels: Vec<u32>,
}

impl Tree {
    /// Draws a tree of exactly so many folders, at least one, and documents.
    pub(super) fn grow(seed: u64, folders: u32, documents: u32) -> Self {
        let roots = (folders / FOLDERS_PER_ROOT)
            .clamp(ROOTS.start, ROOTS.end - 1)
            .min(folders);
        let room = usize::try_from(folders).expect("24 bits fit an address") + 1;
        let mut first_child = Vec::with_capacity(room);
        let mut levels = vec![0];
        let mut level_end = roots;
        let mut given = roots;
        for index in 0..folders {
            if index == level_end {
                levels.push(index);
                level_end = given;
            }
            first_child.push(given);
            let noise = mix(seed ^ mix(u64::from(index) | 1 << 42));
            // The last folder before the tree would end too small has some whatever was drawn.
            let least = u32::from(given == index + 1) * 4;
            given = (given + fan_out(noise).max(least)).min(folders);
        }
        first_child.push(folders);
        Self {
            roots,
            first_child,
            first_slot: fill(seed, folders, documents, roots),
            levels,
        }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.first_child.len() - 1).expect("grown from 32 bits")
    }

    pub(super) fn roots(&self) -> Range<u32> {
        0..self.roots
    }

    pub(super) fn children(&self, folder: u32) -> Range<u32> {
        range(&self.first_child, folder)
    }

    /// The documents of a folder.
    pub(super) fn slots(&self, folder: u32) -> Range<u32> {
        range(&self.first_slot, folder)
    }

    pub(super) fn parent(&self, folder: u32) -> Option<u32> {
        (folder >= self.roots).then(|| owner(&self.first_child, folder))
    }

    /// The folder a document is in.
    pub(super) fn folder_of(&self, slot: u32) -> u32 {
        owner(&self.first_slot, slot)
    }

    /// Folders above this one.
    pub(super) fn depth(&self, folder: u32) -> usize {
        self.levels.partition_point(|first| *first <= folder) - 1
    }

    /// Its number among its siblings, from 0.
    pub(super) fn ordinal(&self, folder: u32) -> u32 {
        folder
            - self
                .parent(folder)
                .map_or(0, |parent| self.children(parent).start)
    }
}

fn range(firsts: &[u32], folder: u32) -> Range<u32> {
    let at = usize::try_from(folder).expect("24 bits fit an address");
    firsts[at]..firsts[at + 1]
}

/// Whose range holds this: the last folder that begins at it or before, for the empty ones end where they begin.
fn owner(firsts: &[u32], index: u32) -> u32 {
    let behind = firsts.partition_point(|first| *first <= index);
    u32::try_from(behind - 1).expect("grown from 32 bits")
}

/// Folders in a folder: about four on average, so that 50 000 make seven or eight levels.
fn fan_out(noise: u64) -> u32 {
    let draw = u32::try_from(noise >> 40).expect("24 bits");
    match noise % 100 {
        0..30 => 0,
        30..55 => 1,
        55..88 => 2 + draw % 5,
        88..98 => 8 + draw % 13,
        _ => 25 + draw % 40,
    }
}

/// Deals the documents out by drawn weights; top folders hold folders only, where there are others.
fn fill(seed: u64, folders: u32, documents: u32, roots: u32) -> Vec<u32> {
    let bare = if folders > roots { roots } else { 0 };
    let mut total = 0_u64;
    let mut sums = Vec::with_capacity(usize::try_from(folders).expect("24 bits fit an address") + 1);
    for index in 0..folders {
        sums.push(total);
        let noise = mix(seed ^ mix(u64::from(index) | 1 << 43));
        if index >= bare {
            total += weight(noise).max(u64::from(index + 1 == folders));
        }
    }
    sums.push(total);
    let share = |sum: u64| u32::try_from(u128::from(sum) * u128::from(documents) / u128::from(total));
    sums.into_iter()
        .map(|sum| share(sum).expect("at most all documents"))
        .collect()
}

fn weight(noise: u64) -> u64 {
    let draw = noise >> 40;
    match noise % 2_000 {
        0..500 => 0,
        500..1_700 => 1 + draw % 40,
        1_700..1_960 => 50 + draw % 250,
        1_960..1_999 => 300 + draw % 1_700,
        _ => 10_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_any_size_hang_together() {
        for (folders, documents) in [(1, 0), (1, 5), (3, 7), (5, 1), (60, 400), (50_000, 1_000_000)] {
            let tree = Tree::grow(3, folders, documents);
            assert_eq!(tree.len(), folders);
            let mut child = tree.roots().end;
            let mut slot = 0;
            for folder in 0..folders {
                assert_eq!(tree.children(folder).start, child, "folder {folder} of {folders}");
                for inside in tree.children(folder) {
                    assert_eq!(tree.parent(inside), Some(folder));
                    assert_eq!(tree.depth(inside), tree.depth(folder) + 1);
                    assert!(inside > folder);
                }
                child = tree.children(folder).end;
                assert_eq!(tree.slots(folder).start, slot);
                slot = tree.slots(folder).end;
            }
            assert_eq!((child, slot), (folders, documents));
            for slot in (0..documents).step_by(61) {
                assert!(tree.slots(tree.folder_of(slot)).contains(&slot));
            }
        }
    }

    #[test]
    fn a_large_tree_is_deep_and_some_folders_are_crowded() {
        let tree = Tree::grow(1, 50_000, 1_000_000);
        let deepest = (0..50_000).map(|folder| tree.depth(folder)).max().unwrap();
        assert!((4..=9).contains(&deepest), "{deepest} levels below the top");
        let counts: Vec<_> = (0..50_000).map(|folder| tree.slots(folder).len()).collect();
        let crowded = counts.iter().filter(|count| **count > 1_000).count();
        assert!((5..500).contains(&crowded), "{crowded} crowded folders");
        assert!(counts.iter().filter(|count| **count == 0).count() > 5_000);
        assert!(*counts.iter().max().unwrap() < 20_000);
    }
}
