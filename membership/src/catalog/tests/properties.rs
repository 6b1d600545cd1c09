//! Whatever is proposed, in whatever order: what must hold after every command.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::catalog::next_reconfiguration;
use crate::catalog::queues::Index;

/// A command by small numbers, made concrete against the state as it is then.
#[derive(Clone, Debug)]
enum Step {
    Declare { name: u8, kind: u8, on: u8, live: u8 },
    Delete(u8),
    Exchange { name: u8, delete: bool, auto_delete: bool },
    Bind { unbind: bool, from: u8, to: u8, to_exchange: bool, key: u8 },
    Isr { queue: u8, isr: u8, stale: bool },
    Elect { dead: u8, live: u8, unwilling: u8, listed: Option<u8> },
    Move { queue: u8, to: u8, live: u8, resign: bool, released: bool },
    Boot(u8),
    NewDisk(u8),
    Forget { node: u8, force: bool },
    Policies { kind: u8, min: u8 },
    Reconfigure,
    Drop { node: u8, process: bool },
    Plan { queue: u8, to: u8 },
    Drain { node: u8, drained: bool },
    Stop { node: u8, depart: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let small = || 0u8..4;
    prop_oneof![
        3 => (small(), 0u8..4, 1u8..6, any::<u8>()).prop_map(|(name, kind, on, live)| Step::Declare { name, kind, on, live }),
        1 => small().prop_map(Step::Delete),
        1 => (small(), any::<bool>(), any::<bool>()).prop_map(|(name, delete, auto_delete)| Step::Exchange { name, delete, auto_delete }),
        2 => (any::<bool>(), small(), small(), any::<bool>(), small())
            .prop_map(|(unbind, from, to, to_exchange, key)| Step::Bind { unbind, from, to, to_exchange, key }),
        6 => (small(), any::<u8>(), prop::bool::weighted(0.1)).prop_map(|(queue, isr, stale)| Step::Isr { queue, isr, stale }),
        4 => (any::<u8>(), any::<u8>(), any::<u8>(), prop::option::of(small()))
            .prop_map(|(dead, live, unwilling, listed)| Step::Elect { dead, live, unwilling: unwilling & 0b10, listed }),
        2 => (small(), 1u8..6, any::<u8>(), any::<bool>(), any::<bool>())
            .prop_map(|(queue, to, live, resign, released)| Step::Move { queue, to, live, resign, released }),
        2 => (1u8..6).prop_map(Step::Boot),
        1 => (1u8..6).prop_map(Step::NewDisk),
        1 => (1u8..6, any::<bool>()).prop_map(|(node, force)| Step::Forget { node, force }),
        2 => (0u8..6, 0u8..4).prop_map(|(kind, min)| Step::Policies { kind, min }),
        2 => Just(Step::Reconfigure),
        1 => (1u8..6, any::<bool>()).prop_map(|(node, process)| Step::Drop { node, process }),
        2 => (small(), 1u8..6).prop_map(|(queue, to)| Step::Plan { queue, to }),
        1 => (1u8..6, any::<bool>()).prop_map(|(node, drained)| Step::Drain { node, drained }),
        1 => (1u8..6, any::<bool>()).prop_map(|(node, depart)| Step::Stop { node, depart }),
    ]
}

/// The world, and what an outside observer knows of it.
struct Observed {
    state: State,
    runs: u64,
    revision: u64,
    /// Members that hold all that can have been committed, by queue: what a
    /// leader commits reaches its in-sync set and nobody else.
    whole: BTreeMap<QueueId, BTreeSet<Member>>,
}

impl Observed {
    fn processes(&self, bits: u8) -> Vec<Process> {
        self.state.nodes().map(|node| node.process).filter(|process| bits >> process.node.0 & 1 == 1).collect()
    }

    fn pick(&self, name: u8) -> Option<(QueueId, &Queue)> {
        self.state.queue_named("/", &format!("q{name}")).ok()
    }

