"""Users and permissions that change under load: nobody gets more access than permitted, and nobody less."""

import base64
import random
import re
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from amqpbroker.broker.users.passwords import matches
from tests.harness import Received, published
from tests.simulation.administrator import Administrator, Change
from tests.simulation.client import Client, is_shutdown, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.knowledge import Knowledge
from tests.simulation.operations import MESSAGES, OPERATIONS, Operator
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: So few that no client counts as guessing.
PASSWORDS = ("p0", "p1", "p2", "p3", "p4")
KEYS = ("1", "2")
TOPIC_PATTERNS = ("^1", "^2", "")
ADMINISTRATION = (
    *("put_user", "set_permissions", "set_permissions", "set_permissions", "set_topic", "clear_topic") * 2,
    *("clear_permissions", "delete_user"),
)
ACTS = ("declare", "purge", "publish", "publish_topic", "publish_topic", "bind")


class Account(NamedTuple):
    """One user. permissions: regular expressions for configure, write and read, None without any in the vhost.

    topics: regular expressions for write and read of amq.topic, None without any.
    """

    password: str
    has_tag: bool
    permissions: tuple[str, str, str] | None = None
    topics: tuple[str, str] | None = None


class Accounts(NamedTuple):
    """The users of one workload by their names."""

    by_name: dict[str, Account]

    def of(self, name: str, password: str) -> Account | None:
        """Return the user if the password is correct."""
        account = self.by_name.get(name)
        return account if account is not None and account.password == password else None

    def having(self, name: str, account: Account | None) -> "Accounts":
        """Return the users with one of them set or, without an account, deleted."""
        others = {each: known for each, known in self.by_name.items() if each != name}
        return Accounts(others if account is None else {**others, name: account})


class Need(NamedTuple):
    """One permission that an operation needs: configure, write or read, of a queue or exchange; or a routing key."""

    permission: int
    name: str
    key: str = ""

    def is_met(self, account: Account) -> bool:
        if self.key:
            if account.topics is None:
                return True
            return bool(re.search(account.topics[self.permission - 1] or "^$", self.key))
        return account.permissions is not None and bool(
            re.search(account.permissions[self.permission] or "^$", self.name)
        )


CONFIGURE, WRITE, READ = range(3)


