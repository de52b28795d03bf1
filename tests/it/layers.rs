//! The house has floors: imports go one way, and each protocol's words stay in their room.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may import. Nothing else may; nothing imports upward.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("memory", &[]),
    ("names", &["model"]),
    ("http", &["clock"]),
    ("auth", &["http", "model"]),
    ("remote", &["auth", "http", "model"]),
    ("store", &["clock", "model", "names"]),
    ("database", &["model"]),
    ("catalog", &["clock", "database", "model", "names", "store"]),
    ("content", &["clock", "database", "model", "remote"]),
    ("tree", &["catalog", "clock", "model", "names", "remote", "store"]),
    (
        "leader",
        &["catalog", "clock", "model", "remote", "store", "tree"],
    ),
    (
        "fs",
        &["auth", "catalog", "content", "model", "remote", "store", "tree"],
    ),
    (
        "refresh",
        &["catalog", "clock", "model", "remote", "store", "tree"],
    ),
    ("fuse", &["fs", "model", "names", "store", "tree"]),
    ("config", &["auth", "http", "model", "remote"]),
    (
        "daemon",
        &[
            "auth", "catalog", "clock", "config", "content", "fs", "fuse", "http", "leader", "memory",
            "model", "names", "refresh", "remote", "store", "tree",
        ],
    ),
    (
        "doctor",
        &[
            "auth", "catalog", "clock", "config", "daemon", "fuse", "http", "model", "names", "remote",
            "tree",
        ],
    ),
    ("changes", &["catalog", "model"]),
    ("manifest", &["catalog", "clock", "model"]),
    ("explain", &["catalog", "clock", "model", "names", "store"]),
    ("demo", &["model"]),
    (
        "cli",
        &[
            "auth", "catalog", "changes", "clock", "config", "content", "daemon", "demo", "doctor",
            "explain", "fs", "fuse", "http", "leader", "manifest", "model", "names", "refresh", "remote",
            "store", "tree",
        ],
    ),
];

/// Words and the only files that may say them.
const ROOMS: &[(&str, &[&str])] = &[
    ("fuser::", &["fuse.rs", "fuse/"]),
    ("reqwest::", &["http.rs", "http/"]),
    ("libc::E", &["fs/error.rs"]),
    ("println!", &["cli/output.rs", "cli/output/"]),
    // A full-screen view owns the terminal while it is open: its driver writes too, and nothing else of it does.
    (
        "stdout()",
        &["cli/output.rs", "cli/output/", "cli/picker/terminal.rs"],
    ),
    ("crossterm::", &["cli/picker/terminal.rs"]),
    ("use clap", &["cli.rs", "cli/"]),
    ("axum::", &["demo.rs", "demo/"]),
    ("unsafe ", &["memory.rs"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 20, "the sources were found");
    found
}

/// The lines a reader of the product meets: no comments, no tests.
fn product_lines(path: &Path, text: &str) -> Vec<String> {
    if path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests") {
        return Vec::new();
    }
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    product
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

fn module_of(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn imports_go_one_way() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "main" || module == "lib" {
            continue;
        }
        let may = allowed
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} has no floor yet"));
        for line in product_lines(&path, &text) {
            for (at, _) in line.match_indices("crate::") {
                let target: String = line[at + 7..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if !target.is_empty() && target != module && !may.contains(&target.as_str()) {
                    breaches.push(format!("{} imports {target}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn protocol_words_stay_in_their_room() {
    let mut breaches = Vec::new();
    for (path, text) in sources() {
        let shown = path.to_string_lossy().into_owned();
        for line in product_lines(&path, &text) {
            for (word, rooms) in ROOMS {
                if line.contains(word) && !rooms.iter().any(|room| shown.starts_with(room)) {
                    breaches.push(format!("{shown} says {word}: {}", line.trim()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
