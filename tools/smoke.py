"""Check an installed amqpbroker: `python tools/smoke.py [--expect compiled|interpreted]`.

Needs pika and pytest beside it, and imports nothing of the checkout: cibuildwheel and tools/oldest.py run it with the
Python of the environment in which they have installed a wheel. Starts the broker as a user does, publishes and
consumes, calls the HTTP API, loads the page and the metrics, runs `amqpbroker ctl`, restarts, and runs a test that uses
the pytest fixtures. Exits with 1 and a traceback at the first failure.
"""

import argparse
import base64
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_S = 60

PYTEST = """
import pika


def test_a_message_expires_in_time_of_the_test(amqp_broker, amqp_vhost):
    with pika.BlockingConnection(pika.URLParameters(amqp_vhost.url)) as connection:
        channel = connection.channel()
        channel.queue_declare("later", arguments={"x-message-ttl": 3_600_000})
        channel.basic_publish("", "later", b"1")
        assert [message.body for message in amqp_vhost.messages("later")] == [b"1"]
        amqp_broker.clock.advance(hours=2)
        assert amqp_vhost.messages("later") == []
"""


class Broker:
    """`amqpbroker serve` on free ports, with its data in `directory`. Stops when the `with` block ends."""

    def __init__(self, directory: Path) -> None:
        self.ready = directory / "ready.json"
        self.command = [console_script(), "serve", "--port", "0", "--ready-file", str(self.ready)]
        self.command += ["--data-dir", str(directory / "data"), "--set", "management.tcp.port=0"]
        self.command += ["--set", "prometheus.tcp.port=0"]

    def __enter__(self) -> "Broker":
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE_S
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise SystemExit("the broker did not start")
            time.sleep(0.02)
        self.ports = {name: where[0][1] for name, where in json.loads(self.ready.read_text()).items() if name != "pid"}
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.terminate()
        status = self.process.wait(PATIENCE_S)
        if raised[0] is None and sys.platform != "win32":
            assert status == 0, f"the broker exited with {status}"

    def get(self, path: str, protocol: str = "http") -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[protocol]}{path}")
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            text: str = answer.read().decode()
        return text


def console_script() -> str:
    return str(Path(sysconfig.get_path("scripts"), "amqpbroker" + (".exe" if sys.platform == "win32" else "")))


def report(title: str, check: Callable[..., Any], *arguments: Any) -> Any:
    result = check(*arguments)
    print(f"ok: {title}", flush=True)
    return result


def installed(expected: str) -> None:
    import amqpbroker

    checkout = Path(__file__).resolve().parent.parent
    assert checkout not in Path(amqpbroker.__file__).resolve().parents, f"{amqpbroker.__file__} is the checkout's"
    said = subprocess.run([console_script(), "--version"], capture_output=True, text=True, check=True).stdout
    assert amqpbroker.__version__ == importlib.metadata.version("amqpbroker")
    assert said.startswith(f"amqpbroker {amqpbroker.__version__} ({expected}"), said
    requirements = [
        re.split(r"[^\w-]", each)[0] for each in importlib.metadata.requires("amqpbroker") or () if "extra" not in each
    ]
    for name in requirements:
        try:
            print(f"    {name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"    {name} is not installed")


def publish(port: int) -> None:
    import pika

    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)) as connection:
        channel = connection.channel()
        channel.queue_declare("durable", durable=True)
        channel.confirm_delivery()
        for body in (b"first", b"second"):
            properties = pika.BasicProperties(delivery_mode=2, headers={"x": [1, {"y": True}]}, priority=1)
            channel.basic_publish("", "durable", body, properties, mandatory=True)


def consume(port: int, expected: bytes) -> None:
    import pika

    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)) as connection:
        channel = connection.channel()
        for method, properties, body in channel.consume("durable", inactivity_timeout=PATIENCE_S):
            assert (body, properties.headers) == (expected, {"x": [1, {"y": True}]})
            channel.basic_ack(method.delivery_tag)
            break
        channel.cancel()


def http(broker: Broker) -> None:
    assert json.loads(broker.get("/api/overview"))["rabbitmq_version"]
    (queue,) = json.loads(broker.get("/api/queues/%2F"))
    assert (queue["name"], queue["durable"]) == ("durable", True)
    assert "amqpbroker" in broker.get("/")
    assert "rabbitmq_queues 1" in broker.get("/metrics", "http/prometheus")


def ctl(broker: Broker) -> None:
    command = [console_script(), "ctl", "--url", f"http://127.0.0.1:{broker.ports['http']}", "list_queues", "name"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "durable" in said, said


def fixtures(directory: Path) -> None:
    (directory / "test_fixtures.py").write_text(PYTEST)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)], check=True, cwd=directory
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expect", choices=["compiled", "interpreted"], default="")
    expected = parser.parse_args().expect
    os.environ.pop("PYTHONPATH", None)
    print(f"Python {sys.version}")
    report("the package and its command", installed, expected)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with Broker(directory) as broker:
            report("publish with confirms", publish, broker.ports["amqp"])
            report("consume and acknowledge", consume, broker.ports["amqp"], b"first")
            report("HTTP API, page and metrics", http, broker)
            report("amqpbroker ctl", ctl, broker)
        with Broker(directory) as broker:
            report("persistent messages after a restart", consume, broker.ports["amqp"], b"second")
        report("pytest fixtures", fixtures, directory)


if __name__ == "__main__":
    main()
