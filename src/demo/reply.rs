//! An answer before it meets the wire, so that a fault can still spoil it.

use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use super::payload::Payload;

/// Status, headers and the whole body; the length header is written when it is sent.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// A list, not a map: an answer has a handful, and travels as an error too.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Payload,
    /// Sent without a `Content-Length`, in chunks.
    pub(super) chunked: bool,
    /// Packed while it is sent, and so without a length, too.
    pub(super) gzip: bool,
}

impl Reply {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Payload::Bytes(Bytes::new()),
            chunked: false,
            gzip: false,
        }
    }

    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        let mut reply = Self::empty(status);
        reply.body = value.to_string().into();
        reply.with(CONTENT_TYPE, "application/json; charset=utf-8")
    }

    pub(super) fn html(status: StatusCode, page: String) -> Self {
        let mut reply = Self::empty(status);
        reply.body = page.into();
        reply.with(CONTENT_TYPE, "text/html; charset=utf-8")
    }

    pub(super) fn redirect(location: &str) -> Self {
        Self::empty(StatusCode::FOUND).with(LOCATION, location)
    }

    /// The error envelope of WSG (fact sheet 1.8).
    pub(super) fn error(status: StatusCode, id: &str, message: &str) -> Self {
        let envelope = json!({
            "errorId": id,
            "errorMessage": message,
            "errorDescription": null,
        });
        Self::json(status, &envelope)
    }

    /// Adds a header; a value that cannot be one (a control character in it) is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.retain(|(other, _)| *other != name);
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn with_etag(self, tag: u64) -> Self {
        self.with(ETAG, &quoted(tag))
    }
}

/// A strong entity tag, quoted.
pub(super) fn quoted(tag: u64) -> String {
    format!("\"{tag:016x}\"")
}

/// True where an `If-None-Match` value names this tag.
pub(super) fn names_tag(header: Option<&HeaderValue>, tag: u64) -> bool {
    let Some(Ok(text)) = header.map(HeaderValue::to_str) else {
        return false;
    };
    let tag = quoted(tag);
    text.split(',').any(|one| one.trim() == tag || one.trim() == "*")
}
