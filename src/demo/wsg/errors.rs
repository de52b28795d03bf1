//! The gateway's errors: every id, the status it comes with, and the four ways of writing one (fact sheet 1.8).
//!
//! Whoever finds an error writes it as JSON ([`Reply::error`]); [`shaped`] rewrites it on the way out as the knob
//! `errors` says, so that no answer can forget to.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Value as Json, json};

use crate::demo::fault::{Effect, Fault};
use crate::demo::knobs::{Errors, Knobs, NoRights};
use crate::demo::reply::Reply;
use crate::demo::traffic::RequestKind;

/// Every `errorId` there is and its status. The fact sheet names 401, 404, 409 and 500 for some; 403 for rights and
/// SSL, 401 for a locked account and 405 for what is not supported are this server's choice (fact sheet 7.11).
const TABLE: [(&str, StatusCode); 19] = [
    ("LoginFailed", StatusCode::UNAUTHORIZED),
    ("SslRequired", StatusCode::FORBIDDEN),
    ("NotEnoughRights", StatusCode::FORBIDDEN),
    ("DatasourceNotFound", StatusCode::NOT_FOUND),
    ("RepositoryNotFound", StatusCode::NOT_FOUND),
    ("SchemaNotFound", StatusCode::NOT_FOUND),
    ("ClassNotFound", StatusCode::NOT_FOUND),
    ("PropertyNotFound", StatusCode::NOT_FOUND),
    ("LinkTypeNotFound", StatusCode::NOT_FOUND),
    ("ObjectNotFound", StatusCode::NOT_FOUND),
    ("InstanceNotFound", StatusCode::NOT_FOUND),
    ("FileNotFound", StatusCode::NOT_FOUND),
    ("NotSupported", StatusCode::METHOD_NOT_ALLOWED),
    ("NoServerLicense", StatusCode::INTERNAL_SERVER_ERROR),
    ("NoClientLicense", StatusCode::INTERNAL_SERVER_ERROR),
    ("TooManyBadLoginAttempts", StatusCode::UNAUTHORIZED),
    ("ServerError", StatusCode::INTERNAL_SERVER_ERROR),
    ("BadRequest", StatusCode::BAD_REQUEST),
    ("Conflict", StatusCode::CONFLICT),
];

/// Where the XML of errors belongs (fact sheet 1.8).
const NAMESPACE: &str = "http://schemas.datacontract.org/2004/07/Bentley.Mas.WebApi.Models";

/// The status an `errorId` comes with; `None` for an id there is not.
pub(in crate::demo) fn status_of(id: &str) -> Option<StatusCode> {
    let mut rows = TABLE.iter();
    rows.find(|(known, _)| *known == id).map(|(_, status)| *status)
}

/// An error with the status of its id; an id that is not in the table is a server error.
pub(in crate::demo) fn error(id: &str, message: &str) -> Reply {
    let status = status_of(id).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply::error(status, id, message)
}

const NO_RIGHTS: &str = "You do not have enough rights for this operation.";

/// What an object answers that the account may see but not use.
pub(super) fn no_rights(knobs: &Knobs) -> Reply {
    match knobs.no_rights {
        NoRights::Forbidden => forbidden(),
        NoRights::Unauthorized => Reply::error(StatusCode::UNAUTHORIZED, "NotEnoughRights", NO_RIGHTS),
        NoRights::NotFound => no_instance(),
    }
}

/// What a folder answers that may not be listed, where it answers so.
pub(super) fn forbidden() -> Reply {
    error("NotEnoughRights", NO_RIGHTS)
}

/// What an object answers that is not there.
pub(super) fn no_instance() -> Reply {
    error("InstanceNotFound", "Requested instance is not available.")
}

/// The same error, written as the knob says; anything else stays as it is.
pub(super) fn shaped(reply: Reply, knobs: &Knobs) -> Reply {
    let failed = reply.status.is_client_error() || reply.status.is_server_error();
    if !failed || knobs.errors == Errors::Json {
        return reply;
    }
    let Some(envelope) = Envelope::read(&reply) else {
        return reply;
    };
    let (text, media_type) = match knobs.errors {
        Errors::Json => return reply,
        Errors::Xml => (envelope.xml(), "application/xml; charset=utf-8"),
        Errors::Html => (page(reply.status), "text/html"),
        Errors::Nulls => {
            let nulls = json!({ "errorId": null, "errorMessage": null, "errorDescription": null });
            (nulls.to_string(), "application/json; charset=utf-8")
        }
    };
    let mut reply = reply.with(CONTENT_TYPE, media_type);
    reply.body = text.into();
    reply
}

