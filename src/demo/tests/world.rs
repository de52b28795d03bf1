//! The three worlds as they are at the start, and what each change does to them.

mod invariants;

use std::collections::HashSet;
use std::sync::Arc;

use crate::demo::accounts::DEFAULT_EMAIL;
use crate::demo::awkward;
use crate::demo::knobs::{FolderTags, Knobs, Panel, VersionGuids};
use crate::demo::world::State;
use crate::demo::{DemoOptions, ExpectedDocument, InPlace, WorkflowState, World, WorldError, WorldKind};
use crate::model::{DocumentKind, Guid, Timestamp};

use self::invariants::check;

const INSPECTOR: &str = "site.inspector@example.com";
const REVIEWER: &str = "guest.reviewer@example.com";
const BOTH_GUIDS: [VersionGuids; 2] = [VersionGuids::Keep, VersionGuids::New];

fn world_of(kind: WorldKind, folders: usize, documents: usize, knobs: Knobs) -> Arc<World> {
    let options = DemoOptions {
        world: kind,
        folders,
        documents,
        ..DemoOptions::default()
    };
    World::build(&options, Arc::new(Panel::new(knobs)))
}

fn scale(folders: usize, documents: usize) -> Arc<World> {
    world_of(WorldKind::Scale, folders, documents, Knobs::default())
}

/// The awkward world with a small crowd: a hundred thousand rows looked at again and again take their time.
fn small_awkward(knobs: Knobs) -> Arc<World> {
    let mut state = State::new(1);
    awkward::build_world(&mut state, 1, 200);
    Arc::new(World::new(state, Arc::new(Panel::new(knobs))))
}

#[test]
fn a_million_documents_are_there_at_once_and_a_listing_makes_its_own_rows_only() {
    let world = scale(50_000, 1_000_000);
    assert_eq!(world.folder_count(), 50_000);
    assert_eq!(world.document_count(), 1_285_714);
    let (folder, path) = world.view(DEFAULT_EMAIL, |view| {
        let crowded = view
            .all_folders()
            .skip(3_000)
            .find(|row| view.documents_in(row.guid).count() > 200);
        let folder = crowded.unwrap().guid;
        (folder, view.path_of(folder))
    });
    let names: Vec<_> = path.iter().map(String::as_str).collect();
    assert_eq!(world.folder_at(&names), Some(folder));
    let rows: Vec<_> = world.view(DEFAULT_EMAIL, |view| {
        view.documents_in(folder).map(|row| row.guid).collect()
    });
    for guid in rows {
        let document = world.document(guid).unwrap();
        assert_eq!((document.folder_guid, &document.path), (folder, &path));
        assert_eq!(document.origin.unwrap().document, guid.as_bytes()[..3]);
    }
}

#[test]
fn what_is_added_to_a_scale_world_begins_like_nothing_else() {
    let world = scale(20, 500);
    let folder = world.folders()[7].guid;
    for number in 0..300 {
        let guid = world
            .add_document_sized(folder, &format!("{number}.bin"), 64)
            .unwrap();
        world.new_version_sized(guid, 80).unwrap();
    }
    let begins: HashSet<_> = world
        .documents()
        .iter()
        .map(|document| document.guid.hex_prefix(6))
        .collect();
    assert_eq!(begins.len(), world.document_count());
}

#[test]
fn every_content_a_document_ever_had_is_told_apart() {
    for version_guids in BOTH_GUIDS {
        let world = world_of(
            WorldKind::Bridge,
            0,
            0,
            Knobs {
                version_guids,
                ..Knobs::default()
            },
        );
        let folder = world.folder_at(&["Company Standards"]).unwrap();
        let mut guid = world.add_document_sized(folder, "a.bin", 100).unwrap();
        let mut origins = vec![world.document(guid).unwrap().origin];
        for round in 0..20 {
            match round % 4 {
                0 => guid = world.new_version_sized(guid, 100).unwrap(),
                1 => world.replace_sized(guid, 100, InPlace::SameSecond).unwrap(),
                2 => world.replace_sized(guid, 100, InPlace::SameTag).unwrap(),
                _ => world.replace_sized(guid, 100, InPlace::Unseen).unwrap(),
            }
            let origin = world.document(guid).unwrap().origin;
            let bytes = world.content(guid).unwrap();
            assert_eq!(origin.unwrap().check(&bytes, 0), Ok(()));
            assert!(!origins.contains(&origin), "{round}: {origin:?}");
            origins.push(origin);
        }
        // Versions keep what they held when they were superseded.
        let versions = world
            .documents()
            .into_iter()
            .filter(|other| other.name == "a.bin");
        for version in versions {
            let bytes = world.content(version.guid).unwrap();
            assert_eq!(version.origin.unwrap().check(&bytes, 0), Ok(()));
            assert_eq!(version.original, world.document(guid).unwrap().original);
        }
    }
}

