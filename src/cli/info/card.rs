//! What is known of one path, grouped for people, and as one object for programs.

use serde::Serialize;

use super::Known;
use super::environment::Environment;
use super::told::Told;
use crate::cli::failure::CliError;
use crate::cli::link::Link;
use crate::cli::object;
use crate::cli::output::{Paint, Printer, escape};
use crate::cli::status::size as in_units;
use crate::content::Held;
use crate::explain::words::{Section, clock, layout, span_ago};
use crate::explain::{EntryFacts, Facts, Found, ListingFacts, MountFacts, Place};
use crate::model::Timestamp;

/// What `--json` shows.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    path: String,
    /// `folder`, `document`, `placeholder`, `set`, or `top` for the top of a mount.
    kind: &'static str,
    mount: MountFacts,
    /// What the mount tells of it.
    told: Told,
    /// What is kept of it.
    entry: Option<EntryFacts>,
    /// The folder that lists it.
    folder: Option<Place>,
    /// Its own listing, for a folder.
    listing: Option<Place>,
    links: Vec<Link>,
    /// What of its bytes is on the disk.
    held: Option<Held>,
    pinned: bool,
    environment: Environment,
}

type Rows = Vec<(String, String)>;

impl Card {
    pub(super) fn new(known: Known, environment: Environment) -> Self {
        let Known {
            path,
            told,
            mount,
            facts,
            links,
            document: _,
            held,
            pinned,
        } = known;
        let parts = facts.map(Parts::of).unwrap_or_default();
        let kind = match (&parts.entry, told.is_dir) {
            (Some(entry), _) => object::kind(entry),
            (None, false) => "document",
            (None, true) if told.get("guid").is_some() => "folder",
            (None, true) => "top",
        };
        Self {
            path: path.to_string_lossy().into_owned(),
            kind,
            mount,
            told,
            entry: parts.entry,
            folder: parts.folder,
            listing: parts.listing,
            links,
            held,
            pinned,
            environment,
        }
    }

    /// Shows it to people, under headings.
    pub(super) fn show(&self, printer: &Printer) -> Result<(), CliError> {
        let mut sections = vec![
            section(self.title(), self.identity()),
            section("Where", self.place()),
            section("Version", self.version()),
            section("Times", self.times()),
            section("Size", self.size()),
            section("Rights", self.rights()),
            section("Links", self.link_rows()),
            section("Listing", self.listing_rows()),
        ];
        sections.retain(|section| !section.rows.is_empty());
        for (at, section) in sections.iter().enumerate() {
            if at > 0 {
                printer.line("")?;
            }
            for line in layout(section, escape) {
                printer.line(&line)?;
            }
        }
        self.show_environment(printer)
    }

