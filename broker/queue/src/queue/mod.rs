//! The queue itself: ready, held, leaving; and the gate of a takeover. What its
//! rules demand is in `demands`, what other sites have of it in `consigned`.
//!
//! A message is in exactly one place: *ready* (nobody has it), *held* (a
//! consumer or a get has it), or *leaving* (its settle or return is on its way
//! into the log). Only the commit of that record ends the leaving, so nothing
//! here has to be undone when a commit takes long.

mod consigned;
mod demands;

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::consumers::{Consumers, ExclusiveUse, Options, Window};
use crate::lanes::Lanes;
use crate::ready::Ready;
use crate::rules::Rules;
use crate::timetable::Timetable;
use consigned::Consigned;

/// A message given to a consumer or a get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered<K> {
    /// To whom.
    pub key: K,
    /// Which.
    pub offset: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
}

/// What a settle that was asked for met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It is leaving now: have it committed.
    Leaving,
    /// It was leaving already.
    Already,
    /// No such message.
    Unknown,
}

/// How much is in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready messages.
    pub ready: u64,
    /// Delivered and not acknowledged, as far as the leader was told; or consigned
    /// to another site.
    pub unacked: u64,
    /// Consumers; links of other sites are none.
    pub consumers: u32,
    /// About so many bytes in ready and held messages.
    pub bytes: u64,
    /// Nothing is ready, and a consumer has room that is not one of those of a
    /// negative priority, who take what others leave: federation's links.
    pub wanting: bool,
}

/// Who has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<K> {
    /// Who.
    pub key: K,
    /// The delivery count that it was delivered with.
    pub count: u32,
    /// Whether its settle or return is on its way into the log.
    pub leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Held,
    Returning,
    /// Also if a return went before.
    Settling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    slot: u32,
    weight: u32,
    count: u32,
    stage: Stage,
    /// Where it goes back to.
    lane: u8,
    /// Its time came while it was held.
    overdue: bool,
}

/// A committed message, and what the queue's rules want to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which.
    pub offset: u64,
    /// Its priority; one above the queue's highest counts as that.
    pub priority: u8,
    /// When it is due (milliseconds by the wall clock), if ever.
    pub due: Option<u64>,
    /// What it weighs.
    pub weight: u32,
    /// What its body alone weighs.
    pub body: u32,
}

/// One queue on its leader, for the time that it leads.
#[derive(Debug)]
pub struct Queue<K> {
    ready: Lanes,
    /// Nobody gets them any more: a settle for them is on its way into the log,
    /// or will be once they have moved on.
    leaving: Ready,
    holds: FxHashMap<u64, Hold>,
    /// What is other sites'.
    consigned: Consigned,
    /// Holds whose settle or return is on its way into the log.
    leaving_holds: u64,
    /// The offset after the highest one ever published.
    next: u64,
    /// Below it an earlier leader may have delivered (§6.8).
    inherited: u64,
    /// Only below it may anything be delivered (§3, `Horizon`).
    horizon: u64,
    /// When messages in whatever place are due.
    timetable: Timetable,
    /// Given back after their time had come; they are leaving.
    overdue: Vec<u64>,
    /// False while the grace of a takeover lasts: nothing is delivered.
    open: bool,
    consumers: Consumers<K>,
    /// About how many bytes a message has that was there from the start, of
    /// which no weights are known.
    typical: Option<u32>,
    /// The offset after the last of those.
    unweighed: u64,
    /// Bytes of ready and leaving messages, those without a weight as typical ones.
    ready_bytes: u64,
    held_bytes: u64,
}

impl<K: Copy + Eq + Hash> Queue<K> {
    /// A closed queue: what is live, the offset after the last message, and the
    /// offset below which an earlier leader may have delivered.
    pub fn new(
        window: Window,
        live: impl IntoIterator<Item = std::ops::Range<u64>>,
        next: u64,
        inherited: u64,
    ) -> Self {
        let mut ready = Lanes::default();
        for range in live {
            ready.insert_range(range);
        }
        Self {
            ready,
            leaving: Ready::default(),
            holds: FxHashMap::default(),
            consigned: Consigned::default(),
            leaving_holds: 0,
            next,
            inherited: inherited.min(next),
            horizon: 0,
            timetable: Timetable::default(),
            overdue: Vec::new(),
            open: false,
            consumers: Consumers::new(window),
            typical: None,
            unweighed: next,
            ready_bytes: 0,
            held_bytes: 0,
        }
    }

