//! The catalog as one linear history: what a majority has committed, applied
//! by the nodes at leisure. The state machine is the real one; only Raft, which
//! puts commands in order, is modelled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use warren_membership::catalog::{
    Addresses, Arguments, Change, Command, DeclareQueue, Outcome, Owner, Queue, Refusal, State,
};
use warren_membership::{View, decide};
use warren_queue::{Kind, Rules};
use warren_replication::plan::{
    ApplyTo, Clients, FailBack, Group, Leaders, Limits, MinInSync, Mirror, Mode, Policy, PrimaryBackup, Replicas,
    Synchronization,
};
use warren_replication::types::{Assignment, Boot, Incarnation, NodeId, Process, QueueId};
use warren_shard::step::{Input, QueueInfo};

use crate::rng::Rng;

const VHOST: &str = "/";

#[derive(Debug)]
pub(crate) struct Catalog {
    state: State,
    /// What is told to the nodes, in order.
    pub(crate) log: Vec<Input>,
    pub(crate) queues: BTreeMap<QueueId, Arc<Assignment>>,
    pub(crate) deleted: BTreeSet<QueueId>,
    pub(crate) rules: BTreeMap<QueueId, Arc<Rules>>,
    nonce: u64,
}

impl Default for Catalog {
    fn default() -> Self {
        let mut catalog = Self {
            state: State::default(),
            log: Vec::new(),
            queues: BTreeMap::new(),
            deleted: BTreeSet::new(),
            rules: BTreeMap::new(),
            nonce: 0,
        };
        // Into an empty catalog it goes.
        let _ = catalog.commit(&Command::PutVhost { name: VHOST.to_owned() });
        catalog
    }
}

/// A node's configured name.
fn name(node: NodeId) -> String {
    format!("node-{node}")
}

impl Catalog {
    /// The next entry of the history; what it changes is told to the nodes.
    pub(crate) fn commit(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let (result, changes) = self.state.apply(command);
        for change in changes {
            match change {
                Change::Queue(queue) => {
                    if let Some(info) = self.info(queue) {
                        self.queues.insert(queue, Arc::clone(&info.assignment));
                        self.log.push(Input::Queue(info));
                    }
                }
                Change::QueueDeleted { queue, .. } => {
                    self.queues.remove(&queue);
                    self.deleted.insert(queue);
                    self.log.push(Input::Deleted(queue));
                }
                Change::Node(node, _, boot) => self.log.push(Input::Registered(node, boot)),
                _ => {}
            }
        }
        result
    }

    fn info(&self, queue: QueueId) -> Option<QueueInfo> {
        let Queue { assignment, handover, .. } = self.state.queue(queue)?;
        let (assignment, handover) = (Arc::clone(assignment), *handover);
        let rules = self.rules.get(&queue).cloned().unwrap_or_default();
        Some(QueueInfo { queue, assignment, handover, auto_delete: false, rules })
    }

    pub(crate) fn is_stream(&self, queue: QueueId) -> bool {
        self.rules.get(&queue).is_some_and(|rules| matches!(rules.kind, Kind::Stream { .. }))
    }

    /// Whether nobody has to leave the queue's replicas any more.
    pub(crate) fn is_settled(&self, queue: QueueId) -> bool {
        self.state.queue(queue).is_none_or(|queue| queue.leaving().next().is_none())
    }

    /// What a node that starts finds: everything as it is now.
    pub(crate) fn snapshot(&self) -> Vec<Input> {
        let boots = self.state.nodes().map(|node| Input::Registered(node.process.node, node.process.boot));
        let queues = self.queues.keys().filter_map(|queue| self.info(*queue)).map(Input::Queue);
        let deleted = self.deleted.iter().map(|queue| Input::Deleted(*queue));
        boots.chain(queues).chain(deleted).collect()
    }

    /// A boot, maybe of a new disk.
    pub(crate) fn register(&mut self, node: NodeId, incarnation: Incarnation, boot: Boot) -> Result<Process, Refusal> {
        let process = Process { node, incarnation, boot };
        self.nonce += 1;
        self.commit(&Command::Register {
            name: name(node),
            process,
            nonce: self.nonce,
            addresses: Addresses::default(),
            voter: true,
        })?;
        Ok(process)
    }

    pub(crate) fn declare(&mut self, queue: QueueId, by: Process, live: Vec<Process>) -> Result<Outcome, Refusal> {
        self.commit(&Command::DeclareQueue(DeclareQueue {
            vhost: VHOST.to_owned(),
            name: format!("queue-{queue}"),
            server_named: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: Arguments::new(),
            owner: Owner { process: by, connection: 1 },
            live,
        }))
    }

    /// What the controller does with what it sees (§6.1, §6.2, §6.6).
    pub(crate) fn decide(&self, live: &BTreeSet<Process>) -> Vec<Command> {
        let registered = self.state.nodes().map(|node| node.process);
        let dead = registered.filter(|process| !live.contains(process)).collect();
        // Nothing here goes with its process.
        decide(&self.state, &View { live: live.clone(), dead, ..View::default() })
    }

