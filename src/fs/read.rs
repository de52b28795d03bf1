//! Reads of documents: what is here at once, what is not fetched for whom it may be, and what a failure means.

use std::time::Duration;

use bytes::Bytes;

use super::Filesystem;
use super::caller::Caller;
use super::error::FsError;
use crate::content::{ContentError, FetchPolicy, ReadRequest};
use crate::model::{ContentTag, Entry, ObjectId};
use crate::remote::RemoteError;
use crate::tree::inodes::{Inode, InodeNo, Version};

/// How long a first read waits for its folder's listing: far longer than one takes, and short beside the time a read
/// may take, which has its own deadline after it.
const LISTING_PATIENCE: Duration = Duration::from_secs(3);

impl Filesystem {
    /// Reads as [`Filesystem::read_for`] does, for nobody in particular.
    pub async fn read(&self, ino: InodeNo, offset: u64, size: u32) -> Result<Bytes, FsError> {
        self.read_for(Caller::UNKNOWN, ino, offset, size).await
    }

    /// Reads up to `size` bytes at `offset` of the document version `ino` stands for.
    ///
    /// Fewer bytes than asked come only at the end of the file. What is not here is fetched, unless `caller` is of a
    /// program that never downloads.
    pub async fn read_for(
        &self,
        caller: Caller,
        ino: InodeNo,
        offset: u64,
        size: u32,
    ) -> Result<Bytes, FsError> {
        let inode = self.inode(ino)?;
        let Some(&version) = inode.version() else {
            return Err(FsError::IsDirectory);
        };
        let Some(length) = version.tag.size else {
            let name = self.name(&inode).await;
            return Err(FsError::Broken(format!("the length of {name} is not known")));
        };
        let wanted = length.saturating_sub(offset).min(u64::from(size));
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let request = |fetch| ReadRequest {
            key: self.key(version.id, version.tag),
            size: Some(length),
            offset,
            // At most `size`, which is 32 bits wide.
            len: u32::try_from(wanted).unwrap_or(size),
            fetch,
        };
        // What is here, or on its way, is read without asking whether it is still the newest: it is what this inode
        // stands for.
        let asked = request(FetchPolicy::CacheOnly);
        let bytes = match self.0.reader.read_now(&asked) {
            Some(Ok(bytes)) => {
                self.0.meter.at_once();
                bytes
            }
            Some(Err(error)) => return Err(self.failed(&inode, version, error).await),
            None => {
                let _waits = self.0.meter.waits(inode);
                let read = match self.0.reader.read(asked).await {
                    Err(ContentError::NotCached) => {
                        self.may_download(caller).await?;
                        self.may_fetch(&inode, version).await?;
                        let read = self.0.reader.read(request(FetchPolicy::Allow)).await;
                        if read.is_ok() {
                            self.0.tree.grant(ObjectId::Document(version.id)).await;
                        }
                        read
                    }
                    read => read,
                };
                match read {
                    Ok(bytes) => bytes,
                    Err(error) => return Err(self.failed(&inode, version, error).await),
                }
            }
        };
        let bytes = whole(bytes, wanted)?;
        if self.0.tree.is_current(&inode) == Some(false) {
            // Somebody has an old version open, and the server may not give it a second time.
            self.0.reader.keep_longer(&self.key(version.id, version.tag));
        }
        self.0.meter.answered(bytes.len());
        self.note_read(caller, &inode, version, offset, bytes.len());
        Ok(bytes)
    }

    /// Whether what this caller reads may be fetched for it.
    async fn may_download(&self, caller: Caller) -> Result<(), FsError> {
        match self.0.policy.refuses(caller).await {
            None => Ok(()),
            Some(program) => {
                self.0.policy.count(&program, caller);
                Err(FsError::Withheld(program))
            }
        }
    }

    /// Whether the bytes the server has now are the ones this inode stands for, as far as a fresh listing tells.
    ///
    /// A file may be opened long before it is first read, and nobody asks at the open: so its folder's listing is
    /// brought up to date first. During an outage the last one has to do; the download will fail by itself.
    async fn may_fetch(&self, inode: &Inode, version: Version) -> Result<(), FsError> {
        if let Some(refusal) = self.0.tree.refusal(ObjectId::Document(version.id)) {
            return Err(refusal.into());
        }
        let brought_up_to_date = self.0.tree.list(inode.parent);
        if !matches!(
            tokio::time::timeout(LISTING_PATIENCE, brought_up_to_date).await,
            Ok(Ok(_))
        ) {
            tracing::debug!(document = %version.id, "read by an older listing");
        }
        match self.0.tree.is_current(inode) {
            Some(true) => Ok(()),
            Some(false) => Err(self.superseded(inode).await),
            // It has left its folder: moved, deleted, or kept as an old version. Its own properties tell.
            None => {
                let asked = self.0.tree.remote().document(version.id);
                match tokio::time::timeout(self.0.deadline, asked).await {
                    Ok(Ok(now)) if self.0.tree.tag_of(&now) == version.tag => Ok(()),
                    Ok(Ok(_)) => Err(self.superseded(inode).await),
                    Ok(Err(refusal @ RemoteError::NotFound { .. })) => {
                        let id = ObjectId::Document(version.id);
                        Err(self.not_found(inode.parent, id, refusal).await)
                    }
                    Ok(Err(error)) => Err(error.into()),
                    Err(_) => Err(FsError::TimedOut("the server did not answer in time".to_owned())),
                }
            }
        }
    }

    async fn superseded(&self, inode: &Inode) -> FsError {
        FsError::Stale(format!("{} has a newer version", self.name(inode).await))
    }

    /// Draws the consequences of a failed read and says what the caller sees.
    async fn failed(&self, inode: &Inode, version: Version, error: ContentError) -> FsError {
        let Version { id, tag, .. } = version;
        let actual = match &error {
            ContentError::LengthDiffers { delivered, .. } => ContentTag {
                size: Some(*delivered),
                revision: tag.revision + 1,
                ..tag
            },
            ContentError::ReplacedInPlace { .. } => ContentTag {
                revision: tag.revision + 1,
                ..tag
            },
            ContentError::Remote(refusal @ RemoteError::Denied { .. }) => {
                self.0.tree.refuse(ObjectId::Document(id), refusal.clone()).await;
                return error.into();
            }
            ContentError::Remote(refusal @ RemoteError::NotFound { .. }) => {
                return self
                    .not_found(inode.parent, ObjectId::Document(id), refusal.clone())
                    .await;
            }
            ContentError::Remote(_)
            | ContentError::TimedOut
            | ContentError::NotCached
            | ContentError::Stopped
            | ContentError::Cache { .. } => return error.into(),
        };
        // Only the newest version's name can be led to a new inode.
        if self.0.tree.is_current(inode) == Some(true)
            && let Some(Entry::Document(document)) = self.0.tree.entry(inode).await.as_deref()
        {
            self.0.reader.adopt(&self.key(id, tag), &self.key(id, actual));
            self.0.tree.amend(inode.parent, document, actual).await;
        }
        error.into()
    }
}

/// Rules out a silent short read: the kernel would take it for the end of the file.
fn whole(bytes: Bytes, wanted: u64) -> Result<Bytes, FsError> {
    if bytes.len() as u64 == wanted {
        return Ok(bytes);
    }
    Err(FsError::Broken(format!(
        "{} bytes came where {wanted} were due",
        bytes.len()
    )))
}
