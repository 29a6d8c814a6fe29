"""Connections, channels and consumers (rabbit_mgmt_wm_connection*.erl, _channel*.erl, _consumers.erl)."""

import re
from functools import partial
from typing import Any

from amqpbroker import errors
from amqpbroker.broker.counters.stats import Counted
from amqpbroker.broker.infos import ChannelInfo
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.broker.session import Session
from amqpbroker.management import failure
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.formats import connections as formats
from amqpbroker.management.formats.queues import consumer_row
from amqpbroker.management.formats.rates import Details, asked_ranges, listed, sampled
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.management.visible_connections import find_session, gather, sessions

# --- connections ------------------------------------------------------------------------------------------------------


def _listed(call: Call, found: list[Session], paged: bool) -> Listing:
    node, rates = call.node.name, call.broker.rates
    if not call.stats:
        return Listing(found, partial(formats.basic_connection_row, node=node), _name, paged)
    wanted = asked_ranges(call.query)
    return Listing(
        found,
        lambda session: formats.connection_row(session.info(), node, listed(rates, session, wanted)),
        _name,
        paged,
    )


def _name(session: Session) -> str:
    return session.name


def connections(call: Call) -> Listing:
    return _listed(call, sessions(call), paged=True)


def vhost_connections(call: Call) -> Listing:
    return _listed(call, sessions(call, call.vhost.name), paged=False)


def connection(call: Call) -> dict[str, Any]:
    session = find_session(call, call.path["name"])
    details = _sampled(call, session)
    return formats.connection(session.info(), call.node.name, details)


def _sampled(call: Call, counted: Counted) -> Details:
    return sampled(call.broker.rates, [counted], asked_ranges(call.query))


def close(call: Call) -> Answer:
    """Close a connection, with the reason in the header X-Reason."""
    _close(call, find_session(call, call.path["name"]))
    return NO_CONTENT


def _close(call: Call, session: Session) -> None:
    """Close a connection. A user with the tag monitoring may close only their own."""
    _check_own(call, session.user.name)
    session.force_close(errors.closed_by_management(call.request.headers.get("x-reason", "")))


def _check_own(call: Call, user: str) -> None:
    if not call.identity.is_administrator and user != call.identity.user.name:
        raise failure.not_authorised("User not authorised to access object")


def user_connections(call: Call) -> Listing:
    user = call.path["user"]
    if not call.identity.monitors:
        _check_own(call, user)
    return Listing(_of_user(call), partial(formats.basic_connection_row, node=call.node.name), _name, paged=False)


def close_user_connections(call: Call) -> Answer:
    _check_own(call, call.path["user"])
    for session in _of_user(call):
        _close(call, session)
    return NO_CONTENT


def _of_user(call: Call) -> list[Session]:
    return [session for session in call.broker.sessions if session.user.name == call.path["user"]]


# --- channels ---------------------------------------------------------------------------------------------------------


async def _listed_channels(call: Call, found: list[Session], paged: bool) -> Listing:
    _need_stats(call)
    node, rates, wanted = call.node.name, call.broker.rates, asked_ranges(call.query)
    infos = await gather(found, lambda session: session.channel_infos(), call.rows)
    return Listing(
        infos,
        lambda info: formats.channel_row(info, node, listed(rates, info.counted, wanted)),
        lambda info: info.name,
        paged,
    )


def _need_stats(call: Call) -> None:
    """Raises ApiError 400."""
    if not call.stats:
        raise failure.bad_request("Stats in management UI are disabled on this node")


async def channels(call: Call) -> Listing:
    return await _listed_channels(call, sessions(call), paged=True)


async def vhost_channels(call: Call) -> Listing:
    return await _listed_channels(call, sessions(call, call.vhost.name), paged=False)


async def connection_channels(call: Call) -> Listing:
    return await _listed_channels(call, [find_session(call, call.path["name"])], paged=False)


def channel(call: Call) -> dict[str, Any]:
    _need_stats(call)
    session = find_session(call, call.path["name"].rpartition(" (")[0])
    info = _channel(session, call.path["name"])
    row = formats.channel_row(info, call.node.name, _sampled(call, info.counted))
    consumers = [each for each in session.consumer_infos() if each.channel_name == info.name]
    row["consumer_details"] = [consumer_row(each, call.node.name) for each in consumers]
    return {**row, "deliveries": [], "publishes": []}


def _channel(session: Session, name: str) -> ChannelInfo:
    """Raises ApiError 404."""
    for info in session.channel_infos():
        if info.name == name:
            return info
    raise failure.not_found()


def renew(call: Call) -> Answer:
    """Renew the lock of a delivery, or of all deliveries of the channel for tag 0.

    Body: `{"timeout": ms}`, from now on; without it the delivery's own timeout starts again, and 0 returns the message
    to its queue.
    """
    if not call.broker.config.compat.extensions:
        raise failure.not_found()
    session = find_session(call, call.path["name"].rpartition(" (")[0])
    _check_own(call, session.user.name)
    info = _channel(session, call.path["name"])
    timeout_ms = call.body().get("timeout")
    if timeout_ms is not None and (
        isinstance(timeout_ms, bool) or not isinstance(timeout_ms, int) or not 0 <= timeout_ms <= MAX_EXPIRY_MS
    ):
        limits = f"a whole number of milliseconds from 0 to {MAX_EXPIRY_MS}"
        raise failure.bad_request(f"timeout = {failure.shown(timeout_ms)}: this must be {limits}")
    tag = call.path["tag"]
    if re.fullmatch("[0-9]{1,20}", tag) is None:
        raise failure.not_found()
    if not session.renew_lock(info.number, int(tag), timeout_ms):
        raise failure.not_found()
    return NO_CONTENT


# --- consumers --------------------------------------------------------------------------------------------------------


async def consumers(call: Call) -> Listing:
    """Return the consumers of the path's vhost, or of all vhosts if the path has none."""
    _need_stats(call)
    found = sessions(call, call.path.get("vhost"))
    infos = await gather(found, lambda session: session.consumer_infos(), call.rows)
    return Listing(infos, partial(consumer_row, node=call.node.name), paged=False)


RESOURCES = (
    Resource("/connections", Access.USER, get=connections),
    Resource(
        "/connections/{name}",
        Access.USER,
        get=connection,
        delete=close,
    ),
    Resource("/connections/{name}/channels", Access.USER, get=connection_channels),
    Resource(
        "/connections/username/{user}",
        Access.USER,
        get=user_connections,
        delete=close_user_connections,
    ),
    Resource("/vhosts/{vhost}/connections", Access.VHOST, get=vhost_connections),
    Resource("/channels", Access.USER, get=channels),
    Resource("/channels/{name}", Access.USER, get=channel),
    Resource(
        "/channels/{name}/deliveries/{tag}/renew",
        Access.USER,
        post=renew,
        max_body_bytes=SMALL_BYTES,
    ),
    Resource("/vhosts/{vhost}/channels", Access.VHOST, get=vhost_channels),
    Resource("/consumers", Access.USER, get=consumers),
    Resource("/consumers/{vhost}", Access.USER, get=consumers),
)
