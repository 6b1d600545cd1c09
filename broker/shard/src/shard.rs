//! The shard: inputs to the queues they concern, a turn's writes under one
//! ticket, and what concerns all queues at once (links, membership, lease).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use warren_replication::message::QueueWord;
use warren_replication::replica::Replica;
use warren_replication::step::{Action, Event};
use warren_replication::types::{Boot, Clock, Moment, NodeId, Process, QueueId};

use crate::bodies::Budget;
use crate::cell::{Cell, Reads, Turn, needs_lease};
use crate::entry::Entry;
use crate::settings::Settings;
use crate::status;
use crate::step::{Effects, Input, Local, ToChannel};
use crate::world::World;

/// Queues written to under one ticket: which copy, and its last write.
type Ticket = (u64, Vec<(QueueId, u32, u64)>);

/// Some of a node's queues.
#[derive(Debug)]
pub struct Shard {
    me: Process,
    settings: Settings,
    cells: FxHashMap<QueueId, Cell>,
    /// The highest queue id that the applied catalog has shown here: lower ones
    /// without a cell are deleted (§5.6).
    highest: Option<QueueId>,
    live: BTreeSet<Process>,
    left: BTreeMap<Process, Moment>,
    boots: FxHashMap<NodeId, Boot>,
    links: FxHashMap<NodeId, Process>,
    /// Sites that are given up for lost.
    lost: BTreeSet<Bytes>,
    lease: Moment,
    /// The wall clock as of this turn.
    wall: u64,
    tickets: VecDeque<Ticket>,
    last_ticket: u64,
    reads: Reads,
    budget: Budget,
    /// Queues of this turn, in the order in which they were touched.
    touched: Vec<QueueId>,
    /// Queues that want to hear of the time.
    ticking: Vec<QueueId>,
    actions: Vec<Action>,
}

