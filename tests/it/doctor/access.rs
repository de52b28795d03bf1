//! The login, and what it is let in for.

use std::fs;

use pwfs::demo::knobs::{AppAllowed, AuthFailure, Errors};
use pwfs::demo::{Fault, RequestKind};

use super::{Told, add_to_profile, doctor, sign_in_as, sign_in_web, signed_in};
use crate::program::Stage;

const WHITELIST: &str = "send this to your ProjectWise administrator: please allow the iTwin app with the Client ID native-pwfs-demo";

#[test]
fn nobody_has_signed_in_yet() {
    let stage = Stage::new();
    let dir = stage.config_file().parent().unwrap().to_owned();
    fs::create_dir_all(dir).unwrap();
    let text = format!(
        "[profiles.default]\nauth = \"native\"\nissuer = {:?}\nclient_id = \"native-pwfs-demo\"\ncredentials = \"file\"\n\
         datasource = {:?}\n",
        stage.server.issuer(),
        stage.server.wsg_url()
    );
    fs::write(stage.config_file(), text).unwrap();
    let told = doctor(&stage, &[]);
    told.fails("login.record", 77, "pwfs login")
        .waits("login.token", "login.record")
        .waits("access.app", "login.record");
    assert_eq!(
        told.outcome("access.gateway"),
        "pass",
        "what needs no login is looked at"
    );
    assert_eq!(told.outcome("access.repository"), "pass");
}

#[test]
fn a_scope_that_was_not_asked_for_is_the_guides_insufficient_permissions() {
    let stage = Stage::new();
    sign_in_as(
        &stage,
        "demo.engineer@example.com",
        &["--scope", "itwin-platform offline_access"],
    );
    let told = doctor(&stage, &[]);
    told.fails(
        "access.scope",
        77,
        "enable the projectwise:read scope on the iTwin app",
    )
    .mends("access.scope", "sign in again: pwfs login")
    .waits("access.app", "access.scope");
    assert_eq!(told.outcome("login.scopes"), "warn", "{}", told.all);

    // A gateway that wants another scope, or none, proves the token good enough.
    stage.server.turn(|knobs| knobs.required_scope = String::new());
    doctor(&stage, &[]).is_well();
}

#[test]
fn a_scope_that_was_taken_from_the_app_is_told_before_the_next_login() {
    let stage = signed_in();
    stage
        .server
        .turn(|knobs| knobs.known_scopes = "itwin-platform offline_access".to_owned());
    let told = doctor(&stage, &[]);
    told.fails(
        "login.scopes",
        77,
        "enable the projectwise:read scope on the iTwin app",
    )
    .finds("login.scopes", "invalid_scope");
}

#[test]
fn an_app_that_is_not_whitelisted_is_told_with_the_line_to_send() {
    let stage = signed_in();
    let refuse = |how, errors| {
        stage.server.turn(|knobs| {
            knobs.app_allowed = how;
            knobs.errors = errors;
        });
        doctor(&stage, &[])
    };
    // The server's words name the app.
    for how in [AppAllowed::Forbidden, AppAllowed::Unauthorized] {
        let told = refuse(how, Errors::Json);
        told.fails("access.app", 77, WHITELIST)
            .finds("access.app", "is not whitelisted on the datasource yet")
            .waits("access.permission", "access.app");
        assert_eq!(told.check("access.app")["details"]["standing"], "missing");
        assert_eq!(told.outcome("access.scope"), "pass");
    }
    // They do not: the same answers would come for an account without permission, and both are told.
    for (how, errors) in [
        (AppAllowed::Forbidden, Errors::Nulls),
        (AppAllowed::Unauthorized, Errors::Nulls),
        (AppAllowed::NotFound, Errors::Json),
        (AppAllowed::Redirect, Errors::Json),
    ] {
        let told = refuse(how, errors);
        told.fails("access.app", 77, WHITELIST)
            .finds("access.app", "the server does not say what it misses")
            .finds("access.permission", "does not tell this apart from access.app")
            .mends("access.permission", "datasource-level permission");
        assert_eq!(
            told.check("access.app")["details"]["standing"],
            "suspected",
            "{how:?}"
        );
        assert_eq!(told.outcome("access.permission"), "warn", "{how:?}");
        assert_eq!(told.outcome("access.repository"), "pass", "{how:?}: it is listed");
    }
    refuse(AppAllowed::Yes, Errors::Json).is_well();
}

