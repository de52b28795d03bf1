//! What is legal in ProjectWise and awkward on Linux (fact sheet 4): one folder of names in the bridge project, and
//! a world of its own.
//!
//! The world has one root, `Awkward Estate`, and in it:
//!
//! | folder | holds |
//! |---|---|
//! | `01 Duplicates` | the same name twice and three times, also of a placeholder and a file |
//! | `02 Case Twins` | names that differ by case only, also of folders |
//! | `03 Normal Forms` | one word composed and decomposed (NFC, NFD), also of folders |
//! | `04 Control Characters` | a file for each of U+0000 to U+001F and for DEL, at the start, middle and end |
//! | `05 Reserved Marks` | `/ \ : * ? " < > |` and their look-alikes, in files and folders |
//! | `06 Symbols For Controls` | U+2400 to U+2421, U+FF0F and U+201B: what others escape with |
//! | `07 Direction And Width` | bidi overrides and isolates, zero-width characters, BOM, line separators |
//! | `08 Emoji And Marks` | joined emoji, flags, lone combining marks, private use, beyond the BMP |
//! | `09 Blanks And Dots` | leading and trailing blanks and dots, only blanks, `.` and `..`, no-break spaces |
//! | `10 Device Names` | `CON`, `NUL`, `aux.txt` and the others of Windows |
//! | `11 Shell Traps` | `-rf`, `~`, `$(…)`, quotes, globs, percent escapes, `desktop.ini`, `.Trash` |
//! | `12 Our Own Suffix` | ` ~<8 hex>` look-alikes, alone and beside what they would be made of |
//! | `13 Long Names` | 254, 255, 256 and 300 bytes; 127 ideographs; 127 joined emoji; twins that differ at the end |
//! | `14 Deep` | folders 60 deep, with a file at the bottom |
//! | `15 One Hundred Thousand` | that many documents |
//! | `16 Empty File` | no bytes, with and without a listed size |
//! | `17 Five GiB` | one file of 5 GiB |
//! | `18 Wrong Sizes` | sizes listed too small, too large, as 0 and not at all |
//! | `19 Folder And Document` | a document and a folder of one name, `Twin` and `plan.pdf` |
//! | `20 Addresses` | documents named as URLs, `.url` files, `pw://` links |
//! | `21 Empty Names` | no name but a file name; a name but an empty file name |
//! | `22 Same Name Every Version` | three versions of one name, and three active documents of one name |
//! | `23 Placeholders` | documents without files, some named as files are |
//! | `24 Sets` | a flat set, a logical set, a set of sets, sets that hold each other, a set with what may not be seen |
//! | `25 Refused` | a folder that is seen and not listed, one that is hidden, a file that is seen and not read |
//! | `26 Empty Folder` | nothing |
//! | `27 Old And New` | files of before 1970, of 1601 and of 2100 |
//! | `28 Folder Names` | the marks, blanks and lengths above as folders, each with a file in it |

mod hard;

use crate::model::Guid;

use super::bridge::{fileless, folder, place};
use super::world::{Access, Content, DocumentClass, Ground, NewDocument, State};

/// Name of the folder, below the bridge project.
pub(super) const FOLDER: &str = "10 Names From Migration";
/// Name of the one root of the awkward world.
pub(super) const ROOT: &str = "Awkward Estate";
/// The longest document name ProjectWise takes, in characters.
const NAME_LIMIT: usize = 127;
/// Documents of the crowded folder.
pub(super) const CROWD: u32 = 100_000;
/// Folders below each other.
const DEPTH: usize = 60;
/// Longer than 32 bits can count.
const FIVE_GIB: u64 = 5 << 30;

