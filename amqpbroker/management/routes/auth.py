"""Password hashes, attempts to log in, and the settings in force."""

from typing import Any
from urllib.parse import urlsplit

from amqpbroker.broker.users.passwords import encode_hash, hash_password
from amqpbroker.broker.users.users import is_loopback
from amqpbroker.config.identity import OWN_NAME
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource

#: RabbitMQ's default user and its password.
GUEST = "guest"


def login_methods(call: Call) -> dict[str, Any]:
    """Describe how to log in: without OAuth. On this machine, name the default user if its password is the default."""
    methods: dict[str, Any] = {"oauth_enabled": False}
    if _is_on_this_machine(call) and _guest_may_log_in(call):
        methods[OWN_NAME] = {"default_login": {"username": GUEST, "password": GUEST}}
    return methods


def _is_on_this_machine(call: Call) -> bool:
    """Return whether the client is on this machine. A proxy on this machine passes on the name of another host."""
    host = urlsplit(f"//{call.request.headers.get('host', '')}").hostname or ""
    return is_loopback(call.host) and (host == "localhost" or is_loopback(host))


def _guest_may_log_in(call: Call) -> bool:
    users, logins = call.broker.users, call.broker.logins
    # With another backend the broker's own users may not be able to log in.
    if not logins.answers_at_once or not users.may_log_in_from(GUEST, call.host):
        return False
    user = users.authenticate(GUEST, GUEST.encode())
    return user is not None and bool(user.tags)


def hashed(call: Call) -> dict[str, str]:
    return {"ok": encode_hash(hash_password(call.path["password"]))}


def _check_node(call: Call) -> None:
    if not call.node.is_named(call.path["node"]):
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
    Resource("/auth", Access.ANYBODY, get=login_methods),
    Resource("/auth/hash_password/{password}", Access.ADMIN, get=hashed),
    Resource("/auth/attempts/{node}", Access.MONITOR, get=attempts, delete=reset_attempts),
    Resource(
        "/auth/attempts/{node}/source",
        Access.MONITOR,
        get=attempts_by_source,
        delete=reset_attempts_by_source,
    ),
    Resource("/config/effective", Access.ADMIN, get=settings),
)
