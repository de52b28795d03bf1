//! How a mount begins: with the server if it answers soon, else with what it remembers of the last time.
//!
//! A mount over a catalog has everything it needs to answer `ls`, if only it knows whose catalog it is and which folders
//! were chosen. Both are found out by asking the server, which may be slow or away; so each good beginning is
//! remembered, for the same login and the same words of the same person. What was remembered is compared with the server
//! as soon as that answers.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::blocking;
use super::choose::{ChooseError, FolderChoice, FolderPlace, choose};
use super::connect::{Account, ConnectionError, Opened};
use crate::auth::TokenSource;
use crate::model::{Folder, FolderId, Guid, Timestamp};
use crate::remote::wsg::{ConnectError, ErrorId, Problem, WsgAddress, WsgRemote};
use crate::remote::{Origin, Remote, RemoteError};
use crate::tree::ChosenFolder;

/// How long the server is waited for where the last beginning is remembered: long enough for a server that is near, and
/// a person does not notice it.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is read of a remembered beginning at most: each folder takes some hundred bytes.
const LONGEST: u64 = 1 << 20;

/// What a mount begins with.
pub struct Beginning {
    /// The datasource.
    pub remote: Arc<WsgRemote>,
    /// Its login.
    pub tokens: TokenSource,
    /// The folders to show; empty for all.
    pub chosen: Vec<ChosenFolder>,
    /// The account the catalog is kept under.
    pub account: String,
    /// Where the server was not waited for: what comes of asking it.
    pub outstanding: Option<Outstanding>,
    /// To be kept once the mount stands; `None` where it was remembered, or cannot be.
    pub keepsake: Option<Keepsake>,
}

/// A beginning that is worth to be remembered, once it turned out to be good.
pub struct Keepsake {
    file: PathBuf,
    remembered: Remembered,
}

impl Keepsake {
    /// Remembers it.
    pub async fn keep(self) {
        blocking(move || self.remembered.write(&self.file)).await;
    }
}

/// The server is being asked whether it is as remembered.
pub struct Outstanding(tokio::task::JoinHandle<Result<Found, ConnectionError>>);

/// What the server said.
struct Found {
    opened: Opened,
    chosen: Vec<ChosenFolder>,
    account: String,
}

/// What a remembered beginning turned out to be.
#[derive(Debug)]
pub enum Verdict {
    /// It is as it was.
    Same,
    /// The server sees another account: nothing that is kept may be shown to it.
    OtherAccount,
    /// The server could not be asked, or refuses.
    Unknown(ConnectionError),
}

/// What is asked for, in the person's words.
#[derive(Clone)]
pub struct Wanted {
    /// The URL of the command line.
    pub source: Option<String>,
    /// The chosen folders; where there are none, what `source` leads to.
    pub choices: Vec<FolderChoice>,
}

/// A beginning as it is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    address: String,
    account: String,
    folders: Vec<RememberedFolder>,
}

#[derive(Serialize, Deserialize)]
struct RememberedFolder {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    work_area: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<Timestamp>,
}

