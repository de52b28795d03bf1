//! What one folder holds, as the picker shows it: its rows, a filter over them, a cursor in them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{DirId, Folder, FolderId};

/// Rows kept of folders that are not on the way to where the person is. A row takes some 150 bytes, so this is 50 MB
/// at most; a datasource of 100 000 root folders is kept whole while the person looks into them.
const KEPT_ROWS: usize = 300_000;

/// A folder on the way to where the person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crumb {
    pub(super) id: FolderId,
    /// As the server has it.
    pub(super) name: Arc<str>,
}

/// A folder in a listing.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: FolderId,
    /// As the server has it.
    pub(super) name: Arc<str>,
    /// What a search looks at.
    pub(super) folded: Box<str>,
    pub(super) work_area: bool,
}

/// The folders in one folder, in the order people look for them.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) rows: Vec<Row>,
    pub(super) documents: usize,
}

impl Listing {
    /// Puts the folders in order: by name without regard to case, then by name, then by id.
    pub(super) fn new(folders: Vec<Folder>, documents: usize) -> Self {
        let mut rows: Vec<Row> = folders
            .into_iter()
            .map(|folder| Row {
                id: folder.id,
                folded: fold(&folder.name).into(),
                name: folder.name.into(),
                work_area: folder.work_area,
            })
            .collect();
        rows.sort_unstable_by(|left, right| {
            (&left.folded, &left.name, left.id).cmp(&(&right.folded, &right.name, right.id))
        });
        Self { rows, documents }
    }
}

/// Letter by letter, so that what is typed finds what it found before one more letter followed: as a whole word, Greek
/// would have another letter at its end.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// What is searched for: every word must be in the name, in any order, in upper or lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    words: Vec<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self {
            words: fold(text).split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// True if it fits everything.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// True if it fits a name that [`Row::folded`] holds.
    pub(super) fn fits(&self, folded: &str) -> bool {
        self.words.iter().all(|word| folded.contains(word.as_str()))
    }
}

/// The rows of one listing that fit a pattern.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    text: String,
    /// Their numbers in the listing, ascending.
    matches: Vec<u32>,
    pub(super) cursor: Cursor,
}

impl Filter {
    /// Filters anew, or narrows `earlier` where the text only grew.
    pub(super) fn new(text: &str, rows: &[Row], earlier: Option<&Self>) -> Self {
        let pattern = Pattern::new(text);
        let fits = |number: &u32| {
            rows.get(*number as usize)
                .is_some_and(|row| pattern.fits(&row.folded))
        };
        let matches = match earlier {
            // What is typed behind only makes words longer or more.
            Some(earlier) if text.starts_with(&earlier.text) => {
                earlier.matches.iter().copied().filter(fits).collect()
            }
            Some(_) | None => (0..u32::try_from(rows.len()).unwrap_or(u32::MAX))
                .filter(fits)
                .collect(),
        };
        Self {
            text: text.to_owned(),
            matches,
            cursor: Cursor::default(),
        }
    }

    /// True if it shows what this text finds.
    pub(super) fn is_of(&self, text: &str) -> bool {
        self.text == text
    }

    pub(super) fn len(&self) -> usize {
        self.matches.len()
    }

    /// The number in the listing of the `at`th match.
    pub(super) fn row(&self, at: usize) -> Option<usize> {
        self.matches.get(at).map(|number| *number as usize)
    }
}

/// A row under the cursor, and the first row that is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) at: usize,
    pub(super) top: usize,
}

impl Cursor {
    /// Goes to a row of `len`, and moves what is seen of them (`page` rows) only as far as it must.
    pub(super) fn go(&mut self, at: usize, len: usize, page: usize) {
        let page = page.max(1);
        self.at = at.min(len.saturating_sub(1));
        // No empty space below the last row while there are rows above.
        self.top = self.top.min(len.saturating_sub(page));
        self.top = self.top.clamp((self.at + 1).saturating_sub(page), self.at);
    }
}

/// What is known of a folder's content.
#[derive(Debug)]
pub(super) enum State {
    /// The server is being asked, and has sent this many rows of folders and documents.
    Asked(u64),
    /// It answered.
    Listed(Arc<Listing>),
    /// It refuses this account; its words.
    Denied(String),
    /// It cannot be listed now, and why.
    Failed(String),
}

/// A folder's content, and where the person was in it.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) state: State,
    pub(super) cursor: Cursor,
    /// The folder the cursor is to be on as soon as it is there.
    pub(super) seek: Option<FolderId>,
    /// When somebody was here last, by the count of visits.
    visited: u64,
}

impl Level {
    pub(super) fn rows(&self) -> &[Row] {
        match &self.state {
            State::Listed(listing) => &listing.rows,
            State::Asked(_) | State::Denied(_) | State::Failed(_) => &[],
        }
    }
}

/// Every folder looked into, as far as memory allows.
#[derive(Debug, Default)]
pub(super) struct Levels {
    levels: HashMap<DirId, Level>,
    visits: u64,
}

impl Levels {
    pub(super) fn get(&self, place: DirId) -> Option<&Level> {
        self.levels.get(&place)
    }

    pub(super) fn get_mut(&mut self, place: DirId) -> Option<&mut Level> {
        self.levels.get_mut(&place)
    }

    /// The folder's level, as asked for if it is new, and visited now.
    pub(super) fn visit(&mut self, place: DirId) -> &mut Level {
        self.visits += 1;
        let level = self.levels.entry(place).or_insert(Level {
            state: State::Asked(0),
            cursor: Cursor::default(),
            seek: None,
            visited: 0,
        });
        level.visited = self.visits;
        level
    }

