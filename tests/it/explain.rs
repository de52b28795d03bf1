//! `explain` beside a real mount, and what the mount's directories tell of their listings.

use std::fs;
use std::path::{Path, PathBuf};

use pwfs::demo::{Fault, RequestKind};
use pwfs::tree::inodes::ROOT;
use serde_json::Value;

use crate::harness::{Bench, small};
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage};

pub const PROJECT: &str = "Leven Estuary Crossing";
const BLOCKS: &str = "mnt/Company Standards/CAD Blocks";

/// Mounts at `mnt` in the home of the stage; returns when the mount answers.
pub fn mount(stage: &Stage, args: &[&str]) -> (Running, PathBuf) {
    let dir = stage.home.path().join("mnt");
    fs::create_dir(&dir).unwrap();
    let mut running = stage.start(&[&["mount"], args, &["mnt"]].concat());
    running.wait_for_line(|line| line.contains("is mounted at"));
    (running, dir)
}

/// What an attribute of the mount says.
pub fn attribute(path: &Path, name: &str) -> Option<String> {
    let mut buffer = [0; 4096];
    let length = rustix::fs::getxattr(path, name, &mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn told(stage: &Stage, subject: &str) -> Value {
    serde_json::from_str(&stage.run(&["--json", "explain", subject]).succeeds()).unwrap()
}

#[test]
fn a_present_a_hidden_a_denied_and_an_absent_path_are_explained_without_a_request() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let world = stage.server.world();
    let project = world.folder_at(&[PROJECT]).unwrap();
    let folder = world.add_folder(Some(project), "Explained").unwrap();
    world.add_document(folder, "plan.txt", "plan").unwrap();
    world.add_placeholder(folder, "Idea").unwrap();
    let closed = world.add_folder(Some(folder), "Closed").unwrap();
    world.revoke(closed).unwrap();
    let (_running, dir) = mount(&stage, &[]);
    let below = dir.join(PROJECT).join("Explained");
    let unseen = told(&stage, &format!("mnt/{PROJECT}/Explained/plan.txt"));
    assert_eq!(unseen["verdict"], "unknown", "{unseen}");
    assert_eq!(fs::read_dir(&below).unwrap().count(), 2);
    let closed = fs::read_dir(below.join("Closed")).and_then(|mut entries| entries.next().transpose());
    assert!(closed.is_err());
    stage.server.reset_counters();

    let path = format!("mnt/{PROJECT}/Explained");
    let text = stage.run(&["explain", &format!("{path}/plan.txt")]).succeeds();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("\"plan.txt\" is shown."), "{text}");
    let place = lines.next().unwrap();
    assert!(
        place.starts_with("It is in the listing of \"Explained\", fetched "),
        "{text}"
    );
    for wanted in [
        "  profile     default (good)",
        "\nWay\n",
        "  shown as ",
        "\nNext\n  listed anew  ",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }

    let hidden = told(&stage, &format!("{path}/Idea"));
    assert_eq!(hidden["verdict"], "hidden", "{hidden}");
    assert_eq!(hidden["found"]["hidden"][0]["kind"], "placeholder", "{hidden}");

    let denied = told(&stage, &format!("{path}/Closed/x.txt"));
    assert_eq!(denied["verdict"], "troubled", "{denied}");
    let words = denied["conclusion"][0].as_str().unwrap();
    assert!(
        words.starts_with("Nobody can say whether \"x.txt\" is there: the server refuses"),
        "{words}"
    );

    let absent = told(&stage, &format!("{path}/PLAN.txt"));
    assert_eq!(absent["verdict"], "absent", "{absent}");
    assert_eq!(absent["found"]["near"][0]["shown"], "plan.txt", "{absent}");
    assert_eq!(absent["found"]["near"][0]["why"], "case", "{absent}");

    let guid = world
        .document_at(&[PROJECT, "Explained", "plan.txt"])
        .unwrap()
        .to_string();
    // In this mount: others of the same simulated world may be there, of tests that run at the same time.
    let of_guid = |guid: &str| -> Value {
        let told = stage
            .run(&["--json", "explain", guid, "--mount", "mnt"])
            .succeeds();
        serde_json::from_str(&told).unwrap()
    };
    let by_guid = of_guid(&guid);
    assert_eq!(by_guid["verdict"], "shown", "{by_guid}");
    assert_eq!(by_guid["way"][2]["name"], "Explained", "{by_guid}");
    let question = by_guid["questions"][0].as_str().unwrap();
    assert!(
        question.starts_with("GET ") && question.contains(&folder.to_string()),
        "{question}"
    );
    assert_eq!(told(&stage, "mnt")["found"]["what"], "top");
    let unknown = of_guid("01010101-0101-0101-0101-010101010101");
    assert_eq!(unknown["verdict"], "unknown", "{unknown}");

    let status = stage.run(&["status", "mnt"]).succeeds();
    assert!(status.contains("  catalog  "), "{status}");
    let cursor = attribute(&dir, "user.projectwise.journal").unwrap();
    assert!(status.contains(&format!("  journal  {cursor}")), "{status}");
    assert_eq!(stage.server.requests().total, 0);

    for (args, code) in [
        (["--json", "explain", "nowhere/x"], "mount.none"),
        (["--json", "events", "nowhere"], "mount.none"),
    ] {
        let words = stage.run(&args).fails(1);
        assert!(words.contains(&format!("\"code\":\"{code}\"")), "{words}");
    }
}

