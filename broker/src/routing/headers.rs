//! Headers exchanges: a binding's arguments are compared with the message's
//! headers, all of them or any (`x-match`). Arguments whose names begin with
//! `x-` count only for `all-with-x` and `any-with-x`; one without a value asks
//! only for the header to be there.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use warren_membership::catalog::{Arguments, Destination, Value};

use super::targets::{Found, Targets};

/// Destinations by binding arguments: equal ones are compared once.
#[derive(Debug, Default)]
pub(super) struct Headers(BTreeMap<Arguments, (Condition, Targets)>);

/// Binding arguments, ready to compare.
#[derive(Debug)]
struct Condition {
    all: bool,
    /// Name and value wanted.
    wanted: Vec<(String, Value)>,
}

impl Condition {
    fn of(arguments: &Arguments) -> Self {
        let kind = arguments.get("x-match").and_then(Value::as_str).unwrap_or("all");
        let counts = |name: &str| name != "x-match" && (kind.ends_with("-with-x") || !name.starts_with("x-"));
        let wanted = arguments.iter().filter(|(name, _)| counts(name));
        Self {
            all: !kind.starts_with("any"),
            wanted: wanted.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    fn holds(&self, headers: &Arguments) -> bool {
        let mut met = self.wanted.iter().map(|(name, wanted)| {
            headers.get(name).is_some_and(|value| *wanted == Value::Void || alike(wanted, value))
        });
        if self.all { met.all(|met| met) } else { met.any(|met| met) }
    }
}

/// Equality as RabbitMQ has it here: by number, whatever the type of the number
/// (times are numbers, too), and by octets.
fn alike(one: &Value, other: &Value) -> bool {
    let whole = |value: &Value| match value {
        Value::Timestamp(seconds) => Some(i128::from(*seconds)),
        other => other.as_integer().map(i128::from),
    };
    let float = |value: &Value| match value {
        Value::F32(bits) => Some(f64::from(f32::from_bits(*bits))),
        Value::F64(bits) => Some(f64::from_bits(*bits)),
        other => whole(other).map(|number| number as f64),
    };
    match (one, other) {
        (Value::Text(one) | Value::Binary(one), Value::Text(other) | Value::Binary(other)) => one == other,
        _ => match (whole(one), whole(other)) {
            (Some(one), Some(other)) => one == other,
            _ => match (float(one), float(other)) {
                (Some(one), Some(other)) => one.partial_cmp(&other) == Some(Ordering::Equal),
                _ => one == other,
            },
        },
    }
}

impl Headers {
    pub(super) fn insert(&mut self, arguments: &Arguments, destination: Destination) {
        let bound = self.0.entry(arguments.clone());
        bound.or_insert_with(|| (Condition::of(arguments), Targets::None)).1.insert(destination);
    }

    pub(super) fn remove(&mut self, arguments: &Arguments, destination: &Destination) {
        if let Some((_, targets)) = self.0.get_mut(arguments) {
            targets.remove(destination);
            if targets.is_empty() {
                self.0.remove(arguments);
            }
        }
    }

    pub(super) fn route<'a>(&'a self, headers: &Arguments, found: &mut Found<'a>) {
        for (condition, targets) in self.0.values() {
            if condition.holds(headers) {
                targets.add_to(found);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;
    use warren_replication::types::QueueId;

    use super::*;

    fn table(fields: &[(&str, Value)]) -> Arguments {
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn matches(binding: &[(&str, Value)], headers: &[(&str, Value)]) -> bool {
        let mut exchange = Headers::default();
        exchange.insert(&table(binding), Destination::Queue(QueueId(1)));
        let mut found = Found::default();
        exchange.route(&table(headers), &mut found);
        let matched = !std::mem::take(&mut found.queues).is_empty();
        drop(found);
        exchange.remove(&table(binding), &Destination::Queue(QueueId(1)));
        assert!(exchange.0.is_empty());
        matched
    }

    #[test]
    fn all_or_any_of_the_arguments_must_be_met() {
        let (a, b, x) = (("a", Value::I32(1)), ("b", Value::text("t")), ("x-c", Value::Bool(true)));
        let kind = |kind: &str| ("x-match", Value::text(kind));
        let cases = [
            (vec![kind("all"), a.clone(), b.clone()], vec![a.clone(), b.clone()], true),
            (vec![kind("all"), a.clone(), b.clone()], vec![a.clone()], false),
            (vec![kind("any"), a.clone(), b.clone()], vec![a.clone()], true),
            (vec![kind("any"), a.clone(), b.clone()], vec![("a", Value::I32(2))], false),
            (vec![a.clone()], vec![a.clone(), b.clone()], true),
            (vec![a.clone()], vec![], false),
            (vec![], vec![], true),
            (vec![kind("any")], vec![a.clone()], false),
            (vec![a.clone()], vec![("a", Value::I64(1))], true),
            (vec![("a", Value::Void)], vec![a.clone()], true),
            (vec![("a", Value::Void)], vec![b.clone()], false),
            (vec![kind("all"), a.clone(), x.clone()], vec![a.clone()], true),
            (vec![kind("all-with-x"), a.clone(), x.clone()], vec![a.clone()], false),
            (vec![kind("all-with-x"), a.clone(), x.clone()], vec![a.clone(), x.clone()], true),
            (vec![kind("any"), x.clone()], vec![x.clone()], false),
            (vec![kind("any-with-x"), a.clone(), x.clone()], vec![x.clone()], true),
        ];
        for (binding, headers, expected) in cases {
            assert_eq!(matches(&binding, &headers), expected, "{binding:?} {headers:?}");
        }
    }

    #[test]
    fn values_are_alike_by_number_and_by_octets() {
        let numbers = [
            Value::I32(1),
            Value::I64(1),
            Value::U8(1),
            Value::F64(1f64.to_bits()),
            Value::F32(1f32.to_bits()),
            Value::Timestamp(1),
        ];
        let octets = [Value::text("1"), Value::Binary("1".into())];
        let others = [
            Value::Bool(true),
            Value::Decimal(0, 1),
            Value::Array(vec![Value::I32(1)]),
            Value::Table(table(&[("k", Value::I32(1))])),
            Value::I32(2),
        ];
        let classes: Vec<&[Value]> = [&numbers[..], &octets[..]].into_iter().chain(others.chunks(1)).collect();
        for (n, class) in classes.iter().enumerate() {
            for (m, other) in classes.iter().enumerate() {
                let all = class.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
                for (a, b) in all {
                    assert_eq!(alike(a, b), n == m, "{a:?} {b:?}");
                }
            }
        }
    }

    /// RabbitMQ's way, over two lists sorted by name.
    fn rabbit(mut binding: &[(&str, Value)], mut headers: &[(&str, Value)], kind: &str) -> bool {
        let (mut all, mut any) = (true, false);
        while let [(wanted, value), rest @ ..] = binding {
            if *wanted == "x-match" || (wanted.starts_with("x-") && !kind.ends_with("-with-x")) {
                binding = rest;
                continue;
            }
            match headers {
                [] => {
                    all = false;
                    break;
                }
                [(name, _), behind @ ..] if wanted > name => headers = behind,
                [(name, _), ..] if wanted < name => {
                    all = false;
                    binding = rest;
                }
                [(_, found), behind @ ..] => {
                    let met = *value == Value::Void || alike(value, found);
                    any |= met;
                    all &= met;
                    (binding, headers) = (rest, behind);
                }
            }
        }
        if kind.starts_with("all") { all } else { any }
    }

    proptest! {
        #[test]
        fn bindings_match_as_in_rabbitmq(
            kind in prop::sample::select(vec!["all", "any", "all-with-x", "any-with-x"]),
            binding in prop::collection::btree_map("[ab]|x-[ab]", 0u8..4, 0..4),
            headers in prop::collection::btree_map("[abc]|x-[ab]", 0u8..4, 0..5),
        ) {
            let value = |n: &u8| [Value::Void, Value::I32(1), Value::I64(1), Value::text("1")][usize::from(*n)].clone();
            let headers: Vec<_> = headers.iter().map(|(name, n)| (name.as_str(), value(n))).collect();
            let mut binding: Vec<_> = binding.iter().map(|(name, n)| (name.as_str(), value(n))).collect();
            binding.push(("x-match", Value::text(kind)));
            binding.sort();
            prop_assert_eq!(matches(&binding, &headers), rabbit(&binding, &headers, kind), "{:?} {:?}", binding, headers);
        }
    }
}
