//! The Web Services Gateway over the demo world: WSG 2.0 to 2.8 under `/ws`, reading only.
//!
//! A request is first understood ([`understand`]), so that it can be counted and faults can be matched, and then
//! answered ([`Gateway::answer`]). What the fact sheet leaves open is decided here: an unknown property is 400
//! `PropertyNotFound`, a page without `$top` is `page_size` rows, a larger `$top` is cut to it, listings without
//! `$orderby` come in order of creation, and a token without `projectwise:read` is 403.

mod access;
mod download;
pub(super) mod errors;
mod file_access;
mod filter;
mod instances;
mod outgoing;
pub(super) mod paging;
mod query;
mod rows;
mod saml;

use axum::http::header::HeaderName;
use axum::http::{Method, StatusCode};

use crate::model::Guid;

use self::file_access::KeyQuery;
use self::query::{Query, QueryError};
use self::rows::Class;
use super::knobs::Knobs;
use super::reply::Reply;
use super::traffic::RequestKind;

pub(super) use self::access::{Lockout, login};
pub(super) use self::download::{Files, Found, made, stretched};
pub(super) use self::errors::escaped;
pub(super) use self::instances::{Gateway, Twist};

/// The path all of WSG lives under, in lower case.
pub(super) const ROOT: &str = "/ws";
/// The newest Web API this server speaks.
const NEWEST_MINOR: u32 = 8;
/// What `Mas-Server` says.
pub(super) const SERVER_VERSION: &str = "Bentley-WSG/2.8.3.12,Bentley-WebAPI/2.8,Bentley.PW/4.1.0.2";
/// Carries the page token both ways.
pub(super) const SKIP_TOKEN: HeaderName = HeaderName::from_static("skiptoken");

/// A request, understood.
pub(super) struct Call {
    pub(super) kind: RequestKind,
    /// The folder or document it is about.
    pub(super) subject: Option<Guid>,
    pub(super) skip: Option<u64>,
    pub(super) top: Option<u64>,
    action: Action,
    api_minor: u32,
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Everything,
    ChildrenOf(Guid),
    MembersOf(Guid),
}

enum Action {
    Plugins,
    Repositories,
    NavNodes,
    List {
        class: Class,
        poly: bool,
        scope: Scope,
        query: Query,
    },
    Object {
        class: Class,
        guid: Guid,
        query: Query,
    },
    File {
        guid: Guid,
        /// `token` of the query: the link of an access key.
        link: Option<String>,
    },
    FileAccess {
        guid: Guid,
        query: KeyQuery,
    },
    CurrentUser,
    /// The request was wrong in itself. Answered after the login check, as real servers do: Bentley's client
    /// tells by a `ClassNotFound` that its credentials are good.
    Refuse(Reply),
}

/// Reads method, path (after [`ROOT`]), query string and, for `$query`, the body.
pub(super) fn understand(repository: &str, method: &Method, path: &str, query: &str, body: &[u8]) -> Call {
    let mut segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(percent_decode)
        .collect();
    let posted = *method == Method::POST && segments.last().is_some_and(|last| last == "$query");
    if !posted && method != Method::GET {
        // HEAD and OPTIONS change nothing, though they are not answered either.
        let kind = match *method {
            Method::HEAD | Method::OPTIONS => RequestKind::Other,
            _ => RequestKind::Mutation,
        };
        let message = "The demo answers reads only.";
        return Call::refused(
            kind,
            Reply::error(StatusCode::METHOD_NOT_ALLOWED, "NotSupported", message),
        );
    }
    let Some(api_minor) = segments.first().and_then(|segment| api_minor(segment)) else {
        return Call::refused(RequestKind::Other, not_found("NotFound", "No such Web API."));
    };
    let body = String::from_utf8_lossy(body);
    let query = if posted {
        segments.pop();
        body.trim()
    } else {
        query
    };
    let segments: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    let mut call = match segments.as_slice() {
        [plugins] if plugins.eq_ignore_ascii_case("plugins") => {
            Call::new(RequestKind::Plugins, Action::Plugins)
        }
        [list] if list.eq_ignore_ascii_case("repositories") => {
            Call::new(RequestKind::Repositories, Action::Repositories)
        }
        [list, id, rest @ ..] if list.eq_ignore_ascii_case("repositories") => {
            if id.eq_ignore_ascii_case(repository) {
                inside(rest, query)
            } else {
                let message = "The repository does not exist.";
                Call::refused(RequestKind::Other, not_found("RepositoryNotFound", message))
            }
        }
        _ => Call::refused(RequestKind::Other, not_found("NotFound", "No such resource.")),
    };
    if posted && api_minor < 4 {
        let reply = not_found("NotSupported", "$query needs Web API 2.4.");
        call = Call::refused(call.kind, reply);
    }
    call.api_minor = api_minor;
    call
}

