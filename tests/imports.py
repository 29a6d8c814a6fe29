"""The modules that a command line loads, in a process of its own."""

import importlib.util
import os
import subprocess
import sys

from tests.process import ENVIRONMENT

#: Runs the command line, and prints the modules that it has loaded at the given function or at the end.
_SCRIPT = """
import atexit, sys
before = set(sys.modules)
def report():
    print("\\nmodules", *sorted(set(sys.modules) - before), flush=True)
atexit.register(report)
sys.argv = sys.argv[:1] + sys.argv[2:]
from amqpbroker.cli.entry import main
main()
"""


def run(*words, stop_at=None, **variables):
    """Return the exit status, the output and the modules of a command line.

    stop_at: a function, as MODULE:NAME, in place of which the process ends.
    """
    script = _SCRIPT
    if stop_at is not None:
        module, _, name = stop_at.partition(":")
        script = script.replace(
            "main()\n", f"import {module}, os\n{module}.{name} = lambda *_: (report(), os._exit(0))\n"
        )
        script += "main()\n"
    done = subprocess.run(
        [sys.executable, "-c", script, "amqpbroker", *map(str, words)],
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    output, _, names = done.stdout.rpartition("\nmodules ")
    assert names, done.stderr
    return done.returncode, output + done.stderr, set(names.split())


def foreign(modules):
    """Return the modules that are neither Python's nor below one of the others."""
    return {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}


def existing(*names):
    """Return names of modules. A name that no module has fails, because no code could load it."""
    for name in names:
        assert importlib.util.find_spec(name) is not None, name
    return set(names)
