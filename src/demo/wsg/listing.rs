//! Lists: which rows, in which order, which page of them.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};

use crate::demo::knobs::{Order, RevokedFolder, RootParent, SkipTokenMode};
use crate::demo::reply::Reply;
use crate::demo::seed::digest;
use crate::demo::world::Access;
use crate::model::Guid;

use super::classes::Class;
use super::errors;
use super::filter::Filter;
use super::instances::{Gateway, Twist};
use super::matching::Bound;
use super::paging::Snapshot;
use super::path::Way;
use super::query::{Plan, Query};
use super::relations::Relation;
use super::rows::Row;
use super::scene::Scene;
use super::{SKIP_TOKEN, navigation, not_available, refusal, written};

/// The token a looping server repeats for ever.
const LOOPING_TOKEN: &str = "bG9vcA";

/// What is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    /// What a relationship leads to from one instance, by a short path.
    Of {
        owner: Class,
        id: String,
        relation: Relation,
        way: Way,
    },
    /// The nodes below a node.
    Below(String),
}

/// A listing as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listing {
    pub(super) class: Class,
    pub(super) poly: bool,
    pub(super) scope: Scope,
    pub(super) query: Query,
}

impl Listing {
    /// True where neither ids nor a folder bound the rows to look at.
    pub(super) fn is_wide(&self) -> bool {
        let filter = self.query.filter.as_ref();
        let bound = filter.is_some_and(|filter| filter.ids().is_some() || filter.parents().is_some());
        self.scope == Scope::Everything && !bound
    }
}

impl Gateway {
    /// One page.
    pub(super) fn list(
        &self,
        scene: Scene<'_>,
        listing: &Listing,
        headers: &HeaderMap,
        twist: Twist,
    ) -> Reply {
        let knobs = scene.knobs;
        let plan = match Plan::new(&listing.query, listing.class, knobs) {
            Ok(plan) => plan,
            Err(error) => return refusal(&error),
        };
        let key = format!(
            "{}|{:?}|{}|{:?}|{}",
            scene.account,
            listing.class,
            listing.poly,
            listing.scope,
            listing.query.rows_key()
        );
        let sent = headers.get(SKIP_TOKEN).and_then(|value| value.to_str().ok());
        let sent = sent.filter(|token| !token.is_empty());
        // SkipToken came with API 2.5; without it, or without opting in, a page just ends.
        let tokens = scene.minor >= 5
            && match knobs.skip_token {
                SkipTokenMode::OptIn => sent.is_some(),
                SkipTokenMode::Ignored => false,
                SkipTokenMode::Always => true,
            };
        let later = sent.filter(|token| tokens && *token != "0" && !twist.looping);
        let name = digest(key.as_bytes());
        let snapshot = match later {
            Some(token) => match self.tokens.redeem(token, name, knobs.skip_token_lifetime) {
                Some(snapshot) => snapshot,
                None => {
                    let message = "The SkipToken is unknown or has expired.";
                    return Reply::error(StatusCode::BAD_REQUEST, "BadRequest", message);
                }
            },
            None => match self.rows_of(scene, listing, &plan, key) {
                Ok(rows) => Snapshot {
                    rows,
                    next: usize::try_from(listing.query.skip.unwrap_or(0)).unwrap_or(usize::MAX),
                    listing: name,
                },
                Err(reply) => return reply,
            },
        };
        let most = if knobs.max_top == 0 {
            knobs.page_size
        } else {
            knobs.max_top
        };
        let size = listing.query.top.unwrap_or(knobs.page_size).min(most);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let end = snapshot.next.saturating_add(size).min(snapshot.rows.len());
        let page = snapshot.rows.get(snapshot.next..end).unwrap_or(&[]);
        // What a token goes on with may have gone meanwhile, or the rights to it.
        let rows: Vec<_> = page
            .iter()
            .filter_map(|guid| scene.find(listing.class, *guid))
            .filter(|row| scene.accessible(row))
            .collect();
        let count = plan.count.then_some(snapshot.rows.len());
        let reply = written::instances(scene, &rows, &plan.selection, count);
        if tokens && twist.looping {
            return reply.with(SKIP_TOKEN, LOOPING_TOKEN);
        }
        if tokens && size > 0 && end < snapshot.rows.len() {
            let next = Snapshot {
                next: end,
                ..snapshot
            };
            return reply.with(SKIP_TOKEN, &self.tokens.issue(next));
        }
        reply
    }

    /// The identities of all rows of a listing, found now or kept from an earlier page.
    fn rows_of(
        &self,
        scene: Scene<'_>,
        listing: &Listing,
        plan: &Plan,
        key: String,
    ) -> Result<Arc<Vec<Guid>>, Reply> {
        let revision = scene.view.revision();
        let rows = match self.results.get(&key, revision, scene.knobs) {
            Some(rows) => rows,
            None => {
                let mut looked_at = 0_usize;
                let rows = candidates(scene, listing, plan)?.inspect(|_| looked_at += 1);
                let rows = plan.sorted(scene, rows.filter(|row| plan.holds(scene, row)));
                let rows = Arc::new(rows);
                // What little is looked at is looked at again sooner than it is kept.
                if looked_at > 100 {
                    self.results.put(key, revision, scene.knobs, &rows);
                }
                rows
            }
        };
        match scene.knobs.order {
            Order::Shuffled if !plan.is_ordered() => {
                let mut rows = Vec::clone(&rows);
                self.results.shuffle(&mut rows);
                Ok(Arc::new(rows))
            }
            Order::Stable | Order::Shuffled => Ok(rows),
        }
    }
}

