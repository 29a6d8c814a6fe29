"""Policies that change under load: they apply to exactly the queues that match, at once and after a restart."""

import random
import re
from typing import Any, NamedTuple

from amqpbroker.wire.values import longstr
from tests.harness import Received, published
from tests.simulation.administrator import Administrator, Change
from tests.simulation.client import Client, troubles
from tests.simulation.http import path
from tests.simulation.knowledge import Knowledge
from tests.simulation.parts import is_reading_again, queues
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

DEFINITIONS: tuple[dict[str, Any], ...] = (
    {"max-length": 3},
    {"max-length": 20},
    {"message-ttl": 500},
    {"message-ttl": 4_000, "max-length": 50},
    {"dead-letter-exchange": "", "dead-letter-routing-key": "{name}-dead", "max-length": 2},
    {"max-length-bytes": 100},
)
OPERATOR_DEFINITIONS: tuple[dict[str, Any], ...] = ({"max-length": 5}, {"message-ttl": 2_000}, {"max-length-bytes": 50})
#: Type of queue -> the values of apply-to that include it.
APPLIED = {
    "classic": ("all", "queues", "classic_queues"),
    "quorum": ("all", "queues", "quorum_queues"),
}
APPLY_TO = ("all", "queues", "queues", "classic_queues", "quorum_queues", "exchanges")
#: Suffixes of queues, with their types, and patterns of policies.
QUEUES = {"a1": "classic", "a2": "quorum", "b1": "classic", "b2": "quorum"}
PATTERNS = ("-a", "-b", "-.1$", "-", "-a1")


class Policy(NamedTuple):
    pattern: str
    apply_to: str
    priority: int
    definition: dict[str, Any]


#: Policies by (is an operator policy, name).
State = dict[tuple[bool, str], Policy]


