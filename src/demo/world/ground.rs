//! Rows that are made when they are looked at: a million documents in the memory of a few folders.
//!
//! A row here is a pure function of the seed and its index. [`State`](super::State) lays what was changed over it.
//! Documents of a folder, and the folders in a folder, have indexes in a row, so a listing is a range.

mod identity;
mod names;
mod tree;
mod versions;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::demo::seed::mix;
use crate::model::{Guid, Timestamp};

use super::Access;
use super::rows::{Content, DocumentClass, DocumentRow, FolderRow, TimeStyle, WorkflowState};

use self::identity::Identity;
use self::tree::Tree;
use self::versions::Versions;

/// The most documents whose GUIDs can all begin differently, superseded versions included.
pub(in crate::demo) const MOST_ROWS: u32 = 1 << 24;

/// One document in so many is of 1 to 5 GiB: seven of a million.
const HUGE_EVERY: u32 = 131_072;
/// The first huge one; few enough that a world of five thousand documents has one.
const HUGE_FIRST: u32 = 4_099;
const GIB: u64 = 1 << 30;
/// Sizes double this many times from [`SMALLEST`], each step as likely: up to 64 MiB.
const DOUBLINGS: u64 = 20;
const SMALLEST: u64 = 64;
/// One document in so many has a file of no bytes.
const EMPTY_EVERY: u64 = 200;
/// Minutes in about four years: how old a row can be.
const OLDEST: u64 = 2_100_000;

/// Who made it all.
const PEOPLE: [&str; 6] = [
    "m.keller",
    "a.osei",
    "j.lindqvist",
    "r.duarte",
    "s.mccabe",
    "t.okafor",
];

/// Where the documents lie.
enum Plan {
    /// In a tree of folders that are made, too.
    Tree(Tree),
    /// All in this folder, which is stored.
    Crowd(Guid),
}

/// Rows made on demand.
pub(in crate::demo) struct Ground {
    seed: u64,
    plan: Plan,
    identity: Identity,
    versions: Versions,
    present: Timestamp,
}

impl Ground {
    /// A tree of this many folders and active documents, with superseded versions besides.
    ///
    /// More than [`MOST_ROWS`] documents cannot be told apart by their bytes and are left out; near that number
    /// fewer have superseded versions.
    pub(in crate::demo) fn tree(seed: u64, folders: usize, documents: usize, present: Timestamp) -> Self {
        let most = usize::try_from(MOST_ROWS).expect("24 bits fit an address");
        let number = |count: usize| u32::try_from(count.min(most)).expect("at most 2^24");
        let documents = number(documents);
        let tree = Tree::grow(seed, number(folders.max(1)), documents);
        Self {
            seed,
            plan: Plan::Tree(tree),
            identity: Identity::new(seed),
            versions: Versions::new(documents),
            present,
        }
    }

    /// So many documents, all in one folder, in one version each.
    pub(in crate::demo) fn crowd(seed: u64, folder: Guid, documents: u32, present: Timestamp) -> Self {
        Self {
            seed,
            plan: Plan::Crowd(folder),
            identity: Identity::new(seed),
            versions: Versions::none(documents.min(MOST_ROWS)),
            present,
        }
    }

    pub(super) fn folder_count(&self) -> u32 {
        match &self.plan {
            Plan::Tree(tree) => tree.len(),
            Plan::Crowd(_) => 0,
        }
    }

    /// Documents, superseded versions included.
    pub(super) fn document_count(&self) -> u32 {
        self.versions.rows()
    }

    pub(super) fn folder_index(&self, guid: Guid) -> Option<u32> {
        self.identity
            .folder_index(guid)
            .filter(|index| *index < self.folder_count())
    }

    pub(super) fn document_index(&self, guid: Guid) -> Option<u32> {
        self.identity
            .document_index(guid)
            .filter(|index| *index < self.document_count())
    }

    pub(super) fn folder_guid(&self, index: u32) -> Guid {
        self.identity.folder(index)
    }

    /// The GUID of a document; of one to come, where `index` is beyond those there are. `None` where no beginning
    /// of a GUID is left.
    pub(super) fn document_guid(&self, index: u32) -> Option<Guid> {
        (index < MOST_ROWS).then(|| self.identity.document(index))
    }

    /// The folder a folder is in.
    pub(super) fn parent(&self, index: u32) -> Option<Guid> {
        match &self.plan {
            Plan::Tree(tree) => tree.parent(index).map(|parent| self.folder_guid(parent)),
            Plan::Crowd(_) => None,
        }
    }

