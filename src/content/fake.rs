//! A remote with one document and faults on request, for the tests of this room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::{ByteRange, Datasource, Document, DocumentId, Entry, Folder, FolderId, ObjectId};
use crate::remote::{Capabilities, Content, Progress, Remote, RemoteError, UrgencyHandle};
use crate::sync::checked;

/// What goes wrong with one answer.
#[derive(Clone)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// No answer but this error.
    Refuse(RemoteError),
    /// The connection is lost after this many bytes of the answer.
    BreakAfter(usize),
    /// The answer ends cleanly after this many bytes, whatever was announced.
    EndAfter(usize),
    /// Nothing comes after this many bytes until the gate opens.
    StallAfter(usize, watch::Receiver<bool>),
    /// The connection is lost after this many bytes, once the gate opens.
    BreakAtGate(usize, watch::Receiver<bool>),
    /// Each piece takes this long.
    Trickle(Duration),
}

/// The file, and how the server behaves.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "a server has many ways")]
pub(super) struct Served {
    pub(super) bytes: Bytes,
    pub(super) etag: Option<&'static str>,
    /// Whether the length is announced.
    pub(super) announced: bool,
    pub(super) ranges: bool,
    /// Honours `Range` without a look at `If-Range`.
    pub(super) sloppy: bool,
    /// Answers ranges with the whole.
    pub(super) whole: bool,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) start: u64,
    pub(super) end: Option<u64>,
    pub(super) if_range: Option<String>,
}

pub(super) struct FakeRemote {
    served: Mutex<Served>,
    faults: Mutex<VecDeque<Fault>>,
    asked: Mutex<Vec<Asked>>,
    urgencies: Mutex<Vec<UrgencyHandle>>,
    /// Whether a range was served.
    proved: AtomicBool,
}

impl FakeRemote {
    pub(super) fn new(served: Served) -> Arc<Self> {
        Arc::new(Self {
            served: Mutex::new(served),
            faults: Mutex::default(),
            asked: Mutex::default(),
            urgencies: Mutex::default(),
            proved: AtomicBool::new(false),
        })
    }

    /// Lets the next answers go wrong, one after the other.
    pub(super) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().extend(faults);
    }

    /// As if a range had been served before.
    pub(super) fn prove_ranges(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    /// Nothing that was to go wrong does any more.
    pub(super) fn heal(&self) {
        self.faults.lock().clear();
    }

    /// How urgent each request is.
    pub(super) fn urgencies(&self) -> Vec<UrgencyHandle> {
        self.urgencies.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.served.lock());
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

#[async_trait::async_trait]
impl Remote for FakeRemote {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ranges: if self.served.lock().ranges {
                self.proved.load(Ordering::Relaxed).then_some(true)
            } else {
                Some(false)
            },
            skip_token: None,
        }
    }

    async fn account(&self) -> Result<String, RemoteError> {
        unreachable!("content knows its account")
    }

    async fn datasources(&self) -> Result<Vec<Datasource>, RemoteError> {
        unreachable!("content lists nothing")
    }

    async fn roots(&self, _: &Progress) -> Result<Vec<Folder>, RemoteError> {
        unreachable!("content lists nothing")
    }

    async fn list(&self, _: FolderId, _: &Progress) -> Result<Vec<Entry>, RemoteError> {
        unreachable!("content lists nothing")
    }

    async fn folder(&self, _: FolderId) -> Result<Folder, RemoteError> {
        unreachable!("content lists nothing")
    }

    async fn document(&self, _: DocumentId) -> Result<Document, RemoteError> {
        unreachable!("content lists nothing")
    }

    async fn find(&self, _: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        unreachable!("content lists nothing")
    }

    async fn read(
        &self,
        _: DocumentId,
        range: ByteRange,
        if_range: Option<&str>,
    ) -> Result<Content, RemoteError> {
        checked::anybody().await;
        self.asked.lock().push(Asked {
            start: range.start,
            end: range.end,
            if_range: if_range.map(str::to_owned),
        });
        self.urgencies.lock().push(UrgencyHandle::current());
        let fault = self.faults.lock().pop_front().unwrap_or(Fault::None);
        if let Fault::Refuse(error) = fault {
            return Err(error);
        }
        let served = self.served.lock().clone();
        let total = served.bytes.len() as u64;
        let whole = range == ByteRange { start: 0, end: None };
        let honoured = served.ranges
            && !served.whole
            && !whole
            && if_range.is_none_or(|tag| served.sloppy || served.etag == Some(tag));
        if honoured {
            self.proved.store(true, Ordering::Relaxed);
        }
        let (start, end) = if honoured {
            (range.start.min(total), range.end.unwrap_or(total).min(total))
        } else {
            (0, total)
        };
        let bytes = served
            .bytes
            .slice(usize::try_from(start).unwrap()..usize::try_from(end).unwrap());
        // The answer was made; it is on its way.
        checked::anybody().await;
        let stated = honoured || served.announced;
        Ok(Content {
            range: ByteRange {
                start,
                end: stated.then_some(end),
            },
            total: stated.then_some(total),
            etag: served.etag.map(str::to_owned),
            stream: answer(bytes, fault),
        })
    }
}

fn answer(bytes: Bytes, fault: Fault) -> stream::BoxStream<'static, Result<Bytes, RemoteError>> {
    // Fewer where each of them is a moment for others.
    let piece = if checked::is_checked() { 400_000 } else { 50_000 };
    let lost = || Err(RemoteError::Unreachable("the connection was lost".into()));
    let pieces = |bytes: Bytes| {
        let pieces: Vec<_> = (0..bytes.len())
            .step_by(piece)
            .map(|start| Ok(bytes.slice(start..bytes.len().min(start + piece))))
            .collect();
        stream::iter(pieces).then(|piece| async {
            checked::anybody().await;
            piece
        })
    };
    match fault {
        Fault::None | Fault::Refuse(_) => pieces(bytes).boxed(),
        Fault::BreakAfter(after) => pieces(bytes.slice(..after.min(bytes.len())))
            .chain(stream::once(async move { lost() }))
            .boxed(),
        Fault::EndAfter(after) => pieces(bytes.slice(..after.min(bytes.len()))).boxed(),
        Fault::StallAfter(after, mut gate) => {
            let opened = stream::once(async move {
                gate.wait_for(|open| *open)
                    .await
                    .expect("the test holds the gate");
                Ok(Bytes::new())
            });
            pieces(bytes.slice(..after.min(bytes.len())))
                .chain(opened)
                .chain(pieces(bytes.slice(after.min(bytes.len())..)))
                .boxed()
        }
        Fault::BreakAtGate(after, mut gate) => {
            let broken = stream::once(async move {
                gate.wait_for(|open| *open)
                    .await
                    .expect("the test holds the gate");
                lost()
            });
            pieces(bytes.slice(..after.min(bytes.len())))
                .chain(broken)
                .boxed()
        }
        Fault::Trickle(pause) => pieces(bytes)
            .then(move |piece| async move {
                tokio::time::sleep(pause).await;
                piece
            })
            .boxed(),
    }
}
