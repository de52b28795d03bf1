//! The inode table against a plain model of it.

use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

const FOLDER: FolderId = FolderId(Guid::from_bytes([9; 16]));
const DIRECTORY: Directory = Directory {
    mount: MountEntry::WHOLE,
    id: DirId::Folder(FOLDER),
};

const fn tag(size: u64) -> ContentTag {
    ContentTag {
        size: Some(size),
        stamp: None,
        revision: 0,
    }
}

const fn file(guid: u128, tag: ContentTag) -> Target {
    Target::File(Version {
        id: DocumentId(Guid::from_bytes(guid.to_be_bytes())),
        tag,
        mtime: Timestamp::UNIX_EPOCH,
        ctime: Timestamp::UNIX_EPOCH,
    })
}

const fn folder(guid: u128) -> Directory {
    Directory {
        mount: MountEntry::WHOLE,
        id: DirId::Folder(FolderId(Guid::from_bytes(guid.to_be_bytes()))),
    }
}

#[test]
fn the_number_is_the_same_for_ever() {
    // Written down once: a change here would give every file of every user another inode number.
    let identity = Identity::File(MountEntry::WHOLE, DocumentId(Guid::from_bytes([7; 16])), tag(5));
    assert_eq!(
        number(&identity.to_string(), 0),
        InodeNo(7_049_817_991_219_145_603)
    );
}

#[test]
fn a_new_version_is_a_new_inode() {
    let table = InodeTable::default();
    let old = table.resolve(ROOT_DIRECTORY, file(1, tag(1)));
    let new = table.resolve(ROOT_DIRECTORY, file(1, tag(2)));
    assert_ne!(old.ino, new.ino);
}

#[test]
fn an_inode_lives_until_its_last_reference_is_forgotten() {
    let table = InodeTable::default();
    let inode = table.resolve(ROOT_DIRECTORY, file(1, tag(1)));
    table.remember(&inode);
    table.remember(&inode);
    assert_eq!(table.forget(inode.ino, 1), None);
    assert_eq!(table.get(inode.ino), Some(inode));
    assert_eq!(table.forget(inode.ino, 1), Some(inode));
    assert_eq!(table.get(inode.ino), None);
    assert!(table.is_empty());
    assert_eq!(table.overdrawn(), 0);
    assert_eq!(table.forget(inode.ino, 3), None);
    assert_eq!(table.overdrawn(), 3);
}

#[test]
fn two_inodes_of_one_number_are_told_apart() {
    let table = InodeTable::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    table.keep_salts(move |identity, salt| hears.lock().push((identity.to_owned(), salt)));
    let first = table.resolve(ROOT_DIRECTORY, file(1, tag(1)));
    // Plays a clash: another identity sits on the number of the second one.
    let clash = table.resolve(ROOT_DIRECTORY, file(2, tag(1))).ino;
    table.remember(&Inode { ino: clash, ..first });
    let moved = table.resolve(ROOT_DIRECTORY, file(2, tag(1)));
    assert_ne!(moved.ino, clash);
    table.forget(clash, 1);
    let again = table.resolve(ROOT_DIRECTORY, file(2, tag(1)));
    assert_eq!(again, moved, "the salt is remembered");
    assert_eq!(*told.lock(), table.salts());
    let later = InodeTable::with_salts(table.salts());
    assert_eq!(
        later.resolve(ROOT_DIRECTORY, file(2, tag(1))),
        moved,
        "and kept for a later table"
    );
}

#[test]
fn a_chosen_folder_keeps_its_own_mount_entry() {
    let table = InodeTable::default();
    let chosen = Directory {
        mount: MountEntry(FOLDER.0),
        id: DirId::Folder(FOLDER),
    };
    let inode = table.resolve(ROOT_DIRECTORY, Target::Directory(chosen, None));
    table.remember(&inode);
    assert_eq!(table.get(inode.ino), Some(inode));
}

#[test]
fn a_counter_at_its_end_never_lets_go() {
    let table = InodeTable::default();
    let inode = table.resolve(ROOT_DIRECTORY, file(1, tag(1)));
    table.remember(&inode);
    table.shard(inode.ino).get_mut(inode.ino).unwrap().lookups = u32::MAX - 1;
    table.remember(&inode);
    table.remember(&inode);
    table.forget(inode.ino, u64::from(u32::MAX));
    assert!(table.holds(inode.ino));
}

