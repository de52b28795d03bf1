//! `Navigation/NavNode`: the datasource as a tree of nodes (fact sheet 1.4, 1.5).
//!
//! The roots are the root folders and the saved searches of no folder; below a folder come its folders, documents
//! and saved searches, below a saved search what it finds, below a set its members.

use crate::demo::world::DocumentRow;
use crate::model::Guid;

use super::classes::Class;
use super::matching::Bound;
use super::path::Way;
use super::relations::Relation;
use super::rows::{Row, Value, guid_of};
use super::scene::Scene;

/// How an id begins: the type system, and the schema with its version.
const SYSTEM: &str = "StandardDisplayItemTypes";
const SCHEMA: &str = "PW_WSG.02.04";

/// The root nodes the account may see.
pub(super) fn roots<'a>(scene: Scene<'a>) -> Box<dyn Iterator<Item = Row<'a>> + 'a> {
    let folders = scene.view.folders_in(None).map(Row::Folder);
    let searches = scene.all(Class::SavedSearch, false);
    let searches = searches.filter(|row| matches!(row, Row::Record(record) if record.owner.is_none()));
    let rows = folders.filter(move |row| scene.visible(row)).chain(searches);
    Box::new(rows.map(|row| Row::Node(Box::new(row))))
}

/// The nodes below one, as far as the account may see them.
pub(super) fn children<'a>(scene: Scene<'a>, of: &Row<'_>) -> Vec<Row<'a>> {
    let Row::Node(inner) = of else {
        return Vec::new();
    };
    let to = |relation, way, class| Bound {
        relation,
        way,
        class,
        poly: true,
    };
    let rows: Vec<_> = match &**inner {
        Row::Folder(row) => {
            let searches = to(Relation::SavedSearchParent, Way::Backward, Class::SavedSearch);
            let folders = scene.folders_in(row.guid).chain(scene.documents_in(row.guid));
            folders.chain(scene.related(inner, searches)).collect()
        }
        Row::Document(_) => scene.related(inner, to(Relation::SetDocument, Way::Forward, Class::Document)),
        Row::Record(_) => scene.related(
            inner,
            to(Relation::SavedSearchResult, Way::Forward, Class::Document),
        ),
        Row::Attributes(_) | Row::WorkArea(_) | Row::Node(_) => Vec::new(),
    };
    rows.into_iter().map(|row| Row::Node(Box::new(row))).collect()
}

/// The id of the node of a row: the hyphens of a GUID are doubled.
pub(super) fn key(inner: &Row<'_>) -> String {
    let id = inner.id().replace('-', "--");
    format!("{SYSTEM}--{SCHEMA}-{}-{id}", inner.class().name())
}

/// What the id of a node names: a class, and an instance of it. Older servers' ids are understood as well.
pub(super) fn named(key: &str) -> Option<(Class, String)> {
    let (system, rest) = key.split_once("--")?;
    if ![SYSTEM, "ECObjects"].contains(&system) {
        return None;
    }
    let (schema, rest) = rest.split_once('-')?;
    if schema != "PW_WSG" && !schema.starts_with("PW_WSG.") {
        return None;
    }
    let (class, id) = rest.split_once('-')?;
    let class = Class::named("PW_WSG", class)?;
    Some((class, id.replace("--", "-")))
}

/// The folder or document the id of a node names.
pub(super) fn subject(key: &str) -> Option<Guid> {
    named(key).and_then(|(_, id)| id.parse().ok())
}

/// The node with this id.
pub(super) fn by_key<'a>(scene: Scene<'a>, key: &str) -> Option<Row<'a>> {
    let (class, id) = named(key)?;
    let inner = match class {
        Class::Project | Class::Document | Class::FlatSet | Class::LogicalSet => scene.by_id(class, &id)?,
        Class::SavedSearch => scene.find(class, guid_of(class, &id))?,
        _ => return None,
    };
    (inner.class() == class).then(|| Row::Node(Box::new(inner)))
}

/// A property of the node of a row.
pub(super) fn value<'a>(scene: Scene<'_>, inner: &'a Row<'_>, property: &str) -> Value<'a> {
    let class = inner.class();
    match property {
        "Key_TypeSystem" => Value::Text(SYSTEM.into()),
        "Key_SchemaName" => Value::Text("PW_WSG".into()),
        "Key_ClassName" => Value::Text(class.name().into()),
        "Key_InstanceId" => Value::Text(inner.id().into()),
        // What people call it is its name, whatever its description says.
        "Label" => inner.value(scene, "Name"),
        "Description" => inner.value(scene, "Description"),
        "CollapsedImageID" | "ExpandedImageID" => Value::Text(class.name().into()),
        "HasChildren" => Value::Bool(has_children(scene, inner)),
        "Selectable" => Value::Bool(true),
        "IsFileBacked" => Value::Bool(matches!(inner, Row::Document(row) if is_file(row))),
        "IsEditable" | "IsCheckBoxEnabled" | "IsCheckBoxVisible" | "IsChecked" | "IsDragEnabled" => {
            Value::Bool(false)
        }
        _ => Value::Null,
    }
}

fn is_file(row: &DocumentRow) -> bool {
    row.file_name.is_some()
}

/// Counts children of any kind, documents included (fact sheet 1.4).
fn has_children(scene: Scene<'_>, inner: &Row<'_>) -> bool {
    match inner {
        // What cannot be listed is not looked into: the node can be opened, and then says why not.
        Row::Folder(row) if !scene.view.may_list(row.guid) => true,
        Row::Folder(row) => {
            scene.folders_in(row.guid).next().is_some() || scene.documents_in(row.guid).next().is_some()
        }
        Row::Document(row) => !row.members.is_empty(),
        Row::Record(_) => true,
        Row::Attributes(_) | Row::WorkArea(_) | Row::Node(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_new_and_old_servers_are_understood() {
        let guid = "87d25a9c-e00a-45ce-8946-1854ac221ab3";
        let doubled = guid.replace('-', "--");
        for key in [
            format!("StandardDisplayItemTypes--PW_WSG.02.04-Project-{doubled}"),
            format!("ECObjects--PW_WSG-Project-{guid}"),
        ] {
            assert_eq!(named(&key), Some((Class::Project, guid.to_owned())), "{key}");
        }
        for key in [
            "",
            "--",
            "StandardDisplayItemTypes--PW_WSG.02.04-",
            "A--PW_WSG-Project-1",
        ] {
            assert_eq!(named(key), None, "{key}");
        }
    }
}
