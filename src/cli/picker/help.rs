//! The keys, as the help tells them.

/// Keys and what they do; an empty line parts them.
///
/// The first column has 12 cells and the second 27, so that nothing is cut in a window of 40.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("Up Down j k", "move"),
    ("PgUp PgDn", "move by a page"),
    ("Home End g G", "to the first, to the last"),
    ("Right Enter", "open the folder"),
    ("Left Bksp", "back to the folder above"),
    ("Space", "mark, or take the mark off"),
    ("a", "mark and name it (an alias)"),
    ("Tab", "the marked ones, and back"),
    ("s", "done: go on with the marked"),
    ("q Esc", "leave, to come back later"),
    ("", ""),
    ("/", "search here, as you type"),
    ("  Enter", "search all folders below"),
    ("  Down", "to the folders found here"),
    ("  Esc", "show all folders again"),
    ("n N", "next, previous found here"),
    ("f", "what was found below"),
    ("x Esc", "stop searching below"),
    ("", ""),
    ("r", "list again, or try again"),
    ("Ctrl-C", "leave at once"),
    ("Ctrl-L", "draw the screen again"),
    ("Ctrl-Z", "to the shell; fg comes back"),
    ("", ""),
    ("[x]", "it is marked"),
    ("[+]", "something in it is marked"),
];

#[cfg(test)]
mod tests {
    use super::KEYS;

    #[test]
    fn the_help_fits_the_smallest_window() {
        for (key, meaning) in KEYS {
            assert!(key.len() <= 12 && meaning.len() <= 27, "{key} {meaning}");
        }
    }
}