/// Has the table hold `documents` in folders of twenty; their numbers.
fn fill(table: &InodeTable, documents: u64) -> Vec<InodeNo> {
    (0..documents)
        .map(|at| {
            let parent = folder(u128::from(at / 20) + 1);
            let inode = Inode {
                // A hash would take most of this test's time.
                ino: InodeNo((at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1),
                parent,
                target: file(u128::from(at) << 64, tag(at)),
            };
            table.remember(&inode);
            inode.ino
        })
        .collect()
}

#[test]
fn a_held_inode_takes_less_than_a_hundred_bytes_and_gives_them_back() {
    const DOCUMENTS: u64 = 50_000;
    let table = InodeTable::default();
    let mut numbers = fill(&table, DOCUMENTS);
    let each = table.bytes() / numbers.len();
    assert!(
        size_of::<Held>() <= 72 && (72..100).contains(&each),
        "{} bytes a row, {each} an inode",
        size_of::<Held>()
    );
    // Most of them, in no order of theirs: what is left takes little more than its share.
    let rest = numbers.split_off(numbers.len() * 9 / 10);
    for ino in numbers {
        table.forget(ino, 1);
    }
    let each = table.bytes() / rest.len();
    assert!(each < 200, "{each} bytes an inode after most were forgotten");
    for ino in rest {
        table.forget(ino, 1);
    }
    assert_eq!((table.len(), table.bytes(), table.overdrawn()), (0, 0, 0));
    assert_eq!(table.forgotten(), DOCUMENTS);
    assert!(
        table.many_forgotten().now_or_never().is_some(),
        "memory is worth giving back"
    );
}

/// What may happen to an inode table.
#[derive(Debug, Clone)]
enum Step {
    /// The kernel is given an entry, as it is after so many edits.
    Look(usize, i32),
    /// The kernel forgets so many references of what it holds, if it does.
    Forget(usize, u64),
    /// A refresh found other attributes.
    Update(usize, i32),
    /// The process starts again, and knows the salts.
    Restart,
}

/// Everything that can be looked up: folders and documents in two versions, by two mount entries.
fn things() -> Vec<(Directory, Target)> {
    let stamp = Timestamp::new(-1_234_567, -89).unwrap();
    let mut things = Vec::new();
    for mount in [MountEntry::WHOLE, MountEntry(FOLDER.0)] {
        let parent = Directory { mount, ..DIRECTORY };
        for guid in 1..4 {
            things.push((
                parent,
                Target::Directory(
                    Directory {
                        mount,
                        ..folder(guid)
                    },
                    None,
                ),
            ));
            things.push((parent, file(guid, tag(1))));
            let tag = ContentTag {
                size: None,
                stamp: Some(stamp),
                revision: 7,
            };
            things.push((parent, file(guid, tag)));
        }
    }
    things
}

/// The thing with attributes that no number is made from.
fn edited((parent, target): (Directory, Target), edit: i32) -> (Directory, Target) {
    let time = Timestamp::new(i64::from(edit), edit % 2).unwrap();
    let target = match target {
        Target::Directory(directory, _) => Target::Directory(directory, Some(time)),
        Target::File(version) => Target::File(Version {
            mtime: version.tag.stamp.unwrap_or(time),
            ctime: time,
            ..version
        }),
    };
    // Now and then it has moved.
    let id = folder(u128::from(edit.unsigned_abs()) % 3 + 20).id;
    (Directory { id, ..parent }, target)
}

/// So few numbers that they clash all the time.
fn narrow(identity: &str, salt: u32) -> InodeNo {
    InodeNo(number(identity, salt).0 % 40 + 2)
}

fn table(salts: Vec<(String, u32)>) -> InodeTable {
    InodeTable {
        number: narrow,
        ..InodeTable::with_salts(salts)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let thing = 0..things().len();
    prop_oneof![
        6 => (thing.clone(), any::<i16>()).prop_map(|(at, edit)| Step::Look(at, edit.into())),
        5 => (thing.clone(), 1..4_u64).prop_map(|(at, count)| Step::Forget(at, count)),
        2 => (thing, any::<i16>()).prop_map(|(at, edit)| Step::Update(at, edit.into())),
        1 => Just(Step::Restart),
    ]
}

/// What the kernel holds: the inode of each thing, and how often.
type Model = HashMap<usize, (Inode, u64)>;

/// Resolves a thing; the number must be the one it was given before, unless another one holds that now.
fn resolve(
    table: &InodeTable,
    at: usize,
    edit: i32,
    held: &Model,
    given: &mut HashMap<usize, InodeNo>,
) -> Result<Inode, TestCaseError> {
    let (parent, target) = edited(things()[at], edit);
    let inode = table.resolve(parent, target);
    if let Some(before) = given.insert(at, inode.ino) {
        let taken = held
            .iter()
            .any(|(&other, (held, _))| other != at && held.ino == before);
        prop_assert!(inode.ino == before || taken, "another number without a need");
    }
    Ok(inode)
}

proptest! {
    #[test]
    fn an_inode_is_one_version_by_one_path_whatever_happens(
        steps in proptest::collection::vec(step(), 1..120)
    ) {
        let mut table = table(Vec::new());
        let (mut held, mut given) = (HashMap::new(), HashMap::new());
        let mut overdrawn = 0;
        for step in steps {
            match step {
                Step::Look(at, edit) => {
                    let inode = resolve(&table, at, edit, &held, &mut given)?;
                    table.remember(&inode);
                    let count = held.get(&at).map_or(0, |&(_, count)| count);
                    held.insert(at, (inode, count + 1));
                }
                Step::Forget(at, count) => {
                    let Some(&(inode, counted)) = held.get(&at) else { continue };
                    let last = table.forget(inode.ino, count);
                    overdrawn += count.saturating_sub(counted);
                    if count >= counted {
                        held.remove(&at);
                        prop_assert_eq!(last, Some(inode));
                    } else {
                        held.insert(at, (inode, counted - count));
                        prop_assert_eq!(last, None);
                    }
                }
                Step::Update(at, edit) => {
                    let inode = resolve(&table, at, edit, &held, &mut given)?;
                    table.update(&inode);
                    if let Some((kept, _)) = Model::get_mut(&mut held, &at) {
                        prop_assert_eq!(kept.ino, inode.ino);
                        *kept = inode;
                    }
                }
                Step::Restart => {
                    table = self::table(table.salts());
                    held.clear();
                    overdrawn = 0;
                }
            }
            let numbers: std::collections::HashSet<_> = held.values().map(|(inode, _)| inode.ino).collect();
            prop_assert_eq!(numbers.len(), held.len(), "two live inodes of one number");
            prop_assert_eq!(table.len(), held.len());
            for (inode, _) in held.values() {
                prop_assert_eq!(table.get(inode.ino), Some(*inode));
            }
            let places: std::collections::HashSet<_> = held.values().map(|(inode, _)| inode.place()).collect();
            prop_assert_eq!(table.places.lock().len(), places.len());
            prop_assert_eq!(table.overdrawn(), overdrawn);
        }
    }
}
