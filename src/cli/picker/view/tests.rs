use super::*;
use crate::cli::picker::fake::{Player, World};
use crate::cli::picker::input::Input;
use crate::cli::picker::marks::Picked;
use crate::cli::picker::model::Event;
use crate::cli::picker::search::{Finding, Hit, Reach};
use crate::model::DirId;

const LARGE: Size = Size {
    columns: 80,
    rows: 24,
};

const SMALL: Size = Size {
    columns: 40,
    rows: 10,
};

const PATHS: [&str; 14] = [
    "P-2021 Severn Bridge/01 Drawings/Plans",
    "P-2021 Severn Bridge/01 Drawings/Sections",
    "P-2021 Severn Bridge/02 Models",
    "P-2022 Leven Tunnel/01 Drawings/Plans",
    "P-2022 Leven Tunnel/02 Closed!",
    "P-2022 Leven Tunnel/03 Ill?",
    "図面一覧と報告書のすべてがここにあります、たいへん長い名前です",
    "evil \u{1b}[2J\u{202e}txt",
    "Überführung Nord",
    "A rather long name of a folder that nobody could read to its very end on a small screen",
    "Empty",
    "Family 👩‍👩‍👧 and flag 🇨🇦",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} tower",
    "Archive",
];

/// The screen as text, as a terminal shows it that gives characters the width we do.
fn screen(player: &Player) -> String {
    let frame = view(&player.model);
    let line = |line: &Line| {
        let mut text = String::new();
        for piece in &line.pieces {
            let gap = usize::from(piece.column) - width(&text);
            text.extend(std::iter::repeat_n(' ', gap));
            text.push_str(&piece.text);
        }
        text
    };
    let mut lines: Vec<String> = frame.lines.iter().map(line).collect();
    if let Some((column, row)) = frame.caret {
        lines.push(format!("caret in column {column}, row {row}"));
    }
    lines.join("\n")
}

fn played(size: Size, script: &str) -> String {
    let mut player = Player::new(size, &PATHS);
    player.play(script);
    screen(&player)
}

#[test]
fn a_large_screen() {
    insta::assert_snapshot!(
        "folders_80x24",
        played(LARGE, "G jjk aBridge of the Severn<Enter>")
    );
    insta::assert_snapshot!("hits_80x24", played(LARGE, "/plans<Enter> jaTunnel plans<Enter>"));
    insta::assert_snapshot!("help_80x24", played(LARGE, "?"));
}

#[test]
fn a_small_screen() {
    insta::assert_snapshot!("folders_40x10", played(SMALL, " j jjj"));
    insta::assert_snapshot!("search_40x10", played(SMALL, "/n"));
    insta::assert_snapshot!("hits_40x10", played(SMALL, "/plans<Enter>j "));
    insta::assert_snapshot!(
        "marked_40x10",
        played(SMALL, "/drawings<Enter> j <Esc>/plans<Enter> <Tab>")
    );
    insta::assert_snapshot!("help_40x10", played(SMALL, "?jj"));
}

#[test]
fn what_is_typed_is_seen_around_the_caret() {
    insta::assert_snapshot!(
        "alias_40x10",
        played(
            SMALL,
            "/long<Down>aan alias that is much longer than its field<Left><Left>"
        )
    );
    insta::assert_snapshot!("alias_refused_40x10", played(SMALL, "aa/b<Enter>"));
}

/// The last two lines.
fn foot(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().filter(|line| !line.starts_with("caret")).collect();
    lines[lines.len() - 2..].join("\n")
}

#[test]
fn questions_fit_a_small_screen() {
    for (script, expected) in [
        (
            " q",
            "Leave? 1 marked, kept for later.\ny leave  s go on  Esc stay",
        ),
        ("s", "Nothing is marked: the mount shows all.\ny go on  Esc back"),
        (
            "/plans<Enter> j <Esc><Esc>s",
            "Several are called \"Plans\".\ny go on anyway  Tab see them  Esc back",
        ),
        (
            "/plans<Enter> j ",
            "Alias of Plans: \nit has the name of P-2021 Severn Bridge…",
        ),
    ] {
        let screen = played(SMALL, script);
        assert_eq!(foot(&screen), expected, "after {script}");
    }
}

/// What stands in the place of the list.
fn instead(player: &Player) -> String {
    let screen = screen(player);
    let lines = screen.lines().filter(|line| !line.starts_with("caret"));
    let lines: Vec<&str> = lines.skip(2).map(str::trim).collect();
    lines[..lines.len() - 2].join("\n").trim_end().to_owned()
}

