//! Turns remote names into file names: legal, unique in their folder, stable, and reversible.
//!
//! Simple until you consider that:
//! 1. ProjectWise allows any character in a name, Linux neither `/` nor NUL, nor `.` and `..`, nor 256 bytes;
//! 2. a person must be able to guess the remote name from the shown one, and a program to compute it;
//! 3. one folder may hold several documents, and a folder, of one name;
//! 4. the server lists in any order, and a name that changes when a neighbour appears breaks every bookmark.
//!
//! [`encode`] answers 1 and 2 with the convention rclone users know: a substitute that looks like the character
//! it stands for, quoted with U+201B where the raw name already holds the substitute. [`assign_names`] answers 3
//! and 4: names are claimed one after the other in an order that depends on the entries alone (folders, then
//! oldest, then lowest GUID), so an entry's name depends only on those before it.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::model::{ObjectId, Timestamp};

/// The longest file name Linux takes, in bytes (`NAME_MAX`).
pub const MAX_NAME_BYTES: usize = 255;

/// The longest text after a name's last dot, dot included, that is kept as an extension, in bytes.
///
/// Real ones are short (`.i.dgn.bak` counts as `.bak`); a longer one is a sentence with a full stop in it.
const MAX_EXTENSION_BYTES: usize = 20;

/// Marks the next character as itself, and stands alone for the empty name. Doubled, it is itself.
const QUOTE: char = '\u{201B}';

/// What `.` is shown as where a dot would be misread.
const FULLWIDTH_STOP: char = '\u{FF0E}';

/// What `/` is shown as.
const FULLWIDTH_SOLIDUS: char = '\u{FF0F}';

/// The directory at the root of a mount that belongs to pwfs.
const OWN_DIRECTORY: &str = ".pw";

/// Where a name will be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the root of the mount, where `.pw` is taken.
    Root,
    /// In any other folder.
    Folder,
}

/// A name that can be an entry of a directory.
///
/// Never empty, at most 255 bytes, without `/` and NUL, and neither `.` nor `..`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(Arc<str>);

/// The text cannot be an entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a file name")]
pub struct InvalidFileName(String);

