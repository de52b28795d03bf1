//! Ordinary programs on a mount: what they read is what the server has, and they have nothing to complain about.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Mounted, PROJECT, Settings, blocking, fuse_is_here, has_programs, mount, quiet, sh};

/// A folder where everything may be read and every name is plain.
const DESIGN: &str = "03 Design";
/// May be seen and not listed.
const SECRET_FOLDER: &str = "09 Commercial in Confidence";
/// May be seen and not read.
const SECRET_DOCUMENT: &str = "LEC-LEG-ADV-0001.pdf";
/// Its names are encoded in the mount.
const AWKWARD: &str = "10 Names From Migration";

/// Writes what the world has below `folders` of the project into `into`: folders, names and bytes.
async fn write_truth(mounted: &Mounted, folders: &[&str], into: &Path) {
    let depth = folders.len() + 1;
    let world = mounted.server.world();
    let mut directories: Vec<Vec<String>> = world
        .folders()
        .into_iter()
        .filter(|folder| folder.listed && folder.path.first().is_some_and(|root| root == PROJECT))
        .map(|folder| folder.path)
        .collect();
    directories.retain(|path| path.len() >= depth && path[1..].iter().zip(folders).all(|(a, b)| a == b));
    let documents = mounted.documents(folders);
    assert!(!documents.is_empty(), "a folder of the demo was renamed");
    let into = into.to_owned();
    blocking(move || {
        // A slash in a name has no place here; the folder of awkward names is not compared this way.
        for path in directories
            .iter()
            .filter(|path| path.iter().all(|name| !name.contains('/')))
        {
            fs::create_dir_all(into.join(path[depth..].join("/"))).unwrap();
        }
        for document in documents
            .iter()
            .filter(|document| !document.path.contains(&AWKWARD.to_owned()))
        {
            let path = into
                .join(document.path[depth..].join("/"))
                .join(document.file_name.as_deref().unwrap());
            fs::write(path, world.content(document.guid).unwrap()).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_made_by_programs_are_what_the_server_has() {
    if !fuse_is_here() || !has_programs(&["rsync", "tar", "diff"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let (design, out) = (mounted.path(DESIGN), mounted.outside("out"));
    fs::create_dir(&out).unwrap();
    write_truth(&mounted, &[DESIGN], &out.join("truth")).await;

    quiet("cp -r \"$1\" \"$2/cp\"", &[&design, &out]).await;
    quiet("tar cf \"$2/tar.tar\" -C \"$1\" .", &[&design, &out]).await;
    quiet("mkdir \"$1/tar\" && tar xf \"$1/tar.tar\" -C \"$1/tar\"", &[&out]).await;
    quiet("rsync -a \"$1/\" \"$2/rsync/\"", &[&design, &out]).await;
    for copy in ["cp", "tar", "rsync"] {
        let differences = quiet(
            "diff -r \"$1/truth\" \"$1/$(basename \"$2\")\"",
            &[&out, Path::new(copy)],
        )
        .await;
        assert_eq!(differences, "", "{copy}");
    }

    let before = mounted.requests();
    let second = quiet(
        "rsync -a --itemize-changes \"$1/\" \"$2/rsync/\"",
        &[&design, &out],
    )
    .await;
    assert_eq!(second, "", "a second run has nothing to transfer, times included");
    assert_eq!(mounted.requests(), before, "nor anything to ask");
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_say_the_same_of_the_mount_as_of_a_copy_of_the_documents() {
    if !fuse_is_here() || !has_programs(&["file", "git", "md5sum"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let (design, truth) = (mounted.path(DESIGN), mounted.outside("truth"));
    write_truth(&mounted, &[DESIGN], &truth).await;
    let files = "cd \"$1\" && find . -type f -print0 | sort -z | xargs -0";
    for script in [
        "cd \"$1\" && find . -type d | sort".to_owned(),
        "cd \"$1\" && find . -type f -printf '%s %p\\n' | sort".to_owned(),
        "cd \"$1\" && grep -rl PDF . | sort".to_owned(),
        "cd \"$1\" && grep -rc e . | sort".to_owned(),
        format!("{files} md5sum"),
        format!("{files} wc"),
        format!("{files} file"),
        format!("{files} tail -c 100"),
        format!("{files} stat -c '%n %s %b %F' | sed 's/ [0-9]* regular/ regular/'"),
        // Maps what it reads into memory.
        format!("{files} git hash-object --no-filters"),
    ] {
        let (seen, expected) = (quiet(&script, &[&design]).await, quiet(&script, &[&truth]).await);
        assert!(!expected.is_empty(), "{script}");
        assert_eq!(seen, expected, "{script}");
    }
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_look_around_have_nothing_to_complain_about() {
    if !fuse_is_here() || !has_programs(&["getfattr"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    for folder in [DESIGN, AWKWARD] {
        let path = mounted.path(folder);
        for script in [
            "ls -lR \"$1\"",
            "ls -la --color=always \"$1\"",
            "find \"$1\" -ls",
            "df \"$1\"",
            "stat -f \"$1\"",
        ] {
            assert!(!quiet(script, &[&path]).await.is_empty(), "{script}");
        }
        let bytes: u64 = mounted
            .documents(&[folder])
            .iter()
            .map(|document| document.size)
            .sum();
        let used = quiet("du -sb \"$1\" | cut -f1", &[&path]).await;
        assert_eq!(used.trim(), bytes.to_string(), "du of {folder}");
    }
    let document = &mounted.documents(&[DESIGN])[0];
    let attributes = quiet(
        "getfattr -d --absolute-names \"$1\"",
        &[&mounted.path_of(document)],
    )
    .await;
    assert!(
        attributes.contains(&format!("user.projectwise.guid=\"{}\"", document.guid)),
        "{attributes}"
    );
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awkward_names_survive_being_copied() {
    if !fuse_is_here() || !has_programs(&["rsync", "tar", "diff"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let (awkward, out) = (mounted.path(AWKWARD), mounted.outside("out"));
    fs::create_dir(&out).unwrap();
    quiet("cp -r \"$1\" \"$2/cp\"", &[&awkward, &out]).await;
    quiet("rsync -a \"$1/\" \"$2/rsync/\"", &[&awkward, &out]).await;
    quiet("tar cf \"$2/tar.tar\" -C \"$1\" .", &[&awkward, &out]).await;
    quiet("mkdir \"$1/tar\" && tar xf \"$1/tar.tar\" -C \"$1/tar\"", &[&out]).await;
    for copy in ["cp", "rsync", "tar"] {
        let differences = quiet("diff -r \"$1\" \"$2\"", &[&awkward, &out.join(copy)]).await;
        assert_eq!(differences, "", "{copy}");
    }
    let copied = quiet("find \"$1/cp\" -type f -printf x", &[&out]).await.len();
    assert_eq!(
        copied,
        mounted.documents(&[AWKWARD]).len(),
        "every document got a name of its own"
    );
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_a_permission_error_and_nothing_else_is() {
    if !fuse_is_here() || !has_programs(&["rsync", "tar", "diff"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let (project, out) = (mounted.path(""), mounted.outside("out"));
    fs::create_dir(&out).unwrap();
    let listing = BTreeSet::from([SECRET_FOLDER]);
    let reading = BTreeSet::from([SECRET_FOLDER, SECRET_DOCUMENT]);
    for (script, refused) in [
        ("ls -lR \"$1\"", &listing),
        ("find \"$1\" -ls", &listing),
        ("du -a \"$1\"", &listing),
        ("grep -r Pier \"$1\"", &reading),
        ("cp -r \"$1\" \"$2/cp\"", &reading),
        ("tar cf \"$2/tar.tar\" -C \"$1\" .", &reading),
        ("rsync -a \"$1/\" \"$2/rsync/\"", &reading),
    ] {
        let output = sh(script, &[&project, &out]).await;
        assert!(!output.status.success(), "{script} did not notice");
        let said = String::from_utf8_lossy(&output.stderr);
        let named: BTreeSet<&str> = said
            .lines()
            .filter(|line| line.contains("Permission denied"))
            .map(|line| {
                *reading
                    .iter()
                    .find(|name| line.contains(**name))
                    .unwrap_or_else(|| panic!("{script}: {line}"))
            })
            .collect();
        assert_eq!(named, *refused, "{script}: {said}");
        // Every line about a document is about the one that is refused.
        for line in said.lines().filter(|line| line.contains("LEC-")) {
            assert!(line.contains(SECRET_DOCUMENT), "{script}: {line}");
        }
    }

    // Everything else was copied all the same.
    write_truth(&mounted, &[], &out.join("truth")).await;
    for copy in ["cp", "rsync"] {
        let script =
            format!("diff -r -x '{AWKWARD}' -x '{SECRET_FOLDER}' -x '{SECRET_DOCUMENT}' \"$1\" \"$2\"");
        let differences = quiet(&script, &[&out.join("truth"), &out.join(copy)]).await;
        assert_eq!(differences, "", "{copy}");
    }
    mounted.stop().await;
}
