//! The query string of a listing: `$select`, `$filter`, `$orderby`, `$top`, `$skip` and the `api.*` options.

use std::cmp::Ordering;

use crate::model::Guid;

use super::filter::{Column, Filter};
use super::rows::{Class, Row, Value};

/// The query cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error("The property '{0}' does not exist in the class.")]
    PropertyNotFound(String),
    #[error("The query is malformed: {0}.")]
    Malformed(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Select {
    #[default]
    All,
    These(Vec<&'static str>),
}

/// What a listing or an object request asks for. `$count` and unknown `api.*` options are ignored: what real
/// servers do with them is not known (fact sheet 7.6).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Query {
    pub(super) select: Select,
    /// `$select` asks for the parent folder as a related instance.
    pub(super) with_parent: bool,
    pub(super) filter: Option<Filter>,
    order: Vec<(&'static str, Direction)>,
    pub(super) top: Option<u64>,
    pub(super) skip: Option<u64>,
    /// Only what lies anywhere below this folder.
    pub(super) ancestor: Option<Guid>,
    pub(super) ignore_case: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Query {
    /// Reads a query string, still percent-encoded.
    pub(super) fn parse(class: Class, text: &str) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match key.to_ascii_lowercase().as_str() {
                "$select" => query.read_select(class, &value)?,
                "$filter" => query.filter = Some(Filter::parse(class, &value)?),
                "$orderby" => query.order = order(class, &value)?,
                "$top" => query.top = Some(number(&key, &value)?),
                "$skip" => query.skip = Some(number(&key, &value)?),
                "api.filtersettings" => {
                    query.ignore_case = value.eq_ignore_ascii_case("CaseInsensitive");
                }
                "api.ancestor" => query.ancestor = Some(ancestor(&value)?),
                _ => {}
            }
        }
        Ok(query)
    }

    fn read_select(&mut self, class: Class, text: &str) -> Result<(), QueryError> {
        let mut names = Vec::new();
        let mut all = false;
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let parent = format!("{}-forward-Project.", class.parent_relationship());
            if item == "*" {
                all = true;
            } else if item == "$id" {
                // Instance ids are always written.
            } else if item.starts_with(&parent) {
                self.with_parent = true;
            } else {
                let known = class.property(item);
                let known = known.ok_or_else(|| QueryError::PropertyNotFound(item.to_owned()))?;
                names.push(known);
            }
        }
        if !all {
            self.select = Select::These(names);
        }
        Ok(())
    }

    /// Sorts rows as asked; the server's own order breaks ties.
    pub(super) fn sort(&self, rows: &mut [Row<'_>]) {
        if self.order.is_empty() {
            return;
        }
        rows.sort_by(|a, b| {
            let orders = self.order.iter().map(|(property, direction)| {
                let order = compare(&a.value(property), &b.value(property));
                match direction {
                    Direction::Up => order,
                    Direction::Down => order.reverse(),
                }
            });
            orders.fold(Ordering::Equal, Ordering::then)
        });
    }
}

/// The column check of `$orderby`; only own properties can be sorted by.
fn order(class: Class, text: &str) -> Result<Vec<(&'static str, Direction)>, QueryError> {
    let mut order = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (name, direction) = match item.split_once(' ') {
            Some((name, "desc")) => (name, Direction::Down),
            Some((name, "asc")) => (name, Direction::Up),
            Some(_) => return Err(QueryError::Malformed(format!("$orderby: {item}"))),
            None => (item, Direction::Up),
        };
        let property = match class.property(name) {
            Some(property) => property,
            None if Column::named(class, name) == Ok(Column::Id) => "$id",
            None => return Err(QueryError::PropertyNotFound(name.to_owned())),
        };
        order.push((property, direction));
    }
    Ok(order)
}

/// Absent values come first; values of one property are of one kind.
fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Id(a), Value::Id(b)) => a.cmp(b),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

fn number(key: &str, value: &str) -> Result<u64, QueryError> {
    value
        .parse()
        .map_err(|_| QueryError::Malformed(format!("{key}={value}")))
}

/// Both spellings seen: `Project-{guid}` and `PW_WSG.Project={guid}`.
fn ancestor(text: &str) -> Result<Guid, QueryError> {
    let guid = text
        .strip_prefix("Project-")
        .or_else(|| text.strip_prefix("PW_WSG.Project="));
    guid.and_then(|guid| guid.parse().ok())
        .ok_or_else(|| QueryError::Malformed(format!("api.ancestor={text}")))
}
