//! A running mount and its login: lost, told once, shown, and healed by whatever a person does about it. By the program
//! itself, and real mounts.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pwfs::demo::RequestKind;
use rustix::process::Signal;
use serde_json::Value;

use super::{ForcedUnmount, PROJECT, fuse_is_here, is_root};
use crate::harness::small;
use crate::program::{Finished, Running, Stage, mode, until, visit};

/// Read before the login is lost, by every test.
const CACHED: &str = "Company Standards/CAD Blocks/STD-BLK-0001.dxf";
/// Never read before the login is lost.
const UNCACHED: &str = "Leven Estuary Crossing/00 General/LEC-GEN-RPT-0001.pdf";

/// What the log says once for each loss, and once for each end of it.
const LOST: &str = "the login does not work any more";
const BACK: &str = "the login works again";

/// A mount by the program; taken away when the test ends, whatever it does.
pub(super) struct Mount {
    pub(super) running: Running,
    pub(super) dir: PathBuf,
    /// What is in the one document that was read.
    cached: Vec<u8>,
    _forced: ForcedUnmount,
}

impl Mount {
    pub(super) fn new(stage: &Stage, name: &str, args: &[&str]) -> Self {
        let mut all = vec!["mount"];
        all.extend(args);
        all.push(name);
        Self::by(stage, name, Running::spawn(stage.command(&all)))
    }

    /// A mount that `running` makes at `name`; returns when it answers, with one document read.
    pub(super) fn by(stage: &Stage, name: &str, mut running: Running) -> Self {
        let dir = stage.home.path().join(name);
        running.wait_for_line(|line| line.contains("is mounted at"));
        let forced = ForcedUnmount(dir.clone());
        let cached = fs::read(dir.join(CACHED)).unwrap();
        assert!(!cached.is_empty());
        names(dir.join(UNCACHED).parent().unwrap()).unwrap();
        Self {
            running,
            dir,
            cached,
            _forced: forced,
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let mut value = vec![0; 4096];
        let name = format!("user.projectwise.{name}");
        let length = rustix::fs::getxattr(&self.dir, name, &mut value[..]).ok()?;
        Some(String::from_utf8(value[..length].to_vec()).unwrap())
    }

    /// How the login is, as the root tells.
    pub(super) fn state(&self) -> String {
        self.attribute("login").unwrap()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(path))
    }

    /// Waits until the log says that the login works; nothing of the mount is touched for it.
    pub(super) fn wait_until_it_works(&mut self) {
        self.running.wait_for_line(|line| line.contains(BACK));
    }

    /// Unmounts; returns everything that was said.
    pub(super) fn end(self) -> String {
        self.running.signal(Signal::TERM);
        let said: Finished = self.running.finish();
        assert_eq!(said.code, Some(0), "{said:#?}");
        said.stderr
    }
}

/// Directories to mount on.
pub(super) fn directories(stage: &Stage, names: &[&str]) {
    for name in names {
        fs::create_dir(stage.home.path().join(name)).unwrap();
    }
}

fn names(dir: &Path) -> io::Result<BTreeSet<String>> {
    fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().into_string().unwrap()))
        .collect()
}

/// A stage that is signed in with the web app, whose secret is in `secret`.
fn signed_in_with_a_secret() -> Stage {
    let stage = Stage::new();
    fs::write(stage.home.path().join("secret"), stage.server.web_client().1).unwrap();
    let mut args = stage.web_app();
    args.extend(["--client-secret-file", "secret"].map(str::to_owned));
    stage.login(&args).succeeds();
    let config = fs::read_to_string(stage.config_file()).unwrap();
    let datasource = format!("datasource = {:?}\n", stage.server.datasource_url());
    fs::write(stage.config_file(), config + &datasource).unwrap();
    stage
}

#[track_caller]
fn assert_key_expired<T: std::fmt::Debug>(outcome: io::Result<T>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EKEYEXPIRED), "{error}");
}

