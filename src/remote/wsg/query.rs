//! The queries pwfs sends, as paths below a repository.
//!
//! Facts: projectwise-api 1.5. `$select=*` always: naming a property a server lacks fails the whole query.

use crate::model::{DocumentId, FolderId, Guid};

use super::address::escape;

/// How a query asks for the children of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryStyle {
    /// `$filter=ProjectParent-forward-Project.$id eq '…'`: what ProjectWise Web sends.
    #[default]
    Relationship,
    /// `Project/{guid}/Document!poly`: the short path.
    Path,
    /// `$filter=ParentGuid eq '…'`: by column.
    ParentGuid,
}

/// The class a query asks for; page sizes are learnt for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Project,
    Document,
    NavNode,
}

/// How `api.ancestor` is spelled; each was seen in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ancestor {
    /// `api.ancestor=Project-{guid}`.
    Dash,
    /// `API.ancestor=PW_WSG.Project={guid}`.
    Equals,
}

/// A query without its paging options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) class: Class,
    path: String,
    /// An option as it stands in the URL.
    ancestor: Option<String>,
    /// Names and raw values.
    options: Vec<(&'static str, String)>,
    /// A column whose order is stable between pages.
    order: Option<&'static str>,
    /// What it asks for, in the words of errors.
    what: String,
}

/// Names are unique among the active documents of a folder, nearly: what shares one is told apart by the overlap
/// and by the check for repeated rows.
const STABLE_ORDER: &str = "Name";

impl Query {
    pub(super) fn child_folders(style: QueryStyle, folder: FolderId) -> Self {
        Self::children(
            style,
            Class::Project,
            "PW_WSG/Project",
            "Project",
            "ProjectParent",
            folder,
        )
    }

    pub(super) fn documents(style: QueryStyle, folder: FolderId) -> Self {
        Self::children(
            style,
            Class::Document,
            "PW_WSG/Document!poly",
            "Document!poly",
            "DocumentParent",
            folder,
        )
    }

    fn children(
        style: QueryStyle,
        class: Class,
        by_filter: &str,
        by_path: &str,
        relationship: &str,
        folder: FolderId,
    ) -> Self {
        let (path, filter) = match style {
            QueryStyle::Relationship => (
                by_filter.to_owned(),
                Some(format!("{relationship}-forward-Project.$id eq '{folder}'")),
            ),
            QueryStyle::Path => (format!("PW_WSG/Project/{folder}/{by_path}"), None),
            QueryStyle::ParentGuid => (by_filter.to_owned(), Some(format!("ParentGuid eq '{folder}'"))),
        };
        let mut options = Vec::new();
        options.extend(filter.map(|filter| ("$filter", filter)));
        options.push(("$select", "*".to_owned()));
        Self {
            class,
            path,
            ancestor: None,
            options,
            order: Some(STABLE_ORDER),
            what: format!("folder {folder}"),
        }
    }

    /// Those of some folders that exist; at most [`IDS_PER_QUERY`].
    pub(super) fn folders_by_id(ids: &[Guid]) -> Self {
        Self::by_id(Class::Project, "PW_WSG/Project", ids)
    }

    /// Those of some documents that exist; at most [`IDS_PER_QUERY`].
    pub(super) fn documents_by_id(ids: &[Guid]) -> Self {
        Self::by_id(Class::Document, "PW_WSG/Document!poly", ids)
    }

    /// The same, with what their environments say of them.
    pub(super) fn attributes_by_id(ids: &[Guid]) -> Self {
        let mut query = Self::documents_by_id(ids);
        for (option, value) in &mut query.options {
            if *option == "$select" {
                WITH_ATTRIBUTES.clone_into(value);
            }
        }
        "the attributes of documents".clone_into(&mut query.what);
        query
    }

    fn by_id(class: Class, path: &str, ids: &[Guid]) -> Self {
        let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        Self {
            class,
            path: path.to_owned(),
            ancestor: None,
            options: vec![
                ("$filter", format!("$id in [{}]", list.join(","))),
                ("$select", "*".to_owned()),
            ],
            order: Some(STABLE_ORDER),
            what: "a look-up by id".to_owned(),
        }
    }

