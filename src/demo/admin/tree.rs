//! What a truthful client should see, over HTTP.

use serde_json::{Value as Json, json};

use crate::demo::world::{ExpectedDocument, ExpectedFolder, WorldError};
use crate::model::{DocumentKind, Guid};

use super::changes::at_path;
use super::{AdminError, Answer, Ask};

pub(super) fn look(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let account = ask.account()?;
    let world = ask.demo.world();
    let folders = world.folders_for(account).into_iter();
    let documents = world.documents_for(account).into_iter();
    match ask.text("format") {
        None | Some("json") => {
            let parts = std::iter::once("{\"folders\":[".to_owned())
                .chain(listed(folders.map(|folder| folder_row(&folder))))
                .chain(std::iter::once("],\"documents\":[".to_owned()))
                .chain(listed(documents.map(|document| document_row(&document))))
                .chain(std::iter::once("]}".to_owned()));
            Ok(Answer::Parts("application/json; charset=utf-8", Box::new(parts)))
        }
        Some("ndjson") => {
            let line = |kind: &str, mut row: Json| {
                row["type"] = Json::from(kind);
                format!("{row}\n")
            };
            let parts = folders.map(move |folder| line("folder", folder_row(&folder)));
            let documents = documents.map(move |document| line("document", document_row(&document)));
            Ok(Answer::Parts(
                "application/x-ndjson",
                Box::new(parts.chain(documents)),
            ))
        }
        Some(other) => Err(AdminError::Value {
            field: "format",
            values: "json or ndjson",
            text: other.to_owned(),
        }),
    }
}

/// Rows with commas between them.
fn listed(rows: impl Iterator<Item = Json>) -> impl Iterator<Item = String> {
    let rows = rows.enumerate();
    rows.map(|(place, row)| {
        if place == 0 {
            row.to_string()
        } else {
            format!(",{row}")
        }
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
