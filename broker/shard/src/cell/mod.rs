//! One queue on one node: its replica if the node has a copy, its leader side
//! if the node leads it, and the entry side of the clients connected here.
//! `actions` is what follows from a step of the replica, `reads` what is read back.

mod actions;
mod reads;

use std::collections::VecDeque;
use std::sync::Arc;

use warren_queue::Rules;
use warren_replication::message::{QueueWord, ToEntry, ToLeader};
use warren_replication::mutation::{self, Mutation};
use warren_replication::recovery::Recovery;
use warren_replication::replica::Replica;
use warren_replication::step::{Action, Event};
use warren_replication::types::{Assignment, Boot, Epoch, NodeId, Offset, Process, QueueId};

use crate::bodies::Budget;
use crate::entry::Entry;
use crate::handover::{Asks, Handover};
use crate::leader::{Leader, Log};
use crate::step::{Effects, Local, QueueInfo, Transfers, Wish};
use crate::stream::Stream;
use crate::world::World;
pub(crate) use reads::{Reader, Reads};

/// The node's copy of the log.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) replica: Replica,
    /// Which copy of this queue in this run; a dropped one's writes don't count.
    pub(crate) life: u32,
    /// Writes so far, and those that have a ticket.
    pub(crate) written: u64,
    pub(crate) ticketed: u64,
}

/// What a cell works with in a turn.
pub(crate) struct Turn<'a> {
    pub(crate) world: World<'a>,
    pub(crate) effects: &'a mut Effects,
    pub(crate) budget: &'a mut Budget,
    pub(crate) reads: &'a mut Reads,
    /// Scratch.
    pub(crate) actions: &'a mut Vec<Action>,
}

#[derive(Debug)]
pub(crate) struct Cell {
    queue: QueueId,
    assignment: Option<Arc<Assignment>>,
    auto_delete: bool,
    rules: Arc<Rules>,
    copy: Option<Box<Copy>>,
    lives: u32,
    leader: Option<Box<Leader>>,
    /// The leader's side if the queue is a stream; then `leader` is none.
    stream: Option<Box<Stream>>,
    /// As its leader: it is to be led by another node (§6.5).
    handover: Option<Handover>,
    entry: Option<Box<Entry>>,
    /// The reign that this node has claimed with, over the present link.
    attached: Option<(Epoch, Process)>,
    /// Words of the leader that wait for this node's lease (§6.7). As many as the
    /// delivery windows of the consumers here.
    parked: VecDeque<ToEntry>,
    /// Words from before the catalog said so here.
    early: VecDeque<(Process, QueueWord)>,
    early_bytes: usize,
    /// It is in this turn's list.
    pub(crate) touched: bool,
    /// It is in the list of those that want ticks.
    pub(crate) ticking: bool,
}

impl Cell {
    pub(crate) fn new(queue: QueueId) -> Self {
        Self {
            queue,
            assignment: None,
            auto_delete: false,
            rules: Arc::default(),
            copy: None,
            lives: 0,
            leader: None,
            stream: None,
            handover: None,
            entry: None,
            attached: None,
            parked: VecDeque::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            touched: false,
            ticking: false,
        }
    }

    pub(crate) fn recovered(&mut self, replica: Replica) {
        self.lives += 1;
        self.copy = Some(Box::new(Copy { replica, life: self.lives, written: 0, ticketed: 0 }));
    }

    pub(crate) fn copy(&self) -> Option<&Copy> {
        self.copy.as_deref()
    }

    pub(crate) fn copy_mut(&mut self) -> Option<&mut Copy> {
        self.copy.as_deref_mut()
    }

    pub(crate) fn leader(&self) -> Option<&Leader> {
        self.leader.as_deref()
    }

    /// Said to an entry node without a lease.
    pub(crate) fn hold_back(&mut self, to: NodeId, word: ToEntry) {
        if let Some(leader) = &mut self.leader {
            leader.hold_back(to, word);
        } else if let Some(stream) = &mut self.stream {
            stream.hold_back(to, word);
        }
    }

    /// Processes have gone, or a later boot of a node is registered.
    pub(crate) fn look_for_gone(&mut self, registered: Option<(NodeId, Boot)>, world: &World<'_>) {
        if let Some(leader) = &mut self.leader {
            if let Some((node, boot)) = registered {
                leader.registered(node, boot);
            }
            leader.look_for_gone(world);
        } else if let Some(stream) = &mut self.stream {
            if registered.is_some() {
                stream.registered();
            }
            stream.look_for_gone(world);
        }
    }

