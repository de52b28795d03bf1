//! `datasources`: those of a server, or the work areas that somebody's iTwins are connected to.

use serde_json::{Value, json};

use crate::daemon::connect::{Account, ConnectionError};
use crate::daemon::discover::{self, Discovery};
use crate::model::Datasource;
use crate::remote::platform::{Connection, ITwin};
use crate::remote::wsg::is_projectwise;

use super::super::failure::CliError;
use super::super::output::{Format, Paint, Printer, escape};
use super::super::session::{Session, SourceArgs};

/// Flags of `datasources`.
#[derive(Debug, Clone, clap::Args)]
pub struct DatasourcesArgs {
    /// List the work areas of your iTwins, though a datasource is known
    #[arg(long)]
    pub itwins: bool,
    /// List only those whose name (of an iTwin: name or number) holds TEXT
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Which server.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Lists the datasources of the server, or what the login's iTwins are connected to, with the URLs other commands take.
pub async fn datasources(
    session: Session,
    args: &DatasourcesArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let (account, _) = session.account()?;
    let source = args.source.datasource.as_deref();
    let search = args.search.as_deref().filter(|text| !text.is_empty());
    let is_known = source.is_some() || account.profile.datasource.is_some();
    if is_known && !args.itwins {
        return of_the_server(&account, source, search, printer).await;
    }
    if !account.profile.auth.has_app() && !args.itwins {
        // Nothing but an app's login can be asked for more.
        return Err(ConnectionError::NoDatasource(account.name).into());
    }
    of_the_itwins(&account, search, printer).await
}

async fn of_the_server(
    account: &Account,
    source: Option<&str>,
    search: Option<&str>,
    printer: &Printer,
) -> Result<(), CliError> {
    let mut found = account.datasources(source).await?;
    let is_empty = found.is_empty();
    if let Some(text) = search.map(str::to_lowercase) {
        let holds = |word: &str| word.to_lowercase().contains(&text);
        found.retain(|(datasource, _)| holds(&datasource.label) || holds(&datasource.location));
    }
    match printer.format() {
        Format::Json => printer.json(&found.iter().map(datasource_json).collect::<Vec<_>>()),
        Format::Text => {
            for (datasource, url) in &found {
                let mark = if is_projectwise(datasource) {
                    ""
                } else {
                    "  [not ProjectWise]"
                };
                printer.line(&format!(
                    "{}  {}{mark}",
                    escape(&datasource.label),
                    printer.paint(Paint::Faint, &escape(url))
                ))?;
            }
            if is_empty {
                printer.warn("the server shows no datasource");
            } else if found.is_empty() {
                printer.warn("none of the server's datasources has this in its name");
            }
            Ok(())
        }
    }
}

async fn of_the_itwins(account: &Account, search: Option<&str>, printer: &Printer) -> Result<(), CliError> {
    let platform = account.platform()?;
    let mut found = discover::work_areas(&platform, search, |asked, all| {
        printer.progress(&format!("{asked} of {all} iTwins asked …"));
    })
    .await?;
    printer.end_progress();
    if found.told == 0 && !found.refused.is_empty() {
        // One reason is all reasons: the first says it.
        let (_, refusal) = found.refused.swap_remove(0);
        return Err(refusal.into());
    }
    if found.told == 0
        && let Some(error) = found.stopped.take()
    {
        return Err(error.into());
    }
    let rows = found
        .connected
        .iter()
        .flat_map(|(itwin, connections)| connections.iter().map(move |connection| (itwin, connection)));
    match printer.format() {
        Format::Json => printer.json(&rows.map(connection_json).collect::<Vec<_>>())?,
        Format::Text => print_table(&rows.collect::<Vec<_>>(), printer)?,
    }
    tell_what_is_missing(&found, search, printer);
    match found.stopped {
        None => Ok(()),
        Some(error) => Err(CliError::from(error).while_doing(format!(
            "only {} of {} iTwins could be asked for their work areas",
            found.told + found.refused.len(),
            found.itwins
        ))),
    }
}

fn tell_what_is_missing(found: &Discovery, search: Option<&str>, printer: &Printer) {
    match (found.itwins, search) {
        (0, None) => printer.warn("this account is a member of no iTwin"),
        (0, Some(_)) => printer.warn("no iTwin has this in its name or number"),
        (itwins, _) if found.connected.is_empty() && found.stopped.is_none() => printer.warn(&format!(
            "none of {itwins} iTwins is connected to a ProjectWise work area; ask the ProjectWise administrator for the \
             datasource URL"
        )),
        _ => {}
    }
    if !found.refused.is_empty() {
        printer.warn(&format!(
            "{} iTwins do not let this account see their work areas",
            found.refused.len()
        ));
    }
    if !found.complete {
        printer.warn(
            "the iTwin Platform does not name all iTwins of this account; --search TEXT finds the others",
        );
    }
}

/// One line for each work area, in columns under their names.
fn print_table(rows: &[(&ITwin, &Connection)], printer: &Printer) -> Result<(), CliError> {
    /// A column is made no wider for the sake of one long name.
    const WIDEST: usize = 40;
    if rows.is_empty() {
        return Ok(());
    }
    let head = ["ITWIN", "CONNECTION", "WORK AREA"].map(str::to_owned);
    let cells = rows.iter().map(|(itwin, connection)| {
        let number = Some(&itwin.number).filter(|number| !number.is_empty() && **number != itwin.name);
        let itwin = number.map_or_else(
            || itwin.name.clone(),
            |number| format!("{} ({number})", itwin.name),
        );
        [&itwin, &connection.name, &connection.work_area].map(|text| escape(text))
    });
    let lines: Vec<[String; 3]> = std::iter::once(head).chain(cells).collect();
    let widths = [0, 1, 2].map(|column| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    });
    let ends = std::iter::once(("URL".to_owned(), "")).chain(rows.iter().map(|(_, connection)| {
        let url = match &connection.address {
            Some(address) => printer.paint(Paint::Faint, &escape(&address.to_string())),
            None => printer.paint(Paint::Problem, "[no address that pwfs understands]"),
        };
        (url, if connection.primary { "  [primary]" } else { "" })
    }));
    for (line, (url, mark)) in lines.iter().zip(ends) {
        let [itwin, connection, area] = line;
        let [first, second, third] = widths;
        printer.line(&format!(
            "{itwin:first$}  {connection:second$}  {area:third$}  {url}{mark}"
        ))?;
    }
    Ok(())
}

fn datasource_json((datasource, url): &(Datasource, String)) -> Value {
    json!({
        "url": url,
        "id": datasource.id,
        "plugin": datasource.plugin,
        "location": datasource.location,
        "label": datasource.label,
        "description": datasource.description,
    })
}

fn connection_json((itwin, connection): (&ITwin, &Connection)) -> Value {
    json!({
        "url": connection.address.as_ref().map(ToString::to_string),
        "itwin": { "id": itwin.id, "name": itwin.name, "number": itwin.number },
        "id": connection.id,
        "name": connection.name,
        "description": connection.description,
        "work_area": connection.work_area,
        "type": connection.kind,
        "primary": connection.primary,
    })
}
