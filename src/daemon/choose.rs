//! Finds the folders a person chose, by path or GUID, on the server.

use crate::model::{Entry, Folder, FolderId, Guid};
use crate::remote::{Progress, Remote, RemoteError};
use crate::tree::ChosenFolder;

/// A folder as a person names it: `PATH` or a GUID, and maybe `=ALIAS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderChoice {
    /// Where it is.
    pub place: FolderPlace,
    /// The name to show it by; its own where absent.
    pub alias: Option<String>,
}

/// Where a chosen folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderPlace {
    /// By GUID.
    Id(FolderId),
    /// By the raw names of its ancestors and itself.
    Path(Vec<String>),
}

/// Why a chosen folder cannot be mounted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChooseError {
    /// The path ends at a name that is not there.
    #[error("there is no folder {missing:?} in {place}", place = place(within))]
    NoSuchFolder {
        /// The name.
        missing: String,
        /// The path above it; empty for the datasource's root.
        within: String,
    },
    /// Two folders of this name are in one place.
    #[error("there are {count} folders {name:?} in one place; choose one by its GUID: {guids}")]
    Ambiguous {
        /// The name.
        name: String,
        /// How many.
        count: usize,
        /// Their GUIDs.
        guids: String,
    },
    /// The same folder twice: its files would have two homes and one identity.
    #[error("the folder {0} is chosen twice")]
    Twice(FolderId),
    /// The choice is empty.
    #[error("an empty folder name")]
    Empty,
    /// The server failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// A place as people call it.
fn place(path: &str) -> String {
    if path.is_empty() {
        "the root".to_owned()
    } else {
        format!("{path:?}")
    }
}

impl FolderChoice {
    /// Parses `PATH|GUID[=ALIAS]`, as the command line has it. A folder whose own name has a `=` is chosen by GUID.
    pub fn parse(text: &str) -> Result<Self, ChooseError> {
        let (place, alias) = match text.rsplit_once('=') {
            Some((place, alias)) if !alias.is_empty() => (place, Some(alias.to_owned())),
            Some(_) | None => (text, None),
        };
        Ok(Self {
            place: FolderPlace::parse(place)?,
            alias,
        })
    }
}

impl FolderPlace {
    /// Parses a path or a GUID. The path is split at `/`; a folder whose own name has one is chosen by GUID.
    pub fn parse(text: &str) -> Result<Self, ChooseError> {
        if let Ok(guid) = text.parse::<Guid>() {
            return Ok(Self::Id(FolderId(guid)));
        }
        let names: Vec<String> = text
            .split('/')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            Err(ChooseError::Empty)
        } else {
            Ok(Self::Path(names))
        }
    }
}

/// Finds all of `choices`.
pub async fn choose(remote: &dyn Remote, choices: &[FolderChoice]) -> Result<Vec<ChosenFolder>, ChooseError> {
    let mut chosen: Vec<ChosenFolder> = Vec::with_capacity(choices.len());
    for choice in choices {
        let mut folder = match &choice.place {
            FolderPlace::Id(id) => remote.folder(*id).await?,
            FolderPlace::Path(names) => walk(remote, names).await?,
        };
        if chosen.iter().any(|earlier| earlier.folder.id == folder.id) {
            return Err(ChooseError::Twice(folder.id));
        }
        if let Some(alias) = &choice.alias {
            folder.name.clone_from(alias);
        }
        chosen.push(ChosenFolder { folder });
    }
    Ok(chosen)
}

async fn walk(remote: &dyn Remote, names: &[String]) -> Result<Folder, ChooseError> {
    let mut level = remote.roots(&Progress::new()).await?;
    let mut found: Option<Folder> = None;
    for (depth, name) in names.iter().enumerate() {
        if let Some(parent) = &found {
            let entries = remote.list(parent.id, &Progress::new()).await?;
            level = entries
                .into_iter()
                .filter_map(|entry| match entry {
                    Entry::Folder(folder) => Some(folder),
                    Entry::Document(_) => None,
                })
                .collect();
        }
        found = Some(one(std::mem::take(&mut level), name, &names[..depth])?);
    }
    found.ok_or(ChooseError::Empty)
}

/// The one folder called `name`.
fn one(level: Vec<Folder>, name: &str, within: &[String]) -> Result<Folder, ChooseError> {
    let mut named: Vec<Folder> = level.into_iter().filter(|folder| folder.name == name).collect();
    match (named.pop(), named.is_empty()) {
        (Some(folder), true) => Ok(folder),
        (Some(folder), false) => {
            named.push(folder);
            let guids: Vec<_> = named.iter().map(|folder| folder.id.to_string()).collect();
            Err(ChooseError::Ambiguous {
                name: name.to_owned(),
                count: named.len(),
                guids: guids.join(", "),
            })
        }
        (None, _) => Err(ChooseError::NoSuchFolder {
            missing: name.to_owned(),
            within: within.join("/"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_path_or_a_guid_with_or_without_an_alias() {
        let path = FolderChoice::parse("/Bridge/Drawings/=Plans").unwrap();
        assert_eq!(
            path.place,
            FolderPlace::Path(vec!["Bridge".into(), "Drawings".into()])
        );
        assert_eq!(path.alias.as_deref(), Some("Plans"));
        let guid = FolderChoice::parse("9d8a7a70-254f-4494-bfe8-9c312e33a662").unwrap();
        assert!(matches!(guid.place, FolderPlace::Id(_)) && guid.alias.is_none());
        assert!(matches!(FolderChoice::parse("/"), Err(ChooseError::Empty)));
    }
}
