//! Extended attributes: what ProjectWise knows of an entry, from what is held and never from the server.

use std::ffi::OsStr;

use super::Filesystem;
use super::activity::ACTIVITY;
use super::catalog::{self, CATALOG, CATALOG_DIR, CATALOG_ROOT, CatalogFact, JOURNAL, JOURNAL_FILE, RULES};
use super::login::{self, LOGIN, LOGIN_DETAIL, LOGIN_REMEDY, LOGIN_SINCE, Login, PROFILE};
use crate::model::{DirId, Document, Entry, Folder, Timestamp};
use crate::store::Proof;
use crate::tree::Tree;
use crate::tree::inodes::{Inode, ROOT, Target};

/// The attributes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Guid,
    FolderGuid,
    Name,
    Description,
    Version,
    Tag,
    IsActive,
    State,
    Url,
    Etag,
    FetchedAt,
    Readable,
    DeniedReason,
    Complete,
    Stale,
    Proof,
    MimeType,
    OriginUrl,
    Sha256,
    /// Of the root alone; the file system itself tells it.
    Activity,
    /// Of the root alone.
    Login(LoginFact),
    /// Of the root alone.
    Catalog(CatalogFact),
}

/// What the root tells of the login behind the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginFact {
    Profile,
    State,
    Since,
    Detail,
    Remedy,
}

const ALL: [(Attribute, &str); 31] = [
    (Attribute::Guid, "user.projectwise.guid"),
    (Attribute::FolderGuid, "user.projectwise.folder_guid"),
    (Attribute::Name, "user.projectwise.name"),
    (Attribute::Description, "user.projectwise.description"),
    (Attribute::Version, "user.projectwise.version"),
    (Attribute::Tag, "user.projectwise.tag"),
    (Attribute::IsActive, "user.projectwise.is_active"),
    (Attribute::State, "user.projectwise.state"),
    (Attribute::Url, "user.projectwise.url"),
    (Attribute::Etag, "user.projectwise.etag"),
    (Attribute::FetchedAt, "user.projectwise.fetched_at"),
    (Attribute::Readable, "user.projectwise.readable"),
    (Attribute::DeniedReason, "user.projectwise.denied_reason"),
    (Attribute::Complete, "user.projectwise.complete"),
    (Attribute::Stale, "user.projectwise.stale"),
    (Attribute::Proof, "user.projectwise.proof"),
    (Attribute::MimeType, "user.mime_type"),
    (Attribute::OriginUrl, "user.xdg.origin.url"),
    (Attribute::Sha256, "user.projectwise.sha256"),
    (Attribute::Activity, ACTIVITY),
    (Attribute::Login(LoginFact::Profile), PROFILE),
    (Attribute::Login(LoginFact::State), LOGIN),
    (Attribute::Login(LoginFact::Since), LOGIN_SINCE),
    (Attribute::Login(LoginFact::Detail), LOGIN_DETAIL),
    (Attribute::Login(LoginFact::Remedy), LOGIN_REMEDY),
    (Attribute::Catalog(CatalogFact::Name), CATALOG),
    (Attribute::Catalog(CatalogFact::Dir), CATALOG_DIR),
    (Attribute::Catalog(CatalogFact::Root), CATALOG_ROOT),
    (Attribute::Catalog(CatalogFact::Journal), JOURNAL),
    (Attribute::Catalog(CatalogFact::JournalFile), JOURNAL_FILE),
    (Attribute::Catalog(CatalogFact::Rules), RULES),
];

/// What attributes are made from, beside the inode.
pub(super) struct Sources<'a> {
    pub(super) fs: &'a Filesystem,
    pub(super) tree: &'a Tree,
    /// The entry as it was listed; where it is not known, only what the inode itself tells is told.
    pub(super) entry: Option<&'a Entry>,
    /// `server:datasource`, for links.
    pub(super) location: &'a str,
    pub(super) login: Option<&'a Login>,
}

impl Attribute {
    /// The attribute of this name. Any other name is answered before any lock: `ls -l` asks three per entry.
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        if !name.starts_with("user.") {
            return None;
        }
        ALL.iter()
            .find(|(_, known)| *known == name)
            .map(|(attribute, _)| *attribute)
    }
}

/// The value of `attribute`, where the inode has it.
pub(super) fn value(sources: &Sources<'_>, inode: &Inode, attribute: Attribute) -> Option<Vec<u8>> {
    text(sources, inode, attribute).map(String::into_bytes)
}

