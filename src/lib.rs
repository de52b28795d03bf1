//! pwfs mounts ProjectWise folders as a read-only directory tree.
pub mod auth;
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod model;
pub mod names;
pub mod remote;
