"""Commands for streams: the offsets that they remember for consumers."""

from typing import Final

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows

GROUP = "Streams"

_COLUMNS: Final = ("consumer", "offset", "updated_at")


def _offsets(call: Call) -> str:
    return f"queues/{quoted(call.vhost)}/{quoted(call.words[0])}/offsets"


def list_stream_offsets(call: Call) -> Rows:
    return Rows(list(_COLUMNS), [[row[name] for name in _COLUMNS] for row in call.api.get(_offsets(call))])


def reset_stream_offset(call: Call) -> None:
    call.api.delete(f"{_offsets(call)}/{quoted(call.words[1])}")


COMMANDS = (
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