/// The names of all attributes the inode has, each ended by NUL.
pub(super) fn names(sources: &Sources<'_>, inode: &Inode) -> Vec<u8> {
    let mut names = Vec::new();
    for (attribute, name) in ALL {
        if text(sources, inode, attribute).is_some() {
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
    }
    names
}

fn text(sources: &Sources<'_>, inode: &Inode, attribute: Attribute) -> Option<String> {
    let Sources {
        fs,
        tree,
        entry,
        location,
        login,
    } = *sources;
    let readable = || Some(flag(refusal(tree, inode).is_none()));
    match inode.target {
        Target::Directory(directory, _) => {
            let folder = || folder(entry);
            let id = match directory.id {
                DirId::Folder(id) => Some(id),
                DirId::Root => None,
            };
            match attribute {
                Attribute::Guid => Some(id?.to_string()),
                Attribute::FolderGuid => Some(folder()?.parent?.to_string()),
                Attribute::Name => Some(folder()?.name.clone()),
                Attribute::Description => present(&folder()?.description),
                Attribute::Url | Attribute::OriginUrl => link(location, &format!("P{{{}}}/", id?)),
                Attribute::Etag => folder()?.etag.clone(),
                Attribute::FetchedAt => Some(tree.age(directory)?.1.to_string()),
                Attribute::Readable => readable(),
                Attribute::DeniedReason => refusal(tree, inode),
                Attribute::Complete => Some(flag(tree.held(directory).is_some())),
                Attribute::Stale => tree.stands_in(directory.id).then(|| flag(true)),
                Attribute::Proof => Some(proof(tree.held(directory)?.arrival.proof).to_owned()),
                Attribute::Version
                | Attribute::Tag
                | Attribute::IsActive
                | Attribute::State
                | Attribute::MimeType
                | Attribute::Sha256 => None,
                Attribute::Activity => (inode.ino == ROOT).then(String::new),
                Attribute::Catalog(fact) if inode.ino == ROOT => catalog::text(tree, fact),
                Attribute::Catalog(_) => None,
                Attribute::Login(fact) => of_login(login.filter(|_| inode.ino == ROOT)?, fact),
            }
        }
        Target::File(version) => {
            let document = || document(entry);
            match attribute {
                Attribute::Guid => Some(version.id.to_string()),
                Attribute::FolderGuid => match (document().and_then(|it| it.folder), inode.parent.id) {
                    (Some(folder), _) | (None, DirId::Folder(folder)) => Some(folder.to_string()),
                    (None, DirId::Root) => None,
                },
                Attribute::Name => Some(document()?.name.clone()),
                Attribute::Description => present(&document()?.description),
                Attribute::Version => present(&document()?.version),
                Attribute::Tag => Some(version.tag.to_string()),
                Attribute::IsActive => {
                    // Without a listing nobody knows.
                    let current = tree.is_current(inode) == Some(true);
                    tree.held(inode.parent)?;
                    Some(flag(current && document()?.active))
                }
                Attribute::State => document()?.state.clone(),
                Attribute::Url | Attribute::OriginUrl => link(location, &format!("D{{{}}}", version.id)),
                Attribute::Etag => document()?.etag.clone(),
                Attribute::FetchedAt => Some(fetched_at(tree, inode)?.to_string()),
                Attribute::Readable => readable(),
                Attribute::DeniedReason => refusal(tree, inode),
                Attribute::MimeType => document()?.mime_type.clone(),
                Attribute::Sha256 => fs.sha256(version),
                Attribute::Complete
                | Attribute::Stale
                | Attribute::Proof
                | Attribute::Activity
                | Attribute::Login(_)
                | Attribute::Catalog(_) => None,
            }
        }
    }
}

const fn folder(entry: Option<&Entry>) -> Option<&Folder> {
    match entry {
        Some(Entry::Folder(folder)) => Some(folder),
        Some(Entry::Document(_)) | None => None,
    }
}

const fn document(entry: Option<&Entry>) -> Option<&Document> {
    match entry {
        Some(Entry::Document(document)) => Some(document),
        Some(Entry::Folder(_)) | None => None,
    }
}

fn of_login(login: &Login, fact: LoginFact) -> Option<String> {
    let health = login.health.borrow();
    match fact {
        LoginFact::Profile => Some(login.profile.clone()),
        LoginFact::State => Some(login::word(health.state).to_owned()),
        // Whole seconds are what people and RFC 3339 readers want.
        LoginFact::Since => Some(health.since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        LoginFact::Detail => present(&health.detail),
        LoginFact::Remedy => login.remedies.of(health.state).map(str::to_owned),
    }
}

/// A link ProjectWise's own programs open; none where the server's name in them is not known.
fn link(location: &str, object: &str) -> Option<String> {
    (!location.is_empty()).then(|| format!("pw://{location}/Documents/{object}"))
}

const fn proof(proof: Proof) -> &'static str {
    match proof {
        Proof::Paged => "paged",
        Proof::Compared => "compared",
        Proof::Confirmed => "confirmed",
    }
}

fn present(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn flag(value: bool) -> String {
    if value { "1" } else { "0" }.to_owned()
}

/// When the listing this entry was read from was fetched.
fn fetched_at(tree: &Tree, inode: &Inode) -> Option<Timestamp> {
    tree.age(inode.parent).map(|(_, at)| at)
}

/// Why the server refuses this object, as far as it was asked.
fn refusal(tree: &Tree, inode: &Inode) -> Option<String> {
    tree.refusal(inode.object()?).map(|refusal| refusal.to_string())
}
