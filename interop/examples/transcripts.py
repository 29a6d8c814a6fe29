"""The console blocks of docs/examples/README.md: what is typed, and what is to be seen then."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from interop.clients import ROOT

PAGE = ROOT / "docs" / "examples" / "README.md"

TIMEOUT_S = 60.0

#: Words in the text above a block.
ANY_ORDER = re.compile(r"in\s+any\s+order")


class DifferenceError(Exception):
    """The output is missing, or differs from the expected one."""


@dataclass(frozen=True)
class Transcript:
    """One block: its lines, commands among them, under the title of its section."""

    title: str
    lines: tuple[str, ...]
    any_order: bool

    @property
    def commands(self) -> list[str]:
        return [line[2:] for line in self.lines if line.startswith("$ ")]

    @property
    def expected(self) -> list[str]:
        return [line for line in self.lines if not line.startswith("$ ")]

    def in_javascript(self) -> Transcript | None:
        """The same typed for Node.js, where each of its programs is there for that, too."""
        lines = [re.sub(r"^\$ python (\S+)\.py", r"$ node \1.cjs", line) for line in self.lines]
        other = replace(self, lines=tuple(lines))
        there = all((ROOT / shlex.split(command)[1]).exists() for command in other.commands)
        return other if there else None


def read() -> list[Transcript]:
    """All blocks of the page, in order."""
    found, title, any_order = [], "", False
    for part in re.split(r"^(#+ .+|```console\n(?:.*\n)*?```)$", PAGE.read_text(), flags=re.MULTILINE):
        if part.startswith("```"):
            lines = tuple(part.splitlines()[1:-1])
            in_background = any(line.startswith("$ ") and line.endswith("&") for line in lines)
            found.append(Transcript(title, lines, any_order or in_background))
        elif part.startswith("#"):
            title = part.lstrip("# ")
        else:
            any_order = ANY_ORDER.search(part) is not None
    return found


def run(transcript: Transcript, where: Mapping[str, str]) -> None:
    """Type the commands. Raises DifferenceError.

    where: variables with the addresses of the broker, such as AMQP_URL.

    A command that ends with `&` runs in the background after it has printed its first line.
    """
    # As in a reader's shell, where programs find the modules beside them.
    environment = os.environ | where | {"PYTHONWARNINGS": "error", "PYTHONSAFEPATH": ""}
    seen: SimpleQueue[str] = SimpleQueue()
    lines: list[str] = []
    with ExitStack() as background:
        for command in transcript.commands:
            program = _Program(shlex.split(command.removesuffix("&")), environment, seen)
            if command.endswith("&"):
                background.callback(program.interrupt)
                lines.append(_next(seen, lines))
            else:
                program.wait()
        while len(lines) < len(transcript.expected):
            lines.append(_next(seen, lines))
    while not seen.empty():
        lines.append(seen.get())
    same = Counter(lines) == Counter(transcript.expected) if transcript.any_order else lines == transcript.expected
    if not same:
        raise DifferenceError("\n".join(["it printed:", *lines]))


class _Program:
    """One that runs, and whose lines are put into `seen` as they come. It is to end with 0 and no word of error."""

    def __init__(self, command: list[str], environment: dict[str, str], seen: SimpleQueue[str]) -> None:
        command = [sys.executable if command[0] == "python" else command[0], *command[1:]]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(seen,))
        self._reader.start()

    def _read(self, seen: SimpleQueue[str]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                seen.put(line.rstrip("\n"))

    def wait(self) -> None:
        try:
            self._process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise DifferenceError(f"{self._process.args!r} does not end") from error
        finally:
            self._process.kill()
            self._reader.join()
            assert self._process.stderr is not None
            with self._process.stderr as stderr:
                errors = stderr.read()
        if self._process.returncode or errors:
            raise DifferenceError(f"{self._process.args!r} ended with {self._process.returncode}: {errors}")

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self.wait()


def _next(seen: SimpleQueue[str], lines: list[str]) -> str:
    try:
        return seen.get(timeout=TIMEOUT_S)
    except Empty:
        raise DifferenceError("\n".join(["nothing comes after:", *lines])) from None
