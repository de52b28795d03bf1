//! What the gateway was seen to do: what a mount tolerates and works around, shown to people.

use crate::auth::Authorization;
use crate::model::{DocumentId, DocumentKind, Entry};
use crate::remote::wsg::probe::{FileSeen, GatewaySeen, PageSeen, Sort, WsgProbe};

use super::check::{Check, Id};
use super::verdict::said;

/// A file that is no burden even where a gateway sends all of it for its first byte.
const SMALL: u64 = 1 << 20;

/// The smallest document with a file among `pages`, if it is small.
pub(super) fn smallest<'a>(pages: impl IntoIterator<Item = &'a PageSeen>) -> Option<DocumentId> {
    pages
        .into_iter()
        .flat_map(|page| &page.entries)
        .filter_map(|entry| match entry {
            Entry::Document(document) if document.kind == DocumentKind::File => {
                // One byte can be asked for where there is one.
                document
                    .size
                    .filter(|size| (1..=SMALL).contains(size))
                    .map(|size| (size, document.id))
            }
            Entry::Document(_) | Entry::Folder(_) => None,
        })
        .min()
        .map(|(_, id)| id)
}

/// How files are given out.
#[derive(Debug)]
pub(super) struct Files {
    /// With leave to send on to a file store.
    redirect: Option<FileSeen>,
    /// From the gateway itself.
    plain: Option<FileSeen>,
}

/// Asks for one byte: of the file store where the gateway has one, and of the gateway.
pub(super) async fn files(
    probe: &WsgProbe,
    document: Option<DocumentId>,
    authorization: &Authorization,
) -> Files {
    let Some(document) = document else {
        return Files {
            redirect: None,
            plain: None,
        };
    };
    let first = probe.file(document, true, authorization).await;
    if first.redirect.is_none() {
        return Files {
            redirect: Some(first.clone()),
            plain: Some(first),
        };
    }
    let plain = probe.file(document, false, authorization).await;
    Files {
        redirect: Some(first),
        plain: Some(plain),
    }
}

/// The checks. `folders` is the page of two, `pages` are all others.
pub(super) fn checks(
    gateway: &GatewaySeen,
    folders: &PageSeen,
    documents: &PageSeen,
    pages: &[&PageSeen],
    files: &Files,
) -> Vec<Check> {
    vec![
        version(gateway),
        paging(folders),
        page_size(folders, pages),
        range(files),
        redirect(files),
        compression(folders, documents),
        properties(documents),
    ]
}

/// What can be told of a gateway that lets nobody in.
pub(super) fn version(gateway: &GatewaySeen) -> Check {
    let id = Id::WsgVersion;
    let api = gateway.api.as_deref().unwrap_or_default();
    match &gateway.products {
        Some(products) => Check::pass(id, format!("{products}; spoken to by {api}")),
        None => Check::pass(id, format!("spoken to by {api}; it does not tell its products")),
    }
    .detail("products", gateway.products.as_deref())
    .detail("api", api)
}

fn paging(folders: &PageSeen) -> Check {
    let id = Id::WsgPaging;
    let (mode, finding) = match folders.token {
        Some(true) => ("skiptoken", "by SkipToken"),
        Some(false) if folders.entries.len() >= folders.top => (
            "skip",
            "by $skip, with pages that overlap: the server gives no SkipToken",
        ),
        Some(false) => ("unknown", "not seen: there are too few folders for a second page"),
        None => (
            "skip",
            "by $skip, with pages that overlap: no SkipToken is asked for",
        ),
    };
    Check::pass(id, finding).detail("mode", mode)
}

fn page_size(folders: &PageSeen, pages: &[&PageSeen]) -> Check {
    let id = Id::WsgPageSize;
    let came = folders.entries.len();
    if came > folders.top {
        return Check::warn(
            id,
            format!(
                "{} rows were asked for and {came} came: the server sends lists of any length at once",
                folders.top
            ),
        )
        .remedy("nothing is lost by it; if long folders time out, tell the ProjectWise administrator");
    }
    // A page that is short and not the last one was cut.
    let cut = pages
        .iter()
        .filter(|page| page.token == Some(true) && page.entries.len() < page.top)
        .map(|page| (page.top, page.entries.len()))
        .max();
    let check = match cut {
        Some((top, rows)) => Check::pass(
            id,
            format!("a page is cut to {rows} rows where {top} were asked for; more pages make up for it"),
        )
        .detail("largest", rows),
        None if came == folders.top => {
            Check::pass(id, format!("{came} rows were asked for, and {came} came"))
        }
        None => Check::pass(id, "not seen: there are too few folders"),
    };
    check.detail("asked", folders.top).detail("came", came)
}

