//! The directory of cached documents under a running mount: deleted, made read-only, full, damaged. What is read is right
//! all the same, and nothing hangs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pwfs::demo::RequestKind;
use rustix::fs::Advice;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::Signal;

use super::{Mounted, PROJECT, Settings, blocking, fuse_is_here, is_root, mount, mount_of};
use crate::harness::small;
use crate::program::Stage;

/// Of one block, of several, and of no round length.
const SIZES: [u64; 4] = [5_000, 300_000, (2 << 20) + 77, 5 << 20];

/// Documents in a mount, and what they hold.
struct Shelf {
    mounted: Mounted,
    documents: Vec<(PathBuf, Vec<u8>)>,
}

impl Shelf {
    async fn new() -> Self {
        Self::of(mount(Settings::default()).await).await
    }

    async fn of(mounted: Mounted) -> Self {
        let world = mounted.server.world();
        let general = world.folder_at(&[PROJECT, "00 General"]).unwrap();
        let folder = mounted.path("00 General");
        let mut documents = Vec::new();
        for size in SIZES {
            let name = format!("{size}.bin");
            let guid = world.add_document_sized(general, &name, size).unwrap();
            documents.push((folder.join(name), world.content(guid).unwrap().to_vec()));
        }
        mounted.refresh(&folder).await;
        Self { mounted, documents }
    }

    fn cache(&self) -> PathBuf {
        self.mounted.outside("cache")
    }

    /// Has the daemon read everything, whatever the kernel has.
    async fn check(&self, when: &'static str) {
        for (path, truth) in self.documents.clone() {
            blocking(move || {
                let file = File::open(&path).unwrap();
                rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
                let mut read = vec![0; truth.len()];
                file.read_exact_at(&mut read, 0)
                    .unwrap_or_else(|error| panic!("{when}: {}: {error}", path.display()));
                assert!(read == truth, "{when}: {}", path.display());
            })
            .await;
        }
    }

    /// Waits until nothing is on its way to the disk any more.
    async fn kept(&self) {
        let reader = self.mounted.daemon.filesystem().reader().clone();
        crate::harness::until(|| {
            let stats = reader.stats();
            stats.in_flight == 0 && stats.buffered == 0
        })
        .await;
    }

    fn asked(&self) -> u64 {
        self.mounted.server.requests().of(RequestKind::File)
    }
}

/// The files below `dir` whose name ends so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_deleted_or_damaged_under_a_mount_costs_time_and_no_byte() {
    if !fuse_is_here() {
        return;
    }
    let shelf = Shelf::new().await;
    shelf.check("at first").await;
    shelf.kept().await;
    let before = shelf.asked();
    shelf.check("again").await;
    assert_eq!(shelf.asked(), before, "it is here");

    let flip = |path: &Path| {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let at = file.metadata().unwrap().len() / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    for data in files(&shelf.cache(), ".data") {
        flip(&data);
    }
    shelf.check("with flipped bits").await;
    assert!(shelf.asked() > before, "and what was wrong was fetched again");
    shelf.kept().await;
    for data in files(&shelf.cache(), ".data") {
        File::options()
            .write(true)
            .open(&data)
            .unwrap()
            .set_len(1)
            .unwrap();
    }
    shelf.check("cut short while they are open").await;
    let shelf = again(shelf).await;
    for data in files(&shelf.cache(), ".data") {
        flip(&data);
    }
    shelf.check("with flipped bits that nobody had read yet").await;

    let shelf = again(shelf).await;
    for map in files(&shelf.cache(), ".map") {
        flip(&map);
    }
    shelf.check("with flipped maps").await;

    let shelf = again(shelf).await;
    for data in files(&shelf.cache(), ".data") {
        let file = File::options().write(true).open(&data).unwrap();
        file.set_len(file.metadata().unwrap().len() / 3).unwrap();
    }
    shelf.check("cut short").await;

    let shelf = again(shelf).await;
    let data = files(&shelf.cache(), ".data");
    for (one, other) in data.iter().zip(data.iter().skip(1)) {
        let aside = one.with_extension("aside");
        fs::rename(one, &aside).unwrap();
        fs::rename(other, one).unwrap();
        fs::rename(&aside, other).unwrap();
    }
    shelf.check("with swapped files").await;

    fs::remove_dir_all(shelf.cache()).unwrap();
    shelf.check("without its directory").await;
    shelf.kept().await;
    shelf.check("and with one made anew").await;
    shelf.mounted.stop().await;
}

/// Ends the mount and begins it anew on the same cache, server and documents.
async fn again(shelf: Shelf) -> Shelf {
    shelf.kept().await;
    let Shelf { mounted, documents } = shelf;
    let Mounted {
        server,
        daemon,
        _forced: forced,
        dir,
    } = mounted;
    assert_eq!(
        daemon.stop().await.unwrap(),
        pwfs::fuse::session::Unmounted::Cleanly
    );
    drop(forced);
    let from = dir.path().join("mnt");
    fs::remove_dir(&from).unwrap();
    Shelf {
        mounted: mount_of(server, dir, Settings::default()).await,
        documents,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_on_a_full_disk_is_done_without() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let server = pwfs::demo::DemoServer::start(small()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    // Room for the catalog, and for some of what is read.
    let small = c"size=4m,mode=0700";
    rustix::mount::mount("none", &cache, "tmpfs", MountFlags::empty(), Some(small)).unwrap();
    let _unmounted = Unmount(cache.clone());
    let shelf = Shelf::of(mount_of(server, dir, Settings::default()).await).await;
    shelf.check("on a full disk").await;
    shelf.check("again on a full disk").await;
    shelf.mounted.stop().await;
}

#[test]
fn a_cache_that_cannot_be_written_any_more_is_done_without_and_what_it_has_is_read() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let stage = Stage::of_nobody();
    stage.sign_in();
    let home = stage.home.path();
    assert!(stage.other_program("mkdir", &["m"]).status().unwrap().success());
    let mut mount = stage.start(&["mount", "m"]);
    mount.wait_for_line(|line| line.starts_with("Press Ctrl-C"));
    let world = stage.server.world();
    let general = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    let documents = world.documents();
    let inside = documents.iter().filter(|document| {
        document.readable && document.path.len() == 2 && document.path[1] == "00 General" && document.size > 0
    });
    let names: Vec<String> = inside.filter_map(|document| document.file_name.clone()).collect();
    let [kept, other] = &names[..2] else {
        panic!("{general}: {names:?}")
    };
    let read = |name: &str| {
        let path = format!("m/{PROJECT}/00 General/{name}");
        let output = stage.other_program("cat", &[&path]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let guid = world.document_at(&[PROJECT, "00 General", name]).unwrap();
        assert!(output.stdout == world.content(guid).unwrap(), "{name}");
    };
    read(kept);
    let cache = home.join(".cache/pwfs");
    let mode = |mode: &str| {
        let status = Command::new("chmod").args(["-R", mode]).arg(&cache).status();
        assert!(status.unwrap().success());
    };
    mode("a-w");
    read(kept);
    read(other);
    mode("u+w");
    mount.signal(Signal::TERM);
    assert_eq!(mount.finish().code, Some(0));
}

/// Takes away what a test mounted.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}
