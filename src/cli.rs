//! The command line.

pub mod login;
