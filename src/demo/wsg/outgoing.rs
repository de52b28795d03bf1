//! What every answer of the gateway gets before it leaves: the shape of its error, the request's id, compression.

use std::sync::atomic::Ordering;

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_ENCODING, HeaderName};

use crate::demo::knobs::Knobs;
use crate::demo::reply::Reply;
use crate::demo::seed::Dice;

use super::{Gateway, errors};

/// The request's id, for support; the first is Bentley's own (fact sheet 1.10).
const REQUEST_IDS: [HeaderName; 2] = [
    HeaderName::from_static("mas-request-id"),
    HeaderName::from_static("x-correlation-id"),
];
/// Since this Web API a request that brings no id is given one.
const REQUEST_IDS_SINCE: u32 = 7;

impl Gateway {
    /// Finishes an answer to a request of Web API 2.`minor`.
    pub(in crate::demo) fn finish(
        &self,
        reply: Reply,
        request: &HeaderMap,
        minor: u32,
        knobs: &Knobs,
    ) -> Reply {
        let reply = errors::shaped(reply, knobs);
        let mut reply = self.identified(reply, request, minor);
        if knobs.compress && reply.body.len() > 0 && accepts_gzip(request) {
            reply.gzip = true;
        }
        reply
    }

    fn identified(&self, reply: Reply, request: &HeaderMap, minor: u32) -> Reply {
        if minor < REQUEST_IDS_SINCE {
            return reply;
        }
        for name in REQUEST_IDS {
            if let Some(Ok(id)) = request.get(&name).map(|value| value.to_str()) {
                return reply.with(name, id);
            }
        }
        let count = self.files.answered.fetch_add(1, Ordering::Relaxed);
        let [name, _] = REQUEST_IDS;
        reply.with(name, &Dice::new(count).guid().to_string())
    }
}

/// True where the client takes gzip; one that says nothing, or `identity`, gets the bytes themselves.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let (mut gzip, mut any) = (None, None);
    let values = request.get_all(ACCEPT_ENCODING).iter();
    for coding in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
    {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameter.trim().strip_prefix("q=").map(str::parse::<f32>);
        let taken = !matches!(weight, Some(Ok(weight)) if weight <= 0.0);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(taken),
            "*" => any = Some(taken),
            _ => {}
        }
    }
    gzip.or(any).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_only_for_those_who_ask_for_it() {
        for (text, taken) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, *", true),
            ("identity", false),
            ("gzip;q=0, *", false),
            ("*;q=0.0", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, text.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), taken, "{text}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
