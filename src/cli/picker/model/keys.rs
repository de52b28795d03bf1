//! What each key does.

use super::{Ending, Key, Model, Pane, Prompt, Question, TextField, Wish};
use crate::cli::output::escape;
use crate::cli::picker::help::KEYS;
use crate::cli::picker::level::{Filter, Pattern, State};
use crate::cli::picker::marks::Nested;
use crate::cli::picker::search::{Hits, Order};
use crate::model::{DirId, FolderId};

impl Model {
    /// Obeys a key.
    pub(super) fn press(&mut self, key: Key) -> Vec<Wish> {
        self.notice = None;
        match key {
            Key::Ctrl('c') => return finish(Ending::Left),
            Key::Ctrl('l') => return vec![Wish::Redraw],
            Key::Ctrl('z') => return vec![Wish::Suspend],
            _ => {}
        }
        match self.prompt.take() {
            Some(Prompt::Search(field)) => self.type_search(field, key),
            Some(Prompt::Alias {
                id,
                field,
                why,
                fresh,
            }) => {
                self.type_alias(id, field, why, fresh, key);
                Vec::new()
            }
            Some(Prompt::Ask(question)) => self.answer(&question, key),
            Some(Prompt::Help(top)) => {
                self.scroll_help(top, key);
                Vec::new()
            }
            None => self.press_in_list(key),
        }
    }

    fn press_in_list(&mut self, key: Key) -> Vec<Wish> {
        if let Some(at) = self.moved(key) {
            self.go(at);
            return Vec::new();
        }
        match key {
            Key::Char(' ') => self.toggle(),
            Key::Char('a') => self.ask_alias(),
            Key::Char('/') => {
                self.show(Pane::Folders);
                self.unfilter();
                self.prompt = Some(Prompt::Search(TextField::default()));
            }
            Key::Char('?') => self.prompt = Some(Prompt::Help(0)),
            Key::Char('f') if self.hits.is_some() => self.show(Pane::Hits),
            Key::Char('f') => self.note("nothing was searched for yet: / and a name, then Enter"),
            Key::Tab if self.pane == Pane::Marked => self.show(self.back),
            Key::Tab => {
                self.back = self.pane;
                self.show(Pane::Marked);
            }
            Key::Char('s') => return self.go_on(),
            Key::Char('q') => return self.leave(),
            _ => {
                return match self.pane {
                    Pane::Folders => self.press_in_folders(key),
                    Pane::Hits => self.press_in_hits(key),
                    Pane::Marked => {
                        self.press_in_marked(key);
                        Vec::new()
                    }
                };
            }
        }
        Vec::new()
    }

    fn press_in_folders(&mut self, key: Key) -> Vec<Wish> {
        match key {
            Key::Right | Key::Enter | Key::Char('l') => self.open(),
            Key::Left | Key::Backspace | Key::Char('h') => self.up(),
            Key::Char('r') => self.refresh(),
            Key::Char('n') => {
                self.next_match(true);
                Vec::new()
            }
            Key::Char('N') => {
                self.next_match(false);
                Vec::new()
            }
            Key::Esc if self.filter.is_some() => {
                self.unfilter();
                Vec::new()
            }
            Key::Esc => self.leave(),
            _ => Vec::new(),
        }
    }

