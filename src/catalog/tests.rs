//! Catalog and journal together, on real files.

use std::sync::Arc;
use std::time::Duration;

use super::journal::{Change, Cursor, Event, Since};
use super::*;
use crate::clock::BootId;
use crate::model::{Document, DocumentKind, Folder};
use crate::names::Place;
use crate::store::listing::{Draft, Placeholders};

/// A catalog in a directory of its own, and a clock that a test moves.
struct Bench {
    dir: tempfile::TempDir,
    catalog: Catalog,
    seconds: u64,
}

fn account() -> CatalogId {
    CatalogId {
        issuer: "ims".into(),
        account: "jane".into(),
        datasource: "host:ds".into(),
    }
}

fn guid(number: u8) -> Guid {
    Guid::from_bytes([number; 16])
}

fn folder_id(number: u8) -> FolderId {
    FolderId(guid(number))
}

fn dir(number: u8) -> DirKey {
    DirKey::folder(folder_id(number))
}

fn file_id(number: u8) -> ObjectId {
    ObjectId::Document(DocumentId(guid(number)))
}

pub(super) fn file(number: u8, name: &str) -> Document {
    Document {
        id: DocumentId(guid(number)),
        folder: None,
        name: name.to_owned(),
        file_name: Some(name.to_owned()),
        description: String::new(),
        version: String::new(),
        active: true,
        kind: DocumentKind::File,
        size: Some(10),
        file_updated: Some(Timestamp::UNIX_EPOCH),
        updated: None,
        created: None,
        state: None,
        mime_type: None,
        etag: None,
    }
}

fn folder(number: u8, name: &str) -> Folder {
    Folder {
        id: folder_id(number),
        parent: None,
        name: name.to_owned(),
        description: String::new(),
        work_area: false,
        created: None,
        updated: None,
        etag: None,
    }
}

pub(super) fn stamp(seconds: u64) -> Stamp {
    Stamp {
        wall: Timestamp::from_second(1_700_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        boot: BootId([1; 16]),
        moment: Duration::from_secs(seconds),
    }
}

fn listing(entries: Vec<Entry>, previous: Option<&Listing>) -> Arc<Listing> {
    Arc::new(Listing::build(Draft {
        place: Place::Folder,
        entries: entries.into_iter().map(Arc::new).collect(),
        previous,
        residue: None,
        tag: &|document| document.content_tag(0),
        placeholders: Placeholders::Hide,
        now: Timestamp::UNIX_EPOCH,
        unlisted_mtime: Timestamp::UNIX_EPOCH,
        generation: 1,
    }))
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalog = open(dir.path()).catalog;
        Self {
            dir,
            catalog,
            seconds: 1000,
        }
    }

    fn reopen(&mut self) {
        self.catalog = open(self.dir.path()).catalog;
    }

    fn now(&mut self) -> Stamp {
        self.seconds += 1;
        stamp(self.seconds)
    }

    /// Keeps a listing that is asked for now.
    fn list(&mut self, dir: DirKey, entries: Vec<Entry>, departed: &[(ObjectId, Departure)]) -> Replaced {
        let asked = self.now();
        self.list_at(asked, dir, entries, departed)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "lists are made where they are passed"
    )]
    fn list_at(
        &self,
        asked: Stamp,
        dir: DirKey,
        entries: Vec<Entry>,
        departed: &[(ObjectId, Departure)],
    ) -> Replaced {
        let fetched = Fetched {
            dir,
            fetched: asked,
            proof: Proof::Compared,
            validator: None,
            departed,
            first: false,
        };
        self.catalog
            .replace(&fetched, None, &mut |previous| {
                listing(entries.clone(), previous.map(|saved| &*saved.listing))
            })
            .unwrap()
    }

    fn events(&self) -> Vec<Event> {
        let head = self.catalog.journal().head().unwrap();
        match self
            .catalog
            .journal()
            .since(Cursor { sequence: 0, ..head }, 10_000)
            .unwrap()
        {
            Since::Events(events) => events,
            Since::Resync => panic!("nothing was pruned"),
        }
    }

    /// What was told since `from`, in short.
    fn told(&self, from: usize) -> Vec<String> {
        self.events()[from..].iter().map(short).collect()
    }
}

