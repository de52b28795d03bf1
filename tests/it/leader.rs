//! Two mounts of one account: one asks the server, both show what it said, and neither waits for a dead one.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pwfs::catalog::DirKey;
use pwfs::demo::{Effect, Fault, RequestKind};
use pwfs::fs::Filesystem;
use pwfs::leader::failure::Failure;
use pwfs::leader::protocol::{Ask, Line};
use pwfs::leader::{Client, ClientError, Crawler, Hooks, Leadership, Standing, Usage};
use pwfs::model::{DirId, FolderId, Guid};
use pwfs::remote::{Remote, RemoteError, Urgency};
use pwfs::tree::inodes::{Directory, MountEntry, ROOT_DIRECTORY};
use pwfs::tree::{Tree, TreeConfig, TreeError};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::harness::{Bench, doc_name, until};

mod killed;

fn folder(guid: Guid) -> Directory {
    Directory {
        mount: MountEntry::WHOLE,
        id: DirId::Folder(FolderId(guid)),
    }
}

fn begin(fs: &Filesystem, hooks: Hooks) -> Leadership {
    let catalog = fs.tree().catalog().unwrap().clone();
    Leadership::begin(catalog, fs.tree(), hooks, &Handle::current())
}

fn catalog_dir(fs: &Filesystem) -> &Path {
    fs.tree().catalog().unwrap().dir()
}

async fn leads(leadership: &Leadership) {
    let mut standing = leadership.standing();
    standing.wait_for(|now| *now == Standing::Leading).await.unwrap();
}

async fn follows(leadership: &Leadership) {
    let mut standing = leadership.standing();
    let pid = std::process::id();
    standing
        .wait_for(|now| *now == Standing::Following { pid })
        .await
        .unwrap();
}

/// A leader and a follower over one catalog.
struct Pair {
    bench: Bench,
    leader: Leadership,
    other: Filesystem,
    follower: Leadership,
}

impl Pair {
    async fn new() -> Self {
        Self::with(Hooks::default()).await
    }

    async fn with(hooks: Hooks) -> Self {
        let bench = Bench::new().await;
        let leader = begin(&bench.fs, hooks);
        leads(&leader).await;
        let other = bench.beside(TreeConfig::default()).await;
        let follower = begin(&other, Hooks::default());
        follows(&follower).await;
        Self {
            bench,
            leader,
            other,
            follower,
        }
    }

    fn listings_of(&self, kind: RequestKind) -> u64 {
        self.bench.asked(kind)
    }
}

async fn names(tree: &Tree, directory: Directory) -> Result<BTreeSet<String>, TreeError> {
    let listed = tree.list(directory).await?;
    let rows = listed.stored.listing.rows();
    Ok(rows.iter().map(|row| row.name.as_str().to_owned()).collect())
}

/// True if the tree holds a listing with this name in it, without asking anyone.
fn shows(tree: &Tree, directory: Directory, name: &str) -> bool {
    tree.held(directory)
        .is_some_and(|held| held.listing.get(name).is_some())
}

#[tokio::test]
async fn a_folder_that_two_mounts_list_at_once_costs_one_listing() {
    let pair = Pair::new().await;
    let (_, guid, _) = pair.bench.stock("Shared", 3).await;
    let hold = pair
        .bench
        .server
        .inject(Fault::everywhere(Effect::HangAfterAccept).about(guid));
    pair.bench.server.reset_counters();
    let (first, second, ()) = tokio::join!(
        names(pair.bench.fs.tree(), folder(guid)),
        names(pair.other.tree(), folder(guid)),
        async {
            pair.bench.server.wait_for(RequestKind::ListDocuments, 1).await;
            pair.bench.server.clear_fault(hold);
        }
    );
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    assert!(first.contains(&doc_name(2)));
    assert_eq!(pair.listings_of(RequestKind::ListDocuments), 1);
    assert_eq!(pair.listings_of(RequestKind::ListProjects), 1);
}

#[tokio::test]
async fn a_follower_has_the_leader_ask_whether_or_not_it_knows_the_folder() {
    let pair = Pair::new().await;
    let (_, guid, _) = pair.bench.stock("Shared", 3).await;
    pair.bench.server.reset_counters();
    // Neither knows it.
    names(pair.other.tree(), folder(guid)).await.unwrap();
    assert!(
        pair.bench.fs.tree().held(folder(guid)).is_some(),
        "the leader listed it"
    );
    assert_eq!(pair.listings_of(RequestKind::ListDocuments), 1);
    // From now on the server's entity tags count.
    pair.other.tree().relist(folder(guid)).await.unwrap();
    assert_eq!(pair.listings_of(RequestKind::ListDocuments), 2);
    // Both know it, and it is too old.
    pair.bench
        .world()
        .add_document(guid, "added.txt", "added")
        .unwrap();
    pair.bench.expire();
    let seen = names(pair.other.tree(), folder(guid)).await.unwrap();
    assert!(seen.contains("added.txt"));
    assert!(shows(pair.bench.fs.tree(), folder(guid), "added.txt"));
    assert_eq!(pair.listings_of(RequestKind::ListDocuments), 3);
    // It is fresh, and wanted anew.
    pair.bench.world().add_document(guid, "more.txt", "more").unwrap();
    pair.other.tree().relist(folder(guid)).await.unwrap();
    assert!(shows(pair.other.tree(), folder(guid), "more.txt"));
    // Its answer to the change is of rows that came once.
    assert_eq!(pair.listings_of(RequestKind::ListDocuments), 4);
}

