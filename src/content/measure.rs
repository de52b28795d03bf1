//! Learns the length of a document whose listing states none.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::patience::Patience;
use super::reader::{FetchPolicy, ReadRequest, Reader, Shared, Source};
use super::{ContentError, ContentKey, same_etag, uncached};
use crate::model::ByteRange;
use crate::remote::RemoteError;
use crate::sync::Mutex;

/// Longest wait for the answer to a probe. Longer than its callers wait: the next one joins it.
const ANSWER: Duration = Duration::from_secs(60);

/// What a probe found: the length, where the server tells.
type Found = Result<Option<u64>, ContentError>;

/// The probes on their way; one per key.
#[derive(Default)]
pub(super) struct Probes(Mutex<HashMap<ContentKey, watch::Receiver<Option<Found>>>>);

/// Learns the length of the document of `key`.
pub(super) async fn measure(reader: &Reader, key: &ContentKey) -> Result<u64, ContentError> {
    if let Some(known) = reader.known_length(key) {
        return known;
    }
    let mut patience = Patience::begin();
    let mut probe = join_probe(&reader.shared, key);
    let found = tokio::time::timeout_at(patience.deadline(), probe.wait_for(Option::is_some))
        .await
        .map_err(|_| ContentError::TimedOut)
        // The sender drops unused only with the runtime.
        .and_then(|found| {
            found.map_or(Err(ContentError::Stopped), |found| {
                found.clone().unwrap_or(Ok(None))
            })
        });
    match found {
        Ok(Some(length)) => Ok(length),
        Ok(None) => reader.length_by_download(key, &mut patience).await,
        Err(error) => Err(error),
    }
}

impl Reader {
    /// The length of the document, from wherever a read would find its bytes.
    async fn length_by_download(
        &self,
        key: &ContentKey,
        patience: &mut Patience,
    ) -> Result<u64, ContentError> {
        let request = ReadRequest {
            key: key.clone(),
            size: None,
            offset: u64::MAX - 1,
            len: 1,
            fetch: FetchPolicy::Allow,
        };
        match self.source(&request)? {
            Source::Entry(entry) => Ok(entry.total()),
            Source::PastTheCache => uncached::length(&self.shared, key.document, patience).await,
            Source::Transfer(transfer) => Ok(transfer.total()),
            Source::Download(download) => {
                // A range where no file has bytes is served, empty, once the length is known.
                match self.shared.wait(&download, &request, patience).await {
                    Some(done) => done.map(|_| download.state().total.unwrap_or(0)),
                    None => uncached::length(&self.shared, key.document, patience).await,
                }
            }
        }
    }

    /// The length, where it is here already.
    fn known_length(&self, key: &ContentKey) -> Option<Result<u64, ContentError>> {
        if let Some(entry) = self.shared.cache.entry(key) {
            return Some(Ok(entry.total()));
        }
        let table = self.shared.table.lock();
        if let Some(total) = table.download(key).and_then(|download| download.state().total) {
            return Some(Ok(total));
        }
        table.failure(key, &(0..u64::MAX), None).map(Err)
    }
}

/// The probe for `key`, which is started where there is none.
fn join_probe(shared: &Arc<Shared>, key: &ContentKey) -> watch::Receiver<Option<Found>> {
    let mut probes = shared.probes.0.lock();
    if let Some(probe) = probes.get(key) {
        return probe.clone();
    }
    let (sender, receiver) = watch::channel(None);
    probes.insert(key.clone(), receiver.clone());
    // Before the spawn: a runtime that is stopping drops the task at once, which then takes its place away.
    drop(probes);
    let place = Place {
        shared: shared.clone(),
        key: key.clone(),
    };
    shared.cache.runtime().spawn(async move {
        let found = probe(&place.shared, &place.key).await;
        if let Err(error) = &found {
            place.shared.table.lock().fail(&place.key, None, error, None);
        }
        drop(place);
        sender.send_replace(Some(found));
    });
    receiver
}

/// A probe's place among the others; left when it ends, in whatever way.
struct Place {
    shared: Arc<Shared>,
    key: ContentKey,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.probes.0.lock().remove(&self.key);
    }
}

/// Asks for one byte: the answer's head states the length of the whole.
async fn probe(shared: &Shared, key: &ContentKey) -> Found {
    let first = ByteRange {
        start: 0,
        end: Some(1),
    };
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let content = match timeout(ANSWER, shared.remote.read(key.document, first, None)).await {
        Ok(Ok(content)) => content,
        // Some servers refuse a range of an empty file, some gateways any: the download will tell.
        Ok(Err(RemoteError::Protocol(_))) => return Ok(None),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(ContentError::TimedOut),
    };
    if let Some(etag) = content.etag.as_deref() {
        let etag = Arc::from(etag);
        if !same_etag(&shared.cache.first_etag(key, &etag), &etag) {
            return Err(ContentError::ReplacedInPlace { etag: Some(etag) });
        }
    }
    Ok(content.total)
}
