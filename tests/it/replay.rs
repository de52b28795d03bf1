//! The journal, replayed, is the tree: under random changes, restarts, outages and lost caches.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use pwfs::catalog::DirKey;
use pwfs::catalog::journal::{Change, Cursor, Event, Since};
use pwfs::demo::knobs::{Knobs, VersionGuids};
use pwfs::demo::{DemoOptions, Effect, Fault, World};
use pwfs::fs::Kind;
use pwfs::model::{Guid, ObjectId};
use pwfs::tree::TreeConfig;
use pwfs::tree::inodes::ROOT;

use crate::harness::{Bench, small};

mod copy;

use copy::Kept;

/// A repeatable chance (xorshift64*): the same seed tells the same story.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        (!choices.is_empty()).then(|| choices[self.below(choices.len())])
    }
}

/// The folders and documents of the story; everything else of the world stands still.
struct Stage {
    top: Guid,
    count: usize,
}

impl Stage {
    fn folders(&self, world: &World) -> Vec<Guid> {
        let top = world.folder(self.top).unwrap().path;
        let below = |path: &[String]| path.starts_with(&top) && path.len() > top.len();
        let folders = world.folders();
        folders
            .iter()
            .filter(|folder| below(&folder.path))
            .map(|folder| folder.guid)
            .collect()
    }

    fn documents(&self, world: &World) -> Vec<Guid> {
        let top = world.folder(self.top).unwrap().path;
        let documents = world.documents();
        documents
            .iter()
            .filter(|document| document.active && document.path.starts_with(&top))
            .map(|document| document.guid)
            .collect()
    }

    /// One change at the server; some come to nothing, such as a folder moved below itself.
    fn change(&mut self, world: &World, chance: &mut Chance) {
        let (folders, documents) = (self.folders(world), self.documents(world));
        self.count += 1;
        let name = format!("{}-{}.txt", ["a", "b", "c"][chance.below(3)], self.count);
        let (folder, other) = (chance.of(&folders), chance.of(&folders));
        let document = chance.of(&documents);
        let _ = match (chance.below(12), folder, document) {
            (0..=2, Some(folder), _) => world.add_document(folder, &name, name.clone()).map(drop),
            (3, _, Some(document)) => world.delete_document(document),
            (4, _, Some(document)) => world.rename_document(document, &name),
            (5 | 6, Some(folder), Some(document)) => world.move_document(document, folder),
            (7, _, Some(document)) => world.new_version(document, name).map(drop),
            (8, Some(folder), _) => world
                .add_folder(Some(folder), &format!("folder-{}", self.count))
                .map(drop),
            (9, Some(folder), _) => match other {
                Some(other) if folders.len() > 3 => world.move_folder(folder, Some(other)),
                _ => Ok(()),
            },
            (10, Some(folder), _) if folders.len() > 4 => world.delete_folder(folder),
            (11, Some(folder), _) => world.rename_folder(folder, &format!("renamed-{}", self.count)),
            _ => Ok(()),
        };
    }
}

/// What a reader of the journal holds: where each object is, under which name.
#[derive(Default)]
struct Reader(BTreeMap<(Guid, DirKey), (String, bool)>);

impl Reader {
    fn apply(&mut self, event: &Event) {
        let (guid, at) = (event.id.guid(), (event.id.guid(), event.parent));
        let is_folder = matches!(event.id, ObjectId::Folder(_));
        let here = (event.name.clone(), is_folder);
        match &event.change {
            Change::Add { .. } => {
                let before = self.0.insert(at, here);
                assert!(before.is_none(), "added twice: {event:?}");
            }
            Change::Modify { .. } | Change::Rights { .. } => {}
            Change::NewVersion { old } => {
                let before = self.0.remove(&(old.guid(), event.parent));
                assert!(before.is_some(), "of nothing: {event:?}");
                self.0.insert(at, here);
            }
            Change::Rename { old_name } => {
                let before = self.0.insert(at, here);
                assert!(before.is_some_and(|(name, _)| name == *old_name), "{event:?}");
            }
            Change::Move { old_parent, .. } => {
                let before = self.0.remove(&(guid, *old_parent));
                assert!(before.is_some(), "from nowhere: {event:?}");
                let there = self.0.insert(at, here);
                assert!(there.is_none(), "to where it was: {event:?}");
            }
            Change::Gone { .. } => {
                assert!(self.0.remove(&at).is_some(), "gone twice: {event:?}");
                self.drop_folder(guid);
            }
        }
    }

