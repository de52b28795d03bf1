//! Which keys `config.toml` has, and which one was meant.

use std::path::Path;

use toml_edit::{Document, DocumentMut, Item, TableLike};

use super::{ConfigError, is_profile_name};

/// The key of the profile that is meant where none is named.
pub(super) const DEFAULT_PROFILE_KEY: &str = "default_profile";
/// The table of profiles.
pub(super) const PROFILES_KEY: &str = "profiles";

const TOP: [&str; 2] = [DEFAULT_PROFILE_KEY, PROFILES_KEY];

/// The keys of a profile, in the order they are written.
pub(super) const PROFILE: [&str; 34] = [
    "auth",
    "issuer",
    "client_id",
    "scopes",
    "redirect_uri",
    "username",
    "token_file",
    "credentials",
    "datasource",
    "query_style",
    "page_mode",
    "page_size",
    "ranges",
    "blob_redirect",
    "api_version",
    "ca_bundle",
    "client_certificate",
    "client_key",
    "proxy",
    "no_proxy",
    "allow_plain_http",
    "preset",
    "freshness",
    "metadata_ttl",
    "on_outage",
    "max_stale",
    "refresh_interval",
    "pace",
    "never_download",
    "read_ahead",
    "exec",
    "sha256",
    "max_cache_size",
    "folders",
];

const FOLDER: [&str; 2] = ["folder", "alias"];

/// Parses the file and makes sure that every key in it is known.
pub(super) fn checked(path: &Path, text: &str) -> Result<DocumentMut, ConfigError> {
    let invalid = |detail: String| ConfigError::Invalid {
        path: path.to_owned(),
        detail,
    };
    // An editable document has lost its positions; errors want them.
    let positions = Document::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        invalid(format!("line {line}: {}", error.message()))
    })?;
    let check =
        |table: &dyn TableLike, prefix: &str, known: &[&str]| check_keys(path, text, table, prefix, known);

    check(positions.as_table(), "", &TOP)?;
    if let Some(default) = positions.get(DEFAULT_PROFILE_KEY)
        && default.as_str().is_none()
    {
        return Err(invalid(format!("{DEFAULT_PROFILE_KEY} must be a text")));
    }
    let Some(profiles) = positions.get(PROFILES_KEY) else {
        return Ok(positions.into_mut());
    };
    let Some(profiles) = profiles.as_table_like() else {
        return Err(invalid(format!(
            "{PROFILES_KEY} must be a table ([profiles.NAME])"
        )));
    };
    for (name, item) in profiles.iter() {
        if !is_profile_name(name) {
            return Err(invalid(format!(
                "{name:?} cannot name a profile; use letters, digits, '-', '_' and '.'"
            )));
        }
        let Some(profile) = item.as_table_like() else {
            return Err(invalid(format!("profiles.{name} must be a table")));
        };
        check(profile, &format!("{PROFILES_KEY}.{name}."), &PROFILE)?;
        for folder in folder_tables(profile.get("folders")) {
            check(folder, &format!("{PROFILES_KEY}.{name}.folders."), &FOLDER)?;
        }
    }
    Ok(positions.into_mut())
}

/// The line of a byte offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before.filter(|byte| *byte == b'\n').count() + 1
}

/// The tables of `[[….folders]]` or `folders = [{…}]`; anything else has none.
pub(super) fn folder_tables(item: Option<&Item>) -> Vec<&dyn TableLike> {
    match item {
        Some(Item::ArrayOfTables(tables)) => tables.iter().map(|table| table as &dyn TableLike).collect(),
        Some(Item::Value(toml_edit::Value::Array(items))) => items
            .iter()
            .filter_map(toml_edit::Value::as_inline_table)
            .map(|table| table as &dyn TableLike)
            .collect(),
        Some(Item::Table(_) | Item::Value(_) | Item::None) | None => Vec::new(),
    }
}

fn check_keys(
    path: &Path,
    text: &str,
    table: &dyn TableLike,
    prefix: &str,
    known: &[&str],
) -> Result<(), ConfigError> {
    for (key, _) in table.iter() {
        if known.contains(&key) {
            continue;
        }
        let offset = table
            .key(key)
            .and_then(toml_edit::Key::span)
            .map_or(0, |span| span.start);
        let line = line_of(text, offset);
        return Err(ConfigError::UnknownKey {
            path: path.to_owned(),
            line,
            key: format!("{prefix}{key}"),
            nearest: nearest(key, known),
        });
    }
    Ok(())
}

/// The known key that `key` is most likely a slip of.
fn nearest(key: &str, known: &[&str]) -> Option<String> {
    // A third of the word wrong is a slip; more is another word.
    let most = (key.chars().count() / 3).max(2);
    let normal = key.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (distance(&normal, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| (*candidate).to_owned())
}

/// Levenshtein distance: the fewest single-character edits between two words.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_offered_and_a_strange_one_is_not() {
        for (key, expected) in [
            ("clientid", Some("client_id")),
            ("client-id", Some("client_id")),
            ("scope", Some("scopes")),
            ("datasuorce", Some("datasource")),
            ("pagesize", Some("page_size")),
            ("proxy_password", None),
        ] {
            assert_eq!(nearest(key, &PROFILE).as_deref(), expected, "{key}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
