//! The demo, asked over real HTTP by a client that shares nothing with pwfs's own.

mod changes;
mod client;
mod download;
mod faults;
mod files;
mod listing;
mod login;
mod queries;
mod query_knobs;
mod relationships;
mod schemas;
