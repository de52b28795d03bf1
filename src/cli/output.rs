//! Everything pwfs prints: results on stdout, progress and errors on stderr.
//!
//! The only place that prints. Text that came from a server is hostile to terminals until [`escape`] has seen it.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use parking_lot::Mutex;
use serde::Serialize;

use super::failure::CliError;

mod bar;
pub mod log;

pub use bar::Bar;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON document on stdout.
    Json,
}

/// Colours of a terminal, by what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// A folder.
    Folder,
    /// As it should be.
    Good,
    /// Something to know of.
    Notice,
    /// Something that went wrong.
    Problem,
    /// Less important.
    Faint,
}

/// Writes results, progress and errors.
pub struct Printer {
    format: Format,
    colour: bool,
    /// Progress lines are for people at a terminal only.
    shows_progress: bool,
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
}

impl Printer {
    /// Writes to this process's stdout and stderr; colours where stdout is a terminal and `NO_COLOR` is not set.
    pub fn new(format: Format, no_color: bool) -> Self {
        Self {
            format,
            colour: format == Format::Text && io::stdout().is_terminal() && !no_color,
            shows_progress: io::stderr().is_terminal(),
            out: Mutex::new(Box::new(io::BufWriter::new(io::stdout()))),
            err: Mutex::new(Box::new(io::stderr())),
        }
    }

    /// Writes elsewhere, without colours and progress.
    pub fn to(format: Format, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self {
            format,
            colour: false,
            shows_progress: false,
            out: Mutex::new(out),
            err: Mutex::new(err),
        }
    }

    /// How results are written.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// True where [`Printer::paint`] paints.
    pub const fn has_colour(&self) -> bool {
        self.colour
    }

    /// Writes a line of text. What came from a server is escaped by the caller.
    pub fn line(&self, text: &str) -> Result<(), CliError> {
        let mut out = self.out.lock();
        writeln!(out, "{text}").map_err(|error| CliError::from_output(&error))
    }

    /// Writes a JSON document.
    pub fn json(&self, document: &impl Serialize) -> Result<(), CliError> {
        let mut out = self.out.lock();
        serde_json::to_writer_pretty(&mut *out, document)
            .map_err(|error| CliError::from_output(&error.into()))?;
        writeln!(out).map_err(|error| CliError::from_output(&error))
    }

    /// Writes a JSON document on one line, for readers that read by lines.
    pub fn json_line(&self, document: &impl Serialize) -> Result<(), CliError> {
        let mut out = self.out.lock();
        serde_json::to_writer(&mut *out, document).map_err(|error| CliError::from_output(&error.into()))?;
        writeln!(out).map_err(|error| CliError::from_output(&error))
    }

    /// Writes bytes as they are, which came from no terminal's enemy: a table, or lines of JSON.
    pub fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.out.lock().write_all(bytes)
    }

    /// Hands everything to the system; a full disk or a closed pipe shows here at the latest.
    pub fn flush(&self) -> Result<(), CliError> {
        self.out
            .lock()
            .flush()
            .map_err(|error| CliError::from_output(&error))
    }

    /// Tells a person at a terminal how far things are; the line is overwritten by the next one.
    pub fn progress(&self, text: &str) {
        if self.shows_progress {
            // Nothing depends on progress being seen.
            let _ = write!(self.err.lock(), "\r\x1b[K{text}");
        }
    }

    /// Removes the progress line.
    pub fn end_progress(&self) {
        self.progress("");
    }

    /// A bar for work that takes long, counted in `of_what`; shown where progress is.
    pub fn bar(&self, of_what: &str) -> Bar {
        Bar::new(self.shows_progress, of_what)
    }

    /// Tells something beside the results, on stderr.
    pub fn note(&self, text: &str) {
        self.end_progress();
        let _ = writeln!(self.err.lock(), "{text}");
    }

    /// Tells of something that does not stop the command.
    pub fn warn(&self, text: &str) {
        self.end_progress();
        let _ = writeln!(self.err.lock(), "Warning: {text}");
    }

    /// Tells why the command failed: a broken pipe on stdout is no failure and says nothing.
    pub fn error(&self, error: &CliError) {
        if error.is_broken_pipe() {
            return;
        }
        self.end_progress();
        let text = match self.format {
            Format::Text => error.to_text(),
            Format::Json => error.to_json(),
        };
        // There is no other place left to tell it.
        let _ = self.err.lock().write_all(text.as_bytes());
    }

    /// `text` in a colour, where there are colours.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Folder => "1;34",
            Paint::Good => "32",
            Paint::Notice => "33",
            Paint::Problem => "31",
            Paint::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `text` as a terminal may safely show it: control, direction and invisible characters as `\u{…}`.
///
/// A name with a line break, an escape sequence or a right-to-left override would otherwise write whatever its
/// author likes on this screen.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            // Writing to a String cannot fail.
            let _ = write!(safe, "{}", character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Control characters, and those that change the order or hide: Unicode's bidirectional controls (UAX 9), zero-width
/// and line separators, tags and the byte order mark. Joiners stay: scripts need them.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_the_rest_kept() {
        for (text, expected) in [
            ("A-101.dgn", "A-101.dgn"),
            ("Übersicht 図面 🏗", "Übersicht 図面 🏗"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\r\u{7}", "a\\u{a}b\\u{d}\\u{7}"),
            ("ab\u{202e}cd", "ab\\u{202e}cd"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\\b", "a\\b"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn a_closed_pipe_is_told_apart_from_other_failures() {
        struct Closed(io::ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(self.0.into())
            }
        }
        let printer = |kind| Printer::to(Format::Text, Box::new(Closed(kind)), Box::new(io::sink()));
        let closed = printer(io::ErrorKind::BrokenPipe).line("x").unwrap_err();
        assert!(closed.is_broken_pipe());
        assert_eq!(closed.exit_code(), 0);
        let full = printer(io::ErrorKind::StorageFull);
        assert_eq!(full.line("x").unwrap_err().exit_code(), 1);
        assert!(full.json(&[1]).is_err() && full.flush().is_err());
        assert!(
            printer(io::ErrorKind::BrokenPipe)
                .json(&[1])
                .unwrap_err()
                .is_broken_pipe()
        );
    }
}
