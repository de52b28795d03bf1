//! The real program, run as a person runs it: a home directory of its own, an embedded server, a browser.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use pwfs::demo::{DemoOptions, DemoServer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;

use crate::harness::small;

/// No step of a test takes so long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server and a home directory to run the program in.
///
/// Its tests are plain functions: the server has a runtime of its own, and the program is waited for.
pub struct Stage {
    // Dropped before the runtime it runs on.
    pub server: DemoServer,
    pub home: TempDir,
    /// The program runs as nobody, and the home directory is nobody's; for tests that root runs.
    as_nobody: bool,
    _runtime: Runtime,
}

/// The user and group of least rights.
const NOBODY: u32 = 65_534;

impl Stage {
    pub fn new() -> Self {
        Self::with(small())
    }

    pub fn with(options: DemoOptions) -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(DemoServer::start(options)).unwrap();
        let home = tempfile::tempdir().unwrap();
        Self {
            server,
            home,
            as_nobody: false,
            _runtime: runtime,
        }
    }

    /// A stage whose program runs as an ordinary user; the test must run as root.
    pub fn of_nobody() -> Self {
        let mut stage = Self::new();
        std::os::unix::fs::chown(stage.home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        stage.as_nobody = true;
        stage
    }

    /// A stage whose profile is signed in and names the datasource.
    pub fn signed_in(options: DemoOptions) -> Self {
        let stage = Self::with(options);
        stage.sign_in();
        stage
    }

    /// Signs in with the native app, and has the profile name the datasource.
    pub fn sign_in(&self) {
        self.login(&self.native_app()).succeeds();
        let path = self.config_file();
        // A new profile is the last table of the file.
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            format!("{text}datasource = {:?}\n", self.server.datasource_url()),
        )
        .unwrap();
    }

    pub fn config_file(&self) -> PathBuf {
        self.home.path().join(".config/pwfs/config.toml")
    }

    pub fn login_file(&self) -> PathBuf {
        self.home
            .path()
            .join(".local/state/pwfs/credentials/default.json")
    }

    /// A field of the stored login.
    pub fn stored(&self, field: &str) -> String {
        let record: Value = serde_json::from_slice(&fs::read(self.login_file()).unwrap()).unwrap();
        record[field].as_str().unwrap().to_owned()
    }

    /// Every file below the home directory.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.home.path().to_owned()];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    found.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    /// The flags that name the demo's native app; the port of the way back is whatever is free.
    pub fn native_app(&self) -> Vec<String> {
        self.app(&self.server.native_client_id())
    }

    /// The flags that name the demo's web app.
    pub fn web_app(&self) -> Vec<String> {
        self.app(&self.server.web_client().0)
    }

    fn app(&self, client_id: &str) -> Vec<String> {
        let issuer = self.server.issuer();
        let flags = [
            "--client-id",
            client_id,
            "--issuer",
            &issuer,
            "--redirect-uri",
            "http://localhost:0/signin-callback",
        ];
        flags.map(str::to_owned).into()
    }

    /// The program with these arguments.
    pub fn command<A: AsRef<str>>(&self, args: &[A]) -> Command {
        self.other_program(env!("CARGO_BIN_EXE_pwfs"), args)
    }

    /// Some program, run by the person of this stage. It gets nothing of this process's environment but the way to
    /// other programs.
    pub fn other_program<A: AsRef<str>>(&self, program: &str, args: &[A]) -> Command {
        let mut command = Command::new(program);
        if self.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
            .args(args.iter().map(AsRef::as_ref))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            // Where nobody listens: the keyring and the notifications of who runs the tests are none of a test's business.
            .env(
                "DBUS_SESSION_BUS_ADDRESS",
                format!("unix:path={}", self.home.path().join("no-bus").display()),
            )
            .current_dir(self.home.path());
        command
    }

    pub fn start<A: AsRef<str>>(&self, args: &[A]) -> Running {
        Running::spawn(self.command(args))
    }

    /// Runs the program to its end, with an empty standard input.
    pub fn run<A: AsRef<str>>(&self, args: &[A]) -> Finished {
        self.start(args).finish()
    }

    /// Begins a login that prints the address to open.
    pub fn start_login<A: AsRef<str>>(&self, flags: &[A]) -> Running {
        let mut args = vec!["login", "--no-browser", "--credentials", "file"];
        args.extend(flags.iter().map(AsRef::as_ref));
        self.start(&args)
    }

    /// Signs in with a browser that says yes to everything.
    pub fn login<A: AsRef<str>>(&self, flags: &[A]) -> Finished {
        let mut login = self.start_login(flags);
        let page = login.sign_in_page();
        self.register(&page);
        visit(&page);
        login.finish()
    }

    /// Registers the redirect URI that a sign-in page is to lead back to.
    pub fn register(&self, page: &Url) {
        self.server
            .register_redirect_uri(&parameter(page, "redirect_uri"));
    }
}

enum Event {
    Out(String),
    Err(String),
    Ended(ExitStatus),
}

/// The program while it runs. Dropping it ends it.
pub struct Running {
    pid: Pid,
    stdin: Option<ChildStdin>,
    events: Receiver<Event>,
    said: Finished,
    ended: bool,
}

