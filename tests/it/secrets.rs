//! No secret leaves the one file that is meant to hold it: one whole run of the product, and a hunt through all it said,
//! wrote and showed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pwfs::demo::knobs::Redirect;
use pwfs::demo::{DemoOptions, Effect, Fault, RequestKind};
use rustix::process::Signal;
use url::Url;

use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::{Finished, Running, Stage, parameter, until, visit};

mod hunt;

use hunt::Hunt;

/// Every run of the program says all it ever says.
const LOUD: [&str; 2] = ["--log-level", "trace"];

const PROJECT: &str = "Leven Estuary Crossing";
const ROTATED: &str = "rotated+secret/with:more=";
const WRONG: &str = "wrong/secret+not:the=one";

/// A stage whose every process is watched.
struct Watched {
    stage: Stage,
    hunt: Hunt,
}

impl Watched {
    fn new(options: DemoOptions) -> Self {
        Self {
            stage: Stage::with(options),
            hunt: Hunt::default(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command(&[args, &LOUD].concat());
        let home = self.stage.home.path();
        // Everything it may write is below the home directory.
        for (variable, dir) in [("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "tmp")] {
            let dir = home.join(dir);
            fs::create_dir_all(&dir).unwrap();
            command.env(variable, dir);
        }
        command
    }

    /// Runs the program to its end.
    fn run(&mut self, args: &[&str]) -> Finished {
        let finished = Running::spawn(self.command(args)).finish();
        self.hear(args, &finished);
        finished
    }

    fn hear(&mut self, args: &[&str], finished: &Finished) {
        self.hunt.look(format!("what {args:?} said"), finished.all());
    }

    /// Signs in with a browser; the secret comes from a file or, where `environment` holds one, from there.
    fn login(&mut self, args: &[&str], environment: Option<&str>) -> Finished {
        let mut all = vec!["login", "--no-browser", "--credentials", "file"];
        all.extend(args);
        let mut command = self.command(&all);
        if let Some(secret) = environment {
            command.env("PWFS_CLIENT_SECRET", secret);
        }
        let mut login = Running::spawn(command);
        let page = login.sign_in_page();
        self.hunt.look_at_process(login.id());
        self.stage.register(&page);
        for (_, answer) in visit(&page) {
            if let Some(next) = answer.location {
                self.hunt.secret("a one-time code", &parameter(&next, "code"));
            }
        }
        let mut finished = login.finish();
        // The address is shown to be opened, and its state is of no use to anybody afterwards. It is told once, and nowhere else.
        let shown = format!("  {page}\n");
        assert_eq!(finished.stderr.matches(&shown).count(), 1, "{finished:?}");
        finished.stderr = finished.stderr.replace(&shown, "");
        self.hunt
            .secret("the state of a login", &parameter(&page, "state"));
        self.hear(&all, &finished);
        self.note_tokens("default");
        finished
    }

    /// Takes note of the secrets a login holds now.
    fn note_tokens(&mut self, profile: &str) {
        let Ok(bytes) = fs::read(self.credentials(profile)) else {
            return;
        };
        let record: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for field in ["access_token", "refresh_token", "client_secret", "password"] {
            if let Some(value) = record[field].as_str() {
                self.hunt.secret(field, value);
            }
        }
    }

    fn credentials(&self, profile: &str) -> PathBuf {
        let state = self.stage.home.path().join(".local/state/pwfs/credentials");
        state.join(format!("{profile}.json"))
    }

    /// Looks through everything below the home directory.
    fn look_through_home(&mut self, mounted: &Path) {
        let meant = [self.credentials("default"), self.credentials("env")];
        let meant: Vec<&Path> = meant.iter().map(PathBuf::as_path).chain([mounted]).collect();
        self.hunt.look_below(self.stage.home.path(), &meant);
    }
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::listxattr(path, names.as_mut_slice()).unwrap();
    let mut text = String::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 << 10];
        let name = String::from_utf8_lossy(name).into_owned();
        let length = rustix::fs::getxattr(path, &name, value.as_mut_slice()).unwrap();
        writeln!(text, "{name}={}", String::from_utf8_lossy(&value[..length])).unwrap();
    }
    text
}

/// The commands that read, with their flags for programs.
const READING: [&[&str]; 6] = [
    &["whoami"],
    &["whoami", "--json"],
    &["datasources"],
    &["folders"],
    &["folders", "--json", PROJECT],
    &["tree", "--depth", "2"],
];

#[test]
fn no_secret_is_said_shown_or_kept_elsewhere_in_a_whole_run() {
    let mut options = small();
    options.knobs.redirect = Redirect::Blob;
    let mut run = Watched::new(options);
    let (client, secret) = run.stage.server.web_client();
    run.hunt.secret("the Client Secret", &secret);
    run.hunt.secret("the Client Secret after it was rotated", ROTATED);
    run.hunt.secret("a wrong Client Secret", WRONG);
    run.hunt.secret(
        "the app's own Basic login",
        &STANDARD.encode(format!("{client}:{secret}")),
    );

    // The secret from a file, which is its owner's and not looked at …
    let file = run.stage.home.path().join("secret");
    fs::write(&file, &secret).unwrap();
    let app = run.stage.web_app();
    let app: Vec<&str> = app.iter().map(String::as_str).collect();
    let with_file = [&app[..], &["--client-secret-file", "secret"]].concat();
    run.login(&with_file, None).succeeds();
    // … and from the environment.
    let in_env = [&app[..], &["--profile", "env"]].concat();
    run.login(&in_env, Some(&secret)).succeeds();
    run.note_tokens("env");
    let mut helped = run.command(&["login", "--help"]);
    helped.env("PWFS_CLIENT_SECRET", &secret);
    let helped = Running::spawn(helped).finish();
    run.hear(&["login", "--help"], &helped);

    let config = run.stage.config_file();
    let text = fs::read_to_string(&config).unwrap();
    let line = format!(
        "[profiles.default]\ndatasource = {:?}\nblob_redirect = \"allow\"\n",
        run.stage.server.datasource_url()
    );
    fs::write(&config, text.replace("[profiles.default]\n", &line)).unwrap();
    for args in READING {
        run.run(args).succeeds();
    }
    run.stage.server.expire_access_tokens();
    let done = run.run(&["folders"]);
    assert!(done.stderr.contains("TRACE"), "it says all it can: {done:?}");
    run.note_tokens("default");
    run.run(&["folders", "--profile", "env"]);
    run.note_tokens("env");

    failures(&mut run);
    fs::remove_file(&file).unwrap();
    mounted(&mut run);
    other_logins(&mut run);

    run.run(&["logout"]).succeeds();
    run.run(&["logout", "--profile", "env"]).succeeds();
    run.run(&["whoami"]).fails(77);
    assert!(!run.credentials("default").exists() && !run.credentials("env").exists());
    run.look_through_home(Path::new(""));
    for request in run.stage.server.request_log() {
        let url = Url::parse(&format!("http://h{}", request.target)).unwrap();
        if let Some((_, signature)) = url.query_pairs().find(|(key, _)| key == "sig") {
            run.hunt.secret("the signature of a URL", &signature);
        }
    }

    let (forms, places) = run.hunt.extent();
    assert!(forms > 300 && places > 100, "{forms} forms, {places} places");
    let found = run.hunt.found();
    assert!(found.is_empty(), "{found:#?}");
}

/// Everything that goes wrong, and is told.
fn failures(run: &mut Watched) {
    use RequestKind::{Discovery, ListProjects, NavNode, Revocation, Token};

    let gateway = [NavNode, ListProjects];
    let status = |code, id: Option<&str>| Effect::Status {
        code,
        error_id: id.map(str::to_owned),
        retry_after: None,
    };
    for effect in [
        status(401, None),
        status(403, Some("NotEnoughRights")),
        status(404, Some("DatasourceNotFound")),
        status(500, None),
        Effect::HtmlLogin,
        Effect::RedirectToLogin,
        Effect::MalformedJson,
        Effect::DropConnection,
    ] {
        for kind in gateway {
            run.stage.server.inject(Fault::on(kind, effect.clone()));
        }
        let done = run.run(&["folders"]);
        assert_ne!(done.code, Some(0), "{effect:?}: {done:?}");
        run.run(&["folders", "--json"]);
        run.stage.server.clear_faults();
        run.note_tokens("default");
    }
    // The identity provider's answers hold tokens, in whatever state they come.
    for effect in [
        status(400, Some("invalid_grant")),
        status(400, Some("invalid_client")),
        status(400, Some("unauthorized_client")),
        status(503, None),
        Effect::WrongTypes,
        Effect::MalformedJson,
        Effect::DuplicateKeys,
        Effect::InvalidUtf8,
        Effect::WrongContentType {
            content_type: Some("text/plain".to_owned()),
        },
        Effect::HtmlLogin,
        Effect::Truncate { after: 300 },
    ] {
        run.stage.server.expire_access_tokens();
        for kind in [Discovery, Token, Revocation] {
            run.stage.server.inject(Fault::on(kind, effect.clone()));
            run.run(&["folders"]);
            run.stage.server.clear_faults();
        }
        run.note_tokens("default");
        // A refresh token that was used up by an answer that was lost: the next effect needs one that lives.
        run.login(&["--client-secret-file", "secret"], None).succeeds();
    }
    // A secret that is refused is not told either.
    let wrong = run.stage.home.path().join("wrong");
    fs::write(&wrong, WRONG).unwrap();
    run.run(&["login", "--client-secret-file", "wrong"]).fails(77);
    fs::remove_file(wrong).unwrap();
    // A secret as an argument would be for all to see.
    run.run(&["login", "--client-secret", "x"]).fails(2);
    // A URL with a password in it is refused without being repeated.
    run.hunt.secret("a password in a URL", "pass+in/url:x");
    let url = "https://user:pass%2Bin%2Furl%3Ax@example.com/ws";
    run.run(&["folders", "--datasource", url]).fails(2);
}

/// A mount while it runs, loses its login, and gets it back.
fn mounted(run: &mut Watched) {
    if !fuse_is_here() {
        return;
    }
    let dir = run.stage.home.path().join("mnt");
    fs::create_dir(&dir).unwrap();
    let args = ["mount", "mnt", "--metadata-ttl", "0s"];
    let mut mount = Running::spawn(run.command(&args));
    mount.wait_for_line(|line| line.contains("is mounted at"));
    let documents = dir.join(PROJECT).join("00 General");
    let read = |name: &str| fs::read(documents.join(name));
    read("LEC-GEN-RPT-0001.pdf").unwrap();
    run.hunt.look("the attributes of the root", xattrs(&dir));
    run.hunt.look(
        "the attributes of a document",
        xattrs(&documents.join("LEC-GEN-RPT-0001.pdf")),
    );
    run.hunt.look_at_process(mount.id());

    // A signed URL that is refused, in an answer that quotes it.
    let fault = run.stage.server.inject(Fault::on(
        RequestKind::Blob,
        Effect::Status {
            code: 403,
            error_id: Some("AuthenticationFailed".to_owned()),
            retry_after: None,
        },
    ));
    read("LEC-GEN-RPT-0002.pdf").unwrap_err();
    run.stage.server.clear_fault(fault);
    // A token that has ended is renewed …
    run.stage.server.expire_access_tokens();
    fs::read_dir(dir.join("Company Standards")).unwrap().count();
    run.note_tokens("default");
    // … one that was revoked needs a login, whose tokens the mount takes over …
    run.stage.server.revoke_all_tokens();
    let _lost = fs::read_dir(dir.join(PROJECT).join("01 Project Management"));
    let secret = run.stage.server.web_client().1;
    fs::write(run.stage.home.path().join("secret"), secret).unwrap();
    run.login(&["--client-secret-file", "secret"], None).succeeds();
    until("the mount has the new login", || {
        read("LEC-GEN-LOG-0000.txt").is_ok()
    });
    // … and so does a secret that was rotated.
    run.stage.server.rotate_web_secret(ROTATED);
    run.stage.server.expire_access_tokens();
    let _lost = fs::read_dir(dir.join(PROJECT).join("02 Survey and Site Investigation"));
    run.note_tokens("default");
    fs::write(run.stage.home.path().join("secret"), ROTATED).unwrap();
    run.run(&["login", "--client-secret-file", "secret"]).succeeds();
    run.note_tokens("default");
    fs::remove_file(run.stage.home.path().join("secret")).unwrap();
    until("the mount has the new secret", || {
        fs::read_dir(dir.join("Company Standards")).is_ok()
    });
    run.hunt.look_at_process(mount.id());

    mount.signal(Signal::TERM);
    let finished = mount.finish();
    assert!(finished.stderr.contains("TRACE"), "{finished:?}");
    run.hear(&args, &finished);
    finished.succeeds();
}

const PASSWORD: &str = "leven-bridge";
const WRONG_PASSWORD: &str = "wr0ng+pass/word:too=";

/// The logins of servers of one's own, and of services: each right and, where it can be, wrong.
fn other_logins(run: &mut Watched) {
    run.hunt.secret("a password", PASSWORD);
    run.hunt.secret("a wrong password", WRONG_PASSWORD);
    let (service, service_secret) = run.stage.server.service_client();
    run.hunt.secret("a service's secret", &service_secret);
    let saml = "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"><Subject>\
                <NameID>demo.engineer@example.com</NameID></Subject>\
                <Signature>c2lnbmF0dXJlIG9mIGFuIGFzc2VydGlvbg==</Signature></Assertion>";
    run.hunt.secret("an assertion", saml);
    run.hunt
        .secret("an assertion's signature", "c2lnbmF0dXJlIG9mIGFuIGFzc2VydGlvbg==");
    let token = run.stage.stored("access_token");

    let home = run.stage.home.path().to_owned();
    let write = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
    write("password", PASSWORD);
    write("wrong", WRONG_PASSWORD);
    write("service", &service_secret);
    write("saml", saml);
    write("bearer", &token);
    let url = run.stage.server.datasource_url();
    let issuer = run.stage.server.issuer();
    let basic = ["--username", "demo.engineer", "--password-file"];
    let windows = [
        "--windows",
        "--username",
        "DEMO\\demo.engineer",
        "--password-file",
    ];
    let ways: [(&str, Vec<&str>); 6] = [
        ("basic", [&basic[..], &["password"]].concat()),
        ("wrong", [&basic[..], &["wrong"]].concat()),
        ("windows", [&windows[..], &["password"]].concat()),
        ("saml", vec!["--saml-file", "saml"]),
        ("bearer", vec!["--token-file", "bearer"]),
        (
            "service",
            vec![
                "--service",
                "--issuer",
                &issuer,
                "--client-id",
                &service,
                "--client-secret-file",
                "service",
            ],
        ),
    ];
    for (profile, flags) in &ways {
        let common = [
            "login",
            "--profile",
            profile,
            "--credentials",
            "file",
            "--datasource",
            &url,
        ];
        let done = run.run(&[&common[..], flags].concat());
        assert_eq!(done.code == Some(0), *profile != "wrong", "{profile}: {done:#?}");
        for args in [["whoami", "--json"], ["folders", "--json"]] {
            let done = run.run(&[&args[..], &["--profile", profile]].concat());
            assert!(
                done.code == Some(0) || *profile == "wrong",
                "{profile}: {done:#?}"
            );
        }
        run.note_tokens(profile);
    }
    // A password that was good, and is so no more.
    let record = run.credentials("basic");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace(PASSWORD, WRONG_PASSWORD)).unwrap();
    run.run(&["folders", "--profile", "basic"]).fails(77);
    run.run(&["folders", "--profile", "basic"]).fails(77);
    run.run(&["whoami", "--profile", "basic"]);
    // A token that has ended, in its file.
    run.stage.server.revoke_all_tokens();
    run.run(&["folders", "--profile", "bearer"]).fails(77);
    for (profile, _) in &ways {
        run.run(&["logout", "--profile", profile]);
    }
    for name in ["password", "wrong", "service", "saml", "bearer"] {
        fs::remove_file(home.join(name)).unwrap();
    }
}

