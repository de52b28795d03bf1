//! What the faults that strike a request make of it: what is asked, what is answered, and how it is sent.

use std::io::Write as _;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, IF_NONE_MATCH,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::SignedDuration;
use serde_json::json;

use crate::demo::delivery::{Delivery, Ending};
use crate::demo::dispatch::Demo;
use crate::demo::limit::{http_date, with_retry_after};
use crate::demo::listener::Scissors;
use crate::demo::payload::Payload;
use crate::demo::reply::Reply;
use crate::demo::seed::mix;
use crate::demo::traffic::RequestKind;
use crate::demo::wsg::{self, SKIP_TOKEN, Twist};
use crate::demo::{blob, ims, platform};

use super::table::later_token;
use super::{Bulk, Effect, FaultId, bend, json, recall};

/// The longest body that is edited or gzipped, in bytes: all of it is in memory, as JSON several times over.
const LONGEST: u64 = 64 << 20;

/// A request, as its faults see it.
pub(in crate::demo) struct Asked<'a> {
    pub(in crate::demo) demo: &'a Arc<Demo>,
    pub(in crate::demo) kind: RequestKind,
    pub(in crate::demo) parts: &'a Parts,
    pub(in crate::demo) body: &'a [u8],
    pub(in crate::demo) scissors: &'a Scissors,
}