#[test]
fn the_roles_of_the_bridge_are_true() {
    let world = world_of(WorldKind::Bridge, 60, 400, Knobs::default());
    let listed = |account: &str| -> Vec<_> {
        let documents = world.documents_for(account).into_iter();
        documents.filter(|document| document.listed).collect()
    };
    let everything = listed(DEFAULT_EMAIL).len();
    let inspected = listed(INSPECTOR);
    assert!(!inspected.is_empty() && inspected.len() < everything / 3);
    for document in inspected {
        assert!(["00 General", "05 Site Photos", "06 Construction"].contains(&document.path[1].as_str()));
    }
    let reviewed = listed(REVIEWER);
    assert!(reviewed.iter().any(|document| document.readable));
    for document in &reviewed {
        assert_eq!(document.path[1], "03 Design");
        let calculation = document.path.last().unwrap() == "Calculations";
        assert_eq!(
            document.readable,
            document.kind == DocumentKind::File && !calculation
        );
    }
    // What comes later obeys as well.
    let folder = world
        .folder_at(&["Leven Estuary Crossing", "03 Design", "Piers", "Calculations"])
        .unwrap();
    let new = world.add_document(folder, "new.csv", "1,2").unwrap();
    let seen = world.document_for(REVIEWER, new).unwrap();
    assert_eq!((seen.listed, seen.readable), (true, false));
    assert!(world.document_for(DEFAULT_EMAIL, new).unwrap().readable);
}

#[test]
fn an_inspector_of_a_scale_world_sees_every_tenth_top_folder() {
    let world = scale(25_000, 1_000);
    let roots = |account: &str| {
        let folders = world.folders_for(account).into_iter();
        folders
            .filter(|folder| folder.parent.is_none() && folder.listed)
            .count()
    };
    assert_eq!((roots(DEFAULT_EMAIL), roots(INSPECTOR)), (25, 3));
    let closed = world
        .folders_for(REVIEWER)
        .into_iter()
        .filter(|folder| !folder.listable)
        .count();
    assert_eq!(closed, 1);
}

#[test]
fn a_right_is_one_accounts_own() {
    let world = scale(20, 300);
    let document = world.documents()[5].clone();
    world.revoke_for(INSPECTOR, document.guid).unwrap();
    world.revoke(document.guid).unwrap();
    world.grant_for(REVIEWER, document.guid).unwrap();
    let readable = |account| world.document_for(account, document.guid).unwrap().readable;
    assert_eq!(
        (readable(DEFAULT_EMAIL), readable(REVIEWER)),
        (false, document.readable)
    );
    world.set_access_for(REVIEWER, document.guid, None).unwrap();
    assert!(!readable(REVIEWER));
    let nobody = Guid::from_bytes([1; 16]);
    assert_eq!(
        world.grant_for(REVIEWER, nobody),
        Err(WorldError::UnknownDocument(nobody))
    );
}

#[test]
fn the_awkward_world_has_what_its_table_says() {
    let world = world_of(WorldKind::Awkward, 0, 0, Knobs::default());
    let at = |path: &[&str]| {
        let path: Vec<_> = [awkward::ROOT].iter().chain(path).copied().collect();
        world.document(world.document_at(&path).unwrap()).unwrap()
    };
    assert_eq!(at(&["17 Five GiB", "five-gib.bin"]).size, 5 << 30);
    assert_eq!(at(&["18 Wrong Sizes", "not-listed.txt"]).listed_size, None);
    assert_eq!(at(&["16 Empty File", "empty.txt"]).size, 0);
    let unlucky = world
        .folder_at(&[awkward::ROOT, "15 One Hundred Thousand"])
        .unwrap();
    let crowd = world.view(DEFAULT_EMAIL, |view| view.documents_in(unlucky).count());
    assert_eq!(crowd, 100_000);
    let world = small_awkward(Knobs::default());
    let (folders, documents) = (world.folders(), world.documents());
    assert_eq!(folders.iter().map(|folder| folder.path.len()).max(), Some(62));
    let longest = documents
        .iter()
        .filter_map(|document| document.file_name.as_deref());
    let lengths: HashSet<_> = longest.map(str::len).collect();
    assert!(
        [254, 255, 256, 300, 381, 508]
            .iter()
            .all(|length| lengths.contains(length))
    );
    for code in (1..0x20).chain([0x7f]) {
        let control = char::from_u32(code).unwrap();
        let found = documents.iter().any(|document| document.name.contains(control));
        assert!(found, "{code:#x}");
    }
    let hidden: Vec<_> = documents
        .iter()
        .filter(|document| document.name == "unfindable.txt")
        .collect();
    assert!(!hidden[0].listed && !hidden[0].readable);
    let numbered = folders.iter().filter(|folder| folder.path.len() == 2);
    let doc = include_str!("../awkward.rs");
    for folder in numbered {
        assert!(
            doc.contains(&format!("//! | `{}` |", folder.path[1])),
            "{:?} is not in the table",
            folder.path
        );
    }
}

