//! The terminal: raw mode, the other screen, keys in, lines out; and everything as it was at the end, however it comes.
//!
//! The one place of the picker that writes. Lines are drawn only where they changed, each piece at its own column, with
//! the terminal's line wrap off: whatever width a terminal gives a name, it cannot shift or break another line.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, MoveTo, MoveToColumn, Show};
use crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, EventStream, KeyCode, KeyEventKind, KeyModifiers,
};
use crossterm::queue;
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate,
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::input::{Input, Key, Size};
use super::view::{Frame, Line, Style};
use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::interrupt;
use crate::cli::output::Printer;
use crate::cli::output::log::{self, Held};

/// The size of a terminal that does not tell it, as VT100 had it.
const USUAL_SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

/// Keys that wait to be looked at. More than a person types ahead; what is typed beyond waits in the system.
const TYPED_AHEAD: usize = 64;

/// True while this process's terminal is the picker's. A panic anywhere gives it back first.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A screen and the person in front of it.
pub struct Terminal {
    input: mpsc::Receiver<Input>,
    out: Box<dyn Write + Send>,
    size: Size,
    colour: bool,
    /// Reads the keys and waits for signals.
    readers: JoinSet<()>,
    /// What the screen shows.
    shown: Vec<Line>,
    /// Log lines wait until the screen is given back; `None` where this is not the process's own terminal.
    own: Option<Held>,
}

