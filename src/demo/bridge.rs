//! A believable bridge project: disciplines, drawings, calculations, correspondence, photographs, models.
//!
//! A fixed skeleton holds what tests look for (an empty folder, a refused one, awkward names, sets, placeholders);
//! plain folders and documents fill up to the numbers asked for. Fewer than the skeleton needs cannot be had.

use crate::demo::files::{FileFormat, Recipe};
use crate::demo::{DemoOptions, awkward};
use crate::model::{Guid, Timestamp};

use super::knobs::FileSizeAs;
use super::world::{Access, Content, DocumentClass, NewDocument, NewFolder, State};

/// Name of the one root work area.
pub(super) const PROJECT: &str = "Leven Estuary Crossing";
/// Work packages per group folder: people do not make folders of thousands of folders.
const PACKAGES_PER_GROUP: usize = 50;
/// One document in so many has superseded versions.
const VERSIONED: u64 = 7;
/// The one large file; not a round number, so that a last partial block exists.
const LARGE_FILE: u64 = 8 * 1024 * 1024 + 12_345;

const PEOPLE: [&str; 5] = ["m.keller", "a.osei", "j.lindqvist", "r.duarte", "s.mccabe"];

/// What lies in a folder of the skeleton.
#[derive(Debug, Clone, Copy)]
struct Shelf {
    /// Folder path below the project.
    path: &'static [&'static str],
    /// Middle part of the file names.
    code: &'static str,
    title: &'static str,
    /// Extensions to choose from.
    formats: &'static [&'static str],
    /// Share of the plain documents. Incoming letters are so many that their folder has more than one page.
    weight: u64,
}

