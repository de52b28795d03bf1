//! `mount`, `unmount`, `mounts` and `demo`, and every option of `mount`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pwfs::demo::{Effect, Fault, RequestKind};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage, mode, nowhere, until};

const PROJECT: &str = "Leven Estuary Crossing";

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can be somebody else");
    }
    root
}

/// Makes a directory in the home of the stage and mounts there; returns when the mount answers.
fn mount(stage: &Stage, name: &str, args: &[&str]) -> (Running, PathBuf) {
    let dir = stage.home.path().join(name);
    // A dead mount there cannot be looked at; it is there all the same.
    if fs::create_dir(&dir).is_ok() {
        let owner = fs::metadata(stage.home.path()).unwrap();
        std::os::unix::fs::chown(&dir, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let mut all = vec!["mount"];
    all.extend(args);
    all.push(name);
    let mut running = stage.start(&all);
    running.wait_for_line(|line| line.contains("is mounted at"));
    (running, dir)
}

fn names(dir: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().into_string().unwrap()))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().copied().map(str::to_owned).collect()
}

/// A document of the demo by the folders above it and its file name.
fn content(stage: &Stage, path: &[&str]) -> Vec<u8> {
    let world = stage.server.world();
    let (file, folders) = path.split_last().unwrap();
    let documents = world.documents();
    let found = documents
        .iter()
        .find(|d| d.active && d.path == folders && d.file_name.as_deref() == Some(file));
    world.content(found.unwrap().guid).unwrap().to_vec()
}

const DRAWING: [&str; 3] = ["Company Standards", "CAD Blocks", "STD-BLK-0001.dxf"];

#[test]
fn a_mount_is_read_listed_and_unmounted() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let url = stage.server.datasource_url();
    // The URL alone is enough, whatever the profile names.
    let config = fs::read_to_string(stage.config_file()).unwrap();
    let without: Vec<&str> = config
        .lines()
        .filter(|line| !line.starts_with("datasource"))
        .collect();
    fs::write(stage.config_file(), without.join("\n")).unwrap();

    let (running, dir) = mount(&stage, "a b", &[&url]);
    assert_eq!(names(&dir).unwrap().len(), 3);
    assert_eq!(
        fs::read(dir.join(DRAWING.join("/"))).unwrap(),
        content(&stage, &DRAWING)
    );

    let shown = dir.display().to_string();
    let listed = stage.run(&["mounts"]).succeeds();
    let line = listed.lines().find(|line| line.starts_with(&shown)).unwrap();
    assert!(line.contains("projectwise:"), "{line}");
    let json: Value = serde_json::from_str(&stage.run(&["mounts", "--json"]).succeeds()).unwrap();
    let row = json
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["mountpoint"] == shown)
        .unwrap();
    assert_eq!(row["state"], "mounted");

    let words = stage.run(&["mount", &url, "a b"]).fails(2);
    assert!(words.contains("ProjectWise is mounted at"), "{words}");
    assert!(
        words.contains(&format!("Hint: `pwfs unmount '{shown}'` ends it")),
        "{words}"
    );

    assert_eq!(
        stage.run(&["unmount", "a b"]).succeeds(),
        format!("{shown} is unmounted\n")
    );
    let said = running.finish().succeeds();
    assert!(said.ends_with("Press Ctrl-C to unmount.\n"), "{said}");
    assert_eq!(names(&dir).unwrap(), set(&[]));
    assert_eq!(
        stage.run(&["unmount", "a b"]).succeeds(),
        format!("nothing is mounted at {shown}\n")
    );
    assert!(!stage.run(&["mounts"]).succeeds().contains(&shown));
}

#[test]
fn signals_unmount_and_end_in_success() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (running, dir) = mount(&stage, "mnt", &["--foreground"]);
        assert_eq!(names(&dir).unwrap().len(), 3);
        running.signal(signal);
        running.finish().succeeds();
        assert_eq!(names(&dir).unwrap(), set(&[]), "{signal:?}");
    }
}