    fn commands(&mut self, step: &Step) -> Vec<Command> {
        let node = |n: u8| NodeId(n.into());
        let current = |n: u8| self.state.node(node(n)).map_or(process(n.into(), 1), |known| known.process);
        let (vhost, exchange) = ("/".to_owned(), |n: u8| if n == 0 { "amq.topic".to_owned() } else { format!("x{n}") });
        self.runs += 1;
        match *step {
            Step::Declare { name, kind, on, live } => {
                let on = current(on);
                vec![Command::DeclareQueue(DeclareQueue {
                    durable: kind > 1,
                    exclusive: kind == 1,
                    owner: Owner { process: on, connection: (name & 1).into() },
                    live: self.processes(live | 1 << on.node.0),
                    ..durable(&format!("q{name}"))
                })]
            }
            Step::Delete(name) => {
                self.pick(name).map(|(queue, _)| Command::DeleteQueue { queue, compared: None }).into_iter().collect()
            }
            Step::Exchange { name, delete: true, .. } => {
                vec![Command::DeleteExchange { vhost, name: exchange(name), if_unused: false }]
            }
            Step::Exchange { name, auto_delete, .. } => vec![Command::DeclareExchange(DeclareExchange {
                vhost,
                name: exchange(name),
                // The names of two are types, too: one of them has a waiting room.
                kind: if name & 1 == 0 { ExchangeKind::Topic } else { ExchangeKind::Delayed },
                durable: true,
                auto_delete,
                internal: false,
                arguments: Arguments::from([("x-delayed-type".to_owned(), Value::text("topic"))]),
                owner: owner(1, 1),
                live: self.processes(u8::MAX),
            })],
            Step::Bind { unbind, from, to, to_exchange, key } => {
                let to_queue = DestinationName::Queue(format!("q{to}"));
                let owner = self.pick(to).and_then(|(_, queue)| queue.exclusive);
                let bind = Bind {
                    vhost,
                    exchange: exchange(from),
                    destination: if to_exchange { DestinationName::Exchange(exchange(to)) } else { to_queue },
                    routing_key: key.to_string(),
                    arguments: Arguments::new(),
                    owner: owner.unwrap_or(super::owner(1, 1)),
                };
                vec![if unbind { Command::Unbind(bind) } else { Command::Bind(bind) }]
            }
            Step::Isr { queue, isr, stale } => {
                let Some((queue, found)) = self.pick(queue) else { return vec![] };
                let assignment = &found.assignment;
                let isr = self.processes(isr).iter().map(|process| process.member()).collect();
                let version = if stale { assignment.version.next() } else { assignment.version };
                vec![Command::ChangeIsr { queue, epoch: assignment.epoch, version, isr, trailing: BTreeSet::new() }]
            }
            Step::Elect { dead, live, unwilling, listed } => vec![Command::Elect {
                dead: self.processes(dead),
                live: self.processes(live & !dead),
                unwilling: self.processes(unwilling).iter().map(|process| process.node).collect(),
                queues: listed
                    .and_then(|n| self.pick(n))
                    .map(|(id, queue)| (id, queue.assignment.epoch))
                    .into_iter()
                    .collect(),
            }],
            Step::Move { queue, to, live, resign, released } => {
                let Some((queue, found)) = self.pick(queue) else { return vec![] };
                let (epoch, version, live) = (found.assignment.epoch, found.assignment.version, self.processes(live));
                vec![if resign {
                    Command::Resign { queue, epoch, version, live, released }
                } else {
                    Command::Handover { queue, epoch, version, to: Some(node(to)), live, released }
                }]
            }
            Step::Boot(n) => vec![register(Process { boot: Boot(self.runs + 1), ..current(n) }, self.runs)],
            Step::NewDisk(n) => {
                let fresh = Process { incarnation: Incarnation(1000 + self.runs), boot: Boot(1), node: node(n) };
                vec![register(fresh, self.runs)]
            }
            Step::Forget { node: n, force } => {
                vec![Command::Forget { node: node(n), live: self.processes(!(1 << n)), force }]
            }
            Step::Policies { kind, min } => {
                let replicas = match kind {
                    0 => Replicas::All,
                    1 => named(&["d", "b"]),
                    2 => named(&["e"]),
                    n => Replicas::Count(n.into()),
                };
                let min = if min == 0 { MinInSync::Majority } else { MinInSync::Count(min.into()) };
                self.revision += 1;
                let policies = if kind == 5 { vec![] } else { vec![policy("p", "q[012]", 0, replicas, min)] };
                vec![Command::ApplyPolicies { revision: self.revision, policies }]
            }
            Step::Plan { queue, to } => {
                let Some((queue, found)) = self.pick(queue) else { return vec![] };
                vec![Command::PlanHandovers { moves: vec![(queue, found.assignment.epoch, node(to))] }]
            }
            Step::Drain { node: n, drained } => vec![Command::Drain { node: node(n), drained }],
            Step::Stop { node: n, depart: true } => vec![Command::Depart { process: current(n) }],
            Step::Stop { node: n, .. } => vec![Command::Stop { process: current(n) }],
            Step::Reconfigure => next_reconfiguration(&self.state, &self.processes(u8::MAX).into_iter().collect(), 9),
            Step::Drop { node, process: true } => vec![Command::DropProcess { process: current(node) }],
            Step::Drop { node, .. } => {
                vec![Command::DropOwned { owner: Owner { process: current(node), connection: 1 } }]
            }
        }
    }

