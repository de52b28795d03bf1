//! Whether an answer is what a row expects.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regex::Regex;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use url::Url;

use super::places::Places;
use super::table::Check;

/// An answer, whole.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The values at a place: `/pointer` or `json /pointer` in the body, `header NAME`, `location /name` for the query of
    /// the `Location` header, `claims /…` and `jose /…` for the two halves of the access token in the body. A pointer is
    /// RFC 6901 with `*` for every element. Also the count of elements that lack it.
    pub fn find(&self, place: &str) -> (Vec<Value>, usize) {
        let (view, pointer) = place.split_once(' ').unwrap_or(("json", place));
        let whole = match view {
            "header" => {
                let all = self.headers.get_all(pointer).iter();
                let found: Vec<Value> = all
                    .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()))
                    .collect();
                return (found, 0);
            }
            "location" => self.location(),
            "claims" => self.token_half(1),
            "jose" => self.token_half(0),
            "json" => serde_json::from_slice(&self.body).ok(),
            other => panic!("no such view of an answer: {other}"),
        };
        let Some(whole) = whole else {
            return (Vec::new(), 1);
        };
        let mut here = vec![whole];
        let mut missing = 0;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let mut next = Vec::new();
            for value in here {
                match value {
                    Value::Array(elements) if step == "*" => next.extend(elements),
                    Value::Array(elements) => {
                        match step.parse().ok().and_then(|at: usize| elements.get(at).cloned()) {
                            Some(element) => next.push(element),
                            None => missing += 1,
                        }
                    }
                    Value::Object(mut fields) => match fields.remove(&step) {
                        Some(field) => next.push(field),
                        None => missing += 1,
                    },
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => missing += 1,
                }
            }
            here = next;
        }
        (here, missing)
    }

    fn location(&self) -> Option<Value> {
        let url = Url::parse(self.headers.get("location")?.to_str().ok()?).ok()?;
        let mut fields = Map::new();
        for (name, value) in url.query_pairs() {
            fields.insert(name.into_owned(), Value::String(value.into_owned()));
        }
        Some(Value::Object(fields))
    }

    fn token_half(&self, half: usize) -> Option<Value> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let part = body.get("access_token")?.as_str()?.split('.').nth(half)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    }
}

/// A scalar written as text; other values as JSON.
pub fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// What of `check` does not hold of these values.
pub fn failure(check: &Check, found: &[Value], missing: usize, places: &Places) -> Option<String> {
    let found: Vec<&Value> = found
        .iter()
        .filter(|value| !value.is_null() || check.kind.is_some())
        .collect();
    if check.absent {
        return (!found.is_empty()).then(|| format!("is there: {}", shown(&found)));
    }
    let lists = [&check.members, &check.includes, &check.within, &check.outside];
    if let Some(failure) = lists
        .iter()
        .find_map(|list| list.as_ref().and_then(|name| places.list(name).err()))
    {
        return Some(failure);
    }
    if !check.optional && !check.some && (missing > 0 || found.is_empty()) {
        // A list that must be the same as an empty one is met by nothing.
        let empty = |name: &String| places.list(name).is_ok_and(Vec::is_empty);
        if !check.members.as_ref().is_some_and(empty) {
            return Some(format!("is missing ({} there, {missing} not)", found.len()));
        }
    }
    if let Some(failure) = together(check, &found, places) {
        return Some(failure);
    }
    let mut failures = found.iter().filter_map(|value| one(check, value, places));
    if check.some {
        let good = found.iter().any(|value| one(check, value, places).is_none());
        return (!good).then(|| format!("none does: {}", shown(&found)));
    }
    failures.next()
}

/// What is said of all values together.
fn together(check: &Check, found: &[&Value], places: &Places) -> Option<String> {
    let texts: Vec<String> = found.iter().copied().map(written).collect();
    let set: BTreeSet<&String> = texts.iter().collect();
    let list = |name: &Option<String>| name.as_ref().and_then(|name| places.list(name).ok());
    if let Some(list) = list(&check.members) {
        if set.len() != texts.len() {
            return Some(format!("a value comes twice among {}", shown(found)));
        }
        let wanted: BTreeSet<&String> = list.iter().collect();
        if set != wanted {
            let more: Vec<_> = set.difference(&wanted).take(5).collect();
            let fewer: Vec<_> = wanted.difference(&set).take(5).collect();
            return Some(format!(
                "{} values for {}; unexpected {more:?}, lacking {fewer:?}",
                set.len(),
                wanted.len()
            ));
        }
    }
    if let Some(list) = list(&check.includes)
        && let Some(lacking) = list.iter().find(|value| !set.contains(value))
    {
        return Some(format!("{lacking} is not among {}", shown(found)));
    }
    if let Some(list) = list(&check.within)
        && let Some(other) = texts.iter().find(|value| !list.contains(value))
    {
        return Some(format!("{other} should not be there"));
    }
    if let Some(list) = list(&check.outside)
        && let Some(other) = texts.iter().find(|value| list.contains(value))
    {
        return Some(format!("{other} should not be there"));
    }
    if let Some(order) = &check.order {
        let folded: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let wrong = folded.windows(2).find(|pair| match order.as_str() {
            "ascending" => pair[0] > pair[1],
            "descending" => pair[0] < pair[1],
            other => panic!("no such order: {other}"),
        });
        return wrong.map(|pair| format!("{pair:?} is not {order}"));
    }
    None
}

