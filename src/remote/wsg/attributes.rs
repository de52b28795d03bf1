//! The attributes that a document's environment gives it.
//!
//! They come as an instance related to the document, of a class that the datasource made for itself (projectwise-api 1.3
//! and 1.5): neither the class nor its properties can be known before. How certain the query is, the fact sheet says; a
//! server that does not understand it has no attributes for us, and that is an answer.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::model::{Attribute, AttributeSheet, DocumentId, Guid};
use crate::remote::{Attributes, AttributesOfMany, RemoteError};

use super::WsgRemote;
use super::error::Failure;
use super::gateway::failure_of;
use super::problem::ErrorId;
use super::query::{self, IDS_PER_QUERY, Query};
use super::wire::{self, Scalar};

/// Sheets of one document that are read; nobody keeps as many by hand.
const MOST_SHEETS: usize = 100;
/// Attributes of one sheet that are read. A table of SQL Server has no more columns.
const MOST_ATTRIBUTES: usize = 1024;

/// The relationship that leads from a document to its attributes.
const RELATIONSHIP: &str = "DocumentEnvironment";

#[derive(Debug, Deserialize)]
struct Answer {
    instances: Vec<Row>,
}

/// A document with what is related to it.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(rename = "instanceId", default)]
    id: Scalar,
    #[serde(rename = "relationshipInstances", default)]
    relationships: Option<Vec<Relationship>>,
}

#[derive(Debug, Deserialize)]
struct Relationship {
    #[serde(rename = "className", default)]
    class: Scalar,
    #[serde(rename = "relatedInstance", default)]
    related: Option<Related>,
}

/// What is at the other end.
#[derive(Debug, Deserialize)]
struct Related {
    #[serde(rename = "className", default)]
    class: Scalar,
    #[serde(default)]
    properties: Option<Properties>,
}

/// Properties whose names nobody knows before, in the order in which they came.
#[derive(Debug, Default)]
struct Properties(Vec<(String, Scalar)>);

