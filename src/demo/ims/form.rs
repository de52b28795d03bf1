//! The parameters of an OAuth request, from a query or a form.

use std::collections::HashSet;

use url::form_urlencoded;

/// Parameters in the order they came. One without a value counts as left out (RFC 6749 3.1).
#[derive(Debug, Clone)]
pub(super) struct Form {
    pairs: Vec<(String, String)>,
    /// Names that came more than once, which they must not (RFC 6749 3.1).
    doubled: Vec<String>,
}

impl Form {
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut doubled = Vec::new();
        let mut seen = HashSet::new();
        for (name, value) in form_urlencoded::parse(text).into_owned() {
            if seen.insert(name.clone()) {
                pairs.push((name, value));
            } else {
                doubled.push(name);
            }
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Self { pairs, doubled }
    }

    /// The value of a parameter.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, or nothing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.value(name).unwrap_or("")
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first parameter that came more than once.
    pub(super) fn doubled(&self) -> Option<&str> {
        self.doubled.first().map(String::as_str)
    }

    pub(super) fn is_doubled(&self, name: &str) -> bool {
        self.doubled.iter().any(|other| other == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_doubles_are_known() {
        let form = Form::parse(b"a=1&b=&a=2&c=x+y%26");
        assert_eq!(
            (form.get("a"), form.value("b"), form.get("c")),
            ("1", None, "x y&")
        );
        assert_eq!(form.doubled(), Some("a"));
        assert!(form.is_doubled("a") && !form.is_doubled("c"));
    }
}