fn open(dir: &Path) -> Opened {
    Catalog::open(&places(dir), &account()).unwrap()
}

fn places(dir: &Path) -> Places {
    Places {
        cache: dir.join("cache"),
        state: dir.join("state"),
    }
}

fn short(event: &Event) -> String {
    let number = |guid: Guid| guid.as_bytes()[0];
    let what = match &event.change {
        Change::Add { first: true } => "first".to_owned(),
        Change::Add { first: false } => "add".to_owned(),
        Change::Modify { content } => format!("modify {}", if *content { "content" } else { "properties" }),
        Change::NewVersion { old } => format!("version of {}", number(old.guid())),
        Change::Rename { old_name } => format!("was {old_name}"),
        Change::Move { old_parent, old_name } => {
            format!("from {} as {old_name}", number(old_parent.guid()))
        }
        Change::Gone { reason } => format!("gone {}", reason.as_str()),
        Change::Rights { readable } => format!("readable {readable}"),
    };
    format!(
        "{}/{} {} {what}",
        number(event.parent.guid()),
        number(event.id.guid()),
        event.name
    )
}

fn look(replaced: &Replaced) -> Vec<FolderId> {
    match replaced {
        Replaced::Kept { look, .. } => look.clone(),
        Replaced::Superseded(_) => panic!("kept"),
    }
}

#[test]
fn a_listing_is_there_after_a_restart() {
    let mut bench = Bench::new();
    let entries = vec![
        Entry::Folder(folder(9, "plans")),
        Entry::Document(file(2, "a.dwg")),
        Entry::Document(Document {
            kind: DocumentKind::Placeholder,
            file_name: None,
            ..file(3, "note")
        }),
    ];
    let Replaced::Kept { commit, listing, .. } = bench.list(dir(1), entries, &[]) else {
        panic!("kept");
    };
    bench.reopen();
    let saved = bench.catalog.load(dir(1)).unwrap().unwrap();
    assert_eq!(saved.commit, commit);
    assert_eq!(saved.fetched, stamp(1001));
    assert_eq!(saved.proof, Proof::Compared);
    assert_eq!(saved.listing.rows(), listing.rows());
    assert_eq!(saved.listing.hidden(), listing.hidden());
    assert_eq!(saved.listing.residue(), listing.residue());
    assert_eq!(bench.catalog.totals(), (10, 3));
    assert_eq!(bench.catalog.since(0).unwrap(), (vec![dir(1)], commit));
    assert_eq!(bench.catalog.since(commit).unwrap(), (vec![], commit));
    assert!(bench.catalog.load(dir(5)).unwrap().is_none());
}

#[test]
fn a_catalog_that_gave_its_memory_back_reads_and_writes_as_before() {
    let mut bench = Bench::new();
    let entries = vec![Entry::Document(file(2, "a.dwg"))];
    let Replaced::Kept { listing, .. } = bench.list(dir(1), entries, &[]) else {
        panic!("kept");
    };
    bench.catalog.release_memory();
    let saved = bench.catalog.load(dir(1)).unwrap().unwrap();
    assert_eq!(saved.listing.rows(), listing.rows());
    let before = bench.events().len();
    let more = vec![
        Entry::Document(file(2, "a.dwg")),
        Entry::Document(file(3, "b.dwg")),
    ];
    bench.list(dir(1), more, &[]);
    bench.catalog.release_memory();
    assert_eq!(bench.catalog.load(dir(1)).unwrap().unwrap().listing.len(), 2);
    assert_eq!(bench.events().len(), before + 1);
    bench.catalog.close();
    bench.catalog.release_memory();
    assert!(
        bench.catalog.load(dir(1)).is_err(),
        "nothing is opened for it again"
    );
}

