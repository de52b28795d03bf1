//! `/itwins`: the caller's iTwins and what each has (fact sheet 2.2).

use std::cmp::Ordering;

use axum::http::StatusCode;
use axum::http::header::HeaderName;
use serde_json::{Map, Value as Json, json};

use crate::demo::reply::Reply;
use crate::model::Guid;

use super::Call;
use super::catalog::ITwin;
use super::parameters::{Page, Parameters};
use super::refusal::Refusal;

/// What a wrong parameter is called.
const INVALID: &str = "InvalidiTwinsRequest";
const MAX_RETURN: HeaderName = HeaderName::from_static("x-max-return");
/// What `X-Max-Return` may be, and is where nobody says (fact sheet 2.2).
const MAX_RETURN_RANGE: std::ops::RangeInclusive<u64> = 1..=10_000;
const MAX_RETURN_DEFAULT: u64 = 1000;

const CLASSES: [&str; 3] = ["Account", "Endeavor", "Thing"];
const SUB_CLASSES: [&str; 6] = [
    "Account",
    "Asset",
    "Portfolio",
    "Program",
    "Project",
    "WorkPackage",
];
const STATES: [&str; 3] = ["Active", "Inactive", "Trial"];

/// The repositories every iTwin has. ProjectWise is none of them.
const REPOSITORIES: [(&str, &str); 9] = [
    ("iModels", "imodels"),
    ("RealityData", "reality-management/reality-data"),
    ("Storage", "storage"),
    ("Forms", "forms"),
    ("GeospatialFeatures", "geospatial-features"),
    ("CesiumCuratedContent", "curated-content/cesium"),
    ("SensorData", "sensor-data"),
    ("PdfPlansets", "pdf-plansets"),
    ("IndexedMedia", "indexed-media"),
];

/// Fields in the order the portal shows them.
const FIELDS: [&str; 12] = [
    "id",
    "class",
    "subClass",
    "type",
    "number",
    "displayName",
    "dataCenterLocation",
    "status",
    "parentId",
    "iTwinAccountId",
    "createdDateTime",
    "lastModifiedDateTime",
];
/// What `Prefer: return=minimal` leaves.
const MINIMAL: [&str; 6] = ["id", "class", "subClass", "type", "number", "displayName"];

impl ITwin {
    fn field(&self, name: &str) -> Json {
        match name {
            "id" => self.id.to_string().into(),
            "class" => self.class.into(),
            "subClass" => self.sub_class.into(),
            "type" => self.kind.into(),
            "number" => self.number.clone().into(),
            "displayName" => self.display_name.clone().into(),
            "dataCenterLocation" => "UK South".into(),
            "status" => self.status.into(),
            "parentId" => self.parent.to_string().into(),
            "iTwinAccountId" => self.account.to_string().into(),
            "createdDateTime" => self.created.to_string().into(),
            "lastModifiedDateTime" => self.modified.to_string().into(),
            _ => Json::Null,
        }
    }

    fn written(&self, fields: &[&str]) -> Json {
        let fields = fields.iter().map(|name| ((*name).to_owned(), self.field(name)));
        Json::Object(fields.collect::<Map<_, _>>())
    }

    fn compare(&self, other: &Self, field: &str) -> Ordering {
        let text = |json: Json| json.as_str().unwrap_or_default().to_lowercase();
        text(self.field(field)).cmp(&text(other.field(field)))
    }
}

/// `GET /itwins`.
pub(super) fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let asked = call.parameters(INVALID);
    let most = max_return(call)?;
    let page = asked.page(0)?;
    let mut found = matching(call, &asked)?;
    sort(&mut found, &asked)?;
    // What lies beyond this is not there at all, not even as a link: paging silently stops.
    let most_rows = usize::try_from(most).unwrap_or(usize::MAX);
    found.truncate(most_rows);
    let preferred = preferred(call);
    let fields = selected(&asked, preferred.unwrap_or(Preferred::Representation))?;
    let rows = page.of(found.iter().copied()).map(|itwin| itwin.written(&fields));
    let rows: Vec<Json> = rows.collect();
    let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let link = |page: Page| {
        let address = format!("{}{}", call.base, call.path);
        let paging = format!("$skip={}&$top={}", page.skip, page.top);
        json!({ "href": asked.href(&address, &paging) })
    };
    let mut links = json!({ "self": link(page) });
    if page.skip > 0 {
        links["prev"] = link(page.previous());
    }
    if page.next().skip < total {
        links["next"] = link(page.next());
    }
    let body = json!({ "iTwins": rows, "_links": links });
    let reply = Reply::json(StatusCode::OK, &body).with(MAX_RETURN, &most.to_string());
    Ok(applied(reply, preferred))
}

