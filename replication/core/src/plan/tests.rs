#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};

use super::*;

/// Just enough of a self-describing format to write policies down in tests.
#[derive(Clone)]
enum Toml {
    Number(i64),
    Text(&'static str),
    List(Vec<Toml>),
    Table(Vec<(&'static str, Toml)>),
}

impl<'de> Deserializer<'de> for Toml {
    type Error = Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Number(n) => visitor.visit_i64(n),
            Self::Text(text) => visitor.visit_str(text),
            Self::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Self::Table(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
        }
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Text(text) => {
                IntoDeserializer::<Error>::into_deserializer(text).deserialize_enum(name, variants, visitor)
            }
            _ => panic!("an enum is text here"),
        }
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Toml {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

fn read(entries: Vec<(&'static str, Toml)>) -> Result<Policy, String> {
    let mut table = vec![("name", Toml::Text("p")), ("pattern", Toml::Text("^a"))];
    if !entries.iter().any(|(key, _)| *key == "mode") {
        table.push(("mode", Toml::Text("mirror")));
    }
    table.extend(entries);
    let source = PolicySource::deserialize(Toml::Table(table)).map_err(|e| e.to_string())?;
    Policy::try_from(source).map_err(|e| e.to_string())
}

fn mirror(entries: Vec<(&'static str, Toml)>) -> Result<Mirror, String> {
    read(vec![("mirror", Toml::Table(entries))]).map(|policy| match policy.mode {
        Mode::Mirror(mirror) => mirror,
    })
}

#[test]
fn a_policy_without_settings_has_the_defaults() {
    let policy = read(vec![]).unwrap();
    assert_eq!((policy.vhost.as_str(), policy.priority, policy.apply_to), ("/", 0, ApplyTo::All));
    assert_eq!(policy.mode, Mode::Mirror(Mirror::default()));
}

#[test]
fn replicas_are_a_number_all_or_nodes() {
    use Toml::{List, Number, Text};
    assert_eq!(mirror(vec![("replicas", Number(2))]).unwrap().replicas, Replicas::Count(2));
    assert_eq!(mirror(vec![("replicas", Text("all"))]).unwrap().replicas, Replicas::All);
    let nodes = mirror(vec![("replicas", List(vec![Text("b"), Text("a")])), ("leaders", Text("first"))]).unwrap();
    assert_eq!(nodes.replicas, Replicas::Nodes(vec!["b".into(), "a".into()]));
    assert_eq!(nodes.leaders, Leaders::First);
}

#[test]
fn what_cannot_hold_is_refused_with_its_key() {
    use Toml::{List, Number, Text};
    let cases: Vec<(Vec<(&str, Toml)>, &str)> = vec![
        (vec![("replicas", Number(0))], "`replicas`: must be at least 1"),
        (vec![("replicas", Number(-1))], "invalid value: integer `-1`"),
        (vec![("replicas", Text("some"))], "a number of replicas, \"all\", or a list of node names"),
        (vec![("replicas", List(vec![]))], "names no node"),
        (vec![("replicas", List(vec![Text("a"), Text("b"), Text("a")]))], "names 'a' twice"),
        (vec![("min-in-sync", Number(0))], "`min-in-sync`: must be at least 1"),
        (vec![("replicas", Number(2)), ("min-in-sync", Number(3))], "3 is more than the 2 replicas"),
        (vec![("leaders", Text("first"))], "needs `replicas` to be a list"),
        (vec![("sync", Text("x"))], "unknown field `sync`"),
    ];
    for (entries, expected) in cases {
        let error = mirror(entries).unwrap_err();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    for mode in ["primary-backup", "remote", "multi-active"] {
        let error = read(vec![("mode", Toml::Text(mode))]).unwrap_err();
        assert!(error.contains(mode) && error.contains("not supported yet"), "{error}");
    }
    assert!(read(vec![("mode", Toml::Text("magic"))]).unwrap_err().contains("unknown mode \"magic\""));
    let limits = read(vec![("limits", Toml::Table(vec![("max-length", Toml::Number(1))]))]).unwrap_err();
    assert_eq!(limits, "`limits` is not supported yet");
}

#[test]
fn the_highest_priority_wins_then_the_first_name() {
    let policy = |name: &str, priority| Policy { name: name.into(), priority, ..read(vec![]).unwrap() };
    assert!(policy("z", 2).beats(&policy("a", 1)));
    assert!(!policy("a", 1).beats(&policy("z", 2)));
    assert!(policy("a", 1).beats(&policy("z", 1)));
    assert!(!policy("z", 1).beats(&policy("a", 1)));
}

#[test]
fn a_majority_counts_replicas_and_a_number_is_meant() {
    let cases = [(MinInSync::Majority, [1, 2, 2, 3, 3]), (MinInSync::Count(2), [2; 5])];
    for (min, expected) in cases {
        let got: Vec<u32> = (1..=5).map(|n| min.of(n)).collect();
        assert_eq!(got, expected);
    }
    assert_eq!(MinInSync::Majority.of(0), 1);
}

#[test]
fn a_plan_explains_itself() {
    let named = read(vec![]).unwrap().plan().explain();
    assert!(named.contains("Policy 'p'") && named.contains("up to 3 nodes") && named.contains("majority"), "{named}");
    let local = Plan::unnamed(false).explain();
    assert!(local.contains("No policy matches") && local.contains("goes with that node's process"), "{local}");
    assert_eq!((Plan::unnamed(true).mode(), Plan::unnamed(false).mode()), ("mirror", "local"));
}
