"""Flower, Celery's monitor: what its broker page shows comes from the management API."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pika
from celery import Celery
from flower.utils.broker import Broker

from interop.checks import AMQP_URL, MANAGEMENT_URL, check, finish, not_applicable, version

version("flower")
API = MANAGEMENT_URL.replace("http://", "http://guest:guest@") + "/api/"
app = Celery("interop", broker=AMQP_URL)


def queues(*names: str) -> list[dict[str, object]]:
    """Return the properties of these queues that Flower's API client finds."""
    broker = Broker(AMQP_URL.rstrip("/") + "/%2F" if AMQP_URL.endswith("5672/") else AMQP_URL, http_api=API)
    found: list[dict[str, object]] = asyncio.run(broker.queues(list(names)))
    return found


with check("lists"):
    connection = pika.BlockingConnection(pika.URLParameters(AMQP_URL))
    channel = connection.channel()
    channel.queue_declare("celery", durable=True)
    channel.basic_publish("", "celery", b"x")
    deadline = time.monotonic() + 60
    while not any(queue.get("messages") for queue in queues("celery")) and time.monotonic() < deadline:
        time.sleep(0.5)  # RabbitMQ tells of messages when its statistics have been collected
    (queue,) = queues("celery")
    assert (queue["messages"], queue["consumers"]) == (1, 0), queue
    channel.queue_purge("celery")
    connection.close()

with check("broker-page"):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "celery", "-b", AMQP_URL, "flower", f"--port={port}", "--address=127.0.0.1"]
    flower = subprocess.Popen([*command, f"--broker_api={API}"], stderr=subprocess.PIPE, env=os.environ)
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-b", AMQP_URL, "worker", "--pool=solo", "--without-mingle", "-l", "error"]
    )
    try:
        deadline = time.monotonic() + 60
        page = ""
        while time.monotonic() < deadline and not re.search(r">\s*celery\s*<", page):
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/broker", timeout=5) as answer:
                    page = answer.read().decode()
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                continue
        assert re.search(r">\s*celery\s*<", page), page[-2000:]
    finally:
        for process in (flower, worker):
            process.terminate()
        for process in (flower, worker):
            process.wait(20)

assert urlsplit(MANAGEMENT_URL).port
for name in ("topology", "messages", "purge-delete", "users", "policies", "definitions", "errors"):
    not_applicable(name, "read-only")

finish()
