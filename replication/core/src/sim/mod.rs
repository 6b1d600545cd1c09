//! Simulation of the protocol: many seeds, each a cluster of its own, checked
//! against the promises of §2. `WARREN_SEED=n` replays one seed with a trace,
//! `WARREN_SEEDS=n` runs that many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod catalog;
pub(crate) mod disk;
pub(crate) mod oracle;
pub(crate) mod publisher;
mod rng;
mod world;

use crate::mutation::{self, Mutation};
use world::{Tally, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn promises_hold_whatever_happens() {
    if let Some(seed) = number("WARREN_SEED") {
        let mut world = World::new(seed, true);
        world.run().unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        return;
    }
    let mut sum = Tally::default();
    let seeds = number("WARREN_SEEDS").unwrap_or(1_000);
    for seed in 0..seeds {
        let mut world = World::new(seed, false);
        if let Err(violation) = world.run() {
            panic!("seed {seed} (replay with WARREN_SEED={seed}): {violation}");
        }
        let tally = world.tally();
        sum.epochs += tally.epochs;
        sum.crashes += tally.crashes;
        sum.installs += tally.installs;
        sum.truncations += tally.truncations;
        sum.committed += tally.committed;
        sum.confirmed += tally.confirmed;
        sum.repeated += tally.repeated;
        sum.isr_changes += tally.isr_changes;
    }
    println!("{seeds} seeds: {sum:?}");
    // A simulation in which nothing happens proves nothing.
    for (what, count) in [
        ("epochs", sum.epochs),
        ("crashes", sum.crashes),
        ("installs", sum.installs),
        ("truncations", sum.truncations),
        ("confirms", sum.confirmed),
        ("repeats", sum.repeated),
        ("changes of the in-sync set", sum.isr_changes),
    ] {
        assert!(count > seeds, "only {count} {what} in {seeds} seeds");
    }
}

/// The first of so many seeds in which the simulation notices.
pub(crate) fn caught(mutation: Mutation, seeds: u64) -> Option<(u64, String)> {
    mutation::set(Some(mutation));
    let found = (0..seeds).find_map(|seed| World::new(seed, false).run().err().map(|violation| (seed, violation)));
    mutation::set(None);
    found
}