/// `GET /itwins/favorites` and `/itwins/recents`: nobody marked or used any.
pub(super) fn none(call: &Call<'_>) -> Result<Reply, Refusal> {
    let asked = call.parameters(INVALID);
    let page = asked.page(0)?;
    let address = format!("{}{}", call.base, call.path);
    let paging = format!("$skip={}&$top={}", page.skip, page.top);
    let links = json!({ "self": { "href": asked.href(&address, &paging) } });
    Ok(Reply::json(
        StatusCode::OK,
        &json!({ "iTwins": [], "_links": links }),
    ))
}

/// `GET /itwins/{id}`.
pub(super) fn one(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    let itwin = call.itwin(id, "iTwinNotFound")?;
    let preferred = preferred(call);
    let fields = match preferred {
        Some(Preferred::Minimal) => &MINIMAL[..],
        Some(Preferred::Representation) | None => &FIELDS[..],
    };
    let reply = Reply::json(StatusCode::OK, &json!({ "iTwin": itwin.written(fields) }));
    Ok(applied(reply, preferred))
}

/// `GET /itwins/{id}/repositories`.
pub(super) fn repositories(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    // The portal writes this code in either case (fact sheet 2.1).
    let itwin = call.itwin(id, "ItwinNotFound")?;
    let asked = call.parameters(INVALID);
    let class = asked.text("class");
    // None of the repositories every iTwin has is of a sub-class.
    let sub_class = asked.text("subClass");
    let found = REPOSITORIES.iter().filter(|(name, _)| {
        sub_class.is_none() && class.is_none_or(|class| class.eq_ignore_ascii_case(name))
    });
    let rows: Vec<Json> = found
        .map(|(class, path)| {
            let uri = format!("{}/{path}?iTwinId={}", call.base, itwin.id);
            json!({ "class": class, "subClass": null, "uri": uri })
        })
        .collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "repositories": rows })))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preferred {
    Minimal,
    Representation,
}

/// What the `Prefer` header asks for, if anything.
fn preferred(call: &Call<'_>) -> Option<Preferred> {
    let prefer = call.headers.get("prefer")?.to_str().ok()?;
    prefer.split([',', ';']).find_map(|one| match one.trim() {
        "return=minimal" => Some(Preferred::Minimal),
        "return=representation" => Some(Preferred::Representation),
        _ => None,
    })
}

/// Says that a preference was honoured (RFC 7240 3).
fn applied(reply: Reply, preferred: Option<Preferred>) -> Reply {
    const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
    match preferred {
        Some(Preferred::Minimal) => reply.with(APPLIED, "return=minimal"),
        Some(Preferred::Representation) => reply.with(APPLIED, "return=representation"),
        None => reply,
    }
}

fn max_return(call: &Call<'_>) -> Result<u64, Refusal> {
    let Some(header) = call.headers.get(MAX_RETURN) else {
        return Ok(MAX_RETURN_DEFAULT);
    };
    let number = header.to_str().ok().and_then(|text| text.parse().ok());
    match number.filter(|number| MAX_RETURN_RANGE.contains(number)) {
        Some(number) => Ok(number),
        None => Err(call
            .parameters(INVALID)
            .wrong("X-Max-Return", "It must be a number from 1 to 10000.")),
    }
}

