//! The classes of the datasource, their properties and the relationships between them (fact sheet 1.3, 1.4).

use crate::demo::knobs::DocumentProperties;

use super::attributes::{self, Environment};

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Int,
    Long,
    Time,
    Guid,
}

/// A property of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    level: Level,
}

/// Which datasources have a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Few,
    Seen,
    Many,
}

/// `$id`, which every class has and no listing of properties names.
pub(super) const ID: &Property = &always("$id", Kind::Text);

pub(super) const fn always(name: &'static str, kind: Kind) -> Property {
    let level = Level::Few;
    Property { name, kind, level }
}

const fn seen(name: &'static str, kind: Kind) -> Property {
    let level = Level::Seen;
    Property { name, kind, level }
}

const fn many(name: &'static str, kind: Kind) -> Property {
    let level = Level::Many;
    Property { name, kind, level }
}

const PROJECT: &[Property] = &[
    always("Name", Kind::Text),
    always("Description", Kind::Text),
    always("Label", Kind::Text),
    always("ParentGuid", Kind::Guid),
    always("IsRichProject", Kind::Bool),
    always("IsConnectedProject", Kind::Bool),
    always("ConnectedProjectGuid", Kind::Guid),
    always("TypeString", Kind::Text),
    always("Environment", Kind::Text),
    always("EnvironmentId", Kind::Int),
    always("WorkflowId", Kind::Int),
    always("StateId", Kind::Int),
    always("ComponentClassId", Kind::Int),
    always("ComponentInstanceId", Kind::Int),
    always("CreatedBy", Kind::Text),
    always("CreatedById", Kind::Int),
    always("UpdatedBy", Kind::Text),
    always("UpdatedById", Kind::Int),
    always("Owner", Kind::Text),
    always("OwnerId", Kind::Int),
    always("OwnerType", Kind::Text),
    always("Storage", Kind::Text),
    always("CreateTime", Kind::Time),
    always("UpdateTime", Kind::Time),
];

const DOCUMENT: &[Property] = &[
    always("Name", Kind::Text),
    always("FileName", Kind::Text),
    seen("Description", Kind::Text),
    seen("Version", Kind::Text),
    always("IsLatest", Kind::Bool),
    always("FileSize", Kind::Long),
    always("FileUpdateTime", Kind::Time),
    seen("FileUpdatedBy", Kind::Text),
    always("UpdateTime", Kind::Time),
    seen("CreateTime", Kind::Time),
    always("ParentGuid", Kind::Guid),
    many("MimeType", Kind::Text),
    many("StateId", Kind::Int),
    many("State", Kind::Text),
    many("WorkflowId", Kind::Int),
    many("OriginalGuid", Kind::Guid),
    many("VersionSequence", Kind::Int),
    many("ItemType", Kind::Int),
    many("IsCheckedOut", Kind::Bool),
];

const NAV_NODE: &[Property] = &[
    always("Key_TypeSystem", Kind::Text),
    always("Key_SchemaName", Kind::Text),
    always("Key_ClassName", Kind::Text),
    always("Key_InstanceId", Kind::Text),
    always("Label", Kind::Text),
    always("Description", Kind::Text),
    always("CollapsedImageID", Kind::Text),
    always("ExpandedImageID", Kind::Text),
    always("HasChildren", Kind::Bool),
    always("Selectable", Kind::Bool),
    always("IsEditable", Kind::Bool),
    always("IsFileBacked", Kind::Bool),
    always("IsCheckBoxEnabled", Kind::Bool),
    always("IsCheckBoxVisible", Kind::Bool),
    always("IsChecked", Kind::Bool),
    always("IsDragEnabled", Kind::Bool),
];

const PROJECT_TYPE: &[Property] = &[
    always("PROJECT__x005f__Number", Kind::Text),
    always("PROJECT__x005f__Client", Kind::Text),
];

const SAVED_SEARCH: &[Property] = &[
    always("Name", Kind::Text),
    always("Description", Kind::Text),
    always("IsGlobal", Kind::Bool),
];

