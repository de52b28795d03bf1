//! pwfs mounts ProjectWise folders as a read-only directory tree.
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod content;
pub mod daemon;
pub mod demo;
pub mod fs;
pub mod fuse;
pub mod http;
pub mod model;
pub mod names;
pub mod remote;
pub mod store;
pub mod tree;
