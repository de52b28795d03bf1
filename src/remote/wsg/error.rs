//! What a gateway's refusals mean: the only table from (status, headers, body) to [`RemoteError`].
//!
//! Facts: projectwise-api 1.8. A missing object is only what the server calls one by its errorId: a bare 404 is
//! as often a wrong URL, a proxy or a stopped service, and must never read as "deleted".

use std::time::Duration;

use url::Url;

use crate::auth::{AuthError, OauthError};
use crate::http::HttpError;
use crate::remote::{Detail, Origin, RemoteError};

use super::gateway::NOT_MODIFIED;
use super::problem::{ErrorId, Problem};
use super::wire::Scalar;

/// A failed request: what to tell the caller, and what the gateway client itself acts on.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// For the caller.
    pub(super) error: RemoteError,
    /// Whether another token might help.
    pub(super) refusal: Refusal,
    /// The server's own kind, where it gave a known one.
    pub(super) kind: Option<ErrorId>,
    /// The status; 0 where there was no answer.
    pub(super) status: u16,
}

/// Whether another token might help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No.
    None,
    /// The server does not know the caller.
    Login,
    /// The server knows the caller and says no; Bentley's client tries again once, too.
    Rights,
}

/// An answer that is not the one hoped for.
pub(super) struct Answer<'a> {
    /// The status.
    pub(super) status: u16,
    /// The URL that answered, after redirects.
    pub(super) url: &'a Url,
    /// Looks a header up.
    pub(super) header: &'a dyn Fn(&str) -> Option<String>,
    /// The wait it asked for.
    pub(super) retry_after: Option<Duration>,
    /// The body, or its beginning.
    pub(super) body: &'a [u8],
    /// What was asked for, in the user's words.
    pub(super) what: &'a str,
}

impl Failure {
    fn new(error: RemoteError) -> Self {
        Self {
            error,
            refusal: Refusal::None,
            kind: None,
            status: 0,
        }
    }

    /// A failure of this side's making: an answer that cannot be used.
    pub(super) fn protocol(detail: impl Into<String>) -> Self {
        Self::new(RemoteError::Protocol(detail.into().into()))
    }

    /// Nothing has changed since the answer the question named: no failure for who asked so.
    pub(super) fn not_modified() -> Self {
        Self {
            status: NOT_MODIFIED,
            ..Self::protocol("the server says that nothing has changed")
        }
    }

    /// No answer of a gateway, or of one that can be spoken to.
    pub(super) fn no_gateway(problem: Problem, detail: impl Into<String>) -> Self {
        Self::new(RemoteError::Protocol(Detail::new(detail, Origin::Wsg(problem))))
    }

    /// The place where the gateway keeps its files failed, with this status.
    pub(super) fn file_store(status: u16, detail: impl Into<String>) -> Self {
        let origin = Origin::Wsg(Problem::FileStore);
        Self {
            status,
            ..Self::new(RemoteError::Server(Detail::new(detail, origin)))
        }
    }

    /// True where the file store refuses the link the gateway gave: it may have run out on the way, and another one may
    /// do. It says nothing of this account's rights.
    pub(super) fn is_refused_link(&self) -> bool {
        self.status == 403 && matches!(self.error.detail().origin(), Origin::Wsg(Problem::FileStore))
    }

    /// True where the server does not know the query's schema, class or property.
    pub(super) const fn is_unknown_class(&self) -> bool {
        matches!(
            self.kind,
            Some(ErrorId::SchemaNotFound | ErrorId::ClassNotFound | ErrorId::NotSupported)
        )
    }

    /// True for a 404 that says nothing of its kind, as a web server writes them that puts its own pages in place of
    /// the gateway's words.
    pub(super) const fn is_bare_not_found(&self) -> bool {
        self.status == 404 && self.kind.is_none()
    }

    /// True where the server did not understand the query.
    pub(super) const fn is_bad_query(&self) -> bool {
        self.status == 400 || matches!(self.kind, Some(ErrorId::PropertyNotFound | ErrorId::NotSupported))
    }