/// Begins: connects, finds the chosen folders and the account; or takes them as they were the last time.
///
/// # Errors
/// As connecting and choosing have them. A refusal is one even where the last time is remembered; an outage is not.
pub async fn begin(
    account: &Account,
    wanted: &Wanted,
    cache_dir: &Path,
) -> Result<Beginning, ConnectionError> {
    // A client that cannot be made is told where its settings are known.
    let tokens = account.tokens(&account.http()?);
    let file = match tokens.account().await {
        Ok(Some(login)) => Some(file(cache_dir, account, &login, wanted)),
        // Whose login it is cannot be told without the server.
        Ok(None) | Err(_) => None,
    };
    let stand_in = match &file {
        Some(file) => recall(file.clone()).await,
        None => None,
    };
    let stand_in = stand_in.and_then(|remembered| offline(account, remembered));
    let Some(stand_in) = stand_in else {
        return Ok(ask(account, wanted).await?.beginning(file));
    };
    let mut asking = {
        let (account, wanted) = (account.clone(), wanted.clone());
        Handle::current().spawn(async move { ask(&account, &wanted).await })
    };
    let answer = match tokio::time::timeout(PATIENCE, &mut asking).await {
        Ok(answer) => answer.unwrap_or_else(|gone| Err(given_up(&gone))),
        Err(_) => {
            tracing::info!("the server takes its time; beginning with what is known from the last time");
            return Ok(Beginning {
                outstanding: Some(Outstanding(asking)),
                ..stand_in
            });
        }
    };
    match answer {
        Ok(found) => Ok(found.beginning(file)),
        Err(error) if is_outage(&error) => {
            tracing::warn!(%error, "beginning with what is known from the last time");
            let (account, wanted) = (account.clone(), wanted.clone());
            let again = Handle::current().spawn(async move { ask_until_answered(&account, &wanted).await });
            Ok(Beginning {
                outstanding: Some(Outstanding(again)),
                ..stand_in
            })
        }
        Err(error) => Err(error),
    }
}

impl Outstanding {
    /// Waits for the server's answer and compares it with `account`.
    pub async fn verdict(self, account: &str) -> Verdict {
        match self.0.await {
            Ok(Ok(found)) if found.account == account => Verdict::Same,
            Ok(Ok(_)) => Verdict::OtherAccount,
            Ok(Err(error)) => Verdict::Unknown(error),
            Err(gone) => Verdict::Unknown(given_up(&gone)),
        }
    }
}

impl Found {
    /// The beginning, to be remembered in `file`.
    fn beginning(self, file: Option<PathBuf>) -> Beginning {
        let remembered = Remembered::of(&self);
        Beginning {
            remote: self.opened.remote,
            tokens: self.opened.tokens,
            chosen: self.chosen,
            account: self.account,
            outstanding: None,
            keepsake: file.map(|file| Keepsake { file, remembered }),
        }
    }
}

/// A task that panicked; what it said is in the log.
fn given_up(gone: &tokio::task::JoinError) -> ConnectionError {
    RemoteError::Protocol(format!("asking the server broke off: {gone}").into()).into()
}

async fn ask(account: &Account, wanted: &Wanted) -> Result<Found, ConnectionError> {
    let opened = account.open(wanted.source.as_deref()).await?;
    let choices = match opened.start.filter(|_| wanted.choices.is_empty()) {
        Some(id) => vec![FolderChoice {
            place: FolderPlace::Id(id),
            alias: None,
        }],
        None => wanted.choices.clone(),
    };
    let remote: &dyn Remote = &*opened.remote;
    let (chosen, account) = tokio::try_join!(
        async { choose(remote, &choices).await.map_err(ConnectionError::from) },
        async { remote.account().await.map_err(ConnectionError::from) },
    )?;
    Ok(Found {
        opened,
        chosen,
        account,
    })
}

/// Asks again and again while the server is away; an answer of any kind ends it.
async fn ask_until_answered(account: &Account, wanted: &Wanted) -> Result<Found, ConnectionError> {
    /// The mount serves what it knows meanwhile, and its own requests find out sooner.
    const PAUSE: Duration = Duration::from_secs(30);
    loop {
        tokio::time::sleep(PAUSE).await;
        match ask(account, wanted).await {
            Err(error) if is_outage(&error) => tracing::debug!(%error, "the server is still away"),
            answer => return answer,
        }
    }
}

/// True where the server could not be asked. That it refuses, or has no such thing, is an answer.
fn is_outage(error: &ConnectionError) -> bool {
    let (ConnectionError::Remote(remote)
    | ConnectionError::Connect(ConnectError::Remote(remote))
    | ConnectionError::Path(ChooseError::Remote(remote))
    | ConnectionError::NoGateway { error: remote, .. }) = error
    else {
        return false;
    };
    match remote {
        RemoteError::Unreachable(_) | RemoteError::TimedOut(_) | RemoteError::Throttled { .. } => true,
        RemoteError::Server(detail) => match detail.origin() {
            Origin::Wsg(problem) => *problem != Problem::Said(ErrorId::DatasourceNotFound),
            Origin::Client | Origin::Auth(_) | Origin::Http(_) => true,
        },
        RemoteError::NotFound { .. }
        | RemoteError::Denied { .. }
        | RemoteError::LoginRequired(_)
        | RemoteError::SecretRequired(_)
        | RemoteError::LockedOut(_)
        | RemoteError::Protocol(_) => false,
    }
}

