//! A cluster in one thread and by one seed: the real shards, catalog and controller
//! under everything that §7 of docs/REPLICATION.md throws at them, while policies
//! change, nodes join and leaders are moved by plan. The promises of §2 are checked
//! throughout by an oracle that sees all nodes at once.
//!
//! `WARREN_SEEDS=n` runs so many seeds, `WARREN_MINUTES=n` for so long (from
//! `WARREN_FROM=n` on), `WARREN_SEED=n` only that one, and `WARREN_TRACE=1` prints
//! every word. Of the first that fails a short history is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod catalog;
mod clients;
mod disk;
mod net;
mod oracle;
#[cfg(feature = "mutations")]
mod proof;
mod rng;
mod rules;
mod runner;
mod sites;
mod streams;
mod world;

use runner::Case;
use world::Mutation;

/// All promises, over many seeds.
#[test]
fn the_promises_hold_whatever_happens() {
    let failures = runner::run();
    if let Some(first) = failures.first() {
        runner::tell(first);
    }
    assert!(failures.is_empty(), "{} seeds failed: {}", failures.len(), failures.join("\n"));
}

/// The same seed is the same story, to the last turn.
#[test]
fn a_seed_replays() {
    let stories: Vec<_> = (0..2)
        .map(|_| {
            Case::of(7).run().map(|world| (world.now, world.turns, world.oracle.confirms, world.oracle.deliveries))
        })
        .collect();
    assert_eq!(stories[0], stories[1]);
}

/// A broken rule is found, and within a few seeds: the oracle is not blind.
fn is_caught(mutation: Mutation) {
    let broken = |seed| Case { mutation: Some(mutation), ..Case::of(seed) };
    let caught = (0..2_000).find_map(|seed| broken(seed).run().err());
    println!("{mutation:?}: {caught:?}");
    assert!(caught.is_some(), "{mutation:?} was not noticed");
}

/// What fails is told with the faults that it needs, and still fails.
#[test]
fn a_history_is_shrunk_to_what_it_needs() {
    let broken = |seed| Case { mutation: Some(Mutation::IgnoreLease), ..Case::of(seed) };
    let case = (0..2_000).map(broken).find(|case| case.run().is_err()).expect("it is noticed");
    let shrunk = case.shrunk();
    assert!(shrunk.run().is_err());
    let needless = (0..30).find(|fault| {
        let mut shorter = shrunk.clone();
        // (Those after the failure never happen.)
        shorter.without.insert(*fault) && shorter.run().is_err() && *fault < shrunk.faults()
    });
    assert_eq!(needless, None, "{shrunk:?}");
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
