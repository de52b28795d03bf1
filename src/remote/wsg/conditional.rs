//! Listings that are not sent again: `If-None-Match` (projectwise-api 1.6).
//!
//! Taking "not modified" for an answer is simple until you consider that:
//! 1. an `ETag` tells of one page, and a folder is two queries;
//! 2. the same tag under another page size, order or query style is of another answer;
//! 3. a gateway, or a cache before it, may say "not modified" to everything, or keep a tag over a change;
//! 4. an answer that lost a row on its way has the tag of the whole one.
//!
//! So tags are kept only of answers that came whole in one page, and count only while both queries say so: 1. Each is
//! kept with a digest of the question it answered: 2. And nobody is believed for longer than [`BELIEVED`]; the full
//! answer that follows tells a liar: by the same tag over other rows, or, asked once more with the old tag after a
//! change, by saying that there was none. Such a server's tags are not used again: 3. A tag
//! is sent only once the same rows came with it twice: 4.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::Url;

use crate::http::Response;
use crate::model::{Entry, FolderId, Timestamp};
use crate::remote::{Answer, Progress, Validator};

use super::WsgRemote;
use super::error::Failure;
use super::gateway::NOT_MODIFIED;
use super::listing::Expected;
use super::query::Query;
use super::wire::Asked;

/// For so long after a full answer "not modified" is believed. A server that lies shows old listings for no longer;
/// three times the default `metadata_ttl`, so that at least every third refresh of a quiet folder costs no rows.
const BELIEVED: Duration = Duration::from_mins(15);

/// Longer tags are not kept; those of IIS have some 20 characters.
const LONGEST_TAG: usize = 256;

/// The full answer to one query, as far as it is needed to ask for changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tagged {
    /// A digest of URL and SkipToken.
    question: String,
    /// The `ETag`, as the server wrote it.
    etag: String,
    /// A digest of the rows, whatever their order.
    #[serde(default)]
    rows: u64,
}

/// What a [`Validator`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Digests of rows mean something to the version that made them.
    by: String,
    /// When the full answer was asked for, in seconds since 1970.
    since: i64,
    folders: Tagged,
    documents: Tagged,
    /// The same rows came with the same tags twice.
    #[serde(default)]
    confirmed: bool,
}

impl Seen {
    fn read(validator: &Validator) -> Option<Self> {
        let seen: Self = serde_json::from_str(&validator.0).ok()?;
        (seen.by == env!("CARGO_PKG_VERSION")).then_some(seen)
    }

    fn write(&self) -> Option<Validator> {
        serde_json::to_string(self).ok().map(Validator)
    }

    /// A clock that was put back makes it old, too.
    fn is_believed(&self, now: i64) -> bool {
        now.checked_sub(self.since)
            .and_then(|age| u64::try_from(age).ok())
            .is_some_and(|age| age < BELIEVED.as_secs())
    }
}

/// Looks on while one query is asked: sends the condition with its first page, and notes the tag of an answer that is
/// one page.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<Tagged>,
    asked: AtomicUsize,
    answered: Mutex<Option<Tagged>>,
    unmodified: AtomicBool,
}

impl Watch {
    fn new(seen: Option<&Tagged>) -> Self {
        Self {
            seen: seen.cloned(),
            ..Self::default()
        }
    }

    /// The `If-None-Match` of this question; only the first may have one.
    pub(super) fn condition(&self, url: &Url, token: Option<&str>) -> Option<String> {
        if self.asked.fetch_add(1, Ordering::Relaxed) > 0 {
            return None;
        }
        let seen = self.seen.as_ref()?;
        (seen.question == digest(url, token)).then(|| seen.etag.clone())
    }

    pub(super) fn answered(&self, url: &Url, token: Option<&str>, response: &Response) {
        if response.status == NOT_MODIFIED {
            self.unmodified.store(true, Ordering::Relaxed);
            return;
        }
        let etag = response
            .header("ETag")
            .map(str::trim)
            .filter(|tag| is_usable(tag));
        *self.answered.lock() = etag.map(|etag| Tagged {
            question: digest(url, token),
            etag: etag.to_owned(),
            rows: 0,
        });
    }

    /// True where the server said that nothing has changed.
    pub(super) fn is_unmodified(&self) -> bool {
        self.unmodified.load(Ordering::Relaxed)
    }

    /// The tag of the answer, where it was one page.
    fn tagged(&self, entries: &[Entry]) -> Option<Tagged> {
        if self.asked.load(Ordering::Relaxed) != 1 {
            return None;
        }
        let answered = self.answered.lock().take()?;
        Some(Tagged {
            rows: rows_digest(entries),
            ..answered
        })
    }
}

