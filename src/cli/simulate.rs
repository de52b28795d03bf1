//! `simulate`: the embedded ProjectWise by itself, for pipelines to try and for outages to be rehearsed.

pub mod knobs;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{CliError, ErrorKind};
use super::output::{Format, Paint, Printer, escape};
use crate::demo::{ACCOUNTS, DemoOptions, DemoServer, RequestKind, Script, WorldKind};

use knobs::KnobArgs;

/// Where the simulator listens if nothing else is said: the same place each time, so that a login, a mount and a
/// pipeline's configuration outlive a restart.
const PORT: u16 = 8765;

/// Run the embedded ProjectWise by itself
///
/// An identity service, a Web Services Gateway and the iTwin Platform on this machine, for trying pwfs or a pipeline, and for
/// rehearsing outages through its admin API. Nothing leaves the machine. docs/simulator.md is its manual.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Sign the demo engineer in without showing the sign-in pages
    #[arg(long)]
    auto_consent: bool,
    /// What goes wrong and when, as JSON (docs/simulator.md)
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    server: ServerArgs,
}

/// The world and the manners of the embedded ProjectWise.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// The datasource: the bridge project, any number of made-up documents, or everything that is awkward
    #[arg(long, value_parser = world, value_name = "bridge|scale|awkward", default_value = WorldKind::default().name())]
    world: WorldKind,
    /// Documents in the project, about
    #[arg(long, default_value_t = DemoOptions::default().documents)]
    documents: usize,
    /// Folders in the project, about
    #[arg(long, default_value_t = DemoOptions::default().folders)]
    folders: usize,
    /// Another project of the same kind
    #[arg(long, default_value_t = DemoOptions::default().seed)]
    seed: u64,
    /// How the server settles what is not known of real ones.
    #[command(flatten)]
    knobs: KnobArgs,
}

impl ServerArgs {
    /// What the flags ask for.
    pub fn options(&self) -> DemoOptions {
        let mut options = DemoOptions {
            world: self.world,
            documents: self.documents,
            folders: self.folders,
            seed: self.seed,
            ..DemoOptions::default()
        };
        self.knobs.apply(&mut options.knobs);
        options
    }
}

fn world(name: &str) -> Result<WorldKind, String> {
    let names = WorldKind::ALL.map(WorldKind::name).join(", ");
    WorldKind::named(name).ok_or_else(|| format!("there are the worlds {names}"))
}

/// What runs where, as one line of JSON.
#[derive(Serialize)]
struct SimulatorReport {
    server: String,
    issuer: String,
    wsg: String,
    datasource: String,
    admin: String,
    blob: String,
    documents: usize,
    folders: usize,
    apps: Vec<AppReport>,
    people: Vec<PersonReport>,
}

