//! What the picker looks like: a state becomes lines of styled pieces, each with its column.
//!
//! Only the rows that are seen are looked at, however long the list is. Every text of the server is escaped here.

use super::help::KEYS;
use super::input::Size;
use super::level::State;
use super::model::{Model, Pane, Prompt};
use super::search::Hits;
use super::text::{count, cut, cut_front, plural, width, wrap};
use crate::cli::output::escape;

mod foot;
mod list;

/// Below this nothing can be told apart any more.
const SMALLEST: Size = Size { columns: 20, rows: 6 };

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// What is looked at first.
    Strong,
    Folder,
    /// A marked folder.
    Marked,
    Faint,
    Problem,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The cell it begins in.
    pub(super) column: u16,
    pub(super) text: String,
    pub(super) style: Style,
}

/// A line of the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) pieces: Vec<Piece>,
    /// The cursor is on it.
    pub(super) chosen: bool,
    /// The first free cell.
    end: usize,
}

impl Line {
    /// Puts text behind what is there, cut at `room` cells from the line's start.
    fn put(&mut self, text: &str, style: Style, room: usize) {
        let text = cut(text, room.saturating_sub(self.end));
        if text.is_empty() {
            return;
        }
        let cells = width(&text);
        self.pieces.push(Piece {
            column: u16::try_from(self.end).unwrap_or(u16::MAX),
            text,
            style,
        });
        self.end += cells;
    }

    /// Leaves `cells` free.
    fn skip(&mut self, cells: usize) {
        self.end += cells;
    }

    pub(super) fn of(text: &str, style: Style, room: usize) -> Self {
        let mut line = Self::default();
        line.put(text, style, room);
        line
    }
}

/// A whole screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// One for each row.
    pub(super) lines: Vec<Line>,
    /// Where the terminal's own cursor is: column and row, where something is typed.
    pub(super) caret: Option<(u16, u16)>,
}

/// Draws the state.
pub(super) fn view(model: &Model) -> Frame {
    let Size { columns, rows } = model.size;
    let (room, height) = (usize::from(columns), usize::from(rows));
    if columns < SMALLEST.columns || rows < SMALLEST.rows {
        let mut lines: Vec<Line> = wrap("the window is too small", room)
            .iter()
            .map(|line| Line::of(line, Style::Plain, room))
            .collect();
        lines.resize(height, Line::default());
        return Frame { lines, caret: None };
    }
    let mut lines = vec![title(model, room)];
    match &model.prompt {
        Some(Prompt::Help(top)) => {
            lines.push(Line::of("The keys", Style::Strong, room));
            lines.extend(
                KEYS.iter()
                    .skip(*top)
                    .take(model.page())
                    .map(|key| help_line(key, room)),
            );
        }
        Some(Prompt::Search(_) | Prompt::Alias { .. } | Prompt::Ask(_)) | None => {
            lines.push(place(model, room));
            lines.extend(list::body(model, room));
        }
    }
    lines.resize(height.saturating_sub(2), Line::default());
    let (message, caret) = foot::message(model, room);
    lines.push(message);
    lines.push(foot::keys(model, room));
    let row = rows.saturating_sub(2);
    Frame {
        lines,
        caret: caret.map(|column| (column, row)),
    }
}

/// Two texts at the ends of a line; the left one gives way.
fn ends(left: (&str, Style), right: (&str, Style), room: usize) -> Line {
    let right_cells = width(right.0).min(room);
    let mut line = Line::default();
    line.put(left.0, left.1, room.saturating_sub(right_cells + 1));
    line.end = room - right_cells;
    line.put(right.0, right.1, room);
    line
}

fn title(model: &Model, room: usize) -> Line {
    let marked = match model.marks.len() {
        0 => "nothing marked".to_owned(),
        some => format!("{} marked", count(some as u64)),
    };
    let text = format!("Choose folders  {}", escape(&model.server));
    ends((&text, Style::Strong), (&marked, Style::Marked), room)
}

/// Where the person is, and how much is there.
fn place(model: &Model, room: usize) -> Line {
    let (text, right) = match model.pane {
        Pane::Folders => (where_at(model), extent(model)),
        Pane::Hits => {
            let hits = model.hits.as_ref();
            let text = hits.map_or_else(String::new, |hits| {
                let below = hits
                    .below
                    .last()
                    .map_or("/".to_owned(), |crumb| escape(&crumb.name));
                format!("Found {:?} below {below}", escape(&hits.text))
            });
            (text, hits.map_or_else(String::new, found))
        }
        Pane::Marked => ("Marked folders".to_owned(), String::new()),
    };
    let left = match model.pane {
        Pane::Folders => cut_front(&text, room.saturating_sub(width(&right) + 1)),
        Pane::Hits | Pane::Marked => text,
    };
    ends((&left, Style::Plain), (&right, Style::Faint), room)
}

fn where_at(model: &Model) -> String {
    if model.trail.is_empty() {
        return "/".to_owned();
    }
    let names = model.trail.iter().map(|crumb| &*crumb.name);
    let way = way(names);
    format!("/ {}", way.strip_suffix(" / ").unwrap_or(&way))
}

/// Names one behind the other, each with a slash behind it.
fn way<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut way = String::new();
    for name in names {
        way.push_str(&escape(name));
        way.push_str(" / ");
    }
    way
}

fn extent(model: &Model) -> String {
    let Some(State::Listed(listing)) = model.level().map(|level| &level.state) else {
        return String::new();
    };
    if let Some(filter) = &model.filter {
        return format!(
            "{} of {}",
            count(filter.len() as u64),
            count(listing.rows.len() as u64)
        );
    }
    let folders = plural(listing.rows.len(), "folder");
    match listing.documents {
        0 => folders,
        some => format!("{folders}, {}", plural(some, "document")),
    }
}

fn found(hits: &Hits) -> String {
    plural(hits.found.len() + hits.more, "folder")
}

fn help_line((key, meaning): &(&str, &str), room: usize) -> Line {
    let mut line = Line::default();
    line.put(key, Style::Strong, room);
    line.end = 13;
    line.put(meaning, Style::Plain, room);
    line
}

#[cfg(test)]
mod tests;