    /// Sorts an answer that is not a success.
    pub(super) fn of(answer: &Answer<'_>) -> Self {
        let said = Said::read(answer);
        let problem = match said.kind {
            Some(ErrorId::NotEnoughRights) if lacks_scope(answer) => Problem::InsufficientScope,
            Some(kind) => Problem::Said(kind),
            None => Problem::of(answer),
        };
        let told = Told {
            answer,
            said: &said,
            problem,
        };
        let (error, refusal) = match problem {
            Problem::Said(kind) => by_kind(kind, &told),
            _ => by_status(&told),
        };
        Self {
            error,
            refusal,
            kind: said.kind,
            status: answer.status,
        }
    }
}

impl Problem {
    /// What an answer without an errorId is.
    fn of(answer: &Answer<'_>) -> Self {
        match answer.status {
            // A page where JSON was asked for: most often the login page behind a redirect.
            200..=299 if is_login_page(answer.url, answer.body) => Self::LoginPage,
            200..=299 => Self::Page,
            300..=399 if (answer.header)("Location").is_some_and(|target| is_login_address(&target)) => {
                Self::LoginPage
            }
            // Another organisation's login page, perhaps.
            302 | 303 => Self::Redirect,
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 if lacks_scope(answer) => Self::InsufficientScope,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            407 => Self::ProxyLogin,
            408 | 504 => Self::Timeout,
            409 => Self::Conflict,
            429 => Self::Throttled,
            500..=599 => Self::ServerError,
            // A 304 nobody asked for, and whatever else there is.
            _ => Self::UnexpectedStatus,
        }
    }
}

/// RFC 6750, 3.1: `WWW-Authenticate: Bearer error="insufficient_scope"`.
fn lacks_scope(answer: &Answer<'_>) -> bool {
    (answer.header)("WWW-Authenticate")
        .is_some_and(|challenge| challenge.to_ascii_lowercase().contains("insufficient_scope"))
}

/// An answer, and what it means.
struct Told<'a> {
    answer: &'a Answer<'a>,
    said: &'a Said,
    problem: Problem,
}

impl Told<'_> {
    /// For a message that names what was asked for itself.
    fn detail(&self) -> Detail {
        self.tell(format!("status {}", self.answer.status))
    }

    /// For a message that does not.
    fn whole(&self) -> Detail {
        let Answer {
            url, status, what, ..
        } = self.answer;
        self.tell(format!("{} answers status {status} for {what}", authority(url)))
    }

    fn tell(&self, mut words: String) -> Detail {
        for part in [&self.said.id, &self.said.message] {
            if !part.is_empty() {
                words.push_str(": ");
                words.push_str(&bounded(part));
            }
        }
        if self.said.is_nothing()
            && let Some(challenge) = (self.answer.header)("WWW-Authenticate")
            // A mere list of schemes tells nothing (RFC 6750, 3).
            && challenge.contains("error")
        {
            words.push_str(": ");
            words.push_str(&bounded(&challenge));
        }
        let id = request_id(self.answer.header);
        if let Some(id) = &id {
            words.push_str(", request id ");
            words.push_str(id);
        }
        Detail::of_request(words, Origin::Wsg(self.problem), id)
    }

    fn denied(&self) -> RemoteError {
        let status = self.answer.status;
        RemoteError::Denied {
            what: self.answer.what.to_owned(),
            detail: match self.problem {
                Problem::Said(ErrorId::NotEnoughRights) | Problem::Forbidden => self.detail(),
                why => self.tell(format!("{}: status {status}", why.lead())),
            },
        }
    }
}

