//! What the picker looks like: a state becomes lines of styled pieces, each with its column.
//!
//! Only the rows that are seen are looked at, however long the list is. Every text of the server is escaped here.

use std::collections::HashSet;

use super::help::KEYS;
use super::input::{Size, TextField};
use super::level::{Row, State};
use super::marks::is_within;
use super::model::{Model, Pane, Prompt, Question};
use super::search::{Hits, MOST_FOLDERS};
use super::text::{count, cut, cut_front, plural, width, wrap};
use crate::cli::output::escape;
use crate::model::{DirId, FolderId};

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

    fn of(text: &str, style: Style, room: usize) -> Self {
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
            lines.extend(body(model, room));
        }
    }
    lines.resize(height.saturating_sub(2), Line::default());
    let (message, caret) = message(model, room);
    lines.push(message);
    lines.push(keys(model, room));
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

/// The list, or what is said in its place.
fn body(model: &Model, room: usize) -> Vec<Line> {
    match model.pane {
        Pane::Folders => folders(model, room),
        Pane::Hits => hits(model, room),
        Pane::Marked => marked(model, room),
    }
}

/// The numbers of the rows that are seen.
fn seen(model: &Model) -> std::ops::Range<usize> {
    let top = model.cursor().top;
    top..(top + model.page()).min(model.len())
}

fn folders(model: &Model, room: usize) -> Vec<Line> {
    let Some(level) = model.level() else {
        return sentence("opening…", Style::Faint, room);
    };
    let reason = |head: &str, reason: &str| {
        let mut lines = sentence(head, Style::Problem, room);
        lines.extend(sentence(&escape(reason), Style::Plain, room));
        // The way out must be seen, however long the server speaks.
        lines.truncate(model.page().saturating_sub(1));
        lines.extend(sentence("r tries again, Left goes back", Style::Faint, room));
        lines
    };
    let listing = match &level.state {
        State::Asked(0) => return sentence("listing…", Style::Faint, room),
        State::Asked(rows) => {
            return sentence(
                &format!("listing… {} rows so far", count(*rows)),
                Style::Faint,
                room,
            );
        }
        State::Denied(words) => return reason("This account has no access to this folder.", words),
        State::Failed(words) => return reason("This folder cannot be listed now.", words),
        State::Listed(listing) => listing,
    };
    if listing.rows.is_empty() {
        return sentence("There are no folders in here.", Style::Faint, room);
    }
    if model.len() == 0 {
        return sentence(
            "No folder here is called that. Enter searches all folders below.",
            Style::Faint,
            room,
        );
    }
    let with_marked = with_marked(model);
    let at = model.cursor().at;
    seen(model)
        .filter_map(|number| {
            let row = listing.rows.get(model.row(number)?)?;
            Some(folder(model, row, &with_marked, number == at, room))
        })
        .collect()
}

/// The names here below which something is marked.
fn with_marked(model: &Model) -> HashSet<&str> {
    let depth = model.trail.len();
    let here = |path: &[String]| {
        path.len() > depth + 1
            && path
                .iter()
                .zip(&model.trail)
                .all(|(name, crumb)| **name == *crumb.name)
    };
    model
        .marks
        .all()
        .iter()
        .filter(|picked| here(&picked.path))
        .filter_map(|picked| picked.path.get(depth).map(String::as_str))
        .collect()
}

fn folder(model: &Model, row: &Row, with_marked: &HashSet<&str>, chosen: bool, room: usize) -> Line {
    let mut notes = Vec::new();
    if let Some(alias) = model.marks.get(row.id).and_then(|picked| picked.alias.as_deref()) {
        notes.push((format!("as {}", escape(alias)), Style::Marked));
    }
    notes.extend(trouble(model, row.id));
    if row.work_area {
        notes.push(("work area".to_owned(), Style::Faint));
    }
    let inside = with_marked.contains(&*row.name);
    let name = format!("{}/", escape(&row.name));
    item(
        model,
        row.id,
        inside,
        &[(&name, Style::Folder)],
        &notes,
        chosen,
        room,
    )
}

/// What is known of a folder that was looked into and did not answer.
fn trouble(model: &Model, id: FolderId) -> Option<(String, Style)> {
    let text = match &model.levels.get(DirId::Folder(id))?.state {
        State::Denied(_) => "no access",
        State::Failed(_) => "not listed",
        State::Asked(_) => "listing…",
        State::Listed(_) => return None,
    };
    Some((text.to_owned(), Style::Problem))
}

