//! `manifest`, `changes` and `sync-point` beside real mounts: what a program that keeps a copy may rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use pwfs::demo::knobs::{Knobs, VersionGuids};
use pwfs::demo::{DemoOptions, Effect, Fault, RequestKind};
use pwfs::model::Guid;
use serde_json::Value;

use crate::explain::{attribute, mount};
use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage};

/// A mount of one folder with three shelves of three documents each.
struct Library {
    stage: Stage,
    running: Running,
    dir: PathBuf,
    top: Guid,
    shelves: Vec<Guid>,
    documents: Vec<Guid>,
}

impl Library {
    fn new() -> Self {
        Self::on(small())
    }

    fn on(options: DemoOptions) -> Self {
        let stage = Stage::signed_in(options);
        let world = stage.server.world();
        let top = world.add_folder(None, "Library").unwrap();
        let (mut shelves, mut documents) = (Vec::new(), Vec::new());
        for shelf in 0..3 {
            let folder = world.add_folder(Some(top), &format!("shelf {shelf}")).unwrap();
            for number in 0..3 {
                let name = format!("{shelf}-{number}.txt");
                documents.push(world.add_document(folder, &name, name.clone()).unwrap());
            }
            shelves.push(folder);
        }
        let (running, dir) = mount(&stage, &["--preset", "pipeline", "--metadata-ttl", "1h"]);
        Self {
            stage,
            running,
            dir,
            top,
            shelves,
            documents,
        }
    }

    fn manifest(&self, args: &[&str]) -> Vec<Value> {
        lines(
            &self
                .stage
                .run(&[&["manifest", "mnt/Library"], args].concat())
                .succeeds(),
        )
    }

    fn changes(&self, path: &str, since: &str) -> Vec<Value> {
        let told = self
            .stage
            .run(&["changes", "--path", path, "--since", since])
            .succeeds();
        let told = lines(&told);
        told.into_iter()
            .filter(|line| line.get("change").is_some())
            .collect()
    }

    fn sync(&self) -> String {
        let cursor = self.stage.run(&["sync-point", "mnt/Library", "--max-age", "0s"]);
        cursor.succeeds().trim().to_owned()
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of<'a>(rows: &'a [Value], row: &str) -> Vec<&'a Value> {
    rows.iter().filter(|value| value["row"] == row).collect()
}

/// What happened to what, in order of the words.
fn told(rows: &[Value]) -> BTreeSet<(String, String)> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (word(row, "change"), word(row, "name")))
        .collect()
}

