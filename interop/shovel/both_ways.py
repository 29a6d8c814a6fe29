"""Shovels of amqpbroker and of the broker under test, which may be RabbitMQ, in both directions.

`here` is an amqpbroker in this process, `there` the broker under test.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pika

from amqpbroker.testing import Broker
from interop.checks import AMQP_URL, MANAGEMENT_URL, check, finish, restart_broker, version
from interop.shovel.cut_line import CutLine

MESSAGES = 1_000
PATIENCE_S = 30.0

#: A value of each type that pika can write.
HEADERS = {"int": -5, "long": 2**40, "bool": True, "text": "ü", "none": None, "list": [1, "a"], "table": {"x": 1}}

LEAST = {"src-uri": "amqp://", "dest-uri": "amqp://", "src-queue": "a", "dest-queue": "b"}

#: Values of a shovel that are refused.
WRONG: tuple[Any, ...] = (
    {},
    [],
    {**LEAST, "foo": 1, "bar": "x"},
    {**LEAST, "src-uri": "http://x", "dest-uri": "amqp://h:99999", "src-queue": 5},
    {**LEAST, "src-uri": 5, "dest-uri": ["amqp://", "nix"]},
    {**LEAST, "src-uri": "", "dest-uri": "amqp://h/a/b"},
    {**LEAST, "src-uri": "amqp://h:0"},
    {**LEAST, "src-exchange": "b", "dest-exchange": "c"},
    {**LEAST, "ack-mode": "x", "reconnect-delay": "5", "src-prefetch-count": "x", "src-predeclared": "yes"},
    {**LEAST, "src-delete-after": "x", "dest-add-forward-headers": 1, "dest-exchange-key": []},
    {**LEAST, "ack-mode": "no-ack", "src-delete-after": 5},
    {**LEAST, "dest-publish-properties": {"foo": 1, "delivery_mode": "2", "app_id": 3}, "dest-queue-args": {"foo": 1}},
    {**LEAST, "dest-publish-properties": "x", "src-consumer-args": {"bar": 1}, "prefetch-count": None},
    {**LEAST, "src-uri": "amqp:///nix"},
    {**LEAST, "dest-uri": ["amqp://h", "amqp:///nix"]},
)


class End:
    """A broker: its clients, and its management API."""

    def __init__(self, url: str, management_url: str) -> None:
        self.url = url
        self.management_url = management_url

    def api(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
        request = urllib.request.Request(f"{self.management_url}/api/{path}", data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def shovel(self, name: str, **value: Any) -> None:
        """Set one, and wait until it runs."""
        value = {"reconnect-delay": 1, **{key.replace("_", "-"): each for key, each in value.items()}}
        self.api("PUT", f"parameters/shovel/%2F/{name}", {"value": value})
        eventually(lambda: self.status(name).get("state") == "running", lambda: self.status(name))

    def refusal(self, value: Any) -> str:
        """Why it is no value of a shovel, or nothing."""
        try:
            self.api("PUT", "parameters/shovel/%2F/wrong", {"value": value})
        except urllib.error.HTTPError as error:
            reason: str = json.loads(error.read())["reason"]
            return reason
        return ""

    def status(self, name: str) -> dict[str, Any]:
        return next((each for each in self.api("GET", "shovels") if each["name"] == name), {})

    def publish(self, queue: str, count: int, properties: pika.BasicProperties | None = None) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            channel.queue_declare(queue, durable=True)
            channel.confirm_delivery()
            for number in range(count):
                channel.basic_publish("", queue, b"%d" % number, properties or pika.BasicProperties(delivery_mode=2))

    def take(self, queue: str, count: int) -> list[tuple[pika.BasicProperties, bytes]]:
        """So many different ones, with what comes twice, and what is left then."""
        found: list[tuple[pika.BasicProperties, bytes]] = []
        different: set[bytes] = set()
        end = time.monotonic() + PATIENCE_S
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            channel.queue_declare(queue, durable=True)
            while time.monotonic() < end:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is not None:
                    found.append((properties, body))
                    different.add(body)
                elif len(different) >= count:
                    break
                else:
                    time.sleep(0.01)
        return found


def eventually(holds: Callable[[], bool], told: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(told())
        time.sleep(0.02)


def moved(source: End, source_queue: str, destination: End, destination_queue: str, count: int = 100) -> None:
    """Messages published at one end arrive unchanged and in order at the other."""
    properties = pika.BasicProperties("text/plain", "utf-8", HEADERS, 2, 5, "c", "r", None, "m", 1_700_000_000, "t")
    source.publish(source_queue, count, properties)
    found = destination.take(destination_queue, count)
    assert [body for _, body in found] == [b"%d" % number for number in range(count)]
    for arrived, _ in found:
        assert {**(arrived.headers or {}), "x-shovelled": None} == {**HEADERS, "x-shovelled": None}
        arrived.headers = properties.headers
        assert arrived == properties


def main() -> None:
    version("pika")
    with Broker(management=True) as broker:
        here, there = End(broker.url, broker.http_url), End(AMQP_URL, MANAGEMENT_URL)
        # An empty path is the vhost without a name for RabbitMQ.
        here_uri, there_uri = here.url.rstrip("/"), there.url.rstrip("/")
        extra = {"dest_add_forward_headers": True, "dest_add_timestamp_header": False}
        with check("shovel-here-to-there"):
            here.shovel("out", src_uri="amqp://", src_queue="a", dest_uri=there_uri, dest_queue="b", **extra)
            moved(here, "a", there, "b")
        with check("shovel-here-from-there"):
            here.shovel("in", src_uri=there_uri, src_queue="c", dest_uri="amqp://", dest_queue="d", **extra)
            moved(there, "c", here, "d")
        with check("shovel-there-to-here"):
            there.shovel("out", src_uri="amqp://", src_queue="e", dest_uri=here_uri, dest_queue="f", **extra)
            moved(there, "e", here, "f")
        with check("shovel-there-from-here"):
            there.shovel("in", src_uri=here_uri, src_queue="g", dest_uri="amqp://", dest_queue="h", **extra)
            moved(here, "g", there, "h")
        with check("refusals"):
            for value in WRONG:
                assert there.refusal(value), f"{value} is taken"
                assert here.refusal(value) == there.refusal(value), value
        with check("status"):
            statuses = [here.status("out"), there.status("out")]
            assert [*statuses[0]] == [*statuses[1]], statuses
            for key in ("state", "type", "vhost", "src_uri", "src_protocol", "dest_protocol", "blocked_status"):
                assert statuses[0][key] == statuses[1][key], statuses
        with check("forward-headers"):
            told = []
            for source, sink, queues in ((here, there, "ab"), (there, here, "ef")):
                source.publish(queues[0], 1)
                (properties, _), *_ = sink.take(queues[1], 1)
                told.append([*properties.headers["x-shovelled"][0]])
            assert told[0] == told[1], told
        with check("delete-after"):
            for end, other in ((here, there_uri), (there, here_uri)):
                end.publish("i", 20)
                value = {"src-uri": "amqp://", "src-queue": "i", "dest-uri": other, "dest-queue": "j"}
                end.api("PUT", "parameters/shovel/%2F/once", {"value": {**value, "src-delete-after": 10}})
                eventually(lambda end=end: not _has(end, "once"), lambda: "it is still there")
                eventually(lambda end=end: len(end.take("i", 10)) == 10, lambda: "more or fewer are left")
            assert len(there.take("j", 10)) == len(here.take("j", 10)) == 10
        with check("restart-and-delete"):
            for end in (here, there):
                end.api("DELETE", "shovels/vhost/%2F/out/restart")
                eventually(lambda end=end: end.status("out").get("state") == "running", lambda: "it does not run")
                end.api("DELETE", "shovels/vhost/%2F/in")
                eventually(lambda end=end: end.status("in") == {}, lambda: "it is still there")
        with check("cut-line"):
            port = int(there_uri.rsplit(":", 1)[1])
            with CutLine(port, seed=7, after_bytes=(1_000, 20_000)) as line:
                far = f"amqp://127.0.0.1:{line.port}"
                here.shovel(
                    "cut", src_uri="amqp://", src_queue="k", src_prefetch_count=50, dest_uri=far, dest_queue="l"
                )
                here.publish("k", MESSAGES)
                eventually(lambda: _count(here, "k") == 0, lambda: here.status("cut"))
                bodies = [body for _, body in there.take("l", MESSAGES)]
                here.api("DELETE", "shovels/vhost/%2F/cut")
            assert list(dict.fromkeys(bodies)) == [b"%d" % number for number in range(MESSAGES)], "lost or mixed up"
            assert line.cuts > 2, f"{line.cuts} cuts are none to speak of"
        with check("reconnect"):
            restart_broker()
            here.publish("a", 10)
            assert {body for _, body in there.take("b", 10)} >= {b"%d" % number for number in range(10)}
    finish()


def _has(end: End, name: str) -> bool:
    return any(each["name"] == name for each in end.api("GET", "parameters/shovel"))


def _count(end: End, queue: str) -> int:
    """Return the number of messages of a queue, including unacknowledged ones."""
    count: int = end.api("GET", f"queues/%2F/{queue}").get("messages", -1)
    return count


if __name__ == "__main__":
    main()