#[test]
fn an_app_that_is_refused_costs_no_renewal_where_the_platform_knows_its_token() {
    let stage = signed_in();
    stage
        .server
        .turn(|knobs| knobs.app_allowed = AppAllowed::Unauthorized);
    stage.server.reset_counters();
    let told = doctor(&stage, &[]);
    let asked = stage.server.requests();
    assert_eq!(asked.of(RequestKind::Token), 0, "{asked:?}");
    assert_eq!(told.report["requests"], asked.total, "{asked:?}");
    assert!(told.all.contains("accepts the token"), "{}", told.all);
}

#[test]
fn an_identity_without_a_projectwise_account_lacks_permission() {
    let stage = Stage::new();
    sign_in_as(&stage, "new.starter@example.com", &[]);
    let told = doctor(&stage, &[]);
    told.fails(
        "access.permission",
        77,
        "the server's administrator must grant datasource-level permission: ask for a ProjectWise account for \
         new.starter@example.com",
    );
    // Where the server does not name the identity, it could be the app as well.
    for shape in [AuthFailure::Redirect, AuthFailure::Page, AuthFailure::NotFound] {
        stage.server.turn(|knobs| knobs.auth_failure = shape);
        let told = doctor(&stage, &[]);
        told.fails("access.app", 77, WHITELIST)
            .mends("access.permission", "new.starter@example.com");
        assert_eq!(told.outcome("access.permission"), "warn", "{shape:?}");
    }
}

#[test]
fn a_gateway_for_another_audience_is_told_as_scope_or_app() {
    let stage = signed_in();
    stage
        .server
        .turn(|knobs| knobs.required_audience = "somebody-else".to_owned());
    doctor(&stage, &[])
        .fails("access.scope", 77, "projectwise:read")
        .mends("access.app", WHITELIST);
}

#[test]
fn a_client_secret_that_was_rotated_is_told_while_the_token_still_works() {
    let stage = Stage::new();
    sign_in_web(&stage);
    stage.server.reset_counters();
    let told = doctor(&stage, &[]);
    told.is_well();
    assert_eq!(told.outcome("login.secret"), "pass", "{}", told.all);
    assert_eq!(
        stage.server.requests().of(RequestKind::Token),
        1,
        "with a refresh token that never was"
    );

    stage.server.rotate_web_secret("rotated/secret");
    let told = doctor(&stage, &[]);
    told.fails("login.secret", 77, "--client-secret-file FILE")
        .finds("login.secret", "Client Secret");
    assert_eq!(
        told.outcome("access.permission"),
        "pass",
        "the present token is good"
    );
    for secret in [stage.server.web_client().1, "demo+secret/with:marks=".to_owned()] {
        assert!(!told.all.contains(&secret));
    }
    // The login itself was not used up: a new secret heals it.
    fs::write(stage.home.path().join("new"), "rotated/secret").unwrap();
    stage.run(&["login", "--client-secret-file", "new"]).succeeds();
    doctor(&stage, &[]).is_well();
}

#[test]
fn a_secret_that_is_wrong_when_the_login_is_due_is_told_once() {
    let stage = Stage::new();
    sign_in_web(&stage);
    stage.server.rotate_web_secret("rotated/secret");
    end_stored_token(&stage);
    let told = doctor(&stage, &[]);
    told.fails("login.secret", 77, "--client-secret-file FILE")
        .waits("login.token", "login.secret")
        .waits("access.app", "login.secret");
}

/// Lets the stored access token be over by this machine's clock.
fn end_stored_token(stage: &Stage) {
    let mut record: serde_json::Value =
        serde_json::from_slice(&fs::read(stage.login_file()).unwrap()).unwrap();
    for (field, time) in [
        ("obtained_at", "2020-01-01T00:00:00Z"),
        ("expires_at", "2020-01-01T01:00:00Z"),
    ] {
        record[field] = time.into();
    }
    fs::write(stage.login_file(), record.to_string()).unwrap();
}

#[test]
fn a_login_that_is_due_is_renewed_once_and_a_dead_one_is_told() {
    let stage = signed_in();
    end_stored_token(&stage);
    stage.server.reset_counters();
    let told = doctor(&stage, &[]);
    told.is_well().finds("login.token", "has been renewed");
    assert_eq!(stage.server.requests().of(RequestKind::Token), 1);
    assert_eq!(told.report["requests"], stage.server.requests().total);

    // Ended at the server, before its time: renewed, as any command would.
    stage.server.expire_access_tokens();
    doctor(&stage, &[])
        .is_well()
        .finds("login.token", "it has been renewed");

    stage.server.revoke_all_tokens();
    doctor(&stage, &[])
        .fails("login.token", 77, "sign in again: pwfs login")
        .waits("access.app", "login.token");
}

