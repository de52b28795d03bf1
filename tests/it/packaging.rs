//! The units that are shipped: systemd takes them, and the program takes what they say to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mount::has_programs;
use crate::program::Stage;

/// The unit files for a kind of manager, `system` or `user`.
fn units(kind: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/systemd")
        .join(kind);
    let units: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!units.is_empty());
    units
}

/// The settings of a unit, in their order.
fn settings(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect()
}

/// Where the consumer is.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/consumer")
}

/// Has systemd look over copies of these units, as one kind of manager.
fn verify(kind: &str, units: Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let mut copies = Vec::new();
    for unit in units {
        let text = fs::read_to_string(&unit).unwrap();
        // Installed it would be found by its name.
        let here = text.replace("=pwfs ", &format!("={} ", env!("CARGO_BIN_EXE_pwfs")));
        // All but the consumer's run the program themselves.
        assert!(here != text || unit.starts_with(example()), "{}", unit.display());
        let copy = dir.path().join(unit.file_name().unwrap());
        fs::write(&copy, here).unwrap();
        copies.push(copy);
    }
    let checked = Command::new("systemd-analyze")
        .arg(format!("--{kind}"))
        .arg("verify")
        .args(&copies)
        // What the user's manager needs to know of its user, and nothing else of who runs the tests.
        .env("XDG_RUNTIME_DIR", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("pwfs")).collect();
    assert!(checked.status.success() && ours.is_empty(), "{kind}: {said}");
}

#[test]
fn systemd_takes_every_unit() {
    if !has_programs(&["systemd-analyze"]) {
        return;
    }
    let mut of_a_user = units("user");
    of_a_user.push(example().join("pwfs-consumer@.service"));
    verify("user", of_a_user);
    verify("system", units("system"));
}

#[test]
fn every_command_line_of_a_unit_is_understood() {
    let stage = Stage::new();
    for unit in units("system").into_iter().chain(units("user")) {
        let text = fs::read_to_string(&unit).unwrap();
        let mut seen = 0;
        for (_, line) in settings(&text)
            .iter()
            .filter(|(key, line)| *key == "ExecStart" && line.starts_with("pwfs "))
        {
            let line = line
                .replace("%i", "work")
                .replace("%h", "/home/x")
                .replace('"', "");
            // Whatever comes before a call for help is checked as ever.
            let mut args: Vec<&str> = line.split(' ').skip(1).collect();
            args.push("--help");
            stage.run(&args).succeeds();
            seen += 1;
        }
        assert_eq!(seen, 1, "{}", unit.display());
    }
}

#[test]
fn a_mount_of_the_system_is_not_hidden_in_a_namespace_and_asks_nobody_twice() {
    /// Each gives a unit its own mount namespace (systemd.exec(5)), and a mount made there is seen by nobody else.
    const HIDING: &[&str] = &[
        "PrivateTmp",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateNetwork",
        "PrivateIPC",
        "PrivateUsers",
        "ProtectSystem",
        "ProtectHome",
        "ProtectProc",
        "ProcSubset",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "InaccessiblePaths",
        "ExecPaths",
        "NoExecPaths",
        "BindPaths",
        "BindReadOnlyPaths",
        "TemporaryFileSystem",
        "RootDirectory",
        "RootImage",
        "MountFlags",
        "MountImages",
        "DynamicUser",
        "LogNamespace",
    ];
    for kind in ["system", "user"] {
        let all = units(kind);
        let unit = all.iter().find(|unit| unit.ends_with("pwfs@.service")).unwrap();
        let text = fs::read_to_string(unit).unwrap();
        let settings = settings(&text);
        for (key, _) in &settings {
            assert!(!HIDING.contains(key), "{key}");
        }
        // Usage, login and configuration, as `pwfs --help` has them.
        assert!(
            settings.contains(&("RestartPreventExitStatus", "2 77 78")),
            "{kind}"
        );
    }
}
