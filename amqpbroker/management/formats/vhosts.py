"""Vhosts and their policies as the API and definitions write them (rabbit_vhost.erl)."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.events.protocols import VhostLike
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.config import Config
from amqpbroker.management import failure
from amqpbroker.management.formats.users import parsed_tags


class DefinedVhost(VhostLike, Protocol):
    """Definition of a vhost, which another broker may serve.

    default_queue_type: of queues that are declared without a type; empty for that of the configuration.
    """

    @property
    def protected(self) -> bool: ...


class Described(NamedTuple):
    """Settings of a vhost in a request. default_queue_type and protected: None if not given."""

    description: str
    tags: tuple[str, ...]
    default_queue_type: str | None
    protected: bool | None


def described_vhost(vhost: DefinedVhost, config: Config) -> dict[str, Any]:
    """As in definitions."""
    queue_type = vhost.default_queue_type or config.default_queue_type
    metadata: dict[str, Any] = {
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": queue_type,
    }
    if vhost.protected:
        metadata["protected_from_deletion"] = True
    return {
        "name": vhost.name,
        "description": vhost.description,
        "metadata": metadata,
        "tags": list(vhost.tags),
        "default_queue_type": queue_type,
    }


def description(body: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Described:
    """From a body and, for what is not in there, its metadata. Raises ApiError 400."""
    said = {**(metadata or {}), **body}
    queue_type = _said(said, "default_queue_type", str, "a string")
    tags = said.get("tags")
    return Described(
        _said(said, "description", str, "a string") or "",
        () if tags is None else parsed_tags(tags),
        None if queue_type in ("", "undefined") else queue_type,
        _said(said, "protected_from_deletion", bool, "true or false"),
    )


def _said(said: Mapping[str, Any], key: str, kind: type, wanted: str) -> Any:
    """Return the value of `key`, None if it is missing or null. Raises ApiError 400."""
    value = said.get(key)
    if not isinstance(value, kind | None):
        raise failure.bad_request(f"{key} is to be {wanted}, not {failure.shown(value)}")
    return value


def put_vhost(broker: Broker, name: str, described: Described, maker: str | None) -> bool:
    """Create or change a vhost; return whether it was created. The user who creates a vhost has all permissions there.

    Raises ValueError, AmqpError 506.
    """
    created = name not in broker.defined_vhosts
    if created:
        known_maker = maker if maker is not None and broker.users.has(maker) else None
        broker.add_vhost(name, *described[:3], bool(described.protected), known_maker)
    else:
        broker.update_vhost(name, *described)
    return created


def shown_policy(policy: Policy) -> dict[str, Any]:
    return {
        "vhost": policy.vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": policy.definition,
        "priority": policy.priority,
    }
