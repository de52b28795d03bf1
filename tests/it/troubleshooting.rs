//! docs/troubleshooting.md says what the program says: each of its rows is provoked, most by the program itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use pwfs::auth::login::LoginError;
use pwfs::auth::{AuthError, AuthKind, OauthError};
use pwfs::cli::failure::{Account, CliError, Code, ErrorKind};
use pwfs::cli::login::LoginCommandError;
use pwfs::config::ConfigError;
use pwfs::content::ContentError;
use pwfs::daemon::DaemonError;
use pwfs::daemon::connect::ConnectionError;
use pwfs::demo::knobs::Knobs;
use pwfs::demo::{Effect, Fault, RequestKind};
use pwfs::fuse::mountpoint::MountpointError;
use pwfs::http::{HttpError, Obstacle};
use pwfs::model::{Datasource, DocumentId};
use pwfs::remote::platform::PlatformError;
use pwfs::remote::wsg::{ConnectError, ErrorId, Problem};
use pwfs::remote::{Detail, Origin, RemoteError};
use pwfs::tree::TreeError;
use serde_json::Value;
use url::Url;

use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::{Finished, Running, Stage, fetch, nowhere, parameter, visit};

/// What stands for text that differs from case to case.
const GAP: char = '…';

/// A row of the document.
#[derive(Debug, Clone)]
struct Row {
    words: String,
    code: Code,
    status: u8,
    steps: Vec<String>,
    who: String,
}

/// A failure as it was seen.
#[derive(Debug)]
struct Seen {
    words: String,
    code: String,
    status: u8,
    steps: Vec<String>,
}

impl Seen {
    /// As the program told it with `--json`.
    #[track_caller]
    fn of_program(finished: &Finished) -> Self {
        let line = finished
            .stderr
            .lines()
            .find(|line| line.starts_with("{\"error\""));
        let line = line.unwrap_or_else(|| panic!("no error was told: {finished:#?}"));
        let json: Value = serde_json::from_str(line).unwrap();
        let error = &json["error"];
        let texts = |name: &str| {
            let texts = error[name].as_array().unwrap().iter();
            texts
                .map(|text| text.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let status = error["exit_code"].as_u64().unwrap();
        assert_eq!(
            Some(i32::try_from(status).unwrap()),
            finished.code,
            "{finished:#?}"
        );
        let mut words = vec![error["message"].as_str().unwrap().to_owned()];
        words.extend(texts("causes"));
        Self {
            words: words.join("\n"),
            code: error["code"].as_str().unwrap().to_owned(),
            status: u8::try_from(status).unwrap(),
            steps: texts("hints"),
        }
    }

    /// As the code tells it, where no program can be brought to it in a test.
    fn of_code(error: impl Into<CliError>) -> Self {
        let error = error.into();
        let mut words = vec![error.message().to_owned()];
        words.extend_from_slice(error.causes());
        Self {
            words: words.join("\n"),
            code: error.name().text().to_owned(),
            status: error.exit_code(),
            steps: error.hints(),
        }
    }
}

fn document() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md")).unwrap()
}

/// Every row of every table that has codes.
fn rows() -> Vec<Row> {
    let document = document();
    let mut within = false;
    let mut rows = Vec::new();
    for line in document.lines() {
        if !line.starts_with('|') {
            within = false;
        } else if line.starts_with("| what you see | code |") {
            within = true;
        } else if within && !line.starts_with("|---") {
            let line = line.replace("&lt;", "<").replace("&gt;", ">");
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [words, code, status, meaning, steps, who] = cells[..] else {
                panic!("a row of {} cells: {line}", cells.len());
            };
            assert!(!meaning.is_empty(), "{line}");
            let name = code.trim_matches('`');
            let known = Code::ALL.iter().find(|code| code.text() == name);
            rows.push(Row {
                words: words.to_owned(),
                code: *known.unwrap_or_else(|| panic!("no failure is called {name}")),
                status: status.parse().unwrap(),
                steps: steps
                    .split("<br>")
                    .map(str::to_owned)
                    .filter(|step| !step.is_empty())
                    .collect(),
                who: who.to_owned(),
            });
        }
    }
    rows
}

/// True if `text` is `pattern` with something in each gap; `whole` if nothing may stand around it.
fn fits(pattern: &str, text: &str, whole: bool) -> bool {
    let pieces: Vec<&str> = pattern.split(GAP).collect();
    let mut rest = text;
    for (index, piece) in pieces.iter().enumerate() {
        let (first, last) = (index == 0, index + 1 == pieces.len());
        if first && whole {
            let Some(behind) = rest.strip_prefix(piece) else {
                return false;
            };
            rest = behind;
        } else if last && whole {
            return rest.ends_with(piece);
        } else {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
    }
    !whole || rest.is_empty()
}

#[track_caller]
fn compare(row: &Row, seen: &Seen) {
    let told = (seen.code.as_str(), seen.status);
    assert_eq!(told, (row.code.text(), row.status), "{row:#?}\n{seen:#?}");
    assert!(fits(&row.words, &seen.words, false), "{row:#?}\n{seen:#?}");
    assert_eq!(row.steps.len(), seen.steps.len(), "{row:#?}\n{seen:#?}");
    for (step, told) in row.steps.iter().zip(&seen.steps) {
        assert!(fits(step, told, true), "{step:?} is not {told:?}\n{row:#?}");
    }
}

#[test]
fn every_failure_has_a_row_and_every_row_is_whole() {
    let rows = rows();
    let documented: BTreeSet<Code> = rows.iter().map(|row| row.code).collect();
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !documented.contains(code))
        .map(|code| code.text())
        .collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md has no row for {missing:?}"
    );
    for row in &rows {
        for who in row.who.split("; ") {
            let known = ["you", "IT", "the ProjectWise administrator", "it passes"];
            assert!(known.contains(&who), "who is {who:?}? {row:#?}");
        }
        assert!(
            row.words.chars().any(|c| c != GAP) || row.steps.len() < 2,
            "{row:#?}"
        );
    }
}

