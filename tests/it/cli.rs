//! The command line, by the program itself.

mod browse;
mod datasources;
mod help;
mod mount;
mod pace;
