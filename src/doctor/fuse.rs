//! What a mount needs of this machine, and the mounts that are there.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::fuse::mountpoint::{self, Mounted, MountpointError};

use super::check::{Check, Id, Kind};

/// Where this machine keeps what FUSE needs; other places for tests.
#[derive(Debug, Clone)]
pub struct Places {
    /// The device.
    pub device: PathBuf,
    /// fusermount3's configuration.
    pub conf: PathBuf,
    /// Where fusermount3 is looked for.
    pub helpers: Vec<PathBuf>,
    /// The kernel's list of `AppArmor` profiles; often for root only.
    pub apparmor: PathBuf,
    /// The file that brings fusermount3's profile.
    pub apparmor_rules: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        // The directories are those the mount itself looks in.
        let helpers = ["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin"]
            .map(|dir| Path::new(dir).join("fusermount3"));
        Self {
            device: "/dev/fuse".into(),
            conf: "/etc/fuse.conf".into(),
            helpers: helpers.into(),
            apparmor: "/sys/kernel/security/apparmor/profiles".into(),
            apparmor_rules: "/etc/apparmor.d/fusermount3".into(),
        }
    }
}

/// What is wanted of a mount.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The directory.
    pub mountpoint: Option<PathBuf>,
    /// Whether other users are to be let in.
    pub allow_other: bool,
    /// This user's home directory.
    pub home: Option<PathBuf>,
}

/// All of them. Looks at the disk, and blocks for a few seconds at most.
pub(super) fn checks(places: &Places, wanted: &Wanted) -> Vec<Check> {
    let is_root = rustix::process::geteuid().is_root();
    let dir = wanted.mountpoint.as_deref();
    vec![
        look_at_device(places),
        helper(find_helper(&places.helpers).as_ref(), is_root),
        allow_other(fs::read_to_string(&places.conf), is_root, wanted.allow_other),
        apparmor(
            Confinement::look(places),
            dir.map(|dir| mountpoint::absolute(dir).unwrap_or_else(|_| dir.to_owned()))
                .as_deref(),
            wanted.home.as_deref(),
            is_root,
        ),
        match dir {
            None => Check::not_needed(Id::FuseMountpoint, "no directory was named (--mountpoint DIR)"),
            Some(dir) => look_at_mountpoint(dir),
        },
        others(living(mountpoint::ours())),
    ]
}

fn look_at_device(places: &Places) -> Check {
    let path = &places.device;
    let Ok(metadata) = fs::metadata(path) else {
        return device(path, None, Ok(()));
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.file_type().is_char_device() {
        return Check::fail(
            Id::FuseDevice,
            Kind::Failure,
            format!("{} is no device", path.display()),
        )
        .remedy("load the module: sudo modprobe fuse");
    }
    let opened = fs::OpenOptions::new().read(true).write(true).open(path);
    device(path, Some(mode), opened.map(drop))
}

/// `mode` is absent where there is no device.
fn device(path: &Path, mode: Option<u32>, opened: io::Result<()>) -> Check {
    let shown = path.display();
    let Some(mode) = mode else {
        return Check::fail(
            Id::FuseDevice,
            Kind::Failure,
            format!("this system has no FUSE: {shown} does not exist"),
        )
        .remedy("load the module: sudo modprobe fuse")
        .remedy("in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN");
    };
    let octal = format!("{mode:04o}");
    match opened {
        Ok(()) => Check::pass(
            Id::FuseDevice,
            format!("{shown} can be opened (its mode is {octal})"),
        ),
        Err(error) => Check::fail(
            Id::FuseDevice,
            Kind::Failure,
            format!("{shown} cannot be opened by this user (its mode is {octal}): {error}"),
        )
        .remedy(format!(
            "let every user open it, as distributions do: sudo chmod 0666 {shown}"
        ))
        .remedy("where a group owns it, join the group (`ls -l /dev/fuse` names it) and sign in to the machine anew"),
    }
    .detail("mode", octal)
}

/// A file, its owner and its mode.
type Found = (PathBuf, u32, u32);

fn find_helper(places: &[PathBuf]) -> Option<Found> {
    places.iter().find_map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((
            path.clone(),
            metadata.uid(),
            metadata.permissions().mode() & 0o7777,
        ))
    })
}