#[test]
fn the_guide_s_rows_come_first_with_their_remedies() {
    let document = document();
    let (first, _) = document.split_once("## Signing in").unwrap();
    for words in [
        "Insufficient permissions",
        "`projectwise:read`",
        "datasource-level permission",
        "On-premises server not reachable",
        "Firewall rules must let this machine's outbound address through",
        "Account does not have developer portal access",
        "free and needs no Bentley subscription",
        "The app is not whitelisted yet",
        "Send the Client ID",
    ] {
        assert!(first.contains(words), "{words:?} is missing in:\n{first}");
    }
    // The codes they name are codes.
    for name in first
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.starts_with("wsg."))
    {
        assert!(Code::ALL.iter().any(|code| code.text() == name), "{name}");
    }
}

/// One signed-in program to provoke failures with.
struct Bed {
    stage: Stage,
}

impl Bed {
    fn new() -> Self {
        Self {
            stage: Stage::signed_in(small()),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.stage.server.base_url())
    }

    fn run(&self, args: &[&str]) -> Seen {
        Seen::of_program(&self.stage.run(&[&["--json"], args].concat()))
    }

    /// What `args` say while every request of `kinds` suffers.
    fn suffering(&self, kinds: &[RequestKind], effect: &Effect, args: &[&str]) -> Seen {
        for kind in kinds {
            self.stage.server.inject(Fault::on(*kind, effect.clone()));
        }
        let seen = self.run(args);
        self.stage.server.clear_faults();
        seen
    }

    /// What `folders` says while the gateway suffers.
    fn gateway(&self, effect: &Effect) -> Seen {
        let listing = [RequestKind::NavNode, RequestKind::ListProjects];
        self.suffering(&listing, effect, &["folders"])
    }

    fn gateway_status(&self, code: u16) -> Seen {
        self.gateway(&status(code, None))
    }

    fn error_id(&self, id: &str) -> Seen {
        let Effect::Status { code, .. } = Fault::error(RequestKind::NavNode, id).effect else {
            panic!("an error has a status");
        };
        self.gateway(&status(code, Some(id)))
    }

    /// What a command says whose token must be renewed while the token endpoint refuses.
    fn renewal(&self, effect: &Effect) -> Seen {
        self.stage.server.expire_access_tokens();
        self.suffering(&[RequestKind::Token], effect, &["folders"])
    }

    /// What a login says; `answer` is the browser.
    fn login(&self, flags: &[&str], answer: impl FnOnce(&Url)) -> Seen {
        let app = self.stage.native_app();
        let mut all: Vec<&str> = vec!["--json"];
        all.extend(app.iter().map(String::as_str));
        all.extend(flags);
        let mut login = self.stage.start_login(&all);
        let page = login.sign_in_page();
        self.stage.register(&page);
        answer(&page);
        Seen::of_program(&login.finish())
    }

    /// What a login says that the browser comes back to with an error.
    fn refused(&self, error: &str) -> Seen {
        self.login(&[], |page| {
            let mut back: Url = parameter(page, "redirect_uri").parse().unwrap();
            let state = parameter(page, "state");
            let mut pairs = back.query_pairs_mut();
            pairs.append_pair("error", error).append_pair("state", &state);
            drop(pairs);
            fetch("GET", &back, "");
        })
    }

    /// Runs with another configuration.
    fn configured(&self, text: &str) -> Seen {
        let path = self.stage.config_file();
        let kept = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        let seen = self.run(&["folders"]);
        fs::write(&path, kept).unwrap();
        seen
    }
}

fn status(code: u16, id: Option<&str>) -> Effect {
    Effect::Status {
        code,
        error_id: id.map(str::to_owned),
        retry_after: None,
    }
}

/// A server that speaks something else than HTTP.
fn chatterer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/ws", listener.local_addr().unwrap());
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            // Who has asked waits for the answer, and who has left does not.
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(b"220 this is no web server\r\n\r\n");
        }
    });
    address
}

