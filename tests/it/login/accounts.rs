//! Logins without a browser, by the program itself: services, passwords, tokens from files, and those of the system.

use std::fs;
use std::path::Path;

use pwfs::demo::knobs::Knobs;
use pwfs::demo::{DemoOptions, RequestKind};
use serde_json::Value;

use super::is_root;
use crate::harness::small;
use crate::program::{Stage, mode};

pub(super) const PASSWORD: &str = "leven-bridge";

pub(super) fn with_knobs(knobs: Knobs) -> DemoOptions {
    DemoOptions { knobs, ..small() }
}

/// The flags of a login with the demo's service.
pub(super) fn service(stage: &Stage) -> Vec<String> {
    let (client_id, secret) = stage.server.service_client();
    fs::write(stage.home.path().join("secret"), secret).unwrap();
    let issuer = stage.server.issuer();
    let flags = [
        "login",
        "--service",
        "--client-id",
        &client_id,
        "--issuer",
        &issuer,
        "--client-secret-file",
        "secret",
        "--credentials",
        "file",
    ];
    flags.map(str::to_owned).into()
}

/// The flags of a login with a password, which is in the file `password`.
pub(super) fn basic(stage: &Stage, password: &str) -> Vec<String> {
    fs::write(stage.home.path().join("password"), format!("{password}\n")).unwrap();
    let flags = [
        "login",
        "--username",
        "demo.engineer",
        "--password-file",
        "password",
        "--credentials",
        "file",
    ];
    flags.map(str::to_owned).into()
}

pub(super) fn at_the_datasource(stage: &Stage, mut flags: Vec<String>) -> Vec<String> {
    flags.extend(["--datasource".to_owned(), stage.server.datasource_url()]);
    flags
}

/// A SAML assertion about the demo's engineer.
pub(super) fn assertion(until: &str) -> String {
    format!(
        "<Assertion><Issuer>https://sts.example</Issuer><Conditions NotOnOrAfter=\"{until}\"/>\
         <Subject><NameID>demo.engineer@example.com</NameID></Subject></Assertion>\n"
    )
}

