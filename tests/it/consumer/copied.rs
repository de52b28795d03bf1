//! What lies in the copy, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use pwfs::model::Guid;
use rusqlite::{Connection, OpenFlags};

use super::story::{Story, told_by};

/// In the copy: the consumer's own.
const ROOM: &str = ".pwfs-consumer";
/// In there: what is on its way.
const STAGED: &str = ".pwfs-consumer/staged";

/// What a seed is judged by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Documents that are not, or not so, in a copy that is said to be complete.
    pub lost: usize,
    /// Documents that were in the copy and are not, although nobody deleted or moved them.
    pub false_deletes: usize,
    /// Documents that are there twice, and contents that were copied again although they were there.
    pub duplicates: usize,
    /// Files of a complete copy that are no document of the world, and are not marked as withheld.
    pub left_over: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lost,
            false_deletes,
            duplicates,
            left_over,
        } = self;
        write!(
            f,
            "lost={lost} false_deletes={false_deletes} duplicates={duplicates} left_over={left_over}"
        )
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.false_deletes += other.false_deletes;
        self.duplicates += other.duplicates;
        self.left_over += other.left_over;
    }
}

/// The directory of a consumer, looked at from outside.
pub struct Copied {
    dir: PathBuf,
    log: PathBuf,
    /// How much of the log was read.
    read: usize,
    /// What the consumer copied and did not remove: GUID and tag.
    held: BTreeMap<Guid, String>,
    /// Numbers that were in the copy.
    seen: BTreeSet<u32>,
    pub tally: Tally,
    /// What is wrong, in words.
    pub complaints: Vec<String>,
}

impl Copied {
    pub fn new(dir: &Path, log: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            log: log.to_owned(),
            read: 0,
            held: BTreeMap::new(),
            seen: BTreeSet::new(),
            tally: Tally::default(),
            complaints: Vec::new(),
        }
    }

    /// Every file below a directory of the copy, with its bytes.
    fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.dir.join(below)];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&self.dir).unwrap().to_str().unwrap().to_owned();
                if !path.is_dir() {
                    found.insert(name, fs::read(&path).unwrap());
                } else if below.is_empty() != name.starts_with(ROOM) {
                    waiting.push(path);
                }
            }
        }
        found
    }

    /// The numbers of all documents that are there: in their places or withheld, and those on their way beside them.
    fn numbers(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let files = self.files("").into_iter().chain(self.files(ROOM));
        let told = files.filter_map(|(path, bytes)| Some((path, told_by(&bytes)?.0)));
        // What a consumer that is killed had just fetched is not yet part of its copy.
        let (moving, held): (Vec<_>, Vec<_>) = told.partition(|(path, _)| path.starts_with(STAGED));
        let numbers = |files: Vec<(String, u32)>| files.into_iter().map(|(_, number)| number).collect();
        (numbers(held), numbers(moving))
    }

    fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// The consumer stands still: what it once had must be there, unless that was deleted or moved.
    pub fn look(&mut self, story: &Story) {
        let (held, moving) = self.numbers();
        for number in self.seen.clone() {
            let is_there = held.contains(&number) || moving.contains(&number);
            if !is_there && !story.excused.contains(&number) {
                self.tally.false_deletes += 1;
                self.seen.remove(&number);
                self.complain(format!("document {number} was removed, and nobody deleted it"));
            }
        }
        self.seen.extend(held);
        self.read_log(story);
    }

    /// Takes in what the consumer says that it did.
    fn read_log(&mut self, story: &Story) {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let (whole, _) = log[self.read..].rsplit_once('\n').unwrap_or_default();
        self.read += whole.len();
        for line in whole.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (Some(&what), Some(Ok(guid))) =
                (words.first(), words.get(1).map(|word| word.parse::<Guid>()))
            else {
                continue;
            };
            if what == "removed" {
                self.held.remove(&guid);
            } else if what == "copied" {
                let number = story.number_of(guid);
                // Another version of it takes its place.
                self.held
                    .retain(|other, _| *other == guid || story.number_of(*other) != number);
                let before = self.held.insert(guid, words[2].to_owned());
                if before.as_deref() == Some(words[2]) {
                    self.tally.duplicates += 1;
                    self.complain(format!("document {number:?} was copied again: {line}"));
                }
            }
        }
    }

    fn state(&self) -> Connection {
        let path = self.dir.join(ROOM).join("state.sqlite");
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
    }

    /// The consumer was killed, and may not have said the last things that it did.
    pub fn was_killed(&mut self, story: &Story) {
        self.look(story);
        if !self.dir.join(ROOM).join("state.sqlite").exists() {
            return;
        }
        let state = self.state();
        let Ok(mut rows) = state.prepare("SELECT guid, tag FROM copies WHERE path IS NOT NULL") else {
            return;
        };
        let rows = rows
            .query_map((), |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
            .unwrap();
        self.held = rows
            .map(Result::unwrap)
            .map(|(guid, tag)| (guid.parse().unwrap(), tag))
            .collect();
    }

    /// Where withheld copies are.
    fn withheld(&self) -> BTreeSet<String> {
        let state = self.state();
        let mut rows = state
            .prepare("SELECT path FROM copies WHERE withheld IS NOT NULL")
            .unwrap();
        let rows = rows.query_map((), |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The consumer says that it is done: everything that the account sees must be there, once, and nothing else.
    ///
    /// `paths` are where the mount shows each document.
    pub fn compare(&mut self, story: &mut Story, paths: &BTreeMap<Guid, String>) {
        self.look(story);
        let (files, withheld, expected) = (self.files(""), self.withheld(), story.expected());
        let mut places: BTreeSet<&str> = BTreeSet::new();
        for (guid, (number, edition, is_readable)) in &expected {
            let path = paths.get(guid);
            let there = path
                .and_then(|path| files.get(path))
                .and_then(|bytes| told_by(bytes));
            if *is_readable && there != Some((*number, *edition)) {
                self.tally.lost += 1;
                self.complain(format!(
                    "document {number} edition {edition} {guid} at {path:?} is {there:?}"
                ));
            }
            places.extend(path.map(String::as_str));
        }
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for (path, bytes) in &files {
            if withheld.contains(path) {
                continue;
            }
            if let Some((number, _)) = told_by(bytes) {
                *counts.entry(number).or_default() += 1;
            }
            if !places.contains(path.as_str()) {
                self.tally.left_over += 1;
                self.complain(format!("{path} is no document: {:?}", told_by(bytes)));
            }
        }
        for (number, count) in counts {
            if count > 1 {
                self.tally.duplicates += count - 1;
                self.complain(format!("document {number} is there {count} times"));
            }
        }
        // From now on these must be there; the others may go on missing.
        for (number, _, is_readable) in expected.values() {
            if *is_readable {
                story.excused.remove(number);
            }
        }
    }
}