fn by_kind(kind: ErrorId, told: &Told<'_>) -> (RemoteError, Refusal) {
    match kind {
        ErrorId::LoginFailed => (RemoteError::LoginRequired(told.whole()), Refusal::Login),
        ErrorId::NotEnoughRights => (told.denied(), Refusal::Rights),
        // An expired token may look like this (Bentley's client refreshes here, too). What remains after that
        // is a wrong URL or a login the server does not want, not a missing folder.
        ErrorId::DatasourceNotFound => (RemoteError::Server(told.whole()), Refusal::Login),
        ErrorId::RepositoryNotFound => (RemoteError::Server(told.whole()), Refusal::None),
        ErrorId::ObjectNotFound | ErrorId::InstanceNotFound | ErrorId::FileNotFound => {
            let what = told.answer.what.to_owned();
            let detail = told.detail();
            (RemoteError::NotFound { what, detail }, Refusal::None)
        }
        ErrorId::SchemaNotFound
        | ErrorId::ClassNotFound
        | ErrorId::PropertyNotFound
        | ErrorId::LinkTypeNotFound
        | ErrorId::NotSupported => (RemoteError::Protocol(told.whole()), Refusal::None),
        ErrorId::SslRequired => (RemoteError::Protocol(told.whole()), Refusal::None),
        ErrorId::NoServerLicense => (told.denied(), Refusal::None),
        ErrorId::NoClientLicense => (told.denied(), Refusal::None),
        ErrorId::TooManyBadLoginAttempts => (RemoteError::LockedOut(told.whole()), Refusal::None),
    }
}

fn by_status(told: &Told<'_>) -> (RemoteError, Refusal) {
    match told.problem {
        Problem::LoginPage => (
            RemoteError::LoginRequired(told.whole()),
            Refusal::Login,
        ),
        // Another token may help here, too; a login it is not called.
        Problem::Page => (
            RemoteError::Protocol(told.whole()),
            Refusal::Login,
        ),
        Problem::Redirect => (
            RemoteError::Protocol(told.whole()),
            Refusal::Login,
        ),
        Problem::Unauthorized => (RemoteError::LoginRequired(told.whole()), Refusal::Login),
        Problem::Forbidden => (told.denied(), Refusal::Rights),
        Problem::InsufficientScope => (told.denied(), Refusal::Rights),
        Problem::ProxyLogin => (
            RemoteError::Unreachable(told.tell(format!("the proxy wants a login, status {}", told.answer.status))),
            Refusal::None,
        ),
        Problem::Timeout => (RemoteError::TimedOut(told.whole()), Refusal::None),
        Problem::Throttled => (
            RemoteError::Throttled {
                retry_after: told.answer.retry_after,
                detail: told.whole(),
            },
            Refusal::None,
        ),
        Problem::Conflict | Problem::ServerError => (RemoteError::Server(told.whole()), Refusal::None),
        Problem::NotFound
        | Problem::BadRequest
        | Problem::UnexpectedStatus
        // None of these is an answer's.
        | Problem::Said(_)
        | Problem::NotAGateway
        | Problem::TooOld
        | Problem::FileStore => (RemoteError::Protocol(told.whole()), Refusal::None),
    }
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let detail = Detail::new(error.to_string(), Origin::Http(error.clone()));
        Self::new(match error {
            HttpError::Unreachable(_)
            | HttpError::Tls(_)
            | HttpError::Certificate(_)
            | HttpError::Proxy(_)
            | HttpError::Settings(_) => RemoteError::Unreachable(detail),
            HttpError::TimedOut(_) => RemoteError::TimedOut(detail),
            HttpError::Paced { retry_after, .. } => RemoteError::Throttled {
                retry_after: Some(retry_after),
                detail,
            },
            HttpError::TooLarge(_) | HttpError::Redirect(_) | HttpError::Protocol(_) => {
                RemoteError::Protocol(detail)
            }
        })
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        let detail = |words: String| Detail::new(words, Origin::Auth(error.clone()));
        Self::new(match &error {
            AuthError::LoginRequired(words) => RemoteError::LoginRequired(detail(words.clone())),
            // The login may be fine: a full disk or a locked keyring is no reason to log in again.
            AuthError::Store(words) => RemoteError::Server(detail(format!(
                "nothing was asked, the credential store fails: {words}"
            ))),
            AuthError::SecretRequired(words) => RemoteError::SecretRequired(detail(words.clone())),
            AuthError::LockedOut(words) => RemoteError::LockedOut(detail(words.clone())),
            AuthError::Unreachable(HttpError::TimedOut(words)) => {
                RemoteError::TimedOut(detail(format!("identity provider: {words}")))
            }
            AuthError::Unreachable(cause) => {
                RemoteError::Unreachable(detail(format!("identity provider: {cause}")))
            }
            AuthError::Refused {
                error: OauthError::Unavailable,
                words,
            } => RemoteError::Unreachable(detail(format!("identity provider: {words}"))),
            AuthError::Refused { words, .. } | AuthError::Protocol(words) => {
                RemoteError::Protocol(detail(format!("identity provider: {words}")))
            }
        })
    }
}

