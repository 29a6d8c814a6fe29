"""Source of the messages of tail: a queue of its own, bound to the exchange or to the firehose.

The queue is bound to the exchange if a further binding takes no message from the others. For any other exchange, and
for queues, the vhost is traced meanwhile, so that every message is routed as without tail. All of it is done through
the management API, that of RabbitMQ too.
"""

import secrets
from collections.abc import Callable
from typing import Any, final

from amqpbroker.cli.ctl.api import Api, quoted
from amqpbroker.cli.ctl.failure import DATA, ApiError, CtlError, UsageError
from amqpbroker.cli.tail.message import TailMessage, bound, traced

TRACE = "amq.rabbitmq.trace"

_QUEUES = "amqpbroker.tail."

#: Key of the binding that makes a tail responsible for ending the tracing. No trace has this routing key.
_ENDS_TRACING = "amqpbroker.tail.ends-tracing"

#: Types of exchanges in which a further binding changes nothing for the others.
_SHARING = ("fanout", "topic", "headers")

#: Limits of the queue: its messages and bytes while the reader is slow, and its life after a reader that was killed.
_ARGUMENTS = {
    "x-queue-type": "classic",
    "x-max-length": 100_000,
    "x-max-length-bytes": 64 * 1024 * 1024,
    "x-expires": 60_000,
}

#: Number of messages in one request.
_BATCH = 100
_KEY_BYTES = 255


@final
class Source:
    """Queue of one tail.

    bindings: (exchange, routing key) of each. parse: makes a message of an answer of the API. wanted: which of the
    messages are shown.
    """

    def __init__(
        self,
        api: Api,
        vhost: str,
        about: str,
        bindings: list[tuple[str, str]],
        parse: Callable[[dict[str, Any]], TailMessage],
        wanted: Callable[[TailMessage], bool],
    ) -> None:
        self.about = about
        self._api = api
        self._vhost = vhost
        self._bindings = bindings
        self._parse = parse
        self._wanted = wanted
        self._queue = f"{_QUEUES}{secrets.token_urlsafe(9)}"
        self._traces = any(exchange == TRACE for exchange, _ in bindings)
        #: This tail depends on the vhost's tracing setting, as other tails do. `_switched`: this tail has enabled it.
        self._shares = False
        self._switched = False

    def open(self) -> None:
        """Begin to receive messages. Raises CtlError."""
        queue = f"queues/{quoted(self._vhost)}/{self._queue}"
        # Durable, because newer brokers refuse queues that are neither durable nor exclusive.
        self._api.put(queue, {"durable": True, "arguments": _ARGUMENTS})
        for exchange, key in self._bindings:
            self._bind(self._queue, exchange, key)
        if not self._traces or self._is_traced_for_queue():
            return
        self._shares = True
        if not self._api.get(f"vhosts/{quoted(self._vhost)}")["tracing"]:
            self._trace(True)
            self._switched = True

    def get(self) -> tuple[list[TailMessage], bool]:
        """Return new messages, and whether there may be more. Raises CtlError."""
        body = {"count": _BATCH, "ackmode": "ack_requeue_false", "encoding": "auto"}
        got = self._api.post(f"queues/{quoted(self._vhost)}/{self._queue}/get", body)
        messages = [self._parse(each) for each in got]
        return [message for message in messages if self._wanted(message)], len(got) == _BATCH

    def close(self) -> None:
        """Restore the broker's state. On RabbitMQ another running tail takes over tracing and ends it later.

        Raises CtlError.
        """
        traces = self._trace_bindings() if self._shares else []
        ends = self._switched or (self._queue, _ENDS_TRACING) in traces
        self._api.discard(f"queues/{quoted(self._vhost)}/{self._queue}")
        if not ends:
            return
        others = [queue for queue, _ in self._trace_bindings()]
        heirs = [queue for queue in others if queue.startswith(_QUEUES)]
        if heirs:
            self._bind(heirs[0], TRACE, _ENDS_TRACING)
        elif not others:
            self._trace(False)

    def _is_traced_for_queue(self) -> bool:
        """Ask the broker to trace the vhost while the queue exists. Return False if unsupported, as on RabbitMQ."""
        try:
            self._api.put(f"vhosts/{quoted(self._vhost)}/tracing/{self._queue}")
        except ApiError as error:
            if error.http_status not in (404, 405):
                raise
            return False
        return True

    def _bind(self, queue: str, exchange: str, key: str) -> None:
        path = f"bindings/{quoted(self._vhost)}/e/{quoted(exchange)}/q/{queue}"
        self._api.post(path, {"routing_key": key, "arguments": {}})

    def _trace_bindings(self) -> list[tuple[str, str]]:
        """Return the bindings to the exchange of traces."""
        bindings = self._api.get(f"exchanges/{quoted(self._vhost)}/{TRACE}/bindings/source")
        return [(binding["destination"], binding["routing_key"]) for binding in bindings]

    def _trace(self, on: bool) -> None:
        path = f"vhosts/{quoted(self._vhost)}"
        said = self._api.get(path)
        kept = {"description": said.get("description") or "", "tags": ",".join(said.get("tags") or [])}
        if said.get("default_queue_type") not in (None, "undefined"):
            kept["default_queue_type"] = said["default_queue_type"]
        self._api.put(path, {**kept, "tracing": on})


