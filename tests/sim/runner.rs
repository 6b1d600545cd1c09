//! Many seeds, two at a time, for so many or for so long; and of one that fails
//! the shortest history that still does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::world::{Mutation, World};

/// How often it is told how far it is.
const PROGRESS: Duration = Duration::from_secs(10);
/// How many histories are tried to find a short one.
const TRIES: usize = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// One history: everything in it follows from this.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) mutation: Option<Mutation>,
    /// Faults, by number, that are left out.
    pub(crate) without: BTreeSet<u64>,
}

impl Case {
    pub(crate) fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// What went wrong, if anything.
    pub(crate) fn run(&self) -> Result<World, String> {
        let mut world = World::new(self);
        world.run();
        if std::env::var_os("WARREN_TRACE").is_some() {
            world.note_shards();
            world.trace().for_each(|line| println!("{line}"));
        }
        match world.oracle.violation.take() {
            Some(what) => Err(format!("seed {}, at {} µs: {what}\n{:?}", self.seed, world.now, world.rules())),
            None => Ok(world),
        }
    }

    fn fails(&self) -> bool {
        let mut world = World::new(self);
        world.run();
        world.oracle.violation.is_some()
    }

    /// How many faults there are until it ends.
    pub(crate) fn faults(&self) -> u64 {
        let mut world = World::new(self);
        world.run();
        world.faults
    }

    /// The same with as few faults as can be found to fail.
    pub(crate) fn shrunk(&self) -> Self {
        let mut kept: Vec<u64> = (0..self.faults()).collect();
        let (mut shortest, mut tries) = (self.clone(), 0);
        let mut size = kept.len().div_ceil(2);
        while size > 0 && tries < TRIES {
            let (mut at, before) = (0, kept.len());
            while at < kept.len() && tries < TRIES {
                tries += 1;
                let end = (at + size).min(kept.len());
                let mut shorter = shortest.clone();
                shorter.without.extend(&kept[at..end]);
                if shorter.fails() {
                    shortest = shorter;
                    kept.drain(at..end);
                } else {
                    at = end;
                }
            }
            // Without a later one an earlier one may be needless, too.
            if size > 1 || kept.len() == before {
                size /= 2;
            }
        }
        shortest
    }

    /// What happened, without the words between the nodes.
    fn timeline(&self) -> Vec<String> {
        let mut world = World::telling(self);
        world.run();
        let mut lines: Vec<String> = world.trace().cloned().collect();
        lines.extend(world.oracle.violation.take());
        lines
    }
}

/// Runs what the environment asks for; what failed.
pub(crate) fn run() -> Vec<String> {
    let deadline = number("WARREN_MINUTES").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let seeds = match (number("WARREN_SEED"), deadline) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => number("WARREN_FROM").unwrap_or(0)..u64::MAX,
        (None, None) => 0..number("WARREN_SEEDS").unwrap_or(2_000),
    };
    println!("seeds from {}; replay one by WARREN_SEED=n", seeds.start);
    let next = AtomicU64::new(seeds.start);
    let totals: [AtomicU64; 9] = Default::default();
    let (began, told) = (Instant::now(), AtomicU64::new(0));
    let failures = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end || late || failures.len() >= 5 {
                    return failures;
                }
                match Case::of(seed).run() {
                    Ok(world) => {
                        let oracle = &world.oracle;
                        let seen = [
                            world.turns,
                            oracle.confirms,
                            oracle.deliveries,
                            oracle.redeliveries,
                            oracle.moves,
                            oracle.expired,
                            oracle.dropped,
                            oracle.shared,
                            oracle.hollowed,
                        ];
                        for (total, seen) in totals.iter().zip(seen) {
                            total.fetch_add(seen, Ordering::Relaxed);
                        }
                    }
                    Err(what) => {
                        println!("{what}");
                        failures.push(what);
                    }
                }
                let periods = (began.elapsed().as_secs() / PROGRESS.as_secs()).max(1);
                if told.fetch_max(periods, Ordering::Relaxed) < periods && periods > 1 {
                    println!("{:>6} s: {} seeds", began.elapsed().as_secs(), seed + 1 - seeds.start);
                }
            }
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().expect("a seed panicked")).collect::<Vec<_>>()
    });
    let ran = next.into_inner().min(seeds.end) - seeds.start;
    let [turns, confirms, deliveries, redeliveries, moves, expired, dropped, shared, hollowed] =
        totals.map(AtomicU64::into_inner);
    println!("about {ran} seeds in {} s, {} of them wrong", began.elapsed().as_secs(), failures.len());
    println!("{turns} turns, {confirms} confirms, {deliveries} deliveries, {redeliveries} of them redelivered");
    println!(
        "{moves} moved on, {expired} expired, {dropped} dropped, {shared} at other sites, {hollowed} entries hollowed"
    );
    assert!(
        ran == 1 || !failures.is_empty() || (confirms > 0 && redeliveries > 0 && shared > 0 && hollowed > 0),
        "the seeds tried nothing"
    );
    failures
}

/// The story of the first that failed, as short as it was found.
pub(crate) fn tell(failure: &str) {
    let seed = failure.strip_prefix("seed ").and_then(|rest| rest.split(',').next()).and_then(|n| n.parse().ok());
    let Some(seed) = seed else { return };
    let shortest = Case::of(seed).shrunk();
    println!("the shortest history of seed {seed} that was found, without {} of its faults:", shortest.without.len());
    shortest.timeline().iter().for_each(|line| println!("{line}"));
}
