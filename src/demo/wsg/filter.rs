//! The `$filter` language: a small parser and evaluator (fact sheet 1.5, grammar notes).

use std::cmp::Ordering;

use crate::model::{Guid, Timestamp};

use super::query::QueryError;
use super::rows::{Class, Row, Value};

/// A parsed filter; column names are checked against the class when it is parsed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Compare(Column, Operator, Literal),
    In(Column, Vec<Literal>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// `$id`.
    Id,
    /// The parent's `$id`, by relationship or `ParentGuid`.
    Parent,
    Property(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Like,
    EndsWith,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Text(String),
    Bool(bool),
    Number(i64),
    Time(Timestamp),
}

impl Column {
    /// The column of this name.
    pub(super) fn named(class: Class, name: &str) -> Result<Self, QueryError> {
        if name == "$id" {
            return Ok(Self::Id);
        }
        if name == "ParentGuid" {
            return Ok(Self::Parent);
        }
        let related = format!("{}-forward-Project.$id", class.parent_relationship());
        if name == related {
            return Ok(Self::Parent);
        }
        match class.property(name) {
            Some(property) => Ok(Self::Property(property)),
            None => Err(QueryError::PropertyNotFound(name.to_owned())),
        }
    }

    pub(super) fn of<'a>(self, row: &'a Row<'_>) -> Value<'a> {
        match self {
            Self::Id => Value::Id(row.guid()),
            Self::Parent => row.parent().map_or(Value::Null, Value::Id),
            Self::Property(name) => row.value(name),
        }
    }
}

impl Filter {
    pub(super) fn parse(class: Class, text: &str) -> Result<Self, QueryError> {
        let mut parser = Parser {
            class,
            tokens: tokens(text)?,
            next: 0,
        };
        let filter = parser.either()?;
        match parser.tokens.get(parser.next) {
            None => Ok(filter),
            Some(token) => Err(malformed(&format!("unexpected {token:?}"))),
        }
    }

    pub(super) fn holds(&self, row: &Row<'_>, ignore_case: bool) -> bool {
        match self {
            Self::And(a, b) => a.holds(row, ignore_case) && b.holds(row, ignore_case),
            Self::Or(a, b) => a.holds(row, ignore_case) || b.holds(row, ignore_case),
            Self::Compare(column, operator, literal) => {
                compare(&column.of(row), *operator, literal, ignore_case)
            }
            Self::In(column, literals) => {
                let value = column.of(row);
                literals
                    .iter()
                    .any(|literal| compare(&value, Operator::Eq, literal, ignore_case))
            }
        }
    }

    /// The ids every matching row must have, where the filter says so: spares a scan of everything.
    pub(super) fn ids(&self) -> Option<Vec<Guid>> {
        let guid = |literal: &Literal| match literal {
            Literal::Text(text) => text.parse().ok(),
            Literal::Null | Literal::Bool(_) | Literal::Number(_) | Literal::Time(_) => None,
        };
        match self {
            Self::In(Column::Id, literals) => Some(literals.iter().filter_map(guid).collect()),
            Self::Compare(Column::Id, Operator::Eq, literal) => Some(guid(literal).into_iter().collect()),
            Self::And(a, b) => a.ids().or_else(|| b.ids()),
            Self::Or(..) | Self::Compare(..) | Self::In(..) => None,
        }
    }

    /// The parent every matching row must have, where the filter says so.
    pub(super) fn parent(&self) -> Option<Guid> {
        match self {
            Self::Compare(Column::Parent, Operator::Eq, Literal::Text(text)) => text.parse().ok(),
            Self::And(a, b) => a.parent().or_else(|| b.parent()),
            Self::Or(..) | Self::Compare(..) | Self::In(..) => None,
        }
    }
}

fn compare(value: &Value<'_>, operator: Operator, literal: &Literal, ignore_case: bool) -> bool {
    let text = match value {
        Value::Text(text) => Some(text.as_ref()),
        // PW Web drops documents without files by `FileName ne 'null'`: an absent text equals that word.
        Value::Null => Some("null"),
        Value::Bool(_) | Value::Number(_) | Value::Time(_) | Value::Id(_) => None,
    };
    let order = match (value, literal) {
        (Value::Null, Literal::Null) => Some(Ordering::Equal),
        (Value::Id(guid), Literal::Text(text)) => match text.parse::<Guid>() {
            Ok(other) => Some(guid.cmp(&other)),
            Err(_) => None,
        },
        (Value::Bool(a), Literal::Bool(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Literal::Text(b)) => b.parse::<bool>().ok().map(|b| a.cmp(&b)),
        (Value::Number(a), Literal::Number(b)) => Some(a.cmp(b)),
        (Value::Number(a), Literal::Text(b)) => b.parse().ok().map(|b| a.cmp(&b)),
        (Value::Time(a), Literal::Time(b)) => Some(a.cmp(b)),
        (Value::Time(a), Literal::Text(b)) => b.parse().ok().map(|b| a.cmp(&b)),
        (_, Literal::Text(b)) => text.map(|a| {
            if ignore_case {
                a.to_lowercase().cmp(&b.to_lowercase())
            } else {
                a.cmp(b.as_str())
            }
        }),
        (_, Literal::Null | Literal::Bool(_) | Literal::Number(_) | Literal::Time(_)) => None,
    };
    match operator {
        Operator::Eq => order == Some(Ordering::Equal),
        Operator::Ne => order != Some(Ordering::Equal),
        Operator::Gt => order == Some(Ordering::Greater),
        Operator::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Lt => order == Some(Ordering::Less),
        Operator::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::Like | Operator::EndsWith => match (value, literal) {
            (Value::Text(text), Literal::Text(pattern)) => {
                let (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
                if operator == Operator::EndsWith {
                    text.ends_with(&pattern)
                } else {
                    like(&text, &pattern)
                }
            }
            _ => false,
        },
    }
}

/// `%` stands for anything; without one, the pattern is looked for anywhere.
fn like(text: &str, pattern: &str) -> bool {
    if !pattern.contains('%') {
        return text.contains(pattern);
    }
    let mut rest = text;
    let mut parts = pattern.split('%').peekable();
    let mut first = true;
    while let Some(part) = parts.next() {
        if first {
            match rest.strip_prefix(part) {
                Some(after) => rest = after,
                None => return false,
            }
        } else if parts.peek().is_none() {
            return rest.ends_with(part);
        } else {
            match rest.find(part) {
                Some(place) => rest = &rest[place + part.len()..],
                None => return false,
            }
        }
        first = false;
    }
    rest.is_empty()
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

fn malformed(reason: &str) -> QueryError {
    QueryError::Malformed(format!("$filter: {reason}"))
}

fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ' ' => {}
            '(' | ')' | '[' | ']' | ',' => tokens.push(Token::Mark(next)),
            '\'' => {
                let mut string = String::new();
                loop {
                    match rest.next() {
                        Some('\'') if rest.peek() == Some(&'\'') => {
                            rest.next();
                            string.push('\'');
                        }
                        Some('\'') => break,
                        Some(other) => string.push(other),
                        None => return Err(malformed("a text does not end")),
                    }
                }
                tokens.push(Token::Text(string));
            }
            other => {
                let mut word = String::from(other);
                while let Some(next) = rest.peek() {
                    if " ()[],'".contains(*next) {
                        break;
                    }
                    word.push(*next);
                    rest.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

struct Parser {
    class: Class,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn either(&mut self) -> Result<Filter, QueryError> {
        let mut left = self.both()?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Filter, QueryError> {
        let mut left = self.one()?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Filter, QueryError> {
        if self.mark('(') {
            let inner = self.either()?;
            self.expect(')')?;
            return Ok(inner);
        }
        let Some(Token::Word(name)) = self.take() else {
            return Err(malformed("a property was expected"));
        };
        if self.mark('(') {
            return self.function(&name);
        }
        let column = Column::named(self.class, &name)?;
        let Some(Token::Word(operator)) = self.take() else {
            return Err(malformed(&format!("no operator after {name}")));
        };
        let operator = match operator.as_str() {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "gt" => Operator::Gt,
            "ge" => Operator::Ge,
            "lt" => Operator::Lt,
            "le" => Operator::Le,
            "like" => Operator::Like,
            "in" => return Ok(Filter::In(column, self.list()?)),
            other => return Err(malformed(&format!("unknown operator {other}"))),
        };
        Ok(Filter::Compare(column, operator, self.literal()?))
    }

    /// `endswith(FileName,'.pdf')` and `contains(Name,'x')`.
    fn function(&mut self, name: &str) -> Result<Filter, QueryError> {
        let operator = match name {
            "endswith" => Operator::EndsWith,
            "contains" => Operator::Like,
            other => return Err(malformed(&format!("unknown function {other}"))),
        };
        let Some(Token::Word(property)) = self.take() else {
            return Err(malformed("a property was expected"));
        };
        let column = Column::named(self.class, &property)?;
        self.expect(',')?;
        let literal = self.literal()?;
        self.expect(')')?;
        Ok(Filter::Compare(column, operator, literal))
    }

    fn list(&mut self) -> Result<Vec<Literal>, QueryError> {
        self.expect('[')?;
        let mut literals = Vec::new();
        while !self.mark(']') {
            if !literals.is_empty() {
                self.expect(',')?;
            }
            literals.push(self.literal()?);
        }
        Ok(literals)
    }

    fn literal(&mut self) -> Result<Literal, QueryError> {
        match self.take() {
            Some(Token::Text(text)) => Ok(Literal::Text(text)),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Ok(Literal::Bool(true)),
                "false" => Ok(Literal::Bool(false)),
                "null" => Ok(Literal::Null),
                other => {
                    let number = other.parse().map(Literal::Number);
                    let time = || other.parse().map(Literal::Time);
                    match number {
                        Ok(number) => Ok(number),
                        Err(_) => time().map_err(|_| malformed(&format!("bad value {other}"))),
                    }
                }
            },
            Some(Token::Mark(_)) | None => Err(malformed("a value was expected")),
        }
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token::Word(word)) if word == wanted);
        self.next += usize::from(found);
        found
    }

    fn mark(&mut self, wanted: char) -> bool {
        let found = self.tokens.get(self.next) == Some(&Token::Mark(wanted));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), QueryError> {
        if self.mark(wanted) {
            Ok(())
        } else {
            Err(malformed(&format!("{wanted} was expected")))
        }
    }
}
