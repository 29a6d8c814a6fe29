import json
import os

import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main

NOWHERE = {
    "RABBITMQ_CONFIG_FILE": os.devnull,
    "RABBITMQ_CONFIG_FILES": os.devnull,
    "RABBITMQ_ADVANCED_CONFIG_FILE": os.devnull,
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs `amqpbroker config` with a file a.conf."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, text="", **environ):
        (tmp_path / "a.conf").write_text(text)
        return CliRunner().invoke(main, ["config", *arguments], env={**NOWHERE, **environ})

    return run


def test_config_show_prints_lines_in_the_format_of_the_file(run):
    result = run("show", "--config", "a.conf", "--port", "0", text="\nheartbeat = 7\n")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "heartbeat = 7  # a.conf:2" in lines
    assert "listeners.tcp.default = 127.0.0.1:0  # --port" in lines
    assert "frame_max = 131072  # default" in lines


def test_config_show_reads_the_file_named_in_the_environment(run, tmp_path):
    result = run("show", "--changed", text="heartbeat = 7", RABBITMQ_CONFIG_FILE=str(tmp_path / "a"))
    assert result.stdout == f"heartbeat = 7  # {tmp_path}/a.conf:1\n"


@pytest.mark.parametrize("flag", [["--json"], ["--formatter", "json"]])
def test_config_show_prints_json(flag, run):
    result = run("show", "--config", "a.conf", "--changed", *flag, text="heartbeat = 7", RABBITMQ_DEFAULT_PASS="hush")
    assert json.loads(result.stdout) == [
        {"key": "heartbeat", "value": "7", "from": [{"kind": "file", "name": "a.conf", "line": 1}]},
        {
            "key": "default_pass",
            "value": "********",
            "from": [{"kind": "environment", "name": "RABBITMQ_DEFAULT_PASS", "line": None}],
        },
    ]


def test_config_show_prints_a_table(run):
    result = run("show", "--changed", "--formatter", "pretty_table", "--set", "cluster_name=[red]x")
    head, row = result.stdout.splitlines()
    assert head.split() == ["Setting", "Value", "From"]
    assert row.split() == ["cluster_name", "[red]x", "--set"]


def test_config_show_prints_the_warnings_and_errors_of_serve(run):
    result = run("show", "--config", "a.conf", text="raft.wal_max_entries = 5")
    assert result.stderr.startswith("warning: a.conf:1: raft.wal_max_entries has no effect: ")
    result = run("show", "--config", "a.conf", text="heartbeat = often")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a.conf:1: heartbeat = often: this must be a whole number")


def test_config_check_reports_all_errors(run):
    result = run(
        "check", "a.conf", text="hearbeat = 1\nheartbeat = 1\nmanagement.oauth_enabled = true\nframe_max = x\n"
    )
    assert result.exit_code == 1
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == ["a.conf:1", "a.conf:3", "a.conf:4"]
    assert result.stdout == ""


def test_config_check_finds_inconsistent_options(run):
    result = run("check", "a.conf", text="frame_max = 4096\ncompat = 4.2\n")
    assert result.stderr == "error: a.conf:1: frame_max = 4096: with this compat it must be at least 8192\n"


def test_config_check_accepts_a_directory_without_errors(run, tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "1.conf").write_text("heartbeat = 5\nnet_ticktime = 60\n")
    result = run("check", "a.conf", "conf.d")
    assert (result.exit_code, result.stdout) == (0, "a.conf: no errors\nconf.d: no errors\n")
    assert result.stderr.startswith("warning: conf.d/1.conf:2: net_ticktime has no effect")
