"""Runs a script on one broker, one step after the other, and tells what came of each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.channel import NOWAIT, Channel
from conformance.client import Connection, Timing, pump_all
from conformance.decoder import Event
from conformance.errors import CaseStoppedError, MalformedFrameError, SetupError
from conformance.fuzz.http_answers import HttpAnswers
from conformance.fuzz.http_steps import PASSWORD
from conformance.fuzz.step import CONNECTION_VERBS, HTTP, Outcome, Script, Step
from conformance.fuzz.tags import Tags
from conformance.janitor import Janitor
from conformance.target import Target
from conformance.transcript import Placeholders

CONTROL = 2000
"""The channel number on which the harness looks after a connection's exclusive queues, unrecorded."""

DROP_WITHIN_S = 2.0
SAID_WITHIN_S = 0.02
LIFECYCLE = {"channel.open-ok", "channel.close", "channel.close-ok", "connection.close", "connection.close-ok"}
CONFIRMS = ("basic.ack", "basic.nack")
SETTLING = ("ack", "nack", "reject")


@dataclass(frozen=True, slots=True)
class Pace:
    """The time at which a step's outcome is complete: after `quiet_s` without a change.

    Or, if it equals that of the other broker, after `matched_s`. Later events are part of the next outcome.
    """

    quiet_s: float
    matched_s: float = 0.0


