//! The broker in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::SaltString;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use tokio::time::timeout;
use warren_amqp::Properties;
use warren_membership::Usage;
use warren_membership::catalog::{Addresses, Command, Destination, ExchangeKind, Outcome, Permissions, State};
use warren_replication::message::{Closing, ConsumerSpec, Message};
use warren_replication::types::{ConsumerKey, Epoch, Offset, Process, QueueId};
use warren_shard::step::{Local, ToChannel};

use super::{ME, PATIENCE};
use crate::auth::Passwords;
use crate::connection::ports::{Broker, Events, Proposal, ProposalError, Routing};
use crate::direct::Direct;

/// The broker in memory.
pub(in crate::connection) struct FakeBroker {
    state: Arc<RwLock<State>>,
    generation: Arc<Mutex<u64>>,
    queues: Mutex<Queues>,
    alarm: watch::Sender<Option<Arc<str>>>,
    direct: Direct,
    passwords: Passwords,
    elsewhere: Mutex<Usage>,
}

#[derive(Default)]
struct Queues {
    to: BTreeMap<u64, Events>,
    queues: BTreeMap<QueueId, FakeQueue>,
    /// Every word said, for tests that ask.
    log: Vec<(QueueId, Local)>,
    /// Publishes are neither kept nor answered while this is set.
    is_stalled: bool,
    stalled: Vec<(QueueId, Local)>,
}

#[derive(Default)]
struct FakeQueue {
    next: u64,
    ready: BTreeMap<u64, (Message, bool)>,
    held: BTreeMap<u64, (ConsumerKey, Message)>,
    consumers: VecDeque<ConsumerSpec>,
    refuses: bool,
}

impl FakeBroker {
    pub(in crate::connection) fn new() -> Arc<Self> {
        let broker = Arc::new(Self {
            state: Arc::default(),
            generation: Arc::default(),
            queues: Mutex::default(),
            alarm: watch::Sender::new(None),
            direct: Direct::new(ME.node),
            passwords: Passwords::default(),
            elsewhere: Mutex::default(),
        });
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        let salt = SaltString::encode_b64(b"a salt of some length").unwrap();
        let hash = |password: &str| cheap.hash_password(password.as_bytes(), &salt).unwrap().to_string();
        broker.agree(Command::Register {
            name: "one".to_owned(),
            process: ME,
            nonce: 1,
            addresses: Addresses::default(),
            voter: true,
        });
        broker.agree(Command::PutVhost { name: "/".to_owned() });
        for name in ["guest", "poor"] {
            let (name, password_hash) = (name.to_owned(), hash(name));
            broker.agree(Command::PutUser { name, password_hash, tags: Default::default() });
        }
        let permissions = Permissions::all();
        broker.agree(Command::SetPermissions { user: "guest".to_owned(), vhost: "/".to_owned(), permissions });
        broker
    }

    pub(in crate::connection) fn agree(&self, command: Command) {
        self.apply(&command).unwrap();
    }

    pub(in crate::connection) fn apply(&self, command: &Command) -> Result<Outcome, ProposalError> {
        let mut state = self.state.write();
        let (result, _) = state.apply(command);
        *self.generation.lock() += 1;
        let mut queues = self.queues.lock();
        let gone: Vec<QueueId> = queues.queues.keys().copied().filter(|id| state.queue(*id).is_none()).collect();
        for id in gone {
            let consumers = queues.queues.remove(&id).map(|queue| queue.consumers).unwrap_or_default();
            for spec in consumers {
                queues.tell(spec.key, ToChannel::Cancelled { consumer: spec.key.number });
            }
        }
        for (id, _) in state.queues() {
            queues.queues.entry(id).or_default();
        }
        result.map_err(ProposalError::Refused)
    }

    pub(in crate::connection) fn queue(&self, name: &str) -> QueueId {
        self.state.read().queue_named("/", name).unwrap().0
    }

    pub(in crate::connection) fn has_queue(&self, name: &str) -> bool {
        self.state.read().queue_named("/", name).is_ok()
    }

    /// Ready and held messages.
    pub(in crate::connection) fn counts(&self, name: &str) -> (usize, usize) {
        let id = self.queue(name);
        let queues = self.queues.lock();
        (queues.queues[&id].ready.len(), queues.queues[&id].held.len())
    }