    /// The grace is over: what nobody claimed may be delivered, and to anybody.
    pub fn open(&mut self) {
        self.open = true;
        self.consumers.choose_active();
    }

    /// Works by these rules from now on.
    pub fn adopt(&mut self, rules: &Rules) {
        self.ready.up_to(rules.max_priority);
        self.ready.count_bodies(rules.max_bytes.is_some());
        self.consumers.set_single_active(rules.single_active);
        if self.open {
            self.consumers.choose_active();
        }
    }

    /// Whether the grace is over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Messages below this offset may be delivered from now on.
    pub fn set_horizon(&mut self, horizon: u64) {
        self.horizon = self.horizon.max(horizon);
    }

    /// Messages below this offset may be delivered.
    #[must_use]
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    /// Committed messages, consecutive from `first`; what is known already is
    /// passed over.
    pub fn published(&mut self, first: u64, weights: &[u32]) {
        let end = first + weights.len() as u64;
        let start = first.max(self.next);
        if start >= end {
            return;
        }
        let known = (start - first) as usize;
        self.ready_bytes += weights[known..].iter().map(|w| u64::from(*w)).sum::<u64>();
        self.ready.insert_range(start..end);
        self.next = end;
    }

    /// A sample of the messages that were there from the start weighs so many
    /// bytes a message. Once; the first sample stands.
    pub fn weighed(&mut self, typical: u32) {
        if self.typical.is_some() {
            return;
        }
        self.typical = Some(typical);
        let restored = self.ready.len_below(self.unweighed)
            + self.leaving.len_below(self.unweighed)
            + self.consigned.waiting_below(self.unweighed);
        self.ready_bytes += restored * u64::from(typical);
        for hold in self.holds.values_mut().filter(|hold| hold.weight == 0) {
            hold.weight = typical;
            self.held_bytes += u64::from(typical);
        }
    }

    /// Attaches a consumer at the end of the line, or renews one that is there:
    /// its window is empty and it is served again.
    ///
    /// # Errors
    /// [`ExclusiveUse`] if somebody has the queue for himself, or this one wants
    /// to and others are there.
    pub fn attach(&mut self, key: K, options: Options) -> Result<(), ExclusiveUse> {
        self.consumers.attach(key, options)?;
        if self.open {
            self.consumers.choose_active();
        }
        Ok(())
    }

    /// Detaches a consumer; what it holds stays held. False if it was none, or a
    /// link of another site.
    pub fn detach(&mut self, key: &K) -> bool {
        let was = self.consumers.detach(key);
        if self.open {
            self.consumers.choose_active();
        }
        was
    }

    /// Sends a consumer nothing until it is attached again.
    pub fn suspend(&mut self, key: &K) {
        self.consumers.suspend(key);
    }

    /// Whether it is attached.
    #[must_use]
    pub fn is_attached(&self, key: &K) -> bool {
        self.consumers.is_attached(key)
    }

    /// The attached consumers in attach order.
    #[must_use]
    pub fn consumers(&self) -> Vec<K> {
        self.consumers.keys()
    }

    /// So many deliveries of this consumer reached its socket.
    pub fn written(&mut self, key: &K, messages: u32) {
        self.consumers.written(key, messages);
    }

