"""A client that makes one operation after another by AMQP, and reports the answers."""

from collections.abc import Callable
from typing import Any

from tests.harness import Received, published
from tests.simulation.client import Client
from tests.simulation.world import World

#: Called with the outcome: "ok", "returned", or the code of a channel error; None if the connection ended before.
Then = Callable[[str | None], None]

#: Channels: for operations, for consumers, for messages.
OPERATIONS, CONSUMERS, MESSAGES = 1, 2, 3


class Operator(Client):
    """Makes one operation at a time; an operation that waits for a connection is made when there is one.

    lost: called when a connection has ended, with its exclusive queues and its consumers.
    """

    def __init__(self, world: World, name: str, lost: Callable[[], None]) -> None:
        super().__init__(world, name)
        self.delivered = 0
        self._lost = lost
        self._ready = False
        self._waiting: Callable[[], None] | None = None
        self._then: Then | None = None
        self._returned = False
        #: Channel of the current call.
        self._channel = OPERATIONS

    def ask(self, then: Then, name: str, **arguments: Any) -> None:
        """Call a method that is answered by its own -ok, or by an error of its channel."""
        self._when_ready(lambda: self._call(OPERATIONS, name, arguments), then)

    def consume(self, then: Then, queue: str) -> None:
        """Consume the queue; the consumer tag is its name."""
        arguments = {"queue": queue, "consumer_tag": queue}
        self._when_ready(lambda: self._call(CONSUMERS, "basic.consume", arguments), then)

    def cancel(self, then: Then, queue: str) -> None:
        """End the consumer of the queue."""
        self._when_ready(lambda: self._call(CONSUMERS, "basic.cancel", {"consumer_tag": queue}), then)

    def publish(self, then: Then, exchange: str, key: str, body: bytes = b"x") -> None:
        """Publish a mandatory persistent message with a confirm: "ok" if it was routed, else "returned"."""
        data = published(key, body, exchange, MESSAGES, mandatory=True, delivery_mode=2)

        def send() -> None:
            self._returned = False
            self._channel = MESSAGES
            self.write(data)
            self._expect(self._confirmed, "basic.ack", "channel.close")

        self._when_ready(send, then)

    # ----------------------------------------------------------------------------------------------------------------

    def _when_ready(self, send: Callable[[], None], then: Then) -> None:
        self._then = then
        if self._ready:
            send()
        else:
            self._waiting = send

    def _act_on(self, got: Received) -> None:
        if got.name == "channel.close" and got.channel != self._channel:
            # The channel answers nothing; its consumer may have been too slow.
            self.world.closed_by_broker(self.name, got)
            self.drop()
        else:
            super()._act_on(got)

    def _call(self, channel: int, name: str, arguments: dict[str, Any]) -> None:
        self._channel = channel
        self.call(self._answered, f"{name}-ok channel.close", channel, name, **arguments)

    def _answered(self, got: Received) -> None:
        if got.name != "channel.close":
            self._over("ok")
            return
        self.send(got.channel, "channel.close-ok")
        outcome = str(got.arguments["reply_code"])
        if got.channel == MESSAGES:
            self.call(lambda _: None, "channel.open-ok", MESSAGES, "channel.open")
            self.call(lambda _: self._over(outcome), "confirm.select-ok", MESSAGES, "confirm.select")
        else:
            self.call(lambda _: self._over(outcome), "channel.open-ok", got.channel, "channel.open")

    def _confirmed(self, got: Received) -> None:
        if got.name == "channel.close":
            self._answered(got)
        else:
            self._over("returned" if self._returned else "ok")

    def _over(self, outcome: str | None) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(outcome)

    # --- callbacks of the client --------------------------------------------------------------------------------------

    def opened(self) -> None:
        self.call(lambda _: None, "channel.open-ok", CONSUMERS, "channel.open")
        self.call(lambda _: None, "channel.open-ok", MESSAGES, "channel.open")
        self.call(self._all_open, "confirm.select-ok", MESSAGES, "confirm.select")

    def _all_open(self, _: Received) -> None:
        self._ready = True
        send, self._waiting = self._waiting, None
        if send is not None:
            send()

    def received(self, got: Received) -> None:
        if got.name == "basic.return":
            self._returned = True
        elif got.name == "basic.deliver":
            self.delivered += 1
        else:
            raise self.world.broken(f"{self.name} received {got}")

    def cancelled(self, got: Received) -> None:
        """Do nothing: the model knows that the queue is deleted."""

    def disconnected(self) -> None:
        was_sent = self._waiting is None
        self._ready = False
        self._lost()
        if was_sent:
            self._over(None)
