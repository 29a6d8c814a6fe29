"""Bindings (rabbit_mgmt_format:binding/1)."""

import base64
import zlib
from typing import Any, NamedTuple
from urllib.parse import quote_plus, unquote, unquote_plus

from amqpbroker.broker.exchanges.exchange import Binding, Exchange
from amqpbroker.management.formats.tables import plain
from amqpbroker.wire.values import Table, encode_table, text


class Shown(NamedTuple):
    """A binding and its vhost; also one that leads from the default exchange to a queue, which nobody made."""

    vhost: str
    source: str
    to_exchange: bool
    destination: str
    routing_key: str
    arguments: Table


def shown(vhost: str, binding: Binding) -> Shown:
    destination = binding.destination
    return Shown(
        vhost,
        binding.source.name,
        isinstance(destination, Exchange),
        destination.name,
        text(binding.routing_key),
        binding.arguments,
    )


def implied(vhost: str, queue: str) -> Shown:
    """Every queue is bound to the default exchange by its name."""
    return Shown(vhost, "", False, queue, queue, {})


def binding_row(binding: Shown) -> dict[str, Any]:
    return {
        "source": binding.source,
        "vhost": binding.vhost,
        "destination": binding.destination,
        "destination_type": "exchange" if binding.to_exchange else "queue",
        "routing_key": binding.routing_key,
        "arguments": plain(binding.arguments) if binding.arguments else {},
        "properties_key": properties_key(binding.routing_key, binding.arguments),
    }


def order(binding: Shown) -> tuple[str, str, str, str, str]:
    return (
        binding.vhost,
        binding.source,
        binding.destination,
        binding.routing_key,
        _hash(binding.arguments) if binding.arguments else "",
    )


def properties_key(routing_key: str, arguments: Table) -> str:
    """Return the part of a path that distinguishes a binding from others of the same source and destination."""
    if not arguments:
        return _quoted(routing_key) if routing_key else "~"
    return f"{_quoted(routing_key)}~{_hash(arguments)}"


def found_by(bindings: list[Shown], key: str) -> Shown | None:
    """The one with that properties_key, which clients may have put into a path as it is."""
    own = {properties_key(binding.routing_key, binding.arguments): binding for binding in bindings}
    if key in own:
        return own[key]
    for name, binding in own.items():
        if key in (unquote(name), unquote_plus(name)):
            return binding
    return None


def location(destination: str, routing_key: str, arguments: Table) -> str:
    """Return the address of a new binding, relative to the address that it was posted to."""
    return f"{quote_plus(destination)}/{quote_plus(properties_key(routing_key, arguments))}"


def _quoted(routing_key: str) -> str:
    return quote_plus(routing_key, errors="surrogateescape").replace("~", "%7E")


def _hash(arguments: Table) -> str:
    ordered = encode_table({name: arguments[name] for name in sorted(arguments)})
    return base64.urlsafe_b64encode(zlib.crc32(ordered).to_bytes(4, "big")).decode().rstrip("=")
