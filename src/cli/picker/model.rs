//! What the picker knows and shows: a state, moved by events, that says what it wishes done.
//!
//! Nothing here waits, draws or asks a server. [`Model::update`] takes what happened and hands back [`Wish`]es; `view`
//! turns the state into lines.

use std::sync::Arc;

use super::input::{Input, Key, Size, TextField};
use super::level::{Crumb, Cursor, Filter, Level, Levels, Listing, State};
use super::marks::{Marks, Picked};
use super::search::{Finding, Hits, Order};
use crate::model::{DirId, FolderId};

mod keys;

/// Lines that are no rows of the list: the title, the path, the message, the keys.
const FRAME_ROWS: u16 = 4;

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The person did something.
    Input(Input),
    /// The way to the folder to begin in is known; or why it is not.
    Opened(Result<Vec<Crumb>, String>),
    /// A folder being listed has sent this many rows.
    Progress(DirId, u64),
    /// A folder answered.
    Answered(DirId, Answer),
    /// The search with this number found something.
    Found(u64, Finding),
}

/// What came of listing a folder.
#[derive(Debug)]
pub(super) enum Answer {
    Listed(Listing),
    /// The server refuses it to this account; its words.
    Denied(String),
    Failed(String),
}

/// What the model wants done.
#[derive(Debug)]
pub(super) enum Wish {
    /// List a folder.
    List(DirId),
    /// Begin this search, in the place of one that may run.
    Search(Order),
    /// End the search.
    StopSearch,
    /// Draw everything anew.
    Redraw,
    /// Let the shell have the terminal until it gives it back.
    Suspend,
    /// The picker is done.
    Finish(Ending),
}

/// How the picker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The person is content.
    Chosen,
    /// The person leaves, and may come back.
    Left,
}

/// What the list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    /// The folders in one folder.
    Folders,
    /// What a search found.
    Hits,
    /// The marked folders.
    Marked,
}

/// What the keys go to instead of the list.
#[derive(Debug)]
pub(super) enum Prompt {
    /// The search field.
    Search(TextField),
    /// The alias of a marked folder.
    Alias {
        id: FolderId,
        field: TextField,
        /// Why it is asked for, or why the last answer will not do.
        why: Option<String>,
        /// It was marked only to be given an alias.
        fresh: bool,
    },
    /// A question that `y` says yes to.
    Ask(Question),
    /// The help, from this line on.
    Help(usize),
}

/// What is asked before the picker ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Leave, with something marked?
    Leave,
    /// Go on with nothing marked?
    Nothing,
    /// Go on with several folders of this name?
    Shared(String),
}

/// A sentence for the person, until the next key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    /// It is worth a second look.
    pub(super) warns: bool,
}

/// The picker's whole state.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) size: Size,
    /// What the server calls itself.
    pub(super) server: String,
    /// The way to where the person is; empty at the root.
    pub(super) trail: Vec<Crumb>,
    pub(super) levels: Levels,
    /// Of the folders where the person is.
    pub(super) filter: Option<Filter>,
    pub(super) marks: Marks,
    pub(super) marked: Cursor,
    pub(super) hits: Option<Hits>,
    pub(super) pane: Pane,
    /// Where Tab goes back to from the marked folders.
    back: Pane,
    pub(super) prompt: Option<Prompt>,
    pub(super) notice: Option<Notice>,
    /// What was searched for last.
    pattern: String,
    searches: u64,
}

impl Model {
    /// A picker that is about to begin at the root, or wherever [`Event::Opened`] will say.
    pub(super) fn new(server: &str, size: Size, before: Vec<Picked>) -> Self {
        Self {
            size,
            server: server.to_owned(),
            trail: Vec::new(),
            levels: Levels::default(),
            filter: None,
            marks: Marks::new(before),
            marked: Cursor::default(),
            hits: None,
            pane: Pane::Folders,
            back: Pane::Folders,
            prompt: None,
            notice: None,
            pattern: String::new(),
            searches: 0,
        }
    }

