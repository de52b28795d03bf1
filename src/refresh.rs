//! Keeps listings fresh that nobody waits for: what was used lately, then what is oldest.
//!
//! Looking again is simple until you consider that:
//! 1. every look is a request that somebody who waits could have had;
//! 2. most folders never change, and some change all the time;
//! 3. a server that is away, or takes no login, must not be run against; and when it is back, nobody wants to wait.
//!
//! Only a few looks are under way at once, as [`Urgency::Background`]: pacing gives them half of the budget at most, and
//! whoever asks meanwhile has the look they need raised; and where many are due at once, one question may do for all that
//! have not changed (`refresh/sieve.rs`): 1. Each folder has a pace of its own (`refresh/cadence.rs`): 2.
//! `refresh/outage.rs` says when the server is left alone, and `daemon/network.rs` hears when the network returns: 3.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Moment;
use crate::model::{DirId, FolderId};
use crate::remote::Urgency;
use crate::tree::{Freshened, Together, Tree, TreeError};

mod cadence;
pub mod crawl;
mod outage;
mod sieve;

use cadence::{Cadence, Paces};
use outage::{Blame, Outage, blame};
use sieve::{Plan, Sieve, Sifted};

/// How often folders in use are looked at where nobody says otherwise.
pub const INTERVAL: Duration = Duration::from_secs(60);

/// What counts as in use: what any request named so lately.
pub const IN_USE: Duration = Duration::from_mins(5);

/// So many looks at once: enough for half of any budget, few enough that what becomes urgent is not behind a queue.
const AT_ONCE: usize = 4;

/// What is due is found out so often at most: with thousands of folders in use that is work, too.
const PLAN_AGAIN: Duration = Duration::from_secs(1);

/// Of what nobody uses, one folder is looked at this often, as a share of the usual pace: one a second. A catalog of
/// 50 000 folders is gone through in a night.
const AGED: u32 = 60;

/// So many of the oldest are considered: those that are refused stay the oldest.
const OLDEST: usize = 16;

/// Looks after the freshness of a tree until dropped.
pub struct Refresher(JoinHandle<()>);

