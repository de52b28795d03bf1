//! The command line: what may be said, and which command answers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub mod answer;
mod attributes;
mod below;
mod beside;
pub mod browse;
pub mod cache;
pub mod changes;
mod completeness;
pub mod core_dump;
mod counterpart;
mod crawling;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod failure;
mod following;
pub mod info;
mod interrupt;
mod launch;
pub mod link;
pub mod login;
pub mod manifest;
pub mod mount;
pub mod network;
mod object;
pub mod open;
pub mod output;
mod page;
pub mod picker;
pub mod session;
pub mod setup;
pub mod simulate;
pub mod status;
pub mod sync_point;
mod wake;
pub mod warm;

use crate::memory;

use failure::{CliError, ErrorKind, exit};
use output::{Format, Printer};
use session::Session;

/// Mount ProjectWise folders as a read-only directory tree
#[derive(Debug, Parser)]
#[command(name = "pwfs", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Exit status:
  0   it worked
  1   it failed
  2   the command line cannot be understood
  69  the server cannot be reached
  73  a file or directory cannot be created
  75  try again later
  77  login or permission
  78  the configuration cannot be used";

/// What all commands share.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Profile of config.toml to use
    #[arg(long, global = true, value_name = "NAME", env = "PWFS_PROFILE")]
    pub profile: Option<String>,
    /// Configuration file to use
    #[arg(long, global = true, value_name = "FILE", env = "PWFS_CONFIG")]
    pub config: Option<PathBuf>,
    /// Work for the whole system: profiles in /etc/pwfs, logins in /var/lib/pwfs
    #[arg(long, global = true, env = "PWFS_SYSTEM", value_parser = clap::builder::FalseyValueParser::new())]
    pub system: bool,
    /// Write results and errors as JSON
    #[arg(long, global = true, env = "PWFS_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
    /// Let a crash leave a core dump, although it would hold the login's tokens
    #[arg(long, global = true, env = "PWFS_ALLOW_CORE_DUMP", value_parser = clap::builder::FalseyValueParser::new())]
    pub allow_core_dump: bool,
    /// Least important messages to log to stderr
    #[arg(long, global = true, value_enum, value_name = "LEVEL", env = "PWFS_LOG_LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Log more; repeat for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How servers are reached.
    #[command(flatten)]
    pub network: network::NetworkArgs,
}

/// How much is logged, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// What a person should know. The default.
    Warn,
    /// What happens.
    Info,
    /// Why it happens.
    Debug,
    /// Everything.
    Trace,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Try pwfs on an embedded ProjectWise with a bridge project
    Demo(demo::DemoArgs),
    /// Run the embedded ProjectWise by itself
    Simulate(simulate::SimulateArgs),
    /// Set up a profile: app, sign-in, datasource, folders
    Setup(setup::SetupArgs),
    /// Sign in with your own iTwin app, or with an account of your own server
    ///
    /// Without a flag it signs in as the profile says (key `auth`), at first with a browser. What worked is kept in the
    /// profile; secrets are kept in the keyring, or in a file that only you can read. A secret is never an argument: it
    /// is asked for, or read from a file, an environment variable or a systemd credential.
    Login(login::LoginArgs),
    /// End the login and forget it
    Logout(login::LogoutArgs),
    /// Show who is signed in
    Whoami(login::WhoamiArgs),
    /// List the datasources of the server, or the work areas of your iTwins
    Datasources(browse::DatasourcesArgs),
    /// List the folders in a folder, or the root folders
    Folders(browse::FoldersArgs),
    /// Show folders and documents as a tree
    Tree(browse::TreeArgs),
    /// Show ProjectWise folders as a read-only directory
    Mount(mount::MountArgs),
    /// Unmount a directory
    Unmount(mount::UnmountArgs),
    /// List the mounts of this machine
    Mounts,
    /// Show whether mounts work and how servers are asked
    ///
    /// Exits with 77 where a login does not work, and with 1 where a mount is dead or does not answer.
    Status(status::StatusArgs),
    /// Say why an entry looks as it does, or is not there
    ///
    /// Reads what is kept beside a mount, and asks no server. The path need not exist.
    Explain(explain::ExplainArgs),
    /// Show everything that is known of a file or directory of a mount
    ///
    /// The mount and what is kept beside it tell most; the server is asked for the attributes of a document's environment.
    Info(info::InfoArgs),
    /// Print the links that lead to a file or directory of a mount
    ///
    /// Asks no server. A link by GUID leads there after a rename or a move, too; one by names is there where the listings
    /// that are kept lead up to the root of the datasource.
    Link(link::LinkArgs),
    /// Say where in a mount the object of a link is shown
    ///
    /// Takes whatever names a datasource: a pw: link, by GUID or by names, or a URL of the gateway. Asks no server: it is
    /// found in the listings that mounts have kept.
    Open(open::OpenArgs),
    /// Follow what changes below a mount
    ///
    /// Prints each change once, in the order in which the mount saw them: when, where, what. Ends with the mount. What
    /// nobody looks at is seen with the next refresh of its folder.
    Events(events::EventsArgs),
    /// List everything below a folder ahead of time, so that nobody waits for it later
    ///
    /// Has no deadline: it waits for the request budget. What was listed stays listed when it is stopped, and the same command
    /// goes on from there. Exits with 0 only if everything was listed and proved.
    Warm(warm::WarmArgs),
    /// Say what there is below a folder, one row for each document
    ///
    /// Complete, or it fails and names the folders that are missing. Folders nobody has listed yet are listed first, without
    /// a deadline. Rows come folder by folder; the last one says from which cursor `pwfs changes` goes on.
    Manifest(manifest::ManifestArgs),
    /// Tell what changed below a mount, each change once and in order
    ///
    /// For whoever keeps a copy: one JSON object a line. Exits with 75 where the journal does not reach back to the cursor: then a new manifest is
    /// needed.
    Changes(changes::ChangesArgs),
    /// Wait until everything below a directory is that fresh, by proof
    ///
    /// Prints the cursor of the state it waited for. Otherwise it fails and names the folders that are not so fresh.
    SyncPoint(sync_point::SyncPointArgs),
    /// Keep documents on the disk, whatever else needs the room
    ///
    /// A new version of a pinned document is pinned in place of the old one.
    Pin(cache::pins::PinArgs),
    /// Let pinned documents make room again
    Unpin(cache::pins::UnpinArgs),
    /// Look after the documents that are kept on the disk
    Cache(cache::CacheArgs),
    /// Find out what is missing or broken, and what mends it
    Doctor(doctor::DoctorArgs),
}

