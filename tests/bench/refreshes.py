"""Requests of management UIs and monitoring tools to a broker with many queues, beside a load.

The requests of RabbitMQ's UI are those of RabbitMQ 4.0.5; the requests of this UI are its own.
"""

import base64
import contextlib
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from tests.bench.brokers import OURS, Running
from tests.bench.client_processes import BEGIN_WITHIN_S, CONTEXT, Client, ClientProcesses
from tests.bench.clients import Cells, Consuming, consume, publish
from tests.bench.processes import cpu_s, wait_until_idle
from tests.bench.round_trips import echo
from tests.bench.sending import Different
from tests.bench.shapes import LATENCY_SAMPLES
from tests.bench.topology import Topology
from tests.load.client import LoadClient

QUEUES = 10_000
#: Name of the measurement without refreshes.
NOTHING = "nothing"
#: The UI refreshes every 5 seconds, and several people use it.
EVERY_S = 1.0
WITHIN_S = 60.0
ATTEMPTS = 5
PAUSE_S = 0.1
#: The number of messages of a queue is its number modulo this.
DEPTHS = 5
#: Queues of the load and of the round trips.
BESIDE = Topology(2, prefix="beside")

#: Columns of the list in this UI (management/static/js/pages/queues.js).
COLUMNS = (
    "name,vhost,type,state,idle_since,durable,auto_delete,exclusive,arguments,policy,operator_policy,"
    "effective_policy_definition,messages,messages_ready,messages_unacknowledged,consumers,"
    "message_stats.publish_details.rate,message_stats.deliver_get_details.rate,message_stats.ack_details.rate"
)
_RANGE = {"age": 600, "incr": 5}
_SAMPLES = {f"{kind}_{what}": s for kind in ("lengths", "msg_rates", "data_rates") for what, s in _RANGE.items()}


def page(broker: str, **query: str) -> list[str]:
    """Return the paths that the broker's list of queues requests, sorted and filtered as `query` says."""
    wanted = {"page": "1", "page_size": "100", "name": "", "use_regex": "false", "pagination": "true"} | query
    if broker != OURS:
        return [f"queues?{urlencode(wanted)}", "vhosts"]
    listed = {"sort": "name", "sort_reverse": "false"} | wanted | {"columns": COLUMNS}
    return [f"overview?{urlencode(_SAMPLES)}", "nodes", "vhosts?columns=name", f"queues?{urlencode(listed)}"]


def refreshes(broker: str) -> dict[str, list[str]]:
    """Return the paths of each kind of refresh."""
    return {
        "page": page(broker),
        "page sorted by messages": page(broker, sort="messages", sort_reverse="true"),
        "page filtered by name": page(broker, name="99"),
        "all queues": ["queues"],
    }


class Api:
    """The management API on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
        self._headers = {"Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}"}

    def close(self) -> None:
        self._connection.close()

    def refresh(self, paths: list[str]) -> None:
        """Make the requests, one after the other. Raises RuntimeError if one is refused repeatedly."""
        for path in paths:
            # A RabbitMQ that lacks open files, or is busy, may answer a request with 401.
            for patience in reversed(range(ATTEMPTS)):
                self._connection.request("GET", f"/api/{path}", headers=self._headers)
                response = self._connection.getresponse()
                body = response.read()
                if response.status == http.client.OK:
                    break
                if not patience:
                    raise RuntimeError(f"GET /api/{path} was answered with {response.status}: {body[:200]!r}")
                time.sleep(PAUSE_S)

    def change(self, method: str, path: str, what: object = None) -> None:
        """Make a request with a body of JSON. Raises RuntimeError if it is refused."""
        self._connection.request(method, f"/api/{path}", json.dumps(what), self._headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status not in (http.client.CREATED, http.client.NO_CONTENT):
            raise RuntimeError(f"{method} /api/{path} was answered with {response.status}: {body[:200]!r}")

    def repeat(self, paths: list[str], seconds: float) -> int:
        """Refresh every second for about that time; return the number of refreshes."""
        self.close()  # the broker may have closed an idle connection; a request opens another one
        start = time.monotonic()
        count = 0
        while time.monotonic() < start + seconds:
            self.refresh(paths)
            count += 1
            time.sleep(max(0.0, start + count * EVERY_S - time.monotonic()))
        return count


@dataclass(frozen=True)
class Refreshed:
    """Cost of refreshes of one kind; for `NOTHING` only the load.

    cpu_ms: CPU of the broker for one refresh, without a load. rate: messages of the load per second. p99_ms,
    longest_ms: round trips of a message of another client beside that load.
    """

    cpu_ms: float
    rate: float
    p99_ms: float
    longest_ms: float


def refreshed(broker: Running, seconds: float, queues: int = QUEUES) -> dict[str, Refreshed]:
    """Measure each kind of refresh for a broker, in which it creates this number of queues."""
    topology = Topology(queues, durable=True)
    busy, asked = BESIDE.names
    with LoadClient(broker.port) as client:
        topology.declare(client)
        BESIDE.declare(client)
        keys = tuple(name for number, name in enumerate(topology.names) for _ in range(number % DEPTHS))
        for frames, _ in Different(keys).chunks():
            client.send(frames)
        client.close()
    wait_until_idle(broker.pids)
    kinds = refreshes(broker.name)
    with contextlib.closing(Api(broker.management_port)) as api:
        cpu_ms = {kind: _cpu_ms(broker, api, paths, seconds) for kind, paths in kinds.items()}
        samples_ns = CONTEXT.RawArray("Q", LATENCY_SAMPLES)
        with ClientProcesses(broker.port) as processes:
            taker = processes.add(consume, Consuming((busy,)))
            processes.ready()
            processes.add(publish, Different((busy,)))
            asking = processes.add(echo, asked, samples_ns)
            for each in (taker, asking):
                each.wait(lambda client: client.count > 0, BEGIN_WITHIN_S)
            return {
                kind: _beside(taker, asking, samples_ns, partial(api.repeat, paths, seconds), cpu_ms.get(kind, 0.0))
                for kind, paths in {NOTHING: [], **kinds}.items()
            }


def _cpu_ms(broker: Running, api: Api, paths: list[str], seconds: float) -> float:
    """Return the CPU of the broker for one refresh, without a load."""
    api.refresh(paths)
    before_s = cpu_s(broker.pids)
    count = api.repeat(paths, seconds)
    return (cpu_s(broker.pids) - before_s) * 1000 / count


def _beside(taker: Client, asking: Client, samples_ns: Cells, work: Callable[[], object], cpu_ms: float) -> Refreshed:
    """Measure the load and the round trips while `work` is done."""
    start, taken, first = time.monotonic(), taker.count, asking.count
    work()
    rate = (taker.count - taken) / (time.monotonic() - start)
    found = sorted(samples_ns[first : asking.count])
    return Refreshed(cpu_ms, rate, found[len(found) * 99 // 100] / 1e6, found[-1] / 1e6)
