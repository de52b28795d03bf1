//! `MetaSchema` and `Policies`: what the datasource says of its own classes (fact sheet 1.3).

use crate::demo::knobs::{Knobs, Redirect};

use super::classes::{Class, Kind, SCHEMAS};
use super::rows::{Record, Value, guid_of};

/// The instances of one of the schema's own classes.
pub(super) fn records(knobs: &Knobs, class: Class) -> Vec<Record> {
    match class {
        Class::MetaSchema => SCHEMAS.into_iter().map(schema).collect(),
        Class::MetaType => Class::all().into_iter().map(definition).collect(),
        Class::MetaProperty => {
            let all = Class::all().into_iter();
            all.flat_map(|class| properties(knobs, class)).collect()
        }
        Class::Policy => vec![file_access(knobs)],
        _ => Vec::new(),
    }
}

fn text(text: &'static str) -> Value<'static> {
    Value::Text(text.into())
}

/// Ids are escaped with tildes: `N:PW_WSG.02.04:Document` (fact sheet 1.2).
fn schema_id(name: &str) -> String {
    let known = SCHEMAS.into_iter().find(|(known, ..)| *known == name);
    let (major, minor) = known.map_or((1, 0), |(_, major, minor)| (major, minor));
    format!("N~3A{name}.{major:02}.{minor:02}")
}

fn class_id(class: Class) -> String {
    format!("{}~3A{}", schema_id(class.schema()), class.name())
}

fn schema((name, major, minor): (&'static str, u8, u8)) -> Record {
    Record {
        class: Class::MetaSchema,
        id: schema_id(name),
        owner: None,
        properties: vec![
            ("Name", text(name)),
            ("DisplayLabel", text(name)),
            ("Description", text("")),
            ("VersionMajor", Value::Number(major.into())),
            ("VersionMinor", Value::Number(minor.into())),
        ],
    }
}

fn definition(class: Class) -> Record {
    let label = class
        .environment()
        .map_or(class.name(), |environment| environment.name);
    Record {
        class: Class::MetaType,
        id: class_id(class),
        owner: Some(guid_of(Class::MetaSchema, &schema_id(class.schema()))),
        properties: vec![
            ("Name", text(class.name())),
            ("DisplayLabel", text(label)),
            ("Description", text("")),
            ("IsDomainClass", Value::Bool(true)),
            ("IsStruct", Value::Bool(false)),
        ],
    }
}

fn properties(knobs: &Knobs, class: Class) -> impl Iterator<Item = Record> {
    class.properties(knobs.properties).map(move |property| {
        let kind = match property.kind {
            Kind::Text | Kind::Guid => "string",
            Kind::Bool => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Time => "dateTime",
        };
        Record {
            class: Class::MetaProperty,
            id: format!("{}~3A{}", class_id(class), property.name),
            owner: Some(guid_of(Class::MetaType, &class_id(class))),
            properties: vec![
                ("Name", text(property.name)),
                // The escape of a hyphen in a column's name.
                (
                    "DisplayLabel",
                    Value::Text(
                        property
                            .name
                            .replace("__x002d__", "-")
                            .replace("__x005f__", "_")
                            .into(),
                    ),
                ),
                ("TypeName", text(kind)),
            ],
        }
    })
}

/// The policy that says how files may be fetched (fact sheet 1.9).
fn file_access(knobs: &Knobs) -> Record {
    let types = match knobs.redirect {
        Redirect::Never => "Default",
        Redirect::Blob => "AzureBlobSasUrl,Default",
    };
    Record {
        class: Class::Policy,
        id: "SupportsFileAccessUrl".to_owned(),
        owner: None,
        properties: vec![
            ("Name", text("SupportsFileAccessUrl")),
            ("Supported", Value::Bool(true)),
            ("SupportedTypes", text(types)),
            ("SupportsReadAccess", Value::Bool(true)),
            ("SupportsWriteAccess", Value::Bool(false)),
        ],
    }
}
