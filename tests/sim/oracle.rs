//! What must be true whatever happens (§2). It sees what no node sees: every
//! log, every client, all at once.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use warren_queue::{Kind, Reason, Rules};
use warren_replication::consigned::Consignment;
use warren_replication::ledger::Ledger;
use warren_replication::message::{Message, SettleReason};
use warren_replication::record::{self, Entry, Record};
use warren_replication::types::{Epoch, Process, QueueId, Session};
use warren_shard::step::Transfer;

use crate::rng::Rng;
use crate::rules;
use crate::sites::Sites;

/// Who a message was given to: a channel of a process, in one of its uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) process: Process,
    pub(crate) client: usize,
    pub(crate) since: u64,
    /// The site whose link it is.
    pub(crate) site: Option<&'static str>,
}

#[derive(Debug)]
struct Published {
    queue: QueueId,
    session: Session,
    sequence: u64,
    confirmed: bool,
    delivered: bool,
}

#[derive(Debug, Default)]
struct QueueFacts {
    /// What was committed at each index.
    entries: BTreeMap<u64, Bytes>,
    offsets: HashMap<u64, u64>,
    committed: HashMap<u64, u64>,
    /// Settled by a record: the commit index at which a leader had applied it,
    /// and that leader's epoch.
    settled: BTreeMap<u64, (u64, Epoch)>,
    looked_at: BTreeMap<(Process, Epoch), u64>,
    /// The epoch whose leader sent it out last.
    sent: HashMap<u64, Epoch>,
    delivered: HashSet<u64>,
    held: HashMap<u64, Holder>,
    /// The highest epoch whose leader has served consumers.
    served: Epoch,
    purged: bool,
    /// What a stream keeps, and the times of its messages.
    stream: Option<(Arc<Rules>, HashMap<u64, u64>)>,
    rules: Arc<Rules>,
    /// When each was committed by its entry, and how long it waits.
    times: HashMap<u64, (u64, Option<u64>)>,
    /// When a value was taken last.
    values: HashMap<i64, u64>,
    /// Handed to whoever moves messages on.
    moved: HashSet<u64>,
    /// Why each left.
    why: HashMap<u64, SettleReason>,
    /// What other sites have of it.
    sites: Sites,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    next_id: u64,
    published: HashMap<u64, Published>,
    queues: BTreeMap<QueueId, QueueFacts>,
    /// Clients of these processes may see duplicates of what they held before:
    /// their node was cut off for longer than others must wait (§2.7).
    excused: HashMap<Process, u64>,
    /// The first thing that should not be.
    pub(crate) violation: Option<String>,
    pub(crate) deliveries: u64,
    pub(crate) confirms: u64,
    pub(crate) redeliveries: u64,
    pub(crate) moves: u64,
    pub(crate) expired: u64,
    pub(crate) dropped: u64,
    /// Messages that are at other sites.
    pub(crate) shared: u64,
    /// Entries that were stored anew without what was settled.
    pub(crate) hollowed: u64,
}