/// An app that is registered.
#[derive(Serialize)]
struct AppReport {
    kind: &'static str,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// Somebody who can sign in. There is no secret here: it is on the sign-in page for all to read.
#[derive(Serialize)]
struct PersonReport {
    email: &'static str,
    password: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'static str>,
    role: &'static str,
}

impl SimulatorReport {
    fn of(server: &DemoServer, options: &DemoOptions) -> Self {
        let (documents, folders) = match options.world {
            // Counting a million would take longer than starting.
            WorldKind::Scale => (options.documents, options.folders),
            WorldKind::Bridge | WorldKind::Awkward => server.world().shown(),
        };
        let app = |kind, client_id, client_secret| AppReport {
            kind,
            client_id,
            client_secret,
        };
        let (web, web_secret) = server.web_client();
        let (service, service_secret) = server.service_client();
        Self {
            server: server.base_url(),
            issuer: server.issuer(),
            wsg: server.wsg_url(),
            datasource: server.datasource_url(),
            admin: server.admin_url(),
            blob: server.blob_url(),
            documents,
            folders,
            apps: vec![
                app("native", server.native_client_id(), None),
                app("spa", server.spa_client_id(), None),
                app("web", web, Some(web_secret)),
                app("service", service, Some(service_secret)),
            ],
            people: ACCOUNTS
                .iter()
                .map(|account| PersonReport {
                    email: account.email,
                    password: account.password,
                    user: account.user,
                    role: account.role,
                })
                .collect(),
        }
    }
}

/// Runs the simulator until somebody asks for its end.
pub async fn simulate(args: &SimulateArgs, printer: &Printer) -> Result<(), CliError> {
    super::interrupt::take_both();
    // Before anything is said: who read that it runs may stop it at once.
    let signals = |error: &std::io::Error| {
        CliError::of(ErrorKind::Failure, error).while_doing("signals cannot be waited for")
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| signals(&error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| signals(&error))?;
    let options = DemoOptions {
        port: args.port,
        auto_consent: args.auto_consent,
        ..args.server.options()
    };
    let script = args.script.as_ref().map(read_script).transpose()?;
    let server = DemoServer::start(options.clone()).await.map_err(|error| {
        let failure = CliError::of(ErrorKind::Failure, &error)
            .while_doing(format!("the simulator cannot listen on port {}", args.port));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint("give it another port with --port"),
            _ => failure,
        }
    })?;
    let report = SimulatorReport::of(&server, &options);
    match printer.format() {
        Format::Json => printer.json_line(&report)?,
        Format::Text => introduce(&report, printer)?,
    }
    printer.flush()?;
    if let Some(script) = script {
        server.run_script(script);
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    let asked = server.requests();
    server.stop().await;
    match printer.format() {
        Format::Text => printer.line(&format!(
            "\nStopped after {} requests, {} of them for files.",
            asked.total,
            asked.of(RequestKind::File) + asked.of(RequestKind::Blob)
        )),
        Format::Json => Ok(()),
    }
}

fn read_script(path: &PathBuf) -> Result<Script, CliError> {
    let failed = |error: &dyn std::error::Error| {
        CliError::of(ErrorKind::Config, error).while_doing(format!("{} cannot be used", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    Script::parse(&text).map_err(|error| failed(&error))
}

/// Tells a person what runs, who may sign in, and what to try.
fn introduce(report: &SimulatorReport, printer: &Printer) -> Result<(), CliError> {
    let faint = |text: &str| printer.paint(Paint::Faint, &escape(text));
    printer.line(&format!(
        "A simulated ProjectWise: {} documents in {} folders. Nothing leaves this machine.\n",
        report.documents, report.folders
    ))?;
    printer.line(&format!("Datasource  {}", report.datasource))?;
    printer.line(&format!("Issuer      {}", report.issuer))?;
    printer.line(&format!("Admin       {}", report.admin))?;
    printer.line("")?;
    for (at, app) in report.apps.iter().enumerate() {
        let head = if at == 0 { "Apps" } else { "" };
        let secret = match &app.client_secret {
            Some(secret) => format!("secret {secret}"),
            None => "no secret".to_owned(),
        };
        printer.line(&format!(
            "{head:<11} {:<20} {}",
            app.client_id,
            faint(&format!("{}, {secret}", app.kind))
        ))?;
    }
    for (at, person) in report.people.iter().enumerate() {
        let head = if at == 0 { "People" } else { "" };
        printer.line(&format!("{head:<11} {:<28} {}", person.email, faint(person.role)))?;
    }
    if let Some(person) = report.people.first() {
        printer.line(&format!(
            "{:<11} {}",
            "",
            faint(&format!("the password of each is {}", person.password))
        ))?;
    }
    printer.line("\nTry, in another terminal:\n")?;
    let client = report.apps.first().map_or("", |app| app.client_id.as_str());
    printer.line(&format!(
        "  pwfs --profile sim login --issuer {} --client-id {client}",
        report.issuer
    ))?;
    printer.line(&format!(
        "  mkdir -p pw && pwfs --profile sim mount '{}' pw",
        report.datasource
    ))?;
    printer.line(&format!(
        "  curl -s {}/faults -d '{{\"on\": \"ListDocuments\", \"effect\": {{\"kind\": \"status\", \"code\": 503}}}}'",
        report.admin
    ))?;
    printer.line("\nPress Ctrl-C to end.")
}