fn range(files: &Files) -> Check {
    let id = Id::WsgRange;
    let Some(plain) = &files.plain else {
        return Check::not_needed(id, "no small document was found to try it with");
    };
    match plain.range {
        Some(true) => Check::pass(id, "one byte was asked for, and came alone").detail("range", true),
        Some(false) => Check::warn(
            id,
            "one byte was asked for, and the whole file came: each file is fetched whole",
        )
        .remedy("nothing is lost by it; `ranges = \"whole-files\"` in the profile spares the asking")
        .detail("range", false),
        None => Check::not_needed(id, format!("the file could not be read ({})", said(&plain.seen))),
    }
    .detail("etag", plain.etag)
}

fn redirect(files: &Files) -> Check {
    let id = Id::WsgRedirect;
    match &files.redirect {
        None => Check::not_needed(id, "no small document was found to try it with"),
        Some(FileSeen {
            redirect: Some(host), ..
        }) => Check::pass(
            id,
            format!("from a file store at {host}, where that is allowed (blob_redirect = \"allow\")"),
        )
        .detail("host", host.as_str()),
        Some(seen) if seen.seen.sort == Sort::Answered => Check::pass(id, "from the gateway itself"),
        Some(seen) => Check::not_needed(id, format!("the file could not be read ({})", said(&seen.seen))),
    }
}

fn compression(folders: &PageSeen, documents: &PageSeen) -> Check {
    let is_compressed = folders.compressed || documents.compressed;
    let finding = if is_compressed {
        "yes (gzip)"
    } else {
        "no: long lists take the longer over slow lines"
    };
    Check::pass(Id::WsgCompression, finding).detail("gzip", is_compressed)
}

/// What a mount makes a file of, and what it does where the property is missing.
const WANTED: [(&str, &str); 4] = [
    (
        "FileName",
        "documents without it count as documents without a file",
    ),
    (
        "FileSize",
        "the length of each file is learnt by a request of its own",
    ),
    (
        "FileUpdateTime",
        "UpdateTime stands in for it, and an edit of attributes downloads anew",
    ),
    ("IsLatest", "every version counts as the active one"),
];