    pub(crate) fn leader_mut(&mut self) -> Option<&mut Leader> {
        self.leader.as_deref_mut()
    }

    pub(crate) fn is_leading(&self) -> bool {
        self.leader.is_some() || self.stream.is_some()
    }

    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.stream.as_deref()
    }

    pub(crate) fn entry_mut(&mut self) -> Option<&mut Entry> {
        self.entry.as_deref_mut()
    }

    pub(crate) fn assignment(&self) -> Option<&Arc<Assignment>> {
        self.assignment.as_ref()
    }

    /// Whether it has to hear of the time.
    pub(crate) fn wants_ticks(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| !copy.replica.is_quiet())
            || self.leader.as_ref().is_some_and(|leader| leader.wants_ticks())
            || self.stream.as_ref().is_some_and(|stream| stream.wants_ticks())
            || self.entry.as_ref().is_some_and(|entry| entry.is_waiting() || entry.has_just_answered())
            || !self.parked.is_empty()
            || self.handover.is_some()
    }

    /// Nothing of an older epoch, or from before a break of the link, is handed
    /// out from here on (§6.8).
    fn detach(&mut self) {
        self.attached = None;
        self.parked.clear();
        if let Some(entry) = &mut self.entry {
            entry.detach();
        }
    }

    /// One event for the replica, if there is one.
    pub(crate) fn step(&mut self, event: Event, turn: &mut Turn<'_>) {
        if let Some(copy) = &mut self.copy {
            copy.replica.step(turn.world.clock(), event, turn.actions);
            self.absorb(turn);
        }
    }

    /// The applied catalog has this of the queue now.
    pub(crate) fn assigned(&mut self, info: QueueInfo, turn: &mut Turn<'_>) {
        let QueueInfo { assignment, handover, auto_delete, rules, .. } = info;
        self.auto_delete = auto_delete;
        self.rules = rules;
        let before = self.assignment.replace(Arc::clone(&assignment));
        let me = turn.world.me;
        let member = me.member();
        let keeps = assignment.replicas.contains(&me.node)
            || assignment.isr.contains(&member)
            || assignment.eligible.contains(&member);
        if keeps && self.copy.is_none() {
            let settings = turn.world.settings.replica.clone();
            self.recovered(Replica::new(me, Recovery::empty(self.queue), settings));
        }
        if before.as_ref().is_none_or(|before| before.epoch != assignment.epoch) {
            self.detach();
            if let Some(entry) = &mut self.entry {
                entry.failed_over(&mut turn.effects.replies);
            }
        }
        self.step(Event::Assigned(Arc::clone(&assignment)), turn);
        if let Some(leader) = &mut self.leader {
            leader.assigned(&assignment);
        }
        if let (Some(leader), Some(copy)) = (&mut self.leader, &mut self.copy) {
            let mut log = Log { clock: turn.world.clock(), replica: &mut copy.replica, actions: turn.actions };
            leader.adopt(&self.rules, &mut log);
        }
        if let Some(stream) = &mut self.stream {
            stream.adopt(&self.rules);
        }
        self.plan_handover(handover, turn);
        // §6.6: only the applied catalog makes a node drop its copy, and only if
        // that is not history: a leader may have taken the node in again since,
        // and count what it was told of this very copy.
        if !keeps && self.copy.as_ref().is_some_and(|copy| copy.replica.told() <= assignment.version) {
            self.drop_copy(turn);
        }
        self.attach(turn);
        self.early_bytes = 0;
        for (from, word) in std::mem::take(&mut self.early) {
            self.peer(from, word, turn);
        }
    }

    /// What the catalog says of a handover. The end of a plan in the same reign
    /// comes with a version above all that this leader has asked for: it may hand
    /// out again (§6.5).
    fn plan_handover(&mut self, to: Option<NodeId>, turn: &Turn<'_>) {
        let leads = self.assignment.as_ref().is_some_and(|assignment| self.leads(assignment.epoch));
        let last = self.copy.as_ref().map(|copy| copy.replica.last().index);
        match (to, &mut self.handover) {
            (Some(to), Some(handover)) if leads && handover.to() == to => handover.amended(),
            (Some(to), _) if leads => {
                self.handover = Some(Handover::new(to, last.unwrap_or_default(), turn.world.now));
            }
            _ => self.handover = None,
        }
        if let Some(leader) = &mut self.leader {
            leader.released = self.handover.as_ref().is_some_and(Handover::released);
        }
    }

    /// A handover goes on, if there is one. What this turn has gathered to hand
    /// out leaves before the catalog is asked.
    fn hand_over(&mut self, turn: &mut Turn<'_>) {
        let (Some(handover), Some(copy), Some(assignment)) = (&mut self.handover, &self.copy, &self.assignment) else {
            return;
        };
        let free = self.leader.as_mut().is_none_or(|leader| leader.is_alone(&turn.world));
        let wish = match handover.step(turn.world.now, free, &copy.replica, turn.world.settings) {
            Some(Asks::Election(to)) => Wish::HandOver { from: Arc::clone(assignment), to },
            Some(Asks::ToGoOn) => Wish::KeepLeading(Arc::clone(assignment)),
            None => return,
        };
        if let Some(leader) = &mut self.leader {
            leader.released = handover.released();
        }
        turn.effects.wishes.push((self.queue, wish));
    }

    fn end_reign(&mut self, turn: &mut Turn<'_>) {
        self.handover = None;
        if let Some(leader) = self.leader.take()
            && leader.end(turn.budget)
        {
            turn.effects.transfers.push((self.queue, Transfers::Over));
        }
        if let Some(stream) = self.stream.take() {
            stream.end(turn.budget);
        }
    }

    fn drop_copy(&mut self, turn: &mut Turn<'_>) {
        self.end_reign(turn);
        self.copy = None;
        turn.effects.writes.push((self.queue, None));
    }

    /// Claims with the leader, if there is one within reach that has no claim yet.
    fn attach(&mut self, turn: &mut Turn<'_>) {
        let Some(assignment) = &self.assignment else { return };
        let Some(leader) = assignment.leader else { return };
        let reign = (assignment.epoch, leader);
        let here = leader == turn.world.me;
        let ready = if here { self.leads(assignment.epoch) } else { turn.world.linked(leader) };
        if self.attached == Some(reign) || !ready {
            return;
        }
        self.attached = Some(reign);
        let node = turn.world.me.node;
        match &mut self.entry {
            Some(entry) => entry.attach(node, turn.world.now, turn.world.settings),
            // An empty claim ends the grace all the same.
            None => self.say_to_leader(ToLeader::Claim { node, consumers: Vec::new(), held: Vec::new() }, turn),
        }
    }

    fn leads(&self, epoch: Epoch) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.epoch == epoch)
            || self.stream.as_ref().is_some_and(|stream| stream.epoch == epoch)
    }

    fn say_to_leader(&mut self, word: ToLeader, turn: &mut Turn<'_>) {
        let Some((epoch, process)) = self.attached else { return };
        if process == turn.world.me {
            self.leader_word(process, word, turn);
        } else {
            turn.effects.words.push((process.node, self.queue, QueueWord::ToLeader(epoch, word)));
        }
    }

    fn leader_word(&mut self, from: Process, word: ToLeader, turn: &mut Turn<'_>) {
        let Some(copy) = &mut self.copy else { return };
        let mut log = Log { clock: turn.world.clock(), replica: &mut copy.replica, actions: turn.actions };
        if let Some(leader) = &mut self.leader {
            leader.word(from, word, &mut log, &turn.world);
        } else if let Some(stream) = &mut self.stream {
            stream.word(from, word, &mut log);
        }
    }

    /// The entry side, made if nothing was going on here.
    fn entry_made(&mut self, turn: &Turn<'_>) -> &mut Entry {
        let attached = self.attached.is_some();
        self.entry.get_or_insert_with(|| {
            let mut entry = Box::<Entry>::default();
            if attached {
                // The empty claim has been said.
                entry.attached(turn.world.now, turn.world.settings);
            }
            entry
        })
    }

    /// From a channel of this node.
    pub(crate) fn local(&mut self, local: Local, turn: &mut Turn<'_>) {
        let entry = self.entry_made(turn);
        entry.local(turn.world.now, local);
    }

    /// A word from a peer.
    pub(crate) fn peer(&mut self, from: Process, word: QueueWord, turn: &mut Turn<'_>) {
        let known = self.assignment.as_ref().map(|assignment| assignment.epoch);
        match word {
            QueueWord::Mirror(message) => {
                if self.copy.is_some() {
                    self.step(Event::Mirror { from, message }, turn);
                } else {
                    self.keep_early(from, QueueWord::Mirror(message), turn);
                }
            }
            QueueWord::ToLeader(epoch, word) => {
                if self.leads(epoch) || (self.is_leading() && mutation::on(Mutation::LeadOldWords)) {
                    self.leader_word(from, word, turn);
                } else if known.is_none_or(|known| known < epoch) {
                    self.keep_early(from, QueueWord::ToLeader(epoch, word), turn);
                }
                // Of an epoch that is over: its sender will say it again (§6.8).
            }
            QueueWord::ToEntry(epoch, word) => {
                if self.attached == Some((epoch, from)) || mutation::on(Mutation::HearOldReign) {
                    self.entry_word(word, turn);
                }
            }
        }
    }

    /// A word of the leader that has our claim. What needs a lease waits for this
    /// node's own: with one, the node knows of every epoch whose leader may have
    /// begun to serve, so that what an old one said long ago goes to nobody.
    fn entry_word(&mut self, word: ToEntry, turn: &mut Turn<'_>) {
        let unleased = needs_lease(&word) && !turn.world.leased() && !mutation::on(Mutation::HandOutUnleased);
        if !self.parked.is_empty() || unleased {
            self.parked.push_back(word);
            return;
        }
        turn.effects.leased |= needs_lease(&word) && !mutation::on(Mutation::HandOutUnleased);
        self.entry_word_now(word, turn);
    }

    fn entry_word_now(&mut self, word: ToEntry, turn: &mut Turn<'_>) {
        if matches!(word, ToEntry::Deliver { .. } | ToEntry::Got { .. }) {
            // Whoever asked may be gone: then it goes back.
            self.entry_made(turn);
        }
        if let Some(entry) = &mut self.entry {
            let queue = (self.queue, self.rules.counted);
            entry.word(turn.world.now, queue, word, turn.world.settings, &mut turn.effects.replies);
        }
    }

    /// Kept until the catalog catches up here. What is large is dropped beyond a
    /// bound, for it will be sent again: by a leader that nobody answers, by an
    /// entry node that hears nothing.
    fn keep_early(&mut self, from: Process, word: QueueWord, turn: &mut Turn<'_>) {
        let bytes = match &word {
            QueueWord::Mirror(_) | QueueWord::ToLeader(_, ToLeader::Publish { .. }) => size(&word),
            // As many as the sender's clients have unanswered.
            _ => 0,
        };
        if self.early_bytes + bytes <= turn.world.settings.early_bytes {
            self.early_bytes += bytes;
            self.early.push_back((from, word));
        }
    }

    /// The link to this process is up.
    pub(crate) fn link_up(&mut self, process: Process, turn: &mut Turn<'_>) {
        self.step(Event::LinkUp(process), turn);
        self.attach(turn);
    }

    /// The link to this node broke.
    pub(crate) fn link_down(&mut self, node: NodeId, turn: &mut Turn<'_>) {
        self.early.retain(|(from, _)| from.node != node);
        self.early_bytes = self.early.iter().map(|(_, word)| size(word)).sum();
        if self.attached.is_some_and(|(_, leader)| leader.node == node) {
            self.detach();
        }
        if let Some(leader) = &mut self.leader {
            leader.link_down(node);
            leader.look_for_gone(&turn.world);
        }
        if let Some(stream) = &mut self.stream {
            stream.link_down(node);
            stream.look_for_gone(&turn.world);
        }
        self.step(Event::LinkDown(node), turn);
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        self.step(Event::Tick, turn);
        if let Some(entry) = &mut self.entry {
            entry.tick(turn.world.now, turn.world.settings);
        }
    }

    /// Messages that were moved on are gone from here, once that is in the log.
    pub(crate) fn transferred(&mut self, epoch: Epoch, offsets: Vec<Offset>, turn: &mut Turn<'_>) {
        if let (Some(leader), Some(copy)) = (&mut self.leader, &mut self.copy)
            && leader.epoch == epoch
        {
            let mut log = Log { clock: turn.world.clock(), replica: &mut copy.replica, actions: turn.actions };
            leader.transferred(offsets, &mut log);
        }
    }

    /// The end of a turn for this queue: everything that can go on does, and
    /// what it gathered for the log becomes one entry.
    pub(crate) fn finish(&mut self, turn: &mut Turn<'_>) {
        if turn.world.leased() {
            self.with_a_lease(turn);
        }
        loop {
            if let Some(entry) = &mut self.entry {
                entry.flush(self.queue, &mut turn.effects.replies);
                for word in std::mem::take(&mut entry.out) {
                    self.say_to_leader(word, turn);
                }
            }
            if let (Some(leader), Some(copy)) = (&mut self.leader, &mut self.copy) {
                let mut log = Log { clock: turn.world.clock(), replica: &mut copy.replica, actions: turn.actions };
                let wish = leader.pump(&mut log, turn.budget, &turn.world, self.auto_delete);
                turn.effects.wishes.extend(wish.map(|wish| (self.queue, wish)));
                copy.replica.seal(turn.world.clock(), turn.actions);
                leader.sealed(copy.replica.last().index);
            }
            if let (Some(stream), Some(copy)) = (&mut self.stream, &mut self.copy) {
                let mut log = Log { clock: turn.world.clock(), replica: &mut copy.replica, actions: turn.actions };
                stream.pump(&mut log, turn.budget, &turn.world);
                copy.replica.seal(turn.world.clock(), turn.actions);
            }
            self.absorb(turn);
            self.hand_out(turn);
            self.read_ahead(turn);
            self.move_on(turn);
            let more = self.entry.as_ref().is_some_and(|entry| entry.has_more());
            if !more {
                break;
            }
        }
        self.hand_over(turn);
        if let Some(entry) = &mut self.entry {
            entry.trim(turn.world.settings);
        }
        if self.entry.as_ref().is_some_and(|entry| entry.is_idle()) {
            self.entry = None;
        }
    }

    /// What waited for the lease on this node, now that there is one.
    fn with_a_lease(&mut self, turn: &mut Turn<'_>) {
        for word in std::mem::take(&mut self.parked) {
            turn.effects.leased |= needs_lease(&word) && !mutation::on(Mutation::HandOutUnleased);
            self.entry_word_now(word, turn);
        }
        let (queue, me, effects) = (self.queue, turn.world.me, &mut *turn.effects);
        let mut here = Vec::new();
        let mut say = |epoch, to, word| {
            if to == me.node {
                here.push((epoch, word));
            } else {
                effects.leased = true;
                effects.words.push((to, queue, QueueWord::ToEntry(epoch, word)));
            }
        };
        if let Some(leader) = self.leader.as_mut().filter(|leader| !leader.released) {
            let epoch = leader.epoch;
            leader.release(|to, word| say(epoch, to, word));
        } else if let Some(stream) = &mut self.stream {
            let epoch = stream.epoch;
            stream.release(|to, word| say(epoch, to, word));
        }
        for (epoch, word) in here {
            if self.attached == Some((epoch, me)) {
                self.entry_word(word, turn);
            }
        }
    }

    /// The queue is gone from the applied catalog (§5.6).
    pub(crate) fn deleted(mut self, turn: &mut Turn<'_>) {
        if self.copy.is_some() {
            self.drop_copy(turn);
        }
        if let Some(entry) = self.entry.take() {
            entry.deleted(self.queue, &mut turn.effects.replies);
        }
    }
}

/// Whether only a lease allows to say this (§6.7).
pub(crate) fn needs_lease(word: &ToEntry) -> bool {
    matches!(
        word,
        ToEntry::Deliver { .. }
            | ToEntry::Got { .. }
            | ToEntry::Empty { .. }
            | ToEntry::Purged { .. }
            | ToEntry::Counted { .. }
    )
}

/// About how many bytes a word keeps.
fn size(word: &QueueWord) -> usize {
    use warren_replication::message::MirrorMessage;
    const WORD: usize = 64;
    WORD + match word {
        QueueWord::Mirror(MirrorMessage::Append { entries, .. }) => entries.iter().map(bytes::Bytes::len).sum(),
        QueueWord::Mirror(MirrorMessage::Install { checkpoint, .. }) => checkpoint.len(),
        QueueWord::ToLeader(_, ToLeader::Publish { messages, .. }) => {
            messages.iter().map(|(_, message)| WORD + message.weight()).sum()
        }
        _ => 0,
    }
}
