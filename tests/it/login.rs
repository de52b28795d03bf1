//! `login`, `whoami` and `logout`, by the program itself.

use std::fs;
use std::net::TcpListener;

use pwfs::demo::{Effect, Fault, RequestKind};
use rustix::process::Signal;
use serde_json::Value;
use url::Url;

use crate::program::{Running, Stage, fetch, mode, parameter, until, visit};

mod accounts;
mod elsewhere;
mod stories;
mod switch;

/// Says that a test only root can do does nothing.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can do this");
    }
    root
}

/// Asks the identity service for new tokens, as a thief of the refresh token would; the status.
fn redeem(stage: &Stage, refresh: &str) -> u16 {
    let url: Url = format!("{}/connect/token", stage.server.issuer())
        .parse()
        .unwrap();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", &stage.server.native_client_id())
        .append_pair("refresh_token", refresh)
        .finish();
    fetch("POST", &url, &form).status
}

#[test]
fn a_person_signs_in_looks_who_they_are_and_signs_out() {
    let stage = Stage::new();
    let said = stage.login(&stage.native_app()).succeeds();
    assert!(
        said.starts_with("Signed in as Demo Engineer <demo.engineer@example.com>\n"),
        "{said}"
    );

    // What is kept: the app for all to see who may read the directory, the login for its owner alone.
    let config = fs::read_to_string(stage.config_file()).unwrap();
    assert!(config.contains(&stage.server.native_client_id()), "{config}");
    assert!(config.contains("credentials = \"file\""), "{config}");
    for secret in ["access_token", "refresh_token"] {
        assert!(!config.contains(&stage.stored(secret)), "{config}");
    }
    assert_eq!(mode(&stage.config_file()), 0o600);
    assert_eq!(mode(stage.config_file().parent().unwrap()), 0o700);
    assert_eq!(mode(&stage.login_file()), 0o600);
    assert_eq!(mode(stage.login_file().parent().unwrap()), 0o700);

    assert_eq!(stage.run(&["whoami"]).succeeds(), said);
    let json: Value = serde_json::from_str(&stage.run(&["whoami", "--json"]).succeeds()).unwrap();
    assert_eq!(json["profile"], "default");
    assert_eq!(json["email"], "demo.engineer@example.com");
    assert_eq!(json["issuer"], stage.server.issuer());
    assert_eq!(json["client_id"], stage.server.native_client_id());
    assert_eq!(json["scopes"], "projectwise:read offline_access");
    assert_eq!(json["renews"], true);
    assert_eq!(json["credentials"], "file");

    // The second login needs to be told nothing: the profile knows the app.
    let first = stage.stored("refresh_token");
    stage.login::<&str>(&[]).succeeds();
    let second = stage.stored("refresh_token");
    assert_ne!(first, second);

    let said = stage.run(&["logout"]).succeeds();
    assert_eq!(said, "signed out, at the identity provider too\n");
    assert_eq!(redeem(&stage, &second), 400, "the refresh token is dead");
    assert!(!stage.login_file().exists());
    let words = stage.run(&["whoami"]).fails(77);
    assert_eq!(
        words,
        "Error: profile \"default\" is not logged in\nHint: run `pwfs login`\n"
    );
    let json: Value = serde_json::from_str(&stage.run(&["whoami", "--json"]).fails(77)).unwrap();
    assert_eq!(json["error"]["exit_code"], 77);
    assert_eq!(stage.run(&["logout"]).succeeds(), "nobody was signed in\n");
}

#[test]
fn a_web_app_signs_in_with_a_secret_from_a_file_or_from_the_environment() {
    let stage = Stage::new();
    let (_, secret) = stage.server.web_client();
    let file = stage.home.path().join("secret");
    fs::write(&file, format!("{secret}\n")).unwrap();
    let mut args = stage.web_app();
    args.extend(["--client-secret-file".into(), file.display().to_string()]);
    stage.login(&args).succeeds();
    stage.run(&["logout"]).succeeds();
    fs::remove_file(file).unwrap();

    let mut args = vec![
        "login".to_owned(),
        "--no-browser".into(),
        "--credentials".into(),
        "file".into(),
    ];
    args.extend(stage.web_app());
    let mut command = stage.command(&args);
    command.env("PWFS_CLIENT_SECRET", &secret);
    let mut login = Running::spawn(command);
    let page = login.sign_in_page();
    stage.register(&page);
    visit(&page);
    login.finish().succeeds();

    // A secret rotated in the portal: a new one is enough, without a browser.
    stage.server.rotate_web_secret("rotated/secret");
    fs::write(stage.home.path().join("new"), "rotated/secret").unwrap();
    stage.run(&["login", "--client-secret-file", "new"]).succeeds();
    assert_eq!(stage.stored("client_secret"), "rotated/secret");
}

