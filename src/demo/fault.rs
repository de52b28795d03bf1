//! Faults on request: what goes wrong, for which requests, how often.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::Guid;

use super::traffic::RequestKind;

/// Names an injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultId(pub(super) u64);

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// This status, with the error envelope of the addressed service.
    Status {
        /// The HTTP status.
        code: u16,
        /// `errorId` of WSG, `error` of the token endpoint; absent sends an empty body.
        error_id: Option<String>,
        /// Sent as `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// Takes the request and answers nothing until the fault is cleared; then answers as usual.
    HangAfterAccept,
    /// Announces the whole length, sends this many bytes of the body and drops the connection.
    Truncate {
        /// Bytes sent.
        after: u64,
    },
    /// 200 with JSON that breaks off in the middle, cleanly framed.
    MalformedJson,
    /// 200 with the HTML of a sign-in page.
    HtmlLogin,
    /// 302 to a sign-in page.
    RedirectToLogin,
    /// 200 `{"instances":[]}`.
    EmptyList,
    /// Every page is the first page and names a next one.
    LoopingSkipToken,
    /// `$file` delivers a body this many bytes longer (or shorter) than listed, cleanly framed.
    WrongLength {
        /// The difference in bytes.
        delta: i64,
    },
    /// Sends this many bytes of the body, then nothing until the fault is cleared, then the rest.
    StallBody {
        /// Bytes sent at once.
        after: u64,
    },
    /// Waits before answering; a later fault may still apply to the same request.
    Latency(Duration),
    /// Another entity tag with every answer, though nothing changed.
    ChangedEtag,
    /// Closes the connection without an answer.
    DropConnection,
}

/// One scripted fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The requests it is about; `None`: every one but those of the admin API.
    pub kind: Option<RequestKind>,
    /// Only requests about this folder or document.
    pub subject: Option<Guid>,
    /// Matching requests let through before the first that suffers.
    pub skip: u32,
    /// Requests that suffer; `None`: for ever.
    pub times: Option<u32>,
    /// What happens to them.
    pub effect: Effect,
}

impl Fault {
    /// A fault of every request of a kind.
    pub const fn on(kind: RequestKind, effect: Effect) -> Self {
        Self {
            kind: Some(kind),
            subject: None,
            skip: 0,
            times: None,
            effect,
        }
    }

    /// A fault of every request.
    pub const fn everywhere(effect: Effect) -> Self {
        Self {
            kind: None,
            subject: None,
            skip: 0,
            times: None,
            effect,
        }
    }

    /// Only for requests about this folder or document.
    #[must_use]
    pub const fn about(mut self, subject: Guid) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Lets the first `skip` matching requests through.
    #[must_use]
    pub const fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Happens `times` times and then no more.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The plain status fault, without a body.
    pub const fn status(kind: RequestKind, code: u16) -> Self {
        let effect = Effect::Status {
            code,
            error_id: None,
            retry_after: None,
        };
        Self::on(kind, effect)
    }

    /// Decides whether this request suffers, and counts it.
    fn strike(&mut self, kind: RequestKind, subject: Option<Guid>) -> bool {
        let matches = self.kind.is_none_or(|wanted| wanted == kind)
            && self.subject.is_none_or(|wanted| subject == Some(wanted));
        if !matches || self.times == Some(0) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

/// The faults in force.
pub(super) struct FaultTable {
    /// A used-up fault stays until it is cleared: requests may still hang on it.
    faults: Mutex<Vec<(FaultId, Fault)>>,
    last: Mutex<u64>,
    cleared: watch::Sender<u64>,
}

impl FaultTable {
    pub(super) fn new() -> Self {
        Self {
            faults: Mutex::new(Vec::new()),
            last: Mutex::new(0),
            cleared: watch::Sender::new(0),
        }
    }

    pub(super) fn inject(&self, fault: Fault) -> FaultId {
        let id = {
            let mut last = self.last.lock();
            *last += 1;
            FaultId(*last)
        };
        self.faults.lock().push((id, fault));
        id
    }

    /// Removes one fault; true if it was there.
    pub(super) fn clear(&self, id: FaultId) -> bool {
        let mut faults = self.faults.lock();
        let before = faults.len();
        faults.retain(|(other, _)| *other != id);
        let found = faults.len() < before;
        drop(faults);
        self.cleared.send_modify(|count| *count += 1);
        found
    }

    pub(super) fn clear_all(&self) {
        self.faults.lock().clear();
        self.cleared.send_modify(|count| *count += 1);
    }

    /// The effects this request suffers: any latencies, then at most one other.
    pub(super) fn strike(&self, kind: RequestKind, subject: Option<Guid>) -> Vec<(FaultId, Effect)> {
        let mut struck = Vec::new();
        for (id, fault) in self.faults.lock().iter_mut() {
            if fault.strike(kind, subject) {
                let last = !matches!(fault.effect, Effect::Latency(_));
                struck.push((*id, fault.effect.clone()));
                if last {
                    break;
                }
            }
        }
        struck
    }

    /// Waits until a fault is cleared.
    pub(super) async fn until_cleared(&self, id: FaultId) {
        let mut cleared = self.cleared.subscribe();
        while self.faults.lock().iter().any(|(other, _)| *other == id) {
            if cleared.changed().await.is_err() {
                return;
            }
        }
    }
}