class Player:
    """One run of one script; `play` may be called once. `frames` counts what was received and compared."""

    def __init__(self, target: Target, pace: Pace, cluster_name: str) -> None:
        self.target = target
        self.pace = pace
        self.timing = Timing()
        self.frames = 0
        self._janitor = Janitor(target, self.timing)
        self._placeholders = Placeholders(cluster_name)
        self._connections: dict[str, Connection] = {}
        self._reported: dict[str, int] = {}
        self._channels: dict[str, Channel] = {}
        self._tags: dict[str, Tags] = {}
        self._owners: dict[str, str | None] = {}
        self._gone: dict[str, str] = {}
        self._made: list[tuple[str, str]] = []
        self._streams: set[str] = set()
        self._http = HttpAnswers(target.management_url) if target.management_url is not None else None
        self._answer: dict[str, Any] = {}

    def play(self, script: Script, expected: Sequence[Outcome] | None = None) -> list[Outcome]:
        """The outcome of every step, then one of what is left in the queues when all connections are closed.

        With `expected`, the outcomes of the other broker, it ends with the first that is another.
        Raises SetupError when the broker cannot be reached.
        """
        outcomes: list[Outcome] = []
        try:
            for at, step in enumerate(script):
                wanted = expected[at] if expected is not None else None
                outcomes.append(self._step(step, wanted))
                if wanted is not None and outcomes[-1] != wanted:
                    return outcomes
            outcomes.append(self._end(expected[-1] if expected is not None else None))
        finally:
            self._clean()
        return outcomes

    # steps

    def _step(self, step: Step, expected: Outcome | None) -> Outcome:
        notes: set[str] = set()
        self._gone = {}
        self._answer = {}
        with _noted(notes):
            if not self._do(step):
                return {"notes": ["nothing to do"]}
        time.sleep(step.pause_ms / 1000)
        outcome = self._watch(lambda: self._look(notes), expected)
        self._take_note()
        return outcome

    def _do(self, step: Step) -> bool:
        """Do it; False when there is nothing that it could be done to."""
        if step.on == HTTP:
            self._ask(step)
            return True
        label, _, number = step.on.partition("/")
        if step.verb in CONNECTION_VERBS:
            connection = self._connections.get(label)
            if connection is None or not connection.is_open():
                return False
            if step.verb == "close_connection":
                connection.close()
            else:
                connection.drop()
            return True
        channel = self._channel(label, int(number))
        tags = self._tags[step.on]
        arguments = dict(step.arguments)
        if step.verb in SETTLING:
            if isinstance(arguments["tag"], str):
                arguments["tag"] = tags.meant(arguments["tag"])
            if arguments["tag"] is None:
                return False
            tags.settles(arguments["tag"], arguments.get("multiple", False))
        if step.verb in ("recover", "recover_async"):
            tags.gives_all_back()
        if step.verb == "exchange":
            self._made.append(("exchange", arguments["name"]))
        for at in range(step.times):
            if step.times > 1:
                arguments["body"] = f"{step.arguments['body']}.{at}"
            reply: Event | None = getattr(channel, step.verb)(**arguments)
            if reply is not None:
                self._learn(step.on, step.verb, arguments, reply)
        return True

    def _ask(self, step: Step) -> None:
        assert self._http is not None, "a script with requests needs the management API"
        self._answer, made = self._http.ask(step)
        # Read the broker's connection.close first: a write to a connection that is gone would discard it.
        pump_all([one for one in self._connections.values() if not one.lost], SAID_WITHIN_S)
        self.frames += 1
        self._made += made
        for kind, name in made:
            if kind == "queue":
                self._owners.setdefault(name, None)

    def _learn(self, on: str, verb: str, arguments: dict[str, Any], reply: Event) -> None:
        tags = self._tags[on]
        no_ack = arguments.get("no_ack", False)
        in_vhost = on.partition("/")[0].endswith(".v")
        if verb == "get" and reply.name == "basic.get-ok" and no_ack:
            tags.got_without_ack(reply.arguments["delivery_tag"])
        if verb == "consume" and reply.name in ("basic.consume-ok", NOWAIT) and no_ack:
            tags.consumes_without_acks(reply.arguments.get("consumer_tag") or arguments.get("tag", ""))
        declared = verb == "queue" and reply.name in ("queue.declare-ok", NOWAIT) and not arguments.get("passive")
        if declared and not in_vhost:
            name = reply.arguments.get("queue") or arguments["name"]
            owner = on.partition("/")[0] if arguments.get("exclusive") else None
            self._owners.setdefault(name, owner)
            self._made.append(("queue", name))
            if (arguments.get("arguments") or {}).get("x-queue-type") == "stream":
                self._streams.add(name)
            elif not arguments.get("nowait"):
                self._streams.discard(name)

    # connections and channels

    def _connection(self, label: str) -> Connection:
        connection = self._connections.get(label)
        if connection is None or not connection.is_open():
            try:
                connection = Connection(label, self.target.network, self.timing, lambda _: None)
            except OSError as error:
                raise SetupError(f"{self.target.host}:{self.target.port}: {error}") from error
            user, password = self.target.user, self.target.password
            if label.endswith(".u"):
                user, password = label, PASSWORD
            connection.handshake(user, password, label if label.endswith(".v") else "/")
            self._connections[label] = connection
            self._reported[label] = 0
            for on in [on for on in self._channels if on.partition("/")[0] == label]:
                del self._channels[on], self._tags[on]
        return connection

    def _channel(self, label: str, number: int) -> Channel:
        on = f"{label}/{number}"
        connection = self._connection(label)
        if on not in self._channels or not connection.is_open(number):
            self._channels[on], self._tags[on] = Channel(connection, number), Tags()
            self._channels[on].open()
        return self._channels[on]

    # outcomes

    def _watch(self, look: Callable[[], Outcome], expected: Outcome | None) -> Outcome:
        """Return the result of `look` when it no longer changes, or equals the expected one."""
        started = changed = time.monotonic()
        before: Outcome | None = None
        while True:
            seen = look()
            now = time.monotonic()
            if expected is not None and seen == expected and now - started >= self.pace.matched_s:
                return seen
            if seen != before:
                before, changed = seen, now
            elif now - changed >= self.pace.quiet_s:
                return seen
            if now - started > 0.02:
                time.sleep(0.004)

    def _look(self, notes: set[str]) -> Outcome:
        """Return the events since the last outcome, and the ready messages and consumers of every queue."""
        counts: dict[str, str] = {}
        with _noted(notes):
            self._round_trips()
            counts = self._counts()
        pump_all([one for one in self._connections.values() if not one.lost], 0)
        received: dict[str, Any] = {}
        for _, connection in sorted(self._connections.items()):
            if not connection.is_open() and not connection.lost:
                with _noted(notes):
                    connection.wait_lost(DROP_WITHIN_S)
            received |= self._received(connection)
        queues = [f"{name}: {shown}" for name, shown in (counts | self._gone).items()]
        seen = {"http": self._answer, "received": received, "queues": queues, "notes": sorted(notes)}
        outcome: Outcome = self._placeholders.apply({key: one for key, one in seen.items() if one})
        return outcome

    def _round_trips(self) -> None:
        """Wait until all methods on the open channels are handled, and their effects have arrived."""
        asked = [one for one in self._channels.values() if one.connection.is_open(one.number)]
        for channel in asked:
            channel.cast("exchange.declare", exchange="amq.direct", passive=True)
        for channel in asked:
            with contextlib.suppress(CaseStoppedError):
                reply = channel.connection.wait(channel.number, "exchange.declare-ok")
                if reply.name == "exchange.declare-ok":
                    channel.connection.events.remove(reply)

    def _counts(self) -> dict[str, str]:
        """By queue, in the order in which they were declared."""
        counts: dict[str, str] = dict.fromkeys(self._owners, "")
        by_owner: dict[str | None, list[str]] = {}
        for name, label in self._owners.items():
            owner = self._connections.get(label or "")
            by_owner.setdefault(label if owner and owner.is_open() else None, []).append(name)
        for label, names in by_owner.items():
            while names:
                names = self._count(self._control(label) if label else self._janitor.channel(), names, counts)
        for name in self._gone:
            self._owners.pop(name, None)
        return {name: shown for name, shown in counts.items() if name not in self._gone}

    def _control(self, label: str) -> Channel:
        channel = Channel(self._connections[label], CONTROL)
        events = channel.connection.events
        if not any(event.channel == CONTROL for event in events) or not channel.connection.is_open(CONTROL):
            channel.open()
        return channel

    def _count(self, control: Channel, names: list[str], counts: dict[str, str]) -> list[str]:
        """Ask for all of `names` at once; those still to be asked for because one of them closed the channel."""
        for name in names:
            control.cast("queue.declare", queue=name, passive=True)
        for at, name in enumerate(names):
            reply = control.connection.wait(control.number, "queue.declare-ok")
            if reply.name != "queue.declare-ok":
                code = reply.arguments.get("reply_code")
                if code == 404:
                    self._gone[name] = "gone"
                else:
                    counts[name] = f"error {code}"
                return names[at + 1 :]
            control.connection.events.remove(reply)
            ready, consumers = reply.arguments["message_count"], reply.arguments["consumer_count"]
            # RabbitMQ counts the messages of a stream every few seconds.
            counts[name] = "stream" if name in self._streams else f"{ready} ready, {consumers} consumers"
        return []

    def _shown(self, event: Event) -> dict[str, Any]:
        """Return the JSON form of an event, without the number of messages in a stream: see `_count`."""
        shown = event.shown()
        if event.name == "queue.declare-ok" and event.arguments["queue"] in self._streams:
            shown["message_count"] = "of a stream"
        return shown

    def _received(self, connection: Connection) -> dict[str, Any]:
        """Return the events by channel, in order.

        Returns and confirms are listed separately: their order relative to deliveries is not guaranteed. Messages that
        a channel still receives because other channels of its ending connection have returned theirs are omitted: they
        are a race.
        """
        found: dict[str, Any] = {}
        ends = not connection.is_open()
        for on, events in self._new(connection).items():
            if ends:
                events = [event for event in events if event.name != "basic.deliver"]
            if not events:
                continue
            if any(event.name in ("tx.commit-ok", "basic.recover-ok") for event in events):
                # The channel answers as soon as the queues have taken it all; deliveries overtake that or do not.
                # Deliveries of streams always overtake recover-ok in RabbitMQ.
                events = sorted(events, key=lambda event: event.name == "basic.deliver")
            others = [self._shown(event) for event in events if event.name not in (*CONFIRMS, "basic.return")]
            returns = [event.shown() for event in events if event.name == "basic.return"]
            confirms = self._tags.get(on, Tags()).confirms(event for event in events if event.name in CONFIRMS)
            parts = {"frames": others, "returns": returns, "confirms": confirms}
            found[on] = {key: value for key, value in parts.items() if value}
        return found

    def _new(self, connection: Connection) -> dict[str, list[Event]]:
        """Return the events since the last outcome, by channel."""
        found: dict[str, list[Event]] = {}
        for event in connection.events[self._reported[connection.label] :]:
            if event.channel != CONTROL:
                found.setdefault(f"{connection.label}/{event.channel}", []).append(event)
        return dict(sorted(found.items()))

    def _take_note(self) -> None:
        """Mark all received events as part of an outcome; the next one begins here."""
        for connection in self._connections.values():
            for on, events in self._new(connection).items():
                self.frames += len(events)
                if on in self._tags:
                    self._tags[on].confirmed(event for event in events if event.name in CONFIRMS)
                    for event in events:
                        self._tags[on].took(event)
            connection.events[:] = [event for event in connection.events if event.name in LIFECYCLE]
            for event in connection.events:
                event.taken = True
            self._reported[connection.label] = len(connection.events)

    # the end

    def _end(self, expected: Outcome | None) -> Outcome:
        self._close_all()
        self._gone = {}
        self._answer = {}
        wanted = {key: one for key, one in expected.items() if key != "left"} if expected is not None else None
        outcome = self._watch(lambda: self._look(set()), wanted)
        left = []
        for name in self._owners:
            found = self._janitor.left_in_stream(name) if name in self._streams else self._janitor.left_in(name)
            found.pop("consumers", None)
            left.append(found)
        messages: Outcome = self._placeholders.apply({"left": left})
        self.frames += sum(len(found.get("messages", ())) for found in left)
        return outcome | messages

    def _close_all(self) -> None:
        """Close all channels and connections, each when what the one before held has gone to the others."""
        for label, connection in self._connections.items():
            channels = [on for on in self._channels if on.partition("/")[0] == label]
            for on in sorted(channels)[:-1]:
                with contextlib.suppress(CaseStoppedError, MalformedFrameError):
                    self._channels[on].close()
                    self._see_what_becomes()
            connection.close()
            with contextlib.suppress(CaseStoppedError, MalformedFrameError):
                self._see_what_becomes()
        self._connections.clear()
        self._channels.clear()

    def _see_what_becomes(self) -> None:
        self._watch(lambda: self._look(set()), None)
        self._take_note()

    def _clean(self) -> None:
        for connection in self._connections.values():
            connection.close()
        for kind, name in dict.fromkeys(self._made):
            if kind == "queue":
                self._janitor.delete_queue(name)
            else:
                self._janitor.delete_exchange(name)
        if self._http is not None:
            self._http.undo()
        self._janitor.close()


@contextlib.contextmanager
def _noted(notes: set[str]) -> Any:
    """Include the error that stops a case in its outcome."""
    try:
        yield
    except CaseStoppedError as reason:
        notes.add(str(reason))
    except MalformedFrameError as error:
        notes.add(f"malformed frame: {error}")
