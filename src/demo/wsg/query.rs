//! The query string of a listing: `$select`, `$filter`, `$orderby`, `$top`, `$skip`, `$count` and the `api.*` options.
//!
//! [`Query`] is what was written; [`Plan`] is what it means for a class of this datasource.

use std::cmp::Ordering;

use crate::demo::knobs::{Ancestor, Count, Knobs, OrderBy};
use crate::model::Guid;

use super::classes::{Class, ID, Property};
use super::filter::Filter;
use super::matching::{Binding, Bound, Matcher};
use super::path::Path;
use super::rows::{Row, Value};
use super::scene::Scene;

/// The query cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error("The property '{0}' does not exist in the class.")]
    PropertyNotFound(String),
    #[error("The query is malformed: {0}.")]
    Malformed(String),
}

/// What a listing or an object request asks for, as written. Unknown parameters are ignored.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Query {
    select: Option<Vec<Path>>,
    pub(super) filter: Option<Filter>,
    order: Vec<(String, Direction)>,
    pub(super) top: Option<u64>,
    pub(super) skip: Option<u64>,
    count: Option<bool>,
    ancestor: Option<String>,
    ignore_case: bool,
    /// Relationships the filter follows are written too.
    filtered_relationships: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

impl Query {
    /// Reads a query string, still percent-encoded.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let pairs: Vec<_> = url::form_urlencoded::parse(text.as_bytes()).collect();
        let alias = |name: &str| {
            let found = pairs.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone().into_owned())
        };
        let mut query = Self::default();
        for (key, value) in &pairs {
            match key.to_ascii_lowercase().as_str() {
                "$select" => query.select = Some(select(value)?),
                "$filter" => query.filter = Some(Filter::parse(value, &alias)?),
                "$orderby" => query.order = order(value)?,
                "$top" => query.top = Some(number(key, value)?),
                "$skip" => query.skip = Some(number(key, value)?),
                "$count" => query.count = Some(!value.eq_ignore_ascii_case("false")),
                "api.filtersettings" => {
                    query.ignore_case = value.eq_ignore_ascii_case("CaseInsensitive");
                }
                "api.selectsettings" => {
                    query.filtered_relationships =
                        value.eq_ignore_ascii_case("IncludeRelationshipsNotInSelect");
                }
                "api.ancestor" => query.ancestor = Some(value.clone().into_owned()),
                _ => {}
            }
        }
        Ok(query)
    }

    /// The folder `api.ancestor` names, however it is spelled.
    pub(super) fn ancestor(&self) -> Option<Guid> {
        let (_, guid) = self.ancestor.as_deref().and_then(spelling)?;
        Some(guid)
    }

    /// What the listing is but for its pages: the same text, the same rows.
    pub(super) fn rows_key(&self) -> String {
        let filter = self.filter.as_ref().map(ToString::to_string);
        format!(
            "{filter:?} {:?} {:?} {}",
            self.order, self.ancestor, self.ignore_case
        )
    }
}

fn select(text: &str) -> Result<Vec<Path>, QueryError> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            item.parse()
                .map_err(|error| QueryError::Malformed(format!("$select: {error}")))
        })
        .collect()
}

fn order(text: &str) -> Result<Vec<(String, Direction)>, QueryError> {
    let items = text.split(',').map(|item| {
        let words: Vec<_> = item.split_whitespace().collect();
        match words.as_slice() {
            [name] | [name, "asc"] => Ok(((*name).to_owned(), Direction::Up)),
            [name, "desc"] => Ok(((*name).to_owned(), Direction::Down)),
            _ => Err(QueryError::Malformed(format!("$orderby: {item}"))),
        }
    });
    items.collect()
}

fn number(key: &str, value: &str) -> Result<u64, QueryError> {
    value
        .parse()
        .map_err(|_| QueryError::Malformed(format!("{key}={value}")))
}

/// Both spellings seen: `Project-{guid}` (true: with a dash) and `PW_WSG.Project={guid}`.
fn spelling(text: &str) -> Option<(bool, Guid)> {
    let (dash, guid) = match text.strip_prefix("Project-") {
        Some(guid) => (true, guid),
        None => (false, text.strip_prefix("PW_WSG.Project=")?),
    };
    Some((dash, guid.parse().ok()?))
}

/// What is written of an instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Selection {
    /// Every property of the instance's class.
    pub(super) all: bool,
    /// These properties, where not all.
    pub(super) own: Vec<&'static Property>,
    /// `Path.AbsolutePath`.
    pub(super) path: bool,
    pub(super) related: Vec<(Bound, Selection)>,
}

impl Selection {
    fn add(&mut self, class: Class, path: &Path, knobs: &Knobs) -> Result<(), QueryError> {
        let mut here = self;
        let mut class = class;
        for step in &path.steps {
            let bound = Bound::from(class, step)?;
            class = bound.class;
            let place = here.related.iter().position(|(known, _)| *known == bound);
            let place = place.unwrap_or_else(|| {
                here.related.push((bound, Self::default()));
                here.related.len() - 1
            });
            here = &mut here.related[place].1;
        }
        match path.property.as_str() {
            "*" => here.all = true,
            // Instance ids are always written.
            "$id" => {}
            "Path.AbsolutePath" if class == Class::Project || class.is_document() => here.path = true,
            name => {
                let property = class.property(name, knobs.properties);
                let property = property.ok_or_else(|| QueryError::PropertyNotFound(path.to_string()))?;
                if !here.own.contains(&property) {
                    here.own.push(property);
                }
            }
        }
        Ok(())
    }
}