def found(api: Api, vhost: str, name: str, kind: str | None, key: str) -> Source:
    """Return the source for a queue or an exchange of that name. kind: "queue" or "exchange", None for either.

    Raises CtlError if there is none, or if there are both.
    """
    name = "" if name == "amq.default" else name
    exchange = _look_up(api, f"exchanges/{quoted(vhost)}/{quoted(name or 'amq.default')}") if kind != "queue" else None
    queue = _look_up(api, f"queues/{quoted(vhost)}/{quoted(name)}") if name and kind != "exchange" else None
    if queue is None and exchange is None:
        wanted = kind or "queue or exchange"
        raise CtlError(f"Error: there is no {wanted} '{name}' in vhost '{vhost}'.", DATA)
    if queue is not None and exchange is not None:
        raise UsageError(f"There are a queue and an exchange '{name}': choose with --queue or --exchange.")
    if queue is not None:
        return _of_queue(api, vhost, name)
    return _of_exchange(api, vhost, name, exchange["type"], key)  # type: ignore[index]


def _look_up(api: Api, path: str) -> dict[str, Any] | None:
    try:
        shown: dict[str, Any] = api.get(path)
    except ApiError as error:
        if error.http_status == 404:
            return None
        raise
    return shown


def _of_queue(api: Api, vhost: str, name: str) -> Source:
    # A long routing key is truncated in a trace.
    cut = name.encode()[: _KEY_BYTES - len("deliver.")].decode(errors="ignore")

    def concerns(message: TailMessage) -> bool:
        queues = message.queues or ()
        return name in queues or (message.what == "deliver" and queues == (cut,))

    bindings = [(TRACE, "publish.#"), (TRACE, _key("deliver", name))]
    return Source(api, vhost, f"queue '{name}' in vhost '{vhost}', traced", bindings, traced, concerns)


def _of_exchange(api: Api, vhost: str, name: str, kind: str, key: str) -> Source:
    about = f"exchange '{name or 'amq.default'}' in vhost '{vhost}'"
    if key != "#" and kind != "topic":
        raise UsageError(f"--key is for topic exchanges; '{name or 'amq.default'}' is of the type {kind}.")
    if kind in _SHARING:
        return Source(api, vhost, about, [(name, key if kind == "topic" else "")], bound, lambda _: True)
    bindings = [(TRACE, _key("publish", name))]
    return Source(api, vhost, f"{about}, traced", bindings, traced, lambda message: message.exchange == name)


def _key(verb: str, name: str) -> str:
    """Return the key for traces of that name. A name that is a pattern or too long also matches other names."""
    key = f"{verb}.{name}"
    return key if len(key.encode()) <= _KEY_BYTES else f"{verb}.#"
