"""The npm package in packages/npm, with the broker of this run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import amqpbroker
from amqpbroker.testing.faults.api import Faults, Ordered
from tests.process import ENVIRONMENT

PACKAGE = Path(__file__).parent.parent / "packages" / "npm"
MANIFEST = json.loads((PACKAGE / "package.json").read_text())


def test_npm_package_has_the_broker_version_and_no_dependencies():
    assert MANIFEST["version"] == amqpbroker.__version__
    assert not [key for key in MANIFEST if "ependencies" in key]


def test_exported_files_are_in_the_npm_package():
    exported = MANIFEST["exports"]["."]
    for path in (MANIFEST["main"], MANIFEST["types"], *exported.values()):
        assert (PACKAGE / path).is_file()
        assert Path(path).parts[0] in MANIFEST["files"]


def test_npm_package_has_every_fault_of_the_python_api():
    named = re.findall(r'^  "(\w+)",$', (PACKAGE / "lib" / "faults.js").read_text(), re.MULTILINE)
    methods = {name: getattr(method, "__annotations__", {}) for name, method in vars(Faults).items()}
    orders = {name for name, annotations in methods.items() if annotations.get("return") is Ordered}
    assert set(named) == orders - {"_order"}


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("npm"), reason="needs Node.js and npm")
def test_tests_of_the_npm_package_pass():
    command = shlex.join([sys.executable, "-m", "amqpbroker"])
    environment = {**ENVIRONMENT, "AMQPBROKER_COMMAND": command, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run(["npm", "test"], cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"(# |ℹ )pass [1-9]\d", ran.stdout), ran.stdout