#[test]
fn a_login_of_another_app_is_told_as_such() {
    let stage = signed_in();
    let text = fs::read_to_string(stage.config_file()).unwrap();
    fs::write(
        stage.config_file(),
        text.replace("native-pwfs-demo", "spa-pwfs-demo"),
    )
    .unwrap();
    doctor(&stage, &[])
        .fails("login.record", 77, "pwfs login")
        .finds("login.record", "another app (native-pwfs-demo)");
}

#[test]
fn an_app_or_a_redirect_uri_that_is_not_registered_is_told_without_a_browser() {
    let stage = signed_in();
    let text = fs::read_to_string(stage.config_file()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(stage.config_file(), text.replace(from, to)).unwrap();
        let told = doctor(&stage, &[]);
        fs::write(stage.config_file(), &text).unwrap();
        told
    };
    let failed = |told: &Told, id: &str| {
        assert!(told.with("fail").contains(&id), "{}", told.all);
    };
    let told = changed("native-pwfs-demo", "nobody-knows");
    failed(&told, "login.client");
    told.mends("login.client", "needs no Bentley subscription");
    let told = changed("/signin-callback", "/elsewhere");
    failed(&told, "login.redirect");
    told.mends("login.redirect", "character for character");
}

#[test]
fn a_datasource_that_is_not_there_or_not_named_is_told_with_those_that_are() {
    let stage = signed_in();
    let wsg = stage.server.wsg_url();
    let told = doctor(
        &stage,
        &[
            "--datasource",
            &format!("{wsg}/v2.8/Repositories/Bentley.PW--h~3Anone"),
        ],
    );
    told.fails(
        "access.repository",
        78,
        "take one of those it has: Bentley.PW--pwfs-demo.invalid~3Aleven-estuary",
    )
    .waits("access.app", "access.repository");
    let told = doctor(&stage, &["--datasource", &wsg]);
    told.is_well().finds("access.repository", "the only one");
    stage.server.turn(|knobs| knobs.private_repositories = true);
    doctor(&stage, &["--datasource", &wsg]).is_well();
}

#[test]
fn a_gateway_out_of_order_is_told_as_such_and_blames_nobody() {
    let stage = signed_in();
    let fault = stage.server.inject(Fault::status(RequestKind::ListProjects, 503));
    doctor(&stage, &[])
        .fails("access.gateway", 75, "try again in a few minutes")
        .waits("access.app", "access.gateway");
    stage.server.clear_fault(fault);
    doctor(&stage, &["--datasource", &stage.server.base_url()]).fails(
        "access.gateway",
        1,
        "check the datasource URL",
    );
}

#[test]
fn a_chosen_folder_that_is_gone_or_denied_is_told_and_the_others_counted() {
    let stage = signed_in();
    let world = stage.server.world();
    let denied = world.add_folder(None, "Denied").unwrap();
    world.revoke(denied).unwrap();
    let general = world
        .folder_at(&["Leven Estuary Crossing", "00 General"])
        .unwrap();
    add_to_profile(
        &stage,
        &format!(
            "[[profiles.default.folders]]\nfolder = \"Leven Estuary Crossing/00 General\"\n\
             [[profiles.default.folders]]\nfolder = \"{general}\"\n"
        ),
    );
    let told = doctor(&stage, &[]);
    told.is_well().finds("folders.chosen", "documents");

    let told = doctor(&stage, &["--folder", "Denied"]);
    told.fails("folders.chosen", 77, "datasource-level permission")
        .finds("folders.chosen", "may not be listed");
    let told = doctor(&stage, &["--folder", "Leven Estuary Crossing/No Such"]);
    told.fails("folders.chosen", 1, "pwfs folders 'Leven Estuary Crossing'");
    let told = doctor(&stage, &["--folder", "00000000-1111-2222-3333-444444444444"]);
    told.fails("folders.chosen", 1, "pwfs folders");
}

#[test]
fn many_chosen_folders_stay_within_the_allowance() {
    let stage = signed_in();
    let world = stage.server.world();
    let names: Vec<String> = (0..12).map(|number| format!("Chosen {number}")).collect();
    let mut args = Vec::new();
    for name in &names {
        world.add_folder(None, name).unwrap();
        args.extend(["--folder", name.as_str()]);
    }
    stage.server.reset_counters();
    let told = doctor(&stage, &args);
    told.is_well();
    let asked = stage.server.requests();
    assert!(asked.total <= u64::from(pwfs::doctor::MOST_REQUESTS), "{asked:?}");
    let folders = told
        .checks()
        .iter()
        .filter(|check| check["id"] == "folders.chosen");
    assert_eq!(folders.clone().count(), 12, "each is told of");
    assert!(
        folders.clone().any(|check| check["outcome"] == "skipped"),
        "and some as not looked at: {}",
        told.all
    );
}