/// Fills the folder of the bridge project.
pub(super) fn build(state: &mut State, project: Guid) {
    let here = folder(state, Some(project), FOLDER);
    let cjk: String = "橋梁設計図面".chars().cycle().take(NAME_LIMIT).collect();
    let ascii = "x".repeat(296) + ".txt";
    let names = [
        "plan/section.txt",
        "plan\\section.txt",
        "control\u{1}character.txt",
        "tab\there.txt",
        "new\nline.txt",
        "already\u{2409}symbol.txt",
        ".",
        "..",
        "full\u{ff0f}width.txt",
        "quote\u{201b}mark.txt",
        "Duplicate.pdf",
        "Duplicate.pdf",
        "Case Twin.TXT",
        "case twin.txt",
        // One word composed and decomposed: equal to the eye, different bytes.
        "Br\u{fc}cke.txt",
        "Bru\u{308}cke.txt",
        "Twin",
        "  leading spaces.txt",
        "trailing space.txt ",
        "trailing dots...",
        "..two leading dots.txt",
        "bridge \u{1f309} at night.png",
        "evil\u{202e}txt.exe",
        "-rf.txt",
        "semi;colon & $(dollar) `tick`.txt",
        cjk.as_str(),
        ascii.as_str(),
    ];
    for (file_name, size) in names.into_iter().zip((0..).map(|index| 300 + 7 * index)) {
        let name: String = file_name.chars().take(NAME_LIMIT).collect();
        place(state, here, file_name, &name, size);
    }
    for name in ["slash/folder", "back\\slash folder", "Twin", " spaced folder "] {
        let folder = folder(state, Some(here), name);
        place(state, folder, "inside.txt", "Inside", 120);
    }
}

/// Fills an empty state with the awkward world; `crowd` documents are in the crowded folder.
pub(super) fn build_world(state: &mut State, seed: u64, crowd: u32) {
    let root = folder(state, None, ROOT);
    let mut crowded = None;
    for (number, (name, fill)) in SHELVES.iter().enumerate() {
        let here = folder(state, Some(root), &format!("{:02} {name}", number + 1));
        fill(state, here);
        if *name == CROWDED {
            crowded = Some(here);
        }
    }
    if let Some(here) = crowded {
        let now = state.now();
        state.lay(Ground::crowd(seed, here, crowd, now));
    }
}

const CROWDED: &str = "One Hundred Thousand";

type Fill = fn(&mut State, Guid);

#[rustfmt::skip]
const SHELVES: [(&str, Fill); 28] = [
    ("Duplicates", duplicates),
    ("Case Twins", |state, here| twins(state, here, &hard::CASE_TWINS)),
    ("Normal Forms", |state, here| twins(state, here, &hard::NORMAL_FORMS)),
    ("Control Characters", |state, here| files(state, here, &hard::controls())),
    ("Reserved Marks", |state, here| files(state, here, &hard::reserved())),
    ("Symbols For Controls", |state, here| files(state, here, &hard::symbols())),
    ("Direction And Width", |state, here| files(state, here, &hard::invisible())),
    ("Emoji And Marks", |state, here| files(state, here, &owned(&hard::EMOJI))),
    ("Blanks And Dots", |state, here| files(state, here, &owned(&hard::BLANKS))),
    ("Device Names", |state, here| files(state, here, &owned(&hard::DEVICES))),
    ("Shell Traps", |state, here| files(state, here, &owned(&hard::SHELL))),
    ("Our Own Suffix", |state, here| files(state, here, &owned(&hard::SUFFIXES))),
    ("Long Names", |state, here| files(state, here, &hard::long())),
    ("Deep", deep),
    (CROWDED, |_, _| {}),
    ("Empty File", empty_file),
    ("Five GiB", |state, here| { sized(state, here, "five-gib.bin", FIVE_GIB); }),
    ("Wrong Sizes", wrong_sizes),
    ("Folder And Document", folder_and_document),
    ("Addresses", |state, here| files(state, here, &owned(&hard::ADDRESSES))),
    ("Empty Names", empty_names),
    ("Same Name Every Version", versions),
    ("Placeholders", placeholders),
    ("Sets", sets),
    ("Refused", refused),
    ("Empty Folder", |_, _| {}),
    ("Old And New", times),
    ("Folder Names", folder_names),
];

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A file for each name; the document's name is the file's, as far as it may be that long.
fn files(state: &mut State, here: Guid, names: &[String]) {
    for (file_name, size) in names.iter().zip((0..).map(|index| 300 + 7 * index)) {
        let name: String = file_name.chars().take(NAME_LIMIT).collect();
        place(state, here, file_name, &name, size);
    }
}

