//! Answers understood calls from the world.

use std::sync::Arc;

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value as Json, json};

use crate::demo::knobs::{Knobs, SkipTokenMode};
use crate::demo::reply::{Reply, names_tag, quoted};
use crate::demo::seed::digest;
use crate::demo::world::{Access, View, World};
use crate::model::Guid;

use super::access::Login;
use super::download::{FileRequest, Files};
use super::paging::{SkipTokens, Snapshot};
use super::query::Query;
use super::rows::{Class, Row};
use super::{Action, Call, SKIP_TOKEN, Scope, errors, not_found};

/// The token a looping server repeats for ever.
const LOOPING_TOKEN: &str = "bG9vcA";

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
    pub(in crate::demo) repository: String,
    pub(in crate::demo) location: String,
    pub(in crate::demo) files: Files,
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
        let email = match login {
            Login::Accepted { email } => email.as_str(),
            Login::Refused(reply) => return Reply::clone(reply),
        };
        let minor = call.api_minor;
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
            Action::Plugins => plugins(),
            Action::Repositories => self.repositories(),
            Action::NavNodes => self.nav_nodes(email),
            Action::CurrentUser => current_user(email),
            Action::List {
                class,
                poly,
                scope,
                query,
            } => self.list(email, knobs, class, poly, scope, &query, minor, headers, twist),
            Action::Object { class, guid, query } => self.object(email, knobs, class, guid, &query, minor),
            Action::File { guid, .. } => return self.file(&about(guid)).await,
            Action::FileAccess { guid, query } => return self.file_access(&about(guid), &query),
        };
        tagged(reply, headers, twist)
    }

    fn repositories(&self) -> Reply {
        // The second one is served by another plug-in: a client must not offer it as ProjectWise.
        let other = "Bentley.IModelHub--demo-hub.example.com";
        let instance = |id: &str, plugin: &str, location: &str, label: &str| {
            json!({
                "instanceId": id,
                "schemaName": "Repositories",
                "className": "RepositoryIdentifier",
                "properties": {
                    "ECPluginID": plugin,
                    "Location": location,
                    "DisplayLabel": label,
                    "Description": "",
                },
                "eTag": quoted(digest(id.as_bytes())),
            })
        };
        instances(vec![
            instance(
                &self.repository,
                "Bentley.PW",
                &self.location,
                "Leven Estuary Demo",
            ),
            instance(other, "Bentley.IModelHub", "demo-hub.example.com", "iModel Hub"),
        ])
    }

    fn nav_nodes(&self, account: &str) -> Reply {
        let node = |class: &str, id: &str, label: &str, children: bool| {
            let key = format!(
                "StandardDisplayItemTypes--PW_WSG.02.04-{class}-{}",
                id.replace('-', "--")
            );
            json!({
                "instanceId": key,
                "schemaName": "Navigation",
                "className": "NavNode",
                "properties": {
                    "Key_TypeSystem": "StandardDisplayItemTypes",
                    "Key_SchemaName": "PW_WSG",
                    "Key_ClassName": class,
                    "Key_InstanceId": id,
                    "Label": label,
                    "Description": "",
                    "HasChildren": children,
                    "Selectable": true,
                    "IsEditable": false,
                    "IsFileBacked": false,
                },
                "eTag": quoted(digest(key.as_bytes())),
            })
        };
        let mut nodes = self.world.view(account, |view| {
            let roots = view.folders_in(None);
            roots
                .filter(|row| row.access != Access::Hidden)
                .map(|row| {
                    let inside = Some(row.guid);
                    let children = view.folders_in(inside).next().is_some()
                        || view.documents_in(row.guid).next().is_some();
                    node("Project", &row.guid.to_string(), &row.name, children)
                })
                .collect::<Vec<_>>()
        });
        nodes.push(node("SavedSearchDefinition", "17", "Saved Searches", false));
        instances(nodes)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one call, taken apart by its match"
    )]
    fn list(
        &self,
        account: &str,
        knobs: &Knobs,
        class: Class,
        poly: bool,
        scope: Scope,
        query: &Query,
        api_minor: u32,
        headers: &HeaderMap,
        twist: Twist,
    ) -> Reply {
        let sent = headers.get(SKIP_TOKEN).and_then(|value| value.to_str().ok());
        // SkipToken came with API 2.5; without it, or without opting in, a page just ends.
        let token = sent.filter(|_| knobs.skip_token != SkipTokenMode::Ignored && api_minor >= 5);
        let most = if knobs.max_top == 0 {
            knobs.page_size
        } else {
            knobs.max_top
        };
        let size = query.top.unwrap_or(knobs.page_size).min(most).max(1);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.world.view(account, |view| {
            let later = token.filter(|token| *token != "0" && !twist.looping);
            let snapshot = match later.map(|token| self.tokens.redeem(token)) {
                Some(Some(snapshot)) => snapshot,
                Some(None) => {
                    let message = "The SkipToken is unknown or has expired.";
                    return Reply::error(StatusCode::BAD_REQUEST, "BadRequest", message);
                }
                None => match select(view, class, poly, scope, query) {
                    Ok(rows) => Snapshot {
                        rows: Arc::new(rows),
                        next: usize::try_from(query.skip.unwrap_or(0)).unwrap_or(usize::MAX),
                    },
                    Err(reply) => return reply,
                },
            };
            let end = snapshot.next.saturating_add(size).min(snapshot.rows.len());
            let page = snapshot.rows.get(snapshot.next..end).unwrap_or(&[]);
            let shown: Vec<_> = page
                .iter()
                .filter_map(|guid| row(view, class, *guid))
                .map(|row| row.instance(view, query, api_minor))
                .collect();
            let reply = instances(shown);
            match token {
                Some(_) if twist.looping => reply.with(SKIP_TOKEN, LOOPING_TOKEN),
                Some(_) if end < snapshot.rows.len() => {
                    let next = Snapshot {
                        rows: Arc::clone(&snapshot.rows),
                        next: end,
                    };
                    reply.with(SKIP_TOKEN, &self.tokens.issue(next))
                }
                Some(_) | None => reply,
            }
        })
    }

    fn object(
        &self,
        account: &str,
        knobs: &Knobs,
        class: Class,
        guid: Guid,
        query: &Query,
        api_minor: u32,
    ) -> Reply {
        self.world.view(account, |view| {
            let Some(row) = row(view, class, guid) else {
                return not_found("InstanceNotFound", "Requested instance is not available.");
            };
            let access = match &row {
                Row::Folder(row) => row.access,
                Row::Document(row) => row.access,
            };
            let closed = matches!(&row, Row::Document(row) if !view.may_list(row.folder));
            if access == Access::Hidden || closed {
                return errors::no_rights(knobs);
            }
            instances(vec![row.instance(view, query, api_minor)])
        })
    }
}