    fn title(&self) -> &'static str {
        match self.kind {
            "folder" => "Folder",
            "placeholder" => "Document without a file",
            "set" => "Set of documents",
            "top" => "Top of the mount",
            _ => "Document",
        }
    }

    fn identity(&self) -> Rows {
        if self.kind == "top" && self.mount.catalog.is_some() {
            // Where folders were chosen, no link leads there.
            let shows = if self.links.is_empty() {
                "chosen folders"
            } else {
                "the whole datasource"
            };
            return filled([("shows", Some(shows.to_owned()))]);
        }
        let entry = self.entry.as_ref();
        let name = entry
            .map(|entry| entry.name.clone())
            .or_else(|| self.told.get("name"));
        let file_name = entry.and_then(|entry| entry.file_name.clone());
        let shown = entry.and_then(|entry| entry.shown.clone());
        filled([
            ("name", name.clone()),
            (
                "file name",
                file_name.clone().filter(|file| name.as_ref() != Some(file)),
            ),
            // Only where no name in ProjectWise is the same.
            (
                "shown as",
                shown.filter(|shown| name.as_ref() != Some(shown) && file_name.as_ref() != Some(shown)),
            ),
            ("description", self.told.get("description")),
            ("kind of file", self.told.get("user.mime_type")),
            ("GUID", self.told.get("guid")),
        ])
    }

    fn place(&self) -> Rows {
        let guid = self.folder.as_ref().and_then(|folder| folder.guid.clone());
        let login = self.mount.login.as_ref().map(|login| format!(" ({login})"));
        filled([
            ("path", Some(self.path.clone())),
            ("folder", guid.or_else(|| self.told.get("folder_guid"))),
            ("mount", self.mount.mountpoint.clone()),
            ("datasource", self.mount.datasource.clone()),
            ("account", self.mount.account.clone()),
            (
                "profile",
                self.mount
                    .profile
                    .as_ref()
                    .map(|profile| format!("{profile}{}", login.unwrap_or_default())),
            ),
        ])
    }

    fn version(&self) -> Rows {
        let active = match self.told.get("is_active").as_deref() {
            Some("1") => Some("yes".to_owned()),
            Some(_) => Some("no, superseded".to_owned()),
            None => None,
        };
        filled([
            ("version", self.told.get("version")),
            ("active", active),
            ("state", self.told.get("state")),
            ("content tag", self.told.get("tag")),
            ("SHA-256", self.told.get("sha256")),
        ])
    }

    fn times(&self) -> Rows {
        let entry = self.entry.as_ref();
        let modified = self.told.modified.map(clock);
        // A document's time in the mount is that of its file; a folder's says when its listing changed.
        let (of_file, of_listing) = if self.told.is_dir {
            (None, modified)
        } else {
            (
                entry.and_then(|entry| entry.file_updated).map(clock).or(modified),
                None,
            )
        };
        filled([
            ("file replaced", of_file),
            (
                "properties changed",
                entry.and_then(|entry| entry.updated).map(clock),
            ),
            ("listing changed", of_listing),
        ])
    }

    fn size(&self) -> Rows {
        let here = self.held.map(|held| {
            if held.bytes >= held.total {
                "all of it".to_owned()
            } else {
                bytes(held.bytes)
            }
        });
        let is_document = !self.told.is_dir;
        let cached = is_document.then(|| here.unwrap_or_else(|| "nothing".to_owned()));
        filled([
            ("length", self.told.size.map(bytes)),
            ("on this disk", cached.filter(|_| self.mount.catalog.is_some())),
            ("pinned", self.pinned.then(|| "yes".to_owned())),
        ])
    }

    fn rights(&self) -> Rows {
        let readable = match self.told.get("readable").as_deref() {
            Some("1") => Some("yes, as far as was seen".to_owned()),
            Some(_) => Some("no".to_owned()),
            None => None,
        };
        filled([
            ("readable", readable),
            ("refused", self.told.get("denied_reason")),
        ])
    }

    fn link_rows(&self) -> Rows {
        let row = |link: &Link| (link.words().trim_end().to_owned(), link.url.clone());
        self.links.iter().map(row).collect()
    }

    fn listing_rows(&self) -> Rows {
        let now = Timestamp::now();
        let listed = |place: &Place| match &place.listing {
            Some(listing) => age(listing),
            None => "never listed".to_owned(),
        };
        // Without a catalog the mount knows the time alone.
        let fetched = || {
            let at: Timestamp = self.told.get("fetched_at")?.parse().ok()?;
            let seconds = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
            Some(format!("fetched {} at {}", span_ago(seconds), clock(at)))
        };
        let inside = self.listing.as_ref();
        let count = inside.and_then(|place| place.listing.as_ref()).map(|listing| {
            let hidden = match listing.hidden {
                0 => String::new(),
                hidden => format!(", and {hidden} that are not shown"),
            };
            format!("{} entries{hidden}", listing.shown)
        });
        let own = match (inside, self.told.is_dir) {
            (Some(place), _) => Some(listed(place)),
            (None, true) => fetched(),
            (None, false) => None,
        };
        let above = match (&self.folder, self.told.is_dir) {
            (Some(place), _) => Some(listed(place)),
            (None, false) => fetched(),
            (None, true) => None,
        };
        let stale = self.told.says("stale");
        filled([
            ("holds", count),
            ("its own", own),
            ("of its folder", above),
            (
                "stale",
                stale.then(|| "yes: the server could not be asked".to_owned()),
            ),
        ])
    }

    fn show_none(printer: &Printer, why: &str) -> Result<(), CliError> {
        printer.line("")?;
        printer.line("Attributes")?;
        printer.line(&printer.paint(Paint::Faint, &format!("  {}", escape(why))))
    }

    fn show_environment(&self, printer: &Printer) -> Result<(), CliError> {
        match &self.environment {
            // What failed is told as the failure it is.
            Environment::Failed { .. } => Ok(()),
            Environment::NotAsked { .. } if self.told.is_dir => Ok(()),
            Environment::NotAsked { reason } => Self::show_none(printer, &format!("not asked for: {reason}")),
            Environment::NotSupported => Self::show_none(printer, "this server does not tell attributes"),
            Environment::Told { sheets, .. } => {
                for sheet in sheets.iter().filter(|sheet| sheet.values().next().is_some()) {
                    printer.line("")?;
                    match sheet.environment() {
                        "" => printer.line("Attributes")?,
                        name => printer.line(&format!("Attributes ({})", escape(name)))?,
                    }
                    for (name, value) in sheet.values() {
                        printer.line(&format!("  {}: {}", escape(name), escape(value)))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// What of the facts is shown.
#[derive(Default)]
struct Parts {
    entry: Option<EntryFacts>,
    folder: Option<Place>,
    listing: Option<Place>,
}

impl Parts {
    fn of(mut facts: Facts) -> Self {
        let last = facts.way.pop();
        match facts.found {
            Found::Entry { entry, inside, .. } => Self {
                entry: Some(*entry),
                folder: last,
                listing: inside.map(|place| *place),
            },
            Found::Top => Self {
                entry: None,
                folder: None,
                listing: last,
            },
            // The mount shows it, and the catalog is one step behind.
            Found::Absent { .. }
            | Found::NotListed { .. }
            | Found::NotAFolder { .. }
            | Found::Unlisted { .. }
            | Found::Outside { .. } => Self::default(),
        }
    }
}

fn age(listing: &ListingFacts) -> String {
    format!(
        "fetched {} at {}",
        span_ago(listing.age),
        clock(listing.fetched_at)
    )
}

/// So many bytes, exactly and in the unit that says enough.
fn bytes(count: u64) -> String {
    if count < 1024 {
        return in_units(count);
    }
    format!("{count} bytes ({})", in_units(count))
}

fn section(title: &'static str, rows: Rows) -> Section {
    Section { title, rows }
}

fn filled<const N: usize>(rows: [(&str, Option<String>); N]) -> Rows {
    rows.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}
