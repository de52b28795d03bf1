//! One request from arrival to answer: count it, spoil it if a fault says so, answer it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{HeaderValue, RANGE};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use crate::model::Guid;

use super::clock::Clock;
use super::delivery::{Delivery, send};
use super::fault::{Arrival, Asked, Course, FaultTable, Recall};
use super::ims::{self, Ims};
use super::knobs::{Head, Knobs, Panel};
use super::limit::Limits;
use super::listener::Scissors;
use super::reply::Reply;
use super::script::Runner;
use super::traffic::{LoggedRequest, RequestKind, Traffic};
use super::wsg::{self, Call, Gateway, Lockout, SKIP_TOKEN};
use super::{admin, blob, platform, world};

/// The largest request body taken: hundreds of times what a client's longest query needs.
const BODY_LIMIT: usize = 1 << 20;
/// The same of an admin request, which may carry a file in base64.
const ADMIN_BODY_LIMIT: usize = 64 << 20;

/// Everything the server is made of.
pub(super) struct Demo {
    pub(super) ims: Ims,
    pub(super) gateway: Arc<Gateway>,
    pub(super) faults: FaultTable,
    pub(super) traffic: Traffic,
    pub(super) knobs: Arc<Panel>,
    pub(super) platform: platform::Platform,
    /// What all that ends by itself is measured with.
    pub(super) clock: Clock,
    pub(super) lockout: Lockout,
    /// Makes every tag of [`ChangedEtag`](super::fault::Effect::ChangedEtag) another one.
    pub(super) salt: AtomicU64,
    pub(super) limits: Limits,
    pub(super) recall: Recall,
    pub(super) scripts: Runner,
    /// What the knobs stood at when it started.
    pub(super) start: Knobs,
}

impl Demo {
    pub(super) fn world(&self) -> &Arc<world::World> {
        &self.gateway.world
    }
}

/// By which of its two addresses a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Main,
    /// The second origin.
    Blobs,
}

/// Answers one request.
pub(super) async fn handle(
    State((demo, door)): State<(Arc<Demo>, Door)>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let plain = |reply| send(reply, Delivery::default(), &scissors, &demo);
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or("");
    let main = door == Door::Main;
    let command = path.strip_prefix(admin::ROOT).filter(|_| main);
    let command = command.filter(|rest| rest.is_empty() || rest.starts_with('/'));
    scissors.set_free(command.is_some());
    let limit = if command.is_some() {
        ADMIN_BODY_LIMIT
    } else {
        BODY_LIMIT
    };
    // A body that a read happens to have is none of ours to hold.
    let body = match parts.method {
        Method::GET | Method::HEAD => Bytes::new(),
        _ => match to_bytes(body, limit).await {
            Ok(body) => body,
            Err(_) => return plain(Reply::empty(StatusCode::PAYLOAD_TOO_LARGE)),
        },
    };
    if command.is_some() {
        return admin::answer(&demo, parts, body).await;
    }
    let knobs = demo.knobs.now();
    // Where HEAD is allowed it is a GET, of whose answer the connection sends the headers only.
    let method = match parts.method {
        Method::HEAD if knobs.head == Head::Allowed => &Method::GET,
        ref method => method,
    };
    let inside = wsg_path(path).filter(|_| main);
    let understand = |query: &str, body: &[u8]| {
        let repository = &demo.gateway.repository;
        inside.map(|path| wsg::understand(repository, method, path, query, body))
    };
    let mut call = understand(query, &body);
    let kind = match &call {
        _ if !main => RequestKind::Blob,
        Some(call) => call.kind,
        None => ims::kind_of(path)
            .or_else(|| platform::kind_of(&parts.method, path))
            .unwrap_or(RequestKind::Other),
    };
    let subject = match door {
        Door::Main => call.as_ref().and_then(|call| call.subject),
        Door::Blobs => demo.gateway.files.blobs.subject(path),
    };
    let minor = call.as_ref().map(|call| call.minor(&knobs));
    demo.traffic.record(logged(&parts, kind, subject, call.as_ref()));
    let whose = || wsg::whose(&demo, &parts.headers, &knobs);
    let account = (knobs.rate > 0 || demo.faults.by_account()).then(whose);
    if !knobs.latency.is_zero() {
        tokio::time::sleep(knobs.latency).await;
    }
    let place = match inside.map(|_| demo.limits.enter(&knobs, account)) {
        Some(Ok(place)) => Some(place).filter(|_| knobs.concurrency > 0),
        Some(Err(refused)) => {
            let refused = demo
                .gateway
                .finish(refused, &parts.headers, minor.unwrap_or(0), &knobs);
            return plain(wsg::with_server_headers(refused, &knobs));
        }
        None => None,
    };
    let struck = demo.faults.strike(&Arrival {
        kind,
        subject,
        skip: call.as_ref().and_then(|call| call.skip),
        method: &parts.method,
        target: parts.uri.path_and_query().map_or(path, |target| target.as_str()),
        headers: &parts.headers,
        account,
    });
    let asked = Asked {
        demo: &demo,
        kind,
        parts: &parts,
        body: &body,
        scissors: &scissors,
    };
    let mut course = Course::suffer(&asked, struck).await;
    course.delivery.place = place;
    if let Some(reply) = course.instead.take() {
        let mut reply = course.bend(reply, &asked);
        if let Some(call) = &call {
            reply = demo
                .gateway
                .finish(reply, &parts.headers, call.minor(&knobs), &knobs);
            reply = wsg::with_server_headers(reply, &knobs);
        }
        return send(reply, course.delivery, &scissors, &demo);
    }
    if let Some(bent) = course.query(query) {
        let body = course.query(&String::from_utf8_lossy(&body)).unwrap_or_default();
        call = understand(&bent, body.as_bytes());
    }
    let headers = course.headers(&parts.headers);
    // After any hanging: a token may have ended meanwhile.
    let reply = match call {
        Some(call) => {
            let login = wsg::login(&demo, &call, headers, &knobs);
            let minor = call.minor(&knobs);
            let gateway = &demo.gateway;
            let reply = gateway.answer(call, headers, &login, course.twist, &knobs).await;
            let reply = gateway.finish(reply, headers, minor, &knobs);
            wsg::with_server_headers(reply, &knobs)
        }
        None if !main => blob::answer(&demo, &parts, headers, course.twist).await,
        None if ims::kind_of(path).is_some() => demo.ims.answer(&parts.method, path, query, headers, &body),
        None if platform::kind_of(&parts.method, path).is_some() => {
            platform::answer(&demo, &parts.method, path, query, headers)
        }
        None => Reply::empty(StatusCode::NOT_FOUND),
    };
    let reply = course.spoil(reply, &asked, whose());
    send(reply, course.delivery, &scissors, &demo)
}

/// The part of a path behind the gateway's root, which is found in any case.
fn wsg_path(path: &str) -> Option<&str> {
    let (root, rest) = path.split_at_checked(wsg::ROOT.len())?;
    let inside = rest.is_empty() || rest.starts_with('/');
    (inside && root.eq_ignore_ascii_case(wsg::ROOT)).then_some(rest)
}

fn logged(parts: &Parts, kind: RequestKind, subject: Option<Guid>, call: Option<&Call>) -> LoggedRequest {
    let header = |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).map(str::to_owned);
    LoggedRequest {
        kind,
        subject,
        method: parts.method.to_string(),
        target: parts
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        skip: call.and_then(|call| call.skip),
        top: call.and_then(|call| call.top),
        skip_token: header(parts.headers.get(SKIP_TOKEN)),
        range: header(parts.headers.get(RANGE)),
    }
}
