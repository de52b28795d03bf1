//! Content cache.
