//! The rows of the demo datasource and their indexes.
//!
//! Rows are stored, or made on demand by a [`Ground`] below: a stored row hides the made one of its GUID, a stored
//! list of children the made one of its folder, and what is gone is remembered. Whatever touches a made row goes
//! through here, so that the two never disagree:
//!
//! * a folder's list is stored as soon as something comes into it or leaves it, and not before;
//! * a made row is in its made folder's list, in a stored list, or in `gone_…`.

mod bin;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::demo::seed::Dice;
use crate::model::{Guid, Timestamp};

use self::bin::Bin;
use super::Access;
use super::ground::Ground;
use super::rights::Rights;
use super::rows::{Content, DocumentClass, DocumentRow, FolderRow, TimeStyle, WorkflowState};

/// The moment the demo world stands at before anything changes; every made date lies before it.
const PRESENT: &str = "2026-06-01T06:00:00Z";
/// How far a change moves the world's clock, so that no two changes share a time stamp.
const TICK_SECONDS: i64 = 61;

/// A folder to be added.
#[derive(Debug, Clone)]
pub(in crate::demo) struct NewFolder<'a> {
    pub(in crate::demo) parent: Option<Guid>,
    pub(in crate::demo) name: &'a str,
    pub(in crate::demo) description: &'a str,
    pub(in crate::demo) work_area: bool,
}

/// A document to be added.
#[derive(Debug, Clone)]
pub(in crate::demo) struct NewDocument {
    pub(in crate::demo) guid: Guid,
    pub(in crate::demo) folder: Guid,
    pub(in crate::demo) class: DocumentClass,
    pub(in crate::demo) name: String,
    pub(in crate::demo) file_name: Option<String>,
    pub(in crate::demo) version: String,
    /// Versions made before this one.
    pub(in crate::demo) sequence: u32,
    /// The GUID of its first version; its own where there is no other.
    pub(in crate::demo) original: Guid,
    pub(in crate::demo) active: bool,
    pub(in crate::demo) content: Content,
    pub(in crate::demo) author: &'static str,
    pub(in crate::demo) changed: Timestamp,
}

/// All rows, with the indexes that keep a listing's cost that of its folder.
pub(in crate::demo) struct State {
    ground: Option<Ground>,
    folders: HashMap<Guid, FolderRow>,
    documents: HashMap<Guid, DocumentRow>,
    /// Made folders and documents that were deleted.
    gone_folders: HashSet<Guid>,
    gone_documents: HashSet<Guid>,
    /// Child folders by parent (`None`: the roots), in the server's own order.
    child_folders: HashMap<Option<Guid>, Vec<Guid>>,
    /// Documents by folder, in the server's own order.
    child_documents: HashMap<Guid, Vec<Guid>>,
    folder_count: usize,
    document_count: usize,
    serial: u64,
    /// Documents that took their GUID from the ground after it was laid.
    newcomers: u32,
    clock: Timestamp,
    revision: u64,
    pub(in crate::demo) dice: Dice,
    bin: Bin,
    /// What single accounts may do, where that differs from what the row says.
    rights: HashMap<Box<str>, Rights>,
    /// Folders hidden from everybody.
    hidden: HashSet<Guid>,
    /// When something directly in a folder last changed.
    stirred: HashMap<Guid, Timestamp>,
}

impl State {
    pub(in crate::demo) fn new(seed: u64) -> Self {
        Self {
            ground: None,
            folders: HashMap::new(),
            documents: HashMap::new(),
            gone_folders: HashSet::new(),
            gone_documents: HashSet::new(),
            child_folders: HashMap::new(),
            child_documents: HashMap::new(),
            folder_count: 0,
            document_count: 0,
            serial: 0,
            newcomers: 0,
            clock: PRESENT.parse().expect("a literal time stamp"),
            revision: 0,
            dice: Dice::new(seed),
            bin: Bin::default(),
            rights: HashMap::new(),
            hidden: HashSet::new(),
            stirred: HashMap::new(),
        }
    }

    /// Puts made rows below the stored ones; once, and before any of them is looked at.
    pub(in crate::demo) fn lay(&mut self, ground: Ground) {
        let size = |count: u32| usize::try_from(count).expect("24 bits fit an address");
        self.folder_count += size(ground.folder_count());
        self.document_count += size(ground.document_count());
        self.ground = Some(ground);
    }

    pub(in crate::demo) fn now(&self) -> Timestamp {
        self.clock
    }

