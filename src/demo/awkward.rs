//! A folder of names that are legal in ProjectWise and awkward on Linux (fact sheet 4).

use crate::model::Guid;

use super::bridge::{place, place_folder};
use super::world::State;

/// Name of the folder, below the project.
pub(super) const FOLDER: &str = "10 Names From Migration";
/// The longest document name ProjectWise takes, in characters.
const NAME_LIMIT: usize = 127;

/// Fills the folder.
pub(super) fn build(state: &mut State, project: Guid) {
    let here = place_folder(state, project, FOLDER);
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
        let folder = place_folder(state, here, name);
        place(state, folder, "inside.txt", "Inside", 120);
    }
}
