"""Commands for streams: the offsets that they remember for consumers, and super streams."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.failure import UsageError
from amqpbroker.cli.number_range import COUNTS

GROUP = "Streams"

_COLUMNS: Final = ("consumer", "offset", "updated_at")


def _offsets(call: Call) -> str:
    return f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}/offsets"


def list_stream_offsets(call: Call) -> Rows:
    return Rows(list(_COLUMNS), [[row[name] for name in _COLUMNS] for row in call.api.get(_offsets(call))])


def reset_stream_offset(call: Call) -> None:
    call.api.delete(f"{_offsets(call)}/{quoted(call.words[1])}")


# --- super streams ----------------------------------------------------------------------------------------------------

_AGE: Final = re.compile("[0-9]+[YMDhms]", re.ASCII)
#: A duration of ISO 8601, such as P5DT8H.
_DURATION: Final = re.compile(
    r"P(?=.)(?:{0}Y)?(?:{0}M)?(?:{0}D)?(?:T(?=.)(?:{0}H)?(?:{0}M)?(?:{0}S)?)?".format("([0-9]{1,18})"), re.ASCII
)
_DURATION_S: Final = (365 * 86_400, 30 * 86_400, 86_400, 3600, 60, 1)


def _age(given: str) -> str:
    """Return an age as in x-max-age. Raises ValueError."""
    if _AGE.fullmatch(given):
        return given
    found = _DURATION.fullmatch(given)
    if found is None:
        raise ValueError(f"{given!r} is not an age: write 7D or 12h, or a duration of ISO 8601 such as P5DT8H")
    return f"{sum(int(count or 0) * unit for count, unit in zip(found.groups(), _DURATION_S, strict=True))}s"


def _bytes(given: str) -> int:
    """Raises ValueError."""
    from amqpbroker.config.accepted import INFORMATION  # other commands do without the settings

    try:
        size: int = INFORMATION.parse(given)
    except ValueError:
        raise ValueError(f"{given!r} is not {INFORMATION.text}") from None
    return size


#: Option -> argument of the partitions, and the function that parses a value.
_ARGUMENTS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "max-length-bytes": ("x-max-length-bytes", _bytes),
    "max-age": ("x-max-age", _age),
    "stream-max-segment-size-bytes": ("x-stream-max-segment-size-bytes", _bytes),
    "leader-locator": ("x-queue-leader-locator", str),
    "initial-cluster-size": ("x-initial-cluster-size", COUNTS.parse),
}


def _parsed(call: Call, option: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(call.options[option])
    except ValueError as error:
        raise UsageError(f"--{option} {error}") from None


def _super_stream(call: Call) -> str:
    return f"super-streams/{quoted(call.vhost)}/{quoted(call.words[0])}"


def add_super_stream(call: Call) -> str:
    options = call.options
    body: dict[str, Any] = {}
    if "partitions" in options and "binding-keys" in options:
        raise UsageError("Specify --partitions or --binding-keys, not both.")
    if "partitions" in options:
        body["partitions"] = _parsed(call, "partitions", COUNTS.parse)
    if "binding-keys" in options:
        body["binding_keys"] = [key.strip() for key in options["binding-keys"].split(",") if key.strip()]
    body["arguments"] = {
        argument: _parsed(call, option, parse) for option, (argument, parse) in _ARGUMENTS.items() if option in options
    }
    call.api.put(_super_stream(call), body)
    return f"Super stream {call.words[0]} has been created"


def delete_super_stream(call: Call) -> str:
    call.api.delete(_super_stream(call))
    return f"Super stream {call.words[0]} has been deleted"


def list_super_streams(call: Call) -> Rows:
    found = call.api.get(f"super-streams/{quoted(call.vhost)}")
    rows = [
        [each["name"], partition["stream"], partition["binding_key"]]
        for each in found
        for partition in each["partitions"]
    ]
    return Rows(["super_stream", "stream", "binding_key"], rows)


COMMANDS = (
    Command(
        "add_super_stream",
        GROUP,
        "Adds a super stream: a direct exchange with streams as its partitions.",
        "<name>",
        add_super_stream,
        "Adding a super stream...",
        {"partitions": True, "binding-keys": True, **dict.fromkeys(_ARGUMENTS, True)},
    ),
    Command(
        "delete_super_stream",
        GROUP,
        "Deletes a super stream with its partitions.",
        "<name>",
        delete_super_stream,
        "Deleting super stream...",
    ),
    Command(
        "list_super_streams",
        GROUP,
        "Lists the partitions of super streams, in their order.",
        "",
        list_super_streams,
        lambda call: f"Listing super streams in vhost '{call.vhost}' ...",
    ),
    Command(
        "list_stream_offsets",
        GROUP,
        "Lists the offsets that a stream remembers for its consumers.",
        "<stream>",
        list_stream_offsets,
        lambda call: f"Listing offsets of stream '{call.words[0]}' in vhost '{call.vhost}' ...",
    ),
    Command(
        "reset_stream_offset",
        GROUP,
        "Removes the offset of a consumer that is not running, so that the next one begins anew.",
        "<stream> <consumer>",
        reset_stream_offset,
        lambda call: f"Removing the offset of consumer '{call.words[1]}' of stream '{call.words[0]}' ...",
    ),
)
