//! What commands read beside a running mount: its catalog and its journal.

use std::path::Path;

use super::failure::{CliError, Code, ErrorKind};
use crate::catalog::{Catalog, CatalogError};
use crate::daemon::beside::{self, Beside, Located, NotTold};
use crate::explain::gather::Kept;
use crate::explain::{Freshness, MountFacts};
use crate::fuse::mountpoint::Mounted;

/// A mount, with what is beside it opened for reading.
pub(super) struct Open {
    pub(super) mounted: Mounted,
    pub(super) beside: Beside,
    pub(super) catalog: Catalog,
}

impl Open {
    /// What there is to explain of it.
    pub(super) fn kept(&self) -> Kept<'_> {
        let beside = &self.beside;
        let about = self.catalog.about().ok();
        Kept {
            catalog: &self.catalog,
            root: beside.root,
            mount: MountFacts {
                mountpoint: Some(self.mounted.path.display().to_string()),
                profile: beside.profile.clone(),
                login: beside.login.clone(),
                account: about.as_ref().map(|about| about.account.clone()),
                datasource: about.map(|about| about.datasource),
                catalog: Some(beside.catalog_dir.display().to_string()),
                freshness: beside.rules.map(|rules| Freshness {
                    metadata_ttl: rules.metadata_ttl,
                    max_stale: rules.max_stale,
                    permission_ttl: rules.permission_ttl,
                }),
            },
        }
    }
}

/// The mount that `path` is below. Blocks.
pub(super) fn locate(path: &Path) -> Result<Located, CliError> {
    let found = beside::locate(path).map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
    found.ok_or_else(|| {
        let nowhere = format!("{} is not in a mount of pwfs", path.display());
        CliError::new(ErrorKind::Failure, nowhere)
            .code(Code::MountNone)
            .hint("`pwfs mounts` lists what is mounted")
    })
}

/// Opens what is beside a mount. Blocks for at most a few seconds.
pub(super) fn open(mounted: Mounted) -> Result<Open, CliError> {
    let beside = beside::ask(&mounted.path).map_err(|error| not_told(&mounted.path, error))?;
    let catalog =
        Catalog::read_only(&beside.catalog_dir, &beside.journal_file).map_err(|error| unreadable(&error))?;
    Ok(Open {
        mounted,
        beside,
        catalog,
    })
}

fn not_told(path: &Path, error: NotTold) -> CliError {
    let path = path.display();
    let kind = match error {
        NotTold::Closed => ErrorKind::Login,
        NotTold::Dead | NotTold::Silent | NotTold::NoCatalog => ErrorKind::Failure,
    };
    let failure = CliError::of(kind, &error)
        .while_doing(format!("the mount at {path} does not tell where its catalog is"))
        .code(Code::MountNoCatalog);
    match error {
        NotTold::Dead => failure.hint("clear it with `pwfs unmount`, then mount again"),
        NotTold::Silent => failure.hint("end its process, or wait until it answers again"),
        NotTold::Closed => failure.hint("ask as the user who mounted it"),
        NotTold::NoCatalog => failure.hint("its log says why; the cache directory must be on a local disk"),
    }
}

/// A catalog or journal that cannot be read.
pub(super) fn unreadable(error: &CatalogError) -> CliError {
    CliError::of(ErrorKind::Failure, error)
        .while_doing("what is kept of the server cannot be read")
        .code(Code::CatalogUnreadable)
        .hint("only the user who mounted may read it")
}