/// What `pwfs status DIR --json` says of one mount, and its exit status.
fn status(stage: &Stage, mount: &Mount) -> (Value, Option<i32>) {
    let said = stage.run(&["status", "--json", mount.dir.to_str().unwrap()]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:#?}"));
    let rows = &told["mounts"];
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    (rows[0].clone(), said.code)
}

fn count(said: &str, what: &str) -> usize {
    said.lines().filter(|line| line.contains(what)).count()
}

#[test]
fn a_lost_login_leaves_the_mount_up_and_a_new_one_heals_it_with_nobody_reading() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    directories(&stage, &["stale", "fail"]);
    let mut stale = Mount::new(&stage, "stale", &["--metadata-ttl", "1s"]);
    let mut fail = Mount::new(&stage, "fail", &["--metadata-ttl", "1s", "--on-outage", "fail"]);
    let before = names(&stale.dir.join(PROJECT)).unwrap();
    assert_eq!(names(&fail.dir.join(PROJECT)).unwrap(), before);
    for mount in [&stale, &fail] {
        assert_eq!(mount.state(), "good");
        assert_eq!(mount.attribute("profile").as_deref(), Some("default"));
        assert_eq!(
            (mount.attribute("login_detail"), mount.attribute("login_remedy")),
            (None, None)
        );
    }

    let mut held = fs::File::open(fail.dir.join(CACHED)).unwrap();
    stage.server.revoke_all_tokens();
    until("the loss is noticed", || {
        let outcome = names(&fail.dir.join(PROJECT));
        let is_lost = outcome.is_err();
        if is_lost {
            assert_key_expired(outcome);
        }
        is_lost
    });
    until("the other mount notices it, too", || {
        // Old listings answer; this is what asks.
        assert_eq!(names(&stale.dir.join(PROJECT)).unwrap(), before);
        stale.state() == "login-needed"
    });
    assert_eq!(stale.read(CACHED).unwrap(), stale.cached);
    // Where old listings shall not answer, nor does a name; who has the document open reads on.
    assert_key_expired(fail.read(CACHED));
    let mut bytes = Vec::new();
    held.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, fail.cached);
    for mount in [&stale, &fail] {
        assert_key_expired(mount.read(UNCACHED));
        assert_eq!(mount.state(), "login-needed");
        let since = mount.attribute("login_since").unwrap();
        assert!(since.parse::<jiff::Timestamp>().is_ok(), "{since}");
        let detail = mount.attribute("login_detail").unwrap();
        assert!(detail.contains("invalid_grant"), "{detail}");
        let remedy = "run `pwfs login --profile default`";
        assert_eq!(mount.attribute("login_remedy").as_deref(), Some(remedy));

        let (row, code) = status(&stage, mount);
        assert_eq!(code, Some(77));
        assert_eq!(row["state"], "login-needed");
        assert_eq!(row["profile"], "default");
        assert_eq!(row["since"], since);
        assert_eq!(row["detail"], detail);
        assert_eq!(row["remedy"], remedy);
        assert_eq!(row["mountpoint"], mount.dir.display().to_string());
    }
    let said = stage.run(&["status", "stale"]);
    assert_eq!(said.code, Some(77));
    assert!(
        said.stdout.contains("\n  state    login-needed since 20"),
        "{said:#?}"
    );
    assert!(
        said.stderr.contains("Hint: run `pwfs login --profile default`"),
        "{said:#?}"
    );
    let listed = stage.run(&["mounts"]).succeeds();
    let place = stale.dir.display().to_string();
    let line = listed.lines().find(|line| line.starts_with(&place)).unwrap();
    assert!(
        line.ends_with("(login-needed: run `pwfs login --profile default`)"),
        "{line}"
    );

    stage.login::<&str>(&[]).succeeds();
    let begin = Instant::now();
    stale.wait_until_it_works();
    fail.wait_until_it_works();
    // By itself it takes a moment; a busy machine takes its time.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    for mount in [&stale, &fail] {
        // At once, although a moment ago it failed.
        assert!(!mount.read(UNCACHED).unwrap().is_empty());
        assert_eq!(names(&mount.dir.join(PROJECT)).unwrap(), before);
        assert_eq!(mount.state(), "good");
        assert_eq!(
            (mount.attribute("login_detail"), mount.attribute("login_remedy")),
            (None, None)
        );
        let (row, code) = status(&stage, mount);
        assert_eq!((row["state"].as_str(), code), (Some("good"), Some(0)));
    }
    for mount in [stale, fail] {
        let said = mount.end();
        assert_eq!((count(&said, LOST), count(&said, BACK)), (1, 1), "{said}");
        assert_eq!(count(&said, "run `pwfs login --profile default`"), 1, "{said}");
        assert_eq!(count(&said, "operation="), 0, "no word for each call: {said}");
    }
}

