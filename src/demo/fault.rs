//! Faults on request: what goes wrong ([`Effect`]), for which requests, when and how often ([`Fault`]).

mod bend;
mod bulk;
mod course;
mod json;
mod recall;
mod spec;
mod table;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Guid;

use super::traffic::RequestKind;

pub(super) use self::bulk::Bulk;
pub(super) use self::course::{Asked, Course};
pub(super) use self::recall::Recall;
pub(super) use self::spec::{FaultError, FaultSpec};
pub(super) use self::table::{Arrival, FaultTable};

/// Names an injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultId(pub(super) u64);

/// What happens to a request. In JSON: an object with `kind`, the name in snake case, and the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// This status, with the error envelope of the addressed service.
    Status {
        /// The HTTP status.
        code: u16,
        /// `errorId` of WSG, `error` of the token endpoint; absent sends an empty body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_id: Option<String>,
        /// Sent as `Retry-After`, in whole seconds or as the knob `retry-after` says.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "spec::seconds")]
        retry_after: Option<Duration>,
    },
    /// Takes the request and answers nothing until the fault is cleared; then answers as usual.
    #[serde(rename = "hang")]
    HangAfterAccept,
    /// Sends the headers with the whole length, then nothing until the fault is cleared, then the body.
    HangAfterHeaders,
    /// Sends this many bytes of the body, then nothing until the fault is cleared, then the rest.
    StallBody {
        /// Bytes sent at once.
        after: u64,
    },
    /// Announces the whole length, sends this many bytes of the body and closes the connection.
    Truncate {
        /// Bytes sent.
        after: u64,
    },
    /// Announces the whole length, sends this many bytes of the body and resets the connection.
    ResetBody {
        /// Bytes sent.
        after: u64,
    },
    /// Closes the connection without an answer.
    DropConnection,
    /// Resets the connection (RST) without an answer.
    ResetConnection,
    /// Resets new connections at their first byte, unless it asks the admin API. Counts connections, not
    /// requests: of the conditions only those of time and number apply; connections already open live on.
    RefuseConnections,
    /// `Connection: close` with every answer.
    CloseConnection,
    /// Waits before answering; a later fault may still apply to the same request.
    #[serde(with = "spec::millis")]
    Latency(Duration),
    /// The head of the answer comes at this pace; a later fault may still apply.
    SlowHeaders {
        /// Bytes a second, at least 1.
        bytes_per_second: u64,
    },
    /// The body comes at this pace; a later fault may still apply.
    Trickle {
        /// Bytes a second, at least 1.
        bytes_per_second: u64,
    },
    /// `Date` is off by so many seconds; a later fault may still apply.
    ClockSkew {
        /// Seconds added to the time.
        seconds: i64,
    },
    /// `$file` delivers a body this many bytes longer (or shorter) than listed, cleanly framed.
    WrongLength {
        /// The difference in bytes.
        delta: i64,
    },
    /// `Content-Length` is this many bytes more than is sent (and the connection closes), or less (and the rest
    /// follows on the open connection, where the next answer is expected).
    LyingLength {
        /// The difference in bytes.
        delta: i64,
    },
    /// A range is answered by a 206 with another range, bytes and `Content-Range` alike.
    WrongRange {
        /// Bytes the range is moved by.
        shift: i64,
    },
    /// A range is answered by a 206 whose `Content-Range` is the one asked for, and whose bytes are of another place.
    ShiftedBytes {
        /// Bytes the contents are moved by.
        shift: i64,
    },
    /// A range is answered by a 206 with the right bytes and another `Content-Range`.
    WrongContentRange {
        /// Added to both ends that are told.
        shift: i64,
    },
    /// A range is answered by a 206 without `Content-Range`.
    NoContentRange,
    /// A range is answered by a 200 with everything.
    IgnoredRange,
    /// The body is gzipped though nobody asked for it, and says so.
    Gzip,
    /// The body is gzipped and no header says so.
    SecretGzip,
    /// 200 with the HTML of a sign-in page.
    HtmlLogin,
    /// 302 to a sign-in page.
    RedirectToLogin,
    /// 200 with JSON that breaks off in the middle, cleanly framed.
    MalformedJson,
    /// 200 `null`.
    JsonNull,
    /// 200 without a body.
    EmptyBody,
    /// 200 `{"instances":[]}`.
    EmptyList,
    /// 200 with so many MiB of instances that look real, made while they are sent.
    HugeJson {
        /// MiB.
        mib: u32,
    },
    /// 200 with so many arrays in one another.
    NestedJson {
        /// Arrays.
        depth: u32,
    },
    /// The true body as another type.
    WrongContentType {
        /// `Content-Type`; `text/plain` where it is absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
    },
    /// A byte order mark before the body.
    ByteOrderMark,
    /// A byte in every string that is not UTF-8.
    InvalidUtf8,
    /// The first key of every object twice; the second time with another value.
    DuplicateKeys,
    /// Strings are arrays, numbers are booleans, booleans are numbers.
    WrongTypes,
    /// Every page is the first page and names a next one.
    LoopingSkipToken,
    /// A page asked for by token names the same token again, so that it comes again for ever.
    RepeatedPage,
    /// A page asked for by token is 400: the token has expired.
    ExpiredSkipToken,
    /// A later page of a listing starts one row too far, as where a row before it was removed meanwhile.
    RowLost,
    /// A later page of a listing starts with the last row of the page before, as where a row was inserted before it.
    RowTwice,
    /// The middle row of a page is missing.
    RowLeftOut,
    /// The middle row of a page comes twice.
    RowDoubled,
    /// Another entity tag with every answer, though nothing changed.
    ChangedEtag,
    /// 304 to every `If-None-Match`, though something may have changed.
    FalseNotModified,
    /// What was answered to the same question the last time before the fault; the truth where it was never asked.
    StaleAnswer,
}

