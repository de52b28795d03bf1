//! Step 3 of the guide, second half: select the folders.

use std::sync::Arc;

use crate::cli::failure::CliError;
use crate::cli::picker::Picked;
use crate::config::FolderChoice;
use crate::daemon::choose::{self, FolderPlace, choose};
use crate::model::{FolderId, Guid};
use crate::remote::Remote;

use super::application::Again;
use super::person::Picking;
use super::progress::Marked;
use super::{Halt, Wizard};

impl Wizard<'_> {
    /// Has folders marked, and keeps them in the profile.
    pub(super) async fn folders(&mut self) -> Result<(), Halt> {
        self.title("Step 3 of 3: select the folders");
        let remote = &self.reached().await?;
        let marked = if self.args.folders.is_empty() {
            let before = self.marked_before(remote).await;
            match self.person.pick(Arc::clone(remote), before).await? {
                Picking::Chosen(marked) => marked,
                Picking::Left(marked) => {
                    self.progress.marked = marked;
                    return Err(Halt::Left);
                }
                Picking::Failed(marked, error) => {
                    self.progress.marked = marked;
                    return Err(Halt::Failed(error));
                }
            }
        } else {
            given(remote, &self.args.folders).await?
        };
        self.progress.marked.clear();
        self.session.profile.folders = marked.iter().map(Marked::as_choice).collect();
        self.session.keep()?;
        self.person.say(&summary(&marked));
        Ok(())
    }

    /// The datasource, connected to in the step before or, after a resumption, now.
    async fn reached(&mut self) -> Result<Arc<dyn Remote>, Halt> {
        if let Some(remote) = &self.remote {
            return Ok(Arc::clone(remote));
        }
        loop {
            let error = match self.session.account_now()?.connect(None).await {
                Ok(remote) => {
                    self.remote = Some(remote.clone());
                    return Ok(remote);
                }
                Err(error) => CliError::from(error),
            };
            self.tell(&error);
            if self.after_a_failure().await? == Again::Changed {
                self.datasource().await?;
                return self.remote.clone().ok_or(Halt::Left);
            }
        }
    }

    /// What was marked when this step was left, else what the profile has.
    async fn marked_before(&mut self, remote: &Arc<dyn Remote>) -> Vec<Marked> {
        if !self.progress.marked.is_empty() {
            return self.progress.marked.clone();
        }
        let mut marked = Vec::new();
        for choice in self.session.profile.folders.clone() {
            match found(remote, &choice).await {
                Ok(folders) => marked.extend(folders),
                // One that is gone cannot be shown as marked; the others can.
                Err(error) => self.tell(&error.into()),
            }
        }
        marked
    }
}

/// The folders given as flags, each found on the server.
pub(super) async fn given(remote: &Arc<dyn Remote>, texts: &[String]) -> Result<Vec<Marked>, Halt> {
    let mut marked = Vec::new();
    for text in texts {
        let choice = choose::FolderChoice::parse(text)?;
        marked.extend(marked_of(remote, choice, None).await?);
    }
    Ok(marked)
}

async fn found(remote: &Arc<dyn Remote>, choice: &FolderChoice) -> Result<Vec<Marked>, choose::ChooseError> {
    let place = FolderPlace::parse(&choice.folder)?;
    let wanted = choose::FolderChoice {
        place,
        alias: choice.alias.clone(),
    };
    marked_of(remote, wanted, choice.comment.as_deref()).await
}

/// The folder of one choice, as the picker marks it.
async fn marked_of(
    remote: &Arc<dyn Remote>,
    choice: choose::FolderChoice,
    comment: Option<&str>,
) -> Result<Vec<Marked>, choose::ChooseError> {
    let alias = choice.alias.clone();
    let path = match &choice.place {
        FolderPlace::Path(names) => Some(names.clone()),
        FolderPlace::Id(_) => comment.map(|path| path.split('/').map(str::to_owned).collect()),
    };
    let plain = choose::FolderChoice {
        alias: None,
        ..choice
    };
    let folders = choose(&**remote, &[plain]).await?;
    Ok(folders
        .into_iter()
        .map(|chosen| Marked {
            guid: chosen.folder.id.to_string(),
            path: path.clone().unwrap_or_else(|| vec![chosen.folder.name.clone()]),
            alias: alias.clone(),
        })
        .collect())
}

impl Marked {
    /// For the picker; `None` in a record that was edited by hand into something that is no GUID.
    pub(super) fn into_picked(self) -> Option<Picked> {
        let id = FolderId(self.guid.parse::<Guid>().ok()?);
        Some(Picked {
            id,
            path: self.path,
            alias: self.alias,
        })
    }

    /// As the profile has it: by GUID, which survives renames and tells twins apart, with the path for whoever reads
    /// the file.
    pub(super) fn as_choice(&self) -> FolderChoice {
        FolderChoice {
            folder: self.guid.clone(),
            alias: self.alias.clone(),
            comment: Some(self.path.join("/")),
        }
    }
}

impl From<Picked> for Marked {
    fn from(picked: Picked) -> Self {
        Self {
            guid: picked.id.to_string(),
            path: picked.path,
            alias: picked.alias,
        }
    }
}

fn summary(marked: &[Marked]) -> String {
    if marked.is_empty() {
        return "All root folders are shown.\n".to_owned();
    }
    let lines: Vec<String> = marked
        .iter()
        .map(|folder| {
            let path = folder.path.join("/");
            match &folder.alias {
                Some(alias) => format!("    {path}, as {alias}\n"),
                None => format!("    {path}\n"),
            }
        })
        .collect();
    format!("These folders are shown:\n{}", lines.concat())
}