/// What the program said, and how it ended.
#[derive(Debug, Default)]
pub struct Finished {
    /// `None` while it runs, or where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Running {
    pub fn spawn(command: Command) -> Self {
        Self::begin(command, Stdio::piped(), Stdio::piped())
    }

    /// Runs the program with a standard input of the test's own: a terminal.
    pub fn spawn_at(command: Command, stdin: Stdio) -> Self {
        Self::begin(command, stdin, Stdio::piped())
    }

    /// Runs the program with a standard output that nobody reads any more.
    pub fn spawn_unread(command: Command) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Self::begin(command, Stdio::piped(), writer.into())
    }

    fn begin(mut command: Command, stdin: Stdio, stdout: Stdio) -> Self {
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It holds the writing end of an unread pipe.
        drop(command);
        let (tell, events) = channel();
        let out = child
            .stdout
            .take()
            .map(|pipe| listen(pipe, tell.clone(), Event::Out));
        let err = listen(child.stderr.take().unwrap(), tell.clone(), Event::Err);
        let (pid, stdin) = (Pid::from_child(&child), child.stdin.take());
        thread::spawn(move || {
            out.into_iter()
                .chain([err])
                .for_each(|reader| reader.join().unwrap());
            // A test that has failed listens no more.
            let _ = tell.send(Event::Ended(child.wait().unwrap()));
        });
        Self {
            pid,
            stdin,
            events,
            said: Finished::default(),
            ended: false,
        }
    }

    /// Waits for a line on either stream.
    #[track_caller]
    pub fn wait_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline) {
                Some(line) if wanted(&line) => return line,
                Some(_) => {}
                None => panic!("it ended without the line: {:#?}", self.said),
            }
        }
    }

    /// Waits for the address to open.
    #[track_caller]
    pub fn sign_in_page(&mut self) -> Url {
        let line = self.wait_for_line(|line| line.trim().starts_with("http"));
        line.trim().parse().unwrap()
    }

    /// Says a line to the program.
    pub fn answer(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The number of the process.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits for the end; there is nothing more to read for it.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while self.next(deadline).is_some() {}
        std::mem::take(&mut self.said)
    }

    /// The next line, or `None` at the end.
    #[track_caller]
    fn next(&mut self, deadline: Instant) -> Option<String> {
        if self.ended {
            return None;
        }
        match self
            .events
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(Event::Out(line)) => {
                self.said.stdout.push_str(&line);
                Some(line)
            }
            Ok(Event::Err(line)) => {
                self.said.stderr.push_str(&line);
                Some(line)
            }
            Ok(Event::Ended(status)) => {
                self.ended = true;
                self.said.code = status.code();
                None
            }
            Err(RecvTimeoutError::Timeout) => panic!("nothing happens any more: {:#?}", self.said),
            Err(RecvTimeoutError::Disconnected) => panic!("nobody listens: {:#?}", self.said),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The first asks politely, so that a mount is taken off.
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = kill_process(self.pid, signal);
            let end = Instant::now() + Duration::from_secs(10);
            while let Ok(event) = self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                if matches!(event, Event::Ended(_)) {
                    return;
                }
            }
        }
    }
}

fn listen(
    pipe: impl Read + Send + 'static,
    tell: std::sync::mpsc::Sender<Event>,
    event: fn(String) -> Event,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            // The rest is read all the same: a full pipe must not hold up the program.
            let _ = tell.send(event(String::from_utf8_lossy(&line).into_owned()));
            line.clear();
        }
    })
}

impl Finished {
    /// The output of a success.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// The words of a failure with this exit status; nothing may have gone to stdout.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        self.stderr
    }

    /// Everything it said.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A query parameter of an address.
#[track_caller]
pub fn parameter(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(key, _)| key == name);
    found
        .unwrap_or_else(|| panic!("{url} has no {name}"))
        .1
        .into_owned()
}

/// What a web server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub location: Option<Url>,
    pub body: String,
}

/// Opens an address and goes where it leads; the address and answer of each page.
pub fn visit(page: &Url) -> Vec<(Url, Answer)> {
    let mut visited = Vec::new();
    let mut next = Some(page.clone());
    while let Some(url) = next.take()
        && visited.len() < 5
    {
        let answer = fetch("GET", &url, "");
        next.clone_from(&answer.location);
        visited.push((url, answer));
    }
    visited
}

/// One request over plain HTTP, written out by hand so that nothing of the program under test is trusted.
pub fn fetch(method: &str, url: &Url, form: &str) -> Answer {
    let host = url.host_str().unwrap();
    let address = if host == "localhost" { "127.0.0.1" } else { host };
    let mut socket = TcpStream::connect((address, url.port().unwrap())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    write!(
        socket,
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let location = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location")
            .then(|| url.join(value.trim()).unwrap())
    });
    Answer {
        status,
        location,
        body: body.to_owned(),
    }
}

/// The permission bits of a file or directory.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The address of a port where nothing listens.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Looks again and again until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came about: {what}");
        thread::yield_now();
    }
}
