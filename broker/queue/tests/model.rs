//! The queue against a naive model: every message in a plain map, every
//! consumer in a plain list.

#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use warren_queue::{Leave, Options, Queue, Window};

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
    messages: BTreeMap<u64, (Place, u32)>,
    consumers: Vec<ModelConsumer>,
    next: u64,
    horizon: u64,
    open: bool,
    inherited: u64,
    clock: u64,
}

impl Model {
    fn room(&self, c: &ModelConsumer) -> bool {
        let counts = |place: &Place| [Place::Held(c.key), Place::Returning(c.key)].contains(place);
        let held = self.messages.values().filter(|(place, _)| counts(place)).count() as u32;
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
            .min_by_key(|i| (std::cmp::Reverse(self.consumers[*i].options.priority), self.consumers[*i].since))
    }

    fn deliverable(&self) -> Option<u64> {
        let first = self.messages.iter().find(|(_, (p, _))| *p == Place::Ready).map(|(o, _)| *o)?;
        (self.open && first < self.horizon).then_some(first)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    Horizon(u8),
    Open,
    Attach { key: u8, prefetch: u32, no_ack: bool, exclusive: bool, priority: i32 },
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
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u8..5).prop_map(Step::Publish),
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
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_naive_queue(steps in prop::collection::vec(step(), 1..120)) {
        let mut queue: Queue<u8> = Queue::new(WINDOW, [0..6u64], 6, 3);
        let mut model = Model { next: 6, inherited: 3, ..Model::default() };
        model.messages = (0..6).map(|o| (o, (Place::Ready, 0))).collect();
        for step in steps {
            match step {
                Step::Publish(n) => {
                    let weights: Vec<u32> = (0..u32::from(n)).map(|i| 10 + i).collect();
                    queue.published(model.next, &weights);
                    for _ in 0..n {
                        model.messages.insert(model.next, (Place::Ready, 0));
                        model.next += 1;
                    }
                }
                Step::Horizon(to) => {
                    queue.set_horizon(u64::from(to));
                    model.horizon = model.horizon.max(u64::from(to));
                }
                Step::Open => { queue.open(); model.open = true; }
                Step::Attach { key, prefetch, no_ack, exclusive, priority } => {
                    let options = Options { prefetch, no_ack, exclusive, priority };
                    let others = model.consumers.iter().filter(|c| c.key != key).count();
                    let taken = model.consumers.iter().any(|c| c.key != key && c.options.exclusive);
                    let refused = taken || (exclusive && others > 0);
                    prop_assert_eq!(queue.attach(key, options).is_err(), refused);
                    if !refused {
                        let new = ModelConsumer { key, options, unwritten: vec![], suspended: false, since: 0, had_room: false };
                        match model.consumers.iter_mut().find(|c| c.key == key) {
                            Some(old) => *old = new,
                            None => model.consumers.push(new),
                        }
                    }
                }
                Step::Detach(key) => {
                    let before = model.consumers.len();
                    model.consumers.retain(|c| c.key != key);
                    prop_assert_eq!(queue.detach(&key), model.consumers.len() != before);
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
                    let got = queue.deliver(10, model.deliverable().map_or(0, |o| model.messages[&o].1));
                    prop_assert_eq!(got.is_some(), expected.is_some());
                    if let (Some(got), Some((offset, i))) = (got, expected) {
                        prop_assert_eq!((got.key, got.offset), (model.consumers[i].key, offset));
                        let (place, count) = model.messages[&offset];
                        prop_assert_eq!(place, Place::Ready);
                        prop_assert_eq!(got.redelivered, count > 0 || offset < model.inherited);
                        model.messages.insert(offset, (Place::Held(got.key), count));
                        model.consumers[i].unwritten.push(10);
                        model.clock += 1;
                        model.consumers[i].since = model.clock;
                    }
                }
                Step::Get(key) => {
                    let expected = model.deliverable();
                    let count = expected.map_or(0, |o| model.messages[&o].1);
                    let got = queue.get(key, 10, count);
                    prop_assert_eq!(got.map(|d| d.offset), expected);
                    if let Some(o) = expected { model.messages.insert(o, (Place::Held(key), count)); }
                }
                Step::Settle(o) => {
                    let o = u64::from(o);
                    let (expected, place) = match model.messages.get(&o).map(|m| m.0) {
                        None => (Leave::Unknown, None),
                        Some(Place::Held(k)) => (Leave::Leaving, Some(Place::Settling(k))),
                        Some(Place::Returning(k)) => (Leave::Leaving, Some(Place::ReturningThenSettling(k))),
                        Some(Place::Ready) => (Leave::Leaving, Some(Place::Leaving)),
                        Some(_) => (Leave::Already, None),
                    };
                    prop_assert_eq!(queue.settle(o), expected);
                    if let (Some(place), Some(m)) = (place, model.messages.get_mut(&o)) { m.0 = place; }
                }
                Step::GiveBack(o) => {
                    let o = u64::from(o);
                    let held = match model.messages.get_mut(&o) {
                        Some(m) => match m.0 { Place::Held(k) => { m.0 = Place::Returning(k); true } _ => false },
                        None => false,
                    };
                    prop_assert_eq!(queue.give_back(o), held);
                }
                Step::Commit(o, settle) => {
                    let o = u64::from(o);
                    match model.messages.get(&o).copied() {
                        Some((Place::Returning(k), count)) if !settle => {
                            prop_assert_eq!(queue.returned(o), Some(k));
                            model.messages.insert(o, (Place::Ready, count + 1));
                        }
                        Some((Place::ReturningThenSettling(k), count)) if !settle => {
                            prop_assert_eq!(queue.returned(o), Some(k));
                            model.messages.insert(o, (Place::Leaving, count + 1));
                        }
                        Some((place, _)) if settle => {
                            let holder = match place {
                                Place::Held(k) | Place::Settling(k) | Place::Returning(k) | Place::ReturningThenSettling(k) => Some(k),
                                Place::Ready | Place::Leaving => None,
                            };
                            prop_assert_eq!(queue.settled(o), holder);
                            model.messages.remove(&o);
                        }
                        None if settle => prop_assert_eq!(queue.settled(o), None),
                        _ => {}
                    }
                }
                Step::Release(o) => {
                    let o = u64::from(o);
                    let held = matches!(model.messages.get(&o), Some((Place::Held(_), _)));
                    prop_assert_eq!(queue.release(o), held);
                    if held { model.messages.entry(o).and_modify(|m| m.0 = Place::Ready); }
                }
                Step::Claim(o, key) => {
                    let o = u64::from(o);
                    let count = model.messages.get(&o).map_or(0, |m| m.1);
                    let free = matches!(model.messages.get(&o), Some((Place::Ready, _)));
                    prop_assert!(!queue.claim(o, key, count, count + 1), "a stale claim holds nothing");
                    prop_assert_eq!(queue.claim(o, key, count, count), free);
                    if free { model.messages.insert(o, (Place::Held(key), count)); }
                }
                Step::Purge => {
                    let purged: Vec<u64> = queue.purge().into_iter().flatten().collect();
                    let expected: Vec<u64> = model.messages.iter().filter(|(_, m)| m.0 == Place::Ready).map(|(o, _)| *o).collect();
                    prop_assert_eq!(&purged, &expected);
                    for o in purged { model.messages.entry(o).and_modify(|m| m.0 = Place::Leaving); }
                }
            }
            model.settle_rooms();
            let counts = queue.counts();
            let ready = model.messages.values().filter(|m| m.0 == Place::Ready).count() as u64;
            let unacked = model.messages.values().filter(|m| matches!(m.0, Place::Held(_))).count() as u64;
            prop_assert_eq!((counts.ready, counts.unacked), (ready, unacked));
            prop_assert_eq!(counts.consumers as usize, model.consumers.len());
            let keys: Vec<u8> = model.consumers.iter().map(|c| c.key).collect();
            prop_assert_eq!(queue.consumers(), keys);
            for key in 0..5u8 {
                let held: Vec<u64> = queue.held_by(|k| *k == key).into_iter().map(|h| h.0).collect();
                let expected: Vec<u64> = model.messages.iter().filter(|(_, m)| m.0 == Place::Held(key)).map(|(o, _)| *o).collect();
                prop_assert_eq!(held, expected);
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