class Users(Workload):
    """An administrator, and for each of two names a client of AMQP and one of HTTP."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.names = [f"{name}-u{i}" for i in range(2)]
        self.known = Knowledge(world, Accounts({}), lambda state, _: state)
        self.administrator = Administrator(
            world,
            f"{name}h",
            self.known,
            [path("users"), path("permissions"), path("topic-permissions")],
            self._parsed,
            self._changed,
        )
        self._chance = world.chance(name)
        self._members = [UserClient(self, f"{name}c{i}", user) for i, user in enumerate(self.names)]
        self._visitors = [Visitor(self, f"{name}w{i}", user) for i, user in enumerate(self.names)]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        changes = [
            Step(chance.randint(0, end_ms), name, "administer", (kind,))
            for kind in chance.choices(ADMINISTRATION, k=chance.choice((10, 60)))
        ]
        acts = [
            Step(chance.randint(0, end_ms), f"{name}{actor}{chance.randrange(2)}", "act", (kind,))
            for actor in "cw"
            for kind in chance.choices(ACTS, k=chance.choice((20, 100)))
        ]
        return (
            changes + acts + troubles(chance, end_ms, [f"{name}h", *(f"{name}{each}" for each in ("c0", "c1", "w0"))])
        )

    @property
    def clients(self) -> tuple[Client, ...]:
        return ()

    @property
    def actors(self) -> dict[str, Any]:
        others = (self.administrator, *self._members, *self._visitors)
        return {self.name: self, **{each.name: each for each in others}}

    def begin(self) -> None:
        for user in self.names:
            self._put_user(user, PASSWORDS[0])
            self.administrator.make(lambda state, user=user: self._set_permissions(state, user))

    def do_administer(self, kind: str) -> None:
        """Change a user or its permissions."""
        user = self._chance.choice(self.names)
        if kind == "put_user":
            self._put_user(user, self._chance.choice(PASSWORDS))
        else:
            make: Callable[[Accounts, str], Change[Accounts] | None] = getattr(self, f"_{kind}")
            self.administrator.make(lambda state: make(state, user))

    def rest(self) -> None:
        self.administrator.read_all()

    def is_done(self) -> bool:
        return self.administrator.is_at_rest and all(each.is_at_rest for each in (*self._members, *self._visitors))

    def check(self) -> None:
        assert self.world.process is not None
        recorded = len(self.world.process.broker.logins._guard._records)
        if recorded > self.world.config.bounds.guesses:
            raise self.world.broken(f"{self.name}: {recorded} pairs of user and address are recorded")
        for member in self._members:
            member.leave()

    # --- changes ------------------------------------------------------------------------------------------------------

    def _put_user(self, user: str, password: str) -> None:
        has_tag = self._chance.random() < 0.7

        def change(state: Accounts) -> tuple[tuple[int, ...], Accounts]:
            old = state.by_name.get(user)
            if old is None:
                return (201,), state.having(user, Account(password, has_tag))
            return (204,), state.having(user, old._replace(password=password, has_tag=has_tag))

        body = {"password": password, "tags": "management" if has_tag else ""}
        self.administrator.make(lambda _: Change("PUT", path("users", user), body, change))

    def _changed(self, change: Change[Accounts], status: int) -> None:
        if change.method == "DELETE" and status == 204:
            for member in self._members:
                if change.target == path("users", member.user):
                    member.doomed = member.was_in

    def _delete_user(self, state: Accounts, user: str) -> Change[Accounts]:
        for member in self._members:
            if member.user == user:
                member.was_in = member.incarnation
        return Change(
            "DELETE",
            path("users", user),
            None,
            lambda state: ((204 if user in state.by_name else 404,), state.having(user, None)),
        )

    def _of_user(self, user: str, method: str, target: str, body: Any, **changes: Any) -> Change[Accounts]:
        """Return the change of one user's permissions, which exist or not."""
        ((field, value),) = changes.items()

        def change(state: Accounts) -> tuple[tuple[int, ...], Accounts]:
            old = state.by_name.get(user)
            there = old is not None and getattr(old, field) is not None
            if old is None or (method == "DELETE" and not there):
                return (404 if method == "DELETE" else 400,), state
            status = 204 if there or method == "DELETE" else 201
            return (status,), state.having(user, old._replace(**{field: value}))

        return Change(method, target, body, change)

    def _pattern(self) -> str:
        return self._chance.choice((f"^{self.name}-a", f"^({self.name}-b|amq)", ".*", ".*", "amq"))

    def _set_permissions(self, state: Accounts, user: str) -> Change[Accounts]:
        configure, write, read = granted = self._pattern(), self._pattern(), self._pattern()
        body = {"configure": configure, "write": write, "read": read}
        return self._of_user(user, "PUT", path("permissions", "/", user), body, permissions=granted)

    def _clear_permissions(self, state: Accounts, user: str) -> Change[Accounts]:
        return self._of_user(user, "DELETE", path("permissions", "/", user), None, permissions=None)

    def _set_topic(self, state: Accounts, user: str) -> Change[Accounts]:
        write, read = granted = self._chance.choice(TOPIC_PATTERNS), self._chance.choice(TOPIC_PATTERNS)
        body = {"exchange": "amq.topic", "write": write, "read": read}
        return self._of_user(user, "PUT", path("topic-permissions", "/", user), body, topics=granted)

    def _clear_topic(self, state: Accounts, user: str) -> Change[Accounts]:
        return self._of_user(user, "DELETE", path("topic-permissions", "/", user, "amq.topic"), None, topics=None)

    def _parsed(self, found: list[Any]) -> Accounts:
        """Return the reported users."""
        users, permissions, topics = found
        granted = {row["user"]: (row["configure"], row["write"], row["read"]) for row in permissions}
        keyed = {row["user"]: (row["write"], row["read"]) for row in topics}
        return Accounts(
            {
                row["name"]: Account(
                    self._password(row), "management" in row["tags"], granted.get(row["name"]), keyed.get(row["name"])
                )
                for row in users
                if row["name"] in self.names
            }
        )

    def _password(self, row: dict[str, Any]) -> str:
        """Return the password whose hash the user has."""
        stored = base64.b64decode(row["password_hash"])
        return next(each for each in PASSWORDS if matches(each.encode(), stored))

    # --- acts of users ------------------------------------------------------------------------------------------------

    def needs(self, kind: str, queue: str, key: str) -> list[Need]:
        """Return the permissions that an operation needs."""
        match kind:
            case "declare":
                return [Need(CONFIGURE, queue)]
            case "purge":
                return [Need(READ, queue)]
            case "publish":
                return [Need(WRITE, "amq.default")]
            case "publish_topic":
                return [Need(WRITE, "amq.topic"), Need(WRITE, "", key)]
        return [Need(WRITE, queue), Need(READ, "amq.topic"), Need(READ, "", key)]

    def judge(self, what: str, watch: list[Accounts], may: Callable[[Accounts], bool], was_allowed: bool) -> None:
        """Check one operation by the states of its time. Raises BrokenError if none of them explains its answer."""
        self.known.unwatch(watch)
        if not any(may(state) == was_allowed for state in watch):
            verb = "allowed" if was_allowed else "refused"
            raise self.world.broken(f"{self.name}: {what} is {verb}, with {watch}")