    pub(in crate::connection) fn refuse(&self, name: &str) {
        let id = self.queue(name);
        self.queues.lock().queues.get_mut(&id).unwrap().refuses = true;
    }

    pub(in crate::connection) fn stall(&self, is_stalled: bool) {
        let mut queues = self.queues.lock();
        queues.is_stalled = is_stalled;
        if !is_stalled {
            let stalled = std::mem::take(&mut queues.stalled);
            queues.take(stalled);
        }
    }

    pub(in crate::connection) fn alarm(&self, reason: Option<&str>) {
        self.alarm.send_replace(reason.map(Arc::from));
    }

    pub(in crate::connection) fn use_elsewhere(&self, usage: Usage) {
        *self.elsewhere.lock() = usage;
    }

    pub(in crate::connection) fn words(&self) -> Vec<(QueueId, Local)> {
        self.queues.lock().log.clone()
    }

    /// Waits until something holds.
    pub(in crate::connection) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = timeout(PATIENCE, async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never came true: {what}"));
    }
}

impl Queues {
    fn tell(&self, key: ConsumerKey, event: ToChannel) {
        self.tell_channel(key.connection, key.channel, event);
    }

    fn tell_channel(&self, connection: u64, channel: u16, event: ToChannel) {
        if let Some(to) = self.to.get(&connection) {
            let _ = to.send(vec![(channel, event)]);
        }
    }

    fn take(&mut self, batch: Vec<(QueueId, Local)>) {
        for (id, word) in batch {
            if self.is_stalled && matches!(word, Local::Publish { .. }) {
                self.stalled.push((id, word));
                continue;
            }
            self.log.push((id, word.clone()));
            self.on_word(id, word);
            self.deliver(id);
        }
    }

    fn on_word(&mut self, id: QueueId, word: Local) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        match word {
            Local::Publish { session, messages } => {
                let ranges: Vec<(u64, u64)> = messages.iter().map(|(sequence, _)| (*sequence, *sequence)).collect();
                let refuses = queue.refuses;
                for (_, message) in messages.into_iter().filter(|_| !refuses) {
                    queue.ready.insert(queue.next, (message, false));
                    queue.next += 1;
                }
                let event = if refuses { ToChannel::Refused(id, ranges) } else { ToChannel::Confirmed(id, ranges) };
                self.tell_channel(session.connection, session.channel, event);
            }
            Local::ChannelClosed { session } => {
                let mine = |key: &ConsumerKey| key.connection == session.connection && key.channel == session.channel;
                queue.consumers.retain(|spec| !mine(&spec.key));
                let back: Vec<u64> = queue.held.iter().filter(|(_, (key, _))| mine(key)).map(|(o, _)| *o).collect();
                queue.give_back(&back);
            }
            Local::Consume { spec, .. } => {
                let taken = queue.consumers.iter().any(|other| other.exclusive || spec.exclusive);
                let event = ToChannel::Consuming { consumer: spec.key.number, attached: !taken };
                if !taken {
                    queue.consumers.push_back(spec.clone());
                }
                self.tell(spec.key, event);
            }
            Local::Cancel(key) => queue.consumers.retain(|spec| spec.key != key),
            Local::Written(key, messages) => {
                let mut left = messages as usize;
                let no_ack = queue.consumers.iter().any(|spec| spec.key == key && spec.no_ack);
                queue.held.retain(|_, (holder, _)| {
                    let goes = no_ack && *holder == key && left > 0;
                    left -= usize::from(goes);
                    !goes
                });
            }
            Local::Settle(offsets, _) => offsets.iter().for_each(|offset| drop(queue.held.remove(&offset.0))),
            Local::Return(offsets) => queue.give_back(&offsets.iter().map(|offset| offset.0).collect::<Vec<_>>()),
            Local::Get(key) => {
                let found = queue.ready.pop_first().map(|(offset, (message, redelivered))| {
                    queue.held.insert(offset, (key, message.clone()));
                    (Offset(offset), redelivered, message, queue.ready.len() as u64)
                });
                self.tell(key, ToChannel::Got { get: key.number, queue: id, count: None, found });
            }
            // No streams here.
            Local::Credit(..) => {}
            Local::Purge { connection, channel, request } => {
                let messages = std::mem::take(&mut queue.ready).len() as u64;
                self.tell_channel(connection, channel, ToChannel::Purged { request, messages });
            }
            Local::Close { connection, channel, request, if_unused, if_empty } => {
                let closing = if if_unused && !queue.consumers.is_empty() {
                    Closing::InUse
                } else if if_empty && !queue.ready.is_empty() {
                    Closing::NotEmpty
                } else {
                    Closing::Closed {
                        at: (Epoch(1), warren_replication::types::Version(1)),
                        messages: queue.ready.len() as u64,
                    }
                };
                self.tell_channel(connection, channel, ToChannel::Closed { request, closing });
            }
            Local::Count { connection, channel, request } => {
                let (ready, consumers) = (queue.ready.len() as u64, queue.consumers.len() as u32);
                self.tell_channel(connection, channel, ToChannel::Counted { request, ready, consumers });
            }
        }
    }

    fn deliver(&mut self, id: QueueId) {
        loop {
            let Some(queue) = self.queues.get_mut(&id) else { return };
            let held = |key: ConsumerKey| queue.held.values().filter(|(holder, _)| *holder == key).count() as u32;
            let has_room = |spec: &ConsumerSpec| spec.no_ack || spec.prefetch == 0 || held(spec.key) < spec.prefetch;
            let Some(place) = queue.consumers.iter().position(has_room) else { return };
            let Some((offset, (message, redelivered))) = queue.ready.pop_first() else { return };
            let Some(spec) = queue.consumers.remove(place) else { return };
            let key = spec.key;
            queue.held.insert(offset, (key, message.clone()));
            queue.consumers.push_back(spec);
            let event = ToChannel::Deliver {
                queue: id,
                consumer: key.number,
                offset: Offset(offset),
                floor: Offset(0),
                redelivered,
                consignment: None,
                count: None,
                message,
            };
            self.tell(key, event);
        }
    }
}

