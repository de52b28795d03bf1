//! Names of made rows: those of a design office, each with a number that no sibling has.

use crate::demo::seed::mix;

const PLACES: [&str; 12] = [
    "Harbour",
    "Northgate",
    "Riverside",
    "Saltmarsh",
    "Quarry Hill",
    "Old Mill",
    "Ferry Lane",
    "Moorland",
    "Castle Street",
    "Westfield",
    "Lockside",
    "Beacon",
];
const WORKS: [&str; 8] = [
    "Viaduct",
    "Tunnel",
    "Water Treatment",
    "Interchange",
    "Substation",
    "Flood Defence",
    "Station",
    "Bypass",
];
const DISCIPLINES: [(&str, &str); 10] = [
    ("CIV", "Civil"),
    ("STR", "Structures"),
    ("GEO", "Geotechnics"),
    ("ARC", "Architecture"),
    ("MEP", "Building Services"),
    ("HIG", "Highways"),
    ("DRA", "Drainage"),
    ("SUR", "Survey"),
    ("ENV", "Environment"),
    ("COM", "Commercial"),
];
const PARTS: [&str; 10] = [
    "Drawings",
    "Calculations",
    "Models",
    "Reports",
    "Correspondence",
    "Specifications",
    "Schedules",
    "Site Records",
    "As-Built",
    "Superseded Studies",
];
const KINDS: [(&str, &str, &str); 12] = [
    ("DRG", "General Arrangement", "dgn"),
    ("DRG", "Reinforcement Details", "dwg"),
    ("DRG", "Sections and Elevations", "pdf"),
    ("CAL", "Load Calculation", "xlsx"),
    ("CAL", "Stability Check", "csv"),
    ("RPT", "Condition Report", "pdf"),
    ("RPT", "Design Statement", "docx"),
    ("SPC", "Particular Specification", "docx"),
    ("MDL", "Federated Model", "dgn"),
    ("PHO", "Site Photograph", "jpg"),
    ("LTR", "Letter", "pdf"),
    ("NTE", "Technical Note", "txt"),
];

/// Name and file name of a document.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) file_name: String,
}

/// A folder's name; `ordinal` counts its siblings from 0.
pub(super) fn folder(noise: u64, depth: usize, ordinal: u32) -> String {
    let number = ordinal + 1;
    match depth {
        0 => {
            let (place, work) = (pick(&PLACES, noise), pick(&WORKS, noise >> 16));
            format!("P{:04} {place} {work}", 1000 + number)
        }
        1 => format!("{number:02} {}", pick(&DISCIPLINES, noise).1),
        2 => format!("{number:02} {}", pick(&PARTS, noise)),
        3 => format!("Zone {number:02} {}", pick(&PLACES, noise)),
        4 => format!("Package {number:03}"),
        _ => format!("Part {number:02}"),
    }
}

/// A document's names; `number` counts those of its folder from 1. All documents of a folder are of one discipline.
pub(super) fn document(seed: u64, folder: u32, number: u32, noise: u64) -> Named {
    let (code, _) = pick(&DISCIPLINES, mix(seed ^ u64::from(folder)));
    let (kind, title, extension) = pick(&KINDS, noise >> 24);
    let stem = format!("{code}-{folder:05}-{kind}-{number:05}");
    Named {
        name: format!("{stem} {title}"),
        file_name: format!("{stem}.{extension}"),
    }
}

/// The label of a version counted from 0; the first one's is blank (fact sheet 4).
pub(super) fn label(sequence: u32) -> String {
    match sequence {
        0 => String::new(),
        number => {
            char::from_digit(9 + number, 36).map_or_else(String::new, |c| c.to_ascii_uppercase().into())
        }
    }
}

fn pick<T: Copy>(choices: &[T], noise: u64) -> T {
    let count = u64::try_from(choices.len()).expect("a length fits 64 bits");
    choices[usize::try_from(noise % count).expect("below a length")]
}
