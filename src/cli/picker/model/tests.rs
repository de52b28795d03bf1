use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::cli::picker::fake::{Player, World, folder, keys};
use crate::cli::picker::search::{Hit, Reach};
use crate::cli::picker::text::width;
use crate::cli::picker::view::view;

const SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

/// Three branches, with a name that is in two of them, a folder that refuses and one that is ill.
const PATHS: [&str; 10] = [
    "Bridge/Drawings/Old",
    "Bridge/Drawings/New",
    "Bridge/Models",
    "Tunnel/Drawings/Old",
    "Tunnel/Closed!",
    "Tunnel/Ill?",
    "Archive",
    "bridge notes",
    "Road/1",
    "Road/2",
];

fn player() -> Player {
    Player::new(SIZE, &PATHS)
}

/// Rows of the root: Archive, Bridge, bridge notes, Road, Tunnel.
#[test]
fn keys_do_what_the_help_says() {
    for (script, place, marked) in [
        // Moving and marking.
        (" ", "", vec!["Archive"]),
        ("  ", "", vec![]),
        ("j jk  ", "", vec!["Bridge"]),
        ("<Down><Down><Up> ", "", vec!["Bridge"]),
        ("G <Home> ", "", vec!["Tunnel", "Archive"]),
        ("<PgDn> g ", "", vec!["Tunnel", "Archive"]),
        ("<Up> ", "", vec!["Archive"]),
        // Opening and going back: the cursor is on the folder left.
        ("j<Enter>", "Bridge", vec![]),
        ("jl<Right>", "Bridge/Drawings", vec![]),
        ("jl<Right>h<Left> ", "", vec!["Bridge"]),
        ("G<Enter><Back> ", "", vec!["Tunnel"]),
        ("<Left>", "", vec![]),
        (
            "jl j <Left>G ",
            "",
            vec!["Bridge/Drawings", "Bridge/Models", "Tunnel"],
        ),
        // Where the cursor was is remembered.
        ("jlj<Left>l ", "Bridge", vec!["Bridge/Models"]),
        // Aliases.
        ("aPlans<Enter>", "", vec!["Archive=Plans"]),
        ("aPlans<Esc>", "", vec![]),
        (" aPlans<Esc>", "", vec!["Archive"]),
        ("aPlans<Enter>a<Back>X<Enter>", "", vec!["Archive=PlanX"]),
        ("aPlans<Enter>a<C-u><Enter>", "", vec!["Archive"]),
        ("aa/b<Back><Back><Enter>", "", vec!["Archive=a"]),
        ("aa/b<Enter><Home><Del><Del><Enter>", "", vec!["Archive=b"]),
        ("a..<Enter><Esc>", "", vec![]),
        ("aX<Enter>jaX<Enter>Y<Enter>", "", vec!["Archive=X", "Bridge=XY"]),
        // The same name twice at the root of the mount asks for an alias.
        (
            "jl <Left>Glj Second<Enter>",
            "Tunnel",
            vec!["Bridge/Drawings", "Tunnel/Drawings=Second"],
        ),
        (
            "jl <Left>Gl j<Esc>",
            "Tunnel",
            vec!["Bridge/Drawings", "Tunnel/Closed!"],
        ),
        // The filter.
        ("/BRI<Down>j ", "", vec!["bridge notes"]),
        ("/bri<Down>nn ", "", vec!["Bridge"]),
        ("/bri<Down>N ", "", vec!["bridge notes"]),
        ("/bri<Down>j<Esc> ", "", vec!["bridge notes"]),
        ("/bri<Down>j<Esc>n ", "", vec!["Bridge"]),
        ("/bri<Down>j<Esc>nN ", "", vec!["bridge notes"]),
        ("/brx<Back><Down> ", "", vec!["Bridge"]),
        ("/notes bri<Tab> ", "", vec!["bridge notes"]),
        ("/x<Esc> ", "", vec!["Archive"]),
        ("/<Enter> ", "", vec!["Archive"]),
        ("/bri<Down><Enter>", "Bridge", vec![]),
        // The search below.
        (
            "/old<Enter> j ",
            "",
            vec!["Bridge/Drawings/Old", "Tunnel/Drawings/Old"],
        ),
        ("/old<Enter>j<Enter>", "Tunnel/Drawings/Old", vec![]),
        (
            "/old<Enter>j<Enter><Left> ",
            "Tunnel/Drawings",
            vec!["Tunnel/Drawings/Old"],
        ),
        (
            "/old<Enter>aMy<Enter><Esc> ",
            "",
            vec!["Bridge/Drawings/Old=My", "Archive"],
        ),
        ("/old<Enter><Left>f ", "", vec!["Bridge/Drawings/Old"]),
        ("jl/old<Enter>G ", "Bridge", vec!["Bridge/Drawings/Old"]),
        // The list of marked ones.
        (" j j <Tab>j ", "", vec!["Archive", "bridge notes"]),
        (" j <Tab>x<Del>", "", vec![]),
        (" j <Tab><Enter>One<Enter>", "", vec!["Archive=One", "Bridge"]),
        (" j <Tab><Tab> ", "", vec!["Archive"]),
        (
            "/old<Enter> <Tab><Tab>j ",
            "",
            vec!["Bridge/Drawings/Old", "Tunnel/Drawings/Old"],
        ),
        // A denied folder can be marked; a key that means nothing does nothing.
        ("Gl ", "Tunnel", vec!["Tunnel/Closed!"]),
        ("Gll<Left> ", "Tunnel", vec!["Tunnel/Closed!"]),
        ("zZ@<Del>", "", vec![]),
        ("?jjj<Esc> ", "", vec!["Archive"]),
    ] {
        let mut player = player();
        player.play(script);
        assert_eq!(player.place(), place, "after {script}");
        assert_eq!(player.marked(), marked, "after {script}");
        assert_eq!(player.ending(), None, "after {script}");
    }
}

