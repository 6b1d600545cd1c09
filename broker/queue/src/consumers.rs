//! Who holds messages and who waits for them: a slab of holders, and a rotation
//! of the consumers that have room, by priority and then round robin. Links of
//! other sites stand apart: a line for each site.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// How a consumer wants its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Unacknowledged messages that it may hold, 0 = any number.
    pub prefetch: u32,
    /// Nobody acknowledges: prefetch does not apply.
    pub no_ack: bool,
    /// It wants the queue for itself.
    pub exclusive: bool,
    /// Higher is served first.
    pub priority: i32,
    /// It is a link of this site, and gets only what is consigned to that
    /// ([`crate::Queue::consign`]). It does not count as a consumer.
    pub site: Option<u32>,
}

/// How much may be on its way to one consumer and not yet written to its
/// socket. It bounds memory where prefetch does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages.
    pub messages: usize,
    /// Bytes; the message that crosses it still goes.
    pub bytes: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { messages: 2_000, bytes: 1 << 20 }
    }
}

/// Somebody has the queue for himself, or it cannot be had alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is in exclusive use, or in use and wanted exclusively")]
pub struct ExclusiveUse;

/// Somebody who holds messages: a consumer, a cancelled one, or a get.
#[derive(Debug)]
struct Holder<K> {
    key: K,
    /// Messages held, but for those whose settle is on its way: what prefetch
    /// counts. One that is given back makes room as it is ready again, in one step.
    held: u32,
    /// Entries of the queue's hold map that name this slot.
    named: u32,
    consumer: Option<Consumer>,
}

#[derive(Debug)]
struct Consumer {
    options: Options,
    /// Weights of the deliveries not yet written, oldest first.
    unwritten: VecDeque<u32>,
    unwritten_bytes: u64,
    /// Its node is out of reach: nothing is sent until it claims again.
    suspended: bool,
    /// It is in the rotation.
    queued: bool,
    /// Attach order.
    order: u64,
}

/// A site's links.
#[derive(Debug, Default)]
struct Links {
    attached: u32,
    /// Those that have room.
    line: VecDeque<u32>,
}

#[derive(Debug)]
pub(crate) struct Consumers<K> {
    window: Window,
    slots: Vec<Option<Holder<K>>>,
    free: Vec<u32>,
    by_key: FxHashMap<K, u32>,
    rotation: BTreeMap<Reverse<i32>, VecDeque<u32>>,
    /// By site.
    links: Vec<Links>,
    attached: u32,
    exclusive: Option<u32>,
    /// Only one is served, and the next only once it has left.
    single: bool,
    active: Option<u32>,
    next_order: u64,
}

