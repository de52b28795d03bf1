//! The last two lines: what is typed, asked or told, and the keys.

use super::{Line, Style};
use crate::cli::output::escape;
use crate::cli::picker::input::TextField;
use crate::cli::picker::model::{Model, Pane, Prompt, Question};
use crate::cli::picker::search::{Hits, MOST_FOLDERS};
use crate::cli::picker::text::{count, cut, cut_front, plural, width};

/// The line above the keys: what is typed, asked or told; and the caret's column.
pub(super) fn message(model: &Model, room: usize) -> (Line, Option<u16>) {
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
pub(super) fn keys(model: &Model, room: usize) -> Line {
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
