//! Slots, generations and differences under random changes.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::model::{DocumentId, Folder, FolderId, Guid};

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn document(guid: u8, name: &str, size: u64) -> Arc<Entry> {
    Arc::new(Entry::Document(Document {
        id: DocumentId(Guid::from_bytes([guid; 16])),
        folder: None,
        name: name.to_owned(),
        file_name: Some(name.to_owned()),
        description: String::new(),
        version: String::new(),
        active: true,
        kind: DocumentKind::File,
        size: Some(size),
        file_updated: Some(time(1)),
        updated: None,
        created: Some(time(i64::from(guid))),
        state: None,
        mime_type: None,
        etag: None,
    }))
}

fn folder(guid: u8, name: &str) -> Arc<Entry> {
    Arc::new(Entry::Folder(Folder {
        id: FolderId(Guid::from_bytes([guid; 16])),
        parent: None,
        name: name.to_owned(),
        description: String::new(),
        work_area: false,
        created: Some(time(i64::from(guid))),
        updated: None,
        etag: None,
    }))
}

fn build(entries: Vec<Arc<Entry>>, previous: Option<&Listing>, generation: u16) -> Listing {
    Listing::build(Draft {
        place: Place::Folder,
        entries,
        previous,
        residue: None,
        tag: &|document| document.content_tag(0),
        placeholders: Placeholders::Hide,
        now: time(100 + i64::from(generation)),
        unlisted_mtime: time(50),
        generation,
    })
}

fn names(listing: &Listing) -> Vec<String> {
    listing.rows().iter().map(|row| row.name.to_string()).collect()
}

#[test]
fn slots_follow_names_when_first_listed_and_stay_after() {
    let first = build(vec![document(1, "b", 1), document(2, "a", 1)], None, 0);
    assert_eq!(names(&first), ["a", "b"]);
    let second = build(
        vec![document(3, "0", 1), document(1, "b", 1), document(2, "a", 1)],
        Some(&first),
        1,
    );
    assert_eq!(names(&second), ["a", "b", "0"], "what is new is read last");
    assert!(second.changed > first.changed);
}

#[test]
fn a_first_listing_is_no_change() {
    assert_eq!(build(vec![document(1, "a", 1)], None, 0).changed, time(50));
}

#[test]
fn a_listing_that_had_to_make_room_leaves_mtime_and_slots_going_forward() {
    let first = build(vec![document(1, "a", 1)], None, 0);
    let again = Listing::build(Draft {
        place: Place::Folder,
        entries: vec![document(1, "a", 1)],
        previous: None,
        residue: Some(first.residue()),
        tag: &|document| document.content_tag(0),
        placeholders: Placeholders::Hide,
        now: time(1),
        unlisted_mtime: time(50),
        generation: 1,
    });
    assert!(again.changed > first.changed);
    assert!(again.get("a").unwrap().slot > first.get("a").unwrap().slot);
}

#[test]
fn the_same_members_keep_generation_and_mtime() {
    let first = build(vec![document(1, "a", 1)], None, 0);
    let again = build(vec![document(1, "a", 1)], Some(&first), 1);
    assert_eq!(
        (again.generation, again.changed),
        (first.generation, first.changed)
    );
}

#[test]
fn a_new_version_under_a_new_guid_is_not_read_twice() {
    let first = build(vec![document(1, "a", 1), document(2, "b", 1)], None, 0);
    let second = build(vec![document(3, "a", 2), document(2, "b", 1)], Some(&first), 1);
    assert_eq!(second.get("a").unwrap().slot, first.get("a").unwrap().slot);
    assert_eq!(
        Difference::between(&first, &second).names,
        [second.get("a").unwrap().name.clone()]
    );
}

