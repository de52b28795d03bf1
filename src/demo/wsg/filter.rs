//! The `$filter` language: its syntax, read and written (fact sheet 1.5, grammar notes).
//!
//! What the names mean is not looked at here: a filter is read before it is known which properties the datasource
//! has, and bound to them later (`matching`).

mod tokens;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::model::{Guid, Timestamp};

use self::tokens::{Alias, Token, tokens};
use super::path::Path;
use super::query::QueryError;

/// The deepest nesting of parentheses; more is refused rather than run out of stack.
const DEPTH: usize = 64;

/// A filter as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    /// All of two or more.
    And(Vec<Filter>),
    /// Any of two or more.
    Or(Vec<Filter>),
    Compare(Path, Operator, Literal),
    In(Path, Vec<Literal>),
    Call(Function, Path, Literal),
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
}

impl Operator {
    pub(super) const ALL: [Self; 7] = [
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
        Self::Like,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Like => "like",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    EndsWith,
    StartsWith,
    Contains,
}

impl Function {
    pub(super) const ALL: [Self; 3] = [Self::EndsWith, Self::StartsWith, Self::Contains];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::EndsWith => "endswith",
            Self::StartsWith => "startswith",
            Self::Contains => "contains",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Text(String),
    Bool(bool),
    Number(i64),
    /// A number with a point or an exponent.
    Real(f64),
    Time(Timestamp),
}

impl Filter {
    /// Reads a filter; `alias` gives the text behind `@A`.
    pub(super) fn parse(text: &str, alias: Alias<'_>) -> Result<Self, QueryError> {
        let mut parser = Parser {
            tokens: tokens(text, Some(alias))?,
            next: 0,
            depth: 0,
        };
        let filter = parser.either()?;
        match parser.tokens.get(parser.next) {
            None => Ok(filter),
            Some(token) => Err(malformed(&format!("unexpected {token:?}"))),
        }
    }

    /// The ids every matching row must have, where the filter says so: spares a scan of everything.
    pub(super) fn ids(&self) -> Option<Vec<Guid>> {
        // No row has an id that is no GUID.
        self.guids(&Path::is_id, |literals| {
            Some(literals.iter().filter_map(guid).collect())
        })
    }

    /// The folders every matching row must be in, where the filter says so.
    pub(super) fn parents(&self) -> Option<Vec<Guid>> {
        // One that is no GUID may be how a root's parent is written: then there is no telling.
        self.guids(&Path::is_parent, |literals| literals.iter().map(guid).collect())
    }

    fn guids(
        &self,
        wanted: &dyn Fn(&Path) -> bool,
        several: fn(&[Literal]) -> Option<Vec<Guid>>,
    ) -> Option<Vec<Guid>> {
        match self {
            Self::In(path, literals) if wanted(path) => several(literals),
            // A text that is no GUID is left to the comparison: it may be how a root's parent is written.
            Self::Compare(path, Operator::Eq, literal) if wanted(path) => guid(literal).map(|one| vec![one]),
            Self::And(all) => all.iter().find_map(|one| one.guids(wanted, several)),
            Self::Or(_) | Self::Compare(..) | Self::In(..) | Self::Call(..) => None,
        }
    }

    /// Every path it names.
    pub(super) fn paths(&self) -> Vec<&Path> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::paths).collect(),
            Self::Compare(path, ..) | Self::In(path, _) | Self::Call(_, path, _) => vec![path],
        }
    }
}