#[test]
fn what_cannot_be_listed_says_why_in_its_place() {
    let mut player = Player::new(SMALL, &PATHS);
    player.play("/tunnel<Down><Enter>j<Enter>");
    assert_eq!(
        instead(&player),
        "This account has no access to this\nfolder.\nNotEnoughRights: \\u{1b}[31mno\nr tries again, Left goes back"
    );
    player.play("<Left>j<Enter>");
    assert_eq!(
        instead(&player),
        "This folder cannot be listed now.\nthe server did not answer in time:\nno answer in 30 s\nr tries again, Left \
         goes back"
    );
    player.play("<Left>");
    let rows = instead(&player);
    assert!(
        rows.contains("02 Closed!/  no access") && rows.contains("03 Ill?/  not listed"),
        "{rows}"
    );
    player.play("<Left>/empty<Down><Enter>");
    assert_eq!(instead(&player), "There are no folders in here.");
    player.play("/x");
    assert_eq!(instead(&player), "There are no folders in here.");
    player.play("<Esc><Left>/xyz");
    assert_eq!(
        instead(&player),
        "No folder here is called that. Enter\nsearches all folders below."
    );
    player.play("<Enter>");
    assert_eq!(instead(&player), "No folder below is called that.");
    player.play("<Tab>");
    assert_eq!(instead(&player), "Nothing is marked. Space marks a\nfolder.");
}

#[test]
fn a_listing_on_its_way_says_how_far_it_is() {
    let world = World::new(&PATHS);
    let mut player = Player {
        model: Model::new("s", SMALL, Vec::new()),
        world,
        wishes: Vec::new(),
    };
    assert_eq!(instead(&player), "opening…");
    player.model.update(Event::Opened(Ok(Vec::new())));
    assert_eq!(instead(&player), "listing…");
    player.happen(Event::Progress(DirId::Root, 34_000));
    assert_eq!(instead(&player), "listing… 34,000 rows so far");
}

#[test]
fn a_search_says_how_far_it_got() {
    let reach = Reach {
        looked: 1_204,
        waiting: 310,
        denied: 2,
        failed: 1,
        full: false,
    };
    for (reach, last, stop, expected) in [
        (
            reach,
            false,
            false,
            "searching: 1,207 of 1,517 folders, 2 without access, 1 failed",
        ),
        (
            reach,
            false,
            true,
            "stopped: 1,207 of 1,517 folders, 2 without access, 1 failed",
        ),
        (
            Reach { waiting: 0, ..reach },
            true,
            false,
            "done: 1,207 folders searched, 2 without access, 1 failed",
        ),
        (
            Reach {
                waiting: 0,
                denied: 0,
                failed: 0,
                full: true,
                ..reach
            },
            true,
            false,
            "done: 1,204 folders searched; no more than 250,000",
        ),
    ] {
        let mut player = Player::new(LARGE, &PATHS);
        player.play("/plan");
        player
            .model
            .update(Event::Input(Input::Key(crate::cli::picker::input::Key::Enter)));
        let hits = vec![Hit {
            path: player.world.way("Archive"),
        }];
        player.happen(Event::Found(1, Finding { hits, reach, last }));
        if stop {
            player.play("x");
        }
        assert_eq!(foot(&screen(&player)).lines().next(), Some(expected));
        player.play("<Left>");
        let aside = foot(&screen(&player));
        assert_eq!(
            aside.starts_with("still searching: 1 found (f shows them)"),
            !last && !stop,
            "{aside}"
        );
    }
}

#[test]
fn a_folder_marked_by_its_id_alone_is_shown_by_it() {
    let world = World::new(&PATHS);
    let unknown = Picked {
        id: world.id("Archive"),
        path: Vec::new(),
        alias: None,
    };
    let mut player = Player::with(LARGE, world, vec![unknown]);
    player.play("<Tab>");
    let id = player.world.id("Archive").to_string();
    assert!(
        instead(&player).starts_with(&format!(">[x] {id}")),
        "{}",
        instead(&player)
    );
}

#[test]
fn a_window_too_small_for_anything_says_so() {
    for (columns, rows) in [(19, 24), (80, 5), (1, 1), (0, 0)] {
        let mut player = Player::new(LARGE, &PATHS);
        let size = Size { columns, rows };
        player.happen(Event::Input(Input::Resized(size)));
        assert_eq!(view(&player.model).lines.len(), usize::from(rows));
    }
    assert_eq!(
        played(Size { columns: 12, rows: 4 }, ""),
        "the window\nis too small\n\n"
    );
}
