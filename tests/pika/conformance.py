"""What a client of RabbitMQ may rely on, checked with pika across the nodes of
a cluster. Run by run.sh: python3 -m unittest conformance."""

import time
import unittest

import pika
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

from cluster import Cluster, eventually, in_sync

PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Conformance(unittest.TestCase):
    """One cluster for all tests; each has queue names of its own."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster())

    def setUp(self):
        self.q = self.id().rsplit(".", 1)[1]

    def connect(self, node=0, **more):
        connection = pika.BlockingConnection(self.cluster.nodes[node].parameters(**more))
        self.addCleanup(lambda: connection.is_open and connection.close())
        return connection

    def channel(self, node=0, confirm=False):
        channel = self.connect(node).channel()
        if confirm:
            channel.confirm_delivery()
        return channel

    def queue(self, channel, **how):
        how = {"durable": True} | how
        return channel.queue_declare(self.q, **how).method.queue

    def get(self, channel, queue=None, auto_ack=True):
        """The next message, waiting for it."""
        found = []

        def look():
            method, properties, body = channel.basic_get(queue or self.q, auto_ack=auto_ack)
            if method:
                found.append((method, properties, body))
            return method

        eventually("a message", look, 10)
        return found[0]

    def drain(self, channel, count, queue=None):
        return [self.get(channel, queue)[2] for _ in range(count)]

    def assertCloses(self, code, text, call, *arguments, **named):
        with self.assertRaises(ChannelClosedByBroker) as raised:
            call(*arguments, **named)
        self.assertEqual(raised.exception.reply_code, code)
        self.assertIn(text, raised.exception.reply_text)

    # Across nodes

    def test_any_node_declares_publishes_and_consumes(self):
        self.queue(self.channel(0))
        publisher = self.channel(1, confirm=True)
        for number in range(100):
            publisher.basic_publish("", self.q, b"%d" % number, PERSISTENT, mandatory=True)
        consumer = self.channel(2)
        consumer.basic_qos(prefetch_count=10)
        bodies = []
        for method, _, body in consumer.consume(self.q, inactivity_timeout=10):
            self.assertIsNotNone(method, "100 messages")
            bodies.append(int(body))
            consumer.basic_ack(method.delivery_tag)
            if len(bodies) == 100:
                break
        consumer.cancel()
        self.assertEqual(bodies, list(range(100)))

    def test_a_declaration_is_known_to_all_nodes_at_once(self):
        publisher, other = self.channel(1, confirm=True), self.channel(0)
        for number in range(20):
            name = f"{self.q}-{number}"
            other.queue_declare(name, durable=True)
            publisher.basic_publish("", name, b"x", PERSISTENT, mandatory=True)
            other.queue_delete(name)

    def test_queues_are_mirrored(self):
        self.queue(self.channel(1))
        found = eventually("in sync", in_sync(self.cluster.nodes[0], self.q, 3))
        self.assertEqual(len(found["mirrors"]), 2)
        self.assertNotIn(found["leader"], found["mirrors"])

    # Exchanges

    def bound(self, kind, bindings):
        """An exchange with a queue for each (key, arguments)."""
        channel = self.channel(confirm=True)
        channel.exchange_declare(self.q, kind, durable=True)
        names = []
        for number, (key, arguments) in enumerate(bindings):
            name = f"{self.q}-{number}"
            channel.queue_declare(name, durable=True)
            channel.queue_bind(name, self.q, key, arguments)
            names.append(name)
        return channel, names

    def reached(self, channel, names):
        """Which queues have a message; takes it."""
        return [number for number, name in enumerate(names) if channel.basic_get(name, auto_ack=True)[0]]

    def test_direct(self):
        channel, names = self.bound("direct", [("a", None), ("b", None), ("a", None)])
        channel.basic_publish(self.q, "a", b"x")
        self.assertEqual(self.reached(channel, names), [0, 2])

    def test_fanout(self):
        channel, names = self.bound("fanout", [("a", None), ("", None)])
        channel.basic_publish(self.q, "whatever", b"x")
        self.assertEqual(self.reached(channel, names), [0, 1])

    def test_topic(self):
        channel, names = self.bound("topic", [("a.*.c", None), ("a.#", None), ("#.c", None), ("*", None)])
        for key, expected in [("a.b.c", [0, 1, 2]), ("a", [1, 3]), ("a.b", [1]), ("c", [2, 3])]:
            channel.basic_publish(self.q, key, b"x")
            self.assertEqual(self.reached(channel, names), expected, key)
        with self.assertRaises(UnroutableError):
            channel.basic_publish(self.q, "x.y", b"x", mandatory=True)

    def test_headers(self):
        channel, names = self.bound("headers", [
            ("", {"x-match": "all", "a": 1, "b": "two"}), ("", {"x-match": "any", "a": 1, "b": "two"})])
        for headers, expected in [({"a": 1, "b": "two"}, [0, 1]), ({"a": 1}, [1]), ({"b": "two", "c": 0}, [1])]:
            channel.basic_publish(self.q, "", b"x", pika.BasicProperties(headers=headers))
            self.assertEqual(self.reached(channel, names), expected, headers)

    def test_exchanges_are_bound_to_exchanges_and_unbound(self):
        channel, names = self.bound("fanout", [("", None)])
        source = f"{self.q}-source"
        channel.exchange_declare(source, "direct", durable=True)
        channel.exchange_bind(self.q, source, "k")
        channel.basic_publish(source, "k", b"x", mandatory=True)
        self.assertEqual(self.reached(channel, names), [0])
        channel.exchange_unbind(self.q, source, "k")
        with self.assertRaises(UnroutableError):
            channel.basic_publish(source, "k", b"x", mandatory=True)

    def test_unbinding_a_queue(self):
        channel, names = self.bound("direct", [("k", None)])
        channel.queue_unbind(names[0], self.q, "k")
        with self.assertRaises(UnroutableError):
            channel.basic_publish(self.q, "k", b"x", mandatory=True)

    def test_the_default_exchanges_are_there(self):
        channel = self.channel()
        for kind in ["direct", "fanout", "topic", "headers", "match"]:
            channel.exchange_declare(f"amq.{kind}", passive=True)

    # Publishing

    def test_mandatory_messages_come_back(self):
        with self.assertRaises(UnroutableError) as raised:
            self.channel(confirm=True).basic_publish("", "nowhere", b"x", mandatory=True)
        returned = raised.exception.messages[0]
        self.assertEqual(returned.method.reply_code, 312)
        self.assertEqual(returned.method.reply_text, "NO_ROUTE")
        self.assertEqual(returned.body, b"x")

    def test_properties_and_headers_survive(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        headers = {"text": "ü", "number": -5, "big": 2**40, "yes": True, "nothing": None, "list": [1, "a", [2]],
                   "table": {"inner": {"deep": 1}}, "bytes": b"\x00\xff"}
        sent = pika.BasicProperties(
            content_type="text/plain", content_encoding="gzip", headers=headers, delivery_mode=2, priority=7,
            correlation_id="c", reply_to="r", expiration="60000", message_id="m", timestamp=1234567890, type="t",
            user_id="guest", app_id="a", cluster_id="k")
        channel.basic_publish("", self.q, b"body", sent)
        _, properties, body = self.get(self.channel(2))
        self.assertEqual(body, b"body")
        self.assertEqual(properties, sent)

    def test_bodies_of_any_size(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        bodies = [b"", b"x", b"y" * 131072, bytes(range(256)) * 20000]
        for body in bodies:
            channel.basic_publish("", self.q, body, PERSISTENT)
        self.assertEqual(self.drain(self.channel(1), len(bodies)), bodies)

    # Getting, acknowledging, returning

    def test_get_counts_what_remains(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        self.assertEqual(channel.basic_get(self.q), (None, None, None))
        for number in range(3):
            channel.basic_publish("", self.q, b"%d" % number)
        for remaining in [2, 1, 0]:
            method, _, _ = channel.basic_get(self.q, auto_ack=True)
            self.assertEqual(method.message_count, remaining)
            self.assertFalse(method.redelivered)

    def test_a_rejected_message_goes_back_to_its_place(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        for body in [b"a", b"b", b"c"]:
            channel.basic_publish("", self.q, body)
        method, _, body = channel.basic_get(self.q)
        self.assertEqual(body, b"a")
        channel.basic_reject(method.delivery_tag, requeue=True)
        method, _, body = self.get(channel)
        self.assertEqual((body, method.redelivered), (b"a", True))
        self.assertEqual(self.drain(channel, 2), [b"b", b"c"])

    def test_a_rejected_message_is_gone_without_requeue(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        channel.basic_publish("", self.q, b"a")
        method, _, _ = self.get(channel, auto_ack=False)
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.basic_publish("", self.q, b"b")
        self.assertEqual(self.get(channel)[2], b"b")

    def test_several_are_nacked_at_once(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        for number in range(5):
            channel.basic_publish("", self.q, b"%d" % number)
        tags = [self.get(channel, auto_ack=False)[0].delivery_tag for _ in range(5)]
        channel.basic_ack(tags[0])
        channel.basic_nack(tags[3], multiple=True, requeue=True)
        self.assertEqual(self.drain(channel, 3), [b"1", b"2", b"3"])
        channel.basic_ack(tags[4])

    def test_recover_returns_what_is_unacknowledged(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        channel.basic_publish("", self.q, b"x")
        self.get(channel, auto_ack=False)
        channel.basic_recover(requeue=True)
        method, _, _ = self.get(channel)
        self.assertTrue(method.redelivered)

    def test_a_closed_channel_returns_its_messages(self):
        connection = self.connect(1)
        channel = connection.channel()
        channel.confirm_delivery()
        self.queue(channel)
        for body in [b"a", b"b"]:
            channel.basic_publish("", self.q, body)
        self.get(channel, auto_ack=False)
        channel.close()
        other = self.channel(2)
        method, _, body = self.get(other)
        self.assertEqual((body, method.redelivered), (b"a", True))

    def test_acknowledged_messages_do_not_come_back(self):
        connection = self.connect()
        channel = connection.channel()
        channel.confirm_delivery()
        self.queue(channel)
        for body in [b"a", b"b"]:
            channel.basic_publish("", self.q, body)
        method, _, _ = self.get(channel, auto_ack=False)
        channel.basic_ack(method.delivery_tag)
        connection.close()
        self.assertEqual(self.get(self.channel(1))[2], b"b")

    def test_qos_limits_what_is_unacknowledged(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        for number in range(10):
            channel.basic_publish("", self.q, b"%d" % number)
        consumer = self.channel(1)
        consumer.basic_qos(prefetch_count=3)
        got = []
        consumer.basic_consume(self.q, lambda _, method, __, body: got.append((method.delivery_tag, body)))

        def pump(count):
            eventually(f"{count} deliveries", lambda: consumer.connection.process_data_events(0.05) or len(got) >= count, 10)

        pump(3)
        consumer.connection.process_data_events(0.5)
        self.assertEqual(len(got), 3)
        consumer.basic_ack(got[1][0], multiple=True)
        pump(5)
        consumer.connection.process_data_events(0.5)
        self.assertEqual([body for _, body in got], [b"0", b"1", b"2", b"3", b"4"])

    def test_consumers_take_turns(self):
        channel = self.channel(confirm=True)
        self.queue(channel)
        taken = {1: 0, 2: 0}
        consumers = []
        for node in taken:
            consumer = self.channel(node)
            consumer.basic_qos(prefetch_count=1)

            def take(taker, method, _, __, node=node):
                taken[node] += 1
                taker.basic_ack(method.delivery_tag)

            consumer.basic_consume(self.q, take)
            consumers.append(consumer)
        for number in range(40):
            channel.basic_publish("", self.q, b"%d" % number)

        def all_taken():
            for consumer in consumers:
                consumer.connection.process_data_events(0.02)
            return sum(taken.values()) == 40

        eventually("all taken", all_taken, 20)
        self.assertGreater(min(taken.values()), 5, taken)

    # Queues

    def test_counts_purge_and_delete(self):
        channel, other = self.channel(confirm=True), self.channel(1)
        self.queue(channel)
        for number in range(5):
            channel.basic_publish("", self.q, b"%d" % number)
        self.assertEqual(other.queue_declare(self.q, passive=True).method.message_count, 5)
        self.assertCloses(406, f"PRECONDITION_FAILED - queue '{self.q}' in vhost '/' not empty",
                          self.channel().queue_delete, self.q, if_empty=True)
        self.assertEqual(other.queue_purge(self.q).method.message_count, 5)
        self.assertEqual(channel.queue_delete(self.q, if_empty=True).method.message_count, 0)
        self.assertEqual(channel.queue_delete(self.q).method.message_count, 0, "deleting nothing is no error")

    def test_a_queue_in_use_is_not_deleted_if_unused(self):
        channel = self.channel()
        self.queue(channel)
        channel.basic_consume(self.q, lambda *_: None)
        self.assertCloses(406, f"PRECONDITION_FAILED - queue '{self.q}' in vhost '/' in use",
                          self.channel(1).queue_delete, self.q, if_unused=True)

    def test_server_named_queues_have_names_of_their_own(self):
        channel = self.channel()
        names = {channel.queue_declare("", exclusive=True).method.queue for _ in range(3)}
        self.assertEqual(len(names), 3)
        self.assertTrue(all(name.startswith("amq.gen-") for name in names), names)

    def test_exclusive_queues_belong_to_their_connection_and_go_with_it(self):
        connection = self.connect(1)
        channel = connection.channel()
        channel.queue_declare(self.q, exclusive=True)
        locked = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{self.q}' in vhost '/'"
        for node in [0, 1]:
            self.assertCloses(405, locked, self.channel(node).queue_declare, self.q, passive=True)
        connection.close()

        def gone():
            try:
                self.channel(2).queue_declare(self.q, passive=True)
            except ChannelClosedByBroker as closed:
                return closed.reply_code == 404
            return False

        eventually("gone", gone, 10)

    def test_auto_delete_queues_go_with_their_last_consumer(self):
        channel = self.channel(1)
        self.queue(channel, auto_delete=True)
        tag = channel.basic_consume(self.q, lambda *_: None)
        channel.queue_declare(self.q, passive=True)
        channel.basic_cancel(tag)

        def gone():
            try:
                self.channel(0).queue_declare(self.q, passive=True)
            except ChannelClosedByBroker as closed:
                return closed.reply_code == 404
            return False

        eventually("gone", gone, 10)

    def test_consumers_are_told_when_their_queue_is_deleted(self):
        channel = self.channel(2)
        self.queue(channel)
        cancelled = []
        channel.add_on_cancel_callback(cancelled.append)
        tag = channel.basic_consume(self.q, lambda *_: None)
        self.channel(0).queue_delete(self.q)
        eventually("told", lambda: channel.connection.process_data_events(0.05) or cancelled, 10)
        self.assertEqual(cancelled[0].method.consumer_tag, tag)

    # Mistakes: the smallest scope is closed, with RabbitMQ's words

    def test_the_connection_outlives_its_channels_mistakes(self):
        connection = self.connect()
        missing = f"NOT_FOUND - no queue '{self.q}' in vhost '/'"
        self.assertCloses(404, missing, connection.channel().queue_declare, self.q, passive=True)
        self.assertCloses(404, missing, connection.channel().basic_get, self.q)
        self.assertCloses(404, missing, connection.channel().basic_consume, self.q, lambda *_: None)
        self.assertCloses(404, f"NOT_FOUND - no exchange '{self.q}' in vhost '/'",
                          connection.channel().exchange_declare, self.q, passive=True)
        channel = connection.channel()
        channel.confirm_delivery()
        self.assertCloses(404, f"NOT_FOUND - no exchange '{self.q}' in vhost '/'",
                          channel.basic_publish, self.q, "k", b"x")
        self.assertTrue(connection.is_open)

    def test_another_declaration_of_the_same_name_is_refused(self):
        channel = self.channel()
        self.queue(channel)
        self.queue(channel)
        self.assertCloses(
            406, f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{self.q}' in vhost '/': "
                 "received 'false' but current is 'true'",
            self.channel(1).queue_declare, self.q, durable=False)
        channel.exchange_declare(self.q, "direct", durable=True)
        self.assertCloses(
            406, f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{self.q}' in vhost '/': "
                 "received 'fanout' but current is 'direct'",
            self.channel(2).exchange_declare, self.q, "fanout", durable=True)

    def test_names_of_the_broker_are_refused(self):
        self.assertCloses(403, "ACCESS_REFUSED", self.channel().queue_declare, "amq.mine")
        self.assertCloses(403, "ACCESS_REFUSED", self.channel().exchange_delete, "amq.direct")
        self.assertCloses(403, "ACCESS_REFUSED", self.channel().queue_bind, self.queue(self.channel()), "")

    def test_unknown_delivery_tags_are_refused(self):
        channel = self.channel()
        self.queue(channel)
        channel.basic_ack(77)
        self.assertCloses(406, "PRECONDITION_FAILED - unknown delivery tag 77", channel.queue_declare, self.q, passive=True)

    def test_an_exclusive_consumer_has_its_queue_alone(self):
        channel = self.channel()
        self.queue(channel)
        channel.basic_consume(self.q, lambda *_: None, exclusive=True)
        self.assertCloses(403, f"ACCESS_REFUSED - queue '{self.q}' in vhost '/' in exclusive use",
                          self.channel(1).basic_consume, self.q, lambda *_: None)

    def test_unknown_exchange_types_close_the_connection(self):
        with self.assertRaises(ConnectionClosedByBroker) as raised:
            self.channel().exchange_declare(self.q, "no-such-type")
        self.assertEqual(raised.exception.reply_code, 503)

    def test_strangers_are_turned_away(self):
        with self.assertRaises(ProbableAuthenticationError):
            self.connect(credentials=pika.PlainCredentials("guest", "wrong"))
        with self.assertRaises((ProbableAccessDeniedError, ConnectionClosedByBroker)):
            self.connect(1, virtual_host="nowhere")

    def test_heartbeats_keep_an_idle_connection(self):
        connection = self.connect(heartbeat=1)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            connection.process_data_events(0.2)
        self.assertTrue(connection.is_open)
        connection.channel().close()


if __name__ == "__main__":
    unittest.main()