#[test]
fn a_mount_ends_whoever_ends_it_and_whoever_uses_it() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let (running, dir) = mount(&stage, "mnt", &[]);
    let other = stage.other_program("fusermount3", &["-u", dir.to_str().unwrap()]);
    Running::spawn(other).finish().succeeds();
    running.finish().succeeds();

    let (running, dir) = mount(&stage, "mnt", &[]);
    let _held = fs::File::open(dir.join(DRAWING.join("/"))).unwrap();
    running.signal(Signal::TERM);
    let done = running.finish();
    assert!(done.stderr.contains("was still in use"), "{done:?}");
    done.succeeds();
    assert_eq!(names(&dir).unwrap(), set(&[]));
}

#[test]
fn a_mount_whose_process_was_killed_is_shown_and_cleared() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let dead = || {
        let (running, dir) = mount(&stage, "mnt", &[]);
        running.signal(Signal::KILL);
        assert_eq!(running.finish().code, None);
        let listed = stage.run(&["mounts"]).succeeds();
        let shown = dir.display().to_string();
        let line = listed.lines().find(|line| line.starts_with(&shown)).unwrap();
        assert!(
            line.ends_with("(its process is gone; `pwfs unmount` clears it)"),
            "{line}"
        );
        (dir, shown)
    };
    let (dir, shown) = dead();
    let said = stage.run(&["unmount", "mnt"]).succeeds();
    assert_eq!(said, format!("{shown} is unmounted\n"));
    assert_eq!(names(&dir).unwrap(), set(&[]));

    dead();
    let (_running, dir) = mount(&stage, "mnt", &[]);
    assert_eq!(
        names(&dir).unwrap().len(),
        3,
        "a new mount takes the place of the dead one"
    );
}

#[test]
fn a_mount_whose_reader_has_gone_goes_on_and_a_demo_ends() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let dir = stage.home.path().join("mnt");
    fs::create_dir(&dir).unwrap();
    let running = Running::spawn_unread(stage.command(&["mount", "mnt"]));
    until("it is mounted", || {
        names(&dir).is_ok_and(|names| names.len() == 3)
    });
    stage.run(&["unmount", "mnt"]).succeeds();
    let done = running.finish();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));

    // The demo is there to be looked at: it ends, and takes its mount along.
    let mut command = stage.command(&["demo", "shown"]);
    command.env("TMPDIR", stage.home.path());
    let done = Running::spawn_unread(command).finish();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert!(!stage.home.path().join("shown").exists());
}

#[test]
fn programs_are_told_in_json() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let dir = stage.home.path().join("mnt");
    fs::create_dir(&dir).unwrap();
    let mut running = stage.start(&["mount", "--json", "mnt"]);
    running.wait_for_line(|line| line == "}\n");
    let json = stage.run(&["unmount", "--json", "mnt"]).succeeds();
    let row: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["mountpoint"], dir.display().to_string());
    assert_eq!(row["state"], "unmounted");
    let said: Value = serde_json::from_str(&running.finish().succeeds()).unwrap();
    assert_eq!(said["state"], "mounted");
    let json = stage.run(&["unmount", "--json", "mnt"]).succeeds();
    let row: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["state"], "not mounted");
}

