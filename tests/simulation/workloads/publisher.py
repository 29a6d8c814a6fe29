"""Publishers with and without confirms, for workloads that define messages and destinations."""

from abc import abstractmethod
from collections.abc import Callable

from tests.harness import Received
from tests.simulation.client import Client
from tests.simulation.world import World

#: Called with each connection's client; it declares the objects, and then calls the function.
Declare = Callable[[Client, Callable[[], None]], None]
#: Called with the name of a message and the arguments of its step; returns the bytes to send.
Make = Callable[..., bytes]
#: Called with the name of a message that the broker has answered.
OnMessage = Callable[[str], None]
#: Called with the name of a message, and the basic.return with the returned message.
OnReturn = Callable[[str, Received], None]


def name_of(body: bytes | None) -> str:
    """Return the name of a message, with which its body begins."""
    assert body is not None
    return body.split(b" ", 1)[0].decode()


class Publisher(Client):
    """Publishes messages with increasing names: `publisher.connection-number`."""

    def __init__(self, world: World, name: str, declare: Declare, make: Make) -> None:
        super().__init__(world, name)
        self._declare = declare
        self._make = make
        self._number = 0
        self._waiting: list[tuple[int, tuple[object, ...]]] = []
        self._ready = False

    @property
    def idle(self) -> bool:
        """Return whether everything is published, and the broker has answered it."""
        return self._ready and not self._waiting

    def do_publish(self, count: int, *how: object) -> None:
        """Publish `count` messages, now or when there is a connection again. how: for `make`."""
        self._waiting.append((count, how))
        if self._ready:
            self._publish()

    def opened(self) -> None:
        self._declare(self, self._declared)

    def disconnected(self) -> None:
        self._ready = False

    @abstractmethod
    def _declared(self) -> None:
        """Prepare the channel, then call `_begin`."""

    @abstractmethod
    def _sent(self, messages: list[str]) -> None:
        """Record messages that were published together."""

    def _begin(self) -> None:
        self._ready = True
        self._publish()

    def _publish(self) -> None:
        waiting, self._waiting = self._waiting, []
        messages = []
        for count, how in waiting:
            for _ in range(count):
                message = f"{self.name}.{self._incarnation}-{self._number}"
                self._number += 1
                messages.append(message)
                self.write(self._make(message, *how))
        if messages:
            self._sent(messages)


class ConfirmingPublisher(Publisher):
    """Publishes with confirms.

    make: returns the frames of a message. confirmed, refused: called with each message that is confirmed, or not.
    returned: called with each returned message; without it, none may be returned.
    """

    def __init__(
        self,
        world: World,
        name: str,
        declare: Declare,
        make: Make,
        confirmed: OnMessage,
        refused: OnMessage | None = None,
        returned: OnReturn | None = None,
    ) -> None:
        super().__init__(world, name, declare, make)
        self._confirmed = confirmed
        self._refused = refused
        self._returned = returned
        self._tag = 0
        self._unconfirmed: dict[int, str] = {}

    @property
    def idle(self) -> bool:
        return super().idle and not self._unconfirmed

    def _declared(self) -> None:
        self.call(self._selected, "confirm.select-ok", 1, "confirm.select")

    def _selected(self, _: Received) -> None:
        self._tag = 0
        self._begin()

    def _sent(self, messages: list[str]) -> None:
        for message in messages:
            self._tag += 1
            self._unconfirmed[self._tag] = message

    def received(self, got: Received) -> None:
        if got.name == "basic.return" and self._returned is not None:
            message = name_of(got.body)
            if message not in self._unconfirmed.values():
                raise self.world.broken(f"{self.name}: {message} is returned, and is not outstanding")
            self._returned(message, got)
            return
        if got.name not in ("basic.ack", "basic.nack"):
            raise self.world.broken(f"{self.name} received {got}")
        tag = got.arguments["delivery_tag"]
        tags = [each for each in self._unconfirmed if each <= tag] if got.arguments["multiple"] else [tag]
        for each in tags:
            if each not in self._unconfirmed:
                raise self.world.broken(f"{self.name}: {got.name} of {each}, which is not outstanding")
            message = self._unconfirmed.pop(each)
            if got.name == "basic.ack":
                self._confirmed(message)
            elif self._refused is not None:
                self._refused(message)

    def disconnected(self) -> None:
        super().disconnected()
        self._unconfirmed.clear()


class UnconfirmedPublisher(Publisher):
    """Publishes without confirms. handled: called with each message that the broker has certainly handled."""

    def __init__(self, world: World, name: str, declare: Declare, make: Make, handled: OnMessage) -> None:
        super().__init__(world, name, declare, make)
        self._handled = handled
        self._outstanding = 0

    @property
    def idle(self) -> bool:
        return super().idle and not self._outstanding

    def _declared(self) -> None:
        self._begin()

    def _sent(self, messages: list[str]) -> None:
        self._outstanding += 1
        # The broker handles the methods of a channel in their order.
        self.call(lambda _: self._answered(messages), "basic.qos-ok", 1, "basic.qos", prefetch_count=0)

    def _answered(self, messages: list[str]) -> None:
        self._outstanding -= 1
        for message in messages:
            self._handled(message)

    def received(self, got: Received) -> None:
        raise self.world.broken(f"{self.name} received {got}")

    def disconnected(self) -> None:
        super().disconnected()
        self._outstanding = 0
