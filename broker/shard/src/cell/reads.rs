//! Reads of the store for one queue: who asks, what for, and whose the answer is.

use std::collections::VecDeque;

use warren_replication::step::Event;
use warren_replication::types::{Index, NodeId, Offset, QueueId};

use super::{Cell, Turn};
use crate::seek::Wanted;
use crate::step::ReadRequest;

/// For whom the store reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// A mirror that is behind, or the own replica.
    Replica(NodeId, Index),
    /// What the rules want to know of messages.
    Intake,
    Bodies,
    /// For those that move on.
    Moves,
    /// Of a stream.
    Readers,
    /// To know what a message weighs.
    Sample,
}

/// Reads on their way.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    next: u64,
    waiting: rustc_hash::FxHashMap<u64, (QueueId, u32, Reader)>,
    /// By which a replica goes over its own log: the one under way, and those that
    /// wait for it, so that of all queues one is in memory.
    going_over: Option<u64>,
    behind: VecDeque<ReadRequest>,
}

impl Reads {
    pub(crate) fn answered(&mut self, request: u64) -> Option<(QueueId, u32, Reader)> {
        self.waiting.remove(&request)
    }

    /// A read that others of its kind may have to wait for: now, if it is alone.
    pub(super) fn in_turn(&mut self, read: ReadRequest) -> Option<ReadRequest> {
        if self.going_over.is_some() {
            self.behind.push_back(read);
            return None;
        }
        self.going_over = Some(read.request);
        Some(read)
    }

    /// The next one of that kind, if it was one that was answered.
    pub(crate) fn next_in_turn(&mut self, answered: u64) -> Option<ReadRequest> {
        self.going_over.take_if(|request| *request == answered)?;
        let next = self.behind.pop_front();
        self.going_over = next.as_ref().map(|read| read.request);
        next
    }

    pub(super) fn ask(&mut self, queue: QueueId, life: u32, reader: Reader) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, (queue, life, reader));
        self.next
    }
}

impl Cell {
    /// The answer to a read.
    pub(crate) fn read(&mut self, request: u64, reader: Reader, entries: Vec<bytes::Bytes>, turn: &mut Turn<'_>) {
        match reader {
            Reader::Replica(reader, first) => self.step(Event::LogRead { reader, first, entries }, turn),
            Reader::Intake | Reader::Bodies | Reader::Moves => {
                if let (Some(leader), Some(copy)) = (&mut self.leader, &self.copy) {
                    let (ledger, settings) = (copy.replica.ledger(), turn.world.settings);
                    leader.read((reader, request), &entries, ledger, turn.budget, settings);
                }
            }
            Reader::Readers => {
                if let (Some(stream), Some(copy)) = (&mut self.stream, &self.copy) {
                    stream.fetched(request, &entries, &copy.replica, turn.budget, turn.world.settings);
                }
            }
            Reader::Sample => {
                if let Some(leader) = &mut self.leader {
                    leader.weigh(&entries);
                }
            }
        }
    }

    pub(super) fn read_ahead(&mut self, turn: &mut Turn<'_>) {
        if let (Some(stream), Some(copy)) = (&mut self.stream, &self.copy) {
            let (queue, reads, asked) = (self.queue, &mut *turn.reads, &mut turn.effects.reads);
            stream.fetch(&copy.replica, turn.world.settings, |first, max_bytes| {
                let request = reads.ask(queue, copy.life, Reader::Readers);
                asked.push(ReadRequest { request, queue, first, max_bytes });
                request
            });
        }
        let (Some(leader), Some(copy)) = (&mut self.leader, &self.copy) else { return };
        if let Some(offset) = leader.supply.unweighed() {
            let first = copy.replica.locate(offset);
            let request = turn.reads.ask(self.queue, copy.life, Reader::Sample);
            let max_bytes = turn.world.settings.sample_bytes;
            turn.effects.reads.push(ReadRequest { request, queue: self.queue, first, max_bytes });
        }
        for reader in [Reader::Intake, Reader::Bodies, Reader::Moves] {
            let Some(wanted) = leader.wanted(reader, turn.world.settings) else { continue };
            let first = match wanted {
                Wanted::Offset(offset) => copy.replica.locate(Offset(offset)),
                Wanted::Index(index, _) => index,
            };
            let request = turn.reads.ask(self.queue, copy.life, reader);
            leader.asked(reader, request, wanted);
            let max_bytes = turn.world.settings.read_bytes;
            turn.effects.reads.push(ReadRequest { request, queue: self.queue, first, max_bytes });
        }
    }
}
