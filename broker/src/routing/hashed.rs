//! Consistent-hash exchanges: a message goes to one of the destinations, by a
//! hash of its routing key, of a header or of a property. A binding key is its
//! destination's weight. All nodes choose the same: hash and order of the
//! destinations depend on nothing but the catalog.
//!
//! Weights are laid end to end as buckets, in the order of the destinations (of
//! queues: that of their making), and a bucket is found by jump consistent hash:
//! what is added behind the others takes its share of each and moves nothing
//! else. A change costs a pass over the exchange's destinations.

use std::collections::BTreeMap;

use warren_membership::catalog::{Destination, HashOn};

use super::message::Routed;
use super::targets::Found;

/// Destinations by weight.
#[derive(Debug)]
pub(super) struct ConsistentHash {
    on: HashOn,
    /// Weight and number of bindings.
    weights: BTreeMap<Destination, (u64, u32)>,
    /// Where the destinations' buckets end.
    ends: Vec<(u64, Destination)>,
}

impl ConsistentHash {
    pub(super) fn new(on: HashOn) -> Self {
        Self { on, weights: BTreeMap::new(), ends: Vec::new() }
    }

    /// Whether it goes by more than the routing key.
    pub(super) fn reads_properties(&self) -> bool {
        self.on != HashOn::RoutingKey
    }

    pub(super) fn insert(&mut self, key: &str, destination: Destination) {
        let (weight, bindings) = self.weights.entry(destination).or_default();
        *weight += weight_of(key);
        *bindings += 1;
        self.lay();
    }

    pub(super) fn remove(&mut self, key: &str, destination: &Destination) {
        if let Some((weight, bindings)) = self.weights.get_mut(destination) {
            *weight -= weight_of(key).min(*weight);
            *bindings -= 1;
            if *bindings == 0 {
                self.weights.remove(destination);
            }
            self.lay();
        }
    }

    fn lay(&mut self) {
        let mut end = 0;
        self.ends.clear();
        self.ends.extend(self.weights.iter().map(|(destination, (weight, _))| {
            end += weight;
            (end, destination.clone())
        }));
    }

    pub(super) fn route<'a>(&'a self, message: &Routed<'_>, found: &mut Found<'a>) {
        let Some((total, _)) = self.ends.last() else { return };
        let bucket = jump(self.hash(message), *total);
        let place = self.ends.partition_point(|(end, _)| *end <= bucket);
        if let Some((_, destination)) = self.ends.get(place) {
            found.add(destination);
        }
    }

    /// Messages that lack what is asked for have the same hash.
    fn hash(&self, message: &Routed<'_>) -> u64 {
        let properties = message.properties;
        match &self.on {
            HashOn::RoutingKey => hash(message.keys.first().map_or(&[][..], |key| key.as_bytes())),
            HashOn::Header(name) => {
                let value = message.headers().and_then(|headers| headers.get(name));
                value.map_or_else(
                    || hash(&[]),
                    |value| hash(&warren_amqp::FieldArray::from_iter([value]).as_bytes()[..]),
                )
            }
            HashOn::CorrelationId => hash(&properties.and_then(|p| p.correlation_id()).unwrap_or_default()),
            HashOn::MessageId => hash(&properties.and_then(|p| p.message_id()).unwrap_or_default()),
            HashOn::Timestamp => {
                let timestamp = properties.and_then(|p| p.timestamp());
                timestamp.map_or_else(|| hash(&[]), |seconds| hash(&seconds.to_be_bytes()))
            }
        }
    }
}

/// The catalog admits positive numbers only; very large ones count alike, so
/// that sums stay far from their end.
fn weight_of(key: &str) -> u64 {
    key.parse::<i128>().ok().and_then(|weight| u64::try_from(weight).ok()).unwrap_or(u64::MAX).clamp(1, u32::MAX.into())
}