#[test]
fn the_picker_ends_when_it_is_meant_to() {
    let shared = "jl <Left>Glj <Esc>";
    for (script, expected) in [
        ("q", Some(Ending::Left)),
        ("<Esc>", Some(Ending::Left)),
        (" q", None),
        (" qy", Some(Ending::Left)),
        (" qq", Some(Ending::Left)),
        (" <Esc><Esc>", None),
        (" qs", Some(Ending::Chosen)),
        (" s", Some(Ending::Chosen)),
        ("s", None),
        ("s<Enter>", None),
        ("sy", Some(Ending::Chosen)),
        ("sn", None),
        ("<C-c>", Some(Ending::Left)),
        (" <C-c>", Some(Ending::Left)),
        ("/x<C-c>", Some(Ending::Left)),
        ("aX<C-c>", Some(Ending::Left)),
        ("/q<Down>", None),
        ("/bri<Down><Esc>", None),
        ("/old<Enter>s", None),
        ("?q", None),
        (&format!("{shared}s"), None),
        (&format!("{shared}sy"), Some(Ending::Chosen)),
        (&format!("{shared}s<Tab>s<Esc>"), None),
    ] {
        let mut player = player();
        player.play(script);
        assert_eq!(player.ending(), expected, "after {script}");
    }
    let mut player = player();
    player.play(" ").happen(Event::Input(Input::Ended));
    assert_eq!(player.ending(), Some(Ending::Left));
    assert_eq!(player.model.into_picked().len(), 1, "what was marked is kept");
}

#[test]
fn an_alias_half_typed_is_not_kept() {
    let mut player = player();
    player.play("aOne<Enter>aTwo<C-c>");
    assert_eq!(player.marked(), ["Archive=One"]);
}

#[test]
fn what_is_odd_about_a_mark_is_told() {
    for (script, expected) in [
        ("jl <Left> ", "1 marked inside it: the mount shows that one twice"),
        (
            "j l ",
            "shown twice: it is inside \"Bridge\", which is marked too",
        ),
        ("Gll<Left> ", "marked, but this account may not list it"),
        ("n", "nothing was searched for yet: / and a name"),
        ("/zzz<Tab><Esc>n", "no folder here is called \"zzz\""),
        ("<Left>", "this is the top"),
        ("f", "nothing was searched for yet: / and a name, then Enter"),
        (" <Tab> ", "no longer marked: Archive"),
    ] {
        let mut player = player();
        player.play(script);
        let told = player.model.notice.as_ref().map(|notice| notice.text.as_str());
        assert_eq!(told, Some(expected), "after {script}");
        player.play("<Home>");
        assert_eq!(player.model.notice, None, "a sentence stays until the next key");
    }
}

