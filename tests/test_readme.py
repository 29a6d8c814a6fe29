"""The first screen of the README works as written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.smoke
def test_hello_world(broker):
    (script,) = blocks("python")
    # The script says nothing of a port; on this machine the broker has not the default one.
    runner = f"import pika; pika.connection.Parameters.DEFAULT_PORT = {broker.port}; exec({script!r})"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", runner], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("Hello World!\n", "")


def test_the_commands_it_opens_with_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert re.findall(r"^make ([a-z]+)", blocks("sh")[0], re.MULTILINE) == ["run", "test"]
    assert set(re.findall(r"\bmake ([a-z]+)[` ]", README)) <= targets
