"""Users, permissions, topic permissions, limits of vhosts and users, closing from outside (2.1, 2.3, 2.5)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from conformance.channel import Channel
from conformance.client import Connection
from conformance.lab import Lab
from conformance.registry import MANAGEMENT, case, family

NEEDS = (MANAGEMENT,)
NOTHING = "^$"


def member(lab: Lab, configure: str = ".*", write: str = ".*", read: str = ".*", tags: str = "") -> str:
    """A user with these permissions in `/`; the password is `secret`."""
    user = lab.name("user")
    lab.management.user(user, "secret", tags)
    lab.management.permissions(user, "/", configure, write, read)
    return user


def as_user(lab: Lab, user: str, vhost: str = "/") -> Channel:
    """A channel of a connection of that user."""
    return lab.channel(lab.connect(user=user, password="secret", vhost=vhost))


def refused(lab: Lab, user: str, vhost: str = "/", password: str = "secret") -> Connection:
    """A connection of that user that may be refused."""
    return lab.connect(user=user, password=password, vhost=vhost)


def prepared(lab: Lab) -> None:
    """Two exchanges and a queue that somebody else has made, unrecorded."""
    ch = lab.janitor.channel()
    ch.exchange(lab.x("there"), "topic")
    ch.exchange(lab.x("other"), "topic")
    ch.queue(lab.q("there"))
    ch.bind(lab.q("there"), lab.x("there"), "key")


QUEUE, EXCHANGE, OTHER = "queue there", "exchange there", "exchange other"
OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "queue_declare_new": ("queue.declare", {"queue": "queue new"}),
    "queue_declare_existing": ("queue.declare", {"queue": QUEUE}),
    "queue_declare_passive": ("queue.declare", {"queue": QUEUE, "passive": True}),
    "queue_declare_with_dlx": (
        "queue.declare",
        {"queue": "queue new", "arguments": {"x-dead-letter-exchange": EXCHANGE}},
    ),
    "queue_delete": ("queue.delete", {"queue": QUEUE}),
    "queue_delete_missing": ("queue.delete", {"queue": "queue new"}),
    "queue_purge": ("queue.purge", {"queue": QUEUE}),
    "queue_bind": ("queue.bind", {"queue": QUEUE, "exchange": EXCHANGE, "routing_key": "k"}),
    "queue_unbind": ("queue.unbind", {"queue": QUEUE, "exchange": EXCHANGE, "routing_key": "key"}),
    "exchange_declare_new": ("exchange.declare", {"exchange": "exchange new", "exchange_type": "direct"}),
    "exchange_declare_existing": ("exchange.declare", {"exchange": EXCHANGE, "exchange_type": "topic"}),
    "exchange_declare_passive": ("exchange.declare", {"exchange": EXCHANGE, "passive": True}),
    "exchange_declare_with_alternate": (
        "exchange.declare",
        {"exchange": "exchange new", "exchange_type": "direct", "arguments": {"alternate-exchange": EXCHANGE}},
    ),
    "exchange_delete": ("exchange.delete", {"exchange": EXCHANGE}),
    "exchange_bind": ("exchange.bind", {"destination": OTHER, "source": EXCHANGE, "routing_key": "k"}),
    "exchange_unbind": ("exchange.unbind", {"destination": OTHER, "source": EXCHANGE, "routing_key": "k"}),
    "consume": ("basic.consume", {"queue": QUEUE, "consumer_tag": "a"}),
    "get": ("basic.get", {"queue": QUEUE}),
}
PERMISSIONS = {
    "nothing": (NOTHING, NOTHING, NOTHING),
    "configure": (".*", NOTHING, NOTHING),
    "write": (NOTHING, ".*", NOTHING),
    "read": (NOTHING, NOTHING, ".*"),
    "configure_write": (".*", ".*", NOTHING),
    "configure_read": (".*", NOTHING, ".*"),
    "write_read": (NOTHING, ".*", ".*"),
}


def _named(lab: Lab, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _named(lab, one) for key, one in value.items()}
    if isinstance(value, str) and value.startswith("queue "):
        return lab.q(value.split()[1])
    if isinstance(value, str) and value.startswith("exchange "):
        return lab.x(value.split()[1])
    return value


@family({name: (name,) for name in OPERATIONS}, requires=NEEDS)
def operation(lab: Lab, name: str) -> None:
    """One operation with each set of permissions."""
    method, arguments = OPERATIONS[name]
    user = member(lab)
    for configure, write, read in PERMISSIONS.values():
        prepared(lab)
        lab.management.permissions(user, "/", configure, write, read)
        ch = as_user(lab, user)
        ch.connection.forget(ch.connection.events[-1])
        replies = ("basic.get-ok", "basic.get-empty") if method == "basic.get" else ()
        ch.call(method, *replies, **_named(lab, arguments))
        ch.connection.close()
        cleaner = lab.janitor.channel()
        for short in ("there", "new"):
            cleaner.delete(lab.q(short))
            cleaner.exchange_delete(lab.x(short))


@family(
    {name: rights for name, rights in PERMISSIONS.items() if name in ("nothing", "write", "configure_read")},
    requires=NEEDS,
)
def publish(lab: Lab, configure: str, write: str, read: str) -> None:
    """Publishing takes write permission on the exchange."""
    prepared(lab)
    ch = as_user(lab, member(lab, configure, write, read))
    ch.publish(lab.x("there"), "key")
    lab.quiet()


@case(requires=NEEDS)
def publish_default_exchange(lab: Lab) -> None:
    """The default exchange is called amq.default in permissions."""
    prepared(lab)
    user = member(lab, NOTHING, "^amq\\.default$", NOTHING)
    ch = as_user(lab, user)
    ch.publish("", lab.q("there"), "allowed")
    ch.sync()
    ch.publish(lab.x("there"), "key", "refused")
    ch.closed()


@case(requires=NEEDS)
def publish_default_exchange_refused(lab: Lab) -> None:
    """Without it, publishing to a queue by name is refused."""
    prepared(lab)
    ch = as_user(lab, member(lab, ".*", "^c\\.", ".*"))
    ch.publish("", lab.q("there"))
    ch.closed()


@case(requires=NEEDS)
def publish_missing_exchange(lab: Lab) -> None:
    """Permission is looked at before existence."""
    ch = as_user(lab, member(lab, NOTHING, NOTHING, NOTHING))
    ch.publish(lab.x("gone"), "k")
    ch.closed()


@case(requires=NEEDS)
def patterns_are_searched(lab: Lab) -> None:
    """A permission is a regular expression found anywhere in the name."""
    ch = as_user(lab, member(lab, "middle", NOTHING, NOTHING))
    ch.queue(lab.q("the-middle-one"))
    ch.queue(lab.q("another"))


@case(requires=NEEDS)
def server_named_queue(lab: Lab) -> None:
    """A server-named queue is checked by the name it gets."""
    user = member(lab, "^amq\\.gen.*", ".*", ".*")
    ch = as_user(lab, user)
    ch.queue("", exclusive=True)
    ch.queue(lab.q())


@case(requires=NEEDS)
def exclusive_queue_without_configure(lab: Lab) -> None:
    """Even an exclusive queue needs configure permission."""
    ch = as_user(lab, member(lab, NOTHING, ".*", ".*"))
    ch.queue("", exclusive=True)


@case(requires=NEEDS)
def declare_dlx_permissions(lab: Lab) -> None:
    """A dead letter exchange takes read on the queue and write on the exchange."""
    lab.channel().exchange(lab.x("dlx"), "fanout")
    user = member(lab)
    arguments = {"x-dead-letter-exchange": lab.x("dlx")}
    for write, read in ((NOTHING, ".*"), (".*", NOTHING), (".*", ".*")):
        lab.management.permissions(user, "/", ".*", write, read)
        as_user(lab, user).queue(lab.q(), arguments=arguments)


@case(requires=NEEDS)
def changed_on_open_channel(lab: Lab) -> None:
    """Permissions changed under an open channel that has used them."""
    user = member(lab)
    ch = as_user(lab, user)
    ch.queue(lab.q("first"))
    lab.management.permissions(user, "/", NOTHING, NOTHING, NOTHING)
    fresh = as_user(lab, user)
    fresh.queue(lab.q("second"))


@case(requires=NEEDS)
def cached_by_channel(lab: Lab) -> None:
    """A channel that was allowed to publish remembers it; a new channel asks anew."""
    user = member(lab)
    ch = as_user(lab, user)
    ch.exchange(lab.x(), "fanout")
    ch.publish(lab.x(), "k")
    ch.sync()
    lab.management.permissions(user, "/", NOTHING, NOTHING, NOTHING)
    ch.publish(lab.x(), "k")
    lab.quiet()
    fresh = lab.channel(ch.connection)
    fresh.publish(lab.x(), "k")
    lab.quiet()


@case(requires=NEEDS)
def empty_patterns(lab: Lab) -> None:
    """An empty pattern permits nothing."""
    ch = as_user(lab, member(lab, "", "", ""))
    ch.queue(lab.q())


@case(requires=NEEDS)
def password_hash(lab: Lab) -> None:
    """A user made with the hash of a password (salt `salt`, SHA-256) logs in with the password."""
    user = lab.name("user")
    digest = hashlib.sha256(b"salt" + b"secret").digest()
    hashed = base64.b64encode(b"salt" + digest).decode()
    lab.management.call("PUT", f"users/{user}", {"password_hash": hashed, "tags": ""})
    lab.management.permissions(user, "/")
    as_user(lab, user).queue(lab.q())
    lab.management.call("DELETE", f"users/{user}")


@case(requires=NEEDS)
def no_permission_in_vhost(lab: Lab) -> None:
    """A user without permissions in the vhost."""
    user = lab.name("user")
    lab.management.user(user, "secret")
    refused(lab, user).wait_lost()


@case(requires=NEEDS)
def administrator_without_permission(lab: Lab) -> None:
    """An administrator's tag is no permission."""
    user = lab.name("user")
    lab.management.user(user, "secret", "administrator")
    refused(lab, user).wait_lost()


