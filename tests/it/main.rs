//! Integration tests: behaviour over real HTTP, on real mounts, and on the command line.
#![allow(missing_docs, reason = "tests are named by sentences")]

mod browse;
mod harness;
mod layers;
mod mount;