    fn press_in_hits(&mut self, key: Key) -> Vec<Wish> {
        let running = self.hits.as_ref().is_some_and(|hits| hits.running);
        match key {
            Key::Right | Key::Enter | Key::Char('l') => self.open(),
            Key::Esc | Key::Char('x') if running => {
                if let Some(hits) = &mut self.hits {
                    hits.running = false;
                }
                vec![Wish::StopSearch]
            }
            Key::Esc | Key::Left | Key::Backspace | Key::Char('h') => {
                self.show(Pane::Folders);
                Vec::new()
            }
            Key::Char(way @ ('n' | 'N')) => {
                self.step(way == 'n');
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn press_in_marked(&mut self, key: Key) {
        match key {
            Key::Delete | Key::Char('x') => self.toggle(),
            Key::Enter => self.ask_alias(),
            Key::Esc | Key::Left | Key::Backspace | Key::Char('h') => self.show(self.back),
            _ => {}
        }
    }

    fn show(&mut self, pane: Pane) {
        self.pane = pane;
        self.settle();
    }

    /// Where a key moves the cursor to; `None` if it moves nothing.
    fn moved(&self, key: Key) -> Option<usize> {
        let (at, page) = (self.cursor().at, self.page());
        match key {
            Key::Up | Key::Char('k') => Some(at.saturating_sub(1)),
            Key::Down | Key::Char('j') => Some(at + 1),
            Key::PageUp | Key::Ctrl('b') => Some(at.saturating_sub(page)),
            Key::PageDown | Key::Ctrl('f') => Some(at + page),
            Key::Home | Key::Char('g') => Some(0),
            Key::End | Key::Char('G') => Some(usize::MAX),
            _ => None,
        }
    }

    /// One row on or back, and around the ends.
    fn step(&mut self, on: bool) {
        let (at, len) = (self.cursor().at, self.len());
        if len > 0 {
            self.go(if on { at + 1 } else { at + len - 1 } % len);
        }
    }

    /// The next folder here that was searched for.
    fn next_match(&mut self, on: bool) {
        if self.filter.is_some() {
            self.step(on);
            return;
        }
        let pattern = Pattern::new(&self.pattern);
        if pattern.is_empty() {
            self.note("nothing was searched for yet: / and a name");
            return;
        }
        let at = self.cursor().at;
        let rows = self.level().map_or(&[][..], |level| level.rows());
        let fits = |row: &usize| rows.get(*row).is_some_and(|row| pattern.fits(&row.folded));
        let found = if on {
            (at + 1..rows.len()).chain(0..rows.len().min(at + 1)).find(fits)
        } else {
            (at..rows.len()).chain(0..at).rev().find(fits)
        };
        match found {
            Some(row) => self.go(row),
            None => self.note(format!(
                "no folder here is called {:?}",
                escape(self.pattern.trim())
            )),
        }
    }

    fn open(&mut self) -> Vec<Wish> {
        match self.under_cursor() {
            Some(path) => {
                self.trail = path;
                self.arrive()
            }
            None => Vec::new(),
        }
    }

    /// Marks the folder under the cursor, or takes its mark off.
    fn toggle(&mut self) {
        let Some((id, path)) = self.subject() else { return };
        if self.marks.remove(id) {
            self.settle();
            if self.pane == Pane::Marked {
                self.note(format!("no longer marked: {}", shown_path(&path)));
            }
            return;
        }
        self.marks.add(id, path);
        self.tell_of(id);
    }

    /// Tells what is odd about a folder that was just marked, and asks for an alias where it needs one.
    fn tell_of(&mut self, id: FolderId) {
        let refused = self
            .levels
            .get(DirId::Folder(id))
            .is_some_and(|level| matches!(level.state, State::Denied(_)));
        match self.marks.nested(id) {
            _ if refused => self.warn("marked, but this account may not list it"),
            // What must be read comes first: a small window cuts the rest.
            Some(Nested::Inside(outer)) => self.warn(format!(
                "shown twice: it is inside {:?}, which is marked too",
                escape(&outer)
            )),
            Some(Nested::Around(count)) => self.warn(format!(
                "{count} marked inside it: the mount shows {} twice",
                if count == 1 { "that one" } else { "those" },
            )),
            None => {}
        }
        if let Some(twin) = self.marks.twin(id) {
            let why = format!("it has the name of {}", shown_path(&twin.path));
            self.prompt = Some(Prompt::Alias {
                id,
                field: TextField::default(),
                why: Some(why),
                fresh: false,
            });
        }
    }

    /// Asks for the alias of the folder under the cursor, which is marked by that.
    fn ask_alias(&mut self) {
        let Some((id, path)) = self.subject() else { return };
        let fresh = !self.marks.contains(id);
        self.marks.add(id, path);
        let alias = self.marks.get(id).and_then(|picked| picked.alias.as_deref());
        self.prompt = Some(Prompt::Alias {
            id,
            field: TextField::new(alias.unwrap_or_default()),
            why: None,
            fresh,
        });
    }

    /// The folder that a mark or an alias is for: its id and its path.
    pub(super) fn subject(&self) -> Option<(FolderId, Vec<String>)> {
        if self.pane == Pane::Marked {
            let picked = self.marks.all().get(self.cursor().at)?;
            return Some((picked.id, picked.path.clone()));
        }
        let path = self.under_cursor()?;
        let names = path.iter().map(|crumb| crumb.name.to_string()).collect();
        Some((path.last()?.id, names))
    }

    fn type_alias(&mut self, id: FolderId, mut field: TextField, why: Option<String>, fresh: bool, key: Key) {
        let why = match key {
            Key::Esc if fresh => {
                self.marks.remove(id);
                self.settle();
                return;
            }
            Key::Esc => return,
            Key::Enter => match self.marks.set_alias(id, field.text()) {
                Ok(()) => {
                    if let Some(twin) = self.marks.twin(id) {
                        let path = shown_path(&twin.path);
                        self.warn(format!("it still has the name of {path}"));
                    } else if fresh {
                        self.tell_of(id);
                    }
                    return;
                }
                Err(error) => Some(error.to_string()),
            },
            _ => {
                field.press(key);
                why
            }
        };
        self.prompt = Some(Prompt::Alias {
            id,
            field,
            why,
            fresh,
        });
    }

    fn type_search(&mut self, mut field: TextField, key: Key) -> Vec<Wish> {
        match key {
            Key::Esc => self.unfilter(),
            // The filter stays, and the keys go to what it shows.
            Key::Down | Key::Up | Key::PageDown | Key::PageUp | Key::Tab => {}
            Key::Enter if self.filter.is_none() => {}
            Key::Enter => return self.search_below(field.text()),
            Key::Backspace if field.text().is_empty() => {}
            _ => {
                if field.press(key) {
                    self.prompt = Some(Prompt::Search(field));
                    let earlier = self.filter.take();
                    self.narrow(earlier);
                } else {
                    self.prompt = Some(Prompt::Search(field));
                }
            }
        }
        Vec::new()
    }

    /// Filters by the field, and keeps the cursor where it is if the key changed nothing.
    fn narrow(&mut self, earlier: Option<Filter>) {
        let same = matches!((&self.prompt, &earlier), (Some(Prompt::Search(field)), Some(earlier)) if earlier.is_of(field.text()));
        if same {
            self.filter = earlier;
        } else {
            self.refilter(earlier.as_ref());
        }
    }

    /// Looks for a name in all folders below this one.
    fn search_below(&mut self, text: &str) -> Vec<Wish> {
        self.searches += 1;
        let listing = self.level().and_then(|level| match &level.state {
            State::Listed(listing) => Some(listing.clone()),
            State::Asked(_) | State::Denied(_) | State::Failed(_) => None,
        });
        let order = Order {
            number: self.searches,
            pattern: Pattern::new(text),
            below: self.trail.clone(),
            listing,
        };
        self.unfilter();
        self.hits = Some(Hits::new(&order, text.trim()));
        self.pane = Pane::Hits;
        vec![Wish::Search(order)]
    }

    fn scroll_help(&mut self, top: usize, key: Key) {
        let page = self.page();
        let top = match key {
            Key::Up | Key::Char('k') => top.saturating_sub(1),
            Key::Down | Key::Char('j') => top + 1,
            Key::PageUp => top.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => top + page,
            Key::Home => 0,
            _ => return,
        };
        self.prompt = Some(Prompt::Help(top.min(KEYS.len().saturating_sub(page))));
    }

    /// Ends with what is marked, or asks where that may not be meant.
    fn go_on(&mut self) -> Vec<Wish> {
        let question = if self.marks.is_empty() {
            Question::Nothing
        } else if let Some(name) = self.marks.shared_name() {
            Question::Shared(name)
        } else {
            return finish(Ending::Chosen);
        };
        self.prompt = Some(Prompt::Ask(question));
        Vec::new()
    }

    fn leave(&mut self) -> Vec<Wish> {
        if self.marks.is_empty() {
            return finish(Ending::Left);
        }
        self.prompt = Some(Prompt::Ask(Question::Leave));
        Vec::new()
    }

    /// Anything but the keys the question names takes the person back.
    fn answer(&mut self, question: &Question, key: Key) -> Vec<Wish> {
        let yes = matches!(key, Key::Char('y' | 'Y'));
        match question {
            Question::Leave if yes || key == Key::Char('q') => finish(Ending::Left),
            Question::Leave if key == Key::Char('s') => self.go_on(),
            Question::Nothing | Question::Shared(_) if yes => finish(Ending::Chosen),
            Question::Shared(_) if key == Key::Tab => self.press_in_list(Key::Tab),
            Question::Leave | Question::Nothing | Question::Shared(_) => Vec::new(),
        }
    }
}

fn finish(ending: Ending) -> Vec<Wish> {
    vec![Wish::Finish(ending)]
}

/// A path as it is shown in a sentence.
fn shown_path(path: &[String]) -> String {
    let names: Vec<String> = path.iter().map(|name| escape(name)).collect();
    names.join(" / ")
}
