"""The program `amqpbroker`. Commands that read their own arguments run without click; `main` has all others.

Health checks run every few seconds, and loading click would take most of their time.
"""

import importlib
import os
import sys

#: First word of the command line -> the module whose `run` gets the following words. It returns the exit status, or
#: None if click has to read the words: for the help, for mistakes, which it describes, and for abbreviations.
LIGHT = {
    "ctl": "amqpbroker.cli.ctl.run",
    "ping": "amqpbroker.cli.handshake",
    "--version": "amqpbroker.cli.version",
}

#: Set by a shell that completes a command line.
_COMPLETION = "_AMQPBROKER_COMPLETE"


def main() -> None:
    """Run the command line of this process, and end the process with the command's exit status."""
    words = sys.argv[1:]
    status = _run(LIGHT[words[0]], words[1:]) if words and words[0] in LIGHT and _COMPLETION not in os.environ else None
    if status is not None:
        sys.exit(status)
    from amqpbroker.server.collector import run_rarely

    run_rarely()
    from amqpbroker.cli.main import main as commands

    commands(prog_name="amqpbroker")


def _run(module: str, words: list[str]) -> int | None:
    try:
        status: int | None = importlib.import_module(module).run(words)
    except (EOFError, KeyboardInterrupt):
        print("\nAborted!", file=sys.stderr)  # noqa: T201 - as click does
        return 1
    return status
