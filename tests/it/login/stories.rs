//! What becomes of a running mount when its login ends, is stolen, rotated or refused: real processes over a real store.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use pwfs::demo::knobs::Knobs;
use pwfs::demo::{App, AppType, DEFAULT_EMAIL, RequestKind};
use rustix::process::Signal;
use serde_json::Value;

use super::accounts::{PASSWORD, assertion, at_the_datasource, basic, service, with_knobs};
use super::redeem;
use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage, until};

/// As many refreshes as two mounts and a command quarrel about.
const REFRESHES: u64 = 5;

/// A mount by the real program, with nothing answered from an old listing.
struct Mount {
    running: Running,
    dir: PathBuf,
}

impl Mount {
    fn start(stage: &Stage, name: &str) -> Self {
        Self::with(stage, name, &[])
    }

    fn with(stage: &Stage, name: &str, args: &[&str]) -> Self {
        let dir = stage.home.path().join(name);
        fs::create_dir(&dir).unwrap();
        let mut all = vec!["mount", "--freshness", "strict", "--on-outage", "fail"];
        all.extend(args);
        all.push(name);
        let mut running = stage.start(&all);
        running.wait_for_line(|line| line.contains("is mounted at"));
        Self { running, dir }
    }

    fn read_dir(&self) -> io::Result<usize> {
        entries(&self.dir)
    }

    /// Waits until it lists its root again, and reads a document it has not read before.
    fn heals(&self, stage: &Stage) {
        until("the mount heals", || self.read_dir().is_ok());
        let path = self.documents(stage).pop().unwrap();
        until("a document can be read", || fs::read(&path).is_ok());
    }

    /// Every document that can be read.
    fn documents(&self, stage: &Stage) -> Vec<PathBuf> {
        let documents = stage.server.world().documents().into_iter();
        documents
            .filter(|document| document.active && document.listed && document.readable && document.size > 0)
            .filter(|document| document.path.iter().all(|name| name.is_ascii()))
            .filter_map(|document| {
                let file = document.file_name.filter(|name| name.is_ascii())?;
                let mut path = self.dir.clone();
                path.extend(&document.path);
                Some(path.join(file))
            })
            .collect()
    }

    /// Has `count` readers read different documents at once; each must fail for the want of a login.
    fn readers_fail(&self, stage: &Stage, count: usize) {
        let documents = self.documents(stage);
        assert!(documents.len() > count);
        thread::scope(|scope| {
            let readers: Vec<_> = documents
                .iter()
                .take(count)
                .map(|path| scope.spawn(move || fs::read(path)))
                .collect();
            for reader in readers {
                assert_lost(reader.join().unwrap());
            }
        });
    }

    fn ends(self) {
        self.running.signal(Signal::TERM);
        self.running.finish().succeeds();
    }
}

fn entries(dir: &Path) -> io::Result<usize> {
    fs::read_dir(dir)?.try_fold(0, |count, entry| entry.map(|_| count + 1))
}

#[track_caller]
fn assert_lost<T: std::fmt::Debug>(outcome: io::Result<T>) {
    assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::EKEYEXPIRED));
}

/// Waits until the mount has noticed that its login is over, and proves that it asks for no more tokens.
fn is_lost(stage: &Stage, mount: &Mount, refreshes: u64) {
    until("the login is lost", || {
        mount
            .read_dir()
            .is_err_and(|error| error.raw_os_error() == Some(libc::EKEYEXPIRED))
    });
    mount.readers_fail(stage, 8);
    let requests = stage.server.requests();
    assert_eq!(requests.of(RequestKind::Token), refreshes, "{requests:?}");
}

#[test]
fn two_mounts_and_a_command_that_refresh_at_once_end_with_one_refresh_token() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(with_knobs(Knobs {
        token_lifetime: Duration::from_secs(6),
        ..Knobs::default()
    }));
    let mounts = ["one", "two"].map(|name| Mount::start(&stage, name));
    stage.server.reset_counters();
    let mut seen = BTreeSet::from([stage.stored("refresh_token")]);
    while stage.server.requests().of(RequestKind::Token) < REFRESHES {
        thread::scope(|scope| {
            let dirs = mounts.iter().map(|mount| mount.dir.clone());
            let readers: Vec<_> = dirs.map(|dir| scope.spawn(move || entries(&dir))).collect();
            stage.run(&["folders"]).succeeds();
            for reader in readers {
                assert_eq!(reader.join().unwrap().unwrap(), 3);
            }
        });
        seen.insert(stage.stored("refresh_token"));
    }
    for mount in mounts {
        mount.ends();
    }
    let last = stage.stored("refresh_token");
    seen.remove(&last);
    assert!(seen.len() >= 3, "{}", seen.len());
    // A token that is used twice ends its whole family: none was, or this one would be dead.
    assert_eq!(redeem(&stage, &last), 200);
    for old in &seen {
        assert_eq!(redeem(&stage, old), 400, "it is the only one that lives");
    }
}

