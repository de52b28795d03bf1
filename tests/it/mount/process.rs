//! The real binary: `pwfs demo` as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};

use super::{ForcedUnmount, PATIENCE, blocking};

/// A running `pwfs demo`. Killed, and its mount taken away, when a test ends early.
pub(super) struct Demo {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    pub(super) mountpoint: PathBuf,
    _forced: ForcedUnmount,
}

impl Demo {
    /// Starts the demo on `mnt` in `dir`, and waits until it says that it is mounted.
    pub(super) async fn start(dir: &Path) -> Self {
        let mountpoint = dir.join("mnt");
        let mut command = pwfs(dir);
        command.args(["demo", "--documents", "120"]).arg(&mountpoint);
        blocking(move || {
            let mut child = command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let stdout = BufReader::new(child.stdout.take().unwrap());
            let mut demo = Self {
                child: Some(child),
                stdout,
                _forced: ForcedUnmount(mountpoint.clone()),
                mountpoint,
            };
            let mut line = String::new();
            while !line.starts_with("Press Ctrl-C") {
                line.clear();
                if demo.stdout.read_line(&mut line).unwrap() == 0 {
                    let mut said = String::new();
                    let child = demo.child.as_mut().unwrap();
                    child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
                    panic!("the demo ended early: {said}");
                }
            }
            demo
        })
        .await
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; returns how it ended, and what it said on stdout since it was mounted, and on stderr.
    pub(super) async fn wait(mut self) -> (ExitStatus, String, String) {
        let mut child = self.child.take().unwrap();
        let pid = Pid::from_child(&child);
        let ended = blocking_with_end(pid, move || {
            let (mut out, mut err) = (String::new(), String::new());
            // It writes a few lines, so neither pipe fills while the other is read.
            self.stdout.read_to_string(&mut out).unwrap();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            (child.wait().unwrap(), out, err)
        });
        ended.await
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits with an end: a process that does not finish in time is killed, and the test fails.
pub(super) async fn blocking_with_end<T: Send + 'static>(
    pid: Pid,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let mut work = tokio::task::spawn_blocking(work);
    match tokio::time::timeout(PATIENCE, &mut work).await {
        Ok(done) => done.unwrap(),
        Err(_) => {
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
            panic!("process {pid:?} did not end");
        }
    }
}

/// The binary, with `dir` for everything it keeps.
pub(super) fn pwfs(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pwfs"));
    command
        .env("HOME", dir)
        .env("TMPDIR", dir)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    for variable in [
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR",
    ] {
        command.env_remove(variable);
    }
    command
}

/// The line of `/proc/self/mountinfo` about this mount point.
pub(super) fn mountinfo(mountpoint: &Path) -> Option<String> {
    let wanted = mountpoint.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some(wanted))
        .map(str::to_owned)
}
