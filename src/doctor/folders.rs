//! Each chosen folder: is it there, can it be read, and how much is in it.
//!
//! A folder costs a request for each name of its path and two for what is in it. Paths share their beginnings, GUIDs are
//! asked for together, and what the allowance does not cover is told as not looked at.

use std::collections::BTreeMap;

use crate::auth::Authorization;
use crate::daemon::choose::{FolderChoice, FolderPlace};
use crate::model::{Document, DocumentKind, Entry, FolderId};
use crate::remote::wsg::probe::{PageSeen, Seen, Sort, WsgProbe};

use super::check::{Check, Id, Kind};
use super::remedy;
use super::verdict::said;

/// How folders are looked at.
pub(super) struct Look<'a> {
    pub(super) probe: &'a WsgProbe,
    pub(super) authorization: &'a Authorization,
    /// How many requests of the probe in all may be reached.
    pub(super) allowance: u32,
    pub(super) account: Option<&'a str>,
}

/// Requests for what is in one folder.
const CONTENTS: u32 = 2;

/// Where a chosen folder was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// There.
    At(FolderId),
    /// The path ends at a name that is not there.
    Missing { name: String, within: String },
    /// Several have the name.
    Several { name: String, count: usize },
    /// The server refused to say.
    Refused(Seen),
    /// The allowance is used up.
    NotAsked,
}

/// The checks, and the pages of documents that were seen on the way.
pub(super) async fn examine(look: &Look<'_>, choices: &[FolderChoice]) -> (Vec<Check>, Vec<PageSeen>) {
    if choices.is_empty() {
        return (vec![look.roots().await], Vec::new());
    }
    let mut found = Vec::new();
    let mut paths = Paths::default();
    let ids = look.by_id(choices).await;
    for choice in choices {
        found.push(match &choice.place {
            FolderPlace::Id(id) => ids.of(*id),
            FolderPlace::Path(names) => look.walk(names, &mut paths).await,
        });
    }
    let (mut checks, mut pages) = (Vec::new(), Vec::new());
    for (choice, found) in choices.iter().zip(found) {
        let shown = shown(choice);
        let check = match found {
            Found::At(id) => look.contents(&shown, id, &mut pages).await,
            other => absent(&shown, &other, look.account),
        };
        checks.push(check.detail("folder", shown));
    }
    (checks, pages)
}

/// A choice as a person wrote it.
fn shown(choice: &FolderChoice) -> String {
    match &choice.place {
        FolderPlace::Id(id) => id.to_string(),
        FolderPlace::Path(names) => names.join("/"),
    }
}

/// Where beginnings of paths were found; the empty one is the top.
#[derive(Default)]
struct Paths(BTreeMap<Vec<String>, Found>);

/// What came of asking for all GUIDs at once.
struct Ids {
    seen: Option<Seen>,
    there: Vec<FolderId>,
}

impl Ids {
    fn of(&self, id: FolderId) -> Found {
        match &self.seen {
            None => Found::NotAsked,
            Some(seen) if seen.sort != Sort::Answered => Found::Refused(seen.clone()),
            Some(_) if self.there.contains(&id) => Found::At(id),
            Some(_) => Found::Missing {
                name: id.to_string(),
                within: String::new(),
            },
        }
    }
}

