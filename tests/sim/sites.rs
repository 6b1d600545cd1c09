//! Links of other sites that share a queue, and those sites (§4.9): a link takes
//! what is consigned to its site, breaks off at any moment, and comes again; the
//! site keeps what it takes, and knows by the numbers what it has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use warren_replication::consigned::Consignment;
use warren_replication::message::{ConsumerSpec, SettleReason};
use warren_replication::types::{ConsumerKey, Offset, QueueId, Session};
use warren_shard::step::{Local, ToChannel};

use crate::clients::Wants;
use crate::oracle::{Holder, Oracle};
use crate::rng::Rng;

/// The other sites.
pub(crate) const SITES: [&str; 2] = ["rome", "oslo"];

/// A link, for as long as its connection lasts; then the next one.
#[derive(Debug, Default)]
pub(crate) struct Link {
    site: &'static str,
    prefetch: u32,
    /// Our number, and whether it is attached.
    number: Option<(u64, bool)>,
    next_number: u64,
    unwritten: u32,
    /// What it was given and has not published.
    got: Vec<(u64, Consignment)>,
    /// What is at its site, and not acknowledged here.
    kept: Vec<u64>,
}

impl Link {
    pub(crate) fn new(site: &'static str, prefetch: u32) -> Self {
        Self { site, prefetch, ..Self::default() }
    }

    /// One of any site.
    pub(crate) fn any(rng: &mut Rng) -> Self {
        Self::new(rng.pick(&SITES).unwrap_or_default(), rng.pick(&[1, 3, 10]).unwrap_or(1))
    }

    /// Whether it has nothing.
    pub(crate) fn is_done(&self) -> bool {
        self.got.is_empty() && self.kept.is_empty()
    }

    /// Does something. True if its channel is closed and opens anew.
    pub(crate) fn act(
        &mut self,
        (queue, session, me): (QueueId, Session, usize),
        calm: bool,
        rng: &mut Rng,
        oracle: &mut Oracle,
        wants: &mut Wants,
    ) -> bool {
        let key = |number| ConsumerKey { process: session.process, connection: session.connection, channel: 1, number };
        if !calm && rng.percent(4) {
            // It breaks off: whatever is at its site, nobody here hears of it.
            for offset in self.got.drain(..).map(|(offset, _)| offset).chain(self.kept.drain(..)) {
                oracle.returned(queue, offset, me);
            }
            (self.number, self.unwritten) = (None, 0);
            wants.push((queue, Local::ChannelClosed { session }));
            return true;
        }
        if let Some((number, _)) = self.number
            && self.unwritten > 0
        {
            wants.push((queue, Local::Written(key(number), std::mem::take(&mut self.unwritten))));
        }
        if self.number.is_none() && (calm || rng.percent(70)) {
            self.next_number += 1;
            let number = session.connection * 1_000_000 + self.next_number;
            self.number = Some((number, false));
            let spec = ConsumerSpec {
                key: key(number),
                tag: Bytes::new(),
                prefetch: self.prefetch,
                no_ack: false,
                exclusive: false,
                priority: 0,
                reading: None,
                site: Some(Bytes::from_static(self.site.as_bytes())),
            };
            wants.push((queue, Local::Consume { spec, cancel_on_failover: false }));
        }
        if !self.got.is_empty() && (calm || rng.percent(70)) {
            let all = self.got.len() as u64;
            let count = if calm { all } else { rng.between(1, all) } as usize;
            for (offset, consignment) in self.got.drain(..count) {
                oracle.arrived(queue, self.site, offset, consignment);
                self.kept.push(offset);
            }
        }
        if !self.kept.is_empty() && (calm || rng.percent(60)) {
            let all = self.kept.len() as u64;
            let count = if calm { all } else { rng.between(1, all) } as usize;
            let offsets = self.kept.drain(..count).map(Offset).collect();
            wants.push((queue, Local::Settle(offsets, SettleReason::Acked)));
        }
        // Nobody waits at its site any more: it stops, and gives back what it has not published.
        if !calm
            && rng.percent(6)
            && let Some((number, _)) = self.number.take_if(|(_, attached)| *attached)
        {
            self.unwritten = 0;
            wants.push((queue, Local::Cancel(key(number))));
            let unused: Vec<u64> = self.got.drain(..).map(|(offset, _)| offset).collect();
            unused.iter().for_each(|offset| oracle.unused(queue, *offset, me));
            if !unused.is_empty() {
                wants.push((queue, Local::Return(unused.into_iter().map(Offset).collect())));
            }
        }
        false
    }