#[test]
fn a_secret_is_found_in_every_form_it_may_be_written_in() {
    let secret = "s3cret+of/some:length=";
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIiwiZXhwIjoxfQ.c2lnbmF0dXJl";
    let basic = |user: &str| STANDARD.encode(format!("{user}:{secret}"));
    for text in [
        format!("the secret is {secret}."),
        "client_secret=s3cret%2Bof%2Fsome%3Alength%3D&x".to_owned(),
        "s3cret%2bof%2fsome%3alength%3d".to_owned(),
        format!("Authorization: Basic {}", basic("u")),
        format!("Authorization: Basic {}", basic("us")),
        format!("Authorization: Basic {}", basic("use")),
        STANDARD.encode(format!("a={secret}&b=c")),
        format!("token eyJx.{}.zz", jwt.split('.').nth(1).unwrap()),
    ] {
        let mut hunt = Hunt::default();
        hunt.secret("the secret", secret);
        hunt.secret("the token", jwt);
        hunt.look("a line", "nothing to see here");
        assert!(hunt.found().is_empty());
        hunt.look("another line", &text);
        let found = hunt.found();
        assert!(!found.is_empty(), "{text}");
        let told = format!("{found:?}");
        assert!(!told.contains(secret), "what is found is not told on: {told}");
    }
}

