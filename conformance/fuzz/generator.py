"""Makes a script from a seed: always the same one.

A script keeps to what RabbitMQ itself answers the same way every time. Not in it, with the reason:

- consumers of two queues on one channel: which delivery comes first, and so its tag, is a race;
- the end of a connection with two channels that hold messages: what one gives back may still go to the other;
- consumers of a quorum queue without acks but with a prefetch count: RabbitMQ settles for them, some time later;
- reject-publish of a quorum queue: what is under way when it is full, and whom it tells so, are races;
- quorum queues with a TTL of 0 and a limit: what comes within one millisecond has not expired, and is too much;
- dead letters from two queues to the same, and those of several messages at once beside these messages: a race;
- dead letters to a quorum queue that the message itself may reach at the same time: a race;
- what a transaction gives back where there are quorum queues: what it publishes to one may come before or after that;
- an expiry that is neither at once nor far away, but with a pause after it;
- a queue that is declared anew with another type, or while messages of the old one are held: channels and queues of
  RabbitMQ crash on it;
- x-consistent-hash, x-random: what they choose is not decided; x-delayed-message: a plugin the recorded one has not;
- dead letters from a queue of priorities to itself: several of them and what comes next are a race;
- what differs on purpose (docs/compatibility.md): tx together with queues that refuse publishes or are deleted, dead
  letters from one quorum queue to another or with BCC keys, basic.get or tx before a limit of the whole channel,
  replies to direct reply-to, a header twice, properties that streams of RabbitMQ change, an expiry ahead of other
  messages, as queues of priorities make it, a tag that is taken up again on a quorum queue with one active consumer, or
  with several consumers, and priorities of consumers on one with one active consumer, or where messages are large.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conformance.fuzz import http_steps, vocabulary
from conformance.fuzz.step import Script, Step
from conformance.fuzz.tags import MIDDLE, NEWEST, OLDEST, SETTLED, UNKNOWN

MISTAKE = 0.06
"""How many of the operations are mistakes on purpose."""

FEATURES = {
    "quorum": 0.3,
    "tx": 0.25,
    "confirm": 0.5,
    "reject_publish": 0.3,
    "whole_channel_limit": 0.15,
    "exclusive": 0.25,
    "auto_delete": 0.3,
    "priority": 0.35,
    "length": 0.45,
    "dead_letters": 0.55,
    "ttl": 0.4,
    "single_active": 0.15,
    "alternate": 0.25,
    "exchanges": 0.8,
    "many_connections": 0.8,
    "both_channels": 0.3,
    "reply_to": 0.15,
    "stream": 0.2,
    "large": 0.1,
}
"""How often a script has each: a script with few of them gets further into those it has."""

REPLY_TO = "amq.rabbitmq.reply-to"
LARGE = 150_000
"""More than a frame takes."""

PAUSE_MS = 150
SHORT_MS = 30


@dataclass(slots=True)
class _Queue:
    """A queue as a script means to declare it."""

    name: str
    flags: dict[str, bool]
    arguments: dict[str, Any]
    on: str

    @property
    def is_quorum(self) -> bool:
        """Return whether the type of the queue is quorum."""
        return self.arguments.get("x-queue-type") == "quorum"

    @property
    def is_stream(self) -> bool:
        """Return whether the queue is a stream."""
        return self.arguments.get("x-queue-type") == "stream"

    @property
    def has_one_active(self) -> bool:
        """Return whether RabbitMQ may lose a consumer whose tag another one uses, or that another one replaces."""
        return self.is_quorum and bool(self.arguments.get("x-single-active-consumer"))


@dataclass(slots=True)
class _Exchange:
    """An exchange as a script means to declare it."""

    name: str
    kind: str
    flags: dict[str, bool]
    arguments: dict[str, Any]


@dataclass(slots=True)
class _Channel:
    """The expected state of one of the script's channels: its mode, the queue it consumes, its consumer tags."""

    on: str
    mode: str = ""
    consumes: str = ""
    consumers: list[str] = field(default_factory=list)
    has_qos: bool = False


