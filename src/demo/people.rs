//! Who sees which part of a world: the rights that make the roles of [`ACCOUNTS`](super::ACCOUNTS) true.
//!
//! They are set once, on what is there at the start. A folder that is added later is open to everybody until a right
//! is set on it or above it.

use crate::model::Guid;

use super::accounts;
use super::bridge::PROJECT;
use super::world::{Access, State, WorldKind};

/// The inspector of a scale world sees the first top folder, and every tenth after it.
const INSPECTED: usize = 10;
/// The top folder of a scale world that the reviewer sees and may not open.
const CLOSED: usize = 1;

/// Sets the rights of everybody who does not see everything.
pub(super) fn give_rights(state: &mut State, world: WorldKind) {
    let [Some(inspector), Some(reviewer)] = ["site.inspector", "guest.reviewer"].map(accounts::by_user)
    else {
        return;
    };
    match world {
        WorldKind::Bridge => {
            let sites = ["00 General", "05 Site Photos", "06 Construction"];
            show_only(state, inspector.email, &sites);
            show_only(state, reviewer.email, &["03 Design"]);
            for folder in below(state, &[PROJECT, "03 Design"], "Calculations") {
                state.set_file_right(reviewer.email, folder, Some(Access::SeeOnly));
            }
        }
        WorldKind::Scale => {
            for (number, root) in guids(state, None).into_iter().enumerate() {
                if !number.is_multiple_of(INSPECTED) {
                    state.set_right(inspector.email, root, Some(Access::Hidden));
                }
                if number == CLOSED {
                    state.set_right(reviewer.email, root, Some(Access::SeeOnly));
                }
            }
        }
        // There the viewer is whoever looks: what is hidden is hidden from everybody.
        WorldKind::Awkward => {}
    }
}

/// Hides every other root, and every folder of the project but these.
fn show_only(state: &mut State, account: &str, shown: &[&str]) {
    for root in guids(state, None) {
        let project = state.folder(root).is_some_and(|row| row.name == PROJECT);
        if !project {
            state.set_right(account, root, Some(Access::Hidden));
            continue;
        }
        for folder in guids(state, Some(root)) {
            if state
                .folder(folder)
                .is_some_and(|row| !shown.contains(&row.name.as_str()))
            {
                state.set_right(account, folder, Some(Access::Hidden));
            }
        }
    }
}

/// The folders of this name anywhere below a path.
fn below(state: &State, path: &[&str], name: &str) -> Vec<Guid> {
    let mut open: Vec<_> = state.folder_at(path).into_iter().collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for row in state.folders_in(Some(folder)) {
            open.push(row.guid);
            if row.name == name {
                found.push(row.guid);
            }
        }
    }
    found
}

fn guids(state: &State, parent: Option<Guid>) -> Vec<Guid> {
    state.folders_in(parent).map(|row| row.guid).collect()
}
