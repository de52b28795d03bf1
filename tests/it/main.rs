//! Integration tests: behaviour over real HTTP, on real mounts, and on the command line.
#![allow(missing_docs, unreachable_pub, reason = "tests are named by sentences")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test is its own command line"
)]
#![allow(
    clippy::similar_names,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::doc_markdown,
    reason = "plain words serve a test better"
)]

mod alloovium;
mod attributes;
mod browse;
mod budget;
mod cache;
mod cli;
mod commits;
mod conformance;
mod consumer;
mod content;
mod doctor;
mod events;
mod explain;
mod faults;
mod freshness;
mod harness;
mod killed;
mod knobs;
mod layers;
mod leader;
mod login;
mod manual;
mod mount;
mod neighbours;
mod network;
mod objects;
mod packaging;
mod picker;
mod pipeline;
mod program;
mod proof;
mod replay;
mod scale;
mod secrets;
mod secure;
mod semantics;
mod setup;
mod terminal;
mod together;
mod troubleshooting;
mod versions;
mod warm;
