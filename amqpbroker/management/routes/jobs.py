"""Jobs, an extension: messages whose states and results can be looked up."""

import asyncio
import secrets
from typing import Any, Final
from urllib.parse import quote

from amqpbroker.broker.jobs.job import Job
from amqpbroker.broker.jobs.job_status import JobStatuses
from amqpbroker.broker.jobs.jobs import Jobs
from amqpbroker.broker.jobs.request import JOB, NO_IDS
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.users.permissions import Kind, Permissions
from amqpbroker.broker.vhost import Vhost
from amqpbroker.errors import AmqpError
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.completion import all_synced
from amqpbroker.management.formats import jobs as formats
from amqpbroker.management.formats.messages import PROPERTY_NAMES, published
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.peeking import check_keys, unreadable, whole
from amqpbroker.management.resource import Resource
from amqpbroker.management.routes.exchanges import exchange_name
from amqpbroker.management.routes.messages import may_publish

#: The longest time that a request waits for the end of a job.
MOST_WAIT_S: Final = 20
#: When a client is to ask again for a job, and when to send one again that there is no space for.
ASK_AGAIN_S: Final = 1
SEND_AGAIN_S: Final = 10

_KEYS: Final = ("routing_key", "payload", "payload_encoding", "properties")
#: Properties that are numbers -> the largest ones.
_MOST: Final = {"delivery_mode": 2, "priority": 255, "timestamp": (1 << 64) - 1}
_ID_BYTES: Final = 16
_PERSISTENT: Final = 2


# --- publish ----------------------------------------------------------------------------------------------------------


async def publish(call: Call) -> Answer:
    """Publish a message as a job. Answered when the job is as safe as a publisher's confirm says."""
    jobs = _jobs(call)
    exchange = exchange_name(call.path["name"])
    may_publish(call)
    if exchange not in call.vhost.exchanges:
        raise failure.ApiError(404, "not_found", "exchange_not_found")
    body = _message(call.need("routing_key"))
    id_: bytes = body["properties"]["message_id"].encode()
    user = call.identity.user.name
    known = jobs.find(id_, user) or jobs.addressed(id_, _reply_to(body))
    if known is not None:
        # The client may have got no answer to the request that has published it.
        await all_synced(call.broker)
        return _known(call, body["properties"]["message_id"])
    if jobs.is_full(call.identity.user.name):
        return _again("jobs_full", "there are too many jobs that have not ended; send this one again later")
    try:
        routed, accepted = call.actions.publish(published(exchange, body), call.identity.user)
    except AmqpError as error:
        if error.code == 403:
            raise failure.not_authorised(error.text) from None
        raise failure.from_channel(error, "exchange") from None
    job = jobs.find(id_, user)
    if not routed:
        if job is not None:
            jobs.remove(job)
        reason = f"exchange '{exchange}' routes no message with the routing key {failure.shown(body['routing_key'])}"
        raise failure.ApiError(422, "unroutable", reason)
    # The job may be forgotten during the sync, with its reply.
    shown = None if job is None else formats.job(job, _job_statuses(call, call.vhost))
    await all_synced(call.broker)
    if not accepted:
        return _again("queue_full", "a queue has refused the message, because it is full; send the job again later")
    if shown is None:
        raise failure.ApiError(409, "duplicate", "the message was dropped as a duplicate of an earlier one")
    call.check()
    headers = {"Location": _location(call, body["properties"]["message_id"]), "Retry-After": str(ASK_AGAIN_S)}
    return Answer(202, shown, headers)


