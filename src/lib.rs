//! pwfs mounts ProjectWise folders as a read-only directory tree.
pub mod demo;
pub mod model;
pub mod names;
pub mod remote;