impl FakeQueue {
    fn give_back(&mut self, offsets: &[u64]) {
        for offset in offsets {
            if let Some((_, message)) = self.held.remove(offset) {
                self.ready.insert(*offset, (message, true));
            }
        }
    }
}

impl Broker for FakeBroker {
    fn process(&self) -> Process {
        ME
    }

    fn live(&self) -> Vec<Process> {
        vec![ME]
    }

    fn submit(&self, batch: Vec<(QueueId, Local)>) {
        self.queues.lock().take(batch);
    }

    fn register(&self, connection: u64, to: Events) {
        self.queues.lock().to.insert(connection, to);
    }

    fn unregister(&self, connection: u64) {
        self.queues.lock().to.remove(&connection);
    }

    fn catalog(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    fn propose(&self, command: Command) -> Proposal {
        let result = self.apply(&command);
        Box::pin(async move {
            // Never at once, so that what follows on the channel has to wait.
            tokio::time::sleep(Duration::from_millis(1)).await;
            result
        })
    }

    fn usage_elsewhere(&self) -> Usage {
        self.elsewhere.lock().clone()
    }

    fn routing(&self) -> Arc<dyn Routing> {
        Arc::new(FakeRouting { generation: Arc::clone(&self.generation), state: Arc::clone(&self.state) })
    }

    fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    fn direct(&self) -> &Direct {
        &self.direct
    }

    fn cluster_number(&self) -> u64 {
        1
    }

    fn blocked(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.alarm.subscribe()
    }
}

/// Direct and fanout exchanges, which is enough here.
struct FakeRouting {
    generation: Arc<Mutex<u64>>,
    state: Arc<RwLock<State>>,
}

impl Routing for FakeRouting {
    fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    fn reads_properties(&self, _: &str, _: &str) -> bool {
        false
    }

    fn route(&self, vhost: &str, exchange: &str, keys: &[&str], _: Option<&Properties>) -> Option<Vec<QueueId>> {
        let state = self.state.read();
        if exchange.is_empty() {
            let found = keys.iter().filter_map(|key| Some(state.queue_named(vhost, key).ok()?.0));
            return Some(found.collect::<BTreeSet<_>>().into_iter().collect());
        }
        let exchange = state.exchange(vhost, exchange).ok()?;
        let mut queues: Vec<QueueId> = exchange
            .bindings
            .iter()
            .filter(|binding| exchange.kind == ExchangeKind::Fanout || keys.contains(&&*binding.routing_key))
            .filter_map(|binding| match &binding.destination {
                Destination::Queue(id) => Some(*id),
                Destination::Exchange(_) => None,
            })
            .collect();
        queues.sort_unstable();
        queues.dedup();
        Some(queues)
    }
}
