//! That the simulation can see: every rule of the shards is broken, alone, and
//! must be noticed. Built with the feature `mutations` only. `WARREN_PROOF=FILE`
//! writes the table of docs/PROOF.md (`make proof`); `WARREN_RULE=name` tries one
//! rule, also of the replicas.

use std::fmt::Write;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use warren_replication::mutation::{self, Mutation};

use crate::runner::Case;

/// Seeds that a rule may need at most.
const SEEDS: u64 = 20_000;

/// Rules of the replicas whose harm shows in clusters only.
const OF_REPLICAS: [Mutation; 2] = [Mutation::LeadAgain, Mutation::CountOldCopy];

/// Between these docs/PROOF.md holds the table.
const BEGIN: &str = "<!-- clusters: written by `make proof` -->\n\n";
const END: &str = "\n<!-- end of clusters -->";

/// The first seed that shows the harm, and what is said of it.
fn caught(rule: Mutation) -> Option<(u64, String)> {
    mutation::set(Some(rule));
    let caught = (0..SEEDS).find_map(|seed| {
        // Broken so, the product may contradict itself.
        let told = catch_unwind(|| Case::of(seed).run().err()).unwrap_or_else(|_| Some("a panic".to_owned()));
        told.map(|what| (seed, what))
    });
    mutation::set(None);
    caught
}

/// A rule that can be broken unnoticed is not tested.
#[test]
fn broken_rules_are_noticed() {
    let only = std::env::var("WARREN_RULE").ok();
    let file = std::env::var("WARREN_PROOF").ok();
    let rules: Vec<Mutation> = match &only {
        None => Mutation::SHARD.iter().copied().chain(OF_REPLICAS).collect(),
        Some(only) => {
            let all = Mutation::SHARD.iter().chain(Mutation::REPLICA).copied();
            all.filter(|rule| format!("{rule:?}") == *only).collect()
        }
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(rule) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
            let caught = caught(*rule);
            println!("{rule:?}: {}", caught.as_ref().map_or("not noticed", |(_, what)| what.lines().next().unwrap()));
            found.push((*rule, caught.map(|(seed, _)| seed)));
        }
        found
    };
    let mut found: Vec<_> = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    found.sort_by_key(|(rule, _)| rules.iter().position(|listed| listed == rule));
    if let Some(file) = file {
        let mut table = "| rule broken | where stated | first seed |\n| --- | --- | --- |\n".to_owned();
        for (rule, seed) in &found {
            let (section, instead) = rule.about();
            let seed = seed.map_or("–".to_owned(), |seed| seed.to_string());
            writeln!(table, "| `{rule:?}`: {instead} | {section} | {seed} |").unwrap();
        }
        let page = std::fs::read_to_string(&file).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        std::fs::write(file, [before, BEGIN, &table, END, after].concat()).unwrap();
    }
    let missed: Vec<_> = found.iter().filter(|(_, seed)| seed.is_none()).collect();
    assert!(!found.is_empty() && missed.is_empty(), "unnoticed: {missed:?}");
}
