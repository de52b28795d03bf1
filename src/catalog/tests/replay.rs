//! Who replays the journal has the world, whatever happens to the world, to the processes and to the disk.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::catalog::codec::is_later;

/// Folders 1 to 4 are listed, and the datasource's roots; folder 5 never is.
const LISTED: [u8; 5] = [0, 1, 2, 3, 4];
const UNLISTED: u8 = 5;

#[derive(Debug, Clone)]
enum Step {
    Create {
        file: u8,
        name: u8,
        parent: u8,
    },
    Rename {
        file: u8,
        name: u8,
    },
    Write {
        file: u8,
    },
    Describe {
        file: u8,
    },
    Relabel {
        file: u8,
    },
    Succeed {
        file: u8,
        successor: u8,
    },
    Move {
        file: u8,
        to: u8,
    },
    AlsoIn {
        file: u8,
        to: u8,
    },
    Delete {
        file: u8,
    },
    MoveFolder {
        folder: u8,
        to: u8,
    },
    DeleteFolder {
        folder: u8,
    },
    CreateFolder {
        folder: u8,
    },
    List {
        folder: u8,
    },
    Ask {
        folder: u8,
    },
    Land,
    Restart,
    /// Another process goes on.
    Switch,
    DeleteCache,
    Fail {
        way: u8,
        folder: u8,
    },
    Prune,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (file, name, folder) = (10_u8..18, 0_u8..3, 0_u8..6);
    let step = prop_oneof![
        4 => (file.clone(), name.clone(), folder.clone()).prop_map(|(file, name, parent)| Step::Create { file, name, parent }),
        2 => (file.clone(), name).prop_map(|(file, name)| Step::Rename { file, name }),
        1 => file.clone().prop_map(|file| Step::Write { file }),
        1 => file.clone().prop_map(|file| Step::Describe { file }),
        1 => file.clone().prop_map(|file| Step::Relabel { file }),
        2 => (file.clone(), file.clone()).prop_map(|(file, successor)| Step::Succeed { file, successor }),
        5 => (file.clone(), folder.clone()).prop_map(|(file, to)| Step::Move { file, to }),
        1 => (file.clone(), folder.clone()).prop_map(|(file, to)| Step::AlsoIn { file, to }),
        2 => file.prop_map(|file| Step::Delete { file }),
        1 => (2_u8..5, folder).prop_map(|(folder, to)| Step::MoveFolder { folder, to }),
        1 => (3_u8..5).prop_map(|folder| Step::DeleteFolder { folder }),
        1 => (3_u8..5).prop_map(|folder| Step::CreateFolder { folder }),
        12 => (0_u8..5).prop_map(|folder| Step::List { folder }),
        2 => (0_u8..5).prop_map(|folder| Step::Ask { folder }),
        2 => Just(Step::Land),
        1 => Just(Step::Restart),
        1 => Just(Step::Switch),
        1 => Just(Step::DeleteCache),
        2 => (0_u8..5, 0_u8..5).prop_map(|(way, folder)| Step::Fail { way, folder }),
        1 => Just(Step::Prune),
    ];
    prop::collection::vec(step, 1..60)
}

fn key(folder: u8) -> DirKey {
    match folder {
        0 => DirKey::ROOTS,
        folder => dir(folder),
    }
}

#[derive(Debug, Clone)]
struct Thing {
    entry: Entry,
    parents: BTreeSet<u8>,
    active: bool,
}

