//! One request from arrival to answer: count it, spoil it if a fault says so, answer it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_LENGTH, HeaderValue, RANGE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::json;

use super::fault::{Effect, FaultId, FaultTable};
use super::ims::{self, Ims};
use super::knobs::Panel;
use super::listener::Scissors;
use super::payload::Payload;
use super::reply::Reply;
use super::seed::mix;
use super::traffic::{LoggedRequest, RequestKind, Traffic};
use super::wsg::{self, Call, Gateway, Login, SKIP_TOKEN, Twist};
use super::{admin, platform, world};

/// The largest request body taken: an admin request may carry a file in base64.
const BODY_LIMIT: usize = 64 << 20;

/// Everything the server is made of.
pub(super) struct Demo {
    pub(super) ims: Ims,
    pub(super) gateway: Gateway,
    pub(super) faults: FaultTable,
    pub(super) traffic: Traffic,
    pub(super) knobs: Arc<Panel>,
    /// Makes every tag of [`Effect::ChangedEtag`] another one.
    pub(super) salt: AtomicU64,
}

impl Demo {
    pub(super) fn world(&self) -> &Arc<world::World> {
        &self.gateway.world
    }

    fn login(&self, headers: &HeaderMap) -> Login {
        let Some(token) = ims::bearer_token(headers) else {
            return Login::Missing;
        };
        match self.ims.grants.bearer(token) {
            Some(bearer) if bearer.scope.iter().any(|scope| scope == ims::READ_SCOPE) => {
                Login::Accepted { email: bearer.email }
            }
            Some(_) => Login::NoScope,
            None => Login::Refused,
        }
    }
}

/// How the body is sent.
enum Delivery {
    Whole,
    /// So many bytes, and the connection breaks.
    Broken(u64),
    /// So many bytes, and the rest when the fault is cleared.
    Stalled(u64, FaultId),
}

/// Answers one request.
pub(super) async fn handle(
    State(demo): State<Arc<Demo>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return send(
            Reply::empty(StatusCode::PAYLOAD_TOO_LARGE),
            &Delivery::Whole,
            &demo,
        );
    };
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or("");
    if let Some(command) = path.strip_prefix(admin::ROOT) {
        let reply = admin::answer(&demo, &parts.method, command, &body);
        return send(reply, &Delivery::Whole, &demo);
    }
    let call = wsg_path(path).map(|path| {
        let repository = &demo.gateway.repository;
        wsg::understand(repository, &parts.method, path, query, &body)
    });
    let kind = match &call {
        Some(call) => call.kind,
        None => ims::kind_of(path)
            .or_else(|| platform::kind_of(path))
            .unwrap_or(RequestKind::Other),
    };
    let subject = call.as_ref().and_then(|call| call.subject);
    demo.traffic.record(logged(&parts, kind, call.as_ref()));
    let knobs = demo.knobs.now();
    if !knobs.latency.is_zero() {
        tokio::time::sleep(knobs.latency).await;
    }
    let mut twist = Twist::default();
    let mut delivery = Delivery::Whole;
    for (id, effect) in demo.faults.strike(kind, subject) {
        match effect {
            Effect::Latency(delay) => tokio::time::sleep(delay).await,
            Effect::HangAfterAccept => demo.faults.until_cleared(id).await,
            Effect::DropConnection => {
                scissors.cut();
                return send(Reply::empty(StatusCode::OK), &Delivery::Whole, &demo);
            }
            Effect::Status {
                code,
                error_id,
                retry_after,
            } => {
                let reply = status_reply(kind, code, error_id.as_deref(), retry_after);
                return send(reply, &Delivery::Whole, &demo);
            }
            Effect::MalformedJson => {
                let mut reply = Reply::json(StatusCode::OK, &json!(null));
                reply.body = Bytes::from_static(b"{\"instances\":[{\"instanceId\":\"9d8a7a").into();
                return send(reply, &Delivery::Whole, &demo);
            }
            Effect::HtmlLogin => return send(ims::login_page(), &Delivery::Whole, &demo),
            Effect::RedirectToLogin => {
                let page = format!("{}/IMS/Account/Login?ReturnUrl=%2F", demo.ims.issuer);
                return send(Reply::redirect(&page), &Delivery::Whole, &demo);
            }
            Effect::EmptyList => {
                let reply = Reply::json(StatusCode::OK, &json!({ "instances": [] }));
                return send(reply, &Delivery::Whole, &demo);
            }
            Effect::LoopingSkipToken => twist.looping = true,
            Effect::WrongLength { delta } => twist.length = delta,
            Effect::ChangedEtag => {
                twist.etag_salt = mix(demo.salt.fetch_add(1, Ordering::Relaxed) + 1);
            }
            Effect::Truncate { after } => delivery = Delivery::Broken(after),
            Effect::StallBody { after } => delivery = Delivery::Stalled(after, id),
        }
    }
    let reply = match call {
        Some(call) => {
            // After any hanging: a token may have ended meanwhile.
            let login = demo.login(&parts.headers);
            let reply = demo
                .gateway
                .answer(call, &parts.headers, &login, twist, &knobs)
                .await;
            wsg::with_server_headers(reply, &parts.headers, &knobs)
        }
        None if ims::kind_of(path).is_some() => {
            demo.ims.answer(&parts.method, path, query, &parts.headers, &body)
        }
        None if platform::kind_of(path).is_some() => {
            platform::answer(&demo, &parts.method, path, query, &parts.headers)
        }
        None => Reply::empty(StatusCode::NOT_FOUND),
    };
    send(reply, &delivery, &demo)
}