/// The GUID a literal is; `None` where it is none.
fn guid(literal: &Literal) -> Option<Guid> {
    match literal {
        Literal::Text(text) => text.parse().ok(),
        Literal::Null | Literal::Bool(_) | Literal::Number(_) | Literal::Real(_) | Literal::Time(_) => None,
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Text(text) => write!(formatter, "'{}'", text.replace('\'', "''")),
            Self::Bool(truth) => write!(formatter, "{truth}"),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Real(number) => write!(formatter, "{number:?}"),
            Self::Time(time) => write!(formatter, "{time}"),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |formatter: &mut fmt::Formatter<'_>, all: &[Self], word: &str| {
            for (place, one) in all.iter().enumerate() {
                if place > 0 {
                    write!(formatter, " {word} ")?;
                }
                match one {
                    Self::And(_) | Self::Or(_) => write!(formatter, "({one})")?,
                    Self::Compare(..) | Self::In(..) | Self::Call(..) => write!(formatter, "{one}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::And(all) => joined(formatter, all, "and"),
            Self::Or(all) => joined(formatter, all, "or"),
            Self::Compare(path, operator, literal) => {
                write!(formatter, "{path} {} {literal}", operator.word())
            }
            Self::In(path, literals) => {
                let texts: Vec<_> = literals.iter().map(ToString::to_string).collect();
                write!(formatter, "{path} in [{}]", texts.join(","))
            }
            Self::Call(function, path, literal) => {
                write!(formatter, "{}({path},{literal})", function.word())
            }
        }
    }
}

fn malformed(reason: &str) -> QueryError {
    QueryError::Malformed(format!("$filter: {reason}"))
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn either(&mut self) -> Result<Filter, QueryError> {
        let mut all = vec![self.both()?];
        while self.word("or") {
            all.push(self.both()?);
        }
        Ok(single(all, Filter::Or))
    }

    fn both(&mut self) -> Result<Filter, QueryError> {
        let mut all = vec![self.one()?];
        while self.word("and") {
            all.push(self.one()?);
        }
        Ok(single(all, Filter::And))
    }

    fn one(&mut self) -> Result<Filter, QueryError> {
        if self.mark('(') {
            self.depth += 1;
            if self.depth > DEPTH {
                return Err(malformed("too many parentheses"));
            }
            let inner = self.either()?;
            self.expect(')')?;
            self.depth -= 1;
            return Ok(inner);
        }
        let Some(Token::Word(name)) = self.take() else {
            return Err(malformed("a property was expected"));
        };
        if self.mark('(') {
            return self.function(&name);
        }
        let path = path(&name)?;
        let Some(Token::Word(operator)) = self.take() else {
            return Err(malformed(&format!("no operator after {name}")));
        };
        if operator == "in" {
            return Ok(Filter::In(path, self.list()?));
        }
        let known = Operator::ALL.into_iter().find(|known| known.word() == operator);
        let operator = known.ok_or_else(|| malformed(&format!("unknown operator {operator}")))?;
        Ok(Filter::Compare(path, operator, self.literal()?))
    }

    /// `endswith(FileName,'.pdf')` and its like.
    fn function(&mut self, name: &str) -> Result<Filter, QueryError> {
        let known = Function::ALL.into_iter().find(|known| known.word() == name);
        let function = known.ok_or_else(|| malformed(&format!("unknown function {name}")))?;
        let Some(Token::Word(property)) = self.take() else {
            return Err(malformed("a property was expected"));
        };
        let path = path(&property)?;
        self.expect(',')?;
        let literal = self.literal()?;
        self.expect(')')?;
        Ok(Filter::Call(function, path, literal))
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
            Some(Token::Word(word)) => bare(&word).ok_or_else(|| malformed(&format!("{word} is no value"))),
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

/// The only one of them, or all joined.
fn single(mut all: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match (all.len(), all.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            all.extend(last);
            join(all)
        }
    }
}

fn path(name: &str) -> Result<Path, QueryError> {
    name.parse().map_err(|error| malformed(&format!("{error}")))
}

/// A value without quotes: a truth, null, a number, a time.
fn bare(word: &str) -> Option<Literal> {
    match word {
        "true" => return Some(Literal::Bool(true)),
        "false" => return Some(Literal::Bool(false)),
        "null" => return Some(Literal::Null),
        _ => {}
    }
    if let Ok(number) = word.parse() {
        return Some(Literal::Number(number));
    }
    // Words such as `inf` are numbers to the standard library, not here.
    let digits = word
        .trim_start_matches('-')
        .starts_with(|c: char| c.is_ascii_digit());
    if !digits {
        return None;
    }
    if let Some(number) = word.parse().ok().filter(|number: &f64| number.is_finite()) {
        return Some(Literal::Real(number));
    }
    time(word).map(Literal::Time)
}

/// A time with or without a zone, or a day; without a zone it means UTC (fact sheet 1.6).
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<Timestamp>().ok();
    zoned.or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::Offset::UTC.to_timestamp(civil).ok()
    })
}
