//! The demo, asked over real HTTP by a client that shares nothing with pwfs's own.

mod changes;
mod client;
mod download;
mod faults;
mod files;
mod listing;
mod login;
mod platform;
mod queries;