#[rustfmt::skip]
const SHELVES: &[Shelf] = &[
    Shelf { path: &["01 Project Management", "Meeting Minutes"], code: "PM-MIN", title: "Progress Meeting Minutes", formats: &["pdf", "txt"], weight: 3 },
    Shelf { path: &["01 Project Management", "Programme"], code: "PM-PRG", title: "Construction Programme", formats: &["pdf", "csv"], weight: 1 },
    Shelf { path: &["01 Project Management", "Risk Register"], code: "PM-RSK", title: "Risk Register", formats: &["csv"], weight: 1 },
    Shelf { path: &["02 Survey and Investigation", "Topographic Survey"], code: "SUR-TOP", title: "Topographic Survey", formats: &["dxf", "csv"], weight: 2 },
    Shelf { path: &["02 Survey and Investigation", "Borehole Logs"], code: "SUR-BHL", title: "Borehole Log BH", formats: &["pdf", "csv"], weight: 4 },
    Shelf { path: &["02 Survey and Investigation", "Traffic Counts"], code: "SUR-TRF", title: "Traffic Count Station", formats: &["csv"], weight: 2 },
    Shelf { path: &["03 Design", "Abutments", "Drawings"], code: "ABT-DRG", title: "Abutment Reinforcement", formats: &["pdf", "dxf"], weight: 3 },
    Shelf { path: &["03 Design", "Abutments", "Calculations"], code: "ABT-CAL", title: "Abutment Stability", formats: &["csv", "pdf"], weight: 2 },
    Shelf { path: &["03 Design", "Abutments", "Models"], code: "ABT-MDL", title: "Abutment Model", formats: &["dxf"], weight: 1 },
    Shelf { path: &["03 Design", "Piers", "Drawings"], code: "PIR-DRG", title: "Pier General Arrangement", formats: &["pdf", "dxf"], weight: 3 },
    Shelf { path: &["03 Design", "Piers", "Calculations"], code: "PIR-CAL", title: "Pier Slenderness Check", formats: &["csv", "pdf"], weight: 2 },
    Shelf { path: &["03 Design", "Piers", "Models"], code: "PIR-MDL", title: "Pier Model", formats: &["dxf"], weight: 1 },
    Shelf { path: &["03 Design", "Deck", "Drawings"], code: "DCK-DRG", title: "Deck Steelwork Segment", formats: &["pdf", "dxf"], weight: 5 },
    Shelf { path: &["03 Design", "Deck", "Calculations"], code: "DCK-CAL", title: "Deck Load Rating", formats: &["csv", "pdf"], weight: 3 },
    Shelf { path: &["03 Design", "Deck", "Models"], code: "DCK-MDL", title: "Deck Segment Model", formats: &["dxf"], weight: 2 },
    Shelf { path: &["03 Design", "Stay Cables", "Drawings"], code: "CBL-DRG", title: "Cable Anchorage Detail", formats: &["pdf", "dxf"], weight: 3 },
    Shelf { path: &["03 Design", "Stay Cables", "Calculations"], code: "CBL-CAL", title: "Cable Force Schedule", formats: &["csv"], weight: 2 },
    Shelf { path: &["03 Design", "Stay Cables", "Vibration Study"], code: "CBL-VIB", title: "Cable Damping Study", formats: &["pdf"], weight: 1 },
    Shelf { path: &["03 Design", "Bearings and Joints", "Drawings"], code: "BRG-DRG", title: "Bearing Schedule", formats: &["pdf"], weight: 1 },
    Shelf { path: &["03 Design", "Bearings and Joints", "Calculations"], code: "BRG-CAL", title: "Movement Range", formats: &["csv"], weight: 1 },
    Shelf { path: &["03 Design", "Approach Roads", "Alignment"], code: "RDS-ALN", title: "Road Alignment Chainage", formats: &["dxf", "csv"], weight: 2 },
    Shelf { path: &["03 Design", "Approach Roads", "Drainage"], code: "RDS-DRN", title: "Drainage Layout", formats: &["pdf"], weight: 2 },
    Shelf { path: &["04 Correspondence", "Incoming"], code: "COR-INC", title: "Letter from Harbour Authority", formats: &["pdf", "txt"], weight: 60 },
    Shelf { path: &["04 Correspondence", "Outgoing"], code: "COR-OUT", title: "Letter to Contractor", formats: &["pdf", "txt"], weight: 5 },
    Shelf { path: &["04 Correspondence", "RFIs"], code: "COR-RFI", title: "Request for Information", formats: &["pdf", "txt"], weight: 4 },
    Shelf { path: &["05 Site Photos", "2026-02"], code: "PHO-2602", title: "Pile Driving East Bank", formats: &["png"], weight: 2 },
    Shelf { path: &["05 Site Photos", "2026-03"], code: "PHO-2603", title: "Cofferdam Pier 3", formats: &["png"], weight: 2 },
    Shelf { path: &["05 Site Photos", "2026-04"], code: "PHO-2604", title: "Formwork Pier 4", formats: &["png"], weight: 2 },
    Shelf { path: &["06 Construction", "Method Statements"], code: "CON-MST", title: "Method Statement", formats: &["pdf"], weight: 2 },
    Shelf { path: &["06 Construction", "Inspections"], code: "CON-INS", title: "Weld Inspection Report", formats: &["pdf", "csv"], weight: 3 },
    Shelf { path: &["06 Construction", "As-Built"], code: "CON-ASB", title: "As-Built Record", formats: &["pdf", "dxf"], weight: 2 },
    Shelf { path: &["07 Temporary Works", "Cofferdams"], code: "TMP-COF", title: "Cofferdam Sheet Piling", formats: &["pdf", "dxf"], weight: 1 },
    Shelf { path: &["07 Temporary Works", "Falsework"], code: "TMP-FLS", title: "Falsework Tower", formats: &["dxf"], weight: 1 },
];

/// A folder to be filled with plain documents.
struct Place {
    folder: Guid,
    shelf: Shelf,
    label: String,
}

/// Fills an empty state.
pub(super) fn build(state: &mut State, options: &DemoOptions) {
    let project = folder(state, None, PROJECT);
    set_work_area(state, project);
    let twin = state.dice.guid();
    if let Some(row) = state.folder_mut(project) {
        row.connected = Some(twin);
    }
    let mut places = Vec::new();
    for shelf in SHELVES {
        let mut here = project;
        for name in shelf.path {
            here = child(state, here, name);
        }
        places.push(Place {
            folder: here,
            shelf: *shelf,
            label: shelf.code.to_owned(),
        });
    }
    let temporary = child(state, project, "07 Temporary Works");
    set_work_area(state, temporary);
    specials(state, project, options.knobs.filesize_as);
    awkward::build(state, project);
    let standards = folder(state, None, "Company Standards");
    let blocks = folder(state, Some(standards), "CAD Blocks");
    place(state, blocks, "STD-BLK-0001.dxf", "North Arrow", 6_000);
    // A real folder of the name the mount uses for its own directory.
    let reserved = folder(state, None, ".pw");
    place(state, reserved, "settings.txt", "settings.txt", 240);
    packages(state, project, options.folders, &mut places);
    fill(state, &places, options.documents);
}