const USER: &[Property] = &[
    always("Name", Kind::Text),
    always("Description", Kind::Text),
    always("EMail", Kind::Text),
    always("IsCurrent", Kind::Bool),
];

const NAMED: &[Property] = &[always("Name", Kind::Text), always("Description", Kind::Text)];

const SCHEMA_DEF: &[Property] = &[
    always("Name", Kind::Text),
    always("DisplayLabel", Kind::Text),
    always("Description", Kind::Text),
    always("VersionMajor", Kind::Int),
    always("VersionMinor", Kind::Int),
];

const CLASS_DEF: &[Property] = &[
    always("Name", Kind::Text),
    always("DisplayLabel", Kind::Text),
    always("Description", Kind::Text),
    always("IsDomainClass", Kind::Bool),
    always("IsStruct", Kind::Bool),
];

const PROPERTY_DEF: &[Property] = &[
    always("Name", Kind::Text),
    always("DisplayLabel", Kind::Text),
    always("TypeName", Kind::Text),
];

const POLICY: &[Property] = &[
    always("Name", Kind::Text),
    always("Supported", Kind::Bool),
    always("SupportedTypes", Kind::Text),
    always("SupportsReadAccess", Kind::Bool),
    always("SupportsWriteAccess", Kind::Bool),
];

/// A class that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Project,
    Document,
    FlatSet,
    LogicalSet,
    /// Abstract: flat and logical sets.
    Set,
    /// Abstract: the attributes of documents, of whatever environment.
    Environment,
    /// The attributes of one environment, by its place in the list of environments.
    Env(usize),
    /// Abstract: the properties of work areas, of whatever type.
    ProjectType,
    /// The properties of the one type of work area.
    PrType,
    SavedSearch,
    User,
    View,
    Workflow,
    /// A class that is there and has no instances an ordinary user sees, by its place in [`BARE`].
    Bare(usize),
    NavNode,
    MetaSchema,
    MetaType,
    MetaProperty,
    Policy,
}

/// Classes seen in real schemas of which the demo has no instances.
const BARE: [&str; 6] = [
    "Interface",
    "AttributeDefinition",
    "UserCollection",
    "CheckOutLocation",
    "ProjectAccessRights",
    "ProjectDocumentAccessRights",
];

/// The class of the work areas' type.
pub(super) const PR_TYPE: &str = "PrType_3_Bridge";

/// The schemas, with their versions as the id of a schema tells them.
pub(super) const SCHEMAS: [(&str, u8, u8); 6] = [
    ("PW_WSG", 2, 4),
    ("PW_WSG_Dynamic", 1, 2),
    ("Navigation", 1, 0),
    ("Views", 1, 0),
    ("MetaSchema", 2, 0),
    ("Policies", 1, 0),
];

