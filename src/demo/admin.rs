//! The admin API.

use axum::http::{Method, StatusCode};

use super::dispatch::Demo;
use super::reply::Reply;

/// The path all of it lives under.
pub(super) const ROOT: &str = "/admin";

pub(super) fn answer(_demo: &Demo, _method: &Method, _command: &str, _body: &[u8]) -> Reply {
    Reply::empty(StatusCode::NOT_FOUND)
}