fn id(message: &Message) -> u64 {
    message.body.get(..8).and_then(|head| head.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
}

/// The messages of an entry that were refused and are kept to be moved on.
fn kept(entry: &Entry) -> HashSet<u64> {
    let mut next = entry.first_offset.0;
    let mut kept = HashSet::new();
    for record in &entry.records {
        let (runs, refused) = match record {
            Record::Publish { runs, .. } => (runs, false),
            Record::Refuse { runs, kept: true, .. } => (runs, true),
            _ => continue,
        };
        let end = next + runs.iter().map(|(first, last)| last - first + 1).sum::<u64>();
        if refused {
            kept.extend(next..end);
        }
        next = end;
    }
    kept
}

impl Holder {
    /// When it got the message, by a wall clock.
    fn wall(&self) -> u64 {
        1_700_000_000_000 + self.since / 1_000
    }
}

impl Oracle {
    pub(crate) fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    fn check(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.fail(what);
        }
    }

    fn queue(&mut self, queue: QueueId) -> &mut QueueFacts {
        self.queues.entry(queue).or_default()
    }

    /// This queue will be a stream.
    pub(crate) fn stream(&mut self, queue: QueueId, rules: &Arc<Rules>) {
        self.queue(queue).stream = Some((Arc::clone(rules), HashMap::new()));
    }

    /// A message reached a reader, which had got everything that was kept from
    /// `begins` on, if that is known.
    pub(crate) fn read(&mut self, queue: QueueId, begins: Option<u64>, offset: u64, message: &Message) {
        self.deliveries += 1;
        let id = id(message);
        let facts = self.queues.entry(queue).or_default();
        let mut wrong = None;
        if facts.committed.get(&id) != Some(&offset) {
            wrong = Some(format!("message {id} was read as {offset} and nobody committed that"));
        }
        if let Some(begins) = begins {
            if offset < begins {
                wrong = Some(format!("{offset} was read, and {begins} was to come next"));
            }
            if let Some(missing) = (begins..offset).find(|missing| !facts.settled.contains_key(missing)) {
                wrong = Some(format!("{offset} was read, and {missing} is kept and was left out"));
            }
        }
        match self.published.get_mut(&id) {
            Some(published) if published.queue == queue => published.delivered = true,
            _ => wrong = Some(format!("message {id} was never published here")),
        }
        if let Some(what) = wrong {
            self.fail(|| format!("{queue:?}: {what}"));
        }
    }

    /// A new message for a queue.
    pub(crate) fn publish(
        &mut self,
        queue: QueueId,
        session: Session,
        sequence: u64,
        padding: usize,
        rng: &mut Rng,
    ) -> Message {
        let id = self.next_id;
        self.next_id += 1;
        self.published.insert(id, Published { queue, session, sequence, confirmed: false, delivered: false });
        let mut body = id.to_le_bytes().to_vec();
        body.resize(8 + padding, 0);
        let properties = rules::properties(&self.queue(queue).rules, rng);
        Message { routing_key: Bytes::from_static(b"key"), properties, body: Bytes::from(body), ..Message::default() }
    }

    /// A queue is declared.
    pub(crate) fn declare(&mut self, queue: QueueId, rules: &Arc<Rules>) {
        self.queue(queue).rules = Arc::clone(rules);
    }

    pub(crate) fn rules(&mut self, queue: QueueId) -> &Rules {
        &self.queue(queue).rules
    }

    /// The queues that nobody consumes from.
    pub(crate) fn delayed(&self) -> BTreeSet<QueueId> {
        let delayed = self.queues.iter().filter(|(_, facts)| facts.rules.kind == Kind::Delayed);
        delayed.map(|(queue, _)| *queue).collect()
    }

    /// A message is handed to whoever moves it on.
    pub(crate) fn moved(&mut self, queue: QueueId, transfer: &Transfer, wall: u64) {
        self.moves += 1;
        let (offset, id) = (transfer.offset.0, id(&transfer.message));
        let facts = self.queue(queue);
        facts.moved.insert(offset);
        let (committed, time) = (facts.committed.get(&id).copied(), facts.times.get(&offset).copied());
        let known = match transfer.reason {
            Reason::Due => facts.rules.kind == Kind::Delayed,
            _ => facts.rules.dead_letter.is_some(),
        };
        self.check(known, || format!("{queue:?}: {offset} moves on for {:?}", transfer.reason));
        self.check(committed == Some(offset), || format!("{queue:?}: {offset} moves on and is message {id}"));
        if matches!(transfer.reason, Reason::Due | Reason::Expired) {
            // Wall clocks are up to 200 ms apart.
            let due = time.and_then(|(time, wait)| Some(time + wait?));
            self.check(due.is_some_and(|due| due <= wall + 200), || {
                format!("{queue:?}: {offset} moves on before {due:?}")
            });
        }
    }

    pub(crate) fn excuse(&mut self, process: Process, now: u64) {
        self.excused.insert(process, now);
    }

    /// A client was told that its publish is safe (promise 1).
    pub(crate) fn confirmed(&mut self, message: &Message) {
        let id = id(message);
        self.confirms += 1;
        let Some(published) = self.published.get_mut(&id) else { return };
        published.confirmed = true;
        let (queue, session, sequence) = (published.queue, published.session, published.sequence);
        let facts = self.queue(queue);
        // One that the queue knew is not taken again.
        let known = facts.committed.contains_key(&id) || rules::value(&facts.rules, message).is_some();
        if !facts.committed.contains_key(&id) {
            self.published.remove(&id);
        }
        self.check(known, || format!("{queue:?}: {session:?} {sequence} was confirmed and nobody committed it"));
    }

    /// A leader's committed state after a turn (promises 1, 2, 4).
    pub(crate) fn ledger<'a>(
        &mut self,
        queue: QueueId,
        leader: Process,
        epoch: Epoch,
        ledger: &Ledger,
        entry: impl Fn(u64) -> Option<&'a Bytes>,
    ) {
        let commit = ledger.applied().index.0;
        let facts = self.queues.entry(queue).or_default();
        let looked_at = facts.looked_at.entry((leader, epoch)).or_default();
        if *looked_at == commit {
            return;
        }
        let first = *looked_at + 1;
        *looked_at = commit;
        let mut wrong = None;
        for index in first..=commit {
            // Not there: released, below the base.
            let Some(bytes) = entry(index) else { continue };
            match facts.entries.entry(index) {
                std::collections::btree_map::Entry::Occupied(known) => {
                    if !record::is_same(known.get(), bytes) {
                        wrong = Some(format!("{queue:?}: two entries were committed at {index}"));
                    }
                }
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(bytes.clone());
                    if record::gone(bytes).is_ok_and(|gone| !gone.is_empty()) {
                        wrong = Some(format!("{queue:?}: {index} lost messages before anybody committed it"));
                    }
                    if let Some(what) = facts.stream.as_mut().and_then(|stream| retained(stream, bytes)) {
                        wrong = Some(format!("{queue:?}: {what}"));
                    }
                    let Ok(decoded) = Entry::decode(bytes) else { continue };
                    let time = decoded.time;
                    let kept = kept(&decoded);
                    for (offset, message) in record::messages(bytes).unwrap_or_default() {
                        let wait = rules::wait(&facts.rules, &message);
                        facts.times.insert(offset.0, (time, wait));
                        // What was refused and only moves on was not taken.
                        if let Some(value) = rules::value(&facts.rules, &message).filter(|_| !kept.contains(&offset.0))
                        {
                            let window = facts.rules.deduplicate.map_or(0, |known| known.window);
                            let before = facts.values.insert(value, time);
                            if before.is_some_and(|before| time < before + window) {
                                wrong = Some(format!("{queue:?}: {offset} has the value of another one, {value}"));
                            }
                        }
                        let id = id(&message);
                        if facts.offsets.insert(offset.0, id).is_some_and(|other| other != id) {
                            wrong = Some(format!("{queue:?}: two messages at offset {offset}"));
                        }
                        if let Slot::Occupied(known) = facts.committed.entry(id) {
                            wrong = Some(format!("{queue:?}: message {id} is at {} and at {offset}", known.get()));
                        }
                        facts.committed.insert(id, offset.0);
                    }
                    for settle in &decoded.records {
                        let Record::Settle { reason, ranges } = settle else { continue };
                        for offset in ranges.iter().flat_map(|(first, last)| *first..=*last) {
                            if facts.why.contains_key(&offset) || !facts.times.contains_key(&offset) {
                                continue;
                            }
                            facts.why.insert(offset, *reason);
                            let due = facts.times[&offset].1.map(|wait| facts.times[&offset].0 + wait);
                            let good = facts.stream.is_some()
                                || rules::allow(&facts.rules, *reason)
                                    && match reason {
                                        SettleReason::Expired => due.is_some_and(|due| due <= time),
                                        SettleReason::DeadLettered => facts.moved.contains(&offset),
                                        _ => true,
                                    };
                            if !good {
                                wrong =
                                    Some(format!("{queue:?}: {offset}, due at {due:?}, left at {time} for {reason:?}"));
                            }
                            self.expired += u64::from(*reason == SettleReason::Expired);
                            self.dropped += u64::from(*reason == SettleReason::Dropped);
                        }
                    }
                }
            }
        }
        // An old leader that wakes up may not know of it; one that has applied as
        // much must.
        let revived = facts.settled.iter().find(|(offset, (at, _))| *at <= commit && ledger.live().contains(**offset));
        if let Some((offset, (at, _))) = revived {
            wrong = Some(format!("{queue:?}: {offset}, settled by {at}, is live in {epoch:?} at {commit}"));
        }
        let mut at = 0;
        let mut gone = Vec::new();
        for range in ledger.live().iter() {
            gone.extend(at..range.start);
            at = range.end;
        }
        gone.extend(at..ledger.next_offset().0);
        for offset in gone {
            facts.settled.entry(offset).or_insert_with(|| {
                facts.held.remove(&offset);
                (commit, epoch)
            });
        }
        if let Some(what) = wrong {
            self.fail(|| what);
        }
    }

    /// Something that needs a lease left a leader: an answer, or these messages
    /// (promises 4 and 8).
    pub(crate) fn served(&mut self, queue: QueueId, epoch: Epoch, by: Process, offsets: impl IntoIterator<Item = u64>) {
        let served = self.queue(queue).served;
        self.check(epoch >= served, || format!("{queue:?}: {by:?} serves in {epoch:?}, and {served:?} did before"));
        let facts = self.queue(queue);
        facts.served = facts.served.max(epoch);
        for offset in offsets {
            let facts = self.queue(queue);
            facts.sent.insert(offset, epoch);
            let settled = facts.settled.contains_key(&offset);
            self.check(!settled, || format!("{queue:?}: {by:?} sent out {offset} after its settle was committed"));
        }
    }

    /// A message reached a client (promises 3 to 7).
    pub(crate) fn delivered(
        &mut self,
        queue: QueueId,
        offset: u64,
        redelivered: bool,
        message: &Message,
        to: Holder,
        alive: impl Fn(Process) -> bool,
    ) {
        self.deliveries += 1;
        self.redeliveries += u64::from(redelivered);
        let id = id(message);
        let excused = |excused: &HashMap<Process, u64>, holder: &Holder| {
            excused.get(&holder.process).is_some_and(|at| *at >= holder.since)
        };
        let facts = self.queues.entry(queue).or_default();
        let mut wrong = None;
        if facts.committed.get(&id) != Some(&offset) {
            wrong = Some(format!("message {id} was delivered as {offset} and nobody committed that"));
        }
        // Of the same reign it may be under way as another holder's settle commits.
        let sent = facts.sent.get(&offset).copied().unwrap_or_default();
        if facts.settled.get(&offset).is_some_and(|(_, epoch)| *epoch > sent) {
            wrong = Some(format!("{offset} of an old leader was delivered after its settle was committed"));
        }
        if !facts.delivered.insert(offset) && !redelivered {
            wrong = Some(format!("{offset} was delivered twice, and the second time it was not said"));
        }
        if let Some(holder) = facts.held.get(&offset)
            && alive(holder.process)
            && !excused(&self.excused, holder)
        {
            wrong = Some(format!("{offset} went to {to:?} while {holder:?} has it, whose node is well"));
        }
        facts.held.insert(offset, to);
        if let Some(handed) = facts.sites.handed.get(&offset).filter(|handed| Some(handed.site) != to.site) {
            wrong = Some(format!("{offset} went to {to:?} and may be at another site: {handed:?}"));
        }
        if facts.rules.kind == Kind::Delayed {
            wrong = Some(format!("{offset} was delivered, and is only to move on"));
        }
        // It may have been on its way to a node that slept, and fell asleep again; or
        // wait for its site's link.
        if to.site.is_none()
            && let Some((time, Some(wait))) = facts.times.get(&offset)
            && time + wait + 8_000 < to.wall()
        {
            wrong = Some(format!("{offset} was delivered long after its time, {} at {}", time + wait, to.wall()));
        }
        match self.published.get_mut(&id) {
            Some(published) if published.queue == queue => published.delivered = true,
            _ => wrong = Some(format!("message {id} was never published here")),
        }
        if let Some(what) = wrong {
            self.fail(|| format!("{queue:?}: {what}"));
        }
    }

    /// A client gave a message back, or its channel did.
    pub(crate) fn returned(&mut self, queue: QueueId, offset: u64, by: usize) {
        let facts = self.queue(queue);
        if facts.held.get(&offset).is_some_and(|holder| holder.client == by) {
            facts.held.remove(&offset);
        }
    }

    /// A site's link was given a message (§4.9).
    pub(crate) fn handed(&mut self, queue: QueueId, site: &'static str, offset: u64, to: Consignment) {
        if let Some(what) = self.queue(queue).sites.handed(site, offset, to) {
            self.fail(|| format!("{queue:?}: {what}"));
        }
    }

    /// It published the message at its site.
    pub(crate) fn arrived(&mut self, queue: QueueId, site: &'static str, offset: u64, to: Consignment) {
        self.shared += 1;
        let facts = self.queue(queue);
        // Somebody who was cut off may have had it, and acknowledged it late.
        let gone = facts.settled.contains_key(&offset);
        if let Some(what) = facts.sites.arrived(site, offset, to, gone) {
            self.fail(|| format!("{queue:?}: {what}"));
        }
    }

    /// A link gave a message back that it has made nothing of.
    pub(crate) fn unused(&mut self, queue: QueueId, offset: u64, by: usize) {
        self.returned(queue, offset, by);
        self.queue(queue).sites.unused(offset);
    }

    /// A client's consumer was cancelled with all that it had.
    pub(crate) fn gave_up(&mut self, queue: QueueId, by: usize) {
        self.queue(queue).held.retain(|_, holder| holder.client != by);
    }

    /// Purged messages are gone without a delivery.
    pub(crate) fn purged(&mut self, queue: QueueId) {
        self.queue(queue).purged = true;
    }

    /// After everything was drained (promises 1 and 5).
    pub(crate) fn finish(&mut self, deleted: &BTreeSet<QueueId>) {
        let mut wrong = None;
        for (id, published) in &self.published {
            let queue = published.queue;
            let facts = self.queues.get(&queue);
            let purged = facts.is_some_and(|facts| {
                let dropped = |offset| facts.stream.is_some() && facts.settled.contains_key(offset);
                facts.purged || facts.committed.get(id).is_some_and(dropped)
            });
            let why = facts.and_then(|facts| facts.why.get(facts.committed.get(id)?));
            let left = why.is_some_and(|why| *why != SettleReason::Acked && *why != SettleReason::Rejected);
            if published.confirmed && !published.delivered && !purged && !left && !deleted.contains(&queue) {
                wrong = Some(format!("{queue:?}: message {id} was confirmed and is lost"));
            }
        }
        for (queue, facts) in &self.queues {
            let mut last: HashMap<Session, u64> = HashMap::new();
            let mut offsets: Vec<_> = facts.offsets.iter().collect();
            offsets.sort_unstable();
            for (offset, id) in offsets {
                let Some(published) = self.published.get(id) else { continue };
                let before = last.insert(published.session, published.sequence).unwrap_or(0);
                if published.sequence <= before {
                    wrong = Some(format!("{queue:?}: {offset} is out of order: {} after {before}", published.sequence));
                }
            }
        }
        if let Some(what) = wrong {
            self.fail(|| what);
        }
    }
}

/// What is wrong with what an entry of a stream drops: only retention drops, from
/// the oldest on, and by age nothing that is younger.
fn retained((rules, times): &mut (Arc<Rules>, HashMap<u64, u64>), entry: &Bytes) -> Option<String> {
    let entry = Entry::decode(entry).ok()?;
    times.extend(entry.offsets().map(|offset| (offset, entry.time)));
    let Kind::Stream { max_age } = rules.kind else { return None };
    for settled in &entry.records {
        let Record::Settle { reason, ranges } = settled else { continue };
        if !matches!(reason, SettleReason::Expired | SettleReason::Dropped) {
            return Some(format!("{ranges:?} of a stream left for {reason:?}"));
        }
        for offset in ranges.iter().flat_map(|(first, last)| *first..=*last) {
            let age = times.get(&offset).map(|time| entry.time - time);
            let young = max_age.is_none_or(|most| age.is_some_and(|age| age < most));
            if rules.max_bytes.is_none() && young {
                return Some(format!("{offset} is dropped at an age of {age:?} ms"));
            }
        }
    }
    None
}