impl Class {
    /// The classes of every schema, as `MetaSchema` lists them.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Project,
            Self::Document,
            Self::FlatSet,
            Self::LogicalSet,
            Self::Set,
            Self::Environment,
            Self::ProjectType,
            Self::SavedSearch,
            Self::User,
            Self::View,
            Self::Workflow,
        ];
        all.extend((0..BARE.len()).map(Self::Bare));
        all.extend((0..attributes::ENVIRONMENTS.len()).map(Self::Env));
        all.extend([
            Self::PrType,
            Self::NavNode,
            Self::MetaSchema,
            Self::MetaType,
            Self::MetaProperty,
            Self::Policy,
        ]);
        all
    }

    /// The class of this name in a schema.
    pub(super) fn named(schema: &str, name: &str) -> Option<Self> {
        let mut all = Self::all().into_iter();
        all.find(|class| class.schema() == schema && class.name() == name)
    }

    /// The class a relationship's path names: `Project`, `PW_WSG.Project`, or one of the dynamic schema.
    pub(super) fn related(text: &str) -> Option<Self> {
        match text.rsplit_once('.') {
            Some((schema, name)) => Self::named(schema, name),
            None => SCHEMAS.iter().find_map(|(schema, ..)| Self::named(schema, text)),
        }
    }

    pub(super) fn schema(self) -> &'static str {
        match self {
            Self::Project
            | Self::Document
            | Self::FlatSet
            | Self::LogicalSet
            | Self::Set
            | Self::Environment
            | Self::ProjectType
            | Self::SavedSearch
            | Self::User
            | Self::View
            | Self::Workflow
            | Self::Bare(_) => "PW_WSG",
            Self::Env(_) | Self::PrType => "PW_WSG_Dynamic",
            Self::NavNode => "Navigation",
            Self::MetaSchema | Self::MetaType | Self::MetaProperty => "MetaSchema",
            Self::Policy => "Policies",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Document => "Document",
            Self::FlatSet => "FlatSet",
            Self::LogicalSet => "LogicalSet",
            Self::Set => "Set",
            Self::Environment => "Environment",
            Self::Env(place) => attributes::ENVIRONMENTS[place].class,
            Self::ProjectType => "ProjectType",
            Self::PrType => PR_TYPE,
            Self::SavedSearch => "SavedSearchDefinition",
            Self::User => "User",
            Self::View => "View",
            Self::Workflow => "Workflow",
            Self::Bare(place) => BARE[place],
            Self::NavNode => "NavNode",
            Self::MetaSchema => "ECSchemaDef",
            Self::MetaType => "ECClassDef",
            Self::MetaProperty => "ECPropertyDef",
            Self::Policy => "PolicyAssertion",
        }
    }

    /// Its properties in a datasource like this, in the order they are written.
    pub(super) fn properties(self, level: DocumentProperties) -> impl Iterator<Item = &'static Property> {
        let most = match level {
            DocumentProperties::Few => Level::Few,
            DocumentProperties::Seen => Level::Seen,
            DocumentProperties::Many => Level::Many,
        };
        let all = self.every_property().iter();
        all.filter(move |property| property.level <= most)
    }

    fn every_property(self) -> &'static [Property] {
        match self {
            Self::Project => PROJECT,
            Self::Document | Self::FlatSet | Self::LogicalSet | Self::Set => DOCUMENT,
            // What the environments share is asked for by their base class.
            Self::Environment => attributes::COMMON,
            Self::Env(place) => attributes::ENVIRONMENTS[place].attributes,
            Self::ProjectType | Self::PrType => PROJECT_TYPE,
            Self::SavedSearch => SAVED_SEARCH,
            Self::User => USER,
            Self::View | Self::Workflow | Self::Bare(_) => NAMED,
            Self::NavNode => NAV_NODE,
            Self::MetaSchema => SCHEMA_DEF,
            Self::MetaType => CLASS_DEF,
            Self::MetaProperty => PROPERTY_DEF,
            Self::Policy => POLICY,
        }
    }

    /// The property of this name in a datasource like this; `$id` is one.
    pub(super) fn property(self, name: &str, level: DocumentProperties) -> Option<&'static Property> {
        if name == ID.name {
            return Some(ID);
        }
        self.properties(level).find(|known| known.name == name)
    }

    /// True where an instance of exactly `other` belongs to this class, or to a class derived from it.
    pub(super) fn holds(self, other: Self, poly: bool) -> bool {
        let derived = matches!(
            (self, other),
            (Self::Document | Self::Set, Self::FlatSet | Self::LogicalSet)
                | (Self::Environment, Self::Env(_))
                | (Self::ProjectType, Self::PrType)
        );
        self == other || (poly && derived)
    }

    /// True for documents of every kind.
    pub(super) const fn is_document(self) -> bool {
        matches!(
            self,
            Self::Document | Self::FlatSet | Self::LogicalSet | Self::Set
        )
    }

    /// The environment whose attributes these are.
    pub(super) fn environment(self) -> Option<&'static Environment> {
        match self {
            Self::Env(place) => attributes::ENVIRONMENTS.get(place),
            _ => None,
        }
    }
}