/// Signing in: what the program says.
#[test]
fn the_rows_of_a_login_are_what_the_program_says() {
    let bed = Bed::new();
    let oauth = |error: &str| status(400, Some(error));
    let exchange = |effect: &Effect| {
        bed.stage
            .server
            .inject(Fault::on(RequestKind::Token, effect.clone()));
        let seen = bed.login(&[], |page| drop(visit(page)));
        bed.stage.server.clear_faults();
        seen
    };
    let mut done = Done::default();
    for row in rows() {
        let is = |words: &str| row.words.contains(words);
        let seen = match row.code {
            Code::LoginRequired if is("not logged in") => {
                let kept = fs::read(bed.stage.login_file()).unwrap();
                fs::remove_file(bed.stage.login_file()).unwrap();
                compare(&row, &bed.run(&["whoami"]));
                let seen = bed.run(&["folders"]);
                fs::write(bed.stage.login_file(), kept).unwrap();
                seen
            }
            Code::LoginRequired if is("has ended") => bed.renewal(&oauth("invalid_grant")),
            Code::LoginRequired => {
                let config = fs::read_to_string(bed.stage.config_file()).unwrap();
                bed.configured(&config.replace("native-pwfs-demo", "another-app"))
            }
            Code::LoginIncomplete => bed.run(&["login", "--profile", "fresh"]),
            Code::LoginInput if is("No such file") => {
                bed.run(&["login", "--client-id", "x", "--client-secret-file", "nowhere"])
            }
            Code::LoginInput => {
                let away = "https://app.example.invalid/callback";
                let mut flags = vec![
                    "login",
                    "--json",
                    "--no-browser",
                    "--client-id",
                    "native-pwfs-demo",
                ];
                let issuer = bed.stage.server.issuer();
                flags.extend([
                    "--issuer",
                    &issuer,
                    "--redirect-uri",
                    away,
                    "--credentials",
                    "file",
                ]);
                Seen::of_program(&bed.stage.run(&flags))
            }
            Code::LoginForeignReply => {
                let away = "https://app.example.invalid/callback";
                let mut flags = vec!["--json", "--client-id", "native-pwfs-demo"];
                let issuer = bed.stage.server.issuer();
                flags.extend(["--issuer", &issuer, "--redirect-uri", away]);
                let mut login = bed.stage.start_login(&flags);
                login.sign_in_page();
                login.answer("https://app.example.invalid/callback?code=a&state=b");
                Seen::of_program(&login.finish())
            }
            Code::LoginPortInUse => {
                let taken = TcpListener::bind("127.0.0.1:0").unwrap();
                let port = taken.local_addr().unwrap().port();
                let uri = format!("http://localhost:{port}/back");
                bed.run(&["login", "--client-id", "x", "--redirect-uri", &uri])
            }
            Code::LoginRedirectUri => bed.run(&[
                "login",
                "--client-id",
                "x",
                "--redirect-uri",
                "http://example.com/back",
            ]),
            Code::LoginStore if is("stored in") => {
                let kept = fs::read(bed.stage.login_file()).unwrap();
                fs::write(bed.stage.login_file(), "{\"version\":1,").unwrap();
                let seen = bed.run(&["folders"]);
                fs::write(bed.stage.login_file(), kept).unwrap();
                seen
            }
            Code::LoginStore => {
                let config = fs::read_to_string(bed.stage.config_file()).unwrap();
                bed.configured(&config.replace("credentials = \"file\"", "credentials = \"keyring\""))
            }
            Code::OauthAccessDenied => bed.refused("access_denied"),
            Code::LoginSecretRefused if is("Client Secret") => exchange(&status(401, Some("invalid_client"))),
            Code::OauthInvalidGrant => exchange(&oauth("invalid_grant")),
            Code::OauthInvalidRequest => bed.renewal(&oauth("invalid_request")),
            Code::OauthInvalidScope if is("may not ask") => {
                bed.login(&["--scope", "projectwise:read imaginary:write"], |page| {
                    drop(visit(page));
                })
            }
            Code::OauthInvalidScope => bed.renewal(&oauth("invalid_scope")),
            Code::OauthUnauthorizedClient if is("does not allow") => bed.refused("unauthorized_client"),
            Code::OauthUnauthorizedClient => bed.renewal(&oauth("unauthorized_client")),
            Code::OauthUnsupportedGrantType => bed.renewal(&oauth("unsupported_grant_type")),
            Code::OauthRefused => bed.renewal(&oauth("a_reason_of_its_own")),
            Code::OauthUnavailable => bed.renewal(&status(503, None)),
            Code::OauthMalformed => {
                bed.stage.server.expire_access_tokens();
                bed.suffering(&[RequestKind::Discovery], &Effect::HtmlLogin, &["folders"])
            }
            _ => continue,
        };
        compare(&row, &seen);
        done.add(&row);
    }
    // The same failure is the same code, whoever meets it.
    for error in ["server_error", "temporarily_unavailable"] {
        assert_eq!(bed.renewal(&oauth(error)).code, "oauth.unavailable");
        assert_eq!(bed.refused(error).code, "oauth.unavailable");
    }
    assert_eq!(bed.renewal(&Effect::MalformedJson).code, "oauth.malformed");
    done.check(&["login.", "oauth."]);
}

/// Which rows were compared.
#[derive(Default)]
struct Done(BTreeSet<(Code, String)>);

impl Done {
    fn add(&mut self, row: &Row) {
        self.0.insert((row.code, row.words.clone()));
    }

    /// Fails where a row under these prefixes was neither provoked nor is in the list of those that cannot be.
    #[track_caller]
    fn check(&self, prefixes: &[&str]) {
        let told = by_code();
        let left: Vec<_> = rows()
            .into_iter()
            .filter(|row| prefixes.iter().any(|prefix| row.code.text().starts_with(prefix)))
            .filter(|row| !self.0.contains(&(row.code, row.words.clone())))
            .filter(|row| {
                !told
                    .iter()
                    .any(|(words, seen)| *words == row.words && seen.code == row.code.text())
            })
            .collect();
        assert!(left.is_empty(), "nobody provokes {left:#?}");
    }
}

