//! Saved searches: filters kept in the datasource, and what they find (fact sheet 1.5).

use std::collections::HashMap;

use crate::demo::knobs::{DocumentProperties, Knobs};
use crate::demo::world::View;
use crate::model::Guid;

use super::classes::Class;
use super::filter::Filter;
use super::matching::Binding;
use super::rows::{Record, Row, Value, guid_of};
use super::scene::Scene;

struct Search {
    id: u32,
    name: &'static str,
    description: &'static str,
    filter: &'static str,
    /// It belongs to the work area rather than to everybody.
    local: bool,
}

const SEARCHES: [Search; 3] = [
    Search {
        id: 17,
        name: "Drawings to be checked",
        description: "Drawings in their latest version",
        filter: "IsLatest eq true and endswith(FileName,'.dxf')",
        local: false,
    },
    Search {
        id: 18,
        name: "Large photographs",
        description: "Photographs of more than a megabyte",
        filter: "FileName like '%.png' and FileSize gt 1000000",
        local: true,
    },
    Search {
        id: 23,
        name: "Nothing yet",
        description: "A search that finds nothing",
        filter: "Name eq 'There is no document of this name'",
        local: true,
    },
];

/// Every saved search the account may see.
pub(super) fn records(scene: Scene<'_>) -> Vec<Record> {
    let area = work_area(scene.view);
    let seen = area.filter(|guid| {
        let row = scene.view.folder(*guid).map(Row::Folder);
        row.is_some_and(|row| scene.visible(&row))
    });
    let searches = SEARCHES.iter().filter(|search| !search.local || seen.is_some());
    searches
        .map(|search| Record {
            class: Class::SavedSearch,
            id: search.id.to_string(),
            owner: seen.filter(|_| search.local),
            properties: vec![
                ("Name", Value::Text(search.name.into())),
                ("Description", Value::Text(search.description.into())),
                ("IsGlobal", Value::Bool(!search.local)),
            ],
        })
        .collect()
}

/// The work area local searches belong to: the first among the roots.
fn work_area(view: View<'_>) -> Option<Guid> {
    let mut roots = view.folders_in(None);
    roots.find(|row| row.work_area).map(|row| row.guid)
}

/// What each search finds, by the search's identity.
pub(super) fn results(scene: Scene<'_>) -> HashMap<Guid, Vec<Guid>> {
    let area = work_area(scene.view);
    // A search was saved against everything the datasource has, whatever this server shows of it.
    let knobs = Knobs {
        properties: DocumentProperties::Many,
        ..Knobs::default()
    };
    let binding = Binding {
        class: Class::Document,
        knobs: &knobs,
        ignore_case: true,
    };
    let scene_of_search = Scene {
        knobs: &knobs,
        ..scene
    };
    let mut found = HashMap::new();
    for search in &SEARCHES {
        let filter = Filter::parse(search.filter, &|_| None);
        let Ok(matcher) = filter.and_then(|filter| binding.filter(&filter)) else {
            continue;
        };
        let rows = scene.all(Class::Document, true);
        let rows = rows.filter(|row| matcher.holds(scene_of_search, row, true));
        let rows = rows.filter(|row| !search.local || below(scene.view, row, area));
        let search = guid_of(Class::SavedSearch, &search.id.to_string());
        found.insert(search, rows.map(|row| row.guid()).collect());
    }
    found
}

fn below(view: View<'_>, row: &Row<'_>, area: Option<Guid>) -> bool {
    let parent = row.parent();
    parent.is_some_and(|parent| view.lineage(parent).any(|up| Some(up.guid) == area))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_saved_search_can_be_evaluated() {
        let knobs = Knobs {
            properties: DocumentProperties::Many,
            ..Knobs::default()
        };
        for search in &SEARCHES {
            let binding = Binding {
                class: Class::Document,
                knobs: &knobs,
                ignore_case: true,
            };
            let filter = Filter::parse(search.filter, &|_| None).unwrap();
            binding.filter(&filter).unwrap();
        }
    }
}
