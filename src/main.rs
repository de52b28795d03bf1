//! The `pwfs` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    pwfs::memory::share_one_arena();
    pwfs::cli::run(std::env::args_os())
}
