//! The desktop is told of a lost login: over a real message bus, to a desktop of the test's own.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use zbus::zvariant::OwnedValue;

use super::login::{Mount, directories};
use super::{PATIENCE, fuse_is_here, has_programs};
use crate::harness::small;
use crate::program::{Running, Stage};

/// A message bus for one test.
struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    fn start(dir: &Path) -> Self {
        let socket = dir.join("bus");
        let config = dir.join("bus.conf");
        // Of the bus of a session, without the services that a real one would start.
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
                "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig>
              <type>session</type>
              <listen>unix:path={}</listen>
              <policy context="default">
                <allow send_destination="*" eavesdrop="true"/>
                <allow eavesdrop="true"/>
                <allow own="*"/>
              </policy>
            </busconfig>"#,
            socket.display()
        );
        fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdout(Stdio::piped())
            // What limits of this machine it cannot raise.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        // It says its address when it listens.
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            daemon,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A notification as the desktop was asked to show it.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    number: u32,
    replaced: u32,
    title: String,
    body: String,
    stays: i32,
}

/// The part of a desktop that shows notifications.
struct Notifications {
    shown: Sender<Shown>,
    last: u32,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifications {
    #[allow(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "as the specification has it, and the bus hands it over"
    )]
    fn notify(
        &mut self,
        app: String,
        replaced: u32,
        icon: String,
        title: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        stays: i32,
    ) -> u32 {
        assert!(app == "pwfs" && !icon.is_empty() && actions.is_empty() && hints.contains_key("urgency"));
        if replaced == 0 {
            self.last += 41;
        }
        let number = if replaced == 0 { self.last } else { replaced };
        let shown = Shown {
            number,
            replaced,
            title,
            body,
            stays,
        };
        // A test that has failed listens no more.
        let _ = self.shown.send(shown);
        number
    }
}

/// A desktop on `bus`, for as long as the connection is held, and what it shows.
fn desktop(bus: &Bus) -> (zbus::Connection, Receiver<Shown>) {
    let (tell, shown) = channel();
    let notifications = Notifications { shown: tell, last: 0 };
    let connection = async_io::block_on(async {
        zbus::connection::Builder::address(bus.address.as_str())?
            .serve_at("/org/freedesktop/Notifications", notifications)?
            .name("org.freedesktop.Notifications")?
            .build()
            .await
    });
    (connection.unwrap(), shown)
}

/// Mounts with the session bus at `address`.
fn mount_with_bus(stage: &Stage, name: &str, args: &[&str], address: &str) -> Mount {
    directories(stage, &[name]);
    let mut all = vec!["mount"];
    all.extend(args);
    all.push(name);
    let mut command = stage.command(&all);
    command.env("DBUS_SESSION_BUS_ADDRESS", address);
    Mount::by(stage, name, Running::spawn(command))
}

/// Has the mount notice that its login is lost.
fn lose(stage: &Stage, mount: &mut Mount) {
    stage.server.revoke_all_tokens();
    let uncached = mount
        .dir
        .join("Leven Estuary Crossing/00 General/LEC-GEN-RPT-0002.pdf");
    assert!(fs::read(uncached).is_err());
    assert_eq!(mount.state(), "login-needed");
    mount
        .running
        .wait_for_line(|line| line.contains("the login does not work any more"));
}

#[test]
fn the_desktop_is_told_once_of_a_loss_and_once_of_its_end() {
    if !fuse_is_here() || !has_programs(&["dbus-daemon"]) {
        return;
    }
    let stage = Stage::signed_in(small());
    let bus = Bus::start(stage.home.path());
    let (_desktop, shown) = desktop(&bus);
    let mut mount = mount_with_bus(&stage, "mnt", &[], &bus.address);
    let mut quiet = mount_with_bus(&stage, "quiet", &["--no-notify"], &bus.address);
    lose(&stage, &mut mount);
    lose(&stage, &mut quiet);
    let loss = shown.recv_timeout(PATIENCE).unwrap();
    assert_eq!((loss.number, loss.replaced), (41, 0));
    assert_eq!(
        (loss.title.as_str(), loss.stays),
        ("ProjectWise: sign in again", 0)
    );
    assert!(loss.body.starts_with(mount.dir.to_str().unwrap()), "{loss:?}");
    assert!(loss.body.contains("run pwfs login --profile default"), "{loss:?}");

    stage.login::<&str>(&[]).succeeds();
    let end = shown.recv_timeout(PATIENCE).unwrap();
    assert_eq!((end.number, end.replaced), (41, 41), "in place of the other one");
    assert_eq!(end.title, "ProjectWise works again");
    mount.wait_until_it_works();
    quiet.wait_until_it_works();
    mount.end();
    quiet.end();
    assert!(shown.try_recv().is_err(), "one loss, and one end");
}

#[test]
fn a_desktop_that_never_answers_or_is_not_there_holds_up_nothing() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    // Takes connections, and says nothing.
    let socket = stage.home.path().join("deaf");
    let deaf = UnixListener::bind(&socket).unwrap();
    let address = format!("unix:path={}", socket.display());
    let mut waits = mount_with_bus(&stage, "waits", &[], &address);
    let mut alone = mount_with_bus(&stage, "alone", &[], "unix:path=/nonexistent/bus");
    for mount in [&mut waits, &mut alone] {
        lose(&stage, mount);
        assert_eq!(mount.state(), "login-needed");
    }
    // The deaf one was called.
    let (_held, _) = deaf.accept().unwrap();
    stage.login::<&str>(&[]).succeeds();
    let begin = std::time::Instant::now();
    for mount in [waits, alone] {
        let mut mount = mount;
        mount.wait_until_it_works();
        assert_eq!(mount.state(), "good");
        // Nothing is left to be waited for at the end, either.
        mount.end();
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}
