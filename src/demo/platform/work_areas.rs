//! `/workarea/v1`: which ProjectWise work areas an iTwin is connected to (fact sheet 2.3).

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json};

use crate::demo::knobs::WorkAreas;
use crate::demo::reply::Reply;
use crate::demo::wsg;

use super::Call;
use super::catalog::{Connection, Target};
use super::refusal::Refusal;

/// What a wrong parameter is called.
const INVALID: &str = "InvalidWorkAreaRequest";

/// `GET /workarea/v1/projects/{id}/connections`.
pub(super) fn list(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    let capital = match call.knobs.work_areas {
        WorkAreas::Refused => return Err(Refusal::Forbidden),
        WorkAreas::Connections => true,
        WorkAreas::Items | WorkAreas::Value => false,
    };
    let itwin = call.itwin(id, "iTwinNotFound")?;
    // Project id = iTwin id with subClass Project: others are no projects.
    if itwin.sub_class != "Project" {
        return Err(Refusal::NotFound {
            code: "ProjectNotFound",
            message: "Requested project is not available.",
        });
    }
    let asked = call.parameters(INVALID);
    let start = match asked.text("continuationToken") {
        None => 0,
        Some(token) => place(token, id)
            .ok_or_else(|| asked.wrong("continuationToken", "The token is of another question."))?,
    };
    let rows = usize::try_from(call.knobs.work_area_page.max(1)).unwrap_or(usize::MAX);
    let page = itwin.connections.iter().skip(start).take(rows);
    let items: Vec<Json> = page
        .map(|connection| written(call, connection, capital))
        .collect();
    let next = start.saturating_add(rows);
    let token = (next < itwin.connections.len()).then(|| token(next, id));
    let mut body = Map::new();
    match call.knobs.work_areas {
        WorkAreas::Items | WorkAreas::Refused => {
            body.insert("items".to_owned(), items.into());
            body.insert("nextPageToken".to_owned(), token.into());
        }
        WorkAreas::Connections => {
            body.insert("connections".to_owned(), items.into());
            body.insert("nextPageToken".to_owned(), token.into());
        }
        WorkAreas::Value => {
            body.insert("value".to_owned(), items.into());
            // As OData has it: an address, and nothing on the last page.
            if let Some(token) = token {
                let address = format!("{}{}?continuationToken={token}", call.base, call.path);
                body.insert("@odata.nextLink".to_owned(), address.into());
            }
        }
    }
    Ok(Reply::json(StatusCode::OK, &Json::Object(body)))
}

fn written(call: &Call<'_>, connection: &Connection, capital: bool) -> Json {
    let fields = [
        ("id", connection.id.to_string().into()),
        ("displayName", connection.display_name.clone().into()),
        ("description", connection.description.clone().into()),
        ("workAreaName", connection.work_area.clone().into()),
        ("type", "PWDI".into()),
        ("url", url(call, &connection.target).into()),
        ("isPrimary", connection.primary.into()),
    ];
    let fields = fields.into_iter().map(|(name, value): (&str, Json)| {
        let (first, rest) = name.split_at(1);
        let name = if capital {
            format!("{}{rest}", first.to_uppercase())
        } else {
            name.to_owned()
        };
        (name, value)
    });
    Json::Object(fields.collect::<Map<_, _>>())
}

/// The gateway's address of a folder: base, repository and folder in one (fact sheet 0.3).
fn url(call: &Call<'_>, target: &Target) -> String {
    match target {
        Target::Elsewhere(url) => url.clone(),
        Target::Here(folder) => {
            let version = wsg::version_segment(call.knobs);
            let repository = &call.demo.gateway.repository;
            let base = call.base;
            format!("{base}/ws/{version}/repositories/{repository}/PW_WSG/Project/{folder}")
        }
    }
}

/// An opaque token for the connections from `start` on.
fn token(start: usize, project: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{start} {}", project.to_ascii_lowercase()))
}

/// Where a token leads; `None` for one that was not made for this project.
fn place(token: &str, project: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (start, of) = text.split_once(' ')?;
    start.parse().ok().filter(|_| of.eq_ignore_ascii_case(project))
}