    /// The nodes at the top of the navigation tree.
    pub(super) fn root_nodes() -> Self {
        Self {
            class: Class::NavNode,
            path: "Navigation/NavNode".to_owned(),
            ancestor: None,
            options: Vec::new(),
            order: None,
            what: "the root folders".to_owned(),
        }
    }

    /// Every folder of the datasource.
    pub(super) fn all_folders() -> Self {
        Self {
            class: Class::Project,
            path: "PW_WSG/Project!poly".to_owned(),
            ancestor: None,
            options: vec![("$select", "*".to_owned())],
            order: Some(STABLE_ORDER),
            what: "the list of all folders".to_owned(),
        }
    }

    /// Every document of the datasource. Only for its first page, unless it is bounded.
    pub(super) fn all_documents() -> Self {
        Self {
            class: Class::Document,
            path: "PW_WSG/Document!poly".to_owned(),
            ancestor: None,
            options: vec![("$select", "*".to_owned())],
            order: Some(STABLE_ORDER),
            what: "the list of all documents".to_owned(),
        }
    }

    /// Those of them that have this name.
    pub(super) fn named(mut self, name: &str) -> Self {
        // A quote within a text is written twice (projectwise-api 1.5).
        let condition = format!("Name eq '{}'", name.replace('\'', "''"));
        match self.options.iter_mut().find(|(option, _)| *option == "$filter") {
            Some((_, filter)) => {
                filter.push_str(" and ");
                filter.push_str(&condition);
            }
            None => self.options.insert(0, ("$filter", condition)),
        }
        self
    }

    /// Those of them that are below this folder, at any depth.
    pub(super) fn below(mut self, spelling: Ancestor, folder: FolderId) -> Self {
        self.ancestor = Some(match spelling {
            Ancestor::Dash => format!("api.ancestor=Project-{folder}"),
            Ancestor::Equals => format!("API.ancestor=PW_WSG.Project={folder}"),
        });
        self.what = format!("what is below folder {folder}");
        self
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub(super) const fn can_be_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// The path below the repository, with these paging options.
    pub(super) fn path(&self, ordered: bool, top: Option<usize>, skip: Option<usize>) -> String {
        let mut options = self.options.clone();
        if let Some(order) = self.order.filter(|_| ordered) {
            options.push(("$orderby", order.to_owned()));
        }
        options.extend(top.map(|top| ("$top", top.to_string())));
        options.extend(skip.map(|skip| ("$skip", skip.to_string())));
        let mut path = self.path.clone();
        for (index, (name, value)) in options.iter().enumerate() {
            path.push(if index == 0 { '?' } else { '&' });
            path.push_str(name);
            path.push('=');
            encode_value(value, &mut path);
        }
        if let Some(ancestor) = &self.ancestor {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(ancestor);
        }
        path
    }
}

/// GUIDs that fit one `$id in [...]`: about 2 kB of URL, well below the 4 kB where gateways begin to refuse.
pub(super) const IDS_PER_QUERY: usize = 50;

/// One folder.
pub(super) fn folder(id: FolderId) -> String {
    format!("PW_WSG/Project/{id}?$select=*")
}

/// One document.
pub(super) fn document(id: DocumentId) -> String {
    format!("PW_WSG/Document/{id}?$select=*")
}

/// Everything of a document, and everything that its environment says of it.
const WITH_ATTRIBUTES: &str = "*,DocumentEnvironment-forward-Environment!poly.*";

/// One document with what its environment says of it.
pub(super) fn attributes(id: DocumentId) -> String {
    format!("PW_WSG/Document/{id}?$select={WITH_ATTRIBUTES}")
}

/// A document's file.
pub(super) fn file(id: DocumentId) -> String {
    format!("PW_WSG/Document/{id}/$file")
}

/// The user the token stands for.
pub(super) fn current_user() -> String {
    "PW_WSG/User?$filter=IsCurrent%20eq%20true&$select=$id".to_owned()
}

/// A class no schema has: a server that answers `ClassNotFound` has accepted the login (projectwise-api 1.5).
pub(super) fn no_class() -> String {
    "PW_WSG/PwfsAsksWhetherTheLoginIsGood".to_owned()
}

/// A repository's id as a path segment. Ids pass unchanged (projectwise-api 1.2); what could end the segment does not.
pub(super) fn segment(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            escape(b'%', byte, &mut out);
        }
    }
    out
}