/// What no plain shelf holds.
fn specials(state: &mut State, project: Guid, sizes: FileSizeAs) {
    let general = folder(state, Some(project), "00 General");
    let size = LARGE_FILE;
    place(state, general, "LEC-GEN-RPT-0001.pdf", "Tender Drawing Set", size);
    let report = place(
        state,
        general,
        "LEC-GEN-RPT-0002.pdf",
        "Design Basis Report",
        310_000,
    );
    if sizes == FileSizeAs::AbsentForOne
        && let Some(row) = state.document_mut(report)
    {
        row.listed_size = None;
    }
    place(state, general, "LEC-GEN-LOG-0000.txt", "Upload Log", 0);
    for number in 1..=3 {
        let name = format!("doc{number:05}");
        fileless(state, general, name, DocumentClass::Document);
    }
    let cables = child(state, project, "03 Design");
    let cables = child(state, cables, "Stay Cables");
    let drawings = child(state, cables, "Drawings");
    fileless(
        state,
        drawings,
        "Cable Anchorages (to be drawn)".to_owned(),
        DocumentClass::Document,
    );
    let members: Vec<_> = state.documents_in(general).take(2).map(|row| row.guid).collect();
    for (name, class) in [
        ("Tender Issue Set", DocumentClass::FlatSet),
        ("General Arrangement References", DocumentClass::LogicalSet),
    ] {
        let set = fileless(state, general, name.to_owned(), class);
        if let Some(row) = state.document_mut(set) {
            row.members.clone_from(&members);
        }
    }

    // Exactly one folder of the world has neither folders nor documents.
    folder(state, Some(project), "08 Archive");

    let secret = folder(state, Some(project), "09 Commercial in Confidence");
    place(state, secret, "LEC-COM-BID-0001.pdf", "Bid Comparison", 52_000);
    if let Some(row) = state.folder_mut(secret) {
        row.access = Access::SeeOnly;
    }
    let letters = child(state, project, "04 Correspondence");
    let legal = folder(state, Some(letters), "Legal");
    place(state, legal, "LEC-LEG-NTE-0001.txt", "Note to File", 900);
    let refused = place(state, legal, "LEC-LEG-ADV-0001.pdf", "Legal Advice", 44_000);
    if let Some(row) = state.document_mut(refused) {
        row.access = Access::SeeOnly;
    }
}

/// Adds work-package folders until the datasource has `wanted` folders.
fn packages(state: &mut State, project: Guid, wanted: usize, places: &mut Vec<Place>) {
    let mut group = None;
    let mut number = 0_usize;
    while state.folder_count() < wanted {
        if number.is_multiple_of(PACKAGES_PER_GROUP) && state.folder_count() + 1 < wanted {
            let root = child(state, project, "11 Work Packages");
            let name = format!("Group {:03}", number / PACKAGES_PER_GROUP + 1);
            group = Some(folder(state, Some(root), &name));
        }
        number += 1;
        let name = format!("Work Package {number:05}");
        // A last single folder, too few for a group of its own, goes beside the other shelves.
        let parent = group.unwrap_or(project);
        let guid = folder(state, Some(parent), &name);
        let mut shelf = SHELVES[number % SHELVES.len()];
        shelf.weight = 1;
        places.push(Place {
            folder: guid,
            shelf,
            label: format!("WP{number:05}"),
        });
    }
}

/// Fills every place with at least one document, and then by weight, until there are `wanted` active documents.
fn fill(state: &mut State, places: &[Place], wanted: usize) {
    let mut made = state.document_count();
    let mut counts = vec![0_u64; places.len()];
    let mut first = true;
    while first || made < wanted {
        for (place, count) in places.iter().zip(&mut counts) {
            let share = if first { 1 } else { place.shelf.weight };
            for _ in 0..share {
                if !first && made >= wanted {
                    return;
                }
                *count += 1;
                plain(state, place, *count);
                made += 1;
            }
        }
        first = false;
    }
}

