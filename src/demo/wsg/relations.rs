//! The relationships between classes, and which of them a short path follows (fact sheet 1.3).

use super::classes::Class;
use super::path::Way;

/// What joins two instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Relation {
    ProjectParent,
    DocumentParent,
    DocumentEnvironment,
    SetDocument,
    ProjectProjectType,
    SavedSearchResult,
    SavedSearchParent,
    SchemaHasClass,
    ClassHasProperty,
}

impl Relation {
    const ALL: [Self; 9] = [
        Self::ProjectParent,
        Self::DocumentParent,
        Self::DocumentEnvironment,
        Self::SetDocument,
        Self::ProjectProjectType,
        Self::SavedSearchResult,
        Self::SavedSearchParent,
        Self::SchemaHasClass,
        Self::ClassHasProperty,
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ProjectParent => "ProjectParent",
            Self::DocumentParent => "DocumentParent",
            Self::DocumentEnvironment => "DocumentEnvironment",
            Self::SetDocument => "SetDocument",
            Self::ProjectProjectType => "ProjectProjectType",
            Self::SavedSearchResult => "SavedSearchResult",
            Self::SavedSearchParent => "SavedSearchParent",
            Self::SchemaHasClass => "SchemaHasClass",
            Self::ClassHasProperty => "ClassHasProperty",
        }
    }

    pub(super) const fn schema(self) -> &'static str {
        match self {
            Self::SchemaHasClass | Self::ClassHasProperty => "MetaSchema",
            _ => "PW_WSG",
        }
    }

    /// The classes it leads from and to, both with those derived from them.
    const fn ends(self) -> (Class, Class) {
        match self {
            Self::ProjectParent => (Class::Project, Class::Project),
            Self::DocumentParent => (Class::Document, Class::Project),
            Self::DocumentEnvironment => (Class::Document, Class::Environment),
            Self::SetDocument => (Class::Set, Class::Document),
            Self::ProjectProjectType => (Class::Project, Class::ProjectType),
            Self::SavedSearchResult => (Class::SavedSearch, Class::Document),
            Self::SavedSearchParent => (Class::SavedSearch, Class::Project),
            Self::SchemaHasClass => (Class::MetaSchema, Class::MetaType),
            Self::ClassHasProperty => (Class::MetaType, Class::MetaProperty),
        }
    }

    /// True where it joins these two classes in this direction.
    pub(super) fn joins(self, from: Class, way: Way, to: Class) -> bool {
        let (source, target) = self.ends();
        let (source, target) = match way {
            Way::Forward => (source, target),
            Way::Backward => (target, source),
        };
        // A set is a document; a document asked for as its base may be a set.
        let fits = |end: Class, class: Class| {
            end.holds(class, true) || class.holds(end, true) || { end.is_document() && class.is_document() }
        };
        fits(source, from) && fits(target, to)
    }

    /// The relationship a short path follows: `Project/{id}/Document` goes backward along `DocumentParent`.
    pub(super) fn between(from: Class, to: Class) -> Option<(Self, Way)> {
        // The members of a set, not its members' sets; child folders, not the parent.
        let set = matches!(from, Class::Set | Class::FlatSet | Class::LogicalSet);
        match (from, to) {
            (Class::Project, Class::Project) => return Some((Self::ProjectParent, Way::Backward)),
            (_, to) if set && to.is_document() => return Some((Self::SetDocument, Way::Forward)),
            _ => {}
        }
        let ways = [Way::Forward, Way::Backward];
        let mut all = Self::ALL.into_iter().flat_map(|one| ways.map(|way| (one, way)));
        all.find(|(one, way)| one.joins(from, *way, to))
    }
}