/// Spoils a true answer.
type Edit = Box<dyn FnOnce(Reply, &Asked<'_>) -> Reply + Send>;

/// The course a request takes.
#[derive(Default)]
pub(in crate::demo) struct Course {
    /// Answers this and asks nobody.
    pub(in crate::demo) instead: Option<Reply>,
    pub(in crate::demo) twist: Twist,
    pub(in crate::demo) delivery: Delivery,
    /// Moves `$skip`.
    skip_shift: i64,
    /// Asked in place of the headers sent.
    headers: Option<HeaderMap>,
    edits: Vec<Edit>,
    stale: bool,
}

impl Course {
    /// Suffers the effects in turn, waiting where they make it wait.
    pub(in crate::demo) async fn suffer(asked: &Asked<'_>, struck: Vec<(FaultId, Effect)>) -> Self {
        let mut course = Self::default();
        for (id, effect) in struck {
            if let Effect::Latency(delay) = effect {
                tokio::time::sleep(delay).await;
            } else if effect == Effect::HangAfterAccept {
                asked.demo.faults.until_cleared(id).await;
            } else {
                course.take(asked, id, effect);
            }
        }
        course
    }

    fn take(&mut self, asked: &Asked<'_>, id: FaultId, effect: Effect) {
        match effect {
            // Waited out before.
            Effect::Latency(_) | Effect::HangAfterAccept => {}
            // Suffered by connections.
            Effect::RefuseConnections => {}
            Effect::Status {
                code,
                error_id,
                retry_after,
            } => {
                let mut reply = status_reply(asked.kind, code, error_id.as_deref());
                if let Some(delay) = retry_after {
                    reply = with_retry_after(reply, delay, asked.demo.knobs.now().retry_after);
                }
                self.instead = Some(reply);
            }
            Effect::HangAfterHeaders => self.delivery.ending = Ending::Stalled(0, id),
            Effect::StallBody { after } => self.delivery.ending = Ending::Stalled(after, id),
            Effect::Truncate { after } => self.delivery.ending = Ending::Broken(after),
            Effect::ResetBody { after } => self.delivery.ending = Ending::Reset(after),
            Effect::DropConnection => {
                asked.scissors.cut();
                self.instead = Some(Reply::empty(StatusCode::OK));
            }
            Effect::ResetConnection => {
                asked.scissors.reset();
                self.instead = Some(Reply::empty(StatusCode::OK));
            }
            Effect::CloseConnection => self.edit(|reply, _| reply.with(CONNECTION, "close")),
            Effect::SlowHeaders { bytes_per_second } => asked.scissors.slow_head(bytes_per_second.max(1)),
            Effect::Trickle { bytes_per_second } => self.delivery.rate = Some(bytes_per_second.max(1)),
            Effect::ClockSkew { seconds } => self.edit(move |reply, _| {
                let skewed = jiff::Timestamp::now().checked_add(SignedDuration::from_secs(seconds));
                match skewed {
                    Ok(time) => reply.with(DATE, &http_date(time)),
                    // Beyond the calendar.
                    Err(_) => reply.with(DATE, "Fri, 31 Dec 9999 23:59:59 GMT"),
                }
            }),
            Effect::WrongLength { delta } => self.twist.length = delta,
            Effect::LyingLength { delta } => self.delivery.lie = delta,
            Effect::WrongRange { shift } => {
                self.headers = Some(bend::shifted_range(&asked.parts.headers, shift));
            }
            Effect::ShiftedBytes { shift } => {
                self.headers = Some(bend::shifted_range(&asked.parts.headers, shift));
                self.edit(move |reply, _| bend::shifted_content_range(reply, shift.saturating_neg()));
            }
            Effect::WrongContentRange { shift } => {
                self.edit(move |reply, _| bend::shifted_content_range(reply, shift));
            }
            Effect::NoContentRange => self.edit(|mut reply, _| {
                reply.headers.retain(|(name, _)| *name != CONTENT_RANGE);
                reply
            }),
            Effect::IgnoredRange => self.headers = Some(bend::without_range(&asked.parts.headers)),
            Effect::Gzip => self.edit(|reply, _| gzipped(reply).with(CONTENT_ENCODING, "gzip")),
            Effect::SecretGzip => self.edit(|reply, _| gzipped(reply)),
            Effect::HtmlLogin => self.instead = Some(ims::login_page()),
            Effect::RedirectToLogin => {
                let issuer = &asked.demo.ims.issuer;
                let page = format!("{issuer}/IMS/Account/Login?ReturnUrl=%2F");
                self.instead = Some(Reply::redirect(&page));
            }
            Effect::MalformedJson => {
                self.say(Bytes::from_static(b"{\"instances\":[{\"instanceId\":\"9d8a7a"));
            }
            Effect::JsonNull => self.say(Bytes::from_static(b"null")),
            Effect::EmptyBody => self.say(Bytes::new()),
            Effect::EmptyList => self.say(Bytes::from(json!({ "instances": [] }).to_string())),
            Effect::HugeJson { mib } => self.say(Payload::Bulk(Bulk::new(mib))),
            Effect::NestedJson { depth } => {
                let depth = usize::try_from(depth).unwrap_or(usize::MAX);
                // In one piece: a deep one is tens of megabytes.
                let mut text = String::from("{\"instances\":");
                text.reserve_exact(2 * depth + 1);
                text.extend(iter::repeat_n('[', depth));
                text.extend(iter::repeat_n(']', depth));
                text.push('}');
                self.say(Bytes::from(text));
            }
            Effect::WrongContentType { content_type } => self.edit(move |reply, _| {
                reply.with(CONTENT_TYPE, content_type.as_deref().unwrap_or("text/plain"))
            }),
            Effect::ByteOrderMark => self.edit_body(|body| {
                let mut marked = "\u{feff}".as_bytes().to_vec();
                marked.extend_from_slice(body);
                Some(marked)
            }),
            Effect::InvalidUtf8 => self.edit_body(|body| Some(json::invalid_utf8(body))),
            Effect::DuplicateKeys => self.edit_body(|body| Some(json::duplicate_keys(body)?.into_bytes())),
            Effect::WrongTypes => self.edit_body(|body| Some(json::wrong_types(body)?.into_bytes())),
            Effect::LoopingSkipToken => self.twist.looping = true,
            Effect::RepeatedPage => self.edit(|reply, asked| match later_token(&asked.parts.headers) {
                Some(token) => reply.with(SKIP_TOKEN, token),
                None => reply,
            }),
            Effect::ExpiredSkipToken => {
                let message = "The SkipToken is unknown or has expired.";
                let reply = Reply::error(StatusCode::BAD_REQUEST, "BadRequest", message);
                self.instead = Some(reply);
            }
            Effect::RowLost if later_token(&asked.parts.headers).is_none() => self.skip_shift = 1,
            Effect::RowLost => self.edit_rows(|rows| {
                if !rows.is_empty() {
                    rows.remove(0);
                }
            }),
            Effect::RowTwice => match later_token(&asked.parts.headers) {
                None => self.skip_shift = -1,
                Some(token) => {
                    let before = asked.demo.recall.page_before(token);
                    let last = before.and_then(|page| json::last_row(&page.body.whole()));
                    self.edit_rows(move |rows| rows.splice(0..0, last).for_each(drop));
                }
            },
            Effect::RowLeftOut => self.edit_rows(|rows| {
                if !rows.is_empty() {
                    rows.remove(rows.len() / 2);
                }
            }),
            Effect::RowDoubled => self.edit_rows(|rows| {
                let middle = rows.len() / 2;
                if let Some(row) = rows.get(middle).cloned() {
                    rows.insert(middle, row);
                }
            }),
            Effect::ChangedEtag => {
                let number = asked.demo.salt.fetch_add(1, Ordering::Relaxed) + 1;
                self.twist.etag_salt = mix(number);
            }
            Effect::FalseNotModified => {
                let reply = Reply::empty(StatusCode::NOT_MODIFIED);
                let tag = asked.parts.headers.get(IF_NONE_MATCH);
                let tag = tag.and_then(|value| value.to_str().ok()).unwrap_or_default();
                self.instead = Some(reply.with(ETAG, tag));
            }
            Effect::StaleAnswer => self.stale = true,
        }
    }

    /// What is asked in place of the headers sent.
    pub(in crate::demo) fn headers<'a>(&'a self, sent: &'a HeaderMap) -> &'a HeaderMap {
        self.headers.as_ref().unwrap_or(sent)
    }

    /// What is asked in place of a query; `None` where it stays.
    pub(in crate::demo) fn query(&self, sent: &str) -> Option<String> {
        (self.skip_shift != 0).then(|| bend::shifted_skip(sent, self.skip_shift))
    }

    /// Spoils the true answer; remembers it first.
    pub(in crate::demo) fn spoil(&mut self, reply: Reply, asked: &Asked<'_>, account: &str) -> Reply {
        let reply = match recall::question(asked.kind, account, asked.parts, asked.body) {
            Some(question) if self.stale => asked.demo.recall.answer(&question).unwrap_or(reply),
            Some(question) => {
                asked.demo.recall.keep(question, &reply);
                reply
            }
            None => reply,
        };
        self.bend(reply, asked)
    }

    /// Spoils any answer.
    pub(in crate::demo) fn bend(&mut self, reply: Reply, asked: &Asked<'_>) -> Reply {
        let edits = std::mem::take(&mut self.edits);
        edits.into_iter().fold(reply, |reply, edit| edit(reply, asked))
    }

    /// Answers 200 with this, said to be JSON.
    fn say(&mut self, body: impl Into<Payload>) {
        let mut reply = Reply::empty(StatusCode::OK);
        reply.body = body.into();
        self.instead = Some(reply.with(CONTENT_TYPE, "application/json; charset=utf-8"));
    }

    fn edit(&mut self, edit: impl FnOnce(Reply, &Asked<'_>) -> Reply + Send + 'static) {
        self.edits.push(Box::new(edit));
    }

    /// Edits the body of an answer that is a success; `None` leaves it, and one longer than [`LONGEST`] stays as it is.
    fn edit_body(&mut self, edit: impl FnOnce(&[u8]) -> Option<Vec<u8>> + Send + 'static) {
        self.edit(move |mut reply, _| {
            if reply.status == StatusCode::OK
                && reply.body.len() <= LONGEST
                && let Some(body) = edit(&reply.body.whole())
            {
                reply.body = Bytes::from(body).into();
            }
            reply
        });
    }

    fn edit_rows(&mut self, edit: impl FnOnce(&mut Vec<serde_json::Value>) + Send + 'static) {
        self.edit_body(|body| Some(json::with_rows(body, edit)?.into_bytes()));
    }
}

fn status_reply(kind: RequestKind, code: u16, error_id: Option<&str>) -> Reply {
    // A code that is none, such as 0, stands for the one the error comes with.
    let status = StatusCode::from_u16(code)
        .ok()
        .or_else(|| error_id.and_then(wsg::errors::status_of))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match (error_id, kind) {
        (Some(id), RequestKind::Token | RequestKind::Revocation | RequestKind::UserInfo) => {
            ims::oauth_error(status, id, None)
        }
        (Some(id), RequestKind::ITwins | RequestKind::WorkAreas | RequestKind::Storage) => {
            platform::fault(status, id)
        }
        (Some(id), RequestKind::Blob) => blob::error(status, id, "A fault of the demo."),
        (Some(id), _) => Reply::error(status, id, "A fault of the demo."),
        (None, _) => Reply::empty(status),
    }
}

/// The body, gzipped; empty ones and made ones that could not be held in memory stay as they are.
fn gzipped(mut reply: Reply) -> Reply {
    if reply.body.len() == 0 || reply.body.len() > LONGEST {
        return reply;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder
        .write_all(&reply.body.whole())
        .and_then(|()| encoder.finish())
        .expect("writing to memory cannot fail");
    reply.body = Bytes::from(packed).into();
    reply
}
