"""Checks of the image, the compose file and the systemd unit that need no Docker."""

import functools
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pika
import pytest
import yaml

from amqpbroker.config import Listener, load_all
from tests.process import ENVIRONMENT, PATIENCE_S

ROOT = Path(__file__).parent.parent
BIN = ROOT / "tools" / "image" / "bin"
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def instructions(name):
    return re.findall(rf"^{name} +(.*)$", DOCKERFILE, re.MULTILINE)


def stage(number):
    return re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[number + 1]


def test_final_stage_of_the_image_has_no_source_code():
    assert len(instructions("FROM")) == 2
    assert "/src" not in stage(1)


def test_copied_files_exist_and_are_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in instructions("COPY"):
        if "--from" in line:
            continue
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] not in ignored


def test_the_compiler_is_not_in_the_final_image():
    assert "AMQPBROKER_COMPILE=1 /opt/amqpbroker/bin/pip install" in stage(0)
    assert "setup.py" in stage(0)
    assert "gcc" in stage(0)
    assert "apt-get" not in stage(1)


def test_the_image_does_not_run_as_root():
    assert instructions("USER")[-1] == "rabbitmq"
    assert DOCKERFILE.index("USER rabbitmq") < DOCKERFILE.index("ENTRYPOINT")


def test_the_image_has_rabbitmqs_paths_and_a_health_check():
    assert instructions("VOLUME") == ["/var/lib/rabbitmq"]
    # Not `amqpbroker ping`, which is logged every time.
    assert instructions("HEALTHCHECK")[0].endswith('CMD ["rabbitmq-diagnostics", "-q", "ping"]')
    assert "/etc/rabbitmq/conf.d/" in DOCKERFILE


def test_defaults_of_the_image_are_existing_settings():
    loaded = load_all([ROOT / "tools" / "image" / "10-defaults.conf"], {"RABBITMQ_NODE_IP_ADDRESS": "0.0.0.0"}, [])
    assert loaded.config.listeners == (Listener("0.0.0.0", 5672),)
    assert loaded.config.management.host == loaded.config.prometheus.host == "0.0.0.0"
    assert loaded.config.loopback_users == frozenset()
    assert loaded.config.log.console_level == "info"
    assert loaded.warnings == ()


@pytest.fixture
def calls(tmp_path):
    """Run a script of the image with a command `amqpbroker` that only prints its arguments."""
    stub = tmp_path / "amqpbroker"
    stub.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s|" "$word"; done\n')
    stub.chmod(0o755)
    path = f"{tmp_path}:{BIN}:{os.environ['PATH']}"

    def run(*command):
        return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("command", "called"),
    [
        (["rabbitmq-server"], "serve|"),
        ([], "serve|"),
        (["--set", "heartbeat=30"], "serve|--set|heartbeat=30|"),
        (["amqpbroker", "--version"], "--version|"),
        (["rabbitmqctl", "add_user", "a b", ""], "ctl|add_user|a b||"),
        (["rabbitmq-diagnostics", "-q", "ping"], "ctl|-q|ping|"),
        (["rabbitmq-upgrade", "drain"], "ctl|drain|"),
    ],
)
def test_entry_point_of_the_image_runs_the_expected_command(calls, command, called):
    assert calls("docker-entrypoint.sh", *command).stdout == called


def test_enabling_plugins_succeeds(calls):
    assert calls("rabbitmq-plugins", "enable", "--offline", "rabbitmq_management").returncode == 0
    assert calls("rabbitmq-plugins", "nonsense").returncode == 64


# --- as testcontainers and CI services use the image ------------------------------------------------------------------


class Container:
    """The image's entry point as a process, with these environment variables and a free port for each listener."""

    def __init__(self, directory, variables):
        self.log_file = directory / "log"
        command = directory / "amqpbroker"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m amqpbroker "$@"\n')
        command.chmod(0o755)
        # Only this machine may connect, and the ports are not those of another broker.
        defaults = (ROOT / "tools" / "image" / "10-defaults.conf").read_text().replace("0.0.0.0", "127.0.0.1")
        (directory / "10-defaults.conf").write_text(
            f"{defaults}\nmanagement.tcp.port = 0\nprometheus.tcp.port = none\n"
        )
        self.environment = {
            **{name: value for name, value in ENVIRONMENT.items() if not name.startswith("RABBITMQ_CONFIG")},
            "PATH": f"{directory}:{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RABBITMQ_CONFIG_FILES": str(directory / "10-defaults.conf"),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "XDG_DATA_HOME": str(directory / "data"),
            **variables,
        }

    def __enter__(self):
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                ["docker-entrypoint.sh", "rabbitmq-server"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *raised):
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0

    def wait_for_log(self, pattern):
        until = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.log_file.read_text(), re.MULTILINE)):
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < until, self.log_file.read_text()
            time.sleep(0.01)
        return found

    def run(self, *command):
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def container(tmp_path):
    return functools.partial(Container, tmp_path)