impl Terminal {
    /// Takes this process's terminal until the value is dropped.
    ///
    /// From the first call on, SIGINT, SIGTERM and SIGHUP do not end the process by themselves any more (tokio cannot
    /// give them back): they end the picker, and whoever asks the person something afterwards listens for them.
    ///
    /// # Errors
    /// Where stdin or stdout is no terminal, or one that cannot place its cursor (`TERM=dumb`).
    pub fn open(printer: &Printer) -> Result<Self, CliError> {
        let name = std::env::var_os("TERM");
        refuse(
            name.as_deref(),
            io::stdin().is_terminal() && io::stdout().is_terminal(),
        )?;
        let failed = |error: io::Error| {
            CliError::of(ErrorKind::Failure, &error).while_doing("the terminal cannot be used")
        };
        give_back_in_a_panic();
        let (sender, input) = mpsc::channel(TYPED_AHEAD);
        let mut terminal = Self {
            input,
            out: Box::new(io::stdout()),
            size: size(),
            colour: printer.has_colour(),
            readers: JoinSet::new(),
            shown: Vec::new(),
            own: Some(log::hold()),
        };
        interrupt::take_both();
        // Signals first: one that comes while the screen is being taken must not leave it taken.
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            let mut signal = signal(kind).map_err(failed)?;
            let sender = sender.clone();
            terminal.readers.spawn(async move {
                signal.recv().await;
                // Whoever does not listen any more has ended already.
                let _ = sender.send(Input::Ended).await;
            });
        }
        terminal.take().map_err(failed)?;
        terminal.readers.spawn(read_keys(sender));
        Ok(terminal)
    }

    /// Any other screen: what is drawn goes to `out` as for an xterm of this size; what the person does comes from
    /// `input`, and when that ends the person has left.
    pub fn on(
        input: mpsc::Receiver<Input>,
        out: Box<dyn Write + Send>,
        size: Size,
        colour: bool,
    ) -> io::Result<Self> {
        let mut terminal = Self {
            input,
            out,
            size,
            colour,
            readers: JoinSet::new(),
            shown: Vec::new(),
            own: None,
        };
        terminal.take()?;
        Ok(terminal)
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// The next thing the person does.
    pub(super) async fn next(&mut self) -> Input {
        let input = self.input.recv().await.unwrap_or(Input::Ended);
        self.seen(input)
    }

    /// What the person has done already and nobody looked at yet.
    pub(super) fn waiting(&mut self) -> Option<Input> {
        let input = self.input.try_recv().ok()?;
        Some(self.seen(input))
    }

    fn seen(&mut self, input: Input) -> Input {
        if let Input::Resized(size) = input {
            self.size = size;
            // Terminals differ in what they do to what was there.
            self.forget();
        }
        input
    }

    /// Draws everything anew next time.
    pub(super) fn forget(&mut self) {
        self.shown.clear();
    }

    /// Lets the shell have the terminal, as Ctrl-Z does, and comes back when it lets the process go on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        if self.own.is_none() {
            return Ok(());
        }
        self.give_back();
        // Where nobody could wake it, the system does not stop the process, and this returns at once.
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
        self.size = size();
        self.take()
    }

    /// Shows a frame.
    pub(super) fn draw(&mut self, frame: &Frame) -> io::Result<()> {
        if self.own.is_some() && !TAKEN.load(Ordering::Acquire) {
            // A panic of some other task gave the terminal back, and this one goes on.
            self.take()?;
        }
        let mut bytes = Vec::new();
        queue!(bytes, BeginSynchronizedUpdate, Hide)?;
        if self.shown.is_empty() {
            queue!(bytes, Clear(ClearType::All))?;
        }
        for (row, line) in (0..).zip(&frame.lines) {
            if self.shown.get(usize::from(row)) != Some(line) {
                self.draw_line(&mut bytes, row, line)?;
            }
        }
        if let Some((column, row)) = frame.caret {
            queue!(bytes, MoveTo(column, row), Show)?;
        }
        queue!(bytes, EndSynchronizedUpdate)?;
        self.out.write_all(&bytes)?;
        self.out.flush()?;
        self.shown.clone_from(&frame.lines);
        Ok(())
    }

    fn draw_line(&self, bytes: &mut Vec<u8>, row: u16, line: &Line) -> io::Result<()> {
        queue!(
            bytes,
            MoveTo(0, row),
            SetAttribute(Attribute::Reset),
            Clear(ClearType::UntilNewLine)
        )?;
        if line.chosen {
            // Clearing does not fill a line with the cursor's look everywhere; blanks do.
            let blanks = " ".repeat(usize::from(self.size.columns));
            queue!(bytes, SetAttribute(Attribute::Reverse), Print(blanks))?;
        }
        for piece in &line.pieces {
            queue!(bytes, MoveToColumn(piece.column))?;
            self.look(bytes, piece.style, line.chosen)?;
            queue!(bytes, Print(&piece.text), SetAttribute(Attribute::Reset))?;
        }
        queue!(bytes, ResetColor)
    }

    /// A style: a colour where there are colours, and else weight alone.
    fn look(&self, bytes: &mut Vec<u8>, style: Style, chosen: bool) -> io::Result<()> {
        if chosen {
            queue!(bytes, SetAttribute(Attribute::Reverse))?;
        }
        let (attribute, colour) = match style {
            Style::Plain => (None, None),
            Style::Strong => (Some(Attribute::Bold), None),
            Style::Folder => (self.colour.then_some(Attribute::Bold), Some(Color::DarkBlue)),
            Style::Marked => (Some(Attribute::Bold), Some(Color::DarkGreen)),
            // Faint letters on a reversed line cannot be read on many screens.
            Style::Faint => ((!chosen).then_some(Attribute::Dim), None),
            Style::Problem => (None, Some(Color::DarkRed)),
        };
        if let Some(attribute) = attribute {
            queue!(bytes, SetAttribute(attribute))?;
        }
        match colour.filter(|_| self.colour) {
            Some(colour) => queue!(bytes, SetForegroundColor(colour)),
            None => Ok(()),
        }
    }

    fn take(&mut self) -> io::Result<()> {
        if self.own.is_some() {
            TAKEN.store(true, Ordering::Release);
            if let Err(error) = enable_raw_mode() {
                TAKEN.store(false, Ordering::Release);
                return Err(error);
            }
        }
        self.forget();
        let mut bytes = Vec::new();
        queue!(
            bytes,
            EnterAlternateScreen,
            DisableLineWrap,
            EnableBracketedPaste,
            Hide
        )?;
        self.out.write_all(&bytes)?;
        self.out.flush()
    }

    /// Everything as it was. What fails here has nobody left to be told.
    fn give_back(&mut self) {
        if self.own.is_none() {
            let _ = write_end(&mut self.out);
        } else if TAKEN.swap(false, Ordering::AcqRel) {
            let _ = write_end(&mut self.out);
            let _ = disable_raw_mode();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.readers.abort_all();
        self.give_back();
        // The log lines follow when `own` is dropped.
    }
}

