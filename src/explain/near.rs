//! Which names may have been meant by one that is not there.

use super::naming::raw;
use super::{Near, NearWhy};
use crate::model::Entry;
use crate::store::listing::Listing;

/// More would be a list to read.
const MOST: usize = 3;

/// One wrong letter in four, and two in a short name, are a slip; more is another name.
const LETTERS_PER_SLIP: usize = 4;
const SLIPS_MIN: usize = 1;
const SLIPS_MAX: usize = 4;

/// The names of `listing` that are near `name`, the nearest first. `rest` is `name` with all that was asked for below it:
/// a raw name may hold a `/`.
pub(super) fn near(listing: &Listing, name: &str, rest: &str) -> Vec<Near> {
    let folded = name.to_lowercase();
    let slips = (name.chars().count() / LETTERS_PER_SLIP).clamp(SLIPS_MIN, SLIPS_MAX);
    let mut found: Vec<((NearWhy, usize), &str)> = listing
        .rows()
        .iter()
        .filter_map(|row| {
            let shown = row.name.as_str();
            let distance = distance(&row.entry, shown, name, rest, &folded, slips)?;
            Some((distance, shown))
        })
        .collect();
    found.sort_unstable();
    found.truncate(MOST);
    found
        .into_iter()
        .map(|((why, _), shown)| Near {
            shown: shown.to_owned(),
            why,
        })
        .collect()
}

fn distance(
    entry: &Entry,
    shown: &str,
    name: &str,
    rest: &str,
    folded: &str,
    slips: usize,
) -> Option<(NearWhy, usize)> {
    let raw = raw(entry);
    if raw == name || raw == rest {
        return Some((NearWhy::Raw, 0));
    }
    if matches!(entry, Entry::Document(document) if document.name == name || document.name == rest) {
        return Some((NearWhy::DocumentName, 0));
    }
    // A letter is at most four bytes: what is so much longer or shorter needs no comparison.
    if shown.len().abs_diff(name.len()) > 4 * slips {
        return None;
    }
    let shown = shown.to_lowercase();
    match strsim::osa_distance(&shown, folded) {
        0 => Some((NearWhy::Case, 0)),
        letters if letters <= slips => Some((NearWhy::Letters, letters)),
        _ => None,
    }
}
