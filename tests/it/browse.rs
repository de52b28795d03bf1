//! Looking around: what is listed, named and attributed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

use pwfs::auth::{LoginHealth, LoginState};
use pwfs::demo::DemoOptions;
use pwfs::demo::knobs::{Knobs, Ranges, SkipTokenMode};
use pwfs::fs::login::{Login, Remedies};
use pwfs::fs::{Appearance, Filesystem};
use pwfs::model::DocumentKind;
use pwfs::tree::TreeConfig;
use pwfs::tree::inodes::ROOT;
use tokio::sync::watch;

use crate::harness::{Bench, small};

/// The documents a truthful tree shows.
async fn check_whole_tree(options: DemoOptions) {
    let bench = Bench::with(options, TreeConfig::default()).await;
    let files = bench.walk().await;
    let seen: BTreeSet<_> = files.values().map(|attr| bench.guid(attr)).collect();
    let world = bench.world();
    let expected: BTreeSet<_> = world
        .documents()
        .into_iter()
        .filter(|d| d.listed && d.active && d.kind == DocumentKind::File)
        .map(|d| d.guid)
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(files.len(), expected.len(), "each under one name");
    for attr in files.values() {
        let document = world.document(bench.guid(attr)).unwrap();
        if document.readable {
            assert_eq!(
                bench.read(attr).await.unwrap(),
                world.content(document.guid).unwrap()
            );
        }
    }
}

#[tokio::test]
async fn the_tree_is_the_world_with_skip_tokens() {
    check_whole_tree(small()).await;
}

#[tokio::test]
async fn the_tree_is_the_world_by_skip_and_without_ranges() {
    check_whole_tree(DemoOptions {
        knobs: Knobs {
            skip_token: SkipTokenMode::Ignored,
            page_size: 7,
            ranges: Ranges::Ignored,
            ..Knobs::default()
        },
        ..small()
    })
    .await;
}

#[tokio::test]
async fn the_root_alone_tells_of_the_login_and_asks_nobody() {
    const PREFIX: &str = "user.projectwise.";
    let mut bench = Bench::new().await;
    let (folder, _, _) = bench.stock("Stock", 1).await;
    let health = |state, detail: &str| LoginHealth {
        state,
        detail: detail.to_owned(),
        since: "2026-03-01T12:00:00.5Z".parse().unwrap(),
    };
    let (board, seen) = watch::channel(health(LoginState::Good, ""));
    let login = Login {
        profile: "work".to_owned(),
        health: seen,
        remedies: Remedies {
            login_needed: "sign in".to_owned(),
            secret_needed: "renew it".to_owned(),
            locked_out: "ask".to_owned(),
        },
    };
    bench.fs = Filesystem::new(
        bench.fs.tree().clone(),
        bench.fs.reader().clone(),
        Appearance {
            uid: 1000,
            gid: 1000,
            file_mode: 0o444,
            dir_mode: 0o555,
            location: String::new(),
        },
        "somebody",
        Duration::from_secs(10),
        Some(login),
    );
    bench.server.reset_counters();
    let names = |ino| {
        let names = async_io::block_on(bench.fs.listxattr(ino)).unwrap();
        let names = String::from_utf8(names).unwrap();
        let of_login = |name: &&str| name.starts_with("user.projectwise.login");
        names.split('\0').filter(of_login).count()
    };
    let tells = |name: &str| bench.xattr(ROOT, &format!("{PREFIX}{name}"));
    for (state, detail, word, remedy) in [
        (LoginState::Good, "", "good", None),
        (
            LoginState::LoginNeeded,
            "it has ended",
            "login-needed",
            Some("sign in"),
        ),
        (LoginState::SecretNeeded, "", "secret-needed", Some("renew it")),
        (LoginState::LockedOut, "too many", "locked-out", Some("ask")),
        (LoginState::Good, "", "good", None),
    ] {
        board.send_replace(health(state, detail));
        assert_eq!(tells("profile").as_deref(), Some("work"));
        assert_eq!(tells("login").as_deref(), Some(word));
        assert_eq!(tells("login_since").as_deref(), Some("2026-03-01T12:00:00Z"));
        assert_eq!(tells("login_detail").unwrap_or_default(), detail);
        assert_eq!(tells("login_remedy").as_deref(), remedy);
        let more = usize::from(!detail.is_empty()) + usize::from(remedy.is_some());
        assert_eq!(names(ROOT), 2 + more, "{word}");
        assert_eq!(names(folder.ino), 0);
        let name = format!("{PREFIX}login");
        let error = bench
            .fs
            .getxattr(folder.ino, OsStr::new(&name))
            .await
            .unwrap_err();
        assert_eq!(error.errno(), libc::ENODATA);
    }
    // The last state stays where nobody is left to change it.
    drop(board);
    assert_eq!(tells("login").as_deref(), Some("good"));
    assert_eq!(bench.server.requests().total, 0);
}
