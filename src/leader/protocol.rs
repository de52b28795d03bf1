//! What is said over the socket: one JSON object a line, each way.
//!
//! A connection carries one [`Request`] and the [`Line`]s that answer it. After [`Ask::Follow`] both sides go on: the
//! leader tells what was kept, the follower may send notes ([`Ask::Kept`], [`Ask::Used`]) that nobody answers.
//!
//! ```text
//! → {"v":1,"ask":{"list":{"folder":"5c5d…","max_age_ms":0}}}
//! ← "accepted"
//! ← {"progress":{"rows":1000}}
//! ← {"done":{"commit":812}}
//! ```
//!
//! Fields that a reader does not know are passed over; anything else that changes has another [`VERSION`].

use std::io;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;

use super::failure::{Failure, Kind};
use crate::catalog::DirKey;
use crate::model::{FolderId, Guid};

/// The version both sides must speak.
pub const VERSION: u32 = 1;

/// The longest line, in bytes: [`DIRS_A_LINE`] keys are a twentieth of it, a long status less.
const LONGEST_LINE: usize = 1 << 20;

/// How many directories a line names at most.
pub(super) const DIRS_A_LINE: usize = 1000;

/// How long the other side may leave a line unread. It reads at once or it is stuck.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub v: u32,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked of a leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Have a folder listed. Answered by `accepted`, any number of `progress` and `alive`, and `done` or `failed`.
    List {
        /// Which.
        folder: Id,
        /// No older than this, in milliseconds; 0 wants the server asked, no value takes any age.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_age_ms: Option<u64>,
        /// Nobody waits for it: whoever does goes first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ahead: bool,
    },
    /// Hear of every listing that is kept. Answered by `following`, then by `commit` and `renewed` without end.
    Follow {
        /// The last commit that was seen.
        since: u64,
    },
    /// A note: something was kept by the follower itself. The leader looks into the catalog and tells the others.
    Kept,
    /// A note: folders that somebody at a follower named.
    Used {
        /// Which.
        folders: Vec<Id>,
    },
    /// Have a folder and all below it listed. Answered by `accepted`, any number of `crawl` and `alive`, and `crawled` or
    /// `failed`. It ends when the connection does.
    Warm {
        /// Which.
        folder: Id,
        /// No older than this when it begins, in milliseconds; no value takes what is young enough for any answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_age_ms: Option<u64>,
    },
    /// What is to be said of the leader. Answered by `status`.
    Status,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// It was understood and is being done.
    Accepted,
    /// It is still being done.
    Alive,
    /// So many rows have come, in all.
    Progress {
        /// The sum.
        rows: u64,
    },
    /// The folder is listed.
    Done {
        /// The number it is kept under; none where it could not be kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<u64>,
    },
    /// It could not be done.
    Failed(Failure),
    /// Whom the follower follows.
    Following {
        /// The leader's process.
        pid: u32,
        /// The newest commit it has seen.
        head: u64,
    },
    /// These directories were kept, up to this commit.
    Commit {
        /// The newest.
        number: u64,
        /// Which.
        dirs: Vec<Id>,
    },
    /// These directories were found unchanged.
    Renewed {
        /// Which.
        dirs: Vec<Id>,
    },
    /// How far a crawl is; see [`Crawler`](super::Crawler).
    Crawl(Value),
    /// What a crawl came to.
    Crawled(Value),
    /// An object with a member for each part that has something to say.
    Status(Value),
    /// A line of a later leader.
    #[serde(skip)]
    Other,
}

/// A GUID in its canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub Guid);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl From<FolderId> for Id {
    fn from(folder: FolderId) -> Self {
        Self(folder.0)
    }
}

impl From<DirKey> for Id {
    fn from(dir: DirKey) -> Self {
        Self(dir.guid())
    }
}

impl Id {
    /// The folder it is.
    pub const fn folder(self) -> FolderId {
        FolderId(self.0)
    }

    /// The directory it is, a root included: a key and a GUID are the same bytes.
    pub const fn dir(self) -> DirKey {
        DirKey::folder(FolderId(self.0))
    }
}

impl Ask {
    /// The question as it is sent.
    pub fn request(self) -> Request {
        Request {
            v: VERSION,
            ask: self,
        }
    }

    /// Reads a question. The error is the answer to one that cannot be understood.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Failure> {
        let unknown =
            |error: serde_json::Error| Failure::of(Kind::Unknown, format!("not a request: {error}"));
        let request: Value = serde_json::from_slice(line).map_err(unknown)?;
        // Before the rest: a later version may ask what this one cannot even read.
        match request.get("v").and_then(Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                let text = format!("this is version {VERSION} of the protocol, not {version}");
                return Err(Failure::of(Kind::Version, text));
            }
            None => return Err(Failure::of(Kind::Unknown, "not a request: it has no version")),
        }
        serde_json::from_value::<Request>(request)
            .map(|request| request.ask)
            .map_err(unknown)
    }
}

