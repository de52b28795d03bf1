//! What a truthful client should see, over HTTP.

use serde_json::{Value as Json, json};

use crate::demo::world::{ExpectedDocument, ExpectedFolder, WorldError};
use crate::model::{DocumentKind, Guid};

use super::changes::at_path;
use super::{AdminError, Answer, Ask};

/// Bytes of text kept together: rows are a few hundred each, and there may be a million.
const PART: usize = 1 << 20;

/// How the rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    /// One a line, each with its `type`.
    Lines,
}

/// Rows as text, in parts.
struct Rows {
    format: Format,
    /// The `type` of each, in lines.
    kind: &'static str,
    parts: Vec<String>,
    first: bool,
}

impl Rows {
    fn new(format: Format, kind: &'static str) -> Self {
        Self {
            format,
            kind,
            parts: Vec::new(),
            first: true,
        }
    }

    fn push(&mut self, mut row: Json) {
        let first = std::mem::replace(&mut self.first, false);
        let text = match self.format {
            Format::Json if first => row.to_string(),
            Format::Json => format!(",{row}"),
            Format::Lines => {
                row["type"] = Json::from(self.kind);
                format!("{row}\n")
            }
        };
        match self.parts.last_mut() {
            Some(part) if part.len() + text.len() <= PART => part.push_str(&text),
            Some(_) | None => {
                let mut part = String::with_capacity(PART.max(text.len()));
                part.push_str(&text);
                self.parts.push(part);
            }
        }
    }
}

/// Folders and documents of one moment: a change between them would tell of a document whose folder is not there.
/// The rows become text at once, for as text they are smallest; what is sent later holds up nobody.
pub(super) fn look(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let account = ask.account()?;
    let format = match ask.text("format") {
        None | Some("json") => Format::Json,
        Some("ndjson") => Format::Lines,
        Some(other) => {
            return Err(AdminError::Value {
                field: "format",
                values: "json or ndjson",
                text: other.to_owned(),
            });
        }
    };
    let mut folders = Rows::new(format, "folder");
    let mut documents = Rows::new(format, "document");
    ask.demo.world().each(
        account,
        |folder| folders.push(folder_row(&folder)),
        |document| documents.push(document_row(&document)),
    );
    let (folders, documents) = (folders.parts.into_iter(), documents.parts.into_iter());
    Ok(match format {
        Format::Json => {
            let text = |text: &str| std::iter::once(text.to_owned());
            let parts = text("{\"folders\":[")
                .chain(folders)
                .chain(text("],\"documents\":["))
                .chain(documents)
                .chain(text("]}"));
            Answer::Parts("application/json; charset=utf-8", Box::new(parts))
        }
        Format::Lines => Answer::Parts("application/x-ndjson", Box::new(folders.chain(documents))),
    })
}

fn folder_row(folder: &ExpectedFolder) -> Json {
    json!({
        "guid": folder.guid.to_string(),
        "parent": folder.parent.map(|guid| guid.to_string()),
        "path": folder.path,
        "listable": folder.listable,
        "listed": folder.listed,
        "work_area": folder.work_area,
    })
}

fn document_row(document: &ExpectedDocument) -> Json {
    json!({
        "guid": document.guid.to_string(),
        "folder": document.folder_guid.to_string(),
        "path": document.path,
        "name": document.name,
        "file_name": document.file_name,
        "size": document.size,
        "listed_size": document.listed_size,
        "version": document.version,
        "active": document.active,
        "readable": document.readable,
        "listed": document.listed,
        "kind": match document.kind {
            DocumentKind::File => "file",
            DocumentKind::Placeholder => "placeholder",
            DocumentKind::Set => "set",
        },
        "file_updated": document.file_updated.map(|time| time.to_string()),
    })
}

/// The bytes, whatever anybody's rights.
pub(super) fn content(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let world = ask.demo.world();
    let guid: Guid = match (ask.text("guid"), ask.text("path")) {
        (Some(guid), _) => guid.parse()?,
        (None, Some(path)) => at_path(world, path)?,
        (None, None) => return Err(AdminError::Lacks("guid")),
    };
    let content = world.with(|state| state.document(guid).map(|row| row.content.clone()));
    let content = content.ok_or(WorldError::UnknownDocument(guid))?;
    let payload = world.payload_of(&content).ok_or(WorldError::NoFile(guid))?;
    Ok(Answer::Bytes(payload))
}
