//! De-duplicating exchanges (`x-message-deduplication`). Such an exchange routes
//! each value of `x-deduplication-header` on once; who remembers the values are
//! the queues behind it, in the logs in which the messages are: so a value is
//! known if and only if its message is, whoever leads. Here is which queues those
//! are, and whose messages they look at. Texts are the plugin's.

use std::collections::BTreeSet;

use warren_replication::types::QueueId;

use super::State;
use super::command::Change;
use super::kinds::ExchangeKind;
use super::queues::Queue;
use super::refusal::Refusal;
use super::topology::{Destination, Exchange, Vhost};
use super::value::{Arguments, Value};

const SIZE: &str = "x-cache-size";
const TTL: &str = "x-cache-ttl";
const PERSISTENCE: &str = "x-cache-persistence";

/// Messages published to one exchange come to a queue through a de-duplicating one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once<'a> {
    /// Where they were published.
    pub exchange: &'a str,
    /// The de-duplicating exchange.
    pub by: &'a str,
    /// How many values it wants remembered.
    pub size: u32,
    /// And for how long, in milliseconds.
    pub ttl: Option<u64>,
}

/// A whole number above 0; clients may write it as text.
fn positive(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Text(_) => value.as_str().and_then(|text| text.parse().ok()),
        other => other.as_integer(),
    };
    number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

/// Whether a new de-duplicating exchange may have these arguments.
pub(super) fn check(arguments: &Arguments) -> Result<(), Refusal> {
    let refused = |text: String| Err(Refusal::Argument(text));
    if arguments.get(SIZE).and_then(positive).is_none() {
        return refused(format!("Missing or invalid argument, '{SIZE}' must be an integer greater than 0"));
    }
    if arguments.get(TTL).is_some_and(|ttl| positive(ttl).is_none()) {
        return refused(format!("Invalid argument, '{TTL}' must be an integer greater than 0"));
    }
    let persistence = arguments.get(PERSISTENCE).map(Value::as_str);
    if !matches!(persistence, None | Some(Some("disk" | "memory"))) {
        return refused(format!("Invalid argument, '{PERSISTENCE}' must be either 'disk' or 'memory'"));
    }
    Ok(())
}

impl Exchange {
    /// Whether it routes each value on once.
    #[must_use]
    pub fn deduplicates(&self) -> bool {
        self.routes_as() == ExchangeKind::Deduplicating
    }
}

impl Vhost {
    /// Those exchanges, and all that lead to them: by bindings, or as alternates.
    fn leading_to<'a>(&'a self, exchanges: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut ahead: Vec<&str> = exchanges.into_iter().collect();
        while let Some(name) = ahead.pop() {
            let Some(exchange) = self.exchanges.get(name).filter(|_| found.insert(name)) else { continue };
            ahead.extend(exchange.bound_to.iter().map(String::as_str));
            let others = self.exchanges.iter().filter(|(_, other)| other.alternate() == Some(name));
            ahead.extend(others.map(|(other, _)| other.as_str()));
        }
        found
    }

    /// The queues that an exchange leads to.
    fn led_to_by(&self, exchange: &str) -> BTreeSet<QueueId> {
        let (mut queues, mut visited) = (BTreeSet::new(), BTreeSet::new());
        let mut ahead = vec![exchange];
        while let Some(name) = ahead.pop() {
            let Some(exchange) = self.exchanges.get(name).filter(|_| visited.insert(name)) else { continue };
            ahead.extend(exchange.alternate());
            for binding in &exchange.bindings {
                match &binding.destination {
                    Destination::Queue(queue) => {
                        queues.insert(*queue);
                    }
                    Destination::Exchange(name) => ahead.push(name),
                }
            }
        }
        queues
    }
}

impl State {
    /// Whose messages a queue takes once a value, and by which exchange.
    #[must_use]
    pub fn once(&self, queue: &Queue) -> Vec<Once<'_>> {
        let Ok(vhost) = self.vhost(&queue.vhost) else { return Vec::new() };
        if vhost.deduplicating.is_empty() {
            return Vec::new();
        }
        let bound = vhost.exchanges.keys().map(String::as_str).filter(|name| queue.bound_to.contains(*name));
        let mut all = Vec::new();
        for by in vhost.leading_to(bound) {
            let Some(exchange) = vhost.exchanges.get(by).filter(|exchange| exchange.deduplicates()) else { continue };
            let number = |key: &str| exchange.arguments.get(key).and_then(positive);
            let size = number(SIZE).and_then(|size| u32::try_from(size).ok()).unwrap_or(u32::MAX);
            let leading = vhost.leading_to([by]).into_iter();
            all.extend(leading.map(|exchange| Once { exchange, by, size, ttl: number(TTL) }));
        }
        all
    }

    /// Ways out of an exchange came or went: what the queues behind them take once
    /// may be other messages now.
    pub(super) fn note_once<'a>(
        &self,
        vhost: &str,
        destinations: impl IntoIterator<Item = &'a Destination>,
        changes: &mut Vec<Change>,
    ) {
        let Some(vhost) = self.vhosts.get(vhost).filter(|vhost| !vhost.deduplicating.is_empty()) else { return };
        let mut queues = BTreeSet::new();
        for destination in destinations {
            match destination {
                Destination::Queue(queue) => {
                    queues.insert(*queue);
                }
                Destination::Exchange(name) => queues.append(&mut vhost.led_to_by(name)),
            }
        }
        changes.extend(queues.into_iter().filter(|queue| self.queues.contains_key(queue)).map(Change::Queue));
    }
}
