//! A command that only asks: it neither leads nor follows.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::timeout;

use super::SILENCE;
use super::claim;
use super::failure::Failure;
use super::protocol::{Ask, Line, Lines, send};
use crate::catalog::DirKey;

/// Why the leader of a catalog gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No process leads it: nothing is mounted.
    #[error("no mount of this account is running")]
    Nobody,
    /// A process leads it and says nothing; it may have been stopped.
    #[error("the mount that leads this account's catalog does not answer")]
    Silent,
    /// It went before it had answered.
    #[error("the mount that leads this account's catalog has ended")]
    Ended,
    /// It cannot do what was asked, or could not.
    #[error("{}", .0.text)]
    Failed(Failure),
    /// The connection.
    #[error("the mount that leads this account's catalog cannot be asked: {0}")]
    Io(#[from] io::Error),
}

/// A question to the leader of a catalog, and the lines of its answer.
pub struct Client {
    lines: Lines,
    /// Kept: closing it takes the question back.
    writer: OwnedWriteHalf,
}

impl Client {
    /// Asks the leader of the catalog in `dir` ([`Catalog::dir`](crate::catalog::Catalog::dir)).
    pub async fn ask(dir: &Path, ask: Ask) -> Result<Self, ClientError> {
        let stream = claim::connect(dir).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Nobody,
            io::ErrorKind::WouldBlock => ClientError::Silent,
            _ => ClientError::Io(error),
        })?;
        let (reader, writer) = stream.into_split();
        let mut client = Self {
            lines: Lines::new(reader),
            writer,
        };
        send(&mut client.writer, &ask.request()).await?;
        Ok(client)
    }

    /// The next line, which comes within seconds while the leader lives; `None` after the last one. Heartbeats are
    /// left out; a [`Line::Failed`] is an error.
    pub async fn next(&mut self) -> Result<Option<Line>, ClientError> {
        self.next_within(Some(SILENCE)).await
    }

    /// The next line of [`Ask::Follow`], which comes when something happens.
    pub async fn next_event(&mut self) -> Result<Option<Line>, ClientError> {
        self.next_within(None).await
    }

    async fn next_within(&mut self, limit: Option<Duration>) -> Result<Option<Line>, ClientError> {
        loop {
            let line = match limit {
                Some(limit) => timeout(limit, self.lines.answer())
                    .await
                    .map_err(|_| ClientError::Silent)?,
                None => self.lines.answer().await,
            };
            match line? {
                Some(Line::Accepted | Line::Alive | Line::Other) => {}
                Some(Line::Failed(failure)) => return Err(ClientError::Failed(failure)),
                line => return Ok(line),
            }
        }
    }

    /// What the leader of the catalog in `dir` says of itself: an object with a member for each part of it. `leader`
    /// has `pid`, `version`, `since` (RFC 3339), `followers`, and the newest `commit`.
    pub async fn status(dir: &Path) -> Result<Value, ClientError> {
        let mut client = Self::ask(dir, Ask::Status).await?;
        while let Some(line) = client.next().await? {
            if let Line::Status(status) = line {
                return Ok(status);
            }
        }
        Err(ClientError::Ended)
    }

    /// Has `top` and all below it listed; see [`Crawler::warm`](super::Crawler::warm) for its age. Read [`Client::next`]
    /// up to [`Line::Crawled`]; dropping this cancels.
    pub async fn warm(dir: &Path, top: DirKey, max_age: Option<Duration>) -> Result<Self, ClientError> {
        let ask = Ask::Warm {
            folder: top.into(),
            max_age_ms: max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        };
        Self::ask(dir, ask).await
    }
}