impl<K: Copy + Eq + Hash> Consumers<K> {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: FxHashMap::default(),
            rotation: BTreeMap::new(),
            links: Vec::new(),
            attached: 0,
            exclusive: None,
            single: false,
            active: None,
            next_order: 0,
        }
    }

    pub(crate) fn attached(&self) -> u32 {
        self.attached
    }

    /// Whether a consumer of this priority or a higher one has room.
    pub(crate) fn has_room_from(&self, priority: i32) -> bool {
        self.rotation.range(..=Reverse(priority)).any(|(_, slots)| !slots.is_empty())
    }

    pub(crate) fn is_attached(&self, key: &K) -> bool {
        self.by_key.get(key).and_then(|slot| self.get(*slot)).is_some_and(|h| h.consumer.is_some())
    }

    pub(crate) fn key(&self, slot: u32) -> Option<K> {
        self.get(slot).map(|h| h.key)
    }

    /// Keys of the attached consumers in attach order.
    pub(crate) fn keys(&self) -> Vec<K> {
        let mut keys: Vec<(u64, K)> =
            self.slots.iter().flatten().filter_map(|h| h.consumer.as_ref().map(|c| (c.order, h.key))).collect();
        keys.sort_unstable_by_key(|(order, _)| *order);
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn get(&self, slot: u32) -> Option<&Holder<K>> {
        self.slots.get(slot as usize).and_then(Option::as_ref)
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut Holder<K>> {
        self.slots.get_mut(slot as usize).and_then(Option::as_mut)
    }

    /// The slot of a key, made if need be.
    pub(crate) fn slot(&mut self, key: K) -> u32 {
        if let Some(slot) = self.by_key.get(&key) {
            return *slot;
        }
        let holder = Some(Holder { key, held: 0, named: 0, consumer: None });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = holder;
                slot
            }
            None => {
                self.slots.push(holder);
                (self.slots.len() - 1) as u32
            }
        };
        self.by_key.insert(key, slot);
        slot
    }

    /// Attaches a consumer, or renews one: its window is empty again, it is
    /// served again, its options are the ones given.
    pub(crate) fn attach(&mut self, key: K, options: Options) -> Result<(), ExclusiveUse> {
        let slot = self.slot(key);
        if let Some(site) = options.site {
            let links = (site as usize + 1).max(self.links.len());
            self.links.resize_with(links, Links::default);
        }
        let alone = self.attached == u32::from(self.is_attached(&key));
        let taken = self.exclusive.is_some_and(|owner| owner != slot);
        // Where only one is served at a time, nobody has the queue for himself.
        if options.site.is_none() && (taken || (options.exclusive && (self.single || !alone))) {
            self.forget_if_idle(slot);
            return Err(ExclusiveUse);
        }
        self.leave_rotation(slot);
        let order = self.next_order;
        let Some(holder) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return Ok(()) };
        let (order, new) = match &holder.consumer {
            Some(consumer) => (consumer.order, false),
            None => (order, true),
        };
        holder.consumer = Some(Consumer {
            options,
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            suspended: false,
            queued: false,
            order,
        });
        if new {
            *self.number(options.site) += 1;
            self.next_order += 1;
        }
        if options.site.is_some() {
            // It has nobody's place.
        } else if options.exclusive {
            self.exclusive = Some(slot);
        } else if self.exclusive == Some(slot) {
            self.exclusive = None;
        }
        self.enter_rotation(slot);
        Ok(())
    }

    /// Detaches a consumer; what it holds stays held. False if it was none.
    pub(crate) fn detach(&mut self, key: &K) -> bool {
        let Some(&slot) = self.by_key.get(key) else { return false };
        self.leave_rotation(slot);
        let Some(holder) = self.get_mut(slot) else { return false };
        let Some(consumer) = holder.consumer.take() else { return false };
        let site = consumer.options.site;
        *self.number(site) -= 1;
        if self.exclusive == Some(slot) {
            self.exclusive = None;
        }
        if self.active == Some(slot) {
            self.active = None;
        }
        // Levels stay while consumers come and go in them; an emptied one goes here.
        self.rotation.retain(|_, level| !level.is_empty());
        self.forget_if_idle(slot);
        site.is_none()
    }

    /// How many are attached: links of a site, or consumers.
    fn number(&mut self, site: Option<u32>) -> &mut u32 {
        match site.and_then(|site| self.links.get_mut(site as usize)) {
            Some(links) => &mut links.attached,
            None => &mut self.attached,
        }
    }

    /// The site that this one is a link of.
    pub(crate) fn site(&self, key: &K) -> Option<u32> {
        let holder = self.by_key.get(key).and_then(|slot| self.get(*slot))?;
        holder.consumer.as_ref()?.options.site
    }

    /// Whether the site has a link attached.
    pub(crate) fn is_linked(&self, site: u32) -> bool {
        self.links.get(site as usize).is_some_and(|links| links.attached > 0)
    }

    /// The link of this site whose turn it is.
    pub(crate) fn front_of(&self, site: u32) -> Option<u32> {
        self.links.get(site as usize)?.line.front().copied()
    }

    /// How many more messages the links of this site may be given now.
    pub(crate) fn room_of(&self, site: u32) -> u64 {
        let Some(links) = self.links.get(site as usize) else { return 0 };
        let room = |slot: &u32| {
            let holder = self.get(*slot)?;
            let consumer = holder.consumer.as_ref()?;
            let window = self.window.messages - consumer.unwritten.len().min(self.window.messages);
            let prefetch = consumer.options.prefetch;
            let prefetch = if prefetch == 0 { usize::MAX } else { prefetch.saturating_sub(holder.held) as usize };
            Some(window.min(prefetch) as u64)
        };
        links.line.iter().filter_map(room).sum()
    }

    pub(crate) fn set_single_active(&mut self, single: bool) {
        self.single = single;
    }

    /// Who is served, of those of whom only one is: whoever has messages of the
    /// queue already, for he was it before a takeover; else of the highest priority
    /// who came first.
    pub(crate) fn choose_active(&mut self) {
        if !self.single || self.active.is_some() {
            return;
        }
        let candidates = self.slots.iter().zip(0u32..).filter_map(|(holder, slot)| {
            let holder = holder.as_ref()?;
            let consumer = holder.consumer.as_ref().filter(|consumer| consumer.options.site.is_none())?;
            Some((holder.named == 0, Reverse(consumer.options.priority), consumer.order, slot))
        });
        self.active = candidates.min().map(|(.., slot)| slot);
    }

    /// Serves a consumer no longer until it is attached again.
    pub(crate) fn suspend(&mut self, key: &K) {
        let Some(&slot) = self.by_key.get(key) else { return };
        self.leave_rotation(slot);
        if let Some(consumer) = self.get_mut(slot).and_then(|h| h.consumer.as_mut()) {
            consumer.suspended = true;
        }
    }

    /// So many of its deliveries reached the socket.
    pub(crate) fn written(&mut self, key: &K, messages: u32) {
        let Some(&slot) = self.by_key.get(key) else { return };
        if let Some(consumer) = self.get_mut(slot).and_then(|h| h.consumer.as_mut()) {
            let count = (messages as usize).min(consumer.unwritten.len());
            for weight in consumer.unwritten.drain(..count) {
                consumer.unwritten_bytes -= u64::from(weight);
            }
        }
        self.enter_rotation(slot);
    }

    /// The slot whose turn it is.
    pub(crate) fn front(&self) -> Option<u32> {
        if self.single {
            let queued = |slot: &u32| self.get(*slot).and_then(|h| h.consumer.as_ref()).is_some_and(|c| c.queued);
            return self.active.filter(queued);
        }
        self.rotation.values().find_map(|level| level.front().copied())
    }

    /// The one whose turn it was was served a message of this weight.
    pub(crate) fn served(&mut self, slot: u32, weight: u32) {
        self.leave_rotation(slot);
        if let Some(consumer) = self.get_mut(slot).and_then(|h| h.consumer.as_mut()) {
            consumer.unwritten.push_back(weight);
            consumer.unwritten_bytes += u64::from(weight);
        }
        self.holds(slot);
        self.enter_rotation(slot);
    }

    /// The slot holds one message more.
    pub(crate) fn holds(&mut self, slot: u32) {
        if let Some(holder) = self.get_mut(slot) {
            holder.held += 1;
            holder.named += 1;
            let full = holder
                .consumer
                .as_ref()
                .is_some_and(|c| !c.options.no_ack && c.options.prefetch != 0 && holder.held >= c.options.prefetch);
            if full {
                self.leave_rotation(slot);
            }
        }
    }

    /// One message of the slot counts no longer: prefetch has room again.
    pub(crate) fn leaves(&mut self, slot: u32) {
        if let Some(holder) = self.get_mut(slot) {
            holder.held = holder.held.saturating_sub(1);
        }
        self.enter_rotation(slot);
    }

    /// One message of the slot, on its way out before, is gone.
    pub(crate) fn unnamed(&mut self, slot: u32) {
        if let Some(holder) = self.get_mut(slot) {
            holder.named = holder.named.saturating_sub(1);
        }
        self.forget_if_idle(slot);
    }

    fn forget_if_idle(&mut self, slot: u32) {
        let Some(holder) = self.get(slot) else { return };
        if holder.consumer.is_none() && holder.named == 0 {
            let key = holder.key;
            self.by_key.remove(&key);
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
    }

    fn enter_rotation(&mut self, slot: u32) {
        let window = self.window;
        let Some(holder) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        let Some(consumer) = holder.consumer.as_mut() else { return };
        let options = consumer.options;
        let room = !consumer.suspended
            && consumer.unwritten.len() < window.messages
            && consumer.unwritten_bytes < window.bytes
            && (options.no_ack || options.prefetch == 0 || holder.held < options.prefetch);
        if room && !consumer.queued {
            consumer.queued = true;
            match options.site.and_then(|site| self.links.get_mut(site as usize)) {
                Some(links) => links.line.push_back(slot),
                None => self.rotation.entry(Reverse(options.priority)).or_default().push_back(slot),
            }
        }
    }

    fn leave_rotation(&mut self, slot: u32) {
        let Some(consumer) =
            self.slots.get_mut(slot as usize).and_then(Option::as_mut).and_then(|h| h.consumer.as_mut())
        else {
            return;
        };
        if !std::mem::take(&mut consumer.queued) {
            return;
        }
        let options = consumer.options;
        let line = match options.site.and_then(|site| self.links.get_mut(site as usize)) {
            Some(links) => Some(&mut links.line),
            None => self.rotation.get_mut(&Reverse(options.priority)),
        };
        if let Some(level) = line {
            if level.front() == Some(&slot) {
                level.pop_front();
            } else {
                level.retain(|other| *other != slot);
            }
        }
    }
}