fn helper(found: Option<&Found>, is_root: bool) -> Check {
    /// Runs as its owner, whoever starts it.
    const SETUID: u32 = 0o4000;
    const INSTALL: &str = "install it: sudo apt install fuse3 (or your distribution's package of that name)";
    let id = Id::FuseHelper;
    match found {
        _ if is_root => Check::pass(id, "root mounts without it"),
        None => Check::fail(
            id,
            Kind::Failure,
            "fusermount3 is not installed, and only root can mount without it",
        )
        .remedy(INSTALL),
        Some((path, owner, mode)) if *owner == 0 && mode & SETUID != 0 => Check::pass(
            id,
            format!("{} is setuid root (its mode is {mode:04o})", path.display()),
        ),
        Some((path, owner, mode)) => Check::fail(
            id,
            Kind::Failure,
            format!(
                "{} is not setuid root (its owner is user {owner}, its mode {mode:04o}), so that only root can mount",
                path.display()
            ),
        )
        .remedy(format!("sudo chown root {0} && sudo chmod 4755 {0}", path.display()))
        .remedy("in a container: programs may be kept from gaining rights (no-new-privileges); mount as root there"),
    }
}

fn allow_other(conf: io::Result<String>, is_root: bool, wanted: bool) -> Check {
    let id = Id::FuseAllowOther;
    let is_set = conf.is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    let check = if is_root {
        Check::pass(id, "root may let others in")
    } else if is_set {
        Check::pass(
            id,
            "/etc/fuse.conf has user_allow_other, which --allow-other needs",
        )
    } else if wanted {
        Check::warn(
            id,
            "--allow-other is wanted, and /etc/fuse.conf has no line user_allow_other",
        )
        .remedy("add the line `user_allow_other` to /etc/fuse.conf, or leave out --allow-other")
    } else {
        Check::pass(id, "not set in /etc/fuse.conf, and not wanted")
    };
    check.detail("user_allow_other", is_set)
}

/// What is known of a profile that confines fusermount3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confinement {
    /// The kernel says that it is in force.
    Enforced,
    /// The kernel's list is closed to this user; the file that would load it is there.
    Likely,
    /// None.
    None,
}

impl Confinement {
    fn look(places: &Places) -> Self {
        Self::of(
            &fs::read_to_string(&places.apparmor),
            places.apparmor_rules.exists(),
        )
    }

    fn of(profiles: &io::Result<String>, has_rules: bool) -> Self {
        match profiles {
            // `fusermount3 (enforce)`; newer profiles are named by their path.
            Ok(text)
                if text
                    .lines()
                    .any(|line| line.contains("fusermount3") && line.contains("(enforce)")) =>
            {
                Self::Enforced
            }
            Ok(_) => Self::None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::None,
            Err(_) if has_rules => Self::Likely,
            Err(_) => Self::None,
        }
    }
}

/// Where the usual profile lets fusermount3 mount, below these and below home directories.
const OPEN_TO_MOUNTS: [&str; 5] = ["/mnt", "/media", "/tmp", "/cvmfs", "/run/user"];