def _message(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a request with all keys, and with the properties of a job. Raises ApiError 400."""
    check_keys("the body", body, _KEYS)
    properties = body.get("properties", {})
    if properties in (None, []):
        properties = {}
    if not isinstance(properties, dict):
        raise _wrong("properties", properties, "an object")
    check_keys("properties", properties, PROPERTY_NAMES)
    for name, most in _MOST.items():
        if name in properties:
            whole(f"properties.{name}", properties[name], 0, most)
    headers = properties.get("headers", {})
    if headers in (None, []):
        headers = {}
    if not isinstance(headers, dict):
        raise _wrong("properties.headers", headers, "an object")
    if headers.get(JOB, True) is not True:
        raise _wrong(f"properties.headers.{JOB}", headers[JOB], "true, or absent")
    id_ = properties.get("message_id", secrets.token_hex(_ID_BYTES))
    if not isinstance(id_, str) or not id_:
        raise _wrong("properties.message_id", id_, "a string of 1 to 255 bytes, or absent")
    if id_.encode("utf-8", "surrogateescape") in NO_IDS:
        raise _wrong("properties.message_id", id_, "another id: clients remove this one from the URL of the job")
    return {
        "payload": "",
        "payload_encoding": "string",
        **body,
        "properties": {
            "delivery_mode": _PERSISTENT,
            **properties,
            "message_id": id_,
            "headers": {**headers, JOB: True},
        },
    }


def _reply_to(body: dict[str, Any]) -> bytes:
    """Return the property reply_to of a message, empty if there is none."""
    given = body["properties"].get("reply_to")
    return given.encode("utf-8", "surrogateescape") if isinstance(given, str) else b""


def _wrong(key: str, value: object, expected: str) -> failure.ApiError:
    return failure.bad_request(f"{key} = {failure.shown(value)}: this must be {expected}")


def _location(call: Call, id_: str) -> str:
    prefix = call.broker.config.management.path_prefix.rstrip("/")
    return f"{prefix}/api/jobs/{quote(call.path['vhost'], safe='')}/{quote(id_, safe='')}"


def _known(call: Call, id_: str) -> Answer:
    reason = f"there is a job {failure.shown(id_)} already; look it up, or delete it after its end"
    return Answer(409, {"error": "conflict", "reason": reason}, {"Location": _location(call, id_)})


def _again(error: str, reason: str) -> Answer:
    return Answer(503, {"error": error, "reason": reason}, {"Retry-After": str(SEND_AGAIN_S)})


# --- look up ----------------------------------------------------------------------------------------------------------


def jobs(call: Call) -> Listing:
    """Return the jobs of all vhosts that the user may look up."""
    found = []
    for vhost in call.visible_vhosts():
        found += _visible(call, vhost)
    return _listed(call, found)


def vhost_jobs(call: Call) -> Listing:
    return _listed(call, _visible(call, call.vhost))


def _visible(call: Call, vhost: Vhost) -> list[Job]:
    if vhost.jobs is None:
        return []
    permissions = call.identity.permissions(vhost.name)
    return [job for job in vhost.jobs.all() if _may_see(job, call.identity.user.name, permissions)]


def _listed(call: Call, found: list[Job]) -> Listing:
    by_vhost = {name: _job_statuses(call, vhost) for name, vhost in call.broker.vhosts.items()}
    return Listing(
        found, lambda job: formats.job_row(job, by_vhost[job.vhost]), lambda job: job.id.decode("utf-8", "replace")
    )


async def job(call: Call) -> Answer:
    """Return a job. With the parameter `wait`, the answer waits for its end, at most that many seconds."""
    wait_s = _wait_s(call.query.get("wait", "0"))
    found = _job(call)
    if wait_s and not found.has_ended:
        await _end_of(call, found, wait_s)
        call.check()
        found = _job(call)
    shown = formats.job(found, _job_statuses(call, call.vhost))
    if found.has_ended:
        # The job may be forgotten during the sync, with its reply.
        await all_synced(call.broker)
        return Answer(200, shown)
    return Answer(200, shown, {"Retry-After": str(ASK_AGAIN_S)})


def _waits(call: Call) -> bool:
    return call.reading and call.query.get("wait", "0") != "0"


def _wait_s(given: str) -> int:
    """Raises ApiError 400."""
    if not (given.isascii() and given.isdigit() and len(given) <= 2 and int(given) <= MOST_WAIT_S):
        raise _wrong("wait", given, f"a whole number of seconds from 0 to {MOST_WAIT_S}")
    return int(given)


async def _end_of(call: Call, job: Job, wait_s: int) -> None:
    """Wait until the job ends or is forgotten, or the time is over."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    unwatch = _jobs(call).watch(job, wake)
    timer = call.broker.clock.after(wait_s * 1000, wake)
    try:
        await done
    finally:
        timer.cancel()
        unwatch()


async def cancel(call: Call) -> Answer:
    """Cancel a job that waits in queues; forget one that has ended, with its reply.

    With the parameter `force`, forget a job in any state: its messages stay in their queues.
    """
    forced = _forced(call.query.get("force", "false"))
    jobs, found = _jobs(call), _job(call)
    if found.has_ended or forced:
        jobs.remove(found)
    else:
        if not _may_read(found.queues, call.permissions):
            raise failure.not_authorised("Access refused.")
        job_statuses = _job_statuses(call, call.vhost)
        try:
            jobs.lose(found, job_statuses.lost(found))
            cancelled = found.has_ended or job_statuses.cancel(found)
        except UnreadableError as error:
            raise unreadable(error) from None
        if not cancelled:
            state = job_statuses.latest(found).state
            reason = f"the job is {state}; only a job that waits in queues can be cancelled; force=true forgets any job"
            raise failure.ApiError(409, "conflict", reason)
    await all_synced(call.broker)
    return NO_CONTENT


def _forced(given: str) -> bool:
    """Raises ApiError 400."""
    if given not in ("true", "false"):
        raise _wrong("force", given, "true or false")
    return given == "true"


def _jobs(call: Call) -> Jobs:
    """Raises ApiError 404 without extensions."""
    if call.vhost.jobs is None:
        raise failure.not_found()
    return call.vhost.jobs


def _job(call: Call) -> Job:
    """Return the job of the path: of the user in the parameter `user`, or else of the caller, or of another user.

    Raises ApiError 404, 401 if the caller may not look it up, and 409 if there are several others.
    """
    jobs, id_, caller = _jobs(call), call.path["name"].encode("utf-8", "surrogateescape"), call.identity.user.name
    own = jobs.find(id_, call.query.get("user", caller))
    found = [own] if own is not None else [] if "user" in call.query else jobs.with_id(id_)
    if not found:
        raise failure.not_found()
    visible = [each for each in found if _may_see(each, caller, call.permissions)]
    if not visible:
        raise failure.not_authorised("Access refused.")
    if len(visible) > 1:
        users = f"'{visible[0].user}' and '{visible[1].user}'"
        reason = f"several users, such as {users}, have a job {failure.shown(call.path['name'])}"
        raise failure.ApiError(
            409, "conflict", f"{reason}: choose one of them, such as ?user={quote(visible[0].user, safe='')}"
        )
    return visible[0]


def _may_see(job: Job, user: str, permissions: Permissions | None) -> bool:
    """Return whether a user may look up a job: its own, and those that were published to queues the user may read."""
    if job.user == user:
        return True
    if job.guards:
        return _may_read(job.guards, permissions)
    return permissions is not None and _is_allowed(permissions, "exchange", job.exchange)


def _may_read(queues: list[str], permissions: Permissions | None) -> bool:
    """Return whether a user may read all these queues."""
    return permissions is not None and all(_is_allowed(permissions, "queue", each) for each in queues)


def _is_allowed(permissions: Permissions, kind: Kind, name: str) -> bool:
    try:
        permissions.check("read", kind, name)
    except AmqpError:
        return False
    return True


def _job_statuses(call: Call, vhost: Vhost) -> JobStatuses:
    return JobStatuses(vhost.queues, call.broker.sessions, call.broker.clock.ahead_ms)


RESOURCES = (
    Resource("/jobs", Access.USER, get=jobs),
    Resource("/jobs/{vhost}", Access.VHOST, get=vhost_jobs),
    Resource(
        "/jobs/{vhost}/{name}",
        Access.VHOST,
        get=job,
        post=publish,
        delete=cancel,
        may_send=may_publish,
        waits=_waits,
    ),
)