#[test]
fn a_manifest_is_the_world_and_changes_go_on_from_it() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let world = library.stage.server.world();
    world.add_placeholder(library.shelves[0], "Idea").unwrap();
    let rows = library.manifest(&["--folders"]);
    assert_eq!(rows[0]["row"], "manifest");
    assert_eq!(rows[0]["path"], "Library");
    assert_eq!(rows[0]["scope"], Value::from(vec![library.top.to_string()]));
    let end = rows.last().unwrap();
    assert_eq!((&end["row"], &end["complete"]), (&"end".into(), &true.into()));
    assert_eq!((&end["folders"], &end["documents"]), (&4.into(), &10.into()));
    assert_eq!(end["cursor"], rows[0]["cursor"]);

    // The same documents, with what the world knows of them.
    let documents: BTreeMap<&str, &Value> = of(&rows, "document")
        .into_iter()
        .map(|row| (row["guid"].as_str().unwrap(), row))
        .collect();
    assert_eq!(documents.len(), 10);
    for expected in world.documents() {
        if expected.path.first().is_none_or(|name| name != "Library") {
            continue;
        }
        let row = documents[&*expected.guid.to_string()];
        match &expected.file_name {
            Some(name) => {
                assert_eq!(
                    row["path"],
                    format!("{}/{name}", expected.path.join("/")),
                    "{row}"
                );
                assert_eq!(row["size"], expected.size);
                let file = library
                    .stage
                    .home
                    .path()
                    .join("mnt")
                    .join(row["path"].as_str().unwrap());
                for (member, name) in [("guid", "user.projectwise.guid"), ("tag", "user.projectwise.tag")] {
                    assert_eq!(row[member], attribute(&file, name).unwrap(), "{member}");
                }
            }
            None => assert!(row.get("path").is_none() && row["kind"] == "placeholder", "{row}"),
        }
    }
    // Folder by folder, in the order of names.
    let paths: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["path"].as_str())
        .skip(1)
        .collect();
    assert!(paths.is_sorted(), "{paths:?}");

    // From there on each change, and nothing else.
    let cursor = end["cursor"].as_str().unwrap();
    assert!(library.changes("mnt/Library", cursor).is_empty());
    world.add_document(library.shelves[0], "new.txt", "new").unwrap();
    world
        .rename_document(library.documents[0], "renamed.txt")
        .unwrap();
    world
        .move_document(library.documents[1], library.shelves[1])
        .unwrap();
    world.delete_document(library.documents[2]).unwrap();
    world.new_version(library.documents[3], "another").unwrap();
    let fresh = library.sync();
    let rows = library.changes("mnt/Library", cursor);
    let expected = [
        ("add", "new.txt"),
        ("gone", "0-2.txt"),
        ("move", "0-1.txt"),
        ("new_version", "1-0.txt"),
        ("rename", "renamed.txt"),
    ];
    let documents: Vec<Value> = rows.into_iter().filter(|row| row["kind"] == "document").collect();
    assert_eq!(documents.len(), 5, "{documents:?}");
    assert_eq!(
        told(&documents),
        expected.map(|(change, name)| (change.into(), name.into())).into()
    );
    let moved = documents.iter().find(|row| row["change"] == "move").unwrap();
    assert_eq!(moved["old_path"], "Library/shelf 0/0-1.txt");
    assert_eq!(moved["path"], "Library/shelf 1/0-1.txt");
    let gone = documents.iter().find(|row| row["change"] == "gone").unwrap();
    assert_eq!(
        (&gone["reason"], &gone["path"]),
        (&"deleted".into(), &"Library/shelf 0/0-2.txt".into())
    );
    // The point that was waited for has all of them before it.
    assert!(library.changes("mnt/Library", &fresh).is_empty());
    // Whoever stops after any row goes on with the next one.
    let from = |cursor: &Value| library.changes("mnt/Library", cursor.as_str().unwrap());
    let all = library.changes("mnt/Library", cursor);
    for (at, row) in all.iter().enumerate() {
        assert_eq!(from(&row["cursor"]), all[at + 1..]);
    }
    drop(library.running);
}