fn apparmor(confinement: Confinement, dir: Option<&Path>, home: Option<&Path>, is_root: bool) -> Check {
    const WHERE: &str = "below your home, /mnt, /media or /tmp";
    let id = Id::FuseApparmor;
    let said = match confinement {
        _ if is_root => return Check::pass(id, "root mounts without fusermount3"),
        Confinement::None => return Check::pass(id, "no profile confines fusermount3"),
        Confinement::Enforced => "a profile confines fusermount3",
        Confinement::Likely => "a profile for fusermount3 is installed, and probably in force",
    };
    let is_open = |dir: &Path| {
        let below = |place: &Path| dir.starts_with(place) && dir != place;
        OPEN_TO_MOUNTS.iter().any(|place| dir.starts_with(place)) || home.is_some_and(below)
    };
    match dir {
        Some(dir) if !is_open(dir) => Check::warn(
            id,
            format!("{said}: it may keep it from mounting at {}", dir.display()),
        )
        .remedy(format!("choose a directory {WHERE}"))
        .remedy("or allow the place in /etc/apparmor.d/local/fusermount3 and reload: sudo apparmor_parser -r /etc/apparmor.d/fusermount3"),
        Some(_) => Check::pass(id, format!("{said}; the directory is where it lets one mount")),
        None => Check::pass(id, format!("{said}: it lets one mount {WHERE}")),
    }
    .detail("profile", match confinement {
        Confinement::Enforced => "enforced",
        Confinement::Likely => "installed",
        Confinement::None => "none",
    })
}

/// Looks, and unlike a mount leaves a dead one where it is.
fn look_at_mountpoint(dir: &Path) -> Check {
    let id = Id::FuseMountpoint;
    let path = match mountpoint::absolute(dir) {
        Ok(path) => path,
        Err(error) => return unfit(dir, &error),
    };
    let shown = path.display();
    match mountpoint::at(&path) {
        Err(error) => return unfit(&path, &error),
        Ok(Some(mounted)) if !mounted.is_ours() => {
            return unfit(
                &path,
                &MountpointError::Foreign {
                    path: path.clone(),
                    kind: mounted.kind,
                },
            );
        }
        Ok(Some(mounted)) if mounted.is_dead() => {
            return Check::warn(
                id,
                format!("a mount is left at {shown} whose process is gone; `pwfs mount` takes it off"),
            )
            .remedy(format!("or take it off now: pwfs unmount '{shown}'"));
        }
        Ok(Some(_)) => return unfit(&path, &MountpointError::AlreadyMounted(path.clone())),
        Ok(None) => {}
    }
    let io = |source| MountpointError::Io {
        path: path.clone(),
        source,
    };
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return unfit(&path, &MountpointError::Missing(path.clone()));
        }
        Err(error) => return unfit(&path, &io(error)),
    };
    if !metadata.is_dir() {
        return unfit(&path, &MountpointError::NotDirectory(path.clone()));
    }
    match fs::read_dir(&path).map(|mut entries| entries.next().is_some()) {
        Ok(false) => {}
        Ok(true) => return unfit(&path, &MountpointError::NotEmpty(path.clone())),
        Err(error) => return unfit(&path, &io(error)),
    }
    // fusermount3 refuses a directory its caller may not write to.
    if rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_err() {
        return Check::fail(
            id,
            Kind::Failure,
            format!("{shown} may not be written to by this user"),
        )
        .remedy("choose a directory of your own: fusermount3 mounts on no other");
    }
    Check::pass(id, format!("{shown} is there, empty and this user's"))
}

fn unfit(path: &Path, error: &MountpointError) -> Check {
    let check = Check::fail(Id::FuseMountpoint, Kind::Failure, error.to_string());
    match error {
        MountpointError::Missing(_) => check.remedy(format!("make it: mkdir -p '{}'", path.display())),
        MountpointError::AlreadyMounted(_) => {
            check.remedy(format!("`pwfs unmount '{}'` ends it", path.display()))
        }
        MountpointError::NotDirectory(_) | MountpointError::NotEmpty(_) | MountpointError::Foreign { .. } => {
            check.remedy("choose an empty directory")
        }
        MountpointError::NoDevice
        | MountpointError::DeviceClosed { .. }
        | MountpointError::NoHelper
        | MountpointError::Io { .. } => check.remedy("choose another directory"),
    }
}