#[test]
fn what_was_marked_before_is_marked_and_only_once() {
    let world = World::new(&PATHS);
    let before = |path: &str, alias: Option<&str>| Picked {
        id: world.id(path),
        path: path.split('/').map(str::to_owned).collect(),
        alias: alias.map(str::to_owned),
    };
    let before = vec![
        before("Bridge/Models", Some("M")),
        before("Archive", None),
        before("Archive", Some("again")),
    ];
    let mut player = Player::with(SIZE, world, before);
    assert_eq!(player.marked(), ["Bridge/Models=M", "Archive"]);
    player.play("jlj ");
    assert_eq!(player.marked(), ["Archive"]);
}

#[test]
fn a_folder_being_listed_holds_nobody_up() {
    let mut player = player();
    player.play("j");
    // The person opens a folder that is slow, and leaves it before it answers.
    let wishes = player.model.update(Event::Input(Input::Key(Key::Enter)));
    let [Wish::List(slow)] = wishes[..] else {
        panic!("{wishes:?}")
    };
    player.happen(Event::Progress(slow, 700));
    assert!(matches!(player.model.level().unwrap().state, State::Asked(700)));
    player.play("<Left>Gl");
    assert_eq!(player.place(), "Tunnel");
    let answer = player.world.answer(slow);
    player.happen(answer);
    assert_eq!(player.place(), "Tunnel", "a late answer leaves the person alone");
    player.play("<Left><Home>j<Enter>");
    assert!(
        player.wishes.is_empty() && player.model.len() == 2,
        "and it was not lost"
    );
}

#[test]
fn a_folder_is_not_asked_for_twice_while_it_is_asked_and_again_when_it_failed() {
    let mut player = player();
    player.play("Gl");
    let ask = |player: &mut Player, key| player.model.update(Event::Input(Input::Key(key)));
    player.play("jj");
    let place = DirId::Folder(player.world.id("Tunnel/Ill?"));
    assert!(matches!(ask(&mut player, Key::Enter)[..], [Wish::List(asked)] if asked == place));
    assert!(ask(&mut player, Key::Char('r')).is_empty());
    player.happen(player.world.answer(place));
    assert!(matches!(player.model.level().unwrap().state, State::Failed(_)));
    assert!(matches!(ask(&mut player, Key::Char('r'))[..], [Wish::List(_)]));
    player.happen(player.world.answer(place));
    player.play("<Left>");
    assert!(
        matches!(ask(&mut player, Key::Enter)[..], [Wish::List(_)]),
        "who opens it again tries again"
    );
}

#[test]
fn listing_again_keeps_the_cursor_on_its_folder() {
    let mut player = player();
    player.play("jj");
    let mut paths = PATHS.to_vec();
    paths.push("And more");
    player.world = World::new(&paths);
    player.play("r");
    assert_eq!(player.model.len(), 6);
    player.play(" ");
    assert_eq!(player.marked(), ["bridge notes"]);
}

#[test]
fn a_search_that_was_stopped_takes_in_nothing_of_an_older_one() {
    let mut player = player();
    player.play("/");
    for letter in "old".chars() {
        player.play(&letter.to_string());
    }
    let Ok([Wish::Search(first)]) =
        <[Wish; 1]>::try_from(player.model.update(Event::Input(Input::Key(Key::Enter))))
    else {
        panic!("a search was asked for")
    };
    player.play("<Esc>");
    assert!(matches!(player.wishes[..], [Wish::StopSearch]));
    player.play("/road<Enter>");
    let late = player.world.found(&first);
    player.happen(late);
    assert_eq!(player.model.hits.as_ref().unwrap().found.len(), 1, "Road alone");
}