    /// Whether some consumer has room for a message.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.consumers.front().is_some()
    }

    /// The lowest ready message, deliverable or not.
    #[must_use]
    pub fn first_ready(&self) -> Option<u64> {
        self.ready.first()
    }

    /// The lowest ready message that is not below `offset`.
    #[must_use]
    pub fn first_ready_from(&self, offset: u64) -> Option<u64> {
        self.ready.first_from(offset)
    }

    /// The message that is next, deliverable or not.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.ready.head()
    }

    /// Whether this message is ready.
    #[must_use]
    pub fn is_ready(&self, offset: u64) -> bool {
        self.ready.contains(offset)
    }

    /// The message that is next to go out, if one may.
    #[must_use]
    pub fn deliverable(&self) -> Option<u64> {
        if !self.open {
            return None;
        }
        self.ready.head().filter(|offset| *offset < self.horizon)
    }

    /// Gives the deliverable message to the consumer whose turn it is. `weight`
    /// is the message's, `count` its committed delivery count.
    pub fn deliver(&mut self, weight: u32, count: u32) -> Option<Delivered<K>> {
        self.deliverable()?;
        let slot = self.consumers.front()?;
        let key = self.consumers.key(slot)?;
        let (offset, lane) = self.ready.pop()?;
        self.take(offset, Hold { slot, weight, count, stage: Stage::Held, lane, overdue: false });
        self.consumers.served(slot, weight);
        Some(Delivered { key, offset, redelivered: self.redelivered(offset, count) })
    }

    /// Gives the deliverable message to a get, which holds it under `key`.
    pub fn get(&mut self, key: K, weight: u32, count: u32) -> Option<Delivered<K>> {
        self.deliverable()?;
        let (offset, lane) = self.ready.pop()?;
        let slot = self.consumers.slot(key);
        self.take(offset, Hold { slot, weight, count, stage: Stage::Held, lane, overdue: false });
        self.consumers.holds(slot);
        Some(Delivered { key, offset, redelivered: self.redelivered(offset, count) })
    }

    /// An entry node says that it holds this message, delivered with this count:
    /// true if it was free, for him, and the count is the committed one (§6.8).
    pub fn claim(&mut self, offset: u64, key: K, count: u32, committed: u32) -> bool {
        if count != committed {
            return false;
        }
        // A site's links have what is its own, and nothing else; of one that is not
        // attached any more it is not known whose it was.
        let lane = match self.consumers.site(&key) {
            site if self.consigned.contains(offset) => self.consigned.claim(offset, site),
            None => self.ready.remove(offset),
            Some(_) => None,
        };
        let Some(lane) = lane else { return false };
        let slot = self.consumers.slot(key);
        let weight = self.typical.unwrap_or(0);
        self.take(offset, Hold { slot, weight, count, stage: Stage::Held, lane, overdue: false });
        self.consumers.holds(slot);
        true
    }

    /// A message that was given out but never reached its holder is ready again.
    pub fn release(&mut self, offset: u64) -> bool {
        if self.holds.get(&offset).is_none_or(|hold| hold.stage != Stage::Held) {
            return false;
        }
        self.put_back(offset);
        true
    }

    /// Who has this message, leaving or not.
    #[must_use]
    pub fn holder(&self, offset: u64) -> Option<Holder<K>> {
        let hold = self.holds.get(&offset)?;
        let key = self.consumers.key(hold.slot)?;
        Some(Holder { key, count: hold.count, leaving: hold.stage != Stage::Held })
    }

    /// The offset that the next message gets, as far as committed.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.next
    }

    /// What the holders that `whose` picks hold and is not leaving: offset and
    /// count, ascending.
    pub fn held_by(&self, whose: impl Fn(&K) -> bool) -> Vec<(u64, u32)> {
        let mut held: Vec<(u64, u32)> = self
            .holds
            .iter()
            .filter(|(_, hold)| {
                hold.stage == Stage::Held && self.consumers.key(hold.slot).is_some_and(|key| whose(&key))
            })
            .map(|(offset, hold)| (*offset, hold.count))
            .collect();
        held.sort_unstable();
        held
    }

    /// Somebody wants this message settled, whoever holds it.
    pub fn settle(&mut self, offset: u64) -> Leave {
        if let Some(hold) = self.holds.get_mut(&offset) {
            match std::mem::replace(&mut hold.stage, Stage::Settling) {
                Stage::Settling => return Leave::Already,
                Stage::Returning => {}
                Stage::Held => self.leaving_holds += 1,
            }
            self.consumers.leaves(hold.slot);
            Leave::Leaving
        } else if self.ready.remove(offset).is_some() {
            self.leaving.insert(offset);
            Leave::Leaving
        } else if self.leaving.contains(offset) {
            Leave::Already
        } else if self.consigned.forget(offset) {
            self.leaving.insert(offset);
            Leave::Leaving
        } else {
            Leave::Unknown
        }
    }

    /// Its holder wants to give this message back. False if it is not held, or
    /// is leaving already.
    pub fn give_back(&mut self, offset: u64) -> bool {
        let Some(hold) = self.holds.get_mut(&offset) else { return false };
        if hold.stage != Stage::Held {
            return false;
        }
        hold.stage = Stage::Returning;
        self.leaving_holds += 1;
        true
    }

    /// All ready messages are leaving; their ranges, ascending.
    pub fn purge(&mut self) -> Vec<std::ops::Range<u64>> {
        let ranges = self.ready.take_all();
        for range in &ranges {
            self.leaving.insert_range(range.clone());
        }
        ranges
    }

    /// The settle is committed: the message is gone. Who held it, if anybody.
    pub fn settled(&mut self, offset: u64) -> Option<K> {
        let was_consigned = self.consigned.forget(offset);
        if let Some(hold) = self.holds.remove(&offset) {
            self.ready.forget(offset);
            return self.untie(hold);
        }
        let was_here = self.ready.remove(offset).is_some() || self.leaving.remove(offset) || was_consigned;
        self.ready.forget(offset);
        if was_here {
            // Weights of ready messages are not kept one by one.
            let rest = self.ready.len() + self.leaving.len() + self.consigned.idle();
            self.ready_bytes -= self.ready_bytes / (rest + 1);
            if rest == 0 {
                self.ready_bytes = 0;
            }
        }
        None
    }

    /// The return is committed: the message is ready at its place, unless a
    /// settle follows in the log. Who held it.
    pub fn returned(&mut self, offset: u64) -> Option<K> {
        match self.holds.get(&offset)?.stage {
            // Nobody's return of this reign: the holder is another one's.
            Stage::Held => None,
            Stage::Returning => self.put_back(offset),
            Stage::Settling => {
                let hold = self.holds.remove(&offset)?;
                self.consigned.forget(offset);
                self.leaving.insert(offset);
                self.untie(hold)
            }
        }
    }

    /// Whether this message is ready, held, leaving or another site's.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        self.ready.contains(offset)
            || self.holds.contains_key(&offset)
            || self.leaving.contains(offset)
            || self.consigned.contains(offset)
    }

    /// How much is in the queue.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.ready.len(),
            unacked: self.holds.len() as u64 - self.leaving_holds + self.consigned.idle(),
            consumers: self.consumers.attached(),
            bytes: self.ready_bytes + self.held_bytes,
            wanting: self.ready.is_empty() && self.consumers.has_room_from(0),
        }
    }

    fn redelivered(&self, offset: u64, count: u32) -> bool {
        count > 0 || offset < self.inherited
    }

    fn take(&mut self, offset: u64, hold: Hold) {
        // An estimate may run out before the messages do, or the other way round.
        let rest = self.ready_bytes.saturating_sub(u64::from(hold.weight));
        let none = self.ready.is_empty() && self.leaving.is_empty() && self.consigned.idle() == 0;
        self.ready_bytes = if none { 0 } else { rest };
        self.held_bytes += u64::from(hold.weight);
        self.holds.insert(offset, hold);
    }

    fn put_back(&mut self, offset: u64) -> Option<K> {
        let hold = self.holds.remove(&offset)?;
        self.ready_bytes += u64::from(hold.weight);
        if self.consigned.put_back(offset, hold.overdue) {
            // It waits for its site's next link.
        } else if hold.overdue {
            self.leaving.insert(offset);
            self.overdue.push(offset);
        } else {
            self.ready.insert(offset, hold.lane);
        }
        self.untie(hold)
    }

    /// A hold is over, in whichever way.
    fn untie(&mut self, hold: Hold) -> Option<K> {
        let key = self.consumers.key(hold.slot);
        self.held_bytes -= u64::from(hold.weight);
        if hold.stage != Stage::Held {
            self.leaving_holds -= 1;
        }
        if hold.stage != Stage::Settling {
            self.consumers.leaves(hold.slot);
        }
        self.consumers.unnamed(hold.slot);
        key
    }
}
