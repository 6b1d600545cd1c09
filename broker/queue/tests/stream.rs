//! The readers of a stream against a model that does everything the slow way:
//! each reader gets every message from its start on, once, in order, never more
//! than it has room for, and always as soon as it has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use warren_queue::Window;
use warren_queue::stream::Readers;

const WINDOW: Window = Window { messages: 7, bytes: 60 };

fn weight(offset: u64) -> u32 {
    (offset % 13) as u32 + 1
}

#[derive(Debug, Clone)]
enum Step {
    Attach {
        key: u8,
        back: Option<u64>,
        prefetch: u32,
        unacked: u32,
    },
    Found {
        key: u8,
        back: u64,
    },
    Detach {
        key: u8,
    },
    Written {
        key: u8,
        messages: u32,
    },
    Acked {
        key: u8,
        messages: u32,
    },
    Publish {
        messages: u64,
    },
    /// Turns, of which each is given at most so many messages; every so manieth starves.
    Serve {
        most: usize,
        starve: u64,
    },
    Fetched {
        key: u8,
        skip: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..4u8;
    prop_oneof![
        (key(), prop::option::of(0..20u64), 1..12u32, 0..4u32)
            .prop_map(|(key, back, prefetch, unacked)| Step::Attach { key, back, prefetch, unacked }),
        (key(), 0..20u64).prop_map(|(key, back)| Step::Found { key, back }),
        key().prop_map(|key| Step::Detach { key }),
        (key(), 0..9u32).prop_map(|(key, messages)| Step::Written { key, messages }),
        (key(), 0..9u32).prop_map(|(key, messages)| Step::Acked { key, messages }),
        (1..9u64).prop_map(|messages| Step::Publish { messages }),
        (1..5usize, 2..6u64).prop_map(|(most, starve)| Step::Serve { most, starve }),
        (key(), 0..3u64).prop_map(|(key, skip)| Step::Fetched { key, skip }),
    ]
}

#[derive(Debug, Default)]
struct Model {
    next: Option<u64>,
    prefetch: u32,
    unacked: u32,
    unwritten: Vec<u32>,
    starved: bool,
}

impl Model {
    fn has_room(&self) -> bool {
        self.unacked < self.prefetch
            && self.unwritten.len() < WINDOW.messages
            && self.unwritten.iter().map(|w| u64::from(*w)).sum::<u64>() < WINDOW.bytes
    }
}

proptest! {
    #[test]
    fn readers_get_everything_once_and_in_order(steps in prop::collection::vec(step(), 1..200)) {
        let mut end = 10;
        let mut readers = Readers::new(WINDOW, end);
        let mut model: BTreeMap<u8, Model> = BTreeMap::new();
        let mut turns = 0;
        for step in steps {
            match step {
                Step::Attach { key, back, prefetch, unacked } => {
                    let next = back.map(|back| (end + 3).saturating_sub(back));
                    readers.attach(key, next, prefetch, unacked);
                    model.insert(key, Model { next, prefetch, unacked, ..Model::default() });
                }
                Step::Found { key, back } => {
                    let next = end.saturating_sub(back);
                    let waits = model.get_mut(&key).filter(|m| m.next.is_none());
                    prop_assert_eq!(readers.found(&key, next), waits.is_some());
                    if let Some(model) = waits {
                        model.next = Some(next);
                    }
                }
                Step::Detach { key } => prop_assert_eq!(readers.detach(&key), model.remove(&key).is_some()),
                Step::Written { key, messages } => {
                    readers.written(&key, messages);
                    if let Some(model) = model.get_mut(&key) {
                        let count = (messages as usize).min(model.unwritten.len());
                        model.unwritten.drain(..count);
                    }
                }
                Step::Acked { key, messages } => {
                    readers.acked(&key, messages);
                    if let Some(model) = model.get_mut(&key) {
                        model.unacked = model.unacked.saturating_sub(messages);
                    }
                }
                Step::Publish { messages } => {
                    end += messages;
                    readers.extend(end);
                }
                Step::Fetched { key, skip } => {
                    let next = readers.next(&key).unwrap_or(0) + skip;
                    readers.fetched(&key, next);
                    if let Some(model) = model.get_mut(&key).filter(|model| model.starved) {
                        model.starved = false;
                        model.next = Some(next);
                    }
                }
                Step::Serve { most, starve } => {
                    while let Some(turn) = readers.turn() {
                        turns += 1;
                        let model = model.get_mut(&turn.key).unwrap();
                        prop_assert_eq!(Some(turn.next), model.next);
                        prop_assert!(!model.starved && model.has_room() && turn.messages > 0 && turn.next < end);
                        let mut given = Vec::new();
                        let mut bytes = 0;
                        let starved = turns % starve == 0;
                        for offset in turn.next..end {
                            if given.len() == turn.messages.min(most) || bytes >= turn.bytes || starved {
                                break;
                            }
                            bytes += u64::from(weight(offset));
                            given.push(weight(offset));
                        }
                        let next = turn.next + given.len() as u64;
                        readers.gave(&turn.key, given.iter().copied(), next, starved);
                        model.next = Some(next);
                        model.unacked += given.len() as u32;
                        model.unwritten.extend(&given);
                        model.starved = starved && next < end;
                        prop_assert!(model.unacked <= model.prefetch.max(4) && model.unwritten.len() <= WINDOW.messages);
                    }
                    // Whoever could go on has.
                    for (key, model) in &model {
                        let done = model.next.is_none_or(|next| next >= end) || !model.has_room() || model.starved;
                        prop_assert!(done, "reader {key} waits for nothing: {model:?}, end {end}");
                    }
                }
            }
            prop_assert_eq!(readers.len(), model.len());
            prop_assert_eq!(readers.unacked(), model.values().map(|m| u64::from(m.unacked)).sum::<u64>());
        }
    }
}
