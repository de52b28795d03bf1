//! What threads and tasks meet by: locks, what orders them, and where work runs.
//!
//! In the program these are `parking_lot`'s, the standard library's and tokio's own, by other names. Unit tests have those of
//! `sync/checked.rs` instead, which do the same; but inside of `checked::check` a checker decides at each of them who goes on,
//! so that the orders in which things can happen are tried one after the other, and each can be had again.
//!
//! What only counts, and orders nothing, needs none of this.

#[cfg(test)]
pub(crate) mod checked;
#[cfg(not(test))]
mod plain;

#[cfg(test)]
pub(crate) use checked::{AtomicBool, AtomicU64, Mutex, RwLock, Tasks};
#[cfg(not(test))]
pub(crate) use plain::{AtomicBool, AtomicU64, Mutex, RwLock, Tasks};
