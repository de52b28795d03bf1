//! The admin API: what [`World`](super::World), [`Fault`](super::Fault), the knobs and scripts can do, over HTTP.
//!
//! `GET /admin` lists every command as text. `GET` takes its parameters in the query, `POST` takes a JSON object
//! (or nothing); both answer JSON unless the list says otherwise, and a mistake answers 400 with
//! `{"error": "…"}`. Nothing under `/admin` is counted, limited, delayed or spoiled.
//!
//! It has no login and so answers this machine only: a `Host` that is not a loopback name is refused, as a name
//! that was made to lead here from a web page would be, and so is an `Origin` that is not this server.

mod changes;
mod faults;
mod knobs;
mod requests;
mod tree;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::model::{Guid, InvalidGuid};

use super::accounts;
use super::delivery::whole;
use super::dispatch::Demo;
use super::fault::FaultError;
use super::knobs::KnobError;
use super::payload::Payload;
use super::reply::Reply;
use super::script::ScriptError;
use super::world::WorldError;

pub(super) use self::changes::Order;

/// The path all of it lives under.
pub(super) const ROOT: &str = "/admin";
/// Bytes of a long answer that are sent at once.
const PIECE: usize = 64 << 10;

/// The command cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error("the body is not the JSON expected: {0}")]
    Body(#[from] serde_json::Error),
    #[error("the body lacks {0:?}")]
    Lacks(&'static str),
    #[error("{command} does not take {field:?}")]
    Field { command: String, field: String },
    #[error("{field} takes {values}, not {text:?}")]
    Value {
        field: &'static str,
        values: &'static str,
        text: String,
    },
    #[error(transparent)]
    Guid(#[from] InvalidGuid),
    #[error("nothing is at the path {0:?}")]
    Path(String),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error(transparent)]
    Knob(#[from] KnobError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("nobody has the account {0:?}")]
    Account(String),
    #[error("there is no such command; GET /admin lists them")]
    UnknownCommand,
    #[error("the admin API answers this machine only, not {0}")]
    Foreign(String),
}

/// What a command answers.
enum Answer {
    Done,
    Json(Json),
    Text(String),
    Bytes(Payload),
    /// A long answer, in parts: never in one piece, which would be copied as it grows.
    Parts(&'static str, Box<dyn Iterator<Item = String> + Send>),
}

/// One request, taken apart.
struct Ask<'a> {
    demo: &'a Arc<Demo>,
    /// The query of a `GET`, the object of a `POST`.
    fields: Map<String, Json>,
}

impl Ask<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, AdminError> {
        Ok(serde_json::from_value(Json::Object(self.fields.clone()))?)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Json::as_str)
    }

    fn need(&self, field: &'static str) -> Result<&str, AdminError> {
        self.text(field).ok_or(AdminError::Lacks(field))
    }

    /// The account asked for, or the one that signs in where nobody says who.
    fn account(&self) -> Result<&'static str, AdminError> {
        account(self.text("account"))
    }
}

fn account(email: Option<&str>) -> Result<&'static str, AdminError> {
    let Some(email) = email else {
        return Ok(accounts::DEFAULT_EMAIL);
    };
    let found = accounts::by_email(email);
    found
        .map(|account| account.email)
        .ok_or_else(|| AdminError::Account(email.to_owned()))
}

/// Any field: names of knobs, and scripts.
const ANY: &[&str] = &["…"];

/// One command: how it is called, what it takes, what it does.
struct Command {
    method: Method,
    path: &'static str,
    takes: &'static [&'static str],
    does: &'static str,
    run: fn(&Ask<'_>) -> Result<Answer, AdminError>,
}

const fn get(
    path: &'static str,
    takes: &'static [&'static str],
    does: &'static str,
    run: fn(&Ask<'_>) -> Result<Answer, AdminError>,
) -> Command {
    Command {
        method: Method::GET,
        path,
        takes,
        does,
        run,
    }
}

