//! `events` beside a real mount: each change once, and the end with the mount.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::explain::{PROJECT, attribute, mount};
use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::Stage;

const JOURNAL: &str = "user.projectwise.journal";

/// Looks into directories again and again until dropped, as a file manager would.
struct Looking {
    enough: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Looking {
    fn into(dirs: Vec<PathBuf>) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                for dir in &dirs {
                    // What is read does not matter, and the mount may be gone.
                    let _ = fs::read_dir(dir).map(Iterator::count);
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self {
            enough,
            thread: Some(thread),
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn each_change_is_told_once_and_the_end_of_the_mount_ends_it() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let world = stage.server.world();
    let project = world.folder_at(&[PROJECT]).unwrap();
    let [here, there] = ["Here", "There"].map(|name| world.add_folder(Some(project), name).unwrap());
    let [kept, renamed, deleted, revised, moved] = ["kept", "renamed", "deleted", "revised", "moved"]
        .map(|name| world.add_document(here, &format!("{name}.txt"), name).unwrap());
    let (running, dir) = mount(&stage, &["--metadata-ttl", "100ms"]);
    let dirs: Vec<PathBuf> = ["There", "Here"].map(|name| dir.join(PROJECT).join(name)).into();
    for dir in &dirs {
        fs::read_dir(dir).unwrap().for_each(drop);
    }
    let cursor = attribute(&dir, JOURNAL).unwrap();
    let mut all = stage.start(&["--json", "events", "mnt", "--since", &cursor]);
    // One that follows from now on, and one of another directory, of which nothing is told.
    let mut now = stage.start(&["events", "mnt"]);
    let other = stage.start(&["events", "mnt/Company Standards", "--since", &cursor]);

    world.add_document(here, "added.txt", "added").unwrap();
    world.rename_document(renamed, "other name.txt").unwrap();
    world.delete_document(deleted).unwrap();
    world.new_version(revised, "revised again").unwrap();
    world.move_document(moved, there).unwrap();
    let looking = Looking::into(dirs);
    let wanted = ["add", "rename", "gone", "new_version", "move"];
    let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    while !wanted.iter().all(|event| seen.contains_key(*event)) {
        let line = all.wait_for_line(|line| line.starts_with('{'));
        let line: Value = serde_json::from_str(&line).unwrap();
        // The folders' own properties change as well.
        if line["kind"] == "folder" {
            continue;
        }
        seen.entry(line["event"].as_str().unwrap().to_owned())
            .or_default()
            .push(line);
    }
    now.wait_for_line(|line| line.contains("/There/moved.txt: moved from "));
    drop(looking);
    for (event, lines) in &seen {
        assert!(wanted.contains(&&**event), "{event}: {lines:?}");
        assert_eq!(lines.len(), 1, "{event}: {lines:?}");
    }
    let path = |event: &str| seen[event][0]["path"].as_str().unwrap().to_owned();
    assert_eq!(path("add"), format!("{PROJECT}/Here/added.txt"));
    assert_eq!(path("rename"), format!("{PROJECT}/Here/other name.txt"));
    assert_eq!(seen["rename"][0]["old_name"], "renamed.txt");
    assert_eq!(path("gone"), format!("{PROJECT}/Here/deleted.txt"));
    assert_eq!(path("new_version"), format!("{PROJECT}/Here/revised.txt"));
    assert_eq!(path("move"), format!("{PROJECT}/There/moved.txt"));
    assert_eq!(seen["move"][0]["old_path"], format!("{PROJECT}/Here/moved.txt"));
    assert_eq!(seen["move"][0]["guid"], moved.to_string());
    let all_guids: Vec<&Value> = seen.values().flatten().map(|line| &line["guid"]).collect();
    assert!(!all_guids.contains(&&Value::from(kept.to_string())));

    // The same from the journal alone, all of it and from any row on; another journal's cursor is refused.
    let once = |cursor: &str| {
        let text = stage
            .run(&["--json", "events", "mnt", "--once", "--since", cursor])
            .succeeds();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["kind"] == "document")
            .collect::<Vec<_>>()
    };
    let again = once(&cursor);
    assert_eq!(again.len(), 5, "{again:?}");
    assert_eq!(once(again[2]["cursor"].as_str().unwrap()), again[3..]);
    let foreign = stage.run(&["--json", "events", "mnt", "--since", "0000000000000000.1"]);
    assert_eq!(foreign.code, Some(75), "{foreign:?}");
    let resync: Value = serde_json::from_str(&foreign.stdout).unwrap();
    assert_eq!(resync["resync"], true, "{resync}");
    assert_eq!(
        Some(resync["cursor"].clone()),
        attribute(&dir, JOURNAL).map(Value::from)
    );
    assert!(
        foreign.stderr.contains("\"code\":\"events.resync\""),
        "{foreign:?}"
    );

    stage.run(&["unmount", "mnt"]).succeeds();
    running.finish().succeeds();
    assert_eq!(all.finish().code, Some(0));
    assert_eq!(now.finish().code, Some(0));
    assert_eq!(other.finish().succeeds(), "");
}
