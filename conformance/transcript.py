"""Transcripts: the events of a case and the remaining messages, with placeholders for server-generated values."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

from conformance.decoder import Event

#: Recordings of RabbitMQ, and of amqpbroker's intentional differences.
GOLDEN = Path(__file__).parent / "golden"
MEANT = Path(__file__).parent / "meant"
Transcript = dict[str, Any]

_INVENTED = re.compile(
    r"(?P<prefix>amq\.gen-|amq\.ctag-)[A-Za-z0-9_-]{22}|(?P<reply>amq\.rabbitmq\.reply-to\.)g1h2[A-Za-z0-9+/]+={0,2}\.[A-Za-z0-9+/]{22}=="
    r"|(?P<connection>)127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+"
)
#: Server property with amqpbroker's own version, which RabbitMQ does not have.
OWN_PROPERTY = "amqpbroker"


class Placeholders:
    """Numbers each server-generated name in order of first appearance."""

    def __init__(self, cluster_name: str) -> None:
        self._node = re.compile(re.escape(cluster_name.partition("@")[0]) + r"@[\w.-]+")
        self._numbers: dict[str, int] = {}
        self._seen: dict[str, str] = {}

    def name(self, match: re.Match[str]) -> str:
        """Return the placeholder of one server-generated name."""
        found = match[0]
        if found not in self._seen:
            prefix = match["prefix"] or match["reply"] or "connection "
            self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
            self._seen[found] = f"{prefix}<{self._numbers[prefix]}>"
        return self._seen[found]

    def apply(self, value: Any, key: str = "") -> Any:
        """Return the value with placeholders."""
        if isinstance(value, str):
            return self._node.sub("<node>", _INVENTED.sub(self.name, value))
        if isinstance(value, list):
            return [self.apply(one, key) for one in value]
        if isinstance(value, dict):
            own = OWN_PROPERTY if key == "server_properties" else None
            return {name: self._entry(name, one, key) for name, one in value.items() if name != own}
        return value

    def _entry(self, name: str, value: Any, parent: str) -> Any:
        if parent == "x-death" and name == "time":
            # Over HTTP the value is a number.
            return f"{value.partition(':')[0]}:<time>" if isinstance(value, str) else "<time>"
        if parent == "server_properties" and name == "cluster_name":
            return f"{value.partition(':')[0]}:<{name}>"
        if name == "mechanisms" and isinstance(value, str):
            return " ".join(sorted(value.split()))
        return self.apply(value, name)


def build(
    received: dict[str, list[Event]], observed: dict[str, Any], left: list[dict[str, Any]], cluster_name: str
) -> Transcript:
    """Return the normalised transcript of a run; the name of its node is replaced like generated names."""
    ordered = {label: [event.shown() for event in received[label]] for label in sorted(received, key=_order)}
    raw = {"received": ordered, "observed": observed, "left": left}
    present = {key: value for key, value in raw.items() if value}
    normalised: Transcript = Placeholders(cluster_name).apply(present)
    return normalised


def _order(label: str) -> tuple[int, int]:
    connection, _, channel = label.partition("/")
    return int(connection[1:]), int(channel)


def path(case_id: str, folder: Path = GOLDEN) -> Path:
    """Return the path of a case's recording."""
    return folder / f"{case_id}.json"


def load(case_id: str, folder: Path = GOLDEN) -> tuple[str, Transcript] | None:
    """Return the version a case was recorded from and its transcript; None if it was never recorded."""
    try:
        stored = json.loads(path(case_id, folder).read_text())
    except FileNotFoundError:
        return None
    version = stored.pop("recorded_from")
    return version, stored


def store(case_id: str, version: str, transcript: Transcript, folder: Path = GOLDEN) -> None:
    """Store a recording."""
    file = path(case_id, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dump({"recorded_from": version} | transcript))


def dump(value: Any, depth: int = 0) -> str:
    """Return JSON with one line per frame: the three outer levels are spread over lines, deeper ones are not."""
    pad, inner = " " * depth, " " * (depth + 1)
    if depth < 2 and isinstance(value, dict) and value:
        rows = [f"{inner}{_json(key)}: {dump(one, depth + 1)}" for key, one in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{pad}}}" + ("\n" if depth == 0 else "")
    if 0 < depth < 3 and isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"{inner}{_json(one)}" for one in value) + f"\n{pad}]"
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def difference(expected: Transcript, got: Transcript) -> str:
    """Return a readable unified diff; empty if both are the same."""
    if expected == got and _json(expected) == _json(got):
        return ""
    lines = difflib.unified_diff(_lines(expected), _lines(got), "recorded", "this broker", lineterm="", n=3)
    return "\n".join(lines)


def _lines(value: Any, indent: str = "") -> list[str]:
    """Return one line per scalar, so that a diff shows the exact field."""
    if isinstance(value, dict):
        return [line for key, one in value.items() for line in _under(f"{indent}{key}:", one, indent)]
    if isinstance(value, list):
        return [line for one in value for line in _under(f"{indent}-", one, indent)]
    return [f"{indent}{_json(value)}"]


def _under(head: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, dict | list) and value:
        if isinstance(value, dict) and "method" in value:
            rest = {key: one for key, one in value.items() if key != "method"}
            return [f"{head} {value['method']}", *_lines(rest, indent + "    ")]
        return [head, *_lines(value, indent + "    ")]
    return [f"{head} {_json(value)}"]
