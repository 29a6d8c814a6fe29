"""Long-running requests, during which other clients are served."""

import tempfile
import threading
import time
from pathlib import Path

import pytest

from amqpbroker.wire.values import longstr
from tests.harness import published
from tests.load.client import LoadClient, request
from tests.load.load import beside, p99, round_trips_ms
from tests.process import BrokerProcess
from tests.slowness import slowness

pytestmark = pytest.mark.alone

DECLARATIONS = 20_000
EXPIRING = 50_000
TTL_MS = 5_000
BINDINGS = 100_000
BATCH = 500
#: Maximum latency of other clients' messages meanwhile, on the reference machine; and number of attempts, as other
#: processes use the machine.
P99_MS = 50
ATTEMPTS = 5
#: Minimum number of other clients' messages that have to get through while declarations are handled.
LEAST = 25
#: Seconds of measurement before a deletion, so that other clients are active when it begins, and after it, to include
#: the work that it leaves.
BEFORE_S = 0.3
AFTER_S = 1.0


def answered(client, requests, answer):
    """Send all requests at once, as a client that pipelines does, and read the answers."""
    sender = threading.Thread(target=client.send, args=(b"".join(requests),), daemon=True)
    sender.start()
    for _ in requests:
        client.expect(answer)
    sender.join()


def bind(client, queue, exchange, count):
    for first in range(0, count, BATCH):
        keys = [f"key.{number}" for number in range(first, first + BATCH)]
        client.send(b"".join([request("queue.bind", queue=queue, exchange=exchange, routing_key=key) for key in keys]))
        for _ in keys:
            client.expect("queue.bind-ok")


@pytest.fixture
def broker(tmp_path):
    """Yield a broker whose disk is memory if available: the latency of the disk is not measured."""
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as directory,
        BrokerProcess(Path(directory)) as process,
    ):
        yield process


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
def test_other_clients_are_served_during_declarations(broker, durable):
    for attempt in range(ATTEMPTS):
        names = [f"q.{attempt}.{number}" for number in range(DECLARATIONS)]
        requests = [request("queue.declare", queue=name, durable=durable) for name in names]
        with LoadClient(broker.port) as client:

            def declare(client=client, requests=requests):
                answered(client, requests, "queue.declare-ok")

            with beside(declare) as going_on:
                took = round_trips_ms(broker, going_on, at_least=1)
        print(f"{len(took)} messages, p50 {took[len(took) // 2]:.2f} ms, p99 {p99(took):.2f} ms")
        if p99(took) < P99_MS * slowness() and len(took) >= LEAST:
            return
    pytest.fail(f"p99 of {len(took)} messages of others: {p99(took):.1f} ms")


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
@pytest.mark.parametrize("what", ["queue", "exchange"])
def test_other_clients_are_served_during_a_deletion_with_many_bindings(broker, what, durable):
    count = BINDINGS // 2 if durable else BINDINGS
    for _ in range(ATTEMPTS):
        with LoadClient(broker.port) as client:
            client.call("queue.declare", "queue.declare-ok", queue="much", durable=durable)
            client.call(
                "exchange.declare", "exchange.declare-ok", exchange="much", exchange_type="direct", durable=durable
            )
            bind(client, "much", "much", count)

            def delete(client=client):
                time.sleep(BEFORE_S)
                client.call(f"{what}.delete", f"{what}.delete-ok", **{what: "much"})
                time.sleep(AFTER_S)

            with beside(delete) as going_on:
                took = round_trips_ms(broker, going_on, at_least=1)
        print(f"{len(took)} messages, p99 {p99(took):.2f} ms, longest {took[-1]:.2f} ms")
        if took[-1] < P99_MS * slowness():
            return
    pytest.fail(f"the longest of {len(took)} messages of others took {took[-1]:.1f} ms")


@pytest.mark.parametrize("durable", [False, True], ids=["transient", "durable"])
def test_other_clients_are_served_while_many_messages_expire_behind_another(broker, durable):
    arguments = {
        "x-message-ttl-mode": longstr("any"),
        "x-dead-letter-exchange": longstr(""),
        "x-dead-letter-routing-key": longstr("dead"),
    }
    for _ in range(ATTEMPTS):
        with LoadClient(broker.port) as client:
            client.call("queue.declare", "queue.declare-ok", queue="dead", durable=durable)
            client.call("queue.declare", "queue.declare-ok", queue="many", durable=durable, arguments=arguments)
            kept = 2 if durable else 1
            client.send(published("many", b"stays", delivery_mode=kept))
            # They expire together, after the last one was published.
            expires_at = time.monotonic() + TTL_MS / 1000
            for _ in range(0, EXPIRING, BATCH):
                left_ms = int((expires_at - time.monotonic()) * 1000)
                client.send(published("many", b"x", delivery_mode=kept, expiration=str(max(left_ms, 0))) * BATCH)
            assert client.depth("many") > EXPIRING // 2

            def expire(client=client):
                while client.depth("many") > 1:
                    time.sleep(BEFORE_S)

            with beside(expire) as going_on:
                took = round_trips_ms(broker, going_on, at_least=1)
            assert client.depth("dead") == EXPIRING
            for queue in "many", "dead":
                client.call("queue.delete", "queue.delete-ok", queue=queue)
        print(f"{len(took)} messages, p99 {p99(took):.2f} ms, longest {took[-1]:.2f} ms")
        if took[-1] < P99_MS * slowness():
            return
    pytest.fail(f"the longest of {len(took)} messages of others took {took[-1]:.1f} ms")
