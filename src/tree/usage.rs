//! Which directories were asked for lately. What only the kernel answered is not seen here.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::model::DirId;

/// As many directories as are remembered: far more than any budget can keep fresh, and about a megabyte.
const MOST: usize = 20_000;

/// How long a use is remembered: longer than anyone asks for (the refresher: five minutes).
const MEMORY: Duration = Duration::from_mins(10);

/// When each directory was last asked for.
#[derive(Debug, Default)]
pub struct Usage(Mutex<HashMap<DirId, Moment>>);

impl Usage {
    /// Notes that `dir` is asked for.
    pub fn note(&self, dir: DirId, now: Moment) {
        let mut used = self.0.lock();
        used.insert(dir, now);
        if used.len() > MOST {
            make_room(&mut used, now);
        }
    }

    /// True if `dir` was not asked for at `since` or later.
    pub fn is_unused(&self, dir: DirId, since: Moment) -> bool {
        self.0.lock().get(&dir).is_none_or(|at| *at < since)
    }

    /// The directories asked for at `since` or later, each with when it last was.
    pub fn since(&self, since: Moment) -> Vec<(DirId, Moment)> {
        let used = self.0.lock();
        used.iter()
            .filter(|&(_, &at)| at >= since)
            .map(|(&dir, &at)| (dir, at))
            .collect()
    }
}

/// Forgets what is old, or else the older half: rarely, and then enough to be rare.
fn make_room(used: &mut HashMap<DirId, Moment>, now: Moment) {
    let old = now.minus(MEMORY);
    used.retain(|_, at| *at >= old);
    if used.len() <= MOST / 2 {
        return;
    }
    let mut moments: Vec<Moment> = used.values().copied().collect();
    let middle = moments.len() / 2;
    let (_, &mut median, _) = moments.select_nth_unstable(middle);
    used.retain(|_, at| *at > median);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::{FolderId, Guid};

    fn dir(number: usize) -> DirId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        DirId::Folder(FolderId(Guid::from_bytes(bytes)))
    }

    #[test]
    fn what_was_used_last_is_remembered_and_never_more_than_there_is_room_for() {
        let (usage, clock) = (Usage::default(), Clock::manual());
        for number in 0..=MOST {
            usage.note(dir(number), clock.now());
            clock.advance(Duration::from_micros(1));
        }
        let kept = usage.since(clock.now().minus(Duration::from_hours(1)));
        assert!(kept.len() <= MOST / 2, "{}", kept.len());
        assert!(kept.iter().any(|(kept, _)| *kept == dir(MOST)), "the last one");
        assert!(!kept.iter().any(|(kept, _)| *kept == dir(0)), "the first one");

        usage.note(dir(0), clock.now());
        let lately = usage.since(clock.now());
        assert_eq!(lately, [(dir(0), clock.now())]);
    }
}
