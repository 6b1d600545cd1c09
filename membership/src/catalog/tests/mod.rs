//! A small world to apply commands to, and its tests by concept.

mod deduplication;
mod groups;
mod handover;
mod nodes;
mod parameters;
mod policies;
mod properties;
mod queues;
mod replication;
mod streams;
mod synchronization;
mod topology;
mod unclean;
mod users;

use std::collections::BTreeSet;

use warren_replication::plan::{ApplyTo, Limits, MinInSync, Mirror, Mode, Policy, Replicas};
use warren_replication::types::{Assignment, Boot, Incarnation, Member, NodeId, Process, QueueId};

use super::*;

/// Node `n` on its first disk, in its `boot`-th run.
pub(super) fn process(n: u64, boot: u64) -> Process {
    Process { node: NodeId(n), incarnation: Incarnation(n * 100), boot: Boot(boot) }
}

pub(super) fn member(n: u64) -> Member {
    process(n, 1).member()
}

pub(super) fn members(nodes: &[u64]) -> BTreeSet<Member> {
    nodes.iter().map(|n| member(*n)).collect()
}

pub(super) fn live(nodes: &[u64]) -> Vec<Process> {
    nodes.iter().map(|n| process(*n, 1)).collect()
}

pub(super) fn owner(n: u64, connection: u64) -> Owner {
    Owner { process: process(n, 1), connection }
}

pub(super) fn register(process: Process, nonce: u64) -> Command {
    let name = ["none", "a", "b", "c", "d", "e"][usize::try_from(process.node.0).unwrap()].to_owned();
    Command::Register { name, process, nonce, addresses: Addresses::default(), voter: true }
}

/// A durable queue of vhost `/`, declared on node 1 with nodes 1 to 3 live.
pub(super) fn durable(name: &str) -> DeclareQueue {
    DeclareQueue {
        vhost: "/".into(),
        name: name.into(),
        server_named: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: Arguments::new(),
        owner: owner(1, 7),
        live: live(&[1, 2, 3]),
    }
}

pub(super) fn policy(name: &str, pattern: &str, priority: i64, replicas: Replicas, min_in_sync: MinInSync) -> Policy {
    Policy {
        name: name.into(),
        vhost: "/".into(),
        pattern: pattern.into(),
        priority,
        apply_to: ApplyTo::All,
        link: None,
        mode: Some(Mode::Mirror(Mirror { replicas, min_in_sync, ..Mirror::default() })),
        limits: Limits::default(),
        operator: false,
    }
}

pub(super) fn named(names: &[&str]) -> Replicas {
    Replicas::Nodes(names.iter().map(|name| (*name).to_owned()).collect())
}

/// A state, and what the last command changed.
pub(super) struct World {
    pub(super) state: State,
    pub(super) changes: Vec<Change>,
}

impl World {
    /// Nodes 1 (`a`) to `nodes`, and vhost `/`.
    pub(super) fn of(nodes: u64) -> Self {
        let mut world = Self { state: State::default(), changes: Vec::new() };
        world.ok(Command::PutVhost { name: "/".into() });
        for n in 1..=nodes {
            world.ok(register(process(n, 1), n));
        }
        world
    }

    pub(super) fn apply(&mut self, command: Command) -> Result<Outcome, Refusal> {
        let (result, changes) = self.state.apply(&command);
        self.changes = changes;
        result
    }

    pub(super) fn ok(&mut self, command: Command) -> Outcome {
        self.apply(command.clone()).unwrap_or_else(|refusal| panic!("{command:?} was refused: {refusal}"))
    }

    /// The refusal's whole text.
    pub(super) fn refused(&mut self, command: Command) -> String {
        let before = self.state.clone();
        match self.apply(command.clone()) {
            Ok(outcome) => panic!("{command:?} was taken: {outcome:?}"),
            Err(refusal) => {
                assert_eq!(self.state, before, "a refused command changes nothing");
                assert_eq!(self.changes, []);
                refusal.text()
            }
        }
    }

    pub(super) fn declare(&mut self, declare: DeclareQueue) -> QueueId {
        match self.ok(Command::DeclareQueue(declare)) {
            Outcome::Queue { queue, .. } => queue,
            other => panic!("declared, but {other:?}"),
        }
    }

    pub(super) fn queue(&self, id: QueueId) -> &Queue {
        self.state.queue(id).unwrap()
    }

    pub(super) fn of_queue(&self, id: QueueId) -> &Assignment {
        &self.queue(id).assignment
    }

    /// Leader, replicas, in-sync and eligible nodes: `1 [1, 2] {1} {2}`.
    pub(super) fn shape(&self, id: QueueId) -> String {
        let assignment = self.of_queue(id);
        let leader = assignment.leader.map_or("-".to_owned(), |leader| leader.node.to_string());
        let list = |nodes: Vec<NodeId>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let set = |set: &BTreeSet<Member>| list(set.iter().map(|member| member.node).collect());
        format!(
            "{leader} [{}] {{{}}} {{{}}}",
            list(assignment.replicas.clone()),
            set(&assignment.isr),
            set(&assignment.eligible)
        )
    }

    pub(super) fn change_isr(&mut self, id: QueueId, nodes: &[u64]) -> Result<Outcome, Refusal> {
        let (epoch, version) = (self.of_queue(id).epoch, self.of_queue(id).version);
        self.apply(Command::ChangeIsr { queue: id, epoch, version, isr: members(nodes), trailing: BTreeSet::new() })
    }

    /// All leaders that are to hand over do.
    pub(super) fn hand_over(&mut self, of: &[u64]) {
        let planned: Vec<_> =
            self.state.queues().filter(|(_, queue)| queue.handover.is_some()).map(|(id, _)| id).collect();
        for id in planned {
            let (assignment, to) = (self.of_queue(id).clone(), self.queue(id).handover);
            let (epoch, version) = (assignment.epoch, assignment.version);
            self.ok(Command::Handover { queue: id, epoch, version, to, live: live(of), released: true });
        }
    }

    pub(super) fn elect(&mut self, dead: &[Process], live: &[Process]) -> Outcome {
        self.ok(Command::Elect { dead: dead.to_vec(), live: live.to_vec(), unwilling: vec![], queues: vec![] })
    }
}
