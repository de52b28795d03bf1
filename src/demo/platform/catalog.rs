//! The iTwins there are, who is a member of which, and which work areas they are connected to.

use crate::demo::accounts::{ACCOUNTS, DEFAULT_EMAIL};
use crate::demo::seed::Dice;
use crate::demo::world::{FolderRow, World};
use crate::model::{Guid, Timestamp};

/// iTwins that only fill pages: with the connected ones, the engineer's active projects take two pages of 100.
const OTHERS: usize = 180;
/// The same iTwins whatever the seed of the world is: they belong to another service.
const SEED: u64 = 0x6954_7769_6e73;
/// When the organization's first iTwin was made.
const FIRST: &str = "2016-01-18T21:03:00Z";
/// Between one iTwin and the next, in seconds: about twenty days.
const APART: i64 = 1_728_011;
/// A member who sees the iTwin's connections and none of its storage.
const NO_STORAGE: &str = "guest.reviewer@example.com";

const PLACES: [&str; 12] = [
    "Northbank",
    "Harbour Road",
    "Leven Valley",
    "Old Quarry",
    "Castle Hill",
    "Mill Lane",
    "Eastfield",
    "Saltmarsh",
    "Ferry Point",
    "Kirkton",
    "Ashgrove",
    "Queensway",
];
const WORKS: [&str; 10] = [
    "Bypass",
    "Station Upgrade",
    "Flood Defence",
    "Substation",
    "Rail Siding",
    "Tunnel Refurbishment",
    "Interchange",
    "Pumping Station",
    "Footbridge",
    "Depot",
];

/// One iTwin.
pub(super) struct ITwin {
    pub(super) id: Guid,
    pub(super) class: &'static str,
    pub(super) sub_class: &'static str,
    /// `type`: what the organization calls it.
    pub(super) kind: &'static str,
    pub(super) number: String,
    pub(super) display_name: String,
    pub(super) status: &'static str,
    pub(super) parent: Guid,
    pub(super) account: Guid,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) connections: Vec<Connection>,
    /// True where something was put into its storage.
    pub(super) filled: bool,
    members: Members,
}

/// Who sees an iTwin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Members {
    /// Everybody with an account, mapped in ProjectWise or not.
    Everybody,
    /// The account that tests sign in with.
    Engineer,
    /// People of another organization.
    Strangers,
}

/// A work area an iTwin is connected to.
pub(super) struct Connection {
    pub(super) id: Guid,
    pub(super) display_name: String,
    pub(super) description: String,
    pub(super) work_area: String,
    pub(super) primary: bool,
    pub(super) target: Target,
}

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A folder of this simulator's datasource.
    Here(Guid),
    /// A folder of a datasource that this simulator is not.
    Elsewhere(String),
}

impl ITwin {
    /// True where this person is a member.
    fn has(&self, email: &str) -> bool {
        match self.members {
            Members::Everybody => ACCOUNTS
                .iter()
                .any(|known| known.email.eq_ignore_ascii_case(email)),
            Members::Engineer => email.eq_ignore_ascii_case(DEFAULT_EMAIL),
            Members::Strangers => false,
        }
    }

    /// True where a member has `storage_read`.
    pub(super) fn lets_read_storage(email: &str) -> bool {
        !email.eq_ignore_ascii_case(NO_STORAGE)
    }
}

/// Every iTwin.
pub(super) struct Catalog(Vec<ITwin>);

