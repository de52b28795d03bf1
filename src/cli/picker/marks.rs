//! The folders that are marked: each once, under names that can stand side by side at the root of a mount.

use crate::cli::output::escape;
use crate::model::FolderId;
use crate::names::{MAX_NAME_BYTES, Place, encode};

/// A folder that a person chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// Its identity.
    pub id: FolderId,
    /// The names of its ancestors and itself, from the root down, as the server has them; empty if not known.
    pub path: Vec<String>,
    /// The name to show it by; its own where absent.
    pub alias: Option<String>,
}

impl Picked {
    /// The name at the root of a mount, before equal ones are told apart.
    pub(super) fn shown(&self) -> String {
        match (&self.alias, self.path.last()) {
            (Some(alias), _) => encode(alias, Place::Root),
            (None, Some(name)) => encode(name, Place::Root),
            (None, None) => self.id.to_string(),
        }
    }
}

/// Why a text cannot be an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AliasError {
    #[error("a name cannot have a '/' in it")]
    Slash,
    #[error("'.' and '..' are taken by every directory")]
    Dots,
    #[error("'.pw' is taken by pwfs itself")]
    Own,
    #[error("a name has at most {MAX_NAME_BYTES} bytes; this one has {0}")]
    Long(usize),
    #[error("there is a character in it that cannot be seen")]
    Unseen,
    #[error("there is a character in it that pwfs shows otherwise")]
    Substitute,
    #[error("another marked folder is called that")]
    Taken,
}

/// How a marked folder stands to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nested {
    /// It is inside that one.
    Inside(String),
    /// It holds this many of the others.
    Around(usize),
}

/// The marked folders, in the order they were marked.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    picked: Vec<Picked>,
}

impl Marks {
    /// What was marked before; a folder that is in it twice counts once.
    pub(super) fn new(before: Vec<Picked>) -> Self {
        let mut marks = Self::default();
        for picked in before {
            if !marks.contains(picked.id) {
                marks.picked.push(picked);
            }
        }
        marks
    }

    pub(super) fn all(&self) -> &[Picked] {
        &self.picked
    }

    pub(super) fn len(&self) -> usize {
        self.picked.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.picked.is_empty()
    }

    pub(super) fn get(&self, id: FolderId) -> Option<&Picked> {
        self.picked.iter().find(|picked| picked.id == id)
    }

    pub(super) fn contains(&self, id: FolderId) -> bool {
        self.get(id).is_some()
    }

    /// Marks a folder; nothing changes if it is marked already.
    pub(super) fn add(&mut self, id: FolderId, path: Vec<String>) {
        if !self.contains(id) {
            self.picked.push(Picked {
                id,
                path,
                alias: None,
            });
        }
    }

    /// Takes the mark off; false if there was none.
    pub(super) fn remove(&mut self, id: FolderId) -> bool {
        let before = self.picked.len();
        self.picked.retain(|picked| picked.id != id);
        self.picked.len() < before
    }

    /// Another marked folder that would have the same name at the root of the mount.
    pub(super) fn twin(&self, id: FolderId) -> Option<&Picked> {
        let shown = self.get(id)?.shown();
        self.picked
            .iter()
            .find(|other| other.id != id && other.shown() == shown)
    }

    /// A name that several marked folders would have.
    pub(super) fn shared_name(&self) -> Option<String> {
        let mut names: Vec<String> = self.picked.iter().map(Picked::shown).collect();
        names.sort_unstable();
        names
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0].clone())
    }

    /// Whether a marked folder is inside another one, or around others. Told by the paths, which is all that is known
    /// of folders marked at another time.
    pub(super) fn nested(&self, id: FolderId) -> Option<Nested> {
        let path = &self.get(id)?.path;
        let others = || self.picked.iter().filter(|other| other.id != id);
        if let Some(outer) = others().find(|other| is_within(path, &other.path)) {
            return Some(Nested::Inside(outer.path.last()?.clone()));
        }
        let inside = others().filter(|other| is_within(&other.path, path)).count();
        (inside > 0).then_some(Nested::Around(inside))
    }

    /// Gives a marked folder another name; an empty one gives it its own name back.
    pub(super) fn set_alias(&mut self, id: FolderId, text: &str) -> Result<(), AliasError> {
        // Blanks at an end are a slip: nobody could see them.
        let text = text.trim();
        if !text.is_empty() {
            self.check_alias(id, text)?;
        }
        if let Some(picked) = self.picked.iter_mut().find(|picked| picked.id == id) {
            picked.alias = (!text.is_empty()).then(|| text.to_owned());
        }
        Ok(())
    }

    fn check_alias(&self, id: FolderId, text: &str) -> Result<(), AliasError> {
        match text {
            "." | ".." => return Err(AliasError::Dots),
            ".pw" => return Err(AliasError::Own),
            _ => {}
        }
        if text.contains('/') {
            return Err(AliasError::Slash);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(AliasError::Long(text.len()));
        }
        if escape(text) != text {
            return Err(AliasError::Unseen);
        }
        if encode(text, Place::Root) != text {
            return Err(AliasError::Substitute);
        }
        let taken = self
            .picked
            .iter()
            .any(|other| other.id != id && other.shown() == text);
        if taken { Err(AliasError::Taken) } else { Ok(()) }
    }

    pub(super) fn into_picked(self) -> Vec<Picked> {
        self.picked
    }
}

