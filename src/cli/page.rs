//! `tree --format html`: one page with everything an account sees, for an administrator to look at.
//!
//! A page of server text is simple until you consider that names are hostile, and that a hundred thousand rows are more than a
//! browser shows at once. Data is kept apart from markup (`page/page.js` puts it into text nodes alone), the page may load
//! nothing and run nothing but its own script, and rows are made when their folder is opened.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::browse::TreeArgs;
use super::completeness::{Extent, incomplete};
use super::failure::{CliError, ErrorKind};
use super::output::{Printer, escape};
use super::session::Session;
use super::setup::for_the_administrator;
use crate::daemon::blocking;
use crate::manifest::{Counts, DocumentRow, Failed, FolderRow, Plan, Taker, Terms};
use crate::model::{DocumentKind, Guid, Timestamp};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A folder, as the script reads it.
#[derive(Debug, Default, Serialize)]
struct Folder {
    /// The number of the folder it is in.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    parent: Option<usize>,
    /// The name it is shown by.
    #[serde(rename = "n")]
    name: String,
    /// The raw name, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(rename = "g", skip_serializing_if = "String::is_empty")]
    guid: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    area: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<String>,
    /// Why it is not listed, where that is no refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    lack: Option<String>,
    docs: Vec<Document>,
}

/// A document, as the script reads it.
#[derive(Debug, Serialize)]
struct Document {
    #[serde(rename = "n")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(rename = "g")]
    guid: String,
    #[serde(rename = "v", skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// What it is, where it is no file of the mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<String>,
}

/// What the script reads.
#[derive(Debug, Default, Serialize)]
struct Data {
    folders: Vec<Folder>,
    /// Where each folder stands.
    #[serde(skip)]
    places: HashMap<Guid, usize>,
}

/// Writes the page; fails, after it was written, if a folder could not be listed. One that is refused is told as that.
pub(super) async fn page(args: &TreeArgs, session: Session, printer: &Arc<Printer>) -> Result<(), CliError> {
    if args.depth.is_some() {
        let text = "a page has all levels, folded; --depth is for --format text and json";
        return Err(CliError::new(ErrorKind::Usage, text));
    }
    let client_id = session.profile.client_id.clone();
    let source = args.source.datasource.as_deref();
    let (extent, _) = Extent::find(args.path.as_deref(), source, None, &session).await?;
    let terms = Terms::within(None, true);
    let obstacle = extent.complete(terms, printer).await?;
    let printer = printer.clone();
    let missing = blocking(move || write(&extent, &terms, &client_id, &printer)).await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(incomplete("missing from the page", &missing, &obstacle))
}

fn write(
    extent: &Extent,
    terms: &Terms,
    client_id: &str,
    printer: &Printer,
) -> Result<Vec<Failed>, CliError> {
    let about = extent.catalog.about()?;
    let mut data = Data::default();
    let (plan, counts) = extent.catalog.snapshot(|snapshot| {
        let plan = Plan::make(snapshot, &extent.tops, terms)?;
        let counts = plan.tell(snapshot, &mut data)?;
        Ok::<_, CliError>((plan, counts))
    })?;
    for failed in plan.failed() {
        let place = data.places.get(&failed.dir.guid());
        if let Some(folder) = place.and_then(|place| data.folders.get_mut(*place)) {
            folder.lack = Some(failed.lack.to_string());
        }
    }
    let facts = Facts {
        datasource: about.datasource,
        account: about.account,
        path: extent.path.clone(),
        counts,
        missing: plan.failed().len(),
        oldest: plan.oldest(),
        made: Timestamp::now(),
        client_id: client_id.to_owned(),
    };
    let mut out = io::BufWriter::new(Bytes(printer));
    render(&facts, &data, &mut out)
        .and_then(|()| out.flush())
        .map_err(|error| CliError::from_output(&error))?;
    drop(out);
    Ok(plan.into_failed())
}

/// Standard output.
struct Bytes<'a>(&'a Printer);

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Taker<CliError> for Data {
    fn folder(&mut self, folder: FolderRow) -> Result<(), CliError> {
        let shown = folder.path.as_deref().and_then(|path| path.rsplit('/').next());
        let name = shown.unwrap_or(&folder.name).to_owned();
        self.places.insert(folder.guid, self.folders.len());
        self.folders.push(Folder {
            parent: folder
                .folder_guid
                .and_then(|guid| self.places.get(&guid).copied()),
            raw: (name != folder.name).then(|| folder.name.clone()),
            name,
            guid: folder.guid.to_string(),
            area: folder.work_area,
            asked: folder.fetched_at,
            denied: folder.denied,
            lack: None,
            docs: Vec::new(),
        });
        Ok(())
    }

    fn document(&mut self, row: DocumentRow) -> Result<(), CliError> {
        let Some(folder) = self.folders.last_mut() else {
            return Ok(());
        };
        let known = row.document;
        let raw = known
            .as_ref()
            .map(|known| known.file_name.as_ref().unwrap_or(&known.name).clone());
        let shown = row.path.as_deref().and_then(|path| path.rsplit('/').next());
        let name = shown.or(raw.as_deref()).unwrap_or_default().to_owned();
        folder.docs.push(Document {
            raw: raw.filter(|raw| *raw != name),
            name,
            guid: row.guid.to_string(),
            version: known
                .as_ref()
                .map(|known| known.version.clone())
                .unwrap_or_default(),
            state: known.as_ref().and_then(|known| known.state.clone()),
            kind: known.as_ref().and_then(|known| match known.kind {
                DocumentKind::File if row.path.is_some() => None,
                DocumentKind::File => Some("not shown in the mount"),
                DocumentKind::Placeholder => Some("no file"),
                DocumentKind::Set => Some("set"),
            }),
            size: known.as_ref().and_then(|known| known.size),
            time: known
                .as_ref()
                .and_then(|known| known.file_updated.or(known.updated)),
            denied: row.denied,
        });
        Ok(())
    }
}