/// The beginning as it was, without a request.
fn offline(account: &Account, remembered: Remembered) -> Option<Beginning> {
    let http = account.http().ok()?;
    let tokens = account.tokens(&http);
    let address = WsgAddress::parse(&remembered.address).ok()?;
    let address = address.permitted(&account.profile.network).ok()?;
    let remote = WsgRemote::offline(http, tokens.clone(), &address, account.profile.wsg.clone())?;
    let chosen = remembered.folders.iter().map(RememberedFolder::folder);
    Some(Beginning {
        remote: Arc::new(remote),
        tokens,
        chosen: chosen.collect::<Option<_>>()?,
        account: remembered.account,
        outstanding: None,
        keepsake: None,
    })
}

/// Where the beginning of this login with these words is remembered.
fn file(cache_dir: &Path, account: &Account, login: &str, wanted: &Wanted) -> PathBuf {
    let link = wanted.source.as_deref().or(account.profile.datasource.as_deref());
    let mut digest = Sha256::new();
    for part in [&account.issuer(), login, link.unwrap_or_default()] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    for choice in &wanted.choices {
        digest.update(format!("{choice:?}").as_bytes());
        digest.update([0]);
    }
    let name = Guid::from_bytes(digest.finalize()[..16].try_into().unwrap_or_default()).hex_prefix(32);
    cache_dir.join("starts-v1").join(format!("{name}.json"))
}

/// What is remembered in `file`; anything but a whole record is nothing.
async fn recall(file: PathBuf) -> Option<Remembered> {
    blocking(move || {
        let length = std::fs::metadata(&file).ok()?.len();
        if length > LONGEST {
            return None;
        }
        let text = std::fs::read(&file).ok()?;
        match serde_json::from_slice(&text) {
            Ok(remembered) => Some(remembered),
            Err(error) => {
                tracing::debug!(%error, "what is remembered of the last time cannot be read");
                None
            }
        }
    })
    .await
}

impl Remembered {
    fn of(found: &Found) -> Self {
        Self {
            address: found.opened.remote.address().to_string(),
            account: found.account.clone(),
            folders: found.chosen.iter().map(RememberedFolder::of).collect(),
        }
    }

    /// Keeps it. One that cannot be kept costs the next mount a moment. Blocks.
    fn write(&self, file: &Path) {
        let write = || -> std::io::Result<()> {
            let dir = file.parent().unwrap_or(file);
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)?;
            let temporary = file.with_extension(format!("{}.new", std::process::id()));
            let mut options = std::fs::OpenOptions::new();
            let mut out = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            out.write_all(&serde_json::to_vec(self)?)?;
            std::fs::rename(&temporary, file)
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "how this mount began cannot be remembered");
        }
    }
}

impl RememberedFolder {
    fn of(chosen: &ChosenFolder) -> Self {
        let folder = &chosen.folder;
        Self {
            id: folder.id.to_string(),
            parent: folder.parent.map(|parent| parent.to_string()),
            name: folder.name.clone(),
            description: folder.description.clone(),
            work_area: folder.work_area,
            created: folder.created,
            updated: folder.updated,
        }
    }

    fn folder(&self) -> Option<ChosenFolder> {
        let parent = match &self.parent {
            Some(parent) => Some(FolderId(parent.parse().ok()?)),
            None => None,
        };
        Some(ChosenFolder {
            folder: Folder {
                id: FolderId(self.id.parse().ok()?),
                parent,
                name: self.name.clone(),
                description: self.description.clone(),
                work_area: self.work_area,
                created: self.created,
                updated: self.updated,
                etag: None,
            },
        })
    }
}
