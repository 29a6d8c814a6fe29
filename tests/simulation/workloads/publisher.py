"""A client that publishes with confirms, for workloads that say what and where."""

from collections.abc import Callable

from tests.harness import Received
from tests.simulation.client import Client
from tests.simulation.world import World

#: Called with each connection's client; it declares what is to be there, and calls the function when it is.
Declare = Callable[[Client, Callable[[], None]], None]
#: Called with a message's name and the time of its publish; returns the bytes to send.
Make = Callable[[str], bytes]


class ConfirmingPublisher(Client):
    """make: the frames of a message by its name. confirmed: called with the name of each message that is confirmed."""

    def __init__(self, world: World, name: str, declare: Declare, make: Make, confirmed: Callable[[str], None]) -> None:
        super().__init__(world, name)
        self._declare = declare
        self._make = make
        self._confirmed = confirmed
        self._number = 0
        self._tag = 0
        self._unconfirmed: dict[int, str] = {}
        self._waiting = 0
        self._ready = False

    @property
    def idle(self) -> bool:
        """Return whether everything is published and answered."""
        return self._ready and not self._waiting and not self._unconfirmed

    def do_publish(self, count: int) -> None:
        """Publish messages, now or when the connection is there."""
        self._waiting += count
        if self._ready:
            self._publish()

    def opened(self) -> None:
        self._declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._selected, "confirm.select-ok", 1, "confirm.select")

    def _selected(self, _: Received) -> None:
        self._tag = 0
        self._ready = True
        self._publish()

    def _publish(self) -> None:
        count, self._waiting = self._waiting, 0
        for _ in range(count):
            message = f"{self.name}.{self._incarnation}-{self._number}"
            self._number += 1
            self._tag += 1
            self._unconfirmed[self._tag] = message
            self.write(self._make(message))

    def received(self, got: Received) -> None:
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

    def disconnected(self) -> None:
        self._ready = False
        self._unconfirmed.clear()