#[test]
fn a_manifest_is_complete_or_fails_and_names_what_is_missing() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let world = library.stage.server.world();
    let home = library.stage.home.path();
    let (file, part) = (home.join("list"), home.join("list.part"));
    // One folder fails: what is there is written, and nothing takes the name of a complete list. (An empty one, which
    // no question for everything below the library answers.)
    let attic = world.add_folder(Some(library.top), "attic").unwrap();
    for kind in [RequestKind::ListDocuments, RequestKind::ListProjects] {
        let fault = Fault::on(kind, Effect::MalformedJson).about(attic);
        library.stage.server.inject(fault);
    }
    let failed = library.stage.run(&["manifest", "mnt/Library", "-o", "list"]);
    assert_eq!(failed.code, Some(75), "{failed:?}");
    assert!(failed.stderr.contains("Library/attic"), "{failed:?}");
    assert!(!failed.stderr.contains("shelf"), "{failed:?}");
    assert!(part.exists() && !file.exists());
    let left = lines(&fs::read_to_string(&part).unwrap());
    let end = left.last().unwrap();
    assert_eq!((&end["complete"], &end["documents"]), (&false.into(), &9.into()));
    assert_eq!(end["failed"][0]["guid"], attic.to_string());
    // Nobody is told that what is missing is gone.
    let cursor = end["cursor"].as_str().unwrap().to_owned();
    assert!(library.changes("mnt/Library", &cursor).is_empty());

    // Later it goes on: what was written stays, as of its own cursor; what came meanwhile is told by the journal.
    world.add_document(attic, "late.txt", "late").unwrap();
    library.stage.server.clear_faults();
    library
        .stage
        .run(&["manifest", "mnt/Library", "-o", "list", "--resume"])
        .succeeds();
    assert!(file.exists() && !part.exists());
    let whole = lines(&fs::read_to_string(&file).unwrap());
    let end = whole.last().unwrap();
    assert_eq!((&end["complete"], &end["rows"]), (&true.into(), &10.into()));
    assert_eq!(
        whole[..left.len() - 1],
        left[..left.len() - 1],
        "what was written stays"
    );
    assert_eq!(whole[0]["cursor"], cursor);
    let guids: BTreeSet<&str> = of(&whole, "document")
        .iter()
        .map(|row| row["guid"].as_str().unwrap())
        .collect();
    assert_eq!(guids.len(), 10);
    // Of other folders it would be another list: it begins anew.
    fs::rename(&file, &part).unwrap();
    library
        .stage
        .run(&["manifest", "mnt/Library/shelf 0", "-o", "list", "--resume"])
        .succeeds();
    let other = lines(&fs::read_to_string(&file).unwrap());
    assert_eq!(of(&other, "document").len(), 3);

    // What is refused fails it, unless that is allowed; and is never told as gone.
    world.revoke(library.shelves[2]).unwrap();
    library
        .stage
        .run(&["sync-point", "mnt/Library", "--max-age", "0s"])
        .fails(1);
    let refused = library.stage.run(&["manifest", "mnt/Library"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("Library/shelf 2"), "{refused:?}");
    let rows = library.manifest(&["--allow-denied"]);
    let refused = of(&rows, "folder");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (&refused[0]["path"], &refused[0]["readable"]),
        (&"Library/shelf 2".into(), &false.into())
    );
    assert_eq!(
        of(&rows, "document").len(),
        10,
        "what was known of it is still told"
    );
    assert_eq!(rows.last().unwrap()["complete"], true);
    let rights = library.changes("mnt/Library", &cursor);
    assert!(rights.iter().all(|row| row["change"] != "gone"), "{rights:?}");
    let fresh = ["sync-point", "mnt/Library", "--max-age", "0s", "--allow-denied"];
    library.stage.run(&fresh).succeeds();
    drop(library.running);
}

#[test]
fn a_manifest_needs_no_mount_no_server_and_can_be_shared_by_several() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let whole = library.manifest(&["--folders"]);
    // Of what is listed already nobody is asked.
    let asked = library.stage.server.request_log().len();
    assert_eq!(
        library.manifest(&["--folders"])[1..],
        whole[1..],
        "the same tree is the same list"
    );
    assert_eq!(library.stage.server.request_log().len(), asked);
    // Each row is in exactly one part.
    let mut parts = Vec::new();
    for number in 1..=3 {
        let part = library.manifest(&["--folders", "--shard", &format!("{number}/3")]);
        assert_eq!(part.last().unwrap()["documents"], 9);
        parts.extend(part.into_iter().filter(|row| row.get("guid").is_some()));
    }
    let key = |row: &Value| row["guid"].as_str().unwrap().to_owned();
    let mut all: Vec<Value> = whole
        .iter()
        .filter(|row| row.get("guid").is_some())
        .cloned()
        .collect();
    all.sort_by_key(key);
    parts.sort_by_key(key);
    assert_eq!(parts, all);
    // A table has the same in columns.
    let table = library
        .stage
        .run(&["manifest", "mnt/Library", "--format", "csv", "--folders"])
        .succeeds();
    let mut table = table.lines();
    let columns: Vec<&str> = table.next().unwrap().split(',').collect();
    let path = columns.iter().position(|column| *column == "path").unwrap();
    let paths: Vec<&str> = table.map(|line| line.split(',').nth(path).unwrap()).collect();
    let expected: Vec<&str> = whole[1..].iter().filter_map(|row| row["path"].as_str()).collect();
    assert_eq!(paths, expected);

    // Without a mount it is the same, but for where it begins.
    drop(library.running);
    let alone = lines(
        &library
            .stage
            .run(&["manifest", "Library", "--folders"])
            .succeeds(),
    );
    let rows = |rows: &[Value]| -> Vec<Value> {
        rows.iter()
            .filter(|row| row.get("guid").is_some())
            .cloned()
            .collect()
    };
    assert_eq!(rows(&alone), rows(&whole));
    // And of everything, paths begin at the top.
    let everything = library
        .stage
        .run(&["manifest", "--folders", "--allow-denied"])
        .succeeds();
    let everything = rows(&lines(&everything));
    for row in rows(&whole) {
        let same = everything
            .iter()
            .find(|other| other["guid"] == row["guid"])
            .unwrap();
        assert_eq!(same["path"], row["path"], "{same}");
    }
    // Whoever reads it may have seen enough, of lines and of a table.
    for format in ["ndjson", "csv"] {
        let mut command = library
            .stage
            .command(&["manifest", "--allow-denied", "--format", format]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let finished = child.wait_with_output().unwrap();
        assert!(finished.status.success(), "{format}: {finished:?}");
    }
}