@case(requires=NEEDS)
def own_vhost(lab: Lab) -> None:
    """A user with permissions in one vhost only."""
    user, vhost = lab.name("user"), lab.name("vhost")
    lab.management.vhost(vhost)
    lab.management.user(user, "secret")
    lab.management.permissions(user, vhost)
    ch = as_user(lab, user, vhost)
    ch.exchange("amq.topic", passive=True)
    ch.queue("q")
    ch.queue("q", durable=True)
    refused(lab, user).wait_lost()


@case(requires=NEEDS)
def vhosts_are_apart(lab: Lab) -> None:
    """The same name in two vhosts is two queues."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    here, there = lab.channel(), lab.channel(lab.connect(vhost=vhost))
    here.queue(lab.q())
    there.queue(lab.q(), durable=True)
    here.publish("", lab.q(), "here")
    here.sync()
    there.get(lab.q())


@case(requires=NEEDS)
def wrong_password(lab: Lab) -> None:
    """A user who exists, with another password."""
    refused(lab, member(lab), password="other").wait_lost()


@case(requires=NEEDS)
def user_without_password(lab: Lab) -> None:
    """A user made without a password cannot log in."""
    user = lab.name("user")
    lab.management.call("PUT", f"users/{user}", {"password_hash": "", "tags": ""})
    refused(lab, user, password="").wait_lost()
    lab.management.call("DELETE", f"users/{user}")


@case(requires=NEEDS)
def user_id(lab: Lab) -> None:
    """user_id must be the user's own name."""
    user = member(lab)
    ch = as_user(lab, user)
    ch.queue(lab.q())
    ch.publish("", lab.q(), user_id=user)
    ch.sync()
    ch.publish("", lab.q(), user_id="guest")
    ch.closed()


