//! The log on its way to stderr; it waits while a full-screen view has the terminal.

use std::collections::VecDeque;
use std::io::{self, Write};

use parking_lot::Mutex;

/// Bytes of log that wait at most: some hundreds of lines. The oldest give way.
const MOST_HELD: usize = 64 * 1024;

/// What waits; `None` while nothing has to.
static HELD: Mutex<Option<Waiting>> = Mutex::new(None);

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: usize,
}

impl Waiting {
    fn push(&mut self, message: &[u8]) {
        self.bytes += message.len();
        self.messages.push_back(message.to_vec());
        while self.bytes > MOST_HELD
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes -= oldest.len();
            self.dropped += 1;
        }
    }

    fn write(self, out: &mut dyn Write) -> io::Result<()> {
        if self.dropped > 0 {
            writeln!(out, "({} older log messages are left out)", self.dropped)?;
        }
        self.messages
            .iter()
            .try_for_each(|message| out.write_all(message))
    }
}

/// Holds the log back until it is dropped; then what waited is written.
#[derive(Debug)]
pub struct Held(());

/// Holds the log back: a line of it would tear a full-screen view.
pub fn hold() -> Held {
    HELD.lock().get_or_insert_default();
    Held(())
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(waiting) = HELD.lock().take() {
            // There is no other place to tell it.
            let _ = waiting.write(&mut io::stderr());
        }
    }
}

/// Where the log goes: stderr, each message in one piece.
#[derive(Debug, Clone, Copy)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        match HELD.lock().as_mut() {
            Some(waiting) => waiting.push(message),
            None => io::stderr().write_all(message)?,
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_in_order_and_has_a_bound() {
        let mut waiting = Waiting::default();
        waiting.push(b"one\n");
        waiting.push(b"two\n");
        let mut out = Vec::new();
        waiting.write(&mut out).unwrap();
        assert_eq!(out, b"one\ntwo\n");

        let mut waiting = Waiting::default();
        for number in 0..100 {
            waiting.push(format!("{number:01000}\n").as_bytes());
        }
        let mut out = Vec::new();
        waiting.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("(35 older log messages are left out)\n"),
            "{}",
            &text[..50]
        );
        assert!(text.ends_with("099\n"), "the newest stays");
    }

    #[test]
    fn nothing_is_written_while_a_view_has_the_terminal() {
        let held = hold();
        LogWriter.write_all(b"").unwrap();
        assert!(
            HELD.lock()
                .as_ref()
                .is_some_and(|waiting| waiting.messages.len() <= 1)
        );
        drop(held);
        assert!(HELD.lock().is_none());
    }
}
