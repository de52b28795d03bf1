//! A second origin, where files are kept: signed URLs in the manner of Azure, which a 307 of the gateway leads to
//! (fact sheet 1.9, 7.10).
//!
//! A URL gives the bytes there were when it was signed, whatever happens to the document but its deletion. Whoever
//! sends the gateway's Authorization header here is refused, as Azure does, and counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, SERVER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use url::form_urlencoded;

use crate::model::{Guid, Timestamp};

use super::clock::Clock;
use super::dispatch::Demo;
use super::knobs::Ranges;
use super::reply::Reply;
use super::secret::random;
use super::seed::{Dice, mix};
use super::transfer::Transfer;
use super::world::Content;
use super::wsg::{Found, Twist, escaped, made, stretched};

/// The container all files are in.
const CONTAINER: &str = "pw-documents";
/// The version of the storage service the URLs are signed for, and which answers.
const SERVICE_VERSION: &str = "2023-11-03";

/// How long an ended URL is known as such; after that it is one that never was.
const REMEMBERED: Duration = Duration::from_secs(86_400);

const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");

/// The signed URLs that are about.
pub(super) struct Blobs {
    origin: String,
    clock: Clock,
    signed: Mutex<HashMap<String, Signed>>,
    authorization_seen: AtomicU64,
    answered: AtomicU64,
}

/// What one URL stands for.
#[derive(Clone)]
struct Signed {
    document: Guid,
    content: Content,
    tag: u64,
    name: String,
    /// The whole query, sorted: the signature covers all of it.
    query: Vec<(String, String)>,
    /// `None`: never.
    expires: Option<Instant>,
}

impl Blobs {
    pub(super) fn new(origin: String, clock: Clock) -> Self {
        Self {
            origin,
            clock,
            signed: Mutex::new(HashMap::new()),
            authorization_seen: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// The URL of the second origin, without a slash at the end.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Requests that carried an Authorization header.
    pub(super) fn authorization_seen(&self) -> u64 {
        self.authorization_seen.load(Ordering::Relaxed)
    }

    /// Signs a URL for a document's file as it is now.
    pub(super) fn sign(&self, document: Guid, found: Found, lifetime: Duration) -> String {
        let blob = Guid::from_bytes(random()).to_string();
        let signature = random::<32>();
        let now = self.clock.now();
        let mut query = vec![
            ("sv".to_owned(), SERVICE_VERSION.to_owned()),
            ("se".to_owned(), self.expiry(lifetime)),
            ("sr".to_owned(), "b".to_owned()),
            ("sp".to_owned(), "r".to_owned()),
            ("sig".to_owned(), STANDARD.encode(signature)),
        ];
        let text = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&query)
            .finish();
        query.sort();
        let entry = Signed {
            document,
            content: found.content,
            tag: found.tag,
            name: found.name,
            query,
            expires: now.checked_add(lifetime),
        };
        let url = format!("{}/{CONTAINER}/{blob}?{text}", self.origin);
        let mut signed = self.signed.lock();
        // Now and then, so that it costs little: what ended long ago is forgotten.
        if signed.len().is_power_of_two() {
            signed.retain(|_, entry| {
                let forgotten = entry.expires.and_then(|expires| expires.checked_add(REMEMBERED));
                forgotten.is_none_or(|forgotten| now < forgotten)
            });
        }
        signed.insert(blob, entry);
        url
    }

    /// When a URL ends that is signed now, as its `se` says it: in whole seconds.
    fn expiry(&self, lifetime: Duration) -> String {
        let end = self.clock.since_epoch().saturating_add(lifetime).as_secs();
        let end = i64::try_from(end)
            .ok()
            .and_then(|end| Timestamp::from_second(end).ok());
        end.unwrap_or(Timestamp::MAX)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    }

    /// The document behind a path; `None` where no URL of it was signed.
    pub(super) fn subject(&self, path: &str) -> Option<Guid> {
        self.entry(path).map(|entry| entry.document)
    }

    fn entry(&self, path: &str) -> Option<Signed> {
        let blob = path
            .strip_prefix('/')?
            .strip_prefix(CONTAINER)?
            .strip_prefix('/')?;
        self.signed.lock().get(blob).cloned()
    }
}

/// Answers one request of the second origin.
pub(super) async fn answer(demo: &Demo, parts: &Parts, headers: &HeaderMap, twist: Twist) -> Reply {
    let blobs = &demo.gateway.files.blobs;
    let reply = match granted(demo, parts) {
        Ok(entry) => sent(demo, headers, twist, entry).await,
        Err(reply) => reply,
    };
    let count = blobs.answered.fetch_add(1, Ordering::Relaxed);
    reply
        .with(SERVER, "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0")
        .with(REQUEST_ID, &Dice::new(mix(count)).guid().to_string())
        .with(VERSION, SERVICE_VERSION)
}

/// What the URL stands for, if it is good.
fn granted(demo: &Demo, parts: &Parts) -> Result<Signed, Reply> {
    let blobs = &demo.gateway.files.blobs;
    if parts.headers.contains_key(AUTHORIZATION) {
        blobs.authorization_seen.fetch_add(1, Ordering::Relaxed);
        let message = "Authentication information is not given in the correct format. \
                       Check the value of Authorization header.";
        return Err(error(
            StatusCode::BAD_REQUEST,
            "InvalidAuthenticationInfo",
            message,
        ));
    }
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let message = "The resource doesn't support specified Http Verb.";
        return Err(error(
            StatusCode::METHOD_NOT_ALLOWED,
            "UnsupportedHttpVerb",
            message,
        ));
    }
    let missing = || {
        let message = "The specified blob does not exist.";
        error(StatusCode::NOT_FOUND, "BlobNotFound", message)
    };
    let entry = blobs.entry(parts.uri.path()).ok_or_else(missing)?;
    let query = parts.uri.query().unwrap_or("");
    let mut query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    query.sort();
    let ended = entry.expires.is_some_and(|expires| expires <= blobs.clock.now());
    if query != entry.query || ended {
        let message = "Server failed to authenticate the request. Make sure the value of Authorization header is \
                       formed correctly including the signature.";
        return Err(error(StatusCode::FORBIDDEN, "AuthenticationFailed", message));
    }
    if demo
        .world()
        .with(|state| state.document(entry.document).is_none())
    {
        return Err(missing());
    }
    Ok(entry)
}