@case(requires=NEEDS)
def user_id_impersonator(lab: Lab) -> None:
    """Users tagged impersonator may use any."""
    ch = as_user(lab, member(lab, tags="impersonator"))
    ch.queue(lab.q())
    ch.publish("", lab.q(), user_id="somebody")
    ch.sync()


@case(requires=NEEDS)
def update_secret_refused(lab: Lab) -> None:
    """update-secret with another password."""
    ch = as_user(lab, member(lab))
    ch.connection.send_method(0, "connection.update-secret", new_secret="other", reason="rotation")
    ch.connection.wait(0, "connection.update-secret-ok", "connection.close")
    lab.quiet()


def topic_member(lab: Lab, write: str, read: str) -> Channel:
    """A topic exchange x with a queue q, and a channel of a user whose routing keys are limited on x."""
    admin = lab.channel()
    admin.exchange(lab.x(), "topic")
    admin.exchange(lab.x("direct"), "direct")
    admin.queue(lab.q())
    admin.bind(lab.q(), lab.x(), "#")
    admin.bind(lab.q(), lab.x("direct"), "b.1")
    user = member(lab)
    lab.management.topic_permissions(user, "/", lab.x(), write, read)
    lab.management.topic_permissions(user, "/", lab.x("direct"), write, read)
    return as_user(lab, user)