/// What stands at the top of the page.
struct Facts {
    datasource: String,
    account: String,
    path: String,
    counts: Counts,
    missing: usize,
    oldest: Option<Timestamp>,
    made: Timestamp,
    client_id: String,
}

/// Text that neither markup nor direction can come out of.
fn safe(text: &str) -> String {
    escape(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// Writes JSON that cannot end the element it stands in.
struct InMarkup<'a, W: Write>(&'a mut W);

impl<W: Write> Write for InMarkup<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // In JSON it stands in strings alone.
        let mut parts = bytes.split(|byte| *byte == b'<');
        self.0.write_all(parts.next().unwrap_or_default())?;
        for part in parts {
            self.0.write_all(b"\\u003c")?;
            self.0.write_all(part)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn render(facts: &Facts, data: &Data, out: &mut impl Write) -> io::Result<()> {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let minutes = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; script-src \
         'sha256-{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{} – ProjectWise folders</title>\n<style>{STYLE}</style>\n\
         <h1>What this account sees in ProjectWise</h1>\n<dl>\n",
        hash(STYLE),
        hash(SCRIPT),
        safe(&facts.datasource),
    )?;
    let counts = &facts.counts;
    let incomplete = match facts.missing {
        0 => String::new(),
        number => format!("; <b class=\"bad\">incomplete: {number} could not be listed</b>"),
    };
    let mut lines = vec![
        ("Datasource", safe(&facts.datasource)),
        ("Account", safe(&facts.account)),
        (
            "Holds",
            format!(
                "{} folders, {} documents, {} of them not allowed{incomplete}",
                counts.folders, counts.documents, counts.unreadable
            ),
        ),
        (
            "Made",
            format!("{} by pwfs {}", minutes(facts.made), env!("CARGO_PKG_VERSION")),
        ),
    ];
    if !facts.path.is_empty() {
        lines.insert(2, ("Folder", safe(&facts.path)));
    }
    if let Some(oldest) = facts.oldest {
        lines.push(("Oldest listing", minutes(oldest)));
    }
    for (what, text) in lines {
        writeln!(out, "<dt>{what}<dd>{text}")?;
    }
    writeln!(out, "</dl>")?;
    if !facts.client_id.is_empty() {
        let text = for_the_administrator(&facts.client_id);
        let lines: Vec<String> = text.lines().map(safe).collect();
        writeln!(
            out,
            "<details><summary>For the administrator: Client ID {}</summary><pre>{}</pre></details>",
            safe(&facts.client_id),
            lines.join("\n"),
        )?;
    }
    write!(
        out,
        "<p><input id=\"search\" type=\"search\" placeholder=\"Search names and GUIDs\" aria-label=\"Search\"> \
         <span id=\"count\" role=\"status\"></span></p>\n\
         <div id=\"buttons\"><button id=\"fold\">Whole tree</button>\
         <button id=\"troubles\">What is not allowed or not listed</button></div>\n\
         <noscript><p class=\"bad\">The tree is shown by a script in this page, which loads nothing.</p></noscript>\n\
         <main id=\"tree\"></main>\n<script type=\"application/json\" id=\"data\">"
    )?;
    serde_json::to_writer(InMarkup(out), data).map_err(io::Error::from)?;
    write!(out, "</script>\n<script>{SCRIPT}</script>\n</html>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            datasource: "host:\"<script>alert(1)</script>".to_owned(),
            account: "user\u{202e}1".to_owned(),
            path: "A&B".to_owned(),
            counts: Counts {
                folders: 1,
                documents: 1,
                unreadable: 0,
            },
            missing: 1,
            oldest: None,
            made: Timestamp::UNIX_EPOCH,
            client_id: "spa-<b>".to_owned(),
        }
    }

    fn page(name: &str) -> String {
        let data = Data {
            folders: vec![Folder {
                name: name.to_owned(),
                ..Folder::default()
            }],
            ..Data::default()
        };
        let mut out = Vec::new();
        render(&facts(), &data, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whatever_a_server_calls_things_the_page_is_one_script_and_loads_nothing() {
        for name in [
            "</script><script>alert(1)</script>",
            "<!--<script>",
            "]]>",
            "\u{2028}'\"\\",
        ] {
            let page = page(name);
            assert_eq!(page.matches("<script").count(), 2, "{page}");
            assert_eq!(page.matches("</script").count(), 2, "{page}");
            assert!(!page.contains("<!--") && !page.contains("<b>"), "{page}");
            assert!(!page.contains('\u{202e}'), "what turns text around is told");
            for loads in ["src=", "href=", "url(", "@import", "innerHTML", "eval("] {
                assert!(!page.contains(loads), "{loads}");
            }
            // What the script reads is what the server said.
            let (_, rest) = page.split_once("id=\"data\">").unwrap();
            let (json, _) = rest.split_once("</script>").unwrap();
            let data: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(data["folders"][0]["n"], name);
        }
    }

    #[test]
    fn its_policy_lets_its_own_style_and_script_through_and_nothing_else() {
        let page = page("plain");
        assert!(page.contains("default-src 'none'"));
        for (source, tag) in [("style-src", "<style>"), ("script-src", "<script>")] {
            let (_, rest) = page.split_once(tag).unwrap();
            let end = format!("</{}", &tag[1..]);
            let (content, _) = rest.split_once(&end).unwrap();
            let hash = STANDARD.encode(Sha256::digest(content));
            assert!(page.contains(&format!("{source} 'sha256-{hash}'")), "{source}");
        }
    }
}
