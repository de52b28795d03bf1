//! The whole tour, under every way a real server may settle what is not known: the program itself.
//!
//! One run for each value of each knob takes minutes, so `cargo test` makes a few runs with many knobs turned at once, and
//! `.ci/run` makes all of them, with the program that `PWFS` names.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use pwfs::demo::knobs::Knobs;

use crate::mount::fuse_is_here;

/// Tours under way at once: each waits for the one empty folder most of its time.
const AT_ONCE: usize = 12;

/// One knob and what it is turned to; nothing for a switch.
type Setting = (&'static str, String);

/// Values to try where the table names none.
const VALUES: &[(&str, &[&str])] = &[
    ("required-scope", &["projectwise:read"]),
    (
        "known-scopes",
        &["projectwise:read", "projectwise:read offline_access"],
    ),
    ("audience", &["https://ims.example/resources"]),
    ("required-audience", &["bentley-api-management"]),
    ("auth", &["bearer"]),
    ("token-lifetime", &["15s"]),
    ("refresh-lifetime", &["10m"]),
    ("bad-logins", &["0", "1"]),
    ("api", &["8", "7", "6", "5", "4", "3", "2", "1", "0"]),
    ("page-size", &["1", "7", "1000"]),
    ("max-top", &["1", "3", "10000"]),
    ("blob-lifetime", &["30s"]),
    ("platform-scope", &["itwin-platform"]),
    ("platform-rate", &["1"]),
    ("latency", &["20ms"]),
    ("bandwidth", &["20000000"]),
    ("concurrency", &["4"]),
    ("rate", &["6000"]),
    ("version-header", &["Mas-Server", "WsgServer", "Server"]),
    ("work-area-page", &["2"]),
    ("storage-top", &["10"]),
    ("skiptoken-lifetime", &["60s"]),
];

/// Settings under which nobody can read anything, the exit status, and a word of what is said.
const REFUSING: &[(&str, &str, i32, &str)] = &[
    ("app-allowed", "403", 77, "Client ID"),
    ("app-allowed", "401", 77, "Client ID"),
    // As a wrong datasource is told; to try again would help nobody.
    ("app-allowed", "404", 77, "Client ID"),
    ("app-allowed", "302", 77, "Client ID"),
    ("discovery", "missing", 1, "issuer"),
    ("auth", "basic", 77, "login"),
    ("required-scope", "itwin-platform", 77, "itwin-platform"),
    ("required-audience", "somebody-else", 77, "audience"),
    ("known-scopes", "openid", 77, "scope"),
];

/// Many at once: what an old server on premises, a hosted one and a contrary one may be like.
const TOGETHER: &[&[(&str, &str)]] = &[
    &[
        ("api", "3"),
        ("version-header", "Server"),
        ("errors", "xml"),
        ("filesize-as", "string"),
        ("time-format", "bare"),
        ("bool-as", "capital"),
        ("properties", "few"),
        ("root-predicate", "refused"),
        ("root-parent", "zeros"),
        ("page-size", "9"),
        ("ranges", "ignored"),
        ("file-etag", "absent"),
        ("chunked", ""),
        ("rotation", "silent"),
        ("no-304", ""),
        ("version-guids", "new"),
    ],
    &[
        ("private-repositories", ""),
        ("auth-failure", "404"),
        ("no-rights", "404"),
        ("revoked-folder", "404"),
        ("filesize-as", "absent-for-one"),
        ("time-format", "seven-digits"),
        ("properties", "many"),
        ("skiptoken", "always"),
        ("max-top", "11"),
        ("compress", ""),
        ("ranges", "open-ended"),
        ("head", "allowed"),
        ("redirect", "blob"),
        ("offline-access", "ignored"),
        ("nav-node", "missing"),
    ],
    &[
        ("filesize-as", "wrong"),
        ("time-format", "offset"),
        ("bool-as", "number"),
        ("skiptoken", "ignored"),
        ("order", "shuffled"),
        ("page-size", "7"),
        ("count", "refused"),
        ("folder-tags", "children"),
        ("file-etag", "changing"),
        ("root-parent", "empty"),
        ("rotation", "keep"),
        ("errors", "html"),
    ],
];

fn every_setting() -> Vec<Vec<Setting>> {
    let mut all = Vec::new();
    for knob in Knobs::TABLE {
        if knob.is_switch() {
            all.push(vec![(knob.name, String::new())]);
            continue;
        }
        let given = VALUES.iter().find(|(name, _)| *name == knob.name);
        let values: Vec<&str> = match given {
            Some((_, values)) => values.to_vec(),
            None => knob.values.split('|').collect(),
        };
        let refusing = |value: &str| {
            let mut refusing = REFUSING.iter();
            refusing.any(|(name, text, ..)| (*name, *text) == (knob.name, value))
        };
        let values = values.into_iter().filter(|value| !refusing(value));
        all.extend(values.map(|value| vec![(knob.name, value.to_owned())]));
    }
    all
}

/// What one tour came to.
struct Toured {
    flags: Vec<String>,
    code: Option<i32>,
    said: String,
}

/// Runs one tour.
fn tour(settings: &[Setting]) -> Toured {
    let place = tempfile::tempdir().unwrap();
    let program = std::env::var_os("PWFS").unwrap_or_else(|| env!("CARGO_BIN_EXE_pwfs").into());
    let flag = |(name, value): &Setting| match value.as_str() {
        "" => format!("--{name}"),
        value => format!("--{name}={value}"),
    };
    let flags: Vec<String> = settings.iter().map(flag).collect();
    let output = Command::new(program)
        .args(["demo", "mnt", "--check", "--documents", "110", "--folders", "50"])
        .args(&flags)
        .current_dir(place.path())
        .env("HOME", place.path())
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    Toured {
        flags,
        code: output.status.code(),
        said: String::from_utf8_lossy(&said).into_owned(),
    }
}

/// Runs every one of them.
fn tours(settings: Vec<Vec<Setting>>) -> Vec<Toured> {
    let waiting = Mutex::new(settings);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(settings) = waiting.lock().unwrap().pop() else {
                        break;
                    };
                    let toured = tour(&settings);
                    done.lock().unwrap().push(toured);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

#[track_caller]
fn all_pass(settings: Vec<Vec<Setting>>) {
    let mut failed = String::new();
    for Toured { flags, code, said } in tours(settings) {
        if code != Some(0) {
            writeln!(failed, "{}: exit {code:?}\n{said}", flags.join(" ")).unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
#[ignore = "minutes: .ci/run runs it with the release build"]
fn the_tour_passes_under_every_knob() {
    if !fuse_is_here() {
        return;
    }
    let settings = every_setting();
    for knob in Knobs::TABLE {
        let tried = settings.iter().flatten().any(|(name, _)| *name == knob.name);
        assert!(tried, "{knob:?} has no value to try");
    }
    all_pass(settings);
}

#[test]
fn the_tour_passes_where_many_things_are_unlike() {
    if !fuse_is_here() {
        return;
    }
    let together = TOGETHER.iter().map(|settings| {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        settings.collect()
    });
    all_pass(together.collect());
}

#[test]
fn where_nobody_may_read_the_tour_ends_and_says_why() {
    if !fuse_is_here() {
        return;
    }
    let settings = REFUSING
        .iter()
        .map(|(name, value, ..)| vec![(*name, (*value).to_owned())]);
    let mut failed = String::new();
    for Toured { flags, code, said } in tours(settings.collect()) {
        let (.., status, words) = REFUSING
            .iter()
            .find(|(name, value, ..)| flags == [format!("--{name}={value}")])
            .unwrap();
        let told = code == Some(*status) && said.contains("Error: ") && said.contains(words);
        // A refusal is never an empty project.
        if !told || said.contains("documents=") {
            writeln!(failed, "{}: exit {code:?}\n{said}", flags.join(" ")).unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