@case(requires=NEEDS)
def topic_write(lab: Lab) -> None:
    """Publishing with an allowed and a refused routing key."""
    ch = topic_member(lab, "^a\\.", ".*")
    ch.publish(lab.x(), "a.1", "allowed")
    ch.sync()
    ch.publish(lab.x(), "b.1", "refused")
    ch.closed()


@family(
    {
        "expiration": ({"expiration": "abc"},),
        "cc": ({"headers": {"CC": "text"}},),
        "user_id": ({"user_id": "bob"},),
        "reply_to": ({"reply_to": "amq.rabbitmq.reply-to"},),
    },
    requires=NEEDS,
)
def topic_write_and(lab: Lab, properties: dict[str, Any]) -> None:
    """A refused routing key, and something wrong with the message: which one is told."""
    ch = topic_member(lab, "^a\\.", ".*")
    ch.publish(lab.x(), "b.1", **properties)
    ch.closed()


@case(requires=NEEDS)
def topic_write_and_too_large(lab: Lab) -> None:
    """A refused routing key, and a body that is too large."""
    ch = topic_member(lab, "^a\\.", ".*")
    ch.publish(lab.x(), "b.1", b"x" * (16 * 1024 * 1024 + 1))
    ch.closed()


@case(requires=NEEDS)
def topic_write_not_topic(lab: Lab) -> None:
    """Exchanges of other types do not ask for topic permissions."""
    ch = topic_member(lab, "^a\\.", ".*")
    ch.publish(lab.x("direct"), "b.1")
    ch.sync()


@case(requires=NEEDS)
def topic_write_cc(lab: Lab) -> None:
    """Do CC keys need permission?"""
    ch = topic_member(lab, "^a\\.", ".*")
    ch.publish(lab.x(), "a.1", headers={"CC": ["b.1"]})
    lab.quiet()


@case(requires=NEEDS)
def topic_read(lab: Lab) -> None:
    """Binding with an allowed and a refused key."""
    ch = topic_member(lab, ".*", "^a\\.")
    ch.queue(lab.q("own"))
    ch.bind(lab.q("own"), lab.x(), "a.*")
    ch.bind(lab.q("own"), lab.x(), "b.*")


@case(requires=NEEDS)
def topic_read_unbind(lab: Lab) -> None:
    """Unbinding asks too."""
    ch = topic_member(lab, ".*", "^a\\.")
    ch.unbind(lab.q(), lab.x(), "#")


@case(requires=NEEDS)
def topic_read_e2e(lab: Lab) -> None:
    """Binding an exchange asks too."""
    ch = topic_member(lab, ".*", "^a\\.")
    ch.exchange_bind(lab.x("direct"), lab.x(), "b.#")


@case(requires=NEEDS)
def topic_username_in_pattern(lab: Lab) -> None:
    """{username} and {vhost} in a topic pattern."""
    admin = lab.channel()
    admin.exchange(lab.x(), "topic")
    user = member(lab)
    lab.management.topic_permissions(user, "/", lab.x(), "^{username}\\.", ".*")
    ch = as_user(lab, user)
    ch.publish(lab.x(), f"{user}.x")
    ch.sync()
    ch.publish(lab.x(), "other.x")
    ch.closed()


