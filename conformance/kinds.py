"""Kinds of queues that cases also run on, other than the one they were written for, and their recordings.

A case is suitable if it names all of its queues itself and does not set their type: it is run with the kind as
`x-queue-type`, durable. `kinds/<kind>.txt` has a row for each case whose result on RabbitMQ is always the same:

    area/case                   amqpbroker does the same
    area/case = area/other      amqpbroker differs on purpose; docs/compatibility.md shows that by the other case
    area/case ! REASON          it is left out

A case whose transcript is the same as without the kind has no separate recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance import purpose, transcript
from conformance.errors import UnsuitableCaseError
from conformance.transcript import Transcript

FOLDER = Path(__file__).parent / "kinds"
#: The cases were written for the default kind, classic.
KINDS = ("quorum",)

SHOWN_BY, LEFT_OUT = "=", "!"


def declared(
    kind: str, name: str, arguments: Mapping[str, Any] | None, flags: Mapping[str, bool]
) -> tuple[dict[str, Any], dict[str, bool]]:
    """Return arguments and flags that declare a queue as one of this kind. Raises UnsuitableCaseError."""
    said = any(flags.get(flag) for flag in ("exclusive", "auto_delete")) or flags.get("durable") is False
    if not name or said or "x-queue-type" in (arguments or {}):
        raise UnsuitableCaseError(f"queue {name!r} is to be one of its own kind")
    return {"x-queue-type": kind} | dict(arguments or {}), dict(flags) | {"durable": True}


def rows(kind: str) -> dict[str, tuple[str, str]]:
    """Return the rows of the list by case id: the mark, which is usually "", and the text after it."""
    file = FOLDER / f"{kind}.txt"
    found = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        case_id, _, rest = line.partition(" ")
        mark, _, text = rest.partition(" ")
        found[case_id] = (mark, text)
    return found


def suitable(kind: str) -> list[str]:
    """Return the ids of the cases that are run on queues of this kind."""
    return [case_id for case_id, (mark, _) in rows(kind).items() if mark != LEFT_OUT]


def on_purpose(kind: str) -> dict[str, str]:
    """Return the cases that differ on purpose, each with the case that documents it in docs/compatibility.md."""
    return {case_id: text for case_id, (mark, text) in rows(kind).items() if mark == SHOWN_BY}


def is_on_purpose(kind: str, case_id: str) -> bool:
    """Return whether amqpbroker intentionally differs in a case. kind: "" for queues as the case declares them."""
    return case_id in on_purpose(kind) if kind else purpose.is_on_purpose(case_id)


def folder(kind: str, meant: bool) -> Path:
    """Return the folder of recordings. meant: of amqpbroker's intentional differences."""
    if kind:
        return FOLDER / (f"{kind}.meant" if meant else kind)
    return transcript.MEANT if meant else transcript.GOLDEN


def load(kind: str, case_id: str, meant: bool = False) -> tuple[str, Transcript] | None:
    """Return the recorded version and the transcript of a case, by default that without a kind."""
    found = transcript.load(case_id, folder(kind, meant))
    return load("", case_id) if found is None and kind and not meant else found


def store(kind: str, case_id: str, version: str, found: Transcript, meant: bool = False) -> None:
    """Store a recording, unless it is the same as without a kind."""
    plain = None if meant or not kind else load("", case_id)
    if plain is not None and not transcript.difference(plain[1], found):
        transcript.path(case_id, folder(kind, meant)).unlink(missing_ok=True)
    else:
        transcript.store(case_id, version, found, folder(kind, meant))


def update(kind: str, found: Mapping[str, bool]) -> None:
    """Add the cases that were found to be suitable to the list, and remove the others with their recordings."""
    before = rows(kind)
    after = {name: row for name, row in before.items() if found.get(name, True)}
    after |= {name: before.get(name, ("", "")) for name, is_suitable in found.items() if is_suitable}
    lines = [" ".join((name, *filter(None, after[name]))) for name in sorted(after)]
    (FOLDER / f"{kind}.txt").write_text("".join(f"{line}\n" for line in lines))
    for name in found:
        if name not in after or after[name][0] == LEFT_OUT:
            transcript.path(name, FOLDER / kind).unlink(missing_ok=True)
