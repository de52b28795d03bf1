//! Finds the link in what was pasted: without brackets, quotes, labels and marks that mails and terminals put around it.

use url::Url;

use super::{LinkError, decoded_once};

/// What a link is found between.
const PAIRS: [(char, char); 9] = [
    ('<', '>'),
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('(', ')'),
    ('[', ']'),
    ('“', '”'),
    ('‘', '’'),
    ('«', '»'),
];

/// What a link begins with.
const SCHEMES: [&str; 3] = ["https:", "http:", "pw:"];

/// The link in `text`.
pub(super) fn link_in(text: &str) -> Result<String, LinkError> {
    let mut text = trimmed(text).to_owned();
    let mut is_framed = false;
    // Each round takes something off.
    loop {
        let inner = match unframed(&text) {
            Some(inner) => {
                is_framed = true;
                Some(inner)
            }
            None => unlabelled(&text),
        };
        match inner {
            Some(inner) => text = inner,
            None => break,
        }
    }
    if is_framed {
        text = joined(&text);
    }
    if text.contains(['\n', '\r']) {
        return Err(LinkError::SeveralLines);
    }
    text = whole(text);
    if let Some(target) = unwrapped(&text) {
        text = whole(target);
    }
    let text = trimmed(&text);
    if text.is_empty() {
        Err(LinkError::Empty)
    } else {
        Ok(text.to_owned())
    }
}

/// `text` with proper slashes behind its http or https; `None` where it begins with neither.
pub(super) fn web(text: &str) -> Option<String> {
    ["https", "http"].iter().find_map(|scheme| {
        let rest = strip_word(text, scheme)?.strip_prefix(':')?;
        let rest = rest.trim_start_matches(['/', '\\']);
        Some(format!("{scheme}://{rest}"))
    })
}

/// What follows `word`, in any case.
pub(super) fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

/// Without white space and invisible marks at both ends.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| {
        character.is_whitespace()
            || character.is_control()
            // Zero-width and direction marks, which programs put around what they copy.
            || matches!(
                character,
                '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            )
    })
}

/// What stands between a pair of marks.
fn unframed(text: &str) -> Option<String> {
    for (open, close) in PAIRS {
        if let Some(inner) = text.strip_prefix(open).and_then(|text| text.strip_suffix(close)) {
            // `[::1]:datasource` is no frame, and `"` alone is none.
            return Some(trimmed(inner).to_owned());
        }
    }
    // `ProjectWise <https://…>`, with anything behind it.
    let (_, behind) = text.split_once('<')?;
    let (inner, _) = behind.split_once('>')?;
    begins_with_scheme(trimmed(inner)).then(|| trimmed(inner).to_owned())
}

/// What follows `URL:` or `Link: ` and the like.
fn unlabelled(text: &str) -> Option<String> {
    if let Some(rest) = strip_word(text, "URL:") {
        return Some(trimmed(rest).to_owned());
    }
    if begins_with_scheme(text) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let starts = SCHEMES.iter().flat_map(|scheme| lower.match_indices(scheme));
    let start = starts
        .map(|(at, _)| at)
        .filter(|at| text[..*at].ends_with(char::is_whitespace) && begins_with_scheme(&text[*at..]))
        .min()?;
    Some(text[start..].to_owned())
}

fn begins_with_scheme(text: &str) -> bool {
    strip_word(text, "URL:").is_some()
        || SCHEMES
            .iter()
            .any(|scheme| strip_word(text, scheme).is_some_and(|rest| rest.starts_with(['/', '\\', '%'])))
}

/// A link that was wrapped between its brackets (RFC 3986, appendix C). A blank before the break was in a name.
fn joined(text: &str) -> String {
    let mut lines = text.lines();
    let mut whole = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        whole.push_str(line.trim_start());
    }
    whole
}

/// A link whose very colon was percent-encoded, as in the query of another one.
fn whole(mut text: String) -> String {
    let is_hidden = |text: &str| {
        let rest = text.trim_start_matches(|character: char| character.is_ascii_alphabetic());
        let marks = ["%3a", "%253a", "%25253a"];
        rest.len() < text.len() && marks.iter().any(|mark| strip_word(rest, mark).is_some())
    };
    // Each round takes one layer off.
    while is_hidden(&text) {
        text = decoded_once(&text);
    }
    text
}

/// The address that a mail program hid in one of its own: Outlook's "safe links" lead through Microsoft, whom no login
/// concerns.
fn unwrapped(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    if !host.ends_with(".safelinks.protection.outlook.com") {
        return None;
    }
    let mut pairs = url.query_pairs();
    let (_, target) = pairs.find(|(name, _)| name == "url")?;
    Some(target.into_owned())
}