#[test]
fn changes_are_told_of_a_part_with_what_comes_in_and_goes_out() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let world = library.stage.server.world();
    let inner = world.add_folder(Some(library.shelves[0]), "inner").unwrap();
    world.add_document(inner, "deep.txt", "deep").unwrap();
    let cursor = library.sync();
    let part = "mnt/Library/shelf 1";
    // A folder with what is below it comes in; another document of the part changes; then the folder goes out.
    world.move_folder(inner, Some(library.shelves[1])).unwrap();
    world
        .rename_document(library.documents[3], "renamed.txt")
        .unwrap();
    world
        .rename_document(library.documents[0], "elsewhere.txt")
        .unwrap();
    library.sync();
    let rows = library.changes(part, &cursor);
    let came: Vec<&Value> = rows
        .iter()
        .filter(|row| row["change"] == "move" || row.get("came_with").is_some())
        .collect();
    assert_eq!(came.len(), 2, "{rows:?}");
    assert_eq!(came[0]["path"], "Library/shelf 1/inner");
    assert!(came[0].get("old_path").is_none(), "{came:?}");
    assert_eq!(
        (&came[1]["change"], &came[1]["path"]),
        (&"add".into(), &"Library/shelf 1/inner/deep.txt".into())
    );
    assert_eq!(came[1]["came_with"], inner.to_string());
    // Whoever stops in between is told of the folder again.
    let from = came[0]["cursor"].as_str().unwrap();
    assert_eq!(
        library.changes(part, from)[..2],
        [came[0].clone(), came[1].clone()]
    );
    assert!(told(&rows).contains(&("rename".to_owned(), "renamed.txt".to_owned())));
    assert!(
        !told(&rows).iter().any(|(_, name)| name == "elsewhere.txt"),
        "{rows:?}"
    );

    let cursor = library.sync();
    world.move_folder(inner, Some(library.shelves[2])).unwrap();
    library.sync();
    let rows = library.changes(part, &cursor);
    let moved = rows.iter().find(|row| row["change"] == "move").unwrap();
    assert_eq!(
        (&moved["left"], &moved["old_path"]),
        (&true.into(), &"Library/shelf 1/inner".into())
    );
    assert!(moved.get("path").is_none(), "{moved}");

    // The part itself goes with the folder above it: whoever reads of the part alone hears of that, too.
    let cursor = library.sync();
    let follow = ["changes", "--path", part, "--since", &cursor, "--follow"];
    let mut following = library.stage.start(&follow);
    following.wait_for_line(|line| line.contains("caught_up"));
    world.delete_folder(library.top).unwrap();
    library
        .stage
        .run(&["sync-point", "mnt", "--max-age", "0s", "--allow-denied"])
        .succeeds();
    let gone = following.wait_for_line(|line| line.contains("\"gone\""));
    let gone: Value = serde_json::from_str(&gone).unwrap();
    assert_eq!(gone["guid"], library.shelves[1].to_string(), "{gone}");
    drop(following);
    drop(library.running);
}

