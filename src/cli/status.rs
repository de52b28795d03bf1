//! `status`: whether mounts work, as they tell themselves; and what is asked of servers, as its ledgers tell.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::GlobalArgs;
use super::failure::{CliError, ErrorKind};
use super::mount::{escape_path, with_state};
use super::output::{Format, Printer, escape};
use crate::config::{AppDirs, DirOverrides};
use crate::daemon::blocking;
use crate::daemon::health::probe::{Found, Told};
use crate::fuse::mountpoint::{self, Mounted, MountpointError};
use crate::http::pace::PaceStatus;

mod catalog;
mod documents;
mod servers;

use catalog::CatalogRow;
pub(super) use catalog::size;
use documents::DocumentsRow;
use servers::ServerRow;

/// Show whether mounts work, and how servers are asked
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// The mount [default: all that let you in]
    dir: Option<PathBuf>,
}

/// What `--json` shows.
#[derive(Debug, Serialize)]
struct Report {
    mounts: Vec<StatusRow>,
    servers: Vec<ServerRow>,
}

/// A mount, as `--json` shows it.
#[derive(Debug, Serialize)]
struct StatusRow {
    mountpoint: String,
    source: String,
    profile: Option<String>,
    /// `good`, `login-needed`, `secret-needed`, `locked-out`, `dead`, `silent` or `unknown`.
    state: String,
    since: Option<String>,
    detail: Option<String>,
    remedy: Option<String>,
    /// What is kept beside it.
    catalog: Option<CatalogRow>,
    /// What it does with documents.
    documents: Option<DocumentsRow>,
}

/// How bad a state is, from nothing to worst; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    None,
    Login,
    Mount,
}

/// Shows one mount, or all; and the servers that are asked by whomever.
pub async fn status(args: &StatusArgs, global: &GlobalArgs, printer: &Printer) -> Result<(), CliError> {
    let dir = args.dir.clone();
    let system = global.system;
    let (mounts, servers) = blocking(move || {
        let told_by_it = |(mounted, found): &(Mounted, Found)| {
            let mut row = StatusRow::new(mounted, found);
            if matches!(found, Found::Alive(_)) {
                row.catalog = catalog::look(&mounted.path);
                row.documents = documents::look(&mounted.path);
            }
            row
        };
        let mounts: Vec<StatusRow> = look(dir)?.iter().map(told_by_it).collect();
        Ok::<_, CliError>((mounts, paces(system)))
    })
    .await?;
    let report = Report {
        mounts,
        servers: servers.iter().map(ServerRow::new).collect(),
    };
    match printer.format() {
        Format::Json => printer.json(&report)?,
        Format::Text => {
            if report.mounts.is_empty() {
                printer.line("no ProjectWise mounts")?;
            }
            for row in &report.mounts {
                show(row, printer)?;
            }
            for row in &report.servers {
                row.show(printer)?;
            }
        }
    }
    match report.mounts.iter().max_by_key(|row| row.trouble()) {
        Some(worst) => worst.verdict(),
        None => Ok(()),
    }
}

/// What this user's processes ask of servers, or those of the system.
fn paces(system: bool) -> Vec<PaceStatus> {
    let overrides = DirOverrides::from_environment();
    let dirs = if system {
        AppDirs::of_the_system(overrides)
    } else {
        match AppDirs::new(overrides) {
            Ok(dirs) => dirs,
            // Then nothing can have been counted there either.
            Err(_) => return Vec::new(),
        }
    };
    PaceStatus::all(&dirs.runtime)
}

/// The mount at `dir`, or all that let this user in, each with what it tells.
fn look(dir: Option<PathBuf>) -> Result<Vec<(Mounted, Found)>, CliError> {
    let Some(dir) = dir else {
        let mounts = mountpoint::ours().map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
        let mut found = with_state(mounts);
        found.retain(|(_, found)| *found != Found::Closed);
        return Ok(found);
    };
    let path = mountpoint::absolute(&dir)?;
    match mountpoint::at(&path)? {
        None => {
            let nothing = format!("nothing is mounted at {}", path.display());
            Err(CliError::new(ErrorKind::Failure, nothing).hint("`pwfs mounts` lists what is mounted"))
        }
        Some(mounted) if !mounted.is_ours() => Err(MountpointError::Foreign {
            path,
            kind: mounted.kind,
        }
        .into()),
        Some(mounted) => {
            let found = with_state(vec![mounted]);
            if found.iter().any(|(_, found)| *found == Found::Closed) {
                let closed = format!("{} lets only another user in", path.display());
                return Err(CliError::new(ErrorKind::Login, closed));
            }
            Ok(found)
        }
    }
}

