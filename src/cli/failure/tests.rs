use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::model::Datasource;
use crate::remote::platform::PlatformError;

#[track_caller]
fn check(error: impl Into<CliError>, code: u8, words: &[&str]) {
    let error = error.into();
    let text = error.to_text();
    assert_eq!(error.exit_code(), code, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

#[test]
fn every_remote_error_has_its_status_and_the_words_of_the_guide() {
    let detail = || "status 403, request id r-1".to_owned();
    let what = || "folder X".to_owned();
    check(
        RemoteError::Denied {
            what: what(),
            detail: detail(),
        },
        77,
        &[
            "folder X",
            "r-1",
            "Hint: insufficient permissions",
            "projectwise:read",
            "Client ID",
            "whitelisted",
        ],
    );
    check(
        RemoteError::NotFound {
            what: what(),
            detail: detail(),
        },
        1,
        &["folder X", "pwfs tree"],
    );
    check(
        RemoteError::LoginRequired("over".into()),
        77,
        &["over", "pwfs login"],
    );
    check(
        RemoteError::SecretRequired("x".into()),
        77,
        &["--client-secret-file"],
    );
    check(RemoteError::LockedOut("x".into()), 77, &["unlock"]);
    check(
        RemoteError::Throttled {
            retry_after: Some(Duration::from_secs(90)),
        },
        75,
        &["in 90 s"],
    );
    check(
        RemoteError::Throttled { retry_after: None },
        75,
        &["a few minutes"],
    );
    check(
        RemoteError::Unreachable("refused".into()),
        69,
        &["firewall", "contact IT"],
    );
    check(RemoteError::TimedOut("x".into()), 75, &["firewall"]);
    check(
        RemoteError::Server("x".into()),
        75,
        &["request id", "unlock the keyring"],
    );
    check(RemoteError::Protocol("x".into()), 1, &["datasource URL"]);
}

#[test]
fn a_choice_of_datasources_is_listed() {
    let datasource = |id: &str| Datasource {
        id: id.to_owned(),
        plugin: "Bentley.PW".to_owned(),
        location: "h:ds".to_owned(),
        label: format!("label of {id}"),
        description: String::new(),
    };
    check(
        ConnectError::SeveralDatasources(vec![datasource("PW--a"), datasource("PW--b")]),
        2,
        &["PW--a (label of PW--a)", "PW--b (label of PW--b)"],
    );
    check(
        ConnectError::NoDatasource("https://h".to_owned()),
        1,
        &["https://h"],
    );
}

#[test]
fn logins_and_configuration_have_their_statuses() {
    check(AuthError::LoginRequired("x".into()), 77, &["pwfs login"]);
    check(
        AuthError::Unreachable(HttpError::Tls("no certificates".into())),
        1,
        &["ca-certificates"],
    );
    check(AuthError::Store("locked".into()), 1, &["--credentials file"]);
    check(
        LoginError::InvalidScope {
            scopes: "a b".into(),
            detail: "d".into(),
        },
        77,
        &["developer portal access", "free"],
    );
    check(
        LoginCommandError::Usage("no client id".into()),
        2,
        &["no client id"],
    );
    let path = || PathBuf::from("/x/config.toml");
    check(
        ConfigError::NoProfile {
            name: "a".into(),
            known: vec!["b".into()],
            path: path(),
        },
        78,
        &["there are: b"],
    );
    check(
        ConfigError::Write {
            path: path(),
            source: io::Error::other("full"),
        },
        73,
        &["/x/config.toml", "Cause: full"],
    );
    check(
        AddressError::Scheme("ftp://x".into()),
        2,
        &["looks like https://"],
    );
}

#[test]
fn what_stands_in_the_way_has_a_hint_of_its_own_wherever_it_is_met() {
    for (obstacle, word) in [
        (Obstacle::UnknownIssuer, "--ca-bundle FILE"),
        (Obstacle::Expired, "clock"),
        (Obstacle::NotYetValid, "clock"),
        (Obstacle::WrongHost, "open any page in a browser"),
        (Obstacle::ClientCertificate, "--client-cert FILE"),
        (Obstacle::ProxyLogin, "PWFS_PROXY="),
        (Obstacle::ProxyRefusal, "--no-proxy"),
        (Obstacle::Proxy, "--proxy none"),
    ] {
        let text = || format!("h: {}", obstacle.phrase());
        let hint = [&text()[..], "Hint: ", word];
        check(HttpError::Certificate(text()), 69, &hint);
        check(HttpError::Proxy(text()), 69, &hint);
        check(AuthError::Unreachable(HttpError::Certificate(text())), 69, &hint);
        check(AuthError::Unreachable(HttpError::Proxy(text())), 69, &hint);
        check(RemoteError::Unreachable(text()), 69, &hint);
        let words = CliError::from(RemoteError::Unreachable(text())).to_text();
        assert!(!words.contains("firewall"), "{words}");
    }
    let plain = || format!("h: {}", Obstacle::PlainHttp.phrase());
    check(
        AuthError::Protocol(plain()),
        1,
        &["--allow-plain-http", "everyone on the way"],
    );
    for error in [
        HttpError::Settings("ca_bundle: x".into()),
        HttpError::Settings(plain()),
    ] {
        check(ConnectionError::Http(error.clone()), 78, &[&error.to_string()]);
        check(AuthError::Unreachable(error.clone()), 78, &[&error.to_string()]);
        check(error.clone(), 78, &[&error.to_string()]);
    }
}

#[test]
fn an_error_prints_as_three_kinds_of_lines_or_as_json() {
    let error = CliError::new(ErrorKind::Failure, "it broke\u{1b}[2J")
        .hint("mend it")
        .while_doing("cannot do it");
    assert_eq!(
        error.to_text(),
        "Error: cannot do it\nCause: it broke\\u{1b}[2J\nHint: mend it\n"
    );
    let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
    assert_eq!(json["error"]["exit_code"], 1);
    assert_eq!(json["error"]["causes"][0], "it broke\u{1b}[2J");
}

#[test]
fn a_choice_of_urls_is_ready_to_copy() {
    let choices = || {
        ["a", "b"]
            .map(|name| {
                let datasource = Datasource {
                    id: format!("Bentley.PW--{name}"),
                    plugin: "Bentley.PW".to_owned(),
                    location: format!("h:{name}"),
                    label: format!("label of {name}"),
                    description: String::new(),
                };
                (
                    datasource,
                    format!("https://h/ws/Repositories/Bentley.PW--{name}"),
                )
            })
            .to_vec()
    };
    let urls = [
        "Hint: https://h/ws/Repositories/Bentley.PW--a (label of a)\n",
        "Hint: https://h/ws/Repositories/Bentley.PW--b (label of b)\n",
    ];
    check(
        ConnectionError::SeveralDatasources {
            server: "https://h/ws".to_owned(),
            choices: choices(),
        },
        2,
        &urls,
    );
    let missing = |choices| ConnectionError::NoSuchDatasource {
        server: "https://h/ws".to_owned(),
        location: "h:c".to_owned(),
        choices,
    };
    check(missing(choices()), 1, &urls);
    // A server that shows none may have some: for others.
    check(
        missing(Vec::new()),
        1,
        &["\"h:c\"", "insufficient permissions", "whitelisted"],
    );
    check(
        ConnectionError::NoGateway {
            pw_server: "pw.example.com".to_owned(),
            gateway: "https://pw.example.com/ws".to_owned(),
            error: RemoteError::Unreachable("its name cannot be resolved".to_owned()),
        },
        69,
        &[
            "pw.example.com answers at https://pw.example.com/ws",
            "Cause: ",
            "resolved",
            "datasource URL",
        ],
    );
    check(
        ConnectionError::NoDatasource("p".to_owned()),
        78,
        &["pwfs datasources"],
    );
    check(
        LinkError::Empty,
        2,
        &["looks like https://", "pw://server:datasource"],
    );
    check(LinkError::BeyondGuid, 2, &["folder or of a document"]);
}

#[test]
fn every_refusal_of_the_platform_has_its_status_and_the_way_round_it() {
    const WAY_ROUND: &str = "ask the ProjectWise administrator for the datasource URL";
    let detail = || "status 4xx: Code: words, request id r-1".to_owned();
    let what = || "the work areas of the iTwin \"X\"".to_owned();
    for (error, code, words) in [
        (PlatformError::NoPlatform("https://idp".into()), 78, "https://idp"),
        (PlatformError::NoApp, 78, "iTwin apps"),
        (PlatformError::UnknownClient(detail()), 77, "Client ID"),
        (
            PlatformError::WrongAudience(detail()),
            77,
            "--scope \"projectwise:read itwin-platform",
        ),
        (PlatformError::HeaderLost(detail()), 1, "proxy"),
        (
            PlatformError::Forbidden {
                what: what(),
                detail: detail(),
            },
            77,
            "member of the iTwin",
        ),
        (
            PlatformError::NoOperation {
                what: what(),
                detail: detail(),
            },
            1,
            "interface",
        ),
        (
            PlatformError::RateLimited {
                retry_after: Some(Duration::from_secs(50)),
                detail: detail(),
            },
            75,
            "in 50 s",
        ),
        (
            PlatformError::Remote(RemoteError::LoginRequired(detail())),
            77,
            "`pwfs login`",
        ),
        (
            PlatformError::Remote(RemoteError::Unreachable(detail())),
            69,
            "firewall",
        ),
        (
            PlatformError::Remote(RemoteError::Protocol(detail())),
            1,
            "login page",
        ),
    ] {
        check(error, code, &[words, WAY_ROUND]);
    }
    let later = PlatformError::Remote(RemoteError::Server("503".into()));
    check(later, 75, &["try again"]);
}
