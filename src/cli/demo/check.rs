//! `pwfs demo --check`: the whole tour unattended, against the truth of the demo's world.
//!
//! Everything is asked through the mount, by ordinary system calls; the world says what should have come.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, XattrFlags};

use crate::daemon::{Daemon, blocking};
use crate::demo::knobs::{DocumentProperties, FileSizeAs, RevokedFolder};
use crate::demo::{DemoServer, ExpectedDocument};
use crate::model::{DocumentKind, Guid};
use crate::tree::inodes::{InodeNo, Target};

/// How long the kernel gets to take notifications.
const SETTLE: Duration = Duration::from_secs(10);

/// What the tour found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Documents read, each to its last byte.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Everything that was not as the world says.
    pub mismatches: Vec<String>,
    /// Requests the server got.
    pub requests: u64,
    /// Mutating calls refused with EROFS.
    pub erofs: usize,
    /// Mutating calls tried.
    pub attempts: usize,
}

impl Findings {
    /// True if nothing differed.
    pub fn passed(&self) -> bool {
        let tried = self.attempts > 0 && self.erofs == self.attempts;
        self.mismatches.is_empty() && tried && self.documents > 0
    }

    /// The one line that sums it up.
    pub fn line(&self) -> String {
        format!(
            "documents={} bytes={} mismatches={} requests={} erofs={}/{}",
            self.documents,
            self.bytes,
            self.mismatches.len(),
            self.requests,
            self.erofs,
            self.attempts
        )
    }

    fn differ(&mut self, what: impl Into<String>) {
        self.mismatches.push(what.into());
    }
}

/// What a walk through the mount found, by GUID.
#[derive(Debug, Default)]
struct Seen {
    folders: BTreeMap<Guid, PathBuf>,
    documents: BTreeMap<Guid, PathBuf>,
    /// Documents that cannot be looked at: their length is not listed, and learning it is refused.
    refused: usize,
}

/// What the server does not tell, or not truly, as its knobs stand; nobody can know better.
#[derive(Debug, Clone, Copy)]
struct Manners {
    /// Version labels are listed.
    tells_versions: bool,
    /// Every file has the length that is listed, or none is listed. Where not, the name of a file leads to a new
    /// inode once its true length is known, and the old one is stale.
    tells_lengths: bool,
    /// A folder that may not be listed says so.
    tells_refusals: bool,
}

impl Manners {
    fn of(server: &DemoServer) -> Self {
        let knobs = server.knobs();
        Self {
            tells_versions: knobs.properties != DocumentProperties::Few,
            tells_lengths: knobs.filesize_as != FileSizeAs::Wrong,
            tells_refusals: knobs.revoked_folder != RevokedFolder::Empty,
        }
    }
}

/// Does the tour.
pub async fn tour(server: &DemoServer, daemon: &Daemon) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let world = server.world();
    let root = daemon.mountpoint().clone();

    let expected = world.documents();
    let mut seen = blocking({
        let root = root.clone();
        move || walk(&root)
    })
    .await?;
    let manners = Manners::of(server);
    compare_names(server, &seen, manners, &mut findings);
    let invalidations = daemon.filesystem().tree().invalidations().clone();
    findings = blocking({
        let (world, documents) = (world.clone(), seen.documents.clone());
        move || {
            for document in expected.iter().filter(|document| is_shown(document)) {
                if let Some(path) = documents.get(&document.guid) {
                    let found = match fs::read(path) {
                        // The read has corrected the length; the name leads to a new inode as soon as the kernel knows.
                        Err(error)
                            if error.kind() == io::ErrorKind::StaleNetworkFileHandle
                                && !manners.tells_lengths
                                && invalidations.settle(SETTLE) =>
                        {
                            fs::read(path)
                        }
                        found => found,
                    };
                    read_and_compare(
                        found,
                        path,
                        document,
                        world.content(document.guid).as_deref(),
                        &mut findings,
                    );
                    compare_xattrs(path, document, manners, &mut findings);
                }
            }
            io::Result::Ok(findings)
        }
    })
    .await?;

    refuse_mutations(server, &seen, &root, &mut findings).await?;
    change_and_see(server, daemon, &mut seen, &mut findings).await?;
    findings.requests = server.requests().total;
    if server.requests().mutation_attempts > 0 {
        findings.differ("the server got a request that would have changed it");
    }
    Ok(findings)
}

