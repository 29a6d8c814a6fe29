"""Headers of a message that make it a job."""

from typing import Final, NamedTuple, final

from amqpbroker import errors
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.message.message import Message
from amqpbroker.wire.headers import with_headers
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.raw_headers import find_header, header, message_id
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, longstr, text

JOB: Final = "x-job"
#: Parts of a path that clients remove from a URL, also if they are encoded.
NO_IDS: Final = (b".", b"..")
TTL: Final = "x-job-ttl"
#: The user of a job. The broker sets it in place of a value that the publisher has given.
USER: Final = "x-job-user"
DEFAULT_TTL_MS: Final = 60 * 60 * 1000
#: The routing keys of replies to jobs begin with this; the token of the job follows.
REPLY_PREFIX: Final = "amq.job-reply."

_JOB: Final = JOB.encode()
_USER: Final = USER.encode()


@final
class Request(NamedTuple):
    """A message that is published as a job.

    id: its message id. user: whose job it is. ttl_ms: how long the job is known after its end. token: names the job in
    the routing key of replies; "" if the message has a reply_to of its own. only_copy: the message is a copy of a job
    that has not ended, and never begins one.
    """

    id: bytes
    user: str
    ttl_ms: int
    token: str
    only_copy: bool = False


def is_job(message: Message) -> bool:
    """Return whether the message is marked as a job."""
    properties = message.properties
    at = find_header(properties, _JOB)
    return at > 0 and properties[at : at + 1] == b"t" and properties[at + 1] != 0


def job_id(message: Message) -> bytes:
    """Return the message id, empty if the message has none."""
    return message_id(message.properties)


def job_key(user: str, id_: bytes) -> bytes:
    """Return the key of a job: each user has ids of its own."""
    name = user.encode("utf-8", "surrogateescape")
    return len(name).to_bytes(4, "big") + name + id_


def user_of(message: Message) -> str | None:
    """Return the user of the job of a message; None for a message that was stored before messages named the user."""
    user = header(message.properties, _USER)
    return text(user.value) if user is not None and user.kind == "S" else None


def token_of(reply_to: bytes) -> str:
    """Return the token in an address for replies to a job, empty if the address is another one."""
    address = text(reply_to)
    return address[len(REPLY_PREFIX) :] if address.startswith(REPLY_PREFIX) else ""


def request_of(message: Message, user: str, token: str, most_ttl_ms: int) -> Request | None:
    """Return the job that the message asks for, None if it is no job.

    token: for the replies, unless the message has a reply_to. most_ttl_ms: setting `job.max_ttl`. Raises AmqpError 406
    for invalid headers.
    """
    headers = message.headers or {}
    mark = headers.get(JOB)
    if mark is None:
        return None
    if mark.kind != "t":
        raise errors.invalid_header(JOB, f"expected boolean, got {TYPE_NAMES[mark.kind]}")
    if not mark.value:
        return None
    properties = decode_properties(message.properties)
    id_: bytes = properties.get("message_id", b"")
    if not id_:
        raise errors.invalid_header(JOB, "a job needs the property message_id, which is the id of the job")
    if id_ in NO_IDS:
        raise errors.invalid_header(
            JOB, f"the property message_id is '{text(id_)}', which clients remove from the URL of a job: use another id"
        )
    ttl_ms = min(DEFAULT_TTL_MS, most_ttl_ms)
    given = headers.get(TTL)
    if given is not None:
        if given.kind not in INTEGER_KINDS:
            raise errors.invalid_header(TTL, f"expected integer, got {TYPE_NAMES[given.kind]}")
        if not 1 <= given.value <= MAX_EXPIRY_MS:
            raise errors.invalid_header(TTL, f"expected 1 to {MAX_EXPIRY_MS} milliseconds, got {given.value}")
        ttl_ms = given.value
        if ttl_ms > most_ttl_ms:
            raise errors.ttl_too_long(TTL, ttl_ms, most_ttl_ms, "job.max_ttl")
    return Request(id_, user, ttl_ms, "" if properties.get("reply_to") else token)


def mark(message: Message, request: Request) -> None:
    """Set the header with the user of a job that is published."""
    name = request.user.encode("utf-8", "surrogateescape")
    message.replace_properties(with_headers(message.properties, {USER: longstr(name)}))
    message.undecoded = True


def request_reply(message: Message, request: Request) -> None:
    """Set the property reply_to of a job that has none, and the correlation id if there is none either."""
    if request.token:
        values = decode_properties(message.properties)
        values["reply_to"] = (REPLY_PREFIX + request.token).encode()
        values.setdefault("correlation_id", request.id)
        message.replace_properties(encode_properties(values))
