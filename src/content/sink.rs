//! Where a download puts its bytes: batches to a temporary file, checksums beside it.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::cache::{Checksums, ContentCache, Temporary};

/// Why bytes could not be put away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkError {
    /// The disk does not take them; the cache knows.
    Disk,
    /// The runtime is stopping.
    Stopped,
}

/// The file being written, and the bytes that are not in it yet.
pub(super) struct Sink {
    pub(super) temporary: Arc<Temporary>,
    /// Of what is in the file.
    pub(super) checksums: Checksums,
    /// The hash of what is in the file, where that is wanted.
    pub(super) hasher: Option<Sha256>,
    buffer: Vec<Bytes>,
    /// How many bytes are not in the file yet.
    pub(super) buffered: usize,
}

impl Sink {
    /// Makes the file; `hashes` its bytes with SHA-256 as they pass.
    pub(super) async fn open(cache: &Arc<ContentCache>, hashes: bool) -> Result<Self, SinkError> {
        let created = {
            let cache = cache.clone();
            cache.runtime().clone().spawn_blocking(move || {
                cache
                    .create_temporary()
                    .inspect_err(|error| cache.disk_failed(error))
            })
        };
        let temporary = created
            .await
            .map_err(|_| SinkError::Stopped)?
            .map_err(|_| SinkError::Disk)?;
        Ok(Self {
            temporary: Arc::new(temporary),
            checksums: Checksums::default(),
            hasher: hashes.then(Sha256::new),
            buffer: Vec::new(),
            buffered: 0,
        })
    }

    /// Adds bytes, to be written later.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.buffered += bytes.len();
            self.buffer.push(bytes);
        }
    }

    /// The file's length once all is written.
    pub(super) const fn end(&self) -> u64 {
        self.checksums.position() + self.buffered as u64
    }

    /// Writes what is buffered, on a thread that may block.
    pub(super) async fn write(&mut self, cache: &Arc<ContentCache>) -> Result<(), SinkError> {
        if self.buffered == 0 {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let mut checksums = std::mem::take(&mut self.checksums);
        let mut hasher = self.hasher.take();
        self.buffered = 0;
        let temporary = self.temporary.clone();
        let failing = cache.clone();
        let written = cache.runtime().spawn_blocking(move || {
            for bytes in buffer {
                temporary
                    .write(&bytes, checksums.position())
                    .inspect_err(|error| failing.disk_failed(error))?;
                checksums.update(&bytes);
                if let Some(hasher) = &mut hasher {
                    hasher.update(&bytes);
                }
            }
            Ok::<_, std::io::Error>((checksums, hasher))
        });
        (self.checksums, self.hasher) = written
            .await
            .map_err(|_| SinkError::Stopped)?
            .map_err(|_| SinkError::Disk)?;
        Ok(())
    }
}

/// Compares the beginning of a file that comes a second time with what is there.
pub(super) struct Replay {
    /// What was there when the file came again.
    target: Checksums,
    /// What came again so far.
    pub(super) seen: Checksums,
}

/// The file that came a second time begins otherwise.
pub(super) struct Different;

impl Replay {
    /// Nothing of the second coming was seen yet.
    pub(super) fn new(target: &Checksums) -> Self {
        Self {
            target: target.clone(),
            seen: Checksums::default(),
        }
    }

    /// How many bytes are still to come again.
    pub(super) const fn missing(&self) -> u64 {
        self.target.position() - self.seen.position()
    }

    /// Takes off `chunk` what is there already; the rest is new.
    pub(super) fn skip(&mut self, mut chunk: Bytes) -> Result<Bytes, Different> {
        if self.missing() == 0 {
            return Ok(chunk);
        }
        let take = usize::try_from(self.missing()).map_or(chunk.len(), |missing| missing.min(chunk.len()));
        self.seen.update(&chunk.split_to(take));
        if self.missing() == 0 && self.seen != self.target {
            return Err(Different);
        }
        Ok(chunk)
    }
}
