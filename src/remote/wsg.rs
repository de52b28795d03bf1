//! ProjectWise Web Services Gateway (WSG), v2.0 to v2.8.
mod address;
mod error;
mod paging;
mod query;
mod wire;
