//! The command line.
pub mod demo;
pub mod failure;
pub mod login;
pub mod mount;
pub mod output;