#[test]
fn a_rotated_secret_is_shown_and_a_new_one_heals_a_running_mount_without_a_browser() {
    if !fuse_is_here() {
        return;
    }
    let stage = signed_in_with_a_secret();
    directories(&stage, &["stale", "fail"]);
    let mut mount = Mount::new(&stage, "stale", &["--metadata-ttl", "1s"]);
    let mut fail = Mount::new(&stage, "fail", &["--metadata-ttl", "1s", "--on-outage", "fail"]);
    let before = names(&mount.dir.join(PROJECT)).unwrap();
    stage.server.rotate_web_secret("rotated/secret");
    // Met when a token is to be renewed.
    stage.server.expire_access_tokens();
    until("both are refused", || {
        assert_eq!(names(&mount.dir.join(PROJECT)).unwrap(), before);
        names(&fail.dir.join(PROJECT)).is_err() && mount.state() == "secret-needed"
    });
    assert_eq!(fail.state(), "secret-needed");
    for mount in [&mount, &fail] {
        assert_key_expired(mount.read(UNCACHED));
    }
    assert_eq!(mount.read(CACHED).unwrap(), mount.cached);
    let (row, code) = status(&stage, &mount);
    assert_eq!((row["state"].as_str(), code), (Some("secret-needed"), Some(77)));
    let remedy = row["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("pwfs login --profile default --client-secret-file FILE"),
        "{remedy}"
    );
    let said = mount.running.wait_for_line(|line| line.contains(LOST));
    assert!(said.contains(remedy), "{said}");

    // One that is wrong, too, changes nothing.
    fs::write(stage.home.path().join("new"), "mistyped").unwrap();
    stage.run(&["login", "--client-secret-file", "new"]).fails(77);
    assert_key_expired(mount.read(UNCACHED));
    assert_eq!(
        (mount.state(), fail.state()),
        ("secret-needed".into(), "secret-needed".into())
    );

    fs::write(stage.home.path().join("new"), "rotated/secret").unwrap();
    stage.server.reset_counters();
    stage.run(&["login", "--client-secret-file", "new"]).succeeds();
    mount.wait_until_it_works();
    fail.wait_until_it_works();
    assert_eq!(
        stage.server.requests().of(RequestKind::Authorize),
        0,
        "no browser"
    );
    for mount in [mount, fail] {
        assert!(!mount.read(UNCACHED).unwrap().is_empty());
        assert_eq!(mount.state(), "good");
        let said = mount.end();
        assert_eq!((count(&said, LOST), count(&said, BACK)), (1, 1), "{said}");
        assert!(!said.contains("rotated/secret"), "{said}");
    }
}

#[test]
fn the_login_of_somebody_else_does_not_heal_a_mount() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    directories(&stage, &["mnt"]);
    let mut mount = Mount::new(&stage, "mnt", &["-vv"]);
    stage.server.revoke_all_tokens();
    assert_key_expired(mount.read(UNCACHED));
    mount.running.wait_for_line(|line| line.contains(LOST));

    let login_as = |email: &str| {
        let mut login = stage.start_login::<&str>(&[]);
        let mut page = login.sign_in_page();
        stage.register(&page);
        page.query_pairs_mut().append_pair("login_hint", email);
        visit(&page);
        assert!(login.finish().succeeds().contains(email));
    };
    login_as("site.inspector@example.com");
    // It has been looked at.
    mount
        .running
        .wait_for_line(|line| line.contains("another account"));
    assert_eq!(mount.state(), "login-needed");
    assert_key_expired(mount.read(UNCACHED));
    login_as("demo.engineer@example.com");
    mount.wait_until_it_works();
    assert!(!mount.read(UNCACHED).unwrap().is_empty());
    mount.end();
}

