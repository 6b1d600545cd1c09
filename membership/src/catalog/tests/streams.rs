use super::*;

fn stream(arguments: &[(&str, Value)]) -> DeclareQueue {
    let mut declare = durable("s");
    declare.arguments.insert("x-queue-type".into(), Value::text("stream"));
    declare.arguments.extend(arguments.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    declare
}

#[test]
fn a_stream_is_durable_shared_and_kept_by_a_majority() {
    let mut world = World::of(3);
    let cases = [
        (DeclareQueue { durable: false, ..stream(&[]) }, "non-durable"),
        (DeclareQueue { exclusive: true, durable: false, ..stream(&[]) }, "exclusive-owner"),
        (DeclareQueue { auto_delete: true, ..stream(&[]) }, "auto-delete"),
    ];
    for (declare, property) in cases {
        let expected = format!("PRECONDITION_FAILED - invalid property '{property}' for queue 's' in vhost '/'");
        assert_eq!(world.refused(Command::DeclareQueue(declare)), expected);
    }
    let named = world.refused(Command::DeclareQueue(DeclareQueue { server_named: true, ..stream(&[]) }));
    assert_eq!(named, "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_stream_queue");
    let once = policy("p", "", 0, Replicas::Count(3), MinInSync::Count(1));
    world.ok(Command::ApplyPolicies { revision: 1, policies: vec![once] });
    let id = world.declare(stream(&[]));
    assert_eq!(world.of_queue(id).min_in_sync, 2);
    assert!(world.queue(id).is_stream());
}

#[test]
fn arguments_of_streams_are_checked_in_rabbitmqs_words() {
    let mut world = World::of(3);
    let ours = "of queue type rabbit_stream_queue";
    let cases = [
        ("x-max-age", Value::text("1d"), ": invalid_max_age"),
        ("x-max-age", Value::I32(5), ": {unacceptable_type,signedint}"),
        ("x-max-length-bytes", Value::I32(-1), ": {value_negative,-1}"),
        ("x-max-length-bytes", Value::text("a"), ": \"expected integer, got longstr\""),
        ("x-stream-max-segment-size-bytes", Value::I32(-1), ": {value_negative,-1}"),
        ("x-initial-cluster-size", Value::I32(0), ": {value_zero,0}"),
        ("x-queue-leader-locator", Value::text("there"), ": invalid_queue_locator_arg"),
        ("x-max-length", Value::I32(5), ours),
        ("x-message-ttl", Value::I32(5), ours),
        ("x-dead-letter-exchange", Value::text("x"), ours),
        ("x-single-active-consumer", Value::Bool(true), ours),
        ("x-queue-mode", Value::text("lazy"), ours),
    ];
    for (key, value, fault) in cases {
        let text = world.refused(Command::DeclareQueue(stream(&[(key, value)])));
        let space = if fault.starts_with(':') { "" } else { " " };
        let expected = format!("PRECONDITION_FAILED - invalid arg '{key}' for queue 's' in vhost '/'{space}{fault}");
        assert_eq!(text, expected);
    }
    let large = stream(&[("x-stream-max-segment-size-bytes", Value::I64(3_000_000_001))]);
    let expected = "PRECONDITION_FAILED - Exceeded max value for x-stream-max-segment-size-bytes";
    assert_eq!(world.refused(Command::DeclareQueue(large)), expected);
    world.declare(stream(&[
        ("x-max-age", Value::text("7D")),
        ("x-max-length-bytes", Value::I64(1 << 40)),
        ("x-stream-max-segment-size-bytes", Value::I32(100)),
        ("x-initial-cluster-size", Value::I32(3)),
        ("x-queue-leader-locator", Value::text("least-leaders")),
        ("anything", Value::Void),
    ]));
}
