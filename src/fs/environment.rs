//! The attributes of a document's environment as extended attributes, where they are known: `pwfs warm --attributes`,
//! `pwfs manifest --attributes` and `pwfs info` ask for them.

use std::ffi::OsStr;

use crate::catalog::attributes::KeptAttributes;
use crate::model::{Attribute, AttributeSheet};

/// Before the name of an attribute.
const PREFIX: &str = "user.projectwise.attr.";

/// When they were asked for.
const ASKED: &str = "user.projectwise.attributes_fetched_at";

/// Longest name of an extended attribute, in bytes (xattr(7)).
const LONGEST_NAME: usize = 255;

/// Largest value (xattr(7)).
const LARGEST_VALUE: usize = 64 << 10;

/// The kernel takes 64 KiB of names; some of it is for the others.
const NAMES: usize = 48 << 10;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// When the server was asked.
    Asked,
    /// The attribute of this name.
    Attribute(String),
}

impl Wanted {
    /// `None` for the name of anything else.
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        if name == ASKED {
            return Some(Self::Asked);
        }
        name.strip_prefix(PREFIX)
            .map(|attribute| Self::Attribute(attribute.to_owned()))
    }
}

/// The value of what is wanted.
pub(super) fn value(kept: &KeptAttributes, wanted: &Wanted) -> Option<Vec<u8>> {
    match wanted {
        // Whole seconds are what people and RFC 3339 readers want.
        Wanted::Asked => Some(kept.asked.wall.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
        Wanted::Attribute(name) => shown(&kept.sheets)
            .find(|(shown, _)| shown == name)
            .map(|(_, value)| value.as_bytes().to_owned()),
    }
}

/// The names of what there is, each ended by NUL.
pub(super) fn names(kept: &KeptAttributes) -> Vec<u8> {
    let mut names = format!("{ASKED}\0").into_bytes();
    for (name, _) in shown(&kept.sheets) {
        if names.len() + PREFIX.len() + name.len() < NAMES {
            names.extend_from_slice(PREFIX.as_bytes());
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
    }
    names
}

/// Attributes that have a value, with the names they are shown by: those of a second sheet after `2.`, and so on. (No
/// attribute's name begins with a digit: they are columns of a table.)
fn shown(sheets: &[AttributeSheet]) -> impl Iterator<Item = (String, &str)> {
    sheets.iter().zip(1_usize..).flat_map(|(sheet, number)| {
        sheet
            .attributes
            .iter()
            .filter_map(move |Attribute { name, value }| {
                let shown = if number == 1 {
                    name.clone()
                } else {
                    format!("{number}.{name}")
                };
                let fits = PREFIX.len() + shown.len() <= LONGEST_NAME && value.len() <= LARGEST_VALUE;
                let is_name = !name.is_empty() && !name.contains('\0');
                (fits && is_name && !value.is_empty()).then_some((shown, value.as_str()))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::attributes::Edition;
    use crate::clock::Clock;
    use crate::model::Timestamp;

    fn kept(sheets: &[&[(&str, &str)]]) -> KeptAttributes {
        let clock = Clock::default();
        let sheet = |attributes: &&[(&str, &str)]| AttributeSheet {
            environment: "Drawings".to_owned(),
            attributes: attributes
                .iter()
                .map(|(name, value)| Attribute {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect(),
        };
        KeptAttributes {
            asked: clock.stamp(clock.now(), Timestamp::UNIX_EPOCH),
            edition: Edition::default(),
            sheets: sheets.iter().map(sheet).collect(),
        }
    }

    fn told(kept: &KeptAttributes, name: &str) -> Option<String> {
        let wanted = Wanted::parse(OsStr::new(name))?;
        value(kept, &wanted).map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn each_value_has_a_name_of_its_own() {
        let kept = kept(&[
            &[("SCALE", "1:50"), ("EMPTY", ""), ("DOC-STATUS", "für Bau")],
            &[("SCALE", "1:20")],
        ]);
        let names = String::from_utf8(names(&kept)).unwrap();
        let names: Vec<&str> = names.split_terminator('\0').collect();
        let values: Vec<String> = names.iter().map(|name| told(&kept, name).unwrap()).collect();
        assert_eq!(
            names,
            [
                "user.projectwise.attributes_fetched_at",
                "user.projectwise.attr.SCALE",
                "user.projectwise.attr.DOC-STATUS",
                "user.projectwise.attr.2.SCALE",
            ]
        );
        assert_eq!(values, ["1970-01-01T00:00:00Z", "1:50", "für Bau", "1:20"]);
        assert_eq!(told(&kept, "user.projectwise.attr.EMPTY"), None);
        assert_eq!(told(&kept, "user.projectwise.guid"), None);
    }

    #[test]
    fn what_the_kernel_does_not_take_is_not_named() {
        let long = "N".repeat(300);
        let many: Vec<String> = (0..5000).map(|number| format!("ATTRIBUTE_{number:05}")).collect();
        let mut attributes: Vec<(&str, &str)> = vec![(&long, "x"), ("A\0B", "x"), ("", "x")];
        let large = "v".repeat(LARGEST_VALUE + 1);
        attributes.push(("LARGE", &large));
        attributes.extend(many.iter().map(|name| (name.as_str(), "x")));
        let names = names(&kept(&[&attributes]));
        assert!(names.len() <= NAMES, "{}", names.len());
        for name in names.split(|byte| *byte == 0) {
            assert!(name.len() <= LONGEST_NAME);
        }
        assert!(!String::from_utf8(names).unwrap().contains("LARGE"));
    }
}
