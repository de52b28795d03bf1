//! The Web Services Gateway over the demo world: WSG 2.0 to 2.8 under `/ws`, reading only.
//!
//! A request is first understood ([`understand`]), so that it can be counted and faults can be matched, and then
//! answered ([`Gateway::answer`]). What the fact sheet leaves open is a knob, or decided here: an unknown property
//! is `PropertyNotFound`, a short path no relationship leads along is 404 `LinkTypeNotFound`.

mod access;
mod attributes;
mod classes;
mod download;
pub(super) mod errors;
mod file_access;
mod filter;
mod instances;
mod listing;
mod matching;
mod metaschema;
mod navigation;
mod outgoing;
pub(super) mod paging;
mod path;
mod people;
mod query;
mod relations;
mod repositories;
pub(super) mod results;
mod rows;
mod saml;
mod scene;
mod searches;
mod written;

use axum::http::header::{HeaderName, SERVER};
use axum::http::{Method, StatusCode};

use crate::model::Guid;

use self::classes::{Class, SCHEMAS};
use self::file_access::KeyQuery;
use self::listing::{Listing, Scope};
use self::query::{Query, QueryError};
use self::relations::Relation;
use super::knobs::{Knobs, VersionHeader};
use super::reply::Reply;
use super::traffic::RequestKind;

pub(super) use self::access::{Lockout, login, whose};
pub(super) use self::download::{Files, Found, made, stretched};
pub(super) use self::errors::escaped;
pub(super) use self::instances::{Gateway, Twist};

/// The path all of WSG lives under, in lower case.
pub(super) const ROOT: &str = "/ws";
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
    api: Api,
    /// The query came in the body.
    posted: bool,
}

/// The version a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    /// `v2.N`.
    Web(u32),
    /// `sv1.1`.
    Service,
}

impl Api {
    fn named(segment: &str) -> Option<Self> {
        let version = segment.to_ascii_lowercase();
        if version == "sv1.1" {
            return Some(Self::Service);
        }
        version.strip_prefix("v2.")?.parse().ok().map(Self::Web)
    }

    /// The minor Web API version it means; `None` where this server does not have it.
    fn minor(self, knobs: &Knobs) -> Option<u32> {
        let newest = u32::try_from(knobs.api).unwrap_or(u32::MAX);
        match (self, knobs.service_version) {
            (Self::Web(minor), false) => (minor <= newest).then_some(minor),
            (Self::Service, true) => Some(newest),
            (Self::Web(_), true) | (Self::Service, false) => None,
        }
    }
}

