"""One operation of a random script, as data: it can be run, compared, left out and printed as a line of a case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: Verbs for a whole connection; every other verb is a method of `conformance.channel.Channel`.
CONNECTION_VERBS = ("close_connection", "drop_connection")

#: The `on` of steps that are HTTP requests, with the arguments `method`, `path` below /api and `body`.
HTTP = "http"

SHOWN = 20
"""How many dots at the end of a body are shown one by one."""

Script = tuple["Step", ...]

#: Outcome of a step: the answer of a request (`http`), `received` by channel (`frames`, `returns`, `confirms`),
#: `queues` with their contents, `notes`.
Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """`verb` done on `on`: "c1/2" is channel 2 of connection c1, "c1" the connection, "http" the management API.

    A connection whose name ends with ".u" logs in as the user of that name; a connection whose name ends with ".v" uses
    the vhost of that name.

    A channel and its connection are opened when a step first needs them, and again after they were closed, so that any
    step can be left out of a script. `times` repeats a publish without a pause; after the step the script waits
    `pause_ms`, for timers of the broker.
    """

    on: str
    verb: str
    arguments: dict[str, Any] = field(default_factory=dict)
    times: int = 1
    pause_ms: int = 0

    def shown(self) -> str:
        """One line in the words of a case."""
        subject = _variable(self.on)
        if self.verb in CONNECTION_VERBS:
            line = f"{subject}.{'close' if self.verb == 'close_connection' else 'drop'}()"
        elif self.on == HTTP:
            line = f"lab.management.answer({', '.join(_spelled(one) for one in self.arguments.values())})"
        else:
            line = (
                f"{subject}.{self.verb}({', '.join(f'{key}={_spelled(one)}' for key, one in self.arguments.items())})"
            )
        if self.times > 1:
            line = f"for _ in range({self.times}): {line}"
        return line + (f"; lab.sleep({self.pause_ms / 1000})" if self.pause_ms else "")


def _variable(on: str) -> str:
    return re.sub(r"f\d+\.", "", on).replace("/", "_")


def _spelled(value: Any) -> str:
    """The value as Python, with `lab.q(...)` and `lab.x(...)` for the names of a script, and long bodies in short."""
    if isinstance(value, str) and value.endswith("." * SHOWN):
        start = value.rstrip(".")
        return f"{start!r} + {len(value) - len(start)} * '.'"
    return re.sub(r"'f\d+\.([qx])(\w*)'", lambda name: f'lab.{name[1]}("{name[1]}{name[2]}")', repr(value))


def listing(script: Sequence[Step]) -> str:
    """The script as the body of a case."""
    seen: dict[str, None] = {}
    for step in script:
        if step.on == HTTP:
            continue
        name, _, number = step.on.partition("/")
        connection = _variable(name)
        login = {"u": f"user={name!r}, password='p'", "v": f"vhost={name!r}"}.get(connection, "")
        seen.setdefault(f"{connection} = lab.connect({login})")
        if number:
            seen.setdefault(f"{connection}_{number} = lab.channel({connection}, {number})")
    return "\n".join([*sorted(seen, key=lambda line: "channel" in line), *(step.shown() for step in script)])
