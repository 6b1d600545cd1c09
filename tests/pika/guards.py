"""What holds clients back, and what goes with them: alarms, limits, permissions,
exclusive queues of nodes that die. Real processes, and a client that is not ours."""

import threading
import time
import unittest

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker

from cluster import Cluster, eventually

EVERYTHING = "1000TiB"


class Guards(unittest.TestCase):
    """One cluster for all."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(Cluster())
        cls.one, cls.two, cls.three = cls.cluster.nodes

    def connect(self, node, **more) -> pika.BlockingConnection:
        connection = pika.BlockingConnection(node.parameters(**more))
        self.addCleanup(lambda: connection.is_open and connection.close())
        return connection

    def restart(self, node, **environment):
        node.kill()
        eventually("missed", lambda: not self.one.get("/api/nodes")["nodes"][2]["alive"])
        self.cluster.run(node, **environment)
        eventually("serving", lambda: node.get("/health"))

    def test_an_alarm_of_one_node_holds_back_publishers_of_all_and_lifts_by_itself(self):
        consumed = self.connect(self.one).channel()
        consumed.queue_declare("held-back", durable=True)
        consumed.confirm_delivery()
        consumed.basic_publish("", "held-back", b"before")
        publisher = self.connect(self.one, blocked_connection_timeout=120)
        told = []
        publisher.add_on_connection_blocked_callback(lambda _, method: told.append(method.method.reason))
        publisher.add_on_connection_unblocked_callback(lambda _, method: told.append("unblocked"))
        self.restart(self.three, WARREN_ALARMS__DISK_FREE_LIMIT=EVERYTHING)
        eventually("alarmed", lambda: self.one.get("/health")["alarms"] == ["node-3: disk"])
        channel = publisher.channel()
        channel.confirm_delivery()

        def publish():
            # Blocks until the alarm is over: the confirm cannot come before.
            channel.basic_publish("", "held-back", b"while")

        thread = threading.Timer(1, self.restart, [self.three])
        # The first publish makes it a publishing connection; it is told, and waits.
        channel.connection.process_data_events()
        thread.start()
        for _ in range(3):
            publish()
        thread.join()
        eventually("unblocked", lambda: publisher.process_data_events(0.1) or told[-1:] == ["unblocked"])
        self.assertEqual(told, ["low on disk", "unblocked"])
        # A consumer had its message all the while.
        method, _, body = consumed.basic_get("held-back", auto_ack=True)
        self.assertEqual((method.redelivered, body), (False, b"before"))

    def test_limits_are_of_the_whole_cluster(self):
        self.one.warren("vhost", "add", "small")
        self.one.warren("permissions", "set", "guest", "--vhost", "small")
        self.one.warren("vhost", "limit", "set", "small", '{"max-connections": 1, "max-queues": 1}')
        first = self.connect(self.one, virtual_host="small")

        def refused():
            try:
                pika.BlockingConnection(self.two.parameters(virtual_host="small")).close()
            except AMQPError as error:
                return "connection limit (1) is reached" in repr(error)
            return False

        eventually("refused on another node", refused)
        channel = first.channel()
        channel.queue_declare("one")
        with self.assertRaises(ChannelClosedByBroker) as caught:
            channel.queue_declare("two")
        text = "PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost 'small' (1) is reached"
        self.assertEqual((caught.exception.reply_code, caught.exception.reply_text), (406, text))
        self.one.warren("vhost", "limit", "clear", "small")
        eventually("let in", lambda: not refused())

    def test_a_changed_permission_counts_at_once_and_a_deleted_user_has_to_go(self):
        self.one.warren("user", "add", "bob", "bob")
        self.one.warren("permissions", "set", "bob")
        connection = self.connect(self.two, credentials=pika.PlainCredentials("bob", "bob"))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("amq.topic", "bob.x", b"")
        self.one.warren("permissions", "set-topic", "bob", "amq.topic", r"^{username}\.", ".*")
        channel.basic_publish("amq.topic", "bob.x", b"")
        with self.assertRaises(ChannelClosedByBroker) as caught:
            channel.basic_publish("amq.topic", "eve.x", b"")
        text = "ACCESS_REFUSED - access to topic 'eve.x' in exchange 'amq.topic' in vhost '/' refused for user 'bob'"
        self.assertEqual(caught.exception.reply_text, text)
        self.one.warren("user", "delete", "bob")
        with self.assertRaises(ConnectionClosedByBroker) as gone:
            for _ in range(200):
                connection.process_data_events(0.1)
        self.assertEqual(gone.exception.reply_text, "CONNECTION_FORCED - user 'bob' is deleted")

    def test_queues_go_with_the_connections_of_a_node_that_dies(self):
        channel = self.connect(self.one).channel()
        channel.queue_declare("goes-with-its-consumer", durable=True, auto_delete=True)
        doomed = pika.BlockingConnection(self.three.parameters())
        theirs = doomed.channel()
        exclusive = theirs.queue_declare("", exclusive=True).method.queue
        theirs.queue_declare("goes-with-its-connection", exclusive=True)
        theirs.basic_consume("goes-with-its-consumer", lambda *_: None)
        self.restart(self.three)

        def gone(name):
            probe = self.connect(self.one).channel()
            try:
                probe.queue_declare(name, passive=True)
            except ChannelClosedByBroker as error:
                return error.reply_code == 404
            return False

        for name in (exclusive, "goes-with-its-connection", "goes-with-its-consumer"):
            eventually(f"{name} gone", lambda name=name: gone(name))


if __name__ == "__main__":
    unittest.main()