#[tokio::test]
async fn what_the_leader_keeps_shows_at_a_follower_without_a_request() {
    let pair = Pair::new().await;
    let (attr, guid, _) = pair.bench.stock("Shared", 3).await;
    let (leader, other) = (pair.bench.fs.tree(), pair.other.tree());
    names(leader, folder(guid)).await.unwrap();
    names(other, folder(guid)).await.unwrap();
    // The kernel of the other mount has reached the folder.
    names(other, ROOT_DIRECTORY).await.unwrap();
    let reached = pair
        .other
        .lookup(pwfs::tree::inodes::ROOT, "Shared".as_ref())
        .await;
    assert!(matches!(reached, Ok(pwfs::fs::Lookup::Found(found, _)) if found.ino == attr.ino));

    pair.bench
        .world()
        .add_document(guid, "added.txt", "added")
        .unwrap();
    leader.relist(folder(guid)).await.unwrap();
    pair.bench.server.reset_counters();
    until(|| shows(other, folder(guid), "added.txt")).await;
    assert!(names(other, folder(guid)).await.unwrap().contains("added.txt"));
    assert_eq!(pair.bench.server.requests().total, 0);
    let told = other.invalidations().clone();
    let (ino, drops) = tokio::task::spawn_blocking(move || told.take())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ino, attr.ino, "the kernel hears of it too");
    assert!(drops.listing && drops.names.iter().any(|name| name.as_str() == "added.txt"));
}

#[tokio::test]
async fn what_a_follower_keeps_by_itself_shows_at_the_leader() {
    let pair = Pair::new().await;
    names(pair.bench.fs.tree(), ROOT_DIRECTORY).await.unwrap();
    pair.bench.world().add_folder(None, "New").unwrap();
    // Roots are every mount's own.
    pair.other.tree().relist(ROOT_DIRECTORY).await.unwrap();
    until(|| shows(pair.bench.fs.tree(), ROOT_DIRECTORY, "New")).await;
}

#[tokio::test]
async fn when_the_leader_ends_a_follower_leads_and_misses_nothing() {
    let pair = Pair::new().await;
    let (_, guid, _) = pair.bench.stock("Shared", 3).await;
    let third = pair.bench.beside(TreeConfig::default()).await;
    let next = begin(&third, Hooks::default());
    follows(&next).await;
    for tree in [pair.bench.fs.tree(), pair.other.tree(), third.tree()] {
        names(tree, folder(guid)).await.unwrap();
    }
    pair.leader.end().await;
    // One of the two leads, the other one finds it.
    let (mut first, mut second) = (pair.follower.standing(), next.standing());
    let settled = |standing: Standing| !matches!(standing, Standing::Unknown | Standing::Alone);
    loop {
        let (a, b) = (*first.borrow_and_update(), *second.borrow_and_update());
        if settled(a) && settled(b) && (a == Standing::Leading) != (b == Standing::Leading) {
            break;
        }
        tokio::select! {
            changed = first.changed() => changed.unwrap(),
            changed = second.changed() => changed.unwrap(),
        }
    }
    pair.bench
        .world()
        .add_document(guid, "added.txt", "added")
        .unwrap();
    pair.other.tree().relist(folder(guid)).await.unwrap();
    until(|| shows(third.tree(), folder(guid), "added.txt")).await;
    // Who leads no more is not led either.
    assert!(!shows(pair.bench.fs.tree(), folder(guid), "added.txt"));
    let seen = pair.bench.fs.tree().relist(folder(guid)).await.unwrap();
    assert!(seen.stored.listing.get("added.txt").is_some());
}