/// What a query means for a class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) selection: Selection,
    matcher: Option<Matcher>,
    order: Vec<(&'static Property, Direction)>,
    /// Only what lies anywhere below this folder.
    pub(super) ancestor: Option<Guid>,
    /// The number of all rows is written.
    pub(super) count: bool,
    ignore_case: bool,
}

impl Plan {
    /// Finds what the query names, or what it names wrongly.
    pub(super) fn new(query: &Query, class: Class, knobs: &Knobs) -> Result<Self, QueryError> {
        let ignore_case = query.ignore_case || knobs.name_case;
        let binding = Binding {
            class,
            knobs,
            ignore_case,
        };
        let mut selection = Selection {
            all: query.select.is_none(),
            ..Selection::default()
        };
        for path in query.select.iter().flatten() {
            selection.add(class, path, knobs)?;
        }
        if query.filtered_relationships {
            for path in query.filter.iter().flat_map(Filter::paths) {
                let bare = Path {
                    property: "$id".to_owned(),
                    ..path.clone()
                };
                selection.add(class, &bare, knobs)?;
            }
        }
        let count = match (query.count, knobs.count) {
            (Some(_), Count::Refused) => return Err(QueryError::Malformed("$count".to_owned())),
            (wanted, Count::Property) => wanted == Some(true),
            (_, Count::Ignored | Count::Refused) => false,
        };
        Ok(Self {
            selection,
            matcher: query
                .filter
                .as_ref()
                .map(|filter| binding.filter(filter))
                .transpose()?,
            order: bind_order(&query.order, class, knobs)?,
            ancestor: match (&query.ancestor, class == Class::Project || class.is_document()) {
                (Some(text), true) => bind_ancestor(text, knobs.ancestor)?,
                (Some(_), false) | (None, _) => None,
            },
            count,
            ignore_case,
        })
    }

    /// True where the filter asks for this row.
    pub(super) fn holds(&self, scene: Scene<'_>, row: &Row<'_>) -> bool {
        let matcher = self.matcher.as_ref();
        matcher.is_none_or(|matcher| matcher.holds(scene, row, self.ignore_case))
    }

    /// True where `$orderby` says in which order rows come.
    pub(super) fn is_ordered(&self) -> bool {
        !self.order.is_empty()
    }

    /// The rows' identities, sorted as asked; the server's own order breaks ties.
    pub(super) fn sorted<'a>(&self, scene: Scene<'_>, rows: impl Iterator<Item = Row<'a>>) -> Vec<Guid> {
        if !self.is_ordered() {
            return rows.map(|row| row.guid()).collect();
        }
        let rows: Vec<_> = rows.collect();
        let keys = |row| -> Vec<Value<'_>> {
            let names = self.order.iter().map(|(property, _)| property.name);
            names.map(|name| Row::value(row, scene, name)).collect()
        };
        let mut keyed: Vec<_> = rows.iter().map(|row| (keys(row), row.guid())).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let orders = self.order.iter().zip(a.iter().zip(b));
            let orders = orders.map(|((_, direction), (a, b))| match direction {
                Direction::Up => compare(a, b),
                Direction::Down => compare(b, a),
            });
            orders.fold(Ordering::Equal, Ordering::then)
        });
        keyed.into_iter().map(|(_, guid)| guid).collect()
    }
}

/// The column check of `$orderby`; only own properties can be sorted by.
fn bind_order(
    order: &[(String, Direction)],
    class: Class,
    knobs: &Knobs,
) -> Result<Vec<(&'static Property, Direction)>, QueryError> {
    let bound = order.iter().map(|(name, direction)| {
        let property = class.property(name, knobs.properties);
        let property = property.ok_or_else(|| QueryError::PropertyNotFound(name.clone()))?;
        let allowed = match knobs.order_by {
            OrderBy::Any => true,
            OrderBy::Properties => property != ID,
            OrderBy::Name => property.name == "Name",
            OrderBy::Refused => false,
        };
        if allowed {
            Ok((property, *direction))
        } else {
            Err(QueryError::Malformed(format!("$orderby cannot name {name}")))
        }
    });
    bound.collect()
}

fn bind_ancestor(text: &str, knob: Ancestor) -> Result<Option<Guid>, QueryError> {
    let wrong = || QueryError::Malformed(format!("api.ancestor={text}"));
    let found = spelling(text);
    match knob {
        Ancestor::Ignored => Ok(None),
        Ancestor::Refused => Err(wrong()),
        Ancestor::Both => found.map(|(_, guid)| Some(guid)).ok_or_else(wrong),
        Ancestor::Dash => Ok(found.filter(|(dash, _)| *dash).map(|(_, guid)| guid)),
        Ancestor::Equals => Ok(found.filter(|(dash, _)| !*dash).map(|(_, guid)| guid)),
    }
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