fn properties(documents: &PageSeen) -> Check {
    let id = Id::WsgProperties;
    if documents.seen.sort != Sort::Answered {
        return Check::not_needed(
            id,
            format!("documents could not be listed ({})", said(&documents.seen)),
        );
    }
    if documents.entries.is_empty() {
        return Check::not_needed(id, "no document is shown to this account");
    }
    let missing: Vec<_> = WANTED
        .iter()
        .filter(|(name, _)| !documents.properties.contains(*name))
        .collect();
    let found: Vec<&str> = documents.properties.iter().map(String::as_str).collect();
    let check = if missing.is_empty() {
        Check::pass(id, format!("all that are wanted, among {}", found.len()))
    } else {
        let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
        Check::warn(
            id,
            format!("the documents looked at have no {}", names.join(", ")),
        )
        .remedies(
            missing
                .iter()
                .map(|(name, instead)| format!("without {name} {instead}")),
        )
    };
    check.detail("documents", found)
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use crate::model::{Document, Folder, FolderId, Guid};
    use crate::remote::wsg::probe::Seen;

    fn folder(number: u8) -> Entry {
        Entry::Folder(Folder {
            id: FolderId(Guid::from_bytes([number; 16])),
            parent: None,
            name: "F".to_owned(),
            description: String::new(),
            work_area: false,
            created: None,
            updated: None,
            etag: None,
        })
    }

    fn document(number: u8, size: Option<u64>, kind: DocumentKind) -> Entry {
        Entry::Document(Document {
            id: DocumentId(Guid::from_bytes([number; 16])),
            folder: None,
            name: "D".to_owned(),
            file_name: None,
            description: String::new(),
            version: String::new(),
            active: true,
            kind,
            size,
            file_updated: None,
            updated: None,
            created: None,
            state: None,
            mime_type: None,
            etag: None,
        })
    }

    fn page(top: usize, entries: Vec<Entry>, token: Option<bool>) -> PageSeen {
        PageSeen {
            seen: Seen::answered(200),
            entries,
            top,
            token,
            properties: ["FileName", "FileSize", "FileUpdateTime", "IsLatest"]
                .map(str::to_owned)
                .into(),
            compressed: false,
        }
    }

    fn two() -> Vec<Entry> {
        vec![folder(1), folder(2)]
    }

    #[test]
    fn paging_is_told_as_it_was_seen() {
        let mode = |page: &PageSeen| paging(page).details["mode"].clone();
        assert_eq!(mode(&page(2, two(), Some(true))), "skiptoken");
        assert_eq!(mode(&page(2, two(), Some(false))), "skip");
        assert_eq!(mode(&page(2, vec![folder(1)], Some(false))), "unknown");
        assert_eq!(mode(&page(2, two(), None)), "skip");
    }

    #[test]
    fn a_page_that_is_cut_or_too_long_is_told() {
        let folders = page(2, two(), Some(true));
        assert!(page_size(&folders, &[]).finding.contains("2 came"));
        let cut = page(500, vec![document(1, None, DocumentKind::File)], Some(true));
        assert!(
            page_size(&folders, &[&cut])
                .finding
                .contains("cut to 1 rows where 500")
        );
        let last = page(500, vec![document(1, None, DocumentKind::File)], Some(false));
        assert!(
            page_size(&folders, &[&last]).finding.contains("2 came"),
            "a last page is short"
        );
        let all = page(2, vec![folder(1), folder(2), folder(3)], None);
        assert_eq!(page_size(&all, &[]).outcome, Outcome::Warn);
    }

    #[test]
    fn the_smallest_file_is_tried_and_no_large_or_missing_one() {
        let found = smallest([&page(
            25,
            vec![
                document(1, Some(0), DocumentKind::File),
                document(2, Some(SMALL + 1), DocumentKind::File),
                document(3, Some(10), DocumentKind::Placeholder),
                document(4, Some(900), DocumentKind::File),
                document(5, Some(400), DocumentKind::File),
                document(6, None, DocumentKind::File),
            ],
            None,
        )]);
        assert_eq!(found, Some(DocumentId(Guid::from_bytes([5; 16]))));
        assert_eq!(smallest([&page(25, two(), None)]), None);
    }

    #[test]
    fn files_are_told_as_they_were_given_out() {
        let seen = |range, redirect: Option<&str>| FileSeen {
            seen: Seen::answered(200),
            range,
            redirect: redirect.map(str::to_owned),
            etag: true,
        };
        let of = |redirect, plain| Files {
            redirect: Some(redirect),
            plain: Some(plain),
        };
        let files = of(seen(Some(true), None), seen(Some(true), None));
        assert_eq!(range(&files).outcome, Outcome::Pass);
        assert!(redirect(&files).finding.contains("gateway itself"));
        let files = of(seen(None, Some("blobs.example")), seen(Some(false), None));
        assert_eq!(range(&files).outcome, Outcome::Warn);
        assert!(redirect(&files).finding.contains("blobs.example"));
        let none = Files {
            redirect: None,
            plain: None,
        };
        assert_eq!(range(&none).outcome, Outcome::Skipped);
    }

    #[test]
    fn missing_properties_are_told_with_what_stands_in() {
        let mut documents = page(25, vec![document(1, None, DocumentKind::File)], None);
        assert_eq!(properties(&documents).outcome, Outcome::Pass);
        documents.properties.remove("FileSize");
        let check = properties(&documents);
        assert_eq!(check.outcome, Outcome::Warn);
        assert!(check.remedy[0].contains("a request of its own"), "{check:?}");
        documents.entries.clear();
        assert_eq!(properties(&documents).outcome, Outcome::Skipped);
    }
}
