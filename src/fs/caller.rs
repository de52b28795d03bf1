//! Who makes a call, and which program that is, as `/proc` tells.
//!
//! Finding out is simple until you consider that:
//! 1. the kernel names a thread, and threads have names of their own;
//! 2. names are cut at 15 bytes (`proc_pid_comm(5)`), and a script goes by the name of its file while it is run by an interpreter;
//! 3. KDE's workers are one program whatever they do, and only their first argument tells;
//! 4. the arguments of a process are in its memory, and to read them is to wait for a lock of that memory. The process may
//!    hold that lock, and wait for us.
//!
//! So all names are told, and rules are compared with each of them: 1 and 2. Arguments are read of such workers alone: 3. It
//! is asked on a thread that may wait, by whoever has an end: 4.

use std::fs;
use std::path::Path;

/// Bytes a name has at most in `/proc/PID/comm` (`TASK_COMM_LEN` less its NUL).
pub(super) const SHORT: usize = 15;

/// Programs that are told apart only by their first argument.
const WORKERS: [&str; 3] = ["kioslave", "kioslave5", "kioworker"];

/// The longest beginning of a command line that is looked at.
const COMMAND_LINE: u64 = 4096;

/// Who makes a call, as the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The thread; 0 where it is of another pid namespace, or nobody knows.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

impl Caller {
    /// Nobody knows who.
    pub const UNKNOWN: Self = Self {
        pid: 0,
        uid: u32::MAX,
    };
}

/// A running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// What to call it.
    pub(super) shown: String,
    /// The names that are whole.
    pub(super) whole: Vec<String>,
    /// The names that were cut, where they had more than [`SHORT`] bytes.
    pub(super) cut: Vec<String>,
}

/// When a thread began, in ticks since the start of the machine: with its number it is never met again.
pub(super) fn born(proc: &Path, pid: u32) -> Option<u64> {
    let stat = fs::read(proc.join(format!("{pid}/stat"))).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name stands in parentheses, and may hold some itself. Of what follows, the start is the 20th field.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// The program a thread belongs to; `None` where it has ended, or may not be looked at.
///
/// Blocks: for longer than a moment only where arguments are looked at.
pub(super) fn program(proc: &Path, pid: u32) -> Option<Program> {
    let text = |path: String| {
        let bytes = fs::read(proc.join(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
    };
    let thread = text(format!("{pid}/comm"))?;
    let process = text(format!("{pid}/status"))
        .and_then(|status| {
            let id = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
            id.trim().parse::<u32>().ok()
        })
        .unwrap_or(pid);
    let name = text(format!("{process}/comm")).unwrap_or_else(|| thread.clone());
    let file = fs::read_link(proc.join(format!("{process}/exe")))
        .ok()
        .and_then(|path| file_name(&path.to_string_lossy()));

    let mut cut = vec![name.clone()];
    if thread != name {
        cut.push(thread);
    }
    let mut whole = Vec::new();
    if let Some(file) = file {
        // Then it is the same name, and no more of it need be guessed.
        cut.retain(|name| !file.as_bytes().starts_with(name.as_bytes()) || name.len() != SHORT);
        if WORKERS.contains(&file.as_str()) {
            whole.extend(first_argument(proc, process));
        }
        whole.push(file);
    } else if WORKERS.contains(&name.as_str()) {
        whole.extend(first_argument(proc, process));
    }
    Some(Program {
        shown: name,
        whole,
        cut,
    })
}

/// The last part of a path; a file that was replaced meanwhile is marked as deleted.
fn file_name(path: &str) -> Option<String> {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let (_, name) = path.rsplit_once('/')?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

fn first_argument(proc: &Path, process: u32) -> Option<String> {
    let file = fs::File::open(proc.join(format!("{process}/cmdline"))).ok()?;
    let mut line = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, COMMAND_LINE), &mut line).ok()?;
    let argument = line.split(|byte| *byte == 0).nth(1)?;
    file_name(&String::from_utf8_lossy(argument))
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Puts a thread of a process into a made-up `/proc`.
    pub(in crate::fs) fn stage(proc: &Path, pid: u32, name: &str, exe: &str, argument: &str) {
        let dir = proc.join(pid.to_string());
        // What stood there before has ended.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let comm = name.get(..SHORT).unwrap_or(name);
        fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(dir.join("status"), format!("Name:\tx\nTgid:\t{pid}\n")).unwrap();
        fs::write(dir.join("cmdline"), format!("{exe}\0{argument}\0")).unwrap();
        begin(proc, pid, 77);
        if !exe.is_empty() {
            symlink(exe, dir.join("exe")).unwrap();
        }
    }

    /// Lets it have begun at another time.
    pub(in crate::fs) fn begin(proc: &Path, pid: u32, ticks: u64) {
        let before = "S 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0";
        let stat = format!("{pid} (a) (b c) {before} {ticks} 0 0\n");
        fs::write(proc.join(format!("{pid}/stat")), stat).unwrap();
    }

    #[test]
    fn a_program_is_known_by_its_names_whole_and_cut() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        stage(
            proc,
            10,
            "evince-thumbnailer",
            "/usr/bin/evince-thumbnailer (deleted)",
            "",
        );
        let found = program(proc, 10).unwrap();
        assert_eq!(found.shown, "evince-thumbnai");
        assert_eq!(found.whole, ["evince-thumbnailer"]);
        assert_eq!(found.cut, [""; 0], "nothing is left to be guessed");
        // A script, and one that may not be looked at.
        stage(proc, 11, "gnome-thumbnail-font", "/usr/bin/python3.11", "");
        let found = program(proc, 11).unwrap();
        assert_eq!(
            (found.whole, found.cut),
            (vec!["python3.11".to_owned()], vec!["gnome-thumbnail".to_owned()])
        );
        stage(proc, 12, "updatedb", "", "");
        assert_eq!(program(proc, 12).unwrap().cut, ["updatedb"]);
        assert_eq!(program(proc, 13), None);
        assert_eq!((born(proc, 10), born(proc, 13)), (Some(77), None));
    }

    #[test]
    fn a_thread_is_known_by_its_process_and_a_worker_by_its_work() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        stage(proc, 20, "tumblerd", "/usr/lib/tumbler-1/tumblerd", "");
        stage(proc, 21, "pool-3", "", "");
        fs::write(proc.join("21/status"), "Name:\tpool-3\nTgid:\t20\n").unwrap();
        let found = program(proc, 21).unwrap();
        assert_eq!(found.shown, "tumblerd");
        assert_eq!(found.whole, ["tumblerd"]);
        assert_eq!(found.cut, ["tumblerd", "pool-3"]);
        for (work, name) in [("thumbnail.so", "thumbnail.so"), ("file.so", "file.so")] {
            stage(
                proc,
                22,
                "kioworker",
                "/usr/libexec/kf6/kioworker",
                &format!("/usr/lib/kio/{work}"),
            );
            assert_eq!(program(proc, 22).unwrap().whole, [name, "kioworker"]);
        }
        // Nobody else's arguments are looked at.
        stage(proc, 23, "cat", "/usr/bin/cat", "/mnt/thumbnail.so");
        assert_eq!(program(proc, 23).unwrap().whole, ["cat"]);
    }

    #[test]
    fn a_thread_of_this_process_is_found() {
        let id = std::process::id();
        let found = program(Path::new("/proc"), id).unwrap();
        assert!(!found.whole.is_empty(), "{found:?}");
        assert!(born(Path::new("/proc"), id) > Some(0));
    }
}