def limited_vhost(lab: Lab, limit: str, value: int) -> str:
    """A vhost with one limit."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    lab.management.vhost_limit(vhost, limit, value)
    return vhost


@family({"0": (0,), "1": (1,), "minus_1": (-1,)}, requires=NEEDS)
def vhost_max_connections(lab: Lab, value: int) -> None:
    """The number of connections that a vhost accepts."""
    vhost = limited_vhost(lab, "max-connections", value)
    for _ in range(2):
        lab.connect(vhost=vhost)
        lab.quiet()


@family({"0": (0,), "2": (2,), "minus_1": (-1,)}, requires=NEEDS)
def vhost_max_queues(lab: Lab, value: int) -> None:
    """The number of queues that a vhost accepts."""
    vhost = limited_vhost(lab, "max-queues", value)
    ch = lab.channel(lab.connect(vhost=vhost))
    for name in ("q1", "q2", "q1", "q3"):
        ch.queue(name)
        if not ch.connection.is_open(ch.number):
            return


@family({"0": (0,), "1": (1,)}, requires=NEEDS)
def user_max_connections(lab: Lab, value: int) -> None:
    """The number of connections that a user may have."""
    user = member(lab)
    lab.management.user_limit(user, "max-connections", value)
    for _ in range(2):
        lab.connect(user=user, password="secret")
        lab.quiet()


@case(requires=NEEDS)
def user_max_channels(lab: Lab) -> None:
    """The number of channels that a user may have."""
    user = member(lab)
    lab.management.user_limit(user, "max-channels", 2)
    connection = lab.connect(user=user, password="secret")
    for _ in range(3):
        lab.channel(connection)


def connection_name(lab: Lab, user: str) -> str:
    """The name of the only connection of a user."""
    for _ in range(150):
        lab.network.sleep(0.1)
        for one in lab.management.call("GET", "connections"):
            if one.get("user") == user:
                name: str = one["name"]
                return name
    raise LookupError(f"no connection of {user}")


@family({"plain": ({},), "with_reason": ({"X-Reason": "go away"},)}, requires=NEEDS)
def connection_closed(lab: Lab, headers: dict[str, str]) -> None:
    """A connection closed through the management API."""
    user = member(lab)
    ch = as_user(lab, user)
    name = connection_name(lab, user).replace(" ", "%20").replace(">", "%3E").replace(":", "%3A")
    lab.management.call("DELETE", f"connections/{name}", headers=headers)
    ch.closed()
    ch.connection.wait_lost()


@case(requires=NEEDS)
def vhost_deleted(lab: Lab) -> None:
    """The vhost of an open connection is deleted. The words depend on who notices first, so only the code is kept."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost)
    ch = lab.channel(lab.connect(vhost=vhost))
    ch.queue("q")
    lab.management.call("DELETE", f"vhosts/{vhost}")
    close = ch.connection.forget(ch.connection.wait(0, "connection.close"))
    lab.observe("code", close.arguments["reply_code"])
    ch.connection.wait_lost()


@case(requires=NEEDS)
def user_deleted(lab: Lab) -> None:
    """The user of an open connection is deleted."""
    user = member(lab)
    ch = as_user(lab, user)
    ch.queue(lab.q())
    lab.management.call("DELETE", f"users/{user}")
    lab.quiet()


@family({"quorum": ("quorum",), "classic": ("classic",)}, requires=NEEDS)
def default_queue_type(lab: Lab, kind: str) -> None:
    """A vhost's default queue type holds for durable queues that are neither exclusive nor auto-delete."""
    vhost = lab.name("vhost")
    lab.management.vhost(vhost, default_queue_type=kind)
    connection = lab.connect(vhost=vhost)
    flags: dict[str, dict[str, bool]] = {
        "durable": {"durable": True},
        "transient": {},
        "exclusive": {"durable": True, "exclusive": True},
        "auto_delete": {"durable": True, "auto_delete": True},
    }
    for name, those in flags.items():
        ch = lab.channel(connection)
        ch.call("queue.declare", queue=name, **those)
        ch.call("queue.declare", queue=name, arguments={"x-queue-type": "classic"}, **those)


