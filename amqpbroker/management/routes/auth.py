"""Password hashes, attempts to log in, and the settings in force."""

from typing import Any

from amqpbroker.broker.users.passwords import encode_hash, hash_password
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource


def oauth(call: Call) -> dict[str, bool]:
    """How the page is to log in: there is no OAuth."""
    return {"oauth_enabled": False}


def hashed(call: Call) -> dict[str, str]:
    return {"ok": encode_hash(hash_password(call.path["password"]))}


def _check_node(call: Call) -> None:
    if call.path["node"] != call.node.name:
        raise failure.not_found()


def attempts(call: Call) -> list[dict[str, Any]]:
    _check_node(call)
    counted = call.broker.totals.auth_attempts
    return [
        {
            "protocol": protocol,
            "auth_attempts": counted.failed.get(protocol, 0) + counted.succeeded.get(protocol, 0),
            "auth_attempts_failed": counted.failed.get(protocol, 0),
            "auth_attempts_succeeded": counted.succeeded.get(protocol, 0),
        }
        for protocol in sorted({*counted.failed, *counted.succeeded})
    ]


def reset_attempts(call: Call) -> Answer:
    _check_node(call)
    call.broker.totals.auth_attempts.reset()
    return NO_CONTENT


def attempts_by_source(call: Call) -> list[Any]:
    """They are not counted so, as in RabbitMQ unless it is configured."""
    _check_node(call)
    return []


def reset_attempts_by_source(call: Call) -> Answer:
    _check_node(call)
    return NO_CONTENT


def settings(call: Call) -> dict[str, str]:
    return dict(call.node.settings)


RESOURCES = (
    Resource("/auth", Access.ANYBODY, get=oauth),
    Resource("/auth/hash_password/{password}", Access.ADMIN, get=hashed),
    Resource("/auth/attempts/{node}", Access.MONITOR, get=attempts, delete=reset_attempts),
    Resource("/auth/attempts/{node}/source", Access.MONITOR, get=attempts_by_source, delete=reset_attempts_by_source),
    Resource("/config/effective", Access.ADMIN, get=settings),
)
