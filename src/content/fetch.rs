//! How bytes are fetched: what to ask for, the requests on their way into blocks, and who waits for them.

pub(super) mod counters;
mod lane;
pub(super) mod plan;
pub(super) mod pool;
mod stream;
pub(super) mod transfer;