/// What a request without an answer means, for whichever service it was sent to.
pub(in crate::remote) fn without_answer(error: HttpError) -> RemoteError {
    Failure::from(error).error
}

/// What it means that there is no token, for whichever service it was wanted.
pub(in crate::remote) fn without_token(error: AuthError) -> RemoteError {
    Failure::from(error).error
}

/// What an error body says.
#[derive(Debug, Default)]
struct Said {
    kind: Option<ErrorId>,
    id: String,
    message: String,
}

/// Both members of the pair WSG writes may be null; neither is trusted to be text.
#[derive(serde::Deserialize)]
#[serde(default)]
#[derive(Default)]
struct JsonError {
    #[serde(rename = "errorId")]
    id: Scalar,
    #[serde(rename = "errorMessage")]
    message: Scalar,
    #[serde(rename = "errorDescription")]
    description: Scalar,
}

impl Said {
    fn is_nothing(&self) -> bool {
        self.id.is_empty() && self.message.is_empty()
    }

    fn read(answer: &Answer<'_>) -> Self {
        let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(answer.body);
        let (id, message, description) = if let Ok(json) = serde_json::from_slice::<JsonError>(body) {
            (json.id.text(), json.message.text(), json.description.text())
        } else {
            let text = String::from_utf8_lossy(body);
            let child = |name| {
                text.contains("<ModelError")
                    .then(|| xml_child(&text, name))
                    .flatten()
            };
            (child("errorId"), child("errorMessage"), child("errorDescription"))
        };
        let id = id.unwrap_or_default();
        let mut message = message.unwrap_or_default();
        if let Some(description) = description.filter(|text| !text.is_empty() && *text != message) {
            if !message.is_empty() {
                message.push(' ');
            }
            message.push_str(&description);
        }
        Self {
            kind: ErrorId::parse(&id),
            id,
            message,
        }
    }
}

/// The id by which the server's own log knows a request.
pub(in crate::remote) fn request_id(header: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    [
        "Mas-Request-Id",
        "X-Correlation-Id",
        "Activity-Id",
        "X-Activity-Id",
        "Request-Id",
    ]
    .iter()
    .find_map(|name| header(name))
    .map(|id| bounded(&id))
    .filter(|id| !id.is_empty())
}

/// Host and, where it is not the scheme's own, port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// True for an address of Bentley's login pages (projectwise-api 1.8).
pub(in crate::remote) fn is_login_address(address: &str) -> bool {
    let lower = address.to_ascii_lowercase();
    let host = Url::parse(&lower)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    lower.contains("/ims/account/login")
        || host.is_some_and(|host| {
            host.ends_with(".bentley.com") && (host.starts_with("ims") || host.starts_with("qa-ims"))
        })
}

/// True for a page that asks for a login, where any data was expected.
fn is_login_page(url: &Url, body: &[u8]) -> bool {
    if is_login_address(url.as_str()) {
        return true;
    }
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    [
        "/ims/account/login",
        "type=\"password\"",
        "sign in",
        "signin",
        "log in",
        "login",
    ]
    .iter()
    .any(|mark| text.contains(mark))
}

/// Server text fit for one line: no control or direction characters, at most 300 characters.
pub(in crate::remote) fn bounded(text: &str) -> String {
    /// Enough for any message seen; a stack trace in a message is cut.
    const LONGEST: usize = 300;
    let mut clean = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            clean.push('…');
            break;
        }
        clean.push(match character {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            character if character.is_control() => ' ',
            character => character,
        });
    }
    clean.trim().to_owned()
}

