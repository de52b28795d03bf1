//! docs/alloovium.md can be followed literally: its commands are run, in their order, against `pwfs simulate`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::consumer::players::{program, python};
use crate::mount::{fuse_is_here, has_programs};

/// A block of commands, and the comment above it, if there is one.
struct Block {
    note: Option<String>,
    commands: String,
}

/// Every block of commands of the page.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let commands: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let note = before
                .strip_prefix("<!-- ")
                .and_then(|note| note.strip_suffix(" -->"));
            blocks.push(Block {
                note: note.map(str::to_owned),
                commands: commands.join("\n"),
            });
        }
        before = line;
    }
    blocks
}

/// The commands as the page has them tried: what is to be replaced first, then the steps, then what comes afterwards.
fn script(page: &str) -> String {
    let blocks = blocks(page);
    let with = |wanted: Option<&str>| {
        let of_this_kind = blocks.iter().filter(move |block| block.note.as_deref() == wanted);
        of_this_kind
            .map(|block| block.commands.as_str())
            .collect::<Vec<_>>()
    };
    let parts = [with(Some("substitutions")), with(None), with(Some("afterwards"))];
    assert!(
        parts.iter().all(|part| !part.is_empty()),
        "the page has lost its parts"
    );
    let known = |note: &str| note.starts_with("not run: ") || ["substitutions", "afterwards"].contains(&note);
    for note in blocks.iter().filter_map(|block| block.note.as_deref()) {
        assert!(known(note), "{note:?} says not whether the block can be run");
    }
    parts.concat().join("\n")
}

#[test]
fn the_way_from_an_app_to_an_ingestion_can_be_followed_literally() {
    let Some(python) = python() else {
        eprintln!("skipped: there is no python3 with sqlite3");
        return;
    };
    if !fuse_is_here() || !has_programs(&["bash", "curl"]) {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(source.join("docs/alloovium.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // What step 1 installs.
    symlink(fs::canonicalize(program()).unwrap(), bin.join("pwfs")).unwrap();
    symlink(
        source.join("examples/consumer/consumer.py"),
        bin.join("pwfs-consumer"),
    )
    .unwrap();
    symlink(python, bin.join("python3")).unwrap();
    // Another simulator may run on this machine.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let commands = script(&page).replace("8765", &port.to_string());
    assert!(commands.contains("pwfs simulate >"), "{commands}");
    let commands = commands.replace("pwfs simulate >", &format!("pwfs simulate --port {port} >"));
    // A mount of another test may be dead at the moment, which is no good end of a set-up; the profile is there all the same.
    let end_of_setup = "--folder \"$FOLDER\"";
    assert_eq!(commands.matches(end_of_setup).count(), 1, "{commands}");
    let commands = commands.replace(
        end_of_setup,
        &format!("{end_of_setup} || pwfs --profile alloovium whoami"),
    );
    let whole = format!("set -eu -o pipefail\ntrap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n{commands}\n");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("timeout")
        .args(["300", "bash", "-c", &whole])
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", &path)
        .env("HOME", dir.path())
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{said}\n{errors}\n{whole}", ran.status);
    let lines: Vec<&str> = said.lines().collect();
    let summaries: Vec<&&str> = lines.iter().filter(|line| line.starts_with("files=")).collect();
    assert_eq!(summaries.len(), 2, "{said}");
    assert!(
        summaries.iter().all(|line| line.contains(" pending=0 ")),
        "{said}"
    );
    assert!(summaries[1].contains(" copied=1 "), "{said}");
    assert!(
        lines.iter().any(|line| line.contains("\"complete\":true")),
        "{said}"
    );
    // The new document's bytes have no end of line.
    assert!(lines.iter().any(|line| line.starts_with("new")), "{said}");
}
