"""The API for faults in tests: `Broker.faults`."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from amqpbroker.testing.faults.block import Block
from amqpbroker.testing.faults.chance import KINDS, Chance
from amqpbroker.testing.faults.cut import Drop, Reset
from amqpbroker.testing.faults.duplicate import Duplicate
from amqpbroker.testing.faults.fault import EVERYBODY, Fault, Only
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.faults.publishing import DelayConfirms, Nack, WithholdConfirms
from amqpbroker.testing.faults.refuse import RefuseDeclare
from amqpbroker.testing.faults.restart import Restart
from amqpbroker.testing.faults.slow import OneByteWrites, StopReading, StopWriting
from amqpbroker.testing.faults.target import Struck

#: Has the loop's thread make a call, and waits until what follows from it is written.
Call = Callable[[Callable[[], Any]], Any]


class Ordered:
    """A fault that was ordered; used with `with`, it is in force until the end of that."""

    def __init__(self, faults: "Faults", fault: Fault) -> None:
        self._faults = faults
        self._fault = fault

    @property
    def struck(self) -> int:
        """How often it has struck."""
        return self._fault.struck

    def clear(self) -> None:
        """It is in force no more. Confirms that it kept are sent, in order."""
        self._faults.clear(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def __repr__(self) -> str:
        return str(self._fault)


class Faults:
    """What is to go wrong. An order is in force when the call returns, for the connections there are and those to come,
    until it has struck `times` times (None: always), is cleared, or the `with` that it is used with ends. It outlives a
    restart of the broker.

    Publishes, deliveries and methods are counted from 1, from the order on, over all connections together; frames and
    bytes for each connection by itself, its handshake included and heartbeats not. What is told with an error raises
    ValueError. To be called from any thread but the broker's own, while it runs.
    """

    def __init__(self, injector: Injector, call: Call, only: Only = EVERYBODY) -> None:
        self._injector = injector
        self._call = call
        self._only = only

    def only(self, *, connection: str = "", user: str = "", vhost: str = "") -> "Faults":
        """The same for some connections alone: of a name that the client gave (its property connection_name), or that
        RabbitMQ gives; of a user; of a vhost. They are meant from when this is known, in the handshake. What is not
        named stays as it is: `only(vhost="v").only(user="shop")` is for those of both.
        """
        named = {name: value for name, value in (("connection", connection), ("user", user), ("vhost", vhost)) if value}
        return Faults(self._injector, self._call, self._only._replace(**named))

    # --- connections that are gone ----------------------------------------------------------------------------------

    def reset(
        self,
        *,
        on: str = "",
        instead_of: str = "",
        nth: int = 1,
        after_frames: int | None = None,
        after_bytes: int | None = None,
        sent: bool = False,
        times: int | None = 1,
    ) -> Ordered:
        """Connections are reset, as by a host that crashed: at once, all that are open; or one,

        on: when a client's method comes for the nth time, such as "basic.publish"; the broker does not handle it.
        instead_of: where the broker would send a method for the nth time, such as "basic.ack", which is a confirm.
        after_frames, after_bytes: when so many have come from its client; sent: when so many have gone to it.
        """
        return self._order(
            Reset(on, instead_of, nth, after_frames, after_bytes, sent, times=times, only=self._only),
        )

    def drop(
        self,
        *,
        on: str = "",
        instead_of: str = "",
        nth: int = 1,
        after_frames: int | None = None,
        after_bytes: int | None = None,
        sent: bool = False,
        times: int | None = 1,
    ) -> Ordered:
        """`reset`, but the socket is closed, as by a process that was killed: without AMQP's connection.close."""
        return self._order(
            Drop(on, instead_of, nth, after_frames, after_bytes, sent, times=times, only=self._only),
        )

    def restart(
        self,
        *,
        on: str = "",
        instead_of: str = "",
        nth: int = 1,
        after_frames: int | None = None,
        after_bytes: int | None = None,
        sent: bool = False,
        down: float = 0,
        times: int | None = 1,
    ) -> Ordered:
        """The broker is started again, as by `Broker.restart`, where `drop` would drop a connection. For `down`
        seconds, and some ten milliseconds at least, clients find nobody. At once does `Broker.restart()` itself.
        """
        return self._order(
            Restart(on, instead_of, nth, after_frames, after_bytes, sent, down, times=times, only=self._only),
        )

    # --- connections that go on badly -------------------------------------------------------------------------------

    def stop_reading(self) -> Ordered:
        """Nothing that clients send is read, so that their sockets fill; what goes to them goes on, heartbeats, too.
        When it is cleared, what has come meanwhile is handled. The broker does not miss their heartbeats.
        """
        return self._order(StopReading(only=self._only))

    def stop_writing(self) -> Ordered:
        """Nothing goes to clients, not even heartbeats or the end of the connection; what they send is handled."""
        return self._order(StopWriting(only=self._only))

    def one_byte_writes(self) -> Ordered:
        """What goes to clients goes byte by byte. It is slow: some ten thousand a second."""
        return self._order(OneByteWrites(only=self._only))

    # --- publishers -------------------------------------------------------------------------------------------------

    def nack(
        self,
        publish: int = 1,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        times: int | None = 1,
    ) -> Ordered:
        """The n-th publish on channels with confirms is answered with basic.nack and goes nowhere. exchange,
        routing_key: only those are meant, and counted; exchange="" and routing_key=QUEUE for what goes to a queue.
        """
        return self._order(Nack(publish, exchange, routing_key, times=times, only=self._only))

    def withhold_confirms(self, publish: int = 1, *, times: int | None = None) -> Ordered:
        """From the n-th on, no confirm is sent until this is cleared; with times=1 the n-th alone is held back."""
        return self._order(WithholdConfirms(publish, times=times, only=self._only))

    def delay_confirms(self, ms: int, publish: int = 1, *, times: int | None = None) -> Ordered:
        """From the n-th on, confirms come so many milliseconds late, by the broker's clock."""
        return self._order(DelayConfirms(publish, ms=ms, times=times, only=self._only))

    def block(self, resource: Literal["memory", "disk"] = "memory") -> Ordered:
        """The broker is short of this: whoever publishes is told connection.blocked and not read until `unblock`."""
        return self._order(Block(resource, only=self._only))

    def unblock(self) -> None:
        """There is enough of everything again."""
        self._remove(lambda: [fault for fault in self._injector.faults if isinstance(fault, Block)])

    # --- consumers --------------------------------------------------------------------------------------------------

    def duplicate(self, delivery: int = 1, *, queue: str | None = None, times: int | None = 1) -> Ordered:
        """The message of the n-th delivery (of a queue) comes twice: when it is delivered, a copy enters the queue at
        its end, as from a publisher that published again because it had lost the confirm. redelivered is not set.
        Only first deliveries are counted, and no copies. (To have a message redelivered: reset(on="basic.ack").)
        """
        return self._order(Duplicate(delivery, queue, times=times, only=self._only))

    # --- declaring --------------------------------------------------------------------------------------------------

    def refuse_declare(
        self,
        *,
        queue: str | None = None,
        exchange: str | None = None,
        code: int = 406,
        text: str = "",
        times: int | None = None,
    ) -> Ordered:
        """Declaring this queue or exchange, or any if none is named, fails with a reply code of AMQP: 403, 404, 405 and
        406 close the channel, those from 500 on the connection. text: of the error, behind the code's name.
        """
        return self._order(RefuseDeclare(queue, exchange, code, text, times=times, only=self._only))

    # --- by chance --------------------------------------------------------------------------------------------------

    def random(
        self,
        seed: int | None = None,
        *,
        rate: float = 0.01,
        kinds: Sequence[str] = KINDS,
        times: int | None = None,
    ) -> Ordered:
        """At every frame of a client, publish with a confirm, and delivery, a fault strikes with the chance `rate`:
        reset and drop at frames, nack at publishes, duplicate at deliveries, as far as they are among `kinds`.

        The same seed has the same faults strike at the same frames, publishes and deliveries, by their number since
        the order, of the same connections, by the order in which they came. Without one, a seed is thrown; what has
        `happened` names it. Handshakes are spared.
        """
        return self._order(Chance(seed, rate, tuple(kinds), times=times, only=self._only))

    # --- what is in force, and what has happened --------------------------------------------------------------------

    @property
    def active(self) -> list[str]:
        """What is in force, as it was ordered."""
        return [str(fault) for fault in self._injector.active]

    @property
    def happened(self) -> list[Struck]:
        """What struck whom, where and when, in order; the last 10,000 times."""
        return list(self._injector.happened)

    def report(self) -> str:
        """What a failing test says of faults; empty without any."""
        return self._injector.report()

    def clear(self, ordered: Ordered | None = None) -> None:
        """Nothing goes wrong any more, or not this. Confirms that were kept are sent, in order."""
        self._remove(lambda: self._injector.faults if ordered is None else (ordered._fault,))

    def forget(self) -> None:
        """`clear`, and nothing has happened: for the next test."""
        self.clear()
        self._injector.happened.clear()

    def _order(self, fault: Fault) -> Ordered:
        self._call(lambda: self._injector.add(fault))
        return Ordered(self, fault)

    def _remove(self, which: Callable[[], Sequence[Fault]]) -> None:
        if self._injector.faults:
            self._call(lambda: self._injector.remove(which()))