impl Catalog {
    /// The iTwins that folders of this world are connected to, and those of the rest of the organization.
    pub(super) fn over(world: &World) -> Self {
        let mut dice = Dice::new(SEED);
        let account = dice.guid();
        let (connected, areas) = world.with(|state| {
            // Connections are made near the top; to look further would cost a large world its start.
            let roots = state.folders_in(None);
            let near = roots.flat_map(|root| {
                let below: Vec<_> = state.folders_in(Some(root.guid)).collect();
                std::iter::once(root).chain(below)
            });
            let (mut connected, mut areas) = (Vec::new(), Vec::new());
            for row in near {
                if row.connected.is_some() {
                    connected.push(row.into_owned());
                } else if row.work_area {
                    areas.push(row.into_owned());
                }
            }
            (connected, areas)
        });
        let mut all = Vec::new();
        for row in &connected {
            let Some(id) = row.connected else { continue };
            let inside: Vec<&FolderRow> = areas
                .iter()
                .filter(|area| area.parent == Some(row.guid))
                .collect();
            let whole = here(&mut dice, row, true);
            let parts = inside.iter().map(|area| here(&mut dice, area, false));
            let connections = std::iter::once(whole).chain(parts).collect();
            all.push(ITwin {
                id,
                display_name: row.name.clone(),
                connections,
                filled: true,
                members: Members::Everybody,
                ..plain(&mut dice, account, all.len())
            });
            // A work area may be connected to several projects (fact sheet 2.3): each has one of its own, too.
            for area in inside {
                let connection = here(&mut dice, area, false);
                all.push(ITwin {
                    display_name: format!("{} {}", row.name, area.name),
                    connections: vec![connection],
                    members: Members::Engineer,
                    ..plain(&mut dice, account, all.len())
                });
            }
        }
        all.push(elsewhere(&mut dice, account, all.len()));
        for _ in 0..OTHERS {
            let itwin = other(&mut dice, account, all.len());
            all.push(itwin);
        }
        Self(all)
    }

    /// Those this person is a member of, in order of creation.
    pub(super) fn of(&self, email: &str) -> impl Iterator<Item = &ITwin> {
        self.0.iter().filter(move |itwin| itwin.has(email))
    }

    /// The iTwin of this id, whoever asks.
    pub(super) fn by_id(&self, id: Guid) -> Option<&ITwin> {
        self.0.iter().find(|itwin| itwin.id == id)
    }
}

fn here(dice: &mut Dice, row: &FolderRow, primary: bool) -> Connection {
    Connection {
        id: dice.guid(),
        display_name: row.name.clone(),
        description: row.description.clone(),
        work_area: row.name.clone(),
        primary,
        target: Target::Here(row.guid),
    }
}

/// An active project like any other.
fn plain(dice: &mut Dice, account: Guid, place: usize) -> ITwin {
    let place = i64::try_from(place).unwrap_or(0);
    let first: Timestamp = FIRST.parse().expect("a literal time stamp");
    let created = first + jiff::SignedDuration::from_secs(place * APART);
    ITwin {
        id: dice.guid(),
        class: "Endeavor",
        sub_class: "Project",
        kind: "Construction Project",
        number: format!("{:05}", place + 1),
        display_name: format!("{} {}", dice.pick(&PLACES), dice.pick(&WORKS)),
        status: "Active",
        parent: account,
        account,
        created,
        modified: created + jiff::SignedDuration::from_secs(90_061),
        connections: Vec::new(),
        filled: false,
        members: Members::Engineer,
    }
}

/// A project whose work area is in another datasource.
fn elsewhere(dice: &mut Dice, account: Guid, place: usize) -> ITwin {
    let folder = dice.guid();
    let connection = Connection {
        id: dice.guid(),
        display_name: "Harbour Tunnel".to_owned(),
        description: "Kept by the joint venture's partner".to_owned(),
        work_area: "HT-100".to_owned(),
        primary: true,
        // Hosts below `.invalid` cannot exist.
        target: Target::Elsewhere(format!(
            "https://northbank-pw-ws.invalid/ws/v2.8/repositories/\
             Bentley.PW--northbank-pw.invalid~3Anorthbank-pw-01/PW_WSG/Project/{folder}"
        )),
    };
    ITwin {
        display_name: "Harbour Tunnel".to_owned(),
        connections: vec![connection],
        ..plain(dice, account, place)
    }
}

/// One of many: some inactive, some no projects, some of which the engineer is no member.
fn other(dice: &mut Dice, account: Guid, place: usize) -> ITwin {
    let itwin = plain(dice, account, place);
    let display_name = format!("{} Lot {}", itwin.display_name, place % 4 + 1);
    let (class, sub_class, kind) = match place % 23 {
        3 => ("Thing", "Asset", "Bridge"),
        7 => ("Endeavor", "WorkPackage", "Work Package"),
        11 => ("Endeavor", "Program", "Framework"),
        _ => (itwin.class, itwin.sub_class, itwin.kind),
    };
    let status = match place % 19 {
        5 | 6 => "Inactive",
        12 => "Trial",
        _ => itwin.status,
    };
    let members = match place % 17 {
        2 | 9 => Members::Strangers,
        4 => Members::Everybody,
        _ => itwin.members,
    };
    ITwin {
        class,
        sub_class,
        kind,
        display_name,
        status,
        members,
        ..itwin
    }
}