impl Cli {
    /// Parses the arguments, and notes which settings stand there and which in the environment.
    fn parse_noting_sources(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))?;
        cli.global.network.note_sources(&matches);
        if let (Command::Mount(args), Some((_, matches))) = (&mut cli.command, matches.subcommand()) {
            args.freshness
                .note_sources(matches)
                .map_err(|clash| Self::command().error(clap::error::ErrorKind::ArgumentConflict, clash))?;
        }
        Ok(cli)
    }
}

impl GlobalArgs {
    fn log_level(&self) -> LogLevel {
        let by_count = match self.verbose {
            0 => LogLevel::Warn,
            1 => LogLevel::Info,
            2 => LogLevel::Debug,
            _ => LogLevel::Trace,
        };
        match self.log_level {
            // A `-v` asks for more than whatever the environment says.
            Some(level) if self.verbose > 0 => level.max(by_count),
            Some(level) => level,
            None => by_count,
        }
    }
}

/// Runs the command of these arguments, the program's name first, to its end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::parse_noting_sources(arguments.clone()) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &arguments),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
    let format = if cli.global.json || cli.command.wants_json() {
        Format::Json
    } else {
        Format::Text
    };
    let printer = Arc::new(Printer::new(format, no_color));
    start_log(cli.global.log_level());
    let result = wait_for(dispatch(&cli, &printer))
        .map_err(|error| complete(error, &cli))
        .and_then(|()| printer.flush());
    match result {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            // What was found before the failure is worth having.
            let _ = printer.flush();
            printer.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

impl Command {
    /// True where the command's own flag asks for JSON.
    fn wants_json(&self) -> bool {
        match self {
            Self::Tree(args) => args.format == browse::TreeFormat::Json,
            Self::Info(args) => args.answer.is_json(),
            Self::Link(args) => args.answer.is_json(),
            Self::Open(args) => args.answer.is_json(),
            Self::Demo(_)
            | Self::Simulate(_)
            | Self::Setup(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Whoami(_)
            | Self::Datasources(_)
            | Self::Folders(_)
            | Self::Mount(_)
            | Self::Unmount(_)
            | Self::Mounts
            | Self::Status(_)
            | Self::Explain(_)
            | Self::Events(_)
            | Self::Warm(_)
            | Self::Manifest(_)
            | Self::Changes(_)
            | Self::SyncPoint(_)
            | Self::Pin(_)
            | Self::Unpin(_)
            | Self::Cache(_)
            | Self::Doctor(_) => false,
        }
    }
}

/// Tells what is wrong with the command line; or shows help and version, which come this way, too.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe has nobody to tell.
        let _ = error.print();
        return ExitCode::from(exit::OK);
    }
    // A script that asks for JSON gets it, although nothing else of its command line is understood.
    if arguments.iter().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        Printer::new(Format::Json, true).error(&CliError::new(ErrorKind::Usage, text));
    } else {
        let _ = error.print();
    }
    ExitCode::from(exit::USAGE)
}

/// Completes the hints of a failed command with what its profile knows.
fn complete(error: CliError, cli: &Cli) -> CliError {
    // A configuration that cannot be read is told by the failure itself, if by anything.
    let Ok(session) = Session::open(&cli.global) else {
        return error;
    };
    let mut account = session.hint_account(&cli.global);
    if let Command::Login(args) = &cli.command
        && let Some(id) = &args.client_id
    {
        account.client_id = Some(id.trim().to_owned());
    }
    error.for_account(account)
}

