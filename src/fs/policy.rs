//! Which programs may have documents fetched: thumbnailers and indexers only read what is here.
//!
//! Whoever opens a folder in a file manager wants its names, and not every drawing in it for a thumbnail's sake. What a
//! person or a copying program reads is fetched; what is read by a program of this list is refused unless it is here. Nobody
//! is told at the open, which the kernel does by itself: the first read decides, and only one that misses is looked at.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::caller::{self, Caller, Program, SHORT};

/// Programs that read what nobody looks at yet: thumbnailers, indexers, and what keeps notes of files.
///
/// No virus scanner is among them: one that passes over what it may not fetch would report it as clean.
const USUAL: [&str; 16] = [
    // GNOME, Xfce, MATE, Cinnamon; totem-video-thumbnailer, evince-thumbnailer, gdk-pixbuf-thumbnailer, …
    "*-thumbnailer",
    "gnome-thumbnail-font",
    "tumblerd",
    "ffmpegthumbnailer",
    // KDE: by the name of the plug-in its worker runs, and of the worker of old.
    "thumbnail.so",
    "kio_thumbnail",
    // GNOME's index, by its old names and its new one; KDE's; Recoll's.
    "tracker-miner-*",
    "tracker-extract*",
    "localsearch*",
    "baloo_file*",
    "recollindex",
    // The databases of `locate`; `plocate` itself reads no documents.
    "updatedb*",
    "mlocate",
    "plocate*",
    // What was opened when, and its notes.
    "zeitgeist-*",
    "gvfsd-metadata",
];

/// How much of a cut name must show the end of a rule like `*-thumbnailer`: `totem-video-thumbnailer` is cut to `totem-video-thu`.
const SHOWN_END: usize = 4;

/// The longest rule; no program has a longer name (`NAME_MAX`).
const LONGEST: usize = 255;

/// A rule for programs of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRule {
    refuses: bool,
    begin: String,
    /// What follows a `*`; `None` where there is none.
    end: Option<String>,
}

/// The text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no program: write the name of its file, with at most one *, and ! before it to let it fetch"
)]
pub struct InvalidRule(String);

impl FromStr for CallerRule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let name = text.strip_prefix('!').unwrap_or(text);
        let (begin, end) = match name.split_once('*') {
            Some((begin, end)) => (begin, Some(end)),
            None => (name, None),
        };
        let odd = |c: char| c == '/' || c == '!' || c.is_control();
        if name.is_empty()
            || name.len() > LONGEST
            || name.contains(odd)
            || name.trim() != name
            || end.is_some_and(|end| end.contains('*'))
        {
            return Err(InvalidRule(text.to_owned()));
        }
        Ok(Self {
            refuses: name.len() == text.len(),
            begin: begin.to_owned(),
            end: end.map(str::to_owned),
        })
    }
}

impl fmt::Display for CallerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.refuses {
            f.write_str("!")?;
        }
        f.write_str(&self.begin)?;
        match &self.end {
            Some(end) => write!(f, "*{end}"),
            None => Ok(()),
        }
    }
}

impl CallerRule {
    fn is_about(&self, program: &Program) -> bool {
        program.whole.iter().any(|name| self.names(name))
            || program.cut.iter().any(|name| self.names_cut(name))
    }

    fn names(&self, name: &str) -> bool {
        match &self.end {
            None => name == self.begin,
            Some(end) => {
                name.len() >= self.begin.len() + end.len()
                    && name.starts_with(&self.begin)
                    && name.ends_with(end.as_str())
            }
        }
    }

    /// Whether a name that may have been cut could be one of these.
    fn names_cut(&self, name: &str) -> bool {
        if self.names(name) {
            return true;
        }
        if name.len() < SHORT {
            return false;
        }
        if self.begin.len() >= name.len() {
            return self.begin.starts_with(name);
        }
        let (Some(rest), Some(end)) = (name.strip_prefix(&self.begin), &self.end) else {
            return false;
        };
        (SHOWN_END..end.len()).any(|shown| end.get(..shown).is_some_and(|shown| rest.ends_with(shown)))
    }
}

/// All rules; the last one about a program decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallerRules(Vec<CallerRule>);