    /// Takes in what happened.
    pub(super) fn update(&mut self, event: Event) -> Vec<Wish> {
        match event {
            Event::Input(Input::Key(key)) => self.press(key),
            Event::Input(Input::Pasted(text)) => {
                self.paste(&text);
                Vec::new()
            }
            Event::Input(Input::Resized(size)) => {
                self.size = size;
                self.settle();
                Vec::new()
            }
            Event::Input(Input::Ended) => vec![Wish::Finish(Ending::Left)],
            Event::Opened(Ok(trail)) => {
                self.trail = trail;
                self.arrive()
            }
            Event::Opened(Err(reason)) => {
                let wishes = self.arrive();
                self.warn(format!("the folder to begin in cannot be opened: {reason}"));
                wishes
            }
            Event::Progress(place, rows) => {
                if let Some(level) = self.levels.get_mut(place)
                    && let State::Asked(seen) = &mut level.state
                {
                    *seen = rows;
                }
                Vec::new()
            }
            Event::Answered(place, answer) => {
                self.answered(place, answer);
                Vec::new()
            }
            Event::Found(number, finding) => {
                if let Some(hits) = self.hits.as_mut().filter(|hits| hits.number == number) {
                    hits.add(finding);
                    self.settle();
                }
                Vec::new()
            }
        }
    }

    /// Where the person is.
    pub(super) fn place(&self) -> DirId {
        self.trail
            .last()
            .map_or(DirId::Root, |crumb| DirId::Folder(crumb.id))
    }

    /// What is known of the folder where the person is; `None` before there is one.
    pub(super) fn level(&self) -> Option<&Level> {
        self.levels.get(self.place())
    }

    /// Rows of the list that can be seen at once.
    pub(super) fn page(&self) -> usize {
        usize::from(self.size.rows.saturating_sub(FRAME_ROWS)).max(1)
    }

    /// How many rows the list has.
    pub(super) fn len(&self) -> usize {
        match self.pane {
            Pane::Folders => match &self.filter {
                Some(filter) => filter.len(),
                None => self.level().map_or(0, |level| level.rows().len()),
            },
            Pane::Hits => self.hits.as_ref().map_or(0, |hits| hits.found.len()),
            Pane::Marked => self.marks.len(),
        }
    }

    /// Where the cursor is in the list.
    pub(super) fn cursor(&self) -> Cursor {
        match self.pane {
            Pane::Folders => match &self.filter {
                Some(filter) => filter.cursor,
                None => self.level().map_or_else(Cursor::default, |level| level.cursor),
            },
            Pane::Hits => self
                .hits
                .as_ref()
                .map_or_else(Cursor::default, |hits| hits.cursor),
            Pane::Marked => self.marked,
        }
    }

    /// The number in the listing of the `at`th row of the list of folders.
    pub(super) fn row(&self, at: usize) -> Option<usize> {
        match &self.filter {
            Some(filter) => filter.row(at),
            None => Some(at),
        }
    }

    /// The marked folders, as the picker hands them back.
    pub(super) fn into_picked(self) -> Vec<Picked> {
        self.marks.into_picked()
    }

    /// The folder under the cursor, by the way to it. `None` in the list of marked ones, whose ids on the way are not
    /// known.
    fn under_cursor(&self) -> Option<Vec<Crumb>> {
        let at = self.cursor().at;
        match self.pane {
            Pane::Folders => {
                let row = self.level()?.rows().get(self.row(at)?)?;
                let mut path = self.trail.clone();
                path.push(Crumb {
                    id: row.id,
                    name: Arc::clone(&row.name),
                });
                Some(path)
            }
            Pane::Hits => Some(self.hits.as_ref()?.found.get(at)?.path.clone()),
            Pane::Marked => None,
        }
    }

    fn go(&mut self, at: usize) {
        let (len, page, place) = (self.len(), self.page(), self.place());
        match self.pane {
            Pane::Folders => match &mut self.filter {
                Some(filter) => filter.cursor.go(at, len, page),
                None => {
                    if let Some(level) = self.levels.get_mut(place) {
                        level.cursor.go(at, len, page);
                    }
                }
            },
            Pane::Hits => {
                if let Some(hits) = &mut self.hits {
                    hits.cursor.go(at, len, page);
                }
            }
            Pane::Marked => self.marked.go(at, len, page),
        }
    }

    /// Puts the cursor back into the list, whose length or room has changed.
    fn settle(&mut self) {
        self.go(self.cursor().at);
    }

