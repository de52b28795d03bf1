//! A person whose browser is on another machine: a terminal over SSH.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use pwfs::demo::RequestKind;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use url::Url;

use crate::program::{Running, Stage, fetch, parameter, visit};

/// A login at a terminal, and the keyboard's end of it.
fn login(stage: &Stage, variables: &[(&str, &str)]) -> (Running, File) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let mut flags = vec!["login".to_owned(), "--credentials".into(), "file".into()];
    flags.extend(stage.native_app());
    flags.extend(["--app-type", "native"].map(str::to_owned));
    let mut command = stage.command(&flags);
    command.envs(variables.iter().copied());
    (Running::spawn_at(command, Stdio::from(terminal)), keyboard.into())
}

const SSH: [(&str, &str); 2] = [
    ("SSH_CONNECTION", "192.0.2.5 51112 192.0.2.9 22"),
    ("USER", "anna"),
];

#[test]
fn over_ssh_the_tunnel_is_ready_to_copy_and_the_address_can_be_pasted() {
    let stage = Stage::new();
    let (mut login, mut keyboard) = login(&stage, &SSH);
    let page = login.sign_in_page();
    stage.register(&page);
    let callback: Url = parameter(&page, "redirect_uri").parse().unwrap();
    let port = callback.port().unwrap();
    login.wait_for_line(|line| line.trim() == format!("ssh -N -L {port}:localhost:{port} anna@192.0.2.9"));
    login.wait_for_line(|line| line.contains("paste the whole address") && line.contains("one-time code"));
    // The wrong thing first, and half of the right one.
    for wrong in ["ls -l", &format!("{callback}?code=x&state=y")] {
        writeln!(keyboard, "{wrong}").unwrap();
        login.wait_for_line(|line| line.contains("no address of this login"));
    }
    let ended_at = fetch("GET", &page, "").location.unwrap();
    writeln!(keyboard, "{ended_at}").unwrap();
    login.finish().succeeds();
    assert_eq!(stage.server.requests().of(RequestKind::Token), 1);
}

#[test]
fn a_browser_that_comes_back_goes_before_whoever_is_asked() {
    let stage = Stage::new();
    let (mut login, _keyboard) = login(&stage, &[]);
    let page = login.sign_in_page();
    stage.register(&page);
    login.wait_for_line(|line| line.contains("paste the whole address"));
    visit(&page);
    let done = login.finish();
    assert!(!done.stderr.contains("ssh -N"), "{done:?}");
    done.succeeds();
}