    /// A folder that is nowhere any more is gone with all that is below it.
    fn drop_folder(&mut self, folder: Guid) {
        if self.0.keys().any(|(guid, _)| *guid == folder) {
            return;
        }
        let dir = DirKey::folder(pwfs::model::FolderId(folder));
        let inside: Vec<_> = self
            .0
            .keys()
            .filter(|(_, parent)| *parent == dir)
            .copied()
            .collect();
        for at in inside {
            self.0.remove(&at);
            self.drop_folder(at.0);
        }
    }

    /// Every path below `top` with its GUID.
    fn paths(&self, top: DirKey) -> BTreeMap<String, Guid> {
        let mut paths = BTreeMap::new();
        let mut waiting = vec![(top, String::new())];
        let mut seen = BTreeSet::new();
        while let Some((dir, path)) = waiting.pop() {
            assert!(seen.insert(dir), "a folder is below itself");
            for ((guid, parent), (name, is_folder)) in &self.0 {
                if *parent != dir {
                    continue;
                }
                let path = format!("{path}/{name}");
                if *is_folder {
                    waiting.push((DirKey::folder(pwfs::model::FolderId(*guid)), path.clone()));
                }
                paths.insert(path, *guid);
            }
        }
        paths
    }
}

async fn paths_of_tree(bench: &Bench, top: &str) -> BTreeMap<String, Guid> {
    let mut paths = BTreeMap::new();
    let top = bench.find(&[top]).await.unwrap();
    let mut waiting = vec![(top.ino, String::new())];
    while let Some((ino, path)) = waiting.pop() {
        for (name, attr) in bench.list(ino).await.unwrap() {
            let path = format!("{path}/{name}");
            paths.insert(path.clone(), bench.guid(&attr));
            if attr.kind == Kind::Directory {
                waiting.push((attr.ino, path));
            }
        }
    }
    paths
}

fn paths_of_world(world: &World, top: &str) -> BTreeMap<String, Guid> {
    let mut paths = BTreeMap::new();
    for folder in world.folders() {
        if folder.listed && folder.path.len() > 1 && folder.path[0] == top {
            paths.insert(format!("/{}", folder.path[1..].join("/")), folder.guid);
        }
    }
    for document in world.documents() {
        let (true, Some(name)) = (
            document.listed && document.active && document.path[0] == top,
            &document.file_name,
        ) else {
            continue;
        };
        let mut path = document.path[1..].to_vec();
        path.push(name.clone());
        paths.insert(format!("/{}", path.join("/")), document.guid);
    }
    paths
}

/// What is below a folder of the story, from there; nothing where that is gone.
fn below(tree: &BTreeMap<String, Guid>, story: Guid, top: Guid) -> BTreeMap<String, String> {
    let found = tree.iter().find(|(_, guid)| **guid == top);
    let above = match found {
        Some((path, _)) => path.as_str(),
        None if top == story => "",
        None => return BTreeMap::new(),
    };
    tree.iter()
        .filter_map(|(path, guid)| {
            let rest = path.strip_prefix(above)?;
            rest.starts_with('/').then(|| (rest.to_owned(), guid.to_string()))
        })
        .collect()
}

/// Lists some folders of the story, whatever comes of it.
async fn look_around(bench: &Bench, chance: &mut Chance) {
    let Ok(top) = bench.find(&["Story"]).await else {
        return;
    };
    let mut waiting = vec![top.ino];
    while let Some(ino) = waiting.pop() {
        let Ok(entries) = bench.list(ino).await else {
            continue;
        };
        for attr in entries.into_values() {
            if attr.kind == Kind::Directory && chance.below(3) > 0 {
                waiting.push(attr.ino);
            }
        }
    }
}