#[test]
fn what_came_in_with_a_folder_and_left_it_before_anybody_read_of_that_is_told_with_all_that_is_below_it() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let world = library.stage.server.world();
    let outer = world.add_folder(Some(library.shelves[0]), "outer").unwrap();
    let inner = world.add_folder(Some(outer), "inner").unwrap();
    world.add_document(inner, "deep.txt", "deep").unwrap();
    let cursor = library.sync();
    world.move_folder(outer, Some(library.shelves[1])).unwrap();
    library.sync();
    world.move_folder(inner, Some(library.shelves[1])).unwrap();
    library.sync();
    let rows = library.changes("mnt/Library/shelf 1", &cursor);
    let of_both: Vec<(&str, &str, Option<&str>)> = rows
        .iter()
        .filter_map(|row| {
            let text = |member: &str| row.get(member)?.as_str();
            Some((text("change")?, text("name")?, text("came_with")))
        })
        .collect();
    let outer = outer.to_string();
    assert_eq!(
        of_both,
        [
            ("move", "outer", None),
            ("add", "inner", Some(&*outer)),
            ("add", "deep.txt", Some(&*outer)),
            ("move", "inner", None),
        ]
    );
    drop(library.running);
}

#[test]
fn what_is_below_a_refused_folder_is_passed_over_with_it() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let world = library.stage.server.world();
    let inner = world.add_folder(Some(library.shelves[1]), "inner").unwrap();
    world.add_document(inner, "deep.txt", "deep").unwrap();
    let cursor = library.sync();
    world.revoke(library.shelves[1]).unwrap();
    let args = ["sync-point", "mnt/Library", "--max-age", "0s"];
    let words = library.stage.run(&args).fails(1);
    assert!(words.contains("1 folder is not that fresh"), "{words}");
    library
        .stage
        .run(&[&args[..], &["--allow-denied"]].concat())
        .succeeds();
    // What was told of it stays, and it comes elsewhere as what it is.
    let rows = library.manifest(&["--folders", "--allow-denied", "--max-age", "1h"]);
    assert!(rows.iter().any(|row| row["name"] == "deep.txt"), "{rows:?}");
    world
        .move_folder(library.shelves[1], Some(library.shelves[0]))
        .unwrap();
    library
        .stage
        .run(&[&args[..], &["--allow-denied"]].concat())
        .succeeds();
    let rows = library.changes("mnt/Library/shelf 0", &cursor);
    let moved = rows.iter().find(|row| row["change"] == "move").unwrap();
    assert_eq!(moved["readable"], false, "{moved}");
    drop(library.running);
}

#[test]
fn a_sync_point_is_reached_when_what_moved_was_seen_where_it_went() {
    if !fuse_is_here() {
        return;
    }
    let knobs = Knobs {
        version_guids: VersionGuids::New,
        ..Knobs::default()
    };
    let library = Library::on(DemoOptions { knobs, ..small() });
    let world = library.stage.server.world();
    for round in 0..4 {
        let cursor = library.sync();
        let (from, to) = (round % 2, 1 - round % 2);
        // Both folders are asked at once, and neither shows it: the one says that it went to the other.
        let name = format!("moving {round}.txt");
        let document = world.add_document(library.shelves[from], &name, "first").unwrap();
        let cursor_with_it = library.sync();
        assert!(told(&library.changes("mnt/Library", &cursor)).contains(&("add".to_owned(), name.clone())));
        world.move_document(document, library.shelves[to]).unwrap();
        world
            .rename_document(document, &format!("renamed {round}.txt"))
            .unwrap();
        let newer = world.new_version(document, "second").unwrap();
        world.delete_document(newer).unwrap();
        library.sync();
        let gone = ("gone".to_owned(), name);
        let rows = library.changes("mnt/Library", &cursor_with_it);
        assert!(told(&rows).contains(&gone), "round {round}: {rows:?}");
    }
    drop(library.running);
}