/// What a state that is not the login's asks for.
const DEAD: &str = "clear it with `pwfs unmount`, then mount again";
const SILENT: &str = "wait until it answers again, or break it off with `pwfs unmount --force`";

impl StatusRow {
    fn new(mounted: &Mounted, found: &Found) -> Self {
        let (state, told) = match found {
            Found::Dead => (Some("dead"), with_remedy(DEAD)),
            Found::Silent => (Some("silent"), with_remedy(SILENT)),
            Found::Closed => (None, Told::default()),
            Found::Alive(told) => (told.login.as_deref(), told.clone()),
        };
        Self {
            mountpoint: mounted.path.display().to_string(),
            source: mounted.source.clone(),
            state: state.unwrap_or("unknown").to_owned(),
            profile: told.profile,
            since: told.since,
            detail: told.detail,
            remedy: told.remedy,
            catalog: None,
            documents: None,
        }
    }

    fn trouble(&self) -> Trouble {
        match self.state.as_str() {
            "dead" | "silent" => Trouble::Mount,
            "good" | "unknown" => Trouble::None,
            // Whatever else a mount may say of its login, of a later version too.
            _ => Trouble::Login,
        }
    }

    /// The failure that tells a program how it is.
    fn verdict(&self) -> Result<(), CliError> {
        let (kind, what) = match (self.trouble(), self.state.as_str()) {
            (Trouble::None, _) => return Ok(()),
            (Trouble::Mount, "dead") => (ErrorKind::Failure, "has lost its process"),
            (Trouble::Mount, _) => (ErrorKind::Failure, "does not answer"),
            (Trouble::Login, _) => (ErrorKind::Login, "has no login that works"),
        };
        let failure = CliError::new(kind, format!("the mount at {} {what}", self.mountpoint));
        Err(match &self.remedy {
            Some(remedy) => failure.hint(remedy.as_str()),
            None => failure,
        })
    }
}

fn with_remedy(remedy: &str) -> Told {
    Told {
        remedy: Some(remedy.to_owned()),
        ..Told::default()
    }
}

fn show(row: &StatusRow, printer: &Printer) -> Result<(), CliError> {
    printer.line(&escape_path(row.mountpoint.as_ref()))?;
    let state = match &row.since {
        Some(since) => format!("{} since {since}", row.state),
        None => row.state.clone(),
    };
    let fields = [
        ("source", Some(&row.source)),
        ("profile", row.profile.as_ref()),
        ("state", Some(&state)),
        ("detail", row.detail.as_ref()),
        ("remedy", row.remedy.as_ref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            printer.line(&format!("  {name:<8} {}", escape(value)))?;
        }
    }
    let catalog = row.catalog.iter().flat_map(CatalogRow::lines);
    let documents = row.documents.iter().flat_map(DocumentsRow::lines);
    for (name, value) in catalog.chain(documents) {
        printer.line(&format!("  {name:<8} {}", escape(&value)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str) -> StatusRow {
        let mounted = Mounted {
            path: "/mnt/a".into(),
            kind: "fuse.projectwise".to_owned(),
            source: "projectwise:h".to_owned(),
            device: "0:1".to_owned(),
        };
        let told = Told {
            login: Some(state.to_owned()),
            remedy: (state != "good").then(|| "run it".to_owned()),
            ..Told::default()
        };
        match state {
            "dead" => StatusRow::new(&mounted, &Found::Dead),
            "silent" => StatusRow::new(&mounted, &Found::Silent),
            "unknown" => StatusRow::new(&mounted, &Found::Alive(Told::default())),
            _ => StatusRow::new(&mounted, &Found::Alive(told)),
        }
    }

    #[test]
    fn each_state_has_its_exit_status_and_the_worst_decides() {
        for (state, code) in [
            ("good", 0),
            ("unknown", 0),
            ("login-needed", 77),
            ("secret-needed", 77),
            ("locked-out", 77),
            ("a-state-of-a-later-version", 77),
            ("dead", 1),
            ("silent", 1),
        ] {
            let row = row(state);
            assert_eq!(row.state, state);
            assert_eq!(
                row.verdict().map_or_else(|error| error.exit_code(), |()| 0),
                code,
                "{state}"
            );
            assert_eq!(row.remedy.is_some(), code != 0, "{state}");
        }
        let rows = ["good", "dead", "login-needed"].map(row);
        let worst = rows.iter().max_by_key(|row| row.trouble()).unwrap();
        assert_eq!(worst.state, "dead");
    }
}