/// The text of an element, with the five XML entities decoded.
fn xml_child(xml: &str, name: &str) -> Option<String> {
    let open = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let close = open + xml.get(open..)?.find(&format!("</{name}>"))?;
    let text = xml.get(open..close)?;
    Some(
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
        failure_at("https://h/ws/v2.8/Repositories/x", status, headers, body)
    }

    fn failure_at(url: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
        Failure::of(&Answer {
            status,
            url: &Url::parse(url).unwrap(),
            header: &|name| {
                headers
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| (*value).to_owned())
            },
            retry_after: Some(Duration::from_secs(7)),
            body: body.as_bytes(),
            what: "folder X",
        })
    }

    fn name(error: &RemoteError) -> &'static str {
        match error {
            RemoteError::NotFound { .. } => "NotFound",
            RemoteError::Denied { .. } => "Denied",
            RemoteError::LoginRequired(_) => "LoginRequired",
            RemoteError::SecretRequired(_) => "SecretRequired",
            RemoteError::LockedOut(_) => "LockedOut",
            RemoteError::Throttled { .. } => "Throttled",
            RemoteError::Unreachable(_) => "Unreachable",
            RemoteError::TimedOut(_) => "TimedOut",
            RemoteError::Server(_) => "Server",
            RemoteError::Protocol(_) => "Protocol",
        }
    }

    #[test]
    fn every_error_id_has_its_meaning() {
        for (status, id, expected, refusal) in [
            (404, "InstanceNotFound", "NotFound", Refusal::None),
            (404, "ObjectNotFound", "NotFound", Refusal::None),
            (404, "FileNotFound", "NotFound", Refusal::None),
            (404, "DatasourceNotFound", "Server", Refusal::Login),
            (404, "RepositoryNotFound", "Server", Refusal::None),
            (404, "ClassNotFound", "Protocol", Refusal::None),
            (404, "SchemaNotFound", "Protocol", Refusal::None),
            (400, "PropertyNotFound", "Protocol", Refusal::None),
            (400, "LinkTypeNotFound", "Protocol", Refusal::None),
            (400, "NotSupported", "Protocol", Refusal::None),
            (403, "NotEnoughRights", "Denied", Refusal::Rights),
            (500, "NotEnoughRights", "Denied", Refusal::Rights),
            (500, "LoginFailed", "LoginRequired", Refusal::Login),
            (403, "SslRequired", "Protocol", Refusal::None),
            (500, "NoClientLicense", "Denied", Refusal::None),
            (500, "NoServerLicense", "Denied", Refusal::None),
            (401, "TooManyBadLoginAttempts", "LockedOut", Refusal::None),
            (401, "toomanybadloginattempts", "LockedOut", Refusal::None),
        ] {
            let failure = failure(
                status,
                &[],
                &format!(r#"{{"errorId":"{id}","errorMessage":"m","errorDescription":null}}"#),
            );
            assert_eq!(
                (name(&failure.error), failure.refusal),
                (expected, refusal),
                "{status} {id}"
            );
        }
    }

    #[test]
    fn a_status_without_an_error_id_never_means_that_something_is_gone() {
        for (status, expected, refusal) in [
            (304, "Protocol", Refusal::None),
            (302, "Protocol", Refusal::Login),
            (400, "Protocol", Refusal::None),
            (401, "LoginRequired", Refusal::Login),
            (403, "Denied", Refusal::Rights),
            (404, "Protocol", Refusal::None),
            (407, "Unreachable", Refusal::None),
            (408, "TimedOut", Refusal::None),
            (409, "Server", Refusal::None),
            (410, "Protocol", Refusal::None),
            (429, "Throttled", Refusal::None),
            (500, "Server", Refusal::None),
            (503, "Server", Refusal::None),
            (504, "TimedOut", Refusal::None),
        ] {
            for body in [
                "",
                "<html><h1>Server Error</h1></html>",
                r#"{"errorId":null}"#,
                r#"{"errorId":"Brandnew","x":1}"#,
                "[]",
            ] {
                let failure = failure(status, &[], body);
                assert_eq!(
                    (name(&failure.error), failure.refusal),
                    (expected, refusal),
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn xml_errors_of_old_servers_are_read() {
        let failure = failure(
            404,
            &[],
            r#"<ModelError xmlns="http://schemas.datacontract.org/2004/07/Bentley.Mas.WebApi.Models">
               <errorId>InstanceNotFound</errorId><errorMessage>a &lt;b&gt; &amp;lt;</errorMessage></ModelError>"#,
        );
        assert_eq!(name(&failure.error), "NotFound");
        assert!(
            failure.error.to_string().contains("a <b> &lt;"),
            "{}",
            failure.error
        );
    }

    #[test]
    fn login_pages_are_recognised_and_other_pages_are_not_logins() {
        let page = failure_at(
            "https://ims.bentley.com/IMS/Account/Login?x=1",
            200,
            &[],
            "<html>",
        );
        assert_eq!(
            (name(&page.error), page.refusal),
            ("LoginRequired", Refusal::Login)
        );
        let page = failure(200, &[], "<html><form><input type=\"password\"></form>");
        assert_eq!(
            (name(&page.error), page.refusal),
            ("LoginRequired", Refusal::Login)
        );
        let page = failure(200, &[], "<html>Welcome to the hotel's network</html>");
        assert_eq!((name(&page.error), page.refusal), ("Protocol", Refusal::Login));
        let moved = failure(302, &[("Location", "https://ims.bentley.com/x")], "");
        assert_eq!(
            (name(&moved.error), moved.refusal),
            ("LoginRequired", Refusal::Login)
        );
        assert!(!is_login_address("https://imsomething.example/x"));
    }

    #[test]
    fn the_message_is_bounded_clean_and_carries_the_request_id() {
        let body = format!(
            r#"{{"errorId":"NotEnoughRights","errorMessage":"no\u001b[31m\u202erights\n{}"}}"#,
            "x".repeat(2000)
        );
        let text = failure(403, &[("Mas-Request-Id", "abc-1")], &body)
            .error
            .to_string();
        assert!(
            text.contains("folder X")
                && text.contains("NotEnoughRights")
                && text.contains("request id abc-1")
        );
        assert!(text.chars().count() < 500, "{}", text.len());
        assert!(
            !text
                .chars()
                .any(|character| character.is_control() || character == '\u{202e}'),
            "{text:?}"
        );
    }

    #[test]
    fn a_challenge_tells_of_a_missing_scope_and_what_the_body_leaves_out() {
        let challenge = r#"Bearer error="insufficient_scope", error_description="projectwise:read""#;
        for body in ["", r#"{"errorId":"NotEnoughRights"}"#] {
            let failure = failure(403, &[("www-authenticate", challenge)], body);
            assert_eq!(
                (name(&failure.error), failure.refusal),
                ("Denied", Refusal::Rights)
            );
            let origin = failure.error.detail().origin();
            assert!(
                matches!(origin, Origin::Wsg(Problem::InsufficientScope)),
                "{origin:?}"
            );
        }
        let challenge = r#"Bearer error="invalid_token", error_description="wrong audience""#;
        let error = failure(401, &[("WWW-Authenticate", challenge)], "").error;
        assert!(error.to_string().contains("wrong audience"), "{error}");
        let error = failure(401, &[("WWW-Authenticate", r#"Basic realm="x""#)], "").error;
        assert!(!error.to_string().contains("realm"), "{error}");
    }

    #[test]
    fn the_origin_tells_which_failure_it_was() {
        for (id, kind) in ErrorId::ALL {
            let failure = failure(500, &[], &format!(r#"{{"errorId":"{id}"}}"#));
            let detail = failure.error.detail();
            assert!(
                matches!(detail.origin(), Origin::Wsg(Problem::Said(said)) if *said == kind),
                "{id}"
            );
            assert!(failure.error.to_string().contains(id));
        }
        let gone = failure(404, &[("Request-Id", "r-9")], "").error;
        assert!(matches!(gone.detail().origin(), Origin::Wsg(Problem::NotFound)));
        assert_eq!(gone.detail().request_id(), Some("r-9"));
        let auth = RemoteError::from(Failure::from(AuthError::Store("locked".into())));
        assert!(matches!(
            auth.detail().origin(),
            Origin::Auth(AuthError::Store(_))
        ));
    }

    #[test]
    fn the_wait_of_a_429_is_kept() {
        let failure = failure(429, &[], "");
        assert!(
            matches!(failure.error, RemoteError::Throttled { retry_after: Some(wait), .. } if wait.as_secs() == 7)
        );
    }
}
