"""Vhosts and limits that change under load: all clients of a deleted vhost are disconnected, and limits hold."""

import random
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.harness import Received, published
from tests.simulation.administrator import Administrator, Change
from tests.simulation.client import Client, is_shutdown
from tests.simulation.http import path
from tests.simulation.knowledge import Knowledge
from tests.simulation.operations import MESSAGES, OPERATIONS, Operator
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Limits, and their possible values.
CONNECTIONS, QUEUES = "max-connections", "max-queues"
VALUES = {CONNECTIONS: (0, 1, 2), QUEUES: (0, 1, 3)}
NO_LIMIT = 1 << 30
#: Number of names of queues in each vhost, and of clients.
NAMES = 6
CLIENTS = 4
ADMINISTRATION = (*("put", "limit", "unlimit", "limit_user", "limit_user") * 2, "unlimit_user", "delete", "delete")
ACTS = ("declare", "declare", "fill", "delete", "leave")


class State(NamedTuple):
    """The expected state. vhosts: limits by name, for each existing vhost.

    user: maximum number of connections of the user of all clients, None if there is no user.
    """

    vhosts: dict[str, dict[str, int]]
    user: int | None = None

    def limit(self, vhost: str, name: str) -> int:
        """Return a limit of a vhost; 0 if the vhost does not exist."""
        return self.vhosts[vhost].get(name, NO_LIMIT) if vhost in self.vhosts else 0


class Vhosts(Workload):
    """An administrator, two vhosts, a user, and clients that connect to one of the vhosts as the user."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.names = [f"{name}-v{i}" for i in range(2)]
        self.known = Knowledge(world, State({}), lambda state, _: state)
        resources = [path("vhosts", columns="name"), path("vhost-limits"), path("user-limits"), path("users")]
        self.administrator = Administrator(world, f"{name}h", self.known, resources, self._parsed, self._changed)
        self._chance = world.chance(name)
        self.members = [Member(self, f"{name}c{i}", f"{name}-u") for i in range(CLIENTS)]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), name, "administer", (kind, chance.randrange(2)))
            for kind in chance.choices(ADMINISTRATION, k=chance.choice((5, 20, 60)))
        ]
        steps += [
            Step(chance.randint(0, end_ms), f"{name}c{i}", "act", (kind,))
            for i in range(CLIENTS)
            for kind in chance.choices(ACTS, k=chance.choice((5, 20, 60)))
        ]
        actors = [f"{name}h", *(f"{name}c{i}" for i in range(CLIENTS))]
        steps += [
            Step(chance.randint(0, end_ms), chance.choice(actors), "drop") for _ in range(chance.choice((0, 2, 10)))
        ]
        return steps

    @property
    def clients(self) -> tuple[Client, ...]:
        return ()

    @property
    def actors(self) -> dict[str, Any]:
        return {self.name: self, **{each.name: each for each in (self.administrator, *self.members)}}

    def begin(self) -> None:
        for vhost in self.names:
            self.do_administer("put", self.names.index(vhost))

    def do_administer(self, kind: str, number: int) -> None:
        """Create or delete a vhost, or change a limit."""
        vhost = self.names[number]
        if kind == "put":
            self.administrator.make(lambda _: self._put_user())
        make = getattr(self, f"_{kind}")
        self.administrator.make(lambda _: make(vhost))

    def rest(self) -> None:
        self.administrator.read_all()

    def is_done(self) -> bool:
        return self.administrator.is_at_rest and all(member.is_at_rest for member in self.members)

    def check(self) -> None:
        """Check that a missing vhost has left no objects."""
        for member in self.members:
            member.leave()

    # --- changes ------------------------------------------------------------------------------------------------------

    def _put(self, vhost: str) -> Change[State]:
        """Create a vhost, and grant the user access."""

        def change(state: State) -> tuple[Sequence[int], State]:
            there = vhost in state.vhosts
            return (204 if there else 201,), state if there else state._replace(vhosts={**state.vhosts, vhost: {}})

        return Change("PUT", path("vhosts", vhost), {}, change)

    def _put_user(self) -> Change[State]:
        def change(state: State) -> tuple[Sequence[int], State]:
            return (201,) if state.user is None else (204,), state._replace(user=state.user or NO_LIMIT)

        return Change("PUT", path("users", f"{self.name}-u"), {"password": "guest", "tags": ""}, change)

    def _let_in(self, vhost: str) -> None:
        """Grant the user access to a vhost that exists now."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        target = path("permissions", vhost, f"{self.name}-u")
        self.administrator.request("PUT", target, lambda _: None, everything)

    def _delete(self, vhost: str) -> Change[State]:
        for member in self.members:
            if member.virtual_host == vhost:
                member.was_in = member.incarnation

        def change(state: State) -> tuple[Sequence[int], State]:
            others = {name: limits for name, limits in state.vhosts.items() if name != vhost}
            return (204 if vhost in state.vhosts else 404,), state._replace(vhosts=others)

        return Change("DELETE", path("vhosts", vhost), None, change)

    def _changed(self, change: Change[State], status: int) -> None:
        if change.method == "PUT" and change.target in [path("vhosts", vhost) for vhost in self.names]:
            self._let_in(self.names[[path("vhosts", vhost) for vhost in self.names].index(change.target)])
        if change.method == "DELETE" and status == 204:
            for member in self.members:
                if change.target == path("vhosts", member.virtual_host):
                    member.doomed = member.was_in

    def _limit(self, vhost: str) -> Change[State]:
        name = self._chance.choice((CONNECTIONS, QUEUES))
        value = self._chance.choice(VALUES[name])

        def change(state: State) -> tuple[Sequence[int], State]:
            if vhost not in state.vhosts:
                return (404,), state
            limits = {**state.vhosts[vhost], name: value}
            return (204,), state._replace(vhosts={**state.vhosts, vhost: limits})

        return Change("PUT", path("vhost-limits", vhost, name), {"value": value}, change)

    def _unlimit(self, vhost: str) -> Change[State]:
        name = self._chance.choice((CONNECTIONS, QUEUES))

        def change(state: State) -> tuple[Sequence[int], State]:
            if vhost not in state.vhosts:
                return (404,), state
            limits = {each: value for each, value in state.vhosts[vhost].items() if each != name}
            return (204,), state._replace(vhosts={**state.vhosts, vhost: limits})

        return Change("DELETE", path("vhost-limits", vhost, name), None, change)

    def _limit_user(self, _: str) -> Change[State]:
        value = self._chance.choice((1, 1, 2, 3))
        return Change(
            "PUT",
            path("user-limits", f"{self.name}-u", CONNECTIONS),
            {"value": value},
            lambda state: ((400,), state) if state.user is None else ((204,), state._replace(user=value)),
        )

    def _unlimit_user(self, _: str) -> Change[State]:
        return Change(
            "DELETE",
            path("user-limits", f"{self.name}-u", CONNECTIONS),
            None,
            lambda state: ((404,), state) if state.user is None else ((204,), state._replace(user=NO_LIMIT)),
        )

    def _parsed(self, found: list[Any]) -> State:
        vhosts, limits, user_limits, users = found
        limited = {row["vhost"]: row["value"] for row in limits}
        user = {row["user"]: row["value"] for row in user_limits}.get(f"{self.name}-u", {})
        is_there = any(row["name"] == f"{self.name}-u" for row in users)
        return State(
            {row["name"]: limited.get(row["name"], {}) for row in vhosts if row["name"] in self.names},
            user.get(CONNECTIONS, NO_LIMIT) if is_there else None,
        )


