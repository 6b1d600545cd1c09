//! The leader's side of a planned handover (§6.5). While the successor gets what
//! it lacks, everything goes on; then this process hands out nothing more, which
//! is all that its lease was for, and asks for the election. Publishes are taken
//! to the end: what is not committed by then is the successor's to commit, or is
//! sent again by the entry nodes and known by its session (§4.8).

use warren_replication::replica::Replica;
use warren_replication::types::{Index, Moment, NodeId};

use crate::settings::Settings;

/// One planned handover, as its leader goes about it.
#[derive(Debug)]
pub(crate) struct Handover {
    to: NodeId,
    /// The successor should have the log up to here.
    until: Index,
    begun: Moment,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The successor gets what it lacks.
    Draining,
    /// Nothing is handed out any more; the election was asked for then.
    Released(Moment),
    /// It took too long; that it goes on was said then. Whether something was
    /// handed out is as before, until the catalog has heard it.
    GivenUp { asked: Moment, released: bool },
}

/// What is to be asked of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Election(NodeId),
    ToGoOn,
}

impl Handover {
    pub(crate) fn new(to: NodeId, until: Index, now: Moment) -> Self {
        Self { to, until, begun: now, stage: Stage::Draining }
    }

    pub(crate) fn to(&self) -> NodeId {
        self.to
    }

    /// Whether nothing may be handed out: the catalog may have heard that the
    /// lease is given up.
    pub(crate) fn released(&self) -> bool {
        matches!(self.stage, Stage::Released(_) | Stage::GivenUp { released: true, .. })
    }

    /// The catalog's entry is another one: what was asked for compares with an
    /// older one and is asked for again.
    pub(crate) fn amended(&mut self) {
        match &mut self.stage {
            Stage::Draining => {}
            Stage::Released(asked) | Stage::GivenUp { asked, .. } => *asked = Moment(0),
        }
    }

    /// Goes on as far as it can. `free`: no lease of anybody before this process
    /// can still run, so that its own is the only one to give up.
    pub(crate) fn step(&mut self, now: Moment, free: bool, replica: &Replica, settings: &Settings) -> Option<Asks> {
        let retry = settings.replica.proposal_retry;
        let due = |asked: Moment| asked == Moment(0) || now.micros_since(asked) >= retry;
        let late = now.micros_since(self.begun) >= settings.drain_timeout;
        match self.stage {
            Stage::Draining if free && self.has_enough(now, replica) => {
                self.stage = Stage::Released(now);
                Some(Asks::Election(self.to))
            }
            Stage::Draining if late => {
                self.stage = Stage::GivenUp { asked: now, released: false };
                Some(Asks::ToGoOn)
            }
            Stage::Released(_) if late => {
                self.stage = Stage::GivenUp { asked: now, released: true };
                Some(Asks::ToGoOn)
            }
            Stage::Released(asked) if due(asked) => {
                self.stage = Stage::Released(now);
                Some(Asks::Election(self.to))
            }
            Stage::GivenUp { asked, released } if due(asked) => {
                self.stage = Stage::GivenUp { asked: now, released };
                Some(Asks::ToGoOn)
            }
            _ => None,
        }
    }

    fn has_enough(&self, now: Moment, replica: &Replica) -> bool {
        let mut mirrors = replica.mirrors(now).into_iter();
        mirrors.any(|mirror| mirror.node == self.to && mirror.durable.is_some_and(|durable| durable >= self.until))
    }
}