fn config(stage: &Stage) -> String {
    fs::read_to_string(stage.config_file()).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_service_signs_in_by_itself_and_its_profile_says_so() {
    let stage = Stage::new();
    let said = stage.run(&at_the_datasource(&stage, service(&stage))).succeeds();
    assert!(said.contains("scopes     projectwise:read\n"), "{said}");
    assert!(said.contains("renews itself"), "{said}");
    let expected = format!(
        "[profiles.default]\nauth = \"service\"\nissuer = {:?}\nclient_id = \"service-pwfs-demo\"\n\
         scopes = [\"projectwise:read\"]\ncredentials = \"file\"\ndatasource = {:?}\n",
        stage.server.issuer(),
        stage.server.datasource_url()
    );
    assert_eq!(config(&stage), expected);
    assert_eq!(mode(&stage.login_file()), 0o600);
    stage.run(&["folders"]).succeeds();
    let who = json(&stage.run(&["whoami", "--json"]).succeeds());
    assert_eq!(
        (&who["auth"], &who["renews"], &who["client_id"]),
        (&"service".into(), &true.into(), &"service-pwfs-demo".into())
    );
    // Its token is fetched with the secret, by whoever needs it.
    let token = stage.stored("access_token");
    stage.server.expire_access_tokens();
    stage.run(&["folders"]).succeeds();
    assert_ne!(stage.stored("access_token"), token);
    // Told nothing, it signs in as the profile says, with the secret that is stored.
    stage.run(&["login"]).succeeds();
    assert_eq!(config(&stage), expected);
    assert_eq!(stage.run(&["logout"]).succeeds(), "signed out on this machine\n");
    stage.run(&["folders"]).fails(77);
}

#[test]
fn a_service_that_may_not_sign_in_is_told_why() {
    let stage = Stage::new();
    let flags = service(&stage);
    let with = |more: &[&str]| {
        let mut flags = flags.clone();
        flags.extend(more.iter().map(|word| (*word).to_owned()));
        stage.run(&flags)
    };
    let words = with(&["--scope", "projectwise:read imaginary:write"]).fails(77);
    assert!(words.contains("imaginary:write"), "{words}");
    assert!(
        words.contains("https://developer.bentley.com/my-apps/"),
        "{words}"
    );
    fs::write(stage.home.path().join("secret"), "not-the-secret").unwrap();
    let words = with(&[]).fails(77);
    assert!(
        words.contains("Client Secret") && !words.contains("not-the-secret"),
        "{words}"
    );
    // A Web App is no service.
    let (web, secret) = stage.server.web_client();
    fs::write(stage.home.path().join("secret"), secret).unwrap();
    let mut flags = flags.clone();
    flags[3] = web;
    let words = stage.run(&flags).fails(77);
    assert!(words.contains("does not allow this app"), "{words}");
    let (head, _) = flags.split_at(6);
    let words = stage.run(head).fails(2);
    assert!(words.contains("pwfs-client-secret"), "{words}");
    assert!(!stage.login_file().exists() && !stage.config_file().exists());
}

#[test]
fn an_app_without_a_secret_is_never_asked_for_one_and_sends_none() {
    let stage = Stage::new();
    let mut flags = stage.native_app();
    flags.extend(["--app-type", "native"].map(str::to_owned));
    stage.login(&flags).succeeds();
    assert!(config(&stage).contains("auth = \"native\""), "{}", config(&stage));
    let mut flags = stage.native_app();
    flags[1] = stage.server.spa_client_id();
    flags.extend(["--app-type", "spa"].map(str::to_owned));
    stage.login(&flags).succeeds();
    stage.server.expire_access_tokens();
    let url = stage.server.datasource_url();
    stage.run(&["folders", "--datasource", &url]).succeeds();
    let words = stage.run(&["login", "--client-secret-file", "x"]).fails(2);
    assert!(words.contains("has no secret"), "{words}");
}

#[test]
fn a_password_is_tried_once_and_kept_if_the_server_takes_it() {
    let stage = Stage::new();
    let said = stage
        .run(&at_the_datasource(&stage, basic(&stage, PASSWORD)))
        .succeeds();
    assert!(said.starts_with("Signed in as demo.engineer\n"), "{said}");
    assert_eq!(
        config(&stage),
        format!(
            "[profiles.default]\nauth = \"basic\"\nusername = \"demo.engineer\"\ncredentials = \"file\"\n\
             datasource = {:?}\n",
            stage.server.datasource_url()
        )
    );
    assert_eq!(mode(&stage.login_file()), 0o600);
    stage.run(&["folders"]).succeeds();
    assert_eq!(stage.run(&["whoami"]).succeeds(), said);
    let who = json(&stage.run(&["whoami", "--json"]).succeeds());
    assert_eq!(
        (&who["auth"], &who["username"]),
        (&"basic".into(), &"demo.engineer".into())
    );
    assert!(
        who.get("issuer").is_none() && !who.to_string().contains(PASSWORD),
        "{who}"
    );

    // A wrong one: sent once, and the right one stays.
    let kept = fs::read(stage.login_file()).unwrap();
    stage.server.reset_counters();
    let words = stage.run(&basic(&stage, "not-the-password")).fails(77);
    assert!(
        words.contains("the password of demo.engineer is not taken"),
        "{words}"
    );
    assert!(!words.contains("not-the-password"), "{words}");
    let requests = stage.server.requests();
    assert_eq!(
        requests.total - requests.of(RequestKind::Plugins),
        1,
        "{requests:?}"
    );
    assert_eq!(fs::read(stage.login_file()).unwrap(), kept);

    // A person who says nothing means the one that is stored.
    stage.run(&["login"]).succeeds();
    assert_eq!(stage.run(&["logout"]).succeeds(), "signed out on this machine\n");
    assert!(!stage.login_file().exists());
    stage.run(&["whoami"]).fails(77);
    let words = stage.run(&["login"]).fails(2);
    assert!(words.contains("--password-file"), "{words}");
}

#[test]
fn a_password_comes_from_the_environment_or_from_systemd() {
    let stage = Stage::new();
    let credentials = stage.home.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("pwfs-password"), format!("{PASSWORD}\n")).unwrap();
    for (variable, value) in [
        ("PWFS_PASSWORD", PASSWORD),
        ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
    ] {
        let mut command = stage.command(&["login", "--credentials", "file"]);
        command
            .env("PWFS_USERNAME", "demo.engineer")
            .env("PWFS_DATASOURCE", stage.server.datasource_url())
            .env(variable, value);
        crate::program::Running::spawn(command).finish().succeeds();
        assert_eq!(stage.stored("password"), PASSWORD);
        stage.run(&["logout"]).succeeds();
    }
    let refused = stage.run(&["login", "--password", "x"]);
    assert_eq!(refused.code, Some(2), "an argument would be for all to see");
}

