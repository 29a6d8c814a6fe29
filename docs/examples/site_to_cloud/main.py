"""A site keeps working while its link to the cloud is down, and no reading is lost.

The sensors at the site know only the local broker. A shovel in that broker forwards messages from the queue `outbox` to
the queue `readings` of the cloud's broker. A reading leaves the site only when the cloud's broker has confirmed it.
Readings that were in transit when the link failed are sent again and may arrive twice; the archive recognises them by
their message id.

The shovel is created with the management API, at http://localhost:15672 or the address in MANAGEMENT_URL. CLOUD_URL is
the cloud's broker; without it, one broker plays both roles.
"""

import json
import os
import sys
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pika

sys.path.insert(0, str(Path(__file__).parent))

from line import Line

SITE_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
CLOUD_URL = os.environ.get("CLOUD_URL", SITE_URL)
MANAGEMENT_URL = os.environ.get("MANAGEMENT_URL", "http://localhost:15672")


def request(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Basic {b64encode(b'guest:guest').decode()}", "Content-Type": "application/json"}
    url = f"{MANAGEMENT_URL}/api/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)):
        pass


def set_up_shovel(line):
    cloud = urlsplit(CLOUD_URL)
    netloc = f"{cloud.username}:{cloud.password}@127.0.0.1:{line.port}"
    path = cloud.path.strip("/") or "%2F"  # the vhost; RabbitMQ's shovel takes "/" alone as a vhost without a name
    by_line = cloud._replace(netloc=netloc, path=path).geturl()
    shovel = {
        "src-uri": "amqp://",  # the broker that runs the shovel
        "src-queue": "outbox",
        "dest-uri": by_line,
        "dest-queue": "readings",
        "ack-mode": "on-confirm",
        "reconnect-delay": 1,
    }
    request("PUT", "parameters/shovel/%2F/to-cloud", {"value": shovel})


class Sensor:
    """Publishes readings at the site. It waits for each confirm, since the broker is local."""

    def __init__(self, channel):
        self._channel = channel
        self._count = 0
        channel.confirm_delivery()
        channel.queue_declare("outbox", durable=True)

    def measure(self, times):
        for _ in range(times):
            self._count += 1
            reading = pika.BasicProperties(delivery_mode=2, message_id=str(self._count))
            self._channel.basic_publish("", "outbox", b"20.5", reading, mandatory=True)
        print(f"site: {self._count} readings accepted")


class Archive:
    """Collects readings in the cloud."""

    def __init__(self, channel):
        self._channel = channel
        self._ids = set()
        channel.queue_declare("readings", durable=True)

    def read(self, until):
        """Read until this many readings have arrived."""
        for method, properties, _ in self._channel.consume("readings"):
            self._ids.add(properties.message_id)  # a duplicate changes nothing
            self._channel.basic_ack(method.delivery_tag)
            if len(self._ids) == until:
                break
        self._channel.cancel()
        print(f"cloud: {until} readings there")


def main():
    cloud = urlsplit(CLOUD_URL)
    line = Line(cloud.hostname, cloud.port or 5672)
    with (
        pika.BlockingConnection(pika.URLParameters(SITE_URL)) as site,
        pika.BlockingConnection(pika.URLParameters(CLOUD_URL)) as cloud,
    ):
        sensor, archive = Sensor(site.channel()), Archive(cloud.channel())
        set_up_shovel(line)
        sensor.measure(100)
        archive.read(until=50)

        line.cut()
        print("the line is cut")
        sensor.measure(100)
        line.mend()
        print("the line is back")
        archive.read(until=200)

        request("DELETE", "parameters/shovel/%2F/to-cloud")
        site.channel().queue_delete("outbox")
        cloud.channel().queue_delete("readings")


if __name__ == "__main__":
    main()