#[test]
fn a_wrong_secret_is_refused_with_words() {
    let stage = Stage::new();
    fs::write(stage.home.path().join("secret"), "not-the-secret").unwrap();
    let mut args = stage.web_app();
    args.extend(["--client-secret-file".into(), "secret".into()]);
    let words = stage.login(&args).fails(77);
    assert!(words.contains("Client Secret"), "{words}");
    assert!(words.contains("Hint: "), "{words}");
    assert!(!words.contains("not-the-secret"), "{words}");
    assert!(!stage.login_file().exists());
    assert!(
        !stage.config_file().exists(),
        "a login that failed leaves no profile"
    );

    for (content, wanted) in [(Some(" \n"), "empty"), (None, "missing")] {
        let file = stage.home.path().join("missing");
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        let failed = stage.run(&["login", "--client-id", "x", "--client-secret-file", "missing"]);
        assert!(matches!(failed.code, Some(1 | 2)), "{failed:?}");
        assert!(failed.stderr.contains(wanted), "{failed:?}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let stage = Stage::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let redirect = format!("http://localhost:{port}/signin-callback");
    let words = stage
        .start_login(&[
            "--client-id",
            "x",
            "--issuer",
            &stage.server.issuer(),
            "--redirect-uri",
            &redirect,
        ])
        .finish()
        .fails(1);
    assert!(
        words.contains(&format!("port {port} of this machine is in use")),
        "{words}"
    );
    assert!(words.contains("--redirect-uri"), "{words}");
    let us = format!("(process {})", std::process::id());
    assert!(words.contains(&us), "who listens is named: {words}");
}

#[test]
fn strangers_at_the_callback_change_nothing() {
    let stage = Stage::new();
    let mut login = stage.start_login(&stage.native_app());
    let page = login.sign_in_page();
    stage.register(&page);
    let callback: Url = parameter(&page, "redirect_uri").parse().unwrap();
    for knock in [
        "/signin-callback?code=stolen&state=guessed",
        "/signin-callback?code=stolen",
        "/signin-callback?error=access_denied&state=guessed",
        "/favicon.ico",
    ] {
        assert_eq!(
            fetch("GET", &callback.join(knock).unwrap(), "").status,
            404,
            "{knock}"
        );
    }
    let last = visit(&page).pop().unwrap().1;
    assert_eq!(last.status, 200);
    assert!(last.body.contains("You can close this window"), "{}", last.body);
    login.finish().succeeds();
}

#[test]
fn a_browser_elsewhere_signs_in_by_pasting_its_address() {
    let stage = Stage::new();
    let away = "https://app.example.invalid/callback";
    stage.server.register_redirect_uri(away);
    let mut args = stage.native_app();
    args.extend(["--redirect-uri".into(), away.into()]);
    args.drain(4..6);

    let mut login = stage.start_login(&args);
    let page = login.sign_in_page();
    login.wait_for_line(|line| line.contains("Paste"));
    let ended_at = fetch("GET", &page, "").location.unwrap();
    assert!(ended_at.as_str().starts_with(away));
    login.answer(ended_at.as_str());
    let done = login.finish();
    assert!(!done.stderr.contains("Waiting for the browser"), "{done:?}");
    done.succeeds();
    assert_eq!(stage.stored("redirect_uri"), away);

    for pasted in ["https://app.example.invalid/callback?code=a&state=b", "nonsense"] {
        let mut login = stage.start_login(&args);
        login.sign_in_page();
        login.answer(pasted);
        let words = login.finish().fails(1);
        assert!(
            words.contains("the pasted address does not belong to this login"),
            "{words}"
        );
    }
    let words = stage.start_login(&args).finish().fails(1);
    assert!(words.contains("could not be read"), "{words}");
}

#[test]
fn a_scope_the_app_may_not_ask_for_is_named() {
    let stage = Stage::new();
    let mut args = stage.native_app();
    args.extend(["--scope".into(), "projectwise:read imaginary:write".into()]);
    let words = stage.login(&args).fails(77);
    assert!(words.contains("projectwise:read imaginary:write"), "{words}");
    assert!(words.contains("--scope"), "{words}");
}

#[test]
fn an_app_without_offline_access_signs_in_for_an_hour() {
    let stage = Stage::new();
    let mut login = stage.start_login(&stage.native_app());
    let page = login.sign_in_page();
    stage.register(&page);
    let mut refusal: Url = parameter(&page, "redirect_uri").parse().unwrap();
    refusal
        .query_pairs_mut()
        .append_pair("error", "invalid_scope")
        .append_pair("state", &parameter(&page, "state"));
    fetch("GET", &refusal, "");
    login.wait_for_line(|line| line.contains("offline_access"));
    let page = login.sign_in_page();
    assert_eq!(parameter(&page, "scope"), "projectwise:read");
    visit(&page);
    let said = login.finish().succeeds();
    assert!(said.contains("ends, and needs a new login"), "{said}");
    let said = stage.run(&["whoami"]).succeeds();
    assert!(said.contains("scopes     projectwise:read\n"), "{said}");
}

#[test]
fn who_says_no_in_the_browser_is_not_signed_in() {
    let stage = Stage::new();
    let mut login = stage.start_login(&stage.native_app());
    let page = login.sign_in_page();
    let mut refusal: Url = parameter(&page, "redirect_uri").parse().unwrap();
    refusal
        .query_pairs_mut()
        .append_pair("error", "access_denied")
        .append_pair("state", &parameter(&page, "state"));
    let page = fetch("GET", &refusal, "");
    assert!(page.body.contains("The terminal tells why"), "{}", page.body);
    let words = login.finish().fails(77);
    assert!(words.contains("access_denied"), "{words}");
    assert!(words.contains("Hint: insufficient permissions"), "{words}");
}

#[test]
fn two_programs_at_once_refresh_one_login() {
    let stage = Stage::signed_in(crate::harness::small());
    stage.server.expire_access_tokens();
    stage.server.reset_counters();
    let running = [stage.start(&["datasources"]), stage.start(&["folders"])];
    for program in running {
        program.finish().succeeds();
    }
    let refreshes = stage.server.requests().of(RequestKind::Token);
    assert!((1..=2).contains(&refreshes), "{refreshes} refreshes");
    stage.run(&["folders"]).succeeds();
    assert_eq!(stage.server.requests().of(RequestKind::Token), refreshes);
    // What is stored is the refresh token that lives.
    stage.server.expire_access_tokens();
    stage.run(&["folders"]).succeeds();
    assert_eq!(stage.server.requests().of(RequestKind::Token), refreshes + 1);
    assert_eq!(redeem(&stage, &stage.stored("refresh_token")), 200);
}

#[test]
fn a_signal_ends_a_command_and_not_the_renewal_it_is_in() {
    for signal in [Signal::INT, Signal::TERM] {
        let stage = Stage::signed_in(crate::harness::small());
        stage.server.expire_access_tokens();
        // The server has spent the old refresh token, and its answer is on the way.
        let hang = Fault::on(RequestKind::Token, Effect::HangAfterHeaders);
        let token = stage.server.requests().of(RequestKind::Token);
        let fault = stage.server.inject(hang);
        let program = stage.start(&["folders"]);
        until("the renewal is under way", || {
            stage.server.requests().of(RequestKind::Token) > token
        });
        program.signal(signal);
        stage.server.clear_fault(fault);
        let ended = program.finish();
        assert_eq!(ended.code, None, "{signal:?}: {ended:?}");
        stage.run(&["folders"]).succeeds();
    }
}

#[test]
fn a_machine_without_a_keyring_keeps_the_login_in_a_file_and_says_so() {
    let stage = Stage::new();
    let mut args = vec!["login".to_owned(), "--no-browser".into()];
    args.extend(stage.native_app());
    let mut login = stage.start(&args);
    let page = login.sign_in_page();
    stage.register(&page);
    visit(&page);
    let done = login.finish();
    assert!(done.stderr.contains("kept in a file instead"), "{done:?}");
    done.succeeds();
    stage.run(&["whoami"]).succeeds();

    args.extend(["--credentials".into(), "keyring".into()]);
    let words = stage.run(&args).fails(1);
    assert!(words.contains("--credentials file"), "{words}");
}

#[test]
fn a_login_that_lacks_something_says_what() {
    let stage = Stage::new();
    let words = stage.run(&["login"]).fails(2);
    assert!(words.contains("--client-id"), "{words}");
    let words = stage
        .run(&[
            "login",
            "--client-id",
            "x",
            "--issuer",
            "http://127.0.0.1:9",
            // Any free port: the usual one may be taken on this machine.
            "--redirect-uri",
            "http://localhost:0/back",
            "--no-browser",
        ])
        .fails(69);
    assert!(words.contains("Hint: "), "{words}");
    let words = stage
        .run(&[
            "login",
            "--client-id",
            "x",
            "--redirect-uri",
            "http://example.com/back",
        ])
        .fails(2);
    assert!(words.contains("redirect URI"), "{words}");
}
