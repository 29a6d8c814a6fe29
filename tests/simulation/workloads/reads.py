"""Messages, definitions, sessions, connections and metrics over HTTP: answers match the actual state."""

import random
from collections import deque
from typing import Any

from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.message.message import NOT_STORED
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.http_server import METRICS
from tests.simulation.network import Connection
from tests.simulation.parts import fifo_lines
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

SIZES = (10, 10, 10, 2_000, 70_000)
ACK_MODES = ("ack_requeue_true", "ack_requeue_false", "reject_requeue_true", "reject_requeue_false")
KINDS = (
    *("publish", "publish", "get") * 4,
    *("count", "purge", "import_definitions", "export", "overview", "close", "metrics"),
    *("log_in", "log_in", "whoami", "whoami"),
)
#: Time that the broker may still work on a request whose connection has ended.
QUIET_NS = 300 * MS


class Reads(Workload):
    """A queue that only one client fills and reads, a client whose connection it closes, and a reader of metrics."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self.web = HttpClient(world, f"{name}h")
        self.page = HttpClient(world, f"{name}s")
        self.page.authorizes = False
        self.scraper = HttpClient(world, f"{name}m")
        self.scraper.listener = METRICS
        self.victim = Client(world, f"{name}v")
        self._chance = world.chance(name)
        self._todo: deque[str] = deque()
        self._is_busy = False
        #: Messages that are certainly in the queue, by payload; it may have others while the content is uncertain.
        self._there: list[str] = []
        self._is_certain = False
        #: Number of messages at the start that were returned to a quorum queue.
        self._returned = 0
        self._number = 0
        self._deaths = 0
        self._sessions: list[str] = []
        self._scrapes = 0
        #: Ports of connections that were closed over HTTP.
        self._closed: set[int] = set()

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"kind": chance.choice(("classic", "quorum"))}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), name, "ask", (kind,))
            for kind in chance.choices(KINDS, k=chance.choice((10, 40, 100)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}{each}" for each in "hsmv"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (self.victim,)

    @property
    def _is_still_there(self) -> bool:
        """Return whether the present connection of the victim was closed over HTTP."""
        connection = self.victim._connection
        return connection is not None and connection.port in self._closed

    @property
    def actors(self) -> dict[str, Any]:
        others = (self.web, self.page, self.scraper, self.victim)
        return {self.name: self, **{each.name: each for each in others}}

    def do_ask(self, kind: str) -> None:
        """Send a request when the previous one is answered."""
        match kind:
            case "log_in" | "whoami":
                getattr(self, f"_{kind}")()
            case "metrics":
                self.scraper.request("GET", f"/metrics{self._chance.choice(('', '/per-object'))}", self._scraped)
            case _:
                self._todo.append(kind)
                self._go_on()

    def is_done(self) -> bool:
        if self._is_still_there:
            return False
        return not self._todo and not self._is_busy and self.page.idle and self.scraper.idle and self.victim.open

    def check(self) -> None:
        if self._is_still_there:
            raise self.world.broken(f"{self.name}: a connection that was closed over HTTP is still there")

    def _go_on(self) -> None:
        if self._is_busy or not self._todo:
            return
        self._is_busy = True
        self._notice()
        if self._is_certain:
            getattr(self, f"_{self._todo.popleft()}")()
        else:
            self._settle_soon()

    def _notice(self) -> bool:
        """Return whether the broker has ended since the last call; then messages may have been requeued."""
        deaths, self._deaths = self._deaths, len(self.world.deaths)
        self._is_certain &= self._deaths == deaths
        return self._deaths != deaths

    def _over(self) -> None:
        self._is_busy = False
        self._go_on()

    def _lost(self, first: int = 0) -> None:
        """Note a request without an answer. first: number of messages that it may have removed."""
        del self._there[:first]
        self._is_certain = False
        self._over()

    # --- start with an empty queue ------------------------------------------------------------------------------------

    def _settle_soon(self) -> None:
        """Count and purge when the broker has stopped working on lost requests."""
        if self.world.process is None or not self.world.ignores(self.web):
            self.world.scheduler.after(50 * MS, self._settle_soon)
        else:
            self.world.scheduler.after(QUIET_NS, self._declare)

    def _declare(self) -> None:
        self._notice()
        body = {"durable": True, "arguments": {"x-queue-type": self._kind}}
        self.web.request("PUT", path("queues", "/", self.name), self._declared, body)

    def _declared(self, answer: Answer | None) -> None:
        if answer is None or self._notice():
            self._settle_soon()
            return
        if answer.status not in (201, 204) or (answer.status == 201 and self._there):
            raise self.world.broken(f"{self.name}: a declaration is answered with {answer}; it has {self._there}")
        self.web.request("GET", path("queues", "/", self.name, columns="messages"), self._counted)

    def _counted(self, answer: Answer | None) -> None:
        if answer is None or self._notice():
            self._settle_soon()
            return
        if answer.json["messages"] < len(self._there):
            raise self.world.broken(f"{self.name}: of {len(self._there)} messages there are {answer.json}")
        self._there.clear()
        self._returned = 0
        self.web.request("DELETE", path("queues", "/", self.name, "contents"), self._purged)

    def _purged(self, answer: Answer | None) -> None:
        if answer is None or self._notice():
            self._settle_soon()
            return
        self._is_certain = True
        self._over()

    # --- messages -----------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        self._number += 1
        payload = f"{self.name}-{self._number} ".ljust(self._chance.choice(SIZES), "x")
        life = self.world.life

        def over(answer: Answer | None) -> None:
            if answer is None:
                self._lost()
                return
            if answer.status == 200 and answer.json["routed"]:
                self._there.append(payload)
                self._check_safe(life)
            elif not self._is_too_large(answer, len(payload)):
                raise self.world.broken(f"{self.name}: a publish is answered with {answer}")
            self._over()

        body = {
            "routing_key": self.name,
            "properties": {"delivery_mode": 2},
            "payload": payload,
            "payload_encoding": "string",
        }
        self.web.request("POST", path("exchanges", "/", "amq.default", "publish"), over, body)

    def _check_safe(self, life: int) -> None:
        """Check that a publish was answered after its sync. life: of the broker that has answered."""
        process = self.world.process
        if process is None or life != self.world.life or not process.loop.is_between_iterations:
            return
        queue = process.broker.vhosts["/"].queues[self.name]
        assert isinstance(queue, LocalQueue)
        for line in fifo_lines(queue.ready):
            for entry in (*line.line, *line._tail):
                if entry.position != NOT_STORED and not process.store.is_safe(entry):
                    raise self.world.broken(f"{self.name}: a publish is answered before its sync")

    def _is_too_large(self, answer: Answer, size: int) -> bool:
        """Return whether a limit explains that a body is refused."""
        bounds = self.world.config.bounds
        body_bytes = size + 200
        if answer.status == 400:
            return body_bytes > bounds.body_bytes
        others = [each for each in self.world.clients if isinstance(each, HttpClient) and each is not self.web]
        is_shared = any(each.largest_body > SMALL_BYTES for each in others)
        return answer.status == 503 and body_bytes > (SMALL_BYTES if is_shared else bounds.bodies_bytes)

    def _get(self) -> None:
        count, mode = self._chance.choice((1, 3, 1_000)), self._chance.choice(ACK_MODES)
        before = list(self._there)

        def over(answer: Answer | None) -> None:
            if answer is None:
                self._lost(0 if mode.endswith("true") else count)
                return
            got = [row["payload"] for row in answer.json]
            most = min(count, len(before))
            few = len(got) < most and sum(map(len, got)) + 1_000 * len(got) < self.world.config.bounds.got_bytes
            few |= bool(before) and not got
            # A message that could not be read is not returned until a later attempt.
            few &= not self.world.disk.failures
            held = sum(map(len, got[:-1])) if mode != "ack_requeue_false" else 0
            many = len(got) > most or held >= self.world.config.bounds.got_bytes
            if got != before[: len(got)] or many or few:
                raise self.world.broken(f"{self.name}: {count} {mode} of {_short(before)} gets {_short(got)}")
            self._got(len(got), returns=mode.endswith("true"))
            self._over()

        body = {"count": count, "ackmode": mode, "encoding": "auto"}
        self.web.request("POST", path("queues", "/", self.name, "get"), over, body)

    def _got(self, count: int, returns: bool) -> None:
        """Note that the first messages were taken, and possibly returned.

        They return to their positions, or in a quorum queue behind other returned ones.
        """
        taken, left = self._there[:count], self._there[count:]
        if not returns:
            self._there = left
            self._returned = max(self._returned - count, 0)
        elif self._kind == "quorum":
            earlier = max(self._returned - count, 0)
            self._there = [*left[:earlier], *taken, *left[earlier:]]
            self._returned = earlier + count

    def _count(self) -> None:
        before = self._counts()

        def over(answer: Answer | None) -> None:
            if answer is None:
                self._lost()
                return
            # The broker sorts a list before it makes the rows, and other workloads may change their queues meanwhile.
            unchanged = {name for name, count in self._counts().items() if before.get(name) == count}
            counts = [row["messages"] for row in answer.json if row["name"] in unchanged]
            if counts != sorted(counts):
                raise self.world.broken(f"{self.name}: a list is not sorted: {counts}")
            (messages,) = [row["messages"] for row in answer.json if row["name"] == self.name]
            if messages != len(self._there):
                raise self.world.broken(f"{self.name}: {messages} messages are listed, and not {len(self._there)}")
            self._over()

        self.web.request("GET", path("queues", "/", columns="name,messages", sort="messages"), over)

    def _counts(self) -> dict[str, tuple[LocalQueue, int, int]]:
        """Return each queue with its highest sequence number and its number of messages, by name.

        A queue in which both are the same later has had that number of messages all the time. During an iteration, the
        result is empty, because the numbers are incomplete.
        """
        process = self.world.process
        if process is None or not process.loop.is_between_iterations:
            return {}
        queues = [each for each in process.broker.vhosts["/"].queues.values() if isinstance(each, LocalQueue)]
        return {
            each.name: (each, each.ledger.newest, each.ready_count + each.delayed_count + each.unacked_count)
            for each in queues
        }

    def _purge(self) -> None:
        def over(answer: Answer | None) -> None:
            if answer is None:
                self._lost(len(self._there))
                return
            self._there.clear()
            self._returned = 0
            self._over()

        self.web.request("DELETE", path("queues", "/", self.name, "contents"), over)

    # --- definitions --------------------------------------------------------------------------------------------------

    def _import_definitions(self) -> None:
        """Import a queue, an exchange and a binding, and check whether they exist."""
        name, key = f"{self.name}-d{self._chance.randrange(3)}", f"k{self._chance.randrange(3)}"
        body = {
            "queues": [{"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}],
            "exchanges": [
                {
                    "name": name,
                    "vhost": "/",
                    "type": "direct",
                    "durable": True,
                    "auto_delete": False,
                    "internal": False,
                    "arguments": {},
                }
            ],
            "bindings": [
                {
                    "source": name,
                    "vhost": "/",
                    "destination": name,
                    "destination_type": "queue",
                    "routing_key": key,
                    "arguments": {},
                }
            ],
        }

        def imported(answer: Answer | None) -> None:
            if answer is None:
                self._lost()
            elif answer.status in (200, 201, 204):
                self.web.request("GET", path("bindings", "/", "e", name, "q", name), read)
            elif self._is_too_large(answer, 500):
                self._over()
            else:
                raise self.world.broken(f"{self.name}: an import is answered with {answer}")

        def read(answer: Answer | None) -> None:
            if answer is None or self._notice():
                self._lost()
                return
            if key not in [row["routing_key"] for row in answer.json]:
                raise self.world.broken(
                    f"{self.name}: the imported binding {key} of {name} is not there: {answer.json}"
                )
            self._over()

        self.web.request("POST", path("definitions"), imported, body)

    def _export(self) -> None:
        def over(answer: Answer | None) -> None:
            if answer is None:
                self._lost()
                return
            wanted = {"name": self.name, "durable": True, "arguments": {"x-queue-type": self._kind}}
            found = [row for row in answer.json["queues"] if row["name"] == self.name]
            if not found or any(found[0][key] != value for key, value in wanted.items()):
                raise self.world.broken(f"{self.name}: exported is {found}")
            self._over()

        self.web.request("GET", path("definitions", "/"), over)

    def _overview(self) -> None:
        def over(answer: Answer | None) -> None:
            if answer is None:
                self._lost()
                return
            totals, queues = answer.json["queue_totals"], answer.json["object_totals"]["queues"]
            if queues < 1 or totals.get("messages", 0) < len(self._there):
                raise self.world.broken(f"{self.name}: there are {len(self._there)} messages, and {answer.json}")
            self._over()

        # Other columns depend on the state of the broker.
        self.web.request("GET", path("overview", columns="queue_totals,object_totals"), over)

    # --- connections --------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Close the connection of the other client, which must end soon."""

        def listed(answer: Answer | None) -> None:
            if answer is None:
                self._lost()
                return
            connection = self.victim._connection
            found = [row["name"] for row in answer.json if connection and row["peer_port"] == connection.port]
            if not found or connection is None:
                self._over()
                return
            self.web.request("DELETE", path("connections", found[0]), lambda got: closed(got, connection))

        def closed(answer: Answer | None, connection: Connection) -> None:
            if answer is None:
                self._lost()
                return
            if answer.status == 204:
                self._closed.add(connection.port)
            elif answer.status != 404:
                raise self.world.broken(f"{self.name}: closing a connection is answered with {answer}")
            self._over()

        self.web.request("GET", path("connections", columns="name,peer_port"), listed)

    # --- the page and metrics -----------------------------------------------------------------------------------------

    def _log_in(self) -> None:
        life = self.world.life

        def over(answer: Answer | None) -> None:
            if answer is None or life != self.world.life:
                return
            if answer.status != 200:
                raise self.world.broken(f"{self.name}: a login is answered with {answer}")
            self._sessions.append(f"{life} {answer.headers['set-cookie'].split(';')[0]}")

        headers = {"content-type": "application/x-www-form-urlencoded"}
        self.page.request("POST", path("login"), over, b"username=guest&password=guest", headers)

    def _whoami(self) -> None:
        """Send a request with the cookie of a session. A session that was ended by later logins is invalid."""
        if not self._sessions or not self.page.idle:
            return
        bounds = self.world.config.bounds
        most = min(bounds.user_sessions, bounds.sessions)
        index = self._chance.randrange(len(self._sessions))
        if len(self._sessions) > most and self._chance.random() < 0.5:
            index = -1 - most  # the last one that later logins have ended
        life, _, cookie = self._sessions[index].partition(" ")
        later = [each for each in self._sessions[index:][1:] if each.startswith(f"{life} ")]

        def over(answer: Answer | None) -> None:
            if answer is None:
                return
            ended = int(life) != self.world.life or len(later) >= most
            if answer.status == 200 and ended:
                raise self.world.broken(f"{self.name}: a session that has ended is accepted: {answer}")
            if answer.status not in (200, 401):
                raise self.world.broken(f"{self.name}: a request with a cookie is answered with {answer}")

        self.page.request("GET", path("whoami"), over, headers={"cookie": cookie})

    def _scraped(self, answer: Answer | None) -> None:
        if answer is not None and answer.status != 200:
            raise self.world.broken(f"{self.name}: metrics are answered with {answer}")


def _short(payloads: list[str]) -> list[str]:
    return [payload[:30].strip("x") for payload in payloads]
