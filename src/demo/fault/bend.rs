//! Bending what was asked before it is answered: another range, another place in a listing.

use axum::http::header::{HeaderValue, RANGE};
use axum::http::{HeaderMap, StatusCode};

use crate::demo::reply::Reply;

use axum::http::header::CONTENT_RANGE;

/// The headers with their range moved by `shift` bytes; ranges from the end are left alone.
pub(super) fn shifted_range(headers: &HeaderMap, shift: i64) -> HeaderMap {
    let mut headers = headers.clone();
    let spec = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let moved = spec
        .and_then(|text| text.strip_prefix("bytes="))
        .and_then(|spec| spec.split_once('-'))
        .and_then(|(first, last)| {
            let first: u64 = first.parse().ok()?;
            let first = first.saturating_add_signed(shift);
            let text = match last.parse::<u64>() {
                Ok(last) => format!("bytes={first}-{}", last.saturating_add_signed(shift)),
                Err(_) => format!("bytes={first}-"),
            };
            HeaderValue::from_str(&text).ok()
        });
    if let Some(value) = moved {
        headers.insert(RANGE, value);
    }
    headers
}

/// The headers without a range.
pub(super) fn without_range(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(RANGE);
    headers
}

/// Moves both ends that a 206's `Content-Range` tells.
pub(super) fn shifted_content_range(reply: Reply, shift: i64) -> Reply {
    if reply.status != StatusCode::PARTIAL_CONTENT {
        return reply;
    }
    let told = reply.headers.iter().find(|(name, _)| *name == CONTENT_RANGE);
    let moved = told
        .and_then(|(_, value)| value.to_str().ok())
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| {
            let (range, total) = text.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            let place = |text: &str| Some(text.parse::<u64>().ok()?.saturating_add_signed(shift));
            Some(format!("bytes {}-{}/{total}", place(first)?, place(last)?))
        });
    match moved {
        Some(text) => reply.with(CONTENT_RANGE, &text),
        None => reply,
    }
}

/// The query with its `$skip` moved by `shift` rows.
pub(super) fn shifted_skip(query: &str, shift: i64) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) if matches!(key, "$skip" | "%24skip") => match value.parse::<u64>() {
            Ok(skip) => format!("{key}={}", skip.saturating_add_signed(shift)),
            Err(_) => pair.to_owned(),
        },
        Some(_) | None => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_moved_and_the_rest_stays() {
        assert_eq!(shifted_skip("$top=5&$skip=10&x", 1), "$top=5&$skip=11&x");
        assert_eq!(shifted_skip("%24skip=10", -1), "%24skip=9");
        assert_eq!(
            shifted_skip("$filter=a%20eq%20'$skip=1'", 1),
            "$filter=a%20eq%20'$skip=1'"
        );
    }

    #[test]
    fn a_range_is_moved() {
        let mut headers = HeaderMap::new();
        let mut moved = |range: &str, shift| {
            headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
            shifted_range(&headers, shift)[RANGE].to_str().unwrap().to_owned()
        };
        assert_eq!(moved("bytes=10-19", 5), "bytes=15-24");
        assert_eq!(moved("bytes=10-", -20), "bytes=0-");
        assert_eq!(moved("bytes=-10", 5), "bytes=-10");
    }
}