#[test]
fn a_picker_that_begins_in_a_folder_goes_up_from_there() {
    let world = World::new(&PATHS);
    let way = world.way("Tunnel/Drawings");
    let mut player = Player {
        model: Model::new("s", SIZE, Vec::new()),
        world,
        wishes: Vec::new(),
    };
    assert!(player.model.level().is_none());
    player.play("j<Enter><Left> ");
    assert!(player.marked().is_empty(), "nothing is there yet");
    player.happen(Event::Opened(Ok(way)));
    assert_eq!(player.place(), "Tunnel/Drawings");
    player.play("<Left> ");
    assert_eq!(player.marked(), ["Tunnel/Drawings"]);
    player.play("<Left> ");
    assert_eq!(player.marked(), ["Tunnel/Drawings", "Tunnel"]);

    player.happen(Event::Opened(Err("gone".to_owned())));
    assert!(player.model.notice.as_ref().unwrap().text.contains("gone"));
}

/// Something that may happen, by chance.
#[derive(Debug, Clone)]
enum Chance {
    Key(Key),
    Paste(String),
    Resize(u16, u16),
    /// One of the asked folders answers, or fails.
    Answer(usize, u8),
    Progress(u64),
    Find(usize, bool),
}

fn chance() -> impl Strategy<Value = Chance> {
    let key = prop_oneof![
        8 => prop::sample::select(vec![
            ' ', ' ', 'j', 'k', 'l', 'h', 'a', '/', 'n', 'N', 'f', 'x', 'r', 's', 'y', 'q', '?', 'g', 'G', 'o', 'd', '图', '/',
        ])
        .prop_map(Key::Char),
        8 => prop::sample::select(vec![
            Key::Enter, Key::Enter, Key::Esc, Key::Backspace, Key::Delete, Key::Tab, Key::Up, Key::Down, Key::Left,
            Key::Right, Key::PageUp, Key::PageDown, Key::Home, Key::End, Key::Ctrl('u'), Key::Ctrl('w'), Key::Ctrl('l'),
        ]),
    ];
    prop_oneof![
        20 => key.prop_map(Chance::Key),
        1 => ".{0,12}".prop_map(Chance::Paste),
        1 => (0_u16..100, 0_u16..40).prop_map(|(columns, rows)| Chance::Resize(columns, rows)),
        8 => (0_usize..4, 0_u8..6).prop_map(|(which, how)| Chance::Answer(which, how)),
        1 => (0_u64..5_000).prop_map(Chance::Progress),
        2 => (0_usize..10, any::<bool>()).prop_map(|(count, last)| Chance::Find(count, last)),
    ]
}

fn ids(model: &Model) -> BTreeSet<FolderId> {
    model.marks.all().iter().map(|picked| picked.id).collect()
}