/// A row: the cursor's sign, the mark, the name (the first of its pieces gives way at its front), and notes.
fn item(
    model: &Model,
    id: FolderId,
    inside: bool,
    name: &[(&str, Style)],
    notes: &[(String, Style)],
    chosen: bool,
    room: usize,
) -> Line {
    let marked = model.marks.contains(id);
    let mut line = Line {
        chosen,
        ..Line::default()
    };
    line.put(if chosen { ">" } else { " " }, Style::Strong, room);
    let (sign, style) = match (marked, inside) {
        (true, _) => ("[x] ", Style::Marked),
        (false, true) => ("[+] ", Style::Marked),
        (false, false) => ("[ ] ", Style::Plain),
    };
    line.put(sign, style, room);
    // The name gives way to the notes, but never to less than half of the line.
    let wanted: usize = notes.iter().map(|(text, _)| width(text) + 2).sum();
    let for_name = room.saturating_sub(line.end + wanted).max(room / 2);
    let whole: usize = name.iter().map(|(text, _)| width(text)).sum();
    match name {
        [(parents, parents_style), (last, last_style)] => {
            let for_parents = for_name.saturating_sub(width(last));
            let front = if whole > for_name {
                cut_front(parents, for_parents)
            } else {
                (*parents).to_owned()
            };
            let end = line.end + for_name;
            line.put(&front, *parents_style, end);
            line.put(last, *last_style, end);
        }
        pieces => {
            let end = line.end + for_name;
            for (text, style) in pieces {
                line.put(text, *style, end);
            }
        }
    }
    for (text, style) in notes {
        line.skip(2);
        line.put(text, *style, room);
    }
    line
}

fn hits(model: &Model, room: usize) -> Vec<Line> {
    let Some(hits) = &model.hits else {
        return Vec::new();
    };
    if hits.found.is_empty() {
        let text = if hits.running {
            "Nothing found yet."
        } else {
            "No folder below is called that."
        };
        return sentence(text, Style::Faint, room);
    }
    let at = model.cursor().at;
    let depth = hits.below.len();
    seen(model)
        .filter_map(|number| {
            let hit = hits.found.get(number)?;
            let (last, parents) = hit.path.get(depth..)?.split_last()?;
            let parents = way(parents.iter().map(|crumb| &*crumb.name));
            let name = format!("{}/", escape(&last.name));
            let alias = model
                .marks
                .get(last.id)
                .and_then(|picked| picked.alias.as_deref());
            let notes: Vec<_> = alias
                .map(|alias| (format!("as {}", escape(alias)), Style::Marked))
                .into_iter()
                .chain(trouble(model, last.id))
                .collect();
            let pieces = [(parents.as_str(), Style::Faint), (name.as_str(), Style::Folder)];
            Some(item(model, last.id, false, &pieces, &notes, number == at, room))
        })
        .collect()
}

fn marked(model: &Model, room: usize) -> Vec<Line> {
    if model.marks.is_empty() {
        return sentence("Nothing is marked. Space marks a folder.", Style::Faint, room);
    }
    let at = model.cursor().at;
    seen(model)
        .filter_map(|number| {
            let picked = model.marks.all().get(number)?;
            let (last, parents) = match picked.path.split_last() {
                Some((last, parents)) => (format!("{}/", escape(last)), parents),
                None => (picked.id.to_string(), &[][..]),
            };
            let parents = way(parents.iter().map(String::as_str));
            let mut notes = Vec::new();
            if let Some(alias) = &picked.alias {
                notes.push((format!("as {}", escape(alias)), Style::Marked));
            }
            if model.marks.twin(picked.id).is_some() {
                notes.push(("same name".to_owned(), Style::Problem));
            }
            if model
                .marks
                .all()
                .iter()
                .any(|outer| is_within(&picked.path, &outer.path))
            {
                notes.push(("inside another".to_owned(), Style::Faint));
            }
            let pieces = [(parents.as_str(), Style::Faint), (last.as_str(), Style::Folder)];
            Some(item(model, picked.id, false, &pieces, &notes, number == at, room))
        })
        .collect()
}

/// A sentence in the place of a list.
fn sentence(text: &str, style: Style, room: usize) -> Vec<Line> {
    wrap(text, room.saturating_sub(4))
        .iter()
        .map(|text| {
            let mut line = Line::default();
            line.skip(2);
            line.put(text, style, room);
            line
        })
        .collect()
}

fn help_line((key, meaning): &(&str, &str), room: usize) -> Line {
    let mut line = Line::default();
    line.put(key, Style::Strong, room);
    line.end = 13;
    line.put(meaning, Style::Plain, room);
    line
}

/// The line above the keys: what is typed, asked or told; and the caret's column.
fn message(model: &Model, room: usize) -> (Line, Option<u16>) {
    match &model.prompt {
        Some(Prompt::Search(field)) => typed("/", field, room),
        Some(Prompt::Alias { id, field, .. }) => {
            let path = model.marks.get(*id).map_or(&[][..], |picked| &picked.path);
            let name = path.last().map_or_else(|| id.to_string(), |name| escape(name));
            // The name may take half of the line; the rest is for typing.
            let label = format!("Alias of {}: ", cut(&name, (room / 2).saturating_sub(11).max(4)));
            typed(&label, field, room)
        }
        Some(Prompt::Ask(question)) => (Line::of(&asked(model, question), Style::Strong, room), None),
        Some(Prompt::Help(_)) => (Line::default(), None),
        None => (told(model, room), None),
    }
}

