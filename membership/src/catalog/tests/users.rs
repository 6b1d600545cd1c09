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