/// The bytes of the version that was signed.
async fn sent(demo: &Demo, headers: &HeaderMap, twist: Twist, entry: Signed) -> Reply {
    let Some(payload) = made(demo.world(), entry.content).await else {
        let message = "The server encountered an internal error. Please retry the request.";
        return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
    };
    // Thirteen hexadecimal digits behind `0x8D`, as Azure's tags look.
    let tag = (entry.tag ^ twist.etag_salt) & 0x000f_ffff_ffff_ffff;
    let transfer = Transfer {
        payload: stretched(&payload, twist.length),
        etag: Some(format!("\"0x8D{tag:013X}\"")),
        name: entry.name,
        ranges: Ranges::Served,
        conditional: true,
    };
    if let Some(reply) = transfer.unchanged(headers) {
        return reply;
    }
    let mut reply = transfer.answer(headers);
    if reply.status == StatusCode::RANGE_NOT_SATISFIABLE {
        let message = "The range specified is invalid for the current size of the resource.";
        let mut refused = error(reply.status, "InvalidRange", message);
        refused.headers.extend(reply.headers);
        return refused;
    }
    // The store knows bytes, not names.
    reply.headers.retain(|(name, _)| *name != CONTENT_DISPOSITION);
    reply
        .with(CONTENT_TYPE, "application/octet-stream")
        .with(BLOB_TYPE, "BlockBlob")
}

/// An error as Azure writes it.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Reply {
    let mut reply = Reply::empty(status)
        .with(CONTENT_TYPE, "application/xml")
        .with(ERROR_CODE, code);
    reply.body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
        escaped(code),
        escaped(message)
    )
    .into();
    reply
}
