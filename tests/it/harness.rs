//! A demo server, a login, and a file system over them, without FUSE.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pwfs::catalog::{Catalog, CatalogId, Places};
use pwfs::cli::demo::visitor::sign_in_to_demo;
use pwfs::clock::Clock;
use pwfs::content::{CacheOptions, ContentCache, Reader};
use pwfs::demo::{DemoOptions, DemoServer, RequestKind, World};
use pwfs::fs::error::FsError;
use pwfs::fs::{Appearance, Attr, Filesystem, Kind, Lookup};
use pwfs::http::{self, HttpClient};
use pwfs::model::Guid;
use pwfs::remote::Remote;
use pwfs::remote::wsg::{WsgAddress, WsgOptions, WsgRemote};
use pwfs::store::listing::DirCookie;
use pwfs::tree::inodes::{InodeNo, ROOT};
use pwfs::tree::{Kept, Tree, TreeConfig};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A small world: the awkward folder and a few shelves of the bridge.
pub fn small() -> DemoOptions {
    DemoOptions {
        documents: 120,
        folders: 50,
        ..DemoOptions::default()
    }
}

/// Everything a test of behaviour needs.
pub struct Bench {
    pub server: DemoServer,
    pub remote: Arc<WsgRemote>,
    pub fs: Filesystem,
    /// Moves the age of listings; time itself runs on.
    pub clock: Clock,
    pub dir: TempDir,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(small(), TreeConfig::default()).await
    }

    pub async fn with(options: DemoOptions, config: TreeConfig) -> Self {
        Self::tuned(options, config, WsgOptions::default()).await
    }

    pub async fn tuned(options: DemoOptions, config: TreeConfig, wsg: WsgOptions) -> Self {
        let server = DemoServer::start(options).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let remote = connect_as(&server, dir.path(), wsg).await;
        // What connecting costs is no part of what a test counts.
        server.reset_counters();
        let clock = Clock::manual();
        let fs = filesystem(remote.clone(), quick(config), dir.path(), &clock).await;
        Self {
            server,
            remote,
            fs,
            clock,
            dir,
        }
    }

    /// The same server and cache, seen by a daemon that was started anew.
    pub async fn remount(&mut self) {
        self.remote = connect(&self.server, self.dir.path()).await;
        self.fs = filesystem(
            self.remote.clone(),
            quick(TreeConfig::default()),
            self.dir.path(),
            &self.clock,
        )
        .await;
    }

    /// Another mount beside [`Bench::fs`]: the same account, cache and clock.
    pub async fn beside(&self, config: TreeConfig) -> Filesystem {
        filesystem(self.remote.clone(), quick(config), self.dir.path(), &self.clock).await
    }

    pub fn world(&self) -> Arc<World> {
        self.server.world()
    }

    /// Lets every listing grow too old.
    pub fn expire(&self) {
        self.clock.advance(Duration::from_secs(301));
    }

    /// Lets time go by for everything that ages, waits or remembers. Needs the current-thread runtime.
    pub async fn pass(&self, by: Duration) {
        self.clock.advance(by);
        tokio::time::pause();
        tokio::time::advance(by).await;
        tokio::time::resume();
    }

    /// Requests of a kind since the counters were reset.
    pub fn asked(&self, kind: RequestKind) -> u64 {
        self.server.requests().of(kind)
    }

    /// A new root folder of `count` documents `doc-00.txt`, … of [`bytes_of`] each.
    pub async fn stock(&self, name: &str, count: usize) -> (Attr, Guid, Vec<Guid>) {
        let world = self.world();
        let guid = world.add_folder(None, name).unwrap();
        let documents = (0..count)
            .map(|number| {
                let name = doc_name(number);
                world.add_document(guid, &name, bytes_of(number, 0)).unwrap()
            })
            .collect();
        self.expire();
        (self.find(&[name]).await.unwrap(), guid, documents)
    }

    pub async fn lookup(&self, parent: InodeNo, name: &str) -> Result<Option<Attr>, FsError> {
        match self.fs.lookup(parent, OsStr::new(name)).await? {
            Lookup::Found(attr, _) => Ok(Some(attr)),
            Lookup::Absent(_) => Ok(None),
        }
    }

    /// Walks down from the root.
    pub async fn find(&self, path: &[&str]) -> Result<Attr, FsError> {
        let mut ino = ROOT;
        let mut found = None;
        for name in path {
            let attr = self.lookup(ino, name).await?.ok_or(FsError::Absent)?;
            ino = attr.ino;
            found = Some(attr);
        }
        found.ok_or(FsError::Absent)
    }

    /// The names and attributes of a directory, read in pieces of `piece` entries; `.` and `..` left out.
    pub async fn list_in_pieces(&self, ino: InodeNo, piece: usize) -> Result<Vec<(String, Attr)>, FsError> {
        let mut entries = Vec::new();
        let mut cookie = DirCookie::from_offset(0);
        while self.next_piece(ino, &mut cookie, piece, &mut entries).await? {}
        Ok(entries)
    }

    /// Goes on reading a directory for `piece` entries; false at its end. `.` and `..` count, and are left out.
    pub async fn next_piece(
        &self,
        ino: InodeNo,
        cookie: &mut DirCookie,
        piece: usize,
        entries: &mut Vec<(String, Attr)>,
    ) -> Result<bool, FsError> {
        let mut taken = 0;
        let from = *cookie;
        self.fs
            .readdirplus(ino, from, &mut |entry| {
                if taken == piece {
                    return true;
                }
                taken += 1;
                *cookie = DirCookie::from_offset(entry.cookie.offset());
                if entry.name != "." && entry.name != ".." {
                    entries.push((entry.name.to_owned(), entry.attr));
                }
                false
            })
            .await?;
        Ok(taken > 0)
    }

    /// Lists twice, so that the server's entity tags count from now on.
    pub async fn list_twice(&self, ino: InodeNo) -> BTreeMap<String, Attr> {
        self.list(ino).await.unwrap();
        self.expire();
        self.list(ino).await.unwrap()
    }

    pub async fn list(&self, ino: InodeNo) -> Result<BTreeMap<String, Attr>, FsError> {
        Ok(self.list_in_pieces(ino, 1000).await?.into_iter().collect())
    }

    /// Every file of the whole tree, by path. Folders that may not be listed stay leaves.
    pub async fn walk(&self) -> BTreeMap<String, Attr> {
        let mut files = BTreeMap::new();
        let mut waiting = vec![(String::new(), ROOT)];
        while let Some((path, ino)) = waiting.pop() {
            let entries = match self.list(ino).await {
                Err(FsError::Denied(_)) => continue,
                entries => entries.unwrap(),
            };
            for (name, attr) in entries {
                let path = format!("{path}/{name}");
                match attr.kind {
                    Kind::Directory => waiting.push((path, attr.ino)),
                    Kind::File => {
                        files.insert(path, attr);
                    }
                }
            }
        }
        files
    }

    /// Reads a whole file as the kernel does, 128 KiB at a time.
    pub async fn read(&self, attr: &Attr) -> Result<Vec<u8>, FsError> {
        const PIECE: u32 = 128 * 1024;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < attr.size {
            bytes.extend_from_slice(&self.fs.read(attr.ino, bytes.len() as u64, PIECE).await?);
        }
        Ok(bytes)
    }

    pub fn xattr(&self, ino: InodeNo, name: &str) -> Option<String> {
        // What made room in memory may be waited for.
        let value = async_io::block_on(self.fs.getxattr(ino, OsStr::new(name))).ok()?;
        Some(String::from_utf8(value).unwrap())
    }

    pub fn guid(&self, attr: &Attr) -> Guid {
        self.xattr(attr.ino, "user.projectwise.guid")
            .unwrap()
            .parse()
            .unwrap()
    }
}

