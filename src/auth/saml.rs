//! Whom a SAML assertion names. Nothing is verified: the servers do that.
//!
//! The name serves display, and tells two accounts apart. So a document that could be read in two ways names nobody,
//! which costs a question to the server and mixes nothing.

use super::credentials::Identity;

/// The identity an assertion names: the issuer's name for its subject (`NameID`; `NameIdentifier` in SAML 1.1).
pub(super) fn identity(xml: &[u8]) -> Identity {
    let Ok(xml) = std::str::from_utf8(xml) else {
        return Identity::default();
    };
    let subjects = [elements(xml, "NameID"), elements(xml, "NameIdentifier")].concat();
    let named: Option<Vec<&str>> = subjects.iter().map(|element| element.text).collect();
    // Names that are made up for one session say nothing of the next one.
    let passing = subjects
        .iter()
        .any(|element| element.attributes.contains(":transient"));
    let (false, Some([name, others @ ..])) = (passing, named.as_deref()) else {
        return Identity::default();
    };
    let name = name.trim();
    if name.is_empty() || others.iter().any(|other| other.trim() != name) {
        return Identity::default();
    }
    let issuer = elements(xml, "Issuer");
    let issuer = issuer.iter().find_map(|element| element.text).unwrap_or_default();
    Identity {
        subject: Some(format!("saml {} {name}", issuer.trim())),
        email: name.contains('@').then(|| name.to_owned()),
        name: Some(name.to_owned()),
    }
}

#[derive(Clone, Copy)]
struct Element<'a> {
    attributes: &'a str,
    /// Its text; `None` where it holds anything else: markup, comments, references.
    text: Option<&'a str>,
}

/// Every element of this local name, those in comments included.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<Element<'a>> {
    let mut found = Vec::new();
    for (at, _) in xml.match_indices('<') {
        let tag = &xml[at + 1..];
        let Some((tag, rest)) = tag.split_once('>') else {
            continue;
        };
        let full = tag
            .split(|letter: char| letter.is_ascii_whitespace() || letter == '/')
            .next()
            .unwrap_or_default();
        if full.rsplit(':').next() != Some(name) || tag.starts_with(['/', '!', '?']) {
            continue;
        }
        let text = rest.split_once('<').and_then(|(text, end)| {
            let closes = end
                .strip_prefix('/')
                .and_then(|end| end.strip_prefix(full))
                .is_some_and(|end| end.trim_start().starts_with('>'));
            (closes && !text.contains('&')).then_some(text)
        });
        found.push(Element {
            attributes: &tag[full.len()..],
            text,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(xml: &str) -> Option<String> {
        identity(xml.as_bytes()).subject
    }

    #[test]
    fn the_subject_of_either_version_is_found() {
        let two = r#"<?xml version="1.0"?><saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">
            <saml:Issuer>https://sts.example</saml:Issuer><saml:Subject>
            <saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"> anna@example.com
            </saml:NameID></saml:Subject></saml:Assertion>"#;
        assert_eq!(
            subject(two).as_deref(),
            Some("saml https://sts.example anna@example.com")
        );
        let one = r#"<Assertion Issuer="x"><AuthenticationStatement><Subject><NameIdentifier>anna</NameIdentifier>
            </Subject></AuthenticationStatement><AttributeStatement><Subject><NameIdentifier>anna</NameIdentifier>
            </Subject></AttributeStatement></Assertion>"#;
        assert_eq!(subject(one).as_deref(), Some("saml  anna"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_names_nobody() {
        for xml in [
            "<a/>",
            "<NameID/>",
            "<NameID></NameID>",
            "<NameID>anna",
            "<NameID>anna<b/></NameID>",
            "<NameID>anna<!-- --></NameID>",
            "<NameID>a&amp;b</NameID>",
            "<NameID>anna</x:NameID>",
            "<NameID>anna</NameID><!-- <NameID>boris</NameID> -->",
            "<NameID>anna</NameID><x:NameID>boris</x:NameID>",
            r#"<NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">_a1</NameID>"#,
        ] {
            assert_eq!(subject(xml), None, "{xml}");
        }
        assert_eq!(identity(b"\xff<NameID>a</NameID>"), Identity::default());
    }
}
