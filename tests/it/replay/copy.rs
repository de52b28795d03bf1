//! A copy of a part of the story, kept by manifest and changes alone: what docs/pipelines.md promises its reader.

use std::collections::{BTreeMap, BTreeSet};

use pwfs::catalog::journal::Cursor;
use pwfs::catalog::{Catalog, CatalogError, DirKey};
use pwfs::changes::{ChangeRow, Changes, Scope, Step};
use pwfs::manifest::{DocumentRow, FolderRow, Plan, Taker, Terms, Top};

/// What is kept, by folder and object: its name, and whether it is a folder.
#[derive(Default)]
struct Table(BTreeMap<(String, String), (String, bool)>);

/// See the module.
pub struct Kept {
    top: DirKey,
    changes: Option<Changes>,
    table: Table,
    gone: bool,
    /// Changes that were told of what was so already.
    pub told_again: usize,
}

impl Taker<CatalogError> for Table {
    fn folder(&mut self, folder: FolderRow) -> Result<(), CatalogError> {
        // A topmost one is in nothing that the copy has.
        if let Some(parent) = folder.folder_guid {
            let name = folder.path.as_deref().and_then(|path| path.rsplit('/').next());
            let key = (parent.to_string(), folder.guid.to_string());
            let before = self.0.insert(key, (name.unwrap().to_owned(), true));
            assert!(before.is_none(), "twice in one manifest: {}", folder.guid);
        }
        Ok(())
    }

    fn document(&mut self, document: DocumentRow) -> Result<(), CatalogError> {
        let name = document.path.as_deref().and_then(|path| path.rsplit('/').next());
        let key = (document.folder_guid.to_string(), document.guid.to_string());
        let before = self.0.insert(key, (name.unwrap().to_owned(), false));
        assert!(before.is_none(), "twice in one manifest: {}", document.guid);
        Ok(())
    }
}

impl Table {
    /// A folder that is nowhere any more is forgotten with all that is below it.
    fn forget_below(&mut self, folder: &str) {
        if self.0.keys().any(|(_, guid)| guid == folder) {
            return;
        }
        let inside: Vec<_> = self
            .0
            .keys()
            .filter(|(parent, _)| parent == folder)
            .cloned()
            .collect();
        for key in inside {
            self.0.remove(&key);
            self.forget_below(&key.1);
        }
    }

    fn take_out(&mut self, folder: &str, guid: &str) -> bool {
        let was_there = self.0.remove(&(folder.to_owned(), guid.to_owned())).is_some();
        self.forget_below(guid);
        was_there
    }
}

impl Kept {
    pub fn of(top: DirKey) -> Self {
        Self {
            top,
            changes: None,
            table: Table::default(),
            gone: false,
            told_again: 0,
        }
    }

    /// Takes a manifest where there is none yet and one can be had; reads what changed since, one step or all.
    pub fn read(&mut self, catalog: &Catalog, all: bool) {
        let Some(changes) = &mut self.changes else {
            self.begin(catalog);
            return;
        };
        let mut rows = Vec::new();
        loop {
            let step = catalog.journal().reading(|reading| {
                changes.step::<CatalogError>(reading, &mut |row| {
                    rows.push(row);
                    Ok(())
                })
            });
            match step.unwrap() {
                Step::On(_) if all => {}
                Step::On(_) | Step::End(_) => break,
                Step::Resync { why, .. } => panic!("nothing was pruned: {why}"),
            }
        }
        for row in rows {
            self.apply(&row);
        }
    }

    fn begin(&mut self, catalog: &Catalog) {
        let tops = [Top {
            dir: self.top,
            path: "top".to_owned(),
        }];
        let mut table = Table::default();
        let cursor: Option<Cursor> = catalog
            .snapshot(|snapshot| {
                let plan = Plan::make(snapshot, &tops, &Terms::default())?;
                if !plan.failed().is_empty() {
                    return Ok::<_, CatalogError>(None);
                }
                plan.tell(snapshot, &mut table)?;
                Ok(Some(snapshot.cursor()))
            })
            .unwrap();
        if let Some(cursor) = cursor {
            self.table = table;
            self.changes = Some(Changes::new(Scope(vec![(self.top, "top".to_owned())]), cursor));
        }
    }

    fn apply(&mut self, row: &ChangeRow) {
        let key = (row.folder_guid.clone(), row.guid.clone());
        let is_folder = row.kind == "folder";
        let here = (row.name.clone(), is_folder);
        if row.guid == self.top.guid().to_string() && row.change == "gone" {
            self.gone = true;
            self.table.0.clear();
            return;
        }
        if row.left {
            self.table
                .take_out(row.detail.old_folder_guid.as_ref().unwrap(), &row.guid);
            return;
        }
        match row.change {
            "gone" => _ = self.table.take_out(&row.folder_guid, &row.guid),
            "rights" => {}
            "move" => {
                let from = (row.detail.old_folder_guid.clone().unwrap(), row.guid.clone());
                self.table.0.remove(&from);
                if row.detail.old_path.is_none() {
                    self.table.forget_below(&row.guid);
                }
                self.told_again += usize::from(self.table.0.insert(key, here).is_some());
            }
            "new_version" => {
                let old = (row.folder_guid.clone(), row.detail.old_guid.clone().unwrap());
                self.table.0.remove(&old);
                self.told_again += usize::from(self.table.0.insert(key, here).is_some());
            }
            "add" => {
                if row.detail.came_with.is_none() {
                    self.table.forget_below(&row.guid);
                }
                self.told_again += usize::from(self.table.0.insert(key, here).is_some());
            }
            "rename" | "modify" => _ = self.table.0.insert(key, here),
            other => panic!("{other}"),
        }
    }

    /// Every path below the top, with its GUID; `None` if there never was a manifest.
    pub fn paths(&self) -> Option<BTreeMap<String, String>> {
        self.changes.as_ref()?;
        let mut paths = BTreeMap::new();
        let mut waiting = vec![(self.top.guid().to_string(), String::new())];
        let mut seen = BTreeSet::new();
        while let Some((dir, path)) = waiting.pop() {
            assert!(seen.insert(dir.clone()), "a folder is below itself");
            for ((parent, guid), (name, is_folder)) in &self.table.0 {
                if *parent != dir {
                    continue;
                }
                let path = format!("{path}/{name}");
                if *is_folder {
                    waiting.push((guid.clone(), path.clone()));
                }
                paths.insert(path, guid.clone());
            }
        }
        Some(paths)
    }
}
