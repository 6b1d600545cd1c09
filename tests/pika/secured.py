"""TLS to the broker: certificates of a test's own authority, made with openssl; logins by
certificate (EXTERNAL); a certificate renewed while the broker runs."""

import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

import pika
from pika.exceptions import AMQPConnectionError, ProbableAuthenticationError

from cluster import WARREN, Cluster, eventually


class Authority:
    """Signs certificates into its folder."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.certificate = folder / "authority.pem"
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
                     "-keyout", "authority-key.pem", "-out", "authority.pem")

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def sign(self, name: str, subject: str) -> tuple[str, str]:
        """A certificate and its key; replaces what had the name."""
        (self.folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject,
                     "-keyout", f"{name}-key.new", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority-key.pem",
                     "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.new")
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        (self.folder / f"{name}-key.new").rename(key)
        (self.folder / f"{name}.new").rename(certificate)
        return str(certificate), str(key)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Secured(unittest.TestCase):
    """One node for all."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="warren-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.authority = Authority(cls.folder)
        certificate, key = cls.authority.sign("server", "/CN=localhost")
        cls.port = free_port()
        cls.cluster = cls.enterClassContext(Cluster(
            None, 1, None,
            f"tls.listen=127.0.0.1:{cls.port}",
            f"tls.certificate={certificate}",
            f"tls.key={key}",
            f"tls.authorities={cls.authority.certificate}",
            "tls.client-certificates=optional",
            "tls.login-from=common-name",
        ))
        cls.node = cls.cluster.nodes[0]

    def trusting(self, shown: tuple[str, str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if shown:
            context.load_cert_chain(*shown)
        return context

    def connect(self, context: ssl.SSLContext, **more) -> pika.BlockingConnection:
        options = pika.SSLOptions(context, "localhost")
        parameters = pika.ConnectionParameters("127.0.0.1", self.port, ssl_options=options, **more)
        connection = pika.BlockingConnection(parameters)
        self.addCleanup(lambda: connection.is_open and connection.close())
        return connection

    def serial(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port)) as plain:
            with self.trusting().wrap_socket(plain, server_hostname="localhost") as secured:
                return int(secured.getpeercert()["serialNumber"], 16)

    def test_messages_of_all_sizes_go_both_ways(self):
        channel = self.connect(self.trusting()).channel()
        channel.confirm_delivery()
        channel.queue_declare("secured", durable=True)
        bodies = [bytes([size % 251]) * size for size in (0, 1, 16_384, 1_000_003, 5_000_000)]
        for body in bodies:
            channel.basic_publish("", "secured", body, mandatory=True)
        plain = pika.BlockingConnection(self.node.parameters())
        self.addCleanup(plain.close)
        self.assertEqual(plain.channel().basic_get("secured", auto_ack=True)[2], bodies[0])
        found = [channel.basic_get("secured", auto_ack=True)[2] for _ in bodies[1:]]
        self.assertEqual(found, bodies[1:])

    def test_a_certificate_is_a_login(self):
        self.node.warren("user", "add", "shop", "unknown to it")
        self.node.warren("permissions", "set", "shop")
        shop = self.trusting(self.authority.sign("shop", "/O=Example/CN=shop"))
        external = pika.credentials.ExternalCredentials()
        channel = self.connect(shop, credentials=external).channel()
        channel.confirm_delivery()
        channel.queue_declare("shop", exclusive=True)
        channel.basic_publish("", "shop", b"", pika.BasicProperties(user_id="shop"), mandatory=True)
        # Of a user that there is not, or without a certificate.
        stranger = self.trusting(self.authority.sign("stranger", "/CN=stranger"))
        with self.assertRaises(ProbableAuthenticationError):
            self.connect(stranger, credentials=external)
        with self.assertRaises(AMQPConnectionError):
            self.connect(self.trusting(), credentials=external)

    def test_a_certificate_of_somebody_else_is_refused(self):
        other = pathlib.Path(tempfile.mkdtemp(prefix="warren-tls-"))
        self.addCleanup(shutil.rmtree, other)
        with self.assertRaises(AMQPConnectionError):
            self.connect(self.trusting(Authority(other).sign("shop", "/CN=shop")))

    def test_who_does_not_encrypt_is_closed_and_others_are_served(self):
        with socket.create_connection(("127.0.0.1", self.port)) as plain:
            plain.sendall(b"AMQP\0\0\x09\x01")
            plain.settimeout(30)
            answer = plain.recv(1024)
            # A TLS alert, if anything.
            self.assertTrue(answer == b"" or answer[0] == 21, answer)
        self.assertTrue(self.connect(self.trusting()).is_open)

    def test_a_renewed_certificate_is_taken_and_open_connections_stay(self):
        before = self.serial()
        connection = self.connect(self.trusting())
        self.authority.sign("server", "/CN=localhost")
        eventually("renewed", lambda: self.serial() != before)
        self.assertTrue(connection.channel().is_open)
        # What is of no use is told, and does no harm.
        (self.folder / "server.pem").write_text("nothing")
        eventually("told", lambda: "cannot be used" in (self.node.folder / "log").read_text())
        self.assertTrue(self.connect(self.trusting()).is_open)
        self.authority.sign("server", "/CN=localhost")

    def test_files_of_no_use_are_told_at_the_start(self):
        config = self.folder / "broken.toml"
        config.write_text('[tls]\nlisten = "127.0.0.1:0"\n')
        told = subprocess.run([WARREN, "config", "check", config], capture_output=True, text=True, check=False)
        self.assertIn("broken.toml", told.stdout + told.stderr)
        self.assertIn("tls.certificate: expected a file", told.stdout + told.stderr)
        config.write_text(f'[node]\ndata = "{self.folder}/none"\n[amqp]\nlisten = "127.0.0.1:0"\n'
                          '[peer]\nlisten = "127.0.0.1:0"\n[http]\nlisten = "127.0.0.1:0"\n'
                          '[tls]\nlisten = "127.0.0.1:0"\ncertificate = "missing.pem"\nkey = "missing.pem"\n')
        told = subprocess.run([WARREN, "server", "--config", config], capture_output=True, text=True, check=False,
                              timeout=60)
        self.assertNotEqual(told.returncode, 0)
        self.assertIn("missing.pem", told.stdout + told.stderr)


if __name__ == "__main__":
    unittest.main()
