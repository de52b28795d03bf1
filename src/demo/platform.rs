//! The iTwin Platform (`api.bentley.com`, fact sheet 2) beside the gateway: iTwins, work-area connections, storage.
//!
//! A service of its own that shares the port. It knows people, apps and the audiences of their tokens; rights in the
//! datasource mean nothing here, and a member of an iTwin sees connections to folders the gateway will refuse.
//! Every answer goes the same way: is somebody logged in, are they within their rate, is there such an operation,
//! and only then the operation itself.

mod catalog;
mod itwins;
mod parameters;
mod rate;
mod refusal;
mod storage;
mod tree;
mod work_areas;

use std::time::{Duration, Instant};

use axum::http::header::{ACCEPT, AUTHORIZATION};
use axum::http::{HeaderMap, Method, StatusCode};

use crate::model::{Guid, Timestamp};

use self::catalog::Catalog;
use self::parameters::Parameters;
use self::rate::Meter;
use self::refusal::Refusal;
use super::clock::Clock;
use super::dispatch::Demo;
use super::ims;
use super::knobs::Knobs;
use super::reply::Reply;
use super::seed::{digest, mix};
use super::traffic::RequestKind;
use super::world::World;

/// The audience `api.bentley.com` wants in a token (fact sheet 2.1).
const AUDIENCE: &str = "bentley-api-management";
/// Where signed URLs of storage lead. Not a path of the platform: real ones are at another host.
const BLOB_ROOT: &str = "/storage-blob/";
/// What the media types of the platform begin with.
const VENDOR: &str = "application/vnd.bentley.itwin-platform.";

/// What the platform keeps between requests.
pub(super) struct Platform {
    catalog: Catalog,
    meter: Meter,
    /// Makes the signatures of signed URLs those of this run.
    secret: u64,
    clock: Clock,
    /// What the clock said at the start.
    started: Instant,
}

impl Platform {
    /// Opens it over what the world connects; connections stay as they are when folders go away, as real ones do.
    pub(super) fn new(world: &World, clock: Clock) -> Self {
        let nanoseconds = clock.since_epoch().as_nanos().to_le_bytes();
        Self {
            catalog: Catalog::over(world),
            meter: Meter::new(),
            secret: mix(digest(&nanoseconds) ^ u64::from(std::process::id())),
            started: clock.now(),
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        let since_epoch = jiff::SignedDuration::try_from(self.clock.since_epoch());
        let now = since_epoch.map(Timestamp::from_duration);
        now.ok().and_then(Result::ok).unwrap_or(Timestamp::MAX)
    }

    /// Forgets who asked how often: everybody may ask anew.
    pub(super) fn forget_rates(&self) {
        self.meter.reset();
    }

    fn since_start(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.started)
    }
}

/// What kind of request this is; `None` for a path the platform does not have.
pub(super) fn kind_of(method: &Method, path: &str) -> Option<RequestKind> {
    if path.starts_with(BLOB_ROOT) {
        return Some(RequestKind::Blob);
    }
    let first = path.split('/').nth(1)?;
    let kinds = [
        ("itwins", RequestKind::ITwins),
        ("workarea", RequestKind::WorkAreas),
        ("storage", RequestKind::Storage),
    ];
    let mut kinds = kinds.into_iter();
    let (_, kind) = kinds.find(|(name, _)| name.eq_ignore_ascii_case(first))?;
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Some(kind),
        _ => Some(RequestKind::Mutation),
    }
}

/// A scripted fault, in the platform's own envelope.
pub(super) fn fault(status: StatusCode, code: &str) -> Reply {
    refusal::envelope(status, code, "A fault of the demo.", &[])
}

/// Answers one request.
pub(super) fn answer(demo: &Demo, method: &Method, path: &str, query: &str, headers: &HeaderMap) -> Reply {
    let knobs = demo.knobs.now();
    if let Some(name) = path.strip_prefix(BLOB_ROOT) {
        return storage::blob(&demo.platform, method, name, query, headers, &knobs);
    }
    let answer = admit(demo, headers, &knobs).and_then(|email| {
        let call = Call {
            demo,
            platform: &demo.platform,
            base: &demo.ims.issuer,
            path: path.trim_end_matches('/'),
            query,
            headers,
            email: &email,
            knobs: &knobs,
        };
        call.answer(method)
    });
    answer.unwrap_or_else(|refusal| refusal.reply())
}