/// What is said of every value by itself.
fn one(check: &Check, value: &Value, places: &Places) -> Option<String> {
    let expand = |wanted: &Value| match wanted {
        Value::String(text) => places.fill(text).map(Value::String),
        other => Ok(other.clone()),
    };
    if let Some(wanted) = &check.is {
        match expand(wanted) {
            Ok(wanted) if wanted == *value => {}
            Ok(wanted) => return Some(format!("is {value}, not {wanted}")),
            Err(failure) => return Some(failure),
        }
    }
    if let Some(all) = &check.one_of {
        let all: Result<Vec<Value>, String> = all.iter().map(expand).collect();
        match all {
            Ok(all) if all.contains(value) => {}
            Ok(all) => return Some(format!("is {value}, not one of {all:?}")),
            Err(failure) => return Some(failure),
        }
    }
    if let Some(pattern) = &check.matches {
        match places.fill_pattern(pattern) {
            Ok(pattern) => {
                let regex = Regex::new(&pattern).unwrap_or_else(|error| panic!("{error}"));
                if !regex.is_match(&written(value)) {
                    return Some(format!("{} does not match {pattern}", shown(&[value])));
                }
            }
            Err(failure) => return Some(failure),
        }
    }
    if let Some(kinds) = &check.kind {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !kinds.split('|').any(|one| one == kind) {
            return Some(format!("{} is a {kind}, not a {kinds}", shown(&[value])));
        }
    }
    let length = match value {
        Value::Array(elements) => elements.len(),
        Value::String(text) => text.chars().count(),
        Value::Object(fields) => fields.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    if check.length.is_some_and(|wanted| wanted != length)
        || check.at_least.is_some_and(|least| length < least)
        || check.at_most.is_some_and(|most| length > most)
    {
        return Some(format!("has length {length}"));
    }
    None
}

/// Values for a message, cut.
fn shown(values: &[&Value]) -> String {
    let text = values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if text.chars().count() > 200 {
        return format!("{}…", text.chars().take(200).collect::<String>());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 200,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// What a check written as a row writes it says of a body.
    #[track_caller]
    fn fails(check: &str, body: &str, wanted: bool) {
        let check: Check = toml_edit::de::from_str(check).unwrap();
        let mut places = Places::default();
        places.set_list("two", vec!["a".to_owned(), "b".to_owned()]);
        let (found, missing) = answer(body).find(&check.at);
        let failure = failure(&check, &found, missing, &places);
        assert_eq!(failure.is_some(), wanted, "{check:?} on {body}: {failure:?}");
    }

    #[test]
    fn a_check_fails_where_it_should_and_nowhere_else() {
        let list = r#"{"l": [{"n": "a"}, {"n": "b"}], "null": null, "size": 7}"#;
        for (check, wanted) in [
            ("at = '/l/*/n'\nmembers = 'two'", false),
            ("at = '/l/0/n'\nmembers = 'two'", true),
            ("at = '/l/0/n'\nwithin = 'two'", false),
            ("at = '/l/*/n'\noutside = 'two'", true),
            ("at = '/l/0/n'\nincludes = 'two'", true),
            ("at = '/l/*/n'\nis = 'a'", true),
            ("at = '/l/*/n'\nis = 'a'\nsome = true", false),
            ("at = '/l/*/m'\nis = 'a'", true),
            ("at = '/l/*/m'\nis = 'a'\noptional = true", false),
            ("at = '/l/*/m'\nis = 'a'\nsome = true", true),
            ("at = '/l'\nlength = 2", false),
            ("at = '/l'\nat_least = 3", true),
            ("at = '/l/*/n'\norder = 'descending'", true),
            ("at = '/null'\nabsent = true", false),
            ("at = '/size'\nabsent = true", true),
            ("at = '/null'\ntype = 'string|null'", false),
            ("at = '/size'\ntype = 'string'", true),
            ("at = '/size'\nmatches = '^7$'", false),
            ("at = '/l/*/n'\nwithin = 'nothing saved'", true),
        ] {
            fails(check, list, wanted);
        }
    }

    #[test]
    fn a_value_twice_is_no_member_list() {
        fails("at = '/*'\nmembers = 'two'", r#"["a", "b", "b"]"#, true);
    }

    #[test]
    fn a_body_that_is_no_json_has_no_values() {
        fails("at = '/l'\ntype = 'array'", "<html>", true);
    }
}
