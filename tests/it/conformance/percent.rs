//! How a row's plain text is written into an address or a form.

use std::fmt::Write as _;

/// Left as they are in a query: RFC 3986 unreserved, and the marks that WSG's filters are made of (1.5).
const QUERY_MARKS: &str = "-._~$*!(),:@/'[]";

/// `name=value` pairs as a query; a space is `+` (1.5).
pub fn query(pairs: &[String]) -> String {
    joined(pairs, QUERY_MARKS)
}

/// `name=value` pairs as `application/x-www-form-urlencoded`.
pub fn form(pairs: &[String]) -> String {
    joined(pairs, "-._")
}

/// One text of a form.
pub fn form_text(text: &str) -> String {
    encoded(text, "-._")
}

fn joined(pairs: &[String], marks: &str) -> String {
    let pairs = pairs.iter().map(|pair| {
        let (name, value) = pair
            .split_once('=')
            .unwrap_or_else(|| panic!("{pair} is not name=value"));
        format!("{}={}", encoded(name, marks), encoded(value, marks))
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(text: &str, marks: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match char::from(byte) {
            ' ' => out.push('+'),
            plain if plain.is_ascii_alphanumeric() || marks.contains(plain) => out.push(plain),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