class Member(Operator):
    """Connects to one of the vhosts to make an operation, until it disconnects or is disconnected."""

    def __init__(self, vhosts: Vhosts, name: str, user: str) -> None:
        super().__init__(vhosts.world, name, self._on_end)
        self.user = user
        self.virtual_host = vhosts.names[0]
        self._vhosts = vhosts
        self._todo: deque[str] = deque()
        self._acts = False
        #: States since the connection began.
        self._since: list[State] | None = None
        self._is_in = False
        #: Connection that was open before a current deletion of the vhost, and before a completed one; 0 for none.
        self.was_in = 0
        self.doomed = 0
        #: Queues that certainly exist, and all that may exist.
        self._queues: dict[str, None] = {}
        self._number = int(name[-1])
        #: Number of connections at the beginning of the last one.
        self._others = 0

    @property
    def incarnation(self) -> int:
        """Return the number of the open connection, 0 without one."""
        return self._incarnation if self._is_in else 0

    @property
    def is_in(self) -> bool:
        """Return whether the connection is open, as far as the client knows."""
        return self._is_in

    @property
    def is_at_rest(self) -> bool:
        return not self._todo and not self._acts

    def do_act(self, kind: str) -> None:
        """Make an operation when the previous one is complete."""
        self._todo.append(kind)
        self._next_act()

    def _next_act(self) -> None:
        if self._acts or not self._todo:
            return
        kind = self._todo.popleft()
        if kind == "leave":
            self.drop()
            self.world.scheduler.after(0, self._next_act)
            return
        self._acts = True
        self._act(kind)
        self.connect()

    def _act(self, kind: str) -> None:
        # Queues of its own, so that it knows which exist.
        queue = f"q{self._number}{self.chance.randrange(NAMES)}"
        watch: list[list[State]] = []
        is_doomed = False

        def send() -> None:
            nonlocal is_doomed
            is_doomed = self.doomed == self._incarnation
            watch.append(self._vhosts.known.watch())
            if kind == "fill":
                self._returned = False
                self._channel = MESSAGES
                self.write(published(queue, b"x" * 100, "", MESSAGES, delivery_mode=2))
                self._expect(self._confirmed, "basic.ack", "channel.close")
            elif kind == "delete":
                self._queues.pop(queue, None)
                self._call(OPERATIONS, "queue.delete", {"queue": queue})
            else:
                self._call(OPERATIONS, "queue.declare", {"queue": queue, "exclusive": True})

        def over(outcome: str | None) -> None:
            self._acts = False
            if watch:
                self._vhosts.known.unwatch(watch[0])
            if outcome is not None:
                if is_doomed:
                    raise self.world.broken(f"{self.name}: {kind} is answered, and the vhost was deleted before")
                if kind == "declare":
                    self._declared(queue, outcome, watch[0])
            self.world.scheduler.after(0, self._next_act)

        self._when_ready(send, over)

    def _declared(self, queue: str, outcome: str, watch: list[State]) -> None:
        """Check that a declaration does not exceed the limit of queues, and is not refused without one."""
        vhost = self.virtual_host
        limits = [state.limit(vhost, QUEUES) for state in watch]
        if outcome == "ok":
            is_new = queue not in self._queues
            self._queues[queue] = None
            certain = sum(len(each._queues) for each in self._vhosts.members if each.is_in_vhost(vhost))
            if is_new and certain > max(limits):
                raise self.world.broken(f"{self.name}: {certain} queues in {vhost}, with limits {limits}")
        elif min(limits) == NO_LIMIT:
            raise self.world.broken(f"{self.name}: a queue is refused with {outcome}, without a limit: {watch}")

    def is_in_vhost(self, vhost: str) -> bool:
        """Return whether it is connected to the vhost."""
        return self._is_in and self.virtual_host == vhost

    # --- its connection -----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        if self._connection is None and not self.gone and self._acts:
            self.virtual_host = self.chance.choice(self._vhosts.names)
            self._forget_states()
            self._since = self._vhosts.known.watch()
            super().connect()
            self._others = self._lingering()

    def _connect_later(self) -> None:
        if self._acts:
            super()._connect_later()

    def _opened(self, got: Received) -> None:
        assert self._since is not None
        self._is_in = True
        vhost = self.virtual_host
        members = self._vhosts.members
        for what, count, limits in (
            (
                vhost,
                [each.is_in_vhost(vhost) for each in members],
                [each.limit(vhost, CONNECTIONS) for each in self._since],
            ),
            (self.user, [each.is_in for each in members], [each.user or NO_LIMIT for each in self._since]),
        ):
            if sum(count) > max(limits):
                raise self.world.broken(f"{self.name}: {sum(count)} connections of {what}, with limits {limits}")
        super()._opened(got)

    def _act_on(self, got: Received) -> None:
        closes = got.name == "connection.close" and not (self._calls and got.name in self._calls[0][0])
        if closes and not is_shutdown(got):
            reason = f"{got.arguments['reply_code']} {got.arguments['reply_text']}"
            assert self._since is not None
            if self._is_in and all(self.virtual_host in state.vhosts for state in self._since):
                raise self.world.broken(f"{self.name} is closed with {reason}: {self._since}")
            if "limit" in reason and "node connection limit" not in reason:
                self._check_refusal(reason)
            if not self._is_in:
                # An operation that waits for the connection is not repeated.
                self._waiting = None
                self._over(None)
        super()._act_on(got)

    def _lingering(self) -> int:
        """Return the number of the members' connections that the broker may count."""
        return sum(self.world.count_connections(member.name) for member in self._vhosts.members)

    def _check_refusal(self, reason: str) -> None:
        """Check that the limit of connections was reached when another one was refused."""
        assert self._since is not None
        limits = [min(state.limit(self.virtual_host, CONNECTIONS), state.user or NO_LIMIT) for state in self._since]
        # The client's own connection is one of them, and one may have ended meanwhile.
        most = max(self._others, self._lingering()) - 1
        if min(limits) > most + 1:
            raise self.world.broken(f"{self.name}: {reason}, with {most} connections and limits {limits}")

    def _on_end(self) -> None:
        self._is_in = False
        self._queues.clear()

    def ended(self) -> None:
        super().ended()
        if self._connection is None:
            self._forget_states()

    def _forget_states(self) -> None:
        if self._since is not None:
            self._vhosts.known.unwatch(self._since)
            self._since = None