/// True where this machine's resolver says at once that a name is nobody's.
fn knows_no_name() -> bool {
    let begun = Instant::now();
    let is_nobody = ("nowhere.invalid", 443).to_socket_addrs().is_err();
    let is_known = is_nobody && begun.elapsed() < Duration::from_secs(2);
    if !is_known {
        eprintln!("skipped: the resolver of this machine does not say that a name is nobody's");
    }
    is_known
}

#[test]
fn the_rows_of_the_network_are_what_the_program_says() {
    let bed = Bed::new();
    let mut done = Done::default();
    for row in rows() {
        let is = |words: &str| row.words.contains(words);
        let server = |url: &str| bed.run(&["folders", "--datasource", url]);
        let seen = match row.code {
            Code::NetworkName if knows_no_name() => server("https://nowhere.invalid/ws"),
            Code::NetworkUnreachable if is("identity provider") => bed.run(&[
                "login",
                "--client-id",
                "x",
                "--issuer",
                &nowhere(),
                "--redirect-uri",
                "http://localhost:0/back",
            ]),
            Code::NetworkUnreachable => server(&format!("{}/ws", nowhere())),
            Code::NetworkTls => server(&bed.url("/ws").replace("http:", "https:")),
            Code::NetworkProxy if is("wants a login") => bed.gateway_status(407),
            Code::NetworkDamaged => server(&chatterer()),
            _ => continue,
        };
        compare(&row, &seen);
        done.add(&row);
    }
    done.check(&["network."]);
}

#[test]
fn the_rows_of_the_gateway_are_what_the_program_says() {
    let bed = Bed::new();
    let mut done = Done::default();
    for row in rows() {
        let Some(name) = row.code.text().strip_prefix("wsg.") else {
            continue;
        };
        let of_id = ErrorId::ALL.iter().find(|(id, _)| kebab(id) == name);
        let seen = match row.code {
            _ if of_id.is_some() => bed.error_id(of_id.unwrap().0),
            Code::WsgUnauthorized => bed.gateway_status(401),
            Code::WsgLoginPage => {
                assert_eq!(bed.gateway(&Effect::RedirectToLogin).code, row.code.text());
                bed.gateway(&Effect::HtmlLogin)
            }
            Code::WsgForbidden => bed.gateway_status(403),
            Code::WsgNotFound => bed.gateway_status(404),
            Code::WsgPage => bed.gateway(&Effect::WrongContentType {
                content_type: Some("text/html".to_owned()),
            }),
            Code::WsgRedirect => bed.gateway_status(302),
            Code::WsgBadRequest => bed.gateway_status(400),
            Code::WsgTimeout => bed.gateway_status(504),
            Code::WsgConflict => bed.gateway_status(409),
            Code::WsgThrottled => bed.gateway_status(429),
            Code::WsgServerError => {
                assert_eq!(bed.gateway_status(503).code, row.code.text());
                bed.gateway_status(500)
            }
            Code::WsgUnexpectedStatus => bed.gateway_status(410),
            Code::WsgNotAGateway => bed.run(&["folders", "--datasource", &bed.url("/elsewhere")]),
            Code::WsgMalformed => bed.gateway(&Effect::MalformedJson),
            Code::WsgNoDatasource => bed.suffering(
                &[RequestKind::Repositories],
                &Effect::EmptyList,
                &["folders", "--datasource", &bed.url("/ws")],
            ),
            _ => continue,
        };
        compare(&row, &seen);
        if of_id.is_some() {
            assert!(
                seen.words.contains("request id "),
                "whom to ask about what: {seen:#?}"
            );
        }
        done.add(&row);
    }
    done.check(&["wsg."]);
}

#[test]
fn the_rows_of_the_platform_are_what_the_program_says() {
    let bed = Bed::new();
    let config = fs::read_to_string(bed.stage.config_file()).unwrap();
    let lines = config.lines().filter(|line| !line.starts_with("datasource"));
    let bare = lines.collect::<Vec<_>>().join("\n");
    fs::write(bed.stage.config_file(), &bare).unwrap();
    let suffering = |effect: &Effect| bed.suffering(&[RequestKind::ITwins], effect, &["datasources"]);
    let refused = |code, id: &str| suffering(&status(code, Some(id)));
    let mut done = Done::default();
    for row in rows() {
        let seen = match row.code {
            Code::ItwinNoPlatform => {
                let issuer = bed.stage.server.issuer();
                fs::write(
                    bed.stage.config_file(),
                    bare.replace(&issuer, "https://login.example.com"),
                )
                .unwrap();
                let seen = bed.run(&["datasources"]);
                fs::write(bed.stage.config_file(), &bare).unwrap();
                seen
            }
            Code::ItwinUnknownClient => refused(401, "UnknownClient"),
            Code::ItwinWrongAudience => {
                bed.stage
                    .server
                    .turn(|knobs| knobs.audience = "somebody-else".to_owned());
                bed.stage.server.expire_access_tokens();
                let seen = bed.run(&["datasources"]);
                bed.stage.server.turn(|knobs| *knobs = Knobs::default());
                bed.stage.server.expire_access_tokens();
                seen
            }
            Code::ItwinHeaderNotFound => refused(401, "HeaderNotFound"),
            Code::ItwinInsufficientPermissions => refused(403, "InsufficientPermissions"),
            Code::ItwinOperationNotFound => refused(404, "OperationNotFound"),
            Code::ItwinRateLimitExceeded => refused(429, "RateLimitExceeded"),
            Code::ItwinUnauthorized => refused(401, "Unauthorized"),
            Code::ItwinNotFound => refused(404, "iTwinNotFound"),
            Code::ItwinTimeout => refused(504, "Timeout"),
            Code::ItwinServerError => refused(500, "InternalServerError"),
            Code::ItwinMalformed => suffering(&Effect::MalformedJson),
            _ => continue,
        };
        compare(&row, &seen);
        done.add(&row);
    }
    done.check(&["itwin."]);
}

