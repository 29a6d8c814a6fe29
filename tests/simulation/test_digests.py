"""Both builds of the broker give the same worlds, to the byte."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import amqpbroker
from amqpbroker.compiled import is_compiled
from tests.seeds import sampled

CHECKOUT = Path(__file__).parents[2]
#: Where the broker that is tested was imported from.
TESTED = Path(amqpbroker.__file__).parents[1]
FIRST = [4_000, 4_004]
#: The number of seeds from each first one on.
SEEDS = 4


def started(first: int, *path: Path) -> subprocess.Popen[str]:
    """Start a process that prints the digests of a few seeds. path: where it imports from."""
    command = (sys.executable, "-m", "tests.simulation", "--first", str(first), "--digests", str(SEEDS))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONSAFEPATH": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment)


@pytest.mark.skipif(not is_compiled(), reason="the interpreted broker is compared with the compiled one")
@pytest.mark.parametrize("first", sampled(FIRST, 1))
def test_a_seed_gives_the_same_world_interpreted_and_compiled(first):
    processes = [started(first, CHECKOUT), started(first, TESTED, CHECKOUT)]
    interpreted, compiled = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    assert len(compiled) == SEEDS
    assert compiled == interpreted
