//! Text in cells: how wide it is, and how it is cut to fit.
//!
//! Terminals disagree on the width of some sequences (flags, families joined of several people). Characters are counted
//! one by one here, which is never too little for the terminals that do not join them, and the terminal places every
//! piece of a line by its column, so that a disagreement cannot shift what stands beside it.

use unicode_width::UnicodeWidthChar as _;

/// Stands for what was cut.
const CUT: char = '…';

/// Asks for the wide form of the character before it.
const EMOJI_FORM: char = '\u{fe0f}';

/// Characters without a width that one cell may carry. Real scripts stack three or four; more is an attack on the
/// reader's eyes.
const MOST_STACKED: usize = 8;

fn cells(character: char) -> usize {
    match character {
        EMOJI_FORM => 1,
        _ => character.width().unwrap_or(0),
    }
}

/// How many cells a text takes. It must have been escaped.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(cells).sum()
}

/// The text, cut at its end where it takes more than `room` cells.
pub(super) fn cut(text: &str, room: usize) -> String {
    let mut kept = String::new();
    let (mut used, mut stacked) = (0, 0);
    // Where to cut so that the mark still fits.
    let mut fallback = 0;
    for character in text.chars() {
        let cells = cells(character);
        stacked = if cells == 0 { stacked + 1 } else { 0 };
        if stacked > MOST_STACKED {
            continue;
        }
        if used + cells > room {
            kept.truncate(fallback);
            if room > 0 {
                kept.push(CUT);
            }
            return kept;
        }
        used += cells;
        kept.push(character);
        if used < room {
            fallback = kept.len();
        }
    }
    kept
}

/// The text, cut at its front where it takes more than `room` cells.
pub(super) fn cut_front(text: &str, room: usize) -> String {
    if width(text) <= room {
        return cut(text, room);
    }
    let mut used = 1;
    let mut start = text.len();
    for (at, character) in text.char_indices().rev() {
        used += cells(character);
        if used > room {
            break;
        }
        // A cut before a mark that belongs to the character before would give it to the sign of the cut.
        if cells(character) > 0 {
            start = at;
        }
    }
    let kept = cut(&text[start..], room.saturating_sub(1));
    if room == 0 { kept } else { format!("{CUT}{kept}") }
}

/// The text in lines of `room` cells, broken between words where there are any.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word;
        loop {
            let gap = usize::from(!line.is_empty());
            if width(&line) + gap + width(word) <= room {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                break;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                continue;
            }
            let end = longest_prefix(word, room);
            lines.push(word[..end].to_owned());
            word = &word[end..];
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Where the longest beginning ends that takes `room` cells; behind the first character at least.
fn longest_prefix(word: &str, room: usize) -> usize {
    let mut used = 0;
    for (at, character) in word.char_indices() {
        used += cells(character);
        if used > room && at > 0 {
            return at;
        }
    }
    word.len()
}

/// A count for people: `100,000`.
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of something: `1 folder`, `2,000 folders`.
pub(super) fn plural(number: usize, word: &str) -> String {
    format!(
        "{} {word}{}",
        count(number as u64),
        if number == 1 { "" } else { "s" }
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_cut_where_the_next_cell_would_be_too_many() {
        for (text, room, end, front) in [
            ("Drawings", 8, "Drawings", "Drawings"),
            ("Drawings", 7, "Drawin…", "…awings"),
            ("図面一覧", 8, "図面一覧", "図面一覧"),
            ("図面一覧", 7, "図面一…", "…面一覧"),
            ("図面一覧", 6, "図面…", "…一覧"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…", "…e\u{301}"),
            ("ab", 1, "…", "…"),
            ("ab", 0, "", ""),
            ("", 3, "", ""),
        ] {
            assert_eq!(cut(text, room), end, "{text} in {room}");
            assert_eq!(cut_front(text, room), front, "{text} in {room}");
        }
    }

    #[test]
    fn a_tower_of_marks_is_brought_down() {
        let tower = format!("a{}b", "\u{301}".repeat(5_000));
        assert!(cut(&tower, 10).chars().count() < 20);
        assert!(cut_front(&tower, 10).chars().count() < 20);
    }

    #[test]
    fn sentences_are_broken_between_words_and_long_words_anywhere() {
        assert_eq!(
            wrap("the server  denies access", 10),
            ["the server", "denies", "access"]
        );
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("図図", 1), ["図", "図"]);
        assert!(wrap(" ", 5).is_empty());
    }

    #[test]
    fn counts_are_written_for_people() {
        for (number, expected) in [
            (0_u64, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), expected);
        }
        assert_eq!(plural(1, "folder"), "1 folder");
    }

    proptest! {
        #[test]
        fn whatever_is_cut_fits(text in ".{0,60}", room in 0_usize..30) {
            prop_assert!(width(&cut(&text, room)) <= room);
            prop_assert!(width(&cut_front(&text, room)) <= room);
            for line in wrap(&text, room) {
                prop_assert!(width(&line) <= room.max(2) || line.chars().count() == 1);
            }
        }
    }
}
