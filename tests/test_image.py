"""Checks of the image, the compose file and the systemd unit that need neither a build nor a run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from amqpbroker.config import Listener, load_all

ROOT = Path(__file__).parent.parent
BIN = ROOT / "tools" / "image" / "bin"
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def instructions(name):
    return re.findall(rf"^{name} +(.*)$", DOCKERFILE, re.MULTILINE)


def stage(number):
    return re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[number + 1]


def test_the_image_has_two_stages_and_the_second_has_no_source():
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
    ],
)
def test_the_entry_point(calls, command, called):
    assert calls("docker-entrypoint.sh", *command).stdout == called


def test_enabling_plugins_succeeds(calls):
    assert calls("rabbitmq-plugins", "enable", "--offline", "rabbitmq_management").returncode == 0
    assert calls("rabbitmq-plugins", "nonsense").returncode == 64


def test_the_compose_file_differs_from_rabbitmqs_by_one_line():
    text = (ROOT / "docs" / "examples" / "compose.yaml").read_text()
    service = yaml.safe_load(text)["services"]["rabbitmq"]
    assert service["image"] == "amqpbroker"
    assert service["volumes"] == ["rabbitmq:/var/lib/rabbitmq"]
    assert len([line for line in text.splitlines() if "amqpbroker" in line]) == 1


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_systemd_unit_is_valid(tmp_path):
    unit = tmp_path / "amqpbroker.service"
    text = (ROOT / "docs" / "examples" / "amqpbroker.service").read_text()
    unit.write_text(text.replace("/opt/amqpbroker/bin/amqpbroker", shutil.which("true") or "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "amqpbroker.service" not in done.stderr