@pytest.mark.process
def test_image_works_with_the_testcontainers_modules(container):
    """Modules for Java and Node.js wait for a log line. The one for Python connects, and sets port and vhost."""
    port = free_port()
    variables = {
        "RABBITMQ_DEFAULT_USER": "app",
        "RABBITMQ_DEFAULT_PASS": "secret",
        "RABBITMQ_DEFAULT_VHOST": "orders",
        "RABBITMQ_NODE_PORT": str(port),
    }
    with container(variables) as started:
        assert started.wait_for_log(".*Server startup complete.*")
        credentials = pika.PlainCredentials("app", "secret")
        parameters = pika.ConnectionParameters("127.0.0.1", port, "orders", credentials)
        with pika.BlockingConnection(parameters) as connection:
            assert connection.is_open
        guest = pika.ConnectionParameters("127.0.0.1", port, "orders")
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            pika.BlockingConnection(guest)


@pytest.mark.process
def test_image_reads_the_config_file_of_testcontainers_for_java(container, tmp_path):
    custom = tmp_path / "rabbitmq-custom.conf"
    custom.write_text("default_vhost = of-the-file\n")
    port = free_port()
    with container({"RABBITMQ_CONFIG_FILE": str(custom), "RABBITMQ_NODE_PORT": str(port)}) as started:
        started.wait_for_log(".*Server startup complete.*")
        with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, "of-the-file")) as connection:
            assert connection.is_open


@pytest.mark.process
@pytest.mark.parametrize("check", [["ping"], ["check_port_connectivity"], ["check_running"], ["status"]])
def test_health_check_commands_of_ci_services_work_in_the_image(container, check):
    with container({"RABBITMQ_NODE_PORT": str(free_port())}) as started:
        started.wait_for_log(".*Server startup complete.*")
        ran = started.run("rabbitmq-diagnostics", "-q", *check)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_ci_page_lists_the_inputs_of_the_action_and_the_image():
    page = (ROOT / "docs" / "ci.md").read_text()
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    assert re.findall(r"^\| `([\w-]+)` \| .* \| .* \|$", page, re.MULTILINE) == list(inputs)
    for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        assert yaml.safe_load(block)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    (images,) = [
        step["with"]["images"] for step in workflow["jobs"]["image"]["steps"] if "images" in step.get("with", {})
    ]
    assert set(re.findall(r"ghcr\.io/[\w/-]+", page)) == {images}


# --- beside the image -------------------------------------------------------------------------------------------------


def test_the_compose_file_differs_from_rabbitmqs_by_one_line():
    text = (ROOT / "docs" / "examples" / "compose.yaml").read_text()
    service = yaml.safe_load(text)["services"]["rabbitmq"]
    assert service["image"] == "amqpbroker"
    assert service["volumes"] == ["rabbitmq:/var/lib/rabbitmq"]
    assert len([line for line in text.splitlines() if "amqpbroker" in line]) == 1


def manifests():
    """Return the manifests of several brokers by their kinds."""
    text = (ROOT / "docs" / "examples" / "high_availability" / "kubernetes.yaml").read_text()
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def test_the_kubernetes_manifests_name_the_pods_and_each_other():
    found = manifests()
    template = found["Deployment"]["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert found[kind]["spec"]["selector"] == {"matchLabels": labels}
    assert found["Service"]["spec"]["selector"] == labels
    assert [each["labelSelector"] for each in pod["topologySpreadConstraints"]] == [{"matchLabels": labels}]
    (container,) = pod["containers"]
    ports = {each["name"] for each in container["ports"]}
    assert {each["port"] for each in found["Service"]["spec"]["ports"]} <= {
        each["containerPort"] for each in container["ports"]
    }
    assert container["readinessProbe"]["httpGet"]["port"] in ports
    secret = found["Secret"]
    references = [each["valueFrom"].get("secretKeyRef", {}) for each in container["env"] if "valueFrom" in each]
    used = {each["key"] for each in references if each.get("name") == secret["metadata"]["name"]}
    assert used == secret["stringData"].keys() == {"user", "password"}


@pytest.mark.process
def test_the_readiness_probe_of_the_kubernetes_manifests_needs_no_login(container):
    (described,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    path = described["readinessProbe"]["httpGet"]["path"]
    with container({"RABBITMQ_NODE_PORT": str(free_port())}) as started:
        started.wait_for_log(".*Server startup complete.*")
        port = started.wait_for_log(r"http 127\.0\.0\.1:(\d+)")[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            assert answer.status == 200


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_systemd_unit_is_valid(tmp_path):
    unit = tmp_path / "amqpbroker.service"
    text = (ROOT / "docs" / "examples" / "amqpbroker.service").read_text()
    unit.write_text(text.replace("/opt/amqpbroker/bin/amqpbroker", shutil.which("true") or "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "amqpbroker.service" not in done.stderr
