//! The iTwin Platform (`api.bentley.com`, fact sheet 2) beside the gateway: iTwins, work-area connections, storage.

use axum::http::{HeaderMap, Method, StatusCode};

use super::dispatch::Demo;
use super::reply::Reply;
use super::traffic::RequestKind;

/// What kind of request a path of the platform is; `None` for a path it does not have.
pub(super) fn kind_of(_path: &str) -> Option<RequestKind> {
    None
}

/// Answers one request.
pub(super) fn answer(
    _demo: &Demo,
    _method: &Method,
    _path: &str,
    _query: &str,
    _headers: &HeaderMap,
) -> Reply {
    Reply::empty(StatusCode::NOT_FOUND)
}
