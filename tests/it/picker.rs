//! The folder picker: keys in, a terminal's screen out, and a server over real HTTP behind it.

use std::io::{self, Write};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pwfs::cli::failure::ErrorKind;
use pwfs::cli::picker::terminal::Terminal;
use pwfs::cli::picker::{Input, Key, Outcome, Picked, Size, Stopped, pick};
use pwfs::demo::{Access, Effect, Fault, RequestKind};
use pwfs::model::{FolderId, Guid};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::harness::Bench;

/// A terminal in memory that understands what is written to it.
struct Emulator {
    screen: Arc<Mutex<vt100::Parser>>,
    drawn: watch::Sender<u64>,
}

impl Write for Emulator {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.screen.lock().process(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drawn.send_modify(|pictures| *pictures += 1);
        Ok(())
    }
}

/// A person in front of a picker.
struct Person {
    screen: Arc<Mutex<vt100::Parser>>,
    drawn: watch::Receiver<u64>,
    keys: mpsc::Sender<Input>,
    picker: JoinHandle<Result<Outcome, Stopped>>,
}

impl Person {
    fn at(bench: &Bench, start: Option<Guid>, before: Vec<Picked>) -> Self {
        let (rows, columns) = (24, 80);
        let size = |cells| NonZeroU16::new(cells).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(rows), size(columns), 0)));
        let (sender, drawn) = watch::channel(0);
        let (keys, input) = mpsc::channel(64);
        let out = Emulator {
            screen: screen.clone(),
            drawn: sender,
        };
        let terminal = Terminal::on(input, Box::new(out), Size { columns, rows }, true).unwrap();
        let picker = tokio::spawn(pick(bench.remote.clone(), start.map(FolderId), before, terminal));
        Self {
            screen,
            drawn,
            keys,
            picker,
        }
    }

    async fn input(&self, input: Input) {
        self.keys.send(input).await.unwrap();
    }

    async fn press(&self, key: Key) {
        self.input(Input::Key(key)).await;
    }

    async fn types(&self, text: &str) {
        for character in text.chars() {
            self.press(Key::Char(character)).await;
        }
    }

    /// Waits until the screen shows a text.
    async fn sees(&mut self, text: &str) {
        let soon = Duration::from_secs(20);
        loop {
            self.drawn.mark_unchanged();
            let contents = self.screen.lock().screen().contents();
            if contents.contains(text) {
                return;
            }
            let next = tokio::time::timeout(soon, self.drawn.changed()).await;
            assert!(matches!(next, Ok(Ok(()))), "no {text:?} on\n{contents}");
        }
    }

    fn line(&self, number: usize) -> String {
        let screen = self.screen.lock();
        screen.screen().rows(0, 80).nth(number).unwrap_or_default()
    }

    /// How it ended. The screen must be as it was before.
    async fn ends(self) -> Result<Outcome, Stopped> {
        let outcome = tokio::time::timeout(Duration::from_secs(20), self.picker)
            .await
            .unwrap()
            .unwrap();
        let screen = self.screen.lock();
        let screen = screen.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
        assert_eq!(screen.contents(), "", "nothing was written to the screen below");
        outcome
    }
}

fn picked(guid: Guid, path: &[&str], alias: Option<&str>) -> Picked {
    Picked {
        id: FolderId(guid),
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        alias: alias.map(str::to_owned),
    }
}

/// Three branches that are not in the sample project.
struct Branches {
    survey: Guid,
    north: Guid,
    north_plans: Guid,
    south: Guid,
    south_plans: Guid,
}

fn branches(bench: &Bench) -> Branches {
    let world = bench.world();
    let add = |parent, name| world.add_folder(parent, name).unwrap();
    let (survey, north, south) = (
        add(None, "XA Survey"),
        add(None, "XB North"),
        add(None, "XC South"),
    );
    Branches {
        survey,
        north,
        north_plans: add(Some(north), "Plans"),
        south,
        south_plans: add(Some(south), "Plans"),
    }
}

#[tokio::test]
async fn folders_of_three_branches_are_chosen_with_an_alias() {
    let bench = Bench::new().await;
    let made = branches(&bench);
    let mut person = Person::at(&bench, None, Vec::new());
    person.sees("XA Survey/").await;
    // In the list, by a filter.
    person.types("/xa").await;
    person.sees("1 of ").await;
    person.press(Key::Down).await;
    person.types(" ").await;
    person.sees("1 marked").await;
    // By opening.
    person.press(Key::Esc).await;
    person.types("j").await;
    person.press(Key::Enter).await;
    person.sees("/ XB North").await;
    person.sees(">[ ] Plans/").await;
    person.types(" ").await;
    person.sees(">[x] Plans/").await;
    // By the search below; the second of one name needs an alias.
    person.press(Key::Left).await;
    person.sees("[+] XB North/").await;
    person.types("/plans").await;
    person.press(Key::Enter).await;
    person.sees("XC South / Plans/").await;
    person.sees("done: ").await;
    person.press(Key::End).await;
    person.sees(">[ ] XC South / Plans/").await;
    person.types(" ").await;
    person.sees("it has the name of XB North / Plans").await;
    person.types("Plans").await;
    person.press(Key::Enter).await;
    person.sees("another marked folder is called that").await;
    person.types(" South").await;
    person.press(Key::Enter).await;
    person.sees("as Plans South").await;
    // All of them once more, and done.
    person.press(Key::Tab).await;
    person.sees("Marked folders").await;
    assert_eq!(person.line(2).trim_end(), ">[x] XA Survey/");
    assert_eq!(person.line(3).trim_end(), " [x] XB North / Plans/");
    assert_eq!(
        person.line(4).trim_end(),
        " [x] XC South / Plans/  as Plans South"
    );
    person.types("s").await;
    let expected = vec![
        picked(made.survey, &["XA Survey"], None),
        picked(made.north_plans, &["XB North", "Plans"], None),
        picked(made.south_plans, &["XC South", "Plans"], Some("Plans South")),
    ];
    assert_eq!(person.ends().await, Ok(Outcome::Chosen(expected)));
}

