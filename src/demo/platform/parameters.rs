//! Query parameters of the platform, and the links to other pages that are made of them.

use std::fmt::Write as _;

use url::form_urlencoded;

use super::refusal::Refusal;

/// Rows of a page where `$top` says nothing (fact sheet 2.2, 2.4).
const DEFAULT_TOP: u64 = 100;

/// The parameters of one request.
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    /// What a mistake in them is called.
    code: &'static str,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) skip: u64,
    pub(super) top: u64,
}

impl Page {
    /// The rows of this page.
    pub(super) fn of<T>(self, rows: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        rows.skip(count(self.skip)).take(count(self.top))
    }

    pub(super) fn next(self) -> Self {
        let skip = self.skip.saturating_add(self.top);
        Self { skip, ..self }
    }

    pub(super) fn previous(self) -> Self {
        let skip = self.skip.saturating_sub(self.top);
        Self { skip, ..self }
    }
}

impl Parameters {
    pub(super) fn parse(query: &str, code: &'static str) -> Self {
        Self {
            pairs: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            code,
        }
    }

    /// A parameter that is there and not empty; names are found in any case.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        let found = pairs.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A parameter of a few words; any case will do.
    pub(super) fn word(&self, name: &str, words: &[&'static str]) -> Result<Option<&'static str>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let known = words.iter().copied().find(|word| word.eq_ignore_ascii_case(text));
        match known {
            Some(word) => Ok(Some(word)),
            None => Err(self.wrong(name, &format!("'{text}' is not one of: {}.", words.join(", ")))),
        }
    }

    /// A parameter that is read by its type.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(self.wrong(name, &format!("'{text}' is not a valid value."))),
        }
    }

    /// `$skip` and `$top`; `most` bounds the latter where it is not 0.
    pub(super) fn page(&self, most: u64) -> Result<Page, Refusal> {
        let skip = self.parsed("$skip")?.unwrap_or(0);
        let top = self.parsed("$top")?;
        if top == Some(0) {
            return Err(self.wrong("$top", "'0' is less than 1."));
        }
        if let Some(top) = top.filter(|top| most > 0 && *top > most) {
            return Err(self.wrong("$top", &format!("'{top}' is more than {most}.")));
        }
        let limit = if most > 0 { most } else { u64::MAX };
        Ok(Page {
            skip,
            top: top.unwrap_or(DEFAULT_TOP).min(limit),
        })
    }

    pub(super) fn wrong(&self, target: &str, message: &str) -> Refusal {
        Refusal::Invalid {
            code: self.code,
            target: target.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The address of another page of the same question, as `paging` writes the page.
    pub(super) fn href(&self, address: &str, paging: &str) -> String {
        let mut href = format!("{address}?");
        for (name, value) in &self.pairs {
            if ["$skip", "$top"]
                .iter()
                .any(|paged| paged.eq_ignore_ascii_case(name))
            {
                continue;
            }
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            // A dollar sign needs no escape, and the real links have none.
            let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
            let _never_fails = write!(href, "{}={value}&", name.replace("%24", "$"));
        }
        href.push_str(paging);
        href
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_the_question_and_changes_the_page() {
        let query = "$search=a%26b&%24top=5&$skip=10&subClass=Project";
        let parameters = Parameters::parse(query, "InvalidRequest");
        assert_eq!(
            parameters.href("http://host/itwins", "$skip=15&$top=5"),
            "http://host/itwins?$search=a%26b&subClass=Project&$skip=15&$top=5"
        );
        assert_eq!(parameters.page(0).unwrap(), Page { skip: 10, top: 5 });
    }

    #[test]
    fn a_page_beyond_what_is_allowed_is_refused() {
        let parameters = Parameters::parse("$top=101", "InvalidRequest");
        parameters.page(101).unwrap();
        parameters.page(100).unwrap_err();
        let nothing = Parameters::parse("", "InvalidRequest");
        assert_eq!(nothing.page(30).unwrap().top, 30);
    }
}
