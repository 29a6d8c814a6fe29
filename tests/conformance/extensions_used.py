"""Finds the requests of a conformance case that extensions of the broker treat differently from RabbitMQ.

Such a case is recorded from RabbitMQ, so it only has to be the same with the setting `extensions = off`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from amqpbroker.broker.queues.arguments.arguments import CONSUMER_ARGUMENTS, QUEUE_TYPE, check_of
from amqpbroker.broker.queues.kinds import (
    CLASSIC,
    KINDS,
    known_arguments,
    known_consumer_arguments,
    policy_keys,
)
from amqpbroker.compat import Compat
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD
from amqpbroker.wire.reader import FrameReader
from amqpbroker.wire.values import MalformedError

PROTOCOL_HEADER_BYTES = 8


class ExtensionsUsed:
    """The extensions that clients of one broker have used. compat: of the broker, with extensions.

    names: arguments of queues and consumers, and policy keys. The kind of queue of a consumer or a policy is unknown,
    so that those count which are different for any kind.
    """

    def __init__(self, compat: Compat) -> None:
        self.names: set[str] = set()
        self._with = compat
        self._without = compat.configured({}, extensions=False)
        of_any_kind = known_arguments(self._with).keys() ^ known_arguments(self._without).keys()
        self._of_queues = {kind: of_any_kind | self._different_for(kind) for kind in KINDS}
        self._of_consumers = known_consumer_arguments(self._with) ^ known_consumer_arguments(self._without) | {
            name for name, row in CONSUMER_ARGUMENTS.items() if self._is_checked_differently(row)
        }
        self._keys = policy_keys(self._with), policy_keys(self._without)

    def _different_for(self, kind: str) -> set[str]:
        """Return the arguments that are supported, or checked, differently for queues of a kind."""
        supported, before = (KINDS[kind].arguments_in(compat) for compat in (self._with, self._without))
        checked = {name for name, row in supported.items() if self._is_checked_differently(row)}
        return (supported.keys() ^ before.keys()) | checked

    def _is_checked_differently(self, row: Any) -> bool:
        return check_of(row, self._with) is not check_of(row, self._without)

    def declared(self, arguments: Iterable[str], queue_type: str = CLASSIC.name) -> None:
        """Note the arguments of a queue that is declared."""
        self.names |= self._of_queues.get(queue_type, set()).intersection(arguments)

    def consumed(self, arguments: Iterable[str]) -> None:
        """Note the arguments of basic.consume."""
        self.names |= self._of_consumers.intersection(arguments)

    def defined(self, definition: Iterable[str]) -> None:
        """Note the keys of a policy."""
        keys = dict.fromkeys(definition)
        unknown = [set(known.unknown(keys, operator=False)) for known in self._keys]
        self.names |= unknown[0] ^ unknown[1]
        for kind in KINDS.values():
            self.names |= {key for key in keys if kind.accepts(key, self._with) != kind.accepts(key, self._without)}

    def requested(self, body: Any) -> None:
        """Note the body of an HTTP request: arguments of objects, and definitions of policies, at any depth."""
        if isinstance(body, Mapping):
            arguments, definition = body.get("arguments"), body.get("definition")
            if isinstance(arguments, Mapping):
                queue_type = arguments.get(QUEUE_TYPE, CLASSIC.name)
                self.declared(arguments, queue_type if isinstance(queue_type, str) else "")
            if isinstance(definition, Mapping):
                self.defined(definition)
        for each in body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ():
            self.requested(each)


class SentFrames:
    """The bytes of one connection, up to the first that is no frame."""

    def __init__(self, used: ExtensionsUsed) -> None:
        self._used = used
        self._reader: FrameReader | None = None
        self._is_readable = True

    def feed(self, data: bytes) -> None:
        if self._reader is None:
            self._reader = FrameReader(0)
            data = data[PROTOCOL_HEADER_BYTES:] if data.startswith(b"AMQP") else data
        if not self._is_readable:
            return
        self._reader.feed(data)
        try:
            for kind, _, payload in self._reader.frames():
                if kind == METHOD:
                    self._method(payload)
        except MalformedError:
            self._is_readable = False

    def _method(self, payload: bytes) -> None:
        method = methods.METHODS.get(int.from_bytes(payload[:4], "big"))
        if method is None or method.name not in ("queue.declare", "basic.consume"):
            return
        try:
            arguments = methods.decode(method, payload, any_bytes=True)["arguments"]
        except MalformedError:
            return
        if method.name == "basic.consume":
            self._used.consumed(arguments)
        else:
            given = arguments.get(QUEUE_TYPE)
            queue_type = CLASSIC.name if given is None else given.value.decode() if given.kind == "S" else ""
            self._used.declared(arguments, queue_type)