impl WsgRemote {
    pub(super) async fn ask_attributes(&self, document: DocumentId) -> Result<Attributes, RemoteError> {
        let what = format!("the attributes of document {document}");
        let answer = match self
            .rows_with_attributes(&query::attributes(document), &what)
            .await
        {
            Ok(rows) => {
                sheets_of(rows, document).map_err(|reason| Failure::protocol(format!("{what}: {reason}")))
            }
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(sheets) => Ok(Attributes::Sheets(sheets)),
            Err(failure) if is_not_understood(&failure) => {
                tracing::debug!(%document, error = %failure.error, "the server does not tell attributes");
                Ok(Attributes::NotSupported)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    pub(super) async fn ask_attributes_of_many(
        &self,
        documents: &[DocumentId],
    ) -> Result<AttributesOfMany, RemoteError> {
        let all: BTreeSet<DocumentId> = documents.iter().copied().collect();
        let mut found = Vec::with_capacity(all.len());
        let mut rest = all.into_iter();
        let mut wanted = BTreeSet::new();
        loop {
            if wanted.is_empty() {
                wanted.extend(rest.by_ref().take(IDS_PER_QUERY));
            }
            if wanted.is_empty() {
                return Ok(AttributesOfMany::Sheets(found));
            }
            let batch: Vec<Guid> = wanted.iter().map(|id| id.0).collect();
            let query = Query::attributes_by_id(&batch);
            let path = query.path(false, Some(IDS_PER_QUERY), None);
            let rows = match self.rows_with_attributes(&path, query.what()).await {
                Ok(rows) => rows,
                Err(failure) if is_not_understood(&failure) => {
                    tracing::debug!(error = %failure.error, "the server does not tell attributes");
                    return Ok(AttributesOfMany::NotSupported);
                }
                Err(failure) => return Err(failure.into()),
            };
            let before = found.len();
            for row in rows {
                let Some(id) = row.document() else { continue };
                if wanted.remove(&id) {
                    found.push((id, row.into_sheets()));
                }
            }
            // A page may be shorter than what was asked for: the rest is asked for once more, until nothing comes of it.
            if found.len() == before {
                wanted.clear();
            }
        }
    }

    async fn rows_with_attributes(&self, path: &str, what: &str) -> Result<Vec<Row>, Failure> {
        let url = self.url(path).await?;
        let response = self.gateway.get(&url, &[], what).await?;
        match rows(&response.body) {
            Ok(rows) => Ok(rows),
            // An error under a good status is the error it says it is.
            Err(reason) => {
                let said = failure_of(&response, what);
                Err(match said.kind {
                    Some(_) => said,
                    None => Failure::protocol(format!("{what}: {reason}")),
                })
            }
        }
    }
}

/// True where the server knows no such class, relationship or query. A bare 404 says nothing of that.
const fn is_not_understood(failure: &Failure) -> bool {
    match failure.kind {
        Some(kind) => matches!(
            kind,
            ErrorId::SchemaNotFound
                | ErrorId::ClassNotFound
                | ErrorId::PropertyNotFound
                | ErrorId::LinkTypeNotFound
                | ErrorId::NotSupported
        ),
        None => failure.status == 400,
    }
}

/// The rows of an answer; `Err` holds the reason in words without the body's content.
fn rows(body: &[u8]) -> Result<Vec<Row>, String> {
    wire::json::<Answer>(body).map(|answer| answer.instances)
}

/// The sheets of a document among these rows; `Err` holds the reason in words.
fn sheets_of(rows: Vec<Row>, document: DocumentId) -> Result<Vec<AttributeSheet>, String> {
    let row = rows.into_iter().find(|row| row.document() == Some(document));
    row.map(Row::into_sheets)
        .ok_or_else(|| "the answer does not hold the document".to_owned())
}

impl Row {
    fn document(&self) -> Option<DocumentId> {
        self.id.text()?.parse().ok().map(DocumentId)
    }

    fn into_sheets(self) -> Vec<AttributeSheet> {
        self.relationships
            .unwrap_or_default()
            .into_iter()
            .filter(Relationship::leads_to_attributes)
            .filter_map(|relationship| relationship.related)
            .take(MOST_SHEETS)
            .map(Related::into_sheet)
            .collect()
    }
}

impl Relationship {
    /// A relationship without a name can only be the one that was asked for.
    fn leads_to_attributes(&self) -> bool {
        self.class
            .text()
            .is_none_or(|class| class.eq_ignore_ascii_case(RELATIONSHIP))
    }
}

impl Related {
    fn into_sheet(self) -> AttributeSheet {
        let attribute = |(name, value): (String, Scalar)| {
            Some(Attribute {
                name: plain_name(&name),
                value: value.text()?,
            })
        };
        let Properties(properties) = self.properties.unwrap_or_default();
        AttributeSheet {
            environment: environment(&self.class.text().unwrap_or_default()),
            attributes: properties.into_iter().filter_map(attribute).collect(),
        }
    }
}

/// The environment's name in that of its class, `Env_152_Drawings`; else the whole.
fn environment(class: &str) -> String {
    let name = class
        .strip_prefix("Env_")
        .and_then(|rest| rest.split_once('_'))
        .filter(|(id, name)| !name.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(class, |(_, name)| name);
    plain_name(name)
}

/// A name without its escapes: `DOC__x002d__STATUS` is `DOC-STATUS` (projectwise-api 1.2). What is no escape stays.
fn plain_name(name: &str) -> String {
    const OPENS: &str = "__x";
    const CLOSES: &str = "__";
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(OPENS) {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let digits = escape.get(OPENS.len()..OPENS.len() + 4);
        let character = digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        let behind = escape
            .get(OPENS.len() + 4..)
            .and_then(|behind| behind.strip_prefix(CLOSES));
        if let (Some(character), Some(behind)) = (character, behind) {
            plain.push(character);
            rest = behind;
        } else {
            // One underscore on: an escape may begin with the next.
            plain.push('_');
            rest = &escape[1..];
        }
    }
    plain.push_str(rest);
    plain
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Properties;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("properties")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Properties, A::Error> {
                let mut properties = Vec::new();
                while let Some((name, value)) = entries.next_entry()? {
                    if properties.len() < MOST_ATTRIBUTES {
                        properties.push((name, value));
                    }
                }
                Ok(Properties(properties))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: Guid = Guid::from_bytes([0x11; 16]);

    fn read(body: &[u8], document: Guid) -> Result<Vec<AttributeSheet>, String> {
        sheets_of(rows(body)?, DocumentId(document))
    }

    fn answer(relationships: &str) -> String {
        format!(r#"{{"instances":[{{"instanceId":"{DOCUMENT}"{relationships}}}]}}"#)
    }

    fn sheet(properties: &str) -> String {
        answer(&format!(
            r#","relationshipInstances":[{{"className":"DocumentEnvironment","properties":null,
               "relatedInstance":{{"className":"Env_152_Road__x0020__Plans","properties":{properties}}}}}]"#
        ))
    }

    fn pairs(sheet: &AttributeSheet) -> Vec<(&str, &str)> {
        sheet
            .attributes
            .iter()
            .map(|attribute| (attribute.name.as_str(), attribute.value.as_str()))
            .collect()
    }

    #[test]
    fn names_are_read_without_their_escapes() {
        for (escaped, plain) in [
            ("DOC__x002d__STATUS", "DOC-STATUS"),
            ("__x0020__a__x0020__", " a "),
            ("Gr__x00f6____x00DF__e", "Größe"),
            ("PLAIN_NAME", "PLAIN_NAME"),
            ("a__x00", "a__x00"),
            ("a__x002g__b", "a__x002g__b"),
            ("a__x002d_b", "a__x002d_b"),
            ("___x002d__", "_-"),
            ("a__xd800__b", "a__xd800__b"),
            ("a__xö__", "a__xö__"),
            ("", ""),
        ] {
            assert_eq!(plain_name(escaped), plain, "{escaped}");
        }
        for (class, name) in [
            ("Env_152_Drawings", "Drawings"),
            ("Env_7_A_B", "A_B"),
            ("Env_x_B", "Env_x_B"),
            ("Other", "Other"),
        ] {
            assert_eq!(environment(class), name);
        }
    }

    #[test]
    fn values_of_any_kind_are_texts_in_order_and_what_has_none_is_left_out() {
        let body = sheet(r#"{"Z":"last","A":7,"B":1.5,"C":true,"D":null,"E":"","F":[1],"G":{"x":1}}"#);
        let sheets = read(body.as_bytes(), DOCUMENT).unwrap();
        assert_eq!(sheets.len(), 1);
        assert_eq!(sheets[0].environment, "Road Plans");
        assert_eq!(
            pairs(&sheets[0]),
            [("Z", "last"), ("A", "7"), ("B", "1.5"), ("C", "true"), ("E", "")]
        );
    }

    #[test]
    fn no_attributes_are_no_failure_and_another_answer_is_one() {
        for relationships in [
            "",
            r#","relationshipInstances":null"#,
            r#","relationshipInstances":[]"#,
            r#","relationshipInstances":[{"className":"DocumentParent","relatedInstance":{"className":"Project"}}]"#,
            r#","relationshipInstances":[{"className":"DocumentEnvironment","relatedInstance":null}]"#,
        ] {
            assert_eq!(read(answer(relationships).as_bytes(), DOCUMENT), Ok(Vec::new()));
        }
        let bare = answer(r#","relationshipInstances":[{"relatedInstance":{"properties":null}}]"#);
        let sheets = read(bare.as_bytes(), DOCUMENT).unwrap();
        assert_eq!((sheets.len(), sheets[0].environment.as_str()), (1, ""));
        assert!(read(br#"{"instances":[]}"#, DOCUMENT).is_err());
        assert!(read(br#"{"errorId":"x"}"#, DOCUMENT).is_err());
        let other = answer("").replace("11111111", "22222222");
        assert!(read(other.as_bytes(), DOCUMENT).is_err());
    }

    #[test]
    fn a_sheet_without_end_is_cut() {
        let properties: Vec<String> = (0..5000).map(|number| format!(r#""p{number}":1"#)).collect();
        let body = sheet(&format!("{{{}}}", properties.join(",")));
        let sheets = read(body.as_bytes(), DOCUMENT).unwrap();
        assert_eq!(sheets[0].attributes.len(), MOST_ATTRIBUTES);
    }
}