/// True if the folder at `path` is below the one at `outer`. A path that is not known is nowhere.
pub(super) fn is_within(path: &[String], outer: &[String]) -> bool {
    !outer.is_empty() && path.len() > outer.len() && path.starts_with(outer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Guid;

    fn id(number: u8) -> FolderId {
        FolderId(Guid::from_bytes([number; 16]))
    }

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    fn marks(paths: &[&str]) -> Marks {
        let mut marks = Marks::default();
        for (number, text) in (1..).zip(paths) {
            marks.add(id(number), path(text));
        }
        marks
    }

    #[test]
    fn a_folder_is_marked_once_whatever_its_path() {
        let mut marks = marks(&["A", "B"]);
        marks.add(id(1), path("C/A"));
        assert_eq!(marks.len(), 2);
        let again = [marks.all(), marks.all()].concat();
        assert_eq!(Marks::new(again).all(), marks.all());
        assert!(marks.remove(id(1)) && !marks.remove(id(1)));
    }

    #[test]
    fn an_alias_is_a_file_name_that_no_other_marked_folder_has() {
        for (alias, expected) in [
            ("Plans", Ok(())),
            ("Pläne 図面", Ok(())),
            ("plans of b", Ok(())),
            ("B", Err(AliasError::Taken)),
            ("Twin", Err(AliasError::Taken)),
            ("a/b", Err(AliasError::Slash)),
            (".", Err(AliasError::Dots)),
            ("..", Err(AliasError::Dots)),
            (".pw", Err(AliasError::Own)),
            ("a\u{7}b", Err(AliasError::Unseen)),
            ("a\u{202e}b", Err(AliasError::Unseen)),
            ("a\u{ff0f}b", Err(AliasError::Substitute)),
        ] {
            let mut marks = marks(&["A", "X/B", "C"]);
            marks.set_alias(id(3), "Twin").unwrap();
            assert_eq!(marks.set_alias(id(1), alias), expected, "{alias:?}");
            let kept = marks.get(id(1)).unwrap().alias.as_deref();
            assert_eq!(kept, expected.is_ok().then_some(alias));
        }
        let mut marks = marks(&["A", "B"]);
        assert_eq!(marks.set_alias(id(1), &"ü".repeat(127)), Ok(()));
        assert_eq!(
            marks.set_alias(id(1), &"ü".repeat(128)),
            Err(AliasError::Long(256))
        );
        assert_eq!(marks.set_alias(id(1), " Plans "), Ok(()));
        assert_eq!(marks.get(id(1)).unwrap().shown(), "Plans");
        assert_eq!(
            marks.set_alias(id(1), "Plans"),
            Ok(()),
            "its own alias is not taken"
        );
        assert_eq!(marks.set_alias(id(1), " "), Ok(()));
        assert_eq!(marks.get(id(1)).unwrap().alias, None);
    }

    #[test]
    fn two_that_would_have_one_name_are_found_as_the_mount_names_them() {
        let mut two = marks(&["A/x/y", "B"]);
        assert_eq!(two.shared_name(), None);
        two.add(id(9), vec!["C".to_owned(), "B".to_owned()]);
        assert_eq!(two.twin(id(9)).unwrap().id, id(2));
        assert_eq!(two.shared_name().as_deref(), Some("B"));
        two.set_alias(id(9), "Other").unwrap();
        assert_eq!(two.shared_name(), None);
        // A raw slash is shown by its substitute, and so collides with nobody who looks different.
        let mut raw = Marks::default();
        raw.add(id(1), vec!["a/b".to_owned()]);
        raw.add(id(2), vec!["a".to_owned(), "a/b".to_owned()]);
        assert_eq!(raw.shared_name().as_deref(), Some("a\u{ff0f}b"));
    }

    #[test]
    fn a_folder_inside_a_marked_one_is_told() {
        let marks = marks(&["A", "A/x", "A/x/y", "AB", "B/A"]);
        assert_eq!(marks.nested(id(1)), Some(Nested::Around(2)));
        assert_eq!(marks.nested(id(2)), Some(Nested::Inside("A".to_owned())));
        assert_eq!(marks.nested(id(4)), None);
        assert_eq!(marks.nested(id(5)), None);
    }
}