impl Effect {
    /// True where a later fault may still apply to the same request.
    pub(super) const fn leaves_room(&self) -> bool {
        matches!(
            self,
            Self::Latency(_)
                | Self::SlowHeaders { .. }
                | Self::Trickle { .. }
                | Self::ClockSkew { .. }
                | Self::CloseConnection
        )
    }
}

/// How likely a fault is, repeatably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance {
    /// Of a million matching requests about so many suffer.
    pub in_a_million: u32,
    /// The same seed strikes the same requests.
    pub seed: u64,
}

/// One scripted fault. A request that meets every condition up to `lasts` matches; of those it strikes some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The requests it is about; empty: every one but those of the admin API.
    pub kinds: Vec<RequestKind>,
    /// Only requests about this folder or document.
    pub subject: Option<Guid>,
    /// Only requests whose path and query, as sent, contain this.
    pub path: Option<String>,
    /// Only requests of this method, in any case.
    pub method: Option<String>,
    /// Only requests logged in as this e-mail address, in any case.
    pub account: Option<String>,
    /// Only after so many requests of any kind since it was injected.
    pub after_requests: u64,
    /// Only up to so many requests of any kind since it was injected.
    pub until_requests: Option<u64>,
    /// Only from so long after it was injected.
    pub from: Duration,
    /// Only for so long from then on.
    pub lasts: Option<Duration>,
    /// Matching requests let through before the first that suffers.
    pub skip: u32,
    /// Of the matching ones after those every n-th suffers; 0 and 1: each.
    pub every: u32,
    /// Of those only some, by chance.
    pub chance: Option<Chance>,
    /// Requests that suffer; `None`: for ever.
    pub times: Option<u32>,
    /// What happens to them.
    pub effect: Effect,
}

impl Fault {
    /// A fault of every request; the base of all others.
    pub const fn everywhere(effect: Effect) -> Self {
        Self {
            kinds: Vec::new(),
            subject: None,
            path: None,
            method: None,
            account: None,
            after_requests: 0,
            until_requests: None,
            from: Duration::ZERO,
            lasts: None,
            skip: 0,
            every: 1,
            chance: None,
            times: None,
            effect,
        }
    }

    /// A fault of every request of a kind.
    pub fn on(kind: RequestKind, effect: Effect) -> Self {
        Self {
            kinds: vec![kind],
            ..Self::everywhere(effect)
        }
    }

    /// The plain status fault, without a body.
    pub fn status(kind: RequestKind, code: u16) -> Self {
        let effect = Effect::Status {
            code,
            error_id: None,
            retry_after: None,
        };
        Self::on(kind, effect)
    }

    /// Only for requests about this folder or document.
    #[must_use]
    pub const fn about(mut self, subject: Guid) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Only for requests logged in as this e-mail address.
    #[must_use]
    pub fn by(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Lets the first `skip` matching requests through.
    #[must_use]
    pub const fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Strikes every `every`-th matching request.
    #[must_use]
    pub const fn every(mut self, every: u32) -> Self {
        self.every = every;
        self
    }

    /// Happens `times` times and then no more.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// In force from so long after it was injected, for so long.
    #[must_use]
    pub const fn during(mut self, from: Duration, lasts: Duration) -> Self {
        self.from = from;
        self.lasts = Some(lasts);
        self
    }
}