#[test]
fn one_pass_over_all_documents_tells_what_single_questions_tell() {
    let world = scale(200, 3_000);
    let mut count = 0;
    world.each_document(INSPECTOR, |document| {
        count += 1;
        assert!(document.sequence < 4);
    });
    assert_eq!(count, world.document_count());
    check(&world);
}

/// A world, and one of its documents that has a file and no other version.
fn one_document() -> (Arc<World>, ExpectedDocument) {
    let world = scale(20, 300);
    let documents = world.documents();
    let plain = documents
        .iter()
        .find(|document| document.size > 100 && document.original == document.guid);
    (Arc::clone(&world), plain.unwrap().clone())
}

#[test]
fn a_file_replaced_within_a_second_keeps_length_and_second() {
    let (world, before) = one_document();
    world
        .replace_sized(before.guid, before.size, InPlace::Listed)
        .unwrap();
    let first = world.document(before.guid).unwrap();
    world
        .replace_sized(before.guid, before.size, InPlace::SameSecond)
        .unwrap();
    let second = world.document(before.guid).unwrap();
    let stamp = |document: &ExpectedDocument| document.file_updated.unwrap().as_nanosecond();
    assert_eq!(stamp(&second) - stamp(&first), 1_000_000);
    assert_eq!(stamp(&second) / 1_000_000_000, stamp(&first) / 1_000_000_000);
    assert_eq!((second.size, second.listed_size), (first.size, first.listed_size));
    assert_ne!(second.origin, first.origin);
    let other = world.replace_in_place(before.guid, "short", InPlace::SameSecond);
    assert_eq!(other, Err(WorldError::OtherSize(before.guid)));
    assert_eq!(world.document(before.guid).unwrap(), second);
    let tag = || {
        world.view(DEFAULT_EMAIL, |view| {
            view.document(before.guid).unwrap().file_etag()
        })
    };
    let same = tag();
    world
        .replace_sized(before.guid, before.size, InPlace::Unseen)
        .unwrap();
    let third = world.document(before.guid).unwrap();
    assert_eq!((tag(), third.file_updated), (same, second.file_updated));
    assert_ne!(third.origin, second.origin);
}

#[test]
fn a_thousand_replacements_never_leave_their_second() {
    let (world, before) = one_document();
    for _ in 0..1_001 {
        world
            .replace_sized(before.guid, before.size, InPlace::SameSecond)
            .unwrap();
    }
    let after = world.document(before.guid).unwrap().file_updated.unwrap();
    assert_eq!(after.as_second(), before.file_updated.unwrap().as_second());
}

#[test]
fn properties_change_and_bytes_do_not() {
    let (world, before) = one_document();
    let guid = before.guid;
    let bytes = world.content(guid);
    world.edit_name(guid, "Another Name").unwrap();
    world.set_state(guid, WorkflowState::Published).unwrap();
    world.set_attribute(guid, "DISCIPLINE", "Rail").unwrap();
    world.check_out(guid).unwrap();
    world.list_size(guid, Some(1)).unwrap();
    let past: Timestamp = "2001-02-03T04:05:06Z".parse().unwrap();
    world.touch(guid, past).unwrap();
    let after = world.document(guid).unwrap();
    assert_eq!(
        (after.name.as_str(), &after.file_name),
        ("Another Name", &before.file_name)
    );
    assert_eq!((after.listed_size, after.file_updated), (Some(1), Some(past)));
    assert_eq!(world.content(guid), bytes);
    world.view(DEFAULT_EMAIL, |view| {
        let row = view.document(guid).unwrap();
        assert_eq!(
            (row.state.id(), row.checked_out(), row.item_type()),
            (13, true, 10)
        );
        assert_eq!(row.set_attribute("DISCIPLINE"), Some("Rail"));
        assert!(row.mime_type().is_some());
    });
    world.edit_file_name(guid, "other.csv").unwrap();
    world.check_in(guid).unwrap();
    world.view(DEFAULT_EMAIL, |view| {
        let row = view.document(guid).unwrap();
        assert_eq!((row.mime_type(), row.checked_out()), (Some("text/csv"), false));
        assert_eq!(row.name, "Another Name");
    });
}