    /// The broker said something; false if it makes no sense.
    pub(crate) fn hear(
        &mut self,
        event: ToChannel,
        holder: Holder,
        oracle: &mut Oracle,
        alive: impl Fn(warren_replication::types::Process) -> bool,
        wants: &mut Wants,
    ) -> bool {
        match event {
            ToChannel::Deliver { queue, consumer, offset, redelivered, consignment, message, .. } => {
                if self.number.map(|(number, _)| number) != Some(consumer) {
                    // It crossed with the end of its consumer.
                    wants.push((queue, Local::Return(vec![offset])));
                    return true;
                }
                let Some(consignment) = consignment else { return false };
                let holder = Holder { site: Some(self.site), ..holder };
                oracle.delivered(queue, offset.0, redelivered, &message, holder, alive);
                oracle.handed(queue, self.site, offset.0, consignment);
                self.unwritten += 1;
                self.got.push((offset.0, consignment));
            }
            ToChannel::Consuming { consumer, attached } => {
                if self.number == Some((consumer, false)) && attached {
                    self.number = Some((consumer, true));
                }
            }
            ToChannel::Cancelled { .. } | ToChannel::Gone { .. } => {
                // The queue is deleted.
                let next_number = self.next_number;
                *self = Self { next_number, number: Some((0, true)), ..Self::new(self.site, self.prefetch) };
            }
            _ => return false,
        }
        true
    }
}

/// What is known of a message that a site's links were given.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) site: &'static str,
    number: u64,
    times: u32,
}

/// What the oracle knows of other sites.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// By offset: those that a site may have, and nobody else may be given.
    pub(crate) handed: HashMap<u64, Handed>,
    numbers: HashMap<(&'static str, u64), u64>,
    /// By site the floor and the numbers that its queue knows.
    taken: BTreeMap<&'static str, (u64, BTreeSet<u64>)>,
    /// The messages that it has.
    kept: BTreeMap<&'static str, BTreeSet<u64>>,
}

impl Sites {
    /// A link was given a message. What is wrong with that.
    pub(crate) fn handed(&mut self, site: &'static str, offset: u64, to: Consignment) -> Option<String> {
        let handed = self.handed.entry(offset).or_insert(Handed { site, number: to.number, times: 0 });
        handed.times += 1;
        let before = self.numbers.insert((site, to.number), offset);
        if handed.number != to.number || before.is_some_and(|other| other != offset) || to.floor > to.number {
            return Some(format!("{offset} is {to:?} of {site}, and was {handed:?}; the number was {before:?}'s"));
        }
        None
    }

    /// A link published it at its site, which knows by the number whether it has it,
    /// or that nobody needs it any more. What is wrong with what comes of that.
    pub(crate) fn arrived(&mut self, site: &'static str, offset: u64, to: Consignment, gone: bool) -> Option<String> {
        let (floor, taken) = self.taken.entry(site).or_default();
        *floor = to.floor.max(*floor);
        *taken = taken.split_off(floor);
        let known = to.number < *floor || !taken.insert(to.number);
        let kept = self.kept.entry(site).or_default();
        match (known, kept.insert(offset)) {
            (true, true) if !gone => {
                Some(format!("{offset}, {to:?}, is taken for known at {site}, and was never there"))
            }
            (false, false) => Some(format!("{offset}, {to:?}, is kept twice at {site}")),
            _ => None,
        }
    }

    /// The only link that was ever given it has not used it.
    pub(crate) fn unused(&mut self, offset: u64) {
        if self.handed.get(&offset).is_some_and(|handed| handed.times == 1) {
            self.handed.remove(&offset);
        }
    }
}