/// The ids of all rows a listing is about, in order, or why there is no listing.
fn select(view: View<'_>, class: Class, poly: bool, scope: Scope, query: &Query) -> Result<Vec<Guid>, Reply> {
    let filter = query.filter.as_ref();
    let parent = match scope {
        Scope::ChildrenOf(guid) => Some(guid),
        Scope::Everything => filter.and_then(super::filter::Filter::parent),
        Scope::MembersOf(_) => None,
    };
    if let Some(parent) = parent {
        match view.folder(parent).map(|row| row.access) {
            Some(Access::Full) => {}
            Some(Access::SeeOnly | Access::Hidden) => return Err(no_rights()),
            // By path the folder itself is asked for; by filter nothing matches.
            None if matches!(scope, Scope::ChildrenOf(_)) => {
                return Err(not_found(
                    "InstanceNotFound",
                    "Requested instance is not available.",
                ));
            }
            None => return Ok(Vec::new()),
        }
    }
    let ids = match scope {
        Scope::MembersOf(set) => match view.document(set) {
            Some(row) => Some(row.members.clone()),
            None => {
                return Err(not_found(
                    "InstanceNotFound",
                    "Requested instance is not available.",
                ));
            }
        },
        Scope::Everything | Scope::ChildrenOf(_) => filter.and_then(super::filter::Filter::ids),
    };
    let candidates: Vec<Row<'_>> = match (ids, parent, class) {
        (Some(ids), _, _) => ids.iter().filter_map(|id| row(view, class, *id)).collect(),
        (None, Some(parent), Class::Project) => view.folders_in(Some(parent)).map(Row::Folder).collect(),
        (None, Some(parent), _) => view.documents_in(parent).map(Row::Document).collect(),
        (None, None, Class::Project) => view.all_folders().map(Row::Folder).collect(),
        (None, None, _) => view.all_documents().map(Row::Document).collect(),
    };
    let mut rows: Vec<_> = candidates
        .into_iter()
        .filter(|row| visible(view, row, class, poly))
        .filter(|row| parent.is_none() || row.parent() == parent)
        .filter(|row| filter.is_none_or(|filter| filter.holds(row, query.ignore_case)))
        .filter(|row| {
            query.ancestor.is_none_or(|ancestor| {
                row.parent()
                    .is_some_and(|parent| view.lineage(parent).any(|up| up.guid == ancestor))
            })
        })
        .collect();
    query.sort(&mut rows);
    Ok(rows.iter().map(Row::guid).collect())
}