#[test]
fn a_placeholder_gains_a_file_and_loses_it() {
    let world = scale(20, 300);
    let folder = world.folders()[9].guid;
    let guid = world.add_placeholder(folder, "doc00001").unwrap();
    assert_eq!(world.lose_file(guid), Err(WorldError::NoFile(guid)));
    world.give_file(guid, "drawing.pdf", "bytes").unwrap();
    let with = world.document(guid).unwrap();
    assert_eq!((with.kind, with.listed_size), (DocumentKind::File, Some(5)));
    assert_eq!(
        world.give_file(guid, "again.pdf", "x"),
        Err(WorldError::HasFile(guid))
    );
    world.lose_file(guid).unwrap();
    let without = world.document(guid).unwrap();
    assert_eq!(
        (without.kind, without.file_name, without.file_updated),
        (DocumentKind::Placeholder, None, None)
    );
    assert_eq!(world.content(guid), None);
}

#[test]
fn names_are_swapped_in_one_step() {
    let world = scale(20, 300);
    let documents = world.documents();
    let (one, other) = (&documents[3], &documents[40]);
    world.swap_names(one.guid, other.guid).unwrap();
    assert_eq!(world.document(one.guid).unwrap().file_name, other.file_name);
    assert_eq!(world.document(other.guid).unwrap().name, one.name);
    let folders = world.folders();
    world.swap_names(folders[0].guid, folders[1].guid).unwrap();
    assert_eq!(world.folder(folders[0].guid).unwrap().path, folders[1].path);
    let mixed = world.swap_names(folders[0].guid, one.guid);
    assert_eq!(mixed, Err(WorldError::UnlikeKinds(folders[0].guid, one.guid)));
    world
        .rename_folder(folders[2].guid, &folders[2].path[0].to_uppercase())
        .unwrap();
    assert_eq!(
        world.folder(folders[2].guid).unwrap().path[0],
        folders[2].path[0].to_uppercase()
    );
}

#[test]
fn what_was_deleted_comes_back_under_its_own_guids() {
    let world = scale(200, 3_000);
    world
        .add_document(world.folders()[0].guid, "added.txt", "added")
        .unwrap();
    let (folders, documents) = (world.folders(), world.documents());
    let root = folders[0].guid;
    world.delete_folder(root).unwrap();
    assert!(
        world
            .folders()
            .iter()
            .all(|folder| folder.path[0] != folders[0].path[0])
    );
    assert!(world.document_count() < documents.len());
    check(&world);
    assert_eq!(world.delete_folder(root), Err(WorldError::UnknownFolder(root)));
    world.undelete(root).unwrap();
    assert_eq!((world.folders(), world.documents()), (folders, documents.clone()));
    check(&world);
    assert_eq!(world.undelete(root), Err(WorldError::NotDeleted(root)));
    let document = &documents[100];
    world.delete_document(document.guid).unwrap();
    assert_eq!(world.document(document.guid), None);
    world.delete_folder(document.folder_guid).unwrap();
    assert_eq!(
        world.undelete(document.guid),
        Err(WorldError::UnknownFolder(document.folder_guid))
    );
    world.undelete(document.folder_guid).unwrap();
    world.undelete(document.guid).unwrap();
    assert_eq!(world.document(document.guid).as_ref(), Some(document));
}

#[test]
fn the_revision_counts_what_was_done_and_not_what_failed() {
    let (world, document) = one_document();
    assert_eq!(world.revision(), 0);
    world.edit_description(document.guid, "checked").unwrap();
    world.revoke(document.guid).unwrap();
    assert_eq!(world.revision(), 2);
    assert!(world.delete_document(Guid::from_bytes([9; 16])).is_err());
    assert_eq!(
        world.replace_sized(document.guid, 1 << 40, InPlace::Listed),
        Err(WorldError::TooLong(1 << 40))
    );
    assert_eq!(world.revision(), 2);
}

#[test]
fn a_folders_tags_tell_of_its_children_only_where_the_knob_says_so() {
    for tags in [FolderTags::Own, FolderTags::Children] {
        let world = world_of(
            WorldKind::Scale,
            20,
            300,
            Knobs {
                folder_tags: tags,
                ..Knobs::default()
            },
        );
        let folder = world.documents()[0].folder_guid;
        let told = || {
            let row = |guid| {
                world.view(DEFAULT_EMAIL, |view| {
                    let row = view.folder(guid).unwrap();
                    (row.updated, row.etag())
                })
            };
            (row(folder), row(world.folders()[0].guid))
        };
        let before = told();
        let (inside, above) = before;
        let new = world.add_document(folder, "new.txt", "new").unwrap();
        let added = told();
        assert_eq!(added.0 != inside, tags == FolderTags::Children);
        // Not of what is further below.
        assert_eq!(added.1, above);
        world.rename_document(new, "renamed.txt").unwrap();
        let renamed = told();
        assert_eq!(renamed.0 != added.0, tags == FolderTags::Children);
        world.delete_document(new).unwrap();
        assert_eq!(told().0 != renamed.0, tags == FolderTags::Children);
    }
}
