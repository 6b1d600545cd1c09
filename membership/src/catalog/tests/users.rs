use super::*;

fn world(permissions: [&str; 3]) -> World {
    let mut world = World::of(1);
    world.ok(Command::PutUser { name: "bob".into(), password_hash: "$argon2id$x".into(), tags: BTreeSet::new() });
    let [configure, write, read] = permissions.map(Pattern::new);
    let permissions = Permissions { configure, write, read };
    world.ok(Command::SetPermissions { user: "bob".into(), vhost: "/".into(), permissions });
    world
}

#[test]
fn permissions_match_anywhere_unless_they_are_anchored() {
    let state = world(["^mine-", "log", ""]).state;
    let cases = [
        (Verb::Configure, "mine-1", true),
        (Verb::Configure, "not mine-1", false),
        (Verb::Write, "a log of things", true),
        (Verb::Write, "", false),
        (Verb::Read, "anything", false),
        (Verb::Read, "", false),
    ];
    for (verb, name, expected) in cases {
        assert_eq!(state.may("bob", "/", verb, name), expected, "{verb:?} {name:?}");
    }
}

#[test]
fn the_default_exchange_is_amq_default_to_permissions() {
    let state = world(["", r"^amq\.default$", ""]).state;
    assert!(state.may("bob", "/", Verb::Write, ""));
    assert!(!state.may("bob", "/", Verb::Write, "amq.direct"));
}

#[test]
fn a_pattern_that_does_not_compile_matches_nothing() {
    let state = world(["(", ".*", ".*"]).state;
    assert!(!state.may("bob", "/", Verb::Configure, "("));
    assert!(Pattern::check("(").is_err() && Pattern::check(".*").is_ok());
}

#[test]
fn entering_a_vhost_takes_permissions_there() {
    let mut world = world([".*"; 3]);
    world.ok(Command::PutVhost { name: "other".into() });
    assert!(world.state.may_enter("bob", "/") && !world.state.may_enter("bob", "other"));
    assert!(!world.state.may_enter("eve", "/") && !world.state.may("eve", "/", Verb::Read, "x"));
    world.ok(Command::ClearPermissions { user: "bob".into(), vhost: "/".into() });
    assert!(!world.state.may_enter("bob", "/") && !world.state.may("bob", "/", Verb::Read, "x"));
}

#[test]
fn a_changed_password_keeps_the_permissions_and_a_deleted_vhost_takes_them() {
    let mut world = world([".*"; 3]);
    world.ok(Command::PutUser { name: "bob".into(), password_hash: "new".into(), tags: BTreeSet::new() });
    assert_eq!(world.state.user("bob").unwrap().password_hash, "new");
    assert!(world.state.may_enter("bob", "/"));
    world.ok(Command::DeleteVhost { name: "/".into() });
    world.ok(Command::PutVhost { name: "/".into() });
    assert!(!world.state.may_enter("bob", "/"));
}

#[test]
fn what_is_unknown_is_said() {
    let mut world = World::of(1);
    assert_eq!(world.refused(Command::DeleteUser { name: "eve".into() }), "NOT_ALLOWED - user 'eve' not found");
    let clear = Command::ClearPermissions { user: "eve".into(), vhost: "nowhere".into() };
    assert_eq!(world.refused(clear), "NOT_ALLOWED - vhost nowhere not found");
}

#[test]
fn topic_permissions_are_of_one_exchange_and_know_user_and_vhost() {
    let mut world = world([".*"; 3]);
    let permissions = TopicPermissions::new("bob", "/", r"^{username}\.", "^(all|{vhost})$").unwrap();
    let set = |exchange: &str| Command::SetTopicPermissions {
        user: "bob".into(),
        vhost: "/".into(),
        exchange: exchange.into(),
        permissions: permissions.clone(),
    };
    world.ok(set("topics"));
    world.ok(set("more"));
    let allows = |state: &State, exchange: &str, verb: Verb, key: &str| {
        state.topic_permissions("bob", "/", exchange).is_none_or(|topics| topics.allow(verb, key))
    };
    for (exchange, verb, key, expected) in [
        ("topics", Verb::Write, "bob.x", true),
        ("topics", Verb::Write, "x.bob.", false),
        ("topics", Verb::Read, "/", true),
        ("topics", Verb::Read, "bob.x", false),
        ("others", Verb::Read, "bob.x", true),
    ] {
        assert_eq!(allows(&world.state, exchange, verb, key), expected, "{exchange} {verb:?} {key}");
    }
    let clear = |exchange: Option<&str>| Command::ClearTopicPermissions {
        user: "bob".into(),
        vhost: "/".into(),
        exchange: exchange.map(str::to_owned),
    };
    world.ok(clear(Some("topics")));
    assert!(allows(&world.state, "topics", Verb::Write, "x") && !allows(&world.state, "more", Verb::Write, "x"));
    world.ok(clear(None));
    assert!(allows(&world.state, "more", Verb::Write, "x"));
    assert_eq!(world.state.user("bob").unwrap().topics.len(), 0);
}

#[test]
fn a_users_name_in_a_topic_permission_is_no_expression() {
    let permissions = TopicPermissions::new(".*", "/", "^{username}$", "").unwrap();
    assert!(permissions.allow(Verb::Write, ".*") && !permissions.allow(Verb::Write, "anything"));
    assert!(permissions.allow(Verb::Read, "") && !permissions.allow(Verb::Read, "x"));
    assert!(TopicPermissions::new("bob", "/", "(", "").unwrap_err().starts_with("write: "));
}

#[test]
fn a_full_vhost_takes_no_new_queue_but_answers_for_those_it_has() {
    let mut world = World::of(3);
    let there = world.declare(durable("there"));
    let limit = |max_queues| Command::LimitVhost {
        name: "/".into(),
        limits: VhostLimits { max_queues, ..VhostLimits::default() },
    };
    world.ok(limit(Some(1)));
    assert_eq!(world.declare(durable("there")), there);
    assert_eq!(
        world.refused(Command::DeclareQueue(durable("new"))),
        "PRECONDITION_FAILED - cannot declare queue 'new': queue limit in vhost '/' (1) is reached"
    );
    world.ok(Command::DeleteQueue { queue: there, compared: None });
    world.declare(durable("new"));
    world.ok(limit(None));
    world.declare(durable("one more"));
}

#[test]
fn limits_are_of_what_is_there() {
    let mut world = World::of(1);
    let limits = UserLimits { max_connections: Some(2), max_channels: None };
    assert_eq!(world.refused(Command::LimitUser { name: "eve".into(), limits }), "NOT_ALLOWED - user 'eve' not found");
    assert_eq!(
        world.refused(Command::LimitVhost { name: "nowhere".into(), limits: VhostLimits::default() }),
        "NOT_ALLOWED - vhost nowhere not found"
    );
}
