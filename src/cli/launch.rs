//! Hands something to the desktop, which knows the program for it.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

/// The program that finds the program.
pub(super) const OPENER: &str = "xdg-open";

/// Opens an address or an absolute path, without waiting for whoever shows it. No shell reads it, and it cannot be taken
/// for an option.
///
/// # Errors
/// Where there is no opener. What becomes of `target` is not told.
pub(super) fn launch(target: &OsStr) -> io::Result<()> {
    let mut child = Command::new(OPENER)
        .arg(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // Some openers live as long as what they opened. The thread only collects the child's end.
    std::thread::spawn(move || child.wait());
    Ok(())
}