class Policies(Workload):
    """An administrator, four queues, and a publisher that fills them."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.publisher = ConfirmingPublisher(world, f"{name}p", self._declare, self._made, lambda message: None)
        self._known: Knowledge[State] = Knowledge(world, {}, lambda state, _: state)
        columns = "name,policy,operator_policy,effective_policy_definition,messages"
        self._resources = [path("policies", "/"), path("operator-policies", "/"), path("queues", "/", columns=columns)]
        self.administrator = Administrator(world, f"{name}h", self._known, self._resources, self._parsed)
        self._chance = world.chance(name)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), name, "administer", (chance.choice(("put", "put", "delete")),))
            for _ in range(chance.choice((5, 20, 60)))
        ]
        steps += [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 10, 50)),))
            for _ in range(chance.choice((5, 20)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}h", f"{name}p"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (self.publisher,)

    @property
    def actors(self) -> dict[str, Any]:
        return {self.name: self, self.publisher.name: self.publisher, self.administrator.name: self.administrator}

    def do_administer(self, verb: str) -> None:
        """Set a policy, or remove one."""
        self.administrator.make(self._put if verb == "put" else self._delete)

    def rest(self) -> None:
        self.administrator.read_all()

    def is_done(self) -> bool:
        return self.administrator.is_at_rest and self.publisher.idle

    def check(self) -> None:
        """Do nothing: everything was checked earlier."""

    # --- changes ------------------------------------------------------------------------------------------------------

    def _named(self) -> tuple[bool, str, int]:
        """Return a random policy: whether it is an operator policy, name, number."""
        number = self._chance.randrange(6)
        return number >= 4, f"{self.name}-p{number}", number

    def _put(self, _: State) -> Change[State]:
        chance = self._chance
        operator, name, number = self._named()
        definition = dict(chance.choice(OPERATOR_DEFINITIONS if operator else DEFINITIONS))
        if "dead-letter-routing-key" in definition:
            definition["dead-letter-routing-key"] = f"{self.name}-dead"
        pattern = f"^{self.name}{chance.choice(PATTERNS)}"
        # No two policies have the same priority, because their order is not specified.
        wanted = Policy(pattern, chance.choice(APPLY_TO), number + 10 * chance.randrange(3), definition)
        if operator and wanted.apply_to == "exchanges":
            wanted = wanted._replace(apply_to="queues")
        return Change(
            "PUT",
            path("operator-policies" if operator else "policies", "/", name),
            {
                "pattern": wanted.pattern,
                "apply-to": wanted.apply_to,
                "priority": wanted.priority,
                "definition": wanted.definition,
            },
            lambda state: ((204 if (operator, name) in state else 201,), {**state, (operator, name): wanted}),
        )

    def _delete(self, _: State) -> Change[State]:
        operator, name, _number = self._named()
        return Change(
            "DELETE",
            path("operator-policies" if operator else "policies", "/", name),
            None,
            lambda state: (
                (204 if (operator, name) in state else 404,),
                {key: policy for key, policy in state.items() if key != (operator, name)},
            ),
        )

    # --- checks -------------------------------------------------------------------------------------------------------

    def _parsed(self, found: list[Any]) -> State:
        policies, operator_policies, there = found
        state: State = {
            (operator, row["name"]): Policy(row["pattern"], row["apply-to"], row["priority"], row["definition"])
            for operator, rows in ((False, policies), (True, operator_policies))
            for row in rows
            if row["name"].startswith(f"{self.name}-")
        }
        for row in there:
            kind = QUEUES.get(row["name"].removeprefix(f"{self.name}-"))
            if kind is not None and row["name"].startswith(f"{self.name}-"):
                self._check_queue(state, kind, row)
        return state

    def _is_reading_again(self) -> bool:
        process = self.world.process
        return process is not None and any(is_reading_again(queue) for queue in queues(process))

    def _check_queue(self, state: State, kind: str, row: dict[str, Any]) -> None:
        """Raise BrokenError if the queue has other policies, or does not follow them."""
        in_force = [self._in_force(state, operator, row["name"], kind) for operator in (False, True)]
        definition = _merged(
            *(state[operator, name].definition if name else {} for operator, name in enumerate(in_force))
        )
        there = row.get("policy", ""), row.get("operator_policy", ""), row["effective_policy_definition"]
        if there != (*in_force, definition):
            raise self.world.broken(f"{self.name}: {row}, and not {in_force} {definition} of {state}")
        if self.world.disk.is_failing or self._is_reading_again():
            return  # a message that cannot be read cannot be dropped
        if row["messages"] > definition.get("max-length", row["messages"]):
            raise self.world.broken(f"{self.name}: {row} has more messages than {definition} allows")
        # A message has at least one byte.
        if row["messages"] > definition.get("max-length-bytes", row["messages"]):
            raise self.world.broken(f"{self.name}: {row} has more bytes than {definition} allows")

    def _in_force(self, state: State, operator: bool, name: str, kind: str) -> str:
        """Return the policy of a queue, "" for none."""
        matching = [
            (policy.priority, each)
            for (is_operator, each), policy in state.items()
            if is_operator == operator and policy.apply_to in APPLIED[kind] and re.search(policy.pattern, name)
        ]
        return max(matching)[1] if matching else ""

    # --- the load -----------------------------------------------------------------------------------------------------

    def _declare(self, client: Client, then: Any) -> None:
        names = {**QUEUES, "dead": "classic"}
        for suffix, kind in names.items():
            done = (lambda _: then()) if suffix == "dead" else _ignore
            arguments = {"x-queue-type": longstr(kind)}
            name = f"{self.name}-{suffix}"
            client.call(done, "queue.declare-ok", 1, "queue.declare", queue=name, durable=True, arguments=arguments)

    def _made(self, message: str) -> bytes:
        queue = f"{self.name}-{self.publisher.chance.choice(list(QUEUES))}"
        return published(queue, message.encode(), delivery_mode=self.publisher.chance.choice((1, 2)))


def _ignore(_: Received) -> None:
    pass


def _merged(policy: dict[str, Any], operator: dict[str, Any]) -> dict[str, Any]:
    """Return the definition in force; if both set a limit, the smaller one."""
    both = {key: min(policy[key], operator[key]) for key in policy if key in operator}
    return {**policy, **operator, **both}
