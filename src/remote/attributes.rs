//! What a datasource keeps of a document beside what every ProjectWise knows: the attributes of its environment.

use crate::model::{AttributeSheet, DocumentId};

/// The answer to [`Remote::attributes`](super::Remote::attributes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attributes {
    /// The sheets of the document; none where its folder has no environment, or nothing was ever entered.
    Sheets(Vec<AttributeSheet>),
    /// This server does not tell attributes, or not in a way that is known.
    NotSupported,
}

/// The answer to [`Remote::attributes_of`](super::Remote::attributes_of).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributesOfMany {
    /// The sheets of each document, in any order. One that is missing was not answered, whatever the reason.
    Sheets(Vec<(DocumentId, Vec<AttributeSheet>)>),
    /// As [`Attributes::NotSupported`].
    NotSupported,
}