#[derive(Debug, Default)]
struct World {
    things: BTreeMap<u8, Thing>,
    edits: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        for number in 1..=4 {
            world.make_folder(number);
        }
        world
    }

    fn make_folder(&mut self, number: u8) {
        let entry = Entry::Folder(folder(number, &format!("f{number}")));
        let thing = Thing {
            entry,
            parents: BTreeSet::from([0]),
            active: true,
        };
        self.things.entry(number).or_insert(thing);
    }

    fn exists(&self, folder: u8) -> bool {
        folder == 0 || folder == UNLISTED || self.things.contains_key(&folder)
    }

    fn is_below(&self, folder: u8, top: u8) -> bool {
        folder == top
            || self
                .things
                .get(&folder)
                .is_some_and(|thing| thing.parents.iter().any(|&parent| self.is_below(parent, top)))
    }

    fn contents(&self, folder: u8) -> Vec<Entry> {
        self.things
            .values()
            .filter(|thing| thing.active && thing.parents.contains(&folder))
            .map(|thing| thing.entry.clone())
            .collect()
    }

    fn document(&mut self, file: u8, edit: impl FnOnce(&mut Document, u64)) {
        self.edits += 1;
        if let Some(Thing {
            entry: Entry::Document(document),
            active: true,
            ..
        }) = self.things.get_mut(&file)
        {
            edit(document, self.edits);
            // As a server does with any edit.
            document.etag = Some(self.edits.to_string());
        }
    }

    fn whereabouts(&self, id: ObjectId, from: u8) -> Result<Departure, ()> {
        match self.things.get(&id.guid().as_bytes()[0]) {
            None => Ok(Departure::Deleted),
            Some(thing) if !thing.active => Ok(Departure::Superseded),
            Some(thing) if thing.parents.contains(&from) => Err(()),
            Some(thing) => Ok(Departure::Moved(thing.parents.first().map(|&parent| {
                if parent == 0 {
                    FolderId(DirKey::ROOTS.guid())
                } else {
                    folder_id(parent)
                }
            }))),
        }
    }

    fn delete_folder(&mut self, number: u8) {
        self.things.remove(&number);
        let inside: Vec<u8> = self
            .things
            .iter()
            .filter(|(_, thing)| thing.parents.contains(&number))
            .map(|(&inside, _)| inside)
            .collect();
        for number in inside {
            let Some(thing) = self.things.get_mut(&number) else {
                continue;
            };
            if thing.parents.len() > 1 {
                continue;
            }
            if matches!(thing.entry, Entry::Folder(_)) {
                self.delete_folder(number);
            } else {
                self.things.remove(&number);
            }
        }
        for thing in self.things.values_mut() {
            thing.parents.remove(&number);
        }
    }
}

/// Who reads the journal and applies what it says.
#[derive(Debug, Default)]
pub(super) struct Reader {
    cursor: Option<Cursor>,
    has: BTreeMap<(DirKey, ObjectId), (String, Option<String>)>,
    /// Folders that something was told of while no listed folder had them: nobody will tell that they are gone.
    orphans: BTreeSet<DirKey>,
}

impl Reader {
    pub(super) fn read(&mut self, catalog: &Catalog) {
        let head = catalog.journal().head().unwrap();
        let mut cursor = self.cursor.unwrap_or(Cursor { sequence: 0, ..head });
        loop {
            let Since::Events(events) = catalog.journal().since(cursor, 3).unwrap() else {
                panic!("{cursor} cannot be read on");
            };
            if events.is_empty() {
                break;
            }
            for event in events {
                assert!(event.sequence > cursor.sequence);
                cursor.sequence = event.sequence;
                self.apply(&event);
            }
        }
        assert_eq!(cursor, head);
        self.cursor = Some(cursor);
    }

    fn apply(&mut self, event: &Event) {
        let at = (event.parent, event.id);
        let value = (event.name.clone(), event.tag.clone());
        let is_member = self.has.keys().any(|(_, id)| id.guid() == event.parent.guid());
        if event.parent != DirKey::ROOTS && !is_member {
            self.orphans.insert(event.parent);
        }
        match &event.change {
            Change::Add { .. } => {
                let before = self.has.insert(at, value);
                assert!(before.is_none(), "told twice: {event:?}");
            }
            Change::Modify { .. } | Change::Rights { .. } => {
                assert!(self.has.insert(at, value).is_some(), "not there: {event:?}");
            }
            Change::Rename { old_name } => {
                let before = self.has.insert(at, value);
                assert!(before.is_some_and(|(name, _)| name == *old_name), "{event:?}");
            }
            Change::NewVersion { old } => {
                assert!(
                    self.has.remove(&(event.parent, *old)).is_some(),
                    "not there: {event:?}"
                );
                self.has.insert(at, value);
            }
            Change::Move { old_parent, old_name } => {
                let before = self.has.remove(&(*old_parent, event.id));
                assert!(before.is_some_and(|(name, _)| name == *old_name), "{event:?}");
                let there = self.has.insert(at, value);
                assert!(there.is_none(), "there already: {event:?}");
            }
            Change::Gone { .. } => {
                assert!(self.has.remove(&at).is_some(), "gone twice: {event:?}");
                self.drop_folder(event.id);
            }
        }
    }