class Generator:
    """One script in the making."""

    def __init__(self, seed: int, http: bool = True) -> None:
        """http: true if the brokers have a management API."""
        self.random = random.Random(seed)
        self._prefix = f"f{seed}."
        self.steps: list[Step] = []
        self._bodies = 0
        self.has = {name for name, share in (FEATURES | http_steps.FEATURES).items() if self.random.random() < share}
        if "tx" in self.has:
            self.has -= {"reject_publish", "exclusive", "auto_delete", "whole_channel_limit"}
            self.has -= {"length", "ttl"} if "dead_letters" in self.has else set()
        if "stream" in self.has:
            # Answers come after deliveries of streams; expired letters of streams keep their expiration.
            self.has -= {"tx", "whole_channel_limit", "ttl", "http"}
        if not http or "http" not in self.has:
            self.has -= http_steps.FEATURES.keys()
        self._http = http_steps.HttpSteps(self)
        self._channels = [_Channel(on) for on in self._places()]
        self._streams = {"q2"} if "stream" in self.has else set()
        self._quorum = {f"q{at}" for at in range(1, 5) if "quorum" in self.has and self._may(0.5)}
        self._letters_by_exchange = self._may(0.4)
        self._exchange_names = [self.name(short) for short in ("x1", "x1", "x2", "x3", "x9")]
        self.exchanges = [self._plan_exchange(f"x{at}") for at in range(1, self.random.randint(1, 3) + 1)]
        self.queues = [self._plan_queue(f"q{at}") for at in range(1, self.random.randint(2, 4) + 1)]
        self._operations = self._weighted()
        #: Quorum queues on which a tag was taken up again, and that have no further consumers therefore.
        self._taken_up: set[str] = set()

    def script(self) -> Script:
        """The script: what it declares first, then operations at random."""
        self._http.begin()
        for exchange in self.exchanges:
            self.declare_exchange(exchange)
        for queue in self.queues:
            self._declare_queue(queue)
        for channel in self._channels:
            self._mode(channel)
        for _ in range(self.random.randint(1, 6)):
            self._bind()
        operations, weights = zip(*self._operations, strict=True)
        for _ in range(self.random.randint(10, 50)):
            self.random.choices(operations, weights)[0]()
        return tuple(self.steps)

    # chances

    def _may(self, share: float) -> bool:
        return self.random.random() < share

    def _mistake(self) -> bool:
        return self._may(MISTAKE)

    def _add(self, on: str, verb: str, *, times: int = 1, pause_ms: int = 0, **arguments: Any) -> None:
        self.steps.append(Step(on, verb, {k: v for k, v in arguments.items() if v is not None}, times, pause_ms))

    def _any_channel(self) -> _Channel:
        return self.random.choice(self._channels)

    def _consuming_channel(self) -> _Channel:
        return self.random.choice([channel for channel in self._channels if self._may_hold(channel)])

    def _may_hold(self, channel: _Channel) -> bool:
        """Return whether the channel consumes: one of each connection, or all if no connection ends meanwhile."""
        return "both_channels" in self.has or channel.on.endswith("/1")

    def _fatal(self, share: float) -> bool:
        """Return whether to make an operation that closes a connection."""
        return "both_channels" not in self.has and self._may(share)

    def _settling_channel(self) -> _Channel:
        return self._any_channel() if self._mistake() else self._consuming_channel()

    def _places(self) -> list[str]:
        places = ["c1/1", "c1/2"]
        if "many_connections" in self.has:
            places += ["c2/1", "c3/1", "c2/2"][: self.random.randint(1, 3)]
        if "http_user" in self.has:
            places.append(f"{self._http.user}/1")
        return places

    def _weighted(self) -> list[tuple[Callable[[], None], float]]:
        rng = self.random
        has = self.has
        every: list[tuple[Callable[[], None], float]] = [
            (self._publish, 30),
            (self._burst, 4),
            (self._get, 0 if "whole_channel_limit" in has else 8),
            (self._consume, 9),
            (self._cancel, 3),
            (self._ack, 12),
            (self._nack, 8),
            (self._reject, 5),
            (self._recover, 2),
            (self._qos, 3),
            (self._bind, 4),
            (self._unbind, 2),
            (self._bind_exchange, 2),
            (self._redeclare, 3),
            (self._purge, 1),
            (self._delete_queue, 1.5),
            (self._delete_exchange, 1),
            (self._close_channel, 1.5),
            (self._close_connection, 0.8),
            (self._settle_transaction, 8 if "tx" in has else 0.2),
            (self._select, 0.7),
            (self._oddity, 0.7),
            (self._await_replies, 1 if "reply_to" in has else 0),
        ]
        every += self._http.operations()
        return [(operation, weight * rng.choice((0.3, 1, 1, 2))) for operation, weight in every]

    # plans

    def _plan_exchange(self, short: str) -> _Exchange:
        rng = self.random
        flags = {"durable": self._may(0.5)}
        if self._may(0.1):
            flags["internal"] = True
        if "auto_delete" in self.has and self._may(0.2):
            flags["auto_delete"] = True
        arguments: dict[str, Any] = {}
        if "alternate" in self.has and self._may(0.5):
            arguments["alternate-exchange"] = self.name(rng.choice(("x1", "x2", "x3", "x9")))
        return _Exchange(self.name(short), rng.choice(vocabulary.KINDS), flags, arguments)

    def name(self, short: str) -> str:
        return self._prefix + short

    def _plan_queue(self, short: str) -> _Queue:
        rng = self.random
        has = self.has
        if short in self._streams:
            arguments = vocabulary.stream_arguments(rng)
            return _Queue(self.name(short), {"durable": True}, arguments, self._any_channel().on)
        quorum = short in self._quorum
        flags = {"durable": True} if quorum else {"durable": self._may(0.5)}
        arguments = {"x-queue-type": "quorum"} if quorum else {}
        if not quorum and self._may(0.1):
            arguments["x-queue-type"] = "classic"
        if not quorum and "exclusive" in has and self._may(0.3):
            flags["exclusive"] = True
        if not quorum and "auto_delete" in has and self._may(0.3):
            flags["auto_delete"] = True
        if not quorum and "priority" in has and self._may(0.6):
            arguments["x-max-priority"] = vocabulary.integer(rng, rng.choice((0, 1, 2, 5, 10)))
        if "length" in has and self._may(0.6):
            arguments |= self._length(quorum)
        if "ttl" in has and self._may(0.4):
            arguments["x-message-ttl"] = vocabulary.integer(rng, rng.choice((0, vocabulary.LONG_MS)))
            if "priority" in has or (quorum and {"x-max-length", "x-max-length-bytes"} & arguments.keys()):
                arguments["x-message-ttl"] = vocabulary.LONG_MS
        if "dead_letters" in has and self._may(0.6):
            arguments |= self._dead_letters(short, quorum)
        if "single_active" in has and self._may(0.5):
            arguments["x-single-active-consumer"] = True
        if quorum and self._may(0.4):
            arguments["x-delivery-limit"] = rng.choice((-1, 0, 1, 2, 5))
        if self._may(0.1):
            arguments["x-expires"] = vocabulary.LONG_MS
        if self._may(0.05):
            arguments["x-anything"] = "goes"
        if not quorum and self._may(0.1):
            arguments |= rng.choice(({"x-queue-version": 1}, {"x-queue-version": 2}, {"x-queue-mode": "lazy"}))
        return _Queue(self.name(short), flags, arguments, self._any_channel().on)

    def _length(self, quorum: bool) -> dict[str, Any]:
        rng = self.random
        arguments: dict[str, Any] = {}
        if self._may(0.8):
            arguments["x-max-length"] = vocabulary.integer(rng, rng.choice((0, 1, 2, 3, 5)))
        else:
            arguments["x-max-length-bytes"] = vocabulary.integer(rng, rng.choice((0, 3, 10, 30)))
        overflow = rng.choice(("drop-head", "reject-publish", "reject-publish", "reject-publish-dlx"))
        # A quorum queue tells publishers that it is full when it is, and takes what is under way: a race.
        if self._may(0.7) and (overflow == "drop-head" or ("reject_publish" in self.has and not quorum)):
            arguments["x-overflow"] = overflow
        return arguments

    def _dead_letters(self, short: str, quorum: bool) -> dict[str, Any]:
        """Queues have different targets, and those of quorum queues are never quorum queues: see above."""
        rng = self.random
        target = "qd" + short[1:]
        if quorum or ("quorum" in self.has and self.has & {"length", "ttl"}):
            pass
        elif not self._letters_by_exchange:
            target = rng.choice((target, f"q{int(short[1:]) % 4 + 1}", f"q{int(short[1:]) % 4 + 1}", "q9"))
        elif short == "q1" and "priority" not in self.has:
            arguments: dict[str, Any] = {"x-dead-letter-exchange": rng.choice((*self._exchange_names, ""))}
            if self._may(0.4):
                arguments["x-dead-letter-routing-key"] = rng.choice(vocabulary.ROUTING_KEYS)
            return arguments
        return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.name(target)}

    # declaring

    def declare_exchange(self, exchange: _Exchange, kind: str | None = None) -> None:
        flags = {name: True for name, on in exchange.flags.items() if on}
        self._add(
            self._any_channel().on,
            "exchange",
            name=exchange.name,
            kind=kind or exchange.kind,
            arguments=exchange.arguments or None,
            **flags,
        )

    def _declare_queue(self, queue: _Queue, changes: dict[str, bool] | None = None) -> None:
        flags = {name: True for name, on in (queue.flags | (changes or {})).items() if on}
        dead = queue.arguments.get("x-dead-letter-routing-key")
        if dead and dead.startswith(self.name("qd")):
            self._add(queue.on, "queue", name=dead)
        self._add(queue.on, "queue", name=queue.name, arguments=queue.arguments or None, **flags)

    def declare_again(self, queue: _Queue) -> None:
        """Declare and bind a queue that was deleted."""
        self._declare_queue(queue)
        self._bind(queue)

    def _redeclare(self) -> None:
        rng = self.random
        queue = rng.choice(self.queues)
        choice = rng.random()
        if queue.flags.get("auto_delete"):
            self.ack_all()
        if choice < 0.3:
            self._declare_queue(queue)
        elif choice < 0.45:
            self._add(self._any_channel().on, "queue", name=queue.name, passive=True)
        elif choice < 0.55:
            self._declare_queue(queue, changes={rng.choice(("durable", "auto_delete", "exclusive")): self._may(0.5)})
        elif choice < 0.65:
            self._declare_queue(self._plan_queue(queue.name.removeprefix(self._prefix)))
        elif choice < 0.7:
            arguments = queue.arguments | vocabulary.wrong_queue_arguments(rng)
            self._declare_queue(_Queue(queue.name, queue.flags, arguments, queue.on))
        elif choice < 0.75:
            flags = {name: True for name, on in queue.flags.items() if on}
            self._add(queue.on, "queue", name=queue.name, arguments=queue.arguments or None, nowait=True, **flags)
        elif choice < 0.8:
            self._add(self._any_channel().on, "queue", name="", exclusive=True)
        else:
            exchange = rng.choice(self.exchanges)
            if self._may(0.7):
                self.declare_exchange(exchange)
            elif self._may(0.5):
                self.declare_exchange(exchange, kind=rng.choice(vocabulary.KINDS))
            elif self._may(0.5):
                flag = rng.choice(("durable", "auto_delete", "internal"))
                other = exchange.flags | {flag: not exchange.flags.get(flag)}
                self.declare_exchange(_Exchange(exchange.name, exchange.kind, other, exchange.arguments))
            elif self._may(0.5):
                arguments = {"alternate-exchange": rng.choice((self.name("x3"), 1)), "x-any": "thing"}
                self.declare_exchange(_Exchange(exchange.name, exchange.kind, exchange.flags, arguments))
            else:
                self._add(self._any_channel().on, "exchange", name=exchange.name, passive=True)

    def _purge(self) -> None:
        queue = self._queue_or_last()
        if not self._refuses_removal(queue):
            self._add(self._any_channel().on, "purge", queue=queue, nowait=self._nowait())

    def _refuses_removal(self, queue: str) -> bool:
        """Return whether to leave out an operation on the queue, which would close the connection."""
        may_be = not queue or any(one.name == queue and one.is_stream for one in self.queues)
        return bool(self._streams) and may_be and not self._fatal(0.1)

    def _nowait(self) -> bool | None:
        return True if self._may(0.05) else None

    def _queue_or_last(self) -> str:
        """A queue by its name, or now and then the one that the channel declared last."""
        return "" if self._may(0.03) else self.target_queue()

    def _delete_queue(self) -> None:
        flags = {name: True for name in ("if_unused", "if_empty") if self._may(0.3)}
        queue = self.random.choice(self.queues)
        if queue.is_quorum:
            flags = {}
        if "tx" in self.has:
            return
        self._add(self._any_channel().on, "delete", queue=queue.name, nowait=self._nowait(), **flags)
        if self._may(0.6):
            self.ack_all()
            if self._may(0.5):
                self.queues[self.queues.index(queue)] = queue = self._plan_queue(queue.name.removeprefix(self._prefix))
            self._declare_queue(queue)
            self._bind(queue)

    def _delete_exchange(self) -> None:
        exchange = self.random.choice(self.exchanges)
        self._add(
            self._any_channel().on,
            "exchange_delete",
            name=exchange.name,
            if_unused=True if self._may(0.4) else None,
            nowait=self._nowait(),
        )
        if self._may(0.7):
            self.declare_exchange(exchange)

    # binding

    def target_queue(self) -> str:
        if self._mistake():
            return self.name("q9")
        return self.random.choice(self.queues).name

    def binding(self, exchange: _Exchange) -> dict[str, Any]:
        rng = self.random
        if exchange.kind == "headers":
            return {"key": rng.choice(("", "a")), "arguments": vocabulary.headers_match(rng) or None}
        return {"key": rng.choice(vocabulary.PATTERNS if exchange.kind == "topic" else vocabulary.ROUTING_KEYS)}

    def _bind(self, queue: _Queue | None = None) -> None:
        rng = self.random
        name = queue.name if queue else self.target_queue()
        if self._may(0.1):
            where = rng.choice(("amq.direct", "amq.topic"))
            self._add(self._any_channel().on, "bind", queue=name, exchange=where, key=self._prefix + "a")
            return
        exchange = rng.choice(self.exchanges)
        where = self.name("x9") if self._may(0.02) else exchange.name
        binding = self.binding(exchange)
        if exchange.kind == "headers" and self._mistake():
            binding["arguments"] = vocabulary.wrong_headers_match(rng)
        self._add(self._any_channel().on, "bind", queue=name, exchange=where, nowait=self._nowait(), **binding)

    def _unbind(self) -> None:
        made = [step for step in self.steps if step.verb == "bind"]
        if made and self._may(0.8):
            again = {name: one for name, one in self.random.choice(made).arguments.items() if name != "nowait"}
            self._add(self._any_channel().on, "unbind", **again)
        else:
            exchange = self.random.choice(self.exchanges)
            name = self.target_queue()
            self._add(self._any_channel().on, "unbind", queue=name, exchange=exchange.name, **self.binding(exchange))

    def _bind_exchange(self) -> None:
        rng = self.random
        source, destination = rng.choice(self.exchanges), rng.choice(self.exchanges)
        verb = "exchange_bind" if self._may(0.75) else "exchange_unbind"
        self._add(
            self._any_channel().on,
            verb,
            destination=destination.name,
            source=source.name,
            nowait=self._nowait() if verb == "exchange_bind" else None,
            **self.binding(source),
        )

    # publishing

    def body(self) -> str:
        self._bodies += 1
        if self._may(0.04):
            return ""
        if "large" in self.has and self._may(0.1):
            return f"m{self._bodies}" + "." * LARGE
        return f"m{self._bodies}" + ("." * self.random.choice((8, 300)) if self._may(0.05) else "")

    def address(self) -> tuple[str, str]:
        rng = self.random
        if "exchanges" in self.has and self._may(0.55):
            if self._may(0.08):
                return rng.choice(("amq.direct", "amq.topic")), self._prefix + "a"
            if self._mistake() and self._may(0.3):
                return self.name("x9"), "a"
            return rng.choice(self.exchanges).name, rng.choice(vocabulary.ROUTING_KEYS)
        return "", self.target_queue()

    def _properties(self) -> dict[str, Any]:
        found = vocabulary.properties(self.random)
        return vocabulary.for_streams(found) if self._streams else found

    def _publish(self) -> None:
        rng = self.random
        exchange, key = self.address()
        properties = self._properties()
        pause_ms = 0
        if self._may(0.06):
            kinds = ("CC",) if "dead_letters" in self.has else ("CC", "BCC")
            copies = [self.target_queue() for _ in range(rng.randint(0, 2))] + [rng.choice(vocabulary.ROUTING_KEYS)]
            properties["headers"] = properties.get("headers", {}) | {rng.choice(kinds): copies}
        if "ttl" in self.has and self._may(0.3):
            expiration = rng.choice((0, 0, SHORT_MS, vocabulary.LONG_MS))
            if "priority" in self.has:
                expiration = vocabulary.LONG_MS
            properties["expiration"] = str(expiration)
            pause_ms = PAUSE_MS if expiration == SHORT_MS else 0
        if self._mistake() and self._may(0.5):
            properties |= vocabulary.wrong_properties(rng)
        self._add(
            self._any_channel().on,
            "publish",
            pause_ms=pause_ms,
            exchange=exchange,
            key=key,
            body=self.body(),
            mandatory=True if self._may(0.3) else None,
            immediate=True if self._fatal(0.004) else None,
            **properties,
        )

    def _await_replies(self) -> None:
        """A consumer of direct replies, which nobody sends, or a request for one."""
        channel = self._any_channel()
        if self._may(0.5):
            self._add(channel.on, "consume", queue=REPLY_TO, tag="", no_ack=True if self._may(0.9) else None)
            return
        exchange, key = self.address()
        self._add(channel.on, "publish", exchange=exchange, key=key, body=self.body(), reply_to=REPLY_TO)

    def _burst(self) -> None:
        exchange, key = ("", self.target_queue()) if "dead_letters" in self.has else self.address()
        properties = self._properties()
        self._add(
            self._any_channel().on,
            "publish",
            times=self.random.randint(2, 8),
            exchange=exchange,
            key=key,
            body=self.body() or "b",
            mandatory=True if self._may(0.2) else None,
            **properties,
        )

    # consuming

    def _get(self) -> None:
        queue = self._queue_or_last()
        if self._refuses_removal(queue):
            return
        self._add(self._consuming_channel().on, "get", queue=queue, no_ack=True if self._may(0.3) else None)

    def _consume(self) -> None:
        rng = self.random
        channel = self._consuming_channel()
        queue = channel.consumes if channel.consumers else self.target_queue()
        plan = next((one for one in self.queues if one.name == queue), None)
        if plan is not None and plan.is_quorum and "whole_channel_limit" in self.has and not self._fatal(0.1):
            return
        if len(channel.consumers) > 2 or queue in self._taken_up:
            return
        if plan is not None and plan.is_stream and channel.consumers:
            # Which of two readers gets a message first is a race in RabbitMQ.
            return
        free = [tag for tag in ("t1", "t2", "t3", "t4") if tag not in channel.consumers]
        used = channel.consumers if self._may_take_up(queue) else []
        tag = rng.choice(used) if used and self._fatal(MISTAKE) else rng.choice(free)
        if tag in used and plan is not None and plan.is_quorum:
            self._taken_up.add(queue)
        if plan is not None and plan.is_stream:
            self._read(channel, queue, tag)
            return
        self._add(
            channel.on,
            "consume",
            queue=queue,
            tag="" if self._may(0.1) else tag,
            no_ack=True if self._may(0.25) and not (channel.has_qos and plan is not None and plan.is_quorum) else None,
            exclusive=True if self._may(0.08) else None,
            nowait=True if self._may(0.04) else None,
            arguments=None if plan is not None and plan.has_one_active else self._consumer_arguments(),
        )
        channel.consumes = queue
        channel.consumers.append(tag)

    def _read(self, channel: _Channel, queue: str, tag: str) -> None:
        """Read a stream, mostly with a prefetch, without which it is refused."""
        if not self._mistake():
            self._add(channel.on, "qos", count=self.random.choice((1, 2, 5, 50)))
            channel.has_qos = True
        self._add(
            channel.on,
            "consume",
            queue=queue,
            tag=tag,
            exclusive=True if self._may(0.08) else None,
            arguments=vocabulary.stream_consumer_arguments(self.random) or None,
        )
        channel.consumes = queue
        channel.consumers.append(tag)

    def _consumer_arguments(self) -> dict[str, Any] | None:
        if self._may(0.2) and "large" not in self.has:
            return {"x-priority": vocabulary.integer(self.random, self.random.choice((-1, 1, 5)))}
        return {"x-priority": self.random.choice(("high", 1.5, True, None))} if self._may(0.01) else None

    def _cancel(self) -> None:
        channel = self._any_channel()
        if channel.consumers and not self._mistake():
            tag = self.random.choice(channel.consumers)
        else:
            tag = "t9"
        self._add(channel.on, "cancel", tag=tag, nowait=self._nowait())
        if not self._may_take_up(channel.consumes):
            return
        if tag in channel.consumers and "whole_channel_limit" not in self.has and self._may(0.4):
            # The tag is free again, and a consumer of that name may hold messages of its first life.
            plan = next((one for one in self.queues if one.name == channel.consumes), None)
            if plan is not None and plan.is_stream:
                self._read(channel, channel.consumes, tag)
                return
            self._add(channel.on, "consume", queue=channel.consumes, tag=tag, arguments=self._consumer_arguments())
            self._taken_up |= {one.name for one in self.queues if one.is_quorum and one.name == channel.consumes}
        # One without a tag of its own goes on: the channel keeps to its queue until it is closed.

    def _may_take_up(self, queue: str) -> bool:
        """Return whether a tag may be reused, which changes the order of several consumers on a quorum queue."""
        plan = next((one for one in self.queues if one.name == queue), None)
        if plan is None or not plan.is_quorum:
            return True
        several = sum(len(one.consumers) for one in self._channels if one.consumes == queue) > 1
        return not several and not plan.has_one_active

    def _which(self) -> str:
        if self._mistake() and self._may(0.4):
            return self.random.choice((UNKNOWN, SETTLED))
        return self.random.choice((OLDEST, OLDEST, MIDDLE, NEWEST))

    def _ack(self) -> None:
        multiple = True if self._may(0.25) else None
        tag: str | int = 0 if multiple and self._may(0.2) else self._which()
        self._add(self._settling_channel().on, "ack", tag=tag, multiple=multiple)

    def ack_all(self) -> None:
        """No channel holds messages of a queue that may be gone and is declared anew."""
        for channel in self._channels:
            if self._may_hold(channel):
                self._add(channel.on, "ack", tag=0, multiple=True)

    def _nack(self) -> None:
        multiple = True if self._may(0.25) else None
        tag: str | int = 0 if multiple and self._may(0.2) else self._which()
        self._add(self._settling_channel().on, "nack", tag=tag, multiple=multiple, requeue=self._gives_back(0.55))

    def _reject(self) -> None:
        self._add(self._settling_channel().on, "reject", tag=self._which(), requeue=self._gives_back(0.5))

    def _gives_back(self, share: float) -> bool:
        return self._may(share) and not (self._quorum and any(step.verb == "tx" for step in self.steps))

    def _recover(self) -> None:
        verb = "recover" if self._may(0.8) else "recover_async"
        self._add(self._any_channel().on, verb, requeue=False if self._fatal(0.03) else None)

    def _qos(self) -> None:
        channel = self._any_channel()
        whole = "whole_channel_limit" in self.has and self._may(0.5)
        self._add(
            channel.on,
            "qos",
            count=self.random.choice((0, 1, 1, 2, 3, 10)),
            whole_channel=True if whole else None,
            size=1 if self._fatal(0.02) else None,
        )
        channel.has_qos = True

    # the channel

    def _mode(self, channel: _Channel) -> None:
        if "confirm" in self.has and self._may(0.6):
            channel.mode = "confirm"
        elif "tx" in self.has and self._may(0.6):
            channel.mode = "tx"
        if channel.mode:
            self._add(channel.on, channel.mode)

    def _select(self) -> None:
        """The mode again, or the other one."""
        channel = self._any_channel()
        if "reject_publish" in self.has:
            self._add(channel.on, "confirm")
        else:
            self._add(channel.on, self.random.choice(("confirm", "tx", channel.mode or "confirm")))

    def _settle_transaction(self) -> None:
        transactional = [channel for channel in self._channels if channel.mode == "tx"]
        channel = self.random.choice(transactional or self._channels)
        # Messages that the transaction publishes may expire after a short while, counted from now.
        pause_ms = PAUSE_MS if "ttl" in self.has else 0
        self._add(channel.on, "commit" if self._may(0.7) else "rollback", pause_ms=pause_ms)

    def _restart(self, channel: _Channel) -> None:
        channel.consumers.clear()
        channel.consumes = ""
        channel.has_qos = False
        if channel.mode:
            self._add(channel.on, channel.mode)

    def _close_channel(self) -> None:
        channel = self._any_channel()
        self._add(channel.on, "close")
        self._restart(channel)

    def _close_connection(self) -> None:
        if "both_channels" in self.has:
            return
        label = self.random.choice(self._channels).on.partition("/")[0]
        self._add(label, self.random.choice(("close_connection", "drop_connection")))
        for channel in self._channels:
            if channel.on.startswith(f"{label}/"):
                self._restart(channel)

    def close_channels_of(self, label: str) -> None:
        """Close the channels of a connection, since RabbitMQ's channels cache permissions."""
        for channel in self._channels:
            if channel.on.startswith(f"{label}/"):
                self._add(channel.on, "close")
                self._restart(channel)

    def restart_channels_of(self, label: str) -> None:
        """Set up the channels of a connection again after the broker has closed it."""
        for channel in self._channels:
            if channel.on.startswith(f"{label}/"):
                self._restart(channel)

    def _oddity(self) -> None:
        """Make an operation that clients hardly ever make."""
        rng = self.random
        on = self._any_channel().on
        queue = rng.choice(self.queues).name
        oddities: tuple[tuple[str, dict[str, Any]], ...] = (
            ("flow", {"active": True}),
            ("flow", {"active": "both_channels" in self.has}),
            ("queue", {"name": "amq.mine"}),
            ("queue", {"name": self.name("q9"), "passive": True}),
            ("exchange", {"name": "amq.mine"}),
            ("exchange", {"name": self.name("x9"), "passive": True}),
            ("exchange", {"name": self.name("x8"), "kind": "x-no-such-kind"}),
            ("exchange", {"name": ""}),
            ("exchange_delete", {"name": "amq.direct"}),
            ("exchange_delete", {"name": ""}),
            ("exchange_delete", {"name": self.name("x9")}),
            ("bind", {"queue": queue, "exchange": "", "key": "a"}),
            ("unbind", {"queue": queue, "exchange": "", "key": "a"}),
            ("bind", {"queue": "", "exchange": "amq.direct", "key": ""}),
            ("delete", {"queue": self.name("q9")}),
            ("purge", {"queue": ""}),
            ("ack", {"tag": 0}),
        )
        verb, arguments = rng.choice(oddities)
        self._add(on, verb, **arguments)


def generate(seed: int, http: bool = True) -> Script:
    """Return the script of this seed, with or without requests to the management API."""
    return Generator(seed, http).script()