/// Lets a caller in, or says why not; tells their e-mail address.
fn admit(demo: &Demo, headers: &HeaderMap, knobs: &Knobs) -> Result<String, Refusal> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(Refusal::NoHeader);
    }
    let token = ims::bearer_token(headers).ok_or(Refusal::BadToken)?;
    let bearer = demo.ims.grants.bearer(token).ok_or(Refusal::BadToken)?;
    if knobs.platform_unknown_client {
        return Err(Refusal::UnknownClient);
    }
    if !bearer.audience.iter().any(|one| one == AUDIENCE) {
        return Err(Refusal::Audience(bearer.audience.join(", ")));
    }
    let now = demo.platform.since_start();
    demo.platform
        .meter
        .take(&bearer.client_id, knobs.platform_rate, now)?;
    let wanted = &knobs.platform_scope;
    if !wanted.is_empty() && !bearer.scope.iter().any(|scope| scope == wanted) {
        return Err(Refusal::Forbidden);
    }
    Ok(bearer.email)
}

/// A request of somebody who was let in.
struct Call<'a> {
    demo: &'a Demo,
    platform: &'a Platform,
    /// Scheme, host and port.
    base: &'a str,
    /// Without a slash at the end.
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    email: &'a str,
    knobs: &'a Knobs,
}

impl Call<'_> {
    fn answer(&self, method: &Method) -> Result<Reply, Refusal> {
        match *method {
            Method::GET => {}
            Method::HEAD | Method::OPTIONS => return Err(Refusal::NoOperation),
            // The one shape confirmed for a write without the right to it (fact sheet 2.1).
            _ => return Err(Refusal::Forbidden),
        }
        let lower = self.path.to_ascii_lowercase();
        let names: Vec<&str> = lower.split('/').skip(1).collect();
        // Ids of storage are case-sensitive.
        let exact: Vec<&str> = self.path.split('/').skip(1).collect();
        let id = |place: usize| exact.get(place).copied().unwrap_or_default();
        match names.as_slice() {
            ["itwins", rest @ ..] => {
                self.accepts(&["v1+json"])?;
                match rest {
                    [] => itwins::list(self),
                    ["favorites" | "recents"] => itwins::none(self),
                    [_] => itwins::one(self, id(1)),
                    [_, "repositories"] => itwins::repositories(self, id(1)),
                    _ => Err(Refusal::NoOperation),
                }
            }
            ["workarea", "v1", "projects", _, "connections"] => {
                self.accepts(&["v1+json"])?;
                work_areas::list(self, id(3))
            }
            ["storage", "files", _, "download"] => {
                self.accepts(&["v1+json", "v1+octet-stream"])?;
                storage::download(self, id(2))
            }
            ["storage", rest @ ..] => {
                self.accepts(&["v1+json"])?;
                match rest {
                    [] => storage::top_level(self),
                    ["recyclebin"] => storage::recycle_bin(self),
                    ["folders", _] => storage::folder(self, id(2)),
                    ["folders", _, "list"] => storage::list(self, id(2), storage::Listing::Items),
                    ["folders", _, "folders"] => storage::list(self, id(2), storage::Listing::Folders),
                    ["folders", _, "files"] => storage::list(self, id(2), storage::Listing::Files),
                    ["files", _] => storage::file(self, id(2)),
                    _ => Err(Refusal::NoOperation),
                }
            }
            _ => Err(Refusal::NoOperation),
        }
    }

    /// Refuses a caller who accepts nothing this operation answers: to the platform that is a wrong URL. A caller
    /// who says nothing, or anything, or JSON, gets the first version.
    fn accepts(&self, versions: &[&str]) -> Result<(), Refusal> {
        let Some(accept) = self.headers.get(ACCEPT) else {
            return Ok(());
        };
        let accept = accept.to_str().unwrap_or_default().to_ascii_lowercase();
        let good = accept.split(',').any(|one| {
            let kind = one.split(';').next().unwrap_or_default().trim();
            ["*/*", "application/*", "application/json"].contains(&kind)
                || kind
                    .strip_prefix(VENDOR)
                    .is_some_and(|version| versions.contains(&version))
        });
        if good { Ok(()) } else { Err(Refusal::NoOperation) }
    }

    /// The query's parameters; `code` is what mistakes in them are called.
    fn parameters(&self, code: &'static str) -> Parameters {
        Parameters::parse(self.query, code)
    }

    /// The iTwin of this id, where the caller is a member.
    fn itwin(&self, id: &str, code: &'static str) -> Result<&catalog::ITwin, Refusal> {
        let found = id.parse::<Guid>().ok().and_then(|id| {
            let mut all = self.platform.catalog.of(self.email);
            all.find(|itwin| itwin.id == id)
        });
        found.ok_or(Refusal::NotFound {
            code,
            message: "Requested iTwin is not available.",
        })
    }
}