#[test]
fn a_cursor_survives_a_remount_and_a_deleted_cache_and_a_foreign_one_is_refused() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let cursor = library.sync();
    let world = library.stage.server.world();
    world.delete_document(library.documents[0]).unwrap();
    // Stopped, with everything in the cache taken away.
    library.running.signal(rustix::process::Signal::TERM);
    library.running.finish();
    let cache = library
        .stage
        .files()
        .into_keys()
        .find(|path| path.ends_with("catalog.sqlite"))
        .unwrap();
    let cache = cache.parent().and_then(|dir| dir.parent()).unwrap().to_owned();
    fs::remove_dir_all(library.stage.home.path().join(&cache)).unwrap();
    world
        .rename_document(library.documents[1], "renamed.txt")
        .unwrap();
    fs::remove_dir(&library.dir).unwrap();
    let (running, _dir) = mount(&library.stage, &["--preset", "pipeline"]);
    library
        .stage
        .run(&["sync-point", "mnt/Library", "--max-age", "0s"])
        .succeeds();
    let path = ["changes", "--path", "mnt", "--since", &cursor];
    let rows = lines(&library.stage.run(&path).succeeds());
    let rows: Vec<Value> = rows
        .into_iter()
        .filter(|row| {
            row.get("change").is_some()
                && row["kind"] == "document"
                && row["path"]
                    .as_str()
                    .is_some_and(|path| path.starts_with("Library"))
        })
        .collect();
    let expected = [("gone", "0-0.txt"), ("rename", "renamed.txt")];
    assert_eq!(
        told(&rows),
        expected.map(|(change, name)| (change.into(), name.into())).into(),
        "{rows:?}"
    );
    // Another journal's, and one that is ahead.
    let ahead = format!("{}.999999", cursor.split_once('.').unwrap().0);
    for cursor in ["0000000000000000.1", &ahead] {
        let refused = library
            .stage
            .run(&["changes", "--path", "mnt", "--since", cursor]);
        assert_eq!(refused.code, Some(75), "{refused:?}");
        let last = lines(&refused.stdout).pop().unwrap();
        assert_eq!(last["resync"], true, "{last}");
    }
    drop(running);
}

#[test]
fn where_the_journal_was_lost_everything_is_listed_anew_before_a_manifest_is_complete() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let cursor = library.sync();
    library.running.signal(rustix::process::Signal::TERM);
    library.running.finish();
    let home = library.stage.home.path();
    let files = library.stage.files();
    let lost = files
        .keys()
        .filter(|path| path.to_string_lossy().contains("journal-v1"));
    for path in lost {
        fs::remove_file(home.join(path)).unwrap();
    }
    library
        .stage
        .server
        .world()
        .delete_document(library.documents[0])
        .unwrap();
    fs::remove_dir(&library.dir).unwrap();
    let (running, _dir) = mount(&library.stage, &["--metadata-ttl", "1h"]);
    let rows = lines(&library.stage.run(&["manifest", "mnt/Library"]).succeeds());
    let end = rows.last().unwrap();
    // The catalog still had the document; but of what it knows nothing had been told.
    assert_eq!((&end["complete"], &end["documents"]), (&true.into(), &8.into()));
    let told = library.stage.run(&[
        "changes",
        "--path",
        "mnt",
        "--since",
        end["cursor"].as_str().unwrap(),
    ]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let refused = library
        .stage
        .run(&["changes", "--path", "mnt", "--since", &cursor]);
    assert_eq!(refused.code, Some(75), "{refused:?}");
    drop(running);
}

