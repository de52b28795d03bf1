//! Where document contents are kept: may this user write there, and is there room?

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::check::{Check, Id, Kind};

/// The cache leaves so much of the disk free (1 GiB, as it says of itself): with less it keeps nothing.
const FLOOR: u64 = 1 << 30;
/// Room for a few drawings beside it.
const COMFORT: u64 = 2 << 30;

/// Both checks. Blocks.
pub(super) fn checks(dir: &Path) -> Vec<Check> {
    let existing = nearest(dir);
    let directory = directory(dir, existing);
    let space = existing.map_or_else(
        || Check::waits(Id::CacheSpace, Id::CacheDirectory),
        |existing| match rustix::fs::statvfs(existing) {
            Ok(numbers) => space(numbers.f_bavail.saturating_mul(numbers.f_frsize)),
            Err(error) => Check::warn(Id::CacheSpace, format!("the free space is not told: {error}"))
                .remedy("keep the cache elsewhere (PWFS_CACHE_DIR)"),
        },
    );
    vec![directory, space]
}

/// The directory itself, or the closest one above it that exists.
fn nearest(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|path| path.exists())
}

fn directory(dir: &Path, existing: Option<&Path>) -> Check {
    let id = Id::CacheDirectory;
    let shown = dir.display();
    let failed = |why: String| {
        Check::fail(id, Kind::Failure, why).remedy(
            "make it this user's own, or keep the cache elsewhere: --cache-dir DIR, or PWFS_CACHE_DIR",
        )
    };
    let Some(existing) = existing else {
        return failed(format!("{shown} cannot be made: nothing above it exists"));
    };
    let metadata = match fs::metadata(existing) {
        Ok(metadata) => metadata,
        Err(error) => return failed(format!("{} cannot be looked at: {error}", existing.display())),
    };
    if !metadata.is_dir() {
        return failed(format!("{} is not a directory", existing.display()));
    }
    if let Err(error) = writable(existing) {
        return failed(format!("{} cannot be written to: {error}", existing.display()));
    }
    if existing != dir {
        return Check::pass(id, format!("{shown} does not exist yet, and can be made"));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let octal = format!("{mode:04o}");
    // Documents are this account's to see, and nobody else's.
    if mode & 0o077 != 0 {
        return Check::warn(id, format!("others may look into {shown} (its mode is {octal})"))
            .remedy(format!("chmod 0700 '{shown}'"))
            .detail("mode", octal);
    }
    Check::pass(id, format!("{shown} (its mode is {octal})")).detail("mode", octal)
}

fn writable(dir: &Path) -> io::Result<()> {
    use rustix::fs::Access;
    Ok(rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)?)
}

fn space(free: u64) -> Check {
    let id = Id::CacheSpace;
    let check = if free < FLOOR {
        Check::warn(
            id,
            format!(
                "{} are free: nothing is kept while it is less than {}",
                size(free),
                size(FLOOR)
            ),
        )
        .remedy("make room, or keep the cache on another disk: --cache-dir DIR, or PWFS_CACHE_DIR")
        .remedy("until then documents are fetched anew each time they are read")
    } else if free < COMFORT {
        Check::warn(
            id,
            format!(
                "{} are free, of which {} stay so: little is kept",
                size(free),
                size(FLOOR)
            ),
        )
        .remedy("make room, or keep the cache on another disk: --cache-dir DIR, or PWFS_CACHE_DIR")
    } else {
        Check::pass(id, format!("{} are free", size(free)))
    };
    check.detail("free_bytes", free)
}

/// In MiB or GiB, cut.
fn size(bytes: u64) -> String {
    if bytes >= 1 << 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[track_caller]
    fn is(check: &Check, outcome: Outcome, words: &str) {
        let text = format!("{} {}", check.finding, check.remedy.join(" "));
        assert_eq!(check.outcome, outcome, "{text}");
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn a_cache_directory_is_private_writable_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        let look = |path: &Path| directory(path, nearest(path));
        is(&look(path), Outcome::Pass, "0700");
        is(&look(&path.join("a/b")), Outcome::Pass, "can be made");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        is(&look(path), Outcome::Warn, "chmod 0700");
        fs::write(path.join("file"), "x").unwrap();
        is(&look(&path.join("file")), Outcome::Fail, "not a directory");
        is(&look(&path.join("file/below")), Outcome::Fail, "not a directory");
        is(
            &directory(Path::new("relative"), None),
            Outcome::Fail,
            "--cache-dir",
        );
        assert_eq!(checks(path).len(), 2);
    }

    #[test]
    fn too_little_room_is_a_warning_with_numbers() {
        is(&space(500 << 20), Outcome::Warn, "500 MiB");
        is(&space(3 << 29), Outcome::Warn, "little is kept");
        is(&space(50 << 30), Outcome::Pass, "50 GiB");
    }
}