type Rows<'a> = Box<dyn Iterator<Item = Row<'a>> + 'a>;

/// The rows the account may see among which the filter chooses, or why there is no listing. Made one by one: of a
/// million rows no two are in memory.
fn candidates<'a>(scene: Scene<'a>, listing: &Listing, plan: &Plan) -> Result<Rows<'a>, Reply> {
    let no_rows = || Ok::<Rows<'a>, Reply>(Box::new(std::iter::empty()));
    let Listing {
        class,
        poly,
        scope,
        query,
    } = listing;
    let (class, poly) = (*class, *poly);
    let filter = query.filter.as_ref();
    let identified = class == Class::Project || class.is_document();
    let ids = filter.and_then(Filter::ids).filter(|_| identified);
    // Where zeros are written as the parent of a root, they name no folder.
    let zeros = Guid::from_bytes([0; 16]);
    let rooted =
        |parents: &Vec<Guid>| scene.knobs.root_parent == RootParent::Zeros && parents.contains(&zeros);
    let parents = filter.and_then(Filter::parents);
    let mut parents = parents.filter(|parents| identified && !rooted(parents));
    match scope {
        Scope::Everything => {
            if let Some([only]) = parents.as_deref() {
                // By filter, nothing is in a folder that does not exist.
                if !listable(scene, *only)?.unwrap_or(false) {
                    return no_rows();
                }
            }
        }
        Scope::Of {
            owner,
            id,
            relation,
            way,
        } => match (owner, relation, way) {
            (Class::Project, Relation::ProjectParent | Relation::DocumentParent, Way::Backward) => {
                // By path, the folder itself is asked for.
                let guid: Guid = id.parse().map_err(|_| not_available())?;
                if !listable(scene, guid)?.ok_or_else(not_available)? {
                    return no_rows();
                }
                parents = Some(vec![guid]);
            }
            _ => {
                let owner = object(scene, *owner, id)?;
                let step = Bound {
                    relation: *relation,
                    way: *way,
                    class,
                    poly,
                };
                return Ok(Box::new(scene.related(&owner, step).into_iter()));
            }
        },
        Scope::Below(key) => {
            let node = object(scene, Class::NavNode, key)?;
            if let Row::Node(inner) = &node
                && let Row::Folder(row) = &**inner
                && !listable(scene, row.guid)?.unwrap_or(false)
            {
                return no_rows();
            }
            return Ok(Box::new(navigation::children(scene, &node).into_iter()));
        }
    }
    let below = |row: &Row<'_>| {
        plan.ancestor.is_none_or(|ancestor| {
            let parent = row.parent();
            parent.is_some_and(|parent| scene.view.lineage(parent).any(|up| up.guid == ancestor))
        })
    };
    let inside = move |folders: Vec<Guid>| -> Rows<'a> {
        let folders = folders.into_iter();
        if class == Class::Project {
            Box::new(folders.flat_map(move |guid| scene.folders_in(guid)))
        } else {
            let rows = folders.flat_map(move |guid| scene.documents_in(guid));
            Box::new(rows.filter(move |row| class.holds(row.class(), poly)))
        }
    };
    Ok(match (ids, parents, plan.ancestor) {
        (Some(mut ids), parents, _) => {
            let mut seen = std::collections::HashSet::new();
            ids.retain(|id| seen.insert(*id));
            let rows = ids.into_iter().filter_map(|id| scene.find(class, id));
            let rows = rows.filter(|row| class.holds(row.class(), poly) && scene.visible(row));
            let within = |row: &Row<'_>| {
                let mut parents = parents.iter();
                parents.all(|parents| row.parent().is_some_and(|parent| parents.contains(&parent)))
            };
            let rows: Vec<_> = rows.filter(|row| within(row) && below(row)).collect();
            Box::new(rows.into_iter())
        }
        (None, Some(mut parents), _) => {
            parents.sort_unstable();
            parents.dedup();
            let rows: Vec<_> = inside(parents).filter(below).collect();
            Box::new(rows.into_iter())
        }
        (None, None, Some(ancestor)) => inside(subtree(scene, ancestor)),
        (None, None, None) => Box::new(scene.all(class, poly)),
    })
}

/// A folder and all folders below it, parents first.
fn subtree(scene: Scene<'_>, ancestor: Guid) -> Vec<Guid> {
    let mut folders: Vec<_> = scene
        .view
        .folder(ancestor)
        .map(|row| row.guid)
        .into_iter()
        .collect();
    let mut next = 0;
    while let Some(here) = folders.get(next).copied() {
        next += 1;
        folders.extend(scene.view.folders_in(Some(here)).map(|row| row.guid));
    }
    folders
}

/// True where a folder's rows are shown, false where it looks empty; `None` without such a folder.
fn listable(scene: Scene<'_>, folder: Guid) -> Result<Option<bool>, Reply> {
    match scene.view.folder(folder).map(|row| row.access) {
        None => Ok(None),
        Some(Access::Full) => Ok(Some(true)),
        Some(Access::SeeOnly | Access::Hidden) => match scene.knobs.revoked_folder {
            RevokedFolder::Forbidden => Err(errors::forbidden()),
            RevokedFolder::NotFound => Err(not_available()),
            RevokedFolder::Empty => Ok(Some(false)),
        },
    }
}

/// The one instance with this id, or why it is not shown.
pub(super) fn object<'a>(scene: Scene<'a>, class: Class, id: &str) -> Result<Row<'a>, Reply> {
    let row = scene.by_id(class, id).ok_or_else(not_available)?;
    if scene.accessible(&row) {
        Ok(row)
    } else {
        Err(errors::no_rights(scene.knobs))
    }
}
