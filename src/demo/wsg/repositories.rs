//! Which datasources and plug-ins there are (fact sheet 1.1).

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use crate::demo::reply::{Reply, quoted};
use crate::demo::seed::digest;

use super::instances::Gateway;

/// Served by another plug-in: a client must not offer it as ProjectWise.
pub(super) const OTHER: &str = "Bentley.IModelHub--demo-hub.example.com";

impl Gateway {
    /// All datasources, or the one of this id.
    pub(super) fn repositories(&self, id: Option<&str>) -> Option<Reply> {
        let all = [
            (
                &*self.repository,
                "Bentley.PW",
                &*self.location,
                "Leven Estuary Demo",
            ),
            (OTHER, "Bentley.IModelHub", "demo-hub.example.com", "iModel Hub"),
        ];
        let wanted = |known: &str| id.is_none_or(|id| id.eq_ignore_ascii_case(known));
        let rows: Vec<_> = all
            .into_iter()
            .filter(|(known, ..)| wanted(known))
            .map(|(id, plugin, location, label)| {
                json!({
                    "instanceId": id,
                    "schemaName": "Repositories",
                    "className": "RepositoryIdentifier",
                    "properties": {
                        "ECPluginID": plugin,
                        "Location": location,
                        "DisplayLabel": label,
                        "Description": "",
                    },
                    "eTag": quoted(digest(id.as_bytes())),
                })
            })
            .collect();
        (!rows.is_empty()).then(|| envelope(&rows))
    }
}

pub(super) fn plugins() -> Reply {
    envelope(&[json!({
        "instanceId": "Bentley.PW",
        "schemaName": "Plugins",
        "className": "PluginIdentifier",
        "properties": { "ID": "Bentley.PW", "DisplayLabel": "ProjectWise", "Version": "4.1.0.2" },
        "eTag": quoted(digest(b"Bentley.PW")),
    })])
}

fn envelope(rows: &[Json]) -> Reply {
    Reply::json(StatusCode::OK, &json!({ "instances": rows }))
}