impl Shard {
    /// A shard of this process without queues.
    #[must_use]
    pub fn new(me: Process, settings: Settings) -> Self {
        Self {
            me,
            settings,
            cells: FxHashMap::default(),
            highest: None,
            live: BTreeSet::new(),
            left: BTreeMap::new(),
            boots: FxHashMap::default(),
            links: FxHashMap::default(),
            lost: BTreeSet::new(),
            lease: Moment(0),
            wall: 0,
            tickets: VecDeque::new(),
            last_ticket: 0,
            reads: Reads::default(),
            budget: Budget::default(),
            touched: Vec::new(),
            ticking: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// A copy found on disk, before the first turn. It is kept until the
    /// applied catalog says otherwise (§6.6).
    pub fn recover(&mut self, queue: QueueId, replica: Replica) {
        self.cells.entry(queue).or_insert_with(|| Cell::new(queue)).recovered(replica);
    }

    /// The queues known here, ascending; those that the catalog lacks once it
    /// has been applied are to be given as [`Input::Deleted`].
    #[must_use]
    pub fn queues(&self) -> Vec<QueueId> {
        let mut queues: Vec<QueueId> = self.cells.keys().copied().collect();
        queues.sort_unstable();
        queues
    }

    /// The node's copy of a queue, to look at.
    #[must_use]
    pub fn replica(&self, queue: QueueId) -> Option<&Replica> {
        self.cells.get(&queue)?.copy().map(|copy| &copy.replica)
    }

    /// Takes everything that piled up, and says what follows. `effects` should
    /// come in empty; what is in it is kept.
    pub fn turn(&mut self, clock: Clock, inputs: impl IntoIterator<Item = Input>, effects: &mut Effects) {
        let now = clock.now;
        self.wall = clock.wall;
        for input in inputs {
            self.input(now, input, effects);
        }
        let touched = std::mem::take(&mut self.touched);
        let mut ticket = Vec::new();
        for queue in &touched {
            let ticking = &mut self.ticking;
            let Some(cell) = self.cells.get_mut(queue) else { continue };
            cell.touched = false;
            let mut turn = Turn {
                world: World {
                    now,
                    wall: self.wall,
                    me: self.me,
                    lease: self.lease,
                    live: &self.live,
                    left: &self.left,
                    boots: &self.boots,
                    links: &self.links,
                    lost: &self.lost,
                    settings: &self.settings,
                },
                effects: &mut *effects,
                budget: &mut self.budget,
                reads: &mut self.reads,
                actions: &mut self.actions,
            };
            cell.finish(&mut turn);
            if !cell.ticking && cell.wants_ticks() {
                cell.ticking = true;
                ticking.push(*queue);
            }
            if let Some(copy) = cell.copy_mut().filter(|copy| copy.written > copy.ticketed) {
                copy.ticketed = copy.written;
                ticket.push((*queue, copy.life, copy.written));
            }
        }
        self.touched = touched;
        self.touched.clear();
        if !effects.writes.is_empty() {
            self.last_ticket += 1;
            effects.ticket = self.last_ticket;
            self.tickets.push_back((self.last_ticket, ticket));
        }
    }

    /// The driver found the lease gone at the last point before the effects of
    /// this turn leave (§6.7): what needed it is taken out of them. It goes when
    /// the node has a lease again and still leads; what was for clients of this
    /// node goes back to its place.
    pub fn lease_lost(&mut self, now: Moment, effects: &mut Effects) {
        self.lease = now.min(self.lease);
        for (to, queue, word) in std::mem::take(&mut effects.words) {
            match word {
                QueueWord::ToEntry(_, said) if needs_lease(&said) => {
                    let Some(cell) = self.cells.get_mut(&queue) else { continue };
                    cell.hold_back(to, said);
                    touch(cell, queue, &mut self.touched);
                }
                word => effects.words.push((to, queue, word)),
            }
        }
        let all = self.queues();
        effects.replies.retain(|(_, _, reply)| {
            let candidates = match reply {
                ToChannel::Deliver { queue, .. } | ToChannel::Got { queue, .. } => std::slice::from_ref(queue),
                ToChannel::Purged { .. } | ToChannel::Counted { .. } => all.as_slice(),
                _ => return true,
            };
            for queue in candidates {
                let Some(cell) = self.cells.get_mut(queue) else { continue };
                if cell.entry_mut().is_some_and(|entry| entry.unsay(reply)) {
                    touch(cell, *queue, &mut self.touched);
                    return false;
                }
            }
            true
        });
        effects.leased = false;
    }

    fn input(&mut self, now: Moment, input: Input, effects: &mut Effects) {
        match input {
            Input::Local(queue, local) => self.local(now, queue, local, effects),
            Input::Peer { from, words } => {
                // The process of an older boot says nothing that still counts.
                if self.boots.get(&from.node).is_some_and(|boot| *boot > from.boot) {
                    return;
                }
                if self.links.get(&from.node) != Some(&from) {
                    self.link(now, from, effects);
                }
                for (queue, word) in words {
                    if !self.cells.contains_key(&queue) && self.is_deleted(queue) {
                        continue;
                    }
                    self.with(now, queue, effects, |cell, turn| cell.peer(from, word, turn));
                }
            }
            Input::LinkUp(process) => {
                if self.links.get(&process.node).is_some_and(|other| *other != process) {
                    self.link_down(now, process.node, effects);
                }
                self.link(now, process, effects);
            }
            Input::LinkDown(node) => self.link_down(now, node, effects),
            Input::Persisted(ticket) => {
                while self.tickets.front().is_some_and(|(number, _)| *number <= ticket) {
                    let Some((_, writes)) = self.tickets.pop_front() else { break };
                    for (queue, life, written) in writes {
                        let copy = self.cells.get(&queue).and_then(Cell::copy);
                        if copy.is_some_and(|copy| copy.life == life) {
                            self.with(now, queue, effects, |cell, turn| cell.step(Event::Persisted(written), turn));
                        }
                    }
                }
            }
            Input::Transferred(queue, epoch, offsets) => {
                // Of a queue that has been deleted meanwhile nothing comes back.
                if self.cells.contains_key(&queue) {
                    self.with(now, queue, effects, |cell, turn| cell.transferred(epoch, offsets, turn));
                }
            }
            Input::Read { request, entries } => {
                effects.reads.extend(self.reads.next_in_turn(request));
                let Some((queue, life, reader)) = self.reads.answered(request) else { return };
                let copy = self.cells.get(&queue).and_then(Cell::copy);
                if copy.is_some_and(|copy| copy.life == life) {
                    self.with(now, queue, effects, |cell, turn| cell.read(request, reader, entries, turn));
                }
            }
            Input::Queue(info) => {
                self.highest = self.highest.max(Some(info.queue));
                self.with(now, info.queue, effects, |cell, turn| cell.assigned(info, turn));
            }
            Input::Deleted(queue) => {
                self.highest = self.highest.max(Some(queue));
                if let Some(cell) = self.cells.remove(&queue) {
                    self.with_turn(now, effects, |_, turn| cell.deleted(turn));
                }
            }
            Input::Live(live) => self.live(now, live, effects),
            Input::Registered(node, boot) => {
                // In the catalog's order: the last one counts, and with another disk a
                // node's boots begin anew.
                self.boots.insert(node, boot);
                self.left.retain(|process, _| process.node != node || process.boot >= boot);
                self.each_led(now, effects, |cell, turn| cell.look_for_gone(Some((node, boot)), &turn.world));
            }
            Input::Forgotten(node) => {
                self.boots.remove(&node);
            }
            Input::LostSites(lost) => {
                if self.lost != lost {
                    self.lost = lost;
                    // Each led queue looks what that means for it at the end of the turn.
                    self.each_led(now, effects, |_, _| {});
                }
            }
            Input::Lease(until) => self.lease = until,
            Input::Status { request, only } => {
                let mut queues: Vec<_> = match only {
                    Some(queue) => vec![queue],
                    None => self.cells.keys().copied().collect(),
                };
                queues.sort_unstable();
                let statuses = queues.into_iter().filter_map(|queue| {
                    let cell = self.cells.get_mut(&queue)?;
                    let world = World {
                        now,
                        wall: self.wall,
                        me: self.me,
                        lease: self.lease,
                        live: &self.live,
                        left: &self.left,
                        boots: &self.boots,
                        links: &self.links,
                        lost: &self.lost,
                        settings: &self.settings,
                    };
                    status::of(queue, cell, &world)
                });
                effects.statuses.push((request, statuses.collect()));
            }
            Input::Tick => self.tick(now, effects),
        }
    }

    fn is_deleted(&self, queue: QueueId) -> bool {
        self.highest.is_some_and(|highest| queue <= highest)
    }

    fn local(&mut self, now: Moment, queue: QueueId, local: Local, effects: &mut Effects) {
        if !self.cells.contains_key(&queue) && self.is_deleted(queue) {
            // A queue that is gone answers as one that is just being deleted.
            let mut entry = Box::<Entry>::default();
            entry.local(now, local);
            entry.deleted(queue, &mut effects.replies);
            return;
        }
        self.with(now, queue, effects, |cell, turn| cell.local(local, turn));
    }

    fn link(&mut self, now: Moment, process: Process, effects: &mut Effects) {
        if process == self.me {
            return;
        }
        self.links.insert(process.node, process);
        self.each(now, effects, |cell, turn| cell.link_up(process, turn));
    }

    fn link_down(&mut self, now: Moment, node: NodeId, effects: &mut Effects) {
        if self.links.remove(&node).is_some() {
            self.each(now, effects, |cell, turn| cell.link_down(node, turn));
        }
    }

    fn live(&mut self, now: Moment, live: BTreeSet<Process>, effects: &mut Effects) {
        if self.live == live {
            return;
        }
        let shrinks = !self.live.is_subset(&live);
        for process in self.live.difference(&live) {
            self.left.insert(*process, now);
        }
        self.left.retain(|process, _| !live.contains(process));
        self.live = live;
        self.each_led(now, effects, |cell, turn| {
            if shrinks {
                cell.look_for_gone(None, &turn.world);
            }
        });
    }

    fn tick(&mut self, now: Moment, effects: &mut Effects) {
        let mut ticking = std::mem::take(&mut self.ticking);
        ticking.retain(|queue| {
            let Some(cell) = self.cells.get_mut(queue) else { return false };
            cell.ticking = cell.wants_ticks();
            let ticks = cell.ticking;
            // Once more also for one that is quiet now: it may have just become so.
            self.with(now, *queue, effects, Cell::tick);
            ticks
        });
        ticking.append(&mut self.ticking);
        self.ticking = ticking;
    }

    /// Something happens to a queue in this turn.
    fn with(&mut self, now: Moment, queue: QueueId, effects: &mut Effects, act: impl FnOnce(&mut Cell, &mut Turn<'_>)) {
        self.with_turn(now, effects, |cells, turn| {
            let (cells, touched) = cells;
            let cell = cells.entry(queue).or_insert_with(|| Cell::new(queue));
            if touch(cell, queue, touched)
                && let Some(entry) = cell.entry_mut()
            {
                entry.begin();
            }
            act(cell, turn);
            // Nothing of it may be left for the next queue.
            cell.absorb(turn);
        });
    }

    fn with_turn(
        &mut self,
        now: Moment,
        effects: &mut Effects,
        act: impl FnOnce((&mut FxHashMap<QueueId, Cell>, &mut Vec<QueueId>), &mut Turn<'_>),
    ) {
        let mut turn = Turn {
            world: World {
                now,
                wall: self.wall,
                me: self.me,
                lease: self.lease,
                live: &self.live,
                left: &self.left,
                boots: &self.boots,
                links: &self.links,
                lost: &self.lost,
                settings: &self.settings,
            },
            effects,
            budget: &mut self.budget,
            reads: &mut self.reads,
            actions: &mut self.actions,
        };
        act((&mut self.cells, &mut self.touched), &mut turn);
    }

    /// Something happens to all queues.
    fn each(&mut self, now: Moment, effects: &mut Effects, mut act: impl FnMut(&mut Cell, &mut Turn<'_>)) {
        for queue in self.queues() {
            self.with(now, queue, effects, &mut act);
        }
    }

    /// Something happens to all queues led here.
    fn each_led(&mut self, now: Moment, effects: &mut Effects, mut act: impl FnMut(&mut Cell, &mut Turn<'_>)) {
        for queue in self.queues() {
            if self.cells.get(&queue).is_some_and(Cell::is_leading) {
                self.with(now, queue, effects, &mut act);
            }
        }
    }
}

/// Puts a queue on the list of the turn at hand, or of the next one. False if it
/// is there already.
fn touch(cell: &mut Cell, queue: QueueId, touched: &mut Vec<QueueId>) -> bool {
    let new = !std::mem::replace(&mut cell.touched, true);
    if new {
        touched.push(queue);
    }
    new
}