#[test]
fn a_sync_point_returns_when_everything_was_asked_for_in_time_and_says_what_was_not() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    library.sync();
    let listings = || {
        let requests = library.stage.server.request_log();
        requests
            .iter()
            .filter(|request| request.kind == RequestKind::ListDocuments)
            .count()
    };
    // What is fresh enough is not asked for; what is to be newer is.
    let before = listings();
    library
        .stage
        .run(&["sync-point", "mnt/Library", "--max-age", "1h"])
        .succeeds();
    assert_eq!(listings(), before);
    let report = library
        .stage
        .run(&["--json", "sync-point", "mnt/Library", "--max-age", "0s"])
        .succeeds();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["fresh"], &report["folders"]), (&true.into(), &4.into()));
    assert!(listings() >= before + 4);
    // A silent server is waited for as long as is wanted, and never taken to be fresh.
    library
        .stage
        .server
        .inject(Fault::everywhere(Effect::HangAfterAccept).about(library.shelves[1]));
    let late = ["sync-point", "mnt/Library", "--max-age", "0s", "--timeout", "2s"];
    let words = library.stage.run(&late).fails(75);
    assert!(words.contains("Library/shelf 1"), "{words}");
    library.stage.server.clear_faults();
    library
        .stage
        .run(&["sync-point", "mnt/Library", "--max-age", "0s"])
        .succeeds();
    // Following goes on with the mount, and ends with it.
    let cursor = library.sync();
    let mut following = library
        .stage
        .start(&["changes", "--path", "mnt", "--since", &cursor, "--follow"]);
    following.wait_for_line(|line| line.contains("caught_up"));
    library
        .stage
        .server
        .world()
        .add_document(library.shelves[0], "late.txt", "late")
        .unwrap();
    library.sync();
    following.wait_for_line(|line| line.contains("late.txt"));
    following.wait_for_line(|line| line.contains("caught_up"));
    library.running.signal(rustix::process::Signal::TERM);
    library.running.finish();
    following.finish().succeeds();
}

#[test]
fn a_login_that_ends_fails_what_needs_it_and_a_new_one_is_enough() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let cursor = library.sync();
    library.stage.server.revoke_all_tokens();
    library
        .stage
        .server
        .world()
        .delete_document(library.documents[0])
        .unwrap();
    let sync = ["sync-point", "mnt/Library", "--max-age", "0s"];
    let words = library.stage.run(&sync).fails(77);
    assert!(words.contains("pwfs login"), "{words}");
    // What was listed and told is there without a login; nothing is told of what nobody has seen.
    let rows = library.manifest(&[]);
    assert_eq!(of(&rows, "document").len(), 9);
    assert!(library.changes("mnt/Library", &cursor).is_empty());
    library.stage.sign_in();
    library.stage.run(&sync).succeeds();
    let gone = library.changes("mnt/Library", &cursor);
    let documents: Vec<&Value> = gone.iter().filter(|row| row["kind"] == "document").collect();
    assert_eq!(documents.len(), 1, "{gone:?}");
    assert_eq!(documents[0]["reason"], "deleted");
    drop(library.running);
}

#[test]
fn a_cache_deleted_under_a_running_mount_is_led_anew_and_its_changes_go_on() {
    if !fuse_is_here() {
        return;
    }
    let library = Library::new();
    let cursor = library.sync();
    let home = library.stage.home.path();
    fs::remove_dir_all(home.join(".cache/pwfs/catalog-v1")).unwrap();
    library
        .stage
        .server
        .world()
        .delete_document(library.documents[0])
        .unwrap();
    // Somebody looks, as somebody always does; nobody can be asked for a sync point before that.
    crate::program::until("the cache is led again", || {
        let _ = fs::read_dir(library.dir.join("Library")).map(Iterator::count);
        let sync = ["sync-point", "mnt/Library", "--max-age", "0s"];
        library.stage.run(&sync).code == Some(0)
    });
    let gone = library.changes("mnt/Library", &cursor);
    let documents: Vec<&Value> = gone.iter().filter(|row| row["kind"] == "document").collect();
    assert_eq!(documents.len(), 1, "{gone:?}");
    assert_eq!(documents[0]["change"], "gone");
    drop(library.running);
}