    /// The folders made in this folder (`None`: the roots), in the server's own order.
    pub(super) fn folders_in(&self, parent: Option<Guid>) -> Range<u32> {
        let Plan::Tree(tree) = &self.plan else {
            return 0..0;
        };
        match parent {
            None => tree.roots(),
            Some(guid) => self.folder_index(guid).map_or(0..0, |index| tree.children(index)),
        }
    }

    /// The documents made in this folder, every version before the next one, in the server's own order.
    pub(super) fn documents_in(&self, folder: Guid) -> impl Iterator<Item = u32> + use<> {
        let slots = match &self.plan {
            Plan::Tree(tree) => self.folder_index(folder).map_or(0..0, |index| tree.slots(index)),
            Plan::Crowd(here) if *here == folder => 0..self.versions.slots(),
            Plan::Crowd(_) => 0..0,
        };
        self.rows_of(slots)
    }

    /// Every document in order of creation: as its folder lists it, folder by folder.
    pub(super) fn documents(&self) -> impl Iterator<Item = u32> + use<> {
        self.rows_of(0..self.versions.slots())
    }

    fn rows_of(&self, slots: Range<u32>) -> impl Iterator<Item = u32> + use<> {
        let versions = self.versions;
        slots.flat_map(move |slot| versions.superseded(slot).chain([slot]))
    }

    pub(super) fn folder_row(&self, index: u32) -> FolderRow {
        let noise = mix(self.seed ^ mix(u64::from(index) | 1 << 40));
        let (name, work_area) = match &self.plan {
            Plan::Tree(tree) => {
                let depth = tree.depth(index);
                (names::folder(noise, depth, tree.ordinal(index)), depth == 0)
            }
            Plan::Crowd(_) => (String::new(), false),
        };
        let created = self.ago(1_000_000 + noise % OLDEST);
        FolderRow {
            guid: self.folder_guid(index),
            parent: self.parent(index),
            name,
            description: String::new(),
            work_area,
            connected: None,
            created,
            updated: self.ago(noise % 1_000_000),
            access: Access::Full,
            serial: 0,
        }
    }

    pub(super) fn document_row(&self, index: u32) -> DocumentRow {
        let (slot, sequence) = self.versions.place(index);
        let newest = self.versions.newest(slot);
        let (folder, folder_number, number) = match &self.plan {
            Plan::Tree(tree) => {
                let folder = tree.folder_of(slot);
                let first = tree.slots(folder).start;
                (self.folder_guid(folder), folder, slot - first + 1)
            }
            Plan::Crowd(folder) => (*folder, 0, slot + 1),
        };
        let noise = mix(self.seed ^ mix(u64::from(slot) | 1 << 41));
        let version_noise = mix(noise ^ u64::from(sequence));
        let named = names::document(self.seed, folder_number, number, noise);
        let guid = self.identity.document(index);
        let original = self.versions.superseded(slot).next().unwrap_or(slot);
        let content = Content::oracle(guid, sequence, size(slot, sequence, version_noise));
        // An older version is older, by up to two weeks each.
        let age = 60 + noise % OLDEST + u64::from(newest - sequence) * 20_000;
        let changed = self.ago(age);
        let quirk = guid.as_bytes()[15];
        let state = usize::try_from(noise >> 20 & 3).expect("two bits");
        let author = usize::try_from(version_noise % 6).expect("one of six");
        DocumentRow {
            guid,
            folder,
            class: DocumentClass::Document,
            name: named.name,
            file_name: Some(named.file_name),
            description: String::new(),
            version: names::label(sequence),
            active: sequence == newest,
            listed_size: Some(content.size()),
            content,
            size_as_text: quirk.is_multiple_of(3),
            time_style: TimeStyle::of(quirk),
            created: changed,
            updated: changed,
            file_updated: Some(changed),
            author: PEOPLE[author],
            access: Access::Full,
            members: Vec::new(),
            replaced: 0,
            original: self.identity.document(original),
            sequence,
            edition: sequence,
            state: WorkflowState::ALL[state],
            checked_out_by: None,
            set_attributes: BTreeMap::new(),
            serial: 0,
        }
    }

    fn ago(&self, minutes: u64) -> Timestamp {
        let seconds = i64::try_from(minutes * 60).expect("a few years");
        self.present - jiff::SignedDuration::from_secs(seconds)
    }
}

/// Lengths as real ones spread: by magnitude, some of none, and a few that no memory should hold.
fn size(slot: u32, sequence: u32, noise: u64) -> u64 {
    if slot % HUGE_EVERY == HUGE_FIRST {
        return GIB + noise % (4 * GIB);
    }
    if noise.is_multiple_of(EMPTY_EVERY) {
        return 0;
    }
    let base = SMALLEST << (noise >> 8) % DOUBLINGS;
    base + (noise >> 16) % base + u64::from(sequence)
}

#[cfg(test)]
mod tests;
