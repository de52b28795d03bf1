//! The command line, by the program itself.

mod browse;
mod help;
mod mount;
