//! A terminal with a person at it: the program under tmux, keys in, the screen out.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// No screen takes so long to come, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One terminal, with one program in it.
pub struct Terminal {
    /// The socket of a tmux server of its own, and the pipe its output goes through.
    dir: TempDir,
    /// A message for whatever the program writes.
    written: Receiver<()>,
}

/// True where tmux is installed; with `REQUIRE_FUSE`, as in CI, it has to be.
pub fn tmux_is_here() -> bool {
    let here = Command::new("tmux").arg("-V").output().is_ok();
    assert!(
        here || std::env::var_os("REQUIRE_FUSE").is_none(),
        "tmux is needed: install it"
    );
    if !here {
        eprintln!("skipped: tmux is not installed");
    }
    here
}

impl Terminal {
    /// Runs `command`, a line of shell, in a terminal of `columns` by `rows`.
    pub fn run(command: &str, home: &Path, (columns, rows): (u16, u16)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("written");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let (tell, written) = channel();
        let pipe = fifo.clone();
        thread::spawn(move || {
            // Opens when tmux opens the other end, and ends with the terminal.
            let Ok(mut pipe) = fs::File::open(pipe) else {
                return;
            };
            let mut chunk = [0; 4096];
            while let Ok(length) = pipe.read(&mut chunk) {
                if length == 0 || tell.send(()).is_err() {
                    return;
                }
            }
        });
        let terminal = Self { dir, written };
        let size = [columns.to_string(), rows.to_string()];
        // The shell waits until the screen is watched, so that nothing is missed; the status is shown in the end.
        let line = format!("read -r go; clear; {command}; echo \"[ended: $?]\"; read -r go");
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &size[0],
            "-y",
            &size[1],
            "-c",
            home.to_str().unwrap(),
            "sh",
            "-c",
            &line,
        ]);
        terminal.tmux(&["pipe-pane", "-O", &format!("cat > '{}'", fifo.display())]);
        terminal.press("Enter");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.dir.path().join("tmux"))
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What is on the screen, and the lines that scrolled off it.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-2000"])
    }

    /// What is on the screen.
    pub fn visible(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Presses a key by tmux's name for it (`Enter`, `Escape`, `Down`, `Space`, `C-c`).
    pub fn press(&self, key: &str) -> &Self {
        self.tmux(&["send-keys", key]);
        self
    }

    /// Types `text` as it is.
    pub fn types(&self, text: &str) -> &Self {
        self.tmux(&["send-keys", "-l", text]);
        self
    }

    /// Types `text` and presses Enter.
    pub fn answers(&self, text: &str) -> &Self {
        if !text.is_empty() {
            self.types(text);
        }
        self.press("Enter")
    }

    /// Waits until the screen fits.
    #[track_caller]
    pub fn until(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if fits(&screen) {
                return screen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.written.recv_timeout(left) {
                // More may have come at once; one look is enough for all of it.
                Ok(()) => while self.written.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => panic!("no {what} on the screen:\n{screen}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the terminal ended, without {what}:\n{screen}")
                }
            }
        }
    }

    /// Waits until `text` is on the visible screen.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        self.until(text, |_| self.visible().contains(text));
        // Not what was there before: the last lines may have come in between.
        self.screen()
    }

    /// Waits for the end of the program; its exit status.
    #[track_caller]
    pub fn ends(&self) -> (i32, String) {
        let screen = self.until("end", |screen| screen.contains("[ended: "));
        let status = screen
            .rsplit_once("[ended: ")
            .and_then(|(_, rest)| rest.split(']').next()?.parse().ok())
            .unwrap();
        (status, screen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves its program to the terminal's hangup.
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(self.dir.path().join("tmux"))
            .arg("kill-server")
            .output();
    }
}
