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
        Some(Mode::Mirror(mirror)) => mirror,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_policy_without_settings_has_the_defaults() {
    let policy = read(vec![]).unwrap();
    assert_eq!((policy.vhost.as_str(), policy.priority, policy.apply_to), ("/", 0, ApplyTo::All));
    assert_eq!(policy.mode, Some(Mode::Mirror(Mirror::default())));
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
        (vec![("replicas", Number(0))], "`mirror.replicas`: must be at least 1"),
        (vec![("replicas", Number(-1))], "invalid value: integer `-1`"),
        (vec![("replicas", Text("some"))], "a number of replicas, \"all\", or a list of node names"),
        (vec![("replicas", List(vec![]))], "names no node"),
        (vec![("replicas", List(vec![Text("a"), Text("b"), Text("a")]))], "names 'a' twice"),
        (vec![("min-in-sync", Number(0))], "`mirror.min-in-sync`: must be at least 1"),
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
    assert!(read(vec![("mode", Toml::Text("magic"))]).unwrap_err().contains("unknown mode \"magic\""));
    let asynchronous = vec![("nodes", Toml::List(vec![Toml::Text("a")])), ("replication", Toml::Text("async"))];
    let asynchronous = vec![("mode", Toml::Text("primary-backup")), ("primary-backup", Toml::Table(asynchronous))];
    let max_lag = read(asynchronous).unwrap().plan(true).max_lag.unwrap();
    assert_eq!((max_lag.messages, max_lag.micros), (10_000, 2_000_000));
}

