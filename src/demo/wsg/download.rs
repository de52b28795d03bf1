//! `$file`: whole files, ranges, and the tags that keep two versions apart (fact sheet 1.9).

use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, StatusCode};

use crate::demo::payload::Payload;
use crate::demo::reply::{Reply, names_tag, quoted};

/// A file ready to be sent.
pub(super) struct Download {
    pub(super) payload: Payload,
    pub(super) tag: u64,
    /// False ignores `Range`, as some gateways do.
    pub(super) ranges: bool,
}

impl Download {
    pub(super) fn answer(self, headers: &HeaderMap) -> Reply {
        if names_tag(headers.get(IF_NONE_MATCH), self.tag) {
            return Reply::empty(StatusCode::NOT_MODIFIED).with_etag(self.tag);
        }
        let length = self.payload.len();
        let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
        // Only a strong, equal tag lets the range stand; a date never does.
        let same = headers
            .get(IF_RANGE)
            .is_none_or(|value| value.as_bytes() == quoted(self.tag).as_bytes());
        let asked = match range {
            Some(range) if self.ranges && same => parse_range(range, length),
            Some(_) | None => Asked::Whole,
        };
        let mut reply = match asked {
            Asked::Whole => {
                let mut reply = Reply::empty(StatusCode::OK);
                reply.body = self.payload;
                reply
            }
            Asked::Part(start, end) => {
                let mut reply = Reply::empty(StatusCode::PARTIAL_CONTENT);
                reply.body = self.payload.part(start, end);
                reply.with(CONTENT_RANGE, &format!("bytes {start}-{}/{length}", end - 1))
            }
            Asked::Nothing => {
                return Reply::empty(StatusCode::RANGE_NOT_SATISFIABLE)
                    .with(CONTENT_RANGE, &format!("bytes */{length}"))
                    .with_etag(self.tag);
            }
        };
        reply = reply
            .with_etag(self.tag)
            .with(CONTENT_TYPE, "application/octet-stream")
            .with(CONTENT_DISPOSITION, "attachment");
        if self.ranges {
            reply = reply.with(ACCEPT_RANGES, "bytes");
        }
        reply
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// Half-open.
    Part(u64, u64),
    Nothing,
}

/// Reads one byte range; several ranges, or anything malformed, are answered with the whole file (RFC 9110 14.2).
fn parse_range(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Asked::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim()) {
        (Ok(start), "") if start < length => Asked::Part(start, length),
        (Ok(start), last) => match last.parse::<u64>() {
            Ok(last) if last < start => Asked::Whole,
            Ok(_) if start >= length => Asked::Nothing,
            Ok(last) => Asked::Part(start, last.saturating_add(1).min(length)),
            Err(_) if last.is_empty() => Asked::Nothing,
            Err(_) => Asked::Whole,
        },
        (Err(_), last) if first.trim().is_empty() => match last.parse::<u64>() {
            Ok(0) => Asked::Nothing,
            Ok(count) if length > 0 => Asked::Part(length.saturating_sub(count), length),
            Ok(_) => Asked::Nothing,
            Err(_) => Asked::Whole,
        },
        (Err(_), _) => Asked::Whole,
    }
}
