//! The JSON of the iTwin Platform, as far as it is read.
//!
//! Names are compared without case throughout: scripts that work read `iTwins` and `itwins`, `Url` and `url`
//! (projectwise-api 2.2, 2.3). A list that is not there is an error; it would read as "you have none".

use serde_json::{Map, Value};

use super::{Connection, ITwin};
use crate::remote::link::DatasourceLink;
use crate::remote::wsg::WsgAddress;

/// A page of iTwins.
pub(super) struct ITwinPage {
    pub(super) rows: Vec<ITwin>,
    /// True where it names a next page.
    pub(super) has_next: bool,
}

/// A page of connections.
pub(super) struct ConnectionPage {
    pub(super) rows: Vec<Connection>,
    pub(super) next: Option<Next>,
}

/// How the next page is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// With this `continuationToken`.
    Token(String),
    /// At this address.
    Link(String),
}

/// Reads a page of `/itwins`; `Err` says what is wrong with it.
pub(super) fn itwins(body: &[u8]) -> Result<ITwinPage, String> {
    let page = object(body)?;
    let rows = list(&page, &["iTwins", "value", "items"])?;
    let rows = rows.iter().map(|row| {
        let id = text(row, &["id"]).filter(|id| !id.is_empty());
        Ok(ITwin {
            id: id.ok_or("an iTwin without an id")?,
            name: text(row, &["displayName", "name"]).unwrap_or_default(),
            number: text(row, &["number"]).unwrap_or_default(),
        })
    });
    let next = member_of(&page, &["_links"]).and_then(|links| member(links, &["next"]));
    Ok(ITwinPage {
        has_next: next.is_some(),
        rows: rows.collect::<Result<_, String>>()?,
    })
}

/// Reads a page of work-area connections; `Err` says what is wrong with it.
pub(super) fn connections(body: &[u8]) -> Result<ConnectionPage, String> {
    let page = object(body)?;
    let rows = list(&page, &["items", "value", "connections"])?;
    let next = word(&page, &["nextPageToken", "continuationToken"]).map(Next::Token);
    let next = next.or_else(|| word(&page, &["@odata.nextLink", "nextLink"]).map(Next::Link));
    Ok(ConnectionPage {
        rows: rows.iter().map(connection).collect(),
        next,
    })
}

fn connection(row: &Value) -> Connection {
    let says = |names: &[&str]| text(row, names).unwrap_or_default();
    Connection {
        id: says(&["id", "connectionId"]),
        name: says(&["displayName", "name"]),
        description: says(&["description"]),
        work_area: says(&["workAreaName", "workArea"]),
        kind: says(&["type", "connectionType"]),
        primary: member(row, &["isPrimary", "primary"]).is_some_and(is_true),
        address: address(row),
    }
}

/// The address of the folder. Which field holds it is not proven: one that is named like an address goes first, then any
/// text that is one.
fn address(row: &Value) -> Option<WsgAddress> {
    let fields = row.as_object()?;
    let is_named_so = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["url", "uri", "href"].iter().any(|word| name.contains(word))
    };
    let (first, then): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| is_named_so(name));
    first
        .into_iter()
        .chain(then)
        .filter_map(|(_, value)| value.as_str())
        // A text that may be any other thing, such as a name with a colon, must not pass for an address.
        .filter(|text| text.to_ascii_lowercase().starts_with("http"))
        .find_map(|text| match DatasourceLink::parse(text) {
            Ok(DatasourceLink::Wsg(address)) if address.repository.is_some() => Some(address),
            Ok(_) | Err(_) => None,
        })
}

/// A page, or what is wrong with it.
fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    match serde_json::from_slice(body) {
        Ok(Value::Object(page)) => Ok(page),
        Ok(Value::Array(rows)) => Ok(Map::from_iter([("items".to_owned(), Value::Array(rows))])),
        Ok(_) => Err("it is not a page of the iTwin Platform".to_owned()),
        Err(error) => Err(format!("it is not the JSON of the iTwin Platform: {error}")),
    }
}

fn list<'a>(page: &'a Map<String, Value>, names: &[&str]) -> Result<&'a Vec<Value>, String> {
    member_of(page, names)
        .and_then(Value::as_array)
        .ok_or_else(|| format!("it holds none of the lists {}", names.join(", ")))
}

/// The first of `names` that is there and not null.
fn member_of<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| {
        let mut members = object.iter();
        let (_, value) = members.find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null())?;
        Some(value)
    })
}

/// As [`member_of`], of what may be no object.
pub(super) fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    member_of(value.as_object()?, names)
}

/// A member that is text, or a number in its place.
pub(super) fn text(value: &Value, names: &[&str]) -> Option<String> {
    match member(value, names)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A member that is text and not empty, exactly as it is.
fn word(page: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let text = member_of(page, names)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        Value::Number(number) => number.as_i64() == Some(1),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}
