//! What was asked of the demo server: counters, a log of recent requests, and waiting for a request to arrive.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::Guid;

/// Requests kept in the log.
const LOG_LENGTH: usize = 10_000;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestKind {
    /// `/.well-known/openid-configuration` and its keys.
    Discovery,
    /// `/connect/authorize`, the page or its form.
    Authorize,
    /// `/connect/token`.
    Token,
    /// `/connect/userinfo`.
    UserInfo,
    /// `/connect/revocation`.
    Revocation,
    /// The sign-in page a lost login is sent to.
    LoginPage,
    /// `Plugins`, the probe for the server's version.
    Plugins,
    /// `Repositories`.
    Repositories,
    /// `Navigation/NavNode`.
    NavNode,
    /// A list of folders.
    ListProjects,
    /// A list of documents.
    ListDocuments,
    /// One folder or document by its path.
    Object,
    /// Folders or documents by `$id in […]`.
    FindIds,
    /// The current user.
    User,
    /// `$file`.
    File,
    /// `FileAccess.FileAccessKey` of a document.
    FileAccess,
    /// A signed URL at the second origin.
    Blob,
    /// `MetaSchema` and `Policies`.
    Schema,
    /// A saved search.
    SavedSearch,
    /// `/connect/introspect`.
    Introspection,
    /// `/connect/endsession`.
    EndSession,
    /// `/itwins` of the platform.
    ITwins,
    /// `/workarea` of the platform.
    WorkAreas,
    /// `/storage` of the platform.
    Storage,
    /// A method WSG would change something by.
    Mutation,
    /// Anything else, mostly mistakes.
    Other,
}

impl RequestKind {
    /// Every kind, for tables and parsing.
    pub const ALL: [Self; 26] = [
        Self::Discovery,
        Self::Authorize,
        Self::Token,
        Self::UserInfo,
        Self::Revocation,
        Self::LoginPage,
        Self::Plugins,
        Self::Repositories,
        Self::NavNode,
        Self::ListProjects,
        Self::ListDocuments,
        Self::Object,
        Self::FindIds,
        Self::User,
        Self::File,
        Self::FileAccess,
        Self::Blob,
        Self::Schema,
        Self::SavedSearch,
        Self::Introspection,
        Self::EndSession,
        Self::ITwins,
        Self::WorkAreas,
        Self::Storage,
        Self::Mutation,
        Self::Other,
    ];

    /// Its name in the admin API: the variant's own.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The kind of this name, ignoring case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// Requests counted since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    by_kind: BTreeMap<RequestKind, u64>,
    /// Requests of any kind; the admin API is not counted.
    pub total: u64,
    /// Requests that would have changed a real server; they were answered 405.
    pub mutation_attempts: u64,
}

impl Counters {
    /// Requests of one kind.
    pub fn of(&self, kind: RequestKind) -> u64 {
        self.by_kind.get(&kind).copied().unwrap_or(0)
    }

    /// Every kind that was asked for, with its number.
    pub fn by_kind(&self) -> impl Iterator<Item = (RequestKind, u64)> {
        self.by_kind.iter().map(|(kind, count)| (*kind, *count))
    }
}

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// What it asks for.
    pub kind: RequestKind,
    /// The folder or document it is about.
    pub subject: Option<Guid>,
    /// The HTTP method.
    pub method: String,
    /// Path and query as sent; of secrets only the demo's own signed links occur here, other tokens travel in
    /// headers and bodies.
    pub target: String,
    /// `$skip`.
    pub skip: Option<u64>,
    /// `$top`.
    pub top: Option<u64>,
    /// The `SkipToken` header.
    pub skip_token: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
}

/// Counts, remembers and announces requests.
pub(super) struct Traffic {
    tally: Mutex<Tally>,
    arrived: watch::Sender<u64>,
}

#[derive(Default)]
struct Tally {
    counters: Counters,
    log: VecDeque<LoggedRequest>,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            tally: Mutex::new(Tally::default()),
            arrived: watch::Sender::new(0),
        }
    }

    pub(super) fn record(&self, request: LoggedRequest) {
        {
            let mut tally = self.tally.lock();
            *tally.counters.by_kind.entry(request.kind).or_default() += 1;
            tally.counters.total += 1;
            if request.kind == RequestKind::Mutation {
                tally.counters.mutation_attempts += 1;
            }
            if tally.log.len() == LOG_LENGTH {
                tally.log.pop_front();
            }
            tally.log.push_back(request);
        }
        self.arrived.send_modify(|count| *count += 1);
    }

    pub(super) fn counters(&self) -> Counters {
        self.tally.lock().counters.clone()
    }

    pub(super) fn log(&self) -> Vec<LoggedRequest> {
        self.tally.lock().log.iter().cloned().collect()
    }

    pub(super) fn reset(&self) {
        *self.tally.lock() = Tally::default();
    }

    /// Waits until this many requests of a kind have arrived since the last reset.
    pub(super) async fn wait_for(&self, kind: RequestKind, count: u64) {
        let mut arrived = self.arrived.subscribe();
        while self.tally.lock().counters.of(kind) < count {
            if arrived.changed().await.is_err() {
                return;
            }
        }
    }
}
