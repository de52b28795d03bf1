//! Answers understood calls from the world.

use std::sync::Arc;

use axum::http::header::{IF_NONE_MATCH, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use crate::demo::knobs::{Knobs, NavNode, Ranges};
use crate::demo::payload::Payload;
use crate::demo::reply::{Reply, names_tag};
use crate::demo::seed::digest;
use crate::demo::world::{Access, Content, World};
use crate::model::Guid;

use super::classes::Class;
use super::download::Download;
use super::listing::object;
use super::paging::SkipTokens;
use super::query::{Plan, Query};
use super::results::Results;
use super::scene::{Memo, Scene};
use super::{Action, Call, SKIP_TOKEN, no_schema, not_available, not_found, refusal, repositories, written};

/// How a fault bends an otherwise true answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::demo) struct Twist {
    /// Every page is the first and names a next one.
    pub(in crate::demo) looping: bool,
    /// Added to the length of files.
    pub(in crate::demo) length: i64,
    /// Mixed into every entity tag; 0 leaves them alone.
    pub(in crate::demo) etag_salt: u64,
}

/// How a request is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo) enum Login {
    Missing,
    Refused,
    /// A valid token without the scope `projectwise:read`.
    NoScope,
    Accepted {
        email: String,
    },
}

/// The settings and state of the gateway.
pub(in crate::demo) struct Gateway {
    pub(in crate::demo) world: Arc<World>,
    pub(in crate::demo) tokens: SkipTokens,
    pub(in crate::demo) results: Results,
    pub(in crate::demo) repository: String,
    pub(in crate::demo) location: String,
}

impl Gateway {
    pub(in crate::demo) async fn answer(
        &self,
        call: Call,
        headers: &HeaderMap,
        login: &Login,
        twist: Twist,
        knobs: &Knobs,
    ) -> Reply {
        let Some(minor) = call.api.minor(knobs) else {
            return not_found("NotFound", "No such Web API.");
        };
        let email = match login {
            Login::Accepted { email } => email.as_str(),
            Login::Missing | Login::Refused | Login::NoScope if call.public() => "",
            Login::NoScope => {
                let message = "The token does not carry the scope projectwise:read.";
                return Reply::error(StatusCode::FORBIDDEN, "NotEnoughRights", message);
            }
            Login::Missing | Login::Refused => {
                let message = "The login failed: the token is missing, unknown or expired.";
                return Reply::error(StatusCode::UNAUTHORIZED, "LoginFailed", message)
                    .with(WWW_AUTHENTICATE, "Bearer realm=\"Bentley.PW\"");
            }
        };
        if call.posted && minor < 4 {
            return not_found("NotSupported", "$query needs Web API 2.4.");
        }
        let reply = match call.action {
            Action::Refuse(reply) => return reply,
            Action::Plugins => repositories::plugins(),
            Action::Repositories(id) => match self.repositories(id.as_deref()) {
                Some(reply) => reply,
                None => return not_available(),
            },
            Action::List(listing) => match missing_schema(listing.class, minor, knobs) {
                Some(reply) => return reply,
                None => self.look(email, knobs, minor, |scene| {
                    self.list(scene, &listing, headers, twist)
                }),
            },
            Action::Object { class, id, query } => match missing_schema(class, minor, knobs) {
                Some(reply) => return reply,
                None => self.look(email, knobs, minor, |scene| one(scene, class, &id, &query)),
            },
            Action::File(guid) => return self.file(email, knobs, guid, headers, twist).await,
        };
        tagged(reply, email, headers, knobs, twist)
    }

    /// Looks at the datasource for one answer.
    fn look(&self, account: &str, knobs: &Knobs, minor: u32, look: impl FnOnce(Scene<'_>) -> Reply) -> Reply {
        self.world.view(account, |view| {
            let memo = Memo::default();
            look(Scene {
                view,
                knobs,
                account,
                minor,
                memo: &memo,
            })
        })
    }

    async fn file(
        &self,
        account: &str,
        knobs: &Knobs,
        guid: Guid,
        headers: &HeaderMap,
        twist: Twist,
    ) -> Reply {
        let found = self.world.view(account, |view| {
            let row = view
                .document(guid)
                .ok_or_else(|| not_found("InstanceNotFound", "Requested instance is not available."))?;
            if row.access != Access::Full || !view.may_list(row.folder) {
                return Err(no_rights());
            }
            if row.content == Content::Nothing {
                return Err(not_found("FileNotFound", "The document has no file."));
            }
            Ok((row.content.clone(), row.file_etag()))
        });
        let (content, tag) = match found {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        // Making a large file takes tens of milliseconds, too long for a thread that serves others.
        let world = Arc::clone(&self.world);
        let made = tokio::task::spawn_blocking(move || world.payload_of(&content)).await;
        let Ok(Some(bytes)) = made else {
            let message = "The file could not be made.";
            return Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "ServerError", message);
        };
        let download = Download {
            payload: stretched(&bytes, twist.length),
            tag: tag ^ twist.etag_salt,
            ranges: knobs.ranges == Ranges::Served,
        };
        download.answer(headers)
    }
}

/// The error of a schema this server does not have.
fn missing_schema(class: Class, minor: u32, knobs: &Knobs) -> Option<Reply> {
    let missing = match class {
        Class::NavNode => knobs.nav_node == NavNode::Missing,
        // Policies came with API 2.8 (fact sheet 1.1).
        Class::Policy => minor < 8,
        _ => false,
    };
    missing.then(|| no_schema(class.schema()))
}

/// A list of the one instance asked for.
fn one(scene: Scene<'_>, class: Class, id: &str, query: &Query) -> Reply {
    let plan = match Plan::new(query, class, scene.knobs) {
        Ok(plan) => plan,
        Err(error) => return refusal(&error),
    };
    match object(scene, class, id) {
        Ok(row) => written::instances(scene, &[row], &plan.selection, None),
        Err(reply) => reply,
    }
}

/// A copy longer or shorter by `delta` bytes; the same bytes where it is 0.
fn stretched(payload: &Payload, delta: i64) -> Payload {
    let change = delta.unsigned_abs();
    if delta <= 0 {
        return payload.part(0, payload.len().saturating_sub(change));
    }
    let mut longer = payload.whole().to_vec();
    let more = usize::try_from(change).unwrap_or(usize::MAX);
    longer.resize(longer.len().saturating_add(more), b'+');
    Bytes::from(longer).into()
}

/// Adds the tag of the whole answer, or answers 304 if the client has it.
fn tagged(reply: Reply, account: &str, headers: &HeaderMap, knobs: &Knobs, twist: Twist) -> Reply {
    if reply.status != StatusCode::OK || knobs.no_304 {
        return reply;
    }
    // The next page's token is another one each time and so stays out of the tag. What one account was shown
    // says nothing of what another may see, even where it looks the same.
    let tag = digest(&reply.body.whole()) ^ digest(account.as_bytes()) ^ twist.etag_salt;
    // A page that has a successor is always sent: its token would be lost with a 304.
    let last = !reply.headers.iter().any(|(name, _)| *name == SKIP_TOKEN);
    if last && names_tag(headers.get(IF_NONE_MATCH), tag) {
        return Reply::empty(StatusCode::NOT_MODIFIED).with_etag(tag);
    }
    reply.with_etag(tag)
}

pub(super) fn no_rights() -> Reply {
    let message = "You do not have enough rights for this operation.";
    Reply::error(StatusCode::FORBIDDEN, "NotEnoughRights", message)
}
