//! What holds in every world, for every account, whatever is changed.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use crate::demo::accounts::ACCOUNTS;
use crate::demo::knobs::Knobs;
use crate::demo::world::View;
use crate::demo::{Access, ExpectedDocument, InPlace, World, WorldError, WorldKind};
use crate::model::{DocumentKind, Guid};

use super::{BOTH_GUIDS, small_awkward, world_of};

/// Walks from the roots and compares all there is with every other way to see it.
pub(super) fn check(world: &World) {
    for account in ACCOUNTS {
        let (folders, documents) = world.view(account.email, walk);
        let told = world.folders_for(account.email);
        assert_eq!(told.len(), folders.len());
        assert_eq!(folders.len(), world.folder_count());
        for folder in told {
            let (path, listed, listable) = &folders[&folder.guid];
            assert_eq!(
                (&folder.path, folder.listed, folder.listable),
                (path, *listed, *listable)
            );
        }
        let told = world.documents_for(account.email);
        assert_eq!(told.len(), documents.len());
        assert_eq!(documents.len(), world.document_count());
        let mut seen = HashSet::new();
        for document in told {
            assert!(seen.insert(document.guid), "{document:?} is told twice");
            let (path, listed, readable) = &documents[&document.guid];
            assert_eq!((&document.path, document.listed), (path, *listed));
            assert_eq!(document.readable, *readable && document.size_known());
            assert_eq!(world.document_for(account.email, document.guid), Some(document));
        }
    }
}

impl ExpectedDocument {
    /// True where there are bytes: made documents without a file have none at all.
    fn size_known(&self) -> bool {
        self.kind == DocumentKind::File
    }
}

type Walked = HashMap<Guid, (Vec<String>, bool, bool)>;

/// Path, whether it is listed, and whether it can be opened, of every folder and document.
fn walk(view: View<'_>) -> (Walked, Walked) {
    let (mut folders, mut documents) = (Walked::new(), Walked::new());
    // A folder, its path, whether walking leads into it, and whether it is hidden or in a hidden one.
    let mut open: Vec<(Option<Guid>, Vec<String>, bool, bool)> = vec![(None, Vec::new(), true, false)];
    while let Some((here, path, reached, hidden)) = open.pop() {
        for row in view.folders_in(here) {
            assert_eq!(row.parent, here);
            assert_eq!(view.folder(row.guid).as_deref(), Some(&*row));
            let path: Vec<_> = path.iter().chain([&row.name]).cloned().collect();
            assert!(
                !hidden || row.access == Access::Hidden,
                "{path:?} is seen below a hidden folder"
            );
            let listable = row.access == Access::Full;
            assert_eq!(view.may_list(row.guid), listable);
            assert_eq!(view.reachable(row.guid), reached && listable);
            let listed = reached && row.access != Access::Hidden;
            let twice = folders.insert(row.guid, (path.clone(), listed, listable));
            assert_eq!(twice, None, "{path:?} is in two places");
            open.push((
                Some(row.guid),
                path,
                reached && listable,
                row.access == Access::Hidden,
            ));
        }
        let Some(here) = here else { continue };
        for row in view.documents_in(here) {
            assert_eq!(row.folder, here);
            assert_eq!(view.document(row.guid).as_deref(), Some(&*row));
            assert!(
                !hidden || row.access == Access::Hidden,
                "{path:?} shows a document of a hidden folder"
            );
            let listed = reached && row.access != Access::Hidden;
            let readable = row.access == Access::Full && view.may_list(here);
            let twice = documents.insert(row.guid, (path.clone(), listed, readable));
            assert_eq!(twice, None, "{} is in two places", row.guid);
        }
    }
    assert_eq!(view.all_folders().count(), folders.len());
    assert_eq!(view.all_documents().count(), documents.len());
    (folders, documents)
}

/// Some change; `a` and `b` choose what it is about.
fn change(world: &World, what: u8, a: usize, b: usize) -> Result<(), WorldError> {
    let folders = world.folders();
    let documents = world.documents();
    let folder = |pick: usize| folders[pick % folders.len()].guid;
    let document = |pick: usize| documents[pick % documents.len()].guid;
    let told = [
        InPlace::Listed,
        InPlace::SameTag,
        InPlace::SameSecond,
        InPlace::Unseen,
    ][b % 4];
    let access = [Access::Full, Access::SeeOnly, Access::Hidden][b % 3];
    let account = ACCOUNTS[b % ACCOUNTS.len()].email;
    match what {
        0 => world
            .add_folder((!b.is_multiple_of(5)).then(|| folder(a)), "New")
            .map(drop),
        1 => world.add_document(folder(a), "new.txt", "new").map(drop),
        2 => world
            .add_document_sized(folder(a), "sized.bin", b as u64)
            .map(drop),
        3 => world.add_placeholder(folder(a), "none").map(drop),
        4 => world.rename_document(document(a), "renamed.txt"),
        5 => world.rename_folder(folder(a), "Renamed"),
        6 => world.move_document(document(a), folder(b)),
        7 => world.move_folder(folder(a), (!b.is_multiple_of(5)).then(|| folder(b))),
        8 => world.delete_document(document(a)),
        // Not the root of all: there must be something left.
        9 if folders[a % folders.len()].path.len() > 2 => {
            world.delete_folder(folder(a))?;
            match b % 2 {
                0 => world.undelete(folder(a)),
                _ => Ok(()),
            }
        }
        10 => world.new_version(document(a), "version").map(drop),
        11 => world.new_version_sized(document(a), b as u64).map(drop),
        12 => world.replace_in_place(document(a), "replaced", told),
        13 => world.replace_sized(document(a), documents[a % documents.len()].size, told),
        14 => world.lose_file(document(a)),
        // A set that has a file all the same stays a set.
        15 if documents[a % documents.len()].kind != DocumentKind::Set => {
            world.give_file(document(a), "given.txt", "given")
        }
        16 => world.swap_names(document(a), document(b)),
        17 => world.swap_names(folder(a), folder(b)),
        18 => world.set_access(folder(a), access),
        19 => world.set_access(document(a), access),
        20 => world.set_access_for(account, folder(a), (!a.is_multiple_of(4)).then_some(access)),
        21 => world.set_access_for(account, document(a), (!a.is_multiple_of(4)).then_some(access)),
        22 => world.set_file_access_for(account, folder(a), Some(access)),
        23 => world.check_out(document(a)),
        24 => world.list_size(document(a), (!b.is_multiple_of(2)).then_some(7)),
        25 => world
            .delete_document(document(a))
            .and_then(|()| world.undelete(document(a))),
        _ => world.set_attribute(document(a), "DISCIPLINE", "Rail"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn no_change_breaks_what_holds_in_every_world(
        kind in 0..3_usize,
        guids in 0..2_usize,
        changes in prop::collection::vec((0..27_u8, any::<u32>(), any::<u32>()), 1..25),
    ) {
        let knobs = Knobs { version_guids: BOTH_GUIDS[guids], ..Knobs::default() };
        let world = match WorldKind::ALL[kind] {
            WorldKind::Awkward => small_awkward(knobs),
            kind => world_of(kind, 60, 110, knobs),
        };
        check(&world);
        for (what, a, b) in changes {
            let before = world.revision();
            let state = world.documents();
            match change(&world, what, a as usize, b as usize) {
                Ok(()) => prop_assert!(world.revision() > before),
                Err(_) if world.revision() == before => prop_assert_eq!(world.documents(), state),
                // The first half of two changes was done.
                Err(_) => {}
            }
        }
        check(&world);
    }
}