    fn drop_folder(&mut self, id: ObjectId) {
        let ObjectId::Folder(folder) = id else { return };
        if self.has.keys().any(|(_, there)| *there == id) {
            return;
        }
        let dir = DirKey::folder(folder);
        let inside: Vec<_> = self
            .has
            .keys()
            .filter(|(parent, _)| *parent == dir)
            .copied()
            .collect();
        for at in inside {
            self.has.remove(&at);
            self.drop_folder(at.1);
        }
    }

    /// True for an orphan, and for what is only known to be in one.
    fn is_orphan(&self, dir: DirKey, depth: usize) -> bool {
        let mut parents = self.has.keys().filter(|(_, id)| id.guid() == dir.guid());
        self.orphans.contains(&dir)
            || depth > 0 && parents.any(|(parent, _)| self.is_orphan(*parent, depth - 1))
    }

    pub(super) fn contents(&self, dir: DirKey) -> BTreeMap<ObjectId, (String, Option<String>)> {
        self.has
            .iter()
            .filter(|((parent, _), _)| *parent == dir)
            .map(|((_, id), value)| (*id, value.clone()))
            .collect()
    }
}

struct Case {
    bench: Bench,
    other: Catalog,
    world: World,
    reader: Reader,
    asked: Option<(u8, Stamp, Vec<Entry>)>,
    listed: BTreeSet<u8>,
}