#[test]
fn two_hundred_readers_of_a_lost_login_cost_a_handful_of_requests_and_one_line() {
    const READERS: usize = 200;
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    directories(&stage, &["mnt"]);
    let mount = Mount::new(&stage, "mnt", &["--metadata-ttl", "1s"]);
    let mut waiting = vec![mount.dir.join(PROJECT)];
    let mut files = Vec::new();
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        // A folder that may not be listed fails at its first entry.
        for entry in entries.map_while(Result::ok) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    assert!(files.len() > 50);
    stage.server.revoke_all_tokens();
    stage.server.reset_counters();
    // Longer than any failure is remembered, so that each is asked about again and again.
    let end = Instant::now() + Duration::from_secs(7);
    let calls: usize = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let files = &files;
                scope.spawn(move || {
                    let mut calls = 0;
                    while Instant::now() < end {
                        let file = &files[(reader + calls) % files.len()];
                        match fs::read(file) {
                            Err(error) => {
                                // What may not be read is refused as ever.
                                let errno = error.raw_os_error();
                                assert!(matches!(errno, Some(libc::EKEYEXPIRED | libc::EACCES)), "{error}");
                            }
                            Ok(bytes) => assert_eq!(bytes.len(), 0, "{}", file.display()),
                        }
                        // An old listing, or an error; whichever, it is asked for.
                        drop(fs::read_dir(file.parent().unwrap()).map(Iterator::count));
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(calls > 10 * READERS, "{calls}");
    let asked = stage.server.requests();
    let tokens = asked.of(RequestKind::Token);
    assert!(
        (1..=3).contains(&tokens),
        "{tokens} token requests for {calls} calls"
    );
    // The first crowd is on its way to the server while the first refusal is on its way back.
    assert!(asked.total < 2 * READERS as u64, "{calls} calls: {asked:?}");
    assert_eq!(mount.state(), "login-needed");
    let said = mount.end();
    assert_eq!(count(&said, LOST), 1, "{said}");
    assert!(said.lines().count() < 10, "{said}");
}

#[test]
fn a_login_is_found_where_all_directories_were_deleted_and_made_again() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    directories(&stage, &["mnt"]);
    let mut mount = Mount::new(&stage, "mnt", &[]);
    let state = stage.login_file().ancestors().nth(2).unwrap().to_owned();
    // All of it, the lock and the directories too.
    fs::remove_dir_all(&state).unwrap();
    stage.server.revoke_all_tokens();
    assert_key_expired(mount.read(UNCACHED));
    assert_eq!(mount.state(), "login-needed");
    assert!(mount.attribute("login_detail").unwrap().contains("not logged in"));
    stage.login::<&str>(&[]).succeeds();
    mount.wait_until_it_works();
    assert!(!mount.read(UNCACHED).unwrap().is_empty());
    assert_eq!(count(&mount.end(), LOST), 1);
}

#[test]
fn the_status_of_a_mount_that_is_stopped_or_gone_has_an_end() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    directories(&stage, &["mnt"]);
    let words = stage.run(&["status", "mnt"]).fails(1);
    assert!(words.contains("nothing is mounted at"), "{words}");
    let words = stage.run(&["status", "/proc"]).fails(2);
    assert!(words.contains("another file system (proc)"), "{words}");

    let mount = Mount::new(&stage, "mnt", &[]);
    let place = mount.dir.display().to_string();
    let all = stage.run(&["status"]).stdout;
    assert!(
        all.contains(&format!("{place}\n  source   projectwise:")),
        "{all}"
    );

    mount.running.signal(Signal::STOP);
    until("it is stopped, all of its threads", || {
        status(&stage, &mount).0["state"] == "silent"
    });
    let begin = Instant::now();
    let (row, code) = status(&stage, &mount);
    assert_eq!((row["state"].as_str(), code), (Some("silent"), Some(1)));
    let listed = stage.run(&["mounts"]).succeeds();
    assert!(
        listed.contains("(its process does not answer; `pwfs unmount --force` breaks it off)"),
        "{listed}"
    );
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    mount.running.signal(Signal::CONT);
    assert_eq!(status(&stage, &mount).1, Some(0));

    mount.running.signal(Signal::KILL);
    until("it is dead", || rustix::fs::statvfs(&mount.dir).is_err());
    let (row, code) = status(&stage, &mount);
    assert_eq!((row["state"].as_str(), code), (Some("dead"), Some(1)));
    assert!(row["remedy"].as_str().unwrap().contains("pwfs unmount"), "{row}");
    stage.run(&["unmount", "mnt"]).succeeds();
}

#[test]
fn a_mount_of_the_system_keeps_to_its_own_directories_and_says_so_in_its_remedy() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let stage = Stage::signed_in(small());
    directories(&stage, &["mnt"]);
    // As /etc/pwfs, /var/lib/pwfs and /var/cache/pwfs would be; the person's own files are no longer there.
    let at = |name: &str| stage.home.path().join(name);
    fs::create_dir(at("etc")).unwrap();
    fs::rename(stage.config_file(), at("etc/config.toml")).unwrap();
    fs::rename(stage.login_file().ancestors().nth(2).unwrap(), at("lib")).unwrap();
    let mut command = stage.command(&["--system", "mount", "--allow-other", "mnt"]);
    for (variable, dir) in [
        ("PWFS_CONFIG_DIR", "etc"),
        ("PWFS_STATE_DIR", "lib"),
        ("PWFS_CACHE_DIR", "cache"),
    ] {
        command.env(variable, at(dir));
    }
    let mut mount = Mount::by(&stage, "mnt", Running::spawn(command));
    assert_eq!((mode(&at("lib")), mode(&at("cache"))), (0o700, 0o700));
    assert_eq!(mode(&mount.dir), 0o550);
    stage.server.revoke_all_tokens();
    assert_key_expired(mount.read(UNCACHED));
    let said = mount.running.wait_for_line(|line| line.contains(LOST));
    assert!(
        said.contains("run `pwfs login --system --profile default`"),
        "{said}"
    );
    let (row, code) = status(&stage, &mount);
    assert_eq!(code, Some(77));
    assert_eq!(row["remedy"], "run `pwfs login --system --profile default`");
    assert!(!at(".config").join("pwfs/config.toml").exists() && !at(".cache").exists());
    mount.end();
}
