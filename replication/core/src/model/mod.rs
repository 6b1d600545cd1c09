//! Model checking of the protocol: every interleaving of three replicas, their
//! disks, the network and the catalog, up to a stated bound, by stateright. The
//! simulation beside it tries what happens for minutes by chance; this tries
//! everything that can happen in a few steps, and leaves nothing out.
//!
//! `WARREN_MODEL=messages=2,elections=1,…` checks bounds of one's own (`;` between them), and
//! `WARREN_MODEL=large` all of [`LARGE`] (`make model`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod bound;
mod state;
mod steps;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::mutation::Mutation;
use bound::Bound;
use state::{Promise, State};
use steps::Step;

/// The protocol within a bound, maybe with a rule broken.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    bound: Bound,
    mutation: Option<Mutation>,
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::settled(&self.bound)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        state.steps(&self.bound, steps);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        // The switch is the thread's, and the checker has several.
        crate::mutation::set(self.mutation);
        state.take(&self.bound, &step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is committed is in the log of every member that may lead", |_, state: &State| {
                state.promise() != Some(Promise::Kept)
            }),
            Property::always("an epoch has one leader, and it has everything committed", |_, state: &State| {
                state.promise() != Some(Promise::Leader)
            }),
            Property::always("what is committed at an index stays, in order and once", |_, state: &State| {
                state.promise() != Some(Promise::Committed)
            }),
            Property::always("what a replica has applied is what was committed", |_, state: &State| {
                state.promise() != Some(Promise::Applied)
            }),
            Property::always("a takeover costs no more than max-lag allows, and was reported", |_, state: &State| {
                state.promise() != Some(Promise::Bounded)
            }),
            Property::always("no replica finds a promise broken", |_, state: &State| {
                state.promise() != Some(Promise::Broken)
            }),
        ]
    }
}

/// What a check found.
pub(crate) struct Verdict {
    pub(crate) unique: usize,
    depth: usize,
    seconds: f64,
    /// The property, what exactly was wrong, and the steps to it.
    pub(crate) violation: Option<(&'static str, String, Vec<Step>)>,
}

pub(crate) fn check(bound: &Bound, mutation: Option<Mutation>) -> Verdict {
    let begun = Instant::now();
    let protocol = Protocol { bound: bound.clone(), mutation };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = protocol.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let violation = checker.discoveries().into_iter().next().map(|(property, path)| {
        let what = path.last_state().violation().unwrap_or_default();
        (property, what, path.into_actions())
    });
    Verdict {
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: begun.elapsed().as_secs_f64(),
        violation,
    }
}

/// Fails with the shortest story that breaks a promise.
fn holds(bound: &Bound) {
    let verdict = check(bound, None);
    if let Some((property, what, steps)) = verdict.violation {
        let story: Vec<_> = steps.iter().map(|step| format!("  {step}")).collect();
        panic!("within {bound}: {property}: {what}\n{}", story.join("\n"));
    }
    println!("{bound}: {} states, {} steps deep, {:.1} s", verdict.unique, verdict.depth, verdict.seconds);
}

/// Every ordinary run: what fits into half a minute.
const SMALL: [&str; 6] = [
    "messages=2,crashes=1,overtakes=1,doubles=1",
    "messages=1,elections=1",
    "messages=1,elections=1,minimum=1",
    "messages=1,crashes=1,ticks=1,minimum=1",
    "messages=1,crashes=1,disks=1,minimum=1",
    // A primary and a backup that trails.
    "messages=2,elections=2,minimum=1,lag=1,nodes=2",
];

/// `make model`.
const LARGE: [&str; 5] = [
    "messages=1,elections=1,overtakes=1",
    "messages=2,elections=1",
    "messages=1,elections=1,crashes=1",
    "messages=2,elections=1,crashes=1,minimum=1,lag=1,nodes=2",
    "messages=1,elections=1,minimum=1,lag=1",
];

#[test]
fn promises_hold_in_every_interleaving() {
    let bounds: Vec<String> = match std::env::var("WARREN_MODEL").as_deref() {
        Err(_) => SMALL.map(str::to_owned).into(),
        Ok("large") => LARGE.map(str::to_owned).into(),
        Ok(bounds) => bounds.split(';').map(str::to_owned).collect(),
    };
    for bound in bounds {
        holds(&bound.parse().unwrap());
    }
}

/// Rules of plans that may lose something, broken: the oracle is not blind.
#[test]
fn a_takeover_that_costs_too_much_is_noticed() {
    let bound: Bound = "messages=2,elections=1,minimum=1,lag=1,nodes=2".parse().unwrap();
    for mutation in [Mutation::IgnoreLag, Mutation::NoGap] {
        let verdict = check(&bound, Some(mutation));
        assert!(verdict.violation.is_some(), "{mutation:?} was not noticed in {} states", verdict.unique);
    }
    assert!(check(&bound, None).violation.is_none());
}