#[tokio::test]
async fn mounts_of_different_folders_share_a_leader() {
    let pair = Pair::new().await;
    let (_, guid, _) = pair.bench.stock("Shared", 3).await;
    let parent = pair.bench.remote.folder(FolderId(guid)).await.unwrap();
    let chosen = TreeConfig {
        chosen: vec![pwfs::tree::ChosenFolder { folder: parent }],
        ..TreeConfig::default()
    };
    let third = pair.bench.beside(chosen).await;
    let next = begin(&third, Hooks::default());
    follows(&next).await;
    assert_eq!(
        names(third.tree(), ROOT_DIRECTORY).await.unwrap(),
        BTreeSet::from(["Shared".to_owned()])
    );
    names(pair.bench.fs.tree(), ROOT_DIRECTORY).await.unwrap();
    names(pair.bench.fs.tree(), folder(guid)).await.unwrap();
    pair.bench.server.reset_counters();
    names(third.tree(), folder(guid)).await.unwrap();
    assert_eq!(pair.bench.server.requests().total, 0);
}

#[tokio::test]
async fn a_refusal_seen_by_the_leader_is_one_at_the_follower() {
    let pair = Pair::new().await;
    let (_, first, _) = pair.bench.stock("First", 3).await;
    let (_, alone, _) = pair.bench.stock("Alone", 3).await;
    let (_, shared, _) = pair.bench.stock("Shared", 3).await;
    for guid in [first, alone, shared] {
        let refusal = Fault::status(RequestKind::ListDocuments, 403);
        pair.bench.server.inject(refusal.about(guid));
    }
    let (leader, other) = (pair.bench.fs.tree(), pair.other.tree());
    // The first refusal has the token renewed, in case it was about that.
    names(leader, folder(first)).await.unwrap_err();
    pair.bench.server.reset_counters();
    names(leader, folder(alone)).await.unwrap_err();
    let costs = pair.bench.server.requests().total;
    // The other mount is told what it costs the leader to learn it, and both remember.
    for tree in [other, other, leader] {
        let error = names(tree, folder(shared)).await.unwrap_err();
        assert!(
            matches!(&error, TreeError::Remote(RemoteError::Denied { .. })),
            "{error}"
        );
        assert_eq!(pair.bench.server.requests().total, 2 * costs);
    }
}

/// Somebody who holds the lock of a catalog and its socket, and answers as it likes.
struct FakeLeader {
    _lock: File,
    listener: UnixListener,
}

impl FakeLeader {
    fn of(dir: &Path) -> Self {
        let lock = File::create(dir.join("leader.lock")).unwrap();
        lock.try_lock().unwrap();
        let socket = dir.join("leader.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            _lock: lock,
            listener,
        }
    }

    async fn next(&self) -> (String, BufReader<UnixStream>) {
        let mut stream = BufReader::new(self.listener.accept().await.unwrap().0);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        (line, stream)
    }
}

#[tokio::test]
async fn a_leader_that_hangs_holds_nobody_up_and_is_followed_by_the_next() {
    // One never says anything; the other one stops between two questions.
    let (mute, stopped) = (Bench::new().await, Bench::new().await);
    let (_, first, _) = mute.stock("Mute", 3).await;
    let (_, second, _) = stopped.stock("Stopped", 3).await;
    let mute_leader = FakeLeader::of(catalog_dir(&mute.fs));
    let stopped_leader = FakeLeader::of(catalog_dir(&stopped.fs));
    let mute_follower = begin(&mute.fs, Hooks::default());
    let stopped_follower = begin(&stopped.fs, Hooks::default());

    let (line, mut stream) = stopped_leader.next().await;
    assert!(line.contains("follow"), "{line}");
    let pid = 7;
    let following = serde_json::to_string(&Line::Following { pid, head: 0 }).unwrap();
    stream
        .write_all(format!("{following}\n").as_bytes())
        .await
        .unwrap();
    let mut standing = stopped_follower.standing();
    standing
        .wait_for(|now| *now == Standing::Following { pid })
        .await
        .unwrap();

    let began = Instant::now();
    let (a, b) = tokio::join!(
        names(mute.fs.tree(), folder(first)),
        names(stopped.fs.tree(), folder(second))
    );
    assert!(a.unwrap().contains(&doc_name(0)) && b.unwrap().contains(&doc_name(0)));
    let deadline = TreeConfig::default().deadline;
    assert!(began.elapsed() < deadline, "{:?}", began.elapsed());
    assert_eq!(*standing.borrow(), Standing::Alone);

    // Once it is known, nobody waits for it again.
    stopped
        .world()
        .add_document(second, "added.txt", "added")
        .unwrap();
    let began = Instant::now();
    stopped.fs.tree().relist(folder(second)).await.unwrap();
    assert!(shows(stopped.fs.tree(), folder(second), "added.txt"));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());

    // It wakes up, and is followed again.
    let (line, mut stream) = stopped_leader.next_follower().await;
    assert!(line.contains("follow"), "{line}");
    stream
        .write_all(format!("{following}\n").as_bytes())
        .await
        .unwrap();
    standing
        .wait_for(|now| *now == Standing::Following { pid })
        .await
        .unwrap();

    // They die.
    drop((stream, stopped_leader, mute_leader));
    leads(&stopped_follower).await;
    leads(&mute_follower).await;
}

