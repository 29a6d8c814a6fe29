"""Types the commands of a `console` block into a shell and compares the output with the block."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import termios
import threading
from collections.abc import Callable
from pathlib import Path

TIMEOUT_S = 60.0
SIZE = (40, 120)

#: Printed by the shell after each command, with its exit status; nothing else prints it.
END = "\x1e"
AFTER_EACH = f"_status=$?; printf '{END}%s{END}' $_status; (exit $_status)"
AT_THE_END = "kill $(jobs -p) 2>/dev/null; wait 2>/dev/null"


Change = Callable[[str], str]


def run(text: str, directory: Path, environment: dict[str, str], here: Change = str, written: Change = str) -> None:
    """Type the commands of a block. Raises AssertionError at the first one that fails or prints something else.

    here: makes a command what it is to be on this machine; written: makes what is printed what a page would show. A
    command that is to fail is followed by `echo $?`, and `...` stands for anything. Background jobs are stopped.
    """
    commands = typed(text)
    printed = type_in([here(command) for command, _ in commands], directory, environment)
    ends = printed.split(END)
    for number, (command, expected) in enumerate(commands):
        assert len(ends) > 2 * number + 1, f"$ {command}\ndoes not end, after:\n{printed}"
        output, status = written(ends[2 * number]), ends[2 * number + 1]
        shown = f"$ {command}\nends with {status}, and prints:\n{output}"
        assert same(output, expected), shown
        assert status == "0" or commands[number + 1 : number + 2] == [("echo $?", f"{status}\n")], shown


def typed(text: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what is to be seen after it. A line that ends with a backslash goes on."""
    found: list[tuple[str, str]] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", "")
        elif line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            assert found, "it begins without a command"
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        goes_on = line.endswith("\\") and not found[-1][1]
    return found


def same(output: str, expected: str) -> bool:
    """Return whether the output is the expected one, ignoring spaces at the ends of lines."""
    pattern = ".*?".join(re.escape(part) for part in trimmed(expected).split("..."))
    return re.fullmatch(pattern, trimmed(output), re.DOTALL) is not None


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def type_in(commands: list[str], directory: Path, environment: dict[str, str]) -> str:
    """Return the output of a shell on a terminal, until the last command has ended."""
    script = "\n".join([*(f"{{ {command}\n}}; {AFTER_EACH}" for command in commands), AT_THE_END])
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, SIZE)
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=directory,
        env=environment | {"TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    timer = threading.Timer(TIMEOUT_S, os.killpg, (shell.pid, signal.SIGKILL))
    timer.start()
    data = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
        while read := os.read(ours, 65536):
            data += read
    shell.wait()
    timer.cancel()
    os.close(ours)
    return data.decode().replace("\r\n", "\n")