#[tokio::test]
async fn who_leaves_and_comes_back_finds_the_marks_again() {
    let bench = Bench::new().await;
    let made = branches(&bench);
    let mut person = Person::at(&bench, Some(made.north_plans), Vec::new());
    person.sees("/ XB North / Plans").await;
    person.sees("There are no folders in here.").await;
    person.press(Key::Left).await;
    person.sees(">[ ] Plans/").await;
    person.types("aNorth plans").await;
    person.press(Key::Enter).await;
    person.sees("as North plans").await;
    person.types("q").await;
    person.sees("Leave? 1 marked, kept for later.").await;
    person.types("y").await;
    let Ok(Outcome::Left(before)) = person.ends().await else {
        panic!("the person left")
    };
    assert_eq!(
        before,
        [picked(
            made.north_plans,
            &["XB North", "Plans"],
            Some("North plans")
        )]
    );
    let mut person = Person::at(&bench, None, before.clone());
    person.sees("[+] XB North/").await;
    person.press(Key::Ctrl('c')).await;
    assert_eq!(person.ends().await, Ok(Outcome::Left(before)));
}

#[tokio::test]
async fn a_folder_that_hangs_holds_up_no_key() {
    let bench = Bench::new().await;
    let made = branches(&bench);
    let hang = bench.server.inject(Fault {
        subject: Some(made.north),
        ..Fault::on(RequestKind::ListProjects, Effect::HangAfterAccept)
    });
    let mut person = Person::at(&bench, None, Vec::new());
    person.sees("XB North/").await;
    person.types("/xb").await;
    person.press(Key::Down).await;
    person.press(Key::Enter).await;
    person.sees("listing…").await;
    person.press(Key::Left).await;
    person.sees("XC South/").await;
    person.types("/xc").await;
    person.press(Key::Down).await;
    person.press(Key::Enter).await;
    person.sees(">[ ] Plans/").await;
    person.press(Key::Left).await;
    person.sees("XB North/  listing…").await;
    bench.server.clear_fault(hang);
    person.types("k").await;
    person.press(Key::Enter).await;
    person.sees(">[ ] Plans/").await;
    // A window that changes its size is drawn anew.
    let small = |cells| NonZeroU16::new(cells).unwrap();
    person.screen.lock().set_size(small(10), small(40));
    person
        .input(Input::Resized(Size {
            columns: 40,
            rows: 10,
        }))
        .await;
    person.sees("pwfs-dem… nothing marked").await;
    assert_eq!(person.line(9).trim_end(), "Space mark  / search  s done  ? help");
    person.input(Input::Ended).await;
    assert_eq!(person.ends().await, Ok(Outcome::Left(Vec::new())));
}

#[tokio::test]
async fn what_a_server_refuses_is_told_in_its_place_and_tried_again() {
    let bench = Bench::new().await;
    let made = branches(&bench);
    let world = bench.world();
    world.set_access(made.south, Access::SeeOnly).unwrap();
    let mut person = Person::at(&bench, None, Vec::new());
    person.sees("XC South/").await;
    person.types("/xc").await;
    person.press(Key::Down).await;
    person.press(Key::Enter).await;
    person.sees("This account has no access to this folder.").await;
    person.sees("r tries again").await;
    person.press(Key::Left).await;
    person.sees("XC South/  no access").await;
    person.types(" ").await;
    person.sees("marked, but this account may not list it").await;
    world.set_access(made.south, Access::Full).unwrap();
    person.press(Key::Enter).await;
    person.sees("Plans/").await;
    let broken = bench.server.inject(Fault {
        subject: Some(made.south),
        ..Fault::on(
            RequestKind::ListProjects,
            Effect::Status {
                code: 500,
                error_id: None,
                retry_after: None,
            },
        )
    });
    person.types("r").await;
    person.sees("This folder cannot be listed now.").await;
    person.sees("the server failed").await;
    bench.server.clear_fault(broken);
    person.types("r").await;
    person.sees("Plans/").await;
    person.press(Key::Ctrl('c')).await;
    person.ends().await.unwrap();

    world.set_access(made.south, Access::Hidden).unwrap();
    let mut person = Person::at(&bench, Some(made.south), Vec::new());
    person.sees("the folder to begin in cannot be opened").await;
    person.sees("XA Survey/").await;
}

#[tokio::test]
async fn a_login_that_is_lost_ends_the_picker_and_loses_no_mark() {
    let bench = Bench::new().await;
    let made = branches(&bench);
    let mut person = Person::at(&bench, None, Vec::new());
    person.sees("XA Survey/").await;
    person.types("/xa").await;
    person.press(Key::Down).await;
    person.types(" ").await;
    bench.server.revoke_all_tokens();
    person.press(Key::Enter).await;
    let stopped = person.ends().await.unwrap_err();
    assert_eq!(stopped.error.kind(), ErrorKind::Login);
    assert_eq!(stopped.picked, [picked(made.survey, &["XA Survey"], None)]);
}

#[tokio::test]
async fn a_picker_nobody_waits_for_gives_the_screen_back() {
    let bench = Bench::new().await;
    let mut person = Person::at(&bench, None, Vec::new());
    person.sees("Choose folders").await;
    assert!(person.screen.lock().screen().alternate_screen());
    person.picker.abort();
    assert!((&mut person.picker).await.unwrap_err().is_cancelled());
    assert!(!person.screen.lock().screen().alternate_screen());
}