/// Reads lines; what was read of one is kept if its reader gives up waiting.
pub(super) struct Lines {
    reader: BufReader<OwnedReadHalf>,
    line: Vec<u8>,
    /// The line was given to the reader, who may still be looking at it.
    given: bool,
}

impl Lines {
    pub(super) fn new(reader: OwnedReadHalf) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            given: false,
        }
    }

    /// The next line, without its end; `None` where the other side has gone, in the middle of a line too.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.given) {
            self.line.clear();
        }
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(buffer.len());
            if self.line.len() + taken > LONGEST_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an endless line"));
            }
            self.line.extend_from_slice(&buffer[..taken]);
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                self.given = true;
                return Ok(Some(&self.line));
            }
        }
    }

    /// The next line of an answer.
    pub(super) async fn answer(&mut self) -> io::Result<Option<Line>> {
        match self.next().await? {
            None => Ok(None),
            Some(line) => Line::parse(line).map(Some),
        }
    }
}

impl Line {
    fn parse(line: &[u8]) -> io::Result<Self> {
        match serde_json::from_slice(line) {
            Ok(line) => Ok(line),
            Err(_) if serde_json::from_slice::<IgnoredAny>(line).is_ok() => Ok(Self::Other),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

/// Sends a message, to a side that takes it in time.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    send_text(to, &text(message)?).await
}

/// A message as it is sent, for many who get the same.
pub(super) fn text(message: &impl Serialize) -> io::Result<String> {
    let mut text = serde_json::to_string(message)?;
    text.push('\n');
    Ok(text)
}

/// Sends what [`text`] made.
pub(super) async fn send_text(to: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
    match tokio::time::timeout(WRITE_PATIENCE, to.write_all(text.as_bytes())).await {
        Ok(written) => written,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    fn id(byte: u8) -> Id {
        Id(Guid::from_bytes([byte; 16]))
    }

    #[test]
    fn a_question_arrives_as_it_was_asked() {
        let asks = [
            Ask::List {
                folder: id(1),
                max_age_ms: None,
                ahead: false,
            },
            Ask::List {
                folder: id(1),
                max_age_ms: Some(0),
                ahead: true,
            },
            Ask::Follow { since: 7 },
            Ask::Kept,
            Ask::Used {
                folders: vec![id(1), id(2)],
            },
            Ask::Warm {
                folder: id(3),
                max_age_ms: None,
            },
            Ask::Warm {
                folder: id(3),
                max_age_ms: Some(0),
            },
            Ask::Status,
        ];
        for ask in asks {
            let text = text(&ask.clone().request()).unwrap();
            assert_eq!(Ask::parse(text.trim_end().as_bytes()), Ok(ask), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_answered_with_the_reason() {
        let kind = |text: &str| Ask::parse(text.as_bytes()).unwrap_err().kind;
        assert_eq!(kind(r#"{"v":2,"ask":{"dance":1}}"#), Kind::Version);
        assert_eq!(kind(r#"{"v":1,"ask":{"dance":1}}"#), Kind::Unknown);
        assert_eq!(kind(r#"{"v":1,"ask":{"list":{"folder":"../x"}}}"#), Kind::Unknown);
        assert_eq!(kind(r#"{"ask":"status"}"#), Kind::Unknown);
        assert_eq!(kind("status"), Kind::Unknown);
        let later = r#"{"v":1,"ask":{"follow":{"since":1,"colour":"red"}},"hue":2}"#;
        assert_eq!(Ask::parse(later.as_bytes()), Ok(Ask::Follow { since: 1 }));
    }

    #[test]
    fn a_line_of_a_later_leader_is_passed_over() {
        for line in [r#""sunshine""#, r#"{"weather":{"hue":3}}"#] {
            assert_eq!(Line::parse(line.as_bytes()).unwrap(), Line::Other);
        }
        assert!(Line::parse(b"{").is_err());
    }

    #[tokio::test]
    async fn lines_come_whole_whoever_gives_up_waiting() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(reader.into_split().0);
        writer.write_all(b"one\ntw").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Some(&b"one"[..]));
        let waited = tokio::time::timeout(Duration::from_millis(5), lines.next()).await;
        assert!(waited.is_err());
        writer.write_all(b"o\nthr").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Some(&b"two"[..]));
        drop(writer);
        assert_eq!(lines.next().await.unwrap(), None, "half a line is none");
    }

    #[tokio::test]
    async fn an_endless_line_ends_the_connection() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(reader.into_split().0);
        let runtime = tokio::runtime::Handle::current();
        let writing = runtime.spawn(async move { while writer.write_all(&[b'x'; 4096]).await.is_ok() {} });
        assert!(lines.next().await.is_err());
        drop(lines);
        writing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up() {
        let (mut writer, _unread) = UnixStream::pair().unwrap();
        let line = "x".repeat(1 << 16);
        let error = loop {
            if let Err(error) = send(&mut writer, &line).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