#[tokio::test]
async fn a_leader_is_told_what_nobody_waits_for_and_when_somebody_does() {
    let bench = Bench::new().await;
    let (_, guid, _) = bench.stock("Ahead", 3).await;
    let leader = FakeLeader::of(catalog_dir(&bench.fs));
    let follower = begin(&bench.fs, Hooks::default());
    let (line, mut stream) = leader.next().await;
    assert!(line.contains("follow"), "{line}");
    let pid = std::process::id();
    let following = serde_json::to_string(&Line::Following { pid, head: 0 }).unwrap();
    stream
        .write_all(format!("{following}\n").as_bytes())
        .await
        .unwrap();
    follows(&follower).await;

    let tree = bench.fs.tree().clone();
    let dir = DirId::Folder(FolderId(guid));
    let ahead = tokio::spawn(async move { tree.freshen(dir, Duration::ZERO, Urgency::Prefetch).await });
    let (line, first) = leader.next().await;
    assert!(line.contains(r#""ahead":true"#), "{line}");
    let tree = bench.fs.tree().clone();
    let waiting = tokio::spawn(async move { names(&tree, folder(guid)).await });
    let (line, second) = leader.next().await;
    assert!(line.contains("list") && !line.contains("ahead"), "{line}");
    // It dies with both in hand, and the server is asked.
    drop((first, second));
    assert!(waiting.await.unwrap().unwrap().contains(&doc_name(2)));
    ahead.await.unwrap().unwrap();
}

impl FakeLeader {
    /// The next connection that is no question for a folder.
    async fn next_follower(&self) -> (String, BufReader<UnixStream>) {
        loop {
            let (line, stream) = self.next().await;
            if line.contains("follow") {
                return (line, stream);
            }
        }
    }
}

/// A crawler that counts to two and waits, and somebody who notes what is used.
struct Extras {
    used: mpsc::UnboundedSender<Vec<FolderId>>,
    cancelled: mpsc::UnboundedSender<()>,
}

struct OnDrop(mpsc::UnboundedSender<()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        // A test that has ended listens no more.
        let _ = self.0.send(());
    }
}

impl Usage for Extras {
    fn used(&self, folders: &[FolderId]) {
        self.used.send(folders.to_vec()).unwrap();
    }
}

#[async_trait]
impl Crawler for Extras {
    async fn warm(
        &self,
        dir: DirKey,
        max_age: Option<Duration>,
        told: &watch::Sender<Value>,
    ) -> Result<Value, Failure> {
        let _told_of_the_end = OnDrop(self.cancelled.clone());
        told.send_replace(json!({ "listed": 2 }));
        if dir.guid() == Guid::from_bytes([1; 16]) {
            return Ok(json!({ "total": 2, "age": max_age.map(|age| age.as_secs()) }));
        }
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_command_asks_the_leader_for_its_state_and_for_a_crawl_that_ends_with_it() {
    let (used, mut was_used) = mpsc::unbounded_channel();
    let (cancelled, mut was_cancelled) = mpsc::unbounded_channel();
    let extras = Arc::new(Extras { used, cancelled });
    let hooks = Hooks {
        usage: Some(extras.clone()),
        crawler: Some(extras),
        status: vec![("budget", Arc::new(|| json!({ "left": 5 })))],
    };
    let pair = Pair::with(hooks).await;
    let dir = catalog_dir(&pair.other);

    let status = Client::status(dir).await.unwrap();
    assert_eq!(status["leader"]["pid"], std::process::id());
    assert_eq!(status["leader"]["followers"], 1);
    assert_eq!(status["budget"]["left"], 5);

    let named = vec![FolderId(Guid::from_bytes([4; 16]))];
    pair.follower.used(&named);
    assert_eq!(was_used.recv().await.unwrap(), named);

    let key = |number| DirKey::folder(FolderId(Guid::from_bytes([number; 16])));
    let mut crawl = Client::warm(dir, key(1), Some(Duration::from_mins(2)))
        .await
        .unwrap();
    let mut last = None;
    while let Some(line) = crawl.next().await.unwrap() {
        last = Some(line);
    }
    assert_eq!(last, Some(Line::Crawled(json!({ "total": 2, "age": 120 }))));
    was_cancelled.recv().await.unwrap();

    let mut crawl = Client::warm(dir, key(2), None).await.unwrap();
    assert_eq!(
        crawl.next().await.unwrap(),
        Some(Line::Crawl(json!({ "listed": 2 })))
    );
    drop(crawl);
    was_cancelled.recv().await.unwrap();

    pair.follower.end().await;
    pair.leader.end().await;
    let nobody = Client::ask(dir, Ask::Status).await.err().unwrap();
    assert!(matches!(nobody, ClientError::Nobody), "{nobody}");
}
