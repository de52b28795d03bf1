//! A line from the terminal that need not be waited for.
//!
//! A thread that sits in `read` cannot be called back: it would swallow the next line that is typed, for whoever asks then.
//! This one waits in `poll`, also for the moment the question is taken back.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustix::event::{PollFd, PollFlags, poll};

/// The next line of standard input; `None` at its end. Dropping the future takes the question back.
pub(super) fn line() -> BoxFuture<'static, io::Result<Option<String>>> {
    line_of(io::stdin())
}

fn line_of(input: impl AsFd + Send + 'static) -> BoxFuture<'static, io::Result<Option<String>>> {
    async {
        let (reader, writer) = io::pipe()?;
        let reading = tokio::task::spawn_blocking(move || wait(&input, &reader));
        let _asking: PipeWriter = writer;
        match reading.await {
            Ok(line) => line,
            Err(error) => Err(io::Error::other(error)),
        }
    }
    .boxed()
}

/// Reads a line, unless `withdrawn` is closed at its other end. Blocks.
fn wait(input: &impl AsFd, withdrawn: &PipeReader) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let mut sources = [
            PollFd::new(input, PollFlags::IN),
            PollFd::new(withdrawn, PollFlags::IN),
        ];
        match poll(&mut sources, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !sources[1].revents().is_empty() {
            return Ok(None);
        }
        if sources[0].revents().is_empty() {
            continue;
        }
        // One byte at a time: what follows the line is for whoever asks next.
        let mut byte = [0];
        match rustix::io::read(input, &mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(1) if byte[0] != b'\n' => line.push(byte[0]),
            Ok(_) => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn a_line_is_read_and_what_follows_is_left() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"first\nsecond\n").unwrap();
        let input = reader.try_clone().unwrap();
        assert_eq!(line_of(input).await.unwrap().as_deref(), Some("first"));
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "second\n");
        assert_eq!(line_of(reader).await.unwrap(), None, "the end");
    }

    #[tokio::test]
    async fn a_question_that_is_taken_back_swallows_nothing() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let mut asked = line_of(reader.try_clone().unwrap());
        assert!(futures_util::poll!(&mut asked).is_pending());
        drop(asked);
        writer.write_all(b"for another\n").unwrap();
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "for another\n");
    }
}