/// Understands what follows the repository's id.
fn inside(segments: &[&str], query: &str) -> Call {
    match segments {
        ["Navigation", "NavNode"] => Call::new(RequestKind::NavNode, Action::NavNodes),
        ["PW_WSG", class] => {
            if *class == "User" {
                return Call::new(RequestKind::User, Action::CurrentUser);
            }
            list(class, Scope::Everything, query)
        }
        ["PW_WSG", class, id] => {
            let (Some(class), Ok(guid)) = (Class::named(poly(class).0), id.parse()) else {
                return no_class(class);
            };
            let mut call = match Query::parse(class, query) {
                Ok(query) => Call::new(RequestKind::Object, Action::Object { class, guid, query }),
                Err(error) => Call::refused(RequestKind::Object, refusal(&error)),
            };
            call.subject = Some(guid);
            call
        }
        ["PW_WSG", "Document", id, "$file"] => match id.parse() {
            Ok(guid) => {
                let mut pairs = url::form_urlencoded::parse(query.as_bytes());
                let link = pairs.find(|(key, _)| key == "token");
                let link = link.map(|(_, token)| token.into_owned());
                let mut call = Call::new(RequestKind::File, Action::File { guid, link });
                call.subject = Some(guid);
                call
            }
            Err(_) => Call::refused(
                RequestKind::File,
                not_found("InstanceNotFound", "Requested instance is not available."),
            ),
        },
        ["PW_WSG", "Document", id, "FileAccess.FileAccessKey"] => {
            let kind = RequestKind::FileAccess;
            let mut call = match (id.parse(), KeyQuery::parse(query)) {
                (Ok(guid), Ok(query)) => Call::new(kind, Action::FileAccess { guid, query }),
                (Ok(_), Err(error)) => Call::refused(kind, error.reply()),
                (Err(_), _) => Call::refused(kind, errors::no_instance()),
            };
            call.subject = id.parse().ok();
            call
        }
        ["PW_WSG", owner, id, class] => {
            let class = class.strip_prefix("PW_WSG.").unwrap_or(class);
            match (*owner, id.parse()) {
                ("Project", Ok(guid)) => list(class, Scope::ChildrenOf(guid), query),
                ("FlatSet" | "LogicalSet", Ok(guid)) => list(class, Scope::MembersOf(guid), query),
                _ => no_class(owner),
            }
        }
        ["PW_WSG", ..] => no_class(""),
        [schema, ..] => Call::refused(
            RequestKind::Other,
            not_found(
                "SchemaNotFound",
                &format!("The schema '{schema}' does not exist."),
            ),
        ),
        [] => Call::refused(RequestKind::Other, not_found("NotFound", "No such resource.")),
    }
}

fn list(class_name: &str, scope: Scope, query: &str) -> Call {
    let (name, poly) = poly(class_name);
    let Some(class) = Class::named(name) else {
        return no_class(name);
    };
    let mut kind = match class {
        Class::Project => RequestKind::ListProjects,
        Class::Document | Class::FlatSet | Class::LogicalSet => RequestKind::ListDocuments,
    };
    let query = match Query::parse(class, query) {
        Ok(query) => query,
        Err(error) => return Call::refused(kind, refusal(&error)),
    };
    let filter = query.filter.as_ref();
    let subject = match scope {
        Scope::ChildrenOf(guid) | Scope::MembersOf(guid) => Some(guid),
        Scope::Everything => filter.and_then(filter::Filter::parent).or(query.ancestor),
    };
    let mut subject = subject;
    if let Some(ids) = filter.and_then(filter::Filter::ids) {
        kind = RequestKind::FindIds;
        // A question about one object is about that object.
        if let [only] = ids.as_slice() {
            subject = Some(*only);
        }
    }
    Call {
        kind,
        subject,
        skip: query.skip,
        top: query.top,
        action: Action::List {
            class,
            poly,
            scope,
            query,
        },
        api_minor: NEWEST_MINOR,
    }
}

impl Call {
    fn new(kind: RequestKind, action: Action) -> Self {
        Self {
            kind,
            subject: None,
            skip: None,
            top: None,
            action,
            api_minor: NEWEST_MINOR,
        }
    }

    fn refused(kind: RequestKind, reply: Reply) -> Self {
        Self::new(kind, Action::Refuse(reply))
    }

    /// The Web API it is asked by, 2.N.
    pub(super) fn minor(&self) -> u32 {
        self.api_minor
    }

    /// The link that stands for a login, and the document it is used for.
    fn link(&self) -> Option<(Guid, &str)> {
        match &self.action {
            Action::File { guid, link } => link.as_deref().map(|link| (*guid, link)),
            _ => None,
        }
    }

    /// True where the server answers without a login: the version, and on-premises the list of datasources.
    fn public(&self, knobs: &Knobs) -> bool {
        matches!(self.action, Action::Plugins)
            || (matches!(self.action, Action::Repositories) && !knobs.private_repositories)
            || matches!(&self.action, Action::Refuse(reply)
                if reply.status == StatusCode::METHOD_NOT_ALLOWED)
    }
}

/// The class name without `!poly`, and whether it was there.
fn poly(class: &str) -> (&str, bool) {
    match class.strip_suffix("!poly") {
        Some(name) => (name, true),
        None => (class, false),
    }
}

/// `v2.0` to `v2.8`, in any case.
fn api_minor(segment: &str) -> Option<u32> {
    let version = segment.to_ascii_lowercase();
    let minor = version.strip_prefix("v2.")?.parse().ok()?;
    (minor <= NEWEST_MINOR).then_some(minor)
}

/// Percent-decodes a path segment; `+` means itself there.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (other, _) => {
                bytes.push(*other);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn no_class(name: &str) -> Call {
    let message = format!("The class '{name}' does not exist in the schema 'PW_WSG'.");
    Call::refused(RequestKind::Other, not_found("ClassNotFound", &message))
}

fn refusal(error: &QueryError) -> Reply {
    let id = match error {
        QueryError::PropertyNotFound(_) => "PropertyNotFound",
        QueryError::Malformed(_) => "BadRequest",
    };
    Reply::error(StatusCode::BAD_REQUEST, id, &error.to_string())
}

fn not_found(id: &str, message: &str) -> Reply {
    Reply::error(StatusCode::NOT_FOUND, id, message)
}

/// The header of every answer: the version (fact sheet 1.1).
pub(super) fn with_server_headers(reply: Reply) -> Reply {
    reply.with(HeaderName::from_static("mas-server"), SERVER_VERSION)
}
