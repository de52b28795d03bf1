//! What an earlier run left of a manifest, so that it can be gone on with.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::catalog::journal::Cursor;
use crate::manifest::FirstRow;
use crate::model::Guid;

/// See the module.
pub(super) struct Earlier {
    pub(super) first: FirstRow,
    /// What it was as of.
    pub(super) cursor: Cursor,
    /// Folder and object of each row.
    pub(super) rows: HashSet<(Option<Guid>, Guid)>,
    /// Documents among them that have no attributes.
    pub(super) without_attributes: u64,
    /// How many bytes of the file hold these rows.
    length: u64,
}

#[derive(Deserialize)]
struct Keys<'a> {
    row: &'a str,
    #[serde(default)]
    guid: Option<&'a str>,
    #[serde(default)]
    folder_guid: Option<&'a str>,
    #[serde(default)]
    attributes: Option<IgnoredAny>,
}

/// A row that was written.
struct Written {
    /// Folder and object.
    key: (Option<Guid>, Guid),
    /// A document without attributes.
    lacks_attributes: bool,
}

impl Earlier {
    /// Reads what is there, up to the first line that is no row; `None` where that is nothing to go on with.
    pub(super) fn read(part: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(part) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        let mut length = lines.read_until(b'\n', &mut line)? as u64;
        let first: Option<FirstRow> = serde_json::from_slice(&line).ok();
        let Some((first, cursor)) = first.and_then(|first| {
            let cursor = first.cursor.parse::<Cursor>().ok()?;
            Some((first, cursor))
        }) else {
            return Ok(None);
        };
        let (mut rows, mut without_attributes) = (HashSet::new(), 0);
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line)?;
            match written(&line) {
                Some(row) => {
                    rows.insert(row.key);
                    without_attributes += u64::from(row.lacks_attributes);
                }
                // The end, a line that was cut off, or the last row.
                None => break,
            }
            length += read as u64;
        }
        Ok(Some(Self {
            first,
            cursor,
            rows,
            without_attributes,
            length,
        }))
    }

    /// The file, to be written after these rows.
    pub(super) fn open(&self, part: &Path) -> io::Result<File> {
        let mut file = OpenOptions::new().write(true).open(part)?;
        file.set_len(self.length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    }
}

/// What a whole line tells; `None` if it is none of a folder or document.
fn written(line: &[u8]) -> Option<Written> {
    let line = line.strip_suffix(b"\n")?;
    let keys: Keys<'_> = serde_json::from_slice(line).ok()?;
    if keys.row != "document" && keys.row != "folder" {
        return None;
    }
    let folder = match keys.folder_guid {
        Some(text) => Some(text.parse().ok()?),
        None => None,
    };
    Some(Written {
        key: (folder, keys.guid?.parse().ok()?),
        lacks_attributes: keys.row == "document" && keys.attributes.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"row":"manifest","format":1,"cursor":"00000000000000ff.7","datasource":"d","account":"a","path":"","scope":[],"with_folders":true}"#;
    const FOLDER: &str = r#"{"row":"folder","guid":"01010101-0101-0101-0101-010101010101","path":"A"}"#;
    const DOCUMENT: &str = r#"{"row":"document","guid":"02020202-0202-0202-0202-020202020202","folder_guid":"01010101-0101-0101-0101-010101010101"}"#;

    fn read(text: &str) -> Option<Earlier> {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("part");
        std::fs::write(&part, text).unwrap();
        Earlier::read(&part).unwrap()
    }

    #[test]
    fn whole_rows_are_gone_on_from_and_nothing_else_is() {
        let whole = format!("{FIRST}\n{FOLDER}\n{DOCUMENT}\n");
        for rest in ["", "{\"row\":\"docu", "{\"row\":\"end\"}\n", "\0\0\0\0"] {
            let earlier = read(&format!("{whole}{rest}")).unwrap();
            assert_eq!(earlier.length, whole.len() as u64, "{rest:?}");
            assert_eq!((earlier.rows.len(), earlier.without_attributes), (2, 1));
            assert_eq!(earlier.cursor.to_string(), "00000000000000ff.7");
        }
        // A line without its end may be cut off in a string.
        let earlier = read(whole.trim_end()).unwrap();
        assert_eq!(earlier.rows.len(), 1);
        for nothing in ["", "\n", FOLDER, "{\"row\":\"manifest\"}\n"] {
            assert!(read(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn what_is_written_after_them_follows_them() {
        use std::io::Write as _;

        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("part");
        std::fs::write(&part, format!("{FIRST}\n{FOLDER}\n{{\"row\":\"end\"}}\n")).unwrap();
        let earlier = Earlier::read(&part).unwrap().unwrap();
        earlier
            .open(&part)
            .unwrap()
            .write_all(DOCUMENT.as_bytes())
            .unwrap();
        let text = std::fs::read_to_string(&part).unwrap();
        assert_eq!(text, format!("{FIRST}\n{FOLDER}\n{DOCUMENT}"));
    }
}
