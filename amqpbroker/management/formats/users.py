"""Users and permissions as the API and definitions write them (rabbit_auth_backend_internal.erl)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from amqpbroker.broker.users.passwords import NO_PASSWORD, SHA256, decode_hash, encode_hash, hash_password, matches
from amqpbroker.broker.users.permissions import Grant, TopicGrant
from amqpbroker.broker.users.users import User
from amqpbroker.management import failure


class Credentials(NamedTuple):
    """Password hash and tags of a user."""

    password_hash: bytes
    hashing: str
    tags: tuple[str, ...]


def shown_user(user: User) -> dict[str, Any]:
    """Return a user with the hash of the password, for administrators."""
    return {
        "name": user.name,
        "password_hash": encode_hash(user.password_hash),
        "hashing_algorithm": user.hashing,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


def credentials(body: Mapping[str, Any], hashing: str = SHA256, old: User | None = None) -> Credentials:
    """Credentials from password, or password_hash and hashing_algorithm, or neither, and tags. Raises ApiError 400.

    hashing: the algorithm of a hash without hashing_algorithm. old: the existing user; if the password is the same, the
    user's hash stays, so that a repeated import changes nothing.
    """
    if "tags" not in body:
        raise failure.bad_request("tags_not_present")
    tags = parsed_tags(body["tags"])
    if "password" in body and "password_hash" in body:
        raise failure.bad_request("both_password_and_password_hash_are_provided")
    if "password" in body:
        if not isinstance(body["password"], str):
            raise failure.bad_request("password is to be a string")
        if old is not None and old.hashing == SHA256 and matches(body["password"].encode(), old.password_hash):
            return Credentials(old.password_hash, SHA256, tags)
        return Credentials(hash_password(body["password"]), SHA256, tags)
    if "password_hash" not in body:
        return Credentials(NO_PASSWORD, SHA256, tags)
    encoded, hashing = body["password_hash"], body.get("hashing_algorithm", hashing)
    if not isinstance(encoded, str) or not isinstance(hashing, str):
        raise failure.bad_request("password_hash and hashing_algorithm are to be strings")
    try:
        return Credentials(decode_hash(encoded), hashing, tags)
    except ValueError:
        raise failure.bad_request(["not_base64", encoded]) from None


def parsed_tags(given: Any) -> tuple[str, ...]:
    """A list, or names with commas between them as older versions wrote them. Raises ApiError 400."""
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, list) or any(isinstance(tag, dict | list) for tag in given):
        raise failure.bad_request(
            f"tags are to be a list, or names with commas between them, not {failure.shown(given)}"
        )
    # Numbers and other JSON values become names, as in RabbitMQ.
    tags = ((tag if isinstance(tag, str) else failure.shown(tag)).strip() for tag in given)
    return tuple(tag for tag in tags if tag)


def shown_permission(listed: tuple[str, str, Grant]) -> dict[str, Any]:
    user, vhost, grant = listed
    return {"user": user, "vhost": vhost, **grant._asdict()}


def shown_topic_permission(listed: tuple[str, str, str, TopicGrant]) -> dict[str, Any]:
    user, vhost, exchange, grant = listed
    return {"user": user, "vhost": vhost, "exchange": exchange, **grant._asdict()}