/// Files and folders of the same names.
fn twins(state: &mut State, here: Guid, names: &[&str]) {
    files(state, here, &owned(names));
    for name in names {
        let stem = name.rsplit_once('.').map_or(*name, |(stem, _)| stem);
        let inside = folder(state, Some(here), stem);
        place(state, inside, name, name, 64);
    }
}

fn duplicates(state: &mut State, here: Guid) {
    files(
        state,
        here,
        &owned(&["twice.pdf", "twice.pdf", "thrice.txt", "thrice.txt", "thrice.txt"]),
    );
    fileless(state, here, "thrice.txt".to_owned(), DocumentClass::Document);
    for _ in 0..2 {
        let inside = folder(state, Some(here), "Two Folders");
        place(state, inside, "inside.txt", "inside.txt", 99);
    }
}

fn deep(state: &mut State, here: Guid) {
    let mut at = here;
    for level in 1..=DEPTH {
        at = folder(state, Some(at), &format!("Level {level:02}"));
    }
    place(state, at, "bottom.txt", "bottom.txt", 200);
}

fn empty_file(state: &mut State, here: Guid) {
    place(state, here, "empty.txt", "empty.txt", 0);
    let unlisted = place(state, here, "empty-unlisted.txt", "empty-unlisted.txt", 0);
    list_size(state, unlisted, None);
}

fn wrong_sizes(state: &mut State, here: Guid) {
    let cases = [
        ("too-small.txt", 5_000, Some(1_234)),
        ("too-large.txt", 5_000, Some(50_000)),
        ("listed-as-zero.txt", 5_000, Some(0)),
        ("not-listed.txt", 5_000, None),
        ("empty-listed-as-more.txt", 0, Some(4_096)),
        ("off-by-one.txt", 4_097, Some(4_096)),
        ("listed-beyond-memory.txt", 5_000, Some(u64::from(u32::MAX) << 20)),
    ];
    for (name, size, listed) in cases {
        let guid = place(state, here, name, name, size);
        list_size(state, guid, listed);
    }
    let large = sized(state, here, "large-not-listed.bin", 64 << 20);
    list_size(state, large, None);
}

fn list_size(state: &mut State, document: Guid, size: Option<u64>) {
    if let Some(row) = state.document_mut(document) {
        row.listed_size = size;
    }
}

fn folder_and_document(state: &mut State, here: Guid) {
    for name in ["Twin", "plan.pdf"] {
        place(state, here, name, name, 3_000);
        let inside = folder(state, Some(here), name);
        place(state, inside, name, name, 4_000);
    }
}

fn empty_names(state: &mut State, here: Guid) {
    place(state, here, "named-by-file.txt", "", 500);
    let nameless = fileless(state, here, "Empty file name".to_owned(), DocumentClass::Document);
    if let Some(row) = state.document_mut(nameless) {
        row.file_name = Some(String::new());
    }
    fileless(state, here, String::new(), DocumentClass::Document);
}

fn versions(state: &mut State, here: Guid) {
    let mut original = None;
    for sequence in 0..3_u32 {
        let guid = state.dice.guid();
        let content = Content::oracle(guid, sequence, 40_000 + u64::from(sequence));
        let changed = state.now() - jiff::SignedDuration::from_hours(i64::from(30 - sequence));
        state.add_document(NewDocument {
            guid,
            folder: here,
            class: DocumentClass::Document,
            name: "three-versions.pdf".to_owned(),
            file_name: Some("three-versions.pdf".to_owned()),
            version: ["", "A", "B"][usize::try_from(sequence).unwrap_or(0)].to_owned(),
            sequence,
            original: *original.get_or_insert(guid),
            active: sequence == 2,
            content,
            author: "m.keller",
            changed,
        });
    }
    files(state, here, &owned(&["all-active.pdf"; 3]));
}