    /// A policy that may follow the present one: for all queues, on some of these nodes.
    pub(crate) fn any_policy(&self, nodes: &[NodeId], rng: &mut Rng) -> Command {
        let min_in_sync = match rng.below(10) {
            0 => MinInSync::Count(1),
            1..4 => MinInSync::Majority,
            _ => MinInSync::Count(2),
        };
        let mut names: Vec<String> = nodes.iter().map(|node| name(*node)).collect();
        let first = rng.below(names.len() as u64) as usize;
        names.rotate_left(first);
        names.truncate(rng.between(2, 3) as usize);
        let leaders = rng.pick(&[Leaders::Balanced, Leaders::ClientLocal, Leaders::First]).unwrap_or(Leaders::Balanced);
        let synchronization = if rng.percent(30) { Synchronization::Manual } else { Synchronization::Automatic };
        let mirror = Mirror { min_in_sync, leaders, synchronization, ..Mirror::default() };
        let mode = match rng.below(10) {
            0..5 => Mode::Mirror(Mirror { replicas: Replicas::Count(3), ..mirror }),
            5 => Mode::Mirror(Mirror { replicas: Replicas::All, ..mirror }),
            6..8 => Mode::Mirror(Mirror { replicas: Replicas::Nodes(names), ..mirror }),
            _ => Mode::PrimaryBackup(PrimaryBackup {
                nodes: names,
                min_in_sync,
                fail_back: if rng.percent(50) { FailBack::Auto } else { FailBack::Manual },
                clients: Clients::Any,
                max_lag: None,
                synchronization,
                unclean_after: None,
                unclean_after_stop: None,
            }),
        };
        let policy = Policy {
            name: "all".to_owned(),
            vhost: VHOST.to_owned(),
            pattern: String::new(),
            priority: 0,
            apply_to: ApplyTo::All,
            mode: Some(mode),
            limits: Limits::default(),
            link: None,
            operator: false,
        };
        self.applying(vec![policy])
    }

    pub(crate) fn applying(&self, policies: Vec<Policy>) -> Command {
        Command::ApplyPolicies { revision: self.state.policies().revision() + 1, policies }
    }

    /// The policies in force.
    pub(crate) fn policies(&self) -> Vec<Policy> {
        self.state.policies().iter().cloned().collect()
    }

    /// Nodes whose process has said that it stops.
    pub(crate) fn stopping(&self) -> Vec<NodeId> {
        self.state.nodes().filter(|node| node.stopping).map(warren_membership::catalog::Node::id).collect()
    }

    /// An operator's word on who gets a copy: on a queue that lacks one, if there is
    /// such a queue.
    pub(crate) fn synchronize(&self, live: &BTreeSet<Process>, on: bool, rng: &mut Rng) -> Option<Command> {
        let short = self.queues.iter().filter(|(_, assignment)| assignment.isr.len() < assignment.replicas.len());
        let short: Vec<QueueId> = short.map(|(queue, _)| *queue).collect();
        let queue = rng.pick(&short)?;
        Some(Command::Synchronize { queue, on, live: live.iter().copied().collect() })
    }

    /// Every node may lead again.
    pub(crate) fn undrain(&self) -> Vec<Command> {
        let drained = self.state.nodes().filter(|node| node.drained);
        drained.map(|node| Command::Drain { node: node.id(), drained: false }).collect()
    }

    /// Some planned change of who leads what (§6.5), if there is one to ask for.
    pub(crate) fn any_handover(&self, live: &BTreeSet<Process>, rng: &mut Rng) -> Option<Command> {
        let groups: Vec<Group> = self.state.groups().map(|(group, ..)| group.clone()).collect();
        let live: Vec<Process> = live.iter().copied().collect();
        if !groups.is_empty() && rng.percent(50) {
            let group = groups.into_iter().next()?;
            let to = rng.pick(&live)?.node;
            return Some(Command::MovePrimary { group, to, live });
        }
        if rng.percent(20) {
            let process = rng.pick(&live)?;
            return Some(match rng.below(4) {
                0 => Command::Stop { process },
                1 => Command::Depart { process },
                n => Command::Drain { node: process.node, drained: n == 2 },
            });
        }
        let queues: Vec<QueueId> = self.queues.keys().copied().collect();
        let queue = rng.pick(&queues)?;
        let Queue { assignment, .. } = self.state.queue(queue)?;
        let (epoch, version) = (assignment.epoch, assignment.version);
        if rng.percent(10) {
            // Without a word of its leader.
            return Some(Command::Handover { queue, epoch, version, to: None, live, released: false });
        }
        let members: Vec<NodeId> = assignment.isr.iter().map(|member| member.node).collect();
        Some(Command::PlanHandovers { moves: vec![(queue, epoch, rng.pick(&members)?)] })
    }
}
