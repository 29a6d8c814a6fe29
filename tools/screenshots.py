"""`python -m tools.screenshots` writes the screenshots of docs/guide/page.md: the page of a broker with some traffic.

Names of places restrict it to these places, at all sizes. It needs Chromium (tools/chromium).
"""

import argparse
import contextlib
import itertools
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pika
from pika.adapters.blocking_connection import BlockingChannel
from playwright.sync_api import Browser, Page, sync_playwright

from amqpbroker.testing import Broker

GUIDE = Path(__file__).parent.parent / "docs" / "guide"

#: The widths of a desktop and of a phone, with their heights.
SIZES = {1440: 900, 390: 844}
SCHEMES = ("light", "dark")

#: Duration of the traffic before the first screenshot.
WARM_UP_S = 70
SAMPLES_MS = 2000

#: Name -> address of a page.
PLACES = {
    "overview": "#/",
    "queues": "#/queues",
    "queue": "#/queues/%2F/orders.new",
    "exchanges": "#/exchanges",
    "exchange": "#/exchanges/%2F/orders",
    "connections": "#/connections",
    "channels": "#/channels",
    "policies": "#/policies",
    "live": "#/live/%2F/exchange/orders",
    "policy": "#/policies/%2F/order-queues",
    "testing": "#/testing",
    "users": "#/users",
    "vhosts": "#/vhosts",
    "limits": "#/limits",
    "shovels": "#/shovels",
    "definitions": "#/definitions",
}

#: The screenshots in docs/guide: (name of the page, width, scheme).
SHOWN = (
    *[("overview", width, scheme) for width in SIZES for scheme in SCHEMES],
    ("queue", 1440, "light"),
    ("channels", 1440, "light"),
    ("live", 1440, "dark"),
    ("queues", 390, "light"),
    ("testing", 1440, "light"),
)

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]


class Traffic:
    """Clients of a small shop: one publishes orders, two work on them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._over = threading.Event()
        jobs = (self._shop, self._billing, self._mailer)
        self._threads = [threading.Thread(target=self._run, args=(job,), daemon=True) for job in jobs]

    def __enter__(self) -> None:
        with self._connected("setup") as channel:
            _declare(channel)
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5)

    def _run(self, job: "object") -> None:
        assert callable(job)
        with contextlib.suppress(pika.exceptions.AMQPError):
            job()

    @contextlib.contextmanager
    def _connected(self, name: str) -> Iterator[BlockingChannel]:
        parameters = pika.URLParameters(self._broker.url)
        parameters.client_properties = {"connection_name": name}
        with pika.BlockingConnection(parameters) as connection:
            yield connection.channel()

    def _shop(self) -> None:
        with self._connected("shop-web") as channel:
            channel.confirm_delivery()
            for number in itertools.count(1):
                if self._over.wait(0.04 + 0.03 * (number // 40 % 3)):
                    return
                key = ("order.new", "order.new", "order.paid", "order.cancelled")[number % 4]
                body = json.dumps({"order": 10_000 + number, "customer": "Ada", "total": "19.90"})
                properties = pika.BasicProperties(
                    content_type="application/json", delivery_mode=2, message_id=f"m{number}", headers={"shop": "north"}
                )
                channel.basic_publish("orders", key, body.encode(), properties)

    def _billing(self) -> None:
        with self._connected("billing-worker") as channel:
            channel.basic_qos(prefetch_count=20)
            self._consume(channel, "orders.new", 0.06)

    def _mailer(self) -> None:
        with self._connected("mailer") as channel:
            channel.basic_qos(prefetch_count=5)
            self._consume(channel, "mails", 0.02)

    def _consume(self, channel: BlockingChannel, queue: str, pause_s: float) -> None:
        for method, _, _ in channel.consume(queue, inactivity_timeout=0.2):
            if self._over.wait(pause_s):
                return
            if method is not None:
                channel.basic_ack(method.delivery_tag)


def _declare(channel: BlockingChannel) -> None:
    channel.exchange_declare("orders", "topic", durable=True)
    channel.exchange_declare("dead", "fanout", durable=True)
    for queue, key in (("orders.new", "order.new"), ("orders.paid", "order.paid"), ("mails", "order.*")):
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, "orders", key)
    channel.queue_declare("orders.archive", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind("orders.archive", "orders", "#")
    channel.queue_declare("orders.failed", durable=True)
    channel.queue_bind("orders.failed", "dead", "")


@contextlib.contextmanager
def demo() -> Iterator[Broker]:
    """Run a broker with a policy and some traffic."""
    users = {"shop": "secret", "billing": "secret"}
    with Broker(management=True, users=users, collect_statistics_interval=SAMPLES_MS) as broker:
        definition = {"dead-letter-exchange": "dead", "delivery-limit": 5, "max-length": 50_000}
        body = {"pattern": "^orders\\.", "definition": definition, "apply-to": "queues", "priority": 0}
        _put(f"{broker.http_url}/api/policies/%2F/order-queues", body)
        with Traffic(broker):
            yield broker


def _put(url: str, body: object) -> None:
    import httpx

    httpx.put(url, json=body, auth=("guest", "guest")).raise_for_status()


def opened(browser: Browser, url: str, width: int, scheme: str) -> Page:
    """Log in as guest."""
    context = browser.new_context(
        viewport={"width": width, "height": SIZES[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    page.get_by_label("User name").fill("guest")
    page.get_by_label("Password").fill("guest")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    page.get_by_label("Charts show the last").select_option("60")
    return page


def shoot(page: Page, address: str, path: Path, whole: bool) -> None:
    """Write a screenshot of a place; whole: of its whole length."""
    page.evaluate("where => { location.hash = where }", address)
    page.wait_for_timeout(2500)
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.screenshot(path=path, full_page=whole)
    sys.stdout.write(f"{path} {path.stat().st_size // 1000} kB\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="*", choices=[*PLACES, []], help="only these, at all sizes")
    parser.add_argument("--to", type=Path, default=GUIDE)
    parser.add_argument("--width", type=int, choices=SIZES)
    parser.add_argument("--scheme", choices=SCHEMES)
    parser.add_argument("--warm-up", type=int, default=WARM_UP_S)
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Chromium was not found on PATH. Install it as root with tools/chromium.")
    wanted = [(place, width, scheme) for place in given.places for width in SIZES for scheme in SCHEMES] or SHOWN
    with demo() as broker, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        time.sleep(given.warm_up)
        for width, scheme in itertools.product(SIZES, SCHEMES):
            places = [place for place, *shown in wanted if shown == [width, scheme]]
            if not places or given.width not in (None, width) or given.scheme not in (None, scheme):
                continue
            page = opened(browser, f"{broker.http_url}/", width, scheme)
            for place in places:
                name = f"page-{width}-{scheme}" if place == "overview" else f"page-{place}-{width}-{scheme}"
                shoot(page, PLACES[place], given.to / f"{name}.png", whole=bool(given.places))
            page.context.close()
        browser.close()


if __name__ == "__main__":
    main()
