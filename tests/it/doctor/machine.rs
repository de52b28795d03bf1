//! The configuration, the files, the mounts of this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::{doctor, sign_in_web, signed_in};
use crate::mount::fuse_is_here;
use crate::program::{Stage, mode};

#[test]
fn nothing_configured_leads_through_the_guides_first_step() {
    let stage = Stage::new();
    let told = doctor(&stage, &[]);
    told.fails("config.file", 78, "pwfs login --client-id")
        .mends("config.file", "application type Web App, scope projectwise:read")
        .mends(
            "config.file",
            "the developer portal is free and needs no Bentley subscription",
        )
        .waits("login.token", "config.file")
        .waits("access.app", "config.file")
        .waits("folders.chosen", "config.file");
}

#[test]
fn a_server_is_looked_at_without_any_configuration() {
    let stage = Stage::new();
    let told = doctor(&stage, &["--datasource", &stage.server.wsg_url()]);
    told.fails("config.file", 78, "pwfs login --client-id");
    assert_eq!(told.outcome("access.gateway"), "pass", "{}", told.all);
    assert_eq!(told.outcome("access.repository"), "pass");
    told.waits("access.app", "config.file");
}

#[test]
fn a_slip_in_the_configuration_is_told_with_what_was_meant() {
    let stage = signed_in();
    let text = fs::read_to_string(stage.config_file()).unwrap();
    fs::write(stage.config_file(), text.replace("client_id", "clientid")).unwrap();
    let told = doctor(&stage, &[]);
    told.fails("config.file", 78, "write client_id in line")
        .finds("config.file", "unknown key")
        .waits("config.profile", "config.file");
}

#[test]
fn a_profile_without_a_client_id_is_the_guides_portal_row() {
    let stage = Stage::new();
    fs::create_dir_all(stage.config_file().parent().unwrap()).unwrap();
    let issuer = stage.server.issuer();
    let text = format!("[profiles.default]\nauth = \"web\"\nissuer = {issuer:?}\ncredentials = \"file\"\n");
    fs::write(stage.config_file(), text).unwrap();
    let told = doctor(&stage, &["--datasource", &stage.server.wsg_url()]);
    told.fails(
        "config.keys",
        78,
        "register a personal account and create the app there",
    )
    .waits("login.discovery", "config.keys");
}

#[test]
fn a_datasource_that_nobody_named_is_told_with_whom_to_ask() {
    let stage = Stage::new();
    stage.login(&stage.native_app()).succeeds();
    let told = doctor(&stage, &[]);
    told.fails(
        "config.datasource",
        78,
        "ask your ProjectWise administrator for the datasource URL",
    )
    .waits("access.gateway", "config.datasource")
    .waits("network.wsg.dns", "config.datasource");
    assert_eq!(told.outcome("login.token"), "pass");
}

#[test]
fn a_login_that_others_could_read_is_told_and_closed() {
    let stage = Stage::new();
    sign_in_web(&stage);
    fs::set_permissions(stage.login_file(), fs::Permissions::from_mode(0o644)).unwrap();
    let told = doctor(&stage, &[]);
    told.fails("login.store", 77, "pwfs logout, then pwfs login")
        .mends(
            "login.store",
            "rotate it at https://developer.bentley.com/my-apps/ at once",
        )
        .finds("login.store", "0644");
    assert_eq!(
        told.outcome("access.permission"),
        "pass",
        "it is used until it is ended"
    );
    assert_eq!(mode(&stage.login_file()), 0o600);
    doctor(&stage, &[]).is_well();
}

#[test]
fn the_environment_is_told_by_names_and_without_a_value() {
    let stage = signed_in();
    let mut command = stage.command(&["doctor", "--json"]);
    command
        .env("PWFS_CLIENT_SECRET", "very-secret-value")
        .env("HTTPS_PROXY", "http://user:password@127.0.0.1:1");
    let told = super::Told::of(&crate::program::Running::spawn(command).finish());
    told.finds("config.environment", "HTTPS_PROXY, PWFS_CLIENT_SECRET");
    assert!(
        !told.all.contains("very-secret-value") && !told.all.contains("user:password"),
        "{}",
        told.all
    );
}

#[test]
fn a_mountpoint_is_looked_at_where_one_is_named() {
    let stage = signed_in();
    let told = doctor(&stage, &["--mountpoint", "not-there"]);
    assert_eq!(told.outcome("fuse.mountpoint"), "fail");
    told.mends("fuse.mountpoint", "mkdir -p");
    fs::create_dir(stage.home.path().join("pw")).unwrap();
    assert_eq!(
        doctor(&stage, &["--mountpoint", "pw"]).outcome("fuse.mountpoint"),
        "pass"
    );
}

#[test]
fn a_dead_mount_is_told_with_how_to_clear_it() {
    if !fuse_is_here() {
        return;
    }
    let stage = signed_in();
    fs::create_dir(stage.home.path().join("mnt")).unwrap();
    let mut running = stage.start(&["mount", "mnt"]);
    running.wait_for_line(|line| line.contains("is mounted at"));
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, None);
    let told = doctor(&stage, &["--mountpoint", "mnt"]);
    let dir = stage.home.path().join("mnt").display().to_string();
    assert_eq!(told.outcome("mounts.others"), "warn", "{}", told.all);
    told.mends("mounts.others", &format!("pwfs unmount '{dir}'"))
        .mends("fuse.mountpoint", &format!("pwfs unmount '{dir}'"));
    // It is in the way of nothing else: a mount there takes it off by itself.
    assert!(told.report["first_failure"].is_null(), "{}", told.all);
    assert_eq!(told.code, 0);
    // It is left to its owner to clear.
    stage.run(&["unmount", "mnt"]).succeeds();
    let told = doctor(&stage, &["--mountpoint", "mnt"]);
    assert_eq!(told.outcome("fuse.mountpoint"), "pass");
}

#[test]
fn an_ordinary_user_needs_the_helper_and_is_told_so() {
    if !rustix::process::geteuid().is_root() || !fuse_is_here() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let stage = Stage::of_nobody();
    let told = doctor(&stage, &["--allow-other"]);
    assert_eq!(told.outcome("fuse.device"), "pass", "{}", told.all);
    told.finds("fuse.helper", "fusermount3");
    let has_line = fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    assert_eq!(
        told.outcome("fuse.allow-other"),
        if has_line { "pass" } else { "warn" }
    );
}