#[test]
fn a_name_passed_on_to_another_document_gets_a_slot_of_its_own() {
    let first = build(vec![document(1, "a", 1)], None, 0);
    let second = build(vec![document(1, "b", 1), document(2, "a", 1)], Some(&first), 1);
    assert_eq!(second.get("b").unwrap().slot, first.get("a").unwrap().slot);
    assert_ne!(second.get("a").unwrap().slot, first.get("a").unwrap().slot);
}

#[test]
fn a_folder_that_stays_is_never_dropped() {
    let first = build(vec![folder(1, "f"), document(2, "a", 1)], None, 0);
    let second = build(vec![folder(1, "f")], Some(&first), 1);
    assert_eq!(
        Difference::between(&first, &second).names,
        [first.get("a").unwrap().name.clone()]
    );
}

#[test]
fn cookies_survive_the_way_through_the_kernel() {
    for generation in [0, 1, u16::MAX] {
        for slot in [1, 3, (1 << 47) - 1] {
            let cookie = DirCookie {
                generation: Some(generation),
                slot,
            };
            assert_eq!(DirCookie::from_offset(cookie.offset()), cookie);
            assert!(i64::try_from(cookie.offset()).is_ok());
        }
    }
    assert_eq!(
        DirCookie::from_offset(0),
        DirCookie {
            generation: None,
            slot: 0
        }
    );
}

/// The entries of a world: GUID to (name, size), on purpose with few of each so that names clash and change hands.
type World = BTreeMap<u8, (u8, u64)>;

fn world() -> impl Strategy<Value = World> {
    prop::collection::btree_map(1_u8..12, (0_u8..6, 0_u64..3), 0..10)
}

fn listed(world: &World) -> Vec<Arc<Entry>> {
    world
        .iter()
        .map(|(&guid, &(name, size))| match name {
            5 => folder(guid, "a"),
            // One without a length is shown to nobody before that is learnt.
            name => document(
                guid,
                ["a", "b", "B", "c ~02020202", "c"][usize::from(name)],
                size + 1,
            ),
        })
        .collect()
}

proptest! {
    #[test]
    fn slots_are_unique_and_kept_while_the_entry_is_there(worlds in prop::collection::vec(world(), 1..8)) {
        let mut previous: Option<Listing> = None;
        for (generation, world) in worlds.iter().enumerate() {
            let next = build(listed(world), previous.as_ref(), u16::try_from(generation).unwrap());
            let slots: HashSet<_> = next.rows().iter().map(|row| row.slot).collect();
            prop_assert_eq!(slots.len(), next.rows().len());
            prop_assert!(next.rows().iter().all(|row| row.slot > DOT_DOT_SLOT));
            if let Some(previous) = &previous {
                for row in next.rows() {
                    if let Some(before) = previous.find(row.entry.id()) {
                        prop_assert_eq!(before.slot, row.slot);
                    }
                }
            }
            previous = Some(next);
        }
    }

    #[test]
    fn applying_the_difference_gives_the_new_listing(a in world(), b in world()) {
        let old = build(listed(&a), None, 0);
        let new = build(listed(&b), Some(&old), 1);
        let difference = Difference::between(&old, &new);
        // What a kernel believes after it dropped what it was told to, and asked anew for that alone.
        let mut believed: HashMap<String, _> =
            old.rows().iter().map(|row| (row.name.to_string(), (row.entry.id(), row.tag))).collect();
        for name in &difference.names {
            match new.get(name.as_str()) {
                Some(row) => believed.insert(name.to_string(), (row.entry.id(), row.tag)),
                None => believed.remove(name.as_str()),
            };
        }
        let truth: HashMap<String, _> =
            new.rows().iter().map(|row| (row.name.to_string(), (row.entry.id(), row.tag))).collect();
        prop_assert_eq!(believed, truth);
        if old.generation == new.generation {
            prop_assert!(difference.names.is_empty());
        }
    }

    #[test]
    fn a_reader_in_pieces_sees_what_stays_once_and_nothing_twice(
        worlds in prop::collection::vec(world(), 2..6), piece in 1_usize..4,
    ) {
        // The server changes after every piece; the reader goes on by slot in the newest listing, which is the worst
        // case: its own generation already forgotten.
        let mut listing = build(listed(&worlds[0]), None, 0);
        let (mut slot, mut at, mut seen) = (0, 0, Vec::new());
        loop {
            let rows = listing.rows_after(slot);
            if rows.is_empty() {
                break;
            }
            for row in rows.iter().take(piece) {
                seen.push(row.entry.id());
                slot = row.slot;
            }
            if at + 1 < worlds.len() {
                at += 1;
                listing = build(listed(&worlds[at]), Some(&listing), u16::try_from(at).unwrap());
            }
        }
        for entry in listed(&worlds[0]) {
            let id = entry.id();
            if worlds[..=at].iter().all(|world| listed(world).iter().any(|entry| entry.id() == id)) {
                let times = seen.iter().filter(|seen| **seen == id).count();
                prop_assert_eq!(times, 1, "{:?} was there throughout", id);
            }
        }
    }
}

