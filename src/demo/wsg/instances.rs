//! Answers understood calls from the world.

use std::sync::Arc;

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, StatusCode};

use crate::demo::knobs::{Knobs, NavNode};
use crate::demo::reply::{Reply, names_tag};
use crate::demo::seed::digest;
use crate::demo::world::World;

use super::access::Login;
use super::classes::Class;
use super::download::{FileRequest, Files};
use super::errors;
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

/// The settings and state of the gateway.
pub(in crate::demo) struct Gateway {
    pub(in crate::demo) world: Arc<World>,
    pub(in crate::demo) tokens: SkipTokens,
    pub(in crate::demo) results: Results,
    pub(in crate::demo) repository: String,
    pub(in crate::demo) location: String,
    pub(in crate::demo) files: Files,
}

impl Gateway {
    pub(in crate::demo) async fn answer(
        self: &Arc<Self>,
        call: Call,
        headers: &HeaderMap,
        login: &Login,
        twist: Twist,
        knobs: &Arc<Knobs>,
    ) -> Reply {
        let Some(minor) = call.api.minor(knobs) else {
            return not_found("NotFound", "No such Web API.");
        };
        let email = match login {
            Login::Accepted { email } => email.as_str(),
            Login::Refused(reply) => return Reply::clone(reply),
        };
        if call.posted && minor < 4 {
            return errors::error("NotSupported", "$query needs Web API 2.4.");
        }
        let about = |guid| FileRequest {
            account: email,
            guid,
            minor,
            headers,
            twist,
            knobs,
        };
        let reply = match call.action {
            Action::Refuse(reply) => return reply,
            Action::Plugins => repositories::plugins(),
            Action::Repositories(id) => match self.repositories(id.as_deref()) {
                Some(reply) => reply,
                None => return not_available(),
            },
            Action::List(listing) => match missing_schema(listing.class, minor, knobs) {
                Some(reply) => return reply,
                None => {
                    let (gateway, headers) = (Arc::clone(self), headers.clone());
                    let wide = listing.is_wide();
                    let list = move |scene: Scene<'_>| gateway.list(scene, &listing, &headers, twist);
                    self.look(email, knobs, minor, wide, list).await
                }
            },
            Action::Object { class, id, query } => match missing_schema(class, minor, knobs) {
                Some(reply) => return reply,
                None => {
                    let find = move |scene: Scene<'_>| one(scene, class, &id, &query);
                    self.look(email, knobs, minor, false, find).await
                }
            },
            Action::File { guid, .. } => return self.file(&about(guid)).await,
            Action::FileAccess { guid, query } => return self.file_access(&about(guid), &query),
        };
        tagged(reply, email, headers, knobs, twist)
    }

    /// Looks at the datasource for one answer. A wide question, about a million rows, takes seconds: too long for a
    /// thread that serves others.
    async fn look(
        &self,
        account: &str,
        knobs: &Arc<Knobs>,
        minor: u32,
        wide: bool,
        look: impl FnOnce(Scene<'_>) -> Reply + Send + 'static,
    ) -> Reply {
        let (world, knobs, account) = (Arc::clone(&self.world), Arc::clone(knobs), account.to_owned());
        let looking = move || {
            world.view(&account, |view| {
                let memo = Memo::default();
                look(Scene {
                    view,
                    knobs: &knobs,
                    account: &account,
                    minor,
                    memo: &memo,
                })
            })
        };
        if !wide {
            return looking();
        }
        match tokio::task::spawn_blocking(looking).await {
            Ok(reply) => reply,
            Err(_) => errors::error("ServerError", "The query could not be answered."),
        }
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