impl CallerRules {
    /// Everybody may have everything fetched: for programs that must read it all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Thumbnailers and indexers may not.
    pub fn usual() -> Self {
        // A test reads all of them.
        Self(USUAL.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// With `more` after them.
    #[must_use]
    pub fn and(mut self, more: impl IntoIterator<Item = CallerRule>) -> Self {
        self.0.extend(more);
        self
    }

    fn refuses(&self, program: &Program) -> bool {
        let last = self.0.iter().rfind(|rule| rule.is_about(program));
        last.is_some_and(|rule| rule.refuses)
    }

    /// True where no program can be refused.
    fn is_open(&self) -> bool {
        !self.0.iter().any(|rule| rule.refuses)
    }
}

/// How long the program of a thread is remembered: it may run another one meanwhile.
const REMEMBERED: Duration = Duration::from_secs(10);

/// How many threads are remembered.
const MOST_REMEMBERED: usize = 1024;

/// How long finding out may take. Where it takes longer, whoever asks is not kept waiting, and let through.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many programs are counted by name.
const MOST_COUNTED: usize = 64;

/// Where the programs beyond them are counted.
const OTHERS: &str = "(others)";

/// Refuses downloads to some programs, and counts that.
pub struct CallerPolicy {
    rules: CallerRules,
    looks: Arc<Looks>,
    /// Reads refused, by the name of the program.
    refused: Mutex<BTreeMap<String, u64>>,
}

/// What was found out of threads.
struct Looks {
    proc: PathBuf,
    seen: Mutex<HashMap<u32, Seen>>,
}

#[derive(Clone)]
struct Seen {
    born: u64,
    until: Instant,
    program: Program,
}

impl Default for CallerPolicy {
    /// Refuses nobody.
    fn default() -> Self {
        Self::new(CallerRules::none())
    }
}

impl CallerPolicy {
    /// Refuses by these rules.
    pub fn new(rules: CallerRules) -> Self {
        Self::over(rules, PathBuf::from("/proc"))
    }

    fn over(rules: CallerRules, proc: PathBuf) -> Self {
        let seen = Mutex::default();
        Self {
            rules,
            looks: Arc::new(Looks { proc, seen }),
            refused: Mutex::default(),
        }
    }

    /// The name of the program that may not have anything fetched; `None` where it may.
    ///
    /// Waits at most a quarter of a second. Who is not known, or is in another pid namespace, may.
    pub(super) async fn refuses(&self, caller: Caller) -> Option<String> {
        if caller.pid == 0 || self.rules.is_open() {
            return None;
        }
        let looks = self.looks.clone();
        let looking = tokio::task::spawn_blocking(move || looks.program(caller.pid));
        let found = tokio::time::timeout(PATIENCE, looking).await;
        let Ok(Ok(program)) = found else {
            tracing::debug!(pid = caller.pid, "who reads could not be found out in time");
            return None;
        };
        let program = program.filter(|program| self.rules.refuses(program))?;
        Some(program.shown)
    }

    /// Counts a read that was refused to `program`; says so the first time.
    pub(super) fn count(&self, program: &str, caller: Caller) {
        let mut refused = self.refused.lock();
        if let Some(count) = refused.get_mut(program) {
            *count += 1;
            return;
        }
        if refused.len() >= MOST_COUNTED {
            *refused.entry(OTHERS.to_owned()).or_default() += 1;
            return;
        }
        refused.insert(program.to_owned(), 1);
        drop(refused);
        tracing::info!(
            program,
            uid = caller.uid,
            "is given only what is here already: it is one of the programs that never download"
        );
    }

    /// Reads refused, by program.
    pub(super) fn refused(&self) -> BTreeMap<String, u64> {
        self.refused.lock().clone()
    }
}

impl Looks {
    /// The program of a thread, as it was found a moment ago if it is still that thread. Blocks.
    fn program(&self, pid: u32) -> Option<Program> {
        let born = caller::born(&self.proc, pid)?;
        let now = Instant::now();
        let seen = self.seen.lock().get(&pid).cloned();
        if let Some(seen) = seen.filter(|seen| seen.born == born && now < seen.until) {
            return Some(seen.program);
        }
        let program = caller::program(&self.proc, pid)?;
        let mut seen = self.seen.lock();
        if seen.len() >= MOST_REMEMBERED {
            seen.retain(|_, seen| now < seen.until);
        }
        if seen.len() >= MOST_REMEMBERED {
            seen.clear();
        }
        seen.insert(
            pid,
            Seen {
                born,
                until: now + REMEMBERED,
                program: program.clone(),
            },
        );
        Some(program)
    }
}

#[cfg(test)]
mod tests;
