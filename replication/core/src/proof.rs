//! That the tests can see: every rule of [`Mutation`] is broken, alone, and the
//! simulation or the model checker has to find the harm. docs/PROOF.md holds the
//! table that this prints; `WARREN_PROOF=FILE` writes it (`make proof`), and
//! `WARREN_RULE=name` tries one rule.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write;

use crate::model;
use crate::mutation::{self, Mutation};
use crate::scenarios;
use crate::sim;

/// Seeds of the simulation that a rule may need at most.
const SEEDS: u64 = 10_000;

/// Between these docs/PROOF.md holds the table.
const BEGIN: &str = "<!-- rules: written by `make proof` -->\n\n";
const END: &str = "\n<!-- end of rules -->";

/// Bounds of the model in which harm is looked for, small ones first.
const BOUNDS: [&str; 4] = [
    "messages=1,ticks=1,minimum=1",
    "messages=1,elections=1,minimum=1",
    "messages=1,elections=1",
    "messages=1,crashes=1,ticks=1,minimum=1",
];

/// The scenario that a rule's harm shows in, where it takes more to happen by
/// chance than the simulation and the model have.
fn scenario(rule: Mutation) -> Option<(&'static str, fn())> {
    macro_rules! named {
        ($part:ident::$name:ident) => {
            Some((stringify!($name), scenarios::$part::$name as fn()))
        };
    }
    match rule {
        Mutation::ReportBeforeTruncated => {
            named!(mirroring::a_conflicting_tail_is_dropped_and_nothing_is_reported_before_that_is_durable)
        }
        Mutation::CountOldCopy => named!(leading::a_report_of_an_earlier_copy_does_not_count),
        Mutation::ForgetEpoch => named!(mirroring::the_epoch_goes_to_disk_before_anything_is_acknowledged_in_it),
        Mutation::LeadAgain => named!(leading::a_leader_whose_disk_stalls_resigns_for_good),
        _ => None,
    }
}

/// Whether the scenario fails with the rule broken.
fn told(rule: Mutation) -> Option<String> {
    let (name, test) = scenario(rule)?;
    mutation::set(Some(rule));
    let failed = std::panic::catch_unwind(test).is_err();
    mutation::set(None);
    failed.then(|| format!("`{name}`"))
}

/// In how many states of which bound the model checker finds harm.
fn modelled(rule: Mutation) -> Option<String> {
    BOUNDS.iter().find_map(|bound| {
        let verdict = model::check(&bound.parse().unwrap(), Some(rule));
        let (_, _, steps) = verdict.violation?;
        Some(format!("{} steps, {} states of `{bound}`", steps.len(), verdict.unique))
    })
}

/// A rule that can be broken unnoticed is not tested.
#[test]
fn broken_rules_are_noticed() {
    let only = std::env::var("WARREN_RULE").ok();
    let file = std::env::var("WARREN_PROOF").ok();
    let mut table =
        "| rule broken | where stated | simulation | model checker | scenario |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    let mut missed = Vec::new();
    for rule in Mutation::REPLICA.iter().copied().filter(|rule| only.as_ref().is_none_or(|o| *o == format!("{rule:?}")))
    {
        let (section, instead) = rule.about();
        let told = told(rule);
        // What a scenario is for is not waited for, unless it is asked for.
        let seeds = if told.is_some() && only.is_none() { 0 } else { SEEDS };
        let simulated = sim::caught(rule, seeds).map(|(seed, what)| {
            println!("{rule:?}: seed {seed}: {}", what.lines().next().unwrap_or_default());
            format!("seed {seed}")
        });
        // The model takes longer: for the table, and where it alone can see.
        let unseen = simulated.is_none() && told.is_none();
        let modelled = if unseen || file.is_some() { modelled(rule) } else { None };
        if let Some(found) = &modelled {
            println!("{rule:?}: {found}");
        }
        if unseen && modelled.is_none() {
            missed.push(rule);
        }
        let dash = || "–".to_owned();
        let [simulated, modelled, told] = [simulated, modelled, told].map(|found| found.unwrap_or_else(dash));
        writeln!(table, "| `{rule:?}`: {instead} | {section} | {simulated} | {modelled} | {told} |").unwrap();
    }
    if let Some(file) = file {
        let page = std::fs::read_to_string(&file).unwrap_or_else(|_| [BEGIN, END].concat());
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        std::fs::write(file, [before, BEGIN, &table, END, after].concat()).unwrap();
    }
    assert!(missed.is_empty(), "unnoticed: {missed:?}");
}
