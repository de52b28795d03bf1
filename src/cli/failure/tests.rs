use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::auth::login::LoginError;
use crate::auth::{AuthError, AuthKind, OauthError, StoreKind};
use crate::cli::login::LoginCommandError;
use crate::config::ConfigError;
use crate::daemon::connect::ConnectionError;
use crate::http::{HttpError, Obstacle};
use crate::model::Datasource;
use crate::remote::link::LinkError;
use crate::remote::platform::PlatformError;
use crate::remote::wsg::{AddressError, ConnectError, ErrorId, Problem};
use crate::remote::{Detail, Origin, RemoteError};

#[track_caller]
fn check(error: impl Into<CliError>, status: u8, code: &str, words: &[&str]) {
    let error = error.into();
    let text = error.to_text();
    assert_eq!((error.exit_code(), error.name().text()), (status, code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

#[track_caller]
fn check_status(error: impl Into<CliError>, status: u8, words: &[&str]) {
    let error = error.into();
    let code = error.name().text();
    check(error, status, code, words);
}

#[test]
fn a_failure_without_an_answer_is_sorted_by_what_can_be_done() {
    let what = || "folder X".to_owned();
    check(
        RemoteError::Denied {
            what: what(),
            detail: "no".into(),
        },
        77,
        "login",
        &["folder X", "projectwise:read", "Client ID", "whitelisted"],
    );
    check(
        RemoteError::NotFound {
            what: what(),
            detail: "no".into(),
        },
        1,
        "failure",
        &["folder X", "pwfs tree"],
    );
    check(
        RemoteError::LoginRequired("over".into()),
        77,
        "login.required",
        &["over", "pwfs login"],
    );
    check(
        RemoteError::SecretRequired("x".into()),
        77,
        "login.secret-refused",
        &["--client-secret-file"],
    );
    check(
        RemoteError::LockedOut("x".into()),
        77,
        "wsg.too-many-bad-login-attempts",
        &["unlock"],
    );
    for (retry_after, words) in [
        (Some(Duration::from_secs(90)), "in 90 s"),
        (None, "a few minutes"),
    ] {
        let error = RemoteError::Throttled {
            retry_after,
            detail: "x".into(),
        };
        check(error, 75, "wsg.throttled", &[words]);
    }
    check(
        RemoteError::Unreachable("refused".into()),
        69,
        "network.unreachable",
        &["firewall", "contact IT"],
    );
    check(
        RemoteError::TimedOut("x".into()),
        75,
        "wsg.timeout",
        &["a few minutes"],
    );
    check(
        RemoteError::Server("x".into()),
        75,
        "wsg.server-error",
        &["request id"],
    );
    check(
        RemoteError::Protocol("x".into()),
        1,
        "wsg.malformed",
        &["compatibility.md"],
    );
}

#[test]
fn a_failure_below_the_server_is_told_as_a_login_would_tell_it() {
    for error in [
        AuthError::LoginRequired("the login has ended (invalid_grant)".into()),
        AuthError::SecretRequired("no".into()),
        AuthError::Unreachable(HttpError::Unreachable("h: refused".into())),
        AuthError::Protocol("x".into()),
        AuthError::Store("locked".into()),
        AuthError::Refused {
            error: OauthError::Unavailable,
            words: "server_error".into(),
        },
    ] {
        let through = RemoteError::Server(Detail::new("other words", Origin::Auth(error.clone())));
        assert_eq!(CliError::from(through), CliError::from(error));
    }
    let lost = HttpError::TimedOut("h: silence".into());
    let through = RemoteError::TimedOut(Detail::new("other words", Origin::Http(lost.clone())));
    assert_eq!(CliError::from(through), CliError::from(lost));
}

#[test]
fn the_request_id_is_told_apart_for_scripts() {
    let origin = Origin::Wsg(Problem::Said(ErrorId::DatasourceNotFound));
    let words = "h answers status 404, request id r-1";
    let detail = Detail::of_request(words, origin, Some("r-1".to_owned()));
    let error = CliError::from(RemoteError::Server(detail));
    let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
    assert_eq!(json["error"]["request_id"], "r-1");
    assert_eq!(json["error"]["code"], "wsg.datasource-not-found");
}

#[test]
fn a_hint_is_completed_with_what_the_profile_knows() {
    let account = |auth| Account {
        flags: " --profile work".to_owned(),
        auth,
        client_id: Some("webapp-1".to_owned()),
        token_file: Some(PathBuf::from("/run/token")),
        store: Some(StoreKind::Keyring),
    };
    let hints = |hint: Hint, auth| {
        let error = CliError::new(ErrorKind::Login, "no").hint(hint);
        error.for_account(account(auth)).hints().join("\n")
    };
    let whitelist = hints(Hint::Whitelist, AuthKind::Web);
    assert!(
        whitelist.ends_with("ProjectWise administrator: webapp-1"),
        "{whitelist}"
    );
    assert_eq!(
        hints(Hint::Whitelist, AuthKind::Basic),
        "",
        "a password is no app's"
    );
    assert!(!hints(Hint::InsufficientPermissions, AuthKind::Windows).contains("scope"));
    assert_eq!(
        hints(Hint::SignIn, AuthKind::Native),
        "run `pwfs login --profile work`"
    );
    assert_eq!(
        hints(Hint::SignIn, AuthKind::Saml),
        "put a fresh token into /run/token"
    );
    assert!(hints(Hint::NewSecret, AuthKind::Basic).contains("new password"));
    assert!(hints(Hint::NewSecret, AuthKind::Service).contains("--client-secret-file"));
    assert!(hints(Hint::NotAccepted, AuthKind::Basic).contains("user name"));
    assert!(hints(Hint::NotAccepted, AuthKind::Web).contains("webapp-1"));
    assert!(hints(Hint::CompareApp, AuthKind::Web).contains("webapp-1"));
    assert!(hints(Hint::Store, AuthKind::Web).contains("unlock the keyring"));
    // Nothing is known of the profile: still a sentence.
    let plain = CliError::new(ErrorKind::Login, "no").hint(Hint::Whitelist);
    assert!(
        plain.hints()[0].ends_with("ProjectWise administrator"),
        "{plain:?}"
    );
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
        "wsg.several-datasources",
        &["PW--a (label of PW--a)", "PW--b (label of PW--b)"],
    );
    check(
        ConnectError::NoDatasource("https://h".to_owned()),
        1,
        "wsg.no-datasource",
        &["https://h"],
    );
}

#[test]
fn logins_and_configuration_have_their_statuses() {
    check(
        AuthError::Unreachable(HttpError::Tls("no certificates".into())),
        69,
        "network.no-certificates",
        &["ca-certificates"],
    );
    check(
        LoginError::InvalidScope {
            scopes: "a b".into(),
            detail: "d".into(),
        },
        77,
        "oauth.invalid-scope",
        &["a b", "developer portal access", "free", "--scope"],
    );
    check(
        LoginCommandError::Usage("no client id".into()),
        2,
        "login.incomplete",
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
        "config.no-profile",
        &["there are: b"],
    );
    check(
        ConfigError::Write {
            path: path(),
            source: io::Error::other("full"),
        },
        73,
        "config.unwritable",
        &["/x/config.toml", "Cause: full"],
    );
    check(
        AddressError::Scheme("ftp://x".into()),
        2,
        "address.invalid",
        &["looks like https://"],
    );
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
    assert_eq!(json["error"]["code"], "failure");
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
    check_status(
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
    check_status(missing(choices()), 1, &urls);
    // A server that shows none may have some: for others.
    check_status(
        missing(Vec::new()),
        1,
        &["\"h:c\"", "insufficient permissions", "whitelisted"],
    );
    check_status(
        ConnectionError::NoGateway {
            pw_server: "pw.example.com".to_owned(),
            gateway: "https://pw.example.com/ws".to_owned(),
            error: RemoteError::Unreachable("its name cannot be resolved".into()),
        },
        69,
        &[
            "pw.example.com answers at https://pw.example.com/ws",
            "Cause: ",
            "resolved",
            "datasource URL",
        ],
    );
    check_status(
        ConnectionError::NoDatasource("p".to_owned()),
        78,
        &["pwfs datasources"],
    );
    check_status(
        LinkError::Empty,
        2,
        &["looks like https://", "pw://server:datasource"],
    );
    check_status(LinkError::BeyondGuid, 2, &["folder or of a document"]);
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
            PlatformError::Remote(RemoteError::LoginRequired(detail().into())),
            77,
            "`pwfs login`",
        ),
        (
            PlatformError::Remote(RemoteError::Unreachable(detail().into())),
            69,
            "firewall",
        ),
        (
            PlatformError::Remote(RemoteError::Protocol(detail().into())),
            1,
            "login page",
        ),
    ] {
        check_status(error, code, &[words, WAY_ROUND]);
    }
    let later = PlatformError::Remote(RemoteError::Server("503".into()));
    check_status(later, 75, &["try again"]);
}

#[test]
fn what_stands_in_the_way_has_a_hint_of_its_own_wherever_it_is_met() {
    for (obstacle, code, word) in [
        (Obstacle::UnknownIssuer, "network.certificate", "--ca-bundle FILE"),
        (Obstacle::Expired, "network.certificate", "clock"),
        (Obstacle::NotYetValid, "network.certificate", "clock"),
        (
            Obstacle::WrongHost,
            "network.certificate",
            "open any page in a browser",
        ),
        (
            Obstacle::ClientCertificate,
            "network.certificate",
            "--client-cert FILE",
        ),
        (Obstacle::ProxyLogin, "network.proxy", "PWFS_PROXY="),
        (Obstacle::ProxyRefusal, "network.proxy", "--no-proxy"),
        (Obstacle::Proxy, "network.proxy", "--proxy none"),
    ] {
        let text = || format!("h: {}", obstacle.phrase());
        let hint = [&text()[..], "Hint: ", word];
        check(HttpError::Certificate(text()), 69, code, &hint);
        check(HttpError::Proxy(text()), 69, code, &hint);
        check(
            AuthError::Unreachable(HttpError::Certificate(text())),
            69,
            code,
            &hint,
        );
        check(AuthError::Unreachable(HttpError::Proxy(text())), 69, code, &hint);
        check(RemoteError::Unreachable(text().into()), 69, code, &hint);
        let words = CliError::from(RemoteError::Unreachable(text().into())).to_text();
        assert!(!words.contains("firewall"), "{words}");
    }
    let plain = || format!("h: {}", Obstacle::PlainHttp.phrase());
    let hint = ["--allow-plain-http", "everyone on the way"];
    check(AuthError::Protocol(plain()), 78, "network.plain-http", &hint);
    check(HttpError::Settings(plain()), 78, "network.plain-http", &hint);
    let error = HttpError::Settings("ca_bundle: x".into());
    for error in [
        CliError::from(ConnectionError::Http(error.clone())),
        CliError::from(AuthError::Unreachable(error.clone())),
        CliError::from(error),
    ] {
        check(error, 78, "network.settings", &["ca_bundle: x"]);
    }
}