const fn post(
    path: &'static str,
    takes: &'static [&'static str],
    does: &'static str,
    run: fn(&Ask<'_>) -> Result<Answer, AdminError>,
) -> Command {
    Command {
        method: Method::POST,
        path,
        takes,
        does,
        run,
    }
}

/// Every command but the changes of the world, which are in [`changes::TABLE`].
#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    get("", &[], "this list, as text", |_| Ok(Answer::Text(manual()))),
    get("/requests", &["kind"], "counters and the recent requests, of one kind or all", requests::look),
    post("/requests/reset", &[], "forgets both", requests::reset),
    get("/tree", &["account", "format"], "every folder and document as a truthful client of the account should see it; format json or ndjson (one a line)", tree::look),
    get("/content", &["guid", "path"], "the true bytes of a document, not JSON", tree::content),
    get("/faults", &[], "the faults in force, and how often each struck", faults::look),
    post("/faults", faults::FIELDS, "injects a fault, answers its id", faults::inject),
    post("/faults/clear", &["id"], "ends one fault, or all", faults::clear),
    get("/knobs", &[], "every knob: name, value, values, point, help", knobs::look),
    post("/knobs", ANY, "turns the knobs named, together or not at all", knobs::turn),
    get("/script", &[], "how far the script is", faults::progress),
    post("/script", ANY, "runs a script in place of the one that runs", faults::run_script),
    post("/script/stop", &[], "ends the script where it is", faults::stop_script),
    post("/reset", &[], "ends faults and script, turns the knobs to where they started, forgets requests, limits and wrong passwords; the world stays", faults::reset),
    post("/tokens/expire", &[], "ends access tokens", requests::expire),
    post("/tokens/revoke", &[], "ends every token", requests::revoke),
    post("/redirect-uri", &["uri"], "registers it with every app that is sent back somewhere", requests::register),
];

/// True for the first bytes of a request to the admin API.
pub(super) fn is_asked(bytes: &[u8]) -> bool {
    [&b"GET /admin"[..], b"POST /admin"]
        .iter()
        .any(|start| bytes.starts_with(start))
}