/// What a listing of this class shows to the account.
fn visible(view: View<'_>, row: &Row<'_>, class: Class, poly: bool) -> bool {
    match row {
        Row::Folder(row) => {
            row.access != Access::Hidden && row.parent.is_none_or(|parent| view.may_list(parent))
        }
        Row::Document(row) => {
            class.holds(row.class, poly) && row.access != Access::Hidden && view.may_list(row.folder)
        }
    }
}

fn row(view: View<'_>, class: Class, guid: Guid) -> Option<Row<'_>> {
    match class {
        Class::Project => view.folder(guid).map(Row::Folder),
        Class::Document | Class::FlatSet | Class::LogicalSet => view.document(guid).map(Row::Document),
    }
}

/// Adds the tag of the whole answer, or answers 304 if the client has it.
fn tagged(reply: Reply, headers: &HeaderMap, twist: Twist) -> Reply {
    if reply.status != StatusCode::OK {
        return reply;
    }
    // The next page's token is another one each time and so stays out of the tag.
    let tag = digest(&reply.body.whole()) ^ twist.etag_salt;
    // A page that has a successor is always sent: its token would be lost with a 304.
    let last = !reply.headers.iter().any(|(name, _)| *name == SKIP_TOKEN);
    if last && names_tag(headers.get(IF_NONE_MATCH), tag) {
        return Reply::empty(StatusCode::NOT_MODIFIED).with_etag(tag);
    }
    reply.with_etag(tag)
}

fn plugins() -> Reply {
    instances(vec![json!({
        "instanceId": "Bentley.PW",
        "schemaName": "Plugins",
        "className": "PluginIdentifier",
        "properties": { "ID": "Bentley.PW", "DisplayLabel": "ProjectWise", "Version": "4.1.0.2" },
        "eTag": quoted(digest(b"Bentley.PW")),
    })])
}

fn current_user(email: &str) -> Reply {
    instances(vec![json!({
        "instanceId": "1042",
        "schemaName": "PW_WSG",
        "className": "User",
        "properties": { "Name": "demo.engineer", "Description": "Demo Engineer", "EMail": email, "IsCurrent": true },
        "eTag": quoted(digest(email.as_bytes())),
    })])
}

fn no_rights() -> Reply {
    let message = "You do not have enough rights for this operation.";
    Reply::error(StatusCode::FORBIDDEN, "NotEnoughRights", message)
}

fn instances(rows: Vec<Json>) -> Reply {
    let mut envelope = Map::new();
    envelope.insert("instances".to_owned(), Json::Array(rows));
    Reply::json(StatusCode::OK, &Json::Object(envelope))
}
