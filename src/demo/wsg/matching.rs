//! Filters bound to the properties a class really has, and their evaluation.

use std::cmp::Ordering;

use crate::demo::knobs::{Knobs, RootParent, RootPredicate};
use crate::model::{Guid, Timestamp};

use super::classes::{Class, Kind, Property};
use super::filter::{Filter, Function, Literal, Operator, time};
use super::path::{Path, Step, Way};
use super::query::QueryError;
use super::relations::Relation;
use super::rows::{Row, Value};
use super::scene::Scene;

/// A relationship that is there, followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) relation: Relation,
    pub(super) way: Way,
    pub(super) class: Class,
    pub(super) poly: bool,
}

impl Bound {
    /// Finds the relationship a step names, from this class.
    pub(super) fn from(class: Class, step: &Step) -> Result<Self, QueryError> {
        let way = step.way;
        let missing =
            || QueryError::PropertyNotFound(format!("{}-{}-{}", step.relationship, way.word(), step.class));
        let relation = Relation::named(&step.relationship).ok_or_else(missing)?;
        let to = Class::related(&step.class).ok_or_else(missing)?;
        if !relation.joins(class, way, to) {
            return Err(missing());
        }
        Ok(Self {
            relation,
            way,
            class: to,
            poly: step.poly,
        })
    }
}

/// What a comparison looks at.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// The folder the instance is in.
    Parent,
    Own(&'static Property),
    Related(Vec<Bound>, &'static Property),
}

/// A literal with everything it can be compared as.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    literal: Literal,
    guid: Option<Guid>,
    time: Option<Timestamp>,
    /// In lower case where case does not matter.
    text: Option<String>,
    /// It is how the server writes the parent of a root.
    root: bool,
}

/// A filter that can be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Matcher {
    And(Vec<Matcher>),
    Or(Vec<Matcher>),
    Never,
    Compare(Column, Operator, Operand),
    In(Column, Vec<Operand>),
    Call(Function, Column, Operand),
}

/// How filters are bound: to which class, on a server set how, with or without case.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) class: Class,
    pub(super) knobs: &'a Knobs,
    pub(super) ignore_case: bool,
}

impl Binding<'_> {
    /// Finds the properties a filter names.
    pub(super) fn filter(self, filter: &Filter) -> Result<Matcher, QueryError> {
        let all = |filters: &[Filter]| {
            filters
                .iter()
                .map(|one| self.filter(one))
                .collect::<Result<_, _>>()
        };
        Ok(match filter {
            Filter::And(filters) => Matcher::And(all(filters)?),
            Filter::Or(filters) => Matcher::Or(all(filters)?),
            Filter::Compare(path, operator, literal) => {
                let column = self.column(path)?;
                if column == Column::Parent && *literal == Literal::Null {
                    match self.knobs.root_predicate {
                        RootPredicate::Null => {}
                        RootPredicate::Nothing => return Ok(Matcher::Never),
                        RootPredicate::Refused => {
                            let reason = "$filter: ParentGuid cannot be compared with null";
                            return Err(QueryError::Malformed(reason.to_owned()));
                        }
                    }
                }
                Matcher::Compare(column, *operator, self.operand(literal))
            }
            Filter::In(path, literals) => {
                let operands = literals.iter().map(|literal| self.operand(literal));
                Matcher::In(self.column(path)?, operands.collect())
            }
            Filter::Call(function, path, literal) => {
                Matcher::Call(*function, self.column(path)?, self.operand(literal))
            }
        })
    }

    fn column(self, path: &Path) -> Result<Column, QueryError> {
        let missing = || QueryError::PropertyNotFound(path.to_string());
        let mut class = self.class;
        let mut steps = Vec::new();
        for step in &path.steps {
            let bound = Bound::from(class, step)?;
            class = bound.class;
            steps.push(bound);
        }
        let level = self.knobs.properties;
        let property = class.property(&path.property, level).ok_or_else(missing)?;
        Ok(
            if path.is_parent() && (self.class == Class::Project || self.class.is_document()) {
                Column::Parent
            } else if steps.is_empty() {
                Column::Own(property)
            } else {
                Column::Related(steps, property)
            },
        )
    }

    fn operand(self, literal: &Literal) -> Operand {
        let text = match literal {
            Literal::Text(text) => Some(text.as_str()),
            Literal::Null | Literal::Bool(_) | Literal::Number(_) | Literal::Real(_) | Literal::Time(_) => {
                None
            }
        };
        let guid = text.and_then(|text| text.parse().ok());
        Operand {
            literal: literal.clone(),
            guid,
            time: match literal {
                Literal::Time(moment) => Some(*moment),
                _ => text.and_then(time),
            },
            text: text.map(|text| self.folded(text)),
            root: match self.knobs.root_parent {
                RootParent::Absent | RootParent::Null => false,
                RootParent::Empty => text == Some(""),
                RootParent::Zeros => guid == Some(Guid::from_bytes([0; 16])),
            },
        }
    }

    fn folded(self, text: &str) -> String {
        if self.ignore_case {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    }
}