@case(requires=NEEDS)
def queue_deleted_from_outside(lab: Lab) -> None:
    """A queue deleted through the management API cancels its consumers."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    lab.management.call("DELETE", f"queues/%2F/{lab.q()}")
    ch.wait("basic.cancel")


@case(requires=NEEDS)
def declared_from_outside(lab: Lab) -> None:
    """A queue declared through the management API: its numbers have another type."""
    lab.management.call("PUT", f"queues/%2F/{lab.q()}", {"durable": True, "arguments": {"x-message-ttl": 1000}})
    lab.channel().queue(lab.q(), durable=True)
    lab.channel().queue(lab.q(), durable=True, arguments={"x-message-ttl": 1000})


@family({"minus_1": (-1,), "0": (0,)}, requires=NEEDS)
def user_channels(lab: Lab, value: int) -> None:
    """A limit of channels that is none, or allows none."""
    user = member(lab)
    lab.management.user_limit(user, "max-channels", value)
    connection = lab.connect(user=user, password="secret")
    for _ in range(2):
        lab.channel(connection)
        if not connection.is_open():
            return


@case(requires=NEEDS)
def user_max_connections_negative(lab: Lab) -> None:
    """A negative limit is none."""
    user = member(lab)
    lab.management.user_limit(user, "max-connections", -1)
    for _ in range(2):
        lab.connect(user=user, password="secret")
        lab.quiet()


@family(
    {
        "missing_vhost_and_user_limit": ("nowhere", ("user",), True),
        "vhost_limit_and_user_limit": ("own", ("user", "vhost"), True),
        "vhost_limit_and_permission": ("own", ("vhost",), False),
        "user_limit_and_permission": ("own", ("user",), False),
        "missing_vhost_without_permission": ("nowhere", (), False),
    },
    requires=NEEDS,
)
def order_of_checks_at_open(lab: Lab, where: str, limits: tuple[str, ...], permitted: bool) -> None:
    """Two reasons to refuse connection.open: which one is told."""
    user, vhost = lab.name("user"), lab.name("vhost")
    lab.management.user(user, "secret")
    if where == "own":
        lab.management.vhost(vhost)
        if permitted:
            lab.management.permissions(user, vhost)
    if "user" in limits:
        lab.management.user_limit(user, "max-connections", 0)
    if "vhost" in limits:
        lab.management.vhost_limit(vhost, "max-connections", 0)
    refused(lab, user, vhost).wait_lost()


@case(requires=NEEDS)
def tx_refused_at_once(lab: Lab) -> None:
    """In a transaction a publish without permission is refused at once, not at the commit."""
    prepared(lab)
    ch = as_user(lab, member(lab, ".*", NOTHING, ".*"))
    ch.tx()
    ch.publish(lab.x("there"), "key")
    ch.closed()


@case(requires=NEEDS)
def publish_goes_on_without_permission(lab: Lab) -> None:
    """Write permission is asked for where a message is published, not on the exchanges that it passes further on."""
    admin = lab.channel()
    for short in ("alternate", "bound", "letters"):
        admin.exchange(lab.x(short), "fanout")
        admin.queue(lab.q(short))
        admin.bind(lab.q(short), lab.x(short))
    admin.exchange(lab.x(), "direct", arguments={"alternate-exchange": lab.x("alternate")})
    admin.exchange_bind(lab.x("bound"), lab.x(), "to exchange")
    admin.queue(lab.q(), arguments={"x-dead-letter-exchange": lab.x("letters"), "x-max-length": 0})
    admin.bind(lab.q(), lab.x(), "to queue")
    own = "^" + lab.x().replace(".", "\\.") + "$"
    ch = as_user(lab, member(lab, NOTHING, own, NOTHING))
    ch.confirm()
    for key in ("nowhere", "to exchange", "to queue"):
        ch.publish_confirmed(lab.x(), key, key)
    for short in ("alternate", "bound", "letters"):
        lab.wait_ready(lab.q(short), 1)


@case(requires=NEEDS)
def publish_too_large_without_permission(lab: Lab) -> None:
    """A body that is too large for an exchange that may not be written to."""
    prepared(lab)
    ch = as_user(lab, member(lab, NOTHING, NOTHING, NOTHING))
    ch.publish(lab.x("there"), "key", b"x" * (16 * 1024 * 1024 + 1))
    ch.closed()


@case(requires=NEEDS)
def publish_internal_without_permission(lab: Lab) -> None:
    """An internal exchange that may not be written to either."""
    lab.channel().exchange(lab.x(), "fanout", internal=True)
    ch = as_user(lab, member(lab, NOTHING, NOTHING, NOTHING))
    ch.publish(lab.x(), "key")
    ch.closed()


@family({"classic": (None,), "quorum": ("quorum",)}, requires=NEEDS)
def queue_type_is_stored(lab: Lab, kind: str | None) -> None:
    """The API tells of x-queue-type among a queue's arguments, also where the client did not send it."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind} if kind else {"x-own": 1})
    told = lab.management.call("GET", f"queues/%2F/{lab.q()}")
    lab.observe("arguments", told["arguments"])
    lab.observe("type", told["type"])


