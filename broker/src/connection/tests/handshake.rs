//! From the first octets to the open vhost.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use warren_amqp::{Frame, Method, PROTOCOL_HEADER, Payload, Value, connection};

use super::super::testing::{Node, short};

#[tokio::test]
async fn a_wrong_protocol_header_is_answered_with_the_right_one() {
    for wrong in [b"AMQP\x00\x01\x00\x00".as_slice(), b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01"] {
        let node = Node::new();
        let mut client = node.raw();
        client.send_raw(wrong).await;
        client.expect_header_and_end().await;
    }
}

#[tokio::test]
async fn the_broker_introduces_itself_as_clients_expect() {
    let node = Node::new();
    let mut client = node.raw();
    client.send_raw(&PROTOCOL_HEADER).await;
    let (_, Method::ConnectionStart(start)) = client.method().await else { panic!("no start") };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms, "PLAIN AMQPLAIN");
    let properties = start.server_properties;
    assert_eq!(
        properties.get("product").and_then(|value| value.as_str().map(str::to_owned)),
        Some("Warren".to_owned())
    );
    let Some(Value::Table(capabilities)) = properties.get("capabilities") else { panic!("no capabilities") };
    assert_eq!(capabilities.get("publisher_confirms"), Some(Value::Bool(true)));
    assert_eq!(capabilities.get("direct_reply_to"), Some(Value::Bool(true)));
}

#[tokio::test]
async fn a_wrong_password_is_refused_as_the_client_understands_it() {
    let node = Node::new();
    let text =
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    let mut client = node.raw();
    client.login("guest", "wrong", true).await;
    client.expect_close(403, text).await;
    let mut client = node.raw();
    client.login("guest", "wrong", false).await;
    client.expect_end().await;
    let mut client = node.raw();
    client.login("nobody", "nobody", true).await;
    client.expect_close(403, text).await;
    let mut client = node.raw_from(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)));
    client.login("guest", "guest", true).await;
    client.expect_close(403, text).await;
}

#[tokio::test]
async fn what_cannot_be_agreed_on_is_not_allowed() {
    let node = Node::new();
    for (tuned, text) in [
        (
            connection::TuneOk { channel_max: 10, frame_max: 131_073, heartbeat: 0 },
            "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            connection::TuneOk { channel_max: 10, frame_max: 100, heartbeat: 0 },
            "NOT_ALLOWED - negotiated frame_max = 100 is lower than the minimum allowed value (4096)",
        ),
        (
            connection::TuneOk { channel_max: 0, frame_max: 4096, heartbeat: 0 },
            "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
    ] {
        let mut client = node.raw();
        client.login("guest", "guest", true).await;
        client.tune(tuned).await;
        client.expect_close(530, text).await;
    }
}

#[tokio::test]
async fn a_vhost_must_exist_and_be_open_to_the_user() {
    let node = Node::new();
    for (user, vhost, text) in [
        ("guest", "else", "NOT_ALLOWED - vhost else not found"),
        ("poor", "/", "NOT_ALLOWED - access to vhost '/' refused for user 'poor'"),
    ] {
        let mut client = node.raw();
        client.login(user, user, true).await;
        client.tune(connection::TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 }).await;
        client.send(0, connection::Open { virtual_host: short(vhost), ..Default::default() }).await;
        client.expect_close(530, text).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_dropped() {
    let node = Node::new();
    node.raw().expect_end().await;
    let mut client = node.raw();
    client.send_raw(&PROTOCOL_HEADER).await;
    assert!(matches!(client.method().await, (0, Method::ConnectionStart(_))));
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_sent_and_a_silent_client_is_dropped() {
    let node = Node::new();
    let mut client = node.raw();
    client.login("guest", "guest", true).await;
    client.tune(connection::TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 2 }).await;
    client.send(0, connection::Open { virtual_host: short("/"), ..Default::default() }).await;
    assert!(matches!(client.method().await, (0, Method::ConnectionOpenOk(_))));
    let mut beats = 0;
    let begin = tokio::time::Instant::now();
    while let Some(frame) = client.frame().await {
        assert_eq!(frame, Frame { channel: 0, payload: Payload::Heartbeat });
        beats += 1;
        if begin.elapsed() < Duration::from_secs(20) {
            client.send_raw(&[8, 0, 0, 0, 0, 0, 0, 206]).await;
        }
    }
    let silent = begin.elapsed() - Duration::from_secs(20);
    assert!(silent >= Duration::from_secs(3) && silent < Duration::from_secs(7), "{silent:?}");
    assert!(beats >= 10, "{beats}");
}
