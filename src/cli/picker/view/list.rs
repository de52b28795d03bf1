//! The list in the middle: folders, hits or marked ones; or what is said in their place.

use std::collections::HashSet;

use super::{Line, Style, way};
use crate::cli::output::escape;
use crate::cli::picker::level::{Row, State};
use crate::cli::picker::marks::is_within;
use crate::cli::picker::model::{Model, Pane};
use crate::cli::picker::text::{count, cut_front, width, wrap};
use crate::model::{DirId, FolderId};

/// The list, or what is said in its place.
pub(super) fn body(model: &Model, room: usize) -> Vec<Line> {
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