/// What the tree shows of the world: active documents with a file, in folders that can be listed.
fn is_shown(document: &ExpectedDocument) -> bool {
    document.listed && document.active && document.kind == DocumentKind::File
}

/// Walks the whole mount; a directory that may not be listed stays a leaf.
fn walk(root: &Path) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        let paths = match list(&directory) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            paths => paths?,
        };
        for path in paths {
            let guid = match guid_of(&path) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    seen.refused += 1;
                    continue;
                }
                guid => guid?,
            };
            if fs::symlink_metadata(&path)?.is_dir() {
                seen.folders.insert(guid, path.clone());
                waiting.push(path);
            } else {
                seen.documents.insert(guid, path);
            }
        }
    }
    Ok(seen)
}

/// All entries of a directory. A directory is opened without a question; a refusal comes with the first entry.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

fn compare_names(server: &DemoServer, seen: &Seen, manners: Manners, findings: &mut Findings) {
    let world = server.world();
    let folders: BTreeSet<Guid> = world
        .folders()
        .iter()
        .filter(|f| f.listed)
        .map(|f| f.guid)
        .collect();
    let mut documents: BTreeSet<Guid> = world
        .documents()
        .iter()
        .filter(|d| is_shown(d))
        .map(|d| d.guid)
        .collect();
    // Each of those that cannot be looked at stands for one that may not be read.
    let unreadable = world
        .documents()
        .into_iter()
        .filter(|d| is_shown(d) && !d.readable && !seen.documents.contains_key(&d.guid));
    for document in unreadable.take(seen.refused) {
        documents.remove(&document.guid);
    }
    for (what, expected, seen) in [
        ("folder", folders, &seen.folders),
        ("document", documents, &seen.documents),
    ] {
        for missing in expected.iter().filter(|guid| !seen.contains_key(guid)) {
            findings.differ(format!("{what} {missing} is not in the mount"));
        }
        for (guid, path) in seen.iter().filter(|(guid, _)| !expected.contains(guid)) {
            findings.differ(format!(
                "{what} {guid} should not be in the mount, at {}",
                path.display()
            ));
        }
    }
    for folder in world
        .folders()
        .iter()
        .filter(|folder| folder.listed && !folder.listable)
    {
        if let Some(path) = seen.folders.get(&folder.guid)
            && manners.tells_refusals
            && !matches!(list(path), Err(error) if error.kind() == io::ErrorKind::PermissionDenied)
        {
            findings.differ(format!("{} may not be listed, and was", path.display()));
        }
    }
}

fn read_and_compare(
    found: io::Result<Vec<u8>>,
    path: &Path,
    document: &ExpectedDocument,
    truth: Option<&[u8]>,
    findings: &mut Findings,
) {
    let shown = path.display();
    match (found, document.readable) {
        (Ok(bytes), true) => {
            findings.documents += 1;
            findings.bytes += bytes.len() as u64;
            if Some(bytes.as_slice()) != truth {
                findings.differ(format!(
                    "{shown}: {} bytes that are not the document's",
                    bytes.len()
                ));
            }
            match fs::metadata(path) {
                Ok(metadata) if metadata.len() == bytes.len() as u64 => {}
                Ok(metadata) => findings.differ(format!("{shown}: stat says {} bytes", metadata.len())),
                Err(error) => findings.differ(format!("{shown}: {error}")),
            }
        }
        (Err(error), false) if error.kind() == io::ErrorKind::PermissionDenied => {}
        (Ok(_), false) => findings.differ(format!("{shown} may not be read, and was")),
        (Err(error), _) => findings.differ(format!("{shown}: {error}")),
    }
}

fn compare_xattrs(path: &Path, document: &ExpectedDocument, manners: Manners, findings: &mut Findings) {
    let expected = [
        ("user.projectwise.name", Some(document.name.clone())),
        (
            "user.projectwise.folder_guid",
            Some(document.folder_guid.to_string()),
        ),
        (
            "user.projectwise.version",
            Some(document.version.clone()).filter(|version| !version.is_empty() && manners.tells_versions),
        ),
        (
            "user.projectwise.readable",
            Some(if document.readable { "1" } else { "0" }.to_owned()),
        ),
    ];
    for (name, value) in expected {
        let found = xattr(path, name).ok();
        if found != value {
            findings.differ(format!("{}: {name} is {found:?}, not {value:?}", path.display()));
        }
    }
}