/// Tests wait for events and not for the clock: an emptied folder is asked again at once.
fn quick(config: TreeConfig) -> TreeConfig {
    TreeConfig {
        confirm_after: Duration::from_millis(1),
        ..config
    }
}

/// Waits until something is so that nobody announces. Everything else runs on meanwhile.
pub async fn until(mut so: impl FnMut() -> bool) {
    let soon = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < soon, "it never came to be");
        tokio::task::yield_now().await;
    }
}

/// The name of a stock document.
pub fn doc_name(number: usize) -> String {
    format!("doc-{number:02}.txt")
}

/// What is in a stock document: longer than two network packets, of a length of its own, told apart from every other
/// version at every offset.
pub fn bytes_of(number: usize, version: u8) -> Vec<u8> {
    (0..5000 + 10 * number)
        .map(|at| u8::try_from((at * 7 + number * 13) % 64).unwrap() + 64 * version)
        .collect()
}

pub async fn connect(server: &DemoServer, state: &Path) -> Arc<WsgRemote> {
    connect_as(server, state, WsgOptions::default()).await
}

async fn connect_as(server: &DemoServer, state: &Path, options: WsgOptions) -> Arc<WsgRemote> {
    // Repeats as often as ever, and without the pauses no test waits for.
    let http = HttpClient::with_options(http::Options {
        first_backoff: Duration::from_millis(1),
        ..http::Options::default()
    })
    .unwrap();
    let login = sign_in_to_demo(server, &http, state, &Handle::current())
        .await
        .unwrap();
    let address = WsgAddress::parse(&server.datasource_url()).unwrap();
    Arc::new(
        WsgRemote::connect(http, login.tokens, address, options)
            .await
            .unwrap(),
    )
}

async fn filesystem(remote: Arc<WsgRemote>, config: TreeConfig, dir: &Path, clock: &Clock) -> Filesystem {
    let account = remote.account().await.unwrap();
    let cache = ContentCache::open(
        &dir.join("cache"),
        Handle::current(),
        CacheOptions {
            free_floor: 0,
            ..CacheOptions::default()
        },
    )
    .unwrap();
    let reader = Reader::new(Arc::new(cache), remote.clone());
    let places = Places {
        cache: dir.join("cache"),
        state: dir.join("state"),
    };
    let id = CatalogId {
        issuer: "demo".to_owned(),
        account: account.clone(),
        datasource: remote.name().to_owned(),
    };
    let opened = Catalog::open(&places, &id).unwrap();
    assert!(opened.set_aside.is_empty(), "nothing is damaged");
    let kept = Kept::read(opened.catalog).unwrap();
    let tree = Tree::over(remote, &Handle::current(), config, clock.clone(), Some(kept));
    let appearance = Appearance {
        uid: 1000,
        gid: 1000,
        file_mode: 0o444,
        dir_mode: 0o555,
        location: "demo:ds".to_owned(),
    };
    Filesystem::new(tree, reader, appearance, &account, Duration::from_secs(10), None)
}