impl Look<'_> {
    fn may_ask(&self, requests: u32) -> bool {
        self.probe.requests() + requests <= self.allowance
    }

    async fn by_id(&self, choices: &[FolderChoice]) -> Ids {
        let ids: Vec<FolderId> = choices
            .iter()
            .filter_map(|choice| match &choice.place {
                FolderPlace::Id(id) => Some(*id),
                FolderPlace::Path(_) => None,
            })
            .collect();
        if ids.is_empty() || !self.may_ask(1) {
            return Ids {
                seen: None,
                there: Vec::new(),
            };
        }
        let (seen, there) = self.probe.by_id(&ids, self.authorization).await;
        Ids {
            seen: Some(seen),
            there: there.into_iter().map(|folder| folder.id).collect(),
        }
    }

    async fn walk(&self, names: &[String], paths: &mut Paths) -> Found {
        let mut parent = None;
        for depth in 1..=names.len() {
            let path = names[..depth].to_vec();
            let found = match paths.0.get(&path) {
                Some(known) => known.clone(),
                None => {
                    let found = self.step(parent, &names[depth - 1], &names[..depth - 1]).await;
                    paths.0.insert(path, found.clone());
                    found
                }
            };
            match found {
                Found::At(id) => parent = Some(id),
                other => return other,
            }
        }
        parent.map_or(Found::NotAsked, Found::At)
    }

    async fn step(&self, parent: Option<FolderId>, name: &str, within: &[String]) -> Found {
        if !self.may_ask(1) {
            return Found::NotAsked;
        }
        let (mut seen, mut there) = self.probe.named(parent, name, self.authorization).await;
        // A root may be known as such to the navigation tree only.
        if parent.is_none() && there.is_empty() && self.may_ask(1) {
            let (by_nodes, roots, _) = self.probe.roots(self.authorization).await;
            if by_nodes.sort == Sort::Answered {
                seen = by_nodes;
                there = roots.into_iter().filter(|folder| folder.name == name).collect();
            }
        }
        match there.as_slice() {
            [only] => Found::At(only.id),
            [] if seen.sort == Sort::Answered => Found::Missing {
                name: name.to_owned(),
                within: within.join("/"),
            },
            [] => Found::Refused(seen),
            several => Found::Several {
                name: name.to_owned(),
                count: several.len(),
            },
        }
    }

    async fn contents(&self, shown: &str, id: FolderId, pages: &mut Vec<PageSeen>) -> Check {
        let check = if self.may_ask(CONTENTS) {
            let (folders, documents) = tokio::join!(
                self.probe.folders_in(id, self.authorization),
                self.probe.documents_in(id, self.authorization)
            );
            let check = counted(shown, &folders, &documents, self.account);
            pages.push(documents);
            check
        } else {
            Check::pass(
                Id::FoldersChosen,
                format!("{shown:?} is there; what is in it was not counted, to keep the requests few"),
            )
        };
        check.detail("guid", id.to_string())
    }

    async fn roots(&self) -> Check {
        let id = Id::FoldersChosen;
        if !self.may_ask(1) {
            return Check::not_needed(id, NOT_ASKED);
        }
        let (seen, roots, more) = self.probe.roots(self.authorization).await;
        let count = roots.len();
        let at_least = if more { "at least " } else { "" };
        match seen.sort {
            Sort::Answered if count > 0 => Check::pass(
                id,
                format!("none is chosen, so that all root folders are mounted: {at_least}{count}"),
            ),
            Sort::Answered => Check::warn(id, "none is chosen, and the navigation tree shows no root folder")
                .remedy("look with `pwfs folders`")
                .remedy(remedy::grant_permission(self.account)),
            Sort::UnknownQuery => Check::pass(
                id,
                "none is chosen; the server has no navigation tree, so that a mount finds the root folders by a list of all",
            ),
            _ => refused("the list of root folders", &seen, self.account),
        }
        .detail("roots", count)
    }
}

const NOT_ASKED: &str = "not looked at, to keep the requests few; `pwfs folders` shows it";

fn counted(shown: &str, folders: &PageSeen, documents: &PageSeen, account: Option<&str>) -> Check {
    for page in [folders, documents] {
        if page.seen.sort != Sort::Answered {
            return refused(&format!("{shown:?}"), &page.seen, account);
        }
    }
    let active: Vec<&Document> = documents
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Document(document) if document.active => Some(document),
            Entry::Document(_) | Entry::Folder(_) => None,
        })
        .collect();
    let fileless = active
        .iter()
        .filter(|document| document.kind != DocumentKind::File)
        .count();
    let more = |page: &PageSeen| page.token == Some(true) || page.entries.len() >= page.top;
    let count = |page: &PageSeen, count: usize, word: &str| {
        let at_least = if more(page) { "at least " } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        format!("{at_least}{count} {word}{plural}")
    };
    let beside = match fileless {
        0 => String::new(),
        count => format!(" ({count} without a file)"),
    };
    Check::pass(
        Id::FoldersChosen,
        format!(
            "{shown:?}: {}, {}{beside}",
            count(folders, folders.entries.len(), "folder"),
            count(documents, active.len(), "document")
        ),
    )
    .detail("folders", folders.entries.len())
    .detail("documents", active.len())
    .detail("without_file", fileless)
    .detail("more", more(folders) || more(documents))
}

fn refused(what: &str, seen: &Seen, account: Option<&str>) -> Check {
    let id = Id::FoldersChosen;
    let words = said(seen);
    match seen.sort {
        Sort::RightsRefused | Sort::LoginRefused => Check::fail(
            id,
            Kind::Login,
            format!("{what} is there, and may not be listed by this account ({words})"),
        )
        .remedy(remedy::grant_permission(account))
        .remedy("or leave it out of the chosen folders"),
        Sort::NoObject => Check::fail(
            id,
            Kind::Failure,
            format!("{what} is gone, or hidden from this account ({words})"),
        )
        .remedy("see what there is with `pwfs folders`, and choose again")
        .remedy(remedy::grant_permission(account)),
        _ => Check::fail(
            id,
            Kind::TryAgain,
            format!("{what} could not be listed ({words})"),
        )
        .remedy(
            "try again in a few minutes; if it stays, give the request id to the ProjectWise administrator",
        ),
    }
    .detail(
        "denied",
        matches!(seen.sort, Sort::RightsRefused | Sort::LoginRefused),
    )
}