    /// Moves the clock on and tells the time.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.clock += jiff::SignedDuration::from_secs(TICK_SECONDS);
        self.clock
    }

    /// How many changes there were.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn count_change(&mut self) {
        self.revision += 1;
    }

    /// A GUID for a new document; where rows are made, one that begins unlike theirs as long as there are such.
    pub(super) fn new_document_guid(&mut self) -> Guid {
        let free = self.ground.as_ref().and_then(|ground| {
            let index = ground.document_count().checked_add(self.newcomers)?;
            ground.document_guid(index)
        });
        self.newcomers += u32::from(free.is_some());
        free.unwrap_or_else(|| self.dice.guid())
    }

    pub(in crate::demo) fn add_folder(&mut self, new: &NewFolder<'_>, at: Timestamp) -> Guid {
        let guid = self.dice.guid();
        let serial = self.next_serial();
        self.put_folder(FolderRow {
            guid,
            parent: new.parent,
            name: new.name.to_owned(),
            description: new.description.to_owned(),
            work_area: new.work_area,
            connected: None,
            created: at,
            updated: at,
            access: Access::Full,
            serial,
        });
        guid
    }

    pub(in crate::demo) fn add_document(&mut self, new: NewDocument) -> Guid {
        let guid = new.guid;
        let quirk = guid.as_bytes()[15];
        let has_file = new.file_name.is_some();
        let serial = self.next_serial();
        self.put_document(DocumentRow {
            guid,
            folder: new.folder,
            class: new.class,
            name: new.name,
            file_name: new.file_name,
            description: String::new(),
            version: new.version,
            active: new.active,
            listed_size: has_file.then(|| new.content.size()),
            content: new.content,
            size_as_text: quirk.is_multiple_of(3),
            time_style: TimeStyle::of(quirk),
            created: new.changed,
            updated: new.changed,
            file_updated: has_file.then_some(new.changed),
            author: new.author,
            access: Access::Full,
            members: Vec::new(),
            replaced: 0,
            original: new.original,
            sequence: new.sequence,
            edition: new.sequence,
            state: WorkflowState::Wip,
            checked_out_by: None,
            set_attributes: BTreeMap::new(),
            serial,
        });
        guid
    }

    /// A copy of a row as a document of its own, still to be stored.
    pub(super) fn twin(&mut self, row: &DocumentRow) -> DocumentRow {
        DocumentRow {
            guid: self.new_document_guid(),
            serial: self.next_serial(),
            ..row.clone()
        }
    }

    /// Stores a row as the last of its folder.
    pub(super) fn put_document(&mut self, row: DocumentRow) {
        self.shelf(row.folder).push(row.guid);
        self.gone_documents.remove(&row.guid);
        self.documents.insert(row.guid, row);
        self.document_count += 1;
    }

    pub(super) fn take_document(&mut self, guid: Guid) -> Option<DocumentRow> {
        let folder = self.document_mut(guid)?.folder;
        self.shelf(folder).retain(|other| *other != guid);
        self.forget_document(guid)
    }

    /// Takes every document of a folder, in order.
    pub(super) fn take_documents_in(&mut self, folder: Guid) -> Vec<DocumentRow> {
        let guids = std::mem::take(self.shelf(folder));
        guids
            .into_iter()
            .filter_map(|guid| {
                self.document_mut(guid)?;
                self.forget_document(guid)
            })
            .collect()
    }

    fn forget_document(&mut self, guid: Guid) -> Option<DocumentRow> {
        let row = self.documents.remove(&guid)?;
        if self.made_document(guid).is_some() {
            self.gone_documents.insert(guid);
        }
        self.document_count -= 1;
        Some(row)
    }

    /// Stores a row as the last of its parent.
    pub(super) fn put_folder(&mut self, row: FolderRow) {
        self.branch(row.parent).push(row.guid);
        self.gone_folders.remove(&row.guid);
        if row.access == Access::Hidden {
            self.hidden.insert(row.guid);
        }
        self.folders.insert(row.guid, row);
        self.folder_count += 1;
    }

    pub(super) fn take_folder(&mut self, guid: Guid) -> Option<FolderRow> {
        let parent = self.folder_mut(guid)?.parent;
        self.branch(parent).retain(|other| *other != guid);
        let row = self.folders.remove(&guid)?;
        if self.made_folder(guid).is_some() {
            self.gone_folders.insert(guid);
        }
        self.hidden.remove(&guid);
        self.folder_count -= 1;
        Some(row)
    }

    /// The stored list of a folder's documents, made if there is none.
    fn shelf(&mut self, folder: Guid) -> &mut Vec<Guid> {
        let ground = self.ground.as_ref();
        self.child_documents.entry(folder).or_insert_with(|| {
            let made = ground.map(|ground| made_documents(ground, folder));
            made.into_iter().flatten().collect()
        })
    }

    /// The stored list of a folder's folders, made if there is none.
    fn branch(&mut self, parent: Option<Guid>) -> &mut Vec<Guid> {
        let ground = self.ground.as_ref();
        self.child_folders.entry(parent).or_insert_with(|| {
            let made = ground.map(|ground| made_folders(ground, parent));
            made.into_iter().flatten().collect()
        })
    }

    /// The ground and the index there, where a row of this GUID is made and was not deleted.
    fn made_document(&self, guid: Guid) -> Option<(&Ground, u32)> {
        let ground = self.ground.as_ref()?;
        let index = ground.document_index(guid)?;
        (!self.gone_documents.contains(&guid)).then_some((ground, index))
    }

    fn made_folder(&self, guid: Guid) -> Option<(&Ground, u32)> {
        let ground = self.ground.as_ref()?;
        let index = ground.folder_index(guid)?;
        (!self.gone_folders.contains(&guid)).then_some((ground, index))
    }

    pub(in crate::demo) fn folder(&self, guid: Guid) -> Option<Cow<'_, FolderRow>> {
        if let Some(row) = self.folders.get(&guid) {
            return Some(Cow::Borrowed(row));
        }
        let (ground, index) = self.made_folder(guid)?;
        Some(Cow::Owned(ground.folder_row(index)))
    }

    /// The row, stored if it was not. `access` is not changed here but by [`State::set_access`].
    pub(in crate::demo) fn folder_mut(&mut self, guid: Guid) -> Option<&mut FolderRow> {
        if !self.folders.contains_key(&guid) {
            let (ground, index) = self.made_folder(guid)?;
            let row = ground.folder_row(index);
            self.folders.insert(guid, row);
        }
        self.folders.get_mut(&guid)
    }

    pub(in crate::demo) fn document(&self, guid: Guid) -> Option<Cow<'_, DocumentRow>> {
        if let Some(row) = self.documents.get(&guid) {
            return Some(Cow::Borrowed(row));
        }
        let (ground, index) = self.made_document(guid)?;
        Some(Cow::Owned(ground.document_row(index)))
    }

    /// The row, stored if it was not.
    pub(in crate::demo) fn document_mut(&mut self, guid: Guid) -> Option<&mut DocumentRow> {
        if !self.documents.contains_key(&guid) {
            let (ground, index) = self.made_document(guid)?;
            let row = ground.document_row(index);
            self.documents.insert(guid, row);
        }
        self.documents.get_mut(&guid)
    }

    /// True where there is such a folder; cheaper than looking at it.
    pub(super) fn has_folder(&self, guid: Guid) -> bool {
        self.folders.contains_key(&guid) || self.made_folder(guid).is_some()
    }

    /// The folder a folder is in, without making its row; the outer `None`: there is no such folder.
    pub(super) fn parent_of(&self, guid: Guid) -> Option<Option<Guid>> {
        if let Some(row) = self.folders.get(&guid) {
            return Some(row.parent);
        }
        let (ground, index) = self.made_folder(guid)?;
        Some(ground.parent(index))
    }

    /// What the folder's row says everybody may do.
    pub(super) fn folder_access(&self, guid: Guid) -> Option<Access> {
        match self.folders.get(&guid) {
            Some(row) => Some(row.access),
            None => self.made_folder(guid).map(|_| Access::Full),
        }
    }

    pub(in crate::demo) fn folders_in(
        &self,
        parent: Option<Guid>,
    ) -> impl Iterator<Item = Cow<'_, FolderRow>> {
        let stored = self.child_folders.get(&parent);
        let ground = self.ground.as_ref().filter(|_| stored.is_none());
        let made = ground.map(|ground| made_folders(ground, parent));
        let guids = stored.into_iter().flatten().copied();
        guids
            .chain(made.into_iter().flatten())
            .filter_map(|guid| self.folder(guid))
    }

    pub(in crate::demo) fn documents_in(&self, folder: Guid) -> impl Iterator<Item = Cow<'_, DocumentRow>> {
        let stored = self.child_documents.get(&folder);
        let ground = self.ground.as_ref().filter(|_| stored.is_none());
        let made = ground.map(|ground| made_documents(ground, folder));
        let guids = stored.into_iter().flatten().copied();
        guids
            .chain(made.into_iter().flatten())
            .filter_map(|guid| self.document(guid))
    }

    /// Every folder, in order of creation, one at a time.
    pub(in crate::demo) fn all_folders(&self) -> impl Iterator<Item = Cow<'_, FolderRow>> {
        let ground = self.ground.as_ref();
        let made = ground.into_iter().flat_map(|ground| {
            let guids = (0..ground.folder_count()).map(|index| ground.folder_guid(index));
            guids.filter_map(|guid| self.folder(guid))
        });
        let mut added: Vec<_> = self.folders.values().collect();
        added.retain(|row| ground.is_none_or(|ground| ground.folder_index(row.guid).is_none()));
        added.sort_unstable_by_key(|row| row.serial);
        made.chain(added.into_iter().map(Cow::Borrowed))
    }

    /// Every document, in order of creation, one at a time.
    pub(in crate::demo) fn all_documents(&self) -> impl Iterator<Item = Cow<'_, DocumentRow>> {
        let ground = self.ground.as_ref();
        let made = ground.into_iter().flat_map(|ground| {
            let guids = ground.documents().filter_map(|index| ground.document_guid(index));
            guids.filter_map(|guid| self.document(guid))
        });
        let mut added: Vec<_> = self.documents.values().collect();
        added.retain(|row| ground.is_none_or(|ground| ground.document_index(row.guid).is_none()));
        added.sort_unstable_by_key(|row| row.serial);
        made.chain(added.into_iter().map(Cow::Borrowed))
    }

    pub(in crate::demo) fn folder_count(&self) -> usize {
        self.folder_count
    }

    pub(in crate::demo) fn document_count(&self) -> usize {
        self.document_count
    }

    pub(in crate::demo) fn folder_at(&self, path: &[&str]) -> Option<Guid> {
        let mut here = None;
        for name in path {
            here = Some(self.folders_in(here).find(|row| row.name == *name)?.guid);
        }
        here
    }

    /// Raw names from the root down to and including this folder.
    pub(in crate::demo) fn path_of(&self, folder: Guid) -> Vec<String> {
        let mut names: Vec<_> = self
            .lineage(folder)
            .map(|row| match row {
                Cow::Borrowed(row) => row.name.clone(),
                Cow::Owned(row) => row.name,
            })
            .collect();
        names.reverse();
        names
    }

    /// The folder, its parent, and so on up to the root.
    pub(in crate::demo) fn lineage(&self, folder: Guid) -> impl Iterator<Item = Cow<'_, FolderRow>> {
        std::iter::successors(self.folder(folder), |row| {
            row.parent.and_then(|parent| self.folder(parent))
        })
    }

    /// The GUIDs of the folder, its parent, and so on up to the root, without making their rows.
    pub(super) fn ancestry(&self, folder: Guid) -> impl Iterator<Item = Guid> {
        let first = self.has_folder(folder).then_some(folder);
        std::iter::successors(first, |here| self.parent_of(*here).flatten())
    }

    /// Sets what everybody may do with a folder or document who has no right of his own; false if there is none.
    pub(in crate::demo) fn set_access(&mut self, guid: Guid, access: Access) -> bool {
        if let Some(row) = self.folder_mut(guid) {
            row.access = access;
            if access == Access::Hidden {
                self.hidden.insert(guid);
            } else {
                self.hidden.remove(&guid);
            }
            return true;
        }
        self.document_mut(guid).map(|row| row.access = access).is_some()
    }

    /// Folders hidden from everybody.
    pub(super) fn hidden(&self) -> &HashSet<Guid> {
        &self.hidden
    }

    /// What an account may do, where that differs from what rows say.
    pub(super) fn rights(&self, account: &str) -> Option<&Rights> {
        self.rights.get(account).filter(|rights| !rights.is_empty())
    }

    /// Sets what one account may do with a folder or document; `None` leaves it to the row again.
    pub(in crate::demo) fn set_right(&mut self, account: &str, guid: Guid, access: Option<Access>) {
        let rights = self.rights.entry(account.into()).or_default();
        rights.set(guid, access);
    }

    /// Sets what one account may at most do with the documents of a folder, those to come as well.
    pub(in crate::demo) fn set_file_right(&mut self, account: &str, folder: Guid, access: Option<Access>) {
        let rights = self.rights.entry(account.into()).or_default();
        rights.set_files(folder, access);
    }

    /// Notes that something directly in a folder changed.
    pub(super) fn stir(&mut self, folder: Option<Guid>, at: Timestamp) {
        if let Some(folder) = folder {
            self.stirred.insert(folder, at);
        }
    }

    /// When something directly in a folder last changed; `None`: not since the start.
    pub(super) fn stirred(&self, folder: Guid) -> Option<Timestamp> {
        self.stirred.get(&folder).copied()
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

fn made_folders(ground: &Ground, parent: Option<Guid>) -> impl Iterator<Item = Guid> {
    ground.folders_in(parent).map(|index| ground.folder_guid(index))
}

fn made_documents(ground: &Ground, folder: Guid) -> impl Iterator<Item = Guid> {
    let rows = ground.documents_in(folder);
    rows.filter_map(|index| ground.document_guid(index))
}
