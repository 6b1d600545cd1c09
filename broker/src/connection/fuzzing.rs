//! Sequences of commands such as clients send, some of them changed: whatever
//! comes, the connection ends without a panic and nothing of it is left.
//! `WARREN_FUZZ=seconds` says for how long, `WARREN_SEED=n` runs one again.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::time::timeout;
use warren_amqp::{FieldTable, OutBuffer, Value, basic, channel, confirm, connection, exchange, queue, tx};

use super::testing::{Node, short};

/// A few of everything, well-formed, on this channel.
fn commands(number: u16) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut put = |write: &dyn Fn(&mut OutBuffer)| {
        let mut out = OutBuffer::new();
        write(&mut out);
        all.push(out.copy_to_bytes(out.remaining()).to_vec());
    };
    macro_rules! methods {
        ($($method:expr),* $(,)?) => { $(put(&|out| out.arguments(number, &$method));)* };
    }
    let table = || FieldTable::from([("x-priority", Value::from(true)), ("k", Value::from("v"))]);
    methods![
        channel::Open::default(),
        channel::Close::default(),
        channel::CloseOk,
        channel::Flow { active: true },
        queue::Declare { queue: short("q"), durable: true, ..Default::default() },
        queue::Declare { exclusive: true, arguments: table(), ..Default::default() },
        queue::Declare { queue: short("q"), passive: true, ..Default::default() },
        queue::Bind { queue: short("q"), exchange: short("amq.fanout"), nowait: true, ..Default::default() },
        queue::Unbind { queue: short("q"), exchange: short("amq.fanout"), ..Default::default() },
        queue::Purge { queue: short("q"), ..Default::default() },
        queue::Delete { queue: short("q"), if_empty: true, ..Default::default() },
        exchange::Declare { exchange: short("x"), kind: short("topic"), ..Default::default() },
        exchange::Bind { destination: short("x"), source: short("amq.direct"), ..Default::default() },
        exchange::Delete { exchange: short("x"), ..Default::default() },
        basic::Consume { queue: short("q"), consumer_tag: short("t"), ..Default::default() },
        basic::Consume { queue: short("q"), no_ack: true, arguments: table(), ..Default::default() },
        basic::Cancel { consumer_tag: short("t"), ..Default::default() },
        basic::Get { queue: short("q"), ..Default::default() },
        basic::Qos { prefetch_count: 2, global: true, ..Default::default() },
        basic::Ack { delivery_tag: 1, multiple: true },
        basic::Nack { delivery_tag: 2, requeue: true, ..Default::default() },
        basic::Recover { requeue: true },
        confirm::Select { nowait: false },
        tx::Select,
        tx::Commit,
        tx::Rollback,
        connection::CloseOk,
    ];
    let publish = basic::Publish { routing_key: short("q"), mandatory: true, ..Default::default() };
    for body in [&b""[..], &[7; 10_000]] {
        put(&|out| out.publish(number, &publish, &Bytes::from_static(&[0, 0]), &Bytes::copy_from_slice(body), 4096));
    }
    all
}

/// One to three changes of what a client meant.
fn damage(random: &mut StdRng, octets: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..=3) {
        if octets.is_empty() {
            return;
        }
        let at = random.random_range(0..octets.len());
        match random.random_range(0..5) {
            0 => octets[at] = random.random(),
            1 => octets[at] ^= 1 << random.random_range(0..8),
            2 => octets.truncate(at),
            3 => octets.insert(at, random.random()),
            _ => octets.extend_from_within(at..),
        }
    }
}

async fn session(seed: u64, commands: &[Vec<Vec<u8>>]) {
    let mut random = StdRng::seed_from_u64(seed);
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    for _ in 0..random.random_range(1..60) {
        let mut octets =
            commands.choose(&mut random).and_then(|channel| channel.choose(&mut random)).cloned().unwrap_or_default();
        if random.random_bool(0.15) {
            damage(&mut random, &mut octets);
        }
        // A broker that does not read any more is as good as one that has closed.
        if !timeout(Duration::from_secs(1), client.try_send_raw(&octets)).await.unwrap_or(false) {
            break;
        }
        if random.random_bool(0.3) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    client.hang_up().await;
    assert_eq!((node.front.registry.connections(), node.front.registry.channels()), (0, 0), "seed {seed}");
    assert_eq!(node.front.open_sockets(), 0, "seed {seed}");
}

#[test]
fn commands_good_and_damaged_leave_nothing_behind() {
    let said = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = Duration::from_secs(said("WARREN_FUZZ").unwrap_or(5));
    let commands: Vec<_> = (0..4).map(commands).collect();
    let run = |seed: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(session(seed, &commands));
        }));
        assert!(done.is_ok(), "run it again with WARREN_SEED={seed}");
    };
    if let Some(seed) = said("WARREN_SEED") {
        return run(seed);
    }
    let (until, first) = (Instant::now() + seconds, rand::rng().random::<u32>().into());
    let mut seed: u64 = first;
    while Instant::now() < until {
        run(seed);
        seed += 1;
    }
    println!("{} sessions", seed - first);
}