/// Tries every call that would change something: each must be refused, and none may reach the server.
async fn refuse_mutations(
    server: &DemoServer,
    seen: &Seen,
    root: &Path,
    findings: &mut Findings,
) -> io::Result<()> {
    let Some(file) = seen.documents.values().next().cloned() else {
        return Ok(());
    };
    let Some(folder) = seen.folders.values().next().cloned() else {
        return Ok(());
    };
    let root = root.to_owned();
    let before = server.requests().total;
    let outcomes = blocking(move || io::Result::Ok(mutations(&root, &folder, &file))).await?;
    findings.attempts = outcomes.len();
    for (call, outcome) in outcomes {
        match outcome {
            Err(rustix::io::Errno::ROFS) => findings.erofs += 1,
            other => findings.differ(format!("{call} answered {other:?}, not EROFS")),
        }
    }
    let requests = server.requests().total - before;
    if requests > 0 {
        findings.differ(format!("refusing changes cost {requests} requests"));
    }
    Ok(())
}

/// Tries every call that would change something, on a folder and a file below `root`, and says what each answered.
pub fn mutations(root: &Path, folder: &Path, file: &Path) -> Vec<(&'static str, rustix::io::Result<()>)> {
    let new = root.join("pwfs-check-new");
    let mode = Mode::RUSR | Mode::WUSR;
    let time = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    let open = |path: &Path, flags| rustix::fs::open(path, flags, mode).map(drop);
    vec![
        ("open(O_CREAT)", open(&new, OFlags::CREATE | OFlags::WRONLY)),
        ("open(O_WRONLY)", open(file, OFlags::WRONLY)),
        ("open(O_RDWR)", open(file, OFlags::RDWR)),
        ("open(O_TRUNC)", open(file, OFlags::WRONLY | OFlags::TRUNC)),
        ("open(O_APPEND)", open(file, OFlags::WRONLY | OFlags::APPEND)),
        ("open(O_TMPFILE)", open(folder, OFlags::TMPFILE | OFlags::WRONLY)),
        ("mkdir", rustix::fs::mkdir(&new, Mode::RWXU)),
        ("rmdir", rustix::fs::rmdir(folder)),
        ("unlink", rustix::fs::unlink(file)),
        ("rename", rustix::fs::rename(file, &new)),
        ("link", rustix::fs::link(file, &new)),
        ("symlink", rustix::fs::symlink(file, &new)),
        (
            "mknod",
            rustix::fs::mknodat(CWD, &new, rustix::fs::FileType::Fifo, mode, 0),
        ),
        ("chmod", rustix::fs::chmod(file, mode)),
        (
            "chown",
            rustix::fs::chown(file, Some(rustix::process::getuid()), None),
        ),
        (
            "utimensat",
            rustix::fs::utimensat(CWD, file, &times, AtFlags::empty()),
        ),
        (
            "setxattr",
            rustix::fs::setxattr(file, "user.pwfs", b"x", XattrFlags::empty()),
        ),
        (
            "removexattr",
            rustix::fs::removexattr(file, "user.projectwise.guid"),
        ),
    ]
}