#[test]
fn a_login_that_was_revoked_is_lost_once_and_heals_with_the_next() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let mount = Mount::start(&stage, "mnt");
    stage.server.reset_counters();
    stage.server.revoke_all_tokens();
    is_lost(&stage, &mount, 1);
    let words = stage.run(&["folders"]).fails(77);
    assert!(words.contains("the login has ended"), "{words}");
    stage.login::<&str>(&[]).succeeds();
    mount.heals(&stage);
    mount.ends();
}

#[test]
fn a_refresh_token_that_was_stolen_and_used_ends_the_login_once() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let mount = Mount::start(&stage, "mnt");
    assert_eq!(redeem(&stage, &stage.stored("refresh_token")), 200);
    stage.server.expire_access_tokens();
    stage.server.reset_counters();
    is_lost(&stage, &mount, 1);
    stage.login::<&str>(&[]).succeeds();
    mount.heals(&stage);
    mount.ends();
}

#[test]
fn a_rotated_secret_of_a_web_app_heals_a_mount_without_a_browser() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::new();
    let (_, secret) = stage.server.web_client();
    fs::write(stage.home.path().join("secret"), secret).unwrap();
    let mut flags = at_the_datasource(&stage, stage.web_app());
    flags.extend(["--client-secret-file", "secret"].map(str::to_owned));
    stage.login(&flags).succeeds();
    let mount = Mount::start(&stage, "mnt");
    stage.server.rotate_web_secret("rotated/secret+");
    stage.server.expire_access_tokens();
    stage.server.reset_counters();
    is_lost(&stage, &mount, 1);
    let words = stage.run(&["folders"]).fails(77);
    assert!(words.contains("--client-secret-file"), "{words}");
    fs::write(stage.home.path().join("secret"), "rotated/secret+").unwrap();
    stage.run(&["login", "--client-secret-file", "secret"]).succeeds();
    mount.heals(&stage);
    assert_eq!(stage.server.requests().of(RequestKind::Authorize), 0);
    mount.ends();
}

#[test]
fn a_rotated_secret_of_a_service_heals_a_mount() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::new();
    stage.run(&at_the_datasource(&stage, service(&stage))).succeeds();
    let mount = Mount::start(&stage, "mnt");
    let (client_id, _) = stage.server.service_client();
    let rotated = App {
        client_id,
        name: "rotated".to_owned(),
        kind: AppType::Service,
        secret: Some("rotated".to_owned()),
        redirect_uris: BTreeSet::new(),
        post_logout_uris: BTreeSet::new(),
        scopes: None,
        acts_as: DEFAULT_EMAIL,
    };
    stage.server.register_app(rotated).unwrap();
    stage.server.expire_access_tokens();
    stage.server.reset_counters();
    is_lost(&stage, &mount, 1);
    let words = stage.run(&["folders"]).fails(77);
    assert!(words.contains("--client-secret-file"), "{words}");
    stage.run(&service(&stage)).succeeds();
    mount.heals(&stage);
    mount.ends();
}