/// FNV-1a, its bits then mixed. Not to be changed: nodes of different releases
/// must agree.
fn hash(octets: &[u8]) -> u64 {
    let mut hash = octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Jump consistent hash (Lamping, Veach): a bucket below `buckets`, which is not 0.
fn jump(mut key: u64, buckets: u64) -> u64 {
    let (mut bucket, mut next) = (0, 0);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_amqp::{FieldTable, Properties, PropertiesBuilder, Value};
    use warren_replication::types::QueueId;

    use super::*;

    fn queue(id: u64) -> Destination {
        Destination::Queue(QueueId(id))
    }

    fn of(on: HashOn, weights: &[(u64, &str)]) -> ConsistentHash {
        let mut exchange = ConsistentHash::new(on);
        weights.iter().for_each(|(id, weight)| exchange.insert(weight, queue(*id)));
        exchange
    }

    fn route(exchange: &ConsistentHash, key: &str, properties: Option<&Properties>) -> u64 {
        let mut found = Found::default();
        exchange.route(&Routed::new(&[key], properties), &mut found);
        let [queue] = found.queues[..] else { panic!("{:?}", found.queues) };
        queue.0
    }

    fn shares(exchange: &ConsistentHash) -> Vec<u64> {
        (0..10_000).map(|n| route(exchange, &format!("key {n}"), None)).collect()
    }

    #[test]
    fn a_message_goes_to_one_destination_by_its_weight() {
        let exchange = of(HashOn::RoutingKey, &[(1, "1"), (2, "2"), (3, "1")]);
        let chosen = shares(&exchange);
        for (id, share) in [(1, 2500), (2, 5000), (3, 2500)] {
            let got = chosen.iter().filter(|queue| **queue == id).count();
            assert!(got.abs_diff(share) < 300, "queue {id}: {got}");
        }
        let (empty, mut found) = (of(HashOn::RoutingKey, &[]), Found::default());
        empty.route(&Routed::new(&["k"], None), &mut found);
        assert!(found.queues.is_empty());
    }

    #[test]
    fn one_more_destination_takes_its_share_and_moves_nothing_else() {
        let mut exchange = of(HashOn::RoutingKey, &[(1, "1"), (2, "1"), (3, "1")]);
        let before = shares(&exchange);
        exchange.insert("1", queue(4));
        let after = shares(&exchange);
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == 4));
        assert!(after.iter().filter(|queue| **queue == 4).count().abs_diff(2500) < 300);
        exchange.remove("1", &queue(4));
        assert_eq!(shares(&exchange), before);
    }

    #[test]
    fn the_choice_is_the_same_in_every_release() {
        let exchange = of(HashOn::RoutingKey, &[(1, "10"), (2, "10"), (3, "10")]);
        let chosen: Vec<u64> = ["a", "b", "c", "order.1", "order.2", ""].map(|key| route(&exchange, key, None)).into();
        assert_eq!(chosen, [3, 3, 3, 3, 2, 1]);
    }

    #[test]
    fn headers_and_properties_decide_instead_of_the_key() {
        let by = |headers: FieldTable, id: Option<&'static str>, timestamp| {
            let builder = PropertiesBuilder {
                headers: Some(headers),
                message_id: id.map(Into::into),
                correlation_id: id.map(Into::into),
                timestamp,
                ..PropertiesBuilder::default()
            };
            Properties::parse(&builder.encode()).unwrap()
        };
        let weights = [(1, "1"), (2, "1"), (3, "1"), (4, "1"), (5, "1"), (6, "1"), (7, "1")];
        let mut met = std::collections::BTreeSet::new();
        for n in 0..50_i32 {
            let id: &'static str = Box::leak(n.to_string().into_boxed_str());
            let properties = by(FieldTable::from([("h", Value::from(n))]), Some(id), Some(n.unsigned_abs().into()));
            for on in [HashOn::Header("h".into()), HashOn::MessageId, HashOn::CorrelationId, HashOn::Timestamp] {
                let exchange = of(on.clone(), &weights);
                assert!(exchange.reads_properties());
                let chosen = route(&exchange, "a", Some(&properties));
                assert_eq!(chosen, route(&exchange, "b", Some(&properties)));
                met.insert((format!("{on:?}"), chosen));
            }
        }
        assert_eq!(met.len(), 4 * 7);
        // What lacks it has a place, too.
        let exchange = of(HashOn::Header("h".into()), &weights);
        assert_eq!(route(&exchange, "a", None), route(&exchange, "b", Some(&by(FieldTable::default(), None, None))));
    }
}