    /// Forgets what was visited longest ago, until the rest is few enough. What `keep` says stays.
    pub(super) fn shed(&mut self, keep: impl Fn(DirId) -> bool) {
        let mut spare: Vec<(u64, DirId, usize)> = self
            .levels
            .iter()
            .filter(|(place, level)| !keep(**place) && !matches!(level.state, State::Asked(_)))
            // Each takes some room, however little it holds.
            .map(|(place, level)| (level.visited, *place, level.rows().len() + 1))
            .collect();
        spare.sort_unstable_by_key(|(visited, ..)| *visited);
        let mut rows: usize = spare.iter().map(|(_, _, rows)| rows).sum();
        for (_, place, its_rows) in spare {
            if rows <= KEPT_ROWS {
                break;
            }
            rows -= its_rows;
            self.levels.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Guid;

    fn listing(names: &[&str]) -> Listing {
        let folder = |(number, name): (usize, &&str)| {
            let mut guid = [0; 16];
            guid[..8].copy_from_slice(&(number as u64).to_be_bytes());
            Folder {
                id: FolderId(Guid::from_bytes(guid)),
                parent: None,
                name: (*name).to_owned(),
                description: String::new(),
                work_area: false,
                created: None,
                updated: None,
                etag: None,
            }
        };
        Listing::new(names.iter().enumerate().map(folder).collect(), 0)
    }

    fn names(listing: &Listing, filter: &Filter) -> Vec<String> {
        (0..filter.len())
            .map(|at| listing.rows[filter.row(at).unwrap()].name.to_string())
            .collect()
    }

    #[test]
    fn folders_stand_as_people_look_for_them() {
        let listing = listing(&["b", "B", "Äpfel", "a", "Über", "C"]);
        let names: Vec<_> = listing.rows.iter().map(|row| &*row.name).collect();
        assert_eq!(names, ["a", "B", "b", "C", "Äpfel", "Über"]);
    }

    #[test]
    fn a_filter_finds_all_words_in_any_order_and_case() {
        let listing = listing(&["North Bridge 2021", "bridge south", "BRIDGE NORTH", "Northern"]);
        for (text, expected) in [
            ("north bridge", vec!["BRIDGE NORTH", "North Bridge 2021"]),
            ("BRI", vec!["BRIDGE NORTH", "bridge south", "North Bridge 2021"]),
            (
                "  ",
                vec!["BRIDGE NORTH", "bridge south", "North Bridge 2021", "Northern"],
            ),
            ("x", vec![]),
        ] {
            assert_eq!(names(&listing, &Filter::new(text, &listing.rows, None)), expected);
        }
    }

    #[test]
    fn what_is_typed_letter_by_letter_finds_what_the_whole_text_finds() {
        let listing = listing(&["ab", "b a", "ba", "abc d", "dab", "cab", "ΟΔΟΣ ΑΒ", "ΟΔΟΣΑ"]);
        for text in ["ab", "a b", "b a", "ab d", "bc", "ΟΔΟΣΑ"] {
            let mut typed: Option<Filter> = None;
            let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
            for end in ends.clone() {
                typed = Some(Filter::new(&text[..end], &listing.rows, typed.as_ref()));
            }
            let whole = Filter::new(text, &listing.rows, None);
            assert_eq!(typed.unwrap().matches, whole.matches, "{text}");
            let first = &text[..ends.clone().next().unwrap()];
            let shorter = Filter::new(first, &listing.rows, Some(&whole));
            assert_eq!(
                shorter.matches,
                Filter::new(first, &listing.rows, None).matches,
                "a letter taken back brings rows back"
            );
        }
    }

    #[test]
    fn the_cursor_is_always_seen_and_no_row_is_wasted() {
        let mut cursor = Cursor::default();
        for (at, len, page, expected) in [
            (3, 10, 4, (3, 0)),
            (4, 10, 4, (4, 1)),
            (2, 10, 4, (2, 1)),
            (0, 10, 4, (0, 0)),
            (99, 10, 4, (9, 6)),
            (9, 10, 20, (9, 0)),
            (9, 10, 4, (9, 6)),
            (9, 3, 4, (2, 0)),
            (5, 0, 4, (0, 0)),
            (5, 10, 0, (5, 5)),
        ] {
            cursor.go(at, len, page);
            assert_eq!((cursor.at, cursor.top), expected, "{at} of {len}, {page} seen");
        }
    }

    #[test]
    fn what_was_visited_longest_ago_is_forgotten_first() {
        let place = |number: u8| DirId::Folder(FolderId(Guid::from_bytes([number; 16])));
        let big: Vec<String> = (0..KEPT_ROWS / 2).map(|number| number.to_string()).collect();
        let big: Vec<&str> = big.iter().map(String::as_str).collect();
        let mut levels = Levels::default();
        for number in 1..=4 {
            levels.visit(place(number)).state = State::Listed(Arc::new(listing(&big)));
        }
        levels.visit(place(1));
        levels.visit(place(9));
        levels.shed(|kept| kept == place(2));
        let left: Vec<u8> = (1..=9)
            .filter(|number| levels.get(place(*number)).is_some())
            .collect();
        assert_eq!(
            left,
            [1, 2, 9],
            "2 is needed, 9 is being asked for, 1 was visited last"
        );
    }
}