/// Where the kernel writes a core dump into the working directory, as it does by default.
fn cores_are_files() -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let plain = pattern.trim() == "core";
    if !plain {
        eprintln!(
            "skipped: core dumps go elsewhere on this machine ({})",
            pattern.trim()
        );
    }
    plain
}

/// Runs the program of `command` in a shell that allows core dumps, and lets it crash once it is mounted.
fn crash(stage: &Stage, flags: &[&str]) -> Vec<PathBuf> {
    let dir = stage.home.path().join("mnt");
    fs::create_dir_all(&dir).unwrap();
    let program = env!("CARGO_BIN_EXE_pwfs");
    let script = format!("ulimit -c unlimited; exec '{program}' \"$@\"");
    let args = [&["-c", &script, "pwfs", "mount", "mnt"], flags].concat();
    let mut mount = Running::spawn(stage.other_program("sh", &args));
    mount.wait_for_line(|line| line.contains("is mounted at"));
    mount.signal(Signal::ABORT);
    assert_eq!(mount.finish().code, None, "a signal ended it");
    stage.run(&["unmount", "mnt"]).succeeds();
    let entries = fs::read_dir(stage.home.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("core"))
        })
        .collect()
}

#[test]
fn a_crash_leaves_no_core_dump_with_the_login_unless_asked_to() {
    if !fuse_is_here() || !cores_are_files() {
        return;
    }
    let stage = Stage::signed_in(small());
    let token = stage.stored("access_token");
    let cores = crash(&stage, &["--allow-core-dump"]);
    if cores.is_empty() {
        eprintln!("skipped: this machine lets nobody dump core");
        return;
    }
    // This is what it is about.
    let dump = fs::read(&cores[0]).unwrap();
    let held = dump.windows(token.len()).any(|bytes| bytes == token.as_bytes());
    assert!(held, "a core dump holds the token");
    fs::remove_file(&cores[0]).unwrap();
    assert_eq!(crash(&stage, &[]), Vec::<PathBuf>::new());
}

