//! The demo, asked over real HTTP by a client that shares nothing with pwfs's own.

mod access;
mod admin;
mod blob;
mod bodies;
mod changes;
mod client;
mod download;
mod faults;
mod files;
mod ims_apps;
mod ims_pages;
mod ims_tokens;
mod limits;
mod listing;
mod login;
mod platform;
mod queries;
mod query_knobs;
mod relationships;
mod schemas;
mod script;
mod world;
