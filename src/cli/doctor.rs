//! `doctor`: everything between this machine and a mounted folder, looked at, and told with what mends it.

use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use serde_json::json;

use super::GlobalArgs;
use super::failure::{CliError, ErrorKind};
use super::network::{self, NetworkArgs};
use super::output::{Format, Paint, Printer, escape};
use super::session::{Session, SourceArgs};
use crate::config::{AppDirs, DirOverrides};
use crate::daemon::choose::FolderChoice;
use crate::doctor::{self, Check, Kind, Outcome, Patient, Report, fuse, settings};

/// Find out what is missing or broken, and what mends it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DoctorArgs {
    /// Folder to look at, by path or GUID; may be given several times [default: the profile's]
    #[arg(long = "folder", value_name = "PATH|GUID")]
    folders: Vec<String>,
    /// Directory you want to mount on
    #[arg(long, value_name = "DIR")]
    mountpoint: Option<PathBuf>,
    /// You want to let other users in
    #[arg(long, env = "PWFS_ALLOW_OTHER", value_parser = FalseyValueParser::new())]
    allow_other: bool,
    /// Which server.
    #[command(flatten)]
    server: SourceArgs,
}

const AFTER_HELP: &str = "\
Changes nothing, sends at most 20 requests, and ends within a minute. Exits with 0 where nothing failed, else with the
status of the first failure. docs/doctor.md lists the checks.";

/// Looks at everything, and tells what was found.
pub async fn doctor(args: &DoctorArgs, global: &GlobalArgs, printer: &Printer) -> Result<(), CliError> {
    examine(patient(args, global)?, printer).await
}

/// Looks at everything a session's profile needs, as `pwfs doctor` does.
pub(super) async fn examine_session(session: &Session, printer: &Printer) -> Result<(), CliError> {
    let patient = Patient {
        asked: settings::Asked {
            config: session.config.path().to_owned(),
            profile: Some(session.profile_name.clone()),
            datasource: None,
            variables: variables(std::env::vars_os().map(|(name, _)| name)),
            network: lay(session.network_flags().clone(), session.config.path()),
        },
        folders: Vec::new(),
        mount: fuse::Wanted {
            mountpoint: None,
            allow_other: false,
            home: std::env::var_os("HOME").map(PathBuf::from),
        },
        places: fuse::Places::default(),
        dirs: session.dirs.clone(),
    };
    examine(patient, printer).await
}

/// Lays what the command line and the environment say of the network over what the file says.
fn lay(flags: NetworkArgs, config: &Path) -> settings::Lay {
    let config = config.to_owned();
    settings::Lay::by(move |written| {
        network::of_profile(written, &config)
            .map(|file| flags.over(&file))
            .map_err(|error| error.message().to_owned())
    })
}

async fn examine(patient: Patient, printer: &Printer) -> Result<(), CliError> {
    let tell = |what: &str| printer.progress(&format!("Looking at {what} …"));
    let report = doctor::examine(patient, &tell).await;
    printer.end_progress();
    match printer.format() {
        Format::Json => printer.json(&document(&report))?,
        Format::Text => text(&report, printer)?,
    }
    match report.first_failure() {
        None => Ok(()),
        Some((check, kind)) => Err(CliError::new(
            kind_of(kind),
            format!("{} failed: {}", check.id.text(), check.finding),
        )),
    }
}

const fn kind_of(kind: Kind) -> ErrorKind {
    match kind {
        Kind::Failure => ErrorKind::Failure,
        Kind::Unreachable => ErrorKind::Unreachable,
        Kind::TryAgain => ErrorKind::TryAgain,
        Kind::Login => ErrorKind::Login,
        Kind::Config => ErrorKind::Config,
    }
}

