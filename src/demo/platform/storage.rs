//! `/storage`: a document store of its own, with the quirks of its paging (fact sheet 2.4). It holds nothing of the
//! datasource.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value as Json, json};
use url::form_urlencoded;

use crate::demo::accounts::{self, DEFAULT_EMAIL};
use crate::demo::knobs::Knobs;
use crate::demo::payload::Payload;
use crate::demo::reply::Reply;
use crate::demo::seed::digest;
use crate::model::Timestamp;

use super::catalog::ITwin;
use super::parameters::{Page, Parameters};
use super::refusal::Refusal;
use super::tree::{Node, Tree};
use super::{BLOB_ROOT, Call, Platform};

/// What a wrong parameter is called.
const INVALID: &str = "InvalidStorageRequest";
const NO_FOLDER: Refusal = Refusal::NotFound {
    code: "FolderNotFound",
    message: "Requested folder is not available.",
};
const NO_FILE: Refusal = Refusal::NotFound {
    code: "FileNotFound",
    message: "Requested file is not available.",
};

/// What of a folder is listed, and under which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    Items,
    Folders,
    Files,
}

/// `GET /storage/?iTwinId=`.
pub(super) fn top_level(call: &Call<'_>) -> Result<Reply, Refusal> {
    let asked = call.parameters(INVALID);
    let tree = Tree::of(itwin_asked_for(call, &asked)?);
    let root = tree.root();
    let mut body = page_of(call, &asked, &tree, tree.children(root.number), Listing::Items)?;
    body["_links"]["folder"] = link(&folder_address(call, &tree.id(root.number)));
    Ok(Reply::json(StatusCode::OK, &body))
}

/// `GET /storage/recyclebin?iTwinId=`.
pub(super) fn recycle_bin(call: &Call<'_>) -> Result<Reply, Refusal> {
    let asked = call.parameters(INVALID);
    let tree = Tree::of(itwin_asked_for(call, &asked)?);
    let body = page_of(call, &asked, &tree, tree.deleted(), Listing::Items)?;
    Ok(Reply::json(StatusCode::OK, &body))
}

/// `GET /storage/folders/{id}/list`, `…/folders` and `…/files`.
pub(super) fn list(call: &Call<'_>, id: &str, what: Listing) -> Result<Reply, Refusal> {
    let (tree, number) = found(call, id, &NO_FOLDER)?;
    let folder = tree.node(number).filter(|node| node.file.is_none());
    let folder = folder.ok_or(NO_FOLDER)?;
    let asked = call.parameters(INVALID);
    let rows = tree.children(folder.number).filter(|node| match what {
        Listing::Items => true,
        Listing::Folders => node.file.is_none(),
        Listing::Files => node.file.is_some(),
    });
    let body = page_of(call, &asked, &tree, rows, what)?;
    Ok(Reply::json(StatusCode::OK, &body))
}

/// `GET /storage/folders/{id}`.
pub(super) fn folder(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    let (tree, number) = found(call, id, &NO_FOLDER)?;
    let node = tree.node(number).filter(|node| node.file.is_none());
    let node = node.ok_or(NO_FOLDER)?;
    let body = json!({ "folder": written(call, &tree, node) });
    Ok(Reply::json(StatusCode::OK, &body))
}

/// `GET /storage/files/{id}`.
pub(super) fn file(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    let (tree, number) = found(call, id, &NO_FILE)?;
    let node = tree.node(number).filter(|node| node.file.is_some());
    let node = node.ok_or(NO_FILE)?;
    let body = json!({ "file": written(call, &tree, node) });
    Ok(Reply::json(StatusCode::OK, &body))
}

/// `GET /storage/files/{id}/download`: a redirect to a signed URL.
pub(super) fn download(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    let (tree, number) = found(call, id, &NO_FILE)?;
    let node = tree.node(number).filter(|node| node.file.is_some());
    node.ok_or(NO_FILE)?;
    let lifetime = jiff::SignedDuration::try_from(call.knobs.blob_lifetime);
    let ends = call
        .platform
        .now()
        .checked_add(lifetime.unwrap_or(jiff::SignedDuration::MAX));
    let ends = format!("{:.0}", ends.unwrap_or(Timestamp::MAX));
    let signature = signature(call.platform, id, &ends);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("se", ends.as_str()), ("sp", "r"), ("sig", &signature)])
        .finish();
    Ok(Reply::redirect(&format!("{}{BLOB_ROOT}{id}?{query}", call.base)))
}