impl Case {
    fn new() -> Self {
        let bench = Bench::new();
        Self {
            other: open(bench.dir.path()).catalog,
            bench,
            world: World::new(),
            reader: Reader::default(),
            asked: None,
            listed: BTreeSet::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        let name = |name: u8| ["a.dgn", "b.dgn", "c.dgn"][usize::from(name)].to_owned();
        match *step {
            Step::Create {
                file: number,
                name: n,
                parent,
            } => {
                if self.world.exists(parent) {
                    let thing = Thing {
                        entry: Entry::Document(file(number, &name(n))),
                        parents: BTreeSet::from([parent]),
                        active: true,
                    };
                    self.world.things.entry(number).or_insert(thing);
                }
            }
            Step::Rename { file, name: n } => self.world.document(file, |document, _| {
                document.file_name = Some(name(n));
            }),
            Step::Write { file } => self
                .world
                .document(file, |document, edit| document.size = Some(edit)),
            Step::Describe { file } => self.world.document(file, |document, edit| {
                document.description = edit.to_string();
            }),
            Step::Relabel { file } => self.world.document(file, |document, edit| {
                document.version = edit.to_string();
            }),
            Step::Succeed { file: old, successor } => {
                if let Some(thing) = self.world.things.get(&old).filter(|thing| thing.active).cloned()
                    && !self.world.things.contains_key(&successor)
                    && let Entry::Document(document) = thing.entry
                {
                    let entry = Entry::Document(Document {
                        id: DocumentId(guid(successor)),
                        ..document
                    });
                    self.world.things.insert(successor, Thing { entry, ..thing });
                    self.world.things.get_mut(&old).unwrap().active = false;
                }
            }
            Step::Move { file, to } => {
                if self.world.exists(to)
                    && let Some(thing) = self.world.things.get_mut(&file)
                {
                    thing.parents = BTreeSet::from([to]);
                }
            }
            Step::AlsoIn { file, to } => {
                if self.world.exists(to)
                    && let Some(thing) = self.world.things.get_mut(&file)
                {
                    thing.parents.insert(to);
                }
            }
            Step::Delete { file } => drop(self.world.things.remove(&file)),
            Step::MoveFolder { folder, to } => {
                if self.world.exists(to)
                    && !self.world.is_below(to, folder)
                    && let Some(thing) = self.world.things.get_mut(&folder)
                {
                    thing.parents = BTreeSet::from([to]);
                }
            }
            Step::DeleteFolder { folder } => self.world.delete_folder(folder),
            Step::CreateFolder { folder } => self.world.make_folder(folder),
            Step::List { folder } => {
                let asked = self.bench.now();
                drop(self.list(folder, asked, self.world.contents(folder)));
            }
            Step::Ask { folder } => {
                self.asked = Some((folder, self.bench.now(), self.world.contents(folder)));
            }
            Step::Land => {
                if let Some((folder, asked, entries)) = self.asked.take() {
                    drop(self.list(folder, asked, entries));
                }
            }
            Step::Restart => self.bench.reopen(),
            Step::Switch => std::mem::swap(&mut self.bench.catalog, &mut self.other),
            Step::DeleteCache => drop(std::fs::remove_dir_all(self.bench.dir.path().join("cache"))),
            Step::Fail { way, folder } => {
                let undo = self.spoil(way);
                let asked = self.bench.now();
                drop(self.list(folder, asked, self.world.contents(folder)));
                undo();
            }
            Step::Prune => {
                self.reader.read(&self.bench.catalog);
                let before = stamp(self.bench.seconds - 1).wall;
                self.bench.catalog.journal().prune(before).unwrap();
            }
        }
    }

    /// Makes a statement or a commit of the next transaction fail.
    fn spoil(&self, way: u8) -> impl FnOnce() + use<> {
        let files = Files::of(&places(self.bench.dir.path()), &account());
        // Makes the catalog anew where it was deleted.
        self.bench.catalog.fact("x").unwrap();
        let (path, (set, unset)) = match way {
            0 => (
                files.catalog,
                (
                    "CREATE TRIGGER spoil AFTER INSERT ON entries BEGIN SELECT RAISE(ABORT, 'spoilt'); END",
                    "DROP TRIGGER spoil",
                ),
            ),
            1 => (
                files.journal,
                (
                    "CREATE TRIGGER spoil AFTER INSERT ON events BEGIN SELECT RAISE(ABORT, 'spoilt'); END",
                    "DROP TRIGGER spoil",
                ),
            ),
            2 => (
                files.journal,
                (
                    "CREATE TRIGGER spoil BEFORE DELETE ON told BEGIN SELECT RAISE(ABORT, 'spoilt'); END",
                    "DROP TRIGGER spoil",
                ),
            ),
            // A reference that is looked at when the transaction commits: after the journal has.
            3 => (
                files.catalog,
                (
                    "CREATE TABLE whole (one INTEGER PRIMARY KEY);
                 CREATE TABLE part (one REFERENCES whole (one) DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER spoil AFTER UPDATE ON listings BEGIN INSERT INTO part VALUES (1); END",
                    "DROP TRIGGER spoil; DROP TABLE part; DROP TABLE whole",
                ),
            ),
            _ => (
                files.journal,
                (
                    "CREATE TABLE whole (one INTEGER PRIMARY KEY);
                 CREATE TABLE part (one REFERENCES whole (one) DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER spoil AFTER INSERT ON events BEGIN INSERT INTO part VALUES (1); END",
                    "DROP TRIGGER spoil; DROP TABLE part; DROP TABLE whole",
                ),
            ),
        };
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch(set).unwrap();
        move || connection.execute_batch(unset).unwrap()
    }

    /// Lists a folder as the tree does: what is missing is asked for.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "lists are made where they are passed"
    )]
    fn list(&mut self, number: u8, asked: Stamp, entries: Vec<Entry>) -> Result<Vec<FolderId>, CatalogError> {
        if !self.world.exists(number) {
            return Ok(Vec::new());
        }
        let dir = key(number);
        let catalog = &self.bench.catalog;
        let kept = catalog.load(dir)?;
        let mut before: BTreeSet<ObjectId> = catalog.told_in(dir)?.into_iter().collect();
        if let Some(kept) = &kept {
            before.extend(kept.listing.entries().map(|entry| entry.id()));
        }
        before.extend(catalog.expected(FolderId(dir.guid()))?);
        let present: BTreeSet<ObjectId> = entries.iter().map(Entry::id).collect();
        let mut departed = Vec::new();
        for &id in before.difference(&present) {
            match self.world.whereabouts(id, number) {
                Ok(departure) => departed.push((id, departure)),
                // The answer was short, or is too old: the tree would ask again.
                Err(()) => return Ok(Vec::new()),
            }
        }
        let fetched = Fetched {
            dir,
            fetched: asked,
            proof: Proof::Compared,
            validator: None,
            departed: &departed,
            first: false,
        };
        let known = kept.as_ref().map(|kept| kept.commit);
        let replaced = catalog.replace(&fetched, known, &mut |previous| {
            assert!(previous.is_none(), "nobody else writes");
            listing(entries.clone(), kept.as_ref().map(|saved| &*saved.listing))
        })?;
        self.listed.insert(number);
        match replaced {
            Replaced::Kept { look, listing, .. } => {
                let loaded = catalog.load(dir)?.unwrap();
                assert_eq!(loaded.listing.rows(), listing.rows());
                Ok(look)
            }
            Replaced::Superseded(saved) => {
                assert!(is_later(&saved.fetched, &asked));
                Ok(Vec::new())
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..4 {
            for folder in LISTED {
                let asked = self.bench.now();
                drop(self.list(folder, asked, self.world.contents(folder)).unwrap());
            }
        }
        self.reader.read(&self.bench.catalog);
    }

    fn check(&mut self) {
        self.settle();
        for folder in LISTED {
            let dir = key(folder);
            let told = self.reader.contents(dir);
            if !self.world.exists(folder) {
                let excused = self.reader.is_orphan(dir, LISTED.len());
                assert!(told.is_empty() || excused, "{folder} is gone: {told:?}");
                continue;
            }
            let kept = self.bench.catalog.load(dir).unwrap().unwrap();
            let there: BTreeMap<_, _> = kept
                .listing
                .rows()
                .iter()
                .map(|row| {
                    (
                        row.entry.id(),
                        (row.name.to_string(), row.tag.map(|tag| tag.to_string())),
                    )
                })
                .collect();
            assert_eq!(told, there, "in {folder}");
            let world: BTreeSet<_> = self.world.contents(folder).iter().map(Entry::id).collect();
            assert_eq!(there.keys().copied().collect::<BTreeSet<_>>(), world);
        }
        let settled = self.bench.catalog.journal().head().unwrap();
        self.settle();
        assert_eq!(self.bench.catalog.journal().head().unwrap(), settled, "it flaps");
    }
}

fn replay(steps: &[Step]) {
    let mut case = Case::new();
    for step in steps {
        case.run(step);
    }
    case.check();
}

#[test]
fn what_left_for_a_folder_that_then_went_is_told_gone_although_nobody_tells_of_that_folder() {
    replay(&[
        Step::Create {
            file: 17,
            name: 0,
            parent: 4,
        },
        Step::List { folder: 3 },
        Step::List { folder: 4 },
        Step::Move { file: 17, to: 3 },
        Step::List { folder: 4 },
        Step::DeleteFolder { folder: 3 },
    ]);
}

#[test]
fn a_folder_that_leaves_one_that_was_told_gone_is_told_with_all_that_is_in_it() {
    for deeper in [false, true] {
        let (inner, outer) = if deeper { (4, 3) } else { (3, 3) };
        let mut steps = vec![
            Step::Create {
                file: 10,
                name: 0,
                parent: inner,
            },
            Step::MoveFolder { folder: 3, to: 2 },
        ];
        if deeper {
            steps.push(Step::MoveFolder { folder: 4, to: 3 });
        }
        steps.extend([0, 2, 3, 4].map(|folder| Step::List { folder }));
        // Told gone, since nobody lists where it went.
        steps.extend([
            Step::MoveFolder { folder: 2, to: 5 },
            Step::List { folder: 0 },
            Step::MoveFolder { folder: outer, to: 1 },
            Step::List { folder: 1 },
            Step::List { folder: 3 },
            Step::List { folder: 4 },
        ]);
        replay(&steps);
    }
}

#[test]
fn a_folder_that_went_with_one_that_came_back_is_told_gone() {
    replay(&[
        Step::List { folder: 2 },
        Step::MoveFolder { folder: 4, to: 3 },
        Step::List { folder: 0 },
        Step::MoveFolder { folder: 2, to: 5 },
        Step::MoveFolder { folder: 3, to: 2 },
        Step::List { folder: 0 },
        Step::List { folder: 3 },
        Step::DeleteFolder { folder: 4 },
    ]);
}

#[test]
fn what_moves_out_of_a_folder_is_told_before_that_is_told_gone() {
    replay(&[
        Step::List { folder: 0 },
        Step::Create {
            file: 16,
            name: 0,
            parent: 0,
        },
        Step::MoveFolder { folder: 2, to: 3 },
        Step::Move { file: 16, to: 2 },
        Step::List { folder: 2 },
        Step::Move { file: 16, to: 0 },
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_replays_the_journal_has_the_world(steps in steps()) {
        replay(&steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "minutes"]
    fn who_replays_the_journal_has_the_world_long(steps in steps()) {
        replay(&steps);
    }
}