#[test]
fn every_change_is_told_once() {
    let mut bench = Bench::new();
    bench.list(
        dir(1),
        vec![Entry::Document(file(2, "a")), Entry::Folder(folder(9, "f"))],
        &[],
    );
    assert_eq!(bench.told(0), ["1/2 a first", "1/9 f first"]);
    bench.reopen();
    let renamed = Document {
        size: Some(11),
        ..file(2, "b")
    };
    let described = Folder {
        description: "x".into(),
        ..folder(9, "f")
    };
    let entries = vec![
        Entry::Document(renamed),
        Entry::Folder(described),
        Entry::Document(file(3, "c")),
    ];
    bench.list(dir(1), entries.clone(), &[]);
    let told = [
        "1/2 b was a",
        "1/2 b modify content",
        "1/9 f modify properties",
        "1/3 c add",
    ];
    assert_eq!(bench.told(2), told);
    bench.list(dir(1), entries, &[]);
    assert_eq!(bench.told(6), [""; 0]);
    let departed = [(file_id(3), Departure::Deleted)];
    bench.list(dir(1), vec![], &departed);
    assert_eq!(
        bench.told(6),
        ["1/2 b gone unknown", "1/3 c gone deleted", "1/9 f gone unknown"]
    );
}

#[test]
fn a_move_between_two_listed_folders_is_one_move_whichever_is_seen_first() {
    for target_first in [false, true] {
        let mut bench = Bench::new();
        bench.list(dir(1), vec![Entry::Document(file(7, "x"))], &[]);
        bench.list(dir(2), vec![], &[]);
        let departed = [(file_id(7), Departure::Moved(Some(folder_id(2))))];
        if target_first {
            bench.list(dir(2), vec![Entry::Document(file(7, "y"))], &[]);
            bench.list(dir(1), vec![], &departed);
        } else {
            let replaced = bench.list(dir(1), vec![], &departed);
            assert_eq!(look(&replaced), [folder_id(2)]);
            assert_eq!(bench.catalog.expected(folder_id(2)).unwrap(), [file_id(7)]);
            assert_eq!(bench.told(1), [""; 0], "nothing is told before it is seen");
            bench.reopen();
            bench.list(dir(2), vec![Entry::Document(file(7, "y"))], &[]);
        }
        assert_eq!(bench.told(1), ["2/7 y from 1 as x"]);
        assert_eq!(bench.catalog.expected(folder_id(2)).unwrap(), []);
        assert_eq!(bench.catalog.told_in(dir(1)).unwrap(), []);
        assert_eq!(bench.catalog.told_in(dir(2)).unwrap(), [file_id(7)]);
    }
}

#[test]
fn facts_amendments_and_salts_are_kept() {
    let mut bench = Bench::new();
    let tags = [0, 1].map(|revision| file(1, "a").content_tag(revision));
    let document = DocumentId(guid(1));
    bench.catalog.set_fact("paging", "token").unwrap();
    bench
        .catalog
        .set_amendment(document, Some((tags[0], tags[1])))
        .unwrap();
    bench.catalog.set_salt("doc 1", 3).unwrap();
    bench.reopen();
    assert_eq!(bench.catalog.fact("paging").unwrap().as_deref(), Some("token"));
    assert_eq!(bench.catalog.fact("other").unwrap(), None);
    assert_eq!(
        bench.catalog.amendments().unwrap(),
        [(document, tags[0], tags[1])]
    );
    assert_eq!(bench.catalog.salts().unwrap(), [("doc 1".to_owned(), 3)]);
    bench.catalog.set_amendment(document, None).unwrap();
    assert_eq!(bench.catalog.amendments().unwrap(), []);
}

mod document;
mod kept;
mod killed;
mod replay;
mod sharing;
mod sizes;
mod together;
mod told;
