//! Just enough SAML to sign in with: a well-formed document with an assertion, whom it names, and until when.
//!
//! Nothing here checks a signature: the demo has no secrets, and a client is judged by what it sends.

use crate::model::Timestamp;

/// What an assertion says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Assertion {
    /// `NameID` (SAML 2.0), `NameIdentifier` (1.1) and every attribute's value, in order.
    pub(super) names: Vec<String>,
    /// The earliest `NotOnOrAfter` of all its parts.
    pub(super) ends: Option<Timestamp>,
}

/// It cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SamlError {
    #[error("the token is not well-formed XML")]
    Malformed,
    #[error("the token holds no assertion")]
    NoAssertion,
    #[error("the token's NotOnOrAfter is no time")]
    Time,
}

/// Reads the assertion in an XML document.
pub(super) fn read(xml: &str) -> Result<Assertion, SamlError> {
    let mut rest = xml.trim();
    let mut open: Vec<&str> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut found = None::<Assertion>;
    let mut ended = false;
    while !rest.is_empty() {
        if let Some(after) = skipped(rest)? {
            rest = after;
        } else if let Some(tail) = rest.strip_prefix("</") {
            let (name, after) = tail.split_once('>').ok_or(SamlError::Malformed)?;
            let name = name.trim_end();
            if open.pop() != Some(name) {
                return Err(SamlError::Malformed);
            }
            let text = texts.pop().unwrap_or_default();
            if let Some(assertion) = &mut found {
                let names = matches!(local(name), "NameID" | "NameIdentifier" | "AttributeValue");
                if names && !text.trim().is_empty() {
                    assertion.names.push(text.trim().to_owned());
                }
            }
            ended = open.is_empty();
            rest = after;
        } else if let Some(tail) = rest.strip_prefix('<') {
            if ended {
                return Err(SamlError::Malformed);
            }
            let tag = Tag::read(tail)?;
            if local(tag.name) == "Assertion" {
                found.get_or_insert_default();
            }
            if let Some(assertion) = &mut found {
                assertion.note(&tag)?;
            }
            if tag.closed {
                ended = open.is_empty();
            } else {
                open.push(tag.name);
                texts.push(String::new());
            }
            rest = tag.rest;
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            match texts.last_mut() {
                Some(place) => place.push_str(&unescaped(text)?),
                None if text.trim().is_empty() => {}
                None => return Err(SamlError::Malformed),
            }
            rest = after;
        }
    }
    if !ended {
        return Err(SamlError::Malformed);
    }
    found.ok_or(SamlError::NoAssertion)
}

impl Assertion {
    /// Takes over what a tag says of the time.
    fn note(&mut self, tag: &Tag<'_>) -> Result<(), SamlError> {
        for (name, value) in &tag.attributes {
            if *name == "NotOnOrAfter" {
                let time: Timestamp = value.parse().map_err(|_| SamlError::Time)?;
                self.ends = Some(self.ends.map_or(time, |ends| ends.min(time)));
            }
        }
        Ok(())
    }
}

/// What follows a declaration or comment; `None` where there is none here. A DTD is refused, as SAML does.
fn skipped(text: &str) -> Result<Option<&str>, SamlError> {
    let ending = if text.starts_with("<?") {
        "?>"
    } else if text.starts_with("<!--") {
        "-->"
    } else if text.starts_with("<!") {
        return Err(SamlError::Malformed);
    } else {
        return Ok(None);
    };
    let (_, after) = text.split_once(ending).ok_or(SamlError::Malformed)?;
    Ok(Some(after))
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// A start tag.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, String)>,
    /// True for `<a/>`.
    closed: bool,
    /// What follows it.
    rest: &'a str,
}

impl<'a> Tag<'a> {
    /// Reads it from behind its `<`.
    fn read(text: &'a str) -> Result<Self, SamlError> {
        let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/');
        let (name, mut rest) = text.split_at(end.ok_or(SamlError::Malformed)?);
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(SamlError::Malformed);
        }
        let mut attributes: Vec<(&str, String)> = Vec::new();
        loop {
            let trimmed = rest.trim_start();
            if let Some(after) = trimmed.strip_prefix("/>") {
                return Ok(Self {
                    name,
                    attributes,
                    closed: true,
                    rest: after,
                });
            }
            if let Some(after) = trimmed.strip_prefix('>') {
                return Ok(Self {
                    name,
                    attributes,
                    closed: false,
                    rest: after,
                });
            }
            let (key, after) = trimmed.split_once('=').ok_or(SamlError::Malformed)?;
            let key = key.trim_end();
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            let quote = quote.ok_or(SamlError::Malformed)?;
            let (value, after) = after[1..].split_once(quote).ok_or(SamlError::Malformed)?;
            let twice = attributes.iter().any(|(other, _)| *other == key);
            if key.is_empty() || twice || key.contains(['<', '>', ' ']) || value.contains('<') {
                return Err(SamlError::Malformed);
            }
            attributes.push((key, unescaped(value)?));
            rest = after;
        }
    }
}

/// Text with its entities resolved: the five of XML, and characters by number.
fn unescaped(text: &str) -> Result<String, SamlError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';').ok_or(SamlError::Malformed)?;
        let letter = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => entity
                .strip_prefix('#')
                .and_then(|number| match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => number.parse().ok(),
                })
                .and_then(char::from_u32),
        };
        out.push(letter.ok_or(SamlError::Malformed)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_tells_whom_it_names_and_until_when() {
        let xml = "<?xml version=\"1.0\"?><!-- of the STS -->\n<saml:Assertion xmlns:saml='urn:x' ID=\"_1\">\
            <saml:Subject><saml:NameID>a&amp;b@example.com</saml:NameID></saml:Subject>\
            <saml:Conditions NotBefore='2026-01-01T00:00:00Z' NotOnOrAfter='2026-01-02T00:00:00Z'/>\
            <saml:AttributeStatement><saml:AttributeValue> x@example.com </saml:AttributeValue>\
            </saml:AttributeStatement></saml:Assertion>\n";
        let assertion = read(xml).unwrap();
        assert_eq!(assertion.names, ["a&b@example.com", "x@example.com"]);
        assert_eq!(assertion.ends, Some("2026-01-02T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for xml in [
            "",
            "Assertion",
            "<Assertion>",
            "<Assertion></Other>",
            "<Assertion/><Assertion/>",
            "<Assertion a=1/>",
            "<Assertion a='1' a='2'/>",
            "<Assertion>&unknown;</Assertion>",
            "<!DOCTYPE x><Assertion/>",
            "<Assertion",
            "</Assertion>",
        ] {
            assert_eq!(read(xml), Err(SamlError::Malformed), "{xml}");
        }
        assert_eq!(read("<Other/>"), Err(SamlError::NoAssertion));
        assert_eq!(read("<Assertion NotOnOrAfter='soon'/>"), Err(SamlError::Time));
        assert_eq!(read("<Assertion/>"), Ok(Assertion::default()));
    }
}
