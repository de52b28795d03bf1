use super::*;
use crate::fs::caller::tests::{begin, stage};

fn rules(texts: &[&str]) -> CallerRules {
    CallerRules::usual().and(texts.iter().map(|text| text.parse().unwrap()))
}

/// As seen by a process that may look at the file it runs, or may not.
fn programs(name: &str) -> [Program; 2] {
    let cut = name.get(..SHORT).unwrap_or(name).to_owned();
    let program = |whole: &[&str], cut: &[&str]| Program {
        shown: String::new(),
        whole: whole.iter().map(|name| (*name).to_owned()).collect(),
        cut: cut.iter().map(|name| (*name).to_owned()).collect(),
    };
    [program(&[name], &[]), program(&[], &[&cut])]
}

#[test]
fn thumbnailers_and_indexers_are_refused_and_nobody_else_is() {
    for name in [
        "tumblerd",
        "evince-thumbnailer",
        "totem-video-thumbnailer",
        "gdk-pixbuf-thumbnailer",
        "gsf-office-thumbnailer",
        "gnome-thumbnail-font",
        "ffmpegthumbnailer",
        "tracker-miner-fs-3",
        "tracker-extract-3",
        "localsearch-3",
        "localsearch-extractor-3",
        "baloo_file",
        "baloo_file_extractor",
        "updatedb",
        "updatedb.plocate",
        "recollindex",
        "zeitgeist-daemon",
        "thumbnail.so",
    ] {
        for program in programs(name) {
            assert!(rules(&[]).refuses(&program), "{program:?}");
            assert!(!CallerRules::none().refuses(&program), "{program:?}");
        }
    }
    for name in [
        "cp",
        "rsync",
        "nautilus",
        "dolphin",
        "kioworker",
        "file.so",
        "thunar",
        "mozilla-thunderbird",
        "clamscan",
        "python3.11",
        "a-program-with-a-long-name",
        "thumbnailer",
    ] {
        for program in programs(name) {
            assert!(!rules(&[]).refuses(&program), "{program:?}");
        }
    }
}

#[test]
fn the_last_rule_about_a_program_decides() {
    let refuses = |texts: &[&str], name: &str| programs(name).map(|program| rules(texts).refuses(&program));
    assert_eq!(refuses(&["!tumblerd"], "tumblerd"), [false; 2]);
    assert_eq!(
        refuses(&["!evince-thumbnailer"], "evince-thumbnailer"),
        [false; 2]
    );
    assert_eq!(refuses(&["!evince-thumbnailer"], "atril-thumbnailer"), [true; 2]);
    assert_eq!(refuses(&["!*", "mine"], "tumblerd"), [false; 2]);
    assert_eq!(refuses(&["!*", "mine"], "mine"), [true; 2]);
    assert_eq!(refuses(&["*"], "cat"), [true; 2]);
    assert!(
        rules(&["!*"]).refuses(&programs("tumblerd")[0]) == CallerRules::none().refuses(&programs("x")[0])
    );
}

#[test]
fn a_rule_is_read_as_it_is_written() {
    for text in [
        "tumblerd",
        "!tumblerd",
        "*-thumbnailer",
        "baloo_file*",
        "a*b",
        "!*",
        "two words",
    ] {
        assert_eq!(text.parse::<CallerRule>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "!",
        "!!a",
        "/usr/bin/updatedb",
        "a*b*",
        " a",
        "a\nb",
        &"x".repeat(256),
    ] {
        assert!(text.parse::<CallerRule>().is_err(), "{text:?}");
    }
    assert_eq!(CallerRules::usual().0.len(), USUAL.len());
}

#[tokio::test]
async fn who_was_looked_at_is_known_until_the_number_is_anothers() {
    let dir = tempfile::tempdir().unwrap();
    let policy = CallerPolicy::over(CallerRules::usual(), dir.path().to_owned());
    let caller = Caller { pid: 30, uid: 1000 };
    assert_eq!(policy.refuses(caller).await, None, "it has ended");
    stage(dir.path(), 30, "tumblerd", "/usr/bin/tumblerd", "");
    assert_eq!(policy.refuses(caller).await.as_deref(), Some("tumblerd"));
    // The same thread: it is not looked at again.
    std::fs::write(dir.path().join("30/comm"), "cat\n").unwrap();
    assert_eq!(policy.refuses(caller).await.as_deref(), Some("tumblerd"));
    stage(dir.path(), 30, "cat", "/usr/bin/cat", "");
    begin(dir.path(), 30, 78);
    assert_eq!(policy.refuses(caller).await, None);
    // Of another pid namespace.
    assert_eq!(policy.refuses(Caller { pid: 0, uid: 0 }).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_program_may_run_another_one_and_is_looked_at_again_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let looks = Looks {
        proc: dir.path().to_owned(),
        seen: Mutex::default(),
    };
    stage(dir.path(), 31, "sh", "/bin/sh", "");
    assert_eq!(looks.program(31).unwrap().shown, "sh");
    stage(dir.path(), 31, "updatedb", "/usr/bin/updatedb", "");
    assert_eq!(looks.program(31).unwrap().shown, "sh");
    tokio::time::advance(REMEMBERED).await;
    assert_eq!(looks.program(31).unwrap().shown, "updatedb");
}

#[test]
fn what_is_refused_is_counted_by_program_and_bounded() {
    let policy = CallerPolicy::default();
    for number in 0..100 {
        policy.count(&format!("program-{number:02}"), Caller::UNKNOWN);
        policy.count("program-00", Caller::UNKNOWN);
    }
    let refused = policy.refused();
    assert_eq!(refused.len(), MOST_COUNTED + 1);
    assert_eq!((refused["program-00"], refused[OTHERS]), (101, 36));
}

#[test]
fn any_number_of_threads_are_looked_at_and_few_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let looks = Looks {
        proc: dir.path().to_owned(),
        seen: Mutex::default(),
    };
    stage(dir.path(), 1, "cat", "/bin/cat", "");
    let program = looks.program(1).unwrap();
    for pid in 0..3000 {
        let seen = Seen {
            born: 1,
            until: Instant::now() + REMEMBERED,
            program: program.clone(),
        };
        if looks.seen.lock().len() < MOST_REMEMBERED {
            looks.seen.lock().insert(pid, seen);
        }
    }
    assert_eq!(looks.program(1).unwrap(), program);
    stage(dir.path(), 5000, "cat", "/bin/cat", "");
    assert!(looks.program(5000).is_some());
    assert!(looks.seen.lock().len() <= MOST_REMEMBERED);
}
