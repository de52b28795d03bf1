//! The attributes that a document's environment gives it, asked of the server of its mount.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::GlobalArgs;
use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::session::Session;
use crate::daemon::connect::Account;
use crate::explain::MountFacts;
use crate::model::{AttributeSheet, DocumentId};
use crate::remote::wsg::{DatasourceName, WsgRemote};
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
        /// In the order of the server.
        sheets: Vec<Sheet>,
    },
}

impl Environment {
    pub(super) fn not_asked(reason: impl Into<String>) -> Self {
        Self::NotAsked {
            reason: reason.into(),
        }
    }
}

/// One sheet of attributes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sheet {
    /// The environment.
    pub(super) environment: String,
    /// In the order of the server.
    pub(super) attributes: Vec<Value>,
}

/// One attribute.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) value: String,
}

impl From<AttributeSheet> for Sheet {
    fn from(sheet: AttributeSheet) -> Self {
        let value = |attribute: crate::model::Attribute| Value {
            name: attribute.name,
            value: attribute.value,
        };
        Self {
            environment: sheet.environment,
            attributes: sheet.attributes.into_iter().map(value).collect(),
        }
    }
}

/// Asks the server of a mount, with the login of its profile.
pub(super) async fn ask(
    global: &GlobalArgs,
    mount: &MountFacts,
    document: DocumentId,
) -> Result<Environment, CliError> {
    let Some(profile) = &mount.profile else {
        return Ok(Environment::not_asked(
            "the mount does not tell whose login it has",
        ));
    };
    let mut session = Session::open(global)?;
    session.turn_to(profile)?;
    if !session.exists() {
        // Such as the one of a demo, which is in no file.
        let reason = format!("the configuration has no profile \"{profile}\", which the mount has");
        return Ok(Environment::not_asked(reason));
    }
    let account = session.account_now()?;
    let remote = connect(&account, mount.datasource.as_deref()).await?;
    Ok(match remote.attributes(document).await? {
        Attributes::Sheets(sheets) => Environment::Told {
            sheets: sheets.into_iter().map(Sheet::from).collect(),
        },
        Attributes::NotSupported => Environment::NotSupported,
    })
}

/// The datasource of the mount, which need not be that of its profile.
async fn connect(account: &Account, datasource: Option<&str>) -> Result<Arc<WsgRemote>, CliError> {
    let wanted = datasource.and_then(DatasourceName::parse);
    let own = account.link(None).ok();
    let url = match (&wanted, own) {
        (Some(wanted), Some(own)) if own.leads_into(wanted) => None,
        (Some(wanted), _) => Some(wanted.url()),
        (None, _) => None,
    };
    let remote = account.connect(url.as_deref()).await?;
    match datasource {
        // Another one has other documents, and might have another one of this GUID.
        Some(wanted) if remote.name() != wanted => {
            let text = "the server that answers is not that of the mount";
            let cause = format!("the mount shows {wanted}, and this is {}", remote.name());
            Err(CliError::new(ErrorKind::Failure, text).cause(cause))
        }
        Some(_) | None => Ok(remote),
    }
}
