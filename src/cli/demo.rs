//! demo
pub mod check;
pub mod visitor;
