"""Output of messages: for people, and as JSON."""

import base64
import json
import sys
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from amqpbroker.cli.tail.body import shown_body, visible
from amqpbroker.cli.tail.message import TailMessage

_MODES = {1: "transient", 2: "persistent"}


class Output(ABC):
    @abstractmethod
    def show(self, message: TailMessage) -> None:
        """Print a message. Raises BrokenPipeError."""


class JsonLines(Output):
    """Prints a JSON object in a line. A payload that is not text is in base64, see payload_encoding."""

    def show(self, message: TailMessage) -> None:
        try:
            payload, encoding = message.body.decode(), "string"
        except UnicodeDecodeError:
            payload, encoding = base64.b64encode(message.body).decode(), "base64"
        shown: dict[str, Any] = {
            "time": _now().isoformat(timespec="milliseconds"),
            "event": message.what,
            "exchange": message.exchange,
            "routing_key": message.routing_keys[0],
            "routing_keys": message.routing_keys,
            "queues": message.queues,
            "redelivered": message.redelivered,
            "by": message.by or None,
            "properties": {**message.properties, "headers": message.headers},
            "payload_bytes": message.size,
            "payload_encoding": encoding,
            "payload": payload,
        }
        sys.stdout.write(json.dumps(shown) + "\n")


class Readable(Output):
    """Prints a line about the message, then properties, headers and body. max_bytes: see `shown_body`."""

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        # The terminal breaks lines that are too wide.
        self._console = Console(highlight=False, markup=False, soft_wrap=True)

    def show(self, message: TailMessage) -> None:
        head = Text.assemble((_now().strftime("%H:%M:%S.%f")[:-3], "dim"))
        head.append(f"  {message.what}", "green" if message.what == "publish" else "cyan")
        head.append(f"  {visible(message.exchange) or '(default exchange)'}  ")
        head.append(", ".join([visible(key) or '""' for key in message.routing_keys]), "bold")
        if message.queues is not None:
            head.append(f"  -> {', '.join([visible(queue) for queue in message.queues]) or 'nowhere'}")
        head.append(f"  {message.size:,} B", "dim")
        if message.redelivered:
            head.append("  redelivered", "yellow")
        self._console.print(head)
        if message.by:
            self._console.print(Text(f"  by {visible(message.by)}", "dim"))
        for name, value in (*message.properties.items(), *message.headers.items()):
            known = _MODES.get(value) if name == "delivery_mode" and name not in message.headers else None
            line = Text.assemble((f"  {visible(name)}: ", "blue" if name in message.headers else "magenta"))
            line.append(known or visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
            self._console.print(line)
        for line_of_body in shown_body(message, self._max_bytes):
            self._console.print(Text("  " + line_of_body))
        self._console.print()


def _now() -> datetime:
    return datetime.now().astimezone()
