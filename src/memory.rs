//! The allocator's memory, given back to the system.
//!
//! glibc keeps what was freed, for as long as anything above it is in use. Measured with a million inodes and 64 MiB of
//! listings, made by ten threads and freed: of 258 MiB it kept 205, and 80 to 107 even when asked, since the unused end of
//! every arena but the first stays. With one arena it kept nothing when asked, took as long on two processors, and its peak
//! was a tenth lower. mimalloc 2.0 kept 220, with a purge delay of 0 too. jemalloc kept 17 after twelve seconds with its
//! background threads, and 132 without; but it needs `make`, and pwfs builds where there is a C compiler alone.

use std::time::Duration;

/// How long a thread for blocking work outlives it. Each keeps hundreds of small pieces of memory for itself until it ends,
/// and each of those holds a page. After a walk some refresh comes every few seconds, and with ten seconds, as is usual,
/// 186 threads took turns at it and none of them ever ended.
pub const THREADS_LINGER: Duration = Duration::from_secs(1);

/// Has all threads share one arena. To be called before there are any.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no crate wraps it, and it only sets a number")]
    // SAFETY: takes two numbers, and may be called at any time by any thread (mallopt(3)).
    unsafe {
        // It says whether the number was taken; one that was not costs memory and nothing else.
        let _taken = libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives every unused page back. Blocks for as long as a tenth of a second, and all who want memory meanwhile.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no crate wraps it, and it touches nothing in use")]
    // SAFETY: may be called at any time by any thread (malloc_trim(3)).
    unsafe {
        let _any = libc::malloc_trim(0);
    }
}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use super::*;

    fn anonymous() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs is there");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.expect("the kernel tells") / 1024
    }

    #[test]
    fn what_was_freed_among_what_stays_goes_back_to_the_system() {
        // 200 MiB, and more than any test beside it.
        let mut blocks: Vec<_> = (0..400_000).map(|_| Some(Box::new([1_u8; 512]))).collect();
        let full = anonymous();
        for (at, block) in blocks.iter_mut().enumerate() {
            // Something stays in every hundredth page or so.
            if at % 1000 > 0 {
                *block = None;
            }
        }
        give_back();
        let left = anonymous();
        assert!(left + 100 < full, "{full} MiB, then {left}");
        drop(blocks);
    }
}