/// The part of a path behind the gateway's root, which is found in any case.
fn wsg_path(path: &str) -> Option<&str> {
    let (root, rest) = path.split_at_checked(wsg::ROOT.len())?;
    let inside = rest.is_empty() || rest.starts_with('/');
    (inside && root.eq_ignore_ascii_case(wsg::ROOT)).then_some(rest)
}

fn logged(parts: &Parts, kind: RequestKind, call: Option<&Call>) -> LoggedRequest {
    let header = |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).map(str::to_owned);
    LoggedRequest {
        kind,
        subject: call.and_then(|call| call.subject),
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

fn status_reply(
    kind: RequestKind,
    code: u16,
    error_id: Option<&str>,
    retry_after: Option<Duration>,
) -> Reply {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reply = match (error_id, kind) {
        (Some(id), RequestKind::Token | RequestKind::Revocation | RequestKind::UserInfo) => {
            ims::oauth_error(status, id, None)
        }
        (Some(id), _) => Reply::error(status, id, "A fault of the demo."),
        (None, _) => Reply::empty(status),
    };
    match retry_after {
        Some(delay) => reply.with(RETRY_AFTER, &delay.as_secs().to_string()),
        None => reply,
    }
}

fn send(reply: Reply, delivery: &Delivery, demo: &Arc<Demo>) -> Response {
    let length = reply.body.len();
    let body = match delivery {
        Delivery::Whole => whole(reply.body),
        Delivery::Broken(after) => broken(reply.body.part(0, *after)),
        Delivery::Stalled(after, id) => stalled(&reply.body, *after, *id, demo),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    if reply.status != StatusCode::NOT_MODIFIED {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Everything, made while it is sent where it is not at hand.
fn whole(payload: Payload) -> Body {
    match payload {
        Payload::Bytes(bytes) => Body::from(bytes),
        made @ Payload::Made { .. } => Body::from_stream(pieces(made).map(Ok::<_, io::Error>)),
    }
}

fn pieces(payload: Payload) -> impl Stream<Item = Bytes> {
    futures_util::stream::unfold(payload, |rest| async move { rest.next() })
}

/// The first part, flushed, and then an error, which ends the connection before the announced length.
fn broken(start: Payload) -> Body {
    let end = futures_util::stream::once(async {
        // Gives the connection a turn, in which it flushes what it has.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(pieces(start).map(Ok).chain(end))
}

/// The first part, and the rest when the fault is cleared.
fn stalled(body: &Payload, after: u64, id: FaultId, demo: &Arc<Demo>) -> Body {
    let start = body.part(0, after);
    let rest = body.part(after, u64::MAX);
    let demo = Arc::clone(demo);
    let wait = futures_util::stream::once(async move {
        demo.faults.until_cleared(id).await;
        Bytes::new()
    });
    let all = pieces(start).chain(wait).chain(pieces(rest));
    Body::from_stream(
        all.filter(|piece| std::future::ready(!piece.is_empty()))
            .map(Ok::<_, io::Error>),
    )
}
