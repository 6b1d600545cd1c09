use super::*;

fn key(component: &str, vhost: &str, name: &str) -> ParameterKey {
    ParameterKey { component: component.into(), vhost: vhost.into(), name: name.into() }
}

fn set(key: &ParameterKey, value: &str) -> Command {
    Command::SetParameter { key: key.clone(), value: value.into() }
}

#[test]
fn a_parameter_is_set_replaced_and_cleared() {
    let mut world = World::of(1);
    let shovel = key("shovel", "/", "s");
    world.ok(set(&shovel, "1"));
    let revision = world.state.parameters().revision();
    world.ok(set(&shovel, "1"));
    assert_eq!(world.state.parameters().revision(), revision, "the same again changes nothing");
    world.ok(set(&shovel, "2"));
    assert_eq!(world.state.parameters().get(&shovel), Some("2"));
    assert!(world.state.parameters().revision() > revision);
    world.ok(Command::ClearParameter { key: shovel.clone() });
    let again = world.state.apply(&Command::ClearParameter { key: shovel.clone() }).0;
    assert_eq!(again, Err(Refusal::UnknownParameter(Box::new(shovel))));
}

#[test]
fn parameters_go_with_their_vhost() {
    let mut world = World::of(1);
    world.ok(Command::PutVhost { name: "v".into() });
    world.ok(set(&key("shovel", "v", "s"), "1"));
    world.ok(set(&key("federation-upstream", "/", "u"), "1"));
    world.ok(Command::DeleteVhost { name: "v".into() });
    let left: Vec<_> = world.state.parameters().iter().map(|(key, _)| key.vhost.clone()).collect();
    assert_eq!(left, ["/"]);
    assert_eq!(world.state.parameters().of("shovel").count(), 0);
    let refused = world.state.apply(&set(&key("shovel", "v", "s"), "1")).0;
    assert_eq!(refused, Err(Refusal::UnknownVhost("v".into())));
}
