import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from amqpbroker.cli import entry, main
from tests import imports

#: Modules of Python that take a millisecond or more to load, and that a health check does without.
HEAVY = imports.existing(
    "argparse", "asyncio", "base64", "concurrent", "csv", "dataclasses", "difflib", "email", "getpass", "hashlib",
    "hmac", "html", "http", "inspect", "logging", "multiprocessing", "pathlib", "platform", "random", "secrets", "ssl",
    "subprocess", "tempfile", "textwrap", "threading", "traceback", "urllib.request", "uuid", "xml",
)  # fmt: skip

#: All modules of the broker, and those of others, that a health check loads.
CHECK = imports.existing(
    "amqpbroker",
    "amqpbroker.cli",
    "amqpbroker.cli.ctl",
    "amqpbroker.cli.ctl.api",
    "amqpbroker.cli.ctl.command",
    "amqpbroker.cli.ctl.commands",
    "amqpbroker.cli.ctl.commands.facts",
    "amqpbroker.cli.ctl.commands.groups",
    "amqpbroker.cli.ctl.commands.health",
    "amqpbroker.cli.ctl.failure",
    "amqpbroker.cli.ctl.http",
    "amqpbroker.cli.ctl.output",
    "amqpbroker.cli.ctl.run",
    "amqpbroker.cli.entry",
    "amqpbroker.cli.number_range",
)
#: Modules that find the broker of the user's data directory; `pathlib` and what platformdirs needs are beside them.
FOUND = imports.existing("amqpbroker.server", "amqpbroker.server.control", "amqpbroker.server.directories")

NODES = b'[{"name": "amqpbroker@h"}]'
OVERVIEW = b'{"node": "amqpbroker@h", "listeners": []}'
ANSWERS = {
    "/api/whoami": b"{}",
    "/api/nodes": NODES,
    "/api/overview": OVERVIEW,
    "/api/health/checks/local-alarms": b'{"status": "ok"}',
    "/api/health/checks/virtual-hosts": b'{"status": "ok"}',
    "/api/health/checks/node-is-quorum-critical": b'{"status": "ok", "reason": "single node cluster"}',
}


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        body = ANSWERS[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    """Serve answers of a broker's management API, and return its URL."""
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "check",
    [
        "ping",
        "is_running",
        "check_running",
        "check_port_connectivity",
        "check_local_alarms",
        "check_virtual_hosts",
        "check_if_node_is_quorum_critical",
    ],
)
def test_health_check_loads_only_what_it_needs(url, check):
    status, output, modules = imports.run("ctl", "-q", check, AMQPBROKER_URL=url)
    assert (status, modules & HEAVY) == (0, set()), output
    assert imports.foreign(modules) == CHECK


def test_health_check_of_the_own_data_directory_loads_only_what_finds_it(tmp_path):
    status, output, modules = imports.run("ctl", "-q", "ping", "--data-dir", tmp_path)
    assert (status, f"no broker runs on {tmp_path}" in output) == (69, True), output
    assert modules & HEAVY <= {"pathlib"}
    assert imports.foreign(modules) - {"platformdirs"} == CHECK | FOUND


def test_ping_loads_only_what_it_needs():
    status, output, modules = imports.run("ping", "--port", "1", "--timeout=60")
    assert (status, output.strip()) == (1, "127.0.0.1:1: connection refused")
    assert modules & HEAVY == set()
    assert imports.foreign(modules) == imports.existing(
        "amqpbroker",
        "amqpbroker.cli",
        "amqpbroker.cli.entry",
        "amqpbroker.cli.handshake",
        "amqpbroker.cli.number_range",
    )


def test_version_does_without_click():
    status, output, modules = imports.run("--version")
    assert (status, output.startswith("amqpbroker ")) == (0, True)
    assert "click" not in modules
    assert modules & HEAVY <= {"pathlib"}


def test_other_commands_are_read_by_click():
    status, output, modules = imports.run("config", "--help")
    assert (status, "Usage: amqpbroker config" in output, "click" in modules) == (0, True, True)


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["ping", "--help"], 0, "Usage: amqpbroker ping"),
        (["ping", "--port", "0"], 2, "'0' is not a whole number from 1 to 65,535"),
        (["ping", "--nonsense"], 2, "No such option"),
        (["--version", "more"], 0, "amqpbroker "),
    ],
)
def test_click_reads_what_a_light_command_does_not(words, status, text):
    found, output, modules = imports.run(*words)
    assert (found, text in output, "click" in modules) == (status, True, True), output


def test_shell_completes_light_commands():
    _, output, _ = imports.run(_AMQPBROKER_COMPLETE="bash_complete", COMP_WORDS="amqpbroker ctl list_q", COMP_CWORD="2")
    assert output.split() == ["plain,list_queues"]


def test_light_commands_are_commands():
    assert {name for name in entry.LIGHT if not name.startswith("-")} <= set(main.COMMANDS)


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
def test_interrupted_light_command_ends_as_with_click(monkeypatch, capsys, error):
    def interrupted(words):
        raise error

    monkeypatch.setattr("amqpbroker.cli.ctl.run.run", interrupted)
    monkeypatch.setattr(sys, "argv", ["amqpbroker", "ctl", "ping"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert (ended.value.code, capsys.readouterr().err) == (1, "\nAborted!\n")


def test_module_runs_the_program():
    done = subprocess.run([sys.executable, "-m", "amqpbroker", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("amqpbroker ")
