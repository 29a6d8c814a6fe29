"""The methods of a channel: each sends one method and, if the protocol has a reply, waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance import kinds
from conformance.client import Connection
from conformance.decoder import Event
from conformance.errors import CaseStoppedError

NOWAIT = "no reply wanted"
Arguments = Mapping[str, Any] | None


class Channel:
    """One channel number of a connection. Everything received on it is recorded in the transcript.

    Methods return the reply event, or the channel.close / connection.close that was received instead, so that a case
    can use a server-generated name; a case never checks them. kind: type of declared queues, "" for the type in the
    case.
    """

    def __init__(self, connection: Connection, number: int, kind: str = "") -> None:
        self.connection = connection
        self.number = number
        self.kind = kind
        self.queues: list[str] = []

    # the protocol

    def call(self, method: str, *replies: str, **arguments: Any) -> Event:
        """Send a method and wait for one of `replies` (default: the method's own "-ok"), unless nowait is set."""
        if not self.connection.is_open(self.number) and method != "channel.open":
            raise CaseStoppedError(f"{method} on closed channel {self.number}")
        self.connection.send_method(self.number, method, **arguments)
        if arguments.get("nowait"):
            return Event(self.number, NOWAIT)
        return self.connection.wait(self.number, *(replies or (method + "-ok",)))

    def cast(self, method: str, **arguments: Any) -> None:
        """Send a method that has no reply."""
        self.connection.send_method(self.number, method, **arguments)

    def wait(self, method: str, count: int = 1) -> list[Event]:
        """Wait until `count` further events of this method, or an error, are received."""
        events = []
        for _ in range(count):
            event = self.connection.wait(self.number, method)
            events.append(event)
            if event.name != method:
                break
        return events

    def deliveries(self, count: int = 1) -> list[Event]:
        """Wait for `count` further deliveries."""
        return self.wait("basic.deliver", count)

    def closed(self) -> Event:
        """Wait until the broker closes the channel or the connection."""
        return self.connection.wait(self.number, "channel.close")

    def sync(self) -> None:
        """Make a round trip without effect and without a transcript; everything sent before has then been handled."""
        event = self.call("exchange.declare", "exchange.declare-ok", exchange="amq.direct", passive=True)
        if event.name == "exchange.declare-ok":
            self.connection.events.remove(event)

    # channel

    def open(self) -> Event:
        """channel.open"""
        return self.call("channel.open")

    def close(self) -> Event:
        """channel.close"""
        return self.call("channel.close", reply_code=200, reply_text="bye")

    def flow(self, active: bool) -> Event:
        """channel.flow"""
        return self.call("channel.flow", active=active)

    # exchange

    def exchange(self, name: str, kind: str = "direct", *, arguments: Arguments = None, **flags: bool) -> Event:
        """exchange.declare; flags: passive, durable, auto_delete, internal, nowait"""
        return self.call("exchange.declare", exchange=name, exchange_type=kind, arguments=arguments, **flags)

    def exchange_delete(self, name: str, **flags: bool) -> Event:
        """exchange.delete; flags: if_unused, nowait"""
        return self.call("exchange.delete", exchange=name, **flags)

    def exchange_bind(
        self, destination: str, source: str, key: str = "", *, arguments: Arguments = None, **flags: bool
    ) -> Event:
        """exchange.bind"""
        return self.call(
            "exchange.bind",
            destination=destination,
            source=source,
            routing_key=key,
            arguments=arguments,
            **flags,
        )

    def exchange_unbind(self, destination: str, source: str, key: str = "", *, arguments: Arguments = None) -> Event:
        """exchange.unbind"""
        return self.call(
            "exchange.unbind", destination=destination, source=source, routing_key=key, arguments=arguments
        )

    # queue

    def queue(self, name: str, *, arguments: Arguments = None, **flags: bool) -> Event:
        """queue.declare; flags: passive, durable, exclusive, auto_delete, nowait"""
        if self.kind and not flags.get("passive"):
            arguments, flags = kinds.declared(self.kind, name, arguments, flags)
        reply = self.call("queue.declare", queue=name, arguments=arguments, **flags)
        if not flags.get("passive") and reply.name in ("queue.declare-ok", NOWAIT):
            self.queues.append(name or reply.arguments["queue"])
        return reply

    def bind(self, queue: str, exchange: str, key: str = "", *, arguments: Arguments = None, **flags: bool) -> Event:
        """queue.bind"""
        return self.call("queue.bind", queue=queue, exchange=exchange, routing_key=key, arguments=arguments, **flags)

    def unbind(self, queue: str, exchange: str, key: str = "", *, arguments: Arguments = None) -> Event:
        """queue.unbind"""
        return self.call("queue.unbind", queue=queue, exchange=exchange, routing_key=key, arguments=arguments)

    def purge(self, queue: str, **flags: bool) -> Event:
        """queue.purge"""
        return self.call("queue.purge", queue=queue, **flags)

    def delete(self, queue: str, **flags: bool) -> Event:
        """queue.delete; flags: if_unused, if_empty, nowait"""
        return self.call("queue.delete", queue=queue, **flags)

    # basic

    def publish(
        self,
        exchange: str,
        key: str,
        body: str | bytes = "m",
        *,
        mandatory: bool = False,
        immediate: bool = False,
        **properties: Any,
    ) -> None:
        """basic.publish with its content; keywords are the properties."""
        if not self.connection.is_open(self.number):
            raise CaseStoppedError(f"basic.publish on closed channel {self.number}")
        self.cast("basic.publish", exchange=exchange, routing_key=key, mandatory=mandatory, immediate=immediate)
        data = body.encode() if isinstance(body, str) else body
        self.connection.send_content(self.number, data, properties)

    def publish_confirmed(self, exchange: str, key: str, body: str | bytes = "m", **properties: Any) -> Event:
        """basic.publish on a confirming channel, and wait for its basic.ack or basic.nack."""
        self.publish(exchange, key, body, **properties)
        return self.connection.wait(self.number, "basic.ack", "basic.nack")

    def confirm_all(self, count: int) -> None:
        """Wait until the first `count` publishes of a confirming channel are settled.

        The broker is free to combine confirms, so the acks and nacks become one line: which tags had which.
        """
        events = self.connection.events
        settled: dict[int, str] = {}
        while len(settled) < count:
            event = self.connection.wait(self.number, "basic.ack", "basic.nack")
            if event.name not in ("basic.ack", "basic.nack"):
                return
            events.remove(event)
            tag = event.arguments["delivery_tag"]
            for one in range(1 if event.arguments["multiple"] else tag, tag + 1):
                settled.setdefault(one, event.name)
        summary = {
            verb: [tag for tag in sorted(settled) if settled[tag] == verb] for verb in ("basic.ack", "basic.nack")
        }
        events.append(Event(self.number, "(confirms)", summary, taken=True))

    def consume(self, queue: str, tag: str = "", *, arguments: Arguments = None, **flags: bool) -> Event:
        """basic.consume; flags: no_local, no_ack, exclusive, nowait"""
        return self.call("basic.consume", queue=queue, consumer_tag=tag, arguments=arguments, **flags)

    def cancel(self, tag: str, **flags: bool) -> Event:
        """basic.cancel"""
        return self.call("basic.cancel", consumer_tag=tag, **flags)

    def get(self, queue: str, *, no_ack: bool = False) -> Event:
        """basic.get"""
        return self.call("basic.get", "basic.get-ok", "basic.get-empty", queue=queue, no_ack=no_ack)

    def get_all(self, queue: str, *, no_ack: bool = True, limit: int = 100) -> None:
        """basic.get until the queue is empty."""
        for _ in range(limit):
            if self.get(queue, no_ack=no_ack).name != "basic.get-ok":
                return

    def get_when_there(self, queue: str, *, no_ack: bool = False) -> Event:
        """basic.get, repeated until the queue has a message; the get-empty replies before are not recorded."""
        deadline = self.connection.network.now_s() + self.connection.timing.reply_s
        while True:
            reply = self.get(queue, no_ack=no_ack)
            if reply.name != "basic.get-empty" or self.connection.network.now_s() > deadline:
                return reply
            self.connection.events.remove(reply)
            self.connection.network.sleep(0.02)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """basic.ack"""
        self.cast("basic.ack", delivery_tag=tag, multiple=multiple)

    def nack(self, tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """basic.nack"""
        self.cast("basic.nack", delivery_tag=tag, multiple=multiple, requeue=requeue)

    def reject(self, tag: int, *, requeue: bool = True) -> None:
        """basic.reject"""
        self.cast("basic.reject", delivery_tag=tag, requeue=requeue)

    def recover(self, *, requeue: bool = True) -> Event:
        """basic.recover"""
        return self.call("basic.recover", requeue=requeue)

    def recover_async(self, *, requeue: bool = True) -> None:
        """basic.recover-async"""
        self.cast("basic.recover-async", requeue=requeue)

    def qos(self, count: int, *, size: int = 0, whole_channel: bool = False) -> Event:
        """basic.qos"""
        return self.call("basic.qos", prefetch_count=count, prefetch_size=size, global_=whole_channel)

    # confirm, tx

    def confirm(self) -> Event:
        """confirm.select"""
        return self.call("confirm.select")

    def tx(self) -> Event:
        """tx.select"""
        return self.call("tx.select")

    def commit(self) -> Event:
        """tx.commit"""
        return self.call("tx.commit")

    def rollback(self) -> Event:
        """tx.rollback"""
        return self.call("tx.rollback")
