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
use crate::types::QueueId;
use world::{Rules, Tally, World};

pub(crate) const QUEUE: QueueId = QueueId(7);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn promises_hold_whatever_happens() {
    let (seeds, sum) = simulate(Rules::Sync, 1_000);
    busy(
        seeds,
        &sum,
        &[
            ("installs", sum.installs),
            ("truncations", sum.truncations),
            ("hollowed entries", sum.hollowed),
            ("hollow entries sent", sum.fed_hollow),
        ],
    );
    assert_eq!((sum.unclean, sum.aside), (0, 0));
}

/// §6.3: what trails within `max-lag` costs no more than that when it takes over,
/// and what may be missing is said right.
#[test]
fn an_unclean_takeover_costs_no_more_than_the_lag_that_is_allowed() {
    let (seeds, sum) = simulate(Rules::Async, 1_000);
    busy(seeds, &sum, &[]);
    let lossy = sum.unclean > seeds / 4 && sum.lost > seeds / 4 && sum.aside > seeds / 4;
    assert!(seeds == 0 || lossy, "hardly anything was lost: {sum:?}");
}

/// §6.3: any replica may lead if none that has everything is there.
#[test]
fn a_last_resort_is_said_to_be_one_and_comes_right_again() {
    let (seeds, sum) = simulate(Rules::LastResort, 1_000);
    busy(seeds, &sum, &[]);
    let lossy = sum.unclean > seeds / 10 && sum.lost > 0 && sum.aside > 0;
    assert!(seeds == 0 || lossy, "hardly anything was lost: {sum:?}");
}

fn simulate(rules: Rules, seeds: u64) -> (u64, Tally) {
    let mut sum = Tally::default();
    if let Some(seed) = number("WARREN_SEED") {
        let mut world = World::new(seed, rules, true);
        world.run().unwrap_or_else(|violation| panic!("{rules:?}, seed {seed}: {violation}"));
        return (0, world.tally());
    }
    let seeds = number("WARREN_SEEDS").unwrap_or(seeds);
    for seed in 0..seeds {
        let mut world = World::new(seed, rules, false);
        if let Err(violation) = world.run() {
            panic!("{rules:?}, seed {seed} (replay with WARREN_SEED={seed}): {violation}");
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
        sum.unclean += tally.unclean;
        sum.lost += tally.lost;
        sum.aside += tally.aside;
        sum.hollowed += tally.hollowed;
        sum.fed_hollow += tally.fed_hollow;
    }
    println!("{rules:?}, {seeds} seeds: {sum:?}");
    (seeds, sum)
}

/// A simulation in which nothing happens proves nothing.
fn busy(seeds: u64, sum: &Tally, also: &[(&str, u64)]) {
    if seeds == 0 {
        return;
    }
    let common = [
        ("epochs", sum.epochs),
        ("crashes", sum.crashes),
        ("confirms", sum.confirmed),
        ("repeats", sum.repeated),
        ("changes of the in-sync set", sum.isr_changes),
    ];
    for (what, count) in common.iter().chain(also) {
        assert!(*count > seeds, "only {count} {what} in {seeds} seeds");
    }
}

/// The first of so many seeds in which the simulation notices.
pub(crate) fn caught(mutation: Mutation, seeds: u64) -> Option<(u64, String)> {
    mutation::set(Some(mutation));
    // Rules of unclean elections show where there are some.
    let rules = match mutation {
        Mutation::IgnoreLag | Mutation::NoGap | Mutation::UnmarkedStart => Rules::Async,
        _ => Rules::Sync,
    };
    let found =
        (0..seeds).find_map(|seed| World::new(seed, rules, false).run().err().map(|violation| (seed, violation)));
    mutation::set(None);
    found
}
