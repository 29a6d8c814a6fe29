"""Makes a script that shows a difference as short as it can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from conformance.fuzz.step import Script, Step


def shrink(script: Script, differs: Callable[[Script], bool], within_s: float = 120.0) -> Script:
    """The shortest script found in that time for which `differs` still holds (delta debugging, Zeller 1999): first
    fewer steps, then steps with less to them. `differs(script)` has to hold."""
    deadline = time.monotonic() + within_s

    def still(candidate: Script) -> bool:
        return time.monotonic() < deadline and differs(candidate)

    script = _fewer_steps(script, still)
    return _fewer_steps(_simpler_steps(script, still), still)


def _fewer_steps(script: Script, still: Callable[[Script], bool]) -> Script:
    size = max(len(script) // 2, 1)
    while True:
        at = len(script)
        found = False
        while at > 0:
            start = max(at - size, 0)
            candidate = script[:start] + script[at:]
            if candidate and still(candidate):
                script, found = candidate, True
            at = start
        if size == 1 and not found:
            return script
        size = max(size // 2, 1)


def _simpler_steps(script: Script, still: Callable[[Script], bool]) -> Script:
    for at in range(len(script)):
        changed = True
        while changed:
            changed = False
            for simpler in _simpler(script[at]):
                candidate = (*script[:at], simpler, *script[at + 1 :])
                if still(candidate):
                    script, changed = candidate, True
                    break
    return script


def _simpler(step: Step) -> Iterator[Step]:
    """The step with one thing less: an option, an entry of its arguments or headers, a repetition.

    Its pause stays: without it the brokers would be looked at too early.
    """
    if step.times > 1:
        yield replace(step, times=1)
        yield replace(step, times=step.times - 1)
    for name, value in step.arguments.items():
        rest = {key: one for key, one in step.arguments.items() if key != name}
        if isinstance(value, dict):
            for key in value:
                fewer = {other: one for other, one in value.items() if other != key}
                yield replace(step, arguments=rest | ({name: fewer} if fewer else {}))
        elif name not in _NEEDED.get(step.verb, ()):
            yield replace(step, arguments=rest)


#: Required arguments of the verbs of a channel, and of a request.
_NEEDED = {
    "request": ("method", "path"),
    "queue": ("name",),
    "exchange": ("name",),
    "exchange_delete": ("name",),
    "exchange_bind": ("destination", "source"),
    "exchange_unbind": ("destination", "source"),
    "bind": ("queue", "exchange"),
    "unbind": ("queue", "exchange"),
    "publish": ("exchange", "key", "body"),
    "get": ("queue",),
    "consume": ("queue", "tag"),
    "cancel": ("tag",),
    "purge": ("queue",),
    "delete": ("queue",),
    "ack": ("tag",),
    "nack": ("tag",),
    "reject": ("tag",),
    "qos": ("count",),
    "flow": ("active",),
}
