//! The kernel as the first cache: what it is trusted with, and what it then answers by itself.

use std::fs;

use pwfs::fuse::selftest::KernelCaching;
use pwfs::tree::inodes::ROOT;
use rustix::process::Signal;

use super::process::Demo;
use super::{PROJECT, Settings, check_tour_of, fuse_is_here, has_programs, is_root, mount, quiet};

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_is_tried_at_mount_and_that_costs_no_request_and_leaves_nothing() {
    if !fuse_is_here() {
        return;
    }
    let untried = mount(Settings {
        caching: Some(KernelCaching::FULL),
        ..Settings::default()
    })
    .await;
    let requests = untried.requests();
    untried.stop().await;

    let mounted = mount(Settings::default()).await;
    assert_eq!(mounted.daemon.session().caching(), KernelCaching::FULL);
    assert_eq!(mounted.requests(), requests);
    let tree = mounted.daemon.filesystem().tree().clone();
    assert!(
        tree.inodes().is_empty(),
        "nothing of the trial is known to the tree"
    );
    assert!(tree.inodes().holds(ROOT));
    let names = quiet("ls -a \"$1\"", &[mounted.daemon.mountpoint()]).await;
    assert!(!names.contains("selftest"), "{names}");
    if is_root() {
        fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    }
    assert_eq!(tree.inodes().overdrawn(), 0);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_finds_nothing_wrong_where_the_kernel_keeps_neither_absences_nor_listings() {
    check_tour_of(Settings {
        caching: Some(KernelCaching::NONE),
        ..Settings::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_is_trusted_with_nothing_is_told_nothing_to_be_right() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings {
        caching: Some(KernelCaching::NONE),
        ..Settings::default()
    })
    .await;
    let folder = mounted.path("03 Design/Deck/Drawings");
    quiet("ls \"$1\" > /dev/null; test ! -e \"$1/new.txt\"", &[&folder]).await;
    // As if every notification were lost.
    let tree = mounted.daemon.filesystem().tree().clone();
    tree.invalidations().close();
    let world = mounted.server.world();
    let guid = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    world.add_document(guid, "new.txt", "new\n").unwrap();
    mounted.refresh(&folder).await;
    assert_eq!(quiet("cat \"$1/new.txt\"", &[&folder]).await, "new\n");
    let names = quiet("ls \"$1\"", &[&folder]).await;
    assert!(names.lines().any(|name| name == "new.txt"), "{names}");
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_walk_five_hundred_absent_names_git_and_a_prompt_reach_nobody() {
    if !fuse_is_here() || !has_programs(&["git", "bash"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path()).await;
    let design = demo.mountpoint.join(PROJECT).join("03 Design");
    let (git, outside) = (dir.path().join("work.git"), dir.path().join("out"));
    fs::create_dir(&outside).unwrap();
    quiet(
        "git init --quiet --bare \"$2\" && git --git-dir=\"$2\" --work-tree=\"$1\" add -A",
        &[&design, &git],
    )
    .await;
    // The index is refreshed once, as any first `git status` does.
    let look = "set -e
        export GIT_OPTIONAL_LOCKS=0 HOME=\"$3\"
        find \"$1\" -printf '%s %T@ %p\\n'
        find \"$1\" -exec stat -c '%n %s %Y %i' {} +
        du -s --apparent-size \"$1\"
        cd \"$1\"
        n=0; while [ $n -lt 500 ]; do test ! -e \"absent-$n\" || echo lie; n=$((n+1)); done
        git --git-dir=\"$2\" --work-tree=\"$1\" status --porcelain | wc -l
        git rev-parse --is-inside-work-tree 2> /dev/null || echo no repository
        bash --norc -c 'cd \"$1/Deck\"; pwd; /bin/pwd; compgen -f D; compgen -d \"$1/\"; cd ..; cd - > /dev/null' bash \"$1\"";
    quiet(
        "git --git-dir=\"$2\" --work-tree=\"$1\" status > /dev/null",
        &[&design, &git],
    )
    .await;
    let warm = quiet(look, &[&design, &git, &outside]).await;
    // Nobody answers the kernel now, so whatever comes is its own.
    demo.signal(Signal::STOP);
    let again = quiet(look, &[&design, &git, &outside]).await;
    demo.signal(Signal::CONT);
    assert_eq!(again, warm);
    assert!(warm.contains("Drawings") && warm.contains("no repository") && !warm.contains("lie"));
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().await.0.code(), Some(0));
}
