//! What a datasource keeps of a document beside what every ProjectWise knows: the attributes of its environment.

/// The answer to [`Remote::attributes`](super::Remote::attributes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attributes {
    /// The sheets of the document; none where its folder has no environment, or nothing was ever entered.
    Sheets(Vec<AttributeSheet>),
    /// This server does not tell attributes, or not in a way that is known.
    NotSupported,
}

/// One sheet of attributes. A document has one as a rule, and may have several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeSheet {
    /// The name of the environment; empty where the server does not tell it.
    pub environment: String,
    /// In the order of the server. What has no value is left out.
    pub attributes: Vec<Attribute>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, as people know it.
    pub name: String,
    /// Its value as text, as the server wrote it; numbers and truths in JSON's spelling. May be empty.
    pub value: String,
}