/// Answers one request.
pub(super) async fn answer(demo: &Arc<Demo>, parts: Parts, body: Bytes) -> Response {
    let demo = Arc::clone(demo);
    // Making a file or a million rows is too long for a thread that serves others.
    let answering = tokio::task::spawn_blocking(move || respond(&demo, &parts, &body));
    match answering.await {
        Ok(response) => response,
        Err(_) => reply_of(Reply::empty(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

fn respond(demo: &Arc<Demo>, parts: &Parts, body: &[u8]) -> Response {
    let answer = guard(&parts.headers).and_then(|()| obey(demo, parts, body));
    let reply = match answer {
        Ok(Answer::Done) => Reply::json(StatusCode::OK, &json!({})),
        Ok(Answer::Json(json)) => Reply::json(StatusCode::OK, &json),
        Ok(Answer::Text(text)) => {
            let mut reply = Reply::empty(StatusCode::OK);
            reply.body = text.into();
            reply.with(CONTENT_TYPE, "text/plain; charset=utf-8")
        }
        Ok(Answer::Bytes(payload)) => {
            let mut reply = Reply::empty(StatusCode::OK);
            reply.body = payload;
            reply.with(CONTENT_TYPE, "application/octet-stream")
        }
        Ok(Answer::Parts(kind, parts)) => {
            let mut response = Response::new(Body::from_stream(stream::iter(Pieces(parts))));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            return response;
        }
        Err(error) => {
            let status = match error {
                AdminError::UnknownCommand => StatusCode::NOT_FOUND,
                AdminError::Foreign(_) => StatusCode::FORBIDDEN,
                AdminError::Body(_)
                | AdminError::Lacks(_)
                | AdminError::Field { .. }
                | AdminError::Value { .. }
                | AdminError::Guid(_)
                | AdminError::Path(_)
                | AdminError::World(_)
                | AdminError::Base64(_)
                | AdminError::Fault(_)
                | AdminError::Knob(_)
                | AdminError::Script(_)
                | AdminError::Account(_) => StatusCode::BAD_REQUEST,
            };
            Reply::json(status, &json!({ "error": error.to_string() }))
        }
    };
    reply_of(reply)
}

fn reply_of(reply: Reply) -> Response {
    let mut response = Response::new(whole(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    response
}

/// Small parts put together.
struct Pieces(Box<dyn Iterator<Item = String> + Send>);

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = self.0.next()?;
        while piece.len() < PIECE
            && let Some(part) = self.0.next()
        {
            piece.push_str(&part);
        }
        Some(Ok(Bytes::from(piece)))
    }
}

/// Refuses requests that a web page of somewhere else may have made.
fn guard(headers: &HeaderMap) -> Result<(), AdminError> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = headers.get(HOST).map(text).unwrap_or_default();
    if !is_loopback(&host) {
        return Err(AdminError::Foreign(format!("the host {host:?}")));
    }
    match headers.get(ORIGIN).map(text) {
        Some(origin) if origin.strip_prefix("http://") != Some(&host) => {
            Err(AdminError::Foreign(format!("the site {origin:?}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// True where an authority (`host` or `host:port`) names this machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || bare
            .unwrap_or(host)
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn obey(demo: &Arc<Demo>, parts: &Parts, body: &[u8]) -> Result<Answer, AdminError> {
    let path = parts
        .uri
        .path()
        .strip_prefix(ROOT)
        .unwrap_or_default()
        .trim_end_matches('/');
    let fields = if parts.method == Method::GET {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs
            .map(|(key, value)| (key.into_owned(), Json::from(value.into_owned())))
            .collect()
    } else if body.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice(body)?
    };
    let ask = Ask { demo, fields };
    if parts.method == Method::POST
        && let Some(change) = path.strip_prefix('/').and_then(changes::named)
    {
        return Ok(Answer::Json(
            Order::new(change, ask.fields)?.carry_out(demo.world())?,
        ));
    }
    let mut commands = COMMANDS.iter();
    let found = commands.find(|command| command.method == parts.method && command.path == path);
    let command = found.ok_or(AdminError::UnknownCommand)?;
    check(path, command.takes, &ask.fields)?;
    (command.run)(&ask)
}

/// Refuses fields that a command does not take: what is ignored today is missed tomorrow.
fn check(command: &str, takes: &[&str], fields: &Map<String, Json>) -> Result<(), AdminError> {
    if takes == ANY {
        return Ok(());
    }
    match fields.keys().find(|field| !takes.contains(&field.as_str())) {
        Some(field) => Err(AdminError::Field {
            command: command.trim_start_matches('/').to_owned(),
            field: field.clone(),
        }),
        None => Ok(()),
    }
}

/// Every command, for people.
fn manual() -> String {
    let mut text = String::from(
        "The demo's admin API. GET takes a query, POST a JSON object; both answer JSON.\n\
         Guids may be given as \"guid\", or documents and folders by their names as \"path\": \"A/B/c.pdf\".\n\n",
    );
    let lines = COMMANDS.iter().map(|command| {
        let path = format!("{ROOT}{}", command.path);
        (command.method.to_string(), path, command.takes, command.does)
    });
    let changes = changes::TABLE.iter().map(|row| {
        let path = format!("{ROOT}/{}", row.name);
        ("POST".to_owned(), path, row.takes, row.does)
    });
    for (method, path, takes, does) in lines.chain(changes) {
        let mut line = format!("{method:4} {path:24} {does}\n");
        if !takes.is_empty() {
            line = format!("{line}{:30}takes {}\n", "", takes.join(" "));
        }
        text.push_str(&line);
    }
    text.push_str("\nEffects (\"effect\": {\"kind\": …}): see docs/simulator.md. Request kinds (\"on\"):\n");
    let kinds: Vec<_> = super::traffic::RequestKind::ALL
        .iter()
        .map(|kind| kind.name())
        .collect();
    text.push_str(&kinds.join(" "));
    text.push('\n');
    text
}

/// Counts as JSON, by name.
fn by_name(counts: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    counts.collect()
}

fn made(guid: Guid) -> Json {
    json!({ "guid": guid.to_string() })
}
