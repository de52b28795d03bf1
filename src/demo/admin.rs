//! The admin API: what [`World`](super::World) and [`Fault`] can do from Rust, over HTTP for scripts and people.
//!
//! `GET` answers JSON; `POST` takes a JSON object (or nothing) and answers JSON; a mistake answers 400 with
//! `{"error": "…"}`. Nothing under `/admin` is counted, delayed or spoiled.
//!
//! | request | body | what it does |
//! |---|---|---|
//! | `GET /admin/requests` | | counters and the recent requests |
//! | `POST /admin/requests/reset` | | forgets both |
//! | `GET /admin/tree` | | every folder and document as a truthful client should see it |
//! | `POST /admin/faults` | `on`, `subject`, `skip`, `times`, `effect` | injects a fault, answers its `id` |
//! | `POST /admin/faults/clear` | `id`, or nothing for all | ends faults |
//! | `POST /admin/tokens/expire` | | ends access tokens |
//! | `POST /admin/tokens/revoke` | | ends every token |
//! | `POST /admin/redirect-uri` | `uri` | registers it with both apps |
//! | `POST /admin/add-folder` | `parent` (or none), `name` | answers `guid` |
//! | `POST /admin/add-document` | `folder`, `name`, content | answers `guid` |
//! | `POST /admin/add-placeholder` | `folder`, `name` | answers `guid` |
//! | `POST /admin/rename` | `guid`, `name` | renames a document or folder |
//! | `POST /admin/move` | `guid`, `folder` | moves it; a folder without `folder` becomes a root |
//! | `POST /admin/delete` | `guid` | deletes a document, or a folder with all below |
//! | `POST /admin/new-version` | `guid`, content | answers the `guid` of the now active document |
//! | `POST /admin/replace` | `guid`, content, `same_tag` | replaces the file in place |
//! | `POST /admin/describe` | `guid`, `text` | edits the description only |
//! | `POST /admin/revoke`, `…/hide`, `…/grant` | `guid` | takes rights away, or gives them back |
//!
//! *Content* is one of `text`, `base64`, or `size` (so many bytes, made from the name's extension).
//! `on` is a [`RequestKind`] by name, absent for all. `effect` is an object with `kind` and its parameters:
//! `status` (`code`, `error_id`, `retry_after`), `hang`, `truncate` (`after`), `malformed_json`, `html_login`,
//! `redirect_to_login`, `empty_list`, `looping_skip_token`, `wrong_length` (`delta`), `stall_body` (`after`),
//! `latency` (`millis`), `changed_etag`, `drop_connection`.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::model::{DocumentKind, Guid, InvalidGuid};

use super::dispatch::Demo;
use super::fault::{Effect, Fault, FaultId};
use super::files::{FileFormat, Recipe};
use super::reply::Reply;
use super::traffic::RequestKind;
use super::world::{Access, InPlace, WorldError};

/// The path all of it lives under.
pub(super) const ROOT: &str = "/admin";

