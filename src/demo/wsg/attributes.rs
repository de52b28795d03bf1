//! Environments: the attributes a datasource gives to its documents (fact sheet 1.3, 1.5).
//!
//! Their values follow from the document, so that they are the same in every answer, unless the admin API set them.

use crate::demo::world::DocumentRow;
use crate::model::Guid;

use super::classes::{Kind, Property, always};
use super::rows::Value;

/// One environment.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) id: i64,
    pub(super) name: &'static str,
    /// Its class in `PW_WSG_Dynamic`.
    pub(super) class: &'static str,
    pub(super) attributes: &'static [Property],
}

const DISCIPLINE: Property = always("DISCIPLINE", Kind::Text);
const STATUS: Property = always("DOC__x002d__STATUS", Kind::Text);
const REVISION_DATE: Property = always("REVISION__x002d__DATE", Kind::Time);

/// What both environments have.
pub(super) const COMMON: &[Property] = &[DISCIPLINE, STATUS, REVISION_DATE];

pub(super) const ENVIRONMENTS: [Environment; 2] = [
    Environment {
        id: 152,
        name: "Drawings",
        class: "Env_152_Drawings",
        attributes: &[
            DISCIPLINE,
            STATUS,
            REVISION_DATE,
            always("SHEET__x002d__NUMBER", Kind::Int),
            always("SCALE", Kind::Text),
            always("CHECKED__x002d__BY", Kind::Text),
        ],
    },
    Environment {
        id: 153,
        name: "Records",
        class: "Env_153_Records",
        attributes: &[
            DISCIPLINE,
            STATUS,
            REVISION_DATE,
            always("ORIGINATOR", Kind::Text),
            always("SUITABILITY", Kind::Text),
            always("SUPERSEDES", Kind::Text),
        ],
    },
];

/// The environment of a folder, by its place in [`ENVIRONMENTS`]; its documents have the same.
pub(super) fn of_folder(folder: Guid) -> usize {
    usize::from(folder.as_bytes()[3]) % ENVIRONMENTS.len()
}

/// The value of an attribute of a document.
pub(super) fn value<'a>(row: &'a DocumentRow, attribute: &str) -> Value<'a> {
    if let Some(text) = row.set_attribute(attribute) {
        return Value::Text(text.into());
    }
    let bytes = row.guid.as_bytes();
    let pick = |place: usize, words: &[&'static str]| {
        let word = words[usize::from(bytes[place]) % words.len()];
        Value::Text(word.into())
    };
    match attribute {
        "DISCIPLINE" => pick(0, &["Civil", "Structural", "Geotechnical", "Electrical"]),
        "DOC__x002d__STATUS" if row.active => pick(1, &["WIP", "Shared", "Published"]),
        "DOC__x002d__STATUS" => Value::Text("Superseded".into()),
        // A document without a file was never issued.
        "REVISION__x002d__DATE" => row.file_updated.map_or(Value::Null, Value::Time),
        "SHEET__x002d__NUMBER" => Value::Number(i64::from(bytes[2]) + 1),
        "SCALE" => pick(4, &["1:50", "1:100", "1:500", "NTS"]),
        // Not every drawing is checked.
        "CHECKED__x002d__BY" if bytes[5].is_multiple_of(3) => Value::Null,
        "CHECKED__x002d__BY" => pick(5, &["A. Whyte", "M. O'Hara", "S. Müller"]),
        "ORIGINATOR" => Value::Text(row.author.into()),
        "SUITABILITY" => pick(6, &["S0", "S2", "S4", "A1"]),
        _ => Value::Null,
    }
}