#[test]
fn a_login_that_cannot_be_tried_is_kept_where_no_datasource_is_known_and_only_there() {
    let stage = Stage::new();
    let done = stage.run(&basic(&stage, "anything"));
    assert!(done.stderr.contains("was not tried"), "{done:?}");
    done.succeeds();
    assert_eq!(stage.stored("password"), "anything");
    let before = config(&stage);
    let mut flags = basic(&stage, PASSWORD);
    flags.extend([
        "--datasource".to_owned(),
        format!("{}/ws", crate::program::nowhere()),
    ]);
    stage.run(&flags).fails(69);
    let mut flags = basic(&stage, PASSWORD);
    flags.extend(["--datasource", "ftp://x"].map(str::to_owned));
    stage.run(&flags).fails(2);
    assert_eq!(stage.stored("password"), "anything");
    assert_eq!(config(&stage), before);
}

#[test]
fn a_windows_account_signs_in_with_its_header() {
    let stage = Stage::with(with_knobs(Knobs {
        auth: "windows".to_owned(),
        ..Knobs::default()
    }));
    // The demo takes a name with a domain for one of Windows only with the header that says so.
    let mut flags = at_the_datasource(&stage, basic(&stage, PASSWORD));
    flags[2] = "WORKS\\demo.engineer".to_owned();
    stage.run(&flags).fails(77);
    flags.push("--windows".to_owned());
    stage.run(&flags).succeeds();
    assert!(
        config(&stage).contains("auth = \"windows\""),
        "{}",
        config(&stage)
    );
    stage.run(&["folders"]).succeeds();
}

#[test]
fn a_token_from_a_file_is_read_where_it_is() {
    let stage = Stage::new();
    // Somebody else's business: a service that writes its token.
    stage.run(&service(&stage)).succeeds();
    let file = stage.home.path().join("token");
    fs::write(&file, format!("{}\n", stage.stored("access_token"))).unwrap();
    let flags = |flag: &str, file: &str| {
        let flags = ["login", "--profile", "t", flag, file].map(str::to_owned);
        at_the_datasource(&stage, flags.into())
    };
    let done = stage.run(&flags("--token-file", "token"));
    assert!(done.stderr.contains("others can read"), "{done:?}");
    let said = done.succeeds();
    assert!(said.contains(file.to_str().unwrap()), "{said}");
    assert!(
        config(&stage).contains(&format!("token_file = {file:?}")),
        "{}",
        config(&stage)
    );
    stage.run(&["folders", "--profile", "t"]).succeeds();
    let said = stage.run(&["logout", "--profile", "t"]).succeeds();
    assert!(said.contains("the token stays in"), "{said}");
    assert!(file.exists());

    stage.server.expire_access_tokens();
    stage.server.reset_counters();
    let words = stage.run(&flags("--token-file", "token")).fails(77);
    assert!(words.contains(file.to_str().unwrap()), "{words}");
    let requests = stage.server.requests();
    assert_eq!(
        requests.total - requests.of(RequestKind::Plugins),
        1,
        "{requests:?}"
    );
    fs::write(&file, "").unwrap();
    let words = stage.run(&flags("--token-file", "token")).fails(2);
    assert!(words.contains("is empty"), "{words}");

    fs::write(&file, assertion("2999-01-01T00:00:00Z")).unwrap();
    let said = stage.run(&flags("--saml-file", "token")).succeeds();
    assert!(
        said.starts_with("Signed in as demo.engineer@example.com\n"),
        "{said}"
    );
    stage.run(&["folders", "--profile", "t"]).succeeds();
    assert!(config(&stage).contains("auth = \"saml\""), "{}", config(&stage));
}

