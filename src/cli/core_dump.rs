//! A process that holds a login leaves no core dump: it would hold the tokens, and crash reporters send those away.
//!
//! The same flag of the kernel closes this process's memory and environment to other programs of the same user
//! (ptrace(2), proc(5)). It does not touch child processes: `execve` sets it anew.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Keeps this process out of core dumps from now on.
pub fn forbid() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        // No Linux refuses it; where one does, the rest is as good as before.
        tracing::warn!(%error, "a crash may leave a core dump that holds the login");
    }
}
