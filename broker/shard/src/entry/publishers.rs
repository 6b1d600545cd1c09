//! The sessions of this node that publish to a queue: every publish is kept
//! until it is answered, and answered once, however often it is sent (§4.8).

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use warren_replication::message::{Message, ToLeader};
use warren_replication::types::{Moment, QueueId, Session};

use super::Replies;
use crate::settings::Settings;
use crate::step::ToChannel;

/// A publish that nobody has answered yet.
#[derive(Debug)]
struct Publish {
    sequence: u64,
    since: Moment,
    message: Message,
}

/// What one session has going here.
#[derive(Debug, Default)]
struct Publisher {
    /// In sequence.
    pending: VecDeque<Publish>,
    /// The last sequence given to this queue.
    last: u64,
    /// Its channel is gone: the session ends when nothing is pending.
    closed: bool,
    /// This turn's answers.
    confirmed: Vec<(u64, u64)>,
    refused: Vec<(u64, u64)>,
    /// The last "from there again" that was obeyed, and when.
    again: Option<(u64, Moment)>,
}

impl Publisher {
    /// Says what is pending from this sequence on again.
    fn resend(&self, session: Session, from: u64, settings: &Settings, out: &mut Vec<ToLeader>) {
        let Some(floor) = self.pending.front().map(|p| p.sequence) else { return };
        let start = self.pending.partition_point(|p| p.sequence < from);
        // What lies below the floor needs no predecessor (§4.8).
        let mut prev = match start.checked_sub(1) {
            Some(before) => self.pending[before].sequence,
            None => floor - 1,
        };
        let mut messages = Vec::new();
        let mut bytes = 0;
        for publish in self.pending.range(start..) {
            if bytes >= settings.resend_bytes {
                let batch: Vec<(u64, Message)> = std::mem::take(&mut messages);
                let last = batch.last().map_or(prev, |(sequence, _)| *sequence);
                out.push(ToLeader::Publish { session, floor, prev, messages: batch });
                prev = last;
                bytes = 0;
            }
            bytes += publish.message.weight();
            messages.push((publish.sequence, publish.message.clone()));
        }
        if !messages.is_empty() {
            out.push(ToLeader::Publish { session, floor, prev, messages });
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Publishers {
    sessions: FxHashMap<Session, Publisher>,
    /// Those with answers of this turn.
    answered: Vec<Session>,
    /// Ended lately.
    ended: VecDeque<Session>,
}

fn add(ranges: &mut Vec<(u64, u64)>, sequence: u64) {
    match ranges.last_mut() {
        Some((_, last)) if *last + 1 == sequence => *last = sequence,
        _ => ranges.push((sequence, sequence)),
    }
}

impl Publishers {
    /// Whether nobody publishes.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether no end of a session would have to be said to a new leader.
    pub(super) fn none_ended(&self) -> bool {
        self.ended.is_empty()
    }

    /// Whether something is to be told at the end of the turn.
    pub(super) fn has_answers(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Whether an answer is due.
    pub(super) fn is_waiting(&self) -> bool {
        self.sessions.values().any(|p| !p.pending.is_empty())
    }

    /// Keeps the publishes; the word that says them.
    pub(super) fn publish(&mut self, now: Moment, session: Session, messages: Vec<(u64, Message)>) -> Option<ToLeader> {
        let (last, _) = messages.last()?;
        let publisher = self.sessions.entry(session).or_default();
        let prev = std::mem::replace(&mut publisher.last, *last);
        publisher.pending.extend(messages.iter().map(|(sequence, message)| Publish {
            sequence: *sequence,
            since: now,
            message: message.clone(),
        }));
        let floor = publisher.pending.front().map_or(0, |p| p.sequence);
        Some(ToLeader::Publish { session, floor, prev, messages })
    }

    /// Its channel is gone.
    pub(super) fn close(&mut self, session: Session) {
        if let Some(publisher) = self.sessions.get_mut(&session) {
            publisher.closed = true;
            self.answered.push(session);
        }
    }

    /// Says all pending publishes again.
    pub(super) fn resend_all(&self, settings: &Settings, out: &mut Vec<ToLeader>) {
        for session in self.in_order() {
            if let Some(publisher) = self.sessions.get(&session) {
                publisher.resend(session, 0, settings, out);
            }
        }
    }

    /// The leader lacks what this session sent from this sequence on.
    pub(super) fn again(
        &mut self,
        now: Moment,
        session: Session,
        from: u64,
        settings: &Settings,
        out: &mut Vec<ToLeader>,
    ) {
        let Some(publisher) = self.sessions.get_mut(&session) else { return };
        // Every word behind the gap is answered so: obey once.
        let lately = |at| now.micros_since(at) < settings.replica.resend;
        if publisher.again.is_some_and(|(same, at)| same == from && lately(at)) {
            return;
        }
        publisher.again = Some((from, now));
        publisher.resend(session, from, settings, out);
    }

    /// Says the ends of sessions again.
    pub(super) fn say_ended(&self, out: &mut Vec<ToLeader>) {
        out.extend(self.ended.iter().map(|session| ToLeader::EndSession { session: *session }));
    }

    /// Publishes are answered: each exactly once, whatever is said again.
    pub(super) fn answer(&mut self, session: Session, ranges: &[(u64, u64)], confirmed: bool) {
        let Some(publisher) = self.sessions.get_mut(&session) else { return };
        for &(first, last) in ranges {
            let start = match publisher.pending.front() {
                Some(front) if front.sequence >= first => 0,
                _ => publisher.pending.partition_point(|p| p.sequence < first),
            };
            let mut end = start;
            let told = if confirmed { &mut publisher.confirmed } else { &mut publisher.refused };
            while let Some(publish) = publisher.pending.get(end).filter(|p| p.sequence <= last) {
                add(told, publish.sequence);
                end += 1;
            }
            publisher.pending.drain(start..end);
        }
        self.answered.push(session);
    }

    /// Everything is refused.
    pub(super) fn refuse_all(&mut self) {
        for session in self.in_order() {
            self.answer(session, &[(0, u64::MAX)], false);
        }
    }

    fn in_order(&self) -> Vec<Session> {
        let mut sessions: Vec<Session> = self.sessions.keys().copied().collect();
        sessions.sort_unstable();
        sessions
    }

    /// Time passed: publishes that waited too long are nacked (§4.5).
    pub(super) fn tick(&mut self, now: Moment, settings: &Settings) {
        for (session, publisher) in &mut self.sessions {
            let mut late = false;
            while let Some(publish) = publisher.pending.front() {
                if now.micros_since(publish.since) < settings.confirm_timeout {
                    break;
                }
                add(&mut publisher.refused, publish.sequence);
                publisher.pending.pop_front();
                late = true;
            }
            if late {
                self.answered.push(*session);
            }
        }
    }

    /// The end of a turn: its answers as ranges; what is over ends.
    pub(super) fn flush(&mut self, queue: QueueId, replies: &mut Replies, mut say: impl FnMut(ToLeader)) {
        let mut answered = std::mem::take(&mut self.answered);
        for session in answered.drain(..) {
            let Some(publisher) = self.sessions.get_mut(&session) else { continue };
            let confirmed = std::mem::take(&mut publisher.confirmed);
            let refused = std::mem::take(&mut publisher.refused);
            let over = publisher.closed && publisher.pending.is_empty();
            if !confirmed.is_empty() {
                replies.push((session.connection, session.channel, ToChannel::Confirmed(queue, confirmed)));
            }
            if !refused.is_empty() {
                replies.push((session.connection, session.channel, ToChannel::Refused(queue, refused)));
            }
            if over {
                self.sessions.remove(&session);
                self.ended.push_back(session);
                say(ToLeader::EndSession { session });
            }
        }
        self.answered = answered;
    }

    /// Forgets the oldest of the sessions ended lately.
    pub(super) fn trim(&mut self, settings: &Settings) {
        while self.ended.len() > settings.ended_sessions {
            self.ended.pop_front();
        }
    }
}
