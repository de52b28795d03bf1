//! The real program behind certificates and proxies.

use std::net::SocketAddr;
use std::process::Command;

use tokio::runtime::Runtime;

use super::{Authority, Clients, Inside, Obstacle, Proxy, Rules, TlsServer, Url, VALID, file, to};
use crate::harness::small;
use crate::program::{Finished, Running, Stage, visit};

/// The stage's server behind TLS by a private authority, and a proxy that knows the way to it by any name.
struct Site {
    stage: Stage,
    terminator: TlsServer,
    proxy: Proxy,
    // Dropped last.
    runtime: Runtime,
}

/// The base64 of the login the proxy wants; `me:s3c$ret`.
const LOGIN: &str = "bWU6czNjJHJldA==";

impl Site {
    fn new(rules: impl FnOnce(SocketAddr) -> Rules) -> Self {
        let stage = Stage::with(small());
        let runtime = Runtime::new().unwrap();
        let authority = Authority::new("Corporate Root");
        let identity = authority.issue(&["localhost", "pw.example.test"], VALID);
        let plain = stage
            .server
            .base_url()
            .parse::<Url>()
            .unwrap()
            .socket_addrs(|| None)
            .unwrap()[0];
        let terminator = TlsServer::start(runtime.handle(), &identity, Clients::Anybody, Inside::Pass(plain));
        let proxy = Proxy::start(runtime.handle(), rules(terminator.address));
        file(stage.home.path(), "corp.pem", &authority.pem());
        Self {
            stage,
            terminator,
            proxy,
            runtime,
        }
    }

    fn plain_address(&self) -> SocketAddr {
        let base: Url = self.stage.server.base_url().parse().unwrap();
        base.socket_addrs(|| None).unwrap()[0]
    }

    /// The datasource's address at another place.
    fn datasource_at(&self, place: &str) -> String {
        let url: Url = self.stage.server.datasource_url().parse().unwrap();
        format!("{place}{}", url.path())
    }

    fn secure_place(&self, host: &str) -> String {
        format!("https://{host}:{}", self.terminator.address.port())
    }

    /// The program's login at the secure issuer; `flags` are more of its words.
    fn login(&self, flags: &[&str]) -> Finished {
        let issuer = self.secure_place("localhost");
        let client = self.stage.server.native_client_id();
        let mut args = vec![
            "login",
            "--no-browser",
            "--credentials",
            "file",
            "--client-id",
            &client,
        ];
        args.extend(["--issuer", &issuer, "--redirect-uri", "http://localhost:0/back"]);
        args.extend(flags);
        let mut login = self.stage.start(&args);
        let page = login.sign_in_page();
        self.stage.register(&page);
        visit(&page);
        login.finish()
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Finished {
        let mut command: Command = self.stage.command(args);
        command.envs(environment.iter().copied());
        Running::spawn(command).finish()
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.stage.config_file()).unwrap()
    }
}

