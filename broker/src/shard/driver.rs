//! One shard's task: takes what piled up, runs a turn, carries out what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use warren_queue::DeadLetter;
use warren_replication::message::QueueWord;
use warren_replication::types::{NodeId, QueueId};
use warren_shard::Shard;
use warren_shard::step::{Effects, Input, QueueInfo, QueueStatus, ToChannel};
use warren_store::{GroupCommit, Submission};

use super::mailbox::Mail;
use super::reader::Readers;
use super::{Wishes, clock, now};
use crate::peer::LinkHandle;
use crate::transfer::{Moves, ToMover};

/// How much mail one turn takes at most. A turn is as long as what piled up
/// during the one before, so this only bounds how long a turn may get.
const MAILS: usize = 256;

/// The core wants to hear of the time at least every 100 ms.
const TICK: Duration = Duration::from_millis(50);

/// A shard with all that a turn's effects go to.
pub(super) struct Driver {
    number: usize,
    shard: Shard,
    commit: GroupCommit,
    readers: Readers,
    lease: Arc<AtomicU64>,
    wishes: Arc<dyn Wishes>,
    /// Handles of the links that are up, as of the last mail taken. A word goes
    /// to the link of which the shard knew when it said it, or nowhere.
    links: FxHashMap<NodeId, LinkHandle>,
    transfers: ToMover,
    /// Where queues' dead go, of those that say so.
    dead_letters: FxHashMap<QueueId, DeadLetter>,
    connections: FxHashMap<u64, mpsc::UnboundedSender<Vec<(u16, ToChannel)>>>,
    statuses: FxHashMap<u64, oneshot::Sender<Vec<QueueStatus>>>,
    requests: u64,
    /// The turn in the making.
    inputs: Vec<Input>,
    /// What its inputs weigh on peers' windows, until it is over.
    rooms: Vec<Arc<OwnedSemaphorePermit>>,
    effects: Effects,
    /// Reused from turn to turn.
    replies: FxHashMap<u64, Vec<(u16, ToChannel)>>,
}

impl Driver {
    pub(super) fn new(
        number: usize,
        shard: Shard,
        commit: GroupCommit,
        readers: Readers,
        lease: Arc<AtomicU64>,
        wishes: Arc<dyn Wishes>,
        transfers: ToMover,
    ) -> Self {
        Self {
            number,
            shard,
            commit,
            readers,
            lease,
            wishes,
            links: FxHashMap::default(),
            transfers,
            dead_letters: FxHashMap::default(),
            connections: FxHashMap::default(),
            statuses: FxHashMap::default(),
            requests: 0,
            inputs: Vec::new(),
            rooms: Vec::new(),
            effects: Effects::default(),
            replies: FxHashMap::default(),
        }
    }

    /// Runs until [`Mail::Stop`].
    pub(super) async fn run(mut self, mut mails: mpsc::UnboundedReceiver<Mail>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(MAILS);
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => self.inputs.push(Input::Tick),
                count = mails.recv_many(&mut taken, MAILS) => {
                    if count == 0 {
                        return;
                    }
                }
            }
            for mail in taken.drain(..) {
                if matches!(mail, Mail::Stop) {
                    self.turn();
                    return;
                }
                self.take(mail);
            }
            self.turn();
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Input(input) => {
                match &input {
                    Input::Queue(info) => self.dead_letter(info),
                    Input::Deleted(queue) => drop(self.dead_letters.remove(queue)),
                    _ => {}
                }
                self.inputs.push(input);
            }
            Mail::Inputs(mut inputs) => self.inputs.append(&mut inputs),
            Mail::Peer(from, words, room) => {
                self.inputs.push(Input::Peer { from, words });
                self.rooms.push(room);
            }
            // What the shard said before it knew of the change must not go over
            // the new link: a turn ends here.
            Mail::LinkUp(process, link) => {
                self.turn();
                self.links.insert(process.node, link);
                self.inputs.push(Input::LinkUp(process));
            }
            Mail::LinkDown(node) => {
                self.turn();
                self.links.remove(&node);
                self.inputs.push(Input::LinkDown(node));
            }
            Mail::Register(connection, to) => {
                self.connections.insert(connection, to);
            }
            Mail::Unregister(connection) => {
                self.connections.remove(&connection);
            }
            Mail::Status(only, answer) => {
                self.requests += 1;
                self.statuses.insert(self.requests, answer);
                self.inputs.push(Input::Status { request: self.requests, only });
            }
            Mail::Stop => {}
        }
    }

    /// The rules of a queue may have changed.
    fn dead_letter(&mut self, info: &QueueInfo) {
        match &info.rules.dead_letter {
            Some(to) => self.dead_letters.insert(info.queue, to.clone()),
            None => self.dead_letters.remove(&info.queue),
        };
    }

    /// One turn over the inputs gathered, and what follows from it.
    fn turn(&mut self) {
        if self.inputs.is_empty() {
            return;
        }
        self.shard.turn(clock(), self.inputs.drain(..), &mut self.effects);
        // The last point before anything leaves (§6.7): the turn may have taken
        // long, or the process been suspended in it.
        if self.effects.leased {
            let moment = now();
            if moment.0 >= self.lease.load(Relaxed) {
                self.shard.lease_lost(moment, &mut self.effects);
            }
        }
        let Effects { writes, ticket, words, replies, wishes, transfers, reads, statuses, alarms, .. } =
            std::mem::take(&mut self.effects);
        if !writes.is_empty() {
            self.commit.submit(Submission { shard: self.number, ticket, writes });
        }
        self.send(words);
        self.reply(replies);
        for request in reads {
            self.readers.read(self.number, request);
        }
        if !wishes.is_empty() {
            self.wishes.wish(wishes);
        }
        if !transfers.is_empty() {
            let moves = transfers.into_iter().map(|(queue, transfers)| {
                let dead_letter = self.dead_letters.get(&queue).cloned();
                Moves { queue, dead_letter, transfers }
            });
            // Without a mover the node is about to stop.
            let _ = self.transfers.send(moves.collect());
        }
        for (request, queues) in statuses {
            if let Some(answer) = self.statuses.remove(&request) {
                // Whoever asked may have gone.
                let _ = answer.send(queues);
            }
        }
        for (queue, alarm) in alarms {
            tracing::error!(%queue, "{alarm}");
        }
        self.rooms.clear();
    }

    /// Words of a turn: one send a peer. Words for a peer whose link is down are
    /// dropped; whoever said them says them again when it is up.
    fn send(&mut self, words: Vec<(NodeId, QueueId, QueueWord)>) {
        let mut peers: Vec<(NodeId, Vec<(QueueId, QueueWord)>)> = Vec::new();
        for (node, queue, word) in words {
            match peers.iter_mut().find(|(peer, _)| *peer == node) {
                Some((_, words)) => words.push((queue, word)),
                None => peers.push((node, vec![(queue, word)])),
            }
        }
        for (node, words) in peers {
            if let Some(link) = self.links.get(&node) {
                link.send(words);
            }
        }
    }

    /// Replies of a turn: one send a connection.
    fn reply(&mut self, replies: Vec<(u64, u16, ToChannel)>) {
        for (connection, channel, event) in replies {
            self.replies.entry(connection).or_default().push((channel, event));
        }
        for (connection, events) in self.replies.drain() {
            if let Some(to) = self.connections.get(&connection) {
                // A connection that has ended unregisters presently.
                let _ = to.send(events);
            }
        }
    }
}
