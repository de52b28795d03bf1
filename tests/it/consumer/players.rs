//! The mount and the consumer as processes that are killed and started again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Finished, Running, Stage, until};

/// The program: the one that was built with the test, or `PWFS`, such as a release build.
pub fn program() -> String {
    std::env::var("PWFS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pwfs").to_owned())
}

/// Where Python is, without whatever chooses one by the home directory; none where there is none.
pub fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let found = PYTHON.get_or_init(|| {
        let said = Command::new("python3")
            .args(["-c", "import sqlite3, sys; print(sys.executable)"])
            .output();
        let said = said.ok().filter(|said| said.status.success())?;
        Some(String::from_utf8(said.stdout).ok()?.trim().to_owned())
    });
    found.as_deref()
}

/// Runs the program to its end.
pub fn run(stage: &Stage, args: &[&str]) -> Finished {
    Running::spawn(stage.other_program(&program(), args)).finish()
}

/// A mount at `mnt` in the home of the stage; none where the login was lost.
pub fn mount(stage: &Stage) -> Option<Running> {
    let rules = [
        "--preset",
        "pipeline",
        "--metadata-ttl",
        "30ms",
        "--refresh-interval",
        "1s",
    ];
    let args = [&["mount"], &rules[..], &["mnt"]].concat();
    let mut running = Running::spawn(stage.other_program(&program(), &args));
    let line = running.wait_for_line(|line| line.contains("is mounted at") || line.starts_with("Error:"));
    if line.contains("the login has ended") {
        running.finish();
        return None;
    }
    assert!(line.contains("is mounted at"), "{line}");
    Some(running)
}

/// The consumer: where its things are, and its process, if it runs.
pub struct Consumer {
    script: PathBuf,
    pub copy: PathBuf,
    pub log: PathBuf,
    errors: PathBuf,
    child: Option<Child>,
}

impl Consumer {
    pub fn new(stage: &Stage, script: &Path) -> Self {
        let in_home = |name| stage.home.path().join(name);
        fs::create_dir(in_home("copy")).unwrap();
        Self {
            script: script.to_owned(),
            copy: in_home("copy"),
            log: in_home("consumer.out"),
            errors: in_home("consumer.err"),
            child: None,
        }
    }

    pub const fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it, with its words in its log.
    pub fn start(&mut self, stage: &Stage, flags: &[&str]) {
        let append = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        let (script, program) = (self.script.to_str().unwrap(), program());
        let args = [
            &[
                script,
                "mnt/Story",
                "copy",
                "--pwfs",
                &program,
                "--timeout",
                "60s",
            ],
            flags,
        ]
        .concat();
        let mut command = stage.other_program(python().unwrap(), &args);
        let child = command
            .stdout(append(&self.log))
            .stderr(append(&self.errors))
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// Waits until it says that it did something, or for as long as a story has time.
    pub fn wait_for_words(&self) {
        let length = || fs::metadata(&self.log).map_or(0, |file| file.len());
        let (before, enough) = (length(), Instant::now() + Duration::from_millis(600));
        while length() == before && Instant::now() < enough {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().unwrap().wait().unwrap();
    }

    /// Runs it until it has caught up; its exit status.
    pub fn catch_up(&mut self, stage: &Stage) -> Option<i32> {
        self.start(stage, &["--once"]);
        self.child.take().unwrap().wait().unwrap().code()
    }

    /// Has it stand still while `look` looks.
    pub fn while_stopped(&self, look: impl FnOnce()) {
        let Some(child) = &self.child else {
            return look();
        };
        let status = format!("/proc/{}/status", child.id());
        self.signal(Signal::STOP);
        let stopped = || {
            let text = fs::read_to_string(&status).unwrap();
            // A thread on its way through the kernel may come out of it first.
            text.contains("State:\tT") || text.contains("State:\tZ")
        };
        until("the consumer stands still", stopped);
        look();
        self.signal(Signal::CONT);
    }

    /// The last words on stderr.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
