"""No message is lost over a connection that is cut at random, between brokers that are killed and restarted."""

import contextlib
import json
import random
import threading
import time
import urllib.request

import pika
import pytest
from pika.exceptions import AMQPError

from interop.shovel.cut_line import CutLine
from tests.process import PATIENCE_S, BrokerProcess

pytestmark = pytest.mark.explore

MESSAGES = 1_200
PADDING = b" " * 500
PERSISTENT = pika.BasicProperties(delivery_mode=2)


class Site:
    """A broker process with its data, which can be killed and restarted."""

    def __init__(self, directory):
        self.directory = directory
        self.start()

    def start(self):
        # Data that is written to the operating system survives kill -9.
        self.process = BrokerProcess(
            self.directory, "--data-dir", str(self.directory / "data"), "--set", "durability=os", in_order=False
        )
        self.process.ready_file.unlink(missing_ok=True)
        self.process.__enter__()

    def restart(self, killed):
        self.process.process.kill() if killed else self.process.signal()
        self.process.wait()
        self.start()

    def channel(self):
        return pika.BlockingConnection(pika.URLParameters(self.process.url)).channel()

    def api(self, method, path, body=None):
        url = f"http://127.0.0.1:{self.process.port_of('http')}/api/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        request.add_header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Publisher(threading.Thread):
    """Publishes 0, 1, 2 ... into the queue `out`, and repeats each until it is confirmed."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site = site
        self.confirmed = 0

    def run(self):
        while self.confirmed < MESSAGES:
            # A client that tries all the time will once get the port itself that it connects to, and talk to itself.
            time.sleep(0.02)
            with contextlib.suppress(AMQPError, OSError):
                channel = self.site.channel()
                channel.queue_declare("out", durable=True)
                channel.confirm_delivery()
                while self.confirmed < MESSAGES:
                    channel.basic_publish("", "out", b"%d" % self.confirmed + PADDING, PERSISTENT)
                    self.confirmed += 1
                channel.connection.close()


@pytest.mark.parametrize("seed", [1])
def test_shovel_loses_no_message_over_a_cut_connection(tmp_path, seed):
    chance = random.Random(seed)
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    near, far = Site(tmp_path / "near"), Site(tmp_path / "far")
    with CutLine(far.process.port, seed) as line:
        value = {
            "src-uri": "amqp://",
            "src-queue": "out",
            "src-prefetch-count": 50,
            "dest-uri": f"amqp://127.0.0.1:{line.port}",
            "dest-queue": "in",
            "reconnect-delay": 0.01,
        }
        near.api("PUT", "parameters/shovel/%2F/s", {"value": value})
        publisher = Publisher(near)
        publisher.start()
        for killed in (True, False):
            time.sleep(chance.uniform(0.1, 0.4))
            near.restart(killed)
            time.sleep(chance.uniform(0.1, 0.4))
            far.restart(killed)
            line.target = far.process.port
        publisher.join(2 * PATIENCE_S)
        assert publisher.confirmed == MESSAGES
        end = time.monotonic() + PATIENCE_S
        while near.api("GET", "queues/%2F/out")["messages"]:
            assert time.monotonic() < end, near.api("GET", "shovels")
            time.sleep(0.05)
        line.whole = True
        channel = far.channel()
        received = []
        while len(set(received)) < MESSAGES:
            method, _, body = channel.basic_get("in", auto_ack=True)
            if method is None:
                break
            received.append(int(body))
        while (got := channel.basic_get("in", auto_ack=True))[0] is not None:
            received.append(int(got[2]))
        channel.connection.close()
    for site in (near, far):
        site.process.__exit__(None)
    print(f"{line.cuts} cuts, {len(received) - MESSAGES} duplicates")
    assert sorted(set(received)) == list(range(MESSAGES))
    assert list(dict.fromkeys(received)) == list(range(MESSAGES)), "seen first in order"
    assert line.cuts >= 5, "the line was hardly cut"
