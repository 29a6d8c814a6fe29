"""Channels that open, fail and close on one connection: a number can be reused after its close, up to channel_max."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.harness import Received, published
from tests.simulation.client import Client, is_shutdown, troubles
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Maximum number of channels of a connection.
MOST = (2, 3, 8)
#: Reply codes of a passive declaration of a queue that nobody declares, and of a channel too many.
NOT_FOUND, NOT_ALLOWED, CONNECTION_FORCED = 404, 530, 320


class Channels(Workload):
    """Clients that open and close channels, each on its own connection."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._clients = [Opener(self, f"{name}c{i}", most) for i, most in enumerate(plan["most"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"most": [chance.choice(MOST) for _ in range(chance.randint(1, 3))]}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = []
        for i, most in enumerate(settings["most"]):
            for _ in range(chance.choice((5, 30, 100))):
                verb = chance.choice(("open", "open", "open", "close", "fail", "fail"))
                steps.append(Step(chance.randint(0, end_ms), f"{name}c{i}", verb, (chance.randint(2, most),)))
            exceeds = range(chance.choice((0, 1, 2)))
            steps += [Step(chance.randint(0, end_ms), f"{name}c{i}", "exceed") for _ in exceeds]
        return steps + troubles(chance, end_ms, [f"{name}c{i}" for i in range(len(settings["most"]))])

    @property
    def clients(self) -> "list[Opener]":
        return self._clients

    def is_done(self) -> bool:
        return all(client.open and not client.waits for client in self._clients)

    def check(self) -> None:
        """Do nothing: answers are checked when they arrive."""


class Opener(Client):
    """Opens, closes and fails channels 2 to `most`; channel 1 stays open."""

    def __init__(self, channels: Channels, name: str, most: int) -> None:
        super().__init__(channels.world, name)
        self._most = most
        #: Numbers of the open channels, without those that wait for an answer.
        self._opened_numbers: dict[int, None] = {}
        self._busy: dict[int, None] = {}
        self._exceeds = False
        #: One channel more than allowed is opened when all are open.
        self._is_to_exceed = False

    @property
    def waits(self) -> bool:
        """Return whether an answer is outstanding."""
        return bool(self._busy) or self._exceeds

    def do_open(self, number: int) -> None:
        if self._may(number) and number not in self._opened_numbers:
            self._ask(number, partial(self._is_open, number), "channel.open-ok", "channel.open")

    def do_close(self, number: int) -> None:
        if self._may(number) and number in self._opened_numbers:
            del self._opened_numbers[number]
            arguments = {"reply_code": 200, "reply_text": "", "class_id": 0, "method_id": 0}
            self._ask(number, lambda _: None, "channel.close-ok", "channel.close", **arguments)

    def do_fail(self, number: int) -> None:
        """Declare a missing queue passively; the broker ignores everything that follows on the channel."""
        if self._may(number) and number in self._opened_numbers:
            del self._opened_numbers[number]
            missing = f"{self.name}-missing"
            self._ask(number, self._has_failed, "channel.close", "queue.declare", queue=missing, passive=True)
            for _ in range(self.chance.choice((0, 1, 5))):
                self.write(published(missing, b"passed over", channel=number))
                self.send(number, "basic.qos", prefetch_count=1)

    def do_exceed(self) -> None:
        """Open all channels, and one more than the connection may have."""
        self._is_to_exceed = True
        for number in range(2, self._most + 1):
            self.do_open(number)
        self._exceed_if_full()

    def _exceed_if_full(self) -> None:
        if self._is_to_exceed and self.open and not self.waits and len(self._opened_numbers) + 1 == self._most:
            self._is_to_exceed, self._exceeds = False, True
            self.call(self._exceeded, "channel.open-ok connection.close", self._most + 1, "channel.open")

    def _may(self, number: int) -> bool:
        return self.open and not self._exceeds and number not in self._busy

    def _ask(self, number: int, then: Callable[[Received], None], answer: str, name: str, **arguments: Any) -> None:
        self._busy[number] = None

        def answered(got: Received) -> None:
            if got.channel != number:
                raise self.world.broken(f"{self.name}: {got.name} is for channel {got.channel}, and not {number}")
            del self._busy[number]
            then(got)

        self.call(answered, answer, number, name, **arguments)

    def _is_open(self, number: int, _: Received) -> None:
        self._opened_numbers[number] = None
        self._exceed_if_full()

    def _has_failed(self, got: Received) -> None:
        code = got.arguments["reply_code"]
        if code != NOT_FOUND:
            raise self.world.broken(f"{self.name}: the channel fails with {code}, and not {NOT_FOUND}")
        self.send(got.channel, "channel.close-ok")

    def _exceeded(self, got: Received) -> None:
        codes = (NOT_ALLOWED, CONNECTION_FORCED)  # the broker may stop at that time
        if got.name != "connection.close" or got.arguments["reply_code"] not in codes:
            raise self.world.broken(f"{self.name}: a channel more than {self._most} is answered with {got}")
        self.send(0, "connection.close-ok")

    def _act_on(self, got: Received) -> None:
        if got.name == "connection.close" and not self._exceeds and not is_shutdown(got):
            raise self.world.broken(f"{self.name}: the broker closes the connection: {got.arguments['reply_text']}")
        super()._act_on(got)

    def _tune(self, _: Received) -> None:
        self.send(0, "connection.tune-ok", channel_max=self._most, frame_max=131072, heartbeat=self.heartbeat)
        self.call(self._open, "connection.open-ok", 0, "connection.open", virtual_host="/")

    def received(self, got: Received) -> None:
        raise self.world.broken(f"{self.name} received {got}")

    def disconnected(self) -> None:
        self._opened_numbers.clear()
        self._busy.clear()
        self._exceeds = self._is_to_exceed = False