impl Refresher {
    /// Begins: folders in use are looked at about every `interval`, while `leads` is true.
    ///
    /// A tree whose answers may be of any age asks for nothing by itself.
    pub fn begin(tree: &Tree, interval: Duration, leads: watch::Receiver<bool>, runtime: &Handle) -> Self {
        let paces = Paces::around(interval, tree.metadata_ttl());
        Self(runtime.spawn(run(tree.clone(), paces, leads)))
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(tree: Tree, paces: Paces, mut leads: watch::Receiver<bool>) {
    if tree.metadata_ttl().is_none() {
        return;
    }
    let mut rounds = Rounds::new(tree.clone(), paces);
    let mut looks: FuturesUnordered<BoxFuture<'static, Found>> = FuturesUnordered::new();
    loop {
        // Who ends leading finishes what is under way.
        let leading = *leads.borrow_and_update();
        if leading {
            rounds.fill(&mut looks);
        }
        let rest = rounds.rest();
        tokio::select! {
            Some(look) = looks.next() => rounds.note(look, &mut looks),
            () = tree.forgave() => rounds.look_now(),
            changed = leads.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(rest), if leading => {}
        }
    }
}

/// What was found out.
enum Found {
    Look(Look),
    Sifted(Sifted),
}

/// A look at a folder, or for one.
struct Look {
    why: Why,
    /// What was looked at; `None` where nothing was old enough.
    outcome: Option<(DirId, Result<Freshened, TreeError>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is in use, or was.
    Due(DirId),
    /// It is among the oldest.
    Aged,
    /// To see whether the server is back.
    Probe,
}

struct Rounds {
    tree: Tree,
    paces: Paces,
    cadences: HashMap<DirId, Cadence>,
    outage: Outage,
    /// What is due, the most urgent first.
    queue: VecDeque<(DirId, Duration)>,
    /// What is in use and has half of its time behind it.
    soon: Vec<DirId>,
    sieve: Sieve,
    under_way: HashSet<DirId>,
    aging: bool,
    planned: Option<Moment>,
    /// When the next of the oldest may be looked at.
    aged_at: Moment,
    /// When the next thing is due.
    next_due: Option<Moment>,
}

impl Rounds {
    fn new(tree: Tree, paces: Paces) -> Self {
        // Whoever has just mounted goes first.
        let aged_at = tree.clock().now().plus(paces.usual);
        Self {
            tree,
            paces,
            cadences: HashMap::new(),
            outage: Outage::default(),
            queue: VecDeque::new(),
            soon: Vec::new(),
            sieve: Sieve::default(),
            under_way: HashSet::new(),
            aging: false,
            planned: None,
            aged_at,
            next_due: None,
        }
    }

    /// The pause between two plans; a tenth of the shortest interval is soon enough.
    fn plan_again(&self) -> Duration {
        (self.paces.hot / 10).min(PLAN_AGAIN)
    }

    fn now(&self) -> Moment {
        self.tree.clock().now()
    }

    /// Begins as many looks as may be under way.
    fn fill(&mut self, looks: &mut FuturesUnordered<BoxFuture<'static, Found>>) {
        let now = self.now();
        if self.outage.began().is_some_and(|began| self.was_answered(began)) {
            self.answered();
        }
        if let Some(until) = self.outage.until() {
            if until <= now && looks.is_empty() {
                // As if somebody waited: whoever stands before the server lets nobody else find out.
                looks.push(look(&self.tree, DirId::Root, Duration::ZERO, Why::Probe));
            }
            return;
        }
        // Also while a queue is left: what grows too old meanwhile goes first.
        let has_room = looks.len() < AT_ONCE;
        if has_room && self.planned.is_none_or(|at| now.since(at) >= self.plan_again()) {
            self.plan(now);
            let due = self.queue.iter().map(|(dir, _)| *dir);
            let question = self.sieve.look(&self.tree, due, &self.soon, now);
            looks.extend(
                question.map(|asking| Box::pin(asking.map(Found::Sifted)) as BoxFuture<'static, Found>),
            );
        }
        while looks.len() < AT_ONCE
            && let Some((dir, most)) = self.queue.pop_front()
        {
            if self.under_way.insert(dir) {
                looks.push(look(&self.tree, dir, most, Why::Due(dir)));
            }
        }
        let idle = self.queue.is_empty() && looks.is_empty();
        if idle && self.aged_at <= now && self.tree.catalog().is_some() {
            self.aging = true;
            looks.push(self.look_at_oldest(now));
        }
    }

    /// Finds what is due.
    fn plan(&mut self, now: Moment) {
        self.planned = Some(now);
        let used: HashMap<DirId, Moment> = self.tree.usage().since(now.minus(IN_USE)).into_iter().collect();
        for &dir in used.keys() {
            self.cadences
                .entry(dir)
                .or_insert_with(|| Cadence::new(&self.paces));
        }
        // What has gone cold, and is spared no more, is the business of age alone.
        self.cadences.retain(|dir, cadence| {
            let spared = cadence.spared_until.is_some_and(|until| until > now);
            used.contains_key(dir) || spared || !cadence.is_cold(&self.paces)
        });
        self.sieve.retain(|dir| self.cadences.contains_key(dir));
        let (mut due, mut next): (Vec<(Moment, DirId, Duration)>, Option<Moment>) = (Vec::new(), None);
        self.soon.clear();
        for (&dir, cadence) in &mut self.cadences {
            let in_use = used.contains_key(&dir);
            cadence.fetched = self.tree.fetched(dir).or(cadence.fetched);
            // What memory let go before it was seen is in the catalog, and about as old as its use.
            let Some(fetched) = cadence.fetched.or(used.get(&dir).copied()) else {
                continue;
            };
            if self.under_way.contains(&dir) {
                continue;
            }
            let interval = cadence.interval(&self.paces, in_use);
            let at = fetched.plus(interval);
            let at = cadence.spared_until.map_or(at, |until| until.max(at));
            if at > now {
                next = Some(next.map_or(at, |next| next.min(at)));
                if in_use && now.since(fetched) >= interval / 2 {
                    self.soon.push(dir);
                }
                continue;
            }
            // Those whose time is nearly over go first, and of them the oldest.
            let ends = self.paces.oldest_in_use.filter(|_| in_use);
            let dying = ends.is_some_and(|oldest| now.since(fetched) >= oldest);
            let key = if dying {
                fetched.minus(Duration::from_hours(24))
            } else {
                at
            };
            due.push((key, dir, interval / 2));
        }
        due.sort_unstable_by_key(|(key, ..)| *key);
        self.next_due = next;
        self.queue = due.into_iter().map(|(_, dir, most)| (dir, most)).collect();
    }

    /// Looks at the oldest listing there is, if that is old enough.
    fn look_at_oldest(&self, now: Moment) -> BoxFuture<'static, Found> {
        let spared: HashSet<DirId> = self
            .cadences
            .iter()
            .filter(|(_, cadence)| cadence.spared_until.is_some_and(|until| until > now))
            .map(|(&dir, _)| dir)
            .collect();
        let (tree, cold) = (self.tree.clone(), self.paces.cold);
        Box::pin(async move {
            let outcome = match oldest(&tree, cold, &spared).await {
                Some(dir) => Some((dir, tree.freshen(dir, cold / 2, Urgency::Background).await)),
                None => None,
            };
            Found::Look(Look {
                why: Why::Aged,
                outcome,
            })
        })
    }

    /// Draws the consequences of what was found out.
    fn note(&mut self, found: Found, looks: &mut FuturesUnordered<BoxFuture<'static, Found>>) {
        match found {
            Found::Look(look) => self.note_look(look),
            Found::Sifted(Sifted::Found(Some(mut plan))) => {
                // They wait for it; what is looked at by now is not waited for.
                let is_free = |folder: &FolderId| !self.under_way.contains(&DirId::Folder(*folder));
                plan.folders.retain(is_free);
                let folders: HashSet<DirId> = plan.folders.iter().copied().map(DirId::Folder).collect();
                self.queue.retain(|(dir, _)| !folders.contains(dir));
                self.under_way.extend(folders);
                looks.push(Box::pin(sieve::sift(&self.tree, plan).map(Found::Sifted)));
            }
            Found::Sifted(Sifted::Found(None)) => self.sieve.found_nothing(self.now()),
            Found::Sifted(Sifted::Asked(plan, outcome)) => self.note_sifted(&plan, outcome),
        }
    }

    fn note_sifted(&mut self, plan: &Plan, outcome: Result<Together, TreeError>) {
        let now = self.now();
        for folder in &plan.folders {
            self.under_way.remove(&DirId::Folder(*folder));
        }
        for dir in self.sieve.asked(plan, &outcome, &self.paces, now) {
            let used_since = !self.tree.usage().is_unused(dir, now.minus(self.paces.usual));
            if let (Some(cadence), Some(generation)) =
                (self.cadences.get_mut(&dir), self.tree.generation(dir))
            {
                cadence.looked(&self.paces, generation, false, used_since);
            }
        }
        // What did not pass is due.
        self.planned = None;
        match outcome {
            Ok(_) => self.answered(),
            Err(error) => self.failed(
                Why::Due(DirId::Folder(plan.top)),
                DirId::Folder(plan.top),
                &error,
                now,
            ),
        }
    }

    fn note_look(&mut self, look: Look) {
        let now = self.now();
        match look.why {
            Why::Due(dir) => {
                self.under_way.remove(&dir);
                self.sieve.looked(dir, now);
            }
            Why::Probe => {}
            Why::Aged => {
                self.aging = false;
                let pause = match look.outcome {
                    Some(_) => self.paces.usual / AGED,
                    None => self.paces.usual,
                };
                self.aged_at = now.plus(pause);
            }
        }
        let Some((dir, outcome)) = look.outcome else {
            return;
        };
        match outcome {
            Ok(fresh) => {
                if fresh.asked || look.why == Why::Probe {
                    self.answered();
                }
                let used_since = !self.tree.usage().is_unused(dir, now.minus(self.paces.usual));
                if let Some(cadence) = self.cadences.get_mut(&dir) {
                    let generation = fresh.stored.listing.generation;
                    cadence.fetched = Some(fresh.stored.arrival.fetched);
                    cadence.looked(&self.paces, generation, fresh.changed, used_since);
                }
            }
            Err(error) => self.failed(look.why, dir, &error, now),
        }
    }

    /// True if somebody who waited was answered since.
    fn was_answered(&self, since: Moment) -> bool {
        let used = self.tree.usage().since(since);
        used.into_iter()
            .any(|(dir, _)| self.tree.fetched(dir).is_some_and(|fetched| fetched > since))
    }

    fn answered(&mut self) {
        if self.outage.answered() {
            tracing::info!("the server answers again; listings are kept fresh");
        }
    }

    fn failed(&mut self, why: Why, dir: DirId, error: &TreeError, now: Moment) {
        tracing::debug!(?dir, %error, "a folder could not be looked at");
        let blame = blame(error);
        let refused = match blame {
            Blame::Refused => Some(self.tree.permission_ttl()),
            Blame::Folder | Blame::Server => None,
        };
        if why == Why::Probe && blame == Blame::Refused {
            // That is an answer.
            self.answered();
        }
        if blame != Blame::Server {
            let cadence = self
                .cadences
                .entry(dir)
                .or_insert_with(|| Cadence::new(&self.paces));
            cadence.failed(&self.paces, now, refused);
        }
        if self.outage.failed(blame, now) {
            tracing::info!(%error, "listings are not kept fresh until the server answers");
            self.queue.clear();
        }
    }

    /// The network or the login came back.
    fn look_now(&mut self) {
        let now = self.now();
        self.outage.look_now(now);
        self.planned = None;
    }

    /// How long there is nothing to do, if nothing happens. A suspended machine, whose timers stood still, is right again
    /// soon.
    fn rest(&self) -> Duration {
        let now = self.now();
        if let Some(until) = self.outage.until() {
            // A probe under way tells how it went.
            let rest = until.since(now);
            return if rest.is_zero() {
                self.paces.hot
            } else {
                rest.min(self.paces.hot)
            };
        }
        if !self.queue.is_empty() {
            // The end of a look makes room for the next.
            return self.paces.hot;
        }
        let planned = self.planned.map_or(now, |at| at.plus(self.plan_again()));
        let mut next = now.plus(self.paces.hot);
        if let Some(due) = self.next_due {
            next = next.min(due.max(planned));
        }
        if !self.aging && self.tree.catalog().is_some() {
            next = next.min(self.aged_at.max(planned));
        }
        // Never at once: whatever could be begun now was.
        next.since(now).max(Duration::from_millis(10))
    }
}

fn look(tree: &Tree, dir: DirId, most: Duration, why: Why) -> BoxFuture<'static, Found> {
    let tree = tree.clone();
    let urgency = match why {
        Why::Probe => Urgency::Interactive,
        Why::Due(_) | Why::Aged => Urgency::Background,
    };
    Box::pin(async move {
        let outcome = tree.freshen(dir, most, urgency).await;
        Found::Look(Look {
            why,
            outcome: Some((dir, outcome)),
        })
    })
}

/// The folder whose listing is oldest, if it is older than `most` and not `spared`.
async fn oldest(tree: &Tree, most: Duration, spared: &HashSet<DirId>) -> Option<DirId> {
    let (catalog, clock) = (tree.catalog()?.clone(), tree.clock().clone());
    let limit = OLDEST + spared.len();
    let listed = tokio::task::spawn_blocking(move || catalog.oldest(limit)).await;
    let oldest = match listed {
        Ok(Ok(oldest)) => oldest,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the oldest listings cannot be found");
            return None;
        }
        Err(_) => return None,
    };
    let now = clock.now();
    let old = oldest
        .into_iter()
        .map(|(folder, stamp, _)| (DirId::Folder(folder), now.since(clock.moment(&stamp))))
        .filter(|(dir, age)| *age > most && !spared.contains(dir));
    old.max_by_key(|(_, age)| *age).map(|(dir, _)| dir)
}

#[cfg(test)]
mod street;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod town;
#[cfg(test)]
mod walkers;