#[test]
fn a_private_authority_is_given_once_and_kept() {
    let site = Site::new(to);
    let issuer = site.secure_place("localhost");
    let words = site
        .run(
            &[
                "login",
                "--client-id",
                "x",
                "--issuer",
                &issuer,
                "--redirect-uri",
                "http://localhost:0/b",
            ],
            &[],
        )
        .fails(69);
    for word in ["issued by \"CN=Corporate Root\"", "Hint: ", "--ca-bundle FILE"] {
        assert!(words.contains(word), "{word} is missing in {words}");
    }
    assert!(!site.stage.config_file().exists());

    site.login(&["--ca-bundle", "corp.pem"]).succeeds();
    let kept = std::fs::canonicalize(site.stage.home.path())
        .unwrap()
        .join("corp.pem");
    assert!(
        site.config().contains(&format!("ca_bundle = {kept:?}")),
        "{}",
        site.config()
    );
    let datasource = site.datasource_at(&site.secure_place("localhost"));
    let shelves = site
        .run(&["folders", "--datasource", &datasource], &[])
        .succeeds();
    assert!(shelves.lines().count() > 1, "{shelves}");

    // The environment goes before the file, and a flag before the environment.
    let missing = [("PWFS_CA_BUNDLE", "missing.pem")];
    let words = site
        .run(&["folders", "--datasource", &datasource], &missing)
        .fails(78);
    assert!(
        words.contains("ca_bundle (--ca-bundle)") && words.contains("missing.pem"),
        "{words}"
    );
    site.run(
        &["folders", "--datasource", &datasource, "--ca-bundle", "corp.pem"],
        &missing,
    )
    .succeeds();

    // A path in the file is one beside the file; without the authority nobody is asked.
    let beside = site.config().replace(&format!("{kept:?}"), "\"other.pem\"");
    std::fs::write(site.stage.config_file(), beside).unwrap();
    let words = site.run(&["folders", "--datasource", &datasource], &[]).fails(78);
    assert!(words.contains(".config/pwfs/other.pem"), "{words}");
    std::fs::write(site.stage.config_file(), site.config().replace("ca_bundle", "# ")).unwrap();
    let words = site.run(&["folders", "--datasource", &datasource], &[]).fails(69);
    for word in ["issued by \"CN=Corporate Root\"", "--ca-bundle FILE"] {
        assert!(words.contains(word), "{word} is missing in {words}");
    }
    site.run(&["whoami"], &missing).succeeds();
}

#[test]
fn a_proxy_with_a_password_works_from_the_environment_and_is_shown_nowhere() {
    let site = Site::new(|address| Rules {
        login: Some(LOGIN.to_owned()),
        ..to(address)
    });
    site.login(&["--ca-bundle", "corp.pem"]).succeeds();
    let datasource = site.datasource_at(&site.secure_place("pw.example.test"));
    let folders = ["folders", "--datasource", &datasource, "--log-level", "trace"];
    let full = format!("http://me:s3c%24ret@{}", site.proxy.address);
    let bare = site.proxy.url();
    let mut said = Vec::new();
    for environment in [
        vec![("PWFS_PROXY", full.as_str())],
        vec![("HTTPS_PROXY", full.as_str())],
        // pwfs's own variable goes before everybody's.
        vec![
            ("PWFS_PROXY", full.as_str()),
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ],
    ] {
        let before = site.proxy.heads().len();
        let done = site.run(&folders, &environment);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(site.proxy.heads().len() > before);
        said.push(done);
    }
    let refused = site.run(&folders, &[("PWFS_PROXY", &full.replace("s3c", "wr0ng"))]);
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert_eq!(Obstacle::told_by(&refused.stderr), Some(Obstacle::ProxyLogin));
    assert!(
        refused.stderr.contains(&bare) && refused.stderr.contains("PWFS_PROXY="),
        "{refused:?}"
    );
    said.push(refused);

    // Past the proxy there is no such host.
    for environment in [
        [("PWFS_PROXY", full.as_str()), ("PWFS_NO_PROXY", "example.test")],
        [("HTTPS_PROXY", full.as_str()), ("NO_PROXY", ".test")],
        [("HTTPS_PROXY", full.as_str()), ("PWFS_PROXY", "none")],
    ] {
        let done = site.run(&folders, &environment);
        assert!(done.stderr.contains("its name cannot be resolved"), "{done:?}");
        said.push(done);
    }

    // Where it would be seen, it is refused.
    let words = site.run(&["folders", "--proxy", &full], &[]);
    assert_eq!(words.code, Some(2), "{words:?}");
    assert!(words.stderr.contains("PWFS_PROXY"), "{words:?}");
    said.push(words);
    said.push(site.run(&["folders", "--help"], &[("PWFS_PROXY", &full)]));
    // A login keeps what stands on its command line, and nothing of the environment.
    let environment = [("PWFS_PROXY", full.as_str()), ("PWFS_ALLOW_PLAIN_HTTP", "1")];
    let mut command = site
        .stage
        .command(&["login", "--no-browser", "--no-proxy", "localhost"]);
    command.envs(environment);
    let mut login = Running::spawn(command);
    let page = login.sign_in_page();
    site.stage.register(&page);
    visit(&page);
    said.push(login.finish());
    let config = site.config();
    assert!(
        config.contains("no_proxy = \"localhost\"") && config.contains("corp.pem"),
        "{config}"
    );
    assert!(
        !config.contains("\nproxy") && !config.contains("allow_plain_http"),
        "{config}"
    );

    let kept = config.replace("no_proxy =", &format!("proxy = {full:?}\nno_proxy ="));
    std::fs::write(site.stage.config_file(), kept).unwrap();
    let words = site.run(&["folders", "--datasource", &datasource], &[]);
    assert_eq!(words.code, Some(78), "{words:?}");
    assert!(words.stderr.contains("config.toml holds no secrets"), "{words:?}");
    said.push(words);
    for finished in said {
        for part in ["s3c", "wr0ng", LOGIN] {
            assert!(!finished.all().contains(part), "{part} in {}", finished.all());
        }
    }
}