/// Runs the command.
async fn dispatch(cli: &Cli, printer: &Arc<Printer>) -> Result<(), CliError> {
    let session = || Session::open(&cli.global);
    match &cli.command {
        Command::Demo(args) => demo::demo(args, printer).await,
        Command::Simulate(args) => simulate::simulate(args, printer).await,
        Command::Setup(args) => Box::pin(setup::setup(args, session()?, printer)).await,
        Command::Login(args) => login::terminal::login(args, session()?, printer).await,
        Command::Logout(args) => login::terminal::logout(args, session()?, printer).await,
        Command::Whoami(args) => login::terminal::whoami(args, session()?, printer).await,
        Command::Datasources(args) => browse::datasources(session()?, args, printer).await,
        Command::Folders(args) => {
            let (remote, folder) = session()?.remote(&args.source).await?;
            browse::folders(&remote, &args.beginning_with(folder), printer).await
        }
        Command::Tree(args) if args.format == browse::TreeFormat::Html => {
            Box::pin(page::page(args, session()?, printer)).await
        }
        Command::Tree(args) => {
            let (remote, folder) = session()?.remote(&args.source).await?;
            browse::tree(&remote, &args.beginning_with(folder), printer).await
        }
        Command::Mount(args) => {
            let (account, dirs) = session()?.account()?;
            mount::mount(args, &cli.global, &account, &dirs, printer).await
        }
        Command::Unmount(args) => mount::unmount(args, printer).await,
        Command::Mounts => mount::mounts(printer).await,
        Command::Status(args) => status::status(args, &cli.global, printer).await,
        Command::Explain(args) => explain::explain(args, &cli.global, printer).await,
        Command::Info(args) => Box::pin(info::info(args, &cli.global, printer)).await,
        Command::Link(args) => link::link(args, printer).await,
        Command::Open(args) => open::open(args, printer).await,
        Command::Events(args) => events::events(args, printer).await,
        Command::Warm(args) => warm::warm(args, session()?, printer).await,
        Command::Manifest(args) => Box::pin(manifest::manifest(args, session()?, printer)).await,
        Command::Changes(args) => changes::changes(args, printer).await,
        Command::SyncPoint(args) => sync_point::sync_point(args, printer).await,
        Command::Pin(args) => cache::pins::pin(args, &session()?, printer).await,
        Command::Unpin(args) => cache::pins::unpin(args, &session()?, printer).await,
        Command::Cache(args) => cache::cache(args, &session()?, printer).await,
        Command::Doctor(args) => doctor::doctor(args, &cli.global, printer).await,
    }
}

/// Runs a command on the one runtime of this process.
fn wait_for(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(memory::THREADS_LINGER)
        .build()
        .map_err(|error| CliError::of(ErrorKind::Failure, &error).while_doing("cannot start"))?;
    let result = runtime.block_on(async {
        interrupt::guard();
        let result = command.await;
        // A renewal begun ahead of time, or by a reader of a mount that is gone, is not cut off before it is stored.
        interrupt::let_renewals_end().await;
        result
    });
    // A keyring that does not answer must not hold up the end.
    runtime.shutdown_background();
    result
}

fn start_log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // Other crates are heard when they fail, and at no level beyond: h2 writes the headers of answers there, cookies
    // included, and zbus whole messages, which hold what goes into the keyring. Nothing they add is worth a secret.
    let filter = format!("error,pwfs={level}");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(|| output::log::LogWriter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .finish();
    // Only a test that runs two commands finds one there already; that one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn more_v_log_more_and_json_may_be_asked_for_in_two_ways() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(parse("pwfs tree").global.log_level(), LogLevel::Warn);
        assert_eq!(parse("pwfs tree -vv").global.log_level(), LogLevel::Debug);
        assert_eq!(
            parse("pwfs --log-level trace tree").global.log_level(),
            LogLevel::Trace
        );
        assert_eq!(
            parse("pwfs --log-level error tree -v").global.log_level(),
            LogLevel::Info
        );
        assert!(parse("pwfs tree --format json A/B").command.wants_json());
        assert!(!parse("pwfs folders A/B").command.wants_json());
        assert!(Cli::try_parse_from(["pwfs", "tree", "--depth", "0"]).is_err());
        assert!(Cli::try_parse_from(["pwfs", "nonsense"]).is_err());
    }

    #[test]
    fn every_exit_status_is_in_the_help() {
        for code in [
            exit::OK,
            exit::FAILURE,
            exit::USAGE,
            exit::UNREACHABLE,
            exit::CANNOT_CREATE,
            exit::TRY_AGAIN,
            exit::LOGIN,
            exit::CONFIG,
        ] {
            assert!(
                AFTER_HELP
                    .lines()
                    .any(|line| line.trim().starts_with(&format!("{code} "))),
                "{code}"
            );
        }
    }
}