#[test]
fn chosen_folders_are_at_the_top_by_path_guid_alias_profile_or_url() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let world = stage.server.world();
    let blocks = world
        .folders()
        .iter()
        .find(|folder| folder.path == ["Company Standards", "CAD Blocks"])
        .unwrap()
        .guid
        .to_string();
    let design = format!("{PROJECT}/03 Design");
    let in_place = |args: &[&str], wanted: &[&str]| {
        let (running, dir) = mount(&stage, "mnt", args);
        assert_eq!(names(&dir).unwrap(), set(wanted));
        running.signal(Signal::TERM);
        running.finish().succeeds();
    };
    let (drawings, aliased) = (format!("{design}=Drawings"), format!("{blocks}=Blocks"));
    in_place(
        &["--folder", &drawings, "--folder", &blocks],
        &["Drawings", "CAD Blocks"],
    );
    in_place(
        &["--folder", &design, "--folder", &aliased],
        &["03 Design", "Blocks"],
    );
    let deep = format!("{}/PW_WSG/Project/{blocks}", stage.server.datasource_url());
    in_place(&["--datasource", &deep], &["CAD Blocks"]);
    in_place(&[&deep], &["CAD Blocks"]);
    let text = fs::read_to_string(stage.config_file()).unwrap();
    let chosen = format!("\n[[profiles.default.folders]]\nfolder = \"{design}\"\nalias = \"D\"\n");
    fs::write(stage.config_file(), text + &chosen).unwrap();
    in_place(&[], &["D"]);
    in_place(&["--folder", "Company Standards"], &["Company Standards"]);

    let missing = format!("{PROJECT}/03 Desing");
    let words = stage.run(&["mount", "mnt", "--folder", &missing]).fails(1);
    assert!(
        words.contains("there is no folder \"03 Desing\" in \"Leven Estuary Crossing\""),
        "{words}"
    );
    assert!(words.contains("`pwfs folders`"), "{words}");
    let words = stage
        .run(&["mount", "mnt", "--folder", &design, "--folder", &drawings])
        .fails(2);
    assert!(words.contains("chosen twice"), "{words}");
    stage.run(&["mount", "mnt", "--folder", "/"]).fails(2);
    assert_eq!(names(&stage.home.path().join("mnt")).unwrap(), set(&[]));
}

#[test]
fn owner_and_permission_bits_are_as_asked() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let file = Path::new(DRAWING[0]).join(DRAWING[1]).join(DRAWING[2]);
    let (_running, dir) = mount(&stage, "plain", &[]);
    let me = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let owner = |path: &Path| fs::metadata(path).map(|m| (m.uid(), m.gid())).unwrap();
    assert_eq!((owner(&dir), owner(&dir.join(&file))), (me, me));
    assert_eq!((mode(&dir), mode(&dir.join(&file))), (0o555, 0o444));

    let (_running, dir) = mount(&stage, "modes", &["--file-mode", "0400", "--dir-mode", "0500"]);
    assert_eq!((mode(&dir), mode(&dir.join(&file))), (0o500, 0o400));
    for wrong in ["0644", "9", "4444"] {
        let words = stage.run(&["mount", "modes", "--file-mode", wrong]).fails(2);
        assert!(words.contains("--file-mode"), "{words}");
    }
    if is_root() {
        let (_running, dir) = mount(&stage, "owned", &["--uid", "12345", "--gid", "23456"]);
        assert_eq!(owner(&dir), (12345, 23456));
        assert_eq!(owner(&dir.join(&file)), (12345, 23456));
    }
}

#[test]
fn documents_without_a_file_are_hidden_or_empty() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let general = format!("{PROJECT}/00 General");
    let (_hiding, hidden) = mount(&stage, "hidden", &["--placeholders", "hide"]);
    let (_showing, shown) = mount(&stage, "shown", &["--placeholders", "empty"]);
    let (hidden, shown) = (names(&hidden.join(&general)).unwrap(), shown.join(&general));
    assert_eq!(hidden.len(), 3, "{hidden:?}");
    let more: Vec<String> = names(&shown).unwrap().difference(&hidden).cloned().collect();
    assert!(more.iter().any(|name| name.starts_with("doc00001")), "{more:?}");
    for name in more {
        assert_eq!(fs::read(shown.join(name)).unwrap(), b"");
    }
}

