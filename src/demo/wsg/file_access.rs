//! `FileAccess.FileAccessKey`: URLs a document's bytes can be had from (fact sheet 1.9, DOC-24), and the links of
//! the gateway's own that need no login.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use url::form_urlencoded;

use crate::demo::clock::Clock;
use crate::demo::knobs::Redirect;
use crate::demo::reply::{Reply, quoted};
use crate::demo::secret::opaque;
use crate::demo::seed::digest;
use crate::demo::world::Content;
use crate::model::Guid;

use super::download::FileRequest;
use super::{Gateway, ROOT, errors, version_segment};

/// Since this Web API (2.4) there are file access URLs.
const SINCE: u32 = 4;
/// The only permission this server gives.
const READ: &str = "Read";

/// What a request for access keys asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeyQuery {
    permissions: Option<String>,
    url_type: Option<String>,
    /// One URL for an instance, the best.
    single: bool,
}

/// The query cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyQueryError {
    #[error("The property '{0}' does not exist in the class 'FileAccessKey'.")]
    Property(String),
    #[error("The filter is malformed: {0}")]
    Malformed(String),
}

impl KeyQueryError {
    pub(super) fn reply(&self) -> Reply {
        let id = match self {
            Self::Property(_) => "PropertyNotFound",
            Self::Malformed(_) => "BadRequest",
        };
        errors::error(id, &self.to_string())
    }
}

impl KeyQuery {
    /// Reads `$filter=Permissions eq 'Read' and …` and `api.singleurlperinstance`; other options are ignored.
    pub(super) fn parse(query: &str) -> Result<Self, KeyQueryError> {
        let mut asked = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if key.eq_ignore_ascii_case("api.singleurlperinstance") {
                asked.single = value.eq_ignore_ascii_case("true");
            } else if key == "$filter" {
                for term in value.split(" and ") {
                    asked.take(term.trim())?;
                }
            }
        }
        Ok(asked)
    }

    fn take(&mut self, term: &str) -> Result<(), KeyQueryError> {
        let malformed = || KeyQueryError::Malformed(term.to_owned());
        let (property, value) = term.split_once(" eq ").ok_or_else(malformed)?;
        let value = value.trim().strip_prefix('\'');
        let value = value.and_then(|value| value.strip_suffix('\''));
        let value = value.ok_or_else(malformed)?.to_owned();
        match property.trim() {
            "Permissions" => self.permissions = Some(value),
            "Type" => self.url_type = Some(value),
            other => return Err(KeyQueryError::Property(other.to_owned())),
        }
        Ok(())
    }

    fn wants(&self, url_type: &str) -> bool {
        let same = |wanted: &Option<String>, value: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        same(&self.permissions, READ) && same(&self.url_type, url_type)
    }
}

/// The links given out: whoever has one may download one document as the account that asked for it.
pub(in crate::demo) struct Links {
    given: Mutex<HashMap<String, Link>>,
    clock: Clock,
}

struct Link {
    document: Guid,
    email: String,
    /// `None`: never.
    expires: Option<Instant>,
}

impl Link {
    fn good(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Links {
    pub(in crate::demo) fn new(clock: Clock) -> Self {
        Self {
            given: Mutex::new(HashMap::new()),
            clock,
        }
    }

    fn issue(&self, document: Guid, email: &str, lifetime: Duration) -> String {
        let token = opaque();
        let now = self.clock.now();
        let link = Link {
            document,
            email: email.to_owned(),
            expires: now.checked_add(lifetime),
        };
        let mut given = self.given.lock();
        // Now and then, so that it costs little.
        if given.len().is_power_of_two() {
            given.retain(|_, link| link.good(now));
        }
        given.insert(token.clone(), link);
        token
    }

    /// The account a link stands for; `None` once it has expired, or for another document.
    pub(super) fn redeem(&self, token: &str, document: Guid) -> Option<String> {
        let given = self.given.lock();
        let link = given.get(token)?;
        let good = link.document == document && link.good(self.clock.now());
        good.then(|| link.email.clone())
    }
}

impl Gateway {
    /// The access keys of a document, best first.
    pub(super) fn file_access(&self, request: &FileRequest<'_>, query: &KeyQuery) -> Reply {
        if request.minor < SINCE {
            let message = "The class 'FileAccessKey' needs Web API 2.4.";
            return errors::error("ClassNotFound", message);
        }
        let found = match self.found(request) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        if found.content == Content::Nothing {
            return errors::error("FileNotFound", "The document has no file.");
        }
        let knobs = request.knobs;
        let mut keys = Vec::new();
        let azure = "AzureBlobSasUrl";
        if knobs.redirect == Redirect::Blob && query.wants(azure) {
            let url = self.files.blobs.sign(request.guid, found, knobs.blob_lifetime);
            keys.push(key(request.guid, azure, &url));
        }
        let enough = query.single && !keys.is_empty();
        if query.wants("Default") && !enough {
            let token = self
                .files
                .links
                .issue(request.guid, request.account, knobs.blob_lifetime);
            // From the root of the host: it means the same wherever it is resolved against.
            let url = format!(
                "{ROOT}/{}/Repositories/{}/PW_WSG/Document/{}/$file?token={token}",
                version_segment(knobs),
                self.repository,
                request.guid
            );
            keys.push(key(request.guid, "Default", &url));
        }
        Reply::json(StatusCode::OK, &json!({ "instances": keys }))
    }
}

fn key(document: Guid, url_type: &str, url: &str) -> Json {
    json!({
        "instanceId": format!("{document}-{url_type}"),
        "schemaName": "FileAccess",
        "className": "FileAccessKey",
        "properties": {
            "Url": url,
            "Type": url_type,
            "Permissions": READ,
            "RequiresConfirmation": false,
        },
        "eTag": quoted(digest(url.as_bytes())),
    })
}