/// Changes the world in every way a person may, and looks for each change through the mount.
async fn change_and_see(
    server: &DemoServer,
    daemon: &Daemon,
    seen: &mut Seen,
    findings: &mut Findings,
) -> io::Result<()> {
    let world = server.world();
    let Some((document, path)) = subject(server, seen) else {
        findings.differ("the world has no document the tour could change");
        return Ok(());
    };
    let folder = path.parent().unwrap_or(&path).to_owned();
    let old = world.content(document.guid).unwrap_or_default();
    let mut reader = blocking({
        let path = path.clone();
        move || {
            let mut reader = File::open(path)?;
            let mut first = [0_u8; 1];
            reader.read_exact(&mut first)?;
            io::Result::Ok((reader, first))
        }
    })
    .await?;

    let new: Vec<u8> = b"A new version, as long as it needs to be.\n".repeat(100);
    let failed = |error: crate::demo::WorldError| io::Error::other(error.to_string());
    world.new_version(document.guid, new.clone()).map_err(failed)?;
    world
        .add_document(document.folder_guid, "pwfs-check-added.txt", "added\n")
        .map_err(failed)?;
    see_changes(daemon, &folder).await?;

    let (added, fresh, held) = blocking({
        let (path, folder) = (path.clone(), folder.clone());
        move || {
            let mut held = reader.1.to_vec();
            let read = reader.0.read_to_end(&mut held).map(|_| held);
            io::Result::Ok((
                fs::read(folder.join("pwfs-check-added.txt")),
                fs::read(path),
                read,
            ))
        }
    })
    .await?;
    expect(findings, "an added document", added, b"added\n");
    expect(findings, "a new version by its name", fresh, &new);
    expect(findings, "the old version through a file held open", held, &old);

    let added = world
        .documents()
        .into_iter()
        .find(|document| document.name == "pwfs-check-added.txt");
    if let Some(added) = added {
        world
            .rename_document(added.guid, "pwfs-check-renamed.txt")
            .map_err(failed)?;
        see_changes(daemon, &folder).await?;
        let (from, to) = (
            folder.join("pwfs-check-added.txt"),
            folder.join("pwfs-check-renamed.txt"),
        );
        let (gone, there) = blocking(move || io::Result::Ok((fs::metadata(from), fs::read(to)))).await?;
        expect(findings, "a renamed document", there, b"added\n");
        expect_absent(findings, "the name before", &gone);
        world.delete_document(added.guid).map_err(failed)?;
        see_changes(daemon, &folder).await?;
        let path = folder.join("pwfs-check-renamed.txt");
        expect_absent(
            findings,
            "a deleted document",
            &blocking(move || io::Result::Ok(fs::metadata(path))).await?,
        );
    }
    Ok(())
}

/// A document to change: one that was read, of some length, whose name nobody shares.
fn subject(server: &DemoServer, seen: &Seen) -> Option<(ExpectedDocument, PathBuf)> {
    server.world().documents().into_iter().find_map(|document| {
        let path = seen.documents.get(&document.guid)?;
        let plain = path.file_name()?.to_str() == document.file_name.as_deref();
        (plain && document.readable && document.size > 100_000 && is_shown(&document))
            .then(|| (document, path.clone()))
    })
}

/// Has the folder listed anew, and waits until the kernel was told what changed.
///
/// # Errors
/// What listing or looking failed of, or that the kernel took no notification in time.
pub async fn see_changes(daemon: &Daemon, folder: &Path) -> io::Result<()> {
    let tree = daemon.filesystem().tree().clone();
    let path = folder.to_owned();
    let ino = blocking(move || io::Result::Ok(InodeNo(fs::metadata(path)?.ino()))).await?;
    let inode = tree.inodes().get(ino).ok_or(io::ErrorKind::NotFound)?;
    let Target::Directory(directory, _) = inode.target else {
        return Err(io::ErrorKind::NotADirectory.into());
    };
    tree.relist(directory).await.map_err(io::Error::other)?;
    let invalidations = tree.invalidations().clone();
    let told = blocking(move || io::Result::Ok(invalidations.settle(SETTLE))).await?;
    if told {
        Ok(())
    } else {
        Err(io::Error::other("the kernel took no notification in ten seconds"))
    }
}

fn expect(findings: &mut Findings, what: &str, read: io::Result<Vec<u8>>, truth: &[u8]) {
    match read {
        Ok(bytes) if bytes == truth => {}
        Ok(bytes) => findings.differ(format!("{what}: {} bytes that are not its own", bytes.len())),
        Err(error) => findings.differ(format!("{what}: {error}")),
    }
}

fn expect_absent(findings: &mut Findings, what: &str, found: &io::Result<fs::Metadata>) {
    if !matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound) {
        findings.differ(format!("{what}: {found:?}, not ENOENT"));
    }
}

fn guid_of(path: &Path) -> io::Result<Guid> {
    xattr(path, "user.projectwise.guid")?
        .parse()
        .map_err(io::Error::other)
}

fn xattr(path: &Path, name: &str) -> io::Result<String> {
    // Names are at most 255 characters, links a little more.
    let mut value = vec![0_u8; 4096];
    let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice())?;
    value.truncate(length);
    String::from_utf8(value).map_err(io::Error::other)
}