#[test]
fn contents_are_kept_where_asked() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let (usual, elsewhere) = (
        stage.home.path().join(".cache/pwfs"),
        stage.home.path().join("kept"),
    );
    let (_running, dir) = mount(&stage, "mnt", &["--cache-dir", "kept"]);
    fs::read(dir.join(DRAWING.join("/"))).unwrap();
    assert!(!usual.exists());
    assert_eq!(mode(&elsewhere), 0o700);
    let holds = |dir: &Path| {
        let wanted = content(&stage, &DRAWING);
        // Reading the mount itself again would be no proof.
        // What is on its way to its place may leave between the walk and the read.
        walk(dir)
            .iter()
            .any(|path| fs::read(path).is_ok_and(|bytes| bytes == wanted))
    };
    assert!(holds(&elsewhere));
    let (_running, dir) = mount(&stage, "second", &[]);
    fs::read(dir.join(DRAWING.join("/"))).unwrap();
    assert!(holds(&usual));

    fs::write(stage.home.path().join("in-the-way"), "").unwrap();
    fs::create_dir(stage.home.path().join("third")).unwrap();
    let words = stage
        .run(&["mount", "third", "--cache-dir", "in-the-way"])
        .fails(73);
    assert!(
        words.contains("Hint: choose another directory with --cache-dir"),
        "{words}"
    );
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn answers_are_as_fresh_as_asked() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let all = [
        ("ttl", ["--metadata-ttl", "1s"].as_slice()),
        ("strict", &["--freshness", "strict"]),
        ("balanced", &["--freshness", "balanced"]),
        ("archive", &["--freshness", "archive"]),
        ("plain", &[]),
    ]
    .map(|(name, args)| mount(&stage, name, args));
    let world = stage.server.world();
    let folders = world.folders();
    let blocks = folders.iter().find(|folder| folder.path == DRAWING[..2]).unwrap();
    let before = set(&[DRAWING[2]]);
    let list = |mounted: &(Running, PathBuf)| names(&mounted.1.join(DRAWING[..2].join("/"))).unwrap();
    for mounted in &all {
        assert_eq!(list(mounted), before);
    }
    world.add_document(blocks.guid, "new.txt", "new\n").unwrap();
    let after = set(&[DRAWING[2], "new.txt"]);
    for mounted in &all[..2] {
        until("the new document shows", || list(mounted) == after);
    }
    // What one mount has seen the others of the account have, too, and ask nobody for it.
    for mounted in &all[2..] {
        until("the others show it", || list(mounted) == after);
    }
    let words = stage
        .run(&["mount", "x", "--freshness", "strict", "--metadata-ttl", "1s"])
        .fails(2);
    assert!(words.contains("cannot be used with"), "{words}");
    stage.run(&["mount", "x", "--metadata-ttl", "soon"]).fails(2);
}

#[test]
fn an_outage_shows_what_was_or_an_error_as_asked() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let (_keeping, calm) = mount(&stage, "stale", &["--metadata-ttl", "1s"]);
    let (_failing, fail) = mount(&stage, "fail", &["--metadata-ttl", "1s", "--on-outage", "fail"]);
    let list = |dir: &Path| names(&dir.join(PROJECT));
    let before = list(&calm).unwrap();
    assert_eq!(list(&fail).unwrap(), before);
    assert!(before.len() > 5);

    stage.server.inject(Fault::everywhere(Effect::DropConnection));
    stage.server.reset_counters();
    until("the server is asked again", || {
        assert_eq!(list(&calm).unwrap(), before);
        stage.server.requests().total > 0
    });
    assert_eq!(list(&calm).unwrap(), before);
    until("the outage is an error", || match list(&fail) {
        Ok(names) => {
            assert_eq!(names, before);
            false
        }
        Err(error) => {
            assert_ne!(error.kind(), io::ErrorKind::NotFound);
            true
        }
    });
    stage.server.clear_faults();
    until("the server is back", || match list(&fail) {
        Ok(names) => names == before,
        Err(_) => false,
    });
}

#[test]
fn a_mount_begins_without_its_server_and_shows_what_it_knows() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let (running, dir) = mount(&stage, "mnt", &[]);
    let root = names(&dir).unwrap();
    let before = names(&dir.join(PROJECT)).unwrap();
    stage.run(&["unmount", "mnt"]).succeeds();
    running.finish().succeeds();

    // Nothing answers any more; what was listed is shown, at the root and below.
    stage.server.inject(Fault::everywhere(Effect::DropConnection));
    let (running, dir) = mount(&stage, "mnt", &["--metadata-ttl", "1s"]);
    assert_eq!(names(&dir).unwrap(), root);
    assert_eq!(names(&dir.join(PROJECT)).unwrap(), before);
    // And it recovers by itself.
    let world = stage.server.world();
    let project = world.folder_at(&[PROJECT]).unwrap();
    world.add_folder(Some(project), "New").unwrap();
    stage.server.clear_faults();
    until("the new folder shows", || {
        names(&dir.join(PROJECT)).is_ok_and(|names| names.contains("New"))
    });
    stage.run(&["unmount", "mnt"]).succeeds();
    running.finish().succeeds();
}

