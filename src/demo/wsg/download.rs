//! `$file`: whose bytes may be had, where from, and under which tag (fact sheet 1.9, 7.9, 7.10).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::header::{HeaderName, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use crate::demo::blob::Blobs;
use crate::demo::clock::Clock;
use crate::demo::knobs::{FileEtag, Knobs, PlaceholderFile, Redirect};
use crate::demo::payload::Payload;
use crate::demo::reply::{Reply, quoted};
use crate::demo::seed::mix;
use crate::demo::transfer::Transfer;
use crate::demo::world::{Access, Content, World};
use crate::model::Guid;

use super::file_access::Links;
use super::{Gateway, Twist, errors};

/// The client takes a redirect to where the bytes are kept.
const ALLOW_REDIRECT: HeaderName = HeaderName::from_static("mas-allow-redirect");
/// What the URL of a redirect is.
const URL_TYPE: HeaderName = HeaderName::from_static("mas-file-access-url-type");
/// Since this Web API (2.4) files may be elsewhere.
const REDIRECTS_SINCE: u32 = 4;

/// What is kept for files: signed URLs, links, and a count for what must differ each time.
pub(in crate::demo) struct Files {
    pub(in crate::demo) blobs: Blobs,
    pub(in crate::demo) links: Links,
    pub(super) answered: AtomicU64,
}

impl Files {
    /// `blob_origin` is the URL of the second origin, without a slash at the end.
    pub(in crate::demo) fn new(blob_origin: String, clock: &Clock) -> Self {
        Self {
            blobs: Blobs::new(blob_origin, clock.clone()),
            links: Links::new(clock.clone()),
            answered: AtomicU64::new(0),
        }
    }
}

/// A request about a document's file, logged in.
#[derive(Clone, Copy)]
pub(super) struct FileRequest<'a> {
    pub(super) account: &'a str,
    pub(super) guid: Guid,
    /// The Web API asked by, 2.`minor`.
    pub(super) minor: u32,
    pub(super) headers: &'a HeaderMap,
    pub(super) twist: Twist,
    pub(super) knobs: &'a Knobs,
}

/// A file the account may have.
pub(in crate::demo) struct Found {
    pub(in crate::demo) content: Content,
    pub(in crate::demo) tag: u64,
    pub(in crate::demo) name: String,
}

impl Gateway {
    /// The file of a document as it is now, if the account may have it.
    pub(super) fn found(&self, request: &FileRequest<'_>) -> Result<Found, Reply> {
        self.world.view(request.account, |view| {
            let row = view.document(request.guid).ok_or_else(errors::no_instance)?;
            if row.access != Access::Full || !view.may_list(row.folder) {
                return Err(errors::no_rights(request.knobs));
            }
            Ok(Found {
                content: row.content.clone(),
                tag: row.file_etag(),
                name: row.file_name.clone().unwrap_or_else(|| row.name.clone()),
            })
        })
    }

    pub(super) async fn file(&self, request: &FileRequest<'_>) -> Reply {
        let FileRequest { headers, knobs, .. } = *request;
        let found = match self.found(request) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let nothing = found.content == Content::Nothing;
        if nothing {
            match knobs.placeholder_file {
                PlaceholderFile::NotFound => {
                    return errors::error("FileNotFound", "The document has no file.");
                }
                PlaceholderFile::Empty => {}
                PlaceholderFile::Error => {
                    return errors::error(
                        "ServerError",
                        "Object reference not set to an instance of an object.",
                    );
                }
            }
        }
        let tag = found.tag ^ request.twist.etag_salt;
        let etag = match knobs.file_etag {
            FileEtag::Strong => Some(quoted(tag)),
            FileEtag::Weak => Some(format!("W/{}", quoted(tag))),
            FileEtag::Absent => None,
            FileEtag::Changing => {
                let count = self.files.answered.fetch_add(1, Ordering::Relaxed);
                Some(quoted(tag ^ mix(count + 1)))
            }
        };
        let mut transfer = Transfer {
            payload: Payload::Bytes(Bytes::new()),
            etag,
            name: found.name.clone(),
            ranges: knobs.ranges,
            conditional: !knobs.no_304,
        };
        if let Some(reply) = transfer.unchanged(headers) {
            return reply;
        }
        let elsewhere = knobs.redirect == Redirect::Blob
            && request.minor >= REDIRECTS_SINCE
            && headers
                .get(ALLOW_REDIRECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        if elsewhere && !nothing {
            let url = self.files.blobs.sign(request.guid, found, knobs.blob_lifetime);
            return Reply::empty(StatusCode::TEMPORARY_REDIRECT)
                .with(LOCATION, &url)
                .with(URL_TYPE, "AzureBlobSasUrl");
        }
        if !nothing {
            let Some(payload) = made(&self.world, found.content).await else {
                return errors::error("ServerError", "The file could not be made.");
            };
            transfer.payload = stretched(&payload, request.twist.length);
        }
        let mut reply = transfer.answer(headers);
        reply.chunked = knobs.chunked && reply.status.is_success();
        reply
    }
}

/// What a file holds. Making a large one takes tens of milliseconds, too long for a thread that serves others.
pub(in crate::demo) async fn made(world: &Arc<World>, content: Content) -> Option<Payload> {
    let world = Arc::clone(world);
    let made = tokio::task::spawn_blocking(move || world.payload_of(&content)).await;
    made.ok().flatten()
}

/// A copy longer or shorter by `delta` bytes; the same bytes where it is 0.
pub(in crate::demo) fn stretched(payload: &Payload, delta: i64) -> Payload {
    let change = delta.unsigned_abs();
    if delta <= 0 {
        return payload.part(0, payload.len().saturating_sub(change));
    }
    match payload {
        Payload::Bytes(bytes) => {
            let mut longer = bytes.to_vec();
            let more = usize::try_from(change).unwrap_or(usize::MAX);
            longer.resize(longer.len().saturating_add(more), b'+');
            Bytes::from(longer).into()
        }
        Payload::Made { origin, start, end } => Payload::Made {
            origin: *origin,
            start: *start,
            end: end.saturating_add(change),
        },
        // No file is one.
        listing @ Payload::Bulk(_) => listing.clone(),
    }
}
