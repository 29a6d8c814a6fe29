"""Exchanges, queues and bindings that change by AMQP and HTTP: each answer is right, and exactly those exist."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from amqpbroker.compat import Permission
from amqpbroker.wire.values import Field, longstr
from tests.simulation.client import Client, troubles
from tests.simulation.definitions_model import (
    ABSENT,
    CREATED,
    EMPTY,
    FILLED,
    LOCKED,
    NOT_FOUND,
    OK,
    PRECONDITION,
    PURGED,
    RETURNED,
    ROUTED,
    SAME,
    UNKNOWN,
    Binding,
    Exchange,
    Queue,
    Topology,
)
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.knowledge import Knowledge
from tests.simulation.operations import Operator
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Types of exchanges; a binding key is valid for each of them.
KINDS = ("direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random", "x-delayed-message")
KEYS = ("1", "2", "#")
#: Number of names of each kind. The last queue has no bindings, so that its content is known.
NAMES = 4
#: Time that the broker may still work on a request whose connection has ended.
QUIET_NS = 300 * MS

#: Outcome -> its answer by AMQP, and over HTTP.
AMQP = {
    OK: ("ok",),
    CREATED: ("ok",),
    SAME: ("ok",),
    ABSENT: ("ok",),
    NOT_FOUND: ("404",),
    PRECONDITION: ("406",),
    LOCKED: ("405",),
    ROUTED: ("ok",),
    RETURNED: ("returned",),
}
HTTP = {
    OK: ("200", "201", "204"),
    CREATED: ("201",),
    SAME: ("204",),
    ABSENT: ("404",),
    NOT_FOUND: ("404",),
    PRECONDITION: ("400",),
    LOCKED: ("400",),
    ROUTED: ("routed",),
    RETURNED: ("returned",),
}

#: Returns the outcome of an operation and the new state; None for one that the model cannot predict.
Change = Callable[[Topology], tuple[str | None, Topology]]

#: Names of operations, repeated by frequency. Operations in BY_AMQP are made by AMQP only.
OPERATIONS = (
    *("declare_queue", "declare_exchange", "bind") * 4,
    *("check_queue", "check_exchange", "delete_queue", "delete_exchange", "unbind") * 2,
    *("consume", "cancel", "publish", "publish", "fill") * 2,
    "purge",
)
BY_AMQP = ("consume", "cancel", "repeat")
#: Equal publishes, and one more after the route has changed: the broker may take no old route because it knows them.
REPEATS = ("aim", *("repeat",) * 5, "unbind_target", "repeat")


class Topologies(Workload):
    """An AMQP client with all consumers and exclusive queues, and an HTTP client, on the same objects.

    Operations are made one after another.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.operator = Operator(world, f"{name}a", self._disconnected)
        self.web = HttpClient(world, f"{name}h")
        self._known = Knowledge(world, Topology({}, {}, {}), Topology.outlived)
        self._chance = world.chance(name)
        self._waiting: deque[tuple[str, bool]] = deque()
        self._is_busy = False
        #: True if the state must be read before anything else is done.
        self._is_dirty = False
        self._is_at_end = False
        self._is_over = False
        #: True if a connection has ended since everything was read.
        self._was_cut = False
        #: The operation in progress.
        self._change: Change | None = None
        #: True if an ended broker may have done it.
        self._may_be_done = False
        self._operations = 0
        #: Address of most messages, so that cached routes are affected by changes.
        self._target = (f"{name}-e0", KEYS[0])

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"web": chance.choice((0.0, 0.5, 1.0))}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), name, "operate", (kind, chance.random() < settings["web"]))
            for kind in chance.choices(OPERATIONS, k=chance.choice((10, 40, 150)))
        ]
        for _ in range(chance.choice((0, 2, 5))):
            at_ms = chance.randint(0, end_ms)
            steps += [Step(at_ms, name, "operate", (kind, False)) for kind in REPEATS]
        return steps + troubles(chance, end_ms, [f"{name}a", f"{name}h"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (self.operator,)

    @property
    def actors(self) -> dict[str, Any]:
        return {self.name: self, self.operator.name: self.operator, self.web.name: self.web}

    def do_operate(self, kind: str, web: bool) -> None:
        """Make an operation, over HTTP or by AMQP, when earlier ones are complete."""
        self._waiting.append((kind, web and kind not in BY_AMQP))
        self._go_on()

    def rest(self) -> None:
        self._is_dirty = self._is_at_end = True
        self._go_on()

    def is_done(self) -> bool:
        return self._is_over

    def check(self) -> None:
        """Do nothing: everything was checked earlier."""

    # --- one operation after another ----------------------------------------------------------------------------------

    def _outlive(self) -> None:
        """Apply ends of the broker; the operation in progress may have been done before."""
        if self._known.is_outdated:
            self._is_dirty = True
            if self._change is not None:
                self._known.may_have_become([self._change(state)[1] for state in self._known.possible])
                self._may_be_done = True
            if self._known.has_closed_connections:  # its last act was to close the connection
                self._known.may_have_become([state.disconnected() for state in self._known.possible])
            self._known.outlive()

    def _disconnected(self) -> None:
        """Apply the end of the connection or of the broker: some queues are deleted now or soon."""
        self._outlive()
        self._known.may_have_become([state.disconnected() for state in self._known.possible])
        self._is_dirty = self._was_cut = True

    def _go_on(self) -> None:
        if self._is_busy:
            return
        self._outlive()
        if self._is_dirty:
            self._is_busy = True
            self._read_soon()
        elif self._waiting:
            self._is_busy = True
            self._operate(*self._waiting.popleft())
        elif self._is_at_end:
            self._remove_transient()

    def _remove_transient(self) -> None:
        """Remove everything that would not survive a restart."""
        state = self._known.state
        queues = [name for name, queue in state.queues.items() if not queue.durable]
        exchanges = [name for name, exchange in state.exchanges.items() if not exchange.durable]
        self._is_busy = bool(queues or exchanges)
        if queues:
            self._delete_one_queue(queues[0], web=False)
        elif exchanges:
            self._delete_one_exchange(exchanges[0], web=False)
        else:
            self._is_over = True

    def _operate(self, kind: str, web: bool) -> None:
        make: Callable[[bool], None] = getattr(self, f"_{kind}")
        self._operations += 1
        make(web)

    def _skip(self) -> None:
        self._is_busy = False
        self.world.scheduler.after(0, self._go_on)

    def _over(self, what: str, answer: str | None) -> None:
        """Complete the operation in progress. answer: None if it is lost."""
        self._outlive()
        change, self._change = self._change, None
        assert change is not None
        if answer is None:
            self._is_dirty = True
            if not self._may_be_done:
                self._known.may_have_become([change(state)[1] for state in self._known.possible])
        else:
            answers = HTTP if what.endswith("http") else AMQP
            results = [change(state) for state in self._known.possible]
            fitting = [after for outcome, after in results if outcome is None or answer in answers[outcome]]
            if not fitting:
                expected = [outcome for outcome, _ in results]
                raise self.world.broken(f"{self.name}: {what} is answered with {answer}, and not as {expected}")
            if self._was_cut:
                fitting += [state.disconnected() for state in fitting]
            self._known.became(fitting)
        self._is_busy = self._may_be_done = False
        # Everything is read after every third operation, and before the next one while the state is uncertain.
        self._is_dirty |= self._operations % 3 == 0
        self._go_on()

    def _send(
        self,
        web: bool,
        change: Change,
        name: str,
        arguments: dict[str, Any],
        request: tuple[str, str, Any],
    ) -> None:
        """Make an operation by AMQP, as the method of that name with arguments, or as an HTTP request."""
        what = f"{name} {arguments} by {'http' if web else 'amqp'}"
        self._change = change
        if web:
            method, target, body = request
            self.web.request(method, target, lambda answer: self._over(what, _status(answer)), body)
        else:
            self.operator.ask(lambda answer: self._over(what, answer), name, **arguments)

    # --- operations ---------------------------------------------------------------------------------------------------

    def _queue(self) -> str:
        return f"{self.name}-q{self._chance.randrange(NAMES)}"

    def _exchange(self) -> str:
        return f"{self.name}-e{self._chance.randrange(NAMES)}"

    @property
    def _last_queue(self) -> str:
        return f"{self.name}-q{NAMES - 1}"

    def _declare_queue(self, web: bool) -> None:
        name, chance = self._queue(), self._chance
        durable, auto_delete = chance.random() < 0.6, chance.random() < 0.3
        exclusive = not web and not durable and chance.random() < 0.3
        if self.world.config.compat.transient_nonexcl_queues is Permission.DENIED:
            durable |= not exclusive
        wanted = Queue(durable, exclusive, auto_delete, chance.choice((0, 0, 0, 7)))
        there = self._known.possible[0].queues.get(name)
        if there is not None and chance.random() < 0.6:
            wanted = there._replace(exclusive=there.exclusive and not web)
        limit = {"x-max-length": wanted.limit} if wanted.limit else {}
        flags = {"durable": wanted.durable, "auto_delete": wanted.auto_delete}
        wanted = wanted._replace(contents=EMPTY, consumed=False)
        self._send(
            web,
            lambda state: state.declare_queue(name, wanted, not web),
            "queue.declare",
            {
                "queue": name,
                "exclusive": wanted.exclusive,
                "arguments": {each: Field("I", value) for each, value in limit.items()},
                **flags,
            },
            ("PUT", path("queues", "/", name), {**flags, "arguments": limit}),
        )

    def _check_queue(self, web: bool) -> None:
        name = self._queue()
        self._send(
            web,
            lambda state: state.check_queue(name),
            "queue.declare",
            {"queue": name, "passive": True},
            ("GET", path("queues", "/", name), None),
        )

    def _delete_queue(self, web: bool) -> None:
        name, if_unused = self._queue(), self._chance.random() < 0.3
        if_empty = name == self._last_queue and self._chance.random() < 0.5
        queues = self._known.possible[0].queues
        used = [each for each, queue in queues.items() if queue.consumed or queue.contents == FILLED]
        if used and self._chance.random() < 0.4:  # a deletion that is refused
            name = self._chance.choice(used)
            if_unused, if_empty = queues[name].consumed, queues[name].contents == FILLED
        self._delete_one_queue(name, web, if_unused, if_empty)

    def _delete_one_queue(self, name: str, web: bool, if_unused: bool = False, if_empty: bool = False) -> None:
        conditions = {"if_unused": if_unused, "if_empty": if_empty}
        query = {condition: "true" for condition, holds in conditions.items() if holds}
        self._send(
            web,
            lambda state: state.delete_queue(name, if_unused, if_empty, not web),
            "queue.delete",
            {"queue": name, **conditions},
            ("DELETE", path("queues", "/", name, **query), None),
        )

    def _purge(self, web: bool) -> None:
        name = self._queue()
        self._send(
            web,
            lambda state: state.purge(name, not web),
            "queue.purge",
            {"queue": name},
            ("DELETE", path("queues", "/", name, "contents"), None),
        )

    def _fill(self, web: bool) -> None:
        name = self._last_queue
        self._publish_to(web, lambda state: state.fill(name), "", name)

    def _publish(self, web: bool) -> None:
        if self._chance.random() < 0.3:
            self._target = (self._exchange(), self._chance.choice(KEYS[:2]))
        name, key = self._target
        self._publish_to(web, lambda state: state.publish(name, key), name, key)

    def _aim(self, _: bool) -> None:
        """Address the following messages to a queue, if a binding to one exists."""
        state = self._known.possible[0]
        bindings = [each for each in state.bindings if each.to_queue and _is_predictable(state, each.source)]
        if bindings:
            aimed = self._chance.choice(bindings)
            self._target = (aimed.source, KEYS[0] if aimed.key == "#" else aimed.key)
        self._skip()

    def _repeat(self, _: bool) -> None:
        """Publish another equal message."""
        name, key = self._target
        self._publish_to(False, lambda state: state.publish(name, key), name, key)

    def _unbind_target(self, web: bool) -> None:
        """Remove a binding that routes the messages."""
        name, key = self._target
        bindings = [each for each in self._known.possible[0].bindings if each.source == name and each.key in (key, "#")]
        self._unbind_one(self._chance.choice(bindings) if bindings else self._binding(), web)

    def _publish_to(self, web: bool, change: Change, exchange: str, key: str) -> None:
        what = f"publish to {exchange!r} with {key!r} by {'http' if web else 'amqp'}"
        self._change = change
        if web:
            body = {
                "routing_key": key,
                "properties": {"delivery_mode": 2},
                "payload": "x",
                "payload_encoding": "string",
            }
            target = path("exchanges", "/", exchange or "amq.default", "publish")
            self.web.request("POST", target, lambda answer: self._over(what, _routed(answer)), body)
        else:
            self.operator.publish(lambda answer: self._over(what, answer), exchange, key)

    def _consume(self, web: bool) -> None:
        queues = self._known.state.queues
        names = [name for name, queue in queues.items() if not queue.consumed and name != self._last_queue]
        if not names:
            self._skip()
            return
        name = self._chance.choice(self._ending(names))
        self._change = lambda state: state.consume(name)
        self.operator.consume(lambda got: self._over(f"consume {name}", got), name)

    def _cancel(self, web: bool) -> None:
        consumed = [name for name, queue in self._known.state.queues.items() if queue.consumed]
        name = self._chance.choice(self._ending(consumed) or [self._queue()])
        self._change = lambda state: state.cancel(name)
        self.operator.cancel(lambda got: self._over(f"cancel {name}", got), name)

    def _ending(self, names: list[str]) -> list[str]:
        """Return those of the queues that are deleted with their last consumer, often, or all of them."""
        queues = self._known.state.queues
        return [name for name in names if queues[name].auto_delete and self._chance.random() < 0.5] or names

    def _declare_exchange(self, web: bool) -> None:
        name, chance = self._exchange(), self._chance
        wanted = Exchange(chance.choice(KINDS), chance.random() < 0.6, chance.random() < 0.3)
        there = self._known.possible[0].exchanges.get(name)
        if there is not None and chance.random() < 0.6:
            wanted = there
        delays = wanted.kind == "x-delayed-message"
        flags = {"durable": wanted.durable, "auto_delete": wanted.auto_delete}
        self._send(
            web,
            lambda state: state.declare_exchange(name, wanted),
            "exchange.declare",
            {
                "exchange": name,
                "exchange_type": wanted.kind,
                "arguments": {"x-delayed-type": longstr("fanout")} if delays else {},
                **flags,
            },
            (
                "PUT",
                path("exchanges", "/", name),
                {"type": wanted.kind, "arguments": {"x-delayed-type": "fanout"} if delays else {}, **flags},
            ),
        )

    def _check_exchange(self, web: bool) -> None:
        name = self._exchange()
        self._send(
            web,
            lambda state: state.check_exchange(name),
            "exchange.declare",
            {"exchange": name, "exchange_type": "direct", "passive": True},
            ("GET", path("exchanges", "/", name), None),
        )

    def _delete_exchange(self, web: bool) -> None:
        self._delete_one_exchange(self._exchange(), web, self._chance.random() < 0.5)

    def _delete_one_exchange(self, name: str, web: bool, if_unused: bool = False) -> None:
        query = {"if_unused": "true"} if if_unused else {}
        self._send(
            web,
            lambda state: state.delete_exchange(name, if_unused),
            "exchange.delete",
            {"exchange": name, "if_unused": if_unused},
            ("DELETE", path("exchanges", "/", name, **query), None),
        )

    def _binding(self) -> Binding:
        to_queue = self._chance.random() < 0.7
        destination = f"{self.name}-q{self._chance.randrange(NAMES - 1)}" if to_queue else self._exchange()
        source = self._exchange()
        there = self._known.possible[0].exchanges.get(source)
        hashes = there is not None and there.kind == "x-consistent-hash"
        return Binding(source, to_queue, destination, self._chance.choice(KEYS[:2] if hashes else KEYS))

    def _bind(self, web: bool) -> None:
        made = self._binding()
        method, arguments = _method(made, "bind")
        self._send(
            web,
            lambda state: state.bind(made, not web),
            method,
            arguments,
            ("POST", _between(made), {"routing_key": made.key}),
        )

    def _unbind(self, web: bool) -> None:
        bindings = list(self._known.possible[0].bindings)
        followed = [each for each in bindings if (each.source, each.key) == self._target]
        exchanges = self._known.possible[0].exchanges
        ending = [each for each in bindings if each.source in exchanges and exchanges[each.source].auto_delete]
        if followed and self._chance.random() < 0.5:
            bindings = followed
        elif ending and self._chance.random() < 0.5:
            bindings = ending
        made = self._chance.choice(bindings) if bindings and self._chance.random() < 0.8 else self._binding()
        self._unbind_one(made, web)

    def _unbind_one(self, made: Binding, web: bool) -> None:
        method, arguments = _method(made, "unbind")
        # A key is quoted in a properties_key, which is quoted again in a path.
        properties_key = "%23" if made.key == "#" else made.key
        self._send(
            web,
            lambda state: state.unbind(made, not web),
            method,
            arguments,
            ("DELETE", f"{_between(made)}/{path(properties_key).removeprefix('/api/')}", None),
        )

    # --- reading everything -------------------------------------------------------------------------------------------

    def _read_soon(self) -> None:
        """Read when the broker has stopped working on lost requests."""
        if not (self.world.ignores(self.operator) and self.world.ignores(self.web)) or self.world.process is None:
            self.world.scheduler.after(50 * MS, self._read_soon)
            return
        self.world.scheduler.after(QUIET_NS, self._read)

    def _read(self) -> None:
        quiet = self.world.ignores(self.operator) and self.world.ignores(self.web)
        if not quiet or self.world.process is None:
            self._read_soon()
            return
        self._is_dirty = False
        found: list[Any] = []

        def answered(answer: Answer | None) -> None:
            found.append(None if answer is None else answer.json)
            if len(found) == 3:
                self._on_read(found)

        columns = "name,durable,exclusive,auto_delete,arguments,messages,consumers"
        self.web.request("GET", path("queues", "/", columns=columns), answered)
        self.web.request("GET", path("exchanges", "/"), answered)
        self.web.request("GET", path("bindings", "/"), answered)

    def _on_read(self, found: list[Any]) -> None:
        self._outlive()
        if self._is_dirty or None in found:
            self._is_dirty = True
            self._read_soon()
            return
        there = self._topology(*found)
        if self._was_cut:
            # The broker reads nothing more of the connection that held queues, so they must be deleted.
            self._known.became([state.disconnected() for state in self._known.possible])
            self._was_cut = False
        fitting = [self._resolved(state, there) for state in self._known.possible if self._fits(state, there)]
        if not fitting:
            raise self.world.broken(
                f"{self.name}: there is {_shown(there)}, and not {[_shown(state) for state in self._known.possible]}"
            )
        self._known.became(fitting[:1])
        self._is_busy = False
        self._go_on()

    def _fits(self, state: Topology, there: Topology) -> bool:
        """Return whether the broker reports this state. The content is compared for the last queue only."""
        expected = state.copy()
        for name, queue in state.queues.items():
            contents = queue.contents if name == self._last_queue else EMPTY
            if contents == UNKNOWN and name in there.queues:
                contents = there.queues[name].contents
            expected.queues[name] = queue._replace(contents=FILLED if contents == FILLED else EMPTY)
        return expected == there

    def _resolved(self, state: Topology, there: Topology) -> Topology:
        """Return the state with the reported contents."""
        after = state.copy()
        for name, queue in state.queues.items():
            if queue.contents == UNKNOWN:
                is_filled = there.queues[name].contents == FILLED
                after.queues[name] = queue._replace(contents=FILLED if is_filled else PURGED)
        return after

    def _topology(self, queues: Any, exchanges: Any, bindings: Any) -> Topology:
        """Return the reported state of this workload's objects."""
        begin = f"{self.name}-"
        return Topology(
            {
                row["name"]: Queue(
                    row["durable"],
                    row["exclusive"],
                    row["auto_delete"],
                    row["arguments"].get("x-max-length", 0),
                    FILLED if row["name"] == self._last_queue and row["messages"] else EMPTY,
                    row["consumers"] > 0,
                )
                for row in queues
                if row["name"].startswith(begin)
            },
            {
                row["name"]: Exchange(row["type"], row["durable"], row["auto_delete"])
                for row in exchanges
                if row["name"].startswith(begin)
            },
            {
                Binding(row["source"], row["destination_type"] == "queue", row["destination"], row["routing_key"]): None
                for row in bindings
                if row["source"].startswith(begin)
            },
        )


def _is_predictable(state: Topology, exchange: str) -> bool:
    """Return whether the model knows which messages the exchange routes."""
    return exchange in state.exchanges and state.exchanges[exchange].kind in ("direct", "fanout", "topic")


def _method(binding: Binding, verb: str) -> tuple[str, dict[str, Any]]:
    """Return the method and arguments that bind or unbind."""
    if binding.to_queue:
        ends = {"queue": binding.destination, "exchange": binding.source}
        return f"queue.{verb}", {**ends, "routing_key": binding.key}
    ends = {"destination": binding.destination, "source": binding.source}
    return f"exchange.{verb}", {**ends, "routing_key": binding.key}


def _between(binding: Binding) -> str:
    return path("bindings", "/", "e", binding.source, "q" if binding.to_queue else "e", binding.destination)


def _status(answer: Answer | None) -> str | None:
    return None if answer is None else str(answer.status)


def _routed(answer: Answer | None) -> str | None:
    """Return whether a message published over HTTP was routed, or the status of an error."""
    if answer is None or answer.status != 200:
        return _status(answer)
    return "routed" if answer.json["routed"] else "returned"


def _shown(state: Topology) -> str:
    return f"{state.queues} {state.exchanges} {list(state.bindings)}"
