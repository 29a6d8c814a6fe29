"""Operators and clients of brokers that share vhosts."""

import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from contextlib import suppress
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pika

from tests.failover.cluster import PATIENCE_S
from tests.process import ENVIRONMENT

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def asked(broker, method, path, body=None, user="guest"):
    """Return the status and the body of a request of the HTTP API. The password is the name of the user."""
    login = b64encode(f"{user}:{user}".encode()).decode()
    request = Request(
        f"http://127.0.0.1:{broker.port('http')}{'' if path.startswith('/') else '/api/'}{path}",
        None if body is None else json.dumps(body).encode(),
        {"authorization": f"Basic {login}"},
        method=method,
    )
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def ctl(broker, *words):
    """Return the exit status and the output of a command."""
    return _ctl("--url", f"http://127.0.0.1:{broker.port('http')}", *words)


def ctl_on_machine(broker, *words):
    """Return the exit status and the output of a command on the broker's machine, without a login."""
    return _ctl("--data-dir", str(broker.directory / "data"), *words)


def _ctl(*words):
    done = subprocess.run(
        [sys.executable, "-m", "amqpbroker", "ctl", "-q", *words],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).strip()


def node_of(broker):
    return f"{broker.name}@localhost"


def nodes(broker):
    """Return the nodes by the names of their brokers."""
    return {each["name"].partition("@")[0]: each for each in asked(broker, "GET", "nodes")[1]}


def leaders(broker):
    """Return the names of the brokers that lead the vhosts."""
    return {each["name"]: each["leader"].partition("@")[0] for each in asked(broker, "GET", "vhosts")[1]}


def until(condition, limit_s=PATIENCE_S):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def bodies(broker, vhost):
    """Return the numbers in the queue of a vhost, which is empty then."""
    connection = pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", broker.port(), vhost, connection_attempts=40, retry_delay=0.25)
    )
    channel, found = connection.channel(), []
    while (body := channel.basic_get("q", auto_ack=True)[2]) is not None:
        found.append(int(body))
    connection.close()
    return found


class Publisher(threading.Thread):
    """Publishes numbers to a vhost until `stop`, each after the confirm of the last, and connects again to any broker.

    confirmed: the numbers. closed: codes and texts with which connections were closed. longest_s: between two confirms.
    """

    def __init__(self, vhost, *brokers):
        super().__init__()
        self.confirmed = []
        self.closed = []
        self.longest_s = 0.0
        self.vhost = vhost
        self._brokers = brokers
        self._ending = threading.Event()
        self._last = None

    def run(self):
        while not self._ending.is_set():
            for broker in self._brokers:
                with suppress(OSError, ValueError, pika.exceptions.AMQPError):
                    connection = pika.BlockingConnection(
                        pika.ConnectionParameters("127.0.0.1", broker.port(), self.vhost, heartbeat=0)
                    )
                    try:
                        self._publish(connection.channel())
                        connection.close()
                    except pika.exceptions.ConnectionClosedByBroker as error:
                        self.closed.append((error.reply_code, error.reply_text))

    def _publish(self, channel):
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        while not self._ending.is_set():
            number = len(self.confirmed) + 1
            channel.basic_publish("", "q", b"%d" % number, PERSISTENT)
            self.confirmed.append(number)
            now = time.monotonic()
            if self._last is not None:
                self.longest_s = max(self.longest_s, now - self._last)
            self._last = now

    def stop(self):
        self._ending.set()
        self.join(PATIENCE_S)