#[test]
fn a_mount_that_began_for_another_account_than_the_server_sees_ends() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let (running, _) = mount(&stage, "mnt", &[]);
    stage.run(&["unmount", "mnt"]).succeeds();
    running.finish().succeeds();

    // The server has come to see somebody else in the same login, as where an administrator mapped it anew.
    let starts = stage.home.path().join(".cache/pwfs/starts-v1");
    let start = fs::read_dir(&starts).unwrap().next().unwrap().unwrap().path();
    let remembered = fs::read_to_string(&start).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&remembered).unwrap();
    other["account"] = "user of another time".into();
    fs::write(&start, other.to_string()).unwrap();
    // It has nothing of that account, so that it can only begin once its root was listed; and it is found out by then.
    let hold = stage
        .server
        .inject(Fault::on(RequestKind::User, Effect::HangAfterAccept));
    let mut running = stage.start(&["mount", "mnt"]);
    running.wait_for_line(|line| line.contains("is mounted at"));
    stage.server.clear_fault(hold);
    let finished = running.finish();
    assert_eq!(finished.code, Some(75), "{}", finished.all());
    assert!(
        finished.stderr.contains("the server sees another account"),
        "{}",
        finished.all()
    );
}

#[test]
fn other_users_get_in_only_where_asked() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let stage = Stage::signed_in(small());
    // The way to the mounts is open; the login's directories are closed by their own bits.
    fs::set_permissions(
        stage.home.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let nobody = Stage::of_nobody();
    let ls = |dir: &Path| {
        let command = nobody.other_program("ls", &[dir.to_str().unwrap()]);
        Running::spawn(command).finish().code
    };
    let (_running, closed) = mount(&stage, "closed", &[]);
    assert_ne!(ls(&closed), Some(0));
    let (_running, open) = mount(&stage, "open", &["--allow-other"]);
    assert_eq!((mode(&open), mode(&open.join(DRAWING.join("/")))), (0o550, 0o440));
    assert_ne!(ls(&open), Some(0), "the bits keep strangers out");
    let (_running, group) = mount(&stage, "group", &["--allow-other", "--gid", "65534"]);
    assert_eq!(ls(&group), Some(0));
}

#[test]
fn what_cannot_be_mounted_is_explained() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let dir = |name: &str| stage.home.path().join(name);
    fs::create_dir(dir("full")).unwrap();
    fs::write(dir("full/kept"), "x").unwrap();
    fs::create_dir(dir("empty")).unwrap();
    fs::write(dir("file"), "").unwrap();
    for (place, wanted) in [
        ("missing", "Hint: make it: mkdir -p '"),
        ("missing/deeper", "does not exist"),
        ("full", "is not empty"),
        ("file", "is not a directory"),
        ("/proc", "another file system (proc)"),
    ] {
        let words = stage.run(&["mount", place]).fails(2);
        assert!(words.contains(wanted), "{words}");
    }
    let words = stage.run(&["unmount", "/proc"]).fails(2);
    assert!(words.contains("another file system (proc)"), "{words}");
    assert_eq!(names(&dir("full")).unwrap(), set(&["kept"]));

    let words = stage.run(&["mount", "not-a-url", "empty"]).code;
    assert!(matches!(words, Some(2 | 69)), "{words:?}");
    stage.run(&["mount", "ftp://server/ws", "empty"]).fails(2);
    let down = format!(
        "{}/ws/v2.8/Repositories/{}",
        nowhere(),
        stage.server.repository_id()
    );
    let words = stage.run(&["mount", &down, "empty"]).fails(69);
    assert!(words.contains("firewall"), "{words}");
    stage.run(&["logout"]).succeeds();
    let words = stage.run(&["mount", "empty"]).fails(77);
    assert!(words.contains("Hint: run `pwfs login`"), "{words}");
    stage.run(&["mount", "empty", "--profile", "other"]).fails(78);
    assert_eq!(names(&dir("empty")).unwrap(), set(&[]));
}