/// Answers a signed URL. It takes no login: one that is sent all the same is refused, as Azure does.
pub(super) fn blob(
    platform: &Platform,
    method: &Method,
    id: &str,
    query: &str,
    headers: &HeaderMap,
    knobs: &Knobs,
) -> Reply {
    if *method != Method::GET {
        return azure_error(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpVerb");
    }
    if headers.contains_key(AUTHORIZATION) {
        return azure_error(StatusCode::FORBIDDEN, "AuthenticationFailed");
    }
    let asked = Parameters::parse(query, INVALID);
    let ends = asked.text("se").unwrap_or_default();
    let signed = asked.text("sig") == Some(&signature(platform, id, ends));
    let alive = ends.parse().is_ok_and(|ends: Timestamp| platform.now() < ends);
    if !signed || !alive {
        return azure_error(StatusCode::FORBIDDEN, "AuthenticationFailed");
    }
    let recipe = Tree::read_id(id).and_then(|(itwin, number)| {
        let itwin = platform.catalog.by_id(itwin)?;
        Tree::of(itwin).node(number)?.file
    });
    let Some(recipe) = recipe else {
        return azure_error(StatusCode::NOT_FOUND, "BlobNotFound");
    };
    let mut reply = Reply::empty(StatusCode::OK).with(CONTENT_TYPE, "application/octet-stream");
    let bytes = recipe.make();
    if knobs.storage_etag {
        reply = reply.with_etag(digest(&bytes));
    }
    reply.body = Payload::Bytes(bytes.into());
    reply
}

fn azure_error(status: StatusCode, code: &str) -> Reply {
    let mut reply = Reply::empty(status).with(CONTENT_TYPE, "application/xml");
    let message = "The simulator's storage refuses this.";
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    reply.body = body.into();
    reply
}

/// What makes a URL a signed one; good against changed ids and times, which is all there is to guard here.
fn signature(platform: &Platform, id: &str, ends: &str) -> String {
    let text = format!("{:016x} {id} {ends}", platform.secret);
    format!("{:016x}", digest(text.as_bytes()))
}

/// The iTwin the query names, where the caller may read its storage. `projectId` is the older name.
fn itwin_asked_for<'a>(call: &'a Call<'_>, asked: &Parameters) -> Result<&'a ITwin, Refusal> {
    let id = asked.text("iTwinId").or_else(|| asked.text("projectId"));
    let id = id.ok_or_else(|| asked.wrong("iTwinId", "It is required."))?;
    let itwin = call.itwin(id, "iTwinNotFound")?;
    if !ITwin::lets_read_storage(call.email) {
        return Err(Refusal::Forbidden);
    }
    Ok(itwin)
}

/// The tree an id lies in, and the number of its node there.
fn found(call: &Call<'_>, id: &str, missing: &Refusal) -> Result<(Tree, usize), Refusal> {
    let (itwin, number) = Tree::read_id(id).ok_or_else(|| missing.clone())?;
    let itwin = call.itwin(&itwin.to_string(), "iTwinNotFound");
    // A stranger is not told that it exists.
    let itwin = itwin.map_err(|_| missing.clone())?;
    if !ITwin::lets_read_storage(call.email) {
        return Err(Refusal::Forbidden);
    }
    Ok((Tree::of(itwin), number))
}

/// One page of rows. It has links to both neighbours whether there are any rows there or not (fact sheet 2.4).
fn page_of<'t>(
    call: &Call<'_>,
    asked: &Parameters,
    tree: &Tree,
    rows: impl Iterator<Item = &'t Node>,
    what: Listing,
) -> Result<Json, Refusal> {
    let page = asked.page(call.knobs.storage_top)?;
    let rows: Vec<Json> = page.of(rows).map(|node| written(call, tree, node)).collect();
    let name = match what {
        Listing::Items => "items",
        Listing::Folders => "folders",
        Listing::Files => "files",
    };
    let at = |page: Page| {
        let address = format!("{}{}", call.base, call.path);
        let paging = format!("$top={}&$skip={}", page.top, page.skip);
        link(&asked.href(&address, &paging))
    };
    let links = json!({ "self": at(page), "prev": at(page.previous()), "next": at(page.next()) });
    let mut body = Map::new();
    body.insert(name.to_owned(), rows.into());
    body.insert("_links".to_owned(), links);
    Ok(Json::Object(body))
}

fn link(address: &str) -> Json {
    json!({ "href": address })
}

fn folder_address(call: &Call<'_>, id: &str) -> String {
    format!("{}/storage/folders/{id}", call.base)
}

fn written(call: &Call<'_>, tree: &Tree, node: &Node) -> Json {
    let person = accounts::by_email(DEFAULT_EMAIL);
    let (given, family) = person.map_or(("", ""), |person| person.name);
    let subject = person.map_or("", |person| person.subject);
    let by = link(&format!("{}/users/{subject}", call.base));
    let mut json = json!({
        "type": if node.file.is_some() { "file" } else { "folder" },
        "id": tree.id(node.number),
        "displayName": node.name,
        "description": "",
        "path": tree.path(node),
        "lastModifiedByDisplayName": format!("{given} {family}"),
        "createdDateTime": time_text(node.created, node.number),
        "lastModifiedDateTime": time_text(node.modified, node.number),
        "_links": { "createdBy": by, "lastModifiedBy": by },
    });
    if let Some(recipe) = &node.file {
        json["size"] = recipe.size().into();
    }
    if let Some(parent) = node.parent {
        let id = tree.id(parent);
        json["_links"]["parentFolder"] = link(&folder_address(call, &id));
        json["parentFolderId"] = id.into();
    }
    json
}

/// Seven digits of a second, and either way to write UTC: both were seen (fact sheet 2.4).
fn time_text(time: Timestamp, number: usize) -> String {
    let text = format!("{time:.7}");
    if number.is_multiple_of(2) {
        text
    } else {
        text.replace('Z', "+00:00")
    }
}
