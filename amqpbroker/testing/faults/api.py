"""The API for faults in tests: `Broker.faults`."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from amqpbroker.testing.checks import check_text
from amqpbroker.testing.faults.block import Block
from amqpbroker.testing.faults.chance import KINDS, Chance
from amqpbroker.testing.faults.cut import Drop, Reset
from amqpbroker.testing.faults.duplicate import Duplicate
from amqpbroker.testing.faults.fault import EVERYBODY, Fault, Only
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.faults.locks import ExpireLock
from amqpbroker.testing.faults.publishing import DelayConfirms, Nack, WithholdConfirms
from amqpbroker.testing.faults.refuse import RefuseDeclare
from amqpbroker.testing.faults.restart import Restart
from amqpbroker.testing.faults.slow import OneByteWrites, StopReading, StopWriting
from amqpbroker.testing.faults.target import Struck
from amqpbroker.testing.hints import Hinted, checked_arguments

#: Makes a call on the broker's thread, and waits until its consequences are written.
Call = Callable[[Callable[[], Any]], Any]


class Ordered(Hinted):
    """An injected fault. `with` removes it at the end of the block."""

    def __init__(self, faults: "Faults", fault: Fault) -> None:
        self._faults = faults
        self._fault = fault

    @property
    def struck(self) -> int:
        """The number of times that the fault has triggered."""
        return self._fault.struck

    def clear(self) -> None:
        """Remove the fault. Confirms that it held back are sent, in order."""
        self._faults.clear(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def __repr__(self) -> str:
        return str(self._fault)


class Faults(Hinted):
    """Faults to inject into a running broker. Each method injects one, and returns it as an `Ordered`.

    A fault is active when the method returns, for open connections and for later ones. It ends when it has triggered
    `times` times (None: never), when it is cleared, or with the `with` block in which it is used. It stays active over
    a restart of the broker. Connections of the broker itself, such as those of its shovels, have no faults.

    Publishes, deliveries and methods are counted from 1, beginning with the injection, over all connections together.
    Frames and bytes are counted for each connection, with its handshake and without heartbeats.

    All methods raise `ValueError` for an invalid argument, and `RuntimeError` if the broker is not running.
    """

    def __init__(self, injector: Injector, call: Call, only: Only = EVERYBODY) -> None:
        self._injector = injector
        self._call = call
        self._only = only

    @checked_arguments
    def only(self, *, connection: str = "", user: str = "", vhost: str = "") -> "Faults":
        """Return the same methods for some connections only.

        - `connection`: a name that the client gave (its client property `connection_name`), or RabbitMQ's name of the
          connection.
        - `user`: name of a user.
        - `vhost`: name of a vhost.

        A fault applies to a connection from the step of the handshake on that reveals this. An argument that is not
        given keeps its value: `only(vhost="v").only(user="shop")` needs both.
        """
        named = {name: value for name, value in (("connection", connection), ("user", user), ("vhost", vhost)) if value}
        for name, value in named.items():
            check_text(name, value)
        return Faults(self._injector, self._call, self._only._replace(**named))

    # --- lost connections ---------------------------------------------------------------------------------------------

    @checked_arguments
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
        """Reset connections by TCP, as a host that crashes does.

        Without arguments, all open connections are reset at once. Otherwise one is, when the condition is met:

        - `on`: a client sends this method for the `nth` time, such as "basic.publish". The broker does not handle it.
        - `instead_of`: the broker would send this method for the `nth` time, such as "basic.ack" for a confirm.
        - `after_frames`, `after_bytes`: the broker has received so many frames or bytes from the client, or, with
          `sent=True`, has sent so many to it.
        - `times`: number of times that the fault triggers; None for always.
        """
        return self._order(
            Reset(on, instead_of, nth, after_frames, after_bytes, sent, times=times, only=self._only),
        )

    @checked_arguments
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
        """Close the sockets of connections without AMQP's connection.close, as a process that is killed does.

        The arguments are those of `reset`.
        """
        return self._order(
            Drop(on, instead_of, nth, after_frames, after_bytes, sent, times=times, only=self._only),
        )

    @checked_arguments
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
        """Restart the broker, as `Broker.restart` does, when `drop` with these arguments would drop a connection.

        - `down`: seconds of real time in which clients cannot connect, from 0 to 60; at least some milliseconds.

        The other arguments are those of `reset`, and one of them must be given. To restart at once, call
        `Broker.restart()`.
        """
        return self._order(
            Restart(on, instead_of, nth, after_frames, after_bytes, sent, down, times=times, only=self._only),
        )

    # --- slow connections ---------------------------------------------------------------------------------------------

    def stop_reading(self) -> Ordered:
        """Read nothing from clients, so that their sockets fill. The broker still writes, heartbeats included.

        Missing heartbeats of clients are not counted. When the fault is cleared, the data that has arrived is handled.
        """
        return self._order(StopReading(only=self._only))

    def stop_writing(self) -> Ordered:
        """Write nothing to clients, not even heartbeats or the end of a connection. The broker still reads."""
        return self._order(StopWriting(only=self._only))

    def one_byte_writes(self) -> Ordered:
        """Write to clients one byte at a time, about ten thousand bytes a second."""
        return self._order(OneByteWrites(only=self._only))

    # --- publishers ---------------------------------------------------------------------------------------------------

    @checked_arguments
    def nack(
        self,
        publish: int = 1,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        times: int | None = 1,
    ) -> Ordered:
        """Answer publishes with basic.nack, and discard their messages. Only channels with confirms are affected.

        - `publish`: number of the first publish that is refused.
        - `exchange`, `routing_key`: only such publishes are counted and refused; `exchange=""` and `routing_key=QUEUE`
          are those directly to a queue. None for any.
        - `times`: number of refused publishes; None for all from there on.
        """
        return self._order(Nack(publish, exchange, routing_key, times=times, only=self._only))

    @checked_arguments
    def withhold_confirms(self, publish: int = 1, *, times: int | None = None) -> Ordered:
        """Send no confirms until the fault is cleared; then send them in order.

        - `publish`: number of the first publish whose confirm is held back.
        - `times`: number of confirms that are held back; None for all from there on.
        """
        return self._order(WithholdConfirms(publish, times=times, only=self._only))

    @checked_arguments
    def delay_confirms(self, ms: int, publish: int = 1, *, times: int | None = None) -> Ordered:
        """Send confirms late.

        - `ms`: the delay in milliseconds of the broker's clock, 1 or more.
        - `publish`: number of the first publish whose confirm is late.
        - `times`: number of late confirms; None for all from there on.
        """
        return self._order(DelayConfirms(publish, ms=ms, times=times, only=self._only))

    @checked_arguments
    def block(self, resource: Literal["memory", "disk"] = "memory") -> Ordered:
        """Set an alarm: publishers receive connection.blocked and are not read until `unblock()` or `clear()`.

        - `resource`: the resource that is short, "memory" or "disk".

        Raises `ValueError` for some connections only, such as those of one vhost: an alarm is the whole broker's.
        """
        return self._order(Block(resource, only=self._only))

    def unblock(self) -> None:
        """End all faults of `block`: publishers may go on."""
        self._remove(lambda: [fault for fault in self._injector.faults if isinstance(fault, Block)])

    # --- consumers ----------------------------------------------------------------------------------------------------

    @checked_arguments
    def duplicate(self, delivery: int = 1, *, queue: str | None = None, times: int | None = 1) -> Ordered:
        """Deliver messages twice: a copy enters the end of the queue, as from a publisher that has lost the confirm.

        The copy is not marked as redelivered. Redeliveries and copies are not counted. For a redelivery of the same
        message use `reset(on="basic.ack")`.

        - `delivery`: number of the first delivery that is doubled.
        - `queue`: only deliveries from this queue are counted and doubled; None for all queues.
        - `times`: number of doubled deliveries; None for all from there on.
        """
        return self._order(Duplicate(delivery, queue, times=times, only=self._only))

    @checked_arguments
    def expire_lock(self, ack: int = 1, *, times: int | None = 1) -> Ordered:
        """Expire the lock of a delivery just before its acknowledgement arrives, which is then too late.

        A delivery has a lock if its queue or consumer has a timeout, see the page on locks. Acknowledgements of other
        deliveries are handled as usual.

        - `ack`: number of the first basic.ack before which locks run out.
        - `times`: number of these basic.ack with a lock; None for all from there on.
        """
        return self._order(ExpireLock(ack, times=times, only=self._only))

    # --- declarations -------------------------------------------------------------------------------------------------

    @checked_arguments
    def refuse_declare(
        self,
        *,
        queue: str | None = None,
        exchange: str | None = None,
        code: int = 406,
        text: str = "",
        times: int | None = None,
    ) -> Ordered:
        """Refuse declarations with an error.

        - `queue`, `exchange`: the name that is refused; without both, all declarations are.
        - `code`: reply code of AMQP; 403, 404, 405 and 406 close the channel, those from 500 on the connection.
        - `text`: text of the error, after the name of the code.
        - `times`: number of refused declarations; None for all.
        """
        return self._order(RefuseDeclare(queue, exchange, code, text, times=times, only=self._only))

    # --- random faults ------------------------------------------------------------------------------------------------

    @checked_arguments
    def random(
        self,
        seed: int | None = None,
        *,
        rate: float = 0.01,
        kinds: Sequence[str] = KINDS,
        times: int | None = None,
    ) -> Ordered:
        """Inject faults at random: at frames of clients, at publishes with confirms and at deliveries.

        The same seed triggers the same faults at the same frames, publishes and deliveries, counted from the injection
        on, of the same connections, numbered as they were opened. Handshakes are not affected.

        - `seed`: any whole number; None chooses one, which `happened` and `active` show.
        - `rate`: probability of a fault, above 0 and at most 1.
        - `kinds`: some of "reset" and "drop" (at frames), "nack" (at publishes) and "duplicate" (at deliveries).
        - `times`: number of faults; None for no limit.
        """
        return self._order(Chance(seed, rate, tuple(kinds), times=times, only=self._only))

    # --- active faults and their record -------------------------------------------------------------------------------

    @property
    def active(self) -> list[str]:
        """The faults that may still trigger, as they were injected, such as `"nack(publish=3)"`."""
        return [str(fault) for fault in self._injector.active]

    @property
    def happened(self) -> list[Struck]:
        """The times that faults triggered, oldest first, the last 10,000: `fault`, `what`, `connection`, `at`."""
        return list(self._injector.happened)

    def report(self) -> str:
        """Return the text on faults that a failing test shows, empty without faults."""
        return self._injector.report()

    @checked_arguments
    def clear(self, ordered: Ordered | None = None) -> None:
        """Remove one fault, or all of them. Confirms that they held back are sent, in order.

        - `ordered`: the fault to remove; None for all, also those that were injected with `only()`.
        """
        self._remove(lambda: self._injector.faults if ordered is None else (ordered._fault,))

    def forget(self) -> None:
        """Remove all faults, and the record in `happened`, for the next test."""
        self.clear()
        self._injector.happened.clear()

    def _order(self, fault: Fault) -> Ordered:
        self._call(lambda: self._injector.add(fault))
        return Ordered(self, fault)

    def _remove(self, which: Callable[[], Sequence[Fault]]) -> None:
        if self._injector.faults:
            self._call(lambda: self._injector.remove(which()))
