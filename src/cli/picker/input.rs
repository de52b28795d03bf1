//! What a person does at the terminal, and the one-line field they type into.

/// A key, as far as the picker tells keys apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character; `' '` is the space bar.
    Char(char),
    /// A letter (lower case) with the control key held.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Deletes backwards.
    Backspace,
    /// Deletes forwards.
    Delete,
    /// Tab.
    Tab,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
}

/// What comes from a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Pasted(String),
    /// The window has this size now.
    Resized(Size),
    /// The terminal is gone, or the process is asked to end (SIGINT, SIGTERM, SIGHUP).
    Ended,
}

/// The size of a terminal, in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Cells side by side.
    pub columns: u16,
    /// Cells one above the other.
    pub rows: u16,
}

/// The longest text a field takes, in bytes: more than any legal alias (255), so that one too long can be seen and
/// told, and far less than a clipboard may hold.
const LONGEST: usize = 1024;

/// A line of text being typed.
#[derive(Debug, Clone, Default)]
pub(super) struct TextField {
    text: String,
    /// Where the next character goes: a byte offset at a character's border.
    caret: usize,
}

impl TextField {
    /// A field that holds `text`, with the caret behind it.
    pub(super) fn new(text: &str) -> Self {
        let mut field = Self::default();
        field.insert(text);
        field
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text before the caret and behind it.
    pub(super) fn halves(&self) -> (&str, &str) {
        self.text.split_at(self.caret)
    }

    /// Puts text in at the caret. Control characters, the line breaks of a paste above all, are left out.
    pub(super) fn insert(&mut self, text: &str) {
        for character in text.chars().filter(|character| !character.is_control()) {
            if self.text.len() + character.len_utf8() > LONGEST {
                break;
            }
            self.text.insert(self.caret, character);
            self.caret += character.len_utf8();
        }
    }

    /// Obeys an editing key; false if it is none.
    pub(super) fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Char(character) => self.insert(character.encode_utf8(&mut [0; 4])),
            Key::Backspace => {
                let before = self.before();
                self.text.replace_range(before..self.caret, "");
                self.caret = before;
            }
            Key::Delete => {
                let behind = self.behind();
                self.text.replace_range(self.caret..behind, "");
            }
            Key::Left => self.caret = self.before(),
            Key::Right => self.caret = self.behind(),
            Key::Home | Key::Ctrl('a') => self.caret = 0,
            Key::End | Key::Ctrl('e') => self.caret = self.text.len(),
            Key::Ctrl('u') => {
                self.text.replace_range(..self.caret, "");
                self.caret = 0;
            }
            Key::Ctrl('w') => {
                let kept = self.text[..self.caret].trim_end();
                let start = kept
                    .char_indices()
                    .rfind(|(_, character)| character.is_whitespace())
                    .map_or(0, |(at, space)| at + space.len_utf8());
                self.text.replace_range(start..self.caret, "");
                self.caret = start;
            }
            Key::Ctrl(_)
            | Key::Enter
            | Key::Esc
            | Key::Tab
            | Key::Up
            | Key::Down
            | Key::PageUp
            | Key::PageDown => return false,
        }
        true
    }

    /// The border before the character before the caret.
    fn before(&self) -> usize {
        let last = self.text[..self.caret].chars().next_back();
        self.caret - last.map_or(0, char::len_utf8)
    }

    /// The border behind the character behind the caret.
    fn behind(&self) -> usize {
        let next = self.text[self.caret..].chars().next();
        self.caret + next.map_or(0, char::len_utf8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_edited_by_whole_characters() {
        for (keys, expected) in [
            (vec![Key::Backspace], "Brück"),
            (vec![Key::Left, Key::Left, Key::Left, Key::Backspace], "Brcke"),
            (vec![Key::Home, Key::Delete, Key::Char('b')], "brücke"),
            (vec![Key::Home, Key::Backspace, Key::Left], "Brücke"),
            (vec![Key::End, Key::Delete, Key::Right, Key::Char('n')], "Brücken"),
            (vec![Key::Left, Key::Ctrl('u')], "e"),
            (vec![Key::Char(' '), Key::Char('9'), Key::Ctrl('w')], "Brücke "),
            (vec![Key::Char(' '), Key::Ctrl('w')], ""),
        ] {
            let mut field = TextField::new("Brücke");
            for key in &keys {
                assert!(field.press(*key));
            }
            assert_eq!(field.text(), expected, "{keys:?}");
        }
        assert!(!TextField::new("x").press(Key::Enter));
    }

    #[test]
    fn a_paste_brings_no_line_breaks_and_no_end_of_memory() {
        let mut field = TextField::new("ab");
        field.press(Key::Left);
        field.insert("1\r\n2\u{1b}");
        assert_eq!(field.text(), "a12b");
        field.insert(&"ü".repeat(100_000));
        assert!(field.text().len() <= LONGEST);
    }
}
