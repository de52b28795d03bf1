//! A bug in one answer costs that answer: EIO, and the mount lives on.

use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;

use pwfs::daemon::Daemon;
use pwfs::demo::DemoServer;
use pwfs::model::{ByteRange, Datasource, Document, DocumentId, Entry, Folder, FolderId, ObjectId};
use pwfs::remote::{Capabilities, Content, Progress, Remote, RemoteError};
use tokio::runtime::Handle;

use super::{ForcedUnmount, PROJECT, Settings, blocking, fuse_is_here, plan};
use crate::harness::{connect, small};

/// A server connection that panics whenever it is asked for one document.
struct Buggy(Arc<dyn Remote>);

#[async_trait::async_trait]
impl Remote for Buggy {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn account(&self) -> Result<String, RemoteError> {
        self.0.account().await
    }
    async fn datasources(&self) -> Result<Vec<Datasource>, RemoteError> {
        self.0.datasources().await
    }
    async fn roots(&self, progress: &Progress) -> Result<Vec<Folder>, RemoteError> {
        self.0.roots(progress).await
    }
    async fn list(&self, folder: FolderId, progress: &Progress) -> Result<Vec<Entry>, RemoteError> {
        self.0.list(folder, progress).await
    }
    async fn folder(&self, folder: FolderId) -> Result<Folder, RemoteError> {
        self.0.folder(folder).await
    }
    async fn document(&self, _document: DocumentId) -> Result<Document, RemoteError> {
        panic!("a bug, played by a test")
    }
    async fn find(&self, ids: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        self.0.find(ids).await
    }
    async fn read(
        &self,
        document: DocumentId,
        range: ByteRange,
        if_range: Option<&str>,
    ) -> Result<Content, RemoteError> {
        self.0.read(document, range, if_range).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_answers_eio_and_the_mount_lives_on() {
    if !fuse_is_here() {
        return;
    }
    let server = DemoServer::start(small()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mountpoint = dir.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let _forced = ForcedUnmount(mountpoint.clone());
    let remote = Arc::new(Buggy(connect(&server, dir.path()).await));
    let plan = plan(remote, dir.path(), &mountpoint, &Settings::default());
    let daemon = Daemon::start(plan, &Handle::current()).await.unwrap();

    let folder = server.world().folder_at(&[PROJECT, "00 General"]).unwrap();
    let gone = server
        .world()
        .add_document(folder, "gone.txt", "never read")
        .unwrap();
    let path = mountpoint.join(PROJECT).join("00 General");
    // Opened, and gone from its folder before anyone read it: the one case in which a read asks for the document itself.
    let opened = path.join("gone.txt");
    let mut file = blocking(move || File::open(opened).unwrap()).await;
    server.world().delete_document(gone).unwrap();
    pwfs::cli::demo::check::see_changes(&daemon, &path).await.unwrap();
    let read = blocking(move || file.read(&mut [0; 10]).map_err(|error| error.raw_os_error())).await;
    assert_eq!(read, Err(Some(libc::EIO)));

    let alive = path.join("LEC-GEN-RPT-0001.pdf");
    assert!(!blocking(move || fs::read(alive).unwrap()).await.is_empty());
    daemon.stop().await.unwrap();
}
