//! `pwfs cache`, `pin` and `unpin` beside a real mount.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::explain::{PROJECT, attribute, mount};
use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::{Stage, until};

fn json(stage: &Stage, args: &[&str]) -> Value {
    serde_json::from_str(&stage.run(&[&["--json"], args].concat()).succeeds()).unwrap()
}

/// All data files of a cache.
fn data(location: &Path) -> Vec<PathBuf> {
    let fans = fs::read_dir(location.join("content-v2"))
        .unwrap()
        .map(|fan| fan.unwrap().path());
    fans.flat_map(|fan| fs::read_dir(fan).unwrap().map(|file| file.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "data"))
        .collect()
}

#[test]
fn a_cache_is_looked_at_checked_pinned_and_emptied_beside_its_mount() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let world = stage.server.world();
    let project = world.folder_at(&[PROJECT]).unwrap();
    let folder = world.add_folder(Some(project), "Kept").unwrap();
    world.add_document(folder, "one.txt", "the first").unwrap();
    world.add_document(folder, "two.txt", "the second").unwrap();
    let (_running, dir) = mount(&stage, &[]);
    let below = dir.join(PROJECT).join("Kept");
    let pinned = format!("mnt/{PROJECT}/Kept");
    let empty = json(&stage, &["cache", "info"]);
    assert_eq!(
        (&empty["entries"], &empty["max_bytes"]),
        (&0.into(), &(10_u64 << 30).into()),
        "{empty}"
    );

    let report = json(&stage, &["pin", "--fetch", &pinned]);
    assert_eq!(
        (&report["documents"], &report["changed"]),
        (&2.into(), &2.into()),
        "{report}"
    );
    assert_eq!(report["bytes_read"], 19);
    let shown = stage.run(&["pin"]).succeeds();
    let guid = attribute(&below.join("one.txt"), "user.projectwise.guid").unwrap();
    assert!(
        shown.contains(&format!("{guid}  ")) && shown.contains("one.txt"),
        "{shown}"
    );
    // A download is kept after its last reader was served.
    until("both are kept", || {
        json(&stage, &["cache", "info"])["pinned_entries"] == 2
    });
    let info = json(&stage, &["cache", "info", "--max-cache-size", "2G"]);
    assert_eq!(
        (&info["pins"], &info["max_bytes"]),
        (&2.into(), &(2_u64 << 30).into()),
        "{info}"
    );
    let text = stage.run(&["cache", "info"]).succeeds();
    for wanted in [
        "location  ",
        "size      ",
        "pinned    2 documents, 2 of them here",
        "cap       10.0 GiB",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }

    let checked = json(&stage, &["cache", "verify"]);
    assert_eq!(
        (&checked["ok"], &checked["entries"]),
        (&true.into(), &2.into()),
        "{checked}"
    );
    let location = PathBuf::from(info["location"].as_str().unwrap());
    let bad = &data(&location)[0];
    let mut bytes = fs::read(bad).unwrap();
    bytes[4] ^= 1;
    fs::write(bad, bytes).unwrap();
    let found = stage.run(&["cache", "verify"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stderr.contains("1 document damaged"), "{found:?}");
    assert!(
        found.stdout.contains("the checksum of block 0 differs; removed"),
        "{found:?}"
    );
    assert!(!bad.exists());
    json(&stage, &["cache", "verify"]);
    assert_eq!(fs::read_to_string(below.join("one.txt")).unwrap(), "the first");
    assert_eq!(fs::read_to_string(below.join("two.txt")).unwrap(), "the second");

    let words = stage.run(&["cache", "clear"]).fails(2);
    assert!(words.contains("pwfs cache clear --yes"), "{words}");
    json(&stage, &["cache", "clear", "--yes"]);
    json(&stage, &["cache", "gc"]);
    assert_eq!(fs::read_to_string(below.join("one.txt")).unwrap(), "the first");
    let report = json(&stage, &["unpin", &format!("{pinned}/one.txt"), &guid]);
    assert_eq!(
        (&report["documents"], &report["changed"]),
        (&2.into(), &1.into()),
        "{report}"
    );
    assert_eq!(json(&stage, &["unpin", &pinned])["changed"], 1);
    assert_eq!(stage.run(&["pin"]).succeeds(), "nothing is pinned\n");
}

#[test]
fn what_is_in_no_mount_cannot_be_pinned_and_a_size_that_is_none_is_refused() {
    let stage = Stage::new();
    let words = stage.run(&["pin", "nowhere"]).fails(1);
    assert!(words.contains("not in a mount of pwfs"), "{words}");
    let words = stage.run(&["cache", "info", "--max-cache-size", "much"]).fails(2);
    assert!(
        words.contains("a size is written as 500M, 10G or 1.5T"),
        "{words}"
    );
    let empty = stage.run(&["cache", "gc"]).succeeds();
    assert_eq!(empty, "0 bytes are kept\n");
}