@case(requires=NEEDS)
def max_priority_by_policy(lab: Lab) -> None:
    """The API's answer to a policy that would set priorities, which is not a key of policies."""
    path = f"policies/%2F/{lab.name('p')}"
    body = {"pattern": "^" + lab.q() + "$", "definition": {"max-priority": 5}}
    lab.observe("status", lab.management.status("PUT", path, body))


@case(requires=NEEDS)
def topic_write_through_the_default_exchange(lab: Lab) -> None:
    """Topic permissions of an exchange say nothing of the default exchange, and those of one nothing of another."""
    ch = topic_member(lab, "^a\\.", ".*")
    lab.channel().exchange(lab.x("free"), "topic")
    ch.publish("", lab.q(), "by name")
    ch.publish(lab.x("free"), "b.1", "another exchange")
    ch.sync()


@case(requires=NEEDS)
def topic_write_e2e(lab: Lab) -> None:
    """Topic permissions are asked for where a message is published, not where it is passed on to."""
    ch = topic_member(lab, "^a\\.", ".*")
    lab.channel().exchange_bind(lab.x(), lab.x("direct"), "b.1")
    ch.publish(lab.x("direct"), "b.1", "passed on")
    ch.sync()


@case(requires=NEEDS)
def read_taken_away_from_consumer(lab: Lab) -> None:
    """A consumer goes on when its user may no longer read; a new one may not."""
    user = member(lab)
    ch = as_user(lab, user)
    ch.queue(lab.q())
    ch.consume(lab.q(), "a")
    lab.management.permissions(user, "/", ".*", ".*", NOTHING)
    lab.channel().publish("", lab.q())
    ch.deliveries(1)
    ch.ack(1)
    lab.channel(ch.connection).consume(lab.q(), "b")


@case(requires=NEEDS)
def user_deleted_with_consumer(lab: Lab) -> None:
    """Delete a user while a client of the user consumes."""
    user = member(lab)
    ch = as_user(lab, user)
    ch.queue(lab.q())
    ch.consume(lab.q(), tag="t")
    lab.management.status("DELETE", f"users/{user}")
    ch.connection.wait_lost()


@case(requires=NEEDS)
def bodies_of_get(lab: Lab) -> None:
    """Valid and invalid counts and other values in a request that gets messages."""
    ch = lab.channel()
    ch.queue(lab.q())
    where = f"queues/%2F/{lab.q()}/get"
    counts = (-1, 0, 1, 1.9, -1.5, 10**30, "1", "-1", "+1", " 1", "1_0", "1.5", "x", "", True, None, [], {})
    for count in counts:
        ch.publish("", lab.q(), "m1")
        ch.publish("", lab.q(), "m2")
        ch.sync()
        body = {"count": count, "ackmode": "ack_requeue_false", "encoding": "auto"}
        status, answer = lab.management.answer("POST", where, body)
        shown = [message["payload"] for message in answer] if status == 200 else answer["reason"]
        lab.observe(f"count {count!r}", [status, shown])
        ch.purge(lab.q())
    for change in ({"encoding": "hex"}, {"encoding": None}, {"truncate": "x"}, {"truncate": None}, {"truncate": 1.5}):
        ch.publish("", lab.q(), "m")
        ch.sync()
        body = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"} | change
        status, answer = lab.management.answer("POST", where, body)
        shown = [message["payload"] for message in answer] if status == 200 else answer["reason"]
        lab.observe(f"{change}", [status, shown])
        ch.purge(lab.q())
