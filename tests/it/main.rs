//! Integration tests: behaviour over real HTTP, on real mounts, and on the command line.
#![allow(missing_docs, reason = "tests are named by sentences")]

mod browse;
mod budget;
mod faults;
mod freshness;
mod harness;
mod layers;
mod mount;
mod versions;