    /// Shows the folder at the end of the trail, and has it listed where that is not done.
    fn arrive(&mut self) -> Vec<Wish> {
        self.pane = Pane::Folders;
        self.filter = None;
        let place = self.place();
        let known = self
            .level()
            .is_some_and(|level| matches!(level.state, State::Asked(_) | State::Listed(_)));
        let level = self.levels.visit(place);
        let wishes = if known {
            Vec::new()
        } else {
            level.state = State::Asked(0);
            vec![Wish::List(place)]
        };
        let trail = &self.trail;
        self.levels.shed(|place| match place {
            DirId::Root => true,
            DirId::Folder(id) => trail.iter().any(|crumb| crumb.id == id),
        });
        self.settle();
        wishes
    }

    /// Asks for the folder again where the person is.
    fn refresh(&mut self) -> Vec<Wish> {
        let place = self.place();
        let on = self.under_cursor().and_then(|path| Some(path.last()?.id));
        self.filter = None;
        let Some(level) = self.levels.get_mut(place) else {
            return Vec::new();
        };
        if matches!(level.state, State::Asked(_)) {
            return Vec::new();
        }
        level.state = State::Asked(0);
        level.seek = on;
        vec![Wish::List(place)]
    }

    fn answered(&mut self, place: DirId, answer: Answer) {
        let (here, page) = (self.place() == place, self.page());
        let Some(level) = self.levels.get_mut(place) else {
            return;
        };
        level.state = match answer {
            Answer::Listed(listing) => State::Listed(Arc::new(listing)),
            Answer::Denied(reason) => State::Denied(reason),
            Answer::Failed(reason) => State::Failed(reason),
        };
        seek(level, page);
        if here {
            self.refilter(None);
            self.settle();
        }
    }

    /// Goes up, to the folder the person came from.
    fn up(&mut self) -> Vec<Wish> {
        let Some(left) = self.trail.pop() else {
            self.note("this is the top");
            return Vec::new();
        };
        let wishes = self.arrive();
        let (place, page) = (self.place(), self.page());
        if let Some(level) = self.levels.get_mut(place) {
            level.seek = Some(left.id);
            seek(level, page);
        }
        wishes
    }

    /// Filters the folders here by what the search field holds; `earlier` is what it showed so far.
    fn refilter(&mut self, earlier: Option<&Filter>) {
        let text = match &self.prompt {
            Some(Prompt::Search(field)) => field.text().to_owned(),
            Some(_) | None if self.filter.is_some() => self.pattern.clone(),
            Some(_) | None => return,
        };
        let rows = self.level().map_or(&[][..], Level::rows);
        self.filter = (!text.trim().is_empty()).then(|| Filter::new(&text, rows, earlier));
        self.pattern = text;
        self.settle();
    }

    /// Shows all folders again, with the cursor where it was among the found ones.
    fn unfilter(&mut self) {
        if let Some(filter) = self.filter.take() {
            let row = filter.row(filter.cursor.at);
            self.go(row.unwrap_or(self.cursor().at));
        }
    }

    fn paste(&mut self, text: &str) {
        match &mut self.prompt {
            Some(Prompt::Search(field)) => {
                field.insert(text);
                let earlier = self.filter.take();
                self.refilter(earlier.as_ref());
            }
            Some(Prompt::Alias { field, .. }) => field.insert(text),
            // Nobody means the letters of a text to be keys.
            Some(Prompt::Ask(_) | Prompt::Help(_)) | None => {}
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            text: text.into(),
            warns: false,
        });
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            text: text.into(),
            warns: true,
        });
    }
}

/// Puts the cursor on the folder it is to be on, once the folder's rows are there.
fn seek(level: &mut Level, page: usize) {
    if !matches!(level.state, State::Listed(_)) {
        return;
    }
    let len = level.rows().len();
    let at = match level.seek.take() {
        Some(id) if level.rows().get(level.cursor.at).is_none_or(|row| row.id != id) => {
            level.rows().iter().position(|row| row.id == id)
        }
        Some(_) | None => None,
    };
    level.cursor.go(at.unwrap_or(level.cursor.at), len, page);
}

#[cfg(test)]
mod tests;
