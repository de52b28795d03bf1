//! Sending the bytes of a file: conditions, ranges, and what the headers say of it (RFC 9110 13 and 14, RFC 6266).

use std::fmt::Write as _;

use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, StatusCode};

use super::files::media_type;
use super::knobs::Ranges;
use super::payload::Payload;
use super::reply::Reply;

/// A file ready to be sent.
pub(super) struct Transfer {
    pub(super) payload: Payload,
    /// The entity tag with its quotes, weak or strong.
    pub(super) etag: Option<String>,
    /// The file name.
    pub(super) name: String,
    pub(super) ranges: Ranges,
    /// False ignores `If-None-Match`.
    pub(super) conditional: bool,
}

impl Transfer {
    /// 304, where the client says that it has these bytes.
    pub(super) fn unchanged(&self, headers: &HeaderMap) -> Option<Reply> {
        let known = headers.get(IF_NONE_MATCH)?.to_str().ok()?;
        let etag = self.etag.as_deref()?;
        let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        // The comparison is the weak one (RFC 9110 13.1.2).
        let same = known
            .split(',')
            .any(|tag| tag.trim() == "*" || bare(tag) == bare(etag));
        (self.conditional && same).then(|| Reply::empty(StatusCode::NOT_MODIFIED).with(ETAG, etag))
    }

    /// The file, a part of it, or why not; [`Transfer::unchanged`] comes before.
    pub(super) fn answer(self, headers: &HeaderMap) -> Reply {
        let length = self.payload.len();
        let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
        let asked = match (range, self.ranges) {
            (Some(_), Ranges::Refused) => {
                let message = "The Range header is not supported.";
                return Reply::error(StatusCode::BAD_REQUEST, "BadRequest", message);
            }
            (Some(range), Ranges::OpenEnded) if !range.trim_end().ends_with('-') => Asked::Whole,
            (Some(range), Ranges::Served | Ranges::OpenEnded) if self.stands(headers) => {
                parse_range(range, length)
            }
            (Some(_) | None, _) => Asked::Whole,
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
            Asked::Nothing => Reply::empty(StatusCode::RANGE_NOT_SATISFIABLE)
                .with(CONTENT_RANGE, &format!("bytes */{length}")),
        };
        if let Some(etag) = &self.etag {
            reply = reply.with(ETAG, etag);
        }
        if reply.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return reply;
        }
        reply = reply
            .with(CONTENT_TYPE, media_type(&self.name))
            .with(CONTENT_DISPOSITION, &disposition(&self.name));
        match self.ranges {
            Ranges::Served | Ranges::OpenEnded => reply.with(ACCEPT_RANGES, "bytes"),
            Ranges::Ignored | Ranges::Refused => reply,
        }
    }

    /// True where `If-Range` lets the range stand: only a strong, equal tag does; a date never does.
    fn stands(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = headers.get(IF_RANGE) else {
            return true;
        };
        let strong = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        strong.is_some_and(|etag| condition.as_bytes() == etag.as_bytes())
    }
}

/// `attachment` with the name: as it is where that is plain ASCII, and else in UTF-8 beside a plain likeness.
fn disposition(name: &str) -> String {
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%');
    let likeness: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if likeness == name {
        return format!("attachment; filename=\"{name}\"");
    }
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        // `attr-char` of RFC 5987.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    format!("attachment; filename=\"{likeness}\"; filename*=UTF-8''{encoded}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_travels_whole_in_ascii_or_utf8() {
        assert_eq!(disposition("plan 1.dgn"), "attachment; filename=\"plan 1.dgn\"");
        assert_eq!(
            disposition("Übersicht €.pdf"),
            "attachment; filename=\"_bersicht _.pdf\"; filename*=UTF-8''%C3%9Cbersicht%20%E2%82%AC.pdf"
        );
        assert_eq!(
            disposition("50% \"so\".txt"),
            "attachment; filename=\"50_ _so_.txt\"; filename*=UTF-8''50%25%20%22so%22.txt"
        );
    }

    #[test]
    fn a_range_is_read_as_the_rfc_says() {
        for (text, asked) in [
            ("bytes=0-0", Asked::Part(0, 1)),
            ("bytes=3-", Asked::Part(3, 10)),
            ("bytes=-3", Asked::Part(7, 10)),
            ("bytes=-30", Asked::Part(0, 10)),
            ("bytes=5-99", Asked::Part(5, 10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("lines=1-2", Asked::Whole),
        ] {
            assert_eq!(parse_range(text, 10), asked, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Nothing);
    }
}
