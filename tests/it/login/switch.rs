//! Two people, one home: what one of them fetched is never read by the other, in whichever order they sign in.

use std::fs;
use std::io;
use std::path::Path;

use pwfs::demo::{Effect, Fault, RequestKind};
use pwfs::fs::activity::{ACTIVITY, Activity};
use rustix::process::Signal;

use super::accounts::PASSWORD;
use crate::explain;
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage, until};

const REVIEWER: &str = "guest.reviewer@example.com";

/// Signs one of the demo's people in, by their ProjectWise name.
fn sign_in(stage: &Stage, profile: &str, user: &str) {
    fs::write(stage.home.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    let url = stage.server.datasource_url();
    let words = format!(
        "login --profile {profile} --username {user} --password-file password --credentials file --datasource {url}"
    );
    stage.run(&words.split(' ').collect::<Vec<_>>()).succeeds();
}

fn mount(stage: &Stage, profile: &str) -> (Running, std::path::PathBuf) {
    explain::mount(stage, &["--profile", profile])
}

fn unmount(stage: &Stage, running: Running) {
    let dir = stage.home.path().join("mnt");
    // A reader has the last byte before the cache has kept it.
    until("everything is kept", || {
        let told = explain::attribute(&dir, ACTIVITY).unwrap();
        serde_json::from_str::<Activity>(&told).unwrap().in_flight == 0
    });
    running.signal(Signal::TERM);
    running.finish().succeeds();
    fs::remove_dir(dir).unwrap();
}

fn refused(read: io::Result<Vec<u8>>) -> bool {
    read.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[test]
fn one_person_never_sees_what_another_fetched_into_the_same_cache() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::new();
    let world = stage.server.world();
    let folder = world.add_folder(None, "Shared").unwrap();
    let both = world
        .add_document(folder, "both.txt", "for both of them")
        .unwrap();
    let one = world.add_document(folder, "one.txt", "for one of them").unwrap();
    world.grant_for(REVIEWER, folder).unwrap();
    world.grant_for(REVIEWER, both).unwrap();
    world.revoke_for(REVIEWER, one).unwrap();
    let read = |dir: &Path, name: &str| fs::read(dir.join("Shared").join(name));
    let files = || stage.server.requests().of(RequestKind::File);

    // The same profile, as whoever uses the machine next signs in to it; and one of their own.
    for profile in ["default", "theirs"] {
        sign_in(&stage, "default", "demo.engineer");
        let (running, dir) = mount(&stage, "default");
        for (name, text) in [("both.txt", "for both of them"), ("one.txt", "for one of them")] {
            assert_eq!(read(&dir, name).unwrap(), text.as_bytes());
        }
        unmount(&stage, running);

        sign_in(&stage, profile, "guest.reviewer");
        let (running, dir) = mount(&stage, profile);
        assert!(
            refused(read(&dir, "one.txt")),
            "{profile}: it is in the cache, and not theirs"
        );
        let before = files();
        assert_eq!(read(&dir, "both.txt").unwrap(), b"for both of them");
        // Asked for as themselves, though it is in the cache; the second time it is their own.
        let asked = u64::from(profile == "default");
        assert_eq!(files(), before + asked, "{profile}");
        unmount(&stage, running);
    }

    // What the first one fetched is still theirs, without the server.
    sign_in(&stage, "default", "demo.engineer");
    let (running, dir) = mount(&stage, "default");
    stage
        .server
        .inject(Fault::on(RequestKind::File, Effect::HangAfterAccept));
    let before = files();
    assert_eq!(read(&dir, "one.txt").unwrap(), b"for one of them");
    assert_eq!(files(), before);
    stage.server.clear_faults();
    unmount(&stage, running);
}
