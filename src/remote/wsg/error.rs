//! What a gateway's refusals mean: the only table from (status, headers, body) to [`RemoteError`].
//!
//! Facts: projectwise-api 1.8. A missing object is only what the server calls one by its errorId: a bare 404 is
//! as often a wrong URL, a proxy or a stopped service, and must never read as "deleted".

use std::time::Duration;

use url::Url;

use crate::auth::AuthError;
use crate::http::HttpError;
use crate::remote::RemoteError;

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

/// The errorId values of WSG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorId {
    LoginFailed,
    SslRequired,
    NotEnoughRights,
    DatasourceNotFound,
    RepositoryNotFound,
    SchemaNotFound,
    ClassNotFound,
    PropertyNotFound,
    LinkTypeNotFound,
    ObjectNotFound,
    InstanceNotFound,
    FileNotFound,
    NotSupported,
    NoServerLicense,
    NoClientLicense,
    TooManyBadLoginAttempts,
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
        Self::new(RemoteError::Protocol(detail.into()))
    }

    /// Somebody the gateway relies on failed.
    pub(super) fn server(detail: impl Into<String>) -> Self {
        Self::new(RemoteError::Server(detail.into()))
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
        let detail = said.detail(answer);
        let what = answer.what.to_owned();
        let (error, refusal) = match said.kind {
            Some(kind) => Self::by_kind(kind, what, detail),
            None => Self::by_status(answer, what, detail),
        };
        Self {
            error,
            refusal,
            kind: said.kind,
            status: answer.status,
        }
    }

    fn by_kind(kind: ErrorId, what: String, detail: String) -> (RemoteError, Refusal) {
        match kind {
            ErrorId::LoginFailed => (RemoteError::LoginRequired(detail), Refusal::Login),
            ErrorId::NotEnoughRights => (RemoteError::Denied { what, detail }, Refusal::Rights),
            // An expired token may look like this (Bentley's client refreshes here, too). What remains after that
            // is a wrong URL or a server out of order, not a missing folder.
            ErrorId::DatasourceNotFound => (
                RemoteError::Server(format!("it knows no such datasource ({detail})")),
                Refusal::Login,
            ),
            ErrorId::RepositoryNotFound => (
                RemoteError::Server(format!("it knows no such datasource ({detail})")),
                Refusal::None,
            ),
            ErrorId::ObjectNotFound | ErrorId::InstanceNotFound | ErrorId::FileNotFound => {
                (RemoteError::NotFound { what, detail }, Refusal::None)
            }
            ErrorId::SchemaNotFound
            | ErrorId::ClassNotFound
            | ErrorId::PropertyNotFound
            | ErrorId::LinkTypeNotFound
            | ErrorId::NotSupported => (
                RemoteError::Protocol(format!("it does not know a query for {what} ({detail})")),
                Refusal::None,
            ),
            ErrorId::SslRequired => (
                RemoteError::Protocol(format!("it wants https ({detail})")),
                Refusal::None,
            ),
            ErrorId::NoServerLicense | ErrorId::NoClientLicense => (
                RemoteError::Denied {
                    what,
                    detail: format!("no ProjectWise licence: {detail}"),
                },
                Refusal::None,
            ),
            ErrorId::TooManyBadLoginAttempts => (RemoteError::LockedOut(detail), Refusal::None),
        }
    }

    fn by_status(answer: &Answer<'_>, what: String, detail: String) -> (RemoteError, Refusal) {
        match answer.status {
            // A page where JSON was asked for: most often the login page behind a redirect.
            200..=299 if is_login_page(answer.url, answer.body) => {
                (RemoteError::LoginRequired(detail), Refusal::Login)
            }
            200..=299 => (
                RemoteError::Protocol(format!("a page came where data was asked for ({detail})")),
                Refusal::Login,
            ),
            300..=399 if (answer.header)("Location").is_some_and(|target| is_login_address(&target)) => {
                (RemoteError::LoginRequired(detail), Refusal::Login)
            }
            // Another organisation's login page, perhaps: worth another token, not worth calling it a login.
            302 | 303 => (
                RemoteError::Protocol(format!("it redirects to another page ({detail})")),
                Refusal::Login,
            ),
            401 => (RemoteError::LoginRequired(detail), Refusal::Login),
            403 => (RemoteError::Denied { what, detail }, Refusal::Rights),
            407 => (
                RemoteError::Unreachable(format!("the proxy wants a login ({detail})")),
                Refusal::None,
            ),
            408 | 504 => (RemoteError::TimedOut(detail), Refusal::None),
            429 => (
                RemoteError::Throttled {
                    retry_after: answer.retry_after,
                },
                Refusal::None,
            ),
            409 | 500..=599 => (RemoteError::Server(detail), Refusal::None),
            // 400, a 404 without an errorId, a 304 nobody asked for, and whatever else there is.
            _ => (
                RemoteError::Protocol(format!("unexpected answer for {what} ({detail})")),
                Refusal::None,
            ),
        }
    }
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::new(match error {
            HttpError::Unreachable(detail)
            | HttpError::Tls(detail)
            | HttpError::Certificate(detail)
            | HttpError::Proxy(detail)
            | HttpError::Settings(detail) => RemoteError::Unreachable(detail),
            HttpError::TimedOut(detail) => RemoteError::TimedOut(detail),
            HttpError::TooLarge(detail) | HttpError::Redirect(detail) | HttpError::Protocol(detail) => {
                RemoteError::Protocol(detail)
            }
        })
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::new(match error {
            AuthError::LoginRequired(detail) => RemoteError::LoginRequired(detail),
            // The login may be fine: a full disk or a locked keyring is no reason to log in again.
            AuthError::Store(detail) => {
                RemoteError::Server(format!("nothing was asked, the credential store fails: {detail}"))
            }
            AuthError::SecretRequired(detail) => RemoteError::SecretRequired(detail),
            AuthError::LockedOut(words) => RemoteError::LockedOut(words),
            AuthError::Unreachable(HttpError::TimedOut(detail)) => {
                RemoteError::TimedOut(format!("identity provider: {detail}"))
            }
            AuthError::Unreachable(error) => RemoteError::Unreachable(format!("identity provider: {error}")),
            AuthError::Protocol(detail) => RemoteError::Protocol(format!("identity provider: {detail}")),
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

    /// One line for people: status, the server's words, its request id.
    fn detail(&self, answer: &Answer<'_>) -> String {
        let mut detail = format!("status {}", answer.status);
        for part in [&self.id, &self.message] {
            if !part.is_empty() {
                detail.push_str(": ");
                detail.push_str(&bounded(part));
            }
        }
        if let Some(id) = request_id(answer.header) {
            detail.push_str(", request id ");
            detail.push_str(&id);
        }
        detail
    }
}

impl ErrorId {
    fn parse(text: &str) -> Option<Self> {
        const ALL: [(&str, ErrorId); 16] = [
            ("LoginFailed", ErrorId::LoginFailed),
            ("SslRequired", ErrorId::SslRequired),
            ("NotEnoughRights", ErrorId::NotEnoughRights),
            ("DatasourceNotFound", ErrorId::DatasourceNotFound),
            ("RepositoryNotFound", ErrorId::RepositoryNotFound),
            ("SchemaNotFound", ErrorId::SchemaNotFound),
            ("ClassNotFound", ErrorId::ClassNotFound),
            ("PropertyNotFound", ErrorId::PropertyNotFound),
            ("LinkTypeNotFound", ErrorId::LinkTypeNotFound),
            ("ObjectNotFound", ErrorId::ObjectNotFound),
            ("InstanceNotFound", ErrorId::InstanceNotFound),
            ("FileNotFound", ErrorId::FileNotFound),
            ("NotSupported", ErrorId::NotSupported),
            ("NoServerLicense", ErrorId::NoServerLicense),
            ("NoClientLicense", ErrorId::NoClientLicense),
            ("TooManyBadLoginAttempts", ErrorId::TooManyBadLoginAttempts),
        ];
        ALL.iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text.trim()))
            .map(|(_, kind)| *kind)
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
    fn the_wait_of_a_429_is_kept() {
        let failure = failure(429, &[], "");
        assert!(
            matches!(failure.error, RemoteError::Throttled { retry_after: Some(wait) } if wait.as_secs() == 7)
        );
    }
}