fn patient(args: &DoctorArgs, global: &GlobalArgs) -> Result<Patient, CliError> {
    let overrides = DirOverrides::from_environment();
    let dirs = if global.system {
        AppDirs::of_the_system(overrides)
    } else {
        AppDirs::new(overrides)?
    };
    let folders = args
        .folders
        .iter()
        .map(|text| FolderChoice::parse(text))
        .collect::<Result<_, _>>()?;
    global.network.check()?;
    let config = global.config.clone().unwrap_or_else(|| dirs.config_file());
    Ok(Patient {
        asked: settings::Asked {
            network: lay(global.network.clone(), &config),
            config,
            profile: global.profile.clone(),
            datasource: args.server.datasource.clone(),
            variables: variables(std::env::vars_os().map(|(name, _)| name)),
        },
        folders,
        mount: fuse::Wanted {
            mountpoint: args.mountpoint.clone(),
            allow_other: args.allow_other,
            home: std::env::var_os("HOME").map(PathBuf::from),
        },
        places: fuse::Places::default(),
        dirs,
    })
}

/// Those of the environment's names that change what pwfs does, in order.
fn variables(names: impl Iterator<Item = std::ffi::OsString>) -> Vec<String> {
    /// What the HTTP client and its certificates go by.
    const OTHERS: [&str; 6] = [
        "ALL_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    ];
    let mut found: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("PWFS_") || OTHERS.contains(&name.to_ascii_uppercase().as_str()))
        .collect();
    found.sort_unstable();
    found
}

fn document(report: &Report) -> serde_json::Value {
    let failed = report.first_failure();
    json!({
        "checks": report.checks,
        "summary": report.summary(),
        "first_failure": failed.map(|(check, _)| check.id),
        "exit_code": failed.map_or(0, |(_, kind)| CliError::new(kind_of(kind), "").exit_code()),
        "requests": report.requests,
    })
}

/// One line a check, under the headings of their groups; what mends it below.
fn text(report: &Report, printer: &Printer) -> Result<(), CliError> {
    let width = report
        .checks
        .iter()
        .map(|check| check.id.text().len())
        .max()
        .unwrap_or(0);
    let mut group = "";
    for check in &report.checks {
        let of = check.id.text().split('.').next().unwrap_or_default();
        if of != group {
            if !group.is_empty() {
                printer.line("")?;
            }
            printer.line(heading(of))?;
            group = of;
        }
        line(check, width, printer)?;
    }
    let counts = report.summary();
    printer.line("")?;
    printer.line(&format!(
        "{} checks: {} passed, {} to know of, {} failed, {} skipped",
        report.checks.len(),
        counts["pass"],
        counts["warn"],
        counts["fail"],
        counts["skipped"]
    ))
}

fn heading(group: &str) -> &'static str {
    match group {
        "fuse" => "This machine",
        "config" => "Configuration",
        "network" => "Network",
        "login" => "Sign-in",
        "access" => "Access to the datasource",
        "wsg" => "What the server can do",
        "folders" => "Folders",
        "cache" => "Cache",
        _ => "Mounts",
    }
}

fn line(check: &Check, width: usize, printer: &Printer) -> Result<(), CliError> {
    let (mark, paint) = match check.outcome {
        Outcome::Pass => ("ok  ", Paint::Good),
        Outcome::Warn => ("note", Paint::Notice),
        Outcome::Fail => ("FAIL", Paint::Problem),
        Outcome::Skipped => ("-   ", Paint::Faint),
    };
    printer.line(&format!(
        "  {} {:width$}  {}",
        printer.paint(paint, mark),
        check.id.text(),
        escape(&check.finding)
    ))?;
    for step in &check.remedy {
        printer.line(&format!("       {} {}", printer.paint(paint, "→"), escape(step)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Id;

    #[test]
    fn of_the_environment_the_names_that_matter_are_taken() {
        let names = ["PWFS_PROFILE", "https_proxy", "PATH", "NO_PROXY", "MY_PWFS_X"];
        assert_eq!(
            variables(names.into_iter().map(Into::into)),
            ["NO_PROXY", "PWFS_PROFILE", "https_proxy"]
        );
    }

    #[test]
    fn every_check_stands_under_a_heading_of_its_own_group() {
        let mut groups: Vec<&str> = Id::ALL
            .iter()
            .map(|id| id.text().split('.').next().unwrap())
            .collect();
        groups.dedup();
        let mut distinct = groups.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(
            groups.len(),
            distinct.len(),
            "a group is told in one piece: {groups:?}"
        );
        let headings: std::collections::BTreeSet<_> = groups.iter().map(|group| heading(group)).collect();
        assert_eq!(headings.len(), groups.len());
    }
}