impl FileName {
    /// Takes `text` as it is, where Linux would.
    pub fn new(text: &str) -> Result<Self, InvalidFileName> {
        let legal = !text.is_empty()
            && text.len() <= MAX_NAME_BYTES
            && !text.contains(['/', '\0'])
            && text != "."
            && text != "..";
        if legal {
            Ok(Self(text.into()))
        } else {
            Err(InvalidFileName(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as the kernel sees it.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Borrow<str> for FileName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An entry of a folder that wants a name.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its identity; decides between entries of one age, and is what suffixes are made of.
    pub id: ObjectId,
    /// The name the server gives it.
    pub raw: &'a str,
    /// When it was made; `None` counts as the newest.
    pub created: Option<Timestamp>,
}

/// Gives every entry of one folder its file name, in the order of `candidates`.
///
/// All names differ. They do not depend on the order of `candidates`, and do not change when documents made later
/// are added. The first to claim a name keeps it plain; every other gets ` ~` and the first 8 hexadecimal digits
/// of its GUID before the extension, and more digits in the rare case that this is taken too.
pub fn assign_names(place: Place, candidates: &[Candidate<'_>]) -> Vec<FileName> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_unstable_by_key(|&index| {
        let candidate = &candidates[index];
        (
            matches!(candidate.id, ObjectId::Document(_)),
            candidate.created.is_none(),
            candidate.created,
            candidate.id.guid(),
            candidate.raw,
            // Entries that are equal in all of this cannot be told apart; any fixed order will do.
            index,
        )
    });

    let mut taken: HashSet<FileName> = HashSet::with_capacity(candidates.len());
    let mut names: Vec<(usize, FileName)> = Vec::with_capacity(candidates.len());
    for index in order {
        let name = claim(place, &candidates[index], &taken);
        taken.insert(name.clone());
        names.push((index, name));
    }
    names.sort_unstable_by_key(|(index, _)| *index);
    names.into_iter().map(|(_, name)| name).collect()
}

/// The first form of the candidate's name that nobody took.
fn claim(place: Place, candidate: &Candidate<'_>, taken: &HashSet<FileName>) -> FileName {
    let free = |text: String| (!taken.contains(text.as_str())).then(|| FileName(text.into()));

    let encoded = encode(candidate.raw, place);
    let stem_and_extension = match candidate.id {
        // What follows the dot of `Phase 1.2` says nothing about a folder.
        ObjectId::Folder(_) => (encoded.as_str(), ""),
        ObjectId::Document(_) => split_extension(&encoded),
    };
    let guid = candidate.id.guid();
    let plain = if encoded.len() <= MAX_NAME_BYTES {
        encoded.clone()
    } else {
        with_suffix(stem_and_extension, &format!("~{}", guid.hex_prefix(8)))
    };
    free(plain)
        .or_else(|| {
            [8, 16, 32].into_iter().find_map(|digits| {
                free(with_suffix(
                    stem_and_extension,
                    &format!(" ~{}", guid.hex_prefix(digits)),
                ))
            })
        })
        .or_else(|| {
            // Only somebody who names documents after the GUIDs of others gets here.
            (2_u64..).find_map(|count| {
                free(with_suffix(
                    stem_and_extension,
                    &format!(" ~{}~{count}", guid.hex_prefix(32)),
                ))
            })
        })
        .expect("a folder holds fewer entries than there are counts")
}

/// Splits before the last dot, where what follows looks like an extension.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot)
            if dot > 0
                && (2..=MAX_EXTENSION_BYTES).contains(&(name.len() - dot))
                && !name[dot..].contains(char::is_whitespace) =>
        {
            name.split_at(dot)
        }
        Some(_) | None => (name, ""),
    }
}

/// Puts `suffix` between stem and extension, cutting the stem where the whole would be too long.
fn with_suffix((stem, extension): (&str, &str), suffix: &str) -> String {
    let room = MAX_NAME_BYTES - suffix.len() - extension.len();
    let end = (0..=room.min(stem.len()))
        .rfind(|&end| stem.is_char_boundary(end))
        .unwrap_or(0);
    let stem = &stem[..end];
    format!("{stem}{suffix}{extension}")
}

/// Shows a raw name with only characters that may stand in a file name, reversibly.
///
/// The result may be longer than a file name can be: [`assign_names`] cuts it. Backslash, colon and everything
/// else Linux takes stay as they are.
pub fn encode(raw: &str, place: Place) -> String {
    match raw {
        "" => return QUOTE.to_string(),
        "." => return FULLWIDTH_STOP.to_string(),
        ".." => return [FULLWIDTH_STOP; 2].iter().collect(),
        OWN_DIRECTORY if place == Place::Root => return format!("{FULLWIDTH_STOP}{}", &OWN_DIRECTORY[1..]),
        _ => {}
    }
    let mut shown = String::with_capacity(raw.len());
    if dotted(raw).is_some() {
        shown.push(QUOTE);
    }
    for character in raw.chars() {
        if let Some(substitute) = substitute(character) {
            shown.push(substitute);
        } else {
            if character == QUOTE || original(character).is_some() {
                shown.push(QUOTE);
            }
            shown.push(character);
        }
    }
    shown
}

/// The raw name that [`encode`] shows as `shown`.
///
/// Any other text, a cut name or one with a suffix included, is decoded character by character.
pub fn decode(shown: &str) -> String {
    let lone_quote = shown.chars().eq([QUOTE]);
    if lone_quote {
        return String::new();
    }
    if let Some(raw) = dotted(shown) {
        return raw.to_owned();
    }
    let mut raw = String::with_capacity(shown.len());
    let mut characters = shown.chars();
    while let Some(character) = characters.next() {
        if character == QUOTE {
            raw.push(characters.next().unwrap_or(QUOTE));
        } else {
            raw.push(original(character).unwrap_or(character));
        }
    }
    raw
}

/// What a name stands for that is a dot name in fullwidth stops.
///
/// The same wherever it is shown, though `.pw` is only encoded at the root: decoding needs no [`Place`].
fn dotted(name: &str) -> Option<&'static str> {
    match name.strip_prefix(FULLWIDTH_STOP)? {
        "" => Some("."),
        "\u{FF0E}" => Some(".."),
        "pw" => Some(OWN_DIRECTORY),
        _ => None,
    }
}

/// What a character is shown as that may not stand in a file name, or not be printed.
fn substitute(character: char) -> Option<char> {
    match character {
        '/' => Some(FULLWIDTH_SOLIDUS),
        // The block of control pictures holds them in the order of their codes.
        '\0'..='\u{1F}' => char::from_u32(0x2400 + u32::from(character)),
        '\u{7F}' => Some('\u{2421}'),
        _ => None,
    }
}

/// The character that `character` is a substitute for.
fn original(character: char) -> Option<char> {
    match character {
        FULLWIDTH_SOLIDUS => Some('/'),
        '\u{2400}'..='\u{241F}' => char::from_u32(u32::from(character) - 0x2400),
        '\u{2421}' => Some('\u{7F}'),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