/// `NotEnoughRights` as a code has it.
fn kebab(id: &str) -> String {
    let mut text = String::new();
    for letter in id.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[test]
fn the_rows_of_this_machine_are_what_the_program_says() {
    let bed = Bed::new();
    let home = bed.stage.home.path();
    let config = fs::read_to_string(bed.stage.config_file()).unwrap();
    fs::create_dir_all(home.join("full")).unwrap();
    fs::write(home.join("full/file"), "x").unwrap();
    fs::create_dir(home.join("empty")).unwrap();
    let world = bed.stage.server.world();
    for _ in 0..2 {
        world.add_folder(None, "Twin").unwrap();
    }
    let folder = "Leven Estuary Crossing";
    let mut done = Done::default();
    for row in rows() {
        let is = |words: &str| row.words.contains(words);
        let seen = match row.code {
            Code::AddressInvalid if is("the link leads to") => {
                bed.run(&["folders", "--datasource", "pw://h:ds/Saved%20Searches/x"])
            }
            Code::AddressInvalid => bed.run(&["folders", "--datasource", "ftp://h/ws"]),
            Code::FolderNotFound => {
                compare(&row, &bed.run(&["folders", "No such folder"]));
                bed.run(&["mount", "empty", "--folder", "No such folder"])
            }
            Code::FolderAmbiguous if is("several folders fit") => bed.run(&["folders", "Twin"]),
            Code::FolderAmbiguous => bed.run(&["mount", "empty", "--folder", "Twin"]),
            Code::FolderChoice => bed.run(&["mount", "empty", "--folder", folder, "--folder", folder]),
            Code::ConfigUnreadable => bed.run(&["folders", "--config", "full"]),
            Code::ConfigInvalid if is("unknown key") => {
                bed.configured(&format!("{config}datasorce = \"x\"\n"))
            }
            Code::ConfigInvalid => bed.configured(&format!("{config}datasource = [\n")),
            Code::ConfigNoProfile if row.steps[0].starts_with("there are") => {
                bed.run(&["folders", "--profile", "other"])
            }
            Code::ConfigNoProfile => bed.configured(""),
            Code::ConfigNoDatasource => {
                let bare = config.lines().filter(|line| !line.starts_with("datasource"));
                bed.configured(&bare.collect::<Vec<_>>().join("\n"))
            }
            Code::MountMissing if fuse_is_here() => bed.run(&["mount", "not-there"]),
            Code::MountOccupied if is("not empty") && fuse_is_here() => bed.run(&["mount", "full"]),
            Code::MountOccupied if fuse_is_here() => bed.run(&["mount", "full/file"]),
            Code::MountAlreadyMounted if fuse_is_here() => {
                let mut running = bed.stage.start(&["mount", "empty"]);
                running.wait_for_line(|line| line.contains("is mounted at"));
                let seen = bed.run(&["mount", "empty"]);
                bed.stage.run(&["unmount", "empty"]).succeeds();
                running.finish().succeeds();
                seen
            }
            Code::CacheUnusable if fuse_is_here() => {
                bed.run(&["mount", "empty", "--cache-dir", "full/file/cache"])
            }
            Code::MountNone => bed.run(&["explain", "empty/x"]),
            Code::MountNoCatalog if fuse_is_here() => {
                // The contents can be kept there, and the catalog cannot.
                fs::create_dir(home.join("half")).unwrap();
                fs::write(home.join("half/catalog-v1"), "in the way").unwrap();
                let mut running = bed.stage.start(&["mount", "empty", "--cache-dir", "half"]);
                running.wait_for_line(|line| line.contains("is mounted at"));
                let seen = bed.run(&["explain", "empty"]);
                bed.stage.run(&["unmount", "empty"]).succeeds();
                running.finish();
                seen
            }
            Code::Usage => bed.run(&["frobnicate"]),
            _ => continue,
        };
        compare(&row, &seen);
        done.add(&row);
    }
    let prefixes = ["address.", "folder.", "config.", "mount.", "cache."];
    if fuse_is_here() {
        done.check(&prefixes);
    }
}

#[test]
fn the_rows_of_links_are_what_the_program_says() {
    if !fuse_is_here() {
        return;
    }
    let bed = Bed::new();
    let home = bed.stage.home.path();
    let world = bed.stage.server.world();
    let top = world.add_folder(None, "Linked").unwrap();
    let gone = world.add_document(top, "gone.txt", "x").unwrap();
    let kept = world.add_document(top, "kept.txt", "x").unwrap();
    world.add_placeholder(top, "Idea").unwrap();
    let mut running = Vec::new();
    for (dir, args) in [("all", &[][..]), ("part", &["--folder", "Company Standards"][..])] {
        fs::create_dir(home.join(dir)).unwrap();
        let mut mount = bed.stage.start(&[&["mount"], args, &[dir]].concat());
        mount.wait_for_line(|line| line.contains("is mounted at"));
        running.push(mount);
    }
    let fresh = || {
        bed.stage
            .run(&["sync-point", "all/Linked", "--max-age", "0s"])
            .succeeds()
    };
    fresh();
    world.delete_document(gone).unwrap();
    fresh();
    let told = bed.stage.run(&["--json", "link", "all"]).succeeds();
    let told: Value = serde_json::from_str(&told).unwrap();
    let root = told["links"][0]["url"].as_str().unwrap().to_owned();
    let open = |rest: &str, mount: &str| bed.run(&["open", &format!("{root}{rest}"), "--mount", mount]);
    let mut done = Done::default();
    for row in rows() {
        let is = |words: &str| row.words.contains(words);
        let seen = match row.code {
            Code::ObjectAbsent if is("has no such name") => open("Linked/nothing", "all"),
            Code::ObjectAbsent => {
                compare(&row, &bed.run(&["info", "all/Linked/nothing"]));
                bed.run(&["link", "all/Linked/nothing"])
            }
            Code::AttributesNotTold => {
                let object = |id: &str| Fault::error(RequestKind::FindIds, id);
                let fault = bed.stage.server.inject(object("PropertyNotFound"));
                let seen = bed.run(&["warm", "--attributes", "all/Linked"]);
                assert!(bed.stage.server.clear_fault(fault));
                seen
            }
            Code::ObjectNotListed if is("the link's names") => {
                open("Leven%20Estuary%20Crossing/nothing", "all")
            }
            Code::ObjectNotListed => {
                compare(&row, &bed.run(&["link", "all/Leven Estuary Crossing/nothing"]));
                open("D{01010101-0101-0101-0101-010101010101}", "all")
            }
            Code::ObjectGone => open(&format!("D{{{gone}}}"), "all"),
            Code::ObjectOutside => open(&format!("D{{{kept}}}"), "part"),
            Code::ObjectHidden => open("Linked/Idea", "all"),
            Code::LinkOtherDatasource => bed.run(&["open", "pw://h:ds/Documents/", "--mount", "all"]),
            Code::LinkNoOpener => {
                let url = format!("{root}D{{{kept}}}");
                let args = ["--json", "open", "--launch", &url, "--mount", "all"];
                let mut command = bed.stage.command(&args);
                command.env("PATH", home.join("nowhere"));
                Seen::of_program(&Running::spawn(command).finish())
            }
            _ => continue,
        };
        compare(&row, &seen);
        done.add(&row);
    }
    done.check(&["attributes.", "object.", "link."]);
}

/// Rows no program can be brought to within a test, each with what the code makes of it.
fn by_code() -> Vec<(&'static str, Seen)> {
    let mut told = of_obstacles();
    told.extend(of_everything_else());
    told
}

/// What stands in the way of a connection, in the words it is known by. `network` provokes them.
fn of_obstacles() -> Vec<(&'static str, Seen)> {
    let certificate = |obstacle: Obstacle| {
        let error = HttpError::Certificate(format!("h: its certificate, {}", obstacle.phrase()));
        Seen::of_code(error)
    };
    let proxy =
        |obstacle: Obstacle| Seen::of_code(HttpError::Proxy(format!("h: p:8080, {} x", obstacle.phrase())));
    let rows = [
        (
            "the server cannot be reached: … which this machine does not trust…",
            certificate(Obstacle::UnknownIssuer),
        ),
        (
            "the server cannot be reached: … expired on …",
            Seen::of_code(HttpError::Certificate(format!(
                "h: its certificate {} 2020-01-01",
                Obstacle::Expired.phrase()
            ))),
        ),
        (
            "the server cannot be reached: … is for other names…",
            certificate(Obstacle::WrongHost),
        ),
        (
            "the server cannot be reached: … asks for a client certificate…",
            certificate(Obstacle::ClientCertificate),
        ),
        (
            "the server cannot be reached: …the proxy wants a login…",
            proxy(Obstacle::ProxyLogin),
        ),
        (
            "the server cannot be reached: … the proxy does not connect to …",
            proxy(Obstacle::ProxyRefusal),
        ),
        (
            "the server cannot be reached: … cannot be used as a proxy…",
            proxy(Obstacle::Proxy),
        ),
        (
            "…a login must not go unencrypted…",
            Seen::of_code(HttpError::Settings(format!(
                "h: {} (http)",
                Obstacle::PlainHttp.phrase()
            ))),
        ),
    ];
    rows.into()
}

fn of_everything_else() -> Vec<(&'static str, Seen)> {
    let wsg = |problem, words: &str| Detail::new(words, Origin::Wsg(problem));
    let http = |error: HttpError| {
        let text = error.to_string();
        RemoteError::Unreachable(Detail::new(text, Origin::Http(error)))
    };
    let path = || PathBuf::from("/home/anna/.config/pwfs/config.toml");
    let failed = |words: &str| io::Error::other(words.to_owned());
    let datasource = |id: &str| Datasource {
        id: id.to_owned(),
        plugin: "Bentley.PW".to_owned(),
        location: "h:ds".to_owned(),
        label: "a label".to_owned(),
        description: String::new(),
    };
    let missing = |shows_some: bool| ConnectionError::NoSuchDatasource {
        server: "https://h/ws".into(),
        location: "h:c".into(),
        choices: if shows_some {
            vec![(datasource("PW--a"), "https://h/a".into())]
        } else {
            Vec::new()
        },
    };
    let password = AuthError::SecretRequired("the server refuses the password of anna".into());
    let of_app = Account {
        client_id: Some("webapp".to_owned()),
        ..Account::default()
    };
    let of_password = Account {
        auth: AuthKind::Basic,
        ..Account::default()
    };
    let mount = |words: &str| DaemonError::Mount {
        path: PathBuf::from("/mnt/pw"),
        source: failed(words),
    };
    vec![
        (
            "nobody signed in within 5 minutes",
            Seen::of_code(LoginError::TimedOut),
        ),
        (
            "the server cannot be reached: … its name cannot be resolved",
            Seen::of_code(http(HttpError::Unreachable(
                "h: its name cannot be resolved".into(),
            ))),
        ),
        (
            "the server cannot be reached: …",
            Seen::of_code(http(HttpError::Tls("h: no certificates".into()))),
        ),
        (
            "…",
            Seen::of_code(http(HttpError::Settings("ca_bundle: no such file".into()))),
        ),
        (
            "the server did not answer in time: …",
            Seen::of_code(http(HttpError::TimedOut("h sent nothing for 30s".into()))),
        ),
        (
            "the identity provider did not answer in time: …",
            Seen::of_code(AuthError::Unreachable(HttpError::TimedOut(
                "h sent nothing for 30s".into(),
            ))),
        ),
        (
            "the server's answer cannot be used: … redirects …",
            Seen::of_code(http(HttpError::Redirect(
                "h redirects to 10.0.0.1, an address inside a private network".into(),
            ))),
        ),
        (
            "the server's answer cannot be used: …",
            Seen::of_code(http(HttpError::TooLarge("h: more than 64 MiB".into()))),
        ),
        (
            "the server denies access to … (the login lacks a scope…",
            Seen::of_code(RemoteError::Denied {
                what: "the root folders".into(),
                detail: wsg(Problem::InsufficientScope, "the login lacks a scope: status 403"),
            }),
        ),
        (
            "the server is too old: …",
            Seen::of_code(RemoteError::Protocol(wsg(
                Problem::TooOld,
                "it speaks version 1.3",
            ))),
        ),
        (
            "the server's file store failed: …",
            Seen::of_code(RemoteError::Server(wsg(
                Problem::FileStore,
                "its file store answers 403",
            ))),
        ),
        (
            "the server's listing cannot be proved complete: …",
            Seen::of_code(DaemonError::Tree(TreeError::Unproved("rows are missing".into()))),
        ),
        (
            "the server has several ProjectWise datasources",
            Seen::of_code(ConnectError::SeveralDatasources(vec![datasource("PW--a")])),
        ),
        (
            "… has … ProjectWise datasources; name one of them",
            Seen::of_code(ConnectionError::SeveralDatasources {
                server: "https://h/ws".into(),
                choices: vec![(datasource("PW--a"), "https://h/a".into())],
            }),
        ),
        ("… has no datasource …", Seen::of_code(missing(true))),
        (
            "… has no datasource \"…\"",
            Seen::of_code(CliError::from(missing(false)).for_account(of_app)),
        ),
        (
            "no gateway of the ProjectWise server … answers at …",
            Seen::of_code(ConnectionError::NoGateway {
                pw_server: "pw.example.com".into(),
                gateway: "https://pw.example.com/ws".into(),
                error: RemoteError::Unreachable("its name cannot be resolved".into()),
            }),
        ),
        (
            "the server does not tell which folder the document … is in",
            Seen::of_code(ConnectionError::Homeless(DocumentId(
                "9d8a7a70-254f-4494-bfe8-9c312e33a662".parse().unwrap(),
            ))),
        ),
        (
            "the iTwin Platform takes logins of iTwin apps only",
            Seen::of_code(PlatformError::NoApp),
        ),
        (
            "the server refuses the password of …",
            Seen {
                steps: CliError::from(password).for_account(of_password).hints(),
                ..Seen::of_code(AuthError::SecretRequired(
                    "the server refuses the password of anna".into(),
                ))
            },
        ),
        (
            "…",
            Seen::of_code(LoginCommandError::Refused("it is not taken".into())),
        ),
        (
            "cannot write …",
            Seen::of_code(ConfigError::Write {
                path: path(),
                source: failed("no space left"),
            }),
        ),
        (
            "… was changed by another program meanwhile; nothing was written",
            Seen::of_code(ConfigError::ChangedMeanwhile(path())),
        ),
        (
            "this user has no home directory; …",
            Seen::of_code(ConfigError::NoHome),
        ),
        (
            "this system has no FUSE: /dev/fuse does not exist",
            Seen::of_code(MountpointError::NoDevice),
        ),
        (
            "/dev/fuse cannot be opened by this user …",
            Seen::of_code(MountpointError::DeviceClosed { mode: 0o600 }),
        ),
        (
            "fusermount3 is not installed, and only root can mount without it",
            Seen::of_code(MountpointError::NoHelper),
        ),
        (
            "mounting … failed: … user_allow_other …",
            Seen::of_code(mount(
                "option allow_other needs user_allow_other in /etc/fuse.conf",
            )),
        ),
        ("mounting … failed: …", Seen::of_code(mount("permission denied"))),
        (
            "cannot look at …: …",
            Seen::of_code(MountpointError::Io {
                path: PathBuf::from("/mnt/pw"),
                source: failed("permission denied"),
            }),
        ),
    ]
}

#[test]
fn the_rows_that_cannot_be_provoked_are_what_the_code_says() {
    let rows = rows();
    for (words, seen) in by_code() {
        let row = rows
            .iter()
            .find(|row| {
                row.words == words && row.code.text() == seen.code && row.steps.len() == seen.steps.len()
            })
            .unwrap_or_else(|| panic!("no row says {words:?} and is called {}", seen.code));
        compare(row, &seen);
    }
    for (kind, code) in [
        (ErrorKind::Failure, Code::Failure),
        (ErrorKind::Usage, Code::Usage),
        (ErrorKind::Unreachable, Code::Unreachable),
        (ErrorKind::CannotCreate, Code::CannotCreate),
        (ErrorKind::TryAgain, Code::TryAgain),
        (ErrorKind::Login, Code::Login),
        (ErrorKind::Config, Code::Config),
    ] {
        let row = rows.iter().find(|row| row.code == code).unwrap();
        compare(row, &Seen::of_code(CliError::new(kind, "something else")));
    }
    // What has a name has a use.
    let refused = AuthError::Refused {
        error: OauthError::Other,
        words: "x".into(),
    };
    assert_eq!(Seen::of_code(refused).code, "oauth.refused");
    let full = ContentError::Stopped;
    assert_eq!(Seen::of_code(DaemonError::Cache(full)).code, "cache.unusable");
}

#[test]
fn a_mount_that_cannot_start_says_what_a_command_says() {
    if !fuse_is_here() {
        return;
    }
    let bed = Bed::new();
    fs::create_dir(bed.stage.home.path().join("mnt")).unwrap();
    let without_ids = |seen: Seen| {
        let mut words = seen.words;
        if let Some(at) = words.find("request id ") {
            words.truncate(at);
        }
        (words, seen.code, seen.status, seen.steps)
    };
    let listing = [RequestKind::NavNode, RequestKind::ListProjects];
    for effect in [
        status(401, Some("LoginFailed")),
        status(403, Some("NotEnoughRights")),
        status(404, Some("DatasourceNotFound")),
        status(503, None),
        Effect::HtmlLogin,
        Effect::MalformedJson,
        Effect::DropConnection,
    ] {
        let told = ["folders", "mount"].map(|command| {
            let args: &[&str] = if command == "mount" {
                &["mount", "mnt"]
            } else {
                &["folders"]
            };
            without_ids(bed.suffering(&listing, &effect, args))
        });
        assert_eq!(told[0], told[1], "{effect:?}");
    }
    let url = format!("{}/ws", nowhere());
    let folders = without_ids(bed.run(&["folders", "--datasource", &url]));
    assert_eq!(without_ids(bed.run(&["mount", &url, "mnt"])), folders);
    bed.stage.server.revoke_all_tokens();
    let folders = without_ids(bed.run(&["folders"]));
    assert_eq!(folders.1, "login.required");
    assert_eq!(without_ids(bed.run(&["mount", "mnt"])), folders);
}

#[test]
fn the_client_id_is_in_the_hint_and_the_profile_in_the_command() {
    let bed = Bed::new();
    let whole = bed.error_id("LoginFailed").steps.join("\n");
    assert!(whole.contains("administrator: native-pwfs-demo\n"), "{whole}");
    let config = fs::read_to_string(bed.stage.config_file()).unwrap();
    let renamed = config.replace("[profiles.default]", "[profiles.work]");
    fs::write(bed.stage.home.path().join("other.toml"), renamed).unwrap();
    let named = ["--config", "other.toml", "--profile", "work", "folders"];
    let seen = bed.run(&named);
    assert_eq!(
        seen.steps,
        ["run `pwfs login --config other.toml --profile work`"]
    );
    // In the terminal, too.
    let text = bed.stage.run(&named).fails(77);
    assert!(
        text.contains("Hint: run `pwfs login --config other.toml --profile work`\n"),
        "{text}"
    );
}

#[test]
fn patterns_fit_what_they_mean() {
    for (pattern, text, whole, expected) in [
        ("a … c", "a b c", true, true),
        ("a … c", "x a b c y", false, true),
        ("a … c", "x a b c y", true, false),
        ("a …", "a ", true, true),
        ("…", "", true, true),
        ("a", "ab", true, false),
        ("a…", "ab", true, true),
    ] {
        assert_eq!(fits(pattern, text, whole), expected, "{pattern} {text}");
    }
}