#[test]
fn a_directory_tells_how_its_listing_was_proved_and_the_root_where_it_is_kept() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let (_running, dir) = mount(&stage, &[]);
    let blocks = stage.home.path().join(BLOCKS);
    assert!(fs::read_dir(&blocks).unwrap().count() > 0);
    let tells = |path: &Path, name: &str| attribute(path, &format!("user.projectwise.{name}"));
    assert_eq!(tells(&blocks, "complete").as_deref(), Some("1"));
    assert_eq!(tells(&blocks, "stale"), None);
    let proof = tells(&blocks, "proof").unwrap();
    assert!(["paged", "compared", "confirmed"].contains(&&*proof), "{proof}");
    assert!(tells(&blocks, "fetched_at").is_some());
    let name = tells(&dir, "catalog").unwrap();
    let kept = PathBuf::from(tells(&dir, "catalog_dir").unwrap());
    assert!(kept.ends_with(&name) && kept.is_dir(), "{kept:?}");
    let journal = PathBuf::from(tells(&dir, "journal_file").unwrap());
    assert!(journal.is_file(), "{journal:?}");
    assert_eq!(
        tells(&dir, "rules").as_deref(),
        Some("metadata_ttl=300 max_stale=604800 permission_ttl=300")
    );
    for name in ["catalog", "journal", "rules"] {
        assert_eq!(tells(&blocks, name), None, "{name}");
    }
}

#[tokio::test]
async fn a_listing_that_stands_in_for_an_outage_says_stale_until_the_server_is_back() {
    let bench = Bench::new().await;
    let (folder, guid, _) = bench.stock("Stale", 2).await;
    let stale = || bench.xattr(folder.ino, "user.projectwise.stale");
    bench.list(folder.ino).await.unwrap();
    assert_eq!(stale(), None);
    bench.expire();
    assert_eq!(
        stale(),
        None,
        "an old listing stands in for nothing before somebody was answered with it"
    );
    bench
        .server
        .inject(Fault::status(RequestKind::ListDocuments, 404).about(guid));
    bench.list(folder.ino).await.unwrap();
    assert_eq!(stale().as_deref(), Some("1"));
    assert_eq!(bench.xattr(ROOT, "user.projectwise.stale"), None);
    bench.server.clear_faults();
    bench.expire();
    bench.list(folder.ino).await.unwrap();
    assert_eq!(stale(), None);
}