#[test]
fn a_wrong_password_is_sent_once_by_a_mount_and_all_its_readers() {
    if !fuse_is_here() {
        return;
    }
    // A second wrong one would lock the account.
    let stage = Stage::with(with_knobs(Knobs {
        bad_logins: 2,
        ..Knobs::default()
    }));
    stage
        .run(&at_the_datasource(&stage, basic(&stage, PASSWORD)))
        .succeeds();
    let mount = Mount::start(&stage, "mnt");
    // As if the password had been changed at the server: the one that is stored is wrong.
    let mut record: Value = serde_json::from_slice(&fs::read(stage.login_file()).unwrap()).unwrap();
    record["password"] = "changed".into();
    record["login"] = "another".into();
    let fresh = stage.home.path().join("fresh");
    fs::write(&fresh, record.to_string()).unwrap();
    fs::rename(fresh, stage.login_file()).unwrap();
    stage.server.reset_counters();
    mount.readers_fail(&stage, 20);
    // One, and perhaps a refresh in the background that was under way with the old one. That no second wrong one was
    // sent shows in the end: the account is not locked.
    let asked = stage.server.requests().total;
    assert!((1..=2).contains(&asked), "{:?}", stage.server.request_log());
    // Nor by anybody else: a unit that is started again and again, say.
    for _ in 0..3 {
        let words = stage.run(&["folders"]).fails(77);
        assert!(words.contains("password of demo.engineer"), "{words}");
        assert!(
            words.contains("run `pwfs login` and give the new password"),
            "{words}"
        );
    }
    // The one that was under way may have come only now.
    let requests = stage.server.requests();
    let in_all = requests.total - requests.of(RequestKind::Plugins);
    assert!((asked..=2).contains(&in_all), "{:?}", stage.server.request_log());
    let said = stage.run(&["whoami"]).succeeds();
    assert!(said.contains("refused"), "{said}");
    until("the mount says so", || mount.read_dir().is_err());
    stage.run(&basic(&stage, PASSWORD)).succeeds();
    mount.heals(&stage);
    mount.ends();
}

#[test]
fn an_account_that_was_locked_is_left_alone_until_a_person_signs_in() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::with(with_knobs(Knobs {
        bad_logins: 1,
        ..Knobs::default()
    }));
    stage
        .run(&at_the_datasource(&stage, basic(&stage, PASSWORD)))
        .succeeds();
    let mount = Mount::start(&stage, "mnt");
    // Somebody else types a wrong password.
    stage.run(&basic(&stage, "not-the-password")).fails(77);
    until("the account is locked", || mount.read_dir().is_err());
    stage.server.unlock_accounts();
    stage.server.reset_counters();
    mount.readers_fail(&stage, 8);
    assert_eq!(stage.server.requests().total, 0);
    let words = stage.run(&["folders"]).fails(77);
    assert!(words.contains("unlock the account"), "{words}");
    stage.run(&["login"]).succeeds();
    mount.heals(&stage);
    mount.ends();
}

/// Replaces a file as careful programs do.
fn replace(path: &Path, content: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, content).unwrap();
    fs::rename(fresh, path).unwrap();
}

#[test]
fn a_token_file_that_is_replaced_heals_the_mount_over_it() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let token = stage.home.path().join("token");
    replace(&token, &stage.stored("access_token"));
    let flags = ["login", "--profile", "file", "--token-file", "token"].map(str::to_owned);
    stage.run(&at_the_datasource(&stage, flags.into())).succeeds();
    let mount = Mount::with(&stage, "mnt", &["--profile", "file"]);
    // Replaced in time: nobody notices.
    stage.server.expire_access_tokens();
    stage.run(&["folders"]).succeeds();
    replace(&token, &stage.stored("access_token"));
    assert_eq!(mount.read_dir().unwrap(), 3);
    // Too late.
    stage.server.expire_access_tokens();
    until("the token is refused", || mount.read_dir().is_err());
    stage.server.reset_counters();
    mount.readers_fail(&stage, 8);
    assert_eq!(
        stage.server.requests().total,
        0,
        "a refused token is not sent again"
    );
    stage.run(&["folders"]).succeeds();
    replace(&token, &stage.stored("access_token"));
    mount.heals(&stage);
    mount.ends();
}

#[test]
fn a_saml_assertion_that_is_renewed_heals_the_mount_over_it() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::new();
    let file = stage.home.path().join("assertion");
    replace(&file, &assertion("2999-01-01T00:00:00Z"));
    let flags = ["login", "--saml-file", "assertion"].map(str::to_owned);
    stage.run(&at_the_datasource(&stage, flags.into())).succeeds();
    let mount = Mount::start(&stage, "mnt");
    replace(&file, &assertion("2001-01-01T00:00:00Z"));
    until("the assertion is refused", || mount.read_dir().is_err());
    stage.server.reset_counters();
    mount.readers_fail(&stage, 8);
    assert_eq!(stage.server.requests().total, 0);
    replace(&file, &assertion("2999-02-01T00:00:00Z"));
    mount.heals(&stage);
    fs::remove_file(&file).unwrap();
    until("the assertion is missed", || mount.read_dir().is_err());
    mount.ends();
}
