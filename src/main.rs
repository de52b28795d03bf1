//! The `pwfs` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    pwfs::cli::run(std::env::args_os())
}
