//! What happens at the server: random changes, to documents whose bytes say which one they are, and in which edition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use pwfs::demo::{Access, ExpectedDocument, ExpectedFolder, InPlace, World};
use pwfs::model::{DocumentKind, Guid};

/// The folder that is copied.
pub const TOP: &str = "Story";
/// A folder beside it: what goes there has left, and what comes from there was known before.
pub const ELSEWHERE: &str = "Elsewhere";

/// The bytes of an edition of a document.
pub fn bytes_of(number: u32, edition: u32) -> Vec<u8> {
    let mut bytes = format!("document {number} edition {edition}\n").into_bytes();
    let length = bytes.len() + usize::try_from((number * 37 + edition * 101) % 3000).unwrap();
    while bytes.len() < length {
        bytes.push(u8::try_from((number + edition + u32::try_from(bytes.len()).unwrap()) % 251).unwrap());
    }
    bytes
}

/// Which edition of which document these bytes are; none where they are not all of it.
pub fn told_by(bytes: &[u8]) -> Option<(u32, u32)> {
    let line = std::str::from_utf8(bytes.split(|byte| *byte == b'\n').next()?).ok()?;
    let (number, edition) = line.strip_prefix("document ")?.split_once(" edition ")?;
    let (number, edition) = (number.parse().ok()?, edition.parse().ok()?);
    (bytes_of(number, edition) == bytes).then_some((number, edition))
}

/// The world of a seed, and what became of its documents.
pub struct Story {
    pub world: Arc<World>,
    pub random: Rng,
    top: Guid,
    elsewhere: Guid,
    /// Names and documents so far.
    count: u32,
    /// How often something changed.
    pub changes: usize,
    /// The number of every GUID that a document ever had.
    numbers: BTreeMap<Guid, u32>,
    editions: BTreeMap<u32, u32>,
    /// A version has a GUID of its own.
    has_new_guids: bool,
    deleted: Vec<Guid>,
    closed: Vec<Guid>,
    /// Something that was refused may be read again. A running mount remembers the refusal for minutes.
    pub was_opened: bool,
    /// Numbers of documents that a copy may have lost for a while, or for ever: they were deleted, or moved.
    pub excused: BTreeSet<u32>,
}

/// The folders and documents of the story as they are now.
struct Scene {
    folders: Vec<ExpectedFolder>,
    documents: Vec<ExpectedDocument>,
}

impl Scene {
    /// True if a folder is `top` or below it.
    fn is_below(&self, folder: Guid, top: Guid) -> bool {
        let parent = |guid| {
            let found = self.folders.iter().find(|folder| folder.guid == guid);
            found.and_then(|folder| folder.parent)
        };
        std::iter::successors(Some(folder), |guid| parent(*guid)).any(|guid| guid == top)
    }
}

impl Story {
    pub fn new(world: Arc<World>, seed: u64) -> Self {
        let [top, elsewhere] = [TOP, ELSEWHERE].map(|name| world.add_folder(None, name).unwrap());
        let mut story = Self {
            world,
            random: Rng::with_seed(seed),
            top,
            elsewhere,
            count: 0,
            changes: 0,
            numbers: BTreeMap::new(),
            editions: BTreeMap::new(),
            has_new_guids: false,
            deleted: Vec::new(),
            closed: Vec::new(),
            was_opened: false,
            excused: BTreeSet::new(),
        };
        for (parent, folders) in [(top, 4), (elsewhere, 2)] {
            story.add_document(parent);
            for _ in 0..folders {
                let folder = story.add_folder(parent);
                story.add_document(folder);
                story.add_document(folder);
            }
        }
        story
    }

    fn scene(&self) -> Scene {
        let mut scene = Scene {
            folders: self.world.folders(),
            documents: self.world.documents(),
        };
        let tops = [self.top, self.elsewhere];
        let of_story: BTreeSet<Guid> = scene
            .folders
            .iter()
            .map(|folder| folder.guid)
            .filter(|guid| tops.iter().any(|top| scene.is_below(*guid, *top)))
            .collect();
        scene.folders.retain(|folder| of_story.contains(&folder.guid));
        scene
            .documents
            .retain(|document| document.active && of_story.contains(&document.folder_guid));
        scene
    }