#[test]
fn a_login_goes_unencrypted_only_where_that_is_permitted() {
    let mut site = Site::new(to);
    let rules = to(site.plain_address());
    site.proxy = Proxy::start(site.runtime.handle(), rules);
    site.login(&["--ca-bundle", "corp.pem"]).succeeds();
    let proxy = site.proxy.url();
    let datasource = site.datasource_at("http://pw.example.test");
    let folders = ["folders", "--datasource", &datasource, "--proxy", &proxy];
    let words = site.run(&folders, &[]).fails(2);
    assert!(
        words.contains("--allow-plain-http") && words.contains("everyone on the way"),
        "{words}"
    );
    assert!(site.proxy.heads().is_empty());
    for permission in ["1", "true"] {
        site.run(&folders, &[("PWFS_ALLOW_PLAIN_HTTP", permission)])
            .succeeds();
    }
    site.run(&[&folders[..], &["--allow-plain-http"]].concat(), &[])
        .succeeds();
    assert!(site.proxy.heads()[0].starts_with("GET http://pw.example.test/"));
    site.run(&folders, &[("PWFS_ALLOW_PLAIN_HTTP", "0")]).fails(2);

    // The same for the identity provider.
    let login = [
        "login",
        "--client-id",
        "x",
        "--issuer",
        "http://ims.example.test",
        "--redirect-uri",
    ];
    let login = [&login[..], &["http://localhost:0/b", "--proxy", &proxy]].concat();
    let words = site.run(&login, &[]).fails(78);
    assert!(words.contains("--allow-plain-http"), "{words}");
    let asked = site.proxy.heads().len();
    let words = site
        .run(&[&login[..], &["--allow-plain-http"]].concat(), &[])
        .fails(1);
    // The embedded server knows itself by its address alone.
    assert!(words.contains("names an endpoint on this machine"), "{words}");
    assert!(site.proxy.heads()[asked].starts_with("GET http://ims.example.test/.well-known/"));
}

#[test]
fn a_key_that_everybody_can_read_is_told_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new(to);
    site.login(&["--ca-bundle", "corp.pem"]).succeeds();
    let me = Authority::new("Staff").issue(&["me"], VALID);
    let both = format!("{}{}", me.key.serialize_pem(), me.certificate_pem);
    let path = file(site.stage.home.path(), "me.pem", &both);
    let datasource = site.datasource_at(&site.secure_place("localhost"));
    let mut warnings = Vec::new();
    for mode in [0o644, 0o640] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let done = site.run(
            &["folders", "--datasource", &datasource, "--client-cert", "me.pem"],
            &[],
        );
        assert_eq!(done.code, Some(0), "{done:?}");
        warnings.push(
            done.stderr
                .matches("every user of this machine can read it")
                .count(),
        );
    }
    assert_eq!(warnings, [1, 0]);
}
