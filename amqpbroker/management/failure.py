"""Errors of requests: the one place that turns them into answers (rabbit_mgmt_util.erl)."""

from collections.abc import Mapping
from typing import Any

import orjson

from amqpbroker.errors import AmqpError
from amqpbroker.management.peer_requests import MOVED

#: How long a line can be before Erlang's ~p breaks it.
_ERLANG_LINE = 80


#: When a client is to repeat a request that no broker could answer.
RETRY_AFTER_S = "1"

#: The most characters of a value in an error.
_SHOWN = 80


class ApiError(Exception):
    """An answer that is an error. `error` is the short name and `reason` the text of RabbitMQ's JSON, or a list."""

    def __init__(
        self, status: int, error: str, reason: str | list[Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.headers = {} if headers is None else headers
        self.status = status
        self.error = error
        self.reason = reason


def shown(value: object) -> str:
    """Return a value as JSON, cut after `_SHOWN` characters."""
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def not_found() -> ApiError:
    return ApiError(404, "Object Not Found", "Not Found")


def no_vhost() -> ApiError:
    """To a PUT or POST of something in a vhost that is not there."""
    return ApiError(404, "not_found", "vhost_not_found")


def bad_request(reason: str | list[Any]) -> ApiError:
    return ApiError(400, "bad_request", reason)


def conflict(reason: str) -> ApiError:
    """Return the error for a request that the present state does not allow. The reason says what to do."""
    return ApiError(409, "conflict", reason)


def wrong_range(age: int, step: int, listed: bool) -> ApiError:
    """Samples that nobody can have; RabbitMQ calls that differently where it fills up a list."""
    error = "invalid_range_parameters" if listed else "bad_request"
    return ApiError(400, error, f"Invalid range parameters: age {age}, incr {step}")


def messages_stay(queue: str) -> ApiError:
    """Return the error for a request to remove single messages of a stream."""
    reason = f"messages stay in stream '{queue}' until its limits remove them: consume them, or set max-age"
    return bad_request(reason)


def operator_policies_locked() -> ApiError:
    return ApiError(405, "method_not_allowed", "Broker settings disallow editing of operator policies.")


def invalid(error: ValueError) -> ApiError:
    """A parameter or policy that is none; these texts come escaped (rabbit_mgmt_format:escape_html_tags/1)."""
    return bad_request(str(error).replace("<", "&lt;").replace(">", "&gt;"))


def wrong_login() -> ApiError:
    return ApiError(401, "not_authorized", "Not_Authorized")


def not_authorised(reason: str) -> ApiError:
    return ApiError(401, "not_authorised", reason)


def encoded_twice() -> ApiError:
    """A body that is text within JSON."""
    reason = "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"
    return bad_request(reason)


def foreign_origin() -> ApiError:
    """Refuse a request that the page of another site had a browser send."""
    reason = "pages of other sites may change nothing, unless management.cors.allow_origins names them"
    return ApiError(403, "forbidden", reason)


def slow_login() -> ApiError:
    """The authentication backend has not answered."""
    return ApiError(503, "service_unavailable", "the login or its permissions could not be checked in time")


def slow_body() -> ApiError:
    """The head of a request came, and its body did not."""
    return ApiError(408, "request_timeout", "the body of the request did not come in time")


def bodies_full(most: int) -> ApiError:
    """Return the error for large bodies that together exceed the memory limit."""
    reason = f"large requests that are worked on take {most} bytes already; send this one again later"
    return ApiError(503, "service_unavailable", reason)


def user_waits(user: str | None, most: int) -> ApiError:
    """Return the error for a request that would wait beside too many requests of its user, None without a login."""
    whose = "clients without a login" if user is None else f"user '{user}'"
    return _again(f"{most} requests of {whose} wait for their answers already; end some of them, or try again later")


def too_many_wait(total: int) -> ApiError:
    """Return the error for a request that would wait beside too many requests of all users."""
    return _again(f"{total} requests wait for their answers already; end some of them, or try again later")


def not_led(what: str) -> ApiError:
    """No broker serves a vhost, or writes definitions, at the moment. what: the subject, with its verb."""
    return _again(f"{what} by no broker at the moment; repeat the request in a few seconds")


def moved(vhost: str) -> ApiError:
    """Return the error for a request from a peer that came after the vhost had moved. Nothing was done."""
    return _again(f"this broker does not serve vhost '{vhost}' any more; repeat the request", {MOVED: "1"})


def not_writing() -> ApiError:
    """Return the error for a request from a peer that takes this broker for the writer. Nothing was done."""
    return _again("this broker does not write definitions at the moment; repeat the request", {MOVED: "1"})


def moved_meanwhile(vhost: str) -> ApiError:
    """Return the error for a change that was under way when the vhost moved."""
    return _again(
        f"vhost '{vhost}' has moved to another broker; check whether the change was made before you repeat it"
    )


def written_elsewhere() -> ApiError:
    """Return the error for a change that was under way when another broker became the writer of definitions."""
    return _again("another broker writes the definitions now; check whether the change was made before you repeat it")


def unanswered(broker: str, changes: bool) -> ApiError:
    """Another broker did not answer. changes: the request may have changed something."""
    then = "it may have made the change, so check before you repeat the request" if changes else "repeat the request"
    return _again(f"broker '{broker}' did not answer in time; {then}")


def too_long(broker: str, most: int) -> ApiError:
    """Another broker has more to send than this one takes."""
    reason = f"the part of broker '{broker}' is longer than {most} bytes; request a page, columns or one vhost"
    return bad_request(reason)


def _again(reason: str, headers: Mapping[str, str] | None = None) -> ApiError:
    return ApiError(503, "service_unavailable", reason, {"retry-after": RETRY_AFTER_S, **(headers or {})})


def missing_keys(names: list[str]) -> ApiError:
    """A body without keys that it must have, as Erlang prints the list of them."""
    terms = [f"{{key_missing,{name}}}" for name in names]
    one_line = f"[{','.join(terms)}]"
    return bad_request(one_line if len(one_line) <= _ERLANG_LINE else "[" + ",\n ".join(terms) + "]")


def from_amqp(error: AmqpError) -> ApiError:
    """Return the API's error for an error of AMQP (rabbit_mgmt_util:direct_request/6)."""
    if error.code == 403:
        return not_authorised("Access refused.")
    if error.code == 404:
        return ApiError(404, "not_found", error.explanation)
    if error.code == 506:
        return ApiError(503, "resource_error", error.explanation)
    return bad_request(error.explanation)


def from_channel(error: AmqpError, what: str) -> ApiError:
    """The same where RabbitMQ's API uses a channel, for which a queue or exchange, `what`, had to be there."""
    if error.code == 404:
        return ApiError(404, "not_found", f"{what}_not_found")
    return bad_request(f"{error.code} {error.text}")