enum Action {
    Plugins,
    /// All, or one of them.
    Repositories(Option<String>),
    List(Listing),
    Object {
        class: Class,
        id: String,
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
    let Some(api) = segments.first().and_then(|segment| Api::named(segment)) else {
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
    let is = |segment: &str, word: &str| segment.eq_ignore_ascii_case(word);
    let mut call = match segments.as_slice() {
        [plugins] if is(plugins, "plugins") => Call::new(RequestKind::Plugins, Action::Plugins),
        [list] if is(list, "repositories") => {
            Call::new(RequestKind::Repositories, Action::Repositories(None))
        }
        [list, id] if is(list, "repositories") && (is(id, repository) || is(id, repositories::OTHER)) => {
            let id = (*id).to_owned();
            Call::new(RequestKind::Repositories, Action::Repositories(Some(id)))
        }
        [list, id, rest @ ..] if is(list, "repositories") && is(id, repository) => inside(rest, query),
        // Another plug-in has other schemas.
        [list, id, schema, ..] if is(list, "repositories") && is(id, repositories::OTHER) => {
            Call::refused(RequestKind::Other, no_schema(schema))
        }
        [list, ..] if is(list, "repositories") => {
            let message = "The repository does not exist.";
            Call::refused(RequestKind::Other, not_found("RepositoryNotFound", message))
        }
        _ => Call::refused(RequestKind::Other, not_found("NotFound", "No such resource.")),
    };
    call.api = api;
    call.posted = posted;
    call
}

/// Understands what follows the repository's id.
fn inside(segments: &[&str], query: &str) -> Call {
    match segments {
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
        [schema, ..] if !SCHEMAS.iter().any(|(known, ..)| known == schema) => {
            Call::refused(RequestKind::Other, no_schema(schema))
        }
        [schema, name] => match named(schema, name) {
            Ok((class, poly)) => list(class, poly, Scope::Everything, query),
            Err(reply) => Call::refused(RequestKind::Other, reply),
        },
        [schema, name, id] => match named(schema, name) {
            Ok((class, _)) => single(class, id, query),
            Err(reply) => Call::refused(RequestKind::Other, reply),
        },
        [schema, owner, id, name] => {
            let found = named(schema, owner);
            let found = found.and_then(|(owner, _)| Ok((owner, related(schema, name)?)));
            match found {
                Ok((owner, (class, poly))) => match scope(owner, id, class) {
                    Some(scope) => list(class, poly, scope, query),
                    None => {
                        let message = format!("No relationship leads from '{}' to '{name}'.", owner.name());
                        Call::refused(RequestKind::Other, not_found("LinkTypeNotFound", &message))
                    }
                },
                Err(reply) => Call::refused(RequestKind::Other, reply),
            }
        }
        [schema, ..] => Call::refused(RequestKind::Other, no_class(schema, "")),
        [] => Call::refused(RequestKind::Other, not_found("NotFound", "No such resource.")),
    }
}

/// The class of this name, and whether derived classes are asked for too.
fn named(schema: &str, name: &str) -> Result<(Class, bool), Reply> {
    let (name, poly) = poly(name);
    match Class::named(schema, name) {
        Some(class) => Ok((class, poly)),
        None => Err(no_class(schema, name)),
    }
}

/// The class at the end of a short path, whose schema may be named: `Document`, `PW_WSG.Document`.
fn related(schema: &str, name: &str) -> Result<(Class, bool), Reply> {
    match name.split_once('.') {
        Some((schema, name)) => named(schema, name),
        None => named(schema, name),
    }
}

/// What a short path from an instance of `owner` lists.
fn scope(owner: Class, id: &str, class: Class) -> Option<Scope> {
    let id = id.to_owned();
    if owner == Class::NavNode && class == Class::NavNode {
        return Some(Scope::Below(id));
    }
    let (relation, way) = Relation::between(owner, class)?;
    Some(Scope::Of {
        owner,
        id,
        relation,
        way,
    })
}

/// The kind of a request about a class.
fn kind(class: Class) -> RequestKind {
    match class {
        Class::Project => RequestKind::ListProjects,
        Class::Document | Class::FlatSet | Class::LogicalSet | Class::Set => RequestKind::ListDocuments,
        Class::SavedSearch => RequestKind::SavedSearch,
        Class::User => RequestKind::User,
        Class::NavNode => RequestKind::NavNode,
        Class::MetaSchema | Class::MetaType | Class::MetaProperty | Class::Policy => RequestKind::Schema,
        Class::Environment
        | Class::Env(_)
        | Class::ProjectType
        | Class::PrType
        | Class::View
        | Class::Workflow
        | Class::Bare(_) => RequestKind::Other,
    }
}

fn single(class: Class, id: &str, query: &str) -> Call {
    let kind = if class == Class::Project || class.is_document() {
        RequestKind::Object
    } else {
        kind(class)
    };
    let mut call = match Query::parse(query) {
        Ok(query) => {
            let id = id.to_owned();
            Call::new(kind, Action::Object { class, id, query })
        }
        Err(error) => Call::refused(kind, refusal(&error)),
    };
    call.subject = match class {
        Class::NavNode => navigation::subject(id),
        _ => id.parse().ok(),
    };
    call
}

fn list(class: Class, poly: bool, scope: Scope, query: &str) -> Call {
    let mut kind = match &scope {
        Scope::Of { owner, .. } if *owner == Class::SavedSearch => RequestKind::SavedSearch,
        Scope::Of { .. } | Scope::Everything | Scope::Below(_) => kind(class),
    };
    let query = match Query::parse(query) {
        Ok(query) => query,
        Err(error) => return Call::refused(kind, refusal(&error)),
    };
    let filter = query.filter.as_ref();
    let only = |guids: Option<Vec<Guid>>| match guids.as_deref() {
        Some([only]) => Some(*only),
        Some(_) | None => None,
    };
    let mut subject = match &scope {
        Scope::Of { id, .. } => id.parse().ok(),
        Scope::Below(key) => navigation::subject(key),
        Scope::Everything => only(filter.and_then(filter::Filter::parents)).or(query.ancestor()),
    };
    let identified = class == Class::Project || class.is_document();
    if let Some(ids) = filter.and_then(filter::Filter::ids).filter(|_| identified) {
        kind = RequestKind::FindIds;
        // A question about one object is about that object.
        subject = only(Some(ids)).or(subject);
    }
    let (skip, top) = (query.skip, query.top);
    let listing = Listing {
        class,
        poly,
        scope,
        query,
    };
    Call {
        subject,
        skip,
        top,
        ..Call::new(kind, Action::List(listing))
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
            api: Api::Web(0),
            posted: false,
        }
    }

    fn refused(kind: RequestKind, reply: Reply) -> Self {
        Self::new(kind, Action::Refuse(reply))
    }

    /// The Web API it is asked by, 2.N; the newest where it names one that there is not.
    pub(super) fn minor(&self, knobs: &Knobs) -> u32 {
        let newest = u32::try_from(knobs.api).unwrap_or(u32::MAX);
        self.api.minor(knobs).unwrap_or(newest)
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
            || (matches!(self.action, Action::Repositories(_)) && !knobs.private_repositories)
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

fn no_class(schema: &str, name: &str) -> Reply {
    let message = format!("The class '{name}' does not exist in the schema '{schema}'.");
    not_found("ClassNotFound", &message)
}

fn no_schema(schema: &str) -> Reply {
    let message = format!("The schema '{schema}' does not exist.");
    not_found("SchemaNotFound", &message)
}

fn refusal(error: &QueryError) -> Reply {
    let id = match error {
        QueryError::PropertyNotFound(_) => "PropertyNotFound",
        QueryError::Malformed(_) => "BadRequest",
    };
    errors::error(id, &error.to_string())
}

fn not_found(id: &str, message: &str) -> Reply {
    Reply::error(StatusCode::NOT_FOUND, id, message)
}

fn not_available() -> Reply {
    not_found("InstanceNotFound", "Requested instance is not available.")
}

/// The version in the URLs of this server.
pub(super) fn version_segment(knobs: &Knobs) -> String {
    if knobs.service_version {
        "sv1.1".to_owned()
    } else {
        format!("v2.{}", knobs.api)
    }
}

/// What the server says it is: `Bentley-WSG/…,Bentley-WebAPI/2.N,Bentley.PW/…` (fact sheet 1.1).
pub(super) fn server_version(knobs: &Knobs) -> String {
    let minor = knobs.api;
    format!("Bentley-WSG/2.{minor}.3.12,Bentley-WebAPI/2.{minor},Bentley.PW/4.1.0.2")
}

/// The header of every answer: the version (fact sheet 1.1).
pub(super) fn with_server_headers(reply: Reply, knobs: &Knobs) -> Reply {
    let name = match knobs.version_header {
        VersionHeader::MasServer => HeaderName::from_static("mas-server"),
        VersionHeader::WsgServer => HeaderName::from_static("wsgserver"),
        VersionHeader::Server => SERVER,
    };
    reply.with(name, &server_version(knobs))
}
