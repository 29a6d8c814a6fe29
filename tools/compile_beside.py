"""Compile the core beside a broker, and stop when that ends: `python -m tools.compile_beside PID`, with the broker's.

Prints one line when it is done, or has failed. tools/run starts this.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = ("make", "--no-print-directory", "compiled")
LOG = Path("build", "compile.log")
POLL_S = 0.5


def is_running(pid: int) -> bool:
    """Return whether there is a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def compile_beside(pid: int, command: tuple[str, ...] = COMMAND, log: Path = LOG, poll_s: float = POLL_S) -> str:
    """Run the command at low priority until it ends or the process `pid` has ended. Its output goes to the log.

    Returns what to tell the user, empty if the process has ended.
    """
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as output:
        # A session of its own: Ctrl-C is for the broker, and all that the command started can be ended at once.
        compiling = subprocess.Popen(  # noqa: S603
            ["nice", *command],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        while compiling.poll() is None:
            if not is_running(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(compiling.pid, signal.SIGTERM)
                compiling.wait()
                return ""
            time.sleep(poll_s)
    if compiling.returncode:
        return f"The core could not be compiled: see {log}. The broker goes on, interpreted."
    return "The core is compiled. The next start of the broker uses it."


if __name__ == "__main__":
    if text := compile_beside(int(sys.argv[1])):
        print(text, file=sys.stderr, flush=True)  # noqa: T201
