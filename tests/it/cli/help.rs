//! What the program says of itself.

use std::fmt::Write as _;

use crate::program::Stage;

#[test]
fn every_help_text_is_as_reviewed() {
    let stage = Stage::new();
    let top = stage.run(&["--help"]).succeeds();
    let commands: Vec<&str> = top
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.contains(&"mount"), "{top}");
    let mut text = format!("$ pwfs --help\n{top}");
    for command in commands {
        let help = stage.run(&[command, "--help"]).succeeds();
        // What all commands share is shown once.
        let own = help.split("Global options:").next().unwrap();
        write!(text, "\n$ pwfs {command} --help\n{}\n", own.trim_end()).unwrap();
    }
    let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("help", text);
}

#[test]
fn what_is_no_command_is_a_usage_error() {
    let stage = Stage::new();
    let words = stage.run(&["frobnicate"]).fails(2);
    assert!(words.contains("frobnicate"), "{words}");
    let words = stage.run::<&str>(&[]).fails(2);
    assert!(words.contains("Usage: pwfs"), "{words}");
    let version = stage.run(&["--version"]).succeeds();
    assert_eq!(version, format!("pwfs {}\n", env!("CARGO_PKG_VERSION")));
}
