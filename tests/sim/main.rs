//! A cluster in one thread and by one seed: the real shards, catalog and controller
//! under everything that §7 of docs/REPLICATION.md throws at them, while policies
//! change, nodes join and leaders are moved by plan. The promises of §2 are checked
//! throughout by an oracle that sees all nodes at once.
//!
//! `WARREN_SEEDS=n` runs so many seeds, `WARREN_SEED=n` only that one, and
//! `WARREN_TRACE=1` prints what happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod catalog;
mod clients;
mod disk;
mod net;
mod oracle;
mod rng;
mod rules;
mod streams;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use world::{Mutation, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What went wrong with this seed, if anything.
fn run(seed: u64, mutation: Option<Mutation>) -> Result<World, String> {
    let mut world = World::new(seed, mutation);
    world.run();
    if std::env::var_os("WARREN_TRACE").is_some() {
        world.note_shards();
        world.trace().for_each(|line| println!("{line}"));
    }
    match world.oracle.violation.take() {
        Some(what) => Err(format!("seed {seed}, at {} µs: {what}\n{:?}", world.now, world.rules())),
        None => Ok(world),
    }
}

/// All promises, over many seeds.
#[test]
fn the_promises_hold_whatever_happens() {
    let seeds = match number("WARREN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WARREN_SEEDS").unwrap_or(2_000),
    };
    println!("seeds {seeds:?}; replay one by WARREN_SEED=n");
    let next = AtomicU64::new(seeds.start);
    let totals: [AtomicU64; 7] = Default::default();
    let failures = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end || failures.len() >= 5 {
                    return failures;
                }
                match run(seed, None) {
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
            }
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().expect("a seed panicked")).collect::<Vec<_>>()
    });
    let [turns, confirms, deliveries, redeliveries, moves, expired, dropped] = totals.map(AtomicU64::into_inner);
    println!("{turns} turns, {confirms} confirms, {deliveries} deliveries, {redeliveries} of them redelivered");
    println!("{moves} moved on, {expired} expired, {dropped} dropped");
    assert!(failures.is_empty(), "{} seeds failed: {}", failures.len(), failures.join("\n"));
    assert!(seeds.end - seeds.start == 1 || (confirms > 0 && redeliveries > 0), "the seeds tried nothing");
}

/// The same seed is the same story, to the last turn.
#[test]
fn a_seed_replays() {
    let stories: Vec<_> = (0..2)
        .map(|_| run(7, None).map(|world| (world.now, world.turns, world.oracle.confirms, world.oracle.deliveries)))
        .collect();
    assert_eq!(stories[0], stories[1]);
}

/// A broken rule is found, and within a few seeds: the oracle is not blind.
fn is_caught(mutation: Mutation) {
    let caught = (0..2_000).find_map(|seed| run(seed, Some(mutation)).err());
    println!("{mutation:?}: {caught:?}");
    assert!(caught.is_some(), "{mutation:?} was not noticed");
}

#[test]
fn saying_that_a_write_is_on_disk_too_early_is_caught() {
    is_caught(Mutation::PersistedTooEarly);
}

#[test]
fn not_waiting_for_the_predecessors_lease_is_caught() {
    is_caught(Mutation::NoLeaseWait);
}

#[test]
fn not_waiting_for_claims_is_caught() {
    is_caught(Mutation::NoGrace);
}

#[test]
fn not_looking_at_the_lease_is_caught() {
    is_caught(Mutation::IgnoreLease);
}

#[test]
fn losing_a_word_without_telling_is_caught() {
    is_caught(Mutation::SilentLoss);
}
