//! The demo, asked over real HTTP by a client that shares nothing with pwfs's own.

mod changes;
mod client;
mod download;
mod faults;
mod files;
mod ims_apps;
mod ims_pages;
mod ims_tokens;
mod listing;
mod login;
mod platform;
mod queries;
mod world;