/// Each mount, and whether its process is gone. All are asked at once: one that is silent takes two seconds.
fn living(mounts: io::Result<Vec<Mounted>>) -> io::Result<Vec<(Mounted, bool)>> {
    let mounts = mounts?;
    Ok(std::thread::scope(|scope| {
        let asked: Vec<_> = mounts
            .into_iter()
            .map(|mounted| {
                scope.spawn(move || {
                    let is_dead = mounted.is_dead();
                    (mounted, is_dead)
                })
            })
            .collect();
        // A thread that cannot tell is no proof of a dead mount; the mount is then not told of.
        asked.into_iter().filter_map(|asked| asked.join().ok()).collect()
    }))
}

fn others(mounts: io::Result<Vec<(Mounted, bool)>>) -> Check {
    let id = Id::MountsOthers;
    let mounts = match mounts {
        Ok(mounts) => mounts,
        Err(error) => {
            return Check::warn(id, format!("the list of mounts cannot be read: {error}"))
                .remedy("mount /proc, where programs look for it");
        }
    };
    let rows: Vec<_> = mounts
        .iter()
        .map(|(mounted, is_dead)| {
            serde_json::json!({
                "mountpoint": mounted.path.display().to_string(),
                "source": mounted.source,
                "state": if *is_dead { "dead" } else { "mounted" },
            })
        })
        .collect();
    let dead: Vec<_> = mounts.iter().filter(|(_, is_dead)| *is_dead).collect();
    let check = match (mounts.len(), dead.as_slice()) {
        (0, _) => Check::pass(id, "there are none"),
        (1, []) => Check::pass(id, "one is there, and answers"),
        (count, []) => Check::pass(id, format!("{count} are there, and all answer")),
        (_, dead) => {
            let places: Vec<_> = dead
                .iter()
                .map(|(mounted, _)| mounted.path.display().to_string())
                .collect();
            // It is in nobody's way but of who looks there: what is examined may be in perfect order.
            Check::warn(
                id,
                format!(
                    "the process behind {} is gone; whoever looks there gets an error",
                    places.join(", ")
                ),
            )
            .remedies(places.iter().map(|place| format!("pwfs unmount '{place}'")))
        }
    };
    check.detail("mounts", rows)
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    fn denied() -> io::Error {
        io::Error::from(io::ErrorKind::PermissionDenied)
    }

    #[track_caller]
    fn is(check: &Check, outcome: Outcome, words: &str) {
        let text = format!("{} {}", check.finding, check.remedy.join(" "));
        assert_eq!(check.outcome, outcome, "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!(
            check.kind.is_some(),
            outcome == Outcome::Fail,
            "a failure has a kind, nothing else has"
        );
    }

    #[test]
    fn a_device_that_is_missing_or_closed_is_told_with_its_mode() {
        let path = Path::new("/dev/fuse");
        is(&device(path, Some(0o666), Ok(())), Outcome::Pass, "0666");
        is(
            &device(path, Some(0o600), Err(denied())),
            Outcome::Fail,
            "sudo chmod 0666",
        );
        is(&device(path, None, Ok(())), Outcome::Fail, "modprobe fuse");
        let dir = tempfile::tempdir().unwrap();
        let places = |device: &Path| Places {
            device: device.to_owned(),
            ..Places::default()
        };
        is(
            &look_at_device(&places(&dir.path().join("fuse"))),
            Outcome::Fail,
            "does not exist",
        );
        is(&look_at_device(&places(dir.path())), Outcome::Fail, "no device");
    }

    #[test]
    fn an_ordinary_user_needs_a_setuid_helper_and_root_none() {
        let at = |owner, mode| Some((PathBuf::from("/usr/bin/fusermount3"), owner, mode));
        is(&helper(at(0, 0o4755).as_ref(), false), Outcome::Pass, "4755");
        is(&helper(at(0, 0o755).as_ref(), false), Outcome::Fail, "chmod 4755");
        is(
            &helper(at(1000, 0o4755).as_ref(), false),
            Outcome::Fail,
            "chown root",
        );
        is(&helper(None, false), Outcome::Fail, "apt install fuse3");
        is(&helper(None, true), Outcome::Pass, "root");
    }

    #[test]
    fn user_allow_other_is_missed_only_where_it_is_wanted() {
        let conf = |text: &str| Ok(text.to_owned());
        is(
            &allow_other(conf("#user_allow_other\n"), false, false),
            Outcome::Pass,
            "not wanted",
        );
        is(
            &allow_other(conf("#user_allow_other\n"), false, true),
            Outcome::Warn,
            "add the line",
        );
        is(
            &allow_other(conf("mount_max = 9\nuser_allow_other\n"), false, true),
            Outcome::Pass,
            "has user_allow_other",
        );
        is(
            &allow_other(Err(denied()), false, true),
            Outcome::Warn,
            "add the line",
        );
        is(&allow_other(Err(denied()), true, true), Outcome::Pass, "root");
    }

    #[test]
    fn a_confined_helper_is_told_where_the_directory_is_elsewhere() {
        let of = Confinement::of;
        let profiles = |text: &str| Ok(text.to_owned());
        assert_eq!(
            of(&profiles("man_groff (enforce)\nfusermount3 (enforce)\n"), false),
            Confinement::Enforced
        );
        assert_eq!(of(&profiles("fusermount3 (complain)\n"), true), Confinement::None);
        assert_eq!(of(&Err(denied()), true), Confinement::Likely);
        assert_eq!(of(&Err(io::ErrorKind::NotFound.into()), true), Confinement::None);

        let home = Some(Path::new("/home/ann"));
        let at = |dir: &'static str| Some(Path::new(dir));
        let enforced = Confinement::Enforced;
        is(&apparmor(enforced, None, home, false), Outcome::Pass, "/media");
        is(
            &apparmor(enforced, at("/home/ann/pw"), home, false),
            Outcome::Pass,
            "lets one mount",
        );
        is(
            &apparmor(enforced, at("/mnt/pw"), home, false),
            Outcome::Pass,
            "lets one mount",
        );
        is(
            &apparmor(enforced, at("/srv/pw"), home, false),
            Outcome::Warn,
            "choose a directory",
        );
        is(
            &apparmor(enforced, at("/srv/pw"), home, true),
            Outcome::Pass,
            "root",
        );
        is(
            &apparmor(Confinement::None, at("/srv/pw"), home, false),
            Outcome::Pass,
            "no profile",
        );
    }

    #[test]
    fn a_directory_is_looked_at_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        is(&look_at_mountpoint(dir.path()), Outcome::Pass, "empty");
        is(
            &look_at_mountpoint(&dir.path().join("not-there")),
            Outcome::Fail,
            "mkdir -p",
        );
        fs::write(dir.path().join("kept"), "x").unwrap();
        is(
            &look_at_mountpoint(dir.path()),
            Outcome::Fail,
            "choose an empty directory",
        );
        is(
            &look_at_mountpoint(&dir.path().join("kept")),
            Outcome::Fail,
            "not a directory",
        );
        is(
            &look_at_mountpoint(Path::new("/proc")),
            Outcome::Fail,
            "another file system",
        );
    }

    #[test]
    fn a_dead_mount_is_warned_of_and_a_living_one_is_not() {
        let mounted = |path: &str| Mounted {
            path: path.into(),
            kind: "fuse.projectwise".to_owned(),
            source: "projectwise:h".to_owned(),
            device: "0:1".to_owned(),
        };
        is(&others(Ok(Vec::new())), Outcome::Pass, "none");
        is(
            &others(Ok(vec![(mounted("/a"), false)])),
            Outcome::Pass,
            "one is there",
        );
        is(
            &others(Ok(vec![(mounted("/a"), false), (mounted("/b"), true)])),
            Outcome::Warn,
            "pwfs unmount '/b'",
        );
        is(&others(Err(denied())), Outcome::Warn, "cannot be read");
    }
}