/// A document with all that a server tells of one.
fn full_document(number: u32) -> Arc<Entry> {
    let mut guid = [7; 16];
    guid[..4].copy_from_slice(&number.to_be_bytes());
    Arc::new(Entry::Document(Document {
        id: DocumentId(Guid::from_bytes(guid)),
        folder: Some(FolderId(Guid::from_bytes([1; 16]))),
        name: format!("LEC-STR-DRG-{number:06} General arrangement"),
        file_name: Some(format!("LEC-STR-DRG-{number:06}.dgn")),
        description: "General arrangement of the northern approach".to_owned(),
        version: "C".to_owned(),
        active: true,
        kind: DocumentKind::File,
        size: Some(u64::from(number)),
        file_updated: Some(time(1)),
        updated: Some(time(2)),
        created: Some(time(i64::from(number))),
        state: Some("Shared".to_owned()),
        mime_type: Some("application/octet-stream".to_owned()),
        etag: Some(format!("W/\"{number:016x}\"")),
    }))
}

#[test]
fn what_stays_the_same_is_in_memory_once() {
    let first = build(vec![document(1, "a", 1), document(2, "b", 1)], None, 0);
    let second = build(vec![document(1, "a", 1), document(2, "b", 2)], Some(&first), 1);
    let same = |name| Arc::ptr_eq(&first.get(name).unwrap().entry, &second.get(name).unwrap().entry);
    assert!(same("a") && !same("b"));
}

#[test]
fn a_listing_weighs_more_with_longer_texts_and_with_what_is_not_shown() {
    let bare = build(vec![document(1, "a", 1)], None, 0).memory();
    let long = "x".repeat(100_000);
    let name = build(vec![document(1, &long, 1)], None, 0).memory();
    assert!(name > bare + 200_000, "a name and a file name");
    let Entry::Document(plain) = &*document(1, &long, 1) else {
        unreachable!("a document")
    };
    let hidden = Document {
        kind: DocumentKind::Placeholder,
        ..plain.clone()
    };
    let hidden = build(vec![Arc::new(Entry::Document(hidden))], None, 0);
    assert!(hidden.rows().is_empty() && hidden.memory() > 200_000);
}

#[test]
#[ignore = "by itself only: it looks at the memory of the whole process"]
fn a_listing_weighs_what_the_process_grows_by() {
    let anonymous = || -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kilobytes.parse::<usize>().unwrap() << 10
    };
    let before = anonymous();
    let listings: Vec<_> = (0..1000)
        .map(|folder| {
            let documents = (0..100).map(|at| full_document(folder * 100 + at)).collect();
            build(documents, None, 0)
        })
        .collect();
    let grown = anonymous() - before;
    let told: usize = listings.iter().map(Listing::memory).sum();
    let each = told / 100_000;
    assert!(
        told > grown * 85 / 100 && told < grown * 115 / 100,
        "told {told} ({each} a row), and the process grew by {grown}"
    );
}