fn placeholders(state: &mut State, here: Guid) {
    for name in [
        "doc00001",
        "doc00001",
        "looks-like-a-file.pdf",
        "slash/inside",
        "",
    ] {
        fileless(state, here, name.to_owned(), DocumentClass::Document);
    }
}

fn sets(state: &mut State, here: Guid) {
    let open = place(state, here, "member.pdf", "member.pdf", 7_000);
    let unseen = place(state, here, "may-not-be-seen.pdf", "may-not-be-seen.pdf", 7_000);
    state.set_access(unseen, Access::Hidden);
    let mut set = |name: &str, class, members: Vec<Guid>| {
        let guid = fileless(state, here, name.to_owned(), class);
        if let Some(row) = state.document_mut(guid) {
            row.members = members;
        }
        guid
    };
    let flat = set("Flat set", DocumentClass::FlatSet, vec![open]);
    let logical = set("Logical set", DocumentClass::LogicalSet, vec![open, flat]);
    set("Set of sets", DocumentClass::FlatSet, vec![flat, logical]);
    set(
        "With what may not be seen",
        DocumentClass::FlatSet,
        vec![open, unseen],
    );
    set("Empty set", DocumentClass::FlatSet, Vec::new());
    set(
        "Set of what is gone",
        DocumentClass::FlatSet,
        vec![Guid::from_bytes([0xdd; 16])],
    );
    let one = set("Holds the other", DocumentClass::LogicalSet, Vec::new());
    let other = set("Holds the one", DocumentClass::LogicalSet, vec![one]);
    if let Some(row) = state.document_mut(one) {
        row.members = vec![other, one];
    }
}

fn refused(state: &mut State, here: Guid) {
    let closed = folder(state, Some(here), "Seen and not listed");
    place(state, closed, "unreachable.txt", "unreachable.txt", 100);
    state.set_access(closed, Access::SeeOnly);
    let hidden = folder(state, Some(here), "Hidden");
    let below = folder(state, Some(hidden), "Below the hidden");
    place(state, below, "unfindable.txt", "unfindable.txt", 100);
    state.set_access(hidden, Access::Hidden);
    let file = place(state, here, "seen-and-not-read.txt", "seen-and-not-read.txt", 100);
    state.set_access(file, Access::SeeOnly);
    place(state, here, "plain.txt", "plain.txt", 100);
}

fn times(state: &mut State, here: Guid) {
    let moments = [
        ("before-1970.txt", "1969-07-20T20:17:40Z"),
        ("windows-epoch.txt", "1601-01-01T00:00:00Z"),
        ("no-date.txt", "0001-01-01T00:00:00Z"),
        ("leap-day.txt", "2024-02-29T23:59:59.999Z"),
        ("behind-2038.txt", "2038-01-19T03:14:08Z"),
        ("next-century.txt", "2100-01-01T00:00:00Z"),
    ];
    for (name, moment) in moments {
        let guid = place(state, here, name, name, 100);
        let moment = moment.parse().expect("a literal time stamp");
        if let Some(row) = state.document_mut(guid) {
            row.created = moment;
            row.updated = moment;
            row.file_updated = Some(moment);
        }
    }
}

fn folder_names(state: &mut State, here: Guid) {
    let mut names = hard::reserved();
    names.extend(owned(&hard::BLANKS));
    names.extend(hard::long());
    for name in names {
        let inside = folder(state, Some(here), &name);
        place(state, inside, "inside.txt", "inside.txt", 64);
    }
}

/// A file of any length whose bytes say whose they are.
fn sized(state: &mut State, here: Guid, name: &str, size: u64) -> Guid {
    let guid = place(state, here, name, name, 0);
    if let Some(row) = state.document_mut(guid) {
        row.content = Content::oracle(guid, 0, size);
        row.listed_size = Some(size);
    }
    guid
}