/// The three fields of an error.
struct Envelope {
    id: String,
    message: Option<String>,
    description: Option<String>,
}

impl Envelope {
    /// Reads it from the JSON it was first written as; `None` for a reply that is no error of the gateway.
    fn read(reply: &Reply) -> Option<Self> {
        let json: Json = serde_json::from_slice(&reply.body.whole()).ok()?;
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        Some(Self {
            id: text("errorId")?,
            message: text("errorMessage"),
            description: text("errorDescription"),
        })
    }

    fn xml(&self) -> String {
        let element = |name: &str, text: Option<&str>| match text {
            Some(text) => format!("<{name}>{}</{name}>", escaped(text)),
            None => format!("<{name} i:nil=\"true\"/>"),
        };
        format!(
            "<ModelError xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns=\"{NAMESPACE}\">{}{}{}</ModelError>",
            element("errorDescription", self.description.as_deref()),
            element("errorId", Some(&self.id)),
            element("errorMessage", self.message.as_deref()),
        )
    }
}

/// Text as it stands in XML.
pub(in crate::demo) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// The page of a web server that replaces what its applications say: no id, no words of theirs.
fn page(status: StatusCode) -> String {
    let (title, words) = match status.as_u16() {
        401 => (
            "Unauthorized: Access is denied due to invalid credentials.",
            "You do not have permission to view this directory or page using the credentials that you supplied.",
        ),
        403 => (
            "Forbidden: Access is denied.",
            "You do not have permission to view this directory or page using the credentials that you supplied.",
        ),
        404 => (
            "File or directory not found.",
            "The resource you are looking for might have been removed, had its name changed, or is temporarily unavailable.",
        ),
        405 => (
            "HTTP verb used to access this page is not allowed.",
            "The page you are looking for cannot be displayed because an invalid method (HTTP verb) was used to attempt access.",
        ),
        500.. => (
            "Internal server error.",
            "There is a problem with the resource you are looking for, and it cannot be displayed.",
        ),
        _ => (
            "Bad Request",
            "The request could not be understood by the server.",
        ),
    };
    let code = status.as_u16();
    format!(
        "<!DOCTYPE html>\r\n<html>\r\n<head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=iso-8859-1\"/>\r\n\
         <title>{code} - {title}</title>\r\n</head>\r\n<body>\r\n<div id=\"header\"><h1>Server Error</h1></div>\r\n\
         <div id=\"content\">\r\n<h2>{code} - {title}</h2>\r\n<h3>{words}</h3>\r\n</div>\r\n</body>\r\n</html>\r\n"
    )
}

impl Fault {
    /// Every request of a kind answers this `errorId` with the status it has in the table.
    pub fn error(kind: RequestKind, id: &str) -> Self {
        let status = status_of(id).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let effect = Effect::Status {
            code: status.as_u16(),
            error_id: Some(id.to_owned()),
            retry_after: None,
        };
        Self::on(kind, effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(errors: Errors, reply: Reply) -> Reply {
        let knobs = Knobs {
            errors,
            ..Knobs::default()
        };
        shaped(reply, &knobs)
    }

    #[test]
    fn xml_carries_what_json_would_and_escapes_it() {
        let reply = shape(Errors::Xml, error("FileNotFound", "no <file> & \"no\" name"));
        let text = String::from_utf8(reply.body.whole().to_vec()).unwrap();
        assert!(text.starts_with("<ModelError "), "{text}");
        assert!(text.contains("<errorId>FileNotFound</errorId>"), "{text}");
        assert!(
            text.contains("no &lt;file&gt; &amp; &quot;no&quot; name"),
            "{text}"
        );
        assert!(text.contains("<errorDescription i:nil=\"true\"/>"), "{text}");
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_is_no_error_of_the_gateway_is_left_alone() {
        for reply in [
            Reply::json(StatusCode::OK, &json!({ "errorId": "x" })),
            Reply::empty(StatusCode::BAD_GATEWAY),
        ] {
            let before = reply.body.clone();
            assert_eq!(shape(Errors::Html, reply).body, before);
        }
    }
}
