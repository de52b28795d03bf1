//! The words, texts and marks a filter is made of.

use super::super::query::QueryError;
use super::malformed;

/// Gives the text behind `@A`.
pub(in crate::demo::wsg) type Alias<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// Takes a filter apart; `alias` gives the text behind `@A`, in which no other alias may stand.
pub(super) fn tokens(text: &str, alias: Option<Alias<'_>>) -> Result<Vec<Token>, QueryError> {
    let mut tokens_found = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ' ' | '\t' | '\r' | '\n' => {}
            '(' | ')' | '[' | ']' | ',' => tokens_found.push(Token::Mark(next)),
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
                tokens_found.push(Token::Text(string));
            }
            other => {
                let mut word = String::from(other);
                while let Some(next) = rest.peek() {
                    if " \t\r\n()[],'".contains(*next) {
                        break;
                    }
                    word.push(*next);
                    rest.next();
                }
                if !word.starts_with('@') {
                    tokens_found.push(Token::Word(word));
                    continue;
                }
                let value = alias.and_then(|alias| alias(&word));
                let value = value.ok_or_else(|| malformed(&format!("{word} is not given")))?;
                tokens_found.extend(tokens(&value, None)?);
            }
        }
    }
    Ok(tokens_found)
}