/// Escapes a value of the query string; `$`, quotes and what else may stand there stays readable in server logs.
fn encode_value(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~$*'(),!/:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            escape(b'%', byte, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: FolderId = FolderId(Guid::from_bytes([0x11; 16]));

    #[test]
    fn children_are_asked_for_in_each_style() {
        let id = FOLDER.to_string();
        for (style, folders, documents) in [
            (
                QueryStyle::Relationship,
                format!("PW_WSG/Project?$filter=ProjectParent-forward-Project.$id%20eq%20'{id}'&$select=*"),
                format!(
                    "PW_WSG/Document!poly?$filter=DocumentParent-forward-Project.$id%20eq%20'{id}'&$select=*"
                ),
            ),
            (
                QueryStyle::Path,
                format!("PW_WSG/Project/{id}/Project?$select=*"),
                format!("PW_WSG/Project/{id}/Document!poly?$select=*"),
            ),
            (
                QueryStyle::ParentGuid,
                format!("PW_WSG/Project?$filter=ParentGuid%20eq%20'{id}'&$select=*"),
                format!("PW_WSG/Document!poly?$filter=ParentGuid%20eq%20'{id}'&$select=*"),
            ),
        ] {
            assert_eq!(
                Query::child_folders(style, FOLDER).path(false, None, None),
                folders
            );
            assert_eq!(Query::documents(style, FOLDER).path(false, None, None), documents);
        }
    }

    #[test]
    fn paging_options_follow_and_a_query_without_options_begins_with_them() {
        let documents = Query::documents(QueryStyle::Path, FOLDER).path(true, Some(501), Some(499));
        assert!(
            documents.ends_with("$select=*&$orderby=Name&$top=501&$skip=499"),
            "{documents}"
        );
        assert_eq!(
            Query::root_nodes().path(true, Some(5), None),
            "Navigation/NavNode?$top=5"
        );
    }

    #[test]
    fn a_name_joins_the_filter_and_cannot_leave_its_quotes() {
        let path = Query::child_folders(QueryStyle::Relationship, FOLDER)
            .named("O'Neil")
            .path(false, None, None);
        assert!(
            path.contains(&format!("$id%20eq%20'{FOLDER}'%20and%20Name%20eq%20'O''Neil'&")),
            "{path}"
        );
        let path = Query::all_folders().named("A").path(false, Some(2), None);
        assert_eq!(
            path,
            "PW_WSG/Project!poly?$filter=Name%20eq%20'A'&$select=*&$top=2"
        );
    }

    #[test]
    fn an_ancestor_is_written_in_either_spelling() {
        for (spelling, text) in [
            (Ancestor::Dash, format!("api.ancestor=Project-{FOLDER}")),
            (Ancestor::Equals, format!("API.ancestor=PW_WSG.Project={FOLDER}")),
        ] {
            assert_eq!(
                Query::all_documents()
                    .below(spelling, FOLDER)
                    .path(false, Some(5), None),
                format!("PW_WSG/Document!poly?$select=*&$top=5&{text}")
            );
        }
    }

    #[test]
    fn an_id_cannot_leave_its_path_segment() {
        assert_eq!(segment("Bentley.PW--h~3Ads"), "Bentley.PW--h~3Ads");
        assert_eq!(segment("PW--a/../b?c#d e"), "PW--a%2F..%2Fb%3Fc%23d%20e");
    }

    #[test]
    fn ids_stand_in_one_list() {
        let path = Query::folders_by_id(&[FOLDER.0, FOLDER.0]).path(false, None, None);
        assert!(
            path.contains(&format!("$filter=$id%20in%20%5B'{FOLDER}','{FOLDER}'%5D&")),
            "{path}"
        );
        let full = Query::documents_by_id(&[FOLDER.0; IDS_PER_QUERY]).path(true, Some(500), None);
        assert!(full.len() < 4096, "{}", full.len());
    }
}