    fn apply(&mut self, command: &Command) {
        let before = self.state.clone();
        let (result, changes) = self.state.apply(command);
        let told = |id: QueueId| changes.contains(&Change::Queue(id));
        if result.is_err() && !matches!(command, Command::ChangeIsr { .. }) {
            assert_eq!((&self.state, &changes[..]), (&before, &[][..]), "{command:?} was refused");
        }
        for (id, old) in before.queues() {
            let Some(new) = self.state.queue(id) else {
                let end = |change: &Change| matches!(change, Change::QueueDeleted { queue, .. } if *queue == id);
                assert!(changes.iter().any(end), "the end of {id} was not told");
                self.whole.remove(&id);
                continue;
            };
            let (was, is) = (&old.assignment, &new.assignment);
            assert_eq!(was != is, told(id), "{id} by {command:?}");
            if was != is {
                assert!(is.version > was.version && is.epoch >= was.epoch, "{was:?} -> {is:?}");
                assert!(is.leader == was.leader || is.epoch > was.epoch, "{was:?} -> {is:?}");
            }
        }
        for (id, queue) in self.state.queues() {
            let assignment = &queue.assignment;
            if let Some(to) = queue.handover {
                let leads = assignment.leader.is_some_and(|leader| leader.node != to);
                let in_sync = assignment.isr.iter().any(|member| member.node == to);
                assert!(leads && in_sync && self.state.is_willing(to), "{id} goes to {to}: {assignment:?}");
            }
            if before.queue(id).is_none() {
                assert!(id >= before.next_queue() && told(id));
                self.whole.insert(id, assignment.isr.clone());
            }
            let whole = self.whole.entry(id).or_default();
            if let Command::ChangeIsr { queue: changed, .. } = command {
                // Whom a leader takes in has all that is committed (§4.4).
                whole.extend(assignment.isr.iter().filter(|_| *changed == id && result.is_ok()));
            }
            if assignment.leader.is_some() && assignment.isr.len() >= assignment.min_in_sync as usize {
                whole.retain(|member| assignment.isr.contains(member));
            }
            check_queue(id, queue, whole);
        }
        self.check_bindings();
        let mut index = Index::default();
        self.state.queues().for_each(|(id, queue)| index.insert(id, queue));
        assert_eq!(index, self.state.index);
    }

    fn check_bindings(&self) {
        let vhost = self.state.vhost("/").unwrap();
        let mut to_queues = BTreeSet::new();
        for (source, binding) in self.state.bindings("/") {
            match &binding.destination {
                Destination::Queue(id) => {
                    assert!(self.state.queue(*id).unwrap().bound_to.contains(source));
                    to_queues.insert((*id, source.to_owned()));
                }
                Destination::Exchange(name) => assert!(vhost.exchanges[name].bound_to.contains(source)),
            }
        }
        let rooms = vhost.exchanges.values().filter_map(|exchange| exchange.waiting_room).count();
        for (id, queue) in self.state.queues() {
            match &queue.waiting_room_of {
                Some(exchange) => assert_eq!(vhost.exchanges[exchange].waiting_room, Some(id)),
                None => assert_eq!(vhost.queues[&queue.name], id),
            }
            assert!(queue.bound_to.iter().all(|source| to_queues.contains(&(id, source.clone()))));
        }
        assert_eq!(vhost.queues.len() + rooms, self.state.queues().len());
    }
}

fn check_queue(id: QueueId, queue: &Queue, whole: &BTreeSet<Member>) {
    let assignment = &queue.assignment;
    let said = format!("queue {id}: {assignment:?}, target {:?}, whole {whole:?}", queue.target);
    assert!(!assignment.isr.is_empty(), "{said}");
    assert!(assignment.leader.is_none_or(|leader| assignment.isr.contains(&leader.member())), "{said}");
    assert!(assignment.isr.is_disjoint(&assignment.eligible), "{said}");
    assert!(assignment.isr.len() < assignment.min_in_sync as usize || assignment.eligible.is_empty(), "{said}");
    assert!(assignment.isr.union(&assignment.eligible).all(|m| assignment.replicas.contains(&m.node)), "{said}");
    assert!(assignment.isr.union(&assignment.eligible).all(|member| whole.contains(member)), "{said}");
    let distinct: BTreeSet<NodeId> = assignment.replicas.iter().copied().collect();
    assert_eq!(distinct.len(), assignment.replicas.len(), "{said}");
    assert!(assignment.replicas.starts_with(&queue.target), "{said}");
    assert!(assignment.min_in_sync >= 1 && assignment.min_in_sync <= queue.planned_min(), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_must_hold_holds_after_every_command(steps in prop::collection::vec(step(), 1..80)) {
        let mut observed = Observed { state: World::of(4).state, runs: 0, revision: 0, whole: BTreeMap::new() };
        let mut twin = observed.state.clone();
        for step in &steps {
            for command in observed.commands(step) {
                observed.apply(&command);
                drop(twin.apply(&command));
            }
        }
        prop_assert_eq!(&twin, &observed.state);
        let snapshot = postcard::to_stdvec(&observed.state).unwrap();
        let restored: State = postcard::from_bytes(&snapshot).unwrap();
        prop_assert_eq!(&restored, &observed.state);
    }

    #[test]
    fn commands_survive_the_log(steps in prop::collection::vec(step(), 1..20)) {
        let mut observed = Observed { state: World::of(4).state, runs: 0, revision: 0, whole: BTreeMap::new() };
        for step in &steps {
            let commands = observed.commands(step);
            let bytes = postcard::to_stdvec(&commands).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Vec<Command>>(&bytes).unwrap(), &commands);
            commands.iter().for_each(|command| observed.apply(command));
        }
    }
}
