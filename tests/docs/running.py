"""Works through a section of the documentation as a reader would: its blocks in order, in a directory of its own, with
a broker of its own at the address that the section names.
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Container
from pathlib import Path
from xml.etree import ElementTree

import httpx
import yaml

from amqpbroker.config import load_all
from amqpbroker.server.protocols import AMQP, HTTP, METRICS
from amqpbroker.testing import Broker
from tests.docs import terminal, words
from tests.docs.blocks import OUTPUT, ROOT, Block, Section
from tests.process import ENVIRONMENT

#: Languages whose blocks are not checked: output and drawings, and languages whose tools this project does not need. A
#: page says which of its programs have been run.
SHOWN = {"", "text", "csharp", "dockerfile", "java", "powershell", "properties", "typescript"}

#: Stands for the output of a program that could not be run here.
UNKNOWN = "\0"

#: Where `make interop` puts modules for Node.js.
NODE_MODULES = ROOT / "interop" / "amqplib" / "node_modules"

TESTS = re.compile(r"^(async )?def test_", re.MULTILINE)


class Reader:
    """Works through `section`; its files are in `directory`."""

    def __init__(self, section: Section, broker: Broker, directory: Path) -> None:
        self._section = section
        self._directory = directory
        self._namespace: dict[str, object] = {"__name__": "__main__"}
        self._printed: str | None = None
        #: (as a page has it, as it is here)
        self._ports = [
            (written, broker._address(protocol)[1])
            for written, protocol in (("5672", AMQP), ("15672", HTTP), ("15692", METRICS))
        ]
        # Modules are found in no other way by what imports them.
        (directory / "node_modules").symlink_to(NODE_MODULES)
        self._environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("PYTEST_")} | {
            "AMQP_URL": broker.url,
            "AMQPBROKER_URL": broker.http_url.replace("//", "//guest:guest@"),
            "AMQPBROKER_PERF_URI": broker.url,
            "PATH": f"{self._programs(broker.port)}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONSAFEPATH": "1",
            "HOME": str(directory),
            # pytest-asyncio, which a reader need not have, warns of that in any session.
            "PYTEST_ADDOPTS": "-p no:cacheprovider -o asyncio_default_fixture_loop_scope=function",
        }

    def read(self, skip: Container[str] = ()) -> None:
        """Raises AssertionError, or what a block raises, if something is not as it is written.

        skip: languages that something else checks.
        """
        blocks = [block for block in self._section.blocks if block.language not in skip]
        for number, block in enumerate(blocks):
            if block.not_run is not None:
                assert block.not_run.strip(), "why is it not run?"
                continue
            later = [other.text for other in blocks[number + 1 :] if other.language in ("console", "sh")]
            with contextlib.chdir(self._directory):
                self._block(block, later)
        if list(self._directory.glob("test_*.py")):
            self._pytest()

    def _block(self, block: Block, later: list[str]) -> None:
        language = block.language
        assert hasattr(self, f"do_{language}") or language in SHOWN, f"nothing checks {language!r}"
        if block.title == OUTPUT:
            assert self._printed is not None, "what would print it?"
            assert self._printed == UNKNOWN or terminal.same(self._printed, block.text), f"it printed:\n{self._printed}"
            return
        if block.title:
            path = self._directory / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(block.text))
        if language not in SHOWN:
            getattr(self, f"do_{language}")(block, later)

    # --- languages ----------------------------------------------------------------------------------------------------

    def do_python(self, block: Block, later: list[str]) -> None:
        """A block with a title is a file, which another block uses. One with tests is for pytest. Blocks without either
        are one program."""
        # The lines' numbers are those of the page.
        code = compile("\n" * (block.line - 1) + self._here(block.text), str(self._section), "exec")
        if block.title:
            assert self._is_used(block) or any(block.title in text for text in later), f"nothing runs {block.title}"
        elif TESTS.search(block.text):
            (self._directory / f"test_of_line_{block.line}.py").write_text(self._here(block.text))
        else:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, self._namespace)
            self._printed = self._written(printed.getvalue())

    def _is_used(self, block: Block) -> bool:
        """Return whether a file is a test, or another block imports it or names it as a command."""
        if re.match(r"(test_.*|conftest)\.py$", block.title):
            return True
        module = block.title.removesuffix(".py").replace("/", ".")
        names = re.compile(rf"\b{re.escape(module)}\b|\"{re.escape(Path(block.title).stem)}\"")
        return any(names.search(other.text) for other in self._section.blocks if other != block)

    def do_console(self, block: Block, later: list[str]) -> None:
        terminal.run(block.text, self._directory, self._environment, self._here, self._written)

    def do_sh(self, block: Block, later: list[str]) -> None:
        words.check(block.text)

    def do_javascript(self, block: Block, later: list[str]) -> None:
        """CommonJS, or a module where it imports. It is run if all that it needs is installed."""
        node = shutil.which("node")
        self._printed = UNKNOWN
        if node is None:
            return
        module = re.search(r"^(import|export) |^(\s*for )?await ", block.text, re.MULTILINE)
        path = self._directory / (block.title or f"line_{block.line}.{'mjs' if module else 'cjs'}")
        path.write_text(self._here(block.text))
        needs = re.findall(r"""(?:from|require\(|import) ?["']([^"']+)["']""", block.text)
        runs = not block.title and all(name.startswith("node:") or (NODE_MODULES / name).exists() for name in needs)
        command = [node, *([] if runs else ["--check"]), str(path)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        if runs:
            self._printed = self._written(done.stdout)

    def do_php(self, block: Block, later: list[str]) -> None:
        """Its syntax, where there is PHP. interop/examples runs it."""
        php = shutil.which("php")
        if php is not None:
            done = subprocess.run(
                [php, "-l"], input=block.text, capture_output=True, text=True, timeout=30, check=False
            )
            assert done.returncode == 0, done.stdout

    def do_go(self, block: Block, later: list[str]) -> None:
        """Check the syntax, where Go is installed."""
        gofmt = shutil.which("gofmt")
        self._printed = UNKNOWN
        if gofmt is not None:
            done = subprocess.run([gofmt, "-l"], input=block.text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (0, ""), done.stderr or "run gofmt on it"

    def do_xml(self, block: Block, later: list[str]) -> None:
        ElementTree.fromstring(block.text)

    def do_ini(self, block: Block, later: list[str]) -> None:
        """RabbitMQ's configuration; with sections, systemd's."""
        if block.text.startswith("["):
            return
        path = self._directory / (block.title or f"line_{block.line}.conf")
        path.write_text(block.text)
        assert load_all([path], {}, []).warnings == ()

    def do_json(self, block: Block, later: list[str]) -> None:
        json.loads(block.text)

    def do_yaml(self, block: Block, later: list[str]) -> None:
        """Check that the metrics in it exist."""
        yaml.safe_load(block.text)
        metrics = set(re.findall(r"\brabbitmq_\w+", block.text))
        if metrics:
            told = httpx.get(f"http://127.0.0.1:{dict(self._ports)['15692']}/metrics").text
            assert metrics <= set(re.findall(r"\brabbitmq_\w+", told))

    def do_toml(self, block: Block, later: list[str]) -> None:
        tomllib.loads(block.text)

    # --- where it is --------------------------------------------------------------------------------------------------

    def _here(self, text: str) -> str:
        """Return the text with the addresses of this broker."""
        amqp = self._ports[0][1]
        text = re.sub(r"(amqp://(?:\w+:\w+@)?)(?:localhost|127\.0\.0\.1)(?=[/?\"'\s])", rf"\g<1>127.0.0.1:{amqp}", text)
        for written, here in self._ports:
            text = re.sub(rf"\b(?:localhost|127\.0\.0\.1):{written}\b", f"127.0.0.1:{here}", text)
        return text

    def _written(self, text: str) -> str:
        """Return printed text with the ports that pages have."""
        for written, here in self._ports:
            text = re.sub(rf"\b{here}\b", written, text)
        return text

    def _programs(self, port: int) -> Path:
        """A directory with the commands of the environment that a reader is in."""
        programs = self._directory / ".bin"
        programs.mkdir()
        for name, arguments in (("python", ""), ("pytest", "-m pytest"), ("amqpbroker", "-m amqpbroker")):
            program = programs / name
            # Only `ping` has no other way to a broker that is not on the default port.
            before = f'[ "$1" != ping ] || export RABBITMQ_NODE_PORT={port}\n' if name == "amqpbroker" else ""
            program.write_text(f'#!/bin/sh\n{before}exec {sys.executable} {arguments} "$@"\n')
            program.chmod(0o755)
        return programs

    def _pytest(self) -> None:
        """Run the tests with the plugin as pytest finds it, but no other plugins, which take longer than the tests."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "amqpbroker"],
            cwd=self._directory,
            env=self._environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": self._async_plugins()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _async_plugins(self) -> str:
        """Return the options for the plugins whose marks the tests have."""
        marks = {
            "@pytest.mark.asyncio": "-p pytest_asyncio.plugin -o asyncio_default_fixture_loop_scope=function",
            "@pytest.mark.anyio": "-p anyio.pytest_plugin",
        }
        tests = "".join(path.read_text() for path in self._directory.glob("test_*.py"))
        return " ".join(options for mark, options in marks.items() if mark in tests)
