//! A mapped document whose bytes do not come: whoever touches them gets the right ones, or a signal, and never waits without end.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pwfs::demo::{Effect, Fault, RequestKind};
use rustix::process::Signal;

use super::{PROJECT, Settings, blocking, fuse_is_here, has_programs, mount, quiet};

/// Larger than what is fetched whole.
const SIZE: u64 = 600 << 10;

/// What is touched: not where a download begins.
const TOUCHED: u64 = 400_003;

/// Ten seconds without progress (docs/reading.md), whatever is tried again meanwhile, and what a busy machine needs.
const IN_TIME: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_byte_that_cannot_be_fetched_is_a_signal_in_time_and_never_another_byte() {
    if !fuse_is_here() || !has_programs(&["python3"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let folder = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    let status = |code| Effect::Status {
        code,
        error_id: None,
        retry_after: None,
    };
    let effects = [
        Effect::HangAfterAccept,
        Effect::HangAfterHeaders,
        Effect::StallBody { after: 1000 },
        Effect::Truncate { after: 1000 },
        Effect::ResetBody { after: 1000 },
        Effect::DropConnection,
        Effect::ResetConnection,
        Effect::WrongLength { delta: 5 },
        Effect::WrongLength { delta: -5 },
        Effect::LyingLength { delta: 5 },
        status(503),
        status(500),
        status(403),
        status(404),
    ];
    let mut documents = Vec::new();
    for (number, effect) in effects.into_iter().enumerate() {
        let name = format!("mapped-{number}.bin");
        let document = world.add_document_sized(folder, &name, SIZE).unwrap();
        documents.push((name, document, effect));
    }
    let below = mounted.path("00 General");
    quiet("ls -l \"$1\" > /dev/null", &[&below]).await;
    for (_, document, effect) in &documents {
        let fault = Fault::on(RequestKind::File, effect.clone()).about(*document);
        mounted.server.inject(fault);
    }
    let touch = "import mmap, os, sys\n\
        fd = os.open(sys.argv[1], os.O_RDONLY)\n\
        seen = mmap.mmap(fd, 0, prot=mmap.PROT_READ)\n\
        print(seen[int(sys.argv[2])])\n";
    let touching = documents.iter().map(|(name, document, effect)| {
        let path = below.join(name);
        let truth = world.content(*document).unwrap()[usize::try_from(TOUCHED).unwrap()];
        let effect = format!("{effect:?}");
        tokio::spawn(blocking(move || {
            let begun = Instant::now();
            let output = Command::new("python3")
                .args(["-c", touch])
                .arg(path)
                .arg(TOUCHED.to_string())
                .stderr(Stdio::null())
                .output()
                .unwrap();
            let took = begun.elapsed();
            assert!(took < IN_TIME, "{effect}: {took:?}");
            if output.status.success() {
                let byte = String::from_utf8(output.stdout).unwrap();
                assert_eq!(byte.trim(), truth.to_string(), "{effect}");
                return None;
            }
            assert_eq!(
                output.status.signal(),
                Some(Signal::BUS.as_raw()),
                "{effect}: {output:?}"
            );
            Some(effect)
        }))
    });
    let mut refused = 0;
    for touched in touching.collect::<Vec<_>>() {
        refused += usize::from(touched.await.unwrap().is_some());
    }
    assert!(refused > 0, "the faults met somebody");

    // It heals: what failed is remembered for two seconds.
    mounted.server.clear_faults();
    for (name, document, effect) in &documents {
        // A whole file of another length than listed is believed until the document changes (SEMANTICS.md), and a refusal is
        // remembered for longer than a test waits.
        let is_an_answer = matches!(
            effect,
            Effect::WrongLength { .. } | Effect::Status { code: 403 | 404, .. }
        );
        if is_an_answer {
            continue;
        }
        let path = below.join(name);
        let truth = world.content(*document).unwrap();
        let healed = blocking(move || {
            let begun = Instant::now();
            while begun.elapsed() < IN_TIME {
                if std::fs::read(&path).is_ok_and(|bytes| bytes == truth) {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            false
        });
        assert!(healed.await, "{name}");
    }
    mounted.stop().await;
}