/// A tag can be sent back as it came.
fn is_usable(tag: &str) -> bool {
    !tag.is_empty() && tag.len() <= LONGEST_TAG && tag.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Everything an answer depends on, short.
fn digest(url: &Url, token: Option<&str>) -> String {
    let asked = format!("{url}\n{}", token.unwrap_or_default());
    let mut out = String::with_capacity(16);
    for byte in &Sha256::digest(asked)[..8] {
        // Writing to a String does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn rows_digest(entries: &[Entry]) -> u64 {
    let one = |entry: &Entry| {
        let mut hasher = DefaultHasher::new();
        hasher.write(format!("{entry:?}").as_bytes());
        hasher.finish()
    };
    entries
        .iter()
        .map(one)
        .fold(entries.len() as u64, u64::wrapping_add)
}

/// Whether the tags of a server are worth anything.
#[derive(Debug, Default)]
pub(super) struct Trust {
    lies: AtomicBool,
    /// When it last told a change from none.
    honest: Mutex<Option<Instant>>,
}

impl Trust {
    pub(super) fn is_lost(&self) -> bool {
        self.lies.load(Ordering::Relaxed)
    }

    /// It was lost before this process began.
    pub(super) fn forfeit(&self) {
        self.lies.store(true, Ordering::Relaxed);
    }

    fn lose(&self, how: &str) {
        if !self.lies.swap(true, Ordering::Relaxed) {
            tracing::warn!("{how}; from now on every listing is asked for whole");
        }
    }

    fn told_a_change(&self) {
        *self.honest.lock() = Some(Instant::now());
    }

    fn was_honest_lately(&self) -> bool {
        self.honest.lock().is_some_and(|at| at.elapsed() < BELIEVED)
    }
}

/// One of the two queries of a folder.
struct Part {
    query: Query,
    asked: Asked,
}

/// The answer to one of them.
enum PartAnswer {
    Unchanged,
    Rows(Vec<Entry>, Option<Tagged>),
}

impl WsgRemote {
    /// The children of `folder`, unless nothing has changed since the answer `seen` is of.
    pub(super) async fn children(
        &self,
        folder: FolderId,
        seen: Option<&Validator>,
        progress: &Progress,
    ) -> Result<Answer, Failure> {
        let style = self.options.query_style;
        let folders = Part {
            query: Query::child_folders(style, folder),
            asked: Asked::Folders,
        };
        let documents = Part {
            query: Query::documents(style, folder),
            asked: Asked::Documents,
        };
        let seen = seen.filter(|_| !self.trust.is_lost()).and_then(Seen::read);
        let now = Timestamp::now().as_second();
        let believed = seen
            .as_ref()
            .filter(|seen| seen.confirmed && seen.is_believed(now));
        let answers = tokio::try_join!(
            self.part(folder, &folders, believed.map(|seen| &seen.folders), progress),
            self.part(folder, &documents, believed.map(|seen| &seen.documents), progress),
        )?;
        // Rows of two moments do not make a listing: what is unchanged is asked for again beside what is not.
        let whole = |answer: PartAnswer, part: Part| async move {
            match answer {
                PartAnswer::Unchanged => self.part(folder, &part, None, progress).await,
                rows @ PartAnswer::Rows(..) => Ok(rows),
            }
        };
        if matches!(answers, (PartAnswer::Unchanged, PartAnswer::Unchanged)) {
            return Ok(Answer::Unchanged);
        }
        if let (Some(seen), PartAnswer::Rows(_, Some(now))) = (&seen, &answers.0) {
            self.judge(&folders, &seen.folders, now, believed.is_some()).await;
        }
        if let (Some(seen), PartAnswer::Rows(_, Some(now))) = (&seen, &answers.1) {
            self.judge(&documents, &seen.documents, now, believed.is_some())
                .await;
        }
        let (folders, documents) = tokio::try_join!(whole(answers.0, folders), whole(answers.1, documents))?;
        let (PartAnswer::Rows(mut entries, folders), PartAnswer::Rows(rows, documents)) =
            (folders, documents)
        else {
            // Nobody is told "unchanged" who did not ask.
            return Err(Failure::not_modified());
        };
        entries.extend(rows.into_iter().filter(|entry| match entry {
            Entry::Document(document) => document.active,
            Entry::Folder(_) => true,
        }));
        let validator = match (folders, documents) {
            (Some(folders), Some(documents)) if !self.trust.is_lost() => Seen {
                by: env!("CARGO_PKG_VERSION").to_owned(),
                since: now,
                confirmed: seen
                    .as_ref()
                    .is_some_and(|seen| seen.folders == folders && seen.documents == documents),
                folders,
                documents,
            }
            .write(),
            _ => None,
        };
        Ok(Answer::Rows { entries, validator })
    }

    async fn part(
        &self,
        folder: FolderId,
        part: &Part,
        seen: Option<&Tagged>,
        progress: &Progress,
    ) -> Result<PartAnswer, Failure> {
        let watch = Watch::new(seen);
        let expected = Expected {
            folder: Some(folder),
            watch: Some(&watch),
            ..Expected::all(part.asked)
        };
        match self.listings.entries(self, &part.query, expected, progress).await {
            Ok(entries) => {
                let tagged = watch.tagged(&entries);
                Ok(PartAnswer::Rows(entries, tagged))
            }
            Err(_) if watch.is_unmodified() => {
                progress.page(0);
                Ok(PartAnswer::Unchanged)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Learns from a full answer what the server's tags are worth.
    async fn judge(&self, part: &Part, before: &Tagged, now: &Tagged, asked_for_changes: bool) {
        if before.question != now.question || before.rows == now.rows {
            return;
        }
        if before.etag == now.etag {
            self.trust.lose("the server gives other rows the same entity tag");
            return;
        }
        if asked_for_changes {
            self.trust.told_a_change();
            return;
        }
        if self.trust.was_honest_lately() {
            return;
        }
        // There was a change, and the old tag has no business to be right any more.
        match self
            .listings
            .repeats(self, &part.query, &Watch::new(Some(before)))
            .await
        {
            Ok(true) => self
                .trust
                .lose("the server says that a listing has not changed which has"),
            Ok(false) => self.trust.told_a_change(),
            Err(failure) => {
                tracing::debug!(error = %failure.error, "whether the server's entity tags are right is left open");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(rows: u64) -> Tagged {
        Tagged {
            question: "q".to_owned(),
            etag: "\"e\"".to_owned(),
            rows,
        }
    }

    fn seen(since: i64) -> Seen {
        Seen {
            by: env!("CARGO_PKG_VERSION").to_owned(),
            since,
            folders: tagged(1),
            documents: tagged(u64::MAX),
            confirmed: true,
        }
    }

    #[test]
    fn a_validator_is_read_as_it_was_written_and_by_its_own_version_only() {
        let written = seen(1_000).write().unwrap();
        assert_eq!(Seen::read(&written), Some(seen(1_000)));
        let other = Seen {
            by: "0.0.0".to_owned(),
            ..seen(1_000)
        };
        assert_eq!(Seen::read(&other.write().unwrap()), None);
        for text in ["", "null", "{}", "\"e\""] {
            assert_eq!(Seen::read(&Validator(text.to_owned())), None);
        }
    }

    #[test]
    fn an_answer_is_believed_for_its_time_and_never_by_a_clock_that_was_put_back() {
        for (now, believed) in [
            (1_000, true),
            (1_899, true),
            (1_900, false),
            (999, false),
            (i64::MIN, false),
        ] {
            assert_eq!(seen(1_000).is_believed(now), believed, "{now}");
        }
    }

    #[test]
    fn only_the_first_question_has_a_condition_and_only_if_it_is_the_same() {
        let url = Url::parse("https://h/a?$top=5").unwrap();
        let known = |url: &Url, token| Tagged {
            question: digest(url, token),
            ..tagged(0)
        };
        let watch = Watch::new(Some(&known(&url, Some("0"))));
        assert_eq!(watch.condition(&url, Some("0")).as_deref(), Some("\"e\""));
        assert_eq!(watch.condition(&url, Some("0")), None);
        let other = Url::parse("https://h/a?$top=6").unwrap();
        for (url, token) in [(&other, Some("0")), (&url, None)] {
            let watch = Watch::new(Some(&known(
                &Url::parse("https://h/a?$top=5").unwrap(),
                Some("0"),
            )));
            assert_eq!(watch.condition(url, token), None);
        }
    }

    #[test]
    fn a_tag_that_no_header_can_carry_is_none() {
        for (tag, usable) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("", false),
            ("\"\u{fffd}\"", false),
            ("\"a\nb\"", false),
        ] {
            assert_eq!(is_usable(tag), usable, "{tag:?}");
        }
        assert!(!is_usable(&"x".repeat(LONGEST_TAG + 1)));
    }
}
