//! pwfs mounts ProjectWise folders as a read-only directory tree on Linux.
//!
//! The layers, from the command line down to the wire; imports go down only (a test holds them to it):
//!
//! ```text
//! cli ─► daemon ─► fuse ─► fs ─┬─► tree ─► catalog ─► store
//!          │                   │     └────┐
//!          │                   └─► content ─► remote ─► auth ─► http
//!          └─► { refresh, leader } ─► tree
//! ```
//!
//! [`doctor`], [`explain`], [`manifest`] and [`changes`] stand beside `daemon` and look at what it keeps; [`leader`] has several processes share a
//! catalog, [`refresh`] keeps it fresh. `catalog` and `content` keep what they know in a [`database`]. Everything may use [`model`] and [`clock`]. [`demo`] is an embedded ProjectWise that shares nothing with the client
//! but the vocabulary. Start reading at [`daemon`], which builds every part, then [`fs`], which every answer of the
//! mount comes from; `ARCHITECTURE.md` follows a read, a listing and a login through the files.

pub mod auth;
pub mod catalog;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod content;
pub mod daemon;
pub mod database;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod fs;
pub mod fuse;
pub mod http;
pub mod leader;
pub mod manifest;
pub mod memory;
pub mod model;
pub mod names;
pub mod refresh;
pub mod remote;
pub mod store;
pub mod tree;