/// The command cannot be carried out.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error("the body is not the JSON expected: {0}")]
    Body(#[from] serde_json::Error),
    #[error("the body lacks {0:?}")]
    Lacks(&'static str),
    #[error(transparent)]
    Guid(#[from] InvalidGuid),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("there is no request kind {0:?}")]
    UnknownKind(String),
    #[error("there is no such command")]
    UnknownCommand,
}

/// Every field any command takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    guid: Option<String>,
    folder: Option<String>,
    parent: Option<String>,
    name: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    size: Option<u64>,
    same_tag: bool,
    uri: Option<String>,
    id: Option<u64>,
    on: Option<String>,
    subject: Option<String>,
    skip: u32,
    times: Option<u32>,
    effect: Option<EffectFields>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum EffectFields {
    Status {
        code: u16,
        error_id: Option<String>,
        /// Seconds.
        retry_after: Option<u64>,
    },
    Hang,
    Truncate {
        after: u64,
    },
    MalformedJson,
    HtmlLogin,
    RedirectToLogin,
    EmptyList,
    LoopingSkipToken,
    WrongLength {
        delta: i64,
    },
    StallBody {
        after: u64,
    },
    Latency {
        millis: u64,
    },
    ChangedEtag,
    DropConnection,
}

/// Answers one request; `command` is the path behind [`ROOT`].
pub(super) fn answer(demo: &Demo, method: &Method, command: &str, body: &[u8]) -> Reply {
    let result = match *method {
        Method::GET => look(demo, command),
        Method::POST => act(demo, command, body),
        _ => return Reply::empty(StatusCode::METHOD_NOT_ALLOWED),
    };
    match result {
        Ok(json) => Reply::json(StatusCode::OK, &json),
        Err(error) => {
            let status = match error {
                AdminError::UnknownCommand => StatusCode::NOT_FOUND,
                AdminError::Body(_)
                | AdminError::Lacks(_)
                | AdminError::Guid(_)
                | AdminError::World(_)
                | AdminError::Base64(_)
                | AdminError::UnknownKind(_) => StatusCode::BAD_REQUEST,
            };
            Reply::json(status, &json!({ "error": error.to_string() }))
        }
    }
}

fn look(demo: &Demo, command: &str) -> Result<Json, AdminError> {
    match command {
        "/requests" => Ok(requests(demo)),
        "/tree" => Ok(tree(demo)),
        _ => Err(AdminError::UnknownCommand),
    }
}

fn act(demo: &Demo, command: &str, body: &[u8]) -> Result<Json, AdminError> {
    let fields: Fields = if body.is_empty() {
        Fields::default()
    } else {
        serde_json::from_slice(body)?
    };
    let world = demo.world();
    let done = json!({});
    let made = |guid: Guid| json!({ "guid": guid.to_string() });
    match command {
        "/requests/reset" => {
            demo.traffic.reset();
            Ok(done)
        }
        "/faults" => Ok(json!({ "id": demo.faults.inject(fields.fault()?).0 })),
        "/faults/clear" => {
            if let Some(id) = fields.id {
                return Ok(json!({ "found": demo.faults.clear(FaultId(id)) }));
            }
            demo.faults.clear_all();
            Ok(done)
        }
        "/tokens/expire" => {
            demo.ims.grants.expire_access_tokens();
            Ok(done)
        }
        "/tokens/revoke" => {
            demo.ims.grants.revoke_all();
            Ok(done)
        }
        "/redirect-uri" => {
            let uri = need(fields.uri.as_deref(), "uri")?;
            demo.ims.grants.register_redirect_uri(uri);
            Ok(done)
        }
        "/add-folder" => {
            let parent = fields.parent.as_deref().map(str::parse).transpose()?;
            Ok(made(world.add_folder(parent, fields.name()?)?))
        }
        "/add-document" => {
            let name = fields.name()?;
            let content = fields.content(name)?;
            Ok(made(world.add_document(fields.folder()?, name, content)?))
        }
        "/add-placeholder" => Ok(made(world.add_placeholder(fields.folder()?, fields.name()?)?)),
        "/new-version" => {
            let (guid, name) = fields.file(demo)?;
            Ok(made(world.new_version(guid, fields.content(&name)?)?))
        }
        "/replace" => {
            let (guid, name) = fields.file(demo)?;
            let told = if fields.same_tag {
                InPlace::SameTag
            } else {
                InPlace::Listed
            };
            world.replace_in_place(guid, fields.content(&name)?, told)?;
            Ok(done)
        }
        "/rename" | "/move" | "/delete" => {
            let guid = fields.guid()?;
            let document = world.document(guid).is_some();
            match (command, document) {
                ("/rename", true) => world.rename_document(guid, fields.name()?)?,
                ("/rename", false) => world.rename_folder(guid, fields.name()?)?,
                ("/move", true) => world.move_document(guid, fields.folder()?)?,
                ("/move", false) => {
                    let parent = fields.folder.as_deref().map(str::parse).transpose()?;
                    world.move_folder(guid, parent)?;
                }
                (_, true) => world.delete_document(guid)?,
                (_, false) => world.delete_folder(guid)?,
            }
            Ok(done)
        }
        "/describe" => {
            let text = need(fields.text.as_deref(), "text")?;
            world.edit_description(fields.guid()?, text)?;
            Ok(done)
        }
        "/revoke" => {
            world.set_access(fields.guid()?, Access::SeeOnly)?;
            Ok(done)
        }
        "/hide" => {
            world.set_access(fields.guid()?, Access::Hidden)?;
            Ok(done)
        }
        "/grant" => {
            world.set_access(fields.guid()?, Access::Full)?;
            Ok(done)
        }
        _ => Err(AdminError::UnknownCommand),
    }
}

fn need<T>(field: Option<T>, name: &'static str) -> Result<T, AdminError> {
    field.ok_or(AdminError::Lacks(name))
}

impl Fields {
    fn guid(&self) -> Result<Guid, AdminError> {
        Ok(need(self.guid.as_deref(), "guid")?.parse()?)
    }

    fn folder(&self) -> Result<Guid, AdminError> {
        Ok(need(self.folder.as_deref(), "folder")?.parse()?)
    }

    fn name(&self) -> Result<&str, AdminError> {
        need(self.name.as_deref(), "name")
    }

    /// The document named and its file name, from which made content takes its format.
    fn file(&self, demo: &Demo) -> Result<(Guid, String), AdminError> {
        let guid = self.guid()?;
        let document = demo.world().document(guid);
        let document = document.ok_or(WorldError::UnknownDocument(guid))?;
        Ok((guid, document.file_name.unwrap_or_default()))
    }

    fn content(&self, file_name: &str) -> Result<Bytes, AdminError> {
        if let Some(text) = &self.text {
            return Ok(Bytes::from(text.clone()));
        }
        if let Some(text) = &self.base64 {
            return Ok(Bytes::from(STANDARD.decode(text)?));
        }
        let size = need(self.size, "text, base64 or size")?;
        let format = FileFormat::of_file_name(file_name);
        // Version numbers of made documents are small, so these bytes are unlike any of theirs.
        let guid = self.guid().unwrap_or(Guid::from_bytes([0; 16]));
        Ok(Recipe::new(format, guid, u32::MAX, size).make().into())
    }

    fn fault(&self) -> Result<Fault, AdminError> {
        let kind = match self.on.as_deref() {
            Some(name) => {
                let kind = RequestKind::named(name);
                Some(kind.ok_or_else(|| AdminError::UnknownKind(name.to_owned()))?)
            }
            None => None,
        };
        Ok(Fault {
            kind,
            subject: self.subject.as_deref().map(str::parse).transpose()?,
            skip: self.skip,
            times: self.times,
            effect: need(self.effect.as_ref(), "effect")?.effect(),
        })
    }
}

impl EffectFields {
    fn effect(&self) -> Effect {
        match self {
            Self::Status {
                code,
                error_id,
                retry_after,
            } => Effect::Status {
                code: *code,
                error_id: error_id.clone(),
                retry_after: retry_after.map(Duration::from_secs),
            },
            Self::Hang => Effect::HangAfterAccept,
            Self::Truncate { after } => Effect::Truncate { after: *after },
            Self::MalformedJson => Effect::MalformedJson,
            Self::HtmlLogin => Effect::HtmlLogin,
            Self::RedirectToLogin => Effect::RedirectToLogin,
            Self::EmptyList => Effect::EmptyList,
            Self::LoopingSkipToken => Effect::LoopingSkipToken,
            Self::WrongLength { delta } => Effect::WrongLength { delta: *delta },
            Self::StallBody { after } => Effect::StallBody { after: *after },
            Self::Latency { millis } => Effect::Latency(Duration::from_millis(*millis)),
            Self::ChangedEtag => Effect::ChangedEtag,
            Self::DropConnection => Effect::DropConnection,
        }
    }
}

fn requests(demo: &Demo) -> Json {
    let counters = demo.traffic.counters();
    let by_kind: serde_json::Map<_, _> = counters
        .by_kind()
        .map(|(kind, count)| (kind.name(), json!(count)))
        .collect();
    let log: Vec<_> = demo
        .traffic
        .log()
        .into_iter()
        .map(|request| {
            json!({
                "kind": request.kind.name(),
                "subject": request.subject.map(|guid| guid.to_string()),
                "method": request.method,
                "target": request.target,
                "skip": request.skip,
                "top": request.top,
                "skip_token": request.skip_token,
                "range": request.range,
            })
        })
        .collect();
    json!({
        "total": counters.total,
        "mutation_attempts": counters.mutation_attempts,
        "by_kind": by_kind,
        "log": log,
    })
}

fn tree(demo: &Demo) -> Json {
    let world = demo.world();
    let folders: Vec<_> = world
        .folders()
        .into_iter()
        .map(|folder| {
            json!({
                "guid": folder.guid.to_string(),
                "parent": folder.parent.map(|guid| guid.to_string()),
                "path": folder.path,
                "listable": folder.listable,
                "listed": folder.listed,
                "work_area": folder.work_area,
            })
        })
        .collect();
    let documents: Vec<_> = world
        .documents()
        .into_iter()
        .map(|document| {
            json!({
                "guid": document.guid.to_string(),
                "folder": document.folder_guid.to_string(),
                "path": document.path,
                "name": document.name,
                "file_name": document.file_name,
                "size": document.size,
                "listed_size": document.listed_size,
                "version": document.version,
                "active": document.active,
                "readable": document.readable,
                "listed": document.listed,
                "kind": match document.kind {
                    DocumentKind::File => "file",
                    DocumentKind::Placeholder => "placeholder",
                    DocumentKind::Set => "set",
                },
                "file_updated": document.file_updated.map(|time| time.to_string()),
            })
        })
        .collect();
    json!({ "folders": folders, "documents": documents })
}