fn asked(model: &Model, question: &Question) -> String {
    match question {
        Question::Leave => format!(
            "Leave? {} marked, kept for later.",
            count(model.marks.len() as u64)
        ),
        Question::Nothing => "Nothing is marked: the mount shows all.".to_owned(),
        Question::Shared(name) => format!("Several are called {:?}.", escape(name)),
    }
}

/// A field behind its label.
fn typed(label: &str, field: &TextField, room: usize) -> (Line, Option<u16>) {
    let mut line = Line::of(label, Style::Strong, room);
    let (before, behind) = field.halves();
    // One cell is left for the caret.
    let shown = cut_front(&escape(before), room.saturating_sub(line.end + 1));
    line.put(&shown, Style::Plain, room);
    let caret = line.end;
    line.put(&escape(behind), Style::Plain, room);
    (line, Some(u16::try_from(caret).unwrap_or(u16::MAX)))
}

/// The notice, or how far a search is.
fn told(model: &Model, room: usize) -> Line {
    if let Some(notice) = &model.notice {
        let style = if notice.warns {
            Style::Problem
        } else {
            Style::Plain
        };
        return Line::of(&notice.text, style, room);
    }
    match (&model.hits, model.pane) {
        (Some(hits), Pane::Hits) => Line::of(&reach(hits), Style::Faint, room),
        (Some(hits), Pane::Folders | Pane::Marked) if hits.running => {
            let text = format!(
                "still searching: {} found (f shows them)",
                count(hits.found.len() as u64)
            );
            Line::of(&text, Style::Faint, room)
        }
        (Some(_) | None, _) => Line::default(),
    }
}

/// How far a search is, the most important first: the end is cut in a small window.
fn reach(hits: &Hits) -> String {
    let reach = hits.reach;
    let how = match (hits.running, reach.waiting) {
        (true, _) => "searching:",
        (false, 0) => "done:",
        (false, _) => "stopped:",
    };
    let asked = reach.looked + reach.denied + reach.failed;
    let known = plural(asked + reach.waiting, "folder");
    let mut text = if reach.waiting == 0 {
        format!("{how} {known} searched")
    } else {
        format!("{how} {} of {known}", count(asked as u64))
    };
    for (number, what) in [
        (reach.denied, "without access"),
        (reach.failed, "failed"),
        (hits.more, "found but not shown"),
    ] {
        if number > 0 {
            text = format!("{text}, {} {what}", count(number as u64));
        }
    }
    if reach.full {
        text = format!("{text}; no more than {}", count(MOST_FOLDERS as u64));
    }
    text
}

/// Keys and what they do now, the most important first: what does not fit is left out.
fn hints(model: &Model) -> Vec<(&'static str, &'static str)> {
    match &model.prompt {
        Some(Prompt::Search(_)) => vec![
            ("Enter", "search below"),
            ("Down", "to the list"),
            ("Esc", "show all"),
        ],
        Some(Prompt::Alias { .. }) => vec![("Enter", "keep"), ("Esc", "leave it"), ("empty", "its own name")],
        Some(Prompt::Ask(Question::Leave)) => vec![("y", "leave"), ("s", "go on"), ("Esc", "stay")],
        Some(Prompt::Ask(Question::Nothing)) => vec![("y", "go on"), ("Esc", "back")],
        Some(Prompt::Ask(Question::Shared(_))) => {
            vec![("y", "go on anyway"), ("Tab", "see them"), ("Esc", "back")]
        }
        Some(Prompt::Help(_)) => vec![("Esc", "close"), ("Down", "more")],
        None => match model.pane {
            Pane::Folders => vec![
                ("Space", "mark"),
                ("/", "search"),
                ("s", "done"),
                ("?", "help"),
                ("Enter", "open"),
                ("Left", "up"),
                ("a", "alias"),
                ("Tab", "marked"),
                ("q", "leave"),
            ],
            Pane::Hits => vec![
                ("Space", "mark"),
                (
                    "Esc",
                    if model.hits.as_ref().is_some_and(|hits| hits.running) {
                        "stop"
                    } else {
                        "back"
                    },
                ),
                ("Enter", "go there"),
                ("?", "help"),
                ("a", "alias"),
                ("Tab", "marked"),
                ("s", "done"),
            ],
            Pane::Marked => vec![
                ("Space", "unmark"),
                ("a", "alias"),
                ("Tab", "back"),
                ("s", "done"),
                ("?", "help"),
                ("q", "leave"),
            ],
        },
    }
}

/// The last line: the keys, or why the alias is asked for.
fn keys(model: &Model, room: usize) -> Line {
    if let Some(Prompt::Alias { why: Some(why), .. }) = &model.prompt {
        return Line::of(why, Style::Problem, room);
    }
    let mut line = Line::default();
    for (key, word) in hints(model) {
        let gap = if line.end == 0 { 0 } else { 2 };
        if line.end + gap + width(key) + 1 + width(word) > room {
            break;
        }
        line.skip(gap);
        line.put(key, Style::Strong, room);
        line.skip(1);
        line.put(word, Style::Faint, room);
    }
    line
}

#[cfg(test)]
mod tests;