#[test]
fn a_login_of_another_kind_takes_the_place_of_the_last() {
    let stage = Stage::new();
    stage.login(&stage.native_app()).succeeds();
    stage
        .run(&at_the_datasource(&stage, basic(&stage, PASSWORD)))
        .succeeds();
    assert!(!config(&stage).contains("client_id"), "{}", config(&stage));
    stage.run(&["folders"]).succeeds();
    fs::write(stage.home.path().join("saml"), assertion("2999-01-01T00:00:00Z")).unwrap();
    let done = stage.run(&["login", "--saml-file", "saml"]);
    assert!(done.stderr.contains("forgotten"), "{done:?}");
    done.succeeds();
    assert!(!stage.login_file().exists());
    stage.run(&["folders"]).succeeds();
    stage.login(&stage.native_app()[..]).succeeds();
    stage.run(&["folders"]).succeeds();
}

#[test]
fn no_password_or_token_is_printed_logged_or_kept_beside_the_login() {
    let stage = Stage::new();
    let trace = |mut flags: Vec<String>| {
        flags.extend(["--log-level", "trace"].map(str::to_owned));
        stage.run(&flags)
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut said = vec![
        trace(at_the_datasource(&stage, basic(&stage, PASSWORD))),
        trace(words("folders")),
        trace(words("whoami")),
        trace(basic(&stage, "not-the-password")),
    ];
    // printf 'demo.engineer:leven-bridge' | base64
    let mut secrets = vec![
        PASSWORD.to_owned(),
        "ZGVtby5lbmdpbmVlcjpsZXZlbi1icmlkZ2U=".to_owned(),
        "not-the-password".to_owned(),
    ];
    said.extend([
        trace(words("logout")),
        trace(service(&stage)),
        trace(words("folders")),
    ]);
    let (_, secret) = stage.server.service_client();
    let encoded = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    secrets.extend([secret, encoded, stage.stored("access_token")]);
    fs::write(stage.home.path().join("token"), stage.stored("access_token")).unwrap();
    said.extend([trace(words("login --token-file token")), trace(words("folders"))]);
    for file in ["password", "secret", "token"] {
        fs::remove_file(stage.home.path().join(file)).unwrap();
    }
    said.push(trace(words("folders")));
    assert_eq!(
        said.iter().map(|done| done.code).collect::<Vec<_>>(),
        [0, 0, 0, 77, 0, 0, 0, 0, 0, 77].map(Some)
    );
    assert!(said[1].stderr.contains("TRACE"), "it logs: {}", said[1].stderr);
    let files = stage.files();
    assert!(!files.is_empty());
    for secret in &secrets {
        for done in &said {
            assert!(!done.all().contains(secret), "{secret} in {}", done.all());
        }
        for (path, bytes) in &files {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains(secret), "{secret} in {}", path.display());
        }
    }
}

#[test]
fn a_login_of_the_system_is_roots_own() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let (config, state) = (stage.home.path().join("etc"), stage.home.path().join("lib"));
    fs::create_dir(&state).unwrap();
    let run = |stage: &Stage, args: &[String]| {
        let mut command = stage.command(args);
        command
            .env("PWFS_SYSTEM", "1")
            .env("PWFS_CONFIG_DIR", &config)
            .env("PWFS_STATE_DIR", &state);
        crate::program::Running::spawn(command).finish()
    };
    let mut flags = at_the_datasource(&stage, service(&stage));
    flags.truncate(8);
    run(&stage, &flags).succeeds();
    let text = fs::read_to_string(config.join("config.toml")).unwrap();
    assert!(text.contains("credentials = \"file\""), "{text}");
    for (path, bits) in [
        (config.as_path(), 0o700),
        (&config.join("config.toml"), 0o600),
        // It was there, and open to others.
        (&state, 0o700),
        (&state.join("credentials"), 0o700),
        (&state.join("credentials/default.json"), 0o600),
    ] {
        assert_eq!(mode(path), bits, "{}", path.display());
    }
    run(&stage, &["whoami".to_owned()]).succeeds();
    flags.extend(["--credentials", "keyring"].map(str::to_owned));
    let words = run(&stage, &flags).fails(2);
    assert!(words.contains("kept in a file"), "{words}");

    // Anybody else is told how.
    let nobody = Stage::of_nobody();
    for args in [service(&nobody), vec!["whoami".to_owned()]] {
        let words = run(&nobody, &args).fails(77);
        assert!(words.contains("sudo"), "{words}");
    }
    fs::remove_dir_all(&config).unwrap();
    let words = run(&nobody, &service(&nobody)).fails(77);
    assert!(words.contains("sudo"), "{words}");
    assert!(!Path::new(&config).exists());
}
