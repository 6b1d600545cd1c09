//! The queue against a naive model: every message in a plain map with its
//! priority, its time and its size, every consumer in a plain list.

#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use warren_queue::{Arrival, Leave, Options, Queue, Rules, Window};

const WINDOW: Window = Window { messages: 4, bytes: 50 };

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Ready,
    Held(u8),
    Settling(u8),
    Returning(u8),
    ReturningThenSettling(u8),
    Leaving,
}

impl Place {
    fn holder(self) -> Option<u8> {
        match self {
            Self::Held(k) | Self::Settling(k) | Self::Returning(k) | Self::ReturningThenSettling(k) => Some(k),
            Self::Ready | Self::Leaving => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct ModelMessage {
    place: Place,
    count: u32,
    lane: u8,
    due: Option<u64>,
    /// Its time came while somebody had it.
    overdue: bool,
    body: u32,
}

#[derive(Clone, Debug)]
struct ModelConsumer {
    key: u8,
    options: Options,
    unwritten: Vec<u32>,
    suspended: bool,
    /// When it last came to have room, or was served: the longest ago is next.
    since: u64,
    had_room: bool,
}

#[derive(Default)]
struct Model {
    rules: Rules,
    messages: BTreeMap<u64, ModelMessage>,
    consumers: Vec<ModelConsumer>,
    /// Of consumers of whom one is served.
    active: Option<u8>,
    /// Came back after their time.
    overdue: Vec<u64>,
    next: u64,
    horizon: u64,
    open: bool,
    inherited: u64,
    clock: u64,
    now: u64,
}

impl Model {
    fn room(&self, c: &ModelConsumer) -> bool {
        // What is given back keeps its place until it is back.
        let counts = |place: Place| [Place::Held(c.key), Place::Returning(c.key)].contains(&place);
        let held = self.messages.values().filter(|m| counts(m.place)).count() as u32;
        !c.suspended
            && c.unwritten.len() < WINDOW.messages
            && c.unwritten.iter().map(|w| u64::from(*w)).sum::<u64>() < WINDOW.bytes
            && (c.options.no_ack || c.options.prefetch == 0 || held < c.options.prefetch)
    }

    /// Those that gained room stand at the end of the line from now on.
    fn settle_rooms(&mut self) {
        for i in 0..self.consumers.len() {
            let room = self.room(&self.consumers[i]);
            if room && !self.consumers[i].had_room {
                self.clock += 1;
                self.consumers[i].since = self.clock;
            }
            self.consumers[i].had_room = room;
        }
    }

    fn next_consumer(&self) -> Option<usize> {
        (0..self.consumers.len())
            .filter(|i| self.consumers[*i].had_room)
            .filter(|i| !self.rules.single_active || self.active == Some(self.consumers[*i].key))
            .min_by_key(|i| (Reverse(self.consumers[*i].options.priority), self.consumers[*i].since))
    }

    /// Who has messages, else the first of the highest priority, is served until he leaves.
    fn choose_active(&mut self) {
        if !self.open || !self.rules.single_active || self.active.is_some() {
            return;
        }
        let has = |key| self.messages.values().any(|m| m.place.holder() == Some(key));
        let chosen = self.consumers.iter().min_by_key(|c| (!has(c.key), Reverse(c.options.priority)));
        self.active = chosen.map(|c| c.key);
    }

    fn ready(&self) -> impl Iterator<Item = (u64, &ModelMessage)> {
        self.messages.iter().filter(|(_, m)| m.place == Place::Ready).map(|(o, m)| (*o, m))
    }

    fn head(&self) -> Option<u64> {
        self.ready().min_by_key(|(o, m)| (Reverse(m.lane), *o)).map(|(o, _)| o)
    }

    fn deliverable(&self) -> Option<u64> {
        self.head().filter(|head| self.open && *head < self.horizon)
    }

    fn place(&mut self, offset: u64, place: Place) {
        self.messages.get_mut(&offset).unwrap().place = place;
    }

    fn put_back(&mut self, offset: u64) {
        let m = self.messages.get_mut(&offset).unwrap();
        if m.overdue {
            m.place = Place::Leaving;
            self.overdue.push(offset);
        } else {
            m.place = Place::Ready;
        }
    }

    fn take_due(&mut self, fresh: u64) -> Vec<u64> {
        let mut taken = std::mem::take(&mut self.overdue);
        let now = self.now;
        let mut due: Vec<(u64, u64)> = self.messages.iter().filter_map(|(o, m)| Some((m.due?, *o))).collect();
        due.retain(|(due, _)| *due <= now);
        due.sort_unstable();
        for (_, offset) in due {
            let m = self.messages.get_mut(&offset).unwrap();
            if offset >= fresh {
                m.due = Some(now);
                continue;
            }
            m.due = None;
            match m.place {
                Place::Ready => {
                    m.place = Place::Leaving;
                    taken.push(offset);
                }
                Place::Leaving => {}
                _ => m.overdue = true,
            }
        }
        taken
    }

    fn take_excess(&mut self) -> Vec<u64> {
        let mut excess = Vec::new();
        while self.rules.max_length.is_some_and(|max| self.ready().count() as u64 > max)
            || self.rules.max_bytes.is_some_and(|max| self.bodies() > max)
        {
            let Some(head) = self.head() else { break };
            self.place(head, Place::Leaving);
            excess.push(head);
        }
        excess
    }

    fn bodies(&self) -> u64 {
        self.ready().map(|(_, m)| u64::from(m.body)).sum()
    }
}

/// A message to come: priority, time to live, size of its body.
type Coming = (u8, Option<u8>, u8);

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<Coming>),
    Horizon(u8),
    Open,
    Attach {
        key: u8,
        prefetch: u32,
        no_ack: bool,
        exclusive: bool,
        priority: i32,
    },
    Detach(u8),
    Suspend(u8),
    Written(u8, u32),
    Deliver,
    Get(u8),
    Settle(u8),
    GiveBack(u8),
    Commit(u8, bool),
    Release(u8),
    Claim(u8, u8),
    Purge,
    /// Time passes; the messages from this many before the end on are fresh.
    Due(u8, Option<u8>),
    Excess,
    Doom(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let coming = (0u8..5, prop::option::weighted(0.4, 0u8..20), 0u8..20);
    prop_oneof![
        3 => prop::collection::vec(coming, 1..5).prop_map(Step::Publish),
        2 => (0u8..40).prop_map(Step::Horizon),
        1 => Just(Step::Open),
        3 => (0u8..5, 0u32..3, any::<bool>(), prop::bool::weighted(0.1), 0i32..2)
            .prop_map(|(key, prefetch, no_ack, exclusive, priority)| Step::Attach { key, prefetch, no_ack, exclusive, priority }),
        1 => (0u8..5).prop_map(Step::Detach),
        1 => (0u8..5).prop_map(Step::Suspend),
        2 => (0u8..5, 1u32..4).prop_map(|(k, n)| Step::Written(k, n)),
        8 => Just(Step::Deliver),
        1 => (5u8..8).prop_map(Step::Get),
        3 => (0u8..40).prop_map(Step::Settle),
        2 => (0u8..40).prop_map(Step::GiveBack),
        4 => (0u8..40, any::<bool>()).prop_map(|(o, s)| Step::Commit(o, s)),
        1 => (0u8..40).prop_map(Step::Release),
        1 => (0u8..40, 0u8..5).prop_map(|(o, k)| Step::Claim(o, k)),
        1 => Just(Step::Purge),
        2 => (0u8..8, prop::option::weighted(0.3, 0u8..5)).prop_map(|(t, f)| Step::Due(t, f)),
        1 => Just(Step::Excess),
        1 => (0u8..40).prop_map(Step::Doom),
    ]
}

/// Half of the queues are plain.
fn rules() -> impl Strategy<Value = Rules> {
    let ruled = (0u8..4, any::<bool>(), prop::option::of(0u64..6), prop::option::of(0u64..60)).prop_map(
        |(max_priority, single_active, max_length, max_bytes)| Rules {
            max_priority,
            single_active,
            max_length,
            max_bytes,
            ..Rules::default()
        },
    );
    prop_oneof![Just(Rules::default()), ruled]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_naive_queue(rules in rules(), steps in prop::collection::vec(step(), 1..120)) {
        let mut queue: Queue<u8> = Queue::new(WINDOW, [0..6u64], 6, 3);
        queue.adopt(&rules);
        let plain = rules == Rules::default();
        let mut model = Model { next: 6, inherited: 3, now: 100, rules, ..Model::default() };
        let inherited = ModelMessage { place: Place::Ready, count: 0, lane: 0, due: None, overdue: false, body: 0 };
        model.messages = (0..6).map(|o| (o, inherited)).collect();
        for step in steps {
            match step {
                Step::Publish(coming) if plain => {
                    let weights: Vec<u32> = (0..coming.len() as u32).map(|i| 10 + i).collect();
                    queue.published(model.next, &weights);
                    for _ in coming {
                        model.messages.insert(model.next, inherited);
                        model.next += 1;
                    }
                }
                Step::Publish(coming) => {
                    for (priority, ttl, body) in coming {
                        let (due, body) = (ttl.map(|ttl| model.now + u64::from(ttl)), u32::from(body));
                        queue.arrived(Arrival { offset: model.next, priority, due, weight: 10, body });
                        let lane = priority.min(model.rules.max_priority);
                        model.messages.insert(model.next, ModelMessage { lane, due, body, ..inherited });
                        model.next += 1;
                    }
                }
                Step::Horizon(to) => {
                    queue.set_horizon(u64::from(to));
                    model.horizon = model.horizon.max(u64::from(to));
                }
                Step::Open => {
                    queue.open();
                    model.open = true;
                    model.choose_active();
                }
                Step::Attach { key, prefetch, no_ack, exclusive, priority } => {
                    let options = Options { prefetch, no_ack, exclusive, priority, site: None };
                    let others = model.consumers.iter().filter(|c| c.key != key).count();
                    let taken = model.consumers.iter().any(|c| c.key != key && c.options.exclusive);
                    let refused = taken || (exclusive && (others > 0 || model.rules.single_active));
                    prop_assert_eq!(queue.attach(key, options).is_err(), refused);
                    if !refused {
                        let new = ModelConsumer { key, options, unwritten: vec![], suspended: false, since: 0, had_room: false };
                        match model.consumers.iter_mut().find(|c| c.key == key) {
                            Some(old) => *old = new,
                            None => model.consumers.push(new),
                        }
                        model.choose_active();
                    }
                }
                Step::Detach(key) => {
                    let before = model.consumers.len();
                    model.consumers.retain(|c| c.key != key);
                    let was = model.consumers.len() != before;
                    prop_assert_eq!(queue.detach(&key), was);
                    if was {
                        model.active.take_if(|active| *active == key);
                    }
                    model.choose_active();
                }
                Step::Suspend(key) => {
                    queue.suspend(&key);
                    model.consumers.iter_mut().filter(|c| c.key == key).for_each(|c| c.suspended = true);
                }
                Step::Written(key, n) => {
                    queue.written(&key, n);
                    for c in model.consumers.iter_mut().filter(|c| c.key == key) {
                        c.unwritten.drain(..(n as usize).min(c.unwritten.len()));
                    }
                }
                Step::Deliver => {
                    let expected = model.deliverable().zip(model.next_consumer());
                    prop_assert_eq!(queue.has_room(), model.next_consumer().is_some());
                    prop_assert_eq!(queue.deliverable(), model.deliverable());
                    let got = queue.deliver(10, model.deliverable().map_or(0, |o| model.messages[&o].count));
                    prop_assert_eq!(got.is_some(), expected.is_some());
                    if let (Some(got), Some((offset, i))) = (got, expected) {
                        prop_assert_eq!((got.key, got.offset), (model.consumers[i].key, offset));
                        let count = model.messages[&offset].count;
                        prop_assert_eq!(got.redelivered, count > 0 || offset < model.inherited);
                        model.place(offset, Place::Held(got.key));
                        model.consumers[i].unwritten.push(10);
                        model.clock += 1;
                        model.consumers[i].since = model.clock;
                    }
                }
                Step::Get(key) => {
                    let expected = model.deliverable();
                    let count = expected.map_or(0, |o| model.messages[&o].count);
                    let got = queue.get(key, 10, count);
                    prop_assert_eq!(got.map(|d| d.offset), expected);
                    if let Some(o) = expected { model.place(o, Place::Held(key)); }
                }
                Step::Settle(o) => {
                    let o = u64::from(o);
                    let (expected, place) = match model.messages.get(&o).map(|m| m.place) {
                        None => (Leave::Unknown, None),
                        Some(Place::Held(k)) => (Leave::Leaving, Some(Place::Settling(k))),
                        Some(Place::Returning(k)) => (Leave::Leaving, Some(Place::ReturningThenSettling(k))),
                        Some(Place::Ready) => (Leave::Leaving, Some(Place::Leaving)),
                        Some(_) => (Leave::Already, None),
                    };
                    prop_assert_eq!(queue.settle(o), expected);
                    if let Some(place) = place { model.place(o, place); }
                }
                Step::GiveBack(o) => {
                    let o = u64::from(o);
                    let held = model.messages.get(&o).and_then(|m| if let Place::Held(k) = m.place { Some(k) } else { None });
                    if let Some(k) = held { model.place(o, Place::Returning(k)); }
                    prop_assert_eq!(queue.give_back(o), held.is_some());
                }
                Step::Commit(o, settle) => {
                    let o = u64::from(o);
                    match model.messages.get(&o).map(|m| m.place) {
                        Some(Place::Returning(k)) if !settle => {
                            prop_assert_eq!(queue.returned(o), Some(k));
                            model.messages.get_mut(&o).unwrap().count += 1;
                            model.put_back(o);
                        }
                        Some(Place::ReturningThenSettling(k)) if !settle => {
                            prop_assert_eq!(queue.returned(o), Some(k));
                            model.messages.get_mut(&o).unwrap().count += 1;
                            model.place(o, Place::Leaving);
                        }
                        Some(place) if settle => {
                            prop_assert_eq!(queue.settled(o), place.holder());
                            model.messages.remove(&o);
                        }
                        None if settle => prop_assert_eq!(queue.settled(o), None),
                        _ => {}
                    }
                }
                Step::Release(o) => {
                    let o = u64::from(o);
                    let held = matches!(model.messages.get(&o).map(|m| m.place), Some(Place::Held(_)));
                    prop_assert_eq!(queue.release(o), held);
                    if held { model.put_back(o); }
                }
                Step::Claim(o, key) => {
                    let o = u64::from(o);
                    let count = model.messages.get(&o).map_or(0, |m| m.count);
                    let free = model.messages.get(&o).is_some_and(|m| m.place == Place::Ready);
                    prop_assert!(!queue.claim(o, key, count, count + 1), "a stale claim holds nothing");
                    prop_assert_eq!(queue.claim(o, key, count, count), free);
                    if free { model.place(o, Place::Held(key)); }
                }
                Step::Purge => {
                    let purged: Vec<u64> = queue.purge().into_iter().flatten().collect();
                    let expected: Vec<u64> = model.ready().map(|(o, _)| o).collect();
                    prop_assert_eq!(&purged, &expected);
                    for o in purged { model.place(o, Place::Leaving); }
                }
                Step::Due(passed, fresh) => {
                    model.now += u64::from(passed);
                    let fresh = fresh.map_or(u64::MAX, |fresh| model.next.saturating_sub(u64::from(fresh)));
                    let first = model.messages.values().filter(|m| m.place != Place::Leaving).filter_map(|m| m.due).min();
                    let first = if model.overdue.is_empty() { first } else { Some(0) };
                    // It may be earlier than need be: for one that is gone.
                    prop_assert!(first.is_none_or(|first| queue.next_due().is_some_and(|due| due <= first)));
                    prop_assert_eq!(queue.take_due(model.now, fresh), model.take_due(fresh));
                }
                Step::Excess => {
                    let excess = queue.take_excess(&model.rules);
                    prop_assert_eq!(excess, model.take_excess());
                }
                Step::Doom(o) => {
                    let o = u64::from(o);
                    let dies = model.messages.get(&o).is_some_and(|m| {
                        matches!(m.place, Place::Ready | Place::Held(_) | Place::Returning(_))
                    });
                    prop_assert_eq!(queue.doom(o), dies);
                    if dies { model.place(o, Place::Leaving); }
                }
            }
            model.settle_rooms();
            let counts = queue.counts();
            let unacked = model.messages.values().filter(|m| matches!(m.place, Place::Held(_))).count() as u64;
            prop_assert_eq!((counts.ready, counts.unacked), (model.ready().count() as u64, unacked));
            prop_assert_eq!(queue.head(), model.head());
            prop_assert_eq!(queue.first_ready(), model.ready().map(|(o, _)| o).min());
            if model.rules.max_bytes.is_some() {
                prop_assert_eq!(queue.body_bytes(), model.bodies());
            }
            prop_assert_eq!(counts.consumers as usize, model.consumers.len());
            let keys: Vec<u8> = model.consumers.iter().map(|c| c.key).collect();
            prop_assert_eq!(queue.consumers(), keys);
            for key in 0..5u8 {
                let held: Vec<u64> = queue.held_by(|k| *k == key).into_iter().map(|h| h.0).collect();
                let expected = model.messages.iter().filter(|(_, m)| m.place == Place::Held(key)).map(|(o, _)| *o);
                prop_assert_eq!(held, expected.collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn a_million_ready_messages_are_one_range() {
    let mut queue: Queue<u8> = Queue::new(Window::default(), [], 0, 0);
    for batch in 0..1_000u64 {
        queue.published(batch * 1_000, &[100; 1_000]);
    }
    assert_eq!(queue.purge(), vec![0..1_000_000]);
}