fn absent(shown: &str, found: &Found, account: Option<&str>) -> Check {
    let id = Id::FoldersChosen;
    match found {
        Found::Missing { name, within } => {
            let at = if within.is_empty() {
                "in the datasource".to_owned()
            } else {
                format!("in {within:?}")
            };
            let look = if within.is_empty() {
                "pwfs folders".to_owned()
            } else {
                format!("pwfs folders '{within}'")
            };
            Check::fail(
                id,
                Kind::Failure,
                format!("there is no folder {name:?} {at}: it is gone, or hidden from this account"),
            )
            .remedy(format!("see what there is with `{look}` (names are exact, upper and lower case too), and choose again"))
            .remedy(remedy::grant_permission(account))
        }
        Found::Several { name, count } => Check::fail(
            id,
            Kind::Config,
            format!("there are {count} folders {name:?} in one place"),
        )
        .remedy("choose one by its GUID: `pwfs folders --json` tells it"),
        Found::Refused(seen) => refused(&format!("{shown:?}"), seen, account),
        Found::NotAsked | Found::At(_) => Check::not_needed(id, format!("{shown:?}: {NOT_ASKED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use crate::model::{Folder, Guid};

    fn page(entries: Vec<Entry>, top: usize) -> PageSeen {
        PageSeen {
            seen: Seen::answered(200),
            entries,
            top,
            token: Some(false),
            properties: std::collections::BTreeSet::new(),
            compressed: false,
        }
    }

    fn folder() -> Entry {
        Entry::Folder(Folder {
            id: FolderId(Guid::from_bytes([1; 16])),
            parent: None,
            name: "F".to_owned(),
            description: String::new(),
            work_area: false,
            created: None,
            updated: None,
            etag: None,
        })
    }

    fn refused_page(sort: Sort) -> PageSeen {
        PageSeen {
            seen: Seen {
                sort,
                ..Seen::answered(403)
            },
            ..page(Vec::new(), 500)
        }
    }

    #[test]
    fn what_is_in_a_folder_is_counted_and_a_full_page_is_no_whole_count() {
        let check = counted("A", &page(vec![folder()], 500), &page(Vec::new(), 500), None);
        assert_eq!(check.outcome, Outcome::Pass);
        assert_eq!(check.finding, "\"A\": 1 folder, 0 documents");
        let check = counted(
            "A",
            &page(vec![folder(), folder()], 2),
            &page(Vec::new(), 500),
            None,
        );
        assert!(check.finding.contains("at least 2 folders"), "{check:?}");
        assert_eq!(check.details["more"], true);
    }

    #[test]
    fn denied_is_told_apart_from_gone_and_from_out_of_order() {
        for (sort, kind, words) in [
            (Sort::RightsRefused, Kind::Login, "datasource-level permission"),
            (Sort::NoObject, Kind::Failure, "pwfs folders"),
            (Sort::Failed, Kind::TryAgain, "try again"),
        ] {
            let check = counted("A", &page(Vec::new(), 500), &refused_page(sort), None);
            assert_eq!(
                (check.outcome, check.kind),
                (Outcome::Fail, Some(kind)),
                "{sort:?}"
            );
            assert!(check.remedy.join(" ").contains(words), "{check:?}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_with_where_to_look() {
        let found = Found::Missing {
            name: "Deck".to_owned(),
            within: "Bridge/03 Design".to_owned(),
        };
        let check = absent("Bridge/03 Design/Deck", &found, Some("ann@example.com"));
        assert_eq!(check.kind, Some(Kind::Failure));
        assert!(
            check.remedy[0].contains("pwfs folders 'Bridge/03 Design'"),
            "{check:?}"
        );
        assert!(check.remedy[1].contains("ann@example.com"), "{check:?}");
        let check = absent("A", &Found::NotAsked, None);
        assert_eq!((check.outcome, check.kind), (Outcome::Skipped, None));
        let several = Found::Several {
            name: "A".to_owned(),
            count: 2,
        };
        assert_eq!(absent("A", &several, None).kind, Some(Kind::Config));
    }
}