fn write_end(out: &mut dyn Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    queue!(
        bytes,
        SetAttribute(Attribute::Reset),
        DisableBracketedPaste,
        EnableLineWrap,
        Show,
        LeaveAlternateScreen
    )?;
    out.write_all(&bytes)?;
    out.flush()
}

/// Says what to do instead where there is no terminal, or one (by its name) that only prints.
fn refuse(name: Option<&OsStr>, is_terminal: bool) -> Result<(), CliError> {
    let dumb = name.is_none_or(|name| name.is_empty() || name == "dumb");
    let why = match (is_terminal, dumb) {
        (true, false) => return Ok(()),
        (true, true) => "this terminal (TERM) cannot show the folder picker",
        (false, _) => "the folder picker needs a terminal",
    };
    Err(CliError::new(ErrorKind::Usage, why).hint(
        "name the folders instead, each with --folder PATH|GUID[=ALIAS]; `pwfs folders` and `pwfs tree` list them",
    ))
}

/// Makes every panic give the terminal back before it says what happened: on the other screen nobody would read it.
fn give_back_in_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if TAKEN.swap(false, Ordering::AcqRel) {
                let _ = write_end(&mut io::stdout());
                let _ = disable_raw_mode();
            }
            told(panic);
        }));
    });
}

fn size() -> Size {
    match crossterm::terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => Size { columns, rows },
        Ok(_) | Err(_) => USUAL_SIZE,
    }
}

/// Hands on what is pressed, pasted and resized.
///
/// A task of its own reads: crossterm's stream remembers the first task that waited for it, and would wake nobody else.
async fn read_keys(sender: mpsc::Sender<Input>) {
    let mut events = EventStream::new();
    while let Some(event) = events.next().await {
        let input = match event {
            Ok(event) => input(event),
            Err(error) => {
                tracing::info!(%error, "the terminal cannot be read any more");
                Some(Input::Ended)
            }
        };
        let Some(input) = input else { continue };
        let last = input == Input::Ended;
        if sender.send(input).await.is_err() || last {
            break;
        }
    }
}