class UserClient(Operator):
    """A user that logs in by AMQP to make an operation, usually with its password."""

    def __init__(self, users: Users, name: str, user: str) -> None:
        super().__init__(users.world, name, self._on_end)
        self.user = user
        self._users = users
        self._todo: deque[str] = deque()
        self._acts = False
        #: States since the login began, and whether it is complete.
        self._since: list[Accounts] | None = None
        self._is_in = False
        #: Connection that was open before a current deletion of the user, and before a completed one; 0 for none.
        self.was_in = 0
        self.doomed = 0

    @property
    def incarnation(self) -> int:
        """Return the number of the open connection, 0 without one."""
        return self._incarnation if self._is_in else 0

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
        self._acts = True
        self._act(self._todo.popleft())
        self.connect()

    def _act(self, kind: str) -> None:
        chance, users = self.chance, self._users
        queue, key = f"{users.name}-{chance.choice('ab')}", chance.choice(KEYS)
        needs = users.needs(kind, queue, key)
        what = f"{kind} of {queue} with {key} by {self.user}"
        #: Filled when the request is sent.
        watch: list[list[Accounts]] = []

        is_doomed = False

        def send() -> None:
            nonlocal is_doomed
            is_doomed = self.doomed == self._incarnation
            watch.append(users.known.watch())
            if kind.startswith("publish"):
                exchange, routing_key = ("amq.topic", key) if kind == "publish_topic" else ("", queue)
                self._returned = False
                self._channel = MESSAGES
                self.write(published(routing_key, b"x", exchange, MESSAGES))
                self._expect(self._confirmed, "basic.ack", "channel.close")
            elif kind == "bind":
                self._call(OPERATIONS, "queue.bind", {"queue": queue, "exchange": "amq.topic", "routing_key": key})
            elif kind == "declare":
                self._call(OPERATIONS, "queue.declare", {"queue": queue, "durable": True})
            else:
                self._call(OPERATIONS, "queue.purge", {"queue": queue})

        def may(state: Accounts) -> bool:
            account = state.by_name.get(self.user)
            return account is not None and all(need.is_met(account) for need in needs)

        def over(outcome: str | None) -> None:
            self._acts = False
            if outcome is not None and is_doomed:
                raise self.world.broken(f"{what} is answered with {outcome}, and the user has been deleted meanwhile")
            if outcome is not None and outcome != "404":
                users.judge(what, watch[0], may, outcome != "403")
            elif watch:
                users.known.unwatch(watch[0])
            self.world.scheduler.after(0, self._next_act)

        self._when_ready(send, over)

    # --- its connection -----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        if self._connection is None and not self.gone and self._acts:
            account = self._users.known.possible[-1].by_name.get(self.user)
            right = account.password if account is not None else PASSWORDS[0]
            self.password = right if self.chance.random() < 0.8 else self.chance.choice(PASSWORDS)
            if self._since is not None:
                self._users.known.unwatch(self._since)
            self._since = self._users.known.watch()
            super().connect()

    def _connect_later(self) -> None:
        if self._acts:
            super()._connect_later()

    def _opened(self, got: Received) -> None:
        assert self._since is not None
        self._is_in = True
        if not any(state.of(self.user, self.password) for state in self._since):
            raise self.world.broken(f"{self.name} logs in as {self.user} with {self.password}, with {self._since}")
        if not any(self._enters(state) for state in self._since):
            raise self.world.broken(f"{self.name} opens the vhost as {self.user}, with {self._since}")
        super()._opened(got)

    def _enters(self, state: Accounts) -> bool:
        account = state.by_name.get(self.user)
        return account is not None and account.permissions is not None

    def _act_on(self, got: Received) -> None:
        closes = got.name == "connection.close" and not (self._calls and got.name in self._calls[0][0])
        if closes and not is_shutdown(got):
            self._closed(f"{got.arguments['reply_code']} {got.arguments['reply_text']}")
        super()._act_on(got)

    def _closed(self, reason: str) -> None:
        """Check that there is a reason for the broker to close the connection."""
        since = self._since
        assert since is not None
        if "node connection limit" in reason:
            explained = self.world.config.max_connections > 0
        elif self._is_in or reason.startswith("320"):
            explained = any(self.user not in state.by_name for state in since)
        elif reason.startswith("403"):
            explained = any(state.of(self.user, self.password) is None for state in since)
        else:
            explained = any(not self._enters(state) for state in since)
        if not explained:
            raise self.world.broken(f"{self.name}: {self.user} with {self.password} is closed with {reason}: {since}")
        if not self._is_in:
            # An operation that waits for the connection is not repeated.
            self._waiting = None
            self._over(None)

    def _on_end(self) -> None:
        self._is_in = False

    def ended(self) -> None:
        super().ended()
        if self._since is not None and self._connection is None:
            self._users.known.unwatch(self._since)
            self._since = None