    /// What the copy should hold: every document with a file that the account sees below the top, with its number and
    /// edition. False beside it where the account may not read it: an older copy may be there, or none.
    pub fn expected(&self) -> BTreeMap<Guid, (u32, u32, bool)> {
        let scene = self.scene();
        let seen = scene.documents.iter().filter(|document| {
            document.listed
                && document.kind == DocumentKind::File
                && scene.is_below(document.folder_guid, self.top)
        });
        seen.map(|document| {
            let content = self.world.content(document.guid).unwrap();
            let (number, edition) = told_by(&content).unwrap();
            (document.guid, (number, edition, document.readable))
        })
        .collect()
    }

    /// The number of the document that has, or had, this GUID.
    pub fn number_of(&self, guid: Guid) -> Option<u32> {
        self.numbers.get(&guid).copied()
    }

    fn new_name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-{}", self.count)
    }

    fn add_folder(&mut self, parent: Guid) -> Guid {
        let name = self.new_name("folder");
        self.world.add_folder(Some(parent), &name).unwrap()
    }

    fn add_document(&mut self, folder: Guid) {
        let name = self.new_name("doc") + ".txt";
        let number = self.count;
        let document = self.world.add_document(folder, &name, bytes_of(number, 0));
        self.numbers.insert(document.unwrap(), number);
        self.editions.insert(number, 0);
    }

    /// The bytes of a document's next edition.
    fn next_edition(&mut self, document: Guid) -> Vec<u8> {
        let number = self.numbers[&document];
        let edition = self.editions.get_mut(&number).unwrap();
        *edition += 1;
        bytes_of(number, *edition)
    }

    fn excuse(&mut self, document: Guid) {
        self.excused.insert(self.numbers[&document]);
    }

    fn excuse_below(&mut self, scene: &Scene, folder: Guid) {
        for document in &scene.documents {
            if scene.is_below(document.folder_guid, folder) {
                self.excuse(document.guid);
            }
        }
    }

    /// One change at the server.
    pub fn change(&mut self) {
        while !self.try_to_change() {}
        self.changes += 1;
    }

    /// One change, or nothing where it does not fit.
    fn try_to_change(&mut self) -> bool {
        let scene = self.scene();
        let world = Arc::clone(&self.world);
        let any_folder = self.random.choice(&scene.folders).unwrap().guid;
        let is_inner = |folder: &&ExpectedFolder| folder.guid != self.top && folder.guid != self.elsewhere;
        let inner: Vec<Guid> = scene
            .folders
            .iter()
            .filter(is_inner)
            .map(|folder| folder.guid)
            .collect();
        let folder = self.random.choice(&inner).copied();
        let document = self.random.choice(&scene.documents).cloned();
        match (self.random.u8(..29), document, folder) {
            (0..=4, ..) => {
                self.add_document(any_folder);
                true
            }
            (5 | 6, Some(document), _) => {
                self.excuse(document.guid);
                self.deleted.push(document.guid);
                world.delete_document(document.guid).is_ok()
            }
            (7, Some(document), _) => {
                let name = self.new_name("renamed") + ".txt";
                world.rename_document(document.guid, &name).is_ok()
            }
            (8 | 9, Some(document), _) => {
                let beside = |other: &&ExpectedDocument| {
                    other.folder_guid == document.folder_guid && other.guid != document.guid
                };
                let others: Vec<Guid> = scene
                    .documents
                    .iter()
                    .filter(beside)
                    .map(|other| other.guid)
                    .collect();
                let Some(other) = self.random.choice(&others).copied() else {
                    return false;
                };
                if self.has_new_guids {
                    // Of a version before that gave way meanwhile, whoever has its name now is taken for the next one.
                    self.excuse(document.guid);
                    self.excuse(other);
                }
                world.swap_names(document.guid, other).is_ok()
            }
            (10..=12, Some(document), _) => {
                self.excuse(document.guid);
                let to = self.somewhere(&scene, document.folder_guid);
                to != document.folder_guid && world.move_document(document.guid, to).is_ok()
            }
            (13..=15, Some(document), _) if document.kind == DocumentKind::File => {
                let bytes = self.next_edition(document.guid);
                let number = self.numbers[&document.guid];
                let new = world.new_version(document.guid, bytes).unwrap();
                self.has_new_guids |= new != document.guid;
                self.numbers.insert(new, number);
                true
            }
            (16 | 17, Some(document), _) if document.kind == DocumentKind::File => {
                let bytes = self.next_edition(document.guid);
                world
                    .replace_in_place(document.guid, bytes, InPlace::Listed)
                    .is_ok()
            }
            (18, Some(document), _) => world.edit_description(document.guid, "edited").is_ok(),
            (19, ..) => {
                let new = self.add_folder(any_folder);
                self.add_document(new);
                true
            }
            (20, _, Some(folder)) => {
                let name = self.new_name("renamed");
                world.rename_folder(folder, &name).is_ok()
            }
            (21, _, Some(folder)) => {
                let other = *self.random.choice(&inner).unwrap();
                folder != other && world.swap_names(folder, other).is_ok()
            }
            (22 | 23, _, Some(folder)) => {
                let to = self.somewhere(&scene, folder);
                let fits = !scene.is_below(to, folder);
                if fits {
                    self.excuse_below(&scene, folder);
                }
                fits && world.move_folder(folder, Some(to)).is_ok()
            }
            (24, _, Some(folder)) if inner.len() > 4 => {
                self.excuse_below(&scene, folder);
                self.deleted.push(folder);
                world.delete_folder(folder).is_ok()
            }
            (25, ..) => self.undelete(),
            (26, document, folder) => {
                let guid = if self.random.u8(..3) == 0 {
                    folder
                } else {
                    document.map(|document| document.guid)
                };
                let access = if self.random.bool() {
                    Access::SeeOnly
                } else {
                    Access::Hidden
                };
                self.closed.extend(guid);
                guid.is_some_and(|guid| world.set_access(guid, access).is_ok())
            }
            (27, ..) => self.open(),
            (28, document, _) => self.lose_or_give_a_file(any_folder, document.as_ref()),
            _ => false,
        }
    }

    /// Where something goes that is in `folder`, or is it: anywhere, and half of the time out of what is copied or into it.
    fn somewhere(&mut self, scene: &Scene, folder: Guid) -> Guid {
        let is_inside = scene.is_below(folder, self.top);
        let crosses = self.random.bool();
        let fits = |other: &&ExpectedFolder| !crosses || scene.is_below(other.guid, self.top) != is_inside;
        let fitting: Vec<Guid> = scene
            .folders
            .iter()
            .filter(fits)
            .map(|other| other.guid)
            .collect();
        *self.random.choice(&fitting).unwrap()
    }

    fn undelete(&mut self) -> bool {
        if self.deleted.is_empty() {
            return false;
        }
        let guid = self.deleted.swap_remove(self.random.usize(..self.deleted.len()));
        self.world.undelete(guid).is_ok()
    }

    /// Gives back a right that was taken away.
    fn open(&mut self) -> bool {
        if self.closed.is_empty() {
            return false;
        }
        self.was_opened = true;
        let guid = self.closed.swap_remove(self.random.usize(..self.closed.len()));
        self.world.grant(guid).is_ok()
    }

    fn lose_or_give_a_file(&mut self, folder: Guid, document: Option<&ExpectedDocument>) -> bool {
        match document {
            Some(document) if document.kind == DocumentKind::File => {
                self.excuse(document.guid);
                self.world.lose_file(document.guid).is_ok()
            }
            Some(document) => {
                let name = self.new_name("given") + ".txt";
                let bytes = self.next_edition(document.guid);
                self.world.give_file(document.guid, &name, bytes).is_ok()
            }
            None => {
                let name = self.new_name("idea");
                let guid = self.world.add_placeholder(folder, &name).unwrap();
                self.numbers.insert(guid, self.count);
                self.editions.insert(self.count, 0);
                true
            }
        }
    }
}