fn input(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            if key
                .modifiers
                .intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META)
            {
                return None;
            }
            let key = match key.code {
                // Terminals send Ctrl-H for the backspace key of old.
                KeyCode::Char('h') if control => Key::Backspace,
                KeyCode::Char(letter) if control => Key::Ctrl(letter.to_ascii_lowercase()),
                KeyCode::Char(character) => Key::Char(character),
                KeyCode::Enter => Key::Enter,
                KeyCode::Esc => Key::Esc,
                KeyCode::Backspace => Key::Backspace,
                KeyCode::Delete => Key::Delete,
                KeyCode::Tab => Key::Tab,
                KeyCode::Up => Key::Up,
                KeyCode::Down => Key::Down,
                KeyCode::Left => Key::Left,
                KeyCode::Right => Key::Right,
                KeyCode::PageUp => Key::PageUp,
                KeyCode::PageDown => Key::PageDown,
                KeyCode::Home => Key::Home,
                KeyCode::End => Key::End,
                _ => return None,
            };
            Some(Input::Key(key))
        }
        Event::Paste(text) => Some(Input::Pasted(text)),
        Event::Resize(columns, rows) if columns > 0 && rows > 0 => {
            Some(Input::Resized(Size { columns, rows }))
        }
        Event::Key(_) | Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossterm::event::{KeyEvent, KeyEventState};
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn where_nothing_can_be_drawn_the_flag_is_named() {
        for (name, is_terminal, message) in [
            (
                Some("dumb"),
                true,
                "this terminal (TERM) cannot show the folder picker",
            ),
            (
                Some(""),
                true,
                "this terminal (TERM) cannot show the folder picker",
            ),
            (None, true, "this terminal (TERM) cannot show the folder picker"),
            (Some("xterm"), false, "the folder picker needs a terminal"),
            (None, false, "the folder picker needs a terminal"),
        ] {
            let refusal = refuse(name.map(OsStr::new), is_terminal).unwrap_err();
            assert_eq!((refusal.message(), refusal.kind()), (message, ErrorKind::Usage));
            assert!(refusal.to_text().contains("--folder"));
        }
        assert_eq!(refuse(Some(OsStr::new("linux")), true), Ok(()));
    }

    #[test]
    fn keys_are_told_apart_as_terminals_send_them() {
        let key = |code, modifiers| {
            input(Event::Key(KeyEvent {
                code,
                modifiers,
                kind: KeyEventKind::Press,
                state: KeyEventState::NONE,
            }))
        };
        let none = KeyModifiers::NONE;
        for (code, modifiers, expected) in [
            (KeyCode::Char('G'), KeyModifiers::SHIFT, Some(Key::Char('G'))),
            (KeyCode::Char('C'), KeyModifiers::CONTROL, Some(Key::Ctrl('c'))),
            (KeyCode::Char('h'), KeyModifiers::CONTROL, Some(Key::Backspace)),
            (KeyCode::Char('x'), KeyModifiers::ALT, None),
            (KeyCode::Char('図'), none, Some(Key::Char('図'))),
            (KeyCode::PageDown, none, Some(Key::PageDown)),
            (KeyCode::F(1), none, None),
        ] {
            assert_eq!(key(code, modifiers), expected.map(Input::Key), "{code:?}");
        }
        assert_eq!(
            input(Event::Paste("a\nb".to_owned())),
            Some(Input::Pasted("a\nb".to_owned()))
        );
        assert_eq!(
            input(Event::Resize(0, 24)),
            None,
            "a terminal of no size says nothing"
        );
        assert_eq!(input(Event::FocusLost), None);
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn frame(texts: &[&str]) -> Frame {
        Frame {
            lines: texts
                .iter()
                .map(|text| Line::of(text, Style::Problem, 40))
                .collect(),
            caret: None,
        }
    }

    #[test]
    fn only_what_changed_is_drawn_until_everything_is_forgotten() {
        let written = Written::default();
        let (_keys, input) = mpsc::channel(1);
        let size = Size {
            columns: 40,
            rows: 10,
        };
        let mut terminal = Terminal::on(input, Box::new(written.clone()), size, false).unwrap();
        let mut draw = |texts: &[&str], forget: bool| {
            if forget {
                terminal.forget();
            }
            written.0.lock().clear();
            terminal.draw(&frame(texts)).unwrap();
            String::from_utf8(written.0.lock().clone()).unwrap()
        };
        let first = draw(&["one", "two"], false);
        assert!(first.contains("one") && first.contains("two"));
        assert!(
            !first.contains("\u{1b}[38"),
            "without colours none is sent: {first:?}"
        );
        let second = draw(&["one", "three"], false);
        assert!(!second.contains("one") && second.contains("three"));
        assert!(draw(&["one", "three"], true).contains("one"));
        drop(terminal);
        let end = String::from_utf8(written.0.lock().clone()).unwrap();
        assert!(end.ends_with("\u{1b}[?1049l"), "{end:?}");
    }
}
