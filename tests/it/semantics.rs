//! SEMANTICS.md is not a brochure: each promise names the tests that prove it, and they exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some((_, rest)) = line.split_once("fn ") {
                    let name = rest.split(['(', '<']).next().unwrap_or_default();
                    if is_test {
                        found.insert(name.to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    functions(&root.join("src"), &mut tests);
    functions(&root.join("tests"), &mut tests);
    let text = fs::read_to_string(root.join("SEMANTICS.md")).unwrap();
    let (promises, _) = text.split_once("## Known limits").unwrap();
    let mut problems = Vec::new();
    for promise in promises.split("\n**").skip(1) {
        let title = promise.split("**").next().unwrap_or_default();
        let mut named = 0;
        for item in promise
            .lines()
            .filter(|line| line.starts_with("- ") || line.starts_with("  `"))
        {
            for name in item.split('`').skip(1).step_by(2) {
                named += 1;
                if !tests.contains(name) {
                    problems.push(format!("{title:?} names {name}, which is no test"));
                }
            }
        }
        if named == 0 {
            problems.push(format!("{title:?} names no test"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