#[test]
fn an_ordinary_user_mounts_reads_and_unmounts() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    if mode(Path::new("/dev/fuse")) & 0o006 != 0o006 {
        eprintln!("skipped: /dev/fuse is closed to ordinary users");
        return;
    }
    let stage = Stage::of_nobody();
    stage.sign_in();
    assert_eq!(fs::metadata(stage.login_file()).unwrap().uid(), 65_534);
    let (running, dir) = mount(&stage, "mnt", &[]);
    let file = dir.join(DRAWING.join("/"));
    let cat = stage.other_program("cat", &[file.to_str().unwrap()]);
    let read = Running::spawn(cat).finish().succeeds();
    assert_eq!(read.as_bytes(), content(&stage, &DRAWING));
    stage.run(&["unmount", "mnt"]).succeeds();
    running.finish().succeeds();

    if !fs::read_to_string("/etc/fuse.conf")
        .unwrap_or_default()
        .lines()
        .any(|line| line.trim() == "user_allow_other")
    {
        let words = stage.run(&["mount", "mnt", "--allow-other"]).fails(1);
        assert!(
            words.contains("add the line `user_allow_other` to /etc/fuse.conf"),
            "{words}"
        );
    }
    let mut check = stage.command(&["demo", "--check", "--documents", "110"]);
    check.env("TMPDIR", stage.home.path());
    check_line(&Running::spawn(check).finish().succeeds());
    assert!(!stage.home.path().join("projectwise-demo").exists());
}

/// `demo --check` says one line, and nothing differs.
fn check_line(said: &str) {
    assert_eq!(said.lines().count(), 1, "{said}");
    let fields: Vec<(&str, &str)> = said
        .split_whitespace()
        .map(|field| field.split_once('=').unwrap())
        .collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["documents", "bytes", "mismatches", "requests", "erofs"],
        "{said}"
    );
    assert!(said.contains(" mismatches=0 "), "{said}");
    assert!(fields[0].1.parse::<usize>().unwrap() > 50, "{said}");
}

#[test]
fn the_demo_checks_itself_and_leaves_nothing_behind() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::new();
    let demo = |args: &[&str]| {
        let mut command = stage.command(args);
        command.env("TMPDIR", stage.home.path());
        Running::spawn(command)
    };
    check_line(
        &demo(&["demo", "--check", "--documents", "110"])
            .finish()
            .succeeds(),
    );
    let json = demo(&[
        "demo",
        "--check",
        "--documents",
        "110",
        "--json",
        "place",
        "--version-guids",
        "new",
    ]);
    let json: Value = serde_json::from_str(&json.finish().succeeds()).unwrap();
    assert_eq!(
        (&json["passed"], &json["erofs"]),
        (&true.into(), &json["attempts"])
    );

    let mut shown = demo(&["demo", "there"]);
    let mounted = shown.wait_for_line(|line| line.starts_with("Mounted "));
    assert!(mounted.contains("/there  (read-only)"), "{mounted}");
    shown.wait_for_line(|line| line.starts_with("Press Ctrl-C"));
    assert_eq!(names(&stage.home.path().join("there")).unwrap().len(), 3);
    shown.signal(Signal::INT);
    let said = shown.finish().succeeds();
    assert!(said.ends_with("Unmounted; nothing is left behind.\n"), "{said}");

    let mut shown = demo(&["demo", "there", "--json"]);
    shown.wait_for_line(|line| line == "}\n");
    shown.signal(Signal::TERM);
    let json: Value = serde_json::from_str(&shown.finish().succeeds()).unwrap();
    assert_eq!(
        json["mountpoint"],
        stage.home.path().join("there").display().to_string()
    );
    assert_eq!(stage.files().len(), 0, "{:?}", stage.files().keys());
    assert_eq!(names(stage.home.path()).unwrap(), set(&[]));
}