/// What must be so whatever happened.
fn check(model: &Model) -> Result<(), TestCaseError> {
    let (cursor, len, page) = (model.cursor(), model.len(), model.page());
    if len > 0 {
        prop_assert!(cursor.at < len, "the cursor is on a row: {cursor:?} of {len}");
        let seen = cursor.top..cursor.top + page;
        prop_assert!(seen.contains(&cursor.at), "and is seen: {cursor:?} in {seen:?}");
    }
    prop_assert_eq!(ids(model).len(), model.marks.len(), "each folder is marked once");
    let mut aliases = BTreeSet::new();
    for alias in model
        .marks
        .all()
        .iter()
        .filter_map(|picked| picked.alias.as_ref())
    {
        prop_assert!(aliases.insert(alias), "{:?} is there twice", alias);
    }
    let frame = view(model);
    prop_assert_eq!(frame.lines.len(), usize::from(model.size.rows));
    for line in &frame.lines {
        let mut end = 0;
        for piece in &line.pieces {
            prop_assert!(
                usize::from(piece.column) >= end,
                "pieces stand side by side: {line:?}"
            );
            end = usize::from(piece.column) + width(&piece.text);
            prop_assert!(!piece.text.contains(char::is_control));
        }
        prop_assert!(end <= usize::from(model.size.columns), "{line:?}");
    }
    if let Some((column, row)) = frame.caret {
        prop_assert!(column < model.size.columns && row < model.size.rows);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_picker_stands(chances in prop::collection::vec(chance(), 1..120)) {
        let world = World::new(&PATHS);
        let mut model = Model::new("s", SIZE, Vec::new());
        let mut asked = Vec::new();
        let mut searches = Vec::new();
        let mut wishes = model.update(Event::Opened(Ok(Vec::new())));
        for chance in chances {
            for wish in wishes.drain(..) {
                match wish {
                    Wish::List(place) => asked.push(place),
                    Wish::Search(order) => searches.push(order),
                    Wish::Finish(_) | Wish::StopSearch | Wish::Redraw | Wish::Suspend => {}
                }
            }
            let before = ids(&model);
            let subject = match &model.prompt {
                Some(Prompt::Alias { id, .. }) => Some(*id),
                Some(_) => None,
                None => model.subject().map(|(id, _)| id),
            };
            let quiet = !matches!(model.prompt, None | Some(Prompt::Alias { .. }));
            let marks = matches!(chance, Chance::Key(Key::Char(' '))) && model.prompt.is_none();
            let event = match chance {
                Chance::Key(key) => Event::Input(Input::Key(key)),
                Chance::Paste(text) => Event::Input(Input::Pasted(text)),
                Chance::Resize(columns, rows) => Event::Input(Input::Resized(Size { columns, rows })),
                Chance::Progress(rows) => Event::Progress(model.place(), rows),
                Chance::Answer(which, how) => {
                    let Some(at) = which.checked_rem(asked.len()) else { continue };
                    let place = asked.swap_remove(at);
                    match how {
                        0 => Event::Answered(place, Answer::Failed("\u{1b}[2Jno".to_owned())),
                        1 => Event::Answered(place, Answer::Denied(String::new())),
                        _ => world.answer(place),
                    }
                }
                Chance::Find(count, last) => {
                    let Some(order) = searches.last() else { continue };
                    let hits = PATHS[..count].iter().map(|path| Hit { path: world.way(path) }).collect();
                    let reach = Reach { waiting: usize::from(!last), ..Reach::default() };
                    Event::Found(order.number, Finding { hits, reach, last })
                }
            };
            wishes = model.update(event);
            check(&model)?;
            let changed: Vec<FolderId> = before.symmetric_difference(&ids(&model)).copied().collect();
            if marks {
                prop_assert_eq!(&changed, &Vec::from_iter(subject), "Space marks what is under the cursor");
            }
            prop_assert!(changed.iter().all(|id| Some(*id) == subject && !quiet), "nothing else is marked");
        }
        let marked = model.marks.all().to_vec();
        prop_assert_eq!(model.into_picked(), marked, "what is chosen is what was marked");
    }
}

/// What a key costs where the datasource has a hundred thousand root folders. The dearest is the letter taken back from a
/// search: 7 ms in an optimised build, 50 ms in the one that tests are.
///
/// The bound is for machines that are busy with other tests; what grows with the square of the folders does not fit in.
#[test]
fn a_key_among_a_hundred_thousand_folders_is_answered_at_once() {
    let names = ["Bridge", "Tunnel", "Road", "Rail", "Station"];
    let folders = (0..100_000_u64)
        .zip(names.into_iter().cycle())
        .map(|(number, name)| folder(number, &format!("{number:06} {name} of the northern line")))
        .collect();
    let mut model = Model::new("s", SIZE, Vec::new());
    model.update(Event::Opened(Ok(Vec::new())));
    model.update(Event::Answered(
        DirId::Root,
        Answer::Listed(Listing::new(folders, 0)),
    ));
    let script = keys("<Down><PgDn><End><Up>/bri 9<Back><Back><Down><End>n<Esc>n<Home>");
    let mut fastest = vec![Duration::MAX; script.len()];
    // Whoever else is at work on this machine does not hold up the same key every time.
    for _ in 0..3 {
        for (key, fastest) in script.iter().zip(&mut fastest) {
            let begun = Instant::now();
            model.update(Event::Input(Input::Key(*key)));
            assert_eq!(view(&model).lines.len(), 24);
            *fastest = begun.elapsed().min(*fastest);
        }
    }
    let slowest = fastest.iter().max().unwrap();
    assert!(*slowest < Duration::from_secs(1), "{fastest:?}");
}
