//! The datasource as one request sees it: which rows there are, what leads from one to another, and how.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::demo::knobs::{DocumentProperties, Knobs};
use crate::demo::world::{Access, View};
use crate::model::Guid;

use super::classes::Class;
use super::matching::Bound;
use super::path::Way;
use super::relations::Relation;
use super::rows::{Record, Row};
use super::{metaschema, searches};

/// What one request works out at most once.
#[derive(Default)]
pub(super) struct Memo {
    sets: OnceCell<HashMap<Guid, Vec<Guid>>>,
    found: OnceCell<HashMap<Guid, Vec<Guid>>>,
}

/// The datasource, who asks, and how the server is set.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) view: View<'a>,
    pub(super) knobs: &'a Knobs,
    pub(super) account: &'a str,
    pub(super) minor: u32,
    pub(super) memo: &'a Memo,
}

impl<'a> Scene<'a> {
    /// Which properties documents have.
    pub(super) fn level(self) -> DocumentProperties {
        self.knobs.properties
    }

    /// The instance of a class with this identity, whatever the account's rights.
    pub(super) fn find(self, class: Class, guid: Guid) -> Option<Row<'a>> {
        let row = match class {
            Class::Project => Row::Folder(self.view.folder(guid)?),
            Class::Document | Class::FlatSet | Class::LogicalSet | Class::Set => {
                Row::Document(self.view.document(guid)?)
            }
            Class::Environment | Class::Env(_) => Row::Attributes(self.view.document(guid)?),
            Class::ProjectType | Class::PrType => {
                let row = self.view.folder(guid)?;
                return row.work_area.then_some(Row::WorkArea(row));
            }
            Class::NavNode => {
                let inner = [Class::Project, Class::Document, Class::SavedSearch];
                let mut inner = inner.into_iter().filter_map(|class| self.find(class, guid));
                return inner.next().map(|inner| Row::Node(Box::new(inner)));
            }
            Class::SavedSearch
            | Class::User
            | Class::View
            | Class::Workflow
            | Class::Bare(_)
            | Class::MetaSchema
            | Class::MetaType
            | Class::MetaProperty
            | Class::Policy => {
                let mut all = self.records(class).into_iter();
                return all.find(|record| record.guid() == guid).map(Row::Record);
            }
        };
        // `FlatSet/{guid}` of a plain document is nothing; `Document/{guid}` of a set is the set.
        class.holds(row.class(), true).then_some(row)
    }

    /// The instance with this `instanceId`.
    pub(super) fn by_id(self, class: Class, id: &str) -> Option<Row<'a>> {
        match class {
            Class::Project | Class::Document | Class::FlatSet | Class::LogicalSet | Class::Set => {
                self.find(class, id.parse().ok()?)
            }
            Class::NavNode => super::navigation::by_key(self, id),
            Class::Environment
            | Class::Env(_)
            | Class::ProjectType
            | Class::PrType
            | Class::SavedSearch
            | Class::User
            | Class::View
            | Class::Workflow
            | Class::Bare(_)
            | Class::MetaSchema
            | Class::MetaType
            | Class::MetaProperty
            | Class::Policy => {
                let mut all = self.all(class, true);
                all.find(|row| row.id() == id)
            }
        }
    }

    /// Every instance of a class the account may see, in the server's own order.
    pub(super) fn all(self, class: Class, poly: bool) -> Box<dyn Iterator<Item = Row<'a>> + 'a> {
        let rows: Box<dyn Iterator<Item = Row<'a>> + 'a> = match class {
            Class::Project => Box::new(self.view.all_folders().map(Row::Folder)),
            Class::Document | Class::FlatSet | Class::LogicalSet | Class::Set => {
                Box::new(self.view.all_documents().map(Row::Document))
            }
            Class::Environment | Class::Env(_) => Box::new(self.view.all_documents().map(Row::Attributes)),
            Class::ProjectType | Class::PrType => {
                let areas = self.view.all_folders().filter(|row| row.work_area);
                Box::new(areas.map(Row::WorkArea))
            }
            Class::NavNode => return super::navigation::roots(self),
            Class::SavedSearch
            | Class::User
            | Class::View
            | Class::Workflow
            | Class::Bare(_)
            | Class::MetaSchema
            | Class::MetaType
            | Class::MetaProperty
            | Class::Policy => Box::new(self.records(class).into_iter().map(Row::Record)),
        };
        Box::new(rows.filter(move |row| class.holds(row.class(), poly) && self.visible(row)))
    }

    fn records(self, class: Class) -> Vec<Record> {
        match class {
            Class::SavedSearch => searches::records(self),
            Class::User | Class::View | Class::Workflow => super::people::records(self, class),
            Class::MetaSchema | Class::MetaType | Class::MetaProperty | Class::Policy => {
                metaschema::records(self.knobs, class)
            }
            _ => Vec::new(),
        }
    }

    /// What a listing shows to the account.
    pub(super) fn visible(self, row: &Row<'_>) -> bool {
        match row {
            Row::Folder(row) | Row::WorkArea(row) => {
                row.access != Access::Hidden && row.parent.is_none_or(|parent| self.view.may_list(parent))
            }
            Row::Document(row) | Row::Attributes(row) => {
                row.access != Access::Hidden && self.view.may_list(row.folder)
            }
            Row::Record(_) => true,
            Row::Node(inner) => self.visible(inner),
        }
    }

    /// What the account may ask for by its id.
    pub(super) fn accessible(self, row: &Row<'_>) -> bool {
        match row {
            Row::Folder(row) | Row::WorkArea(row) => row.access != Access::Hidden,
            Row::Document(row) | Row::Attributes(row) => {
                row.access != Access::Hidden && self.view.may_list(row.folder)
            }
            Row::Record(_) => true,
            Row::Node(inner) => self.accessible(inner),
        }
    }

    /// The instances a relationship leads to, as far as the account may see them.
    pub(super) fn related(self, row: &Row<'_>, step: Bound) -> Vec<Row<'a>> {
        let mut rows = match step.way {
            Way::Forward => self.forward(row, step.relation),
            Way::Backward => self.backward(row, step.relation),
        };
        rows.retain(|row| step.class.holds(row.class(), step.poly) && self.accessible(row));
        rows
    }

    fn forward(self, row: &Row<'_>, relation: Relation) -> Vec<Row<'a>> {
        let folder = |guid: Option<Guid>| {
            let found = guid.and_then(|guid| self.view.folder(guid));
            found.map(Row::Folder).into_iter().collect()
        };
        match (relation, row) {
            (Relation::ProjectParent, Row::Folder(row)) => folder(row.parent),
            (Relation::DocumentParent, Row::Document(row)) => folder(Some(row.folder)),
            (Relation::DocumentEnvironment, Row::Document(row)) => self
                .view
                .document(row.guid)
                .map(Row::Attributes)
                .into_iter()
                .collect(),
            (Relation::SetDocument, Row::Document(row)) => self.documents(&row.members),
            (Relation::ProjectProjectType, Row::Folder(row)) => {
                self.find(Class::PrType, row.guid).into_iter().collect()
            }
            (Relation::SavedSearchResult, Row::Record(record)) => {
                self.documents(self.found().get(&record.guid()).map_or(&[][..], Vec::as_slice))
            }
            (Relation::SavedSearchParent, Row::Record(record)) => folder(record.owner),
            (Relation::SchemaHasClass, Row::Record(record)) => self.owned(Class::MetaType, record.guid()),
            (Relation::ClassHasProperty, Row::Record(record)) => {
                self.owned(Class::MetaProperty, record.guid())
            }
            _ => Vec::new(),
        }
    }

    fn backward(self, row: &Row<'_>, relation: Relation) -> Vec<Row<'a>> {
        let guid = row.guid();
        let owner = |class: Class| match row {
            Row::Record(record) => {
                let owner = record.owner.and_then(|owner| self.find(class, owner));
                owner.into_iter().collect()
            }
            _ => Vec::new(),
        };
        match (relation, row) {
            (Relation::ProjectParent, Row::Folder(row)) => self.folders_in(row.guid).collect(),
            (Relation::DocumentParent, Row::Folder(row)) => self.documents_in(row.guid).collect(),
            (Relation::DocumentEnvironment, Row::Attributes(_)) => self.documents(&[guid]),
            (Relation::SetDocument, Row::Document(_)) => {
                self.documents(self.sets().get(&guid).map_or(&[][..], Vec::as_slice))
            }
            (Relation::ProjectProjectType, Row::WorkArea(_)) => {
                self.find(Class::Project, guid).into_iter().collect()
            }
            (Relation::SavedSearchResult, Row::Document(_)) => {
                let mut all = searches::records(self);
                let found = self.found();
                all.retain(|record| found.get(&record.guid()).is_some_and(|ids| ids.contains(&guid)));
                all.into_iter().map(Row::Record).collect()
            }
            (Relation::SavedSearchParent, Row::Folder(_)) => self.owned(Class::SavedSearch, guid),
            (Relation::SchemaHasClass, _) => owner(Class::MetaSchema),
            (Relation::ClassHasProperty, _) => owner(Class::MetaType),
            _ => Vec::new(),
        }
    }

    /// The folders in a folder that the account may see.
    pub(super) fn folders_in(self, parent: Guid) -> impl Iterator<Item = Row<'a>> {
        let rows = self.view.folders_in(Some(parent)).map(Row::Folder);
        rows.filter(move |row| self.visible(row))
    }

    /// The documents in a folder that the account may see.
    pub(super) fn documents_in(self, folder: Guid) -> impl Iterator<Item = Row<'a>> {
        let rows = self.view.documents_in(folder).map(Row::Document);
        rows.filter(move |row| self.visible(row))
    }

    fn documents(self, guids: &[Guid]) -> Vec<Row<'a>> {
        let rows = guids.iter().filter_map(|guid| self.view.document(*guid));
        rows.map(Row::Document).collect()
    }

    fn owned(self, class: Class, owner: Guid) -> Vec<Row<'a>> {
        let mut all = self.records(class);
        all.retain(|record| record.owner == Some(owner));
        all.into_iter().map(Row::Record).collect()
    }

    /// The sets a document is a member of.
    fn sets(self) -> &'a HashMap<Guid, Vec<Guid>> {
        self.memo.sets.get_or_init(|| {
            let mut sets: HashMap<Guid, Vec<Guid>> = HashMap::new();
            for row in self.view.all_documents() {
                for member in &row.members {
                    sets.entry(*member).or_default().push(row.guid);
                }
            }
            sets
        })
    }

    /// What every saved search finds.
    fn found(self) -> &'a HashMap<Guid, Vec<Guid>> {
        self.memo.found.get_or_init(|| searches::results(self))
    }
}