class Visitor(HttpClient):
    """A user that sends requests over HTTP, usually with its password."""

    def __init__(self, users: Users, name: str, user: str) -> None:
        super().__init__(users.world, name, user)
        self._users = users

    @property
    def is_at_rest(self) -> bool:
        return self.idle

    def do_act(self, kind: str) -> None:
        """Make an operation when the previous one is complete."""
        if self.idle:
            self._act(kind)

    def _act(self, kind: str) -> None:
        chance, users = self.chance, self._users
        account = users.known.possible[-1].by_name.get(self.user)
        right = account.password if account is not None else PASSWORDS[0]
        password = self.password = right if chance.random() < 0.8 else chance.choice(PASSWORDS)
        queue, key = f"{users.name}-{chance.choice('ab')}", chance.choice(KEYS)
        body: dict[str, Any] = {}
        match kind:
            case "declare":
                request, target, body = "PUT", path("queues", "/", queue), {"durable": True}
            case "purge":
                request, target = "DELETE", path("queues", "/", queue, "contents")
            case "bind":
                request, target = "POST", path("bindings", "/", "e", "amq.topic", "q", queue)
                body = {"routing_key": key}
            case "publish" | "publish_topic":
                exchange = "amq.topic" if kind == "publish_topic" else "amq.default"
                request, target = "POST", path("exchanges", "/", exchange, "publish")
                body = {
                    "routing_key": key if kind == "publish_topic" else queue,
                    "properties": {},
                    "payload": "x",
                    "payload_encoding": "string",
                }
            case _:
                request, target = "GET", path("whoami")
        needs = [] if target == path("whoami") else users.needs(kind, queue, key)
        watch = users.known.watch()

        def may(state: Accounts) -> bool:
            account = state.of(self.user, password)
            if account is None or not account.has_tag:
                return False
            enters = not needs or account.permissions is not None
            return enters and all(need.is_met(account) for need in needs)

        def over(answer: Answer | None) -> None:
            if answer is None or answer.status == 404:
                users.known.unwatch(watch)
            else:
                users.judge(f"{request} {target} {body} with {password}", watch, may, answer.status < 400)

        self.request(request, target, over, body)
