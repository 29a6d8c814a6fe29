"""Cost of one more connection, channel, queue or binding in a broker, in memory and time, as a Markdown table.

usage: python -m tests.bench.scale [--connections N] [--queues N] [--port PORT --pid PID]

Starts a new broker, unless the port and the process id of another one are given. The time is from the first request to
the last answer, with two hundred outstanding requests (connections: one by one).
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from amqpbroker.wire.values import Field
from tests.load.client import LoadClient, allow_open_files, request
from tests.load.memory import resident_bytes
from tests.process import BrokerProcess

BATCH = 200
CHANNELS_PER_CONNECTION = 100


class Scale:
    """Measures the broker at `port`, whose process is `pid`, and prints a row for each kind of object."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    @contextlib.contextmanager
    def row(self, what: str, count: int) -> Iterator[None]:
        """Print one row for the `count` objects that the block creates."""
        before = resident_bytes(self.pid)
        start = time.monotonic()
        yield
        took_s = time.monotonic() - start
        grown = resident_bytes(self.pid) - before
        each = f"{grown / count / 1000:.1f} kB | {took_s / count * 1e6:.0f} us"
        print(f"| {count:,} {what} | {grown / 1e6:.1f} MB | {took_s:.2f} s | {each} |", flush=True)

    def connections(self, count: int) -> None:
        with contextlib.ExitStack() as opened:
            with self.row("connections, each with a channel", count):
                clients = [opened.enter_context(LoadClient(self.port)) for _ in range(count)]
            users = clients[: max(1, count // CHANNELS_PER_CONNECTION)]
            with self.row("further channels", len(users) * CHANNELS_PER_CONNECTION):
                for client in users:
                    opens = [request("channel.open", 2 + i) for i in range(CHANNELS_PER_CONNECTION)]
                    _pipelined(client, "channel.open-ok", opens)
            for client in clients:
                client.close()

    def queues(self, count: int, kind: str = "queues", **arguments: Field) -> None:
        names = [f"scale.{i}" for i in range(count)]
        table = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
        with LoadClient(self.port) as client:
            with self.row(kind, count):
                declares = [request("queue.declare", queue=name, arguments=table) for name in names]
                _pipelined(client, "queue.declare-ok", declares)
            if not arguments:
                for exchange, ending in (("amq.direct", ""), ("amq.topic", ".*.created")):
                    with self.row(f"bindings to {exchange}", count):
                        bound = ((name, {"exchange": exchange, "routing_key": name + ending}) for name in names)
                        binds = [request("queue.bind", queue=name, **binding) for name, binding in bound]
                        _pipelined(client, "queue.bind-ok", binds)
                with self.row("consumers", count):
                    consumes = [request("basic.consume", queue=name, consumer_tag=name) for name in names]
                    _pipelined(client, "basic.consume-ok", consumes)
            deletes = [request("queue.delete", queue=name) for name in names]
            _pipelined(client, "queue.delete-ok", deletes)
            client.close()


def _pipelined(client: LoadClient, answer: str, requests: list[bytes]) -> None:
    for first in range(0, len(requests), BATCH):
        batch = requests[first : first + BATCH]
        client.send(b"".join(batch))
        for _ in batch:
            client.expect(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2_000)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--port", type=int, help="of a broker that runs already")
    parser.add_argument("--pid", type=int, help="of that broker's process")
    options = parser.parse_args()
    if not allow_open_files(options.connections + 100):
        parser.error("too few files may be open: raise ulimit -n")
    print("| what | memory | time | memory each | time each |\n|---|--:|--:|--:|--:|")
    for measure in (
        lambda scale: scale.connections(options.connections),
        lambda scale: scale.queues(options.queues),
        lambda scale: scale.queues(options.queues, "queues with priorities", max_priority=Field("I", 5)),
    ):
        with _broker(options.port, options.pid) as scale:
            measure(scale)


@contextlib.contextmanager
def _broker(port: int | None, pid: int | None) -> Iterator[Scale]:
    """Yield the given broker, or else a new one: memory freed by others must not be reused."""
    with contextlib.ExitStack() as started:
        if port is None or pid is None:
            directory = Path(started.enter_context(tempfile.TemporaryDirectory()))
            broker = started.enter_context(BrokerProcess(directory))
            port, pid = broker.port, broker.process.pid
        LoadClient(port).close()
        yield Scale(port, pid)


if __name__ == "__main__":
    main()
