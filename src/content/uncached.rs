//! Reads past the cache, through memory: for a disk that is full, broken, or read-only.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::patience::Patience;
use super::reader::{ReadRequest, Shared, length_differs, other_length};
use super::{ContentError, same_etag};
use crate::model::{ByteRange, DocumentId};
use crate::remote::{Content, RemoteError};

/// Reads the range of `request`: one request to the server, at most `len` bytes of memory.
///
/// A server without `Range` sends the file from its start, which is thrown away up to the range.
pub(super) async fn read(
    shared: &Shared,
    request: &ReadRequest,
    patience: &mut Patience,
) -> Result<Bytes, ContentError> {
    let _in_flight = shared.counters.begin();
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let cache = &shared.cache;
    let known = cache.etag(&request.key);
    let end = request.offset.saturating_add(request.len.into());
    let end = request.size.map_or(end, |size| end.min(size));
    let range = ByteRange {
        start: request.offset,
        end: Some(end),
    };
    let strong = known.as_deref().filter(|etag| !etag.starts_with("W/"));
    let mut content = within(patience, shared.remote.read(request.key.document, range, strong)).await??;

    let etag: Option<Arc<str>> = content.etag.as_deref().map(Into::into);
    // Remembered, so that the next range is known to be of the same file.
    if let Some(etag) = &etag
        && !same_etag(&cache.first_etag(&request.key, etag), etag)
    {
        return Err(ContentError::ReplacedInPlace {
            etag: Some(etag.clone()),
        });
    }
    if let Some(error) = content
        .total
        .and_then(|total| length_differs(request, total, etag.as_ref()))
    {
        return Err(error);
    }
    if content.range.start > request.offset {
        let words = format!(
            "the range from byte {} was asked for, and came from byte {}",
            request.offset, content.range.start
        );
        return Err(RemoteError::Protocol(words.into()).into());
    }

    let wanted = usize::try_from(end - request.offset).unwrap_or(usize::MAX);
    let mut position = content.range.start;
    let mut bytes = BytesMut::with_capacity(wanted);
    while bytes.len() < wanted {
        let Some(mut chunk) = next(shared, &mut content, patience).await? else {
            break;
        };
        let unwanted = request.offset.saturating_sub(position);
        position += chunk.len() as u64;
        let skip = usize::try_from(unwanted).map_or(chunk.len(), |unwanted| unwanted.min(chunk.len()));
        let _ = chunk.split_to(skip);
        chunk.truncate(wanted - bytes.len());
        bytes.extend_from_slice(&chunk);
    }
    if bytes.len() == wanted {
        return Ok(bytes.freeze());
    }
    // The file ended. That is the end of the inode too, or somebody is wrong.
    match (request.size, content.total, content.range.end) {
        (None, None, _) => Ok(bytes.freeze()),
        (None, Some(total), _) if position >= total => Ok(bytes.freeze()),
        (Some(listed), None, None) => Err(other_length(listed, position, etag)),
        _ => Err(RemoteError::Protocol("fewer bytes came than the range holds".into()).into()),
    }
}

/// Counts the bytes of a document whose length nobody states.
pub(super) async fn length(
    shared: &Shared,
    document: DocumentId,
    patience: &mut Patience,
) -> Result<u64, ContentError> {
    let _in_flight = shared.counters.begin();
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let whole = ByteRange { start: 0, end: None };
    let mut content = within(patience, shared.remote.read(document, whole, None)).await??;
    if let Some(total) = content.total {
        return Ok(total);
    }
    let mut length = 0;
    while let Some(chunk) = next(shared, &mut content, patience).await? {
        length += chunk.len() as u64;
    }
    Ok(length)
}

async fn next(
    shared: &Shared,
    content: &mut Content,
    patience: &mut Patience,
) -> Result<Option<Bytes>, ContentError> {
    let chunk = within(patience, content.stream.next()).await?.transpose()?;
    patience.moved(Some(Instant::now()));
    shared.counters.came(chunk.as_ref().map_or(0, Bytes::len));
    Ok(chunk)
}

/// Bounds one step. Nobody could join it later, so it ends with its caller.
async fn within<T>(patience: &Patience, step: impl Future<Output = T>) -> Result<T, ContentError> {
    timeout_at(patience.deadline(), step)
        .await
        .map_err(|_| ContentError::TimedOut)
}