#[test]
fn a_process_with_a_login_is_closed_to_other_programs_of_its_user() {
    if !fuse_is_here() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else, and mount");
        return;
    }
    let stage = Stage::of_nobody();
    stage.sign_in();
    let dir = stage.home.path().join("mnt");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(65_534), Some(65_534)).unwrap();
    let mut closed = 0;
    for (flags, expected) in [(vec![], 1), (vec!["--allow-core-dump"], 0)] {
        let mut mount = stage.start(&[vec!["mount", "mnt"], flags].concat());
        mount.wait_for_line(|line| line.contains("is mounted at"));
        for file in ["environ", "mem", "maps"] {
            let path = format!("/proc/{}/{file}", mount.id());
            // Another program of the same user.
            let peek = stage.other_program("head", &["-c", "1", &path]);
            let peek = Running::spawn(peek).finish();
            let refused = peek.stderr.contains("Permission denied");
            assert_eq!(refused, expected == 1, "{path}: {peek:?}");
            closed += usize::from(refused);
        }
        // It reads, and its user reads from it, as ever.
        let list = stage.other_program("ls", &["mnt"]);
        let listed = Running::spawn(list).finish().succeeds();
        assert!(listed.contains(PROJECT), "{listed}");
        mount.signal(Signal::TERM);
        mount.finish().succeeds();
    }
    assert_eq!(closed, 3);
}
