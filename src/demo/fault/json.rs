//! Spoiling JSON: what a body says that was true.

use serde_json::{Map, Value as Json};

/// The rows of an answer: the first list in its envelope.
fn rows(envelope: &mut Json) -> Option<&mut Vec<Json>> {
    let mut members = envelope.as_object_mut()?.values_mut();
    members.find_map(Json::as_array_mut)
}

/// Edits the rows of a JSON body; `None` where it has no rows.
pub(super) fn with_rows(body: &[u8], edit: impl FnOnce(&mut Vec<Json>)) -> Option<String> {
    let mut envelope: Json = serde_json::from_slice(body).ok()?;
    edit(rows(&mut envelope)?);
    Some(envelope.to_string())
}

/// The last row of a JSON body.
pub(super) fn last_row(body: &[u8]) -> Option<Json> {
    let mut envelope: Json = serde_json::from_slice(body).ok()?;
    rows(&mut envelope)?.last().cloned()
}

/// Every string an array, every number a boolean, every boolean a number.
pub(super) fn wrong_types(body: &[u8]) -> Option<String> {
    fn turn(value: Json) -> Json {
        match value {
            Json::Null => Json::Null,
            Json::Bool(truth) => Json::from(u8::from(truth)),
            Json::Number(_) => Json::Bool(true),
            Json::String(text) => Json::Array(vec![Json::String(text)]),
            Json::Array(list) => Json::Array(list.into_iter().map(turn).collect()),
            Json::Object(members) => Json::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key, turn(value)))
                    .collect(),
            ),
        }
    }
    let value = serde_json::from_slice(body).ok()?;
    Some(turn(value).to_string())
}

/// The first key of every object again at its end, with another value.
pub(super) fn duplicate_keys(body: &[u8]) -> Option<String> {
    fn write(value: &Json, out: &mut String) {
        match value {
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
                out.push_str(&value.to_string());
            }
            Json::Array(list) => {
                out.push('[');
                for (place, item) in list.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    write(item, out);
                }
                out.push(']');
            }
            Json::Object(members) => write_object(members, out),
        }
    }
    fn write_object(members: &Map<String, Json>, out: &mut String) {
        let key = |key: &str, out: &mut String| {
            out.push_str(&Json::from(key).to_string());
            out.push(':');
        };
        out.push('{');
        for (place, (name, value)) in members.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            key(name, out);
            write(value, out);
        }
        if let Some((name, value)) = members.iter().next() {
            out.push(',');
            key(name, out);
            let other = match value {
                Json::String(text) => Json::from(format!("{text} (again)")),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Json::Null,
            };
            out.push_str(&other.to_string());
        }
        out.push('}');
    }
    let value = serde_json::from_slice(body).ok()?;
    let mut out = String::new();
    write(&value, &mut out);
    Some(out)
}

/// A byte that no UTF-8 has at the start of every member that is a string.
pub(super) fn invalid_utf8(body: &[u8]) -> Vec<u8> {
    // The end of a key, the colon, and the start of a string: quotes inside strings are escaped.
    const START: &[u8] = b"\":\"";
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut rest = body;
    while let Some(at) = rest.windows(START.len()).position(|window| window == START) {
        let (before, after) = rest.split_at(at + START.len());
        out.extend_from_slice(before);
        out.push(0xff);
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"instances":[{"a":"x","n":1,"t":true,"z":null}]}"#;

    #[test]
    fn types_are_turned() {
        let text = wrong_types(BODY).unwrap();
        assert_eq!(text, r#"{"instances":[{"a":["x"],"n":true,"t":1,"z":null}]}"#);
    }

    #[test]
    fn keys_come_twice() {
        let text = duplicate_keys(BODY).unwrap();
        let expected =
            r#"{"instances":[{"a":"x","n":1,"t":true,"z":null,"a":"x (again)"}],"instances":null}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn strings_are_no_utf8_and_the_rest_is_json() {
        let bytes = invalid_utf8(BODY);
        assert!(std::str::from_utf8(&bytes).is_err());
        let text = String::from_utf8_lossy(&bytes);
        assert!(serde_json::from_str::<Json>(&text).is_ok());
    }
}