async fn a_story(guids: VersionGuids, seed: u64, chapters: usize) {
    let knobs = Knobs {
        version_guids: guids,
        ..Knobs::default()
    };
    let mut bench = Bench::with(DemoOptions { knobs, ..small() }, TreeConfig::default()).await;
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let top = bench.world().add_folder(None, "Story").unwrap();
    let mut stage = Stage { top, count: 0 };
    for number in 0..4 {
        let folder = bench
            .world()
            .add_folder(Some(top), &format!("shelf-{number}"))
            .unwrap();
        for _ in 0..3 {
            stage.count += 1;
            let name = format!("first-{}.txt", stage.count);
            bench.world().add_document(folder, &name, name.clone()).unwrap();
        }
    }
    let shelves = [0, 1].map(|number| {
        let path = ["Story".to_owned(), format!("shelf-{number}")];
        bench
            .world()
            .folder_at(&path.each_ref().map(|name| &**name))
            .unwrap()
    });
    let tops = [top, shelves[0], shelves[1]];
    let mut copies = tops.map(|top| Kept::of(DirKey::folder(pwfs::model::FolderId(top))));
    for _ in 0..chapters {
        for _ in 0..=chance.below(4) {
            stage.change(&bench.world(), &mut chance);
        }
        match chance.below(10) {
            0 => bench.remount().await,
            1 => {
                bench
                    .server
                    .inject(Fault::everywhere(Effect::DropConnection).every(2));
            }
            2 => {
                // A cache may be deleted at any time.
                fs::remove_dir_all(bench.dir.path().join("cache").join("catalog-v1")).unwrap();
                bench.remount().await;
            }
            _ => {}
        }
        bench.expire();
        look_around(&bench, &mut chance).await;
        bench.server.clear_faults();
        for copy in &mut copies {
            if chance.below(2) == 0 {
                copy.read(bench.fs.tree().catalog().unwrap(), chance.below(2) == 0);
            }
        }
    }

    // Twice: what is seen to leave one folder has another one looked at.
    for _ in 0..3 {
        bench.expire();
        bench.fs.forget_failures();
        bench.list(ROOT).await.unwrap();
        paths_of_tree(&bench, "Story").await;
    }
    let told = format!("{guids:?}, seed {seed}");
    let tree = paths_of_tree(&bench, "Story").await;
    assert_eq!(
        tree,
        paths_of_world(&bench.world(), "Story"),
        "tree and world: {told}"
    );
    for (copy, top) in copies.iter_mut().zip(tops) {
        copy.read(bench.fs.tree().catalog().unwrap(), true);
        copy.read(bench.fs.tree().catalog().unwrap(), true);
        // Of a folder that was gone before there was a manifest there never is one.
        assert_eq!(
            copy.paths().unwrap_or_default(),
            below(&tree, tops[0], top),
            "copy and tree: {told}"
        );
    }
    assert_eq!(copies[0].told_again, 0, "{told}");
    let journal = bench.fs.tree().catalog().unwrap().journal();
    let mut cursor = Cursor {
        sequence: 0,
        ..journal.head().unwrap()
    };
    let mut reader = Reader::default();
    loop {
        let Since::Events(events) = journal.since(cursor, 100).unwrap() else {
            panic!("nothing was pruned: {told}");
        };
        let Some(last) = events.last() else { break };
        cursor.sequence = last.sequence;
        for event in &events {
            reader.apply(event);
        }
    }
    let replayed = reader.paths(DirKey::folder(pwfs::model::FolderId(top)));
    assert_eq!(replayed, tree, "journal and tree: {told}");
}

#[tokio::test]
async fn the_journal_replayed_is_the_tree() {
    for guids in [VersionGuids::Keep, VersionGuids::New] {
        for seed in 0..4 {
            a_story(guids, seed, 12).await;
        }
    }
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn the_journal_replayed_is_the_tree_under_two_hundred_seeds() {
    for seed in 0..100 {
        for guids in [VersionGuids::Keep, VersionGuids::New] {
            a_story(guids, seed, 40).await;
        }
    }
}