impl Matcher {
    /// True where the row is one the filter asks for.
    pub(super) fn holds(&self, scene: Scene<'_>, row: &Row<'_>, ignore_case: bool) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(scene, row, ignore_case)),
            Self::Or(all) => all.iter().any(|one| one.holds(scene, row, ignore_case)),
            Self::Never => false,
            Self::Compare(column, operator, operand) => column.any(scene, row, &|value, property| {
                compare(value, property, *operator, operand, ignore_case)
            }),
            Self::In(column, operands) => column.any(scene, row, &|value, property| {
                let mut all = operands.iter();
                all.any(|operand| compare(value, property, Operator::Eq, operand, ignore_case))
            }),
            Self::Call(function, column, operand) => column.any(scene, row, &|value, _| {
                let (Value::Text(text), Some(part)) = (value, &operand.text) else {
                    return false;
                };
                with_case(text, ignore_case, |text| match function {
                    Function::EndsWith => text.ends_with(part.as_str()),
                    Function::StartsWith => text.starts_with(part.as_str()),
                    Function::Contains => text.contains(part.as_str()),
                })
            }),
        }
    }
}

/// What is done with a value and the property it is of.
type Test<'t> = &'t dyn Fn(&Value<'_>, Option<&Property>) -> bool;

impl Column {
    /// True where any value passes the test; where a relationship leads nowhere the value is null.
    fn any(&self, scene: Scene<'_>, row: &Row<'_>, test: Test<'_>) -> bool {
        match self {
            Self::Parent => {
                let value = row.parent().map_or(Value::Null, Value::Id);
                test(&value, None)
            }
            Self::Own(property) => test(&row.value(scene, property.name), Some(property)),
            Self::Related(steps, property) => {
                let Some((first, rest)) = steps.split_first() else {
                    return false;
                };
                let mut rows = scene.related(row, *first);
                for step in rest {
                    rows = rows.iter().flat_map(|row| scene.related(row, *step)).collect();
                }
                if rows.is_empty() {
                    return test(&Value::Null, Some(property));
                }
                let mut rows = rows.iter();
                rows.any(|row| test(&row.value(scene, property.name), Some(property)))
            }
        }
    }
}

/// `property` is `None` for the folder an instance is in.
fn compare(
    value: &Value<'_>,
    property: Option<&Property>,
    operator: Operator,
    operand: &Operand,
    ignore_case: bool,
) -> bool {
    let textual = property.is_some_and(|property| property.kind == Kind::Text);
    let text = match value {
        Value::Text(text) => Some(text.as_ref()),
        // PW Web drops documents without files by `FileName ne 'null'`: an absent text equals that word.
        Value::Null if textual => Some("null"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Time(_) | Value::Id(_) => None,
    };
    if operator == Operator::Like {
        let (Value::Text(text), Some(pattern)) = (value, &operand.text) else {
            return false;
        };
        return with_case(text, ignore_case, |text| like(text, pattern));
    }
    let order = match (value, &operand.literal) {
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        (Value::Null, _) if property.is_none() => operand.root.then_some(Ordering::Equal),
        (Value::Id(guid), _) => operand.guid.map(|other| guid.cmp(&other)),
        (Value::Bool(a), Literal::Bool(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Literal::Text(b)) => b.to_lowercase().parse::<bool>().ok().map(|b| a.cmp(&b)),
        (Value::Number(a), Literal::Number(b)) => Some(a.cmp(b)),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a number with a point is no exact one anyway"
        )]
        (Value::Number(a), Literal::Real(b)) => (*a as f64).partial_cmp(b),
        (Value::Number(a), Literal::Text(b)) => b.parse().ok().map(|b| a.cmp(&b)),
        (Value::Time(a), _) => operand.time.map(|b| a.cmp(&b)),
        // An id of digits may be written without quotes.
        (Value::Text(a), Literal::Number(b)) => a.parse::<i64>().ok().map(|a| a.cmp(b)),
        (_, _) => match (text, &operand.text) {
            (Some(a), Some(b)) => Some(with_case(a, ignore_case, |a| a.cmp(b.as_str()))),
            _ => None,
        },
    };
    match operator {
        Operator::Eq => order == Some(Ordering::Equal),
        Operator::Ne => order != Some(Ordering::Equal),
        Operator::Gt => order == Some(Ordering::Greater),
        Operator::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Lt => order == Some(Ordering::Less),
        Operator::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::Like => false,
    }
}

/// Looks at a text as it is, or in lower case where case does not matter.
fn with_case<R>(text: &str, ignore_case: bool, look: impl FnOnce(&str) -> R) -> R {
    if ignore_case {
        look(&text.to_lowercase())
    } else {
        look(text)
    }
}

/// `%` stands for anything; without one, the pattern is looked for anywhere.
fn like(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('%') else {
        return text.contains(pattern);
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('%').unwrap_or(("", rest));
    for part in middle.split('%') {
        match text.find(part) {
            Some(place) => text = &text[place + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_part_or_has_wildcards() {
        for (text, pattern) in [
            ("plan.png", ".png"),
            ("plan.png", "%.png"),
            ("plan.png", "plan%"),
            ("plan.png", "p%n%g"),
            ("plan.png", "%"),
            ("plan.png", "%%"),
            ("", "%"),
            ("aab", "%ab"),
        ] {
            assert!(like(text, pattern), "{text} like {pattern}");
        }
        for (text, pattern) in [
            ("plan.png", "%.pn"),
            ("plan.png", "lan%"),
            ("a", "a%a"),
            ("", "x"),
        ] {
            assert!(!like(text, pattern), "{text} like {pattern}");
        }
    }
}
