use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use super::*;

/// Far longer than a local event takes.
const SOON: Duration = Duration::from_secs(20);
/// In which an event that is to be ignored would have been seen.
const MOMENT: Duration = Duration::from_millis(50);

/// A watch of `paths` that has told of what there was.
async fn watching(paths: &[&Path]) -> FileWatch {
    let mut watch = FileWatch::new(paths.iter().map(|path| (*path).to_owned()).collect()).unwrap();
    tells(&mut watch, "what there was").await;
    watch
}

async fn tells(watch: &mut FileWatch, what: &str) {
    let told = tokio::time::timeout(SOON, watch.changed()).await;
    told.unwrap_or_else(|_| panic!("not told: {what}")).unwrap();
}

async fn tells_nothing(watch: &mut FileWatch, what: &str) {
    assert!(
        tokio::time::timeout(MOMENT, watch.changed()).await.is_err(),
        "told: {what}"
    );
}

fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

#[tokio::test]
async fn a_file_is_told_of_when_it_comes_changes_or_goes_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("login.json");
    let mut watch = watching(&[&file]).await;
    tells_nothing(&mut watch, "nothing happened").await;

    fs::write(&file, "one").unwrap();
    tells(&mut watch, "it was made").await;
    replace(&file, "two");
    tells(&mut watch, "another one was renamed over it").await;
    // Of the same length, and perhaps in the same tick of the file system's clock.
    fs::write(&file, "too").unwrap();
    tells(&mut watch, "it was written in place").await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    tells(&mut watch, "it was opened to its reader").await;
    fs::remove_file(&file).unwrap();
    tells(&mut watch, "it was deleted").await;

    fs::write(dir.path().join("login.lock"), "").unwrap();
    fs::create_dir(dir.path().join("beside")).unwrap();
    tells_nothing(&mut watch, "what happens to others").await;
    fs::write(&file, "three").unwrap();
    tells(&mut watch, "it was made again").await;
}

#[tokio::test]
async fn directories_may_come_go_move_and_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("state");
    let inner = top.join("pwfs/credentials");
    let file = inner.join("p.json");
    let mut watch = watching(&[&file]).await;
    for round in ["first", "second", "third"] {
        // No time between the steps: what happens before a new directory is watched is found by looking.
        fs::create_dir_all(&inner).unwrap();
        fs::write(&file, round).unwrap();
        tells(&mut watch, round).await;
        fs::remove_dir_all(&top).unwrap();
        tells(&mut watch, "all of it was deleted").await;
    }
    fs::create_dir_all(&inner).unwrap();
    fs::write(&file, "kept").unwrap();
    tells(&mut watch, "before the move").await;
    // Nothing happens to the file's own directory, nor to the one above.
    fs::rename(&top, dir.path().join("backup")).unwrap();
    tells(&mut watch, "a directory above was moved away").await;
    fs::write(dir.path().join("backup/pwfs/credentials/p.json"), "elsewhere").unwrap();
    tells_nothing(&mut watch, "what is done to the file where it went").await;
    fs::create_dir_all(&inner).unwrap();
    fs::write(&file, "new").unwrap();
    tells(&mut watch, "it was all made again").await;

    // One watch for each directory that is on the way now, and none of those before.
    let info = format!("/proc/self/fdinfo/{}", watch.inotify.get_ref().as_raw_fd());
    let watches = fs::read_to_string(info).unwrap().matches("inotify wd:").count();
    assert_eq!(watches, file.ancestors().skip(1).count());
}

#[tokio::test]
async fn links_are_followed_wherever_they_lead_next() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // A secret as Kubernetes mounts it: token -> ..data/token, ..data -> a directory that is replaced.
    for generation in ["..1", "..2"] {
        fs::create_dir_all(at("mounted").join(generation)).unwrap();
        fs::write(at("mounted").join(generation).join("token"), generation).unwrap();
    }
    symlink("..1", at("mounted/..data")).unwrap();
    symlink("..data/token", at("mounted/token")).unwrap();
    symlink(at("mounted/token"), at("token")).unwrap();
    let mut watch = watching(&[&at("token"), &at("other")]).await;

    symlink("..2", at("mounted/..next")).unwrap();
    fs::rename(at("mounted/..next"), at("mounted/..data")).unwrap();
    tells(&mut watch, "the directory was replaced").await;
    fs::write(at("mounted/..2/token"), "in place").unwrap();
    tells(&mut watch, "the file at the end was written").await;
    fs::write(at("mounted/..1/token"), "old").unwrap();
    tells_nothing(&mut watch, "what it led to before").await;
    fs::write(at("direct"), "direct").unwrap();
    fs::remove_file(at("token")).unwrap();
    symlink("direct", at("token")).unwrap();
    tells(&mut watch, "the first link leads elsewhere").await;
    fs::write(at("other"), "").unwrap();
    tells(&mut watch, "the second file was made").await;
    // A circle is no way to a file.
    fs::remove_file(at("other")).unwrap();
    symlink("other", at("other")).unwrap();
    tells(&mut watch, "the second file was deleted").await;
}