/// Adds one plain document, with its superseded versions if it has any.
fn plain(state: &mut State, place: &Place, number: u64) {
    let shelf = &place.shelf;
    let extension = state.dice.pick(shelf.formats);
    let (low, high) = match extension {
        "pdf" => (8_000, 600_000),
        "png" => (60_000, 2_000_000),
        "dxf" => (4_000, 400_000),
        "csv" => (900, 200_000),
        _ => (200, 20_000),
    };
    let file_name = format!("LEC-{}-{number:04}.{extension}", place.label);
    let name = format!("LEC-{}-{number:04} {} {number}", place.label, shelf.title);
    let versions = if state.dice.below(VERSIONED) == 0 {
        1 + state.dice.below(3)
    } else {
        0
    };
    let mut original = None;
    for version in 0..=versions {
        let size = state.dice.magnitude(low, high);
        let age = 20_000 * (versions - version) + state.dice.below(20_000) + 60;
        let guid = add(
            state,
            place.folder,
            &file_name,
            &name,
            size,
            version,
            version == versions,
            age,
        );
        let original = *original.get_or_insert(guid);
        if let Some(row) = state.document_mut(guid) {
            row.original = original;
        }
    }
}

fn folder(state: &mut State, parent: Option<Guid>, name: &str) -> Guid {
    let at = ago(state.now(), 1_400_000 + state.dice.below(100_000), 0);
    let new = NewFolder {
        parent,
        name,
        description: "",
        work_area: false,
    };
    state.add_folder(&new, at)
}

/// The child of this name, added if it is not there.
fn child(state: &mut State, parent: Guid, name: &str) -> Guid {
    let known = state.folders_in(Some(parent)).find(|row| row.name == name);
    match known.map(|row| row.guid) {
        Some(guid) => guid,
        None => folder(state, Some(parent), name),
    }
}

fn set_work_area(state: &mut State, guid: Guid) {
    if let Some(row) = state.folder_mut(guid) {
        row.work_area = true;
        "Work area of the estuary crossing".clone_into(&mut row.description);
    }
}

/// Adds one active document in its first version.
pub(super) fn place(state: &mut State, folder: Guid, file_name: &str, name: &str, size: u64) -> Guid {
    let age = 60 + state.dice.below(900_000);
    add(state, folder, file_name, name, size, 0, true, age)
}

/// Adds a folder below `parent`.
pub(super) fn place_folder(state: &mut State, parent: Guid, name: &str) -> Guid {
    folder(state, Some(parent), name)
}

#[expect(
    clippy::too_many_arguments,
    reason = "two callers in this file, each argument a column"
)]
fn add(
    state: &mut State,
    folder: Guid,
    file_name: &str,
    name: &str,
    size: u64,
    version: u64,
    active: bool,
    age_minutes: u64,
) -> Guid {
    let guid = state.dice.guid();
    let format = FileFormat::of_file_name(file_name);
    let number = u32::try_from(version).expect("a handful of versions");
    let author = state.dice.pick(&PEOPLE);
    let changed = ago(state.now(), age_minutes, guid.as_bytes()[15]);
    // The first version's label is blank, as with ProjectWise's default settings.
    let label = ["", "A", "B", "C"];
    state.add_document(NewDocument {
        guid,
        folder,
        class: DocumentClass::Document,
        name: name.to_owned(),
        file_name: Some(file_name.to_owned()),
        version: label[usize::try_from(version).expect("small").min(3)].to_owned(),
        active,
        content: Content::Made(Recipe::new(format, guid, number, size)),
        author,
        changed,
    })
}

fn fileless(state: &mut State, folder: Guid, name: String, class: DocumentClass) -> Guid {
    let guid = state.dice.guid();
    let changed = ago(state.now(), 60 + state.dice.below(200_000), 0);
    state.add_document(NewDocument {
        guid,
        folder,
        class,
        name,
        file_name: None,
        version: String::new(),
        active: true,
        content: Content::Nothing,
        author: PEOPLE[0],
        changed,
    })
}

/// A moment so many minutes before the present; some carry a fraction of a second, as real ones do.
fn ago(now: Timestamp, minutes: u64, quirk: u8) -> Timestamp {
    let seconds = i64::try_from(minutes * 60).expect("a few years");
    let millis = if matches!(quirk % 5, 1 | 2) {
        i64::from(quirk) * 3
    } else {
        0
    };
    now - jiff::SignedDuration::from_secs(seconds) + jiff::SignedDuration::from_millis(millis)
}