#[test]
fn multi_active_names_the_other_sites_and_is_for_what_its_scope_says() {
    use Toml::{List, Table, Text};
    let site = |name| Table(vec![("name", Text(name)), ("uri", Text("amqp://h")), ("credentials-env", Text("X"))]);
    let policy = |scope, sites, apply_to| {
        let settings = Table(vec![("scope", Text(scope)), ("sites", List(sites))]);
        read(vec![("mode", Text("multi-active")), ("apply-to", Text(apply_to)), ("multi-active", settings)])
    };
    let Some(Link::Sites(sites)) = policy("exchange", vec![site("b"), site("c")], "exchanges").unwrap().link else {
        panic!("no sites");
    };
    assert_eq!(sites.sites[0].credentials, Some(Credentials::Env("X".into())));
    assert!(sites.explain().contains("multi-active with 'b', 'c'"), "{}", sites.explain());
    let Some(Link::Sites(sites)) = policy("queue", vec![site("b")], "queues").unwrap().link else { panic!("no sites") };
    assert!(sites.explain().contains("moves to where consumers wait"), "{}", sites.explain());
    for (scope, sites, apply_to, expected) in [
        ("queue", vec![site("b")], "exchanges", "`apply-to`: scope \"queue\" is for queues"),
        ("all", vec![site("b")], "exchanges", "`multi-active.scope`: is \"all\""),
        ("exchange", vec![], "exchanges", "names no other site"),
        ("exchange", vec![site("b"), site("b")], "exchanges", "names 'b' twice"),
        ("exchange", vec![site("b")], "queues", "`apply-to`: scope \"exchange\" is for exchanges"),
    ] {
        let error = policy(scope, sites, apply_to).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn primary_and_backups_are_one_group_in_order() {
    use Toml::{List, Number, Table, Text};
    let settings = vec![("nodes", List(vec![Text("b"), Text("a")])), ("fail-back", Text("auto"))];
    let mode = || ("mode", Text("primary-backup"));
    let policy = read(vec![mode(), ("primary-backup", Table(settings))]).unwrap();
    let plan = policy.plan(true);
    assert_eq!(plan.placement, Placement::Mirrored(Replicas::Nodes(vec!["b".into(), "a".into()])));
    assert_eq!(
        (plan.min_in_sync, plan.leaders, plan.mode()),
        (MinInSync::Count(1), Leaders::Primary, "primary-backup")
    );
    assert_eq!(plan.group, Some(Group { vhost: "/".into(), policy: "p".into() }));
    assert_eq!(policy.primary_backup().unwrap().fail_back, FailBack::Auto);
    let too_many = vec![("nodes", List(vec![Text("a")])), ("min-in-sync", Number(2))];
    let error = read(vec![mode(), ("primary-backup", Table(too_many))]).unwrap_err();
    assert_eq!(error, "`primary-backup.min-in-sync`: 2 is more than the 1 replicas there can be");
    assert!(read(vec![mode()]).unwrap_err().contains("names the nodes"));
    assert!(read(vec![mode(), ("mirror", Table(vec![]))]).unwrap_err().contains("needs mode = \"mirror\""));
}

#[test]
fn limits_come_alone_or_beside_a_mode() {
    use Toml::{Number, Table, Text};
    let limits =
        || vec![("message-ttl", Text("1h")), ("max-length-bytes", Text("2MiB")), ("delivery-limit", Number(3))];
    let alone = Policy::try_from(
        PolicySource::deserialize(Table(vec![("name", Text("p")), ("pattern", Text("")), ("limits", Table(limits()))]))
            .unwrap(),
    )
    .unwrap();
    assert_eq!((&alone.mode, alone.limits.message_ttl), (&None, Some(3_600_000)));
    assert_eq!((alone.limits.max_length_bytes, alone.limits.delivery_limit), (Some(2 << 20), Some(3)));
    assert_eq!(alone.plan(true).placement, Plan::unnamed(true).placement);
    assert!(alone.plan(true).explain().contains("message-ttl 3600000, max-length-bytes 2097152"), "{alone:?}");
    let both = read(vec![("limits", Table(limits()))]).unwrap();
    assert_eq!((both.limits, both.mode), (alone.limits.clone(), Some(Mode::Mirror(Mirror::default()))));
    let operator = Limits { message_ttl: Some(5), max_length: Some(9), ..Limits::default() };
    let under = alone.limits.under(&operator);
    assert_eq!((under.message_ttl, under.max_length, under.delivery_limit), (Some(5), Some(9), Some(3)));
    assert!(read(vec![("operator", Text("yes"))]).is_err());
}

#[test]
fn rabbitmqs_keys_mean_a_mode_and_limits() {
    use Toml::{List, Number, Table, Text};
    let define = |entries: Vec<(&'static str, Toml)>| {
        let table = vec![("name", Text("p")), ("pattern", Text("")), ("definition", Table(entries))];
        let source = PolicySource::deserialize(Table(table)).map_err(|e| e.to_string())?;
        Policy::try_from(source).map_err(|e| e.to_string())
    };
    let replicas = |policy: Policy| match policy.mode {
        Some(Mode::Mirror(mirror)) => (mirror.replicas, mirror.min_in_sync, mirror.leaders),
        other => panic!("{other:?}"),
    };
    let one = MinInSync::Count(1);
    let exactly = vec![
        ("ha-mode", Text("exactly")),
        ("ha-params", Number(2)),
        ("ha-sync-mode", Text("automatic")),
        ("queue-master-locator", Text("client-local")),
    ];
    assert_eq!(replicas(define(exactly).unwrap()), (Replicas::Count(2), one, Leaders::ClientLocal));
    let all = define(vec![("ha-mode", Text("all"))]).unwrap();
    assert_eq!(replicas(all), (Replicas::All, one, Leaders::Balanced));
    let nodes = vec![("ha-mode", Text("nodes")), ("ha-params", List(vec![Text("rabbit@a")]))];
    assert_eq!(replicas(define(nodes).unwrap()).0, Replicas::Nodes(vec!["rabbit@a".into()]));
    let limits = define(vec![("max-length", Number(7)), ("overflow", Text("reject-publish"))]).unwrap();
    assert_eq!((limits.mode, limits.limits.max_length), (None, Some(7)));
    assert_eq!(limits.limits.overflow, Some(Overflow::RejectPublish));
    for (entries, expected) in [
        (vec![("ha-mode", Text("some"))], "`ha-mode` must be"),
        (vec![("ha-mode", Text("exactly"))], "`ha-params` must be a number"),
        (vec![("ha-params", Number(1))], "`ha-params` needs ha-mode"),
        (vec![("ha-promote-on-failure", Text("often"))], "`ha-promote-on-failure` is \"often\", expected"),
        (vec![("max-length", Number(-1))], "`max-length` is -1, expected a number"),
        (vec![("overflow", Text("burst"))], "`overflow` is \"burst\", expected"),
        (vec![("shiny", Number(1))], "`shiny` is no policy key"),
        (vec![], "is missing: a policy has"),
    ] {
        let error = define(entries).unwrap_err();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}

/// Said by name, or nothing is lost and nobody waits.
#[test]
fn rabbitmqs_keys_of_copies_and_takeovers_mean_what_they_say() {
    use Toml::{Table, Text};
    let plan = |entries: &[(&'static str, &'static str)]| {
        let entries = [("ha-mode", "all")].iter().chain(entries).map(|(key, value)| (*key, Text(value))).collect();
        let table = vec![("name", Text("p")), ("pattern", Text("")), ("definition", Table(entries))];
        let plan = Policy::try_from(PolicySource::deserialize(Table(table)).unwrap()).unwrap().plan(true);
        (plan.synchronization, plan.unclean_after.is_some(), plan.unclean_after_stop)
    };
    let automatic = Synchronization::Automatic;
    assert_eq!(plan(&[]), (automatic, false, None));
    assert_eq!(plan(&[("ha-sync-mode", "automatic")]).0, automatic);
    assert_eq!(plan(&[("ha-sync-mode", "manual")]), (Synchronization::Manual, false, None));
    assert_eq!(plan(&[("ha-promote-on-shutdown", "always")]), (automatic, false, Some(0)));
    assert_eq!(plan(&[("ha-promote-on-failure", "always")]), (automatic, true, None));
    let both = [("ha-promote-on-failure", "always"), ("ha-promote-on-shutdown", "always")];
    assert_eq!(plan(&both), (automatic, true, Some(0)));
}

#[test]
fn copies_and_takeovers_have_keys_in_both_modes() {
    use Toml::{List, Table, Text};
    let keys = || vec![("synchronization", Text("manual")), ("promote-on-shutdown", Text("always"))];
    let mirrored = mirror(keys()).unwrap();
    assert_eq!((mirrored.synchronization, mirrored.unclean_after_stop), (Synchronization::Manual, Some(0)));
    let pair = |more: Vec<(&'static str, Toml)>| {
        let mut settings = vec![("nodes", List(vec![Text("a"), Text("b")]))];
        settings.extend(more);
        read(vec![("mode", Text("primary-backup")), ("primary-backup", Table(settings))])
    };
    let plan = pair(keys()).unwrap().plan(true);
    assert_eq!((plan.synchronization, plan.unclean_after_stop), (Synchronization::Manual, Some(0)));
    for said in ["on `warren queues sync`", "any replica leads at once, and what it lacks is lost"] {
        assert!(plan.explain().contains(said), "{}", plan.explain());
    }
    let never = vec![("replication", Text("async")), ("promote-on-shutdown", Text("when-synced"))];
    assert!(pair(never).unwrap_err().contains("`primary-backup.promote-on-shutdown`: \"when-synced\" cannot hold"));
    assert!(mirror(vec![("synchronization", Text("never"))]).unwrap_err().contains("unknown variant `never`"));
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
    let named = read(vec![]).unwrap().plan(true).explain();
    assert!(named.contains("Policy 'p'") && named.contains("up to 3 nodes") && named.contains("majority"), "{named}");
    let local = Plan::unnamed(false).explain();
    assert!(local.contains("No policy matches") && local.contains("goes with that node's process"), "{local}");
    assert_eq!((Plan::unnamed(true).mode(), Plan::unnamed(false).mode()), ("mirror", "local"));
}
