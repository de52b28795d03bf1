//! The attributes that a document's environment gives it, asked of the server of its mount.

use serde::Serialize;

use super::Listed;
use crate::catalog::attributes::{AttributeStore, AttributeWriter, Edition};
use crate::cli::GlobalArgs;
use crate::cli::counterpart::{self, Counterpart};
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::clock::{Clock, Stamp};
use crate::daemon::blocking;
use crate::explain::MountFacts;
use crate::manifest::SheetRow;
use crate::model::{AttributeSheet, DocumentId, Timestamp};
use crate::remote::{Attributes, Remote as _};

/// What became of the question.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub(super) enum Environment {
    /// It was not asked.
    NotAsked {
        /// Why not.
        reason: String,
    },
    /// This server does not tell attributes.
    NotSupported,
    /// It could not be answered.
    Failed {
        /// Why.
        message: String,
    },
    /// The sheets; none where nothing was entered.
    Told {
        /// When the server was asked.
        fetched_at: Timestamp,
        /// In the order of the server.
        sheets: Vec<SheetRow>,
    },
}

impl Environment {
    pub(super) fn not_asked(reason: impl Into<String>) -> Self {
        Self::NotAsked {
            reason: reason.into(),
        }
    }
}

/// What an earlier question was answered with.
pub(super) async fn kept(listed: Option<Listed>) -> Environment {
    let kept = blocking(move || {
        let listed = listed?;
        // What cannot be read was not kept.
        AttributeStore::beside(&listed.catalog)
            .of(&listed.document)
            .ok()?
    });
    match kept.await {
        Some(kept) => Environment::Told {
            fetched_at: kept.asked.wall,
            sheets: kept.sheets.into_iter().map(SheetRow::from).collect(),
        },
        None => Environment::not_asked("--offline was given, and they are not known"),
    }
}

/// Asks the server of a mount, with the login of its profile; and keeps what it answers.
pub(super) async fn ask(
    global: &GlobalArgs,
    mount: &MountFacts,
    document: DocumentId,
    listed: Option<Listed>,
) -> Result<Environment, CliError> {
    let remote = match counterpart::of_mount(&mut Session::open(global)?, mount).await? {
        Counterpart::Server(remote) => remote,
        Counterpart::Unknown(reason) => return Ok(Environment::not_asked(reason)),
    };
    let clock = Clock::default();
    let asked = clock.stamp(clock.now(), Timestamp::now());
    let sheets = match remote.attributes(document).await? {
        Attributes::Sheets(sheets) => sheets,
        Attributes::NotSupported => return Ok(Environment::NotSupported),
    };
    if let Some(listed) = listed {
        let sheets = sheets.clone();
        blocking(move || keep(&listed, &asked, sheets)).await;
    }
    Ok(Environment::Told {
        fetched_at: asked.wall,
        sheets: sheets.into_iter().map(SheetRow::from).collect(),
    })
}

fn keep(listed: &Listed, asked: &Stamp, sheets: Vec<AttributeSheet>) {
    let answer = (listed.document.id, Edition::of(&listed.document), sheets);
    let kept = AttributeWriter::open(&listed.catalog).and_then(|store| store.keep(asked, &[answer]));
    if let Err(error) = kept {
        // They are shown all the same.
        tracing::debug!(%error, "attributes are not kept");
    }
}