/// The caller's iTwins that the parameters leave.
fn matching<'a>(call: &'a Call<'_>, asked: &Parameters) -> Result<Vec<&'a ITwin>, Refusal> {
    let class = asked.word("class", &CLASSES)?;
    let sub_class = asked.word("subClass", &SUB_CLASSES)?;
    let status = asked.word("status", &STATES)?;
    let inactive = asked.word("includeInactive", &["true", "false"])? == Some("true");
    if inactive && status.is_some() {
        return Err(asked.wrong("includeInactive", "It cannot be combined with status."));
    }
    let parent: Option<Guid> = asked.parsed("parentId")?;
    let account: Option<Guid> = asked.parsed("iTwinAccountId")?;
    let search = asked.text("$search").map(str::to_lowercase);
    let name = asked.text("displayName");
    let number = asked.text("number");
    let filter = asked
        .text("$filter")
        .map(|text| clauses(text, asked))
        .transpose()?;
    let all = call.platform.catalog.of(call.email);
    let found = all.filter(|itwin| {
        class.is_none_or(|class| itwin.class == class)
            && sub_class.is_none_or(|sub_class| itwin.sub_class == sub_class)
            && match status {
                Some(status) => itwin.status == status,
                None => inactive || itwin.status != "Inactive",
            }
            && parent.is_none_or(|parent| itwin.parent == parent)
            && account.is_none_or(|account| itwin.account == account)
            && name.is_none_or(|name| itwin.display_name.eq_ignore_ascii_case(name))
            && number.is_none_or(|number| itwin.number.eq_ignore_ascii_case(number))
            && search.as_ref().is_none_or(|search| {
                let texts = [&itwin.display_name, &itwin.number];
                texts.iter().any(|text| text.to_lowercase().contains(search))
            })
            && filter.as_ref().is_none_or(|clauses| {
                clauses
                    .iter()
                    .all(|(field, value)| itwin.field(field) == value.as_str())
            })
    });
    Ok(found.collect())
}

/// Reads `field eq 'value' and …`, which is all of `$filter` that is served.
fn clauses(text: &str, asked: &Parameters) -> Result<Vec<(&'static str, String)>, Refusal> {
    let clause = |text: &str| {
        let (name, value) = text.trim().split_once(" eq ")?;
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        Some((field_named(name.trim())?, value.replace("''", "'")))
    };
    let clauses: Option<Vec<_>> = text.split(" and ").map(clause).collect();
    clauses.ok_or_else(|| asked.wrong("$filter", "Only field eq 'value', joined by and, is served."))
}

fn field_named(name: &str) -> Option<&'static str> {
    FIELDS.into_iter().find(|field| field.eq_ignore_ascii_case(name))
}

/// Sorts by `$orderby`; without it the order is that of creation.
fn sort(rows: &mut [&ITwin], asked: &Parameters) -> Result<(), Refusal> {
    let Some(order) = asked.text("$orderby") else {
        return Ok(());
    };
    let mut keys = Vec::new();
    for key in order.split(',') {
        let mut words = key.split_whitespace();
        let field = words.next().and_then(field_named);
        let down = match words.next() {
            None | Some("asc") => Some(false),
            Some("desc") => Some(true),
            Some(_) => None,
        };
        match (field, down, words.next()) {
            (Some(field), Some(down), None) => keys.push((field, down)),
            _ => return Err(asked.wrong("$orderby", &format!("'{key}' cannot be sorted by."))),
        }
    }
    rows.sort_by(|one, other| {
        let orders = keys.iter().map(|(field, down)| {
            let order = one.compare(other, field);
            if *down { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    });
    Ok(())
}

/// The fields `$select` names, or all that are preferred.
fn selected(asked: &Parameters, preferred: Preferred) -> Result<Vec<&'static str>, Refusal> {
    let Some(select) = asked.text("$select") else {
        return Ok(match preferred {
            Preferred::Minimal => MINIMAL.to_vec(),
            Preferred::Representation => FIELDS.to_vec(),
        });
    };
    let fields = select.split(',').map(|name| {
        let name = name.trim();
        field_named(name).ok_or_else(|| asked.wrong("$select", &format!("'{name}' is not a field.")))
    });
    fields.collect()
}
